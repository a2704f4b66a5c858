//! Taking events: one thread at a time, which owns what it takes until it comes for more.

use super::inotify::{Inotify, SyncTimeout};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::memory::Room;
use crate::scan::Pace;
use crate::stream::{Batch, Event};
use crate::sys::Sys;
use crate::sys::owner_lock::Owned;
use crate::watch_id::WatchId;
use std::time::{Duration, Instant};

/// Events on their last stage, and the memory of those already taken.
#[derive(Default)]
pub(crate) struct Reader {
    batch: Batch,
    next: usize,
    /// Batches taken to their end whose strings are still in use.
    kept: Vec<Batch>,
    spare: Vec<Batch>,
    /// This counts the calls that still need the strings of all events taken so far; see [`Turn::hold`].
    holds: usize,
}

impl Reader {
    #[inline]
    pub(crate) fn has_events(&self) -> bool {
        self.next < self.batch.len()
    }

    /// How many events are ready to be taken.
    pub(crate) fn len(&self) -> usize {
        self.batch.len() - self.next
    }

    /// Takes the next event. If its watch ends with it, that comes along.
    #[inline]
    fn take<R>(&mut self, f: impl Fn(&Event<'_>) -> R) -> Option<(R, Option<WatchId>)> {
        if !self.has_events() {
            return None;
        }
        let event = self.batch.event(self.next);
        self.next += 1;
        let ended = if event.last { event.watch } else { None };
        Some((f(&event), ended))
    }

    /// Reuses the memory of events that were handed out before, unless a turn holds on to them.
    fn recycle(&mut self) {
        if self.kept.is_empty() || self.holds > 0 {
            return;
        }
        /// More are in use only while a call gathers events over several reads.
        const SPARE: usize = 2;
        while let Some(mut batch) = self.kept.pop() {
            if self.spare.len() < SPARE && self.spare.make_room(1).is_ok() {
                batch.clear();
                self.spare.push(batch);
            }
        }
    }

    /// Takes over the events that are ready. ENOMEM: they stay where they are.
    pub(super) fn receive(&mut self, engine: &mut Engine) -> Sys<()> {
        self.kept.make_room(1)?;
        if self.has_events() {
            // A filter that was asked meanwhile has taken events itself, and left some: they come first.
            engine.append_out(&mut self.batch)?;
            return Ok(());
        }
        let mut batch = self.spare.pop().unwrap_or_default();
        engine.swap_out(&mut batch);
        let done = std::mem::replace(&mut self.batch, batch);
        self.next = 0;
        self.kept.push(done);
        Ok(())
    }
}

/// The right to take events, until it is dropped.
pub struct Turn<'a> {
    inotify: &'a Inotify,
    reader: Owned<'a, Reader>,
    /// What was spent on scans and the like. The caller's own time, in callbacks, is not in it.
    worked: Duration,
    /// No more is fetched in this turn: it has worked for a slice.
    took_its_time: bool,
}

/// When a wait is over.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// `timeout` from now. Disabled is for the caller to interpret; here it waits for ever.
    pub fn after(timeout: SyncTimeout) -> Deadline {
        Deadline(match timeout {
            SyncTimeout::Disabled | SyncTimeout::Infinite => None,
            SyncTimeout::Millis(ms) => Instant::now().checked_add(Duration::from_millis(ms.into())),
        })
    }
}

