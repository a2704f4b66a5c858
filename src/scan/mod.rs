//! Scans: putting a watch on a directory and telling what was in it before.
//!
//! A scan watches the directory, lists it, takes the lock of its parent, and reads the kernel's queue. From these follows
//! which entries were there when the watch began. A name without a queued event was there exactly if it was listed. A name
//! whose first event is its going was there; a name whose first event is its coming was not. The entries are told at the
//! position in the stream at which they were there: before the directory's first own event. So nothing is told twice,
//! nothing is missed, and no path is wrong.
//!
//! A scan begins when all that was read is decoded. The queue may then turn out to hold a rename or a deletion of the
//! directory: another directory may have been opened under its name. The scan is void, and begins again when that event
//! has been followed. A rename further up voids a scan only if the directory has events of its own, whose paths would
//! change.

mod backfill;
mod identify;
mod list;
mod pace;
mod pending;
mod reach;
mod reading;
mod settle;
mod start;

use crate::debug::debug;
use crate::stream::{Outbox, Position, Stream};
use crate::sys::Sys;
#[cfg(any(debug_assertions, simulation))]
use crate::tree::flags;
use crate::tree::{Effects, Forest};
#[cfg(any(debug_assertions, simulation))]
use crate::watches::PlaceId;
use crate::watches::Watches;
use backfill::Backfill;
use list::Listing;
use reach::Reach;
use reading::Readings;
use std::collections::VecDeque;

pub(crate) use pace::Pace;
pub(crate) use reach::watch_open;
pub(crate) use reading::{UNKNOWN, base_name};

/// All that a scan may change besides the scans themselves.
pub(crate) struct Work<'a> {
    pub(crate) stream: &'a mut Stream,
    pub(crate) forest: &'a mut Forest,
    pub(crate) watches: &'a mut Watches,
    pub(crate) out: &'a mut Outbox,
}

impl Work<'_> {
    /// What the trees may change, at the position up to which all is decoded; and the trees.
    pub(crate) fn trees(&mut self) -> (&mut Forest, Effects<'_>) {
        let effects = Effects {
            watches: self.watches,
            out: self.out,
            position: self.stream.head(),
        };
        (self.forest, effects)
    }
}

#[derive(Default)]
pub(crate) struct Scans {
    listings: VecDeque<Listing>,
    /// What the listings have read, for the backfills too.
    listed: Vec<u8>,
    /// By their positions.
    backfills: VecDeque<Backfill>,
    reach: Reach,
    readings: Readings,
}

impl Scans {
    pub(crate) fn is_listing(&self) -> bool {
        !self.listings.is_empty()
    }

    /// The position at which the next backfill is to be told.
    pub(crate) fn next_backfill(&self) -> Option<Position> {
        self.backfills.front().map(Backfill::position)
    }

    /// Gives back memory.
    pub(crate) fn trim(&mut self) {
        self.listed = Vec::new();
        self.reach = Reach::default();
    }

    /// Removes the kernel watches that nobody holds any more.
    pub(crate) fn remove_unheld(&mut self, work: &mut Work<'_>) {
        while let Some(wd) = work.watches.take_unheld() {
            // The call fails where the directory is gone already.
            let _ = self.rm_from_kernel(wd, work);
        }
    }

    /// Removes a kernel watch. A directory that is being listed begins again: what it was listed with is void.
    pub(crate) fn rm_from_kernel(&mut self, wd: i32, work: &mut Work<'_>) -> Sys<()> {
        if self.is_being_listed(wd) {
            self.give_up_listing(work);
        }
        let removed = work.stream.inotify().rm(wd);
        debug!(work.stream.log(), "inotify_rm_watch {wd}: {removed:?}");
        removed
    }

    /// Removes a watch that was added for a scan that came to nothing, unless others hold it.
    fn abandon(&self, wd: i32, work: &Work<'_>) {
        if work.watches.owner(wd).is_none() && !self.is_being_listed(wd) {
            let removed = work.stream.inotify().rm(wd);
            debug!(work.stream.log(), "inotify_rm_watch {wd}: {removed:?}");
        }
    }

    /// Appends what is under way, for people.
    #[cfg(not(simulation))]
    pub(crate) fn dump_work(&self, text: &mut crate::debug::Report) -> std::fmt::Result {
        use std::fmt::Write as _;
        let (listings, backfills) = (self.listings.len(), self.backfills.len());
        writeln!(text, "scans: {listings} listings, {backfills} backfills")
    }

    #[cfg(any(debug_assertions, simulation))]
    pub(crate) fn check(&self, forest: &Forest) {
        let positions = self.backfills.iter().map(Backfill::position);
        assert!(positions.is_sorted(), "backfills are sorted by position");
        for listing in &self.listings {
            if let Some(id) = listing.place(forest) {
                assert!(forest.place(id).is(flags::LISTING));
            }
        }
    }

    /// How many of the queued places are in a listing or a backfill.
    #[cfg(any(debug_assertions, simulation))]
    pub(crate) fn places(&self, forest: &Forest) -> Vec<PlaceId> {
        let listed = self.listings.iter().filter_map(|one| one.place(forest));
        let told = self.backfills.iter().filter_map(|one| one.place(forest));
        listed.chain(told).collect()
    }
}
