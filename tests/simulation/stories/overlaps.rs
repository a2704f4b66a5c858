//! Two trees share directories, and one asks for more than the other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use asyncinotify::simulation::{CallKind, set_schedule, starve, with_kernel};
use asyncinotify::{RecursiveFlags, WatchId};
use libc::{
    EIO, ENOMEM, IN_ATTRIB, IN_CLOSE, IN_CLOSE_WRITE, IN_CREATE, IN_IGNORED, IN_ONESHOT, IN_OPEN,
};

use super::{Stage, WHOLE, before_each_call, begin, check, fail_call, finish, shown, world};
use crate::support::replica::{Told, Verdict};

/// A file is written in a new directory, before each of the calls that watch that directory for one tree and the other.
/// Each tree hears of the file once, and of its being written, whichever watch comes first.
pub fn what_only_one_asks_for() -> Verdict {
    let masks = [IN_CREATE, IN_CREATE | IN_CLOSE_WRITE];
    for masks in [masks, [masks[1], masks[0]]] {
        for at in 1.. {
            let mut stage = Stage::new("mkdir /t");
            let trees =
                masks.map(|mask| stage.tree(mask, RecursiveFlags::empty()).expect("a tree"));
            world("mkdir /t/a");
            let count = Rc::new(Cell::new(0));
            let counted = count.clone();
            before_each_call(move |call| {
                counted.set(call);
                if call == at {
                    world("create /t/a/f");
                }
            });
            let told = stage.take_all()?;
            set_schedule(None);
            if count.get() < at {
                break;
            }
            for (tree, mask) in trees.into_iter().zip(masks) {
                for bit in [IN_CREATE, IN_CLOSE_WRITE] {
                    let of_file = |event: &&Told| {
                        event.watch == tree.as_raw()
                            && event.mask & bit != 0
                            && event.path.as_deref() == Some(b"/t/a/f")
                    };
                    let times = told.iter().filter(of_file).count();
                    let place = format!("written before call {at}: {}", shown(&told));
                    check(times == usize::from(mask & bit != 0), "not-once", place)?;
                }
            }
        }
    }
    Ok(())
}

/// A second tree can't watch a directory that it has opened, each of its calls in turn failing. The first tree watches that
/// directory, and is not told that the library has read it.
pub fn own_reading_of_what_cannot_be_watched() -> Verdict {
    for failing in 1.. {
        let mut stage = Stage::new("mkdir /t; mkdir /t/a");
        let reading = IN_OPEN | IN_CLOSE;
        stage
            .tree(reading, RecursiveFlags::empty())
            .expect("a tree");
        let watched = Rc::new(Cell::new(0));
        let counted = watched.clone();
        set_schedule(Some(Box::new(move |call| {
            counted.set(counted.get() + u32::from(call.kind == CallKind::AddWatch));
            (counted.get() == failing && call.kind == CallKind::AddWatch).then_some(ENOMEM)
        })));
        let _ = stage.tree(IN_CREATE, RecursiveFlags::BACKGROUND);
        let told = stage.take_all()?;
        set_schedule(None);
        let read = told.iter().any(|event| event.mask & reading != 0);
        let place = format!("watch {failing} fails: {}", shown(&told));
        check(!read, "own-reading", place)?;
        if watched.get() < failing {
            break;
        }
    }
    Ok(())
}

/// A directory is open to be listed, leaves the tree, comes back by another name, and can't be watched. It is closed under
/// that name, which is not told.
pub fn own_reading_of_what_comes_back() -> Verdict {
    let mut stage = Stage::new("mkdir /t; mkdir /o");
    let reading = IN_OPEN | IN_CLOSE;
    stage
        .tree(reading, RecursiveFlags::empty())
        .expect("a tree");
    world("mkdir /t/a");
    let mut failed = false;
    set_schedule(Some(Box::new(move |call| {
        if failed || call.kind != CallKind::AddWatch {
            return None;
        }
        failed = true;
        world("mv /t/a /o/a; mv /o/a /t/b");
        Some(ENOMEM)
    })));
    let told = stage.take_all()?;
    set_schedule(None);
    let read = told.iter().any(|event| event.mask & reading != 0);
    check(!read, "own-reading", shown(&told))
}

/// A directory can't be listed, leaves the tree, and is in another place of it before that is told. It is closed there, which
/// is not told.
pub fn own_reading_of_what_is_elsewhere() -> Verdict {
    let mut stage = Stage::new("mkdir /t; mkdir /t/x; mkdir /t/y; mkdir /o");
    let reading = IN_OPEN | IN_CLOSE;
    stage
        .tree(reading, RecursiveFlags::empty())
        .expect("a tree");
    world("mkdir /t/x/a");
    let comes = Rc::new(RefCell::new(None));
    let begun = comes.clone();
    set_schedule(Some(Box::new(move |call| {
        if begun.borrow().is_some() || call.kind != CallKind::List {
            return None;
        }
        world("mv /t/x/a /o/a");
        *begun.borrow_mut() = Some(begin("mv /o/a /t/y/b", 1));
        Some(EIO)
    })));
    let mut told = stage.take_all()?;
    set_schedule(None);
    finish(&mut comes.borrow_mut());
    told.extend(stage.take_all()?);
    let read = told.iter().any(|event| event.mask & reading != 0);
    check(!read, "own-reading", shown(&told))
}

