/* Watches: every bit of the mask, the rules of adding, getters and setters, removal, IDs. */
#include "harness.h"

#include <sys/mount.h>

/* ---- every event bit by itself ---- */

static void read_file(const char *path)
{
    char byte;
    int fd = (int)SYS(open(path, O_RDONLY | O_CLOEXEC));
    CHECK_INT(read(fd, &byte, 1), 1);
    SYS(close(fd));
}

/* Everything that can happen to d/f and to d. */
static asyncinotify *everything_happens_under(uint32_t mask)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    watch(in, "d", mask);
    write_file("d/f");
    read_file("d/f");
    SYS(chmod("d/f", 0600));
    rename_entry("d/f", "d/g");
    remove_file("d/g");
    rename_entry("d", "e");
    remove_dir("e");
    return in;
}

TEST(ACCESS_reports_a_read)
{
    asyncinotify *in = everything_happens_under(IN_ACCESS);
    expect(in, "ACCESS d/f", "IGNORED d");
    finish(in);
}

TEST(MODIFY_reports_a_write)
{
    asyncinotify *in = everything_happens_under(IN_MODIFY);
    expect(in, "MODIFY d/f", "IGNORED d");
    finish(in);
}

TEST(ATTRIB_reports_a_chmod)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    make_file("d/f");
    watch(in, "d", IN_ATTRIB);
    SYS(chmod("d/f", 0600));
    SYS(chmod("d", 0700));
    expect(in, "ATTRIB d/f", "ATTRIB|ISDIR d");
    finish(in);
}

TEST(CLOSE_WRITE_reports_the_end_of_writing)
{
    asyncinotify *in = everything_happens_under(IN_CLOSE_WRITE);
    expect(in, "CLOSE_WRITE d/f", "IGNORED d");
    finish(in);
}

TEST(CLOSE_NOWRITE_reports_the_end_of_reading)
{
    asyncinotify *in = everything_happens_under(IN_CLOSE_NOWRITE);
    expect(in, "CLOSE_NOWRITE d/f", "IGNORED d");
    finish(in);
}

TEST(CLOSE_reports_both)
{
    asyncinotify *in = everything_happens_under(ASYNCINOTIFY_CLOSE);
    expect(in, "CLOSE_WRITE d/f", "CLOSE_NOWRITE d/f", "IGNORED d");
    finish(in);
}

TEST(OPEN_reports_opening)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    make_file("d/f");
    watch(in, "d", IN_OPEN);
    SYS(close((int)SYS(open("d/f", O_RDONLY | O_CLOEXEC))));
    expect(in, "OPEN d/f");
    finish(in);
}

TEST(MOVED_FROM_reports_the_old_name)
{
    asyncinotify *in = everything_happens_under(IN_MOVED_FROM);
    expect(in, "MOVED_FROM d/f", "IGNORED d");
    finish(in);
}

TEST(MOVED_TO_reports_the_new_name)
{
    asyncinotify *in = everything_happens_under(IN_MOVED_TO);
    expect(in, "MOVED_TO d/g", "IGNORED d");
    finish(in);
}

TEST(MOVE_reports_both_names)
{
    asyncinotify *in = everything_happens_under(ASYNCINOTIFY_MOVE);
    expect(in, "MOVED_FROM d/f", "MOVED_TO d/g <- d/f", "IGNORED d");
    finish(in);
}

TEST(CREATE_reports_files_directories_and_links)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    watch(in, "d", IN_CREATE);
    make_file("d/file");
    make_dir("d/dir");
    SYS(symlink("nowhere", "d/symlink"));
    SYS(link("d/file", "d/hard"));
    SYS(mkfifo("d/fifo", 0600));
    expect(in, "CREATE d/file", "CREATE|ISDIR d/dir", "CREATE d/symlink", "CREATE d/hard", "CREATE d/fifo");
    finish(in);
}

TEST(DELETE_reports_files_and_directories)
{
    asyncinotify *in = open_instance();
    make_dirs("d/dir");
    make_file("d/file");
    watch(in, "d", IN_DELETE);
    remove_file("d/file");
    remove_dir("d/dir");
    expect(in, "DELETE d/file", "DELETE|ISDIR d/dir");
    finish(in);
}

TEST(DELETE_SELF_reports_the_end_of_the_watched_itself)
{
    asyncinotify *in = everything_happens_under(IN_DELETE_SELF);
    expect(in, "DELETE_SELF d", "IGNORED d");
    finish(in);
}

