//! Page to worker: one [`Command`] enum, one [`Event`] enum, answers by id.
//!
//! A post is one or more [`Command`]s or [`Event`]s in postcard's form, at most [`MAX_POST`] bytes, in an `ArrayBuffer`
//! that is transferred, not copied ([`transfer`], in the browser only): a task of the browser for each message would cost
//! more than the message. Fields go by their place, not by name: both ends
//! are of one build, nothing is signed and nothing is kept, and code that reads names was a tenth of page and worker.
//!
//! - The worker posts [`Event::Ready`] first; a message posted to it earlier is lost.
//! - Every command that carries a [`CommandId`] is answered by exactly one [`Event::Answered`] with that id, in the
//!   order in which they are settled. Everything else the worker has to say is an event nobody asked for.
//! - The swarm and the worker have a port of their own, on which [`lichen_net::Command`]s and [`lichen_net::Event`]s go as
//!   these do. The page posts one end of it to the worker, and hears [`Seen`]s from the swarm. To the node, what comes and goes
//!   there is [`Command::Net`] and [`Event::Net`], which never cross to the page.
//!
//! What is deliberately absent: anything private. No key, no certificate in the making and no training data crosses.

mod command;
mod event;
mod message;
mod seen;
#[cfg(target_arch = "wasm32")]
pub mod transfer;

pub use command::{Command, CommandId, EnginePreference, Relay};
pub use event::{
    Audited, Campaign, Checked, Checking, Contribution, ContributionState, Engine, Event, Guess, Guesses,
    IdentityOrigin, LossPoint, Outcome, Phase, Problem, Reported,
};
pub use lichen_campaign::{Card, Organiser, Show, Statement, Topic};
pub use lichen_record::{EngineKind, Settings};
pub use message::{BridgeError, MAX_POST, Message};
pub use seen::{Seen, Server};

/// Version of this vocabulary; [`Event::Ready`] names it so that a page never talks to another build's worker.
pub const VERSION: u32 = 10;
