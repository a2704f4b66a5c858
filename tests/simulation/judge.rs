//! One tree that is watched: what the oracle says of its events, and what the truth about the disk adds to it.

mod errors;
mod owed;
mod rest;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use libc::{IN_ACCESS, IN_CLOSE_NOWRITE, IN_MODIFY, IN_MOVE_SELF, IN_OPEN};
use libc::{
    IN_ATTRIB, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_IGNORED, IN_ISDIR,
    IN_MOVED_FROM, IN_MOVED_TO,
};

use asyncinotify::simulation::Operation;

use crate::disk::{Kind, Node, Path, View, is_below};
use crate::support::replica::{
    Entries, Expect, Fault, Replica, SYNC_BEGIN, SYNC_END, SYNTHETIC, Told, Verdict, WHOLE, fault,
};

use owed::Owed;

pub struct Judge {
    /// Of add_recursive; 0 before it has returned.
    pub watch: u64,
    pub root: u32,
    /// The path of add_recursive.
    pub given: Path,
    pub expect: Expect,
    pub replica: Replica,
    /// 0: no limit.
    pub max_depth: u32,
    /// Directories of this name are refused.
    pub refused: Option<Vec<u8>>,
    /// How the tree looked since the last rest, the last of them as it is.
    views: Vec<Rc<View>>,
    /// Cookies of what was told to leave since.
    left: BTreeSet<u32>,
    /// Paths by which more could be told since, and the directories that were meant.
    allowed: BTreeMap<Path, BTreeSet<u32>>,
    /// What has happened and what was told of it, by bit and path.
    happened: BTreeMap<(u32, Path), u32>,
    told: BTreeMap<(u32, Path), u32>,
    owed: Vec<Owed>,
    /// Where something was found since. What is renamed while its directory is may be told of at a path that it never had.
    found: BTreeSet<Path>,
    /// Directories that an ERROR was told of.
    blind: BTreeSet<u32>,
    /// The same since the last SYNC_BEGIN, those that are watched too: they may not have been listed.
    errored: BTreeSet<u32>,
    /// An ERROR of the root, until a SYNC_END: it can't be reached, so nothing that is not watched yet can be; and what is
    /// watched may stay so, but is not listed.
    pub lost: bool,
    /// A call was made to fail, or a limit may be reached: an ERROR is no wonder.
    pub excused: bool,
    /// The tree is set up: from now on what happens is told.
    pub set_up: bool,
    /// The operation under way has begun since.
    heard_whole: bool,
    /// What each operation under way is about: the entry that was at its path when it began, if there was one.
    subjects: Vec<Option<Owed>>,
    /// Of each operation that is under way, what it makes.
    being_made: Vec<Option<u32>>,
    /// The tree of the root, not one beside it.
    pub main: bool,
    /// How many ERRORs were told.
    pub errors: u64,
    /// rm_watch was called.
    pub removed: bool,
    /// What is wrong, but does not keep the rest from being judged.
    pub soft: Vec<Fault>,
}

/// What an operation makes happen to what is at a path, beside coming and going. The last of it comes last.
pub fn happenings(operation: &Operation) -> Vec<(u32, &Path)> {
    let all = |bits: &[u32], path| bits.iter().map(|&bit| (bit, path)).collect();
    match operation {
        Operation::Create(path) => all(&[IN_OPEN, IN_CLOSE_WRITE], path),
        Operation::Write(path) => all(&[IN_OPEN, IN_MODIFY, IN_CLOSE_WRITE], path),
        Operation::Read(path) => all(&[IN_OPEN, IN_ACCESS, IN_CLOSE_NOWRITE], path),
        Operation::Chmod(path, _) => all(&[IN_ATTRIB], path),
        Operation::Rename(_, to) => all(&[IN_MOVE_SELF], to),
        Operation::Rmdir(path) => all(&[IN_DELETE_SELF], path),
        Operation::Exchange(one, other) => [(IN_MOVE_SELF, one), (IN_MOVE_SELF, other)].to_vec(),
        _ => Vec::new(),
    }
}

impl Judge {
    pub fn new(given: &[u8], root: u32, view: Rc<View>, expect: Expect) -> Judge {
        Judge {
            watch: 0,
            root,
            given: given.to_vec(),
            expect,
            replica: Replica::new(given, expect),
            max_depth: 0,
            refused: None,
            views: vec![view],
            left: BTreeSet::new(),
            allowed: BTreeMap::new(),
            happened: BTreeMap::new(),
            told: BTreeMap::new(),
            owed: Vec::new(),
            found: BTreeSet::new(),
            blind: BTreeSet::new(),
            errored: BTreeSet::new(),
            lost: false,
            excused: false,
            set_up: false,
            heard_whole: false,
            subjects: Vec::new(),
            being_made: Vec::new(),
            main: true,
            errors: 0,
            removed: false,
            soft: Vec::new(),
        }
    }

