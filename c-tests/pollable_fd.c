/* The pollable fd: readable exactly while get would return an event or a wake is pending, in every loop. */
#include "harness.h"

#include <sys/epoll.h>
#include <sys/select.h>
#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

static asyncinotify *watching(const char *dir)
{
    asyncinotify *in = open_instance();
    make_dir("%s", dir);
    watch(in, dir, IN_CREATE);
    return in;
}

/* ---- ways of waiting ---- */

struct waiter {
    int fd, epoll;
#ifdef HAVE_LIBURING
    struct io_uring ring;
    bool armed;
#endif
};

/* Opens, waits (true: ready) and closes. */
struct way {
    void (*open)(struct waiter *);
    bool (*wait)(struct waiter *, int timeout_ms);
    void (*close)(struct waiter *);
    bool edges; /* tells of changes only: the consumer has to drain */
};

static void nothing(struct waiter *waiter)
{
    (void)waiter;
}

static bool wait_poll(struct waiter *waiter, int timeout_ms)
{
    struct pollfd poller = {.fd = waiter->fd, .events = POLLIN};
    return SYS(poll(&poller, 1, timeout_ms)) == 1 && (poller.revents & POLLIN);
}

static bool wait_select(struct waiter *waiter, int timeout_ms)
{
    fd_set set;
    struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    FD_ZERO(&set);
    FD_SET(waiter->fd, &set);
    return SYS(select(waiter->fd + 1, &set, NULL, NULL, &timeout)) == 1;
}

static void open_epoll_with(struct waiter *waiter, uint32_t events)
{
    struct epoll_event event = {.events = events};
    waiter->epoll = (int)SYS(epoll_create1(EPOLL_CLOEXEC));
    SYS(epoll_ctl(waiter->epoll, EPOLL_CTL_ADD, waiter->fd, &event));
}

static void open_epoll(struct waiter *waiter)
{
    open_epoll_with(waiter, EPOLLIN);
}

static void open_epoll_edge(struct waiter *waiter)
{
    open_epoll_with(waiter, EPOLLIN | EPOLLET);
}

static bool wait_epoll(struct waiter *waiter, int timeout_ms)
{
    struct epoll_event event;
    return SYS(epoll_wait(waiter->epoll, &event, 1, timeout_ms)) == 1;
}

static void close_epoll(struct waiter *waiter)
{
    SYS(close(waiter->epoll));
}

static const struct way by_poll = {nothing, wait_poll, nothing, false};
static const struct way by_select = {nothing, wait_select, nothing, false};
static const struct way by_epoll = {open_epoll, wait_epoll, close_epoll, false};
static const struct way by_epoll_edge = {open_epoll_edge, wait_epoll, close_epoll, true};

#ifdef HAVE_LIBURING
static void open_uring(struct waiter *waiter)
{
    int result = io_uring_queue_init(8, &waiter->ring, 0);
    if (result < 0)
        SKIP("the kernel forbids io_uring here: %s", strerror(-result));
}

static bool wait_uring(struct waiter *waiter, int timeout_ms)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    if (!waiter->armed) {
        io_uring_prep_poll_add(io_uring_get_sqe(&waiter->ring), waiter->fd, POLLIN);
        waiter->armed = io_uring_submit(&waiter->ring) == 1;
    }
    int result = io_uring_wait_cqe_timeout(&waiter->ring, &cqe, &timeout);
    if (result == -ETIME)
        return false;
    CHECK_INT(result, 0);
    CHECK(cqe->res & POLLIN);
    io_uring_cqe_seen(&waiter->ring, cqe);
    waiter->armed = false;
    return true;
}

static bool wait_uring_multishot(struct waiter *waiter, int timeout_ms)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    if (!waiter->armed) {
        io_uring_prep_poll_multishot(io_uring_get_sqe(&waiter->ring), waiter->fd, POLLIN);
        waiter->armed = io_uring_submit(&waiter->ring) == 1;
    }
    int result = io_uring_wait_cqe_timeout(&waiter->ring, &cqe, &timeout);
    if (result == -ETIME)
        return false;
    CHECK_INT(result, 0);
    waiter->armed = cqe->flags & IORING_CQE_F_MORE;
    io_uring_cqe_seen(&waiter->ring, cqe);
    return true;
}

