//! EVENTS  (Python: Event, Inotify.get(), Inotify.sync_get(), iteration)
//!
//! Take events one by one (asyncinotify_get()), many at once (asyncinotify_get_events()), or by callback
//! (asyncinotify_dispatch()) when the pollable descriptor is readable; or wait for them here (asyncinotify_sync_get(),
//! asyncinotify_run()). All of these may be mixed. Order is the kernel's.
//!
//! Inside a callback more events may be taken from the same handle; that ends the life of the strings of the callback's own
//! event. An event's userdata lives as long as its watch; that of an event which ended its watch until the next call that
//! takes events, in a callback until that has returned.

use std::ffi::{c_int, c_void};

use libc::size_t;

use super::consumer::{self, General};
use super::dup;
use super::failure::Failure;
use super::instance::on_handle;
use super::panic::boundary;
use super::pointer::{array, input, output};
pub use super::types::event::{asyncinotify_callback, asyncinotify_event};
use super::types::inotify::asyncinotify;
use super::types::watch::asyncinotify_watch;
use crate::WatchId;

/// In `flags`: not from the kernel. A scan has found this, and it is reported as its appearing would have been.
pub const ASYNCINOTIFY_EVENT_SYNTHETIC: u32 = 0x1;
/// In `flags`: a list of all that is in a tree begins. Mask 0, `path` is the tree's root.
pub const ASYNCINOTIFY_EVENT_SYNC_BEGIN: u32 = 0x2;
/// In `flags`: from here on the tree is whole. Mask 0, `path` is the tree's root.
pub const ASYNCINOTIFY_EVENT_SYNC_END: u32 = 0x4;
/// In `flags`: a directory can't be watched. `error` says why, `path` which; mask ISDIR, wd -1.
pub const ASYNCINOTIFY_EVENT_ERROR: u32 = 0x8;
/// In `flags`: a directory of which an ERROR has told is watched again, and what is in it was told. `path` says which;
/// mask ISDIR, wd -1, `error` 0.
pub const ASYNCINOTIFY_EVENT_HEALED: u32 = 0x80;

/// Takes the next event that is there now.
///
/// @param self  open handle
/// @param out   gets the event when 1 is returned
///
/// @return 1: an event; 0: nothing more now; or
///   -EINVAL  `self` is not an open handle, or `out` is NULL
///   -EBUSY   another thread is taking events from this handle
///   -ENOMEM  no memory, for a path say; nothing is lost, and it may be tried again
///
/// What the event points to belongs to the library and lives until the next call that takes events, or the close.
/// Never blocks, even on a blocking instance, and works at most about 10 ms on a scan before it returns 0 with the pollable
/// descriptor still readable. Any thread, one at a time.
/// Python: Inotify.get(), once the loop says that there is something
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_get(
    self_: *mut asyncinotify,
    out: *mut asyncinotify_event,
) -> c_int {
    on_handle("asyncinotify_get", self_, |call| {
        // SAFETY: the header asks for a place for one event.
        let out = unsafe { output(out, "out") }?;
        consumer::get(call, &out)
    })
}

/// Takes the next event and waits for it if need be, as long as asyncinotify_set_sync_timeout() says.
///
/// @param self  open handle
/// @param out   gets the event when 1 is returned
///
/// @return 1: an event; 0: the time is over; or
///   -EINVAL     `self` is not an open handle, or `out` is NULL
///   -EAGAIN     nothing now, the instance is non-blocking and has no time-out (ASYNCINOTIFY_TIMEOUT_DISABLED)
///   -EBUSY      another thread is taking events from this handle
///   -ECANCELED  the handle was closed, by another thread, while this one waited
///   -EINTR      asyncinotify_wake() was called, before or during the wait, or a signal handler ran during the wait
///   -ENOMEM     no memory, for a path say; nothing is lost, and it may be tried again
///
/// What the event points to belongs to the library and lives until the next call that takes events, or the close.
/// Blocks for up to the time-out. Any thread, one at a time.
/// Python: Inotify.sync_get()
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_sync_get(
    self_: *mut asyncinotify,
    out: *mut asyncinotify_event,
) -> c_int {
    on_handle("asyncinotify_sync_get", self_, |call| {
        // SAFETY: the header asks for a place for one event.
        let out = unsafe { output(out, "out") }?;
        consumer::sync_get(call, &out)
    })
}

