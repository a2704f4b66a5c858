//! Directories of the simulated kernel, with the functions of `sys::linux::directory`.

use super::files::{Descriptor, File, Position, look_up};
use super::inodes::InodeKind;
use super::inotify::{self, InotifyFd};
use super::schedule::{CallKind, Preview, enter};
use super::with_kernel;
use crate::mask::Mask;
use crate::sys::Sys;
use crate::sys::dirent::{self, Chunk, Kind};
use std::cell::Cell;
use std::ffi::CStr;

/// Paths up to this length go to the kernel in one piece.
const ONE_PIECE: usize = 4000;

/// What tells one directory from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// To list it. Like any open, watches for OPEN see it.
    List,
    /// As an anchor only; no watch sees it.
    Anchor,
}

/// How descriptors are named in /proc; nobody else's can be taken for them here.
pub(crate) struct DescriptorLinks;

impl DescriptorLinks {
    pub(crate) fn of_this_thread() -> DescriptorLinks {
        DescriptorLinks
    }
}

/// An open directory.
pub(crate) struct Directory(Descriptor);

impl Directory {
    /// Opens `path`, of any length, below `base` or as it stands; no symbolic link as the last component unless
    /// `follow`. Relative paths begin at the root.
    pub(crate) fn open(
        base: Option<&Directory>,
        path: &[u8],
        access: Access,
        follow: bool,
    ) -> Sys<Directory> {
        let mut held: Option<Directory> = None;
        let mut rest = path;
        while rest.len() > ONE_PIECE {
            let is_slash = |&byte: &u8| byte == b'/';
            let cut = rest[..ONE_PIECE].iter().rposition(is_slash);
            let (head, tail) = rest.split_at(cut.ok_or(libc::ENAMETOOLONG)? + 1);
            let above = held.as_ref().or(base);
            held = Some(open_at(above, head, Access::Anchor, true)?);
            let start = tail.iter().position(|byte| *byte != b'/');
            rest = &tail[start.unwrap_or(tail.len())..];
        }
        let last = if rest.is_empty() { b"." } else { rest };
        open_at(held.as_ref().or(base), last, access, follow)
    }

    /// Opens a subdirectory to list it; no symbolic link.
    pub(crate) fn open_child(&self, name: &CStr) -> Sys<Directory> {
        open_at(Some(self), name.to_bytes(), Access::List, false)
    }

    pub(crate) fn identity(&self) -> Sys<Identity> {
        enter(CallKind::Stat, |_| Preview::default())?;
        Ok(with_kernel(|kernel| {
            let inode = kernel.inode_of(kernel.directory_at(self.0.number()));
            Identity {
                dev: kernel.filesystems[inode.filesystem].dev,
                ino: inode.number,
            }
        }))
    }

    /// Looks up a name that nothing has, which takes the directory's lock.
    pub(crate) fn wait_for_renames(&self) -> Sys<()> {
        enter(CallKind::Lookup, |kernel| {
            kernel.preview_nothing(self.0.number())
        })?;
        with_kernel(|kernel| kernel.look_up_nothing(self.0.number()))
    }

    /// Appends a chunk of raw directory entries to `buffer`; none at the end.
    pub(crate) fn read(&self, buffer: &mut Vec<u8>) -> Sys<Chunk> {
        const CHUNK: usize = 32 * 1024;
        enter(CallKind::List, |kernel| {
            kernel.preview_list(self.0.number())
        })?;
        let start = buffer.len();
        let len = with_kernel(|kernel| kernel.list(self.0.number(), buffer, CHUNK))?;
        Ok(Chunk {
            len,
            has_directories: self.fill_in_kinds(&mut buffer[start..])?,
        })
    }

    /// As `sys::linux::directory` does it: asks for each kind that wasn't told. Whether directories are among them.
    fn fill_in_kinds(&self, raw: &mut [u8]) -> Sys<bool> {
        let mut has_directories = false;
        let mut at = 0;
        while let Some((length, told)) = dirent::at(raw, at) {
            let kind = match told {
                Some(kind) => kind,
                None => match self.kind_of(dirent::name_at(raw, at)) {
                    // It is gone.
                    Err(libc::ENOENT) => Kind::Other,
                    known => known?,
                },
            };
            dirent::set_kind_at(raw, at, kind);
            has_directories |= kind == Kind::Directory && !dirent::is_dot_at(raw, at);
            at += length;
        }
        Ok(has_directories)
    }

