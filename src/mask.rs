//! The bits of `inotify(7)` and our own flags, with the kernel's values.

use std::fmt;

bitflags::bitflags! {
    /// Event bits and watch flags; each equals the kernel's `IN_*` of the same name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Mask: u32 {
        const ACCESS = libc::IN_ACCESS;
        const MODIFY = libc::IN_MODIFY;
        const ATTRIB = libc::IN_ATTRIB;
        const CLOSE_WRITE = libc::IN_CLOSE_WRITE;
        const CLOSE_NOWRITE = libc::IN_CLOSE_NOWRITE;
        const OPEN = libc::IN_OPEN;
        const MOVED_FROM = libc::IN_MOVED_FROM;
        const MOVED_TO = libc::IN_MOVED_TO;
        const CREATE = libc::IN_CREATE;
        const DELETE = libc::IN_DELETE;
        const DELETE_SELF = libc::IN_DELETE_SELF;
        const MOVE_SELF = libc::IN_MOVE_SELF;

        const UNMOUNT = libc::IN_UNMOUNT;
        const Q_OVERFLOW = libc::IN_Q_OVERFLOW;
        const IGNORED = libc::IN_IGNORED;

        const ONLYDIR = libc::IN_ONLYDIR;
        const DONT_FOLLOW = libc::IN_DONT_FOLLOW;
        const EXCL_UNLINK = libc::IN_EXCL_UNLINK;
        const MASK_CREATE = libc::IN_MASK_CREATE;
        const MASK_ADD = libc::IN_MASK_ADD;
        const ISDIR = libc::IN_ISDIR;
        const ONESHOT = libc::IN_ONESHOT;

        const CLOSE = libc::IN_CLOSE_WRITE | libc::IN_CLOSE_NOWRITE;
        const MOVE = libc::IN_MOVED_FROM | libc::IN_MOVED_TO;
        const ALL = libc::IN_ALL_EVENTS;
    }
}

impl Mask {
    /// What the kernel keeps of a watch's mask, as `/proc/self/fdinfo` shows it.
    pub(crate) const KEPT: Mask = Mask::ALL.union(Mask::EXCL_UNLINK).union(Mask::ONESHOT);
}

/// `CREATE|ISDIR`; unknown bits in hex, `0` for none.
impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.bits();
        let mut separator = "";
        for (name, flag) in self.iter_names() {
            // The compounds are made of bits that are named already.
            if flag.bits().count_ones() == 1 {
                write!(f, "{separator}{name}")?;
                separator = "|";
                rest &= !flag.bits();
            }
        }
        if rest != 0 || separator.is_empty() {
            match rest {
                0 => write!(f, "0")?,
                _ => write!(f, "{separator}{rest:#x}")?,
            }
        }
        Ok(())
    }
}

bitflags::bitflags! {
    /// How an instance is opened, as for `inotify_init1(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct InitFlags: u32 {
        const CLOEXEC = libc::IN_CLOEXEC as u32;
        const NONBLOCK = libc::IN_NONBLOCK as u32;
    }

    /// What an event is beside its mask.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct EventFlags: u32 {
        /// Not the kernel's: found on the disk by a scan.
        const SYNTHETIC = 1;
        /// Opens a list of all that a tree holds.
        const SYNC_BEGIN = 2;
        /// From here on the tree is whole.
        const SYNC_END = 4;
        /// A directory could not be watched; `error` says why.
        const ERROR = 8;
        /// A directory of which an ERROR has told is watched now.
        const HEALED = 0x80;
    }

    /// How a tree is watched.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RecursiveFlags: u32 {
        const LIST_EXISTING = 1;
        const BACKGROUND = 2;
        const ONE_FILESYSTEM = 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_prints_its_bits_by_name() {
        assert_eq!((Mask::CREATE | Mask::ISDIR).to_string(), "CREATE|ISDIR");
        assert_eq!(Mask::empty().to_string(), "0");
        assert_eq!(Mask::CLOSE.to_string(), "CLOSE_WRITE|CLOSE_NOWRITE");
        assert_eq!(
            Mask::from_bits_retain(0x100 | 0x10_0000).to_string(),
            "CREATE|0x100000"
        );
        assert_eq!(Mask::from_bits_retain(0x10_0000).to_string(), "0x100000");
    }

    #[test]
    fn all_is_every_event_bit_and_nothing_else() {
        assert_eq!(Mask::ALL.bits(), 0xfff);
    }
}
