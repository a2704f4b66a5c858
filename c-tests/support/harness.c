#include "internal.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>

static struct test {
    const char *file, *name;
    void (*run)(void);
} tests[1024];
static size_t test_count;

static struct helper helpers[64];
static size_t helper_count;

char self_path[PATH_MAX], directory[PATH_MAX];
int proc_self = -1;
static char *skip_reason; /* shared with the process that runs the test */
enum { REASON_ROOM = 1024 };

void test_register(const char *file, const char *name, void (*run)(void))
{
    tests[test_count++] = (struct test){strrchr(file, '/') ? strrchr(file, '/') + 1 : file, name, run};
}

void helper_register(const char *name, int (*run)(char **))
{
    helpers[helper_count++] = (struct helper){name, run};
}

bool under_valgrind(void)
{
    return getenv("C_TESTS_VALGRIND") != NULL;
}

const struct helper *find_helper(const char *name)
{
    for (size_t i = 0; i < helper_count; i++)
        if (!strcmp(helpers[i].name, name))
            return &helpers[i];
    return NULL;
}

/* ---- checks ---- */

void test_fail(const char *file, int line, const char *format, ...)
{
    char message[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    dprintf(STDOUT_FILENO, "  %s:%d: %s\n", file, line, message);
    _exit(EXIT_FAILED);
}

void test_skip(bool missing, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(skip_reason, REASON_ROOM, format, args);
    va_end(args);
    _exit(missing ? EXIT_MISSING : EXIT_SKIPPED);
}

const char *error_name(long long number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {{EACCES, "EACCES"}, {EAGAIN, "EAGAIN"}, {EBUSY, "EBUSY"}, {ECANCELED, "ECANCELED"}, {EEXIST, "EEXIST"},
                 {EINTR, "EINTR"}, {EINVAL, "EINVAL"}, {ELOOP, "ELOOP"}, {EMFILE, "EMFILE"}, {ENAMETOOLONG, "ENAMETOOLONG"},
                 {ENOENT, "ENOENT"}, {ENOMEM, "ENOMEM"}, {ENOSPC, "ENOSPC"}, {ENOTDIR, "ENOTDIR"}, {EPERM, "EPERM"},
                 {EBADF, "EBADF"}, {EFAULT, "EFAULT"}, {EIO, "EIO"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].number == number)
            return names[i].name;
    return NULL;
}

static const char *number_text(long long value)
{
    static _Thread_local char buffers[4][64];
    static _Thread_local unsigned turn;
    char *buffer = buffers[turn++ % 4];
    const char *name = value < 0 ? error_name(-value) : NULL;
    if (name)
        snprintf(buffer, 64, "%lld (-%s)", value, name);
    else
        snprintf(buffer, 64, "%lld", value);
    return buffer;
}

void check_int(const char *file, int line, const char *what, long long actual, const char *expected_text, long long expected)
{
    if (actual != expected)
        test_fail(file, line, "%s is %s, expected %s (%s)%s%s", what, number_text(actual), number_text(expected), expected_text,
                  actual < 0 ? "; last error: " : "", actual < 0 ? asyncinotify_last_error_message() : "");
}

void check_hex(const char *file, int line, const char *what, unsigned long long actual, unsigned long long expected)
{
    if (actual != expected)
        test_fail(file, line, "%s is %#llx, expected %#llx", what, actual, expected);
}

void check_str(const char *file, int line, const char *what, const char *actual, const char *expected)
{
    if (!actual || !expected ? actual != expected : strcmp(actual, expected) != 0)
        test_fail(file, line, "%s is \"%.2000s\", expected \"%.2000s\"", what, actual ? actual : "(NULL)",
                  expected ? expected : "(NULL)");
}

void check_contains(const char *file, int line, const char *what, const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        test_fail(file, line, "%s is \"%.2000s\", which does not contain \"%.2000s\"", what, text ? text : "(NULL)", part);
}

intptr_t check_ok(const char *file, int line, const char *what, intptr_t result)
{
    if (result < 0)
        test_fail(file, line, "%s is %s: %s", what, number_text(result), asyncinotify_last_error_message());
    return result;
}

long check_sys(const char *file, int line, const char *what, long result)
{
    if (result == -1)
        test_fail(file, line, "%s: %s", what, strerror(errno));
    return result;
}

/* ---- the runner ---- */

static _Noreturn void run_test(const struct test *test, int fds_before)
{
    alarm(under_valgrind() ? 600 : 120);
    SYS(chdir(directory));
    test->run();
    if (open_fds() != fds_before) {
        scan_fds(true);
        FAIL("%s left file descriptors open: %d, were %d", test->name, open_fds(), fds_before);
    }
    int watches = 0;
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            watches += each_watch_line(fd, NULL, NULL);
    CHECK_INT(watches, 0);
    fflush(NULL);
    exit(EXIT_PASSED);
}

/* A test that runs beside us may have lowered the limit for a moment; an instance made then would overflow here. */
static void wait_for_a_whole_queue(void)
{
    static bool gave_up;
    for (double end = now_ms() + PATIENCE_MS; !gave_up && max_queued_events() < 16384; pause_ms(1))
        if (now_ms() > end) {
            gave_up = true;
            printf("note: fs.inotify.max_queued_events is only %d\n", max_queued_events());
        }
}

/* In memory unless told otherwise: some tests make tens of thousands of files. */
static const char *base_directory(void)
{
    const char *base = getenv("TMPDIR");
    if (base && *base)
        return base;
    return access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
}

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    interrupted = number;
}

