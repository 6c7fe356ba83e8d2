//! Our engine, and what is needed to hold others against it: the workloads' data and first parameters, and the
//! speed limits of the processor.
#![cfg(target_arch = "wasm32")]

mod peak;

use lichen_engine::workloads::{self, BATCHES, SEED, Workload};
use lichen_engine::{EngineKind, Trainer};
use lichen_model::{Parameters, initial_parameters};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, UnwrapThrowExt as _};

/// Shows panics on the console.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// The data of a workload.
#[wasm_bindgen]
pub struct Data {
    workload: Workload,
    parameters: Parameters,
    all_batches: Vec<(Vec<f32>, Vec<u32>)>,
}

#[wasm_bindgen]
impl Data {
    /// The workload of that name.
    ///
    /// # Errors
    /// When there is none.
    #[wasm_bindgen(constructor)]
    pub fn new(name: &str) -> Result<Self, JsError> {
        let workload = find(name)?;
        let parameters = initial_parameters(&workload.model, SEED)?;
        let all_batches = (0..BATCHES).map(|number| workload.batch(number)).collect();
        Ok(Self { workload, parameters, all_batches })
    }

    /// How many different batches there are.
    #[wasm_bindgen(getter)]
    pub fn batches(&self) -> u32 {
        BATCHES
    }

    /// Floating-point operations of one step's products and convolutions.
    #[wasm_bindgen(getter)]
    pub fn flops(&self) -> f64 {
        self.workload.flops
    }

    /// The inputs of a batch, row-major, the batch first; empty where there is no such batch.
    pub fn inputs(&self, number: u32) -> Vec<f32> {
        self.all_batches.get(number as usize).map(|(x, _)| x.clone()).unwrap_or_default()
    }

    /// The labels of a batch; empty where there is no such batch.
    pub fn labels(&self, number: u32) -> Vec<u32> {
        self.all_batches.get(number as usize).map(|(_, labels)| labels.clone()).unwrap_or_default()
    }

    /// The names of the parameters.
    pub fn names(&self) -> Vec<String> {
        self.parameters.iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// The shape of a parameter; empty where there is no such parameter.
    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.parameters.get(name).map(|tensor| tensor.shape().to_vec()).unwrap_or_default()
    }

    /// The first values of a parameter; empty where there is no such parameter.
    pub fn values(&self, name: &str) -> Vec<f32> {
        self.parameters.get(name).map(|tensor| tensor.data().to_vec()).unwrap_or_default()
    }
}

/// A workload in training by our engine.
#[wasm_bindgen]
pub struct Training {
    trainer: Trainer,
    batches: Vec<(Vec<f32>, Vec<u32>)>,
    next: usize,
}

#[wasm_bindgen]
impl Training {
    /// Gets a workload ready for its first step, on the CPU or on WebGPU.
    ///
    /// # Errors
    /// When our engine cannot train it, or there is no WebGPU.
    pub async fn open(data: Data, gpu: bool) -> Result<Self, JsError> {
        let choice = if gpu { EngineKind::Gpu } else { EngineKind::Cpu };
        let mut trainer = Trainer::new(choice, &data.workload.model, &data.workload.train).await?;
        trainer.load(&data.parameters, SEED).await?;
        Ok(Self { trainer, batches: data.all_batches, next: 0 })
    }

    /// Takes so many steps, waits until they are done, and returns the last one's loss.
    ///
    /// # Errors
    /// What the engine fails with.
    pub async fn run(&mut self, steps: u32) -> Result<f32, JsError> {
        for _ in 0..steps {
            let (x, labels) = self.batches.get(self.next % self.batches.len()).unwrap_throw();
            self.trainer.step(x, &labels[..]).await?;
            self.next += 1;
        }
        let losses = self.trainer.take_losses().await?;
        losses.last().copied().ok_or_else(|| JsError::new("no loss came back"))
    }
}

/// The kinds of kernels of a workload's step on the CPU, and the microseconds that each took a step.
///
/// # Errors
/// When our engine cannot train it.
#[wasm_bindgen]
pub fn profile(name: &str, steps: u32) -> Result<Vec<String>, JsError> {
    let index = workloads::all().iter().position(|workload| workload.name == name).unwrap_or(usize::MAX);
    let mut times = lichen_engine::bench::profile(index, steps as usize, &now)?;
    times.sort_by(|a, b| b.1.total_cmp(&a.1));
    let line = |(kind, ms): &(String, f64)| format!("{:10.1} us  {kind}", ms * 1e3 / f64::from(steps));
    Ok(times.iter().map(line).collect())
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}

/// Multiplies and adds in registers for so many rounds, as fast as one thread can.
#[wasm_bindgen]
pub fn multiply_add(rounds: u32) -> f64 {
    peak::multiply_add(rounds)
}

/// Floating-point operations of one round of [`multiply_add`].
#[wasm_bindgen]
pub fn multiply_add_flops() -> f64 {
    peak::FLOPS
}

/// Copies a buffer far larger than the caches so many times.
#[wasm_bindgen]
pub fn copy(rounds: u32) {
    peak::copy(rounds);
}

/// Bytes that one round of [`copy`] reads and writes.
#[wasm_bindgen]
pub fn copy_bytes() -> f64 {
    peak::BYTES
}

fn find(name: &str) -> Result<Workload, JsError> {
    let found = workloads::all().into_iter().find(|workload| workload.name == name);
    found.ok_or_else(|| JsError::new(&format!("there is no workload {name}")))
}
