//! What the page tells the worker.

use serde::{Deserialize, Serialize};

/// Names one command so that its answer can be told apart; chosen by the page, growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommandId(pub u32);

/// What the page tells the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Command {
    /// Learn which campaign this page is about; the first command. Reads the manifest and what is stored on this
    /// device, and reports both; nothing connects, trains or touches the GPU.
    Start {
        /// Names this start in its answer.
        id: CommandId,
        /// Where the campaign's relay is, as the page was told.
        relay: Relay,
        /// Which engine to train with.
        engine: EnginePreference,
    },
    /// The visitor's yes: make or load the key, wait to be this device's only tab, connect, take part.
    Join {
        /// Names this joining in its answer.
        id: CommandId,
    },
    /// Stop training now and keep connected; the tab stays a member and is not waited for.
    Pause {
        /// Names this pause in its answer.
        id: CommandId,
    },
    /// Go on after [`Command::Pause`].
    Resume {
        /// Names this resumption in its answer.
        id: CommandId,
    },
    /// Stop, say goodbye in the log, disconnect, and let another tab of this device take over.
    Leave {
        /// Names this leaving in its answer.
        id: CommandId,
    },
    /// Whether to use the relay only: no connection to other tabs is made or accepted, and none of them learns this
    /// device's network address. Holds until told otherwise, from any moment on.
    RelayOnly {
        /// Comes back in the answer.
        id: CommandId,
        /// True for the relay only.
        on: bool,
    },
    /// Show what a checkpoint says of some held-out samples, by [`Event::Guesses`]; after [`Command::Start`] and without
    /// taking part. What is missing on this device is fetched from where the page came from, by plain requests: nothing
    /// connects, trains, is signed or makes a key.
    Look {
        /// Comes back in the answer.
        id: CommandId,
        /// The checkpoint's content id, as the page was told.
        checkpoint: String,
        /// The round that it came out of, as the page was told; 0 for the campaign's first checkpoint.
        round: u64,
    },
    /// Have the model that is shown read a drawing; [`Event::Read`] comes before the answer. It stays on this device.
    Read {
        /// Comes back in the event and in the answer.
        id: CommandId,
        /// The ink of each cell, row by row: 0 none, 255 full.
        cells: Vec<u8>,
    },
    /// Something the swarm reports; not answered.
    Net(lichen_net::Event),
}

impl Command {
    /// The id under which the command is answered; none for [`Command::Net`].
    #[must_use]
    pub fn id(&self) -> Option<CommandId> {
        match self {
            Self::Start { id, .. }
            | Self::Join { id }
            | Self::Pause { id }
            | Self::Resume { id }
            | Self::Leave { id }
            | Self::RelayOnly { id, .. }
            | Self::Look { id, .. }
            | Self::Read { id, .. } => Some(*id),
            Self::Net(_) => None,
        }
    }
}

/// Which campaign this is about, and where its relay is: what the page is served with, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// The relay's multiaddress, ending in its peer id.
    pub address: String,
    /// Where else it may be reached; tried in turn when it cannot.
    #[serde(default)]
    pub also: Vec<String>,
    /// The manifest's content id.
    pub campaign: String,
}

/// Which engine the visitor wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnginePreference {
    /// Whichever is measured to be faster.
    #[default]
    Auto,
    /// The CPU engine.
    Cpu,
    /// The WebGPU engine, or the CPU engine with a reason where there is no GPU.
    Gpu,
}
