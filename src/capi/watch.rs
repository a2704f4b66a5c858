//! WATCHES  (Python: Watch, Mask)
//!
//! A watch is named by a number that is never used again, so it can be kept after the watch has ended: using it then is
//! -ENOENT. It ends with its last event, which is IGNORED, or the one event of a ONESHOT watch. That event still has its
//! watch, path and userdata; from the moment it was taken (asyncinotify_get() has returned it, or the callback has been
//! entered) the number is stale. The IGNORED that follows a spent ONESHOT watch has watch 0.
//!
//! Masks: each constant has the value of the kernel's IN_* of the same name, so the two mix freely.
//!
//! All this is said of plain watches and holds for the recursive ones of the last section too, where not said otherwise.

use std::ffi::{c_char, c_int, c_void};

use libc::size_t;

use super::instance::on_handle;
use super::mask::mask_from_c;
use super::pointer::{array, optional_output, output, path, put_text};
use super::types::inotify::asyncinotify;
pub use super::types::watch::{asyncinotify_destroy, asyncinotify_watch};
use crate::WatchId;

// The values of <sys/inotify.h> are written out, because the header shows them as they stand here. A test compares them
// with those of libc.

/// File was accessed: read(2), execve(2).
pub const ASYNCINOTIFY_ACCESS: u32 = 0x00000001;
/// File was modified: write(2), truncate(2).
pub const ASYNCINOTIFY_MODIFY: u32 = 0x00000002;
/// Metadata changed: permissions, times, extended attributes, link count, owner.
pub const ASYNCINOTIFY_ATTRIB: u32 = 0x00000004;
/// File opened for writing was closed.
pub const ASYNCINOTIFY_CLOSE_WRITE: u32 = 0x00000008;
/// File or directory not opened for writing was closed.
pub const ASYNCINOTIFY_CLOSE_NOWRITE: u32 = 0x00000010;
/// File or directory was opened.
pub const ASYNCINOTIFY_OPEN: u32 = 0x00000020;
/// Something in the watched directory was renamed: its old name. See the event's `cookie` and `moved_from`.
pub const ASYNCINOTIFY_MOVED_FROM: u32 = 0x00000040;
/// The same: its new name.
pub const ASYNCINOTIFY_MOVED_TO: u32 = 0x00000080;
/// Something was created in the watched directory.
pub const ASYNCINOTIFY_CREATE: u32 = 0x00000100;
/// Something was deleted from the watched directory.
pub const ASYNCINOTIFY_DELETE: u32 = 0x00000200;
/// The watched file or directory itself was deleted. IGNORED follows.
pub const ASYNCINOTIFY_DELETE_SELF: u32 = 0x00000400;
/// The watched file or directory itself was moved.
pub const ASYNCINOTIFY_MOVE_SELF: u32 = 0x00000800;

/// CLOSE_WRITE | CLOSE_NOWRITE
pub const ASYNCINOTIFY_CLOSE: u32 = ASYNCINOTIFY_CLOSE_WRITE | ASYNCINOTIFY_CLOSE_NOWRITE;
/// MOVED_FROM | MOVED_TO
pub const ASYNCINOTIFY_MOVE: u32 = ASYNCINOTIFY_MOVED_FROM | ASYNCINOTIFY_MOVED_TO;
/// All twelve of the above, as IN_ALL_EVENTS; none of the flags below.
pub const ASYNCINOTIFY_ALL: u32 = 0x00000fff;

/// In events only: the file system with the watched file or directory was unmounted. IGNORED follows.
pub const ASYNCINOTIFY_UNMOUNT: u32 = 0x00002000;
/// In events only: the kernel's queue overflowed (fs.inotify.max_queued_events) and events were lost. Watch 0, wd -1. If
/// the IGNORED of a plain watch is among them, `asyncinotify_rm_watch` brings it.
pub const ASYNCINOTIFY_Q_OVERFLOW: u32 = 0x00004000;
/// In events only: the watch has ended, by asyncinotify_rm_watch() or because what it watched is gone.
pub const ASYNCINOTIFY_IGNORED: u32 = 0x00008000;
/// In events only: the subject of this event is a directory.
pub const ASYNCINOTIFY_ISDIR: u32 = 0x40000000;

