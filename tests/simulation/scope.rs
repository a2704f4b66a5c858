//! The small scope: how the world begins, and which operations there are in each state of it.

use std::collections::BTreeSet;

use asyncinotify::simulation::Operation;

use crate::disk::{Disk, Kind, Path, is_below, parent};
use crate::text;

/// The names there are.
const NAMES: [u8; 4] = *b"abcd";
/// Where the tree is, where it is renamed to, and a directory outside.
pub const ROOT: &[u8] = b"/t";
const ELSEWHERE: &[u8] = b"/u";
const OUTSIDE: &[u8] = b"/o";

/// How the world begins: operations that make it so.
pub const STARTS: [&str; 3] = [
    "mkdir /t; mkdir /o; mkdir /t/a; mkdir /t/b",
    "mkdir /t; mkdir /o; mkdir /t/a; create /t/a/c; mkdir /t/b; mkdir /o/a; create /o/a/c",
    "mkdir /t; mkdir /o; mkdir /t/a; mkdir /t/a/b; create /t/a/b/c; create /t/c; create /o/b",
];

pub fn start(number: usize) -> Vec<Operation> {
    text::parse_operations(STARTS[number]).expect("a start")
}

pub fn disk_after(operations: &[Operation]) -> Disk {
    let mut disk = Disk::default();
    for operation in operations {
        disk.apply(operation);
    }
    disk
}

/// Every operation of the scope that can be done in a state of the disk.
pub fn operations(disk: &Disk) -> Vec<Operation> {
    let mut all = Vec::new();
    let root = if disk.nodes.contains_key(ROOT) {
        ROOT
    } else {
        ELSEWHERE
    };
    let directories: Vec<&Path> = disk
        .nodes
        .iter()
        .filter(|(_, node)| node.kind == Kind::Directory)
        .map(|(path, _)| path)
        .collect();
    // A top directory is what is renamed, not where names come and go.
    let places: Vec<Path> = directories
        .iter()
        .flat_map(|path| {
            NAMES
                .iter()
                .map(|&name| [path, &b"/"[..], &[name]].concat())
        })
        .collect();
    let entries: Vec<&Path> = disk
        .nodes
        .keys()
        .filter(|path| !parent(path).is_empty())
        .collect();
    for place in &places {
        all.push(Operation::Mkdir(place.clone()));
        all.push(Operation::Create(place.clone()));
    }
    for path in &entries {
        all.push(Operation::Write((*path).clone()));
        all.push(Operation::Unlink((*path).clone()));
        all.push(Operation::Rmdir((*path).clone()));
        for place in &places {
            all.push(Operation::Rename((*path).clone(), place.clone()));
        }
        let later = entries.iter().filter(|other| *other > path);
        all.extend(later.map(|other| Operation::Exchange((*path).clone(), (*other).clone())));
    }
    for &path in directories
        .iter()
        .filter(|path| ***path == root || is_below(path, root))
    {
        let mode = if disk.nodes[path].mode == 0 { 7 } else { 0 };
        all.push(Operation::Chmod(path.clone(), mode));
    }
    all.push(Operation::Rename(ROOT.to_vec(), ELSEWHERE.to_vec()));
    all.push(Operation::Rename(ELSEWHERE.to_vec(), ROOT.to_vec()));
    let into = NAMES.iter().map(|&name| [OUTSIDE, b"/", &[name]].concat());
    all.extend(into.map(|place| Operation::Rename(ROOT.to_vec(), place)));
    all.push(Operation::Exchange(OUTSIDE.to_vec(), root.to_vec()));
    all.push(Operation::Rmdir(root.to_vec()));
    all.push(Operation::Mkdir(ROOT.to_vec()));
    all.push(Operation::Overflow);
    all.retain(|operation| !is_outside(operation) && disk.clone().apply(operation));
    all
}

