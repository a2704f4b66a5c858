//! A value behind a mutex, and the reserve for whoever works on it.

use super::reserve::{Lent, Reserve};
use crate::lock::{Guard, Lock};
use std::ops::{Deref, DerefMut};
#[cfg(not(simulation))]
use std::sync::Condvar;
#[cfg(not(simulation))]
use std::time::Duration;

/// A value behind a mutex, with a reserve for whoever has it locked.
pub(crate) struct Reserved<T> {
    value: Lock<T>,
    reserve: Reserve,
}

/// The value, locked, with the reserve lent.
pub(crate) struct Locked<'a, T> {
    // The reserve is given back before another thread can lock the value.
    _lent: Lent,
    value: Guard<'a, T>,
}

impl<T> Reserved<T> {
    pub(crate) fn new(value: T, reserve: Reserve) -> Reserved<T> {
        let value = Lock::new(value);
        Reserved { value, reserve }
    }

    #[inline]
    fn locked<'a>(&'a self, value: Guard<'a, T>) -> Locked<'a, T> {
        // SAFETY: only who has the mutex locked lends the reserve, and `Locked` borrows both.
        let _lent = unsafe { self.reserve.lend() };
        Locked { _lent, value }
    }

    /// None: another thread has it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Locked<'_, T>> {
        self.value.try_lock().map(|value| self.locked(value))
    }

    pub(crate) fn lock(&self) -> Locked<'_, T> {
        self.locked(self.value.lock())
    }
}

#[cfg(not(simulation))]
impl<T> Locked<'_, T> {
    /// Unlocks the value, and waits until `condition` is notified, or for so long.
    pub(crate) fn wait_and_unlock(self, condition: &Condvar, most: Duration) {
        let Locked { _lent, value } = self;
        drop(_lent);
        drop(condition.wait_timeout(value.into_guard_of_std(), most));
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
