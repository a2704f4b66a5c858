/* What it costs to ask an empty queue: get, get_events and dispatch against a bare read(2) that fails with EAGAIN. */
#include "bench.h"
#include <asyncinotify.h>

enum { CALLS = 20000, MAX_ROUNDS = 256 };

static asyncinotify *inotify;
static int raw;

static int never(asyncinotify *self, const asyncinotify_event *event, void *userdata)
{
    (void)self; (void)event; (void)userdata;
    die("an event from nowhere");
}

static void ask_bare(void)
{
    static char buffer[64 * 1024] __attribute__((aligned(8)));
    for (int i = 0; i < CALLS; i++)
        if (read(raw, buffer, sizeof buffer) != -1 || errno != EAGAIN) die("the queue is not empty");
}
static void ask_get(void)
{
    asyncinotify_event event;
    for (int i = 0; i < CALLS; i++)
        if (asyncinotify_get(inotify, &event) != 0) die("get: %s", asyncinotify_last_error_message());
}
static void ask_get_events(void)
{
    asyncinotify_event events[64];
    for (int i = 0; i < CALLS; i++)
        if (asyncinotify_get_events(inotify, events, 64) != 0) die("get_events: %s", asyncinotify_last_error_message());
}
static void ask_dispatch(void)
{
    for (int i = 0; i < CALLS; i++)
        if (asyncinotify_dispatch(inotify, 0, never, NULL) != 0) die("dispatch: %s", asyncinotify_last_error_message());
}

static const struct { const char *name; void (*ask)(void); } kinds[] = {
    { "read", ask_bare }, { "get", ask_get }, { "get_events", ask_get_events }, { "dispatch", ask_dispatch },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

int main(void)
{
    static double ns[KINDS][MAX_ROUNDS];
    int rounds = quick() ? 7 : 41;

    make_scratch(fast_folder());
    pin(allowed_cpu(1) >= 0 ? allowed_cpu(1) : allowed_cpu(0));
    raw = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (raw < 0 || inotify_add_watch(raw, scratch, IN_ALL_EVENTS) < 0) die("inotify: %s", strerror(errno));
    if (asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &inotify) ||
        asyncinotify_add_watch(inotify, scratch, IN_ALL_EVENTS, NULL)) die("%s", asyncinotify_last_error_message());

    for (int round = -2; round < rounds; round++) {
        int order[KINDS];
        shuffle(order, KINDS);
        for (int i = 0; i < KINDS; i++) {
            double start = cpu_ns();
            kinds[order[i]].ask();
            double spent = (cpu_ns() - start) / CALLS;
            if (round >= 0) ns[order[i]][round] = spent;
        }
    }

    double ratios[KINDS];
    for (int i = 1; i < KINDS; i++) ratios[i] = median_ratio(ns[i], ns[0], (size_t)rounds);
    double baseline = median(ns[0], (size_t)rounds);
    for (int i = 1; i < KINDS; i++) {
        char what[80];
        snprintf(what, sizeof what, "empty queue: %s against read, CPU a call", kinds[i].name);
        row_ratio(what, median(ns[i], (size_t)rounds), baseline, ratios[i], 0);
    }
    asyncinotify_close(inotify);
    return 0;
}
