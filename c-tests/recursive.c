/* Recursive watches: the nine guarantees, the options, the getters. */
#include "harness.h"

#include <sys/mount.h>

enum { ENTRIES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO }; /* what a replica needs */

/* grow DIRECTORY COUNT: COUNT subdirectories with a file in each. */
HELPER(grow)
{
    SYS(chdir(args[0]));
    for (int i = 0, count = atoi(args[1]); i < count; i++) {
        make_dir("%d", i);
        make_entry(text("%d/f", i));
    }
    return 0;
}

static void grow(const char *dir, int count)
{
    make_dirs("%s", dir);
    run_helper("grow", dir, text("%d", count), NULL);
}

/* ---- 1: nothing is missed ---- */

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

/* ---- 2: for any mask ---- */

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

/* ---- 4: renames are followed ---- */

TEST(a_directory_renamed_inside_keeps_its_watches)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b/c");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    rename_entry("t/a", "t/z");
    make_file("t/z/b/c/f");
    expect(in, "MOVED_FROM|ISDIR t/a", "MOVED_TO|ISDIR t/z <- t/a", "CREATE t/z/b/c/f");
    CHECK_INT(kernel_watches(in), 4);
    CHECK_DIRECTORIES(in, id, "t");
    finish(in);
}

TEST(a_directory_renamed_into_another_is_followed)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    make_dirs("t/x/y");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    rename_entry("t/a", "t/x/y/a");
    make_file("t/x/y/a/b/f");
    expect(in, "MOVED_FROM|ISDIR t/a", "MOVED_TO|ISDIR t/x/y/a <- t/a", "CREATE t/x/y/a/b/f");
    CHECK_DIRECTORIES(in, id, "t");
    finish(in);
}

TEST(the_callers_mask_need_not_ask_for_renames)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    tree(in, "t", IN_CREATE);
    rename_entry("t/a", "t/z");
    make_file("t/z/b/f");
    expect(in, "CREATE t/z/b/f");
    finish(in);
}

TEST(halves_of_a_rename_in_different_reads_are_followed)
{
    asyncinotify *in = open_instance();
    const char *from = text("t/%0250d", 1), *to = text("t/%0250d", 2);
    make_dirs("%s/b", from);
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    OK(asyncinotify_set_cache_size(in, 1));
    rename_entry(from, to);
    asyncinotify_event event = take(in);
    CHECK_STR(event_text(&event), text("MOVED_FROM|ISDIR %s", from));
    make_file("%s/b/f", to);
    expect(in, text("MOVED_TO|ISDIR %s <- %s", to, from), text("CREATE %s/b/f", to));
    CHECK_DIRECTORIES(in, id, "t");
    finish(in);
}

TEST(many_renames_in_a_row_before_any_is_read_are_followed)
{
    asyncinotify *in = open_instance();
    make_dirs("t/0/b");
    make_dir("t/x");
    asyncinotify_watch id = tree(in, "t", IN_CREATE | IN_MOVED_TO);
    rename_entry("t/0", "t/1");
    rename_entry("t/1", "t/x/2");
    rename_entry("t/x", "t/y");
    rename_entry("t/y/2", "t/3");
    rename_entry("t/3/b", "t/y/c");
    make_file("t/y/c/f");
    make_file("t/3/g");
    expect(in, "MOVED_TO|ISDIR t/1 <- t/0", "MOVED_TO|ISDIR t/x/2 <- t/1", "MOVED_TO|ISDIR t/y <- t/x",
           "MOVED_TO|ISDIR t/3 <- t/y/2", "MOVED_TO|ISDIR t/y/c <- t/3/b", "CREATE t/y/c/f", "CREATE t/3/g");
    CHECK_DIRECTORIES(in, id, "t");
    finish(in);
}

TEST(paths_are_as_they_were_when_the_event_happened)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    tree(in, "t", IN_CREATE);
    make_file("t/a/b/1");
    rename_entry("t/a", "t/z");
    make_file("t/z/b/2");
    rename_entry("t/z", "t/a");
    make_file("t/a/b/3");
    expect(in, "CREATE t/a/b/1", "CREATE t/z/b/2", "CREATE t/a/b/3");
    finish(in);
}

/* swing DIRECTORY NAME COUNT: renames NAME to NAME.other and back, and makes a file in it each time. */
HELPER(swing)
{
    SYS(chdir(args[0]));
    for (int i = 0, count = atoi(args[2]); i < count; i++) {
        const char *here = args[1], *there = text("%s.other", args[1]);
        rename_entry(i % 2 ? there : here, i % 2 ? here : there);
        make_entry(text("%s/deep/%d", i % 2 ? here : there, i));
    }
    return 0;
}

