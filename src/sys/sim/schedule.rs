//! The schedule: who takes the next step, the library or the world.

/// Called before each system call of the library, while nobody borrows the kernel. It may let the world take steps, and
/// it may make the call fail with an errno.
pub type Schedule = Box<dyn FnMut(&Call) -> Option<i32>>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CallKind {
    /// inotify_init1(2).
    Init,
    /// openat(2).
    Open,
    /// fstat(2).
    Stat,
    /// fstatat(2).
    Lookup,
    /// getdents64(2).
    List,
    AddWatch,
    RmWatch,
    /// read(2) of the inotify fd.
    Read,
    /// ioctl(2) FIONREAD.
    Queued,
    /// The instance's file in /proc/self/fdinfo.
    Holds,
    Close,
}

/// A system call that the library is about to make, as it would go in the present state of the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    pub kind: CallKind,
    /// The first one since `reset` has the number 1.
    pub number: u64,
    /// The inodes whose entries, attributes or watches the call reads or changes.
    pub touches: Vec<u64>,
    pub reads_queue: bool,
    /// Whether the call itself queues events.
    pub tells: bool,
    /// The directory whose lock the call takes.
    pub locks: Option<u64>,
}
