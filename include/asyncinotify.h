/*
 * libasyncinotify: inotify(7) for C, C++ and every event loop.
 *
 * An instance watches files, directories and whole trees, and hands out events with full paths. It has one pollable file
 * descriptor, `asyncinotify_fd()`, for poll(2), select(2), epoll(7), io_uring and every event loop built on them; or it
 * waits by itself with `asyncinotify_sync_get()` and `asyncinotify_run()`. Nothing runs in the background: no thread, no
 * signal handler. A timer is set only while a directory of a tree could not be watched for want of room.
 *
 * EXAMPLE
 *
 *     #include <asyncinotify.h>
 *     #include <stdio.h>
 *
 *     static int print(asyncinotify *self, const asyncinotify_event *event, void *userdata)
 *     {
 *         char mask[128];
 *         (void)self, (void)userdata;
 *         asyncinotify_mask_format(event->mask, mask, sizeof mask);
 *         return printf("%s %s\n", mask, event->path ? event->path : "-") < 0;
 *     }
 *
 *     int main(void)
 *     {
 *         asyncinotify *self = NULL;
 *         if (asyncinotify_new(ASYNCINOTIFY_INIT_CLOEXEC, &self) < 0 ||
 *             asyncinotify_add_watch(self, ".", ASYNCINOTIFY_ALL, NULL) < 0 ||
 *             asyncinotify_run(self, print, NULL) < 0)
 *             fprintf(stderr, "%s\n", asyncinotify_last_error_message());
 *         asyncinotify_close(self);
 *         return 1;
 *     }
 *
 *     cc watch.c $(pkg-config --cflags --libs asyncinotify)
 *
 * ERRORS
 *   A function that can fail returns an int, or an intptr_t where it counts: 0 or a count for success, a negative errno
 *   for failure. asyncinotify_strerror() has a text for each, asyncinotify_last_error_message() the whole story. errno
 *   itself means nothing after a call. NULL and nonsense are answered with -EINVAL, a stale or foreign watch with
 *   -ENOENT. Three errors are possible everywhere and not always repeated below:
 *     -ECANCELED        another thread closed the handle while the call was under way
 *     -ENOMEM           no memory; see MEMORY
 *     -ENOTRECOVERABLE  a bug in the library; the message has the details, please report it
 *   Output parameters are written on success only.
 *
 * MEMORY
 *   No function ends the process because memory is short. A call that gets none returns -ENOMEM; nothing is lost, and it
 *   may be repeated. A call that takes events may return -ENOMEM with events to come: the pollable descriptor stays
 *   readable then. asyncinotify_close() and asyncinotify_wake() take no memory. Each handle sets some hundred KiB of address
 *   space aside, which is no memory before it is needed; with large trees more. Two things are outside of the library's
 *   hands: the loader ends the process if it has no memory for the thread-local data of a library that was opened with
 *   dlopen(3), at a thread's first call; and the first path of more than 64 KiB that an event tells may be too long for
 *   what is set aside.
 *
 * HANDLES
 *   An `asyncinotify *` is a token that is looked up in each call, not an address: it can't be dereferenced, and NULL, a
 *   closed handle and garbage are recognised and answered with -EINVAL. An `asyncinotify_watch` is a number: 0 is never
 *   one, and none is used twice in the life of a process, over all instances. Both may outlive what they stood for.
 *
 * LIFETIMES
 *   What an event points to (name, path, moved_from) belongs to the library and lives until the next call that takes
 *   events from the handle, or its close; in a callback until it returns, unless it takes events itself.
 *   asyncinotify_event_dup() makes a copy that outlives both. Strings given to the library are copied.
 *
 * THREADS
 *   Any function may be called on a handle from any thread at any time, closing included. One thread at a time takes
 *   events (get, sync_get, get_events, dispatch, run); another that tries gets -EBUSY. Adding and removing watches while
 *   a thread waits works and takes effect at once. Only asyncinotify_wake() may be called from a signal handler. After
 *   fork(2) the child must not use handles opened before it, as the kernel's queue is shared; exec(2) is fine.
 *
 * CALLBACKS
 *   All functions that the program hands over (callback, filter, directory callback, destroy) are called with no lock
 *   held, on the thread whose call caused it. They may call anything on the handle, asyncinotify_close() included. They
 *   must return: no longjmp(3), no C++ exception may leave them.
 */

#ifndef ASYNCINOTIFY_H
#define ASYNCINOTIFY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ==============================================================================================
 * CONVENTIONS
 *
 * Error texts, the version, and a mask as text. See the top of this file for the rules on errors, handles, lifetimes,
 * threads and callbacks.
 */

/** The version of this header; asyncinotify_version() has that of the library that is loaded. */
#define ASYNCINOTIFY_VERSION_MAJOR 0
#define ASYNCINOTIFY_VERSION_MINOR 1
#define ASYNCINOTIFY_VERSION_PATCH 0
/** One number, to be compared with < and >: major << 16 | minor << 8 | patch */
#define ASYNCINOTIFY_VERSION_NUMBER \
    (ASYNCINOTIFY_VERSION_MAJOR << 16 | ASYNCINOTIFY_VERSION_MINOR << 8 | ASYNCINOTIFY_VERSION_PATCH)
#define ASYNCINOTIFY_VERSION_STRING "0.1.0"

/**
 * A short text for an error code of this library.
 *
 * @param error  what a function returned, or that number without its sign
 *
 * @return a text that is never NULL, lives for ever and must not be freed; "Unknown error" for a number that no function
 *   here returns
 *
 * Never blocks, never fails, any thread.
 * Python: the text of OSError.
 */
const char *asyncinotify_strerror(int error);

/**
 * This thread's last failure in full: the function, the path, the cause, and what to do about it. For -ENOSPC and -EMFILE
 * that is the sysctl to raise and its value now.
 *
 * A call that succeeds leaves it as it is, so look at it right after a failure. asyncinotify_wake() never sets it.
 *
 * @return a text that is never NULL, "" when no call on this thread has failed yet; it belongs to the library and lives
 *   until the next failing call on this thread, or the thread's end
 *
 * Never blocks, never fails.
 * Python: str() of the exception.
 */
const char *asyncinotify_last_error_message(void);

/**
 * The version of the library that is loaded, to be compared with ASYNCINOTIFY_VERSION_NUMBER, that of this header.
 *
 * @return major << 16 | minor << 8 | patch
 *
 * Never blocks, never fails, any thread.
 * Python: asyncinotify.__version__
 */
uint32_t asyncinotify_version(void);

