//! An inotify instance: what is shared between threads, and the pollable fd that says when there is something to take.

use super::lull::{Ended, Lull};
use super::turn::{Reader, Turn};
use crate::advice::{Call, text};
use crate::debug::{Log, debug};
use crate::engine::{Engine, Filled};
use crate::error::{Error, Result};
use crate::lock::{Guard, Lock};
use crate::mask::{InitFlags, Mask};
use crate::memory::{Locked, Reserve, Reserved, Shared};
use crate::scan::Pace;
use crate::sys::clock;
use crate::sys::eventfd::EventFd;
use crate::sys::inotify::{InotifyFd, MAX_EVENT};
use crate::sys::owner_lock::{Owned, OwnerLock};
use crate::sys::pollable::Pollable;
use crate::sys::timer::TimerFd;
use crate::tree::Question;
use crate::watch_id::WatchId;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, OnceLock};
use std::time::Duration;

/// One read of 64 KiB: larger ones are no quicker.
const DEFAULT_CACHE_SIZE: usize = 64 * 1024 / MAX_EVENT;

/// When a timer expires that is not set.
const NEVER: u64 = u64::MAX;

/// How long `sync_get` and `run` wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncTimeout {
    /// As read(2) on the fd as it was opened.
    Disabled,
    Infinite,
    Millis(u32),
}

/// An inotify instance with plain and recursive watches. Any method may be called from any thread.
pub struct Inotify {
    pub(super) log: Log,
    /// Over the four fds below; closed before them.
    pollable: Pollable,
    fd: Shared<InotifyFd>,
    /// Readable while there are events in user space, or work that may make some.
    ready: EventFd,
    /// Readable while a wake is pending, and for ever once the instance is closed.
    wake: EventFd,
    /// Readable when directories that could not be watched are to be tried again. There is none before the first tree.
    timer: OnceLock<TimerFd>,

    /// When `timer` is set to expire, in nanoseconds as `clock` has it; changed only with `state` locked.
    armed: AtomicU64,
    /// Whether `ready` is readable; changed only with `state` locked.
    is_ready: AtomicBool,
    /// Wakes announced and not consumed yet: saves a system call where there are none.
    wakes: AtomicU64,
    closed: AtomicBool,
    cloexec: bool,
    /// Which process opened it.
    process: u32,
    settings: Lock<Settings>,
    state: Reserved<Engine>,
    lull: Lull,
    /// How many threads wait for `state`.
    waiting: AtomicU32,
    /// A filter has said something.
    pub(super) answered: Condvar,
    pub(super) reader: OwnerLock<Reader>,
}

struct Settings {
    cache_size: usize,
    sync_timeout: SyncTimeout,
}

impl Inotify {
    pub fn new(flags: InitFlags) -> Result<Inotify> {
        let strange = flags - InitFlags::all();
        if !strange.is_empty() || flags.bits() & !InitFlags::all().bits() != 0 {
            return Err(Error::new(
                libc::EINVAL,
                text!("unknown init flags: {:#x}", flags.bits()),
            ));
        }
        let failed = |call: Call| move |errno| call.failed(errno, None);
        let cloexec = flags.contains(InitFlags::CLOEXEC);
        let fd = InotifyFd::new(flags).map_err(failed(Call::InotifyInit))?;
        let fd = Shared::new(fd).map_err(no_memory)?;
        let mut reserve = Reserve::new().map_err(no_memory)?;
        let ready = EventFd::new(cloexec).map_err(failed(Call::Eventfd))?;
        let wake = EventFd::new(cloexec).map_err(failed(Call::Eventfd))?;
        let sources = [fd.as_raw_fd(), ready.as_raw_fd(), wake.as_raw_fd()];
        // What mio allocates can't be refused.
        let pollable = reserve.during(|| Pollable::new(&sources));
        let pollable = pollable.map_err(failed(Call::EpollCreate))?;
        if !cloexec {
            pollable.keep_over_exec().map_err(failed(Call::Fcntl))?;
        }
        let engine = Engine::new(fd.clone(), DEFAULT_CACHE_SIZE);
        let log = engine.log();
        debug!(log, "opened, inotify fd {}", fd.as_raw_fd());
        Ok(Inotify {
            log,
            pollable,
            ready,
            wake,
            timer: OnceLock::new(),
            armed: AtomicU64::new(NEVER),
            cloexec,
            is_ready: AtomicBool::new(false),
            wakes: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            process: std::process::id(),
            settings: Lock::new(Settings {
                cache_size: DEFAULT_CACHE_SIZE,
                sync_timeout: SyncTimeout::Disabled,
            }),
            state: Reserved::new(engine, reserve),
            lull: Lull::default(),
            waiting: AtomicU32::new(0),
            answered: Condvar::new(),
            reader: OwnerLock::new(Reader::default()),
            fd,
        })
    }

