//! The invariants, which hold after each step.

use super::Engine;

impl Engine {
    /// Panics if an invariant does not hold.
    pub(crate) fn check(&self) {
        #[cfg(not(simulation))]
        self.check_all();
        // What the assertions themselves need is not what runs out.
        #[cfg(simulation)]
        crate::memory::outside(|| self.check_all());
    }

    fn check_all(&self) {
        self.watches.check();
        self.scans.check(&self.forest);
        let scanned = self.scans.places(&self.forest);
        self.forest.check(&self.watches, &scanned);
    }
}
