/* How long things live: IDs, userdata and its destroy function, callbacks, one-shot watches. */
#include "harness.h"

static int destroyed[8]; /* how often the userdata &destroyed[i] was destroyed */

static void destroy(void *userdata)
{
    CHECK((int *)userdata >= destroyed && (int *)userdata < destroyed + 8);
    ++*(int *)userdata;
}

static asyncinotify_watch watch_with_userdata(asyncinotify *in, const char *path, uint32_t mask, int which)
{
    asyncinotify_watch id = watch(in, path, mask);
    OK(asyncinotify_watch_set_userdata(in, id, &destroyed[which], destroy));
    return id;
}

static int ignore_event(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    (void)in;
    (void)event;
    (void)userdata;
    return 0;
}

/* ---- userdata ---- */

TEST(userdata_is_destroyed_once_when_it_is_replaced)
{
    asyncinotify *in = open_instance();
    asyncinotify_watch id = watch_with_userdata(in, ".", IN_CREATE, 0);
    CHECK_INT(destroyed[0], 0);
    OK(asyncinotify_watch_set_userdata(in, id, &destroyed[1], destroy));
    CHECK_INT(destroyed[0], 1);
    OK(asyncinotify_watch_set_userdata(in, id, NULL, NULL));
    CHECK_INT(destroyed[1], 1);
    finish(in);
    CHECK_INT(destroyed[0], 1);
    CHECK_INT(destroyed[1], 1);
}

TEST(userdata_is_destroyed_when_replaced_by_itself)
{
    asyncinotify *in = open_instance();
    asyncinotify_watch id = watch_with_userdata(in, ".", IN_CREATE, 0);
    OK(asyncinotify_watch_set_userdata(in, id, &destroyed[0], destroy));
    CHECK_INT(destroyed[0], 1);
    finish(in);
    CHECK_INT(destroyed[0], 2);
}

TEST(userdata_is_destroyed_after_the_last_event_was_taken)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch_with_userdata(in, "d", IN_CREATE, 0);
    make_file("d/f");
    remove_watch(in, id);
    CHECK_INT(destroyed[0], 0);
    take(in);
    CHECK_INT(destroyed[0], 0);
    asyncinotify_event event = take(in);
    CHECK_STR(event_text(&event), "IGNORED d");
    CHECK(event.userdata == &destroyed[0]);
    CHECK_INT(destroyed[0], 0); /* the event still points to it */
    expect_nothing(in);
    CHECK_INT(destroyed[0], 1);
    finish(in);
    CHECK_INT(destroyed[0], 1);
}

TEST(userdata_is_destroyed_after_a_batch_with_the_last_event_was_given_back)
{
    asyncinotify *in = open_instance();
    asyncinotify_event events[4];
    make_dir("d");
    remove_watch(in, watch_with_userdata(in, "d", IN_CREATE, 0));
    CHECK_INT(asyncinotify_get_events(in, events, 4), 1);
    CHECK(events[0].userdata == &destroyed[0]);
    CHECK_INT(destroyed[0], 0);
    CHECK_INT(asyncinotify_get_events(in, events, 4), 0);
    CHECK_INT(destroyed[0], 1);
    finish(in);
}

static int check_alive(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    CHECK(event->mask & IN_IGNORED);
    CHECK(event->userdata == &destroyed[0]);
    CHECK_INT(destroyed[0], 0);
    CHECK_INT(asyncinotify_watch_wd(in, event->watch), -ENOENT); /* the ID is stale already */
    ++*(int *)userdata;
    return 0;
}

TEST(userdata_is_destroyed_once_the_callback_of_the_last_event_returned)
{
    asyncinotify *in = open_instance();
    int called = 0;
    remove_watch(in, watch_with_userdata(in, ".", IN_CREATE, 0));
    CHECK_INT(asyncinotify_dispatch(in, 0, check_alive, &called), 1);
    CHECK_INT(called, 1);
    CHECK_INT(destroyed[0], 1);
    finish(in);
    CHECK_INT(destroyed[0], 1);
}

