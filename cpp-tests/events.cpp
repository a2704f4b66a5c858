/* Events, and every way to take them that has no callback. */
#include "harness.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <numeric>
#include <sys/epoll.h>
#include <thread>
#include <unistd.h>

TEST(an_event_has_everything)
{
    ain::inotify inotify;
    make_dir("d");
    ain::watch watch = inotify.add_watch("d", ain_mask::create | ain_mask::move);
    make_dir("d/sub");
    fs::rename("d/sub", "d/moved");
    std::optional<ain::event> event = inotify.get();
    CHECK(event && event->watch() == watch.id() && event->wd() == watch.wd());
    CHECK(event->is_directory() && event->is(ain_mask::create) && !event->is(ain_mask::move));
    CHECK_EQUAL(event->mask(), ain_mask::create | ain_mask::isdir);
    CHECK(event->name() == "sub" && event->path() == "d/sub" && event->moved_from().empty());
    CHECK(event->path().data()[event->path().size()] == '\0');
    CHECK(event->cookie() == 0 && event->flags() == ain::event_flags::none && !event->error());
    CHECK(event->native().mask == bits(event->mask()));
    event = inotify.get();
    CHECK(event && event->is(ain_mask::moved_from) && event->cookie() != 0);
    std::uint32_t cookie = event->cookie();
    event = inotify.get();
    CHECK(event && event->is(ain_mask::moved_to) && event->cookie() == cookie);
    CHECK_EQUAL(event->moved_from(), "d/sub");
    CHECK(!inotify.get());
    watch.reset();
    event = inotify.get();
    CHECK(event && event->is(ain_mask::ignored) && event->name().empty() && event->name().data() == nullptr);
    ain::event nothing;
    CHECK(nothing.watch() == ain::watch_id::none && nothing.path().empty() && nothing.mask() == ain_mask::none);
}

TEST(a_copy_outlives_everything)
{
    ain::event_copy copy;
    CHECK(!copy && copy.path().empty());
    {
        ain::inotify inotify;
        ain::watch watch = inotify.add_watch(".", ain_mask::create);
        make_entry("a");
        copy = ain::event_copy(inotify.get().value());
    }
    CHECK(copy && copy.path() == "./a" && copy.name() == "a" && copy.is(ain_mask::create));
    ain::event_copy moved(std::move(copy));
    CHECK(!copy && copy.path().empty() && moved.path() == "./a");
    std::error_code error;
    ain::event_copy again(moved, error);
    CHECK(!error && again.path() == "./a" && again.path().data() != moved.path().data());
    again = std::move(moved);
    CHECK_EQUAL(text(again), "CREATE ./a");
    std::vector<ain::event_copy> several;
    for (int i = 0; i < 10; ++i)
        several.emplace_back(static_cast<const ain::event &>(again));
    CHECK(std::all_of(several.begin(), several.end(), [](const ain::event &event) { return event.name() == "a"; }));
}

TEST(range_for)
{
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    for (auto &event : inotify.events())
        fail(__FILE__, __LINE__, text(event));
    lines expected;
    for (int i = 0; i < 1000; ++i) {
        make_entry(std::to_string(i));
        expected.push_back("CREATE ./" + std::to_string(i));
    }
    lines all;
    for (auto &event : inotify.events())
        all.push_back(text(event));
    CHECK_EQUAL(all, expected);
    CHECK(!readable(inotify));
}

TEST(leaving_a_range_loses_nothing)
{
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    for (const char *name : {"a", "b", "c", "d", "e"})
        make_entry(name);
    for (auto &event : inotify.events())
        if (event.name() == "b")
            break;
    CHECK(readable(inotify));
    CHECK_THROWS(char, for (auto &event : inotify.events()) throw char(event.name()[0])) { CHECK_EQUAL(thrown, 'c'); }
    lines two;
    for (auto &event : inotify.events(1))
        two.push_back(text(event));
    CHECK_EQUAL(two, lines{"CREATE ./d"});
    CHECK_EQUAL(drain(inotify), lines{"CREATE ./e"});
}

