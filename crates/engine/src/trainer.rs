//! Training of a model, the same for all back ends.

use crate::EngineError;
use crate::backend::{Backend, Executor};
use crate::batch;
#[cfg(feature = "gpu")]
use crate::gpu::Gpu;
use crate::per_sample::PerSample;
use crate::proximal::Proximal;
use crate::schedule::{StepSchedule, rule, share};
use crate::slots::{named, parameter_slots};
use lichen_campaign::model_spec::{ModelSpec, TrainSpec};
use lichen_model::lower::{Purpose, lower};
use lichen_model::program::{GRADIENTS, PARAMETERS, Program, STATE0, STATE1, STATISTICS};
use lichen_model::{Parameters, Targets, layers};
use lichen_record::{EngineKind, EngineVersion};
use std::sync::Arc;

mod snapshot;
mod state;

pub use snapshot::snapshot_length;

/// A model in training.
pub struct Trainer {
    program: Arc<Program>,
    backend: Backend,
    schedule: StepSchedule,
    losses: Vec<f32>,
    targets: Vec<f32>,
    per_sample: Option<PerSample>,
    proximal: Option<Proximal>,
    loaded: bool,
}

impl Trainer {
    /// Builds the step program of a model and opens the back end; [`Trainer::load`] comes next.
    ///
    /// # Errors
    /// [`EngineError::Model`] if the layers do not fit, [`EngineError::Train`] for a training specification out
    /// of range, [`EngineError::Gpu`] if a GPU is asked for and cannot be had.
    pub async fn new(choice: EngineKind, model: &ModelSpec, train: &TrainSpec) -> Result<Self, EngineError> {
        let program = Arc::new(step_program(model, train)?);
        if choice == EngineKind::Gpu
            && let Some(key) = between_gradient_and_update(train)
        {
            return Err(EngineError::Train(format!("{key} is for the CPU only")));
        }
        let backend = Backend::open(choice, &program).await?;
        Self::on(backend, program, model, train)
    }

    /// As [`Trainer::new`], with steps taken by an executor of the same model's and training's [`step_program`].
    ///
    /// # Errors
    /// As [`Trainer::new`]; [`EngineError::Train`] also for what [`for_one_thread`] says.
    pub fn with_executor(
        executor: Box<dyn Executor>,
        model: &ModelSpec,
        train: &TrainSpec,
    ) -> Result<Self, EngineError> {
        if let Some(key) = between_gradient_and_update(train) {
            return Err(EngineError::Train(format!("{key} is for one thread only")));
        }
        let program = Arc::new(step_program(model, train)?);
        Self::on(Backend::Elsewhere(executor), program, model, train)
    }

    #[expect(clippy::cast_possible_truncation, reason = "kernels take single precision")]
    fn on(
        backend: Backend,
        program: Arc<Program>,
        model: &ModelSpec,
        train: &TrainSpec,
    ) -> Result<Self, EngineError> {
        let limit = train.clip_sample_norm.map(|limit| limit as f32);
        let per_sample = limit.map(|limit| PerSample::new(model, limit)).transpose()?;
        let schedule = StepSchedule::new(train, 0);
        Ok(Self {
            program,
            backend,
            schedule,
            losses: Vec::new(),
            targets: Vec::new(),
            per_sample,
            proximal: train.proximal.map(|strength| Proximal::new(strength as f32)),
            loaded: false,
        })
    }

    /// Which back end runs the steps.
    #[must_use]
    pub fn engine(&self) -> EngineKind {
        match self.backend {
            Backend::Cpu(_) | Backend::Elsewhere(_) => EngineKind::Cpu,
            #[cfg(feature = "gpu")]
            Backend::Gpu { .. } => EngineKind::Gpu,
        }
    }

    /// The back end with its version, for whoever signs what came of it.
    #[must_use]
    pub fn engine_version(&self) -> EngineVersion {
        let kind = self.engine();
        EngineVersion { kind, version: version(kind) }
    }

