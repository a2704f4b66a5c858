//! Directories that are to be scanned, and the filter that is asked before.

use super::{Effects, Filter, Forest, PlaceRef, Places, Standing, Telling, flags};
use crate::debug::{Quoted, debug};
use crate::watch_id::WatchId;
use crate::watches::PlaceId;
use std::collections::VecDeque;
use std::ffi::CString;

/// A directory to watch and list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) place: PlaceRef,
    /// How often it has changed under a scan.
    tries: u8,
}

/// The newest first: what has just come to be is watched soonest. What has changed under a scan goes behind all others,
/// so that nobody who renames on and on keeps the rest from being watched.
#[derive(Default)]
pub(super) struct Queue(VecDeque<Wanted>);

impl Queue {
    pub(super) fn shrink(&mut self) {
        self.0 = VecDeque::new();
    }

    /// The places that are wanted, or were.
    pub(super) fn places(&self, places: &Places) -> impl Iterator<Item = PlaceId> {
        self.0.iter().filter_map(|it| places.resolve(it.place))
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
            self.trees[tree].pending += 1;
            let place = self.places.reference(id);
            self.want_again(Wanted { place, tries: 0 });
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

    /// A scan that has begun is to begin again, next.
    pub(crate) fn want_again(&mut self, wanted: Wanted) {
        if self.enter(wanted) {
            self.wanted.0.push_back(wanted);
        }
    }

    /// A place has one entry in the queue; false if it has it already, or is gone.
    fn enter(&mut self, wanted: Wanted) -> bool {
        let place = self.places.resolve(wanted.place);
        let new = place.filter(|&id| !self.places.get(id).is(flags::ENTRY));
        if let Some(id) = new {
            self.places.set(id, flags::ENTRY);
        }
        new.is_some()
    }

    /// A place has changed while it was scanned: the scan begins again, after all others, but not for ever.
    pub(crate) fn want_later(&mut self, wanted: Wanted, fx: &mut Effects) {
        /// Somebody renames it again and again.
        const TRIES: u8 = 32;
        let tries = wanted.tries + 1;
        let place = wanted.place;
        let id = self
            .places
            .resolve(place)
            .filter(|&id| tries >= TRIES && self.trees[self.places.get(id).tree()].root() != id);
        match id {
            None => {
                let tries = tries.min(TRIES);
                let wanted = Wanted { place, tries };
                if self.enter(wanted) {
                    self.wanted.0.push_front(wanted);
                }
            }
            Some(id) => self.give_up(id, libc::EAGAIN, fx),
        }
    }

    /// A directory can't be watched now: tells so, and tries again when something happens in its parent.
    pub(crate) fn give_up(&mut self, id: PlaceId, errno: i32, fx: &mut Effects) {
        let (epoch, parent) = (self.tree_of(id).epoch(), self.places.get(id).parent());
        if !self.places.get(id).is(flags::TROUBLED) {
            self.tell_error(id, errno, fx);
        }
        self.places.set(id, flags::TROUBLED | flags::UNLISTED);
        self.places.set_epoch(id, epoch);
        self.places.set(parent, flags::RETRY);
        self.troubled.push(self.places.reference(id));
        // Its events take the long way from now on.
        self.places.changed();
        self.unqueue(id);
    }

    /// Something has happened in a directory with subdirectories that could not be watched.
    pub(super) fn retry(&mut self, parent: PlaceId) {
        self.places.unset(parent, flags::RETRY);
        let mut here = Vec::new();
        let places = &self.places;
        self.troubled.retain(|&troubled| {
            let id = places.resolve(troubled);
            let id = id.filter(|&id| places.get(id).is(flags::TROUBLED));
            here.extend(id.filter(|&id| places.get(id).parent() == parent));
            id.is_some_and(|id| places.get(id).parent() != parent)
        });
        for id in here {
            if self.is_stale(id) {
                let known = self.places.get(id).wd() != 0 && !self.tree_of(id).lists();
                let telling = if known {
                    Telling::Nothing
                } else {
                    Telling::AsEvents
                };
                self.want_scan(id, telling);
            }
        }
    }

    /// The scan of a place is over, or not wanted any more.
    pub(crate) fn unqueue(&mut self, id: PlaceId) {
        let place = self.places.get(id);
        if !place.is(flags::QUEUED) {
            return;
        }
        let index = place.tree();
        self.places.unset(id, flags::QUEUED | flags::VERIFY);
        let tree = &mut self.trees[index];
        tree.pending -= 1;
        if tree.pending == 0 && tree.syncing {
            self.want_sweep(index);
        }
    }

    /// A repair has begun since a scan did. The place is scanned once more if the repair has found it already.
    pub(crate) fn was_overtaken(&mut self, id: PlaceId) {
        let place = self.places.get(id);
        let (found, telling) = (place.epoch() == self.tree_of(id).epoch(), place.telling());
        if place.is(flags::QUEUED) {
            self.unqueue(id);
            if found {
                self.want_scan(id, telling);
            }
        }
    }

    /// The place of one that is queued, if it still is. One below a subtree whose place is not known waits with it; one that
    /// has left the tree, or that the repair has not found yet, is forgotten.
    pub(crate) fn admit(&mut self, wanted: Wanted) -> Option<PlaceId> {
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

    /// The next directory to scan. Those whose filter is being asked wait.
    pub(crate) fn next_wanted(&mut self) -> Option<Wanted> {
        let index = self.wanted.0.iter().rposition(|it| self.can_begin(it))?;
        let wanted = self.wanted.0.remove(index)?;
        if let Some(id) = self.places.resolve(wanted.place) {
            self.places.unset(id, flags::ENTRY);
        }
        Some(wanted)
    }

    /// The next one, if it is a subdirectory of `parent` of which nothing is known yet.
    pub(crate) fn next_sibling(&mut self, parent: PlaceId) -> Option<(Wanted, PlaceId)> {
        let &wanted = self.wanted.0.back()?;
        let id = self.places.resolve(wanted.place)?;
        let place = self.places.get(id);
        let is_new = place.wd() == 0 && place.is(flags::QUEUED) && !place.is(flags::LISTING);
        let found = place.epoch() == self.tree_of(id).epoch();
        if place.parent() != parent || !is_new || !found || self.must_ask(id) {
            return None;
        }
        self.wanted.0.pop_back();
        self.places.unset(id, flags::ENTRY);
        Some((wanted, id))
    }

    pub(crate) fn has_scans(&self) -> bool {
        self.wanted.0.iter().rev().any(|it| self.can_begin(it))
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

    /// What a filter has said; it comes back to its tree.
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
