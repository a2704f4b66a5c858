//! The small scope, all of it: sequences of operations in stages, each with its placements, by two threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use asyncinotify::simulation::Operation;
use libc::{IN_ALL_EVENTS, IN_CLOSE_WRITE};

use crate::findings::Findings;
use crate::run::{Config, Script};
use crate::schedule::{Placements, Tally};
use crate::scope::{self, STARTS};
use crate::support::replica::WHOLE;

const THREADS: usize = 2;
const MASKS: [u32; 3] = [IN_ALL_EVENTS, WHOLE, IN_CLOSE_WRITE];
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
}

const STAGES: [Stage; 4] = [
    Stage {
        operations: 1,
        placing: Placing::Every,
        share: 30,
    },
    Stage {
        operations: 2,
        placing: Placing::Every,
        share: 50,
    },
    Stage {
        operations: 3,
        placing: Placing::TwoBlocks,
        share: 12,
    },
    Stage {
        operations: 4,
        placing: Placing::TwoBlocks,
        share: 8,
    },
];

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

/// A piece of work: all sequences that begin so, in one configuration.
struct Unit {
    config: Config,
    before: Vec<Operation>,
}

struct Work<'a> {
    stage: &'a Stage,
    units: Vec<Unit>,
    next: AtomicU64,
    until: Instant,
    late: AtomicBool,
    tally: Mutex<Tally>,
    sequences: AtomicU64,
    equal: AtomicU64,
    findings: &'a Findings,
}

/// A fixed order in which every part of the whole comes early: what does not fit into the time is left out evenly.
fn scatter<T>(mut units: Vec<T>) -> Vec<T> {
    let count = units.len();
    let mut keyed: Vec<(u64, T)> = units
        .drain(..)
        .enumerate()
        .map(|(at, unit)| {
            let key = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (key, unit)
        })
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    let units: Vec<T> = keyed.into_iter().map(|(_, unit)| unit).collect();
    assert_eq!(units.len(), count);
    units
}

fn units(stage: &Stage) -> (Vec<Unit>, u64) {
    let mut found = Vec::new();
    let mut equal = 0;
    for start in 0..STARTS.len() {
        let begin = scope::start(start);
        let symmetries = scope::symmetries(&begin);
        let mut prefixes = vec![Vec::new()];
        // What follows the first two operations is found as the unit is played.
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
pub fn play(time: Duration, findings: &Findings) -> Tally {
    let start = Instant::now();
    let mut all = Tally::default();
    let mut share = 0;
    for stage in &STAGES {
        share += stage.share;
        let until = start + time * share / 100;
        let began = Instant::now();
        let (units, equal) = units(stage);
        let work = Work {
            stage,
            units,
            next: AtomicU64::new(0),
            until,
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
        work.print(began.elapsed());
        all.add(&work.tally.lock().expect("no panic"));
    }
    all
}

impl Work<'_> {
    fn play(&self) {
        let mut tally = Tally::default();
        while let Some(unit) = self.units.get(self.next.fetch_add(1, Relaxed) as usize) {
            if !self.unit(unit, &mut tally) {
                self.late.store(true, Relaxed);
                break;
            }
        }
        self.tally.lock().expect("no panic").add(&tally);
    }

    fn unit(&self, unit: &Unit, tally: &mut Tally) -> bool {
        let start = scope::start(unit.config.start);
        let symmetries = scope::symmetries(&start);
        let mut open = vec![unit.before.clone()];
        while let Some(sequence) = open.pop() {
            if sequence.len() < self.stage.operations {
                let (more, equal) = scope::continuations(&start, &sequence, &symmetries);
                self.equal.fetch_add(equal, Relaxed);
                open.extend(more.into_iter().rev());
                continue;
            }
            if !self.sequence(Script::new(unit.config, start.clone(), sequence), tally) {
                return false;
            }
        }
        true
    }

    fn sequence(&self, script: Script, tally: &mut Tally) -> bool {
        self.sequences.fetch_add(1, Relaxed);
        let blocks = self.stage.placing == Placing::TwoBlocks;
        let mut report = |plan: &[u32], played: &crate::run::Played| {
            self.findings.report(&script, plan, blocks, played);
            Instant::now() < self.until
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

    fn print(&self, took: Duration) {
        let tally = self.tally.lock().expect("no panic");
        let rate = tally.runs as f64 / took.as_secs_f64().max(0.001);
        let placing = match self.stage.placing {
            Placing::Every => "every placement",
            Placing::TwoBlocks => "at most two switches to the world",
        };
        let (units, next) = (self.units.len() as u64, self.next.load(Relaxed));
        let played = next.saturating_sub(THREADS as u64).min(units);
        let far = if self.late.load(Relaxed) {
            format!("{played} of {units} units in time")
        } else {
            "all of it".into()
        };
        println!(
            "{} operation(s), {placing}: {} runs of {} sequences in {:.1} s ({rate:.0} runs/s), {far}; left out: {} placements that commute, {} sequences equal up to names; {} failed; most calls in one call {}",
            self.stage.operations,
            tally.runs,
            self.sequences.load(Relaxed),
            took.as_secs_f64(),
            tally.commutes,
            self.equal.load(Relaxed),
            tally.failed,
            tally.most,
        );
    }
}
