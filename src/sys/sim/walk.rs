//! Path look-ups, one component after the other.

use super::Kernel;
use super::inodes::{DentryId, Inode, InodeId, InodeKind, Name, SEARCH};
use super::touch::{Aspect, Touch};
use crate::sys::Sys;
use std::borrow::Cow;

/// How many symbolic links one look-up follows.
const LINKS: u32 = 40;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Who {
    /// The library's process, whose permissions count.
    Library,
    World,
}

/// A look-up that is under way.
#[derive(Clone)]
pub(super) struct Walk<'a> {
    who: Who,
    pub(super) at: DentryId,
    rest: Cow<'a, [u8]>,
    next: usize,
    follow: bool,
    links: u32,
    /// What was looked at, if somebody wants to know.
    pub(super) touched: Option<Vec<Touch>>,
    /// A name that was not found, and for which the lock of its directory was needed.
    pub(super) missed: Option<(InodeId, Name)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(who: Who, from: DentryId, path: &'a [u8], follow: bool) -> Walk<'a> {
        Walk {
            who,
            at: from,
            rest: Cow::Borrowed(path),
            next: 0,
            follow,
            links: 0,
            touched: None,
            missed: None,
        }
    }

    /// The next component, and whether a '/' follows it.
    fn component(&mut self) -> Option<(std::ops::Range<usize>, bool)> {
        let rest = &self.rest;
        let is_slash = |at: usize| rest.get(at) == Some(&b'/');
        let mut start = self.next;
        while is_slash(start) {
            start += 1;
        }
        let mut end = start;
        while end < rest.len() && !is_slash(end) {
            end += 1;
        }
        self.next = end;
        (start < end).then(|| (start..end, is_slash(end)))
    }

    pub(super) fn position(&self) -> usize {
        self.next
    }

    /// Back to before a component that was looked up in vain.
    pub(super) fn go_back(&mut self, position: usize) {
        self.next = position;
    }

    fn is_over(&self) -> bool {
        self.rest[self.next..].iter().all(|&byte| byte == b'/')
    }

    fn touch(&mut self, inode: &Inode, aspect: Aspect) {
        if let Some(touched) = &mut self.touched {
            touched.push(Touch::reads(inode.number, aspect));
        }
    }
}

impl Kernel {
    /// Begins at the root, if the path does.
    pub(super) fn set_out(&self, walk: &mut Walk<'_>) -> Sys<()> {
        if walk.rest.is_empty() {
            return Err(libc::ENOENT);
        }
        if walk.rest.len() >= libc::PATH_MAX as usize {
            return Err(libc::ENAMETOOLONG);
        }
        if walk.rest[0] == b'/' {
            walk.at = self.topmost(self.root);
            self.touch_mounts(walk, walk.at);
        }
        Ok(())
    }

    /// Looks up the next component; false: there is none left.
    pub(super) fn walk_on(&self, walk: &mut Walk<'_>) -> Sys<bool> {
        let Some((range, slash)) = walk.component() else {
            return Ok(false);
        };
        let directory = self.inode_of(walk.at);
        if !directory.is_directory() {
            return Err(libc::ENOTDIR);
        }
        walk.touch(directory, Aspect::Mode);
        if walk.who == Who::Library && directory.mode & SEARCH == 0 {
            return Err(libc::EACCES);
        }
        let above = walk.at;
        let aspect = match &walk.rest[range.clone()] {
            b"." => None,
            b".." => Some(Aspect::Place),
            name => walk.touched.is_some().then(|| Aspect::entry(name)),
        };
        if let Some(aspect) = aspect {
            walk.touch(directory, aspect);
        }
        let found = match &walk.rest[range] {
            b"." => above,
            b".." => self.above(above),
            name => match directory.entries.get(name) {
                Some(&Some(dentry)) => self.topmost(dentry),
                Some(None) => return Err(libc::ENOENT),
                None => {
                    if name.len() > libc::NAME_MAX as usize {
                        return Err(libc::ENAMETOOLONG);
                    }
                    walk.missed = Some((self.dentries[above].inode, name.into()));
                    return Err(libc::ENOENT);
                }
            },
        };
        let inode = self.inode_of(found);
        if found != above {
            self.touch_mounts(walk, found);
        }
        if let InodeKind::Symlink(target) = &inode.kind
            && (walk.follow || slash)
        {
            return self.follow_link(walk, above, target);
        }
        walk.at = found;
        if slash && !inode.is_directory() {
            return Err(libc::ENOTDIR);
        }
        Ok(!walk.is_over())
    }

