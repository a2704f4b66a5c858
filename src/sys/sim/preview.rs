//! What a call is about to read and change, in the present state of the kernel.

use super::Kernel;
use super::files::File;
use super::inodes::{DentryId, InodeId, SEARCH};
use super::schedule::Preview;
use super::touch::{Aspect, Touch};
use super::walk::{Walk, Who};

impl Kernel {
    pub(super) fn reads(&self, inode: InodeId, aspect: Aspect) -> Touch {
        Touch::reads(self.inodes[inode].number, aspect)
    }

    pub(super) fn changes(&self, inode: InodeId, aspect: Aspect) -> Touch {
        Touch::changes(self.inodes[inode].number, aspect)
    }

    /// What counts when an open file is told of: its place, and who watches it and the directory it is in.
    pub(super) fn told_of(&self, dentry: DentryId) -> [Touch; 3] {
        let inode = self.dentries[dentry].inode;
        [
            self.reads(inode, Aspect::Place),
            self.reads(inode, Aspect::Watches),
            self.reads(self.directory_of(dentry), Aspect::Watches),
        ]
    }

    /// What changes when one user of a dentry goes: with it, those above it may end.
    pub(super) fn ends_with(&self, dentry: DentryId) -> Vec<Touch> {
        let users = |dentry: DentryId| self.changes(self.dentries[dentry].inode, Aspect::Users);
        let mut aspects = vec![users(dentry)];
        let mut last = dentry;
        while self.is_last_use(last) {
            aspects.push(self.changes(self.dentries[last].inode, Aspect::Watches));
            last = self.dentries[last].parent;
            aspects.push(users(last));
        }
        aspects
    }

    pub(super) fn preview_close(&self, file: u32) -> Preview {
        let File::Directory { dentry, position } = &self.files[file] else {
            let instance = &self.instances[self.instance_at(file)];
            let watched = instance.watches.values();
            return Preview {
                aspects: watched
                    .map(|&it| self.changes(it, Aspect::Watches))
                    .collect(),
                reads_queue: true,
                ..Preview::default()
            };
        };
        let mut aspects = self.ends_with(*dentry);
        let mut tells = self.is_last_use(*dentry);
        if position.is_some() {
            aspects.extend(self.told_of(*dentry));
            tells |= self.is_heard_of(*dentry, libc::IN_CLOSE_NOWRITE);
        }
        Preview {
            aspects,
            tells,
            ..Preview::default()
        }
    }

    pub(super) fn preview_list(&self, file: u32) -> Preview {
        let File::Directory {
            dentry,
            position: Some(_),
        } = self.files[file]
        else {
            return Preview::default();
        };
        let number = self.inode_of(dentry).number;
        let mut aspects = vec![Touch::reads(number, Aspect::Entries)];
        aspects.extend(self.told_of(dentry));
        Preview {
            aspects,
            tells: self.is_heard_of(dentry, libc::IN_ACCESS),
            locks: Some(number),
            ..Preview::default()
        }
    }

    /// The look-up of a name that nothing has.
    pub(super) fn preview_nothing(&self, file: u32) -> Preview {
        let inode = self.inode_of(self.directory_at(file));
        Preview {
            aspects: vec![Touch::reads(inode.number, Aspect::Mode)],
            locks: (inode.mode & SEARCH != 0).then_some(inode.number),
            ..Preview::default()
        }
    }

    /// The look at the links of what has a name.
    pub(super) fn preview_links(&self, base: Option<u32>, name: &[u8]) -> Preview {
        let (mut preview, found) = self.preview_walk(base, name, false);
        if let Some(dentry) = found {
            let inode = self.dentries[dentry].inode;
            preview.aspects.push(self.reads(inode, Aspect::Entries));
            preview.aspects.push(self.reads(inode, Aspect::Lock));
            // The number is another when the operation under way has told.
            preview.tells = self.inodes[inode].lock.is_some();
        }
        preview
    }

