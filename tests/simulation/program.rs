//! The command line.

use std::time::{Duration, Instant};

use crate::against_kernel;
use crate::exhaustive::{self, Extent};
use crate::findings::{self, Findings};
use crate::lottery::{self, Length};
use crate::random;
use crate::run;
use crate::schedule::{Placements, Tally};
use crate::stories;

/// How many random runs `make check` does.
const SEEDS: u64 = 600;
/// How many system calls are compared with the real kernel's.
const CALLS: u64 = 10_000;
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
        [] => check(),
        ["stories"] => told(),
        ["exhaustive"] => exhaustive(Extent::Check),
        ["exhaustive", seconds] => exhaustive(Extent::Time(Duration::from_secs(number(seconds)))),
        ["case", text] => case(text),
        ["sample"] => close(&lottery::play_sample(SEEDS, LINES)),
        ["random", seconds] => close(&lottery::play(1, Length::of(number(seconds)), LINES)),
        ["random", seconds, first] => close(&lottery::play(
            number(first),
            Length::of(number(seconds)),
            LINES,
        )),
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

fn exhaustive(extent: Extent) -> bool {
    let findings = Findings::new();
    let tally = exhaustive::play(extent, &findings);
    findings.print(LINES);
    close(&tally)
}

fn told() -> bool {
    let findings = Findings::new();
    let tally = stories::play(&findings);
    findings.print(LINES);
    close(&tally)
}

/// What `make check` does: the same each time.
fn check() -> bool {
    if kernel(1, CALLS) {
        return true;
    }
    let findings = Findings::new();
    let mut tally = cases(&findings);
    tally.add(&stories::play(&findings));
    tally.add(&exhaustive::play(Extent::Check, &findings));
    findings.print(LINES);
    tally.add(&lottery::play_sample(SEEDS, LINES));
    close(&tally)
}

/// The cases that failed once.
fn cases(findings: &Findings) -> Tally {
    let mut tally = Tally::default();
    let lines = include_str!("cases.txt").lines();
    for text in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (script, plan, blocks) = findings::parse(text).expect("a case");
        let played = script.play(&plan, blocks, false);
        findings.report(&script, &plan, blocks, &played);
        tally.runs += 1;
        tally.failed += u64::from(played.fault.is_some() || played.soft.is_some());
    }
    println!("cases that failed once: {}", tally.runs);
    tally
}

fn close(tally: &Tally) -> bool {
    println!(
        "{} passed, {} failed",
        tally.runs - tally.failed,
        tally.failed
    );
    tally.failed > 0
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
    if again.happened() != played.happened() || again.digest != played.digest {
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
