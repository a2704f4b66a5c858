//! Plain watches: on one file or directory, by the kernel's own rules.

use super::table::{NO_PLACE, Owner, PlaceId};
use super::{Target, Watches};
use crate::advice::text;
use crate::error::{Error, Result};
use crate::mask::Mask;
use crate::stream::{Outbox, Position, RawEvent, Record};
use crate::watch_id::WatchId;
use std::ffi::{CStr, CString};

/// A watch on one file or directory.
pub(super) struct Plain {
    id: WatchId,
    pub(super) wd: i32,
    /// As it was given.
    pub(super) path: CString,
    /// Event bits, EXCL_UNLINK and ONESHOT.
    pub(super) mask: Mask,
    /// From this position in the stream on it is the mask; what was queued before came under another.
    since: Position,
    before: Mask,
    /// False once it was removed; its IGNORED may still be on the way.
    pub(super) active: bool,
    /// Its last event is in the queue.
    pub(super) ended: bool,
    /// The kernel's mask may ask for more than this watch does.
    pub(super) filtered: bool,
    /// The kernel itself ends the watch with its first event.
    pub(super) kernel_oneshot: bool,
    /// The first place in trees with the same watch descriptor.
    pub(super) first_place: PlaceId,
}

impl Plain {
    pub(super) fn id(&self) -> WatchId {
        self.id
    }

    pub(super) fn first_place(&self) -> PlaceId {
        self.first_place
    }

    /// `place` is the first with the same descriptor, or no place has it.
    pub(super) fn share(&mut self, place: PlaceId) {
        self.first_place = place;
        self.filtered |= place != NO_PLACE;
    }
}

/// A watch that the kernel has just put for `add_watch`.
pub(crate) struct Addition<'a> {
    pub(crate) wd: i32,
    pub(crate) path: &'a CStr,
    pub(crate) mask: Mask,
    /// The first place in trees that hears of the descriptor.
    pub(crate) first_place: PlaceId,
    /// Older events are not its own.
    pub(crate) since: Position,
}

impl Watches {
    pub(crate) fn add_plain(&mut self, addition: &Addition<'_>) -> WatchId {
        let (id, mask, shared) = (
            WatchId::next(),
            addition.mask,
            addition.first_place != NO_PLACE,
        );
        let index = self.plains.insert(Plain {
            id,
            wd: addition.wd,
            path: addition.path.to_owned(),
            mask: mask & Mask::KEPT,
            since: addition.since,
            before: Mask::empty(),
            active: true,
            ended: false,
            filtered: shared,
            kernel_oneshot: mask.contains(Mask::ONESHOT) && !shared,
            first_place: addition.first_place,
        });
        self.owners.set(addition.wd, Owner::Plain(index));
        self.asks_for(mask);
        self.changed();
        self.ids.insert(id.as_raw(), Target::Plain(index));
        id
    }

    /// Another mask for a watch, from the position `since` on; `head` is that of the next event to decode.
    pub(crate) fn change_mask(
        &mut self,
        index: u32,
        mask: Mask,
        head: Position,
        since: Position,
    ) -> WatchId {
        let plain = &mut self.plains[index];
        if head >= plain.since {
            plain.before = Mask::empty();
        }
        plain.before |= plain.mask & Mask::ALL;
        plain.since = since;
        plain.mask = plain.mask.changed_by(mask);
        let id = plain.id;
        self.asks_for(mask);
        self.changed();
        id
    }

    /// The kernel itself will end the watch with its first event, if it is a ONESHOT.
    pub(crate) fn leave_oneshot_to_kernel(&mut self, index: u32) {
        let plain = &mut self.plains[index];
        plain.kernel_oneshot = plain.mask.contains(Mask::ONESHOT);
    }

    /// The kernel is asked for more than this watch wants to hear.
    pub(crate) fn filter_plain(&mut self, index: u32) {
        if !self.plains[index].filtered {
            self.plains[index].filtered = true;
            self.changed();
        }
    }

    /// A watch for a tree could not be put.
    pub(crate) fn tree_watch_failed(&mut self) {
        if !self.may_hear_more {
            self.may_hear_more = true;
            self.changed();
        }
    }

    /// The mask that makes the kernel leave ONESHOT to us, if this descriptor's plain watch made it the kernel's.
    pub(crate) fn mask_without_oneshot(&mut self, wd: i32, tree_mask: Mask) -> Option<Mask> {
        let Some(Owner::Plain(index)) = self.owner(wd) else {
            return None;
        };
        let plain = &mut self.plains[index];
        if !plain.kernel_oneshot {
            return None;
        }
        plain.kernel_oneshot = false;
        Some((tree_mask | (plain.mask & Mask::ALL)) - Mask::MASK_ADD)
    }

    /// Fails if a plain watch has been removed already, or has ended.
    pub(crate) fn check_removable(&self, index: u32) -> Result<()> {
        let plain = &self.plains[index];
        match plain.active && !plain.ended {
            true => Ok(()),
            false => Err(ended_watch(plain.id)),
        }
    }

    /// Removes a plain watch at this position. The descriptor, if the kernel is to tell of the end; else a tree goes on with
    /// it.
    pub(crate) fn rm_plain(&mut self, index: u32, position: Position) -> Option<i32> {
        let plain = &mut self.plains[index];
        plain.active = false;
        let (id, wd, first_place) = (plain.id, plain.wd, plain.first_place);
        if first_place == NO_PLACE {
            return Some(wd);
        }
        self.end_at(position, id);
        None
    }

