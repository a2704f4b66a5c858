/* Helper processes, threads, time; namespaces, limits and rights. */
#include "internal.h"

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static pid_t start_helper_args(const char *name, va_list args)
{
    char *words[32] = {self_path, (char *)"--helper", (char *)name};
    size_t count = 3;
    while ((words[count] = va_arg(args, char *)))
        count++;
    pid_t parent = getpid(), pid = (pid_t)SYS(fork());
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            execv(self_path, words);
        _exit(127);
    }
    return pid;
}

pid_t start_helper(const char *name, ...)
{
    va_list args;
    va_start(args, name);
    pid_t pid = start_helper_args(name, args);
    va_end(args);
    return pid;
}

void wait_helper(pid_t pid)
{
    int status;
    pid_t got;
    do
        got = waitpid(pid, &status, 0);
    while (got == -1 && errno == EINTR);
    CHECK_INT(got, pid);
    if (status != 0)
        FAIL("a helper process ended with status %#x", (unsigned)status);
}

void run_helper(const char *name, ...)
{
    va_list args;
    va_start(args, name);
    pid_t pid = start_helper_args(name, args);
    va_end(args);
    wait_helper(pid);
}

static void *thread_main(void *argument)
{
    struct thread *thread = argument;
    thread->tid = (pid_t)syscall(SYS_gettid);
    return thread->run(thread->argument);
}

void start_thread(struct thread *thread, void *(*run)(void *), void *argument)
{
    thread->tid = 0;
    thread->run = run;
    thread->argument = argument;
    CHECK_INT(pthread_create(&thread->thread, NULL, thread_main, thread), 0);
}

void *join_thread(struct thread *thread)
{
    void *result;
    CHECK_INT(pthread_join(thread->thread, &result), 0);
    return result;
}

static bool is_blocked(pid_t tid)
{
    static const long calls[] = {SYS_ppoll, SYS_pselect6, SYS_epoll_pwait, SYS_epoll_pwait2,
#ifdef SYS_poll
                                 SYS_poll, SYS_select, SYS_epoll_wait,
#endif
    };
    char line[256] = "";
    int fd = openat(proc_self, text("task/%d/syscall", (int)tid), O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return false;
    ssize_t length = read(fd, line, sizeof line - 1);
    close(fd);
    long call;
    if (length <= 0 || sscanf(line, "%ld", &call) != 1)
        return false;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i] == call)
            return true;
    return false;
}

void wait_until_blocked(struct thread *thread)
{
    for (double end = now_ms() + PATIENCE_MS; now_ms() < end; pause_ms(1))
        if (thread->tid && is_blocked(thread->tid))
            return;
    FAIL("the thread does not wait");
}

double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

void pause_ms(int ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&time, &time) == -1 && errno == EINTR)
        ;
}

/* ---- what needs rights ---- */

static void write_proc(const char *path, const char *value, bool required)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd != -1 && write(fd, value, strlen(value)) != -1;
    int error = errno;
    if (fd != -1)
        close(fd);
    if (!written && required)
        SKIP("%s can't be written: %s", path, strerror(error));
}

static void map_user(uid_t uid, gid_t gid)
{
    write_proc("/proc/self/setgroups", "deny", false);
    write_proc("/proc/self/uid_map", text("0 %u 1", (unsigned)uid), true);
    write_proc("/proc/self/gid_map", text("0 %u 1", (unsigned)gid), true);
}

void enter_user_namespace(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER) == -1)
        SKIP("user namespaces are forbidden here: %s", strerror(errno));
    map_user(uid, gid);
}

void enter_mount_namespace(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) == -1)
        SKIP("mount namespaces are forbidden here: %s", strerror(errno));
    if (uid != 0)
        map_user(uid, gid);
    if (mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == -1)
        SKIP("mounts can't be made private here: %s", strerror(errno));
}

void limit_inotify(const char *what, int most)
{
    const char *path = text("/proc/sys/user/max_inotify_%s", what);
    write_proc(path, text("%d", most), true);
}

void become_nobody(void)
{
    if (geteuid() != 0)
        return;
    enum { NOBODY = 65534 };
    SYS(chown(".", NOBODY, NOBODY));
    if (setresgid(NOBODY, NOBODY, NOBODY) == -1 || setresuid(NOBODY, NOBODY, NOBODY) == -1)
        SKIP("can't become nobody: %s", strerror(errno));
    SYS(prctl(PR_SET_DUMPABLE, 1)); /* else /proc/self is root's */
}

int max_queued_events(void)
{
    int value = 16384;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
    if (file) {
        if (fscanf(file, "%d", &value) != 1)
            value = 16384;
        fclose(file);
    }
    return value;
}

/* overflow DIRECTORY COUNT: as many CREATE events, none of which the kernel can merge with the one before. */
HELPER(overflow)
{
    SYS(chdir(args[0]));
    for (int i = 0, count = atoi(args[1]); i < count; i++) {
        const char *name = i % 2 ? "overflow-1" : "overflow-0";
        make_entry(name);
        remove_file("%s", name);
    }
    return 0;
}

void make_overflow(const char *dir)
{
    int most = max_queued_events();
    /* Another program may have lowered or raised the limit since the instance was made. */
    run_helper("overflow", dir, text("%d", (most > 16384 ? most : 16384) + 1000), NULL);
}

/* grow DIRECTORY COUNT: COUNT subdirectories with a file in each. */
HELPER(grow)
{
    SYS(chdir(args[0]));
    for (int i = 0, count = atoi(args[1]); i < count; i++) {
        make_dir("%d", i);
        make_entry(text("%d/f", i));
    }
    return 0;
}

void grow(const char *dir, int count)
{
    make_dirs("%s", dir);
    run_helper("grow", dir, text("%d", count), NULL);
}
