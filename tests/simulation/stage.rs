//! The stage: the world's operations, the library's calls, and who takes the next step.
//!
//! A plan says before which call of the library each step of the world comes; what the plan leaves open comes when the library
//! is at rest. While a run goes, the stage notes where else its open steps could have come: before each call that the step does
//! not commute with.

use std::rc::Rc;

use asyncinotify::simulation::{Call, CallKind, Effect, Operation, Pending, with_kernel};

use crate::dependence::{Left, Seen, depends, describe, waits};
use crate::disk::{Disk, Path, View};
use crate::judge::{Judge, happenings};
use crate::plain::Plain;
use crate::support::replica::Fault;
use crate::text;

/// A step that comes when the library is at rest.
pub const REST: u32 = u32::MAX;
/// The disk, and the tree in it, after each operation.
pub type Scripted = (Rc<Vec<Disk>>, Rc<Vec<Rc<View>>>);

/// Where one step of the world could come, too: its number, the call's number.
pub type Choice = (u32, u32);

pub struct Stage {
    pub operations: Vec<Operation>,
    pub next: usize,
    pending: Option<Pending>,
    pub begun: bool,
    pub plan: Vec<u32>,
    /// Where the steps came.
    pub taken: Vec<u32>,
    pub steps: Vec<Effect>,
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
    before: Disk,
    /// By which paths the operation under way may be told, and where is then what it is about: something that it is in may
    /// have moved meanwhile.
    pub told_at: Vec<(Path, Path)>,
    /// The entry that the operation under way is about.
    subject: Option<u32>,
    /// The views after each operation, where the world does one after the other.
    pub script: Option<Scripted>,
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
    /// A call of ours is under way that may find no memory.
    pub in_drought: bool,
    /// So many of them have said so.
    pub without_memory: u64,
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
            before: Disk::default(),
            told_at: Vec::new(),
            subject: None,
            script: None,
            applied: 0,
            trace: None,
            soft: None,
            open: false,
            lot: None,
            done: 0,
            stepped: 0,
            in_drought: false,
            without_memory: 0,
            overflows: 0,
            plains: Vec::new(),
        }
    }

    /// The disk as it was before the operation under way. Who begins to watch now may hear of that operation.
    pub fn disk_before(&self) -> &Disk {
        if self.begun { &self.before } else { &self.disk }
    }

    /// What the operation under way is about; None: none is under way.
    pub fn subject(&self) -> Option<Option<u32>> {
        self.begun.then_some(self.subject)
    }

    pub fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    /// The operation that goes on or comes next; None: the world has done all it wanted.
    fn ready(&mut self) -> Option<Effect> {
        loop {
            if let Some(pending) = &self.pending {
                match with_kernel(|kernel| kernel.effect(pending)) {
                    Some(effect) => return Some(effect),
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

    fn give_up(&mut self, errno: i32) {
        let operation = text::operation(&self.operations[self.next]);
        self.note(|| format!("world: {operation} fails with {errno}"));
        if self.begun {
            for judge in &mut self.judges {
                judge.failed();
            }
        }
        self.pending = None;
        self.begun = false;
        self.next += 1;
    }

    fn end_operation(&mut self) {
        if self.begun {
            let operation = &self.operations[self.next];
            let merged = with_kernel(|kernel| kernel.has_merged_rename());
            for judge in &mut self.judges {
                judge.done(operation);
                if merged {
                    judge.was_merged(operation);
                }
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
            let tells = if step.tells { " (tells)" } else { "" };
            self.note(|| format!("world: a step of {operation}{tells}: {stepped:?}"));
        }
        self.steps.push(step);
        if let Err(errno) = stepped {
            self.give_up(errno);
            return true;
        }
        if !self.begun {
            self.begun = true;
            self.told_at.clear();
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
            self.before = self.disk.clone();
            self.disk.apply(operation);
            let about = happenings(operation);
            let node = about
                .first()
                .and_then(|(_, path)| self.disk.nodes.get(*path));
            self.subject = node.map(|node| node.id);
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
        // A walk goes on within a call.
        self.within += u64::from(call.kind != CallKind::Walk);
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

    fn choose(&mut self, call: &Call, step: &Effect) {
        if let Some(seen) = &mut self.seen {
            seen.resize_with(self.call as usize - 1, Seen::default);
            seen.push(Seen::of(call));
            return;
        }
        if self.taken.len() < self.plan.len() {
            return;
        }
        if waits(call, step) {
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

    /// An operation that was done at one go.
    pub fn visible(&mut self, operation: &Operation) {
        self.disk.apply(operation);
        let merged = with_kernel(|kernel| kernel.has_merged_rename());
        // One that is half done has to end first where it holds a lock.
        let outer = self.operations.get(self.next).filter(|_| self.begun);
        for judge in &mut self.judges {
            judge.look(self.disk.view(judge.root));
            judge.begun(operation);
            judge.done(operation);
            if merged {
                judge.was_merged(operation);
                outer.into_iter().for_each(|it| judge.was_merged(it));
            }
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
