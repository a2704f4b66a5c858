//! The simulated kernel against the real one: the same calls on both must return the same and tell the same events.
//!
//! Both play one call after the other, so this compares what each call does: errors, listings, identities, descriptors,
//! and each event with its order, its name and its merging. What is seen between the steps of an operation is not
//! compared here.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use asyncinotify::simulation::{self, BareDirectory, BareInotify, Limits, Operation, with_kernel};

use crate::support::masks;
use crate::support::rng::Rng;

mod action;
mod independence;
mod real;

use action::{Action, Allowed, Draw, SLOTS};
use real::{Real, Sys};

/// After so many calls both begin anew.
const CALLS: usize = 500;

/// Plays as many calls on both kernels; an error tells the first difference, and the seed that shows it again.
pub(crate) fn run(seed: u64, operations: usize) -> Result<(), String> {
    // The thread gets a mount namespace and another user's rights, which the rest of the test must not have.
    let play = move || {
        let allowed = real::allowed();
        let mut count = Count::default();
        for seed in (seed..).take(operations.div_ceil(CALLS)) {
            let calls = CALLS.min(operations - count.calls);
            Pair::new(allowed).play(seed, calls, &mut count)?;
        }
        overflow(allowed)?;
        println!(
            "against the real kernel: {count:?}, permissions {}, mounts {}",
            allowed.permissions, allowed.mounts
        );
        Ok::<(), String>(())
    };
    let thread = std::thread::spawn(play);
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    independence::run(seed, operations / 10)
}

/// How much was compared.
#[derive(Debug, Default)]
struct Count {
    calls: usize,
    /// Operations of the world that did something.
    operations: usize,
    events: usize,
}

/// Numbers that differ, but stand for the same things: each real one for one simulated one.
struct Pairs<T> {
    simulated: BTreeMap<T, T>,
    real: BTreeMap<T, T>,
}

impl<T> Default for Pairs<T> {
    fn default() -> Pairs<T> {
        Pairs {
            simulated: BTreeMap::new(),
            real: BTreeMap::new(),
        }
    }
}

impl<T: Ord + Copy> Pairs<T> {
    /// Whether the two belong together, as far as is known.
    fn pair(&mut self, real: T, simulated: T) -> bool {
        let known = *self.simulated.entry(real).or_insert(simulated);
        let back = *self.real.entry(simulated).or_insert(real);
        (known, back) == (simulated, real)
    }
}

/// Both kernels, with the same files open.
struct Pair {
    real: Real,
    inotify: BareInotify,
    open: [Option<(OwnedFd, BareDirectory)>; SLOTS],
    /// Which may be compared: the first listing of a descriptor.
    unlisted: [bool; SLOTS],
    last_wd: i32,
    cookies: Pairs<u32>,
    inodes: Pairs<(u64, u64)>,
    allowed: Allowed,
    count: Count,
    trace: Vec<String>,
}

impl Pair {
    fn new(allowed: Allowed) -> Pair {
        let queue = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
        let queue = queue.ok().and_then(|text| text.trim().parse().ok());
        simulation::reset(Limits {
            queue: queue.expect("the length of the queue"),
            ..Limits::default()
        });
        Pair {
            real: Real::new(allowed),
            inotify: BareInotify::new().expect("a simulated instance"),
            open: Default::default(),
            unlisted: Default::default(),
            last_wd: 0,
            cookies: Pairs::default(),
            inodes: Pairs::default(),
            allowed,
            count: Count::default(),
            trace: Vec::new(),
        }
    }

    fn play(mut self, seed: u64, calls: usize, count: &mut Count) -> Result<(), String> {
        let mut rng = Rng::new(seed);
        let mut last = Action::Queued;
        for number in 0..calls {
            let mut draw = Draw {
                rng: &mut rng,
                last: &last,
                allowed: self.allowed,
            };
            let action = draw.action(self.last_wd);
            self.trace.push(format!("{number}: {}", action.describe()));
            self.act(&action)
                .map_err(|difference| self.report(seed, &difference))?;
            last = action;
        }
        // To look at the real tree is an event too, so it is done at the end.
        self.act(&Action::Read(1 << 20))
            .and_then(|()| self.compare_trees())
            .map_err(|difference| self.report(seed, &difference))?;
        count.calls += calls;
        count.operations += self.count.operations;
        count.events += self.count.events;
        Ok(())
    }

    fn report(&self, seed: u64, difference: &str) -> String {
        let shown = self.trace.len().saturating_sub(400);
        let trace = self.trace[shown..].join("\n");
        let number = self.trace.len();
        format!("{trace}\n{difference}\nreplay with: kernel {seed} {number}")
    }

