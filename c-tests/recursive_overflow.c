/* A queue that overflowed: trees are repaired, and say when. */
#include "harness.h"

enum { LIST_IN_BACKGROUND = ASYNCINOTIFY_RECURSIVE_LIST_EXISTING | ASYNCINOTIFY_RECURSIVE_BACKGROUND };

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

static void prepare_overflow(void)
{
    const char *dirs[] = {"t/renamed/x", "t/moved/y", "t/deleted/z", "t/out/u", "in/v", "t/again/w", "t/stays", "noise"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        make_dirs("%s", dirs[i]);
    make_file("t/deleted/f");
    make_file("t/stays/f");
}

/* The noise is not the tree's. */
static void apply_tree(struct replica *replica, const struct log *log, asyncinotify_watch id)
{
    for (size_t i = 0; i < log->count; i++)
        if (log->events[i]->watch == id || log->events[i]->watch == 0)
            replica_apply(replica, log->events[i]);
}

TEST(after_an_overflow_the_tree_is_repaired_and_SYNC_END_says_so)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    prepare_overflow();
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    watch(in, "noise", IN_CREATE);
    make_overflow("noise");
    change_unnoticed();
    collect(in, &log);
    CHECK_INT(log_count(&log, IN_Q_OVERFLOW, 0, NULL), 1);
    CHECK_INT(log_count(&log, 0, ASYNCINOTIFY_EVENT_SYNC_BEGIN, NULL), 0);
    CHECK_INT(log_count(&log, 0, ASYNCINOTIFY_EVENT_SYNC_END, NULL), 1);
    const asyncinotify_event *end = log_find(&log, 0, ASYNCINOTIFY_EVENT_SYNC_END, NULL);
    CHECK_STR(event_text(end), "SYNC_END t");
    CHECK_INT(end->watch, id);
    CHECK_INT(end->wd, asyncinotify_watch_wd(in, id));
    CHECK(end == log.events[log.count - 1]);
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/new/deep/1");
    make_file("t/renamed-now/x/2");
    make_file("t/renamed-now/moved/y/3");
    make_file("t/in/v/4");
    make_file("t/again/fresh/5");
    make_file("t/stays/6");
    make_file("out/u/7");
    expect(in, "CREATE t/new/deep/1", "CREATE t/renamed-now/x/2", "CREATE t/renamed-now/moved/y/3", "CREATE t/in/v/4",
           "CREATE t/again/fresh/5", "CREATE t/stays/6");
    log_clear(&log);
    finish(in);
}

TEST(after_an_overflow_a_tree_with_LIST_EXISTING_is_listed_again)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    prepare_overflow();
    asyncinotify_watch id = tree_with(in, "t", ENTRIES, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING);
    struct replica *replica = replica_new("t");
    replica_follow(replica, in);
    CHECK_REPLICA(replica);
    watch(in, "noise", IN_CREATE);
    make_overflow("noise");
    change_unnoticed();
    collect(in, &log);
    CHECK_INT(log_count(&log, IN_Q_OVERFLOW, 0, NULL), 1);
    CHECK_INT(log_count(&log, 0, ASYNCINOTIFY_EVENT_SYNC_BEGIN, "t"), 1);
    CHECK_INT(log_count(&log, 0, ASYNCINOTIFY_EVENT_SYNC_END, "t"), 1);
    apply_tree(replica, &log, id);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/again/fresh/5");
    expect(in, "CREATE t/again/fresh/5");
    replica_free(replica);
    log_clear(&log);
    finish(in);
}

