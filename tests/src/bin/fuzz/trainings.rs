//! The decoders of what trainings are checked by: the hashes of their states, and a state.

#![expect(clippy::unwrap_used, reason = "a target panics to report a finding")]

use futures::executor::block_on as ready;
use lichen_campaign::model_spec::{Activation, LayerSpec, Loss, ModelSpec, Optimizer, TrainSpec};
use lichen_engine::{EngineKind, Trainer, snapshot_length};
use lichen_model::{Parameters, initial_parameters};
use lichen_record::Cid;
use lichen_settle::Trace;

use crate::targets::Target;

const STATES: u32 = 5;

/// Whatever a trace is, it has as many states as were asked for, and comes back.
pub(crate) fn trace() -> Target {
    let mut valid = Trace::default();
    (0..5_u8).for_each(|number| valid.push(&Cid::of_raw(&[number])));
    Target {
        name: "trace",
        cap: 512,
        valid: vec![valid.bytes().to_vec()],
        accepts: Box::new(|input| {
            let Ok(trace) = Trace::decode(input, STATES) else { return false };
            assert_eq!((trace.bytes(), trace.id()), (input, Cid::of_raw(input)));
            true
        }),
    }
}

/// Whatever a state is, the next step can be taken from it, and it comes back before that.
pub(crate) fn state() -> Target {
    let mut trainer = trainer();
    let base = base();
    ready(trainer.load(&base, 1)).unwrap();
    step(&mut trainer);
    let valid = ready(trainer.snapshot()).unwrap();
    Target {
        name: "training-state",
        cap: 2 * snapshot_length(trainer.program()),
        valid: vec![valid],
        accepts: Box::new(move |input| {
            let mut trainer = self::trainer();
            if ready(trainer.restore(&base, 1, 1, input)).is_err() {
                return false;
            }
            assert_eq!(ready(trainer.snapshot()).unwrap(), input);
            step(&mut trainer);
            true
        }),
    }
}

fn model() -> ModelSpec {
    let layer = LayerSpec::Dense { name: "a".into(), units: 3, activation: Activation::Relu, bias: true };
    let loss = Loss::SoftmaxCrossEntropy;
    ModelSpec { input: vec![2], loss, ignore_label: None, huber_delta: None, layers: [layer].into() }
}

fn base() -> Parameters {
    initial_parameters(&model(), 1).unwrap()
}

fn trainer() -> Trainer {
    let train = TrainSpec::plain(Optimizer::Adam, 0.01, 2, 10);
    ready(Trainer::new(EngineKind::Cpu, &model(), &train)).unwrap()
}

fn step(trainer: &mut Trainer) {
    ready(trainer.step(&[0.5, -1.0, 2.0, 0.0], &[0_u32, 2][..])).unwrap();
}
