/* Memory runs out at any place: no call ends the process, none loses anything, and each may be repeated. */
#include "harness.h"

#ifndef SANITIZED /* the sanitizers stand in for malloc(3) themselves */

#include <sys/mman.h>
#include <sys/syscall.h>

/* The test's own allocator stands before the system's: the library's requests come through it. */
extern void *__libc_malloc(size_t size), *__libc_calloc(size_t count, size_t size), *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

/* Requests from the first-th on are refused, so many. */
static int first, refusals;
static bool refusing, refused;

static bool refuse(void)
{
    if (!refusing || --first > 0 || refusals == 0)
        return false;
    refusals--;
    refused = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size) { return refuse() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return refuse() ? NULL : __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return refuse() ? NULL : __libc_realloc(old, size); }
int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = refuse() ? NULL : __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return refuse() ? MAP_FAILED : (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
}

/* An instance with a plain watch and a tree, of which nothing was taken yet. */
struct state {
    asyncinotify *in;
    asyncinotify_watch plain, tree;
    struct log log;
    bool tree_is_gone, plain_is_gone;
};

static int keep(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    struct log *log = userdata;
    asyncinotify_event *copy;
    bool before = refusing;
    (void)in;
    refusing = false;
    OK(asyncinotify_event_dup(event, &copy));
    log->events = realloc(log->events, (log->count + 1) * sizeof *log->events);
    log->events[log->count++] = copy;
    log->room = log->count;
    refusing = before;
    return 0;
}

static int yes(asyncinotify *in, const char *path, size_t len, void *userdata)
{
    (void)in, (void)path, (void)len, (void)userdata;
    return 1;
}

static void nothing(void *userdata) { (void)userdata; }

static intptr_t new_one(struct state *s)
{
    asyncinotify *other = NULL;
    int result = asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &other);
    (void)s;
    if (result == 0)
        asyncinotify_close(other);
    return result;
}
static intptr_t add(struct state *s) { return asyncinotify_add_watch(s->in, "t/a/d", IN_ALL_EVENTS, NULL); }
static intptr_t add_tree(struct state *s)
{
    asyncinotify_watch id;
    int result = asyncinotify_add_recursive(s->in, "u", IN_CREATE, NULL, &id);
    return result < 0 ? result : asyncinotify_rm_watch(s->in, id) < 0 ? -ENOMEM : 0;
}
static intptr_t add_filtered(struct state *s)
{
    asyncinotify_recursive_options options = {.size = sizeof options, .filter = yes, .filter_destroy = nothing};
    asyncinotify_watch id;
    int result = asyncinotify_add_recursive(s->in, "u", IN_CREATE, &options, &id);
    return result < 0 ? result : asyncinotify_rm_watch(s->in, id) < 0 ? -ENOMEM : 0;
}
static intptr_t rm_plain(struct state *s)
{
    int result = s->plain_is_gone ? 0 : asyncinotify_rm_watch(s->in, s->plain);
    s->plain_is_gone |= result == 0;
    return result;
}
static intptr_t rm_tree(struct state *s)
{
    int result = s->tree_is_gone ? 0 : asyncinotify_rm_watch(s->in, s->tree);
    s->tree_is_gone |= result == 0;
    return result;
}
static intptr_t path_of(struct state *s)
{
    char path[64];
    intptr_t result = asyncinotify_watch_path(s->in, s->tree, path, sizeof path);
    return result < 0 ? result : 0;
}
static intptr_t set_path(struct state *s) { return asyncinotify_watch_set_path(s->in, s->plain, "t"); }
static intptr_t set_tree_path(struct state *s) { return asyncinotify_watch_set_path(s->in, s->tree, "t/a"); }
static intptr_t set_userdata(struct state *s) { return asyncinotify_watch_set_userdata(s->in, s->plain, s, nothing); }
static intptr_t set_callback(struct state *s) { return asyncinotify_watch_set_callback(s->in, s->plain, NULL); }
static intptr_t list_watches(struct state *s)
{
    asyncinotify_watch ids[4];
    intptr_t result = asyncinotify_watches(s->in, ids, 4);
    return result < 0 ? result : 0;
}
static intptr_t list_directories(struct state *s)
{
    intptr_t result = asyncinotify_watch_each_directory(s->in, s->tree, NULL, NULL);
    return result < 0 ? result : 0;
}
static intptr_t list_troubles(struct state *s) { return asyncinotify_watch_each_trouble(s->in, s->tree, NULL, NULL); }
static intptr_t cache(struct state *s) { return asyncinotify_set_cache_size(s->in, 300); }
static intptr_t dump(struct state *s)
{
    int null = (int)SYS(open("/dev/null", O_WRONLY | O_CLOEXEC));
    int result = asyncinotify_debug_dump(s->in, null);
    close(null);
    return result;
}
static intptr_t wrong(struct state *s) { return asyncinotify_add_watch(s->in, "nowhere", IN_CREATE, NULL) == -ENOENT ? 0 : 1; }
static intptr_t stale(struct state *s) { return asyncinotify_rm_watch(s->in, 1ull << 60) == -ENOENT ? 0 : 1; }
static intptr_t dispatch(struct state *s)
{
    intptr_t result = asyncinotify_dispatch(s->in, 0, keep, &s->log);
    return result < 0 ? result : 0;
}
static intptr_t run(struct state *s) { return asyncinotify_run(s->in, keep, &s->log); }
static intptr_t get(struct state *s)
{
    asyncinotify_event event;
    int result = asyncinotify_get(s->in, &event);
    if (result == 1)
        keep(s->in, &event, &s->log);
    return result < 0 ? result : 0;
}

