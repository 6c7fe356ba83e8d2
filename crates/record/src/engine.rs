//! Which engine trains: the one name for it from the kernels to the page.

use serde::{Deserialize, Serialize};

/// The back end that runs training steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// The processor: the same bits on every machine.
    Cpu,
    /// The graphics processor through WebGPU: every device rounds its own way.
    Gpu,
}
