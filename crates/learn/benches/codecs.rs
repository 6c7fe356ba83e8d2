//! How long it takes to pack and to read an update of a million values: `cargo xtask bench learn`.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a benchmark may fail")]

use std::time::Instant;

use lichen_campaign::Encoding;
use lichen_learn::{Codec, Update};

const COUNT: usize = 1_000_000;
const TIMES: usize = 15;

fn main() {
    // Roughly normal: a sum of four, from a generator that is the same every time.
    let mut state = 1u64;
    let mut unit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let values = (0..COUNT).map(|_value| (unit() + unit() + unit() + unit()) * 0.01).collect();
    let update = Update::new(values).unwrap();
    println!("{COUNT} values, the median of {TIMES} times:");
    for encoding in [Encoding::Dense, Encoding::Int8, Encoding::Sign, Encoding::Sparse { keep: 64 }] {
        let codec = Codec::new(encoding);
        let packed = codec.encode(&update).unwrap();
        let encode = median(|| drop(codec.encode(&update).unwrap()));
        let decode = median(|| drop(codec.decode(&packed.bytes, COUNT).unwrap()));
        let bits = packed.bytes.len() as f64 * 8.0 / COUNT as f64;
        println!(
            "{:7} encode {encode:6.2} ms, decode {decode:6.2} ms, {bits:.4} bits a value",
            encoding.word()
        );
    }
}

/// Milliseconds.
fn median(work: impl Fn()) -> f64 {
    let mut times: Vec<f64> = (0..TIMES)
        .map(|_time| {
            let began = Instant::now();
            work();
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times.get(TIMES / 2).copied().unwrap_or_default()
}
