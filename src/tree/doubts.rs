//! Names that may be there although the events say that they are not, or the other way round.
//!
//! A doubt is settled by the next event of the name, or by a look at the disk when all that was queued is decoded.

use super::exchange::is_dir;
use super::{CALL_IS_OVER, Cause, Effects, Forest, PlaceRef, Standing, Telling};
use crate::mask::Mask;
use crate::stream::RawEvent;
use crate::sys::dirent::Kind;
use crate::watches::{NO_PLACE, PlaceId};
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// A file was renamed away, or a directory without a place.
    Unknown,
    /// A directory was renamed away, which had come over one that was not watched yet.
    Directory { over_unwatched: bool },
    /// Something was renamed away from a name that was there later: perhaps only the second half of an exchange was heard.
    HalfHeard,
    /// A directory is taken to have stayed. Had it been renamed away, the one before it was replaced and only open
    /// somewhere, so that its end was not told.
    Stayed,
    /// A file is there, or was before something else was renamed to the name, of which perhaps nothing was told. The caller
    /// does not ask for MOVED_TO. What it is says how its appearing is told.
    Unheard,
    /// What came is perhaps not what left the other name, but a file of whose content nothing was told.
    Unread,
    /// The directory is no more. The kernel merges two renames to one name that follow each other: another may have come.
    Vacated,
}

/// What a look at the disk for a name has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    There(Kind),
    NotThere,
    /// The directory is not where it should be: the event that says so is on its way.
    Elsewhere,
    /// The errno says neither "is there" nor "is not there".
    CantTell(i32),
}

/// A name to look for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Doubt {
    pub(crate) parent: PlaceRef,
    pub(crate) name: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Doubts {
    /// What is in doubt about a name, and the number of the tree.
    by_name: BTreeMap<Doubt, (What, u32)>,
    /// In which order they are looked for; some are settled already.
    order: VecDeque<Doubt>,
    /// Files that came as from outside, the newest last.
    strays: VecDeque<Stray>,
}

/// A file that came as from outside of its tree, of which the caller does not ask to hear. It may be from a new directory in
/// the tree: of that one the kernel tells only when it is made, which may be behind what happens in it.
struct Stray {
    doubt: Doubt,
    tree: u32,
    /// How often the kernel's queue was seen empty since.
    age: u32,
}

/// More than there are between the first and the last of what is done by a process in a single call.
const STRAYS: usize = 64;

impl Doubts {
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Of each doubt, whose tree it is.
    #[cfg(not(simulation))]
    pub(super) fn trees(&self) -> impl Iterator<Item = u32> + '_ {
        self.by_name.values().map(|&(_, tree)| tree)
    }

    pub(super) fn forget_tree(&mut self, tree: u32) {
        self.by_name.retain(|_, (_, of)| *of != tree);
        self.strays.retain(|stray| stray.tree != tree);
        if self.by_name.is_empty() {
            self.order.clear();
        }
    }

    /// What is in a directory is told anew.
    pub(super) fn forget_parent(&mut self, parent: PlaceRef) {
        let name = Vec::new();
        let of_parent = self.by_name.range(Doubt { parent, name }..);
        let of_parent = of_parent.map(|(doubt, _)| doubt);
        let of_parent = of_parent.take_while(|doubt| doubt.parent == parent);
        for doubt in of_parent.cloned().collect::<Vec<Doubt>>() {
            self.take(&doubt);
        }
    }

    /// Whether there may be a directory that is not heard of yet.
    pub(super) fn hide_directories(&self, tree: u32) -> bool {
        let hides = |&(what, of): &(What, u32)| of == tree && what != What::Unheard;
        self.by_name.values().any(hides)
    }

    /// The kernel's queue was seen empty.
    pub(super) fn age_strays(&mut self) {
        for stray in &mut self.strays {
            stray.age += 1;
        }
        self.strays.retain(|stray| stray.age < CALL_IS_OVER);
    }

    pub(super) fn has_strays(&self) -> bool {
        !self.strays.is_empty()
    }

    fn what(&self, doubt: &Doubt) -> Option<What> {
        self.by_name.get(doubt).map(|&(what, _)| what)
    }

    fn take(&mut self, doubt: &Doubt) -> Option<What> {
        let what = self.by_name.remove(doubt).map(|(what, _)| what);
        if self.by_name.is_empty() {
            self.order.clear();
        }
        what
    }
}

impl Forest {
    pub(super) fn doubt(&mut self, parent: PlaceId, name: &[u8], what: What) {
        let tree = self.places.get(parent).tree();
        let doubt = self.doubt_at(parent, name);
        let before = self.doubts.by_name.insert(doubt.clone(), (what, tree));
        if before.is_none() {
            self.doubts.order.push_back(doubt);
        }
    }

    fn doubt_at(&self, parent: PlaceId, name: &[u8]) -> Doubt {
        Doubt {
            parent: self.places.reference(parent),
            name: name.to_vec(),
        }
    }

