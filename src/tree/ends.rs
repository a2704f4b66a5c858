//! How a place gets its watch descriptor and lets go of it, and how places and trees end.

use super::{Effects, Forest, NewTree, PlaceRef, Standing, Telling, Tree, flags};
use crate::debug::{Quoted, debug};
use crate::mask::Mask;
use crate::memory::{self, Room};
use crate::stream::Record;
use crate::sys::Sys;
use crate::watch_id::WatchId;
use crate::watches::{NO_PLACE, PlaceId};

impl Forest {
    /// Makes a tree with its root, which is to be watched next.
    pub(crate) fn add_tree(&mut self, new: NewTree, fx: &mut Effects) -> u32 {
        /// What an overflow comes to for a tree, besides its path: it is told of all trees in one step.
        const EACH: usize = 512;
        let index = self.trees.insert(Tree::new(new));
        let tree = &self.trees[index];
        self.longest_root = self.longest_root.max(tree.path().len());
        memory::foresee(self.trees.len() * (2 * self.longest_root + EACH));
        let (id, epoch, lists) = (tree.id(), tree.epoch(), tree.lists());
        let root = self.places.add(index, epoch, NO_PLACE, b"");
        self.trees[index].root = root;
        if lists {
            // The list tells what happens before it, too.
            self.places.set(root, flags::UNLISTED);
        }
        fx.watches.name_tree(id, index);
        index
    }

    pub(crate) fn new_place(&mut self, parent: PlaceId, name: &[u8]) -> PlaceId {
        let index = self.places.get(parent).tree();
        let tree = &mut self.trees[index];
        tree.places += 1;
        self.places.add(index, tree.epoch, parent, name)
    }

    /// A place has a descriptor from now on.
    pub(crate) fn assign_wd(&mut self, id: PlaceId, wd: i32, fx: &mut Effects) {
        let tree = &mut self.trees[self.places.get(id).tree()];
        if tree.root == id {
            tree.root_wd = wd;
        }
        let next = fx.watches.assign(wd, id);
        self.places.set_wd(id, wd, next);
    }

    /// A place lets go of its descriptor; the kernel's watch goes with its last holder.
    pub(crate) fn let_go(&mut self, id: PlaceId, fx: &mut Effects) {
        let place = self.places.get(id);
        let (wd, next) = (place.wd(), place.same_wd());
        if wd == 0 {
            return;
        }
        self.places.set_wd(id, 0, NO_PLACE);
        self.unhear_permissions(id);
        fx.watches.changed();
        let first = fx.watches.first_place(wd);
        if first == id {
            return fx.watches.follow_first_place(wd, next);
        }
        let mut same = self.same_wd(first);
        let before = same.find(|&other| self.places.get(other).same_wd() == id);
        drop(same);
        if let Some(before) = before {
            self.places.set_same_wd(before, next);
        }
    }

    /// Takes a place, with all below it, out of its tree; `release_some` does the work.
    pub(crate) fn doom(&mut self, id: PlaceId, fx: &mut Effects) {
        debug_assert!(!self.places.get(id).is(flags::DOOMED));
        if self.log.is_on() {
            self.show_doomed(id);
        }
        if self.places.get(id).is(flags::LIMBO) {
            self.drop_limbo(id, fx);
        }
        self.places.unlink(id);
        self.places.changed();
        self.places.set(id, flags::DOOMED);
        self.doomed.push(id);
    }

    /// Prints what is taken away, without what is below it.
    #[cold]
    fn show_doomed(&self, id: PlaceId) {
        match self.standing(id) {
            Standing::InTree => debug!(self.log, "takes away {}", Quoted(self.path_of(id))),
            Standing::Doomed => {}
            Standing::Limbo { .. } | Standing::Nameless => {
                let name = Quoted(self.places.get(id).name());
                debug!(self.log, "takes away what was {name}");
            }
        }
    }

    pub(crate) fn has_doomed(&self) -> bool {
        !self.doomed.is_empty()
    }

    /// Takes some doomed places away.
    pub(crate) fn release_some(&mut self, fx: &mut Effects) {
        // Each removal queues an IGNORED; this is well below any sensible queue.
        const AT_ONCE: usize = 64;
        for _ in 0..AT_ONCE {
            let Some(&id) = self.doomed.last() else {
                return;
            };
            if let Some(child) = self.places.first_child(id) {
                self.doom(child, fx);
                continue;
            }
            self.doomed.pop();
            self.let_go(id, fx);
            self.free_place(id, fx);
        }
    }

    fn free_place(&mut self, id: PlaceId, fx: &mut Effects) {
        self.unqueue(id);
        self.forget_trouble(id);
        let index = self.places.get(id).tree();
        self.places.free(id);
        self.trees[index].places -= 1;
        self.free_tree_if_done(index, fx);
    }

    /// The ID of a tree is stale.
    pub(crate) fn retire_tree(&mut self, index: u32, fx: &Effects) {
        self.free_tree_if_done(index, fx);
    }

    /// A tree's record goes with its last place, but not before its ID has gone too: until then the ID leads to it.
    fn free_tree_if_done(&mut self, index: u32, fx: &Effects) {
        if let Some(tree) = self.trees.get(index)
            && tree.places == 0
            && fx.watches.target(tree.id()).is_err()
            && let Some(tree) = self.trees.remove(index)
        {
            self.garbage.extend(tree.into_filter());
        }
    }

