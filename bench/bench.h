/* What all benchmarks share: clocks, medians, a scratch folder, and the rows of the final table. */
#ifndef BENCH_H
#define BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

__attribute__((noreturn, format(printf, 1, 2), unused))
static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

__attribute__((format(printf, 1, 2), unused))
static void note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

/* ---- clocks, in nanoseconds ---- */

static inline double clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
static inline double wall_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
/* Of the whole process: a library that worked in a thread of its own could not hide it. */
static inline double cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }
static inline double thread_cpu_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

/* ---- statistics ---- */

static inline int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the values in place. */
static inline double quantile(double *values, size_t count, double q)
{
    if (count == 0) die("no samples");
    qsort(values, count, sizeof *values, compare_doubles);
    double at = q * (double)(count - 1);
    size_t low = (size_t)at;
    size_t high = low + 1 < count ? low + 1 : low;
    return values[low] + (values[high] - values[low]) * (at - (double)low);
}
static inline double median(double *values, size_t count) { return quantile(values, count, 0.5); }

/* The median of ours[i] / baseline[i]: each round is compared with itself, so that a slow minute of the
   machine falls on both sides. Leaves its arguments in order. */
static inline double median_ratio(const double *ours, const double *baseline, size_t count)
{
    double *ratios = malloc(count * sizeof *ratios);
    for (size_t i = 0; i < count; i++) ratios[i] = ours[i] / baseline[i];
    double result = median(ratios, count);
    free(ratios);
    return result;
}

static inline uint64_t random_u64(void)
{
    static uint64_t x = 0x9e3779b97f4a7c15u;
    x ^= x << 13; x ^= x >> 7; x ^= x << 17;
    return x;
}

/* The order of a round: 0 to count-1, shuffled. */
static inline void shuffle(int *order, int count)
{
    for (int i = 0; i < count; i++) order[i] = i;
    for (int i = count - 1; i > 0; i--) {
        int j = (int)(random_u64() % (uint64_t)(i + 1)), t = order[i];
        order[i] = order[j]; order[j] = t;
    }
}

/* ---- settings ---- */

static inline int quick(void)
{
    const char *value = getenv("BENCH_QUICK");
    return value && *value && strcmp(value, "0") != 0;
}

static inline long env_number(const char *name, long otherwise)
{
    const char *value = getenv(name);
    return value && *value ? strtol(value, NULL, 10) : otherwise;
}

static inline long read_sysctl(const char *name)
{
    char path[128];
    long value = -1;
    snprintf(path, sizeof path, "/proc/sys/fs/inotify/%s", name);
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%ld", &value) != 1) value = -1;
        fclose(file);
    }
    return value;
}

/* The n-th CPU this process may run on, or -1. */
static inline int allowed_cpu(int n)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set) && n-- == 0) return cpu;
    return -1;
}

/* Pins the calling thread. */
static inline void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (cpu >= 0 && sched_setaffinity(0, sizeof set, &set)) note("cannot pin to CPU %d: %s", cpu, strerror(errno));
}

/* ---- a folder for one run, gone at exit ---- */

static char scratch[256];

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st; (void)type; (void)ftw;
    return remove(path);
}
static inline void remove_tree(const char *path) { nftw(path, remove_entry, 64, FTW_DEPTH | FTW_PHYS); }
static inline void remove_scratch(void) { if (*scratch) remove_tree(scratch); }

static inline void make_scratch(const char *parent)
{
    snprintf(scratch, sizeof scratch, "%.200s/asyncinotify-bench-XXXXXX", parent);
    if (!mkdtemp(scratch)) die("mkdtemp %s: %s", scratch, strerror(errno));
    atexit(remove_scratch);
}

/* tmpfs where there is one, for benchmarks in which file operations are made but not measured. */
static inline const char *fast_folder(void)
{
    const char *temporary = getenv("TMPDIR");
    return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : temporary && *temporary ? temporary : "/tmp";
}

/* ---- rows of the table: what, measured, baseline, ratio, ratio of BASE, measured against BASE, goal, reached ---- */

static inline const char *format_ns(char buffer[32], double ns)
{
    if (ns < 0) snprintf(buffer, 32, "-%.0f ns", -ns);
    else if (ns < 1e4) snprintf(buffer, 32, "%.0f ns", ns);
    else if (ns < 1e6) snprintf(buffer, 32, "%.1f µs", ns / 1e3);
    else if (ns < 1e9) snprintf(buffer, 32, "%.1f ms", ns / 1e6);
    else snprintf(buffer, 32, "%.2f s", ns / 1e9);
    return buffer;
}

static inline const char *verdict(double value, double goal)
{
    return goal <= 0 ? "" : value <= goal ? "reached" : "**not reached**";
}

/* So many columns, NULL or a ratio of 0 for an empty one. */
__attribute__((unused))
static void row_ratios(const char *what, double ours, double baseline, double ratio, double base_ratio, double against_base, double goal)
{
    char a[32], b[32], base[2][32] = { "", "" }, g[32] = "";
    if (goal > 0) snprintf(g, sizeof g, "≤ %.2f", goal);
    if (base_ratio > 0) snprintf(base[0], sizeof base[0], "%.3f", base_ratio);
    if (against_base > 0) snprintf(base[1], sizeof base[1], "%.3f", against_base);
    printf("| %s | %s | %s | %.3f | %s | %s | %s | %s |\n", what, format_ns(a, ours), format_ns(b, baseline), ratio, base[0], base[1],
           g, verdict(ratio, goal));
    fflush(stdout);
}

/* Two times and their ratio; goal 0: a figure without a goal. */
__attribute__((unused))
static void row_ratio(const char *what, double ours, double baseline, double ratio, double goal)
{
    row_ratios(what, ours, baseline, ratio, 0, 0, goal);
}

/* The same from the rounds themselves, with those of BASE if it is there; they stay in order. */
__attribute__((unused))
static void row_rounds(const char *what, const double *ours, const double *baseline, const double *base, size_t count, double goal)
{
    double *sorted[2];
    for (int i = 0; i < 2; i++) {
        sorted[i] = malloc(count * sizeof **sorted);
        memcpy(sorted[i], i ? baseline : ours, count * sizeof **sorted);
    }
    row_ratios(what, median(sorted[0], count), median(sorted[1], count), median_ratio(ours, baseline, count),
               base ? median_ratio(base, baseline, count) : 0, base ? median_ratio(ours, base, count) : 0, goal);
    free(sorted[0]);
    free(sorted[1]);
}

/* One value with a goal of its own unit, and that of BASE or a negative number. */
__attribute__((unused))
static void row_values(const char *what, double value, double base, const char *unit, double goal)
{
    char g[48] = "", b[2][48] = { "", "" };
    if (goal > 0) snprintf(g, sizeof g, "≤ %.0f %s", goal, unit);
    if (base >= 0) snprintf(b[0], sizeof b[0], "%.1f %s", base, unit);
    if (base > 0) snprintf(b[1], sizeof b[1], "%.3f", value / base);
    printf("| %s | %.1f %s | | | %s | %s | %s | %s |\n", what, value, unit, b[0], b[1], g, verdict(value, goal));
    fflush(stdout);
}

__attribute__((unused))
static void row_value(const char *what, double value, const char *unit, double goal)
{
    row_values(what, value, -1, unit, goal);
}

#endif
