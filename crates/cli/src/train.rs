//! Trains a manifest's model here, so that anybody can compare with another program.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use futures::executor::block_on;
use lichen_campaign::Training;
use lichen_engine::{EngineError, EngineKind, Trainer};
use lichen_learn::{check_training, difference};
use lichen_model::graph::Graph;
use lichen_model::{Answers, Parameters, Targets, Tensor, initial_parameters, layers, pick};
use rayon_core::{ThreadPool, ThreadPoolBuilder};

mod order;
mod samples;
mod tensors;

use order::{Order, SampleOrder};
use samples::{Samples, read_samples};
use tensors::Tensors;

/// Values beyond this are worth a word where a training diverged.
const LARGE: f32 = 100.0;

/// What to train, on what, and for how long.
#[derive(Args)]
pub(crate) struct TrainArguments {
    /// A campaign's manifest, or any TOML file with the tables [model] and [train].
    manifest: PathBuf,
    /// A safetensors file with the tensors x [samples, ..] and y, which holds labels [samples, ..] or values of the
    /// output's shape. If the manifest has data.scale, x is multiplied by it. Floats of 16 and 64 bits are converted to
    /// 32 bits; integers may be of any type.
    #[arg(long)]
    data: PathBuf,
    /// Initial parameters (safetensors, PyTorch's names and layouts); drawn from the seed by default.
    #[arg(long)]
    init: Option<PathBuf>,
    /// Number of training steps, which the schedule spans; defaults to the manifest's train.steps.
    #[arg(long)]
    steps: Option<u32>,
    /// Seed for the initial parameters, the order of the samples and dropout.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The order of the samples.
    #[arg(long, value_enum, default_value_t = Order::Shuffled)]
    order: Order,
    /// The back end.
    #[arg(long, value_enum, default_value_t = Engine::Cpu)]
    engine: Engine,
    /// Threads for the CPU back end; defaults to the number of cores. The result is the same for any number.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Optimiser state to continue from (safetensors), as written by --save-state; pass the parameters that belong to
    /// it with --init. It holds `step` [1], the number of steps taken, and for each parameter, named as in PyTorch,
    /// `exp_avg.NAME` and `exp_avg_sq.NAME` (Adam, `AdamW`; Lion only the first) or `momentum_buffer.NAME` (SGD with
    /// momentum).
    #[arg(long, requires = "init")]
    init_state: Option<PathBuf>,
    /// Stop after this many of the --steps, to continue later; the schedule and the order remain those of the whole
    /// run.
    #[arg(long)]
    until: Option<u32>,
    /// Write the final optimiser state to this file.
    #[arg(long)]
    save_state: Option<PathBuf>,
    /// Write the gradients of the last step to this file.
    #[arg(long)]
    save_gradients: Option<PathBuf>,
    /// Write the trained parameters to this file.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print the result as one JSON object with `losses`, where a loss that is not finite is null, and `update_norm`,
    /// the L2 norm of the change to the parameters, as `update.max_norm` counts it. If the training diverges,
    /// `diverged` names the step instead, and the exit status is 1.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Engine {
    /// Reproducible to the bit.
    Cpu,
    /// The graphics card, through wgpu.
    Gpu,
}

