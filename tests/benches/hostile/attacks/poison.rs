//! Contributions that would spoil the model, or hold it where it is.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::join_all;
use lichen_learn::Update;
use lichen_net::MAX_FRAME;
use lichen_net::hub::Records;
use lichen_record::{Cid, Entry, Metrics, RoundNumber, SigningKey, decode, verify};
use lichen_testkit::http;

use crate::attacker::Attacker;
use crate::client::Client;

/// Parameters of the digits model.
const PARAMETERS: usize = 64 * 32 + 32 + 32 * 10 + 10;

/// Samples of a shard, which is the weight of an update.
const SAMPLES: u32 = 480;

/// How long a page of the log may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Accounts that spoil.
const SPOILERS: usize = 5;

/// Accounts that change nothing.
const IDLERS: usize = 100;

/// By how much each parameter is moved, in turn.
const STEPS: [f32; 6] = [f32::MAX, -f32::MAX, 1e6, -1e6, 10.0, -10.0];

/// Moves every parameter far.
pub(crate) async fn poison(attacker: Attacker) -> Result<()> {
    contribute(attacker, SPOILERS, |round| {
        let at = usize::try_from(round.0).unwrap_or_default() % STEPS.len();
        STEPS.get(at).copied().unwrap_or(f32::MAX)
    })
    .await
}

/// Contributes zeroes.
pub(crate) async fn idle(attacker: Attacker) -> Result<()> {
    contribute(attacker, IDLERS, |_round| 0.0).await
}

/// Has so many accounts contribute the same to every round that opens.
async fn contribute(attacker: Attacker, accounts: usize, step: impl Fn(RoundNumber) -> f32) -> Result<()> {
    let clients = join_all((0..accounts).map(|_| joined(&attacker))).await;
    let members: Vec<(Client, SigningKey)> = clients.into_iter().flatten().collect();
    attacker.count(!members.is_empty());
    let mut log = Log { from: 0, open: None };
    while attacker.is_on() {
        log.read(&attacker).await?;
        if let Some((round, base)) = log.open.take() {
            let update = Update::new(vec![step(round); PARAMETERS])?.encode()?;
            join_all(members.iter().map(|member| submit(&attacker, member, round, base, &update))).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn joined(attacker: &Attacker) -> Result<(Client, SigningKey)> {
    let (client, key) = attacker.client().await?;
    let entry = Entry::Joined { campaign: attacker.campaign, sequence: 1 };
    attacker.append(&client, &key, &entry).await?;
    Ok((client, key))
}

async fn submit(
    attacker: &Attacker,
    (client, key): &(Client, SigningKey),
    round: RoundNumber,
    base: Cid,
    update: &[u8],
) -> Result<()> {
    attacker.put(client, update.to_vec()).await?;
    let (campaign, update) = (attacker.campaign, Cid::of_raw(update));
    let metrics = Metrics::new(0.01, 1.0, 60)?;
    let entry = Entry::Contribution {
        campaign,
        round,
        base,
        update,
        samples: SAMPLES,
        metrics,
        engine: None,
        trace: None,
    };
    attacker.count(attacker.append(client, key, &entry).await?);
    Ok(())
}

/// What the attacker knows of the log.
struct Log {
    from: u64,
    open: Option<(RoundNumber, Cid)>,
}

impl Log {
    async fn read(&mut self, attacker: &Attacker) -> Result<()> {
        loop {
            let (port, campaign) = (attacker.port, attacker.campaign);
            let url = format!("http://127.0.0.1:{port}/log/{campaign}?from={}", self.from);
            let asked = tokio::task::spawn_blocking(move || http::get(&url, &[], PATIENCE));
            // A relay under attack may refuse.
            let Ok(answer) = asked.await? else { return Ok(()) };
            let Ok(page) = decode::<Records>(&answer.body, MAX_FRAME) else { return Ok(()) };
            if page.records.is_empty() {
                return Ok(());
            }
            for record in &page.records {
                let entry = verify::<Entry>(&record.entry).ok().context("a record that does not verify")?;
                match entry.get() {
                    Entry::RoundOpened { round, base, .. } => self.open = Some((*round, *base)),
                    Entry::RoundClosed { .. } => self.open = None,
                    _ => {}
                }
            }
            self.from += page.records.len() as u64;
        }
    }
}