/// Without /proc, each call in turn fails with which a tree is watched. A plain watch in it hears what it has asked for.
pub fn plain_watch_where_a_tree_fails() -> Verdict {
    play_plain_watch_where_a_tree_fails(IN_CREATE, false)?;
    // The kernel must not end what the tree goes on with, nor with what only the tree has asked for.
    play_plain_watch_where_a_tree_fails(IN_CREATE | IN_ONESHOT, true)
}

fn play_plain_watch_where_a_tree_fails(mask: u32, proc: bool) -> Verdict {
    for failing in 1.. {
        let mut stage = Stage::new("mkdir /t; mkdir /t/a");
        with_kernel(|kernel| kernel.set_proc(proc));
        let plain = stage.watch("/t/a", mask).expect("a watch");
        let count = fail_call(failing, ENOMEM);
        let tree = stage.tree(IN_CLOSE_WRITE | IN_ATTRIB, RecursiveFlags::BACKGROUND);
        while stage.instance.has_work() && stage.instance.get_events(64, &mut |_| ()).is_err() {}
        set_schedule(None);
        stage.take_all()?;
        let is_whole = tree.is_ok_and(|id| stage.directories(id).len() == 2);
        world("chmod 7 /t/a; create /t/a/f; create /t/a/g; chmod 7 /t/a/g");
        let told = stage.take_all()?;
        let creates = told.iter().filter(|event| event.watch == plain.as_raw());
        let oneshot = mask & IN_ONESHOT != 0;
        let asked = creates.clone().all(|event| event.mask == IN_CREATE);
        let all = creates.count() == if oneshot { 1 } else { 2 };
        let heard = told
            .iter()
            .any(|event| event.has(IN_ATTRIB) && event.path.as_deref() == Some(b"/t/a/g"));
        let place = format!("call {failing} fails: {}", shown(&told));
        check(asked, "not-asked-for", &place)?;
        check(all, "not-told", &place)?;
        check(heard || !is_whole, "not-heard", &place)?;
        if count.get() < failing {
            break;
        }
    }
    Ok(())
}

/// A watch outside of the tree is asked for again, for one event only, and each of the calls for that fails. Then its
/// directory comes to the tree, which goes on with the kernel's watch when that one event is told.
pub fn second_mask_that_fails() -> Verdict {
    for failing in 1.. {
        let mut stage = Stage::new("mkdir /t; mkdir /o; mkdir /o/a");
        let tree = stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
        let plain = stage.watch("/o/a", IN_CREATE).expect("a watch");
        let count = fail_call(failing, ENOMEM);
        let asked = stage.watch("/o/a", IN_CLOSE | IN_ONESHOT);
        set_schedule(None);
        world("mv /o/a /t/a");
        stage.take_all()?;
        world("create /t/a/f; create /t/a/g");
        let told = stage.take_all()?;
        let place = format!("call {failing} fails: {asked:?} {}", shown(&told));
        let creates = |watch: u64| {
            let is_create = |event: &&Told| event.watch == watch && event.has(IN_CREATE);
            told.iter().filter(is_create).count()
        };
        check(creates(tree.as_raw()) == 2, "not-once", &place)?;
        // A watch that could not be changed is as before.
        let of_plain = if asked.is_ok() { 0 } else { 2 };
        check(creates(plain.as_raw()) == of_plain, "not-told", &place)?;
        let closed = told
            .iter()
            .filter(|event| event.watch == plain.as_raw() && event.has(IN_CLOSE));
        check(
            closed.count() == usize::from(asked.is_ok()),
            "not-told",
            &place,
        )?;
        if count.get() < failing {
            break;
        }
    }
    Ok(())
}

/// A watch of a tree's root is removed and asked for again at once, while memory is short. What comes is a new watch, which
/// hears, or none.
pub fn again_while_memory_is_short() -> Verdict {
    for refused in 0..40 {
        let mut stage = Stage::new("mkdir /t");
        stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
        let first = stage.watch("/t", IN_CREATE).expect("a watch");
        // Its end is behind this in the queue.
        world("create /t/f");
        stage.instance.rm_watch(first).expect("it is there");
        starve(refused);
        let again = stage.watch("/t", IN_CREATE);
        starve(0);
        world("create /t/g");
        let told = stage.take_all()?;
        let of = |id: WatchId| told.iter().filter(move |event| event.watch == id.as_raw());
        let place = format!("{refused} refused: {again:?} {}", shown(&told));
        let ends = of(first).map(|event| event.has(IN_IGNORED));
        check(ends.eq([false, true]), "not-ended", &place)?;
        if let Ok(id) = again {
            let hears_later = of(id).map(|event| event.path.as_deref() == Some(b"/t/g"));
            check(hears_later.eq([true]), "not-told", &place)?;
        }
    }
    Ok(())
}
