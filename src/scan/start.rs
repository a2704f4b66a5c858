//! The start of a scan, and the fate of a scan whose directory can't be reached.

use super::pending::is_clean;
use super::{Pace, Scans, Work};
use crate::debug::{Quoted, debug};
use crate::mask::Mask;
use crate::stream::RawEvent;
use crate::sys::Sys;
use crate::sys::dirent::Kind;
use crate::tree::{Cause, Look, Question, Wanted, is_refusal};
use crate::watches::{NO_PLACE, PlaceId};

impl Scans {
    /// Starts on the next directory, or has its filter asked first.
    pub(crate) fn start_next(&mut self, pace: &Pace, work: &mut Work<'_>) -> Sys<Option<Question>> {
        let Some((wanted, id)) = work.forest.next_wanted() else {
            return Ok(None);
        };
        if let Some(question) = work.forest.question(id, wanted) {
            return Ok(Some(question));
        }
        let (forest, mut fx) = work.trees();
        if forest.give_up_worn_out(id, &mut fx) {
            return Ok(None);
        }
        let started = self.start(id, wanted, pace, work);
        if started.is_err() {
            work.forest.want_again_if_queued(wanted);
        }
        started.map(|()| None)
    }

    fn start(&mut self, id: PlaceId, wanted: Wanted, pace: &Pace, work: &mut Work<'_>) -> Sys<()> {
        let index = work.forest.place(id).tree();
        if let Err(errno) = self.reach(index, work) {
            return self.cannot_reach(id, wanted, errno, work);
        }
        if work.forest.tree(index).is_lost() {
            // The root is there again. The scans that were wanted meanwhile were given up.
            let (forest, mut fx) = work.trees();
            forest.unqueue(id);
            forest.begin_sync(index, Cause::RootIsBack, &mut fx);
            return Ok(());
        }
        self.scan(id, wanted, pace, work)
    }

    fn scan(&mut self, id: PlaceId, wanted: Wanted, pace: &Pace, work: &mut Work<'_>) -> Sys<()> {
        let opened = self.watch_and_open(id, work);
        if let Err(errno) = &opened {
            let path = Quoted(work.forest.path_of(id));
            debug!(work.stream.log(), "scan {path}: error {errno}");
        }
        match opened {
            Ok(watched) => {
                self.begin_listing(id, wanted, watched, work);
                self.list_on(pace, work)
            }
            Err(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ESTALE) => {
                self.confirm_gone(id, wanted, work)
            }
            Err(errno) => {
                self.scan_failed(id, errno, work);
                Ok(())
            }
        }
    }

    /// A directory could not be reached. Either it is gone, or it, or one above it, is being renamed and the event is not
    /// queued yet.
    fn confirm_gone(&mut self, id: PlaceId, wanted: Wanted, work: &mut Work<'_>) -> Sys<()> {
        let place = work.forest.place(id);
        let (parent, name) = (place.parent(), place.name().to_vec());
        let look = match parent {
            NO_PLACE => Look::NotThere,
            _ => self.look_for(parent, &name, work),
        };
        let is_perhaps_there = match look {
            Look::There(kind) => kind == Kind::Directory,
            Look::NotThere => false,
            Look::Elsewhere | Look::CantTell(_) => true,
        };
        self.wait_for_renames_above(id, work);
        work.stream.drain()?;
        let clean = is_clean(id, work.stream, work.forest)?;
        let index = work.forest.place(id).tree();
        let is_root = work.forest.tree(index).root() == id;
        let (forest, mut fx) = work.trees();
        if !clean {
            forest.want_later(wanted, &mut fx);
        } else if is_root {
            work.lose_tree(index, libc::ENOENT);
        } else if is_perhaps_there {
            // Without /proc a directory is watched by the path of the root, which may have moved.
            forest.want_later(wanted, &mut fx);
            self.leave();
        } else {
            forest.unqueue(id);
            forest.take_away(id, &mut fx);
        }
        Ok(())
    }

    /// The root of a tree could not be opened.
    fn cannot_reach(
        &mut self,
        id: PlaceId,
        wanted: Wanted,
        errno: i32,
        work: &mut Work<'_>,
    ) -> Sys<()> {
        work.stream.drain()?;
        let index = work.forest.place(id).tree();
        let is_root = work.forest.tree(index).root() == id;
        let limit = matches!(errno, libc::EMFILE | libc::ENFILE | libc::ENOMEM);
        if limit && !is_root {
            self.scan_failed(id, errno, work);
        } else if work.root_is_alive(index) {
            work.forest.unqueue(id);
            work.lose_tree(index, errno);
        } else {
            // The end of the root is among what was read.
            work.forest.want_again(wanted);
        }
        Ok(())
    }
}

impl Scans {
    /// A directory could not be watched or listed.
    pub(super) fn scan_failed(&mut self, id: PlaceId, errno: i32, work: &mut Work<'_>) {
        let hearing = match is_refusal(errno) {
            true => self.hear_of_permissions(id, work),
            false => Hearing::Heard,
        };
        if hearing == Hearing::Now {
            // They may have changed before that.
            let place = work.forest.places().reference(id);
            return work.forest.want_again(Wanted { place });
        }
        work.give_up(id, errno, hearing);
    }

    /// Has the kernel tell of the permissions of the directories above one that can't be watched.
    pub(super) fn hear_of_permissions(&mut self, id: PlaceId, work: &mut Work<'_>) -> Hearing {
        let mut hearing = Hearing::Heard;
        for place in work.forest.unheard_above(id) {
            // The kernel watches only what can be reached and read.
            if self.watch_also(place, Mask::ATTRIB, work) == Ok(true) {
                work.forest.hears_permissions(place);
                hearing = Hearing::Now;
            } else if hearing == Hearing::Heard {
                hearing = Hearing::Unheard;
            }
        }
        hearing
    }
}

/// Whether the kernel tells of permissions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hearing {
    Heard,
    /// It was told to do so just now.
    Now,
    /// That can't be done for all of them.
    Unheard,
}

impl Work<'_> {
    /// There is nothing more to be tried now.
    pub(super) fn give_up(&mut self, id: PlaceId, errno: i32, hearing: Hearing) {
        let tree = self.forest.tree_of(id);
        let index = self.forest.place(id).tree();
        if tree.root() == id && !tree.is_waited_for() {
            return self.lose_tree(index, errno);
        }
        let (forest, mut fx) = self.trees();
        forest.scan_failed(id, errno, &mut fx);
        if hearing == Hearing::Unheard {
            forest.wait_unheard(id);
        }
    }

    /// Whether the kernel still watches a tree's root, as far as it has told.
    pub(super) fn root_is_alive(&self, index: u32) -> bool {
        let wd = self.forest.tree(index).root_wd();
        let ended = (Mask::IGNORED | Mask::Q_OVERFLOW).bits();
        let ends =
            |event: &RawEvent<'_>| event.mask & ended != 0 && (event.wd == wd || event.wd == -1);
        !self.stream.pending().any(|(_, event)| ends(&event))
    }

    /// The root is not where its path says, or can't be opened.
    pub(super) fn lose_tree(&mut self, index: u32, errno: i32) {
        let tree = self.forest.tree(index);
        let waited_for = tree.is_waited_for();
        let ended = !waited_for && self.stream.inotify().holds(tree.root_wd()) == Some(false);
        let (forest, mut fx) = self.trees();
        match ended {
            // Its end was among the events that were lost.
            true => forest.end_tree(index, &mut fx),
            false => forest.lose_tree(index, errno, &mut fx),
        }
    }
}
