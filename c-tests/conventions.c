/* What holds for the whole interface: error codes and messages, versions, the format of a mask. Constants: tests/header.rs;
 * structs: tests/abi; exports: tests/symbols.rs. */
#include "harness.h"

#if ASYNCINOTIFY_VERSION_NUMBER != (ASYNCINOTIFY_VERSION_MAJOR << 16 | ASYNCINOTIFY_VERSION_MINOR << 8 | ASYNCINOTIFY_VERSION_PATCH)
#error "the version number is made of its parts"
#endif

TEST(version_of_the_library_is_that_of_the_header)
{
    CHECK_HEX(asyncinotify_version(), ASYNCINOTIFY_VERSION_NUMBER);
    CHECK_STR(asyncinotify_version_string(), ASYNCINOTIFY_VERSION_STRING);
    CHECK_STR(ASYNCINOTIFY_VERSION_STRING,
              text("%d.%d.%d", ASYNCINOTIFY_VERSION_MAJOR, ASYNCINOTIFY_VERSION_MINOR, ASYNCINOTIFY_VERSION_PATCH));
}

TEST(strerror_takes_either_sign)
{
    CHECK_STR(asyncinotify_strerror(-ENOENT), asyncinotify_strerror(ENOENT));
    CHECK_STR(asyncinotify_strerror(-ENOSPC), asyncinotify_strerror(ENOSPC));
    CHECK(strcmp(asyncinotify_strerror(-ENOENT), asyncinotify_strerror(-ENOSPC)) != 0);
}

TEST(strerror_gives_a_text_for_every_number)
{
    const int numbers[] = {0, 1, -1, 4095, -4095, 123456, -123456, INT_MAX, INT_MIN};
    for (int error = -200; error <= 200; error++)
        CHECK(asyncinotify_strerror(error) && *asyncinotify_strerror(error));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        CHECK(asyncinotify_strerror(numbers[i]) && *asyncinotify_strerror(numbers[i]));
}

TEST(strerror_text_is_static)
{
    const char *first = asyncinotify_strerror(-EINVAL);
    char copy[256];
    snprintf(copy, sizeof copy, "%s", first);
    for (int error = 1; error < 200; error++)
        asyncinotify_strerror(error);
    CHECK_STR(first, copy);
    CHECK(asyncinotify_strerror(-EINVAL) == first);
}

TEST(last_error_message_is_empty_before_any_failure)
{
    CHECK_STR(asyncinotify_last_error_message(), "");
}

TEST(last_error_message_names_the_call_the_path_and_the_cause)
{
    asyncinotify *in = open_instance();
    CHECK_INT(asyncinotify_add_watch(in, "no/such/thing", IN_CREATE, NULL), -ENOENT);
    CHECK_CONTAINS(asyncinotify_last_error_message(), "add_watch");
    CHECK_CONTAINS(asyncinotify_last_error_message(), "no/such/thing");
    CHECK_CONTAINS(asyncinotify_last_error_message(), strerror(ENOENT));
    CHECK_INT(asyncinotify_add_recursive(in, "no/such/tree", IN_CREATE, NULL, NULL), -ENOENT);
    CHECK_CONTAINS(asyncinotify_last_error_message(), "add_recursive");
    CHECK_CONTAINS(asyncinotify_last_error_message(), "no/such/tree");
    CHECK_CONTAINS(asyncinotify_last_error_message(), strerror(ENOENT));
    finish(in);
}

TEST(last_error_message_stays_until_the_next_failure)
{
    asyncinotify *in = open_instance();
    CHECK_INT(asyncinotify_add_watch(in, "first", IN_CREATE, NULL), -ENOENT);
    const char *message = asyncinotify_last_error_message();
    OK(asyncinotify_add_watch(in, ".", IN_CREATE, NULL));
    CHECK(asyncinotify_last_error_message() == message);
    CHECK_CONTAINS(message, "first");
    CHECK_INT(asyncinotify_add_watch(in, "second", IN_CREATE, NULL), -ENOENT);
    CHECK_CONTAINS(asyncinotify_last_error_message(), "second");
    finish(in);
}

static void *fail_in_thread(void *in)
{
    CHECK_STR(asyncinotify_last_error_message(), "");
    CHECK_INT(asyncinotify_add_watch(in, "in-thread", IN_CREATE, NULL), -ENOENT);
    CHECK_CONTAINS(asyncinotify_last_error_message(), "in-thread");
    return NULL;
}

TEST(last_error_message_is_the_threads_own)
{
    asyncinotify *in = open_instance();
    CHECK_INT(asyncinotify_add_watch(in, "in-main", IN_CREATE, NULL), -ENOENT);
    struct thread thread;
    start_thread(&thread, fail_in_thread, in);
    join_thread(&thread);
    CHECK_CONTAINS(asyncinotify_last_error_message(), "in-main");
    finish(in);
}

