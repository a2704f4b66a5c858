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
//!      regular file.
//!   3. Nothing twice, nothing untrue. One appearance, one CREATE; no path that the entry did not have at that time.
//!   4. Renames are followed. A directory renamed inside the tree keeps its watches, and all later paths below it are
//!      right, in constant time whatever is below it. Moved out: its kernel watches are released. Moved in: it is watched
//!      and its content reported.
//!   5. Overflow is survived. After Q_OVERFLOW the library compares its tree with the disk and repairs it. With
//!      LIST_EXISTING it lists the tree again: an event flagged SYNC_BEGIN, one SYNTHETIC event for every entry there is,
//!      then SYNC_END; what was not named in between is gone. Without, SYNC_END alone says that from here on the tree is
//!      whole again. The same may come without Q_OVERFLOW, after a tangle of renames that inotify(7) leaves unclear.
//!   6. No watch disturbs another: a plain watch inside a tree, trees that overlap, hard links, bind mounts. Each hears
//!      exactly what its own mask asks for, and removing one leaves the others.
//!   7. The loop never stalls. No call that takes events works longer than about 10 ms on a scan; a large one goes on in
//!      slices, while the pollable descriptor stays readable. With BACKGROUND this holds for asyncinotify_add_recursive()
//!      too.
//!   8. Trouble is told, and contained. A directory that can't be opened, a limit reached while following: an event flagged
//!      ERROR with the errno and the path, whatever the mask; everything else goes on.
//!   9. Depth and length of paths have no limit but memory; paths longer than PATH_MAX included. The root's own end is
//!      reported by DELETE_SELF, MOVE_SELF or UNMOUNT if the mask asks for them, and by IGNORED.
//!
//! WHAT ARE ITS LIMITS
//!   Every directory takes one kernel watch (fs.inotify.max_user_watches). Symbolic links below the root are reported as
//!   entries, and not followed. What appears and is gone again before a new directory could be watched or read leaves
//!   nothing to report. A SYNTHETIC event tells that an entry is there, not each thing that happened to it before. The
//!   kernel reports nothing that happens on the far side of a network file system, and nothing for memory-mapped writes.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ops::ControlFlow;
use std::ptr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use libc::size_t;

use super::destroy::{Destroy, Retired};
use super::failure::{Failure, Result};
use super::instance::{Call, on_handle};
use super::mask::mask_from_c;
use super::pointer::{optional_output, path};
use super::types::inotify::asyncinotify;
pub use super::types::recursive::{
    asyncinotify_directory_callback, asyncinotify_filter, asyncinotify_recursive_options,
};
use super::types::watch::{asyncinotify_destroy, asyncinotify_watch};
use crate::{Filter, RecursiveFlags, RecursiveOptions, WatchId};

/// Begin by listing what is there: SYNC_BEGIN, a SYNTHETIC event for every entry, SYNC_END; and again after an overflow.
pub const ASYNCINOTIFY_RECURSIVE_LIST_EXISTING: u32 = 0x1;
/// Return at once and set up the tree in slices, by the calls that take events; SYNC_END says when it is complete.
pub const ASYNCINOTIFY_RECURSIVE_BACKGROUND: u32 = 0x2;
/// Stay on the root's file system: don't enter what is mounted below.
pub const ASYNCINOTIFY_RECURSIVE_ONE_FILESYSTEM: u32 = 0x4;

/// A filter and its userdata. Destroyed with the last owner, if the tree came to be.
struct FilterOwner {
    handle: *mut asyncinotify,
    filter: unsafe extern "C" fn(*mut asyncinotify, *const c_char, size_t, *mut c_void) -> c_int,
    userdata: *mut c_void,
    destroy: asyncinotify_destroy,
    use_of: Mutex<Use>,
    answered: Condvar,
    retired: Arc<Retired>,
}

/// Whose the userdata is, and whether it is in use.
#[derive(Default)]
struct Use {
    asking: bool,
    /// add_recursive succeeded: the userdata is ours to destroy.
    ours: bool,
    /// add_recursive failed: the userdata is the caller's again.
    given_back: bool,
}

