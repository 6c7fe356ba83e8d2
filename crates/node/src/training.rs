//! Trains for one round in short slices, with pauses and progress.

use std::collections::VecDeque;

use lichen_bridge::{EnginePreference, Event, LossPoint, Phase, Problem};
use lichen_campaign::model_spec::Budget;
use lichen_engine::{EngineError, EngineKind, EngineVersion};
use lichen_learn::{Batches, Dataset};
use lichen_model::Parameters;
use lichen_record::{Cid, Metrics, RoundNumber};
use lichen_round::ParticipantEvent;
use lichen_settle::Trace;

use crate::context::{Context, Failure, TrainingTicket};
use crate::opening::{Chosen, open};
use crate::{Platform, measure};

/// How long is trained before others have their turn, in milliseconds: Pause is answered well within 100 ms.
const SLICE_MS: f64 = 16.0;

/// Least time between two reports of progress, in milliseconds.
const REPORT_MS: f64 = 100.0;

/// Samples of the shard on which a contribution's accuracy is measured, at most.
const METRIC_SAMPLES: usize = 256;

/// What the round machine wants trained.
pub(crate) struct Assignment {
    pub(crate) round: RoundNumber,
    pub(crate) base: Cid,
    pub(crate) shard: Vec<u32>,
    pub(crate) steps: u32,
    pub(crate) seed: u64,
    pub(crate) learning_rate: f64,
}

/// What a training works on.
pub(crate) struct Task {
    pub(crate) ticket: TrainingTicket,
    /// The parameters of the assignment's base.
    pub(crate) base: Parameters,
    pub(crate) assignment: Assignment,
}

/// What a training gave.
pub(crate) struct Trained {
    pub(crate) round: RoundNumber,
    pub(crate) base_cid: Cid,
    pub(crate) learning_rate: f64,
    pub(crate) base: Parameters,
    pub(crate) parameters: Parameters,
    pub(crate) metrics: Metrics,
    pub(crate) engine: EngineVersion,
    /// The states that it went through, where contributions name them.
    pub(crate) trace: Option<Trace>,
}

impl Trained {
    /// What the round machine hears of it.
    pub(crate) fn told(&self) -> ParticipantEvent {
        let Self { round, metrics, engine, .. } = *self;
        ParticipantEvent::Trained { round, metrics, engine, trace: self.trace.as_ref().map(Trace::id) }
    }
}

/// The engine that trains.
pub(crate) struct Training {
    preference: EnginePreference,
    chosen: Option<Chosen>,
    /// Milliseconds per step on the CPU, until the GPU is measured beside it.
    unmatched: Option<f64>,
    /// Rounds trained in this session.
    trained: u32,
    /// The training that was stopped last, as long as the engine holds what came of it.
    stopped: Option<Course>,
}

/// Progress of a training. The parameters learned so far are in the engine.
struct Course {
    round: RoundNumber,
    base: Cid,
    learning_rate: f64,
    batches: Batches,
    /// Steps taken.
    done: u32,
    losses: Losses,
    /// The states so far, where contributions name them.
    trace: Option<Trace>,
    /// How long they took, in milliseconds.
    ms: f64,
}

impl Course {
    /// A training that begins.
    fn new(assignment: &Assignment, batch: usize, is_traced: bool) -> Self {
        let Assignment { round, base, ref shard, seed, learning_rate, .. } = *assignment;
        let batches = Batches::new(shard.clone(), batch, seed);
        Self {
            round,
            base,
            learning_rate,
            batches,
            done: 0,
            losses: Losses::new(shard.len() / batch.max(1)),
            trace: is_traced.then(Trace::default),
            ms: 0.0,
        }
    }

    /// Whether it is this very training: samples and their order follow from the round and the account.
    fn is_of(&self, assignment: &Assignment) -> bool {
        let Assignment { round, base, learning_rate, .. } = *assignment;
        (self.round, self.base, self.learning_rate) == (round, base, learning_rate)
    }
}

impl Training {
    pub(crate) const fn new(preference: EnginePreference) -> Self {
        Self { preference, chosen: None, unmatched: None, trained: 0, stopped: None }
    }

