//! What a scan has found: which directory has a name now, and what is in it.

use super::{Effects, Forest, Standing, Telling, flags};
use crate::mask::{EventFlags, Mask};
use crate::stream::Record;
use crate::sys::dirent::Kind;
use crate::watches::{NO_PLACE, PlaceId};

/// What is known of a place whose directory was found somewhere else in the same tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    /// The repair that is under way has not found the place again yet.
    Stale,
    /// The place is on its way out.
    Doomed,
    /// The place is in limbo.
    Moved,
    /// The directory was found at this place.
    InPlace,
}

impl Forest {
    /// The other places of the same tree that have a descriptor.
    pub(crate) fn others_with(&self, id: PlaceId, wd: i32, fx: &Effects) -> Vec<PlaceId> {
        let tree = self.places.get(id).tree();
        let first = fx.watches.first_place(wd);
        let same = (first != NO_PLACE).then(|| self.same_wd(first));
        let mine = |&other: &PlaceId| other != id && self.places.get(other).tree() == tree;
        same.into_iter().flatten().filter(mine).collect()
    }

    pub(crate) fn known(&self, other: PlaceId) -> Known {
        match self.standing(other) {
            Standing::Doomed => Known::Doomed,
            _ if self.is_stale(other) => Known::Stale,
            Standing::Limbo { .. } => Known::Moved,
            Standing::InTree | Standing::Nameless => Known::InPlace,
        }
    }

    /// The look at a place has found what was expected: nothing is to be listed.
    pub(crate) fn is_verified(&mut self, id: PlaceId) -> bool {
        let verified = self.places.get(id).is(flags::VERIFY) && !self.is_stale(id);
        self.places.unset(id, flags::VERIFY);
        verified
    }

    /// The name leads to another directory than it did: the old one keeps its record, without a name, until it is found.
    pub(crate) fn split_off(&mut self, old: PlaceId, fx: &mut Effects) -> PlaceId {
        let place = self.places.get(old);
        let (index, parent, telling) = (place.tree(), place.parent(), place.telling());
        if parent == NO_PLACE {
            // The root is known by its identity.
            self.let_go(old, fx);
            return old;
        }
        let name = place.name().to_vec();
        self.places.unlink(old);
        self.places.set_epoch(old, 0);
        let reference = self.places.reference(old);
        self.trees[index].nameless.push(reference);
        let new = self.new_place(parent, &name);
        self.swap_queued(old, new, telling);
        new
    }

    /// `known` is the directory that was found at the place `new`: its record, with all below, goes there.
    pub(crate) fn take_over(&mut self, new: PlaceId, known: PlaceId, fx: &mut Effects) -> PlaceId {
        let place = self.places.get(new);
        let (parent, name, telling) = (place.parent(), place.name().to_vec(), place.telling());
        let old = self.places.get(known);
        let vacated = (old.is(flags::QUEUED) && old.parent() != NO_PLACE).then(|| {
            (
                old.parent(),
                old.name().to_vec(),
                old.telling(),
                old.epoch(),
            )
        });
        self.places.unlink(new);
        if self.places.get(known).is(flags::LIMBO) {
            self.drop_limbo(known, fx);
        }
        self.places.unlink(known);
        self.places.link(known, parent, &name);
        self.swap_queued(new, known, telling);
        self.take_trouble_over(new, known);
        self.doom(new, fx);
        if let Some((parent, name, telling, epoch)) = vacated
            && epoch == self.tree_of(known).epoch()
        {
            // Another directory has its old name.
            let successor = self.new_place(parent, &name);
            self.want_scan(successor, telling);
        }
        known
    }

    /// The scan under way is that of `to`, no longer that of `from`.
    fn swap_queued(&mut self, from: PlaceId, to: PlaceId, telling: Telling) {
        let index = self.places.get(from).tree();
        if !self.places.get(to).is(flags::QUEUED) {
            self.places.set(to, flags::QUEUED);
        }
        let scan = self.places.get(from);
        if scan.is(flags::PENDING) {
            match self.places.get(to).is(flags::PENDING) {
                true => self.trees[index].pending -= 1,
                false => self.places.set(to, flags::PENDING),
            }
        }
        self.places.set_telling(to, telling);
        self.places.unset(from, flags::OF_SCAN);
    }

