//! What is looked at once a call has failed: the limits it may have met, and the permissions on the way to a path.

use super::{Sys, check};
use std::ffi::CString;
use std::os::fd::{FromRawFd, OwnedFd};

/// A number that the kernel keeps in a file of /proc/sys.
pub(crate) fn sysctl(name: &str) -> Option<u64> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
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
pub(crate) enum Refused {
    /// Go through this directory.
    Search(Vec<u8>),
    /// Read what is at the path.
    Read,
}

/// What refuses access to `path`, where it can be told: the first directory on the way that may not be searched, or the end.
pub(crate) fn refused(path: &[u8]) -> Option<Refused> {
    let denies = |path: &[u8], mode: libc::c_int| {
        let Ok(path) = CString::new(path) else {
            return false;
        };
        // SAFETY: the path is a C string.
        let result =
            unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) };
        check(result) == Err(libc::EACCES)
    };
    let is_end = |at: &usize| *at > 0 && path[at - 1] != b'/';
    let slashes = (0..path.len()).filter(|&at| path[at] == b'/');
    // A directory may not be searched if the entry after it can't be seen.
    let mut above: &[u8] = if path.starts_with(b"/") { b"/" } else { b"." };
    for end in slashes.filter(is_end).chain([path.len()]) {
        if denies(&path[..end], libc::F_OK) {
            return Some(Refused::Search(above.to_vec()));
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
        assert!(sysctl("fs.file-max").is_some_and(|it| it > 0));
        assert!(sysctl("fs.no_such_limit").is_none());
        assert!(descriptors().is_some_and(|it| it > 0));
        assert!(has_descriptor_left());
    }
}
