//! Errors: an errno for programs, and a full sentence for people.

use std::borrow::Cow;
use std::fmt;

/// A failed call: the positive errno, and the call, the path, the cause and what to do about it.
#[derive(Debug, Clone)]
pub struct Error {
    pub errno: i32,
    message: Cow<'static, str>,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(errno: i32, message: impl Into<Cow<'static, str>>) -> Error {
        Error {
            errno,
            message: message.into(),
        }
    }

    pub(crate) fn cancelled() -> Error {
        Error::new(libc::ECANCELED, "the handle has been closed")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
