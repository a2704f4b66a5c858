//! Repairs: all of a tree is watched anew, after an overflow, and when what is known of the tree may be wrong.

use super::{Effects, Failure, Forest, Telling, flags, is_refusal};
use crate::debug::{Quoted, debug};
use crate::mask::{EventFlags, Mask};
use crate::stream::Record;
use crate::watch_id::WatchId;
use crate::watches::PlaceId;
use std::fmt;

/// Why a tree is watched anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// Events were lost.
    Overflow,
    /// The root could not be reached for a while.
    RootIsBack,
    /// The root could not be reached, and the program says where it is.
    NewPath,
    /// A directory is not where its events say it is.
    NotInPlace,
    /// A directory has a name that another was taken to have.
    WrongDirectory,
    /// A directory has two names, and no event takes it from the first.
    FoundTwice,
    /// Of two directories that followed each other to a name, the one that stayed was taken for the one that left.
    WrongOneLeft,
    /// Something comes to a name before it is known what left it.
    DoubtCovered,
    /// A directory left the tree before it is known what left it.
    DoubtLeft,
    /// It can't be looked what left a name, or whether anything is still to leave it.
    DoubtHidden,
    /// A directory was in one that was taken to have no subdirectories.
    NotEmpty,
    /// In a tree with a limit, a directory with much below was renamed to another depth.
    OtherDepth,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Overflow => "Q_OVERFLOW, events were lost",
            Cause::RootIsBack => "its root is there again",
            Cause::NewPath => "its root was lost and has been given a path",
            Cause::NotInPlace => "a directory is not where its events say it is",
            Cause::WrongDirectory => "a directory has a name that another was taken to have",
            Cause::FoundTwice => "a directory has two names, and no event takes it from the first",
            Cause::WrongOneLeft => {
                "renames that can't be told apart: the directory that left is another than was told"
            }
            Cause::DoubtCovered => {
                "renames that can't be told apart: the name in doubt is taken again"
            }
            Cause::DoubtLeft => {
                "renames that can't be told apart: the name in doubt has left the tree"
            }
            Cause::DoubtHidden => {
                "renames that can't be told apart: the name in doubt can't be looked for"
            }
            Cause::NotEmpty => "a directory was in one that was taken to have no subdirectories",
            Cause::OtherDepth => "a directory with much below was renamed to another depth",
        })
    }
}

/// A tree's last scan is done: what was not found again is to be taken away.
pub(super) struct Sweep {
    tree: u32,
    id: WatchId,
    epoch: u32,
    /// The number of the next place to look at.
    at: PlaceId,
}

impl Forest {
    /// Events were lost.
    pub(crate) fn on_overflow(&mut self, fx: &mut Effects) {
        self.arrivals.clear();
        for index in self.trees.indices() {
            if !self.trees[index].ending {
                self.begin_sync(index, Cause::Overflow, fx);
            }
        }
    }

    /// The first scan of a new tree, which is watched at its root.
    pub(crate) fn begin_first_sync(&mut self, index: u32, fx: &mut Effects) {
        self.tell_sync_begin(index, fx);
        let tree = &self.trees[index];
        let (id, path) = (tree.id().as_raw(), Quoted(tree.path()));
        debug!(self.log, "first scan of tree {id} {path}");
        self.want_scan(tree.root, tree.telling());
    }

    /// A repair that events of one directory make necessary. Where that happens again and again before it is over, the next
    /// one goes on without that directory.
    pub(super) fn begin_sync_over(&mut self, id: PlaceId, cause: Cause, fx: &mut Effects) {
        let place = self.places.get(id);
        let (tree, tries) = (place.tree(), place.tries());
        if self.trees[tree].root != id {
            self.places.set_tries(id, tries + 1);
        }
        self.begin_sync(tree, cause, fx);
    }

    /// Watches all of a tree anew. Scans that are queued already stay in the queue: the scan of a place that is not found
    /// again comes to nothing.
    pub(crate) fn begin_sync(&mut self, index: u32, cause: Cause, fx: &mut Effects) {
        let tree = &self.trees[index];
        let (id, path) = (tree.id().as_raw(), Quoted(tree.path()));
        debug!(self.log, "repair of tree {id} {path}: {cause}");
        self.drop_half_renames_of(index, fx);
        self.doubts.forget_tree(index);
        self.forget_troubles_of(index);
        self.places.changed();
        let tree = &mut self.trees[index];
        tree.begin_epoch();
        let (root, epoch, telling) = (tree.root, tree.epoch, tree.telling());
        self.places.set_epoch(root, epoch);
        if telling == Telling::AsList {
            // The list tells what happens before it, too.
            self.places.set(root, flags::UNLISTED);
        }
        self.tell_sync_begin(index, fx);
        self.want_scan(root, telling);
    }

    fn tell_sync_begin(&mut self, index: u32, fx: &mut Effects) {
        if self.trees[index].lists() {
            self.tell_of_tree(index, EventFlags::SYNC_BEGIN, fx);
        }
    }

    pub(super) fn want_sweep(&mut self, index: u32) {
        let tree = &self.trees[index];
        self.sweeps.push(Sweep {
            tree: index,
            id: tree.id(),
            epoch: tree.epoch,
            at: 0,
        });
    }

    #[cfg(any(debug_assertions, simulation))]
    pub(super) fn has_sweep(&self, index: u32) -> bool {
        self.sweeps.iter().any(|sweep| sweep.tree == index)
    }

    pub(crate) fn has_sweeps(&self) -> bool {
        !self.sweeps.is_empty()
    }

    /// Whether a tree may be whole now.
    pub(crate) fn may_sweep(&self) -> bool {
        self.has_sweeps() && !self.has_limbo()
    }

