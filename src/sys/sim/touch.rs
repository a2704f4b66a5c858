//! What calls and steps read and change: two that have nothing in common go the same way in either order.

use super::schedule::Call;

/// Something about an inode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Aspect {
    /// What it has under a name, of which this is the hash.
    Entry(u64),
    /// What it has under all names.
    Entries,
    /// Its permissions.
    Mode,
    /// Where it is and under what name, and whether it is removed.
    Place,
    /// How many have it open.
    Users,
    /// Who watches it.
    Watches,
    /// Whether its lock is free.
    Lock,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Touch {
    pub inode: u64,
    pub aspect: Aspect,
    pub changes: bool,
}

impl Touch {
    pub(super) fn reads(inode: u64, aspect: Aspect) -> Touch {
        Touch {
            inode,
            aspect,
            changes: false,
        }
    }

    pub(super) fn changes(inode: u64, aspect: Aspect) -> Touch {
        Touch {
            inode,
            aspect,
            changes: true,
        }
    }

    fn conflicts_with(&self, other: &Touch) -> bool {
        let same = match (self.aspect, other.aspect) {
            (Aspect::Entries, Aspect::Entry(_)) | (Aspect::Entry(_), Aspect::Entries) => true,
            (one, other) => one == other,
        };
        self.inode == other.inode && same && (self.changes || other.changes)
    }
}

impl Aspect {
    pub(super) fn entry(name: &[u8]) -> Aspect {
        // FNV-1a. Two names with one hash only make for a run too many.
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Aspect::Entry(name.iter().fold(0xcbf2_9ce4_8422_2325, hash))
    }
}

/// The inodes, each once.
pub(super) fn inodes(touches: &[Touch]) -> Vec<u64> {
    let mut inodes: Vec<u64> = Vec::new();
    for touch in touches {
        if !inodes.contains(&touch.inode) {
            inodes.push(touch.inode);
        }
    }
    inodes
}

/// What the next step of an operation reads and changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Effect {
    /// The inodes concerned.
    pub inodes: Vec<u64>,
    /// What of them.
    pub aspects: Vec<Touch>,
    /// Whether an event is queued, as the watches are now.
    pub tells: bool,
    /// Whether names or permissions change; else the step only tells of it.
    pub shows: bool,
    /// The inodes whose locks the operation holds, with its change made.
    pub holds: Vec<u64>,
}

impl Effect {
    /// Whether the call goes the same way before the step and after it, and the step before the call and after it: then
    /// one order is enough. It is a fact of the state in which both were asked for, with this operation under way alone.
    pub fn commutes_with(&self, call: &Call) -> bool {
        if call.locks.is_some_and(|lock| self.holds.contains(&lock)) {
            // The call waits, and the step is taken before it in any case.
            return true;
        }
        if self.tells && (call.tells || call.reads_queue) {
            return false;
        }
        let in_conflict = |touch: &Touch| self.aspects.iter().any(|it| it.conflicts_with(touch));
        !call.aspects.iter().any(in_conflict)
    }
}
