//! Reaching the directories of a tree: its root is held open for the length of a slice, and all else is opened from there.
//!
//! A subdirectory is opened from its parent, of which it is known that it is the directory that it is taken for: the kernel
//! gives for it the descriptor that the parent has. So it matters to a scan whether the entry in its parent has changed
//! meanwhile, and not what has been renamed further up.

use super::{Scans, UNKNOWN, Work};
use crate::mask::Mask;
use crate::stream::Position;
use crate::sys::Sys;
use crate::sys::directory::{Access, DescriptorLinks, Directory};
use crate::tree::{PlaceRef, Standing, Tree};
use crate::watches::{NO_PLACE, Owner, PlaceId};
use std::cell::Cell;
use std::ffi::CString;

/// A directory that a scan has just watched.
pub(super) struct Watched {
    /// None: it is a leaf.
    pub(super) directory: Option<Directory>,
    pub(super) wd: i32,
    /// From here on the kernel tells all that the tree asks for.
    pub(super) since: Position,
}

#[derive(Default)]
pub(super) struct Reach {
    anchor: Option<Anchor>,
}

/// A tree's root, open for the length of a slice. Below the root, paths are right also if directories above are renamed.
struct Anchor {
    tree: u32,
    root: Directory,
    links: DescriptorLinks,
    /// Directories whose subdirectories come next, those of the last first.
    open: Vec<(PlaceRef, Directory)>,
    /// The device of the directory that was asked last, if links are counted there.
    counting: Option<(PlaceRef, Option<u64>)>,
}

