//! Operations under way, one step after the other.

use super::Kernel;
use super::actions::Action;
use super::inodes::InodeId;
use super::operations::{Locks, Operation, Plan};
use super::touch::{self, Aspect, Effect};
use crate::sys::Sys;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

/// An operation that has begun. The kernel keeps it: a call that waits for one of its locks runs it on.
#[derive(Debug, PartialEq, Eq)]
pub struct Pending {
    number: u64,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) number: u64,
    /// Until its first step.
    start: Option<Operation>,
    pub(super) actions: VecDeque<Action>,
    pub(super) locks: Locks,
    /// How often it tells of subdirectories of the directories whose locks it holds, if it changes their links.
    subdirectories: [usize; 2],
}

/// The events of entries that come, and of all that come or go.
const COMES: u32 = libc::IN_CREATE | libc::IN_MOVED_TO;
const ALL: u32 = COMES | libc::IN_DELETE | libc::IN_MOVED_FROM;

enum Stepped {
    More,
    Last,
    /// For the lock of this operation.
    WaitsFor(u64),
}

impl Running {
    /// How often it will tell of subdirectories of a directory by an event with one of these bits.
    fn tells_of_subdirectories(&self, inode: InodeId, bits: u32) -> usize {
        let is_of = |action: &&Action| match action {
            Action::Entry {
                directory, mask, ..
            } => *directory == inode && mask & libc::IN_ISDIR != 0 && mask & bits != 0,
            _ => false,
        };
        self.actions.iter().filter(is_of).count()
    }
}

impl Kernel {
    /// Whether an operation is under way that brings a subdirectory, or renames one, and of which the directory's watches
    /// have not been told. The filesystem counts it before or after it can be seen. One that leaves is counted no more when
    /// it can't be seen any more.
    pub(super) fn is_gaining(&self, inode: InodeId) -> bool {
        self.running.iter().any(|running| {
            let held = running.locks.held.iter().zip(running.subdirectories);
            held.filter(|(held, _)| **held == Some(inode))
                .any(|(_, all)| all > 0 && running.tells_of_subdirectories(inode, ALL) == all)
                && running.tells_of_subdirectories(inode, COMES) > 0
        })
    }

    /// Begins an operation. An errno if it can't be done in the present state.
    pub fn begin(&mut self, op: &Operation) -> Result<Pending, i32> {
        self.plan(op)?;
        Ok(self.register(op))
    }

    fn register(&mut self, operation: &Operation) -> Pending {
        self.last_pending += 1;
        let number = self.last_pending;
        self.running.push(Running {
            number,
            start: Some(operation.clone()),
            actions: VecDeque::new(),
            locks: Locks::default(),
            subdirectories: [0; 2],
        });
        Pending { number }
    }

    /// Takes one step of an operation; false: it was the last, or the operation was done already. The first step can fail
    /// as `begin` does, if the world has changed since, and the operation is over then. EBUSY: another operation holds a
    /// lock that this one needs; step that one first.
    pub fn step(&mut self, pending: &mut Pending) -> Result<bool, i32> {
        match self.try_step(pending.number) {
            Ok(Stepped::More) => Ok(true),
            Ok(Stepped::Last) => Ok(false),
            Ok(Stepped::WaitsFor(_)) => Err(libc::EBUSY),
            // EBUSY is said of locks only, which are worth another try.
            Err(libc::EBUSY) => Err(libc::ECANCELED),
            Err(errno) => Err(errno),
        }
    }

    /// The operation, the whole of it. It waits for the locks of others by running those on.
    pub fn run(&mut self, op: &Operation) -> Result<(), i32> {
        let Pending { number } = self.register(op);
        loop {
            match self.try_step(number)? {
                Stepped::More => {}
                Stepped::Last => return Ok(()),
                Stepped::WaitsFor(holder) => self.run_on(holder),
            }
        }
    }

    /// What the next step would read or change; None if the operation is done.
    pub fn effect(&self, pending: &Pending) -> Option<Effect> {
        let running = &self.running[self.running_index(pending.number)?];
        let Some(operation) = &running.start else {
            return Some(self.effect_of(running));
        };
        let plan = self.plan(operation).unwrap_or(Plan::Nothing);
        let tells = match plan {
            Plan::Remove(dentry) => {
                let inode = self.dentries[dentry].inode;
                !self.is_directory(dentry) && self.is_heard(inode, libc::IN_ATTRIB)
            }
            Plan::Open { dentry, .. } => self.is_heard_of(dentry, libc::IN_OPEN),
            Plan::Overflow => true,
            _ => false,
        };
        let mut aspects = self.touched_by(&plan);
        if let Operation::Unmount(path) = operation {
            aspects.extend(self.touched_by_unmount(path));
        }
        let held = self.locks_of(&plan).held;
        let locks = held.into_iter().flatten();
        aspects.extend(locks.map(|inode| self.changes(inode, Aspect::Lock)));
        let shows = !matches!(plan, Plan::Nothing | Plan::Open { .. } | Plan::Overflow);
        Some(Effect {
            inodes: touch::inodes(&aspects),
            aspects,
            tells,
            shows,
            holds: Vec::new(),
        })
    }

