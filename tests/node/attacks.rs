//! What one free account can do to a campaign by its updates: nothing that lasts.

use lichen_bridge::Event;
use lichen_learn::Update;
use lichen_net::hub::Reason;
use lichen_testkit::RelayProcess;
use tokio::task::LocalSet;

use crate::network::Network;
use crate::relay;
use crate::tab::{Person, Tab};
use lichen_tests::attacker::Attacker;

const PARAMETERS: usize = 64 * 32 + 32 + 32 * 10 + 10;
/// Accuracy from which the model is worth attacking.
const LEARNED: f64 = 0.9;
/// What a few rounds more or less change by themselves.
const WAVERING: f64 = 0.04;

/// Rounds in quick succession, which wait for an attacker no longer than they have to.
const QUICK: [(&str, &str); 2] =
    [("interval_seconds = 1.5", "interval_seconds = 0.3"), ("deadline_seconds = 10", "deadline_seconds = 3")];

/// A bound that bounds nothing, so that the guard alone is left.
const WIDE: (&str, &str) = ("[rounds]", "[update]\nmax_norm = 1e12\n[rounds]");

/// So much for every parameter, with signs that come and go.
fn hostile(value: f32) -> Vec<u8> {
    let sign = |index: usize| if (index * 2_654_435_761) & 64 == 0 { value } else { -value };
    Update::new((0..PARAMETERS).map(sign).collect()).unwrap().encode().unwrap()
}

/// The tab's next evaluation of a later round than this one, with at least this accuracy.
async fn better_than(tab: &mut Tab, after: u64, least: f64) -> (u64, f64) {
    let is_it = |event: &Event| matches!(event, Event::Evaluated { round: Some(round), accuracy, .. } if *round > after && *accuracy >= least);
    let found = tab.until("a good checkpoint", is_it).await;
    let Event::Evaluated { round: Some(round), accuracy, .. } = found else { unreachable!() };
    (round, accuracy)
}

async fn rejected(relay: &RelayProcess) -> u64 {
    let rejected = relay.metrics().unwrap()["lichen_rounds_rejected_total"];
    format!("{rejected:.0}").parse().unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn in_a_hub_the_door_refuses_what_is_too_long() {
    let (relay, _folder) = relay(&QUICK);
    LocalSet::new()
        .run_until(async {
            let mut tab = Tab::joined(&relay, &Person::new(1)).await;
            let (_round, before) = better_than(&mut tab, 0, LEARNED).await;
            let mut attacker = Attacker::join(&relay.url(), 2).await;
            for value in [f32::MAX, f32::MIN, 1e6, -1e6, 10.0, -10.0] {
                let all_the_same = Update::new(vec![value; PARAMETERS]).unwrap().encode().unwrap();
                for update in [all_the_same, hostile(value)] {
                    assert_eq!(attacker.contribute(update).await, Err(Reason::UpdateTooLong), "{value}");
                }
            }
            // The attacker itself is waited for once: rounds go on.
            let (round, _) = better_than(&mut tab, 0, before - WAVERING).await;
            better_than(&mut tab, round, before - WAVERING).await;
            assert_eq!(rejected(&relay).await, 0);
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn in_a_hub_what_would_spoil_the_model_is_set_aside() {
    let (relay, _folder) = relay(&[&QUICK[..], &[WIDE]].concat());
    LocalSet::new()
        .run_until(async {
            let mut tab = Tab::joined(&relay, &Person::new(1)).await;
            let (_round, before) = better_than(&mut tab, 0, LEARNED).await;
            let mut attacker = Attacker::join(&relay.url(), 2).await;
            for value in [1e9, -1e6, 10.0] {
                let attacked = attacker.contribute(hostile(value)).await.unwrap();
                let is_told =
                    |event: &Event| matches!(event, Event::SetAside { round, .. } if *round == attacked.0);
                let told = tab.until("the round to be set aside", is_told).await;
                let Event::SetAside { would_be: Some(would_be), stays: Some(stays), .. } = told else {
                    panic!("{told:?}")
                };
                assert!(would_be < 0.5 && stays >= before - WAVERING, "{told:?}");
                better_than(&mut tab, attacked.0, before - WAVERING).await;
            }
            assert_eq!(rejected(&relay).await, 3);
        })
        .await;
}

/// Rounds of two honest tabs and an attacker in a mesh, where nobody stands at a door; whether they were set aside.
async fn attack_mesh(changes: &[(&str, &str)], values: &[f32]) -> bool {
    let mesh = ("topology = \"hub\"", "topology = \"mesh\"");
    let (relay, _folder) = relay(&[&[mesh], changes].concat());
    LocalSet::new()
        .run_until(async {
            let network = Network::default();
            let mut tab = Tab::joined_in(&relay, &Person::new(1), &network).await;
            let _other = Tab::joined_in(&relay, &Person::new(3), &network).await;
            let (_round, before) = better_than(&mut tab, 0, LEARNED).await;
            let mut attacker = Attacker::join(&relay.url(), 2).await;
            for value in values {
                let attacked = attacker.contribute(hostile(*value)).await.unwrap();
                better_than(&mut tab, attacked.0, before - WAVERING).await;
            }
            tab.seen(|event| matches!(event, Event::SetAside { .. }))
        })
        .await
}

#[tokio::test(flavor = "current_thread")]
async fn in_a_mesh_everybody_leaves_out_what_is_too_long() {
    assert!(!attack_mesh(&[], &[f32::MAX, 1e6, -10.0]).await);
}

#[tokio::test(flavor = "current_thread")]
async fn in_a_mesh_everybody_sets_aside_what_would_spoil_the_model() {
    assert!(attack_mesh(&[WIDE], &[-1e9, 10.0]).await);
}
