//! The oracle: a replica of a tree, kept from events alone as a program that mirrors a tree would keep it, and everything that
//! cannot be true about an event. The simulation, the replica test and the interleavings all judge by it.
//!
//! Its rules are those of the header's WHAT IS GUARANTEED. Between SYNC_BEGIN and SYNC_END each entry is named exactly once since
//! it last appeared, by a CREATE or a MOVED_TO; what moves along with a renamed directory keeps its mark; another SYNC_BEGIN
//! voids all marks; what has none at SYNC_END is swept. Only after a loss (Q_OVERFLOW, or a SYNC_BEGIN that comes by itself) may
//! the replica be wrong, and only about entries that were not named since.

mod bracket;
mod rest;

use std::collections::{BTreeMap, HashMap};

use libc::{IN_ALL_EVENTS, IN_CREATE, IN_DELETE, IN_ISDIR, IN_MOVED_FROM, IN_MOVED_TO};
use libc::{IN_DELETE_SELF, IN_IGNORED, IN_MOVE_SELF, IN_UNMOUNT};

pub use super::disk::{Entries, differences};
pub use super::told::{ERROR, HEALED, SYNC_BEGIN, SYNC_END, SYNTHETIC, Told};

/// What it takes to follow a tree from events alone.
pub const WHOLE: u32 = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

/// What is wrong, in one word for counting and in a sentence for people.
#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: &'static str,
    pub text: String,
}

pub fn fault(kind: &'static str, text: impl std::fmt::Display) -> Fault {
    let text = format!("{kind}: {text}");
    Fault { kind, text }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> String {
        fault.text
    }
}

pub type Verdict<T = ()> = Result<T, Fault>;

/// What the tree was asked for, and what kind of world it is in.
#[derive(Clone, Copy, Debug)]
pub struct Expect {
    /// Of add_recursive.
    pub mask: u32,
    /// LIST_EXISTING.
    pub lists: bool,
    /// The mask tells all that can happen here, so that the replica must equal the disk at rest.
    pub complete: bool,
    /// Entries may change places (RENAME_EXCHANGE): a directory with content, or an entry of the other kind, is replaced.
    pub swaps: bool,
    /// Several processes at once: what happens to a file may be told before its name is, or after its name is gone.
    pub concurrent: bool,
    /// Something may fail: an ERROR is noted, for the caller to judge, and what is below is not known.
    pub trouble: bool,
    /// Levels of entries that are told; 0: all.
    pub max_depth: u32,
    /// No other watch of the handle can have seen a MOVED_FROM.
    pub alone: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    directory: bool,
    /// Named since the last SYNC_BEGIN.
    marked: bool,
    /// An ERROR has named it: what is below is not told.
    blind: bool,
    /// It was there at the last rest.
    settled: bool,
}

type Branch = BTreeMap<Vec<u8>, Entry>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// Every entry.
    Whole,
    /// Events were lost, no SYNC_BEGIN yet.
    Lost,
    /// Between SYNC_BEGIN and SYNC_END; `after_loss`: what is not marked may be wrong.
    Listing { after_loss: bool },
    /// Whole again by a SYNC_END alone: a program now looks at the disk itself. Here that is done at the next rest.
    Unlisted,
}

/// What a program without a list finds strange while a repair is under way, as nothing tells of its beginning: what happens
/// before SYNC_END may go untold.
const UNTOLD: [&str; 12] = [
    "error-of-an-unknown-path",
    "its-directory-is-not-known",
    "create-of-what-is-there",
    "left-but-was-not-there",
    "left-as-another-kind",
    "over-another-kind",
    "over-a-directory-with-content",
    "changed-its-kind-on-the-way",
    "happened-to-another-kind",
    "came-from-where-nothing-left",
    "found-but-not-named",
    "happened-to-what-is-not-there",
];

pub struct Replica {
    root: Vec<u8>,
    expect: Expect,
    entries: Branch,
    known: Known,
    /// What only a repair can explain, of which nothing was told yet.
    unexplained: Option<Fault>,
    /// What a MOVED_FROM took away, by cookie, until its MOVED_TO comes: the path, and what was there and below.
    moving: HashMap<u32, (Vec<u8>, Branch)>,
    /// The root was watched at the last rest.
    settled: bool,
    blind_root: bool,
    /// Some look-up may fail, so that it can't be found out where something has gone.
    pub unsure: bool,
    begun: u64,
    pub listings: u64,
    /// Listings that no overflow called for.
    pub repairs: u64,
    /// Directories that an ERROR has named, with the errno, since the caller looked last.
    pub errors: Vec<(Vec<u8>, i32)>,
    /// Directories of which HEALED was told since.
    pub healed: Vec<Vec<u8>>,
    /// Events of the root itself, by their bit.
    pub of_root: BTreeMap<u32, u64>,
    pub ended: bool,
}

