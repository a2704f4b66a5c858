//! The replica when nothing is outstanding.

use super::{Entries, Known, Replica, Verdict, differences, fault};

impl Replica {
    /// What must be so when nothing is outstanding.
    pub fn at_rest(&mut self) -> Verdict {
        // What is still moving has left the tree.
        self.moving.clear();
        self.settled = true;
        for entry in self.entries.values_mut() {
            entry.settled = true;
        }
        // Nothing can be repaired before the root is there again.
        if self.ended || self.blind_root {
            return Ok(());
        }
        if let Some(fault) = self.unexplained.take() {
            return Err(fault);
        }
        match self.known {
            Known::Listing { .. } => Err(fault("bracket-not-ended", "SYNC_END is missing")),
            Known::Lost => Err(fault("loss-not-mended", "no SYNC_END after Q_OVERFLOW")),
            Known::Whole | Known::Unlisted => Ok(()),
        }
    }

    /// At rest: the replica against what is below the root, by the paths that events have. After a SYNC_END alone it is made
    /// from what is there.
    pub fn compare(&mut self, disk: &Entries) -> Verdict {
        if self.ended {
            return Ok(());
        }
        if self.is_unlisted() {
            self.start_from(disk);
            return Ok(());
        }
        if !self.expect.complete {
            return Ok(());
        }
        let known = |(path, _): &(&Vec<u8>, &bool)| !self.is_blind(path);
        let owned = |(path, kind): (&Vec<u8>, &bool)| (path.clone(), *kind);
        let entries = self.entries();
        let replica: Entries = entries.iter().filter(known).map(owned).collect();
        let disk: Entries = disk.iter().filter(known).map(owned).collect();
        let found = differences(&replica, &disk);
        if found.is_empty() {
            return Ok(());
        }
        let missing = disk
            .iter()
            .any(|(path, kind)| replica.get(path) != Some(kind));
        Err(fault(
            if missing { "missed" } else { "not-told-gone" },
            found,
        ))
    }
}
