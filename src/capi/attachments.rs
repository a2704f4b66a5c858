//! C attaches userdata, with a destroy function, and a callback to the watches of a handle; both are kept here.
//!
//! No lock is held while a destroy function or a callback runs, so both may call anything on the handle.

use std::collections::HashMap;
use std::ffi::c_void;
use std::hash::{BuildHasherDefault, Hasher};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::destroy::{Destroy, Destroys};
use super::failure::{Failure, Result};
use super::types::event::asyncinotify_callback;
use super::types::watch::asyncinotify_destroy;
use crate::WatchId;
use crate::lock::{Guard, Lock};
use crate::memory::Room;

/// An event needs this of its watch. These are plain pointers, and the table owns what they point to.
#[derive(Clone, Copy)]
pub(crate) struct Attached {
    userdata: *mut c_void,
    callback: asyncinotify_callback,
}

impl Attached {
    pub(crate) const NOTHING: Attached = Attached {
        userdata: ptr::null_mut(),
        callback: None,
    };

    #[inline]
    pub(crate) fn userdata(&self) -> *mut c_void {
        self.userdata
    }

    #[inline]
    pub(crate) fn callback(&self) -> asyncinotify_callback {
        self.callback
    }
}

struct Entry {
    attached: Attached,
    destroy: Option<Box<Destroy>>,
}

// SAFETY: the userdata is the C program's and only handed back to it; the header says that threads may share a handle.
unsafe impl Send for Entry {}

/// The last look-up, with what it has found. Only the thread whose turn it is to take events writes and reads this, so
/// relaxed accesses do; the fields are atomics because the compiler can't know that.
struct LastLookup {
    watch: AtomicU64,
    version: AtomicU64,
    userdata: AtomicPtr<c_void>,
    callback: AtomicPtr<()>,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<u64, Entry, BuildHasherDefault<IdHasher>>,
    /// So many rounds of delivery are under way. While there is one, a callback may be running.
    delivering: usize,
    closed: bool,
    /// A delivery under way has postponed these; they run when it ends.
    deferred: Destroys,
    /// An event that get, sync_get or get_events returned has ended these; the next call that takes events runs them.
    delivered: Destroys,
}

pub(crate) struct Attachments {
    inner: Lock<Inner>,
    /// This is the number of entries. While it is 0, an event needs no look-up at all.
    count: AtomicUsize,
    /// This counts the changes. It starts at 1, so that the empty `LastLookup` is never valid.
    version: AtomicU64,
    last: LastLookup,
    any_delivered: AtomicBool,
}

impl Attachments {
    pub(crate) fn new() -> Attachments {
        Attachments {
            inner: Lock::default(),
            count: AtomicUsize::new(0),
            version: AtomicU64::new(1),
            last: LastLookup {
                watch: AtomicU64::new(0),
                version: AtomicU64::new(0),
                userdata: AtomicPtr::new(ptr::null_mut()),
                callback: AtomicPtr::new(ptr::null_mut()),
            },
            any_delivered: AtomicBool::new(false),
        }
    }

    /// Attaches userdata if `alive` says that the watch lives, and returns the userdata that it replaces.
    /// `alive` is asked under the lock. If the watch ends at this moment, then either `alive` says so, or `end` comes later
    /// and finds the entry.
    pub(crate) fn set_userdata(
        &self,
        watch: WatchId,
        userdata: *mut c_void,
        destroy: asyncinotify_destroy,
        alive: impl FnOnce() -> Result<()>,
    ) -> Result<Option<Box<Destroy>>> {
        let mut fresh = Destroy::new(destroy, userdata).map_err(no_memory)?;
        let changed = self.change(watch, alive, |entry| {
            entry.attached.userdata = userdata;
            std::mem::replace(&mut entry.destroy, fresh.take())
        });
        if let Some(unused) = &mut fresh {
            // The userdata is still the caller's.
            unused.disarm();
        }
        changed
    }

