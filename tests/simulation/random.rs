//! Random runs: long, with faults, other watches, limits. A seed is the whole run.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use asyncinotify::simulation::{Instance, Limits, Operation, reset, starve, with_kernel};
use asyncinotify::{Filter, Mask, RecursiveFlags, RecursiveOptions, WatchId};
use libc::{IN_ALL_EVENTS, IN_ONLYDIR};

use crate::dice::{Dice, Settings};
use crate::disk::{Disk, Kind, Path};
use crate::judge::Judge;
use crate::plain::Plain;
use crate::rest;
use crate::run::{Played, Shared, add_tree, drain, finish, guarded, listen, take};
use crate::stage::Stage;
use crate::support::replica::{Expect, Verdict, WHOLE, fault};
use crate::support::rng::{Rng, mix};

#[derive(Default)]
pub struct Counts {
    pub operations: u64,
    pub failed: u64,
    pub overflows: u64,
    pub errors: u64,
    pub repairs: u64,
    pub calls: u64,
    pub without_memory: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.operations += other.operations;
        self.failed += other.failed;
        self.overflows += other.overflows;
        self.errors += other.errors;
        self.repairs += other.repairs;
        self.calls += other.calls;
        self.without_memory += other.without_memory;
    }
}

struct Run {
    instance: Instance,
    stage: Shared,
    dice: Rc<RefCell<Dice>>,
    settings: Settings,
    rng: Rng,
    /// Decides when memory runs out, in runs in which it does.
    droughts: Option<Rng>,
}

/// Plays a seed.
pub fn play(seed: u64, trace: bool) -> (Played, Counts, Settings) {
    let mut rng = Rng::new(mix(&[seed, 0]));
    let settings = Settings::new(&mut rng);
    let described = settings.clone();
    reset(settings.limits);
    with_kernel(|kernel| {
        kernel.set_listing_chunk(settings.chunk);
        kernel.set_proc(settings.proc);
        kernel.set_fine_walks(settings.fine_walks);
        kernel.set_late_ends(seed % 2 == 1);
        kernel.set_counts_links(!seed.is_multiple_of(5));
    });
    let dice = Rc::new(RefCell::new(Dice::new(
        Rng::new(mix(&[seed, 1])),
        settings.clone(),
    )));
    let mut stage = Stage::new(Vec::new(), Vec::new());
    stage.trace = trace.then(Vec::new);
    stage.limit = 100_000;
    stage.lot = Some(Box::new(dice.clone()));
    let stage = Rc::new(RefCell::new(stage));
    let mut droughts = Rng::new(mix(&[seed, 2]));
    let droughts = droughts.one_in(5).then_some(droughts);
    let found = guarded(|| {
        let mut run = Run::new(&stage, &dice, settings, rng)?;
        run.droughts = droughts;
        run.go()
    });
    starve(0);
    let mut counts = Counts {
        operations: stage.borrow().done,
        failed: dice.borrow().failed,
        overflows: stage.borrow().overflows,
        calls: with_kernel(|kernel| kernel.calls()),
        without_memory: stage.borrow().without_memory,
        ..Counts::default()
    };
    for judge in &stage.borrow().judges {
        counts.errors += judge.errors;
        counts.repairs += judge.replica.repairs;
    }
    stage.borrow_mut().lot = None;
    (finish(&stage, found), counts, described)
}

/// A hash of all that a run has done.
pub fn digest(played: &Played) -> u64 {
    let mut hasher = DefaultHasher::new();
    (played.happened(), played.digest).hash(&mut hasher);
    hasher.finish()
}

impl Run {
    fn new(stage: &Shared, dice: &Rc<RefCell<Dice>>, settings: Settings, rng: Rng) -> Verdict<Run> {
        listen(stage);
        let instance = Instance::new(settings.cache).map_err(|error| fault("new", error))?;
        for directory in ["/t", "/o", "/t/a", "/t/b", "/t/a/b", "/o/a"] {
            let operation = Operation::Mkdir(directory.into());
            with_kernel(|kernel| kernel.run(&operation)).map_err(|errno| fault("begin", errno))?;
            stage.borrow_mut().disk.apply(&operation);
        }
        stage.borrow_mut().open = true;
        Ok(Run {
            instance,
            stage: stage.clone(),
            dice: dice.clone(),
            settings,
            rng,
            droughts: None,
        })
    }

