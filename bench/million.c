/* A tree of 1,000,000 directories on tmpfs: set-up against a bare walk, memory, and the longest single call.
 *
 * BENCH_MILLION changes the number. Each measurement runs in a process of its own, so that its memory is its own. What one
 * call takes is measured in CPU time: on a busy machine the elapsed time of the longest call says how long it had to wait.
 */
#include "walk.h"
#include "build.h"
#include <poll.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

enum { FANOUT = 10, LITTLE = 100000, MAX_ROUNDS = 16 };
static const uint32_t MASK = IN_CREATE | IN_DELETE | IN_MOVE | IN_CLOSE_WRITE;

typedef struct { long size, total; char root[300], top[320]; } tree;   /* all is below "top" but the root */
static tree large = { .size = 1000000 }, little = { .size = LITTLE };

/* ---- the trees on disk ---- */

/* Directory i's parent is (i-1)/10. */
static void make_below(int fd, long index, long size)
{
    char name[32];
    for (long child = index * FANOUT + 1; child <= index * FANOUT + FANOUT && child <= size; child++) {
        snprintf(name, sizeof name, "d%06ld", child);
        must(mkdirat(fd, name, 0755), name);
        if (child * FANOUT + 1 > size) continue;
        int child_fd = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        must(child_fd, name);
        make_below(child_fd, child, size);
        close(child_fd);
    }
}

static void make_tree(tree *it, const char *name)
{
    it->total = it->size + 2;
    snprintf(it->root, sizeof it->root, "%.250s/%s", scratch, name);
    snprintf(it->top, sizeof it->top, "%s/top", it->root);
    must(mkdir(it->root, 0755), it->root);
    must(mkdir(it->top, 0755), it->top);
    int fd = open(it->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(fd, it->top);
    make_below(fd, 0, it->size);
    close(fd);
}

/* As many directories as there is room for: each takes about 2.5 KiB of the kernel's memory, watched. */
static long fit_memory(long wanted)
{
    enum { BYTES = 2560 };
    double available = 0;
    char line[256];
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "MemAvailable: %lf kB", &available);
    if (file) fclose(file);
    long fits = (long)(available * 1024 * 0.7 / BYTES);
    struct statvfs fs;
    if (statvfs(fast_folder(), &fs) == 0 && fs.f_files && (long)fs.f_favail < fits) fits = (long)fs.f_favail;
    if (available <= 0 || fits >= wanted) return wanted;
    note("million: room for %ld directories instead of %ld", fits, wanted);
    return fits;
}

/* ---- each in a process of its own ---- */

enum { MAX_VALUES = 16 };

static void in_child(void (*run)(const tree *, const build *, double *), const tree *it, const build *of, double values[MAX_VALUES])
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) die("pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        memset(values, 0, MAX_VALUES * sizeof *values);
        run(it, of, values);
        _exit(write(ends[1], values, MAX_VALUES * sizeof *values) < 0);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], values, MAX_VALUES * sizeof *values);
    close(ends[0]);
    int status;
    waitpid(pid, &status, 0);
    if (got != MAX_VALUES * (ssize_t)sizeof *values) die("a measurement failed");
}

static double rss(void)
{
    char line[256];
    double value = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "VmRSS: %lf kB", &value);
    if (file) fclose(file);
    return value * 1024;
}

enum { WALL, CPU, RSS };

static void set_up(const tree *it, const build *of, double *values)
{
    asyncinotify *inotify = NULL;
    int raw = -1;
    if (of) inotify = open_instance(of);
    else must(raw = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), "inotify_init1");
    double before = rss(), cpu = cpu_ns(), wall = wall_ns();
    if (of) MUST(of, add_recursive(inotify, it->root, MASK, NULL, NULL));
    else bare_setup(raw, it->root, MASK, it->total);
    values[WALL] = wall_ns() - wall;
    values[CPU] = cpu_ns() - cpu;
    values[RSS] = (rss() - before) / (double)it->total;
}

/* ---- the longest call ---- */

enum { BACKGROUND, OVERFLOW, OUT, LEFT_OVER, IN, REMOVED, CLOSED, BARE_CLOSED, LONGEST };
static const char *const phases[LONGEST] = {
    [BACKGROUND] = "longest call: set-up in the background",
    [OVERFLOW] = "longest call: repair after an overflow",
    [OUT] = "longest call: all of it moved out of the tree",
    [LEFT_OVER] = "memory a directory, growth of RSS, left when all of it has moved out",
    [IN] = "longest call: all of it moved in again",
    [REMOVED] = "longest call: rm_watch, until nothing is left to do",
    [CLOSED] = "close with all of it watched",
};

static long flagged;   /* how many SYNC_END were told */
static int on_event(asyncinotify *self, const asyncinotify_event *event, void *userdata)
{
    (void)self; (void)userdata;
    flagged += (event->flags & ASYNCINOTIFY_EVENT_SYNC_END) != 0;
    return 0;
}

/* Takes events in all three ways until the fd is not readable; the longest call. */
static double drain(const build *of, asyncinotify *inotify)
{
    struct pollfd wait = { .fd = of->fd(inotify), .events = POLLIN };
    double longest = 0;
    for (unsigned turn = 0; poll(&wait, 1, 0) == 1; turn++) {
        asyncinotify_event events[64];
        intptr_t got = 0;
        double start = thread_cpu_ns();
        switch (turn % 3) {
        case 0: got = of->dispatch(inotify, 0, on_event, NULL); break;
        case 1: got = of->get(inotify, events); break;
        case 2: got = of->get_events(inotify, events, 64); break;
        }
        double spent = thread_cpu_ns() - start;
        if (got < 0) die("%s", of->last_error_message());
        for (intptr_t i = 0; turn % 3 && i < got; i++) on_event(inotify, &events[i], NULL);
        if (spent > longest) longest = spent;
    }
    return longest;
}

