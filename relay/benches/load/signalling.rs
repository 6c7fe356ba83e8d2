//! How many signalling sessions a second the relay's circuits carry: dial through the relay, Noise between the two
//! tabs, offer and answer, four candidates each way, and the circuit closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::AsyncWriteExt;
use lichen_net::swarm::frame;

use crate::client::{Client, DESCRIPTION, PATIENCE};
use crate::process::{Relay, processor_time};
use crate::report::{Rate, median_of};

const CANDIDATE: usize = 150;
const CANDIDATES: usize = 4;

const WARM_UP: Duration = Duration::from_secs(2);

/// Sessions of one caller before a fresh one takes its place, just under the relay's limit for one peer in a minute.
const PER_CALLER: u32 = 55;

pub(crate) async fn measure(cores: Option<&str>, pairs: usize, time: Duration) -> Result<Rate> {
    let relay = Relay::start(cores).await?;
    eprintln!("signalling: connecting {pairs} called tabs");
    let mut called = Vec::new();
    for _ in 0..pairs {
        let client = Client::connect(&relay.address).await?;
        client.reserve().await?;
        called.push(client);
    }
    eprintln!("signalling: measuring for {} s", time.as_secs());
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let start = Instant::now() + WARM_UP;
    let callers: Vec<_> = called
        .iter()
        .map(|called| {
            tokio::spawn(call(
                relay.address.clone(),
                called.clone(),
                start,
                Arc::clone(&stop),
                Arc::clone(&done),
            ))
        })
        .collect();
    tokio::time::sleep_until(start.into()).await;
    let (processor, first) = (relay.processor_time()?, done.load(Ordering::Relaxed));
    let load = processor_time(std::process::id())?;
    let began = Instant::now();
    tokio::time::sleep(time).await;
    let (used, last) = (relay.processor_time()? - processor, done.load(Ordering::Relaxed));
    let load = processor_time(std::process::id())? - load;
    let seconds = began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await??);
    }
    relay.end().await?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let sessions = (last - first) as f64;
    Ok(Rate {
        per_second: sessions / seconds,
        latency_ms: median_of(&mut latencies).context("no session came about")?,
        processor_ms: used.as_secs_f64() * 1_000.0 / sessions,
        load_ms: load.as_secs_f64() * 1_000.0 / sessions,
        batch: None,
    })
}

async fn call(
    relay: lichen_net::swarm::libp2p::Multiaddr,
    called: Client,
    start: Instant,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    loop {
        let caller = Client::connect(&relay).await?;
        for _ in 0..PER_CALLER {
            if stop.load(Ordering::Relaxed) {
                return Ok(latencies);
            }
            let began = Instant::now();
            signal(&caller, &called).await?;
            done.fetch_add(1, Ordering::Relaxed);
            if began >= start {
                latencies.push(began.elapsed().as_secs_f64() * 1_000.0);
            }
        }
    }
}

/// One session.
async fn signal(caller: &Client, called: &Client) -> Result<()> {
    let circuit = caller.dial(called.peer).await?;
    let mut stream = caller.open(called.peer, circuit).await?;
    for length in std::iter::once(DESCRIPTION).chain([CANDIDATE; CANDIDATES]) {
        frame::write(&mut stream, &vec![0; length], PATIENCE).await?;
        frame::read(&mut stream, 16 * 1024, PATIENCE).await?.context("the called tab hung up")?;
    }
    stream.close().await?;
    caller.close(circuit)
}
