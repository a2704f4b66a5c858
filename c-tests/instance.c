/* An instance: its flags, its two file descriptors, its settings, its end. */
#include "harness.h"

#include <sys/resource.h>

TEST(new_gives_a_handle_which_close_takes_back)
{
    int before = open_fds();
    asyncinotify *in = open_instance();
    CHECK(open_fds() > before);
    asyncinotify_close(in);
    CHECK_INT(open_fds(), before);
}

TEST(close_ignores_NULL)
{
    asyncinotify_close(NULL);
}

TEST(closing_twice_is_harmless)
{
    asyncinotify *in = open_instance();
    asyncinotify_close(in);
    asyncinotify_close(in);
    asyncinotify *other = open_instance();
    asyncinotify_close(in);
    OK(asyncinotify_fd(other));
    finish(other);
}

TEST(a_closed_handle_never_becomes_another_instance)
{
    asyncinotify *in = open_instance();
    asyncinotify_close(in);
    for (int i = 0; i < 200; i++) {
        asyncinotify *other = open_instance();
        CHECK(other != in);
        CHECK_INT(asyncinotify_fd(in), -EINVAL);
        asyncinotify_close(other);
    }
}

TEST(close_releases_watches_and_what_is_queued)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    watch(in, "d", IN_CREATE);
    make_file("d/taken");
    make_file("d/queued");
    take(in);
    asyncinotify_close(in);
}

TEST(new_rejects_unknown_flags)
{
    asyncinotify *in = NULL;
    CHECK_INT(asyncinotify_new(1, &in), -EINVAL);
    CHECK_INT(asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT | 2, &in), -EINVAL);
    CHECK_INT(asyncinotify_new(UINT32_MAX, &in), -EINVAL);
}

TEST(new_needs_a_place_for_the_handle)
{
    CHECK_INT(asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, NULL), -EINVAL);
}

