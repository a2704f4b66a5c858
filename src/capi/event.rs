//! EVENTS  (Python: Event, Inotify.get(), Inotify.sync_get(), iteration)
//!
//! Take events one by one (asyncinotify_get()), many at once (asyncinotify_get_events()), or by callback
//! (asyncinotify_dispatch()) when the pollable descriptor is readable; or wait for them here (asyncinotify_sync_get(),
//! asyncinotify_run()). All of these may be mixed. Order is the kernel's.
//!
//! Inside a callback more events may be taken from the same handle; that ends the life of the strings of the callback's own
//! event. An event's userdata lives as long as its watch; that of an event which ended its watch until the next call that
//! takes events, in a callback until that has returned.

use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use libc::size_t;

use super::attachments::Attached;
use super::destroy::Destroy;
use super::dup;
use super::failure::{Failure, Result};
use super::instance::{Call, on_handle};
use super::panic::boundary;
use super::pointer::{array, input, output};
pub use super::types::event::{asyncinotify_callback, asyncinotify_event};
use super::types::inotify::asyncinotify;
use super::types::watch::asyncinotify_watch;
use crate::{Deadline, Event, SyncTimeout, Text, Turn, WatchId};

/// In `flags`: not from the kernel. A scan has found this, and it is reported as its appearing would have been.
pub const ASYNCINOTIFY_EVENT_SYNTHETIC: u32 = 0x1;
/// In `flags`: a list of all that is in a tree begins. Mask 0, `path` is the tree's root.
pub const ASYNCINOTIFY_EVENT_SYNC_BEGIN: u32 = 0x2;
/// In `flags`: from here on the tree is whole. Mask 0, `path` is the tree's root.
pub const ASYNCINOTIFY_EVENT_SYNC_END: u32 = 0x4;
/// In `flags`: a directory can't be watched. `error` says why, `path` which; mask ISDIR, wd -1.
pub const ASYNCINOTIFY_EVENT_ERROR: u32 = 0x8;

/// This thread's turn to take events from a handle.
struct Consumer<'a> {
    call: &'a Call,
    turn: Turn<'a>,
    /// What the watch of the event taken last has.
    attached: Attached,
    /// That event ended its watch.
    ended: Option<Destroy>,
}

/// How a round of callbacks ended.
enum End {
    Empty,
    Enough,
    /// A callback returned this.
    Stopped(c_int),
    Woken,
    Closed,
}

impl<'a> Consumer<'a> {
    /// Constructed where it is used and never moved, which would cost more than all the rest.
    #[inline(always)]
    fn new(call: &'a Call, turn: Turn<'a>) -> Self {
        Consumer {
            call,
            turn,
            attached: Attached::NOTHING,
            ended: None,
        }
    }

    /// Begins a call: what earlier events ended is destroyed, the strings of earlier events are recycled.
    #[inline(always)]
    fn begin(&mut self) {
        self.call.attachments().run_delivered();
        self.turn.recycle();
    }

    /// The same for a call that never waits: a wake is done with.
    #[inline(always)]
    fn begin_without_waiting(&mut self) {
        self.begin();
        self.turn.clear_wake();
    }

    /// Before leaving with events untaken: the pollable fd says so, with a new edge. Should it fail, what could not be
    /// read still makes the fd readable, and the next call meets the error; this one has something better to return.
    fn stop_early(&mut self) {
        let _ = self.turn.stop_early();
    }

    /// Takes the next event into `out`; false if there is none.
    #[inline(always)]
    fn take(&mut self, out: *mut asyncinotify_event) -> Result<bool> {
        let Some((watch, last)) = self.turn.take(|event| {
            // SAFETY: `out` is a place for one event, by the check of whoever calls this.
            unsafe { out.write(to_c(event)) };
            (event.watch, event.last)
        })?
        else {
            return Ok(false);
        };
        match watch {
            Some(watch) if last => self.end(watch),
            Some(watch) => self.attached = self.call.attachments().of(watch),
            None => self.attached = Attached::NOTHING,
        }
        // SAFETY: written in full just now.
        unsafe { (*out).userdata = self.attached.userdata };
        // A close in another thread has perhaps taken the userdata away before it was looked up: then there is no event.
        match self.call.is_open() {
            true => Ok(true),
            false => Err(self.abandon()),
        }
    }

