//! The C ABI as the tests call it, with events copied into values of Rust.
//!
//! SAFETY of all calls here: pointers are valid for the call, strings are NUL-terminated, userdata is what the callback
//! expects, and the handle is checked by the library itself.

#![allow(clippy::undocumented_unsafe_blocks)]

use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::thread::yield_now;
use std::time::{Duration, Instant};

use super::told::Told;
pub use super::told::text;
use c::*;

/// The exported functions and their types.
pub mod c {
    pub use ::asyncinotify::capi::inotify::asyncinotify;
    pub use ::asyncinotify::capi::{error::*, event::*, inotify::*, recursive::*, watch::*};
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub watch: u64,
    pub wd: i32,
    pub mask: u32,
    pub cookie: u32,
    pub flags: u32,
    pub error: i32,
    pub name: Option<Vec<u8>>,
    pub path: Option<Vec<u8>>,
    pub moved_from: Option<Vec<u8>>,
    pub userdata: usize,
}

impl Event {
    pub fn has(&self, bits: u32) -> bool {
        self.mask & bits != 0
    }

    pub fn flagged(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    pub fn path_text(&self) -> String {
        text(&self.path)
    }

    /// As the oracle judges it.
    pub fn told(&self) -> Told {
        Told {
            watch: self.watch,
            wd: self.wd,
            mask: self.mask,
            cookie: self.cookie,
            flags: self.flags,
            error: self.error,
            name: self.name.clone(),
            path: self.path.clone(),
            moved_from: self.moved_from.clone(),
        }
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mask = super::masks::format(self.mask);
        write!(
            f,
            "watch {} wd {} {mask} {}",
            self.watch,
            self.wd,
            self.path_text()
        )?;
        if self.cookie != 0 {
            write!(f, " cookie {}", self.cookie)?;
        }
        if self.moved_from.is_some() {
            write!(f, " (from {})", text(&self.moved_from))?;
        }
        if self.flags != 0 {
            write!(f, " flags {:#x}", self.flags)?;
        }
        if self.error != 0 {
            write!(f, " error {}", self.error)?;
        }
        Ok(())
    }
}

/// An empty struct for the library to fill.
pub fn blank() -> asyncinotify_event {
    // SAFETY: integers and pointers: all zero is a value of each.
    unsafe { std::mem::zeroed() }
}

/// # Safety
/// `event` was filled by the library and its strings are still valid.
pub unsafe fn owned(event: &asyncinotify_event) -> Event {
    let copy = |start: *const c_char, length: usize, what: &str| {
        if start.is_null() {
            assert_eq!(length, 0, "{what} is NULL but has a length");
            return None;
        }
        // SAFETY: NUL-terminated while the event is valid.
        let bytes = unsafe { CStr::from_ptr(start) }.to_bytes().to_vec();
        assert_eq!(
            bytes.len(),
            length,
            "{what}_len is not the length of {what}"
        );
        Some(bytes)
    };
    let event = Event {
        watch: event.watch,
        wd: event.wd,
        mask: event.mask,
        cookie: event.cookie,
        flags: event.flags,
        error: event.error,
        name: copy(event.name, event.name_len, "name"),
        path: copy(event.path, event.path_len, "path"),
        moved_from: copy(event.moved_from, event.moved_from_len, "moved_from"),
        userdata: event.userdata as usize,
    };
    if let Some(name) = &event.name {
        let path = event
            .path
            .as_ref()
            .expect("an event with a name has a path");
        let parent = path
            .strip_suffix(&name[..])
            .expect("the path ends with the name");
        assert!(
            parent.is_empty() || parent.ends_with(b"/"),
            "{event}: name is not the last component"
        );
        assert!(!name.contains(&b'/'), "{event}: a name is one component");
    }
    event
}

const PATIENCE: Duration = Duration::from_millis(super::PATIENCE_MS as u64);

pub type Counted = Result<usize, i32>;

fn counted(result: isize) -> Counted {
    if result < 0 {
        Err(-result as i32)
    } else {
        Ok(result as usize)
    }
}

/// A handle. As freely copied as the C pointer that it is; whoever opened it closes it.
#[derive(Clone, Copy)]
pub struct Handle(pub *mut asyncinotify);

// SAFETY: any function may be called on a handle from any thread.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    pub fn open(flags: u32) -> Handle {
        let mut handle = ptr::null_mut();
        let start = Instant::now();
        loop {
            match unsafe { asyncinotify_new(flags, &mut handle) } {
                0 => return Handle(handle),
                // All tests of this user share one limit, and some try what happens at it.
                error if error == -libc::EMFILE && start.elapsed() < PATIENCE => yield_now(),
                _ => panic!("asyncinotify_new: {}", last_message()),
            }
        }
    }

    pub fn close(self) {
        unsafe { asyncinotify_close(self.0) }
    }

    pub fn fd(self) -> RawFd {
        unsafe { asyncinotify_fd(self.0) }
    }

    pub fn raw_fd(self) -> RawFd {
        unsafe { asyncinotify_raw_fd(self.0) }
    }

    pub fn set_cache_size(self, events: usize) {
        assert_eq!(unsafe { asyncinotify_set_cache_size(self.0, events) }, 0);
    }

    pub fn set_sync_timeout(self, milliseconds: i32) {
        assert_eq!(
            unsafe { asyncinotify_set_sync_timeout(self.0, milliseconds) },
            0
        );
    }

    pub fn wake(self) {
        assert_eq!(unsafe { asyncinotify_wake(self.0) }, 0);
    }

    pub fn add_watch(self, path: &CStr, mask: u32) -> Result<u64, i32> {
        let mut id = 0;
        let result = unsafe { asyncinotify_add_watch(self.0, path.as_ptr(), mask, &mut id) };
        counted(result as isize).map(|_| id)
    }

    pub fn add_recursive(self, path: &CStr, mask: u32, options: &TreeOptions) -> Result<u64, i32> {
        let mut c = asyncinotify_recursive_options {
            size: size_of::<asyncinotify_recursive_options>(),
            flags: options.flags,
            max_depth: options.max_depth,
            // SAFETY: as in `blank`.
            ..unsafe { std::mem::zeroed() }
        };
        if let Some(names) = &options.without {
            c.filter = Some(not_among);
            c.filter_userdata = Box::into_raw(Box::new(names.clone())).cast();
            c.filter_destroy = Some(drop_names);
        }
        let mut id = 0;
        let result =
            unsafe { asyncinotify_add_recursive(self.0, path.as_ptr(), mask, &c, &mut id) };
        counted(result as isize).map(|_| id)
    }

    pub fn rm_watch(self, id: u64) -> Result<(), i32> {
        counted(unsafe { asyncinotify_rm_watch(self.0, id) } as isize).map(drop)
    }

    pub fn watch_path(self, id: u64) -> Result<Vec<u8>, i32> {
        let mut buffer = vec![0u8; 8192];
        let size = buffer.len();
        let length = counted(unsafe {
            asyncinotify_watch_path(self.0, id, buffer.as_mut_ptr().cast(), size)
        })?;
        buffer.truncate(length);
        Ok(buffer)
    }

    pub fn watch_set_path(self, id: u64, path: &CStr) -> Result<(), i32> {
        counted(unsafe { asyncinotify_watch_set_path(self.0, id, path.as_ptr()) } as isize)
            .map(drop)
    }

    pub fn watch_mask(self, id: u64) -> Result<u32, i32> {
        let mut mask = 0;
        counted(unsafe { asyncinotify_watch_mask(self.0, id, &mut mask) } as isize).map(|_| mask)
    }

    pub fn watch_wd(self, id: u64) -> Result<i32, i32> {
        counted(unsafe { asyncinotify_watch_wd(self.0, id) } as isize).map(|wd| wd as i32)
    }

    pub fn watch_is_active(self, id: u64) -> Result<bool, i32> {
        counted(unsafe { asyncinotify_watch_is_active(self.0, id) } as isize)
            .map(|active| active == 1)
    }

    pub fn watches(self) -> Vec<u64> {
        let count =
            counted(unsafe { asyncinotify_watches(self.0, ptr::null_mut(), 0) }).expect("watches");
        let mut ids = vec![0; count];
        let again = counted(unsafe { asyncinotify_watches(self.0, ids.as_mut_ptr(), count) });
        assert_eq!(again, Ok(count), "watches: the same count twice");
        ids
    }

    pub fn set_userdata(
        self,
        id: u64,
        data: *mut c_void,
        destroy: Option<unsafe extern "C" fn(*mut c_void)>,
    ) {
        assert_eq!(
            unsafe { asyncinotify_watch_set_userdata(self.0, id, data, destroy) },
            0
        );
    }

    pub fn set_callback(
        self,
        id: u64,
        callback: unsafe extern "C" fn(
            *mut asyncinotify,
            *const asyncinotify_event,
            *mut c_void,
        ) -> c_int,
    ) {
        assert_eq!(
            unsafe { asyncinotify_watch_set_callback(self.0, id, Some(callback)) },
            0
        );
    }

    pub fn directories(self, id: u64) -> Result<Vec<Vec<u8>>, i32> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        let data = (&raw mut found).cast();
        let count = counted(unsafe {
            asyncinotify_watch_each_directory(self.0, id, Some(collect_path), data)
        })?;
        assert_eq!(
            count,
            found.len(),
            "watch_each_directory returns how many it listed"
        );
        Ok(found)
    }

    /// The directories of a tree that can't be watched now, and the errno of each.
    pub fn troubles(self, id: u64) -> Result<Vec<(Vec<u8>, i32)>, i32> {
        let mut found: Vec<(Vec<u8>, i32)> = Vec::new();
        let data = (&raw mut found).cast();
        let count = counted(unsafe {
            asyncinotify_watch_each_trouble(self.0, id, Some(collect_trouble), data)
        })?;
        assert_eq!(
            count,
            found.len(),
            "watch_each_trouble returns how many it listed"
        );
        Ok(found)
    }

    pub fn get(self) -> Result<Option<Event>, i32> {
        let mut event = blank();
        let got = counted(unsafe { asyncinotify_get(self.0, &mut event) } as isize)?;
        assert!(got <= 1, "get returned {got}");
        Ok((got == 1).then(|| unsafe { owned(&event) }))
    }

    pub fn sync_get(self) -> Result<Option<Event>, i32> {
        let mut event = blank();
        let got = counted(unsafe { asyncinotify_sync_get(self.0, &mut event) } as isize)?;
        assert!(got <= 1, "sync_get returned {got}");
        Ok((got == 1).then(|| unsafe { owned(&event) }))
    }

    pub fn get_events(self, max: usize) -> Result<Vec<Event>, i32> {
        let mut events: Vec<asyncinotify_event> = (0..max).map(|_| blank()).collect();
        let count = counted(unsafe { asyncinotify_get_events(self.0, events.as_mut_ptr(), max) })?;
        assert!(count <= max, "get_events returned {count} of {max}");
        Ok(events[..count]
            .iter()
            .map(|event| unsafe { owned(event) })
            .collect())
    }

    pub fn dispatch(self, max: usize, mut callback: impl FnMut(Event) -> c_int) -> Counted {
        let mut guarded = Guarded {
            callback: &mut callback,
            panic: None,
        };
        let data = (&raw mut guarded).cast();
        let result = unsafe { asyncinotify_dispatch(self.0, max, Some(call), data) };
        guarded.end();
        counted(result)
    }

    /// What `run` returns: 0, the callback's value, or a negative errno.
    pub fn run(self, mut callback: impl FnMut(Event) -> c_int) -> c_int {
        let mut guarded = Guarded {
            callback: &mut callback,
            panic: None,
        };
        let data = (&raw mut guarded).cast();
        let result = unsafe { asyncinotify_run(self.0, Some(call), data) };
        guarded.end();
        result
    }
}

