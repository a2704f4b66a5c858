/* Watches: getters and setters, removal, IDs. What each bit of a mask does, and the rules of adding: tests/scenarios. */
#include "harness.h"

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