TEST(userdata_is_destroyed_after_the_last_event_in_run)
{
    asyncinotify *in = open_instance();
    int called = 0;
    OK(asyncinotify_set_sync_timeout(in, 0));
    remove_watch(in, watch_with_userdata(in, ".", IN_CREATE, 0));
    CHECK_INT(asyncinotify_run(in, check_alive, &called), 0);
    CHECK_INT(called, 1);
    CHECK_INT(destroyed[0], 1);
    finish(in);
}

TEST(userdata_is_destroyed_when_dispatch_drops_the_last_event)
{
    asyncinotify *in = open_instance();
    remove_watch(in, watch_with_userdata(in, ".", IN_CREATE, 0));
    CHECK_INT(asyncinotify_dispatch(in, 0, NULL, NULL), 1);
    CHECK_INT(destroyed[0], 1);
    finish(in);
}

TEST(userdata_is_destroyed_at_close)
{
    asyncinotify *in = open_instance();
    make_dir("a");
    make_dir("b");
    make_dirs("t/x");
    watch_with_userdata(in, "a", IN_CREATE, 0);
    watch_with_userdata(in, "b", IN_CREATE, 1);
    OK(asyncinotify_watch_set_userdata(in, tree(in, "t", IN_CREATE), &destroyed[2], destroy));
    make_file("a/f");
    asyncinotify_close(in);
    for (int i = 0; i < 3; i++)
        CHECK_INT(destroyed[i], 1);
}

TEST(userdata_is_destroyed_at_close_when_IGNORED_was_not_taken)
{
    asyncinotify *in = open_instance();
    remove_watch(in, watch_with_userdata(in, ".", IN_CREATE, 0));
    asyncinotify_close(in);
    CHECK_INT(destroyed[0], 1);
}

TEST(userdata_is_destroyed_at_close_when_IGNORED_was_just_taken)
{
    asyncinotify *in = open_instance();
    remove_watch(in, watch_with_userdata(in, ".", IN_CREATE, 0));
    take(in);
    asyncinotify_close(in);
    CHECK_INT(destroyed[0], 1);
}

TEST(userdata_of_a_deleted_directory_is_destroyed)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    watch_with_userdata(in, "d", IN_DELETE_SELF, 0);
    remove_dir("d");
    expect(in, "DELETE_SELF d", "IGNORED d");
    CHECK_INT(destroyed[0], 1);
    finish(in);
}

TEST(userdata_of_a_tree_is_destroyed_after_its_IGNORED)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    OK(asyncinotify_watch_set_userdata(in, id, &destroyed[0], destroy));
    make_file("t/a/b/f");
    CHECK(take(in).userdata == &destroyed[0]);
    remove_watch(in, id);
    CHECK_INT(destroyed[0], 0);
    expect(in, "IGNORED t");
    CHECK_INT(destroyed[0], 1);
    finish(in);
    CHECK_INT(destroyed[0], 1);
}

TEST(userdata_without_destroy_is_left_alone)
{
    asyncinotify *in = open_instance();
    asyncinotify_watch id = watch(in, ".", IN_CREATE);
    OK(asyncinotify_watch_set_userdata(in, id, &destroyed[0], NULL));
    OK(asyncinotify_watch_set_userdata(in, id, &destroyed[1], NULL));
    finish(in);
    CHECK_INT(destroyed[0] + destroyed[1], 0);
}

TEST(userdata_NULL_with_destroy_is_destroyed_too)
{
    asyncinotify *in = open_instance();
    asyncinotify_watch id = watch(in, ".", IN_CREATE);
    char *memory = malloc(10);
    OK(asyncinotify_watch_set_userdata(in, id, memory, free));
    OK(asyncinotify_watch_set_userdata(in, id, NULL, free));
    finish(in);
}

TEST(a_failed_set_userdata_leaves_the_userdata_with_the_caller)
{
    asyncinotify *in = open_instance();
    CHECK_INT(asyncinotify_watch_set_userdata(in, 1, &destroyed[0], destroy), -ENOENT);
    CHECK_INT(asyncinotify_watch_set_userdata(NULL, 1, &destroyed[0], destroy), -EINVAL);
    finish(in);
    CHECK_INT(destroyed[0], 0);
}

