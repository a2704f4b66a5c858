//! All that an instance knows, as text for people.

use super::Engine;
use crate::debug::Report;
use crate::watches::Target;
use std::fmt::{self, Write as _};

impl Engine {
    /// Appends all watches, trees and places, a line each.
    pub(crate) fn dump(&self, text: &mut Report) -> fmt::Result {
        let ids = self.watches.ids().map_err(|_| fmt::Error)?;
        writeln!(
            text,
            "stream: {} bytes queued in the kernel, {} events read and not decoded, {} decoded",
            self.stream.inotify().queued(),
            self.stream.pending().count(),
            self.out.len()
        )?;
        writeln!(
            text,
            "work: next step {:?}, {}",
            self.next_step(),
            match self.must_read {
                true => "the kernel's queue is to be read",
                false => "the kernel's queue was seen empty",
            }
        )?;
        self.watches.dump_work(text)?;
        self.forest.dump_work(text)?;
        self.scans.dump_work(text)?;
        writeln!(text, "count: {} watches", ids.len())?;
        let backlogs = self.forest.backlogs();
        for id in ids {
            match self.watches.target(id) {
                Ok(Target::Plain(index)) => self.watches.dump_plain(index, text)?,
                Ok(Target::Tree(index)) => {
                    let backlog = backlogs.get(&index).copied().unwrap_or_default();
                    self.forest.dump_tree(index, backlog, text)?;
                }
                Err(_) => {}
            }
        }
        self.forest.dump_places(text)
    }
}
