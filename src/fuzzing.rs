//! What the fuzzers of `fuzz/` call: `--cfg fuzzing`, with `--cfg simulation` for the engine. Nothing of it is in the library.

/// Bytes for the backlog, see `stream::fuzz`.
///
/// # Safety
///
/// `data` is `size` bytes long.
#[cfg(not(simulation))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_fuzz_backlog(data: *const u8, size: usize) {
    // SAFETY: as the caller has promised.
    crate::stream::fuzz_backlog(unsafe { std::slice::from_raw_parts(data, size) });
}

/// What no kernel says, for the engine on a simulated kernel, see `lies`.
///
/// # Safety
///
/// `data` is `size` bytes long.
#[cfg(simulation)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn asyncinotify_fuzz_engine(data: *const u8, size: usize) {
    // SAFETY: as the caller has promised.
    lies::believe(unsafe { std::slice::from_raw_parts(data, size) });
}

#[cfg(simulation)]
mod lies {
    use crate::simulation::{EntryKind, Instance, Limits, Operation, reset, with_kernel};
    use crate::{Mask, RecursiveFlags, RecursiveOptions};
    use std::collections::BTreeSet;

    /// More than any of these trees can take to come to rest.
    const MOST_CALLS: usize = 10_000;

    fn path(number: u8) -> Vec<u8> {
        let name = |bits: u8| b"abc"[usize::from(bits % 3)];
        match number % 3 {
            0 => vec![b'/', b't', b'/', name(number / 3)],
            1 => vec![b'/', b't', b'/', name(number / 3), b'/', name(number / 9)],
            _ => vec![b'/', b'o', b'/', name(number / 3)],
        }
    }

    fn operation(what: u8, one: u8, other: u8) -> Operation {
        let (one, other) = (path(one), path(other));
        match what % 7 {
            0 | 1 => Operation::Mkdir(one),
            2 => Operation::Create(one),
            3 => Operation::Rename(one, other),
            4 => Operation::Exchange(one, other),
            5 => Operation::Unlink(one),
            _ => Operation::Rmdir(one),
        }
    }

    /// An event as the kernel might write it, of something that has not happened.
    fn likely(what: u8, one: u8, other: u8) -> Vec<u8> {
        let wd = i32::from(one % 10) - 1;
        let directory = if one & 16 == 0 { Mask::ISDIR.bits() } else { 0 };
        let mask = 1u32 << (other % 16) | directory;
        let name: &[u8] = match other / 16 {
            0 | 1 => b"",
            number => &[b"abc"[usize::from(number % 3)]],
        };
        let mut bytes = Vec::new();
        let len = if name.is_empty() { 0 } else { 16 };
        for word in [wd as u32, mask, u32::from(what % 3), len] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.extend_from_slice(name);
        bytes.resize(16 + len as usize, 0);
        bytes
    }

    fn take_all(instance: &mut Instance) {
        for _ in 0..MOST_CALLS {
            let more = instance.get_events(64, &mut |_| {}).expect("get_events");
            if more == 0 && !instance.has_work() && with_kernel(|kernel| kernel.queued()) == 0 {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Each byte of `data` says what to do next: the world changes, the kernel lies, events are taken. In the end the queue
    /// overflows, and once the tree is repaired it is as on the disk.
    pub(super) fn believe(mut data: &[u8]) {
        reset(Limits::default());
        with_kernel(|kernel| {
            for path in [&b"/t"[..], b"/o", b"/t/a", b"/t/a/b", b"/t/c"] {
                kernel.run(&Operation::Mkdir(path.to_vec())).expect("mkdir");
            }
        });
        let mut instance = Instance::new(0).expect("an instance");
        let flags = match data.first() {
            Some(byte) if byte & 1 == 0 => RecursiveFlags::LIST_EXISTING,
            _ => RecursiveFlags::empty(),
        };
        let options = RecursiveOptions {
            flags,
            ..RecursiveOptions::default()
        };
        let tree = instance
            .add_recursive(c"/t", Mask::ALL, options)
            .expect("a tree");
        instance.add_watch(c"/t/a", Mask::CREATE).expect("a watch");
        while let Some((&[what, one, other], rest)) = data.split_first_chunk() {
            data = rest;
            match what % 5 {
                4 => with_kernel(|kernel| kernel.lie(&likely(what / 5, one, other))),
                0 => {
                    let (lie, later) = data.split_at(data.len().min(usize::from(one)));
                    with_kernel(|kernel| kernel.lie(lie));
                    data = later;
                }
                1 => take_all(&mut instance),
                2 => drop(instance.get_events(usize::from(one % 8), &mut |_| {})),
                _ => drop(with_kernel(|kernel| {
                    kernel.run(&operation(what / 5, one, other))
                })),
            }
        }
        with_kernel(|kernel| kernel.run(&Operation::Overflow)).expect("an overflow");
        take_all(&mut instance);
        let Ok(watched) = instance.directories(tree) else {
            return;
        };
        let watched: BTreeSet<Vec<u8>> = watched.into_iter().map(|it| it.into_bytes()).collect();
        let below = with_kernel(|kernel| kernel.tree(b"/t")).into_iter();
        let directories = below.filter(|(_, kind)| *kind == EntryKind::Directory);
        let mut disk: BTreeSet<Vec<u8>> = directories.map(|(path, _)| path).collect();
        disk.insert(b"/t".to_vec());
        assert_eq!(watched, disk, "watched, and on the disk");
    }
}
