//! The handle table says what an `asyncinotify *` from C really is.
//!
//! The pointer is a token that is never dereferenced: it holds the index of a slot and the generation of the slot's present
//! occupant. Slots are never freed, so every value that C can pass is safe to look up, and a value that is not an open
//! handle is simply not found.
//!
//! A call holds its handle for as long as it lasts: it enters by one atomic add and leaves by one atomic sub. `close` takes
//! the handle away from new calls, and the last call to leave drops the instance. A callback may therefore close its handle.

use std::cell::UnsafeCell;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use crate::lock::{Guard, Lock};
use crate::memory::{Room, try_box};
use crate::sys::Sys;

// A token has, from its top bit down, the generation, the index and a 1. A slot's state has the generation, OPEN, CLOSING
// and the number of calls inside. The generation's top bit is always set and the token's last bit is 1, so no address of an
// object in user space looks like a token.
const LOW_BITS: u32 = if usize::BITS >= 64 { 24 } else { 16 };
const MAX_SLOTS: usize = 1 << (LOW_BITS - 1);
const FIRST_GENERATION: usize = 1 << (usize::BITS - 1 - LOW_BITS);
const LAST_GENERATION: usize = usize::MAX >> LOW_BITS;

const OPEN: usize = 1 << (LOW_BITS - 1);
const CLOSING: usize = 1 << (LOW_BITS - 2);
const CALLS: usize = CLOSING - 1;

// Chunk 0 is static; chunk n holds FIRST_CHUNK << n slots and is allocated when it is first needed.
const FIRST_CHUNK: usize = 64;
const CHUNKS: usize = (MAX_SLOTS / FIRST_CHUNK).ilog2() as usize + 1;

/// A slot is the place of one open instance. It is aligned so that two busy handles don't share a cache line.
#[repr(align(64))]
struct Slot<T> {
    state: AtomicUsize,
    value: UnsafeCell<Option<Box<T>>>,
}

impl<T> Slot<T> {
    const fn new() -> Self {
        Slot {
            state: AtomicUsize::new(0),
            value: UnsafeCell::new(None),
        }
    }
}

/// `open` and `reclaim` share this behind a lock, which the hot path never takes.
struct Vacancies {
    /// So many slots have ever been used; each of them is occupied, vacant or retired.
    used: usize,
    vacant: Vec<usize>,
}

pub(crate) struct HandleTable<T> {
    first: [Slot<T>; FIRST_CHUNK],
    further: [AtomicPtr<Slot<T>>; CHUNKS],
    vacancies: Lock<Vacancies>,
    /// This is set when a call that must not free memory was the last to leave a closed handle.
    orphans: AtomicBool,
}

// SAFETY: a slot's value is written only while its slot is vacant and owned by `open` or `reclaim`, and is shared between
// threads only as `&T` through `Entered`; the last call to leave drops it on its own thread.
unsafe impl<T: Send + Sync> Sync for HandleTable<T> {}

/// A call has entered a handle. While this lives the value is not dropped, though the handle may be closed.
/// With `FREES` false this never frees memory, so that a signal handler may have one. If such a call happens to be the last
/// to leave a closed handle, the next `open` or `close` drops the value.
pub(crate) struct Entered<'a, T, const FREES: bool = true> {
    table: &'a HandleTable<T>,
    slot: &'a Slot<T>,
    index: usize,
}

impl<T> HandleTable<T> {
    pub(crate) const fn new() -> Self {
        HandleTable {
            first: [const { Slot::new() }; FIRST_CHUNK],
            further: [const { AtomicPtr::new(std::ptr::null_mut()) }; CHUNKS],
            vacancies: Lock::new(Vacancies {
                used: 0,
                vacant: Vec::new(),
            }),
            orphans: AtomicBool::new(false),
        }
    }

    /// Puts a value into a vacant slot. When every slot is taken (ENFILE), or there is no memory, this drops the value.
    pub(crate) fn open(&self, value: T) -> Sys<usize> {
        self.reap();
        let value = try_box(value)?;
        let (index, slot) = self.vacate()?;
        // SAFETY: the slot is off the vacant list and not OPEN, so nobody else reads or writes its value.
        unsafe { *slot.value.get() = Some(value) };
        let last = slot.state.load(Ordering::Relaxed) >> LOW_BITS;
        let generation = if last == 0 {
            FIRST_GENERATION
        } else {
            last + 1
        };
        // The state is added to and not stored, for a caller with a stale token may be passing through and have its own
        // count in there.
        slot.state
            .fetch_add(((generation - last) << LOW_BITS) + OPEN, Ordering::Release);
        Ok(generation << LOW_BITS | index << 1 | 1)
    }