    pub(crate) fn set_callback(
        &self,
        watch: WatchId,
        callback: asyncinotify_callback,
        alive: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.change(watch, alive, |entry| entry.attached.callback = callback)
    }

    fn change<T>(
        &self,
        watch: WatchId,
        alive: impl FnOnce() -> Result<()>,
        change: impl FnOnce(&mut Entry) -> T,
    ) -> Result<T> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Failure::cancelled());
        }
        alive()?;
        inner.entries.make_room(1).map_err(no_memory)?;
        let id = watch.as_raw();
        let entry = inner.entries.entry(id).or_insert(Entry {
            attached: Attached::NOTHING,
            destroy: None,
        });
        let result = change(entry);
        if entry.attached.userdata.is_null()
            && entry.attached.callback.is_none()
            && entry.destroy.is_none()
        {
            inner.entries.remove(&id);
        }
        self.changed(&inner);
        Ok(result)
    }

    pub(crate) fn userdata(&self, watch: WatchId) -> *mut c_void {
        self.lock()
            .entries
            .get(&watch.as_raw())
            .map_or(ptr::null_mut(), |entry| entry.attached.userdata)
    }

    /// Returns what is attached to the watch of an event. Only the thread whose turn it is may call this.
    #[inline]
    pub(crate) fn of(&self, watch: WatchId) -> Attached {
        if self.count.load(Ordering::Acquire) == 0 {
            return Attached::NOTHING;
        }
        let version = self.version.load(Ordering::Acquire);
        let last = &self.last;
        if last.watch.load(Ordering::Relaxed) == watch.as_raw()
            && last.version.load(Ordering::Relaxed) == version
        {
            let callback = last.callback.load(Ordering::Relaxed);
            return Attached {
                userdata: last.userdata.load(Ordering::Relaxed),
                // SAFETY: `look_up` stored a value of this very type; None and null are the same bits.
                callback: unsafe {
                    std::mem::transmute::<*mut (), asyncinotify_callback>(callback)
                },
            };
        }
        self.look_up(watch)
    }

    fn look_up(&self, watch: WatchId) -> Attached {
        let inner = self.lock();
        let attached = inner
            .entries
            .get(&watch.as_raw())
            .map_or(Attached::NOTHING, |entry| entry.attached);
        let last = &self.last;
        last.watch.store(watch.as_raw(), Ordering::Relaxed);
        last.version
            .store(self.version.load(Ordering::Relaxed), Ordering::Relaxed);
        last.userdata.store(attached.userdata, Ordering::Relaxed);
        // Function pointers and data pointers have the same size wherever inotify exists.
        let callback = attached
            .callback
            .map_or(ptr::null_mut(), |callback| callback as *mut ());
        last.callback.store(callback, Ordering::Relaxed);
        attached
    }

    /// Takes out the entry of a watch that has ended with the event just taken.
    pub(crate) fn end(&self, watch: WatchId) -> (Attached, Option<Box<Destroy>>) {
        let mut inner = self.lock();
        let entry = inner.entries.remove(&watch.as_raw());
        self.changed(&inner);
        entry.map_or((Attached::NOTHING, None), |entry| {
            (entry.attached, entry.destroy)
        })
    }

    /// Keeps the userdata of a watch whose last event is being returned, until the next call that takes events.
    pub(crate) fn keep_until_next_take(&self, destroy: Box<Destroy>) {
        let mut inner = self.lock();
        if !inner.closed {
            inner.delivered.push(destroy);
            self.any_delivered.store(true, Ordering::Release);
        } else if inner.delivering > 0 {
            inner.deferred.push(destroy);
        } else {
            drop(inner);
            drop(destroy);
        }
    }

    /// Destroys what `keep_until_next_take` has kept. Only the thread whose turn it is may call this.
    #[inline]
    pub(crate) fn run_delivered(&self) {
        if self.any_delivered.load(Ordering::Acquire) {
            self.run_delivered_now();
        }
    }

    #[cold]
    fn run_delivered_now(&self) {
        let mut inner = self.lock();
        // A callback that is running may be using the very same userdata: this is then done by a later call.
        if inner.delivering == 0 {
            let delivered = std::mem::take(&mut inner.delivered);
            self.any_delivered.store(false, Ordering::Relaxed);
            drop(inner);
            drop(delivered);
        }
    }

    /// Begins a round of delivery: from here on callbacks may be running.
    pub(crate) fn begin_delivery(&self) -> Delivery<'_> {
        self.lock().delivering += 1;
        Delivery(self)
    }

    /// Destroys everything, for the handle was closed: now, or when the callback that is running has returned.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let entries = std::mem::take(&mut inner.entries);
        let mut ended = std::mem::take(&mut inner.delivered);
        for destroy in entries.into_values().filter_map(|entry| entry.destroy) {
            ended.push(destroy);
        }
        self.changed(&inner);
        if inner.delivering > 0 {
            inner.deferred.append(ended);
        } else {
            drop(inner);
            drop(ended);
        }
    }

    fn changed(&self, inner: &Inner) {
        self.count.store(inner.entries.len(), Ordering::Release);
        self.version.fetch_add(1, Ordering::Release);
    }

    fn lock(&self) -> Guard<'_, Inner> {
        self.inner.lock()
    }
}

