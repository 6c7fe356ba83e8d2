//! What becomes of gradients.

use crate::program::BufferId;

/// `gradients *= min(1, limit / (‖gradients‖ + 1e-6))` over the whole gradient slot, in place.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleGradients {
    /// Elements of the gradient slot.
    pub elements: usize,
    /// Largest norm.
    pub limit: f32,
    /// The norm before (one element): written.
    pub norm: BufferId,
}

/// Rule by which [`Optimise`] changes parameters p by gradients g with states s0 and s1; lr, the corrections c1
/// and c2 are the step's. All as PyTorch (Lion as in its paper).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `g += decay p; s0 = momentum s0 + g; p -= lr s0`; without momentum s0 is not used: `p -= lr g`.
    /// (The first step, with s0 = 0, gives PyTorch's s0 = g.)
    Sgd {
        /// Share of the old momentum.
        momentum: f32,
        /// Weight decay.
        decay: f32,
    },
    /// `g += decay p` (or decoupled: `p -= lr decay p`); `s0 = beta1 s0 + (1 − beta1) g;
    /// s1 = beta2 s1 + (1 − beta2) g²; p -= lr c1 s0 / (sqrt(s1) c2 + epsilon)`.
    Adam {
        /// First decay.
        beta1: f32,
        /// `1 − beta1`, rounded from double precision.
        rest1: f32,
        /// Second decay.
        beta2: f32,
        /// `1 − beta2`, rounded from double precision.
        rest2: f32,
        /// Against division by zero.
        epsilon: f32,
        /// Weight decay.
        decay: f32,
        /// Whether the decay is decoupled (AdamW).
        decoupled: bool,
    },
    /// `p -= lr (sign(beta1 s0 + (1 − beta1) g) + decay p); s0 = beta2 s0 + (1 − beta2) g`.
    Lion {
        /// First decay.
        beta1: f32,
        /// Second decay.
        beta2: f32,
        /// Weight decay, decoupled.
        decay: f32,
    },
}

/// Changes the whole parameter slot in place by the gradient slot; states are slots too.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimise {
    /// The rule.
    pub rule: Rule,
    /// Elements of the parameter slot.
    pub elements: usize,
}
