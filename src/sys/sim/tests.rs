//! What is seen between the steps of an operation, which no comparison with the real kernel shows.

use super::*;
use libc::{
    IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MOVED_FROM, IN_MOVED_TO,
};
use std::cell::Cell;
use std::rc::Rc;

fn path(path: &str) -> Vec<u8> {
    path.as_bytes().to_vec()
}

fn run(operation: Operation) {
    assert_eq!(with_kernel(|kernel| kernel.run(&operation)), Ok(()));
}

/// Directories, and an instance that watches each.
fn watched(directories: &[&str]) -> BareInotify {
    reset(Limits::default());
    let inotify = BareInotify::new().unwrap();
    for directory in directories {
        run(Operation::Mkdir(path(directory)));
        inotify
            .add(directory.as_bytes(), libc::IN_ALL_EVENTS)
            .unwrap();
    }
    inotify
}

fn masks(inotify: &BareInotify) -> Vec<u32> {
    let raw = inotify.read(1 << 16).unwrap();
    let mut masks = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let number = |at: usize| u32::from_ne_bytes(raw[at..at + 4].try_into().unwrap());
        masks.push(number(at + 4));
        at += 16 + number(at + 12) as usize;
    }
    masks
}

fn step(pending: &mut Pending) -> Result<bool, i32> {
    with_kernel(|kernel| kernel.step(pending))
}

fn begin(operation: Operation) -> Pending {
    with_kernel(|kernel| kernel.begin(&operation)).unwrap()
}

fn open(path: &str) -> Result<BareDirectory, i32> {
    BareDirectory::open(None, path.as_bytes(), false, false)
}

#[test]
fn a_name_is_seen_before_it_is_told() {
    let inotify = watched(&["/a"]);
    let mut pending = begin(Operation::Mkdir(path("/a/x")));
    assert_eq!(step(&mut pending), Ok(true));
    assert!(open("/a/x").is_ok());
    assert_eq!(masks(&inotify), []);
    assert_eq!(step(&mut pending), Ok(false));
    assert_eq!(masks(&inotify), [IN_CREATE | IN_ISDIR]);
    assert_eq!(step(&mut pending), Ok(false));
}

#[test]
fn a_read_can_fall_between_the_halves_of_a_rename() {
    let inotify = watched(&["/a", "/b"]);
    run(Operation::Mkdir(path("/a/x")));
    masks(&inotify);
    let mut pending = begin(Operation::Rename(path("/a/x"), path("/b/x")));
    step(&mut pending).unwrap();
    assert!(open("/b/x").is_ok());
    assert_eq!(masks(&inotify), []);
    step(&mut pending).unwrap();
    assert_eq!(masks(&inotify), [IN_MOVED_FROM | IN_ISDIR]);
    // MOVED_TO and MOVE_SELF are still to come.
    assert_eq!(step(&mut pending), Ok(true));
    assert_eq!(masks(&inotify), [IN_MOVED_TO | IN_ISDIR]);
    assert_eq!(step(&mut pending), Ok(false));
}

#[test]
fn whoever_takes_the_lock_comes_after_all_that_is_told() {
    let inotify = watched(&["/a", "/b"]);
    run(Operation::Mkdir(path("/a/x")));
    let (a, b) = (open("/a").unwrap(), open("/b").unwrap());
    for (directory, from, to) in [
        (&a, "/a/x", "/b/x"),
        (&a, "/b/x", "/a/x"),
        (&b, "/a/x", "/b/x"),
    ] {
        masks(&inotify);
        let mut pending = begin(Operation::Rename(path(from), path(to)));
        step(&mut pending).unwrap();
        directory.wait_for_renames().unwrap();
        let told = masks(&inotify);
        assert_eq!(told, [IN_MOVED_FROM | IN_ISDIR, IN_MOVED_TO | IN_ISDIR]);
        assert_eq!(step(&mut pending), Ok(false));
    }
}

#[test]
fn the_old_name_of_a_rename_is_looked_up_under_the_lock_a_deleted_name_is_not() {
    let inotify = watched(&["/a", "/a/x", "/a/y"]);
    masks(&inotify);
    let mut pending = begin(Operation::Rename(path("/a/x"), path("/a/z")));
    step(&mut pending).unwrap();
    assert_eq!(open("/a/x").err(), Some(libc::ENOENT));
    assert_eq!(masks(&inotify).len(), 3);
    let mut pending = begin(Operation::Rmdir(path("/a/y")));
    step(&mut pending).unwrap();
    assert_eq!(open("/a/y").err(), Some(libc::ENOENT));
    assert_eq!(masks(&inotify), []);
    step(&mut pending).unwrap();
    assert_eq!(masks(&inotify), [IN_DELETE_SELF]);
    step(&mut pending).unwrap();
    assert_eq!(masks(&inotify), [IN_IGNORED]);
    assert_eq!(step(&mut pending), Ok(false));
    assert_eq!(masks(&inotify), [IN_DELETE | IN_ISDIR]);
}

