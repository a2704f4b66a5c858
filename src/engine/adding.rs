//! Adding watches and trees, and removing them.

use super::Engine;
use super::step::work_failed;
use crate::advice::{Call, text};
use crate::debug::{Quoted, debug};
use crate::error::{Error, Result};
use crate::mask::Mask;
use crate::memory;
use crate::scan::{UNKNOWN, base_name, watch_open};
use crate::stream::Position;
use crate::sys::Sys;
use crate::sys::directory::{Access, DescriptorLinks, Directory};
use crate::tree::{Failure, NewTree, RecursiveOptions};
use crate::watch_id::WatchId;
use crate::watches::{Addition, NO_PLACE, Owner, Target, ended_watch};
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path that stays right when the working directory changes; the path itself where that can't be told.
pub(super) fn absolute(path: &CStr) -> Vec<u8> {
    match std::path::absolute(Path::new(OsStr::from_bytes(path.to_bytes()))) {
        Ok(absolute) => absolute.into_os_string().into_encoded_bytes(),
        Err(_) => path.to_bytes().to_vec(),
    }
}

fn add_failed(errno: i32, path: &CStr) -> Error {
    Call::AddWatch.failed(errno, Some(path))
}

/// Before a path is copied, which may be of any length: there is memory for that.
pub(super) fn prepare_for(path: &CStr) -> Sys<()> {
    memory::foresee(path.count_bytes());
    memory::renew()
}

impl Engine {
    pub(crate) fn add_watch(&mut self, path: &CStr, mask: Mask) -> Result<WatchId> {
        prepare_for(path).map_err(|errno| add_failed(errno, path))?;
        let added = self.add_plain(path, mask);
        self.show_added("add_watch", path, mask, &added);
        added
    }

    fn add_plain(&mut self, path: &CStr, mask: Mask) -> Result<WatchId> {
        if mask.bits() & !Mask::all().bits() != 0 {
            let text = text!("the mask has bits inotify(7) does not know: {mask}");
            return Err(Error::new(libc::EINVAL, text));
        }
        check_asks(mask)?;
        if mask.contains(Mask::MASK_ADD | Mask::MASK_CREATE) {
            let text = "MASK_ADD and MASK_CREATE exclude each other";
            return Err(Error::new(libc::EINVAL, text));
        }
        self.end_removed_plains().map_err(work_failed)?;
        if !self.forest.has_trees() {
            return self.add_by_kernels_rules(path, mask);
        }
        /// The path may lead to another file each time it is looked at.
        const TRIES: u32 = 100;
        for _ in 0..TRIES {
            if let Some(id) = self.add_beside_trees(path, mask)? {
                return Ok(id);
            }
        }
        Err(add_failed(libc::EAGAIN, path))
    }

    /// Without trees the kernel's rules for a second watch on the same inode are ours.
    fn add_by_kernels_rules(&mut self, path: &CStr, mask: Mask) -> Result<WatchId> {
        let inotify = self.stream.inotify();
        let wd = inotify.add(path, mask).map_err(|e| add_failed(e, path))?;
        self.added_by_kernels_rules(wd, path, mask)
    }

    fn added_by_kernels_rules(&mut self, wd: i32, path: &CStr, mask: Mask) -> Result<WatchId> {
        let Some(Owner::Plain(index)) = self.watches.owner(wd) else {
            return Ok(self.new_plain(wd, path, mask, Position::default()));
        };
        let since = self.mask_taken(wd);
        let head = self.stream.head();
        let id = self.watches.change_mask(index, mask, head, since);
        self.watches.leave_oneshot_to_kernel(index);
        Ok(id)
    }

    fn new_plain(&mut self, wd: i32, path: &CStr, mask: Mask, since: Position) -> WatchId {
        let first_place = self.watches.first_place(wd);
        self.watches.add_plain(&Addition {
            wd,
            path,
            mask,
            first_place,
            since,
        })
    }

