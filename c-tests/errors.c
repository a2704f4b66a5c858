/* Every error that the interface names: wrong handles, wrong IDs, wrong arguments, limits, rights. */
#include "harness.h"

#include <sys/mman.h>
#include <sys/resource.h>

static int no_event(asyncinotify *in, const asyncinotify_event *event, void *userdata)
{
    (void)in;
    (void)event;
    (void)userdata;
    return 0;
}

static int no_directory(asyncinotify *in, const char *path, size_t path_len, void *userdata)
{
    (void)in;
    (void)path;
    (void)path_len;
    (void)userdata;
    return 0;
}

/* ---- every function with a handle that is none ---- */

static void check_every_function_is_EINVAL(asyncinotify *in)
{
    asyncinotify_watch id = 1;
    asyncinotify_event events[2];
    char buffer[16];
    uint32_t mask;
    int timeout;
    void *userdata;
    make_dirs("d");
    CHECK_INT(asyncinotify_fd(in), -EINVAL);
    CHECK_INT(asyncinotify_raw_fd(in), -EINVAL);
    CHECK_INT(asyncinotify_cache_size(in), -EINVAL);
    CHECK_INT(asyncinotify_set_cache_size(in, 10), -EINVAL);
    CHECK_INT(asyncinotify_sync_timeout(in, &timeout), -EINVAL);
    CHECK_INT(asyncinotify_set_sync_timeout(in, 10), -EINVAL);
    CHECK_INT(asyncinotify_debug_dump(in, STDERR_FILENO), -EINVAL);
    CHECK_INT(asyncinotify_wake(in), -EINVAL);
    CHECK_INT(asyncinotify_add_watch(in, "d", IN_CREATE, &id), -EINVAL);
    CHECK_INT(asyncinotify_rm_watch(in, id), -EINVAL);
    CHECK_INT(asyncinotify_watch_path(in, id, buffer, sizeof buffer), -EINVAL);
    CHECK_INT(asyncinotify_watch_set_path(in, id, "d"), -EINVAL);
    CHECK_INT(asyncinotify_watch_mask(in, id, &mask), -EINVAL);
    CHECK_INT(asyncinotify_watch_wd(in, id), -EINVAL);
    CHECK_INT(asyncinotify_watch_is_active(in, id), -EINVAL);
    CHECK_INT(asyncinotify_watch_set_userdata(in, id, NULL, NULL), -EINVAL);
    CHECK_INT(asyncinotify_watch_userdata(in, id, &userdata), -EINVAL);
    CHECK_INT(asyncinotify_watch_set_callback(in, id, no_event), -EINVAL);
    CHECK_INT(asyncinotify_watches(in, &id, 1), -EINVAL);
    CHECK_INT(asyncinotify_get(in, events), -EINVAL);
    CHECK_INT(asyncinotify_sync_get(in, events), -EINVAL);
    CHECK_INT(asyncinotify_get_events(in, events, 2), -EINVAL);
    CHECK_INT(asyncinotify_dispatch(in, 0, no_event, NULL), -EINVAL);
    CHECK_INT(asyncinotify_run(in, no_event, NULL), -EINVAL);
    CHECK_INT(asyncinotify_add_recursive(in, "d", IN_CREATE, NULL, &id), -EINVAL);
    CHECK_INT(asyncinotify_watch_each_directory(in, id, no_directory, NULL), -EINVAL);
    asyncinotify_close(in); /* nothing to return, nothing done */
}

TEST(every_function_answers_NULL_with_EINVAL)
{
    check_every_function_is_EINVAL(NULL);
}

TEST(every_function_answers_a_closed_handle_with_EINVAL)
{
    asyncinotify *in = open_instance();
    watch(in, ".", IN_CREATE);
    asyncinotify_close(in);
    check_every_function_is_EINVAL(in);
}

