/* Ours, as a peer among the others; see peer.h. */
#include "peer.h"
#include "../build.h"
#include <poll.h>

static int done;

static int on_event(asyncinotify *self, const asyncinotify_event *event, void *userdata)
{
    (void)self; (void)userdata;
    if (!event->path || event->mask & (IN_DELETE | IN_MOVED_FROM)) return 0;
    puts(event->path);
    if (is_the_end(event->path, event->path_len)) done = 1;
    return 0;
}

static int count_names(asyncinotify *self, const char *path, size_t length, void *userdata)
{
    (void)self; (void)length;
    *(double *)userdata += (double)strlen(strrchr(path, '/') + 1);
    return 0;
}

int main(int argc, char **argv)
{
    asyncinotify *inotify;
    asyncinotify_watch tree;

    if (argc != 3) die("usage: %s setup|burst ROOT", argv[0]);
    load_builds();
    const build *it = &builds[NEW];
    inotify = open_instance(it);
    usage before = usage_now();
    MUST(it, add_recursive(inotify, argv[2], PEER_MASK, NULL, &tree));
    if (!strcmp(argv[1], "setup")) {
        double names = 0;
        print_usage(before);
        intptr_t directories = it->watch_each_directory(inotify, tree, count_names, &names);
        printf(" directories=%ld names=%.0f\n", (long)directories, names);
        it->close(inotify);
        return 0;
    }
    puts("ready");
    fflush(stdout);
    struct pollfd wait = { .fd = it->fd(inotify), .events = POLLIN };
    while (!done) {
        if (poll(&wait, 1, 30000) != 1) die("nothing for 30 s");
        if (it->dispatch(inotify, 1024, on_event, NULL) < 0) die("%s", it->last_error_message());
        fflush(stdout);
    }
    it->close(inotify);
    return 0;
}
