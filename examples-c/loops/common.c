#define _GNU_SOURCE
#include "common.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_FILES = 100000,
    FILES_A_DIRECTORY = 100,
    MOST_ARGUMENTS = 8,
    CLIENTS = 120,       /* as many as the socket's backlog takes */
    EXIT_SKIPPED = 77,   /* as automake and Meson have it */
    INTERVAL_MS = 10,    /* of the timer, in the self-test */
    EVENT_NS = 200000,   /* what an event takes then */
    PATIENCE_S = 60,     /* only a failing test waits that long */
    WATCHED = ASYNCINOTIFY_CREATE | ASYNCINOTIFY_DELETE | ASYNCINOTIFY_MOVE | ASYNCINOTIFY_CLOSE_WRITE,
};

/* The timer's interval is full of events, and then each source of the loop has its turn a few times. */
#define MOST_BETWEEN_TICKS (INTERVAL_MS * 1000000 / EVENT_NS + 6 * BATCH)

int example_interval;

static const char *program = "";

/* The self-test's own, shared by the two processes; NULL in a program that just runs. */
static struct figures {
    atomic_int open, slow;
    atomic_uint woken, events, ticks, since_tick, most_since_tick, busy;
    atomic_uint complete, twice, unknown, lost; /* files reported in full; events that should not have come */
    int next_root, roots;
    char root[MOST_ARGUMENTS][PATH_MAX];
    atomic_uchar created[MOST_FILES], closed[MOST_FILES];
} *figures;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- what the examples call ---- */

void example_fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", program, what, why);
    exit(EXIT_FAILURE);
}

void example_skip(const char *what, const char *why)
{
    printf("SKIP: %s: %s\n", what, why);
    exit(EXIT_SKIPPED);
}

asyncinotify *example_open(const char *path)
{
    asyncinotify *inotify;

    if (asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &inotify) < 0 ||
        asyncinotify_add_recursive(inotify, path, WATCHED, NULL, NULL) < 0)
        example_fail("can't watch", asyncinotify_last_error_message());
    if (figures)
        figures->open++;
    return inotify;
}

static void record(const asyncinotify_event *event);

int example_event(asyncinotify *self, const asyncinotify_event *event, void *userdata)
{
    char mask[320];

    (void)self, (void)userdata;
    if (figures) {
        record(event);
        return 0;
    }
    asyncinotify_mask_format(event->mask, mask, sizeof mask);
    printf("%-20s %s\n", mask, event->path ? event->path : "-");
    return 0;
}

void example_tick(void)
{
    unsigned since;

    if (!figures) {
        puts("tick");
        return;
    }
    since = atomic_exchange(&figures->since_tick, 0);
    if (since > figures->most_since_tick)
        figures->most_since_tick = since;
    figures->ticks++;
}

void example_woken(void)
{
    if (figures)
        figures->woken++;
}

void example_busy(void)
{
    if (figures)
        figures->busy++;
}

/* ---- the self-test, in the process of the example ---- */

/* File n, in a directory of its hundred: ROOT/d1/e23/f2345 */
static void file_path(char *path, unsigned n)
{
    unsigned directory = n / FILES_A_DIRECTORY;

    snprintf(path, PATH_MAX + 64, "%s/d%u/e%u/f%u", figures->root[directory % (unsigned)figures->roots], directory / 10,
             directory, n);
}

static void record(const asyncinotify_event *event)
{
    char path[PATH_MAX + 64];
    uint64_t until = now_ns() + EVENT_NS;
    unsigned n;
    int had_both;

    figures->events++;
    figures->since_tick++;
    if (event->mask & ASYNCINOTIFY_Q_OVERFLOW || event->flags & ASYNCINOTIFY_EVENT_ERROR) {
        figures->lost++;
        return;
    }
    while (figures->slow && now_ns() < until)
        ;
    if (event->mask & ASYNCINOTIFY_ISDIR)
        return;
    if (!event->name || sscanf(event->name, "f%u", &n) != 1 || n >= MOST_FILES) {
        figures->unknown++;
        return;
    }
    file_path(path, n);
    if (strcmp(path, event->path) != 0) {
        figures->unknown++;
        return;
    }
    had_both = figures->created[n] && figures->closed[n];
    if (event->mask & ASYNCINOTIFY_CREATE && figures->created[n]++)
        figures->twice++;
    if (event->mask & ASYNCINOTIFY_CLOSE_WRITE)
        figures->closed[n] = 1;
    if (!had_both && figures->created[n] && figures->closed[n])
        figures->complete++;
}

