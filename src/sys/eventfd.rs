//! A non-blocking eventfd: readable while its counter is not zero.

use super::{Sys, check, uninterrupted};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new(cloexec: bool) -> Sys<EventFd> {
        let flags = libc::EFD_NONBLOCK | if cloexec { libc::EFD_CLOEXEC } else { 0 };
        // SAFETY: eventfd takes no pointers; the new fd is owned by nobody else.
        let fd = unsafe {
            let fd = check(libc::eventfd(0, flags))?;
            OwnedFd::from_raw_fd(fd)
        };
        Ok(EventFd(fd))
    }

    /// Makes the fd readable, and wakes edge-triggered waiters even where it was readable before.
    /// Async-signal-safe. A counter at its maximum stays readable, so that failure is none.
    pub(crate) fn signal(&self) -> Sys<()> {
        let one = 1u64.to_ne_bytes();
        let fd = self.0.as_raw_fd();
        // SAFETY: the buffer is 8 bytes long, as eventfd(2) asks.
        match uninterrupted(|| unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) }) {
            Ok(_) | Err(libc::EAGAIN) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// Makes the fd unreadable; how often it was signalled since the last time.
    pub(crate) fn clear(&self) -> u64 {
        let mut count = [0u8; 8];
        let (fd, room) = (self.0.as_raw_fd(), count.len());
        // SAFETY: the buffer is 8 bytes long, as eventfd(2) asks.
        match uninterrupted(|| unsafe { libc::read(fd, count.as_mut_ptr().cast(), room) }) {
            Ok(_) => u64::from_ne_bytes(count),
            Err(_) => 0,
        }
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