    /// A look-up, and what it finds.
    pub(super) fn preview_walk(
        &self,
        base: Option<u32>,
        path: &[u8],
        follow: bool,
    ) -> (Preview, Option<DentryId>) {
        let mut walk = Walk::new(Who::Library, self.start_of(base), path, follow);
        walk.touched = Some(Vec::new());
        let found = self.walk(&mut walk).ok();
        (self.preview_walked(walk), found)
    }

    fn preview_walked(&self, walk: Walk<'_>) -> Preview {
        let mut aspects = walk.touched.unwrap_or_default();
        let locks = walk.missed.map(|(directory, name)| {
            // From then on it is known that there is no such name.
            aspects.push(self.changes(directory, Aspect::entry(&name)));
            self.inodes[directory].number
        });
        Preview {
            aspects,
            locks,
            ..Preview::default()
        }
    }

    /// The next component of a look-up, or what comes when it is over.
    pub(super) fn preview_component(&self, walk: &Walk<'_>, more: bool) -> Preview {
        let mut next = walk.clone();
        next.touched = Some(Vec::new());
        let found = more && self.walk_on(&mut next).is_ok();
        let then = next.at;
        let mut preview = self.preview_walked(next);
        if found {
            let users = self.changes(self.dentries[then].inode, Aspect::Users);
            preview.aspects.push(users);
        }
        preview.aspects.extend(self.ends_with(walk.at));
        preview.tells = self.is_last_use(walk.at);
        if !more {
            // The call may open it, or watch it.
            preview.aspects.extend(self.told_of(walk.at));
            preview.aspects.extend(self.marked(walk.at));
            preview.tells |= self.is_heard_of(walk.at, libc::IN_OPEN) || self.is_full();
        }
        preview
    }

    pub(super) fn preview_open(
        &self,
        base: Option<u32>,
        path: &[u8],
        list: bool,
        follow: bool,
    ) -> Preview {
        if self.check_descriptors().is_err() {
            return Preview::default();
        }
        let (mut preview, found) = self.preview_walk(base, path, follow);
        if let Some(dentry) = found {
            let inode = self.dentries[dentry].inode;
            preview.aspects.push(self.changes(inode, Aspect::Users));
            if list {
                preview.aspects.push(self.reads(inode, Aspect::Mode));
                preview.aspects.extend(self.told_of(dentry));
                preview.tells = self.is_heard_of(dentry, libc::IN_OPEN);
            }
        }
        preview
    }

    /// What counts when an inode gets a watch.
    pub(super) fn marked(&self, dentry: DentryId) -> [Touch; 2] {
        let inode = self.dentries[dentry].inode;
        [
            self.reads(inode, Aspect::Mode),
            self.changes(inode, Aspect::Watches),
        ]
    }

    pub(super) fn preview_add(&self, base: Option<u32>, path: &[u8], follow: bool) -> Preview {
        let (mut preview, found) = self.preview_walk(base, path, follow);
        preview.tells = self.is_full();
        let marked = found.map(|dentry| self.marked(dentry));
        preview.aspects.extend(marked.into_iter().flatten());
        preview
    }

    pub(super) fn preview_add_open(&self, file: u32) -> Preview {
        Preview {
            aspects: self.marked(self.directory_at(file)).to_vec(),
            tells: self.is_full(),
            ..Preview::default()
        }
    }

    pub(super) fn preview_wd(&self, file: u32, wd: i32, changes: bool) -> Preview {
        let instance = &self.instances[self.instance_at(file)];
        let inode = instance.watches.get(&wd);
        let watches = inode.map(|&inode| match changes {
            true => self.changes(inode, Aspect::Watches),
            false => self.reads(inode, Aspect::Watches),
        });
        Preview {
            aspects: watches.into_iter().collect(),
            tells: changes,
            ..Preview::default()
        }
    }
}
