/* A long life: random changes, random ways of taking, and faults that come and go. */
#include "faults.h"
#include "internal.h"

#include <sys/mman.h>
#include <sys/wait.h>

enum { LIST = ASYNCINOTIFY_RECURSIVE_LIST_EXISTING, BACKGROUND = ASYNCINOTIFY_RECURSIVE_BACKGROUND };
enum { DEPTH = 3, SHORT_LIFE = 40, LONG_LIFE = 4000, LIVES = 6, PATIENCE_SECONDS = 600 };

/* Shared with the process that lives. */
static struct sums {
    long lives, spells, changes, refused, trees, injected, first_kib, last_kib;
    uint64_t life; /* the one that is being played */
} *sums;

/* ---- chance ---- */

static uint64_t chance;

static unsigned below(unsigned limit)
{
    chance += 0x9e3779b97f4a7c15u;
    uint64_t mixed = (chance ^ chance >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return (unsigned)((mixed ^ mixed >> 31) % limit);
}

static bool one_in(unsigned times)
{
    return below(times) == 0;
}

/* ---- the world changes ---- */

static const char *some_path(void)
{
    const char *path = one_in(6) ? "out" : "t";
    for (unsigned depth = 1 + below(DEPTH); depth; depth--)
        path = text("%s/%c", path, "abcx"[below(4)]);
    return path;
}

enum { TRIES = 8 };

/* As a rule: at times the kernel has to refuse. */
static const char *existing_path(void)
{
    const char *path = some_path();
    for (int tries = 1; tries < TRIES && !exists(path); tries++)
        path = some_path();
    return path;
}

/* Of something new, in a directory that exists, as a rule. The filter refuses what is named "no", so nothing is ever below it. */
static const char *new_path(void)
{
    for (int tries = 0; tries < TRIES; tries++) {
        const char *path = some_path();
        if (!exists(path) && exists(text("%.*s", (int)(strrchr(path, '/') - path), path)))
            return path;
    }
    return text("%s/no", existing_path());
}

static int write_some_file(const char *path)
{
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    if (file == -1)
        return -1;
    ssize_t written = write(file, "x", 1);
    close(file);
    return written == 1 ? 0 : -1;
}

static int remove_some(const char *path)
{
    if (!exists(path))
        return -1;
    remove_all("%s", path);
    return 0;
}

static int change_once(void)
{
    const char *path = existing_path();
    switch (below(12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        return mkdir(new_path(), 0755);
    case 4:
        return mknod(new_path(), S_IFREG | 0644, 0);
    case 5:
        return write_some_file(one_in(2) ? path : new_path());
    case 6:
    case 7:
        return rename(path, one_in(4) ? existing_path() : some_path());
    case 8:
        return renameat2(AT_FDCWD, path, AT_FDCWD, existing_path(), RENAME_EXCHANGE);
    case 9:
        return chmod(path, one_in(2) ? 0755 : 0700);
    case 10:
        return unlink(path) == 0 ? 0 : rmdir(path);
    default:
        return one_in(2) ? remove_some(path) : -1;
    }
}

static void change_some(void)
{
    for (unsigned left = 1 + below(12); left; left--)
        if (change_once() == 0)
            sums->changes++;
        else
            sums->refused++;
}

/* ---- faults come and go ---- */

static void some_faults(void)
{
    static const long counts[] = {1, 3, 20, FOR_A_WHILE};
    struct plan plan;
    do
        plan.call = one_in(2) ? ANY_CALL : (int)below(CALLS);
    while (!*call_errors(plan.call));
    const int *errors = call_errors(plan.call);
    int known = 0;
    while (errors[known])
        known++;
    plan.error = errors[below((unsigned)known)];
    plan.first = 1 + below(one_in(2) ? 4 : 60);
    plan.count = counts[below(sizeof counts / sizeof *counts)];
    if (is_momentary(&plan))
        plan.count = 1;
    if (plan.error == EINTR && plan.count == FOR_A_WHILE)
        plan.count = SIGNALS;
    if (getenv("FAULTS_EVENTS"))
        dprintf(STDOUT_FILENO, "    from here FAULTS='%s'\n", plan_text(&plan));
    change_faults(&plan);
}

/* ---- the library works ---- */

static int apply_called(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    (void)in;
    apply(userdata, event);
    return 0;
}

static void take_some(struct world *world)
{
    asyncinotify_event events[7];
    intptr_t got;
    switch (below(5)) {
    case 0:
        got = TRY(asyncinotify_get_events(world->in, events, 1 + below(7)));
        for (intptr_t i = 0; i < got; i++)
            apply(world, &events[i]);
        return;
    case 1:
        TRY(asyncinotify_dispatch(world->in, below(5), apply_called, world));
        return;
    case 2:
        take_all(world);
        return;
    default:
        for (unsigned left = below(20); left; left--)
            if (TRY(asyncinotify_get(world->in, events)) == 1)
                apply(world, events);
    }
}

static void plant(struct world *world)
{
    uint32_t mask = ENTRIES | (one_in(2) ? IN_ATTRIB | IN_CLOSE_WRITE : 0) | (one_in(3) ? IN_OPEN | IN_CLOSE_NOWRITE : 0);
    uint32_t flags = (one_in(2) ? LIST : 0) | (one_in(2) ? BACKGROUND : 0);
    if (one_in(4))
        add_filtered_tree(world, mask, flags);
    else
        add_tree(world, mask, flags);
    sums->trees++;
}

static void fell(struct world *world)
{
    insist_on_removal(world, world->tree);
    replica_free(world->replica);
    world->replica = NULL;
    world->tree = 0;
    faults_off();
    take_all(world);
    CHECK_INT(world->destroyed, world->given);
}

/* Any change of the tree's own beside the changes of others. */
static void add_plain_watch(struct world *world)
{
    const char *path = some_path();
    asyncinotify_watch id;
    if (exists(path) && TRY(asyncinotify_add_watch(world->in, path, IN_CREATE | IN_ONESHOT, &id)) == 0 && one_in(2))
        insist_on_removal(world, id);
}

/* Faults come, go on and end; then all is as on the disk. */
static void live_through_a_spell(struct world *world)
{
    if (!one_in(4))
        some_faults();
    if (!world->tree)
        plant(world);
    for (unsigned left = 1 + below(6); left; left--) {
        change_some();
        if (one_in(20))
            overflow_at_next_read();
        if (one_in(10))
            add_plain_watch(world);
        if (!one_in(3))
            take_some(world);
        if (one_in(8))
            some_faults();
    }
    if (one_in(20))
        fell(world);
    heal(world);
    change_faults(NULL);
    remove_touched("t");
    sums->spells++;
}

static void remove_disk(void)
{
    remove_all("t");
    remove_all("out");
}

static void live(uint64_t seed, int spells)
{
    chance = seed;
    make_disk();
    long memory = library_memory();
    int fds = open_fds();
    struct world world = {0};
    sums->life = seed;
    change_faults(NULL);
    open_world(&world, one_in(2) ? ASYNCINOTIFY_INIT_DEFAULT : ASYNCINOTIFY_INIT_CLOEXEC);
    for (int spell = 0; spell < spells; spell++)
        live_through_a_spell(&world);
    if (world.tree)
        fell(&world);
    finish(world.in);
    CHECK_INT(asyncinotify_raw_fd(NULL), -EINVAL); /* the text of the last failure has its known length */
    CHECK_INT(open_fds(), fds);
    CHECK_INT(library_memory(), memory);
    remove_disk();
    sums->lives++;
}

/* ---- all of them ---- */

static long resident_kib(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    CHECK(file && fscanf(file, "%ld %ld", &pages, &resident) == 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void print_sums(void)
{
    printf("  random: %ld lives, %ld trees, %ld changes (%ld more were refused), %ld faults, %ld times equal to the disk\n",
           sums->lives, sums->trees, sums->changes, sums->refused, sums->injected, sums->spells);
    if (sums->first_kib)
        printf("  random: %ld KiB resident, %ld after the first lives\n", sums->last_kib, sums->first_kib);
    fflush(stdout);
}

static void live_and_live(const char *seed, const char *seconds)
{
    enum { MINUTE = 60000 };
    make_disk();
    faults_on(NULL, &sums->injected);
    warm_up();
    remove_disk();
    uint64_t first = seed ? strtoull(seed, NULL, 10) : 1, end = seed ? first + 1 : first + LIVES;
    double until = seconds ? now_ms() + 1000 * atof(seconds) : 0, printed = now_ms();
    for (uint64_t at = first; seconds ? now_ms() < until : at < end; at++) {
        alarm(PATIENCE_SECONDS);
        live(at, at % 8 ? SHORT_LIFE : LONG_LIFE);
        sums->last_kib = resident_kib();
        if (at - first == 8)
            sums->first_kib = sums->last_kib;
        if (now_ms() > printed + MINUTE) {
            print_sums();
            printed = now_ms();
        }
    }
}

/* FAULTS_SEED=n plays one life alone; FAULTS_SECONDS=n as many as there is time for, every eighth a long one. */
TEST(random_lives)
{
    alarm(0); /* each life has its own */
    sums = mmap(NULL, sizeof *sums, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = (pid_t)SYS(fork());
    if (pid == 0) {
        live_and_live(getenv("FAULTS_SEED"), getenv("FAULTS_SECONDS"));
        _exit(0);
    }
    int status;
    SYS(waitpid(pid, &status, 0));
    print_sums();
    if (status)
        FAIL("this life fails: FAULTS_SEED=%ju", (uintmax_t)sums->life);
    CHECK(sums->injected > 0);
    /* What grows with each life grows on. */
    CHECK(sums->last_kib < sums->first_kib + 4096 || !sums->first_kib);
}
