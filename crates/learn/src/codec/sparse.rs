//! The largest values of every chunk, each as one of four levels.
//!
//! This is how SparseLoCo (Sarfi et al., 2025, arXiv 2508.15706) packs its updates, but for the levels, which there are the
//! means of four equal parts of the range of what is sent. The largest values are far from zero on both sides, so that the
//! parts in the middle hold few of them. Here two levels begin on either side. Then values go to the nearest level and levels
//! to the mean of their values, a few times (Lloyd, 1982). Of the largest of normally distributed values, that leaves a third
//! of the squared error.

use alloc::vec;
use alloc::vec::Vec;

use super::bits::{BitReader, BitWriter};
use super::{by_block, to_f32};
use crate::update::{BlockFault, UpdateError};

/// Values of a chunk; a place in it takes 12 bits.
const CHUNK: usize = 4096;
const PLACE_BITS: u32 = 12;

/// Levels of a chunk; which one takes 2 bits.
const LEVELS: usize = 4;
const LEVEL_BITS: u32 = 2;

/// Bytes of a level.
const LEVEL: usize = 2;

/// How often values and means are brought together.
const TURNS: usize = 4;

pub(super) const fn len(count: usize, keep: usize) -> usize {
    let rest = count % CHUNK;
    by_block(count, CHUNK, chunk_len(CHUNK, keep), if rest == 0 { 0 } else { chunk_len(rest, keep) })
}

const fn chunk_len(values: usize, keep: usize) -> usize {
    let kept = if values < keep { values } else { keep };
    LEVELS * LEVEL + (kept * (PLACE_BITS + LEVEL_BITS) as usize).div_ceil(8)
}

pub(super) fn pack(values: &[f32], keep: usize) -> (Vec<u8>, Vec<f32>) {
    let mut data = Vec::with_capacity(len(values.len(), keep));
    let mut read = vec![0.0; values.len()];
    let mut keys = Vec::with_capacity(CHUNK);
    for (chunk, read) in values.chunks(CHUNK).zip(read.chunks_mut(CHUNK)) {
        let places = largest(chunk, keep, &mut keys);
        let kept = || places.iter().filter_map(|place| chunk.get(usize::from(*place)).copied());
        let levels = levels(kept);
        for level in levels {
            data.extend(to_half(level).to_le_bytes());
        }
        let mut bits = BitWriter::new(&mut data);
        for place in &places {
            bits.put((*place).into(), PLACE_BITS);
        }
        for (place, value) in places.iter().zip(kept()) {
            let nearest = nearest(&levels, value);
            bits.put(nearest, LEVEL_BITS);
            set(read, (*place).into(), &levels, nearest);
        }
        bits.finish();
    }
    (data, read)
}

pub(super) fn unpack(data: &[u8], count: usize, keep: usize) -> Result<Vec<f32>, UpdateError> {
    let mut values = vec![0.0; count];
    let chunks = data.chunks(chunk_len(CHUNK, keep)).zip(values.chunks_mut(CHUNK));
    for (block, (bytes, values)) in chunks.enumerate() {
        unpack_chunk(bytes, values, keep).map_err(|fault| UpdateError::Block { block, fault })?;
    }
    Ok(values)
}

fn unpack_chunk(bytes: &[u8], values: &mut [f32], keep: usize) -> Result<(), BlockFault> {
    let (head, bytes) = bytes.split_at_checked(LEVELS * LEVEL).unwrap_or_default();
    let mut levels = [0.0; LEVELS];
    for (level, bytes) in levels.iter_mut().zip(head.as_chunks().0) {
        *level = of_half(u16::from_le_bytes(*bytes));
        if !level.is_finite() {
            return Err(BlockFault::Scale);
        }
    }
    let mut bits = BitReader::new(bytes);
    let places: Vec<usize> =
        (0..keep.min(values.len())).map(|_kept| bits.take(PLACE_BITS) as usize).collect();
    if !places.is_sorted_by(|before, after| before < after)
        || places.last().is_some_and(|last| *last >= values.len())
    {
        return Err(BlockFault::Place);
    }
    for place in places {
        set(values, place, &levels, bits.take(LEVEL_BITS));
    }
    if bits.is_at_end() { Ok(()) } else { Err(BlockFault::Padding) }
}

fn set(values: &mut [f32], place: usize, levels: &[f32; LEVELS], nearest: u32) {
    if let (Some(value), Some(level)) = (values.get_mut(place), levels.get(nearest as usize)) {
        *value = *level;
    }
}

/// The places of the values that are largest by size, in ascending order; of equal ones the earlier.
fn largest(chunk: &[f32], keep: usize, keys: &mut Vec<u64>) -> Vec<u16> {
    // Sizes as whole numbers, which are ordered as they are, and under them the places from behind.
    let key = |(place, value): (u16, &f32)| u64::from(value.abs().to_bits()) << 16 | u64::from(!place);
    keys.clear();
    keys.extend((0..).zip(chunk).map(key));
    let others = chunk.len().saturating_sub(keep);
    let least = if others == 0 { 0 } else { *keys.select_nth_unstable(others).1 };
    let is_kept = |one: &(u16, &f32)| key(*one) >= least;
    (0..).zip(chunk).filter(is_kept).map(|(place, _value)| place).collect()
}

/// Four numbers that these values are near to.
fn levels<I: Iterator<Item = f32>>(values: impl Fn() -> I) -> [f32; LEVELS] {
    let (least, most) = (values().fold(f32::MAX, f32::min), values().fold(f32::MIN, f32::max));
    let below = values().filter(|value| *value < 0.0).fold(least, f32::max);
    let above = values().filter(|value| *value >= 0.0).fold(most, f32::min);
    let between = |from: f32, to: f32, share: f64| {
        let (from, to) = (f64::from(from), f64::from(to));
        to_f32(from + share * (to - from))
    };
    let mut levels = [
        between(least, below, 0.25),
        between(least, below, 0.75),
        between(above, most, 0.25),
        between(above, most, 0.75),
    ];
    for _turn in 0..TURNS {
        let mut sums = [(0.0, 0.0); LEVELS];
        for value in values() {
            if let Some((sum, count)) = sums.get_mut(nearest(&levels, value) as usize) {
                *sum += f64::from(value);
                *count += 1.0;
            }
        }
        for (level, (sum, count)) in levels.iter_mut().zip(sums) {
            // A level that no value is near to stays where it is.
            if count > 0.0 {
                *level = to_f32(sum / count);
            }
        }
    }
    levels.map(|level| of_half(to_half(level)))
}

/// Which level is nearest, of two that are as near the lower one. They ascend.
fn nearest(levels: &[f32; LEVELS], value: f32) -> u32 {
    let [first, second, third, fourth] = levels.map(f64::from);
    let doubled = 2.0 * f64::from(value);
    let is_above = |below: f64, above: f64| u32::from(doubled > below + above);
    is_above(first, second) + is_above(second, third) + is_above(third, fourth)
}

/// The nearest bfloat16, the upper half of an `f32`: halves to even, and no infinity for what is finite.
const fn to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    let half = rounded as u16;
    if half & 0x7f80 == 0x7f80 { half - 1 } else { half }
}

const fn of_half(half: u16) -> f32 {
    f32::from_bits((half as u32) << 16)
}
