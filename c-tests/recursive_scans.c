/* Scans: in slices, in the background, and with trouble on the way. */
#include "harness.h"

#include <sys/resource.h>

enum { LIST_IN_BACKGROUND = ASYNCINOTIFY_RECURSIVE_LIST_EXISTING | ASYNCINOTIFY_RECURSIVE_BACKGROUND };

/* ---- the loop never stalls ---- */

TEST(no_call_works_long_on_a_large_scan)
{
    int count = under_valgrind() ? 1000 : 8000, calls = 0;
    double longest = 0;
    asyncinotify *in = open_instance();
    asyncinotify_event event;
    grow("outside", count);
    make_dir("t");
    asyncinotify_watch id = tree(in, "t", IN_DELETE);
    rename_entry("outside", "t/big");
    while (readable(in)) {
        double start = cpu_ms();
        CHECK_INT(asyncinotify_get(in, &event), 0); /* the mask asks for nothing of this: get only scans */
        double took = cpu_ms() - start;
        longest = took > longest ? took : longest;
        calls++;
    }
    CHECK_DIRECTORIES(in, id, "t");
    if (!under_valgrind()) {
        CHECK(calls > 1);
        if (longest > 25) /* about 10 ms, and a margin for a busy machine */
            FAIL("a get worked %.1f ms", longest);
    }
    finish(in);
}

TEST(BACKGROUND_returns_at_once_and_SYNC_END_says_when_it_is_complete)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    grow("t", under_valgrind() ? 1000 : 3000);
    asyncinotify_watch id = tree_with(in, "t", IN_CREATE, ASYNCINOTIFY_RECURSIVE_BACKGROUND);
    CHECK(kernel_watches(in) < 500);
    CHECK(readable(in));
    collect_until_flag(in, &log, ASYNCINOTIFY_EVENT_SYNC_END);
    CHECK_INT(log.count, 1);
    CHECK_STR(event_text(log.events[0]), "SYNC_END t");
    CHECK_INT(log.events[0]->watch, id);
    CHECK(!readable(in));
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/777/g");
    expect(in, "CREATE t/777/g");
    log_clear(&log);
    finish(in);
}

TEST(BACKGROUND_reports_what_happens_meanwhile)
{
    int count = under_valgrind() ? 1000 : 3000;
    asyncinotify *in = open_instance();
    struct log log = {0};
    grow("t", count);
    asyncinotify_watch id = tree_with(in, "t", ENTRIES, LIST_IN_BACKGROUND);
    struct replica *replica = replica_new("t");
    for (int i = 0; i < 10; i++) {
        asyncinotify_event event = take(in);
        replica_apply(replica, &event);
        make_dirs("t/%d/new/deep", i * 97 % count);
        rename_entry(text("t/%d", i * 89 % count + 1), text("t/renamed-%d", i));
    }
    collect_until_flag(in, &log, ASYNCINOTIFY_EVENT_SYNC_END);
    collect(in, &log);
    replica_apply_log(replica, &log);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    log_clear(&log);
    replica_free(replica);
    finish(in);
}

TEST(a_tree_can_be_removed_while_its_scan_is_under_way)
{
    asyncinotify *in = open_instance();
    grow("t", 2000);
    make_dir("d");
    watch(in, "d", IN_CREATE);
    asyncinotify_watch id = tree_with(in, "t", IN_CREATE, LIST_IN_BACKGROUND);
    for (int i = 0; i < 10; i++)
        take(in);
    remove_watch(in, id);
    struct log log = {0};
    collect(in, &log);
    CHECK_INT(log_count(&log, IN_IGNORED, 0, "t"), 1);
    CHECK(log.events[log.count - 1]->mask == IN_IGNORED);
    CHECK_INT(kernel_watches(in), 1);
    make_file("d/f");
    expect(in, "CREATE d/f");
    log_clear(&log);
    finish(in);
}

TEST(an_instance_can_be_closed_while_a_scan_is_under_way)
{
    asyncinotify *in = open_instance();
    grow("t", 1000);
    tree_with(in, "t", IN_CREATE, LIST_IN_BACKGROUND);
    for (int i = 0; i < 10; i++)
        take(in);
    asyncinotify_close(in);
}