// SAFETY: the header says that filters and destroy functions are called on whichever thread takes events; calls of the
// filter never overlap, as it is behind a FnMut.
unsafe impl Send for FilterOwner {}
// SAFETY: the same; what changes is behind a lock.
unsafe impl Sync for FilterOwner {}

impl FilterOwner {
    fn use_of(&self) -> MutexGuard<'_, Use> {
        self.use_of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, path: &CStr) -> bool {
        let mut use_of = self.use_of();
        if use_of.given_back {
            return false;
        }
        use_of.asking = true;
        drop(use_of);
        // SAFETY: the C program gave this function for this purpose; the path lives until it returns.
        let yes = unsafe {
            (self.filter)(
                self.handle,
                path.as_ptr(),
                path.count_bytes(),
                self.userdata,
            )
        };
        self.use_of().asking = false;
        self.answered.notify_all();
        yes != 0
    }

    /// The tree has come to be.
    fn keep(&self) {
        self.use_of().ours = true;
    }

    /// It has not: from here on the filter is not asked. Another thread that takes events may be asking it right now.
    fn give_back(&self) {
        let mut use_of = self.use_of();
        use_of.given_back = true;
        while use_of.asking {
            use_of = self
                .answered
                .wait(use_of)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for FilterOwner {
    fn drop(&mut self) {
        if self.use_of().ours
            && let Some(destroy) = Destroy::new(self.destroy, self.userdata)
        {
            self.retired.push(destroy);
        }
    }
}

/// Options as C gave them, and the filter's owner.
fn options(
    call: &Call,
    options: Option<asyncinotify_recursive_options>,
) -> Result<(RecursiveOptions, Option<Arc<FilterOwner>>)> {
    let Some(options) = options else {
        return Ok((
            RecursiveOptions {
                flags: RecursiveFlags::empty(),
                max_depth: 0,
                filter: None,
            },
            None,
        ));
    };
    let flags = RecursiveFlags::from_bits(options.flags)
        .ok_or_else(|| Failure::argument("opts", "has unknown bits in `flags`"))?;
    let owner = match options.filter {
        Some(filter) => Some(Arc::new(FilterOwner {
            handle: call.handle(),
            filter,
            userdata: options.filter_userdata,
            destroy: options.filter_destroy,
            use_of: Mutex::default(),
            answered: Condvar::new(),
            retired: call.retired(),
        })),
        None if options.filter_destroy.is_some() => {
            return Err(Failure::argument(
                "opts",
                "has a `filter_destroy` without a `filter`",
            ));
        }
        None => None,
    };
    let filter = owner
        .clone()
        .map(|owner| -> Filter { Box::new(move |path| owner.ask(path)) });
    Ok((
        RecursiveOptions {
            flags,
            max_depth: options.max_depth,
            filter,
        },
        owner,
    ))
}

/// The size of the first version of the options; programs compiled against it go on working.
const FIRST_SIZE: usize = size_of::<asyncinotify_recursive_options>();
/// More than any version will have: a larger `size` is not set at all.
const MAX_SIZE: usize = 4096;

/// Reads options of any version. NULL is `None`.
///
/// # Safety
/// `options` is NULL or points to as many readable bytes as its first field says.
unsafe fn read_options(
    options: *const asyncinotify_recursive_options,
) -> Result<Option<asyncinotify_recursive_options>> {
    if options.is_null() {
        return Ok(None);
    }
    if !options.is_aligned() {
        return Err(Failure::argument("opts", "is not an aligned pointer"));
    }
    // SAFETY: not NULL, aligned; the size is the one field that every version has.
    let size = unsafe { (*options).size };
    if size < FIRST_SIZE {
        return Err(Failure::argument(
            "opts",
            "has a `size` that is too small: set it to sizeof",
        ));
    }
    // Fields that this version doesn't know may be there, as long as they ask for nothing.
    let unknown_is_zero = size <= MAX_SIZE && {
        // SAFETY: `size` bytes are readable by the caller's promise.
        let bytes = unsafe { std::slice::from_raw_parts(options.cast::<u8>(), size) };
        bytes[FIRST_SIZE..].iter().all(|&byte| byte == 0)
    };
    if !unknown_is_zero {
        let message = "`opts` asks for something that this version of the library does not know";
        return Err(Failure::new(libc::E2BIG, message));
    }
    // SAFETY: readable for at least FIRST_SIZE bytes, which is this struct; any bytes are a valid one but for the
    // function pointers, which are NULL or functions by the header's demand.
    Ok(Some(unsafe { ptr::read(options) }))
}

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
///   -ENOSPC        fs.inotify.max_user_watches was reached before it returned; nothing is left behind
///   -ENOTDIR       the root is not a directory
///
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
                read_options(opts)?,
            )
        };
        let mask = mask_from_c(mask)?;
        let (options, owner) = options(call, opts)?;
        let added = call.inotify().add_recursive(path, mask, options);
        if let Some(owner) = owner {
            match added {
                Ok(_) => owner.keep(),
                Err(_) => owner.give_back(),
            }
        }
        let watch = added?;
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
        let count = call
            .inotify()
            .each_directory(WatchId::from_raw(watch), &mut |path| {
                let stop = callback.map_or(0, |callback| {
                    // SAFETY: the C program gave this function for this purpose; the path lives until it returns.
                    unsafe { callback(call.handle(), path.as_ptr(), path.count_bytes(), userdata) }
                });
                if stop == 0 && call.is_open() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
        Ok(count as isize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Options of a later version, with a tail that this one does not know.
    #[repr(C)]
    struct Later {
        known: asyncinotify_recursive_options,
        tail: [u8; 16],
    }

    fn later(size: usize, tail: u8) -> Later {
        let known = asyncinotify_recursive_options {
            size,
            flags: ASYNCINOTIFY_RECURSIVE_BACKGROUND,
            max_depth: 3,
            filter: None,
            filter_userdata: ptr::null_mut(),
            filter_destroy: None,
        };
        let mut bytes = [0; 16];
        bytes[15] = tail;
        Later { known, tail: bytes }
    }

    fn read(options: &Later) -> std::result::Result<u32, i32> {
        // SAFETY: readable for the size it says, or refused before.
        let result = unsafe { read_options(ptr::from_ref(options).cast()) };
        result
            .map(|options| options.unwrap().max_depth)
            .map_err(|failure| failure.errno())
    }

    #[test]
    fn options_of_every_version_are_read() {
        assert_eq!(read(&later(FIRST_SIZE, 0)), Ok(3));
        assert_eq!(
            read(&later(FIRST_SIZE, 1)),
            Ok(3),
            "a tail beyond `size` is not looked at"
        );
        assert_eq!(read(&later(FIRST_SIZE + 15, 1)), Ok(3));
        assert_eq!(read(&later(FIRST_SIZE + 16, 0)), Ok(3));
        assert_eq!(read(&later(FIRST_SIZE + 16, 1)), Err(libc::E2BIG));
        assert_eq!(read(&later(FIRST_SIZE - 1, 0)), Err(libc::EINVAL));
        assert_eq!(read(&later(0, 0)), Err(libc::EINVAL));
        assert_eq!(read(&later(MAX_SIZE + 1, 0)), Err(libc::E2BIG));
        assert_eq!(read(&later(usize::MAX, 0)), Err(libc::E2BIG));
    }

    #[test]
    fn no_options_are_the_defaults() {
        // SAFETY: NULL is allowed, and the unaligned pointer is refused before it is read.
        unsafe {
            assert!(read_options(ptr::null()).unwrap().is_none());
            let odd = ptr::without_provenance(0x1001);
            assert_eq!(read_options(odd).err().unwrap().errno(), libc::EINVAL);
        }
    }
}