/**
 * The version of the library that is loaded, as text: "0.1.0".
 *
 * @return a text that is never NULL, lives for ever and must not be freed
 *
 * Never blocks, never fails, any thread.
 * Python: asyncinotify.__version__
 */
const char *asyncinotify_version_string(void);

/**
 * Writes a mask as its bits' names, "CREATE|ISDIR". Bits without a name follow in hexadecimal, "CREATE|0x100000"; no bit
 * at all is "0".
 *
 * @param mask  any bits
 * @param buf   gets the text, cut off to fit and always NUL-terminated; may be NULL when `size` is 0
 * @param size  room in `buf`, in bytes; 320 is enough for any mask
 *
 * @return as snprintf(3): the length of the whole text without its NUL, so `size` or more says that it was cut off; or
 *   -EINVAL  `buf` is NULL and `size` is not 0
 *
 * Never blocks, any thread.
 * Python: repr() of a Mask
 */
int asyncinotify_mask_format(uint32_t mask,
                             char *buf,
                             size_t size);

/* ==============================================================================================
 * INSTANCE  (Python: Inotify)
 *
 * One kernel inotify instance with its queue, its watches and its pollable descriptor.
 */

/** Set close-on-exec on the descriptors, as IN_CLOEXEC. */
#define ASYNCINOTIFY_INIT_CLOEXEC 0x80000
/**
 * Open the kernel's descriptor non-blocking, as IN_NONBLOCK. Only matters for the calls that can wait, and for those only
 * while the time-out is ASYNCINOTIFY_TIMEOUT_DISABLED.
 */
#define ASYNCINOTIFY_INIT_NONBLOCK 0x800
/** Both of the above, as in Python. */
#define ASYNCINOTIFY_INIT_DEFAULT (ASYNCINOTIFY_INIT_CLOEXEC | ASYNCINOTIFY_INIT_NONBLOCK)

/** Wait until there is an event, for ever if need be. Python: sync_timeout = -1 */
#define ASYNCINOTIFY_TIMEOUT_INFINITE (-1)
/**
 * No time-out, the default: do as read(2) on the descriptor would as it was opened, that is -EAGAIN from a non-blocking
 * instance, waiting for ever on a blocking one. Python: sync_timeout = None
 */
#define ASYNCINOTIFY_TIMEOUT_DISABLED (-2)

/** An open instance. Opaque: a token that the library looks up, not an address. */
typedef struct asyncinotify asyncinotify;

/**
 * Opens an instance.
 *
 * @param init_flags  ASYNCINOTIFY_INIT_* bits, ASYNCINOTIFY_INIT_DEFAULT if in doubt
 * @param out         gets the handle; close it with asyncinotify_close()
 *
 * @return 0; or
 *   -EINVAL  unknown bits in `init_flags`, or `out` is NULL
 *   -EMFILE  this user has as many instances as he may (fs.inotify.max_user_instances, or in a user namespace
 *            user.max_inotify_instances), or the process has too many open files; the message says which
 *   -ENFILE  the system has too many open files, or the process 8 million handles
 *   -ENOMEM  the kernel is out of memory
 *
 * Never blocks, any thread.
 * Python: Inotify()
 */
int asyncinotify_new(uint32_t init_flags,
                     asyncinotify **out);

/**
 * Closes an instance and frees all that belongs to it: descriptors, watches, undelivered events, and userdata by its
 * destroy function.
 *
 * From here on every call with this handle is answered with -EINVAL, a second close included: it does nothing. Threads
 * that are inside a call on it, waiting or not, return from it with -ECANCELED at once; the last of them frees the rest.
 * Destroy functions run inside asyncinotify_close(), or, when a callback of the handle is running (it may be the one that
 * closes), once that callback has returned. Filters' run when no call on the handle is left. Copies made by
 * asyncinotify_event_dup() stay valid, all other events become invalid. Remove the pollable descriptor from event loops
 * first.
 *
 * @param self  handle, or NULL, which does nothing
 *
 * Never blocks, except for the kernel's own time to take away many watches. Any thread.
 * Python: Inotify.close(), leaving its `with` block
 */
void asyncinotify_close(asyncinotify *self);

/**
 * The pollable descriptor, for event loops.
 *
 * Level-triggered and readable (POLLIN) exactly while asyncinotify_get() would return an event, a wake is pending, or a
 * directory that could not be watched is to be tried again (see RECURSIVE WATCHES), after which a call may return 0; not
 * readable otherwise. It works for poll(2), select(2), epoll(7) level- and edge-triggered, and io_uring's poll. Whoever
 * waits edge-triggered takes events until there are none, as epoll(7) says; a bounded call that leaves some
 * (asyncinotify_get_events(), asyncinotify_dispatch()) gives a new edge. Watch it for reading only, and never read from
 * it. It belongs to the library, its number stays the same as long as the handle is open, and it is not the kernel's
 * inotify descriptor.
 *
 * @param self  open handle
 *
 * @return the descriptor; or
 *   -EINVAL  `self` is not an open handle
 *
 * Never blocks, any thread.
 * Python: what Inotify.get() registers with its event loop
 */
int asyncinotify_fd(asyncinotify *self);

/**
 * The kernel's inotify descriptor, for those who must have it (to look at /proc/self/fdinfo, say).
 *
 * Reading from it steals events from the library, and it says nothing of events that the library has read already: wait
 * on asyncinotify_fd() instead. It belongs to the library.
 *
 * @param self  open handle
 *
 * @return the descriptor; or
 *   -EINVAL  `self` is not an open handle
 *
 * Never blocks, any thread.
 * Python: Inotify.fd
 */
int asyncinotify_raw_fd(asyncinotify *self);

/**
 * The most events of full size (16 + NAME_MAX + 1 = 272 bytes) that one read(2) from the kernel fetches. More of them fit
 * when names are shorter, as they always are.
 *
 * @param self  open handle
 *
 * @return that number, 240 by default: one read of 64 KiB; or
 *   -EINVAL  `self` is not an open handle
 *
 * Never blocks, any thread.
 * Python: Inotify.cache_size
 */
intptr_t asyncinotify_cache_size(asyncinotify *self);

/**
 * Sets how much one read fetches, from the next read on.
 *
 * @param self    open handle
 * @param events  number of events of full size (272 bytes each), 1 or more
 *
 * @return 0; or
 *   -EINVAL  `self` is not an open handle, or `events` is 0
 *   -ENOMEM  there is no memory for a buffer of that size
 *
 * Never blocks, any thread.
 * Python: Inotify.cache_size = n
 */
int asyncinotify_set_cache_size(asyncinotify *self, size_t events);