static void close_uring(struct waiter *waiter)
{
    io_uring_queue_exit(&waiter->ring);
}

static const struct way by_uring = {open_uring, wait_uring, close_uring, false};
static const struct way by_uring_multishot = {open_uring, wait_uring_multishot, close_uring, true};
#endif

static struct waiter open_waiter(const struct way *way, asyncinotify *in)
{
    struct waiter waiter = {.fd = (int)OK(asyncinotify_fd(in))};
    way->open(&waiter);
    return waiter;
}

/* ---- ways of consuming: each returns how many it took ---- */

static int next_expected;

static void check_next(const asyncinotify_event *event)
{
    CHECK_STR(event->path, text("d/%d", next_expected));
    next_expected++;
}

static int take_one(asyncinotify *in)
{
    asyncinotify_event event;
    if (OK(asyncinotify_get(in, &event)) == 0)
        return 0;
    check_next(&event);
    return 1;
}

static int take_all(asyncinotify *in)
{
    int count = 0;
    while (take_one(in))
        count++;
    return count;
}

static int take_batch(asyncinotify *in)
{
    asyncinotify_event events[7];
    int count = (int)OK(asyncinotify_get_events(in, events, 7));
    for (int i = 0; i < count; i++)
        check_next(&events[i]);
    return count;
}

static int check_in_callback(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    (void)in;
    check_next(event);
    return userdata && next_expected % 3 == 0;
}

static int dispatch_one(asyncinotify *in)
{
    return (int)OK(asyncinotify_dispatch(in, 1, check_in_callback, NULL));
}

static int dispatch_all(asyncinotify *in)
{
    return (int)OK(asyncinotify_dispatch(in, 0, check_in_callback, NULL));
}

static int dispatch_and_stop(asyncinotify *in)
{
    return (int)OK(asyncinotify_dispatch(in, 0, check_in_callback, in));
}

/* numbers DIRECTORY FROM TO: makes the entries in order. */
HELPER(numbers)
{
    SYS(chdir(args[0]));
    for (int i = atoi(args[1]), to = atoi(args[2]); i < to; i++)
        make_entry(text("%d", i));
    return 0;
}

/* A process makes files as fast as it can; every one has to come, in order, each wake-up for something, and rest after it. */
static void load(const struct way *way, int (*consume)(asyncinotify *))
{
    int count = under_valgrind() ? 1000 : 4000, empty = 0;
    asyncinotify *in = watching("d");
    struct waiter waiter = open_waiter(way, in);
    next_expected = 0;
    pid_t writer = start_helper("numbers", "d", "0", text("%d", count), NULL);
    while (next_expected < count) {
        if (!way->wait(&waiter, PATIENCE_MS))
            FAIL("lost wake-up: %d of %d events, %d bytes queued", next_expected, count, queued_bytes(in));
        if (consume(in) == 0)
            empty++;
    }
    wait_helper(writer);
    if (!way->edges)
        CHECK_INT(empty, 0);
    else
        consume(in); /* an edge may be left over */
    while (way->edges && way->wait(&waiter, 0))
        CHECK(++empty < count);
    CHECK(!way->wait(&waiter, 200));
    CHECK_INT(next_expected, count);
    way->close(&waiter);
    finish(in);
}

