/* Sequences of calls from one to three threads: on open, closed and made-up handles, of watches that exist, have ended or never
 * were, with NULL and huge arguments, and with changes of the disk between them. Each call must come to what the header
 * says it can come to. In the end nothing is left over: no descriptor, and no userdata that was not given back. */
#define _GNU_SOURCE
#include <asyncinotify.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { HANDLES = 3, WATCHES = 16, THREADS = 3, EVENTS = 5, DEPTH = 2, LONG_PATH = 5000 };

static _Atomic(asyncinotify *) handles[HANDLES]; /* closed ones stay */
static _Atomic uint64_t watches[WATCHES];
static atomic_int given, destroyed;
static char long_path[LONG_PATH + 1], home[64];

/* One thread's bytes, and what it has in its hands. */
struct input {
    const uint8_t *data;
    size_t size;
    int depth;  /* of callbacks */
    bool alone; /* no other thread plays beside this one */
    asyncinotify_event *copy;
};

static unsigned next(struct input *in)
{
    if (!in->size)
        return 0;
    in->size--;
    return *in->data++;
}

static asyncinotify *a_handle(struct input *in)
{
    unsigned which = next(in) % (HANDLES + 2);
    return which < HANDLES ? atomic_load(&handles[which]) : which == HANDLES ? NULL : (asyncinotify *)(uintptr_t)0x1234560;
}

static uint64_t a_watch(struct input *in)
{
    unsigned which = next(in) % (WATCHES + 3);
    return which < WATCHES ? atomic_load(&watches[which]) : which == WATCHES ? 0 : which == WATCHES + 1 ? UINT64_MAX : 12345;
}

static const char *a_path(struct input *in)
{
    static const char *const paths[] = {
        "t", "t/a", "t/a/b", "t/b", "t/f", "f", "t/a/\xff\n", "t/b/link", "none/x", "t/f/below", "", ".", NULL, long_path, "t/a/b/c", "u",
    };
    return paths[next(in) % (sizeof paths / sizeof *paths)];
}

/* Always something that can be named. */
static const char *an_entry(struct input *in)
{
    static const char *const paths[] = {"t/a", "t/a/b", "t/b", "t/f", "t/a/\xff\n", "t/b/link", "t/a/b/c", "u", "t/b/d", "t"};
    return paths[next(in) % (sizeof paths / sizeof *paths)];
}

static uint32_t a_mask(struct input *in)
{
    uint32_t low = next(in), high = next(in);
    switch (next(in) % 4) {
    case 0:
        return ASYNCINOTIFY_ALL;
    case 1:
        return low | (high & 0xf) << 8;
    case 2:
        return low | (high & 0xf) << 8 | (high >> 4) << 24;
    default:
        return low << 24 | high << 16 | next(in) << 8 | next(in);
    }
}

/* Waiting tells little, and takes time. */
static int a_time(struct input *in)
{
    switch (next(in) % 32) {
    case 0:
        return 1;
    case 1:
        return -100;
    default:
        return 0;
    }
}

static void fail(const char *what, long long result)
{
    fprintf(stderr, "%s came to %lld (%s): %s\n", what, result, strerror((int)-result), asyncinotify_last_error_message());
    abort();
}

/* What comes of it may be 0 or more, or one of these. */
#define EXPECT(call, ...) expect(#call, (intptr_t)(call), (const int[]){__VA_ARGS__, 0})
static intptr_t expect(const char *what, intptr_t result, const int *errors)
{
    bool known = result >= 0 || result == -ECANCELED; /* another thread may close any handle */
    for (; !known && *errors; errors++)
        known = result == -*errors;
    if (!known)
        fail(what, result);
    if (result < 0 && !*asyncinotify_last_error_message() && !strstr(what, "_wake("))
        fail(what, result); /* a signal handler must not set one */
    return result;
}

/* What can't fail. */
#define MUST(call) expect(#call, (intptr_t)(call), (const int[]){0})

