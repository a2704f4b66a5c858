/* Paths and names: any bytes, any length, slashes where they may be. */
#include "harness.h"

TEST(names_may_hold_any_byte)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    watch(in, "d", IN_CREATE);
    for (int byte = 1; byte < 256; byte++) {
        if (byte == '/')
            continue;
        char name[] = {'x', (char)byte, 'y', 0};
        make_entry(text("d/%s", name));
        asyncinotify_event event = take(in);
        CHECK_STR(event.name, name);
        CHECK_INT(event.name_len, 3);
        CHECK_STR(event.path, text("d/%s", name));
        CHECK_INT(event.path_len, 5);
    }
    finish(in);
}

TEST(paths_may_hold_any_byte)
{
    asyncinotify *in = open_instance();
    for (int byte = 1; byte < 256; byte++) {
        if (byte == '/')
            continue;
        char dir[] = {'d', (char)byte, (char)byte, 0};
        make_dir("%s", dir);
        asyncinotify_watch id = watch(in, dir, IN_CREATE);
        CHECK_STR(watch_path(in, id), dir);
        make_entry(text("%s/f", dir));
        CHECK_STR(take(in).path, text("%s/f", dir));
        remove_watch(in, id);
        drain(in);
    }
    finish(in);
}

TEST(names_may_be_as_long_as_NAME_MAX)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    watch(in, "d", IN_CREATE);
    char name[NAME_MAX + 1];
    for (size_t length = 1; length <= NAME_MAX; length++) {
        memset(name, 'a' + (int)length % 26, length);
        name[length] = 0;
        make_entry(text("d/%s", name));
        asyncinotify_event event = take(in);
        CHECK_STR(event.name, name);
        CHECK_INT(event.name_len, length);
        CHECK_INT(event.path_len, length + 2);
    }
    finish(in);
}

/* A relative path of exactly this length that leads to the directory: "./././…d". */
static const char *long_path_to(const char *directory, size_t length)
{
    static char path[PATH_MAX + 1];
    size_t tail = strlen(directory), at = 0;
    for (; at + 2 + tail <= length; at += 2)
        memcpy(path + at, "./", 2);
    if (at + tail < length)
        path[at - 1] = path[at] = '/', at++;
    strcpy(path + at, directory);
    CHECK_INT(strlen(path), length);
    return path;
}

TEST(paths_may_be_as_long_as_PATH_MAX)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    for (size_t length = PATH_MAX - 6; length < PATH_MAX; length++) {
        const char *path = long_path_to("d", length);
        asyncinotify_watch id = watch(in, path, IN_CREATE);
        CHECK_INT(asyncinotify_watch_path(in, id, NULL, 0), length);
        make_entry(text("d/f%zu", length));
        asyncinotify_event event = take(in);
        CHECK_INT(event.path_len, length + 1 + event.name_len);
        CHECK(!strncmp(event.path, path, length));
        CHECK(event.path[length] == '/');
        CHECK_STR(event.path + length + 1, text("f%zu", length));
        remove_watch(in, id);
        drain(in);
    }
    finish(in);
}

TEST(a_path_longer_than_PATH_MAX_together_with_the_name_is_delivered)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    const char *path = long_path_to("d", PATH_MAX - 1), *name = text("%0255d", 7);
    watch(in, path, IN_CREATE | ASYNCINOTIFY_MOVE);
    make_entry("d/short");
    take(in);
    rename_entry("d/short", text("d/%s", name));
    CHECK_INT(take(in).path_len, PATH_MAX - 1 + 1 + 5);
    asyncinotify_event event = take(in);
    CHECK_INT(event.path_len, PATH_MAX - 1 + 1 + 255);
    CHECK_INT(strlen(event.path), event.path_len);
    CHECK_STR(event.name, name);
    CHECK_INT(event.moved_from_len, PATH_MAX - 1 + 1 + 5);
    finish(in);
}

TEST(set_path_may_be_longer_than_PATH_MAX)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    size_t length = 3 * PATH_MAX;
    char *path = malloc(length + 1), *got = malloc(length + 1);
    memset(path, 'p', length);
    path[length] = 0;
    asyncinotify_watch id = watch(in, "d", IN_CREATE);
    OK(asyncinotify_watch_set_path(in, id, path));
    make_file("d/f");
    asyncinotify_event event = take(in);
    CHECK_INT(event.path_len, length + 2);
    CHECK(!strncmp(event.path, path, length));
    CHECK_STR(event.path + length, "/f");
    CHECK_INT(asyncinotify_watch_path(in, id, got, length + 1), length);
    CHECK_STR(got, path);
    free(path);
    free(got);
    finish(in);
}

TEST(the_root_directory_needs_no_second_slash)
{
    enter_mount_namespace();
    SYS(chroot("."));
    SYS(chdir("/"));
    asyncinotify *in = open_instance();
    watch(in, "/", IN_CREATE);
    make_file("/f");
    expect(in, "CREATE /f");
    finish(in);
}

TEST(a_relative_path_stays_relative_after_chdir)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    make_dirs("t/a");
    watch(in, "d", IN_CREATE);
    tree(in, "t", IN_CREATE);
    SYS(chdir("/"));
    make_entry(text("%s/d/f", test_dir()));
    make_dir("%s/t/a/b", test_dir());
    expect(in, "CREATE d/f", "CREATE|ISDIR t/a/b");
    make_entry(text("%s/t/a/b/f", test_dir()));
    expect(in, "CREATE t/a/b/f");
    finish(in);
}

TEST(names_of_different_lengths_in_one_read_keep_apart)
{
    asyncinotify *in = open_instance();
    make_dir("d");
    watch(in, "d", IN_CREATE);
    for (int i = 1; i <= 200; i++)
        make_entry(text("d/%0*d", (i * 37) % 200 + 3, i));
    for (int i = 1; i <= 200; i++) {
        asyncinotify_event event = take(in);
        CHECK_STR(event.path, text("d/%0*d", (i * 37) % 200 + 3, i));
    }
    finish(in);
}