/* Ctrl-C ends the test that runs, and its directory goes before we do. */
static void handle_interrupts(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int run_in_child(const struct test *test)
{
    snprintf(directory, sizeof directory, "%s/asyncinotify-test-XXXXXX", base_directory());
    if (!mkdtemp(directory)) {
        perror(directory);
        exit(2);
    }
    chmod(directory, 0755);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        handle_interrupts(SIG_DFL);
        proc_self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        run_test(test, open_fds());
    }
    int status = 0;
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
        if (interrupted)
            kill(pid, SIGKILL);
    remove_tree_at(AT_FDCWD, directory);
    if (interrupted)
        exit(128 + interrupted);
    return status;
}

static bool is_selected(const struct test *test, char **patterns)
{
    if (!*patterns)
        return true;
    for (; *patterns; patterns++)
        if (strstr(test->name, *patterns) || !strncmp(test->file, *patterns, strlen(*patterns)))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    if (!realpath(argv[0], self_path))
        snprintf(self_path, sizeof self_path, "%s", argv[0]);
    if (argc > 2 && !strcmp(argv[1], "--helper")) {
        const struct helper *helper = find_helper(argv[2]);
        return helper ? helper->run(argv + 3) : 126;
    }
    if (argc > 1 && !strcmp(argv[1], "--list")) {
        for (size_t i = 0; i < test_count; i++)
            printf("%s: %s\n", tests[i].file, tests[i].name);
        return 0;
    }

    setvbuf(stdout, NULL, _IOLBF, 0);
    handle_interrupts(interrupt);
    skip_reason = mmap(NULL, REASON_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool require_all = getenv("REQUIRE_ALL") && !strcmp(getenv("REQUIRE_ALL"), "1");
    int passed = 0, failed = 0, skipped = 0;
    for (size_t i = 0; i < test_count; i++) {
        if (!is_selected(&tests[i], argv + 1))
            continue;
        wait_for_a_whole_queue();
        double start = now_ms();
        int status = run_in_child(&tests[i]), code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        const char *verdict = "FAIL", *reason = "";
        char signal_text[64];
        if (code == EXIT_PASSED) {
            verdict = "pass";
        } else if (code == EXIT_SKIPPED) {
            verdict = "skip";
            reason = skip_reason;
        } else if (code == EXIT_MISSING) {
            verdict = require_all ? "FAIL" : "skip";
            reason = skip_reason;
            printf("SKIP: %s\n", reason);
        } else if (code == EXIT_VALGRIND) {
            reason = "valgrind found errors";
        } else if (code == -1) {
            snprintf(signal_text, sizeof signal_text, "killed by signal %d (%s)", WTERMSIG(status),
                     WTERMSIG(status) == SIGALRM ? "took too long" : strsignal(WTERMSIG(status)));
            reason = signal_text;
        }
        *(*verdict == 'p' ? &passed : *verdict == 's' ? &skipped : &failed) += 1;
        printf("%s %s: %s (%.0f ms)%s%s\n", verdict, tests[i].file, tests[i].name, now_ms() - start,
               *reason ? " # " : "", reason);
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed || !passed;
}
