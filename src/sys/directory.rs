//! Directories: opening them by paths of any length, listing them, and putting a watch on just the one that is open.

use super::inotify::InotifyFd;
use super::{Sys, check, errno, thread};
use crate::mask::Mask;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Paths up to this length go to the kernel in one piece (PATH_MAX is 4096 with the NUL).
const ONE_PIECE: usize = 4000;

/// What tells one directory from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

/// What an entry of a directory is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Directory,
    Regular,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// To list it. Like any open, watches for OPEN see it.
    List,
    /// As an anchor only; no watch sees it.
    Anchor,
}

/// An open directory.
pub(crate) struct Directory(OwnedFd);

impl Directory {
    /// Opens `path`, of any length, below `base` or as it stands; no symbolic link as the last component unless
    /// `follow`.
    pub(crate) fn open(
        base: Option<&Directory>,
        path: &[u8],
        access: Access,
        follow: bool,
    ) -> Sys<Directory> {
        let mut held: Option<Directory> = None;
        let mut rest = path;
        while rest.len() > ONE_PIECE {
            // Split behind the last '/' that fits: a name is at most 255 bytes long, so there is one.
            let cut = rest[..ONE_PIECE]
                .iter()
                .rposition(|&b| b == b'/')
                .ok_or(libc::ENAMETOOLONG)?;
            let (head, tail) = rest.split_at(cut + 1);
            held = Some(open_one(
                held.as_ref().or(base),
                head,
                Access::Anchor,
                true,
            )?);
            rest = tail;
            while let [b'/', more @ ..] = rest {
                rest = more;
            }
        }
        let last = if rest.is_empty() { b"." } else { rest };
        open_one(held.as_ref().or(base), last, access, follow)
    }

    /// Opens a subdirectory to list it; no symbolic link.
    pub(crate) fn open_child(&self, name: &CStr) -> Sys<Directory> {
        open_at(self.0.as_raw_fd(), name, Access::List, false)
    }

    pub(crate) fn identity(&self) -> Sys<Identity> {
        let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: fstat fills the struct when it returns 0.
        unsafe {
            check(libc::fstat(self.0.as_raw_fd(), stat.as_mut_ptr()))?;
            let stat = stat.assume_init();
            Ok(Identity {
                dev: stat.st_dev,
                ino: stat.st_ino,
            })
        }
    }

    /// Looks up a name that nothing has. The look-up takes the directory's lock, so that a rename out of it or into it
    /// that is under way has told all its watchers when this returns. No watch sees it.
    pub(crate) fn wait_for_renames(&self) {
        static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!(".asyncinotify-{}-{number}", std::process::id());
        if let Ok(name) = CString::new(name) {
            self.kind_of(&name);
        }
    }

    /// Appends a chunk of raw directory entries to `buffer`; none at the end.
    pub(crate) fn read(&self, buffer: &mut Vec<u8>) -> Sys<Chunk> {
        const CHUNK: usize = 32 * 1024;
        buffer.try_reserve(CHUNK).map_err(|_| libc::ENOMEM)?;
        let spare = &mut buffer.spare_capacity_mut()[..CHUNK];
        // SAFETY: the kernel writes at most CHUNK bytes into memory that `spare` borrows.
        let n = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                self.0.as_raw_fd(),
                spare.as_mut_ptr(),
                CHUNK,
            )
        };
        if n < 0 {
            return Err(errno());
        }
        let start = buffer.len();
        // SAFETY: the kernel has filled `n` bytes behind the old length.
        unsafe { buffer.set_len(start + n as usize) };
        Ok(Chunk {
            len: n as usize,
            has_directories: self.fill_in_kinds(&mut buffer[start..]),
        })
    }

    /// Some filesystems keep the kinds of their entries to themselves: asks for each. Whether directories are among them.
    fn fill_in_kinds(&self, raw: &mut [u8]) -> bool {
        let mut at = 0;
        let mut directories = 0;
        while let Some(entry) = raw.get_mut(at..).filter(|rest| rest.len() > NAME) {
            let length = usize::from(u16::from_ne_bytes([entry[RECLEN], entry[RECLEN + 1]]));
            if entry[TYPE] == libc::DT_UNKNOWN
                && let Ok(name) = CStr::from_bytes_until_nul(&entry[NAME..])
            {
                entry[TYPE] = match self.kind_of(name) {
                    Some(Kind::Directory) => libc::DT_DIR,
                    Some(Kind::Regular) => libc::DT_REG,
                    _ => libc::DT_FIFO,
                };
            }
            directories += usize::from(entry[TYPE] == libc::DT_DIR && !is_dot(&entry[NAME..]));
            at += length;
        }
        directories > 0
    }

    /// What `name` in this directory is, by fstatat(2).
    fn kind_of(&self, name: &CStr) -> Option<Kind> {
        let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: fstatat fills the struct when it returns 0; `name` is NUL-terminated.
        let mode = unsafe {
            let flags = libc::AT_SYMLINK_NOFOLLOW;
            check(libc::fstatat(
                self.0.as_raw_fd(),
                name.as_ptr(),
                stat.as_mut_ptr(),
                flags,
            ))
            .ok()?;
            stat.assume_init().st_mode
        };
        Some(match mode & libc::S_IFMT {
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFREG => Kind::Regular,
            _ => Kind::Other,
        })
    }

    /// Watches this very directory, whatever its path is by now.
    pub(crate) fn watch(&self, inotify: &InotifyFd, mask: Mask) -> Sys<i32> {
        // The path is a symbolic link, and what is meant is at its end.
        let mask = mask - Mask::DONT_FOLLOW;
        let path = CString::new(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
            .map_err(|_| libc::EINVAL)?;
        match inotify.add(&path, mask) {
            Err(libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::EPERM) => {
                self.watch_from_inside(inotify, mask)
            }
            other => other,
        }
    }

    /// The same without /proc: a short-lived thread that has a working directory of its own goes there.
    fn watch_from_inside(&self, inotify: &InotifyFd, mask: Mask) -> Sys<i32> {
        let work = || {
            // SAFETY: neither call takes pointers; the thread ends before its working directory matters to anyone.
            unsafe {
                check(libc::unshare(libc::CLONE_FS))?;
                check(libc::fchdir(self.0.as_raw_fd()))?;
            }
            inotify.add(c".", mask)
        };
        std::thread::scope(
            |scope| match thread::spawn(scope, work).map(|handle| handle.join()) {
                Ok(Ok(result)) => result,
                _ => Err(libc::EAGAIN),
            },
        )
    }
}

