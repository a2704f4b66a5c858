//! An instance: what is shared between threads, the pollable fd, and taking events.

mod dump;
mod inotify;
mod lull;
mod trees;
mod turn;

pub use inotify::{Inotify, SyncTimeout};
pub use turn::{Deadline, Turn};
