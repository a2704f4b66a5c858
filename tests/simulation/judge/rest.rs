//! A tree at rest: the replica against the disk, what is watched, and what is still owed.

use std::collections::BTreeSet;

use libc::{IN_ATTRIB, IN_CLOSE_WRITE};

use super::Judge;
use crate::disk::{Kind, Path, View};
use crate::support::replica::{Verdict, fault};

impl Judge {
    /// Nothing is outstanding. `directories` are those that the library says it watches.
    pub fn at_rest(&mut self, directories: &[Vec<u8>]) -> Verdict {
        self.replica.at_rest()?;
        let view = self.now().clone();
        if view.path.is_none() && self.lost && self.excused {
            // Its end was among what was lost, and without /proc nobody can tell that it has come.
            self.owed.clear();
            return Ok(());
        }
        if view.path.is_none() || self.replica.ended {
            if self.replica.ended != view.path.is_none() {
                return Err(fault(
                    "the-end-of-the-root",
                    format!("told: {}", self.replica.ended),
                ));
            }
            self.owed.clear();
            return Ok(());
        }
        for path in directories {
            // A repair has found what an ERROR told of.
            let node = view.entries.get(&path[self.given.len()..]);
            self.blind.remove(&node.map_or(self.root, |node| node.id));
        }
        let disk = self.disk();
        let unlisted = self.replica.is_unlisted();
        self.replica.compare(&disk)?;
        if unlisted {
            for (path, node) in &view.entries {
                if self.blind.contains(&node.id) {
                    self.replica
                        .lose_sight_of(&[&self.given[..], path].concat());
                }
            }
        }
        self.judge_directories(&view, directories)?;
        self.judge_owed()?;
        self.views = vec![view];
        self.left.clear();
        self.allowed.clear();
        self.happened.clear();
        self.told.clear();
        self.found.clear();
        self.replica.of_root.clear();
        Ok(())
    }

    fn judge_directories(&mut self, view: &View, directories: &[Vec<u8>]) -> Verdict {
        let listed: BTreeSet<Path> = directories
            .iter()
            .map(|path| path[self.given.len()..].to_vec())
            .collect();
        if listed.len() != directories.len() {
            return Err(fault(
                "watched-twice",
                format!("{} of {}", listed.len(), directories.len()),
            ));
        }
        for path in &listed {
            if self.lost {
                // Whether two directories have changed places, or one has gone there and back, can't be looked up.
            } else if !view.is_dir(path) || !(path.is_empty() || self.is_to_be_watched(path)) {
                return Err(fault("watched-but-not-there", path.escape_ascii()));
            }
        }
        let root = (Path::new(), self.root);
        let all = view
            .entries
            .iter()
            .filter(|(path, node)| node.kind == Kind::Directory && self.is_to_be_watched(path))
            .map(|(path, node)| (path.clone(), node.id));
        let all: Vec<(Path, u32)> = std::iter::once(root).chain(all).collect();
        let mut unreached = Vec::new();
        for (path, id) in all {
            if !listed.contains(&path) && self.lost {
                unreached.push(id);
            } else if !listed.contains(&path) && !self.is_in(&path, &self.blind) {
                return Err(fault("not-watched-and-no-error", path.escape_ascii()));
            }
        }
        self.blind.extend(unreached);
        Ok(())
    }

    fn judge_owed(&mut self) -> Verdict {
        let owed = std::mem::take(&mut self.owed);
        for one in owed {
            let hidden = |path: &&Path| {
                self.is_in(path, &self.blind)
                    || self.is_in(path, &self.errored)
                    || !self.is_told_of(path)
            };
            if one.id != self.root && one.at.iter().any(|path| hidden(&path)) || self.lost {
                continue;
            }
            let paths: Vec<String> = one
                .paths
                .iter()
                .map(|path| path.escape_ascii().to_string())
                .collect();
            let kind = match one.bits {
                IN_CLOSE_WRITE if one.listed => "not-listed",
                IN_CLOSE_WRITE => "write-not-told",
                IN_ATTRIB => "attrib-not-told",
                _ => "move-of-root-not-told",
            };
            return Err(fault(kind, format!("{paths:?}")));
        }
        Ok(())
    }
}
