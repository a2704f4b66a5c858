//! The consumer: takes events in its way, keeps the replicas, and compares at each rest.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libc::*;

use crate::kinds::{Kind, LIST_EXISTING, Place, Taking, WHOLE};
use crate::support::abi::{Event, Handle, TreeOptions, last_message};
use crate::support::disk::{Entries, on_disk};
use crate::support::folder::{Folder, c_path};
use crate::support::kernel::{Epoll, kernel_watches, poll_in};
use crate::support::replica::{Expect, Replica};
use crate::support::rng::{Rng, mix};
use crate::support::{PATIENCE_MS, queue_limit};
use crate::worker::{Remote, Repertoire, STABLE, now, unique_name};

type Outcome<T = ()> = Result<T, String>;

const WORKERS: usize = 3;

#[derive(Default, Clone, Copy)]
pub struct Counts {
    pub operations: u64,
    pub failed: u64,
    pub events: u64,
    pub overflows: u64,
    pub listings: u64,
    pub repairs: u64,
    pub rests: u64,
    pub most_entries: u64,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.operations += other.operations;
        self.failed += other.failed;
        self.events += other.events;
        self.overflows += other.overflows;
        self.listings += other.listings;
        self.repairs += other.repairs;
        self.rests += other.rests;
        self.most_entries = self.most_entries.max(other.most_entries);
    }
}

/// What hangs on a watch ID.
enum Role {
    Tree(Box<Tree>),
    Plain(Plain),
    /// Removed by us: events may come until IGNORED.
    Leaving,
}

struct Tree {
    root: PathBuf,
    mask: u32,
    replica: Replica,
    /// For masks without CREATE: the unique files that were named.
    named: BTreeSet<Vec<u8>>,
    main: bool,
}

/// A plain watch on a directory: the names in it.
struct Plain {
    path: PathBuf,
    names: BTreeSet<Vec<u8>>,
    lost: bool,
}

impl Plain {
    fn on_disk(path: &Path) -> BTreeSet<Vec<u8>> {
        let entries = std::fs::read_dir(path).expect("a stable directory");
        entries
            .map(|entry| entry.expect("an entry").file_name().as_bytes().to_vec())
            .collect()
    }

    fn take(&mut self, event: &Event) -> Outcome {
        let Some(name) = &event.name else {
            return Ok(());
        };
        if event.path.as_deref()
            != Some(c_path(&self.path.join(std::ffi::OsStr::from_bytes(name))).as_bytes())
        {
            return Err(format!(
                "plain watch on {:?}: path is not its path and the name: {event}",
                self.path
            ));
        }
        if event.has(IN_CREATE) && !self.names.insert(name.clone()) && !self.lost {
            return Err(format!(
                "plain watch: CREATE of a name that is there: {event}"
            ));
        }
        if event.has(IN_MOVED_TO) {
            self.names.insert(name.clone());
        }
        if event.has(IN_DELETE | IN_MOVED_FROM) && !self.names.remove(name) && !self.lost {
            return Err(format!(
                "plain watch: a name left that was not there: {event}"
            ));
        }
        if event.flags != 0 {
            return Err(format!("plain watch: flags: {event}"));
        }
        Ok(())
    }
}

pub struct Consumer {
    kind: Kind,
    seed: u64,
    root: PathBuf,
    handle: Handle,
    edge: Option<Epoll>,
    roles: BTreeMap<u64, Role>,
    workers: Vec<Remote>,
    rng: Rng,
    pub counts: Counts,
    /// Of the events since the last rest, for the report.
    trace: Vec<(u64, Event)>,
    trouble: Option<String>,
    // Dropped last: the workers are dead then.
    _folder: Folder,
}

/// Where a kind of consumer has its tree.
fn parent(place: Place) -> PathBuf {
    match place {
        Place::Memory => "/dev/shm".into(),
        Place::Disk => env!("CARGO_TARGET_TMPDIR").into(),
    }
}

