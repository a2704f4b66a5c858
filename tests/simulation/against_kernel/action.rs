//! What is done on both kernels, and how it is drawn.

use asyncinotify::simulation::{EntryKind, Operation, with_kernel};

use crate::support::masks;
use crate::support::rng::Rng;

/// Open directories at a time.
pub(crate) const SLOTS: usize = 5;

#[derive(Clone, Debug)]
pub(crate) enum Action {
    World(Operation),
    Open {
        slot: usize,
        base: Option<usize>,
        path: Vec<u8>,
        list: bool,
        follow: bool,
    },
    Close(usize),
    /// One getdents64(2).
    List(usize),
    KindOf(usize, Vec<u8>),
    WaitForRenames(usize),
    Add(Vec<u8>, u32),
    /// The directory in a slot, whatever its path is.
    AddOpen(usize, u32),
    /// What has a name in the directory in a slot.
    AddChild(usize, Vec<u8>, u32),
    /// Whether that is a directory without subdirectories, by the number of its links.
    IsLeaf(usize, Vec<u8>),
    Rm(i32),
    Holds(i32),
    Read(usize),
    Queued,
}

impl Action {
    pub(crate) fn describe(&self) -> String {
        match self {
            Action::Add(path, mask) => {
                format!("Add {} {}", path.escape_ascii(), masks::format(*mask))
            }
            Action::AddOpen(slot, mask) => format!("AddOpen {slot} {}", masks::format(*mask)),
            Action::AddChild(slot, name, mask) => {
                let mask = masks::format(*mask);
                format!("AddChild {slot} {} {mask}", name.escape_ascii())
            }
            Action::IsLeaf(slot, name) => format!("IsLeaf {slot} {}", name.escape_ascii()),
            Action::KindOf(slot, name) => format!("KindOf {slot} {}", name.escape_ascii()),
            Action::Open {
                slot,
                base,
                path,
                list,
                follow,
            } => {
                let path = path.escape_ascii();
                format!("Open {slot} base {base:?} {path} list {list} follow {follow}")
            }
            Action::World(operation) => describe(operation),
            other => format!("{other:?}"),
        }
    }
}

fn describe(operation: &Operation) -> String {
    let text = format!("{operation:?}");
    let kind = text.split('(').next().unwrap_or_default();
    let paths: Vec<String> = paths_of(operation)
        .iter()
        .map(|path| path.escape_ascii().to_string())
        .collect();
    match operation {
        Operation::Chmod(_, mode) => format!("{kind} {} {mode}", paths.join(" ")),
        _ => format!("{kind} {}", paths.join(" ")),
    }
}

fn paths_of(operation: &Operation) -> Vec<&[u8]> {
    match operation {
        Operation::Mkdir(path)
        | Operation::Create(path)
        | Operation::Write(path)
        | Operation::Read(path)
        | Operation::Unlink(path)
        | Operation::Rmdir(path)
        | Operation::Chmod(path, _)
        | Operation::Mount(path)
        | Operation::Unmount(path) => vec![path],
        Operation::Rename(a, b)
        | Operation::Exchange(a, b)
        | Operation::Link(a, b)
        | Operation::Symlink(a, b) => vec![a, b],
        Operation::Overflow => Vec::new(),
    }
}

/// What the machine lets a test do.
#[derive(Clone, Copy)]
pub(crate) struct Allowed {
    /// Other permissions bind: the library's calls are made as another user than the world's.
    pub(crate) permissions: bool,
    pub(crate) mounts: bool,
}

pub(crate) struct Draw<'a> {
    pub(crate) rng: &'a mut Rng,
    /// What was done last is done again at times: equal events follow each other.
    pub(crate) last: &'a Action,
    pub(crate) allowed: Allowed,
}

/// The last two are too long for a name and for what fits into one event's small buffer.
const NAMES: [&[u8]; 6] = [
    b"a",
    b"b",
    b"c",
    b"d",
    b"name-of-16-bytes",
    b"x-much-longer-name-than-others",
];