/// Takes as many events as are there now, up to `max`: the quick way for other languages, one crossing for many events.
///
/// @param self  open handle
/// @param out   gets the events
/// @param max   room in `out`, in events; at least 1
///
/// @return how many events, 0 if there is none now; or
///   -EINVAL  `self` is not an open handle, `out` is NULL, or `max` is 0
///   -EBUSY   another thread is taking events from this handle
///   -ENOMEM  no memory, for a path say, before there was any event; nothing is lost, and it may be tried again
///
/// What the events point to belongs to the library and lives, for all of them, until the next call that takes events, or
/// the close. When it returns `max`, the pollable descriptor stays readable if there are more, and an edge-triggered
/// waiter gets a new edge.
/// Never blocks, and works at most about 10 ms on a scan. Any thread, one at a time.
/// Python: what Inotify.get() reads at once and keeps
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_get_events(
    self_: *mut asyncinotify,
    out: *mut asyncinotify_event,
    max: size_t,
) -> isize {
    on_handle("asyncinotify_get_events", self_, |call| {
        if max == 0 {
            return Err(Failure::argument("max", "is 0"));
        }
        // SAFETY: the header asks for room for `max` events.
        let out = unsafe { array(out, max, "out") }?;
        consumer::get_events(call, &out)
    })
}

/// Gives a watch its own callback, which asyncinotify_dispatch() and asyncinotify_run() call for its events instead of the
/// one they were given. It is called with the watch's userdata.
///
/// @param self      open handle
/// @param watch     the watch, plain or recursive
/// @param callback  NULL takes it away
///
/// @return 0; or
///   -EINVAL  `self` is not an open handle
///   -ENOENT  no watch of this handle, or one that has ended
///
/// Never blocks, any thread; from the next event on.
/// Python: has none
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_watch_set_callback(
    self_: *mut asyncinotify,
    watch: asyncinotify_watch,
    callback: asyncinotify_callback,
) -> c_int {
    on_handle("asyncinotify_watch_set_callback", self_, |call| {
        call.set_callback(WatchId::from_raw(watch), callback)?;
        Ok(0)
    })
}

/// Calls back for the events that are there now: a watch's own callback if it has one, else `callback`.
///
/// A callback that returns anything but 0 stops it after its event. What was not delivered stays queued, the pollable
/// descriptor says so, and an edge-triggered waiter gets a new edge. A callback may close the handle: then this returns
/// too, and the handle must not be used any more.
///
/// @param self      open handle
/// @param max       call back for at most this many events, so that other sources of the event loop get their turn; 0: until
///                  none is left
/// @param callback  for events of watches without a callback; NULL: such events are taken and dropped
/// @param userdata  passed to `callback`
///
/// @return how many events were delivered, that of a callback which stopped or closed included; or
///   -EINVAL  `self` is not an open handle
///   -EBUSY   another thread is taking events from this handle
///   -ENOMEM  no memory, for a path say, before there was any event; nothing is lost, and it may be tried again
///
/// Never blocks, and works at most about 10 ms on a scan; the callbacks' own time comes on top. Any thread, one at a time.
/// Python: `async for event in inotify`, as far as it goes without waiting
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_dispatch(
    self_: *mut asyncinotify,
    max: size_t,
    callback: asyncinotify_callback,
    userdata: *mut c_void,
) -> isize {
    on_handle("asyncinotify_dispatch", self_, |call| {
        let max = if max == 0 { usize::MAX } else { max };
        consumer::dispatch(call, max, General::new(callback, userdata))
    })
}

