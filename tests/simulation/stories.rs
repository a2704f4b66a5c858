//! Fixed cases: faults that there were, each as a small story of which the right end is known. What the small scope covers
//! stands here as a sequence whose placements are played by the same oracle; the rest has what the scope has not, such as
//! descriptors that run out, storms, and many directories.

mod descriptors;
mod halves;
mod healing;
mod overlaps;
mod storms;
mod swaps;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::rc::Rc;
use std::time::Duration;

use asyncinotify::simulation::{
    Instance, Limits, Operation, Pending, reset, set_schedule, with_kernel,
};
use asyncinotify::{Mask, RecursiveFlags, RecursiveOptions, WatchId};

use crate::findings::{self, Findings};
use crate::run::{guarded, is_quiet, told};
use crate::schedule::{Placements, Tally};
use crate::support::replica::{
    ERROR, Entries, Expect, Replica, SYNC_END, Told, Verdict, WHOLE, fault,
};
use crate::text;

/// Sequences of which all placements are played: in two blocks, or each.
const SEQUENCES: [&str; 10] = [
    // During a repair the root's events were told for those of a directory that was off its name.
    "CREATE|DELETE|MOVE|ATTRIB silent 64 start 0 blocks: \
     overflow; mkdir /t/c; exchange /t/a /t/c; mv /t/c /t/d; chmod 7 /t/d @",
    // What had come since SYNC_BEGIN was told by the kernel, and listed again.
    "CREATE|DELETE|MOVE list 1 start 0 steps: overflow; create /t/a/c @",
    "CREATE|DELETE|MOVE list 1 start 1 blocks: overflow; exchange /t/a /t/b; create /t/c @",
    // A directory that had left a renamed root was taken for the root.
    "CREATE|DELETE|MOVE silent 64 start 0 blocks: mv /t /u; mv /u/a /o/a; mkdir /u/c; create /o/a/b @",
    // A file that was written before its directory was watched leaves in exchange for what comes from a watched one.
    "CLOSE_WRITE list 64 start 1 blocks: mkdir /t/d; create /t/d/a; exchange /t/a/c /t/d/a @",
    "CLOSE_WRITE list 64 start 0 blocks: mkdir /t/d; create /t/d/a; exchange /t/b /t/d/a @",
    // The exchange's first half is merged with the rename before it.
    "CLOSE_WRITE list 64 start 1 blocks: \
     mkdir /t/d; create /t/d/a; mv /t/a/c /t/c; exchange /t/d/a /t/c @",
    // Such a file arrives, and is exchanged before anybody has looked what it is.
    "CLOSE_WRITE list 64 start 1 blocks: \
     mkdir /t/d; create /t/d/a; mv /t/d/a /t/b/a; exchange /t/a/c /t/b/a @",
    // A name is in doubt, and its directory can't be opened any more.
    "CREATE|DELETE|MOVE list 64 start 0 blocks: mkdir /t/a/c; exchange /t/b /t/a/c; chmod 0 /t/a @",
    // Half of an exchange was taken for a whole rename, as the lock could not be taken that tells.
    "CREATE|DELETE|MOVE list 64 start 2 steps: mkdir /t/a/c; chmod 0 /t/a; exchange /t/a/b /t/a/c @",
];

