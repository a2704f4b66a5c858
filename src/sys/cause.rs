//! The system's word for an errno.

use std::ffi::{CStr, c_char};
use std::fmt;

/// Written as std writes an error of the system, and without memory.
pub(crate) struct Cause(pub(crate) i32);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text: [c_char; 128] = [0; 128];
        // SAFETY: at most as many bytes are written as the buffer has, a NUL among them. POSIX has no other function of
        // this name on the targets that libc knows.
        let known = unsafe { libc::strerror_r(self.0, text.as_mut_ptr(), text.len()) } == 0;
        // SAFETY: all of it was NUL before, and the last byte still is, or the system has put one.
        let text = unsafe { CStr::from_ptr(text.as_ptr()) };
        match text.to_str() {
            Ok(text) if known => write!(f, "{text} (os error {})", self.0),
            _ => write!(f, "os error {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_reads_as_in_std() {
        for errno in [libc::ENOENT, libc::ENOMEM, libc::ENOSPC] {
            let theirs = std::io::Error::from_raw_os_error(errno).to_string();
            assert_eq!(Cause(errno).to_string(), theirs);
        }
    }
}
