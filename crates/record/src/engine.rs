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

/// Which engine trained, and which version of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineVersion {
    /// The back end.
    pub kind: EngineKind,
    /// Counted up whenever the same training gives other numbers.
    pub version: u32,
}

impl EngineVersion {
    /// Whether the same training by the same version gives the same bits everywhere, so that anybody can check it.
    #[must_use]
    pub const fn is_reproducible(self) -> bool {
        matches!(self.kind, EngineKind::Cpu)
    }
}
