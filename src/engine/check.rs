//! The invariants, which hold after each step.

use super::Engine;
use crate::memory;

impl Engine {
    /// Panics if an invariant does not hold.
    pub(crate) fn check(&self) {
        memory::outside(|| {
            self.watches.check();
            self.scans.check(&self.forest);
            let scanned = self.scans.places(&self.forest);
            self.forest.check(&self.watches, &scanned);
        });
    }
}
