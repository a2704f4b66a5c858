// qt: events by QSocketNotifier in Qt's event loop, beside a QTimer. Ends when none of the trees is left, or on Ctrl-C.
#include <asyncinotify.hpp>

#include <QCoreApplication>
#include <QFile>
#include <QSocketNotifier>
#include <QTextStream>
#include <QTimer>

#include <csignal>
#include <vector>

using ain = asyncinotify;
using ain_mask = ain::mask;

namespace {

volatile std::sig_atomic_t interrupted;
ain::inotify *to_wake;

// A wake makes the descriptor readable: that is how a signal gets into Qt's loop.
extern "C" void end(int)
{
    interrupted = 1;
    to_wake->wake();
}

} // namespace

int main(int argc, char **argv)
try {
    QCoreApplication application(argc, argv);
    QTextStream out(stdout);
    if (argc < 2 || argv[1][0] == '-') {
        QTextStream(stderr) << "usage: " << argv[0] << " DIRECTORY...\n"
                            << "Prints what happens in each tree, until Ctrl-C or until none is left.\n";
        return 2;
    }
    ain::inotify inotify;
    to_wake = &inotify;
    std::signal(SIGINT, end);
    std::vector<ain::watch> trees;
    for (int i = 1; i < argc; ++i)
        trees.push_back(inotify.add_recursive(argv[i], ain_mask::all));

    // Destroyed before the instance, as it has to be.
    QSocketNotifier notifier(inotify.fd(), QSocketNotifier::Read);
    QObject::connect(&notifier, &QSocketNotifier::activated, [&] {
        // Some at a time: the notifier fires again while there is more, and timers have their turn. An exception must
        // not leave a slot, so errors are taken as a code.
        std::error_code error;
        for (auto &event : inotify.events(100, error)) {
            // Paths are bytes; Qt decodes them as it decodes every file's name.
            out << QString::fromStdString(to_string(event.mask())) << "  " << QFile::decodeName(event.path().data())
                << Qt::endl;
            if (event.is(ain_mask::ignored) && inotify.watches(error).empty())
                application.quit();
        }
        if (error || interrupted)
            application.exit(error ? 1 : 0);
    });
    QTimer timer;
    QObject::connect(&timer, &QTimer::timeout, [&, seconds = 0]() mutable { out << ++seconds << " s" << Qt::endl; });
    timer.start(1000);
    return application.exec();
} catch (const std::system_error &error) {
    QTextStream(stderr) << "qt: " << error.what() << '\n';
    return 1;
}