    /// Calls `f`, perhaps while memory is short.
    fn in_drought<R>(&mut self, f: impl FnOnce(&mut Run) -> R) -> R {
        /// Most calls ask for memory a few times, or not at all.
        const LENGTHS: [u32; 5] = [1, 3, 20, 200, 5000];
        let length = self.droughts.as_mut().map_or(0, |rng| {
            let times = *rng.pick(&LENGTHS) + rng.below(20) as u32;
            if rng.one_in(3) { times } else { 0 }
        });
        if length > 0 {
            let mut stage = self.stage.borrow_mut();
            stage.in_drought = true;
            stage.note(|| format!("no memory {length} times"));
        }
        starve(length);
        let result = f(self);
        starve(0);
        self.stage.borrow_mut().in_drought = false;
        result
    }

    /// Removes a watch, which can't fail for want of memory twice.
    fn rm_watch(&mut self, watch: u64) -> asyncinotify::Result<()> {
        let id = WatchId::from_raw(watch);
        match self.in_drought(|run| run.instance.rm_watch(id)) {
            Err(error) if error.errno == libc::ENOMEM => self.instance.rm_watch(id),
            other => other,
        }
    }

    fn go(&mut self) -> Verdict {
        for _ in 0..self.settings.rounds {
            self.dice.borrow_mut().left = self.settings.operations;
            self.root_tree()?;
            self.round()?;
            self.rest()?;
            self.company()?;
        }
        self.dice.borrow_mut().left = 0;
        self.leave()
    }

    /// The tree of the root: added, or added again where the root has gone elsewhere.
    fn root_tree(&mut self) -> Verdict {
        let stage = self.stage.clone();
        let active: Vec<(u64, u32, Path)> = stage
            .borrow()
            .active()
            .filter(|judge| judge.main)
            .map(|judge| (judge.watch, judge.root, judge.given.clone()))
            .collect();
        let disk = stage.borrow().disk.clone();
        for (watch, root, given) in &active {
            if disk.nodes.get(given).is_some_and(|node| node.id == *root) && !self.rng.one_in(6) {
                return Ok(());
            }
            self.remove(*watch)?;
        }
        let path: &[u8] = if disk.is_dir(b"/t") { b"/t" } else { b"/u" };
        if !disk.is_dir(path) {
            let operation = Operation::Mkdir(b"/t".to_vec());
            with_kernel(|kernel| kernel.run(&operation)).map_err(|errno| fault("begin", errno))?;
            stage.borrow_mut().visible(&operation);
            return self.add(b"/t", true);
        }
        self.add(path, true)
    }

    fn remove(&mut self, watch: u64) -> Verdict {
        let ended = {
            let stage = self.stage.borrow();
            stage
                .judges
                .iter()
                .any(|judge| judge.watch == watch && judge.replica.ended)
        };
        if !ended {
            let removed = self.rm_watch(watch);
            let mut stage = self.stage.borrow_mut();
            stage.note(|| "rm_watch of a tree".into());
            // Its end may be queued already.
            if let Some(judge) = stage.judges.iter_mut().find(|judge| judge.watch == watch) {
                judge.removed = true;
            }
            drop(removed);
        }
        Ok(())
    }

    fn add(&mut self, path: &[u8], main: bool) -> Verdict {
        let settings = self.settings.clone();
        let mask = if main {
            settings.mask
        } else {
            *self.rng.pick(&[WHOLE, IN_ALL_EVENTS, settings.mask])
        };
        let lists = settings.lists || !main;
        let expect = Expect {
            mask,
            lists,
            complete: mask & WHOLE == WHOLE,
            swaps: settings.swaps,
            concurrent: true,
            trouble: true,
            max_depth: settings.max_depth,
            // One that is gone may have heard it before.
            alone: !settings.company && self.stage.borrow().judges.is_empty(),
        };
        let disk = self.stage.borrow().disk.clone();
        // What was half done when the library rested may have taken it away.
        let Some(root) = disk.nodes.get(path).map(|node| node.id) else {
            return Ok(());
        };
        let mut judge = Judge::new(path, root, disk.view(root), expect);
        let subject = self.stage.borrow().subject();
        judge.has_been(self.stage.borrow().disk_before().view(root), subject);
        (judge.max_depth, judge.refused, judge.main) =
            (settings.max_depth, settings.refused.clone(), main);
        judge.excused = settings.limited || !settings.proc;
        let at = self.stage.borrow().judges.len();
        self.stage.borrow_mut().judges.push(judge);
        let mut flags = RecursiveFlags::empty();
        flags.set(RecursiveFlags::LIST_EXISTING, lists);
        flags.set(RecursiveFlags::BACKGROUND, settings.background);
        let options = RecursiveOptions {
            flags,
            max_depth: settings.max_depth,
            filter: settings.refused.map(refuse),
        };
        self.dice.borrow_mut().kept = Some(path.to_vec());
        let added = self.in_drought(|run| {
            let Run {
                instance, stage, ..
            } = run;
            add_tree(instance, stage, at, mask, options)
        });
        self.dice.borrow_mut().kept = None;
        if added?.is_none() {
            self.stage.borrow_mut().judges.remove(at);
        }
        Ok(())
    }

