//! Masks on their way from C to the core.

use super::failure::{Failure, Result};
use crate::Mask;
use crate::advice::text;

/// Turns the bits that C gave into a mask.
pub(crate) fn mask_from_c(bits: u32) -> Result<Mask> {
    Mask::from_bits(bits).ok_or_else(|| {
        let unknown = bits & !Mask::all().bits();
        let text = text!("`mask` has unknown bits {unknown:#x}");
        Failure::new(libc::EINVAL, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_bits_are_refused() {
        let all = Mask::all().bits();
        assert_eq!(mask_from_c(all).unwrap(), Mask::all());
        assert_eq!(mask_from_c(0).unwrap(), Mask::empty());
        let unknown = mask_from_c(0x0010_0000 | Mask::CREATE.bits()).unwrap_err();
        assert_eq!(unknown.errno(), libc::EINVAL);
    }
}