pub(crate) fn train(arguments: &TrainArguments) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&arguments.manifest)
        .with_context(|| format!("cannot read {}", arguments.manifest.display()))?;
    let mut training = Training::parse(&text)
        .map_err(|error| crate::explain_fault(&arguments.manifest, text.as_bytes(), &error))?;
    training.train.steps = arguments.steps.unwrap_or(training.train.steps);
    let graph =
        layers::build(&training.model, 1).with_context(|| format!("in {}", arguments.manifest.display()))?;
    check_training(&training.model, &training.train)
        .with_context(|| format!("in {}", arguments.manifest.display()))?;
    let samples = read_samples(&arguments.data, &training, &graph)?;
    let parameters = match &arguments.init {
        Some(path) => read_parameters(path, &graph)?,
        None => initial_parameters(&training.model, arguments.seed)?,
    };
    for path in [&arguments.out, &arguments.save_state, &arguments.save_gradients].into_iter().flatten() {
        check_place(path)?;
    }
    let choice = if arguments.engine == Engine::Cpu { EngineKind::Cpu } else { EngineKind::Gpu };
    let started = Instant::now();
    let trained =
        pool(arguments)?.install(|| block_on(run(arguments, &training, choice, &samples, &parameters)))?;
    let seconds = started.elapsed().as_secs_f64();
    let engine = if arguments.engine == Engine::Cpu { "cpu" } else { "gpu" };
    if let Some(step) = trained.diverged {
        if arguments.json {
            let losses = &trained.losses;
            let result = serde_json::json!({ "engine": engine, "seconds": seconds, "losses": losses, "diverged": step });
            writeln!(std::io::stdout(), "{result}")?;
        }
        bail!("{}", in_words(step, trained.losses.last(), &training, &samples));
    }
    let Trained { losses, parameters: learned, state, gradients, .. } = trained;
    let update_norm = difference(&parameters, &learned)?.norm();
    let files = [(&arguments.out, learned), (&arguments.save_state, state)];
    for (path, tensors) in files.into_iter().chain([(&arguments.save_gradients, gradients)]) {
        if let Some(path) = path {
            std::fs::write(path, tensors.to_safetensors())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    if arguments.json {
        let result = serde_json::json!({
            "engine": engine, "seconds": seconds, "losses": losses, "update_norm": update_norm
        });
        writeln!(std::io::stdout(), "{result}")?;
    }
    Ok(())
}

/// That a training diverged, where, and what to do about it.
fn in_words(step: u32, loss: Option<&f32>, training: &Training, samples: &Samples) -> String {
    let mut text = format!("training diverged at step {step}: ");
    text.push_str(&match loss {
        Some(loss) if !loss.is_finite() => format!("the loss is {loss}"),
        _ => "parameters are no longer finite".into(),
    });
    text.push_str(&format!(
        ". No file was written. Use a learning_rate smaller than {}, or set clip_norm",
        training.train.learning_rate
    ));
    let largest = |values: &[f32]| values.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
    let (of_x, of_y) = (
        largest(&samples.x),
        match &samples.y {
            Answers::Labels(_) => 0.0,
            Answers::Values(values) => largest(values),
        },
    );
    if of_x > LARGE {
        text.push_str(&format!(
            ". The inputs go up to {of_x}: scale them to about 1, by data.scale or in the file"
        ));
    }
    if of_y > LARGE {
        text.push_str(&format!(
            ". The answers go up to {of_y}, with which the loss and its gradients grow: divide them in the file, so that \
             they are about 1"
        ));
    }
    text
}

/// The threads to train on.
fn pool(arguments: &TrainArguments) -> anyhow::Result<ThreadPool> {
    let threads = match arguments.threads {
        Some(threads) => usize::from(threads),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.with_context(|| format!("cannot start {threads} threads: try fewer with --threads"))
}

/// What a training gives.
struct Trained {
    losses: Vec<f32>,
    /// The step at which it came to what are no numbers, if it did.
    diverged: Option<u32>,
    parameters: Parameters,
    state: Parameters,
    gradients: Parameters,
}

async fn run(
    arguments: &TrainArguments,
    training: &Training,
    choice: EngineKind,
    samples: &Samples,
    parameters: &Parameters,
) -> anyhow::Result<Trained> {
    let mut trainer = open(choice, training).await?;
    match &arguments.init_state {
        Some(path) => {
            let state = read_tensors(path)?;
            trainer
                .resume(parameters, &state, arguments.seed)
                .await
                .with_context(|| format!("in {}", path.display()))?;
        }
        None => trainer.load(parameters, arguments.seed).await?,
    }
    let begin = trainer.steps_taken();
    let end = arguments.until.unwrap_or(training.train.steps).min(training.train.steps);
    let mut order = SampleOrder::new(arguments.order, arguments.seed, samples.count);
    order.skip(u64::from(begin) * training.train.batch as u64);
    if begin >= end {
        eprintln!("lichen: no step is left: {begin} of {end} were taken");
    }
    let mut bar = Bar::new(training.train.steps);
    let mut losses = Vec::new();
    for step in begin..end {
        let chosen: Vec<usize> = (0..training.train.batch).map(|_| order.next()).collect();
        let x = pick(&samples.x, samples.count, chosen.iter().copied());
        let y = samples.y.pick(samples.count, chosen.iter().copied());
        if let Err(error) = trainer.step(&x, &y).await {
            bar.end();
            let place = place_of(&error, &chosen, x.len(), Targets::from(&y).len());
            return Err(error).with_context(|| format!("step {step}{place}"));
        }
        report(trainer.take_losses().await?, begin, &mut losses, &mut bar, arguments.json)?;
        bar.show(step + 1, losses.last().copied());
        if losses.last().is_some_and(|loss| !loss.is_finite()) {
            break;
        }
    }
    report(trainer.take_losses().await?, begin, &mut losses, &mut bar, arguments.json)?;
    bar.end();
    let [parameters, state, gradients] =
        [trainer.parameters().await?, trainer.optimizer_state().await?, trainer.gradients().await?];
    let broken = losses.iter().position(|loss| !loss.is_finite());
    let is_broken = broken.is_some() || ![&parameters, &state].into_iter().all(is_finite);
    let at = broken.unwrap_or(losses.len().saturating_sub(1));
    let diverged = is_broken.then(|| begin.saturating_add(u32::try_from(at).unwrap_or(u32::MAX)));
    Ok(Trained { losses, diverged, parameters, state, gradients })
}

fn is_finite(parameters: &Parameters) -> bool {
    parameters.iter().all(|(_name, tensor)| tensor.data().iter().all(|value| value.is_finite()))
}

/// Adds losses to those of the steps from `begin` on, and prints them unless all go into one JSON object.
fn report(new: Vec<f32>, begin: u32, losses: &mut Vec<f32>, bar: &mut Bar, json: bool) -> anyhow::Result<()> {
    for loss in new {
        let step = begin as usize + losses.len();
        if !json {
            if std::io::stdout().is_terminal() {
                bar.end();
            }
            writeln!(std::io::stdout(), "{step}\t{loss}")?;
        }
        losses.push(loss);
    }
    Ok(())
}

/// Where a refused element of a batch comes from, if that is what is wrong.
fn place_of(error: &EngineError, chosen: &[usize], inputs: usize, answers: usize) -> String {
    let (EngineError::NotFinite { what, index } | EngineError::OutOfRange { what, index, .. }) = error else {
        return String::new();
    };
    let elements = if *what == "input" { inputs } else { answers };
    let each = (elements / chosen.len().max(1)).max(1);
    chosen.get(index / each).map_or(String::new(), |sample| format!(", sample {sample} of the data"))
}

async fn open(choice: EngineKind, training: &Training) -> anyhow::Result<Trainer> {
    let opened = Trainer::new(choice, &training.model, &training.train).await;
    if cfg!(not(feature = "gpu")) && choice == EngineKind::Gpu {
        return opened.context("build this program with its feature gpu, or train with --engine cpu");
    }
    match opened {
        Err(EngineError::Gpu(reason)) => bail!(
            "{reason}\nThe GPU needs a Vulkan driver (Metal on a Mac; Debian's mesa-vulkan-drivers also does without a \
             graphics card): install one, or train with --engine cpu"
        ),
        opened => Ok(opened?),
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Refuses a path that nothing can be written to, before work is done that would be lost.
fn check_place(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    ensure!(folder.is_none_or(Path::is_dir), "cannot write {}: there is no such folder", path.display());
    ensure!(!path.is_dir(), "cannot write {}: it is a folder", path.display());
    Ok(())
}

fn read_parameters(path: &Path, graph: &Graph) -> anyhow::Result<Parameters> {
    let parameters = read_tensors(path)?;
    check_names(&parameters, graph).with_context(|| format!("in {}", path.display()))?;
    Ok(parameters)
}

fn read_tensors(path: &Path) -> anyhow::Result<Parameters> {
    let bytes = read(path)?;
    let in_file = || format!("in {}", path.display());
    let mut tensors = Tensors::read(&bytes).with_context(in_file)?;
    let parameters = tensors.parameters().with_context(in_file)?;
    tensors.report(path);
    Ok(parameters)
}

/// Names every parameter that is missing, unknown or of another shape.
fn check_names(parameters: &Parameters, graph: &Graph) -> anyhow::Result<()> {
    const MOST: usize = 20;
    let wanted: BTreeMap<&str, &[usize]> =
        graph.parameters().iter().map(|wanted| (wanted.name.as_str(), wanted.shape.as_slice())).collect();
    let here = wanted.iter().filter_map(|(name, shape)| match parameters.get(name).map(Tensor::shape) {
        Some(found) if found == *shape => None,
        Some(found) => Some(format!("{name} has shape {found:?}, but the model takes {shape:?}")),
        None => Some(format!("{name} {shape:?} is missing")),
    });
    let unknown = parameters.iter().filter(|(name, _)| !wanted.contains_key(name));
    let unknown =
        unknown.map(|(name, tensor)| format!("{name} {:?} is not one of the model's", tensor.shape()));
    let mut faults: Vec<String> = here.chain(unknown).collect();
    if let Some(more) = faults.len().checked_sub(MOST).filter(|&more| more > 0) {
        faults.truncate(MOST);
        faults.push(format!("and {more} more"));
    }
    ensure!(faults.is_empty(), "these do not match the model's parameters:\n{}", faults.join("\n"));
    Ok(())
}

/// A bar on standard error, on terminals only.
struct Bar {
    steps: u32,
    is_terminal: bool,
    /// When it was drawn, if it is there.
    shown: Option<Instant>,
}

impl Bar {
    fn new(steps: u32) -> Self {
        Self { steps, is_terminal: std::io::stderr().is_terminal(), shown: None }
    }

    fn show(&mut self, step: u32, loss: Option<f32>) {
        if !self.is_terminal || self.shown.is_some_and(|shown| shown.elapsed().as_millis() < 50) {
            return;
        }
        self.shown = Some(Instant::now());
        let is_done = |place: u32| u64::from(place) * u64::from(self.steps) < u64::from(step) * 30;
        let bar: String = (0..30).map(|place| if is_done(place) { '#' } else { '.' }).collect();
        let loss = loss.map_or(String::new(), |loss| format!(" loss {loss:.4}"));
        eprint!("\r\x1b[2K[{bar}] {step} of {}{loss}", self.steps);
    }

    fn end(&mut self) {
        if self.is_terminal && self.shown.take().is_some() {
            eprint!("\r\x1b[2K");
        }
    }
}
