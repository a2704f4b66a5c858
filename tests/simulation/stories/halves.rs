//! A rename of which half is queued when something else is due.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use asyncinotify::simulation::{Call, CallKind, Pending, set_schedule, with_kernel};
use asyncinotify::{Mask, RecursiveFlags, RecursiveOptions};
use libc::{ENOMEM, IN_CLOSE_WRITE, IN_ISDIR, IN_MOVED_FROM, IN_MOVED_TO, IN_OPEN};

use super::{
    EXACT, Stage, before_each_call, begin, check, check_replica, finish, parsed, shown, world,
};
use crate::support::replica::{Entries, SYNC_END, SYNTHETIC, Told, Verdict, WHOLE, fault};

/// A rename goes as far as its first event.
fn half(rename: &str) -> Pending {
    let mut rename = begin(rename, 0);
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

/// Plays an operation beside the library, from each call on and at each pace, in a stage that is made anew each time; then
/// looks at all that was told.
fn at_each_pace<T>(
    steps: (&str, &'static str),
    locked: [&'static [u8]; 2],
    set: impl Fn() -> (Stage, T),
    check: impl Fn(&T, &[Told]) -> Verdict,
) -> Verdict {
    for gap in 1..12 {
        for at in 1.. {
            let (mut stage, trees) = set();
            let begun = paced(steps, (at, gap), locked);
            let mut told = stage.take_all()?;
            set_schedule(None);
            if begun.borrow().is_none() {
                break;
            }
            finish(&mut begun.borrow_mut());
            told.extend(stage.take_all()?);
            let place = || format!("from call {at} on, each {gap}: {}", shown(&told));
            check(&trees, &told)
                .map_err(|it| fault(it.kind, format!("{} {}", it.text, place())))?;
        }
    }
    Ok(())
}

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
    let paths: [&[u8]; 3] = [b"/t/d", b"/t/d/c", b"/t/f"];
    let after = Entries::from(paths.map(|path| (path.to_vec(), path != b"/t/d/c")));
    let set = || {
        let mut stage = Stage::new("mkdir /t");
        let flags = RecursiveFlags::empty();
        let trees = [1, 2].map(|_| stage.tree(WHOLE, flags).expect("a tree"));
        world("mkdir /t/d; mkdir /t/d/c; create /t/f");
        (stage, trees)
    };
    let steps = ("exchange /t/f /t/d/c", "");
    at_each_pace(steps, [b"/t", b"/t/d"], set, |trees, told| {
        trees.iter().try_for_each(|tree| {
            let of_tree = told.iter().filter(|event| event.watch == tree.as_raw());
            check_replica(of_tree, EXACT, &after)
        })
    })
}

/// The first event that is heard of a directory is its coming to its name, perhaps over another one. When it leaves that name
/// events are lost, and each open(2) in turn fails that could tell whether another one has stayed there. Nothing is told to be
/// in the directory at its old place.
pub fn came_over_another_and_overflow() -> Verdict {
    for at in 1.. {
        for failing in 1.. {
            let mut stage = Stage::new("mkdir /t; mkdir /o; mkdir /o/a");
            let came = Rc::new(Cell::new(false));
            let comes = came.clone();
            before_each_call(move |call| {
                if call == at {
                    comes.set(true);
                    world("mv /o/a /t/a");
                }
            });
            stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
            set_schedule(None);
            if !came.get() {
                return Ok(());
            }
            // By the time that the disk is asked a file has the name.
            world("mv /t/a /t/b; create /t/b/f; overflow; create /t/a");
            let opened = Rc::new(Cell::new(0));
            let counted = opened.clone();
            set_schedule(Some(Box::new(move |call| {
                counted.set(counted.get() + u64::from(call.kind == CallKind::Open));
                (counted.get() == failing && call.kind == CallKind::Open).then_some(ENOMEM)
            })));
            let told = stage.take_all()?;
            set_schedule(None);
            let is_below = |event: &Told| {
                let path = event.path.as_deref();
                path.is_some_and(|path| path.starts_with(b"/t/a/"))
            };
            let place = format!("comes before call {at}, open {failing} fails:");
            let text = format!("{place} {}", shown(&told));
            check(!told.iter().any(is_below), "a-path-that-never-was", text)?;
            if opened.get() < failing {
                break;
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

/// Half of a rename is queued, a directory leaves the one that is renamed, and a file comes to its name: the two have not
/// changed places, so both are told.
pub fn another_comes_into_what_is_renamed() -> Verdict {
    let mut stage = Stage::new("mkdir /t; mkdir /t/a; mkdir /t/a/f; mkdir /o; create /o/g");
    stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
    let mut rename = half("mv /t/a /t/b");
    world("mv /t/b/f /o/f; mv /o/g /t/b/f");
    set_schedule(Some(Box::new(move |call| {
        finish_for(call, b"/t", &mut rename);
        None
    })));
    let told = stage.take_all()?;
    set_schedule(None);
    let at_name = |event: &&Told| event.path.as_deref() == Some(b"/t/b/f");
    let kinds = told.iter().filter(at_name).map(|event| event.mask);
    let expected = [IN_MOVED_FROM | IN_ISDIR, IN_MOVED_TO];
    check(kinds.eq(expected), "missed", shown(&told))
}

/// Half of a rename is queued, a directory comes into the one that is renamed, and something happens where it came from. It is
/// the same directory: what is in it is not told anew.
pub fn moved_into_what_is_renamed() -> Verdict {
    let mut stage = Stage::new("mkdir /t; mkdir /t/a; mkdir /t/p; mkdir /t/p/x; create /t/p/x/g");
    stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
    let mut rename = half("mv /t/a /t/b");
    world("mv /t/p/x /t/b/x; create /t/p/f");
    set_schedule(Some(Box::new(move |call| {
        finish_for(call, b"/t", &mut rename);
        None
    })));
    let told = stage.take_all()?;
    set_schedule(None);
    let anew = told.iter().any(|event| event.flagged(SYNTHETIC));
    check(!anew, "told-twice", shown(&told))
}

/// A file is made, and leaves for a watched directory, in a new directory that the kernel tells of only afterwards.
pub fn made_in_what_is_not_told_of_yet() -> Verdict {
    let mut stage = Stage::new("mkdir /t; mkdir /t/a");
    let flags = RecursiveFlags::empty();
    stage.tree(IN_CLOSE_WRITE, flags).expect("a tree");
    // The tree knows that it hears all once nothing is left to do.
    world("mkdir /t/c");
    stage.take_all()?;
    let mkdir = begin("mkdir /t/b", 1);
    world("create /t/b/f; mv /t/b/f /t/a/g");
    finish(&mut Some(mkdir));
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
                *pending = Some(begin("mv /t/a/x /t/b/y", 1));
            }
            if let Some(rename) = pending.as_mut() {
                finish_for(call, b"/t/a", rename);
                finish_for(call, b"/t/b", rename);
            }
            None
        })));
        stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
        set_schedule(None);
        if begun.borrow().is_none() {
            return Ok(());
        }
        world("create /t/b/y/f");
        finish(&mut begun.borrow_mut());
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
    let set = || written_in_a_new_directory("mkdir /t; symlink /t/e", "create /t/d/f");
    let steps = ("exchange /t/e /t/d/f", "");
    at_each_pace(steps, [b"/t", b"/t/d"], set, |(), told| {
        let new = |event: &Told| event.has(IN_MOVED_TO) && event.moved_from.is_none();
        let was_told = told.iter().any(|event| {
            let at_new_name = new(event) && event.path.as_deref() == Some(b"/t/e");
            event.has(IN_CLOSE_WRITE) || at_new_name
        });
        check(was_told, "write-not-told", "")
    })
}

/// A directory and a file that was just written, in a new directory, change places, a step each few calls, and the file leaves
/// its new name at once. Whatever of that is heard, its content is told of.
pub fn exchanged_and_renamed_before_it_is_told_of() -> Verdict {
    let set = || written_in_a_new_directory("mkdir /t", "mkdir /t/d/b; create /t/d/f");
    let steps = ("exchange /t/d/f /t/d/b", "mv /t/d/b /t/d/g");
    at_each_pace(steps, [b"/t", b"/t/d"], set, |(), told| {
        let new = |event: &Told| event.has(IN_MOVED_TO) && event.moved_from.is_none();
        let was_told = told.iter().any(|event| {
            let of_file = new(event) && !event.is_dir();
            event.has(IN_CLOSE_WRITE) || of_file
        });
        check(was_told, "write-not-told", "")
    })
}

/// During a repair a file is written, and changes places with a directory, a step each few calls. It is named in the list,
/// where it was or where it is, whichever of the two is looked at first.
pub fn written_and_exchanged_during_a_repair() -> Verdict {
    const PAIRS: [[&str; 2]; 2] = [["/t/a/d", "/t/b/f"], ["/t/b/d", "/t/a/f"]];
    for [directory, file] in PAIRS {
        let set = || {
            let mut stage = Stage::new("mkdir /t; mkdir /t/a; mkdir /t/b; mkdir /o");
            world(&format!("mkdir {directory}; create {file}"));
            // The library looks oftener what is queued, as it is not to tell of its own reading.
            stage.watch("/o", IN_OPEN).expect("a watch");
            let lists = RecursiveFlags::LIST_EXISTING;
            stage.tree(IN_CLOSE_WRITE, lists).expect("a tree");
            stage.take_all().expect("a list");
            world(&format!("overflow; write {file}"));
            (stage, ())
        };
        let steps = format!("exchange {directory} {file}");
        at_each_pace((&steps, ""), [b"/t/a", b"/t/b"], set, |(), told| {
            let names = [directory.as_bytes(), file.as_bytes()];
            let is_named = |event: &Told| {
                let path = event.path.as_deref();
                event.has(IN_CLOSE_WRITE) && path.is_some_and(|path| names.contains(&path))
            };
            check(told.iter().any(is_named), "write-not-told", &steps)
        })?;
    }
    Ok(())
}

fn written_in_a_new_directory(before: &str, inside: &str) -> (Stage, ()) {
    let mut stage = Stage::new(before);
    let mask = WHOLE | IN_CLOSE_WRITE;
    stage.tree(mask, RecursiveFlags::empty()).expect("a tree");
    world("mkdir /t/d");
    world(inside);
    (stage, ())
}
