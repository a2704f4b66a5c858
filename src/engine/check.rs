//! What must be so after each step.

use super::Engine;

impl Engine {
    /// Panics where something is not as it must be.
    pub(crate) fn check(&self) {
        self.watches.check();
        self.scans.check(&self.forest);
        self.forest
            .check(&self.watches, &self.scans.places(&self.forest));
    }
}