/* ---- the self-test, in the process that makes the files ---- */

static char folder[PATH_MAX];
static pid_t example = -1;
static uint64_t deadline;

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status, (void)type, (void)ftw;
    return remove(path);
}

static _Noreturn void finish(int status)
{
    if (example > 0) {
        kill(example, SIGKILL);
        waitpid(example, NULL, 0);
    }
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    exit(status);
}

static _Noreturn __attribute__((format(printf, 1, 2))) void failed(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    printf("FAILED: ");
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n    %u files complete, %u events, %u wake-ups, %u twice, %u unknown, %u lost, %u ticks\n",
           figures->complete, figures->events, figures->woken, figures->twice, figures->unknown, figures->lost,
           figures->ticks);
    finish(EXIT_FAILURE);
}

static void patience(void) { deadline = now_ns() + PATIENCE_S * UINT64_C(1000000000); }

/* Between two looks at something that has to come. */
static void look_again_later(const char *what)
{
    struct timespec millisecond = {0, 1000000};
    int status;

    if (waitpid(example, &status, WNOHANG) == example) {
        example = -1;
        if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
            finish(EXIT_SKIPPED);
        failed("ended (status %#x) while waiting for %s", (unsigned)status, what);
    }
    if (now_ns() > deadline)
        failed("waited in vain for %s", what);
    nanosleep(&millisecond, NULL);
}

/* How often the process has been scheduled, and how long it ran: both stand still while all its threads sleep. */
struct activity {
    unsigned long long switches, cpu_ns;
};

static struct activity activity(void)
{
    struct activity sum = {0, 0};
    struct timespec cpu;
    struct dirent *entry;
    clockid_t clock;
    char path[128], line[256];
    unsigned long long count;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", (int)example);
    if (clock_getcpuclockid(example, &clock) != 0 || clock_gettime(clock, &cpu) != 0 || !(tasks = opendir(path)))
        failed("can't tell what the process does: %s", strerror(errno));
    sum.cpu_ns = (unsigned long long)cpu.tv_sec * 1000000000 + (unsigned long long)cpu.tv_nsec;
    while ((entry = readdir(tasks))) {
        FILE *status;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/status", (int)example, entry->d_name);
        if (!(status = fopen(path, "r")))
            continue;
        while (fgets(line, sizeof line, status))
            if (sscanf(line, "voluntary_ctxt_switches: %llu", &count) == 1 ||
                sscanf(line, "nonvoluntary_ctxt_switches: %llu", &count) == 1)
                sum.switches += count;
        fclose(status);
    }
    closedir(tasks);
    return sum;
}

static struct activity activity_in(unsigned milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    struct activity before = activity(), after;

    nanosleep(&time, NULL);
    after = activity();
    after.switches -= before.switches;
    after.cpu_ns -= before.cpu_ns;
    return after;
}

/* Waits until the example sleeps, then watches it do nothing for a second. Gives the number of times that it woke. */
static unsigned long long idle_wakeups(const char *when)
{
    struct activity seen;

    patience();
    do {
        look_again_later("the loop to come to rest");
        seen = activity_in(50);
    } while (seen.switches || seen.cpu_ns);
    seen = activity_in(1000);
    if (seen.switches || seen.cpu_ns)
        failed("%s: %llu wake-ups and %llu ns of work in a second at rest", when, seen.switches, seen.cpu_ns);
    return seen.switches;
}

