//! What is looked at once a call has failed: the limits it may have met, and the permissions on the way to a path. None of
//! it takes memory: perhaps that is what is missing.

use super::{Sys, check};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A number that the kernel keeps in a file of /proc/sys.
#[derive(Clone, Copy)]
pub(crate) struct Sysctl {
    name: &'static str,
    file: &'static CStr,
}

impl Sysctl {
    pub(crate) const USER_WATCHES: Sysctl = Sysctl {
        name: "fs.inotify.max_user_watches",
        file: c"/proc/sys/fs/inotify/max_user_watches",
    };
    pub(crate) const NAMESPACE_WATCHES: Sysctl = Sysctl {
        name: "user.max_inotify_watches",
        file: c"/proc/sys/user/max_inotify_watches",
    };
    pub(crate) const USER_INSTANCES: Sysctl = Sysctl {
        name: "fs.inotify.max_user_instances",
        file: c"/proc/sys/fs/inotify/max_user_instances",
    };
    pub(crate) const NAMESPACE_INSTANCES: Sysctl = Sysctl {
        name: "user.max_inotify_instances",
        file: c"/proc/sys/user/max_inotify_instances",
    };
    pub(crate) const FILES: Sysctl = Sysctl {
        name: "fs.file-max",
        file: c"/proc/sys/fs/file-max",
    };

    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    pub(crate) fn value(self) -> Option<u64> {
        // SAFETY: the path is a C string; the new fd is owned by nobody else.
        let file = unsafe {
            let fd = check(libc::open(
                self.file.as_ptr(),
                libc::O_RDONLY | libc::O_CLOEXEC,
            ))
            .ok()?;
            OwnedFd::from_raw_fd(fd)
        };
        let mut text = [0_u8; 32];
        // SAFETY: at most as many bytes are written as the buffer has.
        let n = unsafe { libc::read(file.as_raw_fd(), text.as_mut_ptr().cast(), text.len()) };
        let text = text.get(..usize::try_from(n).ok()?)?;
        std::str::from_utf8(text).ok()?.trim().parse().ok()
    }
}

/// How many descriptors this process may have (the soft RLIMIT_NOFILE).
pub(crate) fn descriptors() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the struct is one rlimit, which getrlimit fills.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }).ok()?;
    Some(limit.rlim_cur)
}

/// Whether this process could open one more descriptor.
pub(crate) fn has_descriptor_left() -> bool {
    let opened = || -> Sys<OwnedFd> {
        // SAFETY: epoll_create1 takes no pointers; the new fd is owned by nobody else.
        unsafe {
            let fd = check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?;
            Ok(OwnedFd::from_raw_fd(fd))
        }
    };
    opened().is_ok()
}

/// What this process may not do on the way to a path.
pub(crate) enum Refused<'a> {
    /// Go through this directory.
    Search(&'a [u8]),
    /// Read what is at the path.
    Read,
}

/// What refuses access to `path`, where it can be told: the first directory on the way that may not be searched, or the end.
pub(crate) fn refused(path: &[u8]) -> Option<Refused<'_>> {
    let denies = |path: &[u8], mode: libc::c_int| {
        let mut terminated = [0_u8; libc::PATH_MAX as usize];
        // The last byte stays NUL. The kernel takes no longer path.
        let Some(room) = terminated[..libc::PATH_MAX as usize - 1].get_mut(..path.len()) else {
            return false;
        };
        room.copy_from_slice(path);
        let path = terminated.as_ptr().cast();
        // SAFETY: there is a NUL behind the path.
        let result = unsafe { libc::faccessat(libc::AT_FDCWD, path, mode, libc::AT_EACCESS) };
        check(result) == Err(libc::EACCES)
    };
    let is_end = |at: &usize| *at > 0 && path[at - 1] != b'/';
    let slashes = (0..path.len()).filter(|&at| path[at] == b'/');
    // A directory may not be searched if the entry after it can't be seen.
    let mut above: &[u8] = if path.starts_with(b"/") { b"/" } else { b"." };
    for end in slashes.filter(is_end).chain([path.len()]) {
        if denies(&path[..end], libc::F_OK) {
            return Some(Refused::Search(above));
        }
        above = &path[..end];
    }
    denies(path, libc::R_OK).then_some(Refused::Read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_refuses_nothing() {
        assert!(refused(b"/nowhere/at/all").is_none());
        assert!(refused(b"").is_none());
        assert!(refused(b"/").is_none());
        assert!(refused(b"//").is_none());
    }

    #[test]
    fn limits_can_be_read() {
        assert!(Sysctl::FILES.value().is_some_and(|it| it > 0));
        assert!(descriptors().is_some_and(|it| it > 0));
        assert!(has_descriptor_left());
    }
}
