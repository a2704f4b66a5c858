/* Plays a workload once for each fault, some at a time, each in a process of its own. */
#include "faults.h"
#include "internal.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* How long a run may take on a machine that is busy; a hang is what takes longer. */
enum { PATIENCE_SECONDS = 60 };
/* Of each workload, where not all are asked for (FAULTS_FULL=1). */
enum { RUNS_OF_A_SAMPLE = 1000 };
enum { SHOWN_FAILURES = 10, MOST_AT_ONCE = 64 };

/* Of one run. It is shared with the process that makes it. */
struct report {
    long injected, made[CALLS + 1];
};

struct slot {
    pid_t pid;
    struct plan plan;
    struct report *report;
    int output; /* a file */
};

struct play {
    const char *name;
    workload *workload;
    begin *begin; /* NULL: at once */
    const char *filter; /* FAULTS: only plans whose text begins so */
    struct slot slots[MOST_AT_ONCE];
    int at_once, running;
    long at, stride, sampled; /* the next fault, of which one in so many is played */
    long runs, injected, missed, bad;
};

const char *plan_text(const struct plan *plan)
{
    if (!plan->count)
        return "no fault";
    const char *count = plan->count == FOR_A_WHILE ? "on" : text("%ld", plan->count);
    return text("%s %s %ld %s", call_name(plan->call), strerrorname_np(plan->error), plan->first, count);
}

/* ---- one run ---- */

struct run {
    const struct play *play;
    const struct slot *slot;
};

void make_disk(void)
{
    make_dirs("t/a/x/p");
    make_dirs("t/a/y");
    make_dirs("t/b/z");
    make_dirs("t/c");
    make_dirs("t/no");
    make_dirs("out/o/q");
    write_file("t/f");
    write_file("t/a/x/g");
    write_file("out/o/h");
}

void warm_up(void)
{
    asyncinotify *in = open_instance();
    OK(asyncinotify_add_recursive(in, "t", ENTRIES, NULL, NULL));
    drain(in);
    asyncinotify_close(in);
    CHECK_INT(asyncinotify_raw_fd(NULL), -EINVAL);
}

static const struct surroundings *around;

void surround_next_run(const struct surroundings *surroundings)
{
    around = surroundings;
}

/* In its surroundings. */
static void run(void *of_run)
{
    const struct run *it = of_run;
    const struct plan *plan = &it->slot->plan;
    struct report *report = it->slot->report;
    faults_on(NULL, &report->injected);
    warm_up();
    long memory = library_memory();
    int fds = open_fds();
    struct world world = {0};
    faults_on(plan->count ? plan : NULL, &report->injected);
    if (around)
        surround(around);
    it->play->workload(&world);
    faults_off();
    memcpy(report->made, calls_made(), sizeof report->made);
    if (world.replica)
        replica_free(world.replica);
    CHECK_INT(asyncinotify_raw_fd(NULL), -EINVAL);
    CHECK_INT(world.destroyed, world.given);
    CHECK_INT(open_fds(), fds);
    CHECK_INT(library_memory(), memory);
}

static _Noreturn void run_in_child(const struct play *play, const struct slot *slot, long number)
{
    SYS(dup2(slot->output, STDOUT_FILENO));
    SYS(dup2(slot->output, STDERR_FILENO));
    alarm(PATIENCE_SECONDS);
    char home[32];
    snprintf(home, sizeof home, "%ld", number);
    make_dir("%s", home);
    SYS(chdir(home));
    make_disk();
    struct run it = {play, slot};
    if (play->begin)
        play->begin(run, &it);
    else
        run(&it);
    SYS(chdir(".."));
    remove_all("%s", home);
    _exit(0);
}

/* ---- all of them ---- */

static void start(struct play *play, struct slot *slot, const struct plan *plan)
{
    slot->plan = *plan;
    memset(slot->report, 0, sizeof *slot->report);
    SYS(ftruncate(slot->output, 0));
    SYS(lseek(slot->output, 0, SEEK_SET));
    long number = play->runs++;
    fflush(NULL);
    slot->pid = (pid_t)SYS(fork());
    if (slot->pid == 0)
        run_in_child(play, slot, number);
    play->running++;
}

static void show(const struct slot *slot)
{
    char text[1 << 16];
    ssize_t length = pread(slot->output, text, sizeof text, 0);
    if (length > 0)
        dprintf(STDOUT_FILENO, "%.*s", (int)length, text);
}