    /// The tree looked so before the operation that was under way when it was added, which is about this entry.
    pub fn has_been(&mut self, view: Rc<View>, subject: Option<Option<u32>>) {
        self.views.insert(0, view);
        if let Some(subject) = subject {
            let paths = |id| self.now().paths_of(id).cloned().collect();
            let owed = subject.map(|id| Owed::at(id, 0, paths(id), false));
            self.subjects.push(owed);
            self.being_made.push(None);
        }
    }

    /// The directory at the root's path was another one by the time that it was opened.
    pub fn rebase(&mut self, root: u32, views: Vec<Rc<View>>) {
        self.root = root;
        self.views = views;
        self.happened.clear();
        // It may have been moved half way.
        self.happened.insert((IN_MOVE_SELF, Path::new()), 1);
        self.owed.clear();
    }

    /// add_recursive may fail: the root was not there, not to be read, or a call was made to fail.
    pub fn may_be_refused(&self) -> bool {
        let odd = |view: &Rc<View>| view.path.as_ref() != Some(&self.given) || view.mode & 5 != 5;
        self.excused || self.views.iter().any(odd)
    }

    /// add_recursive has returned; without a list the program looks at the disk, at once if nothing has changed meanwhile.
    pub fn start(&mut self, changed: bool) {
        if changed {
            return self.replica.start_unlisted();
        }
        let disk = self.disk();
        self.replica.start_from(&disk);
    }

    /// What is there, as far as the tree tells of it, by the paths that events have.
    fn disk(&self) -> Entries {
        let full = |path: &Path| [&self.given[..], path].concat();
        let told_of = self
            .now()
            .entries
            .iter()
            .filter(|(path, _)| self.is_told_of(path));
        told_of
            .map(|(path, node)| (full(path), node.kind == Kind::Directory))
            .collect()
    }

    fn now(&self) -> &Rc<View> {
        &self.views[self.views.len() - 1]
    }

    /// The world has changed.
    pub fn look(&mut self, view: Rc<View>) {
        let before = self.now().clone();
        for subject in self.subjects.iter_mut().flatten() {
            subject.follow(&before, &view);
        }
        let mut owed = std::mem::take(&mut self.owed);
        owed.retain_mut(|owed| {
            let moved = owed.follow(&before, &view);
            // Too deep, or in what is refused, is as good as outside.
            let still = owed.id == self.root || owed.at.iter().any(|path| self.is_told_of(path));
            still && !(owed.listed && moved)
        });
        self.owed = owed;
        self.views.push(view);
    }

    /// A path that was true as far as anybody could tell, of what is at another by now.
    pub fn allow(&mut self, path: &[u8], now: &[u8]) {
        let Some(path) = self.within(path) else {
            return;
        };
        let mut meant = None;
        if let Some(now) = self.within(now) {
            let same = self.owed.iter_mut();
            for owed in same.filter(|owed| owed.paths.contains(&now)) {
                owed.paths.insert(path.clone());
            }
            let node = self.now().entries.get(&now);
            meant = node.filter(|node| node.kind == Kind::Directory);
        }
        let meant = meant.map(|node| node.id);
        self.allowed.entry(path).or_default().extend(meant);
    }

    /// Where a full path is in the tree.
    fn within(&self, path: &[u8]) -> Option<Path> {
        let rest = path.strip_prefix(&self.now().path.as_ref()?[..])?;
        (rest.is_empty() || rest.starts_with(b"/")).then(|| rest.to_vec())
    }

    /// An operation has begun, and its change is visible.
    pub fn begun(&mut self, operation: &Operation) {
        self.heard_whole = self.set_up;
        let subject = happenings(operation)
            .first()
            .and_then(|(_, path)| self.within(path))
            .and_then(|within| {
                let node = self.now().entries.get(&within)?;
                Some(Owed::new(node.id, 0, within, false))
            });
        let made = match operation {
            Operation::Mkdir(path) | Operation::Create(path) | Operation::Link(_, path) => {
                self.within(path)
            }
            _ => None,
        };
        let made = made.and_then(|within| self.now().entries.get(&within));
        let made = made.map(|node| node.id);
        self.being_made.push(made);
        self.subjects.push(subject);
        for (bit, path) in happenings(operation) {
            let of_root = bit & (IN_MOVE_SELF | IN_DELETE_SELF) != 0;
            let within = if bit == IN_DELETE_SELF && self.now().path.is_none() {
                Some(Path::new())
            } else {
                self.within(path)
            };
            if let Some(within) = within.filter(|within| within.is_empty() || !of_root) {
                if bit & self.expect.mask & IN_MOVE_SELF != 0 && self.set_up {
                    // It is told before the operation is done.
                    self.owe(self.root, bit, within.clone());
                }
                *self.happened.entry((bit, within)).or_default() += 1;
            }
        }
    }

