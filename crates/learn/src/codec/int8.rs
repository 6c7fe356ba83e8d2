//! Eight bits for every value, and a scale for every block.

use alloc::vec::Vec;

use super::{by_block, read_scale, to_f32};
use crate::update::{BlockFault, UpdateError};

/// Values of a block.
pub(super) const BLOCK: usize = 256;

/// Bytes of a scale.
pub(super) const SCALE: usize = 4;

/// The largest step; there is one more below zero, which stays unused.
const STEPS: f64 = 127.0;

pub(super) const fn len(count: usize) -> usize {
    let rest = count % BLOCK;
    by_block(count, BLOCK, SCALE + BLOCK, if rest == 0 { 0 } else { SCALE + rest })
}

pub(super) fn pack(values: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let mut data = Vec::with_capacity(len(values.len()));
    let mut read = Vec::with_capacity(values.len());
    for block in values.chunks(BLOCK) {
        let scale = scale(block);
        data.extend(scale.to_le_bytes());
        for value in block {
            let step = step(*value, scale);
            data.extend(step.to_le_bytes());
            read.push(times(step, scale));
        }
    }
    (data, read)
}

pub(super) fn unpack(data: &[u8], count: usize) -> Result<Vec<f32>, UpdateError> {
    let mut values = Vec::with_capacity(count);
    for (block, bytes) in data.chunks(SCALE + BLOCK).enumerate() {
        let (head, steps) = bytes.split_first_chunk().unzip();
        let scale = read_scale(head).ok_or(UpdateError::Block { block, fault: BlockFault::Scale })?;
        for byte in steps.unwrap_or_default() {
            let step = i8::from_le_bytes([*byte]);
            if step == i8::MIN {
                return Err(UpdateError::Block { block, fault: BlockFault::Step });
            }
            values.push(times(step, scale));
        }
    }
    Ok(values)
}

/// What one step is worth, so that the largest value takes the most of them.
fn scale(block: &[f32]) -> f32 {
    let largest = block.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let scale = to_f32(f64::from(largest) / STEPS);
    // Rounded up, it could lead beyond the largest number there is.
    if times(i8::MAX, scale).is_finite() { scale } else { scale.next_down() }
}

/// The nearest step, of two that are as near the even one.
#[expect(clippy::cast_possible_truncation, reason = "it is a whole number from -127 to 127")]
fn step(value: f32, scale: f32) -> i8 {
    if scale == 0.0 {
        return 0;
    }
    // Added to this, a number has no room for a fraction: the sum is rounded to a whole one, halves to even.
    const WHOLE: f64 = 6_755_399_441_055_744.0;
    let steps = f64::from(value) / f64::from(scale);
    ((steps + WHOLE) - WHOLE).clamp(-STEPS, STEPS) as i8
}

fn times(step: i8, scale: f32) -> f32 {
    f32::from(step) * scale
}
