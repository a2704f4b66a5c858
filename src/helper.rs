//! A second thread for the set-up of a large tree. To add watches and to list is the kernel's work, and two threads get it
//! done sooner than one. The helper lives within `add_recursive`, and touches nothing but directories and the inotify fd.

use crate::listing::Listing;
use crate::mask::{Mask, RecursiveFlags};
use crate::places::{PlaceRef, state};
use crate::state::State;
use crate::sys::directory::Directory;
use crate::sys::inotify::InotifyFd;
use crate::sys::thread;
use std::ffi::{CStr, CString};
use std::ops::Range;

/// What both threads work with.
#[derive(Clone, Copy)]
struct Tree<'a> {
    root: &'a Directory,
    /// How much of a full path is the root's, the slash included.
    root_len: usize,
    inotify: &'a InotifyFd,
    mask: Mask,
    /// Where the tree is not to leave its filesystem.
    device: Option<u64>,
}

/// A directory that was watched; what is in it, if it could be listed.
struct Listed {
    wd: i32,
    entries: Option<Range<usize>>,
}

impl Tree<'_> {
    /// None where a directory is better tried alone, to see what the matter is.
    fn list(self, path: &CStr, listed: &mut Vec<u8>) -> Option<Listed> {
        let below = CStr::from_bytes_with_nul(path.to_bytes_with_nul().get(self.root_len..)?);
        let directory = self.root.open_child(below.ok()?).ok()?;
        if let Some(device) = self.device
            && directory.identity().ok()?.dev != device
        {
            return None;
        }
        let wd = self.inotify.add(path, self.mask).ok()?;
        let start = listed.len();
        let entries = loop {
            match directory.read(listed) {
                Ok(0) | Err(libc::ENOENT) => break Some(start..listed.len()),
                Ok(_) => {}
                Err(_) => break None,
            }
        };
        Some(Listed { wd, entries })
    }

    fn list_all(self, paths: &[CString], listed: &mut Vec<u8>) -> Vec<Option<Listed>> {
        let list = |path: &CString| self.list(path, listed);
        paths.iter().map(list).collect()
    }
}

impl State {
    /// Whether so much of the tree being listed waits that a second thread is worth its while.
    pub(crate) fn wants_help(&mut self) -> bool {
        const WORTH_IT: usize = 64;
        let Some(listing) = self.listings.back() else {
            return false;
        };
        self.scans.len() >= WORTH_IT
            && self.trees[listing.tree].setting_up
            && *self.has_second_cpu.get_or_insert_with(|| {
                std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1)
            })
    }

    /// Lists many directories of the tree, half of them in another thread.
    pub(crate) fn list_with_help(&mut self) {
        const AT_ONCE: usize = 512;
        let Some(index) = self.listings.back().map(|listing| listing.tree) else {
            return;
        };
        let (mut places, mut paths) = (Vec::new(), Vec::new());
        while places.len() < AT_ONCE
            && let Some((reference, path)) = self.next_of_many(index)
        {
            places.push(reference);
            paths.push(path);
        }
        let tree = &self.trees[index];
        let one_filesystem = tree.flags.contains(RecursiveFlags::ONE_FILESYSTEM);
        let Some(root) = self.anchor.as_ref().map(|anchor| &anchor.root) else {
            return self.scans.extend(places.into_iter().rev());
        };
        let tree = Tree {
            root,
            root_len: tree.absolute_stem().len() + 1,
            inotify: &self.inotify,
            mask: tree.kernel_mask(false),
            device: one_filesystem.then_some(tree.identity.dev),
        };
        let (mine, theirs) = paths.split_at(paths.len() / 2);
        let (listed, mut listed_there) = (&mut self.listed, Vec::new());
        let (mut results, from_helper) = std::thread::scope(|scope| {
            let helper = thread::spawn(scope, || tree.list_all(theirs, &mut listed_there));
            let results = tree.list_all(mine, listed);
            let from_helper = helper.ok().and_then(|helper| helper.join().ok());
            (results, from_helper)
        });
        if from_helper.is_none() {
            self.has_second_cpu = Some(false);
        }
        let shift = self.listed.len();
        self.listed.extend_from_slice(&listed_there);
        for result in from_helper.into_iter().flatten() {
            results.push(result.map(|mut listed| {
                if let Some(entries) = &mut listed.entries {
                    *entries = entries.start + shift..entries.end + shift;
                }
                listed
            }));
        }
        self.scans.extend(places.drain(results.len()..).rev());
        for (reference, result) in places.into_iter().zip(results).rev() {
            self.take_listed(index, reference, result);
        }
    }

    /// The next scan with the full path of its directory, if that may be listed together with others.
    fn next_of_many(&mut self, tree: u32) -> Option<(PlaceRef, CString)> {
        let &reference = self.scans.last()?;
        let id = self.places.resolve(reference)?;
        let place = self.places.get(id);
        if place.tree != tree || !self.can_join(id) || place.is(state::ALONE) {
            return None;
        }
        let path = self.full_path_of(id)?;
        self.scans.pop();
        self.places.get_mut(id).set(state::LISTING);
        Some((reference, path))
    }

    fn take_listed(&mut self, tree: u32, reference: PlaceRef, result: Option<Listed>) {
        let Some(id) = self.places.resolve(reference) else {
            return;
        };
        if let Some(Listed { wd, entries }) = result {
            if let Some(entries) = entries
                && !self.is_oneshot(wd)
            {
                return self.listings.push_back(Listing {
                    place: reference,
                    tree,
                    wd,
                    directory: None,
                    entries,
                });
            }
            self.abandon(wd);
        }
        let place = self.places.get_mut(id);
        place.unset(state::LISTING);
        place.set(state::ALONE);
        self.scans.push(reference);
    }
}
