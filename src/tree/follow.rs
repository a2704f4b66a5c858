//! What an event means for the trees: new directories, renames, ends.

use super::exchange::is_dir;
use super::limbo::Why;
use super::{Cause, Effects, Forest, PlaceRef, Standing, Telling, flags};
use crate::mask::Mask;
use crate::stream::{RawEvent, Record};
use crate::sys::dirent::Kind;
use crate::watches::{NO_PLACE, Owner, PlaceId};

impl Forest {
    /// An event of the places that share a descriptor.
    #[inline]
    pub(crate) fn on_places(&mut self, first: PlaceId, event: &RawEvent<'_>, fx: &mut Effects) {
        if self.places.get(first).same_wd() == NO_PLACE {
            return self.on_place(first, event, fx);
        }
        let places: Vec<PlaceRef> = self
            .same_wd(first)
            .map(|place| self.places.reference(place))
            .collect();
        for reference in places {
            if let Some(place) = self.places.resolve(reference)
                && self.places.get(place).wd() == event.wd
            {
                self.on_place(place, event, fx);
            }
        }
    }

    pub(super) fn on_place(&mut self, id: PlaceId, event: &RawEvent<'_>, fx: &mut Effects) {
        if event.mask & Mask::IGNORED.bits() != 0 {
            return self.on_place_ignored(id, fx);
        }
        match self.standing(id) {
            Standing::InTree => {}
            Standing::Limbo { top } => return self.hold_event(top, id, event),
            // The repair tells what there is.
            Standing::Nameless | Standing::Doomed => return,
        }
        let index = self.places.get(id).tree();
        if fx.position < self.trees[index].since() {
            return;
        }
        if self.trees[index].lost {
            self.want_scan(self.trees[index].root, self.trees[index].telling());
        }
        if is_dir(event) {
            self.on_permissions(id, event);
        }
        let asked = event.mask & self.trees[index].mask().bits() & Mask::ALL.bits() != 0;
        if event.name.is_empty() {
            if !self.is_stale(id) || self.trees[index].root == id {
                self.on_directory_itself(id, event, asked, fx);
            }
        } else if !self.is_stale(id) && !self.is_to_be_told(id) {
            self.on_entry(id, event, asked, fx);
        }
    }

    /// An event of an entry in a directory that is in its tree.
    fn on_entry(&mut self, id: PlaceId, event: &RawEvent<'_>, asked: bool, fx: &mut Effects) {
        if self.places.get(id).is(flags::RETRY) {
            self.retry(id);
        }
        if event.mask & Forest::structural().bits() != 0 {
            if self.places.get(id).is_leaf() {
                self.on_first_of_leaf(id, event, fx);
            }
            self.left_before(id, event, fx);
            self.on_doubted(id, event, fx);
            if self.is_stale(id) {
                // It took a repair, which has begun.
                return;
            }
            if self.has_strangers() {
                self.note_stranger_moves(id, event);
            }
            if event.mask & Mask::MOVED_FROM.bits() != 0 && self.is_exchange(id, event) {
                if !self.tree_of(id).mask().contains(Mask::MOVED_TO) {
                    self.remember_move(id, event, fx);
                }
                return self.on_exchange(id, event, fx);
            }
        }
        if asked {
            self.tell_entry(id, event, fx);
        } else if event.mask & Mask::MOVED_FROM.bits() != 0 {
            // The caller did not ask for the first half of the rename, but may for the second.
            self.remember_move(id, event, fx);
        } else if event.mask & Mask::MOVED_TO.bits() != 0 {
            self.on_unasked_arrival(id, event, fx);
        }
        if self.tree_of(id).ending {
            return;
        }
        if is_dir(event) {
            self.on_subdirectory(id, event, fx);
        } else if event.mask & Mask::MOVED_TO.bits() != 0 {
            self.displace(id, event.name, None, fx);
        }
    }

    fn remember_move(&self, id: PlaceId, event: &RawEvent<'_>, fx: &mut Effects) {
        let tree = self.tree_of(id);
        let write = |path: &mut Vec<u8>| self.append_path(id, tree.path(), path);
        fx.out
            .remember_move(event.cookie, tree.id(), write, event.name);
    }

