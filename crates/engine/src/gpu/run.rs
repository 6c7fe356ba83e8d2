//! A step program on a device: everything allocated and recorded once, then replayed.

use std::rc::Rc;

use lichen_model::program::{BufferId, INPUT, PARAMETERS, Program, STATISTICS, StepValues, TARGET};

use super::GpuError;
use super::device::Gpu;
use super::launch::{Launch, Operand};
use super::losses::LossRing;
use super::lower::lower;
use super::pipelines::{Dispatch, Pipelines};

/// Bytes between the uniform blocks of two dispatches.
const UNIFORM_STRIDE: u64 = 256;
/// Bytes of the block of per-step values.
const STEP_BLOCK: u64 = 64;
const ELEMENT: u64 = 4;

/// A step program with its memory on a GPU.
pub struct GpuProgram {
    gpu: Rc<Gpu>,
    program: Program,
    slots: Vec<wgpu::Buffer>,
    /// Made for this program alone, hence destroyed with it.
    owned: Vec<wgpu::Buffer>,
    step_block: wgpu::Buffer,
    dispatches: Vec<Dispatch>,
    forward: usize,
    losses: LossRing,
}

/// What a forward pass gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    /// The batch's mean loss.
    pub loss: f32,
    /// The model's output.
    pub output: Vec<f32>,
}

impl GpuProgram {
    /// Puts a program on the device, all memory 0.
    ///
    /// # Errors
    /// `TooLarge` if a slot is larger than the device allows, `Unsupported` for kernels that only the CPU runs.
    pub fn new(gpu: &Rc<Gpu>, program: Program) -> Result<Self, GpuError> {
        Self::build(gpu, program, &[])
    }

    /// Puts another program on the same device which works on this one's parameters and statistics.
    ///
    /// # Errors
    /// As [`GpuProgram::new`]; `Unsupported` if the programs' parameters differ.
    pub fn sharing_parameters(&self, program: Program) -> Result<Self, GpuError> {
        let shared = [PARAMETERS, STATISTICS];
        if shared.iter().any(|&slot| self.program.slots.get(slot) != program.slots.get(slot)) {
            return Err(GpuError::Unsupported("parameters of another model"));
        }
        let shared: Vec<_> = shared
            .iter()
            .filter_map(|&slot| self.slots.get(slot).map(|buffer| (slot, buffer.clone())))
            .collect();
        Self::build(&self.gpu, program, &shared)
    }

    fn build(gpu: &Rc<Gpu>, program: Program, shared: &[(usize, wgpu::Buffer)]) -> Result<Self, GpuError> {
        gpu.check()?;
        let (launches, forward) = lower(&program, gpu.width)?;
        let mut owned = Vec::new();
        let mut slots = Vec::with_capacity(program.slots.len());
        for (slot, &elements) in program.slots.iter().enumerate() {
            let existing = shared.iter().find(|(index, _)| *index == slot).map(|(_, buffer)| buffer.clone());
            let buffer = match existing {
                Some(buffer) => buffer,
                None => storage(gpu, elements as u64)?,
            };
            if !shared.iter().any(|(index, _)| *index == slot) {
                owned.push(buffer.clone());
            }
            slots.push(buffer);
        }
        let scratch = storage(gpu, scratch_elements(&launches))?;
        let uniforms = uniforms(gpu, &launches);
        let step_block = uniform(gpu, STEP_BLOCK);
        let memory = Memory { program: &program, slots: &slots, scratch: &scratch, step_block: &step_block };
        let mut pipelines = Pipelines::default();
        let dispatches = (0..)
            .zip(&launches)
            .map(|(index, launch)| {
                let pipeline = pipelines.get(gpu, &launch.source);
                let dims = wgpu::BufferBinding {
                    buffer: &uniforms,
                    offset: UNIFORM_STRIDE * index,
                    size: core::num::NonZero::new(UNIFORM_STRIDE),
                };
                Dispatch::new(gpu, pipeline, memory.resources(launch, dims), launch.grid)
            })
            .collect();
        let losses = LossRing::new(gpu);
        owned.extend([scratch, uniforms, step_block.clone()]);
        gpu.check()?;
        Ok(Self { gpu: Rc::clone(gpu), program, slots, owned, step_block, dispatches, forward, losses })
    }

