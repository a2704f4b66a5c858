//! The owner of a filter from C and of its userdata.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use libc::size_t;

use super::destroy::{Destroy, Retired};
use super::failure::Result;
use super::instance::Call;
use super::types::inotify::asyncinotify;
use super::types::watch::asyncinotify_destroy;
use crate::Filter;
use crate::memory::{Shared, try_box};
use crate::sys::Sys;

type Function =
    unsafe extern "C" fn(*mut asyncinotify, *const c_char, size_t, *mut c_void) -> c_int;

/// A filter and its userdata. The core has one reference and asks; the call that adds the tree has the other. The userdata
/// is destroyed with the last of them, if the tree came to be.
pub(crate) struct Owner {
    handle: *mut asyncinotify,
    filter: Function,
    userdata: *mut c_void,
    destroy: Option<Box<Destroy>>,
    use_of: Mutex<Use>,
    answered: Condvar,
    retired: Shared<Retired>,
}

/// This says to whom the userdata belongs, and whether the filter is using it.
#[derive(Default)]
struct Use {
    asking: bool,
    /// The tree came to be: the userdata is the library's to destroy.
    ours: bool,
    /// The tree did not come to be: the userdata is the caller's again.
    given_back: bool,
}

// SAFETY: the header says that filters and destroy functions are called on whichever thread takes events; calls of one
// filter never overlap, because it is behind a FnMut.
unsafe impl Send for Owner {}
// SAFETY: the same holds here; all that changes is behind a lock.
unsafe impl Sync for Owner {}

impl Owner {
    pub(crate) fn new(
        call: &Call,
        filter: Function,
        userdata: *mut c_void,
        destroy: asyncinotify_destroy,
    ) -> Sys<Shared<Owner>> {
        Shared::new(Owner {
            handle: call.handle(),
            filter,
            userdata,
            destroy: Destroy::new(destroy, userdata)?,
            use_of: Mutex::default(),
            answered: Condvar::new(),
            retired: call.retired(),
        })
    }

    /// Returns the filter as the core asks it.
    pub(crate) fn to_core(owner: &Shared<Owner>) -> Sys<Filter> {
        let owner = owner.clone();
        Ok(try_box(move |path: &CStr| owner.ask(path))?)
    }

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

    fn keep(&self) {
        self.use_of().ours = true;
    }

    /// From here on the filter is not asked. Another thread that takes events may be asking it right now: this waits for
    /// the answer.
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

impl Drop for Owner {
    fn drop(&mut self) {
        let ours = self.use_of().ours;
        if let Some(mut destroy) = self.destroy.take() {
            if !ours {
                destroy.disarm();
            }
            self.retired.push(destroy);
        }
    }
}

/// Decides to whom the filter's userdata belongs, now that the tree has been added or not.
pub(crate) fn settle<T>(owner: Option<Shared<Owner>>, added: crate::Result<T>) -> Result<T> {
    if let Some(owner) = owner {
        match added {
            Ok(_) => owner.keep(),
            Err(_) => owner.give_back(),
        }
    }
    Ok(added?)
}
