/* Instances and watches: who owns what, moves, and the order in which they go. */
#include "harness.hpp"

#include <climits>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <unistd.h>

static_assert(!std::is_copy_constructible_v<ain::inotify> && !std::is_copy_assignable_v<ain::inotify>);
static_assert(!std::is_copy_constructible_v<ain::watch> && !std::is_copy_assignable_v<ain::watch>);
static_assert(!std::is_copy_constructible_v<ain::event_copy> && !std::is_copy_assignable_v<ain::event_copy>);
static_assert(std::is_nothrow_move_constructible_v<ain::inotify> && std::is_nothrow_move_assignable_v<ain::inotify>);
static_assert(std::is_nothrow_move_constructible_v<ain::watch> && std::is_nothrow_move_assignable_v<ain::watch>);
static_assert(std::is_nothrow_move_constructible_v<ain::event_copy>);
static_assert(std::is_nothrow_move_assignable_v<ain::event_copy>);
static_assert(std::is_trivially_copyable_v<ain::event> && std::is_trivially_copyable_v<ain::watch_ref>);
static_assert(sizeof(ain::inotify) == sizeof(void *));

TEST(an_instance_opens_and_closes)
{
    ain::inotify inotify;
    CHECK(inotify && inotify.fd() >= 0 && inotify.raw_fd() >= 0 && inotify.fd() != inotify.raw_fd());
    CHECK(fcntl(inotify.raw_fd(), F_GETFL) & O_NONBLOCK);
    int fd = inotify.fd();
    inotify.close();
    CHECK(!inotify && inotify.fd() == -1 && inotify.raw_fd() == -1 && fcntl(fd, F_GETFD) == -1);
    inotify.close();
    std::error_code error;
    CHECK(!inotify.get(error) && error == std::errc::invalid_argument);
    CHECK(!inotify.add_watch(".", ain_mask::all, error) && error == std::errc::invalid_argument);
    CHECK(inotify.watches(error).empty() && error == std::errc::invalid_argument);
    CHECK(!inotify.wake() && inotify.cache_size() == 0);
    inotify = ain::inotify(ain::init_flags::cloexec);
    CHECK(inotify && !(fcntl(inotify.raw_fd(), F_GETFL) & O_NONBLOCK));
    ain::inotify none(nullptr);
    CHECK(!none);
}

TEST(an_instance_moves)
{
    ain::inotify first;
    ain::watch watch = first.add_watch(".", ain_mask::create);
    asyncinotify *handle = first.native_handle();
    ain::inotify second(std::move(first));
    CHECK(!first && second.native_handle() == handle && watch.is_active());
    make_entry("a");
    CHECK_EQUAL(drain(second), lines{"CREATE ./a"});

    ain::inotify third;
    int closed = third.fd();
    third = std::move(second);
    CHECK(third.native_handle() == handle && !second && fcntl(closed, F_GETFD) == -1);
    ain::inotify &itself = third;
    third = std::move(itself);
    CHECK(third.native_handle() == handle && watch.is_active());

    ain::inotify fourth(third.release());
    CHECK(!third && fourth.native_handle() == handle && watch.is_active());
}

TEST(a_watch_ends_with_its_object)
{
    ain::inotify inotify;
    {
        ain::watch watch = inotify.add_watch(".", ain_mask::create);
        CHECK(watch && watch.is_active() && watch.id() != ain::watch_id::none);
        make_entry("a");
    }
    make_entry("b");
    CHECK_EQUAL(drain(inotify), (lines{"CREATE ./a", "IGNORED ."}));
    CHECK(inotify.watches().empty());
}

TEST(a_watch_moves)
{
    make_dir("d");
    ain::inotify inotify;
    ain::watch first = inotify.add_watch(".", ain_mask::create);
    ain::watch_id id = first.id();
    ain::watch second(std::move(first));
    CHECK(!first && !first.is_active() && second.id() == id && second.is_active());
    ain::watch third = inotify.add_watch("d", ain_mask::create);
    third = std::move(second); // ends the watch of "d"
    CHECK(!second && third.id() == id);
    CHECK_EQUAL(drain(inotify), lines{"IGNORED d"});
    ain::watch &itself = third;
    third = std::move(itself);
    CHECK(third.is_active());
    std::vector<ain::watch> several;
    several.push_back(std::move(third));
    several.push_back(inotify.add_watch("d", ain_mask::create));
    CHECK_EQUAL(inotify.watches().size(), 2u);
    several.clear();
    CHECK_EQUAL(drain(inotify).size(), 2u);
    CHECK(inotify.watches().empty());
}

TEST(a_watch_is_released)
{
    ain::inotify inotify;
    ain::watch_ref watch = inotify.add_watch(".", ain_mask::create).release();
    CHECK(watch.is_active());
    CHECK(watch == inotify.find_watch(watch.id()) && watch != ain::watch_ref());
    make_entry("a");
    CHECK_EQUAL(drain(inotify), lines{"CREATE ./a"});
    ain::watch owned(watch);
    owned.reset();
    CHECK(!owned);
    owned.reset();
    CHECK_EQUAL(drain(inotify), lines{"IGNORED ."});
}

