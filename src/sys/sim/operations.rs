//! What the world does: the operations of other processes.

/// One operation of another process, which has all permissions. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Mkdir(Vec<u8>),
    /// open(2) with O_CREAT|O_EXCL|O_WRONLY, then close(2): CREATE, OPEN, CLOSE_WRITE.
    Create(Vec<u8>),
    /// open(2), write(2), close(2): OPEN, MODIFY, CLOSE_WRITE.
    Write(Vec<u8>),
    /// open(2), read(2) or getdents64(2), close(2): OPEN, ACCESS unless it is an empty file, CLOSE_NOWRITE.
    Read(Vec<u8>),
    Unlink(Vec<u8>),
    Rmdir(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    Exchange(Vec<u8>, Vec<u8>),
    /// A hard link: what there is, the new name.
    Link(Vec<u8>, Vec<u8>),
    /// A symbolic link: its text, its path.
    Symlink(Vec<u8>, Vec<u8>),
    /// The permissions of the library's process: 4 for r, 2 for w, 1 for x, or a mode whose owner's digit is meant (0o500).
    Chmod(Vec<u8>, u32),
    /// An empty filesystem over a directory.
    Mount(Vec<u8>),
    Unmount(Vec<u8>),
    /// Fills the queue of every instance until it overflows, with events that nobody reads.
    Overflow,
}

use super::Kernel;
use super::inodes::{DentryId, InodeId, InodeKind, Name};
use super::touch::{Aspect, Touch};
use crate::sys::Sys;

/// An operation whose paths are looked up and which can be done.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    Make {
        parent: DentryId,
        name: Name,
        kind: InodeKind,
    },
    Link {
        inode: InodeId,
        parent: DentryId,
        name: Name,
    },
    Remove(DentryId),
    Rename {
        from: DentryId,
        parent: DentryId,
        name: Name,
        over: Option<DentryId>,
    },
    Exchange(DentryId, DentryId),
    /// A rename to another name of the same file.
    Nothing,
    Open {
        dentry: DentryId,
        write: bool,
    },
    Chmod(DentryId, u32),
    Mount(DentryId),
    Unmount(DentryId),
    Overflow,
}

/// The locks of an operation.
#[derive(Clone, Default, Debug)]
pub(super) struct Locks {
    /// Held from its first step until it has told.
    pub(super) held: [Option<InodeId>; 2],
    /// Taken for its first step only.
    pub(super) passing: [Option<InodeId>; 2],
    /// The filesystem whose renames between directories it keeps out.
    pub(super) renames: Option<u32>,
}

impl Operation {
    /// The digit of the library's process, however the mode is given.
    fn mode_digit(mode: u32) -> u32 {
        if mode > 7 { mode >> 6 & 7 } else { mode }
    }
}

impl Kernel {
    /// Looks up an operation's paths, and whether it can be done: the checks of fs/namei.c in their order.
    pub(super) fn plan(&self, operation: &Operation) -> Sys<Plan> {
        match operation {
            Operation::Mkdir(path) => self.plan_new(path, InodeKind::Directory),
            Operation::Create(path) => self.plan_new(path, InodeKind::Regular),
            Operation::Symlink(target, _) if target.is_empty() => Err(libc::ENOENT),
            Operation::Symlink(target, path) => {
                self.plan_new(path, InodeKind::Symlink(target[..].into()))
            }
            Operation::Link(from, to) => self.plan_link(from, to),
            Operation::Unlink(path) => self.plan_removal(path, false),
            Operation::Rmdir(path) => self.plan_removal(path, true),
            Operation::Rename(from, to) => self.plan_rename(from, to),
            Operation::Exchange(a, b) => self.plan_exchange(a, b),
            Operation::Write(path) | Operation::Read(path) => {
                let dentry = self.find(path, true)?;
                let write = matches!(operation, Operation::Write(_));
                if write && self.is_directory(dentry) {
                    return Err(libc::EISDIR);
                }
                Ok(Plan::Open { dentry, write })
            }
            Operation::Chmod(path, mode) => {
                let mode = Operation::mode_digit(*mode);
                Ok(Plan::Chmod(self.find(path, true)?, mode))
            }
            Operation::Mount(path) => {
                let dentry = self.find(path, true)?;
                let is_directory = self.is_directory(dentry);
                is_directory
                    .then_some(Plan::Mount(dentry))
                    .ok_or(libc::ENOTDIR)
            }
            Operation::Unmount(path) => self.plan_unmount(path),
            Operation::Overflow => Ok(Plan::Overflow),
        }
    }

