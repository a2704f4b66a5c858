//! The kernel's queue, and what was read of it and not decoded yet.

use super::backlog::{Backlog, RawEvent};
use super::position::Position;
use crate::sys::Sys;
use crate::sys::inotify::{InotifyFd, MAX_EVENT};
use std::sync::Arc;

pub(crate) struct Stream {
    inotify: Arc<InotifyFd>,
    /// Bytes fetched by one read.
    read_size: usize,
    backlog: Backlog,
}

impl Stream {
    pub(crate) fn new(inotify: Arc<InotifyFd>, read_size: usize) -> Stream {
        Stream {
            inotify,
            read_size,
            backlog: Backlog::default(),
        }
    }

    pub(crate) fn inotify(&self) -> &InotifyFd {
        &self.inotify
    }

    pub(crate) fn set_read_size(&mut self, bytes: usize) {
        self.read_size = bytes;
    }

    /// Reads once; how many bytes. 0: nothing is queued.
    pub(crate) fn read(&mut self) -> Sys<usize> {
        self.inotify.read(self.backlog.spare(), self.read_size)
    }

    /// Reads all that is queued now, so that the events of all that has happened until now are in the backlog.
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

    /// The events that were read and not decoded yet, with their positions.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (Position, RawEvent<'_>)> {
        self.backlog.pending()
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
