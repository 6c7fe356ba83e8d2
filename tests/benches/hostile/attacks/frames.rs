//! Frames that are announced large and sent slowly.

use std::time::Duration;

use anyhow::Result;
use futures::AsyncWriteExt;
use futures::future::join_all;
use lichen_net::hub::Request;

use crate::attacker::Attacker;

/// Frames announced by each connection.
const FRAMES: usize = 8;

/// Connections.
const CONNECTIONS: usize = 4;

/// Bytes announced.
const ANNOUNCED: u32 = 60 * 1024 * 1024;

/// Connections that send ahead, streams of each, and bytes on each stream: what the protocol lets anybody send before the
/// relay has read any of it.
const SENDERS: usize = 64;
const STREAMS: usize = 60;
const WINDOW: usize = 256 * 1024;

/// Bytes announced there: an account may announce so many blobs at once.
const BLOB: usize = 2 * 1024 * 1024;

/// Announces frames and sends a byte of each every second.
pub(crate) async fn slow(attacker: Attacker) -> Result<()> {
    let announce = async || -> Result<()> {
        let (client, _key) = attacker.client().await?;
        let opened = join_all((0..FRAMES).map(|_| client.hub_stream())).await;
        let mut streams: Vec<_> = opened.into_iter().flatten().collect();
        for stream in &mut streams {
            let announced = stream.write_all(&ANNOUNCED.to_be_bytes()).await;
            attacker.count(announced.is_ok());
        }
        while attacker.is_on() {
            for stream in &mut streams {
                stream.write_all(&[0]).await?;
                stream.flush().await?;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    };
    while attacker.is_on() {
        join_all((0..CONNECTIONS).map(|_| announce())).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Fills what streams may send ahead, and sends no more. Connections that the relay ends are opened anew.
pub(crate) async fn windows(attacker: Attacker) -> Result<()> {
    join_all((0..SENDERS).map(async |_| {
        while attacker.is_on() {
            if fill(&attacker).await.is_err() {
                attacker.count(false);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }))
    .await;
    Ok(())
}

async fn fill(attacker: &Attacker) -> Result<()> {
    let (client, _key) = attacker.client().await?;
    let opened = join_all((0..STREAMS).map(|_| client.hub_stream())).await;
    let mut streams = opened.into_iter().collect::<Result<Vec<_>>>()?;
    let frame = Request::PutBlob { bytes: vec![0; BLOB] }.to_bytes()?;
    let mut ahead = [&u32::try_from(frame.len())?.to_be_bytes()[..], &frame].concat();
    // What it takes to agree on the protocol comes before.
    ahead.truncate(WINDOW - 128);
    let written = join_all(streams.iter_mut().map(async |stream| {
        let written = async { stream.write_all(&ahead).await.is_ok() && stream.flush().await.is_ok() };
        let is_written = tokio::time::timeout(Duration::from_secs(5), written).await.unwrap_or(false);
        attacker.count(is_written);
        is_written
    }))
    .await;
    // Held until the attack ends, or until the relay has closed all of it.
    while attacker.is_on() && written.contains(&true) && client.hub_stream().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
