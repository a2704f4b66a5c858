/* tree: prints the events of whole directory trees, until Ctrl-C or until none of them is left. */
#define _POSIX_C_SOURCE 200809L
#include <asyncinotify.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CHANGES = ASYNCINOTIFY_CREATE | ASYNCINOTIFY_DELETE | ASYNCINOTIFY_MOVE | ASYNCINOTIFY_CLOSE_WRITE |
              ASYNCINOTIFY_ATTRIB | ASYNCINOTIFY_DELETE_SELF | ASYNCINOTIFY_MOVE_SELF
};

static asyncinotify *inotify;
static volatile sig_atomic_t ended;
static const char **excluded; /* as many globs as there are arguments, at most; then NULL */
static unsigned long events, overflows, errors;
static size_t scanning; /* trees whose SYNC_END has not come yet */
static int progress;    /* standard error is a terminal: a line there while trees are scanned */

static void end(int signal)
{
    (void)signal;
    ended = 1;
    asyncinotify_wake(inotify);
}

static void fail(void)
{
    fprintf(stderr, "tree: %s\n", asyncinotify_last_error_message());
    exit(EXIT_FAILURE);
}

/* Asked once for each directory, before it costs a kernel watch. */
static int is_wanted(asyncinotify *self, const char *path, size_t path_len, void *userdata)
{
    const char *name = strrchr(path, '/');

    (void)self, (void)path_len, (void)userdata;
    for (const char **glob = excluded; *glob; glob++)
        if (fnmatch(*glob, path, 0) == 0 || fnmatch(*glob, name ? name + 1 : path, 0) == 0)
            return 0;
    return 1;
}

static uintmax_t directories(void)
{
    asyncinotify_watch watches[256];
    intptr_t count = asyncinotify_watches(inotify, watches, 256);
    uintmax_t sum = 0;

    for (intptr_t i = 0; i < count && i < 256; i++) {
        intptr_t listed = asyncinotify_watch_each_directory(inotify, watches[i], NULL, NULL);
        if (listed > 0)
            sum += (uintmax_t)listed;
    }
    return sum;
}

static void print(const asyncinotify_event *event)
{
    char mask[256];

    if (progress && scanning > 0)
        fprintf(stderr, "\r\033[K");
    if (event->flags & ASYNCINOTIFY_EVENT_SYNC_BEGIN) {
        printf("  %-20s %s\n", "[listing]", event->path);
        return;
    }
    if (event->flags & ASYNCINOTIFY_EVENT_SYNC_END) {
        printf("  %-20s %s\n", "[complete]", event->path);
        scanning -= scanning > 0;
        return;
    }
    if (event->flags & ASYNCINOTIFY_EVENT_ERROR) {
        errors++;
        printf("  %-20s %s: %s\n", "[error]", event->path, asyncinotify_strerror(event->error));
        return;
    }
    if (event->flags & ASYNCINOTIFY_EVENT_HEALED) {
        printf("  %-20s %s\n", "[healed]", event->path);
        return;
    }
    events++;
    overflows += (event->mask & ASYNCINOTIFY_Q_OVERFLOW) != 0;
    asyncinotify_mask_format(event->mask, mask, sizeof mask);
    printf("%c %-20s %s", event->flags & ASYNCINOTIFY_EVENT_SYNTHETIC ? '+' : ' ', mask,
           event->path ? event->path : "(some events were lost: the trees are being compared with the disk)");
    if (event->moved_from)
        printf("  (was %s)", event->moved_from);
    putchar('\n');
}

/* At most five times a second: counting goes over all directories. */
static void show_progress(void)
{
    static struct timespec shown;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if ((now.tv_sec - shown.tv_sec) * 1000 + (now.tv_nsec - shown.tv_nsec) / 1000000 < 200)
        return;
    shown = now;
    fprintf(stderr, "\r\033[Kscanning: %" PRIuMAX " directories", directories());
}

static void usage(const char *program)
{
    fprintf(stderr,
            "usage: %s [OPTION...] PATH...\n"
            "Prints what happens in whole directory trees, until Ctrl-C.\n"
            "  --exclude GLOB  leave out directories whose name or path matches, and all below them\n"
            "  --list          begin with what is there already\n"
            "  --background    begin at once, and scan large trees between events\n"
            "A line with + tells of an entry that was there before its directory could be watched (SYNTHETIC).\n",
            program);
    exit(2);
}

int main(int argc, char **argv)
{
    struct sigaction action = {0};
    asyncinotify_recursive_options options = {0};
    asyncinotify_event event;
    size_t globs = 0;
    int i;

    if (!(excluded = calloc((size_t)argc + 1, sizeof *excluded)))
        abort();
    options.size = sizeof options;
    options.filter = is_wanted;
    for (i = 1; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--exclude") == 0 && i + 1 < argc)
            excluded[globs++] = argv[++i];
        else if (strcmp(argv[i], "--list") == 0)
            options.flags |= ASYNCINOTIFY_RECURSIVE_LIST_EXISTING;
        else if (strcmp(argv[i], "--background") == 0)
            options.flags |= ASYNCINOTIFY_RECURSIVE_BACKGROUND;
        else
            usage(argv[0]);
    }
    if (i == argc)
        usage(argv[0]);

    if (asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &inotify) < 0)
        fail();
    action.sa_handler = end;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    progress = isatty(STDERR_FILENO);

    for (; i < argc; i++) {
        if (asyncinotify_add_recursive(inotify, argv[i], CHANGES, &options, NULL) < 0)
            fail();
        scanning += options.flags != 0; /* either flag makes a SYNC_END come */
    }

    while (!ended && asyncinotify_watches(inotify, NULL, 0) > 0) {
        int show = progress && scanning > 0;
        int got;

        if (asyncinotify_set_sync_timeout(inotify, show ? 200 : ASYNCINOTIFY_TIMEOUT_INFINITE) < 0)
            fail();
        got = asyncinotify_sync_get(inotify, &event);
        if (got == 1)
            print(&event);
        else if (got < 0 && got != -EINTR)
            fail();
        if (show && scanning > 0)
            show_progress();
        else if (show)
            fprintf(stderr, "\r\033[K");
    }
    printf("%" PRIuMAX " directories watched, %lu events, %lu errors, %lu overflows\n", directories(), events, errors,
           overflows);
    asyncinotify_close(inotify);
    free(excluded);
    return EXIT_SUCCESS;
}
