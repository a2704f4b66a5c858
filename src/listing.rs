//! Listing directories: one at a time in slices if it is large, many at a time if they are not.

use crate::backlog::raw_events;
use crate::identify::Identified;
use crate::mask::Mask;
use crate::places::{NONE, PlaceId, PlaceRef, state};
use crate::state::{Pace, State};
use crate::sys::Sys;
use crate::sys::directory::Directory;
use std::ops::Range;

/// A directory that is being listed, or that is listed and waits for its siblings. What is in it is `State::listed[entries]`.
pub(crate) struct Listing {
    place: PlaceRef,
    pub(crate) tree: u32,
    pub(crate) wd: i32,
    /// None once it is listed, if descriptors are short.
    pub(crate) directory: Option<Directory>,
    entries: Range<usize>,
    has_directories: bool,
}

/// With more than this to list, one is enough.
pub(crate) const LARGE: usize = 64 * 1024;

impl State {
    pub(crate) fn begin_listing(
        &mut self,
        place: PlaceRef,
        tree: u32,
        directory: Directory,
        wd: i32,
    ) {
        let at = self.listed.len();
        if let Some(id) = self.places.resolve(place) {
            self.places.get_mut(id).set(state::LISTING);
        }
        self.listings.push_back(Listing {
            place,
            tree,
            wd,
            directory: Some(directory),
            entries: at..at,
            has_directories: false,
        });
    }

