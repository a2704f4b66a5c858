//! What was in a directory before its watch began, on its way out as events.

use super::list::LARGE;
use super::pending::Pending;
use super::{Scans, Work};
use crate::mask::Mask;
use crate::memory::{self, Room, copy_of};
use crate::stream::{Position, RawEvent};
use crate::sys::Sys;
use crate::sys::dirent::{Kind, entries};
use crate::tree::{Forest, PlaceRef, Standing, Telling, flags};
use crate::watches::PlaceId;
use std::ops::Range;

/// The first event of a name.
struct First {
    came: bool,
    /// It is half of a rename.
    moved: bool,
    kind: Kind,
    /// As far as the events tell that were looked at.
    is_there: bool,
    /// The name goes, and goes again, and nothing has come to it that was heard of.
    goes_twice: bool,
    /// What came last was of another kind than what goes: the two have changed places.
    changed_places: bool,
}

impl First {
    /// What the events of a directory say of each name, sorted by names.
    fn of_names<'a>(
        events: &[(Position, RawEvent<'a>)],
        since: Position,
        work: &Work<'_>,
    ) -> Sys<Vec<(&'a [u8], First)>> {
        let is_of_entry = |event: &RawEvent<'_>| {
            event.mask & Forest::structural().bits() != 0 && !event.name.is_empty()
        };
        let mut of_entries = Vec::new();
        for (position, event) in events.iter().filter(|(_, event)| is_of_entry(event)) {
            of_entries.make_room(1)?;
            of_entries.push((*position, *event));
        }
        of_entries.sort_unstable_by_key(|(position, event)| (event.name, *position));
        let mut all: Vec<(&[u8], First)> = Vec::new();
        // The last that happened to the name before anything was heard. If it was renamed to, whether by a directory.
        let mut before: Option<(&[u8], Option<bool>)> = None;
        for (position, event) in of_entries {
            if position < since {
                let arrived = event.mask & Mask::MOVED_TO.bits() != 0;
                let is_dir = event.mask & Mask::ISDIR.bits() != 0;
                before = Some((event.name, arrived.then_some(is_dir)));
                continue;
            }
            let came = event.mask & (Mask::MOVED_TO | Mask::CREATE).bits() != 0;
            if let Some((name, first)) = all.last_mut()
                && *name == event.name
            {
                first.goes_twice |= !came && !first.is_there;
                first.is_there = came;
                continue;
            }
            // What arrived there and is said to leave as another kind has changed places with it, and stays.
            let told = event.mask & Mask::ISDIR.bits() != 0;
            let is_dir = match before {
                Some((name, is_dir)) if name == event.name => is_dir,
                _ => work.forest.is_dir_at(&event),
            };
            let first = First {
                came,
                moved: event.mask & Mask::MOVE.bits() != 0,
                kind: match is_dir.unwrap_or(told) {
                    true => Kind::Directory,
                    false => Kind::Regular,
                },
                is_there: came,
                goes_twice: false,
                changed_places: !came && is_dir.is_some_and(|is_dir| is_dir != told),
            };
            all.make_room(1)?;
            all.push((event.name, first));
        }
        Ok(all)
    }
}

/// What was in a directory when its watch began, as far as it is not what was listed.
pub(super) struct Before {
    /// Of the directory's first own event, or behind all that is queued.
    position: Position,
    /// No event of the directory comes before that.
    is_first: bool,
    /// Perhaps listed, but they came after the watch: the kernel tells of them. Sorted.
    skip: Vec<Vec<u8>>,
    /// Not listed, or not as what they were, but they went after the watch: they were there.
    extra: Vec<(Vec<u8>, Kind)>,
    /// Listed, although they are renamed away.
    renamed_away: Vec<Vec<u8>>,
    /// What leaves first may be another than what is there, and a file: those of them that are neither directories nor regular
    /// files, and what has come in exchange for a file.
    strangers: Vec<Vec<u8>>,
    /// Something was renamed to them, perhaps in exchange for what was there.
    covered: Vec<Vec<u8>>,
}

impl Before {
    /// From what was listed in the directory with this descriptor, and what is queued from `since` on.
    pub(super) fn of(
        (wd, since): (i32, Position),
        listed: &[u8],
        pending: Option<&Pending<'_>>,
        work: &Work<'_>,
    ) -> Sys<Before> {
        let mut before = Before {
            position: work.stream.tail(),
            is_first: since == Position::default(),
            skip: Vec::new(),
            extra: Vec::new(),
            renamed_away: Vec::new(),
            strangers: Vec::new(),
            covered: Vec::new(),
        };
        let events = pending.map_or(&[][..], |pending| pending.of_wd(wd));
        let own = events.iter().find(|(position, _)| *position >= since);
        if let Some((position, _)) = own {
            before.position = before.position.min(*position);
            let first = First::of_names(events, since, work)?;
            before.compare(&first, listed)?;
        }
        Ok(before)
    }

