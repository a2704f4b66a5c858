//! The system calls, one file a kernel object. Above this folder (and outside the C skin) there is only safe code.

pub(crate) mod directory;
pub(crate) mod eventfd;
pub(crate) mod inotify;
pub(crate) mod owner_lock;
pub(crate) mod pollable;
pub(crate) mod thread;

/// A system call's result as the errno it failed with.
pub(crate) type Sys<T> = Result<T, i32>;

fn errno() -> i32 {
    std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

/// Turns the -1 of a system call into its errno.
fn check(result: libc::c_int) -> Sys<libc::c_int> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}
