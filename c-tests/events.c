/* Events: what they hold, and the ways of taking them. */
#include "harness.h"

static asyncinotify *watching(const char *dir, uint32_t mask)
{
    asyncinotify *in = open_instance();
    make_dir("%s", dir);
    watch(in, dir, mask);
    return in;
}

static void make_entries(const char *dir, int from, int to)
{
    for (int i = from; i < to; i++)
        make_entry(text("%s/%d", dir, i));
}

/* ---- what an event holds ---- */

TEST(get_returns_0_when_there_is_nothing)
{
    asyncinotify *in = watching("d", IN_CREATE);
    asyncinotify_event event;
    CHECK_INT(asyncinotify_get(in, &event), 0);
    CHECK_INT(asyncinotify_get(in, &event), 0);
    finish(in);
}

TEST(get_fills_every_field)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    OK(asyncinotify_watch_set_userdata(in, id, &id, NULL));
    make_dir("d/name");
    asyncinotify_event event;
    memset(&event, 0xaa, sizeof event);
    CHECK_INT(asyncinotify_get(in, &event), 1);
    CHECK_INT(event.watch, id);
    CHECK_INT(event.wd, asyncinotify_watch_wd(in, id));
    CHECK_HEX(event.mask, IN_CREATE | IN_ISDIR);
    CHECK_INT(event.cookie, 0);
    CHECK_INT(event.flags, 0);
    CHECK_INT(event.error, 0);
    CHECK_STR(event.name, "name");
    CHECK_INT(event.name_len, 4);
    CHECK_STR(event.path, "d/name");
    CHECK_INT(event.path_len, 6);
    CHECK(event.moved_from == NULL);
    CHECK_INT(event.moved_from_len, 0);
    CHECK(event.userdata == &id);
    CHECK_INT(event.reserved0, 0);
    for (int i = 0; i < 4; i++)
        CHECK_INT(event.reserved[i], 0);
    finish(in);
}

TEST(name_is_NULL_when_the_event_is_about_the_watch_itself)
{
    asyncinotify *in = watching("d", IN_ATTRIB);
    SYS(chmod("d", 0700));
    asyncinotify_event event = take(in);
    CHECK(event.name == NULL);
    CHECK_INT(event.name_len, 0);
    CHECK_STR(event.path, "d");
    CHECK_INT(event.path_len, 1);
    finish(in);
}

TEST(both_halves_of_a_rename_have_one_cookie)
{
    asyncinotify *in = watching("d", ASYNCINOTIFY_MOVE);
    make_file("d/a");
    make_file("d/x");
    rename_entry("d/a", "d/b");
    rename_entry("d/x", "d/y");
    uint32_t cookies[4];
    for (int i = 0; i < 4; i++)
        cookies[i] = take(in).cookie;
    CHECK(cookies[0] != 0);
    CHECK_INT(cookies[0], cookies[1]);
    CHECK_INT(cookies[2], cookies[3]);
    CHECK(cookies[0] != cookies[2]);
    finish(in);
}

TEST(moved_from_is_found_when_the_halves_come_in_different_reads)
{
    asyncinotify *in = watching("d", ASYNCINOTIFY_MOVE);
    OK(asyncinotify_set_cache_size(in, 1));
    /* Names so long that one read takes one event. */
    const char *from = text("d/%0250d", 1), *to = text("d/%0250d", 2);
    make_file("%s", from);
    rename_entry(from, to);
    asyncinotify_event event = take(in);
    CHECK_STR(event_text(&event), text("MOVED_FROM %s", from));
    CHECK(queued_bytes(in) > 0);
    event = take(in);
    CHECK_STR(event_text(&event), text("MOVED_TO %s <- %s", to, from));
    finish(in);
}

/* ---- get_events ---- */

TEST(get_events_takes_all_there_is)
{
    asyncinotify *in = watching("d", IN_CREATE);
    asyncinotify_event events[10];
    make_entries("d", 0, 7);
    CHECK_INT(asyncinotify_get_events(in, events, 10), 7);
    for (int i = 0; i < 7; i++)
        CHECK_STR(events[i].path, text("d/%d", i));
    CHECK_INT(asyncinotify_get_events(in, events, 10), 0);
    finish(in);
}

TEST(get_events_takes_no_more_than_max)
{
    asyncinotify *in = watching("d", IN_CREATE);
    asyncinotify_event events[4];
    make_entries("d", 0, 7);
    CHECK_INT(asyncinotify_get_events(in, events, 4), 4);
    CHECK_STR(events[3].path, "d/3");
    CHECK(readable(in));
    CHECK_INT(asyncinotify_get_events(in, events, 4), 3);
    CHECK_STR(events[0].path, "d/4");
    CHECK_STR(events[2].path, "d/6");
    CHECK(!readable(in));
    finish(in);
}

