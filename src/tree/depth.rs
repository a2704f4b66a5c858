//! Directories that are renamed to another depth, in a tree with a limit.
//!
//! What is below came along, and was told already. What is too deep now is let go. Where a subtree comes higher, the
//! directories that were at the limit are entries that were told, and what is in them is new.

use super::{Cause, Effects, Forest, Telling, flags};
use crate::watches::PlaceId;

impl Forest {
    /// A subtree is to be linked below `parent`. False: it is not, as it is too deep itself, or as it is so large that a
    /// repair has to look through it.
    pub(super) fn fit(&mut self, top: PlaceId, parent: PlaceId, fx: &mut Effects) -> bool {
        /// So many take less than a millisecond.
        const MOST: usize = 4096;
        let tree = self.places.get(parent).tree();
        let limit = self.trees[tree].max_depth();
        let (before, now) = (self.depth_before(top) + 1, self.places.depth(parent) + 1);
        // A repair finds what has moved as well, and keeps what is too deep below it until its end.
        if before == now && now < limit {
            return true;
        }
        let mut left = vec![(top, now)];
        let mut seen = 0;
        while let Some((id, depth)) = left.pop() {
            seen += 1;
            if depth >= limit {
                self.doom(id, fx);
            } else if depth + before == limit - 1 + now {
                self.want_deeper(id);
            } else {
                let below = self.places.children(id).take(MOST);
                left.extend(below.map(|child| (child, depth + 1)));
            }
            if seen + left.len() > MOST {
                self.begin_sync(tree, Cause::OtherDepth, fx);
                return false;
            }
        }
        now < limit
    }

    /// The subdirectories of a place were beyond the limit, and are not any more.
    fn want_deeper(&mut self, id: PlaceId) {
        if !self.is_stale(id) {
            self.places.unset(id, flags::VERIFY);
            self.places.set(id, flags::DEEPER);
            self.want_scan(id, Telling::Nothing);
        }
    }

    /// How what is in the subdirectories of a place is told, if what is in the place itself is told like that.
    pub(super) fn telling_below(&self, id: PlaceId, telling: Telling) -> Telling {
        let deeper = self.places.get(id).is(flags::DEEPER);
        match telling {
            Telling::Nothing if deeper => Telling::AsEvents,
            _ => telling,
        }
    }
}