/**
 * How long asyncinotify_sync_get() and asyncinotify_run() wait for an event.
 *
 * @param self  open handle
 * @param out   gets milliseconds, ASYNCINOTIFY_TIMEOUT_INFINITE, or ASYNCINOTIFY_TIMEOUT_DISABLED
 *
 * @return 0; or
 *   -EINVAL  `self` is not an open handle, or `out` is NULL
 *
 * Never blocks, any thread.
 * Python: Inotify.sync_timeout
 */
int asyncinotify_sync_timeout(asyncinotify *self, int *out);

/**
 * Sets how long asyncinotify_sync_get() and asyncinotify_run() wait for an event, from the next wait on.
 *
 * @param self          open handle
 * @param milliseconds  as for poll(2): 0 to only look, n, or ASYNCINOTIFY_TIMEOUT_INFINITE;
 *                      or ASYNCINOTIFY_TIMEOUT_DISABLED
 *
 * @return 0; or
 *   -EINVAL  `self` is not an open handle, or `milliseconds` is less than ASYNCINOTIFY_TIMEOUT_DISABLED
 *
 * Never blocks, any thread.
 * Python: Inotify.sync_timeout = seconds
 */
int asyncinotify_set_sync_timeout(asyncinotify *self,
                                  int milliseconds);

/**
 * Writes what an instance knows to a descriptor, as text for people: attach it to the report of a fault. What is in it, and
 * how it is written, may change with each version.
 *
 * It has the version, the descriptors, the settings, what there is to do, each watch, each recursive watch with its state,
 * and each directory that is watched for it with its path. Bytes that are no printable ASCII are escaped. It is as long
 * as there are watches and directories, and it is as of one moment: it is gathered first, meanwhile other calls on the
 * handle wait, and written then, with no lock held.
 *
 * ASYNCINOTIFY_DEBUG=1 in the environment of the process, when the first instance is opened, makes each instance say what
 * it reads, does and is answered by the kernel while it works, a line each on stderr, which the `#1` in each line and in
 * the dump tells from other instances. A process that is set-user-ID, or has got other rights by execve(2), does not heed
 * it. Don't watch the file that stderr leads to meanwhile.
 *
 * @param self  open handle
 * @param fd    where to write: a file, a pipe, a terminal, STDERR_FILENO, ...
 *
 * @return 0; or
 *   -EINVAL  `self` is not an open handle
 *   -EBADF   `fd` is not open for writing
 *   -EAGAIN  `fd` is non-blocking and took a part, or nothing
 *   -EPIPE   nobody reads what is written to `fd`; SIGPIPE comes with it, as from any write(2)
 *   or what else write(2) fails with, as -ENOSPC, -EFBIG, -EIO; a part may have been written
 *
 * Blocks as write(2) on `fd` does: for ever on a pipe that nobody reads, even once the handle is closed. Any thread, also
 * while another takes events.
 * Python: has none
 */
int asyncinotify_debug_dump(asyncinotify *self,
                            int fd);

/**
 * Interrupts a wait: the thread that is blocked in asyncinotify_sync_get() or asyncinotify_run(), or the next one to call
 * either, returns -EINTR. The pollable descriptor turns readable for it; asyncinotify_get(), asyncinotify_get_events()
 * and asyncinotify_dispatch() clear it silently. Wakes don't add up: several before one is noticed count as one.
 *
 * @param self  open handle
 *
 * @return 0; or
 *   -EINVAL  `self` is not an open handle
 *
 * Never blocks, any thread, and the only function here that may be called from a signal handler. It never sets the last
 * error message.
 * Python: has none; asyncio's loop.call_soon_threadsafe() comes close
 */
int asyncinotify_wake(asyncinotify *self);

/* ==============================================================================================
 * WATCHES  (Python: Watch, Mask)
 *
 * A watch is named by a number that is never used again, so it can be kept after the watch has ended: using it then is
 * -ENOENT. It ends with its last event, which is IGNORED, or the one event of a ONESHOT watch. That event still has its
 * watch, path and userdata; from the moment it was taken (asyncinotify_get() has returned it, or the callback has been
 * entered) the number is stale. The IGNORED that follows a spent ONESHOT watch has watch 0.
 *
 * Masks: each constant has the value of the kernel's IN_* of the same name, so the two mix freely.
 *
 * All this is said of plain watches and holds for the recursive ones of the last section too, where not said otherwise.
 */

/** File was accessed: read(2), execve(2). */
#define ASYNCINOTIFY_ACCESS 0x00000001
/** File was modified: write(2), truncate(2). */
#define ASYNCINOTIFY_MODIFY 0x00000002
/** Metadata changed: permissions, times, extended attributes, link count, owner. */
#define ASYNCINOTIFY_ATTRIB 0x00000004
/** File opened for writing was closed. */
#define ASYNCINOTIFY_CLOSE_WRITE 0x00000008
/** File or directory not opened for writing was closed. */
#define ASYNCINOTIFY_CLOSE_NOWRITE 0x00000010
/** File or directory was opened. */
#define ASYNCINOTIFY_OPEN 0x00000020
/** Something in the watched directory was renamed: its old name. See the event's `cookie` and `moved_from`. */
#define ASYNCINOTIFY_MOVED_FROM 0x00000040
/** The same: its new name. */
#define ASYNCINOTIFY_MOVED_TO 0x00000080
/** Something was created in the watched directory. */
#define ASYNCINOTIFY_CREATE 0x00000100
/** Something was deleted from the watched directory. */
#define ASYNCINOTIFY_DELETE 0x00000200
/** The watched file or directory itself was deleted. IGNORED follows. */
#define ASYNCINOTIFY_DELETE_SELF 0x00000400
/** The watched file or directory itself was moved. */
#define ASYNCINOTIFY_MOVE_SELF 0x00000800

/** CLOSE_WRITE | CLOSE_NOWRITE */
#define ASYNCINOTIFY_CLOSE (ASYNCINOTIFY_CLOSE_WRITE | ASYNCINOTIFY_CLOSE_NOWRITE)
/** MOVED_FROM | MOVED_TO */
#define ASYNCINOTIFY_MOVE (ASYNCINOTIFY_MOVED_FROM | ASYNCINOTIFY_MOVED_TO)
/** All twelve of the above, as IN_ALL_EVENTS; none of the flags below. */
#define ASYNCINOTIFY_ALL 0x00000fff

/** In events only: the file system with the watched file or directory was unmounted. IGNORED follows. */
#define ASYNCINOTIFY_UNMOUNT 0x00002000
/**
 * In events only: the kernel's queue overflowed (fs.inotify.max_queued_events) and events were lost. Watch 0, wd -1. If
 * the IGNORED of a plain watch is among them, `asyncinotify_rm_watch` brings it.
 */
