//! Directories that could not be watched: what was told of them, and when they are tried again.
//!
//! Such a directory keeps its place, without a descriptor and with nothing below it. It is tried again when what was in the
//! way may have gone: the permissions have changed, there may be room again, or its parent is used. Then it is scanned as
//! a new directory, and HEALED is told behind its content.

use super::{Effects, Forest, PlaceRef, Standing, Telling, flags};
use crate::debug::{Quoted, debug};
use crate::mask::{EventFlags, Mask};
use crate::memory;
use crate::stream::{RawEvent, Record};
use crate::watches::PlaceId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What has to happen before another try is worth it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cure {
    /// The permissions of the directory change, or those of one above it.
    Permission,
    /// A limit was reached, of which nobody is told when there is room again.
    Room,
    /// Something happens in the directory above.
    Use,
}

/// Whether permissions are in the way.
pub(crate) fn is_refusal(errno: i32) -> bool {
    matches!(errno, libc::EACCES | libc::EPERM)
}

impl Cure {
    fn of(errno: i32) -> Cure {
        match errno {
            _ if is_refusal(errno) => Cure::Permission,
            libc::ENOSPC | libc::EMFILE | libc::ENFILE | libc::ENOMEM => Cure::Room,
            _ => Cure::Use,
        }
    }
}

#[derive(Default)]
pub(super) struct Troubles {
    by_place: BTreeMap<PlaceRef, Known>,
    /// Directories that are tried again after a while, by what is in the way.
    waiting: BTreeMap<i32, VecDeque<PlaceRef>>,
    /// Those that are being tried. Where there is no room for one, there is none for the others of its queue.
    tried: Vec<(PlaceRef, i32)>,
    /// Directories of whose permissions the kernel tells because of this.
    heard: BTreeSet<PlaceRef>,
    pace: Pace,
}

/// What is known of a directory that could not be watched.
struct Known {
    /// Of the last try.
    errno: i32,
    /// It is in a queue.
    waits: bool,
}

/// When the next try is due.
#[derive(Default)]
struct Pace {
    /// Doubles with each try in its time that comes to nothing.
    pause: Duration,
    last: Duration,
    planned: Option<Duration>,
    /// Something has happened since the last try: perhaps there is room.
    hurried: bool,
    /// The last try came in its time.
    in_time: bool,
}

impl Pace {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);
    const SHORTEST: Duration = Duration::from_millis(10);

    fn plan(&mut self, now: Duration) {
        let pause = self.pause.max(Pace::FIRST);
        self.planned.get_or_insert(now + pause);
    }

    fn due(&self) -> Option<Duration> {
        let planned = self.planned?;
        Some(match self.hurried {
            true => planned.min(self.last + Pace::SHORTEST),
            false => planned,
        })
    }

    /// A try begins.
    fn begin(&mut self, now: Duration) {
        self.in_time = self.planned.is_some_and(|planned| planned <= now);
        if self.in_time {
            self.planned = None;
        }
        (self.last, self.hurried) = (now, false);
    }

    /// A try has come to nothing.
    fn fail(&mut self) {
        if std::mem::take(&mut self.in_time) {
            self.pause = (2 * self.pause).clamp(2 * Pace::FIRST, Pace::LONGEST);
        }
    }
}

impl Troubles {
    /// Which queue goes on: what it waits for is not what was in the way.
    fn note(&mut self, place: PlaceRef, errno: i32) -> Option<i32> {
        let known = self.by_place.entry(place).or_insert(Known {
            errno,
            waits: false,
        });
        // In the queue of another errno it is passed over.
        known.waits &= known.errno == errno;
        known.errno = errno;
        // A step may take up all of them.
        memory::foresee(2 * size_of::<(PlaceRef, PlaceId)>() * self.by_place.len());
        let mut goes_on = None;
        if let Some(at) = self.tried.iter().position(|(it, _)| *it == place) {
            let (_, waited_for) = self.tried.swap_remove(at);
            match waited_for == errno {
                true => self.pace.fail(),
                false => goes_on = Some(waited_for),
            }
        }
        if Cure::of(errno) == Cure::Room {
            self.wait(place);
        }
        goes_on
    }

    fn wait(&mut self, place: PlaceRef) {
        if let Some(known) = self.by_place.get_mut(&place)
            && !known.waits
        {
            known.waits = true;
            let queue = self.waiting.entry(known.errno).or_default();
            queue.push_back(place);
        }
    }

