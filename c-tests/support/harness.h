/* A small harness for tests in plain C.
 *
 * Each TEST runs in a process and in an empty directory of its own, which is its working directory, so a test names its files
 * "d/f" and a crash, a hang or a changed limit stays its own. A failing CHECK ends the test. After the test the harness
 * checks that no file descriptor and no kernel watch was left behind. */
#ifndef HARNESS_H
#define HARNESS_H

#include <asyncinotify.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

/* How long a test waits for what must come. Nothing in the tests is timed by it unless it fails. */
#define PATIENCE_MS 10000

/* ---- tests ---- */

void test_register(const char *file, const char *name, void (*run)(void));

#define TEST(name)                                                                                                    \
    static void name(void);                                                                                           \
    __attribute__((constructor)) static void register_##name(void) { test_register(__FILE__, #name, name); }          \
    static void name(void)

/* A program of its own, started with run_helper or start_helper: what it does, it does at native speed even under valgrind. */
void helper_register(const char *name, int (*run)(char **args));

#define HELPER(name)                                                                                                  \
    static int helper_##name(char **args);                                                                            \
    __attribute__((constructor)) static void register_helper_##name(void) { helper_register(#name, helper_##name); }  \
    static int helper_##name(char **args)

/* The kernel forbids it here: stays a skip. */
#define SKIP(...) test_skip(false, __VA_ARGS__)
/* Something could be installed, "tool (install package)": a failure under REQUIRE_ALL=1. */
#define MISSING(...) test_skip(true, __VA_ARGS__)

