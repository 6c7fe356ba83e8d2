//! The CPU engine on threads of a browser: a module of its own, built with atomics, whose memory they share.
//!
//! Nothing but arithmetic is in it, since next to nothing that browsers offer takes shared memory: a Web Worker keeps its
//! own module for everything else and has this one take the steps of its trainings. `worker/js/threads.js` begins a worker for
//! each further thread, and calls [`open`] once all of them wait in [`run_thread`].
#![cfg(target_arch = "wasm32")]
#![deny(missing_docs)]

use std::sync::{Condvar, Mutex, PoisonError};

use lichen_campaign::Manifest;
use lichen_engine::cpu::CpuExecutor;
use lichen_engine::step_program;
use lichen_model::program::StepValues;
use rayon_core::{ThreadBuilder, ThreadPoolBuilder};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, JsValue};

/// Threads of the pool that nobody runs yet.
static WAITING: Mutex<Vec<ThreadBuilder>> = Mutex::new(Vec::new());

/// Rung when there is one more.
static HANDED_OVER: Condvar = Condvar::new();

/// This module, for other threads.
#[wasm_bindgen]
#[must_use]
pub fn shared_module() -> JsValue {
    wasm_bindgen::module()
}

/// Its memory, for other threads.
#[wasm_bindgen]
#[must_use]
pub fn shared_memory() -> JsValue {
    wasm_bindgen::memory()
}

/// Makes a pool of so many threads, the caller's the first of them, and blocks until all run.
///
/// # Errors
/// When there is a pool already.
#[wasm_bindgen]
pub fn open(threads: usize) -> Result<(), JsError> {
    let hand_over = |thread| {
        WAITING.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        HANDED_OVER.notify_one();
        Ok(())
    };
    let pool = ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
    Ok(pool.spawn_handler(hand_over).build_global()?)
}

/// Waits for a thread of the pool and runs it, for as long as its worker lives.
#[wasm_bindgen]
pub fn run_thread() {
    let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let waiting = HANDED_OVER.wait_while(waiting, |waiting| waiting.is_empty());
    let next = waiting.unwrap_or_else(PoisonError::into_inner).pop();
    if let Some(thread) = next {
        thread.run();
    }
}

/// The step program of a manifest's training, with its memory.
#[wasm_bindgen]
pub struct Steps(CpuExecutor);

#[wasm_bindgen]
impl Steps {
    /// Builds it from the manifest as it was written.
    ///
    /// # Errors
    /// When that is no manifest, or its model cannot be trained.
    #[wasm_bindgen(constructor)]
    pub fn new(manifest: &[u8]) -> Result<Self, JsError> {
        let manifest = Manifest::from_bytes(manifest)?;
        Ok(Self(CpuExecutor::new(step_program(&manifest.model, &manifest.train)?.into())))
    }

    /// Writes a whole slot.
    pub fn write(&mut self, slot: usize, data: &[f32]) {
        self.0.write_slot(slot, data);
    }

    /// Reads a whole slot.
    #[must_use]
    pub fn read(&self, slot: usize) -> Vec<f32> {
        self.0.slot(slot).to_vec()
    }

    /// Takes a step on a batch and gives its loss; `values` are those of [`StepValues`], in its order.
    ///
    /// # Errors
    /// When lengths are not the program's.
    pub fn step(&mut self, x: &[f32], targets: &[f32], values: &[f64]) -> Result<f32, JsError> {
        let program = self.0.program();
        let fits = |buffer, data: &[f32]| program.buffer(buffer).elements() == data.len();
        let &[learning_rate, first_correction, second_correction, loss_scale, step, seed] = values else {
            return Err(JsError::new("a step has six values"));
        };
        if !fits(program.input, x) || !fits(program.target, targets) {
            return Err(JsError::new("the batch does not fit"));
        }
        let loss = program.loss;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "they were no longer before"
        )]
        let values = StepValues {
            learning_rate: learning_rate as f32,
            first_correction: first_correction as f32,
            second_correction: second_correction as f32,
            loss_scale: loss_scale as f32,
            step: step as u32,
            seed: seed as u32,
        };
        self.0.feed(x, targets);
        self.0.run(&values);
        Ok(self.0.read(loss).first().copied().unwrap_or(f32::NAN))
    }
}
