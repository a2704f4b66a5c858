//! The stage: the world's operations, the library's calls, and who takes the next step.
//!
//! A plan says before which call of the library each step of the world comes; what the plan leaves open comes when the library
//! is at rest. While a run goes, the stage notes where else its open steps could have come: before each call that the step does
//! not commute with.

use std::rc::Rc;

use asyncinotify::simulation::{Call, CallKind, Effect, Operation, Pending, with_kernel};

use crate::disk::{Disk, Path, View, is_below};
use crate::judge::Judge;
use crate::plain::Plain;
use crate::support::replica::Fault;
use crate::text;

/// A step that comes when the library is at rest.
pub const REST: u32 = u32::MAX;
/// What a call of the library depends on.
pub struct Seen(Option<Call>);

/// What the next step of the world does.
#[derive(Clone)]
pub struct Step {
    effect: Effect,
    /// It changes what there is to see; else it only tells.
    shows: bool,
    changes_mode: bool,
    removes: bool,
}

/// Where one step of the world could come, too: its number, the call's number.
pub type Choice = (u32, u32);

/// Placements that were left out.
#[derive(Default, Clone, Copy)]
pub struct Left {
    /// The call reads nothing that the step touches.
    pub commutes: u64,
    /// The call waits for the step.
    pub waits: u64,
}

pub struct Stage {
    pub operations: Vec<Operation>,
    next: usize,
    pending: Option<Pending>,
    begun: bool,
    pub plan: Vec<u32>,
    /// Where the steps came.
    pub taken: Vec<u32>,
    pub steps: Vec<Step>,
    pub call: u32,
    /// Calls of the library within this call of ours, and the most there were.
    pub within: u64,
    /// More of them are a fault.
    pub limit: u64,
    pub most: u64,
    pub choices: Vec<Choice>,
    pub left: Left,
    /// Of each call before the last step, for plans in blocks.
    pub seen: Option<Vec<Seen>>,
    pub judges: Vec<Judge>,
    pub disk: Disk,
    /// The views after each operation, where the world does one after the other.
    pub script: Option<(Rc<Vec<Disk>>, Rc<Vec<Rc<View>>>)>,
    applied: usize,
    pub trace: Option<Vec<String>>,
    pub soft: Option<Fault>,
    /// The library is being called: the world may step in.
    pub open: bool,
    /// Random runs: steps and failures by lot.
    pub lot: Option<Box<dyn Lot>>,
    pub done: u64,
    /// Steps of the world in all.
    pub stepped: u64,
    pub overflows: u64,
    pub plains: Vec<Plain>,
}

/// Who decides in a random run.
pub trait Lot {
    /// Before a call: how many steps the world takes.
    fn steps(&mut self, call: &Call) -> usize;
    /// Whether the call fails.
    fn errno(&mut self, call: &Call) -> Option<i32>;
    /// The next operation of the world.
    fn operation(&mut self, disk: &Disk) -> Option<Operation>;
    /// Whether another process does something while an operation is half done.
    fn nests(&mut self) -> bool;
}

impl Stage {
    pub fn new(operations: Vec<Operation>, plan: Vec<u32>) -> Stage {
        Stage {
            operations,
            next: 0,
            pending: None,
            begun: false,
            plan,
            taken: Vec::new(),
            steps: Vec::new(),
            call: 0,
            within: 0,
            limit: u64::MAX,
            most: 0,
            choices: Vec::new(),
            left: Left::default(),
            seen: None,
            judges: Vec::new(),
            disk: Disk::default(),
            script: None,
            applied: 0,
            trace: None,
            soft: None,
            open: false,
            lot: None,
            done: 0,
            stepped: 0,
            overflows: 0,
            plains: Vec::new(),
        }
    }

    pub fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    /// The operation that goes on or comes next; None: the world has done all it wanted.
    fn ready(&mut self) -> Option<Step> {
        loop {
            if let Some(pending) = &self.pending {
                match with_kernel(|kernel| kernel.effect(pending)) {
                    Some(effect) => return Some(self.describe(effect)),
                    None => self.end_operation(),
                }
            }
            if self.next == self.operations.len() {
                return None;
            }
            let begun = with_kernel(|kernel| kernel.begin(&self.operations[self.next]));
            match begun {
                Ok(pending) => self.pending = Some(pending),
                Err(errno) => self.give_up(errno),
            }
        }
    }

