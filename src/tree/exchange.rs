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
use super::{CALL_IS_OVER, Effects, Forest, Look};
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
    /// Names in such a list of what may be another than what leaves them first.
    strangers: BTreeSet<(i32, Vec<u8>)>,
    /// The cookie with which one of those leaves, 0 for none.
    stranger_moves: u32,
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
    /// The cookie with which a directory leaves a name that it came to, and whether another one is there then: the disk
    /// was asked.
    stays_at: Option<(u32, bool)>,
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

#[derive(Clone, Default)]
pub(super) struct Arrival {
    wd: i32,
    name: Vec<u8>,
    is_dir: bool,
    /// A directory had the name that was not watched yet.
    over_unwatched: Option<u32>,
    /// How often the kernel's queue was seen empty since.
    age: u32,
}

impl Arrival {
    /// The call that brought it may go on: an exchange, say, of which one half is queued, merged with the rename before it.
    fn is_recent(&self) -> bool {
        self.age < CALL_IS_OVER
    }
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
        arrival.age = 0;
        let perhaps_over = self.was_half_heard(event).then_some(0);
        arrival.over_unwatched = std::mem::take(&mut self.over_unwatched).or(perhaps_over);
        arrival.wd = event.wd;
        arrival.is_dir = is_dir(event);
        arrival.name.clear();
        arrival.name.extend_from_slice(event.name);
        self.last.push_back(arrival);
    }

    /// For events that are followed later.
    pub(super) fn copy(&self) -> VecDeque<Arrival> {
        self.last.clone()
    }

    /// The kernel's queue is empty.
    pub(super) fn settle(&mut self) {
        for arrival in &mut self.last {
            arrival.age = arrival.age.saturating_add(1);
        }
        self.half_heard.clear();
        self.strangers.clear();
    }

    pub(super) fn is_unsettled(&self) -> bool {
        self.last.iter().any(Arrival::is_recent) || !self.half_heard.is_empty()
    }

    /// Events were lost.
    pub(super) fn clear(&mut self) {
        self.last.clear();
        self.half_heard.clear();
        self.strangers.clear();
        self.stranger_moves = 0;
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

    /// The arrivals that events are held against from now on; those until now.
    pub(super) fn swap_arrivals(&mut self, arrivals: VecDeque<Arrival>) -> VecDeque<Arrival> {
        std::mem::replace(&mut self.arrivals.last, arrivals)
    }

    /// A directory was listed: what had come to a name is there, or something is pending of it. Else more was lost than
    /// was told: as long as Q_OVERFLOW is in the queue, the kernel does not say so again.
    pub(crate) fn check_arrivals(
        &mut self,
        wd: i32,
        is_pending: impl Fn(&[u8]) -> bool,
        is_directory: impl Fn(&[u8]) -> Option<bool>,
    ) {
        self.arrivals.last.retain(|it| {
            it.wd != wd || is_pending(&it.name) || is_directory(&it.name) == Some(it.is_dir)
        });
    }

    /// What leaves a name first need not be what a list had under that name.
    pub(crate) fn note_stranger(&mut self, wd: i32, name: Vec<u8>) {
        self.arrivals.strangers.insert((wd, name));
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
        event.mask & Mask::MOVED_FROM.bits() != 0
            && is_dir(event)
            && (self.has_displaced() || self.came_over_unwatched(event))
    }

    /// Whether the directory that leaves a name came to it perhaps in exchange for one that was not watched.
    fn came_over_unwatched(&self, event: &RawEvent<'_>) -> bool {
        let arrival = self.arrivals.find(event);
        arrival.is_some_and(|it| it.is_dir && it.over_unwatched.is_some())
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
        if let Some(stays) = self.is_known_to_stay(event) {
            return stays;
        }
        let (ahead, wd) = (&self.arrivals.ahead, self.places.get(displaced).wd());
        match (self.came_from(displaced), ahead.arrives.get(&event.cookie)) {
            (Some(from), Some(to)) => from == to && !ahead.was_replaced(wd, event.cookie),
            _ => !ahead.ends.contains_key(&wd),
        }
    }

    fn is_known_to_stay(&self, event: &RawEvent<'_>) -> Option<bool> {
        let known = self.arrivals.ahead.stays_at;
        known
            .filter(|(cookie, _)| *cookie == event.cookie)
            .map(|(_, stays)| stays)
    }

    /// A place of the directory of such an event, where nothing that is pending says that it is no exchange.
    pub(crate) fn perhaps_changed_places(
        &self,
        first: PlaceId,
        event: &RawEvent<'_>,
    ) -> Option<PlaceId> {
        let over_unwatched = self.came_over_unwatched(event);
        self.same_wd(first)
            .find(|&parent| match self.displaced_from(parent, event.name) {
                Some(displaced) => self.has_changed_places(displaced, event),
                None => over_unwatched && self.places.child(parent, event.name).is_some(),
            })
    }

    /// What a look for the name has come to, which a directory leaves with this cookie, whether the one is there that came
    /// there last, and what is pending behind that.
    pub(crate) fn looked_who_stays<'a>(
        &mut self,
        cookie: u32,
        (parent, name): (PlaceId, &[u8]),
        (look, same): (Look, Option<bool>),
        pending: impl Iterator<Item = (Position, RawEvent<'a>)>,
    ) {
        let wd = self.places.get(parent).wd();
        let structural = Forest::structural().bits();
        let is_loss = |event: &RawEvent<'_>| event.mask & Mask::Q_OVERFLOW.bits() != 0;
        let next = pending.map(|(_, event)| event).find(|event| {
            let of_name = event.wd == wd && event.name == name && event.mask & structural != 0;
            of_name || is_loss(event)
        });
        let same_stays = same.filter(|&same| same);
        let stays = match (next.map(|event| Mask::from_bits_retain(event.mask)), look) {
            // What is there now may have come by what was lost.
            (Some(next), _) if next.contains(Mask::Q_OVERFLOW) => same_stays,
            (Some(next), _) if next.contains(Mask::CREATE) => Some(false),
            // Over what is there, or not.
            (Some(next), _) if next.contains(Mask::MOVED_TO) => None,
            (Some(_), _) => same_stays,
            // The kernel merges two renames to one name that follow each other: another may have come.
            (None, Look::There(_)) => same.or(Some(true)),
            (None, Look::NotThere) => Some(false),
            (None, Look::Elsewhere | Look::CantTell(_)) => None,
        };
        self.arrivals.ahead.stays_at = stays.map(|stays| (cookie, stays));
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
        if self.is_known_to_stay(event) == Some(true) {
            return true;
        }
        let (over_unwatched, recent) = (arrival.over_unwatched.is_some(), arrival.is_recent());
        if !is_dir(event) || self.places.child(parent, event.name).is_none() {
            self.doubt(parent, event.name, What::Unknown);
            if !is_dir(event) && !self.hears_all(self.places.get(parent).tree()) {
                // What has come in exchange may be from a directory that was not watched yet.
                self.doubt_unheard(parent, event.name);
            }
        } else if over_unwatched || recent || self.tree_of(parent).hides {
            self.doubt(parent, event.name, What::Directory { over_unwatched });
        }
        false
    }

    /// A file leaves a name, or comes to one. Where a list had something else under the first, or had it when something had
    /// come there already, it may be what was there before, in exchange: of that one nothing was told.
    pub(super) fn note_stranger_moves(&mut self, parent: PlaceId, event: &RawEvent<'_>) {
        let arrivals = &mut self.arrivals;
        if event.mask & Mask::MOVED_FROM.bits() != 0 {
            let key = (event.wd, event.name.to_vec());
            if arrivals.strangers.remove(&key) && !is_dir(event) {
                arrivals.stranger_moves = event.cookie;
            }
        } else if arrivals.stranger_moves == event.cookie && event.cookie != 0 {
            arrivals.stranger_moves = 0;
            match self.tree_of(parent).mask().contains(Mask::MOVED_TO) {
                true => self.doubt(parent, event.name, What::Unread),
                false => self.doubt_unheard(parent, event.name),
            }
        }
    }

    pub(super) fn has_strangers(&self) -> bool {
        !self.arrivals.strangers.is_empty() || self.arrivals.stranger_moves != 0
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
            let child = self.places.child(parent, event.name);
            if let Some(child) = child.filter(|_| self.is_known_to_stay(event).is_none()) {
                self.doom(child, fx);
            }
            return;
        };
        self.take_away(displaced, fx);
        if self.is_stale(parent) {
            return;
        }
        if self.is_dir_at(event) != Some(false) && self.is_known_to_stay(event).is_none() {
            self.doubt(parent, event.name, What::Stayed);
        }
    }
}