TEST(MOVE_SELF_reports_that_the_watched_itself_was_moved)
{
    asyncinotify *in = everything_happens_under(IN_MOVE_SELF);
    expect(in, "MOVE_SELF d", "IGNORED d");
    finish(in);
}

TEST(ALL_reports_everything_in_order)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    watch(in, "d", ASYNCINOTIFY_ALL);
    write_file("d/f");
    read_file("d/f");
    SYS(chmod("d/f", 0600));
    rename_entry("d/f", "d/g");
    remove_file("d/g");
    expect(in, "CREATE d/f", "OPEN d/f", "MODIFY d/f", "CLOSE_WRITE d/f", "OPEN d/f", "ACCESS d/f", "CLOSE_NOWRITE d/f",
           "ATTRIB d/f", "MOVED_FROM d/f", "MOVED_TO d/g <- d/f", "DELETE d/g");
    finish(in);
}

TEST(UNMOUNT_and_IGNORED_report_the_end_of_the_filesystem)
{
    enter_mount_namespace();
    make_dir("m");
    if (mount("none", "m", "tmpfs", 0, NULL) == -1)
        SKIP("can't mount a tmpfs: %s", strerror(errno));
    make_dir("m/d");
    asyncinotify *in = open_instance();
    asyncinotify_watch id = watch(in, "m/d", IN_CREATE);
    SYS(umount2("m", MNT_DETACH));
    asyncinotify_event event = take(in);
    CHECK(event.mask & IN_UNMOUNT);
    CHECK_STR(event.path, "m/d");
    CHECK_INT(event.watch, id);
    expect(in, "IGNORED m/d");
    finish(in);
}

TEST(a_watched_file_has_events_without_a_name)
{
    asyncinotify *in = open_instance();
    write_file("f");
    asyncinotify_watch id = watch(in, "f", IN_MODIFY);
    write_file("f");
    asyncinotify_event event = take(in);
    CHECK_STR(event_text(&event), "MODIFY f");
    CHECK(event.name == NULL);
    CHECK_INT(event.name_len, 0);
    CHECK_INT(event.watch, id);
    finish(in);
}

/* ---- the bits that say how to watch ---- */

TEST(ONLYDIR_refuses_what_is_not_a_directory)
{
    asyncinotify *in = open_instance();
    make_file("f");
    CHECK_INT(asyncinotify_add_watch(in, "f", IN_MODIFY | IN_ONLYDIR, NULL), -ENOTDIR);
    CHECK_INT(kernel_watches(in), 0);
    watch(in, ".", IN_CREATE | IN_ONLYDIR);
    make_file("g");
    expect(in, "CREATE ./g");
    finish(in);
}

TEST(a_symbolic_link_is_followed)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    SYS(symlink("d", "l"));
    watch(in, "l", IN_CREATE);
    make_file("d/f");
    expect(in, "CREATE l/f");
    finish(in);
}

TEST(DONT_FOLLOW_watches_the_symbolic_link_itself)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    SYS(symlink("d", "l"));
    watch(in, "l", IN_CREATE | IN_MOVE_SELF | IN_DONT_FOLLOW);
    make_file("d/f");
    expect_nothing(in);
    rename_entry("l", "k");
    expect(in, "MOVE_SELF l");
    finish(in);
}

TEST(DONT_FOLLOW_with_ONLYDIR_refuses_a_symbolic_link)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    SYS(symlink("d", "l"));
    CHECK_INT(asyncinotify_add_watch(in, "l", IN_CREATE | IN_DONT_FOLLOW | IN_ONLYDIR, NULL), -ENOTDIR);
    finish(in);
}

