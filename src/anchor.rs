//! Reaching the directories of a tree: its root is held open for the length of a slice, and all else is opened from there.

use crate::backlog::raw_events;
use crate::mask::{Mask, RecursiveFlags};
use crate::places::{NONE, PlaceId, PlaceRef};
use crate::state::State;
use crate::sys::Sys;
use crate::sys::directory::{Access, Directory};
use crate::watch::{Held, Holder};
use std::ffi::CStr;

/// A tree's root, open for the length of a slice: below it, paths are right whatever happens above.
pub(crate) struct Anchor {
    pub(crate) tree: u32,
    root: Directory,
    /// Directories just listed whose subdirectories come next, those of the last first.
    pub(crate) open: Vec<(PlaceRef, Directory)>,
    /// Watches were added by full path, which is right only if the root still has that path at the end.
    by_path: bool,
    /// The full path of the directory scanned last, and which part of it is whose: most often the next one has the same parent.
    path: Vec<u8>,
    parent: Option<PathOf>,
}

struct PathOf {
    place: PlaceId,
    version: u64,
    len: usize,
}

impl State {
    /// Opens the root of a tree, unless it is open.
    pub(crate) fn reach(&mut self, index: u32) -> Sys<()> {
        if self
            .anchor
            .as_ref()
            .is_some_and(|anchor| anchor.tree == index)
        {
            return Ok(());
        }
        self.leave_anchor();
        let root = self.open_root(index)?;
        self.anchor = Some(Anchor {
            tree: index,
            root,
            open: Vec::new(),
            by_path: false,
            path: Vec::new(),
            parent: None,
        });
        Ok(())
    }

    fn open_root(&self, index: u32) -> Sys<Directory> {
        let tree = &self.trees[index];
        let root = Directory::open(None, &tree.absolute, Access::Anchor, true)?;
        if root.identity()? == tree.identity {
            Ok(root)
        } else {
            Err(libc::ENOENT)
        }
    }

    /// Closes the root: an open directory can't tell of its end. If its path has changed meanwhile, watches added by that
    /// path may be on anything.
    pub(crate) fn leave_anchor(&mut self) {
        let Some(anchor) = self.anchor.take() else {
            return;
        };
        let tree = anchor.tree;
        drop((anchor.root, anchor.open));
        if anchor.by_path
            && self.trees.get(tree).is_some_and(|tree| !tree.ending)
            && self.open_root(tree).is_err()
            && self.root_is_alive(tree)
        {
            self.begin_sync(tree);
        }
    }

    /// Whether the kernel still watches a tree's root, as far as it has told.
    fn root_is_alive(&mut self, index: u32) -> bool {
        let wd = self.trees[index].root_wd;
        let ended = Mask::IGNORED.bits() | Mask::DELETE_SELF.bits();
        self.drain().is_ok()
            && !raw_events(self.backlog.pending()).any(|(_, e)| e.wd == wd && e.mask & ended != 0)
    }

    /// A directory of a tree as an anchor, if it is where it should be.
    pub(crate) fn open_anchor_of(&mut self, id: PlaceId) -> Sys<Directory> {
        let index = self.places.get(id).tree;
        if self.places.top(id) != self.trees[index].root {
            return Err(libc::ENOENT);
        }
        self.reach(index)?;
        let mut path = Vec::new();
        self.places.append_path(id, &mut path);
        let path = path.strip_prefix(b"/").unwrap_or(&path);
        let open = |state: &State| match &state.anchor {
            Some(anchor) => Directory::open(Some(&anchor.root), path, Access::Anchor, false),
            None => Err(libc::ENOENT),
        };
        match open(self) {
            Err(libc::EMFILE | libc::ENFILE) => {
                self.spare_descriptors();
                open(self)
            }
            opened => opened,
        }
    }

    /// Closes what is open only to be quicker.
    fn spare_descriptors(&mut self) {
        if let Some(anchor) = &mut self.anchor {
            anchor.open.clear();
        }
        for listing in &mut self.listings {
            listing.directory = None;
        }
    }

