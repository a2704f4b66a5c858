/* The workloads where the surroundings are odd, and not a single call. */
#include "faults.h"
#include "internal.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

workload workload_plain_watches, workload_plain_watches_in_a_tree, workload_listed_tree, workload_long_queue, workload_background_tree,
    workload_filtered_tree, workload_overflow_of_a_plain_tree, workload_overflow_of_a_listed_tree, workload_moved_root,
    workload_end_of_the_root, workload_removal, workload_ways_of_taking, workload_listed_tree_without_proc,
    workload_moved_root_without_proc;

static const struct {
    const char *name;
    workload *play;
} all[] = {
#define NAMED(name) {#name, workload_##name}
    NAMED(plain_watches),
    NAMED(plain_watches_in_a_tree),
    NAMED(listed_tree),
    NAMED(long_queue),
    NAMED(background_tree),
    NAMED(filtered_tree),
    NAMED(overflow_of_a_plain_tree),
    NAMED(overflow_of_a_listed_tree),
    NAMED(moved_root),
    NAMED(end_of_the_root),
    NAMED(removal),
    NAMED(ways_of_taking),
    /* last */
    NAMED(listed_tree_without_proc),
    NAMED(moved_root_without_proc),
};

enum { ALL = sizeof all / sizeof *all, WITH_PROC = ALL - 2 };

static void play_these(size_t count, begin *begin)
{
    for (size_t i = 0; i < count; i++)
        play_in_surroundings(all[i].name, all[i].play, begin);
}

static void play_all(begin *begin)
{
    play_these(ALL, begin);
}

/* ---- signals ---- */

static volatile sig_atomic_t signals;
static sigset_t signal_set;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void let_signals_in(void)
{
    sigprocmask(SIG_UNBLOCK, &signal_set, NULL);
}

static void keep_signals_out(void)
{
    sigprocmask(SIG_BLOCK, &signal_set, NULL);
}

static void begin_among_signals(int flags, void (*run)(void *), void *of_run)
{
    static const struct surroundings among_signals = {let_signals_in, keep_signals_out, EINTR};
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = flags};
    SYS(sigaction(SIGUSR1, &action, NULL));
    sigemptyset(&signal_set);
    sigaddset(&signal_set, SIGUSR1);
    keep_signals_out();
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec often = {{0, 20000}, {0, 20000}};
    timer_t timer;
    SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
    SYS(timer_settime(timer, 0, &often, NULL));
    surround_next_run(&among_signals);
    run(of_run);
    CHECK(signals > 10);
}

static void begin_with_restart(void (*run)(void *), void *of_run)
{
    begin_among_signals(SA_RESTART, run, of_run);
}

static void begin_without_restart(void (*run)(void *), void *of_run)
{
    begin_among_signals(0, run, of_run);
}

TEST(signals_that_restart)
{
    play_all(begin_with_restart);
}

TEST(signals_that_interrupt)
{
    play_all(begin_without_restart);
}

/* ---- few descriptors ---- */

static struct rlimit many, few;
static int spare;

static void let_few_open(void)
{
    int next = dup(STDIN_FILENO);
    close(next);
    few = (struct rlimit){(rlim_t)(next + spare), many.rlim_max};
    SYS(setrlimit(RLIMIT_NOFILE, &few));
}

static void let_many_open(void)
{
    SYS(setrlimit(RLIMIT_NOFILE, &many));
}

static void begin_with_few_descriptors(void (*run)(void *), void *of_run)
{
    static const struct surroundings with_few = {let_few_open, let_many_open, EMFILE};
    SYS(getrlimit(RLIMIT_NOFILE, &many));
    surround_next_run(&with_few);
    run(of_run);
}

TEST(few_descriptors)
{
    enum { ENOUGH = 8 };
    for (spare = 0; spare < ENOUGH; spare++)
        play_all(begin_with_few_descriptors);
}

/* ---- a thread with a descriptor table of its own ---- */

struct in_thread {
    void (*run)(void *);
    void *of_run;
};

static void *run_with_own_table(void *argument)
{
    struct in_thread *it = argument;
    SYS(unshare(CLONE_FILES));
    for (int fd = STDERR_FILENO + 1; fd < 100; fd++)
        close(fd);
    proc_self = (int)SYS(open("/proc/thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC));
    it->run(it->of_run);
    return NULL;
}

/* What has the same numbers in the other table leads elsewhere. */
static void begin_in_thread(void (*run)(void *), void *of_run)
{
    make_dir("decoy");
    for (int i = 0; i < 90; i++)
        SYS(open("decoy", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct in_thread it = {run, of_run};
    struct thread thread;
    start_thread(&thread, run_with_own_table, &it);
    join_thread(&thread);
}

TEST(descriptor_table_of_its_own)
{
    play_all(begin_in_thread);
}

/* ---- no /proc ---- */

static void begin_without_proc(void (*run)(void *), void *of_run)
{
    enter_mount_namespace();
    if (mount("none", "/proc", "tmpfs", 0, NULL) == -1)
        SKIP("can't hide /proc: %s", strerror(errno));
    run(of_run);
}

TEST(no_proc)
{
    play_all(begin_without_proc);
}

/* ---- a long path ---- */

static void begin_deep_below(void (*run)(void *), void *of_run)
{
    int home = (int)SYS(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)), level = dup(home);
    for (int depth = 0; depth < 2 * PATH_MAX / NAME_MAX; depth++) {
        const char *name = text("%0*d", NAME_MAX - 1, depth);
        SYS(mkdirat(level, name, 0755));
        int below = (int)SYS(openat(level, name, O_PATH | O_DIRECTORY | O_CLOEXEC));
        close(level);
        level = below;
    }
    SYS(renameat(home, "t", level, "t"));
    SYS(renameat(home, "out", level, "out"));
    SYS(fchdir(level));
    run(of_run);
    SYS(fchdir(home));
}

TEST(long_path)
{
    /* A path that the kernel does not take is no help. */
    play_these(WITH_PROC, begin_deep_below);
}

/* ---- seccomp ---- */

/* What the library needs, and the test. */
static const int needed[] = {
    SYS_openat, SYS_close, SYS_read, SYS_write, SYS_ppoll, SYS_fcntl, SYS_newfstatat, SYS_fstat, SYS_getdents64, SYS_lseek,
    SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch, SYS_epoll_create1, SYS_epoll_ctl, SYS_eventfd2,
    SYS_timerfd_create, SYS_timerfd_settime, SYS_futex, SYS_mmap, SYS_munmap, SYS_mremap, SYS_brk, SYS_mprotect,
    SYS_clock_gettime, SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_gettid, SYS_getpid,
    /* the test's own */
    SYS_mkdirat, SYS_mknodat, SYS_unlinkat, SYS_renameat2, SYS_fchmodat, SYS_chdir, SYS_exit_group, SYS_dup,
    SYS_tgkill,
#ifdef SYS_poll
    SYS_poll, SYS_renameat, SYS_mkdir, SYS_mknod, SYS_unlink, SYS_rmdir, SYS_rename, SYS_chmod,
#endif
};

static void begin_in_a_sandbox(void (*run)(void *), void *of_run)
{
    enum { NEEDED = sizeof needed / sizeof *needed };
    struct sock_filter code[2 * NEEDED + 2];
    size_t at = 0;
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < NEEDED; i++) {
        code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)needed[i], 0, 1);
        code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    struct sock_fprog program = {.len = (unsigned short)at, .filter = code};
    SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)
        SKIP("seccomp is not to be had here: %s", strerror(errno));
    run(of_run);
}

TEST(sandbox)
{
    play_all(begin_in_a_sandbox);
}
