//! What a failed call is told with: the call, the path, the cause, and what a person can do about it.

use crate::error::Error;
use crate::memory::Room;
use crate::sys::cause::Cause;
use std::borrow::Cow;
use std::ffi::CStr;
use std::fmt::{self, Write as _};

#[cfg(not(simulation))]
use crate::sys::limits::{self, Refused, Sysctl};

/// A text like that of `format!`. Where there is no memory for it, or it would be very long, the rest is left out.
macro_rules! text {
    ($($what:tt)+) => {
        $crate::advice::written(format_args!($($what)+))
    };
}
pub(crate) use text;

pub(crate) fn written(what: fmt::Arguments<'_>) -> Cow<'static, str> {
    let mut text = Text(Vec::new());
    // It never fails.
    let _ = text.write_fmt(what);
    String::from_utf8(text.0).map_or("there was no memory for the text".into(), Cow::Owned)
}

struct Text(Vec<u8>);

impl Text {
    /// More is not read by anyone.
    const LONGEST: usize = 6000;
}

impl fmt::Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = Text::LONGEST.saturating_sub(self.0.len());
        let mut fits = more.len().min(room);
        while !more.is_char_boundary(fits) {
            fits -= 1;
        }
        if self.0.make_room(fits).is_ok() {
            self.0.extend_from_slice(&more.as_bytes()[..fits]);
        }
        Ok(())
    }
}

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
        let (call, cause) = (self.name(errno), Cause(errno));
        let on = match path {
            Some(path) => text!(" \"{}\"", path.to_bytes().escape_ascii()),
            None => "".into(),
        };
        let text = match self.advice(errno, path) {
            Some(advice) => text!("{call}{on}: {cause}. {advice}"),
            None => text!("{call}{on}: {cause}"),
        };
        Error::new(errno, text)
    }

    #[cfg(simulation)]
    fn advice(self, _: i32, _: Option<&CStr>) -> Option<Cow<'static, str>> {
        None
    }

    /// What a person can do about a limit that was hit, or a permission that is missing.
    #[cfg(not(simulation))]
    fn advice(self, errno: i32, path: Option<&CStr>) -> Option<Cow<'static, str>> {
        let watches = matches!(self, Call::AddWatch | Call::OpenDirectory | Call::SetUp);
        match errno {
            libc::ENOSPC if watches => Some(limit_of_user(
                "inotify watches",
                Sysctl::NAMESPACE_WATCHES,
                Sysctl::USER_WATCHES,
            )),
            libc::EMFILE if self == Call::InotifyInit && limits::has_descriptor_left() => {
                Some(limit_of_user(
                    "inotify instances",
                    Sysctl::NAMESPACE_INSTANCES,
                    Sysctl::USER_INSTANCES,
                ))
            }
            libc::EMFILE => Some(limit_of_process()),
            libc::ENFILE => Some(text!(
                "The system's limit of open files is reached: raise {}{}",
                Sysctl::FILES.name(),
                Now(Sysctl::FILES.value())
            )),
            libc::EACCES => refusal(path?.to_bytes()),
            _ => None,
        }
    }
}

/// The value of a limit, if it is known.
#[cfg(not(simulation))]
struct Now(Option<u64>);

#[cfg(not(simulation))]
impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |now| write!(f, ", now {now}"))
    }
}

/// A user namespace has a limit of its own, beside that of the whole system. The lower one was reached.
#[cfg(not(simulation))]
fn limit_of_user(what: &str, of_namespace: Sysctl, of_system: Sysctl) -> Cow<'static, str> {
    let (own, whole) = (of_namespace.value(), of_system.value());
    let (name, value, whose) = match (own, whole) {
        (Some(own), Some(whole)) if own < whole => {
            (of_namespace.name(), Some(own), " in this user namespace")
        }
        _ => (of_system.name(), whole, ""),
    };
    let wanted = match value {
        Some(now) => text!("{}", now.max(512).saturating_mul(2)),
        None => "N".into(),
    };
    let now = Now(value);
    text!(
        "This user's limit of {what}{whose} is reached: raise {name}{now}, to {wanted} say (sysctl -w {name}={wanted})"
    )
}

#[cfg(not(simulation))]
fn limit_of_process() -> Cow<'static, str> {
    let now = Now(limits::descriptors());
    text!("This process has as many open files as it may: raise RLIMIT_NOFILE{now} (ulimit -n)")
}

#[cfg(not(simulation))]
fn refusal(path: &[u8]) -> Option<Cow<'static, str>> {
    Some(match limits::refused(path)? {
        Refused::Search(directory) => text!(
            "\"{}\" may not be searched (execute permission is missing)",
            directory.escape_ascii()
        ),
        Refused::Read => text!(
            "\"{}\" may not be read, and a watch needs read permission on what is watched",
            path.escape_ascii()
        ),
    })
}
