//! The invariants of trees and places, which hold after each step.

use super::{Forest, Standing, flags};
use crate::watches::{NO_PLACE, PlaceId, Watches};
use std::collections::BTreeMap;

/// Larger forests are not looked through after each step: a test would take hours.
const SMALL: usize = 500;

impl Forest {
    /// `in_scans`: the places that are being listed, or whose content is being told.
    pub(crate) fn check(&self, watches: &Watches, in_scans: &[PlaceId]) {
        self.check_limbo();
        self.troubles.check();
        if self.places.used() > SMALL {
            return;
        }
        let mut entries: BTreeMap<PlaceId, usize> = BTreeMap::new();
        for id in self.wanted_places() {
            *entries.entry(id).or_default() += 1;
        }
        let held: Vec<PlaceId> = self.held_scans().collect();
        let mut pending: BTreeMap<u32, usize> = BTreeMap::new();
        let mut count: BTreeMap<u32, usize> = BTreeMap::new();
        for (id, place) in self.places.from(0) {
            *count.entry(place.tree()).or_default() += 1;
            if place.is(flags::QUEUED) {
                let waited_for = usize::from(place.is(flags::PENDING));
                *pending.entry(place.tree()).or_default() += waited_for;
                let waits = entries.contains_key(&id) || held.contains(&id);
                assert!(waits || in_scans.contains(&id), "what is queued comes up");
            }
            assert!(place.is(flags::QUEUED) || !place.is(flags::OF_SCAN));
            let times = entries.get(&id).copied().unwrap_or(0);
            assert_eq!(times, usize::from(place.is(flags::ENTRY)), "one entry");
            self.check_place(id, watches);
        }
        for (index, id) in self.ids_of_trees() {
            let tree = &self.trees[index];
            assert_eq!(tree.pending, pending.get(&index).copied().unwrap_or(0));
            assert_eq!(tree.places, count.get(&index).copied().unwrap_or(0));
            let known = watches.target(id).is_ok();
            assert!(known || tree.places > 0, "a tree without places is freed");
            let over = tree.syncing && tree.pending == 0 && !tree.ending && !tree.lost;
            assert!(!over || self.has_sweep(index), "a repair ends");
            assert!(tree.pending == 0 || tree.ending || !tree.lost || !tree.syncing);
        }
    }

    fn check_place(&self, id: PlaceId, watches: &Watches) {
        let place = self.places.get(id);
        let root = self.tree_of(id).root == id;
        if place.parent() == NO_PLACE {
            let top = place.is(flags::LIMBO) as u8 + place.is(flags::DOOMED) as u8;
            assert!(top <= 1, "in limbo or doomed, not both");
            let nameless = !root && top == 0;
            assert!(
                !nameless || self.is_listed_nameless(id),
                "a nameless place is known"
            );
            assert!(!nameless || self.tree_of(id).syncing, "a repair finds it");
            assert_eq!(place.is(flags::DOOMED), self.doomed.contains(&id));
        } else {
            assert!(
                !place.is(flags::LIMBO | flags::DOOMED),
                "only tops are flagged"
            );
            assert_eq!(self.places.child(place.parent(), place.name()), Some(id));
            assert_eq!(self.places.get(place.parent()).tree(), place.tree());
        }
        let waits = place.is(flags::TROUBLED) && !place.is(flags::QUEUED) && !root;
        if waits && self.standing(id) == Standing::InTree {
            assert!(place.wd() == 0 && self.places.first_child(id).is_none());
            assert!(self.troubles.knows(self.places.reference(id)));
        }
        if place.wd() != 0 {
            let first = watches.first_place(place.wd());
            assert!(first != NO_PLACE, "a descriptor that a place has is known");
            assert!(self.same_wd(first).any(|other| other == id));
        }
        assert!(place.epoch() <= self.tree_of(id).epoch);
    }

    fn is_listed_nameless(&self, id: PlaceId) -> bool {
        let nameless = &self.tree_of(id).nameless;
        nameless.contains(&self.places.reference(id))
    }
}
