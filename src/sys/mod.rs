//! The system calls, one file a kernel object. Above this folder (and outside the C skin) there is only safe code.
//!
//! What a tree and its watches need of the kernel stands twice: in `linux`, and in `sim`, a kernel inside the process in
//! which a schedule decides who takes the next step. `--cfg simulation` picks the second, in tests only.

#[cfg(not(simulation))]
mod linux;
#[cfg(simulation)]
pub(crate) mod sim;

pub(crate) mod cause;
pub(crate) mod dirent;
#[cfg(not(simulation))]
pub(crate) mod eventfd;
#[cfg(not(simulation))]
pub(crate) mod limits;
#[cfg(not(simulation))]
pub(crate) mod output;
#[cfg(not(simulation))]
pub(crate) mod owner_lock;
#[cfg(not(simulation))]
pub(crate) mod pollable;
#[cfg(not(simulation))]
pub(crate) mod timer;

#[cfg(not(simulation))]
pub(crate) use linux::{clock, directory, inotify};
#[cfg(simulation)]
pub(crate) use sim::{clock, directory, inotify};

/// A system call's result as the errno it failed with.
pub(crate) type Sys<T> = Result<T, i32>;

#[cfg(not(simulation))]
fn errno() -> i32 {
    std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

/// Turns the -1 of a system call into its errno.
#[cfg(not(simulation))]
fn check<T: PartialOrd + Default>(result: T) -> Sys<T> {
    match result < T::default() {
        true => Err(errno()),
        false => Ok(result),
    }
}

/// Makes a system call, once more after each signal. Filesystems in user space and on the network are interrupted, too.
#[cfg(not(simulation))]
fn uninterrupted<T: PartialOrd + Default>(mut call: impl FnMut() -> T) -> Sys<T> {
    loop {
        match check(call()) {
            Err(libc::EINTR) => {}
            result => return result,
        }
    }
}
