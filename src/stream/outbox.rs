//! Where events wait to be delivered: from here on an event is only copied.

use super::batch::{Batch, Record, Span};
use super::moves::Moves;
use crate::mask::Mask;
use crate::sys::Sys;
use crate::watch_id::WatchId;

#[derive(Default)]
pub(crate) struct Outbox {
    batch: Batch,
    /// The path in `batch` of the directory that had the last event.
    prefix: Option<Prefix>,
    moves: Moves,
    scratch: Vec<u8>,
}

/// Names the path that was built last. That path is right as long as `version` stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathKey {
    pub(crate) place: u32,
    pub(crate) version: u64,
}

struct Prefix {
    key: PathKey,
    path: Span,
}

/// Appends `/name`, if there is a name, to the path that begins at `start`.
#[inline]
fn join(bytes: &mut Vec<u8>, start: usize, name: &[u8]) {
    if !name.is_empty() {
        if bytes.last() != Some(&b'/') || bytes.len() == start {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
    }
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.batch.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Room for so many events, with texts of so many bytes in all.
    #[inline]
    pub(crate) fn make_room(&mut self, events: usize, bytes: usize) -> Sys<()> {
        self.batch.make_room(events, bytes)
    }

    /// Hands over what is ready, in exchange for an empty batch.
    pub(crate) fn swap(&mut self, batch: &mut Batch) {
        self.prefix = None;
        std::mem::swap(&mut self.batch, batch);
    }

    /// Moves what is ready behind the events of another batch.
    pub(crate) fn append_to(&mut self, batch: &mut Batch) -> Sys<()> {
        batch.make_room_for(&self.batch)?;
        batch.append(&self.batch);
        self.prefix = None;
        self.batch.clear();
        Ok(())
    }

    /// Takes back all that was to be told of a watch.
    pub(crate) fn retract(&mut self, watch: WatchId) {
        self.batch.retract(watch);
    }

    /// Tells an event that has no path.
    pub(crate) fn tell_without_path(&mut self, record: Record) {
        self.push(record);
    }

    /// Tells an event of a directory with a known path, or of an entry in it (`name` not empty).
    #[inline]
    pub(crate) fn tell_at(&mut self, path: &[u8], name: &[u8], record: Record) {
        let start = self.batch.begin_text();
        self.batch.extend_text(path);
        self.finish(start, name, record);
    }

    /// Tells an event of an entry in a directory whose path ends in '/'. The event is no half of a rename. False: there is
    /// no memory for it.
    #[inline]
    pub(crate) fn tell_shortly(&mut self, path: &[u8], name: &[u8], mut record: Record) -> bool {
        if self.make_room(1, path.len() + name.len() + 1).is_err() {
            return false;
        }
        let start = self.batch.begin_text();
        self.batch.extend_text(path);
        self.batch.extend_text(name);
        record.path = self.batch.end_text(start);
        record.name_len = name.len() as u32;
        self.batch.push(record);
        true
    }

    /// Tells an event as `tell_at` does; `write` appends the directory's path. If the last event was of the same directory,
    /// its path is copied instead.
    #[inline]
    pub(crate) fn tell_in(
        &mut self,
        key: PathKey,
        write: impl FnOnce(&mut Vec<u8>),
        name: &[u8],
        record: Record,
    ) {
        let start = self.batch.begin_text();
        match &self.prefix {
            Some(prefix) if prefix.key == key => self.batch.repeat_text(prefix.path),
            _ => {
                write(self.batch.text_mut());
                let path = self.batch.text_since(start);
                self.prefix = Some(Prefix { key, path });
            }
        }
        self.finish(start, name, record);
    }

    #[inline]
    fn finish(&mut self, start: usize, name: &[u8], mut record: Record) {
        join(self.batch.text_mut(), start, name);
        record.path = self.batch.end_text(start);
        record.name_len = name.len() as u32;
        self.push(record);
    }

    /// Remembers where a rename came from, or says it of one that arrives.
    #[inline]
    fn push(&mut self, mut record: Record) {
        if record.mask & Mask::MOVE.bits() != 0 {
            let watch = WatchId::from_raw(record.watch);
            if record.mask & Mask::MOVED_FROM.bits() != 0 {
                let path = self.batch.bytes_of(record.path);
                self.moves.remember(record.cookie, watch, path);
            } else if let Some(from) = self.moves.find(record.cookie, watch) {
                record.moved_from = self.batch.text(from);
            }
        }
        self.batch.push(record);
    }

    /// The caller did not ask for the first half of a rename, but may for the second.
    pub(crate) fn remember_move(
        &mut self,
        cookie: u32,
        watch: WatchId,
        write: impl FnOnce(&mut Vec<u8>),
        name: &[u8],
    ) {
        self.scratch.clear();
        write(&mut self.scratch);
        join(&mut self.scratch, 0, name);
        self.moves.remember(cookie, watch, &self.scratch);
    }

    /// Whether a watch has seen the first half of a rename.
    pub(crate) fn knows_move(&self, cookie: u32, watch: WatchId) -> bool {
        self.moves.knows(cookie, watch)
    }

    /// The rename is complete.
    pub(crate) fn forget_move(&mut self, cookie: u32) {
        self.moves.forget(cookie);
    }

    /// For `watch` the second half of a rename will not be known as such.
    pub(crate) fn give_up_move(&mut self, cookie: u32, watch: WatchId) {
        self.moves.give_up(cookie, watch);
    }

    /// The directory's path and what else the last event told, if it was of an entry in a directory.
    pub(crate) fn last_in_directory(&self) -> Option<(&[u8], u64)> {
        self.batch.last_in_directory()
    }
}