static void count_destroyed(void *userdata)
{
    if (userdata != &destroyed)
        abort();
    atomic_fetch_add(&destroyed, 1);
}

/* ---- callbacks, in which anything may be called ---- */

static void one_step(struct input *in);

static int go_on(struct input *in)
{
    if (in->depth < DEPTH) {
        in->depth++;
        one_step(in);
        in->depth--;
    }
    return (int)(next(in) % 4 == 3);
}

static void look_at(const asyncinotify_event *event)
{
    if (event->path && strlen(event->path) != event->path_len)
        abort();
    if (event->name && strlen(event->name) != event->name_len)
        abort();
    if (event->moved_from && strlen(event->moved_from) != event->moved_from_len)
        abort();
    if (event->userdata && event->userdata != &destroyed)
        abort();
}

static int on_event(asyncinotify *self, const asyncinotify_event *event, void *userdata)
{
    (void)self;
    look_at(event);
    return go_on(userdata);
}

/* The callback of a watch has the watch's own userdata. */
static int on_watch(asyncinotify *self, const asyncinotify_event *event, void *userdata)
{
    (void)self, (void)userdata;
    look_at(event);
    return 0;
}

static int on_directory(asyncinotify *self, const char *path, size_t path_len, void *userdata)
{
    (void)self;
    if (strlen(path) != path_len)
        abort();
    return go_on(userdata);
}

static int on_trouble(asyncinotify *self, const char *path, size_t path_len, int error, void *userdata)
{
    if (error <= 0)
        abort();
    return on_directory(self, path, path_len, userdata);
}

static int filter(asyncinotify *self, const char *path, size_t path_len, void *userdata)
{
    (void)self;
    if (strlen(path) != path_len || (userdata && userdata != &destroyed))
        abort();
    return path[path_len - 1] != 'b';
}

/* ---- calls ---- */

static void open_one(struct input *in)
{
    asyncinotify *self = NULL;
    uint32_t flags = next(in) % 8 == 7 ? next(in) << 16 : ASYNCINOTIFY_INIT_CLOEXEC | (next(in) % 2 ? ASYNCINOTIFY_INIT_NONBLOCK : 0);
    bool nowhere = next(in) % 16 == 15;
    if (EXPECT(asyncinotify_new(flags, nowhere ? NULL : &self), EINVAL, EMFILE, ENFILE, ENOMEM) < 0)
        return;
    MUST(asyncinotify_set_sync_timeout(self, 0)); /* it would wait for ever */
    EXPECT(asyncinotify_set_sync_timeout(self, a_time(in)), EINVAL);
    asyncinotify_close(atomic_exchange(&handles[next(in) % HANDLES], self));
}

static void add_one(struct input *in)
{
    asyncinotify *self = a_handle(in);
    const char *path = a_path(in);
    uint32_t mask = a_mask(in);
    asyncinotify_watch id = 0;
    if (EXPECT(asyncinotify_add_watch(self, path, mask, next(in) % 8 ? &id : NULL), EINVAL, ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EACCES,
               ENOSPC, ENOMEM, EEXIST) >= 0)
        atomic_store(&watches[next(in) % WATCHES], id);
}

static void add_tree(struct input *in)
{
    asyncinotify *self = a_handle(in);
    const char *path = a_path(in);
    uint32_t mask = a_mask(in);
    unsigned how = next(in);
    asyncinotify_recursive_options options = {
        .size = how % 16 == 15 ? next(in) : sizeof options,
        .flags = how >> 4 & (next(in) % 8 == 7 ? 15 : 7),
        .max_depth = next(in) % 4 ? 0 : next(in) % 3,
        .filter = how & 1 ? filter : NULL,
        .filter_userdata = &destroyed,
        .filter_destroy = how & 2 ? count_destroyed : NULL,
    };
    asyncinotify_watch id = 0;
    intptr_t added = EXPECT(asyncinotify_add_recursive(self, path, mask, how & 4 ? NULL : &options, next(in) % 8 ? &id : NULL), EINVAL,
                            E2BIG, ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EACCES, ENOSPC, ENOMEM, EMFILE, ENFILE);
    if (added < 0)
        return;
    if (!(how & 4) && options.filter_destroy)
        atomic_fetch_add(&given, 1);
    atomic_store(&watches[next(in) % WATCHES], id);
}

