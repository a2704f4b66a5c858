//! Trees and their places as text, for people.

use super::{Failure, Forest, Place, Standing, flags};
use crate::debug::{Quoted, Report};
use crate::watches::{NO_PLACE, PlaceId};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// How much of it is left to be done for a tree.
#[derive(Clone, Copy, Default)]
pub(crate) struct Backlog {
    wanted: usize,
    limbo: usize,
    doubts: usize,
    doomed: usize,
}

impl fmt::Display for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wanted, limbo) = (self.wanted, self.limbo);
        let (doubts, doomed) = (self.doubts, self.doomed);
        write!(
            f,
            "wanted scans {wanted}, limbo {limbo}, doubts {doubts}, doomed {doomed}"
        )
    }
}

impl Forest {
    /// What is left to be done, by the numbers of the trees.
    pub(crate) fn backlogs(&self) -> BTreeMap<u32, Backlog> {
        let mut backlogs = BTreeMap::<u32, Backlog>::new();
        let tree_of = |place: PlaceId| self.places.get(place).tree();
        for place in self.wanted.places(&self.places) {
            backlogs.entry(tree_of(place)).or_default().wanted += 1;
        }
        for place in self.limbo.tops() {
            backlogs.entry(tree_of(place)).or_default().limbo += 1;
        }
        for tree in self.doubts.trees() {
            backlogs.entry(tree).or_default().doubts += 1;
        }
        for &place in &self.doomed {
            backlogs.entry(tree_of(place)).or_default().doomed += 1;
        }
        backlogs
    }

    /// Appends a tree, without its places.
    pub(crate) fn dump_tree(&self, index: u32, backlog: Backlog, text: &mut Report) -> fmt::Result {
        let tree = &self.trees[index];
        let (id, path, absolute) = (tree.id(), Quoted(tree.path()), Quoted(tree.absolute()));
        write!(text, "watch {}: tree {path}", id.as_raw())?;
        if tree.path() != tree.absolute() {
            write!(text, " ({absolute})")?;
        }
        write!(text, ", mask {}, wd {}", tree.mask(), tree.root_wd)?;
        let states = [
            (!tree.ending, "active"),
            (tree.ending, "ending"),
            (tree.ended, "ended"),
            (tree.syncing, "syncing"),
            (tree.setting_up, "waited for"),
            (tree.lost, "lost"),
            (tree.has_filter(), "with a filter"),
            (tree.is_asking(), "asking it"),
        ];
        for (_, state) in states.iter().filter(|(is, _)| *is) {
            write!(text, ", {state}")?;
        }
        if let Some(Failure { errno, .. }) = &tree.failure {
            write!(text, ", failed with {errno}")?;
        }
        for (option, _) in tree.flags().iter_names() {
            write!(text, ", {option}")?;
        }
        let (depth, epoch) = (tree.max_depth(), tree.epoch);
        let (pending, places) = (tree.pending, tree.places);
        writeln!(
            text,
            ", max_depth {depth}, epoch {epoch}, pending {pending}, places {places}, {backlog}"
        )
    }

    /// Appends all places of all trees.
    pub(crate) fn dump_places(&self, text: &mut Report) -> fmt::Result {
        for (id, place) in self.places.from(0) {
            self.dump_place(id, place, text)?;
        }
        Ok(())
    }

    fn dump_place(&self, id: PlaceId, place: &Place, text: &mut Report) -> fmt::Result {
        let tree = &self.trees[place.tree()];
        write!(text, "place {id} of tree {}: ", tree.id().as_raw())?;
        match self.standing(id) {
            Standing::InTree => write!(text, "{}, in the tree", Quoted(self.path_of(id)))?,
            // It has no path, but a top that has lost its own.
            standing => {
                let (name, top) = (Quoted(place.name()), self.places.top(id));
                write!(text, "{name}, below place {top}, ")?;
                text.write_str(match standing {
                    Standing::Limbo { .. } => "in limbo",
                    Standing::Doomed => "doomed",
                    Standing::Nameless | Standing::InTree => "nameless",
                })?;
            }
        }
        write!(text, ", wd {}, epoch {}", place.wd(), place.epoch())?;
        let mut separator = ", ";
        for (_, name) in flags::NAMES.iter().filter(|(flag, _)| place.is(*flag)) {
            write!(text, "{separator}{name}")?;
            separator = "|";
        }
        match place.same_wd() {
            NO_PLACE => writeln!(text),
            other => writeln!(text, ", the same as place {other}"),
        }
    }

    /// Appends what else there is to be done.
    pub(crate) fn dump_work(&self, text: &mut Report) -> fmt::Result {
        writeln!(
            text,
            "trees: {} places to try again, {} renamed a moment ago, {} sweeps",
            self.troubles.len(),
            self.recent.len(),
            self.sweeps.len()
        )
    }
}
