//! What an event means for the trees: new directories, renames, ends.

use crate::backlog::RawEvent;
use crate::batch::Record;
use crate::limbo::Why;
use crate::mask::Mask;
use crate::places::{NONE, PlaceId, state};
use crate::state::State;
use crate::sys::Sys;
use crate::watch::{Held, Holder};

impl State {
    /// Decodes the backlog up to where something else is due, or enough is ready.
    pub(crate) fn decode(&mut self, enough: usize) {
        let next_ending = self.endings.front().map(|&(position, _)| position);
        let next_emission = self.emissions.front().map(|emission| emission.position);
        let stop = next_ending
            .into_iter()
            .chain(next_emission)
            .min()
            .unwrap_or(u64::MAX);
        let head = self.backlog.head();
        let (bytes, start) = self.backlog.lend();
        let mut at = start;
        while self.out.len() < enough && head + ((at - start) as u64) < stop {
            let Some((event, size)) = RawEvent::first(&bytes[at..]) else {
                break;
            };
            self.position = head + (at - start) as u64;
            at += size;
            if !self.deliver_shortly(&event) {
                self.on_event(&event);
            }
        }
        self.backlog.give_back(bytes, at);
    }

    pub(crate) fn on_event(&mut self, event: &RawEvent<'_>) {
        if event.mask & Mask::Q_OVERFLOW.bits() != 0 {
            return self.on_overflow();
        }
        // A descriptor nobody holds is one we have let go of.
        let Some(held) = self.by_wd.get(&event.wd).map(Holder::by) else {
            return;
        };
        match held {
            Held::Plain(index) => {
                let places = self.plains[index].first_place;
                self.on_plain(index, event);
                if places != NONE {
                    self.on_places(places, event);
                }
            }
            Held::Place(first) => self.on_places(first, event),
            Held::Spent => {
                if event.mask & Mask::IGNORED.bits() != 0 {
                    self.push_ignored_of_nobody(event.wd);
                }
            }
        }
        if event.mask & Mask::IGNORED.bits() != 0 {
            self.forget_wd(event.wd);
        }
        if event.mask & Mask::MOVED_TO.bits() != 0 {
            // It may be held until it is known where its directory is.
            if self.limbo.is_empty() {
                self.moves.forget(event.cookie);
            }
            if !self.trees.is_empty() {
                self.arrivals.note(event, self.over_unwatched);
            }
            self.over_unwatched = false;
        } else if event.mask & (Mask::CREATE | Mask::DELETE | Mask::MOVED_FROM).bits() != 0 {
            self.arrivals.forget(event);
        }
    }

    /// The kernel has let go of a descriptor.
    fn forget_wd(&mut self, wd: i32) {
        // Places of a tree that is being removed still have it; a repeated removal does no harm.
        match self.by_wd.get(&wd).map(Holder::by) {
            Some(Held::Place(_)) | None => {}
            Some(Held::Plain(index)) if self.plains[index].first_place != NONE => {
                let first = self.plains[index].first_place;
                self.by_wd.insert(wd, Held::Place(first).into());
            }
            Some(Held::Plain(_) | Held::Spent) => {
                self.by_wd.remove(&wd);
            }
        }
    }

    fn on_overflow(&mut self) {
        self.push(Record {
            mask: Mask::Q_OVERFLOW.bits(),
            ..Record::NONE
        });
        self.arrivals.clear();
        for tree in self.trees.indices() {
            if !self.trees[tree].ending {
                self.begin_sync(tree);
            }
        }
    }

    /// The places that share a descriptor.
    pub(crate) fn same_wd(&self, first: PlaceId) -> impl Iterator<Item = PlaceId> {
        let next =
            |&place: &PlaceId| Some(self.places.get(place).same_wd).filter(|&next| next != NONE);
        std::iter::successors(Some(first), next)
    }

    #[inline]
    fn on_places(&mut self, first: PlaceId, event: &RawEvent<'_>) {
        if self.places.get(first).same_wd == NONE {
            return self.on_place(first, event);
        }
        let places: Vec<_> = self
            .same_wd(first)
            .map(|place| self.places.reference(place))
            .collect();
        for reference in places {
            if let Some(place) = self.places.resolve(reference)
                && self.places.get(place).wd == event.wd
            {
                self.on_place(place, event);
            }
        }
    }

