/* The burst: what other libraries lose. A thousand directory chains are made as fast as a process can. */
#include "harness.h"

enum { CHAINS = 1000 };

/* chains: mkdir -p tree/dI/a/b/c and a file leaf at the bottom, for every I. */
HELPER(chains)
{
    SYS(chdir(args[0]));
    for (int i = 0; i < CHAINS; i++) {
        make_dirs("d%d/a/b/c", i);
        write_file("d%d/a/b/c/leaf", i);
    }
    return 0;
}

/* renames: every second dI becomes rI, and gets a file after at the bottom. */
HELPER(renames)
{
    SYS(chdir(args[0]));
    for (int i = 0; i < CHAINS; i += 2) {
        rename_entry(text("d%d", i), text("r%d", i));
        write_file("r%d/a/b/c/after", i);
    }
    return 0;
}

/* Follows the tree while the helper works, and after it. */
static void follow(asyncinotify *in, const char *helper, struct log *log)
{
    pid_t pid = start_helper(helper, "t", NULL);
    wait_readable(in);
    collect(in, log);
    wait_helper(pid);
    collect(in, log);
}

static int count_leaves(const struct log *log, uint32_t mask)
{
    /* By name first: comparing every path with every event takes long. */
    static bool seen[CHAINS];
    int count = 0;
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < log->count; i++) {
        const asyncinotify_event *event = log->events[i];
        int number;
        if (!(event->mask & mask) || !event->name || strcmp(event->name, "leaf"))
            continue;
        if (sscanf(event->path, "t/d%d/a/b/c/leaf", &number) != 1 || strcmp(event->path, text("t/d%d/a/b/c/leaf", number)))
            FAIL("a leaf with a wrong path: %s", event_text(event));
        count += !seen[number];
        seen[number] = true;
    }
    return count;
}

static int count_after(const struct log *log, uint32_t mask)
{
    int count = 0;
    for (size_t i = 0; i < log->count; i++) {
        const asyncinotify_event *event = log->events[i];
        int number;
        if (!(event->mask & mask) || !event->name || strcmp(event->name, "after"))
            continue;
        if (sscanf(event->path, "t/r%d/a/b/c/after", &number) != 1 || strcmp(event->path, text("t/r%d/a/b/c/after", number)))
            FAIL("an after with a wrong path: %s", event_text(event));
        count++;
    }
    return count;
}

TEST(burst_1000_of_1000_files_are_reported_by_their_full_path_and_500_of_500_after_renames)
{
    asyncinotify *in = open_instance();
    struct replica *replica = replica_new("t");
    struct log log = {0};
    make_dir("t");
    asyncinotify_watch id = tree(in, "t", IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO);
    follow(in, "chains", &log);
    CHECK_INT(count_leaves(&log, IN_CREATE), CHAINS);
    CHECK_INT(log_count(&log, IN_Q_OVERFLOW, 0, NULL), 0);
    CHECK_INT(log_count(&log, IN_CREATE, 0, NULL), CHAINS * 5); /* dI, a, b, c, leaf: each once */
    replica_apply_log(replica, &log);
    CHECK_REPLICA(replica); /* no CREATE came twice either */
    CHECK_DIRECTORIES(in, id, "t");
    log_clear(&log);

    follow(in, "renames", &log);
    CHECK_INT(count_after(&log, IN_CREATE), CHAINS / 2);
    CHECK_INT(log_count(&log, IN_CREATE, 0, NULL), CHAINS / 2);
    replica_apply_log(replica, &log);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    CHECK_INT(kernel_watches(in), CHAINS * 4 + 1);
    log_clear(&log);
    replica_free(replica);
    finish(in);
}

TEST(burst_with_CLOSE_WRITE_alone_names_1000_of_1000_files)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dir("t");
    asyncinotify_watch id = tree(in, "t", IN_CLOSE_WRITE);
    follow(in, "chains", &log);
    CHECK_INT(count_leaves(&log, IN_CLOSE_WRITE), CHAINS);
    for (size_t i = 0; i < log.count; i++)
        CHECK_HEX(log.events[i]->mask, IN_CLOSE_WRITE);
    log_clear(&log);
    follow(in, "renames", &log);
    CHECK_INT(count_after(&log, IN_CLOSE_WRITE), CHAINS / 2);
    CHECK_DIRECTORIES(in, id, "t");
    log_clear(&log);
    finish(in);
}