    /// Compares the list with the first events. An entry in the list may have replaced one of another kind.
    fn compare(&mut self, first: &[(&[u8], First)], listed: &[u8]) -> Sys<()> {
        let mut now: Vec<(&[u8], Kind)> = Vec::new();
        for entry in entries(listed) {
            let name = entry.name().to_bytes();
            if first.binary_search_by_key(&name, |(name, _)| name).is_ok() {
                now.make_room(1)?;
                now.push((name, entry.kind));
            }
        }
        now.sort_unstable_by_key(|(name, _)| *name);
        let is_directory = |kind: &Kind| *kind == Kind::Directory;
        let note = |names: &mut Vec<Vec<u8>>, name: &[u8]| -> Sys<()> {
            names.make_room(1)?;
            names.push(copy_of(name)?);
            Ok(())
        };
        for (name, about) in first {
            let First { came, kind, .. } = about;
            let found = now.binary_search_by_key(name, |(name, _)| *name);
            let now = found.ok().map(|at| &now[at].1);
            let stayed = now.is_some_and(|now| is_directory(now) == is_directory(kind));
            if *came || (now.is_some() && !stayed) {
                note(&mut self.skip, name)?;
            }
            if !came && !stayed {
                self.extra.make_room(1)?;
                self.extra.push((copy_of(name)?, *kind));
            }
            if about.changed_places {
                note(&mut self.strangers, name)?;
            }
            if about.moved && *came {
                note(&mut self.covered, name)?;
            } else if about.moved && (now.is_some() || about.goes_twice) {
                note(&mut self.renamed_away, name)?;
                if now == Some(&Kind::Other) {
                    note(&mut self.strangers, name)?;
                }
            }
        }
        Ok(())
    }

    fn skips(&self, name: &[u8]) -> bool {
        let compare = |one: &Vec<u8>| one.as_slice().cmp(name);
        !self.skip.is_empty() && self.skip.binary_search_by(compare).is_ok()
    }
}

pub(super) struct Backfill {
    place: PlaceRef,
    /// Of its tree, when it was listed.
    epoch: u32,
    before: Before,
    /// What is still to be told of `Scans::listed`.
    entries: Range<usize>,
    /// No subdirectory was known before, and none can be when this is told.
    fresh: bool,
}

impl Backfill {
    pub(super) fn new(
        id: PlaceId,
        entries: Range<usize>,
        before: Before,
        forest: &Forest,
    ) -> Backfill {
        Backfill {
            place: forest.places().reference(id),
            epoch: forest.tree_of(id).epoch(),
            fresh: before.is_first && forest.places().first_child(id).is_none(),
            before,
            entries,
        }
    }

    pub(super) fn position(&self) -> Position {
        self.before.position
    }

    #[cfg(any(debug_assertions, simulation))]
    pub(super) fn place(&self, forest: &Forest) -> Option<PlaceId> {
        forest.places().resolve(self.place)
    }
}

impl Scans {
    /// Tells some of what was found, and wants the subdirectories scanned.
    pub(crate) fn backfill_some(&mut self, enough: usize, work: &mut Work<'_>) {
        let Some(mut backfill) = self.backfills.pop_front() else {
            return;
        };
        let queued = |id: &PlaceId| work.forest.place(*id).is(flags::QUEUED);
        let place = work.forest.places().resolve(backfill.place).filter(queued);
        if let Some(id) = place {
            if backfill.epoch != work.forest.tree_of(id).epoch() {
                work.forest.was_overtaken(id);
            } else if work.forest.tree_of(id).is_ending() {
                work.forest.unqueue(id);
            } else if work.forest.standing(id) != Standing::InTree {
                // The subtree waits until it is known where it is. The next scan tells what is there then.
                work.forest.void_listing(id);
                work.forest.was_overtaken(id);
            } else if self.tell_some(id, &mut backfill, enough, work) {
                return self.backfills.push_front(backfill);
            } else {
                let (forest, mut fx) = work.trees();
                forest.was_told(id, &mut fx);
            }
        }
        if self.backfills.is_empty() && self.listings.is_empty() {
            self.listed.clear();
            self.listed.shrink_to(LARGE);
        }
    }

    /// Whether something is left to be told.
    fn tell_some(
        &mut self,
        id: PlaceId,
        backfill: &mut Backfill,
        enough: usize,
        work: &mut Work<'_>,
    ) -> bool {
        /// So many new subdirectories take some 100 µs.
        const AT_ONCE: usize = 128;
        let telling = work.forest.place(id).telling();
        let deep_enough = work.forest.is_deep_enough(id);
        let rest = backfill.entries.clone();
        let (forest, mut fx) = work.trees();
        for (told, entry) in entries(&self.listed[rest.clone()]).enumerate() {
            if fx.out.len() >= enough || told == AT_ONCE || memory::is_short() {
                return true;
            }
            backfill.entries.start = rest.start + entry.next;
            let is_directory = entry.kind == Kind::Directory;
            if telling == Telling::Nothing && !(is_directory && deep_enough) {
                continue;
            }
            let name = entry.name().to_bytes();
            if !backfill.before.skips(name) {
                forest.found(id, (name, entry.kind), telling, backfill.fresh, &mut fx);
            }
        }
        let wd = forest.place(id).wd();
        let before = &mut backfill.before;
        while let Some(name) = before.renamed_away.pop() {
            forest.note_half_heard(wd, &name);
        }
        while let Some(name) = before.strangers.pop() {
            forest.note_stranger(wd, name);
        }
        for name in std::mem::take(&mut before.covered) {
            forest.note_half_heard(wd, &name);
            if telling != Telling::Nothing {
                forest.doubt_unheard(id, &name);
                forest.note_stranger(wd, name);
            }
        }
        while let Some((name, kind)) = before.extra.pop() {
            forest.found(id, (&name, kind), telling, false, &mut fx);
            if memory::is_short() {
                return true;
            }
        }
        false
    }
}
