/*
 * libasyncinotify for C++17 and later: one header over asyncinotify.h, nothing to link besides the library itself.
 *
 * EXAMPLE
 *
 *     #include <asyncinotify.hpp>
 *     #include <iostream>
 *
 *     int main()
 *     {
 *         asyncinotify::inotify inotify;
 *         auto tree = inotify.add_recursive(".", asyncinotify::mask::create | asyncinotify::mask::close_write);
 *         inotify.set_sync_timeout(asyncinotify::infinite);
 *         inotify.run([](const asyncinotify::event &event) {
 *             std::cout << to_string(event.mask()) << ' ' << event.path() << std::endl;
 *         });
 *     }
 *
 *     c++ -std=c++17 watch.cpp $(pkg-config --cflags --libs asyncinotify)
 *
 * NAMES
 *   `asyncinotify` is the type of the C API's handle, so it cannot be a namespace as well, and both headers can be
 *   included in any order. Here it becomes a complete type, and its members are the names of this header:
 *   asyncinotify::inotify, asyncinotify::mask::create, and so on. What they name is in the namespace asyncinotify_cpp,
 *   for those who want `namespace ain = asyncinotify_cpp;`. What is in asyncinotify_cpp::detail is nobody's business.
 *
 * ERRORS
 *   As in std::filesystem, each function that can fail comes twice: one throws std::system_error, whose what() is the
 *   library's full message (the call, the path, the cause, the limit to raise); the other takes a std::error_code & as
 *   its last parameter, sets it (or clears it) and throws nothing of its own. Codes are positive errnos in
 *   asyncinotify::category(), and compare equal to std::errc's: `error == std::errc::no_space_on_device`.
 *   asyncinotify::last_error_message() has the full message for them too. With -fno-exceptions only the second kind
 *   exists. std::bad_alloc can come from both, where a string or a lambda has to be stored.
 *
 * LAMBDAS
 *   A callback takes `const asyncinotify::event &` and returns nothing, or asyncinotify::flow::go_on or ::stop, or an
 *   int (0 goes on, anything else stops, and is what run() returns). What it captured is destroyed exactly once. An
 *   exception that leaves a callback or a filter does not pass through the library: the events not delivered stay
 *   queued, and the exception comes out of the member function of `inotify` that was called. A filter's exception comes
 *   out of the next call instead where otherwise the event that was just taken would be lost, and the directory that it
 *   was asked for is not watched. If the events are being taken by the C functions there is nowhere for it to come out,
 *   and std::terminate() is called.
 *
 * THREADS
 *   As in C: any member function of `inotify` may be called from any thread while another waits, except that moving,
 *   assigning and destroying an object is no different from any other C++ object. One thread at a time takes events;
 *   another gets std::errc::device_or_resource_busy. Callbacks and filters run on the thread that takes events.
 *
 * The functions themselves, with all their errors, are described in asyncinotify.h; here stands what is particular to
 * C++.
 */

#ifndef ASYNCINOTIFY_HPP
#define ASYNCINOTIFY_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "asyncinotify.hpp needs C++17 or later; asyncinotify.h does without"
#endif

#include "asyncinotify.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__cpp_impl_coroutine)
#include <coroutine>
/** Defined where the compiler has C++20's coroutines: then there are inotify::next() and inotify::readable(). */
#define ASYNCINOTIFY_HPP_COROUTINES 1
#endif

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
/** Defined where the functions that throw exist. */
#define ASYNCINOTIFY_HPP_EXCEPTIONS 1
/* Object files with exceptions and without may be linked into one program. Whatever calls lambdas is another thing in
 * each, and has another name for the linker. */
#define ASYNCINOTIFY_HPP_VARIANT throwing
#else
#define ASYNCINOTIFY_HPP_VARIANT not_throwing
#endif

namespace asyncinotify_cpp {

/* ==============================================================================================
 * MASKS AND FLAGS
 *
 * Scoped enumerations with the operators | & ^ ~ and their assignments. Each enumerator has the value of the macro of
 * the same name in asyncinotify.h, and with that of the kernel's IN_*.
 */

/** What a watch is asked to report, and what an event reports. `delete_` has its underscore because of the keyword. */
enum class mask : std::uint32_t {
    none = 0,
    access = ASYNCINOTIFY_ACCESS,
    modify = ASYNCINOTIFY_MODIFY,
    attrib = ASYNCINOTIFY_ATTRIB,
    close_write = ASYNCINOTIFY_CLOSE_WRITE,
    close_nowrite = ASYNCINOTIFY_CLOSE_NOWRITE,
    open = ASYNCINOTIFY_OPEN,
    moved_from = ASYNCINOTIFY_MOVED_FROM,
    moved_to = ASYNCINOTIFY_MOVED_TO,
    create = ASYNCINOTIFY_CREATE,
    delete_ = ASYNCINOTIFY_DELETE,
    delete_self = ASYNCINOTIFY_DELETE_SELF,
    move_self = ASYNCINOTIFY_MOVE_SELF,
    /** close_write | close_nowrite */
    close = ASYNCINOTIFY_CLOSE,
    /** moved_from | moved_to */
    move = ASYNCINOTIFY_MOVE,
    /** The twelve event bits; none of what follows. */
    all = ASYNCINOTIFY_ALL,

    /* in events only */
    unmount = ASYNCINOTIFY_UNMOUNT,
    q_overflow = ASYNCINOTIFY_Q_OVERFLOW,
    ignored = ASYNCINOTIFY_IGNORED,
    isdir = ASYNCINOTIFY_ISDIR,

