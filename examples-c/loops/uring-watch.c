/* uring-watch: io_uring's poll on the pollable descriptor.

   A poll request completes once, at once if the descriptor is readable already; so a new one after each batch tells of
   all that is left. */
#include "common.h"
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum request { READABLE = 1, SIGNAL, TIMER };

static struct io_uring ring;
static struct __kernel_timespec interval; /* as long as the request is under way */

static int checked(int result, const char *what)
{
    if (result < 0)
        example_fail(what, strerror(-result));
    return result;
}

/* Goes to the kernel with the next io_uring_submit_and_wait(). */
static void ask(enum request what, int fd)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    if (!sqe)
        example_fail("io_uring_get_sqe", "the queue is full");
    if (what == TIMER)
        io_uring_prep_timeout(sqe, &interval, 0, 0);
    else
        io_uring_prep_poll_add(sqe, fd, POLLIN);
    io_uring_sqe_set_data64(sqe, what);
}

int main(int argc, char **argv)
{
    char **arguments = example_arguments(argc, argv, "PATH");
    asyncinotify *inotify;
    sigset_t ends;
    int ended = 0, signals, result;

    result = io_uring_queue_init(8, &ring, 0);
    if (result == -EPERM || result == -ENOSYS || result == -EACCES)
        example_skip("io_uring is not allowed here (kernel.io_uring_disabled, seccomp)", strerror(-result));
    checked(result, "io_uring_queue_init");

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    signals = signalfd(-1, &ends, SFD_CLOEXEC);
    inotify = example_open(arguments[0]);
    ask(READABLE, asyncinotify_fd(inotify));
    ask(SIGNAL, signals);
    interval = (struct __kernel_timespec){example_interval / 1000, example_interval % 1000 * 1000000};
    if (example_interval)
        ask(TIMER, -1);

    while (!ended) {
        struct io_uring_cqe *cqe;

        result = io_uring_submit_and_wait(&ring, 1);
        if (result < 0 && result != -EINTR)
            checked(result, "io_uring_submit_and_wait");
        while (io_uring_peek_cqe(&ring, &cqe) == 0) {
            enum request what = (enum request)cqe->user_data;

            result = cqe->res;
            io_uring_cqe_seen(&ring, cqe);
            switch (what) {
            case READABLE:
                example_woken();
                checked(result, "poll");
                if (asyncinotify_dispatch(inotify, BATCH, example_event, NULL) < 0)
                    example_fail("dispatch", asyncinotify_last_error_message());
                ask(READABLE, asyncinotify_fd(inotify));
                break;
            case TIMER:
                example_tick();
                ask(TIMER, -1);
                break;
            case SIGNAL:
                ended = 1;
                break;
            }
        }
    }

    io_uring_queue_exit(&ring); /* ends the requests; the kernel holds the descriptors no longer than that */
    asyncinotify_close(inotify);
    close(signals);
    return EXIT_SUCCESS;
}
