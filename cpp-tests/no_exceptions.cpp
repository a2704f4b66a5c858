/* A program that is built with -fno-exceptions and -fno-rtti: every function that takes an error code. */
#include "harness.hpp"

#if defined(ASYNCINOTIFY_HPP_EXCEPTIONS)
#error "has to be built with -fno-exceptions"
#endif

template <class Inotify, class = void>
inline constexpr bool can_throw = false;
template <class Inotify>
inline constexpr bool can_throw<Inotify, std::void_t<decltype(std::declval<Inotify>().get())>> = true;
static_assert(!can_throw<ain::inotify &>);
static_assert(!std::is_default_constructible_v<ain::inotify>);

TEST(everything_without_exceptions)
{
    std::error_code error;
    ain::inotify inotify(ain::init_flags::defaults, error);
    CHECK(!error);
    make_dir("d");
    make_dir("d/sub");
    ain::watch watch = inotify.add_watch("d", ain_mask::create, error);
    CHECK(watch && !error);
    CHECK(watch.path(error) == "d" && watch.wd(error) > 0 && watch.mask(error) == ain_mask::create);
    watch.set_path("d", error);
    inotify.set_cache_size(10, error);
    inotify.set_sync_timeout(std::chrono::milliseconds(0), error);
    CHECK(!error && inotify.watches(error).size() == 1);

    int heard = 0, others = 0;
    watch.set_callback([&, held = counted()](const ain::event &) { ++heard; }, error);
    make_entry("d/a");
    CHECK_EQUAL(inotify.dispatch(nullptr, error), 1u);
    watch.clear_callback();
    CHECK(heard == 1 && counted::alive == 0);
    make_entry("d/b");
    CHECK_EQUAL(inotify.run([&](const ain::event &) { ++others; }, error), 0);
    CHECK(others == 1 && !error);

    make_entry("d/c");
    auto event = inotify.get(error);
    CHECK(event && !error);
    ain::event_copy copy(*event, error);
    CHECK(copy.path() == "d/c");
    CHECK(!inotify.sync_get(error) && !error);
    make_entry("d/e");
    CHECK_EQUAL(drain(inotify), lines{"CREATE d/e"});
    make_entry("d/f");
    ain::event_batch batch;
    CHECK(inotify.get_events(batch, error) == 1 && batch[0].name() == "f");

    ain::recursive_options options;
    options.filter = [held = counted()](std::string_view path) { return path != "d/sub"; };
    ain::watch tree = inotify.add_recursive("d", ain_mask::create, std::move(options), error);
    CHECK(tree && !error);
    CHECK_EQUAL(tree.each_directory([](std::string_view) {}, error), 1u);
    CHECK(tree.each_trouble([](std::string_view, std::error_code) {}, error) == 0 && !error);
    tree.remove(error);
    CHECK(!error);
    CHECK_EQUAL(drain(inotify), lines{"IGNORED d"});
    CHECK_EQUAL(counted::alive, 0);
    CHECK(!inotify.add_watch("no/such", ain_mask::all, error) && error == std::errc::no_such_file_or_directory);
    CHECK(!inotify.add_watch(std::string_view("\0", 1), ain_mask::all, error) && error == std::errc::invalid_argument);
}
