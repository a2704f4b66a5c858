//! The pending events, those that are read and not decoded yet, and what they say of directories.

use crate::mask::Mask;
use crate::stream::{RawEvent, Stream};
use crate::tree::Forest;
use crate::watches::{NO_PLACE, PlaceId};
use std::collections::{BTreeMap, BTreeSet};

/// An index over the pending events, for one batch of listings.
pub(super) struct Pending<'a> {
    lost: bool,
    /// Descriptor and name of each subdirectory that comes, goes or moves.
    subdirectories: BTreeSet<(i32, &'a [u8])>,
    by_wd: BTreeMap<i32, Vec<(crate::stream::Position, RawEvent<'a>)>>,
}

impl<'a> Pending<'a> {
    pub(super) fn of(stream: &'a Stream) -> Pending<'a> {
        let mut pending = Pending {
            lost: false,
            subdirectories: BTreeSet::new(),
            by_wd: BTreeMap::new(),
        };
        for (position, event) in stream.pending() {
            pending.lost |= event.mask & Mask::Q_OVERFLOW.bits() != 0;
            let structural = event.mask & Forest::structural().bits() != 0;
            if structural && event.mask & Mask::ISDIR.bits() != 0 {
                pending.subdirectories.insert((event.wd, event.name));
            }
            pending
                .by_wd
                .entry(event.wd)
                .or_default()
                .push((position, event));
        }
        pending
    }

    /// Whether nothing that is queued moves or removes a place or one above it.
    pub(super) fn is_clean(&self, id: PlaceId, forest: &Forest) -> bool {
        self.is_entry_clean(id, forest) && self.is_clean_above(id, forest)
    }

    /// Whether nothing that is queued moves or removes one above a place.
    pub(super) fn is_clean_above(&self, id: PlaceId, forest: &Forest) -> bool {
        self.subdirectories.is_empty()
            || forest
                .places()
                .above(id)
                .all(|above| self.is_entry_clean(above, forest))
    }

    /// Whether nothing that is queued moves or removes a place.
    pub(super) fn is_entry_clean(&self, id: PlaceId, forest: &Forest) -> bool {
        if self.lost || self.subdirectories.is_empty() {
            return !self.lost;
        }
        let place = forest.place(id);
        place.parent() == NO_PLACE || {
            let parent = forest.place(place.parent()).wd();
            !self.subdirectories.contains(&(parent, place.name()))
        }
    }

    /// Whether a scan of a directory, opened from its parent, is what it is taken for. What is told of it at its own first
    /// event must have the path that it had then.
    pub(super) fn allows_scan(&self, id: PlaceId, wd: i32, forest: &Forest) -> bool {
        self.is_entry_clean(id, forest)
            && (!self.by_wd.contains_key(&wd) || self.is_clean_above(id, forest))
    }

    /// The events of a descriptor, in order.
    pub(super) fn of_wd(
        &self,
        wd: i32,
    ) -> impl Iterator<Item = &(crate::stream::Position, RawEvent<'a>)> {
        self.by_wd.get(&wd).into_iter().flatten()
    }

    /// Whether an event tells of any entry's coming or going.
    pub(super) fn tells_of_entries(&self, wd: i32) -> bool {
        self.of_wd(wd)
            .any(|(_, event)| event.mask & Forest::structural().bits() != 0)
    }

    /// Whether an event tells of an entry's coming or going.
    pub(super) fn tells_of(&self, wd: i32, name: &[u8]) -> bool {
        self.of_wd(wd)
            .any(|(_, event)| event.name == name && event.mask & Forest::structural().bits() != 0)
    }
}

/// Whether nothing that is queued moves or removes a place or one above it.
pub(super) fn is_clean(id: PlaceId, stream: &Stream, forest: &Forest) -> bool {
    stream.is_decoded() || Pending::of(stream).is_clean(id, forest)
}