    /// The parent and the name of what shall be there.
    fn plan_name(&self, path: &[u8]) -> Sys<(DentryId, Name)> {
        let (parent, name) = self.find_parent(path).map_err(|errno| match errno {
            // A name that is always there.
            libc::EBUSY => libc::EEXIST,
            errno => errno,
        })?;
        match self.child(parent, name) {
            Some(_) => Err(libc::EEXIST),
            None => Ok((parent, name.into())),
        }
    }

    fn plan_new(&self, path: &[u8], kind: InodeKind) -> Sys<Plan> {
        let (parent, name) = self.plan_name(path)?;
        Ok(Plan::Make { parent, name, kind })
    }

    fn plan_link(&self, from: &[u8], to: &[u8]) -> Sys<Plan> {
        let from = self.find(from, false)?;
        let (parent, name) = self.plan_name(to)?;
        if self.inode_of(from).filesystem != self.inode_of(parent).filesystem {
            return Err(libc::EXDEV);
        }
        if self.is_directory(from) {
            return Err(libc::EPERM);
        }
        let inode = self.dentries[from].inode;
        Ok(Plan::Link {
            inode,
            parent,
            name,
        })
    }

    /// may_delete: whether a name can go.
    fn may_delete(&self, dentry: DentryId, directory: bool) -> Sys<()> {
        match (directory, self.is_directory(dentry)) {
            (true, false) => Err(libc::ENOTDIR),
            (false, true) => Err(libc::EISDIR),
            _ => Ok(()),
        }
    }

    fn plan_removal(&self, path: &[u8], directory: bool) -> Sys<Plan> {
        let (parent, name) = self.find_parent(path)?;
        let dentry = self.child(parent, name).ok_or(libc::ENOENT)?;
        self.may_delete(dentry, directory)?;
        if self.dentries[dentry].mounted.is_some() {
            return Err(libc::EBUSY);
        }
        if !self.inode_of(dentry).is_empty() {
            return Err(libc::ENOTEMPTY);
        }
        Ok(Plan::Remove(dentry))
    }

    fn plan_rename(&self, from: &[u8], to: &[u8]) -> Sys<Plan> {
        let (old_parent, old_name) = self.find_parent(from)?;
        let (parent, name) = self.find_parent(to)?;
        if self.inode_of(old_parent).filesystem != self.inode_of(parent).filesystem {
            return Err(libc::EXDEV);
        }
        let from = self.child(old_parent, old_name).ok_or(libc::ENOENT)?;
        let over = self.child(parent, name);
        if self.contains(from, parent) {
            return Err(libc::EINVAL);
        }
        if let Some(over) = over {
            if self.dentries[over].inode == self.dentries[from].inode {
                return Ok(Plan::Nothing);
            }
            if self.contains(over, old_parent) {
                return Err(libc::ENOTEMPTY);
            }
            self.may_delete(over, self.is_directory(from))?;
        }
        let is_mounted = |dentry: DentryId| self.dentries[dentry].mounted.is_some();
        if is_mounted(from) || over.is_some_and(is_mounted) {
            return Err(libc::EBUSY);
        }
        if over.is_some_and(|over| !self.inode_of(over).is_empty()) {
            return Err(libc::ENOTEMPTY);
        }
        Ok(Plan::Rename {
            from,
            parent,
            name: name.into(),
            over,
        })
    }

