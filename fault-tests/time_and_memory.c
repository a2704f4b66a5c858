/* Stands in for what libc has of time and memory. */
#include "interposer.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

/* So that a slice of the library's work comes to an end now and then. */
enum { NANOSECONDS_PER_LOOK = 50000 };

static struct {
    bool is_ours;
    long long now; /* nanoseconds */
    int timer;
    long long timer_due; /* 0: not set */
} library_clock = {.timer = -1};

/* ---- time ---- */

void keep_time_and_memory(void)
{
    library_clock.is_ours = true;
}

static bool keeps_time(const void *caller)
{
    return library_clock.is_ours && is_library(caller);
}

int clock_gettime(clockid_t of, struct timespec *time)
{
    static __typeof__(&clock_gettime) real;
    if (keeps_time(CALLER) && of == CLOCK_MONOTONIC) {
        /* It stands still before a timer runs out. */
        if (!library_clock.timer_due || library_clock.now + NANOSECONDS_PER_LOOK < library_clock.timer_due)
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
    bool is_ours = keeps_time(CALLER) && milliseconds > 0;
    int ready = real(fds, count, is_ours ? 0 : milliseconds);
    if (is_ours && ready == 0)
        library_clock.now += milliseconds * 1000000LL;
    return ready;
}

/* It runs out at once, or never. */
static int set_timer(bool runs_out)
{
    const struct itimerspec time = {.it_value = {.tv_nsec = runs_out}};
    return (int)syscall(SYS_timerfd_settime, library_clock.timer, 0, &time, NULL);
}

int timerfd_settime(int fd, int flags, const struct itimerspec *time, struct itimerspec *old)
{
    if (FAILS(timerfd_settime))
        return -1;
    if (!keeps_time(CALLER))
        return (int)syscall(SYS_timerfd_settime, fd, flags, time, old);
    long long left = time->it_value.tv_sec * 1000000000LL + time->it_value.tv_nsec;
    bool is_due = left == 1;
    library_clock.timer = fd;
    library_clock.timer_due = left && !is_due ? library_clock.now + left : 0;
    library_clock.now += is_due;
    return set_timer(is_due);
}

bool let_time_pass(void)
{
    if (!library_clock.timer_due)
        return false;
    if (library_clock.now < library_clock.timer_due)
        library_clock.now = library_clock.timer_due;
    library_clock.timer_due = 0;
    set_timer(true);
    return true;
}

/* ---- memory ---- */

static long memory;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* What the library has allocated. The program may seem to free it: a last call is a jump. */
enum { ROOM = 1 << 17 };
static const void *allocated[ROOM];

static size_t home_of(const void *block)
{
    return (uintptr_t)block / 16 * 0x9e3779b97f4a7c15u >> 47;
}

/* Where it is, or is to be. */
static size_t slot_of(const void *block)
{
    size_t at = home_of(block);
    while (allocated[at] && allocated[at] != block)
        at = (at + 1) % ROOM;
    return at;
}

static void *note(void *block, const void *caller)
{
    if (block && library_clock.is_ours && is_library(caller)) {
        allocated[slot_of(block)] = block;
        memory++;
    }
    return block;
}

static void forget(const void *block)
{
    size_t hole = slot_of(block);
    if (!library_clock.is_ours || !block || !allocated[hole])
        return;
    /* Those behind it that could not be where it was move up. */
    for (size_t at = (hole + 1) % ROOM; allocated[at]; at = (at + 1) % ROOM)
        if ((at - home_of(allocated[at])) % ROOM >= (at - hole) % ROOM) {
            allocated[hole] = allocated[at];
            hole = at;
        }
    allocated[hole] = NULL;
    memory--;
}

void *malloc(size_t size)
{
    return FAILS(malloc) ? NULL : note(__libc_malloc(size), CALLER);
}

void *calloc(size_t count, size_t size)
{
    return FAILS(malloc) ? NULL : note(__libc_calloc(count, size), CALLER);
}

void *realloc(void *old, size_t size)
{
    if (FAILS(malloc))
        return NULL;
    forget(old);
    return note(__libc_realloc(old, size), CALLER);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (FAILS(malloc))
        return ENOMEM;
    *out = note(__libc_memalign(alignment, size), CALLER);
    return *out ? 0 : ENOMEM;
}

void free(void *block)
{
    forget(block);
    __libc_free(block);
}

void *mmap(void *at, size_t size, int access, int flags, int fd, off_t from)
{
    return FAILS(mmap) ? MAP_FAILED : note((void *)syscall(SYS_mmap, at, size, access, flags, fd, from), CALLER);
}

int munmap(void *at, size_t size)
{
    forget(at);
    return (int)syscall(SYS_munmap, at, size);
}

long library_memory(void)
{
    return memory;
}