    /// An operation is done, or has failed half way.
    fn over(&mut self) -> Option<Owed> {
        // A tree may have been added since it began.
        self.being_made.pop();
        self.subjects.pop().flatten()
    }

    /// An operation has failed half way.
    pub fn failed(&mut self) {
        self.over();
    }

    /// An operation is done: all of it is queued.
    pub fn done(&mut self, operation: &Operation) {
        let subject = self.over();
        if !self.set_up && !self.expect.lists {
            return;
        }
        for (bit, path) in happenings(operation) {
            if bit & self.expect.mask & (IN_CLOSE_WRITE | IN_ATTRIB) == 0 {
                continue;
            }
            let Some(within) = self.within(path) else {
                continue;
            };
            // Something else may have its name by now.
            let is_subject = |node: &&Node| subject.as_ref().is_none_or(|it| node.id == it.id);
            // Perhaps its directory was not watched yet. That it is there is told after this, and who hears so looks then.
            let is_being_made = |node: &Node| self.being_made.contains(&Some(node.id));
            match self.now().entries.get(&within).filter(is_subject) {
                Some(node) if is_being_made(node) => {}
                Some(node) if self.is_told_of(&within) => self.owe(node.id, bit, within),
                // A file that was written may have had this path when that began.
                None if within.is_empty() && bit == IN_CLOSE_WRITE => {}
                None if within.is_empty() && self.heard_whole => self.owe(self.root, bit, within),
                Some(_) => {}
                None => self.owe_elsewhere(subject.as_ref(), bit),
            }
        }
    }

    /// The kernel has merged half of a rename with an equal one that was queued before it, without comparing the cookies.
    /// Nothing says that what is there now is another file than the one that came first.
    pub fn was_merged(&mut self, operation: &Operation) {
        let arrivals: &[&Path] = match operation {
            Operation::Rename(_, to) => &[to],
            Operation::Exchange(one, other) => &[one, other],
            _ => return,
        };
        for path in arrivals {
            let within = self.within(path);
            self.owed
                .retain(|it| it.id == self.root || within.iter().all(|at| !it.at.contains(at)));
        }
    }

    /// Something happened to an entry that has another path by now.
    fn owe_elsewhere(&mut self, subject: Option<&Owed>, bits: u32) {
        let subject = subject.filter(|it| it.at.iter().any(|path| self.is_told_of(path)));
        let owed = subject.map(|it| Owed { bits, ..it.clone() });
        self.owed.extend(owed);
    }

    fn owe(&mut self, id: u32, bits: u32, path: Path) {
        self.owed.push(Owed::new(id, bits, path, false));
    }

    /// Whether the depth and the filter let the tree tell of a path.
    fn is_told_of(&self, path: &[u8]) -> bool {
        let components: Vec<&[u8]> = path[1..].split(|&byte| byte == b'/').collect();
        let above = &components[..components.len() - 1];
        let refused = |name: &&[u8]| self.refused.as_deref() == Some(*name);
        let deep = self.max_depth != 0 && components.len() as u32 > self.max_depth;
        !deep && !above.iter().any(refused)
    }

    /// Whether a directory is one to be watched.
    fn is_to_be_watched(&self, path: &[u8]) -> bool {
        let inside = [path, b"/x"].concat();
        self.is_told_of(&inside)
    }

    pub fn overflow(&mut self) {
        self.replica.overflow();
        let (root, lists) = (self.root, self.expect.lists);
        self.owed.retain(|owed| lists && owed.id != root);
    }

