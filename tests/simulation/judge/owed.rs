//! What is still to be told, and where the entry is that it is of.

use std::collections::BTreeSet;

use crate::disk::{Path, View};

/// Something has happened to an entry, and an event must say so before the next rest.
#[derive(Clone)]
pub struct Owed {
    pub id: u32,
    pub bits: u32,
    /// Where the entry is, but for other names of the same file.
    pub at: BTreeSet<Path>,
    /// Where it was since.
    pub paths: BTreeSet<Path>,
    /// Its being there when a list began; it need not be told if it moves.
    pub listed: bool,
}

impl Owed {
    pub fn new(id: u32, bits: u32, path: Path, listed: bool) -> Owed {
        Owed::at(id, bits, BTreeSet::from([path]), listed)
    }

    pub fn at(id: u32, bits: u32, at: BTreeSet<Path>, listed: bool) -> Owed {
        Owed {
            id,
            bits,
            paths: at.clone(),
            at,
            listed,
        }
    }

    /// One thing has changed: whether the entry has moved. A name that the file got besides is another entry.
    pub fn follow(&mut self, before: &View, now: &View) -> bool {
        let names = |view: &View| -> BTreeSet<Path> { view.paths_of(self.id).cloned().collect() };
        let (old, new) = (names(before), names(now));
        if self.at.is_subset(&new) {
            return false;
        }
        // What is renamed may be a directory with other names of the file in it: they keep what stands below it.
        let same = |path: &Path| {
            let left = self.at.difference(&new);
            let alike = |old: &Path| (along(before, old, now, path), alike(old, path));
            left.map(alike).max().unwrap_or_default()
        };
        let came: Vec<&Path> = new.difference(&old).collect();
        let most = came.iter().map(|path| same(path)).max();
        let came = came.into_iter().filter(|path| Some(same(path)) == most);
        self.at = self.at.intersection(&new).chain(came).cloned().collect();
        self.paths.extend(self.at.iter().cloned());
        true
    }
}

/// How many directories above an entry are above another one, too, counted from below: those have come along.
fn along(before: &View, old: &[u8], now: &View, new: &[u8]) -> usize {
    let above = |path: &[u8]| path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    let (mut one, mut other, mut count) = (&old[..above(old)], &new[..above(new)], 0);
    while let (Some(was), Some(is)) = (before.entries.get(one), now.entries.get(other))
        && was.id == is.id
    {
        count += 1;
        (one, other) = (&one[..above(one)], &other[..above(other)]);
    }
    count
}

/// How many components two paths have in common at their ends.
fn alike(one: &[u8], other: &[u8]) -> usize {
    let components = |path| <[u8]>::rsplit(path, |&byte| byte == b'/');
    let both = components(one).zip(components(other));
    both.take_while(|(one, other)| one == other).count()
}