#define ASYNCINOTIFY_Q_OVERFLOW 0x00004000
/** In events only: the watch has ended, by asyncinotify_rm_watch() or because what it watched is gone. */
#define ASYNCINOTIFY_IGNORED 0x00008000
/** In events only: the subject of this event is a directory. */
#define ASYNCINOTIFY_ISDIR 0x40000000

/** When adding: only if the path is a directory, else -ENOTDIR. */
#define ASYNCINOTIFY_ONLYDIR 0x01000000
/** When adding: don't follow the path if it is a symbolic link. */
#define ASYNCINOTIFY_DONT_FOLLOW 0x02000000
/**
 * When adding: no events for children that have been unlinked from the watched directory. The kernel knows it of an inode,
 * not of a watch: with several watches on one directory, recursive ones included, it holds for all of them or for none.
 */
#define ASYNCINOTIFY_EXCL_UNLINK 0x04000000
/** When adding: only if the inode is not watched yet, else -EEXIST. */
#define ASYNCINOTIFY_MASK_CREATE 0x10000000
/** When adding: if the inode is watched already, add to its mask instead of replacing it. */
#define ASYNCINOTIFY_MASK_ADD 0x20000000
/** When adding: end the watch after one event. */
#define ASYNCINOTIFY_ONESHOT 0x80000000

/** A watch: never 0, never used twice in the life of a process. */
typedef uint64_t asyncinotify_watch;

/**
 * Frees userdata. Called exactly once with the pointer it was given with, with no lock held, on whichever thread ended
 * what the userdata belonged to. It may call anything in this library.
 */
typedef void (*asyncinotify_destroy)(void *userdata);

/**
 * Watches a file or directory.
 *
 * A second call for the same inode (the same path, a hard link, a symbolic link to it) is the same watch: its number is
 * returned again and its mask replaced, or added to with ASYNCINOTIFY_MASK_ADD, or -EEXIST returned with
 * ASYNCINOTIFY_MASK_CREATE; its path stays what it was. Watches below or above each other don't disturb each other.
 *
 * @param self  open handle
 * @param path  what to watch: any bytes but NUL. Events' paths begin with it as it is given here: a relative path stays
 *              relative. It is copied
 * @param mask  ASYNCINOTIFY_* bits: at least one event, and flags for adding
 * @param out   gets the watch; may be NULL
 *
 * @return 0; or
 *   -EINVAL        `self` is not an open handle, `path` is NULL, `mask` asks for no event (it is 0, or has flags such as
 *                  ISDIR, ONLYDIR or ONESHOT alone), has unknown bits, or both MASK_ADD and MASK_CREATE
 *   -EACCES        no permission to read what is to be watched, or to search a directory of its path
 *   -EEXIST        watched already, and MASK_CREATE was given
 *   -ELOOP         too many symbolic links in the path
 *   -ENAMETOOLONG  the path or a part of it is longer than the kernel takes
 *   -ENOENT        there is nothing at `path`
 *   -ENOMEM        the kernel is out of memory
 *   -ENOSPC        this user has as many watches as he may: fs.inotify.max_user_watches, or in a user namespace
 *                  user.max_inotify_watches; the message names the limit that was reached
 *   -ENOTDIR       not a directory, and ONLYDIR was given; or a part of the path is not one
 *
 * Does not wait for events, but looks the path up, which can take time on a network file system. Any thread; takes effect
 * at once, also while another thread waits for events.
 * Python: Inotify.add_watch()
 */
int asyncinotify_add_watch(asyncinotify *self,
                           const char *path,
                           uint32_t mask,
                           asyncinotify_watch *out);

/**
 * Ends a watch, plain or recursive.
 *
 * Events that were queued before it are delivered first, then an IGNORED event that still carries the watch and its path,
 * and with that the watch is gone. Removing a recursive watch takes the whole tree away.
 *
 * @param self   open handle
 * @param watch  the watch
 *
 * @return 0; or
 *   -EINVAL  `self` is not an open handle
 *   -ENOENT  no watch of this handle, or one that has ended, or has been removed before
 *
 * Never blocks, except for the kernel's own time to take away the watches of a large tree. Any thread; takes effect at
 * once, also while another thread waits for events.
 * Python: Inotify.rm_watch()
 */
int asyncinotify_rm_watch(asyncinotify *self,
                          asyncinotify_watch watch);

/**
 * The path of a watch: as it was given when adding it, or set since.
 *
 * @param self   open handle
 * @param watch  the watch
 * @param buf    gets the path, cut off to fit and always NUL-terminated; may be NULL when `size` is 0
 * @param size   room in `buf`, in bytes
 *
 * @return as snprintf(3): the length of the whole path without its NUL, so `size` or more says that it was cut off; or
 *   -EINVAL  `self` is not an open handle, or `buf` is NULL and `size` is not 0
 *   -ENOENT  no watch of this handle, or one that has ended
 *
 * Never blocks, any thread.
 * Python: Watch.path
 */
intptr_t asyncinotify_watch_path(asyncinotify *self,
                                 asyncinotify_watch watch,
                                 char *buf,
                                 size_t size);

/**
 * Corrects the path of a watch, for a program that has learned where what it watches has moved to. Nothing but the paths
 * of later events changes: the watch goes on watching what it watches. Events that were read from the kernel already keep
 * the old path.
 *
 * @param self   open handle
 * @param watch  the watch
 * @param path   any bytes but NUL; copied, not looked up
 *
 * @return 0; or
 *   -EINVAL  `self` is not an open handle, or `path` is NULL
 *   -ENOENT  no watch of this handle, or one that has ended
 *
 * Never blocks, any thread.
 * Python: Watch.path = path
 */
int asyncinotify_watch_set_path(asyncinotify *self,
                                asyncinotify_watch watch,
                                const char *path);

/**
 * The mask now in force: the events, and of the flags ONESHOT and EXCL_UNLINK, as /proc/self/fdinfo shows it. That is not
 * always the mask of the last call: see MASK_ADD.
 *
 * @param self   open handle
 * @param watch  the watch
 * @param out    gets the mask
 *
 * @return 0; or
 *   -EINVAL  `self` is not an open handle, or `out` is NULL
 *   -ENOENT  no watch of this handle, or one that has ended
 *
 * Never blocks, any thread.
 * Python: Watch.mask
 */
int asyncinotify_watch_mask(asyncinotify *self,
                            asyncinotify_watch watch,
                            uint32_t *out);

