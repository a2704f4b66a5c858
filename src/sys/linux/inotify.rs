//! The kernel's inotify instance.

use crate::mask::{InitFlags, Mask};
use crate::memory;
use crate::sys::{Sys, check, uninterrupted};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The largest event the kernel makes: header, NAME_MAX bytes and a NUL.
pub(crate) const MAX_EVENT: usize = size_of::<libc::inotify_event>() + libc::NAME_MAX as usize + 1;

pub(crate) struct InotifyFd {
    fd: OwnedFd,
    blocking: bool,
}

impl InotifyFd {
    pub(crate) fn new(flags: InitFlags) -> Sys<InotifyFd> {
        // SAFETY: inotify_init1 takes no pointers; the new fd is owned by nobody else.
        let fd = unsafe {
            let fd = check(libc::inotify_init1(flags.bits() as libc::c_int))?;
            OwnedFd::from_raw_fd(fd)
        };
        Ok(InotifyFd {
            fd,
            blocking: !flags.contains(InitFlags::NONBLOCK),
        })
    }

    /// Whether read(2) on the fd waits, as it was opened.
    pub(crate) fn is_blocking(&self) -> bool {
        self.blocking
    }

    /// Adds a watch or changes one; the wd.
    pub(crate) fn add(&self, path: &CStr, mask: Mask) -> Sys<i32> {
        self.add_terminated(path.to_bytes_with_nul(), mask)
    }

    /// Adds a watch like `add`. The path must have a NUL at its end; that it has no other is not checked, as a look through
    /// a long path takes time.
    pub(crate) fn add_terminated(&self, path: &[u8], mask: Mask) -> Sys<i32> {
        if path.last() != Some(&0) {
            return Err(libc::EINVAL);
        }
        let (fd, path) = (self.fd.as_raw_fd(), path.as_ptr().cast());
        // SAFETY: there is a NUL in `path`, which lives over the call.
        uninterrupted(|| unsafe { libc::inotify_add_watch(fd, path, mask.bits()) })
    }

    pub(crate) fn rm(&self, wd: i32) -> Sys<()> {
        // SAFETY: inotify_rm_watch takes no pointers.
        check(unsafe { libc::inotify_rm_watch(self.fd.as_raw_fd(), wd) }).map(|_| ())
    }

    /// Whether the kernel still has a watch; None where there is no /proc to tell. It looks at all of them.
    pub(crate) fn holds(&self, wd: i32) -> Option<bool> {
        // Another thread may have other descriptors.
        let info = format!("/proc/thread-self/fdinfo/{}", self.fd.as_raw_fd());
        let info = std::fs::read_to_string(info).ok()?;
        let line = format!("inotify wd:{wd:x} ");
        Some(info.lines().any(|it| it.starts_with(&line)))
    }

    /// Appends at most `max` bytes of whole events to `buffer`, without ever blocking; how many. 0: none is queued.
    pub(crate) fn read(&self, buffer: &mut Vec<u8>, max: usize) -> Sys<usize> {
        if self.blocking && !self.has_events()? {
            return Ok(0);
        }
        memory::grow(buffer, max)?;
        let spare = &mut buffer.spare_capacity_mut()[..max];
        let (fd, into) = (self.fd.as_raw_fd(), spare.as_mut_ptr().cast());
        // SAFETY: the kernel writes at most `max` bytes into memory that `spare` borrows.
        match uninterrupted(|| unsafe { libc::read(fd, into, max) }) {
            Ok(n) => {
                // SAFETY: the kernel has filled `n` bytes behind the old length.
                unsafe { buffer.set_len(buffer.len() + n as usize) };
                Ok(n as usize)
            }
            Err(libc::EAGAIN) => Ok(0),
            Err(other) => Err(other),
        }
    }

    /// How many bytes are queued; more than there can be where a sandbox does not let it be asked. The kernel walks its queue
    /// for this.
    pub(crate) fn queued(&self) -> usize {
        let mut bytes: libc::c_int = 0;
        // SAFETY: FIONREAD writes one int.
        match unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::FIONREAD, &mut bytes) } {
            0 => bytes.max(0) as usize,
            _ => usize::MAX,
        }
    }

    /// Whether nothing is queued. Less work than a read that finds nothing.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let mut bytes: libc::c_int = 0;
        // SAFETY: FIONREAD writes one int.
        let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::FIONREAD, &mut bytes) };
        result == 0 && bytes == 0
    }

    fn has_events(&self) -> Sys<bool> {
        let mut fd = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd, as the count says.
        Ok(uninterrupted(|| unsafe { libc::poll(&mut fd, 1, 0) })? > 0)
    }
}

impl AsRawFd for InotifyFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
