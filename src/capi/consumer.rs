//! Delivery: events go from the core into memory of C, or to callbacks of C.
//!
//! Every loop of delivery is in this file, one over events and one over waits. The core's `Turn` has the single steps for
//! them: take an event, hold the strings of earlier ones, make the pollable fd agree, wait.

use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use super::attachments::{Attached, Delivery};
use super::destroy::Destroy;
use super::failure::{Failure, Result};
use super::instance::Call;
use super::pointer::Room;
use super::types::event::{asyncinotify_callback, asyncinotify_event};
use crate::{Deadline, Event, SyncTimeout, Text, Turn, WatchId};

/// Takes the next event that is there now. Returns how many there were: 1 or 0.
#[inline(always)]
pub(crate) fn get(call: &Call, out: &Room<asyncinotify_event>) -> Result<c_int> {
    let mut consumer = Consumer::new(call, call.inotify().turn()?);
    consumer.begin_without_waiting();
    Ok(consumer.take_into(out)?.into())
}

/// Takes the next event and waits for it. Returns 1, or 0 if the time was over before there was one.
pub(crate) fn sync_get(call: &Call, out: &Room<asyncinotify_event>) -> Result<c_int> {
    let mut consumer = Consumer::new(call, call.inotify().turn()?);
    consumer.begin();
    let taken = consumer.wait_for(|consumer| {
        if consumer.turn.clear_wake() {
            return Err(woken());
        }
        Ok(consumer.take_into(out)?.then_some(1))
    })?;
    Ok(taken.unwrap_or(0))
}

/// Takes the events that are there now, as many as there is room for. Returns how many there were.
#[inline(always)]
pub(crate) fn get_events(call: &Call, out: &Room<asyncinotify_event>) -> Result<isize> {
    let mut consumer = Consumer::new(call, call.inotify().turn()?);
    consumer.begin_without_waiting();
    let holding = Holding::begin(&mut consumer);
    let end = holding.consumer.gather(out.len(), |consumer| {
        Ok(match consumer.take_into(out)? {
            true => None,
            false => Some(End::Empty),
        })
    });
    match end {
        // The close has ended the life of the strings that were gathered before.
        Err(failure) if !call.is_open() => Err(failure),
        end => holding.consumer.finish(end),
    }
}

/// Calls back for the events that are there now, at most `max` of them. Returns how many there were.
#[inline]
pub(crate) fn dispatch(call: &Call, max: usize, general: General) -> Result<isize> {
    let mut consumer = Consumer::new(call, call.inotify().turn()?);
    consumer.begin_without_waiting();
    let end = consumer.deliver(max, Wakes::Pass, general);
    consumer.finish(end)
}

/// Calls back for events and waits for more. Returns what a callback stopped it with, or 0 when the time is over.
#[inline]
pub(crate) fn run(call: &Call, general: General) -> Result<c_int> {
    let mut consumer = Consumer::new(call, call.inotify().turn()?);
    let stopped = consumer.wait_for(|consumer| {
        // A callback may have taken the last event of a watch itself.
        consumer.begin();
        let before = consumer.count;
        let end = consumer.deliver(usize::MAX, Wakes::Stop, general)?;
        if consumer.count > before {
            // The time begins anew with each event.
            consumer.deadline = None;
        }
        match end {
            End::Empty | End::Enough => Ok(None),
            End::Closed => Err(Failure::cancelled()),
            End::Woken => {
                consumer.stop_early();
                Err(woken())
            }
            End::Stopped(value) => {
                consumer.stop_early();
                Ok(Some(value))
            }
        }
    })?;
    Ok(stopped.unwrap_or(0))
}

/// The callback that a call was given for events of watches without their own, and its userdata.
#[derive(Clone, Copy)]
pub(crate) struct General {
    callback: asyncinotify_callback,
    userdata: *mut c_void,
}

