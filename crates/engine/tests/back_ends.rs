//! Both back ends train the same model to the same losses; natively where there is a Vulkan or Metal driver, and in a
//! Web Worker.
#![cfg(feature = "gpu")]
#![cfg(test)]
#![expect(clippy::cast_possible_truncation, reason = "counts are small")]

use lichen_campaign::model_spec::{Activation, LayerSpec, Loss, ModelSpec, Optimizer, TrainSpec};
use lichen_engine::{EngineError, EngineKind, Trainer};
use lichen_model::program::random_bits;
use lichen_model::{Parameters, initial_parameters};

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

const BATCH: usize = 32;
const STEPS: usize = 60;

fn digits() -> ModelSpec {
    let dense =
        |name: &str, units, activation| LayerSpec::Dense { name: name.into(), units, activation, bias: true };
    let layers = vec![dense("hidden", 32, Activation::Relu), dense("output", 10, Activation::None)];
    ModelSpec {
        input: vec![64],
        loss: Loss::SoftmaxCrossEntropy,
        ignore_label: None,
        huber_delta: None,
        layers: layers.into(),
    }
}

fn training() -> TrainSpec {
    TrainSpec::plain(Optimizer::Adam, 0.002, BATCH, STEPS as u32)
}

/// Ten blurred patterns and their numbers.
fn batch(step: usize) -> (Vec<f32>, Vec<u32>) {
    let unit = |seed: u32, index: usize| random_bits(seed, index as u32) as f32 / u32::MAX as f32;
    let labels: Vec<u32> = (0..BATCH).map(|i| random_bits(7, (step * BATCH + i) as u32) % 10).collect();
    let pixel = |(i, label): (usize, &u32)| {
        let row = (step * BATCH + i) * 64;
        (0..64)
            .map(move |p| 0.5 * unit(8, *label as usize * 64 + p) + 0.5 * unit(9, row + p))
            .collect::<Vec<_>>()
    };
    (labels.iter().enumerate().flat_map(pixel).collect(), labels)
}

async fn train(choice: EngineKind) -> Result<(Vec<f32>, Parameters), EngineError> {
    let (model, training) = (digits(), training());
    let mut trainer = Trainer::new(choice, &model, &training).await?;
    trainer.load(&initial_parameters(&model, 5).unwrap(), 1).await?;
    for step in 0..STEPS {
        let (x, labels) = batch(step);
        trainer.step(&x, &labels).await?;
    }
    Ok((trainer.take_losses().await?, trainer.parameters().await?))
}