    pub fn take(&mut self, event: &Told) -> Verdict {
        let bits = event.mask & !IN_ISDIR;
        if self.removed && bits != IN_IGNORED {
            return Ok(());
        }
        let path = event.path.clone().unwrap_or_default();
        let within = path
            .strip_prefix(&self.given[..])
            .unwrap_or_default()
            .to_vec();
        if event.flags == 0 && bits & WHOLE == 0 && bits != IN_IGNORED {
            let key = (bits, within.clone());
            let happened = self.happened.get(&key).copied().unwrap_or(0);
            let told = self.told.entry(key).or_default();
            let reading = event.is_dir() && bits & (IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE) != 0;
            if *told >= happened && reading {
                if self.soft.is_empty() {
                    self.soft.push(fault("own-reading", event));
                }
                return Ok(());
            }
            *told += 1;
            if *told > happened && !self.expect.concurrent {
                return Err(fault("told-more-than-happened", event));
            }
        }
        // What can't be looked up can't be found again.
        let odd =
            |view: &Rc<View>| view.is_partly_closed() || view.path.as_ref() != Some(&self.given);
        self.replica.unsure = self.excused || self.views.iter().any(odd);
        // The kernel's word of its going was lost, as it was equal to another, and so it has moved along with its directory.
        let goes_late = bits == IN_DELETE && event.flagged(SYNTHETIC) && self.replica.has(&path);
        self.replica.take(event)?;
        match self.judge_paths(event, &within) {
            _ if goes_late => {}
            // Whether two entries have changed places or one has gone there and back can take a repair to tell.
            Err(fault) if self.expect.swaps => self.replica.wants_repair(fault),
            verdict => verdict?,
        }
        self.judge_errors()?;
        self.note_healed();
        if event.flagged(SYNC_BEGIN) {
            self.errored.clear();
            self.list_is_owed();
        }
        self.lost &= !event.flagged(SYNC_END);
        if event.flagged(SYNC_END) && !self.expect.lists {
            // Whole again from here on: what came before is for the program to look at.
            self.owed.clear();
        }
        if bits == IN_MOVED_FROM {
            self.left.insert(event.cookie);
        }
        // What this tree has not told to leave is new in it, though another watch may have told whence it comes.
        let is_new = event.moved_from.is_none() || !self.left.contains(&event.cookie);
        let from = event.moved_from.as_ref();
        let from = from.and_then(|from| from.strip_prefix(&self.given[..]));
        let was_found = from.is_some_and(|from| self.found.contains(from));
        if event.flagged(SYNTHETIC) {
            self.found.insert(within.clone());
        }
        let names = event.flagged(SYNTHETIC) || (bits == IN_MOVED_TO && (is_new || was_found));
        self.owed
            .retain(|owed| !(owed.paths.contains(&within) && (names || bits & owed.bits != 0)));
        Ok(())
    }

    /// No path that an entry did not have since the last rest.
    fn judge_paths(&self, event: &Told, within: &[u8]) -> Verdict {
        let was = |path: &[u8]| {
            path.is_empty()
                || self.allowed.contains_key(path)
                || self
                    .views
                    .iter()
                    .any(|view| view.entries.contains_key(path))
        };
        if !was(within) {
            return Err(fault("a-path-that-never-was", event));
        }
        let from = event
            .moved_from
            .as_ref()
            .and_then(|from| from.strip_prefix(&self.given[..]));
        match from {
            // A plain watch goes on telling of its directory by the path that it was given.
            Some(_) if !self.expect.alone => Ok(()),
            Some(from) if !was(from) => Err(fault("from-where-nothing-was", event)),
            _ => Ok(()),
        }
    }

    /// For a mask without CREATE a list names the files that are there.
    fn list_is_owed(&mut self) {
        let bits = self.expect.mask & IN_CLOSE_WRITE;
        if bits == 0 || self.expect.mask & IN_CREATE != 0 {
            return;
        }
        let view = self.now().clone();
        // What came since may be told by its own event, which such a mask does not ask for.
        let stayed = |path: &Path, id: u32| {
            self.views
                .iter()
                .all(|view| view.entries.get(path).is_some_and(|node| node.id == id))
        };
        let files = view
            .entries
            .iter()
            .filter(|(path, node)| node.kind == Kind::Regular && self.is_told_of(path));
        let owed: Vec<Owed> = files
            .filter(|(path, node)| stayed(path, node.id))
            .map(|(path, node)| Owed::new(node.id, bits, path.clone(), true))
            .collect();
        self.owed.extend(owed);
    }

    /// Whether a directory is one of some, or below one of them.
    fn is_in(&self, path: &[u8], some: &BTreeSet<u32>) -> bool {
        let above = |(other, node): (&Path, &Node)| {
            (other == path || is_below(path, other)) && some.contains(&node.id)
        };
        self.now().entries.iter().any(above)
    }

    /// The root is still somewhere.
    pub fn is_there(&self) -> bool {
        self.now().path.is_some()
    }

    /// The real paths of the directories that the library says it watches.
    pub fn real(&self, directories: &[Vec<u8>]) -> Vec<Path> {
        let root = self.now().path.clone().unwrap_or_default();
        directories
            .iter()
            .map(|path| [&root[..], &path[self.given.len()..]].concat())
            .collect()
    }
}
