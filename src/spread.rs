//! The hasher of maps whose keys are spread without it.

use std::hash::Hasher;

/// For keys that are hashes already, and for numbers that count up.
#[derive(Default)]
pub(crate) struct SpreadHasher(u64);

impl Hasher for SpreadHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.write_u32(n as u32 ^ (n >> 32) as u32);
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        // The map takes its buckets from the low bits and its tags from the seven highest.
        const TAG: u64 = 0x7f << 57;
        let n = self.0 ^ u64::from(n);
        self.0 = n & !TAG | n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & TAG;
    }
}
