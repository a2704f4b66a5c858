//! Scans: putting a watch on a directory and telling what was in it before.
//!
//! Watch first, list second, read the kernel's queue third. What was there when the watch began follows from the three:
//! a name that no queued event tells of is there exactly if it was listed; one whose first event is its going was there;
//! one whose first event is its coming was not. It is told at the position in the stream at which it was true: before
//! the directory's first own event. So nothing is told twice, nothing is missed, and no path is wrong.
//!
//! A scan begins when all that was read is decoded. If the queue then turns out to hold a rename or a deletion of the
//! directory, or of one above it, the path may have led elsewhere: the scan is void, and begins again when that event
//! has been followed.

use crate::places::{PlaceId, PlaceRef, state};
use crate::state::{Pace, State};
use crate::sys::Sys;
use crate::tree::Filter;
use crate::watch_id::WatchId;
use std::ffi::CString;

/// A filter to ask, with no lock held.
pub(crate) struct Question {
    pub(crate) tree: u32,
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
        Answer {
            question: self,
            yes,
        }
    }
}

impl State {
    pub(crate) fn queue_scan(&mut self, id: PlaceId, how: u16) {
        let reference = self.places.reference(id);
        let place = self.places.get_mut(id);
        let queued = place.is(state::QUEUED);
        if !queued || how & (state::REPORT | state::LISTED) != 0 {
            // A scan that is to tell what it finds is not made a silent one.
            place.unset(state::REPORT | state::LISTED);
            place.set(how);
        }
        if !queued {
            place.set(state::QUEUED);
            let tree = place.tree;
            self.trees[tree].pending += 1;
            self.scans.push(reference);
        }
    }

    /// Looks on the disk whether a place is what it is taken for.
    pub(crate) fn verify(&mut self, id: PlaceId) {
        if self.places.get(id).wd != 0 && !self.places.get(id).is(state::QUEUED) {
            self.queue_scan(id, state::VERIFY);
        }
    }

    pub(crate) fn unqueue(&mut self, id: PlaceId) {
        let place = self.places.get_mut(id);
        if !place.is(state::QUEUED) {
            return;
        }
        place.unset(state::QUEUED | state::VERIFY);
        let tree = place.tree;
        self.trees[tree].pending -= 1;
        if self.trees[tree].pending == 0 && self.trees[tree].syncing {
            self.finished.push(tree);
        }
    }

    /// Forgets all scans of a tree that are queued or under way, and half-seen renames with them.
    pub(crate) fn drop_scans_of(&mut self, tree: u32) {
        let mut dropped = Vec::new();
        let mut scans = std::mem::take(&mut self.scans);
        scans.retain(|&scan| {
            self.places
                .resolve(scan)
                .is_some_and(|id| self.places.get(id).tree != tree)
        });
        self.scans = scans;
        if self.listings.iter().any(|listing| listing.tree == tree) {
            self.drop_listings();
        }
        self.emissions.retain(|emission| emission.tree != tree);
        let queued = self
            .places
            .all()
            .filter(|(_, place)| place.tree == tree && place.is(state::QUEUED));
        dropped.extend(queued.map(|(id, _)| id));
        for id in dropped {
            self.places.get_mut(id).unset(state::QUEUED | state::VERIFY);
        }
        self.trees[tree].pending = 0;
        self.forget_doubts_of(tree);
        self.finished.retain(|&finished| finished != tree);
        let in_limbo: Vec<_> = self.limbo.iter().map(|limbo| limbo.place).collect();
        for place in in_limbo {
            if self.places.get(place).tree == tree {
                self.drop_limbo(place);
            }
        }
    }

    /// Starts on the next directory, or has its filter asked first.
    pub(crate) fn scan_next(&mut self, pace: &Pace) -> Sys<Option<Question>> {
        let Some(reference) = self.next_scan() else {
            return Ok(None);
        };
        let Some(id) = self
            .places
            .resolve(reference)
            .filter(|&id| self.places.get(id).is(state::QUEUED))
        else {
            return Ok(None);
        };
        let index = self.places.get(id).tree;
        let top = self.places.top(id);
        if self.places.get(top).is(state::LIMBO) {
            self.hold_scan(top, reference);
            return Ok(None);
        }
        if top != self.trees[index].root || self.trees[index].ending {
            self.unqueue(id);
            return Ok(None);
        }
        if self.must_ask(id)
            && let Some(filter) = self.trees[index].filter.take()
        {
            self.scans.push(reference);
            let path = CString::new(self.path_of(id)).unwrap_or_default();
            let id = self.trees[index].id;
            return Ok(Some(Question {
                tree: index,
                id,
                place: reference,
                path,
                filter,
            }));
        }
        if let Err(errno) = self.reach(index) {
            self.drain()?;
            if self.backlog.is_empty() {
                self.lose_tree(index, errno);
            } else {
                // The end of the root may be among it.
                self.scans.push(reference);
            }
            return Ok(None);
        }
        if self.trees[index].lost {
            // It is there again; what was to be scanned meanwhile was given up.
            self.begin_sync(index);
            return Ok(None);
        }
        match self.open_and_watch(id) {
            Ok((directory, wd)) => {
                self.listed.clear();
                self.begin_listing(reference, index, directory, wd);
                self.list_on(pace)?;
            }
            Err(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ESTALE) => {
                self.confirm_gone(id)?
            }
            Err(errno) => self.scan_failed(id, errno),
        }
        Ok(None)
    }

