//! A value with several owners, as std's `Arc`, which can't be refused memory.

use super::try_box;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

pub(crate) struct Shared<T>(NonNull<Counted<T>>);

struct Counted<T> {
    owners: AtomicUsize,
    value: T,
}

// SAFETY: each owner gives out `&T` to its thread, and the last one drops the value on its own: as `Arc` has it.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// ENOMEM: the value is dropped.
    pub(crate) fn new(value: T) -> Result<Shared<T>, i32> {
        let owners = AtomicUsize::new(1);
        let counted = try_box(Counted { owners, value })?;
        Ok(Shared(NonNull::from(Box::leak(counted))))
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: it lives until the last owner is dropped, and this is one.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        // An owner lends itself to this call, so the value can't be dropped meanwhile.
        self.counted().owners.fetch_add(1, Ordering::Relaxed);
        Shared(self.0)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if self.counted().owners.fetch_sub(1, Ordering::Release) == 1 {
            // What other owners have done to the value comes before its end.
            fence(Ordering::Acquire);
            // SAFETY: it was leaked from a box, and this was its last owner.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_owner_drops_the_value() {
        struct Counts<'a>(&'a AtomicUsize);
        impl Drop for Counts<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let drops = AtomicUsize::new(0);
        let first = Shared::new(Counts(&drops)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let other = first.clone();
                scope.spawn(move || drop(other.clone()));
            }
        });
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(first);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }
}
