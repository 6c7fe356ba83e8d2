//! Numbers of a few bits each, one after the other, the lowest bits first.

use alloc::vec::Vec;

/// Appends numbers to bytes.
pub(super) struct BitWriter<'a> {
    bytes: &'a mut Vec<u8>,
    pending: u32,
    held: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) const fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, pending: 0, held: 0 }
    }

    /// Appends a number of so many bits, at most 24.
    pub(super) fn put(&mut self, number: u32, bits: u32) {
        self.pending |= number << self.held;
        self.held += bits;
        while self.held >= 8 {
            self.byte();
            self.held -= 8;
        }
    }

    /// Fills the last byte with zeros.
    pub(super) fn finish(mut self) {
        if self.held > 0 {
            self.byte();
        }
    }

    fn byte(&mut self) {
        self.bytes.push(self.pending.to_le_bytes()[0]);
        self.pending >>= 8;
    }
}

/// Reads numbers from bytes; what is beyond them is zero.
pub(super) struct BitReader<'a> {
    bytes: core::slice::Iter<'a, u8>,
    pending: u32,
    held: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter(), pending: 0, held: 0 }
    }

    /// The next number of so many bits, at most 24.
    pub(super) fn take(&mut self, bits: u32) -> u32 {
        while self.held < bits {
            self.pending |= u32::from(self.bytes.next().copied().unwrap_or(0)) << self.held;
            self.held += 8;
        }
        let number = self.pending & ((1 << bits) - 1);
        self.pending >>= bits;
        self.held -= bits;
        number
    }

    /// Whether nothing but zeros is left of the last byte.
    pub(super) const fn is_at_end(&self) -> bool {
        self.pending == 0
    }
}