    /// The step program.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Trains with this step size, before the schedule, instead of the one that the trainer was made with.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.schedule.set_learning_rate(learning_rate);
    }

    /// Steps taken since the parameters were loaded, those before a resumption included.
    #[must_use]
    pub fn steps_taken(&self) -> u32 {
        self.schedule.step()
    }

    /// Starts a round: sets the parameters, the optimiser's state to zero, the schedule to its first step and
    /// the seed of dropout; losses not taken yet are forgotten.
    ///
    /// # Errors
    /// [`EngineError::Model`] if names or shapes are not those of the model.
    pub async fn load(&mut self, parameters: &Parameters, seed: u64) -> Result<(), EngineError> {
        let [trained, statistics] = parameter_slots(&self.program, parameters)?;
        for (slot, data) in [(PARAMETERS, &trained), (STATISTICS, &statistics)] {
            self.backend.write_slot(slot, data)?;
        }
        for slot in [GRADIENTS, STATE0, STATE1] {
            let zeros = vec![0.0; self.program.slots.get(slot).copied().unwrap_or(0)];
            self.backend.write_slot(slot, &zeros)?;
        }
        if let Some(proximal) = &mut self.proximal {
            proximal.begin(&trained);
        }
        self.schedule.restart(seed);
        self.losses.clear();
        #[cfg(feature = "gpu")]
        if let Backend::Gpu { program, .. } = &mut self.backend {
            program.forget_losses();
        }
        self.loaded = true;
        Ok(())
    }

    /// One step on a batch: `x` row-major with the batch first, labels or values to match.
    ///
    /// # Errors
    /// [`EngineError::Length`], [`EngineError::NotFinite`], [`EngineError::OutOfRange`] or
    /// [`EngineError::TargetKind`] for a batch that is refused; nothing has changed then.
    /// [`EngineError::Gpu`] if the device fails.
    pub fn step<'a>(
        &'a mut self,
        x: &'a [f32],
        targets: impl Into<Targets<'a>>,
    ) -> impl Future<Output = Result<(), EngineError>> {
        self.step_on(x, targets.into())
    }

    async fn step_on(&mut self, x: &[f32], targets: Targets<'_>) -> Result<(), EngineError> {
        if !self.loaded {
            return Err(EngineError::Train("parameters must be loaded before the first step".into()));
        }
        let counted = batch::check(&self.program, x, targets, &mut self.targets)?;
        let values = self.schedule.next(share(counted));
        match &mut self.backend {
            Backend::Cpu(executor) => {
                if let Some(per_sample) = &mut self.per_sample {
                    self.losses.push(per_sample.gradients(executor, x, &self.targets, &values));
                } else {
                    executor.feed(x, &self.targets);
                    executor.differentiate(&values);
                    self.losses.extend(executor.read(self.program.loss).first());
                }
                if let Some(proximal) = &self.proximal {
                    proximal.add(executor);
                }
                executor.update(&values);
            }
            Backend::Elsewhere(executor) => self.losses.push(executor.step(x, &self.targets, &values)?),
            #[cfg(feature = "gpu")]
            Backend::Gpu { program, .. } => program.step(x, &self.targets, &values).await?,
        }
        Ok(())
    }

    /// Losses of the steps since the last call, in order.
    ///
    /// # Errors
    /// [`EngineError::Gpu`] if the device fails before it has given all of them.
    pub async fn take_losses(&mut self) -> Result<Vec<f32>, EngineError> {
        match &mut self.backend {
            Backend::Cpu(_) | Backend::Elsewhere(_) => Ok(std::mem::take(&mut self.losses)),
            #[cfg(feature = "gpu")]
            Backend::Gpu { program, .. } => Ok(program.take_losses().await?),
        }
    }

    /// The parameters as they are now.
    ///
    /// # Errors
    /// [`EngineError::Gpu`] if the device fails.
    pub async fn parameters(&self) -> Result<Parameters, EngineError> {
        let slots = [self.backend.read_slot(PARAMETERS).await?, self.backend.read_slot(STATISTICS).await?];
        named(&self.program, &slots, |binding| Some(binding.value))
    }

    /// The gradients of the last step, by the names of their parameters.
    ///
    /// # Errors
    /// [`EngineError::Gpu`] if the device fails.
    pub async fn gradients(&self) -> Result<Parameters, EngineError> {
        let gradients = self.backend.read_slot(GRADIENTS).await?;
        named(&self.program, &[gradients], |binding| binding.gradient)
    }
}