    #[cold]
    fn end(&mut self, watch: WatchId) {
        (self.attached, self.ended) = self.call.attachments().end(watch);
    }

    #[cold]
    fn abandon(&mut self) -> Failure {
        self.keep_ended();
        Failure::cancelled()
    }

    /// As `take`, for an event that is returned to C: how many there were.
    #[inline(always)]
    fn take_one(&mut self, out: *mut asyncinotify_event) -> Result<c_int> {
        let taken = self.take(out)?;
        if self.ended.is_some() {
            self.keep_ended();
        }
        Ok(taken.into())
    }

    /// What the event has ended lives until the next call that takes events.
    #[cold]
    fn keep_ended(&mut self) {
        if let Some(ended) = self.ended.take() {
            self.call.attachments().keep_until_next_take(ended);
        }
    }

    /// Calls back for what is there now, at most `max` events. Returns how many were delivered, and why no more.
    fn deliver(
        &mut self,
        max: usize,
        wakes: bool,
        callback: asyncinotify_callback,
        userdata: *mut c_void,
    ) -> (usize, Result<End>) {
        let delivery = self.call.attachments().begin_delivery();
        let mut count = 0;
        let end = loop {
            if count == max {
                break Ok(End::Enough);
            }
            if wakes && self.turn.clear_wake() {
                break Ok(End::Woken);
            }
            self.turn.recycle();
            let mut event = MaybeUninit::uninit();
            match self.take(event.as_mut_ptr()) {
                Ok(true) => count += 1,
                Ok(false) => break Ok(End::Empty),
                Err(failure) => break Err(failure),
            }
            // A callback may look at the pollable fd.
            self.turn.publish();
            let stop = self.call_back(event.as_ptr(), callback, userdata);
            if let Some(ended) = self.ended.take() {
                delivery.finish(ended);
            }
            if !self.call.is_open() {
                break Ok(End::Closed);
            }
            if stop != 0 {
                break Ok(End::Stopped(stop));
            }
        };
        (count, end)
    }

    /// A watch's own callback if it has one, else the general one, else nobody.
    #[inline]
    fn call_back(
        &self,
        event: *const asyncinotify_event,
        callback: asyncinotify_callback,
        userdata: *mut c_void,
    ) -> c_int {
        let (callback, userdata) = match self.attached.callback {
            Some(own) => (Some(own), self.attached.userdata),
            None => (callback, userdata),
        };
        callback.map_or(0, |callback| {
            // SAFETY: the C program gave this function for this purpose; the event is filled and lives until it returns.
            unsafe { callback(self.call.handle(), event, userdata) }
        })
    }

    /// How long a wait may last that begins now; an error where it must not even begin.
    fn deadline(&self) -> Result<Deadline> {
        match self.call.inotify().sync_timeout() {
            SyncTimeout::Disabled if !self.call.inotify().is_blocking() => Err(Failure::new(
                libc::EAGAIN,
                "no event now, and the instance is non-blocking with no sync_timeout set",
            )),
            timeout => Ok(Deadline::after(timeout)),
        }
    }
}

fn woken() -> Failure {
    Failure::new(libc::EINTR, "interrupted by asyncinotify_wake()")
}

