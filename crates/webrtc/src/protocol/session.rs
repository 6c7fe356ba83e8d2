//! The signalling session of one connection attempt, for both roles: events in, actions out.
//!
//! ```text
//! offerer   CreateOffer → Send(offer) → SetRemote(answer) → candidates both ways → connected → CloseSignalling
//! answerer  SetRemote(offer) → CreateAnswer → Send(answer) → candidates both ways → connected → CloseSignalling
//! ```

use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

use super::signal::Signal;

/// Milliseconds from a session's start in which the connection must stand.
pub const TIMEOUT_MS: u64 = 30_000;

/// Most candidates taken from the remote; a browser with many interfaces sends about a dozen.
pub const MAX_CANDIDATES: usize = 64;

/// Which side of the session this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Dialled: makes the offer and the `init` channel.
    Offerer,
    /// Was dialled: makes the answer.
    Answerer,
}

/// What happened at the peer connection, on the signalling stream, or by the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer connection made the offer or answer that was asked for (SDP).
    LocalDescription(String),
    /// The peer connection took the remote's description.
    RemoteDescriptionSet,
    /// The peer connection found a candidate (`RTCIceCandidate.toJSON()` as text).
    LocalCandidate(String),
    /// A message came on the signalling stream.
    Received(Signal),
    /// The remote closed the signalling stream.
    SignallingClosed,
    /// The peer connection stands.
    Connected,
    /// The peer connection gave up.
    ConnectionFailed,
    /// The clock shows this many milliseconds.
    Tick(u64),
}

/// What the backend is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create the `init` channel and an offer, and report [`Event::LocalDescription`].
    CreateOffer,
    /// Create an answer and report [`Event::LocalDescription`].
    CreateAnswer,
    /// Send this message.
    Send(Signal),
    /// Make the description just created the local one; gathering starts with it.
    SetLocal(String),
    /// Take the remote's description and report [`Event::RemoteDescriptionSet`].
    SetRemote(Signal),
    /// Hand this candidate to the peer connection.
    AddCandidate(String),
    /// Close the signalling stream and the `init` channel: the connection stands.
    Finish,
    /// Reset the signalling stream and close the peer connection.
    Abort(SessionError),
}

/// Why a session ended without a connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The connection did not stand within [`TIMEOUT_MS`].
    #[error("no direct connection within 30 seconds")]
    TimedOut,
    /// A message that the session does not allow at this point.
    #[error("unexpected {0} from the remote")]
    Unexpected(&'static str),
    /// More than [`MAX_CANDIDATES`] candidates.
    #[error("the remote sent more than 64 candidates")]
    TooManyCandidates,
    /// The remote closed the stream before descriptions were exchanged.
    #[error("the remote closed the signalling stream too early")]
    ClosedEarly,
    /// The peer connection failed: no pair of candidates works.
    #[error("no direct path to the remote")]
    NoPath,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Offerer: our offer is being made. Answerer: the remote's offer is awaited.
    Opening,
    /// A description of the remote was handed to the peer connection.
    RemoteOffered,
    /// Offerer: the answer is awaited. Answerer: our answer is being made.
    Answering,
    /// Both descriptions are known: candidates are tried.
    Checking,
    Over,
}

/// One connection attempt.
#[derive(Debug)]
pub struct Session {
    role: Role,
    phase: Phase,
    deadline: u64,
    remote_set: bool,
    early_candidates: Vec<String>,
    candidates: usize,
}

impl Session {
    /// Starts a session at `now` (milliseconds) and says what to do first.
    #[must_use]
    pub fn start(role: Role, now: u64) -> (Self, Vec<Action>) {
        let session = Self {
            role,
            phase: Phase::Opening,
            deadline: now.saturating_add(TIMEOUT_MS),
            remote_set: false,
            early_candidates: Vec::new(),
            candidates: 0,
        };
        let first = match role {
            Role::Offerer => alloc::vec![Action::CreateOffer],
            Role::Answerer => Vec::new(),
        };
        (session, first)
    }

