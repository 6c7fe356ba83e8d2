//! Walking along rows four elements at a time, without looking for the end before each four.

use crate::simd::F4;

/// Gives `f` four elements of every row at a time; behind the end there is `rest`.
#[inline(always)]
pub(crate) fn visit<const N: usize>(rows: [&[f32]; N], rest: f32, mut f: impl FnMut([F4; N])) {
    let length = rows.iter().map(|row| row.len()).min().unwrap_or(0);
    let whole = rows.map(|row| &row.as_chunks::<4>().0[..length / 4]);
    for number in 0..length / 4 {
        f(whole.map(|quads| F4::load(&quads[number])));
    }
    let start = length / 4 * 4;
    if start < length {
        f(rows.map(|row| F4::load_partial(&row[start..length], rest)));
    }
}

/// Writes what `f` makes of four elements of every row at a time; behind the end there are zeros.
#[inline(always)]
pub(crate) fn write<const N: usize>(to: &mut [f32], rows: [&[f32]; N], mut f: impl FnMut([F4; N]) -> F4) {
    let length = to.len();
    let (quads, end) = to.as_chunks_mut::<4>();
    let whole = rows.map(|row| &row.as_chunks::<4>().0[..length / 4]);
    for (number, to) in quads.iter_mut().enumerate() {
        f(whole.map(|quads| F4::load(&quads[number]))).store(to);
    }
    if !end.is_empty() {
        let start = length / 4 * 4;
        f(rows.map(|row| F4::load_partial(&row[start..length], 0.0))).store(end);
    }
}

/// Changes two rows by four elements of every other row at a time.
#[inline(always)]
pub(crate) fn change_two<const N: usize>(
    [first, second]: [&mut [f32]; 2],
    rows: [&[f32]; N],
    mut f: impl FnMut([F4; 2], [F4; N]) -> [F4; 2],
) {
    let length = first.len();
    let (first_quads, first_end) = first.as_chunks_mut::<4>();
    let (second_quads, second_end) = second.as_chunks_mut::<4>();
    let whole = rows.map(|row| &row.as_chunks::<4>().0[..length / 4]);
    for (number, (first, second)) in first_quads.iter_mut().zip(second_quads).enumerate() {
        let others = whole.map(|quads| F4::load(&quads[number]));
        let [a, b] = f([F4::load(first), F4::load(second)], others);
        a.store(first);
        b.store(second);
    }
    if !first_end.is_empty() {
        let start = length / 4 * 4;
        let ends = [F4::load_partial(first_end, 0.0), F4::load_partial(second_end, 0.0)];
        let [a, b] = f(ends, rows.map(|row| F4::load_partial(&row[start..length], 0.0)));
        a.store(first_end);
        b.store(second_end);
    }
}

/// The first `count` (fewer than four) elements of a slice, then `rest`.
#[inline(always)]
pub(crate) fn first(slice: &[f32], count: usize, rest: f32) -> F4 {
    let Some(quad) = slice.first_chunk::<4>() else { return F4::load_partial(&slice[..count], rest) };
    #[expect(clippy::cast_precision_loss, reason = "fewer than four")]
    let taken = F4::splat(count as f32).gt(F4::new([0.0, 1.0, 2.0, 3.0]));
    F4::select(taken, F4::load(quad), F4::splat(rest))
}
