//! An instance on the simulated kernel of this thread: the core alone, without the pollable fd and the locks around it.

use crate::engine::{Engine, Filled};
use crate::error::Result;
use crate::mask::{InitFlags, Mask};
use crate::scan::Pace;
use crate::stream::{Batch, Event};
use crate::sys::inotify::InotifyFd;
use crate::tree::RecursiveOptions;
use crate::watch_id::WatchId;
use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::time::Duration;

pub use crate::debug::{Sink, set_log};
pub use crate::sys::sim::*;

/// Full-size events in one read, as in a new instance.
const CACHE_SIZE: usize = 240;

pub struct Instance {
    engine: Engine,
    batch: Batch,
    next: usize,
}

impl Instance {
    /// `cache_size`: most full-size events fetched by one read; 0: as many as in a new instance.
    pub fn new(cache_size: usize) -> Result<Instance> {
        let inotify = InotifyFd::new(InitFlags::all()).expect("a simulated instance");
        let size = if cache_size == 0 {
            CACHE_SIZE
        } else {
            cache_size
        };
        Ok(Instance {
            engine: Engine::new(Arc::new(inotify), size),
            batch: Batch::default(),
            next: 0,
        })
    }

    pub fn add_watch(&mut self, path: &CStr, mask: Mask) -> Result<WatchId> {
        self.engine.add_watch(path, mask)
    }

    pub fn add_recursive(
        &mut self,
        path: &CStr,
        mask: Mask,
        options: RecursiveOptions,
    ) -> Result<WatchId> {
        let background = options.flags.contains(crate::RecursiveFlags::BACKGROUND);
        let id = self.engine.add_tree(path, mask, options)?;
        while !background && let Some(index) = self.engine.tree_index(id) {
            match self.engine.fill(&Pace::until_set_up(index)) {
                Ok(Filled::Ask(question)) => self.engine.answer(question.ask()),
                Ok(Filled::Done) if self.engine.is_setting_up(index) => {}
                Ok(Filled::Done) => {
                    self.engine.end_set_up(index)?;
                    break;
                }
                Err(error) => {
                    self.engine.discard_tree(index);
                    return Err(error);
                }
            }
        }
        Ok(id)
    }

    pub fn rm_watch(&mut self, id: WatchId) -> Result<()> {
        self.engine.rm_watch(id)
    }

    pub fn watch_set_path(&mut self, id: WatchId, path: &CStr) -> Result<()> {
        self.engine.watch_set_path(id, path)
    }

    /// The paths of the directories that a tree watches now.
    pub fn directories(&self, id: WatchId) -> Result<Vec<CString>> {
        self.engine.directories(id)
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
                self.engine.retire(id);
            }
        }
        Ok(taken)
    }

    fn refill(&mut self, pace: &Pace) -> Result<bool> {
        self.batch.clear();
        self.next = 0;
        if self.engine.is_at_rest() && self.engine.fill_from_rest(pace)? {
            self.engine.swap_out(&mut self.batch);
            return Ok(!self.batch.is_empty());
        }
        while !self.engine.has_events()
            && let Filled::Ask(question) = self.engine.fill(pace)?
        {
            self.engine.answer(question.ask());
        }
        self.engine.swap_out(&mut self.batch);
        Ok(!self.batch.is_empty())
    }

    /// When the timer in the pollable fd would expire.
    pub fn retry_due(&self) -> Option<Duration> {
        self.engine.retry_due()
    }

    /// What the pollable fd would say, but for what the kernel has queued.
    pub fn has_work(&self) -> bool {
        self.next < self.batch.len() || self.engine.has_work()
    }
}
