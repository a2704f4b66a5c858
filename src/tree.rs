//! Trees: what a recursive watch is, its beginning and its end.

use crate::batch::Record;
use crate::error::{Error, Result};
use crate::mask::{EventFlags, Mask, RecursiveFlags};
use crate::places::{NONE, PlaceId, state};
use crate::state::State;
use crate::sys::Sys;
use crate::sys::directory::{Access, Directory, Identity};
use crate::watch::{Held, Target};
use crate::watch_id::WatchId;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

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

pub(crate) struct Tree {
    pub(crate) id: WatchId,
    pub(crate) root: PlaceId,
    pub(crate) root_wd: i32,
    /// The root as it was given.
    pub(crate) path: Vec<u8>,
    /// The root as it is found whatever the working directory is.
    pub(crate) absolute: Vec<u8>,
    /// What the root was when it was added. No fd is kept on it: that would keep its end from being told.
    pub(crate) identity: Identity,
    /// What the caller asked for.
    pub(crate) mask: Mask,
    pub(crate) flags: RecursiveFlags,
    pub(crate) max_depth: u32,
    /// Away while it is being asked.
    pub(crate) filter: Option<Filter>,
    pub(crate) has_filter: bool,
    /// How many of its places are waiting for a scan, or in one.
    pub(crate) pending: usize,
    /// How many places it has, those on their way out included.
    pub(crate) places: usize,
    /// The position in the stream at which it was added: others may share a descriptor of which older events are queued.
    pub(crate) since: u64,
    /// Goes up with every repair: a place that has an older one has not been found again yet.
    pub(crate) epoch: u32,
    /// A scan of all of it is under way, its end not told yet.
    pub(crate) syncing: bool,
    /// Whether the end of the scan is to be told.
    announce: bool,
    /// The caller of `add_recursive` waits; a limit that is hit fails the call.
    pub(crate) setting_up: bool,
    pub(crate) failure: Option<i32>,
    /// The root is not where its path says.
    pub(crate) lost: bool,
    /// It was removed; what was queued before is still delivered.
    pub(crate) ending: bool,
    /// Its last event is in the queue.
    ended: bool,
}

impl Tree {
    /// The root's full path as others begin with it: that of "/" is empty.
    pub(crate) fn absolute_stem(&self) -> &[u8] {
        self.absolute.strip_suffix(b"/").unwrap_or(&self.absolute)
    }

    pub(crate) fn lists(&self) -> bool {
        self.flags.contains(RecursiveFlags::LIST_EXISTING)
    }

    /// How a scan of all of it tells what it finds.
    pub(crate) fn how(&self) -> u16 {
        if self.lists() { state::LISTED } else { 0 }
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
}

/// A path that stays right when the working directory changes; the path itself where that can't be told.
fn absolute(path: &CStr) -> Vec<u8> {
    match std::path::absolute(Path::new(OsStr::from_bytes(path.to_bytes()))) {
        Ok(absolute) => absolute.into_os_string().into_encoded_bytes(),
        Err(_) => path.to_bytes().to_vec(),
    }
}

impl State {
    /// Makes the tree and queues its first scan.
    pub(crate) fn add_tree(
        &mut self,
        path: &CStr,
        mask: Mask,
        options: RecursiveOptions,
    ) -> Result<WatchId> {
        let flags = Mask::ONLYDIR | Mask::DONT_FOLLOW | Mask::EXCL_UNLINK;
        let output = Mask::ISDIR | Mask::IGNORED | Mask::UNMOUNT | Mask::Q_OVERFLOW;
        let strange = mask - Mask::ALL - flags - output;
        if mask.bits() & !Mask::all().bits() != 0 || !strange.is_empty() {
            let text = format!("the mask has bits a recursive watch does not take: {strange}");
            return Err(Error::new(libc::EINVAL, text));
        }
        if !mask.intersects(Mask::ALL) {
            return Err(Error::new(libc::EINVAL, "the mask asks for no event"));
        }
        if path.is_empty() {
            return Err(Error::of_call(libc::ENOENT, "open(2) of", Some(path)));
        }
        let failed = |errno| Error::of_call(errno, "open(2) of the directory", Some(path));
        let follow = !mask.contains(Mask::DONT_FOLLOW);
        // Opened as the scan will open it, so that a root that can't be listed is refused.
        let absolute = absolute(path);
        let root = Directory::open(None, path.to_bytes(), Access::List, follow).map_err(failed)?;
        let identity = root.identity().map_err(failed)?;
        self.drain().map_err(failed)?;
        let background = options.flags.contains(RecursiveFlags::BACKGROUND);
        let id = WatchId::next();
        let index = self.trees.insert(Tree {
            id,
            root: NONE,
            root_wd: -1,
            path: path.to_bytes().to_vec(),
            absolute,
            identity,
            mask: mask & (Mask::ALL | Mask::EXCL_UNLINK),
            flags: options.flags,
            max_depth: options.max_depth,
            has_filter: options.filter.is_some(),
            filter: options.filter,
            pending: 0,
            places: 1,
            since: self.backlog.tail(),
            epoch: 0,
            syncing: true,
            announce: background || options.flags.contains(RecursiveFlags::LIST_EXISTING),
            setting_up: !background,
            failure: None,
            lost: false,
            ending: false,
            ended: false,
        });
        let place = self.places.add(index, 0, NONE, b"");
        self.trees[index].root = place;
        if self.trees[index].lists() {
            // The list tells what happens before it, too.
            self.places.get_mut(place).epoch = u32::MAX;
        }
        self.ids.insert(id.as_raw(), Target::Tree(index));
        if let Err(errno) = self.watch_root(index, &root) {
            self.discard_tree(index);
            return Err(failed(errno));
        }
        self.tell_sync_begin(index);
        let how = self.trees[index].how();
        self.queue_scan(place, how);
        Ok(id)
    }

