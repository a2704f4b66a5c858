/* CPU time an event for emptying a full queue, with full paths, against a bare read(2) loop that builds none.
 *
 * One round: every reader in random order watches the same 100 directories, the same file operations fill its
 * queue, and its CPU time for emptying it is taken. Each ratio is that of one round; the table shows medians.
 * Consecutive events come from different directories ("scattered": the harder case, no path is like the last)
 * or belong to one file at a time ("file by file").
 */
#include "build.h"

enum { DIRECTORIES = 100, MAX_WATCHED = 256, BUFFER = 64 * 1024, MAX_ROUNDS = 256 };
static const uint32_t MASK = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE;
enum { EVENTS_PER_FILE = 4 };

static int files_per_directory;
static char leaf[DIRECTORIES][256];      /* where the files are made */
static int leaf_fd[DIRECTORIES];
static char watched[MAX_WATCHED][256];   /* all directories, the leaves included */
static int watched_count;
static char root[256];
static int recursive;
static uint64_t sink;                    /* what is touched goes here, so that no loop is optimised away */

/* ---- file operations ---- */

static int file_name(char *name, int file) { return sprintf(name, "file-%05d.data", file); }   /* 15 bytes */

static void must(int ok, const char *what) { if (ok < 0) die("%s: %s", what, strerror(errno)); }

static void fill_scattered(void)
{
    int fds[DIRECTORIES];
    char name[32];
    for (int file = 0; file < files_per_directory; file++) {
        file_name(name, file);
        for (int d = 0; d < DIRECTORIES; d++)
            must(fds[d] = openat(leaf_fd[d], name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), "create");
        for (int d = 0; d < DIRECTORIES; d++) must((int)write(fds[d], "x", 1), "write");
        for (int d = 0; d < DIRECTORIES; d++) close(fds[d]);
        for (int d = 0; d < DIRECTORIES; d++) must(unlinkat(leaf_fd[d], name, 0), "unlink");
    }
}

