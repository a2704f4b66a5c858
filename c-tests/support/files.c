/* Files and directories. */
#include "internal.h"

#include <dirent.h>
#include <stdarg.h>
#include <sys/syscall.h>

char *turn_buffer(void)
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
void remove_tree_at(int parent, const char *name)
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
