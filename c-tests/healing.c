/* What could not be watched is tried again, by itself: what the timer does. EACCES is in tests/scenarios/heal-*. */
#include "harness.h"

#include <sys/resource.h>

/* No descriptor may be opened from here on, but for those below the first that is free. */
static void no_descriptors(struct rlimit *before)
{
    int free = (int)SYS(dup(0));
    struct rlimit limit;
    SYS(close(free));
    SYS(getrlimit(RLIMIT_NOFILE, before));
    limit = *before;
    limit.rlim_cur = (rlim_t)free;
    SYS(setrlimit(RLIMIT_NOFILE, &limit));
}

/* Whether the instance's timer is set, by what the kernel says of it. */
static bool timer_is_set(void)
{
    for (int fd = 0; fd < 64; fd++) {
        char link[64] = "", line[128];
        if (readlink(text("/proc/self/fd/%d", fd), link, sizeof link - 1) < 0 || !strstr(link, "[timerfd]"))
            continue;
        FILE *info = fopen(text("/proc/self/fdinfo/%d", fd), "r");
        CHECK(info != NULL);
        bool set = false;
        while (fgets(line, sizeof line, info))
            if (!strncmp(line, "it_value:", 9))
                set = strcmp(line, "it_value: (0, 0)\n") != 0;
        fclose(info);
        return set;
    }
    FAIL("there is no timer");
    return false;
}

static int count_troubles(asyncinotify *in, const char *path, size_t len, int error, void *userdata)
{
    CHECK(in != NULL);
    CHECK_INT(strlen(path), len);
    CHECK_INT(error, EMFILE);
    ++*(int *)userdata;
    return 0;
}

static int stop_at_once(asyncinotify *in, const char *path, size_t len, int error, void *userdata)
{
    (void)in, (void)path, (void)len, (void)error;
    ++*(int *)userdata;
    return 1;
}

TEST(a_directory_without_a_descriptor_is_watched_once_there_is_one)
{
    struct rlimit before;
    struct log log = {0};
    asyncinotify *in = open_instance();
    make_dir("t");
    asyncinotify_watch id = tree(in, "t", IN_CREATE | IN_CLOSE_WRITE);
    CHECK(!timer_is_set());
    make_dirs("t/new/sub");
    make_file("t/new/sub/f");
    no_descriptors(&before);
    collect_until_flag(in, &log, ASYNCINOTIFY_EVENT_ERROR);
    SYS(setrlimit(RLIMIT_NOFILE, &before));
    CHECK(timer_is_set());
    /* Nothing happens any more, so it is the timer that makes the descriptor readable. */
    collect_until_flag(in, &log, ASYNCINOTIFY_EVENT_HEALED);
    collect(in, &log);
    CHECK_INT(log_count(&log, 0, ASYNCINOTIFY_EVENT_ERROR, NULL), log_count(&log, 0, ASYNCINOTIFY_EVENT_HEALED, NULL));
    CHECK_INT(log_count(&log, IN_CREATE, 0, "t/new/sub/f"), 1);
    CHECK_INT(log_count(&log, IN_CLOSE_WRITE, 0, "t/new/sub/f"), 1);
    CHECK(!timer_is_set());
    CHECK_DIRECTORIES(in, id, "t");
    CHECK_INT(asyncinotify_watch_each_trouble(in, id, NULL, NULL), 0);
    log_clear(&log);
    finish(in);
}

TEST(a_root_without_a_descriptor_heals)
{
    struct rlimit before;
    struct log log = {0};
    asyncinotify *in = open_instance();
    make_dir("t");
    asyncinotify_watch id = tree_with(in, "t", IN_CREATE, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING | ASYNCINOTIFY_RECURSIVE_BACKGROUND);
    make_dirs("t/a/b");
    no_descriptors(&before);
    collect_until_flag(in, &log, ASYNCINOTIFY_EVENT_ERROR);
    SYS(setrlimit(RLIMIT_NOFILE, &before));
    collect_until_flag(in, &log, ASYNCINOTIFY_EVENT_SYNC_END);
    collect(in, &log);
    CHECK_INT(log_count(&log, IN_CREATE, 0, "t/a/b"), 1);
    CHECK_DIRECTORIES(in, id, "t");
    CHECK(!timer_is_set());
    log_clear(&log);
    finish(in);
}

