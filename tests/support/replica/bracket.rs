//! SYNC_BEGIN and SYNC_END: what is void, what is swept.

use super::{Known, Replica, Told, Verdict, fault};

impl Replica {
    pub(super) fn begin_listing(&mut self, event: &Told) -> Verdict {
        if !self.expect.lists {
            return Err(fault("a-list-that-was-not-asked-for", event));
        }
        let after_loss = match self.known {
            Known::Lost => true,
            Known::Listing { after_loss } => {
                self.repairs += 1;
                after_loss || self.begun > 0
            }
            // Some tangles of renames can be told apart by a repair only.
            Known::Whole | Known::Unlisted => {
                self.repairs += u64::from(self.begun > 0);
                self.begun > 0
            }
        };
        self.begun += 1;
        self.unexplained = None;
        self.blind_root = false;
        for entry in self.entries.values_mut() {
            entry.marked = false;
            entry.blind = false;
        }
        self.known = Known::Listing { after_loss };
        Ok(())
    }

    pub(super) fn end_listing(&mut self, event: &Told) -> Verdict {
        self.listings += 1;
        if !self.expect.lists {
            if self.known == Known::Whole {
                // What was set up in the background, or a repair.
                self.repairs += u64::from(self.begun > 0);
            }
            self.begun += 1;
            self.unexplained = None;
            self.known = Known::Unlisted;
            return Ok(());
        }
        let Known::Listing { after_loss } = self.known else {
            return Err(fault("the-end-of-no-list", event));
        };
        self.known = Known::Whole;
        if !self.expect.complete {
            return Ok(());
        }
        let unnamed: Vec<Vec<u8>> = self.unmarked();
        if let Some(first) = unnamed.first().filter(|_| !after_loss) {
            let text = format!("{} and {} more", first.escape_ascii(), unnamed.len() - 1);
            return Err(fault("swept-without-a-loss", text));
        }
        for path in unnamed {
            self.remove(&path);
        }
        Ok(())
    }

    /// What was not named in this bracket, but for what can't be named.
    fn unmarked(&self) -> Vec<Vec<u8>> {
        let unmarked = self.entries.iter().filter(|(_, entry)| !entry.marked);
        let told = unmarked.filter(|(path, _)| !self.is_blind(path));
        told.map(|(path, _)| path.clone()).collect()
    }
}
