/* A tree of 100,000 directories with 300,000 files: set-up, memory, rename, tear-down.
 *
 *   tree [NAME PEER ...]    peers are programs as in peers/peer.h; the one named "asyncinotify" is ours
 *
 * The tree is made once and kept in $BENCH_DIR (default target/bench) for the next run. $BENCH_DIRS changes its size.
 * The baseline is a bare C walk: openat, getdents64, inotify_add_watch by full path, nothing kept.
 */
#include "peers/peer.h"
#include <asyncinotify.h>
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { FANOUT = 10, FILES = 3, SMALL = 10, MAX_ROUNDS = 64, PEER_ROUNDS = 3 };

static long size;                       /* directories below "big" */
static long total;                      /* all of them, the root included */
static char root[PATH_MAX], big[PATH_MAX], big_renamed[PATH_MAX], small[PATH_MAX], small_renamed[PATH_MAX];

static void must(int ok, const char *what) { if (ok < 0) die("%s: %s", what, strerror(errno)); }

/* ---- the tree on disk ---- */

static void name_of(char *name, long index) { sprintf(name, "dir-%06ld", index); }

/* Directory i's parent is (i-1)/10: six levels for 100,000. */
static void make_below(int fd, long index)
{
    char name[32];
    for (long child = index * FANOUT + 1; child <= index * FANOUT + FANOUT && child <= size; child++) {
        name_of(name, child);
        must(mkdirat(fd, name, 0755), name);
        int child_fd = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        must(child_fd, name);
        for (int file = 0; file < FILES; file++) {
            char file_name[32];
            sprintf(file_name, "file-%d.txt", file);
            int file_fd = openat(child_fd, file_name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
            must(file_fd, file_name);
            close(file_fd);
        }
        make_below(child_fd, child);
        close(child_fd);
    }
}

/* A chain of five and five more at its end, so that both trees are equally deep. */
static void make_small(void)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%.4000s", small);
    must(mkdir(path, 0755), path);
    for (int level = 0; level < 5; level++) {
        length += sprintf(path + length, "/dir-%06d", level);
        must(mkdir(path, 0755), path);
    }
    for (int i = 0; i < SMALL - 5; i++) {
        sprintf(path + length, "/dir-%06d", i);
        must(mkdir(path, 0755), path);
    }
}

/* The directory five levels below "big" or "small", as `big` and `small` name them. */
static const char *deepest_below(const char *top, char path[PATH_MAX])
{
    int length = snprintf(path, PATH_MAX, "%.3800s", top);
    long index = top == big ? 1 : 0;
    for (int level = 0; level < 5 && (top != big || index <= size); level++) {
        length += sprintf(path + length, "/dir-%06ld", index);
        index = top == big ? index * FANOUT + 1 : index + 1;
    }
    return path + strlen(top);
}

/* Of a run that was stopped half-way. */
static void unlink_left_over(const char *top)
{
    char path[PATH_MAX];
    deepest_below(top, path);
    strcat(path, "/new");
    unlink(path);
}

