//! The queue of an inotify instance, and how read(2) takes from it.

use super::inodes::Name;
use crate::sys::Sys;
use std::collections::VecDeque;

const HEADER: usize = size_of::<libc::inotify_event>();

#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub(super) struct Event {
    pub(super) wd: i32,
    pub(super) mask: u32,
    pub(super) cookie: u32,
    pub(super) name: Option<Name>,
}

impl Event {
    /// inotify_merge: the cookie is not compared, and IGNORED is never merged.
    fn merges_with(&self, last: &Event) -> bool {
        last.mask & libc::IN_IGNORED == 0
            && (last.mask, last.wd) == (self.mask, self.wd)
            && last.name == self.name
    }

    /// The name with its NUL, filled up to a multiple of the header's length.
    fn name_len(&self) -> usize {
        self.name
            .as_ref()
            .map_or(0, |name| (name.len() + 1).next_multiple_of(HEADER))
    }

    fn size(&self) -> usize {
        HEADER + self.name_len()
    }

    fn append_to(&self, buffer: &mut Vec<u8>) {
        let name_len = self.name_len();
        buffer.extend_from_slice(&self.wd.to_ne_bytes());
        buffer.extend_from_slice(&self.mask.to_ne_bytes());
        buffer.extend_from_slice(&self.cookie.to_ne_bytes());
        buffer.extend_from_slice(&(name_len as u32).to_ne_bytes());
        if let Some(name) = &self.name {
            buffer.extend_from_slice(name);
            buffer.resize(buffer.len() + name_len - name.len(), 0);
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Hash)]
enum Item {
    Event(Event),
    /// As many events that nobody reads: they only take room.
    Filling(usize),
    /// What no kernel says, for one read.
    #[cfg_attr(not(fuzzing), expect(dead_code))]
    Lie(Vec<u8>),
}

#[derive(Debug, Hash, Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    /// Of all events, those that nobody reads too.
    len: usize,
    has_overflow: bool,
}

impl Queue {
    /// fsnotify_insert_event. Whether it was merged with half of another rename.
    pub(super) fn push(&mut self, event: Event, limit: usize) -> bool {
        if self.len >= limit {
            self.overflow();
            return false;
        }
        if let Some(Item::Event(last)) = self.items.back()
            && event.merges_with(last)
        {
            return event.cookie != last.cookie;
        }
        self.len += 1;
        self.items.push_back(Item::Event(event));
        false
    }

    fn overflow(&mut self) {
        if self.has_overflow {
            return;
        }
        self.has_overflow = true;
        self.len += 1;
        self.items.push_back(Item::Event(Event {
            wd: -1,
            mask: libc::IN_Q_OVERFLOW,
            cookie: 0,
            name: None,
        }));
    }

    /// Fills the room that is left, and more.
    pub(super) fn fill(&mut self, limit: usize) {
        let room = limit.saturating_sub(self.len);
        if room > 0 {
            self.len += room;
            self.items.push_back(Item::Filling(room));
        }
        self.overflow();
    }

    /// Appends whole events of at most `max` bytes together; how many bytes. EINVAL: not even the first one fits.
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>, max: usize) -> Sys<usize> {
        let start = buffer.len();
        while let Some(item) = self.items.front() {
            match item {
                Item::Filling(room) => self.len -= room,
                Item::Lie(bytes) if buffer.len() == start => {
                    buffer.extend_from_slice(&bytes[..bytes.len().min(max)]);
                    self.items.pop_front();
                    break;
                }
                Item::Lie(_) => break,
                Item::Event(event) => {
                    let taken = buffer.len() - start;
                    if taken + event.size() > max {
                        return if taken == 0 {
                            Err(libc::EINVAL)
                        } else {
                            Ok(taken)
                        };
                    }
                    event.append_to(buffer);
                    self.len -= 1;
                    self.has_overflow &= event.mask & libc::IN_Q_OVERFLOW == 0;
                }
            }
            self.items.pop_front();
        }
        Ok(buffer.len() - start)
    }

    /// FIONREAD.
    pub(super) fn bytes(&self) -> usize {
        let sizes = self.items.iter().map(|item| match item {
            Item::Event(event) => event.size(),
            Item::Filling(_) => 0,
            Item::Lie(bytes) => bytes.len(),
        });
        sizes.sum()
    }

    #[cfg(fuzzing)]
    pub(super) fn lie(&mut self, bytes: Vec<u8>) {
        self.items.push_back(Item::Lie(bytes));
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.items.iter().filter_map(|item| match item {
            Item::Event(event) => Some(event),
            Item::Filling(_) | Item::Lie(_) => None,
        })
    }
}
