//! Two ends in one page: real peer connections and data channels, signalling over a pipe.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::channel::mpsc;
use futures::future::{join, join_all, poll_fn};
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use futures::stream::{IntoAsyncRead, TryStreamExt as _};
use libp2p_core::muxing::StreamMuxerExt as _;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

use super::channel::Substream;
use super::signalling::connect;
use super::{Config, Connection, Error};
use crate::protocol::session::{Role, SessionError};
use crate::protocol::signal::Signal;

wasm_bindgen_test_configure!(run_in_browser);

/// One end of an in-memory pipe.
struct Pipe {
    reader: IntoAsyncRead<mpsc::UnboundedReceiver<io::Result<Vec<u8>>>>,
    writer: mpsc::UnboundedSender<io::Result<Vec<u8>>>,
}

fn pipe() -> (Pipe, Pipe) {
    let (to_b, from_a) = mpsc::unbounded();
    let (to_a, from_b) = mpsc::unbounded();
    let a = Pipe { reader: from_b.into_async_read(), writer: to_b };
    let b = Pipe { reader: from_a.into_async_read(), writer: to_a };
    (a, b)
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read(cx, into)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = self.writer.unbounded_send(Ok(bytes.to_vec()));
        Poll::Ready(sent.map(|()| bytes.len()).map_err(|_closed| io::ErrorKind::BrokenPipe.into()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.close_channel();
        Poll::Ready(Ok(()))
    }
}

async fn connected(config: &Config) -> (Connection, Connection) {
    let (a, b) = pipe();
    let (a, b) = join(connect(Role::Offerer, a, config), connect(Role::Answerer, b, config)).await;
    (a.unwrap(), b.unwrap())
}

async fn open(connection: &mut Connection) -> Substream {
    poll_fn(|cx| connection.poll_outbound_unpin(cx)).await.unwrap()
}

async fn accept(connection: &mut Connection) -> Result<Substream, Error> {
    poll_fn(|cx| connection.poll_inbound_unpin(cx)).await
}

/// A stream between two connections; it exists for the acceptor once something was written.
async fn stream(a: &mut Connection, b: &mut Connection) -> (Substream, Substream) {
    let mut opened = open(a).await;
    opened.write_all(b"#").await.unwrap();
    opened.flush().await.unwrap();
    let mut accepted = accept(b).await.unwrap();
    accepted.read_exact(&mut [0]).await.unwrap();
    (opened, accepted)
}

#[wasm_bindgen_test]
async fn ten_megabytes_each_way_arrive_whole() {
    let (mut a, mut b) = connected(&Config::default()).await;
    let (mut near, mut far) = stream(&mut a, &mut b).await;
    let sent: Vec<u8> =
        (0..10_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let echo = async {
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        far.write_all(&received).await.unwrap();
        far.close().await.unwrap();
        received
    };
    let ask = async {
        near.write_all(&sent).await.unwrap();
        near.close().await.unwrap();
        let mut back = Vec::new();
        near.read_to_end(&mut back).await.unwrap();
        back
    };
    let (there, back) = join(echo, ask).await;
    assert!(there == sent && back == sent);
}

#[wasm_bindgen_test]
async fn fifty_streams_at_once_keep_apart() {
    let (mut a, mut b) = connected(&Config::default()).await;
    let mut pairs = Vec::new();
    for index in 0..50_u8 {
        let (near, far) = stream(&mut a, &mut b).await;
        pairs.push((index, near, far));
    }
    let echoes = pairs.into_iter().map(|(index, mut near, mut far)| async move {
        let far_side = async {
            let mut heard = Vec::new();
            far.read_to_end(&mut heard).await.unwrap();
            far.write_all(&heard).await.unwrap();
            far.close().await.unwrap();
        };
        let near_side = async {
            near.write_all(&vec![index; 40_000]).await.unwrap();
            near.close().await.unwrap();
            let mut heard = Vec::new();
            near.read_to_end(&mut heard).await.unwrap();
            heard == vec![index; 40_000]
        };
        join(far_side, near_side).await.1
    });
    assert!(join_all(echoes).await.into_iter().all(|same| same));
}

#[wasm_bindgen_test]
async fn a_dropped_stream_is_a_reset_and_not_an_end() {
    let (mut a, mut b) = connected(&Config::default()).await;
    let (near, mut far) = stream(&mut a, &mut b).await;
    drop(near);
    let error = far.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[wasm_bindgen_test]
async fn closing_a_connection_ends_the_others_streams() {
    let (mut a, mut b) = connected(&Config::default()).await;
    let (_near, mut far) = stream(&mut a, &mut b).await;
    drop(a);
    assert!(far.read_to_end(&mut Vec::new()).await.is_err());
}

#[wasm_bindgen_test]
async fn a_remote_that_closes_is_gone_before_the_path_to_it_is_given_up() {
    let (a, mut b) = connected(&Config::default()).await;
    drop(a);
    let outcome = accept(&mut b).await;
    assert!(matches!(outcome, Err(Error::Closed)));
    assert_eq!(b.browser_state(), web_sys::RtcPeerConnectionState::Connected);
}

#[wasm_bindgen_test]
async fn two_hundred_connections_leave_none_behind() {
    let config = Config::default();
    for _ in 0..100 {
        let pair = connected(&config).await;
        assert_eq!(config.budget.alive(), 2);
        drop(pair);
        assert_eq!(config.budget.alive(), 0);
    }
    assert_eq!(config.budget.made(), 200);
}

#[wasm_bindgen_test]
async fn a_hostile_offer_is_a_typed_error() {
    let config = Config::default();
    let (hostile, victim) = pipe();
    let offer = Signal::Offer("this is no session description".into()).encode();
    let mut prefixed = vec![u8::try_from(offer.len()).unwrap()];
    prefixed.extend(offer);
    hostile.writer.unbounded_send(Ok(prefixed)).unwrap();
    let outcome = connect(Role::Answerer, victim, &config).await;
    assert!(matches!(outcome, Err(Error::Browser(_))), "{outcome:?}");
    assert_eq!(config.budget.alive(), 0);
}

#[wasm_bindgen_test]
async fn an_answer_where_an_offer_belongs_is_refused() {
    let (hostile, victim) = pipe();
    hostile.writer.unbounded_send(Ok(vec![2, 0x08, 1])).unwrap();
    let outcome = connect(Role::Answerer, victim, &Config::default()).await;
    assert!(matches!(outcome, Err(Error::Session(SessionError::Unexpected("answer")))), "{outcome:?}");
}

#[wasm_bindgen_test]
async fn a_signalling_message_past_the_limit_is_refused() {
    let (hostile, victim) = pipe();
    // A length prefix of more than any signalling message may have.
    hostile.writer.unbounded_send(Ok(vec![0x81, 0x80, 0x01])).unwrap();
    let outcome = connect(Role::Answerer, victim, &Config::default()).await;
    assert!(matches!(outcome, Err(Error::Signal(_))), "{outcome:?}");
}
