//! A lock that one thread owns for a while, over calls out to strangers, and enters again and again.
//!
//! It differs from a mutex in two ways: it is never waited for (another thread is told no), and its owner may take it a
//! second time (a callback that takes events itself). Data is reached in short closures that never nest.
//!
//! The library itself owns the lock only for a moment. Other threads wait for that moment: no caller is told no because of
//! it. They sleep meanwhile, as the owner may be of a lower priority and need their processor.

use crate::lock::{Guard, Lock};
use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) struct OwnerLock<T> {
    /// 0: nobody; `BRIEFLY`; else the owner's token.
    owner: AtomicUsize,
    /// Locked as long as the lock is owned briefly, for others to wait on.
    brief: Lock<()>,
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

/// The same right, for a moment.
pub(crate) struct Brief<'a, T> {
    // Dropped in this order.
    owned: Owned<'a, T>,
    _others_wait: Guard<'a, ()>,
}

/// The owner's token of `own_briefly`; not an address.
const BRIEFLY: usize = 1;

/// A number no other living thread has.
fn thread_token() -> usize {
    thread_local!(static TOKEN: u8 = const { 0 });
    TOKEN.with(|byte| std::ptr::from_ref(byte).addr())
}

impl<T> OwnerLock<T> {
    pub(crate) fn new(data: T) -> OwnerLock<T> {
        OwnerLock {
            owner: AtomicUsize::new(0),
            brief: Lock::new(()),
            lent: Cell::new(false),
            data: UnsafeCell::new(data),
        }
    }

    /// None while another thread owns it.
    #[inline]
    pub(crate) fn own(&self) -> Option<Owned<'_, T>> {
        let me = thread_token();
        self.own_as(me, me)
    }

    /// The same, for as long as no stranger's code is called: other threads wait.
    pub(crate) fn own_briefly(&self) -> Option<Brief<'_, T>> {
        let _others_wait = self.wait_for_brief();
        let owned = self.own_as(BRIEFLY, thread_token())?;
        Some(Brief {
            owned,
            _others_wait,
        })
    }

    #[cold]
    fn wait_for_brief(&self) -> Guard<'_, ()> {
        self.brief.lock()
    }

    #[inline]
    fn own_as(&self, token: usize, me: usize) -> Option<Owned<'_, T>> {
        loop {
            let nested =
                match self
                    .owner
                    .compare_exchange(0, token, Ordering::Acquire, Ordering::Relaxed)
                {
                    Ok(_) => 0,
                    Err(owner) if owner == me => 1,
                    Err(BRIEFLY) => {
                        drop(self.wait_for_brief());
                        continue;
                    }
                    Err(_) => return None,
                };
            return Some(Owned {
                lock: self,
                nested,
                _thread: std::marker::PhantomData,
            });
        }
    }
}

impl<T> Brief<'_, T> {
    pub(crate) fn with<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> R {
        self.owned.with(f)
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
    fn nobody_is_told_no_because_of_a_brief_owner() {
        let lock = OwnerLock::new(0);
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    for _ in 0..10_000 {
                        // None while the other thread below has it, which is no reason to wait.
                        if let Some(mut brief) = lock.own_briefly() {
                            brief.with(|n| *n += 1);
                        }
                    }
                });
            }
            s.spawn(|| {
                for _ in 0..10_000 {
                    let mut owner = lock.own().expect("there is no other lasting owner");
                    assert!(lock.own_briefly().is_some());
                    owner.with(|n| *n += 1);
                }
            });
        });
    }

    /// Whether a thread of this process sleeps, as the kernel has it.
    fn sleeps(thread: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
        stat.is_ok_and(|stat| stat.contains(") S "))
    }

    #[test]
    fn who_waits_for_a_brief_owner_sleeps() {
        let lock = OwnerLock::new(0);
        let waiting = std::sync::atomic::AtomicI32::new(0);
        std::thread::scope(|s| {
            let brief = lock.own_briefly();
            let waits = s.spawn(|| {
                // SAFETY: it takes nothing and can't fail.
                waiting.store(unsafe { libc::gettid() }, Ordering::SeqCst);
                lock.own().is_some()
            });
            // Without end if it never sleeps; it may sleep on its way there, too, so more than once.
            let mut asleep = 0;
            while asleep < 100 {
                asleep = match waiting.load(Ordering::SeqCst) {
                    thread if thread != 0 && sleeps(thread) => asleep + 1,
                    _ => 0,
                };
            }
            drop(brief);
            assert!(waits.join().unwrap());
        });
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
