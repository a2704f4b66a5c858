//! Scans: putting a watch on a directory and telling what was in it before.
//!
//! Watch first, list second, read the kernel's queue third. What was there when the watch began follows from the three:
//! a name that no queued event tells of is there exactly if it was listed; one whose first event is its going was there;
//! one whose first event is its coming was not. It is told at the position in the stream at which it was true: before
//! the directory's first own event. So nothing is told twice, nothing is missed, and no path is wrong.
//!
//! A scan begins when all that was read is decoded. If the queue then turns out to hold a rename or a deletion of the
//! directory, or of one above it, the path may have led elsewhere: the scan is void, and begins again when that event
//! has been followed.

use crate::backlog::raw_events;
use crate::batch::Record;
use crate::mask::{EventFlags, Mask, RecursiveFlags};
use crate::places::{NONE, PlaceId, PlaceRef, state};
use crate::state::{Pace, State};
use crate::sys::Sys;
use crate::sys::directory::{Access, Directory, Kind, entries};
use crate::tree::Filter;
use crate::watch::{Held, Holder};
use crate::watch_id::WatchId;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ops::Range;

/// A tree's root, open for the length of a slice: below it, paths are right whatever happens above.
pub(crate) struct Anchor {
    tree: u32,
    root: Directory,
    /// Directories just listed whose subdirectories come next, those of the last first.
    open: Vec<(PlaceRef, Directory)>,
    /// Watches were added by full path, which is right only if the root still has that path at the end.
    by_path: bool,
    /// The full path of the directory scanned last, and which part of it is whose: most often the next one has the same parent.
    path: Vec<u8>,
    parent: Option<PathOf>,
}

struct PathOf {
    place: PlaceId,
    version: u64,
    len: usize,
}

/// A directory that is being listed, or that is listed and waits for its siblings. What is in it is `State::listed[entries]`.
pub(crate) struct Listing {
    place: PlaceRef,
    tree: u32,
    wd: i32,
    directory: Directory,
    entries: Range<usize>,
}

/// With more than this to list, one is enough.
const LARGE: usize = 64 * 1024;

/// What a listed directory turned out to be.
struct Identified {
    /// The place that has it now, which is another where the directory was known under another name.
    place: PlaceId,
    /// Whether what was listed is news.
    is_news: bool,
    /// Whether other places have changed.
    rearranged: bool,
}

impl Identified {
    fn new(place: PlaceId) -> Identified {
        Identified {
            place,
            is_news: true,
            rearranged: false,
        }
    }

    fn rearranged(place: PlaceId) -> Identified {
        Identified {
            rearranged: true,
            ..Identified::new(place)
        }
    }
}

/// What was found in a directory, on its way out.
pub(crate) struct Emission {
    pub(crate) position: u64,
    place: PlaceRef,
    tree: u32,
    /// What is still to be told of `State::listed`.
    entries: Range<usize>,
    /// No subdirectory was known before.
    fresh: bool,
    /// Perhaps listed, but they came after the watch: the kernel tells of them. Sorted.
    skip: Vec<Vec<u8>>,
    /// Not listed, or not as what they were, but they went after the watch: they were there.
    extra: Vec<(CString, Kind)>,
}

/// A filter to ask, with no lock held.
pub(crate) struct Question {
    tree: u32,
    id: WatchId,
    place: PlaceRef,
    path: CString,
    filter: Filter,
}

pub(crate) struct Answer {
    question: Question,
    yes: bool,
}

impl Question {
    pub(crate) fn ask(mut self) -> Answer {
        let yes = (self.filter)(&self.path);
        Answer {
            question: self,
            yes,
        }
    }
}

impl State {
    pub(crate) fn queue_scan(&mut self, id: PlaceId, how: u16) {
        let reference = self.places.reference(id);
        let place = self.places.get_mut(id);
        let queued = place.is(state::QUEUED);
        if !queued || how & (state::REPORT | state::LISTED) != 0 {
            // A scan that is to tell what it finds is not made a silent one.
            place.unset(state::REPORT | state::LISTED);
            place.set(how);
        }
        if !queued {
            place.set(state::QUEUED);
            let tree = place.tree;
            self.trees[tree].pending += 1;
            self.scans.push(reference);
        }
    }

