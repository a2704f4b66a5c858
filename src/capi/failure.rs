//! Failures: each has an errno for the program and a text for its author.
//!
//! The text of the last failure is kept for each thread, because a C function can return nothing but the errno.

use std::borrow::Cow;
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::num::NonZero;

use crate::Error;
use crate::fixed_text::FixedText;
use crate::memory::try_box;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A failure says why a call from C failed. The cause is boxed, so that the results of calls that succeed stay small.
#[derive(Debug)]
pub(crate) struct Failure {
    errno: NonZero<i32>,
    /// None where there was no memory for it.
    cause: Option<Box<Cause>>,
}

#[derive(Debug)]
enum Cause {
    /// The core has reported this error.
    Core(Error),
    /// A parameter is wrong in itself; these are its name and its fault.
    Parameter(&'static str, &'static str),
    /// The skin itself has refused the call, with this message.
    Skin(Cow<'static, str>),
}

impl Failure {
    #[cold]
    pub(crate) fn null(name: &'static str) -> Failure {
        Failure::argument(name, "is NULL")
    }

    #[cold]
    pub(crate) fn argument(name: &'static str, problem: &'static str) -> Failure {
        Failure::of(libc::EINVAL, Cause::Parameter(name, problem))
    }

    #[cold]
    pub(crate) fn new(errno: i32, message: impl Into<Cow<'static, str>>) -> Failure {
        Failure::of(errno, Cause::Skin(message.into()))
    }

    #[cold]
    pub(crate) fn cancelled() -> Failure {
        Failure::new(libc::ECANCELED, "the handle was closed during the call")
    }

    fn of(errno: i32, cause: Cause) -> Failure {
        Failure {
            errno: NonZero::new(errno).unwrap_or(NonZero::<i32>::MAX),
            cause: try_box(cause).ok(),
        }
    }

    /// Returns the errno as a positive number.
    pub(crate) fn errno(&self) -> i32 {
        self.errno.get()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause.as_deref() {
            Some(Cause::Core(error)) => error.fmt(f),
            Some(Cause::Parameter(name, problem)) => write!(f, "`{name}` {problem}"),
            Some(Cause::Skin(message)) => f.write_str(message),
            None => write!(
                f,
                "{}; there was no memory to say more",
                crate::sys::cause::Cause(self.errno())
            ),
        }
    }
}

impl From<Error> for Failure {
    #[cold]
    fn from(error: Error) -> Failure {
        Failure::of(error.errno, Cause::Core(error))
    }
}

/// The text of a failure: longer ones are cut off.
type Text = FixedText<4096>;

thread_local! {
    /// Empty until the thread's first failure. It has nothing to be dropped: to register that would take memory.
    static LAST_ERROR: UnsafeCell<Text> = const { UnsafeCell::new(Text::new()) };
}

/// Keeps the text of a failure as this thread's last one.
pub(crate) fn set_last_error(function: &str, failure: &Failure) {
    use fmt::Write as _;
    LAST_ERROR.with(|last| {
        // SAFETY: it is this thread's own, and nothing that is written here looks at it.
        let last = unsafe { &mut *last.get() };
        last.clear();
        let _ = write!(last, "{function}: {failure}");
    });
}

/// Returns the text of this thread's last failure. It is never NULL, and it lives until the next failure of this thread.
pub(crate) fn last_error() -> *const c_char {
    // SAFETY: it is this thread's own, and nobody writes to it meanwhile.
    LAST_ERROR.with(|last| unsafe { (*last.get()).as_bytes_with_nul().as_ptr().cast() })
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
