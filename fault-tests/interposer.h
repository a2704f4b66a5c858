/* What the parts of the interposer share. */
#ifndef INTERPOSER_H
#define INTERPOSER_H

#include "faults.h"

/* Whether a call is to fail; errno is set then. */
bool fails(int call, const void *caller);
bool is_library(const void *caller);
bool is_hidden(const char *path, const void *caller);
bool loses_queue(size_t size, const void *caller); /* whether this read is the one */
bool hides_kinds_from(const void *caller);

#define CALLER __builtin_return_address(0)
#define FAILS(name) fails(CALL_##name, CALLER)
#define FAILS_WITH(name, path) (FAILS(name) || is_hidden(path, CALLER))

/* libc's own function of this name. */
#define NEXT(name) ((__typeof__(&name))next_function(#name))
void *next_function(const char *name);

/* From now on the library's clock is ours, and its allocations are counted. */
void keep_time_and_memory(void);

#endif
