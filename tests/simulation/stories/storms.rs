//! Much happens in one place: the rest does not wait for it, and no call takes long.

use asyncinotify::simulation::{Limits, Operation, set_schedule, with_kernel};
use asyncinotify::{RecursiveFlags, WatchId};
use libc::{EAGAIN, IN_CREATE};

use super::{
    Duration, Stage, WHOLE, before_each_call, check, errors, has_ended, parsed, shown, world,
};
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

/// What is done again and again in one directory, in this order.
const STORMS: [&[&str]; 7] = [
    &["exchange /t/m/x /t/m/l"],
    &["exchange /t/m/x /t/m/y"],
    &["mv /t/m/x /t/m/z", "mv /t/m/z /t/m/x"],
    &["mv /t/m/x /t/m/y/x", "mv /t/m/y/x /t/m/x"],
    &["mv /t/m/e /t/m/f", "mkdir /t/m/e"],
    &[
        "mkdir /t/m/n",
        "mkdir /t/m/n/n",
        "rmdir /t/m/n/n",
        "rmdir /t/m/n",
    ],
    &["mv /t/m/x /o/x", "mv /o/x /t/m/x"],
];

/// Each call of the library takes so long from now on.
fn calls_take(call_cost: Duration) {
    with_kernel(|kernel| {
        let limits = kernel.limits();
        kernel.set_limits(Limits {
            call_cost,
            ..limits
        });
    });
}

type Storm = Box<dyn FnMut(u64)>;

/// Plays before each storm, as often as each period says, and looks at the end whether the tree has got over it.
fn in_each_storm(play: impl Fn(&mut Stage, RecursiveFlags, Storm) -> Verdict) -> Verdict {
    const START: &str = "mkdir /o; mkdir /t; mkdir /t/q; mkdir /t/q/a; mkdir /t/m; mkdir /t/m/x; mkdir /t/m/x/d; \
                         mkdir /t/m/y; mkdir /t/m/y/d; mkdir /t/m/e; mkdir /t/m/f; symlink /t/m/l";
    let kinds = [
        RecursiveFlags::empty(),
        RecursiveFlags::BACKGROUND,
        RecursiveFlags::LIST_EXISTING,
    ];
    for (storm, flags) in STORMS.iter().flat_map(|it| kinds.map(|flags| (it, flags))) {
        for period in 1..=PERIODS {
            let mut stage = Stage::new(START);
            calls_take(Duration::from_micros(20));
            let mut steps: Vec<Operation> = storm.iter().map(|it| parsed(it)).collect();
            let blow = move |call| {
                // The test does not hang where the library does.
                if call % period == 0 && call < 2 * BOUND {
                    with_kernel(|kernel| kernel.run(&steps[0])).expect("a step of the storm");
                    steps.rotate_left(1);
                }
            };
            let place = format!("{storm:?} {flags:?} each {period}");
            play(&mut stage, flags, Box::new(blow))
                .and_then(|()| check_calm(&mut stage))
                .map_err(|it| fault(it.kind, format!("{place}: {}", it.text)))?;
        }
    }
    Ok(())
}

/// The storm is over. What was given up is watched once something happens above it.
fn check_calm(stage: &mut Stage) -> Verdict {
    set_schedule(None);
    stage.take_all()?;
    world("create /t/last");
    stage.take_all()?;
    world("create /t/m/last");
    let told = stage.take_all()?;
    let last = told
        .iter()
        .any(|event| event.path.as_deref() == Some(b"/t/m/last"));
    check(last, "not-watched-for-ever", shown(&told))
}

/// The tree is set up in the storm: what is beside it is watched in the end.
pub fn beside_a_tree_that_is_set_up() -> Verdict {
    in_each_storm(|stage, flags, storm| {
        before_each_call(storm);
        let id = stage
            .tree(WHOLE, flags)
            .map_err(|errno| fault("add-recursive", errno))?;
        let mut told = Vec::new();
        while !flags.is_empty() && !has_ended(&told) {
            told.extend(stage.take());
            check_bound()?;
        }
        check_bound()?;
        let is_quiet = |path: &Vec<u8>| path.starts_with(b"/t/q");
        let quiet = stage.directories(id).into_iter().filter(is_quiet).count();
        check(quiet == 2, "starved", quiet)
    })
}

/// The tree was set up before the storm. In another directory new ones come to be: they are watched, and what is in them is
/// told, while it goes on.
pub fn beside_a_tree_that_is_watched() -> Verdict {
    in_each_storm(|stage, flags, storm| {
        let id = stage
            .tree(WHOLE, flags)
            .map_err(|errno| fault("add-recursive", errno))?;
        stage.take_all()?;
        before_each_call(storm);
        for round in 0..4 {
            let before = with_kernel(|kernel| kernel.calls());
            let top = format!("/t/q/{round}");
            world(&format!("mkdir {top}; mkdir {top}/d; create {top}/d/f"));
            let directory = format!("{top}/d").into_bytes();
            let file = format!("{top}/d/f").into_bytes();
            let is_told = |told: &[Told]| told.iter().any(|it| it.path.as_ref() == Some(&file));
            // At the end of a repair without a list a program looks for itself.
            let is_known = |told: &[Told]| is_told(told) || has_ended(told);
            let mut told = Vec::new();
            while !is_known(&told) || !stage.directories(id).contains(&directory) {
                told.extend(stage.take());
                let calls = with_kernel(|kernel| kernel.calls()) - before;
                check(calls < BOUND, "held-up", format!("{calls} system calls"))?;
            }
        }
        Ok(())
    })
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
    calls_take(Duration::from_micros(20));
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
