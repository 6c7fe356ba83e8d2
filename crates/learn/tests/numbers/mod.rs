//! Numbers that are the same everywhere.

/// Numbers over many magnitudes, from Knuth's MMIX generator: 24 bits of mantissa, sign and exponent of their own.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    #[expect(clippy::cast_possible_truncation, reason = "at most 32 bits are left")]
    fn bits(&mut self, count: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> (64 - count)) as u32
    }

    pub(crate) fn next(&mut self) -> f32 {
        let (mantissa, sign, exponent) = (self.bits(23), self.bits(1), self.bits(4));
        f32::from_bits(sign << 31 | (120 - exponent) << 23 | mantissa)
    }
}
