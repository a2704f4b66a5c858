//! What a place is in the middle of: the bits in its record.

/// Wanted to be scanned, or being scanned.
pub(crate) const QUEUED: u16 = 1;
/// What the scan finds is told as events.
pub(crate) const AS_EVENTS: u16 = 2;
/// The filter has said yes.
pub(crate) const ASKED: u16 = 4;
/// The top of a subtree that has left its name and perhaps not the tree: half a rename was seen.
pub(crate) const LIMBO: u16 = 8;
/// The top of a subtree that is being taken away.
pub(crate) const DOOMED: u16 = 16;
/// Was renamed a moment ago.
pub(crate) const RECENT: u16 = 32;
/// The scan only looks whether this is the directory that has this name on the disk.
pub(crate) const VERIFY: u16 = 64;
/// Its filesystem is being unmounted.
pub(crate) const UNMOUNTED: u16 = 128;
/// What the scan finds is told as part of a list.
pub(crate) const AS_LIST: u16 = 256;
/// It is one of the directories that are being listed.
pub(crate) const LISTING: u16 = 512;
/// Found since the last repair began, but not listed since: the scan to come tells what there is.
pub(crate) const UNLISTED: u16 = 1024;
/// A subdirectory could not be settled: it is tried again when something happens here.
pub(crate) const RETRY: u16 = 2048;
/// An ERROR was told of it.
pub(crate) const TROUBLED: u16 = 4096;
/// It has an entry in the queue of directories to scan, wanted still or not.
pub(crate) const ENTRY: u16 = 8192;
/// The end of a repair waits for its scan.
pub(crate) const PENDING: u16 = 16384;
/// What is in it was told, and what is in its subdirectories was not: they were beyond the limit of the depth.
pub(crate) const DEEPER: u16 = 32768;

/// What is said of the scan that a place is queued for.
pub(crate) const OF_SCAN: u16 = QUEUED | VERIFY | PENDING | DEEPER;

/// For people.
#[cfg(not(simulation))]
pub(crate) const NAMES: [(u16, &str); 16] = [
    (QUEUED, "QUEUED"),
    (AS_EVENTS, "AS_EVENTS"),
    (ASKED, "ASKED"),
    (LIMBO, "LIMBO"),
    (DOOMED, "DOOMED"),
    (RECENT, "RECENT"),
    (VERIFY, "VERIFY"),
    (UNMOUNTED, "UNMOUNTED"),
    (AS_LIST, "AS_LIST"),
    (LISTING, "LISTING"),
    (UNLISTED, "UNLISTED"),
    (RETRY, "RETRY"),
    (TROUBLED, "TROUBLED"),
    (ENTRY, "ENTRY"),
    (PENDING, "PENDING"),
    (DEEPER, "DEEPER"),
];

/// How what a scan finds is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Telling {
    Nothing,
    /// As the events that its appearing would have caused.
    AsEvents,
    /// As an entry of a list, by one event.
    AsList,
}

impl Telling {
    pub(super) fn flag(self) -> u16 {
        match self {
            Telling::Nothing => 0,
            Telling::AsEvents => AS_EVENTS,
            Telling::AsList => AS_LIST,
        }
    }
}
