#include "harness.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { EXIT_PASSED = 0, EXIT_FAILED = 1, EXIT_SKIPPED = 77, EXIT_MISSING = 78, EXIT_VALGRIND = 99 };

static struct test {
    const char *file, *name;
    void (*run)(void);
} tests[1024];
static size_t test_count;

static struct helper {
    const char *name;
    int (*run)(char **);
} helpers[64];
static size_t helper_count;

static char self_path[PATH_MAX]; /* this program, to start helpers */
static char directory[PATH_MAX]; /* of the test that runs */
static int proc_self = -1; /* opened before a test may hide /proc */
static char *skip_reason; /* shared with the process that runs the test */
enum { REASON_ROOM = 1024 };

void test_register(const char *file, const char *name, void (*run)(void))
{
    tests[test_count++] = (struct test){strrchr(file, '/') ? strrchr(file, '/') + 1 : file, name, run};
}

void helper_register(const char *name, int (*run)(char **))
{
    helpers[helper_count++] = (struct helper){name, run};
}

bool under_valgrind(void)
{
    return getenv("C_TESTS_VALGRIND") != NULL;
}

/* ---- checks ---- */

void test_fail(const char *file, int line, const char *format, ...)
{
    char message[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    dprintf(STDOUT_FILENO, "  %s:%d: %s\n", file, line, message);
    _exit(EXIT_FAILED);
}

void test_skip(bool missing, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(skip_reason, REASON_ROOM, format, args);
    va_end(args);
    _exit(missing ? EXIT_MISSING : EXIT_SKIPPED);
}

/* The name of a negative errno, for messages. */
static const char *error_name(long long value)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {{EACCES, "EACCES"}, {EAGAIN, "EAGAIN"}, {EBUSY, "EBUSY"}, {ECANCELED, "ECANCELED"}, {EEXIST, "EEXIST"},
                 {EINTR, "EINTR"}, {EINVAL, "EINVAL"}, {ELOOP, "ELOOP"}, {EMFILE, "EMFILE"}, {ENAMETOOLONG, "ENAMETOOLONG"},
                 {ENOENT, "ENOENT"}, {ENOMEM, "ENOMEM"}, {ENOSPC, "ENOSPC"}, {ENOTDIR, "ENOTDIR"}, {EPERM, "EPERM"},
                 {EBADF, "EBADF"}, {EFAULT, "EFAULT"}, {EIO, "EIO"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].number == value)
            return names[i].name;
    return NULL;
}

static const char *number_text(long long value)
{
    static _Thread_local char buffers[4][64];
    static _Thread_local unsigned turn;
    char *buffer = buffers[turn++ % 4];
    const char *name = value < 0 ? error_name(-value) : NULL;
    if (name)
        snprintf(buffer, 64, "%lld (-%s)", value, name);
    else
        snprintf(buffer, 64, "%lld", value);
    return buffer;
}

void check_int(const char *file, int line, const char *what, long long actual, const char *expected_text, long long expected)
{
    if (actual != expected)
        test_fail(file, line, "%s is %s, expected %s (%s)%s%s", what, number_text(actual), number_text(expected), expected_text,
                  actual < 0 ? "; last error: " : "", actual < 0 ? asyncinotify_last_error_message() : "");
}

void check_hex(const char *file, int line, const char *what, unsigned long long actual, unsigned long long expected)
{
    if (actual != expected)
        test_fail(file, line, "%s is %#llx, expected %#llx", what, actual, expected);
}

void check_str(const char *file, int line, const char *what, const char *actual, const char *expected)
{
    if (!actual || !expected ? actual != expected : strcmp(actual, expected) != 0)
        test_fail(file, line, "%s is \"%.2000s\", expected \"%.2000s\"", what, actual ? actual : "(NULL)",
                  expected ? expected : "(NULL)");
}

void check_contains(const char *file, int line, const char *what, const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        test_fail(file, line, "%s is \"%.2000s\", which does not contain \"%.2000s\"", what, text ? text : "(NULL)", part);
}

intptr_t check_ok(const char *file, int line, const char *what, intptr_t result)
{
    if (result < 0)
        test_fail(file, line, "%s is %s: %s", what, number_text(result), asyncinotify_last_error_message());
    return result;
}

long check_sys(const char *file, int line, const char *what, long result)
{
    if (result == -1)
        test_fail(file, line, "%s: %s", what, strerror(errno));
    return result;
}

/* ---- files ---- */

static char *turn_buffer(void)
{
    static _Thread_local char buffers[64][PATH_MAX];
    static _Thread_local unsigned turn;
    return buffers[turn++ % 64];
}

