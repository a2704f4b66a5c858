//! A few directories and files, and a model of inotify(7) that says exactly which events an operation on them causes.
//!
//! The model is held against the kernel itself in `the_model_is_the_kernel` (main.rs), so a difference seen through the
//! library is the library's.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use libc::*;

use crate::support::kernel::{exchange, queued_bytes};
use crate::support::masks;
use crate::support::rng::Rng;

/// The last of them comes and goes, so that watches end by themselves.
const DIRECTORIES: [&str; 4] = ["a", "b", "a-directory-with-a-longer-name", "volatile"];
const VOLATILE: usize = 3;
const FILES: [&str; 4] = [
    "f",
    "g",
    "name-of-15-bytes",
    "a-rather-long-file-name-so-that-records-differ-in-size",
];

const EVENT_BITS: u32 = IN_ALL_EVENTS;
const FLAG_BITS: u32 = IN_ONESHOT | IN_EXCL_UNLINK;

/// What a watch is on: directories and files have numbers of their own, as the kernel's inodes do.
pub type Inode = usize;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Active,
    /// Its IGNORED (or its one event) is queued.
    Ending,
    /// That event was delivered.
    Gone,
}

#[derive(Debug)]
pub struct Watch {
    pub id: u64,
    pub wd: i32,
    pub inode: Inode,
    pub path: PathBuf,
    pub mask: u32,
    pub state: State,
    /// Ended by rm_watch, not by the kernel.
    pub removed: bool,
}

/// An event that is queued and was not delivered yet.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Index of the watch; None for the IGNORED of a spent ONESHOT.
    pub watch: Option<usize>,
    pub wd: i32,
    pub mask: u32,
    pub cookie: u32,
    pub name: Option<String>,
    pub path: Option<PathBuf>,
    pub moved_from: Option<PathBuf>,
    /// The watch ends with it.
    pub last: bool,
    /// The kernel may have merged it with the one before: the model could not see what came between.
    pub maybe_merged: bool,
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "wd {} {} {:?}",
            self.wd,
            masks::format(self.mask),
            self.path
        )?;
        if let Some(from) = &self.moved_from {
            write!(f, " (from {from:?})")?;
        }
        if self.cookie != 0 {
            write!(f, " move {}", self.cookie)?;
        }
        if self.maybe_merged {
            write!(f, " (perhaps)")
        } else {
            Ok(())
        }
    }
}

pub struct World {
    root: PathBuf,
    inotify: c_int,
    directories: [Option<Inode>; DIRECTORIES.len()],
    files: HashMap<(usize, usize), Inode>,
    next_inode: Inode,
    pub watches: Vec<Watch>,
    on: HashMap<Inode, usize>,
    pub queue: VecDeque<Expected>,
    moves: u32,
    origins: HashMap<u32, PathBuf>,
    /// The kernel's queue is not empty, so that its last event is the queue's last here.
    kernel_holds_last: bool,
    /// Something unseen may have been queued behind the last event here.
    pub disturbed: bool,
}

const ROOT: Inode = 0;

impl World {
    pub fn new(root: &Path, inotify: c_int) -> World {
        let mut world = World {
            root: root.to_owned(),
            inotify,
            directories: [None; DIRECTORIES.len()],
            files: HashMap::new(),
            next_inode: ROOT + 1,
            watches: Vec::new(),
            on: HashMap::new(),
            queue: VecDeque::new(),
            moves: 0,
            origins: HashMap::new(),
            kernel_holds_last: false,
            disturbed: false,
        };
        for directory in 0..DIRECTORIES.len() {
            world.mkdir(directory);
        }
        world
    }

    fn directory_path(&self, directory: usize) -> PathBuf {
        self.root.join(DIRECTORIES[directory])
    }

    fn file_path(&self, (directory, name): (usize, usize)) -> PathBuf {
        self.directory_path(directory).join(FILES[name])
    }

    fn new_inode(&mut self) -> Inode {
        self.next_inode += 1;
        self.next_inode - 1
    }

    // The events.

    fn push(&mut self, event: Expected) {
        let merged = self.kernel_holds_last
            && self.queue.back().is_some_and(|last| {
                last.mask & IN_IGNORED == 0
                    && (last.wd, last.mask, &last.name) == (event.wd, event.mask, &event.name)
            });
        if merged && !self.disturbed {
            return;
        }
        if event.mask & IN_MOVED_FROM != 0 {
            let path = event.path.clone().expect("a MOVED_FROM has a path");
            self.origins.insert(event.cookie, path);
        }
        self.queue.push_back(Expected {
            maybe_merged: merged,
            ..event
        });
        self.kernel_holds_last = true;
        self.disturbed = false;
    }

