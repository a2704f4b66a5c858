//! Plays random steps on one instance and holds every answer against the model.

use std::collections::{HashMap, VecDeque};
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use libc::{EAGAIN, EEXIST, EINTR, ENOENT, IN_MASK_CREATE, IN_MOVED_TO, O_CLOEXEC, O_NONBLOCK};

use crate::support::abi::c::{self, asyncinotify, asyncinotify_event};
use crate::support::abi::{self, Event, Handle, TreeOptions};
use crate::support::folder::{Folder, c_path};
use crate::support::kernel::{Epoll, poll_in, select_in};
use crate::support::masks;
use crate::support::rng::Rng;
use crate::tree::Tree;
use crate::world::{Expected, State, World};

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub blocking: bool,
    /// A recursive watch on a tree of its own, in the same instance.
    pub tree: bool,
    /// poll(2) after every step; else only now and then, since a poll itself can put right what was wrong.
    pub poll_always: bool,
}

const TIMEOUT_INFINITE: i32 = -1;
const TIMEOUT_DISABLED: i32 = -2;
const LIST_EXISTING: u32 = 1;
/// More outstanding events than this are drained, so that the kernel's queue never overflows.
const MOST_OUTSTANDING: usize = 4000;
const TRACE: usize = 120;

/// What a watch's userdata points to.
struct Label {
    player: *mut Player,
    index: usize,
    destroyed: Arc<AtomicU32>,
}

struct Labelled {
    data: *mut c_void,
    has_callback: bool,
    destroyed: Arc<AtomicU32>,
}

/// What a callback does besides taking the event.
struct Orders {
    /// Stop when this many were delivered; 0: never.
    stop_at: usize,
    delivered: usize,
    /// Sometimes change watches, take events or touch files from inside.
    meddle: bool,
}

pub struct Player {
    handle: Handle,
    folder: Folder,
    world: World,
    rng: Rng,
    settings: Settings,
    timeout: i32,
    wake: bool,
    labels: Vec<Labelled>,
    cookies: HashMap<u32, u32>,
    level: Epoll,
    edge: Epoll,
    nested: (Epoll, Epoll),
    /// The edge-triggered waiter has seen an end (or was promised a new edge): the next readiness must give it one.
    edge_owed: bool,
    tree: Option<Tree>,
    /// The tree may have something: readable or not is right, until a take has returned 0.
    tree_stirred: bool,
    /// So many calls in a row have said that there is nothing, and left the fd readable.
    slices: u32,
    orders: Vec<Orders>,
    dups: VecDeque<(*mut asyncinotify_event, Event)>,
    trace: VecDeque<String>,
    /// Of a watch's own callback; it goes on when the library's call has returned.
    panic: Option<Box<dyn std::any::Any + Send>>,
    seed: u64,
    step: u64,
    pub taken: u64,
}

macro_rules! require {
    ($me:expr, $condition:expr, $($text:tt)+) => {
        if !$condition { $me.fail(format!($($text)+)) }
    };
}

impl Player {
    pub fn new(seed: u64, settings: Settings) -> Box<Player> {
        let folder = Folder::new("interleaving");
        let flags = O_CLOEXEC | if settings.blocking { 0 } else { O_NONBLOCK };
        let handle = crate::support::queue_limit::normal(|| Handle::open(flags as u32));
        let plain = folder.path().join("plain");
        std::fs::create_dir(&plain).expect("mkdir");
        let mut tree = None;
        if settings.tree {
            let root = folder.path().join("tree");
            std::fs::create_dir(&root).expect("mkdir");
            let options = TreeOptions {
                flags: LIST_EXISTING,
                ..TreeOptions::default()
            };
            let id = handle
                .add_recursive(&c_path(&root), crate::tree::MASK, &options)
                .expect("add_recursive");
            tree = Some(Tree::new(root, id));
        }
        let inner = Epoll::new(handle.fd(), false);
        let outer = Epoll::new(inner.fd(), false);
        Box::new(Player {
            world: World::new(&plain, handle.raw_fd()),
            handle,
            folder,
            rng: Rng::new(seed),
            settings,
            timeout: TIMEOUT_DISABLED,
            wake: false,
            labels: Vec::new(),
            cookies: HashMap::new(),
            level: Epoll::new(handle.fd(), false),
            edge: Epoll::new(handle.fd(), true),
            nested: (outer, inner),
            edge_owed: true,
            tree_stirred: tree.is_some(),
            tree,
            slices: 0,
            orders: Vec::new(),
            dups: VecDeque::new(),
            trace: VecDeque::new(),
            panic: None,
            seed,
            step: 0,
            taken: 0,
        })
    }

