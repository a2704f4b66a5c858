//! Plain watches as text, for people.

use super::{NO_PLACE, Watches};
use crate::debug::{Quoted, Report};
use std::fmt::{self, Write as _};

impl Watches {
    /// Appends what is left to be done.
    pub(crate) fn dump_work(&self, text: &mut Report) -> fmt::Result {
        let (endings, unheld) = (self.endings.len(), self.unheld.len());
        writeln!(
            text,
            "watches: {endings} ends to tell, {unheld} kernel watches to remove"
        )
    }

    /// Appends a plain watch.
    pub(crate) fn dump_plain(&self, index: u32, text: &mut Report) -> fmt::Result {
        let plain = &self.plains[index];
        let (id, path) = (plain.id().as_raw(), Quoted(plain.path.to_bytes()));
        write!(
            text,
            "watch {id}: plain {path}, mask {}, wd {}",
            plain.mask, plain.wd
        )?;
        let states = [
            (plain.active, "active"),
            (!plain.active, "removed"),
            (plain.ended, "ended"),
            (plain.filtered, "filtered"),
            (plain.kernel_oneshot, "oneshot of the kernel"),
            (plain.first_place != NO_PLACE, "in a tree"),
        ];
        for (_, state) in states.iter().filter(|(is, _)| *is) {
            write!(text, ", {state}")?;
        }
        writeln!(text)
    }
}