/// A failed assertion inside a callback must not unwind through C: it is kept, the call stopped, and then it goes on.
struct Guarded<'a> {
    callback: &'a mut dyn FnMut(Event) -> c_int,
    panic: Option<Box<dyn Any + Send>>,
}

impl Guarded<'_> {
    fn end(self) {
        if let Some(panic) = self.panic {
            resume_unwind(panic);
        }
    }
}

#[derive(Clone, Default)]
pub struct TreeOptions {
    pub flags: u32,
    pub max_depth: u32,
    /// Directories of these names are refused by the filter.
    pub without: Option<Vec<String>>,
}

pub fn last_message() -> String {
    unsafe { CStr::from_ptr(asyncinotify_last_error_message()) }
        .to_string_lossy()
        .into_owned()
}

pub fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).expect("no NUL in it")
}

unsafe extern "C" fn call(
    _: *mut asyncinotify,
    event: *const asyncinotify_event,
    data: *mut c_void,
) -> c_int {
    let guarded = unsafe { &mut *data.cast::<Guarded>() };
    let result = catch_unwind(AssertUnwindSafe(|| {
        (guarded.callback)(unsafe { owned(&*event) })
    }));
    result.unwrap_or_else(|panic| {
        guarded.panic = Some(panic);
        1
    })
}

unsafe extern "C" fn collect_path(
    _: *mut asyncinotify,
    path: *const c_char,
    length: usize,
    data: *mut c_void,
) -> c_int {
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    assert_eq!(path.len(), length);
    unsafe { &mut *data.cast::<Vec<Vec<u8>>>() }.push(path.to_vec());
    0
}

unsafe extern "C" fn collect_trouble(
    _: *mut asyncinotify,
    path: *const c_char,
    length: usize,
    error: c_int,
    data: *mut c_void,
) -> c_int {
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    assert_eq!(path.len(), length);
    unsafe { &mut *data.cast::<Vec<(Vec<u8>, i32)>>() }.push((path.to_vec(), error));
    0
}

unsafe extern "C" fn not_among(
    _: *mut asyncinotify,
    path: *const c_char,
    _: usize,
    data: *mut c_void,
) -> c_int {
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let refused = unsafe { &*data.cast::<Vec<String>>() };
    c_int::from(!refused.iter().any(|refused| refused.as_bytes() == name))
}

unsafe extern "C" fn drop_names(data: *mut c_void) {
    drop(unsafe { Box::from_raw(data.cast::<Vec<String>>()) });
}
