//! Listing directories: one at a time in slices if it is large, many at a time if they are not.

use super::backfill::{Backfill, Before};
use super::pending::Pending;
use super::reach::Watched;
use super::{Pace, Scans, Work};
use crate::debug::{Quoted, debug};
use crate::stream::Position;
use crate::sys::Sys;
use crate::sys::directory::Directory;
use crate::sys::dirent::{Chunk, Kind, entries};
use crate::tree::{Forest, Wanted, flags};
use crate::watches::{NO_PLACE, PlaceId};
use std::ops::Range;

/// A directory that is being listed, or that is listed and waits for its siblings. What is in it is
/// `Scans::listed[entries]`.
pub(super) struct Listing {
    wanted: Wanted,
    /// Of its tree, when the listing began.
    epoch: u32,
    wd: i32,
    /// From here on the kernel tells all that the tree asks for.
    since: Position,
    /// None once it is listed, if descriptors are short.
    directory: Option<Directory>,
    entries: Range<usize>,
    has_directories: bool,
    /// It was not opened, as it has no subdirectories, and nothing else is to be told of.
    is_leaf: bool,
}

impl Listing {
    pub(super) fn place(&self, forest: &Forest) -> Option<PlaceId> {
        forest.places().resolve(self.wanted.place)
    }
}

/// With more than this to list, one is enough.
pub(super) const LARGE: usize = 64 * 1024;

impl Scans {
    pub(super) fn begin_listing(
        &mut self,
        id: PlaceId,
        wanted: Wanted,
        watched: Watched,
        work: &mut Work<'_>,
    ) {
        if self.listings.is_empty() && self.backfills.is_empty() {
            self.listed.clear();
        }
        let start = self.listed.len();
        self.push_listing(id, wanted, watched, (start, false), work);
    }

    /// Notes a directory that is watched, and what was read of it from `start` on: whether there are subdirectories in it.
    fn push_listing(
        &mut self,
        id: PlaceId,
        wanted: Wanted,
        watched: Watched,
        (start, has_directories): (usize, bool),
        work: &mut Work<'_>,
    ) {
        work.forest.set_listing(id, true);
        self.listings.push_back(Listing {
            wanted,
            epoch: work.forest.tree_of(id).epoch(),
            wd: watched.wd,
            since: watched.since,
            is_leaf: watched.directory.is_none(),
            directory: watched.directory,
            entries: start..self.listed.len(),
            has_directories,
        });
    }

