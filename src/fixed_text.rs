//! A text that needs no memory of its own: what doesn't fit is cut off.

use std::fmt;

pub(crate) struct FixedText<const ROOM: usize> {
    /// A NUL follows the text.
    bytes: [u8; ROOM],
    len: usize,
}

impl<const ROOM: usize> FixedText<ROOM> {
    pub(crate) const fn new() -> FixedText<ROOM> {
        FixedText {
            bytes: [0; ROOM],
            len: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        (self.bytes[0], self.len) = (0, 0);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// With a newline at its end.
    pub(crate) fn as_line(&mut self) -> &[u8] {
        self.bytes[self.len] = b'\n';
        &self.bytes[..=self.len]
    }

    pub(crate) fn as_bytes_with_nul(&self) -> &[u8] {
        &self.bytes[..=self.len]
    }
}

impl<const ROOM: usize> fmt::Write for FixedText<ROOM> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = ROOM - 1 - self.len;
        let end = self.len + text.len().min(room);
        self.bytes[self.len..end].copy_from_slice(&text.as_bytes()[..end - self.len]);
        (self.bytes[end], self.len) = (0, end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn what_does_not_fit_is_cut_off() {
        let mut text = FixedText::<8>::new();
        assert_eq!(text.as_bytes_with_nul(), b"\0");
        write!(text, "abc-{}", 1234567).unwrap();
        assert_eq!(text.as_bytes_with_nul(), b"abc-123\0");
        text.clear();
        write!(text, "x").unwrap();
        assert_eq!(text.as_bytes(), b"x");
    }
}