TEST(get_events_takes_more_than_one_read_fetches)
{
    enum { COUNT = 500 };
    static asyncinotify_event events[COUNT + 1];
    asyncinotify *in = watching("d", IN_CREATE);
    OK(asyncinotify_set_cache_size(in, 1));
    make_entries("d", 0, COUNT);
    CHECK_INT(asyncinotify_get_events(in, events, COUNT + 1), COUNT);
    for (int i = 0; i < COUNT; i++) { /* the strings of all of them are valid at once */
        CHECK_STR(events[i].path, text("d/%d", i));
        CHECK_STR(events[i].name, text("%d", i));
    }
    finish(in);
}

TEST(get_and_get_events_take_from_one_queue)
{
    asyncinotify *in = watching("d", IN_CREATE);
    asyncinotify_event events[3];
    make_entries("d", 0, 5);
    CHECK_STR(take(in).path, "d/0");
    CHECK_INT(asyncinotify_get_events(in, events, 3), 3);
    CHECK_STR(events[0].path, "d/1");
    CHECK_STR(take(in).path, "d/4");
    expect_nothing(in);
    finish(in);
}

/* ---- dispatch ---- */

struct seen {
    int count, stop_at, result; /* the callback number stop_at returns result */
    void *userdata[64];
    char text[64][256];
};

static int see(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    struct seen *seen = userdata;
    CHECK(in != NULL);
    CHECK(seen->count < 64);
    snprintf(seen->text[seen->count], sizeof seen->text[0], "%s", event_text(event));
    seen->userdata[seen->count] = event->userdata;
    seen->count++;
    return seen->count == seen->stop_at ? seen->result : 0;
}

TEST(dispatch_calls_back_for_every_event)
{
    asyncinotify *in = watching("d", IN_CREATE);
    struct seen seen = {0};
    make_entries("d", 0, 3);
    CHECK_INT(asyncinotify_dispatch(in, 0, see, &seen), 3);
    CHECK_INT(seen.count, 3);
    CHECK_STR(seen.text[0], "CREATE d/0");
    CHECK_STR(seen.text[2], "CREATE d/2");
    CHECK_INT(asyncinotify_dispatch(in, 0, see, &seen), 0);
    CHECK(!readable(in));
    finish(in);
}

TEST(dispatch_delivers_at_most_max)
{
    asyncinotify *in = watching("d", IN_CREATE);
    struct seen seen = {0};
    make_entries("d", 0, 5);
    CHECK_INT(asyncinotify_dispatch(in, 2, see, &seen), 2);
    CHECK_INT(seen.count, 2);
    CHECK(readable(in));
    CHECK_INT(asyncinotify_dispatch(in, 10, see, &seen), 3);
    CHECK_STR(seen.text[4], "CREATE d/4");
    CHECK(!readable(in));
    finish(in);
}

TEST(dispatch_delivers_more_than_one_read_fetches)
{
    asyncinotify *in = watching("d", IN_CREATE);
    OK(asyncinotify_set_cache_size(in, 1));
    struct seen seen = {0};
    make_entries("d", 0, 60);
    CHECK_INT(asyncinotify_dispatch(in, 0, see, &seen), 60);
    CHECK_STR(seen.text[59], "CREATE d/59");
    finish(in);
}

TEST(a_callback_that_returns_non_zero_stops_dispatch_and_the_rest_stays_queued)
{
    asyncinotify *in = watching("d", IN_CREATE);
    struct seen seen = {.stop_at = 2, .result = -7};
    make_entries("d", 0, 5);
    CHECK_INT(asyncinotify_dispatch(in, 0, see, &seen), 2);
    CHECK_INT(seen.count, 2);
    CHECK(readable(in));
    expect(in, "CREATE d/2", "CREATE d/3", "CREATE d/4");
    finish(in);
}

