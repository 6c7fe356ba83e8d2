//! Opens and accepts signalling streams on a circuit; the behaviour runs the sessions on them.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use libp2p_core::upgrade::ReadyUpgrade;
use libp2p_swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p_swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol,
};

use crate::protocol::signal::PROTOCOL;

/// Names one dial, so that its outcome finds the way back.
pub(crate) type DialId = u64;

/// The behaviour's order to open a signalling stream.
#[derive(Clone, Copy, Debug)]
pub struct Open(pub(crate) DialId);

/// What came of signalling streams.
#[derive(Debug)]
pub enum Signalling {
    /// The remote opened a stream.
    Inbound(Stream),
    /// Our stream for a dial is open.
    Outbound(DialId, Stream),
    /// Our stream for a dial could not be opened.
    Failed(DialId, Failure),
}

/// Why a signalling stream could not be opened.
#[derive(Debug)]
pub enum Failure {
    /// The remote does not speak the protocol.
    Unsupported,
    /// The circuit broke or took too long.
    Broken(String),
}

/// The handler of one circuit.
#[derive(Default)]
pub struct Handler {
    to_open: VecDeque<DialId>,
    events: VecDeque<Signalling>,
    /// Dials whose stream is being negotiated.
    opening: usize,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = Signalling;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = DialId;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(StreamProtocol::new(PROTOCOL)), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.opening > 0 || !self.to_open.is_empty()
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, DialId, Signalling>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        if let Some(dial) = self.to_open.pop_front() {
            self.opening += 1;
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(StreamProtocol::new(PROTOCOL)), dial);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, Open(dial): Open) {
        self.to_open.push_back(dial);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<Self::InboundProtocol, Self::OutboundProtocol, (), DialId>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.events.push_back(Signalling::Inbound(protocol));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.opening = self.opening.saturating_sub(1);
                self.events.push_back(Signalling::Outbound(info, protocol));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                self.opening = self.opening.saturating_sub(1);
                let failure = match error {
                    StreamUpgradeError::NegotiationFailed => Failure::Unsupported,
                    StreamUpgradeError::Timeout => Failure::Broken("the remote did not answer".into()),
                    StreamUpgradeError::Io(error) => Failure::Broken(error.to_string()),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                self.events.push_back(Signalling::Failed(info, failure));
            }
            _ => {}
        }
    }
}