    /// The newest scan first: what has just come to be is watched soonest. Those whose filter is being asked wait.
    fn next_scan(&mut self) -> Option<PlaceRef> {
        let index = self.scans.iter().rposition(|scan| self.can_begin(scan))?;
        Some(self.scans.remove(index))
    }

    pub(crate) fn has_scans(&self) -> bool {
        self.scans.iter().rev().any(|scan| self.can_begin(scan))
    }

    /// Whether a scan does not wait for a filter that another thread is asking.
    fn can_begin(&self, scan: &PlaceRef) -> bool {
        self.places
            .resolve(*scan)
            .is_none_or(|id| !self.must_ask(id) || !self.is_asking(self.places.get(id).tree))
    }

    /// Whether a tree's filter is out to be asked.
    pub(crate) fn is_asking(&self, index: u32) -> bool {
        self.trees
            .get(index)
            .is_some_and(|tree| tree.has_filter && tree.filter.is_none())
    }

    pub(crate) fn must_ask(&self, id: PlaceId) -> bool {
        let place = self.places.get(id);
        self.trees
            .get(place.tree)
            .is_some_and(|tree| tree.has_filter && tree.root != id)
            && !place.is(state::ASKED)
    }

    /// What a filter said; it comes back to its tree.
    pub(crate) fn answer(&mut self, answer: Answer) {
        let Answer { question, yes } = answer;
        let Some(tree) = self
            .trees
            .get_mut(question.tree)
            .filter(|tree| tree.id == question.id)
        else {
            self.garbage.push(question.filter);
            return;
        };
        tree.filter = Some(question.filter);
        let Some(id) = self.places.resolve(question.place) else {
            return;
        };
        if yes {
            self.places.get_mut(id).set(state::ASKED);
        } else if !self.places.get(id).is(state::DOOMED) {
            self.doom(id);
        }
    }

    /// A directory could not be reached. Either it is gone, or it, or one above it, is being renamed and the event is not
    /// queued yet.
    fn confirm_gone(&mut self, id: PlaceId) -> Sys<()> {
        self.drain()?;
        if self.backlog.is_empty() {
            self.wait_for_renames_above(id);
            self.drain()?;
        }
        if !self.backlog.is_empty() {
            self.scans.push(self.places.reference(id));
        } else if self.trees[self.places.get(id).tree].root == id {
            self.lose_tree(self.places.get(id).tree, libc::ENOENT);
        } else {
            self.doom(id);
        }
        Ok(())
    }

    /// All renames and removals of a place, or of one above it, that can be seen on the disk are queued when this returns.
    pub(crate) fn wait_for_renames_above(&mut self, id: PlaceId) {
        let above: Vec<PlaceId> = self.places.above(id).collect();
        for place in above.into_iter().rev() {
            match self.open_anchor_of(place) {
                Ok(directory) => drop(directory.wait_for_renames()),
                Err(_) => break,
            }
        }
    }

    pub(crate) fn scan_failed(&mut self, id: PlaceId, errno: i32) {
        let index = self.places.get(id).tree;
        let tree = &mut self.trees[index];
        let limit = matches!(
            errno,
            libc::ENOSPC | libc::EMFILE | libc::ENFILE | libc::ENOMEM
        );
        if limit && tree.setting_up {
            tree.failure = Some(errno);
        } else if errno == libc::EXDEV {
            self.doom(id);
        } else if tree.root == id {
            self.lose_tree(index, errno);
        } else {
            self.tell_error(id, errno);
            self.doom(id);
        }
    }

    pub(crate) fn new_place(&mut self, parent: PlaceId, name: &[u8]) -> PlaceId {
        let tree = self.places.get(parent).tree;
        self.trees[tree].places += 1;
        self.places.add(tree, self.trees[tree].epoch, parent, name)
    }
}
