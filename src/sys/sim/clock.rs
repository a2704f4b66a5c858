//! The virtual time.

use std::time::Duration;

pub(crate) fn now() -> Duration {
    super::with_kernel(|kernel| kernel.now())
}