    /// A file has, or had, the name, of which perhaps nothing was told.
    pub(crate) fn doubt_unheard(&mut self, parent: PlaceId, name: &[u8]) {
        let asked = self.tree_of(parent).mask();
        let appearing = Mask::CREATE | Mask::MODIFY | Mask::CLOSE_WRITE;
        if asked.intersects(appearing) && !asked.contains(Mask::MOVED_TO) {
            self.doubt(parent, name, What::Unheard);
        }
    }

    /// Whether all of a tree that can be watched is.
    pub(super) fn hears_all(&self, index: u32) -> bool {
        self.trees[index].hears_all() && !self.doubts.hide_directories(index)
    }

    /// A file came from where nobody has heard it go.
    pub(super) fn note_stray(&mut self, parent: PlaceId, event: &RawEvent<'_>) {
        if is_dir(event) {
            return;
        }
        let stray = Stray {
            doubt: self.doubt_at(parent, event.name),
            tree: self.places.get(parent).tree(),
            age: 0,
        };
        if self.doubts.strays.len() == STRAYS {
            self.doubts.strays.pop_front();
        }
        self.doubts.strays.push_back(stray);
    }

    /// A directory is new in a tree: what came as from outside may be from there.
    pub(super) fn doubt_strays(&mut self, tree: u32) {
        for stray in std::mem::take(&mut self.doubts.strays) {
            let parent = self.places.resolve(stray.doubt.parent);
            match parent {
                Some(parent) if stray.tree == tree => {
                    self.doubt_unheard(parent, &stray.doubt.name);
                }
                Some(_) => self.doubts.strays.push_back(stray),
                None => {}
            }
        }
    }

    /// A watched directory is no more; its parent's watch tells next of how it went.
    pub(super) fn doubt_vacated(&mut self, id: PlaceId) {
        let place = self.places.get(id);
        if place.parent() != NO_PLACE {
            let parent = place.parent();
            let doubt = self.doubt_at(parent, place.name());
            // One that is taken to have stayed may have ended elsewhere: then nothing else says that it is not there.
            if self.doubts.what(&doubt) != Some(What::Stayed) {
                self.doubt(parent, &doubt.name, What::Vacated);
            }
        }
    }

    pub(crate) fn has_doubts(&self) -> bool {
        !self.doubts.is_empty()
    }

    /// Whether a directory that is found under a name is first to be told of, which the look does.
    pub(super) fn is_doubted(&self, parent: PlaceId, name: &[u8]) -> bool {
        if self.doubts.is_empty() {
            return false;
        }
        let doubt = self.doubt_at(parent, name);
        let Some(what) = self.doubts.what(&doubt) else {
            return false;
        };
        matches!(
            what,
            What::Unknown | What::HalfHeard | What::Directory { .. }
        )
    }

    /// The next name to look for, and its directory. It stays in doubt until `looked` is called.
    pub(crate) fn next_doubt(&mut self) -> Option<(PlaceId, Doubt)> {
        while let Some(doubt) = self.doubts.order.pop_front() {
            if !self.doubts.by_name.contains_key(&doubt) {
                continue;
            }
            let parent = self.places.resolve(doubt.parent);
            let parent = parent.filter(|&parent| {
                let is_there = self.standing(parent) == Standing::InTree && !self.is_stale(parent);
                self.places.get(parent).wd() != 0 && is_there
            });
            match parent {
                Some(parent) => return Some((parent, doubt)),
                // The directory is gone, and all that was in it, or its scan is to come.
                None => drop(self.doubts.take(&doubt)),
            }
        }
        None
    }

    /// A look could not settle the doubt yet: the events that are queued come first.
    pub(crate) fn look_again(&mut self, doubt: Doubt) {
        if self.doubts.by_name.contains_key(&doubt) {
            self.doubts.order.push_back(doubt);
        }
    }

    /// What a look for a name in doubt has come to; no event that is queued tells of the name.
    pub(crate) fn looked(&mut self, parent: PlaceId, doubt: &Doubt, look: Look, fx: &mut Effects) {
        let Some(what) = self.doubts.take(doubt) else {
            return;
        };
        match look {
            Look::There(kind) => {
                self.was_there(parent, (&doubt.name, kind), what, fx);
                if matches!(what, What::Directory { .. }) && !self.tree_of(parent).lists() {
                    // The repair has no list that would name it.
                    self.tell_found(parent, &doubt.name, kind, Telling::AsEvents, fx);
                    self.new_directory(parent, &doubt.name, fx);
                }
            }
            Look::NotThere => self.was_not_there(parent, &doubt.name, what, fx),
            // No event takes the directory away, so something has happened that was not told.
            Look::Elsewhere => {
                self.begin_sync_over(parent, Cause::NotInPlace, fx);
            }
            Look::CantTell(_) if matches!(what, What::Directory { .. } | What::Stayed) => {
                // One of two directories may be taken for the other.
                self.begin_sync_over(parent, Cause::DoubtHidden, fx);
            }
            // The caller gives the directory up.
            Look::CantTell(_) => {}
        }
    }

