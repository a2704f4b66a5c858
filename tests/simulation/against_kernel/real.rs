//! The same calls on the real kernel, below a folder of the test's own.

use libc::c_int;
use std::ffi::{CString, OsString};
use std::io::{Error, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use asyncinotify::simulation::{EntryKind, Operation};

use super::action::Allowed;
use crate::support::folder::Folder;

pub(crate) type Sys<T> = Result<T, i32>;

/// Another user than root: `nobody`.
const USER: libc::uid_t = 65534;

pub(crate) struct Real {
    folder: Folder,
    inotify: OwnedFd,
    allowed: Allowed,
}

fn check(result: c_int) -> Sys<c_int> {
    if result < 0 {
        return Err(Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
    }
    Ok(result)
}

fn owned(result: c_int) -> Sys<OwnedFd> {
    // SAFETY: the new descriptor is owned by nobody else.
    check(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn of_io<T>(result: std::io::Result<T>) -> Sys<T> {
    result.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
}

/// What this thread may do. It gets a mount namespace of its own, if it can, and an umask that lets others read.
pub(crate) fn allowed() -> Allowed {
    // SAFETY: plain system calls; the strings are NUL-terminated.
    unsafe {
        let permissions = libc::geteuid() == 0 && libc::unshare(libc::CLONE_FS) == 0;
        if permissions {
            libc::umask(0o022);
        }
        let private = libc::MS_REC | libc::MS_PRIVATE;
        let none = std::ptr::null();
        let mounts = permissions
            && libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(c"none".as_ptr(), c"/".as_ptr(), none, private, none.cast()) == 0;
        Allowed {
            permissions,
            mounts,
        }
    }
}

impl Real {
    pub(crate) fn new(allowed: Allowed) -> Real {
        let shm = std::path::Path::new("/dev/shm");
        let folder = Folder::in_dir(shm, "simulation");
        let path = CString::new(folder.path().as_os_str().as_bytes()).expect("no NUL");
        // SAFETY: plain system calls; the path is NUL-terminated.
        let inotify = unsafe {
            assert_eq!(libc::chmod(path.as_ptr(), 0o777), 0);
            libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC)
        };
        Real {
            folder,
            inotify: owned(inotify).expect("an inotify instance"),
            allowed,
        }
    }

    /// What the simulated kernel calls `path`. A relative one stays as it is.
    fn full_path(&self, path: &[u8]) -> PathBuf {
        let base = self.folder.path().as_os_str().as_bytes();
        let base = if path.first() == Some(&b'/') {
            base
        } else {
            b""
        };
        PathBuf::from(OsString::from_vec([base, path].concat()))
    }

    fn path(&self, path: &[u8]) -> CString {
        let path = self.full_path(path).into_os_string().into_vec();
        CString::new(path).expect("no NUL in a path")
    }

    /// Makes a call as the library's process, which has no special rights.
    fn as_user<T>(&self, call: impl FnOnce() -> T) -> T {
        if !self.allowed.permissions {
            return call();
        }
        // SAFETY: both concern only this thread's access to files.
        unsafe {
            libc::setfsuid(USER);
            let result = call();
            libc::setfsuid(0);
            result
        }
    }

    pub(crate) fn operate(&self, operation: &Operation) -> Sys<()> {
        use std::fs;
        let at = |path: &[u8]| self.full_path(path);
        match operation {
            Operation::Mkdir(path) => of_io(fs::create_dir(at(path))),
            Operation::Create(path) => of_io(fs::File::create_new(at(path)).map(drop)),
            Operation::Write(path) => self.write(path),
            Operation::Read(path) => self.read_file(path),
            Operation::Unlink(path) => of_io(fs::remove_file(at(path))),
            Operation::Rmdir(path) => of_io(fs::remove_dir(at(path))),
            Operation::Rename(from, to) => self.rename(from, to, 0),
            Operation::Exchange(a, b) => self.rename(a, b, libc::RENAME_EXCHANGE),
            Operation::Link(from, to) => of_io(fs::hard_link(at(from), at(to))),
            Operation::Symlink(target, path) => of_io(symlink(at(target), at(path))),
            Operation::Chmod(path, mode) => {
                let permissions = fs::Permissions::from_mode(mode * 0o111);
                of_io(fs::set_permissions(at(path), permissions))
            }
            Operation::Mount(path) => self.mount(path),
            Operation::Unmount(path) => self.unmount(path),
            Operation::Overflow => unreachable!("the real queue is filled with events"),
        }
    }

    fn write(&self, path: &[u8]) -> Sys<()> {
        let file = std::fs::File::options()
            .write(true)
            .open(self.full_path(path));
        of_io(file.and_then(|mut file| file.write_all(b"x")))
    }

    fn read_file(&self, path: &[u8]) -> Sys<()> {
        let mut file = of_io(std::fs::File::open(self.full_path(path)))?;
        let mut buffer = [0u8; 4096];
        if file.read(&mut buffer).is_err() {
            self.list(&file.into()).map(drop).or_else(|errno| {
                // It has been removed by now.
                if errno == libc::ENOENT {
                    Ok(())
                } else {
                    Err(errno)
                }
            })?;
        }
        Ok(())
    }

    fn rename(&self, from: &[u8], to: &[u8], flags: u32) -> Sys<()> {
        let (from, to) = (self.path(from), self.path(to));
        let here = libc::AT_FDCWD;
        // SAFETY: the paths are NUL-terminated.
        let result = unsafe {
            libc::syscall(
                libc::SYS_renameat2,
                here,
                from.as_ptr(),
                here,
                to.as_ptr(),
                flags,
            )
        };
        check(result as c_int).map(drop)
    }

    fn mount(&self, path: &[u8]) -> Sys<()> {
        let path = self.path(path);
        let (what, none) = (c"tmpfs".as_ptr(), std::ptr::null());
        // SAFETY: the strings are NUL-terminated.
        check(unsafe { libc::mount(what, path.as_ptr(), what, 0, none) }).map(drop)
    }

    fn unmount(&self, path: &[u8]) -> Sys<()> {
        let path = self.path(path);
        // SAFETY: the path is NUL-terminated.
        check(unsafe { libc::umount2(path.as_ptr(), 0) }).map(drop)
    }

    pub(crate) fn open(
        &self,
        base: Option<&OwnedFd>,
        path: &[u8],
        list: bool,
        follow: bool,
    ) -> Sys<OwnedFd> {
        let access = if list { libc::O_RDONLY } else { libc::O_PATH };
        let nofollow = if follow { 0 } else { libc::O_NOFOLLOW };
        let flags = libc::O_DIRECTORY | libc::O_CLOEXEC | access | nofollow;
        let base = base.map_or(libc::AT_FDCWD, AsRawFd::as_raw_fd);
        let path = self.path(path);
        // SAFETY: the path is NUL-terminated.
        self.as_user(|| owned(unsafe { libc::openat(base, path.as_ptr(), flags) }))
    }

    /// dev and ino.
    pub(crate) fn identity(&self, directory: &OwnedFd) -> Sys<(u64, u64)> {
        let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: fstat fills the struct when it returns 0.
        unsafe {
            check(libc::fstat(directory.as_raw_fd(), stat.as_mut_ptr()))?;
            let stat = stat.assume_init();
            Ok((stat.st_dev, stat.st_ino))
        }
    }

    pub(crate) fn list(&self, directory: &OwnedFd) -> Sys<Vec<(Vec<u8>, EntryKind)>> {
        let mut raw = [0u8; 32 * 1024];
        let (fd, at, len) = (directory.as_raw_fd(), raw.as_mut_ptr(), raw.len());
        // SAFETY: the kernel writes no more than the buffer's length.
        let read = unsafe { libc::syscall(libc::SYS_getdents64, fd, at, len) };
        let mut rest = &raw[..check(read as c_int)? as usize];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
            let (entry, more) = rest.split_at(length);
            let name = entry[19..]
                .split(|&byte| byte == 0)
                .next()
                .unwrap_or_default();
            let kind = match entry[18] {
                libc::DT_DIR => EntryKind::Directory,
                libc::DT_REG => EntryKind::Regular,
                _ => EntryKind::Other,
            };
            if name != b"." && name != b".." {
                found.push((name.to_vec(), kind));
            }
            rest = more;
        }
        Ok(found)
    }

    pub(crate) fn kind_of(&self, directory: &OwnedFd, name: &[u8]) -> Sys<EntryKind> {
        Ok(
            match self.stat_of(directory, name)?.st_mode & libc::S_IFMT {
                libc::S_IFDIR => EntryKind::Directory,
                libc::S_IFREG => EntryKind::Regular,
                _ => EntryKind::Other,
            },
        )
    }

    fn stat_of(&self, directory: &OwnedFd, name: &[u8]) -> Sys<libc::stat> {
        let name = self.path(name);
        let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
        let (fd, flags) = (directory.as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW);
        // SAFETY: fstatat fills the struct when it returns 0.
        self.as_user(|| unsafe {
            check(libc::fstatat(fd, name.as_ptr(), stat.as_mut_ptr(), flags))?;
            Ok(stat.assume_init())
        })
    }

    /// Whether a name is a directory on the same device, with no link from a subdirectory.
    pub(crate) fn is_leaf(&self, directory: &OwnedFd, name: &[u8]) -> bool {
        let device = self.identity(directory).map(|it| it.0);
        self.stat_of(directory, name).is_ok_and(|stat| {
            let is_directory = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
            is_directory && stat.st_nlink == 2 && Ok(stat.st_dev) == device
        })
    }

    pub(crate) fn add(&self, path: &[u8], mask: u32) -> Sys<i32> {
        self.add_exactly(&self.path(path), mask)
    }

    pub(crate) fn add_open(&self, directory: &OwnedFd, mask: u32) -> Sys<i32> {
        let link = format!("/proc/thread-self/fd/{}", directory.as_raw_fd());
        let link = CString::new(link).expect("no NUL");
        self.add_exactly(&link, mask & !libc::IN_DONT_FOLLOW)
    }

    pub(crate) fn add_child(&self, directory: &OwnedFd, name: &[u8], mask: u32) -> Sys<i32> {
        let folder = format!("/proc/thread-self/fd/{}/", directory.as_raw_fd());
        let path = CString::new([folder.as_bytes(), name].concat()).expect("no NUL");
        self.add_exactly(&path, mask)
    }

    fn add_exactly(&self, path: &CString, mask: u32) -> Sys<i32> {
        let fd = self.inotify.as_raw_fd();
        // SAFETY: the path is NUL-terminated.
        self.as_user(|| check(unsafe { libc::inotify_add_watch(fd, path.as_ptr(), mask) }))
    }

    pub(crate) fn rm(&self, wd: i32) -> Sys<()> {
        // SAFETY: plain numbers.
        check(unsafe { libc::inotify_rm_watch(self.inotify.as_raw_fd(), wd) }).map(drop)
    }

    pub(crate) fn holds(&self, wd: i32) -> bool {
        let path = format!("/proc/thread-self/fdinfo/{}", self.inotify.as_raw_fd());
        let info = std::fs::read_to_string(path).expect("/proc is mounted");
        let line = format!("inotify wd:{wd:x} ");
        info.lines().any(|it| it.starts_with(&line))
    }

    pub(crate) fn read(&self, max: usize) -> Sys<Vec<u8>> {
        let mut buffer = vec![0u8; max];
        let fd = self.inotify.as_raw_fd();
        // SAFETY: the kernel writes no more than the buffer's length.
        let read = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), max) };
        match check(read as c_int) {
            Ok(len) => buffer.truncate(len as usize),
            Err(libc::EAGAIN) => buffer.clear(),
            Err(errno) => return Err(errno),
        }
        Ok(buffer)
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        let mut bytes: c_int = 0;
        // SAFETY: FIONREAD writes one int.
        unsafe { libc::ioctl(self.inotify.as_raw_fd(), libc::FIONREAD, &mut bytes) };
        bytes as usize
    }

    /// All that is below the folder.
    pub(crate) fn names(&self) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        let mut left = vec![self.folder.path().to_path_buf()];
        while let Some(directory) = left.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.symlink_metadata().is_ok_and(|it| it.is_dir()) {
                    left.push(path.clone());
                }
                let base = self.folder.path().as_os_str().len();
                names.push(path.as_os_str().as_bytes()[base..].to_vec());
            }
        }
        names.sort();
        names
    }
}

impl Drop for Real {
    /// What is mounted in the folder keeps it from being removed. A mountpoint may have another path by now.
    fn drop(&mut self) {
        let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap_or_default();
        for line in mounts.lines().rev() {
            let path = line.split(' ').nth(1).unwrap_or_default();
            if std::path::Path::new(path).starts_with(self.folder.path()) {
                let path = CString::new(path).expect("no NUL");
                // SAFETY: the path is NUL-terminated.
                unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
            }
        }
    }
}
