//! Recognises the directory that was found: for a directory that is watched already, the kernel gives the descriptor that
//! its watch has.

use super::pending::is_clean;
use super::{Scans, Work};
use crate::sys::Sys;
use crate::tree::{Cause, Known, flags, is_refusal};
use crate::watches::PlaceId;

/// What a listed directory turned out to be.
pub(super) struct Identified {
    /// The place that has it now, which is another where the directory was known under another name.
    pub(super) place: PlaceId,
    /// Whether what was listed is news.
    pub(super) is_news: bool,
    /// Whether other places have changed.
    pub(super) rearranged: bool,
}

impl Scans {
    /// Makes the directory with this descriptor that of the place; None: a repair has begun instead, or the scan has failed.
    pub(super) fn identify(
        &mut self,
        id: PlaceId,
        wd: i32,
        work: &mut Work<'_>,
    ) -> Sys<Option<Identified>> {
        let place = work.forest.place(id);
        let tree = place.tree();
        if place.wd() == wd {
            let verified = work.forest.is_verified(id);
            return Ok(Some(Identified {
                place: id,
                is_news: !verified,
                rearranged: false,
            }));
        }
        let split = place.wd() != 0;
        let is_looked_at = place.is(flags::VERIFY | flags::DEEPER);
        if is_looked_at || (split && !work.forest.tree(tree).is_being_repaired()) {
            // Not what it was taken for.
            self.abandon(wd, work);
            work.begin_sync(tree, Cause::WrongDirectory);
            return Ok(None);
        }
        let (forest, mut fx) = work.trees();
        let mut identified = Identified {
            place: match split {
                true => forest.split_off(id, &mut fx),
                false => id,
            },
            is_news: true,
            rearranged: split,
        };
        for other in forest.others_with(identified.place, wd, &fx) {
            match self.settle_other(identified.place, other, wd, work)? {
                Settled::BindMount => {}
                Settled::At(place) => {
                    identified.place = place;
                    identified.rearranged = true;
                    return Ok(Some(identified));
                }
                Settled::Repair => {
                    work.forest.was_overtaken(identified.place);
                    return Ok(None);
                }
                Settled::CantTell(errno) => {
                    self.scan_failed(identified.place, errno, work);
                    return Ok(None);
                }
            }
        }
        let (forest, mut fx) = work.trees();
        forest.assign_wd(identified.place, wd, &mut fx);
        Ok(Some(identified))
    }

    /// A directory was found at `id` that `other` has in the same tree.
    fn settle_other(
        &mut self,
        id: PlaceId,
        other: PlaceId,
        wd: i32,
        work: &mut Work<'_>,
    ) -> Sys<Settled> {
        let known = work.forest.known(other);
        let cause = match known {
            Known::Moved => Cause::DoubtLeft,
            _ => Cause::FoundTwice,
        };
        let uncertain = match known {
            Known::Stale => {
                // Here it is, with all below as little known as itself.
                let (forest, mut fx) = work.trees();
                return Ok(Settled::At(forest.take_over(id, other, &mut fx)));
            }
            Known::Doomed => false,
            Known::Moved => work.forest.takes_doubts_away_with(other),
            Known::InPlace => match self.open_if_still_at(other, work) {
                Ok(Some(_)) => return Ok(Settled::BindMount),
                Ok(None) => {
                    // With no event that takes it away, something else has its name, and was taken for it.
                    self.wait_for_renames_above(other, work);
                    work.stream.drain()?;
                    is_clean(other, work.stream, work.forest)?
                }
                // It can't stay known by its watch alone. A repair tells of it where it can't be looked at.
                Err(errno) if is_refusal(errno) => true,
                Err(errno) => return Ok(Settled::CantTell(errno)),
            },
        };
        if uncertain {
            work.begin_sync(work.forest.place(other).tree(), cause);
            return Ok(Settled::Repair);
        }
        // The directory left and came back unseen, so it is new here, with all in it. The kernel's watch is kept.
        let (forest, mut fx) = work.trees();
        if known != Known::Doomed {
            forest.doom(other, &mut fx);
        }
        forest.assign_wd(id, wd, &mut fx);
        forest.let_go(other, &mut fx);
        Ok(Settled::At(id))
    }
}

enum Settled {
    /// One directory at two places of the tree.
    BindMount,
    /// The directory is at this place.
    At(PlaceId),
    /// Nothing says what has happened.
    Repair,
    /// The look at the other place has failed, and not for its permissions.
    CantTell(i32),
}

impl Work<'_> {
    pub(super) fn begin_sync(&mut self, tree: u32, cause: Cause) {
        let (forest, mut fx) = self.trees();
        forest.begin_sync(tree, cause, &mut fx);
    }
}
