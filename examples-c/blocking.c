/* blocking: waits until a directory has been quiet for some time: no loop, one call with a time-out. Use it between a
   program that writes and one that is to read when everything is there. */
#define _POSIX_C_SOURCE 200809L
#include <asyncinotify.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static asyncinotify *inotify;

static void end(int signal)
{
    (void)signal;
    asyncinotify_wake(inotify);
}

static void fail(void)
{
    fprintf(stderr, "blocking: %s\n", asyncinotify_last_error_message());
    exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    struct sigaction action = {0};
    asyncinotify_event event;
    unsigned long events = 0;
    char *rest = NULL;
    long milliseconds = argc == 3 ? strtol(argv[2], &rest, 10) : -1;
    int got;

    if (milliseconds < 0 || milliseconds > 1000000000 || *rest) {
        fprintf(stderr, "usage: %s DIRECTORY MILLISECONDS\n"
                        "Waits for a first change in the directory, and then until it has been quiet that long.\n"
                        "Returns 0 then, 1 when Ctrl-C came first.\n", argv[0]);
        return 2;
    }
    if (asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &inotify) < 0)
        fail();
    action.sa_handler = end;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    if (asyncinotify_add_watch(inotify, argv[1], ASYNCINOTIFY_MODIFY | ASYNCINOTIFY_CREATE | ASYNCINOTIFY_DELETE |
                                                     ASYNCINOTIFY_MOVE | ASYNCINOTIFY_ONLYDIR, NULL) < 0 ||
        asyncinotify_set_sync_timeout(inotify, ASYNCINOTIFY_TIMEOUT_INFINITE) < 0)
        fail();

    while ((got = asyncinotify_sync_get(inotify, &event)) == 1) {
        if (events++ == 0)
            asyncinotify_set_sync_timeout(inotify, (int)milliseconds);
    }
    if (got < 0 && got != -EINTR)
        fail();
    printf("%s after %lu events\n", got == 0 ? "quiet" : "interrupted", events);
    asyncinotify_close(inotify);
    return got == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
