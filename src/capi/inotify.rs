//! INSTANCE  (Python: Inotify)
//!
//! One kernel inotify instance with its queue, its watches and its pollable descriptor.

use std::ffi::c_int;

use libc::size_t;

use super::failure::Failure;
use super::instance::{self, on_handle};
use super::panic::boundary;
use super::pointer::output;
pub use super::types::inotify::asyncinotify;
use crate::{InitFlags, SyncTimeout};

/// Set close-on-exec on the descriptors, as IN_CLOEXEC.
pub const ASYNCINOTIFY_INIT_CLOEXEC: u32 = 0x80000;
/// Open the kernel's descriptor non-blocking, as IN_NONBLOCK. Only matters for the calls that can wait, and for those only
/// while the time-out is ASYNCINOTIFY_TIMEOUT_DISABLED.
pub const ASYNCINOTIFY_INIT_NONBLOCK: u32 = 0x800;
/// Both of the above, as in Python.
pub const ASYNCINOTIFY_INIT_DEFAULT: u32 = ASYNCINOTIFY_INIT_CLOEXEC | ASYNCINOTIFY_INIT_NONBLOCK;

/// Wait until there is an event, for ever if need be. Python: sync_timeout = -1
pub const ASYNCINOTIFY_TIMEOUT_INFINITE: i32 = -1;
/// No time-out, the default: do as read(2) on the descriptor would as it was opened, that is -EAGAIN from a non-blocking
/// instance, waiting for ever on a blocking one. Python: sync_timeout = None
pub const ASYNCINOTIFY_TIMEOUT_DISABLED: i32 = -2;

/// Opens an instance.
///
/// @param init_flags  ASYNCINOTIFY_INIT_* bits, ASYNCINOTIFY_INIT_DEFAULT if in doubt
/// @param out         gets the handle; close it with asyncinotify_close()
///
/// @return 0; or
///   -EINVAL  unknown bits in `init_flags`, or `out` is NULL
///   -EMFILE  this user has as many instances as he may (fs.inotify.max_user_instances, or in a user namespace
///            user.max_inotify_instances), or the process has too many open files; the message says which
///   -ENFILE  the system has too many open files, or the process 8 million handles
///   -ENOMEM  the kernel is out of memory
///
/// Never blocks, any thread.
/// Python: Inotify()
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_new(init_flags: u32, out: *mut *mut asyncinotify) -> c_int {
    boundary("asyncinotify_new", || {
        // SAFETY: the header asks for a place for one handle.
        let out = unsafe { output(out, "out") }?;
        let flags = InitFlags::from_bits(init_flags).ok_or_else(|| {
            Failure::argument("init_flags", "has bits other than CLOEXEC and NONBLOCK")
        })?;
        out.put_first(instance::open(flags)?);
        Ok(0)
    })
}

/// Closes an instance and frees all that belongs to it: descriptors, watches, undelivered events, and userdata by its
/// destroy function.
///
/// From here on every call with this handle is answered with -EINVAL, a second close included: it does nothing. Threads
/// that are inside a call on it, waiting or not, return from it with -ECANCELED at once; the last of them frees the rest.
/// Destroy functions run inside asyncinotify_close(), or, when a callback of the handle is running (it may be the one that
/// closes), once that callback has returned. Filters' run when no call on the handle is left. Copies made by
/// asyncinotify_event_dup() stay valid, all other events become invalid. Remove the pollable descriptor from event loops
/// first.
///
/// @param self  handle, or NULL, which does nothing
///
/// Never blocks, except for the kernel's own time to take away many watches. Any thread.
/// Python: Inotify.close(), leaving its `with` block
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_close(self_: *mut asyncinotify) {
    boundary("asyncinotify_close", || match self_.is_null() {
        true => Ok(()),
        false => instance::close(self_),
    })
}

