//! ERRORs: of a directory that was there, and not without a cause.

use std::rc::Rc;

use super::Judge;
use crate::disk::{Kind, View};
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

    fn has_left(&self, id: u32) -> bool {
        id != self.root && self.now().paths_of(id).next().is_none()
    }

    fn was_closed(&self, id: u32) -> bool {
        let closed = |view: &Rc<View>| view.paths_of(id).any(|path| view.is_closed(path));
        self.views.iter().any(closed)
    }
}
