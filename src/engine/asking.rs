//! The questions that a program may ask about watches and trees, and the paths that it may correct.

use super::Engine;
use crate::advice::text;
use crate::error::{Error, Result};
use crate::mask::Mask;
use crate::memory::{Room, copy_of};
use crate::sys::Sys;
use crate::tree::Forest;
use crate::watch_id::WatchId;
use crate::watches::{PlaceId, Target};
use std::ffi::{CStr, CString};

impl Engine {
    /// All watches, in the order in which they were added.
    pub(crate) fn watch_ids(&self) -> Result<Vec<WatchId>> {
        self.watches.ids().map_err(no_memory)
    }

    pub(crate) fn watch_path(&self, id: WatchId) -> Result<Vec<u8>> {
        let path = match self.watches.target(id)? {
            Target::Plain(index) => self.watches.plain_path(index).to_bytes(),
            Target::Tree(index) => self.forest.tree(index).path(),
        };
        copy_of(path).map_err(no_memory)
    }

    pub(crate) fn watch_set_path(&mut self, id: WatchId, path: &CStr) -> Result<()> {
        let target = self.watches.target(id)?;
        match target {
            Target::Plain(index) => {
                let copied = c_string(path).map_err(no_memory)?;
                self.watches.set_plain_path(index, copied);
            }
            Target::Tree(index) => {
                super::adding::prepare_for(path).map_err(no_memory)?;
                let copied = copy_of(path.to_bytes()).map_err(no_memory)?;
                let absolute = super::adding::absolute(path);
                let (forest, mut fx) = self.trees();
                forest.set_tree_path(index, copied, absolute, &mut fx);
            }
        }
        Ok(())
    }

    pub(crate) fn watch_mask(&self, id: WatchId) -> Result<Mask> {
        Ok(match self.watches.target(id)? {
            Target::Plain(index) => self.watches.plain_mask(index),
            Target::Tree(index) => self.forest.tree(index).mask(),
        })
    }

    pub(crate) fn watch_wd(&self, id: WatchId) -> Result<i32> {
        Ok(match self.watches.target(id)? {
            Target::Plain(index) => self.watches.plain_wd(index),
            Target::Tree(index) => self.forest.tree(index).root_wd(),
        })
    }

    pub(crate) fn watch_is_active(&self, id: WatchId) -> Result<bool> {
        Ok(match self.watches.target(id)? {
            Target::Plain(index) => self.watches.plain_is_active(index),
            Target::Tree(index) => !self.forest.tree(index).is_ending(),
        })
    }

    /// The record of a tree; None once its last event has been taken.
    pub(crate) fn tree_index(&self, id: WatchId) -> Option<u32> {
        match self.watches.target(id) {
            Ok(Target::Tree(index)) => Some(index),
            _ => None,
        }
    }

    pub(crate) fn is_setting_up(&self, index: u32) -> bool {
        let tree = self.forest.get_tree(index);
        tree.is_some_and(|tree| tree.is_setting_up())
    }

    /// Whether a tree's filter is out to be asked.
    pub(crate) fn is_asking(&self, index: u32) -> bool {
        let tree = self.forest.get_tree(index);
        tree.is_some_and(|tree| tree.is_asking())
    }

    /// None: the tree has ended, and its last event is still to be taken.
    fn active_tree(&self, id: WatchId) -> Result<Option<u32>> {
        let Target::Tree(index) = self.watches.target(id)? else {
            let text = text!("the watch with ID {} is not recursive", id.as_raw());
            return Err(Error::new(libc::EINVAL, text));
        };
        Ok(Some(index).filter(|&index| !self.forest.tree(index).is_ending()))
    }

    /// The paths of the directories that can't be watched now, and why.
    pub(crate) fn troubles(&self, id: WatchId) -> Result<(Paths, Vec<i32>)> {
        let (mut paths, mut errnos) = (Paths::default(), Vec::new());
        let Some(index) = self.active_tree(id)? else {
            return Ok((paths, errnos));
        };
        for (id, errno) in self.forest.troubles_of(index) {
            errnos.make_room(1).map_err(no_memory)?;
            errnos.push(errno);
            paths.push(id, &self.forest).map_err(no_memory)?;
        }
        Ok((paths, errnos))
    }

    /// The paths of all directories now watched.
    pub(crate) fn directories(&self, id: WatchId) -> Result<Paths> {
        let mut paths = Paths::default();
        if let Some(index) = self.active_tree(id)? {
            self.list_directories(index, &mut paths)
                .map_err(no_memory)?;
        }
        Ok(paths)
    }

    fn list_directories(&self, index: u32, paths: &mut Paths) -> Sys<()> {
        let tree = self.forest.tree(index);
        let mut stack = Vec::new();
        stack.make_room(1)?;
        stack.push(tree.root());
        while let Some(id) = stack.pop() {
            for child in self.forest.places().children(id) {
                stack.make_room(1)?;
                stack.push(child);
            }
            let place = self.forest.place(id);
            if place.wd() != 0 && place.epoch() == tree.epoch() {
                paths.push(id, &self.forest)?;
            }
        }
        Ok(())
    }
}

fn c_string(text: &CStr) -> Sys<CString> {
    let copy = copy_of(text.to_bytes_with_nul())?;
    // It has one NUL, at its end.
    Ok(CString::from_vec_with_nul(copy).unwrap_or_default())
}

fn no_memory(errno: i32) -> Error {
    Error::new(errno, "no memory for the answer")
}

/// Paths of directories, one behind the other.
#[derive(Default)]
pub(crate) struct Paths {
    /// Each has a NUL at its end.
    bytes: Vec<u8>,
}

impl Paths {
    fn push(&mut self, id: PlaceId, forest: &Forest) -> Sys<()> {
        let tree = forest.tree_of(id);
        let names = forest.places().path_len(id);
        self.bytes.make_room(tree.path().len() + names + 1)?;
        forest.append_path(id, tree.path(), &mut self.bytes);
        self.bytes.push(0);
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &CStr> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let path = CStr::from_bytes_until_nul(rest).ok()?;
            rest = &rest[path.count_bytes() + 1..];
            Some(path)
        })
    }
}