TEST(renames_by_several_processes_at_once_are_followed)
{
    int count = 200;
    asyncinotify *in = open_instance();
    struct log log = {0};
    pid_t helpers[4];
    for (int i = 0; i < 4; i++)
        make_dirs("t/%d/deep", i);
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    OK(asyncinotify_set_cache_size(in, 1));
    for (int i = 0; i < 4; i++)
        helpers[i] = start_helper("swing", "t", text("%d", i), text("%d", count), NULL);
    for (int i = 0; i < 4; i++) {
        collect(in, &log);
        wait_helper(helpers[i]);
    }
    collect(in, &log);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < count; j++)
            CHECK_INT(log_count(&log, IN_CREATE, 0, text("t/%d%s/deep/%d", i, j % 2 ? "" : ".other", j)), 1);
    CHECK_INT(kernel_watches(in), 9);
    CHECK_DIRECTORIES(in, id, "t");
    log_clear(&log);
    finish(in);
}

TEST(a_directory_moved_out_releases_its_kernel_watches)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b/c");
    make_dir("t/x");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    CHECK_INT(kernel_watches(in), 5);
    rename_entry("t/a", "outside");
    expect(in, "MOVED_FROM|ISDIR t/a");
    CHECK_INT(kernel_watches(in), 2);
    CHECK_DIRECTORIES(in, id, "t");
    make_file("outside/b/c/f");
    make_file("t/x/f");
    expect(in, "CREATE t/x/f");
    finish(in);
}

TEST(a_directory_moved_out_and_back_in_is_watched_again)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    make_file("t/a/b/f");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    struct replica *replica = replica_new("t");
    replica_scan(replica);
    rename_entry("t/a", "outside");
    replica_follow(replica, in);
    CHECK_REPLICA(replica);
    make_file("outside/b/new");
    rename_entry("outside", "t/back");
    replica_follow(replica, in);
    CHECK_REPLICA(replica);
    make_file("t/back/b/last");
    expect(in, "CREATE t/back/b/last");
    CHECK_DIRECTORIES(in, id, "t");
    replica_free(replica);
    finish(in);
}

TEST(a_directory_moved_out_and_back_in_before_any_was_read_is_watched)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    struct replica *replica = replica_new("t");
    replica_scan(replica);
    rename_entry("t/a", "outside");
    make_dirs("outside/new/deep");
    rename_entry("outside", "t/back");
    make_file("t/back/new/deep/f");
    make_file("t/back/b/g");
    replica_follow(replica, in);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    replica_free(replica);
    finish(in);
}

TEST(a_directory_that_vanished_and_came_back_under_its_name_is_watched)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    struct replica *replica = replica_new("t");
    replica_scan(replica);
    for (int i = 0; i < 20; i++) {
        remove_all("t/a");
        make_dirs("t/a/b");
        if (i % 3 == 0)
            make_file("t/a/b/f");
        if (i % 4 == 0)
            replica_follow(replica, in);
    }
    replica_follow(replica, in);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/a/b/last");
    expect(in, "CREATE t/a/b/last");
    replica_free(replica);
    finish(in);
}

TEST(a_new_directory_in_the_place_of_one_that_was_renamed_is_told_apart)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/old");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    struct replica *replica = replica_new("t");
    replica_scan(replica);
    rename_entry("t/a", "t/b");
    make_dirs("t/a/new");
    make_file("t/a/new/f");
    make_file("t/b/old/g");
    replica_follow(replica, in);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/a/new/h");
    make_file("t/b/old/i");
    expect(in, "CREATE t/a/new/h", "CREATE t/b/old/i");
    replica_free(replica);
    finish(in);
}

TEST(directories_that_swap_names_by_a_third_are_followed)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/in-a");
    make_dirs("t/b/in-b");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    rename_entry("t/a", "t/tmp");
    rename_entry("t/b", "t/a");
    rename_entry("t/tmp", "t/b");
    make_file("t/b/in-a/f");
    make_file("t/a/in-b/g");
    expect(in, "CREATE t/b/in-a/f", "CREATE t/a/in-b/g");
    CHECK_DIRECTORIES(in, id, "t");
    finish(in);
}