/// Nobody watches outside: what happens there alone is another beginning, not another run.
fn is_outside(operation: &Operation) -> bool {
    let outside = |path: &Path| is_below(path, OUTSIDE);
    match operation {
        Operation::Mkdir(path) | Operation::Create(path) | Operation::Write(path) => outside(path),
        Operation::Unlink(path) | Operation::Rmdir(path) => outside(path),
        Operation::Rename(from, to) | Operation::Exchange(from, to) => outside(from) && outside(to),
        _ => false,
    }
}

/// Renamings of the names that leave the beginning as it is.
pub fn symmetries(start: &[Operation]) -> Vec<[u8; 4]> {
    let nodes = |start: &[Operation]| -> BTreeSet<(Path, bool)> {
        let disk = disk_after(start);
        let kinds = disk
            .nodes
            .iter()
            .map(|(path, node)| (path.clone(), node.kind == Kind::Directory));
        kinds.collect()
    };
    let before = nodes(start);
    let mut found = Vec::new();
    let mut try_one = |names: [u8; 4]| {
        let renamed: Vec<Operation> = start
            .iter()
            .map(|operation| rename(operation, &names))
            .collect();
        if names != NAMES && nodes(&renamed) == before {
            found.push(names);
        }
    };
    for a in NAMES {
        for b in NAMES.into_iter().filter(|&b| b != a) {
            for c in NAMES.into_iter().filter(|&c| c != a && c != b) {
                let used = [a, b, c];
                let d = NAMES
                    .into_iter()
                    .find(|name| !used.contains(name))
                    .unwrap_or(b'd');
                try_one([a, b, c, d]);
            }
        }
    }
    found
}

fn rename(operation: &Operation, names: &[u8; 4]) -> Operation {
    let path = |path: &Path| -> Path {
        let mut renamed = path.clone();
        // The first component is a top directory, which keeps its name.
        let components = path
            .iter()
            .enumerate()
            .filter(|&(at, _)| at >= 3 && path[at - 1] == b'/');
        for (at, byte) in components {
            if let Some(index) = NAMES.iter().position(|name| name == byte) {
                renamed[at] = names[index];
            }
        }
        renamed
    };
    match operation {
        Operation::Mkdir(at) => Operation::Mkdir(path(at)),
        Operation::Create(at) => Operation::Create(path(at)),
        Operation::Write(at) => Operation::Write(path(at)),
        Operation::Unlink(at) => Operation::Unlink(path(at)),
        Operation::Rmdir(at) => Operation::Rmdir(path(at)),
        Operation::Chmod(at, mode) => Operation::Chmod(path(at), *mode),
        Operation::Rename(from, to) => Operation::Rename(path(from), path(to)),
        Operation::Exchange(from, to) => {
            let (one, other) = (path(from), path(to));
            Operation::Exchange(one.clone().min(other.clone()), one.max(other))
        }
        other => other.clone(),
    }
}

/// Whether no renaming of names makes a sequence that comes earlier: one of each kind is played.
pub fn is_canonical(sequence: &[Operation], symmetries: &[[u8; 4]]) -> bool {
    symmetries.iter().all(|names| {
        let renamed = sequence.iter().map(|operation| rename(operation, names));
        sequence.iter().cloned().le(renamed)
    })
}

/// What can follow a sequence, and how many of it are left out as equal up to names.
pub fn continuations(
    start: &[Operation],
    before: &[Operation],
    symmetries: &[[u8; 4]],
) -> (Vec<Vec<Operation>>, u64) {
    let mut disk = disk_after(start);
    for operation in before {
        disk.apply(operation);
    }
    let mut found = Vec::new();
    let mut left_out = 0;
    for operation in operations(&disk) {
        let mut sequence = before.to_vec();
        sequence.push(operation);
        if is_canonical(&sequence, symmetries) {
            found.push(sequence);
        } else {
            left_out += 1;
        }
    }
    (found, left_out)
}
