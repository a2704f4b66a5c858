//! What operations are made of: a change that everybody sees at once, and the calls of fsnotify that tell of it.

use super::Kernel;
use super::inodes::{DentryId, InodeId, InodeKind, Killed, Name};
use super::operations::Plan;
use super::touch::{Aspect, Touch};
use libc::{
    IN_ACCESS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF,
    IN_ISDIR, IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_OPEN, IN_UNMOUNT,
};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

#[derive(Debug)]
pub(super) enum Action {
    /// The change.
    Apply(Plan),
    /// Tells the watches of a directory, with a name.
    Entry {
        directory: InodeId,
        name: Name,
        mask: u32,
        cookie: u32,
    },
    /// Tells the watches of the inode.
    Own {
        inode: InodeId,
        mask: u32,
    },
    /// Does it to an open file, and tells the watches of the directory it is in and its own.
    Both {
        dentry: DentryId,
        mask: u32,
    },
    /// Closes an open file.
    Put(DentryId),
    /// The inode is no more: its watches end. With it goes what held the directory it was in, perhaps.
    End {
        inode: InodeId,
        parent: Option<DentryId>,
    },
    /// The filesystem is no more.
    Drop(u32),
    Unlock,
}

type Actions = VecDeque<Action>;

impl Kernel {
    /// Makes the change. What is left to do.
    pub(super) fn apply(&mut self, plan: Plan) -> Actions {
        match plan {
            Plan::Make { parent, name, kind } => self.make(parent, name, kind),
            Plan::Link {
                inode,
                parent,
                name,
            } => self.link(inode, parent, name),
            Plan::Remove(dentry) => self.remove(dentry),
            Plan::Rename {
                from,
                parent,
                name,
                over,
            } => self.rename(from, parent, &name, over),
            Plan::Exchange(a, b) => self.exchange(a, b),
            Plan::Nothing => Actions::new(),
            Plan::Open { dentry, write } => self.open_file(dentry, write),
            Plan::Chmod(dentry, mode) => {
                let inode = self.dentries[dentry].inode;
                self.inodes[inode].mode = mode;
                let mask = IN_ATTRIB;
                Actions::from([Action::Both { dentry, mask }, Action::Unlock])
            }
            Plan::Mount(dentry) => {
                let root = self.new_filesystem(Some(dentry));
                self.dentries[dentry].mounted = Some(root);
                Actions::new()
            }
            Plan::Unmount(root) => self.unmount(root),
            Plan::Overflow => {
                self.overflow();
                Actions::new()
            }
        }
    }

    fn make(&mut self, parent: DentryId, name: Name, kind: InodeKind) -> Actions {
        let directory = self.dentries[parent].inode;
        let filesystem = self.inodes[directory].filesystem;
        let is_file = kind == InodeKind::Regular;
        let inode = self.new_inode(filesystem, kind);
        let dentry = self.add_name(inode, parent, &name);
        let mask = IN_CREATE | self.isdir(inode);
        let mut actions = Actions::from([entry(directory, &name, mask, 0), Action::Unlock]);
        if is_file {
            // open(2) lets go of the directory before it opens what it has made.
            self.dentries[dentry].count += 1;
            for mask in [IN_OPEN, IN_CLOSE_WRITE] {
                actions.push_back(Action::Both { dentry, mask });
            }
            actions.push_back(Action::Put(dentry));
        }
        actions
    }

    fn link(&mut self, inode: InodeId, parent: DentryId, name: Name) -> Actions {
        self.inodes[inode].links += 1;
        self.add_name(inode, parent, &name);
        let directory = self.dentries[parent].inode;
        let mask = IN_ATTRIB;
        Actions::from([
            Action::Own { inode, mask },
            entry(directory, &name, IN_CREATE, 0),
            Action::Unlock,
        ])
    }

    fn remove(&mut self, dentry: DentryId) -> Actions {
        let inode = self.dentries[dentry].inode;
        let directory = self.directory_of(dentry);
        let name = Rc::clone(&self.dentries[dentry].name);
        let mask = IN_DELETE | self.isdir(inode);
        self.take_link(inode);
        let mut actions = Actions::from([entry(directory, &name, mask, 0), Action::Unlock]);
        if let Some(killed) = self.drop_name(dentry) {
            self.end(&mut actions, killed);
        }
        actions
    }

