//! Looks at the disk that settle what events left open: renames of which half was seen, names in doubt.

use super::pending::Pending;
use super::start::Hearing;
use super::{Pace, Scans, Work};
use crate::sys::Sys;
use crate::tree::{Doubt, Look, PlaceRef, Standing, is_refusal};
use crate::watches::PlaceId;
use std::ffi::CString;

impl Scans {
    /// All that was queued is decoded: takes away what has left its tree, or takes the locks that will tell.
    pub(crate) fn settle_limbo(&mut self, pace: &Pace, work: &mut Work<'_>) -> Sys<()> {
        let (forest, mut fx) = work.trees();
        if forest.take_away_moved(&mut fx) {
            return Ok(());
        }
        while let Some((parent, surely)) = work.forest.next_to_lock() {
            let locked = self.lock(parent, surely, work)?;
            work.forest.was_locked(parent, locked);
            if pace.is_over() {
                break;
            }
        }
        work.stream.drain()
    }

    /// Takes the lock of a directory: what can be seen of its renames is queued when this returns. False: it can't be taken.
    fn lock(&mut self, parent: PlaceRef, surely: bool, work: &mut Work<'_>) -> Sys<bool> {
        let id = work.forest.places().resolve(parent);
        let Some(id) = id.filter(|&id| work.forest.standing(id) != Standing::Doomed) else {
            return Ok(true);
        };
        let index = work.forest.place(id).tree();
        if surely && let Err(errno) = self.reach(index, work) {
            work.stream.drain()?;
            if work.root_is_alive(index) {
                work.lose_tree(index, errno);
            }
            return Ok(false);
        }
        let directory = match surely {
            true => self.open_if_still_at(id, work),
            false => self.open_anchor_of(id, work).map(Some),
        };
        Ok(matches!(directory, Ok(Some(directory)) if directory.wait_for_renames().is_ok()))
    }

    /// All that was queued is decoded: looks for a name in doubt.
    pub(crate) fn settle_doubt(&mut self, work: &mut Work<'_>) -> Sys<()> {
        let Some((parent, doubt)) = work.forest.next_doubt() else {
            return Ok(());
        };
        let settled = self.settle(parent, &doubt, work);
        if settled != Ok(true) {
            work.forest.look_again(doubt);
        }
        settled.map(|_| ())
    }

    /// False: an event that is queued will settle it.
    fn settle(&mut self, parent: PlaceId, doubt: &Doubt, work: &mut Work<'_>) -> Sys<bool> {
        let index = work.forest.place(parent).tree();
        if let Err(errno) = self.reach(index, work) {
            work.stream.drain()?;
            let is_alive = work.root_is_alive(index);
            if is_alive {
                work.lose_tree(index, errno);
            }
            return Ok(is_alive);
        }
        let wd = work.forest.place(parent).wd();
        let mut look = self.look_for(parent, &doubt.name, work);
        let mut hearing = Hearing::Heard;
        while matches!(look, Look::CantTell(errno) if is_refusal(errno)) {
            hearing = self.hear_of_permissions(parent, work);
            if hearing != Hearing::Now {
                break;
            }
            // They may have changed before that.
            look = self.look_for(parent, &doubt.name, work);
        }
        if look == Look::Elsewhere {
            self.wait_for_renames_above(parent, work);
        }
        work.stream.drain()?;
        let pending = Pending::of(work.stream)?;
        let told = pending.tells_of(wd, &doubt.name) || !pending.is_clean(parent, work.forest);
        drop(pending);
        if !told {
            let epoch = work.forest.tree(index).epoch();
            let (forest, mut fx) = work.trees();
            forest.looked(parent, doubt, look, &mut fx);
            if let Look::CantTell(errno) = look
                && forest.tree(index).epoch() == epoch
            {
                work.give_up(parent, errno, hearing);
            }
        }
        Ok(!told)
    }

    /// Looks for a name in the directory of a place.
    pub(crate) fn look_for(&mut self, id: PlaceId, name: &[u8], work: &mut Work<'_>) -> Look {
        let directory = match self.open_if_still_at(id, work) {
            Ok(Some(directory)) => directory,
            Ok(None) => return Look::Elsewhere,
            Err(errno) => return Look::CantTell(errno),
        };
        let Ok(name) = CString::new(name) else {
            return Look::NotThere;
        };
        let found = directory.kind_of(&name);
        // If the look has seen a change before its event was queued, the event is queued when this returns.
        match (found, directory.wait_for_renames()) {
            (_, Err(errno)) => Look::CantTell(errno),
            (Ok(kind), Ok(())) => Look::There(kind),
            (Err(libc::ENOENT), Ok(())) => Look::NotThere,
            (Err(errno), Ok(())) => Look::CantTell(errno),
        }
    }

    /// All renames and removals of a place, or of one above it, that can be seen on the disk are queued when this returns.
    pub(super) fn wait_for_renames_above(&mut self, id: PlaceId, work: &mut Work<'_>) {
        let above: Vec<PlaceId> = work.forest.places().above(id).collect();
        for place in above.into_iter().rev() {
            match self.open_anchor_of(place, work) {
                Ok(directory) if directory.wait_for_renames().is_ok() => {}
                _ => break,
            }
        }
    }
}
