/* Recursive watches: nothing is missed, for any mask; links, depth, the end of the root; getters and setters. */
#include "harness.h"

#include <sys/mount.h>

/* ---- nothing is missed ---- */

TEST(what_was_there_before_is_watched_whole)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b/c");
    make_dirs("t/x/y");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    CHECK_INT(kernel_watches(in), 6);
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/f");
    make_file("t/a/b/c/f");
    make_file("t/x/y/f");
    expect(in, "CREATE t/f", "CREATE t/a/b/c/f", "CREATE t/x/y/f");
    finish(in);
}

TEST(mkdir_p_and_a_file_at_once_are_reported_whole)
{
    asyncinotify *in = open_instance();
    make_dir("t");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    make_dirs("t/a/b/c");
    write_file("t/a/b/c/f");
    expect_told(in, "CREATE|ISDIR t/a", "CREATE|ISDIR t/a/b", "CREATE|ISDIR t/a/b/c", "CREATE t/a/b/c/f");
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/a/b/c/later");
    expect(in, "CREATE t/a/b/c/later");
    finish(in);
}

TEST(what_the_kernel_could_not_tell_is_flagged_SYNTHETIC)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dir("t");
    tree(in, "t", IN_CREATE);
    make_dirs("t/a/b");
    collect(in, &log);
    CHECK_INT(log_find(&log, IN_CREATE, 0, "t/a")->flags, 0);
    CHECK_INT(log_find(&log, IN_CREATE, 0, "t/a/b")->flags, ASYNCINOTIFY_EVENT_SYNTHETIC);
    log_clear(&log);
    finish(in);
}

TEST(parents_are_reported_before_their_children)
{
    asyncinotify *in = open_instance();
    make_dir("t");
    tree(in, "t", IN_CREATE);
    make_dirs("t/a/b/c/d/e");
    expect(in, "CREATE|ISDIR t/a", "SYNTHETIC CREATE|ISDIR t/a/b", "SYNTHETIC CREATE|ISDIR t/a/b/c",
           "SYNTHETIC CREATE|ISDIR t/a/b/c/d", "SYNTHETIC CREATE|ISDIR t/a/b/c/d/e");
    finish(in);
}

TEST(a_tree_that_grows_step_by_step_is_reported_by_the_kernel)
{
    asyncinotify *in = open_instance();
    make_dir("t");
    tree(in, "t", IN_CREATE);
    make_dir("t/a");
    expect(in, "CREATE|ISDIR t/a");
    make_dir("t/a/b");
    expect(in, "CREATE|ISDIR t/a/b");
    make_file("t/a/b/f");
    expect(in, "CREATE t/a/b/f");
    finish(in);
}

TEST(a_directory_moved_in_is_reported_with_its_content)
{
    asyncinotify *in = open_instance();
    make_dir("t");
    make_dirs("outside/x/y");
    make_file("outside/x/y/f");
    asyncinotify_watch id = tree(in, "t", IN_CREATE | IN_MOVED_TO);
    rename_entry("outside", "t/in");
    expect_any_order(in, "MOVED_TO|ISDIR t/in", "SYNTHETIC CREATE|ISDIR t/in/x", "SYNTHETIC CREATE|ISDIR t/in/x/y",
                     "SYNTHETIC CREATE t/in/x/y/f");
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/in/x/y/g");
    expect(in, "CREATE t/in/x/y/g");
    finish(in);
}

/* unpack DIRECTORY SEED: what tar would do with a small archive. */
HELPER(unpack)
{
    SYS(chdir(args[0]));
    for (int i = 0; i < 20; i++) {
        make_dirs("%s/%d/%d/deep", args[1], i % 3, i);
        for (int j = 0; j < 5; j++)
            write_file("%s/%d/%d/%s%d", args[1], i % 3, i, j % 2 ? "deep/" : "", j);
    }
    rename_entry(text("%s/0", args[1]), text("%s/zero", args[1]));
    remove_all("%s/1", args[1]);
    return 0;
}

TEST(eight_processes_unpack_archives_and_nothing_is_missed)
{
    asyncinotify *in = open_instance();
    make_dir("t");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    struct replica *replica = replica_new("t");
    pid_t helpers[8];
    for (int i = 0; i < 8; i++)
        helpers[i] = start_helper("unpack", "t", text("%d", i), NULL);
    for (int i = 0; i < 8; i++) {
        replica_follow(replica, in);
        wait_helper(helpers[i]);
    }
    replica_follow(replica, in);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    replica_free(replica);
    finish(in);
}

