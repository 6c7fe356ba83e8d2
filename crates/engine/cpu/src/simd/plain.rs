//! Lanes as an array, for any other machine.

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