    /// `bits` happens to an inode: what its watch, if it has one, makes of it.
    fn notify(&mut self, inode: Inode, bits: u32, name: Option<&str>, cookie: u32) {
        let Some(&index) = self.on.get(&inode) else {
            return;
        };
        let watch = &self.watches[index];
        if watch.mask & bits & EVENT_BITS == 0 {
            return;
        }
        let one_shot = watch.mask & IN_ONESHOT != 0;
        let path = name.map_or(watch.path.clone(), |name| watch.path.join(name));
        let wd = watch.wd;
        let moved_from = if bits & IN_MOVED_TO != 0 {
            self.origins.get(&cookie).cloned()
        } else {
            None
        };
        self.push(Expected {
            watch: Some(index),
            wd,
            mask: bits,
            cookie,
            name: name.map(str::to_owned),
            path: Some(path),
            moved_from,
            last: one_shot,
            maybe_merged: false,
        });
        if one_shot {
            self.end(index);
            self.push(Expected {
                watch: None,
                wd,
                mask: IN_IGNORED,
                cookie: 0,
                name: None,
                path: None,
                moved_from: None,
                last: false,
                maybe_merged: false,
            });
        }
    }

    fn end(&mut self, index: usize) {
        self.watches[index].state = State::Ending;
        self.on.remove(&self.watches[index].inode);
    }

    fn ignored(&mut self, index: usize) {
        self.end(index);
        let watch = &self.watches[index];
        self.push(Expected {
            watch: Some(index),
            wd: watch.wd,
            mask: IN_IGNORED,
            cookie: 0,
            name: None,
            path: Some(watch.path.clone()),
            moved_from: None,
            last: true,
            maybe_merged: false,
        });
    }

    /// Something happened to an entry: its directory's watch hears of it by name, then its own without.
    fn notify_entry(&mut self, parent: Inode, name: &str, inode: Inode, bits: u32) {
        self.notify(parent, bits, Some(name), 0);
        self.notify(inode, bits, None, 0);
    }

    fn notify_file(&mut self, at: (usize, usize), bits: u32) {
        let inode = self.files[&at];
        self.notify_entry(
            self.directories[at.0].expect("a file's directory"),
            FILES[at.1],
            inode,
            bits,
        );
    }

    fn notify_directory(&mut self, directory: usize, bits: u32) {
        let inode = self.directories[directory].expect("a directory that is there");
        self.notify_entry(ROOT, DIRECTORIES[directory], inode, bits | IN_ISDIR);
    }

    fn links(&self, inode: Inode) -> usize {
        self.files.values().filter(|&&other| other == inode).count()
    }

    /// The inode's last name went.
    fn gone(&mut self, inode: Inode) {
        self.notify(inode, IN_DELETE_SELF, None, 0);
        if let Some(&index) = self.on.get(&inode) {
            self.ignored(index);
        }
    }

    // The operations. Each does it, then says what it caused.

    fn mkdir(&mut self, directory: usize) {
        fs::create_dir(self.directory_path(directory)).expect("mkdir");
        self.directories[directory] = Some(self.new_inode());
        self.notify(ROOT, IN_CREATE | IN_ISDIR, Some(DIRECTORIES[directory]), 0);
    }

    fn rmdir(&mut self, directory: usize) {
        fs::remove_dir(self.directory_path(directory)).expect("rmdir");
        let inode = self.directories[directory].take().expect("it was there");
        self.gone(inode);
        self.notify(ROOT, IN_DELETE | IN_ISDIR, Some(DIRECTORIES[directory]), 0);
    }

    fn create(&mut self, at: (usize, usize)) {
        File::create_new(self.file_path(at)).expect("create");
        let inode = self.new_inode();
        self.files.insert(at, inode);
        self.notify(
            self.directories[at.0].expect("its directory"),
            IN_CREATE,
            Some(FILES[at.1]),
            0,
        );
        self.notify_file(at, IN_OPEN);
        self.notify_file(at, IN_CLOSE_WRITE);
    }

    fn write(&mut self, at: (usize, usize)) {
        let mut file = OpenOptions::new()
            .append(true)
            .open(self.file_path(at))
            .expect("open");
        file.write_all(b"x").expect("write");
        drop(file);
        for bits in [IN_OPEN, IN_MODIFY, IN_CLOSE_WRITE] {
            self.notify_file(at, bits);
        }
    }

