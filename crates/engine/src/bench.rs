//! What speed and bits are measured with: workloads step by step, products alone, and the device's own peak.

use crate::cpu::{self, CpuExecutor};
use crate::workloads::{self, SEED, Workload};
use crate::{EngineError, EngineKind, Trainer};
use lichen_model::initial_parameters;
use lichen_model::program::{PARAMETERS, STATISTICS};
use lichen_record::Cid;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// A workload on the CPU, ready for its next step.
pub struct Bench {
    trainer: Trainer,
    workload: Workload,
    batches: Vec<(Vec<f32>, Vec<u32>)>,
    step: usize,
}

impl Bench {
    /// Builds workload number `index` (from 0; after all of them, the large one) with its first parameters and all its data.
    ///
    /// # Errors
    /// [`EngineError::Empty`] if there is no such workload; else as [`Trainer::new`].
    pub fn new(index: usize) -> Result<Self, EngineError> {
        let all = workloads::all().into_iter().chain([workloads::large()]);
        let workload = all.into_iter().nth(index).ok_or(EngineError::Empty)?;
        let mut trainer = ready(Trainer::new(EngineKind::Cpu, &workload.model, &workload.train))?;
        ready(trainer.load(&initial_parameters(&workload.model, SEED)?, SEED))?;
        let batches = (0..workloads::BATCHES).map(|number| workload.batch(number)).collect();
        Ok(Self { trainer, workload, batches, step: 0 })
    }

    /// The workload.
    #[must_use]
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// Trains for so many steps.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn steps(&mut self, count: usize) -> Result<(), EngineError> {
        for _ in 0..count {
            let (x, y) = self.batches.get(self.step % self.batches.len()).ok_or(EngineError::Empty)?;
            ready(self.trainer.step(x, y))?;
            self.step += 1;
        }
        ready(self.trainer.take_losses()).map(drop)
    }

    /// The id of the state, as contributions name it where trainings are repeated by others.
    ///
    /// # Errors
    /// As [`Trainer::snapshot`].
    pub fn state(&self) -> Result<Cid, EngineError> {
        ready(self.trainer.snapshot()).map(|state| Cid::of_raw(&state))
    }

    /// FNV-1a of the bits of all parameters, in order of their names.
    ///
    /// # Errors
    /// As [`Trainer::parameters`].
    pub fn hash(&self) -> Result<u64, EngineError> {
        let parameters = ready(self.trainer.parameters())?;
        let bytes =
            parameters.iter().flat_map(|(_, tensor)| tensor.data()).flat_map(|value| value.to_le_bytes());
        Ok(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }
}

/// The result of a future of the CPU back end, none of which waits.
///
/// # Panics
/// If it waits.
#[expect(clippy::panic, reason = "measured is the CPU back end, which has nothing to wait for")]
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the CPU back end waits for nothing"),
    }
}

/// Multiplies and adds on four lanes, twelve sums at a time, for so many rounds; returns the flops done and a
/// number that keeps the work from being left out.
#[must_use]
pub fn peak(rounds: u32) -> (f64, f32) {
    (f64::from(rounds) * 12.0 * 8.0, cpu::peak(rounds))
}

/// Runs an m×k by k×n product so many times; `layout` 0: a b, 1: a bᵀ, 2: aᵀ b. Returns an element of it.
#[must_use]
pub fn product(extents: [usize; 3], layout: u32, rounds: u32) -> f32 {
    cpu::product(extents, layout, rounds)
}

/// Time by kind of kernel over so many steps of a workload, by the given clock, in the clock's units.
///
/// # Errors
/// As [`Bench::new`].
pub fn profile(index: usize, steps: usize, now: &dyn Fn() -> f64) -> Result<Vec<(String, f64)>, EngineError> {
    let bench = Bench::new(index)?;
    let mut executor = CpuExecutor::new(bench.trainer.program().clone().into());
    let mut times = Vec::new();
    let parameters = initial_parameters(&bench.workload.model, SEED)?;
    let [trained, statistics] = crate::slots::parameter_slots(bench.trainer.program(), &parameters)?;
    executor.write_slot(PARAMETERS, &trained);
    executor.write_slot(STATISTICS, &statistics);
    #[expect(clippy::cast_precision_loss, reason = "labels are small")]
    for (x, y) in bench.batches.iter().cycle().take(steps) {
        let y: Vec<f32> = y.iter().map(|&label| label as f32).collect();
        executor.feed(x, &y);
        executor.profile(now, &mut times);
    }
    Ok(times)
}
