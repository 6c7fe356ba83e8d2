//! The round protocol as a sans-I/O state machine.
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
