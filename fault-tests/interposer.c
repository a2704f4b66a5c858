/* Stands in for the functions by which the library asks the kernel, and for those of its memory. */
#include "faults.h"

#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <time.h>

/* More than any call of the library needs on a few dozen directories. */
enum { SPIN = 100000 };
/* The library's clock: so that a slice of its work comes to an end now and then. */
enum { NANOSECONDS_PER_LOOK = 50000 };

static struct {
    bool counts, fails;
    struct plan plan;
    long made[CALLS + 1], planned, *injected;
    long since_call;
    bool overflows, hides_kinds, hides_proc;
    const struct surroundings *surroundings;
    bool is_outside; /* for one call */
    int error; /* of the plan, or of the surroundings */
} faults;

static struct {
    bool is_ours;
    long long now; /* nanoseconds */
    int timer;
    long long timer_left; /* 0: not set */
} library_clock = {.timer = -1};

static long memory;

#define CALL_NAME(name) #name,
static const char *const names[] = {EACH_CALL(CALL_NAME) "any"};

/* Those of the manual pages and of the kernel's source, as far as they can come from calls as the library makes them. Not
   those that would be untrue: that something is not there which is. But for a moment it may seem so, see is_momentary(). */
#define LOOKUP EACCES, EINTR, EIO, ELOOP, ENOMEM, ESTALE, EPERM
#define DESCRIPTOR EMFILE, ENFILE, ENOMEM
static const int errors[CALLS][MOST_ERRORS] = {
    [CALL_openat] = {LOOKUP, EMFILE, ENFILE, ENODEV, EBUSY, ENOENT, ENOTDIR},
    [CALL_open64] = {LOOKUP, EMFILE, ENFILE, ENOENT},
    [CALL_close] = {EINTR, EIO, ENOSPC, EDQUOT},
    [CALL_read] = {EINTR},
    [CALL_eventfd_read] = {EINTR},
    [CALL_write] = {EINTR, EIO, ENOSPC},
    [CALL_eventfd_write] = {EINTR},
    [CALL_poll] = {EINTR, ENOMEM, EINVAL},
    [CALL_ioctl] = {EPERM, ENOTTY},
    [CALL_fcntl] = {EPERM, EMFILE},
    [CALL_fstat] = {EINTR, EIO, ENOMEM, EOVERFLOW, ESTALE},
    [CALL_fstat64] = {EIO, ENOMEM, EOVERFLOW},
    [CALL_fstatat] = {LOOKUP, EOVERFLOW},
    [CALL_fstatfs] = {EINTR, EIO, ENOMEM, ENOSYS, EOVERFLOW},
    [CALL_statx] = {EIO, ENOSYS, EPERM},
    [CALL_lseek64] = {ESPIPE, EINVAL},
    [CALL_readlink] = {EACCES, EIO, ENOENT, ENOMEM},
    [CALL_getcwd] = {EACCES, ENOENT, ENOMEM},
    [CALL_getrandom] = {EINTR, ENOSYS, EPERM},
    [CALL_getrlimit] = {EPERM},
    [CALL_faccessat] = {LOOKUP},
    [CALL_getdents64] = {EINTR, EIO, ENOMEM, ESTALE, EACCES},
    [CALL_inotify_init1] = {DESCRIPTOR},
    [CALL_inotify_add_watch] = {LOOKUP, ENOSPC, ENOENT, ENOTDIR},
    [CALL_inotify_rm_watch] = {EINVAL},
    [CALL_epoll_create1] = {DESCRIPTOR},
    [CALL_epoll_ctl] = {ENOMEM, ENOSPC},
    [CALL_eventfd] = {DESCRIPTOR, ENODEV},
    [CALL_timerfd_create] = {DESCRIPTOR, ENODEV},
    [CALL_clock_nanosleep] = {EINTR},
};

const char *call_name(int call)
{
    return names[call];
}

bool is_momentary(const struct plan *plan)
{
    bool by_path = plan->call == CALL_openat || plan->call == CALL_inotify_add_watch;
    return by_path && (plan->error == ENOENT || plan->error == ENOTDIR);
}

const int *call_errors(int call)
{
    static const int any[] = {EINTR, EIO, EMFILE, ENFILE, ENOMEM, EACCES, EPERM, 0};
    return call == ANY_CALL ? any : errors[call];
}

