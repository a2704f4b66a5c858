// watch: prints the events of the files and directory trees given, until Ctrl-C or until none of them is left.
#include <asyncinotify.hpp>

#include <csignal>
#include <filesystem>
#include <iostream>
#include <vector>

using ain = asyncinotify; // a type, whose members are the names: not a namespace
using ain_mask = ain::mask;

namespace {

ain::inotify *to_wake;
volatile std::sig_atomic_t ended;

// wake() may be called in a signal handler. Without it, a signal just before the call that waits would be missed.
extern "C" void end(int)
{
    ended = 1;
    to_wake->wake();
}

void print(const ain::event &event)
{
    std::cout << (event.is(ain::event_flags::synthetic) ? "+ " : "  ");
    std::cout << to_string(event.mask()) << "  " << event.path();
    if (!event.moved_from().empty())
        std::cout << "  (was " << event.moved_from() << ')';
    if (event.error())
        std::cout << "  " << event.error().message();
    if (event.is(ain::event_flags::healed))
        std::cout << "  is watched again";
    std::cout << std::endl;
}

} // namespace

int main(int argc, char **argv)
try {
    if (argc < 2 || argv[1][0] == '-') {
        std::cerr << "usage: " << argv[0] << " PATH...\n"
                  << "Prints what happens to each file, and below each directory, until Ctrl-C.\n";
        return 2;
    }
    ain::inotify inotify;
    inotify.set_sync_timeout(ain::infinite);
    to_wake = &inotify;
    std::signal(SIGINT, end);
    std::signal(SIGTERM, end);

    std::vector<ain::watch> watches;
    for (int i = 1; i < argc; ++i) {
        if (std::filesystem::is_directory(argv[i]))
            watches.push_back(inotify.add_recursive(argv[i], ain_mask::all));
        else
            watches.push_back(inotify.add_watch(argv[i], ain_mask::all));
    }

    while (!ended && !inotify.watches().empty()) {
        std::error_code error; // here an error code is handier: being woken is nothing exceptional
        if (auto event = inotify.sync_get(error))
            print(*event);
        else if (error != std::errc::interrupted)
            throw std::system_error(error, ain::last_error_message());
    }
    return 0;
} catch (const std::system_error &error) {
    std::cerr << "watch: " << error.what() << '\n';
    return 1;
}
