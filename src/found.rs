//! What was in a directory before its watch began, on its way out as events.

use crate::backlog::raw_events;
use crate::batch::Record;
use crate::listing::LARGE;
use crate::mask::{EventFlags, Mask};
use crate::places::{PlaceId, PlaceRef, state};
use crate::state::State;
use crate::sys::dirent::{Kind, entries};
use std::collections::HashMap;
use std::ffi::CString;
use std::ops::Range;

/// What was found in a directory, on its way out.
pub(crate) struct Emission {
    pub(crate) position: u64,
    place: PlaceRef,
    pub(crate) tree: u32,
    /// What is still to be told of `State::listed`.
    entries: Range<usize>,
    /// No subdirectory was known before.
    fresh: bool,
    /// Perhaps listed, but they came after the watch: the kernel tells of them. Sorted.
    skip: Vec<Vec<u8>>,
    /// Not listed, or not as what they were, but they went after the watch: they were there.
    extra: Vec<(CString, Kind)>,
}

impl State {
    /// What was in a directory when its watch began, from what was listed and what is queued.
    pub(crate) fn found_before_watch(&self, id: PlaceId, listed: Range<usize>) -> Emission {
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
        // One known before the queue overflowed may be another by now.
        if known.is_none() || self.is_stale(child) {
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
