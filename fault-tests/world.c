/* What each workload must hold, with faults and without. */
#include "faults.h"

#include <dirent.h>

/* How often the descriptor may be readable for nothing, one after the other. */
enum { IDLE_TURNS = 200 };

void count_destroyed(void *userdata)
{
    ++*(int *)userdata;
}

int waits;

/* Whether the faults may come to this error. A signal is no reason to fail, but where somebody waits. A path that leads elsewhere
   leads to nothing that is meant, and a watch that the kernel does not know has ended. */
static bool is_due(int error)
{
    bool elsewhere = may_come_to(ELOOP) || may_come_to(ENOTDIR) || may_come_to(ESTALE) || may_come_to(EINVAL);
    return (may_come_to(error) && error != EINTR) || (elsewhere && error == ENOENT);
}

intptr_t may_fail(const char *file, int line, const char *what, intptr_t result)
{
    static long known;
    bool injected = leave_surroundings() || faults_injected() > known;
    known = faults_injected();
    bool interrupted = result == -EINTR && (waits == WOKEN || (waits && injected));
    waits = 0;
    if (result >= 0 || interrupted)
        return result;
    if (!injected || !is_due((int)-result))
        test_fail(file, line, "%s came to %s, but that is not what failed", what, strerror((int)-result));
    if (!*asyncinotify_last_error_message())
        test_fail(file, line, "%s failed without a message", what);
    return result;
}

/* ---- set up ---- */

void open_world(struct world *world, uint32_t init_flags)
{
    int before = open_fds();
    do
        for (int tries = 0; TRY(asyncinotify_new(init_flags, &world->in)) < 0; tries++) {
            CHECK_INT(open_fds(), before);
            if (tries == 2)
                let_pass();
        }
    while (0);
}

static bool is_refused(const char *name)
{
    return !strncmp(name, "no", 2);
}

static int refuse_no(asyncinotify *in, const char *path, size_t path_len, void *userdata)
{
    struct world *world = userdata;
    CHECK(in == world->in);
    CHECK_INT(strlen(path), path_len);
    return !is_refused(strrchr(path, '/') + 1);
}

static void destroy_filter(void *userdata)
{
    ((struct world *)userdata)->destroyed++;
}

static void add(struct world *world, uint32_t mask, const asyncinotify_recursive_options *options)
{
    world->mask = mask;
    world->flags = options->flags;
    world->is_filtered = options->filter;
    if ((mask & ENTRIES) == ENTRIES) {
        world->replica = replica_new("t");
        replica_will_look(world->replica, options->flags & ASYNCINOTIFY_RECURSIVE_BACKGROUND);
        if (!(options->flags & ASYNCINOTIFY_RECURSIVE_LIST_EXISTING))
            replica_scan(world->replica);
    }
    int before = kernel_watches(world->in), destroyed = world->destroyed;
    intptr_t watches = TRY(asyncinotify_watches(world->in, NULL, 0)), left;
    for (int tries = 0; TRY(asyncinotify_add_recursive(world->in, "t", mask, options, &world->tree)) < 0; tries++) {
        CHECK_INT(kernel_watches(world->in), before);
        left = TRY(asyncinotify_watches(world->in, NULL, 0));
        CHECK(left == watches || left < 0 || watches < 0);
        CHECK_INT(world->destroyed, destroyed);
        if (tries == 2)
            let_pass();
    }
    if (options->filter)
        world->given++;
    INSIST(asyncinotify_watch_set_userdata(world->in, world->tree, &world->destroyed, count_destroyed));
    world->given++;
}

void add_tree(struct world *world, uint32_t mask, uint32_t flags)
{
    asyncinotify_recursive_options options = {.size = sizeof options, .flags = flags};
    add(world, mask, &options);
}

void add_filtered_tree(struct world *world, uint32_t mask, uint32_t flags)
{
    asyncinotify_recursive_options options = {
        .size = sizeof options,
        .flags = flags,
        .filter = refuse_no,
        .filter_userdata = world,
        .filter_destroy = destroy_filter,
    };
    add(world, mask, &options);
}

