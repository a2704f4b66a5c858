/* Who hears of everything? burst NAME PEER [NAME PEER ...]
 *
 * While a peer watches an empty folder, 1000 x dI/a/b/c/leaf are made as fast as it goes; when it has fallen silent,
 * 500 of the dI are renamed to rI, a file "after" made at the bottom of each at once. Counted is how many of either
 * were reported by their full and right path. Twice for each peer; one line a peer, in Markdown.
 */
#include "bench.h"
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

enum { LEAVES = 1000, RENAMES = 500, RUNS = 2 };

static char root[300];
static char heard_leaf[LEAVES], heard_after[RENAMES];

static void hear(const char *line)
{
    size_t length = strlen(root);
    int i, end = 0;
    if (strncmp(line, root, length)) return;
    line += length;
    if (sscanf(line, "/d%d/a/b/c/leaf%n", &i, &end) == 1 && end && !line[end] && i >= 0 && i < LEAVES) heard_leaf[i] = 1;
    end = 0;
    if (sscanf(line, "/r%d/a/b/c/after%n", &i, &end) == 1 && end && !line[end] && i >= 0 && i < RENAMES) heard_after[i] = 1;
}

/* Reads lines until one equals `until`, or until nothing came for so many milliseconds. False at end of file. */
static int listen_to(int fd, const char *until, int silence_ms)
{
    static char pending[65536];
    static size_t filled;
    for (;;) {
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        if (poll(&wait, 1, silence_ms) == 0) return 1;
        ssize_t got = read(fd, pending + filled, sizeof pending - filled - 1);
        if (got <= 0) { filled = 0; return 0; }
        filled += (size_t)got;
        pending[filled] = 0;
        char *line = pending, *end;
        int found = 0;
        while ((end = strchr(line, '\n'))) {
            *end = 0;
            hear(line);
            if (until && !strcmp(line, until)) found = 1;
            line = end + 1;
        }
        filled -= (size_t)(line - pending);
        memmove(pending, line, filled);
        if (found) return 1;
    }
}

static void make(const char *format, int i, int directory)
{
    char path[400];
    int length = snprintf(path, sizeof path, "%s", root);
    snprintf(path + length, sizeof path - (size_t)length, format, i);
    int result = directory ? mkdir(path, 0700) : open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (result < 0) die("%s: %s", path, strerror(errno));
    if (!directory) close(result);
}

static int count(const char *heard, int size)
{
    int n = 0;
    for (int i = 0; i < size; i++) n += heard[i];
    return n;
}

static void run(const char *peer, int *leaves, int *afters)
{
    int out[2];
    memset(heard_leaf, 0, sizeof heard_leaf);
    memset(heard_after, 0, sizeof heard_after);
    if (mkdir(root, 0700) || pipe2(out, O_CLOEXEC)) die("%s: %s", root, strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], 1);
        execl(peer, peer, "burst", root, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    if (!listen_to(out[0], "ready", 10000)) die("%s did not start", peer);

    for (int i = 0; i < LEAVES; i++) {
        make("/d%d", i, 1);
        make("/d%d/a", i, 1);
        make("/d%d/a/b", i, 1);
        make("/d%d/a/b/c", i, 1);
        make("/d%d/a/b/c/leaf", i, 0);
    }
    listen_to(out[0], NULL, 1500);
    for (int i = 0; i < RENAMES; i++) {
        char old[400], new[400];
        snprintf(old, sizeof old, "%s/d%d", root, i);
        snprintf(new, sizeof new, "%s/r%d", root, i);
        if (rename(old, new)) die("rename %s: %s", old, strerror(errno));
        make("/r%d/a/b/c/after", i, 0);
    }
    listen_to(out[0], NULL, 1500);
    make("/the-end%.0d", 0, 0);
    while (listen_to(out[0], NULL, 5000) && waitpid(pid, NULL, WNOHANG) == 0) kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(out[0]);
    remove_tree(root);
    *leaves = count(heard_leaf, LEAVES);
    *afters = count(heard_after, RENAMES);
}

int main(int argc, char **argv)
{
    /* On a disk, where people's trees are: on tmpfs it is made so fast that most peers hear of nothing. */
    const char *base = getenv("BENCH_DIR");
    make_scratch(base && *base ? base : "/tmp");
    snprintf(root, sizeof root, "%.200s/tree", scratch);
    for (int i = 1; i + 1 < argc; i += 2) {
        int leaves[RUNS], afters[RUNS];
        for (int n = 0; n < RUNS; n++) run(argv[i + 1], &leaves[n], &afters[n]);
        printf("| %s | %d and %d of %d | %d and %d of %d |\n", argv[i], leaves[0], leaves[1], LEAVES, afters[0], afters[1], RENAMES);
        fflush(stdout);
    }
    return 0;
}
