//! Subtrees that have lost their name: of a renamed directory the first half was seen, the second is to come, or not.
//!
//! No timer decides. The kernel tells of both halves while it holds the lock of the old directory; so once that lock was
//! taken after the first half, and all that is queued was read, a second half that was not seen never comes: the
//! directory has left the tree.

use super::exchange::Arrival;
use super::{Cause, Effects, Forest, PlaceRef, Wanted, flags};
use crate::debug::{Quoted, debug};
use crate::mask::Mask;
use crate::memory;
use crate::slab::Slab;
use crate::stream::{RawEvent, raw_events};
use crate::watches::PlaceId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Why a directory has lost its name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Why {
    /// MOVED_FROM was seen in this tree, with this cookie.
    Moved { tree: u32, cookie: u32 },
    /// Another directory was moved to its name: replaced, or the two have been exchanged.
    Displaced { parent: PlaceRef, name: Vec<u8> },
}

struct Entry {
    place: PlaceId,
    /// Tells this stay from an earlier one of the same place.
    visit: Visit,
    why: Why,
    /// Where the directory was that came to its name: the descriptor and the name.
    came_from: Option<(i32, Vec<u8>)>,
    /// The directory it was in.
    parent: PlaceRef,
    /// It was displaced, and the lock that tells whether it was replaced could not be taken.
    unsure: bool,
    /// How deep that directory was, in a tree with a limit.
    depth: u32,
    /// Events from inside, for when it is known where that is.
    held: Vec<u8>,
    /// The place of each held event.
    held_by: Vec<PlaceRef>,
    /// What had arrived where when the first of them was held.
    arrived: VecDeque<Arrival>,
    /// Scans that wait for the same.
    scans: Vec<Wanted>,
}

impl Entry {
    fn is_displaced(&self) -> bool {
        matches!(self.why, Why::Displaced { .. })
    }
}

/// Whether an event is the second half of a rename.
fn arrives(event: &RawEvent<'_>) -> bool {
    event.mask & Mask::MOVED_TO.bits() != 0
}

/// The number of a subtree's stay in limbo, and its top.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Visit(u64, PlaceRef);

#[derive(Default)]
pub(super) struct Limbo {
    entries: Slab<Entry>,
    by_reason: BTreeMap<Why, u32>,
    /// The last one that was renamed away from a directory. It is no longer here, perhaps.
    last_from: BTreeMap<PlaceRef, Visit>,
    /// Second halves of renames that are held, by tree and cookie.
    held_arrivals: BTreeSet<(u32, u32)>,
    /// Tops whose old directory's lock is to be taken.
    to_lock: VecDeque<Visit>,
    /// Tops whose old directory's lock was taken. A top that is still here once the queue is empty has left the tree.
    locked: VecDeque<Visit>,
    /// How many have been here.
    visits: u64,
}

impl Limbo {
    pub(super) fn tops(&self) -> impl Iterator<Item = PlaceId> + '_ {
        let indices = self.entries.indices();
        indices.into_iter().map(|slot| self.entries[slot].place)
    }
}

impl Forest {
    /// Takes a place off its parent until it is known where it is.
    pub(super) fn put_in_limbo(&mut self, place: PlaceId, parent: PlaceId, why: Why) {
        debug!(
            self.log,
            "{} has left its name",
            Quoted(self.path_of(place))
        );
        let depth = match self.tree_of(parent).max_depth() {
            0 => 0,
            _ => self.places.depth(parent),
        };
        let parent = self.places.reference(parent);
        self.places.unlink(place);
        self.limbo.visits += 1;
        let visit = Visit(self.limbo.visits, self.places.reference(place));
        let slot = self.limbo.entries.insert(Entry {
            place,
            visit,
            why: why.clone(),
            came_from: None,
            parent,
            unsure: false,
            depth,
            held: Vec::new(),
            held_by: Vec::new(),
            arrived: VecDeque::new(),
            scans: Vec::new(),
        });
        self.places.enter_limbo(place, slot);
        if let Why::Moved { .. } = why {
            self.limbo.last_from.insert(parent, visit);
        }
        self.limbo.by_reason.insert(why, slot);
        self.limbo.to_lock.push_back(visit);
    }

    pub(crate) fn has_limbo(&self) -> bool {
        !self.limbo.entries.is_empty()
    }

    /// The subtree of which the first half of a rename was seen.
    pub(super) fn moved_with(&self, tree: u32, cookie: u32) -> Option<PlaceId> {
        let slot = self.limbo.by_reason.get(&Why::Moved { tree, cookie })?;
        Some(self.limbo.entries[*slot].place)
    }

