//! A mutex that a panic does not poison.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

#[derive(Default)]
pub(crate) struct Lock<T>(Mutex<T>);

pub(crate) struct Guard<'a, T> {
    #[cfg(thread_sanitizer)]
    _seen: seen::Seen,
    value: MutexGuard<'a, T>,
}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Lock<T> {
        Lock(Mutex::new(value))
    }

    #[inline]
    fn guard<'a>(&'a self, value: MutexGuard<'a, T>) -> Guard<'a, T> {
        Guard {
            #[cfg(thread_sanitizer)]
            _seen: seen::Seen::of(&self.0),
            value,
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.guard(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// None: another thread has it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        match self.0.try_lock() {
            Ok(value) => Some(self.guard(value)),
            Err(TryLockError::Poisoned(poisoned)) => Some(self.guard(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<'a, T> Guard<'a, T> {
    /// For std's condition variables.
    #[cfg(not(simulation))]
    pub(crate) fn into_guard_of_std(self) -> MutexGuard<'a, T> {
        self.value
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// Tells the thread sanitizer of a mutex that is locked and unlocked: std is not built for the sanitizer, which sees only the
/// part of its mutex that is inlined, and not what a thread does that has to wait for it.
#[cfg(thread_sanitizer)]
mod seen {
    use libc::c_void;

    pub(super) struct Seen(*mut c_void);

    unsafe extern "C" {
        fn __tsan_acquire(at: *mut c_void);
        fn __tsan_release(at: *mut c_void);
    }

    impl Seen {
        pub(super) fn of<T>(mutex: &std::sync::Mutex<T>) -> Seen {
            let at = std::ptr::from_ref(mutex).cast_mut().cast();
            // SAFETY: the address is but a name.
            unsafe { __tsan_acquire(at) };
            Seen(at)
        }
    }

    impl Drop for Seen {
        fn drop(&mut self) {
            // SAFETY: as above.
            unsafe { __tsan_release(self.0) };
        }
    }
}