TEST(a_range_is_an_input_range)
{
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    for (const char *name : {"a", "bb", "ccc"})
        make_entry(name);
    auto range = inotify.events();
    auto add = [](std::size_t sum, const ain::event &event) { return sum + event.name().size(); };
    std::size_t length = std::accumulate(range.begin(), range.end(), std::size_t(0), add);
    CHECK_EQUAL(length, 6u);
#if defined(__cpp_lib_ranges)
    static_assert(std::input_iterator<ain::event_range::iterator>);
    static_assert(std::input_iterator<ain::event_batch::iterator>);
#endif
}

TEST(a_bounded_range_makes_a_new_edge)
{
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_event interest = {};
    interest.events = EPOLLIN | EPOLLET;
    CHECK_EQUAL(epoll_ctl(epoll, EPOLL_CTL_ADD, inotify.fd(), &interest), 0);
    for (int i = 0; i < 10; ++i)
        make_entry(std::to_string(i));
    int taken = 0;
    while (taken < 10) {
        CHECK_EQUAL(epoll_wait(epoll, &interest, 1, 10000), 1);
        for (auto &event : inotify.events(3))
            taken += event.is(ain_mask::create);
    }
    CHECK_EQUAL(taken, 10);
    close(epoll);
}

TEST(range_errors)
{
    ain::inotify closed(nullptr);
    std::error_code error;
    for (auto &event : closed.events(error))
        fail(__FILE__, __LINE__, text(event));
    CHECK(error == std::errc::invalid_argument);
    CHECK_THROWS(std::system_error, for (auto &event : closed.events()) (void)event)
    {
        CHECK(thrown.code() == std::errc::invalid_argument);
    }
    CHECK_THROWS(std::system_error, (void)closed.get()) { CHECK(std::strstr(thrown.what(), "asyncinotify_get")); }
    ain::inotify inotify;
    for (auto &event : inotify.events(error))
        fail(__FILE__, __LINE__, text(event));
    CHECK(!error);
}

TEST(batches)
{
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    for (int i = 0; i < 100; ++i)
        make_entry(std::to_string(i));
    ain::event_batch batch(64);
    CHECK(batch.empty() && batch.capacity() == 64);
    CHECK_EQUAL(inotify.get_events(batch), 64u);
    int next = 0;
    for (auto &event : batch)
        CHECK_EQUAL(event.name(), std::to_string(next++));
    CHECK_EQUAL(batch[63].name(), "63");
    CHECK(batch.begin()->name() == "0");
    CHECK_EQUAL(std::distance(batch.begin(), batch.end()), 64);
    CHECK_EQUAL(inotify.get_events(batch), 36u);
    CHECK(batch.size() == 36 && batch[0].name() == "64");
    CHECK_EQUAL(inotify.get_events(batch), 0u);
    CHECK(batch.empty() && batch.begin() == batch.end());
    ain::event_batch no_room(0);
    std::error_code error;
    CHECK(inotify.get_events(no_room, error) == 0 && error == std::errc::invalid_argument);
}

TEST(waiting)
{
    using namespace std::chrono_literals;
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    std::error_code error;
    CHECK(!inotify.sync_get(error) && error == std::errc::resource_unavailable_try_again);
    inotify.set_sync_timeout(1ms);
    CHECK(!inotify.sync_get(error) && !error);
    make_entry("a");
    inotify.set_sync_timeout(10s);
    CHECK(inotify.sync_get().value().path() == "./a");
}

TEST(waking)
{
    ain::inotify inotify;
    inotify.set_sync_timeout(ain::infinite);
    CHECK(inotify.wake() && readable(inotify));
    std::error_code error;
    CHECK(!inotify.sync_get(error) && error == std::errc::interrupted);
    CHECK(!readable(inotify));
    std::thread waker([&] { inotify.wake(); });
    CHECK_THROWS(std::system_error, (void)inotify.sync_get()) { CHECK(thrown.code() == std::errc::interrupted); }
    waker.join();
}

TEST(watches_come_while_another_thread_waits)
{
    ain::inotify inotify;
    inotify.set_sync_timeout(std::chrono::seconds(10));
    std::thread adder([&] {
        ain::watch watch = inotify.add_watch(".", ain_mask::create);
        make_entry("a");
        watch.release();
    });
    std::optional<ain::event> event = inotify.sync_get();
    adder.join();
    CHECK(event && event->path() == "./a");
}