/// Whether a training's steps need the CPU's one thread.
#[must_use]
pub const fn for_one_thread(train: &TrainSpec) -> bool {
    between_gradient_and_update(train).is_some()
}

/// The key that asks for something between gradient and update, where the program of a step has no place.
const fn between_gradient_and_update(train: &TrainSpec) -> Option<&'static str> {
    match (train.clip_sample_norm, train.proximal) {
        (Some(_limit), _) => Some("train.clip_sample_norm"),
        (None, Some(_strength)) => Some("train.proximal"),
        (None, None) => None,
    }
}

/// The program of a training step, the same wherever it is made from the same model and training.
///
/// # Errors
/// As [`Trainer::new`].
#[expect(clippy::cast_possible_truncation, reason = "kernels take single precision")]
pub fn step_program(model: &ModelSpec, train: &TrainSpec) -> Result<Program, EngineError> {
    if let Err(faults) = train.validate() {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        return Err(EngineError::Train(faults.join("; ")));
    }
    let graph = layers::build(model, train.batch)?;
    let clip_norm = train.clip_norm.map(|limit| limit as f32);
    Ok(lower(&graph, Purpose::Train { rule: rule(train), clip_norm })?)
}

/// Counted up when the same training gives other numbers: on the CPU with the golden hashes, on the GPU with its kernels.
#[must_use]
pub const fn version(kind: EngineKind) -> u32 {
    match kind {
        EngineKind::Cpu | EngineKind::Gpu => 1,
    }
}

