//! How far one call goes.

use crate::sys::clock;
use std::cell::Cell;
use std::time::Duration;

/// How long one call works on scans before it lets the event loop go on.
const SLICE: Duration = Duration::from_millis(4);
/// How many events are made ready before they are delivered: as many as stay in the processor's cache meanwhile.
const ENOUGH: usize = 256;

pub(crate) struct Pace {
    /// Set with the first look at the clock: most calls need none.
    deadline: Cell<Option<Duration>>,
    was_over: Cell<bool>,
    /// Whether the kernel's queue was read.
    has_read: Cell<bool>,
    enough: usize,
    /// Stops when this tree is set up.
    until: Option<u32>,
}

impl Pace {
    pub(crate) fn one_slice() -> Pace {
        Pace {
            deadline: Cell::new(None),
            was_over: Cell::new(false),
            has_read: Cell::new(false),
            enough: ENOUGH,
            until: None,
        }
    }

    /// The caller waits for `tree` and takes no events meanwhile.
    pub(crate) fn until_set_up(tree: u32) -> Pace {
        Pace {
            deadline: Cell::new(None),
            was_over: Cell::new(false),
            has_read: Cell::new(false),
            enough: usize::MAX,
            until: Some(tree),
        }
    }

    /// However long it takes.
    pub(crate) fn to_the_end() -> Pace {
        Pace {
            deadline: Cell::new(Some(Duration::MAX)),
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
        let now = clock::now();
        match self.deadline.get() {
            Some(deadline) => {
                let over = now >= deadline;
                self.was_over.set(over);
                over
            }
            None => {
                self.deadline.set(Some(now + SLICE));
                false
            }
        }
    }
}