impl Consumer {
    /// None: this machine does not let us (the reason is printed).
    pub fn new(kind: Kind, seed: u64) -> Option<Consumer> {
        let flags = (O_CLOEXEC | if kind.blocking { 0 } else { O_NONBLOCK }) as u32;
        let handle = if kind.queue == 0 {
            queue_limit::normal(|| Handle::open(flags))
        } else {
            match queue_limit::lowered(kind.queue, || Handle::open(flags)) {
                Ok(handle) => handle,
                Err(why) => {
                    eprintln!(
                        "SKIPPED {}: cannot shorten the kernel's queue: {why}",
                        kind.name
                    );
                    return None;
                }
            }
        };
        if kind.cache != 0 {
            handle.set_cache_size(kind.cache);
        }
        handle.set_sync_timeout(20);
        let folder = Folder::in_dir(&parent(kind.place), "replica");
        let (root, outside) = (folder.path().join("tree"), folder.path().join("outside"));
        for directory in [&root, &outside] {
            std::fs::create_dir(directory).expect("mkdir");
        }
        for name in STABLE {
            std::fs::create_dir(root.join(name)).expect("mkdir");
        }
        for number in 0..kind.crowd {
            std::fs::create_dir(root.join(format!("crowd{number}"))).expect("mkdir");
        }
        let workers = (0..WORKERS)
            .map(|number| {
                Remote::start(
                    &root,
                    &outside,
                    mix(&[seed, number as u64]),
                    number,
                    kind.repertoire,
                )
            })
            .collect();
        let edge = matches!(kind.taking, Taking::EdgeDrain | Taking::EdgeDispatch(_));
        Some(Consumer {
            edge: edge.then(|| Epoll::new(handle.fd(), true)),
            kind,
            seed,
            root,
            handle,
            roles: BTreeMap::new(),
            workers,
            rng: Rng::new(mix(&[seed, WORKERS as u64])),
            counts: Counts::default(),
            trace: Vec::new(),
            trouble: None,
            _folder: folder,
        })
    }

    /// Plays a seed: rounds of operations, a rest after each. Err is the whole report.
    pub fn play(&mut self, rounds: u64, operations: u64) -> Outcome {
        let result = self.rounds(rounds, operations);
        result.map_err(|what| self.report(&what))
    }

    fn rounds(&mut self, rounds: u64, operations: u64) -> Outcome {
        self.add_tree(self.root.clone(), self.kind.mask, self.kind.flags, true)?;
        self.settle()?;
        for _ in 0..rounds {
            self.company()?;
            self.round(operations)?;
            self.rest()?;
            self.trace.clear();
        }
        self.leave()
    }

    // Watches that come and go.

    fn add_tree(&mut self, root: PathBuf, mask: u32, flags: u32, main: bool) -> Outcome {
        let options = TreeOptions {
            flags,
            ..TreeOptions::default()
        };
        // While others work on it, only a listing can tell what is there.
        let expect = Expect {
            mask,
            lists: flags & LIST_EXISTING != 0,
            complete: mask & IN_CREATE != 0,
            swaps: self.kind.repertoire == Repertoire::Swaps,
            concurrent: true,
            trouble: false,
            max_depth: 0,
            alone: !self.kind.company,
        };
        let mut replica = Replica::new(root.as_os_str().as_bytes(), expect);
        if flags & LIST_EXISTING == 0 {
            replica.start_from(&on_disk(&root));
        }
        let id = self
            .handle
            .add_recursive(&c_path(&root), mask, &options)
            .map_err(|errno| {
                format!("add_recursive {root:?}: errno {errno}: {}", last_message())
            })?;
        // Such kinds begin at rest: what is there already need not be named.
        let unheard = mask & IN_CREATE == 0;
        let there = if unheard {
            on_disk(&root)
        } else {
            Entries::new()
        };
        let named = there.keys().filter_map(|path| unique_name(path)).collect();
        let tree = Tree {
            root,
            mask,
            replica,
            named,
            main,
        };
        if self.roles.insert(id, Role::Tree(Box::new(tree))).is_some() {
            return Err(format!("the ID {id} was used before"));
        }
        Ok(())
    }