    /// The kernel has let go of a directory: it is deleted, or its filesystem unmounted.
    pub(super) fn on_place_ignored(&mut self, id: PlaceId, fx: &mut Effects) {
        let place = self.places.get(id);
        let (index, parent) = (place.tree(), place.parent());
        if self.trees[index].ending || place.is(flags::DOOMED) {
            return;
        }
        if self.trees[index].root == id {
            return self.end_tree(index, fx);
        }
        let unmounted = place.is(flags::UNMOUNTED);
        let mount_point =
            unmounted && parent != NO_PLACE && !self.places.get(parent).is(flags::UNMOUNTED);
        let succeeded = parent != NO_PLACE && self.was_found_by_name(id);
        if mount_point || succeeded {
            // What the mount had covered is there again.
            let telling = match succeeded {
                true => place.telling(),
                false => Telling::AsEvents,
            };
            let successor = self.succeed(id, parent);
            self.want_scan(successor, telling);
        } else {
            self.doubt_vacated(id);
        }
        self.take_away(id, fx);
    }

    /// Whether the scan that is queued was wanted because a list of the parent has the name: another directory may have it
    /// now. A mere look, and a scan for what is deeper, are wanted because of a rename; and what a repair has not found yet it will find.
    fn was_found_by_name(&self, id: PlaceId) -> bool {
        let place = self.places.get(id);
        place.is(flags::QUEUED)
            && place.epoch() == self.tree_of(id).epoch()
            && (!place.is(flags::VERIFY | flags::DEEPER) || place.is(flags::UNLISTED))
    }

    /// Another directory has the name of a place.
    fn succeed(&mut self, id: PlaceId, parent: PlaceId) -> PlaceId {
        let name = self.places.get(id).name().to_vec();
        self.places.unlink(id);
        self.unqueue_quietly(id);
        self.new_place(parent, &name)
    }

    /// As `unqueue`, where another scan follows at once.
    fn unqueue_quietly(&mut self, id: PlaceId) {
        let place = self.places.get(id);
        if place.is(flags::QUEUED) {
            let index = place.tree();
            let pending = usize::from(place.is(flags::PENDING));
            self.places.unset(id, flags::OF_SCAN);
            self.trees[index].pending -= pending;
        }
    }

    /// Tells the IGNORED of a tree and takes its places away.
    pub(crate) fn end_tree(&mut self, index: u32, fx: &mut Effects) {
        let tree = &mut self.trees[index];
        if tree.ended {
            return;
        }
        tree.ending = true;
        tree.ended = true;
        let (root, wd) = (tree.root, tree.root_wd);
        let record = Record {
            wd,
            mask: Mask::IGNORED.bits(),
            last: true,
            ..Record::NONE
        };
        self.tell(root, b"", record, fx);
        self.doom_tree(index, fx);
    }

    /// Takes a tree away that nobody was told of.
    pub(crate) fn discard_tree(&mut self, index: u32, fx: &mut Effects) {
        let id = self.trees[index].id();
        fx.watches.retire(id);
        fx.out.retract(id);
        self.trees[index].ending = true;
        self.trees[index].ended = true;
        self.doom_tree(index, fx);
    }

    fn doom_tree(&mut self, index: u32, fx: &mut Effects) {
        self.drop_half_renames_of(index, fx);
        self.doubts.forget_tree(index);
        let nameless = std::mem::take(&mut self.trees[index].nameless);
        for top in nameless {
            if let Some(top) = self.nameless_place(top) {
                self.doom(top, fx);
            }
        }
        let root = self.trees[index].root;
        self.doom(root, fx);
    }

    /// A removed tree goes on hearing of what was queued before; its end is told at this position.
    pub(crate) fn begin_ending(&mut self, index: u32, fx: &mut Effects) {
        self.trees[index].ending = true;
        fx.watches.end_at(fx.position, self.trees[index].id());
    }

    /// The descriptors that only this tree has, of all its places.
    pub(crate) fn own_wds(&self, index: u32, fx: &Effects) -> Sys<Vec<i32>> {
        let tree = &self.trees[index];
        let nameless = tree
            .nameless
            .iter()
            .filter_map(|&top| self.nameless_place(top));
        let tops = nameless.chain(self.limbo.tops()).chain([tree.root]);
        let (mut stack, mut wds) = (Vec::new(), Vec::new());
        for top in tops.filter(|&top| self.places.get(top).tree() == index) {
            stack.make_room(1)?;
            stack.push(top);
        }
        while let Some(id) = stack.pop() {
            for child in self.places.children(id) {
                stack.make_room(1)?;
                stack.push(child);
            }
            let wd = self.places.get(id).wd();
            let first = fx.watches.first_place(wd);
            let is_places = fx.watches.is_places(wd);
            let own = |other: PlaceId| self.places.get(other).tree() == index;
            if wd != 0 && is_places && self.same_wd(first).all(own) {
                wds.make_room(1)?;
                wds.push(wd);
            }
        }
        Ok(wds)
    }

    /// The top of a subtree without a name, if it still is one.
    pub(super) fn nameless_place(&self, reference: PlaceRef) -> Option<PlaceId> {
        let id = self.places.resolve(reference)?;
        let place = self.places.get(id);
        let is_top = place.parent() == NO_PLACE && self.tree_of(id).root != id;
        (is_top && !place.is(flags::LIMBO | flags::DOOMED)).then_some(id)
    }

    pub(crate) fn tree_id(&self, index: u32) -> WatchId {
        self.trees[index].id()
    }
}