    fn fail(&self, what: String) -> ! {
        let trace: Vec<&str> = self.trace.iter().map(String::as_str).collect();
        let queue: Vec<String> = self
            .world
            .queue
            .iter()
            .take(10)
            .map(Expected::to_string)
            .collect();
        panic!(
            "{what}\nseed {}, step {}, {:?}; replay with INTERLEAVING_SEED={}\noutstanding: {} {queue:#?}, wake {}, edge owed {}\nlast steps:\n  {}\n",
            self.seed,
            self.step,
            self.settings,
            self.seed,
            self.world.queue.len(),
            self.wake,
            self.edge_owed,
            trace.join("\n  "),
        )
    }

    fn note(&mut self, what: impl Into<String>) {
        if self.trace.len() == TRACE {
            self.trace.pop_front();
        }
        let depth = "    ".repeat(self.orders.len());
        self.trace.push_back(format!("{depth}{}", what.into()));
    }

    // What must be, and what may be.

    fn certain(&self) -> bool {
        self.wake || self.world.queue.iter().any(|event| !event.maybe_merged)
    }

    fn possible(&self) -> bool {
        self.wake || !self.world.queue.is_empty() || self.tree_stirred
    }

    fn judge_readiness(&mut self, how: &str, readable: bool) {
        self.note(format!("{how}: {readable}"));
        require!(
            self,
            readable || !self.certain(),
            "{how}: not readable, but something is outstanding"
        );
        require!(
            self,
            !readable || self.possible(),
            "{how}: readable, but nothing is outstanding"
        );
    }

    fn look(&mut self) {
        let fd = self.handle.fd();
        match self.rng.below(6) {
            0 | 1 => {
                let readable = poll_in(fd, 0);
                self.judge_readiness("poll", readable);
            }
            2 => {
                let readable = select_in(fd);
                self.judge_readiness("select", readable);
            }
            3 => {
                let readable = self.level.wait(0);
                self.judge_readiness("epoll", readable);
            }
            4 => {
                let readable = if self.rng.one_in(2) {
                    self.nested.0.wait(0)
                } else {
                    poll_in(self.nested.0.fd(), 0)
                };
                self.judge_readiness("epoll in epoll", readable);
            }
            _ => self.look_at_edge(),
        }
    }

    fn look_at_edge(&mut self) {
        let edge = self.edge.wait(0);
        self.note(format!("epoll edge: {edge}"));
        require!(
            self,
            edge || !self.edge_owed || !self.certain(),
            "no edge for what is outstanding"
        );
        require!(
            self,
            !edge || self.possible(),
            "an edge, but nothing is outstanding"
        );
        if edge {
            self.edge_owed = false;
            require!(self, !self.edge.wait(0), "the same edge twice");
        }
    }

    // Events against the model.

