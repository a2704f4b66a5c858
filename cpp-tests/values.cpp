/* Masks, error codes, and paths as parameters. */
#include "harness.hpp"

#include <cstring>
#include <sys/inotify.h>
#include <unordered_set>

static_assert(bits(ain_mask::all) == IN_ALL_EVENTS);
static_assert(bits(ain_mask::close) == IN_CLOSE);
static_assert(bits(ain_mask::move) == IN_MOVE);
static_assert(bits(ain_mask::oneshot) == IN_ONESHOT);
static_assert((ain_mask::close_write | ain_mask::close_nowrite) == ain_mask::close);
static_assert((ain_mask::all & ~ain_mask::close) == (ain_mask::all ^ ain_mask::close));
static_assert(any(ain_mask::create) && !any(ain_mask::none));
static_assert((ain::init_flags::cloexec | ain::init_flags::nonblock) == ain::init_flags::defaults);
static_assert(!std::is_convertible_v<ain_mask, unsigned> && !std::is_convertible_v<unsigned, ain_mask>);

template <class Left, class Right, class = void>
inline constexpr bool can_be_combined = false;
template <class Left, class Right>
inline constexpr bool
    can_be_combined<Left, Right, std::void_t<decltype(std::declval<Left>() | std::declval<Right>())>> = true;
static_assert(can_be_combined<ain_mask, ain_mask>);
static_assert(!can_be_combined<ain_mask, ain::event_flags>);
static_assert(!can_be_combined<ain::watch_id, ain::watch_id>);

TEST(masks_equal_the_macros)
{
    const std::pair<ain_mask, unsigned> all[] = {
        {ain_mask::access, ASYNCINOTIFY_ACCESS},
        {ain_mask::modify, ASYNCINOTIFY_MODIFY},
        {ain_mask::attrib, ASYNCINOTIFY_ATTRIB},
        {ain_mask::close_write, ASYNCINOTIFY_CLOSE_WRITE},
        {ain_mask::close_nowrite, ASYNCINOTIFY_CLOSE_NOWRITE},
        {ain_mask::open, ASYNCINOTIFY_OPEN},
        {ain_mask::moved_from, ASYNCINOTIFY_MOVED_FROM},
        {ain_mask::moved_to, ASYNCINOTIFY_MOVED_TO},
        {ain_mask::create, ASYNCINOTIFY_CREATE},
        {ain_mask::delete_, ASYNCINOTIFY_DELETE},
        {ain_mask::delete_self, ASYNCINOTIFY_DELETE_SELF},
        {ain_mask::move_self, ASYNCINOTIFY_MOVE_SELF},
        {ain_mask::unmount, ASYNCINOTIFY_UNMOUNT},
        {ain_mask::q_overflow, ASYNCINOTIFY_Q_OVERFLOW},
        {ain_mask::ignored, ASYNCINOTIFY_IGNORED},
        {ain_mask::isdir, ASYNCINOTIFY_ISDIR},
        {ain_mask::onlydir, ASYNCINOTIFY_ONLYDIR},
        {ain_mask::dont_follow, ASYNCINOTIFY_DONT_FOLLOW},
        {ain_mask::excl_unlink, ASYNCINOTIFY_EXCL_UNLINK},
        {ain_mask::mask_create, ASYNCINOTIFY_MASK_CREATE},
        {ain_mask::mask_add, ASYNCINOTIFY_MASK_ADD},
        {ain_mask::oneshot, ASYNCINOTIFY_ONESHOT},
    };
    for (auto [mask, macro] : all)
        CHECK_EQUAL(bits(mask), macro);
}

TEST(mask_operators)
{
    ain_mask mask = ain_mask::none;
    mask |= ain_mask::create | ain_mask::isdir;
    CHECK_EQUAL(to_string(mask), "CREATE|ISDIR");
    mask &= ~ain_mask::isdir;
    CHECK_EQUAL(mask, ain_mask::create);
    mask ^= ain_mask::create;
    CHECK_EQUAL(to_string(mask), "0");
    CHECK(to_string(~ain_mask::none).size() > 100);
    switch (ain_mask::create | ain_mask::none) {
    case ain_mask::create:
        break;
    default:
        fail(__FILE__, __LINE__, "not a case");
    }
}

TEST(codes_equal_the_standard_ones)
{
    std::error_code code = ain::to_error_code(-ENOSPC);
    CHECK(code == std::errc::no_space_on_device);
    CHECK(code != std::errc::no_such_file_or_directory);
    CHECK_EQUAL(code.value(), ENOSPC);
    CHECK_EQUAL(std::string(code.category().name()), "asyncinotify");
    CHECK_EQUAL(code.message(), asyncinotify_strerror(-ENOSPC));
    CHECK(&code.category() == &ain::category());
    CHECK(!ain::to_error_code(0) && !ain::to_error_code(7));
    CHECK(code.default_error_condition() == std::error_condition(ENOSPC, std::generic_category()));
}

