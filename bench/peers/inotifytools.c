/* libinotifytools, used as its own inotifywait does; see peer.h. */
#include "peer.h"
#include <inotifytools/inotify.h>
#include <inotifytools/inotifytools.h>

int main(int argc, char **argv)
{
    if (argc != 3) die("usage: %s setup|burst ROOT", argv[0]);
    if (!inotifytools_initialize()) die("inotifytools_initialize: %s", strerror(inotifytools_error()));
    usage before = usage_now();
    if (!inotifytools_watch_recursively(argv[2], PEER_MASK))
        die("inotifytools_watch_recursively: %s", strerror(inotifytools_error()));
    if (!strcmp(argv[1], "setup")) {
        char old[4096], new[4096];
        print_usage(before);
        /* What a directory's rename costs: correcting the names, there and back. */
        snprintf(old, sizeof old, "%s/big/", argv[2]);
        snprintf(new, sizeof new, "%s/renamed/", argv[2]);
        double start = cpu_ns();
        inotifytools_replace_filename(old, new);
        inotifytools_replace_filename(new, old);
        printf(" rename=%.0f directories=%d\n", (cpu_ns() - start) / 2, inotifytools_get_num_watches());
        return 0;
    }
    puts("ready");
    fflush(stdout);
    char from[4096] = "";      /* the old name of the directory whose MOVED_FROM came last, '/' at its end */
    for (;;) {
        struct inotify_event *event = inotifytools_next_event(1);
        if (!event) {
            fflush(stdout);
            event = inotifytools_next_event(30);
            if (!event) die("nothing for 30 s");
        }
        const char *directory = event->wd < 0 ? NULL : inotifytools_filename_from_wd(event->wd);
        if (!directory) continue;
        char path[4096], below[4098];
        int length = snprintf(path, sizeof path, "%.3800s%s", directory, event->len ? event->name : "");
        snprintf(below, sizeof below, "%s/", path);
        if (event->mask & IN_ISDIR && event->mask & IN_MOVED_FROM) {
            snprintf(from, sizeof from, "%.4090s", below);
        } else if (event->mask & IN_ISDIR && event->mask & (IN_CREATE | IN_MOVED_TO)) {
            if (event->mask & IN_MOVED_TO && *from) inotifytools_replace_filename(from, below);
            else inotifytools_watch_recursively(below, PEER_MASK);
            *from = 0;
        }
        if (event->mask & (IN_DELETE | IN_MOVED_FROM | IN_IGNORED)) continue;
        puts(path);
        if (is_the_end(path, (size_t)length)) return 0;
    }
}