static void fill_one_by_one(void)
{
    char name[32];
    for (int d = 0; d < DIRECTORIES; d++)
        for (int file = 0; file < files_per_directory; file++) {
            file_name(name, file);
            int fd = openat(leaf_fd[d], name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
            must(fd, "create");
            must((int)write(fd, "x", 1), "write");
            close(fd);
            must(unlinkat(leaf_fd[d], name, 0), "unlink");
        }
}

/* ---- what is read is touched, or in the checking round compared with what was done ---- */

static int checking;
static uint64_t check_sum;

static uint64_t hash(const char *s)
{
    uint64_t h = 1469598103934665603u;
    while (*s) h = (h ^ (uint8_t)*s++) * 1099511628211u;
    return h;
}

static inline void touch(const asyncinotify_event *event)
{
    sink += event->mask + (uint8_t)event->name[0] + (uint8_t)event->path[0] + (uint8_t)event->path[event->path_len - 1];
    if (__builtin_expect(checking, 0)) {
        if (strlen(event->path) != event->path_len || strlen(event->name) != event->name_len) die("a wrong length");
        if (strcmp(event->path + event->path_len - event->name_len, event->name)) die("%s does not end in %s", event->path, event->name);
        check_sum += hash(event->path) * event->mask;
    }
}

static uint64_t expected_sum(void)
{
    uint64_t sum = 0;
    for (int d = 0; d < DIRECTORIES; d++)
        for (int file = 0; file < files_per_directory; file++) {
            char path[300];
            int length = snprintf(path, sizeof path, "%.255s/", leaf[d]);
            file_name(path + length, file);
            sum += hash(path) * MASK;      /* each of the mask's bits comes once a file */
        }
    return sum;
}

/* ---- the readers ---- */

typedef struct reader reader;
struct reader {
    const char *name;
    long (*drain)(reader *);
    const build *build;                  /* ours */
    asyncinotify *inotify;
    asyncinotify_watch ids[MAX_WATCHED];
    int fd;                              /* or the kernel's */
    int wds[MAX_WATCHED];
    double ns[MAX_ROUNDS];
};

static char buffer[BUFFER] __attribute__((aligned(8)));

/* The baseline: walks over the events, touches mask and name, builds no path. */
static long drain_bare(reader *self)
{
    long count = 0;
    ssize_t got;
    while ((got = read(self->fd, buffer, sizeof buffer)) > 0)
        for (char *at = buffer; at < buffer + got;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            sink += event->mask + (uint8_t)event->name[0];
            count++;
            at += sizeof *event + event->len;
        }
    return count;
}

/* The least that full paths cost: a table by wd, two copies. Has no goal; it shows what the rest is. */
static long drain_bare_with_paths(reader *self)
{
    long count = 0;
    ssize_t got;
    char path[512];
    while ((got = read(self->fd, buffer, sizeof buffer)) > 0)
        for (char *at = buffer; at < buffer + got;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            const char *directory = watched[event->wd - self->wds[0]];
            size_t length = strlen(directory), name_length = strlen(event->name);
            memcpy(path, directory, length);
            path[length] = '/';
            memcpy(path + length + 1, event->name, name_length + 1);
            sink += event->mask + (uint8_t)path[0] + (uint8_t)path[length + name_length];
            count++;
            at += sizeof *event + event->len;
        }
    return count;
}

static long drain_get(reader *self)
{
    long count = 0;
    asyncinotify_event event;
    while (self->build->get(self->inotify, &event) == 1) { touch(&event); count++; }
    return count;
}

static long drain_batches(reader *self, size_t size)
{
    static asyncinotify_event events[256];
    long count = 0;
    intptr_t got;
    while ((got = self->build->get_events(self->inotify, events, size)) > 0) {
        for (intptr_t i = 0; i < got; i++) touch(&events[i]);
        count += got;
    }
    return count;
}
static long drain_64(reader *self) { return drain_batches(self, 64); }
static long drain_256(reader *self) { return drain_batches(self, 256); }

static int on_event(asyncinotify *inotify, const asyncinotify_event *event, void *userdata)
{
    (void)inotify;
    touch(event);
    ++*(long *)userdata;
    return 0;
}
static long drain_dispatch(reader *self)
{
    long count = 0;
    if (self->build->dispatch(self->inotify, 0, on_event, &count) != count) die("dispatch: %s", self->build->last_error_message());
    return count;
}

/* The baseline is the mean of the first two; what they differ by is the noise of the machine. Ours come once for each build. */
enum { WAYS = 4, BARE_READERS = 3, MAX_READERS = BARE_READERS + MAX_BUILDS * WAYS };
static reader readers[MAX_READERS] = {
    { .name = "bare read loop", .drain = drain_bare, .fd = -1 },
    { .name = "bare read loop against itself (the noise)", .drain = drain_bare, .fd = -1 },
    { .name = "bare loop + path by table", .drain = drain_bare_with_paths, .fd = -1 },
    { .name = "get", .drain = drain_get, .fd = -1 },
    { .name = "get_events, 64", .drain = drain_64, .fd = -1 },
    { .name = "get_events, 256", .drain = drain_256, .fd = -1 },
    { .name = "dispatch", .drain = drain_dispatch, .fd = -1 },
};
static int reader_count;

static void make_readers(void)
{
    reader_count = BARE_READERS + build_count * WAYS;
    for (int i = BARE_READERS; i < reader_count; i++) {
        readers[i] = readers[BARE_READERS + (i - BARE_READERS) % WAYS];
        readers[i].build = &builds[(i - BARE_READERS) / WAYS];
    }
}

static int is_bare(const reader *self) { return self - readers < BARE_READERS; }

static void open_reader(reader *self)
{
    if (is_bare(self)) must(self->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), "inotify_init1");
    else self->inotify = open_instance(self->build);
}

static void close_reader(reader *self)
{
    if (is_bare(self)) close(self->fd);
    else self->build->close(self->inotify);
}

static void watch(reader *self)
{
    if (is_bare(self)) {
        for (int i = 0; i < watched_count; i++)
            must(self->wds[i] = inotify_add_watch(self->fd, watched[i], MASK), "inotify_add_watch");
    } else if (recursive) {
        MUST(self->build, add_recursive(self->inotify, root, MASK, NULL, &self->ids[0]));
    } else {
        for (int i = 0; i < watched_count; i++)
            MUST(self->build, add_watch(self->inotify, watched[i], MASK, &self->ids[i]));
    }
}

static void unwatch(reader *self)
{
    if (is_bare(self)) {
        for (int i = 0; i < watched_count; i++) inotify_rm_watch(self->fd, self->wds[i]);
        while (read(self->fd, buffer, sizeof buffer) > 0) {}
    } else {
        asyncinotify_event event;
        for (int i = 0; i < (recursive ? 1 : watched_count); i++)
            MUST(self->build, rm_watch(self->inotify, self->ids[i]));
        while (self->build->get(self->inotify, &event) == 1) {}
    }
}

static double take_turn(reader *self, void (*fill)(void))
{
    long expected = (long)DIRECTORIES * files_per_directory * EVENTS_PER_FILE;
    watch(self);
    fill();
    double start = cpu_ns();
    long count = self->drain(self);
    double spent = cpu_ns() - start;
    if (count != expected) die("%s: %ld events, %ld expected", self->name, count, expected);
    unwatch(self);
    return spent / (double)count;
}

