//! What the Rust tests share. Each test binary uses its own part of it.
#![allow(dead_code)]

pub mod abi;
pub mod folder;
pub mod kernel;
pub mod masks;
pub mod queue_limit;
pub mod replica;
pub mod rng;

/// A number from the environment, for replaying and lengthening seeded tests.
pub fn env_number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    match text.trim().parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{name}={text}: not a number"),
    }
}

/// Long enough for the slowest machine; only a failing test waits that long.
pub const PATIENCE_MS: i32 = 10_000;