    fn effect_of(&self, running: &Running) -> Effect {
        let (aspects, tells) = self.touched_by_next(&running.actions);
        let shows = matches!(running.actions.front(), Some(Action::Apply(_)));
        let held = running.locks.held.iter().flatten();
        let holds = held.filter(|_| !shows);
        Effect {
            inodes: touch::inodes(&aspects),
            aspects,
            tells,
            shows,
            holds: holds.map(|&inode| self.inodes[inode].number).collect(),
        }
    }

    pub(super) fn hash_running(&self, running: &Running, hasher: &mut impl Hasher) {
        (running.number, &running.start).hash(hasher);
        for action in &running.actions {
            self.hash_action(action, hasher);
        }
    }

    fn running_index(&self, number: u64) -> Option<usize> {
        let with_number = |running: &Running| running.number == number;
        self.running.iter().position(with_number)
    }

    fn try_step(&mut self, number: u64) -> Sys<Stepped> {
        let Some(index) = self.running_index(number) else {
            return Ok(Stepped::Last);
        };
        match self.running[index].start.take() {
            None => {
                if let Some(holder) = self.reading_waits_for(index) {
                    return Ok(Stepped::WaitsFor(holder));
                }
                self.act_next(index);
            }
            Some(operation) => match self.start(index, &operation) {
                Ok(None) => {}
                Ok(Some(holder)) => {
                    self.running[index].start = Some(operation);
                    return Ok(Stepped::WaitsFor(holder));
                }
                Err(errno) => {
                    self.running.remove(index);
                    return Err(errno);
                }
            },
        }
        self.act_unseen(index);
        if !self.running[index].actions.is_empty() {
            return Ok(Stepped::More);
        }
        self.unlock(index);
        self.running.remove(index);
        Ok(Stepped::Last)
    }

    /// Runs an operation on by one step, for somebody who waits for it.
    fn run_on(&mut self, number: u64) {
        if let Ok(Stepped::WaitsFor(holder)) = self.try_step(number) {
            self.run_on(holder);
        }
    }

    /// A call waits for the lock of an inode: the operation that has it goes on until it is free.
    pub(super) fn wait_for_lock(&mut self, inode: InodeId) {
        while let Some(holder) = self.inodes[inode].lock {
            self.run_on(holder);
        }
    }

    /// Another process is about to list a directory: the operation that has its lock.
    fn reading_waits_for(&self, index: usize) -> Option<u64> {
        match self.running[index].actions.front() {
            Some(&Action::Both { dentry, mask }) if mask == libc::IN_ACCESS => {
                self.inode_of(dentry).lock
            }
            _ => None,
        }
    }

    /// The first step, or the operation for which it has to wait.
    fn start(&mut self, index: usize, operation: &Operation) -> Sys<Option<u64>> {
        let plan = self.plan(operation)?;
        let locks = self.locks_of(&plan);
        let holder = match plan {
            // All that still tells of something in the filesystem comes first.
            Plan::Unmount(_) => self.other_than(index),
            _ => self.blocked_by(&locks),
        };
        if holder.is_some() {
            return Ok(holder);
        }
        self.lock(index, locks);
        if let Plan::Remove(dentry) = plan {
            let inode = self.dentries[dentry].inode;
            if !self.is_directory(dentry) && !self.inodes[inode].marks.is_empty() {
                // This is told while the name is still there. Without a watch on the file it is no step.
                self.tell_own(inode, libc::IN_ATTRIB);
                self.running[index].actions.push_back(Action::Apply(plan));
                return Ok(None);
            }
        }
        let swaps_directories = matches!(plan, Plan::Exchange(one, other)
            if self.is_directory(one) && self.is_directory(other));
        self.running[index].actions = self.apply(plan);
        if !swaps_directories {
            let running = &mut self.running[index];
            let held = running.locks.held;
            running.subdirectories = held
                .map(|held| held.map_or(0, |inode| running.tells_of_subdirectories(inode, ALL)));
        }
        Ok(None)
    }

    fn other_than(&self, index: usize) -> Option<u64> {
        let others = self.running.iter().enumerate();
        others
            .filter(|(other, running)| *other != index && running.start.is_none())
            .map(|(_, running)| running.number)
            .next()
    }

    fn lock(&mut self, index: usize, locks: Locks) {
        let number = Some(self.running[index].number);
        for &inode in locks.held.iter().flatten() {
            self.inodes[inode].lock = number;
        }
        if let Some(filesystem) = locks.renames {
            self.filesystems[filesystem].rename_lock = number;
        }
        self.running[index].locks = locks;
    }

    pub(super) fn unlock(&mut self, index: usize) {
        let locks = std::mem::take(&mut self.running[index].locks);
        for &inode in locks.held.iter().flatten() {
            self.inodes[inode].lock = None;
        }
        if let Some(filesystem) = locks.renames {
            self.filesystems[filesystem].rename_lock = None;
        }
    }
}