    /// The root is watched before anything else, also where the rest is left to the background.
    fn watch_root(&mut self, index: u32, root: &Directory) -> Sys<()> {
        let mask = self.trees[index].kernel_mask(true);
        let place = self.trees[index].root;
        let wd = root.watch(&self.inotify, &self.absolute_path_of(place), mask)?;
        let wd = self.share_with_plain(root, place, wd, mask)?;
        self.hold(place, wd);
        Ok(())
    }

    pub(crate) fn is_setting_up(&self, index: u32) -> bool {
        self.trees
            .get(index)
            .is_some_and(|tree| tree.syncing && tree.failure.is_none() && !tree.ending)
    }

    /// How the set-up of a tree that was waited for went.
    pub(crate) fn set_up(&mut self, index: u32) -> Result<()> {
        let tree = &mut self.trees[index];
        tree.setting_up = false;
        let Some(errno) = tree.failure else {
            return Ok(());
        };
        let path = CString::new(tree.path.clone()).unwrap_or_default();
        self.discard_tree(index);
        Err(Error::of_call(
            errno,
            "watching all directories below",
            Some(&path),
        ))
    }

    /// Takes a tree away that nobody was told of.
    pub(crate) fn discard_tree(&mut self, index: u32) {
        let id = self.trees[index].id.as_raw();
        self.ids.remove(&id);
        self.out.records.retain(|record| record.watch != id);
        self.trees[index].ending = true;
        self.trees[index].ended = true;
        let _ = self.leave_kernel(index);
        self.doom_tree(index);
        while !self.doomed.is_empty() && self.release_some().is_ok() {}
        self.free_tree_if_done(index);
    }

    /// A tree's record goes with its last place, but not before its ID has gone too: until then the ID leads to it.
    pub(crate) fn free_tree_if_done(&mut self, index: u32) {
        if let Some(tree) = self.trees.get(index)
            && tree.places == 0
            && !self.ids.contains_key(&tree.id.as_raw())
            && let Some(tree) = self.trees.remove(index)
        {
            self.garbage.extend(tree.filter);
        }
    }

    /// The record of a tree; None once its last event has been taken.
    pub(crate) fn tree_index(&self, id: WatchId) -> Option<u32> {
        match self.target(id) {
            Ok(Target::Tree(index)) => Some(index),
            _ => None,
        }
    }

    pub(crate) fn rm_tree(&mut self, index: u32) -> Result<()> {
        if self.trees[index].ending {
            let id = self.trees[index].id;
            return Err(Error::new(
                libc::ENOENT,
                format!("the watch with ID {} has ended already", id.as_raw()),
            ));
        }
        let failed = |errno| Error::of_call(errno, "read(2) of the inotify fd", None);
        self.drain().map_err(failed)?;
        self.endings
            .push_back((self.backlog.tail(), self.trees[index].id));
        self.trees[index].ending = true;
        self.leave_kernel(index).map_err(failed)
    }

    /// Removes all kernel watches that only this tree holds. The places stay, for what is queued.
    fn leave_kernel(&mut self, index: u32) -> Sys<()> {
        /// Each removal queues an IGNORED: they are fetched before they fill the queue.
        const FETCH: usize = 256;
        let own = |state: &State, wd: i32| match state.by_wd.get(&wd).map(|holder| holder.by()) {
            Some(Held::Place(first)) => state
                .same_wd(first)
                .all(|place| state.places.get(place).tree == index),
            _ => false,
        };
        let watched = self
            .places
            .all()
            .filter(|(_, place)| place.tree == index && place.wd != 0);
        let wds: Vec<i32> = watched
            .map(|(_, place)| place.wd)
            .filter(|&wd| own(self, wd))
            .collect();
        for chunk in wds.chunks(FETCH) {
            for &wd in chunk {
                let _ = self.rm_from_kernel(wd);
            }
            self.drain()?;
        }
        Ok(())
    }

    /// Delivers the IGNORED of a tree and takes its places away.
    pub(crate) fn end_tree(&mut self, index: u32) {
        let tree = &mut self.trees[index];
        if tree.ended {
            return;
        }
        tree.ending = true;
        tree.ended = true;
        let (root, wd) = (tree.root, tree.root_wd);
        let record = Record {
            wd,
            mask: Mask::IGNORED.bits(),
            last: true,
            ..Record::NONE
        };
        self.deliver_in_place(root, b"", record);
        self.doom_tree(index);
    }