    fn read(&mut self, at: (usize, usize)) {
        let mut file = File::open(self.file_path(at)).expect("open");
        let got = file.read(&mut [0; 1]).expect("read");
        drop(file);
        self.notify_file(at, IN_OPEN);
        if got > 0 {
            self.notify_file(at, IN_ACCESS);
        }
        self.notify_file(at, IN_CLOSE_NOWRITE);
    }

    fn chmod(&mut self, at: (usize, usize)) {
        fs::set_permissions(self.file_path(at), Permissions::from_mode(0o640)).expect("chmod");
        self.notify_file(at, IN_ATTRIB);
    }

    fn unlink(&mut self, at: (usize, usize)) {
        fs::remove_file(self.file_path(at)).expect("unlink");
        let inode = self.files.remove(&at).expect("it was there");
        self.notify(inode, IN_ATTRIB, None, 0);
        if self.links(inode) == 0 {
            self.gone(inode);
        }
        self.notify(
            self.directories[at.0].expect("its directory"),
            IN_DELETE,
            Some(FILES[at.1]),
            0,
        );
    }

    fn link(&mut self, from: (usize, usize), to: (usize, usize)) {
        fs::hard_link(self.file_path(from), self.file_path(to)).expect("link");
        let inode = self.files[&from];
        self.files.insert(to, inode);
        self.notify(inode, IN_ATTRIB, None, 0);
        self.notify(
            self.directories[to.0].expect("its directory"),
            IN_CREATE,
            Some(FILES[to.1]),
            0,
        );
    }

    fn moved(&mut self, from: (usize, usize), to: (usize, usize)) {
        self.moves += 1;
        let cookie = self.moves;
        self.notify(
            self.directories[from.0].expect("its directory"),
            IN_MOVED_FROM,
            Some(FILES[from.1]),
            cookie,
        );
        self.notify(
            self.directories[to.0].expect("its directory"),
            IN_MOVED_TO,
            Some(FILES[to.1]),
            cookie,
        );
    }

    fn rename(&mut self, from: (usize, usize), to: (usize, usize)) {
        fs::rename(self.file_path(from), self.file_path(to)).expect("rename");
        let inode = self.files[&from];
        let target = self.files.get(&to).copied();
        if target == Some(inode) {
            return; // two names of one file: rename(2) does nothing
        }
        self.files.remove(&from);
        self.files.insert(to, inode);
        self.moved(from, to);
        if let Some(target) = target {
            self.notify(target, IN_ATTRIB, None, 0);
        }
        self.notify(inode, IN_MOVE_SELF, None, 0);
        if let Some(target) = target.filter(|&target| self.links(target) == 0) {
            self.gone(target);
        }
    }

    fn swap(&mut self, a: (usize, usize), b: (usize, usize)) {
        exchange(&self.file_path(a), &self.file_path(b)).expect("exchange");
        let (one, other) = (self.files[&a], self.files[&b]);
        if one == other {
            return;
        }
        self.files.insert(a, other);
        self.files.insert(b, one);
        self.moved(a, b);
        self.notify(one, IN_MOVE_SELF, None, 0);
        self.moved(b, a);
        self.notify(other, IN_MOVE_SELF, None, 0);
    }

    fn chmod_directory(&mut self, directory: usize) {
        fs::set_permissions(
            self.directory_path(directory),
            Permissions::from_mode(0o750),
        )
        .expect("chmod");
        self.notify_directory(directory, IN_ATTRIB);
    }

    fn open_directory(&mut self, directory: usize) {
        drop(File::open(self.directory_path(directory)).expect("open a directory"));
        self.notify_directory(directory, IN_OPEN);
        self.notify_directory(directory, IN_CLOSE_NOWRITE);
    }