    /// Makes the call on both; what is different.
    fn act(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::World(operation) => self.operate(operation),
            Action::Open {
                slot,
                base,
                path,
                list,
                follow,
            } => self.open(*slot, *base, path, *list, *follow),
            Action::Close(slot) => {
                self.open[*slot] = None;
                Ok(())
            }
            Action::List(slot) => self.list(*slot),
            Action::KindOf(slot, name) => match &self.open[*slot] {
                Some((real, simulated)) => {
                    let real = self.real.kind_of(real, name);
                    same("kind_of", &real, &simulated.kind_of(name))
                }
                None => Ok(()),
            },
            Action::WaitForRenames(slot) => self.wait_for_renames(*slot),
            Action::Add(path, mask) => {
                let real = self.real.add(path, *mask);
                self.added(real, self.inotify.add(path, *mask))
            }
            Action::AddOpen(slot, mask) => match &self.open[*slot] {
                Some((real, simulated)) => {
                    let real = self.real.add_open(real, *mask);
                    let simulated = simulated.watch(&self.inotify, b"/", *mask);
                    self.added(real, simulated)
                }
                None => Ok(()),
            },
            Action::AddChild(slot, name, mask) => match &self.open[*slot] {
                Some((real, simulated)) => {
                    let real = self.real.add_child(real, name, *mask);
                    let simulated = simulated.watch_child(&self.inotify, name, *mask);
                    self.added(real, simulated)
                }
                None => Ok(()),
            },
            Action::IsLeaf(slot, name) => match &self.open[*slot] {
                Some((real, simulated)) => {
                    let real = self.real.is_leaf(real, name);
                    same("is_leaf", &real, &simulated.is_leaf(name))
                }
                None => Ok(()),
            },
            Action::Rm(wd) => same("rm", &self.real.rm(*wd), &self.inotify.rm(*wd)),
            Action::Holds(wd) => {
                let real = Some(self.real.holds(*wd));
                same("holds", &real, &self.inotify.holds(*wd))
            }
            Action::Read(max) => self.read(*max),
            Action::Queued => {
                let real = self.real.queued_bytes();
                same("queued", &real, &self.inotify.queued_bytes())
            }
        }
    }

    fn wait_for_renames(&self, slot: usize) -> Result<(), String> {
        let Some((real, simulated)) = &self.open[slot] else {
            return Ok(());
        };
        let real = match self.real.kind_of(real, b".no-such-name") {
            Err(libc::ENOENT) => Ok(()),
            other => other.map(drop),
        };
        same("wait_for_renames", &real, &simulated.wait_for_renames())
    }

    fn operate(&mut self, operation: &Operation) -> Result<(), String> {
        let real = self.real.operate(operation);
        let simulated = with_kernel(|kernel| kernel.run(operation));
        self.outcome(&simulated);
        self.count.operations += usize::from(simulated.is_ok());
        if matches!(operation, Operation::Unmount(_)) {
            // The next filesystem may get the same number, and its inodes theirs.
            self.inodes = Pairs::default();
        }
        same("operation", &real, &simulated)
    }

    fn outcome<T: std::fmt::Debug>(&mut self, outcome: &Sys<T>) {
        if let (Some(last), Err(errno)) = (self.trace.last_mut(), outcome) {
            last.push_str(&format!(" -> {}", name_of(*errno)));
        }
    }

    fn open(
        &mut self,
        slot: usize,
        base: Option<usize>,
        path: &[u8],
        list: bool,
        follow: bool,
    ) -> Result<(), String> {
        let base = match base.map(|slot| &self.open[slot]) {
            Some(None) => return Ok(()),
            Some(Some((real, simulated))) => Some((real, simulated)),
            None => None,
        };
        let (real_base, base) = (base.map(|it| it.0), base.map(|it| it.1));
        let real = self.real.open(real_base, path, list, follow);
        let simulated = BareDirectory::open(base, path, list, follow);
        let errno = simulated.as_ref().err().copied();
        self.outcome(&errno.map_or(Ok(()), Err));
        same("open", &real.as_ref().err().copied(), &errno)?;
        if let (Ok(real), Ok(simulated)) = (real, simulated) {
            let identity = self.real.identity(&real).expect("fstat works");
            let other = simulated.identity().expect("fstat works");
            if !self.inodes.pair(identity, other) {
                return Err("another directory was opened".into());
            }
            // Closes what was open in the slot before.
            self.open[slot] = Some((real, simulated));
            self.unlisted[slot] = true;
        }
        Ok(())
    }

    fn list(&mut self, slot: usize) -> Result<(), String> {
        let Some((real, simulated)) = &self.open[slot] else {
            return Ok(());
        };
        let sorted = |found: Sys<Vec<_>>| {
            found.map(|mut found: Vec<(Vec<u8>, _)>| {
                found.sort();
                found
            })
        };
        let (real, simulated) = (sorted(self.real.list(real)), sorted(simulated.list()));
        if std::mem::take(&mut self.unlisted[slot]) {
            return same("list", &real, &simulated);
        }
        // What has come since may be listed or not.
        same("list again", &real.map(drop), &simulated.map(drop))
    }

    fn added(&mut self, real: Sys<i32>, simulated: Sys<i32>) -> Result<(), String> {
        self.outcome(&simulated);
        if let (Some(last), Ok(wd)) = (self.trace.last_mut(), simulated) {
            last.push_str(&format!(" = {wd}"));
            self.last_wd = self.last_wd.max(wd);
        }
        same("add", &real, &simulated)
    }

    /// The cookies may differ, but not which of them are equal.
    fn read(&mut self, max: usize) -> Result<(), String> {
        let (real, simulated) = (self.real.read(max), self.inotify.read(max));
        let (real, simulated) = match (real, simulated) {
            (Ok(real), Ok(simulated)) => (real, simulated),
            (real, simulated) => return same("read", &real, &simulated),
        };
        let (real, simulated) = (events(&real), events(&simulated));
        for (index, event) in simulated.iter().enumerate() {
            self.trace.push(format!("    {}", event.describe()));
            let Some(other) = real.get(index) else {
                return Err("the real kernel has told no more than the others".into());
            };
            let cookies = (event.cookie != 0) == (other.cookie != 0)
                && self.cookies.pair(other.cookie, event.cookie);
            if !cookies || other.text() != event.text() {
                return Err(format!("the real kernel: {}", other.describe()));
            }
        }
        self.count.events += simulated.len();
        match real.get(simulated.len()) {
            Some(more) => Err(format!(
                "the real kernel has told more: {}",
                more.describe()
            )),
            None => Ok(()),
        }
    }

    fn compare_trees(&self) -> Result<(), String> {
        let simulated = with_kernel(|kernel| kernel.tree(b"/"));
        let simulated: Vec<Vec<u8>> = simulated.into_keys().collect();
        same("tree", &self.real.names(), &simulated)
    }
}

