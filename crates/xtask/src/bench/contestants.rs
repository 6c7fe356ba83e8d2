//! Who is measured: engines on devices.

use serde_json::{Value, json};

use super::options::Options;

/// An engine on a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Contestant {
    /// How tables name it.
    pub(super) name: &'static str,
    /// `ours`, `jax` or `tfjs`.
    pub(super) family: &'static str,
    /// `cpu`, `webgl` or `webgpu`: only those on the same one compare.
    pub(super) device: &'static str,
    /// What the engine itself calls the device.
    backend: &'static str,
    /// Whether what the engine lacks or does badly is written out in operations that it does well.
    by_hand: bool,
    /// The workloads where this makes a difference; empty: all.
    only: &'static [&'static str],
}

const fn on(
    name: &'static str,
    family: &'static str,
    device: &'static str,
    backend: &'static str,
) -> Contestant {
    Contestant { name, family, device, backend, by_hand: false, only: &[] }
}

/// Everybody, ours first.
pub(super) const ALL: [Contestant; 10] = [
    on("ours", "ours", "cpu", "cpu"),
    on("jax-js wasm", "jax", "cpu", "wasm"),
    Contestant { by_hand: true, only: &["w2"], ..on("jax-js wasm, im2col by hand", "jax", "cpu", "wasm") },
    on("TF.js wasm", "tfjs", "cpu", "wasm"),
    Contestant {
        by_hand: true,
        only: &["w2", "w4"],
        ..on("TF.js wasm, im2col or one-hot by hand", "tfjs", "cpu", "wasm")
    },
    on("TF.js WebGL", "tfjs", "webgl", "webgl"),
    on("ours WebGPU", "ours", "webgpu", "webgpu"),
    on("jax-js WebGPU", "jax", "webgpu", "webgpu"),
    Contestant {
        by_hand: true,
        only: &["w2"],
        ..on("jax-js WebGPU, im2col by hand", "jax", "webgpu", "webgpu")
    },
    on("TF.js WebGPU", "tfjs", "webgpu", "webgpu"),
];

impl Contestant {
    /// Whether it takes part in a workload.
    pub(super) fn takes_part(&self, workload: &str, options: &Options) -> bool {
        let asked = |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
        (self.only.is_empty() || self.only.contains(&workload))
            && asked(&options.engines, self.family)
            && asked(&options.devices, self.device)
    }

    /// What its worker is told.
    pub(super) fn order(&self, workload: &str) -> Value {
        json!({ "workload": workload, "device": self.backend, "byHand": self.by_hand })
    }
}
