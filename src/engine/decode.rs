//! Decoding: which watches and trees hear of an event.

use super::Engine;
use crate::mask::Mask;
use crate::memory::{self, copy_of};
use crate::scan::Pace;
use crate::stream::{Outbox, Position, RawEvent, Record};
use crate::sys::Sys;
use crate::tree::{Effects, Forest};
use crate::watches::{NO_PLACE, Owner, Watches};

impl Engine {
    /// Decodes what was read up to where something else is due, or enough is ready, or the time is over.
    pub(super) fn decode(&mut self, pace: &Pace) -> Sys<()> {
        /// Events that nobody asked for are many in the time of a slice.
        const BETWEEN_LOOKS: usize = 1024;
        let stop = self.next_due();
        let mut decoded = 0;
        loop {
            self.decode_shortly(stop, pace.enough());
            let is_enough = self.out.len() >= pace.enough() || self.stream.head() >= stop;
            if is_enough || self.stream.is_decoded() {
                return Ok(());
            }
            let has_looked = self.decode_at_length()?;
            decoded += 1;
            if self.sweep_is_late && self.forest.may_sweep() {
                return Ok(());
            }
            let is_time = has_looked || decoded % BETWEEN_LOOKS == 0;
            if memory::is_short() || (is_time && pace.is_over()) {
                pace.stop();
                return Ok(());
            }
        }
    }

    /// Decodes what was read up to `stop`, or until enough is ready, or up to an event that takes the long way.
    #[inline(never)]
    pub(super) fn decode_shortly(&mut self, stop: Position, enough: usize) {
        // Only an event that takes the long way changes what decides on the way.
        if self.forest.has_doubts() {
            return;
        }
        let version = self.forest.version();
        while self.out.len() < enough && self.stream.head() < stop {
            let Some((event, size)) = self.stream.peek() else {
                return;
            };
            let is_told = !self.scans.may_be_reading(&event)
                && self.watches.tell_shortly(&event, version, &mut self.out);
            if !is_told {
                return;
            }
            self.stream.advance(size);
        }
    }

    /// The long way of the next event. True: the disk was asked.
    #[inline(never)]
    fn decode_at_length(&mut self) -> Sys<bool> {
        /// What most events tell.
        const EVENTS: usize = 16;
        const BYTES: usize = 16 * 1024;
        self.out.make_room(EVENTS, BYTES)?;
        let next = self.stream.peek();
        let mut has_looked = false;
        if next.is_some_and(|(event, _)| self.forest.may_end_exchange(&event)) {
            self.look_ahead()?;
            has_looked = self.look_who_stays()?;
        }
        let Some((event, size)) = self.stream.peek() else {
            self.give_up_rest();
            return Ok(false);
        };
        let position = self.stream.head();
        let has_overflowed = event.mask & Mask::Q_OVERFLOW.bits() != 0;
        if !self.scans.is_own_reading(&event, position, &self.stream) {
            let mut decoder = Decoder {
                watches: &mut self.watches,
                forest: &mut self.forest,
                out: &mut self.out,
            };
            decoder.on_event(&event, position);
        }
        self.stream.advance(size);
        if has_overflowed {
            self.watches.end_removed_at(self.stream.tail());
        }
        Ok(has_looked)
    }

    /// What was read is no event, as no kernel has been seen to write it: it is as good as lost.
    #[cold]
    fn give_up_rest(&mut self) {
        let (head, tail) = (self.stream.head(), self.stream.tail());
        let mut decoder = Decoder {
            watches: &mut self.watches,
            forest: &mut self.forest,
            out: &mut self.out,
        };
        decoder.on_event(&RawEvent::OVERFLOW, head);
        self.stream.advance(tail.since(head));
        self.watches.end_removed_at(tail);
    }

    /// Lets the trees know what comes after the next event, a MOVED_FROM.
    #[cold]
    fn look_ahead(&mut self) -> Sys<()> {
        if !self.has_much_pending() {
            // What can't be read now is read later, and is then as good as not yet told.
            let _ = self.stream.drain();
        }
        self.note_ahead()
    }

