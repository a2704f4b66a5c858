//! Directory entries as getdents64(2) writes them.

use std::ffi::CStr;

/// What an entry of a directory is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Directory,
    Regular,
    Other,
}

// struct linux_dirent64: u64 ino, i64 off, u16 reclen, u8 type, then the name.
const RECLEN: usize = 16;
const TYPE: usize = 18;
const NAME: usize = 19;

/// What was read of a directory at one go.
pub(crate) struct Chunk {
    pub(crate) len: usize,
    /// Whether there are subdirectories among it.
    pub(crate) has_directories: bool,
}

impl Chunk {
    /// Behind the last entry.
    pub(crate) const END: Chunk = Chunk {
        len: 0,
        has_directories: false,
    };
}

/// The length of the entry at an offset, and its kind if the filesystem tells; None behind the last entry.
pub(crate) fn at(raw: &[u8], at: usize) -> Option<(usize, Option<Kind>)> {
    let entry = raw.get(at..).filter(|rest| rest.len() > NAME)?;
    let length = usize::from(u16::from_ne_bytes([entry[RECLEN], entry[RECLEN + 1]]));
    let kind = match entry[TYPE] {
        libc::DT_UNKNOWN => None,
        libc::DT_DIR => Some(Kind::Directory),
        libc::DT_REG => Some(Kind::Regular),
        _ => Some(Kind::Other),
    };
    Some((length, kind))
}

pub(crate) fn name_at(raw: &[u8], at: usize) -> &CStr {
    CStr::from_bytes_until_nul(&raw[at + NAME..]).unwrap_or_default()
}

pub(crate) fn set_kind_at(raw: &mut [u8], at: usize, kind: Kind) {
    raw[at + TYPE] = match kind {
        Kind::Directory => libc::DT_DIR,
        Kind::Regular => libc::DT_REG,
        Kind::Other => libc::DT_FIFO,
    };
}

pub(crate) fn is_dot_at(raw: &[u8], at: usize) -> bool {
    is_dot(&raw[at + NAME..])
}

fn is_dot(name: &[u8]) -> bool {
    matches!(name, [b'.', 0, ..] | [b'.', b'.', 0, ..])
}

/// One entry of a listing, and the offset of the next.
pub(crate) struct Entry<'a> {
    /// With the NUL and padding.
    name: &'a [u8],
    pub(crate) kind: Kind,
    pub(crate) next: usize,
}

impl<'a> Entry<'a> {
    pub(crate) fn name(&self) -> &'a CStr {
        CStr::from_bytes_until_nul(self.name).unwrap_or_default()
    }
}

/// The entries in what `Directory::read` filled, from an offset on, `.` and `..` left out.
pub(crate) fn entries(raw: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = raw.get(next..).filter(|rest| rest.len() > NAME)?;
            let length = usize::from(u16::from_ne_bytes([rest[RECLEN], rest[RECLEN + 1]]));
            let entry = rest.get(..length)?;
            next += length;
            let name = entry.get(NAME..)?;
            if is_dot(name) {
                continue;
            }
            let kind = match entry[TYPE] {
                libc::DT_DIR => Kind::Directory,
                libc::DT_REG => Kind::Regular,
                _ => Kind::Other,
            };
            return Some(Entry { name, kind, next });
        }
    })
}