TEST(poll_and_one_event_per_wakeup) { load(&by_poll, take_one); }
TEST(poll_and_draining) { load(&by_poll, take_all); }
TEST(poll_and_batches) { load(&by_poll, take_batch); }
TEST(poll_and_dispatch_of_one) { load(&by_poll, dispatch_one); }
TEST(poll_and_dispatch_of_all) { load(&by_poll, dispatch_all); }
TEST(poll_and_callbacks_that_stop) { load(&by_poll, dispatch_and_stop); }
TEST(select_and_one_event_per_wakeup) { load(&by_select, take_one); }
TEST(select_and_draining) { load(&by_select, take_all); }
TEST(epoll_level_and_one_event_per_wakeup) { load(&by_epoll, take_one); }
TEST(epoll_level_and_draining) { load(&by_epoll, take_all); }
TEST(epoll_level_and_batches) { load(&by_epoll, take_batch); }
TEST(epoll_level_and_dispatch_of_one) { load(&by_epoll, dispatch_one); }
TEST(epoll_level_and_callbacks_that_stop) { load(&by_epoll, dispatch_and_stop); }
TEST(epoll_edge_and_draining) { load(&by_epoll_edge, take_all); }
TEST(epoll_edge_and_batches_get_a_new_edge_for_the_rest) { load(&by_epoll_edge, take_batch); }
TEST(epoll_edge_and_dispatch_of_one_gets_a_new_edge_for_the_rest) { load(&by_epoll_edge, dispatch_one); }
TEST(epoll_edge_and_dispatch_of_all) { load(&by_epoll_edge, dispatch_all); }
TEST(epoll_edge_and_callbacks_that_stop_get_a_new_edge_for_the_rest) { load(&by_epoll_edge, dispatch_and_stop); }

static int note_the_end(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    (void)in;
    if (event->flags & ASYNCINOTIFY_EVENT_SYNC_END)
        *(bool *)userdata = true;
    return 0;
}

/* The set-up in the background takes many calls, of a few milliseconds each: whatever a call leaves is announced by an edge. */
TEST(epoll_edge_and_dispatch_of_all_go_on_with_a_tree_in_the_background)
{
    for (int i = 0; i < 100; i++) {
        for (int j = 0; j < 30; j++)
            make_dirs("t/%d/%d", i, j);
    }
    asyncinotify *in = open_instance();
    struct waiter waiter = open_waiter(&by_epoll_edge, in);
    tree_with(in, "t", IN_CREATE, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING | ASYNCINOTIFY_RECURSIVE_BACKGROUND);
    bool ended = false;
    int calls = 0;
    for (; !ended; calls++) {
        if (!wait_epoll(&waiter, PATIENCE_MS))
            FAIL("lost wake-up after %d calls", calls);
        OK(asyncinotify_dispatch(in, 0, note_the_end, &ended));
    }
    CHECK(calls > 1);
    close_epoll(&waiter);
    finish(in);
}

#ifdef HAVE_LIBURING
TEST(io_uring_poll_and_one_event_per_wakeup) { load(&by_uring, take_one); }
TEST(io_uring_poll_and_draining) { load(&by_uring, take_all); }
TEST(io_uring_multishot_poll_and_draining) { load(&by_uring_multishot, take_all); }
#else
TEST(io_uring_poll_and_one_event_per_wakeup) { MISSING("liburing (install liburing-dev)"); }
TEST(io_uring_poll_and_draining) { MISSING("liburing (install liburing-dev)"); }
TEST(io_uring_multishot_poll_and_draining) { MISSING("liburing (install liburing-dev)"); }
#endif

/* ---- when it is readable ---- */

TEST(fd_of_a_new_instance_is_not_readable)
{
    asyncinotify *in = open_instance();
    CHECK(!readable(in));
    watch(in, ".", IN_CREATE);
    CHECK(!readable(in));
    finish(in);
}

TEST(fd_is_readable_as_soon_as_something_happened)
{
    asyncinotify *in = watching("d");
    make_file("d/f");
    CHECK(readable(in));
    finish(in);
}

TEST(fd_is_readable_while_events_are_left_in_the_cache)
{
    asyncinotify *in = watching("d");
    for (int i = 0; i < 3; i++)
        make_entry(text("d/%d", i));
    for (int i = 0; i < 3; i++) {
        CHECK(readable(in));
        take(in);
        CHECK_INT(queued_bytes(in), 0);
    }
    CHECK(!readable(in));
    finish(in);
}

TEST(fd_is_not_readable_once_the_last_event_was_taken)
{
    asyncinotify *in = watching("d");
    for (int i = 0; i < 100; i++) {
        make_entry(text("d/%d", i));
        CHECK(readable(in));
        take(in);
        CHECK(!readable(in));
    }
    finish(in);
}

