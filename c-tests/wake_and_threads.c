/* wake, and what threads may do to one instance at the same time. */
#include "harness.h"

#include <signal.h>

static asyncinotify *watching_with(const char *dir, int timeout_ms)
{
    asyncinotify *in = open_instance();
    make_dir("%s", dir);
    watch(in, dir, IN_CREATE);
    OK(asyncinotify_set_sync_timeout(in, timeout_ms));
    return in;
}

static void *sync_get(void *in)
{
    asyncinotify_event event;
    return (void *)(intptr_t)asyncinotify_sync_get(in, &event);
}

static int count_events(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    (void)in;
    (void)event;
    if (userdata)
        ++*(int *)userdata;
    return 0;
}

static void *run(void *in)
{
    return (void *)(intptr_t)asyncinotify_run(in, count_events, NULL);
}

#define RESULT(thread) ((intptr_t)join_thread(thread))

/* ---- wake ---- */

TEST(wake_makes_the_next_sync_get_return_EINTR_once)
{
    asyncinotify *in = watching_with("d", 0);
    asyncinotify_event event;
    OK(asyncinotify_wake(in));
    CHECK_INT(asyncinotify_sync_get(in, &event), -EINTR);
    CHECK_INT(asyncinotify_sync_get(in, &event), 0);
    CHECK(!readable(in));
    finish(in);
}

TEST(wake_makes_the_next_run_return_EINTR_once)
{
    asyncinotify *in = watching_with("d", 0);
    OK(asyncinotify_wake(in));
    CHECK_INT(asyncinotify_run(in, count_events, NULL), -EINTR);
    CHECK_INT(asyncinotify_run(in, count_events, NULL), 0);
    finish(in);
}

TEST(wake_is_EINTR_without_a_timeout_too)
{
    asyncinotify *in = watching_with("d", ASYNCINOTIFY_TIMEOUT_DISABLED);
    asyncinotify_event event;
    OK(asyncinotify_wake(in));
    CHECK_INT(asyncinotify_sync_get(in, &event), -EINTR);
    CHECK_INT(asyncinotify_sync_get(in, &event), -EAGAIN);
    finish(in);
}

TEST(several_wakes_before_a_call_are_one)
{
    asyncinotify *in = watching_with("d", 0);
    asyncinotify_event event;
    for (int i = 0; i < 10; i++)
        OK(asyncinotify_wake(in));
    CHECK_INT(asyncinotify_sync_get(in, &event), -EINTR);
    CHECK_INT(asyncinotify_sync_get(in, &event), 0);
    finish(in);
}

TEST(wake_comes_before_queued_events_and_loses_none)
{
    asyncinotify *in = watching_with("d", 0);
    asyncinotify_event event;
    int count = 0;
    make_file("d/f");
    make_file("d/g");
    OK(asyncinotify_wake(in));
    CHECK_INT(asyncinotify_sync_get(in, &event), -EINTR);
    CHECK(readable(in));
    OK(asyncinotify_wake(in));
    CHECK_INT(asyncinotify_run(in, count_events, &count), -EINTR);
    CHECK_INT(count, 0);
    CHECK(readable(in));
    expect(in, "CREATE d/f", "CREATE d/g");
    finish(in);
}

TEST(get_clears_a_wake_and_goes_on)
{
    asyncinotify *in = watching_with("d", 0);
    asyncinotify_event event;
    make_file("d/f");
    OK(asyncinotify_wake(in));
    CHECK_INT(asyncinotify_get(in, &event), 1);
    CHECK(!readable(in));
    CHECK_INT(asyncinotify_sync_get(in, &event), 0);
    finish(in);
}

TEST(get_events_clears_a_wake)
{
    asyncinotify *in = watching_with("d", 0);
    asyncinotify_event event;
    OK(asyncinotify_wake(in));
    CHECK_INT(asyncinotify_get_events(in, &event, 1), 0);
    CHECK(!readable(in));
    CHECK_INT(asyncinotify_sync_get(in, &event), 0);
    finish(in);
}

TEST(dispatch_clears_a_wake)
{
    asyncinotify *in = watching_with("d", 0);
    asyncinotify_event event;
    OK(asyncinotify_wake(in));
    CHECK_INT(asyncinotify_dispatch(in, 0, count_events, NULL), 0);
    CHECK(!readable(in));
    CHECK_INT(asyncinotify_sync_get(in, &event), 0);
    finish(in);
}

