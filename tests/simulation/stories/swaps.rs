//! What is at a path is exchanged while the library works by that path: before each of its calls once, and once more
//! before each later one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use asyncinotify::simulation::{CallKind, Limits, Operation, Pending, set_schedule, with_kernel};
use asyncinotify::{Mask, RecursiveFlags, RecursiveOptions};
use libc::{EEXIST, ENOENT, ESTALE, IN_ATTRIB, IN_CREATE, IN_DONT_FOLLOW};

use super::{
    EXACT, Stage, before_each_call, begin, check, check_replica, errors, finish, parsed, shown,
    watched, world,
};
use crate::support::replica::{Entries, Expect, SYNC_END, SYNTHETIC, Verdict, WHOLE, fault};

/// Calls `play` with each pair of places, until the second lies behind the last call.
fn at_each_pair_of_calls(mut play: impl FnMut(u64, u64) -> Verdict<u64>) -> Verdict {
    let mut first = 1;
    loop {
        let mut calls = 0;
        let mut second = first;
        while second <= calls + 1 || second == first {
            calls = play(first, second)?;
            second += 1;
        }
        if first > calls {
            return Ok(());
        }
        first += 1;
    }
}

/// The operation is done before the calls with these numbers; the count of calls so far.
fn exchanged_before(first: u64, second: u64, operation: &str) -> Rc<Cell<u64>> {
    let operation = parsed(operation);
    let calls = Rc::new(Cell::new(0));
    let counted = calls.clone();
    before_each_call(move |call| {
        counted.set(call);
        for _ in [first, second].into_iter().filter(|&at| at == call) {
            with_kernel(|kernel| kernel.run(&operation)).expect("an exchange");
        }
    });
    calls
}

/// The root changes places with a symbolic link to a tree that looks the same. With DONT_FOLLOW nothing outside of the tree
/// is watched, and what isn't watched is told.
pub fn link_in_place_of_the_root() -> Verdict {
    const START: &str = "mkdir /t; mkdir /t/a; mkdir /t/b; mkdir /s; mkdir /s/a; mkdir /s/b";
    at_each_pair_of_calls(|first, second| {
        let mut stage = Stage::new(START);
        let link = Operation::Symlink(b"/s".to_vec(), b"/l".to_vec());
        with_kernel(|kernel| kernel.run(&link)).expect("a link");
        with_kernel(|kernel| kernel.set_fine_walks(true));
        let calls = exchanged_before(first, second, "exchange /t /l");
        let added = stage.tree(IN_CREATE | IN_DONT_FOLLOW, RecursiveFlags::empty());
        set_schedule(None);
        let told = stage.take_all()?;
        let watched = watched();
        let outside = watched.iter().any(|path| path.starts_with(b"/s"));
        let whole = added.is_err() || watched.len() == 3 || !errors(&told).is_empty();
        if outside || !whole {
            let text = format!("exchanged before calls {first} and {second}: {watched:?}");
            return Err(fault("watches-another-directory", text));
        }
        Ok(calls.get())
    })
}

/// A plain watch in a tree, by a path at which a directory and a file change places. Whatever comes of it, no kernel watch
/// is left without an owner.
pub fn watch_of_what_changes_places() -> Verdict {
    for other in ["create /t/f", "mkdir /t/f"] {
        at_each_pair_of_calls(|first, second| {
            let mut stage = Stage::new(&format!("mkdir /t; mkdir /t/x; {other}"));
            let tree = stage.tree(IN_CREATE, RecursiveFlags::empty());
            let tree = tree.expect("a tree");
            let calls = exchanged_before(first, second, "exchange /t/x /t/f");
            let added = stage.watch("/t/x", IN_ATTRIB);
            let calls = calls.get();
            stage.take_all()?;
            set_schedule(None);
            let place = format!("exchanged before calls {first} and {second}: {added:?}");
            let known = matches!(added, Ok(_) | Err(ENOENT | EEXIST));
            check(known && added != Err(ESTALE), "undocumented", &place)?;
            for id in added.into_iter().chain([tree]) {
                let _ = stage.instance.rm_watch(id);
            }
            stage.take_all()?;
            check(watched().is_empty(), "a-watch-of-nobody", &place)?;
            Ok(calls)
        })?;
    }
    Ok(())
}

/// A directory is renamed onto another one, which is empty, and back by somebody else before the kernel tells of the end of
/// that one: the same events as if the two had changed places, but for that end. All later paths are right, also if
/// something else comes to the name that is free again.
pub fn over_another_and_back() -> Verdict {
    for after in ["", "mkdir /t/c; mv /t/c /t/b", "mkdir /t/b", "mv /t/a /t/c"] {
        for steps in 1.. {
            // The end of the other one is told before the renames are read, or later.
            let ends = [true, false].map(|early| over_and_back(after, steps, early));
            if !ends.into_iter().collect::<Verdict<Vec<bool>>>()?[0] {
                break;
            }
        }
    }
    Ok(())
}