    fn describe(&self, effect: Effect) -> Step {
        let operation = &self.operations[self.next];
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
            shows: !only_tells && (!self.begun || matches!(operation, Operation::Unlink(_))),
            changes_mode: matches!(operation, Operation::Chmod(..)),
            removes,
        }
    }

    fn give_up(&mut self, errno: i32) {
        let operation = text::operation(&self.operations[self.next]);
        self.note(|| format!("world: {operation} fails with {errno}"));
        self.pending = None;
        self.begun = false;
        self.next += 1;
    }

    fn end_operation(&mut self) {
        if self.begun {
            let operation = &self.operations[self.next];
            for judge in &mut self.judges {
                judge.done(operation);
            }
            self.done += 1;
        }
        self.pending = None;
        self.begun = false;
        self.next += 1;
    }

    /// The world takes a step, before the call with that number.
    pub fn step(&mut self, before: u32) -> bool {
        let Some(step) = self.ready() else {
            return false;
        };
        let Some(pending) = &mut self.pending else {
            return false;
        };
        self.taken.push(before);
        self.stepped += 1;
        let stepped = with_kernel(|kernel| kernel.step(pending));
        if self.trace.is_some() {
            let operation = text::operation(&self.operations[self.next]);
            let tells = if step.effect.tells { " (tells)" } else { "" };
            self.note(|| format!("world: a step of {operation}{tells}: {stepped:?}"));
        }
        self.steps.push(step);
        if let Err(errno) = stepped {
            self.give_up(errno);
            return true;
        }
        if !self.begun {
            self.begun = true;
            self.changed();
        }
        if stepped == Ok(false) {
            self.end_operation();
        }
        true
    }

    /// The first step of an operation has made its change visible.
    fn changed(&mut self) {
        let operation = &self.operations[self.next];
        if let Some((_, views)) = &self.script {
            self.applied += 1;
            for judge in &mut self.judges {
                judge.look(views[self.applied].clone());
            }
        } else {
            self.disk.apply(operation);
            for judge in &mut self.judges {
                judge.look(self.disk.view(judge.root));
            }
        }
        for judge in &mut self.judges {
            judge.begun(operation);
        }
    }

    /// A tree was added: its root is the directory that was at the path when it was opened.
    pub fn find_root(&mut self, judge: usize) {
        let Some((disks, _)) = &self.script else {
            return;
        };
        let first = with_kernel(|kernel| kernel.watches().into_iter().min());
        let node = first.and_then(|watch| disks[self.applied].nodes.get(&watch.2));
        if let Some(root) = node.map(|node| node.id)
            && root != self.judges[judge].root
        {
            let views = disks[..=self.applied].iter().map(|disk| disk.view(root));
            self.judges[judge].rebase(root, views.collect());
            // From now on the world is looked at as it goes.
            self.disk = disks[self.applied].clone();
            self.script = None;
        }
    }

    /// Steps that the kernel took itself, since a call waited for a lock.
    pub fn catch_up(&mut self) {
        if self.begun {
            self.ready();
        }
    }

    /// The library is about to make a call.
    pub fn before_call(&mut self, call: &Call) -> Option<i32> {
        self.call += 1;
        self.within += 1;
        if self.within > self.limit {
            panic!(
                "SPINS: a call of the library makes more than {} system calls",
                self.limit
            );
        }
        if !self.open {
            return None;
        }
        if self.lot.is_some() {
            return self.by_lot(call);
        }
        let number = self.call;
        while self.plan.get(self.taken.len()) == Some(&number) && self.step(number) {}
        if let Some(step) = self.ready() {
            self.choose(call, &step);
        }
        self.note(|| describe(number, call));
        None
    }

    fn choose(&mut self, call: &Call, step: &Step) {
        if let Some(seen) = &mut self.seen {
            seen.resize_with(self.call as usize - 1, || Seen(None));
            seen.push(Seen(Some(call.clone())));
            return;
        }
        if self.taken.len() < self.plan.len() {
            return;
        }
        let waits = |pending: &Pending| {
            with_kernel(|kernel| {
                let lock = call.locks;
                lock.is_some_and(|inode| kernel.holds_lock(pending, inode))
            })
        };
        if self.pending.as_ref().is_some_and(waits) {
            self.left.waits += 1;
        } else if depends(call, step) {
            self.choices.push((self.taken.len() as u32, self.call));
        } else {
            self.left.commutes += 1;
        }
    }

    fn by_lot(&mut self, call: &Call) -> Option<i32> {
        let mut lot = self.lot.take()?;
        let steps = lot.steps(call);
        let errno = lot.errno(call);
        self.lot = Some(lot);
        self.turn(steps);
        let number = self.call;
        self.note(|| match errno {
            Some(errno) => format!("{} FAILS with {errno}", describe(number, call)),
            None => describe(number, call),
        });
        if errno.is_some() {
            for judge in &mut self.judges {
                judge.excused = true;
            }
        }
        errno
    }

    /// The world takes some steps, as the lot has it; how many it took.
    pub fn turn(&mut self, steps: usize) -> usize {
        let mut taken = 0;
        for _ in 0..steps {
            let Some(mut lot) = self.lot.take() else {
                break;
            };
            if self.ready().is_none() {
                self.operations.clear();
                self.next = 0;
                self.operations.extend(lot.operation(&self.disk));
            } else if self.begun && lot.nests() {
                let nested = lot.operation(&self.disk);
                self.lot = Some(lot);
                taken += usize::from(nested.is_some());
                self.nest(nested);
                continue;
            }
            self.lot = Some(lot);
            if self.operations.is_empty() || !self.step(REST) {
                break;
            }
            self.taken.clear();
            self.steps.clear();
            taken += 1;
        }
        taken
    }

    /// Another process does all of something meanwhile.
    fn nest(&mut self, operation: Option<Operation>) {
        let Some(operation) = operation else {
            return;
        };
        let done = with_kernel(|kernel| kernel.run(&operation));
        self.note(|| {
            format!(
                "world, meanwhile: {}: {done:?}",
                text::operation(&operation)
            )
        });
        if done.is_ok() {
            self.visible(&operation);
            self.allow_old_names();
            self.allow_new_names(&operation);
        }
    }

    /// A rename is visible, but not told yet: what happens meanwhile in what is renamed can only be told by its old path.
    fn allow_old_names(&mut self) {
        if !self.begun {
            return;
        }
        for (before, now) in moves(&self.operations[self.next]) {
            let below = self
                .disk
                .nodes
                .keys()
                .filter(|path| **path == now || is_below(path, &now));
            for path in below {
                let old = [&before[..], &path[now.len()..]].concat();
                self.judges.iter_mut().for_each(|judge| judge.allow(&old));
            }
        }
    }

    /// What was half done has gone elsewhere before it was told: it is told by a path that it has got since.
    fn allow_new_names(&mut self, nested: &Operation) {
        if !self.begun {
            return;
        }
        let outer = &self.operations[self.next];
        for (from, to) in moves(nested) {
            for path in paths(outer)
                .into_iter()
                .filter(|path| is_below(path, &from))
            {
                let new = [&to[..], &path[from.len()..]].concat();
                self.judges.iter_mut().for_each(|judge| judge.allow(&new));
            }
        }
    }

    /// An operation that was done at one go.
    pub fn visible(&mut self, operation: &Operation) {
        self.disk.apply(operation);
        for judge in &mut self.judges {
            judge.look(self.disk.view(judge.root));
            judge.begun(operation);
            judge.done(operation);
        }
        self.done += 1;
        self.stepped += 1;
    }

    /// An operation is half done.
    pub fn is_under_way(&self) -> bool {
        self.begun
    }

    /// Trees that were added and neither removed nor ended.
    pub fn active(&self) -> impl Iterator<Item = &Judge> {
        self.judges
            .iter()
            .filter(|judge| judge.watch != 0 && !judge.removed && !judge.replica.ended)
    }
}

