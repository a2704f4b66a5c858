/* What programs do with the library, a little of each. */
#include "faults.h"

enum { LIST = ASYNCINOTIFY_RECURSIVE_LIST_EXISTING, BACKGROUND = ASYNCINOTIFY_RECURSIVE_BACKGROUND };

/* One change of each kind, and takes what comes of it, now and then. */
static void change(struct world *world)
{
    make_dirs("t/new/1/2/3");
    write_file("t/new/1/file");
    take_all(world);
    write_file("t/a/x/file");
    rename_entry("t/f", "t/b/f");
    rename_entry("t/a/x", "t/b/x");
    make_dir("t/b/x/p/below");
    take_all(world);
    exchange_entries("t/b/x", "t/c");
    write_file("t/c/p/below/file");
    rename_entry("t/new/1", "out/1");
    rename_entry("out/o", "t/o");
    take_all(world);
    rename_entry("t/o/h", "t/o/q/h");
    remove_all("t/b/z");
    rename_entry("t/a/y", "t/new");
    make_dir("t/a/no");
    take_all(world);
}

WORKLOAD(opening)
{
    for (int flags = 0; flags < 4; flags++) {
        open_world(world, (flags & 1 ? ASYNCINOTIFY_INIT_CLOEXEC : 0) | (flags & 2 ? ASYNCINOTIFY_INIT_NONBLOCK : 0));
        asyncinotify_close(world->in);
    }
}

/* ---- plain watches ---- */

static asyncinotify_watch insist_on_watch(struct world *world, const char *path, uint32_t mask)
{
    asyncinotify_watch id = 0;
    INSIST(asyncinotify_add_watch(world->in, path, mask, &id));
    INSIST(asyncinotify_watch_set_userdata(world->in, id, &world->destroyed, count_destroyed));
    world->given++;
    return id;
}

/* How many events come with this mask and path. */
static int count_told(struct world *world, uint32_t mask, const char *path)
{
    asyncinotify_event event;
    int told = 0;
    faults_off();
    while (readable(world->in))
        if (OK(asyncinotify_get(world->in, &event)) == 1)
            told += (event.mask & ~(uint32_t)IN_ISDIR) == mask && event.path && !strcmp(event.path, path);
    return told;
}

static void use_plain_watches(struct world *world)
{
    asyncinotify_watch dir = insist_on_watch(world, "t/a", IN_CREATE), again;
    insist_on_watch(world, "t/f", IN_MODIFY | IN_ONESHOT);
    asyncinotify_watch goes = insist_on_watch(world, "t/b", ENTRIES);
    INSIST(asyncinotify_add_watch(world->in, "t/a", IN_DELETE | IN_MASK_ADD, &again));
    CHECK(again == dir);
    make_entry("t/a/1");
    write_file("t/f");
    take_all(world);
    remove_file("t/a/1");
    rename_entry("t/b/z", "t/c/z");
    insist_on_removal(world, goes);
    take_all(world);
    make_entry("t/a/2");
    CHECK_INT(count_told(world, IN_CREATE, "t/a/2"), 1);
}

WORKLOAD(plain_watches)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    use_plain_watches(world);
    finish(world->in);
}

WORKLOAD(plain_watches_of_a_blocking_instance)
{
    open_world(world, ASYNCINOTIFY_INIT_CLOEXEC);
    use_plain_watches(world);
    finish(world->in);
}

WORKLOAD(plain_watches_in_a_tree)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_tree(world, ENTRIES, 0);
    asyncinotify_watch inner = insist_on_watch(world, "t/a/x", IN_CREATE);
    insist_on_watch(world, "t/a", IN_CREATE | IN_ONESHOT);
    insist_on_watch(world, "t/a/x/g", IN_ATTRIB);
    make_entry("t/a/1");
    take_all(world);
    insist_on_watch(world, "t/a", IN_CREATE | IN_ONESHOT);
    insist_on_removal(world, inner);
    change(world);
    end_world(world);
}

/* ---- trees ---- */

WORKLOAD(plain_tree)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_tree(world, ENTRIES, 0);
    change(world);
    end_world(world);
}

WORKLOAD(listed_tree)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_tree(world, ENTRIES | IN_CLOSE_WRITE | IN_ATTRIB, LIST);
    change(world);
    end_world(world);
}

WORKLOAD(tree_that_hears_reading)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_tree(world, ENTRIES | IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE, LIST);
    change(world);
    end_world(world);
}

WORKLOAD(background_tree)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_tree(world, ENTRIES, BACKGROUND);
    change(world);
    end_world(world);
}

WORKLOAD(listed_background_tree_on_one_filesystem)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_tree(world, ENTRIES, LIST | BACKGROUND | ASYNCINOTIFY_RECURSIVE_ONE_FILESYSTEM);
    change(world);
    end_world(world);
}

WORKLOAD(filtered_tree)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_filtered_tree(world, ENTRIES, LIST);
    change(world);
    end_world(world);
}

WORKLOAD(tree_whose_entries_have_no_kind)
{
    hide_kinds();
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_tree(world, ENTRIES, LIST);
    change(world);
    end_world(world);
}

/* More is queued than one read takes. */
WORKLOAD(long_queue)
{
    enum { FILES = 400 };
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_tree(world, ENTRIES, LIST);
    make_dir("t/d");
    for (int i = 0; i < FILES; i++)
        make_entry(text("t/c/%0200d", i));
    make_dir("t/c/last");
    take_all(world);
    end_world(world);
}

