//! Bytes read from the kernel and not decoded yet, with their position in all that the instance ever read.

use super::position::Position;

/// One event as the kernel writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawEvent<'a> {
    pub(crate) wd: i32,
    pub(crate) mask: u32,
    pub(crate) cookie: u32,
    /// Without the padding; empty when there is none.
    pub(crate) name: &'a [u8],
}

const HEADER: usize = size_of::<libc::inotify_event>();

impl<'a> RawEvent<'a> {
    /// Events were lost.
    pub(crate) const OVERFLOW: RawEvent<'static> = RawEvent {
        wd: -1,
        mask: libc::IN_Q_OVERFLOW,
        cookie: 0,
        name: b"",
    };

    /// The first event in `bytes`, and how many bytes it takes. `bytes` holds whole events.
    #[inline]
    pub(crate) fn first(bytes: &'a [u8]) -> Option<(RawEvent<'a>, usize)> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let word = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        let len = u32::from_ne_bytes(word(12)) as usize;
        let mut name = rest.get(..len)?;
        // The kernel pads with 1 to 16 NULs, up to the next multiple of the header's size.
        if let Some(last) = name.last_chunk::<16>() {
            let nuls = u128::from_le_bytes(*last).leading_zeros() / u8::BITS;
            name = &name[..name.len() - nuls as usize];
        }
        let event = RawEvent {
            wd: i32::from_ne_bytes(word(0)),
            mask: u32::from_ne_bytes(word(4)),
            cookie: u32::from_ne_bytes(word(8)),
            name,
        };
        Some((event, HEADER + len))
    }

    /// The event as the kernel writes it, at the end of `bytes`.
    pub(crate) fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.wd.to_ne_bytes());
        bytes.extend_from_slice(&self.mask.to_ne_bytes());
        bytes.extend_from_slice(&self.cookie.to_ne_bytes());
        bytes.extend_from_slice(&(self.name.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(self.name);
    }
}

/// All events in `bytes`, with their offsets.
pub(crate) fn raw_events(bytes: &[u8]) -> impl Iterator<Item = (usize, RawEvent<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (event, size) = RawEvent::first(&bytes[at..])?;
        let here = at;
        at += size;
        Some((here, event))
    })
}

#[derive(Default)]
pub(super) struct Backlog {
    bytes: Vec<u8>,
    /// How many of `bytes` are decoded.
    done: usize,
    /// The position of `bytes[0]`.
    start: Position,
}

impl Backlog {
    pub(super) fn head(&self) -> Position {
        self.start.plus(self.done)
    }

    pub(super) fn tail(&self) -> Position {
        self.start.plus(self.bytes.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.done == self.bytes.len()
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = (Position, RawEvent<'_>)> {
        let head = self.head();
        raw_events(&self.bytes[self.done..]).map(move |(at, event)| (head.plus(at), event))
    }

    /// Those of them from a position on, where one begins.
    pub(super) fn pending_from(
        &self,
        from: Position,
    ) -> impl Iterator<Item = (Position, RawEvent<'_>)> {
        let start = from.since(self.start).min(self.bytes.len());
        let from = self.start.plus(start);
        raw_events(&self.bytes[start..]).map(move |(at, event)| (from.plus(at), event))
    }

    /// The events in the last `bytes` that were read.
    pub(super) fn newest(&self, bytes: usize) -> impl Iterator<Item = RawEvent<'_>> {
        raw_events(&self.bytes[self.bytes.len() - bytes..]).map(|(_, event)| event)
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<(RawEvent<'_>, usize)> {
        RawEvent::first(&self.bytes[self.done..])
    }

    #[inline]
    pub(super) fn advance(&mut self, bytes: usize) {
        self.done += bytes;
    }

    /// Where to read more into: behind what is there.
    pub(super) fn spare(&mut self) -> &mut Vec<u8> {
        /// Decoded bytes are dropped when they are as many as this.
        const COMPACT: usize = 1 << 20;
        if self.is_empty() || self.done >= COMPACT {
            self.start = self.start.plus(self.done);
            match self.is_empty() {
                true => self.bytes.clear(),
                false => drop(self.bytes.drain(..self.done)),
            }
            self.done = 0;
            if self.bytes.is_empty() && self.bytes.capacity() > COMPACT {
                self.bytes.shrink_to(COMPACT);
            }
        }
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_way_there_and_back() {
        let mut bytes = Vec::new();
        let names: [&[u8]; 3] = [b"plain", b"", b"\xff\n"];
        for (wd, name) in names.iter().enumerate() {
            RawEvent {
                wd: wd as i32,
                mask: 0x100,
                cookie: 7,
                name,
            }
            .append_to(&mut bytes);
        }
        let read: Vec<_> = raw_events(&bytes)
            .map(|(_, e)| (e.wd, e.mask, e.cookie, e.name))
            .collect();
        assert_eq!(
            read,
            [
                (0, 0x100, 7, names[0]),
                (1, 0x100, 7, names[1]),
                (2, 0x100, 7, names[2])
            ]
        );
    }

    #[test]
    fn positions_go_on_over_compaction() {
        let at = |bytes| Position::default().plus(bytes);
        let mut backlog = Backlog::default();
        backlog.spare().extend_from_slice(&[0; 48]);
        backlog.advance(48);
        assert_eq!((backlog.head(), backlog.tail()), (at(48), at(48)));
        backlog.spare().extend_from_slice(&[0; 16]);
        assert_eq!((backlog.head(), backlog.tail()), (at(48), at(64)));
        let pending: Vec<_> = backlog.pending().map(|(position, _)| position).collect();
        assert_eq!(pending, [at(48)]);
    }
}
