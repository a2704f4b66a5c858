/* What a peer program measures for tree.c and burst.c; each peer is a process of its own, so that its memory is its own.
 *
 *   PEER setup ROOT   watches the tree and prints one line "key=value ..." (nanoseconds, bytes)
 *   PEER burst ROOT   prints "ready", then each full path it hears of, one a line, until it hears of ROOT/the-end
 */
#ifndef PEER_H
#define PEER_H
#include "../bench.h"
#include <malloc.h>

#define PEER_MASK (IN_CREATE | IN_DELETE | IN_MOVE | IN_CLOSE_WRITE)

/* What malloc has handed out. */
static inline double heap_bytes(void)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    struct mallinfo2 info = mallinfo2();
    return (double)(info.uordblks + info.hblkhd);
#else
    return 0;
#endif
}

static inline double status_bytes(const char *key)   /* "VmRSS:", "VmHWM:" */
{
    char line[256];
    double value = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, key, strlen(key))) value = strtod(line + strlen(key), NULL) * 1024;
    if (file) fclose(file);
    return value;
}

typedef struct { double wall, cpu, heap, rss; } usage;

static inline usage usage_now(void)
{
    return (usage){ wall_ns(), cpu_ns(), heap_bytes(), status_bytes("VmRSS:") };
}

static inline void print_usage(usage before)
{
    usage now = usage_now();
    printf("wall=%.0f cpu=%.0f heap=%.0f rss=%.0f peak=%.0f", now.wall - before.wall, now.cpu - before.cpu,
           now.heap - before.heap, now.rss - before.rss, status_bytes("VmHWM:"));
}

static inline int is_the_end(const char *path, size_t length)
{
    static const char end[] = "/the-end";
    size_t n = sizeof end - 1;
    return length >= n && !memcmp(path + length - n, end, n);
}
#endif