TEST(fd_becomes_readable_again_after_every_kind_of_taking)
{
    asyncinotify *in = watching("d");
    int (*const consumers[])(asyncinotify *) = {take_one, take_all, take_batch, dispatch_one, dispatch_all, dispatch_and_stop};
    next_expected = 0;
    for (int i = 0; i < 60; i++) {
        make_entry(text("d/%d", i));
        CHECK(readable(in));
        CHECK_INT(consumers[i % 6](in), 1);
        CHECK(!readable(in));
    }
    finish(in);
}

TEST(fd_is_readable_after_get_events_and_dispatch_took_only_some)
{
    asyncinotify *in = watching("d");
    asyncinotify_event event;
    next_expected = 0;
    for (int i = 0; i < 4; i++)
        make_entry(text("d/%d", i));
    CHECK_INT(asyncinotify_get_events(in, &event, 1), 1);
    check_next(&event);
    CHECK(readable(in));
    dispatch_one(in);
    CHECK(readable(in));
    dispatch_and_stop(in);
    CHECK(readable(in));
    take_all(in);
    CHECK(!readable(in));
    finish(in);
}

TEST(fd_is_readable_while_a_wake_is_pending)
{
    asyncinotify *in = watching("d");
    OK(asyncinotify_wake(in));
    CHECK(readable(in));
    CHECK(readable(in));
    CHECK_INT(take_one(in), 0);
    CHECK(!readable(in));
    finish(in);
}

TEST(fd_is_readable_after_sync_get_left_events)
{
    asyncinotify *in = watching("d");
    asyncinotify_event event;
    OK(asyncinotify_set_sync_timeout(in, 0));
    for (int i = 0; i < 3; i++)
        make_entry(text("d/%d", i));
    CHECK_INT(asyncinotify_sync_get(in, &event), 1);
    CHECK(readable(in));
    CHECK_INT(asyncinotify_sync_get(in, &event), 1);
    CHECK(readable(in));
    CHECK_INT(asyncinotify_sync_get(in, &event), 1);
    CHECK(!readable(in));
    CHECK_INT(asyncinotify_sync_get(in, &event), 0);
    CHECK(!readable(in));
    make_entry("d/3");
    CHECK(readable(in));
    finish(in);
}

TEST(an_event_after_an_internal_wait_is_seen_by_an_external_one)
{
    asyncinotify *in = watching("d");
    asyncinotify_event event;
    struct waiter edge = open_waiter(&by_epoll_edge, in), level = open_waiter(&by_epoll, in);
    OK(asyncinotify_set_sync_timeout(in, 1));
    next_expected = 0;
    for (int i = 0; i < 50; i++) {
        CHECK_INT(asyncinotify_sync_get(in, &event), 0); /* waits inside the library */
        while (wait_epoll(&edge, 0))
            ;
        make_entry(text("d/%d", i));
        CHECK(wait_epoll(&level, PATIENCE_MS));
        CHECK(wait_epoll(&edge, PATIENCE_MS));
        CHECK(readable(in));
        CHECK_INT(take_all(in), 1);
        CHECK(!wait_epoll(&level, 0));
    }
    close_epoll(&edge);
    close_epoll(&level);
    finish(in);
}

TEST(an_event_seen_by_an_external_wait_is_got_by_an_internal_one)
{
    asyncinotify *in = watching("d");
    asyncinotify_event event;
    struct waiter edge = open_waiter(&by_epoll_edge, in), level = open_waiter(&by_epoll, in);
    OK(asyncinotify_set_sync_timeout(in, PATIENCE_MS));
    for (int i = 0; i < 50; i++) {
        make_entry(text("d/%d", i));
        CHECK(wait_epoll(&edge, PATIENCE_MS));
        CHECK(wait_epoll(&level, PATIENCE_MS));
        CHECK_INT(asyncinotify_sync_get(in, &event), 1);
        CHECK(!wait_epoll(&level, 0));
    }
    close_epoll(&edge);
    close_epoll(&level);
    finish(in);
}

TEST(an_edge_comes_for_every_event_after_a_drain)
{
    asyncinotify *in = watching("d");
    struct waiter edge = open_waiter(&by_epoll_edge, in);
    next_expected = 0;
    for (int i = 0; i < 1000; i++) {
        make_entry(text("d/%d", i));
        CHECK(wait_epoll(&edge, PATIENCE_MS));
        CHECK_INT(take_all(in), 1);
    }
    close_epoll(&edge);
    finish(in);
}