    /* when adding a watch */
    onlydir = ASYNCINOTIFY_ONLYDIR,
    dont_follow = ASYNCINOTIFY_DONT_FOLLOW,
    excl_unlink = ASYNCINOTIFY_EXCL_UNLINK,
    mask_create = ASYNCINOTIFY_MASK_CREATE,
    mask_add = ASYNCINOTIFY_MASK_ADD,
    oneshot = ASYNCINOTIFY_ONESHOT,
};

/** How an instance is opened. Without nonblock, sync_get() and run() wait for ever while no time-out is set. */
enum class init_flags : std::uint32_t {
    none = 0,
    cloexec = ASYNCINOTIFY_INIT_CLOEXEC,
    nonblock = ASYNCINOTIFY_INIT_NONBLOCK,
    defaults = ASYNCINOTIFY_INIT_DEFAULT,
};

/** What an event is besides its mask. */
enum class event_flags : std::uint32_t {
    none = 0,
    synthetic = ASYNCINOTIFY_EVENT_SYNTHETIC,
    sync_begin = ASYNCINOTIFY_EVENT_SYNC_BEGIN,
    sync_end = ASYNCINOTIFY_EVENT_SYNC_END,
    error = ASYNCINOTIFY_EVENT_ERROR,
    healed = ASYNCINOTIFY_EVENT_HEALED,
};

/** How a recursive watch is set up. */
enum class recursive_flags : std::uint32_t {
    none = 0,
    list_existing = ASYNCINOTIFY_RECURSIVE_LIST_EXISTING,
    background = ASYNCINOTIFY_RECURSIVE_BACKGROUND,
    one_filesystem = ASYNCINOTIFY_RECURSIVE_ONE_FILESYSTEM,
};

/** What a callback may return: whether the call that delivers the events goes on with the next one. */
enum class flow { go_on = 0, stop = 1 };

/** A watch's number: never used twice in the life of a process, so it can be kept, compared and hashed for ever. */
enum class watch_id : asyncinotify_watch { none = 0 };

namespace detail {

template <class Enum>
inline constexpr bool is_flags = false;
template <>
inline constexpr bool is_flags<mask> = true;
template <>
inline constexpr bool is_flags<init_flags> = true;
template <>
inline constexpr bool is_flags<event_flags> = true;
template <>
inline constexpr bool is_flags<recursive_flags> = true;

template <class Enum>
using if_flags = std::enable_if_t<is_flags<Enum>, Enum>;

} // namespace detail

/** The bits as a number, for the C API and for switch. */
template <class Enum, class = detail::if_flags<Enum>>
constexpr std::uint32_t bits(Enum flags) noexcept
{
    return static_cast<std::uint32_t>(flags);
}

template <class Enum>
constexpr detail::if_flags<Enum> operator|(Enum a, Enum b) noexcept
{
    return static_cast<Enum>(bits(a) | bits(b));
}

template <class Enum>
constexpr detail::if_flags<Enum> operator&(Enum a, Enum b) noexcept
{
    return static_cast<Enum>(bits(a) & bits(b));
}

template <class Enum>
constexpr detail::if_flags<Enum> operator^(Enum a, Enum b) noexcept
{
    return static_cast<Enum>(bits(a) ^ bits(b));
}

template <class Enum>
constexpr detail::if_flags<Enum> operator~(Enum a) noexcept
{
    return static_cast<Enum>(~bits(a));
}

template <class Enum, class = detail::if_flags<Enum>>
constexpr Enum &operator|=(Enum &a, Enum b) noexcept
{
    return a = a | b;
}

template <class Enum, class = detail::if_flags<Enum>>
constexpr Enum &operator&=(Enum &a, Enum b) noexcept
{
    return a = a & b;
}

template <class Enum, class = detail::if_flags<Enum>>
constexpr Enum &operator^=(Enum &a, Enum b) noexcept
{
    return a = a ^ b;
}

/** Whether there is any bit: `if (any(event.mask() & mask::move))`. */
template <class Enum, class = detail::if_flags<Enum>>
constexpr bool any(Enum flags) noexcept
{
    return bits(flags) != 0;
}

/** "CREATE|ISDIR" */
inline std::string to_string(mask value)
{
    char text[320]; // enough for any mask, says asyncinotify_mask_format()
    int length = asyncinotify_mask_format(bits(value), text, sizeof text);
    return std::string(text, length > 0 ? static_cast<std::size_t>(length) : 0);
}

/* ==============================================================================================
 * ERRORS
 */

namespace detail {

class error_category final : public std::error_category {
public:
    const char *name() const noexcept override { return "asyncinotify"; }

    std::string message(int error) const override { return asyncinotify_strerror(error); }

    /** An errno is an errno: this is what makes a code equal to std::errc's. */
    std::error_condition default_error_condition(int error) const noexcept override
    {
        return std::error_condition(error, std::generic_category());
    }
};

} // namespace detail

/** The category of all error codes of this library; the values in it are positive errnos. */
inline const std::error_category &category() noexcept
{
    static const detail::error_category instance;
    return instance;
}

/** What a function of the C API returned, as an error code: no error for 0 and for counts. */
inline std::error_code to_error_code(std::intptr_t result) noexcept
{
    return std::error_code(result < 0 ? static_cast<int>(-result) : 0, category());
}

/** This thread's last failure in full; valid until its next one. A call that succeeds leaves it as it is. */
inline const char *last_error_message() noexcept
{
    return asyncinotify_last_error_message();
}

namespace detail {

/** Errors that are seen here and never get as far as the library. */
inline constexpr const char *nul_in_path = "the path has a NUL byte in it";
inline constexpr const char *negative_timeout = "the time-out is negative";

inline std::error_code invalid_argument() noexcept
{
    return std::error_code(EINVAL, category());
}

inline namespace ASYNCINOTIFY_HPP_VARIANT {
#if defined(ASYNCINOTIFY_HPP_EXCEPTIONS)

inline void check(const std::error_code &error)
{
    if (error)
        throw std::system_error(error, asyncinotify_last_error_message());
}

/** A function that throws, made of the one that takes an error code. */
template <class Call>
auto or_throw(Call call)
{
    std::error_code error;
    if constexpr (std::is_void_v<decltype(call(error))>) {
        call(error);
        check(error);
    } else {
        auto result = call(error);
        check(error);
        return result;
    }
}

[[noreturn]] inline void throw_invalid(const char *message)
{
    throw std::system_error(invalid_argument(), message);
}

/** Exceptions of filters that wait for the next call, by instance. There is hardly ever one. */
class postponed_exceptions {
public:
    static void put(asyncinotify *self, std::exception_ptr exception)
    {
        std::lock_guard<std::mutex> lock(mutex);
        list.emplace_back(self, std::move(exception));
        count = list.size();
    }

    static void rethrow(asyncinotify *self)
    {
        if (count.load(std::memory_order_acquire) == 0)
            return;
        if (std::exception_ptr exception = take(self))
            std::rethrow_exception(std::move(exception));
    }

    static void forget(asyncinotify *self) noexcept
    {
        if (count.load(std::memory_order_acquire) != 0)
            while (take(self)) {
            }
    }

private:
    static std::exception_ptr take(asyncinotify *self) noexcept
    {
        std::lock_guard<std::mutex> lock(mutex);
        for (auto entry = list.begin(); entry != list.end(); ++entry) {
            if (entry->first == self) {
                std::exception_ptr exception = std::move(entry->second);
                list.erase(entry);
                count = list.size();
                return exception;
            }
        }
        return nullptr;
    }

    inline static std::mutex mutex;
    inline static std::vector<std::pair<asyncinotify *, std::exception_ptr>> list;
    inline static std::atomic<std::size_t> count{0};
};

/** Stands around each call of the library that may run lambdas, and keeps what they throw until it has returned. */
class lambda_scope {
public:
    /** With `gives_up` the first exception makes the whole call void, so that filters need not be asked any more. */
    explicit lambda_scope(asyncinotify *self, bool gives_up = false) noexcept
        : self_(self), gives_up_(gives_up), outer_(innermost)
    {
        innermost = this;
    }

    ~lambda_scope() { innermost = outer_; }

    lambda_scope(const lambda_scope &) = delete;
    lambda_scope &operator=(const lambda_scope &) = delete;

    /** Once, after the call. With an event taken the exception has to wait: throwing would lose the event. */
    void finish(bool event_taken = false)
    {
        if (!exception_)
            return;
        if (event_taken)
            postponed_exceptions::put(self_, std::move(exception_));
        else
            std::rethrow_exception(std::move(exception_));
    }

    /** In a handler for any exception. The first one of a call counts. */
    static void caught() noexcept
    {
        if (!innermost)
            std::terminate(); // the events are being taken by C: nobody could ever get the exception
        if (!innermost->exception_)
            innermost->exception_ = std::current_exception();
    }

    static bool has_caught() noexcept { return innermost && innermost->exception_; }
    static bool has_given_up() noexcept { return has_caught() && innermost->gives_up_; }

private:
    asyncinotify *self_;
    bool gives_up_;
    lambda_scope *outer_;
    std::exception_ptr exception_;

    inline static thread_local lambda_scope *innermost = nullptr;
};

/** Calls `body`; when it throws, the exception is kept for lambda_scope::finish(). */
template <class Body>
int call_lambda(int if_it_throws, Body body) noexcept
{
    try {
        return body();
    } catch (...) {
        lambda_scope::caught();
        return if_it_throws;
    }
}

#else

class lambda_scope {
public:
    explicit lambda_scope(asyncinotify *, bool = false) noexcept {}
    lambda_scope(const lambda_scope &) = delete;
    lambda_scope &operator=(const lambda_scope &) = delete;
    void finish(bool = false) noexcept {}
    static bool has_caught() noexcept { return false; }
    static bool has_given_up() noexcept { return false; }
};

struct postponed_exceptions {
    static void rethrow(asyncinotify *) noexcept {}
    static void forget(asyncinotify *) noexcept {}
};

template <class Body>
int call_lambda(int, Body body) noexcept
{
    return body();
}

#endif
} // namespace ASYNCINOTIFY_HPP_VARIANT

/** A callback's result as C has it. */
template <class Callback, class... Arguments>
int call_for_int(Callback &callback, Arguments &&...arguments)
{
    using result = std::invoke_result_t<Callback &, Arguments...>;
    static_assert(std::is_void_v<result> || std::is_same_v<result, flow> || std::is_same_v<result, int>,
                  "a callback returns void, asyncinotify::flow, or int (0: go on); a bool would say nothing");
    if constexpr (std::is_void_v<result>) {
        callback(std::forward<Arguments>(arguments)...);
        return 0;
    } else {
        return static_cast<int>(callback(std::forward<Arguments>(arguments)...));
    }
}

/** A callback on its way through a `void *`. A function has no address that fits into one, this has. */
template <class Callback>
struct by_reference {
    Callback &callback;
};

} // namespace detail

/* ==============================================================================================
 * PATHS
 */

/**
 * A path as a parameter: a std::filesystem::path, a string literal, a std::string or a std::string_view, any bytes. One
 * with a NUL byte in it is std::errc::invalid_argument. Only ever a parameter; nothing else needs to make one.
 */
class path_arg {
public:
    path_arg(const std::filesystem::path &path) : path_arg(path.native()) {}
    path_arg(const char *path) noexcept : c_str_(path) {}
    path_arg(const std::string &path) noexcept
        : c_str_(path.c_str()), valid_(path.find('\0') == std::string::npos) {}
    path_arg(std::string_view path)
        : copy_(path), c_str_(copy_.c_str()), valid_(path.find('\0') == std::string_view::npos) {}

