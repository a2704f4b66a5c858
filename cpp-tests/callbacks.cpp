/* Lambdas as callbacks: what they capture, what they return, what they throw, and what they may do. */
#include "harness.hpp"

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <thread>

TEST(dispatch_calls_a_lambda)
{
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    lines all;
    auto record = [&](const ain::event &event) { all.push_back(text(event)); };
    CHECK_EQUAL(inotify.dispatch(record), 0u);
    for (const char *name : {"a", "b", "c"})
        make_entry(name);
    CHECK_EQUAL(inotify.dispatch(record, 2), 2u);
    CHECK(readable(inotify));
    std::error_code error;
    CHECK_EQUAL(inotify.dispatch(record, error), 1u);
    CHECK(!error && !readable(inotify));
    CHECK_EQUAL(all, (lines{"CREATE ./a", "CREATE ./b", "CREATE ./c"}));
}

static int functions_called = 0;
static void function(const ain::event &)
{
    ++functions_called;
}

TEST(anything_callable)
{
    struct functor {
        int calls = 0;
        void operator()(ain::event) { ++calls; } // by value is as good
    } functor;
    const auto constant = [](const ain::event &) {};
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    for (const char *name : {"a", "b", "c", "d", "e", "f"})
        make_entry(name);
    inotify.dispatch(function, 1);
    inotify.dispatch(&function, 1);
    CHECK_EQUAL(functions_called, 2);
    inotify.dispatch(functor, 1); // not copied
    CHECK_EQUAL(functor.calls, 1);
    inotify.dispatch(constant, 1);
    inotify.dispatch([moved_in = counted()](const ain::event &) {}, 1);
    watch.set_callback(function);
    inotify.dispatch();
    CHECK_EQUAL(functions_called, 3);
    CHECK(!readable(inotify));
    static_assert(!std::is_invocable_v<decltype(&ain::inotify::wake), int>);
}

TEST(a_callback_stops)
{
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    for (const char *name : {"a", "b", "c", "d"})
        make_entry(name);
    auto until = [](const char *name) {
        return [=](const ain::event &event) { return event.name() == name ? ain::flow::stop : ain::flow::go_on; };
    };
    CHECK_EQUAL(inotify.dispatch(until("b")), 2u);
    CHECK(readable(inotify));
    inotify.set_sync_timeout(std::chrono::milliseconds(1));
    CHECK_EQUAL(inotify.run(until("c")), 1);
    CHECK_EQUAL(inotify.run([](const ain::event &) { return 42; }), 42);
    CHECK_EQUAL(inotify.run([](const ain::event &) { return 42; }), 0); // the time is over
}

TEST(run_ends)
{
    ain::inotify inotify;
    std::error_code error;
    auto ignore = [](const ain::event &) {};
    inotify.run(ignore, error);
    CHECK(error == std::errc::resource_unavailable_try_again);
    inotify.set_sync_timeout(ain::infinite);
    inotify.wake();
    inotify.run(ignore, error);
    CHECK(error == std::errc::interrupted);
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    make_entry("a");
    inotify.run([&](const ain::event &) { inotify.close(); }, error);
    CHECK(error == std::errc::operation_canceled && !inotify);
    CHECK_THROWS(std::system_error, inotify.run(ignore)) { CHECK(thrown.code() == std::errc::invalid_argument); }
}

TEST(events_without_a_callback_are_dropped)
{
    ain::inotify inotify;
    make_dir("d");
    int heard = 0;
    ain::watch with = inotify.add_watch("d", ain_mask::create), without = inotify.add_watch(".", ain_mask::create);
    with.set_callback([&](const ain::event &) { ++heard; });
    make_entry("a");
    make_entry("d/a");
    CHECK_EQUAL(inotify.dispatch(), 2u);
    CHECK_EQUAL(heard, 1);
    make_entry("d/b");
    CHECK_EQUAL(inotify.dispatch(nullptr, 1), 1u);
    CHECK_EQUAL(heard, 2);
}

/* ---- what a lambda captured is destroyed exactly once ---- */

TEST(captures_go_when_the_watch_object_goes)
{
    ain::inotify inotify;
    {
        ain::watch watch = inotify.add_watch(".", ain_mask::create);
        watch.set_callback([held = counted()](const ain::event &) { fail(__FILE__, __LINE__, "called too late"); });
        make_entry("a");
        CHECK_EQUAL(counted::alive, 1);
    }
    CHECK(counted::alive == 0 && counted::destroyed == 1);
    CHECK_EQUAL(inotify.dispatch([](const ain::event &) { fail(__FILE__, __LINE__, "not for this one"); }), 2u);
    CHECK_EQUAL(counted::destroyed, 1);
}

