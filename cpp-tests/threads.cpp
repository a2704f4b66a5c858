/* What the header allows several threads at a time. Built under the thread sanitizer, too: what is in the header itself must be free
 * of data races; the library behind it is looked at by its own tests. */
#include "harness.hpp"

#include <atomic>
#include <fstream>
#include <thread>

/* Runs until another thread closes the instance; `in_it` is true once events come, and orders nothing else between the threads. */
static std::error_code run_until_closed(ain::inotify &inotify, std::atomic<bool> &in_it)
{
    std::error_code error;
    inotify.run([&](const ain::event &) { in_it.store(true, std::memory_order_relaxed); }, error);
    return error;
}

/* Makes events until the other thread has had one. */
static void make_files_until(std::atomic<bool> &in_it)
{
    for (int i = 0; !in_it.load(std::memory_order_relaxed); i++) {
        std::ofstream("file" + std::to_string(i));
        std::this_thread::yield();
    }
}

TEST(close_ends_a_run_of_another_thread)
{
    ain::inotify inotify;
    inotify.set_sync_timeout(ain::infinite);
    inotify.add_watch(".", ain_mask::create).release();
    std::atomic<bool> in_it{false};
    std::error_code error;
    std::thread consumer([&] { error = run_until_closed(inotify, in_it); });
    make_files_until(in_it);
    inotify.close();
    consumer.join();
    CHECK(error == std::errc::operation_canceled);
    CHECK(!inotify);
}

TEST(any_call_may_be_made_while_another_thread_runs)
{
    ain::inotify inotify;
    inotify.set_sync_timeout(ain::infinite);
    inotify.add_watch(".", ain_mask::create).release();
    std::atomic<bool> in_it{false};
    std::error_code error;
    std::thread consumer([&] { error = run_until_closed(inotify, in_it); });
    make_files_until(in_it);
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
    consumer.join();
    CHECK(error == std::errc::operation_canceled);
}
