//! What the Rust tests share. Each test binary uses its own part of it.
#![allow(dead_code)]

#[cfg(not(simulation))]
pub mod abi;
pub mod disk;
pub mod folder;
#[cfg(not(simulation))]
pub mod kernel;
pub mod masks;
#[cfg(not(simulation))]
pub mod queue_limit;
pub mod replica;
pub mod rng;
pub mod told;

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
