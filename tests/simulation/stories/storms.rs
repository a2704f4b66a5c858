//! Much happens in one place: the rest does not wait for it, and no call takes long.

use asyncinotify::simulation::{Limits, Operation, set_schedule, with_kernel};
use asyncinotify::{RecursiveFlags, WatchId};
use libc::{EAGAIN, IN_CREATE};

use super::{Duration, Stage, WHOLE, before_each_call, check, errors, has_ended, parsed, world};
use crate::support::replica::{Told, Verdict, fault};

/// Directories beside the one in which the storm is, each with another one in it.
const OTHERS: usize = 10;
/// The root, the others, and the directory of the storm.
const QUIET: usize = 2 + 2 * OTHERS;
/// Directories in the one that is renamed.
const CHILDREN: usize = 5;
const ALL: usize = QUIET + 1 + CHILDREN;
/// The storm's period: before each call of the library, before each second one, ...
const PERIODS: u64 = 6;

/// A directory changes places with a symbolic link while the library works.
fn storm(period: u64) -> Stage {
    let mut start = String::from("mkdir /t; mkdir /t/m; mkdir /t/m/x; symlink /t/m/l");
    for child in 0..CHILDREN {
        start += &format!("; mkdir /t/m/x/{child}");
    }
    for other in 0..OTHERS {
        start += &format!("; mkdir /t/{other}; mkdir /t/{other}/sub");
    }
    let stage = Stage::new(&start);
    let exchange = parsed("exchange /t/m/x /t/m/l");
    before_each_call(move |call| {
        if call % period == 0 {
            with_kernel(|kernel| kernel.run(&exchange)).expect("an exchange");
        }
    });
    stage
}

/// All but the directory that is renamed, and what is in it, is watched.
fn check_quiet(stage: &Stage, id: WatchId) -> Verdict {
    let directories = stage.directories(id);
    let is_quiet = |path: &&Vec<u8>| *path == b"/t/m" || !path.starts_with(b"/t/m");
    let quiet = directories.iter().filter(is_quiet).count();
    check(quiet == QUIET, "starved", format!("{quiet} of {QUIET}"))
}

fn is_given_up(told: &[Told]) -> bool {
    errors(told).iter().any(|event| event.error == EAGAIN)
}

/// The storm goes on: what it hits is watched, or an ERROR says that it is given up for now.
fn settle(stage: &mut Stage, id: WatchId, mut told: Vec<Told>) -> Verdict {
    while !is_given_up(&told) && stage.directories(id).len() < ALL {
        told.extend(stage.take());
        check_bound()?;
    }
    Ok(())
}

/// The storm is over: with the next event all is watched.
fn check_after(stage: &mut Stage, id: WatchId) -> Verdict {
    set_schedule(None);
    stage.take_all()?;
    world("create /t/m/f");
    stage.take_all()?;
    let all = stage.directories(id).len();
    check(all == ALL, "not-watched-for-ever", all)
}

/// System calls that are enough for set-up and SYNC_END, which wait for 256 directories that appear meanwhile and no more,
/// and for a directory to be given up.
const BOUND: u64 = 8_000;

fn check_bound() -> Verdict {
    let calls = with_kernel(|kernel| kernel.calls());
    check(calls < BOUND, "held-up", format!("{calls} system calls"))
}

/// The call that adds the tree returns.
pub fn in_the_foreground() -> Verdict {
    for period in 1..=PERIODS {
        let mut stage = storm(period);
        let id = stage.tree(IN_CREATE, RecursiveFlags::empty());
        let id = id.map_err(|errno| fault("add-recursive", errno))?;
        check_bound()?;
        check_quiet(&stage, id)?;
        settle(&mut stage, id, Vec::new())?;
        check_after(&mut stage, id)?;
    }
    Ok(())
}

/// SYNC_END comes.
pub fn in_the_background() -> Verdict {
    for period in 1..=PERIODS {
        let mut stage = storm(period);
        let id = stage.tree(IN_CREATE, RecursiveFlags::BACKGROUND);
        let id = id.map_err(|errno| fault("add-recursive", errno))?;
        let mut told = Vec::new();
        while !has_ended(&told) {
            told.extend(stage.take());
            check_bound()?;
        }
        check_quiet(&stage, id)?;
        settle(&mut stage, id, told)?;
        check_after(&mut stage, id)?;
    }
    Ok(())
}

/// Thousands of directories leave the tree at one go. Each of them is looked into; no call does that for longer than a slice.
pub fn many_moved_out() -> Verdict {
    const MANY: usize = 3000;
    let mut stage = Stage::new("mkdir /t; mkdir /o");
    let directory = |top: &str, number: usize| format!("{top}/{number}").into_bytes();
    let done = |operation: &Operation| {
        with_kernel(|kernel| kernel.run(operation)).expect("a directory");
    };
    (0..MANY).for_each(|number| done(&Operation::Mkdir(directory("/t", number))));
    let id = stage.tree(WHOLE, RecursiveFlags::empty());
    let id = id.map_err(|errno| fault("add-recursive", errno))?;
    for number in 0..MANY {
        let (from, to) = (directory("/t", number), directory("/o", number));
        done(&Operation::Rename(from, to));
    }
    let call_cost = Duration::from_micros(20);
    with_kernel(|kernel| {
        let limits = kernel.limits();
        kernel.set_limits(Limits {
            call_cost,
            ..limits
        });
    });
    let (mut told, mut longest) = (0, Duration::ZERO);
    while !super::is_quiet(&stage.instance) {
        let start = with_kernel(|kernel| kernel.now());
        told += stage.take().len();
        longest = longest.max(with_kernel(|kernel| kernel.now()) - start);
    }
    check(told == MANY, "missed", told)?;
    check(
        longest <= Duration::from_millis(10),
        "works-too-long",
        format!("{longest:?}"),
    )?;
    let left = stage.directories(id).len();
    check(left == 1, "not-released", left)
}
