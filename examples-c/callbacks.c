/* callbacks: each watch has a callback and data of its own. Files and directories are told apart once, when they are
   added; no lookup is needed when an event comes. */
#define _POSIX_C_SOURCE 200809L
#include <asyncinotify.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static asyncinotify *inotify;
static volatile sig_atomic_t ended;

/* What belongs to one watch. The library hands it to the callback, and to `forget` exactly once, after the watch's
   last event or when the instance is closed. */
struct subject {
    const char *title;
    unsigned long events;
};

static void forget(void *userdata)
{
    struct subject *subject = userdata;
    printf("%s: %lu events\n", subject->title, subject->events);
    free(subject);
}

static int on_directory(asyncinotify *self, const asyncinotify_event *event, void *userdata)
{
    struct subject *subject = userdata;
    (void)self;

    subject->events++;
    if (event->mask & (ASYNCINOTIFY_CREATE | ASYNCINOTIFY_MOVED_TO))
        printf("%s: here is %s\n", subject->title, event->name);
    else if (event->mask & (ASYNCINOTIFY_DELETE | ASYNCINOTIFY_MOVED_FROM))
        printf("%s: gone is %s\n", subject->title, event->name);
    return 0;
}

static int on_file(asyncinotify *self, const asyncinotify_event *event, void *userdata)
{
    struct subject *subject = userdata;
    (void)self;

    subject->events++;
    if (event->mask & ASYNCINOTIFY_CLOSE_WRITE)
        printf("%s: written\n", subject->title);
    return 0;
}

/* For what no watch's own callback takes: an overflow of the kernel's queue belongs to no watch. */
static int on_other(asyncinotify *self, const asyncinotify_event *event, void *userdata)
{
    (void)self;
    (void)userdata;
    if (event->mask & ASYNCINOTIFY_Q_OVERFLOW)
        printf("events were lost\n");
    return 0;
}

static void fail(void)
{
    fprintf(stderr, "callbacks: %s\n", asyncinotify_last_error_message());
    exit(EXIT_FAILURE);
}

static void add(const char *path)
{
    struct stat status;
    struct subject *subject;
    asyncinotify_watch watch;
    int directory = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    uint32_t mask = directory ? ASYNCINOTIFY_CREATE | ASYNCINOTIFY_DELETE | ASYNCINOTIFY_MOVE
                              : ASYNCINOTIFY_CLOSE_WRITE;

    if (asyncinotify_add_watch(inotify, path, mask, &watch) < 0 ||
        asyncinotify_watch_set_callback(inotify, watch, directory ? on_directory : on_file) < 0)
        fail();
    if (!(subject = malloc(sizeof *subject)))
        abort();
    subject->title = path;
    subject->events = 0;
    if (asyncinotify_watch_set_userdata(inotify, watch, subject, forget) < 0)
        fail();
}

static void end(int signal)
{
    (void)signal;
    ended = 1;
    asyncinotify_wake(inotify);
}

int main(int argc, char **argv)
{
    struct sigaction action = {0};

    if (argc < 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: %s PATH...\n"
                        "Says what comes and goes in directories and which files were written, until Ctrl-C.\n", argv[0]);
        return 2;
    }
    if (asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &inotify) < 0 ||
        asyncinotify_set_sync_timeout(inotify, ASYNCINOTIFY_TIMEOUT_INFINITE) < 0)
        fail();

    action.sa_handler = end;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);

    for (int i = 1; i < argc; i++)
        add(argv[i]);
    while (!ended)
        if (asyncinotify_run(inotify, on_other, NULL) != -EINTR)
            fail();

    asyncinotify_close(inotify); /* calls `forget` for each watch that is left */
    return EXIT_SUCCESS;
}
