//! Four single-precision lanes with the same bits on every machine: wasm `simd128`, SSE2, or plain code.
//!
//! Only operations that IEEE 754 defines to the bit are here, and no fused multiply-add. Comparisons give masks
//! of all ones or zeros as lane bits.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[expect(unsafe_code, reason = "loads and stores of vectors take pointers")]
mod lanes {
    use core::arch::wasm32::{
        f32x4, f32x4_add, f32x4_convert_i32x4, f32x4_div, f32x4_eq, f32x4_extract_lane, f32x4_gt, f32x4_mul,
        f32x4_pmax, f32x4_pmin, f32x4_splat, f32x4_sqrt, f32x4_sub, i32x4_add, i32x4_shl, i32x4_shuffle,
        u32x4_shr, u32x4_splat, v128, v128_and, v128_andnot, v128_bitselect, v128_load, v128_or, v128_store,
        v128_xor,
    };

    pub(crate) type Lanes = v128;
    #[inline(always)]
    pub(super) fn load(x: &[f32; 4]) -> Lanes {
        // SAFETY: the reference is to 16 bytes; the instruction needs no alignment.
        unsafe { v128_load(x.as_ptr().cast()) }
    }
    #[inline(always)]
    pub(super) fn store(a: Lanes, to: &mut [f32; 4]) {
        // SAFETY: the reference is to 16 bytes; the instruction needs no alignment.
        unsafe { v128_store(to.as_mut_ptr().cast(), a) }
    }
    #[inline(always)]
    pub(super) fn new(x: [f32; 4]) -> Lanes {
        f32x4(x[0], x[1], x[2], x[3])
    }
    #[inline(always)]
    pub(super) fn array(a: Lanes) -> [f32; 4] {
        [
            f32x4_extract_lane::<0>(a),
            f32x4_extract_lane::<1>(a),
            f32x4_extract_lane::<2>(a),
            f32x4_extract_lane::<3>(a),
        ]
    }
    #[inline(always)]
    pub(super) fn splat(x: f32) -> Lanes {
        f32x4_splat(x)
    }
    #[inline(always)]
    pub(super) fn splat_bits(x: u32) -> Lanes {
        u32x4_splat(x)
    }
    #[inline(always)]
    pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
        f32x4_add(a, b)
    }
    #[inline(always)]
    pub(super) fn sub(a: Lanes, b: Lanes) -> Lanes {
        f32x4_sub(a, b)
    }
    #[inline(always)]
    pub(super) fn mul(a: Lanes, b: Lanes) -> Lanes {
        f32x4_mul(a, b)
    }
    #[inline(always)]
    pub(super) fn div(a: Lanes, b: Lanes) -> Lanes {
        f32x4_div(a, b)
    }
    #[inline(always)]
    pub(super) fn sqrt(a: Lanes) -> Lanes {
        f32x4_sqrt(a)
    }
    #[inline(always)]
    pub(super) fn gt(a: Lanes, b: Lanes) -> Lanes {
        f32x4_gt(a, b)
    }
    #[inline(always)]
    pub(super) fn eq(a: Lanes, b: Lanes) -> Lanes {
        f32x4_eq(a, b)
    }
    #[inline(always)]
    pub(super) fn and(a: Lanes, b: Lanes) -> Lanes {
        v128_and(a, b)
    }
    #[inline(always)]
    pub(super) fn and_not(a: Lanes, b: Lanes) -> Lanes {
        v128_andnot(a, b)
    }
    #[inline(always)]
    pub(super) fn max(a: Lanes, b: Lanes) -> Lanes {
        f32x4_pmax(b, a)
    }
    #[inline(always)]
    pub(super) fn min(a: Lanes, b: Lanes) -> Lanes {
        f32x4_pmin(b, a)
    }
    #[inline(always)]
    pub(super) fn or(a: Lanes, b: Lanes) -> Lanes {
        v128_or(a, b)
    }
    #[inline(always)]
    pub(super) fn xor(a: Lanes, b: Lanes) -> Lanes {
        v128_xor(a, b)
    }
    #[inline(always)]
    pub(super) fn select(mask: Lanes, a: Lanes, b: Lanes) -> Lanes {
        v128_bitselect(a, b, mask)
    }
    #[inline(always)]
    pub(super) fn add_integers(a: Lanes, b: Lanes) -> Lanes {
        i32x4_add(a, b)
    }
    #[inline(always)]
    pub(super) fn shift_left_23(a: Lanes) -> Lanes {
        i32x4_shl(a, 23)
    }
    #[inline(always)]
    pub(super) fn shift_right_23(a: Lanes) -> Lanes {
        u32x4_shr(a, 23)
    }
    #[inline(always)]
    pub(super) fn from_integers(a: Lanes) -> Lanes {
        f32x4_convert_i32x4(a)
    }
    #[inline(always)]
    pub(super) fn zip(a: Lanes, b: Lanes) -> [Lanes; 2] {
        [i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b)]
    }
    #[inline(always)]
    pub(super) fn unzip(a: Lanes, b: Lanes) -> [Lanes; 2] {
        [i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b)]
    }
    #[inline(always)]
    pub(super) fn transpose([a, b, c, d]: [Lanes; 4]) -> [Lanes; 4] {
        let (low_ab, high_ab) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
        let (low_cd, high_cd) = (i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
        [
            i32x4_shuffle::<0, 1, 4, 5>(low_ab, low_cd),
            i32x4_shuffle::<2, 3, 6, 7>(low_ab, low_cd),
            i32x4_shuffle::<0, 1, 4, 5>(high_ab, high_cd),
            i32x4_shuffle::<2, 3, 6, 7>(high_ab, high_cd),
        ]
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "SSE2 intrinsics are unsafe to call without naming the feature, which would hinder inlining"
)]
mod lanes {
    use core::arch::x86_64::{
        __m128, _mm_add_epi32, _mm_add_ps, _mm_and_ps, _mm_andnot_ps, _mm_castps_si128, _mm_castsi128_ps,
        _mm_cmpeq_ps, _mm_cmpgt_ps, _mm_cvtepi32_ps, _mm_div_ps, _mm_loadu_ps, _mm_max_ps, _mm_min_ps,
        _mm_movehl_ps, _mm_movelh_ps, _mm_mul_ps, _mm_or_ps, _mm_set_ps, _mm_set1_epi32, _mm_set1_ps,
        _mm_shuffle_ps, _mm_slli_epi32, _mm_sqrt_ps, _mm_srli_epi32, _mm_storeu_ps, _mm_sub_ps,
        _mm_unpackhi_ps, _mm_unpacklo_ps, _mm_xor_ps,
    };

