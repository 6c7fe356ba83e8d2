//! Four single-precision lanes with the same bits on every machine: wasm `simd128`, SSE2, or plain code.
//!
//! Only operations that IEEE 754 defines to the bit are here, and no fused multiply-add. Comparisons give masks
//! of all ones or zeros as lane bits.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[expect(unsafe_code, reason = "loads and stores of vectors take pointers")]
#[path = "simd/wasm.rs"]
mod lanes;

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "SSE2 intrinsics are unsafe to call without naming the feature, which would hinder inlining"
)]
#[path = "simd/sse2.rs"]
mod lanes;

#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
#[path = "simd/plain.rs"]
mod lanes;

/// Four lanes.
#[derive(Clone, Copy)]
pub(crate) struct F4(lanes::Lanes);

impl F4 {
    /// The first four elements; zeros if there are fewer.
    #[inline(always)]
    pub(crate) fn load(slice: &[f32]) -> Self {
        slice.first_chunk::<4>().map_or_else(|| Self::splat(0.0), |four| Self(lanes::load(four)))
    }

    /// As many elements as there are, then `rest`.
    // Not inlined: it is needed at ends of rows only, but there in every loop.
    #[cold]
    #[inline(never)]
    pub(crate) fn load_partial(slice: &[f32], rest: f32) -> Self {
        // Lane by lane: a vector read from what was just written number by number would have to wait.
        Self::new(match *slice {
            [] => [rest; 4],
            [a] => [a, rest, rest, rest],
            [a, b] => [a, b, rest, rest],
            [a, b, c] => [a, b, c, rest],
            [a, b, c, d, ..] => [a, b, c, d],
        })
    }

    /// Four elements, or as many as there are and zeros, without a call: where there is one in a loop, a browser's
    /// compiler keeps no lanes in registers across it, even if it is never made.
    #[inline(always)]
    pub(crate) fn load_in_loop(slice: &[f32]) -> Self {
        if slice.len() >= 4 {
            return Self::load(slice);
        }
        let mut all = [0.0; 4];
        for (to, from) in all.iter_mut().zip(slice) {
            *to = *from;
        }
        Self::new(all)
    }

    /// [`F4::store`] without a call, as [`F4::load_in_loop`].
    #[inline(always)]
    pub(crate) fn store_in_loop(self, slice: &mut [f32]) {
        if let Some(to) = slice.first_chunk_mut::<4>() {
            lanes::store(self.0, to);
        } else {
            for (to, from) in slice.iter_mut().zip(self.array()) {
                *to = from;
            }
        }
    }

    /// These lanes.
    #[inline(always)]
    pub(crate) fn new(x: [f32; 4]) -> Self {
        Self(lanes::new(x))
    }

    /// All lanes alike.
    #[inline(always)]
    pub(crate) fn splat(x: f32) -> Self {
        Self(lanes::splat(x))
    }

    /// All lanes with these bits.
    #[inline(always)]
    pub(crate) fn splat_bits(x: u32) -> Self {
        Self(lanes::splat_bits(x))
    }

    #[inline(always)]
    pub(crate) fn array(self) -> [f32; 4] {
        lanes::array(self.0)
    }

    /// Writes to the first four elements, or to as many as there are.
    #[inline(always)]
    pub(crate) fn store(self, slice: &mut [f32]) {
        if let Some(to) = slice.first_chunk_mut::<4>() {
            lanes::store(self.0, to);
        } else {
            self.store_partial(slice);
        }
    }

    /// Writes to as many elements as there are.
    // Not inlined: as with partial loads.
    #[cold]
    #[inline(never)]
    fn store_partial(self, slice: &mut [f32]) {
        let [first, second, third, _] = self.array();
        match slice {
            [a] => *a = first,
            [a, b] => [*a, *b] = [first, second],
            [a, b, c] => [*a, *b, *c] = [first, second, third],
            _ => {}
        }
    }