    /// The caller did not ask for the second half of a rename. If nobody has heard the first, the entry may come from a
    /// directory of the tree that was not watched yet, and nothing was told of it.
    fn on_unasked_arrival(&mut self, id: PlaceId, event: &RawEvent<'_>, fx: &mut Effects) {
        let tree = self.tree_of(id);
        if fx.out.knows_move(event.cookie, tree.id()) {
            return;
        }
        if self.hears_all(self.places.get(id).tree()) {
            return self.note_stray(id, event);
        }
        if is_dir(event) {
            self.tell_found(id, event.name, Kind::Directory, Telling::AsEvents, fx);
        } else {
            self.doubt_unheard(id, event.name);
        }
    }

    /// The first that is told of an entry in a directory that was not listed. A rename may have been under way when the
    /// links were counted: what leaves was there.
    fn on_first_of_leaf(&mut self, id: PlaceId, event: &RawEvent<'_>, fx: &mut Effects) {
        self.places.set_leaf(id, false);
        if event.mask & Mask::MOVED_FROM.bits() == 0 {
            return;
        }
        self.note_half_heard(event.wd, event.name);
        let index = self.places.get(id).tree();
        let tree = &self.trees[index];
        if is_dir(event) && !tree.syncing && !tree.lost && !tree.ending {
            // What has come to be in it since the tree is whole was not told.
            self.begin_sync(index, Cause::NotEmpty, fx);
        } else if is_dir(event) {
            let entry = (event.name, Kind::Directory);
            self.found(id, entry, Telling::Nothing, false, fx);
        }
    }

    fn tell_entry(&mut self, id: PlaceId, event: &RawEvent<'_>, fx: &mut Effects) {
        let record = Record {
            wd: event.wd,
            mask: event.mask,
            cookie: event.cookie,
            ..Record::NONE
        };
        self.tell(id, event.name, record, fx);
        // Later events of files in this directory take the short way.
        let place = self.places.get(id);
        let alone = fx.watches.owner(event.wd) == Some(Owner::Place(id));
        if alone && place.same_wd() == NO_PLACE {
            let mask = self.tree_of(id).mask() & Mask::ALL;
            let long_way = Mask::ISDIR | Mask::MOVE | Mask::IGNORED | Mask::UNMOUNT;
            let version = self.version();
            fx.watches
                .remember_shortcut(event.wd, mask, long_way, version, fx.out);
        }
    }

    /// An event without a name. Of a subdirectory the watch of its parent tells, too, with its name. Of the root no other
    /// watch tells.
    fn on_directory_itself(
        &mut self,
        id: PlaceId,
        event: &RawEvent<'_>,
        asked: bool,
        fx: &mut Effects,
    ) {
        let parent = self.places.get(id).parent();
        let unmounted = event.mask & Mask::UNMOUNT.bits() != 0;
        if unmounted {
            self.places.set(id, flags::UNMOUNTED);
        }
        let is_mount = parent == NO_PLACE || !self.places.get(parent).is(flags::UNMOUNTED);
        if (parent == NO_PLACE && asked) || (unmounted && is_mount) {
            let record = Record {
                wd: event.wd,
                mask: event.mask,
                cookie: event.cookie,
                ..Record::NONE
            };
            self.tell(id, b"", record, fx);
        }
    }

    fn on_subdirectory(&mut self, parent: PlaceId, event: &RawEvent<'_>, fx: &mut Effects) {
        let name = event.name;
        let kind = Mask::from_bits_retain(event.mask);
        if kind.contains(Mask::CREATE) {
            self.new_directory(parent, name, fx);
        } else if kind.contains(Mask::DELETE) {
            if let Some(child) = self.places.child(parent, name) {
                self.take_away(child, fx);
            }
        } else if kind.contains(Mask::MOVED_FROM) {
            self.on_moved_from(parent, name, event.cookie);
        } else if kind.contains(Mask::MOVED_TO) {
            self.on_moved_to(parent, name, event.cookie, fx);
        }
    }