static const char *format_into(char *buffer, const char *format, va_list args)
{
    if (vsnprintf(buffer, PATH_MAX, format, args) >= PATH_MAX)
        FAIL("path too long for the harness: %.100s…", buffer);
    return buffer;
}

const char *text(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *result = format_into(turn_buffer(), format, args);
    va_end(args);
    return result;
}

#define FORMAT_PATH(path, format)                                                                                     \
    char path[PATH_MAX];                                                                                              \
    do {                                                                                                              \
        va_list args;                                                                                                 \
        va_start(args, format);                                                                                       \
        format_into(path, format, args);                                                                              \
        va_end(args);                                                                                                 \
    } while (0)

void make_dir(const char *format, ...)
{
    FORMAT_PATH(path, format);
    if (mkdir(path, 0755) == -1)
        FAIL("mkdir %s: %s", path, strerror(errno));
}

void make_dirs(const char *format, ...)
{
    FORMAT_PATH(path, format);
    for (char *slash = path + 1;; *slash++ = '/') {
        slash = strchr(slash, '/');
        if (slash)
            *slash = 0;
        if (mkdir(path, 0755) == -1 && errno != EEXIST)
            FAIL("mkdir %s: %s", path, strerror(errno));
        if (!slash)
            return;
    }
}

void make_file(const char *format, ...)
{
    FORMAT_PATH(path, format);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd == -1)
        FAIL("open %s: %s", path, strerror(errno));
    SYS(close(fd));
}

void write_file(const char *format, ...)
{
    FORMAT_PATH(path, format);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd == -1)
        FAIL("open %s: %s", path, strerror(errno));
    CHECK_INT(write(fd, "text\n", 5), 5);
    SYS(close(fd));
}

void remove_file(const char *format, ...)
{
    FORMAT_PATH(path, format);
    if (unlink(path) == -1)
        FAIL("unlink %s: %s", path, strerror(errno));
}

void remove_dir(const char *format, ...)
{
    FORMAT_PATH(path, format);
    if (rmdir(path) == -1)
        FAIL("rmdir %s: %s", path, strerror(errno));
}

void make_entry(const char *path)
{
    if (mknod(path, S_IFREG | 0644, 0) == -1)
        FAIL("mknod %s: %s", path, strerror(errno));
}

/* By directory fds: paths may be longer than PATH_MAX. */
static void remove_tree_at(int parent, const char *name)
{
    if (unlinkat(parent, name, 0) == 0)
        return;
    if (errno == ENOENT)
        return;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd != -1) {
        DIR *dir = fdopendir(fd);
        struct dirent *entry;
        while ((entry = readdir(dir)))
            if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
                remove_tree_at(dirfd(dir), entry->d_name);
        closedir(dir);
    }
    unlinkat(parent, name, AT_REMOVEDIR);
}

void remove_all(const char *format, ...)
{
    FORMAT_PATH(path, format);
    remove_tree_at(AT_FDCWD, path);
    if (exists(path))
        FAIL("rm -rf %s: still there", path);
}

void rename_entry(const char *from, const char *to)
{
    if (rename(from, to) == -1)
        FAIL("rename %s to %s: %s", from, to, strerror(errno));
}

void exchange_entries(const char *one, const char *other)
{
    if (syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, 2 /* RENAME_EXCHANGE */) == -1) {
        if (errno == ENOSYS || errno == EINVAL)
            SKIP("RENAME_EXCHANGE does not work on this filesystem");
        FAIL("exchange %s and %s: %s", one, other, strerror(errno));
    }
}

bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

const char *test_dir(void)
{
    return directory;
}

/* ---- instances, watches, what the kernel says ---- */

asyncinotify *open_instance_with(uint32_t init_flags)
{
    asyncinotify *in = NULL;
    OK(asyncinotify_new(init_flags, &in));
    CHECK(in != NULL);
    return in;
}

asyncinotify *open_instance(void)
{
    return open_instance_with(ASYNCINOTIFY_INIT_DEFAULT);
}

asyncinotify_watch watch(asyncinotify *in, const char *path, uint32_t mask)
{
    asyncinotify_watch id = 0;
    OK(asyncinotify_add_watch(in, path, mask, &id));
    CHECK(id != 0);
    return id;
}

asyncinotify_watch tree_options(asyncinotify *in, const char *path, uint32_t mask, uint32_t flags, uint32_t max_depth,
                                asyncinotify_filter filter, void *filter_userdata)
{
    asyncinotify_recursive_options options = {.size = sizeof options, .flags = flags, .max_depth = max_depth,
                                              .filter = filter, .filter_userdata = filter_userdata};
    asyncinotify_watch id = 0;
    OK(asyncinotify_add_recursive(in, path, mask, &options, &id));
    CHECK(id != 0);
    return id;
}

