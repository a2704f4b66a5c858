//! The library's own reading of directories, which the handle that reads is not to tell.
//!
//! A watch for OPEN, ACCESS or CLOSE_NOWRITE hears of any process that reads a directory, of this one too. What it hears of
//! a directory between the moment before it is opened and the moment after it is closed is left out, also if another
//! process caused the event.

use super::{Scans, Work};
use crate::mask::Mask;
use crate::memory;
use crate::stream::{Position, RawEvent, Stream};
use crate::sys::Sys;
use crate::watches::NO_PLACE;
use std::collections::BTreeSet;

/// What reading a directory makes the kernel tell.
const READING: Mask = Mask::OPEN.union(Mask::ACCESS).union(Mask::CLOSE_NOWRITE);

/// In place of a descriptor: the directory is open, and could not be watched, so nobody knows whether others do.
pub(crate) const UNKNOWN: i32 = -1;

/// One directory that was read.
struct Reading {
    /// 0: it was not opened.
    wd: i32,
    /// None: of the directory above the root nothing is known.
    parent: Option<i32>,
    name: Vec<u8>,
    from: Position,
    to: Position,
}

impl Reading {
    fn tells(&self, event: &RawEvent<'_>, position: Position) -> bool {
        let is_its_own = match event.name {
            b"" => self.is_of(event.wd),
            name => name == self.name && self.parent.is_none_or(|parent| parent == event.wd),
        };
        is_its_own && self.covers(position)
    }

    fn is_of(&self, wd: i32) -> bool {
        self.wd == wd || self.wd == UNKNOWN
    }

    fn covers(&self, position: Position) -> bool {
        self.from <= position && position < self.to
    }
}

impl Reading {
    /// The same reading under the names that the directory got meanwhile.
    fn under_other_names(&self, work: &Work<'_>) -> Vec<Reading> {
        let mut others = Vec::new();
        // Another directory may have left the name instead, in exchange: so it may have each of these names.
        let mut names = BTreeSet::from([(self.parent, self.name.as_slice())]);
        let mut leaving = BTreeSet::new();
        for (_, event) in work.stream.pending() {
            if event.mask & Mask::MOVED_FROM.bits() != 0 {
                let mut parents = [None, Some(event.wd)].into_iter();
                if parents.any(|parent| names.contains(&(parent, event.name))) {
                    leaving.insert(event.cookie);
                }
            } else if event.mask & Mask::MOVED_TO.bits() != 0 && !leaving.is_empty() {
                let is_known = leaving.remove(&event.cookie);
                if is_known {
                    names.insert((Some(event.wd), event.name));
                } else if memory::is_short() {
                    continue;
                }
                // With another cookie it may have come back from where nobody has heard of it.
                others.push(Reading {
                    wd: self.wd,
                    parent: Some(event.wd),
                    name: event.name.to_vec(),
                    from: self.from,
                    to: self.to,
                });
            }
        }
        others
    }
}

#[derive(Default)]
pub(super) struct Readings(Vec<Reading>);

impl Readings {
    /// What is known of the directory that was opened last.
    pub(super) fn set_wd(&mut self, wd: i32) {
        if let Some(reading) = self.0.last_mut() {
            reading.wd = wd;
        }
    }
}

impl Scans {
    /// The directory `name` in the one with the descriptor `parent` is about to be opened.
    pub(crate) fn begin_reading(
        &mut self,
        (parent, name): (Option<i32>, &[u8]),
        work: &mut Work<'_>,
    ) -> Sys<()> {
        if !work.watches.hears_reading() {
            return Ok(());
        }
        // The reading that other processes did before is told.
        work.stream.drain()?;
        let head = work.stream.head();
        self.readings.0.retain(|reading| reading.to > head);
        self.readings.0.push(Reading {
            wd: 0,
            parent,
            name: name.to_vec(),
            from: work.stream.tail(),
            to: Position::END,
        });
        Ok(())
    }

    /// The directory that was opened last has this descriptor.
    pub(crate) fn is_reading(&mut self, wd: i32) {
        self.readings.set_wd(wd);
    }

    /// All directories are closed that were read.
    pub(crate) fn end_readings(&mut self, work: &mut Work<'_>) -> Sys<()> {
        let over = self.readings.0.iter().all(|it| it.to != Position::END);
        if over || self.is_listing() {
            return Ok(());
        }
        // The name under which it was closed may be another than is told yet.
        let _ = self.wait_for_parent();
        work.stream.drain()?;
        let tail = work.stream.tail();
        let mut renamed = Vec::new();
        for reading in self.readings.0.iter_mut().filter(|it| it.to > tail) {
            reading.to = tail;
            renamed.extend(reading.under_other_names(work));
        }
        self.readings.0.extend(renamed);
        Ok(())
    }

    /// Whether an event may be of the library's own reading.
    #[inline]
    pub(crate) fn may_be_reading(&self, event: &RawEvent<'_>) -> bool {
        let is_reading = event.mask & READING.bits() != 0 && event.mask & Mask::ISDIR.bits() != 0;
        is_reading && !self.readings.0.is_empty()
    }

    /// Whether an event is of the library's own reading.
    pub(crate) fn is_own_reading(
        &self,
        event: &RawEvent<'_>,
        position: Position,
        stream: &Stream,
    ) -> bool {
        if !self.may_be_reading(event) {
            return false;
        }
        // The kernel tells the parent's watch and next that of the directory itself, whatever its name is by then.
        let next = stream.pending().nth(1).map(|(_, next)| next);
        let own = next.filter(|next| next.mask == event.mask && next.name.is_empty());
        let tells = |reading: &Reading| {
            let is_paired = own.as_ref().is_some_and(|own| reading.is_of(own.wd));
            reading.tells(event, position) || (is_paired && reading.covers(position))
        };
        self.readings.0.iter().any(tells)
    }
}

impl Work<'_> {
    /// Where a place is opened from: the descriptor of its parent, and its name.
    pub(super) fn entry_of(&self, id: crate::watches::PlaceId) -> (Option<i32>, Vec<u8>) {
        let place = self.forest.place(id);
        match place.parent() {
            NO_PLACE => (None, base_name(self.forest.tree_of(id).absolute()).to_vec()),
            parent => (Some(self.forest.place(parent).wd()), place.name().to_vec()),
        }
    }
}

/// The last component of a path.
pub(crate) fn base_name(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}
