//! Two trees share directories, and one asks for more than the other.

use std::cell::Cell;
use std::rc::Rc;

use asyncinotify::simulation::{set_schedule, with_kernel};
use asyncinotify::{Mask, RecursiveFlags, RecursiveOptions};
use libc::{IN_CLOSE_WRITE, IN_CREATE};

use super::{Stage, before_each_call, check, parsed, shown, world};
use crate::support::replica::{Told, Verdict, WHOLE};

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

/// Half of a rename in two trees, of which one can't reach its root any more. That one takes the directory for gone; the
/// other one hears where it has come from.
pub fn gone_for_one_tree() -> Verdict {
    let mut stage = Stage::new("mkdir /t; mkdir /t/a; mkdir /t/a/b; mkdir /t/a/x");
    let whole = stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
    let mask = Mask::from_bits_retain(WHOLE);
    let below = stage
        .instance
        .add_recursive(c"/t/a", mask, RecursiveOptions::default());
    below.expect("a tree");
    world("mv /t/a /t/c; mkdir /t/c/x/d");
    let rename = parsed("mv /t/c/b /t/c/e");
    let mut rename = with_kernel(|kernel| kernel.begin(&rename)).expect("a rename");
    let queued = with_kernel(|kernel| kernel.queued());
    while with_kernel(|kernel| kernel.queued()) == queued {
        with_kernel(|kernel| kernel.step(&mut rename)).expect("a step");
    }
    let locked = with_kernel(|kernel| kernel.inode_at(b"/t/c"));
    set_schedule(Some(Box::new(move |call| {
        if call.locks.is_some() && call.locks == locked {
            while with_kernel(|kernel| kernel.step(&mut rename)) == Ok(true) {}
        }
        None
    })));
    let told = stage.take_all()?;
    set_schedule(None);
    let arrives = |event: &Told| {
        event.watch == whole.as_raw() && event.moved_from.as_deref() == Some(b"/t/c/b")
    };
    check(told.iter().any(arrives), "came-from-nowhere", shown(&told))
}
