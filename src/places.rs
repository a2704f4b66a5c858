//! The places of watched directories in their trees: one small record each, which knows its parent and its own name.
//!
//! A rename changes one link, whatever hangs below; a path is put together on the way out by walking up. A record takes
//! 64 bytes, and some 10 more in the index of children.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

pub(crate) type PlaceId = u32;

/// No place.
pub(crate) const NONE: PlaceId = u32::MAX;

/// A place that may be gone by the time it is looked at: the number is used again, the generation is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PlaceRef {
    pub(crate) id: PlaceId,
    generation: u32,
    era: u32,
}

/// What a place is in the middle of.
pub(crate) mod state {
    /// On the list of directories to scan, or being scanned.
    pub(crate) const QUEUED: u16 = 1;
    /// What the scan finds is reported.
    pub(crate) const REPORT: u16 = 2;
    /// The filter has said yes.
    pub(crate) const ASKED: u16 = 4;
    /// The top of a subtree that has left its name and perhaps not the tree: half a rename was seen.
    pub(crate) const LIMBO: u16 = 8;
    /// Is being taken away.
    pub(crate) const DOOMED: u16 = 16;
    /// Was renamed a moment ago.
    pub(crate) const RECENT: u16 = 32;
    /// The scan only looks whether this is the directory that has this name on the disk.
    pub(crate) const VERIFY: u16 = 64;
    /// Its filesystem is being unmounted.
    pub(crate) const UNMOUNTED: u16 = 128;
    /// What the scan finds is part of a list of all there is.
    pub(crate) const LISTED: u16 = 256;
    /// It is one of the directories that are being listed.
    pub(crate) const LISTING: u16 = 512;
}

#[derive(Debug)]
pub(crate) struct Place {
    /// 0: not watched (yet).
    pub(crate) wd: i32,
    /// The next place with the same watch descriptor.
    pub(crate) same_wd: PlaceId,
    pub(crate) tree: u32,
    pub(crate) parent: PlaceId,
    /// When it was last seen to be where it is: the number of the tree's repair.
    pub(crate) epoch: u32,
    first_child: PlaceId,
    previous: PlaceId,
    next: PlaceId,
    same_hash: PlaceId,
    generation_and_state: u32,
    name: Name,
}

#[derive(Debug)]
enum Name {
    Inline { len: u8, bytes: [u8; 22] },
    Heap(Box<[u8]>),
}

impl Name {
    fn new(name: &[u8]) -> Name {
        let mut bytes = [0; 22];
        match bytes.get_mut(..name.len()) {
            Some(inline) => {
                inline.copy_from_slice(name);
                Name::Inline {
                    len: name.len() as u8,
                    bytes,
                }
            }
            None => Name::Heap(name.into()),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Name::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Name::Heap(bytes) => bytes,
        }
    }
}

impl Place {
    pub(crate) fn is(&self, state: u16) -> bool {
        self.generation_and_state as u16 & state != 0
    }

    /// How what a scan finds is told.
    pub(crate) fn how(&self) -> u16 {
        self.generation_and_state as u16 & (state::REPORT | state::LISTED)
    }

    pub(crate) fn set(&mut self, state: u16) {
        self.generation_and_state |= u32::from(state);
    }

    pub(crate) fn unset(&mut self, state: u16) {
        self.generation_and_state &= !u32::from(state);
    }

    pub(crate) fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }
}

/// Records in blocks that never move and never need twice the memory to grow.
const BLOCK: usize = 1024;

pub(crate) struct Places {
    blocks: Vec<Vec<Place>>,
    free: PlaceId,
    /// Hash of parent and name -> the first place with that hash.
    children: HashMap<u32, PlaceId, BuildHasherDefault<IntHasher>>,
    hasher: RandomState,
    /// Goes up with every change that a path may show.
    pub(crate) version: u64,
    /// Goes up when the memory is dropped, and generations with it.
    era: u32,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            blocks: Vec::new(),
            free: NONE,
            children: HashMap::default(),
            hasher: RandomState::new(),
            version: 0,
            era: 0,
        }
    }
}

impl Places {
    #[inline]
    pub(crate) fn get(&self, id: PlaceId) -> &Place {
        &self.blocks[id as usize / BLOCK][id as usize % BLOCK]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: PlaceId) -> &mut Place {
        &mut self.blocks[id as usize / BLOCK][id as usize % BLOCK]
    }

    pub(crate) fn reference(&self, id: PlaceId) -> PlaceRef {
        PlaceRef {
            id,
            generation: self.get(id).generation_and_state >> 16,
            era: self.era,
        }
    }

