//! What the swarm can be told and what it reports, as plain data that crosses from page to worker.

use lichen_record::CampaignId;
use serde::{Deserialize, Serialize};

/// Longest frame on a hub stream, in bytes: one blob of the largest size with its wrapping.
pub const MAX_FRAME: usize = lichen_record::MAX_BLOB + 1024;

/// Longest address accepted by [`Command::Connect`], in bytes of text.
pub const MAX_ADDRESS: usize = 512;

/// Most further addresses in one [`Command::Connect`]; more are ignored.
pub const MAX_ADDRESSES: usize = 8;

/// Most requests under way at a time; one more fails with [`RequestError::TooManyInFlight`].
pub const MAX_IN_FLIGHT: usize = 64;

/// Longest request to a peer, in bytes.
pub const MAX_ASK: usize = 1024;

/// Longest frame of a peer's reply, in bytes, its wrapping included.
pub const MAX_PEER_FRAME: usize = 16 * 1024;

/// Longest announcement, in bytes.
pub const MAX_ANNOUNCEMENT: usize = 64 * 1024;

/// Most requests of one peer that are answered at a time; one more is reset.
pub const MAX_INBOUND_PER_PEER: usize = 8;

/// Most requests of all peers together that are answered at a time; one more is reset.
pub const MAX_INBOUND: usize = 64;

/// Most bytes of answers that wait to be sent for one inbound request; past it the request is given up.
pub const MAX_UNSENT: usize = 1024 * 1024;

/// Direct connections that a tab makes on its own account while it has fewer.
pub const WANTED_DEGREE: usize = 8;

/// Most direct connections that a tab has; it refuses more.
pub const MAX_DEGREE: usize = 16;

/// Names one request; chosen by whoever sends the command, not used twice while the request is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// Names one request of a peer; chosen by the swarm, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InboundId(pub u64);

/// A server that helps peer connections find a way, as `RTCPeerConnection` takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// For instance `stun:relay.example:3478`.
    pub urls: Vec<String>,
    /// The user's name, for TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The user's credential, for TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// What the swarm is told to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Connect to the hub at one of these multiaddresses and keep connected, with back-off, until
    /// [`Command::Disconnect`]. Where one fails, or its connection is lost, the next has its turn.
    Connect {
        /// A multiaddress ending in `/p2p/<peer id>`, which is tried first.
        address: String,
        /// Further ones, at most [`MAX_ADDRESSES`]; those that cannot be dialled are left out.
        #[serde(default)]
        also: Vec<String>,
    },
    /// Close every connection and stop reconnecting.
    Disconnect,
    /// Close every connection at once, as the page is about to go, or to be kept without running; [`Command::Wake`] makes
    /// them anew.
    Suspend,
    /// The page or its device may have slept: connect now rather than after the wait that is under way.
    Wake,
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
    /// Take part in a campaign's mesh: be found through the hub, connect to peers directly up to [`WANTED_DEGREE`],
    /// accept others up to [`MAX_DEGREE`]. Holds until [`Command::Disconnect`] and across lost connections; given again, it replaces what was given before.
    Meet {
        /// Whose peers.
        campaign: CampaignId,
        /// Make and accept no connection to peers, and let nobody know that we are here.
        relay_only: bool,
    },
    /// Open a stream to a directly connected peer and send one request frame; answered as [`Command::Request`] is,
    /// and ended by [`Command::Cancel`].
    Ask {
        /// Comes back in every event about this request; shares its numbers with [`Command::Request`].
        id: RequestId,
        /// The peer's id, in its binary form.
        #[serde(with = "serde_bytes")]
        peer: Vec<u8>,
        /// At most [`MAX_ASK`] bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// One frame in answer to [`Event::Asked`]. Frames wait where the peer is slow, at most [`MAX_UNSENT`] bytes.
    Answer {
        /// The request answered; unknown ids are ignored.
        id: InboundId,
        /// At most [`MAX_PEER_FRAME`] bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Nothing more comes in answer to a peer's request.
    Finish {
        /// The request answered; unknown ids are ignored.
        id: InboundId,
    },
    /// Tell every peer of the campaign, through whoever is connected. Nobody hears it where nobody is.
    Announce {
        /// At most [`MAX_ANNOUNCEMENT`] bytes; longer ones are dropped.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Disconnect a peer that misbehaved, and neither dial nor accept it for a while, longer each time.
    Ban {
        /// The peer's id, in its binary form.
        #[serde(with = "serde_bytes")]
        peer: Vec<u8>,
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
        /// Milliseconds until the next attempt; none after [`Command::Disconnect`],
        /// [`Command::Suspend`] or an unusable address.
        retry_in: Option<u32>,
    },
    /// One reply frame.
    Frame {
        /// The request answered.
        id: RequestId,
        /// What the hub or the peer sent, unchecked: of a hub, an encoded [`hub::Reply`](crate::hub::Reply).
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The hub or the peer has answered in full; the last event for this id.
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
    /// The connected peers, whenever they change, but at most once a second where only numbers did.
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
    /// A directly connected peer asks for something, to be answered by [`Command::Answer`] and [`Command::Finish`].
    Asked {
        /// Comes back in the answers.
        id: InboundId,
        /// Who asks: its peer id, in its binary form.
        #[serde(with = "serde_bytes")]
        peer: Vec<u8>,
        /// The request, unchecked, at most [`MAX_ASK`] bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The peer does not wait for the answer any more; the last event for this id where nothing was finished.
    Unasked {
        /// The request.
        id: InboundId,
    },
    /// A peer of the campaign announced something.
    Announced {
        /// Who signed the announcement: its peer id, in its binary form; not always a connected peer.
        #[serde(with = "serde_bytes")]
        peer: Vec<u8>,
        /// What it says, unchecked, at most [`MAX_ANNOUNCEMENT`] bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// How many others of the campaign can be found through the hub, whenever it says so.
    Found {
        /// None where this swarm is alone, or is not told.
        peers: u32,
    },
    /// A peer of the campaign is there, but no direct connection to it could be made; it is tried again later.
    NoDirectPath {
        /// Its peer id, in its binary form.
        #[serde(with = "serde_bytes")]
        peer: Vec<u8>,
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
    /// Bytes received from it since it was connected.
    pub received: u64,
    /// Bytes sent to it since it was connected.
    pub sent: u64,
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
    /// The hub, or the peer asked, is not connected.
    #[error("not connected")]
    NotConnected,
    /// The connection was lost while the request was under way; whether it took effect is unknown.
    #[error("the connection was lost before the answer came")]
    ConnectionLost,
    /// No byte moved for too long; whether the request took effect is unknown.
    #[error("no answer in time")]
    TimedOut,
    /// The hub or the peer does not speak this protocol, or this build has no mesh.
    #[error("the peer does not speak this protocol")]
    Unsupported,
    /// The request, or a frame of the reply, is longer than it may be.
    #[error("a frame is too long")]
    FrameTooLarge,
    /// Too many requests are under way ([`MAX_IN_FLIGHT`]).
    #[error("too many requests are under way")]
    TooManyInFlight,
    /// A request with the same id is under way.
    #[error("a request with this id is under way")]
    DuplicateId,
}
