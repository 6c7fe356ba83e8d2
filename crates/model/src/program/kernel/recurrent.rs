//! Recurrent layers.

use crate::program::BufferId;

/// Extents of a recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recurrence {
    /// Samples.
    pub batch: usize,
    /// Steps.
    pub steps: usize,
    /// Width of the state.
    pub hidden: usize,
}

/// Gated recurrent unit, initial state 0 (PyTorch's equations, gates in the order r, z, n):
/// `u = h Wᵀ + bias; r = σ(x_r + u_r); z = σ(x_z + u_z); n = tanh(x_n + r u_n); h' = (1 − z) n + z h`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gru {
    /// Extents.
    pub shape: Recurrence,
    /// `[batch, steps, 3 hidden]`: inputs times input weights plus their bias.
    pub projected: BufferId,
    /// `[3 hidden, hidden]`.
    pub weight: BufferId,
    /// `[3 hidden]`.
    pub bias: BufferId,
    /// `[batch, steps, hidden]`: the states: written.
    pub output: BufferId,
    /// `[batch, steps, 4 hidden]`: r, z, n and u_n: written.
    pub gates: BufferId,
}

/// Gradient of [`Gru`]. The gradient by the weight is then a product of `hidden_gradient` and `previous`, the
/// one by the bias a sum.
#[derive(Clone, Debug, PartialEq)]
pub struct GruBackward {
    /// Extents.
    pub shape: Recurrence,
    /// Forward's weight.
    pub weight: BufferId,
    /// Forward's output.
    pub output: BufferId,
    /// Forward's gates.
    pub gates: BufferId,
    /// `[batch, steps, hidden]`: gradient by the output.
    pub gradient: BufferId,
    /// `[batch, steps, 3 hidden]`: gradient by `projected`: written.
    pub projected_gradient: BufferId,
    /// `[batch, steps, 3 hidden]`: gradient by u: written.
    pub hidden_gradient: BufferId,
    /// `[batch, steps, hidden]`: the state before every step (0 before the first): written.
    pub previous: BufferId,
}

/// Long short-term memory, initial state and cell 0 (PyTorch's equations, gates in the order i, f, g, o):
/// `a = x + h Wᵀ + bias; c' = σ(a_f) c + σ(a_i) tanh(a_g); h' = σ(a_o) tanh(c')`.
#[derive(Clone, Debug, PartialEq)]
pub struct Lstm {
    /// Extents.
    pub shape: Recurrence,
    /// `[batch, steps, 4 hidden]`: inputs times input weights plus their bias.
    pub projected: BufferId,
    /// `[4 hidden, hidden]`.
    pub weight: BufferId,
    /// `[4 hidden]`.
    pub bias: BufferId,
    /// `[batch, steps, hidden]`: the states: written.
    pub output: BufferId,
    /// `[batch, steps, 5 hidden]`: σ(i), σ(f), tanh(g), σ(o) and the cell c': written.
    pub gates: BufferId,
}

/// Gradient of [`Lstm`].
#[derive(Clone, Debug, PartialEq)]
pub struct LstmBackward {
    /// Extents.
    pub shape: Recurrence,
    /// Forward's weight.
    pub weight: BufferId,
    /// Forward's output.
    pub output: BufferId,
    /// Forward's gates.
    pub gates: BufferId,
    /// `[batch, steps, hidden]`: gradient by the output.
    pub gradient: BufferId,
    /// `[batch, steps, 4 hidden]`: gradient by a, hence also by `projected`: written.
    pub projected_gradient: BufferId,
    /// `[batch, steps, hidden]`: the state before every step (0 before the first): written.
    pub previous: BufferId,
}
