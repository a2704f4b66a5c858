//! The types of section RECURSIVE WATCHES.

use std::ffi::{c_char, c_int, c_void};

use libc::size_t;

use super::inotify::asyncinotify;
use super::watch::asyncinotify_destroy;

/// Decides whether a directory is to be watched. Asked once for each directory below the root, whenever it is found, so
/// inside asyncinotify_add_recursive() and inside the calls that take events; never for the root.
///
/// @param self      the handle; it may be used, and closed
/// @param path      the directory's full path, NUL-terminated; lives until the filter returns
/// @param path_len  its length in bytes, without its NUL
/// @param userdata  `filter_userdata` of the options
///
/// @return non-zero: watch it; 0: neither it nor anything below it, and no kernel watch is spent on it
pub type asyncinotify_filter = Option<
    unsafe extern "C" fn(
        self_: *mut asyncinotify,
        path: *const c_char,
        path_len: size_t,
        userdata: *mut c_void,
    ) -> c_int,
>;

/// Gets a directory, by asyncinotify_watch_each_directory().
///
/// @param self      the handle; it may be used, and closed
/// @param path      the directory's full path, NUL-terminated; lives until the callback returns
/// @param path_len  its length in bytes, without its NUL
/// @param userdata  what was given to asyncinotify_watch_each_directory()
///
/// @return 0 to go on; anything else stops it
pub type asyncinotify_directory_callback = Option<
    unsafe extern "C" fn(
        self_: *mut asyncinotify,
        path: *const c_char,
        path_len: size_t,
        userdata: *mut c_void,
    ) -> c_int,
>;

/// Gets a directory that can't be watched, by asyncinotify_watch_each_trouble().
///
/// @param self      the handle; it may be used, and closed
/// @param path      the directory's full path, NUL-terminated; lives until the callback returns
/// @param path_len  its length in bytes, without its NUL
/// @param error     why it could not be watched when it was tried last: a positive errno
/// @param userdata  what was given to asyncinotify_watch_each_trouble()
///
/// @return 0 to go on; anything else stops it
pub type asyncinotify_trouble_callback = Option<
    unsafe extern "C" fn(
        self_: *mut asyncinotify,
        path: *const c_char,
        path_len: size_t,
        error: c_int,
        userdata: *mut c_void,
    ) -> c_int,
>;

/// Options for asyncinotify_add_recursive(). Set all of it to 0, then `size`, then what is wanted:
///
/// ```c
///     asyncinotify_recursive_options options = {0};
///     options.size = sizeof options;
/// ```
#[repr(C)]
pub struct asyncinotify_recursive_options {
    /// sizeof(asyncinotify_recursive_options): tells the library which fields the program knows of.
    pub size: size_t,
    /// ASYNCINOTIFY_RECURSIVE_* bits.
    pub flags: u32,
    /// How many levels are watched: 1 is the root directory alone, 2 its subdirectories too; 0 is no limit.
    pub max_depth: u32,
    /// Asked for each directory; NULL watches them all.
    pub filter: asyncinotify_filter,
    /// Passed to `filter`.
    pub filter_userdata: *mut c_void,
    /// Frees `filter_userdata`, exactly once, when the tree has ended and the filter won't be asked again; may be NULL.
    pub filter_destroy: asyncinotify_destroy,
}