    fn round(&mut self) -> Verdict {
        loop {
            let steps = self.rng.below(if self.settings.lazy { 40 } else { 6 });
            let idle = self.stage.borrow_mut().turn(steps) == 0 && steps > 0;
            if self.settings.limited && self.rng.one_in(8) {
                self.limit();
            }
            if !self.settings.lazy || self.rng.one_in(3) {
                let batch = self.settings.batch;
                self.in_drought(|run| take(&mut run.instance, &run.stage, batch))?;
            }
            if idle {
                return Ok(());
            }
        }
    }

    fn limit(&mut self) {
        let (watches, descriptors) = (self.rng.below(12), self.rng.below(5));
        let raise = self.rng.one_in(2);
        with_kernel(|kernel| {
            let now = kernel.watches().len();
            let mut limits = kernel.limits();
            limits.watches = if raise { usize::MAX } else { now + watches };
            limits.descriptors = if raise { usize::MAX } else { 1 + descriptors };
            kernel.set_limits(limits);
        });
        self.stage.borrow_mut().note(|| {
            format!("limits: raise {raise}, watches {watches}, descriptors {descriptors}")
        });
    }

    fn rest(&mut self) -> Verdict {
        // What still pends is done before anybody rests.
        while self.stage.borrow_mut().turn(1) > 0 {}
        let limits = with_kernel(|kernel| kernel.limits());
        with_kernel(|kernel| {
            kernel.set_limits(Limits {
                watches: usize::MAX,
                descriptors: usize::MAX,
                ..limits
            })
        });
        loop {
            drain(&mut self.instance, &self.stage, self.settings.batch)?;
            let mut stage = self.stage.borrow_mut();
            // No operation may be left to be done in the midst of the last one.
            if stage.turn(1) == 0 && !stage.is_under_way() {
                break;
            }
        }
        self.dice.borrow_mut().calm = true;
        self.cure()?;
        self.dice.borrow_mut().calm = false;
        let disk = self.stage.borrow().disk.clone();
        rest::compare_disks(&disk)?;
        rest::at_rest(&self.instance, &self.stage)?;
        let mut stage = self.stage.borrow_mut();
        stage.judges.retain(|judge| !judge.replica.ended);
        stage.plains.retain(|plain| !plain.ended);
        stage.note(|| "--- at rest".into());
        Ok(())
    }

    /// Nothing is in the way any more but permissions that are missing, and all else heals: what waits for room in its time,
    /// what was refused without a cause when something says that permissions have changed.
    fn cure(&mut self) -> Verdict {
        /// The first try is made soon, and each success is followed by the next.
        const TRIES: usize = 8;
        for _ in 0..TRIES {
            if let Some(due) = self.instance.retry_due() {
                with_kernel(|kernel| kernel.pass(due.saturating_sub(kernel.now())));
                take(&mut self.instance, &self.stage, self.settings.batch)?;
            }
            let left = self.curable();
            for path in left {
                // A root that was lost heals at the next event of its tree. What was refused for permissions alone has healed
                // when they changed, and what was refused without a cause is told that they have.
                let is_root = self.stage.borrow().active().any(|judge| judge.is_at(&path));
                if !is_root && self.settings.failing == 0 {
                    continue;
                }
                let inside = [&path[..], b"/cure"].concat();
                for operation in [
                    Operation::Chmod(path, 7),
                    Operation::Mkdir(inside.clone()),
                    Operation::Rmdir(inside),
                ] {
                    with_kernel(|kernel| kernel.run(&operation)).map_err(|e| fault("cure", e))?;
                    self.stage.borrow_mut().visible(&operation);
                }
            }
            drain(&mut self.instance, &self.stage, self.settings.batch)?;
        }
        if let Some(path) = self.curable().first() {
            return Err(fault("not-healed", path.escape_ascii()));
        }
        let is_troubled = self.stage.borrow().active().any(Judge::is_troubled);
        match self.instance.retry_due() {
            Some(due) if !is_troubled => Err(fault("tries-for-nothing", format!("{due:?}"))),
            _ => Ok(()),
        }
    }