    /// What `name` in this directory is; no watch sees it.
    pub(crate) fn kind_of(&self, name: &CStr) -> Sys<Kind> {
        let (base, name) = (Some(self.0.number()), name.to_bytes());
        enter(CallKind::Lookup, |kernel| {
            kernel.preview_walk(base, name, false).0
        })?;
        let dentry = look_up(base, name, false)?;
        Ok(with_kernel(|kernel| {
            let kind = match kernel.inode_of(dentry).kind {
                InodeKind::Directory => Kind::Directory,
                InodeKind::Regular => Kind::Regular,
                InodeKind::Symlink(_) => Kind::Other,
            };
            kernel.put_at_once(dentry);
            kind
        }))
    }

    /// Watches this very directory, whatever its path is by now. `path`, which ends with a NUL, is where it should be: it
    /// serves where there is no /proc.
    pub(crate) fn watch(
        &self,
        _links: &DescriptorLinks,
        inotify: &InotifyFd,
        path: impl FnOnce() -> Vec<u8>,
        mask: Mask,
        stray: &Cell<Option<i32>>,
    ) -> Sys<i32> {
        match inotify::add_open(inotify, &self.0, mask - Mask::DONT_FOLLOW) {
            Err(libc::ENOENT | libc::ENOTDIR) => self.watch_by_path(inotify, &path(), mask, stray),
            other => other,
        }
    }

    /// Watches what `name` in this directory is, without opening it. Where there is no /proc it fails.
    pub(crate) fn watch_child(
        &self,
        _links: &DescriptorLinks,
        inotify: &InotifyFd,
        name: &CStr,
        mask: Mask,
    ) -> Sys<i32> {
        inotify::add_child(inotify, &self.0, name.to_bytes(), mask)
    }

    /// The device, if each subdirectory counts as a link there to the directory that it is in.
    pub(crate) fn device_counting_links(&self) -> Option<u64> {
        let counts = with_kernel(|kernel| kernel.counts_links);
        let identity = counts.then(|| self.identity());
        Some(identity?.ok()?.dev)
    }

    /// Whether `name` is a directory on this device that has no subdirectories by the number of its links.
    pub(crate) fn is_leaf(&self, name: &CStr, device: u64) -> bool {
        let (base, name) = (Some(self.0.number()), name.to_bytes());
        let entered = enter(CallKind::Lookup, |kernel| kernel.preview_links(base, name));
        if entered.is_err() {
            return false;
        }
        look_up(base, name, false).is_ok_and(|dentry| {
            with_kernel(|kernel| {
                let is_leaf = kernel.is_leaf(dentry, device);
                kernel.put_at_once(dentry);
                is_leaf
            })
        })
    }

    /// As `sys::linux::directory` does it.
    fn watch_by_path(
        &self,
        inotify: &InotifyFd,
        path: &[u8],
        mask: Mask,
        stray: &Cell<Option<i32>>,
    ) -> Sys<i32> {
        let here = self.identity()?;
        let is_here = || {
            let path = path.strip_suffix(b"\0").unwrap_or(path);
            let there = Directory::open(None, path, Access::Anchor, false)?;
            Ok(there.identity()? == here)
        };
        if !is_here()? {
            return Err(libc::ESTALE);
        }
        let wd = inotify.add_terminated(path, mask | Mask::DONT_FOLLOW)?;
        let looked = is_here();
        if looked != Ok(true) {
            stray.set(Some(wd));
        }
        match looked {
            Ok(true) => Ok(wd),
            Ok(false) | Err(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => Err(libc::ESTALE),
            Err(errno) => Err(errno),
        }
    }
}

fn open_at(base: Option<&Directory>, path: &[u8], access: Access, follow: bool) -> Sys<Directory> {
    loop {
        match try_open_at(base, path, access, follow) {
            Err(libc::EINTR) => {}
            other => return other,
        }
    }
}

fn try_open_at(
    base: Option<&Directory>,
    path: &[u8],
    access: Access,
    follow: bool,
) -> Sys<Directory> {
    if path.contains(&0) {
        return Err(libc::EINVAL);
    }
    let base = base.map(|directory| directory.0.number());
    let list = access == Access::List;
    enter(CallKind::Open, |kernel| {
        kernel.preview_open(base, path, list, follow)
    })?;
    // The kernel reserves the descriptor before it looks at the path.
    with_kernel(|kernel| kernel.check_descriptors())?;
    let dentry = look_up(base, path, follow)?;
    with_kernel(|kernel| {
        let may_open = match (kernel.is_directory(dentry), access) {
            (false, _) => Err(libc::ENOTDIR),
            (true, Access::List) => kernel.may_read(dentry),
            (true, Access::Anchor) => Ok(()),
        };
        if let Err(errno) = may_open {
            kernel.put_at_once(dentry);
            return Err(errno);
        }
        let position = (access == Access::List).then_some(Position::Start);
        if position.is_some() {
            kernel.tell_both(dentry, libc::IN_OPEN);
        }
        let file = File::Directory { dentry, position };
        Ok(Directory(kernel.open_file_as(file)))
    })
}
