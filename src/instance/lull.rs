//! What is known of there being nothing to take, without the engine's lock.
//!
//! To find the kernel's queue empty costs a read and a lock. A look at the queue (FIONREAD) costs less, but where something
//! is queued the read comes on top of it. So a look is made only where it is likely to find nothing: where a call has just
//! taken all there was, unless more has come at once the last time, and where nothing was there twice in a row. A program
//! that waits for the pollable fd and takes until nothing is left thereby makes one read for a wake-up, and one look.

use std::sync::atomic::{AtomicU8, Ordering};

/// The engine may have something to do, or the kernel's queue was not seen empty since.
const NONE: u8 = 0;
/// The engine is at rest. Events have just been taken.
const BEGUN: u8 = 1;
/// A call has found nothing since.
const SEEN: u8 = 2;
/// So has the next call.
const LASTING: u8 = 3;
const STATE: u8 = 3;

/// The last time that a lull had begun, the next call found events.
const BRIEF: u8 = 4;

/// Changed with the engine locked, but for `look_was_right`.
#[derive(Default)]
pub(super) struct Lull(AtomicU8);

/// A lull that has ended.
pub(super) struct Ended(u8);

impl Lull {
    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// The engine is at rest: nothing but the kernel's queue can have something to take.
    #[inline]
    pub(super) fn is_there(&self) -> bool {
        self.get() & STATE != NONE
    }

    /// The engine may have something to do from now on.
    #[inline]
    pub(super) fn end(&self) -> Ended {
        let lull = self.get();
        self.0.store(lull & BRIEF, Ordering::Relaxed);
        Ended(lull)
    }

    /// The engine is at rest, and was asked for events.
    #[inline]
    pub(super) fn begin(&self, before: &Ended, found: bool) {
        let state = before.0 & STATE;
        let brief = match state {
            BEGUN if found => BRIEF,
            BEGUN => 0,
            _ => before.0 & BRIEF,
        };
        let state = match found {
            true => BEGUN,
            false if state == NONE || state == BEGUN => SEEN,
            false => LASTING,
        };
        self.0.store(state | brief, Ordering::Relaxed);
    }

    /// Whether a look is likely to find nothing.
    #[inline]
    pub(super) fn is_for_a_look(&self) -> bool {
        matches!(self.get(), BEGUN) || self.get() & STATE == LASTING
    }

    /// A look has found nothing.
    #[inline]
    pub(super) fn look_was_right(&self) {
        if self.get() == BEGUN {
            // Another thread may have ended it.
            let relaxed = Ordering::Relaxed;
            let _ = self.0.compare_exchange(BEGUN, SEEN, relaxed, relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked of the kernel for calls that find these: `r` for a read, `l` for a look, `b` for both.
    fn calls(finds: &[bool]) -> String {
        let lull = Lull::default();
        let one = |&found: &bool| {
            let looks = lull.is_there() && lull.is_for_a_look();
            if looks && !found {
                lull.look_was_right();
                return 'l';
            }
            let before = lull.end();
            lull.begin(&before, found);
            if looks { 'b' } else { 'r' }
        };
        finds.iter().map(one).collect()
    }

    #[test]
    fn a_wake_up_costs_one_read_and_one_look() {
        assert_eq!(calls(&[true, false].repeat(4)), "rlrlrlrl");
        assert_eq!(calls(&[true, true, false].repeat(3)), "rbrrbrrbr");
    }

    #[test]
    fn one_event_for_each_wake_up_needs_no_look() {
        assert_eq!(calls(&[true; 6]), "rbrrrr");
    }

    #[test]
    fn who_asks_again_and_again_looks() {
        assert_eq!(calls(&[false; 6]), "rrllll");
        assert_eq!(calls(&[false, false, false, true, false, false]), "rrlblr");
    }
}
