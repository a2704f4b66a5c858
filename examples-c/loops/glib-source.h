/* A GSource for libasyncinotify. Copy glib-source.[ch] into your program. */
#ifndef GLIB_SOURCE_H
#define GLIB_SOURCE_H

#include <asyncinotify.h>
#include <glib.h>

G_BEGIN_DECLS

G_DEFINE_AUTOPTR_CLEANUP_FUNC(asyncinotify, asyncinotify_close)

/**
 * AsyncinotifySourceFunc:
 * @inotify: the instance; it may be used, but not be closed
 * @event: (transfer none): lives until the function returns; see asyncinotify_event_dup()
 * @user_data: what was given to g_source_set_callback()
 *
 * Called for each event of a watch that has no callback of its own.
 *
 * Returns: %G_SOURCE_CONTINUE, or %G_SOURCE_REMOVE to take the source out of its context; events not delivered by then stay
 *   with the instance
 */
typedef gboolean (*AsyncinotifySourceFunc)(asyncinotify *inotify, const asyncinotify_event *event, gpointer user_data);

/**
 * asyncinotify_source_new:
 * @inotify: (transfer full): the instance. The source closes it when its last reference is gone
 * @max: how many events may be delivered before other sources get their turn; 0: no limit
 *
 * Makes a source that is dispatched while there are events, with %G_PRIORITY_DEFAULT. Its callback, set with
 * g_source_set_callback() and G_SOURCE_FUNC(), is an #AsyncinotifySourceFunc.
 *
 * Returns: (transfer full): the source
 */
GSource *asyncinotify_source_new(asyncinotify *inotify, gsize max);

/**
 * asyncinotify_source_get_inotify:
 *
 * Returns: (transfer none): the instance, to add and remove watches
 */
asyncinotify *asyncinotify_source_get_inotify(GSource *source);

G_END_DECLS

#endif