TEST(default_flags_are_close_on_exec_and_non_blocking)
{
    asyncinotify *in = open_instance();
    CHECK(fcntl(asyncinotify_raw_fd(in), F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(asyncinotify_raw_fd(in), F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(asyncinotify_fd(in), F_GETFD) & FD_CLOEXEC);
    finish(in);
}

TEST(without_CLOEXEC_the_fd_is_inherited)
{
    asyncinotify *in = open_instance_with(ASYNCINOTIFY_INIT_NONBLOCK);
    CHECK(!(fcntl(asyncinotify_raw_fd(in), F_GETFD) & FD_CLOEXEC));
    CHECK(fcntl(asyncinotify_raw_fd(in), F_GETFL) & O_NONBLOCK);
    finish(in);
}

TEST(without_NONBLOCK_the_fd_is_blocking)
{
    asyncinotify *in = open_instance_with(ASYNCINOTIFY_INIT_CLOEXEC);
    CHECK(fcntl(asyncinotify_raw_fd(in), F_GETFD) & FD_CLOEXEC);
    CHECK(!(fcntl(asyncinotify_raw_fd(in), F_GETFL) & O_NONBLOCK));
    finish(in);
}

TEST(no_flags_at_all_are_allowed)
{
    asyncinotify *in = open_instance_with(0);
    watch(in, ".", IN_CREATE);
    make_file("f");
    expect(in, "CREATE ./f");
    finish(in);
}

TEST(raw_fd_is_the_kernels_inotify_fd)
{
    asyncinotify *in = open_instance();
    char target[64] = "";
    SYS(readlink(text("/proc/self/fd/%d", asyncinotify_raw_fd(in)), target, sizeof target - 1));
    CHECK_CONTAINS(target, "inotify");
    watch(in, ".", IN_CREATE);
    CHECK_INT(kernel_watches(in), 1);
    finish(in);
}

TEST(fd_number_never_changes)
{
    asyncinotify *in = open_instance();
    int fd = asyncinotify_fd(in), raw = asyncinotify_raw_fd(in);
#define SAME (CHECK_INT(asyncinotify_fd(in), fd), CHECK_INT(asyncinotify_raw_fd(in), raw))
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    SAME;
    make_file("d/f");
    SAME;
    take(in);
    SAME;
    OK(asyncinotify_set_cache_size(in, 1));
    SAME;
    OK(asyncinotify_wake(in));
    SAME;
    expect_nothing(in);
    SAME;
    OK(asyncinotify_set_sync_timeout(in, 0));
    CHECK_INT(asyncinotify_run(in, NULL, NULL), 0);
    SAME;
    tree(in, ".", IN_CREATE);
    make_overflow("d");
    drain(in);
    SAME;
    remove_watch(in, id);
    drain(in);
    SAME;
#undef SAME
    finish(in);
}

TEST(instances_are_independent)
{
    make_dir("a");
    make_dir("b");
    asyncinotify *one = open_instance(), *other = open_instance();
    watch(one, "a", IN_CREATE);
    watch(other, "b", IN_CREATE);
    make_file("a/f");
    expect_nothing(other);
    expect(one, "CREATE a/f");
    finish(one);
    make_file("b/g");
    expect(other, "CREATE b/g");
    finish(other);
}

TEST(one_directory_can_be_watched_by_two_instances)
{
    make_dir("d");
    asyncinotify *one = open_instance(), *other = open_instance();
    watch(one, "d", IN_CREATE);
    watch(other, "d", IN_CREATE | IN_DELETE);
    make_file("d/f");
    remove_file("d/f");
    expect(one, "CREATE d/f");
    expect(other, "CREATE d/f", "DELETE d/f");
    finish(one);
    finish(other);
}

TEST(many_instances_close_in_any_order)
{
    enum { COUNT = 20 };
    asyncinotify *in[COUNT];
    for (int i = 0; i < COUNT; i++) {
        in[i] = open_instance();
        watch(in[i], ".", IN_CREATE);
    }
    make_file("f");
    for (int i = 0; i < COUNT; i++) {
        int which = i * 7 % COUNT; /* each once, since 7 and 20 have no common divisor */
        expect(in[which], "CREATE ./f");
        finish(in[which]);
    }
}

TEST(cache_size_is_240_events_at_first)
{
    asyncinotify *in = open_instance();
    CHECK_INT(asyncinotify_cache_size(in), 240);
    finish(in);
}

TEST(cache_size_can_be_set)
{
    asyncinotify *in = open_instance();
    OK(asyncinotify_set_cache_size(in, 17));
    CHECK_INT(asyncinotify_cache_size(in), 17);
    finish(in);
}

/* With names of NAME_MAX bytes every event has its full size. */
static void make_long_names(const char *dir, int count)
{
    for (int i = 0; i < count; i++)
        make_entry(text("%s/%03d%.252s", dir, i, text("%0252d", 0)));
}

TEST(cache_size_is_the_most_that_one_read_fetches)
{
    enum { FULL_SIZE = 16 + NAME_MAX + 1 };
    make_dir("d");
    asyncinotify *in = open_instance();
    watch(in, "d", IN_CREATE);
    OK(asyncinotify_set_cache_size(in, 3));
    make_long_names("d", 10);
    CHECK_INT(queued_bytes(in), 10 * FULL_SIZE);
    take(in);
    CHECK_INT(queued_bytes(in), 7 * FULL_SIZE);
    take(in);
    take(in);
    CHECK_INT(queued_bytes(in), 7 * FULL_SIZE);
    take(in);
    CHECK_INT(queued_bytes(in), 4 * FULL_SIZE);
    finish(in);
}

TEST(cache_size_of_0_is_refused)
{
    asyncinotify *in = open_instance();
    CHECK_INT(asyncinotify_set_cache_size(in, 0), -EINVAL);
    CHECK_INT(asyncinotify_cache_size(in), 240);
    finish(in);
}

TEST(cache_size_beyond_memory_is_refused)
{
    asyncinotify *in = open_instance();
    CHECK_INT(asyncinotify_set_cache_size(in, SIZE_MAX), -ENOMEM);
    CHECK_INT(asyncinotify_set_cache_size(in, SIZE_MAX / 272), -ENOMEM);
    CHECK_INT(asyncinotify_cache_size(in), 240);
    watch(in, ".", IN_CREATE);
    make_file("f");
    expect(in, "CREATE ./f");
    finish(in);
}

TEST(cache_size_can_change_while_events_are_cached)
{
    make_dir("d");
    asyncinotify *in = open_instance();
    watch(in, "d", IN_CREATE);
    for (int i = 0; i < 100; i++)
        make_entry(text("d/%d", i));
    for (int i = 0; i < 100; i++) {
        asyncinotify_event event = take(in);
        CHECK_STR(event.path, text("d/%d", i));
        OK(asyncinotify_set_cache_size(in, (size_t)(i * 37 % 50) + 1));
    }
    expect_nothing(in);
    finish(in);
}

TEST(sync_timeout_is_disabled_at_first)
{
    asyncinotify *in = open_instance();
    int timeout = 99;
    OK(asyncinotify_sync_timeout(in, &timeout));
    CHECK_INT(timeout, ASYNCINOTIFY_TIMEOUT_DISABLED);
    finish(in);
}

TEST(sync_timeout_can_be_set)
{
    asyncinotify *in = open_instance();
    const int values[] = {0, 1, 1500, INT_MAX, ASYNCINOTIFY_TIMEOUT_INFINITE, ASYNCINOTIFY_TIMEOUT_DISABLED};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        int timeout = 99;
        OK(asyncinotify_set_sync_timeout(in, values[i]));
        OK(asyncinotify_sync_timeout(in, &timeout));
        CHECK_INT(timeout, values[i]);
    }
    finish(in);
}

TEST(sync_timeout_below_disabled_is_refused)
{
    asyncinotify *in = open_instance();
    int timeout = 99;
    OK(asyncinotify_set_sync_timeout(in, 7));
    CHECK_INT(asyncinotify_set_sync_timeout(in, -3), -EINVAL);
    CHECK_INT(asyncinotify_set_sync_timeout(in, INT_MIN), -EINVAL);
    OK(asyncinotify_sync_timeout(in, &timeout));
    CHECK_INT(timeout, 7);
    finish(in);
}

TEST(sync_get_with_a_timeout_of_0_does_not_wait)
{
    asyncinotify *in = open_instance();
    asyncinotify_event event;
    OK(asyncinotify_set_sync_timeout(in, 0));
    CHECK_INT(asyncinotify_sync_get(in, &event), 0);
    watch(in, ".", IN_CREATE);
    make_file("f");
    CHECK_INT(asyncinotify_sync_get(in, &event), 1);
    CHECK_STR(event.path, "./f");
    CHECK_INT(asyncinotify_sync_get(in, &event), 0);
    finish(in);
}

TEST(sync_get_returns_0_once_the_timeout_is_over)
{
    asyncinotify *in = open_instance();
    asyncinotify_event event;
    OK(asyncinotify_set_sync_timeout(in, 100));
    double start = now_ms();
    CHECK_INT(asyncinotify_sync_get(in, &event), 0);
    double waited = now_ms() - start;
    CHECK(waited >= 99);
    CHECK(waited < PATIENCE_MS);
    finish(in);
}

TEST(sync_get_without_a_timeout_is_EAGAIN_on_a_non_blocking_instance)
{
    asyncinotify *in = open_instance();
    asyncinotify_event event;
    CHECK_INT(asyncinotify_sync_get(in, &event), -EAGAIN);
    watch(in, ".", IN_CREATE);
    make_file("f");
    CHECK_INT(asyncinotify_sync_get(in, &event), 1);
    CHECK_STR(event.path, "./f");
    CHECK_INT(asyncinotify_sync_get(in, &event), -EAGAIN);
    finish(in);
}

static void *sync_get_one(void *in)
{
    asyncinotify_event event;
    CHECK_INT(asyncinotify_sync_get(in, &event), 1);
    CHECK_STR(event.path, "./f");
    return NULL;
}

TEST(sync_get_without_a_timeout_waits_on_a_blocking_instance)
{
    asyncinotify *in = open_instance_with(ASYNCINOTIFY_INIT_CLOEXEC);
    watch(in, ".", IN_CREATE);
    struct thread thread;
    start_thread(&thread, sync_get_one, in);
    wait_until_blocked(&thread);
    make_file("f");
    join_thread(&thread);
    finish(in);
}

TEST(sync_get_with_an_infinite_timeout_waits)
{
    asyncinotify *in = open_instance();
    watch(in, ".", IN_CREATE);
    OK(asyncinotify_set_sync_timeout(in, ASYNCINOTIFY_TIMEOUT_INFINITE));
    struct thread thread;
    start_thread(&thread, sync_get_one, in);
    wait_until_blocked(&thread);
    make_file("f");
    join_thread(&thread);
    finish(in);
}

TEST(sync_get_ends_its_wait_when_an_event_comes_before_the_timeout)
{
    asyncinotify *in = open_instance();
    watch(in, ".", IN_CREATE);
    OK(asyncinotify_set_sync_timeout(in, 60000));
    struct thread thread;
    start_thread(&thread, sync_get_one, in);
    wait_until_blocked(&thread);
    double start = now_ms();
    make_file("f");
    join_thread(&thread);
    CHECK(now_ms() - start < PATIENCE_MS);
    finish(in);
}

TEST(sync_get_with_a_timeout_waits_on_a_blocking_instance_too)
{
    asyncinotify *in = open_instance_with(0);
    asyncinotify_event event;
    OK(asyncinotify_set_sync_timeout(in, 50));
    double start = now_ms();
    CHECK_INT(asyncinotify_sync_get(in, &event), 0);
    CHECK(now_ms() - start >= 49);
    finish(in);
}

TEST(get_never_blocks_even_on_a_blocking_instance)
{
    asyncinotify *in = open_instance_with(0);
    asyncinotify_event events[4];
    OK(asyncinotify_set_sync_timeout(in, ASYNCINOTIFY_TIMEOUT_INFINITE));
    CHECK_INT(asyncinotify_get(in, events), 0);
    CHECK_INT(asyncinotify_get_events(in, events, 4), 0);
    CHECK_INT(asyncinotify_dispatch(in, 0, NULL, NULL), 0);
    watch(in, ".", IN_CREATE);
    make_file("f");
    CHECK_INT(asyncinotify_get(in, events), 1);
    CHECK_INT(asyncinotify_get(in, events), 0);
    finish(in);
}

TEST(waiting_costs_no_processor_time)
{
    asyncinotify *in = open_instance();
    asyncinotify_event event;
    watch(in, ".", IN_CREATE);
    make_file("f");
    take(in);
    OK(asyncinotify_set_sync_timeout(in, 300));
    double start = cpu_ms();
    CHECK_INT(asyncinotify_sync_get(in, &event), 0);
    CHECK(cpu_ms() - start < 100);
    finish(in);
}
