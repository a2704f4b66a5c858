//! inotify for every event loop: full paths, a pollable fd, and recursive watches that lose nothing.
//!
//! This is the safe core. C programs use the functions in [`capi`], which convert and nothing else; their manual is
//! `include/asyncinotify.h`.
//!
//! The way of an event: kernel → `sys` (the only system calls) → `backlog` (raw bytes) → `watch` and `follow` (who hears
//! of it, and what it means for the trees) → `batch` (records with paths) → `turn` (taking them) → the C skin. `scan`
//! feeds what was in a directory before its watch into the same line.

mod debug;
mod engine;
mod error;
#[cfg(not(simulation))]
mod instance;
mod mask;
mod scan;
#[cfg(simulation)]
pub mod simulation;
mod slab;
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