    fn plan_exchange(&self, a: &[u8], b: &[u8]) -> Sys<Plan> {
        let (parent_a, name_a) = self.find_parent(a)?;
        let (parent_b, name_b) = self.find_parent(b)?;
        if self.inode_of(parent_a).filesystem != self.inode_of(parent_b).filesystem {
            return Err(libc::EXDEV);
        }
        let a = self.child(parent_a, name_a).ok_or(libc::ENOENT)?;
        let b = self.child(parent_b, name_b).ok_or(libc::ENOENT)?;
        if self.contains(a, parent_b) || self.contains(b, parent_a) {
            return Err(libc::EINVAL);
        }
        if self.dentries[a].inode == self.dentries[b].inode {
            return Ok(Plan::Nothing);
        }
        let is_mounted = |dentry: DentryId| self.dentries[dentry].mounted.is_some();
        if is_mounted(a) || is_mounted(b) {
            return Err(libc::EBUSY);
        }
        Ok(Plan::Exchange(a, b))
    }

    fn plan_unmount(&self, path: &[u8]) -> Sys<Plan> {
        let root = self.find(path, true)?;
        let filesystem = self.inode_of(root).filesystem;
        let mounted = &self.filesystems[filesystem];
        if mounted.root != root || mounted.mountpoint.is_none() {
            return Err(libc::EINVAL);
        }
        let in_use = |inode: &InodeId| {
            let dentries = &self.inodes[*inode].dentries;
            dentries.iter().any(|&dentry| {
                let it = &self.dentries[dentry];
                it.count > 0 || it.mounted.is_some()
            })
        };
        let of_it = |inode: &InodeId| self.inodes[*inode].filesystem == filesystem;
        let mut inodes = self.inodes.iter().map(|(id, _)| id).filter(of_it);
        match inodes.any(|inode| in_use(&inode)) {
            true => Err(libc::EBUSY),
            false => Ok(Plan::Unmount(root)),
        }
    }

    /// What is mounted at a path can't be unmounted while any of it is open, and what is watched in it is told.
    pub(super) fn touched_by_unmount(&self, path: &[u8]) -> Vec<Touch> {
        let Ok(root) = self.find(path, true) else {
            return Vec::new();
        };
        let filesystem = self.inode_of(root).filesystem;
        let inodes = self.inodes.iter().map(|(_, inode)| inode);
        inodes
            .filter(|inode| inode.filesystem == filesystem)
            .flat_map(|inode| {
                let aspects = [Aspect::Users, Aspect::Watches];
                aspects.map(|aspect| Touch::reads(inode.number, aspect))
            })
            .collect()
    }

    /// The directory that a dentry is in.
    pub(super) fn directory_of(&self, dentry: DentryId) -> InodeId {
        self.dentries[self.dentries[dentry].parent].inode
    }

    pub(super) fn locks_of(&self, plan: &Plan) -> Locks {
        let inode = |dentry: DentryId| self.dentries[dentry].inode;
        let mut locks = Locks::default();
        match *plan {
            Plan::Make { parent, .. } => locks.held[0] = Some(inode(parent)),
            Plan::Link {
                inode: linked,
                parent,
                ..
            } => {
                locks.held[0] = Some(inode(parent));
                locks.passing[0] = Some(linked);
            }
            Plan::Remove(dentry) => {
                locks.held[0] = Some(self.directory_of(dentry));
                locks.passing[0] = Some(inode(dentry));
            }
            Plan::Rename {
                from, parent, over, ..
            } => {
                self.lock_for_rename(&mut locks, self.directory_of(from), inode(parent));
                let across = locks.held[1].is_some();
                locks.passing = [self.lock_of_moved(from, across), over.map(inode)];
            }
            Plan::Exchange(a, b) => {
                self.lock_for_rename(&mut locks, self.directory_of(a), self.directory_of(b));
                let across = locks.held[1].is_some();
                locks.passing = [a, b].map(|it| self.lock_of_moved(it, across));
            }
            Plan::Chmod(dentry, _) => locks.held[0] = Some(inode(dentry)),
            Plan::Mount(dentry) => locks.passing[0] = Some(inode(dentry)),
            Plan::Nothing | Plan::Open { .. } | Plan::Unmount(_) | Plan::Overflow => {}
        }
        locks
    }

