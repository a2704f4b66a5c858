// asio: a coroutine that waits for events beside a timer and a signal, in one asio::io_context. C++20, standalone Asio.
#include <asio.hpp>
#include <asyncinotify.hpp>

#include <iostream>

using ain = asyncinotify;
using ain_mask = ain::mask;

namespace {

// Asio closes what a descriptor holds; this one belongs to the instance.
struct borrowed_descriptor : asio::posix::basic_stream_descriptor<> {
    using basic_stream_descriptor::basic_stream_descriptor;
    ~borrowed_descriptor()
    {
        if (is_open())
            release();
    }
};

asio::awaitable<void> print_events(ain::inotify &inotify)
{
    borrowed_descriptor descriptor(co_await asio::this_coro::executor, inotify.fd());
    auto wait = [&] { return descriptor.async_wait(descriptor.wait_read, asio::use_awaitable); };
    for (;;) {
        ain::event event = co_await inotify.next<asio::awaitable>(wait);
        std::cout << to_string(event.mask()) << "  " << event.path() << std::endl;
        if (event.is(ain_mask::ignored) && inotify.watches().empty())
            co_return;
    }
}

// Something else for the loop to do: says how often it woke up, which is never by itself.
asio::awaitable<void> tick(asio::steady_timer &timer)
{
    for (int seconds = 1;; ++seconds) {
        timer.expires_after(std::chrono::seconds(1));
        co_await timer.async_wait(asio::use_awaitable);
        std::cout << seconds << " s" << std::endl;
    }
}

} // namespace

int main(int argc, char **argv)
try {
    if (argc < 2 || argv[1][0] == '-') {
        std::cerr << "usage: " << argv[0] << " DIRECTORY...\n"
                  << "Prints what happens in each tree, until Ctrl-C or until none is left.\n";
        return 2;
    }
    ain::inotify inotify; // before the context, so that it goes after all that waits for it
    std::vector<ain::watch> trees;
    for (int i = 1; i < argc; ++i)
        trees.push_back(inotify.add_recursive(argv[i], ain_mask::all));

    asio::io_context context;
    asio::steady_timer timer(context);
    asio::signal_set signals(context, SIGINT, SIGTERM);
    signals.async_wait([&](asio::error_code, int) { context.stop(); });
    asio::co_spawn(context, tick(timer), asio::detached);
    std::exception_ptr failed;
    asio::co_spawn(context, print_events(inotify), [&](std::exception_ptr exception) {
        failed = exception;
        context.stop();
    });
    context.run();
    if (failed)
        std::rethrow_exception(failed);
    return 0;
} catch (const std::exception &error) {
    std::cerr << "asio: " << error.what() << '\n';
    return 1;
}