/// A directory is renamed onto another one, so many steps, and back. What is left of the first rename is done at once if
/// `early`, and whether there was more to do before the second.
fn there_and_back(one: &str, other: &str, steps: usize, early: bool) -> (Option<Pending>, bool) {
    let mut over = begin(&format!("mv {one} {other}"), 0);
    let mut goes_on = true;
    for _ in 0..steps {
        goes_on = goes_on && with_kernel(|kernel| kernel.step(&mut over)) == Ok(true);
    }
    world(&format!("mv {other} {one}"));
    let mut over = Some(over);
    if early {
        finish(&mut over);
    }
    (over, goes_on)
}

/// The first rename goes so many steps before the other one; whether there are more.
fn over_and_back(after: &str, steps: usize, early: bool) -> Verdict<bool> {
    let mut stage = Stage::new("mkdir /t; mkdir /t/a; mkdir /t/a/s; mkdir /t/b");
    with_kernel(|kernel| kernel.set_late_ends(true));
    let tree = stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
    let (mut over, goes_on) = there_and_back("/t/a", "/t/b", steps, early);
    world(after);
    let moved = after == "mv /t/a /t/c";
    let directory = if moved { "/t/c/s" } else { "/t/a/s" };
    // Once among the events of the renames, once when all of them are taken.
    let mut all = Vec::new();
    for name in ["f", "g"] {
        world(&format!("create {directory}/{name}"));
        all.extend(stage.take_all()?);
        finish(&mut over);
    }
    all.extend(stage.take_all()?);
    let place = format!("{steps} steps, {after}, {early}: {}", shown(&all));
    // Where nobody can tell any more, the tree is repaired.
    let of_files = all
        .iter()
        .filter(|it| !it.is_dir() && !it.flagged(SYNC_END));
    let paths: Vec<_> = of_files.filter_map(|event| event.path.clone()).collect();
    let expected = ["f", "g"].map(|name| format!("{directory}/{name}").into_bytes());
    check(paths == expected, "a-path-that-never-was", &place)?;
    let (known, real) = (stage.directories(tree), watched());
    check(known == real, "watches-another-directory", &place)?;
    Ok(goes_on)
}

/// As before, and the directory that is back is replaced by the one that the other was in: both are gone for who knows the
/// disk from events.
pub fn over_another_and_back_and_gone() -> Verdict {
    let after = Entries::from([(b"/t/a".to_vec(), true)]);
    for early in [true, false] {
        for steps in 1.. {
            let mut stage = Stage::new("mkdir /t");
            with_kernel(|kernel| kernel.set_late_ends(true));
            stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
            world("mkdir /t/a; mkdir /t/p; mkdir /t/p/b");
            let mut told = stage.take_all()?;
            let (mut over, goes_on) = there_and_back("/t/a", "/t/p/b", steps, early);
            // Before the disk is asked who stays.
            let mut moves = Some("mv /t/p /t/a");
            set_schedule(Some(Box::new(move |call| {
                if call.kind == CallKind::Open {
                    moves.take().into_iter().for_each(world);
                }
                None
            })));
            told.extend(stage.take_all()?);
            set_schedule(None);
            finish(&mut over);
            told.extend(stage.take_all()?);
            let place = format!("{steps} steps, {early}: {}", shown(&told));
            check_replica(&told, EXACT, &after)
                .map_err(|it| fault(it.kind, format!("{} {place}", it.text)))?;
            if !goes_on {
                break;
            }
        }
    }
    Ok(())
}

/// In a tree with a limit, a directory at the limit changes places with one from outside, and then its parent comes one level
/// higher, so that it is listed: what is in it is told after itself.
pub fn listed_while_in_doubt() -> Verdict {
    const START: &str = "mkdir /t; mkdir /t/a; mkdir /t/a/b; mkdir /t/a/b/c; mkdir /o; mkdir /o/x";
    let mut stage = Stage::new(START);
    world("create /o/x/f");
    let options = RecursiveOptions {
        max_depth: 3,
        ..RecursiveOptions::default()
    };
    let added = stage
        .instance
        .add_recursive(c"/t", Mask::from_bits_retain(WHOLE), options);
    added.expect("a tree");
    world("exchange /o/x /t/a/b/c; mv /t/a/b /t/b");
    let all = stage.take_all()?;
    let found = all.iter().filter(|event| event.flagged(SYNTHETIC));
    let paths: Vec<&[u8]> = found.filter_map(|event| event.path.as_deref()).collect();
    let expected: [&[u8]; 2] = [b"/t/b/c", b"/t/b/c/f"];
    check(paths == expected, "told-too-early", shown(&all))
}