#[inline]
fn to_c(event: &Event<'_>) -> asyncinotify_event {
    let (path, path_len) = string(event.path);
    let (name, name_len) = string(event.name);
    let (moved_from, moved_from_len) = string(event.moved_from);
    asyncinotify_event {
        watch: event.watch.map_or(0, WatchId::as_raw),
        wd: event.wd,
        mask: event.mask.bits(),
        cookie: event.cookie,
        flags: event.flags.bits(),
        error: event.error,
        reserved0: 0,
        name,
        name_len,
        path,
        path_len,
        moved_from,
        moved_from_len,
        userdata: ptr::null_mut(),
        reserved: [0; 4],
    }
}

#[inline]
fn string(text: Option<Text<'_>>) -> (*const c_char, usize) {
    text.map_or((ptr::null(), 0), |text| {
        (text.as_ptr(), text.to_bytes().len())
    })
}

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
        let mut consumer = Consumer::new(call, call.inotify().turn()?);
        consumer.begin_without_waiting();
        consumer.take_one(out.place(0))
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
        let mut consumer = Consumer::new(call, call.inotify().turn()?);
        consumer.begin();
        let mut deadline = None;
        loop {
            if consumer.turn.clear_wake() {
                return Err(woken());
            }
            if consumer.take_one(out.place(0))? == 1 {
                return Ok(1);
            }
            // Made when it is needed: an event that is there costs no look at the clock.
            let deadline = match deadline {
                Some(deadline) => deadline,
                None => *deadline.insert(consumer.deadline()?),
            };
            if !consumer.turn.wait(deadline)? {
                return Ok(0);
            }
        }
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
        let mut consumer = Consumer::new(call, call.inotify().turn()?);
        consumer.begin_without_waiting();
        consumer.turn.hold();
        for count in 0..max {
            match consumer.take_one(out.place(count)) {
                Ok(1) => {}
                // What was taken already is not lost to an error; the next call meets it again.
                Err(failure) if count == 0 || !call.is_open() => return Err(failure),
                _ => return Ok(count as isize),
            }
        }
        consumer.stop_early();
        Ok(max as isize)
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
        let mut consumer = Consumer::new(call, call.inotify().turn()?);
        consumer.begin_without_waiting();
        let max = if max == 0 { usize::MAX } else { max };
        match consumer.deliver(max, false, callback, userdata) {
            // What was delivered already is told; the next call meets the error again.
            (0, Err(failure)) => Err(failure),
            (count, Err(_) | Ok(End::Empty | End::Closed)) => Ok(count as isize),
            (count, Ok(End::Enough | End::Stopped(_) | End::Woken)) => {
                consumer.stop_early();
                Ok(count as isize)
            }
        }
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
        let mut consumer = Consumer::new(call, call.inotify().turn()?);
        consumer.begin();
        let mut deadline = None;
        loop {
            // Of watches whose last event a callback took itself.
            call.attachments().run_delivered();
            let (count, end) = consumer.deliver(usize::MAX, true, callback, userdata);
            match end? {
                End::Empty => {}
                End::Closed => return Err(Failure::cancelled()),
                End::Woken => {
                    consumer.stop_early();
                    return Err(woken());
                }
                End::Enough => {}
                End::Stopped(value) => {
                    consumer.stop_early();
                    return Ok(value);
                }
            }
            // The time begins anew with each event.
            let until = match deadline {
                Some(until) if count == 0 => until,
                _ => *deadline.insert(consumer.deadline()?),
            };
            if !consumer.turn.wait(until)? {
                return Ok(0);
            }
        }
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
        // SAFETY: the same.
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

    #[test]
    fn flags_are_the_cores() {
        assert_eq!(ASYNCINOTIFY_EVENT_SYNTHETIC, EventFlags::SYNTHETIC.bits());
        assert_eq!(ASYNCINOTIFY_EVENT_SYNC_BEGIN, EventFlags::SYNC_BEGIN.bits());
        assert_eq!(ASYNCINOTIFY_EVENT_SYNC_END, EventFlags::SYNC_END.bits());
        assert_eq!(ASYNCINOTIFY_EVENT_ERROR, EventFlags::ERROR.bits());
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
