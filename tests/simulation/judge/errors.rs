//! ERRORs: of a directory that was there, and not without a cause. What has healed, and what ought to have.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::Judge;
use crate::disk::{Kind, Path, View};
use crate::support::replica::{Verdict, fault};

impl Judge {
    pub(super) fn judge_errors(&mut self) -> Verdict {
        for (path, errno) in std::mem::take(&mut self.replica.errors) {
            self.errors += 1;
            let within = path[self.given.len()..].to_vec();
            let text = format!("ERROR {errno} of {}", path.escape_ascii());
            let meant = self.allowed.get(&within).cloned();
            let mut ids = meant.unwrap_or_default();
            self.blind.extend(&ids);
            self.errored.extend(&ids);
            // A place that changes all the time is given up for a while.
            let mut cause = self.excused || (errno == libc::EAGAIN && self.expect.concurrent);
            for view in &self.views {
                let id = match view.entries.get(&within) {
                    _ if within.is_empty() => Some(self.root),
                    Some(node) if node.kind == Kind::Directory => Some(node.id),
                    _ => None,
                };
                if within.is_empty() {
                    self.lost = true;
                } else {
                    self.blind.extend(id);
                    self.errored.extend(id);
                }
                cause |= view.path.as_ref() != Some(&self.given) || view.is_closed(&within);
                ids.extend(id);
            }
            // It may have moved on since, or have left and be closed elsewhere.
            cause |= ids
                .iter()
                .any(|&id| self.was_closed(id) || self.has_left(id));
            if ids.is_empty() {
                if self.allowed.contains_key(&within) {
                    // It was made in what had just left the tree.
                    continue;
                }
                let fault = fault("error-of-what-was-no-directory", text);
                if !self.expect.swaps {
                    return Err(fault);
                }
                // As with the paths of other events: which of two directories has a name can take a repair to tell.
                self.replica.wants_repair(fault);
                continue;
            }
            if !cause {
                return Err(fault("error-without-a-cause", text));
            }
        }
        Ok(())
    }

    /// What has been at the path all the time is blind no more. Of others it shows at the next rest.
    pub(super) fn note_healed(&mut self) {
        for path in std::mem::take(&mut self.replica.healed) {
            let within = &path[self.given.len()..];
            let ids: BTreeSet<Option<u32>> = self
                .views
                .iter()
                .map(|view| view.entries.get(within).map(|node| node.id))
                .collect();
            if let (1, Some(Some(id))) = (ids.len(), ids.first()) {
                self.blind.remove(id);
            }
        }
    }

    /// Whether the root is there now.
    pub fn is_at(&self, path: &[u8]) -> bool {
        self.now().path.as_deref() == Some(path)
    }

    /// Whether an ERROR stands.
    pub fn is_troubled(&self) -> bool {
        self.lost || !self.blind.is_empty()
    }

    /// The directories of which an ERROR has told, that nothing closes now, and that are not among those that the library
    /// says it watches.
    pub fn curable(&self, watched: &[Vec<u8>]) -> Vec<Path> {
        let view = self.now();
        let Some(root) = view.path.as_ref().filter(|root| **root == self.given) else {
            return Vec::new();
        };
        let mut blind = self.blind.clone();
        let mut curable = Vec::new();
        if self.lost && !view.is_closed(b"") {
            curable.push(root.clone());
        }
        for (path, node) in &view.entries {
            let is_there = node.kind == Kind::Directory && blind.remove(&node.id);
            let full = [&root[..], path].concat();
            if is_there
                && self.is_to_be_watched(path)
                && !view.is_closed(path)
                && !watched.contains(&full)
            {
                curable.push(full);
            }
        }
        curable
    }

    fn has_left(&self, id: u32) -> bool {
        id != self.root && self.now().paths_of(id).next().is_none()
    }

    fn was_closed(&self, id: u32) -> bool {
        let closed = |view: &Rc<View>| view.paths_of(id).any(|path| view.is_closed(path));
        self.views.iter().any(closed)
    }
}