/// Waits for events and calls back for them, as asyncinotify_dispatch() does, until something ends it.
///
/// @param self      open handle
/// @param callback  for events of watches without a callback; NULL: such events are taken and dropped
/// @param userdata  passed to `callback`
///
/// @return 0: no event came for as long as asyncinotify_set_sync_timeout() says; what a callback returned, if that was not
///   0; or
///   -EINVAL     `self` is not an open handle
///   -EAGAIN     nothing more now, the instance is non-blocking and has no time-out (ASYNCINOTIFY_TIMEOUT_DISABLED)
///   -EBUSY      another thread is taking events from this handle
///   -ECANCELED  the handle was closed, by a callback or another thread
///   -EINTR      asyncinotify_wake() was called, before or meanwhile, or a signal handler ran during the wait
///   -ENOMEM     no memory, for a path say; nothing is lost, and it may be tried again
///
/// Blocks until one of these. Any thread, one at a time.
/// Python: `for event in inotify`
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_run(
    self_: *mut asyncinotify,
    callback: asyncinotify_callback,
    userdata: *mut c_void,
) -> c_int {
    on_handle("asyncinotify_run", self_, |call| {
        consumer::run(call, General::new(callback, userdata))
    })
}

/// Copies an event with all its strings into memory of its own, which outlives the original, its watch and its handle.
/// `userdata` is copied as a pointer.
///
/// @param event  an event whose strings are valid: in a callback, or before the next call that takes events
/// @param out    gets the copy; free it with asyncinotify_event_free()
///
/// @return 0; or
///   -EINVAL  `event` or `out` is NULL
///   -ENOMEM  no memory
///
/// One allocation. Never blocks, any thread.
/// Python: keeping a reference to an Event
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_event_dup(
    event: *const asyncinotify_event,
    out: *mut *mut asyncinotify_event,
) -> c_int {
    boundary("asyncinotify_event_dup", || {
        // SAFETY: the header asks for an event with valid strings, and for a place for one pointer.
        let (event, out) = unsafe { (input(event, "event")?, output(out, "out")?) };
        // SAFETY: the event's strings are valid, as the header asks.
        out.put_first(unsafe { dup::copy(event) }?);
        Ok(0)
    })
}

/// Frees a copy that asyncinotify_event_dup() made.
///
/// @param event  the copy, or NULL, which does nothing. Not the events that other functions fill
///
/// Never blocks, any thread.
/// Python: dropping the last reference to an Event
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_event_free(event: *mut asyncinotify_event) {
    // SAFETY: the header asks for NULL or a copy that has not been freed.
    unsafe { dup::free(event) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventFlags;
    use std::mem::MaybeUninit;
    use std::ptr;

    #[test]
    fn flags_are_the_cores() {
        assert_eq!(ASYNCINOTIFY_EVENT_SYNTHETIC, EventFlags::SYNTHETIC.bits());
        assert_eq!(ASYNCINOTIFY_EVENT_SYNC_BEGIN, EventFlags::SYNC_BEGIN.bits());
        assert_eq!(ASYNCINOTIFY_EVENT_SYNC_END, EventFlags::SYNC_END.bits());
        assert_eq!(ASYNCINOTIFY_EVENT_ERROR, EventFlags::ERROR.bits());
        assert_eq!(ASYNCINOTIFY_EVENT_HEALED, EventFlags::HEALED.bits());
    }

    #[test]
    fn a_copy_of_nothing_is_refused() {
        let mut out = ptr::null_mut();
        let event = MaybeUninit::zeroed();
        // SAFETY: NULL is allowed and refused, and an event of zeros has no strings.
        unsafe {
            assert_eq!(asyncinotify_event_dup(ptr::null(), &mut out), -libc::EINVAL);
            assert_eq!(
                asyncinotify_event_dup(event.as_ptr(), ptr::null_mut()),
                -libc::EINVAL
            );
        }
        assert!(out.is_null());
    }
}
