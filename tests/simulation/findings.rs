//! What failed: the smallest case of each kind, with the command that plays it again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::run::{Config, Played, Script};
use crate::stage::REST;
use crate::support::masks;
use crate::support::replica::Fault;
use crate::text;

pub struct Case {
    size: (usize, usize, usize),
    pub name: String,
    pub fault: Fault,
    pub count: u64,
    pub trace: Vec<String>,
}

pub struct Findings {
    pub cases: Mutex<BTreeMap<String, Case>>,
    /// Still to be reported: every run with OPEN in its mask has it.
    own_reading: AtomicBool,
}

/// A case in one line, as `case` takes it.
pub fn name(script: &Script, plan: &[u32], blocks: bool) -> String {
    let Config {
        mask,
        lists,
        batch,
        start,
    } = script.config;
    let places: Vec<String> = plan
        .iter()
        .map(|&place| {
            if place == REST {
                "-".into()
            } else {
                place.to_string()
            }
        })
        .collect();
    let list = if lists { "list" } else { "silent" };
    let blocks = if blocks { "blocks" } else { "steps" };
    let mask = if mask == libc::IN_ALL_EVENTS {
        "ALL".into()
    } else {
        masks::format(mask)
    };
    format!(
        "{mask} {list} {batch} start {start} {blocks}: {} @ {}",
        text::operations(&script.operations),
        places.join(" ")
    )
}

/// The script and the plan that a name stands for.
pub fn parse(name: &str) -> Option<(Script, Vec<u32>, bool)> {
    let (head, rest) = name.split_once(':')?;
    let (operations, places) = rest.split_once('@')?;
    let [mask, list, batch, "start", start, blocks] =
        head.split_whitespace().collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let config = Config {
        mask: masks::parse(mask)?,
        lists: list == "list",
        batch: batch.parse().ok()?,
        start: start.parse().ok()?,
    };
    let place = |word: &str| {
        if word == "-" {
            Some(REST)
        } else {
            word.parse().ok()
        }
    };
    let plan: Option<Vec<u32>> = places.split_whitespace().map(place).collect();
    let script = Script::new(
        config,
        crate::scope::start(config.start),
        text::parse_operations(operations)?,
    );
    Some((script, plan?, blocks == "blocks"))
}

impl Findings {
    pub fn new() -> Findings {
        Findings {
            cases: Mutex::default(),
            own_reading: AtomicBool::new(true),
        }
    }

    pub fn report(&self, script: &Script, plan: &[u32], blocks: bool, played: &Played) {
        for fault in played.fault.iter().chain(&played.soft) {
            let size = (
                script.operations.len(),
                plan.len(),
                plan.iter().filter(|&&place| place != REST).count(),
            );
            if fault.kind == "own-reading" && !self.own_reading.swap(false, Relaxed) {
                continue;
            }
            let verbs: Vec<String> = script
                .operations
                .iter()
                .map(|operation| {
                    let text = text::operation(operation);
                    text.split(' ').next().unwrap_or_default().to_owned()
                })
                .collect();
            let key = if verbs.len() <= 2 {
                format!("{} after {}", fault.kind, verbs.join(", "))
            } else {
                fault.kind.to_owned()
            };
            self.add(
                key,
                size,
                || name(script, plan, blocks),
                fault,
                || script.play(plan, blocks, true).trace,
            );
        }
    }

    pub fn add(
        &self,
        key: String,
        size: (usize, usize, usize),
        name: impl FnOnce() -> String,
        fault: &Fault,
        trace: impl FnOnce() -> Vec<String>,
    ) {
        let mut cases = self.cases.lock().expect("no panic");
        if let Some(case) = cases.get_mut(&key) {
            case.count += 1;
            if case.size <= size {
                return;
            }
            (case.size, case.name, case.fault, case.trace) = (size, name(), fault.clone(), trace());
            return;
        }
        let case = Case {
            size,
            name: name(),
            fault: fault.clone(),
            count: 1,
            trace: trace(),
        };
        cases.insert(key, case);
    }

    /// Of a random run.
    pub fn add_seed(&self, seed: u64, tags: &str, operations: u64, fault: &Fault) {
        if fault.kind == "own-reading" && !self.own_reading.swap(false, Relaxed) {
            return;
        }
        let size = (operations as usize, 0, 0);
        self.add(
            format!("{} in random runs{tags}", fault.kind),
            size,
            || format!("SEED={seed}"),
            fault,
            || crate::random::play(seed, true).0.trace,
        );
    }

    /// Prints what failed; how many kinds.
    pub fn print(&self, lines: usize) -> usize {
        let cases = self.cases.lock().expect("no panic");
        for (key, case) in cases.iter() {
            println!(
                "\nFAILED {key} ({} runs)\n  {}",
                case.count, case.fault.text
            );
            let seed = case.name.starts_with("SEED=");
            let which = if seed {
                case.name.clone()
            } else {
                format!("CASE='{}'", case.name)
            };
            println!("  make replay {which}");
            let skipped = case.trace.len().saturating_sub(lines);
            for line in &case.trace[skipped..] {
                println!("    {line}");
            }
        }
        cases.len()
    }
}