asyncinotify_watch tree_with(asyncinotify *in, const char *path, uint32_t mask, uint32_t flags)
{
    return tree_options(in, path, mask, flags, 0, NULL, NULL);
}

asyncinotify_watch tree(asyncinotify *in, const char *path, uint32_t mask)
{
    asyncinotify_watch id = 0;
    OK(asyncinotify_add_recursive(in, path, mask, NULL, &id));
    CHECK(id != 0);
    return id;
}

void remove_watch(asyncinotify *in, asyncinotify_watch id)
{
    OK(asyncinotify_rm_watch(in, id));
}

const char *watch_path(asyncinotify *in, asyncinotify_watch id)
{
    char *buffer = turn_buffer();
    intptr_t length = OK(asyncinotify_watch_path(in, id, buffer, PATH_MAX));
    CHECK_INT(strlen(buffer), length);
    return buffer;
}

void finish(asyncinotify *in)
{
    intptr_t count = OK(asyncinotify_watches(in, NULL, 0));
    asyncinotify_watch *ids = calloc((size_t)count + 1, sizeof *ids);
    CHECK_INT(asyncinotify_watches(in, ids, (size_t)count), count);
    for (intptr_t i = 0; i < count; i++)
        if (OK(asyncinotify_watch_is_active(in, ids[i])) == 1)
            remove_watch(in, ids[i]);
    free(ids);
    drain(in);
    CHECK_INT(kernel_watches(in), 0);
    CHECK_INT(asyncinotify_watches(in, NULL, 0), 0);
    asyncinotify_close(in);
}

/* Calls back with every "inotify wd:…" line of the fd. */
static int each_watch_line(int fd, void (*see)(const char *, void *), void *context)
{
    int info = openat(proc_self, text("fdinfo/%d", fd), O_RDONLY | O_CLOEXEC);
    if (info == -1)
        return 0;
    FILE *file = fdopen(info, "r");
    char line[512];
    int count = 0;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, "inotify wd:", 11)) {
            count++;
            if (see)
                see(line, context);
        }
    fclose(file);
    return count;
}

int kernel_watches(asyncinotify *in)
{
    return each_watch_line((int)OK(asyncinotify_raw_fd(in)), NULL, NULL);
}

struct wanted_wd {
    unsigned wd;
    uint32_t mask;
};

static void see_mask(const char *line, void *context)
{
    struct wanted_wd *wanted = context;
    unsigned wd, mask;
    const char *mask_field = strstr(line, " mask:");
    if (sscanf(line, "inotify wd:%x", &wd) == 1 && wd == wanted->wd && mask_field && sscanf(mask_field, " mask:%x", &mask) == 1)
        wanted->mask = mask;
}

uint32_t kernel_mask(asyncinotify *in, int wd)
{
    struct wanted_wd wanted = {(unsigned)wd, 0};
    each_watch_line((int)OK(asyncinotify_raw_fd(in)), see_mask, &wanted);
    return wanted.mask;
}

int queued_bytes(asyncinotify *in)
{
    int bytes = -1;
    SYS(ioctl((int)OK(asyncinotify_raw_fd(in)), FIONREAD, &bytes));
    return bytes;
}

/* Counts the fds of this process, and prints them when asked. */
static int scan_fds(bool print)
{
    int list = openat(proc_self, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fdopendir(list);
    CHECK(dir != NULL);
    struct dirent *entry;
    int count = 0;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(dir))
            continue;
        count++;
        if (print) {
            char target[256] = "?";
            ssize_t length = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
            if (length >= 0)
                target[length] = 0;
            dprintf(STDOUT_FILENO, "  fd %s: %s, %d watches\n", entry->d_name, target,
                    each_watch_line(atoi(entry->d_name), NULL, NULL));
        }
    }
    closedir(dir);
    return count;
}

int open_fds(void)
{
    return scan_fds(false);
}

/* ---- events as text ---- */

/* Appends, and makes bytes that are not printable visible. */
static void append(char **text, size_t *length, size_t *room, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (*length + 5 > *room)
            *text = realloc(*text, *room = *room * 2 + 64);
        unsigned char byte = (unsigned char)bytes[i];
        if (byte >= 32 && byte < 127)
            (*text)[(*length)++] = (char)byte;
        else
            *length += (size_t)snprintf(*text + *length, 5, byte == '\n' ? "\\n" : "\\x%02x", byte);
    }
    if (!*text)
        *text = malloc(*room = 64);
    (*text)[*length] = 0;
}