    pub(crate) fn on_place(&mut self, id: PlaceId, event: &RawEvent<'_>) {
        if event.mask & Mask::IGNORED.bits() != 0 {
            return self.on_place_ignored(id);
        }
        let top = self.places.top(id);
        if self.places.get(top).is(state::DOOMED) {
            return;
        }
        if self.places.get(top).is(state::LIMBO) {
            return self.hold_event(top, id, event);
        }
        let place = self.places.get(id);
        let tree = &self.trees[place.tree];
        let own = place.parent == NONE && event.name.is_empty();
        if self.is_stale(id) && !own {
            // Not found yet, or not again since the queue overflowed: the scan to come tells what there is.
            return;
        }
        if self.position < tree.since {
            return;
        }
        let asked = event.mask & tree.mask.bits() & Mask::ALL.bits() != 0;
        if event.name.is_empty() {
            return self.on_directory_itself(id, event, asked);
        }
        if event.mask & (Mask::CREATE | Mask::DELETE | Mask::MOVE).bits() != 0 {
            self.on_doubted(id, event);
            if self.is_stale(id) {
                // That took a repair, which has begun.
                return;
            }
            if event.mask & Mask::MOVED_FROM.bits() != 0 && self.is_exchange(id, event) {
                return self.on_exchange(id, event);
            }
        }
        if asked {
            let record = Record {
                wd: event.wd,
                mask: event.mask,
                cookie: event.cookie,
                ..Record::NONE
            };
            self.deliver_in_place(id, event.name, record);
            self.remember_place(id);
        } else if event.mask & Mask::MOVED_FROM.bits() != 0 {
            self.remember_move(id, event);
        }
        if self.trees[self.places.get(id).tree].ending {
            return;
        }
        if event.mask & Mask::ISDIR.bits() != 0 {
            self.on_subdirectory(id, event);
        } else if event.mask & Mask::MOVED_TO.bits() != 0 {
            self.displace(id, event.name);
        }
    }

    /// Whether a repair of the tree is under way that has not come to this place yet.
    pub(crate) fn is_stale(&self, id: PlaceId) -> bool {
        let place = self.places.get(id);
        place.epoch != self.trees[place.tree].epoch
    }

    /// Later events of files in this directory take the short way.
    fn remember_place(&mut self, id: PlaceId) {
        let place = self.places.get(id);
        let (wd, mask) = (place.wd, self.trees[place.tree].mask & Mask::ALL);
        if self.by_wd.get(&wd).map(Holder::by) == Some(Held::Place(id)) && place.same_wd == NONE {
            let long_way = Mask::ISDIR | Mask::MOVE | Mask::IGNORED | Mask::UNMOUNT;
            self.remember_shortcut(wd, mask.bits(), long_way.bits());
        }
    }

    /// The caller did not ask for the first half of the rename, but may for the second.
    fn remember_move(&mut self, id: PlaceId, event: &RawEvent<'_>) {
        let mut path = std::mem::take(&mut self.scratch);
        let tree = &self.trees[self.places.get(id).tree];
        path.clear();
        path.extend_from_slice(&tree.path);
        if path.last() == Some(&b'/') {
            path.pop();
        }
        self.places.append_path(id, &mut path);
        path.push(b'/');
        path.extend_from_slice(event.name);
        self.moves.remember(event.cookie, tree.id, &path);
        self.scratch = path;
    }

    /// Of a subdirectory its parent's watch tells, with its name; of the root nobody else does.
    fn on_directory_itself(&mut self, id: PlaceId, event: &RawEvent<'_>, asked: bool) {
        let parent = self.places.get(id).parent;
        let unmounted = event.mask & Mask::UNMOUNT.bits() != 0;
        if unmounted {
            self.places.get_mut(id).set(state::UNMOUNTED);
        }
        let is_mount = parent == NONE || !self.places.get(parent).is(state::UNMOUNTED);
        if (parent == NONE && asked) || (unmounted && is_mount) {
            let record = Record {
                wd: event.wd,
                mask: event.mask,
                cookie: event.cookie,
                ..Record::NONE
            };
            self.deliver_in_place(id, b"", record);
        }
    }

