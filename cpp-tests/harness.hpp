/* A small harness. Each TEST runs in a process and in an empty directory of its own, which is its working directory; a
 * CHECK that fails ends it. Afterwards no kernel watch may be left behind, and under a sanitizer no memory. */
#ifndef HARNESS_HPP
#define HARNESS_HPP

#include <asyncinotify.hpp>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

namespace fs = std::filesystem;

using ain = asyncinotify; // the names are members of a type, so this is how they are shortened
using ain_mask = asyncinotify::mask;

void register_test(const char *file, const char *name, void (*run)());
[[noreturn]] void fail(const char *file, int line, const std::string &what);

#define TEST(name)                                                                                                    \
    static void name();                                                                                               \
    [[maybe_unused]] static const bool registered_##name = (register_test(__FILE__, #name, name), true);              \
    static void name()

#define CHECK(condition) ((condition) ? (void)0 : fail(__FILE__, __LINE__, "not true: " #condition))
#define CHECK_EQUAL(actual, expected) check_equal(__FILE__, __LINE__, #actual, (actual), (expected))

/* The statement must throw this type; in the block that follows it is called `thrown`. */
#define CHECK_THROWS(type, statement)                                                                                 \
    try {                                                                                                             \
        statement;                                                                                                    \
        fail(__FILE__, __LINE__, "did not throw: " #statement);                                                       \
    } catch (const type &thrown)

template <class Value>
std::string shown(const Value &value)
{
    std::ostringstream out;
    if constexpr (std::is_enum_v<Value>)
        out << std::hex << "0x" << static_cast<std::uint64_t>(value);
    else
        out << value;
    return out.str();
}

inline std::string shown(const std::vector<std::string> &lines)
{
    std::string text;
    for (const std::string &line : lines)
        text += "\n      " + line;
    return text;
}

template <class Actual, class Expected>
void check_equal(const char *file, int line, const char *what, const Actual &actual, const Expected &expected)
{
    if (!(actual == expected))
        fail(file, line, std::string(what) + " is " + shown(actual) + ", not " + shown(expected));
}

using lines = std::vector<std::string>;

/* ---- files: all of them fail the test when they fail ---- */
void make_entry(const fs::path &path); /* an empty file without opening it: CREATE and nothing else */
void write_file(const fs::path &path); /* CREATE, OPEN, MODIFY, CLOSE_WRITE */
void make_dir(const fs::path &path);
void remove_entry(const fs::path &path);

/* ---- events ---- */
bool readable(const ain::inotify &inotify); /* poll(2), time-out 0 */
void wait_readable(const ain::inotify &inotify); /* fails the test after ten seconds */
std::string text(const ain::event &event); /* "CREATE d/a", "MOVED_TO d/b <- d/a", "SYNTHETIC CREATE d/a" */
lines drain(ain::inotify &inotify); /* all that is there now */
ain::inotify open_instance();

/* Counts how many of it there are: what a lambda captures. Can be moved and not copied. */
class counted {
public:
    counted() { ++alive; }
    counted(counted &&other) noexcept : counts_(std::exchange(other.counts_, false)) {}
    counted(const counted &) = delete;
    counted &operator=(const counted &) = delete;
    counted &operator=(counted &&) = delete;
    ~counted()
    {
        if (counts_) {
            --alive;
            ++destroyed;
        }
    }
    static inline int alive = 0, destroyed = 0;

private:
    bool counts_ = true;
};

#endif