    fn rename(
        &mut self,
        from: DentryId,
        parent: DentryId,
        name: &Name,
        over: Option<DentryId>,
    ) -> Actions {
        let (inode, directory) = (self.dentries[from].inode, self.directory_of(from));
        let to = self.dentries[parent].inode;
        let old_name = Rc::clone(&self.dentries[from].name);
        let replaced = over.map(|over| self.dentries[over].inode);
        self.move_name(from, parent, name, over);
        let (cookie, isdir) = (self.next_cookie(), self.isdir(inode));
        let mut actions = Actions::from([
            entry(directory, &old_name, IN_MOVED_FROM | isdir, cookie),
            entry(to, name, IN_MOVED_TO | isdir, cookie),
        ]);
        if let Some(inode) = replaced {
            self.take_link(inode);
            let mask = IN_ATTRIB;
            actions.push_back(Action::Own { inode, mask });
        }
        let mask = IN_MOVE_SELF;
        actions.push_back(Action::Own { inode, mask });
        // Linux up to 6.18 lets go of what was replaced before it unlocks the directories, later ones after it.
        let put = over.map(Action::Put);
        if self.late_ends {
            actions.push_back(Action::Unlock);
            actions.extend(put);
        } else {
            actions.extend(put);
            actions.push_back(Action::Unlock);
        }
        actions
    }

    fn exchange(&mut self, a: DentryId, b: DentryId) -> Actions {
        let place = |dentry: DentryId| {
            let name = Rc::clone(&self.dentries[dentry].name);
            (dentry, self.directory_of(dentry), name)
        };
        let (of_a, of_b) = (place(a), place(b));
        self.exchange_names(a, b);
        let mut actions = Actions::new();
        for (from, to) in [(&of_a, &of_b), (&of_b, &of_a)] {
            let inode = self.dentries[from.0].inode;
            let (cookie, isdir) = (self.next_cookie(), self.isdir(inode));
            actions.push_back(entry(from.1, &from.2, IN_MOVED_FROM | isdir, cookie));
            actions.push_back(entry(to.1, &to.2, IN_MOVED_TO | isdir, cookie));
            let mask = IN_MOVE_SELF;
            actions.push_back(Action::Own { inode, mask });
        }
        actions.push_back(Action::Unlock);
        actions
    }

    fn open_file(&mut self, dentry: DentryId, write: bool) -> Actions {
        self.dentries[dentry].count += 1;
        self.tell_both(dentry, IN_OPEN);
        let inode = self.inode_of(dentry);
        let (work, close) = if write {
            (Some(IN_MODIFY), IN_CLOSE_WRITE)
        } else {
            // To read nothing is not told.
            let reads = inode.filled || inode.is_directory();
            (reads.then_some(IN_ACCESS), IN_CLOSE_NOWRITE)
        };
        let both = |mask| Action::Both { dentry, mask };
        let mut actions: Actions = work.into_iter().chain([close]).map(both).collect();
        actions.push_back(Action::Put(dentry));
        actions
    }

    fn unmount(&mut self, root: DentryId) -> Actions {
        let filesystem = self.inode_of(root).filesystem;
        if let Some(mountpoint) = self.filesystems[filesystem].mountpoint {
            self.dentries[mountpoint].mounted = None;
        }
        let mut watched: Vec<(u64, InodeId)> = self
            .inodes
            .iter()
            .filter(|(_, inode)| inode.filesystem == filesystem && !inode.marks.is_empty())
            .map(|(id, inode)| (inode.number, id))
            .collect();
        // The kernel's list of inodes begins with the youngest.
        watched.sort_unstable_by(|a, b| b.cmp(a));
        let mut actions = Actions::new();
        for (_, inode) in watched {
            self.hold_inode(inode);
            let (mask, parent) = (IN_UNMOUNT, None);
            actions.push_back(Action::Own { inode, mask });
            actions.push_back(Action::End { inode, parent });
        }
        actions.push_back(Action::Drop(filesystem));
        actions
    }

    fn take_link(&mut self, inode: InodeId) {
        let inode = &mut self.inodes[inode];
        inode.links -= 1;
        inode.dead = inode.is_directory();
        if inode.dead {
            // shrink_dcache_parent: it was empty, so these are names of which it was known that there are none.
            inode.entries.clear();
        }
    }

    fn isdir(&self, inode: InodeId) -> u32 {
        if self.inodes[inode].is_directory() {
            IN_ISDIR
        } else {
            0
        }
    }

    fn next_cookie(&mut self) -> u32 {
        self.last_cookie += 1;
        self.last_cookie
    }

    /// A dentry is no more: tells first, if it was the inode's last link.
    fn end(&mut self, actions: &mut Actions, killed: Killed) {
        let Killed { inode, parent } = killed;
        if self.inodes[inode].links == 0 {
            let mask = IN_DELETE_SELF;
            actions.push_front(Action::End { inode, parent });
            actions.push_front(Action::Own { inode, mask });
        } else {
            self.let_go_of_inode(inode);
            if let Some(parent) = parent {
                actions.push_front(Action::Put(parent));
            }
        }
    }

    pub(super) fn act_next(&mut self, index: usize) {
        if let Some(action) = self.running[index].actions.pop_front() {
            self.act(index, action);
        }
    }

    fn act(&mut self, index: usize, action: Action) {
        match action {
            Action::Apply(plan) => self.running[index].actions = self.apply(plan),
            Action::Unlock => self.unlock(index),
            action => {
                let mut more = std::mem::take(&mut self.running[index].actions);
                self.tell_of(action, &mut more);
                self.running[index].actions = more;
            }
        }
    }

