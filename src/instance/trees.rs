//! Recursive watches of an instance: their set-up, for which the caller may wait, and the directories they have.

use super::inotify::Inotify;
use crate::engine::{Engine, Filled};
use crate::error::Result;
use crate::mask::{Mask, RecursiveFlags};
use crate::scan::Pace;
use crate::tree::RecursiveOptions;
use crate::watch_id::WatchId;
use std::ffi::CStr;
use std::ops::ControlFlow;
use std::time::Duration;

impl Inotify {
    /// Watches a directory and all below it, now and later, under one ID.
    pub fn add_recursive(
        &self,
        path: &CStr,
        mask: Mask,
        options: RecursiveOptions,
    ) -> Result<WatchId> {
        let background = options.flags.contains(RecursiveFlags::BACKGROUND);
        self.check_open()?;
        self.have_timer()?;
        let id = self.with_state(|state| state.add_tree(path, mask, options))?;
        if background {
            return Ok(id);
        }
        let set_up = self.set_up(id);
        // The scan made the pollable fd readable; the end of a turn makes the fd agree with what is left. A thread that
        // takes events now does that itself, and must not be told EBUSY because of this call.
        self.settle_ready();
        set_up.map(|()| id)
    }

    /// Makes the pollable fd agree with what there is, unless a thread takes events, which does so itself.
    fn settle_ready(&self) {
        // What was read but not decoded may be nothing anybody asked for. Filters are asked before the reader is owned:
        // they may take events.
        while let Ok(Some(question)) = self.with_state(|state| {
            let undecoded = !state.has_events() && state.has_undecoded();
            Ok(match undecoded {
                true => match state.fill(&Pace::one_slice())? {
                    Filled::Ask(question) => Some(question),
                    Filled::Done => None,
                },
                false => None,
            })
        }) {
            if self.answer(question).is_err() {
                return;
            }
        }
        if let Some(mut reader) = self.reader.own_briefly() {
            self.publish(reader.with(|reader| reader.has_events()));
        }
    }

    /// Works on a new tree until all of it is watched.
    fn set_up(&self, id: WatchId) -> Result<()> {
        loop {
            let question = self.with_state(|state| {
                // Another thread may have removed the tree meanwhile, and taken its last event.
                let Some(index) = state.tree_index(id) else {
                    return Ok(None);
                };
                match state.fill(&Pace::until_set_up(index)) {
                    Ok(filled) if state.is_setting_up(index) => Ok(Some(filled)),
                    Ok(_) => state.end_set_up(index).map(|()| None),
                    Err(error) => {
                        state.discard_tree(index);
                        Err(error)
                    }
                }
            })?;
            match question {
                None => return Ok(()),
                Some(Filled::Ask(question)) => self.answer(question)?,
                Some(Filled::Done) => self.wait_for_answer(id),
            }
            self.let_others();
        }
    }

    /// While another thread asks the tree's filter, there is nothing to do.
    fn wait_for_answer(&self, id: WatchId) {
        /// The instance may be closed meanwhile.
        const LOOK_AGAIN: Duration = Duration::from_millis(50);
        let state = self.lock();
        let asking = |state: &Engine| {
            let index = state.tree_index(id);
            index.is_some_and(|index| state.is_asking(index))
        };
        if asking(&state) {
            state.wait_and_unlock(&self.answered, LOOK_AGAIN);
        }
    }

    /// Calls `f` with the path of each directory a recursive watch covers now, with no lock held. How many it was told.
    pub fn each_directory(
        &self,
        id: WatchId,
        f: &mut dyn FnMut(&CStr) -> ControlFlow<()>,
    ) -> Result<usize> {
        let paths = self.with_state(|state| state.directories(id))?;
        Ok(each(paths.iter(), f))
    }

    /// The same with each directory of a tree that can't be watched now, and the errno.
    pub fn each_trouble(
        &self,
        id: WatchId,
        f: &mut dyn FnMut(&CStr, i32) -> ControlFlow<()>,
    ) -> Result<usize> {
        let (paths, errnos) = self.with_state(|state| state.troubles(id))?;
        let troubles = paths.iter().zip(errnos);
        Ok(each(troubles, |(path, errno)| f(path, errno)))
    }
}

/// Calls `f` until it says that it is enough. How often.
fn each<T>(all: impl Iterator<Item = T>, mut f: impl FnMut(T) -> ControlFlow<()>) -> usize {
    let mut count = 0;
    for one in all {
        count += 1;
        if f(one).is_break() {
            break;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::InitFlags;
    use std::ffi::CString;

    #[test]
    fn adding_trees_makes_no_consumer_busy() {
        let inotify = Inotify::new(InitFlags::all()).unwrap();
        let folder = std::env::temp_dir().join(format!("asyncinotify-busy-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = CString::new(folder.to_str().unwrap()).unwrap();
        std::thread::scope(|s| {
            let adders = [(); 2].map(|()| {
                s.spawn(|| {
                    for _ in 0..1000 {
                        let options = RecursiveOptions::default();
                        let id = inotify.add_recursive(&path, Mask::CREATE, options).unwrap();
                        inotify.rm_watch(id).unwrap();
                    }
                })
            });
            while !adders.iter().all(|adder| adder.is_finished()) {
                inotify.turn().expect("the only consumer there is");
            }
        });
        std::fs::remove_dir(&folder).unwrap();
    }
}
