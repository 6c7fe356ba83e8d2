//! What the kernels' tests share: an adapter if there is one, a way to run one kernel, and a comparison.

use std::fmt::Debug;
use std::rc::Rc;

use lichen_model::program::{
    ALIGNMENT, Buffer, BufferId, BufferKind, FIRST_ACTIVATION, Kernel, PARAMETERS, Program, StepValues,
};

use super::{Gpu, GpuProgram};
use crate::cpu::CpuExecutor;

/// The first Vulkan or Metal adapter, or the browser's; says so where there is none.
pub(super) async fn open() -> Option<Rc<Gpu>> {
    match Gpu::open().await {
        Ok(gpu) => Some(Rc::new(gpu)),
        Err(error) => {
            // Every browser that these tests run in has an adapter, if only in software.
            let may_be_missing = cfg!(not(target_arch = "wasm32"));
            assert!(may_be_missing, "{error}");
            eprintln!("not run: {error}");
            None
        }
    }
}

/// A program of one kernel over buffers that each have a slot of their own, filled with `contents`; buffer 0 is input,
/// target, output and loss as far as the program is concerned.
pub(super) fn program_of(kernel: Kernel, contents: &[Vec<f32>]) -> Program {
    let first = first_slot(&kernel);
    let buffer = |(index, content): (usize, &Vec<f32>)| Buffer {
        shape: vec![content.len()],
        kind: BufferKind::Activation,
        slot: first + index,
        offset: 0,
    };
    let padded = |content: &Vec<f32>| content.len().next_multiple_of(ALIGNMENT);
    Program {
        buffers: contents.iter().enumerate().map(buffer).collect(),
        slots: core::iter::repeat_n(0, first)
            .chain(contents.iter().map(padded))
            .chain([0; FIRST_ACTIVATION])
            .collect(),
        kernels: vec![kernel],
        forward: 1,
        input: BufferId(0),
        target: BufferId(0),
        output: BufferId(0),
        loss: BufferId(0),
        parameters: Vec::new(),
        batch: 1,
        vocabulary: 0,
        classes: 0,
        ignore_label: None,
    }
}

/// Kernels that change parameters know their slots.
fn first_slot(kernel: &Kernel) -> usize {
    if matches!(kernel, Kernel::Optimise(_) | Kernel::ScaleGradients(_)) {
        PARAMETERS
    } else {
        FIRST_ACTIVATION
    }
}

/// Runs one kernel once; what all buffers hold afterwards.
pub(super) async fn run(
    gpu: &Rc<Gpu>,
    kernel: Kernel,
    contents: &[Vec<f32>],
    values: &StepValues,
) -> Vec<Vec<f32>> {
    let first = first_slot(&kernel);
    let mut program = GpuProgram::new(gpu, program_of(kernel, contents).into()).unwrap();
    for (index, content) in contents.iter().enumerate() {
        program.write_slot(first + index, content).unwrap();
    }
    program.step(&[], &[], values).await.unwrap();
    let mut after = Vec::new();
    for (index, content) in contents.iter().enumerate() {
        let mut slot = program.read_slot(first + index).await.unwrap();
        slot.truncate(content.len());
        after.push(slot);
    }
    after
}

/// What all buffers hold after the kernel ran on the CPU.
pub(super) fn on_cpu(program: &Program, contents: &[Vec<f32>], values: &StepValues) -> Vec<Vec<f32>> {
    let mut executor = CpuExecutor::new(program.clone().into());
    let ids = || (0..).map(BufferId).zip(contents);
    ids().for_each(|(id, content)| executor.write(id).copy_from_slice(content));
    executor.run(values);
    ids().map(|(id, _)| executor.read(id).to_vec()).collect()
}

/// Numbers in -0.5..0.5 that differ by seed.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / 16_777_216.0 - 0.5
        })
        .collect()
}

/// Every element within `tolerance` times the larger of one and its size.
pub(super) fn assert_close(got: &[f32], expected: &[f32], tolerance: f64, what: &dyn Debug) {
    assert_eq!(got.len(), expected.len());
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = f64::from((got - expected).abs()) / f64::from(expected.abs().max(1.0));
        assert!(error <= tolerance, "{what:?}: element {index} is {got}, expected {expected}");
    }
}

/// Parses and validates WGSL the way a browser must; in a browser the browser does.
#[cfg(target_arch = "wasm32")]
pub(super) fn validate(_: &str) {}

/// Parses and validates WGSL the way a browser must.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn validate(wgsl: &str) {
    let module = naga::front::wgsl::parse_str(wgsl)
        .unwrap_or_else(|error| panic!("{}\n{wgsl}", error.emit_to_string(wgsl)));
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
    validator.validate(&module).unwrap_or_else(|error| panic!("{}\n{wgsl}", error.emit_to_string(wgsl)));
}
