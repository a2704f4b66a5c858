/* Recursive watches with all their options. */
#include "harness.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>

#include <sys/resource.h>

static lines directories(const ain::watch_ref &tree)
{
    lines all;
    tree.each_directory([&](std::string_view path) { all.emplace_back(path); });
    std::sort(all.begin(), all.end());
    return all;
}

static void make_tree()
{
    for (const char *path : {"t", "t/a", "t/a/b", "t/c"})
        make_dir(path);
}

TEST(a_tree_is_watched)
{
    make_tree();
    ain::inotify inotify;
    ain::watch tree = inotify.add_recursive("t", ain_mask::create);
    CHECK_EQUAL(directories(tree), (lines{"t", "t/a", "t/a/b", "t/c"}));
    make_entry("t/a/b/file");
    std::optional<ain::event> event = inotify.get();
    CHECK(event && event->path() == "t/a/b/file" && event->watch() == tree.id());
    tree.reset();
    CHECK_EQUAL(drain(inotify), lines{"IGNORED t"});
}

TEST(a_tree_has_a_callback)
{
    make_tree();
    ain::inotify inotify;
    lines heard;
    {
        ain::watch tree = inotify.add_recursive(fs::path("t"), ain_mask::close_write | ain_mask::move);
        tree.set_callback([&, held = counted()](const ain::event &event) { heard.push_back(text(event)); });
        fs::rename("t/a/b", "t/c/d");
        write_file("t/c/d/file");
        inotify.dispatch();
        CHECK_EQUAL(heard, (lines{"MOVED_FROM|ISDIR t/a/b", "MOVED_TO|ISDIR t/c/d <- t/a/b",
                                  "CLOSE_WRITE t/c/d/file"}));
    }
    CHECK_EQUAL(counted::destroyed, 1);
}

TEST(options_list_existing)
{
    make_tree();
    ain::inotify inotify;
    ain::recursive_options options;
    options.flags = ain::recursive_flags::list_existing | ain::recursive_flags::one_filesystem;
    ain::watch tree = inotify.add_recursive("t", ain_mask::create, std::move(options));
    lines all = drain(inotify);
    CHECK(all.size() == 5 && all.front() == "SYNC_BEGIN t" && all.back() == "SYNC_END t");
    std::sort(all.begin(), all.end());
    CHECK_EQUAL(all[2], "SYNTHETIC CREATE|ISDIR t/a");
}

TEST(options_background)
{
    make_tree();
    ain::inotify inotify;
    ain::recursive_options options;
    options.flags = ain::recursive_flags::background;
    std::error_code error;
    ain::watch tree = inotify.add_recursive("t", ain_mask::create, std::move(options), error);
    CHECK(!error);
    for (bool complete = false; !complete;) {
        wait_readable(inotify);
        for (auto &event : inotify.events())
            complete |= event.is(ain::event_flags::sync_end);
    }
    CHECK_EQUAL(directories(tree).size(), 4u);
}

TEST(options_max_depth)
{
    make_tree();
    ain::inotify inotify;
    ain::recursive_options options;
    options.max_depth = 2;
    ain::watch tree = inotify.add_recursive("t", ain_mask::create, std::move(options));
    CHECK_EQUAL(directories(tree), (lines{"t", "t/a", "t/c"}));
}

TEST(a_filter_and_its_captures)
{
    make_tree();
    {
        ain::inotify inotify;
        lines asked;
        ain::recursive_options options;
        options.filter = [&, held = counted()](std::string_view path) {
            asked.emplace_back(path);
            return path != "t/a";
        };
        CHECK(options.filter && !ain::directory_filter() && !ain::directory_filter(nullptr));
        ain::watch tree = inotify.add_recursive("t", ain_mask::create, std::move(options));
        CHECK(!options.filter);
        CHECK_EQUAL(directories(tree), (lines{"t", "t/c"}));
        std::sort(asked.begin(), asked.end());
        CHECK_EQUAL(asked, (lines{"t/a", "t/c"}));
        make_dir("t/new");
        drain(inotify);
        CHECK_EQUAL(asked.back(), "t/new");
        CHECK_EQUAL(counted::alive, 1);
        tree.reset();
        drain(inotify);
        CHECK(counted::alive == 0 && counted::destroyed == 1);

        options = {};
        options.filter = [held = counted()](const fs::path &path) { return path.filename() != "c"; };
        tree = inotify.add_recursive("t", ain_mask::create, std::move(options));
        CHECK_EQUAL(directories(tree), (lines{"t", "t/a", "t/a/b", "t/new"}));
        tree.release();
    }
    CHECK(counted::alive == 0 && counted::destroyed == 2); // with the instance
}