static void overflow(const tree *it)
{
    char path[400];
    long queue = read_sysctl("max_queued_events");
    for (long i = 0; i < queue + 10; i++) {
        snprintf(path, sizeof path, "%s/file-%ld", it->root, i % 2);
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        must(fd, path);
        close(fd);
        unlink(path);
    }
}

static void longest_calls(const tree *it, const build *of, double *values)
{
    asyncinotify_recursive_options options = { .size = sizeof options, .flags = ASYNCINOTIFY_RECURSIVE_BACKGROUND };
    asyncinotify_watch watch;
    asyncinotify *inotify = open_instance(of);
    double before = rss();
    char outside[330];
    snprintf(outside, sizeof outside, "%s-outside", it->root);

    MUST(of, add_recursive(inotify, it->root, MASK, &options, &watch));
    values[BACKGROUND] = drain(of, inotify);
    if (flagged != 1) die("no SYNC_END of the set-up");
    overflow(it);
    values[OVERFLOW] = drain(of, inotify);
    if (flagged != 2) die("no SYNC_END of the repair");
    must(rename(it->top, outside), outside);
    values[OUT] = drain(of, inotify);
    values[LEFT_OVER] = (rss() - before) / (double)it->total;
    must(rename(outside, it->top), outside);
    values[IN] = drain(of, inotify);
    MUST(of, rm_watch(inotify, watch));
    values[REMOVED] = drain(of, inotify);

    MUST(of, add_recursive(inotify, it->root, MASK, NULL, NULL));
    double start = thread_cpu_ns();
    of->close(inotify);
    values[CLOSED] = thread_cpu_ns() - start;

    int raw = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    must(raw, "inotify_init1");
    bare_setup(raw, it->root, MASK, it->total);
    start = thread_cpu_ns();
    close(raw);
    values[BARE_CLOSED] = thread_cpu_ns() - start;
}

/* ---- the table ---- */

/* One for each build, and the bare walk behind them. */
static void compare_set_up(const tree *it, int rounds)
{
    static double values[3][1 + MAX_BUILDS][MAX_ROUNDS];
    int kinds = build_count + 1;
    for (int round = 0; round < rounds; round++) {
        int order[1 + MAX_BUILDS];
        shuffle(order, kinds);
        for (int i = 0; i < kinds; i++) {
            double got[MAX_VALUES];
            in_child(set_up, it, order[i] < build_count ? &builds[order[i]] : NULL, got);
            for (int value = WALL; value <= RSS; value++) values[value][order[i]][round] = got[value];
        }
    }
    size_t n = (size_t)rounds;
    char what[160];
    for (int value = WALL; value <= CPU; value++) {
        snprintf(what, sizeof what, "set up %ld directories on %s, %s", it->total, strcmp(fast_folder(), "/dev/shm") ? "a disk" : "tmpfs",
                 value == CPU ? "CPU" : "elapsed");
        row_rounds(what, values[value][NEW], values[value][build_count], build_count > 1 ? values[value][BASE] : NULL, n, 1.10);
    }
    snprintf(what, sizeof what, "memory a directory, growth of RSS, %ld directories", it->total);
    row_values(what, median(values[RSS][NEW], n), build_count > 1 ? median(values[RSS][BASE], n) : -1, "bytes", 100);
}

static void compare_longest_calls(const tree *it, int rounds)
{
    static double values[MAX_BUILDS][LONGEST][MAX_ROUNDS];
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < build_count; i++) {
            int which = (i + round) % build_count;
            double got[MAX_VALUES];
            in_child(longest_calls, it, &builds[which], got);
            for (int value = 0; value < LONGEST; value++) values[which][value][round] = got[value];
        }
    size_t n = (size_t)rounds;
    for (int phase = 0; phase < LONGEST; phase++) {
        if (!phases[phase]) continue;
        char what[160];
        if (phase == CLOSED) {
            snprintf(what, sizeof what, "%s against close(2), CPU", phases[phase]);
            row_rounds(what, values[NEW][CLOSED], values[NEW][BARE_CLOSED], build_count > 1 ? values[BASE][CLOSED] : NULL, n, 2.0);
            continue;
        }
        double unit = phase == LEFT_OVER ? 1 : 1e6;
        snprintf(what, sizeof what, "%s%s", phases[phase], phase == LEFT_OVER ? "" : ", CPU");
        row_values(what, median(values[NEW][phase], n) / unit, build_count > 1 ? median(values[BASE][phase], n) / unit : -1,
                   phase == LEFT_OVER ? "bytes" : "ms", phase == LEFT_OVER ? 0 : 10);
    }
}

int main(void)
{
    int rounds = (int)env_number("BENCH_ROUNDS", 3);
    if (rounds < 1 || rounds > MAX_ROUNDS) rounds = MAX_ROUNDS;
    load_builds();
    large.size = env_number("BENCH_MILLION", quick() ? 200000 : large.size);
    large.size = fit_limit(fit_memory(large.size) + 2) - 2;
    make_scratch(fast_folder());
    note("million: %ld directories in %s, %d rounds", large.size, scratch, rounds);
    if (large.size > LITTLE) {
        make_tree(&little, "little");
        compare_set_up(&little, rounds);
    }
    make_tree(&large, "large");
    compare_set_up(&large, rounds);
    compare_longest_calls(&large, rounds);
    return 0;
}
