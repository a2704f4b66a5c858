//! What a seed decides in a random run: the settings, the world's operations, who steps when, which calls fail.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use asyncinotify::simulation::{Call, CallKind, Limits, Operation};
use libc::{
    EACCES, EMFILE, ENFILE, ENOMEM, ENOSPC, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE_WRITE, IN_MODIFY,
    IN_OPEN,
};

use crate::disk::{Disk, Kind, Path, is_below, parent};
use crate::stage::Lot;
use crate::support::replica::WHOLE;
use crate::support::rng::Rng;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "a-name-that-is-somewhat-longer"];
const DEPTH: usize = 4;

#[derive(Clone, Debug)]
pub struct Settings {
    pub mask: u32,
    pub lists: bool,
    pub background: bool,
    pub max_depth: u32,
    pub refused: Option<Vec<u8>>,
    pub cache: usize,
    pub batch: usize,
    pub limits: Limits,
    pub chunk: usize,
    pub proc: bool,
    pub fine_walks: bool,
    pub swaps: bool,
    /// The root itself is renamed, deleted, made again.
    pub moves_root: bool,
    pub chmods: bool,
    /// One call in so many fails; 0: none.
    pub failing: usize,
    /// Limits go down and up again.
    pub limited: bool,
    pub company: bool,
    /// The events lie for a while before they are taken.
    pub lazy: bool,
    pub rounds: usize,
    pub operations: usize,
}

impl Settings {
    pub fn new(rng: &mut Rng) -> Settings {
        let masks = [
            IN_ALL_EVENTS,
            WHOLE,
            WHOLE | IN_CLOSE_WRITE | IN_ATTRIB,
            IN_CLOSE_WRITE,
            WHOLE | IN_MODIFY,
        ];
        let limits = Limits {
            queue: *rng.pick(&[16384, 16384, 16384, 8, 24, 100]),
            call_cost: Duration::from_micros(*rng.pick(&[2, 2, 2, 100, 1000, 2500])),
            ..Limits::default()
        };
        let mask = *rng.pick(&masks);
        let mut limits = limits;
        let company = rng.one_in(3);
        if mask & IN_OPEN != 0 || company {
            // The library's own reading is told too, and would fill a very short queue again and again.
            limits.queue = limits.queue.max(100);
        }
        Settings {
            mask,
            lists: !rng.one_in(4),
            background: rng.one_in(4),
            max_depth: if rng.one_in(5) {
                1 + rng.below(4) as u32
            } else {
                0
            },
            refused: rng.one_in(6).then(|| b"c".to_vec()),
            cache: *rng.pick(&[0, 0, 1, 2, 5]),
            batch: *rng.pick(&[1, 7, 64, 1000]),
            limits,
            chunk: *rng.pick(&[1000, 1000, 1, 2, 4]),
            proc: !rng.one_in(10),
            fine_walks: rng.one_in(4),
            swaps: rng.one_in(3),
            moves_root: rng.one_in(5),
            chmods: rng.one_in(4),
            failing: *rng.pick(&[0, 0, 0, 20, 100, 500]),
            limited: rng.one_in(6),
            company,
            lazy: rng.one_in(3),
            rounds: 1 + rng.below(8),
            operations: 5 + rng.below(60),
        }
    }
}

impl Settings {
    /// What makes a run unlike others, for counting failures.
    pub fn tags(&self, failed: u64) -> String {
        let tags = [
            (failed > 0, "failing calls"),
            (self.limited, "limits"),
            (self.max_depth > 0, "depth"),
        ];
        let tags = tags
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, tag)| format!(", {tag}"));
        tags.collect()
    }
}

pub struct Dice {
    pub rng: Rng,
    pub settings: Settings,
    /// Operations that are still to be done in this round.
    pub left: usize,
    /// A root that is being added: it stays where it is meanwhile.
    pub kept: Option<Path>,
    /// What the next operations are, where several belong together.
    chain: Vec<Operation>,
    pub failed: u64,
    /// No call fails.
    pub calm: bool,
}

impl Dice {
    pub fn new(rng: Rng, settings: Settings) -> Dice {
        Dice {
            rng,
            settings,
            left: 0,
            kept: None,
            chain: Vec::new(),
            failed: 0,
            calm: false,
        }
    }

    /// A directory that is there, in the tree or (now and then) outside.
    fn directory(&mut self, disk: &Disk) -> Path {
        let outside = self.rng.one_in(6);
        let fits = |path: &Path| {
            (is_below(path, b"/o") || path == b"/o") == outside
                && path.iter().filter(|&&byte| byte == b'/').count() <= DEPTH
        };
        let all: Vec<&Path> = disk
            .nodes
            .iter()
            .filter(|(path, node)| node.kind == Kind::Directory && fits(path))
            .map(|(path, _)| path)
            .collect();
        if all.is_empty() {
            b"/o".to_vec()
        } else {
            (*self.rng.pick(&all)).clone()
        }
    }

    fn place(&mut self, disk: &Disk) -> Path {
        let mut path = self.directory(disk);
        path.push(b'/');
        path.extend_from_slice(NAMES[self.rng.weighted(&[5, 5, 4, 3, 2, 1])].as_bytes());
        path
    }

    /// Something that is there, but for the top directories.
    fn entry(&mut self, disk: &Disk) -> Option<Path> {
        let all: Vec<&Path> = disk
            .nodes
            .keys()
            .filter(|path| !parent(path).is_empty())
            .collect();
        if all.is_empty() {
            None
        } else {
            Some((*self.rng.pick(&all)).clone())
        }
    }

