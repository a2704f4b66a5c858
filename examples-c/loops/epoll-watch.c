/* epoll-watch: a loop of epoll_wait(2), all of it edge-triggered.

   An edge comes when something new happens, so whoever waits for edges takes all that is there. With a maximum for each
   turn this still holds: an asyncinotify_dispatch() that leaves events behind makes a new edge. */
#include "common.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int checked(int result, const char *what)
{
    if (result < 0)
        example_fail(what, strerror(errno));
    return result;
}

static void add(int epoll, int fd)
{
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLET, .data.fd = fd};

    checked(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted), "epoll_ctl");
}

int main(int argc, char **argv)
{
    char **arguments = example_arguments(argc, argv, "PATH");
    struct itimerspec interval = {
        .it_interval = {example_interval / 1000, example_interval % 1000 * 1000000L},
        .it_value = {example_interval / 1000, example_interval % 1000 * 1000000L},
    };
    asyncinotify *inotify;
    sigset_t ends;
    int epoll, signals, timer;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    signals = checked(signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
    timer = checked(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create");
    checked(timerfd_settime(timer, 0, &interval, NULL), "timerfd_settime"); /* an interval of 0 starts none */
    inotify = example_open(arguments[0]);

    epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    add(epoll, signals);
    add(epoll, timer);
    add(epoll, asyncinotify_fd(inotify));

    for (int ended = 0; !ended;) {
        struct epoll_event ready[8];
        int count = epoll_wait(epoll, ready, 8, -1);

        if (count < 0 && errno != EINTR)
            example_fail("epoll_wait", strerror(errno));
        for (int i = 0; i < count; i++) {
            uint64_t times;

            if (ready[i].data.fd == signals) {
                ended = 1;
            } else if (ready[i].data.fd == timer) {
                if (read(timer, &times, sizeof times) == sizeof times)
                    example_tick();
            } else {
                example_woken();
                if (asyncinotify_dispatch(inotify, BATCH, example_event, NULL) < 0)
                    example_fail("dispatch", asyncinotify_last_error_message());
            }
        }
    }

    close(epoll); /* nobody waits for the descriptor any more */
    asyncinotify_close(inotify);
    close(timer);
    close(signals);
    return EXIT_SUCCESS;
}
