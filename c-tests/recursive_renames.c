/* Renames inside a tree, out of it and into it, in every order. */
#include "harness.h"

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
