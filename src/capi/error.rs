//! CONVENTIONS
//!
//! Error texts, the version, and a mask as text. See the top of this file for the rules on errors, handles, lifetimes,
//! threads and callbacks.

use std::ffi::{c_char, c_int};
use std::fmt::Write as _;

use libc::size_t;

use super::failure::{last_error, text_of};
use super::panic::boundary;
use super::pointer::put_text;
use crate::Mask;
use crate::fixed_text::FixedText;

/// A short text for an error code of this library.
///
/// @param error  what a function returned, or that number without its sign
///
/// @return a text that is never NULL, lives for ever and must not be freed; "Unknown error" for a number that no function
///   here returns
///
/// Never blocks, never fails, any thread.
/// Python: the text of OSError.
#[unsafe(no_mangle)]
pub extern "C" fn asyncinotify_strerror(error: c_int) -> *const c_char {
    text_of(error.saturating_abs()).as_ptr()
}

/// This thread's last failure in full: the function, the path, the cause, and what to do about it. For -ENOSPC and -EMFILE
/// that is the sysctl to raise and its value now.
///
/// A call that succeeds leaves it as it is, so look at it right after a failure. asyncinotify_wake() never sets it.
///
/// @return a text that is never NULL, "" when no call on this thread has failed yet; it belongs to the library and lives
///   until the next failing call on this thread, or the thread's end
///
/// Never blocks, never fails.
/// Python: str() of the exception.
#[unsafe(no_mangle)]
pub extern "C" fn asyncinotify_last_error_message() -> *const c_char {
    last_error()
}

const VERSION: [&str; 3] = [
    env!("CARGO_PKG_VERSION_MAJOR"),
    env!("CARGO_PKG_VERSION_MINOR"),
    env!("CARGO_PKG_VERSION_PATCH"),
];

/// The version of the library that is loaded, to be compared with ASYNCINOTIFY_VERSION_NUMBER, that of this header.
///
/// @return major << 16 | minor << 8 | patch
///
/// Never blocks, never fails, any thread.
/// Python: asyncinotify.__version__
#[unsafe(no_mangle)]
pub extern "C" fn asyncinotify_version() -> u32 {
    const fn number(digits: &str) -> u32 {
        match u32::from_str_radix(digits, 10) {
            Ok(number) if number < 256 => number,
            _ => panic!("a version number has to fit its byte"),
        }
    }
    const { number(VERSION[0]) << 16 | number(VERSION[1]) << 8 | number(VERSION[2]) }
}

/// The version of the library that is loaded, as text: "0.1.0".
///
/// @return a text that is never NULL, lives for ever and must not be freed
///
/// Never blocks, never fails, any thread.
/// Python: asyncinotify.__version__
#[unsafe(no_mangle)]
pub extern "C" fn asyncinotify_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Writes a mask as its bits' names, "CREATE|ISDIR". Bits without a name follow in hexadecimal, "CREATE|0x100000"; no bit
/// at all is "0".
///
/// @param mask  any bits
/// @param buf   gets the text, cut off to fit and always NUL-terminated; may be NULL when `size` is 0
/// @param size  room in `buf`, in bytes; 320 is enough for any mask
///
/// @return as snprintf(3): the length of the whole text without its NUL, so `size` or more says that it was cut off; or
///   -EINVAL  `buf` is NULL and `size` is not 0
///
/// Never blocks, any thread.
/// Python: repr() of a Mask
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_mask_format(
    mask: u32,
    buf: *mut c_char,
    size: size_t,
) -> c_int {
    boundary("asyncinotify_mask_format", || {
        let mut text = FixedText::<512>::new();
        // It never fails.
        let _ = write!(text, "{}", Mask::from_bits_retain(mask));
        // SAFETY: the header asks for room of `size` bytes.
        let length = unsafe { put_text(text.as_bytes(), buf, size) }?;
        Ok(length as c_int)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capi::failure::{Failure, set_last_error};
    use std::ffi::CStr;

    fn text(pointer: *const c_char) -> String {
        // SAFETY: both functions promise a NUL-terminated string.
        unsafe { CStr::from_ptr(pointer) }
            .to_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn strerror_takes_both_signs_and_any_number() {
        assert_eq!(text(asyncinotify_strerror(-libc::ENOMEM)), "Out of memory");
        assert_eq!(text(asyncinotify_strerror(libc::ENOMEM)), "Out of memory");
        assert_eq!(text(asyncinotify_strerror(0)), "Success");
        for unknown in [i32::MIN, i32::MAX, 4000, -4000] {
            assert_eq!(text(asyncinotify_strerror(unknown)), "Unknown error");
        }
    }

    #[test]
    fn each_thread_has_its_own_last_error() {
        std::thread::spawn(|| {
            assert_eq!(text(asyncinotify_last_error_message()), "");
            set_last_error("asyncinotify_get", &Failure::null("out"));
            std::thread::spawn(|| assert_eq!(text(asyncinotify_last_error_message()), ""))
                .join()
                .unwrap();
            assert_eq!(
                text(asyncinotify_last_error_message()),
                "asyncinotify_get: `out` is NULL"
            );
        })
        .join()
        .unwrap();
    }

    #[test]
    fn both_versions_are_the_package_version() {
        let number = asyncinotify_version();
        let (major, minor, patch) = (number >> 16, number >> 8 & 0xff, number & 0xff);
        assert_eq!(
            text(asyncinotify_version_string()),
            format!("{major}.{minor}.{patch}")
        );
        assert_eq!(
            text(asyncinotify_version_string()),
            env!("CARGO_PKG_VERSION")
        );
    }
}