static void set_data(struct input *in)
{
    asyncinotify *self = a_handle(in);
    uint64_t id = a_watch(in);
    bool frees = next(in) % 2;
    atomic_fetch_add(&given, frees);
    if (EXPECT(asyncinotify_watch_set_userdata(self, id, &destroyed, frees ? count_destroyed : NULL), EINVAL, ENOENT, ENOMEM) < 0)
        atomic_fetch_sub(&given, frees);
}

static void ask(struct input *in)
{
    asyncinotify *self = a_handle(in);
    uint64_t id = a_watch(in), ids[4];
    char text[40];
    uint32_t mask;
    void *userdata;
    int number;
    size_t room = next(in) % (sizeof text + 1);
    switch (next(in) % 13) {
    case 11:
        if (!*asyncinotify_strerror((int)(next(in) << 24 | next(in))) || !asyncinotify_version() || !*asyncinotify_version_string())
            abort();
        return;
    case 0:
        EXPECT(asyncinotify_watch_path(self, id, next(in) % 4 ? text : NULL, room), EINVAL, ENOENT);
        return;
    case 1:
        EXPECT(asyncinotify_watch_mask(self, id, next(in) % 4 ? &mask : NULL), EINVAL, ENOENT);
        return;
    case 2:
        EXPECT(asyncinotify_watch_wd(self, id), EINVAL, ENOENT);
        return;
    case 3:
        EXPECT(asyncinotify_watch_is_active(self, id), EINVAL, ENOENT);
        return;
    case 4:
        EXPECT(asyncinotify_watch_userdata(self, id, next(in) % 4 ? &userdata : NULL), EINVAL, ENOENT);
        return;
    case 5:
        EXPECT(asyncinotify_watches(self, next(in) % 4 ? ids : NULL, next(in) % 5), EINVAL, ENOMEM);
        return;
    case 6:
        EXPECT(asyncinotify_watch_each_directory(self, id, next(in) % 4 ? on_directory : NULL, in), EINVAL, ENOENT, ENOMEM);
        return;
    case 7:
        EXPECT(asyncinotify_watch_each_trouble(self, id, next(in) % 4 ? on_trouble : NULL, in), EINVAL, ENOENT, ENOMEM);
        return;
    case 8:
        EXPECT(asyncinotify_sync_timeout(self, next(in) % 4 ? &number : NULL), EINVAL);
        return;
    case 9:
        EXPECT(asyncinotify_cache_size(self), EINVAL);
        return;
    case 10:
        EXPECT(asyncinotify_mask_format(a_mask(in), next(in) % 4 ? text : NULL, room), EINVAL);
        return;
    default:
        number = open("/dev/null", O_WRONLY | O_CLOEXEC);
        EXPECT(asyncinotify_debug_dump(self, next(in) % 4 ? number : -1), EINVAL, EBADF, ENOMEM);
        close(number);
    }
}

static void change(struct input *in)
{
    asyncinotify *self = a_handle(in);
    uint64_t id = a_watch(in);
    switch (next(in) % 6) {
    case 0:
        EXPECT(asyncinotify_rm_watch(self, id), EINVAL, ENOENT, ENOMEM);
        return;
    case 1:
        EXPECT(asyncinotify_watch_set_path(self, id, a_path(in)), EINVAL, ENOENT, ENOMEM);
        return;
    case 2:
        EXPECT(asyncinotify_watch_set_callback(self, id, next(in) % 2 ? on_watch : NULL), EINVAL, ENOENT, ENOMEM);
        return;
    case 3:
        EXPECT(asyncinotify_set_cache_size(self, next(in) % 4 ? next(in) : SIZE_MAX - next(in)), EINVAL, ENOMEM);
        return;
    case 4:
        EXPECT(asyncinotify_set_sync_timeout(self, a_time(in)), EINVAL);
        return;
    default:
        set_data(in);
    }
}