static void append_mask(char **text, size_t *length, size_t *room, uint32_t mask)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {{IN_ACCESS, "ACCESS"}, {IN_MODIFY, "MODIFY"}, {IN_ATTRIB, "ATTRIB"}, {IN_CLOSE_WRITE, "CLOSE_WRITE"},
                 {IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"}, {IN_OPEN, "OPEN"}, {IN_MOVED_FROM, "MOVED_FROM"},
                 {IN_MOVED_TO, "MOVED_TO"}, {IN_CREATE, "CREATE"}, {IN_DELETE, "DELETE"}, {IN_DELETE_SELF, "DELETE_SELF"},
                 {IN_MOVE_SELF, "MOVE_SELF"}, {IN_UNMOUNT, "UNMOUNT"}, {IN_Q_OVERFLOW, "Q_OVERFLOW"}, {IN_IGNORED, "IGNORED"},
                 {IN_ISDIR, "ISDIR"}};
    const char *separator = "";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (mask & names[i].bit) {
            append(text, length, room, separator, strlen(separator));
            append(text, length, room, names[i].name, strlen(names[i].name));
            separator = "|";
            mask &= ~names[i].bit;
        }
    if (mask) {
        char rest[16];
        append(text, length, room, rest, (size_t)snprintf(rest, sizeof rest, "%s%#x", separator, mask));
    }
    append(text, length, room, " ", 1);
}

/* To be freed. */
static char *make_event_text(const asyncinotify_event *event)
{
    char *text = NULL, error[32];
    size_t length = 0, room = 0;
#define APPEND(string) append(&text, &length, &room, (string), strlen(string))
    if (event->flags & ASYNCINOTIFY_EVENT_SYNTHETIC)
        APPEND("SYNTHETIC ");
    if (event->flags & ASYNCINOTIFY_EVENT_SYNC_BEGIN)
        APPEND("SYNC_BEGIN ");
    if (event->flags & ASYNCINOTIFY_EVENT_SYNC_END)
        APPEND("SYNC_END ");
    if (event->flags & ASYNCINOTIFY_EVENT_ERROR) {
        const char *name = error_name(event->error);
        snprintf(error, sizeof error, "ERROR:%d ", event->error);
        if (name)
            snprintf(error, sizeof error, "ERROR:%s ", name);
        APPEND(error);
    }
    if (event->mask)
        append_mask(&text, &length, &room, event->mask);
    if (event->path)
        append(&text, &length, &room, event->path, event->path_len);
    else
        APPEND("-");
    if (event->moved_from) {
        APPEND(" <- ");
        append(&text, &length, &room, event->moved_from, event->moved_from_len);
    }
#undef APPEND
    return text;
}

const char *event_text(const asyncinotify_event *event)
{
    char *made = make_event_text(event), *buffer = turn_buffer();
    snprintf(buffer, PATH_MAX, "%s", made);
    free(made);
    return buffer;
}

/* ---- taking events ---- */

bool readable(asyncinotify *in)
{
    struct pollfd poller = {.fd = (int)OK(asyncinotify_fd(in)), .events = POLLIN};
    SYS(poll(&poller, 1, 0));
    return poller.revents & POLLIN;
}

void wait_readable(asyncinotify *in)
{
    struct pollfd poller = {.fd = (int)OK(asyncinotify_fd(in)), .events = POLLIN};
    int ready;
    do
        ready = poll(&poller, 1, PATIENCE_MS);
    while (ready == -1 && errno == EINTR);
    if (ready != 1)
        FAIL("no event came within %d ms (%d bytes are queued in the kernel)", PATIENCE_MS, queued_bytes(in));
}

asyncinotify_event take(asyncinotify *in)
{
    asyncinotify_event event;
    double end = now_ms() + PATIENCE_MS;
    do {
        wait_readable(in);
        if (OK(asyncinotify_get(in, &event)) == 1)
            return event;
    } while (now_ms() < end);
    FAIL("the fd stays readable, but no event comes");
}

/* What every event must be, whatever it tells. */
static void check_event(const asyncinotify_event *event)
{
    CHECK_INT(event->path ? strlen(event->path) : 0, event->path_len);
    CHECK_INT(event->name ? strlen(event->name) : 0, event->name_len);
    CHECK_INT(event->moved_from ? strlen(event->moved_from) : 0, event->moved_from_len);
    if (event->watch == 0)
        CHECK(event->path == NULL);
    else
        CHECK(event->path != NULL);
    if (event->name && event->path)
        CHECK_STR(event->path + event->path_len - event->name_len, event->name);
    CHECK((event->error != 0) == !!(event->flags & ASYNCINOTIFY_EVENT_ERROR));
    CHECK(event->error >= 0);
    CHECK_INT(event->reserved0, 0);
    for (size_t i = 0; i < 4; i++)
        CHECK_INT(event->reserved[i], 0);
}