/* A watch that the kernel has ended can't be removed. */
void insist_on_removal(struct world *world, asyncinotify_watch id)
{
    for (int tries = 0;; tries++) {
        intptr_t removed = TRY(asyncinotify_rm_watch(world->in, id));
        if (removed == 0 || removed == -ENOENT)
            return;
        if (tries == 2)
            let_pass();
    }
}

/* ---- events ---- */

void apply(struct world *world, const asyncinotify_event *event)
{
    if (getenv("FAULTS_EVENTS"))
        dprintf(STDOUT_FILENO, "    %s\n", event_text(event));
    bool moved = world->moves_root && event->error == ENOENT;
    if (event->flags & ASYNCINOTIFY_EVENT_ERROR && event->error != EAGAIN && !moved && !is_due(event->error))
        FAIL("%s, but that is not what failed", event_text(event));
    if (event->watch != world->tree && event->watch)
        return;
    if (world->replica)
        replica_apply(world->replica, event);
    if (event->flags & ASYNCINOTIFY_EVENT_SYNC_END && !(world->flags & ASYNCINOTIFY_RECURSIVE_LIST_EXISTING))
        world->told_anew = true;
}

/* False if the library keeps failing. */
static bool take_what_there_is(struct world *world)
{
    asyncinotify_event event;
    int idle = 0, failed = 0;
    while (readable(world->in)) {
        intptr_t got = TRY(asyncinotify_get(world->in, &event));
        if (got < 0 && ++failed == 3)
            return false;
        if (got == 1)
            apply(world, &event);
        idle = got == 1 ? 0 : idle + 1;
        if (idle == IDLE_TURNS)
            FAIL("%d calls came to nothing, and the descriptor is readable all the while", idle);
    }
    if (TRY(asyncinotify_get(world->in, &event)) > 0)
        FAIL("%s comes from a descriptor that is not readable", event_text(&event));
    return true;
}

void take_all(struct world *world)
{
    while (take_what_there_is(world) && world->told_anew) {
        suspend_faults(true);
        if (world->replica)
            replica_look_anew(world->replica, world->in, world->tree);
        suspend_faults(false);
        world->told_anew = false;
    }
}

/* ---- afterwards ---- */

/* Until nothing is to come, in whatever time. */
static void come_to_rest(struct world *world)
{
    enum { TIMES = 20 };
    take_all(world);
    for (int times = 0; let_time_pass(); times++) {
        if (times == TIMES)
            FAIL("a timer has run out %d times, and still something is to be tried again", times);
        wait_readable(world->in);
        take_all(world);
    }
}

/* Something happens in each directory, and its permissions are changed. */
static void touch_each(const char *path, int round, bool is_filtered)
{
    SYS(chmod(path, round % 2 ? 0755 : 0750));
    make_entry(text("%s/touched-%d", path, round));
    DIR *dir = opendir(path);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && !(is_filtered && is_refused(entry->d_name))) {
            char below[PATH_MAX];
            snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
            touch_each(below, round, is_filtered);
        }
    closedir(dir);
}

void remove_touched(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            char below[PATH_MAX];
            snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
            remove_touched(below);
        } else if (!strncmp(entry->d_name, "touched-", strlen("touched-"))) {
            remove_file("%s/%s", path, entry->d_name);
        }
    closedir(dir);
}

static void check_world(struct world *world)
{
    if (!world->tree || asyncinotify_watch_is_active(world->in, world->tree) != 1)
        return;
    if (world->replica) {
        replica_check_troubles(world->replica, world->in, world->tree);
        CHECK_REPLICA(world->replica);
    }
}

void heal(struct world *world)
{
    faults_off();
    come_to_rest(world);
    check_world(world);
    if (!world->tree || asyncinotify_watch_is_active(world->in, world->tree) != 1)
        return;
    for (int round = 0; round < 2; round++) {
        touch_each("t", round, world->is_filtered);
        come_to_rest(world);
        check_world(world);
    }
    CHECK_INT(OK(asyncinotify_watch_each_trouble(world->in, world->tree, NULL, NULL)), 0);
    if (!world->is_filtered)
        CHECK_DIRECTORIES(world->in, world->tree, "t");
}

void end_world(struct world *world)
{
    heal(world);
    CHECK_INT(asyncinotify_watch_is_active(world->in, world->tree), 1);
    finish(world->in);
}