    /// Enters a call; returns `None` for anything that is not an open handle.
    #[inline]
    pub(crate) fn enter(&self, token: usize) -> Option<Entered<'_, T>> {
        self.enter_as(token)
    }

    /// Does the same for a call that has to be async-signal-safe.
    #[inline]
    pub(crate) fn enter_from_signal(&self, token: usize) -> Option<Entered<'_, T, false>> {
        self.enter_as(token)
    }

    #[inline]
    fn enter_as<const FREES: bool>(&self, token: usize) -> Option<Entered<'_, T, FREES>> {
        let index = (token & ((1 << LOW_BITS) - 1)) >> 1;
        if token & 1 == 0 {
            return None;
        }
        let slot = self.slot(index)?;
        let before = slot.state.fetch_add(1, Ordering::Acquire);
        let entered = Entered {
            table: self,
            slot,
            index,
        };
        // On a mismatch `entered` goes out of scope and takes its count back.
        ((before ^ token) >> LOW_BITS == 0 && before & OPEN != 0).then_some(entered)
    }

    /// Takes the handle away from later calls. The caller that gets `Some` has closed the handle.
    pub(crate) fn close(&self, token: usize) -> Option<Entered<'_, T>> {
        self.reap();
        let entered = self.enter(token)?;
        if entered.slot.state.fetch_and(!OPEN, Ordering::AcqRel) & OPEN == 0 {
            return None; // another thread closed it in between
        }
        // Only now may the last call to leave drop the value. That call can't have left before, for this one is inside.
        entered.slot.state.fetch_or(CLOSING, Ordering::AcqRel);
        Some(entered)
    }

    #[inline]
    fn slot(&self, index: usize) -> Option<&Slot<T>> {
        self.first.get(index).or_else(|| self.further_slot(index))
    }

    #[cold]
    fn further_slot(&self, index: usize) -> Option<&Slot<T>> {
        let (chunk, offset) = place(index);
        let slots = self.further.get(chunk)?.load(Ordering::Acquire);
        // SAFETY: a chunk that is not null is a leaked allocation of FIRST_CHUNK << chunk slots; `offset` is below that.
        (!slots.is_null()).then(|| unsafe { &*slots.add(offset) })
    }

    /// Finds a slot that nobody has: a vacant one, or one that was never used.
    fn vacate(&self) -> Sys<(usize, &Slot<T>)> {
        let mut vacancies = self.vacancies();
        let index = match vacancies.vacant.pop() {
            Some(index) => index,
            None if vacancies.used < MAX_SLOTS => {
                // When all of them are closed, they are all vacant: closing takes no memory.
                let all = vacancies.used + 1;
                vacancies.vacant.make_room(all)?;
                self.allocate_for(vacancies.used)?;
                vacancies.used += 1;
                vacancies.used - 1
            }
            None => return Err(libc::ENFILE),
        };
        let slot = self.slot(index).ok_or(libc::ENFILE)?;
        Ok((index, slot))
    }

    /// Makes the chunk that begins with this slot. The caller has locked the vacancies, so no two threads make the same one.
    fn allocate_for(&self, index: usize) -> Sys<()> {
        let (chunk, offset) = place(index);
        if chunk > 0 && offset == 0 {
            let mut slots: Vec<Slot<T>> = Vec::new();
            slots.make_room(FIRST_CHUNK << chunk)?;
            slots.resize_with(FIRST_CHUNK << chunk, Slot::new);
            self.further[chunk].store(slots.leak().as_mut_ptr(), Ordering::Release);
        }
        Ok(())
    }

    /// Drops the value of a closed handle if no call is inside any more.
    #[cold]
    fn reclaim(&self, slot: &Slot<T>, index: usize) {
        let state = slot.state.load(Ordering::Relaxed);
        if state & (CLOSING | CALLS) != CLOSING {
            return;
        }
        // Of several calls that find the handle empty one wins here. If the exchange fails because a call with a stale
        // token passes through, then that call comes here next.
        if slot
            .state
            .compare_exchange(
                state,
                state & !CLOSING,
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .is_err()
        {
            return;
        }
        // SAFETY: the slot is neither OPEN nor CLOSING, and not on the vacant list: it belongs to this thread alone.
        let value = unsafe { (*slot.value.get()).take() };
        drop(value);
        // A slot whose generations are used up is never used again, so that no token ever comes back.
        if state >> LOW_BITS != LAST_GENERATION {
            self.vacancies().vacant.push(index);
        }
    }

    /// Drops the values that calls from a signal handler had to leave behind.
    #[inline]
    fn reap(&self) {
        if self.orphans.load(Ordering::Relaxed) && self.orphans.swap(false, Ordering::Acquire) {
            let used = self.vacancies().used;
            for index in 0..used {
                if let Some(slot) = self.slot(index) {
                    self.reclaim(slot, index);
                }
            }
        }
    }

    fn vacancies(&self) -> Guard<'_, Vacancies> {
        self.vacancies.lock()
    }
}

