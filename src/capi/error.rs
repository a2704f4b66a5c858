//! CONVENTIONS
//!
//! Error texts, the version, and a mask as text. See the top of this file for the rules on errors, handles, lifetimes,
//! threads and callbacks.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int};
use std::fmt;

use libc::size_t;

use super::panic::boundary;
use super::pointer::put_text;
use crate::{Error, Mask};

/// Why a call from C failed. Boxed, so that the results of calls that succeed stay small.
#[derive(Debug)]
pub(crate) struct Failure(Box<Cause>);

#[derive(Debug)]
enum Cause {
    /// The core said so.
    Core(Error),
    /// A parameter that is wrong in itself: its name, and what is wrong.
    Parameter(&'static str, &'static str),
    /// Anything else that only the skin knows of.
    Skin(i32, Cow<'static, str>),
}

impl Failure {
    #[cold]
    pub(crate) fn null(name: &'static str) -> Failure {
        Failure::argument(name, "is NULL")
    }

    #[cold]
    pub(crate) fn argument(name: &'static str, problem: &'static str) -> Failure {
        Failure(Box::new(Cause::Parameter(name, problem)))
    }

    #[cold]
    pub(crate) fn new(errno: i32, message: impl Into<Cow<'static, str>>) -> Failure {
        Failure(Box::new(Cause::Skin(errno, message.into())))
    }

    #[cold]
    pub(crate) fn cancelled() -> Failure {
        Failure::new(libc::ECANCELED, "the handle was closed during the call")
    }

    /// Positive.
    pub(crate) fn errno(&self) -> i32 {
        match &*self.0 {
            Cause::Core(error) => error.errno,
            Cause::Parameter(..) => libc::EINVAL,
            Cause::Skin(errno, _) => *errno,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Cause::Core(error) => error.fmt(f),
            Cause::Parameter(name, problem) => write!(f, "`{name}` {problem}"),
            Cause::Skin(_, message) => f.write_str(message),
        }
    }
}

impl From<Error> for Failure {
    #[cold]
    fn from(error: Error) -> Failure {
        Failure(Box::new(Cause::Core(error)))
    }
}

thread_local! {
    /// NUL-terminated once there was a failure. The buffer is kept, so that a failure costs no allocation once warm.
    static LAST_ERROR: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn set_last_error(function: &str, failure: &Failure) {
    use std::io::Write;
    // A thread that is ending has no last error any more.
    let _ = LAST_ERROR.try_with(|last| {
        let mut text = last.borrow_mut();
        text.clear();
        let _ = write!(text, "{function}: {failure}");
        text.retain(|&byte| byte != 0);
        text.push(0);
    });
}

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
    LAST_ERROR
        .try_with(|last| match &last.borrow()[..] {
            [] => c"".as_ptr(),
            text => text.as_ptr().cast(),
        })
        .unwrap_or(c"".as_ptr())
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
        let text = Mask::from_bits_retain(mask).to_string();
        // SAFETY: the header asks for room of `size` bytes.
        let length = unsafe { put_text(text.as_bytes(), buf, size) }?;
        Ok(length as c_int)
    })
}

fn text_of(errno: c_int) -> &'static CStr {
    match errno {
        0 => c"Success",
        libc::EACCES => c"Permission denied",
        libc::EAGAIN => c"No event now, and the instance is non-blocking",
        libc::EBADF => c"The kernel's descriptor has been closed behind the library's back",
        libc::EBUSY => c"Another thread is taking events from this handle",
        libc::ECANCELED => c"The handle was closed during the call",
        libc::EEXIST => c"Already watched, and MASK_CREATE asks that it isn't",
        libc::EFAULT => c"Bad address",
        libc::EFBIG => c"File too large",
        libc::EINTR => c"Interrupted by asyncinotify_wake() or a signal",
        libc::EINVAL => c"Invalid argument, or a handle that is not open",
        libc::EIO => c"Input/output error",
        libc::EISDIR => c"Is a directory",
        libc::ELOOP => c"Too many levels of symbolic links",
        libc::EMFILE => c"Too many inotify instances (fs.inotify.max_user_instances) or open files (RLIMIT_NOFILE)",
        libc::ENAMETOOLONG => c"File name too long",
        libc::ENFILE => c"Too many open files in the system (fs.file-max)",
        libc::ENODEV => c"No such device",
        libc::ENOENT => c"No such file or directory, or no such watch",
        libc::ENOMEM => c"Out of memory",
        libc::ENOSPC => c"Too many inotify watches (fs.inotify.max_user_watches)",
        libc::ENOSYS => c"Function not implemented by this kernel",
        libc::ENOTDIR => c"Not a directory",
        libc::ENOTRECOVERABLE => c"A bug in libasyncinotify; see asyncinotify_last_error_message()",
        libc::ENXIO => c"No such device or address",
        libc::EOPNOTSUPP => c"Operation not supported",
        libc::EOVERFLOW => c"Value too large",
        libc::EPERM => c"Operation not permitted",
        libc::EROFS => c"Read-only file system",
        libc::ESTALE => c"Stale file handle",
        libc::ETIMEDOUT => c"Timed out",
        libc::EXDEV => c"Invalid cross-device link",
        libc::E2BIG => c"Options from a newer version of the library than this one",
        _ => c"Unknown error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