TEST(a_thousand_directories_heal_and_cost_no_spin_meanwhile)
{
    enum { COUNT = 1000 };
    struct rlimit before;
    struct log log = {0};
    int wake_ups = 0, troubles = 0, first = 0;
    asyncinotify *in = open_instance();
    make_dir("t");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    for (int i = 0; i < COUNT; i++) {
        make_dir("t/%d", i);
        make_file("t/%d/f", i);
    }
    no_descriptors(&before);
    struct pollfd fd = {.fd = asyncinotify_fd(in), .events = POLLIN};
    while (log_count(&log, 0, ASYNCINOTIFY_EVENT_ERROR, NULL) < COUNT) {
        /* Without a descriptor all of them fail, one way or the other: the root's own trouble stands for all below it. */
        if (log_count(&log, 0, ASYNCINOTIFY_EVENT_ERROR, "t") > 0)
            break;
        wait_readable(in);
        collect(in, &log);
    }
    /* Tries are due after 0.1, 0.2, 0.4 s and so on, however many directories there are. */
    double start = now_ms(), cpu = cpu_ms();
    while (now_ms() - start < 1000) {
        if (poll(&fd, 1, 100) > 0) {
            wake_ups++;
            collect(in, &log);
        }
    }
    CHECK(wake_ups <= 5);
    CHECK(cpu_ms() - cpu < 500);
    CHECK(asyncinotify_watch_each_trouble(in, id, count_troubles, &troubles) == troubles);
    CHECK(troubles > 0);
    CHECK_INT(asyncinotify_watch_each_trouble(in, id, stop_at_once, &first), 1);
    CHECK_INT(first, 1);
    SYS(setrlimit(RLIMIT_NOFILE, &before));
    while (asyncinotify_watch_each_trouble(in, id, NULL, NULL) > 0) {
        wait_readable(in);
        collect(in, &log);
    }
    collect(in, &log);
    CHECK_INT(kernel_watches(in), 1 + COUNT);
    CHECK_DIRECTORIES(in, id, "t");
    CHECK(!timer_is_set());
    log_clear(&log);
    finish(in);
}

TEST(trouble_is_listed_for_trees_only)
{
    asyncinotify *in = open_instance();
    make_dir("t");
    asyncinotify_watch plain = watch(in, "t", IN_CREATE), id = tree(in, "t", IN_CREATE);
    CHECK_INT(asyncinotify_watch_each_trouble(in, id, NULL, NULL), 0);
    CHECK_INT(asyncinotify_watch_each_trouble(in, plain, NULL, NULL), -EINVAL);
    CHECK_INT(asyncinotify_watch_each_trouble(in, 0, NULL, NULL), -ENOENT);
    CHECK_INT(asyncinotify_watch_each_trouble(NULL, id, NULL, NULL), -EINVAL);
    remove_watch(in, id);
    drain(in);
    CHECK_INT(asyncinotify_watch_each_trouble(in, id, NULL, NULL), -ENOENT);
    finish(in);
}

TEST(a_storm_of_permissions_does_not_look_at_all_that_is_refused_each_time)
{
    enum { COUNT = 8000, STORMS = 5 };
    struct log log = {0};
    asyncinotify *in = open_instance();
    become_nobody();
    make_dir("t");
    for (int i = 0; i < COUNT; i++)
        SYS(mkdir(text("t/%d", i), 0));
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    collect(in, &log);
    CHECK_INT(asyncinotify_watch_each_trouble(in, id, NULL, NULL), COUNT);
    double cpu = 0;
    for (int storm = 0; storm < STORMS; storm++) {
        for (int i = 0; i < COUNT; i++)
            SYS(chmod(text("t/%d", i), storm % 2 ? 0 : 0100));
        double start = cpu_ms();
        collect(in, &log);
        cpu += cpu_ms() - start;
    }
    CHECK_INT(asyncinotify_watch_each_trouble(in, id, NULL, NULL), COUNT);
    CHECK(under_valgrind() || cpu < 1000);
    for (int i = 0; i < COUNT; i++)
        SYS(chmod(text("t/%d", i), 0700));
    collect(in, &log);
    CHECK_INT(log_count(&log, 0, ASYNCINOTIFY_EVENT_HEALED, NULL), COUNT);
    CHECK_DIRECTORIES(in, id, "t");
    log_clear(&log);
    finish(in);
}