TEST(every_function_answers_garbage_with_EINVAL)
{
    asyncinotify *in = open_instance();
    int local = 0;
    void *memory = calloc(1, 4096), *unmapped = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const uintptr_t garbage[] = {1, 2, 3, 4096, (uintptr_t)&local, (uintptr_t)memory, (uintptr_t)unmapped, UINTPTR_MAX,
                                 UINTPTR_MAX - 1, UINTPTR_MAX / 2, (uintptr_t)1 << 32, (uintptr_t)in + 1, (uintptr_t)in - 1,
                                 (uintptr_t)in ^ 0x10000, (uintptr_t)in << 1, (uintptr_t)in >> 1, ~(uintptr_t)in,
                                 (uintptr_t)asyncinotify_new};
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++)
        check_every_function_is_EINVAL((asyncinotify *)garbage[i]);
    free(memory);
    SYS(munmap(unmapped, 4096));
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++)
        check_every_function_is_EINVAL((asyncinotify *)garbage[i]);
    watch(in, "d", IN_CREATE);
    make_file("d/f");
    expect(in, "CREATE d/f"); /* unharmed */
    finish(in);
}

/* ---- every function with an ID that is none ---- */

static void check_every_function_is_ENOENT(asyncinotify *in, asyncinotify_watch id)
{
    char buffer[16];
    uint32_t mask;
    void *userdata;
    CHECK_INT(asyncinotify_rm_watch(in, id), -ENOENT);
    CHECK_INT(asyncinotify_watch_path(in, id, buffer, sizeof buffer), -ENOENT);
    CHECK_INT(asyncinotify_watch_set_path(in, id, "x"), -ENOENT);
    CHECK_INT(asyncinotify_watch_mask(in, id, &mask), -ENOENT);
    CHECK_INT(asyncinotify_watch_wd(in, id), -ENOENT);
    CHECK_INT(asyncinotify_watch_is_active(in, id), -ENOENT);
    CHECK_INT(asyncinotify_watch_set_userdata(in, id, buffer, NULL), -ENOENT);
    CHECK_INT(asyncinotify_watch_userdata(in, id, &userdata), -ENOENT);
    CHECK_INT(asyncinotify_watch_set_callback(in, id, no_event), -ENOENT);
    CHECK_INT(asyncinotify_watch_each_directory(in, id, no_directory, NULL), -ENOENT);
}

TEST(every_function_answers_an_ID_that_never_was_with_ENOENT)
{
    asyncinotify *in = open_instance();
    asyncinotify_watch id = watch(in, ".", IN_CREATE);
    const asyncinotify_watch none[] = {0, UINT64_MAX, UINT64_MAX / 2, id + 1, id + 1000, ~id, id ^ (uint64_t)1 << 40};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        check_every_function_is_ENOENT(in, none[i]);
    CHECK_INT(asyncinotify_watch_is_active(in, id), 1);
    finish(in);
}

TEST(every_function_answers_a_stale_ID_with_ENOENT)
{
    asyncinotify *in = open_instance();
    make_dir("t");
    asyncinotify_watch plain = watch(in, ".", IN_CREATE), recursive = tree(in, "t", IN_CREATE);
    remove_watch(in, plain);
    remove_watch(in, recursive);
    drain(in);
    check_every_function_is_ENOENT(in, plain);
    check_every_function_is_ENOENT(in, recursive);
    watch(in, ".", IN_CREATE);
    check_every_function_is_ENOENT(in, plain);
    finish(in);
}

TEST(every_function_answers_the_ID_of_another_instance_with_ENOENT)
{
    asyncinotify *in = open_instance(), *other = open_instance();
    asyncinotify_watch plain = watch(other, ".", IN_CREATE), recursive = tree(other, ".", IN_CREATE);
    watch(in, ".", IN_CREATE);
    check_every_function_is_ENOENT(in, plain);
    check_every_function_is_ENOENT(in, recursive);
    CHECK_INT(asyncinotify_watch_is_active(other, plain), 1);
    finish(in);
    finish(other);
}

TEST(every_function_answers_the_ID_of_a_closed_instance_with_ENOENT)
{
    asyncinotify *other = open_instance();
    asyncinotify_watch id = watch(other, ".", IN_CREATE);
    asyncinotify_close(other);
    asyncinotify *in = open_instance();
    check_every_function_is_ENOENT(in, id);
    watch(in, ".", IN_CREATE);
    check_every_function_is_ENOENT(in, id);
    finish(in);
}

/* ---- arguments that are nonsense ---- */

