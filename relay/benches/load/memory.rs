//! What a connected idle tab takes of the relay's memory: welcomed, following the log, and ready to be reached.

use std::time::Duration;

use anyhow::{Result, bail};
use futures::{StreamExt, stream};
use lichen_net::hub::Request;
use lichen_net::swarm::libp2p::swarm::Stream;
use lichen_record::SigningKey;

use crate::client::Client;
use crate::process::Relay;
use crate::report::{Memory, median_of};

/// Tabs that connect at the same time.
const AT_ONCE: usize = 64;

/// How long all of them stay before they are measured: each has been pinged by then.
const SETTLING: Duration = Duration::from_secs(20);

/// Looks at the memory, a second apart.
const LOOKS: u32 = 9;

pub(crate) async fn measure(cores: Option<&str>, connections: usize) -> Result<Memory> {
    let relay = Relay::start(cores).await?;
    let before = relay.memory()?;
    eprintln!("memory: connecting {connections} tabs");
    let tabs: Vec<Result<(Client, Stream)>> = stream::iter(0..connections)
        .map(|number| {
            let address = relay.address.clone();
            let campaign = relay.campaign;
            tokio::spawn(async move {
                let mut seed = [2; 32];
                seed.iter_mut().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
                let client = Client::connect(&address).await?;
                client.hello(&SigningKey::generate(seed)).await?;
                let follow = Request::Follow { campaign, from: 0 }.to_bytes()?;
                let stream = client.request(&follow).await?;
                client.reserve().await?;
                Ok((client, stream))
            })
        })
        .buffer_unordered(AT_ONCE)
        .map(|joined| joined?)
        .collect()
        .await;
    let tabs = tabs.into_iter().collect::<Result<Vec<_>>>()?;
    tokio::time::sleep(SETTLING).await;
    let mut looks = Vec::new();
    for _ in 0..LOOKS {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        looks.push(relay.memory()? as f64);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let connected = relay.metric("lichen_peers").await?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    if connected < tabs.len() as f64 {
        bail!("only {connected} of {} tabs stayed connected", tabs.len());
    }
    let after = median_of(&mut looks).unwrap_or_default();
    relay.end().await?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(Memory { connections, before: before as f64, after })
}
