//! The proof of what recursive watches guarantee: several processes change a tree at random while a consumer keeps a replica of
//! it from events alone; at rest it must equal the disk.
//!
//! `REPLICA_SEED=n` plays one seed, `REPLICA_OPS=n` so many operations of each kind, `SOAK_SECONDS=n` for about so long in all.

#![allow(unreachable_pub)] // a program: nothing of it is reachable

#[path = "../support/mod.rs"]
mod support;

mod consumer;
mod kinds;
mod worker;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

use consumer::{Consumer, Counts};
use kinds::{KINDS, Kind};
use support::env_number;

const ROUNDS: u64 = 8;
const OPERATIONS: u64 = 120;
const SECONDS: f64 = 2.0;

/// What each kind has survived, for the table at the end.
static SURVIVED: Mutex<Vec<(&str, u64, Counts)>> = Mutex::new(Vec::new());

/// How many kinds are done, well or not.
static FINISHED: AtomicUsize = AtomicUsize::new(0);

/// How long a kind goes on.
#[derive(Clone, Copy)]
enum Until {
    Time(Duration),
    Operations(u64),
    OneSeed(u64),
}

fn survive(kind: Kind, index: usize, until: Until) -> Result<(), Failed> {
    let start = Instant::now();
    let mut counts = Counts::default();
    let mut seeds = 0;
    loop {
        let seed = match until {
            Until::OneSeed(seed) => seed,
            _ => (index as u64) * 1_000_000 + seeds,
        };
        let Some(mut consumer) = Consumer::new(kind, seed) else {
            return Ok(());
        };
        let result = consumer.play(ROUNDS, OPERATIONS);
        counts.add(consumer.counts);
        drop(consumer);
        result?;
        seeds += 1;
        let enough = match until {
            Until::Time(time) => start.elapsed() >= time,
            Until::Operations(operations) => counts.operations >= operations,
            Until::OneSeed(_) => true,
        };
        if enough {
            break;
        }
    }
    if kind.queue != 0 && counts.overflows == 0 {
        return Err("no overflow happened: nothing was tested".into());
    }
    SURVIVED
        .lock()
        .expect("no one panics here")
        .push((kind.name, seeds, counts));
    Ok(())
}

fn table() {
    let survived = SURVIVED.lock().expect("no one panics here");
    let mut total = Counts::default();
    let line = |name: &str, seeds: u64, counts: &Counts| {
        println!(
            "{name:<36} {seeds:>7} {:>11} {:>10} {:>12} {:>9} {:>8} {:>7} {:>7} {:>7}",
            counts.operations,
            counts.failed,
            counts.events,
            counts.overflows,
            counts.listings,
            counts.repairs,
            counts.rests,
            counts.most_entries
        );
    };
    println!(
        "\n{:<36} {:>7} {:>11} {:>10} {:>12} {:>9} {:>8} {:>7} {:>7} {:>7}",
        "kind",
        "seeds",
        "operations",
        "(failed)",
        "events",
        "overflows",
        "listings",
        "repairs",
        "rests",
        "entries"
    );
    for (name, seeds, counts) in survived.iter() {
        line(name, *seeds, counts);
        total.add(*counts);
    }
    line(
        "all",
        survived.iter().map(|(_, seeds, _)| seeds).sum(),
        &total,
    );
}

fn main() {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == "worker") {
        return worker::main(&arguments[2..]);
    }
    let arguments = Arguments::from_args();
    let threads = arguments
        .test_threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let until = if let Some(seed) = env_number("REPLICA_SEED") {
        Until::OneSeed(seed)
    } else if let Some(operations) = env_number("REPLICA_OPS") {
        Until::Operations(operations)
    } else if let Some(seconds) = env_number("SOAK_SECONDS") {
        let chosen = KINDS
            .iter()
            .filter(|kind| !filtered_out(&arguments, kind.name))
            .count()
            .max(1);
        Until::Time(Duration::from_secs(seconds) * threads.min(chosen) as u32 / chosen as u32)
    } else {
        Until::Time(Duration::from_secs_f64(SECONDS))
    };
    let chosen = KINDS
        .iter()
        .filter(|kind| !filtered_out(&arguments, kind.name))
        .count();
    let trial = |(index, kind): (usize, Kind)| {
        Trial::test(kind.name, move || {
            let survived = survive(kind, index, until);
            if FINISHED.fetch_add(1, Relaxed) + 1 == chosen {
                table();
            }
            survived
        })
    };
    let trials = KINDS.into_iter().enumerate().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// As libtest_mimic does it, to know how many kinds share the time.
fn filtered_out(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &str| {
        if arguments.exact {
            name == filter
        } else {
            name.contains(filter)
        }
    };
    arguments
        .filter
        .as_deref()
        .is_some_and(|filter| !matches(filter))
        || arguments.skip.iter().any(|skip| matches(skip))
}
