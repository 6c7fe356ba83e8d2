//! What the engine adds to a download: a module that reads a campaign's manifest, as every page and worker does, with
//! and without training it; and with the calls of WebGPU that training makes, which weighs its bindings alone.
#![cfg(target_arch = "wasm32")]

use lichen_campaign::Manifest;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

/// Trains a campaign's model on one batch, on the engine that is faster for it, and gives the new parameters.
///
/// # Errors
/// When the manifest is none, or the engine cannot train its model on these data.
#[wasm_bindgen]
pub async fn train(
    manifest: Vec<u8>,
    base: Vec<u8>,
    x: Vec<f32>,
    labels: Vec<u32>,
) -> Result<Vec<u8>, JsError> {
    let manifest = Manifest::from_bytes(&manifest)?;
    trained(&manifest, base, &x, &labels).await
}

#[cfg(feature = "engine")]
async fn trained(manifest: &Manifest, base: Vec<u8>, x: &[f32], labels: &[u32]) -> Result<Vec<u8>, JsError> {
    use lichen_engine::{EngineKind, Evaluator, Trainer, measure_engine};
    use lichen_model::{Parameters, initial_parameters};

    let (model, train) = (&manifest.model, &manifest.train);
    let base = if base.is_empty() {
        initial_parameters(model, manifest.rounds.seed)?
    } else {
        Parameters::from_safetensors(&base)?
    };
    let cpu = Trainer::new(EngineKind::Cpu, model, train).await?;
    let cpu_ms = measure_engine(cpu, model, &now, f64::INFINITY).await?;
    let gpu_ms = match Trainer::new(EngineKind::Gpu, model, train).await {
        Ok(gpu) => measure_engine(gpu, model, &now, cpu_ms).await,
        Err(error) => Err(error),
    };
    let is_gpu_faster = gpu_ms.is_ok_and(|gpu_ms| gpu_ms < cpu_ms);
    let choice = if is_gpu_faster { EngineKind::Gpu } else { EngineKind::Cpu };
    let mut trainer = Trainer::new(choice, model, train).await?;
    trainer.load(&base, manifest.rounds.seed).await?;
    trainer.step(x, labels).await?;
    let losses = trainer.take_losses().await?;
    let parameters = trainer.parameters().await?;
    let evaluation = Evaluator::new(model).evaluate(&parameters, x, labels)?;
    if losses.iter().any(|loss| !loss.is_finite()) || !evaluation.accuracy.is_finite() {
        return Err(JsError::new("the training diverged"));
    }
    Ok(parameters.to_safetensors())
}

// The engine has the bindings in it: with both features it is what counts.
#[cfg(all(feature = "bindings", not(feature = "engine")))]
mod bindings;

#[cfg(all(feature = "bindings", not(feature = "engine")))]
async fn trained(_: &Manifest, base: Vec<u8>, _: &[f32], _: &[u32]) -> Result<Vec<u8>, JsError> {
    bindings::run(&base).await
}

#[cfg(not(any(feature = "engine", feature = "bindings")))]
#[expect(clippy::unused_async, reason = "as with the engine")]
async fn trained(manifest: &Manifest, base: Vec<u8>, x: &[f32], labels: &[u32]) -> Result<Vec<u8>, JsError> {
    if x.len() < manifest.train.batch || labels.len() < manifest.model.layers.len() {
        return Err(JsError::new("too few data"));
    }
    Ok(base)
}

#[cfg(feature = "engine")]
#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}