static unsigned read_number(const char *path)
{
    FILE *file = fopen(path, "r");
    unsigned number;

    if (!file || fscanf(file, "%u", &number) != 1)
        failed("can't read %s", path);
    fclose(file);
    return number;
}

static void make_directory_of(char *path)
{
    char *name = strrchr(path, '/'), *last;

    *name = '\0';
    last = strrchr(path, '/');
    *last = '\0';
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        failed("mkdir %s: %s", path, strerror(errno));
    *last = '/';
    if (mkdir(path, 0700) < 0)
        failed("mkdir %s: %s", path, strerror(errno));
    *name = '/';
}

/* Files from first on, each in a directory that is made just before, if it isn't there. Never more at a time than the
   kernel's queue has room for: a loss of events there would not be the loop's. */
static void make_files(unsigned first, unsigned count)
{
    unsigned ahead = read_number("/proc/sys/fs/inotify/max_queued_events") / 4;
    char path[PATH_MAX + 64];

    patience();
    for (unsigned n = first; n < first + count; n++) {
        int fd;

        file_path(path, n);
        while ((fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0 && errno == ENOENT)
            make_directory_of(path);
        if (fd < 0 || write(fd, "x", 1) != 1)
            failed("%s: %s", path, strerror(errno));
        close(fd);
        while (n >= figures->complete + ahead)
            look_again_later("the loop to follow");
    }
}

/* Starts the example; in its process this returns the arguments for it, otherwise NULL. */
static char **start(int count, int interval)
{
    static char *arguments[MOST_ARGUMENTS + 1];
    static char socket_path[PATH_MAX + 16];
    pid_t parent = getpid();

    fflush(stdout);
    figures->open = 0;
    figures->roots = 0;
    example = fork();
    if (example == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(EXIT_FAILURE);
    } else if (example < 0)
        failed("fork: %s", strerror(errno));
    example_interval = interval;
    snprintf(socket_path, sizeof socket_path, "%s/socket", folder);
    for (int i = 0; i < count; i++)
        arguments[i] = i < 2 ? figures->root[i] : socket_path;
    figures->roots = count < 2 ? count : 2;
    if (example == 0)
        return arguments;
    patience();
    while (figures->open < figures->roots)
        look_again_later("the tree to be watched");
    return NULL;
}

static void end(int signal)
{
    int status;

    if (kill(example, signal) < 0)
        failed("kill: %s", strerror(errno));
    patience();
    while (waitpid(example, &status, WNOHANG) == 0) {
        struct timespec millisecond = {0, 1000000};

        if (now_ns() > deadline)
            failed("not ended by signal %d", signal);
        nanosleep(&millisecond, NULL);
    }
    example = -1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
        failed("status %#x after signal %d", (unsigned)status, signal);
}

static void check_all(unsigned files)
{
    patience();
    while (figures->complete < files)
        look_again_later("all files to be reported");
    if (figures->twice || figures->unknown || figures->lost)
        failed("events that should not have come");
}

/* For the example with a socket. A client's answer counts as a tick, and clients that all wait from the beginning keep
   the socket ready. */
static int client[CLIENTS + 2], clients;

static void connect_client(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path)
        failed("%s is too long for a socket's name", path);
    strcpy(address.sun_path, path);
    client[clients] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    patience();
    while (connect(client[clients], (struct sockaddr *)&address, sizeof address) < 0)
        look_again_later("the socket"); /* it is made after the watches */
    clients++;
}

static void check_clients(void)
{
    char answer[256];

    for (int i = 0; i < clients; i++) {
        ssize_t length = read(client[i], answer, sizeof answer - 1);

        if (length <= 0)
            failed("client %d got no answer", i);
        answer[length] = '\0';
        if (!strstr(answer, " events"))
            failed("client %d got: %s", i, answer);
        close(client[i]);
    }
}

static void stop_example(void)
{
    int status;

    kill(example, SIGSTOP);
    if (waitpid(example, &status, WUNTRACED) != example || !WIFSTOPPED(status))
        failed("not stopped");
}