impl General {
    #[inline]
    pub(crate) fn new(callback: asyncinotify_callback, userdata: *mut c_void) -> General {
        General { callback, userdata }
    }
}

/// Whether a wake stops a round of callbacks or lets it pass.
#[derive(Clone, Copy, PartialEq)]
enum Wakes {
    Stop,
    Pass,
}

/// This is why a call takes no more events.
enum End {
    /// None is there now.
    Empty,
    /// The call has as many as it wants.
    Enough,
    /// A callback has returned this number.
    Stopped(c_int),
    /// Another thread, or a signal handler, has woken this one.
    Woken,
    /// The handle was closed while a callback ran.
    Closed,
}

/// One call's turn to take events from a handle.
struct Consumer<'a> {
    call: &'a Call,
    turn: Turn<'a>,
    /// The call has taken so many events.
    count: usize,
    /// The watch of the last of them has this attached.
    attached: Attached,
    /// That event has ended its watch, and this is to be destroyed.
    ended: Option<Box<Destroy>>,
    /// The wait that goes on ends here.
    deadline: Option<Deadline>,
}

/// A consumer that gathers events over several reads, for a caller who gets the strings of all of them.
struct Holding<'c, 'a> {
    consumer: &'c mut Consumer<'a>,
}

impl<'c, 'a> Holding<'c, 'a> {
    #[inline(always)]
    fn begin(consumer: &'c mut Consumer<'a>) -> Self {
        consumer.turn.hold();
        Holding { consumer }
    }
}

impl Drop for Holding<'_, '_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.consumer.turn.release();
    }
}

impl<'a> Consumer<'a> {
    /// The result is made where the caller has it: moving it would cost more than all the rest of a call.
    #[inline(always)]
    fn new(call: &'a Call, turn: Turn<'a>) -> Self {
        Consumer {
            call,
            turn,
            count: 0,
            attached: Attached::NOTHING,
            ended: None,
            deadline: None,
        }
    }

    /// Begins to take events: this destroys what earlier events have ended.
    #[inline(always)]
    fn begin(&mut self) {
        self.call.attachments().run_delivered();
    }

    /// Begins a call that never waits: a pending wake has nothing to interrupt, and is consumed.
    #[inline(always)]
    fn begin_without_waiting(&mut self) {
        self.begin();
        self.turn.clear_wake();
    }

    /// Repeats a step, which takes one event, until a step says why there are no more or `max` events are taken.
    #[inline(always)]
    fn gather(
        &mut self,
        max: usize,
        mut step: impl FnMut(&mut Self) -> Result<Option<End>>,
    ) -> Result<End> {
        while self.count < max {
            if let Some(end) = step(self)? {
                return Ok(end);
            }
        }
        Ok(End::Enough)
    }