TEST(wake_ends_a_blocked_sync_get)
{
    const int timeouts[] = {ASYNCINOTIFY_TIMEOUT_INFINITE, 60000};
    for (int i = 0; i < 2; i++) {
        asyncinotify *in = watching_with(text("%d", i), timeouts[i]);
        struct thread thread;
        start_thread(&thread, sync_get, in);
        wait_until_blocked(&thread);
        OK(asyncinotify_wake(in));
        CHECK_INT(RESULT(&thread), -EINTR);
        CHECK(!readable(in));
        finish(in);
    }
}

TEST(wake_ends_a_blocked_run)
{
    asyncinotify *in = watching_with("d", ASYNCINOTIFY_TIMEOUT_INFINITE);
    struct thread thread;
    start_thread(&thread, run, in);
    wait_until_blocked(&thread);
    OK(asyncinotify_wake(in));
    CHECK_INT(RESULT(&thread), -EINTR);
    finish(in);
}

TEST(wake_ends_a_wait_on_a_blocking_instance)
{
    asyncinotify *in = open_instance_with(0);
    struct thread thread;
    start_thread(&thread, sync_get, in);
    wait_until_blocked(&thread);
    OK(asyncinotify_wake(in));
    CHECK_INT(RESULT(&thread), -EINTR);
    finish(in);
}

static void *poll_forever(void *in)
{
    struct pollfd poller = {.fd = asyncinotify_fd(in), .events = POLLIN};
    return (void *)(intptr_t)poll(&poller, 1, PATIENCE_MS);
}

TEST(wake_ends_an_external_poll)
{
    asyncinotify *in = watching_with("d", 0);
    struct thread thread;
    start_thread(&thread, poll_forever, in);
    wait_until_blocked(&thread);
    OK(asyncinotify_wake(in));
    CHECK_INT(RESULT(&thread), 1);
    finish(in);
}

static int wake_inside(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    OK(asyncinotify_wake(in));
    return count_events(in, event, userdata);
}

TEST(wake_in_a_callback_ends_run)
{
    asyncinotify *in = watching_with("d", PATIENCE_MS);
    int count = 0;
    make_file("d/f");
    make_file("d/g");
    CHECK_INT(asyncinotify_run(in, wake_inside, &count), -EINTR);
    CHECK_INT(count, 1);
    expect(in, "CREATE d/g");
    finish(in);
}

static asyncinotify *woken_by_signal;

static void wake_in_handler(int number)
{
    (void)number;
    asyncinotify_wake(woken_by_signal);
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    SYS(sigaction(number, &action, NULL));
}

TEST(wake_works_in_a_signal_handler)
{
    asyncinotify *in = woken_by_signal = watching_with("d", 0);
    asyncinotify_event event;
    handle(SIGUSR1, wake_in_handler, SA_RESTART);
    raise(SIGUSR1);
    CHECK(readable(in));
    CHECK_INT(asyncinotify_sync_get(in, &event), -EINTR);
    CHECK_INT(asyncinotify_sync_get(in, &event), 0);
    finish(in);
}

TEST(wake_in_a_signal_handler_of_the_waiting_thread_ends_its_wait)
{
    asyncinotify *in = woken_by_signal = watching_with("d", ASYNCINOTIFY_TIMEOUT_INFINITE);
    handle(SIGUSR1, wake_in_handler, SA_RESTART);
    for (int i = 0; i < 20; i++) {
        struct thread thread;
        start_thread(&thread, i % 2 ? run : sync_get, in);
        wait_until_blocked(&thread);
        CHECK_INT(pthread_kill(thread.thread, SIGUSR1), 0);
        CHECK_INT(RESULT(&thread), -EINTR);
        asyncinotify_event event;
        CHECK_INT(asyncinotify_get(in, &event), 0); /* the wake may still be pending: the signal itself ended the wait */
    }
    finish(in);
}

TEST(wake_in_a_signal_handler_of_another_thread_ends_the_wait)
{
    asyncinotify *in = woken_by_signal = watching_with("d", ASYNCINOTIFY_TIMEOUT_INFINITE);
    handle(SIGUSR1, wake_in_handler, SA_RESTART);
    struct thread thread;
    start_thread(&thread, sync_get, in);
    wait_until_blocked(&thread);
    CHECK_INT(pthread_kill(pthread_self(), SIGUSR1), 0);
    CHECK_INT(RESULT(&thread), -EINTR);
    finish(in);
}