/* Prints what can fail, a line each. */
HELPER(calls)
{
    (void)args;
    for (int call = 0; call < CALLS; call++)
        puts(names[call]);
    return 0;
}

/* ---- the plan ---- */

void faults_on(const struct plan *plan, long *injected)
{
    memset(&faults, 0, sizeof faults);
    if (plan)
        faults.plan = *plan;
    faults.error = faults.plan.error;
    faults.injected = injected;
    *injected = 0;
    faults.fails = plan != NULL;
    faults.counts = library_clock.is_ours = true;
}

void faults_off(void)
{
    faults.fails = false;
    leave_surroundings();
    faults.surroundings = NULL;
}

void let_pass(void)
{
    faults.fails = false;
    faults.is_outside = true;
}

void surround(const struct surroundings *surroundings)
{
    faults.surroundings = surroundings;
    faults.error = surroundings->error;
}

void enter_surroundings(void)
{
    if (faults.surroundings && !faults.is_outside)
        faults.surroundings->enter();
}

bool leave_surroundings(void)
{
    bool was_inside = faults.surroundings && !faults.is_outside;
    if (was_inside)
        faults.surroundings->leave();
    faults.is_outside = false;
    return was_inside;
}

long faults_injected(void)
{
    return *faults.injected;
}

int fault_error(void)
{
    return faults.error;
}

const long *calls_made(void)
{
    return faults.made;
}

void watch_for_spin(void)
{
    faults.since_call = 0;
}

void overflow_at_next_read(void)
{
    faults.overflows = true;
}

void hide_proc(void)
{
    faults.hides_proc = true;
}

void hide_kinds(void)
{
    faults.hides_kinds = true;
}

static bool can_have(int call, int error)
{
    for (const int *it = errors[call]; *it; it++)
        if (*it == error)
            return true;
    return false;
}

static struct {
    uintptr_t from, to;
} library;

static int find_library(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    if (!strstr(info->dlpi_name, "libasyncinotify"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
            library.from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            library.to = library.from + info->dlpi_phdr[i].p_memsz;
        }
    return 1;
}

__attribute__((constructor)) static void find_the_library(void)
{
    dl_iterate_phdr(find_library, NULL);
}

static bool is_library(const void *caller)
{
    return (uintptr_t)caller >= library.from && (uintptr_t)caller < library.to;
}

/* Whether the call is to fail. */
static bool fails(int call, const void *caller)
{
    if (!faults.counts || !is_library(caller))
        return false;
    faults.made[call]++;
    faults.made[CALLS]++;
    if (++faults.since_call > SPIN)
        FAIL("one call of the library has made %d system calls, the last of them %s", SPIN, names[call]);
    const struct plan *plan = &faults.plan;
    if (!faults.fails || (plan->call == ANY_CALL ? !can_have(call, plan->error) : plan->call != call))
        return false;
    faults.planned++;
    if (faults.planned < plan->first || faults.planned - plan->first >= plan->count)
        return false;
    ++*faults.injected;
    errno = plan->error;
    return true;
}

#define FAILS(name) fails(CALL_##name, __builtin_return_address(0))

static bool is_hidden(const char *path, const void *caller)
{
    bool hidden = faults.hides_proc && !strncmp(path, "/proc", 5) && is_library(caller);
    if (hidden)
        errno = ENOENT;
    return hidden;
}

#define FAILS_WITH(name, path) (FAILS(name) || is_hidden(path, __builtin_return_address(0)))
/* libc's own. */
#define NEXT(name) ((__typeof__(&name))next(#name))

static void *next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

/* ---- descriptors and files ---- */

#define OPTIONAL_MODE(flags)                                                                                          \
    mode_t mode = 0;                                                                                                  \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                            \
        va_list args;                                                                                                 \
        va_start(args, flags);                                                                                        \
        mode = va_arg(args, mode_t);                                                                                  \
        va_end(args);                                                                                                 \
    }

