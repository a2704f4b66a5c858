//! The schedule: who takes the next step, the library or the world.

use super::touch::{self, Aspect, Touch};
use super::{Kernel, with_kernel};
use crate::memory;
use crate::sys::Sys;
use std::cell::RefCell;

/// Called before each system call of the library, while nobody borrows the kernel. It may let the world take steps, and
/// it may make the call fail with an errno.
pub type Schedule = Box<dyn FnMut(&Call) -> Option<i32>>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CallKind {
    /// inotify_init1(2).
    Init,
    /// openat(2).
    Open,
    /// Between two components of the path that Open or AddWatch looks up, if walks are fine: no call of its own, and it
    /// can't fail.
    Walk,
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
    /// The inodes that the call reads or changes.
    pub touches: Vec<u64>,
    /// What of them.
    pub aspects: Vec<Touch>,
    pub reads_queue: bool,
    /// Whether the call itself queues events, or depends on the end of a watch.
    pub tells: bool,
    /// The directory whose lock the call takes.
    pub locks: Option<u64>,
}

/// What a call looks at.
#[derive(Default)]
pub(super) struct Preview {
    pub(super) aspects: Vec<Touch>,
    pub(super) reads_queue: bool,
    pub(super) tells: bool,
    pub(super) locks: Option<u64>,
}

enum Slot {
    Idle(Option<Schedule>),
    /// It is being called.
    Busy,
}

thread_local! {
    static SCHEDULE: RefCell<Slot> = const { RefCell::new(Slot::Idle(None)) };
}

/// Sets who is asked before each system call of the library; also from inside a schedule.
pub fn set_schedule(schedule: Option<Schedule>) {
    let old = SCHEDULE.replace(Slot::Idle(schedule));
    // What a schedule holds may itself close files when it is dropped.
    drop(old);
}

/// The library makes a call: time passes, and the schedule has its say.
pub(super) fn enter(kind: CallKind, preview: impl FnOnce(&Kernel) -> Preview) -> Sys<()> {
    let number = with_kernel(|kernel| {
        kernel.calls += 1;
        kernel.time += kernel.limits.call_cost;
        kernel.calls
    });
    ask(kind, number, preview).map_or(Ok(()), Err)
}

/// A call looks up one component of a path, and the next one is to come.
pub(super) fn pause(preview: impl FnOnce(&Kernel) -> Preview) {
    let number = with_kernel(|kernel| kernel.calls);
    ask(CallKind::Walk, number, preview);
}

fn ask(kind: CallKind, number: u64, preview: impl FnOnce(&Kernel) -> Preview) -> Option<i32> {
    memory::outside(|| ask_schedule(kind, number, preview))
}

fn ask_schedule(
    kind: CallKind,
    number: u64,
    preview: impl FnOnce(&Kernel) -> Preview,
) -> Option<i32> {
    let is_idle = |slot: &Slot| matches!(slot, Slot::Idle(None));
    if SCHEDULE.with_borrow(is_idle) {
        return None;
    }
    let mut schedule = match SCHEDULE.replace(Slot::Busy) {
        Slot::Idle(Some(schedule)) => schedule,
        // A call of the library from inside the schedule is not asked about.
        other => {
            SCHEDULE.set(other);
            return None;
        }
    };
    let Preview {
        mut aspects,
        reads_queue,
        tells,
        locks,
    } = with_kernel(|kernel| preview(kernel));
    aspects.extend(locks.map(|inode| Touch::reads(inode, Aspect::Lock)));
    let call = Call {
        kind,
        number,
        touches: touch::inodes(&aspects),
        aspects,
        reads_queue,
        tells,
        locks,
    };
    let errno = schedule(&call);
    if SCHEDULE.with_borrow(|slot| matches!(slot, Slot::Busy)) {
        SCHEDULE.set(Slot::Idle(Some(schedule)));
    }
    errno
}