TEST(wake_in_a_signal_handler_leaves_errno_alone)
{
    asyncinotify *in = woken_by_signal = watching_with("d", 0);
    handle(SIGUSR1, wake_in_handler, 0);
    errno = 123;
    for (int i = 0; i < 100; i++)
        raise(SIGUSR1);
    CHECK_INT(errno, 123);
    finish(in);
}

static void ignore_signal(int number)
{
    (void)number;
}

TEST(a_signal_ends_a_blocked_sync_get_with_EINTR)
{
    asyncinotify *in = watching_with("d", ASYNCINOTIFY_TIMEOUT_INFINITE);
    handle(SIGUSR1, ignore_signal, 0);
    struct thread thread;
    start_thread(&thread, sync_get, in);
    wait_until_blocked(&thread);
    CHECK_INT(pthread_kill(thread.thread, SIGUSR1), 0);
    CHECK_INT(RESULT(&thread), -EINTR);
    make_file("d/f");
    expect(in, "CREATE d/f");
    finish(in);
}

TEST(a_signal_ends_a_blocked_run_with_EINTR)
{
    asyncinotify *in = watching_with("d", ASYNCINOTIFY_TIMEOUT_INFINITE);
    handle(SIGUSR1, ignore_signal, 0);
    struct thread thread;
    start_thread(&thread, run, in);
    wait_until_blocked(&thread);
    CHECK_INT(pthread_kill(thread.thread, SIGUSR1), 0);
    CHECK_INT(RESULT(&thread), -EINTR);
    finish(in);
}

/* ---- close while others are inside ---- */

TEST(close_ends_a_blocked_sync_get_with_ECANCELED)
{
    asyncinotify *in = watching_with("d", ASYNCINOTIFY_TIMEOUT_INFINITE);
    struct thread thread;
    start_thread(&thread, sync_get, in);
    wait_until_blocked(&thread);
    asyncinotify_close(in);
    CHECK_INT(RESULT(&thread), -ECANCELED);
}

TEST(close_ends_a_blocked_run_with_ECANCELED)
{
    asyncinotify *in = watching_with("d", 60000);
    struct thread thread;
    start_thread(&thread, run, in);
    wait_until_blocked(&thread);
    asyncinotify_close(in);
    CHECK_INT(RESULT(&thread), -ECANCELED);
}

TEST(close_ends_a_wait_on_a_blocking_instance_with_ECANCELED)
{
    asyncinotify *in = open_instance_with(0);
    struct thread thread;
    start_thread(&thread, sync_get, in);
    wait_until_blocked(&thread);
    asyncinotify_close(in);
    CHECK_INT(RESULT(&thread), -ECANCELED);
}

TEST(a_closed_handle_is_EINVAL_for_the_threads_that_come_later)
{
    asyncinotify *in = watching_with("d", 0);
    asyncinotify_close(in);
    struct thread thread;
    start_thread(&thread, sync_get, in);
    CHECK_INT(RESULT(&thread), -EINVAL);
}

static int close_inside(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    ++*(int *)userdata;
    char path[64];
    snprintf(path, sizeof path, "%s", event->path);
    asyncinotify_close(in);
    CHECK_INT(asyncinotify_fd(in), -EINVAL);
    CHECK_STR(path, "d/f");
    return 0;
}

TEST(close_in_a_callback_of_run_ends_it_with_ECANCELED)
{
    asyncinotify *in = watching_with("d", PATIENCE_MS);
    int count = 0;
    make_file("d/f");
    make_file("d/g");
    CHECK_INT(asyncinotify_run(in, close_inside, &count), -ECANCELED);
    CHECK_INT(count, 1);
}

TEST(close_in_a_callback_of_dispatch_ends_it_with_the_count)
{
    asyncinotify *in = watching_with("d", PATIENCE_MS);
    int count = 0;
    make_file("d/f");
    make_file("d/g");
    CHECK_INT(asyncinotify_dispatch(in, 0, close_inside, &count), 1);
    CHECK_INT(count, 1);
}

struct crowd {
    asyncinotify *in;
    asyncinotify_watch id;
    atomic_bool stop;
};

static void one_of(intptr_t result, const char *call)
{
    if (result < 0 && result != -EINVAL && result != -ECANCELED && result != -EBUSY && result != -ENOENT && result != -EINTR
        && result != -EAGAIN)
        FAIL("%s is %s beside close", call, asyncinotify_strerror((int)result));
}

