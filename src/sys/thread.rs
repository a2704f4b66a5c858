//! Threads of our own, which live no longer than the call that needs them.

use std::mem::MaybeUninit;
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// Starts a thread. The program's signals are for the program's threads.
pub(crate) fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> std::io::Result<ScopedJoinHandle<'scope, T>> {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the sets are filled before they are used; the new thread inherits the mask, this one gets its own back.
    unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let builder = Builder::new().stack_size(64 * 1024);
        let spawned = builder.spawn_scoped(scope, work);
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        spawned
    }
}
