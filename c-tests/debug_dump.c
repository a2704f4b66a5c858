/* asyncinotify_debug_dump: what an instance knows, as text. */
#include "harness.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

static char *contents(int fd)
{
    static char *all;
    struct stat stat;
    SYS(fstat(fd, &stat));
    free(all);
    all = calloc(1, (size_t)stat.st_size + 1);
    CHECK_INT(pread(fd, all, (size_t)stat.st_size, 0), stat.st_size);
    return all;
}

static const char *dump(asyncinotify *in)
{
    int fd = (int)SYS(memfd_create("dump", MFD_CLOEXEC));
    CHECK_INT(asyncinotify_debug_dump(in, fd), 0);
    char *all = contents(fd);
    SYS(close(fd));
    return all;
}

TEST(dump_tells_of_the_instance)
{
    asyncinotify *in = open_instance();
    OK(asyncinotify_set_cache_size(in, 7));
    OK(asyncinotify_set_sync_timeout(in, 1234));
    const char *all = dump(in);
    CHECK_CONTAINS(all, text("asyncinotify %s: instance #1, process %d\n", ASYNCINOTIFY_VERSION_STRING, (int)getpid()));
    CHECK_CONTAINS(all, text("fds: inotify %d, pollable %d\n", asyncinotify_raw_fd(in), asyncinotify_fd(in)));
    CHECK_CONTAINS(all, "settings: non-blocking, cache_size 7, sync_timeout Millis(1234)\n");
    CHECK_CONTAINS(all, "count: 0 watches\n");
    CHECK_INT(all[strlen(all) - 1], '\n');
    finish(in);
}

TEST(dump_tells_of_a_plain_watch)
{
    asyncinotify *in = open_instance();
    make_dirs("d\n");
    asyncinotify_watch id = watch(in, "d\n", IN_CREATE | IN_DELETE);
    int wd = (int)OK(asyncinotify_watch_wd(in, id));
    CHECK_CONTAINS(dump(in), "count: 1 watches\n");
    CHECK_CONTAINS(dump(in), text("watch %d: plain \"d\\n\", mask CREATE|DELETE, wd %d, active\n", (int)id, wd));
    remove_watch(in, id);
    CHECK_CONTAINS(dump(in), text("watch %d: plain \"d\\n\", mask CREATE|DELETE, wd %d, removed\n", (int)id, wd));
    finish(in);
}

TEST(dump_tells_of_a_tree_and_of_each_directory_in_it)
{
    asyncinotify *in = open_instance();
    make_dirs("t/a/b");
    int id = (int)tree_with(in, "t", IN_CREATE, ASYNCINOTIFY_RECURSIVE_LIST_EXISTING);
    drain(in);
    CHECK_CONTAINS(dump(in), text("watch %d: tree \"t\" (\"%s/t\"), mask CREATE, wd 1, active, LIST_EXISTING, max_depth 0, epoch 1, "
                                  "pending 0, places 3, wanted scans 0, limbo 0, doubts 0, doomed 0\n", id, test_dir()));
    CHECK_CONTAINS(dump(in), text(" of tree %d: \"t\", in the tree, wd 1, epoch 1, AS_LIST\n", id));
    CHECK_CONTAINS(dump(in), text(" of tree %d: \"t/a\", in the tree, wd 2, epoch 1, AS_LIST\n", id));
    CHECK_CONTAINS(dump(in), text(" of tree %d: \"t/a/b\", in the tree, wd 3, epoch 1, AS_LIST\n", id));
    finish(in);
}

TEST(dump_tells_of_work_that_waits)
{
    asyncinotify *in = open_instance();
    make_dirs("t");
    int id = (int)tree_with(in, "t", IN_CREATE, ASYNCINOTIFY_RECURSIVE_BACKGROUND);
    CHECK_CONTAINS(dump(in), "work: next step Scan");
    CHECK_CONTAINS(dump(in), "active, syncing, BACKGROUND, max_depth 0, epoch 1, pending 1, places 1, wanted scans 1,");
    CHECK_CONTAINS(dump(in), text(" of tree %d: \"t\", in the tree, wd 1, epoch 1, QUEUED|", id));
    drain(in);
    CHECK_CONTAINS(dump(in), "work: next step Rest");
    finish(in);
}