/* ---- trouble is told, and contained ---- */

TEST(a_directory_that_cannot_be_opened_is_told_as_an_ERROR_event)
{
    make_dirs("t/locked/below");
    make_dirs("t/open/below");
    SYS(chmod("t/locked", 0));
    become_nobody();
    asyncinotify *in = open_instance();
    tree(in, "t", IN_CREATE);
    asyncinotify_event event = take(in);
    CHECK_STR(event_text(&event), "ERROR:EACCES ISDIR t/locked");
    CHECK_INT(event.error, EACCES);
    CHECK_INT(event.wd, -1);
    CHECK_INT(kernel_watches(in), 3);
    expect_nothing(in);
    finish(in);
}

TEST(a_new_directory_that_cannot_be_opened_is_told_and_the_rest_goes_on)
{
    make_dirs("t/a");
    make_dirs("outside/locked/below");
    make_dirs("outside/open");
    SYS(chmod("t", 0777));
    SYS(chmod("outside/locked", 0));
    if (geteuid() == 0) {
        SYS(chown("t", 65534, 65534));
        SYS(chown("outside", 65534, 65534));
    }
    become_nobody();
    asyncinotify *in = open_instance();
    tree(in, "t", IN_DELETE); /* ERROR comes whatever the mask */
    rename_entry("outside", "t/in");
    expect(in, "ERROR:EACCES ISDIR t/in/locked");
    make_file("t/f");
    remove_file("t/f");
    expect(in, "DELETE t/f");
    CHECK_INT(kernel_watches(in), 4);
    finish(in);
}

TEST(the_limit_of_watches_reached_while_following_is_told_as_an_ERROR_event)
{
    enter_user_namespace();
    limit_inotify("watches", 4);
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dirs("t/a/b");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    for (int i = 0; i < 5; i++)
        make_dir("t/a/b/%d", i);
    collect(in, &log);
    CHECK_INT(log_count(&log, IN_CREATE | IN_ISDIR, 0, NULL), 5);
    CHECK(log_count(&log, 0, ASYNCINOTIFY_EVENT_ERROR, NULL) >= 1);
    for (size_t i = 0; i < log.count; i++)
        if (log.events[i]->flags & ASYNCINOTIFY_EVENT_ERROR) {
            CHECK_INT(log.events[i]->error, ENOSPC);
            CHECK_INT(log.events[i]->watch, id);
            CHECK_HEX(log.events[i]->mask, IN_ISDIR);
            CHECK(!strncmp(log.events[i]->path, "t/a/b/", 6));
        }
    CHECK_INT(kernel_watches(in), 4);
    make_file("t/a/b/f");
    expect(in, "CREATE t/a/b/f");
    log_clear(&log);
    finish(in);
}

TEST(the_limit_of_watches_reached_in_the_BACKGROUND_is_told_as_an_ERROR_event)
{
    enter_user_namespace();
    limit_inotify("watches", 4);
    asyncinotify *in = open_instance();
    struct log log = {0};
    for (int i = 0; i < 6; i++)
        make_dirs("t/%d", i);
    tree_with(in, "t", IN_CREATE, ASYNCINOTIFY_RECURSIVE_BACKGROUND);
    collect_until_flag(in, &log, ASYNCINOTIFY_EVENT_SYNC_END);
    CHECK(log_count(&log, IN_ISDIR, ASYNCINOTIFY_EVENT_ERROR, NULL) >= 1);
    CHECK_INT(log_find(&log, IN_ISDIR, ASYNCINOTIFY_EVENT_ERROR, NULL)->error, ENOSPC);
    make_file("t/f");
    expect(in, "CREATE t/f");
    log_clear(&log);
    finish(in);
}

/* ---- large trees, many directories of which are listed together ---- */

enum { MANY = 700 };