static const struct {
    const char *name;
    intptr_t (*call)(struct state *);
} calls[] = {
    {"new", new_one}, {"add_watch", add}, {"add_recursive", add_tree}, {"add_recursive, filter", add_filtered},
    {"rm_watch", rm_plain}, {"rm_watch, tree", rm_tree}, {"watch_path", path_of}, {"watch_set_path", set_path},
    {"watch_set_path, tree", set_tree_path}, {"watch_set_userdata", set_userdata}, {"watch_set_callback", set_callback},
    {"watches", list_watches}, {"watch_each_directory", list_directories}, {"watch_each_trouble", list_troubles},
    {"set_cache_size", cache}, {"debug_dump", dump}, {"add_watch, error", wrong}, {"rm_watch, stale", stale},
    {"dispatch", dispatch}, {"run", run}, {"get", get},
};

static void check_all_told(struct state *s)
{
    const struct log *log = &s->log;
    CHECK_INT(log_count(log, 0, ASYNCINOTIFY_EVENT_ERROR, NULL), 0);
    CHECK_INT(log_count(log, IN_CREATE, 0, "t/a/f"), 1);
    CHECK_INT(log_count(log, IN_CREATE, 0, "t/a/d"), 1);
    CHECK_INT(log_count(log, IN_MOVED_FROM, 0, "t/a/b"), 1);
    CHECK_INT(log_count(log, IN_MOVED_TO, 0, "t/a/c"), 1);
    CHECK_INT(log_count(log, IN_CREATE, 0, "t/x"), 1);
    CHECK_STR(log_find(log, IN_MOVED_TO, 0, "t/y")->moved_from, "t/x");
    if (!s->tree_is_gone) {
        CHECK_INT(log_count(log, IN_CREATE, 0, "t/a/d/in"), 1);
        CHECK_DIRECTORIES(s->in, s->tree, "t/a");
    }
}

/* Makes the call while `count` requests for memory are refused from the n-th on; whether there were so many requests. */
static bool call_with(intptr_t (*call)(struct state *), int n, int count)
{
    struct state s = {0};
    make_dirs("t/a/b");
    make_dirs("u/v/w");
    s.in = open_instance();
    s.plain = watch(s.in, "t", IN_CREATE | IN_MOVE);
    s.tree = tree(s.in, "t/a", IN_CREATE | IN_MOVE | IN_DELETE);
    OK(asyncinotify_set_sync_timeout(s.in, 0));
    make_file("t/a/f");
    rename_entry("t/a/b", "t/a/c");
    make_dirs("t/a/d/in");
    make_file("t/x");
    rename_entry("t/x", "t/y");
    first = n, refusals = count, refused = false, refusing = true;
    intptr_t result = call(&s);
    refusing = false;
    CHECK(result == 0 || result == -ENOMEM);
    if (result < 0) {
        CHECK(refused);
        /* Now there is memory. */
        CHECK_INT(call(&s), 0);
        refusing = false;
    }
    collect(s.in, &s.log);
    check_all_told(&s);
    log_clear(&s.log);
    finish(s.in);
    remove_all("t");
    remove_all("u");
    return refused;
}

TEST(no_function_ends_the_process_or_loses_anything_without_memory)
{
    static const int counts[] = {1, 3, INT_MAX};
    if (under_valgrind())
        SKIP("valgrind has an allocator of its own");
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
            int n = 1;
            while (call_with(calls[i].call, n, counts[k]))
                n += counts[k] == 1 ? 1 : 5;
            /* Some ask for none at all. */
            CHECK(n < 2000);
        }
}

/* Bit by bit there is less of it, down to none: the tree is either watched whole or not at all. */
TEST(a_tree_that_does_not_fit_leaves_nothing_behind)
{
    if (under_valgrind())
        SKIP("valgrind has an allocator of its own");
    for (int i = 0; i < 500; i++)
        make_dir("d%d", i);
    asyncinotify *in = open_instance();
    int failed = 0;
    for (int n = 1;; n += 17) {
        asyncinotify_watch id;
        first = n, refusals = INT_MAX, refused = false, refusing = true;
        int result = asyncinotify_add_recursive(in, ".", IN_CREATE, NULL, &id);
        refusing = false;
        drain(in);
        if (result == 0) {
            CHECK_DIRECTORIES(in, id, ".");
            break;
        }
        CHECK_INT(result, -ENOMEM);
        CHECK_CONTAINS(asyncinotify_last_error_message(), "memory");
        CHECK_INT(kernel_watches(in), 0);
        failed++;
    }
    CHECK(failed > 0);
    finish(in);
}

#endif
