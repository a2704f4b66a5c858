//! inotify for every event loop: full paths, a pollable fd, and recursive watches that lose nothing.
//!
//! This is the safe core. C programs use the functions in [`capi`], which convert and nothing else; their manual is
//! `include/asyncinotify.h`.
//!
//! The way of an event: kernel → `sys` (the only system calls) → `backlog` (raw bytes) → `watch` and `follow` (who hears
//! of it, and what it means for the trees) → `batch` (records with paths) → `turn` (taking them) → the C skin. `scan`
//! feeds what was in a directory before its watch into the same line.

mod anchor;
mod backlog;
mod batch;
mod error;
mod exchange;
mod follow;
mod found;
mod identify;
#[cfg(not(simulation))]
mod inotify;
mod limbo;
mod listing;
mod mask;
mod moves;
mod places;
mod scan;
mod shortcut;
#[cfg(simulation)]
pub mod simulation;
mod slab;
mod state;
mod sys;
mod tree;
#[cfg(not(simulation))]
mod turn;
mod watch;
mod watch_id;

#[cfg(not(simulation))]
pub mod capi;

pub use batch::{Event, Text};
pub use error::{Error, Result};
#[cfg(not(simulation))]
pub use inotify::{Inotify, SyncTimeout};
pub use mask::{EventFlags, InitFlags, Mask, RecursiveFlags};
pub use tree::{Filter, RecursiveOptions};
#[cfg(not(simulation))]
pub use turn::{Deadline, Turn};
pub use watch_id::WatchId;