    /// Lists a directory, in slices if it is large, and siblings with it if they are not.
    pub(crate) fn list_on(&mut self, pace: &Pace) -> Sys<()> {
        while let Some(listing) = self.listings.back_mut() {
            let Some(directory) = &listing.directory else {
                self.give_up_listing();
                return Ok(());
            };
            match directory.read(&mut self.listed) {
                Ok(chunk) if chunk.len > 0 => {
                    listing.entries.end = self.listed.len();
                    listing.has_directories |= chunk.has_directories;
                }
                // Deleted meanwhile: it was empty by then.
                Ok(_) | Err(libc::ENOENT) => {
                    self.list_siblings();
                    return self.finish_listings();
                }
                Err(errno) => {
                    let (place, wd) = (listing.place, listing.wd);
                    self.listings.pop_back();
                    self.abandon(wd);
                    if let Some(id) = self.places.resolve(place) {
                        self.places.get_mut(id).unset(state::LISTING);
                        self.scan_failed(id, errno);
                    }
                    return Ok(());
                }
            }
            if self.listed.len() > LARGE {
                // Keep the kernel's queue short meanwhile.
                self.drain()?;
                if pace.is_over() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Lists more of the same directory's subdirectories, so that the kernel's queue has to be read once for all of them.
    fn list_siblings(&mut self) {
        const AT_ONCE: usize = 32;
        let Some(parent) = self
            .listings
            .back()
            .and_then(|listing| self.places.resolve(listing.place))
            .map(|id| self.places.get(id).parent)
            .filter(|&parent| parent != NONE)
        else {
            return;
        };
        while self.listings.len() < AT_ONCE
            && self.listed.len() <= LARGE
            && let Some((reference, id)) = self.next_sibling(parent)
        {
            let tree = self.places.get(id).tree;
            if !self.list_at_once(reference, tree, id) {
                // Whatever is the matter, it will be seen to in its own turn.
                return self.scans.push(reference);
            }
        }
    }

    /// The next scan, if it is one of a subdirectory of `parent` of which nothing is known yet.
    fn next_sibling(&mut self, parent: PlaceId) -> Option<(PlaceRef, PlaceId)> {
        let &reference = self.scans.last()?;
        let id = self.places.resolve(reference)?;
        if self.places.get(id).parent != parent || !self.can_join(id) {
            return None;
        }
        self.scans.pop();
        Some((reference, id))
    }

    /// Whether a directory may be listed together with others: nothing is known of it yet.
    fn can_join(&self, id: PlaceId) -> bool {
        let place = self.places.get(id);
        let is_new = place.wd == 0 && place.is(state::QUEUED) && !place.is(state::LISTING);
        is_new && !self.must_ask(id)
    }

    fn list_at_once(&mut self, reference: PlaceRef, tree: u32, id: PlaceId) -> bool {
        let Ok((directory, wd)) = self.open_and_watch(id) else {
            return false;
        };
        let start = self.listed.len();
        let mut has_directories = false;
        while self.listed.len() - start <= LARGE {
            match directory.read(&mut self.listed) {
                Ok(chunk) if chunk.len > 0 => has_directories |= chunk.has_directories,
                Ok(_) | Err(libc::ENOENT) => {
                    let entries = start..self.listed.len();
                    self.begin_listing(reference, tree, directory, wd);
                    if let Some(listing) = self.listings.back_mut() {
                        listing.entries = entries;
                        listing.has_directories = has_directories;
                    }
                    return true;
                }
                Err(_) => break,
            }
        }
        self.listed.truncate(start);
        self.abandon(wd);
        false
    }

    /// Lets go of the directory that is being listed; its scan will begin again.
    pub(crate) fn give_up_listing(&mut self) {
        for place in self.drop_listings() {
            self.scans.push(place);
        }
    }

    /// Forgets all that is being listed. The places whose it was.
    pub(crate) fn drop_listings(&mut self) -> Vec<PlaceRef> {
        let dropped = std::mem::take(&mut self.listings);
        for listing in &dropped {
            self.abandon(listing.wd);
            if let Some(id) = self.places.resolve(listing.place) {
                self.places.get_mut(id).unset(state::LISTING);
            }
        }
        dropped.into_iter().map(|listing| listing.place).collect()
    }

    /// Whether a scan has put a watch on a directory that no place holds yet.
    pub(crate) fn is_being_listed(&self, wd: i32) -> bool {
        self.listings.iter().any(|listing| listing.wd == wd)
    }

    fn finish_listings(&mut self) -> Sys<()> {
        self.drain()?;
        let mut void = false;
        while let Some(listing) = self.listings.pop_front() {
            let place = listing.place;
            match self.finish_listing(listing, void) {
                Ok(rearranged) => void |= rearranged,
                Err(errno) => {
                    self.scans.push(place);
                    return Err(errno);
                }
            }
        }
        let emissions = self.emissions.make_contiguous();
        emissions.sort_by_key(|emission| emission.position);
        Ok(())
    }

    /// Whether places were rearranged, so that what else was listed with this one may be out of date.
    fn finish_listing(&mut self, listing: Listing, void: bool) -> Sys<bool> {
        let Listing {
            place: reference,
            wd,
            directory,
            entries,
            has_directories,
            ..
        } = listing;
        let place = self.places.resolve(reference);
        if let Some(id) = place {
            self.places.get_mut(id).unset(state::LISTING);
        }
        let Some(id) = place.filter(|&id| self.places.get(id).is(state::QUEUED)) else {
            self.abandon(wd);
            return Ok(false);
        };
        if void || !self.is_clean(id) {
            self.abandon(wd);
            self.scans.push(reference);
            return Ok(false);
        }
        let Some(identified) = self.identify(id, wd)? else {
            return Ok(true);
        };
        let Identified { place: id, .. } = identified;
        let tree = self.places.get(id).tree;
        self.places.get_mut(id).epoch = self.trees[tree].epoch;
        if identified.is_news {
            if let Some(directory) = directory.filter(|_| has_directories) {
                self.keep_open(id, directory);
            }
            let emission = self.found_before_watch(id, entries);
            self.emissions.push_back(emission);
        } else {
            self.unqueue(id);
        }
        Ok(identified.rearranged)
    }

    /// Subdirectories are scanned next, and opened from here.
    fn keep_open(&mut self, id: PlaceId, directory: Directory) {
        /// More are opened from the root.
        const OPEN: usize = 64;
        let reference = self.places.reference(id);
        let tree = self.places.get(id).tree;
        if let Some(anchor) = self
            .anchor
            .as_mut()
            .filter(|anchor| anchor.tree == tree && anchor.open.len() < OPEN)
        {
            anchor.open.push((reference, directory));
        }
    }

    /// Removes a kernel watch. A directory that is being listed begins again: what it was listed with is void.
    pub(crate) fn rm_from_kernel(&mut self, wd: i32) -> Sys<()> {
        if self.is_being_listed(wd) {
            self.give_up_listing();
        }
        self.inotify.rm(wd)
    }

    /// Removes a watch that was added for a scan that came to nothing, unless others hold it.
    pub(crate) fn abandon(&mut self, wd: i32) {
        if !self.by_wd.contains_key(&wd) && !self.is_being_listed(wd) {
            let _ = self.inotify.rm(wd);
        }
    }

    /// Whether nothing that is queued moves or removes a place or one above it.
    pub(crate) fn is_clean(&self, id: PlaceId) -> bool {
        let structural = (Mask::MOVE | Mask::CREATE | Mask::DELETE).bits();
        raw_events(self.backlog.pending()).all(|(_, event)| {
            if event.mask & Mask::Q_OVERFLOW.bits() != 0 {
                return false;
            }
            if event.mask & Mask::ISDIR.bits() == 0 || event.mask & structural == 0 {
                return true;
            }
            let touched = |&at: &PlaceId| {
                let place = self.places.get(at);
                place.parent != NONE
                    && self.places.get(place.parent).wd == event.wd
                    && place.name() == event.name
            };
            !std::iter::once(id)
                .chain(self.places.above(id))
                .any(|at| touched(&at))
        })
    }
}
