//! The time that passes while a call works.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The time since some moment in the past; it never goes back.
pub(crate) fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