    /// Looks on the disk whether a place is what it is taken for.
    pub(crate) fn verify(&mut self, id: PlaceId) {
        if self.places.get(id).wd != 0 && !self.places.get(id).is(state::QUEUED) {
            self.queue_scan(id, state::VERIFY);
        }
    }

    pub(crate) fn unqueue(&mut self, id: PlaceId) {
        let place = self.places.get_mut(id);
        if !place.is(state::QUEUED) {
            return;
        }
        place.unset(state::QUEUED | state::VERIFY);
        let tree = place.tree;
        self.trees[tree].pending -= 1;
        if self.trees[tree].pending == 0 && self.trees[tree].syncing {
            self.finished.push(tree);
        }
    }

    /// Forgets all scans of a tree that are queued or under way, and half-seen renames with them.
    pub(crate) fn drop_scans_of(&mut self, tree: u32) {
        let mut dropped = Vec::new();
        let mut scans = std::mem::take(&mut self.scans);
        scans.retain(|&scan| {
            self.places
                .resolve(scan)
                .is_some_and(|id| self.places.get(id).tree != tree)
        });
        self.scans = scans;
        if self.listings.iter().any(|listing| listing.tree == tree) {
            for listing in std::mem::take(&mut self.listings) {
                self.abandon(listing.wd);
            }
        }
        self.emissions.retain(|emission| emission.tree != tree);
        let queued = self
            .places
            .all()
            .filter(|(_, place)| place.tree == tree && place.is(state::QUEUED));
        dropped.extend(queued.map(|(id, _)| id));
        for id in dropped {
            self.places.get_mut(id).unset(state::QUEUED | state::VERIFY);
        }
        self.trees[tree].pending = 0;
        self.forget_doubts_of(tree);
        self.finished.retain(|&finished| finished != tree);
        let in_limbo: Vec<_> = self.limbo.iter().map(|limbo| limbo.place).collect();
        for place in in_limbo {
            if self.places.get(place).tree == tree {
                self.drop_limbo(place);
            }
        }
    }

    /// Starts on the next directory, or has its filter asked first.
    pub(crate) fn scan_next(&mut self, pace: &Pace) -> Sys<Option<Question>> {
        let Some(reference) = self.next_scan() else {
            return Ok(None);
        };
        let Some(id) = self
            .places
            .resolve(reference)
            .filter(|&id| self.places.get(id).is(state::QUEUED))
        else {
            return Ok(None);
        };
        let index = self.places.get(id).tree;
        let top = self.places.top(id);
        if self.places.get(top).is(state::LIMBO) {
            self.hold_scan(top, reference);
            return Ok(None);
        }
        if top != self.trees[index].root || self.trees[index].ending {
            self.unqueue(id);
            return Ok(None);
        }
        if self.must_ask(id)
            && let Some(filter) = self.trees[index].filter.take()
        {
            self.scans.push(reference);
            let path = CString::new(self.path_of(id)).unwrap_or_default();
            let id = self.trees[index].id;
            return Ok(Some(Question {
                tree: index,
                id,
                place: reference,
                path,
                filter,
            }));
        }
        if let Err(errno) = self.reach(index) {
            self.drain()?;
            if self.backlog.is_empty() {
                self.lose_tree(index, errno);
            } else {
                // The end of the root may be among it.
                self.scans.push(reference);
            }
            return Ok(None);
        }
        if self.trees[index].lost {
            // It is there again; what was to be scanned meanwhile was given up.
            self.begin_sync(index);
            return Ok(None);
        }
        match self.open_and_watch(id) {
            Ok((directory, wd)) => {
                self.listed.clear();
                self.begin_listing(reference, index, directory, wd);
                self.list_on(pace)?;
            }
            Err(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ESTALE) => {
                self.confirm_gone(id)?
            }
            Err(errno) => self.scan_failed(id, errno),
        }
        Ok(None)
    }

