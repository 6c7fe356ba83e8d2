//! Losses come back in bulk: a small ring on the device, copied to a staging buffer when it is full.

use std::collections::VecDeque;

use super::GpuError;
use super::device::{Gpu, Mapping, map};

/// Steps between two copies; also bounds how far the host may run ahead of the device.
const RING: usize = 16;
const ELEMENT: u64 = 4;

/// Collects one loss per step without stalling the steps.
pub(super) struct LossRing {
    ring: wgpu::Buffer,
    staging: [wgpu::Buffer; 2],
    /// Losses in the ring that are not in a staging buffer yet.
    filled: usize,
    /// Staging buffers being mapped, oldest first, and how many losses each holds.
    flights: VecDeque<Flight>,
    next: usize,
    collected: Vec<f32>,
}

struct Flight {
    staging: usize,
    count: usize,
    mapped: Mapping,
}

impl LossRing {
    pub(super) fn new(gpu: &Gpu) -> Self {
        let buffer = |usage| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: ELEMENT * RING as u64,
                usage,
                mapped_at_creation: false,
            })
        };
        let staging = || buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        Self {
            ring: buffer(wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST),
            staging: [staging(), staging()],
            filled: 0,
            flights: VecDeque::new(),
            next: 0,
            collected: Vec::new(),
        }
    }

    /// Waits for the older staging buffer if this step will need it.
    pub(super) async fn make_room(&mut self, gpu: &Gpu) -> Result<(), GpuError> {
        if self.filled + 1 == RING && self.flights.len() == self.staging.len() {
            self.land(gpu).await?;
        }
        Ok(())
    }

    /// Appends to a step's commands: keep its loss, and empty the ring if that filled it.
    pub(super) fn record(&mut self, encoder: &mut wgpu::CommandEncoder, loss: &wgpu::Buffer, offset: u64) {
        encoder.copy_buffer_to_buffer(loss, offset, &self.ring, ELEMENT * self.filled as u64, ELEMENT);
        self.filled += 1;
        if self.filled == RING {
            self.empty(encoder);
        }
    }

    /// Starts to map what the commands just submitted filled.
    pub(super) fn submitted(&mut self) {
        if self.filled == RING {
            self.take_off();
        }
    }

    /// All losses not taken yet.
    pub(super) async fn take(&mut self, gpu: &Gpu) -> Result<Vec<f32>, GpuError> {
        if self.filled > 0 {
            if self.flights.len() == self.staging.len() {
                self.land(gpu).await?;
            }
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            self.empty(&mut encoder);
            gpu.queue.submit([encoder.finish()]);
            self.take_off();
        }
        while !self.flights.is_empty() {
            self.land(gpu).await?;
        }
        Ok(core::mem::take(&mut self.collected))
    }

    /// Drops all losses not taken yet, also those still on their way.
    pub(super) fn forget(&mut self) {
        self.filled = 0;
        self.collected.clear();
        self.flights.iter_mut().for_each(|flight| flight.count = 0);
    }

    pub(super) fn destroy(&self) {
        self.ring.destroy();
        self.staging.iter().for_each(wgpu::Buffer::destroy);
    }

    #[expect(clippy::indexing_slicing, reason = "next is 0 or 1")]
    fn empty(&self, encoder: &mut wgpu::CommandEncoder) {
        let bytes = ELEMENT * self.filled as u64;
        encoder.copy_buffer_to_buffer(&self.ring, 0, &self.staging[self.next], 0, bytes);
    }

    #[expect(clippy::indexing_slicing, reason = "next is 0 or 1")]
    fn take_off(&mut self) {
        let mapped = map(&self.staging[self.next]);
        self.flights.push_back(Flight { staging: self.next, count: self.filled, mapped });
        self.next = (self.next + 1) % self.staging.len();
        self.filled = 0;
    }

    /// Collects the oldest flight. A caller that stops waiting loses nothing: the flight stays first in the queue.
    #[expect(clippy::indexing_slicing, reason = "flights name a staging buffer of this ring")]
    async fn land(&mut self, gpu: &Gpu) -> Result<(), GpuError> {
        if let Some(flight) = self.flights.front_mut() {
            let staging = &self.staging[flight.staging];
            self.collected.extend(gpu.mapped_floats(staging, flight.count, &mut flight.mapped).await?);
            self.flights.pop_front();
        }
        Ok(())
    }
}
