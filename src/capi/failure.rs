//! Failures: each has an errno for the program and a text for its author.
//!
//! The text of the last failure is kept for each thread, because a C function can return nothing but the errno.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int};
use std::fmt;

use crate::Error;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A failure says why a call from C failed. It is boxed, so that the results of calls that succeed stay small.
#[derive(Debug)]
pub(crate) struct Failure(Box<Cause>);

#[derive(Debug)]
enum Cause {
    /// The core has reported this error.
    Core(Error),
    /// A parameter is wrong in itself; these are its name and its fault.
    Parameter(&'static str, &'static str),
    /// The skin itself has refused the call, with this errno and this message.
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

    /// Returns the errno as a positive number.
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
    /// The text is empty until the thread's first failure, and NUL-terminated from then on. The buffer is used again, so
    /// that a later failure allocates only for a longer text.
    static LAST_ERROR: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Keeps the text of a failure as this thread's last one.
pub(crate) fn set_last_error(function: &str, failure: &Failure) {
    use std::io::Write;
    // The thread may be ending: its last error is gone then.
    let _ = LAST_ERROR.try_with(|last| {
        let mut text = last.borrow_mut();
        text.clear();
        let _ = write!(text, "{function}: {failure}");
        text.retain(|&byte| byte != 0);
        text.push(0);
    });
}

/// Returns the text of this thread's last failure. It is never NULL, and it lives until the next failure of this thread.
pub(crate) fn last_error() -> *const c_char {
    LAST_ERROR
        .try_with(|last| match &last.borrow()[..] {
            [] => c"".as_ptr(),
            text => text.as_ptr().cast(),
        })
        .unwrap_or(c"".as_ptr())
}

/// Returns a short text for a positive errno.
pub(crate) fn text_of(errno: c_int) -> &'static CStr {
    match errno {
        0 => c"Success",
        libc::EACCES => c"Permission denied",
        libc::EAGAIN => c"No event now, or no room to write, and the descriptor is non-blocking",
        libc::EBADF => c"Bad file descriptor; if it is the kernel's, it was closed behind the library's back",
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
        libc::EPIPE => c"Broken pipe",
        libc::EPERM => c"Operation not permitted",
        libc::EROFS => c"Read-only file system",
        libc::ESTALE => c"Stale file handle",
        libc::ETIMEDOUT => c"Timed out",
        libc::EXDEV => c"Invalid cross-device link",
        libc::E2BIG => c"Options from a newer version of the library than this one",
        _ => c"Unknown error",
    }
}
