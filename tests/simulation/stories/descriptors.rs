//! No descriptor is free, or too few: what can't be found out is said, and nothing untrue is told.

use asyncinotify::RecursiveFlags;
use libc::{EMFILE, IN_CREATE, IN_DELETE, IN_MOVED_FROM, IN_MOVED_TO};

use super::{Stage, WHOLE, check, errors, free_descriptors, has_ended, shown, world};
use crate::support::replica::{Told, Verdict};

/// More than the library ever needs for so small a tree.
const ENOUGH: usize = 8;

/// Two files change places. By the four events that the kernel tells of it one of them is gone; it is told again, or an
/// ERROR says that it can't be found out.
pub fn exchange() -> Verdict {
    for free in 0..ENOUGH {
        let mut stage = Stage::new("mkdir /t; create /t/a; create /t/b");
        stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
        free_descriptors(free);
        world("exchange /t/a /t/b");
        let told = stage.take_all()?;
        let is_there = |path: &[u8]| {
            let mut of_it = told
                .iter()
                .filter(|event| event.path.as_deref() == Some(path));
            of_it
                .next_back()
                .is_none_or(|event| event.has(IN_CREATE | IN_MOVED_TO))
        };
        let known = is_there(b"/t/a") && is_there(b"/t/b");
        check(
            known || !errors(&told).is_empty(),
            "lost-without-a-word",
            format!("{free} descriptors free:{}", shown(&told)),
        )?;
    }
    Ok(())
}

/// A file is renamed twice: nothing is left at the name in the middle.
pub fn renames() -> Verdict {
    for free in 0..ENOUGH {
        let mut stage = Stage::new("mkdir /t; create /t/a");
        stage.tree(WHOLE, RecursiveFlags::empty()).expect("a tree");
        free_descriptors(free);
        world("mv /t/a /t/b; mv /t/b /t/c");
        let told = stage.take_all()?;
        let untrue = told.iter().any(|event| {
            event.has(IN_CREATE | IN_DELETE) && event.path.as_deref() == Some(b"/t/b")
        });
        check(
            !untrue,
            "untrue",
            format!("{free} descriptors free:{}", shown(&told)),
        )?;
    }
    Ok(())
}

/// A tree is set up in the background: each of its directories is watched, or an ERROR has named it; the root is watched as
/// soon as there are descriptors and something happens.
pub fn list() -> Verdict {
    for free in 0..ENOUGH {
        for flags in [RecursiveFlags::LIST_EXISTING, RecursiveFlags::empty()] {
            let mut stage = Stage::new("mkdir /t; mkdir /t/a; mkdir /t/a/b");
            let id = stage
                .tree(WHOLE, flags | RecursiveFlags::BACKGROUND)
                .expect("a tree");
            free_descriptors(free);
            let mut told = stage.take_all()?;
            free_descriptors(usize::MAX / 2);
            world("create /t/c");
            told.extend(stage.take_all()?);
            let directories = stage.directories(id);
            let failed = |path: &&[u8]| {
                let of_it = |event: &&Told| event.path.as_deref() == Some(path);
                errors(&told).into_iter().any(|event| of_it(&event))
            };
            let paths: [&[u8]; 2] = [b"/t/a", b"/t/a/b"];
            let known = paths
                .into_iter()
                .take_while(|path| !failed(path))
                .all(|path| directories.contains(path));
            check(
                known && directories.contains(&b"/t"[..]) && has_ended(&told),
                "not-watched-and-no-error",
                format!("{free} descriptors free: {directories:?}{}", shown(&told)),
            )?;
        }
    }
    Ok(())
}

/// The ERROR names the directory that can't be watched, and the rest goes on.
pub fn error() -> Verdict {
    for free in 0..ENOUGH {
        let mut stage = Stage::new("mkdir /t; mkdir /t/a");
        let mask = IN_CREATE | IN_MOVED_FROM;
        stage.tree(mask, RecursiveFlags::empty()).expect("a tree");
        free_descriptors(free);
        world("mkdir /t/a/b");
        let told = stage.take_all()?;
        let named = errors(&told).into_iter().all(|event| {
            event.path.as_deref() == Some(b"/t/a/b") && event.error == EMFILE && event.is_dir()
        });
        check(
            named && (free > 0 || !errors(&told).is_empty()),
            "error-of-another",
            format!("{free} descriptors free:{}", shown(&told)),
        )?;
        world("create /t/a/c; create /t/c");
        let told = stage.take_all()?;
        let rest = told.iter().filter(|event| event.has(IN_CREATE)).count();
        check(
            rest >= 2,
            "missed",
            format!("{free} descriptors free:{}", shown(&told)),
        )?;
    }
    Ok(())
}
