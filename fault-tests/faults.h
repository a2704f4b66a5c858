/* Faults of system calls, and of system calls alone: one call of the library fails, or three, or all for a while.
 *
 * The interposer stands between the library and libc, in this very program: what the library calls, and nobody else, may fail
 * as its plan says. It also keeps the library's clock, so that no test waits and each run is the same as the last.
 *
 * A workload is a program that uses the library. It is played once without faults, which tells how often it makes each
 * system call, and then once for each fault. */
#ifndef FAULTS_H
#define FAULTS_H

#include "harness.h"

/* ---- the interposer ---- */

/* What libc has for the library to ask the kernel by; SYS_getdents64 goes through syscall(2). And malloc(3) with its kin. */
#define EACH_CALL(X)                                                                                                  \
    X(openat) X(open) X(open64) X(close) X(read) X(eventfd_read) X(write) X(eventfd_write) X(poll) X(ioctl) X(fcntl)  \
    X(fstat) X(fstat64) X(fstatat) X(fstatfs) X(statx) X(lseek64) X(readlink) X(getcwd) X(getrandom)                  \
    X(getrlimit) X(faccessat) X(getdents64) X(inotify_init1) X(inotify_add_watch) X(inotify_rm_watch)                 \
    X(epoll_create1) X(epoll_ctl) X(eventfd) X(timerfd_create) X(timerfd_settime) X(clock_nanosleep) X(mmap)    \
    X(malloc)

#define CALL_NUMBER(name) CALL_##name,
enum call { EACH_CALL(CALL_NUMBER) CALLS, ANY_CALL = CALLS };
enum { MOST_ERRORS = 16 };

const char *call_name(int call); /* "any" for ANY_CALL */
const int *call_errors(int call); /* those that it can have, then 0 */

/* In a row. No storm of signals lasts for ever. */
enum { FOR_A_WHILE = 1000000, SIGNALS = 100 };

struct plan {
    int call; /* one of them, or ANY_CALL: each that can have this error */
    int error;
    long first; /* counted from 1 */
    long count; /* how many in a row */
};

const char *plan_text(const struct plan *plan);
bool is_momentary(const struct plan *plan); /* untrue, but for a moment of a rename */

/* From now on the library's calls are counted, and fail as planned. NULL: none fails. *injected counts them. */
void faults_on(const struct plan *plan, long *injected);
/* Others from now on, or none; it is counted on. */
void change_faults(const struct plan *plan);
/* The kernel is well again. */
void faults_off(void);
/* For what a test asks the library for its own sake. */
void suspend_faults(bool suspended);
/* The next call must succeed: there are no faults any more, or no odd surroundings for that one. */
void let_pass(void);
long faults_injected(void);
bool may_come_to(int error); /* it has been planned since there were no faults */
const long *calls_made(void); /* since faults_on(), by call; the last one counts all */

/* A call of the library begins: it fails the test if it makes more system calls than any work can need. */
void watch_for_spin(void);

/* Odd surroundings in which the library works, and nothing else: what is to be done before each call of it and after. Until
   faults_off(). */
struct surroundings {
    void (*enter)(void), (*leave)(void);
    int error; /* which calls may come to there */
};
void surround(const struct surroundings *surroundings);
void enter_surroundings(void);
bool leave_surroundings(void); /* whether there were any */

/* The next read(2) of an inotify descriptor finds that the queue has overflowed, and all that was in it is lost. */
void overflow_at_next_read(void);

/* From now on the library finds no /proc. */
void hide_proc(void);

/* From now on no directory tells the kinds of its entries, as on some filesystems. */
void hide_kinds(void);

/* The library's clock goes on by a fixed step each time it is read, and else only here: by as much as a timer waits for. False
   if no timer is set. */
bool let_time_pass(void);

long library_memory(void); /* allocations that the library has made since the first faults_on(), and not freed */

/* ---- a run ---- */

/* What a workload works on. Its directory is the working directory: "t" is the tree, "out" a directory beside it. */
struct world {
    asyncinotify *in;
    asyncinotify_watch tree; /* 0: none */
    uint32_t flags; /* of the tree */
    uint32_t mask;
    struct replica *replica; /* of t, if the mask is enough for it */
    bool told_anew; /* a SYNC_END without a list: a replica has to look at the disk itself */
    int given, destroyed; /* userdata, with its destroy function */
    bool is_filtered; /* what is named "no" is refused */
    bool moves_root; /* which tells ERROR without any fault */
};

typedef void workload(struct world *world);

/* A test that plays a workload without faults and with each. */
#define WORKLOAD(name)                                                                                                \
    workload workload_##name;                                                                                         \
    TEST(name) { play_with_faults(#name, workload_##name); }                                                          \
    void workload_##name(struct world *world)
void play_with_faults(const char *name, workload *play);

/* How a run without faults begins, with its directory made: it goes to its surroundings, and goes on with `run`. */
typedef void begin(void (*run)(void *), void *of_run);
void surround_next_run(const struct surroundings *surroundings);
/* What there is at the beginning of a run. */
void make_disk(void);
/* What the library makes once in a process it has then, and the last failure has a text of known length. */
void warm_up(void);
void play_in_surroundings(const char *name, workload *play, begin *begin);

/* ---- what a workload does; all of it holds with faults and without ---- */

/* The result of a call that may fail with the error that was injected while it worked, and else must not. */
#define TRY(call) (watch_for_spin(), enter_surroundings(), may_fail(__FILE__, __LINE__, #call, (intptr_t)(call)))
intptr_t may_fail(const char *file, int line, const char *what, intptr_t result);
/* The same of a call that waits, and so may be interrupted; also without a fault, as it was woken. */
#define TRY_TO_WAIT(call) (waits = WAITS, TRY(call))
#define TRY_WOKEN(call) (waits = WOKEN, TRY(call))
enum { WAITS = 1, WOKEN = 2 };
extern int waits; /* the next call */
/* Tries until it succeeds. At the fourth time it must. */
#define INSIST(call)                                                                                                  \
    do                                                                                                                \
        for (int tries = 0; TRY(call) < 0; tries++)                                                                   \
            if (tries == 2)                                                                                           \
                let_pass();                                                                                           \
    while (0)

void insist_on_removal(struct world *world, asyncinotify_watch id);
void open_world(struct world *world, uint32_t init_flags);
void add_tree(struct world *world, uint32_t mask, uint32_t flags);
void add_filtered_tree(struct world *world, uint32_t mask, uint32_t flags);
/* All there is now. */
void take_all(struct world *world);
void apply(struct world *world, const asyncinotify_event *event);
/* No faults any more. What was in the way heals, or has been told; then all is as on the disk. */
void heal(struct world *world);
/* heal(), then removes all watches and closes. */
void end_world(struct world *world);
/* What heal() has left in each directory. */
void remove_touched(const char *path);
void count_destroyed(void *userdata); /* userdata is &world->destroyed */

#endif
