//! What comes of a round: the aggregate of its updates, unless a measurement on held-out samples turns it down.
//!
//! Tabs, the relay of a hub and `lichen verify` all compute a round's result by a [`Settler`]. It is a pure function of the
//! base, the accepted updates, the campaign's manifest and its data: [`lichen_learn::Aggregation`] adds up, the engine's CPU
//! half measures base and aggregate on the first `guard.samples` held-out samples, with the same bits on every machine, and
//! [`lichen_learn::Judge`] decides. What is turned down leaves the base, so that everybody attests the same id, and the log
//! shows a round that settled on its own base.
//!
//! Where the campaign's rule of aggregation asks what updates do to the model, every other one of these samples is for that, and
//! nothing else is measured on it.
//!
//! Where a campaign ends at its goal, a [`Gauge`] says whether a settled checkpoint reaches it: for the relay that ends it, and for
//! whoever checks that it did so rightly.
//!
//! Where the manifest asks for an outer optimiser that carries something over from round to round, a [`Settler`] takes that in
//! beside the base and gives what goes with the result. What is turned down leaves that of the base, too.
//!
//! Whether somebody trained as it says shows in [`repeat`], which does the same and gives the id of what comes of it. Where the
//! contribution names a [`Trace`] of the states that its training went through, that also says which piece of it is wrong, and
//! whoever is asked about it computes that piece alone ([`rule`]).
//!
//! What the base is worth is known from the round before, so that a round costs one measurement.
#![deny(missing_docs)]

mod dispute;
mod gauge;
mod measure;
mod repeat;
mod settler;
mod trace;
mod training;
mod validating;

pub use dispute::{Accused, Dispute, Ruling, examine, rule};
pub use gauge::Gauge;
pub use measure::Measurer;
pub use repeat::{Claim, Course, Parting, RepeatError, Repeated, repeat, repeats};
pub use settler::{SetAside, SettleError, Settled, Settler, guarded};
pub use trace::{Trace, TraceError, state_length};