/// A round of delivery ends when this is dropped; the destroy functions that were postponed for it run then.
pub(crate) struct Delivery<'a>(&'a Attachments);

impl Delivery<'_> {
    /// Destroys userdata after the callback for its last event has returned. If this delivery runs inside another callback,
    /// the userdata is destroyed when that one has returned.
    pub(crate) fn finish(&self, destroy: Box<Destroy>) {
        let mut inner = self.0.lock();
        if inner.delivering > 1 {
            inner.deferred.push(destroy);
        } else {
            drop(inner);
            drop(destroy);
        }
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        let deferred = {
            let mut inner = self.0.lock();
            inner.delivering -= 1;
            if inner.delivering == 0 {
                std::mem::take(&mut inner.deferred)
            } else {
                Destroys::default()
            }
        };
        drop(deferred);
    }
}

fn no_memory(errno: i32) -> Failure {
    Failure::new(errno, "no memory to attach anything to a watch")
}

/// IDs count up, so one multiplication spreads them well enough.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        // The high half goes into the low one as well: the hash map picks its bucket by the low bits and its tag by the
        // high ones.
        let product = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static DESTROYED: Cell<usize> = const { Cell::new(0) };
    }

    unsafe extern "C" fn destroy(userdata: *mut c_void) {
        DESTROYED.set(DESTROYED.get() + userdata.addr());
    }

    fn fresh() -> Attachments {
        DESTROYED.set(0); // Tests may share a thread.
        Attachments::new()
    }

    fn pointer(value: usize) -> *mut c_void {
        ptr::without_provenance_mut(value)
    }

    fn set(attachments: &Attachments, watch: u64, value: usize) {
        let watch = WatchId::from_raw(watch);
        drop(attachments.set_userdata(watch, pointer(value), Some(destroy), || Ok(())));
    }

    fn userdata(attachments: &Attachments, watch: u64) -> usize {
        let looked_up = attachments.of(WatchId::from_raw(watch)).userdata.addr();
        assert_eq!(
            looked_up,
            attachments.userdata(WatchId::from_raw(watch)).addr()
        );
        looked_up
    }

    #[test]
    fn a_run_of_events_sees_every_change_at_once() {
        let attachments = fresh();
        assert_eq!(userdata(&attachments, 1), 0);
        for value in [10, 20] {
            set(&attachments, 1, value);
            set(&attachments, 2, value + 1);
            for _ in 0..2 {
                assert_eq!(userdata(&attachments, 1), value);
                assert_eq!(userdata(&attachments, 1), value);
                assert_eq!(userdata(&attachments, 2), value + 1);
                assert_eq!(userdata(&attachments, 3), 0);
            }
        }
        assert_eq!(DESTROYED.get(), 10 + 11);
        let (attached, ended) = attachments.end(WatchId::from_raw(2));
        assert_eq!(attached.userdata.addr(), 21);
        assert_eq!(userdata(&attachments, 2), 0);
        assert_eq!(DESTROYED.get(), 10 + 11);
        drop(ended);
        assert_eq!(DESTROYED.get(), 10 + 11 + 21);
        attachments.close();
        assert_eq!(userdata(&attachments, 1), 0);
        assert_eq!(DESTROYED.get(), 10 + 11 + 21 + 20);
    }

    #[test]
    fn callbacks_come_and_go_without_touching_userdata() {
        unsafe extern "C" fn callback(
            _: *mut crate::capi::types::inotify::asyncinotify,
            _: *const crate::capi::types::event::asyncinotify_event,
            _: *mut c_void,
        ) -> i32 {
            0
        }
        let attachments = fresh();
        let watch = WatchId::from_raw(1);
        set(&attachments, 1, 10);
        assert!(attachments.of(watch).callback.is_none());
        attachments
            .set_callback(watch, Some(callback), || Ok(()))
            .unwrap();
        for _ in 0..2 {
            assert!(attachments.of(watch).callback.is_some());
            assert_eq!(attachments.of(watch).userdata.addr(), 10);
        }
        drop(attachments.set_userdata(watch, ptr::null_mut(), None, || Ok(())));
        assert_eq!(DESTROYED.get(), 10);
        assert!(attachments.of(watch).callback.is_some());
        attachments.set_callback(watch, None, || Ok(())).unwrap();
        assert!(attachments.of(watch).callback.is_none());
        assert_eq!(
            attachments.count.load(Ordering::Relaxed),
            0,
            "an empty entry is none"
        );
    }

    #[test]
    fn nothing_is_destroyed_while_a_callback_runs() {
        let attachments = fresh();
        for watch in 1..=4 {
            set(&attachments, watch, 10_usize.pow(watch as u32));
        }
        let end = |watch| attachments.end(WatchId::from_raw(watch)).1.unwrap();
        let outer = attachments.begin_delivery();
        // A callback may take events itself, by get and by dispatch.
        attachments.keep_until_next_take(end(1));
        attachments.run_delivered();
        let inner = attachments.begin_delivery();
        inner.finish(end(2));
        drop(inner);
        assert_eq!(DESTROYED.get(), 0);
        // It may close the handle as well.
        attachments.close();
        assert_eq!(DESTROYED.get(), 0);
        drop(outer);
        assert_eq!(DESTROYED.get(), 11110);
        let late =
            attachments.set_userdata(WatchId::from_raw(5), pointer(7), Some(destroy), || Ok(()));
        assert_eq!(late.err().unwrap().errno(), libc::ECANCELED);
    }

    #[test]
    fn what_was_returned_lives_until_the_next_take() {
        let attachments = fresh();
        set(&attachments, 1, 10);
        let ended = attachments.end(WatchId::from_raw(1)).1.unwrap();
        attachments.keep_until_next_take(ended);
        assert_eq!(DESTROYED.get(), 0);
        attachments.run_delivered();
        assert_eq!(DESTROYED.get(), 10);
        attachments.run_delivered();
        attachments.close();
        assert_eq!(DESTROYED.get(), 10);
    }

    #[test]
    fn userdata_of_a_dead_watch_stays_the_callers() {
        let attachments = fresh();
        let dead = || Err(Failure::new(libc::ENOENT, "dead"));
        let result =
            attachments.set_userdata(WatchId::from_raw(1), pointer(10), Some(destroy), dead);
        assert_eq!(result.err().unwrap().errno(), libc::ENOENT);
        attachments.close();
        assert_eq!(DESTROYED.get(), 0);
    }
}
