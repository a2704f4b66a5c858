/* The options of recursive watches as C sees them: what a list holds, what a filter may do. Each option: tests/scenarios. */
#include "harness.h"

TEST(LIST_EXISTING_names_every_entry_between_SYNC_BEGIN_and_SYNC_END)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dirs("t/a/b");
    make_file("t/f");
    make_file("t/a/b/g");
    SYS(symlink("f", "t/link"));
    asyncinotify_watch id = tree_with(in, "t", IN_CREATE, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING);
    collect(in, &log);
    CHECK_INT(log.count, 7);
    CHECK_STR(event_text(log.events[0]), "SYNC_BEGIN t");
    CHECK_STR(event_text(log.events[6]), "SYNC_END t");
    CHECK_INT(log.events[0]->watch, id);
    CHECK_HEX(log.events[0]->mask, 0);
    CHECK_HEX(log.events[6]->mask, 0);
    CHECK(log.events[0]->name == NULL);
    CHECK_INT(log_count(&log, IN_CREATE | IN_ISDIR, ASYNCINOTIFY_EVENT_SYNTHETIC, "t/a"), 1);
    CHECK_INT(log_count(&log, IN_CREATE | IN_ISDIR, ASYNCINOTIFY_EVENT_SYNTHETIC, "t/a/b"), 1);
    CHECK_INT(log_count(&log, IN_CREATE, ASYNCINOTIFY_EVENT_SYNTHETIC, "t/f"), 1);
    CHECK_INT(log_count(&log, IN_CREATE, ASYNCINOTIFY_EVENT_SYNTHETIC, "t/a/b/g"), 1);
    CHECK_INT(log_count(&log, IN_CREATE, ASYNCINOTIFY_EVENT_SYNTHETIC, "t/link"), 1);
    log_clear(&log);
    make_file("t/a/later");
    expect(in, "CREATE t/a/later");
    finish(in);
}

struct filter {
    asyncinotify *in;
    char asked[64][256];
    int count;
};

static int not_named_no(asyncinotify *in, const char *path, size_t path_len, void *userdata)
{
    struct filter *filter = userdata;
    CHECK(in == filter->in);
    CHECK_INT(strlen(path), path_len);
    CHECK(filter->count < 64);
    snprintf(filter->asked[filter->count++], sizeof filter->asked[0], "%s", path);
    const char *name = strrchr(path, '/') + 1;
    return strncmp(name, "no", 2) != 0;
}

static int times_asked(const struct filter *filter, const char *path)
{
    int count = 0;
    for (int i = 0; i < filter->count; i++)
        count += !strcmp(filter->asked[i], path);
    return count;
}

TEST(the_filter_is_asked_once_for_each_directory_and_never_for_the_root)
{
    asyncinotify *in = open_instance();
    struct filter filter = {.in = in};
    make_dirs("t/a/b");
    make_dirs("t/no/below");
    make_file("t/file");
    tree_options(in, "t", IN_CREATE, 0, 0, not_named_no, &filter);
    CHECK_INT(filter.count, 3);
    CHECK_INT(times_asked(&filter, "t/a"), 1);
    CHECK_INT(times_asked(&filter, "t/a/b"), 1);
    CHECK_INT(times_asked(&filter, "t/no"), 1);
    make_dirs("t/a/new/no-2/x");
    drain(in);
    CHECK_INT(filter.count, 5);
    CHECK_INT(times_asked(&filter, "t/a/new"), 1);
    CHECK_INT(times_asked(&filter, "t/a/new/no-2"), 1);
    finish(in);
}

TEST(the_filter_may_call_the_library)
{
    asyncinotify *in = open_instance();
    struct filter filter = {.in = in};
    make_dirs("t/a");
    make_dir("d");
    asyncinotify_watch plain = watch(in, "d", IN_CREATE);
    tree_options(in, "t", IN_CREATE, 0, 0, not_named_no, &filter);
    CHECK_INT(asyncinotify_watch_is_active(in, plain), 1);
    finish(in);
}

struct taking_filter {
    int asked, taken;
};

static int take_in_filter(asyncinotify *in, const char *path, size_t path_len, void *userdata)
{
    struct taking_filter *filter = userdata;
    asyncinotify_event event;
    (void)path;
    (void)path_len;
    filter->asked++;
    for (int round = 0; round < 5; round++) {
        make_entry(text("d/taken-by-the-filter-%d", round));
        while (asyncinotify_get(in, &event) == 1) filter->taken++;
    }
    return 1;
}

