//! The reserve of an instance.
//!
//! A step of the core changes several things that have to agree. It can't stop half-way for want of memory, and to ask for
//! all of it beforehand would be to know beforehand what an event will mean. So each instance has some memory set aside,
//! and lends it while its state is locked. Where the system refuses memory to a step, the step gets it out of the
//! reserve, and goes on to its end. No other step begins before the reserve is whole again (`renew`): the call returns
//! ENOMEM, with nothing half-done. Steps that could need much look at `is_short` as they look at the clock.
//!
//! The pages of a reserve that was never touched take address space and no memory.

use super::chunks;
use std::alloc::{GlobalAlloc as _, Layout, System};
use std::cell::Cell;
use std::ptr::{self, NonNull, null_mut};

/// What a step needs besides the growth of what is large: a block of places, names, nodes of maps, a path.
const SMALLEST: usize = 320 * 1024;
/// A chunk begins with one, and is as long as several.
const PAGE: usize = 4096;
/// The largest thing that has grown so far may double once more in a step, and smaller ones with it.
const TIMES_LARGEST: usize = 3;

pub(super) struct Inner {
    chunk: Cell<*mut u8>,
    size: Cell<usize>,
    /// How many bytes of the chunk are given out; 0: it was not touched.
    used: Cell<usize>,
    /// The most that was asked for at once.
    largest: Cell<usize>,
    short: Cell<bool>,
}

/// Memory that the state of one instance falls back on.
pub(crate) struct Reserve(NonNull<Inner>);

// SAFETY: it is used only by the thread that has it lent, and `lend` asks for the lock that sees to it.
unsafe impl Send for Reserve {}
// SAFETY: as above.
unsafe impl Sync for Reserve {}

/// While it lives, this thread's memory comes out of the reserve where the system has none.
pub(crate) struct Lent {
    before: *const Inner,
}

thread_local! {
    /// The reserve that this thread has lent.
    static CURRENT: Cell<*const Inner> = const { Cell::new(ptr::null()) };
    /// So many requests to the system are refused, those of a thread with a reserve only.
    #[cfg(any(test, simulation))]
    static STARVING: Cell<u32> = const { Cell::new(0) };
}

/// The next requests for memory of this thread, while it has a reserve, are refused by the system.
#[cfg(any(test, simulation))]
#[cfg_attr(
    not(simulation),
    expect(unreachable_pub, reason = "only the simulation exports it")
)]
pub fn starve(requests: u32) {
    STARVING.set(requests);
}

#[cfg(any(test, simulation))]
pub(super) fn is_starving() -> bool {
    let left = STARVING.get();
    STARVING.set(left.saturating_sub(1));
    left > 0
}

#[cfg(not(any(test, simulation)))]
pub(super) fn is_starving() -> bool {
    false
}

pub(super) fn current() -> Option<&'static Inner> {
    // SAFETY: a reserve outlives that it is lent, by the promise of `lend`.
    unsafe { CURRENT.get().as_ref() }
}

/// Asks the system alone: what is refused does not come out of the reserve.
pub(super) fn may_be_refused<R, E>(ask: impl FnOnce() -> Result<R, E>) -> Result<R, i32> {
    if current().is_some() && is_starving() {
        return Err(libc::ENOMEM);
    }
    outside(ask).map_err(|_| libc::ENOMEM)
}

/// Runs `f` without the reserve.
pub(crate) fn outside<R>(f: impl FnOnce() -> R) -> R {
    let before = CURRENT.replace(ptr::null());
    let _lent = Lent { before };
    f()
}

/// Whether this thread has taken something out of the reserve that it has lent, which was not renewed since.
#[inline]
pub(crate) fn is_short() -> bool {
    current().is_some_and(|reserve| reserve.short.get())
}

/// So many bytes may be needed in one step later on: the reserve is made large enough for that.
#[inline]
pub(crate) fn foresee(bytes: usize) {
    if let Some(reserve) = current() {
        reserve.note(bytes);
    }
}

/// Makes the reserve that this thread has lent whole again, and as large as it has to be by now. ENOMEM: there is no
/// memory, and nothing is to be begun.
#[inline]
pub(crate) fn renew() -> Result<(), i32> {
    match current() {
        Some(reserve) if reserve.short.get() || reserve.size.get() < reserve.needed() => {
            reserve.renew()
        }
        _ => Ok(()),
    }
}

impl Reserve {
    pub(crate) fn new() -> Result<Reserve, i32> {
        let layout = Layout::new::<Inner>();
        // SAFETY: the layout is not empty.
        let inner = unsafe { System.alloc(layout) }.cast::<Inner>();
        let inner = NonNull::new(inner).ok_or(libc::ENOMEM)?;
        let fresh = Inner {
            chunk: Cell::new(null_mut()),
            size: Cell::new(0),
            used: Cell::new(0),
            largest: Cell::new(0),
            short: Cell::new(false),
        };
        // SAFETY: the memory is ours, large enough and aligned.
        unsafe { inner.write(fresh) };
        let reserve = Reserve(inner);
        reserve.inner().renew()?;
        Ok(reserve)
    }

    fn inner(&self) -> &Inner {
        // SAFETY: made in `new`, freed in `drop`.
        unsafe { self.0.as_ref() }
    }

    /// Runs `f` with the reserve lent to this thread.
    #[cfg(not(simulation))]
    pub(crate) fn during<R>(&mut self, f: impl FnOnce() -> R) -> R {
        // SAFETY: it is borrowed for as long as `f` runs, and nobody else can use it.
        let _lent = unsafe { self.lend() };
        f()
    }

    /// Lends the reserve to this thread.
    ///
    /// # Safety
    /// No other thread has it, and it outlives what this returns.
    #[inline]
    pub(super) unsafe fn lend(&self) -> Lent {
        let before = CURRENT.replace(self.0.as_ptr());
        Lent { before }
    }
}

