//! A watched tree beside the plain watches: random changes, and a replica that must equal the disk when all was taken.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use libc::{IN_CREATE, IN_DELETE, IN_MOVED_FROM, IN_MOVED_TO};

use crate::support::abi::Event;
use crate::support::disk::on_disk;
use crate::support::replica::{Expect, Replica};
use crate::support::rng::Rng;

pub const MASK: u32 = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

pub struct Tree {
    root: PathBuf,
    pub id: u64,
    replica: Replica,
}

impl Tree {
    pub fn new(root: PathBuf, id: u64) -> Tree {
        let expect = Expect {
            mask: MASK,
            lists: true,
            complete: true,
            swaps: false,
            concurrent: false,
            trouble: false,
            max_depth: 0,
            alone: true,
        };
        Tree {
            replica: Replica::new(root.as_os_str().as_bytes(), expect),
            root,
            id,
        }
    }

    pub fn take(&mut self, event: &Event) -> Result<(), String> {
        Ok(self.replica.take(&event.told())?)
    }

    fn directory(&self, rng: &mut Rng) -> PathBuf {
        let mut path = self.root.clone();
        for _ in 0..rng.below(4) {
            path.push(["x", "y", "z"][rng.below(3)]);
        }
        path
    }

    /// A change that may fail: the names are few and chosen blindly.
    pub fn operate(&mut self, rng: &mut Rng) -> String {
        let directory = self.directory(rng);
        let file = directory.join(["1", "2", "3"][rng.below(3)]);
        let (what, done) = match rng.below(8) {
            0 | 1 => (
                format!("tree: mkdir -p {directory:?}"),
                fs::create_dir_all(&directory),
            ),
            2 if directory != self.root => (
                format!("tree: rm -r {directory:?}"),
                fs::remove_dir_all(&directory),
            ),
            3 if directory != self.root => {
                let to = self.directory(rng);
                (
                    format!("tree: mv {directory:?} {to:?}"),
                    fs::rename(&directory, &to),
                )
            }
            4 => {
                let to = self.directory(rng).join("3");
                (format!("tree: mv {file:?} {to:?}"), fs::rename(&file, &to))
            }
            5 => (format!("tree: rm {file:?}"), fs::remove_file(&file)),
            _ => (
                format!("tree: create {file:?}"),
                fs::File::create(&file).map(drop),
            ),
        };
        format!("{what} {}", if done.is_ok() { "" } else { "(failed)" })
    }

    pub fn differences(&mut self) -> String {
        let rest = self.replica.at_rest();
        match rest.and_then(|()| self.replica.compare(&on_disk(&self.root))) {
            Ok(()) => String::new(),
            Err(fault) => fault.text,
        }
    }
}