    fn note_ahead(&mut self) -> Sys<()> {
        let from = self.forest.looks_ahead_from(self.stream.head());
        let pending = self.stream.pending_from(from);
        self.forest.look_ahead(pending, self.stream.tail())
    }

    /// With so many bytes pending nothing is read besides: a storm of renames must not fill the memory.
    fn has_much_pending(&self) -> bool {
        const ENOUGH: usize = 64 * 1024;
        self.stream.tail().since(self.stream.head()) >= ENOUGH
    }

    /// The next event says that a directory leaves a name that it was just renamed to. Where it had come to the place of
    /// another, the disk is asked whether that one is there: then the two have changed places. False: there is no need.
    #[cold]
    fn look_who_stays(&mut self) -> Sys<bool> {
        let Some((event, size)) = self.stream.peek() else {
            return Ok(false);
        };
        let first = self.watches.first_place(event.wd);
        let parent = self.forest.perhaps_changed_places(first, &event);
        let Some(parent) = parent.filter(|_| !self.has_much_pending()) else {
            return Ok(false);
        };
        let (name, cookie) = (copy_of(event.name)?, event.cookie);
        let behind = self.stream.head().plus(size);
        let (scans, mut work) = self.scans();
        let child = work.forest.places().child(parent, &name);
        let child = child.filter(|&child| work.forest.place(child).wd() != 0);
        let same = child.and_then(|child| scans.is_still_at(child, &mut work));
        let look = scans.look_for(parent, &name, &mut work);
        self.stream.drain()?;
        self.note_ahead()?;
        let pending = self.stream.pending_from(behind);
        self.forest
            .looked_who_stays(cookie, (parent, &name), (look, same), pending);
        Ok(true)
    }

    /// The position before which nothing but decoding is due.
    pub(super) fn next_due(&self) -> Position {
        let ending = self.watches.next_ending();
        let backfill = self.scans.next_backfill();
        let due = ending.into_iter().chain(backfill).min();
        due.unwrap_or(Position::END)
    }
}

struct Decoder<'a> {
    watches: &'a mut Watches,
    forest: &'a mut Forest,
    out: &'a mut Outbox,
}

impl Decoder<'_> {
    /// The long way of an event.
    fn on_event(&mut self, event: &RawEvent<'_>, position: Position) {
        if event.mask & Mask::Q_OVERFLOW.bits() != 0 {
            self.out.tell_without_path(Record {
                mask: Mask::Q_OVERFLOW.bits(),
                ..Record::NONE
            });
            return self.with_trees(position, |forest, fx| forest.on_overflow(fx));
        }
        // A descriptor without an owner is one that we have let go of.
        match self.watches.owner(event.wd) {
            Some(Owner::Plain(index)) => {
                let places = self.watches.first_place(event.wd);
                let version = self.forest.version();
                self.watches
                    .on_plain(index, event, position, version, self.out);
                if places != NO_PLACE {
                    self.with_trees(position, |forest, fx| forest.on_places(places, event, fx));
                }
            }
            Some(Owner::Place(first)) => {
                self.with_trees(position, |forest, fx| forest.on_places(first, event, fx));
            }
            Some(Owner::Spent) => self.watches.on_spent(event, self.out),
            None => return,
        }
        if event.mask & Mask::IGNORED.bits() != 0 {
            self.watches.forget(event.wd);
        }
        if event.mask & Mask::MOVED_TO.bits() != 0 && !self.forest.has_limbo() {
            // While something is in limbo, the second half may be held until it is known where its directory is.
            self.out.forget_move(event.cookie);
        }
        self.forest.note_arrival(event);
    }

    fn with_trees(&mut self, position: Position, f: impl FnOnce(&mut Forest, &mut Effects)) {
        let mut effects = Effects {
            watches: self.watches,
            out: self.out,
            position,
        };
        f(self.forest, &mut effects);
    }
}
