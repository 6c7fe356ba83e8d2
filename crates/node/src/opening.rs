//! Opens an engine for the campaign's model.

use lichen_bridge::Engine;
use lichen_engine::{EngineError, EngineKind, Evaluator, Trainer, for_one_thread};

use crate::Platform;
use crate::context::Context;
use crate::setup::Setup;

/// An engine, and what the page is told about it.
pub(crate) struct Chosen {
    pub(crate) trainer: Trainer,
    /// Measures what was trained.
    pub(crate) evaluator: Evaluator,
    pub(crate) shown: Engine,
}

/// Opens an engine for the campaign's model.
pub(crate) async fn open<P: Platform>(
    context: &Context<P>,
    choice: EngineKind,
    why: &str,
) -> Result<Chosen, EngineError> {
    let (trainer, threads) = trainer(context, choice).await?;
    let kind = trainer.engine();
    let shown =
        Engine { kind, cpu_ms: None, gpu_ms: None, threads, samples_per_second: None, why: why.into() };
    let evaluator = Evaluator::new(&context.setup.manifest.model);
    Ok(Chosen { trainer, evaluator, shown })
}

/// A trainer of the campaign's model, and how many threads of the processor it has.
pub(crate) async fn trainer<P: Platform>(
    context: &Context<P>,
    choice: EngineKind,
) -> Result<(Trainer, u32), EngineError> {
    let Setup { manifest, bytes, .. } = &*context.setup;
    let (model, train) = (&manifest.model, &manifest.train);
    if choice == EngineKind::Cpu
        && !for_one_thread(train)
        && let Some(executor) = context.platform.executor(bytes)
    {
        return Ok((Trainer::with_executor(executor, model, train)?, context.platform.threads()));
    }
    Ok((Trainer::new(choice, model, train).await?, 1))
}