    path_arg(const path_arg &) = delete;
    path_arg &operator=(const path_arg &) = delete;

    const char *c_str() const noexcept { return c_str_; }
    bool valid() const noexcept { return valid_; }

private:
    std::string copy_;
    const char *c_str_;
    bool valid_ = true;
};

namespace detail {

#if defined(ASYNCINOTIFY_HPP_EXCEPTIONS)
inline void check_path(const path_arg &path)
{
    if (!path.valid())
        throw_invalid(nul_in_path);
}
#endif

} // namespace detail

/* ==============================================================================================
 * EVENTS
 */

/**
 * An event, as a view: a small struct that may be copied, but its strings (name, path, moved_from) belong to the
 * library and live until the next call that takes events from the same instance, or its end; in a callback until it
 * returns, unless it takes events itself. Make an event_copy of what has to live longer.
 *
 * All strings are bytes in no particular encoding, and NUL-terminated: data() of the string_view is a C string. Where
 * there is none the string_view is empty and its data() is nullptr. A std::filesystem::path can be made from each.
 */
class event {
public:
    /** An event of no kind: no watch, no path, mask::none. */
    event() noexcept = default;
    explicit event(const asyncinotify_event &raw) noexcept : raw_(raw) {}

    /** The watch, watch_id::none if there is none: q_overflow, and the ignored after a spent oneshot. */
    watch_id watch() const noexcept { return static_cast<watch_id>(raw_.watch); }

    /** The kernel's watch descriptor, -1 if there is none. */
    int wd() const noexcept { return raw_.wd; }

    /** What has happened: one of the event bits, perhaps with isdir. */
    asyncinotify_cpp::mask mask() const noexcept { return static_cast<asyncinotify_cpp::mask>(raw_.mask); }

    /** Whether any of these bits is in the mask: `event.is(mask::create | mask::moved_to)`. */
    bool is(asyncinotify_cpp::mask bits) const noexcept { return any(mask() & bits); }

    /** Whether any of these flags is set. */
    bool is(event_flags bits) const noexcept { return any(flags() & bits); }

    /** Whether the subject is a directory. */
    bool is_directory() const noexcept { return is(asyncinotify_cpp::mask::isdir); }

    /** The same number in both halves of a rename, otherwise 0. */
    std::uint32_t cookie() const noexcept { return raw_.cookie; }

    event_flags flags() const noexcept { return static_cast<event_flags>(raw_.flags); }

    /** Why a directory can't be watched, with event_flags::error; no error otherwise. */
    std::error_code error() const noexcept { return std::error_code(raw_.error, category()); }

    /** The entry's name in the watched directory; empty if the event is about the watch itself. */
    std::string_view name() const noexcept { return std::string_view(raw_.name, raw_.name_len); }

    /** The full path as it was when the event happened; empty if there is no watch. */
    std::string_view path() const noexcept { return std::string_view(raw_.path, raw_.path_len); }

    /** With moved_to: the full path that it came from, if that is known. */
    std::string_view moved_from() const noexcept { return std::string_view(raw_.moved_from, raw_.moved_from_len); }

    /** The event as the C API has it. `userdata` is this header's own, for a watch that was given a lambda. */
    const asyncinotify_event &native() const noexcept { return raw_; }

private:
    asyncinotify_event raw_ = {0, -1, 0, 0, 0, 0, 0, nullptr, 0, nullptr, 0, nullptr, 0, nullptr, {0, 0, 0, 0}};
};

/**
 * An event with strings of its own, which outlive the watch and the instance. Can be moved, and is an `event` itself.
 */
class event_copy : public event {
public:
    /** No event. */
    event_copy() noexcept = default;

#if defined(ASYNCINOTIFY_HPP_EXCEPTIONS)
    /** Copies an event whose strings are valid. */
    explicit event_copy(const event &original)
    {
        std::error_code error;
        *this = event_copy(original, error);
        detail::check(error);
    }
#endif

    event_copy(const event &original, std::error_code &error) noexcept
    {
        asyncinotify_event *raw = nullptr;
        error = to_error_code(asyncinotify_event_dup(&original.native(), &raw));
        owned_.reset(raw);
        show();
    }

    event_copy(event_copy &&other) noexcept : owned_(std::move(other.owned_))
    {
        show();
        other.show();
    }

    event_copy &operator=(event_copy &&other) noexcept
    {
        owned_ = std::move(other.owned_);
        show();
        other.show();
        return *this;
    }

    /* To copy a copy say so: event_copy(static_cast<const event &>(it)). */
    event_copy(const event_copy &) = delete;
    event_copy &operator=(const event_copy &) = delete;

    /** Whether there is an event: not after it was moved away. */
    explicit operator bool() const noexcept { return owned_ != nullptr; }

private:
    struct free_event {
        void operator()(asyncinotify_event *raw) const noexcept { asyncinotify_event_free(raw); }
    };

    void show() noexcept { event::operator=(owned_ ? event(*owned_) : event()); }