/* Returns in the processes of the example, and only there. */
static char **selftest(unsigned files, int arguments)
{
    const char *temporary = getenv("TMPDIR");
    unsigned flood = files / 4, room, woken, events, ticks;
    unsigned long long idle;
    int with_socket = arguments > 2;
    char **result, path[PATH_MAX + 64];

    snprintf(folder, sizeof folder, "%s/asyncinotify-loop.XXXXXX", temporary ? temporary : "/tmp");
    figures = mmap(NULL, sizeof *figures, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (figures == MAP_FAILED || !mkdtemp(folder))
        example_fail("can't begin", strerror(errno));
    for (int i = 0; i < 2; i++) {
        snprintf(figures->root[i], sizeof figures->root[i], "%.4000s/tree%d", folder, i);
        if (mkdir(figures->root[i], 0700) < 0)
            failed("mkdir: %s", strerror(errno));
    }

    if ((result = start(arguments, 0)))
        return result;
    idle = idle_wakeups("before the load");
    if (figures->woken)
        failed("woken before anything had happened");
    make_files(0, files);
    check_all(files);
    idle += idle_wakeups("after the load");
    woken = figures->woken;
    events = figures->events;
    end(SIGINT);

    /* All events are there at once when the example goes on. */
    room = read_number("/proc/sys/fs/inotify/max_queued_events");
    if (flood > room / 4)
        flood = room / 4;
    for (unsigned n = files; n < files + flood; n += FILES_A_DIRECTORY) {
        file_path(path, n);
        make_directory_of(path);
    }
    if ((result = start(arguments, INTERVAL_MS)))
        return result;
    snprintf(path, sizeof path, "%s/socket", folder);
    if (with_socket)
        connect_client(path); /* there is a socket now */
    stop_example();
    figures->slow = 1;
    figures->since_tick = figures->most_since_tick = 0;
    for (int i = 0; with_socket && i < CLIENTS; i++)
        connect_client(path);
    make_files(files, flood);
    kill(example, SIGCONT);
    check_all(files + flood);
    if (with_socket)
        connect_client(path);
    ticks = with_socket ? (unsigned)clients : figures->ticks + 1;
    patience();
    while (figures->ticks < ticks) /* the last one counts what came since the one before */
        look_again_later("the timer");
    if (figures->most_since_tick > MOST_BETWEEN_TICKS)
        failed("%u events between two ticks of a timer, more than %d", figures->most_since_tick, MOST_BETWEEN_TICKS);
    if (with_socket)
        check_clients();
    figures->slow = 0;
    end(SIGTERM);

    printf("%u %u %llu %u %u\n", woken, events, idle, figures->most_since_tick, figures->busy);
    finish(EXIT_SUCCESS);
}

/* ---- the command line ---- */

static _Noreturn void usage_error(const char *usage)
{
    fprintf(stderr,
            "usage: %s [--tick MS] %s\n"
            "       %s --selftest [FILES]\n"
            "Prints what happens in a directory tree, until Ctrl-C.\n",
            program, usage, program);
    exit(2);
}

char **example_arguments(int argc, char **argv, const char *usage)
{
    int first = 1, wanted = 1;

    program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    for (const char *c = usage; *c; c++)
        wanted += *c == ' ';
    setvbuf(stdout, NULL, _IOLBF, 0);

    if (argc > 1 && strcmp(argv[1], "--selftest") == 0) {
        int files = argc > 2 ? atoi(argv[2]) : 10000;

        if (files < FILES_A_DIRECTORY || files > MOST_FILES / 2)
            usage_error(usage);
        return selftest((unsigned)files, wanted);
    }
    if (argc > 2 && strcmp(argv[1], "--tick") == 0) {
        if ((example_interval = atoi(argv[2])) <= 0)
            usage_error(usage);
        first = 3;
    }
    if (argc - first != wanted || argv[first][0] == '-')
        usage_error(usage);
    return argv + first;
}
