//! What the simulated kernel says of a call and of a step, that they don't touch each other, must be true: then it makes
//! no difference which comes first. The exhaustive test leaves out runs on the strength of it.

use std::cell::RefCell;
use std::rc::Rc;

use asyncinotify::simulation::{
    self, BareDirectory, BareInotify, Call, Effect, Limits, Pending, set_schedule, with_kernel,
};

use super::action::{Action, Allowed, Draw, SLOTS};
use crate::support::rng::{Rng, mix};

/// How a run went whose step was taken when the schedule was asked for the n-th time.
#[derive(PartialEq, Debug)]
struct Outcome {
    result: String,
    digest: u64,
}

/// Each time the schedule was asked: what was said of the call, and of the step that was still to come.
struct Asked {
    call: Call,
    effect: Option<Effect>,
}

impl Asked {
    fn are_independent(&self) -> bool {
        let effect = self.effect.as_ref();
        effect.is_none_or(|effect| effect.commutes_with(&self.call))
    }

    /// The call waits for the operation's lock, so it takes the step itself.
    fn waits(&self) -> bool {
        let holds = self.effect.as_ref().map(|effect| &effect.holds);
        let locked = holds.zip(self.call.locks);
        locked.is_some_and(|(holds, lock)| holds.contains(&lock))
    }
}

/// Compares as many calls before and after a step.
pub(super) fn run(seed: u64, calls: usize) -> Result<(), String> {
    let (mut compared, mut asked) = (0, 0);
    for number in 0..calls as u64 {
        let seed = mix(&[seed, number]);
        let (_, said) = play(seed, None);
        for (at, said) in said.iter().enumerate() {
            asked += 1;
            if !said.are_independent() {
                continue;
            }
            compared += 1;
            let before = play(seed, Some((at, false))).0;
            let after = play(seed, Some((at + 1, said.waits()))).0;
            if before != after {
                let (call, effect) = (&said.call, &said.effect);
                return Err(format!(
                    "seed {seed}, asked {at}: {call:?} and {effect:?} are not independent:\n{before:?}\n{after:?}"
                ));
            }
        }
    }
    println!(
        "independent: {compared} of {asked} pairs of a call and a step, compared in both orders"
    );
    Ok(())
}

struct Open {
    inotify: BareInotify,
    slots: [Option<BareDirectory>; SLOTS],
}

/// A random state, an operation in it that has taken some steps or none, and a call. The step is taken when the schedule
/// is asked for the given time, unless the lock has made it be taken by then; or never.
fn play(seed: u64, step: Option<(usize, bool)>) -> (Outcome, Vec<Asked>) {
    let mut rng = Rng::new(seed);
    let mut open = prepare(&mut rng);
    let pending = Rc::new(RefCell::new(begin(&mut rng)));
    let call = draw(&mut rng, |action| !matches!(action, Action::World(_)));
    let asked = Rc::new(RefCell::new(Vec::new()));
    let (record, stepped) = (Rc::clone(&asked), Rc::clone(&pending));
    set_schedule(Some(Box::new(move |call: &Call| {
        let mut pending = stepped.borrow_mut();
        let number = record.borrow().len();
        record.borrow_mut().push(with_kernel(|kernel| Asked {
            call: call.clone(),
            effect: pending.as_ref().and_then(|it| kernel.effect(it)),
        }));
        if step == Some((number, false)) {
            take_step(&mut pending);
        }
        None
    })));
    let result = make(&mut open, &call);
    set_schedule(None);
    let asked = std::mem::take(&mut *asked.borrow_mut());
    if step == Some((asked.len(), false)) {
        take_step(&mut pending.borrow_mut());
    }
    let digest = with_kernel(|kernel| kernel.digest());
    (Outcome { result, digest }, asked)
}

fn take_step(pending: &mut Option<Pending>) {
    if let Some(pending) = pending {
        let _ = with_kernel(|kernel| kernel.step(pending));
    }
}

