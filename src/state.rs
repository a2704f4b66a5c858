//! All that an instance knows, behind one mutex: what was read, who watches what, and what waits to be delivered.
//!
//! The way of an event is a straight line through it: `read` from the kernel into the backlog, `decode` to the watches
//! and places of its descriptor, `follow` what it means for the tree, deliver into `out`. Scans of directories feed the
//! same line: what they find is told as events at the position in the stream where it belongs.

use crate::anchor::Anchor;
use crate::backlog::{Backlog, RawEvent};
use crate::batch::{Batch, Record, Span};
use crate::error::{Error, Result};
use crate::exchange::{Arrivals, Doubt};
use crate::found::Emission;
use crate::limbo::Limbo;
use crate::listing::Listing;
use crate::mask::Mask;
use crate::moves::Moves;
use crate::places::{IntHasher, NONE, PlaceId, PlaceRef, Places};
use crate::scan::Question;
use crate::shortcut::Shortcuts;
use crate::slab::Slab;
use crate::sys::Sys;
use crate::sys::clock;
use crate::sys::inotify::{InotifyFd, MAX_EVENT};
use crate::tree::{Filter, Tree};
use crate::watch::{Holder, Plain, Target};
use crate::watch_id::WatchId;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::Duration;

/// How long one call works on scans before it lets the event loop go on.
const SLICE: Duration = Duration::from_millis(4);
/// How many events are made ready before they are delivered: as many as stay in the processor's cache meanwhile.
const ENOUGH: usize = 256;

pub(crate) struct State {
    pub(crate) inotify: Arc<InotifyFd>,
    /// Bytes fetched by one read.
    pub(crate) read_size: usize,
    pub(crate) backlog: Backlog,
    /// Of the event that is being decoded.
    pub(crate) position: u64,
    pub(crate) out: Batch,

    pub(crate) ids: HashMap<u64, Target>,
    pub(crate) by_wd: HashMap<i32, Holder, BuildHasherDefault<IntHasher>>,
    pub(crate) plains: Slab<Plain>,
    pub(crate) trees: Slab<Tree>,
    pub(crate) places: Places,

    pub(crate) moves: Moves,
    pub(crate) arrivals: Arrivals,
    /// The event that is being followed has replaced a directory that was not watched yet.
    pub(crate) over_unwatched: bool,
    pub(crate) doubts: Vec<Doubt>,
    /// Ends of watches that the kernel does not tell of, by their position in the stream.
    pub(crate) endings: VecDeque<(u64, WatchId)>,
    /// Subtrees that have lost their name, until it is known where they are.
    pub(crate) limbo: Vec<Limbo>,
    /// Directories to watch and list.
    pub(crate) scans: Vec<PlaceRef>,
    pub(crate) listings: VecDeque<Listing>,
    /// What the listings have read, for the emissions too.
    pub(crate) listed: Vec<u8>,
    /// By their positions.
    pub(crate) emissions: VecDeque<Emission>,
    pub(crate) anchor: Option<Anchor>,
    /// Places to take away.
    pub(crate) doomed: Vec<PlaceId>,
    /// Places renamed since the kernel's queue was last empty.
    pub(crate) recent: Vec<PlaceRef>,
    /// Trees whose last scan is done.
    pub(crate) finished: Vec<u32>,
    /// Closures to drop once the mutex is free: dropping them may call anything.
    pub(crate) garbage: Vec<Filter>,

    pub(crate) shortcuts: Shortcuts,
    /// The path in `out` of the directory that had the last event.
    prefix: Option<Prefix>,
    pub(crate) scratch: Vec<u8>,
    /// A slice ended before the kernel's queue was seen empty. An edge-triggered waiter that is told "nothing now" would
    /// not come again for what is queued.
    unread: bool,
}

struct Prefix {
    place: PlaceId,
    version: u64,
    path: Span,
}