/// Without /proc a second tree watches by path what the first one watches already, and at that path a directory changes
/// places with one from outside: what is watched by mistake does not stay so.
pub fn watched_by_path() -> Verdict {
    at_each_pair_of_calls(|first, second| {
        let mut stage = Stage::new("mkdir /t; mkdir /t/a; mkdir /o; mkdir /o/b");
        with_kernel(|kernel| kernel.set_proc(false));
        let one = stage.tree(IN_CREATE, RecursiveFlags::empty());
        let calls = exchanged_before(first, second, "exchange /t/a /o/b");
        let other = stage.tree(IN_CREATE, RecursiveFlags::empty());
        let calls = calls.get();
        stage.take_all()?;
        set_schedule(None);
        stage.take_all()?;
        for id in one.into_iter().chain(other) {
            let _ = stage.instance.rm_watch(id);
        }
        stage.take_all()?;
        let place = format!("exchanged before calls {first} and {second}");
        check(watched().is_empty(), "a-watch-of-nobody", &place)?;
        Ok(calls)
    })
}

/// In a tree with a limit, a directory comes deeper while events are lost, and one in it moves on during the repair, at
/// whichever call, from one place that is too deep to another: it is not followed there.
pub fn too_deep_during_a_repair() -> Verdict {
    for at in 1.. {
        let mut stage = Stage::new("mkdir /t; mkdir /t/a; mkdir /t/a/b; mkdir /t/c; mkdir /t/c/d");
        world("create /t/a/b/f");
        let options = RecursiveOptions {
            max_depth: 3,
            ..RecursiveOptions::default()
        };
        let added = stage
            .instance
            .add_recursive(c"/t", Mask::from_bits_retain(WHOLE), options);
        let tree = added.expect("a tree");
        let limits = with_kernel(|kernel| kernel.limits());
        with_kernel(|kernel| kernel.set_limits(Limits { queue: 1, ..limits }));
        world("mv /t/a /t/c/a");
        with_kernel(|kernel| kernel.set_limits(limits));
        let count = Rc::new(Cell::new(0));
        let counted = count.clone();
        before_each_call(move |call| {
            counted.set(call);
            if call == at {
                world("mv /t/c/a/b /t/c/d/x");
            }
        });
        let told = stage.take_all()?;
        set_schedule(None);
        if count.get() < at {
            return Ok(());
        }
        let place = format!("moved before call {at}: {}", shown(&told));
        let watched = stage.directories(tree);
        check(!watched.contains(&b"/t/c/d/x"[..]), "too-deep", place)?;
    }
    Ok(())
}

/// A directory that comes from outside changes places with one in a new tree, and is visible before the tree is watched; then
/// it changes places with another one, of which half is told when the library looks. What leaves in the end was there.
pub fn half_an_exchange_before_the_watch() -> Verdict {
    let expect = Expect {
        lists: true,
        alone: true,
        ..EXACT
    };
    let after = Entries::from([(b"/t/a".to_vec(), true)]);
    at_each_pair_of_calls(|first, second| {
        let mut stage = Stage::new("mkdir /t; mkdir /t/a; mkdir /t/b; mkdir /o; mkdir /o/a");
        let root = with_kernel(|kernel| kernel.inode_at(b"/t"));
        let pending: Rc<RefCell<Option<Pending>>> = Rc::default();
        let (begun, count) = (pending.clone(), Rc::new(Cell::new(0)));
        let counted = count.clone();
        set_schedule(Some(Box::new(move |call| {
            let now = counted.get() + 1;
            counted.set(now);
            let mut begun = begun.borrow_mut();
            if now == first {
                *begun = Some(begin("exchange /o/a /t/b", 1));
            }
            if now == second {
                finish(&mut begun);
                *begun = Some(begin("exchange /t/a /t/b", 3));
            }
            if call.locks.is_some() && call.locks == root {
                finish(&mut begun);
            }
            None
        })));
        stage
            .tree(WHOLE, RecursiveFlags::LIST_EXISTING)
            .expect("a tree");
        let mut told = stage.take_all()?;
        set_schedule(None);
        finish(&mut pending.borrow_mut());
        for (at, operation) in [
            (first, "exchange /o/a /t/b"),
            (second, "exchange /t/a /t/b"),
        ] {
            if count.get() < at {
                world(operation);
            }
        }
        told.extend(stage.take_all()?);
        world("mv /t/b /o/c");
        told.extend(stage.take_all()?);
        check_replica(&told, expect, &after).map_err(|it| {
            let text = format!("{first} {second}: {} {}", it.text, shown(&told));
            fault(it.kind, text)
        })?;
        Ok(count.get())
    })
}
