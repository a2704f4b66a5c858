//! One run: a world, an instance, a tree, and everything until rest.

use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use asyncinotify::simulation::{
    Effect, Instance, Limits, Operation, reset, set_log, set_schedule, with_kernel,
};
use asyncinotify::{Event, Mask, RecursiveFlags, RecursiveOptions, WatchId};
use libc::{IN_EXCL_UNLINK, IN_Q_OVERFLOW};

use crate::dependence::{Left, Seen};
use crate::disk::{Disk, View};
use crate::judge::Judge;
use crate::plain::Plain;
use crate::rest::{at_rest, nothing_left};
use crate::scope::{ROOT, disk_after};
use crate::stage::{Choice, REST, Stage};
use crate::support::replica::{Expect, Fault, Told, Verdict, WHOLE, fault};

/// Calls that bring nothing, one after the other, before it is said that the library never rests.
const PATIENCE: usize = 2_000;
/// The most system calls of one call with the few directories of the small scope.
const MOST: u64 = 300;
/// More events than any change of so few entries can cause.
const ENDLESS: usize = 10_000;
/// A system call of a usual length.
const QUICK: Duration = Duration::from_micros(20);
/// The most system calls of one call where each takes so long that the first look at the clock ends it.
const BOUNDED: u64 = 600;
/// Guarantee 7: the longest that a call that takes events may work.
const LONGEST: Duration = Duration::from_millis(10);

pub type Shared = Rc<RefCell<Stage>>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    pub mask: u32,
    pub lists: bool,
    /// Events taken by one call.
    pub batch: usize,
    pub start: usize,
}

/// A run of the exhaustive test: what is played, and how it went.
pub struct Script {
    pub config: Config,
    pub start: Vec<Operation>,
    pub operations: Vec<Operation>,
    /// What there is after each operation.
    pub disks: Rc<Vec<Disk>>,
    pub views: Rc<Vec<Rc<View>>>,
    pub root: u32,
    pub swaps: bool,
}

pub struct Played {
    pub fault: Option<Fault>,
    pub soft: Option<Fault>,
    pub taken: Vec<u32>,
    pub choices: Vec<Choice>,
    pub left: Left,
    pub seen: Vec<Seen>,
    pub steps: Vec<Effect>,
    pub most: u64,
    pub trace: Vec<String>,
    pub digest: u64,
}

impl Played {
    /// The trace without what the library says: there are IDs in it, which are never used twice.
    pub fn happened(&self) -> Vec<&String> {
        let lines = self.trace.iter();
        lines.filter(|line| !line.starts_with(SAYS)).collect()
    }
}

impl Script {
    pub fn new(config: Config, start: Vec<Operation>, operations: Vec<Operation>) -> Script {
        let mut disk = disk_after(&start);
        let root = disk.nodes[ROOT].id;
        let mut disks = vec![disk.clone()];
        for operation in &operations {
            if disk.apply(operation) {
                disks.push(disk.clone());
            }
        }
        let views = disks.iter().map(|disk| disk.view(root)).collect();
        let swaps = operations
            .iter()
            .any(|operation| matches!(operation, Operation::Exchange(..)));
        Script {
            config,
            start,
            operations,
            disks: Rc::new(disks),
            views: Rc::new(views),
            root,
            swaps,
        }
    }

    pub fn expect(&self) -> Expect {
        Expect {
            mask: self.config.mask,
            lists: self.config.lists,
            complete: self.config.mask & WHOLE == WHOLE,
            swaps: self.swaps,
            concurrent: false,
            trouble: true,
            max_depth: 0,
            alone: true,
        }
    }

    /// Plays it by a plan. `blocks`: what the plan leaves open comes at one go, and the calls are noted.
    pub fn play(&self, plan: &[u32], blocks: bool, trace: bool) -> Played {
        reset(Limits::default());
        // Kernels differ in when they tell of the end of a directory that was replaced.
        with_kernel(|kernel| kernel.set_late_ends(self.config.start == 1));
        let mut stage = Stage::new(self.operations.clone(), plan.to_vec());
        stage.script = Some((self.disks.clone(), self.views.clone()));
        stage.seen = blocks.then(Vec::new);
        stage.trace = trace.then(Vec::new);
        stage.limit = MOST;
        let judge = Judge::new(ROOT, self.root, self.views[0].clone(), self.expect());
        stage.judges.push(judge);
        for operation in &self.start {
            with_kernel(|kernel| kernel.run(operation)).expect("the world's beginning");
        }
        let stage = Rc::new(RefCell::new(stage));
        listen(&stage);
        let found = guarded(|| self.go(&stage, blocks));
        finish(&stage, found)
    }

