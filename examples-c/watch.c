/* watch: prints the events of the files and directories given, until Ctrl-C or until none of them is left. */
#define _POSIX_C_SOURCE 200809L
#include <asyncinotify.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static asyncinotify *inotify;
static volatile sig_atomic_t ended;

/* asyncinotify_wake may be called in a signal handler. Without it, a signal that comes just before the call that
   waits would be missed. */
static void end(int signal)
{
    (void)signal;
    ended = 1;
    asyncinotify_wake(inotify);
}

static void fail(void)
{
    fprintf(stderr, "watch: %s\n", asyncinotify_last_error_message());
    exit(EXIT_FAILURE);
}

static void print(const asyncinotify_event *event)
{
    char mask[256];
    asyncinotify_mask_format(event->mask, mask, sizeof mask);
    printf("%-20s %s", mask, event->path ? event->path : "-");
    if (event->moved_from)
        printf("  (was %s)", event->moved_from);
    putchar('\n');
}

int main(int argc, char **argv)
{
    struct sigaction action = {0};
    asyncinotify_event event;

    if (argc < 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: %s PATH...\n"
                        "Prints what happens to each file, and in each directory, until Ctrl-C.\n", argv[0]);
        return 2;
    }
    if (asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &inotify) < 0 ||
        asyncinotify_set_sync_timeout(inotify, ASYNCINOTIFY_TIMEOUT_INFINITE) < 0)
        fail();

    action.sa_handler = end;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0); /* also in a pipe, each event as it comes */

    for (int i = 1; i < argc; i++)
        if (asyncinotify_add_watch(inotify, argv[i], ASYNCINOTIFY_ALL, NULL) < 0)
            fail();

    while (!ended && asyncinotify_watches(inotify, NULL, 0) > 0) {
        int got = asyncinotify_sync_get(inotify, &event);
        if (got == 1)
            print(&event);
        else if (got != -EINTR)
            fail();
    }
    asyncinotify_close(inotify);
    return EXIT_SUCCESS;
}
