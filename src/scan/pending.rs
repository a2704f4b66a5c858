//! The pending events, those that are read and not decoded yet, and what they say of directories.

use crate::mask::Mask;
use crate::memory::Room;
use crate::stream::{Position, RawEvent, Stream};
use crate::sys::Sys;
use crate::tree::Forest;
use crate::watches::{NO_PLACE, PlaceId};

/// An index over the pending events, for one batch of listings.
pub(super) struct Pending<'a> {
    lost: bool,
    /// Descriptor and name of each subdirectory that comes, goes or moves. Sorted.
    subdirectories: Vec<(i32, &'a [u8])>,
    /// By descriptor and position.
    events: Vec<(Position, RawEvent<'a>)>,
}

impl<'a> Pending<'a> {
    pub(super) fn of(stream: &'a Stream) -> Sys<Pending<'a>> {
        let mut pending = Pending {
            lost: false,
            subdirectories: Vec::new(),
            events: Vec::new(),
        };
        // In a storm they are many: counted first, they are not moved as they become more.
        pending.events.make_room(stream.pending().count())?;
        for (position, event) in stream.pending() {
            pending.lost |= event.mask & Mask::Q_OVERFLOW.bits() != 0;
            let structural = event.mask & Forest::structural().bits() != 0;
            if structural && event.mask & Mask::ISDIR.bits() != 0 {
                pending.subdirectories.make_room(1)?;
                pending.subdirectories.push((event.wd, event.name));
            }
            pending.events.push((position, event));
        }
        pending.subdirectories.sort_unstable();
        let key = |(position, event): &(Position, RawEvent<'_>)| (event.wd, *position);
        pending.events.sort_unstable_by_key(key);
        Ok(pending)
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
            let entry = (parent, place.name());
            self.subdirectories.binary_search(&entry).is_err()
        }
    }

    /// Whether a scan of a directory, opened from its parent, is what it is taken for. What is told of it at its own first
    /// event must have the path that it had then.
    pub(super) fn allows_scan(&self, id: PlaceId, wd: i32, forest: &Forest) -> bool {
        self.is_entry_clean(id, forest)
            && (self.of_wd(wd).is_empty() || self.is_clean_above(id, forest))
    }

    /// The events of a descriptor, in order.
    pub(super) fn of_wd(&self, wd: i32) -> &[(Position, RawEvent<'a>)] {
        let start = self.events.partition_point(|(_, event)| event.wd < wd);
        let events = &self.events[start..];
        &events[..events.partition_point(|(_, event)| event.wd == wd)]
    }

    /// Whether an event tells of any entry's coming or going.
    pub(super) fn tells_of_entries(&self, wd: i32) -> bool {
        self.of_wd(wd)
            .iter()
            .any(|(_, event)| event.mask & Forest::structural().bits() != 0)
    }

    /// Whether an event tells of an entry's coming or going.
    pub(super) fn tells_of(&self, wd: i32, name: &[u8]) -> bool {
        self.of_wd(wd)
            .iter()
            .any(|(_, event)| event.name == name && event.mask & Forest::structural().bits() != 0)
    }
}

/// Whether nothing that is queued moves or removes a place or one above it.
pub(super) fn is_clean(id: PlaceId, stream: &Stream, forest: &Forest) -> Sys<bool> {
    Ok(stream.is_decoded() || Pending::of(stream)?.is_clean(id, forest))
}