    fn go(&self, stage: &Shared, blocks: bool) -> Verdict {
        let mut instance = Instance::new(0).map_err(|error| fault("new", error))?;
        let config = &self.config;
        stage.borrow_mut().open = true;
        let flags = if config.lists {
            RecursiveFlags::LIST_EXISTING
        } else {
            RecursiveFlags::empty()
        };
        let options = RecursiveOptions {
            flags,
            max_depth: 0,
            filter: None,
        };
        let Some(id) = add_tree(&mut instance, stage, 0, config.mask, options)? else {
            return Ok(());
        };
        loop {
            drain(&mut instance, stage, config.batch)?;
            let mut stepped = stage.borrow_mut().step(REST);
            while stepped && (blocks || is_quiet(&instance)) {
                if !stage.borrow_mut().step(REST) {
                    break;
                }
                stepped = true;
            }
            if !stepped {
                break;
            }
        }
        at_rest(&instance, stage)?;
        let stopped = instance.rm_watch(id);
        stage.borrow_mut().judges[0].removed = true;
        let ended = stage.borrow().judges[0].replica.ended;
        if stopped.is_ok() == ended {
            return Err(fault("rm-watch", format!("{stopped:?}")));
        }
        drain(&mut instance, stage, config.batch)?;
        nothing_left(stage)
    }
}