/// The pollable descriptor, for event loops.
///
/// Level-triggered and readable (POLLIN) exactly while asyncinotify_get() would return an event, a wake is pending, or a
/// directory that could not be watched is to be tried again (see RECURSIVE WATCHES), after which a call may return 0; not
/// readable otherwise. It works for poll(2), select(2), epoll(7) level- and edge-triggered, and io_uring's poll. Whoever
/// waits edge-triggered takes events until there are none, as epoll(7) says; a bounded call that leaves some
/// (asyncinotify_get_events(), asyncinotify_dispatch()) gives a new edge. Watch it for reading only, and never read from
/// it. It belongs to the library, its number stays the same as long as the handle is open, and it is not the kernel's
/// inotify descriptor.
///
/// @param self  open handle
///
/// @return the descriptor; or
///   -EINVAL  `self` is not an open handle
///
/// Never blocks, any thread.
/// Python: what Inotify.get() registers with its event loop
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_fd(self_: *mut asyncinotify) -> c_int {
    on_handle("asyncinotify_fd", self_, |call| Ok(call.inotify().fd()))
}

/// The kernel's inotify descriptor, for those who must have it (to look at /proc/self/fdinfo, say).
///
/// Reading from it steals events from the library, and it says nothing of events that the library has read already: wait
/// on asyncinotify_fd() instead. It belongs to the library.
///
/// @param self  open handle
///
/// @return the descriptor; or
///   -EINVAL  `self` is not an open handle
///
/// Never blocks, any thread.
/// Python: Inotify.fd
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_raw_fd(self_: *mut asyncinotify) -> c_int {
    on_handle("asyncinotify_raw_fd", self_, |call| {
        Ok(call.inotify().raw_fd())
    })
}

/// The most events of full size (16 + NAME_MAX + 1 = 272 bytes) that one read(2) from the kernel fetches. More of them fit
/// when names are shorter, as they always are.
///
/// @param self  open handle
///
/// @return that number, 240 by default: one read of 64 KiB; or
///   -EINVAL  `self` is not an open handle
///
/// Never blocks, any thread.
/// Python: Inotify.cache_size
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_cache_size(self_: *mut asyncinotify) -> isize {
    on_handle("asyncinotify_cache_size", self_, |call| {
        Ok(call.inotify().cache_size() as isize)
    })
}

/// Sets how much one read fetches, from the next read on.
///
/// @param self    open handle
/// @param events  number of events of full size (272 bytes each), 1 or more
///
/// @return 0; or
///   -EINVAL  `self` is not an open handle, or `events` is 0
///   -ENOMEM  there is no memory for a buffer of that size
///
/// Never blocks, any thread.
/// Python: Inotify.cache_size = n
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_set_cache_size(
    self_: *mut asyncinotify,
    events: size_t,
) -> c_int {
    on_handle("asyncinotify_set_cache_size", self_, |call| {
        call.inotify().set_cache_size(events)?;
        Ok(0)
    })
}

/// How long asyncinotify_sync_get() and asyncinotify_run() wait for an event.
///
/// @param self  open handle
/// @param out   gets milliseconds, ASYNCINOTIFY_TIMEOUT_INFINITE, or ASYNCINOTIFY_TIMEOUT_DISABLED
///
/// @return 0; or
///   -EINVAL  `self` is not an open handle, or `out` is NULL
///
/// Never blocks, any thread.
/// Python: Inotify.sync_timeout
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_sync_timeout(
    self_: *mut asyncinotify,
    out: *mut c_int,
) -> c_int {
    on_handle("asyncinotify_sync_timeout", self_, |call| {
        // SAFETY: the header asks for a place for one int.
        let out = unsafe { output(out, "out") }?;
        out.put_first(match call.inotify().sync_timeout() {
            SyncTimeout::Disabled => ASYNCINOTIFY_TIMEOUT_DISABLED,
            SyncTimeout::Infinite => ASYNCINOTIFY_TIMEOUT_INFINITE,
            SyncTimeout::Millis(milliseconds) => milliseconds as c_int,
        });
        Ok(0)
    })
}

