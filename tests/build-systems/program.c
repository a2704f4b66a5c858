/* Watches a fresh folder, makes a file in it, and takes the event: compiled and linked by CMake and by Meson. */
#define _POSIX_C_SOURCE 200809L
#include <asyncinotify.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    char folder[] = "/tmp/asyncinotify-program.XXXXXX", file[64];
    asyncinotify *inotify = NULL;
    asyncinotify_event event;
    int result = 1;

    if (!mkdtemp(folder))
        return 1;
    snprintf(file, sizeof file, "%s/made", folder);
    if (asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &inotify) == 0 &&
        asyncinotify_add_watch(inotify, folder, ASYNCINOTIFY_CREATE, NULL) == 0) {
        close(open(file, O_CREAT | O_WRONLY, 0600));
        if (asyncinotify_get(inotify, &event) == 1 && strcmp(event.path, file) == 0)
            result = 0;
    }
    if (result)
        fprintf(stderr, "%s\n", asyncinotify_last_error_message());
    asyncinotify_close(inotify);
    unlink(file);
    rmdir(folder);
    return result;
}
