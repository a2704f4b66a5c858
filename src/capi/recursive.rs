//! RECURSIVE WATCHES  (Python: RecursiveWatcher, RecursiveInotify)
//!
//! A recursive watch follows a directory and all directories below it, those to come included. It has one number and one
//! userdata, events carry that number and their full path, and it lives in the same instance beside plain watches.
//!
//! WHAT IS GUARANTEED
//!   1. Nothing is missed. What comes to be in the tree, however fast (mkdir -p, a directory moved in, an archive unpacked
//!      by eight processes), is reported: by the kernel's event, or by a SYNTHETIC one where it was there before the watch
//!      could be. What leaves is reported by DELETE, MOVED_FROM, or that of a directory above it.
//!   2. For any mask. Events are delivered only if the mask asks for them, and those that it asks for are complete: with
//!      CLOSE_WRITE alone every file that was written is named. A SYNTHETIC event is what the entry's appearing would have
//!      caused, as far as the mask asks for it: CREATE (with ISDIR for a directory), and CLOSE_WRITE and MODIFY for a
//!      regular file. Without MOVED_TO in the mask it also tells of what is renamed out of a directory that could not be
//!      watched yet. With a limit of the depth, a directory that is renamed to another level keeps what was told of it,
//!      and what comes within the limit is new.
//!   3. Nothing twice, nothing untrue. One appearance, one CREATE; no path that the entry did not have at that time.
//!   4. Renames are followed. A directory renamed inside the tree keeps its watches, and all later paths below it are
//!      right, in constant time whatever is below it. Moved out: its kernel watches are released. Moved in: it is watched
//!      and its content reported.
//!   5. Overflow is survived. After Q_OVERFLOW the library compares its tree with the disk and repairs it. With
//!      LIST_EXISTING it lists the tree again: an event flagged SYNC_BEGIN, then every entry, then SYNC_END. In between,
//!      each entry that is there at the end is named once since it last appeared, by a CREATE (SYNTHETIC or the kernel's)
//!      or by MOVED_TO; what moves with a renamed directory counts as named; what was not named is gone. Another SYNC_BEGIN
//!      begins anew, and one SYNC_END ends it. Without LIST_EXISTING, SYNC_END alone says that from here on the tree is
//!      whole again. The same may come without Q_OVERFLOW, after a tangle of renames that inotify(7) leaves unclear.
//!   6. No watch disturbs another: a plain watch inside a tree, trees that overlap, hard links, bind mounts. Each hears
//!      exactly what its own mask asks for, and removing one leaves the others.
//!   7. The loop never stalls. No call that takes events works longer than about 10 ms on a scan; a large one goes on in
//!      slices, while the pollable descriptor stays readable. With BACKGROUND this holds for asyncinotify_add_recursive()
//!      too.
//!   8. Trouble is told, contained, and heals. A directory that can't be opened, a limit reached while following: an event
//!      flagged ERROR with the errno and the path, whatever the mask. Nothing below that directory is watched then;
//!      everything else goes on. It is tried again: after EACCES when the permissions of a watched directory from the root
//!      down to it change; after ENOSPC, EMFILE, ENFILE and ENOMEM after a while that doubles from 0.1 s to 5 s, for which
//!      a timer makes the pollable descriptor readable, and besides when something happens, at most once each 10 ms. (The
//!      timer stands in for permissions that the kernel does not tell of, as those of the root.) A directory that
//!      changes under 32 tries to watch it, as somebody renames it on and on, or in which names are exchanged on and on,
//!      so that a repair (5) can't end, gets ERROR with EAGAIN, and is tried again when something happens in its parent;
//!      neither asyncinotify_add_recursive() nor SYNC_END waits for it. Once a directory is watched, its content is told
//!      as that of a new one, and an event flagged HEALED follows. Where a whole tree is compared with the disk (5),
//!      what can't be watched is told anew.
//!   9. Depth and length of paths have no limit but memory; paths longer than PATH_MAX included. The root's own end is
//!      reported by DELETE_SELF, MOVE_SELF or UNMOUNT if the mask asks for them, and by IGNORED.
//!
//! WHAT ARE ITS LIMITS
//!   Every directory takes one kernel watch (fs.inotify.max_user_watches). Symbolic links below the root are reported as
//!   entries, and not followed. What appears and is gone again before a new directory could be watched or read leaves
//!   nothing to report. A SYNTHETIC event tells that an entry is there, not each thing that happened to it before. The
//!   kernel reports nothing that happens on the far side of a network file system, and nothing for memory-mapped writes.
//!   The library lists directories, and does not report its own reading: where a mask asks for OPEN, ACCESS or
//!   CLOSE_NOWRITE, the reading of the same directory by another process may be missing while that lasts. Without /proc a
//!   directory is watched by its path, which is compared before and after; a swap there and back in between goes unseen,
//!   and a path longer than PATH_MAX can't be watched (ENAMETOOLONG).

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ops::ControlFlow;

