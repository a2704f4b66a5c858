//! A rename of which half is queued when something else is due.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use asyncinotify::simulation::{Call, Pending, set_schedule, with_kernel};
use asyncinotify::{Mask, RecursiveFlags, RecursiveOptions};
use libc::{IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO};

use super::{Stage, check, parsed, shown, world};
use crate::support::replica::{Entries, Expect, Replica, SYNC_END, Told, Verdict, WHOLE, fault};

/// A rename goes as far as its first event.
fn half(rename: &str) -> Pending {
    let rename = parsed(rename);
    let mut rename = with_kernel(|kernel| kernel.begin(&rename)).expect("a rename");
    let queued = with_kernel(|kernel| kernel.queued());
    while with_kernel(|kernel| kernel.queued()) == queued {
        if with_kernel(|kernel| kernel.step(&mut rename)) != Ok(true) {
            break;
        }
    }
    rename
}

/// The rest of a rename, if a call waits for the lock of the directory.
fn finish_for(call: &Call, directory: &[u8], rename: &mut Pending) {
    let directory = with_kernel(|kernel| kernel.inode_at(directory));
    if call.locks.is_some() && call.locks == directory {
        while with_kernel(|kernel| kernel.step(rename)) == Ok(true) {}
    }
}

/// An operation that begins before the call `at`, and then goes a step each `gap` calls. It has what it needs to finish where
/// a call waits for one of two directories. Once it is over `then` is done.
fn paced(
    (operation, then): (&str, &'static str),
    (at, gap): (u32, u32),
    locked: [&'static [u8]; 2],
) -> Begun {
    let operation = parsed(operation);
    let mut goes_on = true;
    let begun = Begun::default();
    let (pending, mut now) = (begun.clone(), 0);
    set_schedule(Some(Box::new(move |call| {
        now += 1;
        let mut pending = pending.borrow_mut();
        if now == at {
            *pending = with_kernel(|kernel| kernel.begin(&operation)).ok();
        }
        if let Some(pending) = pending.as_mut() {
            if (now - at) % gap == 0 {
                let _ = with_kernel(|kernel| kernel.step(pending));
            }
            for directory in locked {
                finish_for(call, directory, pending);
            }
            if goes_on && with_kernel(|kernel| kernel.effect(pending)).is_none() {
                goes_on = false;
                world(then);
            }
        }
        None
    })));
    begun
}

/// None as long as it has not begun.
type Begun = Rc<RefCell<Option<Pending>>>;

/// Two trees, of which one can't reach its root any more. That one takes the directory for gone; the other one hears where
/// it has come from.
pub fn gone_for_one_tree() -> Verdict {
    let mut stage = Stage::new("mkdir /t; mkdir /t/a; mkdir /t/a/b; mkdir /t/a/x");
    let whole = stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
    let mask = Mask::from_bits_retain(WHOLE);
    let below = stage
        .instance
        .add_recursive(c"/t/a", mask, RecursiveOptions::default());
    below.expect("a tree");
    world("mv /t/a /t/c; mkdir /t/c/x/d");
    let mut rename = half("mv /t/c/b /t/c/e");
    set_schedule(Some(Box::new(move |call| {
        finish_for(call, b"/t/c", &mut rename);
        None
    })));
    let told = stage.take_all()?;
    set_schedule(None);
    let arrives = |event: &Told| {
        event.watch == whole.as_raw() && event.moved_from.as_deref() == Some(b"/t/c/b")
    };
    check(told.iter().any(arrives), "came-from-nowhere", shown(&told))
}

/// A directory is watched for two trees one after the other, while an entry in it and one of the other kind change places,
/// a step each few calls: the second tree hears of half of it. Both know in the end what is there.
pub fn heard_by_one_tree() -> Verdict {
    let expect = Expect {
        mask: WHOLE,
        lists: false,
        complete: true,
        swaps: true,
        concurrent: true,
        trouble: false,
        max_depth: 0,
        alone: false,
    };
    let paths: [&[u8]; 3] = [b"/t/d", b"/t/d/c", b"/t/f"];
    let after = Entries::from(paths.map(|path| (path.to_vec(), path != b"/t/d/c")));
    for gap in 1..12 {
        for at in 1.. {
            let mut stage = Stage::new("mkdir /t");
            let flags = RecursiveFlags::empty();
            let trees = [1, 2].map(|_| stage.tree(WHOLE, flags).expect("a tree"));
            world("mkdir /t/d; mkdir /t/d/c; create /t/f");
            let begun = paced(("exchange /t/f /t/d/c", ""), (at, gap), [b"/t", b"/t/d"]);
            let mut told = stage.take_all()?;
            set_schedule(None);
            let Some(mut pending) = begun.take() else {
                break;
            };
            while with_kernel(|kernel| kernel.step(&mut pending)) == Ok(true) {}
            told.extend(stage.take_all()?);
            for tree in trees {
                let mut replica = Replica::new(b"/t", expect);
                for event in told.iter().filter(|event| event.watch == tree.as_raw()) {
                    replica.take(event)?;
                }
                replica.at_rest()?;
                replica.compare(&after).map_err(|it| {
                    fault(it.kind, format!("{gap} {at} {} {}", it.text, shown(&told)))
                })?;
            }
        }
    }
    Ok(())
}

/// A repair whose last scan is done, at whichever call the rename begins: its end is not told between the halves, as a
/// program can't sweep what it has put aside.
pub fn no_end_of_a_list_between() -> Verdict {
    for at in 1.. {
        let mut stage = Stage::new("mkdir /t; mkdir /t/a; mkdir /t/b; mkdir /t/a/x");
        let lists = RecursiveFlags::LIST_EXISTING;
        stage.tree(WHOLE, lists).expect("a tree");
        stage.take_all()?;
        world("overflow");
        let count = Rc::new(Cell::new(0));
        let (counted, mut rename) = (count.clone(), None);
        set_schedule(Some(Box::new(move |call| {
            counted.set(counted.get() + 1);
            if counted.get() == at {
                rename = Some(half("mv /t/b /t/c"));
            }
            if let Some(rename) = &mut rename {
                finish_for(call, b"/t", rename);
            }
            None
        })));
        let told = stage.take_all()?;
        set_schedule(None);
        if count.get() < at {
            return Ok(());
        }
        let place = |bit| told.iter().position(|event| event.has(bit));
        if let (Some(from), Some(to)) = (place(IN_MOVED_FROM), place(IN_MOVED_TO)) {
            let ends = told[from..to].iter().any(|event| event.flagged(SYNC_END));
            let text = format!("before call {at}: {}", shown(&told));
            check(!ends, "an-end-between-two-halves", text)?;
        }
    }
    Ok(())
}

/// Half of a rename is queued, and in the directory that is renamed a file and a directory from outside change places: what
/// leaves is not told to leave, as the name is still there.
pub fn exchanged_in_what_is_renamed() -> Verdict {
    let mut stage = Stage::new("mkdir /t; mkdir /t/a; create /t/a/f; mkdir /o; mkdir /o/d");
    let tree = stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
    let mut rename = half("mv /t/a /t/b");
    world("exchange /o/d /t/b/f");
    set_schedule(Some(Box::new(move |call| {
        finish_for(call, b"/t", &mut rename);
        None
    })));
    let told = stage.take_all()?;
    set_schedule(None);
    let of_name = told.iter().filter(|event| {
        let path = event.path.as_deref();
        event.watch == tree.as_raw() && path == Some(b"/t/b/f")
    });
    let comes = of_name.map(|event| event.has(IN_MOVED_TO) && event.is_dir());
    let comes: Vec<bool> = comes.collect();
    check(comes == [true], "left-as-another-kind", shown(&told))
}

/// A file is made, and leaves for a watched directory, in a new directory that the kernel tells of only afterwards.
pub fn made_in_what_is_not_told_of_yet() -> Verdict {
    let mut stage = Stage::new("mkdir /t; mkdir /t/a");
    let flags = RecursiveFlags::empty();
    stage.tree(IN_CLOSE_WRITE, flags).expect("a tree");
    // The tree knows that it hears all once nothing is left to do.
    world("mkdir /t/c");
    stage.take_all()?;
    let mkdir = parsed("mkdir /t/b");
    let mut mkdir = with_kernel(|kernel| kernel.begin(&mkdir)).expect("a mkdir");
    with_kernel(|kernel| kernel.step(&mut mkdir)).expect("a step");
    world("create /t/b/f; mv /t/b/f /t/a/g");
    while with_kernel(|kernel| kernel.step(&mut mkdir)) == Ok(true) {}
    let told = stage.take_all()?;
    let paths: Vec<_> = told.iter().map(|event| event.path.as_deref()).collect();
    check(
        paths == [Some(&b"/t/a/g"[..])],
        "write-not-told",
        shown(&told),
    )
}

/// While a tree is set up, at whichever call, the only subdirectory of a directory is renamed away, which is half done when the
/// links of that directory are counted. What is made in it afterwards is told, or that the tree is whole again.
pub fn renamed_away_while_links_are_counted() -> Verdict {
    for at in 1.. {
        let mut stage = Stage::new("mkdir /t; mkdir /t/a; mkdir /t/a/x; mkdir /t/b");
        let count = Rc::new(Cell::new(0));
        let begun: Rc<RefCell<Option<Pending>>> = Rc::default();
        let (counted, pending) = (count.clone(), begun.clone());
        set_schedule(Some(Box::new(move |call| {
            counted.set(counted.get() + 1);
            let mut pending = pending.borrow_mut();
            if counted.get() == at {
                let rename = parsed("mv /t/a/x /t/b/y");
                let mut rename = with_kernel(|kernel| kernel.begin(&rename)).expect("a rename");
                with_kernel(|kernel| kernel.step(&mut rename)).expect("a step");
                *pending = Some(rename);
            }
            if let Some(rename) = pending.as_mut() {
                finish_for(call, b"/t/a", rename);
                finish_for(call, b"/t/b", rename);
            }
            None
        })));
        stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
        set_schedule(None);
        let Some(mut rename) = begun.take() else {
            return Ok(());
        };
        world("create /t/b/y/f");
        while with_kernel(|kernel| kernel.step(&mut rename)) == Ok(true) {}
        let told = stage.take_all()?;
        // By its old path where the kernel has told of it before the rename.
        let is_told = |event: &Told| event.name.as_deref() == Some(b"f");
        let is_whole = told.iter().any(|event| event.flagged(SYNC_END));
        let text = format!("before call {at}: {}", shown(&told));
        check(is_whole || told.iter().any(is_told), "missed", text)?;
    }
    Ok(())
}

/// A symbolic link and a file in a new directory change places, a step each few calls. Whatever of that is heard, the file's
/// content is told of: where it was, or where it is now.
pub fn exchanged_before_it_is_told_of() -> Verdict {
    for gap in 1..12 {
        for at in 1.. {
            let mut stage = Stage::new("mkdir /t; symlink /t/e");
            let mask = WHOLE | IN_CLOSE_WRITE;
            stage.tree(mask, RecursiveFlags::empty()).expect("a tree");
            world("mkdir /t/d; create /t/d/f");
            let begun = paced(("exchange /t/e /t/d/f", ""), (at, gap), [b"/t", b"/t/d"]);
            let mut told = stage.take_all()?;
            set_schedule(None);
            let Some(mut pending) = begun.take() else {
                break;
            };
            while with_kernel(|kernel| kernel.step(&mut pending)) == Ok(true) {}
            told.extend(stage.take_all()?);
            let path = |event: &Told, path: &[u8]| event.path.as_deref() == Some(path);
            let new = |event: &Told| event.has(IN_MOVED_TO) && event.moved_from.is_none();
            let was_told = told.iter().any(|event| {
                let written = event.has(IN_CLOSE_WRITE);
                written || (new(event) && path(event, b"/t/e"))
            });
            let place = format!("{gap} {at} {}", shown(&told));
            check(was_told, "write-not-told", place)?;
        }
    }
    Ok(())
}

/// A directory and a file that was just written, in a new directory, change places, a step each few calls, and the file leaves
/// its new name at once. Whatever of that is heard, its content is told of.
pub fn exchanged_and_renamed_before_it_is_told_of() -> Verdict {
    for gap in 1..12 {
        for at in 1.. {
            let mut stage = Stage::new("mkdir /t");
            let mask = WHOLE | IN_CLOSE_WRITE;
            stage.tree(mask, RecursiveFlags::empty()).expect("a tree");
            world("mkdir /t/d; mkdir /t/d/b; create /t/d/f");
            let steps = ("exchange /t/d/f /t/d/b", "mv /t/d/b /t/d/g");
            let begun = paced(steps, (at, gap), [b"/t", b"/t/d"]);
            let mut told = stage.take_all()?;
            set_schedule(None);
            let Some(mut pending) = begun.take() else {
                break;
            };
            while with_kernel(|kernel| kernel.step(&mut pending)) == Ok(true) {}
            told.extend(stage.take_all()?);
            let new = |event: &Told| {
                event.has(IN_MOVED_TO) && !event.is_dir() && event.moved_from.is_none()
            };
            let was_told = told
                .iter()
                .any(|event| event.has(IN_CLOSE_WRITE) || new(event));
            let place = format!("{gap} {at} {}", shown(&told));
            check(was_told, "write-not-told", place)?;
        }
    }
    Ok(())
}
