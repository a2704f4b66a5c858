//! The library's system calls for tests: what the simulated kernel does with them is compared with the real one.

use super::EntryKind;
use super::directory::{Access, DescriptorLinks, Directory};
use super::inotify::InotifyFd;
use crate::mask::{InitFlags, Mask};
use crate::sys::dirent::{Kind, entries};
use std::cell::Cell;
use std::ffi::CString;

/// An inotify instance.
pub struct BareInotify(InotifyFd);

/// An open directory.
pub struct BareDirectory(Directory);

impl BareInotify {
    pub fn new() -> Result<BareInotify, i32> {
        InotifyFd::new(InitFlags::NONBLOCK | InitFlags::CLOEXEC).map(BareInotify)
    }

    pub fn add(&self, path: &[u8], mask: u32) -> Result<i32, i32> {
        let path = CString::new(path).map_err(|_| libc::EINVAL)?;
        self.0.add(&path, Mask::from_bits_retain(mask))
    }

    pub fn rm(&self, wd: i32) -> Result<(), i32> {
        self.0.rm(wd)
    }

    pub fn holds(&self, wd: i32) -> Option<bool> {
        self.0.holds(wd)
    }

    pub fn read(&self, max: usize) -> Result<Vec<u8>, i32> {
        assert!(!self.0.is_blocking());
        let mut events = Vec::new();
        self.0.read(&mut events, max)?;
        Ok(events)
    }

    /// FIONREAD.
    pub fn queued_bytes(&self) -> usize {
        self.0.queued()
    }
}

impl BareDirectory {
    /// `list`: as one that can be listed, else with O_PATH.
    pub fn open(
        base: Option<&BareDirectory>,
        path: &[u8],
        list: bool,
        follow: bool,
    ) -> Result<BareDirectory, i32> {
        let access = if list { Access::List } else { Access::Anchor };
        Directory::open(base.map(|it| &it.0), path, access, follow).map(BareDirectory)
    }

    /// dev and ino.
    pub fn identity(&self) -> Result<(u64, u64), i32> {
        self.0.identity().map(|it| (it.dev, it.ino))
    }

    pub fn wait_for_renames(&self) -> Result<(), i32> {
        self.0.wait_for_renames()
    }

    pub fn kind_of(&self, name: &[u8]) -> Result<EntryKind, i32> {
        let name = CString::new(name).map_err(|_| libc::EINVAL)?;
        self.0.kind_of(&name).map(kind)
    }

    /// One getdents64(2) more: what it returned. Nothing: it was the end.
    pub fn list(&self) -> Result<Vec<(Vec<u8>, EntryKind)>, i32> {
        let mut raw = Vec::new();
        self.0.read(&mut raw)?;
        let found = entries(&raw).map(|it| (it.name().to_bytes().to_vec(), kind(it.kind)));
        Ok(found.collect())
    }

    pub fn watch(&self, inotify: &BareInotify, path: &[u8], mask: u32) -> Result<i32, i32> {
        let path = [path, b"\0"].concat();
        self.0.watch(
            &DescriptorLinks,
            &inotify.0,
            || path.clone(),
            Mask::from_bits_retain(mask),
            &Cell::new(None),
        )
    }

    /// Watches what has a name in it.
    pub fn watch_child(&self, inotify: &BareInotify, name: &[u8], mask: u32) -> Result<i32, i32> {
        let name = CString::new(name).map_err(|_| libc::EINVAL)?;
        let mask = Mask::from_bits_retain(mask);
        self.0
            .watch_child(&DescriptorLinks, &inotify.0, &name, mask)
    }

    /// Whether what has a name in it is a directory on the same device without subdirectories.
    pub fn is_leaf(&self, name: &[u8]) -> bool {
        let (name, device) = (CString::new(name), self.0.device_counting_links());
        name.is_ok_and(|name| device.is_some_and(|device| self.0.is_leaf(&name, device)))
    }
}

fn kind(kind: Kind) -> EntryKind {
    match kind {
        Kind::Directory => EntryKind::Directory,
        Kind::Regular => EntryKind::Regular,
        Kind::Other => EntryKind::Other,
    }
}