    /// A random operation. Returns what it was, for the trace.
    pub fn operate(&mut self, rng: &mut Rng) -> String {
        self.kernel_holds_last = queued_bytes(self.inotify) > 0;
        let directory = rng.below(DIRECTORIES.len());
        let at = (directory, rng.below(FILES.len()));
        if self.directories[directory].is_none() {
            self.mkdir(directory);
            return format!("mkdir {}", DIRECTORIES[directory]);
        }
        if directory == VOLATILE && rng.one_in(3) {
            for name in 0..FILES.len() {
                if self.files.contains_key(&(directory, name)) {
                    self.unlink((directory, name));
                }
            }
            self.rmdir(directory);
            return "rm -r volatile".into();
        }
        match rng.below(16) {
            0 => {
                self.chmod_directory(directory);
                return format!("chmod {}", DIRECTORIES[directory]);
            }
            1 => {
                self.open_directory(directory);
                return format!("open {}", DIRECTORIES[directory]);
            }
            _ => {}
        }
        let file = format!("{}/{}", DIRECTORIES[at.0], FILES[at.1]);
        if !self.files.contains_key(&at) {
            self.create(at);
            return format!("create {file}");
        }
        match rng.below(10) {
            0 => {
                self.unlink(at);
                format!("rm {file}")
            }
            1 => {
                self.chmod(at);
                format!("chmod {file}")
            }
            2 | 3 => {
                self.read(at);
                format!("read {file}")
            }
            4..=6 => {
                let to = (rng.below(DIRECTORIES.len()), rng.below(FILES.len()));
                let target = format!("{}/{}", DIRECTORIES[to.0], FILES[to.1]);
                if to == at || self.directories[to.0].is_none() {
                    self.write(at);
                    return format!("write {file}");
                }
                let occupied = self.files.contains_key(&to);
                if occupied && rng.one_in(2) {
                    self.swap(at, to);
                    format!("swap {file} {target}")
                } else if !occupied && rng.one_in(3) {
                    self.link(at, to);
                    format!("ln {file} {target}")
                } else {
                    self.rename(at, to);
                    format!("mv {file} {target}")
                }
            }
            _ => {
                self.write(at);
                format!("write {file}")
            }
        }
    }

    // The watches.

    /// Something to watch: mostly a directory.
    pub fn target(&self, rng: &mut Rng) -> (Inode, PathBuf) {
        if rng.one_in(8) {
            return (ROOT, self.root.clone());
        }
        let directory = rng.below(DIRECTORIES.len());
        let at = (directory, rng.below(FILES.len()));
        if rng.one_in(4)
            && let Some(&inode) = self.files.get(&at)
        {
            return (inode, self.file_path(at));
        }
        match self.directories[directory] {
            Some(inode) => (inode, self.directory_path(directory)),
            None => (ROOT, self.root.clone()),
        }
    }

    pub fn random_mask(rng: &mut Rng) -> u32 {
        let mut mask = match rng.below(4) {
            0 => IN_ALL_EVENTS,
            1 => IN_CREATE | IN_DELETE | IN_MOVE,
            2 => IN_MOVE,
            _ => rng.next() as u32 & IN_ALL_EVENTS,
        };
        if mask & IN_ALL_EVENTS == 0 {
            mask = IN_CLOSE_WRITE;
        }
        if rng.one_in(8) {
            mask |= IN_ONESHOT;
        }
        match rng.below(10) {
            0 => mask | IN_MASK_CREATE,
            1 | 2 => mask | IN_MASK_ADD,
            _ => mask,
        }
    }

    /// The watch that an inode has now.
    pub fn watch_on(&self, inode: Inode) -> Option<usize> {
        self.on.get(&inode).copied()
    }

    /// add_watch on an inode succeeded.
    pub fn added(&mut self, inode: Inode, path: PathBuf, asked: u32, id: u64, wd: i32) {
        let mask = asked & (EVENT_BITS | FLAG_BITS);
        if let Some(index) = self.watch_on(inode) {
            let watch = &mut self.watches[index];
            watch.mask = if asked & IN_MASK_ADD != 0 {
                watch.mask | mask
            } else {
                mask
            };
            return;
        }
        self.on.insert(inode, self.watches.len());
        self.watches.push(Watch {
            id,
            wd,
            inode,
            path,
            mask,
            state: State::Active,
            removed: false,
        });
    }

    pub fn removed(&mut self, index: usize) {
        self.kernel_holds_last = queued_bytes(self.inotify) > 0;
        self.watches[index].removed = true;
        self.ignored(index);
    }

    /// The kernel has merged it after all: nobody saw where the rename came from.
    pub fn was_merged(&mut self, event: &Expected) {
        if event.mask & IN_MOVED_FROM != 0 {
            for later in self
                .queue
                .iter_mut()
                .filter(|later| later.cookie == event.cookie)
            {
                later.moved_from = None;
            }
        }
    }

    /// The event was delivered.
    pub fn delivered(&mut self, event: &Expected) {
        if event.last {
            self.watches[event.watch.expect("a last event has a watch")].state = State::Gone;
        }
        if event.mask & IN_MOVED_TO != 0 {
            self.origins.remove(&event.cookie);
        }
    }
}
