/* libevent-watch: libevent. A persistent read event on the pollable descriptor. */
#include "common.h"
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

static void on_readable(evutil_socket_t fd, short what, void *inotify)
{
    (void)fd, (void)what;
    example_woken();
    if (asyncinotify_dispatch(inotify, BATCH, example_event, NULL) < 0)
        example_fail("dispatch", asyncinotify_last_error_message());
}

static void on_timer(evutil_socket_t fd, short what, void *unused)
{
    (void)fd, (void)what, (void)unused;
    example_tick();
}

static void on_signal(evutil_socket_t number, short what, void *base)
{
    (void)number, (void)what;
    event_base_loopbreak(base);
}

int main(int argc, char **argv)
{
    char **arguments = example_arguments(argc, argv, "PATH");
    struct timeval interval = {example_interval / 1000, example_interval % 1000 * 1000L};
    asyncinotify *inotify = example_open(arguments[0]);
    struct event_base *base = event_base_new();
    struct event *events[4];

    if (!base)
        example_fail("event_base_new", "no loop");
    events[0] = event_new(base, asyncinotify_fd(inotify), EV_READ | EV_PERSIST, on_readable, inotify);
    events[1] = evsignal_new(base, SIGINT, on_signal, base);
    events[2] = evsignal_new(base, SIGTERM, on_signal, base);
    events[3] = event_new(base, -1, EV_PERSIST, on_timer, NULL);
    for (int i = 0; i < 4; i++)
        if (!events[i] || (i < 3 && event_add(events[i], NULL) < 0))
            example_fail("event_new", "no event");
    if (example_interval)
        event_add(events[3], &interval);

    event_base_dispatch(base);

    for (int i = 0; i < 4; i++)
        event_free(events[i]); /* out of the loop */
    event_base_free(base);
    asyncinotify_close(inotify);
    libevent_global_shutdown();
    return EXIT_SUCCESS;
}