static void log_add(struct log *log, const asyncinotify_event *event)
{
    check_event(event);
    if (log->count == log->room)
        log->events = realloc(log->events, (log->room = log->room * 2 + 16) * sizeof *log->events);
    OK(asyncinotify_event_dup(event, &log->events[log->count++]));
}

/* Takes until the fd is not readable; false when the time is up. */
static bool take_all(asyncinotify *in, struct log *log, uint32_t until_flag)
{
    double end = now_ms() + (under_valgrind() ? 10 : 3) * PATIENCE_MS;
    asyncinotify_event event;
    while (now_ms() < end) {
        if (OK(asyncinotify_get(in, &event)) == 1) {
            if (log)
                log_add(log, &event);
            else
                check_event(&event);
            if (until_flag && (event.flags & until_flag))
                return true;
        } else if (until_flag) {
            wait_readable(in);
        } else if (!readable(in)) {
            return true;
        }
    }
    return false;
}

void collect(asyncinotify *in, struct log *log)
{
    if (!take_all(in, log, 0)) {
        log_print(log);
        FAIL("the fd did not come to rest");
    }
}

void collect_until_flag(asyncinotify *in, struct log *log, uint32_t flag)
{
    if (!take_all(in, log, flag)) {
        log_print(log);
        FAIL("no event with flag %#x came", flag);
    }
}

void drain(asyncinotify *in)
{
    if (!take_all(in, NULL, 0))
        FAIL("the fd did not come to rest");
}

void log_print(const struct log *log)
{
    size_t from = log->count > 200 ? log->count - 200 : 0;
    for (size_t i = from; i < log->count; i++) {
        char *text = make_event_text(log->events[i]);
        dprintf(STDOUT_FILENO, "    [%zu] %.3000s\n", i, text);
        free(text);
    }
}

void log_clear(struct log *log)
{
    for (size_t i = 0; i < log->count; i++)
        asyncinotify_event_free(log->events[i]);
    free(log->events);
    *log = (struct log){0};
}

static bool event_matches(const asyncinotify_event *event, uint32_t mask, uint32_t flags, const char *path)
{
    return (event->mask & mask) == mask && (event->flags & flags) == flags
        && (!path || (event->path && !strcmp(event->path, path)));
}

size_t log_count(const struct log *log, uint32_t mask, uint32_t flags, const char *path)
{
    size_t count = 0;
    for (size_t i = 0; i < log->count; i++)
        count += event_matches(log->events[i], mask, flags, path);
    return count;
}

const asyncinotify_event *log_find(const struct log *log, uint32_t mask, uint32_t flags, const char *path)
{
    for (size_t i = 0; i < log->count; i++)
        if (event_matches(log->events[i], mask, flags, path))
            return log->events[i];
    return NULL;
}

