//! Which directory it is that was found: the kernel gives the descriptor that it has, if it is watched already.

use crate::places::{NONE, PlaceId, state};
use crate::state::State;
use crate::sys::Sys;
use crate::watch::{Held, Holder};

/// What a listed directory turned out to be.
pub(crate) struct Identified {
    /// The place that has it now, which is another where the directory was known under another name.
    pub(crate) place: PlaceId,
    /// Whether what was listed is news.
    pub(crate) is_news: bool,
    /// Whether other places have changed.
    pub(crate) rearranged: bool,
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

impl State {
    /// Makes the directory with this descriptor that of the place.
    pub(crate) fn identify(&mut self, id: PlaceId, wd: i32) -> Sys<Option<Identified>> {
        let place = self.places.get(id);
        let tree = place.tree;
        if place.wd == wd {
            let verified = place.is(state::VERIFY) && !self.is_stale(id);
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
            if !doomed && self.is_stale(other) {
                // Not found again yet since the queue overflowed: here it is, with all below as little known as itself.
                let place = self.take_over(identified.place, other);
                return Ok(Some(Identified::rearranged(place)));
            }
            let uncertain = if doomed {
                false
            } else if self.places.get(top).is(state::LIMBO) {
                self.takes_doubts_away(top)
            } else if self.is_still_at(other, wd).unwrap_or(true) {
                // One directory at two places of the tree: a bind mount.
                continue;
            } else {
                // With no event that takes it away, something else has its name, and was taken for it.
                self.wait_for_renames_above(other);
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
}