/// When adding: only if the path is a directory, else -ENOTDIR.
pub const ASYNCINOTIFY_ONLYDIR: u32 = 0x01000000;
/// When adding: don't follow the path if it is a symbolic link.
pub const ASYNCINOTIFY_DONT_FOLLOW: u32 = 0x02000000;
/// When adding: no events for children that have been unlinked from the watched directory. The kernel knows it of an inode,
/// not of a watch: with several watches on one directory, recursive ones included, it holds for all of them or for none.
pub const ASYNCINOTIFY_EXCL_UNLINK: u32 = 0x04000000;
/// When adding: only if the inode is not watched yet, else -EEXIST.
pub const ASYNCINOTIFY_MASK_CREATE: u32 = 0x10000000;
/// When adding: if the inode is watched already, add to its mask instead of replacing it.
pub const ASYNCINOTIFY_MASK_ADD: u32 = 0x20000000;
/// When adding: end the watch after one event.
pub const ASYNCINOTIFY_ONESHOT: u32 = 0x80000000;

/// Watches a file or directory.
///
/// A second call for the same inode (the same path, a hard link, a symbolic link to it) is the same watch: its number is
/// returned again and its mask replaced, or added to with ASYNCINOTIFY_MASK_ADD, or -EEXIST returned with
/// ASYNCINOTIFY_MASK_CREATE; its path stays what it was. Watches below or above each other don't disturb each other.
///
/// @param self  open handle
/// @param path  what to watch: any bytes but NUL. Events' paths begin with it as it is given here: a relative path stays
///              relative. It is copied
/// @param mask  ASYNCINOTIFY_* bits: at least one event, and flags for adding
/// @param out   gets the watch; may be NULL
///
/// @return 0; or
///   -EINVAL        `self` is not an open handle, `path` is NULL, `mask` asks for no event (it is 0, or has flags such as
///                  ISDIR, ONLYDIR or ONESHOT alone), has unknown bits, or both MASK_ADD and MASK_CREATE
///   -EACCES        no permission to read what is to be watched, or to search a directory of its path
///   -EEXIST        watched already, and MASK_CREATE was given
///   -ELOOP         too many symbolic links in the path
///   -ENAMETOOLONG  the path or a part of it is longer than the kernel takes
///   -ENOENT        there is nothing at `path`
///   -ENOMEM        the kernel is out of memory
///   -ENOSPC        this user has as many watches as he may: fs.inotify.max_user_watches, or in a user namespace
///                  user.max_inotify_watches; the message names the limit that was reached
///   -ENOTDIR       not a directory, and ONLYDIR was given; or a part of the path is not one
///
/// Does not wait for events, but looks the path up, which can take time on a network file system. Any thread; takes effect
/// at once, also while another thread waits for events.
/// Python: Inotify.add_watch()
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_add_watch(
    self_: *mut asyncinotify,
    path: *const c_char,
    mask: u32,
    out: *mut asyncinotify_watch,
) -> c_int {
    on_handle("asyncinotify_add_watch", self_, |call| {
        // SAFETY: the header asks for a NUL-terminated string, and for a place for one watch or NULL.
        let (path, out) = unsafe { (self::path(path)?, optional_output(out, "out")?) };
        let watch = call.inotify().add_watch(path, mask_from_c(mask)?)?;
        out.put_first(watch.as_raw());
        Ok(0)
    })
}

/// Ends a watch, plain or recursive.
///
/// Events that were queued before it are delivered first, then an IGNORED event that still carries the watch and its path,
/// and with that the watch is gone. Removing a recursive watch takes the whole tree away.
///
/// @param self   open handle
/// @param watch  the watch
///
/// @return 0; or
///   -EINVAL  `self` is not an open handle
///   -ENOENT  no watch of this handle, or one that has ended, or has been removed before
///
/// Never blocks, except for the kernel's own time to take away the watches of a large tree. Any thread; takes effect at
/// once, also while another thread waits for events.
/// Python: Inotify.rm_watch()
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_rm_watch(
    self_: *mut asyncinotify,
    watch: asyncinotify_watch,
) -> c_int {
    on_handle("asyncinotify_rm_watch", self_, |call| {
        call.inotify().rm_watch(WatchId::from_raw(watch))?;
        Ok(0)
    })
}

/// The path of a watch: as it was given when adding it, or set since.
///
/// @param self   open handle
/// @param watch  the watch
/// @param buf    gets the path, cut off to fit and always NUL-terminated; may be NULL when `size` is 0
/// @param size   room in `buf`, in bytes
///
/// @return as snprintf(3): the length of the whole path without its NUL, so `size` or more says that it was cut off; or
///   -EINVAL  `self` is not an open handle, or `buf` is NULL and `size` is not 0
///   -ENOENT  no watch of this handle, or one that has ended
///
/// Never blocks, any thread.
/// Python: Watch.path
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_watch_path(
    self_: *mut asyncinotify,
    watch: asyncinotify_watch,
    buf: *mut c_char,
    size: size_t,
) -> isize {
    on_handle("asyncinotify_watch_path", self_, |call| {
        let path = call.inotify().watch_path(WatchId::from_raw(watch))?;
        // SAFETY: the header asks for room of `size` bytes.
        let length = unsafe { put_text(&path, buf, size) }?;
        Ok(length as isize)
    })
}

