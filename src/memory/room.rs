//! Room that is asked for, and may be refused.

use super::reserve::{foresee, may_be_refused};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

/// A collection that can be given room. As long as it has some, adding to it asks for no memory.
pub(crate) trait Room {
    /// Room for so many more, or ENOMEM: it is left as it was. It comes out of no reserve.
    fn make_room(&mut self, more: usize) -> Result<(), i32>;
}

/// In a step it may have to grow once more than there is room for.
fn foresee_growth<T>(capacity: usize) {
    foresee(capacity.saturating_mul(size_of::<T>()));
}

impl<T> Room for Vec<T> {
    #[inline]
    fn make_room(&mut self, more: usize) -> Result<(), i32> {
        if self.capacity() - self.len() >= more {
            return Ok(());
        }
        may_be_refused(|| self.try_reserve(more))?;
        foresee_growth::<T>(self.capacity());
        Ok(())
    }
}

/// Room for so many bytes more, out of the reserve if it has to be: it is asked for in the middle of a step, which begins
/// anew where it is refused. The reserve is not made larger because of it.
#[cfg(not(simulation))]
pub(crate) fn grow(bytes: &mut Vec<u8>, more: usize) -> Result<(), i32> {
    may_be_refused(|| bytes.try_reserve(more))
        .or_else(|_| bytes.try_reserve(more).map_err(|_| libc::ENOMEM))
}

impl<T> Room for VecDeque<T> {
    #[inline]
    fn make_room(&mut self, more: usize) -> Result<(), i32> {
        if self.capacity() - self.len() >= more {
            return Ok(());
        }
        may_be_refused(|| self.try_reserve(more))?;
        foresee_growth::<T>(self.capacity());
        Ok(())
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Room for HashMap<K, V, S> {
    #[inline]
    fn make_room(&mut self, more: usize) -> Result<(), i32> {
        if self.capacity() - self.len() >= more {
            return Ok(());
        }
        may_be_refused(|| self.try_reserve(more))?;
        foresee_growth::<(K, V)>(self.capacity());
        Ok(())
    }
}

/// The same bytes.
pub(crate) fn copy_of(bytes: &[u8]) -> Result<Vec<u8>, i32> {
    let mut copy = Vec::new();
    copy.make_room(bytes.len())?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// A box, or the value is dropped and there is none.
pub(crate) fn try_box<T>(value: T) -> Result<Box<T>, i32> {
    // A vector of one is the one collection of std that may be refused memory and is as large as a box.
    let mut one = Vec::new();
    may_be_refused(|| one.try_reserve_exact(1))?;
    one.push(value);
    let one: Box<[T]> = one.into_boxed_slice();
    let one: Result<Box<[T; 1]>, _> = one.try_into();
    // SAFETY: an array of one has the layout of its element, and the box is of this allocation.
    one.map(|one| unsafe { Box::from_raw(Box::into_raw(one).cast::<T>()) })
        .map_err(|_| libc::ENOMEM)
}