TEST(directories_that_are_exchanged_are_followed)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/in-a");
    make_dirs("t/b/in-b");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    exchange_entries("t/a", "t/b");
    drain(in);
    make_file("t/b/in-a/f");
    make_file("t/a/in-b/g");
    expect(in, "CREATE t/b/in-a/f", "CREATE t/a/in-b/g");
    CHECK_DIRECTORIES(in, id, "t");
    finish(in);
}

TEST(directories_that_are_exchanged_again_and_again_are_followed)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/in-a");
    make_dirs("t/x/b/in-b");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    for (int i = 0; i < 9; i++) {
        exchange_entries("t/a", "t/x/b");
        if (i % 4 == 0)
            drain(in);
    }
    make_file("t/x/b/in-a/f");
    drain(in);
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/x/b/in-a/g");
    make_file("t/a/in-b/h");
    expect(in, "CREATE t/x/b/in-a/g", "CREATE t/a/in-b/h");
    finish(in);
}

TEST(a_directory_exchanged_with_a_file_is_followed)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/in-a");
    make_file("t/f");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    exchange_entries("t/a", "t/f");
    drain(in);
    make_file("t/f/in-a/new");
    expect(in, "CREATE t/f/in-a/new");
    CHECK_DIRECTORIES(in, id, "t");
    finish(in);
}

TEST(a_directory_renamed_onto_an_empty_one_replaces_it)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    make_dir("t/empty");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    struct replica *replica = replica_new("t");
    replica_scan(replica);
    rename_entry("t/a", "t/empty");
    make_file("t/empty/b/f");
    replica_follow(replica, in);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    CHECK_INT(kernel_watches(in), 3);
    replica_free(replica);
    finish(in);
}

TEST(a_parent_and_its_child_renamed_before_any_was_read_are_followed)
{
    asyncinotify *in = open_instance();
    make_dir("t");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    struct replica *replica = replica_new("t");
    make_dirs("t/a/b/c");
    make_file("t/a/b/c/f");
    rename_entry("t/a/b", "t/a/bb");
    rename_entry("t/a", "t/aa");
    make_dirs("t/aa/bb/d");
    replica_follow(replica, in);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    replica_free(replica);
    finish(in);
}

TEST(a_directory_renamed_while_it_is_scanned_is_followed)
{
    int count = under_valgrind() ? 1500 : 3000;
    asyncinotify *in = open_instance();
    grow("outside", count);
    make_dir("t");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    struct replica *replica = replica_new("t");
    rename_entry("outside", "t/big");
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 50; j++) { /* the scan is under way */
            asyncinotify_event event = take(in);
            replica_apply(replica, &event);
        }
        rename_entry(text("t/big%s", i % 2 ? "-renamed" : ""), text("t/big%s", i % 2 ? "" : "-renamed"));
        make_dirs("t/big%s/%d/new-%d/deep", i % 2 ? "" : "-renamed", count - 1 - i, i);
    }
    replica_follow(replica, in);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    replica_free(replica);
    finish(in);
}

TEST(a_directory_moved_out_while_it_is_scanned_is_released)
{
    asyncinotify *in = open_instance();
    grow("outside", 2500);
    make_dirs("t/x");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    rename_entry("outside", "t/big");
    for (int i = 0; i < 10; i++)
        take(in);
    rename_entry("t/big", "outside");
    drain(in);
    CHECK_INT(kernel_watches(in), 2);
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/x/f");
    expect(in, "CREATE t/x/f");
    finish(in);
}

TEST(a_directory_deleted_while_it_is_scanned_is_forgotten)
{
    asyncinotify *in = open_instance();
    grow("outside", 2500);
    make_dir("t");
    asyncinotify_watch id = tree(in, "t", ENTRIES);
    struct replica *replica = replica_new("t");
    rename_entry("outside", "t/big");
    for (int i = 0; i < 10; i++) {
        asyncinotify_event event = take(in);
        replica_apply(replica, &event);
    }
    remove_all("t/big");
    replica_follow(replica, in);
    CHECK_REPLICA(replica);
    CHECK_INT(kernel_watches(in), 1);
    CHECK_DIRECTORIES(in, id, "t");
    replica_free(replica);
    finish(in);
}

