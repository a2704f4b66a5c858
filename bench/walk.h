/* For the benchmarks of trees: the kernel's limit of watches, and the baseline, a bare walk. */
#ifndef WALK_H
#define WALK_H
#include "bench.h"
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/syscall.h>

static inline void must(int ok, const char *what) { if (ok < 0) die("%s: %s", what, strerror(errno)); }

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
        note("fs.inotify.max_user_watches raised from %ld to %ld for this run", limit, needed);
        return wanted;
    }
    long scaled = (limit - 1000) * 4 / 5;
    if (scaled < 100) die("fs.inotify.max_user_watches is %ld: too few to measure", limit);
    note("fs.inotify.max_user_watches is %ld and can't be raised: %ld directories instead of %ld", limit, scaled, wanted);
    return scaled;
}

/* ---- the baseline ---- */

struct dirent64_raw { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; char name[]; };

static char walk_path[PATH_MAX];
static long walked;
static uint32_t walk_mask;

static void walk(int inotify, int fd, size_t length)
{
    char buffer[32 * 1024] __attribute__((aligned(8)));
    long got;
    if (inotify_add_watch(inotify, walk_path, walk_mask) < 0) die("inotify_add_watch %s: %s", walk_path, strerror(errno));
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

static void bare_setup(int inotify, const char *root, uint32_t mask, long total)
{
    walk_mask = mask;
    strcpy(walk_path, root);
    walked = 0;
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(fd, root);
    walk(inotify, fd, strlen(root));
    close(fd);
    if (walked != total) die("%ld directories walked, %ld expected", walked, total);
}

#endif
