//! Instances with a short kernel queue.
//!
//! `fs.inotify.max_queued_events` is one number for the whole machine, read when an instance is made. So it is lowered
//! for that moment only, under a file lock. The lock file holds the number to go back to, in case a test is killed in between.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;

const SYSCTL: &str = "/proc/sys/fs/inotify/max_queued_events";

fn locked(kind: libc::c_int) -> File {
    // A file per user: one that root made would be closed to others.
    // SAFETY: never fails.
    let user = unsafe { libc::getuid() };
    let path = std::env::temp_dir().join(format!("asyncinotify-max_queued_events.{user}.lock"));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // SAFETY: a plain system call; the lock ends with the file.
    assert_eq!(unsafe { libc::flock(file.as_raw_fd(), kind) }, 0, "flock");
    file
}

/// Runs `make` (which opens an instance) while the queue's limit is what the machine says.
pub fn normal<T>(make: impl FnOnce() -> T) -> T {
    let _lock = locked(libc::LOCK_SH);
    make()
}

/// Runs `make` while the queue's limit is `events`; Err says why that is not allowed here.
pub fn lowered<T>(events: u32, make: impl FnOnce() -> T) -> Result<T, String> {
    let mut lock = locked(libc::LOCK_EX);
    let mut before = String::new();
    lock.read_to_string(&mut before)
        .expect("read the lock file");
    if before.is_empty() {
        before = std::fs::read_to_string(SYSCTL).map_err(|error| format!("{SYSCTL}: {error}"))?;
    }
    let note = |lock: &mut File, text: &str| {
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(text.as_bytes()))
    };
    note(&mut lock, &before).expect("write the lock file");
    let restore = Restore { before };
    let lowered = std::fs::write(SYSCTL, events.to_string());
    let made = lowered.map(|()| make());
    drop(restore);
    note(&mut lock, "").expect("write the lock file");
    made.map_err(|error| format!("{SYSCTL}: {error}"))
}

struct Restore {
    before: String,
}

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = std::fs::write(SYSCTL, &self.before);
    }
}
