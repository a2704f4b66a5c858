#include "harness.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

struct test {
    std::string file, name;
    void (*run)();
};

std::vector<test> &tests()
{
    static std::vector<test> all;
    return all;
}

constexpr unsigned seconds = 60; // a hang is a failure

int kernel_watches()
{
    int count = 0;
    for (const fs::directory_entry &entry : fs::directory_iterator("/proc/self/fdinfo")) {
        std::ifstream info(entry.path());
        for (std::string line; std::getline(info, line);)
            count += line.rfind("inotify ", 0) == 0;
    }
    return count;
}

/* In the test's own process; returns to `main`, so that static objects are destroyed and leaks are looked for. */
int run_here(const test &test)
{
    alarm(seconds);
#if defined(ASYNCINOTIFY_HPP_EXCEPTIONS)
    try {
        test.run();
    } catch (const std::exception &error) {
        fail(test.file.c_str(), 0, std::string("exception: ") + error.what());
    }
#else
    test.run();
#endif
    CHECK_EQUAL(kernel_watches(), 0);
    CHECK_EQUAL(counted::alive, 0);
    return 0;
}

} // namespace

void register_test(const char *file, const char *name, void (*run)())
{
    tests().push_back({fs::path(file).filename(), name, run});
}

void fail(const char *file, int line, const std::string &what)
{
    std::cout << "    " << file << ':' << line << ": " << what << std::endl;
    std::_Exit(1);
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    const char *parent = std::getenv("TMPDIR");
    for (const test &test : tests()) {
        if (argc > 1 && test.name.find(argv[1]) == std::string::npos)
            continue;
        std::string directory = std::string(parent && *parent ? parent : "/tmp") + "/asyncinotify-cpp-XXXXXX";
        if (!mkdtemp(directory.data())) {
            std::perror(directory.c_str());
            return 2;
        }
        pid_t child = fork();
        if (child == 0)
            return chdir(directory.c_str()) == 0 ? run_here(test) : 2;
        int status = -1;
        bool ok = child > 0 && waitpid(child, &status, 0) == child && status == 0;
        std::cout << (ok ? "ok " : "FAILED ") << test.name;
        if (!ok)
            std::cout << " (" << test.file << ", status " << status << ')';
        std::cout << std::endl;
        ++(ok ? passed : failed);
        std::error_code ignored;
        fs::remove_all(directory, ignored);
    }
    std::cout << passed << " passed, " << failed << " failed, 0 skipped" << std::endl;
    return failed != 0 || passed == 0;
}

void make_entry(const fs::path &path)
{
    if (mknod(path.c_str(), S_IFREG | 0644, 0) != 0)
        fail(__FILE__, __LINE__, path.string() + ": " + std::strerror(errno));
}

void write_file(const fs::path &path)
{
    int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, "x", 1) != 1 || close(fd) != 0)
        fail(__FILE__, __LINE__, path.string() + ": " + std::strerror(errno));
}

void make_dir(const fs::path &path)
{
    if (mkdir(path.c_str(), 0755) != 0)
        fail(__FILE__, __LINE__, path.string() + ": " + std::strerror(errno));
}

void remove_entry(const fs::path &path)
{
    if (std::remove(path.c_str()) != 0)
        fail(__FILE__, __LINE__, path.string() + ": " + std::strerror(errno));
}

namespace {

bool poll_for(const ain::inotify &inotify, int milliseconds)
{
    pollfd polled = {inotify.fd(), POLLIN, 0};
    return poll(&polled, 1, milliseconds) == 1;
}

} // namespace

bool readable(const ain::inotify &inotify)
{
    return poll_for(inotify, 0);
}

void wait_readable(const ain::inotify &inotify)
{
    if (!poll_for(inotify, 10000))
        fail(__FILE__, __LINE__, "nothing to take after ten seconds");
}

std::string text(const ain::event &event)
{
    std::string result;
    if (event.is(ain::event_flags::synthetic))
        result += "SYNTHETIC ";
    if (event.is(ain::event_flags::sync_begin))
        result += "SYNC_BEGIN ";
    else if (event.is(ain::event_flags::sync_end))
        result += "SYNC_END ";
    else if (event.is(ain::event_flags::error))
        result += "ERROR " + to_string(event.mask()) + ' ';
    else if (event.is(ain::event_flags::healed))
        result += "HEALED " + to_string(event.mask()) + ' ';
    else
        result += to_string(event.mask()) + ' ';
    result += event.path();
    if (!event.moved_from().empty())
        result.append(" <- ").append(event.moved_from());
    return result;
}

lines drain(ain::inotify &inotify)
{
    lines all;
    std::error_code error;
    do {
        for (auto &event : inotify.events(error))
            all.push_back(text(event));
    } while (!error && readable(inotify)); // a slice of a scan may end without an event
    if (error)
        fail(__FILE__, __LINE__, error.message());
    return all;
}

ain::inotify open_instance()
{
    std::error_code error;
    ain::inotify inotify(error);
    if (error)
        fail(__FILE__, __LINE__, ain::last_error_message());
    return inotify;
}
