//! The proof by simulation: the core on a kernel inside this process, with every placement of the world's steps among the
//! library's system calls for a small scope, and long random runs with faults. It is built with `--cfg simulation` only.
//!
//!     stories                faults that there were, as fixed cases
//!     exhaustive [SECONDS]   the small scope; what does not fit into the time is left out evenly
//!     random SECONDS [SEED]  random runs
//!     sample                 the random runs of `make check`
//!     replay SEED            one random run with its trace
//!     kernel SEED COUNT      the simulated kernel against the real one
//!     case 'TEXT'            one run of the small scope with its trace, as a failure printed it

#![allow(unreachable_pub)] // a program: nothing of it is reachable

#[cfg(simulation)]
mod against_kernel;
#[cfg(simulation)]
mod dependence;
#[cfg(simulation)]
mod dice;
#[cfg(simulation)]
mod disk;
#[cfg(simulation)]
mod exhaustive;
#[cfg(simulation)]
mod findings;
#[cfg(simulation)]
mod judge;
#[cfg(simulation)]
mod lottery;
#[cfg(simulation)]
mod nested;
#[cfg(simulation)]
mod plain;
#[cfg(simulation)]
mod random;
#[cfg(simulation)]
mod rest;
#[cfg(simulation)]
mod run;
#[cfg(simulation)]
mod schedule;
#[cfg(simulation)]
mod scope;
#[cfg(simulation)]
mod stage;
#[cfg(simulation)]
mod stories;
#[cfg(simulation)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(simulation)]
mod text;

#[cfg(simulation)]
mod program;

fn main() {
    #[cfg(simulation)]
    program::main();
}
