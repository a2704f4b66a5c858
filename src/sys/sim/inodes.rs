//! Inodes, and the dentries that give them names.
//!
//! A directory's entries are its cached names: a name that is not among them is looked up under the directory's lock.

use super::Kernel;
use super::watches::Mark;
use std::collections::BTreeMap;
use std::rc::Rc;

pub(super) type InodeId = u32;
pub(super) type DentryId = u32;
pub(super) type Name = Rc<[u8]>;

#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub(super) enum InodeKind {
    Directory,
    Regular,
    /// With the path that it stands for.
    Symlink(Name),
}

/// r and x of the library's process.
pub(super) const READ: u32 = 4;
pub(super) const SEARCH: u32 = 1;

#[derive(Debug)]
pub(super) struct Inode {
    /// What the world knows it by; no two ever have the same.
    pub(super) number: u64,
    pub(super) filesystem: u32,
    pub(super) kind: InodeKind,
    pub(super) mode: u32,
    pub(super) links: u32,
    /// A removed directory: nothing can be found in it or made in it.
    pub(super) dead: bool,
    /// A file that has something in it.
    pub(super) filled: bool,
    /// None: it is known that there is no such name.
    pub(super) entries: BTreeMap<Name, Option<DentryId>>,
    pub(super) dentries: Vec<DentryId>,
    /// Operations that still have to tell of it.
    pub(super) held: u32,
    /// The operation that has the lock.
    pub(super) lock: Option<u64>,
    pub(super) marks: Vec<Mark>,
}

#[derive(Debug)]
pub(super) struct Dentry {
    pub(super) inode: InodeId,
    /// Itself, of the root of a filesystem.
    pub(super) parent: DentryId,
    pub(super) name: Name,
    /// Whether the name leads here. An open file keeps the dentry of a name that is gone.
    pub(super) hashed: bool,
    /// Open files, and unhashed dentries below.
    pub(super) count: u32,
    /// The root of the filesystem that is mounted here.
    pub(super) mounted: Option<DentryId>,
}

#[derive(Debug)]
pub(super) struct Filesystem {
    pub(super) dev: u64,
    pub(super) root: DentryId,
    /// None: the first one.
    pub(super) mountpoint: Option<DentryId>,
    /// The operation that has the lock of renames between two directories.
    pub(super) rename_lock: Option<u64>,
}

/// What is left when the last user of an unhashed dentry has gone.
pub(super) struct Killed {
    pub(super) inode: InodeId,
    /// A dentry that was kept only by this one, perhaps.
    pub(super) parent: Option<DentryId>,
}

impl Inode {
    pub(super) fn is_directory(&self) -> bool {
        self.kind == InodeKind::Directory
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.values().all(Option::is_none)
    }
}

impl Kernel {
    /// The inode of a dentry.
    pub(super) fn inode_of(&self, dentry: DentryId) -> &Inode {
        &self.inodes[self.dentries[dentry].inode]
    }

    pub(super) fn is_directory(&self, dentry: DentryId) -> bool {
        self.inode_of(dentry).is_directory()
    }

    /// Whether a directory on a device has two links, or may have them for a moment: while a subdirectory comes or is renamed
    /// in it, a link may be missing.
    pub(super) fn is_leaf(&self, dentry: DentryId, device: u64) -> bool {
        let inode = self.inode_of(dentry);
        let dentries = inode.entries.values().flatten();
        let subdirectories = dentries.filter(|&&it| self.is_directory(it)).count();
        let missing = usize::from(self.is_gaining(self.dentries[dentry].inode));
        inode.is_directory()
            && self.filesystems[inode.filesystem].dev == device
            && subdirectories <= missing
    }

    pub(super) fn new_inode(&mut self, filesystem: u32, kind: InodeKind) -> InodeId {
        self.last_inode += 1;
        self.inodes.add(Inode {
            number: self.last_inode,
            filesystem,
            kind,
            mode: 7,
            links: 1,
            dead: false,
            filled: false,
            entries: BTreeMap::new(),
            dentries: Vec::new(),
            held: 0,
            lock: None,
            marks: Vec::new(),
        })
    }

    /// An empty filesystem; the dentry of its root.
    pub(super) fn new_filesystem(&mut self, mountpoint: Option<DentryId>) -> DentryId {
        self.last_dev += 1;
        let filesystem = self.filesystems.add(Filesystem {
            dev: self.last_dev,
            root: 0,
            mountpoint,
            rename_lock: None,
        });
        let inode = self.new_inode(filesystem, InodeKind::Directory);
        let root = self.new_dentry(inode, None, Rc::from(&b""[..]));
        self.filesystems[filesystem].root = root;
        root
    }

    fn new_dentry(&mut self, inode: InodeId, parent: Option<DentryId>, name: Name) -> DentryId {
        let dentry = self.dentries.add(Dentry {
            inode,
            parent: parent.unwrap_or(0),
            name,
            hashed: true,
            count: 0,
            mounted: None,
        });
        if parent.is_none() {
            self.dentries[dentry].parent = dentry;
        }
        self.inodes[inode].dentries.push(dentry);
        dentry
    }

