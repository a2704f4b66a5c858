//! The invariants, which hold after each step.

use super::Engine;

impl Engine {
    /// Panics if an invariant does not hold.
    pub(crate) fn check(&self) {
        self.watches.check();
        self.scans.check(&self.forest);
        self.forest
            .check(&self.watches, &self.scans.places(&self.forest));
    }
}
