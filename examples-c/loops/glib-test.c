/* glib-test: what a GLib program expects of a GSource, of the one in glib-source.c. */
#include "glib-source.h"
#include <errno.h>
#include <glib/gstdio.h>

typedef struct {
    char *folder;
    GMainContext *context;
    asyncinotify *inotify;
    GSource *source;
    GString *log; /* what was called, in order */
    guint destroyed;
    gboolean result;
    void (*inside)(gpointer fixture); /* called in the callback */
} Fixture;

static void touch(Fixture *fixture, const char *name)
{
    g_autofree char *path = g_build_filename(fixture->folder, name, NULL);

    g_assert_true(g_file_set_contents_full(path, "", 0, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

static gboolean on_event(asyncinotify *inotify, const asyncinotify_event *event, gpointer user_data)
{
    Fixture *fixture = user_data;

    g_assert_true(inotify == fixture->inotify);
    g_string_append_printf(fixture->log, "%s ", event->name ? event->name : "-");
    if (fixture->inside)
        fixture->inside(fixture);
    return fixture->result;
}

static void on_destroy(gpointer user_data) { ((Fixture *)user_data)->destroyed++; }

static gboolean on_idle(gpointer user_data)
{
    g_string_append(((Fixture *)user_data)->log, "idle ");
    return G_SOURCE_CONTINUE;
}

static void add_idle(Fixture *fixture, int priority)
{
    g_autoptr(GSource) idle = g_idle_source_new();

    g_source_set_callback(idle, on_idle, fixture, NULL);
    g_source_set_priority(idle, priority);
    g_source_attach(idle, fixture->context);
}

static void iterate(Fixture *fixture, int times)
{
    while (times-- > 0)
        g_main_context_iteration(fixture->context, FALSE);
}

static void expect(Fixture *fixture, const char *log)
{
    g_assert_cmpstr(fixture->log->str, ==, log);
    g_string_truncate(fixture->log, 0);
}

static void set_up(Fixture *fixture, gconstpointer max)
{
    fixture->folder = g_dir_make_tmp("asyncinotify-glib.XXXXXX", NULL);
    fixture->context = g_main_context_new();
    fixture->log = g_string_new(NULL);
    fixture->result = G_SOURCE_CONTINUE;
    g_assert_cmpint(asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &fixture->inotify), ==, 0);
    g_assert_cmpint(asyncinotify_add_watch(fixture->inotify, fixture->folder, ASYNCINOTIFY_CREATE, NULL), ==, 0);
    fixture->source = asyncinotify_source_new(fixture->inotify, GPOINTER_TO_SIZE(max));
    g_source_set_callback(fixture->source, G_SOURCE_FUNC(on_event), fixture, on_destroy);
    g_source_attach(fixture->source, fixture->context);
}

static void tear_down(Fixture *fixture, gconstpointer max)
{
    const char *name;
    GDir *folder;

    (void)max;
    if (fixture->source) {
        g_source_destroy(fixture->source);
        g_source_unref(fixture->source);
    }
    g_main_context_unref(fixture->context);
    g_assert_cmpuint(fixture->destroyed, ==, 1);
    g_assert_cmpint(asyncinotify_fd(fixture->inotify), ==, -EINVAL); /* closed with the last reference */
    folder = g_dir_open(fixture->folder, 0, NULL);
    while ((name = g_dir_read_name(folder))) {
        g_autofree char *path = g_build_filename(fixture->folder, name, NULL);
        g_unlink(path);
    }
    g_dir_close(folder);
    g_rmdir(fixture->folder);
    g_string_free(fixture->log, TRUE);
    g_free(fixture->folder);
}

static void at_most_max_events_a_dispatch(Fixture *fixture, gconstpointer max)
{
    (void)max;
    touch(fixture, "a");
    touch(fixture, "b");
    touch(fixture, "c");
    iterate(fixture, 1);
    expect(fixture, "a b ");
    iterate(fixture, 1);
    expect(fixture, "c ");
    iterate(fixture, 2);
    expect(fixture, "");
}

static void priorities_are_kept(Fixture *fixture, gconstpointer max)
{
    (void)max;
    add_idle(fixture, G_PRIORITY_DEFAULT);
    g_source_set_priority(fixture->source, G_PRIORITY_LOW);
    touch(fixture, "a");
    iterate(fixture, 2);
    expect(fixture, "idle idle ");
    g_source_set_priority(fixture->source, G_PRIORITY_HIGH);
    g_assert_cmpint(g_source_get_priority(fixture->source), ==, G_PRIORITY_HIGH);
    iterate(fixture, 2);
    expect(fixture, "a idle ");
    g_source_set_priority(fixture->source, G_PRIORITY_DEFAULT);
    touch(fixture, "b");
    iterate(fixture, 1); /* both in one round; which is first is GLib's affair */
    g_assert_nonnull(strstr(fixture->log->str, "b "));
    g_assert_nonnull(strstr(fixture->log->str, "idle "));
}

static void remove_ends_it_and_keeps_the_rest(Fixture *fixture, gconstpointer max)
{
    asyncinotify_event event;

    (void)max;
    touch(fixture, "a");
    touch(fixture, "b");
    fixture->result = G_SOURCE_REMOVE;
    iterate(fixture, 3);
    expect(fixture, "a ");
    g_assert_true(g_source_is_destroyed(fixture->source));
    g_assert_cmpint(asyncinotify_get(asyncinotify_source_get_inotify(fixture->source), &event), ==, 1);
    g_assert_cmpstr(event.name, ==, "b");
}

static void drop(gpointer user_data)
{
    Fixture *fixture = user_data;

    g_source_destroy(fixture->source);
    g_clear_pointer(&fixture->source, g_source_unref);
}

/* GLib's own reference is the last one, and goes when the dispatch is over. */
static void destroyed_in_its_callback(Fixture *fixture, gconstpointer max)
{
    (void)max;
    fixture->inside = drop;
    touch(fixture, "a");
    touch(fixture, "b");
    iterate(fixture, 3);
    expect(fixture, "a ");
    g_assert_cmpint(asyncinotify_fd(fixture->inotify), ==, -EINVAL);
}

static void iterate_inside(gpointer user_data)
{
    Fixture *fixture = user_data;

    fixture->inside = NULL;
    g_string_append(fixture->log, "( ");
    iterate(fixture, 2);
    g_string_append(fixture->log, ") ");
}

static void a_loop_in_its_callback(Fixture *fixture, gconstpointer max)
{
    (void)max;
    fixture->inside = iterate_inside;
    touch(fixture, "a");
    touch(fixture, "b");
    iterate(fixture, 2);
    expect(fixture, "a ( ) b ");
    g_source_set_can_recurse(fixture->source, TRUE);
    fixture->inside = iterate_inside;
    touch(fixture, "c");
    touch(fixture, "d");
    iterate(fixture, 2);
    expect(fixture, "c ( d ) ");
}

static gpointer add_and_touch(gpointer user_data)
{
    Fixture *fixture = user_data;
    g_autofree char *path = g_build_filename(fixture->folder, "later", NULL);

    touch(fixture, "later");
    g_assert_cmpint(asyncinotify_add_watch(fixture->inotify, path, ASYNCINOTIFY_ATTRIB, NULL), ==, 0);
    g_assert_cmpint(g_chmod(path, 0700), ==, 0);
    return NULL;
}

static void another_thread_adds_while_it_waits(Fixture *fixture, gconstpointer max)
{
    g_autoptr(GThread) thread = g_thread_new("adds", add_and_touch, fixture);

    (void)max;
    while (!strstr(fixture->log->str, "- ")) /* ATTRIB is about the watch itself: no name */
        g_main_context_iteration(fixture->context, TRUE);
    expect(fixture, "later - ");
    g_thread_join(g_steal_pointer(&thread));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name, max) g_test_add("/source/" #name, Fixture, GSIZE_TO_POINTER(max), set_up, name, tear_down)
    TEST(at_most_max_events_a_dispatch, 2);
    TEST(priorities_are_kept, 0);
    TEST(remove_ends_it_and_keeps_the_rest, 0);
    TEST(destroyed_in_its_callback, 0);
    TEST(a_loop_in_its_callback, 0);
    TEST(another_thread_adds_while_it_waits, 0);
    return g_test_run();
}