    /// Takes the next one out of a queue that still waits there.
    fn next_waiting(&mut self, errno: i32) -> Option<PlaceRef> {
        loop {
            let queue = self.waiting.get_mut(&errno)?;
            let next = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&errno);
            }
            let place = next?;
            let known = self.by_place.get_mut(&place);
            if let Some(known) = known.filter(|it| it.waits && it.errno == errno) {
                known.waits = false;
                return Some(place);
            }
        }
    }

    #[cfg(not(simulation))]
    pub(super) fn len(&self) -> usize {
        self.by_place.len()
    }

    #[cfg(any(debug_assertions, simulation))]
    pub(super) fn check(&self) {
        let empty = self.waiting.values().any(|queue| queue.is_empty());
        assert!(!empty, "the timer runs for those that wait");
    }

    #[cfg(any(debug_assertions, simulation))]
    pub(super) fn knows(&self, place: PlaceRef) -> bool {
        self.by_place.contains_key(&place)
    }

    fn take_over(&mut self, from: PlaceRef, to: PlaceRef) {
        if let Some(known) = self.by_place.remove(&from) {
            let waits = false;
            self.by_place.insert(to, Known { waits, ..known });
        }
        for (place, _) in &mut self.tried {
            if *place == from {
                *place = to;
            }
        }
    }

    fn forget(&mut self, place: PlaceRef) {
        self.by_place.remove(&place);
        if self.by_place.is_empty() {
            self.waiting.clear();
            self.heard.clear();
        }
    }
}

impl Forest {
    /// A directory can't be watched now: tells so, lets go of it and of all below, and tries again some time.
    pub(crate) fn give_up(&mut self, id: PlaceId, errno: i32, fx: &mut Effects) {
        let (epoch, parent) = (self.tree_of(id).epoch(), self.places.get(id).parent());
        self.unqueue(id);
        self.places.set_epoch(id, epoch);
        self.let_go(id, fx);
        while let Some(child) = self.places.first_child(id) {
            self.doom(child, fx);
        }
        self.doubts.forget_parent(self.places.reference(id));
        self.note_trouble(id, errno, fx);
        self.places.set(id, flags::UNLISTED);
        if Cure::of(errno) == Cure::Use {
            self.places.set(parent, flags::RETRY);
        }
        // The parent's events take the long way from now on.
        self.places.changed();
    }

    /// Tells of a directory that can't be watched, unless that is told, and notes that it is to be tried again.
    pub(super) fn note_trouble(&mut self, id: PlaceId, errno: i32, fx: &mut Effects) {
        if !self.places.get(id).is(flags::TROUBLED) {
            self.tell_error(id, errno, fx);
        }
        self.places.set(id, flags::TROUBLED);
        let goes_on = self.troubles.note(self.places.reference(id), errno);
        if let Some(waited_for) = goes_on {
            self.try_next(waited_for);
        }
    }

    /// The directory at a place turned out to be another that is known. That its name could not be watched was told.
    pub(super) fn take_trouble_over(&mut self, from: PlaceId, to: PlaceId) {
        if self.places.get(from).is(flags::TROUBLED) {
            self.places.unset(from, flags::TROUBLED);
            self.places.set(to, flags::TROUBLED);
            let (from, to) = (self.places.reference(from), self.places.reference(to));
            self.troubles.take_over(from, to);
        }
    }

    fn try_again(&mut self, id: PlaceId) {
        let telling = match self.tree_of(id).root == id {
            true => self.tree_of(id).telling(),
            false => Telling::AsEvents,
        };
        debug!(self.log, "tries {} again", Quoted(self.path_of(id)));
        self.want_scan(id, telling);
    }

    /// The places in trouble that wait for one kind of cure, and have not gone meanwhile.
    fn troubled(&self, cure: Cure) -> impl Iterator<Item = PlaceId> {
        let by_place = self.troubles.by_place.iter();
        let waiting = by_place.filter(move |(_, known)| Cure::of(known.errno) == cure);
        waiting
            .filter_map(|(&place, _)| self.places.resolve(place))
            .filter(|&id| self.places.get(id).is(flags::TROUBLED))
    }

