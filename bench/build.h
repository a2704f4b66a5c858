/* Builds of the library, loaded by path: the one that is measured, and, if there is one, another to compare with.
 *
 * BENCH_LIBRARY and BENCH_BASE name the two shared objects; bench/run sets them. */
#ifndef BUILD_H
#define BUILD_H
#include "bench.h"
#include <asyncinotify.h>
#include <dlfcn.h>

#define FUNCTIONS(X) \
    X(new) X(close) X(fd) X(raw_fd) X(add_watch) X(add_recursive) X(rm_watch) X(watch_each_directory) \
    X(get) X(get_events) X(dispatch) X(last_error_message)

typedef struct {
    const char *label;                   /* follows the name of what is measured */
#define FIELD(name) __typeof__(asyncinotify_##name) *name;
    FUNCTIONS(FIELD)
#undef FIELD
} build;

enum { NEW, BASE, MAX_BUILDS };
static build builds[MAX_BUILDS];
static int build_count;

static inline void load_build(const char *variable, const char *label)
{
    const char *path = getenv(variable);
    if (!path || !*path) return;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) die("%s", dlerror());
    build *it = &builds[build_count++];
    it->label = label;
#define LOOK_UP(name) \
    if (!(it->name = (__typeof__(it->name))dlsym(library, "asyncinotify_" #name))) die("%s", dlerror());
    FUNCTIONS(LOOK_UP)
#undef LOOK_UP
}

/* At least one. */
static inline void load_builds(void)
{
    load_build("BENCH_LIBRARY", "");
    if (!build_count) die("BENCH_LIBRARY: the path of libasyncinotify.so");
    load_build("BENCH_BASE", " (BASE)");
}

#define MUST(build, call) do { if ((build)->call) die("%s", (build)->last_error_message()); } while (0)

static inline asyncinotify *open_instance(const build *it)
{
    asyncinotify *inotify;
    MUST(it, new(ASYNCINOTIFY_INIT_DEFAULT, &inotify));
    return inotify;
}

#endif
