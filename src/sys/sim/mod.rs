//! A kernel inside the process: inodes, dentries, directory locks, inotify. A schedule decides who takes the next step.

pub(crate) mod clock;
pub(crate) mod directory;
pub(crate) mod inotify;
mod operations;
mod schedule;

pub use operations::Operation;
pub use schedule::{Call, CallKind, Schedule};

use std::collections::BTreeMap;
use std::time::Duration;

/// What the kernel allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// fs.inotify.max_queued_events.
    pub queue: usize,
    /// fs.inotify.max_user_watches.
    pub watches: usize,
    /// RLIMIT_NOFILE, as far as the library has the descriptors.
    pub descriptors: usize,
    /// The time that each system call takes.
    pub call_cost: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            queue: 16384,
            watches: usize::MAX,
            descriptors: usize::MAX,
            call_cost: Duration::from_micros(2),
        }
    }
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EntryKind {
    Directory,
    Regular,
    Other,
}

/// An operation that has begun. The kernel keeps it: a call that waits for one of its locks runs it on.
#[derive(Debug, PartialEq, Eq)]
pub struct Pending {
    number: u64,
}

/// What the next step of an operation reads or changes. A call that touches none of it goes the same way before the step
/// and after it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Effect {
    /// Inodes whose entries, attributes or watches matter.
    pub inodes: Vec<u64>,
    /// Whether an event is queued, as the watches are now.
    pub tells: bool,
}

/// The kernel of this thread.
pub struct Kernel {
    limits: Limits,
}

/// A fresh kernel for this thread: an empty root directory, inode 1. Everything else is dropped, the schedule too.
pub fn reset(_limits: Limits) {
    todo!()
}

pub fn with_kernel<R>(_f: impl FnOnce(&mut Kernel) -> R) -> R {
    todo!()
}

pub fn set_schedule(_schedule: Option<Schedule>) {
    todo!()
}

impl Kernel {
    /// Begins an operation. An errno if it can't be done in the present state.
    pub fn begin(&mut self, _op: &Operation) -> Result<Pending, i32> {
        todo!()
    }

    /// Takes one step of an operation; false: it was the last, or it was done already. Its first step can fail as `begin`
    /// does, if the world has changed since. EBUSY: another operation holds a lock that it needs; step that one first.
    pub fn step(&mut self, _pending: &mut Pending) -> Result<bool, i32> {
        todo!()
    }

    /// What the next step would read or change; None if the operation is done.
    pub fn effect(&self, _pending: &Pending) -> Option<Effect> {
        todo!()
    }

    /// The operation, the whole of it.
    pub fn run(&mut self, _op: &Operation) -> Result<(), i32> {
        todo!()
    }

    /// What is below a directory, with full paths, across mounts.
    pub fn tree(&self, _path: &[u8]) -> BTreeMap<Vec<u8>, EntryKind> {
        todo!()
    }

    /// The watches of the instance: wd, inode, a path of the inode or nothing if it has none, mask.
    pub fn watches(&self) -> Vec<(i32, u64, Vec<u8>, u32)> {
        todo!()
    }

    /// How many events can be read.
    pub fn queued(&self) -> usize {
        todo!()
    }

    pub fn open_descriptors(&self) -> usize {
        todo!()
    }

    /// How many system calls the library has made since `reset`.
    pub fn calls(&self) -> u64 {
        todo!()
    }

    /// A hash of all state: equal after equal runs.
    pub fn digest(&self) -> u64 {
        todo!()
    }

    pub fn inode_at(&self, _path: &[u8]) -> Option<u64> {
        todo!()
    }

    /// The virtual time since `reset`.
    pub fn now(&self) -> Duration {
        todo!()
    }

    /// Lets time pass that no call takes.
    pub fn pass(&mut self, _time: Duration) {
        todo!()
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How many entries one getdents64(2) returns at most; the buffer of the library limits it too.
    pub fn set_listing_chunk(&mut self, _entries: usize) {
        todo!()
    }

    /// Whether /proc is mounted; it is after `reset`.
    pub fn set_proc(&mut self, _mounted: bool) {
        todo!()
    }
}
