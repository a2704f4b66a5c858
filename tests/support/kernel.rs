//! The kernel's own view: poll(2), select(2), epoll(7), the queue's length, and the watches in /proc.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// poll(2) for POLLIN: true when readable, false at the end of the time.
pub fn poll_in(fd: RawFd, milliseconds: i32) -> bool {
    let mut entry = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    loop {
        // SAFETY: one valid entry.
        match check(unsafe { libc::poll(&mut entry, 1, milliseconds) }) {
            Ok(0) => return false,
            Ok(_) => {
                assert_eq!(entry.revents, libc::POLLIN, "poll: strange revents");
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => panic!("poll: {error}"),
        }
    }
}

pub fn select_in(fd: RawFd) -> bool {
    assert!(fd < libc::FD_SETSIZE as RawFd);
    // SAFETY: an all-zero fd_set is valid and empty; fd is below FD_SETSIZE.
    unsafe {
        let mut set: libc::fd_set = std::mem::zeroed();
        libc::FD_SET(fd, &mut set);
        let mut now = libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        };
        let none = std::ptr::null_mut();
        check(libc::select(fd + 1, &mut set, none, none, &mut now)).expect("select") == 1
    }
}

/// An epoll(7) set with one member.
pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new(member: RawFd, edge_triggered: bool) -> Epoll {
        // SAFETY: plain system calls; the fd returned is ours.
        unsafe {
            let fd = check(libc::epoll_create1(libc::EPOLL_CLOEXEC)).expect("epoll_create1");
            let set = Epoll(OwnedFd::from_raw_fd(fd));
            let mut event = libc::epoll_event {
                events: libc::EPOLLIN as u32,
                u64: 0,
            };
            if edge_triggered {
                event.events |= libc::EPOLLET as u32;
            }
            check(libc::epoll_ctl(fd, libc::EPOLL_CTL_ADD, member, &mut event)).expect("epoll_ctl");
            set
        }
    }

    pub fn wait(&self, milliseconds: i32) -> bool {
        // SAFETY: an all-zero event is valid; room for one is given.
        unsafe {
            let mut event: libc::epoll_event = std::mem::zeroed();
            loop {
                match check(libc::epoll_wait(self.fd(), &mut event, 1, milliseconds)) {
                    Ok(count) => return count == 1,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => panic!("epoll_wait: {error}"),
                }
            }
        }
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// How many bytes of events the kernel still holds for an inotify fd.
pub fn queued_bytes(inotify: RawFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD stores an int.
    check(unsafe { libc::ioctl(inotify, libc::FIONREAD, &mut bytes) }).expect("FIONREAD");
    bytes as usize
}

/// How many kernel watches an inotify fd of this process holds.
pub fn kernel_watches(inotify: RawFd) -> usize {
    std::fs::read_to_string(format!("/proc/self/fdinfo/{inotify}"))
        .expect("fdinfo of the inotify fd")
        .lines()
        .filter(|line| line.starts_with("inotify "))
        .count()
}

/// renameat2(2) with RENAME_EXCHANGE, which std has no name for.
pub fn exchange(a: &std::path::Path, b: &std::path::Path) -> io::Result<()> {
    let (a, b) = (super::folder::c_path(a), super::folder::c_path(b));
    // SAFETY: two NUL-terminated paths. The system call itself, since musl has no wrapper.
    let result = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            a.as_ptr(),
            libc::AT_FDCWD,
            b.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    check(result as libc::c_int).map(drop)
}
