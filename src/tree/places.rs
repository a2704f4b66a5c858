//! Places: the directories of trees, as records of 64 bytes in blocks, and an index of children by name.
//!
//! A place knows its parent and its name, so a path is put together on the way out by walking up.

use super::flags::{self, Telling};
use super::index::Index;
use super::name::Name;
use crate::watches::{NO_PLACE, PlaceId};
#[cfg(not(simulation))]
use std::hash::RandomState as Seed;
use std::hash::{BuildHasher, Hasher};

/// Equal runs are equal to the byte.
#[cfg(simulation)]
type Seed = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

/// A place that may be gone by the time it is looked at: the number is used again, the generation is not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct PlaceRef {
    id: PlaceId,
    generation: u16,
    era: u16,
}

const TRIES_BITS: u32 = 5;
/// A place with so many void scans is given up: a program renames it again and again.
pub(crate) const MOST_TRIES: u32 = (1 << TRIES_BITS) - 1;
/// In the same word: the directory was not listed, as its number of links said that there are no subdirectories. No event of
/// its entries has come since.
const LEAF: u32 = 1 << TRIES_BITS;
const EPOCH_SHIFT: u32 = TRIES_BITS + 1;

#[derive(Debug)]
pub(crate) struct Place {
    /// 0: not watched (yet).
    wd: i32,
    /// The next place with the same watch descriptor.
    same_wd: PlaceId,
    tree: u32,
    parent: PlaceId,
    /// When it was last seen to be where it is: the number of the tree's repair; 0: it is not where it was. The lowest bits
    /// count how often it, or what had its name before, has changed under a scan; one between says that it is a leaf.
    epoch_and_tries: u32,
    first_child: PlaceId,
    previous: PlaceId,
    /// The next sibling; of a free record the next free one; of the top of a subtree in limbo its number there.
    next: PlaceId,
    same_hash: PlaceId,
    generation: u16,
    flags: u16,
    name: Name,
}