    /// Whether the disk has, at the path of a place, the directory with this descriptor; as far as it can be told.
    pub(crate) fn is_still_at(&mut self, id: PlaceId, wd: i32) -> Sys<bool> {
        let index = self.places.get(id).tree;
        let directory = match self.open_anchor_of(id) {
            Err(errno @ (libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => return Err(errno),
            Err(_) => return Ok(false),
            Ok(directory) => directory,
        };
        let mask = self.trees[index].kernel_mask(false);
        let Ok(found) = directory.watch(&self.inotify, &self.absolute_path_of(id), mask) else {
            return Ok(false);
        };
        self.share_with_plain(&directory, id, found, mask)?;
        self.abandon(found);
        Ok(found == wd)
    }

    /// A watch was added for a tree. A plain watch that has it too goes on hearing only what it asked for.
    pub(crate) fn share_with_plain(
        &mut self,
        directory: &Directory,
        id: PlaceId,
        wd: i32,
        mask: Mask,
    ) -> Sys<i32> {
        let Some(Held::Plain(index)) = self.by_wd.get(&wd).map(Holder::by) else {
            return Ok(wd);
        };
        self.filter_plain(index);
        match self.mask_without_oneshot(wd, mask) {
            Some(exact) => directory.watch(&self.inotify, &self.absolute_path_of(id), exact),
            None => Ok(wd),
        }
    }

    /// The full path of a place, as it is told.
    pub(crate) fn path_of(&self, id: PlaceId) -> Vec<u8> {
        let mut path = self.trees[self.places.get(id).tree].path.clone();
        if self.places.get(id).parent != NONE && path.last() == Some(&b'/') {
            path.pop();
        }
        self.places.append_path(id, &mut path);
        path
    }

    /// The full path of a place for the kernel, with a NUL at its end.
    pub(crate) fn absolute_path_of(&self, id: PlaceId) -> Vec<u8> {
        let mut path = self.trees[self.places.get(id).tree]
            .absolute_stem()
            .to_vec();
        self.places.append_path(id, &mut path);
        if path.is_empty() {
            path.push(b'/');
        }
        path.push(0);
        path
    }

    pub(crate) fn open_and_watch(&mut self, id: PlaceId) -> Sys<(Directory, i32)> {
        match self.try_open_and_watch(id) {
            Err(libc::EMFILE | libc::ENFILE) => {
                self.spare_descriptors();
                self.try_open_and_watch(id)
            }
            opened => opened,
        }
    }

    fn try_open_and_watch(&mut self, id: PlaceId) -> Sys<(Directory, i32)> {
        let Some(mut anchor) = self.anchor.take() else {
            return Err(libc::ENOENT);
        };
        let opened = self.open_and_watch_from(&mut anchor, id);
        self.anchor = Some(anchor);
        opened
    }

    fn open_and_watch_from(&mut self, anchor: &mut Anchor, id: PlaceId) -> Sys<(Directory, i32)> {
        self.put_path_together(anchor, id);
        let tree = &self.trees[self.places.get(id).tree];
        let is_root = tree.root == id;
        let path = &anchor.path;
        let (name, parent) = (self.places.get(id).name(), self.places.get(id).parent);
        while let Some((open, _)) = anchor.open.last()
            && self.places.resolve(*open) != Some(parent)
        {
            anchor.open.pop();
        }
        let directory = match anchor.open.last() {
            Some((_, above)) => {
                let name = CStr::from_bytes_with_nul(&path[path.len() - 1 - name.len()..]);
                above.open_child(name.map_err(|_| libc::EINVAL)?)?
            }
            None => {
                let from = tree.absolute_stem().len() + 1;
                let below = path.get(from..path.len() - 1).unwrap_or(b"");
                Directory::open(Some(&anchor.root), below, Access::List, false)?
            }
        };
        if tree.flags.contains(RecursiveFlags::ONE_FILESYSTEM)
            && directory.identity()?.dev != tree.identity.dev
        {
            return Err(libc::EXDEV);
        }
        let mask = tree.kernel_mask(is_root);
        let short = path.len() < libc::PATH_MAX as usize && path.len() > 1;
        let wd = if short {
            anchor.by_path = true;
            self.inotify.add_terminated(path, mask)?
        } else {
            directory.watch(&self.inotify, path, mask)?
        };
        let wd = self.share_with_plain(&directory, id, wd, mask)?;
        Ok((directory, wd))
    }

    /// The full path of a place, with a NUL at its end.
    fn put_path_together(&self, anchor: &mut Anchor, id: PlaceId) {
        let place = self.places.get(id);
        let version = self.places.version;
        let path = &mut anchor.path;
        match &anchor.parent {
            Some(of) if of.place == place.parent && of.version == version => path.truncate(of.len),
            _ => {
                path.clear();
                path.extend_from_slice(self.trees[place.tree].absolute_stem());
                if place.parent != NONE {
                    self.places.append_path(place.parent, path);
                }
                anchor.parent = Some(PathOf {
                    place: place.parent,
                    version,
                    len: path.len(),
                });
            }
        }
        if place.parent != NONE {
            path.push(b'/');
            path.extend_from_slice(place.name());
        }
        path.push(0);
    }
}