#[test]
fn two_operations_on_a_directory_come_one_after_the_other() {
    let inotify = watched(&["/a", "/b"]);
    let mut first = begin(Operation::Mkdir(path("/a/x")));
    let mut second = begin(Operation::Mkdir(path("/a/y")));
    let mut third = begin(Operation::Mkdir(path("/b/z")));
    assert_eq!(step(&mut first), Ok(true));
    assert_eq!(step(&mut second), Err(libc::EBUSY));
    assert_eq!(step(&mut third), Ok(true));
    assert_eq!(step(&mut first), Ok(false));
    assert_eq!(step(&mut second), Ok(true));
    masks(&inotify);
    // Somebody who waits runs the others on.
    run(Operation::Rmdir(path("/a/y")));
    assert_eq!(step(&mut second), Ok(false));
}

#[test]
fn an_operation_that_the_world_has_overtaken_fails_at_its_first_step() {
    watched(&["/a"]);
    let mut pending = begin(Operation::Mkdir(path("/a/x")));
    run(Operation::Mkdir(path("/a/x")));
    assert_eq!(step(&mut pending), Err(libc::EEXIST));
    assert_eq!(step(&mut pending), Ok(false));
}

#[test]
fn an_open_directory_ends_when_it_is_closed_and_with_it_the_one_it_was_in() {
    let inotify = watched(&["/a", "/a/b", "/a/b/c"]);
    let c = open("/a/b/c").unwrap();
    run(Operation::Rmdir(path("/a/b/c")));
    run(Operation::Rmdir(path("/a/b")));
    let ends = [IN_DELETE_SELF, IN_IGNORED];
    assert!(!masks(&inotify).iter().any(|mask| ends.contains(mask)));
    drop(c);
    assert_eq!(masks(&inotify), [ends, ends].concat());
}

#[test]
fn the_schedule_is_asked_before_each_call_and_can_make_it_fail() {
    let inotify = watched(&["/a"]);
    masks(&inotify);
    let number = with_kernel(|kernel| kernel.calls());
    let inode = with_kernel(|kernel| kernel.inode_at(b"/a")).unwrap();
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    set_schedule(Some(Box::new(move |call| {
        count.set(count.get() + 1);
        assert_eq!(call.number, number + count.get());
        match call.kind {
            CallKind::Open => {
                assert!(call.touches.contains(&inode) && call.touches.contains(&1));
                assert_eq!(call.locks, Some(inode));
                // The world is quicker than the call.
                run(Operation::Mkdir(b"/a/x".to_vec()));
                None
            }
            CallKind::AddWatch => Some(libc::ENOSPC),
            _ => None,
        }
    })));
    let x = open("/a/x").unwrap();
    assert_eq!(inotify.add(b"/a", libc::IN_OPEN), Err(libc::ENOSPC));
    drop(x);
    assert_eq!(masks(&inotify), [IN_CREATE | IN_ISDIR]);
    assert_eq!(asked.get(), 4);
    assert_eq!(with_kernel(|kernel| kernel.calls()), number + 4);
}

#[test]
fn a_fine_walk_can_be_overtaken_between_two_components() {
    watched(&["/a", "/a/b", "/a/b/c", "/z"]);
    with_kernel(|kernel| kernel.set_fine_walks(true));
    let b = with_kernel(|kernel| kernel.inode_at(b"/a/b"));
    let c = with_kernel(|kernel| kernel.inode_at(b"/a/b/c")).unwrap();
    set_schedule(Some(Box::new(move |call| {
        let at_b = call.kind == CallKind::Walk && call.touches.first() == b.as_ref();
        let is_there = with_kernel(|kernel| kernel.inode_at(b"/a/b")) == b;
        if at_b && is_there {
            run(Operation::Rename(b"/a/b".to_vec(), b"/z/b".to_vec()));
        }
        None
    })));
    let found = open("/a/b/c").unwrap();
    assert_eq!(found.identity().unwrap().1, c);
    assert_eq!(open("/a/b/c").err(), Some(libc::ENOENT));
}

