//! The types of section EVENTS.

use std::ffi::{c_char, c_int, c_void};

use libc::size_t;

use super::inotify::asyncinotify;
use super::watch::asyncinotify_watch;

/// An event. The library fills it; it may be copied as a struct, but see asyncinotify_event_dup() for what it points to.
#[repr(C)]
pub struct asyncinotify_event {
    /// The watch, 0 if there is none: for Q_OVERFLOW, and for the IGNORED after a spent ONESHOT. Python: Event.watch
    pub watch: asyncinotify_watch,
    /// The kernel's watch descriptor, -1 if there is none.
    pub wd: i32,
    /// What has happened: one of the event bits, perhaps with ISDIR. Python: Event.mask
    pub mask: u32,
    /// The same number in both halves of a rename, otherwise 0. Python: Event.cookie
    pub cookie: u32,
    /// ASYNCINOTIFY_EVENT_* bits; 0 for an event as the kernel reported it.
    pub flags: u32,
    /// A positive errno with ASYNCINOTIFY_EVENT_ERROR, otherwise 0.
    pub error: i32,
    /// Always 0.
    pub reserved0: u32,
    /// The entry's name in the watched directory; NULL if the event is about the watch itself. Bytes, NUL-terminated, in no
    /// particular encoding, as are the other strings. Python: Event.name
    pub name: *const c_char,
    /// Length of `name` in bytes, without its NUL.
    pub name_len: size_t,
    /// The full path as it was when the event happened, beginning with the path given when the watch was added; NULL if
    /// there is no watch. Python: Event.path
    pub path: *const c_char,
    /// Length of `path` in bytes, without its NUL.
    pub path_len: size_t,
    /// With MOVED_TO: the full path that it came from, if this handle has seen the MOVED_FROM with the same cookie.
    /// Otherwise NULL. Of several watches another one may have told that MOVED_FROM: then what arrives is new to this one.
    pub moved_from: *const c_char,
    /// Length of `moved_from` in bytes, without its NUL.
    pub moved_from_len: size_t,
    /// What asyncinotify_watch_set_userdata() attached to the watch, or NULL.
    pub userdata: *mut c_void,
    /// Always 0.
    pub reserved: [u64; 4],
}

/// Gets an event, by asyncinotify_dispatch() or asyncinotify_run().
///
/// @param self      the handle; it may be used, and closed
/// @param event     lives until the callback returns; its strings until then or until events are taken in the callback
/// @param userdata  the watch's for a watch's own callback, otherwise what was given to dispatch or run
///
/// @return 0 to go on; anything else stops the call after this event. Prefer positive numbers: asyncinotify_run() returns
///   it as it is
pub type asyncinotify_callback = Option<
    unsafe extern "C" fn(
        self_: *mut asyncinotify,
        event: *const asyncinotify_event,
        userdata: *mut c_void,
    ) -> c_int,
>;