/// Corrects the path of a watch, for a program that has learned where what it watches has moved to. Nothing but the paths
/// of later events changes: the watch goes on watching what it watches. Events that were read from the kernel already keep
/// the old path.
///
/// @param self   open handle
/// @param watch  the watch
/// @param path   any bytes but NUL; copied, not looked up
///
/// @return 0; or
///   -EINVAL  `self` is not an open handle, or `path` is NULL
///   -ENOENT  no watch of this handle, or one that has ended
///
/// Never blocks, any thread.
/// Python: Watch.path = path
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_watch_set_path(
    self_: *mut asyncinotify,
    watch: asyncinotify_watch,
    path: *const c_char,
) -> c_int {
    on_handle("asyncinotify_watch_set_path", self_, |call| {
        // SAFETY: the header asks for a NUL-terminated string.
        let path = unsafe { self::path(path) }?;
        call.inotify()
            .watch_set_path(WatchId::from_raw(watch), path)?;
        Ok(0)
    })
}

/// The mask now in force: the events, and of the flags ONESHOT and EXCL_UNLINK, as /proc/self/fdinfo shows it. That is not
/// always the mask of the last call: see MASK_ADD.
///
/// @param self   open handle
/// @param watch  the watch
/// @param out    gets the mask
///
/// @return 0; or
///   -EINVAL  `self` is not an open handle, or `out` is NULL
///   -ENOENT  no watch of this handle, or one that has ended
///
/// Never blocks, any thread.
/// Python: Watch.mask
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_watch_mask(
    self_: *mut asyncinotify,
    watch: asyncinotify_watch,
    out: *mut u32,
) -> c_int {
    on_handle("asyncinotify_watch_mask", self_, |call| {
        // SAFETY: the header asks for a place for one mask.
        let out = unsafe { output(out, "out") }?;
        out.put_first(call.inotify().watch_mask(WatchId::from_raw(watch))?.bits());
        Ok(0)
    })
}

/// The kernel's watch descriptor; for a recursive watch that of the root directory.
///
/// @param self   open handle
/// @param watch  the watch
///
/// @return the descriptor, greater than 0; or
///   -EINVAL  `self` is not an open handle
///   -ENOENT  no watch of this handle, or one that has ended
///
/// Never blocks, any thread.
/// Python: Watch.wd
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_watch_wd(
    self_: *mut asyncinotify,
    watch: asyncinotify_watch,
) -> c_int {
    on_handle("asyncinotify_watch_wd", self_, |call| {
        Ok(call.inotify().watch_wd(WatchId::from_raw(watch))?)
    })
}

/// Whether a watch still watches.
///
/// @param self   open handle
/// @param watch  the watch
///
/// @return 1: yes; 0: it has ended, but its last event has not been taken yet; or
///   -EINVAL  `self` is not an open handle
///   -ENOENT  no watch of this handle, or one that has ended
///
/// Never blocks, any thread.
/// Python: watch in Inotify.watches
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_watch_is_active(
    self_: *mut asyncinotify,
    watch: asyncinotify_watch,
) -> c_int {
    on_handle("asyncinotify_watch_is_active", self_, |call| {
        Ok(call
            .inotify()
            .watch_is_active(WatchId::from_raw(watch))?
            .into())
    })
}

/// Attaches a pointer to a watch; its events and its callback get it.
///
/// `destroy` is called with it exactly once: when it is replaced by another call of this function, at once and before that
/// call returns; after the watch's last event was delivered, which is when a callback for that event has returned, or else
/// at the next call that takes events; or when the handle is closed. When this function fails nothing is attached,
/// `destroy` is not called, and the pointer stays the caller's.
///
/// @param self      open handle
/// @param watch     the watch
/// @param userdata  any value; NULL with a NULL `destroy` takes the old one away
/// @param destroy   frees it; may be NULL
///
/// @return 0; or
///   -EINVAL  `self` is not an open handle
///   -ENOENT  no watch of this handle, or one that has ended
///
/// Never blocks, any thread; but whoever replaces userdata sees to it that no other thread is using the old one.
/// Python: an attribute set on a Watch
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_watch_set_userdata(
    self_: *mut asyncinotify,
    watch: asyncinotify_watch,
    userdata: *mut c_void,
    destroy: asyncinotify_destroy,
) -> c_int {
    on_handle("asyncinotify_watch_set_userdata", self_, |call| {
        call.set_userdata(WatchId::from_raw(watch), userdata, destroy)?;
        Ok(0)
    })
}