static int compare_texts(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

static const char *without_origin(const char *text, int how)
{
    const char *origin = "SYNTHETIC ";
    return (how & ANY_ORIGIN) && !strncmp(text, origin, strlen(origin)) ? text + strlen(origin) : text;
}

void expect_texts(const char *file, int line, asyncinotify *in, int how, const char *const *expected)
{
    struct log log = {0};
    collect(in, &log);

    size_t wanted = 0;
    while (expected[wanted])
        wanted++;
    char **came = calloc(log.count + 1, sizeof *came);
    const char **want = calloc(wanted + 1, sizeof *want);
    for (size_t i = 0; i < log.count; i++) {
        char *made = make_event_text(log.events[i]);
        came[i] = strdup(without_origin(made, how));
        free(made);
    }
    for (size_t i = 0; i < wanted; i++)
        want[i] = without_origin(expected[i], how);
    if (how & ANY_ORDER) {
        qsort(came, log.count, sizeof *came, compare_texts);
        qsort(want, wanted, sizeof *want, compare_texts);
    }

    bool same = log.count == wanted;
    for (size_t i = 0; same && i < wanted; i++)
        same = !strcmp(came[i], want[i]);
    if (!same) {
        dprintf(STDOUT_FILENO, "  %s:%d: events differ\n    expected%s:\n", file, line,
                how & ANY_ORDER ? " in any order" : "");
        for (size_t i = 0; i < wanted; i++)
            dprintf(STDOUT_FILENO, "      %.1000s\n", want[i]);
        dprintf(STDOUT_FILENO, "    got:\n");
        for (size_t i = 0; i < log.count && i < 200; i++)
            dprintf(STDOUT_FILENO, "      %.1000s\n", came[i]);
        test_fail(file, line, "%zu events, expected %zu", log.count, wanted);
    }

    for (size_t i = 0; i < log.count; i++)
        free(came[i]);
    free(came);
    free(want);
    log_clear(&log);
}

/* ---- a set of paths ---- */

struct entry {
    char *path;
    unsigned named; /* the listing in which it was named last */
};

struct set {
    struct entry *slots;
    size_t room, used; /* used counts what was removed as well */
    size_t count;
};

static char removed_mark[] = "";

static size_t hash(const char *path)
{
    uint64_t value = 14695981039346656037u;
    for (; *path; path++)
        value = (value ^ (unsigned char)*path) * 1099511628211u;
    return (size_t)(value ^ value >> 29);
}

static struct entry *set_find(const struct set *set, const char *path)
{
    if (!set->room)
        return NULL;
    for (size_t i = hash(path) & (set->room - 1); set->slots[i].path; i = (i + 1) & (set->room - 1))
        if (set->slots[i].path != removed_mark && !strcmp(set->slots[i].path, path))
            return &set->slots[i];
    return NULL;
}

/* Takes the string over. The path must not be in the set. */
static struct entry *set_insert(struct set *set, char *path, unsigned named)
{
    if (2 * (set->used + 1) > set->room) {
        struct set grown = {.room = 64};
        while (grown.room < 4 * (set->count + 1))
            grown.room *= 2;
        grown.slots = calloc(grown.room, sizeof *grown.slots);
        for (size_t i = 0; i < set->room; i++)
            if (set->slots[i].path && set->slots[i].path != removed_mark)
                set_insert(&grown, set->slots[i].path, set->slots[i].named);
        free(set->slots);
        *set = grown;
    }
    size_t i = hash(path) & (set->room - 1);
    while (set->slots[i].path)
        i = (i + 1) & (set->room - 1);
    set->slots[i] = (struct entry){path, named};
    set->used++;
    set->count++;
    return &set->slots[i];
}

static void set_remove(struct set *set, struct entry *entry)
{
    free(entry->path);
    entry->path = removed_mark;
    set->count--;
}

#define EACH_ENTRY(set, entry)                                                                                        \
    for (struct entry *entry = (set)->slots; entry < (set)->slots + (set)->room; entry++)                             \
        if (entry->path && entry->path != removed_mark)

static void set_free(struct set *set)
{
    EACH_ENTRY(set, entry) free(entry->path);
    free(set->slots);
    *set = (struct set){0};
}

/* Everything on the disk below the directory (the directory itself not), by fds, symbolic links not followed. */
static void set_scan(struct set *set, int parent, const char *name, const char *path, bool directories_only)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1)
        FAIL("open %s: %s", path, strerror(errno));
    DIR *dir = fdopendir(fd);
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char *full = malloc(strlen(path) + strlen(entry->d_name) + 2);
        sprintf(full, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", entry->d_name);
        struct stat st;
        SYS(fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW));
        if (S_ISDIR(st.st_mode))
            set_scan(set, dirfd(dir), entry->d_name, full, directories_only);
        if (S_ISDIR(st.st_mode) || !directories_only)
            set_insert(set, full, 0);
        else
            free(full);
    }
    closedir(dir);
}

static bool set_is_equal(const struct set *have, const char *have_name, const struct set *want, const char *want_name)
{
    int differences = 0;
    EACH_ENTRY(have, entry) if (!set_find(want, entry->path) && differences++ < 10)
        dprintf(STDOUT_FILENO, "    only %s: %.500s\n", have_name, entry->path);
    EACH_ENTRY(want, entry) if (!set_find(have, entry->path) && differences++ < 20)
        dprintf(STDOUT_FILENO, "    only %s: %.500s\n", want_name, entry->path);
    return differences == 0;
}

/* ---- the replica ---- */

struct limbo { /* what left with a MOVED_FROM and may come back with the MOVED_TO of the same cookie */
    uint32_t cookie;
    char *from;
    struct set below; /* full old paths, the moved entry included */
    struct limbo *next;
};

struct replica {
    char *root;
    struct set entries;
    struct limbo *limbo;
    unsigned listing; /* number of the listing under way or the last one */
    bool in_listing;
    bool lost; /* events were lost: the replica is only right after SYNC_END */
    int wrong; /* CREATE events for what was there already */
};

struct replica *replica_new(const char *root)
{
    struct replica *replica = calloc(1, sizeof *replica);
    replica->root = strdup(root);
    return replica;
}

void replica_scan(struct replica *replica)
{
    set_scan(&replica->entries, AT_FDCWD, replica->root, replica->root, false);
}

static bool is_below(const char *path, const char *top)
{
    size_t length = strlen(top);
    return !strncmp(path, top, length) && (path[length] == 0 || path[length] == '/');
}