    /// Whether a directory is new, nothing in it is of interest but subdirectories, and it has not changed under a scan.
    pub(crate) fn may_be_leaf(&self, id: PlaceId) -> bool {
        let place = self.places.get(id);
        place.telling() == Telling::Nothing
            && (place.wd(), place.tries()) == (0, 0)
            && place.parent() != NO_PLACE
            && self.places.first_child(id).is_none()
            && !self.tree_of(id).stays_on_one_filesystem()
    }

    /// A place was found, and its directory listed, unless it is a leaf.
    pub(crate) fn was_listed(&mut self, id: PlaceId, is_leaf: bool) {
        let epoch = self.tree_of(id).epoch();
        self.places.set_epoch(id, epoch);
        self.places.unset(id, flags::UNLISTED);
        self.places.set_leaf(id, is_leaf);
        if !self.tree_of(id).is_being_repaired() {
            self.places.set_tries(id, 0);
        }
    }

    /// What was found in a directory can't be told now: its events are not told either, up to its next scan.
    pub(crate) fn void_listing(&mut self, id: PlaceId) {
        if self.places.get(id).telling() != Telling::Nothing {
            self.places.set(id, flags::UNLISTED);
            self.places.changed();
        }
    }

    /// A scan begins to list a directory, or gives it up.
    pub(crate) fn set_listing(&mut self, id: PlaceId, listing: bool) {
        match listing {
            true => self.places.set(id, flags::LISTING),
            false => self.places.unset(id, flags::LISTING),
        }
    }

    /// An entry of a directory that was there before the watch: tells of it, and wants a subdirectory scanned. Where
    /// nothing was known before (`fresh`), it is new.
    pub(crate) fn found(
        &mut self,
        parent: PlaceId,
        (name, kind): (&[u8], Kind),
        telling: Telling,
        fresh: bool,
        fx: &mut Effects,
    ) {
        self.tell_found(parent, name, kind, telling, fx);
        let is_untold = telling == Telling::Nothing && self.is_doubted(parent, name);
        if kind == Kind::Directory && self.is_deep_enough(parent) && !is_untold {
            let below = self.telling_below(parent, telling);
            self.found_subdirectory(parent, name, below, fresh);
        }
    }

    fn found_subdirectory(&mut self, parent: PlaceId, name: &[u8], telling: Telling, fresh: bool) {
        let known = match fresh {
            true => None,
            false => self.places.child(parent, name),
        };
        let Some(child) = known else {
            let child = self.new_place(parent, name);
            return self.want_scan(child, telling);
        };
        // One known before the queue overflowed may be another by now.
        let epoch = self.tree_of(parent).epoch();
        if self.places.get(child).epoch() != epoch {
            self.places.set_epoch(child, epoch);
            self.places.set(child, flags::UNLISTED);
            self.want_scan(child, telling);
        }
    }

    /// The events that the entry's appearing would have caused; in a list of all there is, one.
    pub(crate) fn tell_found(
        &mut self,
        parent: PlaceId,
        name: &[u8],
        kind: Kind,
        telling: Telling,
        fx: &mut Effects,
    ) {
        let possible: &[Mask] = match (telling, kind) {
            (Telling::Nothing, _) => return,
            (Telling::AsList, Kind::Regular) => &[Mask::CREATE, Mask::CLOSE_WRITE, Mask::MODIFY],
            (Telling::AsEvents, Kind::Regular) => &[Mask::CREATE, Mask::MODIFY, Mask::CLOSE_WRITE],
            (_, Kind::Directory | Kind::Other) => &[Mask::CREATE],
        };
        let is_dir = match kind {
            Kind::Directory => Mask::ISDIR,
            Kind::Regular | Kind::Other => Mask::empty(),
        };
        let asked = self.tree_of(parent).mask();
        let most = match telling {
            Telling::AsList => 1,
            Telling::Nothing | Telling::AsEvents => possible.len(),
        };
        let told = possible.iter().filter(|&&mask| asked.contains(mask));
        for &mask in told.take(most) {
            self.tell_synthetic(parent, name, mask | is_dir, fx);
        }
    }

    /// An event that the kernel has not told, if the caller has asked for it.
    pub(super) fn tell_synthetic(
        &self,
        parent: PlaceId,
        name: &[u8],
        mask: Mask,
        fx: &mut Effects,
    ) {
        if self.tree_of(parent).mask().contains(mask - Mask::ISDIR) {
            let record = Record {
                wd: self.places.get(parent).wd(),
                flags: EventFlags::SYNTHETIC.bits(),
                mask: mask.bits(),
                ..Record::NONE
            };
            self.tell(parent, name, record, fx);
        }
    }
}
