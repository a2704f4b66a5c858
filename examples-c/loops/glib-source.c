#include "glib-source.h"
#include <errno.h>

typedef struct {
    GSource source;
    asyncinotify *inotify;
    gsize max;
    gpointer tag; /* of the descriptor, from g_source_add_unix_fd() */
} AsyncinotifySource;

typedef struct {
    GSource *source;
    AsyncinotifySourceFunc function; /* may be NULL: then only watches' own callbacks are called */
    gpointer user_data;
    gboolean result;
} Delivery;

/* Whether there is something is for poll(2) to say, and a source that only has a descriptor sets no time-out. */
static gboolean prepare(GSource *source, gint *timeout)
{
    (void)source;
    *timeout = -1;
    return FALSE;
}

static gboolean check(GSource *source)
{
    return g_source_query_unix_fd(source, ((AsyncinotifySource *)source)->tag) != 0;
}

/* Stops after an event whose callback did not want more, or has destroyed the source. */
static int deliver(asyncinotify *inotify, const asyncinotify_event *event, void *userdata)
{
    Delivery *delivery = userdata;

    if (delivery->function)
        delivery->result = delivery->function(inotify, event, delivery->user_data);
    return delivery->result == G_SOURCE_REMOVE || g_source_is_destroyed(delivery->source);
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer user_data)
{
    AsyncinotifySource *self = (AsyncinotifySource *)source;
    Delivery delivery = {source, (AsyncinotifySourceFunc)(void (*)(void))callback, user_data, G_SOURCE_CONTINUE};
    intptr_t count = asyncinotify_dispatch(self->inotify, self->max, deliver, &delivery);

    /* Memory may be there at the next attempt, and another thread that takes events leaves the rest to us. */
    if (count < 0 && count != -ENOMEM && count != -EBUSY) {
        g_critical("%s", asyncinotify_last_error_message());
        return G_SOURCE_REMOVE;
    }
    return delivery.result;
}

/* The source is out of its context, which has let go of the descriptor. */
static void finalize(GSource *source)
{
    asyncinotify_close(((AsyncinotifySource *)source)->inotify);
}

GSource *asyncinotify_source_new(asyncinotify *inotify, gsize max)
{
    static GSourceFuncs functions = {.prepare = prepare, .check = check, .dispatch = dispatch, .finalize = finalize};
    GSource *source = g_source_new(&functions, sizeof(AsyncinotifySource));
    AsyncinotifySource *self = (AsyncinotifySource *)source;

    self->inotify = inotify;
    self->max = max;
    self->tag = g_source_add_unix_fd(source, asyncinotify_fd(inotify), G_IO_IN);
    g_source_set_static_name(source, "asyncinotify");
    return source;
}

asyncinotify *asyncinotify_source_get_inotify(GSource *source)
{
    return ((AsyncinotifySource *)source)->inotify;
}
