//! Watches: the watch or tree that an ID names, the owners of watch descriptors, and plain watches.

#[cfg(not(simulation))]
mod dump;
mod plain;
mod shortcut;
mod table;

use crate::advice::text;
use crate::error::{Error, Result};
use crate::mask::Mask;
use crate::memory::Room;
use crate::slab::Slab;
use crate::spread::SpreadHasher;
use crate::stream::{Outbox, Position, RawEvent, Record};
use crate::sys::Sys;
use crate::watch_id::WatchId;
use plain::Plain;
use shortcut::Shortcuts;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use table::Table;

pub(crate) use plain::{Addition, ended_watch};
pub(crate) use table::{NO_PLACE, Owner, PlaceId};

/// What an ID names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Plain(u32),
    Tree(u32),
}

#[derive(Default)]
pub(crate) struct Watches {
    ids: HashMap<u64, Target, BuildHasherDefault<SpreadHasher>>,
    owners: Table,
    plains: Slab<Plain>,
    /// Ends of watches that the kernel does not tell of, by their position in the stream.
    endings: VecDeque<(Position, WatchId)>,
    /// Descriptors that nobody holds any more: the kernel's watches are to be removed.
    unheld: Vec<i32>,
    shortcuts: Shortcuts,
    /// Whether a watch asks, or has asked, for what reading a directory makes the kernel tell.
    hears_reading: bool,
    /// A watch for a tree has failed. By then it may have asked the kernel for more in the name of any plain watch.
    may_hear_more: bool,
    /// Goes up when another hears of a descriptor than before, or other bits, or another path.
    version: u64,
}

impl Watches {
    pub(crate) fn target(&self, id: WatchId) -> Result<Target> {
        let target = self.ids.get(&id.as_raw()).copied();
        target.ok_or_else(|| no_such_watch(id))
    }

    /// All IDs, in the order in which they were given.
    pub(crate) fn ids(&self) -> Sys<Vec<WatchId>> {
        let mut ids = Vec::new();
        ids.make_room(self.ids.len())?;
        ids.extend(self.ids.keys().map(|&raw| WatchId::from_raw(raw)));
        ids.sort_unstable();
        Ok(ids)
    }

    pub(crate) fn name_tree(&mut self, id: WatchId, index: u32) {
        self.ids.insert(id.as_raw(), Target::Tree(index));
    }

