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
//! - Where nobody is expected, nothing is opened and the log rests.
//! - A log with an entry that [`CampaignState::admit`] refuses is a false log: a participant that meets one believes
//!   nobody who serves it ([`ParticipantAction::Distrust`]).
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod attempt;
mod change;
mod coordinator;
mod participant;
mod refusal;
mod round;
mod rules;
mod state;

pub use change::{Change, Fault, FaultKind};
pub use coordinator::{Coordinator, CoordinatorAction, CoordinatorEvent};
pub use participant::{Activity, Participant, ParticipantAction, ParticipantEvent, Ticket};
pub use refusal::Refusal;
pub use round::{Accepted, Round, Stage};
pub use rules::Rules;
pub use state::{CampaignState, Member, Presence};