    /// Where a subtree was whose first half of a rename was seen: the descriptor of its old directory, and the name.
    pub(super) fn was_at(&self, top: PlaceId) -> Option<(i32, Vec<u8>)> {
        let entry = &self.limbo.entries[self.places.limbo_slot(top)];
        let parent = self.places.resolve(entry.parent)?;
        let name = self.places.get(top).name().to_vec();
        Some((self.places.get(parent).wd(), name))
    }

    /// The directory that came to the name of a displaced one was there before.
    pub(super) fn set_came_from(&mut self, displaced: PlaceId, from: Option<(i32, Vec<u8>)>) {
        let slot = self.places.limbo_slot(displaced);
        self.limbo.entries[slot].came_from = from;
    }

    pub(super) fn came_from(&self, displaced: PlaceId) -> Option<&(i32, Vec<u8>)> {
        let entry = &self.limbo.entries[self.places.limbo_slot(displaced)];
        entry.came_from.as_ref()
    }

    /// Whether another directory has come to the name of one in limbo.
    pub(super) fn has_displaced(&self) -> bool {
        let last = self.limbo.by_reason.last_key_value();
        last.is_some_and(|(why, _)| matches!(why, Why::Displaced { .. }))
    }

    /// The subtree that had this name before another came to it.
    pub(super) fn displaced_from(&self, parent: PlaceId, name: &[u8]) -> Option<PlaceId> {
        if self.limbo.by_reason.is_empty() {
            return None;
        }
        let (parent, name) = (self.places.reference(parent), name.to_vec());
        let slot = self.limbo.by_reason.get(&Why::Displaced { parent, name })?;
        Some(self.limbo.entries[*slot].place)
    }

    fn take_entry(&mut self, top: PlaceId) -> Option<Entry> {
        let (slot, tree) = (self.places.limbo_slot(top), self.places.get(top).tree());
        let entry = self.limbo.entries.remove(slot)?;
        if self.limbo.by_reason.get(&entry.why) == Some(&slot) {
            self.limbo.by_reason.remove(&entry.why);
        }
        if self.limbo.last_from.get(&entry.parent) == Some(&entry.visit) {
            self.limbo.last_from.remove(&entry.parent);
        }
        for (_, event) in raw_events(&entry.held).filter(|(_, event)| arrives(event)) {
            self.limbo.held_arrivals.remove(&(tree, event.cookie));
        }
        self.places.leave_limbo(top);
        Some(entry)
    }

    /// The second half has come: `top` is `name` in `parent` from now on.
    pub(super) fn leave_limbo(
        &mut self,
        top: PlaceId,
        parent: PlaceId,
        name: &[u8],
        fx: &mut Effects,
    ) {
        let Some(entry) = self.take_entry(top) else {
            return;
        };
        self.places.link(top, parent, name);
        debug!(self.log, "{} is its name now", Quoted(self.path_of(top)));
        for wanted in entry.scans {
            self.want_again(wanted);
        }
        let held = raw_events(&entry.held).zip(entry.held_by);
        // As if none that was decoded meanwhile had been.
        let meanwhile = self.swap_arrivals(entry.arrived);
        for ((_, event), reference) in held {
            if let Some(place) = self.places.resolve(reference) {
                self.on_place(place, &event, fx);
            }
            self.note_arrival(&event);
        }
        self.swap_arrivals(meanwhile);
    }

    /// Something happens to an entry of a directory: its lock was free. A second half of a rename from there is read by now,
    /// or never comes. In a storm of renames the queue is never seen without a half.
    pub(super) fn left_before(&mut self, parent: PlaceId, event: &RawEvent<'_>, fx: &mut Effects) {
        if self.limbo.last_from.is_empty() {
            return;
        }
        let last = self.limbo.last_from.get(&self.places.reference(parent));
        let entry = last.and_then(|&visit| self.in_limbo(visit));
        if let Some(Entry {
            place,
            why: Why::Moved { tree, cookie },
            ..
        }) = entry
            && *cookie != event.cookie
            && !self.limbo.held_arrivals.contains(&(*tree, *cookie))
        {
            self.take_away(*place, fx);
        }
    }

    /// How deep in the tree the directory was from which a subtree came.
    pub(super) fn depth_before(&self, top: PlaceId) -> u32 {
        self.limbo.entries[self.places.limbo_slot(top)].depth
    }

    pub(super) fn hold_event(&mut self, top: PlaceId, place: PlaceId, event: &RawEvent<'_>) {
        /// What a held event may come to, its path among it.
        const EACH: usize = 512;
        let reference = self.places.reference(place);
        if arrives(event) {
            let tree = self.places.get(top).tree();
            self.limbo.held_arrivals.insert((tree, event.cookie));
        }
        let entry = &mut self.limbo.entries[self.places.limbo_slot(top)];
        if entry.held.is_empty() {
            entry.arrived = self.arrivals.copy();
        }
        event.append_to(&mut entry.held);
        entry.held_by.push(reference);
        // All of them are told in one step.
        memory::foresee(4 * entry.held.len() + EACH * entry.held_by.len());
    }