static void write_to_an_unlinked_file(uint32_t mask, asyncinotify *in)
{
    make_dir("d");
    int fd = (int)SYS(open("d/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    watch(in, "d", mask);
    remove_file("d/f");
    CHECK_INT(write(fd, "x", 1), 1);
    SYS(close(fd));
}

TEST(EXCL_UNLINK_leaves_out_what_happens_to_unlinked_files)
{
    asyncinotify *in = open_instance();
    write_to_an_unlinked_file(IN_MODIFY | IN_EXCL_UNLINK, in);
    expect_nothing(in);
    finish(in);
}

TEST(without_EXCL_UNLINK_unlinked_files_still_report)
{
    asyncinotify *in = open_instance();
    write_to_an_unlinked_file(IN_MODIFY, in);
    expect(in, "MODIFY d/f");
    finish(in);
}

TEST(a_second_add_gives_the_same_ID_and_replaces_the_mask)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    CHECK_INT(watch(in, "d", IN_DELETE), id);
    make_file("d/f");
    remove_file("d/f");
    expect(in, "DELETE d/f");
    CHECK_INT(asyncinotify_watches(in, NULL, 0), 1);
    finish(in);
}

TEST(a_second_add_by_another_path_of_the_inode_gives_the_same_ID)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    SYS(symlink("d", "l"));
    write_file("f");
    SYS(link("f", "g"));
    CHECK_INT(watch(in, "l", IN_DELETE), watch(in, "d", IN_CREATE));
    CHECK_INT(watch(in, text("%s/d", test_dir()), IN_DELETE), watch(in, "d", IN_CREATE));
    CHECK_INT(watch(in, "g", IN_MODIFY), watch(in, "f", IN_MODIFY));
    CHECK_INT(kernel_watches(in), 2);
    finish(in);
}

TEST(MASK_ADD_adds_to_the_mask)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    CHECK_INT(watch(in, "d", IN_DELETE | IN_MASK_ADD), id);
    make_file("d/f");
    remove_file("d/f");
    expect(in, "CREATE d/f", "DELETE d/f");
    finish(in);
}

TEST(MASK_ADD_on_a_new_inode_adds_a_watch)
{
    asyncinotify *in = open_instance();
    watch(in, ".", IN_CREATE | IN_MASK_ADD);
    make_file("f");
    expect(in, "CREATE ./f");
    finish(in);
}

TEST(MASK_CREATE_refuses_an_inode_that_is_watched)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE | IN_MASK_CREATE), other = 0;
    CHECK_INT(asyncinotify_add_watch(in, "d", IN_DELETE | IN_MASK_CREATE, &other), -EEXIST);
    make_file("d/f");
    remove_file("d/f");
    expect(in, "CREATE d/f");
    OK(asyncinotify_watch_is_active(in, id));
    finish(in);
}

TEST(MASK_CREATE_with_MASK_ADD_is_refused)
{
    asyncinotify *in = open_instance();
    CHECK_INT(asyncinotify_add_watch(in, ".", IN_CREATE | IN_MASK_CREATE | IN_MASK_ADD, NULL), -EINVAL);
    CHECK_INT(kernel_watches(in), 0);
    finish(in);
}

TEST(ONESHOT_reports_one_event)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE | IN_ONESHOT);
    make_file("d/f");
    make_file("d/g");
    asyncinotify_event event = take(in);
    CHECK_STR(event_text(&event), "CREATE d/f");
    CHECK_INT(event.watch, id);
    expect(in, "IGNORED -");
    CHECK_INT(kernel_watches(in), 0);
    finish(in);
}

/* ---- getters and setters ---- */

static uint32_t mask_of(asyncinotify *in, asyncinotify_watch id)
{
    uint32_t mask = 0;
    OK(asyncinotify_watch_mask(in, id, &mask));
    CHECK_HEX(mask, kernel_mask(in, (int)OK(asyncinotify_watch_wd(in, id))));
    return mask;
}

TEST(watch_mask_tells_the_mask_in_force)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE | IN_ONLYDIR);
    CHECK_HEX(mask_of(in, id), IN_CREATE);
    watch(in, "d", IN_DELETE | IN_MASK_ADD);
    CHECK_HEX(mask_of(in, id), IN_CREATE | IN_DELETE);
    watch(in, "d", IN_ATTRIB | IN_DONT_FOLLOW);
    CHECK_HEX(mask_of(in, id), IN_ATTRIB);
    CHECK_INT(asyncinotify_add_watch(in, "d", IN_OPEN | IN_MASK_CREATE, NULL), -EEXIST);
    CHECK_HEX(mask_of(in, id), IN_ATTRIB);
    watch(in, "d", ASYNCINOTIFY_ALL | IN_EXCL_UNLINK);
    CHECK_HEX(mask_of(in, id), ASYNCINOTIFY_ALL | IN_EXCL_UNLINK);
    watch(in, "d", IN_CREATE | (uint32_t)IN_ONESHOT);
    CHECK_HEX(mask_of(in, id), IN_CREATE | (uint32_t)IN_ONESHOT);
    finish(in);
}