    fn on_subdirectory(&mut self, parent: PlaceId, event: &RawEvent<'_>) {
        let name = event.name;
        let kind = Mask::from_bits_retain(event.mask);
        if kind.contains(Mask::CREATE) {
            self.new_directory(parent, name);
        } else if kind.contains(Mask::DELETE) {
            if let Some(child) = self.places.child(parent, name) {
                self.doom(child);
            }
        } else if kind.contains(Mask::MOVED_FROM) {
            self.on_moved_from(parent, name, event.cookie);
        } else if kind.contains(Mask::MOVED_TO) {
            self.on_moved_to(parent, name, event.cookie);
        }
    }

    /// A directory appears, whatever had its name before.
    pub(crate) fn new_directory(&mut self, parent: PlaceId, name: &[u8]) {
        if let Some(child) = self.places.child(parent, name) {
            self.doom(child);
        }
        if self.is_deep_enough(parent) {
            let place = self.new_place(parent, name);
            self.queue_scan(place, state::REPORT);
        }
    }

    /// Whether subdirectories of `parent` are within the tree's depth.
    pub(crate) fn is_deep_enough(&self, parent: PlaceId) -> bool {
        let limit = self.trees[self.places.get(parent).tree].max_depth;
        limit == 0 || self.places.depth(parent) + 1 < limit
    }

    fn on_moved_from(&mut self, parent: PlaceId, name: &[u8], cookie: u32) {
        let child = self.places.child(parent, name);
        if let Some(child) = child {
            if self.places.get(child).is(state::RECENT) {
                self.verify(child);
            }
            self.put_in_limbo(child, parent, Why::Moved { cookie });
        }
    }

    fn on_moved_to(&mut self, parent: PlaceId, name: &[u8], cookie: u32) {
        let tree = self.places.get(parent).tree;
        self.displace(parent, name);
        let Some(index) = self.limbo_by_cookie(cookie, tree) else {
            return self.new_directory(parent, name);
        };
        let place = self.limbo[index].place;
        let limited = self.trees[tree].max_depth != 0;
        self.places.get_mut(place).set(state::RECENT);
        self.recent.push(self.places.reference(place));
        if limited && !self.fits(place, parent) {
            // Deeper or higher than before: what is within the limit is another part of it.
            self.doom(place);
            return self.new_directory(parent, name);
        }
        self.leave_limbo(index, parent, name);
        if self.is_stale(place) {
            // It moved before it was found again.
            self.queue_scan(place, self.trees[tree].how());
        }
    }

    /// Something was renamed to a name: what had it before is replaced, and the kernel's IGNORED follows at once, or the two
    /// have changed places.
    fn displace(&mut self, parent: PlaceId, name: &[u8]) {
        let Some(child) = self.places.child(parent, name) else {
            return;
        };
        if self.places.get(child).wd != 0 && !self.is_stale(child) {
            let name = name.to_vec();
            self.put_in_limbo(child, parent, Why::Displaced { name });
        } else {
            // Nothing is known of it that could be lost.
            self.over_unwatched = true;
            self.doom(child);
        }
    }

    /// Whether a subtree can hang below `parent` as it is: at the same depth as before.
    fn fits(&self, place: PlaceId, parent: PlaceId) -> bool {
        self.depth_before(place)
            .is_some_and(|depth| depth == self.places.depth(parent))
    }

    pub(crate) fn forget_recent(&mut self) {
        self.arrivals.settle();
        while let Some(reference) = self.recent.pop() {
            if let Some(place) = self.places.resolve(reference) {
                self.places.get_mut(place).unset(state::RECENT);
            }
        }
    }

