/* Recursive watches as C sees them: fields, masks, long paths, getters and setters. What is told of which change:
 * tests/scenarios; in which moment: tests/simulation. */
#include "harness.h"

#include <sys/mount.h>

TEST(events_below_carry_the_trees_ID_userdata_and_name)
{
    asyncinotify *in = open_instance();
    int mine;
    make_dirs("t/a/b");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    OK(asyncinotify_watch_set_userdata(in, id, &mine, NULL));
    make_file("t/a/b/f");
    asyncinotify_event event = take(in);
    CHECK_INT(event.watch, id);
    CHECK(event.userdata == &mine);
    CHECK_STR(event.name, "f");
    CHECK_STR(event.path, "t/a/b/f");
    CHECK_INT(event.path_len, 7);
    finish(in);
}

TEST(no_event_comes_that_the_mask_does_not_ask_for)
{
    static const uint32_t masks[] = {IN_ACCESS, IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE, IN_CLOSE_NOWRITE, IN_OPEN, IN_MOVED_FROM,
                                     IN_MOVED_TO, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MOVE_SELF, IN_CREATE | IN_DELETE,
                                     IN_CLOSE_WRITE | IN_MOVED_TO};
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        asyncinotify *in = open_instance();
        struct log log = {0};
        make_dirs("t/a/b");
        make_dirs("outside/x/y");
        write_file("outside/x/y/f");
        asyncinotify_watch id = tree(in, "t", masks[i]);
        make_dirs("t/new/deep");
        write_file("t/new/deep/f");
        rename_entry("outside", "t/in");
        rename_entry("t/a", "t/in/x/a");
        rename_entry("t/in/x", "gone");
        collect(in, &log);
        SYS(chmod("t/new/deep/f", 0600));
        remove_all("t/new");
        remove_dir("t/in");
        collect(in, &log);
        for (size_t j = 0; j < log.count; j++)
            if (log.events[j]->mask & ~(masks[i] | IN_ISDIR))
                FAIL("with mask %#x came %s", masks[i], event_text(log.events[j]));
        CHECK_DIRECTORIES(in, id, "t");
        log_clear(&log);
        finish(in);
        remove_all("t");
        remove_all("gone");
    }
}

/* ---- long paths ---- */