impl Drop for Lent {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.inner().retire();
        // SAFETY: it was allocated with this layout, and nobody has it lent.
        unsafe { System.dealloc(self.0.as_ptr().cast(), Layout::new::<Inner>()) };
    }
}

impl Inner {
    fn needed(&self) -> usize {
        SMALLEST + TIMES_LARGEST * self.largest.get()
    }

    pub(super) fn note(&self, size: usize) {
        if size > self.largest.get() {
            self.largest.set(size);
        }
    }

    #[cold]
    fn renew(&self) -> Result<(), i32> {
        let needed = self.needed();
        // A quarter more, so that it need not grow often.
        let size = (needed + needed / 4).next_multiple_of(PAGE);
        if needed <= self.size.get() && self.is_given_back() {
            self.short.set(false);
            return Ok(());
        }
        if is_starving() {
            return Err(libc::ENOMEM);
        }
        let chunk = chunks::map(size)?;
        self.retire();
        self.chunk.set(chunk);
        self.size.set(size);
        self.used.set(0);
        self.short.set(false);
        Ok(())
    }

    /// Whether all that was given out of the chunk is free again.
    fn is_given_back(&self) -> bool {
        if self.used.get() > 0 {
            // SAFETY: the chunk is this reserve's, and was touched.
            if !unsafe { chunks::is_whole_again(self.chunk.get()) } {
                return false;
            }
            self.used.set(0);
        }
        true
    }

    /// Lets go of the chunk.
    fn retire(&self) {
        let (chunk, size) = (self.chunk.replace(null_mut()), self.size.replace(0));
        match self.used.replace(0) {
            _ if chunk.is_null() => {}
            0 => chunks::unmap(chunk, size),
            // SAFETY: the chunk was this reserve's, and was touched.
            _ => unsafe { chunks::let_go(chunk) },
        }
    }

    /// A piece of the chunk; NULL where it has no room for it.
    pub(super) fn take(&self, layout: Layout) -> *mut u8 {
        self.short.set(true);
        let used = self.used.get();
        let start = used.max(chunks::HEAD).next_multiple_of(layout.align());
        let end = start.checked_add(layout.size());
        let fits = end.filter(|&end| end <= self.size.get() && layout.align() <= PAGE);
        let Some(end) = fits else {
            return null_mut();
        };
        self.used.set(end);
        let chunk = self.chunk.get();
        // SAFETY: the chunk is this reserve's, with this size; without a piece in use it is untouched.
        unsafe { chunks::give_out(chunk, self.size.get(), used == 0) };
        // SAFETY: the piece lies within the chunk.
        unsafe { chunk.add(start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a reserve lent to this thread.
    fn with(f: impl FnOnce(&Reserve)) {
        let reserve = Reserve::new().unwrap();
        // SAFETY: the reserve is this thread's own, and outlives the guard.
        let lent = unsafe { reserve.lend() };
        f(&reserve);
        starve(0);
        drop(lent);
    }

    #[test]
    fn what_the_system_refuses_comes_out_of_the_reserve() {
        with(|_| {
            assert!(!is_short());
            starve(u32::MAX);
            let mut names: Vec<String> = Vec::new();
            for number in 0..1000 {
                names.push(format!("name {number}"));
            }
            assert!(is_short());
            starve(0);
            assert!(
                names
                    .iter()
                    .enumerate()
                    .all(|(n, name)| *name == format!("name {n}"))
            );
            names.push("the old ones move to where there is memory".into());
            assert_eq!(renew(), Ok(()));
            assert!(!is_short());
            assert_eq!(names[999], "name 999");
        });
    }

    #[test]
    fn room_may_be_refused_and_takes_nothing_of_the_reserve() {
        use crate::memory::{Room, copy_of};
        with(|_| {
            let mut bytes: Vec<u8> = Vec::new();
            assert_eq!(bytes.make_room(1 << 60), Err(libc::ENOMEM));
            assert_eq!(bytes.capacity(), 0);
            assert!(!is_short());
            assert_eq!(copy_of(b"name"), Ok(b"name".to_vec()));
        });
    }

    #[test]
    fn a_reserve_grows_with_what_may_double() {
        with(|reserve| {
            let before = reserve.inner().size.get();
            let large = vec![1_u8; 1 << 20];
            assert_eq!(renew(), Ok(()));
            assert!(reserve.inner().size.get() >= before + 3 * large.len());
            starve(1);
            let doubled = vec![2_u8; 2 << 20];
            assert!(is_short() && doubled[2_000_000] == 2);
        });
    }

    #[test]
    fn what_was_taken_outlives_the_reserve() {
        let mut kept = Vec::new();
        with(|_| {
            starve(1);
            kept = vec![7_u8; 1000];
            assert!(is_short());
        });
        assert!(chunks::is_of_reserve(kept.as_mut_ptr()));
        assert!(kept.iter().all(|&byte| byte == 7));
        kept.extend_from_slice(&[7; 5000]);
        assert!(!chunks::is_of_reserve(kept.as_mut_ptr()));
        assert_eq!(kept, [7; 6000]);
    }

    #[test]
    fn a_reserve_that_got_all_back_is_whole() {
        with(|reserve| {
            starve(1);
            drop(std::hint::black_box(vec![1_u8; 4096]));
            assert_eq!(renew(), Ok(()));
            let chunk = reserve.inner().chunk.get();
            for _ in 0..10_000 {
                starve(1);
                drop(std::hint::black_box(vec![1_u8; 4096]));
                assert_eq!(renew(), Ok(()));
            }
            assert_eq!(chunk, reserve.inner().chunk.get());
        });
    }
}
