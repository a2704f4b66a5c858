//! The model against inotify(7) itself, with no library in between.

use libc::*;

use crate::support::folder::{Folder, c_path};
use crate::support::masks;
use crate::support::rng::Rng;
use crate::world::{Expected, State, World};

/// Plays `steps` random steps on a bare inotify fd and compares every event.
pub fn play(seed: u64, steps: u64) {
    let folder = Folder::new("bare");
    // SAFETY: a plain system call.
    let inotify = unsafe { inotify_init1(IN_CLOEXEC | IN_NONBLOCK) };
    assert!(inotify >= 0);
    let mut world = World::new(folder.path(), inotify);
    let mut rng = Rng::new(seed);
    let mut trace = Vec::new();
    let mut cookies = std::collections::HashMap::new();
    for _ in 0..steps {
        match rng.below(10) {
            0 => {
                let (inode, path) = world.target(&mut rng);
                let mask = World::random_mask(&mut rng);
                // SAFETY: a NUL-terminated path.
                let wd = unsafe { inotify_add_watch(inotify, c_path(&path).as_ptr(), mask) };
                trace.push(format!("add {path:?} {} = {wd}", masks::format(mask)));
                match world.watch_on(inode) {
                    Some(_) if mask & IN_MASK_CREATE != 0 => assert_eq!(wd, -1),
                    Some(index) => assert_eq!(wd, world.watches[index].wd),
                    None => assert!(wd > 0),
                }
                if wd > 0 {
                    world.added(inode, path, mask, 0, wd);
                }
            }
            1 if !world.watches.is_empty() => {
                let index = rng.below(world.watches.len());
                if world.watches[index].state == State::Active {
                    // SAFETY: plain numbers.
                    let removed = unsafe { inotify_rm_watch(inotify, world.watches[index].wd) };
                    assert_eq!(removed, 0);
                    world.removed(index);
                    trace.push(format!("rm_watch wd {}", world.watches[index].wd));
                }
            }
            2 => {
                // From one record's worth to everything.
                let mut buffer = vec![0u8; 300 + rng.below(3000)];
                // SAFETY: the buffer is as long as told.
                let got = unsafe { read(inotify, buffer.as_mut_ptr().cast(), buffer.len()) };
                trace.push(format!("read = {got}"));
                let mut rest = &buffer[..got.max(0) as usize];
                if rest.is_empty() {
                    assert!(
                        world.queue.is_empty(),
                        "missing: {}\n{}",
                        world.queue[0],
                        trace.join("\n")
                    );
                }
                while !rest.is_empty() {
                    let number = |at: usize| {
                        u32::from_ne_bytes(rest[at..at + 4].try_into().expect("four bytes"))
                    };
                    let (wd, mask, cookie, length) =
                        (number(0) as i32, number(4), number(8), number(12) as usize);
                    let name: Vec<u8> = rest[16..16 + length]
                        .iter()
                        .copied()
                        .take_while(|&byte| byte != 0)
                        .collect();
                    let seen = format!("wd {wd} {} {}", masks::format(mask), name.escape_ascii());
                    trace.push(format!("  {seen}"));
                    let expected: Option<Expected> = world.queue.pop_front();
                    let equal = expected.as_ref().is_some_and(|expected| {
                        (wd, mask) == (expected.wd, expected.mask)
                            && name == expected.name.as_deref().unwrap_or("").as_bytes()
                            && (cookie == 0) == (expected.cookie == 0)
                            && (cookie == 0
                                || *cookies.entry(expected.cookie).or_insert(cookie) == cookie)
                    });
                    let expected_text = expected.as_ref().map(Expected::to_string);
                    let last = &trace[trace.len().saturating_sub(40)..];
                    assert!(
                        equal,
                        "seed {seed}: {seen}\nexpected {expected_text:?}\n{}",
                        last.join("\n")
                    );
                    world.delivered(&expected.expect("compared"));
                    rest = &rest[16 + length..];
                }
            }
            _ => trace.push(world.operate(&mut rng)),
        }
    }
    // SAFETY: our own fd.
    unsafe { close(inotify) };
}
