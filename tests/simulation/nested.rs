//! An operation of one process while that of another is half done: visible, but not told yet. By which path the one is then told
//! depends on which half of the other comes first.

use asyncinotify::simulation::{Operation, with_kernel};

use crate::disk::{Path, is_below};
use crate::stage::Stage;
use crate::text;

impl Stage {
    /// Another process does all of something meanwhile.
    pub fn nest(&mut self, operation: Option<Operation>) {
        let Some(operation) = operation else {
            return;
        };
        let done = with_kernel(|kernel| kernel.run(&operation));
        self.note(|| {
            format!(
                "world, meanwhile: {}: {done:?}",
                text::operation(&operation)
            )
        });
        if done.is_ok() {
            self.visible(&operation);
            self.allow_old_names();
            self.allow_new_names(&operation);
        }
    }

    /// A rename is visible, but not told yet: what happens meanwhile in what is renamed can only be told by its old path.
    fn allow_old_names(&mut self) {
        if !self.begun {
            return;
        }
        for (before, now) in moves(&self.operations[self.next]) {
            let below = self
                .disk
                .nodes
                .keys()
                .filter(|path| **path == now || is_below(path, &now));
            for path in below {
                let old = [&before[..], &path[now.len()..]].concat();
                self.judges
                    .iter_mut()
                    .for_each(|judge| judge.allow(&old, path));
            }
        }
    }

    /// What was half done has gone elsewhere before it was told: it is told by a path that it has got since.
    fn allow_new_names(&mut self, nested: &Operation) {
        if !self.begun {
            return;
        }
        if self.told_at.is_empty() {
            let paths = paths(&self.operations[self.next]);
            self.told_at = paths.into_iter().cloned().collect();
        }
        for (from, to) in moves(nested) {
            let moved = self.told_at.iter().filter(|path| is_below(path, &from));
            let new = moved.map(|path| [&to[..], &path[from.len()..]].concat());
            for new in new.collect::<Vec<Path>>() {
                self.judges
                    .iter_mut()
                    .for_each(|judge| judge.allow(&new, &new));
                self.told_at.push(new);
            }
        }
    }
}

/// From where to where an operation moves something.
fn moves(operation: &Operation) -> Vec<(Path, Path)> {
    match operation {
        Operation::Rename(from, to) => vec![(from.clone(), to.clone())],
        Operation::Exchange(a, b) => vec![(a.clone(), b.clone()), (b.clone(), a.clone())],
        _ => Vec::new(),
    }
}

/// The paths that an operation tells of.
fn paths(operation: &Operation) -> Vec<&Path> {
    match operation {
        Operation::Mkdir(path)
        | Operation::Create(path)
        | Operation::Write(path)
        | Operation::Read(path) => vec![path],
        Operation::Unlink(path) | Operation::Rmdir(path) | Operation::Chmod(path, _) => vec![path],
        Operation::Symlink(_, path) | Operation::Link(_, path) => vec![path],
        Operation::Rename(from, to) | Operation::Exchange(from, to) => vec![from, to],
        _ => Vec::new(),
    }
}
