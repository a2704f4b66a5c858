//! The virtual time.

use super::with_kernel;
use std::time::Duration;

/// The time since `reset`: what all system calls took.
pub(crate) fn now() -> Duration {
    with_kernel(|kernel| kernel.now())
}
