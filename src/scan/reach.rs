//! Reaching the directories of a tree: its root is held open for the length of a slice, and all else is opened from there.

use super::{Scans, Work};
use crate::mask::Mask;
use crate::sys::Sys;
use crate::sys::directory::{Access, Directory};
use crate::tree::{Forest, PlaceRef, Standing, Tree};
use crate::watches::{NO_PLACE, Owner, PlaceId};
use std::ffi::CStr;

#[derive(Default)]
pub(super) struct Reach {
    anchor: Option<Anchor>,
}

/// A tree's root, open for the length of a slice: below it, paths are right whatever happens above.
struct Anchor {
    tree: u32,
    root: Directory,
    /// Directories just listed whose subdirectories come next, those of the last first.
    open: Vec<(PlaceRef, Directory)>,
    /// Watches were added by full path, which is right only if the root still has that path at the end.
    by_path: bool,
    /// The full path of the directory scanned last, and which part of it is whose: most often the next one has the same
    /// parent.
    path: Vec<u8>,
    parent: Option<PathOf>,
}

struct PathOf {
    place: PlaceId,
    version: u64,
    len: usize,
}

impl Anchor {
    /// Puts the full path of a place together, with a NUL at its end.
    fn put_path_together(&mut self, id: PlaceId, forest: &Forest) {
        let place = forest.place(id);
        let root = forest.tree_of(id).absolute();
        let (parent, version) = (place.parent(), forest.version());
        match &self.parent {
            Some(of) if of.place == parent && of.version == version => self.path.truncate(of.len),
            _ => {
                self.path.clear();
                match parent {
                    NO_PLACE => self.path.extend_from_slice(root),
                    _ => forest.append_path(parent, root, &mut self.path),
                }
                if self.path.last() == Some(&b'/') && parent != NO_PLACE {
                    self.path.pop();
                }
                self.parent = Some(PathOf {
                    place: parent,
                    version,
                    len: self.path.len(),
                });
            }
        }
        if parent != NO_PLACE {
            self.path.push(b'/');
            self.path.extend_from_slice(place.name());
        }
        self.path.push(0);
    }

    /// Opens the directory of a place to list it: from its parent, if that is open, else from the root.
    fn open_place(&mut self, id: PlaceId, forest: &Forest) -> Sys<Directory> {
        let (name, parent) = (forest.place(id).name(), forest.place(id).parent());
        while let Some((open, _)) = self.open.last()
            && forest.places().resolve(*open) != Some(parent)
        {
            self.open.pop();
        }
        let path = &self.path;
        match self.open.last() {
            Some((_, above)) => {
                let name = CStr::from_bytes_with_nul(&path[path.len() - 1 - name.len()..]);
                above.open_child(name.map_err(|_| libc::EINVAL)?)
            }
            None => {
                let below = below_root(path, forest.tree_of(id));
                Directory::open(Some(&self.root), below, Access::List, false)
            }
        }
    }
}

/// What is left of a full path with a NUL behind that of the root.
fn below_root<'a>(path: &'a [u8], tree: &Tree) -> &'a [u8] {
    let root = tree.absolute();
    let stem = root.strip_suffix(b"/").unwrap_or(root).len();
    path.get(stem + 1..path.len() - 1).unwrap_or(b"")
}

fn open_root(tree: &Tree) -> Sys<Directory> {
    let root = Directory::open(None, tree.absolute(), Access::Anchor, true)?;
    match root.identity()? == tree.identity() {
        true => Ok(root),
        false => Err(libc::ENOENT),
    }
}

impl Scans {
    /// Opens the root of a tree, unless it is open.
    pub(super) fn reach(&mut self, index: u32, work: &mut Work<'_>) -> Sys<()> {
        let open = self.reach.anchor.as_ref();
        if open.is_some_and(|anchor| anchor.tree == index) {
            return Ok(());
        }
        self.leave(work);
        let root = open_root(work.forest.tree(index))?;
        self.reach.anchor = Some(Anchor {
            tree: index,
            root,
            open: Vec::new(),
            by_path: false,
            path: Vec::new(),
            parent: None,
        });
        Ok(())
    }

    pub(crate) fn is_reaching(&self) -> bool {
        self.reach.anchor.is_some()
    }

    /// Closes the root: an open directory can't tell of its end. If its path has changed meanwhile, watches added by that
    /// path may be on anything.
    pub(crate) fn leave(&mut self, work: &mut Work<'_>) {
        let Some(Anchor { tree, by_path, .. }) = self.reach.anchor.take() else {
            return;
        };
        let known = work.forest.get_tree(tree);
        if by_path
            && known.is_some_and(|tree| !tree.is_ending() && open_root(tree).is_err())
            && root_is_alive(tree, work)
        {
            let (forest, mut fx) = work.trees();
            forest.begin_sync(tree, &mut fx);
        }
    }

