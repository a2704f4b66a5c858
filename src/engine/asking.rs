//! The questions that a program may ask about watches and trees, and the paths that it may correct.

use super::Engine;
use crate::error::{Error, Result};
use crate::mask::Mask;
use crate::watch_id::WatchId;
use crate::watches::Target;
use std::ffi::{CStr, CString};

impl Engine {
    /// All watches, in the order in which they were added.
    pub(crate) fn watch_ids(&self) -> Vec<WatchId> {
        self.watches.ids()
    }

    pub(crate) fn watch_path(&self, id: WatchId) -> Result<CString> {
        Ok(match self.watches.target(id)? {
            Target::Plain(index) => self.watches.plain_path(index),
            Target::Tree(index) => CString::new(self.forest.tree(index).path()).unwrap_or_default(),
        })
    }

    pub(crate) fn watch_set_path(&mut self, id: WatchId, path: &CStr) -> Result<()> {
        match self.watches.target(id)? {
            Target::Plain(index) => self.watches.set_plain_path(index, path),
            Target::Tree(index) => {
                let (bytes, absolute) = (path.to_bytes().to_vec(), super::adding::absolute(path));
                let (forest, mut fx) = self.trees();
                forest.set_tree_path(index, bytes, absolute, &mut fx);
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
            return Err(Error::new(
                libc::EINVAL,
                format!("the watch with ID {} is not recursive", id.as_raw()),
            ));
        };
        Ok(Some(index).filter(|&index| !self.forest.tree(index).is_ending()))
    }

    /// The paths of the directories that can't be watched now, and why.
    pub(crate) fn troubles(&self, id: WatchId) -> Result<Vec<(CString, i32)>> {
        let index = self.active_tree(id)?;
        let troubles = index.map(|index| self.forest.troubles_of(index));
        let path = |id| CString::new(self.forest.path_of(id)).unwrap_or_default();
        Ok(troubles
            .into_iter()
            .flatten()
            .map(|(id, errno)| (path(id), errno))
            .collect())
    }

    /// The paths of all directories now watched.
    pub(crate) fn directories(&self, id: WatchId) -> Result<Vec<CString>> {
        let Some(index) = self.active_tree(id)? else {
            return Ok(Vec::new());
        };
        let tree = self.forest.tree(index);
        let mut paths = Vec::new();
        let mut stack = vec![tree.root()];
        while let Some(id) = stack.pop() {
            stack.extend(self.forest.places().children(id));
            let place = self.forest.place(id);
            if place.wd() != 0 && place.epoch() == tree.epoch() {
                paths.push(CString::new(self.forest.path_of(id)).unwrap_or_default());
            }
        }
        Ok(paths)
    }
}