    /// Lists a directory, in slices if it is large. Small siblings are listed with it.
    pub(crate) fn list_on(&mut self, pace: &Pace, work: &mut Work<'_>) -> Sys<()> {
        while let Some(listing) = self.listings.back_mut() {
            let chunk = match &listing.directory {
                Some(directory) => directory.read(&mut self.listed),
                None if listing.is_leaf => Ok(Chunk::END),
                None => {
                    self.give_up_listing(work);
                    return Ok(());
                }
            };
            match chunk {
                Ok(chunk) if chunk.len > 0 => {
                    listing.entries.end = self.listed.len();
                    listing.has_directories |= chunk.has_directories;
                }
                // Deleted meanwhile: it was empty by then.
                Ok(_) | Err(libc::ENOENT) => {
                    self.list_siblings(work);
                    return self.finish_listings(work);
                }
                Err(errno) => {
                    self.listing_failed(errno, work);
                    return Ok(());
                }
            }
            if self.listed.len() > LARGE {
                // Keep the kernel's queue short meanwhile.
                work.stream.drain()?;
                if pace.is_over() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The newest listing comes to nothing.
    fn listing_failed(&mut self, errno: i32, work: &mut Work<'_>) {
        let Some(mut listing) = self.listings.pop_back() else {
            return;
        };
        // The one before it may be read on.
        self.listed.truncate(listing.entries.start);
        let Some(id) = self.drop_listing(&mut listing, work) else {
            return;
        };
        if listing.epoch != work.forest.tree_of(id).epoch() {
            work.forest.was_overtaken(id);
        } else if work.forest.place(id).is(flags::QUEUED) {
            self.scan_failed(id, errno, work);
        }
    }

    /// A listing comes to nothing. Its place, if there still is one.
    fn drop_listing(&self, listing: &mut Listing, work: &mut Work<'_>) -> Option<PlaceId> {
        // Its own watch tells of the closing, too, so that it is known whose it is.
        listing.directory = None;
        self.abandon(listing.wd, work);
        let id = listing.place(work.forest)?;
        work.forest.set_listing(id, false);
        Some(id)
    }

    /// Lists more of the same directory's subdirectories, so that the kernel's queue has to be read once for all of them.
    fn list_siblings(&mut self, work: &mut Work<'_>) {
        const AT_ONCE: usize = 32;
        let last = self.listings.back().and_then(|it| it.place(work.forest));
        let parent = last.map(|id| work.forest.place(id).parent());
        let Some(parent) = parent.filter(|&parent| parent != NO_PLACE) else {
            return;
        };
        while self.listings.len() < AT_ONCE
            && self.listed.len() <= LARGE
            && let Some((wanted, id)) = work.forest.next_sibling(parent)
        {
            if !self.list_at_once(id, wanted, work) {
                // The cause of the failure shows when this directory is scanned alone.
                return work.forest.want_again(wanted);
            }
        }
    }

    fn list_at_once(&mut self, id: PlaceId, wanted: Wanted, work: &mut Work<'_>) -> bool {
        let Ok(watched) = self.watch_and_open(id, work) else {
            return false;
        };
        let start = self.listed.len();
        let directory = watched.directory.as_ref();
        let Some(has_directories) = directory.map_or(Some(false), |it| self.read_small(it)) else {
            self.listed.truncate(start);
            self.abandon(watched.wd, work);
            return false;
        };
        self.push_listing(id, wanted, watched, (start, has_directories), work);
        true
    }

    /// Reads all of a small directory: whether there are subdirectories in it.
    fn read_small(&mut self, directory: &Directory) -> Option<bool> {
        let start = self.listed.len();
        let mut has_directories = false;
        while self.listed.len() - start <= LARGE {
            match directory.read(&mut self.listed) {
                Ok(chunk) if chunk.len > 0 => has_directories |= chunk.has_directories,
                Ok(_) | Err(libc::ENOENT) => return Some(has_directories),
                Err(_) => break,
            }
        }
        None
    }

    /// Closes directories that are listed.
    pub(super) fn close_listed(&mut self) {
        for listing in &mut self.listings {
            listing.directory = None;
        }
    }

    /// Lets go of the directories that are being listed; their scans will begin again.
    pub(crate) fn give_up_listing(&mut self, work: &mut Work<'_>) {
        for mut listing in std::mem::take(&mut self.listings) {
            self.drop_listing(&mut listing, work);
            work.forest.want_again(listing.wanted);
        }
    }

    /// Whether a scan has put a watch on a directory that no place holds yet.
    pub(crate) fn is_being_listed(&self, wd: i32) -> bool {
        self.listings.iter().any(|listing| listing.wd == wd)
    }

    fn finish_listings(&mut self, work: &mut Work<'_>) -> Sys<()> {
        if work.watches.hears_reading() {
            self.close_listed();
        }
        let waited = self.wait_for_parent();
        work.stream.drain()?;
        if let Err(errno) = waited {
            while !self.listings.is_empty() {
                self.listing_failed(errno, work);
            }
            return Ok(());
        }
        let mut results: Vec<Option<Before>> = Vec::new();
        let pending = match work.stream.is_decoded() {
            true => None,
            false => Some(Pending::of(work.stream)?),
        };
        let pending = pending.as_ref();
        for listing in &self.listings {
            let allows = |id: PlaceId| {
                pending.is_none_or(|it| {
                    it.allows_scan(id, listing.wd, work.forest)
                        && !(listing.is_leaf && it.tells_of_entries(listing.wd))
                })
            };
            let allowed = listing.place(work.forest).is_some_and(allows);
            let (wd, listed) = (listing.wd, &self.listed[listing.entries.clone()]);
            if allowed && !listing.is_leaf {
                let is_pending = |name: &[u8]| pending.is_some_and(|it| it.tells_of(wd, name));
                let named = |name: &[u8]| entries(listed).find(|it| it.name().to_bytes() == name);
                let is_directory = |name: &[u8]| Some(named(name)?.kind == Kind::Directory);
                work.forest.check_arrivals(wd, is_pending, is_directory);
            }
            let before = || Before::of((wd, listing.since), listed, pending, work);
            results.push(allowed.then(before).transpose()?);
        }
        let mut void = false;
        for before in results {
            let Some(listing) = self.listings.pop_front() else {
                break;
            };
            let (wanted, wd) = (listing.wanted, listing.wd);
            match self.finish_listing(listing, before, void, work) {
                Ok(rearranged) => void |= rearranged,
                Err(errno) => {
                    self.abandon(wd, work);
                    work.forest.want_again(wanted);
                    return Err(errno);
                }
            }
        }
        let backfills = self.backfills.make_contiguous();
        backfills.sort_by_key(Backfill::position);
        Ok(())
    }

    /// Prints what is in a directory.
    #[cold]
    fn show_listing(&self, id: PlaceId, listing: &Listing, void: bool, work: &Work<'_>) {
        let (wd, path) = (listing.wd, Quoted(work.forest.path_of(id)));
        let void = if void { ", changed meanwhile" } else { "" };
        if listing.is_leaf {
            return debug!(
                work.stream.log(),
                "scan {path} wd {wd}: no subdirectories{void}"
            );
        }
        let count = entries(&self.listed[listing.entries.clone()]).count();
        let plural = if count == 1 { "entry" } else { "entries" };
        debug!(
            work.stream.log(),
            "scan {path} wd {wd}: {count} {plural}{void}"
        );
    }

    /// Whether places were rearranged, so that what else was listed with this one may be out of date. `before` is None where
    /// the directory has changed meanwhile.
    fn finish_listing(
        &mut self,
        listing: Listing,
        before: Option<Before>,
        void: bool,
        work: &mut Work<'_>,
    ) -> Sys<bool> {
        let place = listing.place(work.forest);
        let wd = listing.wd;
        if let Some(id) = place {
            work.forest.set_listing(id, false);
            if work.stream.log().is_on() {
                self.show_listing(id, &listing, void || before.is_none(), work);
            }
        }
        let Some(id) = place.filter(|&id| work.forest.place(id).is(flags::QUEUED)) else {
            self.abandon(wd, work);
            return Ok(false);
        };
        if listing.epoch != work.forest.tree_of(id).epoch() {
            self.abandon(wd, work);
            work.forest.was_overtaken(id);
            return Ok(false);
        }
        if void {
            self.abandon(wd, work);
            work.forest.want_again(listing.wanted);
            return Ok(false);
        }
        let Some(before) = before else {
            self.abandon(wd, work);
            let (forest, mut fx) = work.trees();
            forest.want_later(listing.wanted, &mut fx);
            return Ok(false);
        };
        let Some(identified) = self.identify(id, wd, work)? else {
            work.forest.was_overtaken(id);
            return Ok(true);
        };
        let id = identified.place;
        work.forest.was_listed(id, listing.is_leaf);
        if identified.is_news {
            if let Some(directory) = listing.directory.filter(|_| listing.has_directories) {
                self.keep_open(id, directory, work);
            }
            let backfill = Backfill::new(id, listing.entries, before, work.forest);
            self.backfills.push_back(backfill);
        } else {
            let (forest, mut fx) = work.trees();
            forest.was_told(id, &mut fx);
        }
        Ok(identified.rearranged)
    }
}