    /// Takes away some of what the last repair has not found again, and says at the end that the tree is whole.
    pub(crate) fn sweep_some(&mut self, fx: &mut Effects) {
        const AT_ONCE: usize = 4096;
        let Some(mut sweep) = self.sweeps.pop() else {
            return;
        };
        let current = |tree: &super::Tree| {
            tree.id() == sweep.id
                && tree.epoch == sweep.epoch
                && tree.syncing
                && tree.pending == 0
                && !tree.ending
        };
        if self.trees.get(sweep.tree).is_none_or(|tree| !current(tree)) {
            return;
        }
        let mut at = None;
        if sweep.epoch > 1 {
            let (mut stale, mut tried) = (Vec::new(), Vec::new());
            for (looked_at, (id, place)) in self.places.from(sweep.at).enumerate() {
                if looked_at == AT_ONCE {
                    at = Some(id);
                    break;
                }
                let mine = place.tree() == sweep.tree && !place.is(flags::DOOMED);
                if mine && place.epoch() != sweep.epoch {
                    stale.push(id);
                } else if mine && place.tries() != 0 {
                    tried.push(id);
                }
            }
            for id in stale {
                self.doom(id, fx);
            }
            for id in tried {
                self.places.set_tries(id, 0);
            }
        }
        if let Some(at) = at {
            sweep.at = at;
            return self.sweeps.push(sweep);
        }
        let tree = &mut self.trees[sweep.tree];
        tree.syncing = false;
        tree.nameless = Vec::new();
        debug!(self.log, "tree {} is whole", sweep.id.as_raw());
        if tree.announce {
            self.tell_of_tree(sweep.tree, EventFlags::SYNC_END, fx);
        }
    }

    fn tell_of_tree(&mut self, index: u32, flags: EventFlags, fx: &mut Effects) {
        let (root, wd) = (self.trees[index].root, self.trees[index].root_wd);
        let record = Record {
            wd,
            flags: flags.bits(),
            ..Record::NONE
        };
        self.tell(root, b"", record, fx);
    }

    /// A directory could not be watched.
    pub(crate) fn tell_error(&mut self, place: PlaceId, errno: i32, fx: &mut Effects) {
        debug!(self.log, "error {errno} {}", Quoted(self.path_of(place)));
        let index = self.places.get(place).tree();
        self.trees[index].troubled = true;
        let record = Record {
            flags: EventFlags::ERROR.bits(),
            mask: Mask::ISDIR.bits(),
            error: errno,
            ..Record::NONE
        };
        self.tell(place, b"", record, fx);
    }

    /// The root can't be reached: the tree goes on hearing of what is watched, and is watched anew once the root is there
    /// again.
    pub(crate) fn lose_tree(&mut self, index: u32, errno: i32, fx: &mut Effects) {
        let was_lost = self.trees[index].lost;
        let id = self.trees[index].id().as_raw();
        debug!(self.log, "tree {id} is lost: error {errno} at its root");
        self.forget_half_renames_of(index, fx);
        self.doubts.forget_tree(index);
        self.forget_troubles_of(index);
        let root = self.trees[index].root;
        let tree = &mut self.trees[index];
        tree.syncing = false;
        tree.lost = true;
        self.unqueue(root);
        let tree = &mut self.trees[index];
        if tree.setting_up {
            let path = tree.path().to_vec();
            tree.failure = Some(Failure { errno, path });
            return;
        }
        if !was_lost {
            self.places.unset(root, flags::TROUBLED);
        }
        self.note_trouble(root, errno, fx);
        // Any event is a reason to try again, and takes the long way for that.
        self.places.changed();
        if is_refusal(errno) {
            // Of its permissions nobody tells.
            self.wait_unheard(root);
        }
    }

    /// Of directories that have left their names it can't be found out where they are: they are taken away.
    fn forget_half_renames_of(&mut self, index: u32, fx: &mut Effects) {
        self.drop_half_renames_of(index, fx);
        let nameless = std::mem::take(&mut self.trees[index].nameless);
        for top in nameless {
            if let Some(top) = self.nameless_place(top) {
                self.doom(top, fx);
            }
        }
    }

    /// A scan has hit a limit, or was refused.
    pub(crate) fn scan_failed(&mut self, id: PlaceId, errno: i32, fx: &mut Effects) {
        let index = self.places.get(id).tree();
        self.unqueue(id);
        let tree = &mut self.trees[index];
        tree.hides = true;
        let limit = matches!(
            errno,
            libc::ENOSPC | libc::EMFILE | libc::ENFILE | libc::ENOMEM
        );
        if limit && tree.setting_up {
            let path = self.path_of(id);
            self.trees[index].failure = Some(Failure { errno, path });
        } else if errno == libc::EXDEV {
            self.doom(id, fx);
        } else if tree.root == id {
            self.lose_tree(index, errno, fx);
        } else {
            self.give_up(id, errno, fx);
        }
    }

    /// How the set-up of a tree that was waited for went.
    pub(crate) fn end_set_up(&mut self, index: u32) -> Result<(), Failure> {
        let tree = &mut self.trees[index];
        tree.setting_up = false;
        tree.failure.take().map_or(Ok(()), Err)
    }

    pub(crate) fn set_tree_path(
        &mut self,
        index: u32,
        path: Vec<u8>,
        absolute: Vec<u8>,
        fx: &mut Effects,
    ) {
        self.trees[index].set_path(path, absolute);
        self.places.changed();
        if self.trees[index].lost && !self.trees[index].ending {
            self.begin_sync(index, Cause::NewPath, fx);
        }
    }
}