TEST(every_kind_of_failure_leaves_a_message)
{
    asyncinotify *in = open_instance();
    asyncinotify_event event;
#define FAILS(call, part)                                                                                             \
    do {                                                                                                              \
        CHECK_INT(asyncinotify_add_watch(in, "reset", IN_CREATE, NULL), -ENOENT);                                     \
        CHECK((call) < 0);                                                                                            \
        CHECK_CONTAINS(asyncinotify_last_error_message(), part);                                                      \
        CHECK(!strstr(asyncinotify_last_error_message(), "reset"));                                                   \
    } while (0)
    FAILS(asyncinotify_new(1, &(asyncinotify *){NULL}), "new");
    FAILS(asyncinotify_fd(NULL), "fd");
    FAILS(asyncinotify_set_cache_size(in, 0), "cache_size");
    FAILS(asyncinotify_set_sync_timeout(in, -3), "sync_timeout");
    FAILS(asyncinotify_debug_dump(in, -1), "debug_dump");
    FAILS(asyncinotify_rm_watch(in, 1), "rm_watch");
    FAILS(asyncinotify_watch_wd(in, 0), "watch");
    FAILS(asyncinotify_get(in, NULL), "get");
    FAILS(asyncinotify_get_events(in, &event, 0), "get_events");
    FAILS(asyncinotify_event_dup(NULL, NULL), "dup");
    FAILS(asyncinotify_watch_each_directory(in, 0, NULL, NULL), "each_directory");
#undef FAILS
    finish(in);
}

/* Of mask_format, into a large enough buffer. */
static const char *formatted(uint32_t mask)
{
    static char buffer[512];
    memset(buffer, 'x', sizeof buffer);
    int length = (int)OK(asyncinotify_mask_format(mask, buffer, sizeof buffer));
    CHECK_INT(strlen(buffer), length);
    return buffer;
}

TEST(mask_format_names_every_bit)
{
    static const struct {
        uint32_t mask;
        const char *name;
    } bits[] = {{IN_ACCESS, "ACCESS"}, {IN_MODIFY, "MODIFY"}, {IN_ATTRIB, "ATTRIB"}, {IN_CLOSE_WRITE, "CLOSE_WRITE"},
                {IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"}, {IN_OPEN, "OPEN"}, {IN_MOVED_FROM, "MOVED_FROM"},
                {IN_MOVED_TO, "MOVED_TO"}, {IN_CREATE, "CREATE"}, {IN_DELETE, "DELETE"}, {IN_DELETE_SELF, "DELETE_SELF"},
                {IN_MOVE_SELF, "MOVE_SELF"}, {IN_UNMOUNT, "UNMOUNT"}, {IN_Q_OVERFLOW, "Q_OVERFLOW"}, {IN_IGNORED, "IGNORED"},
                {IN_ONLYDIR, "ONLYDIR"}, {IN_DONT_FOLLOW, "DONT_FOLLOW"}, {IN_EXCL_UNLINK, "EXCL_UNLINK"},
                {IN_MASK_CREATE, "MASK_CREATE"}, {IN_MASK_ADD, "MASK_ADD"}, {IN_ISDIR, "ISDIR"},
                {(uint32_t)IN_ONESHOT, "ONESHOT"}};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        CHECK_STR(formatted(bits[i].mask), bits[i].name);
}

TEST(mask_format_joins_names_with_bars)
{
    CHECK_STR(formatted(IN_CREATE | IN_ISDIR), "CREATE|ISDIR");
    CHECK_STR(formatted(IN_ISDIR | IN_MOVED_TO | IN_ATTRIB), "ATTRIB|MOVED_TO|ISDIR");
}

TEST(mask_format_shows_unknown_bits_as_a_number)
{
    CHECK_STR(formatted(0x10000), "0x10000");
    CHECK_STR(formatted(IN_CREATE | 0x10000), "CREATE|0x10000");
}

TEST(mask_format_of_nothing_is_0)
{
    CHECK_STR(formatted(0), "0");
}

TEST(mask_format_truncates_and_tells_the_whole_length)
{
    char buffer[8] = "xxxxxxx";
    CHECK_INT(asyncinotify_mask_format(IN_CREATE | IN_ISDIR, buffer, 7), 12);
    CHECK_STR(buffer, "CREATE");
    CHECK_INT(buffer[7], 0);
    CHECK_INT(asyncinotify_mask_format(IN_CREATE, buffer, 1), 6);
    CHECK_STR(buffer, "");
    CHECK_INT(asyncinotify_mask_format(IN_CREATE, buffer, 6), 6);
    CHECK_STR(buffer, "CREAT");
    CHECK_INT(asyncinotify_mask_format(IN_CREATE, buffer, 7), 6);
    CHECK_STR(buffer, "CREATE");
}

TEST(mask_format_of_size_0_only_measures)
{
    char buffer[] = "same";
    CHECK_INT(asyncinotify_mask_format(IN_CREATE | IN_ISDIR, NULL, 0), 12);
    CHECK_INT(asyncinotify_mask_format(IN_CREATE | IN_ISDIR, buffer, 0), 12);
    CHECK_STR(buffer, "same");
}