/**
 * The kernel's watch descriptor; for a recursive watch that of the root directory.
 *
 * @param self   open handle
 * @param watch  the watch
 *
 * @return the descriptor, greater than 0; or
 *   -EINVAL  `self` is not an open handle
 *   -ENOENT  no watch of this handle, or one that has ended
 *
 * Never blocks, any thread.
 * Python: Watch.wd
 */
int asyncinotify_watch_wd(asyncinotify *self, asyncinotify_watch watch);

/**
 * Whether a watch still watches.
 *
 * @param self   open handle
 * @param watch  the watch
 *
 * @return 1: yes; 0: it has ended, but its last event has not been taken yet; or
 *   -EINVAL  `self` is not an open handle
 *   -ENOENT  no watch of this handle, or one that has ended
 *
 * Never blocks, any thread.
 * Python: watch in Inotify.watches
 */
int asyncinotify_watch_is_active(asyncinotify *self, asyncinotify_watch watch);

/**
 * Attaches a pointer to a watch; its events and its callback get it.
 *
 * `destroy` is called with it exactly once: when it is replaced by another call of this function, at once and before that
 * call returns; after the watch's last event was delivered, which is when a callback for that event has returned, or else
 * at the next call that takes events; or when the handle is closed. When this function fails nothing is attached,
 * `destroy` is not called, and the pointer stays the caller's.
 *
 * @param self      open handle
 * @param watch     the watch
 * @param userdata  any value; NULL with a NULL `destroy` takes the old one away
 * @param destroy   frees it; may be NULL
 *
 * @return 0; or
 *   -EINVAL  `self` is not an open handle
 *   -ENOENT  no watch of this handle, or one that has ended
 *
 * Never blocks, any thread; but whoever replaces userdata sees to it that no other thread is using the old one.
 * Python: an attribute set on a Watch
 */
int asyncinotify_watch_set_userdata(asyncinotify *self,
                                    asyncinotify_watch watch,
                                    void *userdata,
                                    asyncinotify_destroy destroy);

/**
 * The pointer attached to a watch.
 *
 * @param self   open handle
 * @param watch  the watch
 * @param out    gets the pointer, NULL if none is attached; it still belongs to the watch
 *
 * @return 0; or
 *   -EINVAL  `self` is not an open handle, or `out` is NULL
 *   -ENOENT  no watch of this handle, or one that has ended
 *
 * Never blocks, any thread.
 * Python: an attribute of a Watch
 */
int asyncinotify_watch_userdata(asyncinotify *self, asyncinotify_watch watch, void **out);

/**
 * All watches of a handle, plain and recursive: those that are active, and those that have ended but whose last event has
 * not been taken yet.
 *
 * @param self  open handle
 * @param ids   gets the first `cap` of them, in no particular order; may be NULL when `cap` is 0
 * @param cap   room in `ids`, in watches
 *
 * @return how many there are, which may be more than `cap`; or
 *   -EINVAL  `self` is not an open handle, or `ids` is NULL and `cap` is not 0
 *
 * Never blocks, any thread.
 * Python: Inotify.watches
 */
intptr_t asyncinotify_watches(asyncinotify *self,
                              asyncinotify_watch *ids,
                              size_t cap);

/* ==============================================================================================
 * EVENTS  (Python: Event, Inotify.get(), Inotify.sync_get(), iteration)
 *
 * Take events one by one (asyncinotify_get()), many at once (asyncinotify_get_events()), or by callback
 * (asyncinotify_dispatch()) when the pollable descriptor is readable; or wait for them here (asyncinotify_sync_get(),
 * asyncinotify_run()). All of these may be mixed. Order is the kernel's.
 *
 * Inside a callback more events may be taken from the same handle; that ends the life of the strings of the callback's own
 * event. An event's userdata lives as long as its watch; that of an event which ended its watch until the next call that
 * takes events, in a callback until that has returned.
 */

/** In `flags`: not from the kernel. A scan has found this, and it is reported as its appearing would have been. */
#define ASYNCINOTIFY_EVENT_SYNTHETIC 0x1
/** In `flags`: a list of all that is in a tree begins. Mask 0, `path` is the tree's root. */
#define ASYNCINOTIFY_EVENT_SYNC_BEGIN 0x2
/** In `flags`: from here on the tree is whole. Mask 0, `path` is the tree's root. */
#define ASYNCINOTIFY_EVENT_SYNC_END 0x4
/** In `flags`: a directory can't be watched. `error` says why, `path` which; mask ISDIR, wd -1. */
#define ASYNCINOTIFY_EVENT_ERROR 0x8
/**
 * In `flags`: a directory of which an ERROR has told is watched again, and what is in it was told. `path` says which;
 * mask ISDIR, wd -1, `error` 0.
 */
#define ASYNCINOTIFY_EVENT_HEALED 0x80

/** An event. The library fills it; it may be copied as a struct, but see asyncinotify_event_dup() for what it points to. */
typedef struct asyncinotify_event {
    /** The watch, 0 if there is none: for Q_OVERFLOW, and for the IGNORED after a spent ONESHOT. Python: Event.watch */
    asyncinotify_watch watch;
    /** The kernel's watch descriptor, -1 if there is none. */
    int32_t wd;
    /** What has happened: one of the event bits, perhaps with ISDIR. Python: Event.mask */
    uint32_t mask;
    /** The same number in both halves of a rename, otherwise 0. Python: Event.cookie */
    uint32_t cookie;
    /** ASYNCINOTIFY_EVENT_* bits; 0 for an event as the kernel reported it. */
    uint32_t flags;
    /** A positive errno with ASYNCINOTIFY_EVENT_ERROR, otherwise 0. */
    int32_t error;
    /** Always 0. */
    uint32_t reserved0;
    /**
     * The entry's name in the watched directory; NULL if the event is about the watch itself. Bytes, NUL-terminated, in no
     * particular encoding, as are the other strings. Python: Event.name
     */
    const char *name;
    /** Length of `name` in bytes, without its NUL. */
    size_t name_len;
    /**
     * The full path as it was when the event happened, beginning with the path given when the watch was added; NULL if
     * there is no watch. Python: Event.path
     */
    const char *path;
    /** Length of `path` in bytes, without its NUL. */
    size_t path_len;
    /**
     * With MOVED_TO: the full path that it came from, if this handle has seen the MOVED_FROM with the same cookie.
     * Otherwise NULL. Of several watches another one may have told that MOVED_FROM: then what arrives is new to this one.
     */
    const char *moved_from;
    /** Length of `moved_from` in bytes, without its NUL. */
    size_t moved_from_len;
    /** What asyncinotify_watch_set_userdata() attached to the watch, or NULL. */
    void *userdata;
    /** Always 0. */
    uint64_t reserved[4];
} asyncinotify_event;