    /// A directory that stays where it is keeps its "..", and its lock is not taken.
    fn lock_of_moved(&self, dentry: DentryId, across: bool) -> Option<InodeId> {
        let is_locked = across || !self.is_directory(dentry);
        is_locked.then(|| self.dentries[dentry].inode)
    }

    fn lock_for_rename(&self, locks: &mut Locks, from: InodeId, to: InodeId) {
        locks.held[0] = Some(from);
        if from != to {
            locks.held[1] = Some(to);
            locks.renames = Some(self.inodes[from].filesystem);
        }
    }

    /// The operation that holds a lock that is wanted.
    pub(super) fn blocked_by(&self, locks: &Locks) -> Option<u64> {
        let renames = locks
            .renames
            .map(|filesystem| &self.filesystems[filesystem]);
        let wanted = locks.held.iter().chain(&locks.passing).flatten();
        wanted
            .filter_map(|&inode| self.inodes[inode].lock)
            .chain(renames.and_then(|filesystem| filesystem.rename_lock))
            .next()
    }

    /// What an operation's change reads and changes.
    pub(super) fn touched_by(&self, plan: &Plan) -> Vec<Touch> {
        let inode = |dentry: DentryId| self.dentries[dentry].inode;
        let entry = |parent, name: &[u8]| self.changes(inode(parent), Aspect::entry(name));
        match *plan {
            Plan::Make {
                parent, ref name, ..
            } => vec![entry(parent, name)],
            Plan::Link {
                inode,
                parent,
                ref name,
            } => vec![entry(parent, name), self.reads(inode, Aspect::Watches)],
            Plan::Remove(dentry) => self.touched_by_end(dentry),
            Plan::Open { dentry, .. } => {
                let mut aspects = self.touched_by_telling(dentry).to_vec();
                aspects.push(self.changes(inode(dentry), Aspect::Users));
                aspects
            }
            Plan::Rename {
                from,
                parent,
                ref name,
                over,
            } => {
                let mut aspects = self.touched_by_move(from).to_vec();
                aspects.push(entry(parent, name));
                aspects.extend(over.into_iter().flat_map(|over| self.touched_by_end(over)));
                aspects
            }
            Plan::Exchange(a, b) => [a, b].map(|it| self.touched_by_move(it)).concat(),
            Plan::Chmod(dentry, _) => vec![self.changes(inode(dentry), Aspect::Mode)],
            Plan::Mount(dentry) => vec![self.entry_of(dentry)],
            Plan::Unmount(root) => {
                let filesystem = &self.filesystems[self.inode_of(root).filesystem];
                let mountpoint = filesystem.mountpoint;
                mountpoint.map(|it| self.entry_of(it)).into_iter().collect()
            }
            Plan::Nothing | Plan::Overflow => Vec::new(),
        }
    }

    /// An open file is told of. A watch that hears may be one that hears only once.
    pub(super) fn touched_by_telling(&self, dentry: DentryId) -> [Touch; 3] {
        let inode = self.dentries[dentry].inode;
        [
            self.reads(inode, Aspect::Place),
            self.changes(inode, Aspect::Watches),
            self.changes(self.directory_of(dentry), Aspect::Watches),
        ]
    }

    fn entry_of(&self, dentry: DentryId) -> Touch {
        let name = &self.dentries[dentry].name;
        self.changes(self.directory_of(dentry), Aspect::entry(name))
    }

    fn touched_by_move(&self, dentry: DentryId) -> [Touch; 2] {
        let inode = self.dentries[dentry].inode;
        [self.entry_of(dentry), self.changes(inode, Aspect::Place)]
    }

    fn touched_by_end(&self, dentry: DentryId) -> Vec<Touch> {
        let inode = self.dentries[dentry].inode;
        let mut aspects = self.touched_by_move(dentry).to_vec();
        aspects.push(self.changes(inode, Aspect::Users));
        aspects.push(self.changes(inode, Aspect::Watches));
        aspects
    }
}
