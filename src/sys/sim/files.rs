//! The descriptors of the library's process, and what the kernel does with them.

use super::inodes::{DentryId, Inode, InodeKind, Name, READ, SEARCH};
use super::schedule::{self, CallKind};
use super::walk::{Walk, Who};
use super::{KERNEL, Kernel, with_kernel};
use crate::sys::Sys;
use std::ops::Bound;
use std::rc::Rc;

#[derive(Debug)]
pub(super) enum File {
    /// A directory; without a position if it is open as an anchor only.
    Directory {
        dentry: DentryId,
        position: Option<Position>,
    },
    Instance(u32),
}

/// How far a directory is listed, in the order of names.
#[derive(Clone, Debug, Hash)]
pub(super) enum Position {
    Start,
    After(Name),
}

/// A descriptor that closes itself.
pub(super) struct Descriptor {
    number: u32,
    /// Of which of this thread's kernels it is.
    generation: u64,
}

impl Descriptor {
    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let is_open = |kernel: &Kernel| kernel.generation == self.generation;
        let is_open = KERNEL.try_with(|kernel| is_open(&kernel.borrow()));
        if is_open != Ok(true) {
            return;
        }
        // Whatever close(2) returns, the descriptor is gone.
        let _ = schedule::enter(CallKind::Close, |kernel| kernel.preview_close(self.number));
        with_kernel(|kernel| kernel.close(self.number));
    }
}

impl Kernel {
    pub(super) fn open_file_as(&mut self, file: File) -> Descriptor {
        Descriptor {
            number: self.files.add(file),
            generation: self.generation,
        }
    }

    pub(super) fn check_descriptors(&self) -> Sys<()> {
        let is_room = self.files.len() < self.limits.descriptors;
        is_room.then_some(()).ok_or(libc::EMFILE)
    }

    /// The dentry of an open directory.
    pub(super) fn directory_at(&self, file: u32) -> DentryId {
        match self.files[file] {
            File::Directory { dentry, .. } => dentry,
            File::Instance(_) => unreachable!("a Directory has a directory's descriptor"),
        }
    }

    pub(super) fn instance_at(&self, file: u32) -> u32 {
        match self.files[file] {
            File::Instance(instance) => instance,
            File::Directory { .. } => unreachable!("an InotifyFd has an instance's descriptor"),
        }
    }

    fn close(&mut self, file: u32) {
        match self.files.remove(file) {
            Some(File::Directory { dentry, position }) => {
                if position.is_some() {
                    self.tell_both(dentry, libc::IN_CLOSE_NOWRITE);
                }
                self.put_at_once(dentry);
            }
            Some(File::Instance(instance)) => self.remove_instance(instance),
            None => {}
        }
    }

    /// getdents64(2): appends entries of at most `max` bytes together.
    pub(super) fn list(&mut self, file: u32, buffer: &mut Vec<u8>, max: usize) -> Sys<usize> {
        let dentry = self.directory_at(file);
        let inode = self.dentries[dentry].inode;
        let File::Directory {
            position: Some(position),
            ..
        } = &self.files[file]
        else {
            return Err(libc::EBADF);
        };
        let mut position = position.clone();
        self.wait_for_lock(inode);
        if self.inodes[inode].dead {
            return Err(libc::ENOENT);
        }
        let start = buffer.len();
        let directory = &self.inodes[inode];
        if matches!(position, Position::Start) {
            for name in [&b"."[..], b".."] {
                self.append_entry(buffer, directory, name);
            }
            position = Position::After(Rc::from(&b""[..]));
        }
        let after = match &position {
            Position::After(name) => Rc::clone(name),
            Position::Start => Rc::from(&b""[..]),
        };
        let range = (Bound::Excluded(after), Bound::Unbounded);
        let found = directory.entries.range::<Name, _>(range);
        let found = found.filter_map(|(name, dentry)| Some((name, (*dentry)?)));
        for (name, dentry) in found.take(self.listing_chunk) {
            if buffer.len() - start + entry_len(name) > max {
                break;
            }
            self.append_entry(buffer, self.inode_of(dentry), name);
            position = Position::After(Rc::clone(name));
        }
        self.files[file] = File::Directory {
            dentry,
            position: Some(position),
        };
        self.tell_both(dentry, libc::IN_ACCESS);
        Ok(buffer.len() - start)
    }