    std::unique_ptr<asyncinotify_event, free_event> owned_;
};

inline namespace ASYNCINOTIFY_HPP_VARIANT {

/**
 * Room for many events, filled by inotify::get_events(): the quickest way to take them, as long as all of them are
 * going to be used. They have been taken whether they are looked at or not. Their strings live until events are taken
 * again.
 */
class event_batch {
public:
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = event;
        using difference_type = std::ptrdiff_t;
        using pointer = const event *;
        using reference = const event &;

        iterator() noexcept = default;
        reference operator*() const noexcept { return current_ = event(*at_); }
        pointer operator->() const noexcept { return &**this; }
        iterator &operator++() noexcept
        {
            ++at_;
            return *this;
        }
        iterator operator++(int) noexcept
        {
            iterator before = *this;
            ++at_;
            return before;
        }
        friend bool operator==(const iterator &a, const iterator &b) noexcept { return a.at_ == b.at_; }
        friend bool operator!=(const iterator &a, const iterator &b) noexcept { return a.at_ != b.at_; }

    private:
        friend class event_batch;
        explicit iterator(const asyncinotify_event *at) noexcept : at_(at) {}

        const asyncinotify_event *at_ = nullptr;
        mutable event current_;
    };

    /** Room for `capacity` events, 120 bytes each. */
    explicit event_batch(std::size_t capacity = 64) : room_(capacity) {}

    std::size_t capacity() const noexcept { return room_.size(); }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    event operator[](std::size_t index) const noexcept { return event(room_[index]); }
    iterator begin() const noexcept { return iterator(room_.data()); }
    iterator end() const noexcept { return iterator(room_.data() + size_); }

private:
    friend class inotify;

    std::vector<asyncinotify_event> room_;
    std::size_t size_ = 0;
};

/* ==============================================================================================
 * WATCHES
 */

class inotify;

} // namespace ASYNCINOTIFY_HPP_VARIANT

namespace detail {
inline namespace ASYNCINOTIFY_HPP_VARIANT {

/** A watch's lambda, whatever its type. */
struct watch_callback {
    virtual ~watch_callback() = default;
    virtual int call(const event &event) = 0;
};

template <class Callback>
struct typed_watch_callback final : watch_callback {
    template <class Argument>
    explicit typed_watch_callback(Argument &&argument) : callback(std::forward<Argument>(argument)) {}
    int call(const event &event) override { return call_for_int(callback, event); }
    Callback callback;
};

/**
 * The place of a watch's lambda. The library holds it as userdata until the watch has ended, the watch's object as long
 * as it lives; the lambda in it dies as soon as one of them says so and it is not running.
 */
class callback_slot {
public:
    /** Puts another lambda into its place; the old one dies with its last call. */
    void put(std::shared_ptr<watch_callback> callback) noexcept
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!ended_)
            callback_.swap(callback); // the old one dies with the parameter, after the lock
    }

    /** The watch has ended: no lambda from here on. */
    void end() noexcept
    {
        std::shared_ptr<watch_callback> callback;
        std::lock_guard<std::mutex> lock(mutex_);
        ended_ = true;
        callback_.swap(callback);
    }

    static int call(asyncinotify *, const asyncinotify_event *raw, void *userdata) noexcept
    {
        std::shared_ptr<watch_callback> callback = (*static_cast<owner *>(userdata))->get();
        if (!callback)
            return 0; // its watch's object is gone: nobody wants to hear of it
        return call_lambda(1, [&] {
            int result = callback->call(event(*raw));
            return lambda_scope::has_caught() ? 1 : result;
        });
    }

    static void destroy(void *userdata) noexcept
    {
        std::unique_ptr<owner> held(static_cast<owner *>(userdata));
        (*held)->end();
    }

    /** What the library's userdata points to. */
    using owner = std::shared_ptr<callback_slot>;

private:
    std::shared_ptr<watch_callback> get() noexcept
    {
        std::lock_guard<std::mutex> lock(mutex_);
        return callback_;
    }

    std::mutex mutex_;
    std::shared_ptr<watch_callback> callback_;
    bool ended_ = false;
};

/** Filters of a recursive watch, whatever their type. */
struct any_filter {
    virtual ~any_filter() = default;
    virtual bool ask(std::string_view path) = 0;

    static int ask(asyncinotify *, const char *path, std::size_t length, void *userdata) noexcept
    {
        if (lambda_scope::has_given_up())
            return 0;
        auto *filter = static_cast<any_filter *>(userdata);
        return call_lambda(0, [&] { return filter->ask(std::string_view(path, length)) ? 1 : 0; });
    }

    static void destroy(void *userdata) noexcept { delete static_cast<any_filter *>(userdata); }
};

template <class Filter>
struct typed_filter final : any_filter {
    explicit typed_filter(Filter &&filter) : filter_(std::move(filter)) {}
    bool ask(std::string_view path) override { return static_cast<bool>(filter_(path)); }
    Filter filter_;
};

template <class Callback>
using if_callback = std::enable_if_t<std::is_null_pointer_v<std::decay_t<Callback>> ||
                                     std::is_invocable_v<Callback &, const event &>>;

template <class Filter>
using if_filter = std::enable_if_t<std::is_invocable_r_v<bool, Filter &, std::string_view>>;

template <class Callback>
using if_directory_callback = std::enable_if_t<std::is_invocable_v<Callback &, std::string_view>>;

template <class Callback>
using if_trouble_callback = std::enable_if_t<std::is_invocable_v<Callback &, std::string_view, std::error_code>>;

#if defined(ASYNCINOTIFY_HPP_COROUTINES)
template <class Arm>
struct readable_awaiter {
    Arm arm;
    int fd;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) { arm(fd, waiting); }
    void await_resume() const noexcept {}
};
#endif

} // namespace ASYNCINOTIFY_HPP_VARIANT
} // namespace detail

