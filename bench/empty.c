/* What it costs to ask an empty queue: get, get_events and dispatch against a bare read(2) that fails with EAGAIN. */
#include "build.h"

enum { CALLS = 20000, MAX_ROUNDS = 256 };

static asyncinotify *inotify[MAX_BUILDS];
static int raw;

static int never(asyncinotify *self, const asyncinotify_event *event, void *userdata)
{
    (void)self; (void)event; (void)userdata;
    die("an event from nowhere");
}

static void ask_bare(int which)
{
    static char buffer[64 * 1024] __attribute__((aligned(8)));
    (void)which;
    for (int i = 0; i < CALLS; i++)
        if (read(raw, buffer, sizeof buffer) != -1 || errno != EAGAIN) die("the queue is not empty");
}
static void ask_get(int which)
{
    const build *it = &builds[which];
    asyncinotify_event event;
    for (int i = 0; i < CALLS; i++) MUST(it, get(inotify[which], &event));
}
static void ask_get_events(int which)
{
    const build *it = &builds[which];
    asyncinotify_event events[64];
    for (int i = 0; i < CALLS; i++) MUST(it, get_events(inotify[which], events, 64));
}
static void ask_dispatch(int which)
{
    const build *it = &builds[which];
    for (int i = 0; i < CALLS; i++) MUST(it, dispatch(inotify[which], 0, never, NULL));
}

static const struct { const char *name; void (*ask)(int which); } kinds[] = {
    { "read", ask_bare }, { "get", ask_get }, { "get_events", ask_get_events }, { "dispatch", ask_dispatch },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

int main(void)
{
    static double ns[MAX_BUILDS][KINDS][MAX_ROUNDS];
    int rounds = quick() ? 7 : 41;

    load_builds();
    make_scratch(fast_folder());
    pin(allowed_cpu(1) >= 0 ? allowed_cpu(1) : allowed_cpu(0));
    raw = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (raw < 0 || inotify_add_watch(raw, scratch, IN_ALL_EVENTS) < 0) die("inotify: %s", strerror(errno));
    for (int which = 0; which < build_count; which++) {
        inotify[which] = open_instance(&builds[which]);
        MUST(&builds[which], add_watch(inotify[which], scratch, IN_ALL_EVENTS, NULL));
    }

    for (int round = -2; round < rounds; round++) {
        int order[MAX_BUILDS * KINDS];
        shuffle(order, build_count * KINDS);
        for (int i = 0; i < build_count * KINDS; i++) {
            int which = order[i] / KINDS, kind = order[i] % KINDS;
            double start = cpu_ns();
            kinds[kind].ask(which);
            double spent = (cpu_ns() - start) / CALLS;
            if (round >= 0) ns[which][kind][round] = spent;
        }
    }

    for (int kind = 1; kind < KINDS; kind++) {
        char what[80];
        snprintf(what, sizeof what, "empty queue: %s against read, CPU a call", kinds[kind].name);
        row_rounds(what, ns[NEW][kind], ns[NEW][0], build_count > 1 ? ns[BASE][kind] : NULL, (size_t)rounds, 1.05);
    }
    for (int which = 0; which < build_count; which++) builds[which].close(inotify[which]);
    return 0;
}
