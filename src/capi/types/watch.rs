//! The types of section WATCHES.

use std::ffi::c_void;

/// A watch: never 0, never used twice in the life of a process.
pub type asyncinotify_watch = u64;

/// Frees userdata. Called exactly once with the pointer it was given with, with no lock held, on whichever thread ended
/// what the userdata belonged to. It may call anything in this library.
pub type asyncinotify_destroy = Option<unsafe extern "C" fn(userdata: *mut c_void)>;
