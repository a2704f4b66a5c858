//! A short way for the common event: something happens to a file, in a directory that had an event before.
//!
//! A shortcut holds the result of the long way through the watches and the trees: the watch that hears of an event, for
//! which bits, and the path. An entry is void as soon as a thing changes on which it depends; the versions of watches and trees
//! count such changes.

/// Directories that are busy at a time; others take the long way.
const ENTRIES: usize = 256;

#[derive(Default)]
pub(super) struct Shortcut {
    wd: i32,
    version: u64,
    watch: u64,
    /// Bits the watch hears of.
    mask: u32,
    /// Bits that take the long way.
    long_way: u32,
    /// The directory's path, with a '/' behind.
    path: Vec<u8>,
}

impl Shortcut {
    /// The watch that hears of an event with these bits.
    #[inline]
    pub(super) fn hears(&self, bits: u32) -> Option<u64> {
        (bits & self.mask != 0).then_some(self.watch)
    }

    /// The directory's path, with a '/' behind.
    #[inline]
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }
}

#[derive(Default)]
pub(super) struct Shortcuts(Vec<Shortcut>);

impl Shortcuts {
    #[inline]
    pub(super) fn find(&self, wd: i32, bits: u32, version: u64) -> Option<&Shortcut> {
        let shortcut = self.0.get(wd as usize % ENTRIES)?;
        (shortcut.wd == wd && shortcut.version == version && bits & shortcut.long_way == 0)
            .then_some(shortcut)
    }

    /// Remembers that `watch` hears of `mask` in the directory with this descriptor, but for what takes the `long_way`.
    pub(super) fn remember(
        &mut self,
        wd: i32,
        version: u64,
        watch: u64,
        mask: u32,
        long_way: u32,
        path: &[u8],
    ) {
        if self.0.is_empty() {
            self.0.resize_with(ENTRIES, Shortcut::default);
        }
        let shortcut = &mut self.0[wd as usize % ENTRIES];
        (shortcut.wd, shortcut.version) = (wd, version);
        (shortcut.watch, shortcut.mask, shortcut.long_way) = (watch, mask, long_way);
        shortcut.path.clear();
        shortcut.path.extend_from_slice(path);
    }
}