TEST(failures_have_code_and_message)
{
    ain::inotify inotify;
    std::error_code error;
    ain::watch watch = inotify.add_watch("no/such", ain_mask::all, error);
    CHECK(!watch && error == std::errc::no_such_file_or_directory);
    CHECK(std::strstr(ain::last_error_message(), "no/such"));
    CHECK_THROWS(std::system_error, watch = inotify.add_watch("no/such", ain_mask::all))
    {
        CHECK(thrown.code() == std::errc::no_such_file_or_directory);
        CHECK(thrown.code().category() == ain::category());
        CHECK(std::strstr(thrown.what(), "no/such"));
        CHECK(std::strstr(thrown.what(), "No such file or directory"));
    }
    watch = inotify.add_watch(".", ain_mask::all, error);
    CHECK(!error); // success clears it
    CHECK_THROWS(std::system_error, watch = inotify.add_watch(".", ain_mask::none))
    {
        CHECK(thrown.code() == std::errc::invalid_argument);
    }
    CHECK_THROWS(std::system_error, ain::inotify none(static_cast<ain::init_flags>(1)))
    {
        CHECK(thrown.code() == std::errc::invalid_argument);
    }
    ain::inotify none(static_cast<ain::init_flags>(1), error);
    CHECK(!none && error == std::errc::invalid_argument);
}

TEST(every_kind_of_path)
{
    make_dir("d");
    ain::inotify inotify;
    std::string string = "d";
    const char *c_string = "d";
    fs::path path = "d";
    for (int kind = 0; kind < 5; ++kind) {
        ain::watch watch = kind == 0 ? inotify.add_watch("d", ain_mask::create)
            : kind == 1 ? inotify.add_watch(string, ain_mask::create)
            : kind == 2 ? inotify.add_watch(c_string, ain_mask::create)
            : kind == 3 ? inotify.add_watch(path, ain_mask::create)
                        : inotify.add_watch(std::string_view("d/more").substr(0, 1), ain_mask::create);
        CHECK_EQUAL(watch.path(), path);
        make_entry(path / "a");
        CHECK_EQUAL(drain(inotify), lines{"CREATE d/a"});
        remove_entry(path / "a");
        watch.reset();
        CHECK_EQUAL(drain(inotify), lines{"IGNORED d"});
    }
    ain::watch tree = inotify.add_recursive(fs::current_path() / "d", ain_mask::create);
    CHECK_EQUAL(tree.path(), fs::current_path() / "d");
}

TEST(any_bytes_but_nul)
{
    fs::path odd = "\xff odd\n";
    make_dir(odd);
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(odd, ain_mask::create);
    make_entry(odd / "\x80");
    auto event = inotify.get();
    CHECK(event && fs::path(event->path()) == odd / "\x80" && event->name() == "\x80");

    std::error_code error;
    const std::string_view nul("a\0b", 3);
    CHECK(!inotify.add_watch(nul, ain_mask::all, error) && error == std::errc::invalid_argument);
    CHECK(!inotify.add_recursive(nul, ain_mask::all, error) && error == std::errc::invalid_argument);
    watch.set_path(nul, error);
    CHECK(error == std::errc::invalid_argument);
    CHECK_EQUAL(watch.path(), odd);
    CHECK_THROWS(std::system_error, watch.set_path(fs::path(nul)))
    {
        CHECK(thrown.code() == std::errc::invalid_argument);
        CHECK(std::strstr(thrown.what(), "NUL"));
    }
    CHECK_THROWS(std::system_error, (void)inotify.add_watch(nul, ain_mask::all))
    {
        CHECK(std::strstr(thrown.what(), "NUL"));
    }
    CHECK_THROWS(std::system_error, (void)inotify.add_recursive(std::string(nul), ain_mask::all))
    {
        CHECK(std::strstr(thrown.what(), "NUL"));
    }
    CHECK(!inotify.add_watch(static_cast<const char *>(nullptr), ain_mask::all, error));
    CHECK(error == std::errc::invalid_argument);
}

TEST(watch_ids_are_hashed_and_compared)
{
    make_dir("d");
    ain::inotify inotify;
    ain::watch one = inotify.add_watch(".", ain_mask::create), other = inotify.add_watch("d", ain_mask::create);
    std::unordered_set<ain::watch_id> ids = {one.id(), other.id(), one.id()};
    CHECK_EQUAL(ids.size(), 2u);
    CHECK(ids.count(ain::watch_id::none) == 0);
}
