//! Chunks: the memory of reserves, and how many pieces of it are in use. A chunk that was never touched is not known here.

use crate::lock::{Guard, Lock};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The head of a chunk that was touched. It is written into the chunk itself.
struct Head {
    next: *mut Head,
    size: usize,
    /// How many pieces of it are in use.
    live: usize,
    /// No reserve has it any more: it goes with the last piece.
    retired: bool,
}

struct Chunks(*mut Head);

// SAFETY: the list is only used with its mutex locked.
unsafe impl Send for Chunks {}

/// The chunks that were touched.
static CHUNKS: Lock<Chunks> = Lock::new(Chunks(null_mut()));
/// How many there are. As long as there is none, giving memory back costs one look at this.
static TOUCHED: AtomicUsize = AtomicUsize::new(0);

fn chunks() -> Guard<'static, Chunks> {
    CHUNKS.lock()
}

impl Chunks {
    fn remove(&mut self, head: *mut Head) {
        let mut at = &raw mut self.0;
        // SAFETY: the list holds heads of chunks that are mapped, or ends with NULL.
        unsafe {
            while !(*at).is_null() {
                if *at == head {
                    *at = (*head).next;
                    TOUCHED.fetch_sub(1, Ordering::Release);
                    return;
                }
                at = &raw mut (**at).next;
            }
        }
    }

    /// The chunk is in the list.
    fn remove_for_good(&mut self, head: *mut Head) {
        // SAFETY: what is in the list is mapped.
        let size = unsafe { (*head).size };
        self.remove(head);
        unmap(head.cast(), size);
    }

    /// The chunk that a piece is of.
    fn of(&self, piece: *mut u8) -> Option<*mut Head> {
        let mut at = self.0;
        while !at.is_null() {
            // SAFETY: the list holds heads of chunks that are mapped.
            let (size, next) = unsafe { ((*at).size, (*at).next) };
            if (at.addr()..at.addr() + size).contains(&piece.addr()) {
                return Some(at);
            }
            at = next;
        }
        None
    }
}

/// What the head takes of a touched chunk.
pub(super) const HEAD: usize = size_of::<Head>();

/// A piece of a chunk is given out. The first one touches it.
///
/// # Safety
/// The chunk is mapped with this size, and in no use if this is the first piece.
pub(super) unsafe fn give_out(chunk: *mut u8, size: usize, is_first: bool) {
    let mut chunks = chunks();
    let head: *mut Head = chunk.cast();
    if is_first {
        let fresh = Head {
            next: chunks.0,
            size,
            live: 0,
            retired: false,
        };
        // SAFETY: it is the caller's promise; a chunk is larger than a head, and begins with a page.
        unsafe { head.write(fresh) };
        chunks.0 = head;
        TOUCHED.fetch_add(1, Ordering::Release);
    }
    // SAFETY: the head was written with the first piece.
    unsafe { (*head).live += 1 };
}

/// Whether all pieces of a touched chunk are free again. Then it is as if it had never been touched.
///
/// # Safety
/// The chunk was touched, and was not let go of.
pub(super) unsafe fn is_whole_again(chunk: *mut u8) -> bool {
    let mut chunks = chunks();
    let head: *mut Head = chunk.cast();
    // SAFETY: a touched chunk has a head, and the list is locked.
    let is_free = unsafe { (*head).live == 0 };
    if is_free {
        chunks.remove(head);
    }
    is_free
}

/// No reserve has a touched chunk any more: it goes with its last piece.
///
/// # Safety
/// The chunk was touched, and was not let go of. It may be gone when this returns.
pub(super) unsafe fn let_go(chunk: *mut u8) {
    let mut chunks = chunks();
    let head: *mut Head = chunk.cast();
    // SAFETY: a touched chunk has a head, and the list is locked.
    unsafe {
        (*head).retired = true;
        if (*head).live == 0 {
            chunks.remove_for_good(head);
        }
    }
}

/// Whether a piece of memory is out of a reserve.
pub(super) fn is_of_reserve(piece: *mut u8) -> bool {
    TOUCHED.load(Ordering::Acquire) > 0 && chunks().of(piece).is_some()
}

/// Gives a piece back, if it is out of a reserve.
pub(super) fn give_back(piece: *mut u8) -> bool {
    if TOUCHED.load(Ordering::Acquire) == 0 {
        return false;
    }
    let mut chunks = chunks();
    let Some(head) = chunks.of(piece) else {
        return false;
    };
    // SAFETY: the head is of a chunk that is mapped, and the list is locked.
    let is_last = unsafe {
        (*head).live -= 1;
        (*head).live == 0 && (*head).retired
    };
    if is_last {
        chunks.remove_for_good(head);
    }
    true
}

pub(super) fn map(size: usize) -> Result<*mut u8, i32> {
    let (access, how) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a new mapping, wherever the kernel puts it.
    let chunk = unsafe { libc::mmap(null_mut(), size, access, how, -1, 0) };
    match chunk == libc::MAP_FAILED {
        true => Err(libc::ENOMEM),
        false => Ok(chunk.cast()),
    }
}

pub(super) fn unmap(chunk: *mut u8, size: usize) {
    // SAFETY: it was mapped with this size, and nothing of it is in use.
    unsafe { libc::munmap(chunk.cast(), size) };
}