    /// The ID is stale from now on. What it named.
    pub(crate) fn retire(&mut self, id: WatchId) -> Option<Target> {
        let target = self.ids.remove(&id.as_raw());
        if let Some(Target::Plain(index)) = target {
            self.plains.remove(index);
        }
        target
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The shortcuts that are remembered are void from now on.
    pub(crate) fn changed(&mut self) {
        self.version += 1;
    }

    pub(crate) fn hears_reading(&self) -> bool {
        self.hears_reading
    }

    /// A watch asks for these bits.
    pub(crate) fn asks_for(&mut self, mask: Mask) {
        self.hears_reading |= mask.intersects(Mask::OPEN | Mask::ACCESS | Mask::CLOSE_NOWRITE);
    }

    // The owners of descriptors.

    pub(crate) fn owner(&self, wd: i32) -> Option<Owner> {
        self.owners.get(wd)
    }

    /// The first of the places in trees that hear of a descriptor, or `NO_PLACE`.
    pub(crate) fn first_place(&self, wd: i32) -> PlaceId {
        match self.owners.get(wd) {
            Some(Owner::Plain(index)) => self.plains[index].first_place(),
            Some(Owner::Place(first)) => first,
            Some(Owner::Spent) | None => NO_PLACE,
        }
    }

    /// Whether only places in trees hear of a descriptor.
    pub(crate) fn is_places(&self, wd: i32) -> bool {
        matches!(self.owners.get(wd), Some(Owner::Place(_)))
    }

    /// A place hears of a descriptor from now on. The place that was the first to hear of it, which comes next.
    pub(crate) fn assign(&mut self, wd: i32, place: PlaceId) -> PlaceId {
        let next = self.first_place(wd);
        match self.owners.get(wd) {
            Some(Owner::Plain(index)) => {
                self.plains[index].share(place);
                self.changed();
            }
            Some(Owner::Place(_)) => {
                self.owners.set(wd, Owner::Place(place));
                self.changed();
            }
            // There is no shortcut for a descriptor without an owner.
            Some(Owner::Spent) | None => self.owners.set(wd, Owner::Place(place)),
        }
        next
    }

    /// The first place lets go of a descriptor, and `next` follows it; the kernel's watch goes with its last holder.
    pub(crate) fn follow_first_place(&mut self, wd: i32, next: PlaceId) {
        match self.owners.get(wd) {
            Some(Owner::Plain(index)) => self.plains[index].share(next),
            Some(Owner::Place(_)) if next != NO_PLACE => self.owners.set(wd, Owner::Place(next)),
            Some(Owner::Place(_)) => {
                self.owners.remove(wd);
                self.unheld.push(wd);
            }
            Some(Owner::Spent) | None => {}
        }
    }

    /// The kernel has let go of a descriptor.
    pub(crate) fn forget(&mut self, wd: i32) {
        match self.owners.get(wd) {
            // Places of a tree that is being removed still have it; a repeated removal does no harm.
            Some(Owner::Place(_)) | None => {}
            Some(Owner::Plain(index)) => match self.plains[index].first_place() {
                NO_PLACE => self.owners.remove(wd),
                first => self.owners.set(wd, Owner::Place(first)),
            },
            Some(Owner::Spent) => self.owners.remove(wd),
        }
    }

    /// A kernel watch is to be removed, unless somebody holds it.
    pub(crate) fn is_unheld(&mut self, wd: i32) {
        self.unheld.push(wd);
    }

    /// A kernel watch that is to be removed.
    pub(crate) fn take_unheld(&mut self) -> Option<i32> {
        while let Some(wd) = self.unheld.pop() {
            let held = matches!(self.owners.get(wd), Some(Owner::Plain(_) | Owner::Place(_)));
            if !held {
                return Some(wd);
            }
        }
        None
    }

    // Ends that the kernel does not tell of.

    /// A watch ends at this position.
    pub(crate) fn end_at(&mut self, position: Position, id: WatchId) {
        self.endings.push_back((position, id));
    }

    pub(crate) fn next_ending(&self) -> Option<Position> {
        self.endings.front().map(|&(position, _)| position)
    }

    pub(crate) fn take_ending(&mut self) -> Option<WatchId> {
        self.endings.pop_front().map(|(_, id)| id)
    }

    /// Whether the end of a removed plain watch is still to be told.
    pub(crate) fn has_plain_ending(&self) -> bool {
        let is_plain = |id: &WatchId| matches!(self.ids.get(&id.as_raw()), Some(Target::Plain(_)));
        self.endings.iter().any(|(_, id)| is_plain(id))
    }

    // The short way of an event.

    /// Tells an event of an entry in a directory of which all is known; false if it takes the long way, also for want of
    /// memory. `version` is that of the trees.
    #[inline]
    pub(crate) fn tell_shortly(
        &self,
        event: &RawEvent<'_>,
        version: u64,
        out: &mut Outbox,
    ) -> bool {
        let version = version + self.version;
        let Some(shortcut) = self.shortcuts.find(event.wd, event.mask, version) else {
            return false;
        };
        if event.name.is_empty() {
            return false;
        }
        if let Some(watch) = shortcut.hears(event.mask) {
            let record = Record {
                watch,
                wd: event.wd,
                mask: event.mask,
                cookie: event.cookie,
                ..Record::NONE
            };
            return out.tell_shortly(shortcut.path(), event.name, record);
        }
        true
    }

    /// The last event told, of an entry in the directory with this descriptor, serves as an example: `mask` is what the
    /// watch hears of there.
    pub(crate) fn remember_shortcut(
        &mut self,
        wd: i32,
        mask: Mask,
        long_way: Mask,
        version: u64,
        out: &Outbox,
    ) {
        if let Some((path, watch)) = out.last_in_directory() {
            let version = version + self.version;
            self.shortcuts
                .remember(wd, version, watch, mask.bits(), long_way.bits(), path);
        }
    }

    // For assertions and for people.

    #[cfg(any(debug_assertions, simulation))]
    pub(crate) fn check(&self) {
        self.owners.check();
        for index in self.plains.indices() {
            let plain = &self.plains[index];
            let id = plain.id().as_raw();
            assert!(
                matches!(self.ids.get(&id), Some(&Target::Plain(named)) if named == index),
                "a plain watch is found by its ID"
            );
        }
        let sorted = self.endings.iter().zip(self.endings.iter().skip(1));
        for (one, next) in sorted {
            assert!(one.0 <= next.0, "endings are sorted by position");
        }
    }
}

fn no_such_watch(id: WatchId) -> Error {
    let text = text!(
        "this instance has no watch with ID {}: it has ended, or belongs to another instance",
        id.as_raw()
    );
    Error::new(libc::ENOENT, text)
}
