/* ASYNCINOTIFY_DEBUG: what a program prints that is asked to say what its instances do. */
#include "harness.h"

/* What a helper prints to stderr with this in its environment; NULL: nothing. */
static char *printed(const char *helper, const char *debug)
{
    static char *all;
    struct stat stat;
    if (debug)
        SYS(setenv("ASYNCINOTIFY_DEBUG", debug, 1));
    else
        SYS(unsetenv("ASYNCINOTIFY_DEBUG"));
    int file = (int)SYS(open("stderr", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
    int own = (int)SYS(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
    SYS(dup2(file, STDERR_FILENO));
    pid_t pid = start_helper(helper, NULL);
    SYS(dup2(own, STDERR_FILENO));
    SYS(close(own));
    wait_helper(pid);
    SYS(fstat(file, &stat));
    free(all);
    all = calloc(1, (size_t)stat.st_size + 1);
    CHECK_INT(pread(file, all, (size_t)stat.st_size, 0), stat.st_size);
    SYS(close(file));
    remove_all("p");
    remove_all("t");
    return all;
}

/* A plain watch and a tree, with an event each. */
HELPER(debugged)
{
    (void)args;
    make_dirs("p");
    make_dirs("t/a");
    asyncinotify *in = open_instance();
    watch(in, "p", IN_CREATE);
    tree(in, "t", IN_CREATE);
    make_file("p/\xff\n\"");
    make_dirs("t/b/c");
    drain(in);
    CHECK(asyncinotify_add_watch(in, "nothing", IN_CREATE, NULL) == -ENOENT);
    finish(in);
    return 0;
}

TEST(nothing_is_printed_unless_asked_for)
{
    CHECK_STR(printed("debugged", NULL), "");
    CHECK_STR(printed("debugged", ""), "");
    CHECK_STR(printed("debugged", "0"), "");
}

TEST(each_line_has_a_time_and_the_number_of_the_instance)
{
    char *lines = printed("debugged", "1"), *rest = NULL;
    CHECK(*lines);
    for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        unsigned long long seconds;
        unsigned micros, number;
        int end = 0;
        if (sscanf(line, "asyncinotify %llu.%6u #%u %n", &seconds, &micros, &number, &end) != 3 || !line[end] || number != 1)
            FAIL("another kind of line: %s", line);
    }
}

TEST(events_calls_steps_and_scans_are_printed)
{
    char *lines = printed("debugged", "1");
    CHECK_CONTAINS(lines, " #1 add_watch \"p\" CREATE: watch 1, wd 1\n");
    CHECK_CONTAINS(lines, " #1 add_recursive \"t\" CREATE: watch 2, wd 2\n");
    CHECK_CONTAINS(lines, " #1 first scan of tree 2 \"t\"\n");
    CHECK_CONTAINS(lines, " #1 scan \"t\" wd 2: 1 entry\n");
    CHECK_CONTAINS(lines, " #1 scan \"t/a\" wd 3: "); /* what there is, or that there are no subdirectories */
    CHECK_CONTAINS(lines, " #1 tree 2 is whole\n");
    CHECK_CONTAINS(lines, " #1 event wd 1 CREATE cookie 0 \"\\xff\\n\\\"\"\n");
    CHECK_CONTAINS(lines, " #1 event wd 2 CREATE|ISDIR cookie 0 \"b\"\n");
    CHECK_CONTAINS(lines, " #1 step Decode\n");
    CHECK_CONTAINS(lines, " #1 step Scan\n");
    CHECK_CONTAINS(lines, " #1 scan \"t/b\" wd 4: 1 entry\n");
    CHECK_CONTAINS(lines, " #1 add_watch \"nothing\" CREATE: error 2");
    CHECK_CONTAINS(lines, " #1 rm_watch 2\n");
    CHECK_CONTAINS(lines, " #1 closed\n");
    CHECK(!strstr(lines, "repair"));
}

/* A tree that loses its root and gets it back, and one whose queue overflows. */
HELPER(repaired)
{
    (void)args;
    make_dirs("t");
    asyncinotify *in = open_instance();
    asyncinotify_watch id = tree(in, "t", IN_CREATE);
    rename_entry("t", "moved");
    make_dirs("moved/a/b");
    drain(in);
    OK(asyncinotify_watch_set_path(in, id, "moved"));
    drain(in);
    make_overflow("moved");
    drain(in);
    finish(in);
    remove_all("moved");
    return 0;
}

TEST(a_repair_is_printed_with_its_reason)
{
    char *lines = printed("repaired", "1");
    CHECK_CONTAINS(lines, " #1 tree 1 is lost: error 2 at its root\n");
    CHECK_CONTAINS(lines, " #1 error 2 \"t\"\n");
    CHECK_CONTAINS(lines, " #1 repair of tree 1 \"moved\": its root was lost and has been given a path\n");
    CHECK_CONTAINS(lines, " #1 event wd -1 Q_OVERFLOW cookie 0 \"\"\n");
    CHECK_CONTAINS(lines, " #1 repair of tree 1 \"moved\": Q_OVERFLOW, events were lost\n");
}
