//! Lanes as wasm's `v128`.

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
