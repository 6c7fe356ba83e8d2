//! A step program on a device: everything allocated and recorded once, then replayed.

use std::rc::Rc;
use std::sync::Arc;

use lichen_model::program::{BufferId, INPUT, Program, StepValues, TARGET};

use super::GpuError;
use super::device::{Gpu, map};
use super::launch::{Launch, Operand};
use super::losses::Losses;
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
    program: Arc<Program>,
    slots: Vec<wgpu::Buffer>,
    scratch: wgpu::Buffer,
    uniforms: wgpu::Buffer,
    step_block: wgpu::Buffer,
    dispatches: Vec<Dispatch>,
    losses: Losses,
}

impl GpuProgram {
    /// Puts a program on the device, all memory 0.
    ///
    /// # Errors
    /// `TooLarge` if a slot is larger than the device allows, `Unsupported` for kernels that only the CPU runs.
    pub fn new(gpu: &Rc<Gpu>, program: Arc<Program>) -> Result<Self, GpuError> {
        gpu.check()?;
        let launches = lower(&program, gpu.width)?;
        let slots: Vec<_> =
            program.slots.iter().map(|&elements| storage(gpu, elements as u64)).collect::<Result<_, _>>()?;
        let scratch = storage(gpu, scratch_elements(&launches))?;
        let uniforms = uniforms(gpu, &launches);
        let step_block = uniform(gpu, STEP_BLOCK);
        let memory = Memory { program: &program, slots: &slots, scratch: &scratch, step_block: &step_block };
        let mut pipelines = Pipelines::default();
        let dispatches = (0..)
            .zip(&launches)
            .map(|(index, launch)| {
                let dims = wgpu::BufferBinding {
                    buffer: &uniforms,
                    offset: UNIFORM_STRIDE * index,
                    size: core::num::NonZero::new(UNIFORM_STRIDE),
                };
                let pipeline = pipelines.get(gpu, &launch.source);
                Dispatch::new(gpu, &launch.source, pipeline, memory.resources(launch, dims), launch.grid)
            })
            .collect();
        let losses = Losses::new(gpu);
        gpu.check()?;
        Ok(Self { gpu: Rc::clone(gpu), program, slots, scratch, uniforms, step_block, dispatches, losses })
    }

    /// How many dispatches a step is.
    #[must_use]
    pub fn dispatches(&self) -> usize {
        self.dispatches.len()
    }

    /// Runs one training step: one pass, one submit, nothing read back. Waits only when nobody has taken
    /// the losses of many steps.
    ///
    /// # Errors
    /// `DeviceLost`, or what the device reported about this step or one before it.
    pub async fn step(&mut self, input: &[f32], target: &[f32], values: &StepValues) -> Result<(), GpuError> {
        self.losses.make_room(&self.gpu).await?;
        self.feed(input, target, values)?;
        let mut encoder = self.record();
        let (loss, offset) = self.place(self.program.loss);
        self.losses.record(&mut encoder, &loss, offset);
        self.gpu.submit(encoder);
        self.losses.submitted();
        self.gpu.check()
    }

    /// The losses of all steps since the last call, in order.
    ///
    /// # Errors
    /// `DeviceLost`, or why the losses could not be read back.
    pub fn take_losses(&mut self) -> impl Future<Output = Result<Vec<f32>, GpuError>> {
        self.losses.take(&self.gpu)
    }

    /// Drops the losses of all steps so far that were not taken.
    pub fn forget_losses(&mut self) {
        self.losses.forget();
    }

    /// Overwrites the beginning of a slot.
    ///
    /// # Errors
    /// `DeviceLost`, `TooLarge` if the slot is smaller.
    pub fn write_slot(&self, slot: usize, elements: &[f32]) -> Result<(), GpuError> {
        self.gpu.check()?;
        let buffer = self.slots.get(slot).filter(|buffer| buffer.size() >= ELEMENT * elements.len() as u64);
        let buffer = buffer.ok_or(GpuError::TooLarge)?;
        self.gpu.write(buffer, 0, bytemuck::cast_slice(elements));
        Ok(())
    }