    /// Chooses the engine, by measuring where the person left it open, and makes it ready.
    pub(crate) async fn choose<P: Platform>(&mut self, context: &Context<P>) -> Result<(), Problem> {
        if self.chosen.is_some() {
            return Ok(());
        }
        let chosen = match self.preference {
            EnginePreference::Cpu => open(context, EngineKind::Cpu, "You asked for the CPU.").await,
            EnginePreference::Gpu => match open(context, EngineKind::Gpu, "You asked for the GPU.").await {
                Err(EngineError::Gpu(reason)) => {
                    open(context, EngineKind::Cpu, &format!("The GPU cannot be used here: {reason}.")).await
                }
                opened => opened,
            },
            EnginePreference::Auto => measure::faster(context).await.map(|first| {
                self.unmatched = first.unmatched;
                first.chosen
            }),
        };
        self.keep(context, chosen)
    }

    /// Trains for a round. A lost GPU costs a new start of the round on the CPU, no more.
    pub(crate) async fn run<P: Platform>(
        &mut self,
        context: &Context<P>,
        dataset: &Dataset,
        task: Task,
    ) -> Result<Trained, Failure> {
        if self.trained >= measure::ROUNDS_BEFORE_GPU
            && self.stopped.is_none()
            && let Some(cpu_ms) = self.unmatched.take()
        {
            self.match_with_gpu(context, cpu_ms).await.map_err(Failure::Fatal)?;
        }
        loop {
            let Some(chosen) = &mut self.chosen else { return Err(Failure::Retry) };
            let is_gpu = chosen.shown.kind == EngineKind::Gpu;
            let error = match train(chosen, context, dataset, &task, &mut self.stopped).await {
                Ok((parameters, metrics, trace)) => {
                    self.trained = self.trained.saturating_add(1);
                    let Assignment { round, base: base_cid, learning_rate, .. } = task.assignment;
                    let engine = chosen.trainer.engine_version();
                    return Ok(Trained {
                        round,
                        base_cid,
                        learning_rate,
                        base: task.base,
                        parameters,
                        metrics,
                        engine,
                        trace,
                    });
                }
                Err(error) => error,
            };
            let why = match error {
                TrainingError::Engine(EngineError::Gpu(_lost)) if is_gpu => {
                    "The GPU was lost; the CPU continues."
                }
                // Drivers err more often than manifests: the CPU has the last word.
                TrainingError::Diverged if is_gpu => "The GPU gave no usable numbers; the CPU continues.",
                TrainingError::Diverged => return Err(Failure::Diverged),
                TrainingError::Engine(error) => return Err(Failure::Fatal(unusable(&error))),
                // Nobody waits for the outcome of a training that was stopped.
                TrainingError::Stopped => return Err(Failure::Retry),
            };
            let cpu = open(context, EngineKind::Cpu, why).await;
            self.keep(context, cpu).map_err(Failure::Fatal)?;
        }
    }

    /// Measures the GPU beside the CPU that has begun, and takes it if it is faster.
    async fn match_with_gpu<P: Platform>(
        &mut self,
        context: &Context<P>,
        cpu_ms: f64,
    ) -> Result<(), Problem> {
        let measured = measure::beside(context, cpu_ms).await;
        if let Some(measured) = measured
            && measured.is_gpu_faster()
        {
            let faster = measure::open_faster(context, measured).await;
            return self.keep(context, faster);
        }
        let Some(chosen) = &mut self.chosen else { return Ok(()) };
        match measured {
            Some(measured) => measured.describe(&mut chosen.shown),
            None => chosen.shown.why = measure::TOO_LONG.into(),
        }
        (context.out)(Event::Engine(chosen.shown.clone()));
        Ok(())
    }

    fn keep<P: Platform>(
        &mut self,
        context: &Context<P>,
        chosen: Result<Chosen, EngineError>,
    ) -> Result<(), Problem> {
        let chosen = chosen.map_err(|error| unusable(&error))?;
        (context.out)(Event::Engine(chosen.shown.clone()));
        self.chosen = Some(chosen);
        self.stopped = None;
        Ok(())
    }
}