TEST(captures_go_with_the_last_event)
{
    ain::inotify inotify;
    make_dir("d");
    ain::watch watch = inotify.add_watch("d", ain_mask::create);
    lines heard;
    watch.set_callback([&, held = counted()](const ain::event &event) {
        CHECK_EQUAL(counted::alive, 1);
        heard.push_back(text(event));
    });
    make_entry("d/a");
    fs::remove_all("d");
    inotify.dispatch();
    CHECK_EQUAL(heard, (lines{"CREATE d/a", "IGNORED d"}));
    CHECK(counted::alive == 0 && counted::destroyed == 1);
    std::error_code error;
    watch.set_callback([held = counted()](const ain::event &) {}, error);
    CHECK(error == std::errc::no_such_file_or_directory);
    CHECK(counted::alive == 0 && counted::destroyed == 2);
    CHECK_THROWS(std::system_error, watch.set_callback([](const ain::event &) {}))
    {
        CHECK(thrown.code() == std::errc::no_such_file_or_directory);
    }
}

TEST(captures_go_with_the_instance)
{
    ain::watch watch;
    {
        ain::inotify inotify;
        watch = inotify.add_watch(".", ain_mask::create);
        watch.set_callback([held = counted()](const ain::event &) {});
        CHECK_EQUAL(counted::alive, 1);
    }
    CHECK(counted::alive == 0 && counted::destroyed == 1);
    watch.reset();
    CHECK_EQUAL(counted::destroyed, 1);
}

TEST(captures_of_a_released_watch)
{
    {
        ain::inotify inotify;
        int heard = 0;
        ain::watch watch = inotify.add_watch(".", ain_mask::create);
        watch.set_callback([&, held = counted()](const ain::event &) { ++heard; });
        watch.release();
        make_entry("a");
        inotify.dispatch();
        CHECK(heard == 1 && counted::alive == 1);
    }
    CHECK(counted::alive == 0 && counted::destroyed == 1);
}

TEST(captures_move_with_the_watch)
{
    ain::inotify inotify;
    int heard = 0;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    watch.set_callback([&, held = counted()](const ain::event &) { ++heard; });
    ain::watch moved(std::move(watch));
    watch.reset();
    make_entry("a");
    inotify.dispatch();
    CHECK(heard == 1 && counted::alive == 1);
    moved = ain::watch();
    CHECK(counted::alive == 0 && counted::destroyed == 1);
}

TEST(captures_of_a_replaced_callback)
{
    ain::inotify inotify;
    int first = 0, second = 0, others = 0;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    watch.set_callback([&, held = counted()](const ain::event &) { ++first; });
    make_entry("a");
    inotify.dispatch();
    watch.set_callback([&, held = counted()](const ain::event &) { ++second; });
    CHECK(counted::alive == 1 && counted::destroyed == 1);
    make_entry("b");
    inotify.dispatch();
    watch.clear_callback();
    CHECK(counted::alive == 0 && counted::destroyed == 2);
    make_entry("c");
    inotify.dispatch([&](const ain::event &) { ++others; });
    watch.set_callback([&, held = counted()](const ain::event &) { ++first; });
    make_entry("d");
    inotify.dispatch();
    CHECK(first == 2 && second == 1 && others == 1);
    watch.clear_callback();
    watch.clear_callback();
    CHECK_EQUAL(counted::destroyed, 3);
}

TEST(a_lambda_may_replace_itself)
{
    ain::inotify inotify;
    lines heard;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    const std::string first = "first, long enough to be on the heap";
    watch.set_callback([&, held = counted(), name = first](const ain::event &) {
        watch.set_callback([&](const ain::event &) { heard.push_back("second"); });
        CHECK_EQUAL(counted::alive, 1); // this one, which is running
        heard.push_back(name);
    });
    make_entry("a");
    make_entry("b");
    inotify.dispatch();
    CHECK_EQUAL(heard, (lines{first, "second"}));
    CHECK(counted::alive == 0 && counted::destroyed == 1);
}

TEST(a_lambda_may_end_its_watch)
{
    ain::inotify inotify;
    int heard = 0;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    watch.set_callback([&, held = counted(), text = std::string(100, 'x')](const ain::event &) {
        watch.reset();
        CHECK(counted::alive == 1 && text.size() == 100);
        ++heard;
    });
    make_entry("a");
    make_entry("b");
    inotify.dispatch();
    CHECK(heard == 1 && counted::alive == 0 && counted::destroyed == 1);
}