    /// What is mounted where the look-up has come to, over what, and what may be mounted over it.
    fn touch_mounts(&self, walk: &mut Walk<'_>, mut dentry: DentryId) {
        while walk.touched.is_some() {
            let it = &self.dentries[dentry];
            walk.touch(self.inode_of(it.parent), Aspect::entry(&it.name));
            let filesystem = &self.filesystems[self.inode_of(dentry).filesystem];
            match filesystem.mountpoint {
                Some(mountpoint) if it.parent == dentry => dentry = mountpoint,
                _ => return,
            }
        }
    }

    fn follow_link(&self, walk: &mut Walk<'_>, directory: DentryId, target: &Name) -> Sys<bool> {
        walk.links += 1;
        if walk.links > LINKS {
            return Err(libc::ELOOP);
        }
        let mut rest = target.to_vec();
        rest.extend_from_slice(&walk.rest[walk.next..]);
        walk.at = if target.first() == Some(&b'/') {
            self.topmost(self.root)
        } else {
            directory
        };
        walk.rest = Cow::Owned(rest);
        walk.next = 0;
        Ok(true)
    }

    /// All of a look-up.
    pub(super) fn walk(&self, walk: &mut Walk<'_>) -> Sys<DentryId> {
        self.set_out(walk)?;
        while self.walk_on(walk)? {}
        Ok(walk.at)
    }

    /// What the world finds at a path.
    pub(super) fn find(&self, path: &[u8], follow: bool) -> Sys<DentryId> {
        self.walk(&mut Walk::new(Who::World, self.root, path, follow))
    }

    /// The directory that a path's last component is in, and that component.
    pub(super) fn find_parent<'p>(&self, path: &'p [u8]) -> Sys<(DentryId, &'p [u8])> {
        let path = path.trim_suffix_slashes();
        let start = path.iter().rposition(|&byte| byte == b'/');
        let (head, name) = path.split_at(start.map_or(0, |at| at + 1));
        if name.is_empty() || name == b"." || name == b".." {
            return Err(libc::EBUSY);
        }
        if name.len() > libc::NAME_MAX as usize {
            return Err(libc::ENAMETOOLONG);
        }
        let head = if head.is_empty() { b"/" } else { head };
        let parent = self.find(head, true)?;
        if !self.is_directory(parent) {
            return Err(libc::ENOTDIR);
        }
        if self.inode_of(parent).dead {
            return Err(libc::ENOENT);
        }
        Ok((parent, name))
    }

    /// The dentry with a name in a directory, under what may be mounted there.
    pub(super) fn child(&self, parent: DentryId, name: &[u8]) -> Option<DentryId> {
        self.inode_of(parent).entries.get(name).copied().flatten()
    }

    /// What is mounted on a dentry, or itself.
    pub(super) fn topmost(&self, mut dentry: DentryId) -> DentryId {
        while let Some(root) = self.dentries[dentry].mounted {
            dentry = root;
        }
        dentry
    }

    fn above(&self, mut dentry: DentryId) -> DentryId {
        while self.dentries[dentry].parent == dentry {
            let filesystem = &self.filesystems[self.inode_of(dentry).filesystem];
            let Some(mountpoint) = filesystem.mountpoint else {
                return dentry;
            };
            dentry = mountpoint;
        }
        self.topmost(self.dentries[dentry].parent)
    }

    /// Whether `above` is `below`, or contains it.
    pub(super) fn contains(&self, above: DentryId, mut below: DentryId) -> bool {
        loop {
            let parent = self.dentries[below].parent;
            if above == below || parent == below {
                return above == below;
            }
            below = parent;
        }
    }

    /// A dentry's path, across mounts; None if it has lost its name.
    pub(super) fn path_of(&self, mut dentry: DentryId) -> Option<Vec<u8>> {
        let mut names: Vec<&[u8]> = Vec::new();
        loop {
            let it = &self.dentries[dentry];
            if !it.hashed {
                return None;
            }
            if it.parent != dentry {
                names.push(&it.name);
                dentry = it.parent;
                continue;
            }
            match self.filesystems[self.inode_of(dentry).filesystem].mountpoint {
                Some(mountpoint) => dentry = mountpoint,
                None => break,
            }
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Some(path)
    }
}

trait TrimSlashes {
    fn trim_suffix_slashes(&self) -> &Self;
}

impl TrimSlashes for [u8] {
    fn trim_suffix_slashes(&self) -> &[u8] {
        let end = self.iter().rposition(|&byte| byte != b'/');
        &self[..end.map_or(0, |at| at + 1)]
    }
}