    /// The newest scan first: what has just come to be is watched soonest. Those whose filter is being asked wait.
    fn next_scan(&mut self) -> Option<PlaceRef> {
        let index = self.scans.iter().rposition(|scan| self.can_begin(scan))?;
        Some(self.scans.remove(index))
    }

    pub(crate) fn has_scans(&self) -> bool {
        self.scans.iter().rev().any(|scan| self.can_begin(scan))
    }

    /// Whether a scan does not wait for a filter that another thread is asking.
    fn can_begin(&self, scan: &PlaceRef) -> bool {
        self.places
            .resolve(*scan)
            .is_none_or(|id| !self.must_ask(id) || !self.is_asking(self.places.get(id).tree))
    }

    /// Whether a tree's filter is out to be asked.
    pub(crate) fn is_asking(&self, index: u32) -> bool {
        self.trees
            .get(index)
            .is_some_and(|tree| tree.has_filter && tree.filter.is_none())
    }

    fn must_ask(&self, id: PlaceId) -> bool {
        let place = self.places.get(id);
        self.trees
            .get(place.tree)
            .is_some_and(|tree| tree.has_filter && tree.root != id)
            && !place.is(state::ASKED)
    }

    /// What a filter said; it comes back to its tree.
    pub(crate) fn answer(&mut self, answer: Answer) {
        let Answer { question, yes } = answer;
        let Some(tree) = self
            .trees
            .get_mut(question.tree)
            .filter(|tree| tree.id == question.id)
        else {
            self.garbage.push(question.filter);
            return;
        };
        tree.filter = Some(question.filter);
        let Some(id) = self.places.resolve(question.place) else {
            return;
        };
        if yes {
            self.places.get_mut(id).set(state::ASKED);
        } else if !self.places.get(id).is(state::DOOMED) {
            self.doom(id);
        }
    }

    /// Opens the root of a tree, unless it is open.
    fn reach(&mut self, index: u32) -> Sys<()> {
        if self
            .anchor
            .as_ref()
            .is_some_and(|anchor| anchor.tree == index)
        {
            return Ok(());
        }
        self.leave_anchor();
        let root = self.open_root(index)?;
        self.anchor = Some(Anchor {
            tree: index,
            root,
            open: Vec::new(),
            by_path: false,
            path: Vec::new(),
            parent: None,
        });
        Ok(())
    }

    fn open_root(&self, index: u32) -> Sys<Directory> {
        let tree = &self.trees[index];
        let root = Directory::open(None, &tree.absolute, Access::Anchor, true)?;
        if root.identity()? == tree.identity {
            Ok(root)
        } else {
            Err(libc::ENOENT)
        }
    }

    /// Closes the root: an open directory can't tell of its end. If its path has changed meanwhile, watches added by that
    /// path may be on anything.
    pub(crate) fn leave_anchor(&mut self) {
        let Some(anchor) = self.anchor.take() else {
            return;
        };
        let tree = anchor.tree;
        drop((anchor.root, anchor.open));
        if anchor.by_path
            && self.trees.get(tree).is_some_and(|tree| !tree.ending)
            && self.open_root(tree).is_err()
            && self.root_is_alive(tree)
        {
            self.begin_sync(tree);
        }
    }

    /// Whether the kernel still watches a tree's root, as far as it has told.
    fn root_is_alive(&mut self, index: u32) -> bool {
        let wd = self.trees[index].root_wd;
        let ended = Mask::IGNORED.bits() | Mask::DELETE_SELF.bits();
        self.drain().is_ok()
            && !raw_events(self.backlog.pending()).any(|(_, e)| e.wd == wd && e.mask & ended != 0)
    }

    /// A directory of a tree as an anchor, if it is where it should be.
    pub(crate) fn open_anchor_of(&mut self, id: PlaceId) -> Option<Directory> {
        let index = self.places.get(id).tree;
        if self.places.top(id) != self.trees[index].root || self.reach(index).is_err() {
            return None;
        }
        let mut path = Vec::new();
        self.places.append_path(id, &mut path);
        let root = &self.anchor.as_ref()?.root;
        Directory::open(
            Some(root),
            path.strip_prefix(b"/").unwrap_or(&path),
            Access::Anchor,
            false,
        )
        .ok()
    }