static void make_tree(void)
{
    char folder[2048], mark[PATH_MAX], cwd[1024];
    const char *base = getenv("BENCH_DIR");
    if (!base || !*base) {
        must(mkdir("target", 0755) && errno != EEXIST ? -1 : 0, "target");
        base = "target/bench";
    }
    must(mkdir(base, 0755) && errno != EEXIST ? -1 : 0, base);
    if (!getcwd(cwd, sizeof cwd)) die("getcwd");
    if (*base == '/') snprintf(folder, sizeof folder, "%s/tree-%ld", base, size);
    else snprintf(folder, sizeof folder, "%s/%s/tree-%ld", cwd, base, size);
    snprintf(mark, sizeof mark, "%s/complete", folder);
    snprintf(root, sizeof root, "%s/root", folder);
    snprintf(big, sizeof big, "%s/root/big", folder);
    snprintf(big_renamed, sizeof big_renamed, "%s/root/BIG", folder);
    snprintf(small, sizeof small, "%s/root/sma", folder);
    snprintf(small_renamed, sizeof small_renamed, "%s/root/SMA", folder);
    total = 1 + 1 + size + 1 + SMALL;

    if (access(mark, F_OK) == 0) {          /* a run that was stopped may have left them renamed */
        rename(big_renamed, big);
        rename(small_renamed, small);
        unlink_left_over(big);
        unlink_left_over(small);
        return;
    }
    note("tree: making %ld directories with %ld files in %s, once", size, size * FILES, folder);
    remove_tree(folder);
    must(mkdir(folder, 0755), folder);
    must(mkdir(root, 0755), root);
    must(mkdir(big, 0755), big);
    int fd = open(big, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(fd, big);
    make_below(fd, 0);
    close(fd);
    make_small();
    fd = open(mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    must(fd, mark);
    close(fd);
}

/* ---- the kernel's limit ---- */

static long limit_before;

static int write_limit(long value)
{
    FILE *file = fopen("/proc/sys/fs/inotify/max_user_watches", "we");
    if (!file) return -1;
    int failed = fprintf(file, "%ld\n", value) < 0;
    return fclose(file) || failed ? -1 : 0;
}
static void restore_limit(void) { if (limit_before) write_limit(limit_before); }
static void on_signal(int number)
{
    restore_limit();
    _exit(128 + number);
}

/* The number of directories that can be watched: `wanted`, or fewer and a line that says so. */
static long fit_limit(long wanted)
{
    long limit = read_sysctl("max_user_watches"), needed = wanted + wanted / 4 + 1000;
    if (limit < 0 || limit >= needed) return wanted;
    if (write_limit(needed) == 0) {
        limit_before = limit;
        atexit(restore_limit);
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        note("tree: fs.inotify.max_user_watches raised from %ld to %ld for this run", limit, needed);
        return wanted;
    }
    long scaled = (limit - 1000) * 4 / 5;
    if (scaled < 100) die("fs.inotify.max_user_watches is %ld: too few to measure", limit);
    note("tree: fs.inotify.max_user_watches is %ld and can't be raised: %ld directories instead of %ld", limit, scaled, wanted);
    return scaled;
}

/* ---- the baseline ---- */

struct dirent64_raw { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; char name[]; };

static char walk_path[PATH_MAX];
static long walked;

static void walk(int inotify, int fd, size_t length)
{
    char buffer[32 * 1024] __attribute__((aligned(8)));
    long got;
    if (inotify_add_watch(inotify, walk_path, PEER_MASK) < 0) die("inotify_add_watch %s: %s", walk_path, strerror(errno));
    walked++;
    while ((got = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < got;) {
            const struct dirent64_raw *entry = (const void *)(buffer + at);
            at += entry->reclen;
            if (entry->type != DT_DIR || !strcmp(entry->name, ".") || !strcmp(entry->name, "..")) continue;
            size_t name_length = strlen(entry->name);
            walk_path[length] = '/';
            memcpy(walk_path + length + 1, entry->name, name_length + 1);
            int child = openat(fd, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            must(child, walk_path);
            walk(inotify, child, length + 1 + name_length);
            close(child);
            walk_path[length] = 0;
        }
    must((int)got, "getdents64");
}

static void bare_setup(int inotify)
{
    strcpy(walk_path, root);
    walked = 0;
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(fd, root);
    walk(inotify, fd, strlen(root));
    close(fd);
    if (walked != total) die("%ld directories walked, %ld expected", walked, total);
}

/* ---- set-up and tear-down ---- */

typedef struct { double wall, cpu; } span;
static span begin(void) { return (span){ wall_ns(), cpu_ns() }; }
static span since(span start) { return (span){ wall_ns() - start.wall, cpu_ns() - start.cpu }; }

enum { BARE_RM, BARE_CLOSE, OURS_RM, OURS_CLOSE, KINDS };

static void bare_round(int kind, span *setup, span *teardown)
{
    static char buffer[64 * 1024] __attribute__((aligned(8)));
    int inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    must(inotify, "inotify_init1");
    span start = begin();
    bare_setup(inotify);
    *setup = since(start);
    start = begin();
    if (kind == BARE_RM) {
        for (long wd = 1; wd <= total; wd++) must(inotify_rm_watch(inotify, (int)wd), "inotify_rm_watch");
        while (read(inotify, buffer, sizeof buffer) > 0) {}
    }
    close(inotify);
    *teardown = since(start);
}

/* Takes events until the tree's own IGNORED. */
static int until_ignored(asyncinotify *self, const asyncinotify_event *event, void *userdata)
{
    (void)self;
    if (event->mask & IN_IGNORED) *(int *)userdata = 1;
    return 0;
}

static asyncinotify *ours_new(void)
{
    asyncinotify *inotify;
    if (asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &inotify)) die("%s", asyncinotify_last_error_message());
    return inotify;
}

static int count_directory(asyncinotify *self, const char *path, size_t length, void *userdata)
{
    (void)self; (void)path; (void)length;
    ++*(long *)userdata;
    return 0;
}

static void ours_round(int kind, span *setup, span *teardown)
{
    asyncinotify_watch tree;
    asyncinotify *inotify = ours_new();
    span start = begin();
    if (asyncinotify_add_recursive(inotify, root, PEER_MASK, NULL, &tree)) die("%s", asyncinotify_last_error_message());
    *setup = since(start);
    static int counted;
    if (!counted++) {       /* in the warm-up round */
        long directories = 0;
        asyncinotify_watch_each_directory(inotify, tree, count_directory, &directories);
        if (directories != total) die("%ld directories watched, %ld expected", directories, total);
    }
    start = begin();
    if (kind == OURS_RM) {
        int ended = 0;
        if (asyncinotify_rm_watch(inotify, tree)) die("%s", asyncinotify_last_error_message());
        while (asyncinotify_dispatch(inotify, 0, until_ignored, &ended) > 0) {}
        if (!ended) die("the tree's IGNORED did not come");
    }
    asyncinotify_close(inotify);
    *teardown = since(start);
}

/* ---- peers ---- */

typedef struct {
    const char *name, *program;
    double wall[MAX_ROUNDS], cpu[MAX_ROUNDS], heap, rss, peak, names, rename, directories;
} peer;
static peer peers[8];
static int peer_count;

static double field(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    return at ? strtod(at + strlen(key), NULL) : 0;
}

static void peer_round(peer *self, int round)
{
    char command[2 * PATH_MAX], line[1024] = "";
    snprintf(command, sizeof command, "'%s' setup '%s'", self->program, root);
    FILE *pipe = popen(command, "r");
    if (!pipe || !fgets(line, sizeof line, pipe)) die("%s said nothing", self->program);
    if (pclose(pipe)) die("%s failed", self->program);
    self->wall[round] = field(line, "wall=");
    self->cpu[round] = field(line, "cpu=");
    self->heap = field(line, " heap=");
    self->rss = field(line, " rss=");
    self->peak = field(line, " peak=");
    self->names = field(line, " names=");
    self->rename = field(line, " rename=");
    self->directories = field(line, " directories=");
}

static void row_text(const char *what, const char *measured)
{
    printf("| %s | %s | | | | |\n", what, measured);
    fflush(stdout);
}

/* ---- rename ---- */

/* The thread's CPU clock costs a system call; that is in both sides of what is subtracted. */
static void compare_rename(int rounds)
{
    enum { BIG, LITTLE, WHICH };
    static double ours[WHICH][4096], bare[WHICH][4096], after[WHICH][4096], net[WHICH][4096];
    static char buffer[64 * 1024] __attribute__((aligned(8)));
    const char *names[WHICH][2] = { { big, big_renamed }, { small, small_renamed } };
    int state[WHICH] = { 0, 0 };
    asyncinotify_event event;

    char below[WHICH][PATH_MAX];
    const char *deepest[WHICH] = { deepest_below(big, below[BIG]), deepest_below(small, below[LITTLE]) };
    asyncinotify *inotify = ours_new();
    if (asyncinotify_add_recursive(inotify, root, PEER_MASK, NULL, NULL)) die("%s", asyncinotify_last_error_message());
    int raw = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    must(raw < 0 ? raw : inotify_add_watch(raw, root, IN_MOVE), "inotify");
    for (int round = -10; round < rounds; round++) {
        int order[WHICH];
        shuffle(order, WHICH);
        for (int i = 0; i < WHICH; i++) {
            int which = order[i];
            const char *from = names[which][state[which]], *to = names[which][state[which] ^= 1];
            must(rename(from, to), "rename");
            double took[2] = { 0, 0 };
            int bare_first = (int)(random_u64() & 1);
            for (int turn = 0; turn < 2; turn++) {
                double start = thread_cpu_ns();
                if (turn == !bare_first) {
                    if (read(raw, buffer, sizeof buffer) <= 0) die("no rename was read");
                    took[0] = thread_cpu_ns() - start;
                } else {
                    int got = 0;
                    while (asyncinotify_get(inotify, &event) == 1) got++;
                    took[1] = thread_cpu_ns() - start;
                    if (got != 2) die("%d events of a rename, 2 expected", got);
                }
            }
            /* the first event from deep below it, with the new path */
            char path[2 * PATH_MAX];
            snprintf(path, sizeof path, "%s%s/new", to, deepest[which]);
            int fd = open(path, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0600);
            must(fd, path);
            close(fd);
            double start = thread_cpu_ns();
            if (asyncinotify_get(inotify, &event) != 1) die("no event from below");
            double first = thread_cpu_ns() - start;
            if (strcmp(event.path, path)) die("%s instead of %s", event.path, path);
            unlink(path);
            while (asyncinotify_get(inotify, &event) == 1) {}
            if (round < 0) continue;
            bare[which][round] = took[0];
            ours[which][round] = took[1];
            net[which][round] = took[1] - took[0];
            after[which][round] = first;
        }
    }
    for (int which = 0; which < WHICH; which++) if (state[which]) rename(names[which][1], names[which][0]);
    close(raw);
    asyncinotify_close(inotify);

    char what[128];
    size_t n = (size_t)rounds;
    double bare_both = median(bare[BIG], n), big_all = median(ours[BIG], n), big_net = median(net[BIG], n), small_net = median(net[LITTLE], n);
    snprintf(what, sizeof what, "rename with %ld below: both events, against a bare read of two", size);
    row_ratio(what, big_all, bare_both, big_all / bare_both, 0);
    snprintf(what, sizeof what, "rename with %ld below: our share (less the bare read)", size);
    row_value(what, big_net / 1e3, "µs", 10);
    snprintf(what, sizeof what, "rename with %ld below against %d below: our share", size, SMALL);
    row_ratio(what, big_net, small_net, big_net / small_net, 1.25);
    double a = median(after[BIG], n), b = median(after[LITTLE], n);
    snprintf(what, sizeof what, "first event below it afterwards, %ld against %d below", size, SMALL);
    row_ratio(what, a, b, a / b, 0);
}

int main(int argc, char **argv)
{
    static span setup[KINDS][MAX_ROUNDS], teardown[KINDS][MAX_ROUNDS];
    int rounds = (int)env_number("BENCH_ROUNDS", quick() ? 3 : 9);
    if (rounds < 1 || rounds > MAX_ROUNDS) rounds = MAX_ROUNDS;
    for (int i = 1; i + 1 < argc && peer_count < 8; i += 2)
        peers[peer_count++] = (peer){ .name = argv[i], .program = argv[i + 1] };

    size = env_number("BENCH_DIRS", quick() ? 10000 : 100000);
    if (size < 100) die("BENCH_DIRS: at least 100");
    size = fit_limit(size + 3 + SMALL) - 3 - SMALL;
    make_tree();
    note("tree: %ld directories, %d rounds", total, rounds);

    for (int round = -1; round < rounds; round++) {      /* one to warm the cache */
        int order[KINDS + 8];
        shuffle(order, KINDS + peer_count);
        for (int i = 0; i < KINDS + peer_count; i++) {
            int kind = order[i];
            span up, down;
            if (kind >= KINDS) {
                if (round >= 0 && round < PEER_ROUNDS) peer_round(&peers[kind - KINDS], round);
                continue;
            }
            if (kind == BARE_RM || kind == BARE_CLOSE) bare_round(kind, &up, &down);
            else ours_round(kind, &up, &down);
            if (round < 0) continue;
            setup[kind][round] = up;
            teardown[kind][round] = down;
        }
    }

    /* Two set-ups of either a round: the mean of the two. */
    size_t n = (size_t)rounds;
    double bare_wall[MAX_ROUNDS], bare_cpu[MAX_ROUNDS], a[MAX_ROUNDS], b[MAX_ROUNDS], ratio;
    char what[160], text[160];
    for (size_t i = 0; i < n; i++) {
        bare_wall[i] = (setup[BARE_RM][i].wall + setup[BARE_CLOSE][i].wall) / 2;
        bare_cpu[i] = (setup[BARE_RM][i].cpu + setup[BARE_CLOSE][i].cpu) / 2;
        a[i] = (setup[OURS_RM][i].wall + setup[OURS_CLOSE][i].wall) / 2;
        b[i] = (setup[OURS_RM][i].cpu + setup[OURS_CLOSE][i].cpu) / 2;
    }
    double bare_wall_median, bare_cpu_median, copy[MAX_ROUNDS];
    bare_wall_median = median(memcpy(copy, bare_wall, sizeof copy), n);
    bare_cpu_median = median(memcpy(copy, bare_cpu, sizeof copy), n);

    snprintf(what, sizeof what, "set up %ld directories, elapsed", total);
    ratio = median_ratio(a, bare_wall, n);
    row_ratio(what, median(a, n), bare_wall_median, ratio, 1.10);
    snprintf(what, sizeof what, "set up %ld directories, CPU", total);
    ratio = median_ratio(b, bare_cpu, n);
    row_ratio(what, median(b, n), bare_cpu_median, ratio, 1.10);
    for (int i = 0; i < peer_count; i++) {
        if (!strcmp(peers[i].name, "asyncinotify")) continue;
        snprintf(what, sizeof what, "set up, %s, elapsed", peers[i].name);
        size_t peer_rounds = n < PEER_ROUNDS ? n : PEER_ROUNDS;
        ratio = median_ratio(peers[i].wall, bare_wall, peer_rounds);
        row_ratio(what, median(peers[i].wall, peer_rounds), bare_wall_median, ratio, 0);
    }

    for (int i = 0; i < peer_count; i++) {
        const peer *p = &peers[i];
        if (!strcmp(p->name, "asyncinotify")) {
            if ((long)p->directories != total) die("%s watched %.0f directories, %ld expected", p->name, p->directories, total);
            row_value("memory a directory, malloc, its name not counted", (p->heap - p->names) / p->directories, "bytes", 100);
            row_value("memory a directory, growth of RSS, its name not counted", (p->rss - p->names) / p->directories, "bytes", 100);
            snprintf(text, sizeof text, "%.1f bytes", p->names / p->directories);
            row_text("memory a directory: its name", text);
        }
        if (p->heap > 0) snprintf(text, sizeof text, "%.1f MB (malloc %.1f MB)", p->peak / 1e6, p->heap / 1e6);
        else snprintf(text, sizeof text, "%.1f MB", p->peak / 1e6);
        snprintf(what, sizeof what, "peak memory of the process, %s", p->name);
        row_text(what, text);
    }

    compare_rename(quick() ? 100 : 1000);
    for (int i = 0; i < peer_count; i++)
        if (peers[i].rename > 0) {
            char buffer[32];
            snprintf(what, sizeof what, "rename with %ld below, %s", size, peers[i].name);
            row_text(what, format_ns(buffer, peers[i].rename));
        }

    static const struct { const char *what; int ours, bare; } ends[] = {
        { "rm_watch of the root, drain, close; against a loop of inotify_rm_watch", OURS_RM, BARE_RM },
        { "close with the tree watched; against close(2)", OURS_CLOSE, BARE_CLOSE },
    };
    for (size_t e = 0; e < 2; e++) {
        for (int cpu = 0; cpu < 2; cpu++) {
            for (size_t i = 0; i < n; i++) {
                a[i] = cpu ? teardown[ends[e].ours][i].cpu : teardown[ends[e].ours][i].wall;
                b[i] = cpu ? teardown[ends[e].bare][i].cpu : teardown[ends[e].bare][i].wall;
            }
            snprintf(what, sizeof what, "tear down: %s, %s", ends[e].what, cpu ? "CPU" : "elapsed");
            ratio = median_ratio(a, b, n);
            row_ratio(what, median(a, n), median(b, n), ratio, 2.0);
        }
    }
    return 0;
}