/* ---- 5: overflow is survived ---- */

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
    for (size_t i = 0; i < log.count; i++) /* the noise is not the tree's */
        if (log.events[i]->watch == id || log.events[i]->watch == 0)
            replica_apply(replica, log.events[i]);
    CHECK_REPLICA(replica);
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/again/fresh/5");
    expect(in, "CREATE t/again/fresh/5");
    replica_free(replica);
    log_clear(&log);
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
        for (size_t i = 0; i < log.count; i++)
            if (log.events[i]->watch == id || log.events[i]->watch == 0)
                replica_apply(replica, log.events[i]);
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
    asyncinotify_watch id = tree_with(in, "t", ENTRIES, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING | ASYNCINOTIFY_RECURSIVE_BACKGROUND);
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
    for (size_t i = 0; i < log.count; i++)
        if (log.events[i]->watch == id || log.events[i]->watch == 0)
            replica_apply(replica, log.events[i]);
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

/* ---- 6: no watch disturbs another ---- */

/* Takes all there is and checks what one watch was told, in order. */
#define EXPECT_OF(log, id, ...) expect_of(__LINE__, (log), (id), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void expect_of(int line, const struct log *log, asyncinotify_watch id, const char *const *expected)
{
    size_t at = 0;
    for (size_t i = 0; i < log->count; i++) {
        if (log->events[i]->watch != id)
            continue;
        const char *came = event_text(log->events[i]);
        if (!expected[at] || strcmp(came, expected[at])) {
            log_print(log);
            test_fail(__FILE__, line, "watch %llu was told \"%s\", expected \"%s\"", (unsigned long long)id, came,
                      expected[at] ? expected[at] : "nothing more");
        }
        at++;
    }
    if (expected[at]) {
        log_print(log);
        test_fail(__FILE__, line, "watch %llu was not told \"%s\"", (unsigned long long)id, expected[at]);
    }
}

TEST(a_plain_watch_inside_a_tree_hears_what_its_own_mask_asks)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dirs("t/a");
    asyncinotify_watch recursive = tree(in, "t", IN_CREATE), plain = watch(in, "t/a", IN_DELETE);
    CHECK(plain != recursive);
    CHECK_INT(kernel_watches(in), 2);
    make_file("t/a/f");
    remove_file("t/a/f");
    collect(in, &log);
    EXPECT_OF(&log, recursive, "CREATE t/a/f");
    EXPECT_OF(&log, plain, "DELETE t/a/f");
    log_clear(&log);
    finish(in);
}

TEST(a_plain_watch_keeps_its_own_path_inside_a_tree)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dirs("t/a");
    const char *absolute = text("%s/t/a", test_dir());
    asyncinotify_watch plain = watch(in, absolute, IN_CREATE), recursive = tree(in, "t", IN_CREATE);
    make_file("t/a/f");
    collect(in, &log);
    EXPECT_OF(&log, recursive, "CREATE t/a/f");
    EXPECT_OF(&log, plain, text("CREATE %s/f", absolute));
    CHECK_INT(log.count, 2);
    log_clear(&log);
    finish(in);
}

TEST(watch_mask_of_watches_that_share_an_inode_is_each_ones_own)
{
    asyncinotify *in = open_instance();
    uint32_t mask = 0;
    make_dirs("t/a");
    asyncinotify_watch recursive = tree(in, "t", IN_CREATE | IN_DELETE), plain = watch(in, "t", IN_ATTRIB);
    OK(asyncinotify_watch_mask(in, plain, &mask));
    CHECK_HEX(mask, IN_ATTRIB);
    OK(asyncinotify_watch_mask(in, recursive, &mask));
    CHECK_HEX(mask, IN_CREATE | IN_DELETE);
    watch(in, "t", IN_OPEN | IN_MASK_ADD);
    OK(asyncinotify_watch_mask(in, plain, &mask));
    CHECK_HEX(mask, IN_ATTRIB | IN_OPEN);
    OK(asyncinotify_watch_mask(in, recursive, &mask));
    CHECK_HEX(mask, IN_CREATE | IN_DELETE);
    finish(in);
}

TEST(removing_a_plain_watch_leaves_the_tree)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    asyncinotify_watch recursive = tree(in, "t", IN_CREATE), plain = watch(in, "t/a", IN_DELETE);
    remove_watch(in, plain);
    asyncinotify_event event = take(in);
    CHECK_STR(event_text(&event), "IGNORED t/a");
    CHECK_INT(event.watch, plain);
    make_file("t/a/f");
    make_file("t/a/b/g");
    remove_file("t/a/f");
    expect(in, "CREATE t/a/f", "CREATE t/a/b/g");
    CHECK_INT(kernel_watches(in), 3);
    CHECK_DIRECTORIES(in, recursive, "t");
    finish(in);
}