static void judge(struct play *play, struct slot *slot, int status)
{
    play->running--;
    slot->pid = 0;
    play->injected += slot->report->injected;
    play->missed += slot->plan.count && !slot->report->injected;
    if (status == 0 && !getenv("FAULTS_EVENTS"))
        return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
        _exit(EXIT_SKIPPED);
    play->bad += status != 0;
    if (play->bad > SHOWN_FAILURES)
        return;
    dprintf(STDOUT_FILENO, "  %s: FAULTS='%s'\n", play->name, plan_text(&slot->plan));
    show(slot);
    if (WIFSIGNALED(status))
        dprintf(STDOUT_FILENO, "    %s\n", WTERMSIG(status) == SIGALRM ? "it hangs" : strsignal(WTERMSIG(status)));
}

static void wait_for_one(struct play *play)
{
    int status;
    pid_t pid = (pid_t)SYS(wait(&status));
    for (struct slot *slot = play->slots; slot < play->slots + play->at_once; slot++)
        if (slot->pid == pid)
            return judge(play, slot, status);
}

static void play_one(struct play *play, const struct plan *plan)
{
    if (play->filter ? strncmp(plan_text(plan), play->filter, strlen(play->filter)) : play->at++ % play->stride)
        return;
    if (play->running == play->at_once)
        wait_for_one(play);
    struct slot *slot = play->slots;
    while (slot->pid)
        slot++;
    start(play, slot, plan);
}

/* Calls back with each fault that a run can have which makes so many calls. */
static void each_plan(struct play *play, const long *made, void (*see)(struct play *, const struct plan *))
{
    static const long counts[] = {1, 3, FOR_A_WHILE};
    for (int call = 0; call <= ANY_CALL; call++)
        for (const int *error = call_errors(call); *error; error++)
            for (long first = 1; first <= made[call]; first++)
                for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
                    struct plan plan = {call, *error, first, counts[i]};
                    if (*error == EINTR && plan.count == FOR_A_WHILE)
                        plan.count = SIGNALS;
                    if (plan.count == 1 || !is_momentary(&plan))
                        see(play, &plan);
                }
}

static void count_one(struct play *play, const struct plan *plan)
{
    (void)plan;
    play->at++;
}

/* A prime, so that no kind of fault falls out of step with it. */
static long stride_for(long all)
{
    static const long primes[] = {1, 2, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97};
    size_t i = 0;
    while (i + 1 < sizeof primes / sizeof *primes && all / primes[i] > RUNS_OF_A_SAMPLE)
        i++;
    return primes[i];
}

static void open_slots(struct play *play)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    play->at_once = processors < 1 ? 1 : 2 * processors < MOST_AT_ONCE ? 2 * (int)processors : MOST_AT_ONCE;
    struct report *reports = mmap(NULL, sizeof *reports * MOST_AT_ONCE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < play->at_once; i++) {
        play->slots[i].report = &reports[i];
        play->slots[i].output = (int)SYS(memfd_create("output", MFD_CLOEXEC));
    }
}

static void close_slots(struct play *play)
{
    while (play->running)
        wait_for_one(play);
    for (int i = 0; i < play->at_once; i++)
        close(play->slots[i].output);
}

void play_in_surroundings(const char *name, workload *workload, begin *begin)
{
    struct play play = {.name = name, .workload = workload, .begin = begin};
    open_slots(&play);
    start(&play, &play.slots[0], &(struct plan){0});
    close_slots(&play);
    if (play.bad)
        FAIL("%s does not hold", name);
}

void play_with_faults(const char *name, workload *workload)
{
    alarm(0); /* each run has its own */
    struct play play = {.name = name, .workload = workload, .filter = getenv("FAULTS"), .stride = 1};
    open_slots(&play);
    start(&play, &play.slots[0], &(struct plan){0});
    wait_for_one(&play);
    struct report well = *play.slots[0].report;
    if (play.bad)
        FAIL("%s fails without any fault", name);
    each_plan(&play, well.made, count_one);
    const char *full = getenv("FAULTS_FULL");
    if (!full || strcmp(full, "1"))
        play.stride = stride_for(play.at);
    long all = play.at;
    play.at = 0;
    each_plan(&play, well.made, play_one);
    close_slots(&play);
    printf("  %s: %ld system calls, %ld of %ld runs, %ld injected faults, %ld bad\n", name, well.made[CALLS], play.runs - 1, all,
           play.injected, play.bad);
    fflush(stdout);
    if (play.bad)
        FAIL("%ld runs are bad; FAULTS='…' plays one, FAULTS_EVENTS=1 shows its events", play.bad);
}
