//! What a failed call is told with: the call, the path, the cause, and what a person can do about it.

use crate::error::Error;
use std::ffi::CStr;
use std::io;

#[cfg(not(simulation))]
use crate::sys::limits::{self, Refused};

/// A call of which a failure is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    InotifyInit,
    AddWatch,
    OpenDirectory,
    /// All directories of a tree: each is opened and watched.
    SetUp,
    ReadInotify,
    Eventfd,
    TimerfdCreate,
    EpollCreate,
    Fcntl,
    Poll,
    Write,
}

impl Call {
    fn name(self, errno: i32) -> &'static str {
        match self {
            Call::InotifyInit => "inotify_init1(2)",
            Call::AddWatch => "inotify_add_watch(2) on",
            // open(2) of what is there takes no room on a disk.
            Call::OpenDirectory | Call::SetUp if errno == libc::ENOSPC => "inotify_add_watch(2) on",
            Call::OpenDirectory | Call::SetUp => "open(2) of the directory",
            Call::ReadInotify => "read(2) of the inotify fd",
            Call::Eventfd => "eventfd(2)",
            Call::TimerfdCreate => "timerfd_create(2)",
            Call::EpollCreate => "epoll_create1(2)",
            Call::Fcntl => "fcntl(2)",
            Call::Poll => "poll(2)",
            Call::Write => "write(2) of the dump",
        }
    }

    /// `self` failed with `errno`, on `path` if it had one.
    #[cold]
    pub(crate) fn failed(self, errno: i32, path: Option<&CStr>) -> Error {
        let call = self.name(errno);
        let cause = io::Error::from_raw_os_error(errno);
        let on = match path {
            Some(path) => format!(" \"{}\"", path.to_bytes().escape_ascii()),
            None => String::new(),
        };
        let advice = self
            .advice(errno, path)
            .map(|text| format!(". {text}"))
            .unwrap_or_default();
        Error::new(errno, format!("{call}{on}: {cause}{advice}"))
    }

    #[cfg(simulation)]
    fn advice(self, _: i32, _: Option<&CStr>) -> Option<String> {
        None
    }

    /// What a person can do about a limit that was hit, or a permission that is missing.
    #[cfg(not(simulation))]
    fn advice(self, errno: i32, path: Option<&CStr>) -> Option<String> {
        let watches = matches!(self, Call::AddWatch | Call::OpenDirectory | Call::SetUp);
        match errno {
            libc::ENOSPC if watches => Some(limit_of_user(
                "inotify watches",
                "user.max_inotify_watches",
                "fs.inotify.max_user_watches",
            )),
            libc::EMFILE if self == Call::InotifyInit && limits::has_descriptor_left() => {
                Some(limit_of_user(
                    "inotify instances",
                    "user.max_inotify_instances",
                    "fs.inotify.max_user_instances",
                ))
            }
            libc::EMFILE => Some(limit_of_process()),
            libc::ENFILE => Some(format!(
                "The system's limit of open files is reached: raise fs.file-max{}",
                now(limits::sysctl("fs.file-max"))
            )),
            libc::EACCES => refusal(path?.to_bytes()),
            _ => None,
        }
    }
}

#[cfg(not(simulation))]
fn now(value: Option<u64>) -> String {
    value.map(|now| format!(", now {now}")).unwrap_or_default()
}

/// A user namespace has a limit of its own, beside that of the whole system. The lower one was reached.
#[cfg(not(simulation))]
fn limit_of_user(what: &str, of_namespace: &str, of_system: &str) -> String {
    let (own, whole) = (limits::sysctl(of_namespace), limits::sysctl(of_system));
    let (name, value, whose) = match (own, whole) {
        (Some(own), Some(whole)) if own < whole => {
            (of_namespace, Some(own), " in this user namespace")
        }
        _ => (of_system, whole, ""),
    };
    let wanted = value.map_or_else(
        || "N".into(),
        |now| now.max(512).saturating_mul(2).to_string(),
    );
    format!(
        "This user's limit of {what}{whose} is reached: raise {name}{}, to {wanted} say (sysctl -w {name}={wanted})",
        now(value)
    )
}

#[cfg(not(simulation))]
fn limit_of_process() -> String {
    format!(
        "This process has as many open files as it may: raise RLIMIT_NOFILE{} (ulimit -n)",
        now(limits::descriptors())
    )
}

#[cfg(not(simulation))]
fn refusal(path: &[u8]) -> Option<String> {
    let quoted = |path: &[u8]| format!("\"{}\"", path.escape_ascii());
    Some(match limits::refused(path)? {
        Refused::Search(directory) => format!(
            "{} may not be searched (execute permission is missing)",
            quoted(&directory)
        ),
        Refused::Read => format!(
            "{} may not be read, and a watch needs read permission on what is watched",
            quoted(path)
        ),
    })
}
