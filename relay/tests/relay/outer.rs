//! Campaigns whose outer optimiser carries something over from round to round.

use lichen_campaign::{Momentum, OuterOptimizer};
use lichen_learn::outer_step;
use lichen_model::Parameters;
use lichen_net::hub::Reason;
use lichen_record::{Cid, Entry, RoundNumber};
use lichen_round::Refusal;
use tempfile::TempDir;

use crate::campaign::{contribute, join_and_wait_for_round, wait_for_round};
use crate::process::Relay;
use crate::tab::{Tab, refused};

/// A relay of the digits campaign with momentum, in this topology.
async fn start(topology: &str) -> (Relay, TempDir) {
    let folder = TempDir::new().unwrap();
    let outer = "[outer]\noptimizer = \"momentum\"\n\n[rounds]";
    let topology = format!("topology = \"{topology}\"");
    let changes = [("[rounds]", outer), ("topology = \"hub\"", topology.as_str())];
    lichen_testkit::campaign::write_changed(folder.path(), &changes).unwrap();
    (Relay::start_with(&["--campaign", folder.path().to_str().unwrap()]).await, folder)
}

/// What an update of so much for every parameter makes of the base, and what is carried over.
async fn stepped(tab: &Tab, base: Cid, step: f32) -> (Vec<u8>, Vec<u8>) {
    let outer = OuterOptimizer::Momentum(Momentum { rate: 1.0, momentum: 0.5 });
    let base = Parameters::from_safetensors(&tab.get(base).await).unwrap();
    let change = vec![f64::from(step); base.elements()];
    let (result, state) = outer_step(&outer, &base, &change, None).unwrap();
    (result.to_safetensors(), state.unwrap().encode().unwrap())
}

async fn until_closed(tab: &Tab) {
    tab.follow_until(|entry| matches!(entry, Entry::RoundClosed { .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_mesh_the_state_is_at_the_relay_before_it_is_attested() {
    let (relay, _folder) = start("mesh").await;
    let tab = Tab::start(&relay, 1).await;
    let (round, base) = join_and_wait_for_round(&tab).await;
    contribute(&tab, (round, base), 0.01).await;
    until_closed(&tab).await;
    let (checkpoint, bytes) = stepped(&tab, base, 0.01).await;
    let (result, state) = (Cid::of_raw(&checkpoint), Some(Cid::of_raw(&bytes)));
    let campaign = tab.campaign;
    let attest =
        |state| Entry::Attestation { campaign, round, base, result, excluded: 0, state, difference: None };
    let without = refused(&tab.append(&attest(None)).await);
    assert_eq!(without, Reason::Inadmissible(Refusal::WrongState));
    tab.put(checkpoint).await;
    assert_eq!(refused(&tab.append(&attest(state)).await), Reason::CheckpointMissing);
    tab.put(bytes.clone()).await;
    tab.append_well(&attest(state)).await;
    assert_eq!(wait_for_round(&tab, round.next()).await.1, result);
    assert_eq!(tab.get(Cid::of_raw(&bytes)).await, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_hub_the_coordinator_attests_the_state_and_serves_it() {
    let (relay, _folder) = start("hub").await;
    let tab = Tab::start(&relay, 1).await;
    let (round, base) = join_and_wait_for_round(&tab).await;
    contribute(&tab, (round, base), 0.01).await;
    until_closed(&tab).await;
    let (checkpoint, bytes) = stepped(&tab, base, 0.01).await;
    let (result, state) = (Cid::of_raw(&checkpoint), Some(Cid::of_raw(&bytes)));
    let campaign = tab.campaign;
    tab.append_well(&Entry::Attestation {
        campaign,
        round,
        base,
        result,
        excluded: 0,
        state,
        difference: None,
    })
    .await;
    let next = wait_for_round(&tab, RoundNumber(2)).await;
    assert_eq!(next, (RoundNumber(2), result));
    assert_eq!(tab.get(Cid::of_raw(&bytes)).await, bytes, "it came from the coordinator");
}
