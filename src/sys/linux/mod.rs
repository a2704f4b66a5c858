//! The kernel as it is: inotify, directories, the clock.

pub(crate) mod clock;
pub(crate) mod directory;
pub(crate) mod inotify;
