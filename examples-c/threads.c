/* threads: one thread waits for events, the other adds watches meanwhile: a path per line of standard input. At its
   end, or on Ctrl-C, it wakes the waiting thread. */
#define _POSIX_C_SOURCE 200809L
#include <asyncinotify.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

static asyncinotify *inotify;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int ended;

static int has_ended(void)
{
    int result;
    pthread_mutex_lock(&lock);
    result = ended;
    pthread_mutex_unlock(&lock);
    return result;
}

static void *wait_for_events(void *unused)
{
    asyncinotify_event event;
    char mask[256];

    (void)unused;
    while (!has_ended()) {
        int got = asyncinotify_sync_get(inotify, &event);
        if (got == 1) {
            asyncinotify_mask_format(event.mask, mask, sizeof mask);
            printf("%-20s %s\n", mask, event.path ? event.path : "-");
        } else if (got != -EINTR) {
            fprintf(stderr, "threads: %s\n", asyncinotify_last_error_message());
            exit(EXIT_FAILURE);
        }
    }
    return NULL;
}

static void interrupt(int signal)
{
    (void)signal; /* it is enough that pselect returns */
}

/* Adds what is read until there is no more, or a signal comes. */
static void add_watches(const sigset_t *outside)
{
    char line[4096];
    asyncinotify_watch watch;
    fd_set input;

    for (;;) {
        FD_ZERO(&input);
        FD_SET(STDIN_FILENO, &input);
        if (pselect(STDIN_FILENO + 1, &input, NULL, NULL, NULL, outside) < 0 || !fgets(line, sizeof line, stdin))
            return;
        line[strcspn(line, "\n")] = '\0';
        /* Takes effect at once, though the other thread is inside a call that waits. */
        if (asyncinotify_add_watch(inotify, line, ASYNCINOTIFY_ALL, &watch) < 0)
            printf("%s\n", asyncinotify_last_error_message());
        else
            printf("watch %" PRIu64 " is %s\n", watch, line);
    }
}

int main(int argc, char **argv)
{
    struct sigaction action = {0};
    sigset_t ending, outside;
    pthread_t waiting;

    if (argc > 1) {
        fprintf(stderr, "usage: %s\nWatches each path that is typed, until the input ends or Ctrl-C.\n", argv[0]);
        return 2;
    }
    if (asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &inotify) < 0 ||
        asyncinotify_set_sync_timeout(inotify, ASYNCINOTIFY_TIMEOUT_INFINITE) < 0) {
        fprintf(stderr, "threads: %s\n", asyncinotify_last_error_message());
        return EXIT_FAILURE;
    }
    /* Blocked before the thread starts, so in both; only pselect lets them through. */
    action.sa_handler = interrupt;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ending, &outside);
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0); /* pselect sees nothing of what stdio has read ahead */

    if (pthread_create(&waiting, NULL, wait_for_events, NULL) != 0)
        return EXIT_FAILURE;
    add_watches(&outside);

    pthread_mutex_lock(&lock);
    ended = 1;
    pthread_mutex_unlock(&lock);
    asyncinotify_wake(inotify);
    pthread_join(waiting, NULL);
    asyncinotify_close(inotify); /* after the join: an event's strings live no longer than the instance */
    return EXIT_SUCCESS;
}