    fn doom_tree(&mut self, index: u32) {
        let detached = |place: &PlaceId| self.places.get(*place).parent == NONE;
        let mine = self
            .places
            .all()
            .filter(|(_, place)| place.tree == index && !place.is(state::DOOMED));
        let tops: Vec<PlaceId> = mine.map(|(id, _)| id).filter(detached).collect();
        for top in tops {
            self.doom(top);
        }
        self.drop_scans_of(index);
    }

    pub(crate) fn set_tree_path(&mut self, index: u32, path: &CStr) {
        self.trees[index].path = path.to_bytes().to_vec();
        self.trees[index].absolute = absolute(path);
        self.shape_changed();
        if self.trees[index].lost && !self.trees[index].ending {
            self.begin_sync(index);
        }
    }

    /// Watches all of a tree anew: after an overflow, and wherever else what is known of it may be wrong.
    pub(crate) fn begin_sync(&mut self, index: u32) {
        self.drop_scans_of(index);
        self.shape_changed();
        let tree = &mut self.trees[index];
        tree.epoch += 1;
        tree.syncing = true;
        tree.announce = true;
        tree.lost = false;
        let (root, epoch, how) = (tree.root, tree.epoch, tree.how());
        self.places.get_mut(root).epoch = epoch;
        self.tell_sync_begin(index);
        self.queue_scan(root, how);
    }

    fn tell_sync_begin(&mut self, index: u32) {
        if self.trees[index].lists() {
            self.tell_of_tree(index, EventFlags::SYNC_BEGIN);
        }
    }

    /// The last scan of a tree is done: what was not found again is gone.
    pub(crate) fn finish_sync(&mut self, index: u32) {
        let Some(tree) = self.trees.get_mut(index) else {
            return;
        };
        if !tree.syncing || tree.pending > 0 || tree.ending {
            return;
        }
        tree.syncing = false;
        let (epoch, announce) = (tree.epoch, tree.announce);
        let stale = |(id, place): (PlaceId, &crate::places::Place)| {
            (place.tree == index && place.epoch != epoch && !place.is(state::DOOMED))
                .then(|| self.places.reference(id))
        };
        let stale: Vec<_> = if epoch > 0 {
            self.places.all().filter_map(stale).collect()
        } else {
            Vec::new()
        };
        for reference in stale {
            if let Some(id) = self.places.resolve(reference)
                && !self.places.get(id).is(state::DOOMED)
            {
                self.doom(id);
            }
        }
        if announce {
            self.tell_of_tree(index, EventFlags::SYNC_END);
        }
    }

    fn tell_of_tree(&mut self, index: u32, flags: EventFlags) {
        let (root, wd) = (self.trees[index].root, self.trees[index].root_wd);
        self.deliver_in_place(
            root,
            b"",
            Record {
                wd,
                flags: flags.bits(),
                ..Record::NONE
            },
        );
    }

    /// A directory could not be watched.
    pub(crate) fn tell_error(&mut self, place: PlaceId, errno: i32) {
        let (flags, mask) = (EventFlags::ERROR.bits(), Mask::ISDIR.bits());
        self.deliver_in_place(
            place,
            b"",
            Record {
                flags,
                mask,
                error: errno,
                ..Record::NONE
            },
        );
    }

    /// The root is not where its path says: new directories can't be reached until the path is corrected.
    pub(crate) fn lose_tree(&mut self, index: u32, errno: i32) {
        self.drop_scans_of(index);
        let tree = &self.trees[index];
        if !tree.setting_up && self.inotify.holds(tree.root_wd) == Some(false) {
            // Its end was among the events that were lost.
            return self.end_tree(index);
        }
        let tree = &mut self.trees[index];
        tree.syncing = false;
        tree.lost = true;
        if tree.setting_up {
            tree.failure = Some(errno);
            return;
        }
        let root = tree.root;
        self.tell_error(root, errno);
    }

    /// The paths of all directories now watched.
    pub(crate) fn directories(&self, id: WatchId) -> Result<Vec<CString>> {
        let Target::Tree(index) = self.target(id)? else {
            return Err(Error::new(
                libc::EINVAL,
                format!("the watch with ID {} is not recursive", id.as_raw()),
            ));
        };
        let tree = &self.trees[index];
        if tree.ending {
            return Ok(Vec::new());
        }
        let mut paths = Vec::new();
        let mut stack = vec![tree.root];
        while let Some(place) = stack.pop() {
            stack.extend(self.places.children(place));
            if self.places.get(place).wd != 0 && self.places.get(place).epoch == tree.epoch {
                let mut path = tree.path.clone();
                if place != tree.root && path.last() == Some(&b'/') {
                    path.pop();
                }
                self.places.append_path(place, &mut path);
                paths.push(CString::new(path).unwrap_or_default());
            }
        }
        Ok(paths)
    }
}