/**
 * Gets an event, by asyncinotify_dispatch() or asyncinotify_run().
 *
 * @param self      the handle; it may be used, and closed
 * @param event     lives until the callback returns; its strings until then or until events are taken in the callback
 * @param userdata  the watch's for a watch's own callback, otherwise what was given to dispatch or run
 *
 * @return 0 to go on; anything else stops the call after this event. Prefer positive numbers: asyncinotify_run() returns
 *   it as it is
 */
typedef int (*asyncinotify_callback)(asyncinotify *self,
                                     const asyncinotify_event *event,
                                     void *userdata);

/**
 * Takes the next event that is there now.
 *
 * @param self  open handle
 * @param out   gets the event when 1 is returned
 *
 * @return 1: an event; 0: nothing more now; or
 *   -EINVAL  `self` is not an open handle, or `out` is NULL
 *   -EBUSY   another thread is taking events from this handle
 *   -ENOMEM  no memory, for a path say; nothing is lost, and it may be tried again
 *
 * What the event points to belongs to the library and lives until the next call that takes events, or the close.
 * Never blocks, even on a blocking instance, and works at most about 10 ms on a scan before it returns 0 with the pollable
 * descriptor still readable. Any thread, one at a time.
 * Python: Inotify.get(), once the loop says that there is something
 */
int asyncinotify_get(asyncinotify *self,
                     asyncinotify_event *out);

/**
 * Takes the next event and waits for it if need be, as long as asyncinotify_set_sync_timeout() says.
 *
 * @param self  open handle
 * @param out   gets the event when 1 is returned
 *
 * @return 1: an event; 0: the time is over; or
 *   -EINVAL     `self` is not an open handle, or `out` is NULL
 *   -EAGAIN     nothing now, the instance is non-blocking and has no time-out (ASYNCINOTIFY_TIMEOUT_DISABLED)
 *   -EBUSY      another thread is taking events from this handle
 *   -ECANCELED  the handle was closed, by another thread, while this one waited
 *   -EINTR      asyncinotify_wake() was called, before or during the wait, or a signal handler ran during the wait
 *   -ENOMEM     no memory, for a path say; nothing is lost, and it may be tried again
 *
 * What the event points to belongs to the library and lives until the next call that takes events, or the close.
 * Blocks for up to the time-out. Any thread, one at a time.
 * Python: Inotify.sync_get()
 */
int asyncinotify_sync_get(asyncinotify *self,
                          asyncinotify_event *out);

/**
 * Takes as many events as are there now, up to `max`: the quick way for other languages, one crossing for many events.
 *
 * @param self  open handle
 * @param out   gets the events
 * @param max   room in `out`, in events; at least 1
 *
 * @return how many events, 0 if there is none now; or
 *   -EINVAL  `self` is not an open handle, `out` is NULL, or `max` is 0
 *   -EBUSY   another thread is taking events from this handle
 *   -ENOMEM  no memory, for a path say, before there was any event; nothing is lost, and it may be tried again
 *
 * What the events point to belongs to the library and lives, for all of them, until the next call that takes events, or
 * the close. When it returns `max`, the pollable descriptor stays readable if there are more, and an edge-triggered
 * waiter gets a new edge.
 * Never blocks, and works at most about 10 ms on a scan. Any thread, one at a time.
 * Python: what Inotify.get() reads at once and keeps
 */
intptr_t asyncinotify_get_events(asyncinotify *self,
                                 asyncinotify_event *out,
                                 size_t max);

/**
 * Gives a watch its own callback, which asyncinotify_dispatch() and asyncinotify_run() call for its events instead of the
 * one they were given. It is called with the watch's userdata.
 *
 * @param self      open handle
 * @param watch     the watch, plain or recursive
 * @param callback  NULL takes it away
 *
 * @return 0; or
 *   -EINVAL  `self` is not an open handle
 *   -ENOENT  no watch of this handle, or one that has ended
 *
 * Never blocks, any thread; from the next event on.
 * Python: has none
 */
int asyncinotify_watch_set_callback(asyncinotify *self,
                                    asyncinotify_watch watch,
                                    asyncinotify_callback callback);

/**
 * Calls back for the events that are there now: a watch's own callback if it has one, else `callback`.
 *
 * A callback that returns anything but 0 stops it after its event. What was not delivered stays queued, the pollable
 * descriptor says so, and an edge-triggered waiter gets a new edge. A callback may close the handle: then this returns
 * too, and the handle must not be used any more.
 *
 * @param self      open handle
 * @param max       call back for at most this many events, so that other sources of the event loop get their turn; 0: until
 *                  none is left
 * @param callback  for events of watches without a callback; NULL: such events are taken and dropped
 * @param userdata  passed to `callback`
 *
 * @return how many events were delivered, that of a callback which stopped or closed included; or
 *   -EINVAL  `self` is not an open handle
 *   -EBUSY   another thread is taking events from this handle
 *   -ENOMEM  no memory, for a path say, before there was any event; nothing is lost, and it may be tried again
 *
 * Never blocks, and works at most about 10 ms on a scan; the callbacks' own time comes on top. Any thread, one at a time.
 * Python: `async for event in inotify`, as far as it goes without waiting
 */
intptr_t asyncinotify_dispatch(asyncinotify *self,
                               size_t max,
                               asyncinotify_callback callback,
                               void *userdata);

/**
 * Waits for events and calls back for them, as asyncinotify_dispatch() does, until something ends it.
 *
 * @param self      open handle
 * @param callback  for events of watches without a callback; NULL: such events are taken and dropped
 * @param userdata  passed to `callback`
 *
 * @return 0: no event came for as long as asyncinotify_set_sync_timeout() says; what a callback returned, if that was not
 *   0; or
 *   -EINVAL     `self` is not an open handle
 *   -EAGAIN     nothing more now, the instance is non-blocking and has no time-out (ASYNCINOTIFY_TIMEOUT_DISABLED)
 *   -EBUSY      another thread is taking events from this handle
 *   -ECANCELED  the handle was closed, by a callback or another thread
 *   -EINTR      asyncinotify_wake() was called, before or meanwhile, or a signal handler ran during the wait
 *   -ENOMEM     no memory, for a path say; nothing is lost, and it may be tried again
 *
 * Blocks until one of these. Any thread, one at a time.
 * Python: `for event in inotify`
 */
int asyncinotify_run(asyncinotify *self,
                     asyncinotify_callback callback,
                     void *userdata);

