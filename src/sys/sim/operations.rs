//! What the world does: the operations of other processes.

/// One operation of another process, which has all permissions. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Mkdir(Vec<u8>),
    /// open(2) with O_CREAT|O_EXCL|O_WRONLY, then close(2): CREATE, OPEN, CLOSE_WRITE.
    Create(Vec<u8>),
    /// open(2), write(2), close(2): OPEN, MODIFY, CLOSE_WRITE.
    Write(Vec<u8>),
    /// open(2), read(2) or getdents64(2), close(2): OPEN, ACCESS unless it is an empty file, CLOSE_NOWRITE.
    Read(Vec<u8>),
    Unlink(Vec<u8>),
    Rmdir(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    Exchange(Vec<u8>, Vec<u8>),
    /// A hard link: what there is, the new name.
    Link(Vec<u8>, Vec<u8>),
    /// A symbolic link: its text, its path.
    Symlink(Vec<u8>, Vec<u8>),
    /// The permissions of the library's process: 4 for r, 2 for w, 1 for x, or a mode whose owner's digit is meant (0o500).
    Chmod(Vec<u8>, u32),
    /// An empty filesystem over a directory.
    Mount(Vec<u8>),
    Unmount(Vec<u8>),
    /// Fills the queue of every instance until it overflows, with events that nobody reads.
    Overflow,
}
