//! The Rust crate `notify` as a peer of the benchmarks; what it has to do is in ../peers/peer.h.

use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::ModifyKind, event::RenameMode};
use std::{env, fs, io::Write, os::unix::ffi::OsStrExt, path::Path, sync::mpsc, time::Duration, time::Instant};

fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn heap_bytes() -> usize {
    // SAFETY: takes no arguments; Rust's default allocator is the one it reports on.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

fn status_bytes(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let [_, mode, root] = &arguments[..] else { panic!("usage: notify-peer setup|burst ROOT") };
    let (sender, receiver) = mpsc::channel();
    let mut watcher = RecommendedWatcher::new(sender, Config::default()).expect("a watcher");

    let (start, cpu, heap, rss) = (Instant::now(), cpu_ns(), heap_bytes(), status_bytes("VmRSS:"));
    watcher.watch(Path::new(root), RecursiveMode::Recursive).expect("watch");
    if mode == "setup" {
        println!(
            "wall={} cpu={} heap={} rss={} peak={}",
            start.elapsed().as_nanos(),
            cpu_ns() - cpu,
            heap_bytes() as i64 - heap as i64,
            status_bytes("VmRSS:") as i64 - rss as i64,
            status_bytes("VmHWM:"),
        );
        return;
    }

    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    writeln!(out, "ready").and_then(|()| out.flush()).expect("stdout");
    loop {
        let event: Event = match receiver.try_recv() {
            Ok(event) => event.expect("an event"),
            Err(_) => {
                out.flush().expect("stdout");
                receiver.recv_timeout(Duration::from_secs(30)).expect("nothing for 30 s").expect("an event")
            }
        };
        let gone = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)));
        for path in event.paths.iter().filter(|_| !gone) {
            out.write_all(path.as_os_str().as_bytes()).and_then(|()| out.write_all(b"\n")).expect("stdout");
            if path.ends_with("the-end") {
                out.flush().expect("stdout");
                return;
            }
        }
    }
}
