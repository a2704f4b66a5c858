//! inotify for every event loop: full paths, a pollable fd, and recursive watches that lose nothing.
//!
//! This is the safe core. C programs use the functions in [`capi`], which convert and nothing else; their manual is
//! `include/asyncinotify.h`.
//!
//! The way of an event: the kernel's queue is read by `sys` into the `stream`, `engine` decodes it, `watches` knows who hears
//! of it, `tree` follows what it means for recursive watches, and the record waits in the `stream`'s outbox until `instance`
//! hands it to a consumer. `tree` makes no system call: what it wants of the disk it asks `scan` for. What a scan finds comes
//! back as events at the position in the stream where it was true. `docs/ARCHITECTURE.md` tells the whole story.

mod advice;
mod debug;
mod engine;
mod error;
#[cfg(not(simulation))]
mod fixed_text;
#[cfg(not(simulation))]
mod instance;
mod mask;
mod memory;
mod scan;
#[cfg(simulation)]
pub mod simulation;
mod slab;
mod spread;
mod stream;
mod sys;
mod tree;
mod watch_id;
mod watches;

#[cfg(not(simulation))]
pub mod capi;

pub use error::{Error, Result};
#[cfg(not(simulation))]
pub use instance::{Deadline, Inotify, SyncTimeout, Turn};
pub use mask::{EventFlags, InitFlags, Mask, RecursiveFlags};
pub use stream::{Event, Text};
pub use tree::{Filter, RecursiveOptions};
pub use watch_id::WatchId;