/// How far `fill` goes.
pub(crate) struct Pace {
    /// Set with the first look at the clock: most calls need none.
    deadline: Cell<Option<Duration>>,
    enough: usize,
    /// Stops when this tree is set up.
    until: Option<u32>,
}

impl Pace {
    pub(crate) fn one_slice() -> Pace {
        Pace {
            deadline: Cell::new(None),
            enough: ENOUGH,
            until: None,
        }
    }

    /// The caller waits for `tree` and takes no events meanwhile.
    pub(crate) fn until_set_up(tree: u32) -> Pace {
        Pace {
            deadline: Cell::new(None),
            enough: usize::MAX,
            until: Some(tree),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        let now = clock::now();
        match self.deadline.get() {
            Some(deadline) => now >= deadline,
            None => {
                self.deadline.set(Some(now + SLICE));
                false
            }
        }
    }
}

pub(crate) enum Filled {
    /// Events, or the end of a slice, or nothing to do: `has_work` tells.
    Done,
    /// A filter has to be asked, with the mutex released.
    Ask(Question),
}

impl State {
    pub(crate) fn new(inotify: Arc<InotifyFd>, cache_size: usize) -> State {
        State {
            inotify,
            read_size: cache_size * MAX_EVENT,
            backlog: Backlog::default(),
            position: 0,
            out: Batch::default(),
            ids: HashMap::new(),
            by_wd: HashMap::default(),
            plains: Slab::default(),
            trees: Slab::default(),
            places: Places::default(),
            moves: Moves::default(),
            arrivals: Arrivals::default(),
            over_unwatched: false,
            doubts: Vec::new(),
            endings: VecDeque::new(),
            limbo: Vec::new(),
            scans: Vec::new(),
            listings: VecDeque::new(),
            listed: Vec::new(),
            emissions: VecDeque::new(),
            anchor: None,
            doomed: Vec::new(),
            recent: Vec::new(),
            finished: Vec::new(),
            garbage: Vec::new(),
            shortcuts: Shortcuts::default(),
            prefix: None,
            scratch: Vec::new(),
            unread: false,
        }
    }

    /// Whether another `fill` would get on without a word from the kernel.
    pub(crate) fn has_work(&self) -> bool {
        !self.out.is_empty()
            || !self.backlog.is_empty()
            || !self.emissions.is_empty()
            || !self.listings.is_empty()
            || self.has_scans()
            || !self.doomed.is_empty()
            || !self.endings.is_empty()
            || !self.limbo.is_empty()
            || !self.doubts.is_empty()
            || !self.finished.is_empty()
            || self.unread
    }

    /// Gets some events ready in `out`, or finds that there are none now.
    pub(crate) fn fill(&mut self, pace: &Pace) -> Result<Filled> {
        let result =
            match self.trees.is_empty() && self.endings.is_empty() && self.doomed.is_empty() {
                true => self.fill_without_trees(pace),
                false => self.fill_on(pace),
            };
        if self.anchor.is_some() {
            self.leave_anchor();
        }
        result.map_err(|errno| Error::of_call(errno, "read(2) of the inotify fd", None))
    }

    /// Without trees there is nothing to do but read and decode.
    fn fill_without_trees(&mut self, pace: &Pace) -> Sys<Filled> {
        let mut reads = 0;
        while self.out.is_empty() {
            if reads > 0 && pace.is_over() {
                self.unread = true;
                break;
            }
            if self.backlog.is_empty() && self.read()? == 0 {
                self.trim();
                break;
            }
            reads += 1;
            self.decode(pace.enough);
        }
        Ok(Filled::Done)
    }

