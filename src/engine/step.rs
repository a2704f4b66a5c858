//! The order of the work, and how far one call goes.

use super::{Engine, Filled};
use crate::advice::Call;
use crate::debug::debug;
use crate::error::{Error, Result};
use crate::memory;
use crate::scan::Pace;
use crate::stream::Batch;
use crate::sys::{Sys, clock};
use crate::tree::{Answer, Filter, Question};
use crate::watch_id::WatchId;
use crate::watches::Target;
use std::time::Duration;

/// What is to be done next. The order is what makes the events right: nothing is decoded past what is due before it, no scan
/// begins before all that was read is decoded, and nothing is settled before the kernel's queue was seen empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Go on listing directories.
    List,
    /// Tell what was in a directory before its watch.
    Backfill,
    /// End a removed watch. The kernel tells nothing of that end.
    End,
    Decode,
    /// Take away places that a repair has not found again, and tell SYNC_END: not between the halves of a rename, where a
    /// program has put aside what moves. In a storm of renames that is so only between two events.
    Sweep,
    /// Start on the next directory.
    Scan,
    /// Take doomed places away.
    Release,
    /// Events are ready.
    Deliver,
    Read,
    /// Decide on directories in limbo: half of their rename was seen.
    SettleLimbo,
    /// Look for a name in doubt.
    SettleDoubt,
    /// Give memory back.
    DropMemory,
    Rest,
}

impl Step {
    /// Each of the others is short, or looks at the clock itself.
    fn is_long(self) -> bool {
        matches!(
            self,
            Step::List
                | Step::Sweep
                | Step::Scan
                | Step::Release
                | Step::SettleLimbo
                | Step::SettleDoubt
                | Step::DropMemory
        )
    }
}

enum Flow {
    On,
    Stop,
    Ask(Question),
}

/// So many reads a second half is waited for. In a storm the queue is never seen empty.
const IN_LIMBO: u32 = 16;

impl Engine {
    pub(super) fn next_step(&self) -> Step {
        let head = self.stream.head();
        let is_due = |position: Option<_>| position.is_some_and(|position| position <= head);
        match () {
            () if self.scans.is_listing() => Step::List,
            () if is_due(self.scans.next_backfill()) => Step::Backfill,
            () if is_due(self.watches.next_ending()) => Step::End,
            () if self.sweep_is_late && self.forest.may_sweep() => Step::Sweep,
            () if !self.stream.is_decoded() => Step::Decode,
            () if self.forest.may_sweep() => Step::Sweep,
            () if self.has_scanned && self.forest.has_doomed() => Step::Release,
            () if self.forest.has_scans() => Step::Scan,
            () if self.forest.has_doomed() => Step::Release,
            () if !self.out.is_empty() && !self.forest.has_limbo() => Step::Deliver,
            () if self.forest.has_limbo() && self.reads_in_limbo == IN_LIMBO => Step::SettleLimbo,
            () if self.must_read => Step::Read,
            () if self.forest.has_limbo() => Step::SettleLimbo,
            () if self.forest.has_doubts() => Step::SettleDoubt,
            () if self.forest.has_memory_to_drop() => Step::DropMemory,
            () => Step::Rest,
        }
    }

    /// Whether another `fill` would get on without a word from the kernel.
    pub(crate) fn has_work(&self) -> bool {
        self.next_step() != Step::Rest
    }

