/* Watches that share inodes: none disturbs another. */
#include "harness.h"

#include <sys/mount.h>

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
    if (mount(from, to, "none", MS_BIND, NULL) == -1)
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

TEST(a_plain_watch_in_a_tree_hears_only_what_it_asked_for_however_the_tree_is_scanned)
{
    asyncinotify *in = open_instance();
    for (int i = 0; i < 5; i++) {
        make_dirs("t/%d", i);
        watch(in, text("t/%d", i), IN_DELETE_SELF);
        for (int j = 0; j < 900 && i % 2; j++) /* so much that it can't be listed together with a small one */
            make_entry(text("t/%d/%0100d", i, j));
    }
    asyncinotify_watch id = tree(in, "t", IN_DELETE | IN_ACCESS);
    struct log log = {0};
    collect(in, &log);
    for (size_t i = 0; i < log.count; i++)
        CHECK_INT(log.events[i]->watch, id);
    CHECK_INT(kernel_watches(in), 6);
    log_clear(&log);
    finish(in);
}
