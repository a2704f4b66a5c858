//! The record of a recursive watch: its path, mask and options, and how far its scans are.

use crate::mask::{Mask, RecursiveFlags};
use crate::stream::Position;
use crate::sys::directory::Identity;
use crate::watch_id::WatchId;
use crate::watches::{NO_PLACE, PlaceId};
use std::ffi::CStr;

use super::{PlaceRef, Telling};

/// Asked with the full path of a directory: whether to watch it and what is below. No lock is held meanwhile.
pub type Filter = Box<dyn FnMut(&CStr) -> bool + Send>;

/// How to watch a tree.
pub struct RecursiveOptions {
    pub flags: RecursiveFlags,
    /// 0: no limit; 1: the root directory alone; 2: its subdirectories too; …
    pub max_depth: u32,
    /// None: everything.
    pub filter: Option<Filter>,
}

impl Default for RecursiveOptions {
    fn default() -> RecursiveOptions {
        RecursiveOptions {
            flags: RecursiveFlags::empty(),
            max_depth: 0,
            filter: None,
        }
    }
}

/// Why the set-up of a tree has failed, and at which directory.
pub(crate) struct Failure {
    pub(crate) errno: i32,
    pub(crate) path: Vec<u8>,
}

/// What a tree begins with.
pub(crate) struct NewTree {
    /// The root as it was given.
    pub(crate) path: Vec<u8>,
    /// The root as it is found whatever the working directory is.
    pub(crate) absolute: Vec<u8>,
    pub(crate) identity: Identity,
    pub(crate) mask: Mask,
    pub(crate) options: RecursiveOptions,
    /// Others may share a descriptor of which older events are queued.
    pub(crate) since: Position,
}

pub(crate) struct Tree {
    id: WatchId,
    pub(super) root: PlaceId,
    pub(super) root_wd: i32,
    path: Vec<u8>,
    absolute: Vec<u8>,
    /// What the root was when it was added. No fd is kept on it: that would keep its end from being told.
    identity: Identity,
    /// What the caller asked for.
    mask: Mask,
    flags: RecursiveFlags,
    max_depth: u32,
    /// None while the filter is away to be asked.
    filter: Option<Filter>,
    has_filter: bool,
    /// How many of its places are queued.
    pub(super) pending: usize,
    /// How many directories have come since the repair began, for whose scans its end waits.
    late: u32,
    /// How many places it has, those on their way out included.
    pub(super) places: usize,
    /// Tops of subtrees that a repair has not found again; void once they are linked or doomed.
    pub(super) nameless: Vec<PlaceRef>,
    /// The position in the stream at which it was added.
    since: Position,
    /// Goes up with every repair: a place that has an older one has not been found again yet.
    pub(super) epoch: u32,
    /// A scan of all of it is under way, its end not told yet.
    pub(super) syncing: bool,
    /// Whether the end of the scan is to be told.
    pub(super) announce: bool,
    /// The caller of `add_recursive` waits; a limit that is hit fails the call.
    pub(super) setting_up: bool,
    pub(super) failure: Option<Failure>,
    /// A scan was wanted since the kernel's queue was last seen empty: something in it is not heard of yet.
    pub(super) scanning: bool,
    /// An ERROR was told since the last repair began: something in it may not be heard of.
    pub(super) troubled: bool,
    /// The root can't be reached.
    pub(super) lost: bool,
    /// A directory was refused by the filter, or could not be watched: it has no place.
    pub(super) hides: bool,
    /// The tree was removed. Events that were queued before are still told.
    pub(super) ending: bool,
    /// The tree's last event is in the outbox.
    pub(super) ended: bool,
}

impl Tree {
    pub(super) fn new(new: NewTree) -> Tree {
        let NewTree { mask, options, .. } = new;
        let background = options.flags.contains(RecursiveFlags::BACKGROUND);
        Tree {
            id: WatchId::next(),
            root: NO_PLACE,
            root_wd: -1,
            path: new.path,
            absolute: new.absolute,
            identity: new.identity,
            mask: mask & (Mask::ALL | Mask::EXCL_UNLINK),
            flags: options.flags,
            max_depth: options.max_depth,
            has_filter: options.filter.is_some(),
            filter: options.filter,
            pending: 0,
            late: 0,
            places: 1,
            nameless: Vec::new(),
            since: new.since,
            epoch: 1,
            syncing: true,
            announce: background || options.flags.contains(RecursiveFlags::LIST_EXISTING),
            setting_up: !background,
            failure: None,
            scanning: false,
            troubled: false,
            lost: false,
            hides: false,
            ending: false,
            ended: false,
        }
    }