    fn take(&mut self, event: &Event) {
        self.taken += 1;
        self.note(format!("=> {event}"));
        if let Some(tree) = self.tree.as_mut().filter(|tree| tree.id == event.watch) {
            let told = tree.take(event);
            require!(self, told.is_ok(), "the tree: {}", told.unwrap_err());
            require!(
                self,
                self.tree_stirred,
                "an event of the tree, which was at rest"
            );
            return;
        }
        loop {
            let Some(expected) = self.world.queue.pop_front() else {
                self.fail(format!("an event that nothing caused: {event}"));
            };
            match self.differs(&expected, event) {
                None => {
                    self.world.delivered(&expected);
                    return;
                }
                Some(_) if expected.maybe_merged => self.world.was_merged(&expected),
                Some(what) => {
                    self.world.queue.push_front(expected.clone());
                    self.fail(format!("{what}\n got      {event}\n expected {expected}"));
                }
            }
        }
    }

    fn differs(&mut self, expected: &Expected, event: &Event) -> Option<&'static str> {
        let watch = expected.watch.map(|index| &self.world.watches[index]);
        let bytes = |path: &Option<std::path::PathBuf>| {
            path.as_deref().map(|path| c_path(path).into_bytes())
        };
        let userdata = expected
            .watch
            .map_or(0, |index| self.labels[index].data as usize);
        let checks = [
            ("mask", event.mask == expected.mask),
            ("wd", event.wd == expected.wd),
            ("watch", event.watch == watch.map_or(0, |watch| watch.id)),
            (
                "name",
                event.name.as_deref() == expected.name.as_deref().map(str::as_bytes),
            ),
            ("path", event.path == bytes(&expected.path)),
            (
                "moved_from",
                event.moved_from == bytes(&expected.moved_from),
            ),
            ("cookie", (event.cookie == 0) == (expected.cookie == 0)),
            ("flags and error", event.flags == 0 && event.error == 0),
            ("userdata", event.userdata == userdata),
        ];
        if let Some((what, _)) = checks.iter().find(|(_, right)| !right) {
            return Some(what);
        }
        // The two halves of a move have one cookie.
        let cookie = *self.cookies.entry(expected.cookie).or_insert(event.cookie);
        if expected.mask & IN_MOVED_TO != 0 {
            self.cookies.remove(&expected.cookie);
        }
        (cookie != event.cookie).then_some("cookie")
    }

    /// A call said that there is nothing more.
    fn ended(&mut self, call: &str) {
        self.edge_owed = true;
        // On a busy machine a slice may be over before the tree is at rest; the fd then stays readable, but not for ever.
        if self.tree.is_some() && !self.wake && poll_in(self.handle.fd(), 0) {
            self.slices += 1;
            require!(self, self.slices < 100, "{call} never comes to an end");
            return;
        }
        self.slices = 0;
        let missing = self
            .world
            .queue
            .iter()
            .find(|event| !event.maybe_merged)
            .cloned();
        if let Some(missing) = missing {
            self.fail(format!(
                "{call} says that there is nothing, but this was missing: {missing}"
            ));
        }
        self.world.queue.clear();
        if let Some(tree) = &mut self.tree {
            let differences = tree.differences();
            self.tree_stirred = false;
            require!(
                self,
                differences.is_empty(),
                "the tree at rest: {differences}"
            );
        }
    }

    // The steps.

    fn operate(&mut self) {
        if let Some(tree) = self.tree.as_mut().filter(|_| self.rng.one_in(2)) {
            let told = tree.operate(&mut self.rng);
            self.tree_stirred = true;
            self.world.disturbed = true;
            self.note(told);
            return;
        }
        let told = self.world.operate(&mut self.rng);
        self.note(told);
    }

    fn add_watch(&mut self) {
        let (inode, path) = self.world.target(&mut self.rng);
        let mask = World::random_mask(&mut self.rng);
        let result = self.handle.add_watch(&c_path(&path), mask);
        self.note(format!(
            "add_watch {path:?} {} = {result:?}",
            masks::format(mask)
        ));
        let now = self.world.watch_on(inode);
        if now.is_some() && mask & IN_MASK_CREATE != 0 {
            require!(
                self,
                result == Err(EEXIST),
                "MASK_CREATE on a watched inode: {result:?}"
            );
            return;
        }
        let Ok(id) = result else {
            self.fail(format!("add_watch: {result:?} {}", abi::last_message()))
        };
        let wd = self.handle.watch_wd(id);
        let Ok(wd) = wd else {
            self.fail(format!("watch_wd: {wd:?}"))
        };
        match now {
            Some(index) => {
                let watch = &self.world.watches[index];
                require!(
                    self,
                    (watch.id, watch.wd) == (id, wd),
                    "another ID for a watched inode: {id}, wd {wd}"
                );
            }
            None => {
                let used = self.world.watches.iter().any(|watch| watch.id == id);
                require!(self, id != 0 && !used, "not a fresh ID: {id}");
            }
        }
        self.world.added(inode, path, mask, id, wd);
        if now.is_none() {
            self.label(self.world.watches.len() - 1, id);
        }
        let index = self.world.watch_on(inode).expect("just added");
        let mask = self.handle.watch_mask(id);
        let expected = self.world.watches[index].mask;
        require!(
            self,
            mask == Ok(expected),
            "watch_mask {mask:?}, expected {}",
            masks::format(expected)
        );
    }

    fn label(&mut self, index: usize, id: u64) {
        let destroyed = Arc::new(AtomicU32::new(0));
        let label = Box::new(Label {
            player: self,
            index,
            destroyed: Arc::clone(&destroyed),
        });
        let data: *mut c_void = Box::into_raw(label).cast();
        self.handle.set_userdata(id, data, Some(destroy));
        let has_callback = self.rng.one_in(3);
        if has_callback {
            self.handle.set_callback(id, watch_callback);
        }
        self.labels.push(Labelled {
            data,
            has_callback,
            destroyed,
        });
    }

    fn rm_watch(&mut self) {
        if self.world.watches.is_empty() {
            return;
        }
        // Mostly a recent one, since the old ones are gone.
        let count = self.world.watches.len();
        let index = count - 1 - self.rng.below(count.min(12));
        let (id, state, removed) = {
            let watch = &self.world.watches[index];
            (watch.id, watch.state, watch.removed)
        };
        let result = self.handle.rm_watch(id);
        self.note(format!("rm_watch {id} ({state:?}) = {result:?}"));
        match state {
            State::Active => {
                require!(
                    self,
                    result.is_ok(),
                    "rm_watch: {result:?} {}",
                    abi::last_message()
                );
                self.world.removed(index);
                let active = self.handle.watch_is_active(id);
                require!(
                    self,
                    active == Ok(false),
                    "removed, its IGNORED not taken: active {active:?}"
                );
                let path = self.handle.watch_path(id);
                require!(
                    self,
                    path.is_ok(),
                    "removed, its IGNORED not taken: path {path:?}"
                );
            }
            // Ended by the kernel: the library may not have heard of it yet.
            State::Ending if !removed => {
                require!(
                    self,
                    matches!(result, Ok(()) | Err(ENOENT)),
                    "rm_watch on an ending watch: {result:?}"
                );
            }
            State::Ending | State::Gone => {
                require!(
                    self,
                    result == Err(ENOENT),
                    "rm_watch on an ended watch: {result:?}"
                );
            }
        }
        if state == State::Gone {
            let path = self.handle.watch_path(id);
            require!(
                self,
                path == Err(ENOENT),
                "the ID of a gone watch has the path {path:?}"
            );
        }
    }

    fn check_watches(&mut self) {
        let mut ids = self.handle.watches();
        if let Some(tree) = &self.tree {
            ids.retain(|&id| id != tree.id);
        }
        for watch in &self.world.watches {
            let listed = ids.contains(&watch.id);
            require!(
                self,
                listed || watch.state != State::Active,
                "watches() lacks {}",
                watch.id
            );
            require!(
                self,
                !listed || watch.state != State::Gone,
                "watches() has {}, which is gone",
                watch.id
            );
        }
        for (watch, label) in self.world.watches.iter().zip(&self.labels) {
            let destroyed = label.destroyed.load(Relaxed);
            let most = u32::from(watch.state == State::Gone);
            require!(
                self,
                destroyed <= most,
                "destroy ran {destroyed} times for {:?}",
                watch
            );
        }
    }

    fn get(&mut self) {
        self.wake = false;
        match self.handle.get() {
            Ok(Some(event)) => self.take(&event),
            Ok(None) => {
                self.note("get = 0");
                self.ended("get");
            }
            Err(error) => self.fail(format!("get: errno {error}")),
        }
    }

    fn get_events(&mut self) {
        self.wake = false;
        let max = 1 + self.rng.below(40);
        self.note(format!("get_events {max}"));
        let events = self
            .handle
            .get_events(max)
            .unwrap_or_else(|error| self.fail(format!("get_events: errno {error}")));
        for event in &events {
            self.take(event);
        }
        if events.len() < max {
            self.ended("get_events");
        }
        // A call that stopped at its bound promises a new edge for the rest.
        self.edge_owed = true;
    }

    fn get_and_keep(&mut self) {
        self.wake = false;
        let mut event = abi::blank();
        // SAFETY: a valid struct to fill.
        match unsafe { c::asyncinotify_get(self.handle.0, &mut event) } {
            1 => {}
            0 => return self.ended("get"),
            error => self.fail(format!("get: {error}")),
        }
        // SAFETY: the event was just taken.
        let owned = unsafe { abi::owned(&event) };
        self.take(&owned);
        let mut copy = std::ptr::null_mut();
        // SAFETY: as above.
        let result = unsafe { c::asyncinotify_event_dup(&event, &mut copy) };
        require!(self, result == 0, "event_dup: {result}");
        self.dups.push_back((copy, owned));
        if self.dups.len() > 16 {
            self.release_dup();
        }
    }

    fn release_dup(&mut self) {
        let (copy, owned) = self.dups.pop_front().expect("there is one");
        // SAFETY: made by event_dup and not yet freed.
        let still = unsafe { abi::owned(&*copy) };
        require!(
            self,
            still == owned,
            "a dup'ed event changed: {still}, was {owned}"
        );
        // SAFETY: as above; it is not used again.
        unsafe { c::asyncinotify_event_free(copy) };
    }

    /// One event inside dispatch or run. The callback's return value.
    fn called_back(&mut self, event: Event, own: Option<usize>) -> c_int {
        let index = self
            .world
            .watches
            .iter()
            .rposition(|watch| watch.id == event.watch);
        let expected = index.filter(|&index| self.labels[index].has_callback);
        require!(
            self,
            own == expected,
            "called back through {own:?}, not {expected:?}, for {event}"
        );
        self.take(&event);
        let Some(orders) = self.orders.last_mut() else {
            self.fail("a callback outside of a call".into())
        };
        orders.delivered += 1;
        let stop = orders.delivered == orders.stop_at;
        if orders.meddle && self.rng.one_in(4) {
            match self.rng.below(6) {
                0 => self.add_watch(),
                1 => self.rm_watch(),
                2 => self.get(),
                3 => self.get_events(),
                4 => self.set_cache_size(),
                _ => self.operate(),
            }
        }
        if stop { 7 } else { 0 }
    }

    fn orders(&mut self) -> usize {
        let stop_at = if self.rng.one_in(2) {
            1 + self.rng.below(6)
        } else {
            0
        };
        let meddle = self.orders.is_empty() && self.rng.one_in(3);
        self.orders.push(Orders {
            stop_at,
            delivered: 0,
            meddle,
        });
        stop_at
    }

    fn go_on_panicking(&mut self) {
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
    }

    fn dispatch(&mut self) {
        self.wake = false;
        let max = if self.rng.one_in(2) {
            0
        } else {
            1 + self.rng.below(20)
        };
        let stop_at = self.orders();
        self.note(format!("dispatch max {max}, stop at {stop_at}"));
        let handle = self.handle;
        let me: *mut Player = self;
        // SAFETY: the callbacks run inside this call, one at a time, on this thread; self isn't touched until it returns.
        let result = handle.dispatch(max, |event| unsafe { (*me).called_back(event, None) });
        self.go_on_panicking();
        let orders = self.orders.pop().expect("pushed above");
        self.note(format!("dispatch = {result:?}"));
        require!(
            self,
            result == Ok(orders.delivered),
            "dispatch: {result:?}, called back {} times",
            orders.delivered
        );
        let stopped = stop_at != 0 && orders.delivered >= stop_at;
        require!(
            self,
            !stopped || orders.delivered == stop_at,
            "went on after a callback said stop"
        );
        require!(self, max == 0 || orders.delivered <= max, "more than max");
        if !stopped && (max == 0 || orders.delivered < max) {
            self.ended("dispatch");
        }
        self.edge_owed = true;
    }

    /// A wait that would never end must not begin.
    fn would_hang(&self) -> bool {
        let endless = self.timeout == TIMEOUT_INFINITE
            || (self.timeout == TIMEOUT_DISABLED && self.settings.blocking);
        endless && !self.certain()
    }

    fn sync_get(&mut self) {
        if self.would_hang() {
            return;
        }
        let result = self.handle.sync_get();
        self.note(format!("sync_get (timeout {})", self.timeout));
        if self.wake {
            require!(
                self,
                result == Err(EINTR),
                "sync_get after a wake: {result:?}"
            );
            self.wake = false;
            return;
        }
        match result {
            Ok(Some(event)) => self.take(&event),
            Ok(None) => {
                require!(
                    self,
                    self.timeout >= 0,
                    "sync_get timed out without a time-out"
                );
                self.ended("sync_get");
            }
            Err(EAGAIN) => {
                let right = self.timeout == TIMEOUT_DISABLED && !self.settings.blocking;
                require!(self, right, "sync_get: EAGAIN");
                self.ended("sync_get");
            }
            Err(error) => self.fail(format!("sync_get: errno {error}")),
        }
    }

    fn run(&mut self) {
        let stop_at = self.orders();
        let endless = self.timeout == TIMEOUT_INFINITE
            || (self.timeout == TIMEOUT_DISABLED && self.settings.blocking);
        let sure = self
            .world
            .queue
            .iter()
            .filter(|event| !event.maybe_merged)
            .count();
        // Without a time-out it ends only by a callback or a wake; what meddling leaves over is not known.
        if endless && !self.wake && (stop_at == 0 || stop_at > sure) {
            self.orders.pop();
            return;
        }
        if endless {
            self.orders.last_mut().expect("pushed above").meddle = false;
        }
        self.note(format!("run (timeout {}), stop at {stop_at}", self.timeout));
        let handle = self.handle;
        let me: *mut Player = self;
        // SAFETY: as in dispatch.
        let result = handle.run(|event| unsafe { (*me).called_back(event, None) });
        self.go_on_panicking();
        let orders = self.orders.pop().expect("pushed above");
        self.note(format!("run = {result}"));
        if self.wake {
            // A get inside a callback may have cleared it, but the first thing run does is to look.
            require!(
                self,
                result == -EINTR && orders.delivered == 0,
                "run after a wake: {result}"
            );
            self.wake = false;
            return;
        }
        if stop_at != 0 && orders.delivered == stop_at {
            require!(self, result == 7, "run stopped by a callback: {result}");
        } else {
            let end = if self.timeout == TIMEOUT_DISABLED {
                -EAGAIN
            } else {
                0
            };
            require!(self, result == end, "run: {result}, expected {end}");
            self.ended("run");
        }
        self.edge_owed = true;
    }

    fn set_cache_size(&mut self) {
        let size = if self.rng.one_in(3) {
            240
        } else {
            1 + self.rng.below(6)
        };
        self.handle.set_cache_size(size);
        self.note(format!("set_cache_size {size}"));
    }

    fn set_timeout(&mut self) {
        self.timeout = *self
            .rng
            .pick(&[TIMEOUT_DISABLED, TIMEOUT_INFINITE, 0, 0, 1]);
        self.handle.set_sync_timeout(self.timeout);
        self.note(format!("set_sync_timeout {}", self.timeout));
    }

    fn correct_path(&mut self) {
        // Only when nothing is outstanding: a queued event may have its path already.
        let recent = self.world.watches.len().saturating_sub(12);
        let active = (recent..self.world.watches.len())
            .find(|&index| self.world.watches[index].state == State::Active);
        if let Some(index) = active.filter(|_| !self.possible()) {
            let path = self
                .folder
                .path()
                .join(format!("corrected-{}", self.rng.below(100)));
            let watch = &mut self.world.watches[index];
            let result = self.handle.watch_set_path(watch.id, &c_path(&path));
            watch.path = path;
            self.note(format!("watch_set_path = {result:?}"));
            require!(self, result.is_ok(), "watch_set_path: {result:?}");
        }
    }

    /// Random steps, the model's word on each.
    pub fn play(&mut self, steps: u64) {
        for step in 0..steps {
            self.step = step;
            const STEPS: [u32; 12] = [30, 5, 4, 10, 5, 2, 6, 5, 2, 3, 2, 2];
            match self.rng.weighted(&STEPS) {
                0 => self.operate(),
                1 => self.add_watch(),
                2 => self.rm_watch(),
                3 => self.get(),
                4 => self.get_events(),
                5 => self.get_and_keep(),
                6 => self.dispatch(),
                7 => self.sync_get(),
                8 => self.run(),
                9 => {
                    self.handle.wake();
                    self.wake = true;
                    self.note("wake");
                }
                10 => self.set_cache_size(),
                _ if self.rng.one_in(2) => self.set_timeout(),
                _ => self.correct_path(),
            }
            if self.world.queue.len() > MOST_OUTSTANDING {
                while self.possible() {
                    self.get_events();
                }
            }
            if self.settings.poll_always {
                let readable = poll_in(self.handle.fd(), 0);
                self.judge_readiness("poll", readable);
            }
            if self.rng.one_in(3) {
                self.look();
            }
            if self.rng.one_in(500) {
                self.check_watches();
            }
        }
        self.finish();
    }

    fn finish(&mut self) {
        while self.possible() {
            self.get();
        }
        self.look();
        self.check_watches();
        let expected = self
            .world
            .watches
            .iter()
            .filter(|watch| watch.state == State::Active)
            .count();
        if self.tree.is_none() {
            let watches = crate::support::kernel::kernel_watches(self.handle.raw_fd());
            require!(
                self,
                watches == expected,
                "{watches} kernel watches, {expected} active"
            );
        }
        self.handle.close();
        while !self.dups.is_empty() {
            self.release_dup();
        }
        for (index, label) in self.labels.iter().enumerate() {
            let destroyed = label.destroyed.load(Relaxed);
            require!(
                self,
                destroyed == 1,
                "destroy ran {destroyed} times for {:?}",
                self.world.watches[index]
            );
        }
    }
}

unsafe extern "C" fn destroy(data: *mut c_void) {
    // SAFETY: made by Box::into_raw in `label`; the library calls this once.
    let label = unsafe { Box::from_raw(data.cast::<Label>()) };
    label.destroyed.fetch_add(1, Relaxed);
}

unsafe extern "C" fn watch_callback(
    _: *mut asyncinotify,
    event: *const asyncinotify_event,
    data: *mut c_void,
) -> c_int {
    // SAFETY: a watch's callback is called with its userdata, inside a call of the player that it points to.
    unsafe {
        let label = &*data.cast::<Label>();
        let (player, index) = (label.player, label.index);
        let taken = catch_unwind(AssertUnwindSafe(|| {
            (*player).called_back(abi::owned(&*event), Some(index))
        }));
        taken.unwrap_or_else(|panic| {
            (*player).panic = Some(panic);
            1
        })
    }
}
