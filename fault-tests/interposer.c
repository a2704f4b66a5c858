/* Stands in for the functions by which the library asks the kernel. */
#include "interposer.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>

void *next_function(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

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

int open(const char *path, int flags, ...)
{
    OPTIONAL_MODE(flags)
    return FAILS_WITH(open, path) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
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

static int queued(int fd)
{
    int bytes = 0;
    syscall(SYS_ioctl, fd, FIONREAD, &bytes);
    return bytes;
}

static ssize_t lose_queue(int fd, void *buffer)
{
    char lost[4096];
    while (queued(fd) && syscall(SYS_read, fd, lost, sizeof lost) > 0)
        ;
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
    if (queued(fd) && loses_queue(size, CALLER))
        return lose_queue(fd, buffer);
    return syscall(SYS_read, fd, buffer, size);
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    if (fd == STDERR_FILENO) /* ASYNCINOTIFY_DEBUG must not make another run of it */
        return syscall(SYS_write, fd, buffer, size);
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
    if (number == SYS_getdents64 && hides_kinds_from(CALLER))
        for (char *at = (char *)a[1]; at < (char *)a[1] + result; at += ((struct dirent64 *)at)->d_reclen)
            ((struct dirent64 *)at)->d_type = DT_UNKNOWN;
    return result;
}
