//! Two entries that change places (RENAME_EXCHANGE), which inotify(7) tells as two renames.
//!
//! The first of them ends on a name that stays in use, the second begins there: "a is now b, b is now a". Two plain
//! renames, there and back, say the same, but then nothing is left at `b`. Who keeps a replica from events alone has to be
//! told which it was. So after an exchange the second rename is told as what comes of it: `b` has not gone, and what
//! arrives at `a` is new there, with all in it.
//!
//! Of directories it is known whether the one that was at `b` still is watched, and of a directory and a file the kinds
//! tell. Of two files nothing does: there the disk is asked later, and a name that is still there is told of once more. The
//! same with a directory that was not watched yet; an exchange then takes a repair of the tree.

use crate::backlog::{RawEvent, raw_events};
use crate::batch::Record;
use crate::mask::{EventFlags, Mask};
use crate::places::{NONE, PlaceId, PlaceRef, state};
use crate::state::State;
use crate::sys::Sys;
use crate::sys::directory::{Access, Directory};
use crate::sys::dirent::Kind;
use crate::watch_id::WatchId;
use std::collections::VecDeque;

/// The second rename follows the first at once; so many others may come in between.
const KEPT: usize = 16;

/// Names that something was renamed to a moment ago.
#[derive(Default)]
pub(crate) struct Arrivals(VecDeque<Arrival>);

struct Arrival {
    wd: i32,
    name: Vec<u8>,
    is_dir: bool,
    /// A directory had the name that was not watched yet.
    over_unwatched: bool,
    /// The kernel's queue was not empty since.
    just_now: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// A file was renamed away.
    File,
    /// A directory was renamed away, which had come over one that was not watched yet.
    Directory { over_unwatched: bool },
    /// A directory is taken to have stayed. Had it been renamed away, the one before it was replaced and only open
    /// somewhere, so that its end was not told.
    Stayed,
    /// The directory is no more. The kernel merges two renames to one name that follow each other: another may have come.
    Vacated,
}

impl Arrivals {
    pub(crate) fn note(&mut self, event: &RawEvent<'_>, over_unwatched: bool) {
        let mut arrival = if self.0.len() == KEPT {
            self.0.pop_front()
        } else {
            None
        }
        .unwrap_or(Arrival {
            wd: 0,
            name: Vec::new(),
            is_dir: false,
            over_unwatched,
            just_now: true,
        });
        arrival.just_now = true;
        arrival.over_unwatched = over_unwatched;
        arrival.wd = event.wd;
        arrival.is_dir = is_dir(event);
        arrival.name.clear();
        arrival.name.extend_from_slice(event.name);
        self.0.push_back(arrival);
    }

    /// The kernel's queue is empty.
    pub(crate) fn settle(&mut self) {
        for arrival in &mut self.0 {
            arrival.just_now = false;
        }
    }

    /// Events were lost.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn find(&self, event: &RawEvent<'_>) -> Option<&Arrival> {
        let same = |arrival: &&Arrival| arrival.wd == event.wd && arrival.name == event.name;
        self.0.iter().rev().find(same)
    }

    /// Whether what was renamed to this name a moment ago is a directory.
    pub(crate) fn is_dir_at(&self, event: &RawEvent<'_>) -> Option<bool> {
        self.find(event).map(|arrival| arrival.is_dir)
    }

    /// Whatever else happens to a name, it is no longer that arrival.
    pub(crate) fn forget(&mut self, event: &RawEvent<'_>) {
        self.0
            .retain(|arrival| arrival.wd != event.wd || arrival.name != event.name);
    }
}

/// A name that may be there although what is known says that it isn't, or the other way round.
pub(crate) struct Doubt {
    parent: PlaceRef,
    name: Vec<u8>,
    what: What,
    tree: u32,
    id: WatchId,
    tries: u32,
}

fn is_dir(event: &RawEvent<'_>) -> bool {
    event.mask & Mask::ISDIR.bits() != 0
}

impl State {
    /// Whether a MOVED_FROM is the second half of an exchange, after which the name is still there.
    pub(crate) fn is_exchange(&mut self, parent: PlaceId, event: &RawEvent<'_>) -> bool {
        if is_dir(event) && self.displaced_from(parent, event.name).is_some() {
            return true;
        }
        let Some(arrival) = self.arrivals.find(event) else {
            return false;
        };
        if arrival.is_dir != is_dir(event) {
            return true;
        }
        if !arrival.is_dir {
            self.doubt(parent, event.name, What::File);
        } else if arrival.over_unwatched || arrival.just_now {
            let over_unwatched = arrival.over_unwatched;
            self.doubt(parent, event.name, What::Directory { over_unwatched });
        }
        false
    }

    fn doubt(&mut self, parent: PlaceId, name: &[u8], what: What) {
        let tree = self.places.get(parent).tree;
        self.doubts.push(Doubt {
            parent: self.places.reference(parent),
            name: name.to_vec(),
            what,
            tree,
            id: self.trees[tree].id,
            tries: 0,
        });
    }

    /// A watched directory is no more; its parent's watch tells next of how it went.
    pub(crate) fn doubt_vacated(&mut self, id: PlaceId) {
        let place = self.places.get(id);
        if place.parent != NONE {
            let (parent, name) = (place.parent, place.name().to_vec());
            self.doubt(parent, &name, What::Vacated);
        }
    }

    /// What had the name leaves it to what has come, and will be new where it arrives.
    pub(crate) fn on_exchange(&mut self, parent: PlaceId, event: &RawEvent<'_>) {
        if !is_dir(event) {
            return;
        }
        let Some(index) = self.displaced_from(parent, event.name) else {
            if let Some(child) = self.places.child(parent, event.name) {
                self.doom(child);
            }
            return;
        };
        let place = self.limbo[index].place;
        self.doom(place);
        if self.arrivals.is_dir_at(event) != Some(false) {
            self.doubt(parent, event.name, What::Stayed);
        }
    }

