//! One request and its replies on a stream of their own, with limits on time and size.

use std::io;
use std::pin::pin;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::{Either, select};
use futures::io::{ReadHalf, WriteHalf};
use futures::{AsyncReadExt, AsyncWriteExt, SinkExt};
use futures_timer::Delay;
use libp2p::core::upgrade::NegotiationError;
use libp2p::swarm::Stream;

use super::frame::{self, FrameError};
use crate::{Event, RequestError, RequestId};

/// Longest time in which no byte of a request or reply moves. A relay that follows a log sends more often.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest time of anything: what has to end in time is ended by somebody else.
const ANY_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Sends one request and reports the frames of the reply, each of at most `cap` bytes, until the other side ends the
/// stream.
pub(super) async fn exchange(
    id: RequestId,
    request: Vec<u8>,
    cap: usize,
    stream: Stream,
    mut events: mpsc::Sender<Event>,
) -> Result<(), RequestError> {
    let (mut reader, writer) = stream.split();
    let mut length = match send_until_answered(&mut reader, writer, request).await? {
        Some(length) => length,
        // A lost connection ends its streams as a closed one does; an answer has at least one frame.
        None => return Err(RequestError::ConnectionLost),
    };
    loop {
        if length > cap {
            return Err(RequestError::FrameTooLarge);
        }
        let bytes = frame::read_content(&mut reader, length, PATIENCE).await.map_err(request_error)?;
        // Nobody left to tell: the driver ends by itself.
        if events.send(Event::Frame { id, bytes }).await.is_err() {
            return Ok(());
        }
        length = match frame::read_length(&mut reader, PATIENCE).await.map_err(request_error)? {
            Some(length) => length,
            None => return Ok(()),
        };
    }
}

/// Sends the request and returns the length of the first frame of the reply, if there is one. A hub may refuse a
/// request by its length, and then it answers without reading the rest.
async fn send_until_answered(
    reader: &mut ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    request: Vec<u8>,
) -> Result<Option<usize>, RequestError> {
    let sending = pin!(send(writer, request));
    let answered = pin!(frame::read_length(reader, ANY_TIME));
    let (sent, answered) = match select(sending, answered).await {
        Either::Left((sent, answered)) => match select(answered, Delay::new(PATIENCE)).await {
            Either::Left((answered, _)) => (sent, answered),
            Either::Right(((), _)) => (sent, Err(FrameError::Stalled)),
        },
        Either::Right((answered, _)) => (Ok(()), answered),
    };
    match (sent, answered) {
        (_, Ok(Some(length))) => Ok(Some(length)),
        (Err(error), _) | (Ok(()), Err(error)) => Err(request_error(error)),
        (Ok(()), Ok(None)) => Ok(None),
    }
}

async fn send(mut writer: WriteHalf<Stream>, request: Vec<u8>) -> Result<(), FrameError> {
    frame::write(&mut writer, &request, PATIENCE).await?;
    writer.close().await.map_err(FrameError::Stream)
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
