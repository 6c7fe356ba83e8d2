//! Whole models against PyTorch, and the same bits on every machine.

use crate::testing::ready;
use crate::workloads::{self, SEED, Workload};
use crate::{EngineKind, Trainer};
use lichen_model::{Parameters, initial_parameters};

/// Losses and parameters after so many steps on the CPU.
fn trained(workload: &Workload, steps: u32) -> (Vec<f32>, Parameters) {
    let mut trainer = ready(Trainer::new(EngineKind::Cpu, &workload.model, &workload.train)).unwrap();
    ready(trainer.load(&initial_parameters(&workload.model, SEED).unwrap(), SEED)).unwrap();
    for step in 0..steps {
        let (x, y) = workload.batch(step);
        ready(trainer.step(&x, &y)).unwrap();
    }
    (ready(trainer.take_losses()).unwrap(), ready(trainer.parameters()).unwrap())
}

const GOLDEN: [&[u8]; 5] = [
    include_bytes!("../golden/w1.safetensors"),
    include_bytes!("../golden/w2.safetensors"),
    include_bytes!("../golden/w3.safetensors"),
    include_bytes!("../golden/w4.safetensors"),
    include_bytes!("../golden/w5.safetensors"),
];

/// Largest error relative to the tensor's own size.
const TOLERANCE: f64 = 1e-4;

fn distance(found: impl Iterator<Item = f32>, expected: &[f32]) -> f64 {
    let (mut error, mut size) = (0.0, 0.0);
    for (found, expected) in found.zip(expected) {
        error += f64::from(found - expected).powi(2);
        size += f64::from(*expected).powi(2);
    }
    (error / f64::max(size, 1e-12)).sqrt()
}

#[test]
fn twenty_steps_are_those_of_pytorch() {
    for (workload, golden) in workloads::all().iter().zip(GOLDEN) {
        let golden = Parameters::import_safetensors(golden).unwrap();
        let (losses, parameters) = trained(workload, 20);
        let expected = golden.get("losses").unwrap().data();
        for (step, (found, expected)) in losses.iter().zip(expected).enumerate() {
            let error = f64::from((found - expected).abs() / expected);
            assert!(error < TOLERANCE, "{}: loss {step} is {found}, not {expected}", workload.name);
        }
        for (name, tensor) in parameters.iter() {
            let sample = golden.get(&format!("sample.{name}")).unwrap().data();
            let step = tensor.data().len().div_ceil(256);
            let error = distance(tensor.data().iter().copied().step_by(step), sample);
            let norm = tensor.data().iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            let expected = f64::from(golden.get(&format!("norm.{name}")).unwrap().data()[0]);
            // The bias of the keys has no influence on the softmax: its gradient is rounding alone.
            let tolerance = if name.ends_with("in_proj_bias") { 0.05 } else { TOLERANCE };
            assert!(error < tolerance, "{}: {name} is off by {error}", workload.name);
            assert!(
                (norm - expected).abs() < tolerance * expected,
                "{}: {name} has norm {norm}",
                workload.name
            );
        }
    }
}

/// Hashes of all parameters' bits after 100 steps, found natively on x86-64 and in wasm alike.
const BITS: [u64; 5] = [
    0x2274_d4a3_0794_dd1c,
    0xd0f8_b9af_d89d_5e4d,
    0xe398_0598_0d72_18ea,
    0x073e_7430_2619_9e13,
    0xca0a_ebd3_48f8_0d03,
];

/// Trains a workload for 100 steps; one test for each, since they take long where a processor is emulated.
fn gives_the_same_bits_everywhere(index: usize) {
    let mut bench = crate::bench::Bench::new(index).unwrap();
    bench.steps(100).unwrap();
    assert_eq!(format!("{:#018x}", bench.hash().unwrap()), format!("{:#018x}", BITS[index]));
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn a_hundred_steps_of_w1_give_the_same_bits_everywhere() {
    gives_the_same_bits_everywhere(0);
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn a_hundred_steps_of_w2_give_the_same_bits_everywhere() {
    gives_the_same_bits_everywhere(1);
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn a_hundred_steps_of_w3_give_the_same_bits_everywhere() {
    gives_the_same_bits_everywhere(2);
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn a_hundred_steps_of_w4_give_the_same_bits_everywhere() {
    gives_the_same_bits_everywhere(3);
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn a_hundred_steps_of_w5_give_the_same_bits_everywhere() {
    gives_the_same_bits_everywhere(4);
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn any_number_of_threads_gives_the_same_bits() {
    crate::cpu::split_everything();
    let bits = |index: usize| {
        let mut bench = crate::bench::Bench::new(index).unwrap();
        bench.steps(3).unwrap();
        bench.hash().unwrap()
    };
    for index in 0..5 {
        let alone = bits(index);
        for threads in [1, 2, 3, 7] {
            let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| bits(index)), alone, "workload {index}, {threads} threads");
        }
    }
}