    /// Directories that no tree watches, though an ERROR is all that tells of them and nothing closes them.
    fn curable(&self) -> BTreeSet<Path> {
        let mut curable = BTreeSet::new();
        for judge in self.stage.borrow().active() {
            let watched = self.instance.directories(WatchId::from_raw(judge.watch));
            let watched: Vec<Vec<u8>> = watched
                .into_iter()
                .flatten()
                .map(|path| path.into_bytes())
                .collect();
            curable.extend(judge.curable(&watched));
        }
        curable
    }

    /// At rest: plain watches and a second tree come and go.
    fn company(&mut self) -> Verdict {
        if !self.settings.company {
            return Ok(());
        }
        let second: Vec<u64> = self
            .stage
            .borrow()
            .active()
            .filter(|judge| !judge.main)
            .map(|judge| judge.watch)
            .collect();
        let disk = self.stage.borrow().disk.clone();
        let directories: Vec<Path> = disk
            .nodes
            .iter()
            .filter(|(path, node)| {
                node.kind == Kind::Directory && node.mode & 5 == 5 && !path.starts_with(b"/o")
            })
            .map(|(path, _)| path.clone())
            .collect();
        if let Some(&watch) = second.first() {
            if self.rng.one_in(2) {
                self.remove(watch)?;
            }
        } else if !directories.is_empty() {
            let path = self.rng.pick(&directories).clone();
            self.add(&path, false)?;
        }
        let plains: Vec<u64> = self
            .stage
            .borrow()
            .plains
            .iter()
            .map(|plain| plain.watch)
            .collect();
        for watch in plains {
            if self.rng.one_in(2) {
                let removed = self.rm_watch(watch);
                let mut stage = self.stage.borrow_mut();
                if let Some(plain) = stage
                    .plains
                    .iter_mut()
                    .find(|plain| plain.watch == watch && removed.is_ok())
                {
                    plain.removed = true;
                }
            }
        }
        if !directories.is_empty() && self.rng.one_in(2) {
            let path = self.rng.pick(&directories).clone();
            self.plain(&disk, &path);
        }
        Ok(())
    }

    fn plain(&mut self, disk: &Disk, path: &[u8]) {
        let id = disk.nodes[path].id;
        if self
            .stage
            .borrow()
            .plains
            .iter()
            .any(|plain| plain.id == id && !plain.removed)
        {
            return;
        }
        let mask = *self.rng.pick(&[IN_ALL_EVENTS, WHOLE]);
        let name = CString::new(path).expect("no NUL");
        let mask_given = Mask::from_bits_retain(mask | IN_ONLYDIR);
        let added = self.in_drought(|run| run.instance.add_watch(&name, mask_given));
        if let Ok(watch) = added {
            // What pends may have changed the directory by now.
            let now = self.stage.borrow().disk.clone();
            let names: BTreeSet<Vec<u8>> = now.names_in(id);
            let mut stage = self.stage.borrow_mut();
            stage.note(|| format!("add_watch {}", path.escape_ascii()));
            let mut plain = Plain::new(watch.as_raw(), path, id, mask, names);
            plain.swaps = self.settings.swaps;
            stage.plains.push(plain);
        }
    }

    fn leave(&mut self) -> Verdict {
        let watches: Vec<u64> = self
            .stage
            .borrow()
            .active()
            .map(|judge| judge.watch)
            .collect();
        for watch in watches {
            self.remove(watch)?;
        }
        let plains: Vec<u64> = self
            .stage
            .borrow()
            .plains
            .iter()
            .filter(|plain| !plain.removed)
            .map(|plain| plain.watch)
            .collect();
        for watch in plains {
            drop(self.instance.rm_watch(WatchId::from_raw(watch)));
        }
        drain(&mut self.instance, &self.stage, self.settings.batch)?;
        rest::nothing_left(&self.stage)
    }
}

fn refuse(name: Vec<u8>) -> Filter {
    Box::new(move |path| path.to_bytes().rsplit(|&byte| byte == b'/').next() != Some(&name[..]))
}
