//! Two entries that change places (RENAME_EXCHANGE), which inotify(7) tells as two renames.
//!
//! The first of them ends on a name that stays in use, the second begins there: "a is now b, b is now a". Two plain
//! renames, there and back, say the same, but then nothing is left at `b`. A program that keeps a replica from events alone
//! must be told which of the two happened. So after an exchange the second rename is told as what comes of it: `b` has not
//! gone, and what arrives at `a` is new there, with all in it.
//!
//! Of directories it is known whether the one that was at `b` still is watched, and of a directory and a file the kinds
//! tell. Of two files nothing does: there the disk is asked later, and a name that is still there is told of once more. The
//! same with directories that are not to be watched, or can't be; and with a directory that was not watched yet, where an
//! exchange takes a repair of the tree.

use super::doubts::What;
use super::{Effects, Forest};
use crate::mask::Mask;
use crate::memory;
use crate::stream::{Position, RawEvent};
use crate::sys::Sys;
use crate::watches::PlaceId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The second rename follows the first at once; so many others may come in between.
const KEPT: usize = 16;

/// Names that something was renamed to a moment ago.
#[derive(Default)]
pub(super) struct Arrivals {
    last: VecDeque<Arrival>,
    /// The event that is being followed has replaced a directory that was not watched yet, after so many scans that came to
    /// nothing.
    over_unwatched: Option<u32>,
    /// The cookie of the last exchange's second rename, and how many scans of the directory that it moves came to nothing.
    along: Option<(u32, u32)>,
    /// Names that were there when their directory was listed, and of which the first event says that they are renamed away:
    /// the event may be the second half of an exchange whose first half was not heard. And names to which something is
    /// renamed by the first event: perhaps over something that the list could not show any more.
    half_heard: BTreeSet<(i32, Vec<u8>)>,
    /// What is pending after an event that may be the second half of an exchange.
    ahead: Ahead,
}

/// What is pending. Each event is looked at once, however many renames ask.
#[derive(Default)]
struct Ahead {
    /// How many events were looked at.
    looked: usize,
    /// Descriptors that end, and at which event.
    ends: BTreeMap<i32, usize>,
    /// Where directories arrive, by their cookies.
    arrives: BTreeMap<u32, (i32, Vec<u8>)>,
    /// The cookie of the directory that arrived last at a name, until something else happens to the name.
    stays: BTreeMap<(i32, Vec<u8>), u32>,
    /// The cookies of directories that are renamed on, and by which event.
    moves_on: BTreeMap<u32, usize>,
    /// All events before this position were looked at.
    seen: Position,
}

impl Ahead {
    fn note(&mut self, event: &RawEvent<'_>) {
        self.looked += 1;
        if event.mask & Mask::IGNORED.bits() != 0 {
            self.ends.insert(event.wd, self.looked);
        } else if event.mask & Forest::structural().bits() != 0 {
            let place = (event.wd, event.name.to_vec());
            let stayed = self.stays.remove(&place);
            if event.mask & Mask::MOVED_TO.bits() != 0 && is_dir(event) {
                self.stays.insert(place.clone(), event.cookie);
                self.arrives.insert(event.cookie, place);
            } else if event.mask & Mask::MOVED_FROM.bits() != 0
                && let Some(cookie) = stayed
            {
                self.moves_on.insert(cookie, self.looked);
            }
        }
    }

    /// Since Linux 6.19 the end of a directory that was replaced is told only after the rename is done. If another process
    /// renames the new one back meanwhile, that looks like an exchange. But what ends is not the directory that has arrived
    /// with this cookie if that one stays there, or is renamed on later.
    fn was_replaced(&self, wd: i32, cookie: u32) -> bool {
        let to = self.arrives.get(&cookie);
        let stays = to.and_then(|to| self.stays.get(to)) == Some(&cookie);
        let moves_on = self.moves_on.get(&cookie);
        let end = self.ends.get(&wd);
        end.is_some_and(|end| stays || moves_on.is_some_and(|at| at > end))
    }
}

#[derive(Default)]
struct Arrival {
    wd: i32,
    name: Vec<u8>,
    is_dir: bool,
    /// A directory had the name that was not watched yet.
    over_unwatched: Option<u32>,
    /// The kernel's queue was not empty since.
    just_now: bool,
}

pub(super) fn is_dir(event: &RawEvent<'_>) -> bool {
    event.mask & Mask::ISDIR.bits() != 0
}

impl Arrivals {
    fn note(&mut self, event: &RawEvent<'_>) {
        let mut arrival = Arrival::default();
        if self.last.len() == KEPT
            && let Some(oldest) = self.last.pop_front()
        {
            arrival = oldest;
        }
        arrival.just_now = true;
        let perhaps_over = self.was_half_heard(event).then_some(0);
        arrival.over_unwatched = std::mem::take(&mut self.over_unwatched).or(perhaps_over);
        arrival.wd = event.wd;
        arrival.is_dir = is_dir(event);
        arrival.name.clear();
        arrival.name.extend_from_slice(event.name);
        self.last.push_back(arrival);
    }

    /// The kernel's queue is empty.
    pub(super) fn settle(&mut self) {
        for arrival in &mut self.last {
            arrival.just_now = false;
        }
        self.half_heard.clear();
    }

    pub(super) fn is_unsettled(&self) -> bool {
        self.last.iter().any(|arrival| arrival.just_now) || !self.half_heard.is_empty()
    }

    /// Events were lost.
    pub(super) fn clear(&mut self) {
        self.last.clear();
        self.half_heard.clear();
    }

    fn was_half_heard(&mut self, event: &RawEvent<'_>) -> bool {
        !self.half_heard.is_empty() && self.half_heard.remove(&(event.wd, event.name.to_vec()))
    }