TEST(watch_wd_is_the_kernels)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    make_dir("e");
    asyncinotify_watch d = watch(in, "d", IN_CREATE), e = watch(in, "e", IN_DELETE);
    CHECK_HEX(kernel_mask(in, (int)OK(asyncinotify_watch_wd(in, d))), IN_CREATE);
    CHECK_HEX(kernel_mask(in, (int)OK(asyncinotify_watch_wd(in, e))), IN_DELETE);
    make_file("d/f");
    CHECK_INT(take(in).wd, asyncinotify_watch_wd(in, d));
    finish(in);
}

TEST(watch_path_is_the_path_given)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    char path[] = "./d";
    asyncinotify_watch id = watch(in, path, IN_CREATE);
    memset(path, 'x', strlen(path)); /* the library has its own copy */
    CHECK_STR(watch_path(in, id), "./d");
    finish(in);
}

TEST(watch_path_truncates_as_snprintf_does)
{
    asyncinotify *in = open_instance();
    make_dir("directory");
    asyncinotify_watch id = watch(in, "directory", IN_CREATE);
    char buffer[] = "xxxxxxxxxxxx";
    CHECK_INT(asyncinotify_watch_path(in, id, NULL, 0), 9);
    CHECK_INT(asyncinotify_watch_path(in, id, buffer, 0), 9);
    CHECK_STR(buffer, "xxxxxxxxxxxx");
    CHECK_INT(asyncinotify_watch_path(in, id, buffer, 4), 9);
    CHECK_STR(buffer, "dir");
    CHECK_INT(buffer[4], 'x');
    CHECK_INT(asyncinotify_watch_path(in, id, buffer, 9), 9);
    CHECK_STR(buffer, "director");
    CHECK_INT(asyncinotify_watch_path(in, id, buffer, 10), 9);
    CHECK_STR(buffer, "directory");
    finish(in);
}

TEST(watch_set_path_corrects_the_path_of_what_was_moved)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE | IN_MOVE_SELF);
    rename_entry("d", "new");
    expect(in, "MOVE_SELF d");
    char path[] = "new";
    OK(asyncinotify_watch_set_path(in, id, path));
    memset(path, 'x', strlen(path));
    CHECK_STR(watch_path(in, id), "new");
    make_file("new/f");
    expect(in, "CREATE new/f");
    finish(in);
}

TEST(watch_set_path_may_make_it_longer_or_shorter)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    const char *paths[] = {"a/very/much/longer/path/than/it/was/before", "x", "/", "d"};
    const char *expected[] = {"CREATE a/very/much/longer/path/than/it/was/before/f0", "CREATE x/f1", "CREATE /f2", "CREATE d/f3"};
    for (int i = 0; i < 4; i++) {
        OK(asyncinotify_watch_set_path(in, id, paths[i]));
        make_file("d/f%d", i);
        expect(in, expected[i]);
    }
    finish(in);
}

TEST(watch_set_path_leaves_alone_what_was_read_already)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    make_file("d/f");
    make_file("d/g");
    CHECK_STR(take(in).path, "d/f"); /* both came with one read */
    OK(asyncinotify_watch_set_path(in, id, "new"));
    make_file("d/h");
    expect(in, "CREATE d/g", "CREATE new/h");
    finish(in);
}

TEST(a_second_add_leaves_the_path_as_it_was)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    SYS(symlink("d", "l"));
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    watch(in, "l", IN_CREATE);
    CHECK_STR(watch_path(in, id), "d");
    make_file("d/f");
    expect(in, "CREATE d/f");
    finish(in);
}

TEST(watch_is_active_until_it_ends)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    CHECK_INT(asyncinotify_watch_is_active(in, id), 1);
    remove_watch(in, id);
    CHECK_INT(asyncinotify_watch_is_active(in, id), 0);
    take(in);
    CHECK_INT(asyncinotify_watch_is_active(in, id), -ENOENT);
    finish(in);
}

TEST(watch_userdata_is_what_was_set)
{
    asyncinotify *in = open_instance();
    asyncinotify_watch id = watch(in, ".", IN_CREATE);
    int mine;
    void *userdata = &mine;
    OK(asyncinotify_watch_userdata(in, id, &userdata));
    CHECK(userdata == NULL);
    OK(asyncinotify_watch_set_userdata(in, id, &mine, NULL));
    OK(asyncinotify_watch_userdata(in, id, &userdata));
    CHECK(userdata == &mine);
    make_file("f");
    CHECK(take(in).userdata == &mine);
    OK(asyncinotify_watch_set_userdata(in, id, NULL, NULL));
    make_file("g");
    CHECK(take(in).userdata == NULL);
    finish(in);
}