_Noreturn void test_skip(bool missing, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

bool under_valgrind(void);

/* ---- checks ---- */

#define CHECK(condition) ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, "not true: %s", #condition))
#define CHECK_INT(actual, expected)                                                                                   \
    check_int(__FILE__, __LINE__, #actual, (long long)(actual), #expected, (long long)(expected))
#define CHECK_HEX(actual, expected)                                                                                   \
    check_hex(__FILE__, __LINE__, #actual, (unsigned long long)(actual), (unsigned long long)(expected))
#define CHECK_STR(actual, expected) check_str(__FILE__, __LINE__, #actual, (actual), (expected))
#define CHECK_CONTAINS(text, part) check_contains(__FILE__, __LINE__, #text, (text), (part))
/* A library call that must succeed; gives its result. */
#define OK(call) check_ok(__FILE__, __LINE__, #call, (intptr_t)(call))
/* A system call that must not be -1; gives its result. */
#define SYS(call) check_sys(__FILE__, __LINE__, #call, (long)(call))
#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

void check_int(const char *file, int line, const char *what, long long actual, const char *expected_text, long long expected);
void check_hex(const char *file, int line, const char *what, unsigned long long actual, unsigned long long expected);
void check_str(const char *file, int line, const char *what, const char *actual, const char *expected);
void check_contains(const char *file, int line, const char *what, const char *text, const char *part);
intptr_t check_ok(const char *file, int line, const char *what, intptr_t result);
long check_sys(const char *file, int line, const char *what, long result);

/* ---- files ---- */

/* All of them fail the test when they fail. Paths take printf's formats. */
#define PATH_FORMAT __attribute__((format(printf, 1, 2)))
void make_dir(const char *path, ...) PATH_FORMAT;
void make_dirs(const char *path, ...) PATH_FORMAT; /* mkdir -p */
void make_file(const char *path, ...) PATH_FORMAT; /* CREATE, OPEN, CLOSE_WRITE */
void write_file(const char *path, ...) PATH_FORMAT; /* CREATE, OPEN, MODIFY, CLOSE_WRITE */
void remove_file(const char *path, ...) PATH_FORMAT;
void remove_dir(const char *path, ...) PATH_FORMAT;
void remove_all(const char *path, ...) PATH_FORMAT; /* rm -rf, whatever the depth */
void make_entry(const char *path); /* mknod of a regular file: CREATE and nothing else */
void rename_entry(const char *from, const char *to);
void exchange_entries(const char *one, const char *other); /* RENAME_EXCHANGE; skips where the filesystem can't */
bool exists(const char *path);
const char *text(const char *format, ...) PATH_FORMAT; /* formatted; one of 64 buffers in turn */
const char *test_dir(void); /* absolute path of the test's directory */

/* ---- instances, watches, what the kernel says ---- */

asyncinotify *open_instance(void); /* non-blocking, as by default */
asyncinotify *open_instance_with(uint32_t init_flags);
asyncinotify_watch watch(asyncinotify *in, const char *path, uint32_t mask);
asyncinotify_watch tree(asyncinotify *in, const char *path, uint32_t mask);
asyncinotify_watch tree_with(asyncinotify *in, const char *path, uint32_t mask, uint32_t flags);
asyncinotify_watch tree_options(asyncinotify *in, const char *path, uint32_t mask, uint32_t flags, uint32_t max_depth,
                                asyncinotify_filter filter, void *filter_userdata);
void remove_watch(asyncinotify *in, asyncinotify_watch id);
const char *watch_path(asyncinotify *in, asyncinotify_watch id); /* one of 64 buffers in turn */

/* Takes all watches away, drains, checks that the kernel has no watch left, and closes. */
void finish(asyncinotify *in);

int kernel_watches(asyncinotify *in); /* lines in /proc/self/fdinfo of the inotify fd */
uint32_t kernel_mask(asyncinotify *in, int wd); /* as in /proc/self/fdinfo; 0 if there is none */
int queued_bytes(asyncinotify *in); /* FIONREAD on the kernel's fd */
int open_fds(void);

/* ---- events ---- */

/* "CREATE|ISDIR d/a", "MOVED_TO d/b <- d/a", "SYNTHETIC CREATE d/f", "SYNC_END d", "ERROR:EACCES ISDIR d/x",
   "HEALED ISDIR d/x", "Q_OVERFLOW -" */
const char *event_text(const asyncinotify_event *event);

bool readable(asyncinotify *in); /* poll(2) with time-out 0 */
void wait_readable(asyncinotify *in); /* fails the test after PATIENCE_MS */
asyncinotify_event take(asyncinotify *in); /* the next event; waits for it */

/* All events there are, in exactly this order, and nothing more. */
#define expect(in, ...) expect_texts(__FILE__, __LINE__, (in), IN_ORDER, (const char *const[]){__VA_ARGS__, NULL})
/* The same events, in any order. */
#define expect_any_order(in, ...) expect_texts(__FILE__, __LINE__, (in), ANY_ORDER, (const char *const[]){__VA_ARGS__, NULL})
/* The same, in any order, whether the kernel told of them or the library (SYNTHETIC). */
#define expect_told(in, ...)                                                                                          \
    expect_texts(__FILE__, __LINE__, (in), ANY_ORDER | ANY_ORIGIN, (const char *const[]){__VA_ARGS__, NULL})
#define expect_nothing(in) expect_texts(__FILE__, __LINE__, (in), IN_ORDER, (const char *const[]){NULL})

enum { IN_ORDER = 0, ANY_ORDER = 1, ANY_ORIGIN = 2 };
void expect_texts(const char *file, int line, asyncinotify *in, int how, const char *const *expected);

/* Every event taken, copied. */
struct log {
    asyncinotify_event **events;
    size_t count, room;
};
/* Takes all there is until the fd is not readable any more; may be called again to add more. */
void collect(asyncinotify *in, struct log *log);
/* Goes on until an event with this flag has come. */
void collect_until_flag(asyncinotify *in, struct log *log, uint32_t flag);
/* How many events have all these mask bits (0: any) and flags (0: any) and this path (NULL: any). */
size_t log_count(const struct log *log, uint32_t mask, uint32_t flags, const char *path);
const asyncinotify_event *log_find(const struct log *log, uint32_t mask, uint32_t flags, const char *path);
void log_print(const struct log *log);
void log_clear(struct log *log);
void drain(asyncinotify *in); /* takes all there is, forgets it */

/* ---- a replica of a tree, kept from events alone ---- */

struct replica;
struct replica *replica_new(const char *root);
void replica_scan(struct replica *replica); /* starts from what is on the disk now */
void replica_apply(struct replica *replica, const asyncinotify_event *event);
void replica_apply_log(struct replica *replica, const struct log *log);
void replica_follow(struct replica *replica, asyncinotify *in); /* takes all there is */
/* From now on replica_look_anew() follows each SYNC_END without a list; first: one is to come before all is told. */
void replica_will_look(struct replica *replica, bool first);
/* At rest, after a SYNC_END without a list: what there is now, and of what it knows by ERROR what still can't be watched. */
void replica_look_anew(struct replica *replica, asyncinotify *in, asyncinotify_watch id);
/* The directories of which it knows by ERROR that they can't be watched are those that watch_each_trouble lists. */
void replica_check_troubles(struct replica *replica, asyncinotify *in, asyncinotify_watch id);
/* Fails the test where the replica differs from the disk, but for what is below those; where a CREATE came for what was there
   already, or a HEALED for what no ERROR had named. */
#define CHECK_REPLICA(replica) replica_check(__FILE__, __LINE__, (replica))
void replica_check(const char *file, int line, struct replica *replica);
void replica_free(struct replica *replica);

/* The directories that watch_each_directory lists are those on the disk, from root down, symbolic links not followed. */
#define CHECK_DIRECTORIES(in, id, root) check_directories(__FILE__, __LINE__, (in), (id), (root))
void check_directories(const char *file, int line, asyncinotify *in, asyncinotify_watch id, const char *root);

/* ---- processes, threads, time ---- */

pid_t start_helper(const char *name, ...); /* further arguments: strings, then NULL */
void run_helper(const char *name, ...);
void wait_helper(pid_t pid);

struct thread {
    pthread_t thread;
    _Atomic pid_t tid;
    void *(*run)(void *);
    void *argument;
};
void start_thread(struct thread *thread, void *(*run)(void *), void *argument);
void *join_thread(struct thread *thread);
/* Returns once the thread sleeps in poll(2) or one of its relatives. */
void wait_until_blocked(struct thread *thread);

double now_ms(void); /* monotonic */
double cpu_ms(void); /* of the whole process */
void pause_ms(int ms); /* to watch that nothing happens, never to wait for something */

/* ---- what needs rights ---- */

void enter_user_namespace(void); /* skips where forbidden */
void enter_mount_namespace(void); /* skips where forbidden; mounts made in it are seen by this test only */
void limit_inotify(const char *what, int most); /* "watches" or "instances", in this test's user namespace */
void become_nobody(void); /* for good; skips when not root and leaves a user who is not root as is */
int max_queued_events(void);
void make_overflow(const char *dir); /* more CREATE events in dir than a queue holds; nothing is left there */
void grow(const char *dir, int count); /* as many subdirectories, with a file in each */

/* The events that a replica needs. */
enum { ENTRIES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO };

#endif
