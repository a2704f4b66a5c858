//! Many random runs, by two threads.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::findings::Findings;
use crate::random::{self, Counts};
use crate::run::Played;
use crate::schedule::Tally;
use crate::support::replica::fault;

/// So many runs are played twice, and must go the same way.
const TWICE: u64 = 200;

#[derive(Clone, Copy)]
pub enum Length {
    Seeds(u64),
    Until(Instant),
}

impl Length {
    pub fn of(seconds: u64) -> Length {
        Length::Until(Instant::now() + Duration::from_secs(seconds))
    }

    fn is_sample(self) -> bool {
        matches!(self, Length::Seeds(_))
    }

    fn is_over(self, played: u64) -> bool {
        match self {
            Length::Seeds(count) => played >= count,
            Length::Until(end) => Instant::now() >= end,
        }
    }
}

struct Lottery {
    first: u64,
    length: Length,
    next: AtomicU64,
    /// Seeds of which it is known that they fail: faults that are open.
    open: BTreeSet<u64>,
    findings: Findings,
    /// What failed, as a line of open-seeds.txt has it.
    failing: Mutex<BTreeSet<(u64, &'static str)>>,
    sums: Mutex<(Tally, Counts)>,
}

/// Plays the seeds of `make check`. Those in the list fail, each for a fault that is open; when one of them passes, it is to
/// be taken off the list.
pub fn play_sample(seeds: u64, lines: usize) -> Tally {
    let list = include_str!("open-seeds.txt").lines();
    let numbers = list.filter_map(|line| line.split_whitespace().next()?.parse().ok());
    play_but(numbers.collect(), 1, Length::Seeds(seeds), lines)
}

/// Plays seeds from the first on; prints what failed, and what was done.
pub fn play(first: u64, length: Length, lines: usize) -> Tally {
    play_but(BTreeSet::new(), first, length, lines)
}

fn play_but(open: BTreeSet<u64>, first: u64, length: Length, lines: usize) -> Tally {
    let start = Instant::now();
    let lottery = Lottery {
        first,
        length,
        next: AtomicU64::new(first),
        open,
        findings: Findings::new(),
        failing: Mutex::default(),
        sums: Mutex::default(),
    };
    std::thread::scope(|scope| {
        scope.spawn(|| lottery.run());
        scope.spawn(|| lottery.run());
    });
    lottery.findings.print(lines);
    for (seed, kind) in lottery.failing.into_inner().expect("no panic") {
        println!("{seed} {kind}");
    }
    let (tally, counts) = lottery.sums.into_inner().expect("no panic");
    if !lottery.open.is_empty() {
        println!("open faults, known to fail: {} seeds", lottery.open.len());
    }
    let rate = counts.operations as f64 / start.elapsed().as_secs_f64();
    println!(
        "seeds {first} to {}: {} operations ({rate:.0} operations/s), {} system calls, {} faults injected, {} calls without memory, {} overflows, {} errors told, {} repairs without an overflow, most calls in one call: {}",
        first + tally.runs - 1,
        counts.operations,
        counts.calls,
        counts.failed,
        counts.without_memory,
        counts.overflows,
        counts.errors,
        counts.repairs,
        tally.most,
    );
    tally
}

impl Lottery {
    fn run(&self) {
        loop {
            let seed = self.next.fetch_add(1, Relaxed);
            if self.length.is_over(seed - self.first) {
                break;
            }
            let twice = seed < self.first + TWICE;
            let (played, counts, settings) = random::play(seed, twice);
            let differs = twice && differs(seed, &played);
            let differs = differs.then(|| fault("not-the-same-again", seed));
            let faults = played.fault.iter().chain(&played.soft).chain(&differs);
            let passes = played.fault.is_none() && played.soft.is_none();
            let is_open = self.open.contains(&seed) && self.length.is_sample();
            let mended = (is_open && passes).then(|| fault("is-mended", seed));
            let faults = faults.filter(|_| !is_open).chain(&mended);
            let mut failed = false;
            for fault in faults {
                failed = true;
                self.failing
                    .lock()
                    .expect("no panic")
                    .insert((seed, fault.kind));
                let tags = settings.tags(counts.failed);
                self.findings
                    .add_seed(seed, &tags, counts.operations, fault);
            }
            let mut sums = self.sums.lock().expect("no panic");
            sums.1.add(&counts);
            sums.0.runs += 1;
            sums.0.failed += u64::from(failed);
            sums.0.most = sums.0.most.max(played.most);
        }
    }
}

/// Whether a run goes another way when it is played again.
fn differs(seed: u64, played: &Played) -> bool {
    random::digest(&random::play(seed, true).0) != random::digest(played)
}
