//! Honest tabs: some train, some append an entry each second and note how long it takes.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lichen_bridge::Event;
use lichen_net::hub::{Reply, Request};
use lichen_record::{CampaignId, Entry, SigningKey};

use crate::client::Client;
use crate::link;
use crate::network::Network;
use crate::tab::{Person, Tab};
use crate::target::Target;

/// Accounts that append an entry each second.
const PROBES: u8 = 5;

/// Time between two entries of a probe.
const BETWEEN: Duration = Duration::from_secs(1);

/// A probe's answer that has not come by then counts as one that took so long.
const TOO_LATE: Duration = Duration::from_secs(10);

/// All honest tabs of one relay.
pub(crate) struct Honest {
    nodes: Vec<Tab>,
    probes: Arc<Mutex<Probes>>,
    seen: Seen,
}

/// What was appended since the phase began.
#[derive(Default)]
struct Probes {
    latencies_ms: Vec<f64>,
    refused: u64,
}

/// What the nodes' events said since the phase began.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) first_round: Option<u64>,
    pub(crate) last_round: u64,
    /// Accuracy on the held-out data, 0 to 1, of the last settled checkpoint.
    pub(crate) accuracy: f64,
    /// The least of this phase.
    pub(crate) least_accuracy: f64,
}

/// What honest tabs had of a phase.
pub(crate) struct Felt {
    /// Milliseconds from sending an entry to its receipt, sorted.
    pub(crate) latencies_ms: Vec<f64>,
    /// Entries that the relay refused or did not answer.
    pub(crate) refused: u64,
    pub(crate) seen: Seen,
}

impl Honest {
    /// Starts nodes, and probes from an address of their own, and waits for the first settled rounds.
    pub(crate) async fn start(target: &Target, nodes: u8) -> Result<Self> {
        let network = Network::default();
        let mut tabs = Vec::new();
        for number in 1..=nodes {
            tabs.push(Tab::joined_in(&target.relay, &Person::new(number), &network).await);
        }
        let probes = Arc::new(Mutex::new(Probes::default()));
        let address = link::forward(Ipv4Addr::new(127, 0, 0, 2), &target.address, target.port).await?;
        for number in 0..PROBES {
            let client = Client::connect(&address).await?;
            let key = SigningKey::generate([100 + number; 32]);
            client.hello(&key).await?;
            tokio::spawn(probe(client, key, target.campaign, Arc::clone(&probes)));
        }
        let mut honest = Self { nodes: tabs, probes, seen: Seen::default() };
        let first = honest.nodes.first_mut().context("no node")?;
        first
            .until(
                "a good model",
                |event| matches!(event, Event::Evaluated { accuracy, .. } if *accuracy > 0.9),
            )
            .await;
        honest.begin();
        Ok(honest)
    }

    /// Begins a phase.
    pub(crate) fn begin(&mut self) {
        self.read();
        *self.probes.lock().unwrap_or_else(PoisonError::into_inner) = Probes::default();
        let accuracy = self.seen.accuracy;
        self.seen = Seen { accuracy, least_accuracy: 1.0, ..Seen::default() };
    }

    /// Lets the nodes train for this long.
    pub(crate) async fn go_on(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.read();
        }
    }

    /// What was felt since the phase began.
    pub(crate) fn felt(&mut self) -> Felt {
        self.read();
        let probes = std::mem::take(&mut *self.probes.lock().unwrap_or_else(PoisonError::into_inner));
        let mut latencies_ms = probes.latencies_ms;
        latencies_ms.sort_by(f64::total_cmp);
        Felt { latencies_ms, refused: probes.refused, seen: self.seen }
    }

    fn read(&mut self) {
        let Self { nodes, seen, .. } = self;
        for node in nodes {
            node.drain(|event| {
                if let Event::Evaluated { round: Some(round), accuracy, .. } = event
                    && *round > seen.last_round
                {
                    seen.first_round.get_or_insert(*round);
                    *seen = Seen {
                        last_round: *round,
                        accuracy: *accuracy,
                        least_accuracy: seen.least_accuracy.min(*accuracy),
                        ..*seen
                    };
                }
            });
        }
    }
}

impl Seen {
    /// Rounds that settled.
    pub(crate) fn rounds(&self) -> u64 {
        self.first_round.map_or(0, |first| self.last_round - first + 1)
    }
}

/// Joins and leaves in turn, which is always admissible, for ever.
async fn probe(
    client: Client,
    key: SigningKey,
    campaign: CampaignId,
    probes: Arc<Mutex<Probes>>,
) -> Result<()> {
    for sequence in 1.. {
        let entry = match sequence % 2 {
            1 => Entry::Joined { campaign, sequence },
            _ => Entry::Left { campaign, sequence },
        };
        let request = Request::Append { campaign, entry: key.sign(&entry)? }.to_bytes()?;
        let sent = Instant::now();
        let answer = tokio::time::timeout(TOO_LATE, client.ask(&request)).await;
        let is_appended = matches!(answer, Ok(Ok(Reply::Receipt { .. })));
        note(&probes, sent.elapsed(), is_appended);
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(())
}

fn note(probes: &Mutex<Probes>, took: Duration, is_appended: bool) {
    // Each change is one call: the lists are whole whatever happened to another task.
    let mut probes = probes.lock().unwrap_or_else(PoisonError::into_inner);
    probes.latencies_ms.push(took.as_secs_f64() * 1_000.0);
    probes.refused += u64::from(!is_appended);
}
