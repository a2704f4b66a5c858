//! Handle IDs of watches.

use std::sync::atomic::{AtomicU64, Ordering};

/// Names a watch for the life of the process: never 0, never used twice, over all instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(u64);

impl WatchId {
    pub(crate) fn next() -> WatchId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        WatchId(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub fn from_raw(raw: u64) -> WatchId {
        WatchId(raw)
    }

    #[inline]
    pub fn as_raw(self) -> u64 {
        self.0
    }
}
