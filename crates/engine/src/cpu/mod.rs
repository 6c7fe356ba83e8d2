//! The reproducible back end: the same program, inputs and seed give the same bits on every machine.
#![expect(
    clippy::indexing_slicing,
    reason = "indices come from programs, whose lowering checked every shape"
)]

mod convolution;
mod gemm;
mod map;
mod math;
mod memory;
mod norms;
mod pool;
mod recurrent;
mod rows;
mod simd;
mod update;

use lichen_model::program::{BufferId, Kernel, Program, StepValues};
use memory::Memory;

/// A program with its memory.
pub struct CpuExecutor {
    program: Program,
    memory: Memory,
    panels: gemm::Panels,
    registers: map::Registers,
    convolution: convolution::Scratch,
    recurrent: recurrent::Scratch,
    scratch: Vec<f32>,
}

impl CpuExecutor {
    /// Allocates a program's memory, all zero.
    #[must_use]
    pub fn new(program: Program) -> Self {
        let memory = Memory::new(&program);
        Self {
            program,
            memory,
            panels: gemm::Panels::default(),
            registers: map::Registers::default(),
            convolution: convolution::Scratch::default(),
            recurrent: recurrent::Scratch::default(),
            scratch: Vec::new(),
        }
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Reads a buffer.
    #[must_use]
    pub fn read(&self, id: BufferId) -> &[f32] {
        self.memory.get(id)
    }

    /// Writes a buffer.
    pub fn write(&mut self, id: BufferId) -> &mut [f32] {
        self.memory.get_mut(id)
    }

    /// Reads a whole slot.
    #[must_use]
    pub fn slot(&self, slot: usize) -> &[f32] {
        self.memory.slot(slot)
    }

    /// Writes a whole slot; what is missing or too much is left out.
    pub fn write_slot(&mut self, slot: usize, data: &[f32]) {
        let mut place = self.memory.take_slot(slot);
        for (to, from) in place.iter_mut().zip(data) {
            *to = *from;
        }
        self.memory.put_slot(slot, place);
    }

    /// Writes the batch's inputs and targets, whose lengths must be the program's.
    pub fn feed(&mut self, input: &[f32], target: &[f32]) {
        self.memory.get_mut(self.program.input).copy_from_slice(input);
        self.memory.get_mut(self.program.target).copy_from_slice(target);
    }

    /// Runs all kernels once.
    pub fn run(&mut self, step: &StepValues) {
        for kernel in &self.program.kernels {
            let memory = &mut self.memory;
            match kernel {
                Kernel::Gemm(kernel) => gemm::run(kernel, memory, &mut self.panels),
                Kernel::Map(kernel) => map::run(kernel, memory, step, &mut self.registers),
                Kernel::Reduce(kernel) => rows::reduce(kernel, memory, step),
                Kernel::Copy(kernel) => rows::copy(kernel, memory),
                Kernel::Fill { output, value } => memory.get_mut(*output).fill(*value),
                Kernel::Softmax(kernel) => rows::softmax(kernel, memory),
                Kernel::SoftmaxBackward(kernel) => rows::softmax_backward(kernel, memory),
                Kernel::CrossEntropy(kernel) => rows::cross_entropy(kernel, memory, step, &mut self.scratch),
                Kernel::Gather(kernel) => rows::gather(kernel, memory),
                Kernel::GatherBackward(kernel) => rows::gather_backward(kernel, memory),
                Kernel::Dropout(kernel) => rows::dropout(kernel, memory, step),
                Kernel::ScaleGradients(kernel) => update::scale_gradients(kernel, memory),
                Kernel::Optimise(kernel) => update::optimise(kernel, memory, step),
                Kernel::Convolution(kernel) => convolution::run(kernel, memory, &mut self.convolution),
                Kernel::Pool(kernel) => pool::pool(kernel, memory),
                Kernel::PoolBackward(kernel) => pool::pool_backward(kernel, memory),
                Kernel::Normalize(kernel) => norms::normalize(kernel, memory, &mut self.scratch),
                Kernel::NormalizeBackward(kernel) => {
                    norms::normalize_backward(kernel, memory, &mut self.scratch)
                }
                Kernel::NormalizeParameters(kernel) => {
                    norms::normalize_parameters(kernel, memory, &mut self.scratch)
                }
                Kernel::BatchNormalize(kernel) => norms::batch_normalize(kernel, memory),
                Kernel::BatchNormalizeBackward(kernel) => {
                    norms::batch_normalize_backward(kernel, memory, &mut self.scratch)
                }
                Kernel::Gru(kernel) => recurrent::gru(kernel, memory, &mut self.recurrent, &mut self.panels),
                Kernel::GruBackward(kernel) => {
                    recurrent::gru_backward(kernel, memory, &mut self.recurrent, &mut self.panels);
                }
                Kernel::Lstm(kernel) => {
                    recurrent::lstm(kernel, memory, &mut self.recurrent, &mut self.panels)
                }
                Kernel::LstmBackward(kernel) => {
                    recurrent::lstm_backward(kernel, memory, &mut self.recurrent, &mut self.panels);
                }
            }
        }
    }
}