    /// Repeats an attempt until it has a result, and waits in between; `None` means that the time is over.
    fn wait_for<R>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        loop {
            if let Some(result) = attempt(self)? {
                return Ok(Some(result));
            }
            let deadline = self.deadline()?;
            if !self.turn.wait(deadline)? {
                return Ok(None);
            }
        }
    }

    /// Returns the end of the wait that goes on, or of one that begins now. It fails if the call may not wait at all.
    fn deadline(&mut self) -> Result<Deadline> {
        if let Some(deadline) = self.deadline {
            return Ok(deadline);
        }
        let inotify = self.call.inotify();
        match inotify.sync_timeout() {
            SyncTimeout::Disabled if !inotify.is_blocking() => Err(Failure::new(
                libc::EAGAIN,
                "no event now, and the instance is non-blocking with no sync_timeout set",
            )),
            timeout => Ok(*self.deadline.insert(Deadline::after(timeout))),
        }
    }

    /// Ends a call that never waits: returns how many events it has taken.
    #[inline(always)]
    fn finish(&mut self, end: Result<End>) -> Result<isize> {
        match end {
            Ok(End::Empty | End::Closed) => {}
            Ok(End::Enough | End::Stopped(_) | End::Woken) => self.stop_early(),
            Err(failure) if self.count == 0 => return Err(failure),
            // The caller is told of the events that it got already; the next call meets the error again.
            Err(_) => {}
        }
        Ok(self.count as isize)
    }

    /// Leaves with events untaken: the pollable fd says so, with a new edge. This may fail. What could not be read then
    /// still makes the fd readable, and the next call meets the error; this call has something better to return.
    fn stop_early(&mut self) {
        let _ = self.turn.stop_early();
    }

    /// Takes the next event into `out`; false if there is none.
    ///
    /// # Safety
    /// `out` is a place for one event.
    #[inline(always)]
    unsafe fn take(&mut self, out: *mut asyncinotify_event) -> Result<bool> {
        let Some((watch, last)) = self.turn.take(|event| {
            // SAFETY: the caller promises the place.
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
        // SAFETY: the event was written in full just now.
        unsafe { (*out).userdata = self.attached.userdata() };
        // Another thread may have closed the handle, and with that have taken the userdata away before it was looked up
        // here: then there is no event.
        match self.call.is_open() {
            true => {
                self.count += 1;
                Ok(true)
            }
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

    /// Takes the next event into the next place of `out`, for a call that returns it to C; false if there is none.
    #[inline(always)]
    fn take_into(&mut self, out: &Room<asyncinotify_event>) -> Result<bool> {
        // SAFETY: this is a place of the room, which `place` checks.
        let taken = unsafe { self.take(out.place(self.count)) }?;
        if self.ended.is_some() {
            self.keep_ended();
        }
        Ok(taken)
    }

    /// Keeps what the event has ended until the next call that takes events.
    #[cold]
    fn keep_ended(&mut self) {
        if let Some(ended) = self.ended.take() {
            self.call.attachments().keep_until_next_take(ended);
        }
    }

    /// Calls back for what is there now, until `max` events are taken.
    fn deliver(&mut self, max: usize, wakes: Wakes, general: General) -> Result<End> {
        // A wake that stops this comes first.
        if wakes == Wakes::Pass && !self.turn.has_more()? {
            return Ok(End::Empty);
        }
        let delivery = self.call.attachments().begin_delivery();
        self.gather(max, |consumer| {
            if wakes == Wakes::Stop && consumer.turn.clear_wake() {
                return Ok(Some(End::Woken));
            }
            consumer.take_and_call_back(&delivery, general)
        })
    }

    #[inline(always)]
    fn take_and_call_back(
        &mut self,
        delivery: &Delivery<'_>,
        general: General,
    ) -> Result<Option<End>> {
        let mut event = MaybeUninit::uninit();
        // SAFETY: the variable is a place for one event.
        if !unsafe { self.take(event.as_mut_ptr()) }? {
            return Ok(Some(End::Empty));
        }
        // The callback may look at the pollable fd.
        self.turn.publish();
        let stop = self.call_back(event.as_ptr(), general);
        if let Some(ended) = self.ended.take() {
            delivery.finish(ended);
        }
        Ok(match stop {
            _ if !self.call.is_open() => Some(End::Closed),
            0 => None,
            _ => Some(End::Stopped(stop)),
        })
    }

    /// Calls the watch's own callback if it has one, else the general one, else nobody.
    #[inline]
    fn call_back(&self, event: *const asyncinotify_event, general: General) -> c_int {
        let (callback, userdata) = match self.attached.callback() {
            Some(own) => (Some(own), self.attached.userdata()),
            None => (general.callback, general.userdata),
        };
        callback.map_or(0, |callback| {
            // SAFETY: the C program gave this function for this purpose; the event is filled and lives until it returns.
            unsafe { callback(self.call.handle(), event, userdata) }
        })
    }
}

fn woken() -> Failure {
    Failure::new(libc::EINTR, "interrupted by asyncinotify_wake()")
}

/// Turns an event of the core into one of C, without userdata.
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