    /// With trees about, the path may lead to a directory that a tree watches: its mask is only ever added to, ONESHOT is
    /// ours to do, and what nobody asked for is filtered. Elsewhere the kernel's rules are ours. None: the path leads
    /// somewhere else by now.
    fn add_beside_trees(&mut self, path: &CStr, mask: Mask) -> Result<Option<WatchId>> {
        let failed = |errno| add_failed(errno, path);
        let how = mask & (Mask::DONT_FOLLOW | Mask::ONLYDIR);
        let fresh = (mask - Mask::MASK_ADD) | Mask::MASK_CREATE;
        match self.stream.inotify().add(path, fresh) {
            Ok(wd) => return Ok(Some(self.new_plain(wd, path, mask, Position::default()))),
            Err(libc::EEXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        // An addition of no bits tells the descriptor, and so the owner.
        let wd = match self.stream.inotify().add(path, how | Mask::MASK_ADD) {
            Ok(wd) => wd,
            Err(errno) => return Err(failed(errno)),
        };
        let plain = match self.watches.owner(wd) {
            Some(Owner::Plain(index)) => Some(index),
            Some(Owner::Place(_)) => None,
            Some(Owner::Spent) | None => {
                // Either a scan has just watched this directory for a tree, or the path leads to another file than a
                // moment ago, and the watch is for nothing.
                let (scans, mut work) = self.scans();
                match scans.is_being_listed(wd) {
                    true => scans.give_up_listing(&mut work),
                    false => drop(scans.rm_from_kernel(wd, &mut work)),
                }
                return Ok(None);
            }
        };
        if plain.is_some() && mask.contains(Mask::MASK_CREATE) {
            return Err(failed(libc::EEXIST));
        }
        self.drain().map_err(work_failed)?;
        if self.watches.first_place(wd) == NO_PLACE {
            return match self.add_expecting(wd, path, mask) {
                Some(Ok(())) => self.added_by_kernels_rules(wd, path, mask).map(Some),
                Some(Err(errno)) => Err(failed(errno)),
                None => Ok(None),
            };
        }
        let since = self.stream.tail();
        let added = (mask & (Mask::ALL | Mask::EXCL_UNLINK)) | how | Mask::MASK_ADD;
        match self.add_expecting(wd, path, added) {
            Some(Ok(())) => {}
            Some(Err(errno)) => return Err(failed(errno)),
            None => return Ok(None),
        }
        let Some(index) = plain else {
            // The tree's older events are not its own.
            return Ok(Some(self.new_plain(wd, path, mask, since)));
        };
        let head = self.stream.head();
        Ok(Some(self.watches.change_mask(index, mask, head, since)))
    }

    /// Adds to a watch that is there. None: it is another one by now, which is left as it was.
    fn add_expecting(&mut self, wd: i32, path: &CStr, mask: Mask) -> Option<Sys<()>> {
        match self.stream.inotify().add(path, mask) {
            Ok(found) if found == wd => Some(Ok(())),
            Ok(found) => {
                self.take_back(found);
                None
            }
            Err(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => None,
            Err(errno) => Some(Err(errno)),
        }
    }

    /// A watch was put on something that the path led to for a moment. Where others have it, they hear no more than they
    /// asked for.
    fn take_back(&mut self, wd: i32) {
        match self.watches.owner(wd) {
            Some(Owner::Plain(index)) => self.watches.filter_plain(index),
            Some(Owner::Place(_)) => {}
            Some(Owner::Spent) | None => {
                let (scans, mut work) = self.scans();
                if !scans.is_being_listed(wd) {
                    let _ = scans.rm_from_kernel(wd, &mut work);
                }
            }
        }
    }

    /// The position from which on a mask counts that the kernel has just taken for a watch. There is no way back from that:
    /// where the queue can't be read the mask counts for all that is not read yet.
    fn mask_taken(&mut self, wd: i32) -> Position {
        let unread = self.stream.tail();
        if self.drain().is_err() {
            return unread;
        }
        // A ONESHOT that has fired already: its event is the last one before the IGNORED.
        let mut last = self.stream.tail();
        for (position, event) in self.stream.pending().filter(|(_, e)| e.wd == wd) {
            if event.mask & Mask::IGNORED.bits() != 0 {
                return last;
            }
            last = position;
        }
        self.stream.tail()
    }

    fn drain(&mut self) -> Sys<()> {
        self.stream.drain()
    }

    /// Makes the tree and queues its first scan.
    pub(crate) fn add_tree(
        &mut self,
        path: &CStr,
        mask: Mask,
        options: RecursiveOptions,
    ) -> Result<WatchId> {
        prepare_for(path).map_err(|errno| Call::OpenDirectory.failed(errno, Some(path)))?;
        let added = self.add_root(path, mask, options);
        self.show_added("add_recursive", path, mask, &added);
        added
    }

    /// Prints what adding a watch has come to.
    fn show_added(&self, call: &str, path: &CStr, mask: Mask, added: &Result<WatchId>) {
        let (log, path) = (self.stream.log(), Quoted(path.to_bytes()));
        if !log.is_on() {
            return;
        }
        let wd = |id: WatchId| self.watch_wd(id).unwrap_or(-1);
        match added {
            Ok(id) => debug!(
                log,
                "{call} {path} {mask}: watch {}, wd {}",
                id.as_raw(),
                wd(*id)
            ),
            Err(error) => debug!(log, "{call} {path} {mask}: error {}, {error}", error.errno),
        }
    }

    fn add_root(&mut self, path: &CStr, mask: Mask, options: RecursiveOptions) -> Result<WatchId> {
        check_tree_mask(mask)?;
        if path.is_empty() {
            return Err(Call::OpenDirectory.failed(libc::ENOENT, Some(path)));
        }
        let failed = |errno| Call::OpenDirectory.failed(errno, Some(path));
        let follow = !mask.contains(Mask::DONT_FOLLOW);
        let absolute = absolute(path);
        self.watches.asks_for(mask);
        let (scans, mut work) = self.scans();
        let name = base_name(&absolute).to_vec();
        scans
            .begin_reading((None, &name), &mut work)
            .map_err(failed)?;
        // Opened as the scan will open it, so that a root that can't be listed is refused.
        let opened = Directory::open(None, path.to_bytes(), Access::List, follow);
        let opened = opened.and_then(|root| {
            scans.is_reading(UNKNOWN);
            Ok((root.identity()?, root))
        });
        let (identity, root) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                let (scans, mut work) = self.scans();
                scans.end_readings(&mut work).map_err(failed)?;
                return Err(failed(errno));
            }
        };
        self.drain().map_err(failed)?;
        let new = NewTree {
            path: path.to_bytes().to_vec(),
            absolute,
            identity,
            mask,
            options,
            since: self.stream.tail(),
        };
        let (forest, mut fx) = self.trees();
        let index = forest.add_tree(new, &mut fx);
        let watched = self.watch_root(index, &root);
        drop(root);
        let (scans, mut work) = self.scans();
        if let Err(errno) = watched.and_then(|()| scans.end_readings(&mut work)) {
            self.discard_tree(index);
            return Err(failed(errno));
        }
        let (forest, mut fx) = self.trees();
        forest.begin_first_sync(index, &mut fx);
        Ok(forest.tree_id(index))
    }

    /// The root is watched before anything else, also where the rest is left to the background.
    fn watch_root(&mut self, index: u32, root: &Directory) -> Sys<()> {
        let tree = self.forest.tree(index);
        let (place, mask) = (tree.root(), tree.kernel_mask(true));
        let (_, mut work) = self.scans();
        let links = DescriptorLinks::of_this_thread();
        let wd = match watch_open(root, &links, place, mask, &mut work) {
            // Without /proc: the path leads elsewhere by now.
            Err(libc::ESTALE) => return Err(libc::ENOENT),
            watched => watched?,
        };
        if self.watches.owner(wd).is_some() {
            // The others may have asked for less. What was told before is decoded before the root is scanned.
            self.drain()?;
        }
        self.scans.is_reading(wd);
        let (forest, mut fx) = self.trees();
        forest.assign_wd(place, wd, &mut fx);
        Ok(())
    }

    /// How the set-up of a tree that was waited for went.
    pub(crate) fn end_set_up(&mut self, index: u32) -> Result<()> {
        let Err(Failure { errno, path }) = self.forest.end_set_up(index) else {
            return Ok(());
        };
        self.discard_tree(index);
        let path = CString::new(path).unwrap_or_default();
        Err(Call::SetUp.failed(errno, Some(&path)))
    }

    /// Takes a tree away that nobody was told of.
    pub(crate) fn discard_tree(&mut self, index: u32) {
        // Without memory for the list of them, they go one by one below.
        let wds = self.own_wds(index).unwrap_or_default();
        self.leave_kernel(&wds);
        let (forest, mut fx) = self.trees();
        forest.discard_tree(index, &mut fx);
        while self.forest.has_doomed() {
            let (forest, mut fx) = self.trees();
            forest.release_some(&mut fx);
            self.remove_unheld();
            if self.drain().is_err() {
                break;
            }
        }
    }

    pub(crate) fn rm_watch(&mut self, id: WatchId) -> Result<()> {
        debug!(self.stream.log(), "rm_watch {}", id.as_raw());
        memory::renew().map_err(work_failed)?;
        match self.watches.target(id)? {
            Target::Plain(index) => self.rm_plain(index),
            Target::Tree(index) => self.rm_tree(index, id),
        }
    }

    fn rm_plain(&mut self, index: u32) -> Result<()> {
        self.watches.check_removable(index)?;
        // A full queue has no room for the IGNORED.
        self.drain().map_err(work_failed)?;
        if let Some(wd) = self.watches.rm_plain(index, self.stream.tail()) {
            // The kernel queues the IGNORED, behind all that was queued before.
            let (scans, mut work) = self.scans();
            if scans.rm_from_kernel(wd, &mut work).is_err() {
                return self.end_lost_plain(index, wd);
            }
        }
        Ok(())
    }

    /// The kernel has ended a watch already. Its IGNORED is pending, or was lost with an overflow.
    #[cold]
    fn end_lost_plain(&mut self, index: u32, wd: i32) -> Result<()> {
        // What can't be read now is read later; an end that is told twice is told once.
        let _ = self.drain();
        let id = self.watches.plain_id(index);
        let mut pending = self.stream.pending_from(self.stream.head());
        if pending.any(|(_, event)| event.wd == wd && event.mask & Mask::IGNORED.bits() != 0) {
            return Err(ended_watch(id));
        }
        drop(pending);
        self.watches.end_at(self.stream.tail(), id);
        Ok(())
    }

    fn rm_tree(&mut self, index: u32, id: WatchId) -> Result<()> {
        if self.forest.tree(index).is_ending() {
            let text = text!("the watch with ID {} has ended already", id.as_raw());
            return Err(Error::new(libc::ENOENT, text));
        }
        let wds = self.own_wds(index).map_err(work_failed)?;
        self.drain().map_err(work_failed)?;
        let tail = self.stream.tail();
        let (forest, mut fx) = self.trees();
        fx.position = tail;
        forest.begin_ending(index, &mut fx);
        self.leave_kernel(&wds);
        Ok(())
    }

    /// The kernel watches that only this tree holds.
    fn own_wds(&mut self, index: u32) -> Sys<Vec<i32>> {
        let (forest, fx) = self.trees();
        forest.own_wds(index, &fx)
    }

    /// Removes kernel watches that only one tree holds. The places stay, for what is queued.
    fn leave_kernel(&mut self, wds: &[i32]) {
        /// Each removal queues an IGNORED: they are fetched before they fill the queue.
        const FETCH: usize = 256;
        for chunk in wds.chunks(FETCH) {
            let (scans, mut work) = self.scans();
            for &wd in chunk {
                let _ = scans.rm_from_kernel(wd, &mut work);
            }
            // What can't be fetched now is fetched later. Should the queue overflow, that is told.
            let _ = self.drain();
        }
    }
}

/// What is in the masks of events only.
fn output() -> Mask {
    Mask::ISDIR | Mask::IGNORED | Mask::UNMOUNT | Mask::Q_OVERFLOW
}

fn check_tree_mask(mask: Mask) -> Result<()> {
    let flags = Mask::ONLYDIR | Mask::DONT_FOLLOW | Mask::EXCL_UNLINK;
    let strange = mask - Mask::ALL - flags - output();
    if mask.bits() & !Mask::all().bits() != 0 || !strange.is_empty() {
        let text = text!("the mask has bits a recursive watch does not take: {strange}");
        return Err(Error::new(libc::EINVAL, text));
    }
    check_asks(mask)
}

/// The kernel takes a mask of flags alone, and then tells nothing.
fn check_asks(mask: Mask) -> Result<()> {
    if mask.intersects(Mask::ALL) {
        return Ok(());
    }
    let text = if mask.is_empty() {
        "the mask is empty: it asks for no event".into()
    } else if mask.intersects(output()) {
        text!(
            "the mask asks for no event: {mask} says in an event what it is of; add CREATE, DELETE, MODIFY or others"
        )
    } else {
        text!(
            "the mask asks for no event: {mask} says only how to watch; add CREATE, DELETE, MODIFY or others"
        )
    };
    Err(Error::new(libc::EINVAL, text))
}