TEST(a_filter_of_a_tree_that_failed)
{
    ain::inotify inotify;
    ain::recursive_options options;
    options.filter = [held = counted()](std::string_view) { return true; };
    std::error_code error;
    CHECK(!inotify.add_recursive("no/such", ain_mask::create, std::move(options), error));
    CHECK(error == std::errc::no_such_file_or_directory);
    CHECK(counted::alive == 0 && counted::destroyed == 1);
    CHECK_THROWS(std::system_error, (void)inotify.add_recursive("no/such", ain_mask::create)) {}
}

TEST(a_filter_throws_in_add_recursive)
{
    make_tree();
    ain::inotify inotify;
    ain::recursive_options options;
    int asked = 0;
    options.filter = [&, held = counted()](std::string_view) -> bool {
        ++asked;
        throw std::runtime_error("no");
    };
    std::error_code error;
    CHECK_THROWS(std::runtime_error, (void)inotify.add_recursive("t", ain_mask::create, std::move(options), error)) {}
    CHECK_EQUAL(asked, 1);
    CHECK_EQUAL(drain(inotify), lines{"IGNORED t"}); // taken away again
    CHECK(inotify.watches().empty());
    CHECK(counted::alive == 0 && counted::destroyed == 1);
}

/* The filter throws while an event is taken: the event comes first, then the exception, then what follows. */
TEST(a_filter_throws_and_no_event_is_lost)
{
    for (int way = 0; way < 4; ++way) {
        make_dir("t");
        ain::inotify inotify;
        ain::recursive_options options;
        options.filter = [](std::string_view path) {
            if (path == "t/bad")
                throw std::runtime_error("bad");
            return true;
        };
        ain::watch tree = inotify.add_recursive("t", ain_mask::create, std::move(options));
        for (const char *path : {"t/a", "t/bad", "t/c"})
            make_dir(path);
        inotify.set_sync_timeout(std::chrono::seconds(0));
        lines taken;
        int exceptions = 0;
        // On a busy machine a slice of the scan may be over before the filter is asked: then there is more to come.
        for (bool more = true; more || readable(inotify);) {
            try {
                ain::event_batch batch(2);
                std::optional<ain::event> event;
                switch (way) {
                case 0:
                    if ((more = (event = inotify.get()).has_value()))
                        taken.push_back(text(*event));
                    break;
                case 1:
                    if ((more = (event = inotify.sync_get()).has_value()))
                        taken.push_back(text(*event));
                    break;
                case 2:
                    more = inotify.get_events(batch) > 0;
                    for (auto &one : batch)
                        taken.push_back(text(one));
                    break;
                default:
                    more = inotify.dispatch([&](const ain::event &one) { taken.push_back(text(one)); }, 1) > 0;
                }
            } catch (const std::runtime_error &error) {
                CHECK_EQUAL(std::string(error.what()), "bad");
                ++exceptions;
            }
        }
        CHECK_EQUAL(taken, (lines{"CREATE|ISDIR t/a", "CREATE|ISDIR t/bad", "CREATE|ISDIR t/c"}));
        CHECK_EQUAL(exceptions, 1);
        CHECK_EQUAL(directories(tree), (lines{"t", "t/a", "t/c"}));
        fs::remove_all("t");
    }
}

TEST(a_postponed_exception_goes_with_its_instance)
{
    make_dir("t");
    std::weak_ptr<int> exception;
    {
        ain::inotify inotify;
        ain::recursive_options options;
        options.filter = [&](std::string_view) -> bool {
            auto thrown = std::make_shared<int>(7);
            exception = thrown;
            throw thrown;
        };
        ain::watch tree = inotify.add_recursive("t", ain_mask::create, std::move(options));
        make_dir("t/a");
        CHECK(inotify.get());
        CHECK(!exception.expired());
    }
    CHECK(exception.expired());
    ain::inotify other;
    CHECK(!other.get());
}

TEST(each_directory)
{
    make_tree();
    ain::inotify inotify;
    ain::watch tree = inotify.add_recursive("t", ain_mask::create), plain = inotify.add_watch("t", ain_mask::create);
    int calls = 0;
    CHECK_EQUAL(tree.each_directory([&](const fs::path &path) { calls += !path.empty(); }), 4u);
    CHECK_EQUAL(calls, 4);
    CHECK_EQUAL(tree.each_directory([](std::string_view) { return ain::flow::stop; }), 1u);
    CHECK_THROWS(int, tree.each_directory([](std::string_view) { throw 7; })) { CHECK_EQUAL(thrown, 7); }
    std::error_code error;
    CHECK_EQUAL(plain.each_directory([](std::string_view) {}, error), 0u);
    CHECK(error == std::errc::invalid_argument);
}

