//! Directories that are to be scanned, and the filter that is asked before.

use super::places::{MOST_TRIES, Places};
use super::{Effects, Filter, Forest, PlaceRef, Standing, Telling, flags};
use crate::debug::{Quoted, debug};
use crate::watch_id::WatchId;
use crate::watches::PlaceId;
use std::collections::VecDeque;
use std::ffi::CString;

/// A directory to watch and list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) place: PlaceRef,
}

/// The newest first: what has just come to be is watched soonest. A place that has changed under a scan goes behind all
/// others, and after a scan that came to nothing the oldest is next: a program that renames a directory on and on does not
/// keep the rest from being watched.
#[derive(Default)]
pub(super) struct Queue {
    entries: VecDeque<Wanted>,
    /// Places that have changed under a scan.
    later: VecDeque<Wanted>,
    /// How many scans came to nothing.
    misses: u32,
    missed: bool,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.later.is_empty()
    }

    pub(super) fn shrink(&mut self) {
        self.entries = VecDeque::new();
        self.later = VecDeque::new();
    }

    /// The places that are wanted, or were.
    pub(super) fn places(&self, places: &Places) -> impl Iterator<Item = PlaceId> {
        let wanted = self.entries.iter().chain(&self.later);
        wanted.filter_map(|it| places.resolve(it.place))
    }
}

/// A filter to ask, with no lock held.
pub(crate) struct Question {
    tree: u32,
    id: WatchId,
    place: PlaceRef,
    path: CString,
    filter: Filter,
}

pub(crate) struct Answer {
    question: Question,
    yes: bool,
}

impl Question {
    pub(crate) fn ask(mut self) -> Answer {
        let yes = (self.filter)(&self.path);
        let question = self;
        Answer { question, yes }
    }
}

impl Forest {
    pub(crate) fn want_scan(&mut self, id: PlaceId, telling: Telling) {
        let queued = self.places.get(id).is(flags::QUEUED);
        if !queued || telling != Telling::Nothing {
            // A scan that is to tell what it finds is not made a silent one.
            self.places.set_telling(id, telling);
        }
        if !queued {
            self.places.set(id, flags::QUEUED);
            let tree = self.places.get(id).tree();
            // What could not be watched is not waited for. But a repair begins with the root.
            let troubled = self.places.get(id).is(flags::TROUBLED) && self.trees[tree].root != id;
            (self.scanning, self.trees[tree].scanning) = (true, true);
            if !troubled && self.trees[tree].waits_for(telling) {
                self.places.set(id, flags::PENDING);
                self.trees[tree].pending += 1;
            }
            let place = self.places.reference(id);
            self.want_again(Wanted { place });
        }
    }

    /// Wants a look at the disk: whether a place is what it is taken for.
    pub(crate) fn want_look(&mut self, id: PlaceId) {
        let place = self.places.get(id);
        if place.wd() != 0 && !place.is(flags::QUEUED) {
            self.places.set(id, flags::VERIFY);
            self.want_scan(id, Telling::Nothing);
        }
    }

    /// A scan that has begun is to begin again.
    pub(crate) fn want_again(&mut self, wanted: Wanted) {
        if let Some(id) = self.enter(wanted) {
            match self.places.get(id).tries() {
                0 => self.wanted.entries.push_back(wanted),
                _ => self.wanted.later.push_back(wanted),
            }
        }
    }

    /// The start of a scan came to nothing, and is to be tried again.
    pub(crate) fn want_again_if_queued(&mut self, wanted: Wanted) {
        let id = self.places.resolve(wanted.place);
        let place = id.map(|id| self.places.get(id));
        if place.is_some_and(|place| place.is(flags::QUEUED) && !place.is(flags::LISTING)) {
            self.want_again(wanted);
        }
    }

    /// A place has one entry in the queue; None if it has it already, or is gone.
    fn enter(&mut self, wanted: Wanted) -> Option<PlaceId> {
        let place = self.places.resolve(wanted.place);
        let id = place.filter(|&id| !self.places.get(id).is(flags::ENTRY))?;
        self.places.set(id, flags::ENTRY);
        Some(id)
    }

