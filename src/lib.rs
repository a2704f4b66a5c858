//! inotify for every event loop: full paths, a pollable fd, and recursive watches that lose nothing.
//!
//! This is the safe core. C programs use the functions in [`capi`], which convert and nothing else; their manual is
//! `include/asyncinotify.h`.
//!
//! The way of an event: the kernel's queue is read by `sys` into the `stream`, `engine` decodes it, `watches` knows who hears
//! of it, `tree` follows what it means for recursive watches, and the record waits in the `stream`'s outbox until `instance`
//! hands it to a consumer. `tree` makes no system call: what it wants of the disk it asks `scan` for. What a scan finds comes
//! back as events at the position in the stream where it was true. `docs/ARCHITECTURE.md` tells the whole story.

#![cfg_attr(
    not(any(test, simulation, fuzzing)),
    warn(clippy::disallowed_methods, clippy::disallowed_types)
)]
// The skin and the instance, which use the rest, are not there.
#![cfg_attr(simulation, allow(dead_code))]

// What may end the process for want of memory (clippy.toml) is allowed in modules that run with an instance's reserve
// lent: it has what they may need in one step.
mod advice;
mod debug;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
mod engine;
mod error;
#[cfg(not(simulation))]
mod fixed_text;
#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(not(simulation))]
mod instance;
mod lock;
mod mask;
mod memory;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
mod scan;
#[cfg(simulation)]
pub mod simulation;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
mod slab;
mod spread;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
mod stream;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
mod sys;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
mod tree;
mod watch_id;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
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
