//! The first halves of renames, kept until the second half says where it went.

use crate::watch_id::WatchId;
use std::collections::VecDeque;

/// The second half follows the first at once unless the renaming task is preempted between the two; so many other renames
/// may come in between. The path of an entry that left for good stays here until newer ones push it out.
const KEPT: usize = 1024;

struct Move {
    cookie: u32,
    watch: WatchId,
    path: Vec<u8>,
    /// For this watch the entry has gone for good, wherever it turns up.
    gone: bool,
}

#[derive(Default)]
pub(crate) struct Moves {
    waiting: VecDeque<Move>,
    spare: Vec<Vec<u8>>,
}

impl Moves {
    /// `watch` has seen `path` go.
    pub(crate) fn remember(&mut self, cookie: u32, watch: WatchId, path: &[u8]) {
        if self.waiting.len() == KEPT
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.spare.push(oldest.path);
        }
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(path);
        self.waiting.push_back(Move {
            cookie,
            watch,
            path: kept,
            gone: false,
        });
    }

    /// The path from which the entry came, as `watch` saw it, else as any other watch did.
    pub(crate) fn find(&self, cookie: u32, watch: WatchId) -> Option<&[u8]> {
        let mut found = None;
        for one in self.waiting.iter().rev().filter(|one| one.cookie == cookie) {
            let path = (!one.gone).then_some(&one.path[..]);
            if one.watch == watch {
                return path;
            }
            found = found.or(path);
        }
        found
    }

    pub(crate) fn knows(&self, cookie: u32, watch: WatchId) -> bool {
        let same = |one: &Move| one.cookie == cookie && one.watch == watch && !one.gone;
        self.waiting.iter().rev().any(same)
    }

    /// For `watch` the second half will not be known as such.
    pub(crate) fn give_up(&mut self, cookie: u32, watch: WatchId) {
        let mut same = self.waiting.iter_mut().rev();
        if let Some(one) = same.find(|one| one.cookie == cookie && one.watch == watch) {
            one.gone = true;
        }
    }

    /// The rename is complete.
    pub(crate) fn forget(&mut self, cookie: u32) {
        while let Some(index) = self.waiting.iter().rposition(|one| one.cookie == cookie) {
            if let Some(done) = self.waiting.remove(index) {
                self.spare.push(done.path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_hears_of_a_rename_in_its_own_words() {
        let mut moves = Moves::default();
        let (one, other, third) = (WatchId::next(), WatchId::next(), WatchId::next());
        moves.remember(7, one, b"a/x");
        moves.remember(7, other, b"/tmp/a/x");
        moves.remember(8, one, b"a/y");
        assert_eq!(moves.find(7, one), Some(&b"a/x"[..]));
        assert_eq!(moves.find(7, other), Some(&b"/tmp/a/x"[..]));
        assert!(moves.find(7, third).is_some());
        moves.give_up(7, other);
        assert_eq!(moves.find(7, other), None);
        assert_eq!(moves.find(7, one), Some(&b"a/x"[..]));
        moves.forget(7);
        assert_eq!(moves.find(7, one), None);
        assert_eq!(moves.find(8, one), Some(&b"a/y"[..]));
    }
}