    fn fill_on(&mut self, pace: &Pace) -> Sys<Filled> {
        let mut reads = 0;
        loop {
            if pace.until.is_some_and(|tree| !self.is_setting_up(tree)) {
                return Ok(Filled::Done);
            }
            if !self.listings.is_empty() {
                if pace.is_over() {
                    return Ok(Filled::Done);
                }
                self.list_on(pace)?;
            } else if self
                .emissions
                .front()
                .is_some_and(|emission| emission.position <= self.backlog.head())
            {
                self.emit(pace.enough);
                if self.out.len() >= pace.enough || (!self.emissions.is_empty() && pace.is_over()) {
                    return Ok(Filled::Done);
                }
            } else if self
                .endings
                .front()
                .is_some_and(|&(position, _)| position <= self.backlog.head())
            {
                self.end_next_watch();
            } else if !self.backlog.is_empty() {
                self.decode(pace.enough);
                if self.out.len() >= pace.enough {
                    return Ok(Filled::Done);
                }
            } else if let Some(tree) = self.finished.pop() {
                self.finish_sync(tree);
            } else if self.has_scans() {
                if pace.is_over() {
                    return Ok(Filled::Done);
                }
                if let Some(question) = self.scan_next(pace)? {
                    return Ok(Filled::Ask(question));
                }
            } else if !self.doomed.is_empty() {
                if pace.is_over() {
                    return Ok(Filled::Done);
                }
                self.release_some()?;
            } else if !self.out.is_empty() && self.limbo.is_empty() {
                return Ok(Filled::Done);
            } else if reads > 0 && pace.is_over() {
                self.unread = true;
                return Ok(Filled::Done);
            } else if self.read()? > 0 {
                reads += 1;
            } else {
                self.forget_recent();
                if !self.limbo.is_empty() {
                    self.settle_limbo()?;
                } else if !self.doubts.is_empty() {
                    if pace.is_over() {
                        return Ok(Filled::Done);
                    }
                    self.settle_doubt()?;
                } else {
                    self.trim();
                    return Ok(Filled::Done);
                }
            }
        }
    }

    /// Gets ready what comes before the next end of a watch, a step at a time, without reading more or asking anybody.
    pub(crate) fn fill_to_next_ending(&mut self) {
        self.give_up_listing();
        let head = self.backlog.head();
        let is_due = |position: Option<u64>| position.is_some_and(|position| position <= head);
        if is_due(self.emissions.front().map(|emission| emission.position)) {
            self.emit(usize::MAX);
        } else if is_due(self.endings.front().map(|&(position, _)| position)) {
            self.end_next_watch();
        } else {
            self.decode(usize::MAX);
        }
    }

    /// One read from the kernel.
    fn read(&mut self) -> Sys<usize> {
        let size = self.read_size;
        self.unread = false;
        self.inotify.read(self.backlog.spare(), size)
    }