impl Replica {
    pub fn new(root: &[u8], expect: Expect) -> Replica {
        Replica {
            root: root.to_vec(),
            expect,
            entries: Branch::new(),
            known: Known::Whole,
            unexplained: None,
            moving: HashMap::new(),
            settled: false,
            blind_root: false,
            unsure: false,
            begun: 0,
            listings: 0,
            repairs: 0,
            errors: Vec::new(),
            healed: Vec::new(),
            of_root: BTreeMap::new(),
            ended: false,
        }
    }

    /// What is known to be there, by looking.
    pub fn start_from(&mut self, entries: &Entries) {
        self.entries = entries
            .iter()
            .map(|(path, &directory)| (path.clone(), Entry::new(directory, false)))
            .collect();
        self.known = Known::Whole;
    }

    /// What is below a directory is not told.
    pub fn lose_sight_of(&mut self, path: &[u8]) {
        if let Some(&entry) = self.entries.get(path) {
            self.remove(path);
            let blind = Entry {
                blind: true,
                ..entry
            };
            self.entries.insert(path.to_vec(), blind);
        }
    }

    /// What was set up by now could not be looked at in between: the same as after a SYNC_END alone.
    pub fn start_unlisted(&mut self) {
        self.known = Known::Unlisted;
    }

    /// Q_OVERFLOW came.
    pub fn overflow(&mut self) {
        self.known = Known::Lost;
        self.moving.clear();
    }

    /// The replica can't be compared before it has looked at the disk.
    pub fn is_unlisted(&self) -> bool {
        self.known == Known::Unlisted
    }

    /// Whether an entry that is known must really be there as it is known.
    fn is_certain(&self, entry: Entry) -> bool {
        match self.known {
            Known::Whole | Known::Listing { after_loss: false } => true,
            Known::Listing { after_loss: true } => entry.marked,
            Known::Lost | Known::Unlisted => false,
        }
    }

    /// Whether an entry that is not known can't be there.
    fn knows_all(&self) -> bool {
        matches!(
            self.known,
            Known::Whole | Known::Listing { after_loss: false }
        )
    }

    /// An event is strange, but for a repair that is under way. Its bracket, or SYNC_END, must say so before the next rest.
    pub fn wants_repair(&mut self, fault: Fault) {
        self.unexplained.get_or_insert(fault);
    }

    /// One event of this tree. Err says what cannot be true about it.
    pub fn take(&mut self, event: &Told) -> Verdict {
        match self.judge(event) {
            Err(fault) if !self.expect.lists && UNTOLD.contains(&fault.kind) => {
                self.wants_repair(fault);
                Ok(())
            }
            verdict => verdict,
        }
    }