TEST(an_edge_comes_for_a_wake)
{
    asyncinotify *in = watching("d");
    struct waiter edge = open_waiter(&by_epoll_edge, in);
    for (int i = 0; i < 100; i++) {
        OK(asyncinotify_wake(in));
        CHECK(wait_epoll(&edge, PATIENCE_MS));
        CHECK_INT(take_all(in), 0);
    }
    close_epoll(&edge);
    finish(in);
}

TEST(an_edge_comes_for_what_was_there_before_the_epoll)
{
    asyncinotify *in = watching("d");
    for (int i = 0; i < 3; i++)
        make_entry(text("d/%d", i));
    take(in); /* the rest is cached */
    struct waiter edge = open_waiter(&by_epoll_edge, in);
    CHECK(wait_epoll(&edge, PATIENCE_MS));
    close_epoll(&edge);
    finish(in);
}

TEST(an_edge_comes_when_dispatch_stops_before_the_end)
{
    asyncinotify *in = watching("d");
    struct waiter edge = open_waiter(&by_epoll_edge, in);
    next_expected = 0;
    for (int i = 0; i < 9; i++)
        make_entry(text("d/%d", i));
    for (int i = 0; i < 3; i++) {
        CHECK(wait_epoll(&edge, PATIENCE_MS));
        CHECK_INT(dispatch_and_stop(in), 3);
    }
    CHECK(!wait_epoll(&edge, 0));
    close_epoll(&edge);
    finish(in);
}

TEST(an_edge_comes_when_run_was_stopped_before_the_end)
{
    asyncinotify *in = watching("d");
    struct waiter edge = open_waiter(&by_epoll_edge, in);
    OK(asyncinotify_set_sync_timeout(in, 0));
    next_expected = 0;
    for (int i = 0; i < 9; i++)
        make_entry(text("d/%d", i));
    for (int i = 0; i < 3; i++) {
        CHECK(wait_epoll(&edge, PATIENCE_MS));
        CHECK_INT(asyncinotify_run(in, check_in_callback, in), 1);
    }
    CHECK(!wait_epoll(&edge, 0));
    close_epoll(&edge);
    finish(in);
}

TEST(fd_can_be_in_several_epolls_and_nested_ones)
{
    asyncinotify *in = watching("d");
    struct waiter edge = open_waiter(&by_epoll_edge, in), level = open_waiter(&by_epoll, in), outer = {.fd = level.epoll};
    open_epoll(&outer);
    next_expected = 0;
    for (int i = 0; i < 20; i++) {
        CHECK(!wait_epoll(&outer, 0));
        make_entry(text("d/%d", i));
        CHECK(wait_epoll(&outer, PATIENCE_MS));
        CHECK(wait_epoll(&level, 0));
        CHECK(wait_epoll(&edge, 0));
        CHECK_INT(take_all(in), 1);
        CHECK(!wait_epoll(&level, 0));
    }
    close_epoll(&outer);
    close_epoll(&level);
    close_epoll(&edge);
    finish(in);
}

TEST(nothing_wakes_a_loop_at_rest)
{
    asyncinotify *in = watching("d");
    make_dirs("t/a/b");
    tree(in, "t", IN_CREATE);
    OK(asyncinotify_wake(in));
    make_file("d/f");
    make_file("t/a/b/f");
    drain(in);
    struct waiter edge = open_waiter(&by_epoll_edge, in), level = open_waiter(&by_epoll, in);
    CHECK(!wait_epoll(&level, 500));
    CHECK(!wait_epoll(&edge, 500));
    close_epoll(&edge);
    close_epoll(&level);
    finish(in);
}

TEST(events_of_others_do_not_make_the_fd_readable)
{
    asyncinotify *in = watching("d");
    make_dir("e");
    make_file("e/f");
    make_file("f");
    remove_file("f");
    CHECK(!readable(in));
    finish(in);
}

/* ---- every mixture, against a model ---- */

struct model {
    asyncinotify *in;
    int made, taken; /* events made and taken: what lies between is queued */
    bool wake;
    bool edge_due; /* an edge-triggered waiter must be told before it may sleep */
    bool drained; /* the last taking call found the end */
    unsigned long long random;
};