    /// The kernel has let go of a directory: it is deleted, or its filesystem unmounted.
    fn on_place_ignored(&mut self, id: PlaceId) {
        let place = self.places.get(id);
        let (tree_index, parent, unmounted) =
            (place.tree, place.parent, place.is(state::UNMOUNTED));
        let tree = &self.trees[tree_index];
        if tree.ending || place.is(state::DOOMED) {
            return;
        }
        if tree.root == id {
            return self.end_tree(tree_index);
        }
        let mount_point =
            unmounted && parent != NONE && !self.places.get(parent).is(state::UNMOUNTED);
        // A scan that is queued has found the name on the disk, so another directory has it now.
        let succeeded = place.is(state::QUEUED) && !place.is(state::LIMBO);
        if !mount_point && !succeeded {
            self.doubt_vacated(id);
            return self.doom(id);
        }
        self.let_go(id);
        self.places.get_mut(id).unset(state::UNMOUNTED);
        while let Some(child) = self.places.first_child(id) {
            self.doom(child);
        }
        if !succeeded {
            // What the mount had covered is there again.
            self.queue_scan(id, state::REPORT);
        }
    }

    /// A place holds a descriptor from now on.
    pub(crate) fn hold(&mut self, place: PlaceId, wd: i32) {
        let next = match self.by_wd.get(&wd).map(Holder::by) {
            Some(Held::Plain(index)) => {
                self.shape_changed();
                let next = self.plains[index].first_place;
                self.share_plain(index, place);
                next
            }
            Some(Held::Place(next)) => {
                self.shape_changed();
                self.by_wd.insert(wd, Held::Place(place).into());
                next
            }
            Some(Held::Spent) | None => {
                self.by_wd.insert(wd, Held::Place(place).into());
                NONE
            }
        };
        let tree = &mut self.trees[self.places.get(place).tree];
        if tree.root == place {
            tree.root_wd = wd;
        }
        let place = self.places.get_mut(place);
        place.wd = wd;
        place.same_wd = next;
    }

    /// A place holds its descriptor no more; the kernel's watch goes with its last holder.
    pub(crate) fn let_go(&mut self, id: PlaceId) {
        let place = self.places.get_mut(id);
        let (wd, next) = (place.wd, place.same_wd);
        if wd == 0 {
            return;
        }
        place.wd = 0;
        place.same_wd = NONE;
        self.shape_changed();
        let (first, plain) = match self.by_wd.get(&wd).map(Holder::by) {
            Some(Held::Plain(index)) => (self.plains[index].first_place, Some(index)),
            Some(Held::Place(first)) => (first, None),
            Some(Held::Spent) | None => return,
        };
        if first != id {
            let before = self
                .same_wd(first)
                .find(|&other| self.places.get(other).same_wd == id);
            if let Some(before) = before {
                self.places.get_mut(before).same_wd = next;
            }
            return;
        }
        match plain {
            Some(index) => self.plains[index].first_place = next,
            None if next != NONE => {
                self.by_wd.insert(wd, Held::Place(next).into());
            }
            None => {
                self.by_wd.remove(&wd);
                // It fails where the directory is gone already.
                let _ = self.rm_from_kernel(wd);
            }
        }
    }

    /// Takes a place, with all below it, out of its tree; the work is done by `release_some`.
    pub(crate) fn doom(&mut self, id: PlaceId) {
        if self.places.get(id).is(state::LIMBO) {
            self.drop_limbo(id);
        }
        self.places.unlink(id);
        self.shape_changed();
        self.places.get_mut(id).set(state::DOOMED);
        self.doomed.push(id);
    }

    /// Takes some doomed places away.
    pub(crate) fn release_some(&mut self) -> Sys<()> {
        // Each removal queues an IGNORED; this is well below any sensible queue.
        for _ in 0..64 {
            let Some(&id) = self.doomed.last() else {
                return Ok(());
            };
            if let Some(child) = self.places.first_child(id) {
                self.doom(child);
                continue;
            }
            self.doomed.pop();
            self.let_go(id);
            self.free_place(id);
        }
        self.drain()
    }

    fn free_place(&mut self, id: PlaceId) {
        self.unqueue(id);
        let index = self.places.get(id).tree;
        self.places.free(id);
        self.trees[index].places -= 1;
        self.free_tree_if_done(index);
    }
}