    pub(crate) type Lanes = __m128;
    #[inline(always)]
    pub(super) fn load(x: &[f32; 4]) -> Lanes {
        // SAFETY: SSE2 is part of x86-64; the reference is to 16 bytes, and no alignment is needed.
        unsafe { _mm_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    pub(super) fn store(a: Lanes, to: &mut [f32; 4]) {
        // SAFETY: SSE2 is part of x86-64; the reference is to 16 bytes, and no alignment is needed.
        unsafe { _mm_storeu_ps(to.as_mut_ptr(), a) }
    }
    #[inline(always)]
    pub(super) fn new(x: [f32; 4]) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_set_ps(x[3], x[2], x[1], x[0]) }
    }
    #[inline(always)]
    pub(super) fn array(a: Lanes) -> [f32; 4] {
        // SAFETY: both are 16 bytes of plain numbers, lane 0 first.
        unsafe { core::mem::transmute::<__m128, [f32; 4]>(a) }
    }
    #[inline(always)]
    pub(super) fn splat(x: f32) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_set1_ps(x) }
    }
    #[inline(always)]
    pub(super) fn splat_bits(x: u32) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_castsi128_ps(_mm_set1_epi32(x.cast_signed())) }
    }
    #[inline(always)]
    pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_add_ps(a, b) }
    }
    #[inline(always)]
    pub(super) fn sub(a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_sub_ps(a, b) }
    }
    #[inline(always)]
    pub(super) fn mul(a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_mul_ps(a, b) }
    }
    #[inline(always)]
    pub(super) fn div(a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_div_ps(a, b) }
    }
    #[inline(always)]
    pub(super) fn sqrt(a: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_sqrt_ps(a) }
    }
    #[inline(always)]
    pub(super) fn gt(a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_cmpgt_ps(a, b) }
    }
    #[inline(always)]
    pub(super) fn eq(a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_cmpeq_ps(a, b) }
    }
    #[inline(always)]
    pub(super) fn and(a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_and_ps(a, b) }
    }
    #[inline(always)]
    pub(super) fn and_not(a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_andnot_ps(b, a) }
    }
    #[inline(always)]
    pub(super) fn max(a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_max_ps(a, b) }
    }
    #[inline(always)]
    pub(super) fn min(a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_min_ps(a, b) }
    }
    #[inline(always)]
    pub(super) fn or(a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_or_ps(a, b) }
    }
    #[inline(always)]
    pub(super) fn xor(a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_xor_ps(a, b) }
    }
    #[inline(always)]
    pub(super) fn select(mask: Lanes, a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_or_ps(_mm_and_ps(mask, a), _mm_andnot_ps(mask, b)) }
    }
    #[inline(always)]
    pub(super) fn add_integers(a: Lanes, b: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(a), _mm_castps_si128(b))) }
    }
    #[inline(always)]
    pub(super) fn shift_left_23(a: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_castsi128_ps(_mm_slli_epi32::<23>(_mm_castps_si128(a))) }
    }
    #[inline(always)]
    pub(super) fn shift_right_23(a: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_castsi128_ps(_mm_srli_epi32::<23>(_mm_castps_si128(a))) }
    }
    #[inline(always)]
    pub(super) fn from_integers(a: Lanes) -> Lanes {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_cvtepi32_ps(_mm_castps_si128(a)) }
    }
    #[inline(always)]
    pub(super) fn zip(a: Lanes, b: Lanes) -> [Lanes; 2] {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { [_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b)] }
    }
    #[inline(always)]
    pub(super) fn unzip(a: Lanes, b: Lanes) -> [Lanes; 2] {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { [_mm_shuffle_ps::<0b10_00_10_00>(a, b), _mm_shuffle_ps::<0b11_01_11_01>(a, b)] }
    }
    #[inline(always)]
    pub(super) fn transpose([a, b, c, d]: [Lanes; 4]) -> [Lanes; 4] {
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let (low_ab, high_ab) = (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
            let (low_cd, high_cd) = (_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
            [
                _mm_movelh_ps(low_ab, low_cd),
                _mm_movehl_ps(low_cd, low_ab),
                _mm_movelh_ps(high_ab, high_cd),
                _mm_movehl_ps(high_cd, high_ab),
            ]
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
mod lanes {
    use core::array::from_fn;

    pub(crate) type Lanes = [f32; 4];
    #[inline(always)]
    pub(super) fn load(x: &[f32; 4]) -> Lanes {
        *x
    }
    #[inline(always)]
    pub(super) fn store(a: Lanes, to: &mut [f32; 4]) {
        *to = a;
    }
    #[inline(always)]
    pub(super) fn new(x: [f32; 4]) -> Lanes {
        x
    }
    #[inline(always)]
    pub(super) fn array(a: Lanes) -> [f32; 4] {
        a
    }
    #[inline(always)]
    pub(super) fn splat(x: f32) -> Lanes {
        [x; 4]
    }
    #[inline(always)]
    pub(super) fn splat_bits(x: u32) -> Lanes {
        [f32::from_bits(x); 4]
    }
    #[inline(always)]
    pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    pub(super) fn sub(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    pub(super) fn mul(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    pub(super) fn div(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    pub(super) fn sqrt(a: Lanes) -> Lanes {
        from_fn(|i| a[i].sqrt())
    }
    fn bits(a: Lanes, b: Lanes, f: impl Fn(u32, u32) -> u32) -> Lanes {
        from_fn(|i| f32::from_bits(f(a[i].to_bits(), b[i].to_bits())))
    }
    #[inline(always)]
    pub(super) fn gt(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| f32::from_bits(if a[i] > b[i] { u32::MAX } else { 0 }))
    }
    #[expect(clippy::float_cmp, reason = "equality to the bit is what is asked for")]
    #[inline(always)]
    pub(super) fn eq(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| f32::from_bits(if a[i] == b[i] { u32::MAX } else { 0 }))
    }
    #[inline(always)]
    pub(super) fn and(a: Lanes, b: Lanes) -> Lanes {
        bits(a, b, |a, b| a & b)
    }
    #[inline(always)]
    pub(super) fn and_not(a: Lanes, b: Lanes) -> Lanes {
        bits(a, b, |a, b| a & !b)
    }
    #[inline(always)]
    pub(super) fn max(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    pub(super) fn min(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    pub(super) fn or(a: Lanes, b: Lanes) -> Lanes {
        bits(a, b, |a, b| a | b)
    }
    #[inline(always)]
    pub(super) fn xor(a: Lanes, b: Lanes) -> Lanes {
        bits(a, b, |a, b| a ^ b)
    }
    #[inline(always)]
    pub(super) fn select(mask: Lanes, a: Lanes, b: Lanes) -> Lanes {
        or(and(mask, a), bits(mask, b, |mask, b| !mask & b))
    }
    #[inline(always)]
    pub(super) fn add_integers(a: Lanes, b: Lanes) -> Lanes {
        bits(a, b, u32::wrapping_add)
    }
    #[inline(always)]
    pub(super) fn shift_left_23(a: Lanes) -> Lanes {
        bits(a, a, |a, _| a << 23)
    }
    #[inline(always)]
    pub(super) fn shift_right_23(a: Lanes) -> Lanes {
        bits(a, a, |a, _| a >> 23)
    }
    #[expect(clippy::cast_precision_loss, reason = "rounding as the instruction does")]
    #[inline(always)]
    pub(super) fn from_integers(a: Lanes) -> Lanes {
        from_fn(|i| a[i].to_bits().cast_signed() as f32)
    }
    #[inline(always)]
    pub(super) fn zip(a: Lanes, b: Lanes) -> [Lanes; 2] {
        [[a[0], b[0], a[1], b[1]], [a[2], b[2], a[3], b[3]]]
    }
    #[inline(always)]
    pub(super) fn unzip(a: Lanes, b: Lanes) -> [Lanes; 2] {
        [[a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]]]
    }
    #[inline(always)]
    pub(super) fn transpose(rows: [Lanes; 4]) -> [Lanes; 4] {
        from_fn(|i| from_fn(|j| rows[j][i]))
    }
}

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
