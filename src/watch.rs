//! Plain watches, and the table of who holds which watch descriptor.

use crate::backlog::{RawEvent, raw_events};
use crate::batch::Record;
use crate::error::{Error, Result};
use crate::mask::Mask;
use crate::places::{NONE, PlaceId};
use crate::state::State;
use crate::watch_id::WatchId;
use std::ffi::{CStr, CString};

/// What an ID names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Plain(u32),
    Tree(u32),
}

/// Who hears of a watch descriptor, in four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Holder(u32);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    /// A plain watch, and through it the places of the same directory in trees.
    Plain(u32),
    /// The first place in trees.
    Place(PlaceId),
    /// A ONESHOT watch was here; only its IGNORED is to come.
    Spent,
}

impl Holder {
    const PLAIN: u32 = 1 << 31;
    const SPENT: u32 = u32::MAX;

    pub(crate) fn by(&self) -> Held {
        match self.0 {
            Holder::SPENT => Held::Spent,
            n if n & Holder::PLAIN != 0 => Held::Plain(n & !Holder::PLAIN),
            n => Held::Place(n),
        }
    }
}

impl From<Held> for Holder {
    fn from(held: Held) -> Holder {
        Holder(match held {
            Held::Plain(index) => index | Holder::PLAIN,
            Held::Place(place) => place,
            Held::Spent => Holder::SPENT,
        })
    }
}

/// A watch on one file or directory.
pub(crate) struct Plain {
    pub(crate) id: WatchId,
    pub(crate) wd: i32,
    /// As it was given.
    path: CString,
    /// Event bits, EXCL_UNLINK and ONESHOT.
    mask: Mask,
    /// From this position in the stream on it is the mask; what was queued before came under another.
    since: u64,
    before: Mask,
    /// False once it was removed; its IGNORED may still be on the way.
    active: bool,
    /// Its last event is in the queue.
    ended: bool,
    /// The kernel's mask may ask for more than this watch does.
    filtered: bool,
    /// The kernel itself ends the watch with its first event.
    kernel_oneshot: bool,
    /// The first place in trees with the same watch descriptor.
    pub(crate) first_place: PlaceId,
}

impl State {
    pub(crate) fn target(&self, id: WatchId) -> Result<Target> {
        self.ids
            .get(&id.as_raw())
            .copied()
            .ok_or_else(|| no_such_watch(id))
    }

    pub(crate) fn add_watch(&mut self, path: &CStr, mask: Mask) -> Result<WatchId> {
        if mask.bits() & !Mask::all().bits() != 0 {
            return Err(Error::new(
                libc::EINVAL,
                format!("the mask has bits inotify(7) does not know: {mask}"),
            ));
        }
        if mask.is_empty() {
            return Err(Error::new(libc::EINVAL, "the mask is empty"));
        }
        if mask.contains(Mask::MASK_ADD | Mask::MASK_CREATE) {
            return Err(Error::new(
                libc::EINVAL,
                "MASK_ADD and MASK_CREATE exclude each other",
            ));
        }
        self.end_removed_plains();
        if self.trees.is_empty() {
            self.add_to_kernel(path, mask)
        } else {
            self.add_beside_trees(path, mask)
        }
    }

    /// Without trees the kernel's rules are ours.
    fn add_to_kernel(&mut self, path: &CStr, mask: Mask) -> Result<WatchId> {
        let wd = self
            .inotify
            .add(path, mask)
            .map_err(|errno| add_failed(errno, path))?;
        if let Some(Held::Plain(index)) = self.by_wd.get(&wd).map(Holder::by) {
            let since = self.mask_taken(wd)?;
            self.change_mask(index, mask, since);
            let plain = &mut self.plains[index];
            plain.kernel_oneshot = plain.mask.contains(Mask::ONESHOT);
            let id = plain.id;
            self.shape_changed();
            return Ok(id);
        }
        Ok(self.new_plain(wd, path, mask, NONE))
    }