    /// Something has happened in a directory with subdirectories that could not be watched.
    pub(super) fn retry(&mut self, parent: PlaceId) {
        self.places.unset(parent, flags::RETRY);
        let here = self.troubled(Cure::Use);
        let here: Vec<PlaceId> = here
            .filter(|&id| self.places.get(id).parent() == parent)
            .collect();
        for id in here {
            self.try_again(id);
        }
    }

    /// Permissions were changed: of the directory that has this watch, or of an entry in it.
    pub(super) fn on_permissions(&mut self, id: PlaceId, event: &RawEvent<'_>) {
        if event.mask & Mask::ATTRIB.bits() == 0 || self.troubles.by_place.is_empty() {
            return;
        }
        let changed = match event.name {
            b"" => Some(id),
            name => self.places.child(id, name),
        };
        let Some(changed) = changed else {
            return;
        };
        self.try_refused(changed);
    }

    /// Tries what was refused of a directory and all below it.
    pub(super) fn try_refused(&mut self, top: PlaceId) {
        if self.troubles.by_place.is_empty() {
            return;
        }
        let below = self.troubled_below(top).unwrap_or_else(|| {
            self.troubled(Cure::Permission)
                .filter(|&one| one == top || self.places.above(one).any(|it| it == top))
                .collect()
        });
        for id in below {
            self.try_again(id);
        }
    }

    /// What was refused of a directory and all below it, by a walk; None: there are more places below than troubles.
    /// `chmod -R` tells of each directory, and must not look at all troubles each time.
    fn troubled_below(&self, top: PlaceId) -> Option<Vec<PlaceId>> {
        let by_place = &self.troubles.by_place;
        let (mut walked, mut below, mut stack) = (0, Vec::new(), vec![top]);
        while let Some(id) = stack.pop() {
            let known = by_place.get(&self.places.reference(id));
            let known = known.filter(|_| self.places.get(id).is(flags::TROUBLED));
            if known.is_some_and(|known| Cure::of(known.errno) == Cure::Permission) {
                below.push(id);
            }
            for child in self.places.children(id) {
                walked += 1;
                if walked > by_place.len() {
                    return None;
                }
                stack.push(child);
            }
        }
        Some(below)
    }

    /// The directories above one that could not be watched, of whose permissions the kernel does not tell yet.
    pub(crate) fn unheard_above(&self, id: PlaceId) -> Vec<PlaceId> {
        let tree = self.tree_of(id);
        if tree.mask().contains(Mask::ATTRIB) {
            return Vec::new();
        }
        let above = self.places.above(id);
        above
            .filter(|&it| self.places.get(it).wd() != 0)
            .filter(|&it| !self.troubles.heard.contains(&self.places.reference(it)))
            .collect()
    }

    /// The kernel tells of the permissions of a directory.
    pub(crate) fn hears_permissions(&mut self, id: PlaceId) {
        self.troubles.heard.insert(self.places.reference(id));
    }

    /// A place has let go of its watch, and with it of the permissions that the kernel told of.
    pub(super) fn unhear_permissions(&mut self, id: PlaceId) {
        if !self.troubles.heard.is_empty() {
            self.troubles.heard.remove(&self.places.reference(id));
        }
    }

    /// A directory was refused, and not all that may change that can be heard of: it is tried again after a while.
    pub(crate) fn wait_unheard(&mut self, id: PlaceId) {
        self.troubles.wait(self.places.reference(id));
    }

    /// Whether directories wait for room, or have done so a moment ago.
    pub(crate) fn waits_for_room(&self) -> bool {
        let Troubles {
            waiting,
            tried,
            pace,
            ..
        } = &self.troubles;
        !waiting.is_empty() || !tried.is_empty() || pace.planned.is_some()
    }

    /// When directories that wait for room are tried next.
    pub(crate) fn retry_due(&self) -> Option<Duration> {
        self.troubles.pace.due()
    }

    /// Something has happened, so that there may be room.
    pub(crate) fn hurry_retry(&mut self) {
        self.troubles.pace.hurried = true;
    }

    /// Tries one of each kind of directories that wait, and some of those that were refused, if that is due.
    pub(crate) fn retry_if_due(&mut self, now: Duration) {
        let pace = &mut self.troubles.pace;
        pace.plan(now);
        if !self.troubles.tried.is_empty() || pace.due().is_none_or(|due| due > now) {
            return;
        }
        pace.begin(now);
        /// Of those that were refused, each has its own cause. So many at once take some milliseconds.
        const REFUSED: usize = 64;
        let kinds = self.troubles.waiting.iter();
        let kinds: Vec<(i32, usize)> = kinds.map(|(&errno, queue)| (errno, queue.len())).collect();
        for (errno, waiting) in kinds {
            let at_once = if is_refusal(errno) { REFUSED } else { 1 };
            for _ in 0..at_once.min(waiting) {
                self.try_next(errno);
            }
        }
    }