impl<'a> Turn<'a> {
    pub(crate) fn new(inotify: &'a Inotify, reader: Owned<'a, Reader>) -> Turn<'a> {
        Turn {
            inotify,
            reader,
            worked: Duration::ZERO,
            took_its_time: false,
        }
    }

    /// From here to `release` every string that was handed out stays valid. A filter may be asked meanwhile, and may take
    /// events itself: the turn that it has for this recycles nothing.
    #[inline]
    pub fn hold(&mut self) {
        self.reader.with(|reader| reader.holds += 1);
    }

    /// Takes one `hold` back.
    #[inline]
    pub fn release(&mut self) {
        self.reader.with(|reader| reader.holds -= 1);
    }

    /// The next event that is there now; never blocks. Its strings stay valid until the next one is taken, or for as long as
    /// they are held. `f` copies out what is wanted; it must not take events itself.
    #[inline]
    pub fn take<R>(&mut self, f: impl Fn(&Event<'_>) -> R) -> Result<Option<R>> {
        self.inotify.check_open()?;
        let mut taken = self.reader.with(|reader| reader.take(&f));
        if taken.is_none() {
            if !self.fetch_more()? {
                return Ok(None);
            }
            taken = self.reader.with(|reader| reader.take(&f));
        }
        let Some((result, ended)) = taken else {
            return Ok(None);
        };
        if let Some(id) = ended {
            self.retire(id)?;
        }
        Ok(Some(result))
    }

    /// Whether there is an event now.
    #[inline]
    pub fn has_more(&mut self) -> Result<bool> {
        self.inotify.check_open()?;
        Ok(self.reader.with(|reader| reader.has_events()) || self.fetch_more()?)
    }

    /// Gets a batch of events ready, unless this turn has worked for a slice: then the next call goes on, and edge-triggered
    /// waiters get a new edge for it.
    #[inline]
    fn fetch_more(&mut self) -> Result<bool> {
        if self.took_its_time {
            self.inotify.renew_edge_if_working();
            return Ok(false);
        }
        self.refill()
    }

    #[cold]
    fn retire(&mut self, id: WatchId) -> Result<()> {
        self.inotify.with_state(|state| {
            state.retire(id);
            Ok(())
        })
    }

    /// Gets a batch of events ready; false if there are none now.
    fn refill(&mut self) -> Result<bool> {
        self.reader.with(Reader::recycle);
        // One slice, however often the turn comes here and however many filters are asked.
        let pace = Pace::rest_of_slice(self.worked);
        let fetched = self.inotify.fetch(&pace, &mut self.reader);
        self.worked += pace.spent();
        self.took_its_time |= pace.was_over();
        fetched
    }

    /// Makes the pollable fd agree with what is left: before strangers' code runs within this turn.
    #[inline]
    pub fn publish(&mut self) {
        let has_events = self.reader.with(|reader| reader.has_events());
        if has_events != self.inotify.is_ready() {
            self.publish_change(has_events);
        }
    }

    #[cold]
    fn publish_change(&mut self, has_events: bool) {
        // What was read but not decoded may be nothing anybody asked for.
        let has_events =
            has_events || (self.inotify.has_undecoded() && self.look_ahead().unwrap_or(true));
        self.inotify.publish(has_events);
    }

    fn look_ahead(&mut self) -> Result<bool> {
        // An event may be on its way to the caller.
        self.hold();
        let fetched = self.refill();
        self.release();
        fetched
    }

    /// Takes back wakes that are pending; whether there were any.
    #[inline]
    pub fn clear_wake(&mut self) -> bool {
        self.inotify.clear_wake()
    }

    /// Before leaving with events untaken: edge-triggered waiters get a new edge if there are any.
    pub fn stop_early(&mut self) -> Result<()> {
        let has_events = self.reader.with(|reader| reader.has_events());
        if has_events || self.look_ahead()? {
            self.inotify.publish(true);
            self.inotify.renew_edge();
        }
        Ok(())
    }

    /// Blocks until there may be something: true; false at the deadline. EINTR on a signal or a wake, which is consumed.
    pub fn wait(&mut self, deadline: Deadline) -> Result<bool> {
        (self.worked, self.took_its_time) = (Duration::ZERO, false);
        self.publish();
        if deadline.0.is_some_and(|at| Instant::now() >= at) {
            // Also where the fd is readable: for events that nobody asked for, or for a scan that goes on.
            return Ok(false);
        }
        let readable = self.inotify.wait(deadline.0)?;
        self.inotify.check_open()?;
        if readable && self.clear_wake() {
            return Err(Error::new(libc::EINTR, "interrupted by a wake"));
        }
        Ok(readable)
    }
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        self.publish();
    }
}