#[test]
fn what_was_dropped_by_a_reset_closes_nothing_of_the_next_kernel() {
    let inotify = watched(&["/a"]);
    let a = open("/a").unwrap();
    let (second, b) = (watched(&["/b"]), open("/b").unwrap());
    drop((inotify, a));
    assert_eq!(with_kernel(|kernel| kernel.open_descriptors()), 2);
    assert_eq!(with_kernel(|kernel| kernel.watches().len()), 1);
    drop((second, b));
    assert_eq!(with_kernel(|kernel| kernel.open_descriptors()), 0);
}

#[test]
fn an_overflow_drops_what_comes_until_there_is_room() {
    let inotify = watched(&["/a"]);
    run(Operation::Mkdir(path("/a/x")));
    run(Operation::Overflow);
    run(Operation::Mkdir(path("/a/y")));
    let told = masks(&inotify);
    assert_eq!(told, [IN_CREATE | IN_ISDIR, libc::IN_Q_OVERFLOW]);
    run(Operation::Mkdir(path("/a/z")));
    assert_eq!(masks(&inotify), [IN_CREATE | IN_ISDIR]);
}

#[test]
fn a_listing_in_chunks_misses_or_repeats_what_is_renamed_meanwhile() {
    reset(Limits::default());
    for name in ["/b", "/c", "/d"] {
        run(Operation::Mkdir(path(name)));
    }
    with_kernel(|kernel| kernel.set_listing_chunk(1));
    with_kernel(|kernel| kernel.set_tells_kinds(false));
    let root = BareDirectory::open(None, b"/", true, false).unwrap();
    let mut listed = Vec::new();
    let renames = [("/b", "/z"), ("/d", "/a")];
    for (from, to) in renames {
        listed.extend(root.list().unwrap());
        run(Operation::Rename(path(from), path(to)));
    }
    loop {
        match root.list().unwrap() {
            found if found.is_empty() => break,
            found => listed.extend(found),
        }
    }
    let names: Vec<&[u8]> = listed.iter().map(|(name, _)| &name[..]).collect();
    assert_eq!(names, [b"b", b"c", b"z"]);
    assert!(listed.iter().all(|(_, kind)| *kind == EntryKind::Directory));
}

#[test]
fn without_proc_a_directory_is_watched_by_its_path() {
    let inotify = watched(&["/a", "/b"]);
    with_kernel(|kernel| kernel.set_proc(false));
    let a = open("/a").unwrap();
    let mask = libc::IN_CREATE;
    assert_eq!(a.watch(&inotify, b"/a", mask), Ok(1));
    assert_eq!(a.watch(&inotify, b"/b", mask), Err(libc::ESTALE));
    assert_eq!(inotify.holds(1), None);
}

#[test]
fn a_link_may_be_missing_until_the_first_word_of_a_change() {
    let _inotify = watched(&["/a", "/a/b"]);
    let root = open("/").unwrap();
    assert!(!root.is_leaf(b"a"));
    let mut rename = begin(Operation::Rename(path("/a/b"), path("/a/c")));
    assert_eq!(step(&mut rename), Ok(true));
    assert!(root.is_leaf(b"a"));
    assert_eq!(step(&mut rename), Ok(true));
    assert!(!root.is_leaf(b"a"));
    while step(&mut rename) == Ok(true) {}
    run(Operation::Mkdir(path("/a/d")));
    let mut leaves = begin(Operation::Rename(path("/a/d"), path("/d")));
    assert_eq!(step(&mut leaves), Ok(true));
    assert!(!root.is_leaf(b"a"));
    while step(&mut leaves) == Ok(true) {}
    run(Operation::Rmdir(path("/a/c")));
    assert!(root.is_leaf(b"a"));
    with_kernel(|kernel| kernel.set_counts_links(false));
    assert!(!root.is_leaf(b"a"));
}

#[test]
fn limits_bind_the_library_and_not_the_world() {
    let inotify = watched(&["/a", "/b"]);
    let mut limits = Limits::default();
    (limits.watches, limits.descriptors) = (2, 2);
    with_kernel(|kernel| kernel.set_limits(limits));
    assert_eq!(inotify.add(b"/", libc::IN_OPEN), Err(libc::ENOSPC));
    inotify.rm(1).unwrap();
    // The kernel has used up a descriptor for the watch that it refused.
    assert_eq!(inotify.add(b"/", libc::IN_OPEN), Ok(4));
    let a = open("/a").unwrap();
    assert_eq!(open("/no-such-name").err(), Some(libc::EMFILE));
    run(Operation::Chmod(path("/a"), 4));
    run(Operation::Create(path("/a/x")));
    assert_eq!(a.kind_of(b"x"), Err(libc::EACCES));
}
