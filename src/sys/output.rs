//! Writing to descriptors that belong to the program.

use super::{Sys, errno};
use std::os::fd::RawFd;

/// Writes all of it. It waits where write(2) does; what was written before a failure stays written.
pub(crate) fn write_all(fd: RawFd, mut bytes: &[u8]) -> Sys<()> {
    while !bytes.is_empty() {
        // SAFETY: the kernel reads no more than `bytes` has. Any number may stand for a descriptor: EBADF is the answer.
        let n = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        match n {
            1.. => bytes = &bytes[n as usize..],
            // A device that takes nothing would be asked for ever.
            0 => return Err(libc::EIO),
            _ => match errno() {
                libc::EINTR => {}
                other => return Err(other),
            },
        }
    }
    Ok(())
}

/// Whether the process has rights that whoever set its environment need not have.
pub(crate) fn is_privileged() -> bool {
    // SAFETY: getauxval takes no pointers.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}