    /// A directory appears. A directory that had its name before is gone.
    pub(super) fn new_directory(&mut self, parent: PlaceId, name: &[u8], fx: &mut Effects) {
        let before = self.places.child(parent, name);
        let tries = before.map(|child| self.places.get(child).tries());
        if let Some(child) = before {
            self.take_away(child, fx);
            if self.is_stale(parent) {
                return;
            }
        }
        self.new_directory_with(tries, parent, name);
    }

    /// A directory appears. It inherits how often scans of what had its name before, or of itself, have come to nothing.
    fn new_directory_with(
        &mut self,
        tries: impl IntoIterator<Item = u32>,
        parent: PlaceId,
        name: &[u8],
    ) {
        if self.is_deep_enough(parent) {
            let place = self.new_place(parent, name);
            let most = tries.into_iter().max().unwrap_or(0);
            self.places.set_tries(place, most);
            self.want_scan(place, Telling::AsEvents);
            self.doubt_strays(self.places.get(parent).tree());
        }
    }

    fn on_moved_from(&mut self, parent: PlaceId, name: &[u8], cookie: u32) {
        if let Some(child) = self.places.child(parent, name) {
            if self.places.get(child).is(flags::RECENT) {
                self.want_look(child);
            }
            let tree = self.places.get(parent).tree();
            self.put_in_limbo(child, parent, Why::Moved { tree, cookie });
        }
    }

    fn on_moved_to(&mut self, parent: PlaceId, name: &[u8], cookie: u32, fx: &mut Effects) {
        let index = self.places.get(parent).tree();
        let before = self.places.child(parent, name);
        let tries = before.map(|child| self.places.get(child).tries());
        let moved = self.moved_with(index, cookie).filter(|_| before.is_some());
        let from = moved.and_then(|top| self.was_at(top));
        self.displace(parent, name, from, fx);
        let Some(place) = self.moved_with(index, cookie) else {
            let along = self.arrivals.tries_with(cookie);
            return self.new_directory_with(tries.into_iter().chain(along), parent, name);
        };
        self.places.set(place, flags::RECENT);
        self.recent.push(self.places.reference(place));
        if self.trees[index].max_depth() != 0 && !self.fit(place, parent, fx) {
            return;
        }
        self.leave_limbo(place, parent, name, fx);
        if self.is_stale(parent) {
            // What was held took a repair, which has begun.
            return;
        }
        if self.is_stale(place) {
            // The directory moved before the repair found it again. The event says where it is.
            let epoch = self.trees[index].epoch;
            let moved = self.places.get(place);
            let telling = match moved.telling() {
                Telling::AsEvents => Telling::AsEvents,
                _ if moved.is(flags::TROUBLED) => Telling::AsEvents,
                _ => self.trees[index].telling(),
            };
            self.places.set_epoch(place, epoch);
            self.places.set(place, flags::UNLISTED);
            self.want_scan(place, telling);
        }
        if self.places.get(place).is(flags::RETRY) {
            self.retry(place);
        }
        // Others are above it now, whose permissions matter.
        self.try_refused(place);
    }

    /// Something was renamed to a name: what had it before is replaced, and the kernel's IGNORED follows at once, or the two
    /// have changed places.
    fn displace(
        &mut self,
        parent: PlaceId,
        name: &[u8],
        from: Option<(i32, Vec<u8>)>,
        fx: &mut Effects,
    ) {
        let Some(child) = self.places.child(parent, name) else {
            return;
        };
        if self.places.get(child).wd() != 0 && !self.is_stale(child) {
            let why = Why::Displaced {
                parent: self.places.reference(parent),
                name: name.to_vec(),
            };
            self.put_in_limbo(child, parent, why);
            self.set_came_from(child, from);
        } else {
            // Nothing is known of that directory that could be lost.
            self.arrivals
                .came_over_unwatched(self.places.get(child).tries());
            self.doom(child, fx);
        }
    }
}