    fn remove(&mut self, id: u64) -> Outcome {
        self.handle
            .rm_watch(id)
            .map_err(|errno| format!("rm_watch {id}: errno {errno}"))?;
        self.roles.insert(id, Role::Leaving);
        Ok(())
    }

    fn trees(&self) -> Vec<u64> {
        self.roles
            .iter()
            .filter(|(_, role)| matches!(role, Role::Tree(_)))
            .map(|(&id, _)| id)
            .collect()
    }

    fn plains(&self) -> Vec<u64> {
        self.roles
            .iter()
            .filter(|(_, role)| matches!(role, Role::Plain(_)))
            .map(|(&id, _)| id)
            .collect()
    }

    /// At rest: the plain watches come and go.
    fn company(&mut self) -> Outcome {
        if !self.kind.company {
            return Ok(());
        }
        if self.rng.one_in(3) {
            for id in self.plains() {
                self.remove(id)?;
            }
            self.settle()?;
        }
        if self.plains().is_empty() {
            for (path, mask) in [
                (self.root.join(STABLE[1]), IN_ALL_EVENTS),
                (self.root.clone(), WHOLE),
            ] {
                if path == self.root && self.kind.repertoire == Repertoire::Swaps {
                    // Swaps at the root: a plain watch could not tell them from renames.
                    continue;
                }
                let id = self
                    .handle
                    .add_watch(&c_path(&path), mask)
                    .map_err(|errno| format!("add_watch: {errno}"))?;
                let names = Plain::on_disk(&path);
                self.roles.insert(
                    id,
                    Role::Plain(Plain {
                        path,
                        names,
                        lost: false,
                    }),
                );
            }
        }
        Ok(())
    }

    /// While the workers work: a second tree comes and goes, and the first, where the kind says so.
    fn meddle(&mut self) -> Outcome {
        if self.kind.company && self.rng.one_in(60) {
            let second = self
                .trees()
                .into_iter()
                .find(|id| !matches!(&self.roles[id], Role::Tree(tree) if tree.main));
            match second {
                Some(id) => self.remove(id)?,
                None => {
                    let stable = self.root.join(self.rng.pick(&STABLE));
                    let mask = *self.rng.pick(&[WHOLE, IN_ALL_EVENTS]);
                    self.add_tree(stable, mask, LIST_EXISTING, false)?;
                }
            }
        }
        if self.kind.again && self.rng.one_in(120) {
            for id in self.trees() {
                self.remove(id)?;
            }
            self.add_tree(self.root.clone(), self.kind.mask, self.kind.flags, true)?;
        }
        if self.kind.cache != 0 && self.rng.one_in(50) {
            let size = 1 + self.rng.below(2 * self.kind.cache);
            self.handle.set_cache_size(size);
        }
        Ok(())
    }

    // Taking events.

    fn take(&mut self, event: Event) -> Outcome {
        self.counts.events += 1;
        let result = self.judge(&event);
        self.trace.push((now(), event));
        result
    }