static void keep(struct input *in, const asyncinotify_event *event)
{
    look_at(event);
    asyncinotify_event *copy = NULL;
    if (EXPECT(asyncinotify_event_dup(event, &copy), EINVAL, ENOMEM) < 0)
        return;
    look_at(copy);
    asyncinotify_event_free(in->copy);
    in->copy = copy;
}

static void take(struct input *in)
{
    asyncinotify *self = a_handle(in);
    asyncinotify_event events[EVENTS];
    intptr_t got = 0;
    switch (next(in) % 6) {
    case 0:
        got = EXPECT(asyncinotify_get(self, next(in) % 8 ? events : NULL), EINVAL, EBUSY, ENOMEM);
        break;
    case 1:
        got = EXPECT(asyncinotify_sync_get(self, next(in) % 8 ? events : NULL), EINVAL, EAGAIN, EBUSY, EINTR, ENOMEM);
        break;
    case 2:
        got = EXPECT(asyncinotify_get_events(self, next(in) % 8 ? events : NULL, next(in) % (EVENTS + 1)), EINVAL, EBUSY, ENOMEM);
        break;
    case 3:
        EXPECT(asyncinotify_dispatch(self, next(in) % 4, next(in) % 4 ? on_event : NULL, in), EINVAL, EBUSY, ENOMEM);
        return;
    case 4:
        EXPECT(asyncinotify_run(self, next(in) % 4 ? on_event : NULL, in), EINVAL, EAGAIN, EBUSY, EINTR, ENOMEM);
        return;
    default:
        EXPECT(asyncinotify_wake(self), EINVAL);
        return;
    }
    /* Another thread may close the handle, or take events after this one, and with that take the strings away. */
    if (got > 0 && next(in) % 4 == 0 && in->alone)
        keep(in, &events[got - 1]);
}

static void change_the_disk(struct input *in)
{
    const char *one = an_entry(in), *other = an_entry(in);
    int file;
    switch (next(in) % 9) {
    case 0:
    case 1:
        mkdir(one, 0700);
        return;
    case 2:
        file = open(one, O_CREAT | O_WRONLY | O_CLOEXEC | O_NONBLOCK, 0600);
        if (file >= 0) {
            (void)!write(file, "x", 1);
            close(file);
        }
        return;
    case 3:
    case 4:
        renameat2(AT_FDCWD, one, AT_FDCWD, other, next(in) % 4 ? 0 : RENAME_EXCHANGE);
        return;
    case 5:
        unlink(one);
        return;
    case 6:
        rmdir(one);
        return;
    case 7:
        (void)!symlink(next(in) % 2 ? "." : "b", one);
        return;
    default:
        chmod(one, next(in) % 2 ? 0700 : 0);
    }
}

static void one_step(struct input *in)
{
    struct pollfd poller = {.events = POLLIN};
    switch (next(in) % 16) {
    case 0:
        return open_one(in);
    case 1:
        if (next(in) % 4 == 0)
            asyncinotify_close(a_handle(in));
        return;
    case 2:
    case 3:
        return add_one(in);
    case 4:
    case 5:
        return add_tree(in);
    case 6:
        return ask(in);
    case 7:
    case 8:
        return change(in);
    case 9:
        poller.fd = (int)EXPECT(asyncinotify_fd(a_handle(in)), EINVAL);
        poll(&poller, 1, 0);
        EXPECT(asyncinotify_raw_fd(a_handle(in)), EINVAL);
        return;
    case 10:
    case 11:
    case 12:
        return take(in);
    default:
        return change_the_disk(in);
    }
}