static void replica_remove(struct replica *replica, const char *path, struct set *moved)
{
    char *top = strdup(path); /* path may be the entry's own */
    EACH_ENTRY(&replica->entries, entry) if (is_below(entry->path, top)) {
        if (moved)
            set_insert(moved, strdup(entry->path), entry->named);
        set_remove(&replica->entries, entry);
    }
    free(top);
}

static void replica_add(struct replica *replica, const char *path)
{
    struct entry *entry = set_find(&replica->entries, path);
    if (!entry)
        entry = set_insert(&replica->entries, strdup(path), 0);
    entry->named = replica->listing;
}

static void limbo_drop(struct limbo **link)
{
    struct limbo *limbo = *link;
    *link = limbo->next;
    free(limbo->from);
    set_free(&limbo->below);
    free(limbo);
}

static void replica_move_in(struct replica *replica, const asyncinotify_event *event)
{
    replica_remove(replica, event->path, NULL);
    for (struct limbo **link = &replica->limbo; event->moved_from && *link; link = &(*link)->next)
        if ((*link)->cookie == event->cookie && !strcmp((*link)->from, event->moved_from)) {
            EACH_ENTRY(&(*link)->below, entry) {
                const char *rest = entry->path + strlen((*link)->from);
                char *path = malloc(event->path_len + strlen(rest) + 1);
                sprintf(path, "%s%s", event->path, rest);
                struct entry *old = set_find(&replica->entries, path);
                if (old)
                    free(path);
                else
                    set_insert(&replica->entries, path, entry->named);
            }
            limbo_drop(link);
            break;
        }
    replica_add(replica, event->path);
}

void replica_apply(struct replica *replica, const asyncinotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW)
        replica->lost = true;
    if (event->flags & ASYNCINOTIFY_EVENT_SYNC_BEGIN) {
        replica->listing++;
        replica->in_listing = true;
    }
    if (event->flags & ASYNCINOTIFY_EVENT_SYNC_END) {
        if (replica->in_listing)
            EACH_ENTRY(&replica->entries, entry) if (entry->named != replica->listing) set_remove(&replica->entries, entry);
        replica->in_listing = replica->lost = false;
    }
    if (!event->path || !event->name || (event->flags & ASYNCINOTIFY_EVENT_ERROR))
        return;
    if (event->mask & IN_CREATE) {
        bool listed_again = replica->in_listing && (event->flags & ASYNCINOTIFY_EVENT_SYNTHETIC);
        if (set_find(&replica->entries, event->path) && !listed_again && !replica->lost) {
            dprintf(STDOUT_FILENO, "    CREATE of what was there already: %.500s\n", event_text(event));
            replica->wrong++;
        }
        replica_add(replica, event->path);
    }
    if (event->mask & IN_DELETE)
        replica_remove(replica, event->path, NULL);
    if (event->mask & IN_MOVED_FROM) {
        struct limbo *limbo = calloc(1, sizeof *limbo);
        *limbo = (struct limbo){.cookie = event->cookie, .from = strdup(event->path), .next = replica->limbo};
        replica_remove(replica, event->path, &limbo->below);
        replica->limbo = limbo;
    }
    if (event->mask & IN_MOVED_TO)
        replica_move_in(replica, event);
}

void replica_apply_log(struct replica *replica, const struct log *log)
{
    for (size_t i = 0; i < log->count; i++)
        replica_apply(replica, log->events[i]);
}

void replica_follow(struct replica *replica, asyncinotify *in)
{
    struct log log = {0};
    collect(in, &log);
    replica_apply_log(replica, &log);
    log_clear(&log);
}

void replica_check(const char *file, int line, struct replica *replica)
{
    struct set disk = {0};
    set_scan(&disk, AT_FDCWD, replica->root, replica->root, false);
    if (!set_is_equal(&replica->entries, "in the replica", &disk, "on the disk"))
        test_fail(file, line, "the replica of %s (%zu entries) differs from the disk (%zu)", replica->root,
                  replica->entries.count, disk.count);
    if (replica->wrong)
        test_fail(file, line, "%d CREATE events came for what was there already", replica->wrong);
    set_free(&disk);
}

void replica_free(struct replica *replica)
{
    while (replica->limbo)
        limbo_drop(&replica->limbo);
    set_free(&replica->entries);
    free(replica->root);
    free(replica);
}

struct directory_list {
    struct set set;
    asyncinotify *in;
    int twice;
};

static int see_directory(asyncinotify *in, const char *path, size_t path_len, void *userdata)
{
    struct directory_list *list = userdata;
    CHECK(in == list->in);
    CHECK_INT(strlen(path), path_len);
    if (set_find(&list->set, path)) {
        dprintf(STDOUT_FILENO, "    listed twice: %.500s\n", path);
        list->twice++;
    } else {
        set_insert(&list->set, strdup(path), 0);
    }
    return 0;
}

