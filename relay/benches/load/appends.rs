//! How many entries a second come into the log: each signature checked, each entry admitted by the fold, chained,
//! on disk, and acknowledged by a signed receipt before its author sends the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use lichen_net::hub::{Reply, Request};
use lichen_record::{CampaignId, Entry, SigningKey};

use crate::client::Client;
use crate::process::{Relay, processor_time};
use crate::report::{Rate, median_of};

/// Entries signed beforehand for each second, so that signing is not measured; more are not expected.
const SIGNED_A_SECOND: u64 = 6_000;

const WARM_UP: Duration = Duration::from_secs(2);

pub(crate) async fn measure(cores: Option<&str>, authors: usize, time: Duration) -> Result<Rate> {
    let relay = Relay::start(cores).await?;
    let each = usize::try_from(SIGNED_A_SECOND * (time + WARM_UP).as_secs())? / authors.max(1) + 1;
    eprintln!("appends: {authors} tabs sign {each} entries each");
    let mut tabs = Vec::new();
    for number in 0..authors {
        let mut seed = [1; 32];
        seed.iter_mut().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
        let key = SigningKey::generate(seed);
        let client = Client::connect(&relay.address).await?;
        client.hello(&key).await?;
        tabs.push((client, key));
    }
    let campaign = relay.campaign;
    let signing = tabs.into_iter().map(async |(client, key)| -> Result<_> {
        let requests = tokio::task::spawn_blocking(move || requests(&key, campaign, each)).await??;
        Ok((client, requests))
    });
    let tabs = try_join_all(signing).await?;

    eprintln!("appends: measuring for {} s", time.as_secs());
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now() + WARM_UP;
    let authors: Vec<_> = tabs
        .into_iter()
        .map(|(client, requests)| tokio::spawn(append(client, requests, start, Arc::clone(&stop))))
        .collect();
    tokio::time::sleep_until(start.into()).await;
    let before = Sample::take(&relay).await?;
    tokio::time::sleep(time).await;
    let after = Sample::take(&relay).await?;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for author in authors {
        latencies.extend(author.await??);
    }
    let length = relay.metric("lichen_log_length").await?;
    if length < after.entries {
        bail!("the log is shorter than it was");
    }
    relay.end().await?;
    let seconds = (after.at - before.at).as_secs_f64();
    let done = after.entries - before.entries;
    Ok(Rate {
        per_second: done / seconds,
        latency_ms: median_of(&mut latencies).context("nothing was appended")?,
        processor_ms: (after.processor - before.processor).as_secs_f64() * 1_000.0 / done,
        load_ms: (after.load - before.load).as_secs_f64() * 1_000.0 / done,
        batch: Some(done / (after.batches - before.batches)),
    })
}

/// Where the relay stands.
struct Sample {
    at: Instant,
    processor: Duration,
    load: Duration,
    entries: f64,
    batches: f64,
}

impl Sample {
    async fn take(relay: &Relay) -> Result<Self> {
        Ok(Self {
            entries: relay.metric("lichen_log_length").await?,
            batches: relay.metric("lichen_append_seconds_count").await?,
            processor: relay.processor_time()?,
            load: processor_time(std::process::id())?,
            at: Instant::now(),
        })
    }
}

/// Joining and leaving in turn, which is always admissible.
fn requests(key: &SigningKey, campaign: CampaignId, count: usize) -> Result<Vec<Vec<u8>>> {
    let request = |sequence: u64| -> Result<Vec<u8>> {
        let entry = if sequence % 2 == 1 {
            Entry::Joined { campaign, sequence }
        } else {
            Entry::Left { campaign, sequence }
        };
        Ok(Request::Append { campaign, entry: key.sign(&entry)? }.to_bytes()?)
    };
    (1..=count as u64).map(request).collect()
}

/// Appends one entry after the other; returns how long those after `start` took, in milliseconds.
async fn append(
    client: Client,
    requests: Vec<Vec<u8>>,
    start: Instant,
    stop: Arc<AtomicBool>,
) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    for request in requests {
        if stop.load(Ordering::Relaxed) {
            return Ok(latencies);
        }
        let sent = Instant::now();
        match client.ask(&request).await? {
            Reply::Receipt { .. } => {}
            other => bail!("not appended: {other:?}"),
        }
        if sent >= start {
            latencies.push(sent.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    bail!("the entries ran out: measure for a shorter time or with more authors")
}
