//! Subtrees that have lost their name: of a renamed directory the first half was seen, the second is to come, or not.
//!
//! No timer decides. The kernel tells of both halves while it holds the lock of the old directory; so once that lock was
//! taken after the first half, and all that is queued was read, a second half that was not seen never comes: the
//! directory has left the tree.

use crate::backlog::{RawEvent, raw_events};
use crate::places::{PlaceId, PlaceRef, state};
use crate::state::State;
use crate::sys::Sys;

pub(crate) struct Limbo {
    pub(crate) place: PlaceId,
    pub(crate) why: Why,
    /// The directory it was in.
    parent: PlaceRef,
    /// Events from inside, for when it is known where that is.
    held: Vec<u8>,
    /// Whose they are, one for each.
    held_by: Vec<PlaceRef>,
    /// Scans that wait for the same.
    scans: Vec<PlaceRef>,
    /// The lock was taken.
    settled: bool,
}

pub(crate) enum Why {
    /// MOVED_FROM was seen, with this cookie.
    Moved { cookie: u32 },
    /// Another directory was moved to its name: replaced, or the two have been exchanged.
    Displaced { name: Vec<u8> },
}

impl State {
    /// Takes a place off its parent until it is known where it is.
    pub(crate) fn put_in_limbo(&mut self, place: PlaceId, parent: PlaceId, why: Why) {
        let parent = self.places.reference(parent);
        self.places.unlink(place);
        self.places.get_mut(place).set(state::LIMBO);
        self.limbo.push(Limbo {
            place,
            why,
            parent,
            held: Vec::new(),
            held_by: Vec::new(),
            scans: Vec::new(),
            settled: false,
        });
    }

    /// The second half has come: `place` is `name` in `parent` from now on.
    pub(crate) fn leave_limbo(&mut self, index: usize, parent: PlaceId, name: &[u8]) {
        let limbo = self.limbo.swap_remove(index);
        self.places.get_mut(limbo.place).unset(state::LIMBO);
        self.places.link(limbo.place, parent, name);
        self.scans.extend(limbo.scans);
        for ((_, event), reference) in raw_events(&limbo.held).zip(limbo.held_by) {
            if let Some(place) = self.places.resolve(reference) {
                self.on_place(place, &event);
            }
        }
    }

    pub(crate) fn limbo_by_cookie(&self, cookie: u32, tree: u32) -> Option<usize> {
        let same =
            |limbo: &Limbo| matches!(limbo.why, Why::Moved { cookie: other } if other == cookie);
        self.limbo
            .iter()
            .position(|limbo| same(limbo) && self.places.get(limbo.place).tree == tree)
    }

    pub(crate) fn displaced_from(&self, parent: PlaceId, name: &[u8]) -> Option<usize> {
        let parent = self.places.reference(parent);
        let same =
            |limbo: &Limbo| matches!(&limbo.why, Why::Displaced { name: other } if other == name);
        self.limbo
            .iter()
            .position(|limbo| same(limbo) && limbo.parent == parent)
    }

    /// How deep in the tree the directory is from which a place came.
    pub(crate) fn depth_before(&self, place: PlaceId) -> Option<u32> {
        let limbo = self.limbo.iter().find(|limbo| limbo.place == place)?;
        Some(self.places.depth(self.places.resolve(limbo.parent)?))
    }

    pub(crate) fn hold_event(&mut self, top: PlaceId, place: PlaceId, event: &RawEvent<'_>) {
        let reference = self.places.reference(place);
        if let Some(limbo) = self.limbo.iter_mut().find(|limbo| limbo.place == top) {
            event.append_to(&mut limbo.held);
            limbo.held_by.push(reference);
        }
    }

    pub(crate) fn hold_scan(&mut self, top: PlaceId, scan: PlaceRef) {
        if let Some(limbo) = self.limbo.iter_mut().find(|limbo| limbo.place == top) {
            limbo.scans.push(scan);
        }
    }

    pub(crate) fn drop_limbo(&mut self, place: PlaceId) {
        self.limbo.retain(|limbo| limbo.place != place);
        self.places.get_mut(place).unset(state::LIMBO);
    }

    /// All that is queued has been read: decides on those whose lock was taken, takes the lock of the others.
    pub(crate) fn settle_limbo(&mut self) -> Sys<()> {
        let gone: Vec<PlaceId> = self
            .limbo
            .iter()
            .filter(|limbo| limbo.settled)
            .map(|limbo| limbo.place)
            .collect();
        let mut uncertain = Vec::new();
        for place in gone {
            if self.takes_doubts_away(place) {
                uncertain.push(self.places.get(place).tree);
            }
            self.doom(place);
        }
        for tree in uncertain {
            self.begin_sync(tree);
        }
        // Reaching another tree may begin a repair, which drops what waits here.
        let waiting: Vec<(PlaceId, PlaceRef)> = self
            .limbo
            .iter()
            .map(|limbo| (limbo.place, limbo.parent))
            .collect();
        for (place, parent) in waiting {
            let parent = self.places.resolve(parent);
            if let Some(Ok(directory)) = parent.map(|parent| self.open_anchor_of(parent)) {
                let _ = directory.wait_for_renames();
            }
            if let Some(limbo) = self.limbo.iter_mut().find(|limbo| limbo.place == place) {
                limbo.settled = true;
            }
        }
        self.drain()
    }
}
