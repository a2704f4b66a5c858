//! A kernel inside the process, in which a schedule decides who takes the next step: the library, with a system call, or
//! the world, with a part of an operation.
//!
//! What of Linux decides about the correctness of the library is modelled as fs/namei.c, fs/dcache.c and fs/notify have
//! it, down to the order of checks and events: names (dentries) apart from inodes, the locks of directories, that a
//! change is first seen and then told, merging, overflow, limits, permissions, mounts. Equal runs are equal to the byte:
//! there is no clock, no hash order and no randomness in here. `tests/simulation/against_kernel.rs` plays the same
//! operations on it and on the real kernel.

mod actions;
mod arena;
mod bare;
pub(crate) mod clock;
pub(crate) mod directory;
mod files;
mod inodes;
pub(crate) mod inotify;
mod operations;
mod preview;
mod queue;
mod schedule;
mod snapshot;
mod steps;
#[cfg(test)]
mod tests;
mod touch;
mod walk;
mod watches;

pub use bare::{BareDirectory, BareInotify};
pub use operations::Operation;
pub use schedule::{Call, CallKind, Schedule, set_schedule};
pub use steps::Pending;
pub use touch::{Aspect, Effect, Touch};

use crate::memory;
use arena::Arena;
use files::File;
use inodes::{Dentry, DentryId, Filesystem, Inode};
use std::cell::RefCell;
use std::time::Duration;
use steps::Running;
use watches::Instance;

/// What the kernel allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// fs.inotify.max_queued_events.
    pub queue: usize,
    /// fs.inotify.max_user_watches.
    pub watches: usize,
    /// RLIMIT_NOFILE, as far as the library has the descriptors.
    pub descriptors: usize,
    /// The virtual time that each system call takes. If it is long, the library's slices end early.
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

/// The kernel of this thread.
pub struct Kernel {
    limits: Limits,
    /// How many entries getdents64(2) returns at most.
    listing_chunk: usize,
    fine_walks: bool,
    late_ends: bool,
    /// Whether getdents64(2) tells what the entries are.
    tells_kinds: bool,
    /// Whether a directory has a link more for each subdirectory.
    counts_links: bool,
    /// Whether /proc is mounted.
    proc: bool,
    generation: u64,
    time: Duration,
    calls: u64,
    last_inode: u64,
    last_dev: u64,
    last_cookie: u32,
    last_pending: u64,
    inodes: Arena<Inode>,
    dentries: Arena<Dentry>,
    filesystems: Arena<Filesystem>,
    root: DentryId,
    instances: Arena<Instance>,
    /// The watches of all instances.
    marks: usize,
    files: Arena<File>,
    running: Vec<Running>,
    /// Half of a rename was not queued, as it looks like half of the one before.
    merged_rename: bool,
}

thread_local! {
    static KERNEL: RefCell<Kernel> = RefCell::new(Kernel::new());
}

/// A fresh kernel for this thread: an empty root directory, inode 1. Everything else is dropped, the schedule too.
pub fn reset(limits: Limits) {
    set_schedule(None);
    with_kernel(|kernel| kernel.reset(limits));
}

pub fn with_kernel<R>(f: impl FnOnce(&mut Kernel) -> R) -> R {
    memory::outside(|| KERNEL.with_borrow_mut(f))
}

impl Kernel {
    fn new() -> Kernel {
        let mut kernel = Kernel {
            limits: Limits::default(),
            listing_chunk: usize::MAX,
            fine_walks: false,
            late_ends: false,
            tells_kinds: true,
            counts_links: true,
            proc: true,
            generation: 0,
            time: Duration::ZERO,
            calls: 0,
            last_inode: 0,
            last_dev: 0,
            last_cookie: 0,
            last_pending: 0,
            inodes: Arena::new(),
            dentries: Arena::new(),
            filesystems: Arena::new(),
            root: 0,
            instances: Arena::new(),
            marks: 0,
            files: Arena::new(),
            running: Vec::new(),
            merged_rename: false,
        };
        kernel.root = kernel.new_filesystem(None);
        kernel
    }

    /// Keeps the memory: the exhaustive test does this millions of times.
    fn reset(&mut self, limits: Limits) {
        self.limits = limits;
        self.listing_chunk = usize::MAX;
        self.fine_walks = false;
        self.late_ends = false;
        self.tells_kinds = true;
        self.counts_links = true;
        self.proc = true;
        self.generation += 1;
        self.time = Duration::ZERO;
        (self.calls, self.marks) = (0, 0);
        (self.last_inode, self.last_dev) = (0, 0);
        (self.last_cookie, self.last_pending) = (0, 0);
        self.merged_rename = false;
        self.inodes.clear();
        self.dentries.clear();
        self.filesystems.clear();
        self.instances.clear();
        self.files.clear();
        self.running.clear();
        self.root = self.new_filesystem(None);
    }

    /// The virtual time since `reset`.
    pub fn now(&self) -> Duration {
        self.time
    }

    /// Lets time pass that no call takes.
    pub fn pass(&mut self, time: Duration) {
        self.time += time;
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What is there already stays, if it is more than is allowed from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The next read of the first instance gives these bytes, whatever they are.
    #[cfg(fuzzing)]
    pub fn lie(&mut self, bytes: &[u8]) {
        let first = self.instances.iter().next().map(|(id, _)| id);
        if let Some(id) = first {
            self.instances[id].queue.lie(bytes.to_vec());
        }
    }

    /// How many entries one getdents64(2) returns at most; the buffer of the library limits it too.
    pub fn set_listing_chunk(&mut self, entries: usize) {
        self.listing_chunk = entries;
    }

    /// Whether the schedule is asked between the components of a path as well: a walk is not one step.
    pub fn set_fine_walks(&mut self, fine: bool) {
        self.fine_walks = fine;
    }

    /// Whether a directory that a rename has replaced tells of its end when the locks are free again, as since Linux 6.19.
    pub fn set_late_ends(&mut self, late: bool) {
        self.late_ends = late;
    }

    /// Whether the filesystems tell what the entries of a listing are; some keep it to themselves.
    pub fn set_tells_kinds(&mut self, tells: bool) {
        self.tells_kinds = tells;
    }

    /// Whether the filesystems count a link for each subdirectory; some don't.
    pub fn set_counts_links(&mut self, counts: bool) {
        self.counts_links = counts;
    }

    /// Whether /proc is mounted; it is after `reset`.
    pub fn set_proc(&mut self, mounted: bool) {
        self.proc = mounted;
    }

    /// Whether half of a rename was not queued since this was last asked, as it looks like half of the one before.
    pub fn has_merged_rename(&mut self) -> bool {
        std::mem::take(&mut self.merged_rename)
    }

    /// Fills the queue of every instance, and more.
    fn overflow(&mut self) {
        let limit = self.limits.queue;
        let instances: Vec<u32> = self.instances.iter().map(|(id, _)| id).collect();
        for id in instances {
            self.instances[id].queue.fill(limit);
        }
    }
}