type Story = (&'static str, fn() -> Verdict);

const STORIES: [Story; 39] = [
    ("exchange-without-descriptors", descriptors::exchange),
    ("renames-without-descriptors", descriptors::renames),
    ("list-without-descriptors", descriptors::list),
    ("error-without-descriptors", descriptors::error),
    (
        "link-in-place-of-the-root",
        swaps::link_in_place_of_the_root,
    ),
    (
        "watch-of-what-changes-places",
        swaps::watch_of_what_changes_places,
    ),
    ("over-another-and-back", swaps::over_another_and_back),
    (
        "over-another-and-back-and-gone",
        swaps::over_another_and_back_and_gone,
    ),
    ("listed-while-in-doubt", swaps::listed_while_in_doubt),
    ("watched-by-path", swaps::watched_by_path),
    ("too-deep-during-a-repair", swaps::too_deep_during_a_repair),
    (
        "half-an-exchange-before-the-watch",
        swaps::half_an_exchange_before_the_watch,
    ),
    ("storm-in-the-foreground", storms::in_the_foreground),
    ("storm-in-the-background", storms::in_the_background),
    (
        "beside-a-tree-that-is-set-up",
        storms::beside_a_tree_that_is_set_up,
    ),
    (
        "beside-a-tree-that-is-watched",
        storms::beside_a_tree_that_is_watched,
    ),
    ("many-moved-out", storms::many_moved_out),
    (
        "what-only-one-tree-asks-for",
        overlaps::what_only_one_asks_for,
    ),
    (
        "own-reading-of-what-cannot-be-watched",
        overlaps::own_reading_of_what_cannot_be_watched,
    ),
    (
        "own-reading-of-what-comes-back",
        overlaps::own_reading_of_what_comes_back,
    ),
    (
        "own-reading-of-what-is-elsewhere",
        overlaps::own_reading_of_what_is_elsewhere,
    ),
    (
        "plain-watch-where-a-tree-fails",
        overlaps::plain_watch_where_a_tree_fails,
    ),
    ("second-mask-that-fails", overlaps::second_mask_that_fails),
    (
        "again-while-memory-is-short",
        overlaps::again_while_memory_is_short,
    ),
    ("gone-for-one-tree", halves::gone_for_one_tree),
    ("no-end-of-a-list-between", halves::no_end_of_a_list_between),
    ("heard-by-one-tree", halves::heard_by_one_tree),
    (
        "came-over-another-and-overflow",
        halves::came_over_another_and_overflow,
    ),
    (
        "exchanged-in-what-is-renamed",
        halves::exchanged_in_what_is_renamed,
    ),
    (
        "another-comes-into-what-is-renamed",
        halves::another_comes_into_what_is_renamed,
    ),
    (
        "moved-into-what-is-renamed",
        halves::moved_into_what_is_renamed,
    ),
    (
        "made-in-what-is-not-told-of-yet",
        halves::made_in_what_is_not_told_of_yet,
    ),
    (
        "renamed-away-while-links-are-counted",
        halves::renamed_away_while_links_are_counted,
    ),
    (
        "exchanged-before-it-is-told-of",
        halves::exchanged_before_it_is_told_of,
    ),
    (
        "exchanged-and-renamed-before-it-is-told-of",
        halves::exchanged_and_renamed_before_it_is_told_of,
    ),
    (
        "written-and-exchanged-during-a-repair",
        halves::written_and_exchanged_during_a_repair,
    ),
    ("healed-where-another-was", healing::where_another_was),
    (
        "listed-beside-another-that-fails",
        healing::beside_another_that_is_listed,
    ),
    (
        "healed-although-some-are-closed",
        healing::although_some_are_closed,
    ),
];

/// Plays all of them; `findings` gets the sequences, the stories are printed.
pub fn play(findings: &Findings) -> Tally {
    let mut tally = Tally::default();
    for name in SEQUENCES {
        let (script, _, blocks) = findings::parse(name).expect("a case");
        let mut report = |plan: &[u32], played: &crate::run::Played| {
            findings.report(&script, plan, blocks, played);
            true
        };
        let mut placements = Placements {
            script: &script,
            tally: &mut tally,
            report: &mut report,
        };
        if blocks {
            placements.two_blocks();
        } else {
            placements.every();
        }
    }
    println!(
        "fixed cases: {} sequences in {} runs, {} stories",
        SEQUENCES.len(),
        tally.runs,
        STORIES.len()
    );
    for (name, story) in STORIES {
        tally.runs += 1;
        if let Some(fault) = guarded(story) {
            println!("\nFAILED {name}\n  {}", fault.text);
            tally.failed += 1;
        }
    }
    tally
}

/// The library beside a world that does what the story says.
struct Stage {
    instance: Instance,
}

/// Everything that the world does at one go.
fn world(operations: &str) {
    for operation in text::parse_operations(operations).expect("operations") {
        with_kernel(|kernel| kernel.run(&operation)).expect("an operation that can be done");
    }
}

fn parsed(operation: &str) -> Operation {
    text::parse_operation(operation).expect("an operation")
}

/// An operation goes so many steps.
fn begin(operation: &str, steps: usize) -> Pending {
    let operation = parsed(operation);
    let mut pending = with_kernel(|kernel| kernel.begin(&operation)).expect("an operation");
    for _ in 0..steps {
        with_kernel(|kernel| kernel.step(&mut pending)).expect("a step");
    }
    pending
}

/// The rest of an operation, if it has begun.
fn finish(begun: &mut Option<Pending>) {
    if let Some(mut pending) = begun.take() {
        while with_kernel(|kernel| kernel.step(&mut pending)) == Ok(true) {}
    }
}

/// How many descriptors the library may have from now on, beside those that it has.
fn free_descriptors(count: usize) {
    with_kernel(|kernel| {
        let descriptors = kernel.open_descriptors().saturating_add(count);
        let limits = kernel.limits();
        kernel.set_limits(Limits {
            descriptors,
            ..limits
        });
    });
}

/// Where the directories are that the kernel watches.
fn watched() -> BTreeSet<Vec<u8>> {
    let watches = with_kernel(|kernel| kernel.watches());
    watches.into_iter().map(|watch| watch.2).collect()
}

impl Stage {
    fn new(start: &str) -> Stage {
        reset(Limits::default());
        world(start);
        Stage {
            instance: Instance::new(0).expect("an instance"),
        }
    }

    fn tree(&mut self, mask: u32, flags: RecursiveFlags) -> Result<WatchId, i32> {
        let options = RecursiveOptions {
            flags,
            ..RecursiveOptions::default()
        };
        let path = CString::new("/t").expect("no NUL");
        let added = self
            .instance
            .add_recursive(&path, Mask::from_bits_retain(mask), options);
        added.map_err(|error| error.errno)
    }

    fn watch(&mut self, path: &str, mask: u32) -> Result<WatchId, i32> {
        let path = CString::new(path).expect("no NUL");
        let added = self.instance.add_watch(&path, Mask::from_bits_retain(mask));
        added.map_err(|error| error.errno)
    }

    /// One call that takes events.
    fn take(&mut self) -> Vec<Told> {
        let mut all = Vec::new();
        let taken = self
            .instance
            .get_events(64, &mut |event| all.push(told(event)));
        taken.expect("get_events");
        all
    }

    /// All there is.
    fn take_all(&mut self) -> Verdict<Vec<Told>> {
        let mut all = Vec::new();
        for _ in 0..100_000 {
            if is_quiet(&self.instance) {
                return Ok(all);
            }
            all.extend(self.take());
        }
        Err(fault("never-rests", all.len()))
    }

    fn directories(&self, id: WatchId) -> BTreeSet<Vec<u8>> {
        let directories = self.instance.directories(id).expect("an active tree");
        directories.into_iter().map(CString::into_bytes).collect()
    }
}

/// The schedule that does something before the calls of the library that it is told of.
fn before_each_call(mut act: impl FnMut(u64) + 'static) {
    let mut count = 0;
    set_schedule(Some(Box::new(move |_| {
        count += 1;
        act(count);
        None
    })));
}

/// The schedule in which one call of the library fails; the count of calls so far.
fn fail_call(number: u64, errno: i32) -> Rc<Cell<u64>> {
    let count = Rc::new(Cell::new(0));
    let counted = count.clone();
    set_schedule(Some(Box::new(move |_| {
        counted.set(counted.get() + 1);
        (counted.get() == number).then_some(errno)
    })));
    count
}

/// What a tree without a list tells beside a world that does not wait for it.
const EXACT: Expect = Expect {
    mask: WHOLE,
    lists: false,
    complete: true,
    swaps: true,
    concurrent: true,
    trouble: false,
    max_depth: 0,
    alone: false,
};

/// Who knows the disk from these events knows it.
fn check_replica<'a>(
    events: impl IntoIterator<Item = &'a Told>,
    expect: Expect,
    disk: &Entries,
) -> Verdict {
    let mut replica = Replica::new(b"/t", expect);
    let mut events = events.into_iter();
    events.try_for_each(|event| replica.take(event))?;
    replica.at_rest()?;
    replica.compare(disk)
}

fn errors(told: &[Told]) -> Vec<&Told> {
    told.iter().filter(|event| event.flagged(ERROR)).collect()
}

fn has_ended(told: &[Told]) -> bool {
    told.iter().any(|event| event.flagged(SYNC_END))
}

fn check(holds: bool, kind: &'static str, what: impl std::fmt::Display) -> Verdict {
    if holds {
        Ok(())
    } else {
        Err(fault(kind, what))
    }
}

fn shown(told: &[Told]) -> String {
    told.iter().map(|event| format!("\n    {event}")).collect()
}
