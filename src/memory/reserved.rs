//! A value behind a mutex, and the reserve for whoever works on it.

use super::reserve::{Lent, Reserve};
use std::ops::{Deref, DerefMut};
#[cfg(not(simulation))]
use std::sync::Condvar;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
#[cfg(not(simulation))]
use std::time::Duration;

/// A value behind a mutex, with a reserve for whoever has it locked.
pub(crate) struct Reserved<T> {
    value: Mutex<T>,
    reserve: Reserve,
}

/// The value, locked, with the reserve lent.
pub(crate) struct Locked<'a, T> {
    // The reserve is given back before another thread can lock the value.
    _lent: Lent,
    value: MutexGuard<'a, T>,
}

impl<T> Reserved<T> {
    pub(crate) fn new(value: T, reserve: Reserve) -> Reserved<T> {
        let value = Mutex::new(value);
        Reserved { value, reserve }
    }

    #[inline]
    fn locked<'a>(&'a self, value: MutexGuard<'a, T>) -> Locked<'a, T> {
        // SAFETY: only who has the mutex locked lends the reserve, and `Locked` borrows both.
        let _lent = unsafe { self.reserve.lend() };
        Locked { _lent, value }
    }

    /// None: another thread has it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Locked<'_, T>> {
        match self.value.try_lock() {
            Ok(value) => Some(self.locked(value)),
            Err(TryLockError::Poisoned(poisoned)) => Some(self.locked(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(crate) fn lock(&self) -> Locked<'_, T> {
        let value = self.value.lock();
        self.locked(value.unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(not(simulation))]
impl<T> Locked<'_, T> {
    /// Unlocks the value, and waits until `condition` is notified, or for so long.
    pub(crate) fn wait_and_unlock(self, condition: &Condvar, most: Duration) {
        let Locked { _lent, value } = self;
        drop(_lent);
        drop(condition.wait_timeout(value, most));
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Locked<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