#[cfg(feature = "gpu")]
impl Trainer {
    /// The device, where the GPU runs the steps.
    #[must_use]
    pub fn gpu(&self) -> Option<&Gpu> {
        match &self.backend {
            Backend::Gpu { gpu, .. } => Some(gpu),
            Backend::Cpu(_) | Backend::Elsewhere(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Evaluator;
    use crate::testing::{adam, blobs, dense, ready, spec};
    use lichen_campaign::model_spec::{Activation, Loss, Optimizer};
    use lichen_model::initial_parameters;

    fn small() -> ModelSpec {
        spec(
            &[4],
            Loss::SoftmaxCrossEntropy,
            vec![dense("a", 16, Activation::Relu), dense("b", 3, Activation::None)],
        )
    }

    #[test]
    fn a_dense_model_learns() {
        let (model, train) = (small(), adam(0.02, 16));
        let mut trainer = ready(Trainer::new(EngineKind::Cpu, &model, &train)).unwrap();
        ready(trainer.load(&initial_parameters(&model, 1).unwrap(), 1)).unwrap();
        let (x, y) = blobs(160, 4, 3);
        let mut evaluator = Evaluator::new(&model);
        let before = evaluator.evaluate(&ready(trainer.parameters()).unwrap(), &x, &y).unwrap();
        for epoch in 0..200 {
            let start = epoch % 10 * 16;
            ready(trainer.step(&x[start * 4..(start + 16) * 4], &y[start..start + 16])).unwrap();
        }
        let after = evaluator.evaluate(&ready(trainer.parameters()).unwrap(), &x, &y).unwrap();
        assert!(after.loss < before.loss / 2.0 && after.accuracy > 0.9, "{before:?} {after:?}");
        assert_eq!(ready(trainer.take_losses()).unwrap().len(), 200);
    }

    /// The parameters after each of three steps on the same batch.
    fn three_steps(train: &TrainSpec) -> Vec<Vec<f32>> {
        let model = small();
        let mut trainer = ready(Trainer::new(EngineKind::Cpu, &model, train)).unwrap();
        ready(trainer.load(&initial_parameters(&model, 1).unwrap(), 1)).unwrap();
        let (x, y) = blobs(16, 4, 3);
        let mut course = Vec::new();
        for _step in 0..3 {
            ready(trainer.step(&x, &y[..])).unwrap();
            let parameters = ready(trainer.parameters()).unwrap();
            course.push(parameters.iter().flat_map(|(_name, tensor)| tensor.data().to_vec()).collect());
        }
        course
    }

    #[test]
    fn a_proximal_term_pulls_towards_the_rounds_base() {
        let train = TrainSpec { optimizer: Optimizer::Sgd, learning_rate: 0.5, ..plain_sgd() };
        let (plain, pulled) =
            (three_steps(&train), three_steps(&TrainSpec { proximal: Some(0.25), ..train }));
        assert_eq!(plain[0], pulled[0], "at the base there is nothing to pull");
        let base: Vec<f32> =
            initial_parameters(&small(), 1).unwrap().iter().flat_map(|(_n, t)| t.data().to_vec()).collect();
        for (index, base) in base.iter().enumerate() {
            let expected = plain[1][index] - 0.5 * 0.25 * (plain[0][index] - base);
            assert!((pulled[1][index] - expected).abs() < 1e-6, "{} {expected}", pulled[1][index]);
        }
        assert_ne!(plain[1], pulled[1]);
        // The whole gradient is clipped, the pull included: one so strong leaves no room for anything else.
        let clipped = TrainSpec { proximal: Some(1e9), clip_norm: Some(1e-3), ..plain_sgd() };
        let course = three_steps(&clipped);
        let apart = |from: &[f32], to: &[f32]| {
            from.iter().zip(to).map(|(from, to)| (to - from).powi(2)).sum::<f32>().sqrt()
        };
        assert!(apart(&course[1], &course[2]) <= 1e-3 * 1.01);
    }

    fn plain_sgd() -> TrainSpec {
        TrainSpec { optimizer: Optimizer::Sgd, beta1: None, beta2: None, learning_rate: 1.0, ..adam(0.1, 16) }
    }

    #[test]
    fn what_only_one_thread_of_the_cpu_does_is_refused_elsewhere() {
        let train = TrainSpec { proximal: Some(0.1), ..adam(0.02, 16) };
        assert!(for_one_thread(&train) && !for_one_thread(&adam(0.02, 16)));
        let refused = ready(Trainer::new(EngineKind::Gpu, &small(), &train)).err().unwrap();
        assert_eq!(refused, EngineError::Train("train.proximal is for the CPU only".into()));
        let (x, y) = blobs(16, 4, 3);
        let mut trainer = ready(Trainer::new(EngineKind::Cpu, &small(), &train)).unwrap();
        let parameters = initial_parameters(&small(), 1).unwrap();
        ready(trainer.load(&parameters, 1)).unwrap();
        ready(trainer.step(&x, &y[..])).unwrap();
        let state = ready(trainer.optimizer_state()).unwrap();
        let refused = ready(trainer.resume(&parameters, &state, 1)).unwrap_err();
        assert!(refused.to_string().contains("train.proximal"), "{refused}");
    }

    #[test]
    fn bad_batches_are_refused_and_change_nothing() {
        let (model, train) = (small(), adam(0.02, 2));
        let mut trainer = ready(Trainer::new(EngineKind::Cpu, &model, &train)).unwrap();
        let parameters = initial_parameters(&model, 1).unwrap();
        assert!(ready(trainer.step(&[0.0; 8], &[0u32, 1][..])).is_err(), "nothing is loaded yet");
        ready(trainer.load(&parameters, 1)).unwrap();
        let mut step = |x: &[f32], y: &[u32]| ready(trainer.step(x, y)).unwrap_err();
        assert_eq!(step(&[0.0; 7], &[0, 1]), EngineError::Length { what: "input", expected: 8, found: 7 });
        assert_eq!(step(&[0.0; 8], &[0]), EngineError::Length { what: "labels", expected: 2, found: 1 });
        let mut x = [0.0; 8];
        x[5] = f32::NAN;
        assert_eq!(step(&x, &[0, 1]), EngineError::NotFinite { what: "input", index: 5 });
        let outside = EngineError::OutOfRange { what: "labels", index: 1, found: 3.0, limit: 3 };
        assert_eq!(step(&[0.0; 8], &[0, 3]), outside);
        assert_eq!(ready(trainer.parameters()).unwrap(), parameters);
        assert!(ready(trainer.take_losses()).unwrap().is_empty());
    }

    /// Gradients of one step with all samples' norms clipped to `limit`.
    fn clipped(limit: Option<f64>) -> (Vec<f32>, f32) {
        let model = small();
        let train = TrainSpec { clip_sample_norm: limit, ..adam(0.02, 16) };
        let mut trainer = ready(Trainer::new(EngineKind::Cpu, &model, &train)).unwrap();
        ready(trainer.load(&initial_parameters(&model, 1).unwrap(), 1)).unwrap();
        let (x, y) = blobs(16, 4, 3);
        ready(trainer.step(&x, &y)).unwrap();
        let gradients = ready(trainer.gradients()).unwrap();
        let all = gradients.iter().flat_map(|(_, tensor)| tensor.data().to_vec()).collect();
        (all, ready(trainer.take_losses()).unwrap()[0])
    }

    #[test]
    fn gradients_are_clipped_sample_by_sample() {
        let norm = |gradient: &[f32]| gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        let ((plain, loss), (loose, same)) = (clipped(None), clipped(Some(1e6)));
        assert!((loss - same).abs() < 1e-5);
        assert!(plain.iter().zip(&loose).all(|(a, b)| (a - b).abs() < 1e-5));
        let (tight, _) = clipped(Some(0.01));
        assert!(norm(&tight) <= 0.01 + 1e-6 && norm(&tight) > 1e-4, "{}", norm(&tight));
    }

    #[test]
    fn degenerate_models_train() {
        let model = spec(&[1], Loss::Huber, vec![dense("a", 1, Activation::None)]);
        let mut trainer = ready(Trainer::new(EngineKind::Cpu, &model, &adam(0.1, 1))).unwrap();
        ready(trainer.load(&initial_parameters(&model, 1).unwrap(), 1)).unwrap();
        for _ in 0..300 {
            ready(trainer.step(&[1.0], &[3.0f32][..])).unwrap();
        }
        let losses = ready(trainer.take_losses()).unwrap();
        assert!(losses[299] < 1e-3, "{}", losses[299]);
        assert!(ready(trainer.step(&[], &[][..] as &[f32])).is_err(), "an empty batch is refused");
        let parameters = ready(trainer.parameters()).unwrap();
        let none = Evaluator::new(&model).evaluate(&parameters, &[], &[][..] as &[f32]);
        assert_eq!(none, Err(EngineError::Empty));
    }

    #[test]
    fn parameters_of_another_model_are_refused() {
        let (model, train) = (small(), adam(0.02, 2));
        let mut trainer = ready(Trainer::new(EngineKind::Cpu, &model, &train)).unwrap();
        let other = spec(&[5], Loss::SoftmaxCrossEntropy, model.layers.clone());
        let error = ready(trainer.load(&initial_parameters(&other, 1).unwrap(), 1)).unwrap_err();
        assert_eq!(error.to_string(), "parameter a.weight has shape [16, 5], but the model takes [16, 4]");
    }
}
