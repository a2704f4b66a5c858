//! The names of inotify(7)'s bits, written down once more so that the library's own table is not its own judge.

pub const NAMES: [(&str, u32); 16] = [
    ("ACCESS", libc::IN_ACCESS),
    ("MODIFY", libc::IN_MODIFY),
    ("ATTRIB", libc::IN_ATTRIB),
    ("CLOSE_WRITE", libc::IN_CLOSE_WRITE),
    ("CLOSE_NOWRITE", libc::IN_CLOSE_NOWRITE),
    ("OPEN", libc::IN_OPEN),
    ("MOVED_FROM", libc::IN_MOVED_FROM),
    ("MOVED_TO", libc::IN_MOVED_TO),
    ("CREATE", libc::IN_CREATE),
    ("DELETE", libc::IN_DELETE),
    ("DELETE_SELF", libc::IN_DELETE_SELF),
    ("MOVE_SELF", libc::IN_MOVE_SELF),
    ("UNMOUNT", libc::IN_UNMOUNT),
    ("Q_OVERFLOW", libc::IN_Q_OVERFLOW),
    ("IGNORED", libc::IN_IGNORED),
    ("ISDIR", libc::IN_ISDIR),
];

const ASKED: [(&str, u32); 9] = [
    ("CLOSE", libc::IN_CLOSE),
    ("MOVE", libc::IN_MOVE),
    ("ALL", libc::IN_ALL_EVENTS),
    ("ONLYDIR", libc::IN_ONLYDIR),
    ("DONT_FOLLOW", libc::IN_DONT_FOLLOW),
    ("EXCL_UNLINK", libc::IN_EXCL_UNLINK),
    ("MASK_CREATE", libc::IN_MASK_CREATE),
    ("MASK_ADD", libc::IN_MASK_ADD),
    ("ONESHOT", libc::IN_ONESHOT),
];

/// `CREATE|ISDIR`, `0` for none; bits without a name as `0x...`.
pub fn format(mask: u32) -> String {
    let mut parts = Vec::new();
    let mut rest = mask;
    for (name, bit) in NAMES.iter().chain(&ASKED[3..]) {
        if rest & bit == *bit {
            parts.push(name.to_string());
            rest &= !bit;
        }
    }
    if rest != 0 {
        parts.push(format!("{rest:#x}"));
    }
    if parts.is_empty() {
        "0".into()
    } else {
        parts.join("|")
    }
}

pub fn parse(text: &str) -> Option<u32> {
    text.split('|').try_fold(0, |mask, part| {
        if let Some(number) = part.strip_prefix("0x") {
            return Some(mask | u32::from_str_radix(number, 16).ok()?);
        }
        let bit = NAMES
            .iter()
            .chain(&ASKED)
            .find(|(name, _)| *name == part)?
            .1;
        Some(mask | bit)
    })
}