impl Place {
    pub(crate) fn is(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    /// How what a scan finds is told.
    pub(crate) fn telling(&self) -> Telling {
        match () {
            () if self.is(flags::AS_LIST) => Telling::AsList,
            () if self.is(flags::AS_EVENTS) => Telling::AsEvents,
            () => Telling::Nothing,
        }
    }

    pub(crate) fn wd(&self) -> i32 {
        self.wd
    }

    pub(crate) fn same_wd(&self) -> PlaceId {
        self.same_wd
    }

    pub(crate) fn tree(&self) -> u32 {
        self.tree
    }

    /// `NO_PLACE`: it is a root, or the top of a subtree that was taken off.
    pub(crate) fn parent(&self) -> PlaceId {
        self.parent
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch_and_tries >> EPOCH_SHIFT
    }

    /// It was not listed, and no event of its entries has come since.
    pub(crate) fn is_leaf(&self) -> bool {
        self.epoch_and_tries & LEAF != 0
    }

    pub(crate) fn tries(&self) -> u32 {
        self.epoch_and_tries & MOST_TRIES
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
    index: Index,
    seed: Seed,
    /// How many records are not free.
    used: usize,
    /// The memory is being dropped, a part at a time.
    dropping: bool,
    /// Goes up with every change that a path may show.
    version: u64,
    /// Goes up when the memory is dropped, and generations with it.
    era: u16,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            blocks: Vec::new(),
            free: NO_PLACE,
            index: Index::default(),
            seed: Seed::default(),
            used: 0,
            dropping: false,
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
    fn get_mut(&mut self, id: PlaceId) -> &mut Place {
        &mut self.blocks[id as usize / BLOCK][id as usize % BLOCK]
    }

    pub(crate) fn reference(&self, id: PlaceId) -> PlaceRef {
        PlaceRef {
            id,
            generation: self.get(id).generation,
            era: self.era,
        }
    }

    /// The place, if it still is the one that was meant.
    pub(crate) fn resolve(&self, reference: PlaceRef) -> Option<PlaceId> {
        let same = |id| self.get(id).generation == reference.generation;
        (reference.era == self.era && same(reference.id)).then_some(reference.id)
    }

    pub(crate) fn set(&mut self, id: PlaceId, flags: u16) {
        self.get_mut(id).flags |= flags;
    }

    pub(crate) fn unset(&mut self, id: PlaceId, flags: u16) {
        self.get_mut(id).flags &= !flags;
    }

    pub(crate) fn set_telling(&mut self, id: PlaceId, telling: Telling) {
        self.unset(id, flags::AS_EVENTS | flags::AS_LIST);
        self.set(id, telling.flag());
    }

    pub(crate) fn set_wd(&mut self, id: PlaceId, wd: i32, same_wd: PlaceId) {
        let place = self.get_mut(id);
        (place.wd, place.same_wd) = (wd, same_wd);
    }

    pub(crate) fn set_same_wd(&mut self, id: PlaceId, same_wd: PlaceId) {
        self.get_mut(id).same_wd = same_wd;
    }

    pub(crate) fn set_epoch(&mut self, id: PlaceId, epoch: u32) {
        let place = self.get_mut(id);
        let rest = place.epoch_and_tries & (LEAF | MOST_TRIES);
        place.epoch_and_tries = epoch << EPOCH_SHIFT | rest;
    }

    /// `MOST_TRIES` at most.
    pub(crate) fn set_tries(&mut self, id: PlaceId, tries: u32) {
        let place = self.get_mut(id);
        place.epoch_and_tries &= !MOST_TRIES;
        place.epoch_and_tries |= tries.min(MOST_TRIES);
    }

    pub(crate) fn set_leaf(&mut self, id: PlaceId, is_leaf: bool) {
        let place = self.get_mut(id);
        place.epoch_and_tries &= !LEAF;
        if is_leaf {
            place.epoch_and_tries |= LEAF;
        }
    }

    /// The number of a subtree in limbo, kept at its top.
    pub(crate) fn limbo_slot(&self, top: PlaceId) -> u32 {
        debug_assert!(self.get(top).is(flags::LIMBO));
        self.get(top).next
    }

    /// The top of a subtree is in limbo, under this number.
    pub(crate) fn enter_limbo(&mut self, top: PlaceId, slot: u32) {
        let place = self.get_mut(top);
        debug_assert!(place.parent == NO_PLACE && !place.is(flags::LIMBO));
        place.flags |= flags::LIMBO;
        place.next = slot;
    }

    pub(crate) fn leave_limbo(&mut self, top: PlaceId) {
        let place = self.get_mut(top);
        place.flags &= !flags::LIMBO;
        place.next = NO_PLACE;
    }

    /// A new place below `parent`, or a root.
    pub(crate) fn add(&mut self, tree: u32, epoch: u32, parent: PlaceId, name: &[u8]) -> PlaceId {
        let id = self.allocate();
        self.used += 1;
        let place = self.get_mut(id);
        place.tree = tree;
        place.epoch_and_tries = epoch << EPOCH_SHIFT;
        if parent != NO_PLACE {
            self.link(id, parent, name);
        }
        id
    }

    fn allocate(&mut self) -> PlaceId {
        if std::mem::take(&mut self.dropping) {
            self.blocks = Vec::new();
            self.index = Index::default();
        }
        if self.free != NO_PLACE {
            let id = self.free;
            self.free = self.get(id).next;
            self.get_mut(id).next = NO_PLACE;
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
            same_wd: NO_PLACE,
            tree: NO_PLACE,
            parent: NO_PLACE,
            epoch_and_tries: 0,
            first_child: NO_PLACE,
            previous: NO_PLACE,
            next: NO_PLACE,
            same_hash: NO_PLACE,
            generation: 0,
            flags: 0,
            name: Name::new(b""),
        });
        id
    }

    /// Gives the record back. The place is linked to nothing any more.
    pub(crate) fn free(&mut self, id: PlaceId) {
        let next = self.free;
        let place = self.get_mut(id);
        debug_assert!(place.parent == NO_PLACE && place.first_child == NO_PLACE && place.wd == 0);
        place.tree = NO_PLACE;
        place.name = Name::new(b"");
        place.generation = place.generation.wrapping_add(1);
        place.flags = 0;
        place.next = next;
        self.free = id;
        self.used -= 1;
        self.version += 1;
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// A path has changed that is not made of places alone.
    pub(crate) fn changed(&mut self) {
        self.version += 1;
    }

    #[cfg(any(debug_assertions, simulation))]
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn has_memory(&self) -> bool {
        !self.blocks.is_empty() || self.dropping
    }

    /// Drops some of the memory when there is no place left: each block takes its time.
    pub(crate) fn drop_some_memory(&mut self) {
        const AT_ONCE: usize = 64;
        debug_assert!(self.used == 0);
        if !self.dropping {
            self.dropping = true;
            self.free = NO_PLACE;
            self.era = self.era.wrapping_add(1);
            self.version += 1;
        }
        let has_index = self.index.drop_some();
        let left = self.blocks.len().saturating_sub(AT_ONCE);
        self.blocks.truncate(left);
        if left == 0 && !has_index {
            self.blocks = Vec::new();
            self.dropping = false;
        }
    }

    pub(crate) fn link(&mut self, id: PlaceId, parent: PlaceId, name: &[u8]) {
        let hash = self.hash(parent, name);
        let same_hash = self.index.insert(hash, id).unwrap_or(NO_PLACE);
        let next = self.get(parent).first_child;
        let place = self.get_mut(id);
        place.parent = parent;
        place.name = Name::new(name);
        place.same_hash = same_hash;
        place.previous = NO_PLACE;
        place.next = next;
        if next != NO_PLACE {
            self.get_mut(next).previous = id;
        }
        self.get_mut(parent).first_child = id;
    }

    /// Takes the place, with all below it, away from its parent. It keeps its name.
    pub(crate) fn unlink(&mut self, id: PlaceId) {
        let place = self.get(id);
        let (parent, previous, next, same_hash) =
            (place.parent, place.previous, place.next, place.same_hash);
        if parent == NO_PLACE {
            return;
        }
        let hash = self.hash(parent, place.name());
        self.remove_from_index(hash, id, same_hash);
        match previous {
            NO_PLACE => self.get_mut(parent).first_child = next,
            _ => self.get_mut(previous).next = next,
        }
        if next != NO_PLACE {
            self.get_mut(next).previous = previous;
        }
        let place = self.get_mut(id);
        place.parent = NO_PLACE;
        place.previous = NO_PLACE;
        place.next = NO_PLACE;
        place.same_hash = NO_PLACE;
        self.version += 1;
    }

    fn remove_from_index(&mut self, hash: u32, id: PlaceId, follower: PlaceId) {
        let Some(first) = self.index.get(hash) else {
            return;
        };
        if first == id {
            match follower {
                NO_PLACE => self.index.remove(hash),
                _ => drop(self.index.insert(hash, follower)),
            }
            return;
        }
        let mut at = first;
        while at != NO_PLACE {
            let next = self.get(at).same_hash;
            if next == id {
                self.get_mut(at).same_hash = follower;
                return;
            }
            at = next;
        }
    }

    pub(crate) fn child(&self, parent: PlaceId, name: &[u8]) -> Option<PlaceId> {
        let mut at = self.index.get(self.hash(parent, name))?;
        while at != NO_PLACE {
            let place = self.get(at);
            if place.parent == parent && place.name() == name {
                return Some(at);
            }
            at = place.same_hash;
        }
        None
    }

    pub(crate) fn first_child(&self, id: PlaceId) -> Option<PlaceId> {
        Some(self.get(id).first_child).filter(|&child| child != NO_PLACE)
    }

    pub(crate) fn children(&self, id: PlaceId) -> impl Iterator<Item = PlaceId> {
        std::iter::successors(self.first_child(id), |&at| {
            Some(self.get(at).next).filter(|&next| next != NO_PLACE)
        })
    }

    /// The places in use with a number from `start` on.
    pub(crate) fn from(&self, start: PlaceId) -> impl Iterator<Item = (PlaceId, &Place)> {
        let first = start as usize / BLOCK;
        let blocks = self.blocks.get(first..).unwrap_or_default();
        let places = blocks.iter().flatten().zip((first * BLOCK) as PlaceId..);
        places
            .map(|(place, id)| (id, place))
            .filter(move |(id, place)| *id >= start && place.tree != NO_PLACE)
    }

    /// The root above a place, or the top of the subtree that was taken off.
    pub(crate) fn top(&self, id: PlaceId) -> PlaceId {
        let mut at = id;
        while self.get(at).parent != NO_PLACE {
            at = self.get(at).parent;
        }
        at
    }

    /// The places above one, the nearest first.
    pub(crate) fn above(&self, id: PlaceId) -> impl Iterator<Item = PlaceId> {
        let parent = |at: &PlaceId| Some(self.get(*at).parent).filter(|&above| above != NO_PLACE);
        std::iter::successors(parent(&id), parent)
    }

    /// How many directories are above a place.
    pub(crate) fn depth(&self, id: PlaceId) -> u32 {
        self.above(id).count() as u32
    }

    /// How many bytes `append_path` appends.
    pub(crate) fn path_len(&self, id: PlaceId) -> usize {
        let mut len = 0;
        let mut at = id;
        while self.get(at).parent != NO_PLACE {
            len += 1 + self.get(at).name().len();
            at = self.get(at).parent;
        }
        len
    }

    /// Appends `/name/name/…` of all places from the top (which is left out) down to `id`.
    pub(crate) fn append_path(&self, id: PlaceId, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        let mut end = start + self.path_len(id);
        bytes.resize(end, b'/');
        let mut at = id;
        while self.get(at).parent != NO_PLACE {
            let name = self.get(at).name();
            bytes[end - name.len()..end].copy_from_slice(name);
            end -= name.len() + 1;
            at = self.get(at).parent;
        }
    }

    /// Seeded, so that nobody can choose names that collide.
    fn hash(&self, parent: PlaceId, name: &[u8]) -> u32 {
        let mut hasher = self.seed.build_hasher();
        hasher.write_u32(parent);
        hasher.write(name);
        hasher.finish() as u32
    }
}

#[cfg(test)]
mod tests;
