//! Campaigns whose outer optimiser carries something over from round to round, by the hub and from tab to tab.

use lichen_bridge::Event;
use tokio::task::LocalSet;

use crate::network::Network;
use crate::relay;
use crate::tab::{Person, Tab};

const OUTER: (&str, &str) = ("[rounds]", "[outer]\noptimizer = \"nesterov\"\nmomentum = 0.5\n\n[rounds]");

/// Waits until the tab has measured what this round or a later one came to, and says which, and how well it does.
async fn measured(tab: &mut Tab, at_least: u64) -> (u64, f64) {
    let is_it =
        |event: &Event| matches!(event, Event::Evaluated { round: Some(round), .. } if *round >= at_least);
    match tab.until("its result", is_it).await {
        Event::Evaluated { round: Some(round), accuracy, .. } => (round, accuracy),
        other => panic!("{other:?}"),
    }
}

/// Several rounds settle, also with somebody who was not there when what is carried over began.
async fn rounds_go_on(topology: &str) {
    let topology = format!("topology = \"{topology}\"");
    let (relay, _folder) = relay(&[OUTER, ("topology = \"hub\"", &topology)]);
    LocalSet::new()
        .run_until(async {
            let network = Network::default();
            let mut first = Tab::joined_in(&relay, &Person::new(1), &network).await;
            let (round, _accuracy) = measured(&mut first, 2).await;
            let mut second = Tab::joined_in(&relay, &Person::new(2), &network).await;
            let both = |event: &Event| matches!(event, Event::Round { contributions: 2, settled: true, .. });
            second.until("a round of both", both).await;
            let (last, accuracy) = measured(&mut second, round + 3).await;
            assert!(accuracy > 0.8, "{accuracy} after round {last}");
            let set_aside = |event: &Event| matches!(event, Event::SetAside { .. });
            assert!(!first.seen(set_aside) && !second.seen(set_aside), "a round came to nothing");
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn the_outer_optimisers_state_goes_by_the_hub() {
    rounds_go_on("hub").await;
}

#[tokio::test(flavor = "current_thread")]
async fn the_outer_optimisers_state_goes_from_tab_to_tab() {
    rounds_go_on("mesh").await;
}