static unsigned dice(struct model *model, unsigned sides)
{
    model->random = model->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(model->random >> 33) % sides;
}

static void took(struct model *model, const asyncinotify_event *event)
{
    CHECK_STR(event->path, text("d/%d", model->taken));
    model->taken++;
}

struct stopper {
    struct model *model;
    int left;
};

static int took_in_callback(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    struct stopper *stopper = userdata;
    (void)in;
    took(stopper->model, event);
    return --stopper->left == 0;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

static void step(struct model *model)
{
    asyncinotify *in = model->in;
    asyncinotify_event events[16];
    int queued = model->made - model->taken, wanted = (int)dice(model, 8) + 1, got;
    struct stopper stopper = {model, 0};
    switch (dice(model, 9)) {
    case 0:
    case 1:
        for (int i = 0; i < wanted; i++) {
            make_entry(text("d/%d", model->made));
            remove_file("d/%d", model->made++); /* DELETE is not watched */
        }
        model->edge_due |= model->drained;
        break;
    case 2:
        got = (int)OK(asyncinotify_get(in, events));
        CHECK_INT(got, queued > 0);
        if (got)
            took(model, events);
        else
            model->drained = true;
        model->wake = false;
        break;
    case 3:
        CHECK_INT(asyncinotify_get_events(in, events, (size_t)wanted), least(wanted, queued));
        for (int i = 0; i < least(wanted, queued); i++)
            took(model, &events[i]);
        model->wake = false;
        model->drained = queued < wanted;
        model->edge_due |= !model->drained;
        break;
    case 4: /* at most max */
        stopper.left = -1;
        CHECK_INT(asyncinotify_dispatch(in, (size_t)wanted, took_in_callback, &stopper), least(wanted, queued));
        model->wake = false;
        model->drained = queued < wanted;
        model->edge_due |= !model->drained;
        break;
    case 5: /* stopped by the callback */
        stopper.left = wanted;
        CHECK_INT(asyncinotify_dispatch(in, 0, took_in_callback, &stopper), least(wanted, queued));
        model->wake = false;
        model->drained = queued < wanted;
        model->edge_due |= !model->drained;
        break;
    case 6:
        got = asyncinotify_sync_get(in, events);
        CHECK_INT(got, model->wake ? -EINTR : queued > 0);
        if (got == 1)
            took(model, events);
        if (got == 0)
            model->drained = true;
        model->wake = false;
        break;
    case 7:
        OK(asyncinotify_wake(in));
        model->wake = true;
        model->edge_due = true;
        break;
    case 8:
        OK(asyncinotify_set_cache_size(in, (size_t)wanted));
        break;
    }
}

TEST(any_mixture_of_calls_agrees_with_the_model)
{
    int steps = under_valgrind() ? 3000 : 20000;
    for (unsigned seed = 1; seed <= 3; seed++) {
        make_dir("d");
        struct model model = {.in = open_instance(), .random = seed, .drained = true};
        watch(model.in, "d", IN_CREATE);
        OK(asyncinotify_set_sync_timeout(model.in, 0));
        struct waiter edge = open_waiter(&by_epoll_edge, model.in), level = open_waiter(&by_epoll, model.in);
        for (int i = 0; i < steps; i++) {
            step(&model);
            bool due = model.wake || model.made > model.taken;
            if (!due)
                model.edge_due = false;
            if (readable(model.in) != due || wait_epoll(&level, 0) != due)
                FAIL("seed %u, step %d: %d events queued, wake %d, but readable is %d", seed, i, model.made - model.taken,
                     model.wake, readable(model.in));
            if (dice(&model, 4) == 0) {
                bool told = wait_epoll(&edge, 0);
                if ((model.edge_due && !told) || (told && !due))
                    FAIL("seed %u, step %d: %d events queued, wake %d, edge due %d, told %d", seed, i, model.made - model.taken,
                         model.wake, model.edge_due, told);
                model.edge_due = false;
                if (told)
                    model.drained = false;
            }
        }
        close_epoll(&edge);
        close_epoll(&level);
        finish(model.in);
        remove_all("d");
    }
}
