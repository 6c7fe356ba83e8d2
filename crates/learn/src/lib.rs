//! What happens to updates: differences, encodings and aggregation rules, bit-deterministic.
//!
//! A tab turns the checkpoint it started from and the parameters it trained into an [`Update`] ([`difference`]);
//! its bytes, packed as the manifest says ([`Codec`]), are a blob that a contribution in the log names; what packing leaves
//! out is sent later ([`Residual`]). Whoever aggregates a round takes the round's base and
//! the accepted updates in one order and computes the next checkpoint ([`aggregate_checkpoint`]): the same
//! bytes, and so the same content id, on every machine. What a tab trains and measures on is a [`Dataset`].
//!
//! # The arithmetic
//!
//! For every parameter, with weights `n` (samples) and updates `u` in the order of their accounts, all in 64-bit floating point
//! (IEEE 754, no contraction to fused multiply-add, no reordering):
//!
//! `result = f32(base + (n₁u₁ + n₂u₂ + …) / (n₁ + n₂ + …))`
//!
//! Where a parameter would leave the finite range of `f32`, or come to its very end, the result is the base: no set of
//! updates can give a checkpoint that nobody may load. This is federated averaging (McMahan et al., 2017) over differences.
//!
//! # Other rules
//!
//! That is the mean, which one hostile update can move as far as its norm allows. `[aggregation]` in the manifest asks for
//! another rule, which takes the place of the fraction; again in 64 bits, each sum in the order of the accounts or of the values,
//! no function but the square root. `n` is the number of updates, and `f` how many of them are reckoned hostile: the share
//! `hostile`, rounded down, at most `(n − 1) / 2`.
//!
//! | rule | what it gives |
//! |---|---|
//! | `median-norm-clip` | the mean of updates shortened to their median norm (`SparseLoCo`) |
//! | `centered-clip` | five times: from where it is (at first the base), the mean of the ways to the updates, each shortened to their median (Karimireddy et al., 2021) |
//! | `krum` | the update with the least sum of squared distances to the `n − f − 1` others nearest to it (Blanchard et al., 2017) |
//! | `multi-krum` | the mean of the `n − f` such updates |
//! | `coordinate-median` | the median of each value; of an even number, the mean of the middle two |
//! | `trimmed-mean` | the mean of each value without the `f` largest and the `f` smallest |
//! | `geometric-median` | eight steps of Weiszfeld's method from the median-norm clip, no distance taken as less than a thousandth of the median one |
//!
//! | `zeno` | the updates that lower the loss most on held-out samples: see below (after `Zeno++`; Xie et al., 2020) |
//! | `fltrust` | the updates that go the way of one that the aggregator trains on held-out samples: see below (after Cao et al., 2021) |
//!
//! | before | what it does |
//! |---|---|
//! | `nearest-neighbours` | each update becomes the mean of the `n − f` nearest to it, its own included (Allouah et al., 2023) |
//! | `bucketing` | the updates are shuffled by numbers that follow from the base's id, and the means of pairs take their place (Karimireddy et al., 2022). `f` must be below a quarter |
//!
//! - **Ties** go to the update whose account comes first (after bucketing: whose pair does). The median of numbers such as
//!   norms is the lower of the two in the middle.
//! - **Weights.** The number of samples is a claim. So none weighs more than the median claim of the round: whoever claims more
//!   gains nothing, unless half of the round does, and honest differences below the median still count. Ranks (`krum`'s choice,
//!   median, trimmed mean) count every update once. Updates of no samples are left out.
//! - **Few updates.** Of one or two updates (or pairs), every rule gives the mean, since neither is in the middle. Of three, `f`
//!   is 0 unless `hostile` is at least a third: then `multi-krum`, `trimmed-mean` and `nearest-neighbours` leave nothing out,
//!   while the medians and the clipping rules already keep one of three from deciding. No rule fails on any number.
//! - **Memory.** The mean takes one update after the other. The other rules hold all updates, up to 256 MiB (but at least three);
//!   if there are more, as many are drawn by lot. `krum`, `multi-krum` and `nearest-neighbours` need time with the square of `n`.
//!
//! # Rules that measure
//!
//! `zeno` and `fltrust` ask what updates do to the model on held-out samples, which every aggregator has. Every other one of the
//! samples that the guard would look at is for the rule ([`lichen_campaign::Manifest::validation`]). Guard, goal and accuracy are
//! measured on the rest only. The number of samples that an update claims counts for nothing, and what comes `before` has no
//! meaning. `settle` measures, on the engine's CPU half; this crate makes of it what follows. `u` are the updates, `Σ` a sum over them.
//!
//! - **`zeno`.** Each update is shortened to the median norm, and has the share `1/n`. Then 16 times: the loss's gradient `g` is
//!   taken at `base + Σ share·u`, over all samples of the rule; the better half (the `⌈n/2⌉` with the least `g·u`, as far as that
//!   is negative) is aimed at with equal shares of that half, all others with 0; and each share goes the part `2/(k + 2)` of the
//!   way there in the `k`-th time. The score is that of `Zeno++` but for its penalty; to ask again where the updates lead is the
//!   method of Frank and Wolfe (1956). Scored one by one, as in Zeno (Xie et al., 2019) and Gauntlet, honest updates of peers with
//!   few classes worsen the loss, though together they lower it. It costs 16 times forwards and backwards over the rule's samples,
//!   however many updates there are, and 32 products and sums for each value of an update.
//! - **`fltrust`.** The aggregator trains from the base as the manifest has tabs train (optimiser, batch, steps), on the rule's
//!   samples, in an order that follows from the base's id ([`Batches`]). An update `u` counts for the cosine of its angle to that
//!   own update, and not at all if that is negative; it is brought to the own one's norm. The result is the mean of these, in which
//!   the own update counts for ½. (In the paper it does not count: then two hostile ones that go its way a little decide where no
//!   honest one does.) It costs what a tab's training costs, and two sums over the values of each update.
//!
//! Both cost every tab and the relay so much, in each round. Running statistics of batch normalisation have no gradient, and are
//! combined with the same shares.
//!
//! No rule can tell when half or more of the updates are hostile. The README of this crate shows which rule withstood what.
//! `tests/judged_by_byzfl.rs` compares every rule with those of the library byzfl.
//!
//! # Outer optimisers
//!
//! What the rule gives, `d`, is added to the base. `[outer]` in the manifest asks for another step ([`outer_step`]), in which `d` is
//! what the gradient is to an optimiser, with the sign turned. For every parameter `x`, with `r` for `rate`, `b` for `momentum`,
//! `b₁`, `b₂` and `e` for `beta1`, `beta2` and `epsilon`, and `t` for the number of the step, from 1:
//!
//! | optimiser | carried over | step |
//! |---|---|---|
//! | `mean` | nothing | `x ← x + d` |
//! | `momentum` | `m ← b·m + d` | `x ← x + r·m` |
//! | `nesterov` | `m ← b·m + d` | `x ← x + r·(d + b·m)` |
//! | `adam` | `m ← b₁·m + (1 − b₁)·d`, `v ← b₂·v + (1 − b₂)·d²` | `x ← x + r·√(1 − b₂ᵗ⁺¹)/(1 − b₁ᵗ⁺¹) · m/(√v + e)` |
//! | `yogi` | `m` as in `adam`, `v ← v − (1 − b₂)·d²·sign(v − d²)` | `x ← x + r·m/(√v + e)` |
//!
//! All in 64 bits and in this order; `x`, `m` and `v` are kept in 32. `m` and `v` begin with zero and are a blob of their own
//! ([`OuterState`]), whose id is attested beside the checkpoint's. It belongs to the checkpoint: a round that settles on its base
//! keeps the base's, a round in which no update counts takes no step, and whoever goes back to an earlier checkpoint goes back to
//! its state. `tests/judged_by_flower.rs` compares the steps with those of the library Flower, whose `FedAdam` scales the first
//! steps as above.
//!
//! # How a result is told
//!
//! With `aggregation.codec` in the manifest, a round's result is its base and the packed difference of what the rules above
//! give ([`PackedDifference`]). So the difference, a quarter of a checkpoint's bytes, is all that a tab with the base needs, and
//! the checkpoint's id says whether it was the right one. What packing rounds off is lost: no round makes up for it. A
//! difference that is too large for a number leaves the base.
//!
//! # What no single update may do
//!
//! Accounts cost nothing, so two things stand between a hostile update and the model:
//!
//! - **A bound on its norm** ([`max_norm`]). A tab shortens its own update to it ([`Update::clipped`]), the relay of a hub
//!   refuses longer ones, and every aggregation leaves them out. Unless the manifest has `update.max_norm`, it is
//!
//!   `max(10, √p · min(1, 4 · learning_rate · steps))` with Adam, AdamW or Lion and no batch normalisation, and
//!   `max(10, √p)` otherwise,
//!
//!   `p` being the number of parameters. These optimisers change no parameter by much more than the learning rate in a
//!   step, so that an honest update is no longer than `√p · learning_rate · steps`; SGD's steps and running statistics
//!   have no such measure. `lichen train --json` tells an honest update's norm, and `tests/honest_norms.rs` of
//!   `lichen-cli` holds that those of the digits are at most a quarter of the bound.
//! - **A guard** ([`Judge`]). Whoever computes a round's result measures it and its base on held-out samples. If the
//!   result's loss is no finite number, or more than `guard.loss_factor` times the base's and a little
//!   (0.25 for classes, 0.07 for yes and no, a tenth of the answers' spread for numbers), or if its accuracy lies more than
//!   `guard.accuracy_drop` below, the result is the base: everybody finds the same and attests it, and the round has
//!   changed nothing.
//!
//! The guard sees one round at a time. It does not stop whoever makes the model a little worse in every round, by just
//! less than it looks for; nor updates that leave the held-out samples as they are and teach something else. Whoever has
//! most of a round's accounts decides how much of it is honest. Then `lichen verify` says so, and the campaign's organiser
//! can go back to an earlier checkpoint.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod aggregate;
mod batches;
mod bound;
mod codec;
mod copies;
mod dataset;
mod file_kind;
mod guard;
mod local_work;
mod outer;
mod packed_difference;
mod power;
mod residual;
mod soundness;
mod update;

pub use aggregate::{AggregateError, Aggregation, aggregate, aggregate_checkpoint};
pub use batches::Batches;
pub use bound::max_norm;
pub use codec::{Codec, Packed};
pub use copies::{Alike, Likeness, copies, cosine, overlap};
pub use dataset::{Dataset, DatasetError};
pub use file_kind::{FileKind, file_kind};
pub use guard::{Judge, Quality};
pub use local_work::LocalWork;
pub use outer::{OuterState, OuterStateError, outer_step};
pub use packed_difference::PackedDifference;
pub use residual::{BaseOf, MAX_RESIDUAL, Residual, ResidualError};
pub use soundness::{ModelSize, SoundnessError, check_campaign, check_model, check_training};
pub use update::{BlockFault, Update, UpdateError, difference};