fn open_one(base: Option<&Directory>, path: &[u8], access: Access, follow: bool) -> Sys<Directory> {
    let path = CString::new(path).map_err(|_| libc::EINVAL)?;
    let base = base.map_or(libc::AT_FDCWD, |directory| directory.0.as_raw_fd());
    open_at(base, &path, access, follow)
}

fn open_at(base: RawFd, path: &CStr, access: Access, follow: bool) -> Sys<Directory> {
    let flags = libc::O_DIRECTORY
        | libc::O_CLOEXEC
        | if access == Access::Anchor {
            libc::O_PATH
        } else {
            libc::O_RDONLY | libc::O_NONBLOCK
        }
        | if follow { 0 } else { libc::O_NOFOLLOW };
    loop {
        // SAFETY: `path` is NUL-terminated; the new fd is owned by nobody else.
        match check(unsafe { libc::openat(base, path.as_ptr(), flags) }) {
            // SAFETY: as above.
            Ok(fd) => return Ok(Directory(unsafe { OwnedFd::from_raw_fd(fd) })),
            Err(libc::EINTR) => {}
            Err(other) => return Err(other),
        }
    }
}

impl AsRawFd for Directory {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

// struct linux_dirent64: u64 ino, i64 off, u16 reclen, u8 type, then the name.
const RECLEN: usize = 16;
const TYPE: usize = 18;
const NAME: usize = 19;

/// What was read of a directory at one go.
pub(crate) struct Chunk {
    pub(crate) len: usize,
    /// Whether there are subdirectories among it.
    pub(crate) has_directories: bool,
}

fn is_dot(name: &[u8]) -> bool {
    matches!(name, [b'.', 0, ..] | [b'.', b'.', 0, ..])
}

/// One entry of a listing, and the offset of the next.
pub(crate) struct Entry<'a> {
    /// With the NUL and padding.
    name: &'a [u8],
    pub(crate) kind: Kind,
    pub(crate) next: usize,
}

impl<'a> Entry<'a> {
    pub(crate) fn name(&self) -> &'a CStr {
        CStr::from_bytes_until_nul(self.name).unwrap_or_default()
    }
}

/// The entries in what [`Directory::read`] filled, from an offset on, `.` and `..` left out.
pub(crate) fn entries(raw: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = raw.get(next..).filter(|rest| rest.len() > NAME)?;
            let length = usize::from(u16::from_ne_bytes([rest[RECLEN], rest[RECLEN + 1]]));
            let entry = rest.get(..length)?;
            next += length;
            let name = entry.get(NAME..)?;
            if is_dot(name) {
                continue;
            }
            let kind = match entry[TYPE] {
                libc::DT_DIR => Kind::Directory,
                libc::DT_REG => Kind::Regular,
                _ => Kind::Other,
            };
            return Some(Entry { name, kind, next });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::InitFlags;

    #[test]
    fn a_directory_is_watched_without_proc_as_with_it() {
        let inotify = InotifyFd::new(InitFlags::NONBLOCK | InitFlags::CLOEXEC).unwrap();
        let here = Directory::open(None, b".", Access::Anchor, true).unwrap();
        let mask = Mask::CREATE;
        let by_proc = here.watch(&inotify, mask).unwrap();
        assert_eq!(here.watch_from_inside(&inotify, mask), Ok(by_proc));
    }

    #[test]
    fn a_listing_names_what_is_there() {
        let directory = Directory::open(
            None,
            env!("CARGO_MANIFEST_DIR").as_bytes(),
            Access::List,
            true,
        )
        .unwrap();
        let mut raw = Vec::new();
        while directory.read(&mut raw).unwrap().len > 0 {}
        let names: Vec<_> = entries(&raw)
            .map(|e| (e.name().to_bytes(), e.kind))
            .collect();
        assert!(names.contains(&(b"src", Kind::Directory)), "{names:?}");
        assert!(names.contains(&(b"Cargo.toml", Kind::Regular)), "{names:?}");
    }
}