TEST(watches_have_userdata_of_their_own)
{
    asyncinotify *in = open_instance();
    make_dir("a");
    make_dir("b");
    int a, b;
    OK(asyncinotify_watch_set_userdata(in, watch(in, "a", IN_CREATE), &a, NULL));
    OK(asyncinotify_watch_set_userdata(in, watch(in, "b", IN_CREATE), &b, NULL));
    make_file("b/f");
    make_file("a/f");
    CHECK(take(in).userdata == &b);
    CHECK(take(in).userdata == &a);
    finish(in);
}

static bool contains(const asyncinotify_watch *ids, intptr_t count, asyncinotify_watch id)
{
    for (intptr_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

TEST(watches_lists_plain_and_recursive_ones)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    make_dir("d");
    asyncinotify_watch ids[4] = {0};
    CHECK_INT(asyncinotify_watches(in, ids, 4), 0);
    asyncinotify_watch plain = watch(in, "d", IN_CREATE), recursive = tree(in, "t", IN_CREATE);
    CHECK_INT(asyncinotify_watches(in, ids, 4), 2);
    CHECK(contains(ids, 2, plain) && contains(ids, 2, recursive));
    CHECK_INT(ids[2], 0);
    remove_watch(in, plain);
    drain(in);
    CHECK_INT(asyncinotify_watches(in, ids, 4), 1);
    CHECK_INT(ids[0], recursive);
    finish(in);
}

TEST(watches_fills_no_more_than_there_is_room_for)
{
    asyncinotify *in = open_instance();
    for (int i = 0; i < 5; i++) {
        make_dir("%d", i);
        watch(in, text("%d", i), IN_CREATE);
    }
    asyncinotify_watch ids[5] = {0};
    CHECK_INT(asyncinotify_watches(in, NULL, 0), 5);
    CHECK_INT(asyncinotify_watches(in, ids, 2), 5);
    CHECK(ids[0] != 0 && ids[1] != 0 && ids[2] == 0);
    finish(in);
}

/* ---- removal and IDs ---- */

TEST(rm_watch_is_followed_by_IGNORED_with_ID_and_path)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    int wd = asyncinotify_watch_wd(in, id);
    remove_watch(in, id);
    asyncinotify_event event = take(in);
    CHECK_STR(event_text(&event), "IGNORED d");
    CHECK_INT(event.watch, id);
    CHECK_INT(event.wd, wd);
    CHECK(event.name == NULL);
    expect_nothing(in);
    finish(in);
}

TEST(rm_watch_delivers_what_was_queued_before_it)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    make_file("d/f");
    make_file("d/g");
    remove_watch(in, id);
    make_file("d/h");
    expect(in, "CREATE d/f", "CREATE d/g", "IGNORED d");
    finish(in);
}

TEST(rm_watch_delivers_what_was_cached_before_it)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    make_file("d/f");
    make_file("d/g");
    take(in);
    remove_watch(in, id);
    expect(in, "CREATE d/g", "IGNORED d");
    finish(in);
}

TEST(a_second_rm_watch_is_ENOENT)
{
    asyncinotify *in = open_instance();
    asyncinotify_watch id = watch(in, ".", IN_CREATE);
    remove_watch(in, id);
    CHECK_INT(asyncinotify_rm_watch(in, id), -ENOENT);
    expect(in, "IGNORED .");
    CHECK_INT(asyncinotify_rm_watch(in, id), -ENOENT);
    finish(in);
}

TEST(a_removed_watch_can_be_asked_until_its_IGNORED_was_taken)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    void *userdata = NULL;
    OK(asyncinotify_watch_set_userdata(in, id, in, NULL));
    remove_watch(in, id);
    CHECK_STR(watch_path(in, id), "d");
    OK(asyncinotify_watch_userdata(in, id, &userdata));
    CHECK(userdata == in);
    take(in);
    CHECK_INT(asyncinotify_watch_path(in, id, NULL, 0), -ENOENT);
    CHECK_INT(asyncinotify_watch_userdata(in, id, &userdata), -ENOENT);
    finish(in);
}

