//! What this processor can do at most in wasm SIMD: one thread, no fused multiply-add.

use core::arch::wasm32::{f32x4_add, f32x4_extract_lane, f32x4_mul, f32x4_splat, v128};
use core::hint::black_box;

/// Independent sums: enough to hide the latency of both instructions, few enough for 16 registers.
const SUMS: usize = 12;
/// Multiplications with additions per sum and round.
const DEPTH: usize = 1000;
/// Floating-point operations of one round of [`multiply_add`].
pub(crate) const FLOPS: f64 = (SUMS * DEPTH * 4 * 2) as f64;
/// Bytes that are copied at once.
const COPIED: usize = 32 << 20;
/// Bytes that one round of [`copy`] reads and writes.
pub(crate) const BYTES: f64 = (2 * COPIED) as f64;

/// Multiplies and adds in registers; returns a number that depends on every operation.
pub(crate) fn multiply_add(rounds: u32) -> f64 {
    let mut sums: [v128; SUMS] = [f32x4_splat(black_box(1.0)); SUMS];
    let factor = f32x4_splat(black_box(0.999));
    let term = f32x4_splat(black_box(0.001));
    for _ in 0..rounds {
        for _ in 0..DEPTH {
            for sum in &mut sums {
                *sum = f32x4_add(f32x4_mul(*sum, factor), term);
            }
        }
    }
    sums.iter().map(|sum| f64::from(f32x4_extract_lane::<0>(*sum))).sum()
}

/// Copies [`COPIED`] bytes so many times.
pub(crate) fn copy(rounds: u32) {
    let from = vec![1.0_f32; COPIED / 4];
    let mut to = vec![0.0_f32; COPIED / 4];
    for _ in 0..rounds {
        black_box(&mut to).copy_from_slice(black_box(&from));
    }
}