inline namespace ASYNCINOTIFY_HPP_VARIANT {

/**
 * A watch of an instance, not owned: a copyable pair of handle and number. It may outlive both; then its functions fail
 * with std::errc::no_such_file_or_directory, or invalid_argument when the instance is closed.
 */
class watch_ref {
public:
    /** No watch. */
    watch_ref() noexcept = default;
    watch_ref(asyncinotify *instance, watch_id id) noexcept : instance_(instance), id_(id) {}

    /** What its events have as watch(). */
    watch_id id() const noexcept { return id_; }

    /** The instance's handle, for the C API. */
    asyncinotify *native_handle() const noexcept { return instance_; }

    /** Whether it stands for a watch, though perhaps for one that has ended. */
    explicit operator bool() const noexcept { return id_ != watch_id::none; }

    /** Whether it still watches. */
    bool is_active() const noexcept { return asyncinotify_watch_is_active(instance_, number()) == 1; }

    /** The path as it was given when adding, or set since. */
    std::filesystem::path path(std::error_code &error) const
    {
        std::string text;
        for (;;) {
            std::intptr_t length = asyncinotify_watch_path(instance_, number(), text.data(), text.size() + 1);
            error = to_error_code(length);
            if (length < 0)
                return {};
            bool complete = static_cast<std::size_t>(length) <= text.size();
            text.resize(static_cast<std::size_t>(length));
            if (complete)
                return text;
        }
    }

    /** Corrects the path, of later events too, for who knows where the watched thing has moved to. */
    void set_path(const path_arg &path, std::error_code &error) const
    {
        error = path.valid() ? to_error_code(asyncinotify_watch_set_path(instance_, number(), path.c_str()))
                             : detail::invalid_argument();
    }

    /** The mask in force now: the events, oneshot and excl_unlink. */
    asyncinotify_cpp::mask mask(std::error_code &error) const noexcept
    {
        std::uint32_t bits = 0;
        error = to_error_code(asyncinotify_watch_mask(instance_, number(), &bits));
        return static_cast<asyncinotify_cpp::mask>(bits);
    }

    /** The kernel's watch descriptor; -1 on failure. */
    int wd(std::error_code &error) const noexcept
    {
        int result = asyncinotify_watch_wd(instance_, number());
        error = to_error_code(result);
        return result < 0 ? -1 : result;
    }

    /** Ends the watch: what is queued is still delivered, then mask::ignored, to its lambda too if it has one. */
    void remove(std::error_code &error) const noexcept
    {
        error = to_error_code(asyncinotify_rm_watch(instance_, number()));
    }

    /**
     * Of a recursive watch: calls back with each directory that is watched now, parents before their children, as a
     * std::string_view that lives until the callback returns. It returns what callbacks for events do. Returns how
     * many.
     */
    template <class Callback, class = detail::if_directory_callback<Callback>>
    std::size_t each_directory(Callback &&callback, std::error_code &error) const
    {
        detail::by_reference<std::remove_reference_t<Callback>> reference{callback};
        detail::lambda_scope scope(instance_);
        std::intptr_t count = asyncinotify_watch_each_directory(
            instance_, number(),
            [](asyncinotify *, const char *path, std::size_t length, void *userdata) noexcept {
                auto *inner = static_cast<decltype(reference) *>(userdata);
                return detail::call_lambda(
                    1, [&] { return detail::call_for_int(inner->callback, std::string_view(path, length)); });
            },
            &reference);
        scope.finish();
        error = to_error_code(count);
        return count < 0 ? 0 : static_cast<std::size_t>(count);
    }

    /**
     * Of a recursive watch: calls back with each directory that can't be watched now, of which event_flags::error has
     * told and event_flags::healed has not: its path, as a std::string_view that lives until the callback returns, and
     * the std::error_code of the last try. It returns what callbacks for events do. Returns how many.
     */
    template <class Callback, class = detail::if_trouble_callback<Callback>>
    std::size_t each_trouble(Callback &&callback, std::error_code &error) const
    {
        detail::by_reference<std::remove_reference_t<Callback>> reference{callback};
        detail::lambda_scope scope(instance_);
        std::intptr_t count = asyncinotify_watch_each_trouble(
            instance_, number(),
            [](asyncinotify *, const char *path, std::size_t length, int why, void *userdata) noexcept {
                auto *inner = static_cast<decltype(reference) *>(userdata);
                return detail::call_lambda(1, [&] {
                    return detail::call_for_int(inner->callback, std::string_view(path, length),
                                                std::error_code(why, category()));
                });
            },
            &reference);
        scope.finish();
        error = to_error_code(count);
        return count < 0 ? 0 : static_cast<std::size_t>(count);
    }

#if defined(ASYNCINOTIFY_HPP_EXCEPTIONS)
    /* The same, throwing. */
    std::filesystem::path path() const
    {
        return detail::or_throw([&](auto &error) { return path(error); });
    }
    void set_path(const path_arg &path) const
    {
        detail::check_path(path);
        detail::or_throw([&](auto &error) { set_path(path, error); });
    }
    asyncinotify_cpp::mask mask() const
    {
        return detail::or_throw([&](auto &error) { return mask(error); });
    }
    int wd() const
    {
        return detail::or_throw([&](auto &error) { return wd(error); });
    }
    void remove() const
    {
        detail::or_throw([&](auto &error) { remove(error); });
    }
    template <class Callback, class = detail::if_directory_callback<Callback>>
    std::size_t each_directory(Callback &&callback) const
    {
        return detail::or_throw([&](auto &error) { return each_directory(callback, error); });
    }
    template <class Callback, class = detail::if_trouble_callback<Callback>>
    std::size_t each_trouble(Callback &&callback) const
    {
        return detail::or_throw([&](auto &error) { return each_trouble(callback, error); });
    }
#endif

    friend bool operator==(const watch_ref &a, const watch_ref &b) noexcept
    {
        return a.instance_ == b.instance_ && a.id_ == b.id_;
    }
    friend bool operator!=(const watch_ref &a, const watch_ref &b) noexcept { return !(a == b); }

protected:
    asyncinotify_watch number() const noexcept { return static_cast<asyncinotify_watch>(id_); }

private:
    asyncinotify *instance_ = nullptr;
    watch_id id_ = watch_id::none;
};

/**
 * A watch that is owned: it ends with this object, with release() it goes on without one. It may outlive its instance.
 *
 * Two of these for one inode are one watch (see asyncinotify_add_watch()), and the first of them to go ends it:
 * mask::mask_create makes the second add_watch() an error.
 */
class [[nodiscard]] watch : public watch_ref {
public:
    /** No watch. */
    watch() noexcept = default;
    /** Takes over a watch that was added through the C API, or released. */
    explicit watch(watch_ref other) noexcept : watch_ref(other) {}
    watch(watch &&other) noexcept : watch_ref(other.forget()), slot_(std::move(other.slot_)) {}
    watch &operator=(watch &&other) noexcept
    {
        watch moved(std::move(other));
        std::swap(static_cast<watch_ref &>(*this), static_cast<watch_ref &>(moved));
        slot_.swap(moved.slot_);
        return *this;
    }
    watch(const watch &) = delete;
    watch &operator=(const watch &) = delete;
    ~watch() { reset(); }

    /**
     * Ends the watch, if it hasn't ended yet. Its lambda is not called from here on, and what it captured is destroyed
     * now; if it is just running, when it has returned. Without a lambda, events that are queued and mask::ignored
     * still come.
     */
    void reset() noexcept
    {
        std::shared_ptr<detail::callback_slot> slot = std::move(slot_);
        watch_ref ended = forget();
        if (slot)
            slot->put(nullptr);
        if (ended)
            asyncinotify_rm_watch(ended.native_handle(), static_cast<asyncinotify_watch>(ended.id()));
    }

    /**
     * Lets the watch go on without this object, until it ends by itself or the instance is closed; its lambda stays.
     */
    watch_ref release() noexcept
    {
        slot_.reset();
        return forget();
    }

    /**
     * Gives the watch its own callback, which dispatch() and run() call instead of theirs. It may be moved here and
     * need not be copyable. What it captured is destroyed once: when another takes its place, when this object or the
     * watch ends (after the last event), or when the instance is closed; never while it runs, even if it does one of
     * these itself. Takes up the watch's userdata. Events taken in another thread between add_watch() and this go to
     * dispatch()'s callback.
     */
    template <class Callback, class = std::enable_if_t<std::is_invocable_v<std::decay_t<Callback> &, const event &>>>
    void set_callback(Callback &&callback, std::error_code &error)
    {
        using typed = detail::typed_watch_callback<std::decay_t<Callback>>;
        std::shared_ptr<detail::watch_callback> boxed = std::make_shared<typed>(std::forward<Callback>(callback));
        if (!slot_) {
            auto slot = std::make_shared<detail::callback_slot>();
            auto owner = std::make_unique<detail::callback_slot::owner>(slot);
            error = to_error_code(asyncinotify_watch_set_userdata(native_handle(), number(), owner.get(),
                                                                  detail::callback_slot::destroy));
            if (error)
                return;
            owner.release(); // the library has it now
            slot_ = std::move(slot);
        }
        slot_->put(std::move(boxed));
        error = to_error_code(
            asyncinotify_watch_set_callback(native_handle(), number(), detail::callback_slot::call));
        if (error)
            slot_->put(nullptr);
    }

#if defined(ASYNCINOTIFY_HPP_EXCEPTIONS)
    template <class Callback, class = std::enable_if_t<std::is_invocable_v<std::decay_t<Callback> &, const event &>>>
    void set_callback(Callback &&callback)
    {
        detail::or_throw([&](auto &error) { set_callback(std::forward<Callback>(callback), error); });
    }
#endif

    /** Takes the callback away; the watch's events go to dispatch()'s and run()'s again. */
    void clear_callback() noexcept
    {
        if (!slot_)
            return;
        asyncinotify_watch_set_callback(native_handle(), number(), nullptr);
        slot_->put(nullptr);
    }

private:
    watch_ref forget() noexcept { return std::exchange(static_cast<watch_ref &>(*this), watch_ref()); }

    std::shared_ptr<detail::callback_slot> slot_;
};

/**
 * Decides which directories of a tree are watched: anything that can be called with a std::string_view (the directory's
 * full path) and returns whether to watch it. It may be moved here and need not be copyable. Asked once for each
 * directory below the root, inside add_recursive() and inside the calls that take events, never twice at a time.
 */
class directory_filter {
public:
    /** All of them. */
    directory_filter() noexcept = default;
    directory_filter(std::nullptr_t) noexcept {}

    template <class Filter, class = detail::if_filter<std::decay_t<Filter>>,
              class = std::enable_if_t<!std::is_same_v<std::decay_t<Filter>, directory_filter>>>
    directory_filter(Filter &&filter)
        : filter_(std::make_unique<detail::typed_filter<std::decay_t<Filter>>>(
              std::decay_t<Filter>(std::forward<Filter>(filter))))
    {
    }

    explicit operator bool() const noexcept { return filter_ != nullptr; }

private:
    friend class inotify;
    std::unique_ptr<detail::any_filter> filter_;
};

/** Options of add_recursive(). In C++20: `{.flags = recursive_flags::background, .filter = [](auto path) { ... }}` */
struct recursive_options {
    recursive_flags flags = recursive_flags::none;
    /** How many levels are watched: 1 is the root directory alone, 2 its subdirectories too; 0 is no limit. */
    std::uint32_t max_depth = 0;
    /** What it captured is destroyed once: when the tree has ended, or, if adding it failed, with the options. */
    directory_filter filter = {};
};

/* ==============================================================================================
 * INSTANCES
 */

/** For set_sync_timeout(): wait until there is an event, for ever if need be. */
inline constexpr std::chrono::milliseconds infinite{ASYNCINOTIFY_TIMEOUT_INFINITE};

/** The events that are there, one after the other: what inotify::events() returns, for a range-based for. */
class event_range {
public:
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = event;
        using difference_type = std::ptrdiff_t;
        using pointer = const event *;
        using reference = const event &;

        iterator() noexcept = default;
        reference operator*() const noexcept { return range_->current_; }
        pointer operator->() const noexcept { return &range_->current_; }
        iterator &operator++()
        {
            if (!range_->take())
                range_ = nullptr;
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator &a, const iterator &b) noexcept { return a.range_ == b.range_; }
        friend bool operator!=(const iterator &a, const iterator &b) noexcept { return a.range_ != b.range_; }

    private:
        friend class event_range;
        explicit iterator(event_range *range) noexcept : range_(range) {}
        event_range *range_ = nullptr;
    };

    event_range(const event_range &) = delete;
    event_range &operator=(const event_range &) = delete;

    /** Takes the first event. */
    iterator begin() { return iterator(take() ? this : nullptr); }
    iterator end() noexcept { return iterator(); }

private:
    friend class inotify;
    event_range(asyncinotify *instance, std::size_t max, std::error_code *error) noexcept
        : instance_(instance), left_(max), limited_(max != 0), error_(error)
    {
    }

    bool take();

    asyncinotify *instance_;
    std::size_t left_;
    bool limited_;
    std::error_code *error_;
    event current_;
};

