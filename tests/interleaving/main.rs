//! The proof of the pollable fd: random interleavings of file operations, watches, every way of taking events, wake-ups and
//! every way of waiting, held against a model that knows which events are outstanding.
//!
//! `INTERLEAVING_SEED=n` plays one seed, `INTERLEAVING_STEPS=n` sets how many steps in all.

#![allow(unreachable_pub)] // a program: nothing of it is reachable

#[path = "../support/mod.rs"]
mod support;

mod bare_kernel;
mod player;
mod tree;
mod waiting;
mod world;

use player::{Player, Settings};
use support::env_number;

const STEPS: u64 = 24_000;
const STEPS_A_SEED: u64 = 2_000;

fn play(settings: impl Fn(u64) -> Settings) {
    let steps = env_number("INTERLEAVING_STEPS").unwrap_or(STEPS);
    if let Some(seed) = env_number("INTERLEAVING_SEED") {
        return Player::new(seed, settings(seed)).play(steps.min(STEPS_A_SEED));
    }
    let mut taken = 0;
    for seed in 0..steps.div_ceil(STEPS_A_SEED) {
        let mut player = Player::new(seed, settings(seed));
        player.play(STEPS_A_SEED);
        taken += player.taken;
    }
    assert!(
        taken > steps / 4,
        "only {taken} events in {steps} steps: not much was tried"
    );
    println!("{steps} steps, {taken} events");
}

#[test]
fn the_model_is_the_kernel() {
    for seed in 0..10 {
        bare_kernel::play(seed, 3_000);
    }
}

#[test]
fn non_blocking() {
    play(|seed| Settings {
        blocking: false,
        tree: false,
        poll_always: seed % 2 == 0,
    });
}

#[test]
fn blocking() {
    play(|seed| Settings {
        blocking: true,
        tree: false,
        poll_always: seed % 2 == 0,
    });
}

#[test]
fn beside_a_recursive_watch() {
    play(|seed| Settings {
        blocking: false,
        tree: true,
        poll_always: seed % 2 == 0,
    });
}

#[test]
fn blocking_beside_a_recursive_watch() {
    play(|seed| Settings {
        blocking: true,
        tree: true,
        poll_always: seed % 2 == 0,
    });
}