    fn judge(&mut self, event: &Event) -> Outcome {
        if event.has(IN_Q_OVERFLOW) {
            self.counts.overflows += 1;
            if self.kind.queue == 0 {
                return Err(
                    "the kernel's queue overflowed: fewer operations a round would do".into(),
                );
            }
            if (event.watch, event.wd, &event.path) != (0, -1, &None) {
                return Err(format!("an overflow has no watch: {event}"));
            }
            for role in self.roles.values_mut() {
                match role {
                    Role::Tree(tree) => tree.replica.overflow(),
                    Role::Plain(plain) => plain.lost = true,
                    Role::Leaving => {}
                }
            }
            return Ok(());
        }
        if event.has(IN_IGNORED) {
            return match self.roles.remove(&event.watch) {
                Some(Role::Leaving) => Ok(()),
                _ => Err(format!("a watch ended that nobody removed: {event}")),
            };
        }
        match self.roles.get_mut(&event.watch) {
            Some(Role::Tree(tree)) => {
                if tree.mask & WHOLE == IN_CLOSE_WRITE & WHOLE {
                    let path = event.path.as_deref().unwrap_or_default();
                    tree.named.extend(unique_name(path));
                    if event.flags & !1 == 0
                        && (unique_name(path).is_none() || !event.has(IN_CLOSE_WRITE))
                    {
                        return Err(format!("an event nobody caused: {event}"));
                    }
                }
                tree.replica.take(&event.told())?;
                tree.judge_root(event)
            }
            Some(Role::Plain(plain)) => plain.take(event),
            Some(Role::Leaving) => Ok(()),
            None => Err(format!("an event of no watch of ours: {event}")),
        }
    }

    /// Takes what the kind takes at one go. Returns how many; 0 says that there is nothing.
    fn once(&mut self) -> Outcome<usize> {
        let handle = self.handle;
        let failed = |errno: i32| format!("taking failed: errno {errno}: {}", last_message());
        let mut count = 0;
        match self.kind.taking {
            Taking::OneByOne => {
                if let Some(event) = handle.get().map_err(failed)? {
                    self.take(event)?;
                    count = 1;
                }
            }
            Taking::Drain | Taking::EdgeDrain => {
                while let Some(event) = handle.get().map_err(failed)? {
                    self.take(event)?;
                    count += 1;
                }
            }
            Taking::Batches(max) => {
                for event in handle.get_events(max).map_err(failed)? {
                    self.take(event)?;
                    count += 1;
                }
            }
            Taking::Dispatch(max) | Taking::EdgeDispatch(max) => {
                let mut trouble = None;
                let dispatched = handle.dispatch(max, |event| match self.take(event) {
                    Ok(()) => 0,
                    Err(what) => {
                        trouble = Some(what);
                        1
                    }
                });
                if let Some(what) = trouble {
                    return Err(what);
                }
                count = dispatched.map_err(failed)?;
            }
            Taking::SyncGet => match handle.sync_get() {
                Ok(Some(event)) => {
                    self.take(event)?;
                    count = 1;
                }
                Ok(None) => {}
                Err(errno) => return Err(failed(errno)),
            },
            Taking::Run => {
                let mut trouble = None;
                let ended = handle.run(|event| {
                    count += 1;
                    match self.take(event) {
                        // Look after the workers now and then.
                        Ok(()) => i32::from(count == 50),
                        Err(what) => {
                            trouble = Some(what);
                            2
                        }
                    }
                });
                if let Some(what) = trouble {
                    return Err(what);
                }
                if ended < 0 {
                    return Err(failed(-ended));
                }
            }
        }
        Ok(count)
    }

    /// One wake-up, if there is one now.
    fn turn(&mut self) -> Outcome<bool> {
        let woken = match (&self.edge, self.kind.taking) {
            (Some(edge), _) => edge.wait(0),
            (None, Taking::SyncGet | Taking::Run) => true,
            (None, _) => poll_in(self.handle.fd(), 0),
        };
        if !woken {
            return Ok(false);
        }
        Ok(self.once()? > 0)
    }

    /// Until nothing is outstanding.
    fn settle(&mut self) -> Outcome {
        let mut idle = 0;
        loop {
            let took = self.turn()?;
            if !took && !poll_in(self.handle.fd(), 0) {
                return Ok(());
            }
            // The fd may be readable for something that isn't the caller's, not for ever.
            idle = if took { 0 } else { idle + 1 };
            if idle > 100_000 {
                return Err("the fd stays readable, but nothing comes (or no edge)".into());
            }
        }
    }