    /// Closes what is open only to be quicker.
    fn spare_descriptors(&mut self) {
        if let Some(anchor) = &mut self.reach.anchor {
            anchor.open.clear();
        }
        self.close_listed();
    }

    /// Tries once more with fewer descriptors where there is none left.
    fn with_spare_descriptors<T>(
        &mut self,
        work: &mut Work<'_>,
        mut f: impl FnMut(&mut Scans, &mut Work<'_>) -> Sys<T>,
    ) -> Sys<T> {
        match f(self, work) {
            Err(libc::EMFILE | libc::ENFILE) => {
                self.spare_descriptors();
                f(self, work)
            }
            result => result,
        }
    }

    /// A directory of a tree as an anchor, if it is where it should be.
    pub(super) fn open_anchor_of(&mut self, id: PlaceId, work: &mut Work<'_>) -> Sys<Directory> {
        if work.forest.standing(id) != Standing::InTree {
            return Err(libc::ENOENT);
        }
        self.reach(work.forest.place(id).tree(), work)?;
        let mut path = Vec::new();
        work.forest.places().append_path(id, &mut path);
        let path = path.strip_prefix(b"/").unwrap_or(&path);
        self.with_spare_descriptors(work, |scans, _| match &scans.reach.anchor {
            Some(anchor) => Directory::open(Some(&anchor.root), path, Access::Anchor, false),
            None => Err(libc::ENOENT),
        })
    }

    /// Opens a directory to list it, and watches it.
    pub(super) fn open_and_watch(
        &mut self,
        id: PlaceId,
        work: &mut Work<'_>,
    ) -> Sys<(Directory, i32)> {
        self.with_spare_descriptors(work, |scans, work| {
            let mut anchor = scans.reach.anchor.take().ok_or(libc::ENOENT)?;
            let opened = open_and_watch_from(&mut anchor, id, work);
            scans.reach.anchor = Some(anchor);
            opened
        })
    }

    /// The subdirectories of a directory are scanned next, and opened from here.
    pub(super) fn keep_open(&mut self, id: PlaceId, directory: Directory, work: &Work<'_>) {
        /// More are opened from the root.
        const OPEN: usize = 64;
        let tree = work.forest.place(id).tree();
        let anchor = self.reach.anchor.as_mut();
        if let Some(anchor) = anchor.filter(|it| it.tree == tree && it.open.len() < OPEN) {
            let reference = work.forest.places().reference(id);
            anchor.open.push((reference, directory));
        }
    }
}

fn open_and_watch_from(
    anchor: &mut Anchor,
    id: PlaceId,
    work: &mut Work<'_>,
) -> Sys<(Directory, i32)> {
    anchor.put_path_together(id, work.forest);
    let directory = anchor.open_place(id, work.forest)?;
    let tree = work.forest.tree_of(id);
    if tree.stays_on_one_filesystem() && directory.identity()?.dev != tree.identity().dev {
        return Err(libc::EXDEV);
    }
    let mask = tree.kernel_mask(tree.root() == id);
    let path = &anchor.path;
    let wd = if path.len() < libc::PATH_MAX as usize {
        anchor.by_path = true;
        work.stream.inotify().add_terminated(path, mask)?
    } else {
        directory.watch(work.stream.inotify(), path, mask)?
    };
    let wd = share_with_plain(&directory, path, wd, mask, work)?;
    Ok((directory, wd))
}

/// A watch was added for a tree. A plain watch that has it too goes on hearing only what it asked for.
fn share_with_plain(
    directory: &Directory,
    path: &[u8],
    wd: i32,
    mask: Mask,
    work: &mut Work<'_>,
) -> Sys<i32> {
    let Some(Owner::Plain(index)) = work.watches.owner(wd) else {
        return Ok(wd);
    };
    work.watches.filter_plain(index);
    match work.watches.mask_without_oneshot(wd, mask) {
        Some(exact) => directory.watch(work.stream.inotify(), path, exact),
        None => Ok(wd),
    }
}

/// Watches the very directory that is open, for a tree.
pub(crate) fn watch_open(
    directory: &Directory,
    id: PlaceId,
    mask: Mask,
    work: &mut Work<'_>,
) -> Sys<i32> {
    let path = work.forest.absolute_path_of(id);
    let wd = directory.watch(work.stream.inotify(), &path, mask)?;
    share_with_plain(directory, &path, wd, mask, work)
}

/// Whether the kernel still watches a tree's root, as far as it has told.
fn root_is_alive(index: u32, work: &mut Work<'_>) -> bool {
    let wd = work.forest.tree(index).root_wd();
    let ended = Mask::IGNORED.bits() | Mask::DELETE_SELF.bits();
    let ends = |event: &crate::stream::RawEvent<'_>| event.wd == wd && event.mask & ended != 0;
    work.stream.drain().is_ok() && !work.stream.pending().any(|(_, event)| ends(&event))
}