    /// Whether another `fill` would do nothing as long as the kernel queues nothing. The queue was seen empty, and what is
    /// only settled then is settled.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.stream.is_emptied()
            && !self.forest.is_unsettled()
            && !self.forest.waits_for_room()
            && !self.has_work()
    }

    /// When something is to be done that no fd tells of: the time as `clock` has it.
    pub(crate) fn retry_due(&self) -> Option<Duration> {
        self.forest.retry_due()
    }

    /// Whether there are events to be taken.
    pub(crate) fn has_events(&self) -> bool {
        !self.out.is_empty()
    }

    /// Whether something was read of which it is not known yet whether anybody asked for it.
    pub(crate) fn has_undecoded(&self) -> bool {
        !self.stream.is_decoded()
    }

    /// Gets some events ready, or finds that there are none now.
    pub(crate) fn fill(&mut self, pace: &Pace) -> Result<Filled> {
        self.must_read = true;
        if self.forest.waits_for_room() {
            self.forest.retry_if_due(clock::now());
        }
        let result = self.work(pace);
        if self.forest.waits_for_room() {
            self.forest.plan_retry(clock::now());
        }
        // Where the time was enough, the kernel's own fd says whether more is queued.
        self.must_read &= pace.was_over();
        self.scans.leave();
        result.map_err(work_failed)
    }

    /// The common case, from rest to rest: one read takes all that is queued, and no event of it takes the long way, or
    /// there is none. False where that is not so: `fill` goes on from here.
    pub(crate) fn fill_from_rest(&mut self, pace: &Pace) -> Result<bool> {
        debug_assert!(self.is_at_rest());
        memory::renew().map_err(work_failed)?;
        let read = self.stream.read().map_err(work_failed)?;
        if read == 0 {
            return Ok(true);
        }
        pace.has_read_before();
        debug!(self.stream.log(), "step {:?}", Step::Decode);
        self.decode_shortly(self.next_due(), pace.enough());
        #[cfg(any(debug_assertions, simulation))]
        self.check();
        Ok(self.stream.is_decoded() && self.stream.is_emptied() && !self.out.is_empty())
    }

    fn work(&mut self, pace: &Pace) -> Sys<Filled> {
        loop {
            if pace.until().is_some_and(|tree| !self.is_setting_up(tree)) {
                return Ok(Filled::Done);
            }
            if memory::renew().is_err() {
                // What is ready goes out first, where it is taken.
                pace.stop();
                return match self.has_events() && pace.until().is_none() {
                    true => Ok(Filled::Done),
                    false => Err(libc::ENOMEM),
                };
            }
            let step = self.next_step();
            if step.is_long() && pace.is_over() {
                return Ok(Filled::Done);
            }
            match self.take(step, pace)? {
                Flow::On => {}
                Flow::Stop => return Ok(Filled::Done),
                Flow::Ask(question) => return Ok(Filled::Ask(question)),
            }
        }
    }

    fn take(&mut self, step: Step, pace: &Pace) -> Sys<Flow> {
        // A read tells of itself.
        if !matches!(step, Step::Deliver | Step::Read | Step::Rest) {
            debug!(self.stream.log(), "step {step:?}");
        }
        self.has_scanned = step == Step::Scan;
        let (scans, mut work) = self.scans();
        match step {
            Step::List => {
                scans.list_on(pace, &mut work)?;
                scans.end_readings(&mut work)?;
            }
            Step::Backfill => {
                scans.backfill_some(pace.enough(), &mut work);
                let more = scans.next_backfill().is_some();
                if self.out.len() >= pace.enough() || (more && pace.is_over()) {
                    return Ok(Flow::Stop);
                }
            }
            Step::End => self.end_next_watch(),
            Step::Decode => {
                // A step that failed may have left some open: under which names they were closed is in what is to come.
                scans.end_readings(&mut work)?;
                self.decode(pace)?;
                if self.out.len() >= pace.enough() || (!self.stream.is_decoded() && pace.is_over())
                {
                    return Ok(Flow::Stop);
                }
            }
            Step::Sweep => {
                self.sweep();
                self.sweep_is_late &= self.forest.has_sweeps();
            }
            Step::Scan => {
                if let Some(question) = scans.start_next(pace, &mut work)? {
                    return Ok(Flow::Ask(question));
                }
                scans.end_readings(&mut work)?;
            }
            Step::Release => self.release()?,
            Step::Read => return self.read(pace),
            Step::SettleLimbo => {
                scans.settle_limbo(pace, &mut work)?;
                self.reads_in_limbo = 0;
                self.sweep_is_late = self.forest.has_sweeps();
            }
            Step::SettleDoubt => scans.settle_doubt(&mut work)?,
            Step::DropMemory => {
                self.forest.drop_some_memory();
                self.scans.trim();
            }
            Step::Deliver | Step::Rest => return Ok(Flow::Stop),
        }
        self.remove_unheld();
        #[cfg(any(debug_assertions, simulation))]
        self.check();
        Ok(Flow::On)
    }

    fn read(&mut self, pace: &Pace) -> Sys<Flow> {
        // The clock need not be asked where the first read is enough.
        if pace.has_read_before() && pace.is_over() {
            return Ok(Flow::Stop);
        }
        if self.stream.read()? == 0 {
            self.must_read = false;
            self.forest.queue_was_empty();
        } else if self.forest.waits_for_room() {
            self.forest.hurry_retry();
        }
        self.reads_in_limbo = match self.forest.has_limbo() {
            true => IN_LIMBO.min(self.reads_in_limbo + 1),
            false => 0,
        };
        Ok(Flow::On)
    }

    fn sweep(&mut self) {
        let (forest, mut fx) = self.trees();
        forest.sweep_some(&mut fx);
    }

    fn release(&mut self) -> Sys<()> {
        let (forest, mut fx) = self.trees();
        forest.release_some(&mut fx);
        self.remove_unheld();
        self.stream.drain()
    }

    /// The position has come at which the next watch ends that the kernel does not tell of.
    fn end_next_watch(&mut self) {
        let Some(id) = self.watches.take_ending() else {
            return;
        };
        match self.watches.target(id) {
            Ok(Target::Plain(index)) => self.watches.end_removed_plain(index, &mut self.out),
            Ok(Target::Tree(index)) => {
                let (forest, mut fx) = self.trees();
                forest.end_tree(index, &mut fx);
            }
            Err(_) => {}
        }
    }

    /// Brings removed watches to their end where a tree has kept their descriptor: a new watch on the same inode is not to
    /// be taken for the old one.
    pub(super) fn end_removed_plains(&mut self) -> Sys<()> {
        if !self.watches.has_plain_ending() {
            return Ok(());
        }
        let (scans, mut work) = self.scans();
        scans.give_up_listing(&mut work);
        let pace = Pace::to_the_end();
        while self.watches.has_plain_ending() {
            memory::renew()?;
            let step = self.next_step();
            let leads_to_an_end = matches!(step, Step::Backfill | Step::End | Step::Decode);
            debug_assert!(
                leads_to_an_end,
                "up to an ending there is nothing but these"
            );
            self.take(step, &pace)?;
        }
        Ok(())
    }

    /// Hands over the events that are ready, in exchange for an empty batch.
    pub(crate) fn swap_out(&mut self, batch: &mut Batch) {
        self.out.swap(batch);
    }

    /// Moves the events that are ready behind others.
    pub(crate) fn append_out(&mut self, batch: &mut Batch) -> Sys<()> {
        self.out.append_to(batch)
    }

    /// The last event of a watch is taken: its ID is stale.
    pub(crate) fn retire(&mut self, id: WatchId) {
        if let Some(Target::Tree(index)) = self.watches.retire(id) {
            let (forest, fx) = self.trees();
            forest.retire_tree(index, &fx);
            if self.forest.has_memory_to_drop() {
                self.forest.drop_some_memory();
            }
        }
    }

    /// A filter has answered.
    pub(crate) fn answer(&mut self, answer: Answer) {
        let (forest, mut fx) = self.trees();
        forest.answer(answer, &mut fx);
    }

    /// Closures to drop once the mutex is free, if there are any: dropping them may call anything.
    #[inline]
    pub(crate) fn take_garbage(&mut self) -> Option<Vec<Filter>> {
        self.forest
            .has_garbage()
            .then(|| self.forest.take_garbage())
    }
}

/// A read of the queue failed, or there was no memory for what comes next.
pub(super) fn work_failed(errno: i32) -> Error {
    match errno {
        libc::ENOMEM => Error::new(
            errno,
            "no memory to go on; nothing is lost, try again later",
        ),
        _ => Call::ReadInotify.failed(errno, None),
    }
}
