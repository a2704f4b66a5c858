//! A lock that one thread owns for a while, over calls out to strangers, and enters again and again.
//!
//! It differs from a mutex in two ways: it is never waited for (another thread is told no), and its owner may take it a
//! second time (a callback that takes events itself). Data is reached in short closures that never nest.

use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) struct OwnerLock<T> {
    /// 0: nobody; else the owner's token.
    owner: AtomicUsize,
    /// Only the owner touches these two.
    lent: Cell<bool>,
    data: UnsafeCell<T>,
}

// SAFETY: `data` and `lent` are reached only through an `Owned`, and only one thread at a time has one: it is made after
// the owner's token was swapped in with Acquire, and the token is taken out with Release.
unsafe impl<T: Send> Sync for OwnerLock<T> {}

/// The right of this thread to the data; not to be sent to another.
pub(crate) struct Owned<'a, T> {
    lock: &'a OwnerLock<T>,
    /// 0 or 1. A word, for a bool leaves padding that is copied in pieces each time this is returned.
    nested: usize,
    /// Not Send: the token is this thread's.
    _thread: std::marker::PhantomData<*const ()>,
}

/// A number no other living thread has.
fn thread_token() -> usize {
    thread_local!(static TOKEN: u8 = const { 0 });
    TOKEN.with(|byte| std::ptr::from_ref(byte).addr())
}

impl<T> OwnerLock<T> {
    pub(crate) fn new(data: T) -> OwnerLock<T> {
        OwnerLock {
            owner: AtomicUsize::new(0),
            lent: Cell::new(false),
            data: UnsafeCell::new(data),
        }
    }

    /// None while another thread owns it.
    #[inline]
    pub(crate) fn own(&self) -> Option<Owned<'_, T>> {
        let me = thread_token();
        let nested = match self
            .owner
            .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
        {
            Ok(_) => 0,
            Err(owner) if owner == me => 1,
            Err(_) => return None,
        };
        Some(Owned {
            lock: self,
            nested,
            _thread: std::marker::PhantomData,
        })
    }
}

impl<T> Owned<'_, T> {
    #[inline]
    pub(crate) fn with<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> R {
        /// Gives the data back also when `f` panics.
        struct Lent<'a>(&'a Cell<bool>);
        impl Drop for Lent<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        assert!(
            !self.lock.lent.replace(true),
            "the data of an OwnerLock is lent once at a time"
        );
        let _lent = Lent(&self.lock.lent);
        // SAFETY: this thread is the owner, and `lent` says that no other reference to the data is alive.
        f(unsafe { &mut *self.lock.data.get() })
    }
}

impl<T> Drop for Owned<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.nested == 0 {
            self.lock.owner.store(0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_enters_again_and_another_thread_is_told_no() {
        let lock = OwnerLock::new(1);
        let mut first = lock.own().unwrap();
        let mut second = lock.own().unwrap();
        second.with(|n| *n += 1);
        first.with(|n| assert_eq!(*n, 2));
        std::thread::scope(|s| s.spawn(|| assert!(lock.own().is_none())).join().unwrap());
        drop(second);
        std::thread::scope(|s| s.spawn(|| assert!(lock.own().is_none())).join().unwrap());
        drop(first);
        std::thread::scope(|s| s.spawn(|| assert!(lock.own().is_some())).join().unwrap());
    }

    #[test]
    #[should_panic(expected = "lent once")]
    fn the_data_is_not_lent_twice() {
        let lock = OwnerLock::new(1);
        let mut outer = lock.own().unwrap();
        let mut inner = lock.own().unwrap();
        outer.with(|_| inner.with(|_| ()));
    }
}