    pub(super) fn came_over_unwatched(&mut self, tries: u32) {
        self.over_unwatched = Some(tries);
    }

    /// How many scans came to nothing of the directory that arrives with this cookie.
    pub(super) fn tries_with(&self, cookie: u32) -> Option<u32> {
        let along = self.along.filter(|(with, _)| *with == cookie);
        along.map(|(_, tries)| tries)
    }

    fn find(&self, event: &RawEvent<'_>) -> Option<&Arrival> {
        let same = |arrival: &&Arrival| arrival.wd == event.wd && arrival.name == event.name;
        self.last.iter().rev().find(same)
    }

    /// Something else happens to the name: it is no longer that of an arrival.
    fn forget(&mut self, event: &RawEvent<'_>) {
        self.last
            .retain(|arrival| arrival.wd != event.wd || arrival.name != event.name);
    }
}

impl Forest {
    /// Whether what was renamed to this name a moment ago is a directory.
    pub(crate) fn is_dir_at(&self, event: &RawEvent<'_>) -> Option<bool> {
        self.arrivals.find(event).map(|arrival| arrival.is_dir)
    }

    /// The first event that was heard of a name says that it is renamed away, although it is there, or that something is renamed
    /// to it, perhaps over something else.
    pub(crate) fn note_half_heard(&mut self, wd: i32, name: &[u8]) {
        self.arrivals.half_heard.insert((wd, name.to_vec()));
    }

    /// An event of an entry has been followed by all that hear of it.
    pub(crate) fn note_arrival(&mut self, event: &RawEvent<'_>) {
        if event.mask & Mask::MOVED_TO.bits() != 0 {
            if self.has_trees() {
                self.arrivals.note(event);
            }
        } else if event.mask & Forest::structural().bits() != 0 {
            self.arrivals.forget(event);
        }
    }

    /// Whether an event may say that a directory leaves a name that it was just renamed to, over another one.
    pub(crate) fn may_end_exchange(&self, event: &RawEvent<'_>) -> bool {
        event.mask & Mask::MOVED_FROM.bits() != 0 && is_dir(event) && self.has_displaced()
    }

    /// `pending` begins with such an event.
    /// From which position on what is pending is still to be looked at.
    pub(crate) fn looks_ahead_from(&mut self, head: Position) -> Position {
        let ahead = &mut self.arrivals.ahead;
        if ahead.seen <= head {
            *ahead = Ahead::default();
            ahead.seen = head;
        }
        ahead.seen
    }

    /// Notes what is pending up to `tail`. ENOMEM: the rest is for another time.
    pub(crate) fn look_ahead<'a>(
        &mut self,
        pending: impl Iterator<Item = (Position, RawEvent<'a>)>,
        tail: Position,
    ) -> Sys<()> {
        let ahead = &mut self.arrivals.ahead;
        for (position, event) in pending {
            if memory::is_short() {
                ahead.seen = position;
                return Err(libc::ENOMEM);
            }
            ahead.note(&event);
        }
        ahead.seen = tail;
        Ok(())
    }

    /// Whether the directory that now leaves a name has changed places with the one that came there.
    fn has_changed_places(&self, displaced: PlaceId, event: &RawEvent<'_>) -> bool {
        let (ahead, wd) = (&self.arrivals.ahead, self.places.get(displaced).wd());
        match (self.came_from(displaced), ahead.arrives.get(&event.cookie)) {
            (Some(from), Some(to)) => from == to && !ahead.was_replaced(wd, event.cookie),
            _ => !ahead.ends.contains_key(&wd),
        }
    }

    /// Whether a MOVED_FROM is the second half of an exchange, after which the name is still there.
    pub(super) fn is_exchange(&mut self, parent: PlaceId, event: &RawEvent<'_>) -> bool {
        if is_dir(event)
            && let Some(displaced) = self.displaced_from(parent, event.name)
            && self.has_changed_places(displaced, event)
        {
            return true;
        }
        let half_heard = self.arrivals.was_half_heard(event);
        let Some(arrival) = self.arrivals.find(event) else {
            if half_heard {
                self.doubt(parent, event.name, What::HalfHeard);
            }
            return false;
        };
        if arrival.is_dir != is_dir(event) {
            return true;
        }
        let (over_unwatched, just_now) = (arrival.over_unwatched.is_some(), arrival.just_now);
        if !is_dir(event) || self.places.child(parent, event.name).is_none() {
            self.doubt(parent, event.name, What::Unknown);
            if !is_dir(event) && !self.tree_of(parent).hears_all() {
                // What has come in exchange may be from a directory that was not watched yet.
                self.doubt_unheard(parent, event.name);
            }
        } else if over_unwatched || just_now || self.tree_of(parent).hides {
            self.doubt(parent, event.name, What::Directory { over_unwatched });
        }
        false
    }

    /// The directory that had the name leaves it to the entry that has come, and will be new where it arrives.
    pub(super) fn on_exchange(&mut self, parent: PlaceId, event: &RawEvent<'_>, fx: &mut Effects) {
        if !is_dir(event) {
            return;
        }
        let displaced = self.displaced_from(parent, event.name);
        let replaced = self.arrivals.find(event).and_then(|it| it.over_unwatched);
        let tries = displaced.map_or(replaced, |place| Some(self.places.get(place).tries()));
        self.arrivals.along = tries.map(|tries| (event.cookie, tries));
        let Some(displaced) = displaced else {
            if let Some(child) = self.places.child(parent, event.name) {
                self.doom(child, fx);
            }
            return;
        };
        self.doom(displaced, fx);
        if self.is_dir_at(event) != Some(false) {
            self.doubt(parent, event.name, What::Stayed);
        }
    }
}
