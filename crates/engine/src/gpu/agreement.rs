//! Property tests: over random shapes, every kernel gives on the GPU what it gives on the CPU.
//!
//! Tolerance: 2e-5 of the larger of one and the element's size for everything that is a bounded sum; the tests say where
//! it is another.
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers drawn here are small")]

mod elementwise;
mod products;
mod recurrent;
mod rows;
mod windows;

use std::marker::Copy as Copyable;
use std::ops::RangeInclusive;
use std::rc::Rc;

use lichen_model::program::*;

use self::{elementwise::*, products::*, recurrent::*, rows::*, windows::*};
use super::device::SOFTWARE_WIDTH;
use super::lower::lower;
use super::testing::{assert_close, on_cpu, open, program_of, run, validate};

/// Random shapes and contents, the same in every run.
struct Draw(u64);

/// A kernel with what its buffers hold; buffer `n` is the `n`th of `contents`.
struct Case {
    kernel: Kernel,
    contents: Vec<Vec<f32>>,
    tolerance: f64,
}

impl Draw {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn within(&mut self, range: RangeInclusive<usize>) -> usize {
        let size = (range.end() - range.start() + 1) as u64;
        range.start() + (self.word() % size) as usize
    }

    fn flag(&mut self) -> bool {
        self.word() & 1 == 1
    }

    fn one_of<T: Copyable>(&mut self, choices: &[T]) -> T {
        choices[self.within(0..=choices.len() - 1)]
    }

    /// Numbers in -1..1.
    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.word() >> 40) as f32 / 8_388_608.0 - 1.0).collect()
    }

    /// Whole numbers from `from` (may be -1) up to below `below`.
    fn whole(&mut self, count: usize, from: i32, below: usize) -> Vec<f32> {
        (0..count)
            .map(|_| (self.within(0..=below - 1 + usize::from(from < 0)) as i32 + from.min(0)) as f32)
            .collect()
    }

    fn epilogue(&mut self) -> Epilogue {
        self.one_of(&[
            Epilogue::None,
            Epilogue::Relu,
            Epilogue::LeakyRelu(0.1),
            Epilogue::Tanh,
            Epilogue::Sigmoid,
        ])
    }
}

fn id(index: u32) -> BufferId {
    BufferId(index)
}

const STEP: StepValues = StepValues {
    learning_rate: 0.01,
    first_correction: 1.5,
    second_correction: 1.2,
    loss_scale: 0.125,
    step: 3,
    seed: 77,
};

/// Runs random cases of one kind on both back ends and compares every buffer.
async fn agree(make: impl Fn(&mut Draw) -> Case) {
    let Some(mut gpu) = open().await else { return };
    // SwiftShader takes its time to compile.
    const CASES: u64 = if cfg!(target_arch = "wasm32") { 8 } else { 24 };
    for seed in 0..CASES {
        let width = [8192, 1, SOFTWARE_WIDTH][seed as usize % 3];
        Rc::get_mut(&mut gpu).unwrap().width = width;
        let Case { kernel, contents, tolerance } = make(&mut Draw(seed));
        let program = program_of(kernel.clone(), &contents);
        lower(&program, width).unwrap().iter().for_each(|launch| validate(&launch.source.wgsl));
        let expected = on_cpu(&program, &contents, &STEP);
        let got = run(&gpu, kernel.clone(), &contents, &STEP).await;
        for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert_close(got, expected, tolerance, &(seed, index, &kernel));
        }
    }
}

/// A test of each of these kinds of cases, in the browser in a worker.
macro_rules! agreements {
    ($($name:ident)*) => {
        mod both_back_ends {
            $(
                #[cfg(not(target_arch = "wasm32"))]
                #[test]
                fn $name() {
                    futures::executor::block_on(super::agree(super::$name));
                }

                #[cfg(target_arch = "wasm32")]
                #[wasm_bindgen_test::wasm_bindgen_test]
                async fn $name() {
                    super::agree(super::$name).await;
                }
            )*
        }
    };
}

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

agreements! {
    products
    pools
    pools_backward
    maps
    powers_of_negative_numbers
    reductions
    copies
    fills
    softmaxes
    softmaxes_backward
    cross_entropies
    normalisations
    normalisations_backward
    normalisations_by_parameters
    batch_normalisations
    batch_normalisations_backward
    embeddings
    embeddings_backward
    dropouts
    clippings
    updates
    grus
    lstms
    grus_backward
    lstms_backward
    convolutions
    convolutions_by_input
    convolutions_by_weight
}