    /// How many dispatches a step is.
    #[must_use]
    pub fn dispatches(&self) -> usize {
        self.dispatches.len()
    }

    /// Runs one training step: one pass, one submit, nothing read back. Waits only when the ring of losses is full.
    ///
    /// # Errors
    /// `DeviceLost`, or what the device reported.
    pub async fn step(&mut self, input: &[f32], target: &[f32], values: &StepValues) -> Result<(), GpuError> {
        self.losses.make_room(&self.gpu).await?;
        self.feed(input, target, values)?;
        let mut encoder = self.record(self.dispatches.len());
        let (loss, offset) = self.place(self.program.loss);
        self.losses.record(&mut encoder, &loss, offset);
        self.gpu.queue.submit([encoder.finish()]);
        self.losses.submitted();
        self.gpu.check()
    }

    /// The losses of all steps since the last call, in order.
    ///
    /// # Errors
    /// `DeviceLost`, or what the device reported.
    pub async fn take_losses(&mut self) -> Result<Vec<f32>, GpuError> {
        self.losses.take(&self.gpu).await
    }

    /// Runs the forward kernels and reads output and loss.
    ///
    /// # Errors
    /// `DeviceLost`, or what the device reported.
    pub async fn forward(
        &self,
        input: &[f32],
        target: &[f32],
        values: &StepValues,
    ) -> Result<Forward, GpuError> {
        self.feed(input, target, values)?;
        let count = self.program.buffer(self.program.output).elements();
        let staging = staging(&self.gpu, count as u64 + 1);
        let mut encoder = self.record(self.forward);
        let (output, offset) = self.place(self.program.output);
        encoder.copy_buffer_to_buffer(&output, offset, &staging, 0, ELEMENT * count as u64);
        let (loss, offset) = self.place(self.program.loss);
        encoder.copy_buffer_to_buffer(&loss, offset, &staging, ELEMENT * count as u64, ELEMENT);
        self.gpu.queue.submit([encoder.finish()]);
        let floats = self.gpu.read_floats(&staging, count + 1).await;
        staging.destroy();
        let mut output = floats?;
        let loss = output.pop().unwrap_or(f32::NAN);
        Ok(Forward { loss, output })
    }

    /// Overwrites the beginning of a slot.
    ///
    /// # Errors
    /// `DeviceLost`, `TooLarge` if the slot is smaller.
    pub fn write_slot(&self, slot: usize, elements: &[f32]) -> Result<(), GpuError> {
        self.gpu.check()?;
        let buffer = self.slots.get(slot).filter(|buffer| buffer.size() >= ELEMENT * elements.len() as u64);
        let buffer = buffer.ok_or(GpuError::TooLarge)?;
        self.gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(elements));
        Ok(())
    }

    /// Reads a whole slot.
    ///
    /// # Errors
    /// `DeviceLost`, or what the device reported.
    pub async fn read_slot(&self, slot: usize) -> Result<Vec<f32>, GpuError> {
        self.gpu.check()?;
        let count = self.program.slots.get(slot).copied().unwrap_or(0);
        let Some(buffer) = self.slots.get(slot).filter(|_| count > 0) else {
            return Ok(Vec::new());
        };
        let staging = staging(&self.gpu, count as u64);
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, ELEMENT * count as u64);
        self.gpu.queue.submit([encoder.finish()]);
        let floats = self.gpu.read_floats(&staging, count).await;
        staging.destroy();
        floats
    }

    /// Waits until all submitted steps are done.
    ///
    /// # Errors
    /// `DeviceLost`, or what the device reported.
    pub async fn idle(&self) -> Result<(), GpuError> {
        self.gpu.idle().await
    }

    /// Frees this program's memory on the device at once, whatever the host's garbage collector does.
    pub fn destroy(self) {
        self.losses.destroy();
        for buffer in &self.owned {
            buffer.destroy();
        }
    }

    fn feed(&self, input: &[f32], target: &[f32], values: &StepValues) -> Result<(), GpuError> {
        self.write_slot(INPUT, input)?;
        self.write_slot(TARGET, target)?;
        self.gpu.queue.write_buffer(&self.step_block, 0, bytemuck::cast_slice(&values.to_words()));
        Ok(())
    }

    fn record(&self, count: usize) -> wgpu::CommandEncoder {
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for dispatch in self.dispatches.iter().take(count) {
            dispatch.record(&mut pass);
        }
        drop(pass);
        encoder
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "buffers name slots that were allocated from the same program"
    )]
    fn place(&self, id: BufferId) -> (wgpu::Buffer, u64) {
        let buffer = self.program.buffer(id);
        (self.slots[buffer.slot].clone(), ELEMENT * buffer.offset as u64)
    }
}