TEST(NULL_where_something_must_be_is_EINVAL)
{
    asyncinotify *in = open_instance();
    asyncinotify_watch id = watch(in, ".", IN_CREATE);
    asyncinotify_event event = {0}, *copy;
    make_file("f"); /* so that there is something to take */
    CHECK_INT(asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, NULL), -EINVAL);
    CHECK_INT(asyncinotify_sync_timeout(in, NULL), -EINVAL);
    CHECK_INT(asyncinotify_add_watch(in, NULL, IN_CREATE, NULL), -EINVAL);
    CHECK_INT(asyncinotify_add_recursive(in, NULL, IN_CREATE, NULL, NULL), -EINVAL);
    CHECK_INT(asyncinotify_watch_path(in, id, NULL, 1), -EINVAL);
    CHECK_INT(asyncinotify_watch_set_path(in, id, NULL), -EINVAL);
    CHECK_INT(asyncinotify_watch_mask(in, id, NULL), -EINVAL);
    CHECK_INT(asyncinotify_watch_userdata(in, id, NULL), -EINVAL);
    CHECK_INT(asyncinotify_watches(in, NULL, 1), -EINVAL);
    CHECK_INT(asyncinotify_get(in, NULL), -EINVAL);
    CHECK_INT(asyncinotify_sync_get(in, NULL), -EINVAL);
    CHECK_INT(asyncinotify_get_events(in, NULL, 1), -EINVAL);
    CHECK_INT(asyncinotify_event_dup(NULL, &copy), -EINVAL);
    CHECK_INT(asyncinotify_event_dup(&event, NULL), -EINVAL);
    CHECK_INT(asyncinotify_mask_format(IN_CREATE, NULL, 10), -EINVAL);
    expect(in, "CREATE ./f"); /* none of them took it */
    CHECK_STR(watch_path(in, id), ".");
    finish(in);
}

TEST(get_events_of_none_is_EINVAL)
{
    asyncinotify *in = open_instance();
    asyncinotify_event event;
    CHECK_INT(asyncinotify_get_events(in, &event, 0), -EINVAL);
    finish(in);
}

TEST(a_mask_without_an_event_is_EINVAL)
{
    asyncinotify *in = open_instance();
    CHECK_INT(asyncinotify_add_watch(in, ".", 0, NULL), -EINVAL);
    CHECK_INT(asyncinotify_add_recursive(in, ".", 0, NULL, NULL), -EINVAL);
    const struct {
        uint32_t mask;
        const char *means;
    } alone[] = {{IN_ISDIR, "says in an event"}, {IN_ONLYDIR, "how to watch"}, {IN_ONESHOT, "how to watch"},
                 {IN_DONT_FOLLOW | IN_EXCL_UNLINK, "how to watch"}};
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
        CHECK_INT(asyncinotify_add_watch(in, ".", alone[i].mask, NULL), -EINVAL);
        CHECK_CONTAINS(asyncinotify_last_error_message(), "asks for no event");
        CHECK_CONTAINS(asyncinotify_last_error_message(), alone[i].means);
        CHECK_INT(asyncinotify_add_recursive(in, ".", alone[i].mask, NULL, NULL), -EINVAL);
    }
    CHECK_INT(kernel_watches(in), 0);
    finish(in);
}

TEST(a_mask_with_unknown_bits_is_EINVAL)
{
    asyncinotify *in = open_instance();
    for (int bit = 0; bit < 32; bit++) {
        uint32_t mask = (uint32_t)1 << bit;
        if (mask == 0x1000 || (mask >= 0x10000 && mask < IN_ONLYDIR) || mask == 0x08000000) {
            CHECK_INT(asyncinotify_add_watch(in, ".", IN_CREATE | mask, NULL), -EINVAL);
            CHECK_INT(asyncinotify_add_recursive(in, ".", IN_CREATE | mask, NULL, NULL), -EINVAL);
        }
    }
    CHECK_INT(kernel_watches(in), 0);
    CHECK_INT(asyncinotify_watches(in, NULL, 0), 0);
    finish(in);
}

TEST(recursive_options_of_a_wrong_size_are_EINVAL)
{
    asyncinotify *in = open_instance();
    asyncinotify_recursive_options options = {.size = 0};
    CHECK_INT(asyncinotify_add_recursive(in, ".", IN_CREATE, &options, NULL), -EINVAL);
    options.size = sizeof options - 1;
    CHECK_INT(asyncinotify_add_recursive(in, ".", IN_CREATE, &options, NULL), -EINVAL);
    CHECK_INT(kernel_watches(in), 0);
    finish(in);
}