    pub(crate) fn id(&self) -> WatchId {
        self.id
    }

    pub(crate) fn root(&self) -> PlaceId {
        self.root
    }

    pub(crate) fn root_wd(&self) -> i32 {
        self.root_wd
    }

    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    pub(crate) fn absolute(&self) -> &[u8] {
        &self.absolute
    }

    pub(super) fn set_path(&mut self, path: Vec<u8>, absolute: Vec<u8>) {
        self.path = path;
        self.absolute = absolute;
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn mask(&self) -> Mask {
        self.mask
    }

    #[cfg(not(simulation))]
    pub(super) fn flags(&self) -> RecursiveFlags {
        self.flags
    }

    pub(crate) fn stays_on_one_filesystem(&self) -> bool {
        self.flags.contains(RecursiveFlags::ONE_FILESYSTEM)
    }

    pub(crate) fn max_depth(&self) -> u32 {
        self.max_depth
    }

    pub(crate) fn since(&self) -> Position {
        self.since
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(crate) fn is_setting_up(&self) -> bool {
        self.syncing && self.failure.is_none() && !self.ending
    }

    /// A scan of all of it is under way that is not the first one.
    pub(crate) fn is_being_repaired(&self) -> bool {
        self.syncing && self.epoch > 1
    }

    pub(crate) fn is_waited_for(&self) -> bool {
        self.setting_up
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending
    }

    /// Whether all that can be watched is.
    pub(super) fn hears_all(&self) -> bool {
        !self.scanning && !self.troubled
    }

    /// A repair begins.
    pub(super) fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.late = 0;
        self.syncing = true;
        self.announce = true;
        self.troubled = false;
        self.lost = false;
    }

    /// Whether the end of a repair waits for one scan more. Directories that come meanwhile are waited for as long as they
    /// are few: nobody can put the end off for ever.
    pub(super) fn waits_for(&mut self, telling: Telling) -> bool {
        const LATE: u32 = 256;
        if self.syncing && telling == Telling::AsEvents {
            self.late += 1;
        }
        self.late <= LATE || telling != Telling::AsEvents
    }

    pub(crate) fn lists(&self) -> bool {
        self.flags.contains(RecursiveFlags::LIST_EXISTING)
    }

    /// How a scan of all of it tells what it finds.
    pub(crate) fn telling(&self) -> Telling {
        match self.lists() {
            true => Telling::AsList,
            false => Telling::Nothing,
        }
    }

    /// What the kernel is asked for in each directory, beside what the caller wants to hear: what it takes to follow.
    pub(crate) fn kernel_mask(&self, is_root: bool) -> Mask {
        let follow = Mask::CREATE | Mask::DELETE | Mask::MOVE;
        // The parent's watch tells of these two with a name.
        let own = if is_root {
            Mask::empty()
        } else {
            Mask::DELETE_SELF | Mask::MOVE_SELF | Mask::DONT_FOLLOW
        };
        let asked = (self.mask & (Mask::ALL | Mask::EXCL_UNLINK)) - own;
        asked | follow | (own & Mask::DONT_FOLLOW) | Mask::ONLYDIR | Mask::MASK_ADD
    }

    // The filter, which is away while it is being asked.

    pub(crate) fn has_filter(&self) -> bool {
        self.has_filter
    }

    pub(crate) fn is_asking(&self) -> bool {
        self.has_filter && self.filter.is_none()
    }

    pub(super) fn lend_filter(&mut self) -> Option<Filter> {
        self.filter.take()
    }

    pub(super) fn give_back_filter(&mut self, filter: Filter) {
        self.filter = Some(filter);
    }

    pub(super) fn into_filter(self) -> Option<Filter> {
        self.filter
    }
}
