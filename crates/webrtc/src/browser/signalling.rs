//! Runs one signalling session over a stream: carries out what the session asks, tells it what happens.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, WriteHalf};
use futures::stream::{self, Stream, StreamExt as _};
use futures::{FutureExt as _, pin_mut, select_biased};
use futures_timer::Delay;
use wasm_bindgen_futures::spawn_local;

use super::Config;
use super::connection::Connection;
use super::error::Error;
use super::peer_connection::PeerConnection;
use crate::protocol::session::{Action, Event, Role, Session, TIMEOUT_MS};
use crate::protocol::signal::{MAX_MESSAGE, Signal};

/// Signals over `signalling` until the direct connection stands.
///
/// # Errors
/// [`Error`] where it does not; the stream is then dropped without an orderly end, which resets it.
pub(crate) async fn connect<S>(role: Role, signalling: S, config: &Config) -> Result<Connection, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (to_session, mut local) = mpsc::unbounded();
    let peer_connection = PeerConnection::new(config, to_session)?;
    let (reader, mut writer) = signalling.split();
    let remote = signals(reader);
    pin_mut!(remote);
    let mut remote = remote.fuse();
    // One timer stands for the clock: the session starts at 0 and the timer rings at its deadline.
    let mut deadline = Delay::new(Duration::from_millis(TIMEOUT_MS)).fuse();
    let (mut session, first) = Session::start(role, 0);
    let mut actions = VecDeque::from(first);
    loop {
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Finish => {
                    peer_connection.close_init().await;
                    spawn_local(async move {
                        let _gone_already = writer.close().await;
                    });
                    return Ok(Connection::new(peer_connection));
                }
                Action::Abort(error) => return Err(error.into()),
                other => {
                    if let Some(event) = carry_out(role, other, &peer_connection, &mut writer).await? {
                        actions.extend(session.handle(event));
                    }
                }
            }
        }
        let event = select_biased! {
            event = local.select_next_some() => event,
            signal = remote.next() => match signal {
                Some(Ok(signal)) => Event::Received(signal),
                Some(Err(Error::Stream(_))) | None => Event::SignallingClosed,
                Some(Err(error)) => return Err(error),
            },
            () = deadline => Event::Tick(TIMEOUT_MS),
        };
        actions.extend(session.handle(event));
    }
}

async fn carry_out<S: AsyncWrite + Unpin>(
    role: Role,
    action: Action,
    peer_connection: &Rc<PeerConnection>,
    writer: &mut WriteHalf<S>,
) -> Result<Option<Event>, Error> {
    match action {
        Action::CreateOffer => Ok(Some(Event::LocalDescription(peer_connection.create_offer().await?))),
        Action::CreateAnswer => Ok(Some(Event::LocalDescription(peer_connection.create_answer().await?))),
        Action::SetLocal(sdp) => peer_connection.set_local(role, &sdp).await.map(|()| None),
        Action::SetRemote(signal) => {
            peer_connection.set_remote(&signal).await.map(|()| Some(Event::RemoteDescriptionSet))
        }
        Action::AddCandidate(json) => {
            peer_connection.add_candidate(&json).await;
            Ok(None)
        }
        Action::Send(signal) => {
            // A remote that is connected already closes its stream: what cannot be sent then is not needed.
            match send(writer, &signal).await {
                Err(_) if matches!(signal, Signal::Candidate(_)) => Ok(None),
                outcome => outcome.map(|()| None).map_err(Error::from),
            }
        }
        Action::Finish | Action::Abort(_) => Ok(None),
    }
}

async fn send<S: AsyncWrite + Unpin>(writer: &mut WriteHalf<S>, signal: &Signal) -> io::Result<()> {
    let body = signal.encode();
    let mut prefix = unsigned_varint::encode::usize_buffer();
    writer.write_all(unsigned_varint::encode::usize(body.len(), &mut prefix)).await?;
    writer.write_all(&body).await?;
    writer.flush().await
}

/// The messages of a signalling stream, until it ends or breaks.
fn signals<R: AsyncRead + Unpin>(reader: R) -> impl Stream<Item = Result<Signal, Error>> {
    stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match receive(&mut reader).await {
            Ok(Some(signal)) => Some((Ok(signal), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

async fn receive<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Option<Signal>, Error> {
    let length = match unsigned_varint::aio::read_usize(&mut *reader).await {
        Ok(length) => length,
        Err(unsigned_varint::io::ReadError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Ok(None);
        }
        Err(error) => return Err(Error::Stream(error.into())),
    };
    if length > MAX_MESSAGE {
        return Err(crate::protocol::signal::SignalError::TooLong.into());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    Ok(Some(Signal::decode(&body)?))
}
