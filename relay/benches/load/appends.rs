//! How many entries a second come into the log: each signature checked, each entry admitted by the fold, chained,
//! on disk, and acknowledged by a signed receipt before its author sends the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lichen_net::hub::{Reply, Request};
use lichen_record::{CampaignId, Entry, SigningKey};
use tokio::sync::mpsc;

use crate::client::Client;
use crate::process::{Relay, processor_time};
use crate::report::{Rate, median_of};

/// Entries that each author has ready. A thread beside signs more as they are used up, so that they never run out; its time
/// is in that of the load.
const READY: usize = 64;

/// How long the signing thread rests when everybody has enough.
const SIGNING_PAUSE: Duration = Duration::from_millis(1);

const WARM_UP: Duration = Duration::from_secs(2);

pub(crate) async fn measure(cores: Option<&str>, authors: usize, time: Duration) -> Result<Rate> {
    let relay = Relay::start(cores).await?;
    eprintln!("appends: connecting {authors} tabs");
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
    let (mut signers, mut clients) = (Vec::new(), Vec::new());
    for (client, key) in tabs {
        let (sender, requests) = mpsc::channel(READY);
        signers.push(Author { key, campaign, sequence: 0, requests: sender });
        clients.push((client, requests));
    }
    std::thread::spawn(move || sign(signers));

    eprintln!("appends: measuring for {} s", time.as_secs());
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now() + WARM_UP;
    let authors: Vec<_> = clients
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

/// Who signs for one tab.
struct Author {
    key: SigningKey,
    campaign: CampaignId,
    sequence: u64,
    requests: mpsc::Sender<Vec<u8>>,
}

impl Author {
    /// The next entry. Joining and leaving in turn is always admissible.
    fn sign_next(&mut self) -> Result<Vec<u8>> {
        self.sequence += 1;
        let (campaign, sequence) = (self.campaign, self.sequence);
        let entry = if sequence % 2 == 1 {
            Entry::Joined { campaign, sequence }
        } else {
            Entry::Left { campaign, sequence }
        };
        Ok(Request::Append { campaign, entry: self.key.sign(&entry)? }.to_bytes()?)
    }
}

/// Signs for everybody in turn whatever they have room for, until nobody wants any more.
fn sign(mut authors: Vec<Author>) -> Result<()> {
    while !authors.is_empty() {
        let mut is_idle = true;
        for author in &mut authors {
            let room = author.requests.capacity();
            for _ in 0..room {
                let request = author.sign_next()?;
                // Whoever is done takes none.
                let _done = author.requests.try_send(request);
            }
            is_idle &= room == 0;
        }
        authors.retain(|author| !author.requests.is_closed());
        if is_idle {
            std::thread::sleep(SIGNING_PAUSE);
        }
    }
    Ok(())
}

/// Appends one entry after the other; returns how long those after `start` took, in milliseconds.
async fn append(
    client: Client,
    mut requests: mpsc::Receiver<Vec<u8>>,
    start: Instant,
    stop: Arc<AtomicBool>,
) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    while let Some(request) = requests.recv().await {
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
    bail!("nobody signs any more")
}