TEST(removing_a_tree_leaves_a_plain_watch_inside)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    asyncinotify_watch recursive = tree(in, "t", IN_CREATE), plain = watch(in, "t/a", IN_DELETE);
    remove_watch(in, recursive);
    expect(in, "IGNORED t");
    CHECK_INT(kernel_watches(in), 1);
    make_file("t/a/f");
    remove_file("t/a/f");
    make_file("t/a/b/g");
    expect(in, "DELETE t/a/f");
    CHECK_INT(asyncinotify_watch_is_active(in, plain), 1);
    finish(in);
}

TEST(two_trees_that_overlap_hear_each_its_own)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dirs("t/a/b");
    asyncinotify_watch outer = tree(in, "t", IN_CREATE), inner = tree(in, "t/a", IN_CREATE | IN_DELETE);
    CHECK_INT(kernel_watches(in), 3);
    make_file("t/f");
    make_file("t/a/b/f");
    remove_file("t/a/b/f");
    make_dirs("t/a/new/deep");
    collect(in, &log);
    EXPECT_OF(&log, outer, "CREATE t/f", "CREATE t/a/b/f", "CREATE|ISDIR t/a/new", "SYNTHETIC CREATE|ISDIR t/a/new/deep");
    EXPECT_OF(&log, inner, "CREATE t/a/b/f", "DELETE t/a/b/f", "CREATE|ISDIR t/a/new",
              "SYNTHETIC CREATE|ISDIR t/a/new/deep");
    CHECK_DIRECTORIES(in, outer, "t");
    CHECK_DIRECTORIES(in, inner, "t/a");
    CHECK_INT(kernel_watches(in), 5);
    log_clear(&log);
    finish(in);
}

TEST(two_trees_on_one_root_are_two_watches)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dirs("t/a");
    asyncinotify_watch one = tree(in, "t", IN_CREATE), other = tree(in, "t", IN_DELETE);
    CHECK(one != other);
    CHECK_INT(kernel_watches(in), 2);
    make_file("t/a/f");
    remove_file("t/a/f");
    collect(in, &log);
    EXPECT_OF(&log, one, "CREATE t/a/f");
    EXPECT_OF(&log, other, "DELETE t/a/f");
    log_clear(&log);
    remove_watch(in, one);
    expect(in, "IGNORED t");
    CHECK_INT(kernel_watches(in), 2);
    make_file("t/a/f");
    remove_file("t/a/f");
    expect(in, "DELETE t/a/f");
    finish(in);
}

TEST(removing_the_outer_of_two_trees_leaves_the_inner)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    make_dir("t/x");
    asyncinotify_watch outer = tree(in, "t", IN_CREATE), inner = tree(in, "t/a", IN_CREATE);
    remove_watch(in, outer);
    expect(in, "IGNORED t");
    CHECK_INT(kernel_watches(in), 2);
    make_file("t/f");
    make_file("t/x/f");
    make_dirs("t/a/b/c");
    make_file("t/a/b/c/f");
    expect_told(in, "CREATE|ISDIR t/a/b/c", "CREATE t/a/b/c/f");
    CHECK_DIRECTORIES(in, inner, "t/a");
    finish(in);
}

TEST(removing_the_inner_of_two_trees_leaves_the_outer)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    asyncinotify_watch outer = tree(in, "t", IN_CREATE), inner = tree(in, "t/a", IN_CREATE);
    remove_watch(in, inner);
    expect(in, "IGNORED t/a");
    CHECK_INT(kernel_watches(in), 3);
    make_file("t/a/b/f");
    expect(in, "CREATE t/a/b/f");
    CHECK_DIRECTORIES(in, outer, "t");
    finish(in);
}

TEST(a_directory_moved_from_one_tree_to_another_is_told_by_both)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dirs("one/a/b");
    make_dir("two");
    asyncinotify_watch one = tree(in, "one", ENTRIES), two = tree(in, "two", ENTRIES);
    rename_entry("one/a", "two/a");
    collect(in, &log);
    EXPECT_OF(&log, one, "MOVED_FROM|ISDIR one/a");
    const asyncinotify_event *arrival = log_find(&log, IN_MOVED_TO, 0, "two/a");
    CHECK(arrival != NULL);
    CHECK_INT(arrival->watch, two);
    CHECK_STR(arrival->moved_from, "one/a");
    CHECK_DIRECTORIES(in, one, "one");
    CHECK_DIRECTORIES(in, two, "two");
    make_file("two/a/b/f");
    log_clear(&log);
    collect(in, &log);
    EXPECT_OF(&log, one);
    EXPECT_OF(&log, two, "CREATE two/a/b/f");
    log_clear(&log);
    finish(in);
}