TEST(dump_takes_no_event_and_makes_none)
{
    asyncinotify *in = open_instance();
    watch(in, ".", IN_CREATE);
    dump(in);
    CHECK(!readable(in));
    make_file("f");
    dump(in);
    CHECK(readable(in));
    expect(in, "CREATE ./f");
    finish(in);
}

static int dump_there(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    (void)event;
    CHECK_INT(asyncinotify_debug_dump(in, *(int *)userdata), 0);
    return 0;
}

TEST(dump_works_in_a_callback)
{
    asyncinotify *in = open_instance();
    int fd = (int)SYS(memfd_create("dump", MFD_CLOEXEC));
    watch(in, ".", IN_CREATE);
    make_file("f");
    make_file("g");
    CHECK_INT(asyncinotify_dispatch(in, 1, dump_there, &fd), 1);
    CHECK_CONTAINS(contents(fd), ", 1 events ready\n");
    drain(in);
    SYS(close(fd));
    finish(in);
}

TEST(dump_to_what_is_not_open_for_writing_is_EBADF)
{
    asyncinotify *in = open_instance();
    int fd = (int)SYS(open("/dev/null", O_RDONLY | O_CLOEXEC));
    CHECK_INT(asyncinotify_debug_dump(in, -1), -EBADF);
    CHECK_INT(asyncinotify_debug_dump(in, 123456), -EBADF);
    CHECK_INT(asyncinotify_debug_dump(in, fd), -EBADF);
    CHECK_CONTAINS(asyncinotify_last_error_message(), "debug_dump");
    CHECK_CONTAINS(asyncinotify_last_error_message(), strerror(EBADF));
    SYS(close(fd));
    finish(in);
}

TEST(dump_to_a_full_pipe_is_EAGAIN_if_that_is_non_blocking)
{
    asyncinotify *in = open_instance();
    int ends[2];
    char bytes[4096] = {0};
    SYS(pipe2(ends, O_NONBLOCK | O_CLOEXEC));
    while (write(ends[1], bytes, sizeof bytes) > 0)
        ;
    CHECK_INT(errno, EAGAIN);
    CHECK_INT(asyncinotify_debug_dump(in, ends[1]), -EAGAIN);
    SYS(close(ends[0]));
    SYS(close(ends[1]));
    watch(in, ".", IN_CREATE);
    make_file("f");
    expect(in, "CREATE ./f"); /* unharmed */
    finish(in);
}

struct pipe {
    asyncinotify *in;
    int ends[2];
};

static void *dump_into_pipe(void *argument)
{
    struct pipe *pipe = argument;
    CHECK_INT(asyncinotify_debug_dump(pipe->in, pipe->ends[1]), 0);
    SYS(close(pipe->ends[1]));
    return NULL;
}

TEST(dump_holds_nobody_up_while_it_waits_for_its_reader)
{
    struct pipe pipe = {.in = open_instance()};
    struct thread thread;
    char bytes[4096];
    size_t length = 0;
    ssize_t count;
    int queued = 0;
    for (int i = 0; i < 3000; i++)
        make_dirs("t/%d", i);
    tree(pipe.in, "t", IN_CREATE);
    SYS(pipe2(pipe.ends, O_CLOEXEC));
    int room = (int)SYS(fcntl(pipe.ends[1], F_GETPIPE_SZ));
    start_thread(&thread, dump_into_pipe, &pipe);
    for (double end = now_ms() + PATIENCE_MS; queued < room && now_ms() < end; pause_ms(1))
        SYS(ioctl(pipe.ends[0], FIONREAD, &queued));
    CHECK_INT(queued, room);
    watch(pipe.in, ".", IN_CREATE);
    make_file("f");
    expect(pipe.in, "CREATE ./f");
    while ((count = read(pipe.ends[0], bytes, sizeof bytes)) > 0)
        length += (size_t)count;
    CHECK(length > (size_t)room);
    join_thread(&thread);
    SYS(close(pipe.ends[0]));
    finish(pipe.in);
}