    /// When the session times out (milliseconds).
    #[must_use]
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// True once the session has finished or aborted; further events do nothing.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Takes one event and says what to do.
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        if self.is_over() {
            return Vec::new();
        }
        self.advance(event).unwrap_or_else(|error| {
            self.phase = Phase::Over;
            alloc::vec![Action::Abort(error)]
        })
    }

    fn advance(&mut self, event: Event) -> Result<Vec<Action>, SessionError> {
        match event {
            Event::LocalDescription(sdp) => Ok(self.local_description(sdp)),
            Event::RemoteDescriptionSet => Ok(self.remote_description_set()),
            Event::LocalCandidate(json) => Ok(alloc::vec![Action::Send(Signal::Candidate(json))]),
            Event::Received(signal) => self.received(signal),
            // A remote that is connected closes its stream before we may have noticed that we are, too.
            Event::SignallingClosed if self.phase == Phase::Checking => Ok(Vec::new()),
            Event::SignallingClosed => Err(SessionError::ClosedEarly),
            Event::Connected => {
                self.phase = Phase::Over;
                Ok(alloc::vec![Action::Finish])
            }
            Event::ConnectionFailed => Err(SessionError::NoPath),
            Event::Tick(now) if now >= self.deadline => Err(SessionError::TimedOut),
            Event::Tick(_) => Ok(Vec::new()),
        }
    }

    fn local_description(&mut self, sdp: String) -> Vec<Action> {
        match (self.role, self.phase) {
            (Role::Offerer, Phase::Opening) => {
                self.phase = Phase::Answering;
                alloc::vec![Action::Send(Signal::Offer(sdp.clone())), Action::SetLocal(sdp)]
            }
            (Role::Answerer, Phase::Answering) => {
                self.phase = Phase::Checking;
                alloc::vec![Action::Send(Signal::Answer(sdp.clone())), Action::SetLocal(sdp)]
            }
            _ => Vec::new(),
        }
    }

    fn remote_description_set(&mut self) -> Vec<Action> {
        if self.phase != Phase::RemoteOffered {
            return Vec::new();
        }
        self.remote_set = true;
        let mut actions = Vec::new();
        match self.role {
            Role::Offerer => self.phase = Phase::Checking,
            Role::Answerer => {
                self.phase = Phase::Answering;
                actions.push(Action::CreateAnswer);
            }
        }
        actions.extend(self.early_candidates.drain(..).map(Action::AddCandidate));
        actions
    }

    fn received(&mut self, signal: Signal) -> Result<Vec<Action>, SessionError> {
        match (self.role, self.phase, signal) {
            (Role::Answerer, Phase::Opening, offer @ Signal::Offer(_))
            | (Role::Offerer, Phase::Answering, offer @ Signal::Answer(_)) => {
                self.phase = Phase::RemoteOffered;
                Ok(alloc::vec![Action::SetRemote(offer)])
            }
            (_, _, Signal::Candidate(json)) => self.candidate(json),
            (_, _, Signal::Offer(_)) => Err(SessionError::Unexpected("offer")),
            (_, _, Signal::Answer(_)) => Err(SessionError::Unexpected("answer")),
        }
    }

    fn candidate(&mut self, json: String) -> Result<Vec<Action>, SessionError> {
        if self.role == Role::Answerer && self.phase == Phase::Opening {
            return Err(SessionError::Unexpected("candidate before an offer"));
        }
        self.candidates += 1;
        if self.candidates > MAX_CANDIDATES {
            return Err(SessionError::TooManyCandidates);
        }
        if self.remote_set {
            return Ok(alloc::vec![Action::AddCandidate(json)]);
        }
        self.early_candidates.push(json);
        Ok(Vec::new())
    }
}

/// Which session goes on where both sides dialled each other at once: the one offered by the smaller peer id.
///
/// Both sides compute the same answer, so exactly one of the two sessions survives.
#[must_use]
pub fn surviving_role(local: &[u8], remote: &[u8]) -> Role {
    if local < remote { Role::Offerer } else { Role::Answerer }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
