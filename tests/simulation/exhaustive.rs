//! The small scope, all of it: sequences of operations in stages, each with its placements, by two threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use asyncinotify::simulation::Operation;
use libc::{IN_ALL_EVENTS, IN_CLOSE_WRITE};

use crate::findings::Findings;
use crate::run::{Config, Played, Script};
use crate::schedule::{Placements, Tally};
use crate::scope::{self, STARTS};
use crate::support::replica::WHOLE;

const THREADS: usize = 2;
const MASKS: [u32; 3] = [IN_ALL_EVENTS, WHOLE, IN_CLOSE_WRITE];
/// More than there are operations in any state of the scope.
const MOST_CONTINUATIONS: u64 = 400;
const BATCHES: [usize; 2] = [64, 1];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Placing {
    Every,
    TwoBlocks,
}

struct Stage {
    operations: usize,
    placing: Placing,
    /// Of the time there is, in hundredths.
    share: u32,
    /// How many sequences `make check` plays; 0: all of them.
    sample: u64,
}

const STAGES: [Stage; 4] = [
    Stage {
        operations: 1,
        placing: Placing::Every,
        share: 10,
        sample: 0,
    },
    Stage {
        operations: 2,
        placing: Placing::Every,
        share: 50,
        sample: 400,
    },
    Stage {
        operations: 3,
        placing: Placing::TwoBlocks,
        share: 20,
        sample: 200,
    },
    Stage {
        operations: 4,
        placing: Placing::TwoBlocks,
        share: 20,
        sample: 150,
    },
];

/// How much is played.
#[derive(Clone, Copy)]
pub enum Extent {
    /// The same each time, on every machine.
    Check,
    /// As much as fits, in a fixed order.
    Time(Duration),
}

pub fn configs() -> Vec<Config> {
    let mut all = Vec::new();
    for start in 0..STARTS.len() {
        for mask in MASKS {
            for lists in [true, false] {
                all.extend(BATCHES.map(|batch| Config {
                    mask,
                    lists,
                    batch,
                    start,
                }));
            }
        }
    }
    all
}

/// The first two operations of sequences, or the only one, in one configuration.
struct Unit {
    config: Config,
    before: Vec<Operation>,
}

struct Work<'a> {
    stage: &'a Stage,
    units: Vec<Unit>,
    next: AtomicU64,
    /// Sequences to be played.
    sample: u64,
    until: Option<Instant>,
    /// Nothing is left, or there is no time left.
    over: AtomicBool,
    late: AtomicBool,
    tally: Mutex<Tally>,
    sequences: AtomicU64,
    equal: AtomicU64,
    findings: &'a Findings,
}

/// A fixed order in which every part of the whole comes early: what is left out is left out evenly.
fn scatter<T>(units: Vec<T>) -> Vec<T> {
    let key = |at: usize| (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut keyed: Vec<(u64, T)> = units
        .into_iter()
        .enumerate()
        .map(|(at, unit)| (key(at), unit))
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, unit)| unit).collect()
}

/// The units of a stage, and how many sequences are left out as equal to another.
fn units(stage: &Stage) -> (Vec<Unit>, u64) {
    let mut found = Vec::new();
    let mut equal = 0;
    for start in 0..STARTS.len() {
        let begin = scope::start(start);
        let symmetries = scope::symmetries(&begin);
        let mut prefixes = vec![Vec::new()];
        for _ in 0..stage.operations.min(2) {
            let mut longer = Vec::new();
            for prefix in &prefixes {
                let (more, left_out) = scope::continuations(&begin, prefix, &symmetries);
                longer.extend(more);
                equal += left_out;
            }
            prefixes = longer;
        }
        for config in configs().into_iter().filter(|config| config.start == start) {
            let units = prefixes.iter().map(|before| Unit {
                config,
                before: before.clone(),
            });
            found.extend(units);
        }
    }
    (scatter(found), equal)
}

