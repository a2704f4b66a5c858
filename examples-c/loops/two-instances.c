/* two-instances: two instances and a socket in one loop, of poll(2).

   Each instance has its own descriptor, queue and watches. Whoever connects to the socket (`nc -U SOCKET`) is told how many
   events there were. Each source gets its turn in each round: a batch of events from either instance, one client. */
#define _GNU_SOURCE /* accept4 */
#include "common.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static unsigned long counts[2];

static int on_event(asyncinotify *self, const asyncinotify_event *event, void *userdata)
{
    unsigned long *count = userdata;

    ++*count;
    return example_event(self, event, NULL);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (strlen(path) >= sizeof address.sun_path)
        example_fail(path, "too long for a socket's name");
    strcpy(address.sun_path, path);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 128) < 0)
        example_fail(path, strerror(errno));
    return fd;
}

static void answer(int listener)
{
    char text[100];
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (client < 0)
        return; /* it has gone again */
    snprintf(text, sizeof text, "%lu and %lu events\n", counts[0], counts[1]);
    send(client, text, strlen(text), MSG_NOSIGNAL);
    close(client);
    example_tick();
}

int main(int argc, char **argv)
{
    char **arguments = example_arguments(argc, argv, "PATH PATH SOCKET");
    asyncinotify *inotify[2];
    struct pollfd fds[4];
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);

    for (int i = 0; i < 2; i++) {
        inotify[i] = example_open(arguments[i]);
        fds[i] = (struct pollfd){.fd = asyncinotify_fd(inotify[i]), .events = POLLIN};
    }
    fds[2] = (struct pollfd){.fd = listen_at(arguments[2]), .events = POLLIN};
    fds[3] = (struct pollfd){.fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK), .events = POLLIN};

    do {
        if (poll(fds, 4, -1) < 0) {
            if (errno != EINTR)
                example_fail("poll", strerror(errno));
            continue; /* revents still is that of the round before: harmless, nothing here blocks */
        }
        for (int i = 0; i < 2; i++)
            if (fds[i].revents) {
                example_woken();
                if (asyncinotify_dispatch(inotify[i], BATCH, on_event, &counts[i]) < 0)
                    example_fail("dispatch", asyncinotify_last_error_message());
            }
        if (fds[2].revents)
            answer(fds[2].fd);
    } while (!fds[3].revents);

    for (int i = 0; i < 2; i++)
        asyncinotify_close(inotify[i]);
    close(fds[2].fd);
    close(fds[3].fd);
    unlink(arguments[2]);
    return EXIT_SUCCESS;
}
