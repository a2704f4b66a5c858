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
            if self.begun {
                self.note_new_names(&operation);
                self.allow_old_names();
            }
        }
    }

    /// What was half done has gone elsewhere before it was told: it is told by a path that it has got since.
    fn note_new_names(&mut self, nested: &Operation) {
        if self.told_at.is_empty() {
            let outer = &self.operations[self.next];
            let same = paths(outer)
                .into_iter()
                .map(|path| (path.clone(), path.clone()));
            self.told_at = moves(outer).into_iter().chain(same).collect();
        }
        for (from, to) in moves(nested) {
            let elsewhere = |path: &Path| {
                let moved = is_below(path, &from);
                moved.then(|| [&to[..], &path[from.len()..]].concat())
            };
            let pairs = self.told_at.iter().filter_map(|(told, now)| {
                let (new_told, new_now) = (elsewhere(told), elsewhere(now));
                let either = new_told.is_some() || new_now.is_some();
                either.then(|| {
                    let told = new_told.unwrap_or_else(|| told.clone());
                    (told, new_now.unwrap_or_else(|| now.clone()))
                })
            });
            for (told, now) in pairs.collect::<Vec<_>>() {
                let judges = self.judges.iter_mut();
                judges.for_each(|judge| judge.allow(&told, &told));
                self.told_at.push((told, now));
            }
        }
    }

    /// What happens meanwhile in what is renamed can only be told by its old path.
    fn allow_old_names(&mut self) {
        for (told, now) in self.told_at.iter().filter(|(told, now)| told != now) {
            let nodes = self.disk.nodes.keys();
            for path in nodes.filter(|path| *path == now || is_below(path, now)) {
                let old = [&told[..], &path[now.len()..]].concat();
                let judges = self.judges.iter_mut();
                judges.for_each(|judge| judge.allow(&old, path));
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
