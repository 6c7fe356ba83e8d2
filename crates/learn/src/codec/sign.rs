//! One bit for every value, and the mean of their sizes for every block.

use alloc::vec::Vec;

use super::bits::{BitReader, BitWriter};
use super::{by_block, read_scale, to_f32};
use crate::update::{BlockFault, UpdateError};

/// Values of a block.
const BLOCK: usize = 4096;

/// Bytes of a scale.
const SCALE: usize = 4;

pub(super) const fn len(count: usize) -> usize {
    let rest = count % BLOCK;
    by_block(count, BLOCK, SCALE + BLOCK / 8, if rest == 0 { 0 } else { SCALE + rest.div_ceil(8) })
}

pub(super) fn pack(values: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let mut data = Vec::with_capacity(len(values.len()));
    let mut read = Vec::with_capacity(values.len());
    for block in values.chunks(BLOCK) {
        let scale = mean_size(block);
        data.extend(scale.to_le_bytes());
        let mut bits = BitWriter::new(&mut data);
        for value in block {
            let is_negative = *value < 0.0;
            bits.put(is_negative.into(), 1);
            read.push(signed(is_negative, scale));
        }
        bits.finish();
    }
    (data, read)
}

pub(super) fn unpack(data: &[u8], count: usize) -> Result<Vec<f32>, UpdateError> {
    let mut values = Vec::with_capacity(count);
    for (block, bytes) in data.chunks(SCALE + BLOCK / 8).enumerate() {
        let (head, signs) = bytes.split_first_chunk().unzip();
        let scale = read_scale(head).ok_or(UpdateError::Block { block, fault: BlockFault::Scale })?;
        let mut bits = BitReader::new(signs.unwrap_or_default());
        let length = BLOCK.min(count - values.len());
        values.extend((0..length).map(|_value| signed(bits.take(1) == 1, scale)));
        if !bits.is_at_end() {
            return Err(UpdateError::Block { block, fault: BlockFault::Padding });
        }
    }
    Ok(values)
}

#[expect(clippy::cast_precision_loss, reason = "a block has few values")]
fn mean_size(block: &[f32]) -> f32 {
    let sum: f64 = block.iter().map(|value| f64::from(value.abs())).sum();
    to_f32(sum / block.len() as f64)
}

fn signed(is_negative: bool, scale: f32) -> f32 {
    if is_negative { -scale } else { scale }
}
