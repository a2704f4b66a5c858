/* What Go needs in C: cgo can't make a C function pointer, and callbacks carry a cgo.Handle, a number, where C has void *. */
#include <asyncinotify.h>

/* filter, directories and troubles are cgo.Handles; a filter of 0 is none. */
int asyncinotifygo_add_recursive(asyncinotify *self, const char *path, uint32_t mask, uint32_t flags, uint32_t max_depth,
                                 uintptr_t filter, asyncinotify_watch *out);
intptr_t asyncinotifygo_each_directory(asyncinotify *self, asyncinotify_watch watch, uintptr_t directories);
intptr_t asyncinotifygo_each_trouble(asyncinotify *self, asyncinotify_watch watch, uintptr_t troubles);