TEST(recursive_options_of_a_later_version_are_E2BIG_when_they_ask_for_something)
{
    asyncinotify *in = open_instance();
    struct {
        asyncinotify_recursive_options known;
        size_t later[2];
    } options = {.known = {.size = sizeof options}};
    asyncinotify_watch id = 0;
    options.later[1] = 1;
    CHECK_INT(asyncinotify_add_recursive(in, ".", IN_CREATE, &options.known, NULL), -E2BIG);
    CHECK_INT(kernel_watches(in), 0);
    options.later[1] = 0;
    OK(asyncinotify_add_recursive(in, ".", IN_CREATE, &options.known, &id));
    finish(in);
}

TEST(recursive_options_with_unknown_flags_are_EINVAL)
{
    asyncinotify *in = open_instance();
    asyncinotify_recursive_options options = {.size = sizeof options, .flags = 8};
    CHECK_INT(asyncinotify_add_recursive(in, ".", IN_CREATE, &options, NULL), -EINVAL);
    options.flags = UINT32_MAX;
    CHECK_INT(asyncinotify_add_recursive(in, ".", IN_CREATE, &options, NULL), -EINVAL);
    CHECK_INT(kernel_watches(in), 0);
    finish(in);
}

static int destroyed;

static void count_destroy(void *userdata)
{
    CHECK(userdata == &destroyed);
    destroyed++;
}

static int any_directory(asyncinotify *in, const char *path, size_t path_len, void *userdata)
{
    (void)userdata;
    return no_directory(in, path, path_len, userdata) == 0;
}

TEST(recursive_options_with_a_destroy_and_no_filter_are_EINVAL)
{
    asyncinotify *in = open_instance();
    asyncinotify_recursive_options options = {.size = sizeof options, .filter_userdata = &destroyed,
                                              .filter_destroy = count_destroy};
    CHECK_INT(asyncinotify_add_recursive(in, ".", IN_CREATE, &options, NULL), -EINVAL);
    finish(in);
    CHECK_INT(destroyed, 0);
}

TEST(a_failed_add_recursive_leaves_the_filters_userdata_with_the_caller)
{
    asyncinotify *in = open_instance();
    asyncinotify_recursive_options options = {.size = sizeof options, .filter = any_directory,
                                              .filter_userdata = &destroyed, .filter_destroy = count_destroy};
    CHECK_INT(asyncinotify_add_recursive(in, "nothing", IN_CREATE, &options, NULL), -ENOENT);
    CHECK_INT(asyncinotify_add_recursive(in, ".", 0, &options, NULL), -EINVAL);
    finish(in);
    CHECK_INT(destroyed, 0);
}

TEST(each_directory_of_a_plain_watch_is_EINVAL)
{
    asyncinotify *in = open_instance();
    asyncinotify_watch id = watch(in, ".", IN_CREATE);
    CHECK_INT(asyncinotify_watch_each_directory(in, id, no_directory, NULL), -EINVAL);
    finish(in);
}

/* ---- what the path leads to ---- */

static void check_both(asyncinotify *in, const char *path, int expected)
{
    asyncinotify_watch id = 0;
    CHECK_INT(asyncinotify_add_watch(in, path, IN_CREATE, &id), expected);
    CHECK_INT(asyncinotify_add_recursive(in, path, IN_CREATE, NULL, &id), expected);
    CHECK_INT(kernel_watches(in), 0);
    CHECK_INT(asyncinotify_watches(in, NULL, 0), 0);
    CHECK(!readable(in));
}

TEST(nothing_there_is_ENOENT)
{
    asyncinotify *in = open_instance();
    check_both(in, "nothing", -ENOENT);
    check_both(in, "nothing/below", -ENOENT);
    check_both(in, "", -ENOENT);
    SYS(symlink("nothing", "dangling"));
    check_both(in, "dangling", -ENOENT);
    finish(in);
}

TEST(a_file_in_the_middle_of_the_path_is_ENOTDIR)
{
    asyncinotify *in = open_instance();
    make_file("f");
    check_both(in, "f/below", -ENOTDIR);
    check_both(in, "f/", -ENOTDIR);
    finish(in);
}