TEST(a_watch_outlives_its_instance)
{
    ain::watch watch, tree;
    ain::watch_ref copy;
    {
        ain::inotify inotify;
        make_dir("d");
        watch = inotify.add_watch(".", ain_mask::create);
        tree = inotify.add_recursive("d", ain_mask::create);
        copy = watch;
    }
    std::error_code error;
    CHECK(watch && !watch.is_active());
    CHECK(watch.path(error).empty() && error == std::errc::invalid_argument);
    CHECK(watch.wd(error) == -1 && error == std::errc::invalid_argument);
    watch.set_callback([](const ain::event &) {}, error);
    CHECK(error == std::errc::invalid_argument);
    tree.reset();
    // A new instance, perhaps in the old one's place: nothing of it is touched.
    ain::inotify other;
    ain::watch another = other.add_watch(".", ain_mask::create);
    watch.reset();
    CHECK(another.is_active() && !copy.is_active());
    CHECK_THROWS(std::system_error, copy.remove()) { CHECK(thrown.code() == std::errc::invalid_argument); }
}

TEST(getters_and_setters)
{
    ain::inotify inotify;
    make_dir("d");
    ain::watch watch = inotify.add_watch("d", ain_mask::create | ain_mask::onlydir | ain_mask::excl_unlink);
    CHECK_EQUAL(watch.mask(), ain_mask::create | ain_mask::excl_unlink);
    CHECK(watch.wd() > 0);
    CHECK_EQUAL(watch.path(), fs::path("d"));
    fs::path longer = std::string(3000, 'x');
    watch.set_path(longer);
    CHECK_EQUAL(watch.path(), longer);
    watch.set_path("elsewhere");
    make_entry("d/a");
    CHECK_EQUAL(drain(inotify), lines{"CREATE elsewhere/a"});

    std::vector<ain::watch_ref> all = inotify.watches();
    CHECK(all.size() == 1 && all[0] == watch);
    CHECK(all[0].native_handle() == inotify.native_handle());

    CHECK_EQUAL(inotify.cache_size(), 240u);
    inotify.set_cache_size(7);
    CHECK_EQUAL(inotify.cache_size(), 7u);
    CHECK_THROWS(std::system_error, inotify.set_cache_size(0)) { CHECK(thrown.code() == std::errc::invalid_argument); }
}

TEST(what_is_known_is_written_out_as_text)
{
    ain::inotify inotify;
    make_dir("d");
    auto watch = inotify.add_watch("d", ain::mask::create);
    std::FILE *file = std::tmpfile();
    CHECK(file);
    inotify.debug_dump(fileno(file));
    std::string text(4096, '\0');
    text.resize(static_cast<std::size_t>(pread(fileno(file), &text[0], text.size(), 0)));
    std::fclose(file);
    CHECK(text.find("plain \"d\", mask CREATE,") != std::string::npos);
    CHECK_THROWS(std::system_error, inotify.debug_dump(-1)) { CHECK(thrown.code() == std::errc::bad_file_descriptor); }
    std::error_code error;
    inotify.close();
    inotify.debug_dump(STDERR_FILENO, error);
    CHECK(error == std::errc::invalid_argument);
}

TEST(removed_by_reference)
{
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    watch.remove();
    CHECK(watch && !watch.is_active());
    std::error_code error;
    watch.remove(error);
    CHECK(error == std::errc::no_such_file_or_directory);
    CHECK_EQUAL(drain(inotify), lines{"IGNORED ."});
    CHECK(watch.path(error).empty() && error == std::errc::no_such_file_or_directory);
}

TEST(time_outs_are_durations)
{
    using namespace std::chrono_literals;
    ain::inotify inotify;
    CHECK(!inotify.sync_timeout());
    inotify.set_sync_timeout(2s);
    CHECK(inotify.sync_timeout() == 2000ms);
    inotify.set_sync_timeout(ain::infinite);
    CHECK(inotify.sync_timeout() == ain::infinite);
    inotify.set_sync_timeout(std::chrono::hours(24 * 365));
    CHECK(inotify.sync_timeout() == std::chrono::milliseconds(INT_MAX));
    inotify.set_sync_timeout(std::nullopt);
    CHECK(!inotify.sync_timeout());
    std::error_code error;
    inotify.set_sync_timeout(-2ms, error); // is ASYNCINOTIFY_TIMEOUT_DISABLED in C, and nonsense here
    CHECK(error == std::errc::invalid_argument && !inotify.sync_timeout());
    CHECK_THROWS(std::system_error, inotify.set_sync_timeout(-1s)) { CHECK(std::strstr(thrown.what(), "negative")); }
}

TEST(both_headers_and_both_apis_in_one_file)
{
    asyncinotify *handle = nullptr;
    CHECK_EQUAL(asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &handle), 0);
    ain::inotify inotify(handle);
    asyncinotify_watch id = 0;
    CHECK_EQUAL(asyncinotify_add_watch(handle, ".", bits(ain_mask::create), &id), 0);
    ain::watch watch(inotify.find_watch(static_cast<ain::watch_id>(id)));
    CHECK(watch.is_active());
}