#define ANY(call) one_of((intptr_t)(call), #call)

static void *call_everything(void *argument)
{
    struct crowd *crowd = argument;
    asyncinotify *in = crowd->in;
    asyncinotify_watch ids[4], id;
    asyncinotify_event events[4];
    char buffer[64];
    uint32_t mask;
    int timeout;
    void *userdata;
    while (!crowd->stop) {
        ANY(asyncinotify_fd(in));
        ANY(asyncinotify_cache_size(in));
        ANY(asyncinotify_set_cache_size(in, 10));
        ANY(asyncinotify_sync_timeout(in, &timeout));
        ANY(asyncinotify_set_sync_timeout(in, 1));
        ANY(asyncinotify_wake(in));
        ANY(asyncinotify_add_watch(in, ".", IN_CREATE, &id));
        ANY(asyncinotify_add_recursive(in, "d", IN_CREATE, NULL, &id));
        ANY(asyncinotify_watch_path(in, crowd->id, buffer, sizeof buffer));
        ANY(asyncinotify_watch_mask(in, crowd->id, &mask));
        ANY(asyncinotify_watch_set_userdata(in, crowd->id, &mask, NULL));
        ANY(asyncinotify_watch_userdata(in, crowd->id, &userdata));
        ANY(asyncinotify_watches(in, ids, 4));
        ANY(asyncinotify_get(in, events));
        ANY(asyncinotify_get_events(in, events, 4));
        ANY(asyncinotify_dispatch(in, 2, count_events, NULL));
        ANY(asyncinotify_sync_get(in, events));
        ANY(asyncinotify_run(in, count_events, NULL));
        ANY(asyncinotify_rm_watch(in, id));
        if (asyncinotify_fd(in) == -EINVAL)
            break;
    }
    return NULL;
}

TEST(close_races_with_every_call)
{
    make_dirs("d/e");
    for (int round = 0; round < (under_valgrind() ? 10 : 150); round++) {
        struct crowd crowd = {.in = open_instance()};
        crowd.id = watch(crowd.in, "d", IN_CREATE);
        struct thread threads[3];
        for (int i = 0; i < 3; i++)
            start_thread(&threads[i], call_everything, &crowd);
        for (int i = 0; i <= round % 5; i++) {
            make_file("d/f");
            remove_file("d/f");
        }
        if (round % 2)
            pause_ms(1); /* no matter when it comes */
        asyncinotify_close(crowd.in);
        crowd.stop = true;
        for (int i = 0; i < 3; i++)
            join_thread(&threads[i]);
    }
}

TEST(two_threads_may_close_at_once)
{
    for (int round = 0; round < 100; round++) {
        asyncinotify *in = open_instance();
        struct thread thread;
        start_thread(&thread, (void *(*)(void *))(void (*)(void))asyncinotify_close, in);
        asyncinotify_close(in);
        join_thread(&thread);
    }
}

/* ---- one consumer at a time ---- */

TEST(a_second_consumer_is_EBUSY_while_one_waits)
{
    asyncinotify *in = watching_with("d", ASYNCINOTIFY_TIMEOUT_INFINITE);
    struct thread thread;
    asyncinotify_event event;
    start_thread(&thread, sync_get, in);
    wait_until_blocked(&thread);
    CHECK_INT(asyncinotify_get(in, &event), -EBUSY);
    CHECK_INT(asyncinotify_get_events(in, &event, 1), -EBUSY);
    CHECK_INT(asyncinotify_dispatch(in, 0, count_events, NULL), -EBUSY);
    CHECK_INT(asyncinotify_sync_get(in, &event), -EBUSY);
    CHECK_INT(asyncinotify_run(in, count_events, NULL), -EBUSY);
    make_file("d/f");
    CHECK_INT(RESULT(&thread), 1);
    CHECK_INT(asyncinotify_get(in, &event), 0);
    finish(in);
}

static void *get_busy(void *in)
{
    asyncinotify_event event;
    CHECK_INT(asyncinotify_get(in, &event), -EBUSY);
    return NULL;
}

static int let_another_thread_get(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    struct thread thread;
    (void)event;
    (void)userdata;
    start_thread(&thread, get_busy, in);
    join_thread(&thread);
    return 0;
}

