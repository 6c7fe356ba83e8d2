//! Answers that are asked for and not read.

use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use lichen_net::hub::Request;
use lichen_record::Cid;
use tokio::io::AsyncWriteExt;

use crate::attacker::Attacker;
use crate::client::Client;
use crate::link;

/// Answers asked for at the same time.
const UNREAD: usize = 80;

/// Streams that follow the log.
const FOLLOWERS: usize = 2_400;

/// Streams that one connection asks for.
const STREAMS: usize = 60;

/// How long one size may take to be stored.
const PUT_PATIENCE: Duration = Duration::from_secs(2);

/// Sizes of the blob that is tried to be stored first: the largest that the relay takes is asked for.
const SIZES: [usize; 4] = [64 << 20, 16 << 20, 4 << 20, 1 << 20];

/// Blobs by HTTP.
pub(crate) async fn http(attacker: Attacker) -> Result<()> {
    let cid = large_blob(&attacker).await?;
    let ask = async || -> Result<_> {
        let mut socket = link::connect(attacker.from(), attacker.port).await?;
        let request = format!("GET /blob/{cid} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", attacker.port);
        socket.write_all(request.as_bytes()).await?;
        // Answered where something can be read, of which nothing is.
        let answered = tokio::time::timeout(Duration::from_secs(2), socket.readable()).await;
        attacker.count(matches!(answered, Ok(Ok(()))));
        Ok(socket)
    };
    hold(&attacker, join_all((0..UNREAD).map(|_| ask())).await).await;
    Ok(())
}

/// Blobs by libp2p, without saying who asks.
pub(crate) async fn blobs(attacker: Attacker) -> Result<()> {
    let cid = large_blob(&attacker).await?;
    let request = Request::GetBlob { cid }.to_bytes()?;
    let client = Client::connect(&attacker.address).await?;
    let ask = async || -> Result<_> {
        let stream = client.request(&request).await;
        attacker.count(stream.is_ok());
        stream
    };
    hold(&attacker, join_all((0..UNREAD).map(|_| ask())).await).await;
    Ok(())
}

/// The log by libp2p, from its first record, over and over.
pub(crate) async fn followers(attacker: Attacker) -> Result<()> {
    let request = Request::Follow { campaign: attacker.campaign, from: 0 }.to_bytes()?;
    let follow = async || -> Result<_> {
        let (client, _key) = attacker.client().await?;
        let streams = join_all((0..STREAMS).map(|_| client.request(&request))).await;
        streams.iter().for_each(|stream| attacker.count(stream.is_ok()));
        Ok((client, streams))
    };
    hold(&attacker, join_all((0..FOLLOWERS / STREAMS).map(|_| follow())).await).await;
    Ok(())
}

/// Keeps what there is until the attack ends.
async fn hold<T>(attacker: &Attacker, held: T) {
    tokio::time::sleep_until(attacker.end.into()).await;
    drop(held);
}

/// Stores the largest blob that the relay takes of a new account.
async fn large_blob(attacker: &Attacker) -> Result<Cid> {
    for size in SIZES {
        let (client, key) = attacker.client().await?;
        let mut bytes = vec![0; size];
        bytes.iter_mut().zip(key.account().to_string().bytes()).for_each(|(to, from)| *to = from);
        let cid = Cid::of_raw(&bytes);
        // A relay reads what it refuses slowly, to its end: the next size is tried long before.
        let put = tokio::time::timeout(PUT_PATIENCE, attacker.put(&client, bytes)).await;
        if matches!(put, Ok(Ok(None))) {
            return Ok(cid);
        }
    }
    // Then the manifest must do, which every relay has.
    Ok(attacker.campaign.0)
}