    /// An event tells of a name in doubt. If it goes, it was there.
    pub(super) fn on_doubted(&mut self, parent: PlaceId, event: &RawEvent<'_>, fx: &mut Effects) {
        if self.doubts.is_empty() {
            return;
        }
        let doubt = self.doubt_at(parent, event.name);
        let unheard = self.doubts.what(&doubt) == Some(What::Unheard);
        if unheard && (is_dir(event) || event.mask & Mask::MOVED_TO.bits() != 0) {
            // The file has changed places with a directory, which leaves, or perhaps with what comes.
            return;
        }
        let Some(what) = self.doubts.take(&doubt) else {
            return;
        };
        let gone = event.mask & (Mask::DELETE | Mask::MOVED_FROM).bits() != 0;
        if gone {
            if !matches!(what, What::Stayed | What::Vacated) {
                let kind = match is_dir(event) {
                    true => Kind::Directory,
                    // Of what it is nothing was told.
                    false if what != What::Unknown => Kind::Regular,
                    false => Kind::Other,
                };
                self.was_there(parent, (&doubt.name, kind), what, fx);
            }
        } else if event.mask & Mask::CREATE.bits() != 0 {
            self.was_not_there(parent, &doubt.name, what, fx);
        } else if matches!(what, What::Unknown | What::HalfHeard) && is_dir(event) {
            // Perhaps to the place of a directory that is not watched.
            self.arrivals.came_over_unwatched(0);
        } else if matches!(
            what,
            What::Stayed
                | What::Directory {
                    over_unwatched: true
                }
        ) {
            // Something else comes to the name: nobody can tell any more.
            self.begin_sync_over(parent, Cause::DoubtCovered, fx);
        }
    }

    fn was_there(
        &mut self,
        parent: PlaceId,
        (name, kind): (&[u8], Kind),
        what: What,
        fx: &mut Effects,
    ) {
        match what {
            What::Unknown if kind != Kind::Directory => {
                return self.tell_found(parent, name, Kind::Other, Telling::AsEvents, fx);
            }
            // Of a directory that has come since the kernel tells.
            What::Unheard if kind == Kind::Directory => return,
            What::Unheard => {
                return self.tell_found(parent, name, kind, Telling::AsEvents, fx);
            }
            What::Unread if kind != Kind::Regular => return,
            What::Unread => {
                self.tell_synthetic(parent, name, Mask::MODIFY, fx);
                return self.tell_synthetic(parent, name, Mask::CLOSE_WRITE, fx);
            }
            What::Unknown | What::HalfHeard => {
                self.tell_found(parent, name, kind, Telling::AsEvents, fx);
                if kind == Kind::Directory {
                    self.new_directory(parent, name, fx);
                }
                return;
            }
            What::Stayed | What::Vacated => {
                if kind == Kind::Directory && self.places.child(parent, name).is_none() {
                    self.new_directory(parent, name, fx);
                }
                return;
            }
            What::Directory { .. } => {}
        }
        // The directory that stayed was taken for the one that moved on.
        self.begin_sync_over(parent, Cause::WrongOneLeft, fx);
    }

    /// A directory that was taken to have stayed has not.
    fn was_not_there(&mut self, parent: PlaceId, name: &[u8], what: What, fx: &mut Effects) {
        if what != What::Stayed {
            return;
        }
        if let Some(child) = self.places.child(parent, name) {
            self.doom(child, fx);
        }
        self.tell_synthetic(parent, name, Mask::DELETE | Mask::ISDIR, fx);
    }

    /// As `takes_doubts_away`, of the subtree in limbo that a place is in.
    pub(crate) fn takes_doubts_away_with(&self, id: PlaceId) -> bool {
        self.takes_doubts_away(self.places.top(id))
    }

    /// A directory has left the tree or is no more, and what was there can't be looked for any more. That would be well, had
    /// not perhaps come something else from there than was thought.
    pub(super) fn takes_doubts_away(&self, top: PlaceId) -> bool {
        let left = |(doubt, (what, _)): (&Doubt, &(What, u32))| {
            let parent = self.places.resolve(doubt.parent);
            matches!(what, What::Directory { .. })
                && parent.is_some_and(|at| at == top || self.places.above(at).any(|it| it == top))
        };
        self.doubts.by_name.iter().any(left)
    }

    /// Takes away what has left the tree or is no more.
    pub(crate) fn take_away(&mut self, top: PlaceId, fx: &mut Effects) {
        let uncertain = self.takes_doubts_away(top);
        self.doom(top, fx);
        if uncertain {
            let tree = self.places.get(top).tree();
            self.begin_sync(tree, Cause::DoubtLeft, fx);
        }
    }
}