fn draw(rng: &mut Rng, is_wanted: impl Fn(&Action) -> bool) -> Action {
    let allowed = Allowed {
        permissions: true,
        mounts: true,
    };
    loop {
        let last = &Action::Queued;
        let action = Draw { rng, last, allowed }.action(8);
        if is_wanted(&action) {
            return action;
        }
    }
}

fn prepare(rng: &mut Rng) -> Open {
    simulation::reset(Limits {
        queue: 4 + rng.below(60),
        watches: 3 + rng.below(8),
        ..Limits::default()
    });
    with_kernel(|kernel| {
        kernel.set_fine_walks(rng.one_in(2));
        kernel.set_late_ends(rng.one_in(2));
    });
    let mut open = Open {
        inotify: BareInotify::new().expect("a simulated instance"),
        slots: Default::default(),
    };
    for _ in 0..20 + rng.below(60) {
        let action = draw(rng, |_| true);
        make(&mut open, &action);
    }
    open
}

/// Begins an operation, and takes some of its steps.
fn begin(rng: &mut Rng) -> Option<Pending> {
    for _ in 0..20 {
        let Action::World(operation) = draw(rng, |action| matches!(action, Action::World(_)))
        else {
            continue;
        };
        let Ok(mut pending) = with_kernel(|kernel| kernel.begin(&operation)) else {
            continue;
        };
        for _ in 0..rng.below(4) {
            let _ = with_kernel(|kernel| kernel.step(&mut pending));
        }
        return Some(pending);
    }
    None
}

/// Makes a call; what it returned.
fn make(open: &mut Open, action: &Action) -> String {
    match action {
        Action::World(operation) => {
            format!("{:?}", with_kernel(|kernel| kernel.run(operation)))
        }
        Action::Open {
            slot,
            base,
            path,
            list,
            follow,
        } => {
            let base = match base.map(|base| &open.slots[base]) {
                Some(None) => return String::new(),
                Some(base) => base.as_ref(),
                None => None,
            };
            let opened = BareDirectory::open(base, path, *list, *follow);
            let errno = opened.as_ref().err().copied();
            // A full slot stays: to close it would be a second call.
            if open.slots[*slot].is_none() {
                open.slots[*slot] = opened.ok();
            } else if let Ok(opened) = opened {
                std::mem::forget(opened);
            }
            format!("{errno:?}")
        }
        Action::Close(slot) => {
            open.slots[*slot] = None;
            String::new()
        }
        Action::List(slot) => of_slot(open, *slot, |it| format!("{:?}", it.list())),
        Action::KindOf(slot, name) => of_slot(open, *slot, |it| format!("{:?}", it.kind_of(name))),
        Action::WaitForRenames(slot) => {
            of_slot(open, *slot, |it| format!("{:?}", it.wait_for_renames()))
        }
        Action::Add(path, mask) => format!("{:?}", open.inotify.add(path, *mask)),
        Action::AddOpen(slot, mask) => of_slot(open, *slot, |it| {
            format!("{:?}", it.watch(&open.inotify, b"/", *mask))
        }),
        Action::AddChild(slot, name, mask) => of_slot(open, *slot, |it| {
            format!("{:?}", it.watch_child(&open.inotify, name, *mask))
        }),
        Action::IsLeaf(slot, name) => of_slot(open, *slot, |it| format!("{}", it.is_leaf(name))),
        Action::Rm(wd) => format!("{:?}", open.inotify.rm(*wd)),
        Action::Holds(wd) => format!("{:?}", open.inotify.holds(*wd)),
        Action::Read(max) => format!("{:?}", open.inotify.read(*max)),
        Action::Queued => format!("{:?}", open.inotify.queued_bytes()),
    }
}

fn of_slot(open: &Open, slot: usize, f: impl FnOnce(&BareDirectory) -> String) -> String {
    open.slots[slot].as_ref().map(f).unwrap_or_default()
}
