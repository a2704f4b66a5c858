//! The command line.

use std::time::{Duration, Instant};

use crate::against_kernel;
use crate::exhaustive;
use crate::findings::{self, Findings};
use crate::schedule::{Placements, Tally};

/// Of a trace, in the report of a failure.
const LINES: usize = 60;

pub fn main() {
    // A panic is a failure like another: it is reported with its case.
    std::panic::set_hook(Box::new(|_| {}));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let failed = match words[..] {
        [] => exhaustive(110),
        ["exhaustive"] => exhaustive(110),
        ["exhaustive", seconds] => exhaustive(number(seconds)),
        ["case", text] => case(text),
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
