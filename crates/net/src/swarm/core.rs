//! What every part of the swarm works with: who is connected, which requests are under way, and who hears of it.

use futures::SinkExt;
use futures::channel::mpsc;
use libp2p::swarm::{ConnectionId, Stream};

use super::peers::Peers;
use super::requests::Requests;
use super::streams::OpenError;
use crate::{Event, RequestError, RequestId};

/// The part of the swarm that the driver lends to others.
pub(super) struct Core {
    pub(super) peers: Peers,
    pub(super) requests: Requests,
    pub(super) events: mpsc::Sender<Event>,
}

/// The receiver of events is gone.
pub(super) struct Unheard;

impl Core {
    pub(super) fn new(events: mpsc::Sender<Event>) -> Self {
        Self { peers: Peers::default(), requests: Requests::default(), events }
    }

    /// Reports an event.
    pub(super) async fn emit(&mut self, event: Event) -> Result<(), Unheard> {
        self.events.send(event).await.map_err(|_gone| Unheard)
    }

    /// Reports that a request failed.
    pub(super) async fn refuse(&mut self, id: RequestId, error: RequestError) -> Result<(), Unheard> {
        self.emit(Event::Failed { id, error }).await
    }

    /// Begins the exchange on a request's stream, or reports that it failed.
    pub(super) async fn opened(
        &mut self,
        id: RequestId,
        stream: Result<Stream, OpenError>,
    ) -> Result<(), Unheard> {
        match self.requests.opened(id, stream, &self.events) {
            Some(failed) => self.emit(failed).await,
            None => Ok(()),
        }
    }

    /// Fails the requests that depend on a connection.
    pub(super) async fn fail(&mut self, connection: ConnectionId) -> Result<(), Unheard> {
        for failed in self.requests.fail(connection) {
            self.emit(failed).await?;
        }
        Ok(())
    }

    /// Reports the exchanges whose end came before the connection's: a hub that ends well ends its streams first.
    pub(super) async fn finish_ready(&mut self) -> Result<(), Unheard> {
        while let Some(end) = self.requests.ready_end() {
            self.emit(end).await?;
        }
        Ok(())
    }
}