    /// The full path of a place, as it is told.
    pub(crate) fn path_of(&self, id: PlaceId) -> Vec<u8> {
        let mut path = self.trees[self.places.get(id).tree].path.clone();
        if self.places.get(id).parent != NONE && path.last() == Some(&b'/') {
            path.pop();
        }
        self.places.append_path(id, &mut path);
        path
    }

    fn open_and_watch(&mut self, id: PlaceId) -> Sys<(Directory, i32)> {
        let Some(mut anchor) = self.anchor.take() else {
            return Err(libc::ENOENT);
        };
        let mut opened = self.open_and_watch_from(&mut anchor, id);
        if let Err(libc::EMFILE | libc::ENFILE) = opened
            && !anchor.open.is_empty()
        {
            anchor.open.clear();
            opened = self.open_and_watch_from(&mut anchor, id);
        }
        self.anchor = Some(anchor);
        opened
    }

    fn open_and_watch_from(&mut self, anchor: &mut Anchor, id: PlaceId) -> Sys<(Directory, i32)> {
        self.put_path_together(anchor, id);
        let tree = &self.trees[self.places.get(id).tree];
        let is_root = tree.root == id;
        let path = &anchor.path;
        let (name, parent) = (self.places.get(id).name(), self.places.get(id).parent);
        while let Some((open, _)) = anchor.open.last()
            && self.places.resolve(*open) != Some(parent)
        {
            anchor.open.pop();
        }
        let directory = match anchor.open.last() {
            Some((_, above)) => {
                let name = CStr::from_bytes_with_nul(&path[path.len() - 1 - name.len()..]);
                above.open_child(name.map_err(|_| libc::EINVAL)?)?
            }
            None => {
                let from = tree.absolute_stem().len() + 1;
                let below = path.get(from..path.len() - 1).unwrap_or(b"");
                Directory::open(Some(&anchor.root), below, Access::List, false)?
            }
        };
        if tree.flags.contains(RecursiveFlags::ONE_FILESYSTEM)
            && directory.identity()?.dev != tree.identity.dev
        {
            return Err(libc::EXDEV);
        }
        let mask = tree.kernel_mask(is_root);
        let short = path.len() < libc::PATH_MAX as usize && path.len() > 1;
        let mut wd = match CStr::from_bytes_with_nul(path) {
            Ok(path) if short => {
                anchor.by_path = true;
                self.inotify.add(path, mask)?
            }
            _ => directory.watch(&self.inotify, mask)?,
        };
        if let Some(exact) = self.mask_without_oneshot(wd, mask) {
            wd = directory.watch(&self.inotify, exact)?;
        }
        Ok((directory, wd))
    }

    /// The full path of a place, with a NUL at its end.
    fn put_path_together(&self, anchor: &mut Anchor, id: PlaceId) {
        let place = self.places.get(id);
        let version = self.places.version;
        let path = &mut anchor.path;
        match &anchor.parent {
            Some(of) if of.place == place.parent && of.version == version => path.truncate(of.len),
            _ => {
                path.clear();
                path.extend_from_slice(self.trees[place.tree].absolute_stem());
                if place.parent != NONE {
                    self.places.append_path(place.parent, path);
                }
                anchor.parent = Some(PathOf {
                    place: place.parent,
                    version,
                    len: path.len(),
                });
            }
        }
        if place.parent != NONE {
            path.push(b'/');
            path.extend_from_slice(place.name());
        }
        path.push(0);
    }

    /// A directory could not be reached. Either it is gone, or it, or one above it, is being renamed and the event is not
    /// queued yet.
    fn confirm_gone(&mut self, id: PlaceId) -> Sys<()> {
        self.drain()?;
        if self.backlog.is_empty() {
            let above: Vec<PlaceId> = self.places.above(id).collect();
            for place in above.into_iter().rev() {
                match self.open_anchor_of(place) {
                    Some(directory) => directory.wait_for_renames(),
                    None => break,
                }
            }
            self.drain()?;
        }
        if !self.backlog.is_empty() {
            self.scans.push(self.places.reference(id));
        } else if self.trees[self.places.get(id).tree].root == id {
            self.lose_tree(self.places.get(id).tree, libc::ENOENT);
        } else {
            self.doom(id);
        }
        Ok(())
    }