    /// Plans the next try, unless one is under way.
    pub(crate) fn plan_retry(&mut self, now: Duration) {
        let is_queued = |id: PlaceId| self.places.get(id).is(flags::QUEUED);
        let (under_way, over): (Vec<_>, Vec<_>) = std::mem::take(&mut self.troubles.tried)
            .into_iter()
            .partition(|&(place, _)| self.places.resolve(place).is_some_and(is_queued));
        for (place, _) in over {
            // Its scan was called off: it has left the tree, say.
            self.troubles.wait(place);
        }
        self.troubles.tried = under_way;
        let Troubles {
            waiting,
            tried,
            pace,
            ..
        } = &mut self.troubles;
        match (tried.is_empty(), waiting.is_empty()) {
            (true, true) => *pace = Pace::default(),
            (true, false) => pace.plan(now),
            (false, _) => {}
        }
    }

    fn try_next(&mut self, errno: i32) {
        while let Some(place) = self.troubles.next_waiting(errno) {
            let id = self.places.resolve(place);
            if let Some(id) = id.filter(|&id| self.places.get(id).is(flags::TROUBLED)) {
                self.troubles.tried.push((place, errno));
                return self.try_again(id);
            }
        }
    }

    /// A directory is watched, and its content is told: if there was trouble with it, that is over.
    pub(crate) fn was_told(&mut self, id: PlaceId, fx: &mut Effects) {
        self.unqueue(id);
        if !self.places.get(id).is(flags::TROUBLED) {
            return;
        }
        self.places.unset(id, flags::TROUBLED);
        let place = self.places.reference(id);
        self.troubles.forget(place);
        debug!(self.log, "healed {}", Quoted(self.path_of(id)));
        let record = Record {
            flags: EventFlags::HEALED.bits(),
            mask: Mask::ISDIR.bits(),
            ..Record::NONE
        };
        self.tell(id, b"", record, fx);
        let tried = self.troubles.tried.iter().position(|(it, _)| *it == place);
        if let Some(at) = tried {
            // There is room for one, and perhaps for more.
            let (_, errno) = self.troubles.tried.swap_remove(at);
            self.troubles.pace.pause = Pace::FIRST;
            self.try_next(errno);
        }
    }

    /// A repair looks at all of a tree anew, and tells anew what can't be watched. The root's own trouble ends with it.
    pub(super) fn forget_troubles_of(&mut self, index: u32) {
        let root = self.trees[index].root;
        let by_place = self.troubles.by_place.keys();
        let known = by_place.filter_map(|&place| Some((place, self.places.resolve(place)?)));
        let of_tree = known.filter(|&(_, id)| self.places.get(id).tree() == index && id != root);
        let of_tree: Vec<(PlaceRef, PlaceId)> = of_tree.collect();
        for (place, id) in of_tree {
            self.places.unset(id, flags::TROUBLED);
            self.troubles.forget(place);
        }
        let Troubles {
            waiting, by_place, ..
        } = &mut self.troubles;
        waiting.retain(|_, queue| {
            queue.retain(|place| by_place.contains_key(place));
            !queue.is_empty()
        });
    }

    /// A place goes, and its trouble with it.
    pub(super) fn forget_trouble(&mut self, id: PlaceId) {
        if self.places.get(id).is(flags::TROUBLED) {
            self.troubles.forget(self.places.reference(id));
        }
    }

    /// The directories of a tree that can't be watched now, and why.
    pub(crate) fn troubles_of(&self, index: u32) -> impl Iterator<Item = (PlaceId, i32)> {
        let by_place = self.troubles.by_place.iter();
        let known =
            by_place.filter_map(|(&place, known)| Some((self.places.resolve(place)?, known.errno)));
        known.filter(move |&(id, _)| {
            let place = self.places.get(id);
            let is_here = place.tree() == index && place.is(flags::TROUBLED);
            is_here && self.standing(id) == Standing::InTree
        })
    }
}
