//! Chooses the engine: tries the GPU and the CPU on this campaign and remembers which is faster.

use std::pin::pin;

use futures::future::{Either, select};
use lichen_bridge::Engine;
use lichen_engine::{EngineError, EngineKind, measure_engine};
use lichen_record::{decode, encode};
use serde::{Deserialize, Serialize};

use crate::Platform;
use crate::context::Context;
use crate::opening::{Chosen, open, trainer};

/// How long the GPU may take to be measured, in milliseconds.
const MOST_MS: u32 = 200;

/// How long a measurement is believed, in milliseconds: browsers and drivers change.
const BELIEVED_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Longest remembered measurement, in bytes.
const MAX_REMEMBERED: usize = 256;

/// A round that the CPU trains in less than this, in milliseconds, does not wait for the GPU to be measured: getting a
/// GPU ready means compiling shaders, which takes longer, and every tab that opens beside this one does it as well.
const SHORT_MS: f64 = 1_000.0;

/// After so many short rounds the GPU is measured: in the first ones every tab is busy getting ready, and a model that
/// is quickly trained may have reached its goal by then.
pub(crate) const ROUNDS_BEFORE_GPU: u32 = 12;

/// What the engines were measured at on this device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Measurement {
    cpu_ms: f64,
    /// None where there is no GPU, or it failed.
    gpu_ms: Option<f64>,
    /// When, in milliseconds of Unix time.
    at: u64,
}

/// The engine to begin with, and whether the GPU is still to be measured.
pub(crate) struct First {
    pub(crate) chosen: Chosen,
    /// Milliseconds per step on the CPU, for [`beside`], where the GPU was not measured yet.
    pub(crate) unmatched: Option<f64>,
}

/// The engine that is faster for the campaign's model on this device: measured, or remembered from a while ago. Where
/// the CPU is quick it begins, and the GPU is measured later.
pub(crate) async fn faster<P: Platform>(context: &Context<P>) -> Result<First, EngineError> {
    if let Some(known) = remembered(context).await
        && let Ok(chosen) = open_faster(context, known).await
    {
        return Ok(First { chosen, unmatched: None });
    }
    // Never measured, long ago, or a GPU that has gone since.
    let cpu_ms = measure(context, EngineKind::Cpu, f64::INFINITY).await?;
    if cpu_ms * f64::from(context.setup.manifest.train.steps) < SHORT_MS {
        let why = "The CPU starts; the GPU is measured after some rounds.";
        let mut chosen = open(context, EngineKind::Cpu, why).await?;
        chosen.shown.cpu_ms = Some(cpu_ms);
        return Ok(First { chosen, unmatched: Some(cpu_ms) });
    }
    let chosen = match beside(context, cpu_ms).await {
        Some(measured) => open_faster(context, measured).await?,
        None => open(context, EngineKind::Cpu, TOO_LONG).await?,
    };
    Ok(First { chosen, unmatched: None })
}

/// Said where the GPU could not be measured in [`MOST_MS`].
pub(crate) const TOO_LONG: &str = "The GPU takes too long to get ready here, so the CPU trains.";

/// The GPU measured beside the CPU, and remembered; none where that takes too long, which is not remembered: the next
/// session tries again, perhaps with shaders that the browser then has compiled.
pub(crate) async fn beside<P: Platform>(context: &Context<P>, cpu_ms: f64) -> Option<Measurement> {
    let measuring = pin!(measure(context, EngineKind::Gpu, cpu_ms));
    let gpu_ms = match select(measuring, pin!(context.platform.sleep(MOST_MS))).await {
        Either::Left((gpu_ms, _limit)) => gpu_ms.ok(),
        Either::Right(((), _measuring)) => return None,
    };
    let measured = Measurement { cpu_ms, gpu_ms, at: context.platform.now() };
    remember(context, measured).await;
    Some(measured)
}

async fn measure<P: Platform>(
    context: &Context<P>,
    choice: EngineKind,
    rival: f64,
) -> Result<f64, EngineError> {
    let (trainer, _threads) = trainer(context, choice).await?;
    measure_engine(trainer, &context.setup.manifest.model, &|| context.platform.clock(), rival).await
}

/// Opens the engine that was faster.
pub(crate) async fn open_faster<P: Platform>(
    context: &Context<P>,
    measured: Measurement,
) -> Result<Chosen, EngineError> {
    let choice = if measured.is_gpu_faster() { EngineKind::Gpu } else { EngineKind::Cpu };
    let mut chosen = open(context, choice, "").await?;
    measured.describe(&mut chosen.shown);
    Ok(chosen)
}

impl Measurement {
    /// Whether the GPU won.
    pub(crate) fn is_gpu_faster(&self) -> bool {
        self.gpu_ms.is_some_and(|gpu| gpu < self.cpu_ms)
    }

    /// Tells what was measured.
    pub(crate) fn describe(&self, shown: &mut Engine) {
        shown.cpu_ms = Some(self.cpu_ms);
        shown.gpu_ms = self.gpu_ms;
        shown.why = why(self.cpu_ms, self.gpu_ms);
    }
}

fn why(cpu_ms: f64, gpu_ms: Option<f64>) -> String {
    match gpu_ms {
        Some(gpu) if gpu < cpu_ms => {
            format!("The GPU is {} times as fast for this model.", times(cpu_ms / gpu))
        }
        Some(gpu) => format!("The CPU is {} times as fast for this model.", times(gpu / cpu_ms)),
        None => "No GPU here can train this model.".into(),
    }
}

/// A ratio with as many digits as so short a measurement can bear.
fn times(ratio: f64) -> String {
    match ratio {
        ..10.0 => format!("{ratio:.1}"),
        ..100.0 => format!("{ratio:.0}"),
        _ => "over 100".into(),
    }
}

async fn remembered<P: Platform>(context: &Context<P>) -> Option<Measurement> {
    let (_name, bytes) = context.platform.load(&name(context)).await.ok()?.pop()?;
    let known: Measurement = decode(&bytes, MAX_REMEMBERED).ok()?;
    (context.platform.now().saturating_sub(known.at) <= BELIEVED_MS).then_some(known)
}

async fn remember<P: Platform>(context: &Context<P>, measured: Measurement) {
    if let Ok(bytes) = encode(&measured) {
        // Forgotten, it is measured again.
        let _kept = context.platform.save(&name(context), &bytes).await;
    }
}

fn name<P: Platform>(context: &Context<P>) -> String {
    let campaign = &context.setup.campaign;
    match context.platform.threads() {
        1 => format!("engine/{campaign}"),
        threads => format!("engine-{threads}/{campaign}"),
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;

    #[test]
    fn ratios_claim_no_more_than_was_measured() {
        assert_eq!([1.24, 12.3, 1357.7].map(times), ["1.2", "12", "over 100"]);
    }
}
