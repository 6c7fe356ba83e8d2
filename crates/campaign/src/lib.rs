//! The campaign manifest: parse, validate, explain in plain words.
//!
//! A manifest is a TOML text of at most 64 KiB; the content id of its bytes names the campaign. [`Manifest::parse`]
//! takes it as a whole or names everything that is wrong with it, each with the field and what to do.
//!
//! | table | field | what |
//! |---|---|---|
//! | | `version` | 1 |
//! | `[campaign]` | `title`, `purpose`, `leaves_device` | plain words for visitors |
//! | | `licence` | of the trained model (SPDX) |
//! | | `target_accuracy` | 0 to 1; may be left out |
//! | | `at_target` | `"finish"`: the campaign ends when two rounds in a row reach that; `"continue"` unless given |
//! | `[campaign.organiser]` | `name`, `contact` | who runs the campaign |
//! | | `account` | the account (`did:key:zDn…`) by whose key the organiser pauses, resumes, finishes and retires the campaign, and changes what `[changes]` allows; nobody may unless given |
//! | `[data]` | `kind` | `"shared"`: a public file that every tab fetches |
//! | | `file`, `cid` | a file beside the manifest, and its content id (raw) |
//! | | `samples`, `classes` | how many there are |
//! | | `scale` | what each stored value is multiplied with |
//! | | `shard` | samples that a tab trains on in a round |
//! | | `held_out_every` | sample `i` with `i % held_out_every == 0` serves validation only |
//! | | `credit`, `licence` | whom to thank for the data, and how it may be used |
//! | `[model]` | see [`model_spec::ModelSpec`] | |
//! | `[train]` | see [`model_spec::TrainSpec`] | |
//! | `[rounds]` | `topology` | `"hub"`: updates go by the relay and the coordinator settles; `"mesh"`: from tab to tab, contributors settle |
//! | | `interval_seconds` | least time between two openings |
//! | | `deadline_seconds` | how long a round waits for members that do not contribute |
//! | | `cohort` | how many members train in a round, drawn by lot where more are there; everybody unless given |
//! | | `minimum` | fewest contributions to close a round with |
//! | | `extensions` | how often a round with fewer is extended by another deadline before it is skipped; unless given, 1 with `cohort`, and otherwise it waits for them for ever |
//! | | `quorum` | equal attestations that settle a round |
//! | | `committee` | how many of a round's contributors are drawn by lot to compute and attest its result; all unless given |
//! | | `limit` | rounds after which the campaign is finished, whatever was reached |
//! | | `seed` | for the initial model, shards and training order |
//! | `[show]` | | may be left out: then no samples are shown |
//! | | `kind` | `"image"`: a sample is a picture in one shade of ink |
//! | | `width`, `height` | cells in a row, and rows; together as many as the model takes numbers |
//! | | `full` | the stored value of a cell that is all ink |
//! | | `labels` | what each class is called |
//! | | `draw` | whether people may draw a sample by hand; no unless given |
//! | `[update]` | `max_norm` | largest L2 norm of an update; a default follows from the model and its training |
//! | | `codec` | how updates are packed: `"dense"` unless given, `"int8"`, `"sign"` or `"sparse"` |
//! | | `keep` | with `"sparse"`, values that are sent of every 4,096; 64 unless given |
//! | | `feedback` | what a tab keeps from round to round of what packing left out, 0 to 1; 0.95 unless given, 1 with `"int8"` |
//! | `[guard]` | `samples` | held-out samples that a round's result is measured on; 512 unless given, 0 for no guard |
//! | | `loss_factor` | how many times the base's loss the result's may be; 2 unless given |
//! | | `accuracy_drop` | how much below the base's accuracy the result's may be; 0.1 unless given |
//! | `[aggregation]` | `rule` | how updates are combined: `"mean"`, `"median-norm-clip"`, `"centered-clip"`, `"krum"`, `"multi-krum"`, `"coordinate-median"`, `"trimmed-mean"`, `"geometric-median"`; `"zeno"` and `"fltrust"` measure updates on half of the guard's samples, and nothing else is measured on that half |
//! | | `before` | what is done to them first: `"nearest-neighbours"` or `"bucketing"`; nothing unless given |
//! | | `hostile` | the share of hostile updates that is reckoned with; 0.3 unless given |
//! | | `codec` | how a result's difference from its base is packed: `"int8"`; results are told whole unless given |
//! | `[outer]` | `optimizer` | how the combined update changes the model: `"mean"` (it is added), `"momentum"`, `"nesterov"`, `"adam"`, `"yogi"` |
//! | | `rate` | what a step is multiplied with, up to 10; unless given 1 with `"momentum"`, 0.7 with `"nesterov"`, 0.01 with `"adam"` and `"yogi"` |
//! | | `momentum` | with `"momentum"` and `"nesterov"`, the share of earlier updates that goes on, up to 0.999; 0.5 and 0.9 unless given |
//! | | `beta1`, `beta2` | with `"adam"` and `"yogi"`, the decays of the two moments, up to 0.9999; 0.9 and 0.99 unless given |
//! | | `epsilon` | with `"adam"` and `"yogi"`, what is added to the second moment's root; 0.001 unless given |
//! | `[audit]` | `share` | how likely a contribution is drawn, so that others repeat its training, 0 to 1; 0.1 unless given |
//! | | `earn` | trainings that come out the same at somebody else's before an account weighs in full; 3 unless given |
//! | | `newcomers` | most that all accounts together weigh in a round that have not earned their weight; 0.25 unless given |
//! | | `every` | steps between two states whose hashes a contribution names, at most 256 of them; 160 unless given, or more where a training has very many steps. Given, a training on the processor does not count without them |
//! | `[changes]` | `deadline_seconds`, `target_accuracy`, `learning_rate` | what the organiser may change between rounds, each with its bounds, as in `{ least = 0.001, most = 0.01 }`; what is left out stays as it is |
//! | `[log]` | `snapshots` | fewest entries from one snapshot of the campaign's state to the next, so that nobody has to read the log from its beginning; 256 unless given, 0 for none |
//! | | `witnesses` | keys of witnesses (C2SP `tlog-cosignature`) who sign what they have seen of the log: tabs take part only in what enough of them have seen; none unless given |
//! | | `cosignatures` | how many of them have to; more than half unless given |
//!
//! `[update]`, `[guard]`, `[aggregation]`, `[outer]`, `[audit]`, `[changes]` and `[log]` may be left out; without `[audit]`, nothing is repeated, and
//! without `[aggregation]` and `[outer]`, updates are combined by their mean, which is added to the model. What they do is said in the `learn` crate.
//!
//! Which samples an account trains on in a round follows from public numbers alone ([`Split::shard`]), so that anyone
//! can replay another's work.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod aggregation;
mod auditing;
mod card;
mod changes;
mod decimal;
mod explain;
mod fault;
mod logging;
mod manifest;
pub mod model_spec;
mod outer;
mod reader;
mod rounds;
mod settling;
mod show;
mod split;
mod training;
mod update;
mod validation;

pub use aggregation::{AggregationRule, Before, Rule};
pub use auditing::{Auditing, Share};
pub use card::{Card, Statement, Topic};
pub use changes::{Bounds, ChangeFault, Changes};
pub use fault::{Fault, ManifestError};
pub use logging::{Logging, Witnesses};
pub use manifest::{AtTarget, Data, Manifest, Organiser, Purpose, syntax_fault};
pub use outer::{Moments, Momentum, OuterOptimizer};
pub use rounds::{Rounds, Settlement, Transport, places_for_newcomers};
pub use settling::Guard;
pub use show::{MAX_SIDE, Show};
pub use split::{Split, training_seed};
pub use training::Training;
pub use update::{Encoding, UpdateRule};
