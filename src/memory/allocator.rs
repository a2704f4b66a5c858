//! The library's allocator: the system's, and the reserve that the thread has lent.

use super::chunks::{give_back, is_of_reserve};
use super::reserve::{current, is_starving};
use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

impl Allocator {
    /// What the system has said to a request of this thread; where that is no, a piece of its reserve.
    #[inline]
    fn or_of_reserve(layout: Layout, ask: impl FnOnce() -> *mut u8) -> *mut u8 {
        let Some(reserve) = current() else {
            return ask();
        };
        reserve.note(layout.size());
        let given = if is_starving() { null_mut() } else { ask() };
        match given.is_null() {
            true => reserve.take(layout),
            false => given,
        }
    }
}

// SAFETY: each piece is either the system's, and goes back to it with the same layout, or one of a chunk of its own,
// aligned and as large as was asked for, which no other piece overlaps and which stays mapped until it was given back.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        Allocator::or_of_reserve(layout, || unsafe { System.alloc(layout) })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        let piece = Allocator::or_of_reserve(layout, || unsafe { System.alloc_zeroed(layout) });
        if !piece.is_null() && is_of_reserve(piece) {
            // SAFETY: it is as large as was asked for.
            unsafe { piece.write_bytes(0, layout.size()) };
        }
        piece
    }

    #[inline]
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        if !give_back(piece) {
            // SAFETY: it is not of a reserve, so it is the system's.
            unsafe { System.dealloc(piece, layout) }
        }
    }

    #[inline]
    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller has checked that the size is a valid one for this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let is_of_reserve = is_of_reserve(piece);
        let mut moved = true;
        let new = Allocator::or_of_reserve(wanted, || match is_of_reserve {
            // SAFETY: the caller's promise is passed on.
            true => unsafe { System.alloc(wanted) },
            false => {
                // SAFETY: as above, and the piece is the system's.
                let new = unsafe { System.realloc(piece, layout, size) };
                moved = new.is_null();
                new
            }
        });
        if !new.is_null() && moved {
            // SAFETY: both are as large as the smaller of the two, and don't overlap. The old one is given up.
            unsafe {
                new.copy_from_nonoverlapping(piece, layout.size().min(size));
                self.dealloc(piece, layout);
            }
        }
        new
    }
}
