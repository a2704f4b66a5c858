/* A tree of 100,000 directories with 300,000 files: set-up, memory, rename, tear-down.
 *
 *   tree [NAME PEER ...]    peers are programs as in peers/peer.h; the one named "asyncinotify" is ours
 *
 * The tree is made once and kept in $BENCH_DIR (default target/bench) for the next run. $BENCH_DIRS changes its size.
 * The baseline is a bare C walk: openat, getdents64, inotify_add_watch by full path, nothing kept.
 */
#include "peers/peer.h"
#include "build.h"
#include "walk.h"
#include <sys/wait.h>

enum { FANOUT = 10, FILES = 3, SMALL = 10, MAX_ROUNDS = 64, PEER_ROUNDS = 3 };

static long size;                       /* directories below "big" */
static long total;                      /* all of them, the root included */
static char root[PATH_MAX], big[PATH_MAX], big_renamed[PATH_MAX], small[PATH_MAX], small_renamed[PATH_MAX];

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

/* ---- set-up and tear-down ---- */

typedef struct { double wall, cpu; } span;
static span begin(void) { return (span){ wall_ns(), cpu_ns() }; }
static span since(span start) { return (span){ wall_ns() - start.wall, cpu_ns() - start.cpu }; }

/* Ours come once for each build. */
enum { BARE_RM, BARE_CLOSE, OURS_RM, OURS_CLOSE, OF_A_BUILD = 2, MAX_KINDS = OURS_RM + MAX_BUILDS * OF_A_BUILD };

static void bare_round(int kind, span *setup, span *teardown)
{
    static char buffer[64 * 1024] __attribute__((aligned(8)));
    int inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    must(inotify, "inotify_init1");
    span start = begin();
    bare_setup(inotify, root, PEER_MASK, total);
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

static int count_directory(asyncinotify *self, const char *path, size_t length, void *userdata)
{
    (void)self; (void)path; (void)length;
    ++*(long *)userdata;
    return 0;
}

static void ours_round(int kind, span *setup, span *teardown)
{
    const build *it = &builds[(kind - OURS_RM) / OF_A_BUILD];
    asyncinotify_watch tree;
    asyncinotify *inotify = open_instance(it);
    span start = begin();
    MUST(it, add_recursive(inotify, root, PEER_MASK, NULL, &tree));
    *setup = since(start);
    static int counted;
    if (!counted++) {       /* in the warm-up round */
        long directories = 0;
        it->watch_each_directory(inotify, tree, count_directory, &directories);
        if (directories != total) die("%ld directories watched, %ld expected", directories, total);
    }
    start = begin();
    if ((kind - OURS_RM) % OF_A_BUILD == 0) {
        int ended = 0;
        MUST(it, rm_watch(inotify, tree));
        while (it->dispatch(inotify, 0, until_ignored, &ended) > 0) {}
        if (!ended) die("the tree's IGNORED did not come");
    }
    it->close(inotify);
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

/* Of this build or of BASE, which follows it. */
static int is_ours(const peer *self) { return !strncmp(self->name, "asyncinotify", strlen("asyncinotify")); }

static void row_text(const char *what, const char *measured)
{
    printf("| %s | %s | | | | | | |\n", what, measured);
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
    const build *it = &builds[NEW];
    asyncinotify *inotify = open_instance(it);
    MUST(it, add_recursive(inotify, root, PEER_MASK, NULL, NULL));
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
                    while (it->get(inotify, &event) == 1) got++;
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
            if (it->get(inotify, &event) != 1) die("no event from below");
            double first = thread_cpu_ns() - start;
            if (strcmp(event.path, path)) die("%s instead of %s", event.path, path);
            unlink(path);
            while (it->get(inotify, &event) == 1) {}
            if (round < 0) continue;
            bare[which][round] = took[0];
            ours[which][round] = took[1];
            net[which][round] = took[1] - took[0];
            after[which][round] = first;
        }
    }
    for (int which = 0; which < WHICH; which++) if (state[which]) rename(names[which][1], names[which][0]);
    close(raw);
    it->close(inotify);

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
    static span setup[MAX_KINDS][MAX_ROUNDS], teardown[MAX_KINDS][MAX_ROUNDS];
    load_builds();
    int kinds = OURS_RM + build_count * OF_A_BUILD;
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
        int order[MAX_KINDS + 8];
        shuffle(order, kinds + peer_count);
        for (int i = 0; i < kinds + peer_count; i++) {
            int kind = order[i];
            span up, down;
            if (kind >= kinds) {
                if (round >= 0 && round < PEER_ROUNDS) peer_round(&peers[kind - kinds], round);
                continue;
            }
            if (kind == BARE_RM || kind == BARE_CLOSE) bare_round(kind, &up, &down);
            else ours_round(kind, &up, &down);
            if (round < 0) continue;
            setup[kind][round] = up;
            teardown[kind][round] = down;
        }
    }

    /* Two set-ups of each a round: the mean of the two. */
    size_t n = (size_t)rounds;
    static double mean[2][1 + MAX_BUILDS][MAX_ROUNDS];
    char what[160], text[160];
    for (size_t i = 0; i < n; i++)
        for (int which = 0; which <= build_count; which++) {
            const span *a = &setup[which * OF_A_BUILD][i], *b = &setup[which * OF_A_BUILD + 1][i];
            mean[0][which][i] = (a->wall + b->wall) / 2;
            mean[1][which][i] = (a->cpu + b->cpu) / 2;
        }
    for (int cpu = 0; cpu < 2; cpu++) {
        snprintf(what, sizeof what, "set up %ld directories, %s", total, cpu ? "CPU" : "elapsed");
        row_rounds(what, mean[cpu][1], mean[cpu][0], build_count > 1 ? mean[cpu][2] : NULL, n, 1.10);
    }
    for (int i = 0; i < peer_count; i++) {
        if (is_ours(&peers[i])) continue;
        snprintf(what, sizeof what, "set up, %s, elapsed", peers[i].name);
        size_t peer_rounds = n < PEER_ROUNDS ? n : PEER_ROUNDS;
        row_rounds(what, peers[i].wall, mean[0][0], NULL, peer_rounds, 0);
    }

    for (int i = 0; i < peer_count; i++) {
        const peer *p = &peers[i];
        if (!strcmp(p->name, "asyncinotify")) {
            if ((long)p->directories != total) die("%s watched %.0f directories, %ld expected", p->name, p->directories, total);
            const peer *base = i + 1 < peer_count && is_ours(p + 1) ? p + 1 : NULL;
            row_values("memory a directory, malloc, its name not counted", (p->heap - p->names) / p->directories,
                       base ? (base->heap - base->names) / base->directories : -1, "bytes", 100);
            row_values("memory a directory, growth of RSS, its name not counted", (p->rss - p->names) / p->directories,
                       base ? (base->rss - base->names) / base->directories : -1, "bytes", 100);
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
            static double down[MAX_KINDS][MAX_ROUNDS];
            for (int kind = 0; kind < kinds; kind++)
                for (size_t i = 0; i < n; i++) down[kind][i] = cpu ? teardown[kind][i].cpu : teardown[kind][i].wall;
            snprintf(what, sizeof what, "tear down: %s, %s", ends[e].what, cpu ? "CPU" : "elapsed");
            row_rounds(what, down[ends[e].ours], down[ends[e].bare], build_count > 1 ? down[ends[e].ours + OF_A_BUILD] : NULL, n, 2.0);
        }
    }
    return 0;
}
