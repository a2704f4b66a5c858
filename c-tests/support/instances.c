/* Instances and what the kernel says of them; events as text, and taking them. */
#include "internal.h"

#include <dirent.h>
#include <sys/ioctl.h>

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

int each_watch_line(int fd, void (*see)(const char *, void *), void *context)
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
int scan_fds(bool print)
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
    if (event->flags & ASYNCINOTIFY_EVENT_HEALED)
        APPEND("HEALED ");
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