    /// Reads a whole slot.
    ///
    /// # Errors
    /// `DeviceLost`, or why the slot could not be read back.
    pub async fn read_slot(&self, slot: usize) -> Result<Vec<f32>, GpuError> {
        self.gpu.check()?;
        let count = self.program.slots.get(slot).copied().unwrap_or(0);
        let Some(buffer) = self.slots.get(slot).filter(|_| count > 0) else {
            return Ok(Vec::new());
        };
        let staging = Staging::new(&self.gpu, count as u64);
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging.0, 0, ELEMENT * count as u64);
        self.gpu.submit(encoder);
        self.gpu.mapped_floats(&staging.0, count, &mut map(&staging.0)).await
    }

    /// Waits until all submitted steps are done.
    ///
    /// # Errors
    /// `DeviceLost`, or what the device reported about a step that was under way.
    pub fn idle(&self) -> impl Future<Output = Result<(), GpuError>> {
        self.gpu.idle()
    }

    /// Time per run of every dispatch by its kernel's name, by the caller's clock, each run `rounds` times in one pass.
    ///
    /// # Errors
    /// `DeviceLost`, or what the device reported.
    #[cfg(feature = "bench")]
    pub async fn profile(
        &self,
        clock: impl Fn() -> f64,
        rounds: u32,
    ) -> Result<Vec<(&'static str, [u32; 3], f64)>, GpuError> {
        let mut times = Vec::new();
        for dispatch in &self.dispatches {
            let mut encoder =
                self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            (0..rounds).for_each(|_| dispatch.record(&mut pass));
            drop(pass);
            self.gpu.idle().await?;
            let start = clock();
            self.gpu.submit(encoder);
            self.gpu.idle().await?;
            times.push((dispatch.name, dispatch.grid, (clock() - start) / f64::from(rounds)));
        }
        Ok(times)
    }

    fn feed(&self, input: &[f32], target: &[f32], values: &StepValues) -> Result<(), GpuError> {
        self.write_slot(INPUT, input)?;
        self.write_slot(TARGET, target)?;
        self.gpu.write(&self.step_block, 0, bytemuck::cast_slice(&values.to_words()));
        Ok(())
    }

    fn record(&self) -> wgpu::CommandEncoder {
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for dispatch in &self.dispatches {
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

/// Memory is given back at once: in a browser it would wait for the garbage collector.
impl Drop for GpuProgram {
    fn drop(&mut self) {
        self.losses.destroy();
        self.slots
            .iter()
            .chain([&self.scratch, &self.uniforms, &self.step_block])
            .for_each(wgpu::Buffer::destroy);
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
        let mut resources = vec![wgpu::BindingResource::Buffer(dims)];
        for &operand in &launch.operands {
            resources.push(wgpu::BindingResource::Buffer(self.binding(operand)));
        }
        resources
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
            Operand::Step => self.step_block.as_entire_buffer_binding(),
            Operand::Scratch(_) | Operand::Missing => self.scratch.as_entire_buffer_binding(),
        }
    }
}

fn scratch_elements(launches: &[Launch]) -> u64 {
    let mut most = 0;
    for operand in launches.iter().flat_map(|launch| &launch.operands) {
        if let Operand::Scratch(elements) = *operand {
            most = most.max(u64::from(elements));
        }
    }
    most
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

/// Memory that the host can read; given back also when whoever waits for it stops waiting.
struct Staging(wgpu::Buffer);

impl Staging {
    fn new(gpu: &Gpu, elements: u64) -> Self {
        Self(gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: ELEMENT * elements,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        }))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.0.destroy();
    }
}

/// All dispatches' uniform blocks in one buffer, written once.
fn uniforms(gpu: &Gpu, launches: &[Launch]) -> wgpu::Buffer {
    const WORDS: usize = 64;
    let mut blocks = vec![0; WORDS * launches.len()];
    for (block, launch) in blocks.chunks_exact_mut(WORDS).zip(launches) {
        for (word, &value) in block.iter_mut().zip(&launch.dims) {
            *word = value;
        }
    }
    let buffer = uniform(gpu, (UNIFORM_STRIDE * launches.len() as u64).max(UNIFORM_STRIDE));
    gpu.write(&buffer, 0, bytemuck::cast_slice(&blocks));
    buffer
}