/// From where to where an operation moves something.
fn moves(operation: &Operation) -> Vec<(Path, Path)> {
    match operation {
        Operation::Rename(from, to) => vec![(from.clone(), to.clone())],
        Operation::Exchange(a, b) => vec![(a.clone(), b.clone()), (b.clone(), a.clone())],
        _ => Vec::new(),
    }
}

/// The paths that an operation tells of.
fn paths(operation: &Operation) -> Vec<&Path> {
    match operation {
        Operation::Mkdir(path)
        | Operation::Create(path)
        | Operation::Write(path)
        | Operation::Read(path) => vec![path],
        Operation::Unlink(path) | Operation::Rmdir(path) | Operation::Chmod(path, _) => vec![path],
        Operation::Symlink(_, path) | Operation::Link(_, path) => vec![path],
        Operation::Rename(from, to) | Operation::Exchange(from, to) => vec![from, to],
        _ => Vec::new(),
    }
}

impl Seen {
    /// Whether a block of steps before this call is another run than the same block after it.
    pub fn depends_on(&self, steps: &[Step]) -> bool {
        let call = self.0.as_ref();
        call.is_some_and(|call| steps.iter().any(|step| depends(call, step)))
    }
}

/// Whether a call goes another way after a step than before it: only then it is worth a run to place the step before it.
fn depends(call: &Call, step: &Step) -> bool {
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

fn describe(number: u32, call: &Call) -> String {
    let lock = call.locks.map(|inode| format!(" lock {inode}"));
    let queue = match call.kind {
        CallKind::Read | CallKind::Queued => {
            format!(" queued {}", with_kernel(|kernel| kernel.queued()))
        }
        _ => String::new(),
    };
    format!(
        "  call {number}: {:?} {:?}{}{queue}",
        call.kind,
        call.touches,
        lock.unwrap_or_default()
    )
}
