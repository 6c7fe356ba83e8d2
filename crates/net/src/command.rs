//! What the swarm can be told and what it reports, as plain data that crosses from page to worker.

use serde::{Deserialize, Serialize};

/// Longest frame on a hub stream, in bytes: one blob of the largest size with its wrapping.
pub const MAX_FRAME: usize = lichen_record::MAX_BLOB + 1024;

/// Longest address accepted by [`Command::Connect`], in bytes of text.
pub const MAX_ADDRESS: usize = 512;

/// Most requests under way at a time; one more fails with [`RequestError::TooManyInFlight`].
pub const MAX_IN_FLIGHT: usize = 64;

/// Names one request; chosen by whoever sends the command, not used twice while the request is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// What the swarm is told to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Connect to the hub at this multiaddress and keep connected, with back-off, until [`Command::Disconnect`].
    Connect {
        /// A multiaddress ending in `/p2p/<peer id>`.
        address: String,
    },
    /// Close every connection and stop reconnecting.
    Disconnect,
    /// Open a stream to the hub, send one request frame, and report reply frames until the hub ends the stream.
    Request {
        /// Comes back in every event about this request.
        id: RequestId,
        /// An encoded [`hub::Request`](crate::hub::Request), at most [`MAX_FRAME`] bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Drop a request; no event names it but those that are on their way.
    Cancel {
        /// The request to drop; unknown ids are ignored.
        id: RequestId,
    },
}

/// What the swarm reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// The swarm runs under this peer id, fresh for this session; the account key certifies it.
    Started {
        /// The session's libp2p peer id, in its binary form.
        #[serde(with = "serde_bytes")]
        peer: Vec<u8>,
    },
    /// An attempt to reach the hub begins.
    Connecting {
        /// The hub's multiaddress.
        address: String,
        /// 1 for the first attempt since the last connection.
        attempt: u32,
    },
    /// The hub is connected; requests can be sent.
    Connected {
        /// The hub's peer id, in its binary form.
        #[serde(with = "serde_bytes")]
        peer: Vec<u8>,
        /// The hub's multiaddress.
        address: String,
    },
    /// The hub is not connected any more, or an attempt failed. Requests under way have failed before this.
    Disconnected {
        /// Why.
        reason: Disconnection,
        /// Milliseconds until the next attempt; none after [`Command::Disconnect`] or an unusable address.
        retry_in: Option<u32>,
    },
    /// One reply frame.
    Frame {
        /// The request answered.
        id: RequestId,
        /// An encoded [`hub::Reply`](crate::hub::Reply), unchecked.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The hub has answered in full; the last event for this id.
    Ended {
        /// The request answered.
        id: RequestId,
    },
    /// The request failed; the last event for this id.
    Failed {
        /// The request that failed.
        id: RequestId,
        /// Why.
        error: RequestError,
    },
    /// The connected peers, whenever they change.
    PeersChanged {
        /// Every connected peer, ordered by peer id.
        peers: Vec<Peer>,
    },
    /// Bytes moved since the swarm started, on the wire, after encryption; at most once a second.
    Traffic {
        /// Bytes received.
        received: u64,
        /// Bytes sent.
        sent: u64,
    },
}

/// A connected peer, as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Peer {
    /// Its libp2p peer id, in its binary form.
    #[serde(with = "serde_bytes")]
    pub peer: Vec<u8>,
    /// The multiaddress it is reached by.
    pub address: String,
    /// How it is reached.
    pub path: Path,
    /// Last measured round trip, in milliseconds.
    pub round_trip: Option<u32>,
    /// Whether this side dialled.
    pub dialled: bool,
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// The hub, over a WebSocket.
    Hub,
    /// A peer, over a direct connection.
    Direct,
    /// A peer, through a relay.
    Relayed,
}

/// Why the hub is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Disconnection {
    /// [`Command::Disconnect`] was given.
    #[error("disconnected on request")]
    Requested,
    /// The connection was lost, or the hub closed it.
    #[error("the connection was lost")]
    Lost,
    /// No connection could be made.
    #[error("the relay cannot be reached")]
    Unreachable,
    /// Whoever answers at the address has another peer id than the address says.
    #[error("another relay answers at this address")]
    WrongPeer,
    /// The address is not a multiaddress with a peer id that this swarm can dial.
    #[error("the address cannot be dialled")]
    UnusableAddress,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum RequestError {
    /// The hub is not connected.
    #[error("not connected")]
    NotConnected,
    /// The connection was lost while the request was under way; whether it took effect is unknown.
    #[error("the connection was lost before the answer came")]
    ConnectionLost,
    /// No byte moved for too long; whether the request took effect is unknown.
    #[error("no answer in time")]
    TimedOut,
    /// The hub does not speak this protocol.
    #[error("the peer does not speak this protocol")]
    Unsupported,
    /// The request, or a frame of the reply, is longer than [`MAX_FRAME`].
    #[error("a frame is too long")]
    FrameTooLarge,
    /// Too many requests are under way ([`MAX_IN_FLIGHT`]).
    #[error("too many requests are under way")]
    TooManyInFlight,
    /// A request with the same id is under way.
    #[error("a request with this id is under way")]
    DuplicateId,
}
