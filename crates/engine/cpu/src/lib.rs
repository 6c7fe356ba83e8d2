//! The reproducible back end: the same program, inputs and seed give the same bits on every machine.
#![expect(
    clippy::indexing_slicing,
    reason = "indices come from programs, whose lowering checked every shape"
)]

mod causal;
mod convolution;
mod gemm;
mod map;
mod math;
mod memory;
mod norms;
mod pool;
mod quads;
mod recurrent;
mod rows;
mod simd;
mod threads;
mod update;

pub use causal::{Part, parts};
use lichen_model::program::{BufferId, Kernel, Program, StepValues};
use memory::Memory;
use std::sync::Arc;
use threads::Scratch;
#[cfg(all(feature = "threads", feature = "bench"))]
pub use threads::split_everything;

/// A program with its memory.
pub struct CpuExecutor {
    program: Arc<Program>,
    parts: Vec<causal::Part>,
    memory: Memory,
    // Memory that kernels use while they run, one for each part of a result.
    panels: Scratch<gemm::Panels>,
    registers: Scratch<map::Registers>,
    convolution: Scratch<convolution::Scratch>,
    recurrent: recurrent::Scratch,
    rows: Scratch<Vec<f32>>,
    scratch: Vec<f32>,
}

impl CpuExecutor {
    /// Allocates a program's memory, all zero.
    #[must_use]
    pub fn new(program: Arc<Program>) -> Self {
        let memory = Memory::new(&program);
        let parts = causal::parts(&program);
        Self {
            program,
            parts,
            memory,
            panels: Scratch::default(),
            registers: Scratch::default(),
            convolution: Scratch::default(),
            recurrent: recurrent::Scratch::default(),
            rows: Scratch::default(),
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
        for index in 0..self.program.kernels.len() {
            self.kernel(index, step);
        }
    }

    /// Runs all kernels up to those that change parameters by the gradients.
    pub fn differentiate(&mut self, step: &StepValues) {
        for index in 0..self.first_of_update() {
            self.kernel(index, step);
        }
    }

    /// Runs only the kernels that change parameters by the gradients there are.
    pub fn update(&mut self, step: &StepValues) {
        for index in self.first_of_update()..self.program.kernels.len() {
            self.kernel(index, step);
        }
    }

    fn first_of_update(&self) -> usize {
        let changes = |kernel: &Kernel| matches!(kernel, Kernel::ScaleGradients(_) | Kernel::Optimise(_));
        let kernels = &self.program.kernels;
        kernels.iter().position(changes).unwrap_or(kernels.len())
    }

    /// Runs all kernels once and adds the time of each to the entry of its kind.
    #[cfg(feature = "bench")]
    pub fn profile(&mut self, now: &dyn Fn() -> f64, times: &mut Vec<(String, f64)>) {
        let step = StepValues { first_correction: 1.0, second_correction: 1.0, ..StepValues::default() };
        for index in 0..self.program.kernels.len() {
            let start = now();
            self.kernel(index, &step);
            let time = now() - start;
            let name = describe(&self.program.kernels[index]);
            match times.iter_mut().find(|entry| entry.0 == name) {
                Some(entry) => entry.1 += time,
                None => times.push((name, time)),
            }
        }
    }

    fn kernel(&mut self, index: usize, step: &StepValues) {
        let memory = &mut self.memory;
        match &self.program.kernels[index] {
            Kernel::Gemm(kernel) => gemm::run(kernel, self.parts[index], memory, &mut self.panels),
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
            Kernel::Normalize(kernel) => norms::normalize(kernel, memory, &mut self.rows),
            Kernel::NormalizeBackward(kernel) => norms::normalize_backward(kernel, memory, &mut self.rows),
            Kernel::NormalizeParameters(kernel) => {
                norms::normalize_parameters(kernel, memory, &mut self.scratch)
            }
            Kernel::BatchNormalize(kernel) => norms::batch_normalize(kernel, memory),
            Kernel::BatchNormalizeBackward(kernel) => {
                norms::batch_normalize_backward(kernel, memory, &mut self.scratch)
            }
            Kernel::Gru(kernel) => recurrent::gru(kernel, memory, &mut self.recurrent),
            Kernel::GruBackward(kernel) => {
                recurrent::gru_backward(kernel, memory, &mut self.recurrent);
            }
            Kernel::Lstm(kernel) => recurrent::lstm(kernel, memory, &mut self.recurrent),
            Kernel::LstmBackward(kernel) => {
                recurrent::lstm_backward(kernel, memory, &mut self.recurrent);
            }
        }
    }
}

#[cfg(feature = "bench")]
fn describe(kernel: &Kernel) -> String {
    match kernel {
        Kernel::Gemm(g) => {
            let sides = [g.a.transposed, g.b.transposed].map(|t| if t { "T" } else { "N" });
            format!("Gemm {}{} {}x{}x{} batch {:?}", sides[0], sides[1], g.m, g.n, g.k, g.batch)
        }
        Kernel::Map(map) => format!("Map {:?} with {} instructions", map.shape, map.code.len()),
        Kernel::Convolution(c) => {
            format!("Convolution {:?} {}x{}", c.direction, c.window.in_channels, c.window.out_channels)
        }
        Kernel::Softmax(_) | Kernel::SoftmaxBackward(_) | Kernel::CrossEntropy(_) => "softmax".into(),
        Kernel::Pool(_) | Kernel::PoolBackward(_) => "pool".into(),
        Kernel::Gru(_) | Kernel::GruBackward(_) | Kernel::Lstm(_) | Kernel::LstmBackward(_) => {
            "recurrence".into()
        }
        Kernel::Reduce(_) => "reduce".into(),
        Kernel::Optimise(_) => "optimise".into(),
        _ => "others".into(),
    }
}

/// Twelve independent sums of products on four lanes, for so many rounds.
#[cfg(feature = "bench")]
#[must_use]
pub fn peak(rounds: u32) -> f32 {
    use simd::F4;
    let mut sums = [F4::splat(0.0); 12];
    let (a, b) = (F4::splat(std::hint::black_box(1e-9)), F4::splat(std::hint::black_box(0.999)));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = *sum * b + a;
        }
    }
    sums.into_iter().map(F4::sum).sum()
}

/// Runs an m×k by k×n product so many times; `layout` 0: a b, 1: a bᵀ, 2: aᵀ b. Returns an element of it.
#[cfg(feature = "bench")]
#[must_use]
pub fn product([m, n, k]: [usize; 3], layout: u32, rounds: u32) -> f32 {
    use gemm::{Finish, View};
    let (a, b) = (vec![0.5; m * k], vec![0.25; k * n]);
    let a =
        if layout == 2 { View { data: &a, row: 1, column: m } } else { View { data: &a, row: k, column: 1 } };
    let b =
        if layout == 1 { View { data: &b, row: 1, column: k } } else { View { data: &b, row: n, column: 1 } };
    let (mut c, mut panels) = (vec![0.0; m * n], Scratch::default());
    for _ in 0..rounds {
        gemm::product(a, b, &mut c, n, [m, n, k], &Finish::PLAIN, &mut panels);
    }
    c[m * n - 1]
}