TEST(a_second_consumer_is_EBUSY_while_a_callback_runs)
{
    asyncinotify *in = watching_with("d", 0);
    asyncinotify_event event;
    make_file("d/f");
    CHECK_INT(asyncinotify_dispatch(in, 0, let_another_thread_get, NULL), 1);
    make_file("d/g");
    CHECK_INT(asyncinotify_run(in, let_another_thread_get, NULL), 0);
    CHECK_INT(asyncinotify_get(in, &event), 0);
    finish(in);
}

static void *take_and_check(void *in)
{
    asyncinotify_event event;
    CHECK_INT(asyncinotify_get(in, &event), 1);
    return NULL;
}

TEST(threads_may_take_turns)
{
    asyncinotify *in = watching_with("d", 0);
    for (int i = 0; i < 20; i++) {
        struct thread thread;
        make_entry(text("d/%d", i));
        make_entry(text("d/%d-second", i));
        start_thread(&thread, take_and_check, in);
        join_thread(&thread);
        CHECK_STR(take(in).path, text("d/%d-second", i));
    }
    finish(in);
}

/* ---- everything else while another thread waits ---- */

static void *take_path(void *in)
{
    asyncinotify_event event, *copy;
    CHECK_INT(asyncinotify_sync_get(in, &event), 1);
    OK(asyncinotify_event_dup(&event, &copy));
    return copy;
}

TEST(a_watch_added_while_another_thread_waits_takes_effect_at_once)
{
    asyncinotify *in = watching_with("d", ASYNCINOTIFY_TIMEOUT_INFINITE);
    struct thread thread;
    start_thread(&thread, take_path, in);
    wait_until_blocked(&thread);
    make_dir("new");
    asyncinotify_watch id = watch(in, "new", IN_CREATE);
    make_file("new/f");
    asyncinotify_event *event = join_thread(&thread);
    CHECK_STR(event_text(event), "CREATE new/f");
    CHECK_INT(event->watch, id);
    asyncinotify_event_free(event);
    finish(in);
}

TEST(a_watch_removed_while_another_thread_waits_ends_its_wait_with_IGNORED)
{
    asyncinotify *in = watching_with("d", ASYNCINOTIFY_TIMEOUT_INFINITE);
    struct thread thread;
    asyncinotify_watch id;
    CHECK_INT(asyncinotify_watches(in, &id, 1), 1);
    start_thread(&thread, take_path, in);
    wait_until_blocked(&thread);
    remove_watch(in, id);
    asyncinotify_event *event = join_thread(&thread);
    CHECK_STR(event_text(event), "IGNORED d");
    asyncinotify_event_free(event);
    finish(in);
}

TEST(a_tree_added_while_another_thread_waits_takes_effect_at_once)
{
    asyncinotify *in = watching_with("d", ASYNCINOTIFY_TIMEOUT_INFINITE);
    struct thread thread;
    make_dirs("t/a/b");
    start_thread(&thread, take_path, in);
    wait_until_blocked(&thread);
    tree(in, "t", IN_CREATE);
    make_file("t/a/b/f");
    asyncinotify_event *event = join_thread(&thread);
    CHECK_STR(event_text(event), "CREATE t/a/b/f");
    asyncinotify_event_free(event);
    finish(in);
}

TEST(getters_and_setters_work_while_another_thread_waits)
{
    asyncinotify *in = watching_with("d", ASYNCINOTIFY_TIMEOUT_INFINITE);
    struct thread thread;
    asyncinotify_watch id;
    uint32_t mask;
    void *userdata;
    int timeout;
    start_thread(&thread, take_path, in);
    wait_until_blocked(&thread);
    OK(asyncinotify_fd(in));
    OK(asyncinotify_raw_fd(in));
    OK(asyncinotify_cache_size(in));
    OK(asyncinotify_set_cache_size(in, 5));
    OK(asyncinotify_sync_timeout(in, &timeout));
    CHECK_INT(asyncinotify_watches(in, &id, 1), 1);
    CHECK_STR(watch_path(in, id), "d");
    OK(asyncinotify_watch_mask(in, id, &mask));
    OK(asyncinotify_watch_wd(in, id));
    CHECK_INT(asyncinotify_watch_is_active(in, id), 1);
    OK(asyncinotify_watch_set_userdata(in, id, &id, NULL));
    OK(asyncinotify_watch_userdata(in, id, &userdata));
    OK(asyncinotify_watch_set_callback(in, id, NULL));
    OK(asyncinotify_watch_set_path(in, id, "other"));
    make_file("d/f");
    asyncinotify_event *event = join_thread(&thread);
    CHECK_STR(event_text(event), "CREATE other/f");
    CHECK(event->userdata == &id);
    asyncinotify_event_free(event);
    finish(in);
}