    fn scan_failed(&mut self, id: PlaceId, errno: i32) {
        let index = self.places.get(id).tree;
        let tree = &mut self.trees[index];
        let limit = matches!(
            errno,
            libc::ENOSPC | libc::EMFILE | libc::ENFILE | libc::ENOMEM
        );
        if limit && tree.setting_up {
            tree.failure = Some(errno);
        } else if errno == libc::EXDEV {
            self.doom(id);
        } else if tree.root == id {
            self.lose_tree(index, errno);
        } else {
            self.tell_error(id, errno);
            self.doom(id);
        }
    }

    fn begin_listing(&mut self, place: PlaceRef, tree: u32, directory: Directory, wd: i32) {
        let at = self.listed.len();
        self.listings.push_back(Listing {
            place,
            tree,
            wd,
            directory,
            entries: at..at,
        });
    }

    /// Lists a directory, in slices if it is large, and siblings with it if they are not.
    pub(crate) fn list_on(&mut self, pace: &Pace) -> Sys<()> {
        while let Some(listing) = self.listings.back_mut() {
            match listing.directory.read(&mut self.listed) {
                // Deleted meanwhile: it was empty by then.
                Ok(0) | Err(libc::ENOENT) => {
                    self.list_siblings();
                    return self.finish_listings();
                }
                Ok(_) => listing.entries.end = self.listed.len(),
                Err(errno) => {
                    let (place, wd) = (listing.place, listing.wd);
                    self.listings.pop_back();
                    self.abandon(wd);
                    if let Some(id) = self.places.resolve(place) {
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
        let place = self.places.get(id);
        let is_new = place.parent == parent && place.wd == 0 && place.is(state::QUEUED);
        let listed = |listing: &Listing| listing.place == reference;
        if !is_new || self.must_ask(id) || self.listings.iter().any(listed) {
            return None;
        }
        self.scans.pop();
        Some((reference, id))
    }

    fn list_at_once(&mut self, reference: PlaceRef, tree: u32, id: PlaceId) -> bool {
        let Ok((directory, wd)) = self.open_and_watch(id) else {
            return false;
        };
        let start = self.listed.len();
        while self.listed.len() - start <= LARGE {
            match directory.read(&mut self.listed) {
                Ok(0) | Err(libc::ENOENT) => {
                    let entries = start..self.listed.len();
                    self.begin_listing(reference, tree, directory, wd);
                    if let Some(listing) = self.listings.back_mut() {
                        listing.entries = entries;
                    }
                    return true;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        self.listed.truncate(start);
        self.abandon(wd);
        false
    }

    /// Lets go of the directory that is being listed; its scan will begin again.
    pub(crate) fn give_up_listing(&mut self) {
        for listing in std::mem::take(&mut self.listings) {
            self.abandon(listing.wd);
            self.scans.push(listing.place);
        }
    }

    /// Whether a scan has put a watch on a directory that no place holds yet.
    pub(crate) fn is_being_listed(&self, wd: i32) -> bool {
        self.listings.iter().any(|listing| listing.wd == wd)
    }

    fn finish_listings(&mut self) -> Sys<()> {
        self.drain()?;
        let mut void = false;
        while let Some(listing) = self.listings.pop_front() {
            void |= self.finish_listing(listing, void)?;
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
            ..
        } = listing;
        let Some(id) = self
            .places
            .resolve(reference)
            .filter(|&id| self.places.get(id).is(state::QUEUED))
        else {
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
            self.keep_open(id, directory, entries.clone());
            let emission = self.found_before_watch(id, entries);
            self.emissions.push_back(emission);
        } else {
            self.unqueue(id);
        }
        Ok(identified.rearranged)
    }

    /// Subdirectories are scanned next, and opened from here.
    fn keep_open(&mut self, id: PlaceId, directory: Directory, listed: Range<usize>) {
        /// More are opened from the root.
        const OPEN: usize = 64;
        /// Where so many entries are, a subdirectory may be among them.
        const MANY: usize = 64;
        let mut first = entries(&self.listed[listed]).take(MANY).enumerate();
        if !first.any(|(at, entry)| entry.kind == Kind::Directory || at + 1 == MANY) {
            return;
        }
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

    /// Removes a watch that was added for a scan that came to nothing, unless others hold it.
    fn abandon(&mut self, wd: i32) {
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

    /// Makes the directory with this descriptor that of the place.
    fn identify(&mut self, id: PlaceId, wd: i32) -> Sys<Option<Identified>> {
        let place = self.places.get(id);
        let tree = place.tree;
        if place.wd == wd {
            let verified = place.is(state::VERIFY) && place.epoch == self.trees[tree].epoch;
            self.places.get_mut(id).unset(state::VERIFY);
            return Ok(Some(Identified {
                is_news: !verified,
                ..Identified::new(id)
            }));
        }
        if place.is(state::VERIFY) {
            // Not what it was taken for.
            self.abandon(wd);
            self.begin_sync(tree);
            return Ok(None);
        }
        let mut identified = Identified::new(id);
        if place.wd != 0 {
            identified = Identified::rearranged(self.split_off(id));
        }
        let others: Vec<PlaceId> = self
            .places_of(wd)
            .filter(|&other| self.places.get(other).tree == tree)
            .collect();
        for other in others {
            let top = self.places.top(other);
            let doomed = self.places.get(top).is(state::DOOMED);
            if !doomed && self.places.get(other).epoch != self.trees[tree].epoch {
                // Not found again yet since the queue overflowed: here it is, with all below as little known as itself.
                let place = self.take_over(identified.place, other);
                return Ok(Some(Identified::rearranged(place)));
            }
            let uncertain = if doomed {
                false
            } else if self.places.get(top).is(state::LIMBO) {
                self.takes_doubts_away(top)
            } else if self.is_still_at(other, wd) {
                // One directory at two places of the tree: a bind mount.
                continue;
            } else {
                // With no event that takes it away, something else has its name, and was taken for it.
                self.drain()?;
                self.is_clean(other)
            };
            if uncertain {
                self.begin_sync(tree);
                return Ok(None);
            }
            // It left and came back unseen, so it is new here, and so is what it contains. The kernel's watch is kept.
            if !doomed {
                self.doom(other);
            }
            self.hold(identified.place, wd);
            self.let_go(other);
            return Ok(Some(Identified::rearranged(identified.place)));
        }
        self.hold(identified.place, wd);
        Ok(Some(identified))
    }

    fn places_of(&self, wd: i32) -> impl Iterator<Item = PlaceId> {
        let first = match self.by_wd.get(&wd).map(Holder::by) {
            Some(Held::Plain(index)) => self.plains[index].first_place,
            Some(Held::Place(first)) => first,
            Some(Held::Spent) | None => NONE,
        };
        (first != NONE)
            .then(|| self.same_wd(first))
            .into_iter()
            .flatten()
    }

    /// Whether the disk has, at the path of a place, the directory with this descriptor.
    pub(crate) fn is_still_at(&mut self, id: PlaceId, wd: i32) -> bool {
        let index = self.places.get(id).tree;
        let Some(directory) = self.open_anchor_of(id) else {
            return false;
        };
        let mask = self.trees[index].kernel_mask(false);
        match directory.watch(&self.inotify, mask) {
            Ok(found) => {
                self.abandon(found);
                found == wd
            }
            Err(_) => false,
        }
    }

    /// The name leads to another directory than it did: the old one keeps its record, without a name, until it is found.
    fn split_off(&mut self, old: PlaceId) -> PlaceId {
        let place = self.places.get(old);
        let (tree, parent, name) = (place.tree, place.parent, place.name().to_vec());
        let how = place.how();
        if parent == NONE {
            // The root is known by its identity.
            self.let_go(old);
            return old;
        }
        self.places.unlink(old);
        let stale = self.trees[tree].epoch.wrapping_sub(1);
        self.places.get_mut(old).epoch = stale;
        let new = self.new_place(parent, &name);
        self.swap_queued(old, new, how);
        new
    }

    /// `known` is the directory that was found at the place `new`: its record, with all below, goes there.
    fn take_over(&mut self, new: PlaceId, known: PlaceId) -> PlaceId {
        let place = self.places.get(new);
        let (parent, name, how) = (place.parent, place.name().to_vec(), place.how());
        let old = self.places.get(known);
        let vacated = (old.is(state::QUEUED) && old.parent != NONE)
            .then(|| (old.parent, old.name().to_vec(), old.how()));
        self.places.unlink(new);
        if self.places.get(known).is(state::LIMBO) {
            self.drop_limbo(known);
        }
        self.places.unlink(known);
        self.places.link(known, parent, &name);
        self.swap_queued(new, known, how);
        self.doom(new);
        if let Some((parent, name, how)) = vacated {
            // Another directory has its old name.
            let successor = self.new_place(parent, &name);
            self.queue_scan(successor, how);
        }
        known
    }

    /// The scan under way is that of `to`, no longer that of `from`.
    fn swap_queued(&mut self, from: PlaceId, to: PlaceId, how: u16) {
        let tree = self.places.get(from).tree;
        if !self.places.get(to).is(state::QUEUED) {
            self.places.get_mut(to).set(state::QUEUED);
            self.trees[tree].pending += 1;
        }
        self.places.get_mut(to).unset(state::REPORT | state::LISTED);
        self.places.get_mut(to).set(how);
        self.places.get_mut(from).unset(state::QUEUED);
        self.trees[tree].pending -= 1;
    }

    pub(crate) fn new_place(&mut self, parent: PlaceId, name: &[u8]) -> PlaceId {
        let tree = self.places.get(parent).tree;
        self.trees[tree].places += 1;
        self.places.add(tree, self.trees[tree].epoch, parent, name)
    }

    /// What was in a directory when its watch began, from what was listed and what is queued.
    fn found_before_watch(&self, id: PlaceId, listed: Range<usize>) -> Emission {
        let place = self.places.get(id);
        let mut emission = Emission {
            position: self.backlog.tail(),
            place: self.places.reference(id),
            tree: place.tree,
            entries: listed.clone(),
            fresh: self.places.first_child(id).is_none(),
            skip: Vec::new(),
            extra: Vec::new(),
        };
        if self.backlog.is_empty() {
            return emission;
        }
        let structural = (Mask::MOVE | Mask::CREATE | Mask::DELETE).bits();
        let coming = (Mask::MOVED_TO | Mask::CREATE).bits();
        // The first event of each name: whether it came, and what it is.
        let mut first: HashMap<&[u8], (bool, Kind)> = HashMap::new();
        for (offset, event) in
            raw_events(self.backlog.pending()).filter(|(_, event)| event.wd == place.wd)
        {
            emission.position = emission.position.min(self.backlog.head() + offset as u64);
            if event.mask & structural != 0 && !event.name.is_empty() {
                // What arrived there and is said to leave as another kind has changed places with it, and stays.
                let is_dir = self
                    .arrivals
                    .is_dir_at(&event)
                    .unwrap_or(event.mask & Mask::ISDIR.bits() != 0);
                let kind = if is_dir {
                    Kind::Directory
                } else {
                    Kind::Regular
                };
                first
                    .entry(event.name)
                    .or_insert((event.mask & coming != 0, kind));
            }
        }
        // What is listed may have taken the place of what was there, which was of another kind.
        let mut now: HashMap<&[u8], Kind> = HashMap::new();
        if !first.is_empty() {
            let listed = entries(&self.listed[listed]);
            let listed = listed.map(|entry| (entry.name().to_bytes(), entry.kind));
            now.extend(listed.filter(|(name, _)| first.contains_key(name)));
        }
        let is_directory = |kind: &Kind| *kind == Kind::Directory;
        for (name, (came, kind)) in first {
            let now = now.get(name);
            let stayed = now.is_some_and(|now| is_directory(now) == is_directory(&kind));
            if came || (now.is_some() && !stayed) {
                emission.skip.push(name.to_vec());
            }
            if !came && !stayed {
                let name = CString::new(name).unwrap_or_default();
                emission.extra.push((name, kind));
            }
        }
        emission.skip.sort_unstable();
        emission
    }

    /// Tells what was found, and queues the subdirectories.
    pub(crate) fn emit(&mut self, enough: usize) {
        /// So many new subdirectories take some 100 µs.
        const AT_ONCE: usize = 128;
        let Some(mut emission) = self.emissions.pop_front() else {
            return;
        };
        let queued = |id: &PlaceId| self.places.get(*id).is(state::QUEUED);
        let Some(id) = self.places.resolve(emission.place).filter(queued) else {
            return;
        };
        let tree = &self.trees[emission.tree];
        if self.places.top(id) != tree.root || tree.ending {
            self.unqueue(id);
            return;
        }
        let how = self.places.get(id).how();
        let deep_enough = self.is_deep_enough(id);
        let listed = std::mem::take(&mut self.listed);
        let rest = emission.entries.clone();
        let mut paused = false;
        for (told, entry) in entries(&listed[rest.clone()]).enumerate() {
            paused = self.out.len() >= enough || told == AT_ONCE;
            if paused {
                break;
            }
            emission.entries.start = rest.start + entry.next;
            if how == 0 && (entry.kind != Kind::Directory || !deep_enough) {
                continue;
            }
            let name = entry.name().to_bytes();
            if emission.skip.is_empty() || !is_in(&emission.skip, name) {
                self.tell_found(id, name, entry.kind, how);
                if entry.kind == Kind::Directory && deep_enough {
                    self.found_subdirectory(id, name, how, emission.fresh);
                }
            }
        }
        self.listed = listed;
        if paused {
            return self.emissions.push_front(emission);
        }
        while let Some((name, kind)) = emission.extra.pop() {
            self.tell_found(id, name.to_bytes(), kind, how);
            if kind == Kind::Directory && deep_enough {
                self.found_subdirectory(id, name.to_bytes(), how, false);
            }
        }
        if self.emissions.is_empty() {
            self.listed.clear();
            self.listed.shrink_to(LARGE);
        }
        self.unqueue(id);
    }

    /// A subdirectory that was there before the watch; where nothing was known before (`fresh`), it is new.
    fn found_subdirectory(&mut self, parent: PlaceId, name: &[u8], how: u16, fresh: bool) {
        let known = if fresh {
            None
        } else {
            self.places.child(parent, name)
        };
        let child = match known {
            Some(child) => child,
            None => self.new_place(parent, name),
        };
        let epoch = self.trees[self.places.get(parent).tree].epoch;
        // One known before the queue overflowed may be another by now.
        if known.is_none() || self.places.get(child).epoch != epoch {
            self.queue_scan(child, how);
        }
    }

    /// The events that the entry's appearing would have caused; in a list of all there is, one.
    pub(crate) fn tell_found(&mut self, parent: PlaceId, name: &[u8], kind: Kind, how: u16) {
        if how == 0 {
            return;
        }
        let place = self.places.get(parent);
        let asked = self.trees[place.tree].mask;
        let possible: &[Mask] = match kind {
            Kind::Regular if how & state::LISTED != 0 => {
                &[Mask::CREATE, Mask::CLOSE_WRITE, Mask::MODIFY]
            }
            Kind::Regular => &[Mask::CREATE, Mask::MODIFY, Mask::CLOSE_WRITE],
            Kind::Directory | Kind::Other => &[Mask::CREATE],
        };
        let is_dir = if kind == Kind::Directory {
            Mask::ISDIR
        } else {
            Mask::empty()
        };
        let (wd, flags) = (place.wd, EventFlags::SYNTHETIC.bits());
        for &mask in possible.iter().filter(|&&mask| asked.contains(mask)) {
            self.deliver_in_place(
                parent,
                name,
                Record {
                    wd,
                    flags,
                    mask: (mask | is_dir).bits(),
                    ..Record::NONE
                },
            );
            if how & state::LISTED != 0 {
                return;
            }
        }
    }
}

fn is_in(sorted: &[Vec<u8>], name: &[u8]) -> bool {
    sorted
        .binary_search_by(|one| one.as_slice().cmp(name))
        .is_ok()
}