/* The list says what each name was when it was overtaken by events that follow it, not what the disk has by then. */
TEST(a_name_that_changes_its_kind_after_an_overflow_is_listed_as_what_it_was)
{
    asyncinotify *in = open_instance();
    /* With names so long, each event takes a read of its own, and Q_OVERFLOW too. */
    char tail[251] = "";
    memset(tail, 'x', sizeof tail - 1);
    const char *one = text("t/1%s", tail), *two = text("t/2%s", tail), *three = text("t/3%s", tail), *four = text("t/4%s", tail);
    make_dir("noise");
    make_dirs("%s/in", one);
    make_file("%s", two);
    make_dir("%s", three);
    make_file("%s", four);
    OK(asyncinotify_set_cache_size(in, 1));
    asyncinotify_watch id = tree_with(in, "t", ENTRIES, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING);
    struct replica *replica = replica_new("t");
    replica_follow(replica, in);
    watch(in, "noise", IN_CREATE);
    make_overflow("noise");
    for (int i = 0; i < 16; i++) /* room for what follows */
        take(in);
    exchange_entries(one, two);
    remove_dir("%s", three);
    make_file("%s", three);
    remove_file("%s", four);
    make_dir("%s", four);
    struct log log = {0};
    collect(in, &log);
    CHECK_INT(log_count(&log, IN_CREATE | IN_ISDIR, ASYNCINOTIFY_EVENT_SYNTHETIC, one), 1);
    CHECK_INT(log_count(&log, IN_CREATE | IN_ISDIR, ASYNCINOTIFY_EVENT_SYNTHETIC, two), 0);
    CHECK_INT(log_count(&log, IN_CREATE | IN_ISDIR, ASYNCINOTIFY_EVENT_SYNTHETIC, three), 1);
    CHECK_INT(log_count(&log, IN_CREATE, ASYNCINOTIFY_EVENT_SYNTHETIC, four), 1);
    CHECK_INT(log_count(&log, IN_CREATE | IN_ISDIR, ASYNCINOTIFY_EVENT_SYNTHETIC, four), 0);
    apply_tree(replica, &log, id);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    log_clear(&log);
    replica_free(replica);
    finish(in);
}

TEST(an_overflow_is_told_once_and_every_tree_is_repaired)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dirs("one/a");
    make_dirs("two/b");
    make_dir("noise");
    asyncinotify_watch one = tree(in, "one", IN_CREATE), two = tree(in, "two", IN_CREATE);
    watch(in, "noise", IN_CREATE);
    make_overflow("noise");
    make_dirs("one/c/d");
    make_dirs("two/e/f");
    collect(in, &log);
    CHECK_INT(log_count(&log, IN_Q_OVERFLOW, 0, NULL), 1);
    CHECK_INT(log_count(&log, 0, ASYNCINOTIFY_EVENT_SYNC_END, "one"), 1);
    CHECK_INT(log_count(&log, 0, ASYNCINOTIFY_EVENT_SYNC_END, "two"), 1);
    CHECK_DIRECTORIES(in, one, "one");
    CHECK_DIRECTORIES(in, two, "two");
    log_clear(&log);
    finish(in);
}

TEST(overflow_after_overflow_is_survived)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a");
    make_dir("noise");
    asyncinotify_watch id = tree_with(in, "t", ENTRIES, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING);
    struct replica *replica = replica_new("t");
    watch(in, "noise", IN_CREATE);
    for (int round = 0; round < 3; round++) {
        make_overflow("noise");
        make_dirs("t/%d/x", round);
        make_file("t/%d/x/f", round);
        remove_all("t/%d", round - 1);
        struct log log = {0};
        for (int i = 0; i < 16000 && round == 1; i++) /* the repair may not have begun or ended yet */
            take(in);
        collect(in, &log);
        apply_tree(replica, &log, id);
        log_clear(&log);
        CHECK_REPLICA(replica);
        CHECK_DIRECTORIES(in, id, "t");
    }
    replica_free(replica);
    finish(in);
}

TEST(an_overflow_while_a_scan_is_under_way_is_survived)
{
    asyncinotify *in = open_instance();
    grow("t", under_valgrind() ? 1000 : 3000);
    make_dir("noise");
    asyncinotify_watch id = tree_with(in, "t", ENTRIES, LIST_IN_BACKGROUND);
    struct replica *replica = replica_new("t");
    watch(in, "noise", IN_CREATE);
    for (int i = 0; i < 20; i++) {
        asyncinotify_event event = take(in);
        replica_apply(replica, &event);
    }
    make_overflow("noise");
    rename_entry("t/7", "t/seven");
    make_dirs("t/new/deep");
    remove_all("t/9");
    struct log log = {0};
    collect(in, &log);
    apply_tree(replica, &log, id);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    log_clear(&log);
    replica_free(replica);
    finish(in);
}

TEST(the_root_deleted_during_an_overflow_ends_the_tree)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dirs("t/a");
    make_dir("noise");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    watch(in, "noise", IN_CREATE);
    make_overflow("noise");
    remove_all("t");
    collect(in, &log);
    CHECK_INT(log_count(&log, IN_IGNORED, 0, "t"), 1);
    CHECK_INT(log_find(&log, IN_IGNORED, 0, "t")->watch, id);
    CHECK_INT(asyncinotify_watch_is_active(in, id), -ENOENT);
    CHECK_INT(kernel_watches(in), 1);
    log_clear(&log);
    finish(in);
}
