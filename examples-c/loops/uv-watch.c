/* uv-watch: libuv. A uv_poll_t on the pollable descriptor. */
#include "common.h"
#include <signal.h>
#include <stdlib.h>
#include <uv.h>

static uv_poll_t readable;
static uv_signal_t interrupt, terminate;
static uv_timer_t timer;

static void checked(int result, const char *what)
{
    if (result < 0)
        example_fail(what, uv_strerror(result));
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    (void)events;
    example_woken();
    checked(status, "uv_poll");
    if (asyncinotify_dispatch(handle->data, BATCH, example_event, NULL) < 0)
        example_fail("dispatch", asyncinotify_last_error_message());
}

static void on_timer(uv_timer_t *handle)
{
    (void)handle;
    example_tick();
}

/* First libuv lets go of the descriptor, then it is closed. */
static void on_readable_closed(uv_handle_t *handle)
{
    asyncinotify_close(handle->data);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    if (uv_is_closing((uv_handle_t *)handle))
        return; /* both signals came */
    uv_close((uv_handle_t *)&readable, on_readable_closed);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_close((uv_handle_t *)&interrupt, NULL);
    uv_close((uv_handle_t *)&terminate, NULL);
}

int main(int argc, char **argv)
{
    char **arguments = example_arguments(argc, argv, "PATH");
    asyncinotify *inotify = example_open(arguments[0]);
    uv_loop_t loop;

    checked(uv_loop_init(&loop), "uv_loop_init");
    checked(uv_poll_init(&loop, &readable, asyncinotify_fd(inotify)), "uv_poll_init");
    readable.data = inotify;
    checked(uv_poll_start(&readable, UV_READABLE, on_readable), "uv_poll_start");

    checked(uv_timer_init(&loop, &timer), "uv_timer_init");
    if (example_interval)
        checked(uv_timer_start(&timer, on_timer, (uint64_t)example_interval, (uint64_t)example_interval),
                "uv_timer_start");
    checked(uv_signal_init(&loop, &interrupt), "uv_signal_init");
    checked(uv_signal_start(&interrupt, on_signal, SIGINT), "uv_signal_start");
    checked(uv_signal_init(&loop, &terminate), "uv_signal_init");
    checked(uv_signal_start(&terminate, on_signal, SIGTERM), "uv_signal_start");

    checked(uv_run(&loop, UV_RUN_DEFAULT), "uv_run"); /* until no handle is left */
    checked(uv_loop_close(&loop), "uv_loop_close");
    return EXIT_SUCCESS;
}
