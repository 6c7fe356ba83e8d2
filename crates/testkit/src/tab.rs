//! What a tab says about itself on the attributes of its `<main>` element.

use std::time::Duration;

use serde_json::Value;

use crate::{Error, wait};

/// The state of a tab, as it is readable for anybody on `<main data-state=... data-round=...>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TabState {
    /// The state in one word, such as `idle`, `training`, `paused`.
    pub state: String,
    /// The last round that settled.
    pub round: u64,
    /// The accuracy on held-out data, 0 to 1.
    pub accuracy: Option<f64>,
    /// The contributions of this tab that are in the log.
    pub contributions: u64,
    /// The content id of the last settled checkpoint.
    pub checkpoint: Option<String>,
    /// The engine that trains, `cpu` or `gpu`.
    pub engine: Option<String>,
    /// The threads that share the CPU engine's work.
    pub threads: Option<u32>,
    /// Milliseconds from the click to the end of the first training step.
    pub first_step_ms: Option<f64>,
    /// Bytes of updates and checkpoints got from other tabs directly.
    pub bytes_direct: u64,
    /// Bytes of updates and checkpoints got through the relay.
    pub bytes_relayed: u64,
}

impl TabState {
    pub(crate) const EXPRESSION: &'static str = "(() => { const main = document.querySelector('main'); \
        return main && main.dataset.state ? { ...main.dataset } : null })()";

    /// Waits until the state that `look` gives fulfils a condition and returns it.
    pub(crate) fn wait(
        what: &str,
        limit: Duration,
        mut look: impl FnMut() -> Result<Option<Self>, Error>,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<Self, Error> {
        wait::until(what, limit, || {
            Ok(match look()? {
                Some(state) if holds(&state) => Ok(state),
                other => Err(other),
            })
        })
    }

    pub(crate) fn from_json(dataset: &Value) -> Option<Self> {
        let text =
            |name: &str| dataset.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Some(Self {
            state: text("state")?,
            round: text("round").and_then(|text| text.parse().ok()).unwrap_or(0),
            accuracy: text("accuracy").and_then(|text| text.parse().ok()),
            contributions: text("contributions").and_then(|text| text.parse().ok()).unwrap_or(0),
            checkpoint: text("checkpoint"),
            engine: text("engine"),
            threads: text("threads").and_then(|text| text.parse().ok()),
            first_step_ms: text("firstStepMs").and_then(|text| text.parse().ok()),
            bytes_direct: text("bytesDirect").and_then(|text| text.parse().ok()).unwrap_or(0),
            bytes_relayed: text("bytesRelayed").and_then(|text| text.parse().ok()).unwrap_or(0),
        })
    }
}