/// Why a training gave nothing.
enum TrainingError {
    Engine(EngineError),
    /// Losses or parameters are not finite any more.
    Diverged,
    /// Nobody wants it any more.
    Stopped,
}

impl From<EngineError> for TrainingError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// Trains to the end of the task, from where it was stopped if it was, or until nobody wants it any more.
async fn train<P: Platform>(
    chosen: &mut Chosen,
    context: &Context<P>,
    dataset: &Dataset,
    task: &Task,
    stopped: &mut Option<Course>,
) -> Result<(Parameters, Metrics, Option<Trace>), TrainingError> {
    let Assignment { shard, steps, seed, .. } = &task.assignment;
    let batch = context.setup.manifest.train.batch;
    let audit = context.setup.rules.audit.filter(|_audit| chosen.trainer.engine_version().is_reproducible());
    let stride = audit.map_or(u32::MAX, |audit| audit.stride(*steps));
    chosen.trainer.set_learning_rate(task.assignment.learning_rate);
    let mut course = match stopped.take().filter(|course| course.is_of(&task.assignment)) {
        Some(course) => course,
        None => {
            chosen.trainer.load(&task.base, *seed).await?;
            Course::new(&task.assignment, batch, audit.is_some())
        }
    };
    let mut report = Report::new(context, task, course.done);
    if course.done > 0 {
        report.tell(course.done, &mut course.losses);
    }
    let began = context.platform.clock();
    let budget = context.setup.manifest.train.budget;
    while course.done < *steps && !is_spent(budget, &course, context.platform.clock() - began) {
        if !context.is_wanted(task.ticket) {
            course.ms += context.platform.clock() - began;
            *stopped = Some(course);
            return Err(TrainingError::Stopped);
        }
        let (x, answers) = dataset.gather(&course.batches.next_batch());
        chosen.trainer.step(&x, &answers).await?;
        course.done += 1;
        if let Some(trace) = &mut course.trace
            && (course.done.is_multiple_of(stride) || course.done == *steps)
        {
            trace.push(&Cid::of_raw(&chosen.trainer.snapshot().await?));
        }
        if report.is_turn_over() || course.done == 1 {
            course.losses.take(chosen.trainer.take_losses().await?)?;
            report.steps = planned(budget, &course, context.platform.clock() - began, *steps);
            report.progress(course.done, &mut course.losses);
            context.platform.yield_now().await;
            report.next_turn(course.done);
        }
    }
    course.losses.take(chosen.trainer.take_losses().await?)?;
    let seconds = (course.ms + context.platform.clock() - began) / 1e3;
    report.steps = course.done;
    report.tell(course.done, &mut course.losses);
    let metric_samples = shard.get(..METRIC_SAMPLES).unwrap_or(shard);
    let (x, answers) = dataset.gather(metric_samples);
    let parameters = chosen.trainer.parameters().await?;
    let accuracy = chosen.evaluator.evaluate(&parameters, &x, &answers)?.accuracy;
    let is_finite =
        parameters.iter().all(|(_name, tensor)| tensor.data().iter().all(|value| value.is_finite()));
    // A loss that is none but for rounding may come out below 0, which none of the losses can be.
    let metrics = Metrics::new(course.losses.last().max(0.0), accuracy, course.done);
    let is_possible = |metrics: &Metrics| context.setup.rules.check_metrics(metrics).is_ok();
    let metrics = metrics.ok().filter(|metrics| is_finite && is_possible(metrics));
    let metrics = metrics.ok_or(TrainingError::Diverged)?;
    chosen.shown.samples_per_second = speed(batch, course.done, seconds);
    (context.out)(Event::Engine(chosen.shown.clone()));
    Ok((parameters, metrics, course.trace))
}

/// Whether a training that has taken so many milliseconds since it went on has had its time.
fn is_spent(budget: Option<Budget>, course: &Course, ms: f64) -> bool {
    budget.is_some_and(|budget| course.done >= budget.least && course.ms + ms >= budget.seconds * 1e3)
}

