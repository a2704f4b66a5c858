//! Errors: an errno for programs, and a full sentence for people.

use std::ffi::CStr;
use std::fmt;
use std::io;

/// A failed call: the positive errno, and the call, the path, the cause and what to do about it.
#[derive(Debug, Clone)]
pub struct Error {
    pub errno: i32,
    message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(errno: i32, message: impl Into<String>) -> Error {
        Error {
            errno,
            message: message.into(),
        }
    }

    /// `call` failed with `errno`, on `path` if it had one.
    pub(crate) fn of_call(errno: i32, call: &str, path: Option<&CStr>) -> Error {
        let cause = io::Error::from_raw_os_error(errno);
        let on = match path {
            Some(path) => format!(" \"{}\"", path.to_bytes().escape_ascii()),
            None => String::new(),
        };
        let advice = advice(errno)
            .map(|text| format!(". {text}"))
            .unwrap_or_default();
        Error::new(errno, format!("{call}{on}: {cause}{advice}"))
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

/// What a person can do about a limit that was hit.
fn advice(errno: i32) -> Option<String> {
    match errno {
        libc::ENOSPC => Some(format!(
            "The limit of inotify watches for this user is reached: raise fs.inotify.max_user_watches, now {} \
             (sysctl -w fs.inotify.max_user_watches=N)",
            sysctl("max_user_watches")
        )),
        libc::EMFILE => Some(format!(
            "Either the limit of inotify instances for this user is reached: raise fs.inotify.max_user_instances, \
             now {} (sysctl -w fs.inotify.max_user_instances=N); or that of open files for this process: raise \
             RLIMIT_NOFILE (ulimit -n)",
            sysctl("max_user_instances")
        )),
        libc::ENFILE => {
            Some("The system's limit of open files is reached: raise fs.file-max".into())
        }
        libc::EACCES => Some("A watch needs read permission on what is watched".into()),
        _ => None,
    }
}

fn sysctl(name: &str) -> String {
    match std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")) {
        Ok(value) => value.trim().to_owned(),
        Err(_) => "unknown".to_owned(),
    }
}
