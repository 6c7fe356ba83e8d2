//! The round protocol as a sans-I/O state machine.
//!
//! A campaign's log says everything: who takes part, which round is open, who contributed, what came of it.
//! [`CampaignState`] is the fold over that log; two nodes with the same log have the same state. [`Participant`]
//! (a tab) and [`Coordinator`] (the relay) hold such a state and turn events into actions: they read no clock, draw no
//! randomness, sign nothing and send nothing. Time is the log's, except for pauses before something is tried again.
//!
//! # A round
//!
//! 1. The coordinator opens it (`RoundOpened`) on the last settled checkpoint, when the interval has passed and
//!    somebody is expected to contribute. The members expected at that moment are its cohort.
//! 2. Any present member contributes once (`Contribution`), also one that joined later.
//! 3. The coordinator closes it (`RoundClosed`) when there are at least `minimum` contributions and the cohort is
//!    complete or the deadline has passed. Members of the cohort that are missing then are not expected any more until
//!    they contribute or join again: a killed tab holds the others up once.
//! 4. Members and the coordinator compute the result from the base and the contributions in log order, and attest it
//!    (`Checkpointed`).
//! 5. It settles when `quorum` accounts attest the same result, the coordinator among them. Then the next may open.
//!
//! In a mesh (`topology = "mesh"`) updates go from tab to tab. The coordinator opens and closes rounds and does no more:
//! it need not have the updates, and attests nothing. Steps 4 and 5 are the contributors': see the last section.
//!
//! # When somebody is missing, wrong or lying
//!
//! - The coordinator's attestation is needed because accounts cost nothing: without it, a person with two of them could
//!   settle a false result in a moment. With it, a false result needs a lying coordinator, and every honest tab sees
//!   that.
//! - The quorum is lowered to the coordinator and the members still expected. After a deadline since the closing, the
//!   coordinator's result settles if more than half of the attestations agree with it; the [`Coordinator`] attests
//!   last, when its word settles the round or that deadline has passed.
//! - Opposite results without a majority settle nothing: the campaign stops rather than going on with a doubtful
//!   checkpoint. A further member's attestation decides.
//! - Whoever attests something other than what settles, or two results for one round, is recorded as a [`Fault`], with
//!   the proof in the log. Of two results by one key neither counts.
//! - `Joined` and `Left` carry a sequence number that grows with every one of the account's, so that old ones cannot be
//!   replayed; every other entry names its round and may stand once.
//! - Tabs are closed rather than left. When a member's connection has been gone for a moment, the coordinator says so
//!   (`Departed`), and the round waits for it no longer; nor do later ones until it contributes. What it contributed
//!   counts, and what it contributes late, too. Only the coordinator sees connections, so that only it can say this. It
//!   gains nothing that it has not by refusing entries: whoever is there contributes and attests all the same.
//! - Where nobody is expected, nothing is opened and the log rests.
//! - A log with an entry that [`CampaignState::admit`] refuses is a false log: a participant that meets one believes
//!   nobody who serves it ([`ParticipantAction::Distrust`]).
//!
//! # In a mesh
//!
//! - Only contributors attest. A result settles when more than half of the round's contributors attest it, and as many
//!   as the quorum asks, which is lowered to the contributors who have not left. When the deadline has passed since the
//!   closing, the majority alone is enough.
//! - A contributor that could get an update from nobody says so (`Unavailable`). An update that more than half of the
//!   other contributors miss is excluded, with its contribution: the result is that of the others. Attestations say how
//!   many contributions were excluded when they were computed, so that one under way meanwhile is refused rather than
//!   mistaken for a second, different word.
//! - At the deadline, or as soon as nobody who is still there has anything to add, the coordinator closes the round a
//!   second time. Then it ends: with the majority's result, or, if there is none, with the checkpoint it began with. So
//!   no round waits for ever, whoever dies when; the price is a lost round where half of the contributors vanish within
//!   it. Contributors that were silent are not waited for again.
//! - **Made-up accounts.** Accounts cost nothing, and in a mesh no coordinator's word is needed. Whoever runs most of the
//!   accounts that contribute to a round decides what comes of it: it can settle a false checkpoint, or leave out
//!   another's update. Fewer cannot. An audit that has the updates still shows a false checkpoint for what it is.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod attempt;
mod change;
mod coordinator;
mod participant;
mod patience;
mod refusal;
mod roll;
mod round;
mod rules;
mod standing;
mod state;

pub use change::{Change, Fault, FaultKind};
pub use coordinator::{Coordinator, CoordinatorAction, CoordinatorEvent};
pub use participant::{Activity, Participant, ParticipantAction, ParticipantEvent, Ticket};
pub use refusal::Refusal;
pub use roll::{Member, Presence};
pub use round::{Accepted, Round, Stage};
pub use rules::Rules;
pub use state::CampaignState;
