//! Trees: the directories below a root, as far as they are known, and the meaning of an event for them.
//!
//! Nothing in this folder makes a system call. It answers an event, or what a look at the disk has found, with effects:
//! events told, and requests: directories to scan, locks to take, names to look for, kernel watches to remove. The lines of
//! `crate::debug` are the exception.

#[cfg(any(debug_assertions, simulation))]
mod check;
mod depth;
mod doubts;
#[cfg(not(simulation))]
mod dump;
mod ends;
mod exchange;
mod find;
pub(crate) mod flags;
mod follow;
mod index;
mod limbo;
mod name;
mod places;
mod repair;
#[expect(clippy::module_inception)]
mod tree;
mod troubles;
mod wanted;

use crate::debug::Log;
use crate::mask::Mask;
use crate::memory;
use crate::slab::Slab;
use crate::stream::PathKey;
use crate::stream::{Outbox, Position, Record};
#[cfg(any(debug_assertions, simulation))]
use crate::watch_id::WatchId;
use crate::watches::{NO_PLACE, PlaceId, Watches};
use doubts::Doubts;
use exchange::Arrivals;
use limbo::Limbo;
use places::Places;
use repair::Sweep;
use troubles::Troubles;
use wanted::Queue;

pub(crate) use doubts::{Doubt, Look};
pub(crate) use find::Known;
pub(crate) use flags::Telling;
pub(crate) use places::{Place, PlaceRef};
pub(crate) use repair::Cause;
pub(crate) use tree::{Failure, NewTree, Tree};
pub use tree::{Filter, RecursiveOptions};
pub(crate) use troubles::is_refusal;
pub(crate) use wanted::{Answer, Question, Wanted};

/// A call of another process that has told something is over by the time that the kernel's queue was seen empty so often.
const CALL_IS_OVER: u32 = 2;

/// Where in its tree a place is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Below the root, or the root itself.
    InTree,
    /// Below `top`, which has left its name and perhaps not the tree.
    Limbo { top: PlaceId },
    /// Below a directory that is not where it was: the repair that is under way finds it, or takes it away.
    Nameless,
    /// On its way out.
    Doomed,
}

/// What the trees may change outside of themselves while they follow an event.
pub(crate) struct Effects<'a> {
    pub(crate) watches: &'a mut Watches,
    pub(crate) out: &'a mut Outbox,
    /// Of the event.
    pub(crate) position: Position,
}

#[derive(Default)]
pub(crate) struct Forest {
    trees: Slab<Tree>,
    places: Places,
    /// Subtrees that have lost their name, until it is known where they are.
    limbo: Limbo,
    arrivals: Arrivals,
    doubts: Doubts,
    /// Directories to watch and list.
    wanted: Queue,
    /// A tree is scanning.
    scanning: bool,
    /// Of the path of the root of any tree so far.
    longest_root: usize,
    troubles: Troubles,
    /// Tops of subtrees to take away.
    doomed: Vec<PlaceId>,
    /// Places renamed since the kernel's queue was last empty.
    recent: Vec<PlaceRef>,
    /// Trees whose last scan is done.
    sweeps: Vec<Sweep>,
    /// Closures to drop once nothing is locked: dropping them may call anything.
    garbage: Vec<Filter>,
    log: Log,
}

impl Forest {
    pub(crate) fn new(log: Log) -> Forest {
        Forest {
            log,
            ..Forest::default()
        }
    }

    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    pub(crate) fn place(&self, id: PlaceId) -> &Place {
        self.places.get(id)
    }

    pub(crate) fn tree(&self, index: u32) -> &Tree {
        &self.trees[index]
    }

    pub(crate) fn get_tree(&self, index: u32) -> Option<&Tree> {
        self.trees.get(index)
    }

    pub(crate) fn tree_of(&self, id: PlaceId) -> &Tree {
        &self.trees[self.places.get(id).tree()]
    }

    pub(crate) fn has_trees(&self) -> bool {
        !self.trees.is_empty()
    }

    pub(crate) fn take_garbage(&mut self) -> Vec<Filter> {
        std::mem::take(&mut self.garbage)
    }

    pub(crate) fn has_garbage(&self) -> bool {
        !self.garbage.is_empty()
    }

    /// Goes up with every change that the path of a place may show.
    pub(crate) fn version(&self) -> u64 {
        self.places.version()
    }

    pub(crate) fn standing(&self, id: PlaceId) -> Standing {
        let top = self.places.top(id);
        let place = self.places.get(top);
        match () {
            () if place.is(flags::DOOMED) => Standing::Doomed,
            () if place.is(flags::LIMBO) => Standing::Limbo { top },
            () if self.trees[place.tree()].root() == top => Standing::InTree,
            () => Standing::Nameless,
        }
    }