/// Plays the stages; how many runs, how many failed.
pub fn play(extent: Extent, findings: &Findings) -> Tally {
    let start = Instant::now();
    let mut all = Tally::default();
    let mut share = 0;
    for stage in &STAGES {
        share += stage.share;
        let until = match extent {
            Extent::Check => None,
            Extent::Time(time) => Some(start + time * share / 100),
        };
        let began = (Instant::now(), cpu_time());
        let (units, equal) = units(stage);
        let all_of_it = until.is_some() || stage.sample == 0;
        let work = Work {
            stage,
            units,
            next: AtomicU64::new(0),
            sample: if all_of_it { u64::MAX } else { stage.sample },
            until,
            over: AtomicBool::new(false),
            late: AtomicBool::new(false),
            tally: Mutex::new(Tally::default()),
            sequences: AtomicU64::new(0),
            equal: AtomicU64::new(equal),
            findings,
        };
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| work.play());
            }
        });
        work.print(began.0.elapsed(), cpu_time() - began.1);
        all.add(&work.tally.lock().expect("no panic"));
    }
    all
}

/// The processor time of all threads.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid timespec to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl Work<'_> {
    fn play(&self) {
        let mut tally = Tally::default();
        while !self.over.load(Relaxed) {
            let number = self.next.fetch_add(1, Relaxed);
            if number >= self.sample {
                break;
            }
            // Each unit plays its first sequence, then each its second.
            let (at, turn) = (
                number % self.units.len() as u64,
                number / self.units.len() as u64,
            );
            let Some(sequence) = self.sequence(&self.units[at as usize], turn) else {
                // The longest list of continuations is well below this.
                if turn > MOST_CONTINUATIONS.pow(self.stage.operations.saturating_sub(2) as u32) {
                    self.over.store(true, Relaxed);
                }
                continue;
            };
            let config = self.units[at as usize].config;
            if !self.placements(
                Script::new(config, scope::start(config.start), sequence),
                &mut tally,
            ) {
                self.over.store(true, Relaxed);
                self.late.store(true, Relaxed);
            }
        }
        self.tally.lock().expect("no panic").add(&tally);
    }

    /// The sequence of a unit with that number.
    fn sequence(&self, unit: &Unit, mut number: u64) -> Option<Vec<Operation>> {
        let mut sequence = unit.before.clone();
        if sequence.len() < self.stage.operations {
            let start = scope::start(unit.config.start);
            let symmetries = scope::symmetries(&start);
            while sequence.len() < self.stage.operations {
                let (mut more, _) = scope::continuations(&start, &sequence, &symmetries);
                let count = more.len() as u64;
                if count == 0 {
                    return None;
                }
                sequence = more.swap_remove((number % count) as usize);
                number /= count;
            }
        }
        (number == 0).then_some(sequence)
    }

    fn placements(&self, script: Script, tally: &mut Tally) -> bool {
        self.sequences.fetch_add(1, Relaxed);
        let blocks = self.stage.placing == Placing::TwoBlocks;
        let mut report = |plan: &[u32], played: &Played| {
            self.findings.report(&script, plan, blocks, played);
            self.until.is_none_or(|until| Instant::now() < until)
        };
        let mut placements = Placements {
            script: &script,
            tally,
            report: &mut report,
        };
        match self.stage.placing {
            Placing::Every => placements.every(),
            Placing::TwoBlocks => placements.two_blocks(),
        }
    }

    fn print(&self, took: Duration, cpu: Duration) {
        let tally = self.tally.lock().expect("no panic");
        let rate = |time: Duration| tally.runs as f64 / time.as_secs_f64().max(0.001);
        let placing = match self.stage.placing {
            Placing::Every => "every placement",
            Placing::TwoBlocks => "at most two turns of the world",
        };
        let sequences = self.sequences.load(Relaxed);
        let units = self.units.len() as u64;
        let far = match (self.late.load(Relaxed), self.stage.operations) {
            (true, _) => format!("the first {sequences} of them in the time there was"),
            (false, 1 | 2) if sequences == units => "all of them".into(),
            (false, _) => format!("a fixed sample, from {units} beginnings"),
        };
        println!(
            "{} operation(s), {placing}: {sequences} sequences, {far}; {} runs in {:.1} s ({:.0} runs/s, {:.0} a second of one processor)",
            self.stage.operations,
            tally.runs,
            took.as_secs_f64(),
            rate(took),
            rate(cpu),
        );
        println!(
            "  left out: {} placements before a call that the step commutes with, {} before one that waits for the step, {} sequences equal up to names; {} runs failed; most calls in one call: {}",
            tally.commutes,
            tally.waits,
            self.equal.load(Relaxed),
            tally.failed,
            tally.most,
        );
    }
}
