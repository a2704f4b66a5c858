#include "_cgo_export.h"
#include "callback.h"

static int filter(asyncinotify *self, const char *path, size_t path_len, void *userdata)
{
    (void)self;
    return asyncinotifyGoFilter((uintptr_t)userdata, (char *)path, path_len);
}

static void destroy(void *userdata)
{
    asyncinotifyGoDestroy((uintptr_t)userdata);
}

static int directory(asyncinotify *self, const char *path, size_t path_len, void *userdata)
{
    (void)self;
    asyncinotifyGoDirectory((uintptr_t)userdata, (char *)path, path_len);
    return 0;
}

static int trouble(asyncinotify *self, const char *path, size_t path_len, int error, void *userdata)
{
    (void)self;
    asyncinotifyGoTrouble((uintptr_t)userdata, (char *)path, path_len, error);
    return 0;
}

int asyncinotifygo_add_recursive(asyncinotify *self, const char *path, uint32_t mask, uint32_t flags, uint32_t max_depth,
                                 uintptr_t handle, asyncinotify_watch *out)
{
    asyncinotify_recursive_options options = {0};

    options.size = sizeof options;
    options.flags = flags;
    options.max_depth = max_depth;
    if (handle) {
        options.filter = filter;
        options.filter_userdata = (void *)handle;
        options.filter_destroy = destroy;
    }
    return asyncinotify_add_recursive(self, path, mask, &options, out);
}

intptr_t asyncinotifygo_each_directory(asyncinotify *self, asyncinotify_watch watch, uintptr_t handle)
{
    return asyncinotify_watch_each_directory(self, watch, directory, (void *)handle);
}

intptr_t asyncinotifygo_each_trouble(asyncinotify *self, asyncinotify_watch watch, uintptr_t handle)
{
    return asyncinotify_watch_each_trouble(self, watch, trouble, (void *)handle);
}
