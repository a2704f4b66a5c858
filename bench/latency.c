/* From a write(2) to the callback: epoll on the pollable fd and dispatch, against epoll on a raw inotify fd and read(2).
 *
 * A producer thread takes the time and writes to a file in a watched directory; the consumer, asleep in epoll_wait,
 * takes the time when it has the event. Blocks of samples alternate in random order. Twice: with the producer on another
 * CPU (as programs run), and with both on one CPU (no interrupt between CPUs in it: our share shows undiluted).
 * A third reader has the raw fd inside an epoll fd of its own, and no library: what it costs the kernel that one
 * pollable fd stands for several things.
 */
#include "build.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>

/* One kind for each build, from OURS on. */
enum { BARE, NESTED, OURS, KINDS = OURS + MAX_BUILDS, BLOCK = 250, MAX_BLOCKS = 512 };

static asyncinotify *inotify[MAX_BUILDS];
static int kinds;
static int raw[KINDS], epoll_fd[KINDS], file_fd[KINDS];

static atomic_int request;              /* the kind the consumer is about to wait for, plus one; -1: the end */
static _Atomic double stamp;
static int producer_cpu, pause_ns;

static void *produce(void *unused)
{
    (void)unused;
    pin(producer_cpu);
    for (;;) {
        int kind;
        while ((kind = atomic_load(&request)) == 0) if (!pause_ns) sched_yield();
        if (kind < 0) return NULL;
        atomic_store(&request, 0);
        for (double start = wall_ns(); wall_ns() - start < pause_ns;) {}   /* until the consumer is asleep */
        atomic_store(&stamp, wall_ns());
        if (pwrite(file_fd[kind - 1], "x", 1, 0) != 1) die("write: %s", strerror(errno));
    }
}

static double arrived;
static int on_event(asyncinotify *self, const asyncinotify_event *event, void *userdata)
{
    (void)self; (void)userdata;
    arrived = wall_ns();
    if (!(event->mask & IN_MODIFY) || !event->path) die("not the event that was made");
    return 0;
}

static double sample(int kind)
{
    static char buffer[64 * 1024] __attribute__((aligned(8)));
    struct epoll_event ready;
    atomic_store(&request, kind + 1);
    if (epoll_wait(epoll_fd[kind], &ready, 1, 10000) != 1) die("no wake-up within 10 s");
    if (kind >= OURS) {
        const build *it = &builds[kind - OURS];
        if (it->dispatch(inotify[kind - OURS], 0, on_event, NULL) != 1) die("dispatch: %s", it->last_error_message());
    } else {
        ssize_t got = read(raw[kind], buffer, sizeof buffer);
        arrived = wall_ns();
        if (got <= 0 || !(((struct inotify_event *)buffer)->mask & IN_MODIFY)) die("not the event that was made");
    }
    return arrived - atomic_load(&stamp);
}