    fn round(&mut self, operations: u64) -> Outcome {
        for worker in &mut self.workers {
            worker.order(operations);
        }
        while self.workers.iter().any(Remote::busy) {
            let lazy = self.kind.lazy && !self.rng.one_in(4);
            let waits_inside = matches!(self.kind.taking, Taking::SyncGet | Taking::Run);
            let mut fds: Vec<pollfd> = Vec::new();
            for worker in self.workers.iter().filter(|worker| worker.busy()) {
                fds.push(pollfd {
                    fd: worker.fd(),
                    events: POLLIN,
                    revents: 0,
                });
            }
            if !lazy {
                let fd = self.edge.as_ref().map_or(self.handle.fd(), Epoll::fd);
                fds.push(pollfd {
                    fd,
                    events: POLLIN,
                    revents: 0,
                });
            }
            let patience = if waits_inside {
                0
            } else if lazy {
                3
            } else {
                PATIENCE_MS
            };
            // SAFETY: as many entries as told.
            let ready = unsafe { poll(fds.as_mut_ptr(), fds.len() as nfds_t, patience) };
            if ready == 0 && !lazy && !waits_inside {
                return Err("the workers hang".into());
            }
            for worker in self.workers.iter_mut().filter(|worker| worker.busy()) {
                if fds
                    .iter()
                    .any(|entry| entry.fd == worker.fd() && entry.revents != 0)
                {
                    let (done, failed) = worker.answer();
                    self.counts.operations += done;
                    self.counts.failed += failed;
                }
            }
            if !lazy {
                self.turn()?;
            }
            self.meddle()?;
        }
        Ok(())
    }

    // At rest.

    fn rest(&mut self) -> Outcome {
        self.settle()?;
        self.counts.rests += 1;
        let disk = on_disk(&self.root);
        self.counts.most_entries = self.counts.most_entries.max(disk.len() as u64);
        let mut watched = BTreeSet::new();
        let ids: Vec<u64> = self.roles.keys().copied().collect();
        for id in ids {
            match self.roles.get_mut(&id).expect("an ID of ours") {
                Role::Tree(tree) => {
                    let below: Entries = disk
                        .iter()
                        .filter(|(path, _)| {
                            tree.root == self.root
                                || Path::new(std::ffi::OsStr::from_bytes(path))
                                    .starts_with(&tree.root)
                        })
                        .filter(|(path, _)| **path != tree.root.as_os_str().as_bytes())
                        .map(|(path, kind)| (path.clone(), *kind))
                        .collect();
                    self.counts.listings += std::mem::take(&mut tree.replica.listings);
                    self.counts.repairs += std::mem::take(&mut tree.replica.repairs);
                    tree.check(&below)?;
                    let mut directories: Vec<Vec<u8>> = below
                        .iter()
                        .filter(|(_, directory)| **directory)
                        .map(|(path, _)| path.clone())
                        .collect();
                    directories.push(tree.root.as_os_str().as_bytes().to_vec());
                    directories.sort();
                    let mut listed = self
                        .handle
                        .directories(id)
                        .map_err(|errno| format!("each_directory: {errno}"))?;
                    listed.sort();
                    if listed != directories {
                        let show = |a: &[Vec<u8>], b: &[Vec<u8>]| -> Vec<String> {
                            a.iter()
                                .filter(|path| !b.contains(path))
                                .map(|path| path.escape_ascii().to_string())
                                .collect()
                        };
                        return Err(format!(
                            "{:?}: directories on disk but not watched: {:?}; watched but not on disk (or twice): {:?} ({} against {})",
                            tree.root,
                            show(&directories, &listed),
                            show(&listed, &directories),
                            directories.len(),
                            listed.len(),
                        ));
                    }
                    watched.extend(directories);
                }
                Role::Plain(plain) => {
                    let now = Plain::on_disk(&plain.path);
                    if plain.lost {
                        plain.names = now;
                        plain.lost = false;
                    } else if plain.names != now {
                        return Err(format!(
                            "plain watch on {:?}: {:?}, on disk {:?}",
                            plain.path, plain.names, now
                        ));
                    }
                    watched.insert(plain.path.as_os_str().as_bytes().to_vec());
                }
                Role::Leaving if self.kind.queue != 0 => {}
                Role::Leaving => {
                    return Err(format!(
                        "watch {id} was removed, but its IGNORED did not come"
                    ));
                }
            }
        }
        self.check_kernel_watches(&watched)
    }

