/* The one test with a queue of the real kernel that overflows: all other overflows are simulated, see tests/simulation. */
#include "harness.h"

/* Everything that can happen to a tree; nobody is told, as the queue is full. */
static void change_unnoticed(void)
{
    make_dirs("t/new/deep");
    make_file("t/new/deep/f");
    rename_entry("t/renamed", "t/renamed-now");
    rename_entry("t/moved", "t/renamed-now/moved");
    remove_all("t/deleted");
    rename_entry("t/out", "out");
    rename_entry("in", "t/in");
    remove_all("t/again");
    make_dirs("t/again/fresh");
}

static void check_overflow(const asyncinotify_event *event)
{
    CHECK_HEX(event->mask, IN_Q_OVERFLOW);
    CHECK_INT(event->watch, 0);
    CHECK_INT(event->wd, -1);
    CHECK(event->path == NULL && event->name == NULL && event->userdata == NULL);
    CHECK_INT(event->path_len, 0);
}

TEST(after_an_overflow_every_tree_is_repaired_and_says_so)
{
    const char *dirs[] = {"t/renamed/x", "t/moved/y", "t/deleted/z", "t/out/u", "in/v", "t/again/w", "t/stays", "noise"};
    asyncinotify *in = open_instance();
    struct log log = {0};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        make_dirs("%s", dirs[i]);
    make_file("t/deleted/f");
    make_file("t/stays/f");
    asyncinotify_watch listed = tree_with(in, "t", ENTRIES, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING);
    asyncinotify_watch silent = tree(in, "t/stays", IN_CREATE);
    struct replica *replica = replica_new("t");
    replica_follow(replica, in);
    CHECK_REPLICA(replica);
    asyncinotify_watch noise = watch(in, "noise", IN_CREATE);
    make_dir("gone");
    asyncinotify_watch gone = watch(in, "gone", IN_CREATE);
    make_overflow("noise");
    change_unnoticed();
    remove_dir("gone"); /* the IGNORED is lost */
    collect(in, &log);
    CHECK(!readable(in));
    CHECK(log_count(&log, IN_CREATE, 0, NULL) > 0); /* what was queued before it is told */
    CHECK_INT(log_count(&log, IN_Q_OVERFLOW, 0, NULL), 1);
    check_overflow(log_find(&log, IN_Q_OVERFLOW, 0, NULL));
    CHECK_INT(log_count(&log, 0, ASYNCINOTIFY_EVENT_SYNC_BEGIN, NULL), 1);
    CHECK_INT(log_count(&log, 0, ASYNCINOTIFY_EVENT_SYNC_BEGIN, "t"), 1);
    CHECK_INT(log_count(&log, 0, ASYNCINOTIFY_EVENT_SYNC_END, "t"), 1);
    CHECK_INT(log_count(&log, 0, ASYNCINOTIFY_EVENT_SYNC_END, "t/stays"), 1);
    for (size_t i = 0; i < log.count; i++)
        if (log.events[i]->watch != noise && log.events[i]->watch != silent)
            replica_apply(replica, log.events[i]);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, listed, "t");
    CHECK_DIRECTORIES(in, silent, "t/stays");
    make_file("t/renamed-now/moved/y/1");
    make_file("t/in/v/2");
    make_file("t/again/fresh/3");
    make_file("out/u/4");
    expect(in, "CREATE t/renamed-now/moved/y/1", "CREATE t/in/v/2", "CREATE t/again/fresh/3");
    remove_watch(in, gone);
    expect(in, "IGNORED gone");
    replica_free(replica);
    log_clear(&log);
    finish(in);
}
