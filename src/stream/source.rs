//! The kernel's queue, and what was read of it and not decoded yet.

use super::backlog::{Backlog, RawEvent};
use super::position::Position;
use crate::debug::{Log, Quoted, debug};
use crate::mask::Mask;
use crate::memory::Shared;
use crate::sys::Sys;
use crate::sys::inotify::{InotifyFd, MAX_EVENT};

pub(crate) struct Stream {
    inotify: Shared<InotifyFd>,
    /// Bytes fetched by one read.
    read_size: usize,
    backlog: Backlog,
    /// The last read has taken all that was queued.
    is_emptied: bool,
    log: Log,
}

impl Stream {
    pub(crate) fn new(inotify: Shared<InotifyFd>, read_size: usize) -> Stream {
        Stream {
            inotify,
            read_size,
            backlog: Backlog::default(),
            is_emptied: false,
            log: Log::new(),
        }
    }

    pub(crate) fn log(&self) -> Log {
        self.log
    }

    pub(crate) fn inotify(&self) -> &InotifyFd {
        &self.inotify
    }

    pub(crate) fn set_read_size(&mut self, bytes: usize) {
        self.read_size = bytes;
    }

    /// Reads once; how many bytes. 0: nothing is queued.
    pub(crate) fn read(&mut self) -> Sys<usize> {
        let read = self.fetch(self.read_size);
        if read == Ok(0) {
            debug!(self.log, "read nothing: the queue is empty");
        }
        read
    }

    fn fetch(&mut self, max: usize) -> Sys<usize> {
        let read = self.inotify.read(self.backlog.spare(), max);
        // A read that leaves room for another event has emptied the queue.
        self.is_emptied = read.is_ok_and(|read| read + MAX_EVENT <= max);
        if self.log.is_on() {
            self.show(read);
        }
        read
    }

    /// Prints what a read has come to.
    #[cold]
    fn show(&self, read: Sys<usize>) {
        let bytes = match read {
            Ok(0) => return,
            Ok(bytes) => bytes,
            Err(errno) => return debug!(self.log, "read: error {errno}"),
        };
        let count = self.backlog.newest(bytes).count();
        let plural = if count == 1 { "" } else { "s" };
        debug!(self.log, "read {count} event{plural}, {bytes} bytes");
        for event in self.backlog.newest(bytes) {
            let (mask, cookie) = (Mask::from_bits_retain(event.mask), event.cookie);
            let name = Quoted(event.name);
            debug!(
                self.log,
                "event wd {} {mask} cookie {cookie} {name}", event.wd
            );
        }
    }

    /// Reads all that is queued now, so that the events of all that has happened until now are in the backlog.
    pub(crate) fn drain(&mut self) -> Sys<()> {
        const SIZE: usize = 64 * 1024;
        self.fetch(SIZE)?;
        if self.is_emptied {
            return Ok(());
        }
        let mut left = self.inotify.queued();
        while left > 0 && !self.is_emptied {
            left = left.saturating_sub(self.fetch(SIZE)?);
        }
        Ok(())
    }

    /// The position of the next event to decode.
    pub(crate) fn head(&self) -> Position {
        self.backlog.head()
    }

    /// The position behind the last byte read.
    pub(crate) fn tail(&self) -> Position {
        self.backlog.tail()
    }

    /// Whether all that was read is decoded.
    pub(crate) fn is_decoded(&self) -> bool {
        self.backlog.is_empty()
    }

    /// Whether the last read has taken all that was queued then.
    pub(crate) fn is_emptied(&self) -> bool {
        self.is_emptied
    }

    /// The events that were read and not decoded yet, with their positions.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (Position, RawEvent<'_>)> {
        self.backlog.pending()
    }

    /// Those of them from a position on, where one begins.
    pub(crate) fn pending_from(
        &self,
        from: Position,
    ) -> impl Iterator<Item = (Position, RawEvent<'_>)> {
        self.backlog.pending_from(from)
    }

    /// The next event to decode, and how many bytes it takes.
    #[inline]
    pub(crate) fn peek(&self) -> Option<(RawEvent<'_>, usize)> {
        self.backlog.peek()
    }

    /// The next event is decoded.
    #[inline]
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.backlog.advance(bytes);
    }
}