    /// The place, if it still is the one that was meant.
    pub(crate) fn resolve(&self, reference: PlaceRef) -> Option<PlaceId> {
        let same = |place: &Place| place.generation_and_state >> 16 == reference.generation;
        (reference.era == self.era && same(self.get(reference.id))).then_some(reference.id)
    }

    /// A new place below `parent`, or a root.
    pub(crate) fn add(&mut self, tree: u32, epoch: u32, parent: PlaceId, name: &[u8]) -> PlaceId {
        let id = self.allocate();
        let place = self.get_mut(id);
        place.tree = tree;
        place.epoch = epoch;
        if parent != NONE {
            self.link(id, parent, name);
        }
        id
    }

    fn allocate(&mut self) -> PlaceId {
        if self.free != NONE {
            let id = self.free;
            self.free = self.get(id).next;
            self.get_mut(id).next = NONE;
            return id;
        }
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let id =
            ((self.blocks.len() - 1) * BLOCK + self.blocks[self.blocks.len() - 1].len()) as PlaceId;
        let last = self.blocks.len() - 1;
        self.blocks[last].push(Place {
            wd: 0,
            same_wd: NONE,
            tree: NONE,
            parent: NONE,
            epoch: 0,
            first_child: NONE,
            previous: NONE,
            next: NONE,
            same_hash: NONE,
            generation_and_state: 0,
            name: Name::new(b""),
        });
        id
    }

    /// Gives the record back. The place is linked to nothing any more.
    pub(crate) fn free(&mut self, id: PlaceId) {
        let next = self.free;
        let place = self.get_mut(id);
        debug_assert!(place.parent == NONE && place.first_child == NONE && place.wd == 0);
        place.tree = NONE;
        place.name = Name::new(b"");
        place.generation_and_state = ((place.generation_and_state >> 16) + 1) << 16;
        place.next = next;
        self.free = id;
        self.version += 1;
    }