/// The pointer attached to a watch.
///
/// @param self   open handle
/// @param watch  the watch
/// @param out    gets the pointer, NULL if none is attached; it still belongs to the watch
///
/// @return 0; or
///   -EINVAL  `self` is not an open handle, or `out` is NULL
///   -ENOENT  no watch of this handle, or one that has ended
///
/// Never blocks, any thread.
/// Python: an attribute of a Watch
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_watch_userdata(
    self_: *mut asyncinotify,
    watch: asyncinotify_watch,
    out: *mut *mut c_void,
) -> c_int {
    on_handle("asyncinotify_watch_userdata", self_, |call| {
        // SAFETY: the header asks for a place for one pointer.
        let out = unsafe { output(out, "out") }?;
        out.put_first(call.userdata(WatchId::from_raw(watch))?);
        Ok(0)
    })
}

/// All watches of a handle, plain and recursive: those that are active, and those that have ended but whose last event has
/// not been taken yet.
///
/// @param self  open handle
/// @param ids   gets the first `cap` of them, in no particular order; may be NULL when `cap` is 0
/// @param cap   room in `ids`, in watches
///
/// @return how many there are, which may be more than `cap`; or
///   -EINVAL  `self` is not an open handle, or `ids` is NULL and `cap` is not 0
///
/// Never blocks, any thread.
/// Python: Inotify.watches
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_watches(
    self_: *mut asyncinotify,
    ids: *mut asyncinotify_watch,
    cap: size_t,
) -> isize {
    on_handle("asyncinotify_watches", self_, |call| {
        // SAFETY: the header asks for room for `cap` watches.
        let ids = unsafe { array(ids, cap, "ids") }?;
        let watches = call.inotify().watches()?;
        for (index, watch) in watches.iter().take(ids.len()).enumerate() {
            ids.put(index, watch.as_raw());
        }
        Ok(watches.len() as isize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mask;

    #[test]
    fn the_masks_are_the_kernels() {
        let pairs = [
            (ASYNCINOTIFY_ACCESS, libc::IN_ACCESS),
            (ASYNCINOTIFY_MODIFY, libc::IN_MODIFY),
            (ASYNCINOTIFY_ATTRIB, libc::IN_ATTRIB),
            (ASYNCINOTIFY_CLOSE_WRITE, libc::IN_CLOSE_WRITE),
            (ASYNCINOTIFY_CLOSE_NOWRITE, libc::IN_CLOSE_NOWRITE),
            (ASYNCINOTIFY_CLOSE, libc::IN_CLOSE),
            (ASYNCINOTIFY_OPEN, libc::IN_OPEN),
            (ASYNCINOTIFY_MOVED_FROM, libc::IN_MOVED_FROM),
            (ASYNCINOTIFY_MOVED_TO, libc::IN_MOVED_TO),
            (ASYNCINOTIFY_MOVE, libc::IN_MOVE),
            (ASYNCINOTIFY_CREATE, libc::IN_CREATE),
            (ASYNCINOTIFY_DELETE, libc::IN_DELETE),
            (ASYNCINOTIFY_DELETE_SELF, libc::IN_DELETE_SELF),
            (ASYNCINOTIFY_MOVE_SELF, libc::IN_MOVE_SELF),
            (ASYNCINOTIFY_ALL, libc::IN_ALL_EVENTS),
            (ASYNCINOTIFY_UNMOUNT, libc::IN_UNMOUNT),
            (ASYNCINOTIFY_Q_OVERFLOW, libc::IN_Q_OVERFLOW),
            (ASYNCINOTIFY_IGNORED, libc::IN_IGNORED),
            (ASYNCINOTIFY_ISDIR, libc::IN_ISDIR),
            (ASYNCINOTIFY_ONLYDIR, libc::IN_ONLYDIR),
            (ASYNCINOTIFY_DONT_FOLLOW, libc::IN_DONT_FOLLOW),
            (ASYNCINOTIFY_EXCL_UNLINK, libc::IN_EXCL_UNLINK),
            (ASYNCINOTIFY_MASK_CREATE, libc::IN_MASK_CREATE),
            (ASYNCINOTIFY_MASK_ADD, libc::IN_MASK_ADD),
            (ASYNCINOTIFY_ONESHOT, libc::IN_ONESHOT),
        ];
        let mut all = 0;
        for (ours, kernel) in pairs {
            assert_eq!(ours, kernel);
            all |= ours;
        }
        assert_eq!(all, Mask::all().bits());
    }
}