/* Makes directories below one another; gives an fd of the last. */
static int make_deep(const char *top, const char *name, int levels)
{
    int fd = (int)SYS(open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < levels; i++) {
        SYS(mkdirat(fd, name, 0755));
        int next = (int)SYS(openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        SYS(close(fd));
        fd = next;
    }
    return fd;
}

TEST(paths_longer_than_PATH_MAX_are_watched_and_reported)
{
    enum { LEVELS = 40, NAME = 200 };
    asyncinotify *in = open_instance();
    const char *name = text("%0*d", NAME, 0);
    size_t length = 1 + LEVELS * (1 + NAME) + 2; /* "t", the directories, "/f" */
    make_dir("t");
    int fd = make_deep("t", name, LEVELS / 2);
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    CHECK_INT(kernel_watches(in), LEVELS / 2 + 1);
    for (int i = LEVELS / 2; i < LEVELS; i++) { /* the other half while it is watched */
        SYS(mkdirat(fd, name, 0755));
        int next = (int)SYS(openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        SYS(close(fd));
        fd = next;
    }
    drain(in);
    CHECK_INT(kernel_watches(in), LEVELS + 1);
    CHECK_DIRECTORIES(in, id, "t");
    SYS(mknodat(fd, "f", S_IFREG | 0644, 0));
    asyncinotify_event event = take(in);
    CHECK_HEX(event.mask, IN_CREATE);
    CHECK_INT(event.path_len, length);
    CHECK_INT(strlen(event.path), length);
    CHECK_STR(event.name, "f");
    asyncinotify_event *copy;
    OK(asyncinotify_event_dup(&event, &copy));
    rename_entry(text("t/%s", name), "t/short");
    SYS(mknodat(fd, "g", S_IFREG | 0644, 0));
    event = take(in);
    CHECK_INT(event.path_len, length - NAME + 5);
    CHECK(!strncmp(event.path, "t/short/", 8));
    CHECK_INT(copy->path_len, length);
    asyncinotify_event_free(copy);
    SYS(close(fd));
    finish(in);
}

TEST(the_path_of_the_root_may_be_longer_than_PATH_MAX)
{
    asyncinotify *in = open_instance();
    size_t length = 0;
    char *path = malloc(3 * PATH_MAX);
    make_dirs("t/a");
    while (length < 2 * PATH_MAX)
        memcpy(path + length, "./", 3), length += 2;
    strcpy(path + length, "t");
    tree(in, path, IN_CREATE);
    make_dir("t/a/new");
    make_file("t/a/new/f");
    asyncinotify_event event = take(in);
    CHECK_INT(event.path_len, length + strlen("t/a/new"));
    event = take(in);
    CHECK_INT(event.path_len, length + strlen("t/a/new/f"));
    CHECK_STR(event.path + length, "t/a/new/f");
    free(path);
    finish(in);
}

TEST(a_tree_can_be_added_and_removed_many_times)
{
    asyncinotify *in = open_instance();
    for (int i = 0; i < 20; i++)
        make_dirs("t/%d/x", i);
    for (int round = 0; round < 20; round++) {
        asyncinotify_watch id = tree(in, "t", IN_CREATE);
        CHECK_INT(kernel_watches(in), 41);
        make_file("t/7/x/f");
        remove_file("t/7/x/f");
        expect(in, "CREATE t/7/x/f");
        remove_watch(in, id);
        if (round % 2)
            expect(in, "IGNORED t");
        else
            take(in); /* what is left of the tree is gone before the next one comes */
    }
    finish(in);
}

/* CPU time of removing so many small trees and taking their ends. */
static double remove_small_trees(asyncinotify *in)
{
    enum { COUNT = 200 };
    asyncinotify_watch ids[COUNT];
    asyncinotify_event event;
    for (int i = 0; i < COUNT; i++)
        ids[i] = tree(in, "small", IN_CREATE);
    double start = cpu_ms();
    for (int i = 0; i < COUNT; i++)
        remove_watch(in, ids[i]);
    for (int i = 0; i < COUNT; i++)
        CHECK_INT(asyncinotify_get(in, &event), 1);
    return cpu_ms() - start;
}

TEST(to_remove_a_small_tree_costs_the_same_beside_a_large_one)
{
    asyncinotify *in = open_instance();
    make_dirs("small/x");
    grow("large", under_valgrind() ? 100 : 10000);
    remove_small_trees(in);
    double alone = remove_small_trees(in);
    tree(in, "large", IN_CREATE);
    remove_small_trees(in);
    double beside = remove_small_trees(in);
    if (!under_valgrind() && beside > 3 * alone + 5) /* to look at all directories for each tree would take many times as long */
        FAIL("%.2f ms alone, %.2f ms beside a large tree", alone, beside);
    finish(in);
}

/* ---- getters and setters of a tree ---- */

TEST(getters_of_a_tree_are_about_its_root)
{
    asyncinotify *in = open_instance();
    uint32_t mask = 0;
    make_dirs("t/a");
    asyncinotify_watch id = tree(in, "t", IN_CLOSE_WRITE);
    CHECK_STR(watch_path(in, id), "t");
    OK(asyncinotify_watch_mask(in, id, &mask));
    CHECK_HEX(mask, IN_CLOSE_WRITE);
    CHECK(kernel_mask(in, (int)OK(asyncinotify_watch_wd(in, id))) & IN_CLOSE_WRITE);
    CHECK_INT(asyncinotify_watch_is_active(in, id), 1);
    CHECK_INT(asyncinotify_watches(in, NULL, 0), 1);
    finish(in);
}

static int count_calls(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    (void)in;
    CHECK_STR(event->path, "t/a/f");
    ++*(int *)userdata;
    return 0;
}

TEST(a_tree_may_have_a_callback_of_its_own)
{
    asyncinotify *in = open_instance();
    int calls = 0;
    make_dirs("t/a");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    OK(asyncinotify_watch_set_callback(in, id, count_calls));
    OK(asyncinotify_watch_set_userdata(in, id, &calls, NULL));
    make_file("t/a/f");
    CHECK_INT(asyncinotify_dispatch(in, 0, NULL, NULL), 1);
    CHECK_INT(calls, 1);
    finish(in);
}

struct listing {
    int count, stop_at;
    char paths[16][64];
};

static int list_directory(asyncinotify *in, const char *path, size_t path_len, void *userdata)
{
    struct listing *listing = userdata;
    CHECK(in != NULL);
    CHECK_INT(strlen(path), path_len);
    CHECK(listing->count < 16);
    snprintf(listing->paths[listing->count++], sizeof listing->paths[0], "%s", path);
    return listing->count == listing->stop_at;
}

TEST(each_directory_lists_parents_before_their_children)
{
    asyncinotify *in = open_instance();
    struct listing listing = {0};
    make_dirs("t/a/b/c");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    CHECK_INT(asyncinotify_watch_each_directory(in, id, list_directory, &listing), 4);
    CHECK_INT(listing.count, 4);
    CHECK_STR(listing.paths[0], "t");
    CHECK_STR(listing.paths[1], "t/a");
    CHECK_STR(listing.paths[2], "t/a/b");
    CHECK_STR(listing.paths[3], "t/a/b/c");
    CHECK_INT(asyncinotify_watch_each_directory(in, id, NULL, NULL), 4); /* only counts */
    finish(in);
}

TEST(each_directory_stops_when_the_callback_says_so)
{
    asyncinotify *in = open_instance();
    struct listing listing = {.stop_at = 2};
    make_dirs("t/a/b/c");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    CHECK_INT(asyncinotify_watch_each_directory(in, id, list_directory, &listing), 2);
    CHECK_INT(listing.count, 2);
    finish(in);
}

static int change_while_listing(asyncinotify *in, const char *path, size_t path_len, void *userdata)
{
    asyncinotify_event event;
    (void)path_len;
    make_dir("%s/made-while-listing-%d", path, ++*(int *)userdata);
    while (OK(asyncinotify_get(in, &event)) == 1)
        ;
    return *(int *)userdata == 3;
}

TEST(each_directory_may_change_the_tree_and_take_events)
{
    asyncinotify *in = open_instance();
    int count = 0;
    make_dirs("t/a/b");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    CHECK_INT(asyncinotify_watch_each_directory(in, id, change_while_listing, &count), 3);
    drain(in);
    CHECK_DIRECTORIES(in, id, "t");
    finish(in);
}

static int close_while_listing(asyncinotify *in, const char *path, size_t path_len, void *userdata)
{
    (void)path;
    (void)path_len;
    ++*(int *)userdata;
    asyncinotify_close(in);
    return 0;
}

TEST(each_directory_may_close_the_instance)
{
    asyncinotify *in = open_instance();
    int count = 0;
    make_dirs("t/a/b");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    asyncinotify_watch_each_directory(in, id, close_while_listing, &count);
    CHECK_INT(count, 1);
    CHECK_INT(asyncinotify_fd(in), -EINVAL);
}

/* ---- all of it ---- */

/* A short life of a tree with a bit of everything, checked against the disk at every rest. */
static void live(void)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    make_dirs("outside/x");
    asyncinotify_watch id = tree_with(in, "t", ENTRIES, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING);
    struct replica *replica = replica_new("t");
    for (int i = 0; i < 10; i++) {
        make_dirs("t/%d/deep/deeper", i);
        make_file("t/%d/deep/deeper/f", i);
        if (i % 2)
            rename_entry(text("t/%d", i - 1), text("t/%d/moved", i));
        if (i % 3 == 0)
            rename_entry(text("t/%d/deep", i), text("outside/%d", i));
        if (i % 4 == 3)
            remove_all("t/%d", i);
        if (i % 5 == 4)
            rename_entry("outside", "t/a/outside"), make_dir("outside"), remove_all("t/a/outside/x");
        if (i % 5 == 4)
            remove_all("t/a/outside");
        if (i % 2 == 0) {
            replica_follow(replica, in);
            CHECK_REPLICA(replica);
            CHECK_DIRECTORIES(in, id, "t");
        }
    }
    replica_follow(replica, in);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    replica_free(replica);
    finish(in);
}

TEST(a_tree_in_its_ups_and_downs_is_what_the_disk_says)
{
    live();
}

TEST(a_process_without_proc_follows_its_trees_all_the_same)
{
    enter_mount_namespace();
    if (mount("none", "/proc", "tmpfs", 0, NULL) == -1)
        SKIP("can't hide /proc: %s", strerror(errno));
    CHECK(!exists("/proc/self"));
    live();
}