TEST(a_second_add_keeps_the_userdata)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    watch_with_userdata(in, "d", IN_CREATE, 0);
    watch(in, "d", IN_CREATE | IN_DELETE);
    make_file("d/f");
    CHECK(take(in).userdata == &destroyed[0]);
    CHECK_INT(destroyed[0], 0);
    finish(in);
    CHECK_INT(destroyed[0], 1);
}

struct caller {
    asyncinotify *in;
    int calls;
};

static void destroy_and_call(void *userdata)
{
    struct caller *caller = userdata;
    asyncinotify_watch ids[4];
    asyncinotify_watches(caller->in, ids, 4); /* no lock is held */
    asyncinotify_add_watch(caller->in, "d", IN_DELETE, NULL);
    caller->calls++;
}

TEST(destroy_may_call_the_library)
{
    asyncinotify *in = open_instance();
    struct caller caller = {in, 0};
    make_dir("d");
    asyncinotify_watch id = watch(in, ".", IN_CREATE);
    OK(asyncinotify_watch_set_userdata(in, id, &caller, destroy_and_call));
    OK(asyncinotify_watch_set_userdata(in, id, &caller, destroy_and_call));
    CHECK_INT(caller.calls, 1);
    asyncinotify_close(in);
    CHECK_INT(caller.calls, 2);
}

static void close_it(void *userdata)
{
    asyncinotify_close(userdata);
}

TEST(destroy_may_close_the_instance)
{
    asyncinotify *in = open_instance();
    asyncinotify_watch id = watch(in, ".", IN_CREATE);
    OK(asyncinotify_watch_set_userdata(in, id, in, close_it));
    OK(asyncinotify_watch_set_userdata(in, id, NULL, NULL));
    CHECK_INT(asyncinotify_fd(in), -EINVAL);
}

static int close_and_look(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    (void)userdata;
    CHECK(event->userdata == &destroyed[0]);
    asyncinotify_close(in);
    CHECK_INT(destroyed[0], 0); /* this event still holds it */
    CHECK_STR(event->path, "d/f");
    return 0;
}

TEST(close_in_a_callback_destroys_userdata_once_the_callback_returned)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    watch_with_userdata(in, "d", IN_CREATE, 0);
    make_file("d/f");
    asyncinotify_dispatch(in, 0, close_and_look, NULL);
    CHECK_INT(destroyed[0], 1);
}

static int replace_inside(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    (void)userdata;
    if (event->mask & IN_CREATE) {
        CHECK(event->userdata == &destroyed[0]);
        OK(asyncinotify_watch_set_userdata(in, event->watch, &destroyed[1], destroy));
    }
    return 0;
}

TEST(a_callback_may_replace_the_userdata)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    watch_with_userdata(in, "d", IN_CREATE, 0);
    make_file("d/f");
    CHECK_INT(asyncinotify_dispatch(in, 0, replace_inside, NULL), 1);
    CHECK_INT(destroyed[0], 1);
    CHECK_INT(destroyed[1], 0);
    finish(in);
    CHECK_INT(destroyed[0], 1);
    CHECK_INT(destroyed[1], 1);
}

/* ---- IDs at the end of a watch ---- */

static void check_stale(asyncinotify *in, asyncinotify_watch id)
{
    char buffer[8];
    uint32_t mask;
    void *userdata;
    CHECK_INT(asyncinotify_rm_watch(in, id), -ENOENT);
    CHECK_INT(asyncinotify_watch_path(in, id, buffer, sizeof buffer), -ENOENT);
    CHECK_INT(asyncinotify_watch_set_path(in, id, "x"), -ENOENT);
    CHECK_INT(asyncinotify_watch_mask(in, id, &mask), -ENOENT);
    CHECK_INT(asyncinotify_watch_wd(in, id), -ENOENT);
    CHECK_INT(asyncinotify_watch_is_active(in, id), -ENOENT);
    CHECK_INT(asyncinotify_watch_set_userdata(in, id, NULL, NULL), -ENOENT);
    CHECK_INT(asyncinotify_watch_userdata(in, id, &userdata), -ENOENT);
    CHECK_INT(asyncinotify_watch_set_callback(in, id, ignore_event), -ENOENT);
}