TEST(dispatch_calls_a_watchs_own_callback_with_its_own_userdata)
{
    asyncinotify *in = open_instance();
    make_dir("a");
    make_dir("b");
    struct seen own = {0}, rest = {0};
    asyncinotify_watch a = watch(in, "a", IN_CREATE);
    watch(in, "b", IN_CREATE);
    OK(asyncinotify_watch_set_callback(in, a, see));
    OK(asyncinotify_watch_set_userdata(in, a, &own, NULL));
    make_file("a/f");
    make_file("b/f");
    CHECK_INT(asyncinotify_dispatch(in, 0, see, &rest), 2);
    CHECK_INT(own.count, 1);
    CHECK_STR(own.text[0], "CREATE a/f");
    CHECK(own.userdata[0] == &own);
    CHECK_INT(rest.count, 1);
    CHECK_STR(rest.text[0], "CREATE b/f");
    CHECK(rest.userdata[0] == NULL);
    OK(asyncinotify_watch_set_callback(in, a, NULL));
    finish(in);
}

TEST(a_watchs_own_callback_can_be_taken_away)
{
    asyncinotify *in = watching("d", IN_CREATE);
    struct seen own = {0}, rest = {0};
    asyncinotify_watch id;
    CHECK_INT(asyncinotify_watches(in, &id, 1), 1);
    OK(asyncinotify_watch_set_userdata(in, id, &own, NULL));
    OK(asyncinotify_watch_set_callback(in, id, see));
    make_file("d/f");
    CHECK_INT(asyncinotify_dispatch(in, 0, see, &rest), 1);
    OK(asyncinotify_watch_set_callback(in, id, NULL));
    make_file("d/g");
    CHECK_INT(asyncinotify_dispatch(in, 0, see, &rest), 1);
    CHECK_INT(own.count, 1);
    CHECK_INT(rest.count, 1);
    CHECK(rest.userdata[0] == &own); /* the event still knows the watch's userdata */
    finish(in);
}

TEST(a_watchs_own_callback_can_stop_dispatch)
{
    asyncinotify *in = watching("d", IN_CREATE);
    struct seen own = {.stop_at = 1, .result = 1};
    asyncinotify_watch id;
    CHECK_INT(asyncinotify_watches(in, &id, 1), 1);
    OK(asyncinotify_watch_set_userdata(in, id, &own, NULL));
    OK(asyncinotify_watch_set_callback(in, id, see));
    make_entries("d", 0, 3);
    CHECK_INT(asyncinotify_dispatch(in, 0, NULL, NULL), 1);
    CHECK(readable(in));
    CHECK_INT(asyncinotify_dispatch(in, 0, NULL, NULL), 2);
    CHECK_INT(own.count, 3);
    OK(asyncinotify_watch_set_callback(in, id, NULL));
    finish(in);
}

TEST(dispatch_without_a_callback_drops_what_no_watch_calls_back_for)
{
    asyncinotify *in = open_instance();
    make_dir("a");
    make_dir("b");
    struct seen own = {0};
    watch(in, "a", IN_CREATE);
    asyncinotify_watch b = watch(in, "b", IN_CREATE);
    OK(asyncinotify_watch_set_userdata(in, b, &own, NULL));
    OK(asyncinotify_watch_set_callback(in, b, see));
    make_file("a/f");
    make_file("b/f");
    make_file("a/g");
    CHECK_INT(asyncinotify_dispatch(in, 0, NULL, NULL), 3);
    CHECK_INT(own.count, 1);
    CHECK(!readable(in));
    OK(asyncinotify_watch_set_callback(in, b, NULL));
    finish(in);
}

TEST(the_IGNORED_event_reaches_the_watchs_own_callback)
{
    asyncinotify *in = watching("d", IN_CREATE);
    struct seen own = {0};
    asyncinotify_watch id;
    CHECK_INT(asyncinotify_watches(in, &id, 1), 1);
    OK(asyncinotify_watch_set_userdata(in, id, &own, NULL));
    OK(asyncinotify_watch_set_callback(in, id, see));
    remove_watch(in, id);
    CHECK_INT(asyncinotify_dispatch(in, 0, NULL, NULL), 1);
    CHECK_INT(own.count, 1);
    CHECK_STR(own.text[0], "IGNORED d");
    CHECK(own.userdata[0] == &own);
    finish(in);
}

static int make_one_more(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    int *left = userdata;
    (void)in;
    (void)event;
    if (--*left > 0)
        make_entry(text("d/more-%d", *left));
    return 0;
}

TEST(dispatch_goes_on_until_none_is_left)
{
    asyncinotify *in = watching("d", IN_CREATE);
    int left = 10;
    make_file("d/first");
    CHECK_INT(asyncinotify_dispatch(in, 0, make_one_more, &left), 10);
    CHECK_INT(left, 0);
    finish(in);
}

