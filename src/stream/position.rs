//! The position of an event in all that an instance ever read.

/// The number of bytes that were read before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Position(u64);

impl Position {
    /// Behind all that will ever be read.
    pub(crate) const END: Position = Position(u64::MAX);

    pub(crate) fn plus(self, bytes: usize) -> Position {
        Position(self.0 + bytes as u64)
    }

    /// How many bytes were read from an earlier position to this one.
    pub(crate) fn since(self, earlier: Position) -> usize {
        (self.0 - earlier.0) as usize
    }
}
