/* What the files of the harness share with one another. */
#ifndef INTERNAL_H
#define INTERNAL_H

#include "harness.h"

extern char self_path[PATH_MAX]; /* this program, to start helpers */
extern char directory[PATH_MAX]; /* of the test that runs */
extern int proc_self; /* opened before a test may hide /proc */

/* How a test ends. */
enum { EXIT_PASSED = 0, EXIT_FAILED = 1, EXIT_SKIPPED = 77, EXIT_MISSING = 78, EXIT_VALGRIND = 99 };

struct helper {
    const char *name;
    int (*run)(char **);
};
const struct helper *find_helper(const char *name);

const char *error_name(long long number); /* of a positive errno; NULL if it is none of ours */
char *turn_buffer(void); /* one of 64 of PATH_MAX bytes, in turn */
void remove_tree_at(int parent, const char *name);
int scan_fds(bool print); /* how many are open */
/* Calls back with every "inotify wd:…" line of the fd; how many there are. */
int each_watch_line(int fd, void (*see)(const char *line, void *context), void *context);

#endif
