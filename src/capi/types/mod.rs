//! The types of the header, one file for each section that declares any.
//!
//! They lie below everything else in the skin, because everything else speaks of them. The functions and constants of a
//! section stand in the file of the same name one folder above; build.rs puts the two together.

pub mod event;
pub mod inotify;
pub mod recursive;
pub mod watch;