/// Where operands lie.
struct Memory<'a> {
    program: &'a Program,
    slots: &'a [wgpu::Buffer],
    scratch: &'a wgpu::Buffer,
    step_block: &'a wgpu::Buffer,
}

impl<'a> Memory<'a> {
    fn resources(&self, launch: &Launch, dims: wgpu::BufferBinding<'a>) -> Vec<wgpu::BindingResource<'a>> {
        let operands =
            launch.operands.iter().map(|operand| wgpu::BindingResource::Buffer(self.binding(*operand)));
        let step = launch.source.step.then(|| self.step_block.as_entire_binding());
        core::iter::once(wgpu::BindingResource::Buffer(dims)).chain(operands).chain(step).collect()
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "buffers name slots that were allocated from the same program"
    )]
    fn binding(&self, operand: Operand) -> wgpu::BufferBinding<'a> {
        match operand {
            Operand::Buffer(id) => {
                let buffer = self.program.buffer(id);
                // Whole vectors: buffers are padded to 256 bytes.
                let size = ELEMENT * (buffer.elements() as u64).next_multiple_of(4);
                wgpu::BufferBinding {
                    buffer: &self.slots[buffer.slot],
                    offset: ELEMENT * buffer.offset as u64,
                    size: core::num::NonZero::new(size),
                }
            }
            Operand::Slot(slot) => self.slots[slot].as_entire_buffer_binding(),
            Operand::Scratch(_) => self.scratch.as_entire_buffer_binding(),
        }
    }
}

fn scratch_elements(launches: &[Launch]) -> u64 {
    let needed = |operand: &Operand| match operand {
        Operand::Scratch(elements) => u64::from(*elements),
        Operand::Buffer(_) | Operand::Slot(_) => 0,
    };
    launches.iter().flat_map(|launch| &launch.operands).map(needed).max().unwrap_or(0)
}

fn storage(gpu: &Gpu, elements: u64) -> Result<wgpu::Buffer, GpuError> {
    let size = (ELEMENT * elements).max(UNIFORM_STRIDE);
    if size > gpu.largest_binding {
        return Err(GpuError::TooLarge);
    }
    Ok(gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    }))
}

fn uniform(gpu: &Gpu, size: u64) -> wgpu::Buffer {
    gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

fn staging(gpu: &Gpu, elements: u64) -> wgpu::Buffer {
    gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: ELEMENT * elements,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

/// All dispatches' uniform blocks in one buffer, written once.
fn uniforms(gpu: &Gpu, launches: &[Launch]) -> wgpu::Buffer {
    let words = UNIFORM_STRIDE as usize / 4;
    let blocks: Vec<u32> = launches
        .iter()
        .flat_map(|launch| launch.dims.iter().copied().chain(core::iter::repeat(0)).take(words))
        .collect();
    let buffer = uniform(gpu, (UNIFORM_STRIDE * launches.len() as u64).max(UNIFORM_STRIDE));
    gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&blocks));
    buffer
}
