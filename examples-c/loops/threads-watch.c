/* threads-watch: a loop that runs on several threads, all in epoll_wait(2) on one epoll descriptor.

   EPOLLONESHOT: one thread is told that there are events, and nobody else until it has armed the descriptor again. That
   look includes what came meanwhile, so nothing is overlooked. (EPOLLEXCLUSIVE is refused by the kernel for the library's
   descriptor, which is an epoll descriptor itself.)

   Whatever else a program does, one thread at a time takes events; another is told -EBUSY. Here the timer takes them too,
   to be up to date. The rule: who has taken events arms the descriptor afterwards, and who was told -EBUSY leaves it
   to the other. */
#include "common.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { THREADS = 4 };

static asyncinotify *inotify;
static int epoll, timer, end;

static int checked(int result, const char *what)
{
    if (result < 0)
        example_fail(what, strerror(errno));
    return result;
}

static void control(int operation, int fd, uint32_t events)
{
    struct epoll_event wanted = {.events = events, .data.fd = fd};

    checked(epoll_ctl(epoll, operation, fd, &wanted), "epoll_ctl");
}

static void take_events(void)
{
    intptr_t count = asyncinotify_dispatch(inotify, BATCH, example_event, NULL);

    if (count == -EBUSY)
        example_busy();
    else if (count < 0)
        example_fail("dispatch", asyncinotify_last_error_message());
    else
        control(EPOLL_CTL_MOD, asyncinotify_fd(inotify), EPOLLIN | EPOLLONESHOT);
}

static void *work(void *unused)
{
    struct epoll_event ready;
    uint64_t times;

    for (;;) {
        /* One at a time, so that the other threads have the others. */
        if (epoll_wait(epoll, &ready, 1, -1) < 0) {
            if (errno != EINTR)
                example_fail("epoll_wait", strerror(errno));
        } else if (ready.data.fd == end) {
            return unused; /* not read: all threads are to see it */
        } else if (ready.data.fd == timer) {
            if (read(timer, &times, sizeof times) == sizeof times) {
                take_events();
                example_tick();
            }
            control(EPOLL_CTL_MOD, timer, EPOLLIN | EPOLLONESHOT);
        } else {
            example_woken();
            take_events();
        }
    }
}

int main(int argc, char **argv)
{
    char **arguments = example_arguments(argc, argv, "PATH");
    struct itimerspec interval = {
        .it_interval = {example_interval / 1000, example_interval % 1000 * 1000000L},
        .it_value = {example_interval / 1000, example_interval % 1000 * 1000000L},
    };
    pthread_t threads[THREADS];
    sigset_t ends;
    int signal;

    /* The threads inherit it: signals are for the main thread, in sigwait. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);

    epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    timer = checked(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create");
    end = checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
    inotify = example_open(arguments[0]);
    checked(timerfd_settime(timer, 0, &interval, NULL), "timerfd_settime"); /* an interval of 0 starts none */
    control(EPOLL_CTL_ADD, end, EPOLLIN);
    control(EPOLL_CTL_ADD, timer, EPOLLIN | EPOLLONESHOT);
    control(EPOLL_CTL_ADD, asyncinotify_fd(inotify), EPOLLIN | EPOLLONESHOT);

    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            example_fail("pthread_create", "no more threads");
    while (sigwait(&ends, &signal) != 0)
        ;
    eventfd_write(end, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    close(epoll);
    asyncinotify_close(inotify);
    close(timer);
    close(end);
    return EXIT_SUCCESS;
}
