//! A replica of a tree, kept from events alone, as a program that mirrors a tree would keep it.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::{IN_CREATE, IN_DELETE, IN_ISDIR, IN_MOVED_FROM, IN_MOVED_TO};

use super::abi::{Event, text};

pub const SYNTHETIC: u32 = 1;
pub const SYNC_BEGIN: u32 = 2;
pub const SYNC_END: u32 = 4;
pub const ERROR: u32 = 8;

/// Path to "is a directory", as events name them.
pub type Entries = BTreeMap<Vec<u8>, bool>;

#[derive(Clone, Copy)]
struct Entry {
    directory: bool,
    /// The listing (SYNC_BEGIN to SYNC_END) that named it last.
    listing: u32,
    /// Named by a synthetic event.
    synthetic: bool,
}

type Branch = BTreeMap<Vec<u8>, Entry>;

pub struct Replica {
    root: Vec<u8>,
    entries: Branch,
    /// What a MOVED_FROM took away, by cookie, until its MOVED_TO comes: the path, and what was there and below.
    moving: HashMap<u32, (Vec<u8>, Branch)>,
    listing: u32,
    in_listing: bool,
    /// Events were lost: until the next whole listing the replica may lack entries or have too many.
    lost: bool,
    /// ... and this listing began after the loss.
    repairing: bool,
    pub listings: u64,
    /// Listings that no overflow called for.
    pub repairs: u64,
    /// Entries may change places, so that a directory with content is replaced.
    pub swaps: bool,
}

impl Replica {
    pub fn new(root: &Path) -> Replica {
        Replica {
            root: root.as_os_str().as_bytes().to_vec(),
            entries: Branch::new(),
            moving: HashMap::new(),
            listing: 0,
            in_listing: false,
            lost: false,
            repairing: false,
            listings: 0,
            repairs: 0,
            swaps: false,
        }
    }

    /// Without a listing: what was there before.
    pub fn start_from(&mut self, entries: &Entries) {
        for (path, &directory) in entries {
            self.entries.insert(
                path.clone(),
                Entry {
                    directory,
                    listing: self.listing,
                    synthetic: false,
                },
            );
        }
    }

    /// Q_OVERFLOW came.
    pub fn overflow(&mut self) {
        self.lost = true;
        self.repairing = false;
        self.moving.clear();
    }

