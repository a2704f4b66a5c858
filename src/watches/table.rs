//! The owners of watch descriptors: four bytes each, in blocks, as the kernel gives descriptors out one after another.

use crate::spread::SpreadHasher;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

/// The number of a place in the forest.
pub(crate) type PlaceId = u32;

pub(crate) const NO_PLACE: PlaceId = u32::MAX;

/// The watch or place that hears of a watch descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// A plain watch, and through it the places of the same directory in trees.
    Plain(u32),
    /// The first place in trees.
    Place(PlaceId),
    /// A ONESHOT watch was here; only its IGNORED is to come.
    Spent,
}

const PLAIN: u32 = 1 << 31;
const SPENT: u32 = u32::MAX - 1;
const NOBODY: u32 = u32::MAX;

/// Blocks that are still checked after each step: with more, each step would take long.
#[cfg(any(debug_assertions, simulation, test))]
const MOST_CHECKED: usize = 32;

impl Owner {
    fn pack(self) -> u32 {
        match self {
            Owner::Plain(index) => index | PLAIN,
            Owner::Place(place) => place,
            Owner::Spent => SPENT,
        }
    }

    fn unpack(packed: u32) -> Option<Owner> {
        match packed {
            NOBODY => None,
            SPENT => Some(Owner::Spent),
            n if n & PLAIN != 0 => Some(Owner::Plain(n & !PLAIN)),
            n => Some(Owner::Place(n)),
        }
    }
}

/// So many descriptors share a block. Larger ones would waste more where few of many descriptors are left.
const BLOCK: usize = 64;

struct Block {
    used: u32,
    owners: [u32; BLOCK],
}

#[derive(Default)]
pub(crate) struct Table {
    blocks: HashMap<u32, Box<Block>, BuildHasherDefault<SpreadHasher>>,
}

fn place_of(wd: i32) -> (u32, usize) {
    let wd = wd as u32;
    (wd / BLOCK as u32, wd as usize % BLOCK)
}

impl Table {
    #[inline]
    pub(super) fn get(&self, wd: i32) -> Option<Owner> {
        let (block, at) = place_of(wd);
        Owner::unpack(self.blocks.get(&block)?.owners[at])
    }

    pub(super) fn set(&mut self, wd: i32, owner: Owner) {
        let (block, at) = place_of(wd);
        let block = self.blocks.entry(block).or_insert_with(|| {
            Box::new(Block {
                used: 0,
                owners: [NOBODY; BLOCK],
            })
        });
        if block.owners[at] == NOBODY {
            block.used += 1;
        }
        block.owners[at] = owner.pack();
    }

    pub(super) fn remove(&mut self, wd: i32) {
        let (number, at) = place_of(wd);
        let Some(block) = self.blocks.get_mut(&number) else {
            return;
        };
        if block.owners[at] != NOBODY {
            block.owners[at] = NOBODY;
            block.used -= 1;
        }
        if block.used == 0 {
            self.blocks.remove(&number);
            if self.blocks.is_empty() {
                self.blocks.shrink_to_fit();
            }
        }
    }

    #[cfg(any(debug_assertions, simulation, test))]
    pub(super) fn check(&self) {
        if self.blocks.len() > MOST_CHECKED {
            return;
        }
        for block in self.blocks.values() {
            let used = block.owners.iter().filter(|&&owner| owner != NOBODY);
            assert_eq!(used.count() as u32, block.used, "owners are counted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_found_whatever_else_has_come_and_gone() {
        let mut table = Table::default();
        for wd in 1..1000 {
            table.set(wd, Owner::Place(wd as u32));
        }
        table.set(7, Owner::Plain(3));
        table.set(i32::MAX, Owner::Spent);
        for wd in (1..1000).step_by(2).filter(|&wd| wd != 7) {
            table.remove(wd);
        }
        assert_eq!(table.get(7), Some(Owner::Plain(3)));
        assert_eq!(table.get(8), Some(Owner::Place(8)));
        assert_eq!(table.get(9), None);
        assert_eq!(table.get(-1), None);
        assert_eq!(table.get(i32::MAX), Some(Owner::Spent));
        table.check();
        (1..1000).for_each(|wd| table.remove(wd));
        table.remove(i32::MAX);
        assert!(table.blocks.is_empty());
    }
}
