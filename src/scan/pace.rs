//! How far one call goes.

use crate::memory;
use crate::sys::clock;
use std::cell::Cell;
use std::time::Duration;

/// How long one call works on scans before it lets the event loop go on.
const SLICE: Duration = Duration::from_millis(4);
/// How many events are made ready before they are delivered: as many as stay in the processor's cache meanwhile.
const ENOUGH: usize = 256;

pub(crate) struct Pace {
    slice: Duration,
    /// Set with the first look at the clock: most calls need none.
    began: Cell<Option<Duration>>,
    was_over: Cell<bool>,
    /// Whether the kernel's queue was read.
    has_read: Cell<bool>,
    enough: usize,
    /// Stops when this tree is set up.
    until: Option<u32>,
}

impl Pace {
    pub(crate) fn one_slice() -> Pace {
        Pace::rest_of_slice(Duration::ZERO)
    }

    /// What is left of a slice when so much of it was spent: one step at least.
    pub(crate) fn rest_of_slice(spent: Duration) -> Pace {
        Pace {
            slice: SLICE.saturating_sub(spent),
            began: Cell::new(None),
            was_over: Cell::new(false),
            has_read: Cell::new(false),
            enough: ENOUGH,
            until: None,
        }
    }

    /// The caller waits for `tree` and takes no events meanwhile.
    pub(crate) fn until_set_up(tree: u32) -> Pace {
        Pace {
            slice: SLICE,
            began: Cell::new(None),
            was_over: Cell::new(false),
            has_read: Cell::new(false),
            enough: usize::MAX,
            until: Some(tree),
        }
    }

    /// However long it takes.
    pub(crate) fn to_the_end() -> Pace {
        Pace {
            slice: Duration::MAX,
            began: Cell::new(None),
            was_over: Cell::new(false),
            has_read: Cell::new(false),
            enough: usize::MAX,
            until: None,
        }
    }

    pub(crate) fn enough(&self) -> usize {
        self.enough
    }

    pub(crate) fn until(&self) -> Option<u32> {
        self.until
    }

    /// Whether the kernel's queue was read before in this call; from now on it was.
    pub(crate) fn has_read_before(&self) -> bool {
        self.has_read.replace(true)
    }

    /// Whether the time was found to be over.
    pub(crate) fn was_over(&self) -> bool {
        self.was_over.get()
    }

    pub(crate) fn is_over(&self) -> bool {
        if memory::is_short() {
            // No other work is begun before there is memory.
            self.stop();
            return true;
        }
        let now = clock::now();
        match self.began.get() {
            Some(began) => {
                let over = now.saturating_sub(began) >= self.slice;
                self.was_over.set(over);
                over
            }
            None => {
                self.began.set(Some(now));
                false
            }
        }
    }

    /// The call ends, whatever time is left.
    pub(crate) fn stop(&self) {
        self.was_over.set(true);
    }

    /// How long the work has gone on, where it took a look at the clock.
    pub(crate) fn spent(&self) -> Duration {
        let since = |began| clock::now().saturating_sub(began);
        self.began.get().map_or(Duration::ZERO, since)
    }
}
