//! An instance on the simulated kernel of this thread: the core alone, without the pollable fd and the locks around it.

use crate::engine::{Engine, Filled};
use crate::error::Result;
use crate::mask::{InitFlags, Mask};
use crate::memory::{Locked, Reserve, Reserved, Shared};
use crate::scan::Pace;
use crate::stream::{Batch, Event};
use crate::sys::inotify::InotifyFd;
use crate::tree::RecursiveOptions;
use crate::watch_id::WatchId;
use std::ffi::{CStr, CString};
use std::time::Duration;

pub use crate::debug::{Sink, set_log};
pub use crate::memory::starve;
pub use crate::sys::sim::*;

/// Full-size events in one read, as in a new instance.
const CACHE_SIZE: usize = 240;

pub struct Instance {
    engine: Reserved<Engine>,
    batch: Batch,
    next: usize,
}

impl Instance {
    /// `cache_size`: most full-size events fetched by one read; 0: as many as in a new instance.
    pub fn new(cache_size: usize) -> Result<Instance> {
        let inotify = InotifyFd::new(InitFlags::all()).expect("a simulated instance");
        let inotify = Shared::new(inotify).expect("memory for an instance");
        let reserve = Reserve::new().expect("memory for a reserve");
        let size = if cache_size == 0 {
            CACHE_SIZE
        } else {
            cache_size
        };
        Ok(Instance {
            engine: Reserved::new(Engine::new(inotify, size), reserve),
            batch: Batch::default(),
            next: 0,
        })
    }

    fn engine(&self) -> Locked<'_, Engine> {
        self.engine.lock()
    }

    pub fn add_watch(&mut self, path: &CStr, mask: Mask) -> Result<WatchId> {
        self.engine().add_watch(path, mask)
    }

    pub fn add_recursive(
        &mut self,
        path: &CStr,
        mask: Mask,
        options: RecursiveOptions,
    ) -> Result<WatchId> {
        let background = options.flags.contains(crate::RecursiveFlags::BACKGROUND);
        let id = self.engine().add_tree(path, mask, options)?;
        while !background && self.set_up_some(id)? {}
        Ok(id)
    }

    /// Whether there is more to do for a new tree.
    fn set_up_some(&mut self, id: WatchId) -> Result<bool> {
        let mut engine = self.engine();
        let Some(index) = engine.tree_index(id) else {
            return Ok(false);
        };
        match engine.fill(&Pace::until_set_up(index)) {
            Ok(Filled::Ask(question)) => {
                drop(engine);
                let answer = question.ask();
                self.engine().answer(answer);
            }
            Ok(Filled::Done) if engine.is_setting_up(index) => {}
            Ok(Filled::Done) => {
                engine.end_set_up(index)?;
                return Ok(false);
            }
            Err(error) => {
                engine.discard_tree(index);
                return Err(error);
            }
        }
        Ok(true)
    }

    pub fn rm_watch(&mut self, id: WatchId) -> Result<()> {
        self.engine().rm_watch(id)
    }

    pub fn watch_set_path(&mut self, id: WatchId, path: &CStr) -> Result<()> {
        self.engine().watch_set_path(id, path)
    }

    /// The paths of the directories that a tree watches now.
    pub fn directories(&self, id: WatchId) -> Result<Vec<CString>> {
        let directories = self.engine().directories(id)?;
        Ok(directories.iter().map(CStr::to_owned).collect())
    }

    /// As asyncinotify_get_events: at most `max` events that are there now; how many.
    pub fn get_events(&mut self, max: usize, f: &mut dyn FnMut(&Event<'_>)) -> Result<usize> {
        let (mut taken, mut took_its_time, mut worked) = (0, false, Duration::ZERO);
        while taken < max {
            if self.next == self.batch.len() {
                // One slice for all of them, as in a turn of a real instance.
                let pace = Pace::rest_of_slice(worked);
                if took_its_time || !self.refill(&pace)? {
                    break;
                }
                worked += pace.spent();
                took_its_time = pace.was_over();
            }
            let event = self.batch.event(self.next);
            let ended = event.watch.filter(|_| event.last);
            f(&event);
            self.next += 1;
            taken += 1;
            if let Some(id) = ended {
                self.engine().retire(id);
            }
        }
        Ok(taken)
    }

    fn refill(&mut self, pace: &Pace) -> Result<bool> {
        self.batch.clear();
        self.next = 0;
        loop {
            let mut engine = self.engine.lock();
            if engine.is_at_rest() && engine.fill_from_rest(pace)? {
                engine.swap_out(&mut self.batch);
                return Ok(!self.batch.is_empty());
            }
            if !engine.has_events()
                && let Filled::Ask(question) = engine.fill(pace)?
            {
                drop(engine);
                let answer = question.ask();
                self.engine().answer(answer);
                continue;
            }
            engine.swap_out(&mut self.batch);
            return Ok(!self.batch.is_empty());
        }
    }

    /// When the timer in the pollable fd would expire.
    pub fn retry_due(&self) -> Option<Duration> {
        self.engine().retry_due()
    }

    /// What the pollable fd would say, but for what the kernel has queued.
    pub fn has_work(&self) -> bool {
        self.next < self.batch.len() || self.engine().has_work()
    }
}
