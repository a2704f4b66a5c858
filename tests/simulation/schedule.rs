//! Placements: every way to place the world's steps among the library's calls, found by playing.

use asyncinotify::simulation::Effect;

use crate::run::{Played, Script};
use crate::stage::REST;

/// How far the placements of one script have been played.
#[derive(Default, Clone, Copy)]
pub struct Tally {
    pub runs: u64,
    pub failed: u64,
    /// Placements before a call that reads nothing the step touches.
    pub commutes: u64,
    /// Placements before a call that waits for the step, so that it comes first anyway.
    pub waits: u64,
    pub most: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.runs += other.runs;
        self.failed += other.failed;
        self.commutes += other.commutes;
        self.waits += other.waits;
        self.most = self.most.max(other.most);
    }
}

/// What is done with each run: its plan and how it went; false stops.
pub type Report<'a> = dyn FnMut(&[u32], &Played) -> bool + 'a;

pub struct Placements<'a, 'b> {
    pub script: &'a Script,
    pub tally: &'a mut Tally,
    pub report: &'a mut Report<'b>,
}

impl Placements<'_, '_> {
    fn play(&mut self, plan: &[u32], blocks: bool) -> Option<Played> {
        let played = self.script.play(plan, blocks, false);
        self.tally.runs += 1;
        self.tally.failed += u64::from(played.fault.is_some() || played.soft.is_some());
        self.tally.commutes += played.left.commutes;
        self.tally.waits += played.left.waits;
        self.tally.most = self.tally.most.max(played.most);
        (self.report)(plan, &played).then_some(played)
    }

    /// Every placement of every step. Depth first, each replayed from the start; the steps that a plan leaves open come at
    /// rest, so each plan is played once.
    pub fn every(&mut self) -> bool {
        let mut plans = vec![Vec::new()];
        while let Some(plan) = plans.pop() {
            let Some(played) = self.play(&plan, false) else {
                return false;
            };
            // A call that does not end has no end of places for a step.
            let spins = played
                .fault
                .as_ref()
                .is_some_and(|fault| fault.kind == "spins");
            for (step, call) in played.choices.into_iter().filter(|_| !spins) {
                let mut next = played.taken[..step as usize].to_vec();
                next.push(call);
                plans.push(next);
            }
        }
        true
    }

    /// The world takes over at most twice: some steps at one place, the others at another.
    pub fn two_blocks(&mut self) -> bool {
        let Some(base) = self.play(&[], true) else {
            return false;
        };
        let steps = base.steps.len();
        let places = |played: &Played, from: usize, block: &[Effect]| -> Vec<u32> {
            let after = played.seen.iter().enumerate().skip(from);
            let other_run = after.filter(|(_, seen)| seen.depends_on(block));
            other_run.map(|(at, _)| at as u32 + 1).collect()
        };
        let before_rest = base.taken.iter().filter(|&&place| place != REST).count();
        debug_assert_eq!(before_rest, 0);
        for first in 1..=steps {
            let (now, later) = base.steps.split_at(first);
            let mut starts = places(&base, 0, now);
            self.tally.commutes += (base.seen.len() - starts.len()) as u64;
            if first < steps {
                starts.push(REST);
            }
            for start in starts {
                let plan = vec![start; first];
                let Some(played) = self.play(&plan, true) else {
                    return false;
                };
                if first == steps {
                    continue;
                }
                let from = if start == REST {
                    base.seen.len()
                } else {
                    start as usize
                };
                let ends = places(&played, from, later);
                self.tally.commutes += (played.seen.len().saturating_sub(from) - ends.len()) as u64;
                for end in ends {
                    let mut plan = plan.clone();
                    plan.resize(steps, end);
                    if self.play(&plan, true).is_none() {
                        return false;
                    }
                }
            }
        }
        true
    }
}