/// The whole comparison; `false` where there is no adapter to compare with.
async fn same_losses() -> bool {
    let (cpu_losses, cpu) = train(EngineKind::Cpu).await.unwrap();
    let (gpu_losses, gpu) = match train(EngineKind::Gpu).await {
        Ok(trained) => trained,
        Err(EngineError::Gpu(_)) => return false,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(cpu_losses.len(), STEPS);
    assert_eq!(gpu_losses.len(), STEPS);
    assert!(cpu_losses[STEPS - 1] < 0.85 * cpu_losses[0], "{cpu_losses:?}");
    for (cpu, gpu) in cpu_losses.iter().zip(&gpu_losses) {
        assert!((cpu - gpu).abs() < 1e-4 * cpu.abs().max(1.0), "{cpu_losses:?} {gpu_losses:?}");
    }
    for ((name, cpu), (_, gpu)) in cpu.iter().zip(gpu.iter()) {
        for (cpu, gpu) in cpu.data().iter().zip(gpu.data()) {
            assert!((cpu - gpu).abs() < 1e-3, "{name}: {cpu} {gpu}");
        }
    }
    true
}

/// Someone who stops waiting for a read-back (a pause, say) must find the trainer as usable as before; `false` where
/// there is no adapter.
async fn abandoned_read_backs() -> bool {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    let (model, training) = (digits(), training());
    let mut trainer = match Trainer::new(EngineKind::Gpu, &model, &training).await {
        Ok(trainer) => trainer,
        Err(EngineError::Gpu(_)) => return false,
        Err(error) => panic!("{error}"),
    };
    let parameters = initial_parameters(&model, 5).unwrap();
    trainer.load(&parameters, 1).await.unwrap();
    let steps = async |trainer: &mut Trainer, count| {
        for step in 0..count {
            let (x, labels) = batch(step);
            trainer.step(&x, &labels).await.unwrap();
        }
    };
    steps(&mut trainer, 3).await;
    // Natively a mapping is waited for at once, so that only a browser leaves one on its way.
    if cfg!(target_arch = "wasm32") {
        for _ in 0..2 {
            let waiting =
                pin!(trainer.take_losses()).poll(&mut Context::from_waker(Waker::noop())).is_pending();
            assert!(waiting, "a browser never maps at once");
            let waiting =
                pin!(trainer.parameters()).poll(&mut Context::from_waker(Waker::noop())).is_pending();
            assert!(waiting, "a browser never maps at once");
        }
    }
    steps(&mut trainer, 40).await;
    assert_eq!(trainer.take_losses().await.unwrap().len(), 43);

    // A new start forgets what the run before it left unread.
    steps(&mut trainer, 20).await;
    trainer.load(&parameters, 1).await.unwrap();
    steps(&mut trainer, 1).await;
    assert_eq!(trainer.take_losses().await.unwrap().len(), 1);
    true
}

/// Every step is one submit, whether its loss is read at once, late or never; `false` where there is no adapter.
async fn one_submit_per_step() -> bool {
    let (model, training) = (digits(), training());
    let mut trainer = match Trainer::new(EngineKind::Gpu, &model, &training).await {
        Ok(trainer) => trainer,
        Err(EngineError::Gpu(_)) => return false,
        Err(error) => panic!("{error}"),
    };
    let parameters = initial_parameters(&model, 5).unwrap();
    trainer.load(&parameters, 1).await.unwrap();
    assert_eq!(trainer.gpu().unwrap().submits(), 0);
    let mut taken = 0;
    for step in 0..100 {
        let (x, labels) = batch(step);
        trainer.step(&x, &labels).await.unwrap();
        if step % 7 < 2 || step == 99 {
            taken += trainer.take_losses().await.unwrap().len();
        }
        assert_eq!(trainer.gpu().unwrap().submits(), step as u64 + 1);
    }
    assert_eq!(taken, 100);
    true
}

/// Gradients of causal attention, of which both back ends leave out the masked half; `false` where there is no adapter.
async fn same_gradients_of_attention() -> bool {
    for context in [13, 24, 64] {
        let block = |number: usize| LayerSpec::TransformerBlock {
            name: format!("block{number}"),
            heads: 2,
            causal: true,
            expansion: 2,
            activation: Activation::Gelu,
            dropout: 0.0,
        };
        let tokens = LayerSpec::Embedding { name: "tokens".into(), vocabulary: 11, width: 24 };
        let head =
            LayerSpec::Dense { name: "head".into(), units: 11, activation: Activation::None, bias: true };
        let layers = vec![tokens, block(0), block(1), head];
        let model = ModelSpec { input: vec![context], layers: layers.into(), ..digits() };
        let training = TrainSpec { batch: 3, ..training() };
        let tokens = |seed: u32| (0..3 * context as u32).map(move |i| random_bits(seed, i) % 11);
        let x: Vec<f32> = tokens(1).map(|token| token as f32).collect();
        let labels: Vec<u32> = tokens(2).collect();
        let mut gradients = Vec::new();
        for choice in [EngineKind::Cpu, EngineKind::Gpu] {
            let mut trainer = match Trainer::new(choice, &model, &training).await {
                Ok(trainer) => trainer,
                Err(EngineError::Gpu(_)) => return false,
                Err(error) => panic!("{error}"),
            };
            trainer.load(&initial_parameters(&model, 5).unwrap(), 1).await.unwrap();
            // The second step finds what the first one left in memory.
            for _ in 0..2 {
                trainer.step(&x, &labels).await.unwrap();
            }
            gradients.push(trainer.gradients().await.unwrap());
        }
        for ((name, cpu), (_, gpu)) in gradients[0].iter().zip(gradients[1].iter()) {
            let largest = cpu.data().iter().fold(1e-3_f32, |largest, value| largest.max(value.abs()));
            for (cpu, gpu) in cpu.data().iter().zip(gpu.data()) {
                assert!((cpu - gpu).abs() < 1e-3 * largest, "{context} {name}: {cpu} {gpu}");
            }
        }
    }
    true
}

/// A test that needs a GPU: a browser has to have one, a machine need not.
macro_rules! test_on_gpu {
    ($name:ident, $run:ident) => {
        #[cfg(not(target_arch = "wasm32"))]
        #[test]
        fn $name() {
            if !futures::executor::block_on($run()) {
                eprintln!("not run: no adapter");
            }
        }

        #[cfg(target_arch = "wasm32")]
        #[wasm_bindgen_test::wasm_bindgen_test]
        async fn $name() {
            assert!($run().await, "the browser has no WebGPU adapter");
        }
    };
}

test_on_gpu!(a_step_is_one_submit, one_submit_per_step);
test_on_gpu!(gradients_of_attention_agree, same_gradients_of_attention);
test_on_gpu!(losses_agree, same_losses);
test_on_gpu!(an_abandoned_read_back_harms_nothing, abandoned_read_backs);
