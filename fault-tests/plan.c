/* Which call fails, and with what. */
#include "interposer.h"

#include <link.h>

/* More than any call of the library needs on a few dozen directories. */
enum { SPIN = 100000 };
enum { MOST_ERRNO = 255 };

static struct {
    bool counts, fails, are_suspended;
    struct plan plan;
    long made[CALLS + 1], planned, *injected;
    long since_call;
    bool overflows, hides_kinds, hides_proc;
    const struct surroundings *surroundings;
    bool is_outside; /* for one call */
    bool errors[MOST_ERRNO + 1]; /* of the plans, or of the surroundings */
} faults;

#define CALL_NAME(name) #name,
static const char *const names[] = {EACH_CALL(CALL_NAME) "any"};

/* Those of the manual pages and of the kernel's source, as far as they can come from calls as the library makes them. Not
   those that would be untrue: that something is not there which is. But for a moment it may seem so, see is_momentary(). */
#define LOOKUP EACCES, EINTR, EIO, ELOOP, ENOMEM, ESTALE, EPERM
#define DESCRIPTOR EMFILE, ENFILE, ENOMEM
static const int errors[CALLS][MOST_ERRORS] = {
    [CALL_openat] = {LOOKUP, EMFILE, ENFILE, ENODEV, EBUSY, ENOENT, ENOTDIR},
    [CALL_open] = {LOOKUP, EMFILE, ENFILE, ENOENT},
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
    [CALL_mmap] = {ENOMEM},
    [CALL_malloc] = {ENOMEM},
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
    faults.injected = injected;
    *injected = 0;
    faults.counts = true;
    change_faults(plan);
    keep_time_and_memory();
}

void change_faults(const struct plan *plan)
{
    faults.plan = plan ? *plan : (struct plan){0};
    faults.planned = 0;
    faults.fails = plan != NULL;
    if (plan)
        faults.errors[plan->error] = true;
    else
        memset(faults.errors, 0, sizeof faults.errors);
}

void faults_off(void)
{
    faults.fails = false;
    leave_surroundings();
    faults.surroundings = NULL;
}

void suspend_faults(bool suspended)
{
    faults.are_suspended = suspended;
}

void let_pass(void)
{
    faults.fails = false;
    faults.is_outside = true;
}

void surround(const struct surroundings *surroundings)
{
    faults.surroundings = surroundings;
    faults.errors[surroundings->error] = true;
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

bool may_come_to(int error)
{
    return error > 0 && error <= MOST_ERRNO && faults.errors[error];
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

bool is_library(const void *caller)
{
    return (uintptr_t)caller >= library.from && (uintptr_t)caller < library.to;
}

bool fails(int call, const void *caller)
{
    if (!faults.counts || !is_library(caller))
        return false;
    faults.made[call]++;
    faults.made[CALLS]++;
    if (++faults.since_call > SPIN)
        FAIL("one call of the library has made %d system calls, the last of them %s", SPIN, names[call]);
    const struct plan *plan = &faults.plan;
    if (!faults.fails || faults.are_suspended || (plan->call == ANY_CALL ? !can_have(call, plan->error) : plan->call != call))
        return false;
    faults.planned++;
    if (faults.planned < plan->first || faults.planned - plan->first >= plan->count)
        return false;
    ++*faults.injected;
    errno = plan->error;
    return true;
}

bool is_hidden(const char *path, const void *caller)
{
    bool hidden = faults.hides_proc && !strncmp(path, "/proc", 5) && is_library(caller);
    if (hidden)
        errno = ENOENT;
    return hidden;
}

bool loses_queue(size_t size, const void *caller)
{
    /* Of what the library reads, only the queue takes this much. */
    bool loses = faults.overflows && size >= 4096 && is_library(caller);
    faults.overflows &= !loses;
    return loses;
}

bool hides_kinds_from(const void *caller)
{
    return faults.hides_kinds && is_library(caller);
}
