//! The pollable fd: mio's epoll instance over everything that makes `get` return something.
//!
//! mio registers edge-triggered, and an `epoll_wait` on its fd takes an item off the ready list although the item still
//! is ready. So neither the library nor a program calls `epoll_wait` on it. An epoll fd whose items nobody takes is
//! level-triggered if it is polled from outside: readable exactly while one of its items is. The library itself waits with
//! poll(2), as its users do.

use super::{Sys, check};
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

pub(crate) struct Pollable(Poll);

fn errno_of(error: std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

impl Pollable {
    /// Readable while one of `sources` is.
    pub(crate) fn new(sources: &[RawFd]) -> Sys<Pollable> {
        let pollable = Pollable(Poll::new().map_err(errno_of)?);
        for &fd in sources {
            pollable.add(fd)?;
        }
        Ok(pollable)
    }

    /// Readable while this one is, too.
    pub(crate) fn add(&self, fd: RawFd) -> Sys<()> {
        SourceFd(&fd)
            .register(self.0.registry(), Token(fd as usize), Interest::READABLE)
            .map_err(errno_of)
    }

    /// Lets the fd live on over an execve(2); mio opens it close-on-exec.
    pub(crate) fn keep_over_exec(&self) -> Sys<()> {
        // SAFETY: F_SETFD takes an int.
        check(unsafe { libc::fcntl(self.as_raw_fd(), libc::F_SETFD, 0) }).map(|_| ())
    }

    /// Waits until the fd is readable: true; false at the deadline; EINTR on a signal.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Sys<bool> {
        let mut fd = libc::pollfd {
            fd: self.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        loop {
            let left = match deadline {
                None => -1,
                Some(at) => milliseconds(at.saturating_duration_since(Instant::now())),
            };
            // SAFETY: one pollfd, as the count says.
            if check(unsafe { libc::poll(&mut fd, 1, left) })? > 0 {
                return Ok(true);
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(false);
            }
        }
    }
}

/// Rounded up, so that a wait never ends before its deadline.
fn milliseconds(duration: Duration) -> libc::c_int {
    duration
        .as_nanos()
        .div_ceil(1_000_000)
        .min(libc::c_int::MAX as u128) as libc::c_int
}

impl AsRawFd for Pollable {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