    /// Cancels what threads are blocked in; every later call fails with ECANCELED. The fds are closed on drop.
    pub fn close(&self) {
        debug!(self.log, "closed");
        self.closed.store(true, Ordering::SeqCst);
        // A child after fork(2) has no threads to cancel, and shares the eventfd with its parent.
        if self.process == std::process::id() {
            let _ = self.wake.signal();
        }
    }

    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            Err(Error::cancelled())
        } else {
            Ok(())
        }
    }

    /// The pollable fd: readable exactly while there is something to take, or a wake is pending.
    pub fn fd(&self) -> RawFd {
        self.pollable.as_raw_fd()
    }

    /// The kernel's inotify fd.
    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Whether the inotify fd was opened without NONBLOCK.
    pub fn is_blocking(&self) -> bool {
        self.fd.is_blocking()
    }

    fn settings(&self) -> Guard<'_, Settings> {
        self.settings.lock()
    }

    /// Most full-size events fetched by one read.
    pub fn cache_size(&self) -> usize {
        self.settings().cache_size
    }

    /// From the next read on.
    pub fn set_cache_size(&self, events: usize) -> Result<()> {
        if events == 0 {
            return Err(Error::new(
                libc::EINVAL,
                "a cache of 0 events can't hold any",
            ));
        }
        let too_much = || {
            Error::new(
                libc::ENOMEM,
                text!("no memory for a cache of {events} events"),
            )
        };
        let bytes = events
            .checked_mul(MAX_EVENT)
            .filter(|&bytes| bytes <= isize::MAX as usize)
            .ok_or_else(too_much)?;
        Vec::<u8>::new()
            .try_reserve_exact(bytes)
            .map_err(|_| too_much())?;
        self.with_state(|state| {
            state.set_read_size(bytes);
            Ok(())
        })?;
        self.settings().cache_size = events;
        Ok(())
    }

    pub fn sync_timeout(&self) -> SyncTimeout {
        self.settings().sync_timeout
    }

    pub fn set_sync_timeout(&self, timeout: SyncTimeout) {
        self.settings().sync_timeout = timeout;
    }

    /// Ends a wait under way, or the next one, with EINTR. Async-signal-safe.
    pub fn wake(&self) -> Result<()> {
        // Announced before it is signalled, so that a readable fd is never without an announcement.
        self.wakes.fetch_add(1, Ordering::SeqCst);
        // The error is made without the message's allocation in mind: eventfd writes do not fail.
        self.wake.signal().map_err(|errno| Error::new(errno, ""))
    }

    #[inline]
    pub(crate) fn clear_wake(&self) -> bool {
        if self.wakes.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let count = self.wake.clear();
        self.wakes.fetch_sub(count, Ordering::SeqCst);
        if self.closed.load(Ordering::SeqCst) {
            // The signal may have been that of `close`.
            let _ = self.wake.signal();
        }
        count > 0
    }

    pub(crate) fn wait(&self, deadline: Option<std::time::Instant>) -> Result<bool> {
        self.pollable.wait(deadline).map_err(|errno| match errno {
            libc::EINTR => Error::new(errno, "interrupted by a signal"),
            _ => Call::Poll.failed(errno, None),
        })
    }

    /// The state, locked, with the reserve of this instance lent to this thread.
    #[inline]
    pub(super) fn lock(&self) -> Locked<'_, Engine> {
        if let Some(state) = self.state.try_lock() {
            return state;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let state = self.state.lock();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        state
    }

    /// Lets threads that wait for the mutex have it. The mutex is not fair: a thread that works in slices would keep it.
    pub(super) fn let_others(&self) {
        const A_WHILE: Duration = Duration::from_micros(50);
        for _ in 0..20 {
            if self.waiting.load(Ordering::Relaxed) == 0 {
                return;
            }
            std::thread::sleep(A_WHILE);
        }
    }

    /// Runs `f` with the state locked. What it leaves to do makes the pollable fd readable.
    pub(crate) fn with_state<R>(&self, f: impl FnOnce(&mut Engine) -> Result<R>) -> Result<R> {
        self.with_state_and_lull(|state, _| f(state))
    }

    fn with_state_and_lull<R>(
        &self,
        f: impl FnOnce(&mut Engine, &Ended) -> Result<R>,
    ) -> Result<R> {
        self.check_open()?;
        let mut state = self.lock();
        let lull = self.lull.end();
        let result = f(&mut state, &lull);
        self.set_timer(state.retry_due());
        if state.has_work() {
            self.set_ready(true);
        }
        if let Some(garbage) = state.take_garbage() {
            drop(state);
            drop(garbage);
        }
        result
    }

    /// Makes sure that there is a timer: once something is in the way of a scan, it may be too late.
    pub(super) fn have_timer(&self) -> Result<()> {
        let failed = |errno| Call::TimerfdCreate.failed(errno, None);
        let _state = self.lock();
        if self.timer.get().is_none() {
            let timer = TimerFd::new(self.cloexec).map_err(failed)?;
            self.pollable.add(timer.as_raw_fd()).map_err(failed)?;
            let _ = self.timer.set(timer);
        }
        Ok(())
    }

    /// With the state locked.
    #[inline]
    fn set_timer(&self, due: Option<Duration>) {
        let nanoseconds = due.map_or(NEVER, |due| due.as_nanos() as u64);
        if self.armed.load(Ordering::Relaxed) != nanoseconds {
            self.armed.store(nanoseconds, Ordering::Relaxed);
            if let Some(timer) = self.timer.get() {
                timer.set(due.map(|due| due.saturating_sub(clock::now())));
            }
        }
    }

    /// Makes the pollable fd say whether there is something in user space. With the state locked.
    fn set_ready(&self, ready: bool) {
        if self.is_ready.swap(ready, Ordering::Relaxed) != ready {
            match ready {
                true => {
                    let _ = self.ready.signal();
                }
                false => {
                    self.ready.clear();
                }
            }
        }
    }

    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    pub(crate) fn has_undecoded(&self) -> bool {
        self.lock().has_undecoded()
    }

    /// Makes the fd agree with what the reader has left.
    pub(crate) fn publish(&self, reader_has_events: bool) {
        let state = self.lock();
        self.set_ready(reader_has_events || state.has_work());
    }

    /// A new edge for edge-triggered waiters, if the fd is readable for what is in user space.
    pub(crate) fn renew_edge(&self) {
        if self.is_ready.load(Ordering::Relaxed) {
            let _ = self.ready.signal();
        }
    }

    /// Gets events for the reader, which has none, if there are any now. Asks filters, with nothing locked.
    /// Whether there are.
    pub(super) fn fetch(&self, pace: &Pace, reader: &mut Owned<'_, Reader>) -> Result<bool> {
        if let Some(has_events) = self.fetch_from_rest(pace, reader)? {
            return Ok(has_events);
        }
        let mut has_events = false;
        while let Some(question) = self.with_state_and_lull(|state, before| {
            if !state.has_events()
                && let Filled::Ask(question) = state.fill(pace)?
            {
                return Ok(Some(question));
            }
            has_events = self.hand_over(state, reader)?;
            if state.is_at_rest() {
                self.lull.begin(before, has_events);
            }
            Ok(None)
        })? {
            self.answer(question)?;
        }
        if !has_events {
            self.renew_edge_if_working();
        }
        Ok(has_events)
    }

    /// The common case: only the kernel may have something, and all of it is simple. `None` where it is not so.
    fn fetch_from_rest(&self, pace: &Pace, reader: &mut Owned<'_, Reader>) -> Result<Option<bool>> {
        self.check_open()?;
        if !self.lull.is_there() {
            return Ok(None);
        }
        if self.lull.is_for_a_look() && self.fd.is_empty() {
            self.lull.look_was_right();
            return Ok(Some(false));
        }
        let mut state = self.lock();
        if !self.lull.is_there() {
            return Ok(None);
        }
        let before = self.lull.end();
        if !state.fill_from_rest(pace)? {
            return Ok(None);
        }
        let has_events = self.hand_over(&mut state, reader)?;
        self.lull.begin(&before, has_events);
        Ok(Some(has_events))
    }

    fn hand_over(&self, state: &mut Engine, reader: &mut Owned<'_, Reader>) -> Result<bool> {
        let has_events = state.has_events();
        if has_events {
            let received = reader.with(|reader| reader.receive(state));
            received.map_err(|errno| Error::new(errno, "no memory to hand events over"))?;
        }
        Ok(has_events)
    }

    /// A slice is over: edge-triggered waiters are to come again if there is more to do.
    pub(super) fn renew_edge_if_working(&self) {
        if self.is_ready.load(Ordering::Relaxed) {
            let state = self.lock();
            match state.has_work() {
                true => self.renew_edge(),
                false => self.set_ready(false),
            }
        }
    }

    pub(super) fn answer(&self, question: Question) -> Result<()> {
        let answer = question.ask();
        let answered = self.with_state(|state| {
            state.answer(answer);
            Ok(())
        });
        self.answered.notify_all();
        answered
    }

    /// This thread's turn to take events; EBUSY while another thread has it. A thread that has it may have it again.
    #[inline]
    pub fn turn(&self) -> Result<Turn<'_>> {
        self.check_open()?;
        match self.reader.own() {
            Some(reader) => Ok(Turn::new(self, reader)),
            None => Err(Error::new(
                libc::EBUSY,
                "another thread is taking events from this handle",
            )),
        }
    }

    /// Watches `path`, or changes the mask of the watch its inode has, as inotify_add_watch(2).
    pub fn add_watch(&self, path: &CStr, mask: Mask) -> Result<WatchId> {
        self.with_state(|state| state.add_watch(path, mask))
    }

    /// Removes a watch, plain or recursive. Its IGNORED follows what was queued before.
    pub fn rm_watch(&self, id: WatchId) -> Result<()> {
        self.with_state(|state| state.rm_watch(id))
    }

    pub fn watch_path(&self, id: WatchId) -> Result<Vec<u8>> {
        self.with_state(|state| state.watch_path(id))
    }

    /// Corrects the path from which those of later events are built.
    pub fn watch_set_path(&self, id: WatchId, path: &CStr) -> Result<()> {
        self.with_state(|state| state.watch_set_path(id, path))
    }

    /// Event bits, EXCL_UNLINK and ONESHOT, as they are in force.
    pub fn watch_mask(&self, id: WatchId) -> Result<Mask> {
        self.with_state(|state| state.watch_mask(id))
    }

    /// The kernel's watch descriptor; for a tree that of its root.
    pub fn watch_wd(&self, id: WatchId) -> Result<i32> {
        self.with_state(|state| state.watch_wd(id))
    }

    /// False once the watch has ended and its last event is still to be taken.
    pub fn watch_is_active(&self, id: WatchId) -> Result<bool> {
        self.with_state(|state| state.watch_is_active(id))
    }

    /// All watches, in the order in which they were added.
    pub fn watches(&self) -> Result<Vec<WatchId>> {
        self.with_state(|state| state.watch_ids())
    }
}

fn no_memory(errno: i32) -> Error {
    Error::new(errno, "no memory for an instance")
}
