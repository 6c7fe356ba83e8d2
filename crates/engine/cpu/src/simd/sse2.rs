//! Lanes as SSE2's `__m128`.

use core::arch::x86_64::{
    __m128, _mm_add_epi32, _mm_add_ps, _mm_and_ps, _mm_andnot_ps, _mm_castps_si128, _mm_castsi128_ps,
    _mm_cmpeq_ps, _mm_cmpgt_ps, _mm_cvtepi32_ps, _mm_div_ps, _mm_loadu_ps, _mm_max_ps, _mm_min_ps,
    _mm_movehl_ps, _mm_movelh_ps, _mm_mul_ps, _mm_or_ps, _mm_set_ps, _mm_set1_epi32, _mm_set1_ps,
    _mm_shuffle_ps, _mm_slli_epi32, _mm_sqrt_ps, _mm_srli_epi32, _mm_storeu_ps, _mm_sub_ps, _mm_unpackhi_ps,
    _mm_unpacklo_ps, _mm_xor_ps,
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
