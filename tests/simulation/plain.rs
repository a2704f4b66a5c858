//! A plain watch on a directory, beside the trees.

use std::collections::BTreeSet;

use libc::{IN_CREATE, IN_DELETE, IN_IGNORED, IN_ISDIR, IN_MOVED_FROM, IN_MOVED_TO};

use crate::disk::Disk;
use crate::support::replica::{Told, Verdict, fault};

pub struct Plain {
    pub watch: u64,
    given: Vec<u8>,
    pub id: u32,
    mask: u32,
    names: BTreeSet<Vec<u8>>,
    lost: bool,
    /// Entries may change places (RENAME_EXCHANGE).
    pub swaps: bool,
    pub removed: bool,
    pub ended: bool,
}

impl Plain {
    pub fn new(watch: u64, given: &[u8], id: u32, mask: u32, names: BTreeSet<Vec<u8>>) -> Plain {
        Plain {
            watch,
            given: given.to_vec(),
            id,
            mask,
            names,
            lost: false,
            swaps: false,
            removed: false,
            ended: false,
        }
    }

    pub fn overflow(&mut self) {
        self.lost = true;
    }

    pub fn take(&mut self, event: &Told) -> Verdict {
        let bits = event.mask & !IN_ISDIR;
        if event.flags != 0 || bits & !self.mask & !IN_IGNORED != 0 || self.ended {
            return Err(fault("plain-watch-not-asked-for", event));
        }
        let name = event.name.clone();
        let path = match &name {
            Some(name) => [&self.given[..], b"/", name].concat(),
            None => self.given.clone(),
        };
        if event.path.as_ref() != Some(&path) {
            return Err(fault("plain-watch-path", event));
        }
        self.ended |= bits == IN_IGNORED;
        let Some(name) = name else {
            return Ok(());
        };
        let known = match bits {
            IN_CREATE => self.names.insert(name),
            IN_DELETE | IN_MOVED_FROM => self.names.remove(&name),
            // Over what was there, or not.
            IN_MOVED_TO => {
                self.names.insert(name);
                true
            }
            _ => true,
        };
        // What changes places with another can't be told from two renames here: inotify(7) doesn't.
        if known || self.lost || self.removed {
            return Ok(());
        }
        self.lost = true;
        Ok(())
    }

    /// The names at rest; where the directory is gone the watch is, too.
    pub fn at_rest(&mut self, disk: &Disk) -> Verdict<Option<Vec<u8>>> {
        let there = disk
            .nodes
            .iter()
            .find(|(_, node)| node.id == self.id)
            .map(|(path, _)| path.clone());
        if self.removed || self.ended || there.is_none() {
            // Its end may be among what was lost, and nobody can tell then.
            if !self.ended && !self.lost {
                return Err(fault("plain-watch-not-ended", self.given.escape_ascii()));
            }
            self.ended = true;
            return Ok(None);
        }
        let now = disk.names_in(self.id);
        if !self.lost && !self.swaps && now != self.names {
            return Err(fault(
                "plain-watch-names",
                format!(
                    "{}: {:?}, on disk {now:?}",
                    self.given.escape_ascii(),
                    self.names
                ),
            ));
        }
        (self.names, self.lost) = (now, false);
        Ok(there)
    }
}
