//! Requests under way: each waits for its stream, then runs as an exchange.

use std::collections::BTreeMap;

use futures::channel::mpsc;
use futures::future::{AbortHandle, Abortable, BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use libp2p::swarm::{ConnectionId, Stream};

use super::exchange::exchange;
use super::streams::OpenError;
use crate::{Event, MAX_IN_FLIGHT, RequestError, RequestId};

/// Requests under way and the connections they depend on.
#[derive(Default)]
pub(super) struct Requests {
    opening: BTreeMap<RequestId, Opening>,
    running: BTreeMap<RequestId, Running>,
    exchanges: FuturesUnordered<BoxFuture<'static, Finished>>,
}

struct Opening {
    connection: ConnectionId,
    request: Vec<u8>,
    /// Longest frame of the reply.
    cap: usize,
}

struct Running {
    connection: ConnectionId,
    abort: AbortHandle,
}

/// An exchange that has ended, or was aborted.
type Finished = (RequestId, Option<Result<(), RequestError>>);

impl Requests {
    /// Takes a request for which a stream is about to be opened.
    ///
    /// # Errors
    /// [`RequestError::DuplicateId`] or [`RequestError::TooManyInFlight`].
    pub(super) fn admit(
        &mut self,
        id: RequestId,
        connection: ConnectionId,
        request: Vec<u8>,
        cap: usize,
    ) -> Result<(), RequestError> {
        if self.opening.contains_key(&id) || self.running.contains_key(&id) {
            return Err(RequestError::DuplicateId);
        }
        if self.opening.len() + self.running.len() >= MAX_IN_FLIGHT {
            return Err(RequestError::TooManyInFlight);
        }
        self.opening.insert(id, Opening { connection, request, cap });
        Ok(())
    }

    /// Begins the exchange on a request's stream, or says that it failed.
    pub(super) fn opened(
        &mut self,
        id: RequestId,
        stream: Result<Stream, OpenError>,
        events: &mpsc::Sender<Event>,
    ) -> Option<Event> {
        // Cancelled meanwhile: dropping the stream resets it.
        let Opening { connection, request, cap } = self.opening.remove(&id)?;
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => return Some(Event::Failed { id, error: opening_error(error) }),
        };
        let (abort, registration) = AbortHandle::new_pair();
        let exchange = Abortable::new(exchange(id, request, cap, stream, events.clone()), registration);
        self.running.insert(id, Running { connection, abort });
        self.exchanges.push(exchange.map(move |result| (id, result.ok())).boxed());
        None
    }

    /// Drops a request without a word.
    pub(super) fn cancel(&mut self, id: RequestId) {
        self.opening.remove(&id);
        if let Some(running) = self.running.remove(&id) {
            running.abort.abort();
        }
    }

    /// How the next request ends; waits where none is under way.
    pub(super) async fn next_end(&mut self) -> Event {
        loop {
            match self.exchanges.next().await {
                Some(finished) => {
                    if let Some(event) = self.ended(finished) {
                        return event;
                    }
                }
                None => std::future::pending().await,
            }
        }
    }

    /// The next end that is there already: a peer that ends well ends its streams before the connection.
    pub(super) fn ready_end(&mut self) -> Option<Event> {
        self.next_end().now_or_never()
    }

    /// Fails whatever depends on this connection.
    pub(super) fn fail(&mut self, connection: ConnectionId) -> Vec<Event> {
        let opening = self.opening.iter().filter(|(_, opening)| opening.connection == connection);
        let running = self.running.iter().filter(|(_, running)| running.connection == connection);
        let lost: Vec<RequestId> = opening.map(|(id, _)| *id).chain(running.map(|(id, _)| *id)).collect();
        for id in &lost {
            self.cancel(*id);
        }
        lost.into_iter().map(|id| Event::Failed { id, error: RequestError::ConnectionLost }).collect()
    }

    fn ended(&mut self, (id, result): Finished) -> Option<Event> {
        let result = result?;
        self.running.remove(&id);
        Some(match result {
            Ok(()) => Event::Ended { id },
            Err(error) => Event::Failed { id, error },
        })
    }
}

fn opening_error(error: OpenError) -> RequestError {
    match error {
        OpenError::Unsupported => RequestError::Unsupported,
        OpenError::TimedOut => RequestError::TimedOut,
        OpenError::Lost => RequestError::ConnectionLost,
    }
}
