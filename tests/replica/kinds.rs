//! The kinds of consumers.

use libc::{
    IN_ALL_EVENTS, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO,
};

use crate::worker::Repertoire;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Place {
    /// /dev/shm
    Memory,
    /// The folder that cargo gives tests to write in.
    Disk,
}

/// How a consumer waits, and takes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Taking {
    /// One event per poll(2).
    OneByOne,
    /// get until 0.
    Drain,
    /// get_events of so many, once per poll(2).
    Batches(usize),
    /// dispatch of at most so many, once per poll(2); 0: all.
    Dispatch(usize),
    /// epoll edge-triggered, get until 0.
    EdgeDrain,
    /// epoll edge-triggered, one bounded dispatch an edge.
    EdgeDispatch(usize),
    /// Blocks in the library.
    SyncGet,
    Run,
}

#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    pub place: Place,
    pub taking: Taking,
    pub mask: u32,
    pub repertoire: Repertoire,
    pub blocking: bool,
    /// Cache size; 0: as it comes.
    pub cache: usize,
    /// Length of the kernel's queue; 0: as it comes.
    pub queue: u32,
    /// Flags of add_recursive.
    pub flags: u32,
    /// A second tree inside, and plain watches, which come and go.
    pub company: bool,
    /// The tree itself is taken away and added again now and then.
    pub again: bool,
    /// So many more directories in the root, which nobody touches: an `add_recursive` has much to do at once.
    pub crowd: u32,
    /// Leaves the events lying for a while, so that many renames are in one read.
    pub lazy: bool,
}

pub const LIST_EXISTING: u32 = 1;
pub const BACKGROUND: u32 = 2;

pub const WHOLE: u32 = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

use Place::{Disk, Memory};
use Repertoire::{Everything, NoRenames, Swaps, UniqueFiles, UniqueFilesAndRenames};
use Taking::*;

const BASE: Kind = Kind {
    name: "",
    place: Memory,
    taking: Drain,
    mask: WHOLE,
    repertoire: Everything,
    blocking: false,
    cache: 0,
    queue: 0,
    flags: LIST_EXISTING,
    company: false,
    again: false,
    crowd: 0,
    lazy: false,
};

pub const KINDS: [Kind; 22] = [
    Kind {
        name: "all_events_one_by_one",
        mask: IN_ALL_EVENTS,
        taking: OneByOne,
        ..BASE
    },
    Kind {
        name: "all_events_batches_on_disk",
        mask: IN_ALL_EVENTS,
        taking: Batches(64),
        place: Disk,
        ..BASE
    },
    Kind {
        name: "dispatch",
        taking: Dispatch(0),
        ..BASE
    },
    Kind {
        name: "drain_on_disk_unlisted",
        place: Disk,
        flags: 0,
        ..BASE
    },
    Kind {
        name: "edge_drain",
        taking: EdgeDrain,
        ..BASE
    },
    Kind {
        name: "edge_dispatch_on_disk",
        taking: EdgeDispatch(7),
        place: Disk,
        ..BASE
    },
    Kind {
        name: "small_reads",
        taking: OneByOne,
        cache: 1,
        ..BASE
    },
    Kind {
        name: "small_reads_batches_on_disk",
        taking: Batches(5),
        cache: 3,
        place: Disk,
        ..BASE
    },
    Kind {
        name: "sync_get_blocking",
        taking: SyncGet,
        blocking: true,
        ..BASE
    },
    Kind {
        name: "run_on_disk",
        taking: Run,
        place: Disk,
        ..BASE
    },
    Kind {
        name: "lazy",
        lazy: true,
        taking: Batches(100),
        ..BASE
    },
    Kind {
        name: "lazy_small_reads_on_disk",
        lazy: true,
        cache: 2,
        taking: Dispatch(20),
        place: Disk,
        ..BASE
    },
    Kind {
        name: "close_write_alone",
        mask: IN_CLOSE_WRITE,
        repertoire: UniqueFiles,
        ..BASE
    },
    Kind {
        name: "close_write_alone_renames_on_disk",
        mask: IN_CLOSE_WRITE,
        repertoire: UniqueFilesAndRenames,
        taking: Batches(10),
        place: Disk,
        ..BASE
    },
    Kind {
        name: "create_delete_modify_on_disk",
        mask: IN_CREATE | IN_DELETE | IN_MODIFY,
        repertoire: NoRenames,
        taking: Dispatch(50),
        place: Disk,
        ..BASE
    },
    // The one with a queue that is short: the simulation has all others, but no edges.
    Kind {
        name: "overflow_edge_lazy",
        queue: 8,
        taking: EdgeDispatch(3),
        cache: 2,
        lazy: true,
        ..BASE
    },
    Kind {
        name: "company",
        company: true,
        taking: Drain,
        ..BASE
    },
    Kind {
        name: "company_on_disk",
        company: true,
        taking: Batches(8),
        cache: 4,
        place: Disk,
        ..BASE
    },
    Kind {
        name: "again_in_background",
        again: true,
        flags: LIST_EXISTING | BACKGROUND,
        taking: Batches(30),
        ..BASE
    },
    Kind {
        name: "again_in_a_crowd",
        again: true,
        crowd: 200,
        taking: Dispatch(0),
        ..BASE
    },
    Kind {
        name: "swaps",
        repertoire: Swaps,
        ..BASE
    },
    Kind {
        name: "swaps_lazy_on_disk",
        repertoire: Swaps,
        lazy: true,
        taking: Batches(20),
        place: Disk,
        ..BASE
    },
];