struct worker {
    asyncinotify *in;
    int number, rounds;
    asyncinotify_watch *ids;
    atomic_int *running;
};

static void *add_and_remove(void *argument)
{
    struct worker *worker = argument;
    char dir[16];
    snprintf(dir, sizeof dir, "w%d", worker->number);
    for (int i = 0; i < worker->rounds; i++) {
        worker->ids[i] = watch(worker->in, dir, IN_CREATE);
        make_entry(text("%s/%d", dir, i));
        remove_watch(worker->in, worker->ids[i]);
    }
    --*worker->running;
    OK(asyncinotify_wake(worker->in));
    return NULL;
}

TEST(threads_add_and_remove_while_one_consumes)
{
    enum { WORKERS = 3, MOST = 300 };
    static asyncinotify_watch ids[WORKERS][MOST];
    int rounds = under_valgrind() ? 50 : MOST, next[WORKERS] = {0}, created = 0, ignored = 0;
    asyncinotify *in = open_instance();
    struct worker workers[WORKERS];
    struct thread threads[WORKERS];
    atomic_int running = WORKERS;
    OK(asyncinotify_set_sync_timeout(in, ASYNCINOTIFY_TIMEOUT_INFINITE));
    for (int i = 0; i < WORKERS; i++) {
        make_dir("w%d", i);
        workers[i] = (struct worker){in, i, rounds, ids[i], &running};
        start_thread(&threads[i], add_and_remove, &workers[i]);
    }
    while (created + ignored < 2 * WORKERS * rounds) {
        asyncinotify_event event;
        int result = asyncinotify_sync_get(in, &event);
        if (result == -EINTR)
            continue;
        CHECK_INT(result, 1);
        int number = event.path[1] - '0';
        CHECK(number >= 0 && number < WORKERS);
        if (event.mask & IN_CREATE) {
            CHECK_STR(event.path, text("w%d/%d", number, next[number]));
            created++;
        } else {
            CHECK_STR(event_text(&event), text("IGNORED w%d", number));
            next[number]++;
            ignored++;
        }
    }
    for (int i = 0; i < WORKERS; i++)
        join_thread(&threads[i]);
    CHECK_INT(created, WORKERS * rounds);
    CHECK_INT(ignored, WORKERS * rounds);
    finish(in);
}

struct waker {
    asyncinotify *in;
    int rounds;
};

static void *wake_often(void *argument)
{
    struct waker *waker = argument;
    for (int i = 0; i < waker->rounds; i++)
        OK(asyncinotify_wake(waker->in));
    return NULL;
}

TEST(a_storm_of_wakes_loses_no_event)
{
    asyncinotify *in = watching_with("d", PATIENCE_MS);
    struct waker waker = {in, under_valgrind() ? 300 : 5000};
    struct thread threads[2];
    int count = 0, total = under_valgrind() ? 200 : 2000;
    for (int i = 0; i < 2; i++)
        start_thread(&threads[i], wake_often, &waker);
    for (int i = 0; i < total; i++) {
        make_entry(text("d/%d", i));
        asyncinotify_event event;
        int result;
        while ((result = asyncinotify_sync_get(in, &event)) == -EINTR)
            ;
        CHECK_INT(result, 1);
        CHECK_STR(event.path, text("d/%d", i));
        count++;
    }
    for (int i = 0; i < 2; i++)
        join_thread(&threads[i]);
    CHECK_INT(count, total);
    expect_nothing(in);
    finish(in);
}

static void *ping(void *argument)
{
    struct waker *waker = argument;
    for (int i = 0; i < waker->rounds; i++)
        CHECK_INT(asyncinotify_sync_get(waker->in, &(asyncinotify_event){0}), -EINTR);
    return NULL;
}

TEST(no_wake_is_lost_between_two_waits)
{
    asyncinotify *in = watching_with("d", PATIENCE_MS);
    struct waker waker = {in, under_valgrind() ? 50 : 500};
    struct thread thread;
    start_thread(&thread, ping, &waker);
    for (int i = 0; i < waker.rounds; i++) {
        OK(asyncinotify_wake(in));
        /* The next wake only after this one was taken: the fd is not readable any more. */
        for (double end = now_ms() + PATIENCE_MS; readable(in);)
            CHECK(now_ms() < end);
    }
    join_thread(&thread);
    finish(in);
}