int openat(int dir, const char *path, int flags, ...)
{
    OPTIONAL_MODE(flags)
    return FAILS_WITH(openat, path) ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    OPTIONAL_MODE(flags)
    return FAILS_WITH(open64, path) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* Linux closes the descriptor whatever it answers. */
int close(int fd)
{
    static __typeof__(&close) real;
    if (!real)
        real = NEXT(close);
    int result = real(fd), error = errno;
    if (FAILS(close))
        return -1;
    errno = error;
    return result;
}

static ssize_t lose_queue(int fd, void *buffer)
{
    int queued;
    while (ioctl(fd, FIONREAD, &queued) == 0 && queued > 0) {
        char lost[4096];
        if (syscall(SYS_read, fd, lost, sizeof lost) <= 0)
            break;
    }
    faults.overflows = false;
    const struct inotify_event overflow = {.wd = -1, .mask = IN_Q_OVERFLOW};
    memcpy(buffer, &overflow, sizeof overflow);
    return sizeof overflow;
}

/* An eventfd takes and gives so much, and nothing else of the library does. */
static bool is_of_eventfd(size_t size)
{
    return size == sizeof(uint64_t);
}

ssize_t read(int fd, void *buffer, size_t size)
{
    if (is_of_eventfd(size) ? FAILS(eventfd_read) : FAILS(read))
        return -1;
    /* Of what the library reads, only the queue takes this much. */
    if (faults.overflows && size >= 4096 && is_library(__builtin_return_address(0)))
        return lose_queue(fd, buffer);
    return syscall(SYS_read, fd, buffer, size);
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    bool failed = is_of_eventfd(size) ? FAILS(eventfd_write) : FAILS(write);
    return failed ? -1 : syscall(SYS_write, fd, buffer, size);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *argument = va_arg(args, void *);
    va_end(args);
    return FAILS(ioctl) ? -1 : (int)syscall(SYS_ioctl, fd, request, argument);
}

int fcntl(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    long argument = va_arg(args, long);
    va_end(args);
    return FAILS(fcntl) ? -1 : (int)syscall(SYS_fcntl, fd, command, argument);
}

#define PASS_ON(type, name, parameters, ...) PASS_ON_UNLESS(FAILS(name), type, name, parameters, __VA_ARGS__)
#define PASS_ON_UNLESS(fails, type, name, parameters, ...)                                                            \
    type name parameters                                                                                              \
    {                                                                                                                 \
        static __typeof__(&name) real;                                                                                \
        if (fails)                                                                                                    \
            return (type)-1;                                                                                          \
        if (!real)                                                                                                    \
            real = NEXT(name);                                                                                        \
        return real(__VA_ARGS__);                                                                                     \
    }

PASS_ON(int, fstat, (int fd, struct stat *st), fd, st)
PASS_ON(int, fstat64, (int fd, struct stat64 *st), fd, st)
PASS_ON(int, fstatat, (int dir, const char *restrict path, struct stat *restrict st, int flags), dir, path, st, flags)
PASS_ON(int, fstatfs, (int fd, struct statfs *about), fd, about)
PASS_ON(int, statx, (int dir, const char *restrict path, int flags, unsigned what, struct statx *restrict st), dir, path,
        flags, what, st)
PASS_ON(off64_t, lseek64, (int fd, off64_t to, int whence), fd, to, whence)
PASS_ON_UNLESS(FAILS_WITH(readlink, path), ssize_t, readlink,
               (const char *restrict path, char *restrict buffer, size_t size), path, buffer, size)
PASS_ON(ssize_t, getrandom, (void *buffer, size_t size, unsigned flags), buffer, size, flags)
PASS_ON(int, getrlimit, (__rlimit_resource_t resource, struct rlimit *limit), resource, limit)
PASS_ON(int, faccessat, (int dir, const char *path, int mode, int flags), dir, path, mode, flags)
PASS_ON(int, inotify_init1, (int flags), flags)
PASS_ON_UNLESS(FAILS_WITH(inotify_add_watch, path), int, inotify_add_watch, (int fd, const char *path, uint32_t mask), fd,
               path, mask)
PASS_ON(int, epoll_create1, (int flags), flags)
PASS_ON(int, epoll_ctl, (int epoll, int what, int fd, struct epoll_event *event), epoll, what, fd, event)
PASS_ON(int, eventfd, (unsigned count, int flags), count, flags)
PASS_ON(int, timerfd_create, (clockid_t of, int flags), of, flags)

char *getcwd(char *buffer, size_t size)
{
    return FAILS(getcwd) ? NULL : NEXT(getcwd)(buffer, size);
}

/* EINVAL says that the kernel has ended the watch already. */
int inotify_rm_watch(int fd, int wd)
{
    if (!FAILS(inotify_rm_watch))
        return (int)syscall(SYS_inotify_rm_watch, fd, wd);
    int error = errno;
    syscall(SYS_inotify_rm_watch, fd, wd);
    errno = error;
    return -1;
}

long syscall(long number, ...)
{
    static __typeof__(&syscall) real;
    va_list args;
    long a[6];
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (number == SYS_getdents64 && FAILS(getdents64))
        return -1;
    if (!real)
        real = NEXT(syscall);
    long result = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (number == SYS_getdents64 && faults.hides_kinds && is_library(__builtin_return_address(0)))
        for (char *at = (char *)a[1]; at < (char *)a[1] + result; at += ((struct dirent64 *)at)->d_reclen)
            ((struct dirent64 *)at)->d_type = DT_UNKNOWN;
    return result;
}

/* ---- time ---- */

static bool keeps_time(const void *caller)
{
    return library_clock.is_ours && is_library(caller);
}

int clock_gettime(clockid_t of, struct timespec *time)
{
    static __typeof__(&clock_gettime) real;
    if (keeps_time(__builtin_return_address(0)) && of == CLOCK_MONOTONIC) {
        library_clock.now += NANOSECONDS_PER_LOOK;
        time->tv_sec = library_clock.now / 1000000000;
        time->tv_nsec = library_clock.now % 1000000000;
        return 0;
    }
    if (!real)
        real = NEXT(clock_gettime);
    return real(of, time);
}

int clock_nanosleep(clockid_t of, int flags, const struct timespec *time, struct timespec *left)
{
    if (FAILS(clock_nanosleep))
        return errno;
    return NEXT(clock_nanosleep)(of, flags, time, left);
}

int poll(struct pollfd *fds, nfds_t count, int milliseconds)
{
    static __typeof__(&poll) real;
    if (FAILS(poll))
        return -1;
    if (!real)
        real = NEXT(poll);
    bool is_ours = keeps_time(__builtin_return_address(0)) && milliseconds > 0;
    int ready = real(fds, count, is_ours ? 0 : milliseconds);
    if (is_ours && ready == 0)
        library_clock.now += milliseconds * 1000000LL;
    return ready;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *time, struct itimerspec *old)
{
    if (FAILS(timerfd_settime))
        return -1;
    bool is_ours = keeps_time(__builtin_return_address(0));
    struct itimerspec never = {0};
    if (is_ours) {
        library_clock.timer = fd;
        library_clock.timer_left = time->it_value.tv_sec * 1000000000LL + time->it_value.tv_nsec;
    }
    return (int)syscall(SYS_timerfd_settime, fd, flags, is_ours ? &never : time, old);
}

bool let_time_pass(void)
{
    if (!library_clock.timer_left)
        return false;
    library_clock.now += library_clock.timer_left;
    library_clock.timer_left = 0;
    const struct itimerspec at_once = {.it_value = {.tv_nsec = 1}};
    syscall(SYS_timerfd_settime, library_clock.timer, 0, &at_once, NULL);
    return true;
}

/* ---- memory ---- */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* What the library has allocated. The program may seem to free it: a last call is a jump. */
enum { ROOM = 1 << 17 };
static void *allocated[ROOM], *const gone = &allocated;

static void **slot_of(const void *block, bool is_new)
{
    size_t at = (uintptr_t)block / 16 * 0x9e3779b97f4a7c15u >> 47;
    while (allocated[at] && allocated[at] != block && !(is_new && allocated[at] == gone))
        at = (at + 1) % ROOM;
    return &allocated[at];
}

static void *note(void *block, const void *caller)
{
    if (block && library_clock.is_ours && is_library(caller)) {
        *slot_of(block, true) = block;
        memory++;
    }
    return block;
}

static void forget(const void *block)
{
    void **slot = library_clock.is_ours && block ? slot_of(block, false) : &(void *){NULL};
    if (!*slot)
        return;
    *slot = gone;
    memory--;
}

void *malloc(size_t size)
{
    return note(__libc_malloc(size), __builtin_return_address(0));
}

void *calloc(size_t count, size_t size)
{
    return note(__libc_calloc(count, size), __builtin_return_address(0));
}

void *realloc(void *old, size_t size)
{
    forget(old);
    return note(__libc_realloc(old, size), __builtin_return_address(0));
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = note(__libc_memalign(alignment, size), __builtin_return_address(0));
    return *out ? 0 : ENOMEM;
}

void free(void *block)
{
    forget(block);
    __libc_free(block);
}

long library_memory(void)
{
    return memory;
}