    /// One event of this tree. Err says what cannot be true about it.
    pub fn take(&mut self, event: &Event) -> Result<(), String> {
        if event.flagged(ERROR) {
            return Err(format!("trouble that nobody made: {event}"));
        }
        if event.flagged(SYNC_BEGIN) {
            self.listing += 1;
            self.in_listing = true;
            // Directories that may have been swapped can sometimes be told apart by a repair only.
            if self.listing > 1 && !self.lost {
                self.lost = true;
                self.repairs += 1;
            }
            self.repairing = self.lost;
            return Ok(());
        }
        if event.flagged(SYNC_END) {
            return self.end_listing(event);
        }
        let path = event
            .path
            .as_ref()
            .ok_or_else(|| format!("no path: {event}"))?;
        let below = path
            .strip_prefix(&self.root[..])
            .ok_or_else(|| format!("not in the tree: {event}"))?;
        if below.is_empty() {
            return Ok(());
        }
        let slash = path
            .iter()
            .rposition(|&byte| byte == b'/')
            .expect("a path below the root");
        let parent = &path[..slash];
        let event_is = event.mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO);
        if event_is & (IN_CREATE | IN_MOVED_TO) != 0 && !self.lost {
            let known = *parent == self.root
                || self
                    .entries
                    .get(parent)
                    .is_some_and(|entry| entry.directory);
            if !known {
                return Err(format!("its directory isn't known: {event}"));
            }
        }
        match event_is {
            0 => Ok(()),
            IN_CREATE => self.created(path, event),
            IN_DELETE => self.left(path, event).map(drop),
            IN_MOVED_FROM => {
                let branch = self.left(path, event)?;
                self.moving.insert(event.cookie, (path.clone(), branch));
                Ok(())
            }
            IN_MOVED_TO => self.moved_to(path, event),
            _ => Err(format!("several events in one: {event}")),
        }
    }

    fn entry(&self, event: &Event) -> Entry {
        Entry {
            directory: event.has(IN_ISDIR),
            listing: self.listing,
            synthetic: event.flagged(SYNTHETIC),
        }
    }

    fn created(&mut self, path: &[u8], event: &Event) -> Result<(), String> {
        let entry = self.entry(event);
        if let Some(known) = self.entries.get(path) {
            let named_now = self.in_listing && known.listing == self.listing;
            let synthetic = event.flagged(SYNTHETIC);
            // A repair lists what is there, also what the kernel told of since the loss.
            let twice = named_now && (known.synthetic || !synthetic || !self.lost);
            if twice && (!self.lost || self.repairing) {
                return Err(format!("named twice in one listing: {event}"));
            }
            let relisted = self.in_listing && !named_now;
            if !self.lost && !relisted {
                return Err(format!("a CREATE for an entry that is there: {event}"));
            }
            // It may have been a directory, with things below.
            if known.directory && !entry.directory {
                self.remove(path);
            }
        }
        self.entries.insert(path.to_vec(), entry);
        Ok(())
    }

    fn left(&mut self, path: &[u8], event: &Event) -> Result<Branch, String> {
        match self.entries.get(path) {
            None if !self.lost => Err(format!("an entry left that was not there: {event}")),
            Some(known) if !self.lost && known.directory != event.has(IN_ISDIR) => {
                Err(format!("an entry left that was of another kind: {event}"))
            }
            _ => Ok(self.remove(path)),
        }
    }

    fn moved_to(&mut self, path: &[u8], event: &Event) -> Result<(), String> {
        let replaced = self.remove(path);
        if replaced.len() > 1 && !self.lost && !self.swaps {
            return Err(format!("over a directory with content: {event}"));
        }
        let entry = self.entry(event);
        if let Some((from, branch)) = self.moving.remove(&event.cookie) {
            if event.moved_from.as_ref() != Some(&from) {
                return Err(format!("came from {}: {event}", from.escape_ascii()));
            }
            if branch
                .get(&from)
                .is_some_and(|moved| moved.directory != entry.directory)
                && !self.lost
            {
                return Err(format!(
                    "changed its kind on the way: {event}, from {}",
                    text(&Some(from))
                ));
            }
            for (old, moved) in branch {
                let mut new = path.to_vec();
                new.extend_from_slice(&old[from.len()..]);
                self.entries.insert(new, moved);
            }
        }
        self.entries.insert(path.to_vec(), entry);
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
            let entry = self.entries.remove(&path).expect("just seen");
            branch.insert(path, entry);
        }
        branch
    }

    fn end_listing(&mut self, event: &Event) -> Result<(), String> {
        if !self.in_listing {
            return Err(format!("the end of a listing that did not begin: {event}"));
        }
        self.listings += 1;
        self.in_listing = false;
        let listing = self.listing;
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.listing == listing);
        let swept = before - self.entries.len();
        if swept > 0 && !self.lost {
            return Err(format!(
                "a listing without need left out {swept} entries: {event}"
            ));
        }
        if self.repairing {
            self.lost = false;
            self.repairing = false;
        }
        Ok(())
    }

    /// What must be so when nothing is outstanding.
    pub fn at_rest(&mut self) -> Result<(), String> {
        // What is still moving has left the tree.
        self.moving.clear();
        if self.in_listing {
            return Err("a listing began and did not end".into());
        }
        if self.lost {
            return Err("events were lost, and no listing followed".into());
        }
        Ok(())
    }

    pub fn entries(&self) -> Entries {
        self.entries
            .iter()
            .map(|(path, entry)| (path.clone(), entry.directory))
            .collect()
    }
}

/// What is on the disk below a directory, the directory itself not counted.
pub fn on_disk(root: &Path) -> Entries {
    let mut entries = Entries::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        let listed = std::fs::read_dir(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        for entry in listed {
            let entry = entry.expect("a readable directory");
            let is_directory = entry.file_type().expect("a file type").is_dir();
            entries.insert(entry.path().as_os_str().as_bytes().to_vec(), is_directory);
            if is_directory {
                open.push(entry.path());
            }
        }
    }
    entries
}

/// Names what differs; empty when nothing does.
pub fn differences(replica: &Entries, disk: &Entries) -> String {
    let show = |(path, directory): (&Vec<u8>, &bool)| {
        format!(
            "{}{}",
            path.escape_ascii(),
            if *directory { "/" } else { "" }
        )
    };
    let only = |one: &Entries, other: &Entries| -> Vec<String> {
        one.iter()
            .filter(|(path, kind)| other.get(*path) != Some(*kind))
            .map(show)
            .collect()
    };
    let (missing, extra) = (only(disk, replica), only(replica, disk));
    if missing.is_empty() && extra.is_empty() {
        return String::new();
    }
    format!(
        "{} of {} entries on disk are not in the replica: {:#?}\n{} are only in the replica: {:#?}",
        missing.len(),
        disk.len(),
        &missing[..missing.len().min(20)],
        extra.len(),
        &extra[..extra.len().min(20)]
    )
}
