//! Reaching the directories of a tree: its root is held open for the length of a slice, and all else is opened from there.

use crate::backlog::raw_events;
use crate::mask::{Mask, RecursiveFlags};
use crate::places::{NONE, PlaceId, PlaceRef};
use crate::state::State;
use crate::sys::Sys;
use crate::sys::directory::{Access, Directory};
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
    pub(crate) fn open_anchor_of(&mut self, id: PlaceId) -> Option<Directory> {
        let index = self.places.get(id).tree;
        if self.places.top(id) != self.trees[index].root || self.reach(index).is_err() {
            return None;
        }
        let mut path = Vec::new();
        self.places.append_path(id, &mut path);
        let root = &self.anchor.as_ref()?.root;
        Directory::open(
            Some(root),
            path.strip_prefix(b"/").unwrap_or(&path),
            Access::Anchor,
            false,
        )
        .ok()
    }

    /// Whether the disk has, at the path of a place, the directory with this descriptor.
    pub(crate) fn is_still_at(&mut self, id: PlaceId, wd: i32) -> bool {
        let index = self.places.get(id).tree;
        let Some(directory) = self.open_anchor_of(id) else {
            return false;
        };
        let mask = self.trees[index].kernel_mask(false);
        match directory.watch(&self.inotify, mask) {
            Ok(found) => {
                self.abandon(found);
                found == wd
            }
            Err(_) => false,
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

    pub(crate) fn open_and_watch(&mut self, id: PlaceId) -> Sys<(Directory, i32)> {
        let Some(mut anchor) = self.anchor.take() else {
            return Err(libc::ENOENT);
        };
        let mut opened = self.open_and_watch_from(&mut anchor, id);
        if let Err(libc::EMFILE | libc::ENFILE) = opened
            && !anchor.open.is_empty()
        {
            anchor.open.clear();
            opened = self.open_and_watch_from(&mut anchor, id);
        }
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
        let mut wd = match CStr::from_bytes_with_nul(path) {
            Ok(path) if short => {
                anchor.by_path = true;
                self.inotify.add(path, mask)?
            }
            _ => directory.watch(&self.inotify, mask)?,
        };
        if let Some(exact) = self.mask_without_oneshot(wd, mask) {
            wd = directory.watch(&self.inotify, exact)?;
        }
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