TEST(a_ONESHOT_watch_inside_a_tree_ends_alone)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dirs("t/a");
    asyncinotify_watch recursive = tree(in, "t", IN_CREATE), plain = watch(in, "t/a", IN_CREATE | (uint32_t)IN_ONESHOT);
    make_file("t/a/1");
    make_file("t/a/2");
    collect(in, &log);
    make_file("t/a/3");
    collect(in, &log);
    EXPECT_OF(&log, recursive, "CREATE t/a/1", "CREATE t/a/2", "CREATE t/a/3");
    EXPECT_OF(&log, plain, "CREATE t/a/1");
    CHECK_INT(asyncinotify_watch_is_active(in, plain), -ENOENT);
    CHECK_INT(kernel_watches(in), 2);
    log_clear(&log);
    finish(in);
}

TEST(a_plain_watch_of_a_file_inside_a_tree_hears_of_it_beside_the_tree)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dirs("t/a");
    write_file("t/a/f");
    SYS(link("t/a/f", "t/hard"));
    asyncinotify_watch recursive = tree(in, "t", IN_CLOSE_WRITE), plain = watch(in, "t/hard", IN_MODIFY);
    write_file("t/a/f");
    write_file("t/hard");
    collect(in, &log);
    EXPECT_OF(&log, recursive, "CLOSE_WRITE t/a/f", "CLOSE_WRITE t/hard");
    EXPECT_OF(&log, plain, "MODIFY t/hard", "MODIFY t/hard");
    log_clear(&log);
    finish(in);
}

TEST(hard_links_are_entries_of_their_own)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a");
    make_file("t/f");
    tree(in, "t", ENTRIES);
    SYS(link("t/f", "t/a/g"));
    remove_file("t/f");
    expect(in, "CREATE t/a/g", "DELETE t/f");
    finish(in);
}

static void bind_mount(const char *from, const char *to)
{
    if (mount(from, to, NULL, MS_BIND, NULL) == -1)
        SKIP("can't bind-mount here: %s", strerror(errno));
}

TEST(a_directory_that_is_in_the_tree_twice_by_a_bind_mount_is_told_by_both_paths)
{
    enter_mount_namespace();
    make_dirs("t/d/x");
    make_dirs("t/m");
    bind_mount("t/d", "t/m");
    asyncinotify *in = open_instance();
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    CHECK_INT(kernel_watches(in), 3);
    CHECK_DIRECTORIES(in, id, "t");
    make_file("t/d/f");
    make_file("t/m/x/g");
    expect_any_order(in, "CREATE t/d/f", "CREATE t/m/f", "CREATE t/d/x/g", "CREATE t/m/x/g");
    finish(in);
}

TEST(a_tree_and_a_bind_mount_of_it_watched_as_trees_are_independent)
{
    enter_mount_namespace();
    make_dirs("t/x");
    make_dir("m");
    bind_mount("t", "m");
    asyncinotify *in = open_instance();
    struct log log = {0};
    asyncinotify_watch one = tree(in, "t", IN_CREATE), other = tree(in, "m", IN_CREATE);
    make_file("t/x/f");
    collect(in, &log);
    EXPECT_OF(&log, one, "CREATE t/x/f");
    EXPECT_OF(&log, other, "CREATE m/x/f");
    log_clear(&log);
    remove_watch(in, one);
    expect(in, "IGNORED t");
    make_file("t/x/g");
    expect(in, "CREATE m/x/g");
    finish(in);
}

/* ---- 7: the loop never stalls ---- */

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
    asyncinotify_watch id = tree_with(in, "t", ENTRIES, ASYNCINOTIFY_RECURSIVE_BACKGROUND | ASYNCINOTIFY_RECURSIVE_LIST_EXISTING);
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
    asyncinotify_watch id = tree_with(in, "t", IN_CREATE, ASYNCINOTIFY_RECURSIVE_BACKGROUND | ASYNCINOTIFY_RECURSIVE_LIST_EXISTING);
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
    tree_with(in, "t", IN_CREATE, ASYNCINOTIFY_RECURSIVE_BACKGROUND | ASYNCINOTIFY_RECURSIVE_LIST_EXISTING);
    for (int i = 0; i < 10; i++)
        take(in);
    asyncinotify_close(in);
}

/* ---- 8: trouble is told, and contained ---- */

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

/* ---- 9: links, depth, the root's own end ---- */

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

/* ---- the options ---- */

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
