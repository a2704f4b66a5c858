//! Bytes read from the kernel and not decoded yet, with their position in all that the instance ever read.

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
pub(crate) struct Backlog {
    bytes: Vec<u8>,
    /// How many of `bytes` are decoded.
    done: usize,
    /// The position of `bytes[0]`.
    start: u64,
}

impl Backlog {
    /// The position of the next event to decode.
    pub(crate) fn head(&self) -> u64 {
        self.start + self.done as u64
    }

    /// The position behind the last byte read.
    pub(crate) fn tail(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.done == self.bytes.len()
    }

    /// What is not decoded yet.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.done..]
    }

    /// Where to read more into: behind what is there.
    pub(crate) fn spare(&mut self) -> &mut Vec<u8> {
        /// Decoded bytes are dropped when they are as many as this.
        const COMPACT: usize = 1 << 20;
        if self.is_empty() || self.done >= COMPACT {
            self.start += self.done as u64;
            self.bytes.drain(..self.done);
            self.done = 0;
            if self.bytes.is_empty() {
                self.bytes.shrink_to(COMPACT);
            }
        }
        &mut self.bytes
    }

    /// Lends the bytes out for decoding, so that the decoder may change all else; nothing is read until they are back.
    pub(crate) fn lend(&mut self) -> (Vec<u8>, usize) {
        (std::mem::take(&mut self.bytes), self.done)
    }

    pub(crate) fn give_back(&mut self, bytes: Vec<u8>, done: usize) {
        debug_assert!(self.bytes.is_empty());
        self.bytes = bytes;
        self.done = done;
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
        let mut backlog = Backlog::default();
        backlog.spare().extend_from_slice(&[0; 48]);
        let (bytes, done) = backlog.lend();
        backlog.give_back(bytes, done + 48);
        assert_eq!((backlog.head(), backlog.tail()), (48, 48));
        backlog.spare().extend_from_slice(&[0; 16]);
        assert_eq!((backlog.head(), backlog.tail()), (48, 64));
        assert_eq!(backlog.pending().len(), 16);
    }
}
