//! Events on their way out: plain records, their strings in one block of memory that is used again.

use crate::mask::{EventFlags, Mask};
use crate::memory::Room;
use crate::sys::Sys;
use crate::watch_id::WatchId;
use std::ffi::{CStr, c_char};

/// Events in order, and the bytes of their paths.
#[derive(Default)]
pub(crate) struct Batch {
    records: Vec<Record>,
    bytes: Vec<u8>,
}

/// Where a NUL-terminated string stands in [`Batch::bytes`]; the length does not count the NUL.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Span {
    start: usize,
    len: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// 0: no watch, and then no path.
    pub(crate) watch: u64,
    pub(crate) wd: i32,
    pub(crate) mask: u32,
    pub(crate) cookie: u32,
    pub(crate) flags: u32,
    pub(crate) error: i32,
    /// The last so many bytes of the path are the name; 0: the event has none.
    pub(crate) name_len: u32,
    pub(crate) path: Span,
    pub(crate) moved_from: Span,
    /// The watch ends with this event.
    pub(crate) last: bool,
}

impl Record {
    pub(crate) const NONE: Record = Record {
        watch: 0,
        wd: -1,
        mask: 0,
        cookie: 0,
        flags: 0,
        error: 0,
        name_len: 0,
        path: Span { start: 0, len: 0 },
        moved_from: Span { start: 0, len: 0 },
        last: false,
    };
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
        // The memory that one great listing needed is not kept for ever.
        const RECORDS: usize = 16 * 1024;
        const BYTES: usize = 1024 * 1024;
        if self.records.capacity() > RECORDS {
            self.records.shrink_to(RECORDS);
        }
        if self.bytes.capacity() > BYTES {
            self.bytes.shrink_to(BYTES);
        }
    }

    /// Room for so many events, with texts of so many bytes in all.
    #[inline]
    pub(crate) fn make_room(&mut self, events: usize, bytes: usize) -> Sys<()> {
        self.records.make_room(events)?;
        self.bytes.make_room(bytes)
    }

    /// Room for all events of another batch behind these.
    pub(crate) fn make_room_for(&mut self, other: &Batch) -> Sys<()> {
        self.make_room(other.records.len(), other.bytes.len())
    }

    /// Moves another batch's events behind these.
    pub(crate) fn append(&mut self, other: &Batch) {
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.records.extend(other.records.iter().map(|record| {
            let moved = |span: Span| Span {
                start: span.start + offset,
                ..span
            };
            Record {
                path: moved(record.path),
                moved_from: moved(record.moved_from),
                ..*record
            }
        }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn push(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Takes back all events of a watch.
    pub(crate) fn retract(&mut self, watch: WatchId) {
        self.records.retain(|record| record.watch != watch.as_raw());
    }

    /// Where the next string starts; `end_text` ends it.
    #[inline]
    pub(super) fn begin_text(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(super) fn extend_text(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    #[inline]
    pub(super) fn repeat_text(&mut self, span: Span) {
        let end = span.start + span.len as usize;
        self.bytes.extend_from_within(span.start..end);
    }

    /// The memory in which the string that was begun goes on.
    #[inline]
    pub(super) fn text_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(super) fn text_since(&self, start: usize) -> Span {
        let len = (self.bytes.len() - start) as u32;
        Span { start, len }
    }

    /// Ends the string that was begun at `start`.
    #[inline]
    pub(super) fn end_text(&mut self, start: usize) -> Span {
        let span = self.text_since(start);
        self.bytes.push(0);
        span
    }

    /// Appends a string and its NUL.
    pub(super) fn text(&mut self, bytes: &[u8]) -> Span {
        let start = self.begin_text();
        self.extend_text(bytes);
        self.end_text(start)
    }

    pub(super) fn bytes_of(&self, span: Span) -> &[u8] {
        &self.bytes[span.start..span.start + span.len as usize]
    }

    /// If the last event was of an entry in a directory: that directory's path with a '/', and the watch.
    pub(super) fn last_in_directory(&self) -> Option<(&[u8], u64)> {
        let record = self.records.last().filter(|record| record.name_len > 0)?;
        let mut directory = record.path;
        directory.len -= record.name_len;
        Some((self.bytes_of(directory), record.watch))
    }

    #[inline]
    pub(crate) fn event(&self, index: usize) -> Event<'_> {
        let record = &self.records[index];
        let text = |span: Span| Text(&self.bytes[span.start..span.start + span.len as usize + 1]);
        let has_path = record.watch != 0;
        Event {
            watch: has_path.then(|| WatchId::from_raw(record.watch)),
            wd: record.wd,
            mask: Mask::from_bits_retain(record.mask),
            cookie: record.cookie,
            flags: EventFlags::from_bits_retain(record.flags),
            error: record.error,
            path: has_path.then(|| text(record.path)),
            name: (record.name_len > 0).then(|| {
                let skipped = (record.path.len - record.name_len) as usize;
                text(Span {
                    start: record.path.start + skipped,
                    len: record.name_len,
                })
            }),
            moved_from: (record.moved_from.len > 0).then(|| text(record.moved_from)),
            last: record.last,
        }
    }
}

/// A NUL-terminated string of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    #[inline]
    pub fn as_ptr(self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    /// The bytes without the NUL.
    #[inline]
    pub fn to_bytes(self) -> &'a [u8] {
        &self.0[..self.0.len() - 1]
    }

    pub fn to_c_str(self) -> &'a CStr {
        CStr::from_bytes_until_nul(self.0).unwrap_or_default()
    }
}

impl<'a> From<&'a CStr> for Text<'a> {
    fn from(text: &'a CStr) -> Text<'a> {
        Text(text.to_bytes_with_nul())
    }
}

impl std::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.to_bytes().escape_ascii())
    }
}

/// One event, as it is taken.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// None: the queue overflowed, or the watch was a ONESHOT that is spent.
    pub watch: Option<WatchId>,
    pub wd: i32,
    pub mask: Mask,
    pub cookie: u32,
    pub flags: EventFlags,
    /// Positive errno of an ERROR event.
    pub error: i32,
    /// Full path as it was when the event happened.
    pub path: Option<Text<'a>>,
    /// The entry's name, the tail of the path; None when the event is about the watch itself.
    pub name: Option<Text<'a>>,
    /// On a MOVED_TO whose MOVED_FROM was seen: the path from which the entry came.
    pub moved_from: Option<Text<'a>>,
    /// The watch ended with this event; its ID is stale from now on.
    pub last: bool,
}
