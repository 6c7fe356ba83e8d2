use std::pin::pin;

use futures::future::{Either, select};
use lichen_engine::{EngineChoice, EngineError, choose_engine};
use lichen_record::{decode, encode};
use serde::{Deserialize, Serialize};

use crate::Platform;
use crate::jobs::Shared;
use crate::training::{Chosen, open};

/// How long a measurement may keep the first step waiting, in milliseconds.
const MOST_MS: u32 = 200;

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
    if let Some(known) = remembered(shared).await
        && let Ok(chosen) = open_faster(shared, known).await
    {
        return Ok(chosen);
    }
    // Never measured, long ago, or a GPU that has gone since.
    let manifest = &shared.setup.manifest;
    let clock = || shared.platform.clock();
    let measuring = pin!(choose_engine(&manifest.model, &manifest.train, &clock));
    let choice = match select(measuring, pin!(shared.platform.sleep(MOST_MS))).await {
        Either::Left((choice, _limit)) => choice?,
        // Not remembered: the next session tries again, perhaps with shaders that the browser then has compiled.
        Either::Right(((), _measuring)) => {
            let why = "The GPU takes long to get ready here, so the CPU trains.";
            return open(shared, EngineChoice::Cpu, why).await;
        }
    };
    let measured = Measurement { cpu_ms: choice.cpu_ms, gpu_ms: choice.gpu_ms, at: shared.platform.now() };
    let chosen = open_faster(shared, measured).await?;
    remember(shared, measured).await;
    Ok(chosen)
}

async fn open_faster<P: Platform>(shared: &Shared<P>, measured: Measurement) -> Result<Chosen, EngineError> {
    let Measurement { cpu_ms, gpu_ms, .. } = measured;
    let choice = match gpu_ms {
        Some(gpu) if gpu < cpu_ms => EngineChoice::Gpu,
        _ => EngineChoice::Cpu,
    };
    let mut chosen = open(shared, choice, &why(cpu_ms, gpu_ms)).await?;
    chosen.shown.cpu_ms = Some(cpu_ms);
    chosen.shown.gpu_ms = gpu_ms;
    Ok(chosen)
}

fn why(cpu_ms: f64, gpu_ms: Option<f64>) -> String {
    match gpu_ms {
        Some(gpu) if gpu < cpu_ms => {
            format!("The GPU is {} times as fast for this model.", times(cpu_ms / gpu))
        }
        Some(gpu) => format!("The CPU is {} times as fast for this model.", times(gpu / cpu_ms)),
        None => "There is no GPU here that can train this model.".into(),
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

async fn remembered<P: Platform>(shared: &Shared<P>) -> Option<Measurement> {
    let (_name, bytes) = shared.platform.load(&name(shared)).await.ok()?.pop()?;
    let known: Measurement = decode(&bytes, MAX_REMEMBERED).ok()?;
    (shared.platform.now().saturating_sub(known.at) <= BELIEVED_MS).then_some(known)
}

async fn remember<P: Platform>(shared: &Shared<P>, measured: Measurement) {
    if let Ok(bytes) = encode(&measured) {
        // Forgotten, it is measured again.
        let _kept = shared.platform.save(&name(shared), &bytes).await;
    }
}

fn name<P: Platform>(shared: &Shared<P>) -> String {
    format!("engine/{}", shared.setup.campaign)
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
