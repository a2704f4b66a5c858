//! What a test can see of the kernel.

use super::files::File;
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

    /// The events that can be read: wd, mask, cookie, name.
    pub fn raw_events(&self) -> Vec<(i32, u32, u32, Vec<u8>)> {
        let events = self.instances.iter().flat_map(|(_, it)| it.queue.events());
        let raw = events.map(|event| {
            let name = event.name.as_ref().map_or(Vec::new(), |name| name.to_vec());
            (event.wd, event.mask, event.cookie, name)
        });
        raw.collect()
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

    /// A hash of all state: equal after equal runs. Where in memory something is does not count.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut inodes: Vec<&Inode> = self.inodes.iter().map(|(_, inode)| inode).collect();
        inodes.sort_unstable_by_key(|inode| inode.number);
        for inode in inodes {
            self.hash_inode(inode, &mut hasher);
        }
        for (id, it) in self.instances.iter() {
            let watches = it.watches.iter();
            let watches: Vec<(i32, u64)> = watches
                .map(|(&wd, &it)| (wd, self.inodes[it].number))
                .collect();
            (id, watches, it.last_wd, &it.queue).hash(&mut hasher);
        }
        for (id, file) in self.files.iter() {
            id.hash(&mut hasher);
            match file {
                File::Directory { dentry, position } => {
                    (self.name_of(*dentry), position).hash(&mut hasher);
                }
                File::Instance(instance) => instance.hash(&mut hasher),
            }
        }
        for running in &self.running {
            self.hash_running(running, &mut hasher);
        }
        (self.time, self.calls, self.last_cookie, self.last_inode).hash(&mut hasher);
        hasher.finish()
    }

    /// What tells a dentry from others: its inode, where it is, its name, whether that still leads here, its users.
    fn name_of(&self, dentry: DentryId) -> (u64, u64, &[u8], bool, u32) {
        let it = &self.dentries[dentry];
        let [inode, parent] = self.numbers(dentry);
        (inode, parent, &it.name, it.hashed, it.count)
    }

    fn hash_inode(&self, inode: &Inode, hasher: &mut DefaultHasher) {
        let filesystem = &self.filesystems[inode.filesystem];
        (inode.number, filesystem.dev, filesystem.rename_lock).hash(hasher);
        (&inode.kind, inode.mode, inode.links, inode.dead).hash(hasher);
        (inode.filled, inode.held, inode.lock, &inode.marks).hash(hasher);
        for (name, dentry) in &inode.entries {
            let number = dentry.map(|dentry| self.inode_of(dentry).number);
            (name, number).hash(hasher);
        }
        let names = inode.dentries.iter().map(|&dentry| {
            let mounted = self.dentries[dentry].mounted;
            let mounted = mounted.map(|root| self.inode_of(root).number);
            (self.name_of(dentry), mounted)
        });
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names.hash(hasher);
    }
}
