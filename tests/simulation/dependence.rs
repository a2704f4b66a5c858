//! Which calls of the library a step of the world matters to: where it does not, one order stands for both.

use asyncinotify::simulation::{Call, CallKind, Effect, with_kernel};

use crate::support::masks;

/// What a call of the library depends on.
#[derive(Default)]
pub struct Seen(Option<Call>);

/// Placements that were left out.
#[derive(Default, Clone, Copy)]
pub struct Left {
    /// The call reads nothing that the step touches.
    pub commutes: u64,
    /// The call waits for the step.
    pub waits: u64,
}

impl Seen {
    pub fn of(call: &Call) -> Seen {
        Seen(Some(call.clone()))
    }

    /// Whether a block of steps before this call is another run than the same block after it.
    pub fn depends_on(&self, steps: &[Effect]) -> bool {
        let call = self.0.as_ref();
        call.is_some_and(|call| steps.iter().any(|step| depends(call, step)))
    }
}

/// Whether a call waits for a lock that the operation of this step holds: then the step comes first anyway.
pub fn waits(call: &Call, step: &Effect) -> bool {
    call.locks.is_some_and(|lock| step.holds.contains(&lock))
}

/// Whether a call goes another way after a step than before it: only then it is worth a run to place the step before it.
pub fn depends(call: &Call, step: &Effect) -> bool {
    if step.tells && call.tells && call.kind != CallKind::RmWatch {
        // The library's own reading may be told before the step or after: that does not matter to anybody.
        let silent = Call {
            tells: false,
            ..call.clone()
        };
        return !step.commutes_with(&silent);
    }
    !step.commutes_with(call)
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
