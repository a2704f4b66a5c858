//! A timerfd: readable once its time has come, until it is set anew.

use super::{Sys, check};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

pub(crate) struct TimerFd(OwnedFd);

impl TimerFd {
    pub(crate) fn new(cloexec: bool) -> Sys<TimerFd> {
        let flags = libc::TFD_NONBLOCK | if cloexec { libc::TFD_CLOEXEC } else { 0 };
        // SAFETY: timerfd_create takes no pointers; the new fd is owned by nobody else.
        let fd = unsafe {
            let fd = check(libc::timerfd_create(libc::CLOCK_MONOTONIC, flags))?;
            OwnedFd::from_raw_fd(fd)
        };
        Ok(TimerFd(fd))
    }

    /// Readable after so long, and not before; None: never.
    pub(crate) fn set(&self, after: Option<Duration>) {
        // A time of 0 would never come.
        let after = after.map_or(Duration::ZERO, |it| it.max(Duration::from_nanos(1)));
        let zero = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let time = libc::itimerspec {
            it_interval: zero,
            it_value: libc::timespec {
                tv_sec: after.as_secs() as libc::time_t,
                tv_nsec: after.subsec_nanos() as libc::c_long,
            },
        };
        // SAFETY: a valid time to set, and no place for the old one. It fails for times that are none.
        unsafe { libc::timerfd_settime(self.0.as_raw_fd(), 0, &time, std::ptr::null_mut()) };
    }
}

impl AsRawFd for TimerFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