TEST(the_ID_is_stale_once_IGNORED_was_taken)
{
    asyncinotify *in = open_instance();
    asyncinotify_watch id = watch(in, ".", IN_CREATE);
    remove_watch(in, id);
    asyncinotify_event event = take(in);
    CHECK_INT(event.watch, id);
    check_stale(in, id);
    watch(in, ".", IN_CREATE); /* the same inode again: another ID */
    check_stale(in, id);
    finish(in);
}

TEST(the_ID_of_a_tree_is_stale_once_IGNORED_was_taken)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a");
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    remove_watch(in, id);
    CHECK_INT(take(in).watch, id);
    check_stale(in, id);
    finish(in);
}

TEST(the_event_of_a_ONESHOT_watch_resolves_everything_and_ends_it)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch_with_userdata(in, "d", IN_CREATE | (uint32_t)IN_ONESHOT, 0);
    make_file("d/f");
    asyncinotify_event event = take(in);
    CHECK_INT(event.watch, id);
    CHECK_STR(event.path, "d/f");
    CHECK_STR(event.name, "f");
    CHECK(event.userdata == &destroyed[0]);
    CHECK_INT(destroyed[0], 0);
    check_stale(in, id);
    asyncinotify_event ignored = take(in);
    CHECK_HEX(ignored.mask, IN_IGNORED);
    CHECK_INT(ignored.watch, 0);
    CHECK(ignored.path == NULL);
    CHECK(ignored.userdata == NULL);
    CHECK_INT(destroyed[0], 1);
    CHECK_INT(asyncinotify_watches(in, NULL, 0), 0);
    finish(in);
    CHECK_INT(destroyed[0], 1);
}

/* ---- callbacks and strings ---- */

TEST(the_callback_goes_with_its_watch)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    OK(asyncinotify_watch_set_callback(in, id, ignore_event));
    remove_watch(in, id);
    CHECK_INT(asyncinotify_dispatch(in, 0, NULL, NULL), 1);
    CHECK_INT(asyncinotify_watch_set_callback(in, id, ignore_event), -ENOENT);
    finish(in);
}

TEST(copies_outlive_the_instance)
{
    asyncinotify *in = open_instance();
    struct log log = {0};
    make_dir("d");
    watch(in, "d", IN_CREATE);
    for (int i = 0; i < 50; i++)
        make_entry(text("d/%d", i));
    collect(in, &log);
    asyncinotify_close(in);
    for (int i = 0; i < 50; i++)
        CHECK_STR(event_text(log.events[i]), text("CREATE d/%d", i));
    log_clear(&log);
}

static int filter_calls;

static int count_filter(asyncinotify *in, const char *path, size_t path_len, void *userdata)
{
    (void)in;
    (void)path;
    (void)path_len;
    CHECK(userdata == &destroyed[0]);
    CHECK_INT(destroyed[0], 0);
    filter_calls++;
    return 1;
}

static asyncinotify_watch tree_with_filter(asyncinotify *in, const char *path)
{
    asyncinotify_recursive_options options = {.size = sizeof options, .filter = count_filter,
                                              .filter_userdata = &destroyed[0], .filter_destroy = destroy};
    asyncinotify_watch id = 0;
    OK(asyncinotify_add_recursive(in, path, IN_CREATE, &options, &id));
    return id;
}

TEST(userdata_of_a_filter_is_destroyed_once_when_the_tree_ends)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a");
    asyncinotify_watch id = tree_with_filter(in, "t");
    CHECK_INT(filter_calls, 1);
    CHECK_INT(destroyed[0], 0);
    make_dir("t/b");
    drain(in);
    CHECK_INT(filter_calls, 2);
    remove_watch(in, id);
    expect(in, "IGNORED t");
    CHECK_INT(destroyed[0], 1);
    finish(in);
    CHECK_INT(destroyed[0], 1);
}

TEST(userdata_of_a_filter_is_destroyed_once_at_close)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a");
    tree_with_filter(in, "t");
    asyncinotify_close(in);
    CHECK_INT(destroyed[0], 1);
}
