/* What the header allows several threads at a time. Built under the thread sanitizer, too: what is in the header itself must be free
 * of data races; the library behind it is looked at by its own tests. */
#include "harness.hpp"

#include <atomic>
#include <fstream>
#include <thread>

/* An instance that watches the working directory, and a thread that runs it until it is closed. */
struct running {
    ain::inotify inotify;
    std::atomic<bool> in_it{false}; /* true once events come; orders nothing else between the threads */
    std::error_code error;
    std::thread consumer;

    running()
    {
        inotify.set_sync_timeout(ain::infinite);
        inotify.add_watch(".", ain_mask::create).release();
        consumer = std::thread([this] {
            inotify.run([this](const ain::event &) { in_it.store(true, std::memory_order_relaxed); }, error);
        });
        /* Until the other thread has had an event. */
        for (int i = 0; !in_it.load(std::memory_order_relaxed); i++) {
            std::ofstream("file" + std::to_string(i));
            std::this_thread::yield();
        }
    }

    void was_closed()
    {
        consumer.join();
        CHECK(error == std::errc::operation_canceled);
    }
};

TEST(close_ends_a_run_of_another_thread)
{
    running thread;
    ain::inotify &inotify = thread.inotify;
    inotify.close();
    thread.was_closed();
    CHECK(!inotify);
}

TEST(any_call_may_be_made_while_another_thread_runs)
{
    running thread;
    ain::inotify &inotify = thread.inotify;
    fs::create_directory("d");
    for (int i = 0; i < 50; i++) {
        auto watch = inotify.add_watch("d", ain_mask::open);
        CHECK_EQUAL(inotify.watches().size(), std::size_t(2));
        CHECK(inotify.find_watch(watch.id()).is_active());
        CHECK(inotify.fd() >= 0 && inotify.cache_size() > 0 && inotify.native_handle());
        watch.remove();
        while (inotify.watches().size() > 1)
            std::this_thread::yield(); // until its end was taken
    }
    inotify.close();
    inotify.close();
    CHECK_EQUAL(inotify.fd(), -1);
    thread.was_closed();
}
