//! What must be so when the library is at rest, and when all watches are gone.

use std::collections::BTreeSet;

use asyncinotify::WatchId;
use asyncinotify::simulation::{Instance, with_kernel};

use crate::disk::Disk;
use crate::run::Shared;
use crate::support::replica::{Verdict, fault};

/// The descriptor of the instance.
const OPEN: usize = 1;

/// Everything that must be so when the library is at rest.
pub fn at_rest(instance: &Instance, stage: &Shared) -> Verdict {
    let mut stage = stage.borrow_mut();
    stage.catch_up();
    let (mut real, mut believed) = (Vec::new(), BTreeSet::new());
    for judge in stage
        .judges
        .iter_mut()
        .filter(|judge| judge.watch != 0 && !judge.removed)
    {
        let directories = match judge.replica.ended {
            true => Vec::new(),
            false => instance
                .directories(WatchId::from_raw(judge.watch))
                .map_err(|error| fault("directories", error))?,
        };
        let directories: Vec<Vec<u8>> = directories
            .into_iter()
            .map(|path| path.into_bytes())
            .collect();
        judge.at_rest(&directories)?;
        let known = match judge.is_there() {
            true => judge.real(&directories),
            false => Vec::new(),
        };
        if judge.lost {
            // Where entries have changed places, or one has gone there and back, only a look can tell which is which.
            believed.extend(known);
        } else {
            real.extend(known);
        }
    }
    let disk = stage.disk.clone();
    for plain in &mut stage.plains {
        real.extend(plain.at_rest(&disk)?);
    }
    let mut held: Vec<Vec<u8>> = with_kernel(|kernel| kernel.watches())
        .into_iter()
        .map(|watch| watch.2)
        .collect();
    real.extend(held.iter().filter(|path| believed.contains(*path)).cloned());
    real.sort();
    real.dedup();
    if stage.active().any(|judge| judge.lost) {
        // What a tree whose root can't be reached still watches is listed when it has been repaired.
        held.retain(|path| real.contains(path));
    }
    held.sort();
    if real != held {
        let show = |paths: &[Vec<u8>]| {
            paths
                .iter()
                .map(|path| path.escape_ascii().to_string())
                .collect::<Vec<_>>()
        };
        let kind = if held.len() > real.len() {
            "a-watch-of-nobody"
        } else {
            "no-watch-in-the-kernel"
        };
        return Err(fault(
            kind,
            format!("watched {:?}, kernel {:?}", show(&real), show(&held)),
        ));
    }
    let open = with_kernel(|kernel| kernel.open_descriptors());
    if open > OPEN {
        return Err(fault("a-descriptor-left-open", open - OPEN));
    }
    Ok(())
}

/// After the last watch was removed.
pub fn nothing_left(stage: &Shared) -> Verdict {
    let stage = stage.borrow();
    if stage
        .judges
        .iter()
        .any(|judge| judge.watch != 0 && !judge.replica.ended)
    {
        return Err(fault("no-ignored", "after rm_watch"));
    }
    let (watches, open) = with_kernel(|kernel| (kernel.watches(), kernel.open_descriptors()));
    if !watches.is_empty() || open > OPEN {
        return Err(fault(
            "left-behind",
            format!("{watches:?}, {open} descriptors"),
        ));
    }
    Ok(())
}

/// Whether the model and the simulated kernel agree on what is there.
pub fn compare_disks(disk: &Disk) -> Verdict {
    let kernel = with_kernel(|kernel| kernel.tree(b"/"));
    let model: Vec<&Vec<u8>> = disk.nodes.keys().collect();
    let simulated: Vec<&Vec<u8>> = kernel.keys().collect();
    if model != simulated {
        return Err(fault(
            "model-and-kernel-differ",
            format!("{model:?} {simulated:?}"),
        ));
    }
    Ok(())
}