static int add_and_remove_inside(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    int *count = userdata;
    if (++*count == 1) {
        CHECK_STR(event->path, "d/first");
        make_dir("inside");
        watch(in, "inside", IN_CREATE);
        make_file("inside/f");
        remove_watch(in, event->watch);
        CHECK_STR(event->path, "d/first"); /* still valid */
    }
    return 0;
}

TEST(a_callback_may_add_and_remove_watches)
{
    asyncinotify *in = watching("d", IN_CREATE);
    int count = 0;
    make_file("d/first");
    CHECK_INT(asyncinotify_dispatch(in, 0, add_and_remove_inside, &count), 3); /* and CREATE inside/f, IGNORED d */
    finish(in);
}

static int take_inside(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    int *total = userdata;
    asyncinotify_event more;
    ++*total;
    CHECK_STR(event->name, text("%d", 0));
    while (OK(asyncinotify_get(in, &more)) == 1) {
        CHECK_STR(more.path, text("d/%d", *total));
        ++*total;
    }
    return 0;
}

TEST(a_callback_may_take_events_itself)
{
    asyncinotify *in = watching("d", IN_CREATE);
    int total = 0;
    make_entries("d", 0, 6);
    CHECK_INT(asyncinotify_dispatch(in, 0, take_inside, &total), 1);
    CHECK_INT(total, 6);
    expect_nothing(in);
    finish(in);
}

static int dispatch_inside(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    struct seen *seen = userdata;
    see(in, event, seen);
    if (seen->count < 5)
        CHECK_INT(asyncinotify_dispatch(in, 1, dispatch_inside, seen), 1);
    return 0;
}

TEST(a_callback_may_dispatch)
{
    asyncinotify *in = watching("d", IN_CREATE);
    struct seen seen = {0};
    make_entries("d", 0, 6);
    CHECK_INT(asyncinotify_dispatch(in, 0, dispatch_inside, &seen), 2); /* 5 nested, and the sixth */
    CHECK_INT(seen.count, 6);
    for (int i = 0; i < 6; i++)
        CHECK_STR(seen.text[i], text("CREATE d/%d", i));
    finish(in);
}

/* ---- run ---- */

TEST(run_delivers_until_the_timeout_and_returns_0)
{
    asyncinotify *in = watching("d", IN_CREATE);
    struct seen seen = {0};
    OK(asyncinotify_set_sync_timeout(in, 50));
    make_entries("d", 0, 3);
    double start = now_ms();
    CHECK_INT(asyncinotify_run(in, see, &seen), 0);
    CHECK(now_ms() - start >= 49);
    CHECK_INT(seen.count, 3);
    CHECK_STR(seen.text[2], "CREATE d/2");
    finish(in);
}

TEST(run_returns_what_the_callback_returned)
{
    const int results[] = {1, 42, -1, -ENOSPC, INT_MAX};
    asyncinotify *in = watching("d", IN_CREATE);
    OK(asyncinotify_set_sync_timeout(in, 0));
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        struct seen seen = {.stop_at = 2, .result = results[i]};
        make_entries("d", (int)i * 10, (int)i * 10 + 4);
        CHECK_INT(asyncinotify_run(in, see, &seen), results[i]);
        CHECK_INT(seen.count, 2);
        CHECK(readable(in));
        expect(in, text("CREATE d/%d", (int)i * 10 + 2), text("CREATE d/%d", (int)i * 10 + 3));
    }
    finish(in);
}

TEST(run_without_a_timeout_delivers_all_and_ends_with_EAGAIN_on_a_non_blocking_instance)
{
    asyncinotify *in = watching("d", IN_CREATE);
    struct seen seen = {0};
    make_entries("d", 0, 3);
    CHECK_INT(asyncinotify_run(in, see, &seen), -EAGAIN);
    CHECK_INT(seen.count, 3);
    finish(in);
}

TEST(run_calls_a_watchs_own_callback)
{
    asyncinotify *in = watching("d", IN_CREATE);
    struct seen own = {0};
    asyncinotify_watch id;
    CHECK_INT(asyncinotify_watches(in, &id, 1), 1);
    OK(asyncinotify_watch_set_userdata(in, id, &own, NULL));
    OK(asyncinotify_watch_set_callback(in, id, see));
    OK(asyncinotify_set_sync_timeout(in, 0));
    make_entries("d", 0, 3);
    CHECK_INT(asyncinotify_run(in, NULL, NULL), 0);
    CHECK_INT(own.count, 3);
    OK(asyncinotify_watch_set_callback(in, id, NULL));
    finish(in);
}

static void *make_three_more(void *in)
{
    (void)in;
    make_entries("d", 0, 3);
    return NULL;
}