TEST(a_file_as_the_root_of_a_tree_is_ENOTDIR)
{
    asyncinotify *in = open_instance();
    make_file("f");
    CHECK_INT(asyncinotify_add_recursive(in, "f", IN_CREATE, NULL, NULL), -ENOTDIR);
    CHECK_INT(kernel_watches(in), 0);
    finish(in);
}

TEST(symbolic_links_in_a_circle_are_ELOOP)
{
    asyncinotify *in = open_instance();
    SYS(symlink("b", "a"));
    SYS(symlink("a", "b"));
    check_both(in, "a", -ELOOP);
    finish(in);
}

TEST(a_name_that_is_too_long_is_ENAMETOOLONG)
{
    asyncinotify *in = open_instance();
    char name[NAME_MAX + 2], path[PATH_MAX + 3];
    memset(name, 'x', NAME_MAX + 1);
    name[NAME_MAX + 1] = 0;
    CHECK_INT(asyncinotify_add_watch(in, name, IN_CREATE, NULL), -ENAMETOOLONG);
    for (size_t i = 0; i < PATH_MAX + 1; i += 2)
        memcpy(path + i, "./", 3);
    CHECK_INT(asyncinotify_add_watch(in, path, IN_CREATE, NULL), -ENAMETOOLONG);
    CHECK_INT(kernel_watches(in), 0);
    finish(in);
}

TEST(no_permission_is_EACCES)
{
    make_dirs("locked/inside");
    SYS(chmod("locked", 0700));
    make_dir("unreadable");
    SYS(chmod("unreadable", 0300));
    uid_t uid = geteuid();
    become_nobody();
    if (uid != 0) {
        SYS(chmod("locked", 0));
        SYS(chmod("unreadable", 0));
    }
    asyncinotify *in = open_instance();
    check_both(in, "locked/inside", -EACCES);
    CHECK_CONTAINS(asyncinotify_last_error_message(), "\"locked\" may not be searched");
    check_both(in, "locked", -EACCES);
    CHECK_CONTAINS(asyncinotify_last_error_message(), "\"locked\" may not be read");
    check_both(in, "unreadable", -EACCES);
    CHECK_CONTAINS(asyncinotify_last_error_message(), "\"unreadable\" may not be read");
    finish(in);
    if (uid != 0) {
        SYS(chmod("locked", 0700));
        SYS(chmod("unreadable", 0700));
    }
}

/* ---- limits ---- */

/* The call, what it was called on ("" if nothing), and the limit that was reached: that of the test's user namespace. */
static void check_message_names_a_limit(const char *call, const char *on, const char *what, int most)
{
    const char *message = asyncinotify_last_error_message();
    CHECK_CONTAINS(message, call);
    CHECK_CONTAINS(message, on);
    CHECK_CONTAINS(message, text("raise user.max_inotify_%s, now %d,", what, most));
    CHECK(!strstr(message, "fs.inotify"));
}

TEST(no_more_watches_is_ENOSPC_and_says_what_to_raise)
{
    enter_user_namespace();
    limit_inotify("watches", 3);
    asyncinotify *in = open_instance();
    for (int i = 0; i < 4; i++)
        make_dir("%d", i);
    for (int i = 0; i < 3; i++)
        watch(in, text("%d", i), IN_CREATE);
    CHECK_INT(asyncinotify_add_watch(in, "3", IN_CREATE, NULL), -ENOSPC);
    check_message_names_a_limit("inotify_add_watch(2)", "\"3\"", "watches", 3);
    make_file("2/f"); /* the others go on */
    expect(in, "CREATE 2/f");
    asyncinotify_watch ids[3];
    CHECK_INT(asyncinotify_watches(in, ids, 3), 3);
    remove_watch(in, ids[0]);
    drain(in);
    watch(in, "3", IN_CREATE); /* there is room again */
    finish(in);
}