use super::instance::{Call, on_handle};
use super::mask::mask_from_c;
use super::pointer::{optional_output, path};
use super::types::inotify::asyncinotify;
pub use super::types::recursive::{
    asyncinotify_directory_callback, asyncinotify_filter, asyncinotify_recursive_options,
    asyncinotify_trouble_callback,
};
use super::types::watch::asyncinotify_watch;
use super::{filter, options};
use crate::WatchId;

/// Begin by listing what is there: SYNC_BEGIN, a SYNTHETIC event for every entry, SYNC_END; and again after an overflow.
pub const ASYNCINOTIFY_RECURSIVE_LIST_EXISTING: u32 = 0x1;
/// Return at once and set up the tree in slices, by the calls that take events; SYNC_END says when it is complete.
pub const ASYNCINOTIFY_RECURSIVE_BACKGROUND: u32 = 0x2;
/// Stay on the root's file system: don't enter what is mounted below.
pub const ASYNCINOTIFY_RECURSIVE_ONE_FILESYSTEM: u32 = 0x4;

/// Watches a directory and everything below it.
///
/// Returns when the whole tree is watched, unless BACKGROUND is given. Ends like any other watch: by
/// asyncinotify_rm_watch(), or when the root is gone.
///
/// `filter_destroy` is called exactly once if this returns 0, and never if it fails: then `filter_userdata` stays the
/// caller's, and the filter is not asked any more.
///
/// @param self  open handle
/// @param path  the root directory: any bytes but NUL, of any length. Events' paths begin with it as it is given here. It
///              is copied. A symbolic link is followed, unless `mask` has DONT_FOLLOW
/// @param mask  ASYNCINOTIFY_* bits: at least one event, and of the flags ONLYDIR, DONT_FOLLOW and EXCL_UNLINK
/// @param opts  NULL for the defaults: no listing, in the foreground, across file systems, no limit, no filter; copied
/// @param out   gets the watch; may be NULL. Another thread may take events of the tree before it is written
///
/// @return 0; or
///   -EINVAL        `self` is not an open handle, `path` is NULL, `mask` has no event or other bits than these, `opts`
///                  has a `size` that is too small, unknown flags, or a `filter_destroy` without a `filter`
///   -E2BIG         `opts` has a larger `size` than this version knows, with something in the unknown part that is not 0
///   -EACCES        no permission to read the root, or to search a directory of its path
///   -ELOOP         too many symbolic links in the path, or the root is one and DONT_FOLLOW was given
///   -EMFILE        the process has too many open files
///   -ENAMETOOLONG  a part of the path is longer than the kernel takes
///   -ENFILE        the system has too many open files
///   -ENOENT        there is nothing at `path`
///   -ENOMEM        no memory
///   -ENOSPC        the limit of watches was reached before it returned, as for asyncinotify_add_watch(); nothing is left
///                  behind
///   -ENOTDIR       the root is not a directory
///
/// The first tree of a handle takes one descriptor for good: a timer for directories that are to be tried again.
/// Blocks for the time it takes to read the tree, some 10 µs a directory; with BACKGROUND only for the root. Any thread;
/// other threads may go on taking events meanwhile.
/// Python: RecursiveWatcher(path, mask), RecursiveInotify.add_recursive_watch()
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_add_recursive(
    self_: *mut asyncinotify,
    path: *const c_char,
    mask: u32,
    opts: *const asyncinotify_recursive_options,
    out: *mut asyncinotify_watch,
) -> c_int {
    on_handle("asyncinotify_add_recursive", self_, |call| {
        // SAFETY: the header asks for a NUL-terminated string, a place for one watch or NULL, and options or NULL.
        let (path, out, opts) = unsafe {
            (
                self::path(path)?,
                optional_output(out, "out")?,
                options::read(opts)?,
            )
        };
        let mask = mask_from_c(mask)?;
        let (options, filter) = options::to_core(&opts, call)?;
        let added = call.inotify().add_recursive(path, mask, options);
        let watch = filter::settle(filter, added)?;
        out.put_first(watch.as_raw());
        Ok(0)
    })
}

