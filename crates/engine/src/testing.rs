//! Small models and data for tests.

use lichen_campaign::model_spec::{Activation, LayerSpec, Loss, ModelSpec, Optimizer, TrainSpec};
use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::Trainer;

/// The result of a future that never waits, as those of the CPU back end.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the CPU back end waits for nothing"),
    }
}

pub(crate) fn dense(name: &str, units: usize, activation: Activation) -> LayerSpec {
    LayerSpec::Dense { name: name.into(), units, activation, bias: true }
}

pub(crate) fn spec(input: &[usize], loss: Loss, layers: impl Into<Arc<[LayerSpec]>>) -> ModelSpec {
    ModelSpec { input: input.to_vec(), loss, ignore_label: None, huber_delta: None, layers: layers.into() }
}

pub(crate) fn adam(learning_rate: f64, batch: usize) -> TrainSpec {
    TrainSpec::plain(Optimizer::Adam, learning_rate, batch, 100)
}

/// Numbers from -1 to 1, the same everywhere.
pub(crate) fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let number = |index| lichen_model::program::random_bits(seed, index) as f32 / 2f32.powi(31) - 1.0;
    (0..u32::try_from(count).unwrap()).map(number).collect()
}

/// Takes these steps of a training on samples of 4 numbers in 3 classes, 16 in a batch.
pub(crate) fn steps(trainer: &mut Trainer, range: Range<usize>) {
    let (x, y) = blobs(160, 4, 3);
    for step in range {
        let start = step % 10 * 16;
        ready(trainer.step(&x[start * 4..(start + 16) * 4], &y[start..start + 16])).unwrap();
    }
}

/// Samples around one centre per class.
pub(crate) fn blobs(samples: usize, width: usize, classes: usize) -> (Vec<f32>, Vec<u32>) {
    let centres = numbers(5, classes * width);
    let labels: Vec<u32> = (0..samples).map(|sample| u32::try_from(sample * 7 % classes).unwrap()).collect();
    let mut x = numbers(6, samples * width);
    for (index, value) in x.iter_mut().enumerate() {
        *value = 0.5 * *value + 2.0 * centres[labels[index / width] as usize * width + index % width];
    }
    (x, labels)
}
