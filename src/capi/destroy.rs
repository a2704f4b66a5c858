//! Destroy functions: each runs exactly once, and never while a lock is held.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};

use super::types::watch::asyncinotify_destroy;
use crate::lock::Lock;
use crate::memory::try_box;
use crate::sys::Sys;

/// Userdata with its destroy function, which runs when this is dropped. No lock may be held at that place.
pub(crate) struct Destroy {
    /// None: it is not to run.
    destroy: asyncinotify_destroy,
    userdata: *mut c_void,
    /// In a list of those that are to run later: putting one there takes no memory.
    next: Option<Box<Destroy>>,
}

impl Destroy {
    /// None where there is nothing to run. ENOMEM: nothing has run.
    pub(crate) fn new(
        destroy: asyncinotify_destroy,
        userdata: *mut c_void,
    ) -> Sys<Option<Box<Destroy>>> {
        if destroy.is_none() {
            return Ok(None);
        }
        let mut boxed = try_box(Destroy {
            destroy: None,
            userdata,
            next: None,
        })?;
        boxed.destroy = destroy;
        Ok(Some(boxed))
    }

    /// It is not to run: the userdata is the caller's again.
    pub(crate) fn disarm(&mut self) {
        self.destroy = None;
    }
}

impl Drop for Destroy {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy.take() {
            // SAFETY: the C program gave this function for this pointer, to be called once, from any thread.
            unsafe { destroy(self.userdata) }
        }
    }
}

// SAFETY: the header says that a destroy function runs on whichever thread ends the owner of the userdata.
unsafe impl Send for Destroy {}
// SAFETY: nothing is done with a shared one.
unsafe impl Sync for Destroy {}

/// Those that are to run later, in the order in which they came. They run when this is dropped.
#[derive(Default)]
pub(crate) struct Destroys {
    /// The last one comes first.
    last: Option<Box<Destroy>>,
}

impl Destroys {
    pub(crate) fn push(&mut self, mut destroy: Box<Destroy>) {
        destroy.next = self.last.take();
        self.last = Some(destroy);
    }

    /// Moves all of another list behind these.
    pub(crate) fn append(&mut self, mut other: Destroys) {
        other.reverse();
        while let Some(first) = other.pop() {
            self.push(first);
        }
    }

    fn pop(&mut self) -> Option<Box<Destroy>> {
        let mut last = self.last.take()?;
        self.last = last.next.take();
        Some(last)
    }

    fn reverse(&mut self) {
        let mut reversed = None;
        while let Some(mut last) = self.pop() {
            last.next = reversed;
            reversed = Some(last);
        }
        self.last = reversed;
    }
}

impl Drop for Destroys {
    fn drop(&mut self) {
        self.reverse();
        while let Some(first) = self.pop() {
            drop(first);
        }
    }
}

/// The userdata of filters whose tree has ended.
///
/// The core may drop a filter while it holds a lock. The filter's userdata then comes here, and its destroy function runs
/// when the call that was under way is about to leave and holds none.
#[derive(Default)]
pub(crate) struct Retired {
    any: AtomicBool,
    list: Lock<Destroys>,
}

impl Retired {
    pub(crate) fn push(&self, destroy: Box<Destroy>) {
        self.list.lock().push(destroy);
        self.any.store(true, Ordering::Release);
    }

    #[inline]
    pub(crate) fn run(&self) {
        if self.any.load(Ordering::Relaxed) {
            self.run_now();
        }
    }

    #[cold]
    fn run_now(&self) {
        self.any.store(false, Ordering::Relaxed);
        let list = std::mem::take(&mut *self.list.lock());
        drop(list);
    }
}
