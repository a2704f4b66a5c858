/* glib-watch: GLib. A GSource (glib-source.[ch], to be copied) in a GMainLoop. */
#include "common.h"
#include "glib-source.h"
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>

static gint descriptor;

static gboolean on_event(asyncinotify *inotify, const asyncinotify_event *event, gpointer user_data)
{
    (void)user_data;
    example_event(inotify, event, NULL);
    return G_SOURCE_CONTINUE;
}

static gboolean on_timeout(gpointer user_data)
{
    (void)user_data;
    example_tick();
    return G_SOURCE_CONTINUE;
}

/* Waits as GLib does by itself, and counts for the self-test. A program of yours has no need of it. */
static gint counting_poll(GPollFD *fds, guint count, gint timeout)
{
    gint result = g_poll(fds, count, timeout);

    for (guint i = 0; i < count; i++)
        if (fds[i].fd == descriptor && fds[i].revents)
            example_woken();
    return result;
}

static gboolean on_signal(gpointer loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
    char **arguments = example_arguments(argc, argv, "PATH");
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_autoptr(GSource) source = asyncinotify_source_new(example_open(arguments[0]), BATCH);

    g_source_set_callback(source, G_SOURCE_FUNC(on_event), NULL, NULL);
    g_source_attach(source, NULL);
    if (example_interval)
        g_timeout_add((guint)example_interval, on_timeout, NULL);
    descriptor = asyncinotify_fd(asyncinotify_source_get_inotify(source));
    g_main_context_set_poll_func(NULL, counting_poll);
    g_unix_signal_add(SIGINT, on_signal, loop);
    g_unix_signal_add(SIGTERM, on_signal, loop);

    g_main_loop_run(loop);

    g_source_destroy(source); /* out of the loop; the last reference closes the instance */
    return EXIT_SUCCESS;
}