impl Anchor {
    /// The directory that was opened last to open its subdirectories.
    fn parent(&self) -> &Directory {
        self.open.last().map_or(&self.root, |(_, parent)| parent)
    }
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
        self.leave();
        let root = open_root(work.forest.tree(index))?;
        self.reach.anchor = Some(Anchor {
            tree: index,
            root,
            links: DescriptorLinks::of_this_thread(),
            open: Vec::new(),
            counting: None,
        });
        Ok(())
    }

    /// Closes the root: an open directory can't tell of its end.
    pub(crate) fn leave(&mut self) {
        self.reach.anchor = None;
    }

    /// Tries once more with fewer descriptors where there is none left.
    fn with_spare_descriptors<T>(
        &mut self,
        work: &mut Work<'_>,
        mut f: impl FnMut(&mut Scans, &mut Work<'_>) -> Sys<T>,
    ) -> Sys<T> {
        match f(self, work) {
            Err(libc::EMFILE | libc::ENFILE) => {
                if let Some(anchor) = &mut self.reach.anchor {
                    anchor.open.clear();
                }
                self.close_listed();
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

    /// The directory of a place as an anchor, if it is the one that the place has; Err: it can't be told.
    pub(super) fn open_if_still_at(
        &mut self,
        id: PlaceId,
        work: &mut Work<'_>,
    ) -> Sys<Option<Directory>> {
        let directory = match self.open_anchor_of(id, work) {
            Ok(directory) => directory,
            Err(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        self.is_still(id, &directory, Mask::empty(), work)
            .map(|is_still| is_still.then_some(directory))
    }

    /// Whether the directory of a place is where it should be; None: it can't be told.
    pub(crate) fn is_still_at(&mut self, id: PlaceId, work: &mut Work<'_>) -> Option<bool> {
        let directory = self.open_if_still_at(id, work).ok()?;
        Some(directory.is_some())
    }

    /// Has the kernel tell of more in a directory, if it is where it should be.
    pub(super) fn watch_also(&mut self, id: PlaceId, more: Mask, work: &mut Work<'_>) -> Sys<bool> {
        let index = work.forest.place(id).tree();
        if work.forest.tree(index).root() == id {
            // To open it anew would take the right to search it.
            self.reach(index, work)?;
            let anchor = self.reach.anchor.as_ref().ok_or(libc::ENOENT)?;
            return self.is_still(id, &anchor.root, more, work);
        }
        let directory = self.open_anchor_of(id, work)?;
        self.is_still(id, &directory, more, work)
    }

    /// Whether what was opened is the directory that a place has. The kernel's word for it is its descriptor.
    fn is_still(
        &self,
        id: PlaceId,
        directory: &Directory,
        more: Mask,
        work: &mut Work<'_>,
    ) -> Sys<bool> {
        let tree = work.forest.tree_of(id);
        let mask = tree.kernel_mask(tree.root() == id) | more;
        let anchor = self.reach.anchor.as_ref().ok_or(libc::ENOENT)?;
        let found = match watch_open(directory, &anchor.links, id, mask, work) {
            Ok(found) => found,
            Err(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ESTALE) => return Ok(false),
            Err(errno) => return Err(errno),
        };
        self.abandon(found, work);
        Ok(found == work.forest.place(id).wd())
    }

    /// Opens the parent of a place, unless it is open. ESTALE: it is not where it should be.
    fn open_parent(&mut self, id: PlaceId, work: &mut Work<'_>) -> Sys<()> {
        let parent = work.forest.place(id).parent();
        let is_root = parent == NO_PLACE || work.forest.tree_of(id).root() == parent;
        let anchor = self.reach.anchor.as_mut().ok_or(libc::ENOENT)?;
        while let Some((open, _)) = anchor.open.last() {
            if !is_root && work.forest.places().resolve(*open) == Some(parent) {
                return Ok(());
            }
            anchor.open.pop();
        }
        if is_root {
            return Ok(());
        }
        let directory = self.open_if_still_at(parent, work)?.ok_or(libc::ESTALE)?;
        let reference = work.forest.places().reference(parent);
        let anchor = self.reach.anchor.as_mut().ok_or(libc::ENOENT)?;
        anchor.open.push((reference, directory));
        Ok(())
    }

    /// Opens a directory to list it, and watches it. ESTALE: its parent is not where it should be.
    fn open_and_watch(&mut self, id: PlaceId, work: &mut Work<'_>) -> Sys<(Directory, i32)> {
        self.with_spare_descriptors(work, |scans, work| {
            scans.open_parent(id, work)?;
            let (parent, name) = work.entry_of(id);
            scans.begin_reading((parent, &name), work)?;
            let anchor = scans.reach.anchor.as_ref().ok_or(libc::ENOENT)?;
            let tree = work.forest.tree_of(id);
            let is_root = tree.root() == id;
            let name = CString::new(name).map_err(|_| libc::EINVAL)?;
            let directory = match is_root {
                true => Directory::open(Some(&anchor.root), b"", Access::List, false)?,
                false => anchor.parent().open_child(&name)?,
            };
            scans.readings.set_wd(UNKNOWN);
            if tree.stays_on_one_filesystem() && directory.identity()?.dev != tree.identity().dev {
                return Err(libc::EXDEV);
            }
            let mask = tree.kernel_mask(is_root);
            let wd = watch_open(&directory, &anchor.links, id, mask, work)?;
            scans.is_reading(wd);
            Ok((directory, wd))
        })
    }

    /// Watches a directory, and opens it to list it; a leaf is not opened.
    pub(super) fn watch_and_open(&mut self, id: PlaceId, work: &mut Work<'_>) -> Sys<Watched> {
        let (directory, wd) = self.watch_somehow(id, work)?;
        match told_since(id, wd, work) {
            Ok(since) => Ok(Watched {
                directory,
                wd,
                since,
            }),
            Err(errno) => {
                self.abandon(wd, work);
                Err(errno)
            }
        }
    }

    fn watch_somehow(&mut self, id: PlaceId, work: &mut Work<'_>) -> Sys<(Option<Directory>, i32)> {
        let may_be_leaf = !work.watches.hears_reading() && work.forest.may_be_leaf(id);
        if may_be_leaf
            && let Some(device) = self.device_counting_links(id, work)
            && let Ok(found) = self.watch_by_name(id, device, work)
        {
            return Ok(found);
        }
        let (directory, wd) = self.open_and_watch(id, work)?;
        Ok((Some(directory), wd))
    }

    /// The device of the parent of a place, if links are counted there.
    fn device_counting_links(&mut self, id: PlaceId, work: &mut Work<'_>) -> Option<u64> {
        self.open_parent(id, work).ok()?;
        let places = work.forest.places();
        let parent = places.reference(places.get(id).parent());
        let anchor = self.reach.anchor.as_mut()?;
        match anchor.counting {
            Some((of, device)) if of == parent => device,
            _ => {
                let device = anchor.parent().device_counting_links();
                anchor.counting = Some((parent, device));
                device
            }
        }
    }

    /// Watches a directory by its name in its parent, and opens it only if it may have subdirectories: on `device` their
    /// links are counted. The name leads to the same directory in all these calls, unless the entry in the parent changes
    /// meanwhile: then the scan is void.
    fn watch_by_name(
        &mut self,
        id: PlaceId,
        device: u64,
        work: &mut Work<'_>,
    ) -> Sys<(Option<Directory>, i32)> {
        let anchor = self.reach.anchor.as_ref().ok_or(libc::ENOENT)?;
        let name = CString::new(work.forest.place(id).name()).map_err(|_| libc::EINVAL)?;
        let mask = work.forest.tree_of(id).kernel_mask(false);
        let wd = watch_for_tree(mask, work, |work, mask| {
            let inotify = work.stream.inotify();
            let links = &anchor.links;
            anchor.parent().watch_child(links, inotify, &name, mask)
        })?;
        if anchor.parent().is_leaf(&name, device) {
            return Ok((None, wd));
        }
        match anchor.parent().open_child(&name) {
            Ok(directory) => Ok((Some(directory), wd)),
            Err(errno) => {
                self.abandon(wd, work);
                Err(errno)
            }
        }
    }

    /// Waits until what can be seen of the directory that the last one was opened from has been told.
    pub(super) fn wait_for_parent(&self) -> Sys<()> {
        match &self.reach.anchor {
            Some(anchor) => anchor.parent().wait_for_renames(),
            None => Ok(()),
        }
    }

    /// The subdirectories of a directory are scanned next, and opened from here.
    pub(super) fn keep_open(&mut self, id: PlaceId, directory: Directory, work: &Work<'_>) {
        /// More are opened from the root.
        const OPEN: usize = 64;
        if work.watches.hears_reading() {
            return;
        }
        let tree = work.forest.place(id).tree();
        let anchor = self.reach.anchor.as_mut();
        if let Some(anchor) = anchor.filter(|it| it.tree == tree && it.open.len() < OPEN) {
            let reference = work.forest.places().reference(id);
            anchor.open.push((reference, directory));
        }
    }
}

/// From where on the kernel tells all that the tree of a place asks for. Where others had the directory already, it was told
/// before of what they ask for.
fn told_since(id: PlaceId, wd: i32, work: &mut Work<'_>) -> Sys<Position> {
    let (forest, fx) = work.trees();
    let is_known = forest.place(id).wd() == wd || !forest.others_with(id, wd, &fx).is_empty();
    if is_known || fx.watches.owner(wd).is_none() {
        return Ok(Position::default());
    }
    work.stream.drain()?;
    Ok(work.stream.tail())
}

/// Watches the very directory that is open, for a tree.
pub(crate) fn watch_open(
    directory: &Directory,
    links: &DescriptorLinks,
    id: PlaceId,
    mask: Mask,
    work: &mut Work<'_>,
) -> Sys<i32> {
    let stray = Cell::new(None);
    let watched = watch_for_tree(mask, work, |work, mask| {
        let path = || work.forest.absolute_path_of(id);
        directory.watch(links, work.stream.inotify(), path, mask, &stray)
    });
    if let Some(wd) = stray.get() {
        work.watches.is_unheld(wd);
    }
    watched
}

/// Adds a watch for a tree. A plain watch that has the directory too goes on hearing only what it asked for.
fn watch_for_tree(
    mask: Mask,
    work: &mut Work<'_>,
    add: impl Fn(&Work<'_>, Mask) -> Sys<i32>,
) -> Sys<i32> {
    let wd = add(work, mask).inspect_err(|_| work.watches.tree_watch_failed())?;
    let Some(Owner::Plain(index)) = work.watches.owner(wd) else {
        return Ok(wd);
    };
    work.watches.filter_plain(index);
    let Some(exact) = work.watches.mask_without_oneshot(wd, mask) else {
        return Ok(wd);
    };
    let added = add(work, exact);
    if added.is_err() {
        // Then it is the kernel's again, and is to end with what it has asked for.
        work.watches.leave_oneshot_to_kernel(index);
        let _ = add(work, work.watches.plain_mask(index));
    }
    added
}