/**
 * An instance: its watches, their events, and one descriptor that is readable while there is something to take.
 *
 * Can be moved, which is as cheap as moving a pointer; watches stay with it, as they hold its handle and not its
 * address. A callback may close() or destroy the instance it is called for.
 */
class [[nodiscard]] inotify {
public:
#if defined(ASYNCINOTIFY_HPP_EXCEPTIONS)
    /** Opens an instance. */
    inotify() : inotify(init_flags::defaults) {}
    explicit inotify(init_flags flags)
    {
        std::error_code error;
        open(flags, error);
        detail::check(error);
    }
#endif
    /** Opens an instance; on failure the object is a closed one. */
    explicit inotify(std::error_code &error) noexcept { open(init_flags::defaults, error); }
    inotify(init_flags flags, std::error_code &error) noexcept { open(flags, error); }

    /** A closed one, to be assigned to. */
    inotify(std::nullptr_t) noexcept {}

    /** Takes over a handle of the C API. */
    explicit inotify(asyncinotify *handle) noexcept : handle_(handle) {}

    inotify(inotify &&other) noexcept : handle_(other.release()) {}
    inotify &operator=(inotify &&other) noexcept
    {
        inotify moved(std::move(other));
        moved.handle_ = handle_.exchange(moved.release());
        return *this;
    }
    inotify(const inotify &) = delete;
    inotify &operator=(const inotify &) = delete;
    ~inotify() { close(); }

    /** Closes it. Threads that wait in it get std::errc::operation_canceled. Remove fd() from event loops first. */
    void close() noexcept
    {
        asyncinotify *handle = release();
        if (handle)
            detail::postponed_exceptions::forget(handle);
        asyncinotify_close(handle);
    }

    /** Whether it is open: not when it was moved from, closed, or could not be opened. */
    explicit operator bool() const noexcept { return native_handle() != nullptr; }

    /** The handle, for the C API; stays this object's. */
    asyncinotify *native_handle() const noexcept { return handle_.load(std::memory_order_relaxed); }

    /** Gives the handle away; asyncinotify_close() it. */
    [[nodiscard]] asyncinotify *release() noexcept { return handle_.exchange(nullptr); }

    /**
     * The descriptor for event loops: readable exactly while there is something to take, or a wake is pending. It
     * belongs to the instance: a wrapper that closes what it is given (asio::posix::stream_descriptor) has to release()
     * it before it goes. -1 if this is closed.
     */
    int fd() const noexcept { return std::max(-1, asyncinotify_fd(native_handle())); }

    /** The kernel's inotify descriptor, for those who must have it. -1 if this is closed. */
    int raw_fd() const noexcept { return std::max(-1, asyncinotify_raw_fd(native_handle())); }

    /** Events of full size that one read from the kernel fetches at most; 0 if this is closed. */
    std::size_t cache_size() const noexcept
    {
        std::intptr_t size = asyncinotify_cache_size(native_handle());
        return size < 0 ? 0 : static_cast<std::size_t>(size);
    }

    void set_cache_size(std::size_t events, std::error_code &error) noexcept
    {
        error = to_error_code(asyncinotify_set_cache_size(native_handle(), events));
    }

    /**
     * Writes what the instance knows to `fd`, as text for people: attach it to the report of a fault. It waits where
     * write(2) does.
     */
    void debug_dump(int fd, std::error_code &error) const noexcept
    {
        error = to_error_code(asyncinotify_debug_dump(native_handle(), fd));
    }

