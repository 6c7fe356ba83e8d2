//! Nodes that train before a real relay.

use std::fmt;

use anyhow::{Context, Result};
use lichen_bridge::Event;
use lichen_testkit::{RelayOptions, RelayProcess, campaign, http};

use crate::network::Network;
use crate::setup::Setup;
use crate::tab::{Person, Tab};

/// What tabs moved in a round.
pub(crate) struct Moved {
    pub(crate) down: Bytes,
    pub(crate) up: Bytes,
}

/// Bytes by tab and round.
pub(crate) struct Bytes {
    mean: u64,
    most: u64,
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.mean, self.most)
    }
}

impl Bytes {
    fn of(tabs: &[u64], rounds: u64) -> Self {
        let by_round = |bytes: u64| bytes / rounds.max(1);
        let mean = by_round(tabs.iter().sum::<u64>() / (tabs.len() as u64).max(1));
        Self { mean, most: by_round(tabs.iter().copied().max().unwrap_or(0)) }
    }
}

/// Counts from the first round that all members are in.
pub(crate) async fn measure(setup: &Setup, members: u8, rounds: u64) -> Result<Moved> {
    let folder = tempfile::tempdir()?;
    let changes: Vec<_> = setup.changes.iter().map(|(from, to)| (*from, to.as_str())).collect();
    campaign::write_changed(&folder.path().join("campaign"), &changes)?;
    let relay = RelayProcess::start(RelayOptions {
        program: std::env::var_os("LICHEN_RELAY_BIN").context("run by `cargo xtask bench bytes`")?.into(),
        port: http::free_port()?,
        data: folder.path().join("data"),
        page: None,
        campaign: Some(folder.path().join("campaign")),
        log: Some(folder.path().join("relay.log")),
    })?;
    let network = Network::default();
    let mut tabs = Vec::new();
    for number in 1..=members {
        tabs.push(Tab::joined_in(&relay, &Person::new(number), &network).await);
    }
    let all = u32::from(members);
    let mut first = 0;
    for tab in &mut tabs {
        let of_all = |event: &Event| matches!(event, Event::Round { contributions, settled: true, .. } if *contributions == all);
        if let Event::Round { number, .. } = tab.until("a round of all", of_all).await {
            first = first.max(number);
        }
    }
    // All that belongs to a round has moved when the next one has settled.
    until(&mut tabs, first + 1).await;
    let before: Vec<_> = tabs.iter().map(Tab::traffic).collect();
    until(&mut tabs, first + 1 + rounds).await;
    let moved = tabs.iter().map(Tab::traffic).zip(before);
    let (down, up): (Vec<_>, Vec<_>) =
        moved.map(|(after, before)| (after.0 - before.0, after.1 - before.1)).unzip();
    Ok(Moved { down: Bytes::of(&down, rounds), up: Bytes::of(&up, rounds) })
}

async fn until(tabs: &mut [Tab], round: u64) {
    for tab in tabs {
        let is_evaluated =
            |event: &Event| matches!(event, Event::Evaluated { round: Some(of), .. } if *of >= round);
        tab.until("a result", is_evaluated).await;
    }
}
