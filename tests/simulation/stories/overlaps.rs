//! Two trees share directories, and one asks for more than the other.

use std::cell::Cell;
use std::rc::Rc;

use asyncinotify::RecursiveFlags;
use asyncinotify::simulation::set_schedule;
use libc::{IN_CLOSE_WRITE, IN_CREATE};

use super::{Stage, before_each_call, check, shown, world};
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