    /// Whether a repair of the tree is under way that has not come to this place yet: the scan to come tells what there is.
    pub(crate) fn is_stale(&self, id: PlaceId) -> bool {
        let place = self.places.get(id);
        place.epoch() != self.trees[place.tree()].epoch() || place.is(flags::UNLISTED)
    }

    /// Whether a place is watched and nothing in it was told yet: it was renamed before that, and the scan to come tells
    /// what there is.
    fn is_to_be_told(&self, id: PlaceId) -> bool {
        let place = self.places.get(id);
        let is_told = match place.telling() {
            Telling::Nothing => false,
            Telling::AsEvents => true,
            // The root may be wanted without a list, as it was lost.
            Telling::AsList => self.trees[place.tree()].syncing && place.parent() != NO_PLACE,
        };
        is_told && place.is(flags::QUEUED) && place.wd() != 0
    }

    /// Whether subdirectories of `parent` are within the tree's depth.
    pub(crate) fn is_deep_enough(&self, parent: PlaceId) -> bool {
        let limit = self.tree_of(parent).max_depth();
        limit == 0 || self.places.depth(parent) + 1 < limit
    }

    /// The places that share a descriptor.
    pub(crate) fn same_wd(&self, first: PlaceId) -> impl Iterator<Item = PlaceId> {
        let some = |place: PlaceId| (place != NO_PLACE).then_some(place);
        std::iter::successors(some(first), move |&place| {
            some(self.places.get(place).same_wd())
        })
    }

    /// Appends the path of a place, `root` being that of its tree's root: the one place where a path is put together.
    pub(crate) fn append_path(&self, id: PlaceId, root: &[u8], path: &mut Vec<u8>) {
        let is_root = self.places.get(id).parent() == NO_PLACE;
        let stem = root.strip_suffix(b"/").filter(|_| !is_root);
        let before = path.len();
        path.extend_from_slice(stem.unwrap_or(root));
        self.places.append_path(id, path);
        // The next one may be of a directory in this one.
        memory::foresee(path.len() - before);
    }

    /// The path of a place as it is told.
    pub(crate) fn path_of(&self, id: PlaceId) -> Vec<u8> {
        let mut path = Vec::new();
        self.append_path(id, self.tree_of(id).path(), &mut path);
        path
    }

    /// The path of a place for the kernel, with a NUL at its end: right whatever the working directory is.
    pub(crate) fn absolute_path_of(&self, id: PlaceId) -> Vec<u8> {
        let mut path = Vec::new();
        self.append_path(id, self.tree_of(id).absolute(), &mut path);
        path.push(0);
        path
    }

    /// Tells an event of a directory in a tree, or of an entry in it (`name` not empty).
    pub(crate) fn tell(&self, place: PlaceId, name: &[u8], mut record: Record, fx: &mut Effects) {
        let tree = self.tree_of(place);
        record.watch = tree.id().as_raw();
        let version = self.version() + fx.watches.version();
        let key = PathKey { place, version };
        let write = |path: &mut Vec<u8>| self.append_path(place, tree.path(), path);
        fx.out.tell_in(key, write, name, record);
    }

    /// The kernel's queue was seen empty: renames told until now are over.
    pub(crate) fn queue_was_empty(&mut self) {
        self.arrivals.settle();
        self.doubts.age_strays();
        if self.scanning && self.wanted.is_empty() && !self.has_limbo() {
            self.scanning = false;
            for index in self.trees.indices() {
                self.trees[index].scanning = false;
            }
        }
        while let Some(reference) = self.recent.pop() {
            if let Some(place) = self.places.resolve(reference) {
                self.places.unset(place, flags::RECENT);
            }
        }
    }

    /// Whether something was noted that stands only until the kernel's queue is empty.
    pub(crate) fn is_unsettled(&self) -> bool {
        !self.recent.is_empty() || self.arrivals.is_unsettled() || self.doubts.has_strays()
    }

    /// Gives back some of the memory that only trees needed; false if there is none.
    pub(crate) fn has_memory_to_drop(&self) -> bool {
        self.trees.is_empty() && self.places.has_memory()
    }

    pub(crate) fn drop_some_memory(&mut self) {
        self.places.drop_some_memory();
        self.wanted.shrink();
        self.doomed = Vec::new();
        self.recent = Vec::new();
    }

    #[cfg(any(debug_assertions, simulation))]
    pub(crate) fn ids_of_trees(&self) -> impl Iterator<Item = (u32, WatchId)> + '_ {
        let indices = self.trees.indices();
        indices
            .into_iter()
            .map(|index| (index, self.trees[index].id()))
    }

    /// Whether a mask asks for what happens to entries by name.
    pub(crate) fn structural() -> Mask {
        Mask::MOVE | Mask::CREATE | Mask::DELETE
    }
}
