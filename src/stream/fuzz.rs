//! The backlog against a simpler one: what a fuzzer makes up is read and decoded by both.

use super::backlog::{Backlog, RawEvent, raw_events};
use super::position::Position;

const HEADER: usize = 16;

/// The first event of `bytes` as inotify(7) has it, and its length.
fn first(bytes: &[u8]) -> Option<([u32; 3], &[u8], usize)> {
    let word = |at: usize| {
        let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_ne_bytes(bytes))
    };
    let (wd, mask, cookie, len) = (word(0)?, word(4)?, word(8)?, word(12)? as usize);
    let mut name = bytes[HEADER..].get(..len)?;
    if len >= HEADER {
        let padding = name.iter().rev().take(HEADER).take_while(|&&it| it == 0);
        name = &name[..len - padding.count()];
    }
    Some(([wd, mask, cookie], name, HEADER + len))
}

fn assert_same(found: Option<(RawEvent<'_>, usize)>, bytes: &[u8]) {
    let found = found.map(|(event, size)| {
        let words = [event.wd as u32, event.mask, event.cookie];
        (words, event.name, size)
    });
    assert_eq!(found, first(bytes));
}

/// All that is pending, with its positions.
fn assert_pending<'a>(
    found: impl Iterator<Item = (Position, RawEvent<'a>)>,
    mut at: Position,
    mut bytes: &[u8],
) {
    for (position, event) in found {
        let (words, name, size) = first(bytes).expect("an event");
        assert_eq!(position, at);
        assert_eq!([event.wd as u32, event.mask, event.cookie], words);
        assert_eq!(event.name, name);
        (at, bytes) = (at.plus(size), &bytes[size..]);
    }
    assert!(first(bytes).is_none(), "all of them");
}

/// What is written as an event is read as one.
fn assert_survives(event: &RawEvent<'_>) {
    let mut bytes = Vec::new();
    event.append_to(&mut bytes);
    // Padding is what the kernel has put there.
    if event.name.last() != Some(&0) {
        assert_same(RawEvent::first(&bytes), &bytes);
    }
}

/// Each byte of `data` says what to do next, and how much of the rest is read.
pub(crate) fn backlog(mut data: &[u8]) {
    let mut backlog = Backlog::default();
    let (mut all, mut done): (Vec<u8>, usize) = (Vec::new(), 0);
    while let Some((&what, rest)) = data.split_first() {
        data = rest;
        let rest = &all[done..];
        let at = |bytes: usize| Position::default().plus(bytes);
        match what % 4 {
            0 => {
                let (read, later) = data.split_at(data.len().min(usize::from(what / 4) * 4));
                backlog.spare().extend_from_slice(read);
                all.extend_from_slice(read);
                data = later;
                let newest = backlog.newest(read.len());
                assert!(
                    newest
                        .map(|it| it.name.len())
                        .eq(raw_events(read).map(|it| it.1.name.len()))
                );
            }
            1 => {
                assert_same(backlog.peek(), rest);
                if let Some((event, size)) = backlog.peek() {
                    assert_survives(&event);
                    backlog.advance(size);
                    done += size;
                }
            }
            2 => assert_pending(backlog.pending(), at(done), rest),
            _ => {
                let from = rest.len().min(usize::from(what / 4) * 16);
                assert_pending(
                    backlog.pending_from(at(done + from)),
                    at(done + from),
                    &rest[from..],
                );
            }
        }
        assert_eq!((backlog.head(), backlog.tail()), (at(done), at(all.len())));
        assert_eq!(backlog.is_empty(), done == all.len());
    }
}
