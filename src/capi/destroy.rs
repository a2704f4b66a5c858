//! Destroy functions: each runs exactly once, and never while a lock is held.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::types::watch::asyncinotify_destroy;

/// Userdata with its destroy function, which runs when this is dropped. No lock may be held at that place.
pub(crate) struct Destroy {
    destroy: unsafe extern "C" fn(*mut c_void),
    userdata: *mut c_void,
}

impl Destroy {
    pub(crate) fn new(destroy: asyncinotify_destroy, userdata: *mut c_void) -> Option<Destroy> {
        destroy.map(|destroy| Destroy { destroy, userdata })
    }
}

impl Drop for Destroy {
    fn drop(&mut self) {
        // SAFETY: the C program gave this function for this pointer, to be called once, from any thread.
        unsafe { (self.destroy)(self.userdata) }
    }
}

// SAFETY: the header says that a destroy function runs on whichever thread ends the owner of the userdata.
unsafe impl Send for Destroy {}

/// The userdata of filters whose tree has ended.
///
/// The core may drop a filter while it holds a lock. The filter's userdata then comes here, and its destroy function runs
/// when the call that was under way is about to leave and holds none.
#[derive(Default)]
pub(crate) struct Retired {
    any: AtomicBool,
    list: Mutex<Vec<Destroy>>,
}

impl Retired {
    pub(crate) fn push(&self, destroy: Destroy) {
        self.list
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(destroy);
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
        let list = std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner));
        drop(list);
    }
}
