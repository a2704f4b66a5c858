/* sd-event-watch: systemd's event loop. An I/O source on the pollable descriptor. */
#include "common.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

static int checked(int result, const char *what)
{
    if (result < 0)
        example_fail(what, strerror(-result));
    return result;
}

/* The library's errors are negative errnos, as sd-event's are: it logs one, and switches the source off. */
static int on_readable(sd_event_source *source, int fd, uint32_t events, void *inotify)
{
    (void)source, (void)fd, (void)events;
    example_woken();
    return (int)asyncinotify_dispatch(inotify, BATCH, example_event, NULL);
}

static int on_timer(sd_event_source *source, uint64_t due, void *unused)
{
    (void)due, (void)unused;
    example_tick();
    return sd_event_source_set_time_relative(source, (uint64_t)example_interval * 1000);
}

int main(int argc, char **argv)
{
    char **arguments = example_arguments(argc, argv, "PATH");
    sd_event *event = NULL;
    sd_event_source *readable = NULL, *timer = NULL;
    asyncinotify *inotify;
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL); /* sd-event reads them from a signalfd */

    inotify = example_open(arguments[0]);
    checked(sd_event_default(&event), "sd_event_default");
    checked(sd_event_add_io(event, &readable, asyncinotify_fd(inotify), EPOLLIN, on_readable, inotify),
            "sd_event_add_io");
    checked(sd_event_source_set_exit_on_failure(readable, 1), "sd_event_source_set_exit_on_failure");
    checked(sd_event_add_signal(event, NULL, SIGINT, NULL, NULL), "sd_event_add_signal"); /* NULL: it ends the loop */
    checked(sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL), "sd_event_add_signal");
    if (example_interval) {
        checked(sd_event_add_time_relative(event, &timer, CLOCK_MONOTONIC, (uint64_t)example_interval * 1000, 1, on_timer,
                                           NULL),
                "sd_event_add_time_relative");
        checked(sd_event_source_set_enabled(timer, SD_EVENT_ON), "sd_event_source_set_enabled");
    }

    checked(sd_event_loop(event), "sd_event_loop");

    sd_event_source_disable_unref(timer);
    sd_event_source_disable_unref(readable); /* out of the loop */
    sd_event_unref(event);
    asyncinotify_close(inotify);
    return EXIT_SUCCESS;
}
