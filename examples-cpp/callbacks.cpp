// callbacks: each directory has a lambda of its own, in a loop of poll(2) that reads standard input too, until its end.
#include <asyncinotify.hpp>

#include <iostream>
#include <poll.h>
#include <string>
#include <unistd.h>
#include <vector>

using ain = asyncinotify;
using ain_mask = ain::mask;

namespace {

// What a lambda captured goes with its watch; this says when.
struct tally {
    explicit tally(std::string directory) : directory(std::move(directory)) {}
    tally(tally &&other) noexcept : directory(std::exchange(other.directory, {})), events(other.events) {}
    ~tally()
    {
        if (!directory.empty())
            std::cout << directory << ": " << events << " events" << std::endl;
    }
    std::string directory;
    int events = 0;
};

} // namespace

int main(int argc, char **argv)
try {
    if (argc < 2 || argv[1][0] == '-') {
        std::cerr << "usage: " << argv[0] << " DIRECTORY...\n"
                  << "Tells what comes and goes in each, until standard input ends.\n";
        return 2;
    }
    ain::inotify inotify;
    std::vector<ain::watch> watches;
    for (int i = 1; i < argc; ++i) {
        watches.push_back(inotify.add_watch(argv[i], ain_mask::create | ain_mask::delete_ | ain_mask::onlydir));
        watches.back().set_callback([tally = tally(argv[i])](const ain::event &event) mutable {
            ++tally.events;
            if (!event.name().empty())
                std::cout << tally.directory << (event.is(ain_mask::create) ? ": here is " : ": gone is ")
                          << event.name() << std::endl;
        });
    }

    pollfd polled[] = {{inotify.fd(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    while (poll(polled, 2, -1) > 0) {
        if (polled[0].revents)
            inotify.dispatch(nullptr, 100); // at most a hundred, then standard input has its turn
        char text[512];
        if (polled[1].revents && read(STDIN_FILENO, text, sizeof text) <= 0)
            break;
    }
    return 0;
} catch (const std::system_error &error) {
    std::cerr << "callbacks: " << error.what() << '\n';
    return 1;
}
