//! The library on the simulated kernel. Without `--cfg simulation` there is nothing to do.

#[cfg(simulation)]
mod against_kernel;

#[cfg(simulation)]
fn main() {
    let argument = |n: usize, default: u64| -> u64 {
        std::env::args()
            .nth(n)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (seed, operations) = (argument(1, 1), argument(2, 10_000) as usize);
    if let Err(difference) = against_kernel::run(seed, operations) {
        eprintln!("{difference}");
        std::process::exit(1);
    }
}

#[cfg(not(simulation))]
fn main() {}