TEST(no_more_watches_for_a_tree_is_ENOSPC_and_leaves_nothing)
{
    enter_user_namespace();
    limit_inotify("watches", 5);
    asyncinotify *in = open_instance();
    for (int i = 0; i < 10; i++)
        make_dirs("t/%d/x", i);
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    asyncinotify_recursive_options options = {.size = sizeof options, .filter = any_directory,
                                              .filter_userdata = &destroyed, .filter_destroy = count_destroy};
    CHECK_INT(asyncinotify_add_recursive(in, "t", IN_CREATE, NULL, NULL), -ENOSPC);
    check_message_names_a_limit("inotify_add_watch(2)", "\"t/", "watches", 5);
    CHECK_INT(asyncinotify_add_recursive(in, "t", IN_CREATE, &options, NULL), -ENOSPC);
    options = (asyncinotify_recursive_options){.size = sizeof options, .flags = ASYNCINOTIFY_RECURSIVE_LIST_EXISTING};
    CHECK_INT(asyncinotify_add_recursive(in, "t", IN_CREATE, &options, NULL), -ENOSPC);
    expect_nothing(in);
    CHECK_INT(kernel_watches(in), 1);
    CHECK_INT(asyncinotify_watches(in, NULL, 0), 1);
    make_file("d/f");
    make_file("t/0/f");
    expect(in, "CREATE d/f");
    CHECK_INT(asyncinotify_watch_is_active(in, id), 1);
    make_dirs("small/x");
    asyncinotify_watch small = tree(in, "small", IN_CREATE);
    make_file("small/x/f");
    expect(in, "CREATE small/x/f");
    CHECK_DIRECTORIES(in, small, "small");
    finish(in);
    CHECK_INT(destroyed, 0);
}

TEST(no_more_instances_is_EMFILE_and_says_what_to_raise)
{
    enter_user_namespace();
    limit_inotify("instances", 2);
    asyncinotify *in[2] = {open_instance(), open_instance()}, *third = NULL;
    int before = open_fds();
    CHECK_INT(asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &third), -EMFILE);
    check_message_names_a_limit("inotify_init1(2)", "", "instances", 2);
    CHECK_INT(open_fds(), before);
    finish(in[0]);
    third = open_instance();
    finish(third);
    finish(in[1]);
}

TEST(no_more_file_descriptors_is_EMFILE_and_leaves_nothing)
{
    /* However many fds an instance takes: it fails at each of them in turn, and at none in the end. */
    int before = open_fds(), first_free = dup(0), failures = 0;
    struct rlimit limit;
    SYS(close(first_free));
    SYS(getrlimit(RLIMIT_NOFILE, &limit));
    for (int room = 0;; room++) {
        CHECK(room < 20);
        struct rlimit low = {(rlim_t)(first_free + room), limit.rlim_max};
        asyncinotify *in = NULL;
        SYS(setrlimit(RLIMIT_NOFILE, &low));
        int result = asyncinotify_new(ASYNCINOTIFY_INIT_DEFAULT, &in);
        SYS(setrlimit(RLIMIT_NOFILE, &limit));
        if (result == 0) {
            finish(in);
            break;
        }
        CHECK_INT(result, -EMFILE);
        CHECK(in == NULL);
        const char *message = asyncinotify_last_error_message();
        CHECK_CONTAINS(message, text("raise RLIMIT_NOFILE, now %d ", first_free + room));
        CHECK(!strstr(message, "inotify instances"));
        CHECK_INT(open_fds(), before);
        failures++;
    }
    CHECK(failures >= 2);
}

TEST(a_failed_call_changes_nothing)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    CHECK_INT(asyncinotify_add_watch(in, "d", 0, NULL), -EINVAL);
    CHECK_INT(asyncinotify_add_watch(in, "d", IN_DELETE | IN_MASK_CREATE, NULL), -EEXIST);
    CHECK_INT(asyncinotify_add_watch(in, "d", IN_DELETE | IN_MASK_CREATE | IN_MASK_ADD, NULL), -EINVAL);
    CHECK_INT(asyncinotify_watch_set_path(in, id, NULL), -EINVAL);
    CHECK_INT(asyncinotify_set_cache_size(in, 0), -EINVAL);
    uint32_t mask = 0;
    OK(asyncinotify_watch_mask(in, id, &mask));
    CHECK_HEX(mask, IN_CREATE);
    make_file("d/f");
    remove_file("d/f");
    expect(in, "CREATE d/f");
    finish(in);
}

TEST(wake_on_a_wrong_handle_leaves_the_last_error_message_alone)
{
    CHECK_INT(asyncinotify_fd(NULL), -EINVAL);
    const char *message = asyncinotify_last_error_message();
    char copy[256];
    snprintf(copy, sizeof copy, "%s", message);
    CHECK_INT(asyncinotify_wake(NULL), -EINVAL);
    CHECK_STR(asyncinotify_last_error_message(), copy);
}