TEST(a_lambda_may_close_and_destroy_the_instance)
{
    auto inotify = std::make_unique<ain::inotify>();
    ain::watch watch = inotify->add_watch(".", ain_mask::create);
    watch.set_callback([&, held = counted(), text = std::string(100, 'x')](const ain::event &event) {
        inotify.reset();
        CHECK(counted::alive == 1 && text.size() == 100 && event.path() == "./a");
    });
    make_entry("a");
    make_entry("b");
    CHECK_EQUAL(inotify->dispatch(), 1u);
    CHECK(!inotify && counted::alive == 0 && counted::destroyed == 1);
}

TEST(a_lambda_may_own_its_watch_and_others)
{
    ain::inotify inotify;
    make_dir("d");
    ain::watch outer = inotify.add_watch(".", ain_mask::create);
    outer.set_callback([held = counted(), inner = inotify.add_watch("d", ain_mask::create)](const ain::event &) {});
    CHECK_EQUAL(inotify.watches().size(), 2u);
    outer.reset();
    CHECK_EQUAL(drain(inotify).size(), 2u);
    CHECK(inotify.watches().empty() && counted::destroyed == 1);
    ain::watch last = inotify.add_watch(".", ain_mask::create);
    last.set_callback([held = counted(), inner = inotify.add_watch("d", ain_mask::create)](const ain::event &) {});
    last.release(); // goes with the instance, and finds it closed
}

TEST(callbacks_end_while_another_thread_dispatches)
{
    ain::inotify inotify;
    inotify.set_sync_timeout(ain::infinite);
    std::atomic<int> heard{0};
    std::thread consumer([&] {
        std::error_code error;
        inotify.run([](const ain::event &) {}, error);
        CHECK(error == std::errc::interrupted);
    });
    for (int round = 0; round < 200; ++round) {
        std::string name = std::to_string(round);
        make_dir(name);
        ain::watch watch = inotify.add_watch(name, ain_mask::create);
        watch.set_callback([&, held = std::make_shared<int>(round)](const ain::event &) { heard += *held >= 0; });
        make_entry(name + "/a");
        if (round % 2)
            watch.set_callback([&, held = std::make_shared<int>(round)](const ain::event &) { heard += *held >= 0; });
        make_entry(name + "/b");
        if (round % 4 == 0)
            watch.release();
    }
    inotify.wake();
    consumer.join();
}

/* ---- exceptions ---- */

struct planned : std::runtime_error {
    using std::runtime_error::runtime_error;
};

TEST(an_exception_comes_out_of_dispatch)
{
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    for (const char *name : {"a", "b", "c"})
        make_entry(name);
    CHECK_THROWS(planned, inotify.dispatch([](const ain::event &event) {
        if (event.name() == "b")
            throw planned("at b");
    }))
    {
        CHECK_EQUAL(std::string(thrown.what()), "at b");
    }
    CHECK(readable(inotify));
    CHECK_EQUAL(drain(inotify), lines{"CREATE ./c"}); // neither lost nor twice
}

TEST(an_exception_of_a_watchs_own_callback)
{
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    watch.set_callback([held = counted()](const ain::event &) { throw planned("own"); });
    inotify.set_sync_timeout(std::chrono::seconds(10));
    make_entry("a");
    make_entry("b");
    std::error_code error;
    CHECK_THROWS(planned, inotify.run([](const ain::event &) {}, error)) { CHECK_EQUAL(counted::alive, 1); }
    CHECK_THROWS(planned, inotify.dispatch()) {}
    CHECK(!readable(inotify));
    // At its last event, when the captures go while the exception is on its way.
    watch.remove();
    CHECK_THROWS(planned, inotify.dispatch()) { CHECK_EQUAL(counted::alive, 0); }
    CHECK_EQUAL(counted::destroyed, 1);
}

TEST(an_exception_through_two_instances)
{
    ain::inotify outer, inner;
    make_dir("d");
    ain::watch outer_watch = outer.add_watch(".", ain_mask::create);
    ain::watch inner_watch = inner.add_watch("d", ain_mask::create);
    make_entry("a");
    make_entry("d/a");
    make_entry("d/b");
    int caught = 0;
    CHECK_THROWS(planned, outer.dispatch([&](const ain::event &) {
        CHECK_THROWS(planned, inner.dispatch([](const ain::event &) { throw planned("caught inside"); })) { ++caught; }
        inner.dispatch([](const ain::event &) { throw planned("goes through"); });
    }))
    {
        CHECK_EQUAL(std::string(thrown.what()), "goes through");
    }
    CHECK_EQUAL(caught, 1);
}

TEST(an_exception_and_the_end_of_the_instance)
{
    auto inotify = std::make_unique<ain::inotify>();
    ain::watch watch = inotify->add_watch(".", ain_mask::create);
    make_entry("a");
    CHECK_THROWS(planned, inotify->dispatch([&](const ain::event &) {
        inotify.reset();
        throw planned("after the end");
    }))
    {
        CHECK(!watch.is_active());
    }
}
