//! An event as the oracle judges it, whichever way it came: through the C ABI or from the core on the simulated kernel.

use super::masks;

pub const SYNTHETIC: u32 = 0x1;
pub const SYNC_BEGIN: u32 = 0x2;
pub const SYNC_END: u32 = 0x4;
pub const ERROR: u32 = 0x8;
pub const HEALED: u32 = 0x80;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The watch, 0 if there is none.
    pub watch: u64,
    pub wd: i32,
    pub mask: u32,
    pub cookie: u32,
    pub flags: u32,
    pub error: i32,
    pub name: Option<Vec<u8>>,
    pub path: Option<Vec<u8>>,
    pub moved_from: Option<Vec<u8>>,
}

impl Told {
    pub fn has(&self, bits: u32) -> bool {
        self.mask & bits != 0
    }

    pub fn flagged(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    pub fn is_dir(&self) -> bool {
        self.has(libc::IN_ISDIR)
    }
}

/// A path for people.
pub fn text(bytes: &Option<Vec<u8>>) -> String {
    bytes
        .as_ref()
        .map_or("-".into(), |bytes| bytes.escape_ascii().to_string())
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mask = masks::format(self.mask);
        let path = text(&self.path);
        write!(f, "watch {} wd {} {mask} {path}", self.watch, self.wd)?;
        if self.cookie != 0 {
            write!(f, " cookie {}", self.cookie)?;
        }
        if self.moved_from.is_some() {
            write!(f, " (from {})", text(&self.moved_from))?;
        }
        for (flag, name) in [
            (SYNTHETIC, "SYNTHETIC"),
            (SYNC_BEGIN, "SYNC_BEGIN"),
            (SYNC_END, "SYNC_END"),
            (ERROR, "ERROR"),
            (HEALED, "HEALED"),
        ] {
            if self.flagged(flag) {
                write!(f, " {name}")?;
            }
        }
        let others = self.flags & !0x8f;
        if others != 0 {
            write!(f, " flags {others:#x}")?;
        }
        if self.error != 0 {
            write!(f, " error {}", self.error)?;
        }
        Ok(())
    }
}