    /// The queue has overflowed. With it the IGNORED of removed watches may be lost, which end at this position then.
    pub(crate) fn end_removed_at(&mut self, position: Position) {
        let is_removed = |it: &Plain| !it.active && !it.ended && it.first_place == NO_PLACE;
        for plain in self.plains.iter().filter(|it| is_removed(it)) {
            self.endings.push_back((position, plain.id));
        }
    }

    /// The position has come at which a removed watch ends.
    pub(crate) fn end_removed_plain(&mut self, index: u32, out: &mut Outbox) {
        let plain = &self.plains[index];
        if plain.ended {
            return;
        }
        let (wd, first_place) = (plain.wd, plain.first_place);
        self.end_plain(index, out);
        if first_place == NO_PLACE {
            // The tree has left meanwhile.
            self.owners.remove(wd);
            self.unheld.push(wd);
        } else {
            self.owners.set(wd, Owner::Place(first_place));
        }
    }

    /// Tells the IGNORED of a plain watch.
    fn end_plain(&mut self, index: u32, out: &mut Outbox) {
        let plain = &mut self.plains[index];
        plain.active = false;
        if plain.ended {
            return;
        }
        plain.ended = true;
        let record = Record {
            wd: plain.wd,
            mask: Mask::IGNORED.bits(),
            watch: plain.id.as_raw(),
            last: true,
            ..Record::NONE
        };
        out.tell_at(plain.path.to_bytes(), b"", record);
        self.changed();
    }

    /// An event of a plain watch's descriptor. `version` is that of the trees.
    pub(crate) fn on_plain(
        &mut self,
        index: u32,
        event: &RawEvent<'_>,
        position: Position,
        version: u64,
        out: &mut Outbox,
    ) {
        let plain = &self.plains[index];
        if plain.ended {
            return;
        }
        if event.mask & Mask::IGNORED.bits() != 0 {
            return self.end_plain(index, out);
        }
        let settled = position >= plain.since;
        let mask = if settled { plain.mask } else { plain.before };
        let unasked = event.mask & mask.bits() & Mask::ALL.bits() == 0;
        let filtered = plain.filtered || self.may_hear_more;
        if filtered && unasked && event.mask & Mask::UNMOUNT.bits() == 0 {
            return;
        }
        let spent = mask.contains(Mask::ONESHOT);
        let record = Record {
            watch: plain.id.as_raw(),
            wd: event.wd,
            mask: event.mask,
            cookie: event.cookie,
            last: spent,
            ..Record::NONE
        };
        out.tell_at(plain.path.to_bytes(), event.name, record);
        if spent {
            self.spend(index, out);
        } else if settled {
            self.remember_plain(index, version, out);
        }
    }

    /// Later events of this directory take the short way.
    fn remember_plain(&mut self, index: u32, version: u64, out: &Outbox) {
        let plain = &self.plains[index];
        if plain.first_place == NO_PLACE {
            let mask = match plain.filtered || self.may_hear_more {
                true => plain.mask & Mask::ALL,
                false => Mask::ALL,
            };
            let long_way = Mask::MOVE | Mask::IGNORED | Mask::UNMOUNT;
            self.remember_shortcut(plain.wd, mask, long_way, version, out);
        }
    }

    /// The one event of a ONESHOT watch is in the queue.
    fn spend(&mut self, index: u32, out: &mut Outbox) {
        let plain = &mut self.plains[index];
        plain.active = false;
        plain.ended = true;
        let (wd, kernel_oneshot, first_place) = (plain.wd, plain.kernel_oneshot, plain.first_place);
        if first_place != NO_PLACE {
            self.owners.set(wd, Owner::Place(first_place));
            return tell_ignored_of_nobody(wd, out);
        }
        self.owners.set(wd, Owner::Spent);
        if !kernel_oneshot {
            self.unheld.push(wd);
        }
    }

    /// An event of a descriptor whose ONESHOT watch is spent.
    pub(crate) fn on_spent(&mut self, event: &RawEvent<'_>, out: &mut Outbox) {
        if event.mask & Mask::IGNORED.bits() != 0 {
            tell_ignored_of_nobody(event.wd, out);
        }
    }

    // What a program may ask, and correct.

    pub(crate) fn plain_id(&self, index: u32) -> WatchId {
        self.plains[index].id
    }

    pub(crate) fn plain_path(&self, index: u32) -> &CStr {
        &self.plains[index].path
    }

    pub(crate) fn set_plain_path(&mut self, index: u32, path: CString) {
        self.plains[index].path = path;
        self.changed();
    }

    pub(crate) fn plain_mask(&self, index: u32) -> Mask {
        self.plains[index].mask
    }

    pub(crate) fn plain_wd(&self, index: u32) -> i32 {
        self.plains[index].wd
    }

    pub(crate) fn plain_is_active(&self, index: u32) -> bool {
        self.plains[index].active
    }
}

/// The IGNORED that follows a spent ONESHOT.
fn tell_ignored_of_nobody(wd: i32, out: &mut Outbox) {
    out.tell_without_path(Record {
        wd,
        mask: Mask::IGNORED.bits(),
        ..Record::NONE
    });
}

impl Mask {
    /// The mask in force after another add on the same inode.
    fn changed_by(self, mask: Mask) -> Mask {
        let kept = if mask.contains(Mask::MASK_ADD) {
            self
        } else {
            Mask::empty()
        };
        kept | (mask & Mask::KEPT)
    }
}

pub(crate) fn ended_watch(id: WatchId) -> Error {
    Error::new(
        libc::ENOENT,
        text!(
            "the watch with ID {} has ended already; its IGNORED is on the way",
            id.as_raw()
        ),
    )
}
