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

/* ---- large trees, many directories of which are listed together ---- */

enum { MANY = 700 };

TEST(a_large_tree_is_watched_whole)
{
    asyncinotify *in = open_instance();
    grow("t/a", MANY);
    grow("t/b/c", MANY);
    make_dir("small");
    tree(in, "small", IN_CREATE);
    int fds = open_fds();
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    CHECK_INT(open_fds(), fds);
    CHECK_INT(kernel_watches(in), 5 + 2 * MANY);
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/a/0/new");
    make_file("t/b/c/%d/new", MANY - 1);
    expect(in, "CREATE t/a/0/new", text("CREATE t/b/c/%d/new", MANY - 1));
    finish(in);
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
