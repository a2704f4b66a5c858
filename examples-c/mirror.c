/* mirror: keeps a copy of a directory tree in step with it, from events alone, until Ctrl-C.

   Directories and names follow the events one by one: created, renamed as a whole, removed. What is in a file is
   read from the disk when an event names it. Two things make that safe:

   - The path of an event is the one of that time; by now something else may stand there, put there by a rename whose
     event is still to come. So paths that were read lately are kept, renamed along with their directories, and read
     again after such a rename (`recent`).
   - Whatever leaves a place goes into a hidden folder of the copy first. If MOVED_TO follows, it is renamed from there;
     if none does, it is removed (`hold`).

   When the kernel's queue overflowed, the library lists the tree anew between SYNC_BEGIN and SYNC_END, just as at the
   start. What was named in between is marked, and the rest is swept out of the copy.

   What is in a directory that can't be watched (ERROR) is not told, and is taken out of the copy. When it is watched
   again, its content comes as that of a new directory, and then HEALED.

   It trusts the events. What they may say and what not is checked by tests/support/replica.rs, which knows the kind of
   each entry and refuses a name that comes twice; a program need not, and goes on with what the last event says.

   Limits: owners, hard links between files, sockets and devices are not kept. */
#define _XOPEN_SOURCE 700
#include <asyncinotify.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    CHANGES = ASYNCINOTIFY_CREATE | ASYNCINOTIFY_DELETE | ASYNCINOTIFY_MOVE | ASYNCINOTIFY_CLOSE_WRITE |
              ASYNCINOTIFY_MODIFY | ASYNCINOTIFY_ATTRIB | ASYNCINOTIFY_MOVE_SELF,
    IDLE = 200 /* milliseconds without an event: every rename there was has been told */
};

static asyncinotify *inotify;
static asyncinotify_watch tree;
static const char *source_path;
static int source, copy, hold; /* directories: the tree, its copy, and the hidden folder in the copy */
static char hold_name[] = ".mirror-XXXXXX";
static volatile sig_atomic_t ended;
static int unsettled; /* events have come since settle() */
static unsigned long events, overflows, failures;

static void end(int signal)
{
    (void)signal;
    ended = 1;
    asyncinotify_wake(inotify);
}

static void die(const char *message)
{
    fprintf(stderr, "mirror: %s\n", message);
    exit(EXIT_FAILURE);
}

static void *allocate(void *old, size_t size)
{
    void *new = realloc(old, size);
    if (!new)
        die("out of memory");
    return new;
}

static char *duplicate(const char *text)
{
    return strcpy(allocate(NULL, strlen(text) + 1), text);
}

/* What vanished meanwhile is no trouble: an event that says so is on its way. */
static void complain(const char *what, const char *path)
{
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
        return;
    failures++;
    fprintf(stderr, "mirror: %s %s: %s\n", what, path, strerror(errno));
}

/* Opens the directory that holds `path` (relative to `root`), a component at a time: no symbolic link is followed, and
   a path may be longer than PATH_MAX. Sets *name to the last component. Returns the descriptor, or -1. */
