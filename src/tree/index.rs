//! The index of children: from the hash of parent and name to a place.
//!
//! It is kept in parts. A hash map that grows moves all that it has; of a million entries that takes longer than one call
//! may, of a part it doesn't. The parts grow at different times, as hashes fall unevenly.

use crate::spread::SpreadHasher;
use crate::watches::PlaceId;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

type Part = HashMap<u32, PlaceId, BuildHasherDefault<SpreadHasher>>;

/// A small tree has one part with a few entries, each of the parts of a large one up to some ten thousand.
const PARTS: usize = 64;

#[derive(Default)]
pub(super) struct Index {
    /// None, or all.
    parts: Vec<Part>,
}

/// By the middle bits: the parts' own tables use the lowest.
fn part_of(hash: u32) -> usize {
    (hash >> 20) as usize % PARTS
}

impl Index {
    pub(super) fn get(&self, hash: u32) -> Option<PlaceId> {
        self.parts.get(part_of(hash))?.get(&hash).copied()
    }

    /// Makes this the first place with its hash; the one that was.
    pub(super) fn insert(&mut self, hash: u32, place: PlaceId) -> Option<PlaceId> {
        if self.parts.is_empty() {
            self.parts.resize_with(PARTS, Part::default);
        }
        self.parts[part_of(hash)].insert(hash, place)
    }

    pub(super) fn remove(&mut self, hash: u32) {
        if let Some(part) = self.parts.get_mut(part_of(hash)) {
            part.remove(&hash);
        }
    }

    /// Forgets all, and gives the memory of a few parts back; false once there is none. Nothing may be asked meanwhile.
    pub(super) fn drop_some(&mut self) -> bool {
        const AT_ONCE: usize = 8;
        let left = self.parts.len().saturating_sub(AT_ONCE);
        self.parts.truncate(left);
        left > 0
    }
}
