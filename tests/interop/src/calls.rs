//! The calls a test makes, the same as the js peer's.

use std::cell::RefCell;

use futures::channel::oneshot;
use futures::future::join_all;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;
use web_time::Instant;

use crate::protocols::{DIGEST, DISCARD, ECHO, HANGUP, HUNG_UP, RESET, serve, sha256};
use crate::swarm::{Command, Node, Seen, spawn};

thread_local! {
    static NODE: RefCell<Option<Node>> = const { RefCell::new(None) };
}

/// Starts the peer, connects to the relay and asks it for a reservation; returns the peer id.
#[wasm_bindgen]
pub async fn start(relay: &str) -> Result<String, JsError> {
    begin(relay, true)
}

/// As [`start`], with a peer that connects and disconnects and speaks none of the test protocols: the crate of their
/// streams keeps something of each connection for good.
#[wasm_bindgen(js_name = startWithoutStreams)]
pub async fn start_without_streams(relay: &str) -> Result<String, JsError> {
    begin(relay, false)
}

fn begin(relay: &str, with_streams: bool) -> Result<String, JsError> {
    console_error_panic_hook::set_once();
    let mut node = spawn(with_streams).map_err(|error| JsError::new(&error.to_string()))?;
    if let Some(streams) = &mut node.streams {
        serve(streams)?;
    }
    let relay: Multiaddr = relay.parse()?;
    let peer = node.peer.to_string();
    node.commands.unbounded_send(Command::Listen(relay.with(Protocol::P2pCircuit)))?;
    NODE.replace(Some(node));
    Ok(peer)
}

/// The address others dial, once the relay has given a reservation.
#[wasm_bindgen]
pub async fn address() -> Result<Option<String>, JsError> {
    ask(|seen| seen.address.as_ref().map(ToString::to_string)).await
}

/// Dials a remote and returns the milliseconds it took.
#[wasm_bindgen]
pub async fn connect(remote: &str) -> Result<f64, JsError> {
    let began = Instant::now();
    let (reply, outcome) = oneshot::channel();
    command(Command::Dial(remote.parse()?, reply))?;
    outcome.await?.map_err(|error| JsError::new(&error))?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

/// Closes every connection to a peer.
#[wasm_bindgen]
pub fn disconnect(id: &str) -> Result<(), JsError> {
    command(Command::Disconnect(id.parse()?))
}

/// Sends `bytes` bytes and waits until the remote has them; returns the milliseconds it took.
#[wasm_bindgen]
pub async fn sends(id: &str, bytes: usize) -> Result<f64, JsError> {
    let mut stream = open(id, DISCARD).await?;
    let sent = vec![7; bytes];
    let began = Instant::now();
    stream.write_all(&sent).await?;
    stream.close().await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

/// The remote addresses of the connections to a peer.
#[wasm_bindgen]
pub async fn connections(id: &str) -> Result<Vec<String>, JsError> {
    let id: PeerId = id.parse()?;
    ask(move |seen| {
        seen.connections
            .values()
            .filter(|(peer, _)| *peer == id)
            .map(|(_, address)| address.to_string())
            .collect()
    })
    .await
}

/// The protocols that a peer named when it identified itself.
#[wasm_bindgen]
pub async fn protocols(id: &str) -> Result<Vec<String>, JsError> {
    let id: PeerId = id.parse()?;
    ask(move |seen| seen.protocols.get(&id).cloned().unwrap_or_default()).await
}

/// The last round-trip time to a peer in milliseconds, once there is one.
#[wasm_bindgen]
pub async fn ping(id: &str) -> Result<Option<f64>, JsError> {
    let id: PeerId = id.parse()?;
    ask(move |seen| seen.pings.get(&id).copied()).await
}

/// Echoes `bytes` bytes on each of `streams` streams at once; returns how many came back the same.
#[wasm_bindgen]
pub async fn echoes(id: &str, streams: u8, bytes: usize) -> Result<u8, JsError> {
    let one = |index: u8| async move {
        let sent = vec![index; bytes];
        Ok::<_, JsError>(exchange(open(id, ECHO).await?, &sent).await? == sent)
    };
    let outcomes = join_all((0..streams).map(one)).await;
    let mut same = 0;
    for outcome in outcomes {
        same += u8::from(outcome?);
    }
    Ok(same)
}

/// Sends `bytes` bytes and compares the remote's digest with our own.
#[wasm_bindgen]
pub async fn digests(id: &str, bytes: u32) -> Result<bool, JsError> {
    let sent: Vec<u8> = (0..bytes).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    Ok(exchange(open(id, DIGEST).await?, &sent).await? == sha256(&sent).as_bytes())
}

/// Lets the remote end its half first, then still sends 5,000 bytes; returns what the remote said.
#[wasm_bindgen]
pub async fn hangups(id: &str) -> Result<String, JsError> {
    let mut stream = open(id, HANGUP).await?;
    stream.write_all(&[1]).await?;
    stream.flush().await?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await?;
    stream.write_all(&[0; 5000]).await?;
    stream.close().await?;
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

/// Lets the remote reset the stream; returns how that looks from here.
#[wasm_bindgen]
pub async fn resets(id: &str) -> Result<String, JsError> {
    let mut stream = open(id, RESET).await?;
    stream.write_all(&[1]).await?;
    stream.flush().await?;
    match stream.read_to_end(&mut Vec::new()).await {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok("reset".into()),
        other => Ok(format!("{other:?}")),
    }
}

/// Bytes that came after our own end in the last hang-up that we served.
#[wasm_bindgen(js_name = hungUp)]
pub fn hung_up() -> usize {
    HUNG_UP.get()
}

async fn exchange(mut stream: Stream, sent: &[u8]) -> Result<Vec<u8>, JsError> {
    stream.write_all(sent).await?;
    stream.close().await?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await?;
    Ok(heard)
}

async fn open(id: &str, protocol: StreamProtocol) -> Result<Stream, JsError> {
    let peer: PeerId = id.parse()?;
    let mut streams = NODE
        .with_borrow(|node| node.as_ref().and_then(|node| node.streams.clone()))
        .ok_or_else(|| JsError::new("start first"))?;
    Ok(streams.open_stream(peer, protocol).await?)
}

fn command(command: Command) -> Result<(), JsError> {
    NODE.with_borrow(|node| match node {
        Some(node) => Ok(node.commands.unbounded_send(command)?),
        None => Err(JsError::new("start first")),
    })
}

async fn ask<T: 'static>(question: impl FnOnce(&Seen) -> T + 'static) -> Result<T, JsError> {
    let (reply, answer) = oneshot::channel();
    command(Command::Ask(Box::new(move |seen| {
        let _gone = reply.send(question(seen));
    })))?;
    Ok(answer.map(|answer| answer).await?)
}
