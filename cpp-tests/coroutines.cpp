/* Coroutines without any library: a loop of one poll(2), and a task type of a dozen lines. */
#include "harness.hpp"

#if defined(ASYNCINOTIFY_HPP_COROUTINES)

#include <poll.h>

namespace {

/* Runs at once, and is awaited for its value. The variadic is what asio::awaitable looks like to a template. */
template <class Value, class...>
class task {
public:
    struct promise_type {
        std::optional<Value> value;
        std::exception_ptr exception;
        std::coroutine_handle<> waiting = std::noop_coroutine();
        task get_return_object() { return task(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_never initial_suspend() noexcept { return {}; }
        auto final_suspend() noexcept
        {
            struct awaiter {
                bool await_ready() noexcept { return false; }
                std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done) noexcept
                {
                    return done.promise().waiting;
                }
                void await_resume() noexcept {}
            };
            return awaiter();
        }
        void return_value(Value result) { value = result; }
        void unhandled_exception() { exception = std::current_exception(); }
    };

    explicit task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    task(task &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ~task()
    {
        if (handle_)
            handle_.destroy();
    }
    bool done() const { return handle_.done(); }
    Value result() const
    {
        if (handle_.promise().exception)
            std::rethrow_exception(handle_.promise().exception);
        return *handle_.promise().value;
    }
    bool await_ready() const { return done(); }
    void await_suspend(std::coroutine_handle<> waiting) { handle_.promise().waiting = waiting; }
    Value await_resume() const { return result(); }

private:
    std::coroutine_handle<promise_type> handle_;
};

/* Who waits for which descriptor. */
struct loop {
    std::vector<std::pair<int, std::coroutine_handle<>>> waiting;
    int wakeups = 0;

    auto armed()
    {
        return [this](int fd, std::coroutine_handle<> handle) { waiting.emplace_back(fd, handle); };
    }

    bool run_once(int milliseconds)
    {
        CHECK_EQUAL(waiting.size(), 1u);
        pollfd polled = {waiting[0].first, POLLIN, 0};
        if (poll(&polled, 1, milliseconds) != 1)
            return false;
        ++wakeups;
        auto handle = waiting[0].second;
        waiting.clear();
        handle.resume();
        return true;
    }
};

task<int> take(ain::inotify &inotify, loop &loop, int count, lines &taken)
{
    while (static_cast<int>(taken.size()) < count) {
        co_await inotify.readable(loop.armed());
        for (auto &event : inotify.events())
            taken.push_back(text(event));
    }
    co_return count;
}

task<int> take_next(ain::inotify &inotify, loop &loop, int count, lines &taken)
{
    auto wait = [&] { return inotify.readable(loop.armed()); };
    for (int i = 0; i < count; ++i) {
        ain::event event = co_await inotify.next<task>(wait);
        taken.push_back(text(event));
    }
    co_return count;
}

} // namespace

TEST(readable_in_a_coroutine)
{
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    loop loop;
    lines taken;
    task<int> coroutine = take(inotify, loop, 3, taken);
    CHECK(!loop.run_once(0) && taken.empty());
    make_entry("a");
    CHECK(loop.run_once(10000) && taken.size() == 1 && !coroutine.done());
    CHECK(!loop.run_once(0));
    make_entry("b");
    make_entry("c");
    CHECK(loop.run_once(10000) && coroutine.done());
    CHECK_EQUAL(taken, (lines{"CREATE ./a", "CREATE ./b", "CREATE ./c"}));
    CHECK(coroutine.result() == 3 && loop.wakeups == 2);
}

TEST(next_in_a_coroutine)
{
    ain::inotify inotify;
    ain::watch watch = inotify.add_watch(".", ain_mask::create);
    loop loop;
    lines taken;
    make_entry("a");
    task<int> coroutine = take_next(inotify, loop, 3, taken);
    CHECK_EQUAL(taken, lines{"CREATE ./a"}); // was there, no wait
    CHECK(!loop.run_once(0));
    make_entry("b");
    make_entry("c");
    CHECK(loop.run_once(10000) && coroutine.done());
    CHECK_EQUAL(taken, (lines{"CREATE ./a", "CREATE ./b", "CREATE ./c"}));
    CHECK_EQUAL(coroutine.result(), 3);
}

TEST(an_error_in_a_coroutine)
{
    ain::inotify inotify;
    loop loop;
    lines taken;
    task<int> coroutine = take_next(inotify, loop, 1, taken);
    inotify.wake(); // spurious: there is nothing, it waits on
    CHECK(loop.run_once(10000) && !coroutine.done());
    inotify.close();
    auto waiting = std::exchange(loop.waiting, {});
    waiting.at(0).second.resume();
    CHECK_THROWS(std::system_error, coroutine.result()) { CHECK(thrown.code() == std::errc::invalid_argument); }
}

#endif
