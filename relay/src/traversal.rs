//! What helps tabs to reach each other through NATs: STUN, TURN, and circuits for signalling.

pub(crate) mod circuits;
pub(crate) mod ice;
pub(crate) mod stun;
pub(crate) mod turn;