    pub(crate) fn is_in_use(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Drops the memory when there is no place left.
    pub(crate) fn reset(&mut self) {
        *self = Places {
            version: self.version + 1,
            era: self.era + 1,
            ..Places::default()
        };
    }

    pub(crate) fn link(&mut self, id: PlaceId, parent: PlaceId, name: &[u8]) {
        let hash = self.hash(parent, name);
        let same_hash = self.children.insert(hash, id).unwrap_or(NONE);
        let next = self.get(parent).first_child;
        let place = self.get_mut(id);
        place.parent = parent;
        place.name = Name::new(name);
        place.same_hash = same_hash;
        place.previous = NONE;
        place.next = next;
        if next != NONE {
            self.get_mut(next).previous = id;
        }
        self.get_mut(parent).first_child = id;
    }

    /// Takes the place, with all below it, away from its parent. It keeps its name.
    pub(crate) fn unlink(&mut self, id: PlaceId) {
        let place = self.get(id);
        let (parent, previous, next, same_hash) =
            (place.parent, place.previous, place.next, place.same_hash);
        if parent == NONE {
            return;
        }
        let hash = self.hash(parent, place.name());
        self.remove_from_index(hash, id, same_hash);
        match previous {
            NONE => self.get_mut(parent).first_child = next,
            _ => self.get_mut(previous).next = next,
        }
        if next != NONE {
            self.get_mut(next).previous = previous;
        }
        let place = self.get_mut(id);
        place.parent = NONE;
        place.previous = NONE;
        place.next = NONE;
        place.same_hash = NONE;
        self.version += 1;
    }

    fn remove_from_index(&mut self, hash: u32, id: PlaceId, follower: PlaceId) {
        let Some(&first) = self.children.get(&hash) else {
            return;
        };
        if first == id {
            match follower {
                NONE => self.children.remove(&hash),
                _ => self.children.insert(hash, follower),
            };
            return;
        }
        let mut at = first;
        while at != NONE {
            let next = self.get(at).same_hash;
            if next == id {
                self.get_mut(at).same_hash = follower;
                return;
            }
            at = next;
        }
    }

    pub(crate) fn child(&self, parent: PlaceId, name: &[u8]) -> Option<PlaceId> {
        let mut at = *self.children.get(&self.hash(parent, name))?;
        while at != NONE {
            let place = self.get(at);
            if place.parent == parent && place.name() == name {
                return Some(at);
            }
            at = place.same_hash;
        }
        None
    }

    pub(crate) fn first_child(&self, id: PlaceId) -> Option<PlaceId> {
        Some(self.get(id).first_child).filter(|&child| child != NONE)
    }

    pub(crate) fn children(&self, id: PlaceId) -> impl Iterator<Item = PlaceId> {
        std::iter::successors(self.first_child(id), |&at| {
            Some(self.get(at).next).filter(|&next| next != NONE)
        })
    }

    /// All places in use.
    pub(crate) fn all(&self) -> impl Iterator<Item = (PlaceId, &Place)> {
        let places = self.blocks.iter().flatten().enumerate();
        places
            .filter(|(_, place)| place.tree != NONE)
            .map(|(index, place)| (index as PlaceId, place))
    }

    /// The root above a place, or the top of the subtree that was taken off.
    pub(crate) fn top(&self, id: PlaceId) -> PlaceId {
        let mut at = id;
        while self.get(at).parent != NONE {
            at = self.get(at).parent;
        }
        at
    }

    /// The places above one, the nearest first.
    pub(crate) fn above(&self, id: PlaceId) -> impl Iterator<Item = PlaceId> {
        let parent = |at: &PlaceId| Some(self.get(*at).parent).filter(|&above| above != NONE);
        std::iter::successors(parent(&id), parent)
    }

    /// How many directories are above a place.
    pub(crate) fn depth(&self, id: PlaceId) -> u32 {
        self.above(id).count() as u32
    }

    /// Appends `/name/name/…` of all places from the top (which is left out) down to `id`.
    pub(crate) fn append_path(&self, id: PlaceId, bytes: &mut Vec<u8>) {
        let mut len = 0;
        let mut at = id;
        while self.get(at).parent != NONE {
            len += 1 + self.get(at).name().len();
            at = self.get(at).parent;
        }
        let start = bytes.len();
        bytes.resize(start + len, b'/');
        let mut end = start + len;
        at = id;
        while self.get(at).parent != NONE {
            let name = self.get(at).name();
            bytes[end - name.len()..end].copy_from_slice(name);
            end -= name.len() + 1;
            at = self.get(at).parent;
        }
    }

    /// Seeded, so that nobody can choose names that collide.
    fn hash(&self, parent: PlaceId, name: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u32(parent);
        hasher.write(name);
        hasher.finish() as u32
    }
}

/// For keys that are spread already (hashes) or count up (watch descriptors).
#[derive(Default)]
pub(crate) struct IntHasher(u64);

impl Hasher for IntHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        // The map takes its buckets from the low bits and its tags from the seven highest. Low bits as they are put
        // descriptors that were given out one after another side by side in memory.
        const TAG: u64 = 0x7f << 57;
        let n = self.0 ^ u64::from(n);
        self.0 = n & !TAG | n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & TAG;
    }

    #[inline]
    fn write_i32(&mut self, n: i32) {
        self.write_u32(n as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(places: &Places, id: PlaceId) -> String {
        let mut bytes = Vec::new();
        places.append_path(id, &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_record_is_one_cache_line() {
        assert_eq!(size_of::<Place>(), 64);
    }

    #[test]
    fn a_rename_changes_all_paths_below() {
        let mut places = Places::default();
        let root = places.add(0, 0, NONE, b"");
        let a = places.add(0, 0, root, b"a");
        let b = places.add(
            0,
            0,
            a,
            b"a name that is longer than the record has room for",
        );
        let c = places.add(0, 0, b, b"c");
        assert_eq!(
            path(&places, c),
            "/a/a name that is longer than the record has room for/c"
        );
        places.unlink(b);
        places.link(b, root, b"b");
        assert_eq!(path(&places, c), "/b/c");
        assert_eq!(places.child(root, b"b"), Some(b));
        assert_eq!(places.children(a).count(), 0);
        assert_eq!(places.depth(c), 2);
        assert_eq!(places.top(c), root);
    }

    #[test]
    fn a_place_is_found_whatever_else_has_come_and_gone() {
        let mut places = Places::default();
        let root = places.add(0, 0, NONE, b"");
        let ids: Vec<_> = (0..5000)
            .map(|n| places.add(0, 0, root, format!("{n}").as_bytes()))
            .collect();
        for &id in ids.iter().step_by(2) {
            places.unlink(id);
            places.free(id);
        }
        for (n, &id) in ids.iter().enumerate() {
            let expected = (n % 2 == 1).then_some(id);
            assert_eq!(places.child(root, format!("{n}").as_bytes()), expected);
        }
        assert_eq!(places.children(root).count(), 2500);
    }

    #[test]
    fn a_reference_outlives_its_place_safely() {
        let mut places = Places::default();
        let root = places.add(0, 0, NONE, b"");
        let reference = places.reference(root);
        assert_eq!(places.resolve(reference), Some(root));
        places.free(root);
        assert_eq!(places.add(0, 0, NONE, b""), root);
        assert_eq!(places.resolve(reference), None);
    }
}
