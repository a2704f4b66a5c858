//! Which calls of the library a step of the world matters to: where it does not, one order stands for both.

use asyncinotify::simulation::{Call, CallKind, Effect, Operation, with_kernel};

use crate::support::masks;

/// What a call of the library depends on.
#[derive(Default)]
pub struct Seen(Option<Call>);

/// What the next step of the world does.
#[derive(Clone)]
pub struct Step {
    pub effect: Effect,
    /// It changes what there is to see; else it only tells.
    shows: bool,
    changes_mode: bool,
    removes: bool,
}

/// Placements that were left out.
#[derive(Default, Clone, Copy)]
pub struct Left {
    /// The call reads nothing that the step touches.
    pub commutes: u64,
    /// The call waits for the step.
    pub waits: u64,
}

impl Step {
    /// Of an operation that has begun or not.
    pub fn new(operation: &Operation, begun: bool, effect: Effect) -> Step {
        let removes = matches!(
            operation,
            Operation::Unlink(_) | Operation::Rmdir(_) | Operation::Rename(..)
        );
        let only_tells = matches!(
            operation,
            Operation::Write(_) | Operation::Read(_) | Operation::Overflow
        );
        Step {
            effect,
            shows: !only_tells && (!begun || matches!(operation, Operation::Unlink(_))),
            changes_mode: matches!(operation, Operation::Chmod(..)),
            removes,
        }
    }
}

impl Seen {
    pub fn of(call: &Call) -> Seen {
        Seen(Some(call.clone()))
    }

    /// Whether a block of steps before this call is another run than the same block after it.
    pub fn depends_on(&self, steps: &[Step]) -> bool {
        let call = self.0.as_ref();
        call.is_some_and(|call| steps.iter().any(|step| depends(call, step)))
    }
}

/// Whether a call goes another way after a step than before it: only then it is worth a run to place the step before it.
pub fn depends(call: &Call, step: &Step) -> bool {
    let common = step
        .effect
        .inodes
        .iter()
        .any(|inode| call.touches.contains(inode));
    match call.kind {
        // The library's own reading may be told before or after: that does not matter to anybody.
        CallKind::Read | CallKind::Queued => step.effect.tells,
        CallKind::Open | CallKind::Walk | CallKind::Lookup | CallKind::List => common && step.shows,
        // By the open directory: only what is told to its watch matters, and its mode.
        CallKind::AddWatch => {
            common && (!step.shows || step.changes_mode || call.touches.len() > 1)
        }
        CallKind::RmWatch => common || step.effect.tells,
        // The last one to close a directory that is gone lets its end be told.
        CallKind::Close => common && step.removes,
        CallKind::Holds => common,
        CallKind::Stat | CallKind::Init => false,
    }
}

/// A call in a trace, and what it may read from the queue.
pub fn describe(number: u32, call: &Call) -> String {
    let lock = call.locks.map(|inode| format!(" lock {inode}"));
    let queue = if call.kind == CallKind::Read {
        with_kernel(|kernel| kernel.raw_events())
            .iter()
            .map(raw)
            .collect()
    } else {
        String::new()
    };
    format!(
        "  call {number}: {:?} {:?}{}{queue}",
        call.kind,
        call.touches,
        lock.unwrap_or_default()
    )
}

/// An event as the kernel has queued it.
fn raw((wd, mask, cookie, name): &(i32, u32, u32, Vec<u8>)) -> String {
    let (mask, name) = (masks::format(*mask), name.escape_ascii());
    format!("\n      raw: wd {wd} {mask} {name} {cookie}")
}
