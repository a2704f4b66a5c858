//! All that an instance knows, behind one mutex, and the order of its work.
//!
//! An event is read from the kernel into the stream, decoded for those who hear of its descriptor, followed by the trees,
//! and told into the outbox. Scans of directories feed the same line: what they find is told as events at the position in
//! the stream where it belongs. `next_step` is the order in which all of it is done.

mod adding;
mod asking;
#[cfg(any(debug_assertions, simulation))]
mod check;
mod decode;
#[cfg(not(simulation))]
mod dump;
mod step;

#[cfg(not(simulation))]
use crate::debug::Log;
use crate::memory::Shared;
use crate::scan::{Scans, Work};
use crate::stream::{Outbox, Stream};
use crate::sys::inotify::{InotifyFd, MAX_EVENT};
use crate::tree::{Effects, Forest, Question};
use crate::watches::Watches;

pub(crate) struct Engine {
    stream: Stream,
    watches: Watches,
    forest: Forest,
    scans: Scans,
    out: Outbox,
    /// The kernel's queue is to be read before nothing is left to do. An edge-triggered waiter that is told "nothing now"
    /// would not come again for what is queued.
    must_read: bool,
    /// How often the queue was read while half of a rename was waited for.
    reads_in_limbo: u32,
    /// A sweep has waited for half of a rename that never came: it has its turn before the next event is decoded.
    sweep_is_late: bool,
    /// The last step was a scan: what is to be taken away has its turn.
    has_scanned: bool,
}

pub(crate) enum Filled {
    /// Events, or the end of a slice, or nothing to do: `has_work` tells.
    Done,
    /// A filter has to be asked, with the mutex released.
    Ask(Question),
}

impl Engine {
    pub(crate) fn new(inotify: Shared<InotifyFd>, cache_size: usize) -> Engine {
        let stream = Stream::new(inotify, cache_size * MAX_EVENT);
        Engine {
            watches: Watches::default(),
            forest: Forest::new(stream.log()),
            stream,
            scans: Scans::default(),
            out: Outbox::default(),
            must_read: false,
            reads_in_limbo: 0,
            sweep_is_late: false,
            has_scanned: false,
        }
    }

    #[cfg(not(simulation))]
    pub(crate) fn log(&self) -> Log {
        self.stream.log()
    }

    pub(crate) fn set_read_size(&mut self, bytes: usize) {
        self.stream.set_read_size(bytes);
    }

    /// The scans, and what they work with.
    fn scans(&mut self) -> (&mut Scans, Work<'_>) {
        let work = Work {
            stream: &mut self.stream,
            forest: &mut self.forest,
            watches: &mut self.watches,
            out: &mut self.out,
        };
        (&mut self.scans, work)
    }

    /// The trees, and what they may change.
    fn trees(&mut self) -> (&mut Forest, Effects<'_>) {
        let effects = Effects {
            watches: &mut self.watches,
            out: &mut self.out,
            position: self.stream.head(),
        };
        (&mut self.forest, effects)
    }

    fn remove_unheld(&mut self) {
        let (scans, mut work) = self.scans();
        scans.remove_unheld(&mut work);
    }
}