    /// Gives an inode a name.
    pub(super) fn add_name(&mut self, inode: InodeId, parent: DentryId, name: &Name) -> DentryId {
        let dentry = self.new_dentry(inode, Some(parent), Rc::clone(name));
        self.hash(dentry);
        dentry
    }

    fn hash(&mut self, dentry: DentryId) {
        let Dentry { parent, name, .. } = &self.dentries[dentry];
        let (directory, name) = (self.dentries[*parent].inode, Rc::clone(name));
        self.inodes[directory].entries.insert(name, Some(dentry));
        self.dentries[dentry].hashed = true;
    }

    /// Takes the name away. `known`: it stays known that there is nothing.
    fn unhash(&mut self, dentry: DentryId, known: bool) {
        let Dentry { parent, name, .. } = &self.dentries[dentry];
        let (directory, name) = (self.dentries[*parent].inode, Rc::clone(name));
        let entries = &mut self.inodes[directory].entries;
        if known {
            entries.insert(name, None);
        } else {
            entries.remove(&name);
        }
        self.dentries[dentry].hashed = false;
    }

    /// A name is removed (unlink, rmdir). What is left of it, unless it is open.
    pub(super) fn drop_name(&mut self, dentry: DentryId) -> Option<Killed> {
        // A name that is in use is taken out of the cache; else it stays there as one that is not.
        let in_use = self.dentries[dentry].count > 0;
        self.unhash(dentry, !in_use);
        if !in_use {
            return Some(self.kill(dentry, false));
        }
        let parent = self.dentries[dentry].parent;
        self.dentries[parent].count += 1;
        None
    }

    /// d_move: `dentry` gets the name and place of another one, or of none. The dentry that had the name keeps it,
    /// unhashed, and is held for the caller.
    pub(super) fn move_name(
        &mut self,
        dentry: DentryId,
        parent: DentryId,
        name: &Name,
        over: Option<DentryId>,
    ) {
        self.unhash(dentry, false);
        if let Some(over) = over {
            self.unhash(over, false);
            self.dentries[over].count += 1;
            self.dentries[parent].count += 1;
        }
        let moved = &mut self.dentries[dentry];
        moved.parent = parent;
        moved.name = Rc::clone(name);
        self.hash(dentry);
    }

    /// d_exchange.
    pub(super) fn exchange_names(&mut self, a: DentryId, b: DentryId) {
        let place = |dentry: &Dentry| (dentry.parent, Rc::clone(&dentry.name));
        let (of_a, of_b) = (place(&self.dentries[a]), place(&self.dentries[b]));
        for (dentry, (parent, name)) in [(a, of_b), (b, of_a)] {
            let moved = &mut self.dentries[dentry];
            moved.parent = parent;
            moved.name = name;
            self.hash(dentry);
        }
    }

    /// One user of a dentry less. What is left if it was the last of one that is unhashed.
    pub(super) fn put(&mut self, dentry: DentryId) -> Option<Killed> {
        let it = &mut self.dentries[dentry];
        it.count -= 1;
        (it.count == 0 && !it.hashed).then(|| self.kill(dentry, true))
    }

    /// Whether an unhashed dentry has only one user left.
    pub(super) fn is_last_use(&self, dentry: DentryId) -> bool {
        let it = &self.dentries[dentry];
        !it.hashed && it.count == 1
    }

    fn kill(&mut self, dentry: DentryId, holds_parent: bool) -> Killed {
        let Dentry { inode, parent, .. } = self.dentries[dentry];
        self.dentries.remove(dentry);
        let node = &mut self.inodes[inode];
        node.dentries.retain(|&other| other != dentry);
        node.held += 1;
        Killed {
            inode,
            parent: holds_parent.then_some(parent),
        }
    }

    pub(super) fn hold_inode(&mut self, inode: InodeId) {
        self.inodes[inode].held += 1;
    }

    /// The inode goes when it has no name and nobody has to tell of it.
    pub(super) fn let_go_of_inode(&mut self, inode: InodeId) {
        let node = &mut self.inodes[inode];
        node.held -= 1;
        if node.held == 0 && node.dentries.is_empty() {
            self.inodes.remove(inode);
        }
    }

    /// Drops all of a filesystem, which nobody uses.
    pub(super) fn drop_filesystem(&mut self, filesystem: u32) {
        let of_it = |(id, inode): (u32, &Inode)| (inode.filesystem == filesystem).then_some(id);
        let inodes: Vec<InodeId> = self.inodes.iter().filter_map(of_it).collect();
        for id in inodes {
            if let Some(inode) = self.inodes.remove(id) {
                for dentry in inode.dentries {
                    self.dentries.remove(dentry);
                }
            }
        }
        self.filesystems.remove(filesystem);
    }

    /// The number of what a dentry's inode is, and that of its parent's.
    pub(super) fn numbers(&self, dentry: DentryId) -> [u64; 2] {
        let parent = self.dentries[dentry].parent;
        [self.inode_of(dentry).number, self.inode_of(parent).number]
    }
}