/// Sets how long asyncinotify_sync_get() and asyncinotify_run() wait for an event, from the next wait on.
///
/// @param self          open handle
/// @param milliseconds  as for poll(2): 0 to only look, n, or ASYNCINOTIFY_TIMEOUT_INFINITE;
///                      or ASYNCINOTIFY_TIMEOUT_DISABLED
///
/// @return 0; or
///   -EINVAL  `self` is not an open handle, or `milliseconds` is less than ASYNCINOTIFY_TIMEOUT_DISABLED
///
/// Never blocks, any thread.
/// Python: Inotify.sync_timeout = seconds
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_set_sync_timeout(
    self_: *mut asyncinotify,
    milliseconds: c_int,
) -> c_int {
    on_handle("asyncinotify_set_sync_timeout", self_, |call| {
        call.inotify().set_sync_timeout(match milliseconds {
            ASYNCINOTIFY_TIMEOUT_DISABLED => SyncTimeout::Disabled,
            ASYNCINOTIFY_TIMEOUT_INFINITE => SyncTimeout::Infinite,
            0.. => SyncTimeout::Millis(milliseconds as u32),
            _ => {
                return Err(Failure::argument(
                    "milliseconds",
                    "is negative and no ASYNCINOTIFY_TIMEOUT_*",
                ));
            }
        });
        Ok(0)
    })
}

/// Writes what an instance knows to a descriptor, as text for people: attach it to the report of a fault. What is in it, and
/// how it is written, may change with each version.
///
/// It has the version, the descriptors, the settings, what there is to do, each watch, each recursive watch with its state,
/// and each directory that is watched for it with its path. Bytes that are no printable ASCII are escaped. It is as long
/// as there are watches and directories, and it is as of one moment: it is gathered first, meanwhile other calls on the
/// handle wait, and written then, with no lock held.
///
/// ASYNCINOTIFY_DEBUG=1 in the environment of the process, when the first instance is opened, makes each instance say what
/// it reads, does and is answered by the kernel while it works, a line each on stderr, which the `#1` in each line and in
/// the dump tells from other instances. A process that is set-user-ID, or has got other rights by execve(2), does not heed
/// it. Don't watch the file that stderr leads to meanwhile.
///
/// @param self  open handle
/// @param fd    where to write: a file, a pipe, a terminal, STDERR_FILENO, ...
///
/// @return 0; or
///   -EINVAL  `self` is not an open handle
///   -EBADF   `fd` is not open for writing
///   -EAGAIN  `fd` is non-blocking and took a part, or nothing
///   -EPIPE   nobody reads what is written to `fd`; SIGPIPE comes with it, as from any write(2)
///   or what else write(2) fails with, as -ENOSPC, -EFBIG, -EIO; a part may have been written
///
/// Blocks as write(2) on `fd` does: for ever on a pipe that nobody reads, even once the handle is closed. Any thread, also
/// while another takes events.
/// Python: has none
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_debug_dump(self_: *mut asyncinotify, fd: c_int) -> c_int {
    on_handle("asyncinotify_debug_dump", self_, |call| {
        call.inotify().debug_dump(fd)?;
        Ok(0)
    })
}

/// Interrupts a wait: the thread that is blocked in asyncinotify_sync_get() or asyncinotify_run(), or the next one to call
/// either, returns -EINTR. The pollable descriptor turns readable for it; asyncinotify_get(), asyncinotify_get_events()
/// and asyncinotify_dispatch() clear it silently. Wakes don't add up: several before one is noticed count as one.
///
/// @param self  open handle
///
/// @return 0; or
///   -EINVAL  `self` is not an open handle
///
/// Never blocks, any thread, and the only function here that may be called from a signal handler. It never sets the last
/// error message.
/// Python: has none; asyncio's loop.call_soon_threadsafe() comes close
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_wake(self_: *mut asyncinotify) -> c_int {
    // There is no panic boundary and no last error here: neither is async-signal-safe, and nothing can panic.
    match instance::enter_from_signal(self_) {
        Some(call) => call
            .inotify()
            .wake()
            .map_or_else(|error| -error.errno, |()| 0),
        None => -libc::EINVAL,
    }
}
