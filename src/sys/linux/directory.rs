//! Directories: opening them by paths of any length, listing them, and putting a watch on just the one that is open.

use super::inotify::InotifyFd;
use crate::mask::Mask;
use crate::memory;
use crate::sys::dirent::{self, Chunk, Kind};
use crate::sys::{Sys, uninterrupted};
use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::hash::{BuildHasher, RandomState};
use std::io::Write as _;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Paths up to this length go to the kernel in one piece (PATH_MAX is 4096 with the NUL).
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

/// How the calling thread names its descriptors to a call that takes a path: by their links in /proc. It holds for that
/// thread, and as long as the thread does nothing else.
pub(crate) struct DescriptorLinks {
    folder: Vec<u8>,
}

impl DescriptorLinks {
    pub(crate) fn of_this_thread() -> DescriptorLinks {
        // The threads of a process need not share their descriptors, nor need the first of them be alive. Of the first
        // thread /proc/self tells too, and quicker.
        // SAFETY: neither call takes anything, nor fails.
        let is_first = unsafe { libc::gettid() == libc::getpid() };
        let link = if is_first { "self" } else { "thread-self" };
        // Where the link leads to is the shorter way.
        let target = std::fs::read_link(format!("/proc/{link}"));
        let target = target.map(|it| it.into_os_string().into_encoded_bytes());
        let whose = target.unwrap_or_else(|_| link.into());
        DescriptorLinks {
            folder: [b"/proc/", whose.as_slice(), b"/fd/"].concat(),
        }
    }