/// Returns the chunk of an index and the offset in that chunk.
fn place(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST_CHUNK + 1).ilog2() as usize;
    (chunk, index - FIRST_CHUNK * ((1 << chunk) - 1))
}

impl<T, const FREES: bool> Entered<'_, T, FREES> {
    /// Returns the token with which the call entered.
    #[inline]
    pub(crate) fn token(&self) -> usize {
        // The generation can't change while this call is inside.
        let generation = self.slot.state.load(Ordering::Relaxed) >> LOW_BITS;
        generation << LOW_BITS | self.index << 1 | 1
    }

    /// Returns false once this thread or another has closed the handle.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.slot.state.load(Ordering::Acquire) & OPEN != 0
    }
}

impl<T, const FREES: bool> Deref for Entered<'_, T, FREES> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: `enter` saw the slot OPEN in this generation, and the value stays until the count of `enter` is taken back.
        let value = unsafe { (*self.slot.value.get()).as_deref() };
        // SAFETY: an OPEN slot holds a value.
        unsafe { value.unwrap_unchecked() }
    }
}

impl<T, const FREES: bool> Drop for Entered<'_, T, FREES> {
    #[inline]
    fn drop(&mut self) {
        let before = self.slot.state.fetch_sub(1, Ordering::Release);
        if before & (CLOSING | CALLS) == CLOSING | 1 {
            match FREES {
                true => self.table.reclaim(self.slot, self.index),
                false => self.table.orphans.store(true, Ordering::Release),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    type Counted = Arc<AtomicU32>;
    /// This counts how many values were dropped.
    struct Value(Counted, u32);
    impl Drop for Value {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn table() -> &'static HandleTable<Value> {
        Box::leak(Box::new(HandleTable::new()))
    }

    #[test]
    fn garbage_is_not_found() {
        let table = table();
        let token = table.open(Value(Counted::default(), 7)).unwrap();
        assert_eq!(table.enter(token).unwrap().1, 7);
        let local = 0u64;
        let addresses = [
            &raw const local as usize,
            table as *const _ as usize,
            garbage_is_not_found as *const () as usize,
        ];
        let near = [
            token ^ 1,
            token + 2,
            token - 2,
            token.wrapping_add(1 << LOW_BITS),
            token.wrapping_sub(1 << LOW_BITS),
        ];
        for value in [0, 1, 2, 0xffff, usize::MAX, usize::MAX >> 1]
            .into_iter()
            .chain(addresses)
            .chain(near)
        {
            assert!(table.enter(value).is_none(), "{value:#x}");
            assert!(table.close(value).is_none(), "{value:#x}");
        }
        for bit in 0..usize::BITS {
            assert!(table.enter(token ^ (1 << bit)).is_none(), "bit {bit}");
        }
        assert_eq!(table.enter(token).unwrap().1, 7);
    }

    #[test]
    fn no_address_of_an_object_looks_like_a_token() {
        let token = table().open(Value(Counted::default(), 0)).unwrap();
        assert_eq!(token & 1, 1);
        assert_eq!(token >> (usize::BITS - 1), 1);
    }

    #[test]
    fn a_closed_handle_stays_stale_when_its_slot_is_used_again() {
        let table = table();
        let drops = Counted::default();
        let mut tokens = Vec::new();
        for turn in 0..if cfg!(miri) { 20 } else { 1000 } {
            let token = table.open(Value(drops.clone(), turn)).unwrap();
            assert!(!tokens.contains(&token));
            for &stale in &tokens {
                assert!(table.enter(stale).is_none() && table.close(stale).is_none());
            }
            drop(table.close(token).unwrap());
            assert_eq!(drops.load(Ordering::SeqCst), turn + 1);
            assert!(table.enter(token).is_none());
            tokens.push(token);
        }
        assert_eq!(table.vacancies().used, 1, "one slot served them all");
    }

    #[test]
    fn a_slot_with_all_generations_used_is_retired() {
        let table = table();
        let first = table.open(Value(Counted::default(), 0)).unwrap();
        drop(table.close(first).unwrap());
        table.first[0]
            .state
            .store((LAST_GENERATION - 1) << LOW_BITS, Ordering::SeqCst);
        let last = table.open(Value(Counted::default(), 1)).unwrap();
        assert_eq!(last >> LOW_BITS, LAST_GENERATION);
        drop(table.close(last).unwrap());
        let next = table.open(Value(Counted::default(), 2)).unwrap();
        assert_eq!((next & ((1 << LOW_BITS) - 1)) >> 1, 1, "the second slot");
        assert!(table.enter(first).is_none() && table.enter(last).is_none());
        assert_eq!(table.enter(next).unwrap().1, 2);
    }

    #[test]
    fn the_last_one_out_drops() {
        let table = table();
        let drops = Counted::default();
        let token = table.open(Value(drops.clone(), 1)).unwrap();
        let outer = table.enter(token).unwrap();
        let inner = table.enter(token).unwrap();
        assert!(outer.is_open());
        drop(table.close(token).unwrap());
        assert!(!outer.is_open());
        assert!(
            table.enter(token).is_none(),
            "a stale visitor must not drop it either"
        );
        drop(inner);
        assert_eq!((outer.1, drops.load(Ordering::SeqCst)), (1, 0));
        drop(outer);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_a_signal_handler_left_is_dropped_by_the_next_open_or_close() {
        let table = table();
        let drops = Counted::default();
        let token = table.open(Value(drops.clone(), 1)).unwrap();
        let signal = table.enter_from_signal(token).unwrap();
        drop(table.close(token).unwrap());
        drop(signal);
        assert_eq!(drops.load(Ordering::SeqCst), 0);
        let other = table.open(Value(drops.clone(), 2)).unwrap();
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        let signal = table.enter_from_signal(other).unwrap();
        drop(table.close(other).unwrap());
        assert!(table.enter_from_signal(other).is_none());
        drop(signal);
        assert!(table.close(other).is_none());
        assert_eq!(drops.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn many_handles_at_once() {
        let table = table();
        let drops = Counted::default();
        let many: u32 = if cfg!(miri) { 200 } else { 5000 };
        let tokens: Vec<usize> = (0..many)
            .map(|n| table.open(Value(drops.clone(), n)).unwrap())
            .collect();
        for (n, &token) in tokens.iter().enumerate() {
            assert_eq!(table.enter(token).unwrap().1, n as u32);
        }
        for &token in &tokens {
            drop(table.close(token).unwrap());
        }
        assert_eq!(drops.load(Ordering::SeqCst), many);
        assert!(tokens.iter().all(|&token| table.enter(token).is_none()));
        assert_eq!(
            (place(63), place(64), place(191), place(192)),
            ((0, 63), (1, 0), (1, 127), (2, 0))
        );
        assert_eq!(place(MAX_SLOTS - 1).0, CHUNKS - 1);
    }

    /// Threads use, close and reopen the same few slots. Each value has to be dropped once, and no call may see a dropped
    /// one.
    #[test]
    fn concurrent_calls_and_closes() {
        let table = table();
        let tokens: &[AtomicUsize] = Box::leak(Box::new([const { AtomicUsize::new(0) }; 4]));
        let (opened, dropped) = (Counted::default(), Counted::default());
        const ROUNDS: usize = if cfg!(miri) { 200 } else { 40_000 };
        std::thread::scope(|scope| {
            for thread in 0..4usize {
                let (opened, dropped) = (opened.clone(), dropped.clone());
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let shared = &tokens[(thread + round * 7) % tokens.len()];
                        let token = shared.load(Ordering::Relaxed);
                        match round % 8 {
                            0 => {
                                opened.fetch_add(1, Ordering::SeqCst);
                                let fresh = table.open(Value(dropped.clone(), 0xfeed)).unwrap();
                                // The thread that takes a token out of its place closes the handle.
                                let old = shared.swap(fresh, Ordering::Relaxed);
                                drop(table.close(old));
                            }
                            1 => drop(table.close(token)),
                            2 => {
                                if let Some(value) = table.enter_from_signal(token) {
                                    assert_eq!(value.1, 0xfeed);
                                }
                            }
                            _ => {
                                if let Some(value) = table.enter(token) {
                                    assert_eq!(value.1, 0xfeed);
                                }
                            }
                        }
                    }
                });
            }
        });
        for token in tokens {
            drop(table.close(token.load(Ordering::SeqCst)));
        }
        table.reap();
        assert_eq!(
            opened.load(Ordering::SeqCst),
            dropped.load(Ordering::SeqCst)
        );
    }
}