    #[inline(always)]
    pub(crate) fn sqrt(self) -> Self {
        Self(lanes::sqrt(self.0))
    }

    #[inline(always)]
    pub(crate) fn gt(self, other: Self) -> Self {
        Self(lanes::gt(self.0, other.0))
    }

    #[inline(always)]
    pub(crate) fn equals(self, other: Self) -> Self {
        Self(lanes::eq(self.0, other.0))
    }

    #[inline(always)]
    pub(crate) fn and(self, other: Self) -> Self {
        Self(lanes::and(self.0, other.0))
    }

    /// The bits that are not set in the other.
    #[inline(always)]
    pub(crate) fn and_not(self, other: Self) -> Self {
        Self(lanes::and_not(self.0, other.0))
    }

    #[inline(always)]
    pub(crate) fn or(self, other: Self) -> Self {
        Self(lanes::or(self.0, other.0))
    }

    #[inline(always)]
    pub(crate) fn xor(self, other: Self) -> Self {
        Self(lanes::xor(self.0, other.0))
    }

    /// `a` where the mask's bits are set, else `b`.
    #[inline(always)]
    pub(crate) fn select(mask: Self, a: Self, b: Self) -> Self {
        Self(lanes::select(mask.0, a.0, b.0))
    }

    /// `self > other ? self : other`.
    #[inline(always)]
    pub(crate) fn max(self, other: Self) -> Self {
        Self(lanes::max(self.0, other.0))
    }

    /// `self < other ? self : other`.
    #[inline(always)]
    pub(crate) fn min(self, other: Self) -> Self {
        Self(lanes::min(self.0, other.0))
    }

    #[inline(always)]
    pub(crate) fn abs(self) -> Self {
        self.and(Self::splat_bits(0x7fff_ffff))
    }

    #[inline(always)]
    pub(crate) fn add_integers(self, other: Self) -> Self {
        Self(lanes::add_integers(self.0, other.0))
    }

    #[inline(always)]
    pub(crate) fn shift_left_23(self) -> Self {
        Self(lanes::shift_left_23(self.0))
    }

    #[inline(always)]
    pub(crate) fn shift_right_23(self) -> Self {
        Self(lanes::shift_right_23(self.0))
    }

    /// Lane bits as signed integers, converted to numbers.
    #[inline(always)]
    pub(crate) fn integers_to_numbers(self) -> Self {
        Self(lanes::from_integers(self.0))
    }

    /// `[a0 b0 a1 b1]` and `[a2 b2 a3 b3]`.
    #[inline(always)]
    pub(crate) fn zip(self, other: Self) -> [Self; 2] {
        lanes::zip(self.0, other.0).map(Self)
    }

    /// `[a0 a2 b0 b2]` and `[a1 a3 b1 b3]`: what stands at even and at odd places.
    #[inline(always)]
    pub(crate) fn unzip(self, other: Self) -> [Self; 2] {
        lanes::unzip(self.0, other.0).map(Self)
    }

    /// Rows become columns.
    #[inline(always)]
    pub(crate) fn transpose([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        lanes::transpose([a.0, b.0, c.0, d.0]).map(Self)
    }

    /// `(l0 + l1) + (l2 + l3)`.
    #[inline]
    pub(crate) fn sum(self) -> f32 {
        let [a, b, c, d] = self.array();
        (a + b) + (c + d)
    }

    /// The largest lane.
    #[inline]
    pub(crate) fn largest(self) -> f32 {
        let [a, b, c, d] = self.array();
        let first = if a > b { a } else { b };
        let second = if c > d { c } else { d };
        if first > second { first } else { second }
    }
}

impl core::ops::Add for F4 {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(lanes::add(self.0, other.0))
    }
}

impl core::ops::Sub for F4 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(lanes::sub(self.0, other.0))
    }
}

impl core::ops::Mul for F4 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(lanes::mul(self.0, other.0))
    }
}

impl core::ops::Div for F4 {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(lanes::div(self.0, other.0))
    }
}
