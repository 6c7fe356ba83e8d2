use std::io;
use std::time::Duration;

use futures::channel::mpsc;
use futures::{AsyncWriteExt, SinkExt};
use libp2p::core::upgrade::NegotiationError;
use libp2p::swarm::Stream;

use super::frame::{self, FrameError};
use crate::{Event, MAX_FRAME, RequestError, RequestId};

/// Longest time in which no byte of a request or reply moves. A relay that follows a log sends more often.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends one request and reports the frames of the reply until the hub ends the stream.
pub(super) async fn exchange(
    id: RequestId,
    request: Vec<u8>,
    mut stream: Stream,
    mut events: mpsc::Sender<Event>,
) -> Result<(), RequestError> {
    frame::write(&mut stream, &request, PATIENCE).await.map_err(request_error)?;
    drop(request);
    stream.close().await.map_err(|error| request_error(FrameError::Stream(error)))?;
    while let Some(bytes) = frame::read(&mut stream, MAX_FRAME, PATIENCE).await.map_err(request_error)? {
        // Nobody left to tell: the driver ends by itself.
        if events.send(Event::Frame { id, bytes }).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn request_error(error: FrameError) -> RequestError {
    match error {
        FrameError::TooLong { .. } => RequestError::FrameTooLarge,
        FrameError::Stalled => RequestError::TimedOut,
        FrameError::Stream(error) if is_negotiation_failure(&error) => RequestError::Unsupported,
        FrameError::Truncated | FrameError::Stream(_) => RequestError::ConnectionLost,
    }
}

// The protocol is proposed together with the request, so a refusal shows only when the reply is read.
fn is_negotiation_failure(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(NegotiationError::Failed))
}