static void compare(const char *title, void (*fill)(void), double goal, int rounds)
{
    for (int i = 0; i < reader_count; i++) open_reader(&readers[i]);

    checking = 1;
    for (int i = BARE_READERS; i < reader_count; i++) {
        check_sum = 0;
        take_turn(&readers[i], fill);
        if (check_sum != expected_sum()) die("%s: wrong paths", readers[i].name);
    }
    checking = 0;

    for (int round = -2; round < rounds; round++) {    /* two to get warm */
        int order[MAX_READERS];
        shuffle(order, reader_count);
        for (int i = 0; i < reader_count; i++) {
            double ns = take_turn(&readers[order[i]], fill);
            if (round >= 0) readers[order[i]].ns[round] = ns;
        }
    }

    double bare[MAX_ROUNDS];
    for (int round = 0; round < rounds; round++) bare[round] = (readers[0].ns[round] + readers[1].ns[round]) / 2;
    for (int i = 1; i < BARE_READERS + WAYS; i++) {
        char what[160];
        snprintf(what, sizeof what, "drain, %s: %s, CPU an event", title, readers[i].name);
        row_rounds(what, readers[i].ns, i == 1 ? readers[0].ns : bare, is_bare(&readers[i]) || build_count < 2 ? NULL : readers[i + WAYS].ns,
                   (size_t)rounds, is_bare(&readers[i]) ? 0 : goal);
    }
    for (int i = 0; i < reader_count; i++) close_reader(&readers[i]);
}

/* ---- the directories ---- */

static void add_directory(const char *path, int leaf_index)
{
    must(mkdir(path, 0700), path);
    strcpy(watched[watched_count++], path);
    if (leaf_index < 0) return;
    strcpy(leaf[leaf_index], path);
    must(leaf_fd[leaf_index] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path);
}

static void make_flat(void)
{
    char path[256];
    watched_count = 0;
    for (int d = 0; d < DIRECTORIES; d++) {
        snprintf(path, sizeof path, "%.200s/directory-%03d", scratch, d);
        add_directory(path, d);
    }
}

/* Ten branches; the hundred directories with files are the sixth level below the root. */
static void make_deep(void)
{
    char path[256];
    watched_count = 0;
    snprintf(root, sizeof root, "%.200s/tree", scratch);
    add_directory(root, -1);
    for (int branch = 0; branch < 10; branch++) {
        int length = snprintf(path, sizeof path, "%.150s", root);
        static const char *const levels[] = { "branch-%d", "sources", "library", "modules", "network" };
        for (size_t level = 0; level < sizeof levels / sizeof *levels; level++) {
            path[length++] = '/';
            if (level == 0) length += sprintf(path + length, "branch-%d", branch);
            else length += sprintf(path + length, "%s", levels[level]);
            add_directory(path, -1);
        }
        for (int d = 0; d < 10; d++) {
            sprintf(path + length, "/leaf-%d", d);
            add_directory(path, branch * 10 + d);
        }
    }
}

static void close_leaves(void) { for (int d = 0; d < DIRECTORIES; d++) close(leaf_fd[d]); }

int main(void)
{
    int rounds = (int)env_number("BENCH_ROUNDS", quick() ? 7 : 41);
    if (rounds < 1 || rounds > MAX_ROUNDS) die("BENCH_ROUNDS: 1 to %d", MAX_ROUNDS);
    long queue = read_sysctl("max_queued_events");
    long events = queue > 0 && queue < 16100 ? queue - 100 : 16000;
    files_per_directory = (int)(events / (DIRECTORIES * EVENTS_PER_FILE));
    if (files_per_directory < 1) die("fs.inotify.max_queued_events is %ld: too few to measure", queue);
    note("drain: %d events a turn, %d rounds", files_per_directory * DIRECTORIES * EVENTS_PER_FILE, rounds);

    load_builds();
    make_readers();
    make_scratch(fast_folder());
    pin(allowed_cpu(1) >= 0 ? allowed_cpu(1) : allowed_cpu(0));
    make_flat();
    compare("100 directories", fill_scattered, 1.08, rounds);
    compare("100 directories, file by file", fill_one_by_one, 1.08, rounds);
    close_leaves();
    make_deep();
    recursive = 1;
    compare("tree of depth 6", fill_scattered, 1.08, rounds);
    compare("tree of depth 6, file by file", fill_one_by_one, 1.08, rounds);
    close_leaves();
    return sink == 1;   /* never, but the compiler cannot know */
}