TEST(adding_again_before_IGNORED_was_taken_makes_a_new_watch)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch old = watch(in, "d", IN_CREATE);
    make_file("d/old");
    remove_watch(in, old);
    asyncinotify_watch new = watch(in, "d", IN_CREATE);
    CHECK(new != old);
    make_file("d/new");
    const struct {
        const char *text;
        asyncinotify_watch id;
    } expected[] = {{"CREATE d/old", old}, {"IGNORED d", old}, {"CREATE d/new", new}};
    for (int i = 0; i < 3; i++) {
        asyncinotify_event event = take(in);
        CHECK_STR(event_text(&event), expected[i].text);
        CHECK_INT(event.watch, expected[i].id);
    }
    CHECK_INT(asyncinotify_watch_is_active(in, new), 1);
    finish(in);
}

TEST(adding_again_after_the_directory_was_replaced_makes_a_new_watch)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch old = watch(in, "d", IN_CREATE);
    remove_dir("d");
    make_dir("d");
    asyncinotify_watch new = watch(in, "d", IN_CREATE);
    CHECK(new != old);
    make_file("d/f");
    asyncinotify_event event = take(in);
    CHECK_STR(event_text(&event), "IGNORED d");
    CHECK_INT(event.watch, old);
    event = take(in);
    CHECK_STR(event_text(&event), "CREATE d/f");
    CHECK_INT(event.watch, new);
    finish(in);
}

TEST(deleting_the_watched_ends_the_watch)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_DELETE_SELF);
    remove_dir("d");
    CHECK_STR(event_text(&(asyncinotify_event[]){take(in)}[0]), "DELETE_SELF d");
    asyncinotify_event event = take(in);
    CHECK_STR(event_text(&event), "IGNORED d");
    CHECK_INT(event.watch, id);
    CHECK_INT(asyncinotify_rm_watch(in, id), -ENOENT);
    CHECK_INT(asyncinotify_watches(in, NULL, 0), 0);
    finish(in);
}

TEST(rm_watch_of_what_was_deleted_is_ENOENT_or_leaves_one_IGNORED)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    remove_dir("d");
    int result = asyncinotify_rm_watch(in, id);
    if (result != 0)
        CHECK_INT(result, -ENOENT);
    expect(in, "IGNORED d");
    finish(in);
}

TEST(a_moved_watch_goes_on_under_its_old_path)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    rename_entry("d", "e");
    make_file("e/f");
    expect(in, "CREATE d/f");
    CHECK_INT(asyncinotify_watch_is_active(in, id), 1);
    finish(in);
}

TEST(IDs_are_never_0_and_never_used_twice)
{
    enum { COUNT = 500 };
    static asyncinotify_watch ids[2 * COUNT];
    asyncinotify *one = open_instance(), *other = open_instance();
    for (int i = 0; i < COUNT; i++) {
        ids[2 * i] = watch(one, ".", IN_CREATE);
        ids[2 * i + 1] = i % 2 ? tree(other, ".", IN_CREATE) : watch(other, ".", IN_CREATE);
        remove_watch(one, ids[2 * i]);
        remove_watch(other, ids[2 * i + 1]);
        if (i % 3 == 0)
            drain(one);
        drain(other);
    }
    for (int i = 0; i < 2 * COUNT; i++)
        for (int j = 0; j < i; j++)
            CHECK(ids[i] != ids[j]);
    finish(one);
    finish(other);
}

TEST(IDs_are_not_used_again_by_a_later_instance)
{
    asyncinotify_watch last = 0;
    for (int i = 0; i < 50; i++) {
        asyncinotify *in = open_instance();
        asyncinotify_watch id = watch(in, ".", IN_CREATE);
        CHECK(id != last);
        CHECK_INT(last ? asyncinotify_rm_watch(in, last) : -ENOENT, -ENOENT);
        last = id;
        finish(in);
    }
}

TEST(add_watch_may_leave_out_the_ID)
{
    asyncinotify *in = open_instance();
    CHECK_INT(asyncinotify_add_watch(in, ".", IN_CREATE, NULL), 0);
    make_file("f");
    expect(in, "CREATE ./f");
    finish(in);
}

TEST(hundreds_of_watches_keep_their_paths_apart)
{
    enum { COUNT = 300 };
    asyncinotify *in = open_instance();
    for (int i = 0; i < COUNT; i++) {
        make_dir("d%d", i);
        watch(in, text("d%d", i), IN_CREATE);
    }
    for (int i = COUNT; i-- > 0;)
        make_entry(text("d%d/f", i));
    for (int i = COUNT; i-- > 0;) {
        asyncinotify_event event = take(in);
        CHECK_STR(event_text(&event), text("CREATE d%d/f", i));
    }
    finish(in);
}
