/* ev-watch: libev. An ev_io on the pollable descriptor. */
#include "common.h"
#include <ev.h>
#include <signal.h>
#include <stdlib.h>

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop, (void)events;
    example_woken();
    if (asyncinotify_dispatch(watcher->data, BATCH, example_event, NULL) < 0)
        example_fail("dispatch", asyncinotify_last_error_message());
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
    example_tick();
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
    (void)watcher, (void)events;
    ev_break(loop, EVBREAK_ALL);
}

int main(int argc, char **argv)
{
    char **arguments = example_arguments(argc, argv, "PATH");
    asyncinotify *inotify = example_open(arguments[0]);
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    ev_io readable;
    ev_timer timer;
    ev_signal interrupt, terminate;

    if (!loop)
        example_fail("ev_loop_new", "no loop");
    ev_io_init(&readable, on_readable, asyncinotify_fd(inotify), EV_READ);
    readable.data = inotify;
    ev_io_start(loop, &readable);
    ev_signal_init(&interrupt, on_signal, SIGINT);
    ev_signal_start(loop, &interrupt);
    ev_signal_init(&terminate, on_signal, SIGTERM);
    ev_signal_start(loop, &terminate);
    ev_timer_init(&timer, on_timer, example_interval / 1e3, example_interval / 1e3);
    if (example_interval)
        ev_timer_start(loop, &timer);

    ev_run(loop, 0);

    ev_io_stop(loop, &readable); /* out of the loop */
    ev_timer_stop(loop, &timer);
    ev_signal_stop(loop, &interrupt);
    ev_signal_stop(loop, &terminate);
    ev_loop_destroy(loop);
    asyncinotify_close(inotify);
    return EXIT_SUCCESS;
}
