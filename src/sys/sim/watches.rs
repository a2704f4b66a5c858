//! inotify instances, the watches (marks) they have on inodes, and who hears of what.

use super::Kernel;
use super::inodes::{DentryId, InodeId, Name};
use super::queue::{Event, Queue};
use crate::sys::Sys;
use libc::{
    IN_ALL_EVENTS, IN_DELETE_SELF, IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR, IN_MASK_ADD,
    IN_MASK_CREATE, IN_MOVE_SELF, IN_ONESHOT, IN_UNMOUNT,
};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Events of an open file, which EXCL_UNLINK keeps away once it has no name.
const OF_FILES: u32 = libc::IN_ACCESS | libc::IN_MODIFY | libc::IN_CLOSE | libc::IN_OPEN;

/// A watch, as it hangs on its inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(super) struct Mark {
    pub(super) instance: u32,
    pub(super) wd: i32,
    /// The events.
    pub(super) mask: u32,
    /// EXCL_UNLINK and ONESHOT.
    flags: u32,
}

#[derive(Debug, Default)]
pub(super) struct Instance {
    /// Each wd's inode.
    pub(super) watches: BTreeMap<i32, InodeId>,
    pub(super) last_wd: i32,
    pub(super) queue: Queue,
}

impl Mark {
    pub(super) fn full_mask(&self) -> u32 {
        self.mask | self.flags
    }

    fn hears(&self, mask: u32, unlinked: bool) -> bool {
        let excluded = unlinked && mask & OF_FILES != 0 && self.flags & IN_EXCL_UNLINK != 0;
        (self.mask | IN_UNMOUNT) & mask != 0 && !excluded
    }
}

impl Kernel {
    /// inotify_update_watch: a watch on an inode, new or changed; its wd.
    pub(super) fn mark(&mut self, instance: u32, inode: InodeId, mask: u32) -> Sys<i32> {
        let full = self.is_full();
        let marks = &mut self.inodes[inode].marks;
        let (events, flags) = (mask & IN_ALL_EVENTS, mask & (IN_EXCL_UNLINK | IN_ONESHOT));
        if let Some(mark) = marks.iter_mut().find(|mark| mark.instance == instance) {
            if mask & IN_MASK_CREATE != 0 {
                return Err(libc::EEXIST);
            }
            if mask & IN_MASK_ADD == 0 {
                (mark.mask, mark.flags) = (0, 0);
            }
            mark.mask |= events;
            mark.flags |= flags;
            return Ok(mark.wd);
        }
        // The kernel takes a descriptor first, and it is gone also where the limit then forbids the watch.
        let to = &mut self.instances[instance];
        to.last_wd += 1;
        if full {
            return Err(libc::ENOSPC);
        }
        let wd = to.last_wd;
        to.watches.insert(wd, inode);
        self.marks += 1;
        marks.push(Mark {
            instance,
            wd,
            mask: events,
            flags,
        });
        Ok(wd)
    }

    /// Whether there can be no more watches until one ends.
    pub(super) fn is_full(&self) -> bool {
        self.marks >= self.limits.watches
    }

    /// fsnotify_destroy_mark: the watch goes, and IGNORED is told.
    fn unmark(&mut self, inode: InodeId, index: usize) {
        let Mark { instance, wd, .. } = self.inodes[inode].marks.remove(index);
        self.marks -= 1;
        self.instances[instance].watches.remove(&wd);
        self.queue(instance, wd, IN_IGNORED, 0, None);
    }

    pub(super) fn remove_watch(&mut self, instance: u32, wd: i32) -> Sys<()> {
        let &inode = self.instances[instance]
            .watches
            .get(&wd)
            .ok_or(libc::EINVAL)?;
        let marks = &self.inodes[inode].marks;
        let index = marks.iter().position(|mark| mark.instance == instance);
        self.unmark(inode, index.ok_or(libc::EINVAL)?);
        Ok(())
    }

    pub(super) fn remove_all_watches_on(&mut self, inode: InodeId) {
        while !self.inodes[inode].marks.is_empty() {
            self.unmark(inode, 0);
        }
    }

    /// The instance is closed.
    pub(super) fn remove_instance(&mut self, instance: u32) {
        for &inode in self.instances[instance].watches.values() {
            let marks = &mut self.inodes[inode].marks;
            marks.retain(|mark| mark.instance != instance);
            self.marks -= 1;
        }
        self.instances.remove(instance);
    }

    fn queue(&mut self, instance: u32, wd: i32, mask: u32, cookie: u32, name: Option<&Name>) {
        let event = Event {
            wd,
            mask,
            cookie,
            name: name.map(Rc::clone),
        };
        let limit = self.limits.queue;
        self.merged_rename |= self.instances[instance].queue.push(event, limit);
    }

    /// Tells the watches of one inode.
    fn tell(&mut self, to: InodeId, name: Option<&Name>, mask: u32, cookie: u32, unlinked: bool) {
        let mut index = 0;
        while let Some(&mark) = self.inodes[to].marks.get(index) {
            if mark.hears(mask, unlinked) {
                self.queue(mark.instance, mark.wd, mask, cookie, name);
                if mark.flags & IN_ONESHOT != 0 {
                    self.unmark(to, index);
                    continue;
                }
            }
            index += 1;
        }
    }

    /// fsnotify_name: what happens to a name in a directory, told to the directory's watches.
    pub(super) fn tell_entry(&mut self, directory: InodeId, name: &Name, mask: u32, cookie: u32) {
        self.tell(directory, Some(name), mask, cookie, false);
    }

    /// fsnotify_inode: told to the inode's own watches.
    pub(super) fn tell_own(&mut self, inode: InodeId, mask: u32) {
        let mask = self.with_isdir(inode, mask);
        self.tell(inode, None, mask, 0, false);
    }

    /// fsnotify_dentry, fsnotify_file: told to the watches of the directory it is in, with its name, then to its own.
    pub(super) fn tell_both(&mut self, dentry: DentryId, mask: u32) {
        let it = &self.dentries[dentry];
        let (inode, parent, unlinked) = (it.inode, it.parent, !it.hashed);
        let mask = self.with_isdir(inode, mask);
        if parent != dentry {
            let directory = self.dentries[parent].inode;
            if !self.inodes[directory].marks.is_empty() {
                let name = Rc::clone(&it.name);
                self.tell(directory, Some(&name), mask, 0, unlinked);
            }
        }
        self.tell(inode, None, mask, 0, unlinked);
    }

    /// inotify has never told ISDIR with DELETE_SELF and MOVE_SELF.
    fn with_isdir(&self, inode: InodeId, mask: u32) -> u32 {
        let is_directory = self.inodes[inode].is_directory();
        if is_directory && mask & (IN_DELETE_SELF | IN_MOVE_SELF) == 0 {
            mask | IN_ISDIR
        } else {
            mask
        }
    }

    /// Whether a watch of an inode would hear.
    pub(super) fn is_heard(&self, inode: InodeId, mask: u32) -> bool {
        let marks = &self.inodes[inode].marks;
        marks.iter().any(|mark| mark.hears(mask, false))
    }

    /// Whether `tell_both` would be heard.
    pub(super) fn is_heard_of(&self, dentry: DentryId, mask: u32) -> bool {
        let it = &self.dentries[dentry];
        let directory = self.dentries[it.parent].inode;
        self.is_heard(it.inode, mask) || self.is_heard(directory, mask)
    }
}