    /** How long sync_get() and run() wait: a time, `infinite`, or std::nullopt for no time-out at all (the default). */
    std::optional<std::chrono::milliseconds> sync_timeout() const noexcept
    {
        int timeout = ASYNCINOTIFY_TIMEOUT_DISABLED;
        asyncinotify_sync_timeout(native_handle(), &timeout);
        if (timeout == ASYNCINOTIFY_TIMEOUT_DISABLED)
            return std::nullopt;
        return std::chrono::milliseconds(timeout);
    }

    /**
     * Any std::chrono duration of whole milliseconds is one; what is longer than an int holds, 24 days, is cut to
     * that.
     */
    void set_sync_timeout(std::optional<std::chrono::milliseconds> timeout, std::error_code &error) noexcept
    {
        if (timeout && *timeout != infinite && timeout->count() < 0) {
            error = detail::invalid_argument();
            return;
        }
        int milliseconds = ASYNCINOTIFY_TIMEOUT_DISABLED;
        if (timeout)
            milliseconds = timeout->count() < INT_MAX ? static_cast<int>(timeout->count()) : INT_MAX;
        error = to_error_code(asyncinotify_set_sync_timeout(native_handle(), milliseconds));
    }

    /**
     * Interrupts a wait, or the next one, which then fails with std::errc::interrupted. From any thread, and from a
     * signal handler as long as the object stays where it is. Returns whether there was an instance to wake.
     */
    bool wake() const noexcept { return asyncinotify_wake(native_handle()) == 0; }

    /** Watches a file or directory, for as long as the watch that is returned lives. */
    watch add_watch(const path_arg &path, mask mask, std::error_code &error)
    {
        asyncinotify_watch id = 0;
        error = path.valid() ? to_error_code(asyncinotify_add_watch(native_handle(), path.c_str(), bits(mask), &id))
                             : detail::invalid_argument();
        return watch(error ? watch_ref() : watch_ref(native_handle(), static_cast<watch_id>(id)));
    }

    /** Watches a directory and everything below it, for as long as the watch that is returned lives. */
    watch add_recursive(const path_arg &path, mask mask, recursive_options options, std::error_code &error)
    {
        if (!path.valid()) {
            error = detail::invalid_argument();
            return watch();
        }
        asyncinotify_recursive_options raw = {};
        raw.size = sizeof raw;
        raw.flags = bits(options.flags);
        raw.max_depth = options.max_depth;
        if (options.filter) {
            raw.filter = detail::any_filter::ask;
            raw.filter_userdata = options.filter.filter_.get();
            raw.filter_destroy = detail::any_filter::destroy;
        }
        asyncinotify *handle = native_handle(); // the filter may do away with this object
        asyncinotify_watch id = 0;
        detail::lambda_scope scope(handle, true);
        error = to_error_code(asyncinotify_add_recursive(handle, path.c_str(), bits(mask), &raw, &id));
        if (error) {
            scope.finish();
            return watch();
        }
        options.filter.filter_.release(); // the library has it now
        watch tree(watch_ref(handle, static_cast<watch_id>(id)));
        scope.finish(); // when it throws, the tree goes again
        return tree;
    }
    watch add_recursive(const path_arg &path, mask mask, std::error_code &error)
    {
        return add_recursive(path, mask, recursive_options(), error);
    }

    /** A watch of this instance by its number, an event's say. */
    watch_ref find_watch(watch_id id) const noexcept { return watch_ref(native_handle(), id); }

    /** All watches, plain and recursive, whose last event has not been taken yet. */
    std::vector<watch_ref> watches(std::error_code &error) const
    {
        asyncinotify *handle = native_handle();
        std::vector<asyncinotify_watch> ids;
        for (;;) {
            std::intptr_t count = asyncinotify_watches(handle, ids.data(), ids.size());
            error = to_error_code(count);
            if (count < 0)
                return {};
            bool complete = static_cast<std::size_t>(count) <= ids.size();
            ids.resize(static_cast<std::size_t>(count));
            if (complete)
                break;
        }
        std::vector<watch_ref> result;
        result.reserve(ids.size());
        for (asyncinotify_watch id : ids)
            result.emplace_back(handle, static_cast<watch_id>(id));
        return result;
    }

    /** Takes the next event that is there now; never blocks. std::nullopt: nothing more now. */
    [[nodiscard]] std::optional<event> get(std::error_code &error) { return take(asyncinotify_get, error); }

    /**
     * Takes the next event and waits for it as long as set_sync_timeout() says. std::nullopt: the time is over. A wake
     * and a signal are std::errc::interrupted; nothing there and no time-out set, resource_unavailable_try_again.
     */
    [[nodiscard]] std::optional<event> sync_get(std::error_code &error) { return take(asyncinotify_sync_get, error); }

    /** Fills the batch with what is there, and returns how many that is; 0: nothing more now. Never blocks. */
    std::size_t get_events(event_batch &batch, std::error_code &error)
    {
        asyncinotify *handle = native_handle();
        batch.size_ = 0;
        detail::postponed_exceptions::rethrow(handle);
        detail::lambda_scope scope(handle);
        std::intptr_t count = asyncinotify_get_events(handle, batch.room_.data(), batch.room_.size());
        scope.finish(count > 0);
        error = to_error_code(count);
        return batch.size_ = count < 0 ? 0 : static_cast<std::size_t>(count);
    }

    /**
     * `for (auto &event : inotify.events(error))`: the events that are there, at most `max` of them if it is not 0.
     * Each is taken when the loop comes to it, so leaving the loop loses nothing; its strings live until the loop takes
     * the next one, and no other call may take events in between. An error ends the loop.
     */
    event_range events(std::size_t max, std::error_code &error) noexcept
    {
        error.clear();
        return event_range(native_handle(), max, &error);
    }
    event_range events(std::error_code &error) noexcept { return events(0, error); }

    /**
     * Calls back for the events that are there, at most `max` of them if it is not 0: a watch's own callback if it has
     * one, else `callback`, which may be nullptr: then such events are dropped. It is not copied. Returns how many were
     * delivered.
     */
    template <class Callback, class = detail::if_callback<Callback>>
    std::size_t dispatch(Callback &&callback, std::size_t max, std::error_code &error)
    {
        detail::by_reference<std::remove_reference_t<Callback>> reference{callback};
        asyncinotify *handle = native_handle();
        detail::postponed_exceptions::rethrow(handle);
        detail::lambda_scope scope(handle);
        std::intptr_t count = asyncinotify_dispatch(handle, max, trampoline<Callback>(), &reference);
        // From here on this object may be gone: a callback may have done away with it.
        scope.finish();
        error = to_error_code(count);
        return count < 0 ? 0 : static_cast<std::size_t>(count);
    }
    template <class Callback, class = detail::if_callback<Callback>>
    std::size_t dispatch(Callback &&callback, std::error_code &error)
    {
        return dispatch(callback, 0, error);
    }