/**
 * Copies an event with all its strings into memory of its own, which outlives the original, its watch and its handle.
 * `userdata` is copied as a pointer.
 *
 * @param event  an event whose strings are valid: in a callback, or before the next call that takes events
 * @param out    gets the copy; free it with asyncinotify_event_free()
 *
 * @return 0; or
 *   -EINVAL  `event` or `out` is NULL
 *   -ENOMEM  no memory
 *
 * One allocation. Never blocks, any thread.
 * Python: keeping a reference to an Event
 */
int asyncinotify_event_dup(const asyncinotify_event *event,
                           asyncinotify_event **out);

/**
 * Frees a copy that asyncinotify_event_dup() made.
 *
 * @param event  the copy, or NULL, which does nothing. Not the events that other functions fill
 *
 * Never blocks, any thread.
 * Python: dropping the last reference to an Event
 */
void asyncinotify_event_free(asyncinotify_event *event);

/* ==============================================================================================
 * RECURSIVE WATCHES  (Python: RecursiveWatcher, RecursiveInotify)
 *
 * A recursive watch follows a directory and all directories below it, those to come included. It has one number and one
 * userdata, events carry that number and their full path, and it lives in the same instance beside plain watches.
 *
 * WHAT IS GUARANTEED
 *   1. Nothing is missed. What comes to be in the tree, however fast (mkdir -p, a directory moved in, an archive unpacked
 *      by eight processes), is reported: by the kernel's event, or by a SYNTHETIC one where it was there before the watch
 *      could be. What leaves is reported by DELETE, MOVED_FROM, or that of a directory above it.
 *   2. For any mask. Events are delivered only if the mask asks for them, and those that it asks for are complete: with
 *      CLOSE_WRITE alone every file that was written is named. A SYNTHETIC event is what the entry's appearing would have
 *      caused, as far as the mask asks for it: CREATE (with ISDIR for a directory), and CLOSE_WRITE and MODIFY for a
 *      regular file. Without MOVED_TO in the mask it also tells of what is renamed out of a directory that could not be
 *      watched yet. With a limit of the depth, a directory that is renamed to another level keeps what was told of it,
 *      and what comes within the limit is new.
 *   3. Nothing twice, nothing untrue. One appearance, one CREATE; no path that the entry did not have at that time.
 *   4. Renames are followed. A directory renamed inside the tree keeps its watches, and all later paths below it are
 *      right, in constant time whatever is below it. Moved out: its kernel watches are released. Moved in: it is watched
 *      and its content reported.
 *   5. Overflow is survived. After Q_OVERFLOW the library compares its tree with the disk and repairs it. With
 *      LIST_EXISTING it lists the tree again: an event flagged SYNC_BEGIN, then every entry, then SYNC_END. In between,
 *      each entry that is there at the end is named once since it last appeared, by a CREATE (SYNTHETIC or the kernel's)
 *      or by MOVED_TO; what moves with a renamed directory counts as named; what was not named is gone. Another SYNC_BEGIN
 *      begins anew, and one SYNC_END ends it. Without LIST_EXISTING, SYNC_END alone says that from here on the tree is
 *      whole again. The same may come without Q_OVERFLOW, after a tangle of renames that inotify(7) leaves unclear.
 *   6. No watch disturbs another: a plain watch inside a tree, trees that overlap, hard links, bind mounts. Each hears
 *      exactly what its own mask asks for, and removing one leaves the others.
 *   7. The loop never stalls. No call that takes events works longer than about 10 ms on a scan; a large one goes on in
 *      slices, while the pollable descriptor stays readable. With BACKGROUND this holds for asyncinotify_add_recursive()
 *      too.
 *   8. Trouble is told, contained, and heals. A directory that can't be opened, a limit reached while following: an event
 *      flagged ERROR with the errno and the path, whatever the mask. Nothing below that directory is watched then;
 *      everything else goes on. It is tried again: after EACCES when the permissions of a watched directory from the root
 *      down to it change; after ENOSPC, EMFILE, ENFILE and ENOMEM after a while that doubles from 0.1 s to 5 s, for which
 *      a timer makes the pollable descriptor readable, and besides when something happens, at most once each 10 ms. (The
 *      timer stands in for permissions that the kernel does not tell of, as those of the root.) A directory that
 *      changes under 32 tries to watch it, as somebody renames it on and on, or in which names are exchanged on and on,
 *      so that a repair (5) can't end, gets ERROR with EAGAIN, and is tried again when something happens in its parent;
 *      neither asyncinotify_add_recursive() nor SYNC_END waits for it. Once a directory is watched, its content is told
 *      as that of a new one, and an event flagged HEALED follows. Where a whole tree is compared with the disk (5),
 *      what can't be watched is told anew.
 *   9. Depth and length of paths have no limit but memory; paths longer than PATH_MAX included. The root's own end is
 *      reported by DELETE_SELF, MOVE_SELF or UNMOUNT if the mask asks for them, and by IGNORED.
 *
 * WHAT ARE ITS LIMITS
 *   Every directory takes one kernel watch (fs.inotify.max_user_watches). Symbolic links below the root are reported as
 *   entries, and not followed. What appears and is gone again before a new directory could be watched or read leaves
 *   nothing to report. A SYNTHETIC event tells that an entry is there, not each thing that happened to it before. The
 *   kernel reports nothing that happens on the far side of a network file system, and nothing for memory-mapped writes.
 *   The library lists directories, and does not report its own reading: where a mask asks for OPEN, ACCESS or
 *   CLOSE_NOWRITE, the reading of the same directory by another process may be missing while that lasts. Without /proc a
 *   directory is watched by its path, which is compared before and after; a swap there and back in between goes unseen,
 *   and a path longer than PATH_MAX can't be watched (ENAMETOOLONG).
 */

/** Begin by listing what is there: SYNC_BEGIN, a SYNTHETIC event for every entry, SYNC_END; and again after an overflow. */
#define ASYNCINOTIFY_RECURSIVE_LIST_EXISTING 0x1
/** Return at once and set up the tree in slices, by the calls that take events; SYNC_END says when it is complete. */
#define ASYNCINOTIFY_RECURSIVE_BACKGROUND 0x2
/** Stay on the root's file system: don't enter what is mounted below. */
#define ASYNCINOTIFY_RECURSIVE_ONE_FILESYSTEM 0x4

/**
 * Decides whether a directory is to be watched. Asked once for each directory below the root, whenever it is found, so
 * inside asyncinotify_add_recursive() and inside the calls that take events; never for the root.
 *
 * @param self      the handle; it may be used, and closed
 * @param path      the directory's full path, NUL-terminated; lives until the filter returns
 * @param path_len  its length in bytes, without its NUL
 * @param userdata  `filter_userdata` of the options
 *
 * @return non-zero: watch it; 0: neither it nor anything below it, and no kernel watch is spent on it
 */
