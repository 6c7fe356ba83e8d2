use lichen_engine::{EngineChoice, EngineError, Trainer};
use lichen_model::Parameters;
use lichen_record::{decode, encode};
use serde::{Deserialize, Serialize};

use crate::Platform;
use crate::jobs::Shared;
use crate::training::{Chosen, open, without_gpu};

/// How long each engine is measured, in milliseconds, once it is warm.
const BUDGET_MS: f64 = 80.0;

/// Steps before the measurement, in which engines compile and allocate.
const WARM_UP: usize = 2;

/// Steps measured at most.
const MOST_STEPS: usize = 200;

/// How long a measurement is believed, in milliseconds: browsers and drivers change.
const BELIEVED_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Longest remembered measurement, in bytes.
const MAX_REMEMBERED: usize = 256;

/// What the engines were measured at on this device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measurement {
    cpu_ms: f64,
    /// None where there is no GPU, or it failed.
    gpu_ms: Option<f64>,
    /// When, in milliseconds of Unix time.
    at: u64,
}

/// The engine that is faster for the campaign's model on this device: measured, or remembered from a while ago.
pub(crate) async fn faster<P: Platform>(shared: &Shared<P>) -> Result<Chosen, EngineError> {
    if let Some(chosen) = remembered(shared).await {
        return Ok(chosen);
    }
    let chosen = measured(shared).await?;
    remember(shared, &chosen).await;
    Ok(chosen)
}

async fn remembered<P: Platform>(shared: &Shared<P>) -> Option<Chosen> {
    let (_name, bytes) = shared.platform.load(&name(shared)).await.ok()?.pop()?;
    let known: Measurement = decode(&bytes, MAX_REMEMBERED).ok()?;
    if shared.platform.now().saturating_sub(known.at) > BELIEVED_MS {
        return None;
    }
    let is_gpu_faster = known.gpu_ms.is_some_and(|gpu| gpu < known.cpu_ms);
    let choice = if is_gpu_faster { EngineChoice::Gpu } else { EngineChoice::Cpu };
    // A GPU that has gone since is a reason to measure again.
    let mut chosen = open(shared, choice, &why(Some(known.cpu_ms), known.gpu_ms)).await.ok()?;
    chosen.shown.cpu_ms = Some(known.cpu_ms);
    chosen.shown.gpu_ms = known.gpu_ms;
    Some(chosen)
}

async fn remember<P: Platform>(shared: &Shared<P>, chosen: &Chosen) {
    let Some(cpu_ms) = chosen.shown.cpu_ms else { return };
    let measurement = Measurement { cpu_ms, gpu_ms: chosen.shown.gpu_ms, at: shared.platform.now() };
    if let Ok(bytes) = encode(&measurement) {
        // Forgotten, it is measured again.
        let _kept = shared.platform.save(&name(shared), &bytes).await;
    }
}

fn name<P: Platform>(shared: &Shared<P>) -> String {
    format!("engine/{}", shared.setup.campaign)
}

/// Opens both engines, measures them on the campaign's own model and gives the faster one.
async fn measured<P: Platform>(shared: &Shared<P>) -> Result<Chosen, EngineError> {
    let (_cid, parameters) = shared.setup.initial().map_err(|problem| EngineError::Train(problem.message))?;
    let mut cpu = open(shared, EngineChoice::Cpu, "").await?;
    cpu.shown.cpu_ms = Some(step_time(shared, &mut cpu.trainer, &parameters).await?);
    let mut gpu = match open(shared, EngineChoice::Gpu, "").await {
        Ok(gpu) => gpu,
        Err(EngineError::Gpu(reason)) => {
            let cpu_ms = cpu.shown.cpu_ms;
            cpu = without_gpu(shared, &reason).await?;
            cpu.shown.cpu_ms = cpu_ms;
            return Ok(cpu);
        }
        Err(error) => return Err(error),
    };
    // A GPU that fails at once is as good as none.
    let gpu_ms = step_time(shared, &mut gpu.trainer, &parameters).await.ok();
    let is_gpu_faster = gpu_ms.zip(cpu.shown.cpu_ms).is_some_and(|(gpu, cpu)| gpu < cpu);
    let (cpu_ms, mut chosen) = (cpu.shown.cpu_ms, if is_gpu_faster { gpu } else { cpu });
    chosen.shown.cpu_ms = cpu_ms;
    chosen.shown.gpu_ms = gpu_ms;
    chosen.shown.why = why(cpu_ms, gpu_ms);
    Ok(chosen)
}

fn why(cpu_ms: Option<f64>, gpu_ms: Option<f64>) -> String {
    match (cpu_ms, gpu_ms) {
        (Some(cpu), Some(gpu)) if gpu < cpu => {
            format!("The GPU is {:.1} times as fast for this model.", cpu / gpu)
        }
        (Some(cpu), Some(gpu)) => format!("The CPU is {:.1} times as fast for this model.", gpu / cpu),
        _ => "There is no GPU that could train this model here.".into(),
    }
}

/// Median time of a training step in milliseconds, over steps run until the budget is used up.
///
/// A GPU works behind the caller's back: the time of a step is taken from reading its loss.
async fn step_time<P: Platform>(
    shared: &Shared<P>,
    trainer: &mut Trainer,
    parameters: &Parameters,
) -> Result<f64, EngineError> {
    let manifest = &shared.setup.manifest;
    let width: usize = manifest.model.input.iter().product();
    let x = vec![0.0; width * manifest.train.batch];
    let labels = vec![0_u32; manifest.train.batch];
    trainer.load(parameters, 0).await?;
    let mut began = shared.platform.clock();
    let mut times = Vec::new();
    for step in 0..WARM_UP + MOST_STEPS {
        if step == WARM_UP {
            began = shared.platform.clock();
        }
        let before = shared.platform.clock();
        trainer.step(&x, &labels).await?;
        trainer.take_losses().await?;
        let after = shared.platform.clock();
        if step >= WARM_UP {
            times.push(after - before);
        }
        shared.platform.yield_now().await;
        if step >= WARM_UP && after - began >= BUDGET_MS {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied().unwrap_or(f64::MAX))
}