    fn append_entry(&self, buffer: &mut Vec<u8>, inode: &Inode, name: &[u8]) {
        let len = entry_len(name);
        let end = buffer.len() + len;
        buffer.extend_from_slice(&inode.number.to_ne_bytes());
        buffer.extend_from_slice(&(end as u64).to_ne_bytes());
        buffer.extend_from_slice(&(len as u16).to_ne_bytes());
        buffer.push(match inode.kind {
            _ if !self.tells_kinds => libc::DT_UNKNOWN,
            InodeKind::Directory => libc::DT_DIR,
            InodeKind::Regular => libc::DT_REG,
            InodeKind::Symlink(_) => libc::DT_LNK,
        });
        buffer.extend_from_slice(name);
        buffer.resize(end, 0);
    }

    /// One component more of a look-up. A name that isn't cached is looked up under the directory's lock.
    fn walk_on_locked(&mut self, walk: &mut Walk<'_>) -> Sys<bool> {
        loop {
            let before = walk.position();
            let result = self.walk_on(walk);
            let Some((directory, name)) = walk.missed.take() else {
                return result;
            };
            if self.inodes[directory].lock.is_some() {
                self.wait_for_lock(directory);
                walk.go_back(before);
                continue;
            }
            let directory = &mut self.inodes[directory];
            if !directory.dead {
                // From now on it is known that there is nothing.
                directory.entries.insert(name, None);
            }
            return result;
        }
    }

    pub(super) fn start_of(&self, base: Option<u32>) -> DentryId {
        base.map_or(self.root, |file| self.directory_at(file))
    }

    fn move_hold(&mut self, from: Option<DentryId>, to: DentryId) {
        self.dentries[to].count += 1;
        if let Some(from) = from {
            self.put_at_once(from);
        }
    }

    /// fstatat(2) of a name that nothing has.
    pub(super) fn look_up_nothing(&mut self, file: u32) -> Sys<()> {
        let inode = self.dentries[self.directory_at(file)].inode;
        if self.inodes[inode].mode & SEARCH == 0 {
            return Err(libc::EACCES);
        }
        self.wait_for_lock(inode);
        Ok(())
    }

    pub(super) fn may_read(&self, dentry: DentryId) -> Sys<()> {
        let may = self.inode_of(dentry).mode & READ != 0;
        may.then_some(()).ok_or(libc::EACCES)
    }
}

/// Looks up a path for the library. The dentry is held for the caller.
pub(super) fn look_up(base: Option<u32>, path: &[u8], follow: bool) -> Sys<DentryId> {
    let mut walk = with_kernel(|kernel| {
        let mut walk = Walk::new(Who::Library, kernel.start_of(base), path, follow);
        kernel.set_out(&mut walk)?;
        kernel.move_hold(None, walk.at);
        Ok::<_, i32>(walk)
    })?;
    loop {
        let (more, is_fine) = with_kernel(|kernel| {
            let is_fine = kernel.fine_walks;
            loop {
                let before = walk.at;
                let more = kernel.walk_on_locked(&mut walk);
                if more.is_err() {
                    kernel.put_at_once(before);
                    return (more, is_fine);
                }
                if walk.at != before {
                    kernel.move_hold(Some(before), walk.at);
                }
                if is_fine || more == Ok(false) {
                    return (more, is_fine);
                }
            }
        });
        let more = more?;
        if is_fine {
            schedule::pause(|kernel| kernel.preview_component(&walk, more));
        }
        if !more {
            return Ok(walk.at);
        }
    }
}

// struct linux_dirent64: u64 ino, i64 off, u16 reclen, u8 type, then the name.
const ENTRY_HEADER: usize = 19;

fn entry_len(name: &[u8]) -> usize {
    (ENTRY_HEADER + name.len() + 1).next_multiple_of(8)
}
