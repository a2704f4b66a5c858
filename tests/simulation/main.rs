//! The library on the simulated kernel. Without `--cfg simulation` there is nothing to do.

#![cfg_attr(simulation, allow(unreachable_pub))] // a program: nothing of it is reachable

#[cfg(simulation)]
mod against_kernel;
#[cfg(simulation)]
#[allow(dead_code)]
#[path = "../support/folder.rs"]
mod folder;
#[cfg(simulation)]
#[allow(dead_code)]
#[path = "../support/masks.rs"]
mod masks;
#[cfg(simulation)]
#[allow(dead_code)]
#[path = "../support/rng.rs"]
mod rng;

#[cfg(simulation)]
mod support {
    pub(crate) use crate::{folder, masks, rng};
}

#[cfg(simulation)]
fn main() {
    let argument = |n: usize, default: u64| -> u64 {
        let given = std::env::args().nth(n);
        given.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (seed, operations) = (argument(1, 1), argument(2, 10_000) as usize);
    if let Err(difference) = against_kernel::run(seed, operations) {
        eprintln!("{difference}");
        std::process::exit(1);
    }
}

#[cfg(not(simulation))]
fn main() {}
