//! A short way for the common event: something happens to a file, in a directory that had an event before.
//!
//! It holds what the long way through `watch` and `follow` came to: who hears of it, for which bits, and the path. An
//! entry is void as soon as anything changes that it depends on; `Places::version` counts such changes.

/// Directories that are busy at a time; others take the long way.
const ENTRIES: usize = 256;

#[derive(Default)]
pub(crate) struct Shortcut {
    wd: i32,
    version: u64,
    pub(crate) watch: u64,
    /// Bits the watch hears of.
    pub(crate) mask: u32,
    /// Bits that take the long way.
    long_way: u32,
    /// The directory's path, with a '/' behind.
    pub(crate) path: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Shortcuts(Vec<Shortcut>);

impl Shortcuts {
    #[inline]
    pub(crate) fn find(&self, wd: i32, bits: u32, version: u64) -> Option<&Shortcut> {
        let shortcut = self.0.get(wd as usize % ENTRIES)?;
        (shortcut.wd == wd && shortcut.version == version && bits & shortcut.long_way == 0)
            .then_some(shortcut)
    }

    /// Remembers that `watch` hears of `mask` in the directory with this descriptor, but for what takes the `long_way`.
    pub(crate) fn remember(
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