    /// Reads all that is queued now, so that whatever happened until now is in the backlog.
    pub(crate) fn drain(&mut self) -> Sys<()> {
        const SIZE: usize = 64 * 1024;
        let read = self.inotify.read(self.backlog.spare(), SIZE)?;
        // A read that leaves room for another event has emptied the queue.
        if read + MAX_EVENT <= SIZE {
            return Ok(());
        }
        let mut left = self.inotify.queued();
        while left > 0 {
            match self.inotify.read(self.backlog.spare(), SIZE)? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok(())
    }

    /// Gives back memory that only a tree needed.
    fn trim(&mut self) {
        if self.trees.is_empty() && self.places.is_in_use() {
            self.places.reset();
            self.by_wd.shrink_to_fit();
            self.scans = Vec::new();
            self.doomed = Vec::new();
            self.recent = Vec::new();
            self.listed = Vec::new();
            self.anchor = None;
        }
    }

    // Delivery: from here on an event is only copied.

    /// Events of a directory in a tree, or of an entry in it (`name` not empty).
    pub(crate) fn deliver_in_place(&mut self, place: PlaceId, name: &[u8], mut record: Record) {
        let tree = &self.trees[self.places.get(place).tree];
        record.watch = tree.id.as_raw();
        let start = self.begin_path_of(place);
        record.path = self.end_path(start, name);
        record.name_len = name.len() as u32;
        self.push(record);
    }

    /// The short way: an event of an entry in a directory of which all is known.
    #[inline]
    pub(crate) fn deliver_shortly(&mut self, event: &RawEvent<'_>) -> bool {
        let Some(shortcut) = self
            .shortcuts
            .find(event.wd, event.mask, self.places.version)
        else {
            return false;
        };
        if event.name.is_empty() || !self.doubts.is_empty() {
            return false;
        }
        if event.mask & shortcut.mask != 0 {
            let bytes = &mut self.out.bytes;
            let start = bytes.len();
            bytes.reserve(shortcut.path.len() + event.name.len() + 1);
            bytes.extend_from_slice(&shortcut.path);
            bytes.extend_from_slice(event.name);
            bytes.push(0);
            let path = Span {
                start,
                len: (bytes.len() - 1 - start) as u32,
            };
            self.out.records.push(Record {
                watch: shortcut.watch,
                wd: event.wd,
                mask: event.mask,
                cookie: event.cookie,
                name_len: event.name.len() as u32,
                path,
                ..Record::NONE
            });
        }
        true
    }

    /// The last event delivered, of an entry in the directory with this descriptor, may serve as an example: `mask` is what
    /// the watch hears of there.
    pub(crate) fn remember_shortcut(&mut self, wd: i32, mask: u32, long_way: u32) {
        let Some(record) = self.out.records.last().filter(|record| record.name_len > 0) else {
            return;
        };
        let directory =
            record.path.start..record.path.start + (record.path.len - record.name_len) as usize;
        let path = &self.out.bytes[directory];
        self.shortcuts
            .remember(wd, self.places.version, record.watch, mask, long_way, path);
    }

    /// Appends the path of `place` to `out`; where it starts.
    #[inline]
    fn begin_path_of(&mut self, place: PlaceId) -> usize {
        let start = self.out.bytes.len();
        if let Some(prefix) = &self.prefix
            && prefix.place == place
            && prefix.version == self.places.version
        {
            let from = prefix.path.start;
            self.out
                .bytes
                .extend_from_within(from..from + prefix.path.len as usize);
            return start;
        }
        let tree = &self.trees[self.places.get(place).tree];
        self.out.bytes.extend_from_slice(&tree.path);
        if self.places.get(place).parent != NONE && self.out.bytes.last() == Some(&b'/') {
            self.out.bytes.pop();
        }
        self.places.append_path(place, &mut self.out.bytes);
        let path = Span {
            start,
            len: (self.out.bytes.len() - start) as u32,
        };
        self.prefix = Some(Prefix {
            place,
            version: self.places.version,
            path,
        });
        start
    }

    /// Appends `/name`, if there is a name, to the path that begins at `start`.
    #[inline]
    pub(crate) fn end_path(&mut self, start: usize, name: &[u8]) -> Span {
        let bytes = &mut self.out.bytes;
        if !name.is_empty() {
            if bytes.last() != Some(&b'/') || bytes.len() == start {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(name);
        }
        self.out.end_text(start)
    }

    /// Remembers where a rename came from, or says it of one that arrives.
    #[inline]
    pub(crate) fn push(&mut self, mut record: Record) {
        if record.mask & Mask::MOVE.bits() != 0 {
            let watch = WatchId::from_raw(record.watch);
            if record.mask & Mask::MOVED_FROM.bits() != 0 {
                let path = record.path;
                let path = &self.out.bytes[path.start..path.start + path.len as usize];
                self.moves.remember(record.cookie, watch, path);
            } else if let Some(from) = self.moves.find(record.cookie, watch) {
                record.moved_from = self.out.text(from);
            }
        }
        self.out.records.push(record);
    }

    /// What was got ready, in exchange for an empty batch.
    pub(crate) fn swap_out(&mut self, batch: &mut Batch) {
        self.prefix = None;
        std::mem::swap(&mut self.out, batch);
    }

    /// What was remembered of who hears what under which path is void.
    pub(crate) fn shape_changed(&mut self) {
        self.places.version += 1;
    }
}
