//! What an ERROR has named is told to be watched again, whatever turns out to be there.

use asyncinotify::RecursiveFlags;
use asyncinotify::simulation::{CallKind, Limits, set_schedule, with_kernel};
use libc::{EIO, ENOMEM};
use std::cell::Cell;
use std::rc::Rc;

use super::{Stage, WHOLE, check, parsed, shown, told, world};
use crate::support::replica::{ERROR, HEALED, Verdict};

/// In a repair a directory can't be listed, and at the next try it is one that was known elsewhere.
pub fn where_another_was() -> Verdict {
    // What keeps the repair going lies on both sides of the directory.
    const START: &str = "mkdir /t; mkdir /t/a; mkdir /t/a/c; mkdir /t/a/c/d; mkdir /t/b; mkdir /t/b/y; mkdir /t/x; \
                         mkdir /t/z; mkdir /t/z/c; mkdir /t/z/c/d";
    /// How many calls later something happens in the directory above.
    const LATER: u64 = 40;
    let mut failed = 1;
    loop {
        let calls = Rc::new(Cell::new(0));
        for later in 1..LATER {
            let mut stage = Stage::new(START);
            let id = stage
                .tree(WHOLE, RecursiveFlags::LIST_EXISTING)
                .expect("a tree");
            stage.take_all()?;
            world("overflow; rmdir /t/x; mv /t/b/y /t/x");
            let (counted, cure) = (calls.clone(), parsed("create /t/f"));
            counted.set(0);
            set_schedule(Some(Box::new(move |call| {
                counted.set(counted.get() + 1);
                if counted.get() == failed + later {
                    with_kernel(|kernel| kernel.run(&cure)).expect("a file");
                }
                let can_fail = matches!(call.kind, CallKind::Open | CallKind::AddWatch);
                (can_fail && counted.get() == failed).then_some(EIO)
            })));
            let mut told = stage.take_all()?;
            set_schedule(None);
            world("create /t/g");
            told.extend(stage.take_all()?);
            let watched = stage.directories(id);
            let is_due = |path: &Vec<u8>| {
                let mut of_it = told.iter().filter(|it| it.path.as_ref() == Some(path));
                let last = of_it.rfind(|it| it.flagged(ERROR | HEALED));
                last.is_some_and(|it| it.flagged(ERROR))
            };
            check(
                !watched.iter().any(is_due),
                "not-healed",
                format!("call {failed} fails, cured {later} later:{}", shown(&told)),
            )?;
        }
        if failed > calls.get() {
            return Ok(());
        }
        failed += 1;
    }
}

/// Two directories are listed together, and the queue can't be read then; before it is read once more the last of them can't
/// be listed any more. What was read of it is not taken for what is in the other one.
pub fn beside_another_that_is_listed() -> Verdict {
    for at in 1.. {
        let mut stage =
            Stage::new("mkdir /t; mkdir /t/a; mkdir /t/b; create /t/a/x; create /t/b/y");
        let flags = RecursiveFlags::LIST_EXISTING | RecursiveFlags::BACKGROUND;
        stage.tree(WHOLE, flags).expect("a tree");
        let count = Rc::new(Cell::new(0));
        let (counted, mut fails) = (count.clone(), false);
        set_schedule(Some(Box::new(move |call| {
            counted.set(counted.get() + 1);
            if counted.get() == at && call.kind == CallKind::Read {
                fails = true;
                return Some(ENOMEM);
            }
            let has_failed = call.kind == CallKind::List && std::mem::take(&mut fails);
            has_failed.then(|| {
                // There is more to be read of the other one.
                world("create /t/a/z; create /t/b/z");
                EIO
            })
        })));
        let mut all = Vec::new();
        // The call in which the queue can't be read fails, and may be repeated.
        let _ = stage
            .instance
            .get_events(64, &mut |event| all.push(told(event)));
        all.extend(stage.take_all()?);
        set_schedule(None);
        if count.get() < at {
            return Ok(());
        }
        let strange = |path: &[u8]| [b"/t/a/y", b"/t/b/x"].iter().any(|it| *it == path);
        let mut paths = all.iter().filter_map(|event| event.path.as_deref());
        let text = format!("before call {at}: {}", shown(&all));
        check(!paths.any(strange), "a-path-that-never-was", text)?;
    }
    Ok(())
}

/// Directories that met a full limit wait for room, and by then some of them are closed: that there is room again shows
/// with the first that is tried, and no other waits for the next time.
pub fn although_some_are_closed() -> Verdict {
    let mut stage = Stage::new("mkdir /t; mkdir /t/p");
    let id = stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
    stage.take_all()?;
    let limits = with_kernel(|kernel| kernel.limits());
    let watches = with_kernel(|kernel| kernel.watches()).len();
    with_kernel(|kernel| kernel.set_limits(Limits { watches, ..limits }));
    world("mkdir /t/a; mkdir /t/p/a; mkdir /t/p/b; mkdir /t/p/c; mkdir /t/p/d; mkdir /t/b");
    stage.take_all()?;
    world("chmod 0 /t/p");
    stage.take_all()?;
    with_kernel(|kernel| kernel.set_limits(limits));
    let due = stage.instance.retry_due().expect("a time");
    with_kernel(|kernel| kernel.pass(due.saturating_sub(kernel.now())));
    let mut told = stage.take();
    told.extend(stage.take_all()?);
    let watched = stage.directories(id);
    let is_watched = |path: &[u8]| watched.contains(path);
    let both = is_watched(b"/t/a") && is_watched(b"/t/b");
    check(both, "waits-for-what-is-there", shown(&told))
}