TEST(run_waits_for_more)
{
    asyncinotify *in = watching("d", IN_CREATE);
    struct seen seen = {.stop_at = 3, .result = 5};
    struct thread thread;
    OK(asyncinotify_set_sync_timeout(in, PATIENCE_MS));
    start_thread(&thread, make_three_more, in);
    CHECK_INT(asyncinotify_run(in, see, &seen), 5);
    join_thread(&thread);
    finish(in);
}

/* ---- copies ---- */

TEST(event_dup_outlives_the_next_call_and_the_instance)
{
    asyncinotify *in = watching("d", IN_CREATE | ASYNCINOTIFY_MOVE);
    int mine;
    asyncinotify_watch id;
    CHECK_INT(asyncinotify_watches(in, &id, 1), 1);
    OK(asyncinotify_watch_set_userdata(in, id, &mine, NULL));
    make_file("d/f");
    rename_entry("d/f", "d/g");
    take(in);
    take(in);
    asyncinotify_event event = take(in), *copy = NULL;
    OK(asyncinotify_event_dup(&event, &copy));
    CHECK(copy->path != event.path);
    make_entries("d", 0, 100);
    drain(in);
    finish(in);
    CHECK_STR(event_text(copy), "MOVED_TO d/g <- d/f");
    CHECK_STR(copy->name, "g");
    CHECK_INT(copy->name_len, 1);
    CHECK_INT(copy->path_len, 3);
    CHECK_INT(copy->moved_from_len, 3);
    CHECK_INT(copy->watch, id);
    CHECK(copy->cookie != 0);
    CHECK(copy->userdata == &mine);
    asyncinotify_event_free(copy);
}

TEST(event_dup_copies_an_event_without_strings)
{
    asyncinotify_event event = {.wd = -1, .mask = IN_Q_OVERFLOW}, *copy = NULL;
    OK(asyncinotify_event_dup(&event, &copy));
    CHECK_INT(copy->wd, -1);
    CHECK_HEX(copy->mask, IN_Q_OVERFLOW);
    CHECK(copy->path == NULL && copy->name == NULL && copy->moved_from == NULL);
    asyncinotify_event_free(copy);
}

TEST(event_dup_copies_a_copy)
{
    asyncinotify *in = watching("d", IN_CREATE);
    make_file("d/f");
    asyncinotify_event event = take(in), *first = NULL, *second = NULL;
    OK(asyncinotify_event_dup(&event, &first));
    OK(asyncinotify_event_dup(first, &second));
    asyncinotify_event_free(first);
    CHECK_STR(event_text(second), "CREATE d/f");
    CHECK_STR(second->name, "f");
    asyncinotify_event_free(second);
    finish(in);
}

TEST(event_dup_keeps_name_the_tail_of_path)
{
    asyncinotify *in = watching("d", IN_CREATE);
    make_file("d/f");
    asyncinotify_event event = take(in), *copy = NULL;
    CHECK(event.name == event.path + event.path_len - event.name_len);
    OK(asyncinotify_event_dup(&event, &copy));
    CHECK_STR(copy->path + copy->path_len - copy->name_len, copy->name);
    asyncinotify_event_free(copy);
    finish(in);
}

TEST(event_free_ignores_NULL)
{
    asyncinotify_event_free(NULL);
}

TEST(copies_of_many_events_can_be_kept)
{
    asyncinotify *in = watching("d", IN_CREATE);
    struct log log = {0};
    make_entries("d", 0, 1000);
    collect(in, &log);
    CHECK_INT(log.count, 1000);
    for (int i = 0; i < 1000; i++)
        CHECK_STR(log.events[i]->path, text("d/%d", i));
    finish(in);
    log_clear(&log);
}

TEST(strings_of_an_event_live_until_the_next_call_that_takes)
{
    asyncinotify *in = watching("d", IN_CREATE);
    make_file("d/f");
    asyncinotify_event event = take(in);
    /* None of these takes events. */
    make_dir("e");
    asyncinotify_watch id = watch(in, "e", IN_CREATE);
    for (int i = 0; i < 100; i++) {
        make_dir("e%d", i);
        watch(in, text("e%d", i), IN_CREATE);
        OK(asyncinotify_watch_set_path(in, event.watch, text("a-path-of-another-length-%d", i)));
    }
    make_entries("e", 0, 10);
    OK(asyncinotify_set_cache_size(in, 1));
    remove_watch(in, event.watch);
    remove_watch(in, id);
    readable(in);
    CHECK_STR(event.path, "d/f");
    CHECK_STR(event.name, "f");
    finish(in);
}