    /**
     * Waits for events and calls back for them, as dispatch() does. Returns 0 when none came for as long as
     * set_sync_timeout() says, or what a callback returned to stop it. The errors are those of sync_get(), and
     * operation_canceled when a callback or another thread closed the instance.
     */
    template <class Callback, class = detail::if_callback<Callback>>
    int run(Callback &&callback, std::error_code &error)
    {
        detail::by_reference<std::remove_reference_t<Callback>> reference{callback};
        asyncinotify *handle = native_handle();
        detail::postponed_exceptions::rethrow(handle);
        detail::lambda_scope scope(handle);
        int returned = asyncinotify_run(handle, trampoline<Callback>(), &reference);
        scope.finish();
        error = to_error_code(returned);
        return returned;
    }

#if defined(ASYNCINOTIFY_HPP_EXCEPTIONS)
    /* The same, throwing. */
    void set_cache_size(std::size_t events)
    {
        detail::or_throw([&](auto &error) { set_cache_size(events, error); });
    }
    void debug_dump(int fd) const
    {
        detail::or_throw([&](auto &error) { debug_dump(fd, error); });
    }
    void set_sync_timeout(std::optional<std::chrono::milliseconds> timeout)
    {
        if (timeout && *timeout != infinite && timeout->count() < 0)
            detail::throw_invalid(detail::negative_timeout);
        detail::or_throw([&](auto &error) { set_sync_timeout(timeout, error); });
    }
    watch add_watch(const path_arg &path, mask mask)
    {
        detail::check_path(path);
        return detail::or_throw([&](auto &error) { return add_watch(path, mask, error); });
    }
    watch add_recursive(const path_arg &path, mask mask, recursive_options options = {})
    {
        detail::check_path(path);
        return detail::or_throw([&](auto &error) { return add_recursive(path, mask, std::move(options), error); });
    }
    std::vector<watch_ref> watches() const
    {
        return detail::or_throw([&](auto &error) { return watches(error); });
    }
    [[nodiscard]] std::optional<event> get()
    {
        return detail::or_throw([&](auto &error) { return get(error); });
    }
    [[nodiscard]] std::optional<event> sync_get()
    {
        return detail::or_throw([&](auto &error) { return sync_get(error); });
    }
    std::size_t get_events(event_batch &batch)
    {
        return detail::or_throw([&](auto &error) { return get_events(batch, error); });
    }
    event_range events(std::size_t max = 0) noexcept { return event_range(native_handle(), max, nullptr); }
    template <class Callback, class = detail::if_callback<Callback>>
    std::size_t dispatch(Callback &&callback, std::size_t max = 0)
    {
        return detail::or_throw([&](auto &error) { return dispatch(callback, max, error); });
    }
    /** Watches' own callbacks; other events are dropped. */
    std::size_t dispatch() { return dispatch(nullptr); }
    template <class Callback, class = detail::if_callback<Callback>>
    int run(Callback &&callback)
    {
        return detail::or_throw([&](auto &error) { return run(callback, error); });
    }
#endif

#if defined(ASYNCINOTIFY_HPP_COROUTINES)
    /**
     * In any coroutine, with any event loop: `co_await inotify.readable(arm)`. `arm(fd, handle)` is called with the
     * descriptor and the waiting coroutine, and asks the loop to call handle.resume() once the descriptor is readable;
     * not before it returns. There may be no event after all: take what there is with events(), and wait again.
     */
    template <class Arm>
    auto readable(Arm arm) const
    {
        return detail::readable_awaiter<Arm>{std::move(arm), fd()};
    }

#if defined(ASYNCINOTIFY_HPP_EXCEPTIONS)
    /**
     * The next event, in the coroutines of a library that has an awaitable type of its own and a way to wait for a
     * descriptor:
     *
     *     asio::posix::stream_descriptor readable(executor, inotify.fd());
     *     auto wait = [&] { return readable.async_wait(readable.wait_read, asio::use_awaitable); };
     *     auto event = co_await inotify.next<asio::awaitable>(wait);
     *     ...
     *     readable.release(); // before it would close what is not its own
     *
     * The instance has to stay where it is meanwhile.
     */
    template <template <class...> class Awaitable, class Wait>
    Awaitable<event> next(Wait wait)
    {
        for (;;) {
            if (std::optional<event> event = get())
                co_return *event;
            co_await wait();
        }
    }
#endif
#endif

private:
    friend class event_range;

    void open(init_flags flags, std::error_code &error) noexcept
    {
        asyncinotify *handle = nullptr;
        error = to_error_code(asyncinotify_new(bits(flags), &handle));
        handle_ = handle;
    }

    std::optional<event> take(int (*how)(asyncinotify *, asyncinotify_event *), std::error_code &error)
    {
        return take_from(native_handle(), how, error);
    }

    static std::optional<event> take_from(asyncinotify *handle, int (*how)(asyncinotify *, asyncinotify_event *),
                                          std::error_code &error)
    {
        asyncinotify_event raw;
        detail::postponed_exceptions::rethrow(handle);
        detail::lambda_scope scope(handle);
        int taken = how(handle, &raw);
        scope.finish(taken > 0);
        error = to_error_code(taken);
        if (taken <= 0)
            return std::nullopt;
        return event(raw);
    }

    template <class Callback>
    static asyncinotify_callback trampoline() noexcept
    {
        if constexpr (std::is_null_pointer_v<std::decay_t<Callback>>) {
            return nullptr;
        } else {
            return [](asyncinotify *, const asyncinotify_event *raw, void *userdata) noexcept {
                auto *reference = static_cast<detail::by_reference<std::remove_reference_t<Callback>> *>(userdata);
                return detail::call_lambda(1, [&] {
                    int result = detail::call_for_int(reference->callback, event(*raw));
                    return detail::lambda_scope::has_caught() ? 1 : result;
                });
            };
        }
    }

    /* close() may be called while another thread waits, and looks at this. */
    std::atomic<asyncinotify *> handle_{nullptr};
};

inline bool event_range::take()
{
    if (limited_ && left_ == 0)
        return false;
    // The last one as a batch of one: then an edge-triggered waiter hears of what is left.
    auto last = [](asyncinotify *handle, asyncinotify_event *raw) {
        return static_cast<int>(asyncinotify_get_events(handle, raw, 1));
    };
    std::error_code error;
    std::optional<event> next = inotify::take_from(instance_, limited_ && left_ == 1 ? +last : asyncinotify_get, error);
    if (limited_)
        --left_;
    if (next)
        current_ = *next;
    if (error_)
        *error_ = error;
#if defined(ASYNCINOTIFY_HPP_EXCEPTIONS)
    else
        detail::check(error);
#endif
    return next.has_value();
}

} // namespace ASYNCINOTIFY_HPP_VARIANT
} // namespace asyncinotify_cpp

/** The C API's handle, and the names of this header: see the top of this file. */
struct asyncinotify {
    using mask = asyncinotify_cpp::mask;
    using init_flags = asyncinotify_cpp::init_flags;
    using event_flags = asyncinotify_cpp::event_flags;
    using recursive_flags = asyncinotify_cpp::recursive_flags;
    using flow = asyncinotify_cpp::flow;

    using inotify = asyncinotify_cpp::inotify;
    using event = asyncinotify_cpp::event;
    using event_copy = asyncinotify_cpp::event_copy;
    using event_batch = asyncinotify_cpp::event_batch;
    using event_range = asyncinotify_cpp::event_range;
    using watch = asyncinotify_cpp::watch;
    using watch_ref = asyncinotify_cpp::watch_ref;
    using watch_id = asyncinotify_cpp::watch_id;
    using recursive_options = asyncinotify_cpp::recursive_options;
    using directory_filter = asyncinotify_cpp::directory_filter;

    static constexpr std::chrono::milliseconds infinite = asyncinotify_cpp::infinite;

    static const std::error_category &category() noexcept { return asyncinotify_cpp::category(); }
    static std::error_code to_error_code(std::intptr_t result) noexcept
    {
        return asyncinotify_cpp::to_error_code(result);
    }
    static const char *last_error_message() noexcept { return asyncinotify_cpp::last_error_message(); }

    /* There are no objects of this type: a handle is a token of the library. */
    asyncinotify() = delete;
    ~asyncinotify() = delete;
};

#endif /* ASYNCINOTIFY_HPP */
