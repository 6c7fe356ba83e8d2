//! A program's memory on the CPU.

use lichen_model::program::{BufferId, Program};
use std::ops::{Deref, DerefMut};

/// All slots, and where in them every buffer lies.
// Nothing of it is inlined: every kernel begins and ends with it, none needs it in its loops.
pub(crate) struct Memory {
    slots: Vec<Vec<f32>>,
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    slot: usize,
    start: usize,
    end: usize,
}

/// A buffer taken out of memory to be written while others are read.
pub(crate) struct Taken {
    slot: Vec<f32>,
    place: Place,
}

impl Memory {
    pub(crate) fn new(program: &Program) -> Self {
        let place = |buffer: &lichen_model::program::Buffer| Place {
            slot: buffer.slot,
            start: buffer.offset,
            end: buffer.offset + buffer.elements(),
        };
        Self {
            slots: program.slots.iter().map(|&elements| vec![0.0; elements]).collect(),
            places: program.buffers.iter().map(place).collect(),
        }
    }

    /// Reads a buffer.
    #[inline(never)]
    pub(crate) fn get(&self, id: BufferId) -> &[f32] {
        let place = self.places[id.index()];
        &self.slots[place.slot][place.start..place.end]
    }

    /// Writes a buffer.
    #[inline(never)]
    pub(crate) fn get_mut(&mut self, id: BufferId) -> &mut [f32] {
        let place = self.places[id.index()];
        &mut self.slots[place.slot][place.start..place.end]
    }

    /// Takes the slot of a buffer out until [`Memory::put`]; kernels never read slots that they write.
    #[inline(never)]
    pub(crate) fn take(&mut self, id: BufferId) -> Taken {
        let place = self.places[id.index()];
        Taken { slot: std::mem::take(&mut self.slots[place.slot]), place }
    }

    /// Puts a slot back.
    #[inline(never)]
    pub(crate) fn put(&mut self, taken: Taken) {
        self.slots[taken.place.slot] = taken.slot;
    }

    /// A whole slot.
    #[inline(never)]
    pub(crate) fn slot(&self, slot: usize) -> &[f32] {
        &self.slots[slot]
    }

    /// Takes a whole slot.
    #[inline(never)]
    pub(crate) fn take_slot(&mut self, slot: usize) -> Vec<f32> {
        std::mem::take(&mut self.slots[slot])
    }

    /// Puts a whole slot back.
    #[inline(never)]
    pub(crate) fn put_slot(&mut self, slot: usize, data: Vec<f32>) {
        self.slots[slot] = data;
    }
}

impl Deref for Taken {
    type Target = [f32];
    #[inline(never)]
    fn deref(&self) -> &[f32] {
        &self.slot[self.place.start..self.place.end]
    }
}

impl DerefMut for Taken {
    #[inline(never)]
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.slot[self.place.start..self.place.end]
    }
}