    fn tell_of(&mut self, action: Action, more: &mut Actions) {
        match action {
            Action::Entry {
                directory,
                name,
                mask,
                cookie,
            } => self.tell_entry(directory, &name, mask, cookie),
            Action::Own { inode, mask } => self.tell_own(inode, mask),
            Action::Both { dentry, mask } => {
                let inode = self.dentries[dentry].inode;
                self.inodes[inode].filled |= mask == IN_MODIFY;
                self.tell_both(dentry, mask);
            }
            Action::Put(dentry) => {
                if let Some(killed) = self.put(dentry) {
                    self.end(more, killed);
                }
            }
            Action::End { inode, parent } => {
                self.remove_all_watches_on(inode);
                self.let_go_of_inode(inode);
                if let Some(parent) = parent {
                    more.push_front(Action::Put(parent));
                }
            }
            Action::Drop(filesystem) => self.drop_filesystem(filesystem),
            Action::Apply(_) | Action::Unlock => {}
        }
    }

    /// Does, along with a step, what comes next and what nobody could see or hear.
    pub(super) fn act_unseen(&mut self, index: usize) {
        while let Some(action) = self.running[index].actions.front()
            && self.is_unseen(action)
        {
            self.act_next(index);
        }
    }

    fn is_unseen(&self, action: &Action) -> bool {
        match *action {
            Action::Unlock | Action::Put(_) | Action::Drop(_) => true,
            Action::Own { inode, .. } | Action::End { inode, .. } => {
                let inode = &self.inodes[inode];
                // The library puts no watch on anything but a directory of its own accord.
                let reachable = inode.is_directory() && !inode.dentries.is_empty();
                !reachable && inode.marks.is_empty()
            }
            // Of a directory that is gone nothing is read.
            Action::Both { dentry, mask } => mask == IN_ACCESS && self.inode_of(dentry).dead,
            Action::Apply(_) | Action::Entry { .. } => false,
        }
    }

    /// The library closes a file: all that comes of it, at once.
    pub(super) fn put_at_once(&mut self, dentry: DentryId) {
        let mut actions = Actions::from([Action::Put(dentry)]);
        while let Some(action) = actions.pop_front() {
            self.tell_of(action, &mut actions);
        }
    }

    /// What the next step touches, an action and what is done along with it, and whether it tells.
    pub(super) fn touched_by_next(&self, actions: &Actions) -> (Vec<Touch>, bool) {
        let mut aspects = Vec::new();
        for (index, action) in actions.iter().enumerate() {
            // Whether it is done along depends on the watches of its inode, which a call can change.
            let may_join = matches!(action, Action::Own { .. } | Action::End { .. });
            let joins = index == 0 || self.is_unseen(action);
            if joins || may_join {
                aspects.extend(self.touched_by_action(action));
            }
            if !joins {
                break;
            }
        }
        let is_heard = |action| self.is_action_heard(action);
        (aspects, actions.front().is_some_and(is_heard))
    }

    fn touched_by_action(&self, action: &Action) -> Vec<Touch> {
        let watches = |inode: InodeId| self.changes(inode, Aspect::Watches);
        match *action {
            Action::Apply(ref plan) => self.touched_by(plan),
            Action::Entry { directory, .. } => vec![watches(directory)],
            Action::Own { inode, .. } => vec![watches(inode)],
            Action::Both { dentry, .. } => self.touched_by_telling(dentry).to_vec(),
            Action::Put(dentry) => self.ends_with(dentry),
            Action::End { inode, parent } => {
                let above = parent.map(|parent| self.ends_with(parent));
                [vec![watches(inode)], above.unwrap_or_default()].concat()
            }
            Action::Drop(_) | Action::Unlock => Vec::new(),
        }
    }

    pub(super) fn hash_action(&self, action: &Action, hasher: &mut impl Hasher) {
        std::mem::discriminant(action).hash(hasher);
        self.touched_by_action(action).hash(hasher);
        match action {
            Action::Entry {
                name, mask, cookie, ..
            } => (name, mask, cookie).hash(hasher),
            Action::Own { mask, .. } | Action::Both { mask, .. } => mask.hash(hasher),
            _ => {}
        }
    }

    fn is_action_heard(&self, action: &Action) -> bool {
        match *action {
            Action::Entry {
                directory, mask, ..
            } => self.is_heard(directory, mask),
            Action::Own { inode, mask } => self.is_heard(inode, mask),
            Action::Both { dentry, mask } => self.is_heard_of(dentry, mask),
            Action::End { inode, .. } => !self.inodes[inode].marks.is_empty(),
            Action::Apply(_) | Action::Put(_) | Action::Drop(_) | Action::Unlock => false,
        }
    }
}

fn entry(directory: InodeId, name: &Name, mask: u32, cookie: u32) -> Action {
    Action::Entry {
        directory,
        name: Rc::clone(name),
        mask,
        cookie,
    }
}