    fn of_root(&mut self) -> Operation {
        let path = |text: &str| text.as_bytes().to_vec();
        let all = [
            Operation::Rename(path("/t"), path("/u")),
            Operation::Rename(path("/u"), path("/t")),
            Operation::Rmdir(path("/t")),
            Operation::Chmod(path("/t"), 0),
            Operation::Chmod(path("/t"), 7),
        ];
        self.rng.pick(&all).clone()
    }

    fn draw(&mut self, disk: &Disk) -> Option<Operation> {
        let swaps = if self.settings.swaps { 6 } else { 0 };
        let chmods = if self.settings.chmods { 3 } else { 0 };
        let root = u32::from(self.settings.moves_root);
        let weights = [
            10,
            10,
            8,
            8,
            5,
            14,
            swaps,
            3,
            2,
            chmods,
            root,
            6,
            4,
            u32::from(self.settings.limits.queue > 1000),
        ];
        Some(match self.rng.weighted(&weights) {
            0 => Operation::Mkdir(self.place(disk)),
            1 => Operation::Create(self.place(disk)),
            2 => Operation::Write(self.entry(disk)?),
            3 => Operation::Unlink(self.entry(disk)?),
            4 => Operation::Rmdir(self.entry(disk)?),
            5 => Operation::Rename(self.entry(disk)?, self.place(disk)),
            6 => Operation::Exchange(self.entry(disk)?, self.entry(disk)?),
            7 => Operation::Link(self.entry(disk)?, self.place(disk)),
            8 => Operation::Symlink(b"/nowhere".to_vec(), self.place(disk)),
            9 => Operation::Chmod(self.entry(disk)?, *self.rng.pick(&[0, 1, 4, 7, 7])),
            10 => self.of_root(),
            11 => {
                // mkdir -p, and a file in it at once.
                let top = self.place(disk);
                let below = [&top[..], b"/b"].concat();
                let file = [&below[..], b"/d"].concat();
                self.chain = vec![Operation::Create(file), Operation::Mkdir(below)];
                Operation::Mkdir(top)
            }
            12 => {
                // There and back, or round by a third name.
                let (from, to) = (self.entry(disk)?, self.place(disk));
                let back = if self.rng.one_in(2) {
                    from.clone()
                } else {
                    self.place(disk)
                };
                self.chain = vec![Operation::Rename(to.clone(), back)];
                Operation::Rename(from, to)
            }
            _ => Operation::Overflow,
        })
    }

    /// A filter is asked once for each directory that is found, not again when it is renamed: such names stay as they are.
    fn names_refused(&self, operation: &Operation) -> bool {
        let refused =
            |path: &Path| self.settings.refused.as_deref() == Some(&path[parent(path).len() + 1..]);
        match operation {
            Operation::Rename(from, to) | Operation::Exchange(from, to) => {
                refused(from) || refused(to)
            }
            _ => false,
        }
    }

    fn touches_kept(&self, operation: &Operation) -> bool {
        if self.names_refused(operation) {
            return true;
        }
        let Some(kept) = &self.kept else {
            return false;
        };
        let above = |path: &Path| path == kept || is_below(kept, path);
        match operation {
            Operation::Rename(from, to) | Operation::Exchange(from, to) => above(from) || above(to),
            Operation::Rmdir(path) | Operation::Unlink(path) | Operation::Chmod(path, _) => {
                above(path)
            }
            _ => false,
        }
    }
}

/// The run decides over the same dice as the stage.
impl Lot for Rc<RefCell<Dice>> {
    fn steps(&mut self, call: &Call) -> usize {
        self.borrow_mut().steps(call)
    }

    fn errno(&mut self, call: &Call) -> Option<i32> {
        self.borrow_mut().errno(call)
    }

    fn operation(&mut self, disk: &Disk) -> Option<Operation> {
        self.borrow_mut().operation(disk)
    }

    fn nests(&mut self) -> bool {
        self.borrow_mut().nests()
    }
}

impl Lot for Dice {
    fn steps(&mut self, _: &Call) -> usize {
        if self.rng.one_in(4) {
            1 + self.rng.below(4)
        } else {
            0
        }
    }

    fn errno(&mut self, call: &Call) -> Option<i32> {
        let possible: &[i32] = match call.kind {
            CallKind::Open => &[EMFILE, ENFILE, ENOMEM, EACCES],
            CallKind::Lookup => &[ENOMEM, EACCES],
            CallKind::List => &[ENOMEM],
            CallKind::AddWatch => &[ENOSPC, ENOMEM, EACCES],
            _ => return None,
        };
        if self.calm || self.settings.failing == 0 || !self.rng.one_in(self.settings.failing) {
            return None;
        }
        self.failed += 1;
        Some(*self.rng.pick(possible))
    }

    fn operation(&mut self, disk: &Disk) -> Option<Operation> {
        if let Some(next) = self
            .chain
            .pop()
            .filter(|next| !self.touches_kept(next) && disk.clone().apply(next))
        {
            return Some(next);
        }
        for _ in 0..20 {
            if self.left == 0 {
                return None;
            }
            let drawn = self.draw(disk);
            if let Some(drawn) = drawn
                && !self.touches_kept(&drawn)
                && disk.clone().apply(&drawn)
            {
                self.left -= 1;
                return Some(drawn);
            }
        }
        self.left = self.left.saturating_sub(1);
        None
    }

    fn nests(&mut self) -> bool {
        self.rng.one_in(12)
    }
}