impl Draw<'_> {
    fn name(&mut self) -> Vec<u8> {
        let index = self.rng.weighted(&[10, 10, 10, 6, 2, 2]);
        NAMES[index].to_vec()
    }

    /// A path: of something that is there, or of any names.
    fn path(&mut self) -> Vec<u8> {
        self.path_of(|_| true)
    }

    /// Mostly of something that is there and of such a kind.
    fn path_of(&mut self, is_wanted: impl Fn(EntryKind) -> bool) -> Vec<u8> {
        if !self.rng.one_in(8) {
            let tree = with_kernel(|kernel| kernel.tree(b"/"));
            let wanted = tree.into_iter().filter(|(_, kind)| is_wanted(*kind));
            let paths: Vec<Vec<u8>> = wanted.map(|(path, _)| path).collect();
            if !paths.is_empty() {
                return self.rng.pick(&paths).clone();
            }
        }
        let mut path = Vec::new();
        for _ in 0..=self.rng.below(3) {
            path.push(b'/');
            path.extend(self.name());
        }
        path
    }

    /// Where something new may come.
    fn new_path(&mut self) -> Vec<u8> {
        if self.rng.one_in(5) {
            return self.path();
        }
        let tree = with_kernel(|kernel| kernel.tree(b"/"));
        let directories: Vec<Vec<u8>> = tree
            .into_iter()
            .filter(|(path, kind)| *kind == EntryKind::Directory && path.len() < 40)
            .map(|(path, _)| path)
            .chain([Vec::new()])
            .collect();
        let parent = self.rng.pick(&directories).clone();
        [parent, b"/".to_vec(), self.name()].concat()
    }

    /// A path as a program may write it.
    fn spelled(&mut self) -> Vec<u8> {
        let mut path = self.path();
        match self.rng.below(20) {
            0 => path.push(b'/'),
            1 => path.extend(b"/."),
            2 => path.extend(b"/../a"),
            3 => path.insert(0, b'/'),
            4 => path.extend([&b"/"[..], &[b'n'; 256]].concat()),
            5 => path = b"/".to_vec(),
            _ => {}
        }
        path
    }

    fn relative(&mut self) -> Vec<u8> {
        match self.rng.below(12) {
            0 => b".".to_vec(),
            1 => [self.name(), b"/".to_vec(), self.name()].concat(),
            2 => [self.name(), b"/../".to_vec(), self.name()].concat(),
            3 => self.path(),
            _ => self.name(),
        }
    }

    fn mask(&mut self) -> u32 {
        let mut mask = match self.rng.below(6) {
            0..=2 => libc::IN_ALL_EVENTS,
            3 => libc::IN_CREATE | libc::IN_DELETE | libc::IN_MOVE | libc::IN_DELETE_SELF,
            _ => self.rng.next() as u32 & libc::IN_ALL_EVENTS,
        };
        let rare = [
            libc::IN_ONESHOT,
            libc::IN_MASK_ADD,
            libc::IN_MASK_CREATE,
            libc::IN_EXCL_UNLINK,
            libc::IN_ONLYDIR,
            libc::IN_DONT_FOLLOW,
        ];
        for flag in rare {
            if self.rng.one_in(8) {
                mask |= flag;
            }
        }
        if self.rng.one_in(100) {
            // Bits that inotify doesn't know, and none at all.
            mask = *self.rng.pick(&[
                0,
                1 << 20,
                libc::IN_ISDIR,
                libc::IN_UNMOUNT,
                libc::IN_IGNORED,
            ]);
        }
        mask
    }

    fn operation(&mut self) -> Operation {
        let chmod = if self.allowed.permissions { 6 } else { 0 };
        let mount = if self.allowed.mounts { 2 } else { 0 };
        let weights = [12, 12, 8, 6, 8, 8, 16, 6, 5, 4, chmod, mount, mount];
        match self.rng.weighted(&weights) {
            0 => Operation::Mkdir(self.new_path()),
            1 => Operation::Create(self.new_path()),
            2 => Operation::Write(self.path_of(|kind| kind != EntryKind::Directory)),
            3 => Operation::Read(self.path()),
            4 => Operation::Unlink(self.path_of(|kind| kind != EntryKind::Directory)),
            5 => Operation::Rmdir(self.path_of(|kind| kind == EntryKind::Directory)),
            6 => Operation::Rename(self.path(), self.new_path()),
            7 => Operation::Exchange(self.path(), self.path()),
            8 => Operation::Link(self.path(), self.new_path()),
            9 => {
                let target = if self.rng.one_in(3) {
                    self.path()
                } else {
                    self.name()
                };
                Operation::Symlink(target, self.new_path())
            }
            10 => {
                let mode = if self.rng.one_in(2) {
                    7
                } else {
                    self.rng.below(8) as u32
                };
                Operation::Chmod(self.path(), mode)
            }
            11 => Operation::Mount(self.path_of(|kind| kind == EntryKind::Directory)),
            _ => Operation::Unmount(self.path()),
        }
    }

    pub(crate) fn action(&mut self, last_wd: i32) -> Action {
        if self.rng.one_in(12) {
            return self.last.clone();
        }
        let slot = self.rng.below(SLOTS);
        match self
            .rng
            .weighted(&[60, 7, 5, 5, 2, 1, 16, 6, 1, 1, 8, 1, 3, 3])
        {
            0 => Action::World(self.operation()),
            1 => {
                let base = self.rng.one_in(2).then(|| self.rng.below(SLOTS));
                let path = if base.is_some() {
                    self.relative()
                } else {
                    self.spelled()
                };
                let (list, follow) = (self.rng.one_in(2), self.rng.one_in(2));
                Action::Open {
                    slot,
                    base,
                    path,
                    list,
                    follow,
                }
            }
            2 => Action::Close(slot),
            3 => Action::List(slot),
            4 => Action::KindOf(slot, self.relative()),
            5 => Action::WaitForRenames(slot),
            6 => Action::Add(self.spelled(), self.mask()),
            7 => Action::AddOpen(slot, self.mask()),
            8 => Action::Rm(self.wd(last_wd)),
            9 => Action::Holds(self.wd(last_wd)),
            10 => Action::Read(
                *self
                    .rng
                    .pick(&[0, 15, 16, 32, 48, 64, 100, 300, 4096, 65536]),
            ),
            11 => Action::Queued,
            12 => Action::AddChild(slot, self.name(), self.mask()),
            _ => Action::IsLeaf(slot, self.name()),
        }
    }

    /// One that is or was.
    fn wd(&mut self, last: i32) -> i32 {
        self.rng.below(last as usize + 2) as i32
    }
}