    fn check_kernel_watches(&self, watched: &BTreeSet<Vec<u8>>) -> Outcome {
        let inodes: BTreeSet<(u64, u64)> = watched
            .iter()
            .map(|path| {
                let data = std::fs::symlink_metadata(Path::new(std::ffi::OsStr::from_bytes(path)))
                    .expect("it is there");
                (data.dev(), data.ino())
            })
            .collect();
        let held = kernel_watches(self.handle.raw_fd());
        if held != inodes.len() {
            return Err(format!(
                "{held} kernel watches for {} directories",
                inodes.len()
            ));
        }
        Ok(())
    }

    /// Takes all watches away: nothing is left.
    fn leave(&mut self) -> Outcome {
        let ids: Vec<u64> = self
            .roles
            .iter()
            .filter(|(_, role)| !matches!(role, Role::Leaving))
            .map(|(&id, _)| id)
            .collect();
        for id in ids {
            self.remove(id)?;
        }
        self.settle()?;
        let (watches, held) = (self.handle.watches(), kernel_watches(self.handle.raw_fd()));
        if !watches.is_empty() || held != 0 {
            return Err(format!(
                "after the end: watches {watches:?}, {held} kernel watches"
            ));
        }
        Ok(())
    }

    // When it went wrong.

    fn report(&mut self, what: &str) -> String {
        self.trouble = Some(what.to_owned());
        let mut lines: Vec<(u64, String)> = self
            .trace
            .drain(..)
            .map(|(time, event)| (time, format!("        => {event}")))
            .collect();
        for worker in &mut self.workers {
            if worker.busy() {
                worker.answer();
            }
            lines.extend(worker.log());
        }
        lines.sort();
        let first = lines.first().map_or(0, |(time, _)| *time);
        let mut text = format!(
            "{what}\n{:?}\nseed {}\n\nsince the last rest, in microseconds:\n",
            self.kind, self.seed
        );
        for (time, line) in &lines {
            text.push_str(&format!("{:>9.1} {line}\n", (time - first) as f64 / 1000.0));
        }
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("replica-{}-{}.log", self.kind.name, self.seed));
        std::fs::write(&path, text).expect("write the report");
        format!(
            "{what}\n{}: seed {}; replay with REPLICA_SEED={} cargo test --test replica -- --exact {}\nwhat was done and heard: {}",
            self.kind.name,
            self.seed,
            self.seed,
            self.kind.name,
            path.display()
        )
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.workers.clear();
        self.handle.close();
    }
}

impl Tree {
    fn check(&mut self, disk: &Entries) -> Outcome {
        self.replica.at_rest()?;
        if self.mask & WHOLE & IN_CREATE == 0 {
            // The paths may be older than a rename; each name is unique.
            let unnamed: Vec<String> = disk
                .iter()
                .filter(|(path, _)| {
                    unique_name(path).is_some_and(|name| !self.named.contains(&name))
                })
                .map(|(path, _)| path.escape_ascii().to_string())
                .collect();
            return if unnamed.is_empty() {
                Ok(())
            } else {
                Err(format!("written but never named: {unnamed:#?}"))
            };
        }
        self.replica
            .compare(disk)
            .map_err(|fault| format!("{:?}: {fault}", self.root, fault = fault.text))
    }

    /// Nobody touches the root itself: it is read only, by the library and by this test.
    fn judge_root(&self, event: &Event) -> Outcome {
        let reading = IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE;
        match self
            .replica
            .of_root
            .keys()
            .find(|&&bits| bits & reading == 0)
        {
            Some(_) => Err(format!("nobody did that to the root: {event}")),
            None => Ok(()),
        }
    }
}