    /// The path of a directory, or of `name` in it, with a NUL at its end.
    fn path_of(&self, directory: &Directory, name: Option<&CStr>) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.folder.len() + 16 + libc::NAME_MAX as usize);
        path.extend_from_slice(&self.folder);
        // A Vec takes all that is written.
        let _ = write!(path, "{}", directory.0.as_raw_fd());
        match name {
            Some(name) => {
                path.push(b'/');
                path.extend_from_slice(name.to_bytes_with_nul());
            }
            None => path.push(0),
        }
        path
    }
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
        let fd = self.0.as_raw_fd();
        // SAFETY: fstat fills the struct when it returns 0.
        unsafe {
            uninterrupted(|| libc::fstat(fd, stat.as_mut_ptr()))?;
            let stat = stat.assume_init();
            Ok(Identity {
                dev: stat.st_dev,
                ino: stat.st_ino,
            })
        }
    }

    /// Looks up a name that nothing has. The look-up takes the directory's lock, so that a rename out of it or into it
    /// that is under way has told all its watchers when this returns. No watch sees it.
    pub(crate) fn wait_for_renames(&self) -> Sys<()> {
        loop {
            let name = unheard_of_name();
            let name = CStr::from_bytes_with_nul(name.as_bytes()).unwrap_or_default();
            match self.kind_of(name) {
                Err(libc::ENOENT) => return Ok(()),
                // Found without the lock: somebody has guessed it.
                Ok(_) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Appends a chunk of raw directory entries to `buffer`; none at the end.
    pub(crate) fn read(&self, buffer: &mut Vec<u8>) -> Sys<Chunk> {
        const CHUNK: usize = 32 * 1024;
        memory::grow(buffer, CHUNK)?;
        let spare = &mut buffer.spare_capacity_mut()[..CHUNK];
        let (fd, into) = (self.0.as_raw_fd(), spare.as_mut_ptr());
        // SAFETY: the kernel writes at most CHUNK bytes into memory that `spare` borrows.
        let n = uninterrupted(|| unsafe { libc::syscall(libc::SYS_getdents64, fd, into, CHUNK) })?;
        let start = buffer.len();
        // SAFETY: the kernel has filled `n` bytes behind the old length.
        unsafe { buffer.set_len(start + n as usize) };
        Ok(Chunk {
            len: n as usize,
            has_directories: self.fill_in_kinds(&mut buffer[start..])?,
        })
    }

    /// Some filesystems keep the kinds of their entries to themselves: asks for each. Whether directories are among them.
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

    /// What `name` in this directory is, by fstatat(2); no watch sees it.
    pub(crate) fn kind_of(&self, name: &CStr) -> Sys<Kind> {
        Ok(match self.stat_of(name)?.st_mode & libc::S_IFMT {
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFREG => Kind::Regular,
            _ => Kind::Other,
        })
    }

    fn stat_of(&self, name: &CStr) -> Sys<libc::stat> {
        let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: fstatat fills the struct when it returns 0; `name` is NUL-terminated.
        unsafe {
            let (fd, flags) = (self.0.as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW);
            uninterrupted(|| libc::fstatat(fd, name.as_ptr(), stat.as_mut_ptr(), flags))?;
            Ok(stat.assume_init())
        }
    }

    /// Watches this very directory, also if its path has changed. `path`, which ends with a NUL, is where the directory
    /// should be. The path is needed where there is no /proc.
    pub(crate) fn watch(
        &self,
        links: &DescriptorLinks,
        inotify: &InotifyFd,
        path: impl FnOnce() -> Vec<u8>,
        mask: Mask,
        stray: &Cell<Option<i32>>,
    ) -> Sys<i32> {
        // The path is a symbolic link, and what is meant is at its end.
        let link = links.path_of(self, None);
        match inotify.add_terminated(&link, mask - Mask::DONT_FOLLOW) {
            Err(libc::ENOENT | libc::ENOTDIR) => self.watch_by_path(inotify, &path(), mask, stray),
            other => other,
        }
    }

    /// Watches what `name` in this directory is, without opening it. Where there is no /proc it fails.
    pub(crate) fn watch_child(
        &self,
        links: &DescriptorLinks,
        inotify: &InotifyFd,
        name: &CStr,
        mask: Mask,
    ) -> Sys<i32> {
        inotify.add_terminated(&links.path_of(self, Some(name)), mask)
    }

    /// The device, if each subdirectory counts as a link there to the directory that it is in.
    pub(crate) fn device_counting_links(&self) -> Option<u64> {
        let mut about = std::mem::MaybeUninit::<libc::statfs>::uninit();
        let fd = self.0.as_raw_fd();
        // SAFETY: fstatfs fills the struct when it returns 0.
        let kind = unsafe {
            uninterrupted(|| libc::fstatfs(fd, about.as_mut_ptr())).ok()?;
            about.assume_init().f_type
        };
        let counts = [
            libc::TMPFS_MAGIC,
            libc::EXT4_SUPER_MAGIC,
            libc::XFS_SUPER_MAGIC,
        ];
        let identity = counts.contains(&kind).then(|| self.identity());
        Some(identity?.ok()?.dev)
    }

    /// Whether `name` is a directory on this device, which counts links, and none is of a subdirectory. While one is made,
    /// removed or renamed, the number may be too low.
    pub(crate) fn is_leaf(&self, name: &CStr, device: u64) -> bool {
        /// ext4 does not count more than 65,000; so many entries take more bytes.
        const COUNTED: i64 = 512 * 1024;
        self.stat_of(name).is_ok_and(|stat| {
            let is_directory = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
            is_directory && stat.st_dev == device && stat.st_nlink == 2 && stat.st_size < COUNTED
        })
    }

    /// Watches this directory without /proc: by path, with a look before and after whether the path leads here. A swap
    /// there and back between the two looks remains unseen. `stray` gets a descriptor that may be of another directory.
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

/// A name that nobody can have guessed, with its NUL.
fn unheard_of_name() -> String {
    format!(".{:016x}{:016x}\0", random(), random())
}

/// A number that nobody can guess.
fn random() -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
    KEY.get_or_init(RandomState::new).hash_one(counter)
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
    // SAFETY: `path` is NUL-terminated; the new fd is owned by nobody else.
    unsafe {
        let fd = uninterrupted(|| libc::openat(base, path.as_ptr(), flags))?;
        Ok(Directory(OwnedFd::from_raw_fd(fd)))
    }
}

impl AsRawFd for Directory {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::InitFlags;
    use crate::sys::dirent::entries;

    #[test]
    fn a_name_that_is_looked_up_for_its_lock_can_not_be_guessed() {
        let names: std::collections::BTreeSet<String> =
            (0..1000).map(|_| unheard_of_name()).collect();
        assert_eq!(names.len(), 1000);
        // No digit of them is the same in all: neither a process's number nor a count is in them.
        let digits = |at: usize| names.iter().map(move |name| name.as_bytes()[at]);
        for at in 1..33 {
            let first = digits(at).next();
            assert!(digits(at).any(|digit| Some(digit) != first), "digit {at}");
        }
    }

    #[test]
    fn a_directory_is_watched_without_proc_as_with_it() {
        let inotify = InotifyFd::new(InitFlags::NONBLOCK | InitFlags::CLOEXEC).unwrap();
        let here = Directory::open(None, b".", Access::Anchor, true).unwrap();
        let path = std::env::current_dir().unwrap();
        let path = CString::new(path.into_os_string().into_encoded_bytes()).unwrap();
        let path = path.as_bytes_with_nul();
        let links = DescriptorLinks::of_this_thread();
        let stray = Cell::new(None);
        let by_proc = here
            .watch(&links, &inotify, || path.to_vec(), Mask::CREATE, &stray)
            .unwrap();
        assert_eq!(
            here.watch_by_path(&inotify, path, Mask::CREATE, &stray),
            Ok(by_proc)
        );
        assert_eq!(
            here.watch_by_path(&inotify, b"/\0", Mask::CREATE, &stray),
            Err(libc::ESTALE)
        );
    }

    #[test]
    fn links_tell_whether_there_are_subdirectories() {
        let folder = std::env::temp_dir().join(format!("asyncinotify-links-{}", random()));
        std::fs::create_dir_all(folder.join("branch/leaf")).unwrap();
        std::fs::write(folder.join("branch/leaf/file"), b"").unwrap();
        let path = folder.clone().into_os_string().into_encoded_bytes();
        let directory = Directory::open(None, &path, Access::Anchor, true).unwrap();
        let branch = directory.open_child(c"branch").unwrap();
        // Not every filesystem counts them.
        if let Some(device) = directory.device_counting_links() {
            assert!(!directory.is_leaf(c"branch", device));
            assert!(branch.is_leaf(c"leaf", device));
            assert!(!branch.is_leaf(c"leaf", device + 1));
            assert!(!branch.is_leaf(c"no-such-name", device));
        }
        let inotify = InotifyFd::new(InitFlags::NONBLOCK | InitFlags::CLOEXEC).unwrap();
        let links = DescriptorLinks::of_this_thread();
        let mask = Mask::CREATE | Mask::ONLYDIR | Mask::DONT_FOLLOW;
        let leaf = branch.open_child(c"leaf").unwrap();
        assert_eq!(
            branch.watch_child(&links, &inotify, c"leaf", mask),
            leaf.watch(&links, &inotify, Vec::new, mask, &Cell::new(None))
        );
        std::fs::remove_dir_all(folder).unwrap();
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
