//! What a test can see of the kernel.

use super::inodes::{DentryId, Inode, InodeKind};
use super::{EntryKind, Kernel};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

impl Kernel {
    /// What is below a directory, with full paths, across mounts.
    pub fn tree(&self, path: &[u8]) -> BTreeMap<Vec<u8>, EntryKind> {
        let mut tree = BTreeMap::new();
        let Ok(top) = self.find(path, true) else {
            return tree;
        };
        let mut path = path.to_vec();
        while path.last() == Some(&b'/') {
            path.pop();
        }
        let mut left: Vec<(Vec<u8>, DentryId)> = vec![(path, top)];
        while let Some((path, directory)) = left.pop() {
            for (name, dentry) in &self.inode_of(directory).entries {
                let Some(dentry) = *dentry else { continue };
                let dentry = self.topmost(dentry);
                let path = [&path[..], b"/", name].concat();
                let kind = match self.inode_of(dentry).kind {
                    InodeKind::Directory => EntryKind::Directory,
                    InodeKind::Regular => EntryKind::Regular,
                    InodeKind::Symlink(_) => EntryKind::Other,
                };
                if kind == EntryKind::Directory {
                    left.push((path.clone(), dentry));
                }
                tree.insert(path, kind);
            }
        }
        tree
    }

    /// The watches of the instance: wd, inode, a path of the inode or nothing if it has none, mask.
    pub fn watches(&self) -> Vec<(i32, u64, Vec<u8>, u32)> {
        let Some((id, instance)) = self.instances.iter().next() else {
            return Vec::new();
        };
        let watches = instance.watches.iter();
        watches
            .map(|(&wd, &inode)| {
                let inode = &self.inodes[inode];
                let mark = inode.marks.iter().find(|mark| mark.instance == id);
                let path = inode.dentries.iter().find_map(|&it| self.path_of(it));
                let mask = mark.map_or(0, |mark| mark.full_mask());
                (wd, inode.number, path.unwrap_or_default(), mask)
            })
            .collect()
    }

    /// How many events can be read.
    pub fn queued(&self) -> usize {
        let instances = self.instances.iter();
        instances.map(|(_, it)| it.queue.events().count()).sum()
    }

    pub fn open_descriptors(&self) -> usize {
        self.files.len()
    }

    /// How many system calls the library has made since `reset`.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The inode at a path, at the end of symbolic links.
    pub fn inode_at(&self, path: &[u8]) -> Option<u64> {
        let dentry = self.find(path, true).ok()?;
        Some(self.inode_of(dentry).number)
    }

    /// A hash of all state: equal after equal runs.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (id, inode) in self.inodes.iter() {
            id.hash(&mut hasher);
            hash_inode(inode, &mut hasher);
        }
        for (id, it) in self.dentries.iter() {
            let place = (id, it.inode, it.parent, &it.name);
            (place, it.hashed, it.count, it.mounted).hash(&mut hasher);
        }
        for (id, it) in self.instances.iter() {
            (id, &it.watches, it.last_wd, &it.queue).hash(&mut hasher);
        }
        for file in self.files.iter() {
            file.hash(&mut hasher);
        }
        for (id, it) in self.filesystems.iter() {
            (id, it.dev, it.root, it.mountpoint, it.rename_lock).hash(&mut hasher);
        }
        self.running.hash(&mut hasher);
        (self.time, self.calls, self.last_cookie, self.last_inode).hash(&mut hasher);
        hasher.finish()
    }
}

fn hash_inode(inode: &Inode, hasher: &mut DefaultHasher) {
    (inode.number, inode.filesystem, &inode.kind, inode.mode).hash(hasher);
    (inode.links, inode.dead, inode.filled, inode.held).hash(hasher);
    (&inode.entries, &inode.dentries, inode.lock, &inode.marks).hash(hasher);
}