WORKLOAD(listed_tree_without_proc)
{
    hide_proc();
    workload_listed_tree(world);
}

static void overflow(struct world *world)
{
    take_all(world);
    make_dirs("t/lost/1/2");
    rename_entry("t/b", "t/a/b");
    remove_all("t/a/x");
    write_file("t/a/b/file");
    overflow_at_next_read();
    take_all(world);
    rename_entry("t/a/b", "t/lost/b");
    rename_entry("t/lost/1", "out/1");
    overflow_at_next_read();
    make_dir("t/d");
    take_all(world);
}

WORKLOAD(overflow_of_a_plain_tree)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_tree(world, ENTRIES, 0);
    overflow(world);
    end_world(world);
}

WORKLOAD(overflow_of_a_listed_tree)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_tree(world, ENTRIES, LIST);
    overflow(world);
    end_world(world);
}

WORKLOAD(overflow_of_plain_watches)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    insist_on_watch(world, "t/a", IN_CREATE);
    make_entry("t/a/1");
    overflow_at_next_read();
    take_all(world);
    make_entry("t/a/2");
    CHECK_INT(count_told(world, IN_CREATE, "t/a/2"), 1);
    finish(world->in);
}

/* ---- ends ---- */

WORKLOAD(removal)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    asyncinotify_watch inner = insist_on_watch(world, "t/a/x", IN_CREATE);
    add_tree(world, ENTRIES, 0);
    asyncinotify_watch other = world->tree;
    INSIST(asyncinotify_add_recursive(world->in, "t/a", IN_CREATE, NULL, &other));
    make_dirs("t/new/1");
    insist_on_removal(world, world->tree);
    take_all(world);
    make_entry("t/a/x/1");
    bool whole = OK(asyncinotify_watch_each_trouble(world->in, other, NULL, NULL)) == 0;
    CHECK(count_told(world, IN_CREATE, "t/a/x/1") == 2 || !whole);
    insist_on_removal(world, other);
    insist_on_removal(world, inner);
    finish(world->in);
}

WORKLOAD(end_of_the_root)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_tree(world, ENTRIES | IN_DELETE_SELF | IN_MOVE_SELF, 0);
    make_dirs("t/new/1");
    remove_all("t");
    heal(world);
    CHECK_INT(OK(asyncinotify_watches(world->in, NULL, 0)), 0);
    finish(world->in);
}

WORKLOAD(moved_root)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    world->moves_root = true;
    add_tree(world, ENTRIES | IN_MOVE_SELF, LIST);
    rename_entry("t", "u");
    make_dirs("u/new/1");
    take_all(world);
    rename_entry("u", "t");
    change(world);
    end_world(world);
}

WORKLOAD(moved_root_without_proc)
{
    hide_proc();
    workload_moved_root(world);
}

/* Nothing is taken before: scans, events and a repair are under way. */
WORKLOAD(closing_at_work)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    insist_on_watch(world, "t/a/x", ENTRIES);
    add_filtered_tree(world, ENTRIES, LIST | BACKGROUND);
    make_dirs("t/new/1");
    rename_entry("t/a", "out/a");
    asyncinotify_event event;
    for (int i = 0; i < 3; i++)
        TRY(asyncinotify_get(world->in, &event));
    asyncinotify_close(world->in);
}

/* ---- ways of taking ---- */

static int apply_called(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    (void)in;
    apply(userdata, event);
    return 0;
}

static void take_in_each_way(struct world *world)
{
    asyncinotify_event events[3];
    make_dirs("t/new/1");
    INSIST(asyncinotify_set_sync_timeout(world->in, 100));
    if (TRY_TO_WAIT(asyncinotify_sync_get(world->in, events)) == 1)
        apply(world, events);
    write_file("t/new/file");
    intptr_t got = TRY(asyncinotify_get_events(world->in, events, 3));
    for (intptr_t i = 0; i < got; i++)
        apply(world, &events[i]);
    rename_entry("t/a/x", "t/x");
    TRY(asyncinotify_dispatch(world->in, 1, apply_called, world));
    TRY(asyncinotify_dispatch(world->in, 0, apply_called, world));
    rename_entry("t/c", "out/c");
    INSIST(asyncinotify_set_sync_timeout(world->in, 0));
    TRY_TO_WAIT(asyncinotify_run(world->in, apply_called, world));
    INSIST(asyncinotify_wake(world->in));
    TRY_WOKEN(asyncinotify_run(world->in, apply_called, world));
    take_all(world);
}

WORKLOAD(ways_of_taking)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_tree(world, ENTRIES, LIST);
    take_in_each_way(world);
    end_world(world);
}

WORKLOAD(ways_of_taking_from_a_blocking_instance)
{
    open_world(world, ASYNCINOTIFY_INIT_CLOEXEC);
    add_tree(world, ENTRIES, 0);
    take_in_each_way(world);
    end_world(world);
}

WORKLOAD(dump)
{
    open_world(world, ASYNCINOTIFY_INIT_DEFAULT);
    add_tree(world, ENTRIES, 0);
    int file = (int)SYS(open("dump", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    INSIST(asyncinotify_debug_dump(world->in, file));
    SYS(close(file));
    end_world(world);
}
