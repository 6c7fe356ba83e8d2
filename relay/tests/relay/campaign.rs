//! What a tab of the embedded campaign contributes.

use lichen_learn::{Update, aggregate_checkpoint};
use lichen_record::{Cid, Entry, Metrics, RoundNumber};
use tempfile::TempDir;

use crate::process::Relay;
use crate::tab::Tab;

/// What a manifest's `topology` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    Hub,
    Mesh,
}

/// What has to hold whichever way updates go and whoever settles.
pub(crate) const BOTH: [Topology; 2] = [Topology::Hub, Topology::Mesh];

/// A relay of the digits campaign in this topology, with further options.
pub(crate) async fn start(topology: Topology, options: &[&str]) -> (Relay, TempDir) {
    let folder = match topology {
        // The same in other quotes: a folder of its own, as for a mesh.
        Topology::Hub => changed("topology = \"hub\"", "topology = 'hub'"),
        Topology::Mesh => changed("topology = \"hub\"", "topology = \"mesh\""),
    };
    let campaign = folder.path().to_str().unwrap();
    (Relay::start_with(&[&["--campaign", campaign], options].concat()).await, folder)
}

/// Parameters of the digits model.
pub(crate) const PARAMETERS: usize = 64 * 32 + 32 + 32 * 10 + 10;

/// An update that moves every parameter by this much.
pub(crate) fn update(step: f32) -> Vec<u8> {
    Update::new(vec![step; PARAMETERS]).unwrap().encode().unwrap()
}

pub(crate) fn contribution(tab: &Tab, round: RoundNumber, base: Cid, update: Cid) -> Entry {
    let metrics = Metrics::new(0.5, 0.9, 60).unwrap();
    Entry::Contribution {
        campaign: tab.campaign,
        round,
        base,
        update,
        samples: 480,
        metrics,
        engine: None,
        trace: None,
    }
}

/// Contributes to a round an update that moves every parameter by this much, and returns it.
pub(crate) async fn contribute(tab: &Tab, (round, base): (RoundNumber, Cid), step: f32) -> Vec<u8> {
    let bytes = update(step);
    let cid = tab.put(bytes.clone()).await;
    tab.append_well(&contribution(tab, round, base, cid)).await;
    bytes
}

/// Attests what comes of these updates once the round is closed, and returns that checkpoint.
pub(crate) async fn attest(
    tab: &Tab,
    (round, base): (RoundNumber, Cid),
    updates: &[Vec<u8>],
) -> (Cid, Vec<u8>) {
    tab.follow_until(|entry| matches!(entry, Entry::RoundClosed { round: closed, .. } if *closed == round))
        .await;
    let accepted: Vec<_> = updates.iter().map(|update| (480, update.clone())).collect();
    let (result, checkpoint) = aggregate_checkpoint(&tab.get(base).await, &accepted, 100.0).unwrap();
    let campaign = tab.campaign;
    tab.append_well(&Entry::Attestation {
        campaign,
        round,
        base,
        result,
        excluded: 0,
        state: None,
        difference: None,
    })
    .await;
    (result, checkpoint)
}

/// Takes part in a round as its only contributor, and returns the checkpoint that it settles on.
pub(crate) async fn take_part(tab: &Tab, round: (RoundNumber, Cid), step: f32) -> (Cid, Vec<u8>) {
    let update = contribute(tab, round, step).await;
    attest(tab, round, &[update]).await
}

/// Joins and waits for the round that opens because of it.
pub(crate) async fn join_and_wait_for_round(tab: &Tab) -> (RoundNumber, Cid) {
    tab.join(1).await;
    wait_for_round(tab, RoundNumber::FIRST).await
}

pub(crate) async fn wait_for_round(tab: &Tab, number: RoundNumber) -> (RoundNumber, Cid) {
    let is_it = |entry: &Entry| matches!(entry, Entry::RoundOpened { round, .. } if *round == number);
    match tab.follow_until(is_it).await.1 {
        Entry::RoundOpened { round, base, .. } => (round, base),
        other => panic!("{other:?}"),
    }
}

/// A folder with the digits campaign, and another text in place of one of its manifest's.
pub(crate) fn changed(from: &str, to: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    lichen_testkit::campaign::write_changed(folder.path(), &[(from, to)]).unwrap();
    folder
}