/// Lists the directories that a recursive watch watches now, the root included, parents before their children.
///
/// @param self      open handle
/// @param watch     the recursive watch
/// @param callback  called for each, until it returns anything but 0; NULL only counts
/// @param userdata  passed to `callback`
///
/// @return how many were listed; or
///   -EINVAL  `self` is not an open handle, or `watch` is not recursive
///   -ENOENT  no watch of this handle, or one that has ended
///   -ENOMEM  no memory
///
/// A tree that changes meanwhile, or whose scan is under way, is listed as far as it is known. Never blocks, any thread.
/// Python: Inotify.watches, of a recursive one
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_watch_each_directory(
    self_: *mut asyncinotify,
    watch: asyncinotify_watch,
    callback: asyncinotify_directory_callback,
    userdata: *mut c_void,
) -> isize {
    on_handle("asyncinotify_watch_each_directory", self_, |call| {
        let mut tell = |path: &CStr| {
            // SAFETY: the C program gave this function for this purpose; the path lives until it returns.
            let stop = callback.map_or(0, |callback| unsafe {
                callback(call.handle(), path.as_ptr(), path.count_bytes(), userdata)
            });
            go_on(call, stop)
        };
        let watch = WatchId::from_raw(watch);
        let count = call.inotify().each_directory(watch, &mut tell)?;
        Ok(count as isize)
    })
}

/// Lists the directories of a recursive watch that can't be watched now: those of which ERROR has told, and HEALED has not.
///
/// @param self      open handle
/// @param watch     the recursive watch
/// @param callback  called for each, until it returns anything but 0; NULL only counts
/// @param userdata  passed to `callback`
///
/// @return how many were listed; or
///   -EINVAL  `self` is not an open handle, or `watch` is not recursive
///   -ENOENT  no watch of this handle, or one that has ended
///   -ENOMEM  no memory
///
/// Nothing below such a directory is watched. If the root is among them, the tree can't be compared with the disk until it
/// can be reached again, and what is watched goes on. Never blocks, any thread.
/// Python: no counterpart
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_watch_each_trouble(
    self_: *mut asyncinotify,
    watch: asyncinotify_watch,
    callback: asyncinotify_trouble_callback,
    userdata: *mut c_void,
) -> isize {
    on_handle("asyncinotify_watch_each_trouble", self_, |call| {
        let mut tell = |path: &CStr, error: c_int| {
            // SAFETY: the C program gave this function for this purpose; the path lives until it returns.
            let stop = callback.map_or(0, |callback| unsafe {
                let len = path.count_bytes();
                callback(call.handle(), path.as_ptr(), len, error, userdata)
            });
            go_on(call, stop)
        };
        let watch = WatchId::from_raw(watch);
        let count = call.inotify().each_trouble(watch, &mut tell)?;
        Ok(count as isize)
    })
}

/// What a callback has said. It may have closed the handle.
fn go_on(call: &Call, stop: c_int) -> ControlFlow<()> {
    match stop == 0 && call.is_open() {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecursiveFlags;

    #[test]
    fn flags_are_the_cores() {
        assert_eq!(
            ASYNCINOTIFY_RECURSIVE_LIST_EXISTING,
            RecursiveFlags::LIST_EXISTING.bits()
        );
        assert_eq!(
            ASYNCINOTIFY_RECURSIVE_BACKGROUND,
            RecursiveFlags::BACKGROUND.bits()
        );
        assert_eq!(
            ASYNCINOTIFY_RECURSIVE_ONE_FILESYSTEM,
            RecursiveFlags::ONE_FILESYSTEM.bits()
        );
    }
}