    /// A place has changed while it was scanned: the scan begins again, after all others, but not for ever.
    pub(crate) fn want_later(&mut self, wanted: Wanted, fx: &mut Effects) {
        self.wanted.misses += 1;
        self.wanted.missed = true;
        let Some(id) = self.places.resolve(wanted.place) else {
            return;
        };
        let tries = self.places.get(id).tries();
        if tries == MOST_TRIES && self.tree_of(id).root() != id {
            return self.give_up(id, libc::EAGAIN, fx);
        }
        self.places.set_tries(id, tries + 1);
        self.want_again(wanted);
    }

    /// Gives a directory up of which repair after repair could not make sense, so that this one comes to its end.
    pub(crate) fn give_up_worn_out(&mut self, id: PlaceId, fx: &mut Effects) -> bool {
        let tree = self.tree_of(id);
        let worn_out = self.places.get(id).tries() == MOST_TRIES;
        let gives_up = worn_out && tree.is_being_repaired() && tree.root() != id;
        if gives_up {
            self.give_up(id, libc::EAGAIN, fx);
        }
        gives_up
    }

    /// The scan of a place is over, or not wanted any more.
    pub(crate) fn unqueue(&mut self, id: PlaceId) {
        let place = self.places.get(id);
        if !place.is(flags::QUEUED) {
            return;
        }
        let index = place.tree();
        let pending = usize::from(place.is(flags::PENDING));
        self.places.unset(id, flags::OF_SCAN);
        let tree = &mut self.trees[index];
        tree.pending -= pending;
        if tree.pending == 0 && pending > 0 && tree.syncing {
            self.want_sweep(index);
        }
    }

    /// A repair has begun since a scan did. The place is scanned once more if the repair has found it already.
    pub(crate) fn was_overtaken(&mut self, id: PlaceId) {
        let place = self.places.get(id);
        let (found, telling) = (place.epoch() == self.tree_of(id).epoch(), place.telling());
        let deeper = place.is(flags::DEEPER);
        if place.is(flags::QUEUED) {
            self.unqueue(id);
            if found {
                self.want_scan(id, telling);
            }
            if found && deeper {
                self.places.set(id, flags::DEEPER);
            }
        }
    }

    /// The place of an entry of the queue, if the place still is to be scanned. A place below a subtree in limbo waits with
    /// that subtree. A place that has left the tree, or that the repair has not found yet, is forgotten.
    fn admit(&mut self, wanted: Wanted) -> Option<PlaceId> {
        let id = self.places.resolve(wanted.place)?;
        let place = self.places.get(id);
        if !place.is(flags::QUEUED) || place.is(flags::LISTING) {
            return None;
        }
        let found = place.epoch() == self.tree_of(id).epoch();
        match self.standing(id) {
            Standing::Limbo { top } => {
                self.hold_scan(top, wanted);
                None
            }
            Standing::InTree if found && self.is_scannable(id) => Some(id),
            _ => {
                self.unqueue(id);
                None
            }
        }
    }

    /// Of a tree that can't be reached only the root is tried.
    fn is_scannable(&self, id: PlaceId) -> bool {
        let tree = self.tree_of(id);
        !tree.is_ending() && (!tree.is_lost() || tree.root() == id)
    }

    /// The next directory to scan; None also after many that are not wanted any more.
    pub(crate) fn next_wanted(&mut self) -> Option<(Wanted, PlaceId)> {
        const AT_ONCE: usize = 1024;
        for _ in 0..AT_ONCE {
            let wanted = self.take_wanted()?;
            if let Some(id) = self.admit(wanted) {
                self.wanted.missed = false;
                return Some((wanted, id));
            }
        }
        None
    }