    pub(super) fn hold_scan(&mut self, top: PlaceId, scan: Wanted) {
        let slot = self.places.limbo_slot(top);
        self.limbo.entries[slot].scans.push(scan);
    }

    /// A subtree in limbo is not waited for any more. If the second half comes all the same, it is followed as a rename
    /// from outside.
    pub(super) fn drop_limbo(&mut self, top: PlaceId, fx: &mut Effects) {
        let Some(entry) = self.take_entry(top) else {
            return;
        };
        if let Why::Moved { tree, cookie } = entry.why {
            fx.out.give_up_move(cookie, self.trees[tree].id());
        }
        for wanted in entry.scans {
            self.want_again(wanted);
        }
    }

    /// Forgets the half-seen renames of a tree; what has moved has no name until it is found, or taken away.
    pub(super) fn drop_half_renames_of(&mut self, tree: u32, fx: &mut Effects) {
        let tops: Vec<PlaceId> = self.limbo.tops().collect();
        for top in tops {
            if self.places.get(top).tree() == tree {
                self.drop_limbo(top, fx);
                self.places.set_epoch(top, 0);
                let reference = self.places.reference(top);
                self.trees[tree].nameless.push(reference);
            }
        }
    }

    // Deciding on them, when all that is queued was read.

    fn in_limbo(&self, visit: Visit) -> Option<&Entry> {
        let top = self.places.resolve(visit.1)?;
        if !self.places.get(top).is(flags::LIMBO) {
            return None;
        }
        let entry = self.limbo.entries.get(self.places.limbo_slot(top));
        entry.filter(|entry| entry.visit == visit)
    }

    /// The directory whose lock is to be taken next, and whether it is to be sure that it is this very directory. None: no
    /// lock is left to be taken.
    pub(crate) fn next_to_lock(&mut self) -> Option<(PlaceRef, bool)> {
        while let Some(&top) = self.limbo.to_lock.front() {
            if let Some(entry) = self.in_limbo(top) {
                return Some((entry.parent, entry.is_displaced()));
            }
            self.limbo.to_lock.pop_front();
        }
        None
    }

    /// The lock of a directory was taken, or could not be (`locked` is false): nothing more can be found out about what has
    /// left it.
    pub(crate) fn was_locked(&mut self, parent: PlaceRef, locked: bool) {
        while let Some(&top) = self.limbo.to_lock.front() {
            match self.in_limbo(top) {
                Some(entry) if entry.parent == parent => {
                    let unsure = !locked && entry.is_displaced();
                    let slot = self.places.limbo_slot(entry.place);
                    self.limbo.entries[slot].unsure = unsure;
                    self.limbo.locked.push_back(top);
                }
                Some(_) => return,
                None => {}
            }
            self.limbo.to_lock.pop_front();
        }
    }

    /// All that was queued when the locks were taken is decoded: the subtrees that were in limbo then have left the tree.
    /// Takes some of them away; false if there is none.
    pub(crate) fn take_away_moved(&mut self, fx: &mut Effects) -> bool {
        const AT_ONCE: usize = 128;
        for done in 0..AT_ONCE {
            let Some(top) = self.limbo.locked.pop_front() else {
                return done > 0;
            };
            let Some(entry) = self.in_limbo(top) else {
                continue;
            };
            let (place, unsure) = (entry.place, entry.unsure);
            let tree = self.places.get(place).tree();
            if unsure && !self.trees[tree].lost {
                // If two directories have changed places, the other one is taken for this one.
                self.begin_sync(tree, Cause::DoubtHidden, fx);
                continue;
            }
            self.take_away(place, fx);
        }
        true
    }

    #[cfg(any(debug_assertions, simulation))]
    pub(super) fn held_scans(&self) -> impl Iterator<Item = PlaceId> + '_ {
        let slots = self.limbo.entries.indices().into_iter();
        let scans = slots.flat_map(|slot| self.limbo.entries[slot].scans.iter());
        scans.filter_map(|wanted| self.places.resolve(wanted.place))
    }

    #[cfg(any(debug_assertions, simulation))]
    pub(super) fn check_limbo(&self) {
        for slot in self.limbo.entries.indices() {
            let entry = &self.limbo.entries[slot];
            let place = self.places.get(entry.place);
            assert!(place.is(flags::LIMBO), "an entry in limbo is flagged so");
            assert_eq!(self.places.limbo_slot(entry.place), slot);
            let waits = self.limbo.to_lock.contains(&entry.visit);
            let asked = self.limbo.locked.contains(&entry.visit);
            assert!(waits || asked, "what is in limbo is decided on");
        }
    }
}