static void measure(const char *title, int cpu_of_producer, int cpu_of_consumer, int pause, int blocks, double goal, double cpu_goal)
{
    static double block_median[KINDS][MAX_BLOCKS], block_cpu[KINDS][MAX_BLOCKS], all[KINDS][MAX_BLOCKS * BLOCK];
    pthread_t producer;
    char what[120];

    producer_cpu = cpu_of_producer;
    pause_ns = pause;
    pin(cpu_of_consumer);
    if (pthread_create(&producer, NULL, produce, NULL)) die("pthread_create");
    for (int block = -2; block < blocks; block++) {
        int order[KINDS];
        shuffle(order, kinds);
        for (int i = 0; i < kinds; i++) {
            int kind = order[i];
            double samples[BLOCK], cpu = thread_cpu_ns();
            for (int n = 0; n < BLOCK; n++) samples[n] = sample(kind);
            cpu = thread_cpu_ns() - cpu;
            if (block < 0) continue;
            memcpy(&all[kind][block * BLOCK], samples, sizeof samples);
            block_median[kind][block] = median(samples, BLOCK);
            block_cpu[kind][block] = cpu / BLOCK;
        }
    }
    atomic_store(&request, -1);
    pthread_join(producer, NULL);

    size_t n = (size_t)blocks;
    double late[KINDS];
    for (int kind = 0; kind < kinds; kind++) late[kind] = quantile(all[kind], n * BLOCK, 0.99);
    for (int kind = OURS; kind >= NESTED; kind--) {
        const char *name = kind == NESTED ? ", raw fd inside another epoll" : "";
        int base = kind == OURS && build_count > 1 ? OURS + BASE : 0;
        snprintf(what, sizeof what, "wake-up latency, %s%s: median", title, name);
        row_rounds(what, block_median[kind], block_median[BARE], base ? block_median[base] : NULL, n, kind == OURS ? goal : 0);
        snprintf(what, sizeof what, "wake-up latency, %s%s: 99th percentile", title, name);
        row_ratios(what, late[kind], late[BARE], late[kind] / late[BARE], base ? late[base] / late[BARE] : 0,
                   base ? late[kind] / late[base] : 0, 0);
        snprintf(what, sizeof what, "wake-up and one event, %s%s: consumer's CPU", title, name);
        row_rounds(what, block_cpu[kind], block_cpu[BARE], base ? block_cpu[base] : NULL, n, kind == OURS ? cpu_goal : 0);
    }
}

static void wait_on(int kind, int fd)
{
    struct epoll_event event = { .events = EPOLLIN };
    epoll_fd[kind] = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd[kind] < 0 || epoll_ctl(epoll_fd[kind], EPOLL_CTL_ADD, fd, &event)) die("epoll: %s", strerror(errno));
}

static void make_file(int kind, const char *directory_name, char *directory, size_t size)
{
    char path[300];
    snprintf(directory, size, "%.200s/%s", scratch, directory_name);
    if (mkdir(directory, 0700)) die("%s: %s", directory, strerror(errno));
    snprintf(path, sizeof path, "%s/file", directory);
    file_fd[kind] = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (file_fd[kind] < 0) die("%s: %s", path, strerror(errno));
}

static void watch_raw(int kind, const char *name)
{
    char directory[256];
    make_file(kind, name, directory, sizeof directory);
    raw[kind] = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (raw[kind] < 0 || inotify_add_watch(raw[kind], directory, IN_MODIFY) < 0) die("inotify: %s", strerror(errno));
}

int main(void)
{
    char directory[256];
    int blocks = quick() ? 12 : 100;

    load_builds();
    make_scratch(fast_folder());
    watch_raw(BARE, "bare");
    wait_on(BARE, raw[BARE]);
    watch_raw(NESTED, "nested");
    int inner = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event once = { .events = EPOLLIN | EPOLLET };
    if (inner < 0 || epoll_ctl(inner, EPOLL_CTL_ADD, raw[NESTED], &once)) die("epoll: %s", strerror(errno));
    wait_on(NESTED, inner);

    for (int which = 0; which < build_count; which++) {
        make_file(OURS + which, which ? "base" : "ours", directory, sizeof directory);
        inotify[which] = open_instance(&builds[which]);
        MUST(&builds[which], add_watch(inotify[which], directory, IN_MODIFY, NULL));
        wait_on(OURS + which, builds[which].fd(inotify[which]));
    }
    kinds = OURS + build_count;

    /* With a real-time priority the consumer runs the moment it is woken, whatever else the machine does. */
    struct sched_param priority = { .sched_priority = 1 };
    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority)) note("latency: no real-time priority, figures are noisier");

    int first = allowed_cpu(0), second = allowed_cpu(1);
    if (second >= 0) measure("two CPUs", first, second, 30000, blocks, 1.05, 0);
    else note("latency: one CPU only");
    measure("one CPU", first, first, 0, blocks, 1.06, 1.12);
    for (int which = 0; which < build_count; which++) builds[which].close(inotify[which]);
    return 0;
}