    /// The next entry of the queue. A directory waits while the filter of its tree is being asked.
    fn take_wanted(&mut self) -> Option<Wanted> {
        let can_begin = |wanted: &Wanted| self.can_begin(wanted);
        let Queue { entries, later, .. } = &self.wanted;
        let newest = || entries.iter().rposition(can_begin).map(|at| (at, false));
        let oldest = || entries.iter().position(can_begin).map(|at| (at, false));
        let put_off = || later.iter().position(can_begin).map(|at| (at, true));
        // The oldest of those that were put off has its turn too.
        let (index, is_later) = match (self.wanted.missed, self.wanted.misses % 2) {
            (false, _) => newest().or_else(put_off),
            (true, 0) => put_off().or_else(oldest),
            (true, _) => oldest().or_else(put_off),
        }?;
        let wanted = match is_later {
            true => self.wanted.later.remove(index)?,
            false => self.wanted.entries.remove(index)?,
        };
        if let Some(id) = self.places.resolve(wanted.place) {
            self.places.unset(id, flags::ENTRY);
        }
        Some(wanted)
    }

    /// The next directory to scan, if it is a subdirectory of `parent` of which nothing is known yet.
    pub(crate) fn next_sibling(&mut self, parent: PlaceId) -> Option<(Wanted, PlaceId)> {
        let &wanted = self.wanted.entries.back()?;
        let id = self.places.resolve(wanted.place)?;
        let place = self.places.get(id);
        let is_new = place.wd() == 0 && place.is(flags::QUEUED) && !place.is(flags::LISTING);
        let found = place.epoch() == self.tree_of(id).epoch();
        if place.parent() != parent || !is_new || !found || self.must_ask(id) {
            return None;
        }
        self.wanted.entries.pop_back();
        self.places.unset(id, flags::ENTRY);
        Some((wanted, id))
    }

    pub(crate) fn has_scans(&self) -> bool {
        let entries = self.wanted.entries.iter().rev();
        entries
            .chain(&self.wanted.later)
            .any(|it| self.can_begin(it))
    }

    /// Whether a scan does not wait for a filter that another thread is asking.
    fn can_begin(&self, wanted: &Wanted) -> bool {
        self.places
            .resolve(wanted.place)
            .is_none_or(|id| !self.must_ask(id) || !self.tree_of(id).is_asking())
    }

    fn must_ask(&self, id: PlaceId) -> bool {
        let place = self.places.get(id);
        let tree = self.tree_of(id);
        tree.has_filter() && tree.root() != id && !place.is(flags::ASKED)
    }

    /// The question whether to watch a directory, if it has to be asked; the scan waits for the answer.
    pub(crate) fn question(&mut self, id: PlaceId, wanted: Wanted) -> Option<Question> {
        if !self.must_ask(id) {
            return None;
        }
        let index = self.places.get(id).tree();
        let filter = self.trees[index].lend_filter()?;
        self.want_again(wanted);
        Some(Question {
            tree: index,
            id: self.trees[index].id(),
            place: wanted.place,
            path: CString::new(self.path_of(id)).unwrap_or_default(),
            filter,
        })
    }

    /// A filter has answered. The filter comes back to its tree.
    pub(crate) fn answer(&mut self, answer: Answer, fx: &mut Effects) {
        let Answer { question, yes } = answer;
        let (says, path) = (if yes { "yes" } else { "no" }, question.path.to_bytes());
        debug!(self.log, "filter says {says} to {}", Quoted(path));
        let tree = self.trees.get_mut(question.tree);
        let Some(tree) = tree.filter(|tree| tree.id() == question.id) else {
            self.garbage.push(question.filter);
            return;
        };
        tree.give_back_filter(question.filter);
        tree.hides |= !yes;
        let Some(id) = self.places.resolve(question.place) else {
            return;
        };
        if yes {
            self.places.set(id, flags::ASKED);
        } else if !self.places.get(id).is(flags::DOOMED) {
            self.doom(id, fx);
        }
    }

    #[cfg(any(debug_assertions, simulation))]
    pub(super) fn wanted_places(&self) -> impl Iterator<Item = PlaceId> + '_ {
        self.wanted.places(&self.places)
    }
}