TEST(what_leaves_is_reported)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    make_file("t/a/b/f");
    asyncinotify_watch id = tree(in, "t", IN_DELETE);
    remove_all("t/a");
    expect(in, "DELETE t/a/b/f", "DELETE|ISDIR t/a/b", "DELETE|ISDIR t/a");
    CHECK_INT(kernel_watches(in), 1);
    CHECK_DIRECTORIES(in, id, "t");
    finish(in);
}

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

/* ---- for any mask ---- */

TEST(CLOSE_WRITE_alone_names_every_file_that_was_written)
{
    asyncinotify *in = open_instance();
    make_dir("t");
    tree(in, "t", IN_CLOSE_WRITE);
    make_dirs("t/a/b/c");
    write_file("t/a/b/c/f");
    write_file("t/a/g");
    expect_told(in, "CLOSE_WRITE t/a/b/c/f", "CLOSE_WRITE t/a/g");
    make_dir("t/a/d");
    expect_nothing(in);
    write_file("t/a/d/h");
    expect(in, "CLOSE_WRITE t/a/d/h");
    finish(in);
}

TEST(MODIFY_alone_names_every_file_that_was_written)
{
    asyncinotify *in = open_instance();
    make_dir("t");
    tree(in, "t", IN_MODIFY);
    make_dirs("t/a/b");
    write_file("t/a/b/f");
    expect_told(in, "MODIFY t/a/b/f");
    write_file("t/a/b/f");
    expect(in, "MODIFY t/a/b/f");
    finish(in);
}

TEST(DELETE_alone_is_complete_in_directories_that_are_new)
{
    asyncinotify *in = open_instance();
    make_dir("t");
    tree(in, "t", IN_DELETE);
    make_dirs("t/a/b");
    make_file("t/a/b/f");
    expect_nothing(in);
    remove_file("t/a/b/f");
    expect(in, "DELETE t/a/b/f");
    finish(in);
}

TEST(ATTRIB_alone_is_complete_in_directories_that_moved)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    make_file("t/a/b/f");
    tree(in, "t", IN_ATTRIB);
    rename_entry("t/a", "t/c");
    SYS(chmod("t/c/b/f", 0600));
    expect(in, "ATTRIB t/c/b/f");
    finish(in);
}

TEST(SYNTHETIC_events_are_those_that_the_appearing_would_have_caused)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dirs("outside/dir");
    write_file("outside/file");
    SYS(symlink("file", "outside/symlink"));
    SYS(mkfifo("outside/fifo", 0600));
    make_dir("t");
    tree(in, "t", IN_CREATE | IN_CLOSE_WRITE | IN_MODIFY);
    rename_entry("outside", "t/in");
    collect(in, &log);
    static const struct {
        const char *path;
        uint32_t mask;
    } expected[] = {{"t/in/dir", IN_CREATE | IN_ISDIR}, {"t/in/file", IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE},
                    {"t/in/symlink", IN_CREATE}, {"t/in/fifo", IN_CREATE}};
    for (size_t i = 0; i < 4; i++) { /* in one event or in several */
        uint32_t mask = 0;
        for (size_t j = 0; j < log.count; j++)
            if (!strcmp(log.events[j]->path, expected[i].path)) {
                CHECK_HEX(log.events[j]->flags, ASYNCINOTIFY_EVENT_SYNTHETIC);
                mask |= log.events[j]->mask;
            }
        CHECK_HEX(mask, expected[i].mask);
        CHECK_INT(log_count(&log, IN_CREATE, 0, expected[i].path), 1);
    }
    log_clear(&log);
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

TEST(a_change_of_a_subdirectory_itself_is_reported_once)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    tree(in, "t", IN_ATTRIB);
    SYS(chmod("t/a/b", 0700));
    SYS(chmod("t/a", 0700));
    SYS(chmod("t", 0700));
    expect(in, "ATTRIB|ISDIR t/a/b", "ATTRIB|ISDIR t/a", "ATTRIB|ISDIR t");
    finish(in);
}

/* ---- links, depth, the root's own end ---- */

TEST(symbolic_links_below_the_root_are_entries_and_not_followed)
{
    asyncinotify *in = open_instance();
    make_dir("elsewhere");
    make_dirs("t/a");
    SYS(symlink("../elsewhere", "t/before"));
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    SYS(symlink("../elsewhere", "t/link"));
    SYS(symlink("..", "t/a/loop"));
    make_file("elsewhere/f");
    expect(in, "CREATE t/link", "CREATE t/a/loop");
    CHECK_INT(kernel_watches(in), 2);
    CHECK_DIRECTORIES(in, id, "t");
    finish(in);
}