static int open_parent(int root, const char *path, const char **name)
{
    char component[NAME_MAX + 1];
    const char *slash;
    int directory = fcntl(root, F_DUPFD_CLOEXEC, 0);

    for (; directory >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
        size_t length = (size_t)(slash - path);
        int next = -1;

        if (length < sizeof component) {
            memcpy(component, path, length);
            component[length] = '\0';
            next = openat(directory, component, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        int error = errno;
        close(directory);
        errno = error;
        directory = next;
    }
    *name = path;
    return directory;
}

/* ---- marks: which entries of the copy were named since SYNC_BEGIN, by inode, so that renames don't matter ---- */

static ino_t *marks;
static size_t marks_count, marks_room;
static int marking;

static void mark(int directory, const char *name)
{
    struct stat status;

    if (!marking || fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (marks_count == marks_room)
        marks = allocate(marks, (marks_room = 2 * marks_room + 64) * sizeof *marks);
    marks[marks_count++] = status.st_ino;
}

static int compare_inodes(const void *left, const void *right)
{
    const ino_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static int is_marked(ino_t inode)
{
    return marks_count > 0 && bsearch(&inode, marks, marks_count, sizeof *marks, compare_inodes) != NULL;
}

/* ---- the hold: what has left its place; and what is to be removed, under a name that is a bare number ---- */

static void hold_entry_name(char *buffer, size_t size, uint32_t cookie)
{
    snprintf(buffer, size, "moved-%" PRIu32, cookie);
}

static void throw_away(int directory, const char *name)
{
    static unsigned long number;
    char unique[32];

    if (unlinkat(directory, name, 0) == 0 || unlinkat(directory, name, AT_REMOVEDIR) == 0)
        return;
    snprintf(unique, sizeof unique, "%lu", ++number);
    if (renameat(directory, name, hold, unique) < 0)
        complain("can't remove", name);
}

static DIR *open_directory(int directory, const char *name)
{
    int opened = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = opened >= 0 ? fdopendir(opened) : NULL;

    if (!stream && opened >= 0)
        close(opened);
    return stream;
}

static int is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Removes all that is in the hold. A directory's own directories are moved up beside it first: trees of any depth go
   with two descriptors and no recursion. */
static void empty_hold(void)
{
    int found, removed;

    do {
        DIR *stream = open_directory(hold, ".");
        struct dirent *entry;

        found = removed = 0;
        while (stream && (entry = readdir(stream))) {
            DIR *below;

            if (is_dot(entry->d_name))
                continue;
            found = 1;
            if ((below = open_directory(hold, entry->d_name))) {
                struct dirent *child;
                while ((child = readdir(below)))
                    if (!is_dot(child->d_name))
                        throw_away(dirfd(below), child->d_name);
                closedir(below);
            }
            removed |= unlinkat(hold, entry->d_name, 0) == 0 || unlinkat(hold, entry->d_name, AT_REMOVEDIR) == 0;
        }
        if (stream)
            closedir(stream);
    } while (found && removed);
}

/* ---- refresh: makes one entry of the copy like the source's ---- */

static void copy_mode_and_time(int directory, const char *name, const struct stat *from)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, from->st_mtim};
    /* A directory of the copy has to stay open for us. */
    mode_t mode = (from->st_mode & 07777) | (S_ISDIR(from->st_mode) ? S_IRWXU : 0);

    if (!S_ISLNK(from->st_mode) && fchmodat(directory, name, mode, 0) < 0)
        complain("can't set the mode of", name);
    if (!S_ISDIR(from->st_mode) && utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        complain("can't set the time of", name);
}

/* The same size and time mean the same content, but for a file that was changed again in the very tick of the clock
   in which it was copied: then it was copied less than a second after its time. */
static int is_up_to_date(const struct stat *from, const struct stat *to)
{
    return S_ISREG(to->st_mode) && from->st_size == to->st_size && from->st_mtim.tv_sec == to->st_mtim.tv_sec &&
           from->st_mtim.tv_nsec == to->st_mtim.tv_nsec && to->st_ctim.tv_sec > from->st_mtim.tv_sec + 1;
}

/* Into the hold first, then over what stood there: a reader of the copy never sees half a file. */
static int copy_file(int from_directory, int to_directory, const char *name)
{
    static char buffer[128 * 1024];
    struct stat status;
    ssize_t count = 0;
    int from = openat(from_directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int to = -1;
    int result = -1;

    if (from < 0 || fstat(from, &status) < 0)
        goto out;
    if (!S_ISREG(status.st_mode)) {
        errno = ENOENT; /* it was replaced just now */
        goto out;
    }
    to = openat(hold, "new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        goto out;
    while ((count = read(from, buffer, sizeof buffer)) > 0)
        for (ssize_t written = 0, more; written < count; written += more)
            if ((more = write(to, buffer + written, (size_t)(count - written))) < 0)
                goto out;
    if (count < 0)
        goto out;
    copy_mode_and_time(hold, "new", &status);
    result = renameat(hold, "new", to_directory, name);
out:;
    int error = errno;
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    if (to >= 0 && result < 0)
        unlinkat(hold, "new", 0);
    errno = error;
    return result;
}

static int copy_symlink(int from_directory, int to_directory, const char *name)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(from_directory, name, target, sizeof target - 1);

    if (length < 0) {
        if (errno == EINVAL)
            errno = ENOENT; /* it was replaced just now */
        return -1;
    }
    target[length] = '\0';
    unlinkat(hold, "new", 0);
    return symlinkat(target, hold, "new") < 0 ? -1 : renameat(hold, "new", to_directory, name);
}

enum content { ALWAYS, IF_CHANGED, NEVER };

/* For what is new at a path: takes away what stands there, unless `keep` says that its kind is right. */
static void make_room(const char *path, int is_directory, int keep)
{
    const char *name;
    struct stat there;
    int directory = open_parent(copy, path, &name);

    if (directory < 0)
        return;
    if (fstatat(directory, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        (keep ? S_ISDIR(there.st_mode) != is_directory : is_directory || S_ISDIR(there.st_mode)))
        throw_away(directory, name);
    close(directory);
}

/* `is_directory` is what the event said. If something else stands there by now, it is left to the events to come, but
   for a directory, which must be made: things may be moved out of it. `named`: since SYNC_BEGIN. Returns whether the
   source still has it. */
static int refresh(const char *path, int is_directory, enum content content, int named)
{
    const char *name;
    struct stat from, to;
    int from_directory = open_parent(source, path, &name);
    int to_directory = open_parent(copy, path, &name);
    int error = errno;
    int from_there = from_directory >= 0 && fstatat(from_directory, name, &from, AT_SYMLINK_NOFOLLOW) == 0;
    int to_there = to_directory >= 0 && fstatat(to_directory, name, &to, AT_SYMLINK_NOFOLLOW) == 0;

    if (from_there && S_ISDIR(from.st_mode) != is_directory)
        from_there = 0;
    if (to_directory < 0) {
        errno = error;
        complain("can't open the directory of", path);
    } else if (to_there && S_ISDIR(to.st_mode) != is_directory) {
        /* About a file that was open, when something else had taken its name already. */
    } else if (is_directory) {
        if (!to_there && content != NEVER && mkdirat(to_directory, name, 0700) < 0)
            complain("can't make", path);
        if (from_there)
            copy_mode_and_time(to_directory, name, &from);
    } else if (from_there && S_ISREG(from.st_mode)) {
        if (content == ALWAYS || (content == IF_CHANGED && !(to_there && is_up_to_date(&from, &to)))) {
            if (copy_file(from_directory, to_directory, name) < 0)
                complain("can't copy", path);
        } else if (to_there && S_ISREG(to.st_mode)) {
            copy_mode_and_time(to_directory, name, &from);
        }
    } else if (from_there && S_ISLNK(from.st_mode)) {
        if (content != NEVER && copy_symlink(from_directory, to_directory, name) < 0)
            complain("can't copy", path);
    } else if (from_there && S_ISFIFO(from.st_mode)) {
        if (to_there && !S_ISFIFO(to.st_mode))
            throw_away(to_directory, name);
        if (!(to_there && S_ISFIFO(to.st_mode)) && mkfifoat(to_directory, name, from.st_mode & 07777) < 0)
            complain("can't make", path);
    }
    if (to_directory >= 0) {
        if (named)
            mark(to_directory, name);
        close(to_directory);
    }
    if (from_directory >= 0)
        close(from_directory);
    return from_there;
}

/* ---- recent: what was read since the queue was last empty for a while ---- */

struct recent {
    char *path; /* "/COOKIE/..." while it is in the hold */
    int is_directory;
    int modified; /* MODIFY came, and CLOSE_WRITE not yet */
    int named;    /* since SYNC_BEGIN */
};
static struct recent *recent;
static size_t recent_count, recent_room;

static void remember(const char *path, int is_directory, int modified)
{
    if (recent_count > 0 && strcmp(recent[recent_count - 1].path, path) == 0) {
        recent[recent_count - 1].modified = modified;
        recent[recent_count - 1].named = marking;
        return;
    }
    if (recent_count == recent_room)
        recent = allocate(recent, (recent_room = 2 * recent_room + 64) * sizeof *recent);
    recent[recent_count++] = (struct recent){duplicate(path), is_directory, modified, marking};
}

static int is_at_or_below(const char *path, const char *directory)
{
    size_t length = strcmp(directory, "/") == 0 ? 0 : strlen(directory);
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static void forget_recent(const char *path, int itself)
{
    size_t kept = 0;

    for (size_t i = 0; i < recent_count; i++)
        if (is_at_or_below(recent[i].path, path) && (itself || strcmp(recent[i].path, path) != 0))
            free(recent[i].path);
        else
            recent[kept++] = recent[i];
    recent_count = kept;
}

/* What lies at or below `from` lies at or below `to` now. */
static void rename_recent(const char *from, const char *to, int read_again)
{
    size_t from_length = strlen(from), to_length = strlen(to);

    for (size_t i = 0; i < recent_count; i++) {
        const char *rest = recent[i].path + from_length;
        char *renamed;

        if (!is_at_or_below(recent[i].path, from))
            continue;
        renamed = allocate(NULL, to_length + strlen(rest) + 1);
        memcpy(renamed, to, to_length);
        strcpy(renamed + to_length, rest);
        free(recent[i].path);
        recent[i].path = renamed;
        if (read_again)
            refresh(renamed, recent[i].is_directory, recent[i].is_directory ? NEVER : ALWAYS, recent[i].named);
    }
}

/* Nothing has come for a while: what was read was right, what was moved out stays out. */
static void settle(void)
{
    for (size_t i = 0; i < recent_count; i++) {
        /* truncate(2) without an open file: MODIFY, and no CLOSE_WRITE after it. */
        if (recent[i].modified && recent[i].path[0] != '/')
            refresh(recent[i].path, 0, IF_CHANGED, recent[i].named);
        free(recent[i].path);
    }
    recent_count = 0;
    empty_hold();
    unsettled = 0;
}

/* ---- events ---- */

static void watch_tree(void)
{
    asyncinotify_recursive_options options = {0};

    options.size = sizeof options;
    options.flags = ASYNCINOTIFY_RECURSIVE_LIST_EXISTING | ASYNCINOTIFY_RECURSIVE_BACKGROUND;
    if (asyncinotify_add_recursive(inotify, source_path, CHANGES, &options, &tree) < 0)
        die(asyncinotify_last_error_message());
}

/* Begins anew where the copy can't follow; events of the old watch are passed over from now on. */
static void start_over(const char *why, const char *path)
{
    fprintf(stderr, "mirror: %s %s: comparing all\n", why, path);
    if (asyncinotify_rm_watch(inotify, tree) < 0)
        die(asyncinotify_last_error_message());
    marking = 0;
    watch_tree();
}

static void moved_from(const char *path, uint32_t cookie)
{
    char held[32], recent_path[32];
    const char *name;
    int directory = open_parent(copy, path, &name);

    if (directory < 0)
        return;
    hold_entry_name(held, sizeof held, cookie);
    snprintf(recent_path, sizeof recent_path, "/%" PRIu32, cookie);
    if (renameat(directory, name, hold, held) < 0)
        complain("can't move", path);
    rename_recent(path, recent_path, 0);
    close(directory);
}

static void moved_to(const asyncinotify_event *event, const char *path)
{
    char held[32], recent_path[32];
    const char *name;
    struct stat moved;
    int is_directory = (event->mask & ASYNCINOTIFY_ISDIR) != 0;
    int directory;

    hold_entry_name(held, sizeof held, event->cookie);
    snprintf(recent_path, sizeof recent_path, "/%" PRIu32, event->cookie);
    /* What stood there has been replaced, or has changed places with what came. Files replace files without that. */
    make_room(path, is_directory, 0);
    directory = open_parent(copy, path, &name);

    if (event->moved_from && fstatat(hold, held, &moved, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(moved.st_mode) == is_directory) {
        if (directory < 0 || renameat(hold, held, directory, name) < 0) {
            start_over("can't rename to", path);
        } else {
            mark(directory, name);
            rename_recent(recent_path, path, 1);
        }
    } else if (event->moved_from && is_directory && !marking) {
        start_over("nothing to rename to", path);
    } else if (!refresh(path, is_directory, ALWAYS, 1) && !is_directory && directory >= 0) {
        /* From outside the tree, or the list has not come to it: what a directory holds comes as events of its own. A file
           that has moved on already has still replaced what stood there. */
        throw_away(directory, name);
    }
    if (directory >= 0)
        close(directory);
}

static void removed(const char *path)
{
    const char *name;
    int directory = open_parent(copy, path, &name);

    if (directory < 0)
        return;
    throw_away(directory, name);
    forget_recent(path, 1);
    close(directory);
}

/* What is in a directory that can't be watched may change, and nothing tells of it: it goes, the directory stays. */
static void forget_content(const char *path)
{
    const char *name;
    int parent = open_parent(copy, path, &name);
    DIR *stream = parent >= 0 ? open_directory(parent, name) : NULL;
    struct dirent *entry;

    while (stream && (entry = readdir(stream)))
        if (!is_dot(entry->d_name))
            throw_away(dirfd(stream), entry->d_name);
    forget_recent(path, 0);
    if (stream)
        closedir(stream);
    if (parent >= 0)
        close(parent);
}

static int complain_of_trouble(asyncinotify *self, const char *path, size_t path_len, int error, void *userdata)
{
    (void)self, (void)path_len, (void)userdata;
    errno = error;
    complain("could not watch", path);
    return 0;
}

/* Takes out of the copy what was not named since SYNC_BEGIN, level by level. */
static void sweep(void)
{
    char **pending = allocate(NULL, sizeof *pending);
    size_t count = 1, room = 1;

    pending[0] = duplicate("");
    if (marks_count > 0)
        qsort(marks, marks_count, sizeof *marks, compare_inodes);
    while (count > 0) {
        char *path = pending[--count];
        const char *name;
        int parent = open_parent(copy, path, &name);
        DIR *stream = parent >= 0 ? open_directory(parent, *name ? name : ".") : NULL;
        struct dirent *entry;
        struct stat status;

        while (stream && (entry = readdir(stream))) {
            if (is_dot(entry->d_name) || (*path == '\0' && strcmp(entry->d_name, hold_name) == 0) ||
                fstatat(dirfd(stream), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
                continue;
            if (!is_marked(status.st_ino)) {
                throw_away(dirfd(stream), entry->d_name);
            } else if (S_ISDIR(status.st_mode)) {
                size_t length = strlen(path);
                if (count == room)
                    pending = allocate(pending, (room *= 2) * sizeof *pending);
                pending[count] = allocate(NULL, length + strlen(entry->d_name) + 2);
                sprintf(pending[count++], "%s%s%s", path, length > 0 ? "/" : "", entry->d_name);
            }
        }
        if (stream)
            closedir(stream);
        if (parent >= 0)
            close(parent);
        free(path);
    }
    free(pending);
}

static void handle(const asyncinotify_event *event)
{
    const char *path;
    int is_directory = (event->mask & ASYNCINOTIFY_ISDIR) != 0;

    events++;
    unsettled = 1;
    if (event->mask & ASYNCINOTIFY_Q_OVERFLOW) {
        overflows++;
        fprintf(stderr, "mirror: events were lost, comparing all\n");
    }
    if (event->watch != tree)
        return;
    path = event->path + strlen(source_path);
    path += strspn(path, "/");

    if (event->flags & ASYNCINOTIFY_EVENT_ERROR) {
        /* No failure yet: it may heal. If only the root is not found, what is watched goes on. */
        fprintf(stderr, "mirror: can't watch %s: %s\n", event->path, asyncinotify_strerror(event->error));
        if (*path != '\0')
            forget_content(path);
    } else if (event->flags & ASYNCINOTIFY_EVENT_HEALED) {
        fprintf(stderr, "mirror: %s is watched again\n", event->path);
    } else if (event->flags & ASYNCINOTIFY_EVENT_SYNC_BEGIN) {
        marking = 1;
        marks_count = 0;
        for (size_t i = 0; i < recent_count; i++)
            recent[i].named = 0;
    } else if (event->flags & ASYNCINOTIFY_EVENT_SYNC_END) {
        if (marking)
            sweep();
        marking = 0;
        printf("in step\n");
    } else if (*path == '\0') { /* about the root itself */
        struct stat status;
        if (event->mask & (ASYNCINOTIFY_IGNORED | ASYNCINOTIFY_MOVE_SELF)) {
            fprintf(stderr, "mirror: %s is gone\n", source_path);
            failures++;
            ended = 1;
        } else if (fstat(source, &status) == 0) {
            copy_mode_and_time(copy, ".", &status);
        }
    } else if (event->mask & ASYNCINOTIFY_MOVED_FROM) {
        moved_from(path, event->cookie);
    } else if (event->mask & ASYNCINOTIFY_DELETE) {
        removed(path);
    } else {
        if (event->mask & ASYNCINOTIFY_MOVED_TO ||
            (event->mask & ASYNCINOTIFY_CREATE && !(event->flags & ASYNCINOTIFY_EVENT_SYNTHETIC)))
            forget_recent(path, 1); /* of what it replaces; a list may name what is known already */
        if (event->mask & ASYNCINOTIFY_CREATE)
            make_room(path, is_directory, 1);
        if (event->mask & ASYNCINOTIFY_MOVED_TO)
            moved_to(event, path);
        else if (event->mask & (ASYNCINOTIFY_CREATE | ASYNCINOTIFY_CLOSE_WRITE))
            refresh(path, is_directory, event->flags & ASYNCINOTIFY_EVENT_SYNTHETIC ? IF_CHANGED : ALWAYS, 1);
        else if (event->mask & ASYNCINOTIFY_ATTRIB)
            refresh(path, is_directory, NEVER, 1);
        remember(path, is_directory, (event->mask & ASYNCINOTIFY_MODIFY) != 0);
    }
}

/* ---- start and end ---- */

static void open_copy(const char *path, int update)
{
    char real_source[PATH_MAX], real_copy[PATH_MAX];
    struct dirent *entry;
    struct stat status;
    DIR *stream;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        die(strerror(errno));
    if (!realpath(source_path, real_source) || !realpath(path, real_copy))
        die(strerror(errno));
    if (is_at_or_below(real_source, real_copy) || is_at_or_below(real_copy, real_source))
        die("one of the two directories lies in the other");
    if (!(stream = open_directory(AT_FDCWD, path)))
        die(strerror(errno));
    while (!update && (entry = readdir(stream)))
        if (!is_dot(entry->d_name))
            die("the copy is not empty; what is not in the source would be removed from it: --update if that is meant");
    copy = fcntl(dirfd(stream), F_DUPFD_CLOEXEC, 0);
    closedir(stream);

    if (fchdir(copy) < 0 || !mkdtemp(hold_name) ||
        (hold = open(hold_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || fstat(source, &status) < 0)
        die(strerror(errno));
    copy_mode_and_time(copy, ".", &status);
}

int main(int argc, char **argv)
{
    struct sigaction action = {0};
    asyncinotify_event event;
    int update = argc > 1 && strcmp(argv[1], "--update") == 0;
    int start, got;

    if (argc != 3 + update || argv[1 + update][0] == '-') {
        fprintf(stderr, "usage: %s [--update] SOURCE COPY\n"
                        "Makes COPY a copy of the directory SOURCE, and keeps it in step until Ctrl-C.\n"
                        "  --update  COPY may hold something already; what SOURCE has not got is removed from it\n",
                argv[0]);
        return 2;
    }
    source_path = argv[1 + update];
    for (char *last = strchr(argv[1 + update], '\0') - 1; last > source_path && *last == '/'; last--)
        *last = '\0';
    source = open(source_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    start = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (source < 0 || start < 0)
        die(strerror(errno));
    open_copy(argv[2 + update], update);
    if (fchdir(start) < 0) /* source_path may be relative */
        die(strerror(errno));

    if (asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &inotify) < 0)
        die(asyncinotify_last_error_message());
    action.sa_handler = end;
    action.sa_flags = (int)SA_RESETHAND; /* a second Ctrl-C does not wait for what is queued */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    umask(0);
    watch_tree();

    while (!ended) {
        if (asyncinotify_set_sync_timeout(inotify, unsettled ? IDLE : ASYNCINOTIFY_TIMEOUT_INFINITE) < 0)
            die(asyncinotify_last_error_message());
        got = asyncinotify_sync_get(inotify, &event);
        if (got == 1)
            handle(&event);
        else if (got == 0)
            settle();
        else if (got != -EINTR)
            die(asyncinotify_last_error_message());
    }
    while (asyncinotify_get(inotify, &event) == 1) /* what has happened until now is still to be copied */
        handle(&event);
    settle();
    asyncinotify_watch_each_trouble(inotify, tree, complain_of_trouble, NULL);
    unlinkat(copy, hold_name, AT_REMOVEDIR);
    printf("%lu events, %lu overflows, %lu failures\n", events, overflows, failures);

    asyncinotify_close(inotify);
    free(marks);
    free(recent);
    close(start);
    close(hold);
    close(copy);
    close(source);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
