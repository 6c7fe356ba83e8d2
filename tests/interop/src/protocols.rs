//! The remote half of the test protocols: echo, digest, hang-up, reset.

use std::cell::Cell;

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::{Stream, StreamProtocol};
use sha2::{Digest as _, Sha256};
use wasm_bindgen_futures::spawn_local;

pub(crate) const ECHO: StreamProtocol = StreamProtocol::new("/lichen-interop/echo/1");
pub(crate) const DIGEST: StreamProtocol = StreamProtocol::new("/lichen-interop/digest/1");
pub(crate) const HANGUP: StreamProtocol = StreamProtocol::new("/lichen-interop/hangup/1");
pub(crate) const DISCARD: StreamProtocol = StreamProtocol::new("/lichen-interop/discard/1");
pub(crate) const RESET: StreamProtocol = StreamProtocol::new("/lichen-interop/reset/1");

thread_local! {
    /// Bytes that came after our own end in the last hang-up.
    pub(crate) static HUNG_UP: Cell<usize> = const { Cell::new(0) };
}

pub(crate) fn serve(streams: &mut libp2p_stream::Control) -> Result<(), libp2p_stream::AlreadyRegistered> {
    accept(streams, ECHO, echo)?;
    accept(streams, DIGEST, digest)?;
    accept(streams, HANGUP, hang_up)?;
    accept(streams, DISCARD, discard)?;
    accept(streams, RESET, reset)
}

fn accept<F: Future<Output = std::io::Result<()>> + 'static>(
    streams: &mut libp2p_stream::Control,
    protocol: StreamProtocol,
    answer: fn(Stream) -> F,
) -> Result<(), libp2p_stream::AlreadyRegistered> {
    let mut incoming = streams.accept(protocol)?;
    spawn_local(async move {
        while let Some((_, stream)) = incoming.next().await {
            let answering = answer(stream);
            spawn_local(async move {
                let _remote_gone = answering.await;
            });
        }
    });
    Ok(())
}

async fn echo(mut stream: Stream) -> std::io::Result<()> {
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await?;
    stream.write_all(&heard).await?;
    stream.close().await
}

async fn digest(mut stream: Stream) -> std::io::Result<()> {
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await?;
    stream.write_all(sha256(&heard).as_bytes()).await?;
    stream.close().await
}

async fn hang_up(mut stream: Stream) -> std::io::Result<()> {
    stream.write_all(b"bye").await?;
    stream.close().await?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await?;
    HUNG_UP.set(rest.len());
    Ok(())
}

/// Takes everything and says when all of it is here.
async fn discard(mut stream: Stream) -> std::io::Result<()> {
    let mut into = vec![0; 64 * 1024];
    while stream.read(&mut into).await? > 0 {}
    stream.write_all(b".").await?;
    stream.close().await
}

async fn reset(mut stream: Stream) -> std::io::Result<()> {
    stream.read_exact(&mut [0]).await?;
    drop(stream);
    Ok(())
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
