//! The command line.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::against_kernel;
use crate::exhaustive;
use crate::findings::{self, Findings};
use crate::random::{self, Counts};
use crate::run;
use crate::schedule::{Placements, Tally};
use crate::support::replica::fault;

/// Of a trace, in the report of a failure.
const LINES: usize = 60;

pub fn main() {
    // A panic in a run is a failure like another, and is reported with its case.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !run::is_playing() {
            usual(info);
        }
    }));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let failed = match words[..] {
        [] => exhaustive(110),
        ["exhaustive"] => exhaustive(110),
        ["exhaustive", seconds] => exhaustive(number(seconds)),
        ["case", text] => case(text),
        ["random", seconds] => random(number(seconds), 1),
        ["random", seconds, first] => random(number(seconds), number(first)),
        ["replay", seed] => replay(number(seed)),
        ["count", text] => count(text),
        ["kernel", seed, count] => kernel(number(seed), number(count)),
        _ => panic!("see tests/simulation/main.rs for the arguments"),
    };
    std::process::exit(i32::from(failed));
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn exhaustive(seconds: u64) -> bool {
    let findings = Findings::new();
    let tally = exhaustive::play(Duration::from_secs(seconds), &findings);
    let kinds = findings.print(LINES);
    println!(
        "{} passed, {} failed",
        tally.runs - tally.failed,
        tally.failed
    );
    kinds > 0
}

/// Random runs from a seed on, by two threads. Each is played twice at first, and must go the same way.
fn random(seconds: u64, first: u64) -> bool {
    const TWICE: u64 = 200;
    let findings = Findings::new();
    let next = AtomicU64::new(first);
    let (counts, tally) = (Mutex::new(Counts::default()), Mutex::new(Tally::default()));
    let start = Instant::now();
    let until = start + Duration::from_secs(seconds);
    let work = || {
        while Instant::now() < until {
            let seed = next.fetch_add(1, Relaxed);
            let twice = seed < first + TWICE;
            let (played, counted, settings) = random::play(seed, twice);
            counts.lock().expect("no panic").add(&counted);
            let differs =
                twice && random::digest(&random::play(seed, true).0) != random::digest(&played);
            let differs = differs.then(|| fault("not-the-same-again", seed));
            for fault in played.fault.iter().chain(&played.soft).chain(&differs) {
                findings.add_seed(
                    seed,
                    &settings.tags(counted.failed),
                    counted.operations,
                    fault,
                );
            }
            let mut tally = tally.lock().expect("no panic");
            tally.runs += 1;
            tally.failed += u64::from(played.fault.is_some() || differs.is_some());
            tally.most = tally.most.max(played.most);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let kinds = findings.print(LINES);
    let (tally, counts) = (
        tally.into_inner().expect("no panic"),
        counts.into_inner().expect("no panic"),
    );
    let rate = counts.operations as f64 / start.elapsed().as_secs_f64();
    println!(
        "seeds {first} to {}: {} operations ({rate:.0} operations/s), {} system calls, {} faults injected, {} overflows, {} errors told, {} repairs without an overflow, most calls in one call {}",
        first + tally.runs - 1,
        counts.operations,
        counts.calls,
        counts.failed,
        counts.overflows,
        counts.errors,
        counts.repairs,
        tally.most,
    );
    println!(
        "{} passed, {} failed",
        tally.runs - tally.failed,
        tally.failed
    );
    kinds > 0
}

fn replay(seed: u64) -> bool {
    let (played, _, settings) = random::play(seed, true);
    println!("{settings:?}");
    for line in &played.trace {
        println!("{line}");
    }
    let again = random::play(seed, true).0;
    println!(
        "digest {:016x}, played again {:016x}",
        random::digest(&played),
        random::digest(&again)
    );
    let faults: Vec<_> = played.fault.iter().chain(&played.soft).collect();
    for fault in &faults {
        println!("FAILED {}", fault.text);
    }
    println!(
        "{} passed, {} failed",
        usize::from(faults.is_empty()),
        usize::from(!faults.is_empty())
    );
    !faults.is_empty()
}

/// How many placements a sequence has, for those who change the rules that leave some out.
fn count(text: &str) -> bool {
    let Some((script, _, blocks)) = findings::parse(text) else {
        return true;
    };
    let (mut tally, start) = (Tally::default(), Instant::now());
    let mut placements = Placements {
        script: &script,
        tally: &mut tally,
        report: &mut |_, _| true,
    };
    if blocks {
        placements.two_blocks();
    } else {
        placements.every();
    }
    let (runs, failed, most) = (tally.runs, tally.failed, tally.most);
    println!(
        "{runs} runs, {failed} failed, most calls {most}, {:?}: {text}",
        start.elapsed()
    );
    false
}

fn kernel(seed: u64, count: u64) -> bool {
    let result = against_kernel::run(seed, count as usize);
    if let Err(difference) = &result {
        println!("{difference}");
    }
    let failed = result.is_err();
    println!(
        "{} passed, {} failed",
        usize::from(!failed),
        usize::from(failed)
    );
    failed
}

fn case(text: &str) -> bool {
    let Some((script, plan, blocks)) = findings::parse(text) else {
        println!("not a case: {text}");
        return true;
    };
    let played = script.play(&plan, blocks, true);
    for line in &played.trace {
        println!("{line}");
    }
    let again = script.play(&plan, blocks, true);
    if again.trace != played.trace || again.digest != played.digest {
        println!("played again it goes another way");
    }
    let faults: Vec<_> = played.fault.iter().chain(&played.soft).collect();
    for fault in &faults {
        println!("FAILED {}", fault.text);
    }
    println!(
        "{} passed, {} failed",
        usize::from(faults.is_empty()),
        usize::from(!faults.is_empty())
    );
    !faults.is_empty()
}