/// How many steps the training comes to, as far as can be seen from those that it has taken.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate, cut to its range")]
fn planned(budget: Option<Budget>, course: &Course, ms: f64, most: u32) -> u32 {
    let Some(budget) = budget else { return most };
    let steps = f64::from(course.done) * budget.seconds * 1e3 / (course.ms + ms).max(1.0);
    (steps as u32).clamp(budget.least.max(course.done).min(most), most)
}

#[expect(clippy::cast_precision_loss, reason = "batches are small")]
fn speed(batch: usize, steps: u32, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| batch as f64 * f64::from(steps) / seconds)
}

/// The losses of a training's steps.
struct Losses {
    /// Those that were not reported yet, and the number of the first one's step.
    points: Vec<LossPoint>,
    taken: u32,
    /// Steps of an epoch.
    epoch: usize,
    /// Losses of the last steps, as many as an epoch has.
    recent: VecDeque<f64>,
}

impl Losses {
    /// None yet, of a training with so many steps in an epoch.
    fn new(epoch: usize) -> Self {
        Self { points: Vec::new(), taken: 0, epoch: epoch.max(1), recent: VecDeque::new() }
    }

    /// Takes in the losses of the next steps.
    fn take(&mut self, losses: Vec<f32>) -> Result<(), TrainingError> {
        for loss in losses.into_iter().map(f64::from) {
            if !loss.is_finite() {
                return Err(TrainingError::Diverged);
            }
            self.taken = self.taken.saturating_add(1);
            self.points.push(LossPoint { step: self.taken, loss });
            if self.recent.len() == self.epoch {
                self.recent.pop_front();
            }
            self.recent.push_back(loss);
        }
        Ok(())
    }

    /// Mean loss over the last epoch, or over all steps where there is less than one.
    fn last(&self) -> f64 {
        let number = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        self.recent.iter().sum::<f64>() / f64::from(number)
    }
}

/// What the page hears of a training.
struct Report<'a, P> {
    context: &'a Context<P>,
    ticket: TrainingTicket,
    round: u64,
    steps: u32,
    turn_began: f64,
    /// Steps that were taken before this turn.
    turn_from: u32,
    reported: Option<f64>,
}

impl<'a, P: Platform> Report<'a, P> {
    fn new(context: &'a Context<P>, task: &Task, done: u32) -> Self {
        let Assignment { round, steps, .. } = task.assignment;
        let turn_began = context.platform.clock();
        Self {
            context,
            ticket: task.ticket,
            round: round.0,
            steps,
            turn_began,
            turn_from: done,
            reported: None,
        }
    }

    fn is_turn_over(&self) -> bool {
        self.context.platform.clock() - self.turn_began >= SLICE_MS
    }

    /// Another turn begins, after this many steps.
    fn next_turn(&mut self, done: u32) {
        let now = self.context.platform.clock();
        let taken = done.saturating_sub(std::mem::replace(&mut self.turn_from, done));
        self.context.progress.took(taken, now - self.turn_began);
        self.turn_began = now;
    }

    /// Tells how far the training is, unless that was told a moment ago.
    fn progress(&mut self, step: u32, losses: &mut Losses) {
        let now = self.context.platform.clock();
        if self.reported.is_none_or(|reported| now - reported >= REPORT_MS) {
            self.reported = Some(now);
            self.tell(step, losses);
        }
    }

    fn tell(&mut self, step: u32, losses: &mut Losses) {
        // A stopped training ends a moment later: nothing may be heard of it after the page heard that it rests.
        if !self.context.is_wanted(self.ticket) {
            return;
        }
        let (round, steps) = (self.round, self.steps);
        self.context.progress.advance(step, steps);
        (self.context.out)(Event::Status(Phase::Training { round, step, steps }));
        if !losses.points.is_empty() {
            let points = std::mem::take(&mut losses.points);
            (self.context.out)(Event::Loss { round, points });
        }
    }
}

fn unusable(error: &EngineError) -> Problem {
    Problem {
        message: format!("The model cannot be trained on this device: {error}."),
        remedy: "Try another device or browser, or tell the people who run this campaign.".into(),
    }
}

#[cfg(test)]
#[cfg(all(target_arch = "wasm32", feature = "gpu"))]
mod tests;