TEST(trouble_is_an_error_code)
{
    ain::event nothing;
    CHECK(!nothing.error());
    asyncinotify_event raw = nothing.native();
    raw.flags = ASYNCINOTIFY_EVENT_ERROR;
    raw.error = EACCES;
    ain::event event(raw);
    CHECK(event.is(ain::event_flags::error) && event.error() == std::errc::permission_denied);
}

TEST(each_trouble_where_there_is_none)
{
    make_tree();
    ain::inotify inotify;
    ain::watch tree = inotify.add_recursive("t", ain_mask::create), plain = inotify.add_watch("t", ain_mask::create);
    std::error_code error;
    CHECK(tree.each_trouble([](std::string_view, std::error_code) {}, error) == 0 && !error);
    CHECK_EQUAL(tree.each_trouble([](const fs::path &, std::error_code) { throw 7; }), 0u);
    CHECK_EQUAL(plain.each_trouble([](std::string_view, std::error_code) {}, error), 0u);
    CHECK(error == std::errc::invalid_argument);
    CHECK_THROWS(std::system_error, plain.each_trouble([](std::string_view, std::error_code) {})) {}
    tree.reset();
    CHECK_EQUAL(tree.each_trouble([](std::string_view, std::error_code) {}, error), 0u);
    CHECK(error == std::errc::invalid_argument);
}

/* As long as it lives no file can be opened: what has been opened goes on. */
class no_descriptors {
public:
    no_descriptors()
    {
        int failed = getrlimit(RLIMIT_NOFILE, &before_);
        rlimit none = {1, before_.rlim_max}; // of 0, poll(2) would take no descriptor
        if (failed != 0 || setrlimit(RLIMIT_NOFILE, &none) != 0)
            fail(__FILE__, __LINE__, "RLIMIT_NOFILE");
    }
    ~no_descriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_ = {};
};

TEST(trouble_is_listed_and_heals)
{
    make_dir("t");
    ain::inotify inotify;
    ain::watch tree = inotify.add_recursive("t", ain_mask::create);
    lines told, listed;
    std::vector<std::error_code> errors; // looked at in the end: the sanitizer wants a descriptor for a virtual call
    {
        no_descriptors limit;
        make_dir("t/a");
        make_dir("t/b");
        make_entry("t/a/file");
        while (told.size() < 4) {
            wait_readable(inotify);
            for (auto &event : inotify.events()) {
                told.push_back(text(event));
                if (event.is(ain::event_flags::error))
                    errors.push_back(event.error());
            }
        }
    }
    std::sort(told.begin(), told.end());
    CHECK_EQUAL(told, (lines{"CREATE|ISDIR t/a", "CREATE|ISDIR t/b", "ERROR ISDIR t/a", "ERROR ISDIR t/b"}));

    // Nothing is tried again but by the calls that take events.
    auto list = [&](std::string_view path, std::error_code why) {
        listed.emplace_back(path);
        errors.push_back(why);
    };
    CHECK_EQUAL(tree.each_trouble(list), 2u);
    std::sort(listed.begin(), listed.end());
    CHECK_EQUAL(listed, (lines{"t/a", "t/b"}));
    CHECK_EQUAL(tree.each_trouble([](std::string_view, std::error_code) { return ain::flow::stop; }), 1u);
    CHECK_THROWS(int, tree.each_trouble([](std::string_view, std::error_code) { throw 7; })) { CHECK_EQUAL(thrown, 7); }
    CHECK_EQUAL(errors.size(), 4u);
    for (std::error_code error : errors)
        CHECK(error == std::errc::too_many_files_open);

    told.clear();
    while (told.size() < 3) {
        wait_readable(inotify);
        for (auto &event : inotify.events()) {
            CHECK(!event.error());
            told.push_back(text(event));
        }
    }
    auto where = [&](const char *line) { return std::find(told.begin(), told.end(), line); };
    CHECK(where("SYNTHETIC CREATE t/a/file") < where("HEALED ISDIR t/a") && where("HEALED ISDIR t/a") != told.end());
    CHECK(where("HEALED ISDIR t/b") != told.end());
    CHECK_EQUAL(tree.each_trouble(list), 0u);
    CHECK_EQUAL(directories(tree), (lines{"t", "t/a", "t/b"}));
}

#if __cplusplus >= 202002L
TEST(options_by_name)
{
    make_tree();
    ain::inotify inotify;
    ain::watch tree = inotify.add_recursive(
        "t", ain_mask::create, {.max_depth = 2, .filter = [](std::string_view path) { return path != "t/c"; }});
    CHECK_EQUAL(directories(tree), (lines{"t", "t/a"}));
}
#endif
