//! The stream of events: bytes as the kernel wrote them on the one side, records with paths on the other.

mod backlog;
mod batch;
#[cfg(all(fuzzing, not(simulation)))]
mod fuzz;
mod moves;
mod outbox;
mod position;
mod source;

pub(crate) use backlog::{RawEvent, raw_events};
pub(crate) use batch::{Batch, Record};
pub use batch::{Event, Text};
#[cfg(all(fuzzing, not(simulation)))]
pub(crate) use fuzz::backlog as fuzz_backlog;
pub(crate) use outbox::{Outbox, PathKey};
pub(crate) use position::Position;
pub(crate) use source::Stream;