TEST(the_filter_may_take_events_while_get_events_gathers_and_no_string_that_it_has_gathered_goes)
{
    enum { FILES = 40, ROOM = 64 };
    asyncinotify *in = open_instance();
    struct taking_filter filter = {0};
    asyncinotify_event events[ROOM];
    intptr_t count;
    make_dir("t");
    make_dir("d");
    watch(in, "d", IN_CREATE);
    tree_options(in, "t", IN_CREATE, 0, 0, take_in_filter, &filter);
    OK(asyncinotify_set_cache_size(in, 1)); /* several reads for one call */
    for (int file = 0; file < FILES; file++) make_entry(text("t/%d", file));
    make_dir("t/new");
    count = OK(asyncinotify_get_events(in, events, ROOM));
    CHECK_INT(filter.asked, 1);
    CHECK(filter.taken >= 5);
    CHECK(count > FILES - 10); /* the filter may have taken those of the last read */
    for (int file = 0; file < FILES - 10; file++) CHECK_STR(events[file].path, text("t/%d", file));
    finish(in);
}

static int close_in_filter(asyncinotify *in, const char *path, size_t path_len, void *userdata)
{
    (void)path;
    (void)path_len;
    ++*(int *)userdata;
    asyncinotify_close(in);
    return 1;
}

TEST(the_filter_may_close_the_instance)
{
    asyncinotify *in = open_instance();
    int calls = 0;
    make_dirs("t/a/b");
    asyncinotify_recursive_options options = {.size = sizeof options, .filter = close_in_filter, .filter_userdata = &calls};
    CHECK_INT(asyncinotify_add_recursive(in, "t", IN_CREATE, &options, NULL), -ECANCELED);
    CHECK(calls >= 1);
    CHECK_INT(asyncinotify_fd(in), -EINVAL);
}

struct slow_filter {
    asyncinotify *in;
    int asked[2], answer[2]; /* pipes */
};

static int wait_for_answer(asyncinotify *in, const char *path, size_t path_len, void *userdata)
{
    struct slow_filter *filter = userdata;
    char byte = 0;
    (void)in;
    (void)path;
    (void)path_len;
    SYS(write(filter->asked[1], &byte, 1));
    SYS(read(filter->answer[0], &byte, 1));
    return 1;
}

static void open_pipes(struct slow_filter *filter)
{
    SYS(pipe(filter->asked));
    SYS(pipe(filter->answer));
}

static void close_pipes(struct slow_filter *filter)
{
    for (int end = 0; end < 2; end++) {
        SYS(close(filter->asked[end]));
        SYS(close(filter->answer[end]));
    }
}

static void *add_with_slow_filter(void *argument)
{
    struct slow_filter *filter = argument;
    asyncinotify_recursive_options options = {.size = sizeof options, .filter = wait_for_answer, .filter_userdata = filter};
    return (void *)(intptr_t)asyncinotify_add_recursive(filter->in, "t", IN_CREATE, &options, NULL);
}

TEST(while_one_thread_asks_a_filter_others_hear_their_events_and_do_not_spin)
{
    struct slow_filter filter = {.in = open_instance()};
    struct thread thread;
    char byte = 0;
    open_pipes(&filter);
    make_dir("d");
    make_dirs("t/a/b");
    watch(filter.in, "d", IN_CREATE);
    start_thread(&thread, add_with_slow_filter, &filter);
    for (int directory = 0; directory < 2; directory++) {
        SYS(read(filter.asked[0], &byte, 1));
        drain(filter.in); /* until the fd is not readable, so it must become that */
        CHECK(!readable(filter.in));
        make_file("d/%d", directory);
        CHECK(readable(filter.in));
        expect(filter.in, text("CREATE d/%d", directory));
        CHECK(!readable(filter.in));
        SYS(write(filter.answer[1], &byte, 1));
    }
    OK((intptr_t)join_thread(&thread));
    CHECK_INT(kernel_watches(filter.in), 4);
    finish(filter.in);
    close_pipes(&filter);
}

static void *sync_get(void *in)
{
    asyncinotify_event event;
    return (void *)(intptr_t)asyncinotify_sync_get(in, &event);
}

/* The filter has no answer before the calls have returned: one that waited for it would wait for ever. */
TEST(wake_and_close_return_at_once_while_another_thread_asks_a_filter)
{
    struct slow_filter filter = {.in = open_instance()};
    struct thread adds, waits;
    char byte = 0;
    open_pipes(&filter);
    make_dirs("t/a");
    OK(asyncinotify_set_sync_timeout(filter.in, ASYNCINOTIFY_TIMEOUT_INFINITE));
    start_thread(&adds, add_with_slow_filter, &filter);
    SYS(read(filter.asked[0], &byte, 1));
    start_thread(&waits, sync_get, filter.in);
    wait_until_blocked(&waits);
    OK(asyncinotify_wake(filter.in));
    CHECK_INT((intptr_t)join_thread(&waits), -EINTR);
    start_thread(&waits, sync_get, filter.in);
    wait_until_blocked(&waits);
    asyncinotify_close(filter.in);
    CHECK_INT((intptr_t)join_thread(&waits), -ECANCELED);
    CHECK_INT(asyncinotify_wake(filter.in), -EINVAL);
    SYS(write(filter.answer[1], &byte, 1));
    CHECK_INT((intptr_t)join_thread(&adds), -ECANCELED);
    close_pipes(&filter);
}