typedef int (*asyncinotify_filter)(asyncinotify *self,
                                   const char *path,
                                   size_t path_len,
                                   void *userdata);

/**
 * Options for asyncinotify_add_recursive(). Set all of it to 0, then `size`, then what is wanted:
 *
 *     asyncinotify_recursive_options options = {0};
 *     options.size = sizeof options;
 */
typedef struct asyncinotify_recursive_options {
    /** sizeof(asyncinotify_recursive_options): tells the library which fields the program knows of. */
    size_t size;
    /** ASYNCINOTIFY_RECURSIVE_* bits. */
    uint32_t flags;
    /** How many levels are watched: 1 is the root directory alone, 2 its subdirectories too; 0 is no limit. */
    uint32_t max_depth;
    /** Asked for each directory; NULL watches them all. */
    asyncinotify_filter filter;
    /** Passed to `filter`. */
    void *filter_userdata;
    /** Frees `filter_userdata`, exactly once, when the tree has ended and the filter won't be asked again; may be NULL. */
    asyncinotify_destroy filter_destroy;
} asyncinotify_recursive_options;

/**
 * Gets a directory, by asyncinotify_watch_each_directory().
 *
 * @param self      the handle; it may be used, and closed
 * @param path      the directory's full path, NUL-terminated; lives until the callback returns
 * @param path_len  its length in bytes, without its NUL
 * @param userdata  what was given to asyncinotify_watch_each_directory()
 *
 * @return 0 to go on; anything else stops it
 */
typedef int (*asyncinotify_directory_callback)(asyncinotify *self,
                                               const char *path,
                                               size_t path_len,
                                               void *userdata);

/**
 * Gets a directory that can't be watched, by asyncinotify_watch_each_trouble().
 *
 * @param self      the handle; it may be used, and closed
 * @param path      the directory's full path, NUL-terminated; lives until the callback returns
 * @param path_len  its length in bytes, without its NUL
 * @param error     why it could not be watched when it was tried last: a positive errno
 * @param userdata  what was given to asyncinotify_watch_each_trouble()
 *
 * @return 0 to go on; anything else stops it
 */
typedef int (*asyncinotify_trouble_callback)(asyncinotify *self,
                                             const char *path,
                                             size_t path_len,
                                             int error,
                                             void *userdata);

/**
 * Watches a directory and everything below it.
 *
 * Returns when the whole tree is watched, unless BACKGROUND is given. Ends like any other watch: by
 * asyncinotify_rm_watch(), or when the root is gone.
 *
 * `filter_destroy` is called exactly once if this returns 0, and never if it fails: then `filter_userdata` stays the
 * caller's, and the filter is not asked any more.
 *
 * @param self  open handle
 * @param path  the root directory: any bytes but NUL, of any length. Events' paths begin with it as it is given here. It
 *              is copied. A symbolic link is followed, unless `mask` has DONT_FOLLOW
 * @param mask  ASYNCINOTIFY_* bits: at least one event, and of the flags ONLYDIR, DONT_FOLLOW and EXCL_UNLINK
 * @param opts  NULL for the defaults: no listing, in the foreground, across file systems, no limit, no filter; copied
 * @param out   gets the watch; may be NULL. Another thread may take events of the tree before it is written
 *
 * @return 0; or
 *   -EINVAL        `self` is not an open handle, `path` is NULL, `mask` has no event or other bits than these, `opts`
 *                  has a `size` that is too small, unknown flags, or a `filter_destroy` without a `filter`
 *   -E2BIG         `opts` has a larger `size` than this version knows, with something in the unknown part that is not 0
 *   -EACCES        no permission to read the root, or to search a directory of its path
 *   -ELOOP         too many symbolic links in the path, or the root is one and DONT_FOLLOW was given
 *   -EMFILE        the process has too many open files
 *   -ENAMETOOLONG  a part of the path is longer than the kernel takes
 *   -ENFILE        the system has too many open files
 *   -ENOENT        there is nothing at `path`
 *   -ENOMEM        no memory
 *   -ENOSPC        the limit of watches was reached before it returned, as for asyncinotify_add_watch(); nothing is left
 *                  behind
 *   -ENOTDIR       the root is not a directory
 *
 * The first tree of a handle takes one descriptor for good: a timer for directories that are to be tried again.
 * Blocks for the time it takes to read the tree, some 10 µs a directory; with BACKGROUND only for the root. Any thread;
 * other threads may go on taking events meanwhile.
 * Python: RecursiveWatcher(path, mask), RecursiveInotify.add_recursive_watch()
 */
int asyncinotify_add_recursive(asyncinotify *self,
                               const char *path,
                               uint32_t mask,
                               const asyncinotify_recursive_options *opts,
                               asyncinotify_watch *out);

/**
 * Lists the directories that a recursive watch watches now, the root included, parents before their children.
 *
 * @param self      open handle
 * @param watch     the recursive watch
 * @param callback  called for each, until it returns anything but 0; NULL only counts
 * @param userdata  passed to `callback`
 *
 * @return how many were listed; or
 *   -EINVAL  `self` is not an open handle, or `watch` is not recursive
 *   -ENOENT  no watch of this handle, or one that has ended
 *   -ENOMEM  no memory
 *
 * A tree that changes meanwhile, or whose scan is under way, is listed as far as it is known. Never blocks, any thread.
 * Python: Inotify.watches, of a recursive one
 */
intptr_t asyncinotify_watch_each_directory(asyncinotify *self,
                                           asyncinotify_watch watch,
                                           asyncinotify_directory_callback callback,
                                           void *userdata);

/**
 * Lists the directories of a recursive watch that can't be watched now: those of which ERROR has told, and HEALED has not.
 *
 * @param self      open handle
 * @param watch     the recursive watch
 * @param callback  called for each, until it returns anything but 0; NULL only counts
 * @param userdata  passed to `callback`
 *
 * @return how many were listed; or
 *   -EINVAL  `self` is not an open handle, or `watch` is not recursive
 *   -ENOENT  no watch of this handle, or one that has ended
 *   -ENOMEM  no memory
 *
 * Nothing below such a directory is watched. If the root is among them, the tree can't be compared with the disk until it
 * can be reached again, and what is watched goes on. Never blocks, any thread.
 * Python: no counterpart
 */
intptr_t asyncinotify_watch_each_trouble(asyncinotify *self,
                                         asyncinotify_watch watch,
                                         asyncinotify_trouble_callback callback,
                                         void *userdata);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* ASYNCINOTIFY_H */