TEST(a_large_tree_is_watched_whole)
{
    asyncinotify *in = open_instance();
    grow("t/a", MANY);
    grow("t/b/c", MANY);
    int fds = open_fds();
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    CHECK_INT(open_fds(), fds);
    CHECK_INT(kernel_watches(in), 4 + 2 * MANY);
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/a/0/new");
    make_file("t/b/c/%d/new", MANY - 1);
    expect(in, "CREATE t/a/0/new", text("CREATE t/b/c/%d/new", MANY - 1));
    finish(in);
}

TEST(a_large_tree_is_listed_whole_while_it_changes)
{
    asyncinotify *in = open_instance();
    grow("t/a", MANY);
    grow("b", MANY);
    struct replica *replica = replica_new("t");
    for (int round = 0; round < 3; round++) {
        pid_t changing = start_helper("shuffle", NULL);
        asyncinotify_watch id = tree_with(in, "t", ENTRIES, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING);
        replica_follow(replica, in);
        wait_helper(changing);
        replica_follow(replica, in);
        CHECK_REPLICA(replica);
        CHECK_DIRECTORIES(in, id, "t");
        remove_watch(in, id);
        drain(in);
        CHECK_INT(kernel_watches(in), 0);
    }
    replica_free(replica);
    finish(in);
}

/* Directories come, go and change their places, as fast as may be. */
HELPER(shuffle)
{
    (void)args;
    for (int i = 0; i < MANY; i += 7) {
        rename_entry(text("t/a/%d", i), text("t/a/%d/moved", (i + 350) % MANY == i ? i + 1 : (i + 351) % MANY));
        rename_entry(text("t/a/%d/moved", (i + 350) % MANY == i ? i + 1 : (i + 351) % MANY), text("t/a/%d", i));
        rename_entry("t/a", "t/b");
        make_dirs("t/b/new%d/x", i);
        make_file("t/b/new%d/x/f", i);
        rename_entry(text("b/%d", i), text("t/in%d", i));
        rename_entry("t/b", "t/a");
        rename_entry(text("t/in%d", i), text("b/%d", i));
        remove_all("t/a/new%d", i);
    }
    return 0;
}

TEST(a_large_tree_takes_few_descriptors)
{
    struct rlimit limit;
    for (int i = 0; i < 10; i++)
        for (int j = 0; j < 10; j++)
            make_dirs("t/%d/%d/a/b/c/d/e", i, j);
    grow("t/flat", MANY);
    asyncinotify *in = open_instance();
    SYS(getrlimit(RLIMIT_NOFILE, &limit));
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)asyncinotify_raw_fd(in) + 20;
    SYS(setrlimit(RLIMIT_NOFILE, &limit));
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    limit.rlim_cur = before;
    SYS(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_DIRECTORIES(in, id, "t");
    finish(in);
}

TEST(among_many_directories_those_that_cannot_be_opened_are_told_once_each)
{
    grow("t", MANY);
    for (int i = 0; i < MANY; i += 10)
        SYS(chmod(text("t/%d", i), 0));
    become_nobody();
    asyncinotify *in = open_instance();
    struct log log = {0};
    tree(in, "t", IN_CREATE);
    CHECK_INT(kernel_watches(in), 1 + MANY - MANY / 10);
    collect(in, &log);
    CHECK_INT(log.count, MANY / 10);
    for (int i = 0; i < MANY; i += 10)
        CHECK_INT(log_count(&log, 0, ASYNCINOTIFY_EVENT_ERROR, text("t/%d", i)), 1);
    log_clear(&log);
    finish(in);
}

TEST(the_limit_of_watches_reached_in_a_large_tree_fails_the_call_and_leaves_nothing)
{
    enter_user_namespace();
    limit_inotify("watches", MANY / 2);
    asyncinotify *in = open_instance();
    grow("t", MANY);
    asyncinotify_watch id = 0;
    CHECK_INT(asyncinotify_add_recursive(in, "t", IN_CREATE, NULL, &id), -ENOSPC);
    CHECK_INT(kernel_watches(in), 0);
    CHECK_INT(asyncinotify_watches(in, NULL, 0), 0);
    expect_nothing(in);
    finish(in);
}