void check_directories(const char *file, int line, asyncinotify *in, asyncinotify_watch id, const char *root)
{
    struct directory_list list = {.in = in};
    intptr_t count = check_ok(file, line, "asyncinotify_watch_each_directory", asyncinotify_watch_each_directory(in, id, see_directory, &list));
    check_int(file, line, "what watch_each_directory returns", count, "calls", (long long)list.set.count + list.twice);
    struct set disk = {0};
    set_scan(&disk, AT_FDCWD, root, root, true);
    set_insert(&disk, strdup(root), 0);
    if (!set_is_equal(&list.set, "watched", &disk, "on the disk") || list.twice)
        test_fail(file, line, "the directories watched (%zu) are not those on the disk (%zu)", list.set.count, disk.count);
    set_free(&list.set);
    set_free(&disk);
}

/* ---- processes, threads, time ---- */

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
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
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

/* ---- the runner ---- */

static _Noreturn void run_test(const struct test *test, int fds_before)
{
    alarm(under_valgrind() ? 600 : 120);
    SYS(chdir(directory));
    test->run();
    if (open_fds() != fds_before) {
        scan_fds(true);
        FAIL("%s left file descriptors open: %d, were %d", test->name, open_fds(), fds_before);
    }
    int watches = 0;
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            watches += each_watch_line(fd, NULL, NULL);
    CHECK_INT(watches, 0);
    fflush(NULL);
    exit(EXIT_PASSED);
}

/* A test that runs beside us may have lowered the limit for a moment; an instance made then would overflow here. */
static void wait_for_a_whole_queue(void)
{
    static bool gave_up;
    for (double end = now_ms() + PATIENCE_MS; !gave_up && max_queued_events() < 16384; pause_ms(1))
        if (now_ms() > end) {
            gave_up = true;
            printf("note: fs.inotify.max_queued_events is only %d\n", max_queued_events());
        }
}

static int run_in_child(const struct test *test)
{
    const char *base = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/asyncinotify-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(directory)) {
        perror(directory);
        exit(2);
    }
    chmod(directory, 0755);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        proc_self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        run_test(test, open_fds());
    }
    int status = 0;
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
        ;
    remove_tree_at(AT_FDCWD, directory);
    return status;
}

static bool is_selected(const struct test *test, char **patterns)
{
    if (!*patterns)
        return true;
    for (; *patterns; patterns++)
        if (strstr(test->name, *patterns) || !strncmp(test->file, *patterns, strlen(*patterns)))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    if (!realpath(argv[0], self_path))
        snprintf(self_path, sizeof self_path, "%s", argv[0]);
    if (argc > 2 && !strcmp(argv[1], "--helper")) {
        for (size_t i = 0; i < helper_count; i++)
            if (!strcmp(helpers[i].name, argv[2]))
                return helpers[i].run(argv + 3);
        return 126;
    }
    if (argc > 1 && !strcmp(argv[1], "--list")) {
        for (size_t i = 0; i < test_count; i++)
            printf("%s: %s\n", tests[i].file, tests[i].name);
        return 0;
    }

    setvbuf(stdout, NULL, _IOLBF, 0);
    skip_reason = mmap(NULL, REASON_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool require_all = getenv("REQUIRE_ALL") && !strcmp(getenv("REQUIRE_ALL"), "1");
    int passed = 0, failed = 0, skipped = 0;
    for (size_t i = 0; i < test_count; i++) {
        if (!is_selected(&tests[i], argv + 1))
            continue;
        wait_for_a_whole_queue();
        double start = now_ms();
        int status = run_in_child(&tests[i]), code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        const char *verdict = "FAIL", *reason = "";
        char signal_text[64];
        if (code == EXIT_PASSED) {
            verdict = "pass";
        } else if (code == EXIT_SKIPPED) {
            verdict = "skip";
            reason = skip_reason;
        } else if (code == EXIT_MISSING) {
            verdict = require_all ? "FAIL" : "skip";
            reason = skip_reason;
            printf("SKIP: %s\n", reason);
        } else if (code == EXIT_VALGRIND) {
            reason = "valgrind found errors";
        } else if (code == -1) {
            snprintf(signal_text, sizeof signal_text, "killed by signal %d (%s)", WTERMSIG(status),
                     WTERMSIG(status) == SIGALRM ? "took too long" : strsignal(WTERMSIG(status)));
            reason = signal_text;
        }
        *(*verdict == 'p' ? &passed : *verdict == 's' ? &skipped : &failed) += 1;
        printf("%s %s: %s (%.0f ms)%s%s\n", verdict, tests[i].file, tests[i].name, now_ms() - start, *reason ? " # " : "", reason);
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed || !passed;
}