    fn judge(&mut self, event: &Told) -> Verdict {
        if self.ended {
            return Err(fault("after-the-end", event));
        }
        let path = event.path.as_ref();
        let path = path.ok_or_else(|| fault("no-path", event))?;
        let below = path.strip_prefix(&self.root[..]);
        let below = below.filter(|below| below.is_empty() || below.starts_with(b"/"));
        let below = below.ok_or_else(|| fault("not-in-the-tree", event))?;
        let (below_root, bits) = (!below.is_empty(), event.mask & !IN_ISDIR);
        if event.flagged(ERROR) {
            return self.error(path, event);
        }
        if event.flagged(HEALED) {
            return self.heals(path, event);
        }
        if event.flagged(SYNC_BEGIN | SYNC_END) && (below_root || event.mask != 0) {
            return Err(fault("bracket-not-of-the-root", event));
        }
        if event.flagged(SYNC_BEGIN) {
            return self.begin_listing(event);
        }
        if event.flagged(SYNC_END) {
            return self.end_listing(event);
        }
        if bits.count_ones() != 1 {
            return Err(fault("not-one-bit", event));
        }
        let unasked = bits & !self.expect.mask & !(IN_IGNORED | IN_UNMOUNT);
        if unasked != 0 {
            return Err(fault("not-asked-for", event));
        }
        if !below_root {
            return self.of_root(bits, event);
        }
        if bits & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED) != 0 {
            return Err(fault("end-of-what-is-not-the-root", event));
        }
        if !self.expect.complete {
            return Ok(());
        }
        self.follow(path, bits, event)
    }

    fn follow(&mut self, path: &[u8], bits: u32, event: &Told) -> Verdict {
        match bits {
            IN_CREATE => self.created(path, event),
            IN_DELETE => self.leaves(path, event).map(drop),
            IN_MOVED_FROM => {
                let branch = self.leaves(path, event)?;
                self.moving.insert(event.cookie, (path.to_vec(), branch));
                Ok(())
            }
            IN_MOVED_TO => self.moved_to(path, event),
            _ => self.happened(path, event),
        }
    }

    fn of_root(&mut self, bits: u32, event: &Told) -> Verdict {
        if event.name.is_some() || bits & WHOLE != 0 || event.flags != 0 {
            return Err(fault("root-as-an-entry", event));
        }
        if bits & IN_ALL_EVENTS != 0
            && !event.is_dir()
            && bits & (IN_DELETE_SELF | IN_MOVE_SELF) == 0
        {
            return Err(fault("root-of-another-kind", event));
        }
        *self.of_root.entry(bits).or_default() += 1;
        self.ended |= bits == IN_IGNORED;
        Ok(())
    }

    fn error(&mut self, path: &[u8], event: &Told) -> Verdict {
        if !self.expect.trouble {
            return Err(fault("trouble-that-nobody-made", event));
        }
        if event.error <= 0 || event.mask != IN_ISDIR {
            return Err(fault("not-an-error", event));
        }
        self.errors.push((path.to_vec(), event.error));
        if path == self.root {
            self.blind_root = true;
        } else if !self.expect.complete {
            return Ok(());
        } else if self.entries.contains_key(path) {
            self.lose_sight_of(path);
        } else if self.knows_all() && !self.is_blind(path) {
            return Err(fault("error-of-an-unknown-path", event));
        }
        Ok(())
    }

    /// An ERROR is over. What is in the directory was told before.
    fn heals(&mut self, path: &[u8], event: &Told) -> Verdict {
        if event.error != 0 || event.mask != IN_ISDIR || event.flags != HEALED {
            return Err(fault("not-healed", event));
        }
        self.healed.push(path.to_vec());
        let was_blind = match self.entries.get_mut(path) {
            _ if path == self.root => std::mem::take(&mut self.blind_root),
            Some(entry) => std::mem::take(&mut entry.blind),
            None => false,
        };
        let known = self.expect.complete && self.knows_all() && !self.is_blind(path);
        if !was_blind && known && !self.expect.concurrent {
            return Err(fault("healed-but-was-well", event));
        }
        Ok(())
    }

    /// Whether an ERROR has named a directory above.
    fn is_blind(&self, path: &[u8]) -> bool {
        self.blind_root || self.above(path).any(|entry| entry.blind)
    }

    fn above(&self, path: &[u8]) -> impl Iterator<Item = &Entry> {
        let slashes = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
        let ends: Vec<usize> = slashes.map(|(at, _)| at).collect();
        let entries = &self.entries;
        ends.into_iter()
            .filter_map(move |end| entries.get(&path[..end]))
    }

    /// Whether the directory of a path was watched at the last rest, so that its names are told before all else.
    fn is_settled(&self, path: &[u8]) -> bool {
        let parent = parent(path);
        match self.entries.get(parent) {
            Some(entry) => entry.settled,
            None => self.settled && parent == self.root,
        }
    }

    fn know_parent(&self, path: &[u8], event: &Told) -> Verdict {
        let parent = parent(path);
        let known = parent == self.root
            || self
                .entries
                .get(parent)
                .is_some_and(|entry| entry.directory);
        if known || !self.knows_all() || self.is_blind(path) {
            return Ok(());
        }
        Err(fault("its-directory-is-not-known", event))
    }

    fn created(&mut self, path: &[u8], event: &Told) -> Verdict {
        self.know_parent(path, event)?;
        if let Some(&known) = self.entries.get(path) {
            let blind = self.is_blind(path);
            match self.known {
                _ if blind => {}
                Known::Whole => return Err(fault("create-of-what-is-there", event)),
                Known::Listing { .. } if known.marked => {
                    return Err(fault("named-twice-in-a-bracket", event));
                }
                _ => {}
            }
            // What nothing was told of is told anew, with all in it.
            if (known.directory && !event.is_dir()) || blind {
                self.remove(path);
            }
        }
        self.entries
            .insert(path.to_vec(), Entry::new(event.is_dir(), true));
        Ok(())
    }

    /// Takes away what a DELETE or a MOVED_FROM says has left.
    fn leaves(&mut self, path: &[u8], event: &Told) -> Verdict<Branch> {
        match self.entries.get(path) {
            _ if self.is_blind(path) => {}
            None if self.knows_all() => return Err(fault("left-but-was-not-there", event)),
            Some(&known) if self.is_certain(known) && known.directory != event.is_dir() => {
                return Err(fault("left-as-another-kind", event));
            }
            _ => {}
        }
        Ok(self.remove(path))
    }

    fn moved_to(&mut self, path: &[u8], event: &Told) -> Verdict {
        self.know_parent(path, event)?;
        let blind = self.is_blind(path);
        let replaced = self.remove(path);
        if let Some(&old) = replaced.get(path)
            && self.is_certain(old)
            && !self.expect.swaps
            && !blind
        {
            if old.directory != event.is_dir() {
                return Err(fault("over-another-kind", event));
            }
            let content = replaced.values().filter(|&&below| self.is_certain(below));
            if content.count() > 1 && !old.blind {
                return Err(fault("over-a-directory-with-content", event));
            }
        }
        let mut entry = Entry::new(event.is_dir(), true);
        // Where it can't be found out where something went, its cookie is forgotten: it comes as from outside.
        let unsure = self.unsure || self.blind_root || self.expect.concurrent;
        let forgotten = event.moved_from.is_none() && unsure;
        let came = self.moving.remove(&event.cookie);
        if let Some((from, branch)) = came.filter(|_| !forgotten) {
            if event.moved_from.as_ref() != Some(&from) {
                let text = format!("{event}, after MOVED_FROM {}", from.escape_ascii());
                return Err(fault("came-from-elsewhere", text));
            }
            if let Some(&moved) = branch.get(&from) {
                if self.is_certain(moved) && moved.directory != entry.directory {
                    return Err(fault("changed-its-kind-on-the-way", event));
                }
                (entry.blind, entry.settled) = (moved.blind, moved.settled);
            }
            for (old, moved) in branch {
                let mut new = path.to_vec();
                new.extend_from_slice(&old[from.len()..]);
                self.entries.insert(new, moved);
            }
        } else if event.moved_from.is_some() && self.expect.alone && self.knows_all() && !blind {
            return Err(fault("came-from-where-nothing-left", event));
        }
        self.entries.insert(path.to_vec(), entry);
        self.forget_the_deep();
        Ok(())
    }

    /// What is deeper than the limit now is not followed any more.
    fn forget_the_deep(&mut self) {
        if self.expect.max_depth > 0 {
            let (above, limit) = (self.root.len(), self.expect.max_depth as usize);
            let depth = |path: &[u8]| path[above..].iter().filter(|&&byte| byte == b'/').count();
            self.entries.retain(|path, _| depth(path) <= limit);
        }
    }

    /// Something happened to an entry that stays what and where it is.
    fn happened(&mut self, path: &[u8], event: &Told) -> Verdict {
        match self.entries.get(path) {
            Some(&known) => {
                let other_kind = known.directory != event.is_dir();
                if other_kind
                    && self.is_certain(known)
                    && !self.expect.concurrent
                    && !self.is_blind(path)
                {
                    return Err(fault("happened-to-another-kind", event));
                }
            }
            None if !self.knows_all() || self.is_blind(path) => {}
            None if event.flagged(SYNTHETIC) => {
                return Err(fault("found-but-not-named", event));
            }
            // Where the watch is new, it may have come before it, and be told of or gone later.
            None if !self.expect.concurrent && self.is_settled(path) => {
                return Err(fault("happened-to-what-is-not-there", event));
            }
            None => {}
        }
        Ok(())
    }

    /// Takes an entry and all below it.
    fn remove(&mut self, path: &[u8]) -> Branch {
        let mut branch = Branch::new();
        if let Some(entry) = self.entries.remove(path) {
            branch.insert(path.to_vec(), entry);
        }
        // All paths below begin with the path and '/'; '0' is the next byte.
        let (mut first, mut after) = (path.to_vec(), path.to_vec());
        first.push(b'/');
        after.push(b'0');
        let below: Vec<Vec<u8>> = self
            .entries
            .range(first..after)
            .map(|(path, _)| path.clone())
            .collect();
        for path in below {
            if let Some(entry) = self.entries.remove(&path) {
                branch.insert(path, entry);
            }
        }
        branch
    }

    /// Whether an entry is there as far as the events tell.
    pub fn has(&self, path: &[u8]) -> bool {
        self.entries.contains_key(path)
    }

    pub fn entries(&self) -> Entries {
        self.entries
            .iter()
            .map(|(path, entry)| (path.clone(), entry.directory))
            .collect()
    }
}

impl Entry {
    fn new(directory: bool, marked: bool) -> Entry {
        Entry {
            directory,
            marked,
            blind: false,
            settled: false,
        }
    }
}

fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    &path[..slash]
}
