//! A thread that really waits, in every way there is, is woken by every cause there is.

use std::fs::File;
use std::sync::mpsc;
use std::time::Duration;

use libc::{ECANCELED, EINTR, IN_CREATE, IN_IGNORED, O_CLOEXEC, O_NONBLOCK};

use crate::support::abi::Handle;
use crate::support::folder::{Folder, c_path};
use crate::support::kernel::{Epoll, poll_in};
use crate::support::rng::Rng;
use crate::support::{PATIENCE_MS, queue_limit};

const INFINITE: i32 = -1;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Poll,
    Epoll,
    EpollEdge,
    SyncGet,
    Run,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cause {
    File,
    NewWatch,
    RmWatch,
    Wake,
}

const WAYS: [Way; 5] = [
    Way::Poll,
    Way::Epoll,
    Way::EpollEdge,
    Way::SyncGet,
    Way::Run,
];
const CAUSES: [Cause; 4] = [Cause::File, Cause::NewWatch, Cause::RmWatch, Cause::Wake];

/// What the waiter saw.
#[derive(Debug, PartialEq)]
enum Seen {
    Events(u32),
    Interrupted,
    Nothing,
}

fn wait(handle: Handle, edge: &Epoll, way: Way) -> Seen {
    let taken = || match handle.get().expect("get") {
        Some(event) => Seen::Events(event.mask),
        None => Seen::Interrupted,
    };
    match way {
        Way::Poll => {
            if poll_in(handle.fd(), PATIENCE_MS) {
                taken()
            } else {
                Seen::Nothing
            }
        }
        Way::Epoll => {
            if Epoll::new(handle.fd(), false).wait(PATIENCE_MS) {
                taken()
            } else {
                Seen::Nothing
            }
        }
        Way::EpollEdge => {
            if edge.wait(PATIENCE_MS) {
                taken()
            } else {
                Seen::Nothing
            }
        }
        Way::SyncGet => match handle.sync_get() {
            Ok(Some(event)) => Seen::Events(event.mask),
            Ok(None) => Seen::Nothing,
            Err(error) => {
                assert_eq!(error, EINTR);
                Seen::Interrupted
            }
        },
        Way::Run => {
            let mut mask = 0;
            let result = handle.run(|event| {
                mask = event.mask;
                1
            });
            match result {
                1 => Seen::Events(mask),
                0 => Seen::Nothing,
                error => {
                    assert_eq!(error, -EINTR);
                    Seen::Interrupted
                }
            }
        }
    }
}

fn rounds(flags: i32, seed: u64) {
    let folder = Folder::new("waiting");
    let handle = queue_limit::normal(|| Handle::open(flags as u32));
    handle.set_sync_timeout(PATIENCE_MS);
    let first = folder.path().join("first");
    std::fs::create_dir(&first).expect("mkdir");
    let mut id = handle
        .add_watch(&c_path(&first), IN_CREATE)
        .expect("add_watch");
    let edge = Epoll::new(handle.fd(), true);
    let mut rng = Rng::new(seed);
    for round in 0..400 {
        let (way, cause) = (*rng.pick(&WAYS), *rng.pick(&CAUSES));
        let (start, started) = mpsc::channel();
        // Sometimes the cause comes before the wait, sometimes after, mostly at about the same time.
        let spins = rng.below(20_000);
        let seen = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                start.send(()).expect("the other side waits");
                wait(handle, &edge, way)
            });
            started.recv().expect("the waiter starts");
            for _ in 0..spins {
                std::hint::spin_loop();
            }
            match cause {
                Cause::File => drop(File::create(first.join(round.to_string())).expect("create")),
                Cause::NewWatch => {
                    let directory = folder.path().join(round.to_string());
                    std::fs::create_dir(&directory).expect("mkdir");
                    handle
                        .add_watch(&c_path(&directory), IN_CREATE)
                        .expect("add_watch while another thread waits");
                    File::create(directory.join("f")).expect("create");
                }
                Cause::RmWatch => handle
                    .rm_watch(id)
                    .expect("rm_watch while another thread waits"),
                Cause::Wake => handle.wake(),
            }
            waiter.join().expect("the waiter")
        });
        let expected = match cause {
            Cause::File | Cause::NewWatch => Seen::Events(IN_CREATE),
            Cause::RmWatch => Seen::Events(IN_IGNORED),
            Cause::Wake => Seen::Interrupted,
        };
        assert_eq!(
            seen, expected,
            "seed {seed}, round {round}: {way:?} woken by {cause:?}"
        );
        // The edge-triggered waiter's part of the bargain: take until there is nothing.
        assert_eq!(handle.get(), Ok(None));
        assert!(
            !poll_in(handle.fd(), 0),
            "seed {seed}, round {round}: readable after all was taken"
        );
        if cause == Cause::RmWatch {
            id = handle
                .add_watch(&c_path(&first), IN_CREATE)
                .expect("add_watch");
        }
    }
    handle.close();
}

#[test]
fn a_waiting_thread_is_woken() {
    for seed in 0..3 {
        rounds(O_CLOEXEC | O_NONBLOCK, seed);
        rounds(O_CLOEXEC, seed);
    }
}

/// The thread is inside a system call that waits, and not for a lock.
fn sleeps(tid: i32) -> bool {
    let read = |what: &str| {
        std::fs::read_to_string(format!("/proc/self/task/{tid}/{what}")).unwrap_or_default()
    };
    let call = read("syscall");
    let number = call
        .split(' ')
        .next()
        .and_then(|number| number.parse::<i64>().ok());
    let state = read("stat")
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state == Some('S') && number.is_some_and(|number| number != libc::SYS_futex)
}

#[test]
fn closing_cancels_those_who_wait() {
    for blocking in [0, O_NONBLOCK] {
        for in_run in [false, true] {
            let handle = queue_limit::normal(|| Handle::open((O_CLOEXEC | blocking) as u32));
            handle.set_sync_timeout(INFINITE);
            let (done, result) = mpsc::channel();
            let (tell, asleep) = mpsc::channel();
            let waiter = std::thread::spawn(move || {
                // SAFETY: never fails.
                tell.send(unsafe { libc::gettid() })
                    .expect("the test waits");
                let errno = if in_run {
                    -handle.run(|_| 0)
                } else {
                    handle.sync_get().expect_err("nothing to take")
                };
                done.send(errno).expect("the test waits");
            });
            let tid = asleep.recv().expect("the waiter starts");
            while !sleeps(tid) {
                std::thread::yield_now();
            }
            handle.close();
            let patience = Duration::from_millis(PATIENCE_MS as u64);
            let errno = result
                .recv_timeout(patience)
                .expect("close wakes the waiter");
            assert_eq!(errno, ECANCELED);
            waiter.join().expect("the waiter");
        }
    }
}
