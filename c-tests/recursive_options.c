/* The options of recursive watches: lists, file systems, depth, filters. */
#include "harness.h"

#include <sys/mount.h>

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

TEST(LIST_EXISTING_of_an_empty_tree_is_an_empty_bracket)
{
    asyncinotify *in = open_instance();
    make_dir("t");
    tree_with(in, "t", IN_CREATE, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING);
    expect(in, "SYNC_BEGIN t", "SYNC_END t");
    finish(in);
}

TEST(LIST_EXISTING_with_CLOSE_WRITE_alone_lists_the_regular_files)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a");
    make_file("t/f");
    make_file("t/a/g");
    SYS(symlink("f", "t/link"));
    tree_with(in, "t", IN_CLOSE_WRITE, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING);
    expect_any_order(in, "SYNC_BEGIN t", "SYNTHETIC CLOSE_WRITE t/f", "SYNTHETIC CLOSE_WRITE t/a/g", "SYNC_END t");
    finish(in);
}

TEST(without_LIST_EXISTING_nothing_is_said_of_what_is_there)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    make_file("t/f");
    tree(in, "t", ENTRIES);
    expect_nothing(in);
    finish(in);
}

TEST(ONE_FILESYSTEM_stays_out_of_what_is_mounted_below)
{
    enter_mount_namespace();
    make_dirs("t/m");
    make_dirs("t/a");
    if (mount("none", "t/m", "tmpfs", 0, NULL) == -1)
        SKIP("can't mount a tmpfs: %s", strerror(errno));
    make_dir("t/m/x");
    asyncinotify *in = open_instance();
    asyncinotify_watch one = tree_with(in, "t", IN_CREATE, ASYNCINOTIFY_RECURSIVE_ONE_FILESYSTEM);
    make_file("t/m/x/f");
    make_file("t/a/f");
    expect(in, "CREATE t/a/f");
    CHECK_INT(kernel_watches(in), 2);
    remove_watch(in, one);
    drain(in);
    asyncinotify_watch all = tree(in, "t", IN_CREATE);
    CHECK_INT(kernel_watches(in), 4);
    make_file("t/m/x/g");
    expect(in, "CREATE t/m/x/g");
    CHECK_DIRECTORIES(in, all, "t");
    finish(in);
}

TEST(max_depth_1_watches_the_root_alone)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    tree_options(in, "t", IN_CREATE, 0, 1, NULL, NULL);
    CHECK_INT(kernel_watches(in), 1);
    make_file("t/f");
    make_file("t/a/f");
    make_dirs("t/new/deep");
    expect(in, "CREATE t/f", "CREATE|ISDIR t/new");
    CHECK_INT(kernel_watches(in), 1);
    finish(in);
}

TEST(max_depth_2_watches_the_subdirectories_too)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b/c");
    tree_options(in, "t", IN_CREATE, 0, 2, NULL, NULL);
    CHECK_INT(kernel_watches(in), 2);
    make_file("t/a/f");
    make_file("t/a/b/f");
    make_dirs("t/new/deep/deeper");
    make_file("t/new/deep/f");
    expect_told(in, "CREATE t/a/f", "CREATE|ISDIR t/new", "CREATE|ISDIR t/new/deep");
    CHECK_INT(kernel_watches(in), 3);
    finish(in);
}

TEST(max_depth_holds_for_directories_that_are_moved)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    make_dirs("t/x");
    tree_options(in, "t", IN_CREATE, 0, 3, NULL, NULL);
    CHECK_INT(kernel_watches(in), 4);
    rename_entry("t/a", "t/x/a"); /* b is too deep now */
    drain(in);
    CHECK_INT(kernel_watches(in), 3);
    make_file("t/x/a/b/f");
    make_file("t/x/a/g");
    expect(in, "CREATE t/x/a/g");
    rename_entry("t/x/a", "t/a"); /* and here again */
    drain(in);
    CHECK_INT(kernel_watches(in), 4);
    make_file("t/a/b/h");
    expect(in, "CREATE t/a/b/h");
    finish(in);
}

TEST(max_depth_lists_the_entries_of_the_deepest_directory)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b/c");
    make_file("t/a/f");
    tree_options(in, "t", IN_CREATE, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING, 2, NULL, NULL);
    expect_any_order(in, "SYNC_BEGIN t", "SYNTHETIC CREATE|ISDIR t/a", "SYNTHETIC CREATE|ISDIR t/a/b", "SYNTHETIC CREATE t/a/f",
                     "SYNC_END t");
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

TEST(what_the_filter_refuses_costs_no_kernel_watch_and_reports_nothing_below)
{
    asyncinotify *in = open_instance();
    struct filter filter = {.in = in};
    make_dirs("t/a");
    make_dirs("t/no/below");
    tree_options(in, "t", IN_CREATE, 0, 0, not_named_no, &filter);
    CHECK_INT(kernel_watches(in), 2);
    make_file("t/no/f");
    make_file("t/no/below/f");
    make_dirs("t/a/no/deep");
    make_file("t/a/no/deep/f");
    make_file("t/a/f");
    expect(in, "CREATE|ISDIR t/a/no", "CREATE t/a/f"); /* the entry itself is in a watched directory */
    CHECK_INT(kernel_watches(in), 2);
    finish(in);
}

TEST(the_filter_holds_for_what_LIST_EXISTING_names)
{
    asyncinotify *in = open_instance();
    struct filter filter = {.in = in};
    make_dirs("t/no/below");
    make_file("t/no/f");
    make_file("t/g");
    tree_options(in, "t", IN_CREATE, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING, 0, not_named_no, &filter);
    expect_any_order(in, "SYNC_BEGIN t", "SYNTHETIC CREATE|ISDIR t/no", "SYNTHETIC CREATE t/g", "SYNC_END t");
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

static void *add_with_slow_filter(void *argument)
{
    struct slow_filter *filter = argument;
    tree_options(filter->in, "t", IN_CREATE, 0, 0, wait_for_answer, filter);
    return NULL;
}

TEST(while_one_thread_asks_a_filter_others_hear_their_events_and_do_not_spin)
{
    struct slow_filter filter = {.in = open_instance()};
    struct thread thread;
    char byte = 0;
    SYS(pipe(filter.asked));
    SYS(pipe(filter.answer));
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
    join_thread(&thread);
    CHECK_INT(kernel_watches(filter.in), 4);
    finish(filter.in);
    for (int end = 0; end < 2; end++) {
        SYS(close(filter.asked[end]));
        SYS(close(filter.answer[end]));
    }
}
