//! Losses come back in bulk: every step leaves its own in a staging buffer, which is mapped when it is full.

use super::GpuError;
use super::device::{Gpu, Mapping, map};

/// Losses in a staging buffer; also bounds how far the host may run ahead of the device.
const CAPACITY: usize = 16;
const ELEMENT: u64 = 4;

/// Collects one loss per step without stalling the steps, and without commands of its own.
pub(super) struct Losses {
    staging: [wgpu::Buffer; 2],
    /// Losses in the staging buffer `next`, which is not mapped.
    filled: usize,
    /// Staging buffers being mapped, oldest first, and how many losses each holds.
    flights: Vec<Flight>,
    next: usize,
    collected: Vec<f32>,
}

struct Flight {
    staging: usize,
    count: usize,
    mapped: Mapping,
}

impl Losses {
    pub(super) fn new(gpu: &Gpu) -> Self {
        let staging = || {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: ELEMENT * CAPACITY as u64,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        Self {
            staging: [staging(), staging()],
            filled: 0,
            flights: Vec::new(),
            next: 0,
            collected: Vec::new(),
        }
    }

    /// Waits for a staging buffer if all are on their way.
    pub(super) async fn make_room(&mut self, gpu: &Gpu) -> Result<(), GpuError> {
        if self.flights.len() == self.staging.len() {
            self.land(gpu).await?;
        }
        Ok(())
    }

    /// Appends to a step's commands: keep its loss.
    #[expect(clippy::indexing_slicing, reason = "next is 0 or 1")]
    pub(super) fn record(&mut self, encoder: &mut wgpu::CommandEncoder, loss: &wgpu::Buffer, offset: u64) {
        let place = ELEMENT * self.filled as u64;
        encoder.copy_buffer_to_buffer(loss, offset, &self.staging[self.next], place, ELEMENT);
        self.filled += 1;
    }

    /// Starts to map what the commands just submitted filled.
    pub(super) fn submitted(&mut self) {
        if self.filled == CAPACITY {
            self.take_off();
        }
    }

    /// All losses not taken yet.
    pub(super) async fn take(&mut self, gpu: &Gpu) -> Result<Vec<f32>, GpuError> {
        if self.filled > 0 {
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
        self.staging.iter().for_each(wgpu::Buffer::destroy);
    }

    #[expect(clippy::indexing_slicing, reason = "next is 0 or 1")]
    fn take_off(&mut self) {
        let mapped = map(&self.staging[self.next]);
        self.flights.push(Flight { staging: self.next, count: self.filled, mapped });
        self.next = (self.next + 1) % self.staging.len();
        self.filled = 0;
    }

    /// Collects the oldest flight. A caller that stops waiting loses nothing: the flight stays first in the queue.
    #[expect(clippy::indexing_slicing, reason = "flights name a staging buffer of this ring")]
    async fn land(&mut self, gpu: &Gpu) -> Result<(), GpuError> {
        if let Some(flight) = self.flights.first_mut() {
            let staging = &self.staging[flight.staging];
            self.collected.extend(gpu.mapped_floats(staging, flight.count, &mut flight.mapped).await?);
            self.flights.remove(0);
        }
        Ok(())
    }
}