TEST(a_symbolic_link_as_the_root_is_followed)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a");
    SYS(symlink("t", "link"));
    tree(in, "link", IN_CREATE);
    make_file("t/a/f");
    expect(in, "CREATE link/a/f");
    finish(in);
}

TEST(a_symbolic_link_as_the_root_is_refused_with_DONT_FOLLOW)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a");
    SYS(symlink("t", "link"));
    CHECK_INT(asyncinotify_add_recursive(in, "link", IN_CREATE | IN_DONT_FOLLOW, NULL, NULL), -ENOTDIR);
    CHECK_INT(kernel_watches(in), 0);
    finish(in);
}

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

TEST(a_root_that_is_deleted_ends_the_tree_with_DELETE_SELF_and_IGNORED)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a");
    asyncinotify_watch id = tree(in, "t", IN_DELETE | IN_DELETE_SELF);
    remove_all("t");
    expect(in, "DELETE|ISDIR t/a", "DELETE_SELF t", "IGNORED t");
    CHECK_INT(asyncinotify_watch_is_active(in, id), -ENOENT);
    CHECK_INT(kernel_watches(in), 0);
    CHECK_INT(asyncinotify_watches(in, NULL, 0), 0);
    finish(in);
}

TEST(a_root_that_is_deleted_ends_the_tree_with_IGNORED_alone_if_nothing_else_is_asked)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    tree(in, "t", IN_CREATE);
    remove_all("t");
    expect(in, "IGNORED t");
    CHECK_INT(kernel_watches(in), 0);
    finish(in);
}

TEST(DELETE_SELF_and_MOVE_SELF_are_about_the_root_alone)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    make_dirs("t/c");
    tree(in, "t", IN_DELETE_SELF | IN_MOVE_SELF);
    rename_entry("t/a", "t/z");
    remove_dir("t/c");
    remove_all("t/z");
    expect_nothing(in);
    finish(in);
}

TEST(a_root_that_is_moved_is_told_by_MOVE_SELF_and_stays_watched)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a");
    asyncinotify_watch id = tree(in, "t", IN_CREATE | IN_MOVE_SELF);
    rename_entry("t", "elsewhere");
    expect(in, "MOVE_SELF t");
    make_file("elsewhere/a/f");
    expect(in, "CREATE t/a/f"); /* until the program corrects it */
    OK(asyncinotify_watch_set_path(in, id, "elsewhere"));
    make_file("elsewhere/a/g");
    make_dirs("elsewhere/new/deep");
    expect_told(in, "CREATE elsewhere/a/g", "CREATE|ISDIR elsewhere/new", "CREATE|ISDIR elsewhere/new/deep");
    CHECK_DIRECTORIES(in, id, "elsewhere");
    finish(in);
}

TEST(a_root_whose_filesystem_is_unmounted_ends_the_tree)
{
    enter_mount_namespace();
    make_dir("m");
    if (mount("none", "m", "tmpfs", 0, NULL) == -1)
        SKIP("can't mount a tmpfs: %s", strerror(errno));
    make_dirs("m/a/b");
    asyncinotify *in = open_instance();
    asyncinotify_watch id = tree(in, "m", IN_CREATE);
    CHECK_INT(kernel_watches(in), 3);
    SYS(umount("m")); /* the tree does not keep it busy */
    struct log log = {0};
    collect(in, &log);
    CHECK_INT(log_count(&log, IN_IGNORED, 0, "m"), 1);
    CHECK_HEX(log.events[log.count - 1]->mask, IN_IGNORED);
    CHECK_INT(log.events[log.count - 1]->watch, id);
    CHECK_INT(log_count(&log, IN_UNMOUNT, 0, "m"), 1);
    CHECK_INT(kernel_watches(in), 0);
    CHECK_INT(asyncinotify_watch_is_active(in, id), -ENOENT);
    log_clear(&log);
    finish(in);
}

TEST(rm_watch_takes_the_whole_tree_away)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    make_file("t/a/b/before");
    remove_watch(in, id);
    CHECK_INT(asyncinotify_rm_watch(in, id), -ENOENT);
    CHECK_INT(asyncinotify_watch_is_active(in, id), 0);
    make_file("t/a/b/after");
    expect(in, "CREATE t/a/b/before", "IGNORED t");
    CHECK_INT(kernel_watches(in), 0);
    CHECK_INT(asyncinotify_watch_is_active(in, id), -ENOENT);
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