/* ---- a sequence ---- */

static void *play(void *argument)
{
    struct input *in = argument;
    while (in->size)
        one_step(in);
    asyncinotify_event_free(in->copy);
    return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type;
    return where->level == 0 ? 0 : remove(path);
}

/* All that the library opens for good, and nothing that the fuzzer does. */
static int count_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(dir));) {
        char target[32] = "";
        count += readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1) > 0 && !strncmp(target, "anon_inode:", 11);
    }
    closedir(dir);
    return count;
}

static void remove_home(void)
{
    nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    rmdir(home);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    memset(long_path, 'x', LONG_PATH);
    snprintf(home, sizeof home, "%s/asyncinotify-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(home) || chdir(home) == -1)
        abort();
    atexit(remove_home);
    return 0;
}

static int count_kernel_watches(asyncinotify *self)
{
    char line[256], path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", (int)MUST(asyncinotify_raw_fd(self)));
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        count += !strncmp(line, "inotify wd:", 11);
    if (file)
        fclose(file);
    return count;
}

/* The kernel takes milliseconds to close an inotify descriptor: most sequences get the handles that the last one has left. */
static void end_watches(asyncinotify *self)
{
    asyncinotify_watch ids[64];
    asyncinotify_event event;
    intptr_t count;
    while ((count = MUST(asyncinotify_watches(self, ids, 64))) > 0) {
        for (intptr_t i = 0; i < count && i < 64; i++)
            EXPECT(asyncinotify_rm_watch(self, ids[i]), ENOENT); /* its end may be on the way */
        while (MUST(asyncinotify_get(self, &event)) != 0)
            ;
    }
    MUST(asyncinotify_set_cache_size(self, 240));
    MUST(asyncinotify_set_sync_timeout(self, 0));
    if (count_kernel_watches(self)) {
        fprintf(stderr, "the kernel has %d watches left\n", count_kernel_watches(self));
        abort();
    }
}

static void check_nothing_left(bool closed)
{
    if (atomic_exchange(&given, 0) != atomic_exchange(&destroyed, 0)) {
        fprintf(stderr, "userdata was not given back exactly once\n");
        abort();
    }
    if (closed && count_descriptors()) {
        fprintf(stderr, "%d descriptors are open\n", count_descriptors());
        abort();
    }
}

static bool open_first(void)
{
    asyncinotify *first = atomic_load(&handles[0]);
    if (asyncinotify_fd(first) >= 0)
        return true;
    if (asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &first) < 0)
        return false; /* limits of the machine */
    atomic_store(&handles[0], first);
    return MUST(asyncinotify_set_sync_timeout(first, 0)) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { SEQUENCES = 32 };
    static unsigned played;
    if (size < 1 || !open_first())
        return 0;
    mkdir("t", 0700), mkdir("t/a", 0700), mkdir("t/a/b", 0700), mkdir("t/b", 0700);
    unsigned threads = 1 + *data % THREADS;
    struct input inputs[THREADS] = {0};
    pthread_t running[THREADS];
    data++, size--;
    for (unsigned i = 0; i < threads; i++) {
        size_t share = size / threads;
        inputs[i] = (struct input){.data = data + i * share, .size = share, .alone = threads == 1};
        if (i > 0 && pthread_create(&running[i], NULL, play, &inputs[i]))
            abort();
    }
    play(&inputs[0]);
    for (unsigned i = 1; i < threads; i++)
        pthread_join(running[i], NULL);
    bool closes = ++played % SEQUENCES == 0;
    for (int i = 0; i < HANDLES; i++)
        if (closes)
            asyncinotify_close(atomic_exchange(&handles[i], NULL));
        else if (asyncinotify_fd(atomic_load(&handles[i])) >= 0)
            end_watches(atomic_load(&handles[i]));
    for (int i = 0; i < WATCHES; i++)
        atomic_store(&watches[i], 0);
    check_nothing_left(closes);
    nftw(".", remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}