    /// With trees about, the path may lead to a directory that a tree watches: its mask is only ever added to, ONESHOT is
    /// ours to do, and what nobody asked for is filtered. Elsewhere the kernel's rules are ours.
    fn add_beside_trees(&mut self, path: &CStr, mask: Mask) -> Result<WatchId> {
        let failed = |errno| add_failed(errno, path);
        let fresh = (mask - Mask::MASK_ADD) | Mask::MASK_CREATE;
        match self.inotify.add(path, fresh) {
            Ok(wd) => return Ok(self.new_plain(wd, path, mask, NONE)),
            Err(libc::EEXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        // Adding nothing tells whose it is.
        let nothing = (mask & (Mask::DONT_FOLLOW | Mask::ONLYDIR)) | Mask::MASK_ADD;
        let wd = self.inotify.add(path, nothing).map_err(failed)?;
        let (plain, place) = match self.by_wd.get(&wd).map(Holder::by) {
            Some(Held::Plain(index)) => (Some(index), self.plains[index].first_place),
            Some(Held::Place(place)) => (None, place),
            Some(Held::Spent) | None => (None, NONE),
        };
        if self.is_being_listed(wd) && place == NONE {
            // The kernel's mask is the tree's, which is about to hold it.
            self.give_up_listing();
            return match plain {
                Some(_) => self.add_to_kernel(path, mask),
                None => self.add_beside_trees(path, mask),
            };
        }
        if place == NONE {
            let mask = match plain {
                Some(_) => mask,
                // On its way out: the kernel's watch goes on as ours.
                None => mask - Mask::MASK_CREATE,
            };
            return self.add_to_kernel(path, mask);
        }
        if plain.is_some() && mask.contains(Mask::MASK_CREATE) {
            return Err(failed(libc::EEXIST));
        }
        self.drain().map_err(read_failed)?;
        let since = self.backlog.tail();
        let added = (mask & Mask::ALL) | (nothing | (mask & Mask::EXCL_UNLINK));
        if self.inotify.add(path, added).map_err(failed)? != wd {
            return Err(failed(libc::ESTALE));
        }
        let Some(index) = plain else {
            let id = self.new_plain(wd, path, mask, place);
            if let Target::Plain(index) = self.target(id)? {
                // The tree's older events are not its own.
                self.plains[index].since = since;
            }
            return Ok(id);
        };
        self.change_mask(index, mask, since);
        self.shape_changed();
        Ok(self.plains[index].id)
    }

    /// Brings removed watches to their end where a tree has kept their descriptor: a new watch on the same inode is not to
    /// be taken for the old one.
    fn end_removed_plains(&mut self) {
        let is_plain = |state: &State, id| matches!(state.target(id), Ok(Target::Plain(_)));
        while self.endings.iter().any(|&(_, id)| is_plain(self, id)) {
            self.fill_to_next_ending();
        }
    }

    /// The position from which on a mask counts that the kernel has just taken for a watch.
    fn mask_taken(&mut self, wd: i32) -> Result<u64> {
        self.drain().map_err(read_failed)?;
        // A ONESHOT that has fired already: its event is the last one before the IGNORED.
        let mut last = self.backlog.tail();
        for (offset, event) in raw_events(self.backlog.pending()).filter(|(_, e)| e.wd == wd) {
            if event.mask & Mask::IGNORED.bits() != 0 {
                return Ok(last);
            }
            last = self.backlog.head() + offset as u64;
        }
        Ok(self.backlog.tail())
    }

    /// Another mask for a watch, from a position on.
    fn change_mask(&mut self, index: u32, mask: Mask, since: u64) {
        let plain = &mut self.plains[index];
        if self.backlog.head() >= plain.since {
            plain.before = Mask::empty();
        }
        plain.before |= plain.mask & Mask::ALL;
        plain.since = since;
        plain.mask = plain.mask.changed_by(mask);
    }

    fn new_plain(&mut self, wd: i32, path: &CStr, mask: Mask, first_place: PlaceId) -> WatchId {
        let id = WatchId::next();
        let index = self.plains.insert(Plain {
            id,
            wd,
            path: path.to_owned(),
            mask: mask & Mask::KEPT,
            since: 0,
            before: Mask::empty(),
            active: true,
            ended: false,
            filtered: first_place != NONE,
            kernel_oneshot: mask.contains(Mask::ONESHOT) && first_place == NONE,
            first_place,
        });
        self.by_wd.insert(wd, Held::Plain(index).into());
        self.shape_changed();
        self.ids.insert(id.as_raw(), Target::Plain(index));
        id
    }

    /// The kernel is asked for more than this watch wants to hear.
    pub(crate) fn filter_plain(&mut self, index: u32) {
        if !self.plains[index].filtered {
            self.plains[index].filtered = true;
            self.shape_changed();
        }
    }

    /// A tree shares the descriptor from now on.
    pub(crate) fn share_plain(&mut self, index: u32, first_place: PlaceId) {
        self.filter_plain(index);
        self.plains[index].first_place = first_place;
    }

    /// The mask that makes the kernel leave ONESHOT to us, if this descriptor's plain watch made it the kernel's.
    pub(crate) fn mask_without_oneshot(&mut self, wd: i32, tree_mask: Mask) -> Option<Mask> {
        let Some(Held::Plain(index)) = self.by_wd.get(&wd).map(Holder::by) else {
            return None;
        };
        let plain = &mut self.plains[index];
        if !plain.kernel_oneshot {
            return None;
        }
        plain.kernel_oneshot = false;
        Some((tree_mask | (plain.mask & Mask::ALL)) - Mask::MASK_ADD)
    }

    pub(crate) fn rm_watch(&mut self, id: WatchId) -> Result<()> {
        match self.target(id)? {
            Target::Plain(index) => self.rm_plain(index),
            Target::Tree(index) => self.rm_tree(index),
        }
    }

    fn rm_plain(&mut self, index: u32) -> Result<()> {
        let plain = &self.plains[index];
        let (id, wd, first_place) = (plain.id, plain.wd, plain.first_place);
        if !plain.active || plain.ended {
            return Err(ended_watch(id));
        }
        // A full queue has no room for the IGNORED.
        self.drain().map_err(read_failed)?;
        self.plains[index].active = false;
        if first_place == NONE {
            // The kernel queues the IGNORED, behind all that was queued before.
            return self.rm_from_kernel(wd).map_err(|_| ended_watch(id));
        }
        // A tree goes on with the descriptor: the end is told at the same position in the stream.
        self.endings.push_back((self.backlog.tail(), id));
        Ok(())
    }

    /// The position has come at which the next watch ends that the kernel does not tell of.
    pub(crate) fn end_next_watch(&mut self) {
        let Some((_, id)) = self.endings.pop_front() else {
            return;
        };
        match self.ids.get(&id.as_raw()) {
            Some(&Target::Plain(index)) if !self.plains[index].ended => {
                let (wd, first_place) = (self.plains[index].wd, self.plains[index].first_place);
                self.end_plain(index);
                if first_place == NONE {
                    // The tree has left meanwhile.
                    let _ = self.rm_from_kernel(wd);
                    self.by_wd.remove(&wd);
                } else {
                    self.by_wd.insert(wd, Held::Place(first_place).into());
                }
            }
            Some(&Target::Tree(index)) => self.end_tree(index),
            _ => {}
        }
    }

    /// Delivers the IGNORED of a plain watch.
    fn end_plain(&mut self, index: u32) {
        let plain = &mut self.plains[index];
        plain.active = false;
        if plain.ended {
            return;
        }
        plain.ended = true;
        self.places.version += 1;
        let record = Record {
            wd: plain.wd,
            mask: Mask::IGNORED.bits(),
            watch: plain.id.as_raw(),
            last: true,
            ..Record::NONE
        };
        self.deliver_to_plain(index, b"", record);
    }

    #[inline]
    fn deliver_to_plain(&mut self, index: u32, name: &[u8], mut record: Record) {
        let start = self.out.bytes.len();
        let plain = &self.plains[index];
        record.watch = plain.id.as_raw();
        self.out.bytes.extend_from_slice(plain.path.to_bytes());
        record.path = self.end_path(start, name);
        record.name_len = name.len() as u32;
        self.push(record);
    }

    /// An event of a plain watch's descriptor.
    #[inline]
    pub(crate) fn on_plain(&mut self, index: u32, event: &RawEvent<'_>) {
        let plain = &self.plains[index];
        if plain.ended {
            return;
        }
        if event.mask & Mask::IGNORED.bits() != 0 {
            return self.end_plain(index);
        }
        let mask = if self.position < plain.since {
            plain.before
        } else {
            plain.mask
        };
        let unasked = event.mask & mask.bits() & Mask::ALL.bits() == 0;
        if plain.filtered && unasked && event.mask & Mask::UNMOUNT.bits() == 0 {
            return;
        }
        let spent = mask.contains(Mask::ONESHOT);
        let settled = self.position >= plain.since;
        let record = Record {
            wd: event.wd,
            mask: event.mask,
            cookie: event.cookie,
            last: spent,
            ..Record::NONE
        };
        self.deliver_to_plain(index, event.name, record);
        if spent {
            self.spend(index);
        } else if settled {
            self.remember_plain(index);
        }
    }

    /// Later events of this directory take the short way.
    fn remember_plain(&mut self, index: u32) {
        let plain = &self.plains[index];
        if plain.first_place == NONE {
            let mask = if plain.filtered {
                plain.mask & Mask::ALL
            } else {
                Mask::ALL
            };
            let long_way = Mask::MOVE | Mask::IGNORED | Mask::UNMOUNT;
            self.remember_shortcut(plain.wd, mask.bits(), long_way.bits());
        }
    }

    /// The one event of a ONESHOT watch is in the queue.
    fn spend(&mut self, index: u32) {
        let plain = &mut self.plains[index];
        plain.active = false;
        plain.ended = true;
        let (wd, kernel_oneshot, first_place) = (plain.wd, plain.kernel_oneshot, plain.first_place);
        if first_place != NONE {
            self.by_wd.insert(wd, Held::Place(first_place).into());
            self.push_ignored_of_nobody(wd);
            return;
        }
        if !kernel_oneshot {
            let _ = self.rm_from_kernel(wd);
        }
        self.by_wd.insert(wd, Held::Spent.into());
    }

    /// The IGNORED that follows a spent ONESHOT.
    pub(crate) fn push_ignored_of_nobody(&mut self, wd: i32) {
        self.push(Record {
            wd,
            mask: Mask::IGNORED.bits(),
            ..Record::NONE
        });
    }

    /// The last event of a watch is taken: its ID is stale.
    pub(crate) fn retire(&mut self, id: WatchId) {
        match self.ids.remove(&id.as_raw()) {
            Some(Target::Plain(index)) => {
                self.plains.remove(index);
            }
            Some(Target::Tree(index)) => self.free_tree_if_done(index),
            None => {}
        }
    }

    pub(crate) fn watch_path(&self, id: WatchId) -> Result<CString> {
        Ok(match self.target(id)? {
            Target::Plain(index) => self.plains[index].path.clone(),
            Target::Tree(index) => CString::new(self.trees[index].path.clone()).unwrap_or_default(),
        })
    }

    pub(crate) fn watch_set_path(&mut self, id: WatchId, path: &CStr) -> Result<()> {
        match self.target(id)? {
            Target::Plain(index) => {
                self.plains[index].path = path.to_owned();
                self.shape_changed();
            }
            Target::Tree(index) => self.set_tree_path(index, path),
        }
        Ok(())
    }

    pub(crate) fn watch_mask(&self, id: WatchId) -> Result<Mask> {
        Ok(match self.target(id)? {
            Target::Plain(index) => self.plains[index].mask,
            Target::Tree(index) => self.trees[index].mask,
        })
    }

    pub(crate) fn watch_wd(&self, id: WatchId) -> Result<i32> {
        Ok(match self.target(id)? {
            Target::Plain(index) => self.plains[index].wd,
            Target::Tree(index) => self.trees[index].root_wd,
        })
    }

    pub(crate) fn watch_is_active(&self, id: WatchId) -> Result<bool> {
        Ok(match self.target(id)? {
            Target::Plain(index) => self.plains[index].active,
            Target::Tree(index) => !self.trees[index].ending,
        })
    }
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

fn add_failed(errno: i32, path: &CStr) -> Error {
    Error::of_call(errno, "inotify_add_watch(2) on", Some(path))
}

fn read_failed(errno: i32) -> Error {
    Error::of_call(errno, "read(2) of the inotify fd", None)
}

fn no_such_watch(id: WatchId) -> Error {
    let text = format!(
        "this instance has no watch with ID {}: it has ended, or belongs to another instance",
        id.as_raw()
    );
    Error::new(libc::ENOENT, text)
}

fn ended_watch(id: WatchId) -> Error {
    Error::new(
        libc::ENOENT,
        format!(
            "the watch with ID {} has ended already; its IGNORED is on the way",
            id.as_raw()
        ),
    )
}
