//! Tabs that take turns, where the manifest lets fewer train in a round than are there.

use std::cell::RefCell;
use std::collections::BTreeSet;

use lichen_bridge::{ContributionState, Event, Phase};
use tokio::task::LocalSet;

use crate::network::Network;
use crate::relay;
use crate::tab::{Person, Tab};

/// One of those who have contributed trains in a round, and one who is new.
const COHORT: (&str, &str) = ("quorum = 2", "quorum = 1\ncohort = 1");

/// Rounds in which each tab is to have trained.
const TURNS: usize = 2;

/// What a tab did.
#[derive(Default)]
struct Turns {
    recorded: BTreeSet<u64>,
    waited: BTreeSet<u64>,
}

impl Turns {
    fn of(tab: &mut Tab) -> Self {
        let turns = RefCell::new(Self::default());
        tab.seen(|event| {
            let mut turns = turns.borrow_mut();
            match event {
                Event::Contribution(contribution) => {
                    assert!(
                        !matches!(contribution.state, ContributionState::Refused { .. }),
                        "{contribution:?}"
                    );
                    if matches!(contribution.state, ContributionState::Recorded { .. }) {
                        turns.recorded.insert(contribution.round);
                    }
                }
                Event::Status(Phase::WaitingForTurn { round, drawn: 1.., members: 1..=3 }) => {
                    turns.waited.insert(*round);
                }
                _ => {}
            }
            false
        });
        turns.into_inner()
    }
}

async fn three_take_turns(changes: &[(&str, &str)]) {
    let (relay, _folder) = relay(changes);
    let network = Network::default();
    let mut tabs = Vec::new();
    for number in 1..=3 {
        tabs.push(Tab::joined_in(&relay, &Person::new(number), &network).await);
    }
    for tab in &mut tabs {
        for _turn in 0..TURNS {
            let is_recorded = |event: &Event| matches!(event, Event::Contribution(contribution) if matches!(contribution.state, ContributionState::Recorded { .. }));
            tab.until("a turn", is_recorded).await;
        }
        tab.until("somebody else's turn", |event| {
            matches!(event, Event::Status(Phase::WaitingForTurn { .. }))
        })
        .await;
    }
    for tab in &mut tabs {
        let turns = Turns::of(tab);
        assert!(turns.recorded.len() >= TURNS, "{:?}", turns.recorded);
        let idle: Vec<_> = turns.waited.difference(&turns.recorded).collect();
        assert!(!idle.is_empty(), "it waited for a turn in no round");
        assert!(turns.waited.is_disjoint(&turns.recorded), "{:?} {:?}", turns.waited, turns.recorded);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn three_tabs_take_turns() {
    LocalSet::new().run_until(three_take_turns(&[COHORT])).await;
}

#[tokio::test(flavor = "current_thread")]
async fn in_a_mesh_three_tabs_take_turns() {
    let mesh = ("topology = \"hub\"", "topology = \"mesh\"");
    LocalSet::new().run_until(three_take_turns(&[mesh, COHORT])).await;
}