    /// An event tells of a name in doubt. If it goes, it was there.
    pub(crate) fn on_doubted(&mut self, parent: PlaceId, event: &RawEvent<'_>) {
        if self.doubts.is_empty() {
            return;
        }
        let reference = self.places.reference(parent);
        let same = |doubt: &Doubt| doubt.parent == reference && doubt.name == event.name;
        let Some(index) = self.doubts.iter().position(same) else {
            return;
        };
        let doubt = self.doubts.swap_remove(index);
        let gone = event.mask & (Mask::DELETE | Mask::MOVED_FROM).bits() != 0;
        if gone {
            if matches!(doubt.what, What::File | What::Directory { .. }) {
                self.was_there(parent, &doubt);
            }
        } else if event.mask & Mask::CREATE.bits() != 0 {
            self.was_not_there(parent, &doubt);
        } else if matches!(
            doubt.what,
            What::Directory {
                over_unwatched: true
            }
        ) {
            // Something else comes to the name: nobody can tell any more.
            self.begin_sync(doubt.tree);
        }
    }

    fn was_there(&mut self, parent: PlaceId, doubt: &Doubt) {
        match doubt.what {
            What::File => {
                return self.tell_found(parent, &doubt.name, Kind::Other, state::REPORT);
            }
            What::Vacated if self.places.child(parent, &doubt.name).is_some() => return,
            What::Vacated => return self.new_directory(parent, &doubt.name),
            What::Stayed => return,
            What::Directory { .. } => {}
        }
        // The directory that stayed was taken for the one that moved on.
        let tree = self.places.get(parent).tree;
        if self.trees[tree].lists() {
            return self.begin_sync(tree);
        }
        self.tell_found(parent, &doubt.name, Kind::Directory, state::REPORT);
        self.new_directory(parent, &doubt.name);
    }

    /// A directory that was taken to have stayed has not.
    fn was_not_there(&mut self, parent: PlaceId, doubt: &Doubt) {
        if doubt.what != What::Stayed {
            return;
        }
        if let Some(child) = self.places.child(parent, &doubt.name) {
            self.doom(child);
        }
        let place = self.places.get(parent);
        if self.trees[place.tree].mask.contains(Mask::DELETE) {
            let record = Record {
                wd: place.wd,
                mask: (Mask::DELETE | Mask::ISDIR).bits(),
                flags: EventFlags::SYNTHETIC.bits(),
                ..Record::NONE
            };
            self.deliver_in_place(parent, &doubt.name, record);
        }
    }

    /// The kernel's queue was empty: looks for a name in doubt.
    pub(crate) fn settle_doubt(&mut self) -> Sys<()> {
        /// A directory that is not where it should be is on its way, and its event too.
        const TRIES: u32 = 1000;
        let Some(mut doubt) = self.doubts.pop() else {
            return Ok(());
        };
        doubt.tries += 1;
        let tree = doubt.tree;
        let Some(root) = self
            .trees
            .get(tree)
            .filter(|tree| tree.id == doubt.id && !tree.ending)
            .map(|tree| tree.root)
        else {
            return Ok(());
        };
        let reachable =
            |parent: &PlaceId| self.places.get(*parent).wd != 0 && self.places.top(*parent) == root;
        let parent = self.places.resolve(doubt.parent).filter(reachable);
        let Some(parent) = parent.filter(|_| doubt.tries <= TRIES) else {
            // The parent is deleted, and with it whatever was there.
            return Ok(());
        };
        let wd = self.places.get(parent).wd;
        let there = self.look_for(parent, wd, &doubt.name);
        self.drain()?;
        let Some(there) = there.filter(|_| self.is_clean(parent)) else {
            self.doubts.push(doubt);
            return Ok(());
        };
        let structural = Mask::CREATE | Mask::DELETE | Mask::MOVE;
        let told = raw_events(self.backlog.pending()).any(|(_, event)| {
            event.wd == wd && event.name == doubt.name && event.mask & structural.bits() != 0
        });
        if told {
            // That event will settle it.
            self.doubts.push(doubt);
        } else if there {
            self.was_there(parent, &doubt);
        } else {
            self.was_not_there(parent, &doubt);
        }
        Ok(())
    }

    /// Whether a name is in a directory; None if the directory is not where it should be.
    fn look_for(&mut self, parent: PlaceId, wd: i32, name: &[u8]) -> Option<bool> {
        if self.is_still_at(parent, wd) != Ok(true) {
            return None;
        }
        let directory = self.open_anchor_of(parent).ok()?;
        let opened = Directory::open(Some(&directory), name, Access::Anchor, false);
        // What was seen before its event was queued is told of when this returns.
        let _ = directory.wait_for_renames();
        Some(!matches!(opened, Err(libc::ENOENT)))
    }

    /// A directory has left the tree, and whoever was there can't be looked for any more. That would be well, had not
    /// perhaps come something else from there than was thought.
    pub(crate) fn takes_doubts_away(&self, top: PlaceId) -> bool {
        let left = |doubt: &Doubt| {
            let parent = self.places.resolve(doubt.parent);
            matches!(doubt.what, What::Directory { .. })
                && parent.is_some_and(|at| self.places.top(at) == top)
        };
        self.trees[self.places.get(top).tree].lists() && self.doubts.iter().any(left)
    }

    pub(crate) fn forget_doubts_of(&mut self, tree: u32) {
        let doubts = std::mem::take(&mut self.doubts);
        self.doubts = doubts
            .into_iter()
            .filter(|doubt| doubt.tree != tree)
            .collect();
    }
}
