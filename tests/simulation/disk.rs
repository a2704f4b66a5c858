//! What is on the simulated disk, in a model of the test's own: the truth that events are held against, and a check on the
//! simulated kernel too.

use std::collections::BTreeMap;
use std::rc::Rc;

use asyncinotify::simulation::Operation;

pub type Path = Vec<u8>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Directory,
    Regular,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node {
    /// Which file or directory it is, whatever its path.
    pub id: u32,
    pub kind: Kind,
    /// r and x, as in 5.
    pub mode: u32,
}

/// Full paths to what is there.
#[derive(Clone, Default)]
pub struct Disk {
    pub nodes: BTreeMap<Path, Node>,
    next: u32,
}

pub fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    &path[..slash]
}

pub fn is_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.starts_with(b"/"))
}

impl Disk {
    pub fn is_dir(&self, path: &[u8]) -> bool {
        path.is_empty()
            || self
                .nodes
                .get(path)
                .is_some_and(|node| node.kind == Kind::Directory)
    }

    pub fn is_empty_dir(&self, path: &[u8]) -> bool {
        self.is_dir(path) && !self.nodes.keys().any(|other| is_below(other, path))
    }

    /// The names in a directory.
    pub fn names_in(&self, id: u32) -> std::collections::BTreeSet<Vec<u8>> {
        let path = self
            .nodes
            .iter()
            .find(|(_, node)| node.id == id)
            .map(|(path, _)| path);
        let Some(path) = path else {
            return Default::default();
        };
        let names = self.nodes.keys().filter(|other| parent(other) == &path[..]);
        names
            .map(|other| other[path.len() + 1..].to_vec())
            .collect()
    }

    fn add(&mut self, path: &[u8], kind: Kind) -> bool {
        if self.nodes.contains_key(path) || !self.is_dir(parent(path)) {
            return false;
        }
        self.next += 1;
        let id = self.next;
        self.nodes.insert(path.to_vec(), Node { id, kind, mode: 7 });
        true
    }

    fn take(&mut self, path: &[u8]) -> Vec<(Path, Node)> {
        let mine: Vec<Path> = self
            .nodes
            .keys()
            .filter(|other| *other == path || is_below(other, path))
            .cloned()
            .collect();
        let mut branch = Vec::new();
        for full in mine {
            if let Some(node) = self.nodes.remove(&full) {
                branch.push((full[path.len()..].to_vec(), node));
            }
        }
        branch
    }

    fn put(&mut self, path: &[u8], branch: Vec<(Path, Node)>) {
        for (rest, node) in branch {
            self.nodes.insert([path, &rest].concat(), node);
        }
    }

    /// Does an operation; false where rename(2) and the like would fail.
    pub fn apply(&mut self, operation: &Operation) -> bool {
        match operation {
            Operation::Mkdir(path) => self.add(path, Kind::Directory),
            Operation::Create(path) => self.add(path, Kind::Regular),
            Operation::Symlink(_, path) => self.add(path, Kind::Other),
            Operation::Write(path) => self.is_file(path),
            Operation::Read(path) => self.nodes.contains_key(path),
            Operation::Unlink(path) => {
                self.nodes
                    .get(path)
                    .is_some_and(|node| node.kind != Kind::Directory)
                    && !self.take(path).is_empty()
            }
            Operation::Rmdir(path) => {
                self.nodes.contains_key(path)
                    && self.is_empty_dir(path)
                    && !self.take(path).is_empty()
            }
            Operation::Rename(from, to) => self.rename(from, to),
            Operation::Exchange(one, other) => self.exchange(one, other),
            Operation::Link(from, to) => self.link(from, to),
            Operation::Chmod(path, mode) => self
                .nodes
                .get_mut(path)
                .map(|node| node.mode = *mode)
                .is_some(),
            Operation::Overflow => true,
            Operation::Mount(_) | Operation::Unmount(_) => false,
        }
    }

    fn is_file(&self, path: &[u8]) -> bool {
        self.nodes
            .get(path)
            .is_some_and(|node| node.kind == Kind::Regular)
    }

    fn link(&mut self, from: &[u8], to: &[u8]) -> bool {
        let Some(&node) = self
            .nodes
            .get(from)
            .filter(|node| node.kind == Kind::Regular)
        else {
            return false;
        };
        let free = !self.nodes.contains_key(to) && self.is_dir(parent(to));
        if free {
            self.nodes.insert(to.to_vec(), node);
        }
        free
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> bool {
        let Some(&node) = self.nodes.get(from) else {
            return false;
        };
        if !self.is_dir(parent(to)) || is_below(to, from) || from == to {
            return false;
        }
        if let Some(&old) = self.nodes.get(to) {
            // Two names of one file: rename(2) does nothing.
            let both = [node.kind, old.kind].map(|kind| kind == Kind::Directory);
            let fits = both[0] == both[1] && (!both[1] || self.is_empty_dir(to));
            if !fits || old.id == node.id || is_below(from, to) {
                return false;
            }
            self.take(to);
        }
        let branch = self.take(from);
        self.put(to, branch);
        true
    }

    fn exchange(&mut self, one: &[u8], other: &[u8]) -> bool {
        let there = |path: &[u8]| self.nodes.get(path).copied();
        let (Some(a), Some(b)) = (there(one), there(other)) else {
            return false;
        };
        if a.id == b.id || is_below(one, other) || is_below(other, one) {
            return false;
        }
        let (first, second) = (self.take(one), self.take(other));
        self.put(other, first);
        self.put(one, second);
        true
    }

    /// The tree as its root sees it, wherever it is by now.
    pub fn view(&self, root: u32) -> Rc<View> {
        let path = self
            .nodes
            .iter()
            .find(|(_, node)| node.id == root)
            .map(|(path, _)| path.clone());
        let mut entries = BTreeMap::new();
        let mut mode = 7;
        if let Some(path) = &path {
            mode = self.nodes[path].mode;
            // Whoever can't get there can't read it.
            let closed =
                |(other, node): (&Path, &Node)| is_below(path, other) && node.mode & 1 == 0;
            if self.nodes.iter().any(closed) {
                mode = 0;
            }
            let below = self.nodes.iter().filter(|(other, _)| is_below(other, path));
            entries.extend(below.map(|(other, node)| (other[path.len()..].to_vec(), *node)));
        }
        Rc::new(View {
            path,
            mode,
            entries,
        })
    }
}

/// A tree at one moment, its paths relative to its root ("/a/b").
pub struct View {
    /// Where the root is; None: it is deleted.
    pub path: Option<Path>,
    pub mode: u32,
    pub entries: BTreeMap<Path, Node>,
}

impl View {
    pub fn is_dir(&self, path: &[u8]) -> bool {
        path.is_empty()
            || self
                .entries
                .get(path)
                .is_some_and(|node| node.kind == Kind::Directory)
    }

    pub fn paths_of(&self, id: u32) -> impl Iterator<Item = &Path> {
        self.entries
            .iter()
            .filter(move |(_, node)| node.id == id)
            .map(|(path, _)| path)
    }

    /// Whether there is a directory that can't be looked into.
    pub fn is_partly_closed(&self) -> bool {
        self.mode & 5 != 5 || self.entries.values().any(|node| node.mode & 5 != 5)
    }

    /// Whether the library may be refused a look at a directory: it, or one above it, lacks a permission.
    pub fn is_closed(&self, path: &[u8]) -> bool {
        let closed = |(above, node): (&Path, &Node)| {
            node.mode & 5 != 5 && (above == path || is_below(path, above))
        };
        self.mode & 5 != 5 || self.entries.iter().any(closed)
    }
}
