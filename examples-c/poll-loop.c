/* poll-loop: a program with a loop of its own takes the events in beside its other descriptor, here standard input.
   --epoll does the same with epoll. */
#define _POSIX_C_SOURCE 200809L
#include <asyncinotify.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static asyncinotify *inotify;
static volatile sig_atomic_t ended;

/* A wake makes the pollable descriptor readable, so that the loop comes round. */
static void end(int signal)
{
    (void)signal;
    ended = 1;
    asyncinotify_wake(inotify);
}

static void fail(const char *message)
{
    fprintf(stderr, "poll-loop: %s\n", message);
    exit(EXIT_FAILURE);
}

static void take_events(void)
{
    asyncinotify_event event;
    char mask[256];
    int got;

    /* With poll, or epoll without EPOLLET, one event per wake-up is right too: the descriptor stays readable. */
    while ((got = asyncinotify_get(inotify, &event)) == 1) {
        asyncinotify_mask_format(event.mask, mask, sizeof mask);
        printf("%-20s %s\n", mask, event.path ? event.path : "-");
    }
    if (got < 0)
        fail(asyncinotify_last_error_message());
}

/* Returns 0 when there is no more input. */
static int take_input(void)
{
    char buffer[4096];
    ssize_t count = read(STDIN_FILENO, buffer, sizeof buffer);

    if (count > 0)
        printf("%-20s %ld bytes\n", "standard input", (long)count);
    return count > 0;
}

static void loop_with_poll(void)
{
    struct pollfd fds[2] = {{asyncinotify_fd(inotify), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};

    while (!ended) {
        if (poll(fds, 2, -1) < 0) {
            if (errno != EINTR)
                fail(strerror(errno));
            continue; /* revents was not set */
        }
        if (fds[0].revents)
            take_events();
        if (fds[1].revents && !take_input())
            fds[1].fd = -1; /* poll leaves it out from now on */
    }
}

static void loop_with_epoll(void)
{
    struct epoll_event wanted = {0}, ready[2];
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    wanted.events = EPOLLIN;
    wanted.data.fd = asyncinotify_fd(inotify);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, wanted.data.fd, &wanted) < 0)
        fail(strerror(errno));
    wanted.data.fd = STDIN_FILENO;
    epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &wanted); /* epoll takes no plain file: then without it */

    while (!ended) {
        int count = epoll_wait(epoll, ready, 2, -1);

        if (count < 0 && errno != EINTR)
            fail(strerror(errno));
        for (int i = 0; i < count; i++)
            if (ready[i].data.fd != STDIN_FILENO)
                take_events();
            else if (!take_input())
                epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    }
    close(epoll);
}

int main(int argc, char **argv)
{
    struct sigaction action = {0};
    int with_epoll = argc > 1 && strcmp(argv[1], "--epoll") == 0;
    int first = 1 + with_epoll;

    if (argc <= first || argv[first][0] == '-') {
        fprintf(stderr, "usage: %s [--epoll] PATH...\n"
                        "Prints events, and how much is typed, until Ctrl-C.\n", argv[0]);
        return 2;
    }
    if (asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &inotify) < 0)
        fail(asyncinotify_last_error_message());

    action.sa_handler = end;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);

    for (int i = first; i < argc; i++)
        if (asyncinotify_add_watch(inotify, argv[i], ASYNCINOTIFY_ALL, NULL) < 0)
            fail(asyncinotify_last_error_message());

    if (with_epoll)
        loop_with_epoll();
    else
        loop_with_poll();

    asyncinotify_close(inotify);
    return EXIT_SUCCESS;
}