/// Fills the queue until it overflows, and reads on while it does.
fn overflow(allowed: Allowed) -> Result<(), String> {
    let mut pair = Pair::new(allowed);
    let limit = with_kernel(|kernel| kernel.limits()).queue;
    let (a, b) = (b"/a".to_vec(), b"/b".to_vec());
    let begin = [
        Action::Add(b"/".to_vec(), libc::IN_ALL_EVENTS),
        Action::World(Operation::Create(a.clone())),
        Action::World(Operation::Create(b.clone())),
    ];
    let write = [Operation::Write(a), Operation::Write(b)].map(Action::World);
    let fill = (0..limit / 3 + 10).map(|n| write[n % 2].clone());
    let one_by_one = (0..20).flat_map(|n| [Action::Read(40), write[n % 2].clone()]);
    let rest = [Action::Queued, Action::Read(1 << 24), Action::Queued];
    let again = begin.iter().chain(&write).chain(&rest[..2]);
    let actions: Vec<Action> = begin
        .iter()
        .cloned()
        .chain(fill)
        .chain(one_by_one)
        .chain(rest.clone())
        .chain(again.cloned())
        .collect();
    for action in &actions {
        pair.trace.push(action.describe());
        pair.act(action)
            .map_err(|difference| format!("overflow: {difference}"))?;
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, real: &T, simulated: &T) -> Result<(), String> {
    if real == simulated {
        return Ok(());
    }
    Err(format!(
        "{what}: the real kernel {real:?}, simulated {simulated:?}"
    ))
}

fn name_of(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}

struct Event {
    wd: i32,
    mask: u32,
    cookie: u32,
    /// With its padding.
    name: Vec<u8>,
}

impl Event {
    fn text(&self) -> (i32, u32, &[u8]) {
        (self.wd, self.mask, &self.name)
    }

    fn describe(&self) -> String {
        let Event { wd, mask, .. } = self;
        let name = self.name.escape_ascii();
        format!("wd {wd} {} {name}", masks::format(*mask))
    }
}

fn events(mut raw: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while !raw.is_empty() {
        let number =
            |at: usize| u32::from_ne_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        let end = 16 + number(12) as usize;
        events.push(Event {
            wd: number(0) as i32,
            mask: number(4),
            cookie: number(8),
            name: raw[16..end].to_vec(),
        });
        raw = &raw[end..];
    }
    events
}
