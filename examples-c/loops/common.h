/* What the examples in this folder share: the command line, opening, printing, and the self-test. A program of its own needs
   none of it but the two calls in example_open(); how the loop takes the library in is in the examples themselves.

   The self-test, `uv-watch --selftest [FILES]`, runs the example twice as a process of its own, on a folder of its own:
   - At rest for a second, while FILES files (10,000) are made in a tree that grows, and at rest again. At rest the process
     must not run at all, and every file must be reported with its right path, once. SIGINT ends it.
   - With a timer beside the watch and each event taking 0.2 ms, all of them there at once. The timer has to be served
     after no more events than fit into its interval and a few batches. SIGTERM ends it.
   It prints one line: how often the loop woke for events, how many there were, wake-ups in the seconds at rest, the most
   events between two ticks of the timer, and how often a thread was told -EBUSY. */
#ifndef COMMON_H
#define COMMON_H

#include <asyncinotify.h>

/* At most this many events at a time, so that the other sources of the loop get their turn. */
#define BATCH 64

/* With --tick MS: a timer beside the watch, every so many milliseconds; otherwise 0, and there is to be no timer. */
extern int example_interval;

/* Reads the command line. `usage` has one word for each argument that has to be there, such as "PATH". */
char **example_arguments(int argc, char **argv, const char *usage);

/* An instance that watches the tree at `path`. */
asyncinotify *example_open(const char *path);

/* For asyncinotify_dispatch(): prints the event. */
int example_event(asyncinotify *self, const asyncinotify_event *event, void *userdata);

/* To be called when the timer has fired: prints it. */
void example_tick(void);

/* These only count, for the self-test: the loop says that the descriptor is readable; -EBUSY. */
void example_woken(void);
void example_busy(void);

/* Ends the program with a message. */
_Noreturn void example_fail(const char *what, const char *why);
/* The same, for what this machine doesn't have: the self-test is skipped then. */
_Noreturn void example_skip(const char *what, const char *why);

#endif