thread_local! {
    static PLAYING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread will be caught and reported.
pub fn is_playing() -> bool {
    PLAYING.get()
}

/// Plays; a panic is a fault.
pub fn guarded(play: impl FnOnce() -> Verdict) -> Option<Fault> {
    PLAYING.set(true);
    let result = catch_unwind(AssertUnwindSafe(play));
    PLAYING.set(false);
    set_schedule(None);
    set_log(None);
    match result {
        Ok(verdict) => verdict.err(),
        Err(panic) => Some(panicked(&panic)),
    }
}

/// Before a line of the library in a trace.
const SAYS: &str = "      | ";

/// The stage hears of each call from now on, and of what the library says of its work if there is a trace.
pub fn listen(stage: &Shared) {
    if stage.borrow().trace.is_some() {
        let heard = stage.clone();
        set_log(Some(Box::new(move |line| {
            // What was read is in the trace already.
            if !line.starts_with("read ") && !line.starts_with("event ") {
                heard.borrow_mut().note(|| format!("{SAYS}{line}"));
            }
        })));
    }
    let heard = stage.clone();
    set_schedule(Some(Box::new(move |call| {
        heard.borrow_mut().before_call(call)
    })));
}

pub fn finish(stage: &Shared, fault: Option<Fault>) -> Played {
    let mut stage = stage.borrow_mut();
    let soft = stage.judges.iter_mut().find_map(|judge| judge.soft.pop());
    let soft = stage.soft.take().or(soft);
    let traced = stage.trace.is_some();
    Played {
        fault,
        soft,
        taken: std::mem::take(&mut stage.taken),
        choices: std::mem::take(&mut stage.choices),
        left: stage.left,
        seen: stage.seen.take().unwrap_or_default(),
        steps: std::mem::take(&mut stage.steps),
        most: stage.most,
        trace: stage.trace.take().unwrap_or_default(),
        digest: if traced {
            with_kernel(|kernel| kernel.digest())
        } else {
            0
        },
    }
}

fn panicked(panic: &Box<dyn std::any::Any + Send>) -> Fault {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("?");
    fault(
        if text.starts_with("SPINS") {
            "spins"
        } else {
            "panic"
        },
        text,
    )
}

/// Adds the tree of a judge. None: it was rightly refused.
pub fn add_tree(
    instance: &mut Instance,
    stage: &Shared,
    judge: usize,
    mask: u32,
    options: RecursiveOptions,
) -> Verdict<Option<WatchId>> {
    let path = CString::new(stage.borrow().judges[judge].given.clone()).expect("no NUL");
    let background = options.flags.contains(RecursiveFlags::BACKGROUND);
    stage.borrow_mut().note(|| "add_recursive".into());
    let before = stage.borrow().stepped;
    let added = counted(stage, None, || {
        instance.add_recursive(
            &path,
            Mask::from_bits_retain(mask | (mask & IN_EXCL_UNLINK)),
            options,
        )
    })?;
    let mut borrowed = stage.borrow_mut();
    // A look at the disk now may see what is told later.
    let changed = borrowed.is_under_way() || borrowed.stepped > before;
    borrowed.catch_up();
    borrowed.note(|| {
        format!(
            "add_recursive: {:?}",
            added.as_ref().map_err(|error| error.errno).map(|_| ())
        )
    });
    let id = match added {
        Ok(id) => id,
        Err(error) => {
            let no_memory = borrowed.in_drought && error.errno == libc::ENOMEM;
            borrowed.without_memory += u64::from(no_memory);
            let allowed = no_memory || borrowed.judges[judge].may_be_refused();
            drop(borrowed);
            return if allowed {
                Ok(None)
            } else {
                Err(fault("add-recursive", error))
            };
        }
    };
    borrowed.find_root(judge);
    let judge = &mut borrowed.judges[judge];
    judge.watch = id.as_raw();
    judge.set_up = !background;
    if !judge.expect.lists {
        judge.start(changed || background);
    }
    Ok(Some(id))
}

/// Counts the system calls of one call of ours. With a limit: no longer than that, in virtual time.
fn counted<R>(stage: &Shared, limit: Option<Duration>, call: impl FnOnce() -> R) -> Verdict<R> {
    stage.borrow_mut().within = 0;
    let start = with_kernel(|kernel| kernel.now());
    let result = call();
    let took = with_kernel(|kernel| kernel.now()) - start;
    let mut stage = stage.borrow_mut();
    stage.most = stage.most.max(stage.within);
    let slack = with_kernel(|kernel| kernel.limits().call_cost) * 16;
    let cost = with_kernel(|kernel| kernel.limits().call_cost);
    let too_long = limit.is_some_and(|limit| {
        // Between two looks at the clock there may be some calls: where one takes long, they are counted instead.
        (cost <= QUICK && took > limit + slack) || (cost > QUICK && stage.within > BOUNDED)
    });
    if too_long {
        return Err(fault(
            "works-too-long",
            format!("{took:?}, {} system calls", stage.within),
        ));
    }
    Ok(result)
}

pub fn told(event: &Event<'_>) -> Told {
    let text = |text: Option<asyncinotify::Text<'_>>| text.map(|text| text.to_bytes().to_vec());
    Told {
        watch: event.watch.map_or(0, WatchId::as_raw),
        wd: event.wd,
        mask: event.mask.bits(),
        cookie: event.cookie,
        flags: event.flags.bits(),
        error: event.error,
        name: text(event.name),
        path: text(event.path),
        moved_from: text(event.moved_from),
    }
}

/// What the pollable fd would say.
pub fn is_quiet(instance: &Instance) -> bool {
    !instance.has_work() && with_kernel(|kernel| kernel.queued()) == 0
}

/// Takes events until there are none.
pub fn drain(instance: &mut Instance, stage: &Shared, batch: usize) -> Verdict {
    let (mut idle, mut all) = (0, 0);
    while !is_quiet(instance) {
        let took = take(instance, stage, batch)?;
        all += took;
        if all > ENDLESS {
            return Err(fault(
                "never-rests",
                format!("{ENDLESS} events while nobody does anything"),
            ));
        }
        idle = if took > 0 { 0 } else { idle + 1 };
        if idle > PATIENCE {
            return Err(fault(
                "never-rests",
                format!("{PATIENCE} calls took nothing"),
            ));
        }
    }
    Ok(())
}

/// One call that takes events.
pub fn take(instance: &mut Instance, stage: &Shared, batch: usize) -> Verdict<usize> {
    let mut verdict = Ok(());
    let took = counted(stage, Some(LONGEST), || {
        instance.get_events(batch, &mut |event| {
            if verdict.is_ok() {
                verdict = hear(stage, &told(event));
            }
        })
    })?;
    verdict?;
    if matches!(&took, Err(error) if error.errno == libc::ENOMEM)
        && (stage.borrow().in_drought || stage.borrow().judges.iter().any(|judge| judge.excused))
    {
        // Nothing is lost, and it may be tried again.
        stage.borrow_mut().without_memory += 1;
        return Ok(0);
    }
    took.map_err(|error| fault("get-events", error))
}

fn hear(stage: &Shared, event: &Told) -> Verdict {
    let mut stage = stage.borrow_mut();
    stage.catch_up();
    if stage.trace.is_some() {
        // IDs are never used twice: their place tells more, and is the same when it is played again.
        let place = stage
            .judges
            .iter()
            .position(|judge| event.watch != 0 && judge.watch == event.watch);
        let watch = place.map_or(0, |at| at as u64 + 1);
        let event = Told {
            watch,
            ..event.clone()
        };
        stage.note(|| format!("=> {event}"));
    }
    if event.has(IN_Q_OVERFLOW) {
        if (event.watch, event.wd, &event.path, event.flags) != (0, -1, &None, 0) {
            return Err(fault("not-an-overflow", event));
        }
        stage.overflows += 1;
        stage.judges.iter_mut().for_each(Judge::overflow);
        stage.plains.iter_mut().for_each(Plain::overflow);
        return Ok(());
    }
    // The call that adds the first tree has not returned while it tells nothing.
    if let Some(plain) = stage
        .plains
        .iter_mut()
        .find(|plain| event.watch != 0 && plain.watch == event.watch)
    {
        return plain.take(event);
    }
    match stage
        .judges
        .iter_mut()
        .find(|judge| event.watch != 0 && judge.watch == event.watch)
    {
        Some(judge) => judge.take(event),
        None => Err(fault("an-event-of-no-watch", event)),
    }
}
