//! A tab on a slow device beside one on a fast device, where each trains for as long as it has time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use lichen_bridge::{Event, Phase};
use lichen_record::Cid;
use tokio::task::LocalSet;

use crate::network::Network;
use crate::relay;
use crate::tab::{Person, Tab};

/// Half a second of training, of which the fast tab uses all, and the slow one a quarter.
const BUDGET: [(&str, &str); 2] =
    [("steps = 60", "steps = 50000\nseconds = 0.5"), ("[audit]\nshare = 0.1", "# Nobody repeats these.")];

/// Others have three times as long as a slice of training, so that training takes four times as long.
const PAUSE: Duration = Duration::from_millis(48);

const ROUNDS: usize = 3;

/// What a tab did: the steps that it took in each round, and the checkpoints that it came to.
#[derive(Default)]
struct Work {
    steps: BTreeMap<u64, u32>,
    checkpoints: BTreeMap<u64, (Cid, f64)>,
}

impl Work {
    fn of(tab: &mut Tab) -> Self {
        let work = RefCell::new(Self::default());
        tab.seen(|event| {
            match event {
                Event::Status(Phase::Training { round, step, .. }) => {
                    work.borrow_mut().steps.insert(*round, *step);
                }
                Event::Evaluated { round: Some(round), checkpoint, accuracy, .. } => {
                    work.borrow_mut().checkpoints.insert(*round, (*checkpoint, *accuracy));
                }
                _ => {}
            }
            false
        });
        work.into_inner()
    }
}

async fn a_slow_tab_keeps_up(changes: &[(&str, &str)]) {
    let (relay, _folder) = relay(changes);
    let network = Network::default();
    let mut tabs = [
        Tab::joined_in(&relay, &Person::new(1), &network).await,
        Tab::joined_slowed(&relay, &Person::new(2), &network, PAUSE).await,
    ];
    for tab in &mut tabs {
        for _round in 0..ROUNDS {
            let is_of_both =
                |event: &Event| matches!(event, Event::Round { contributions: 2, settled: true, .. });
            tab.until("a round of both", is_of_both).await;
        }
    }
    let recorded: Vec<_> = tabs.iter_mut().map(Tab::recorded).collect();
    let [fast, slow] = tabs.each_mut().map(Work::of);
    let mut rounds = 0;
    for round in recorded[0].iter().filter(|round| recorded[1].contains(round)) {
        let steps = [&fast, &slow].map(|work| work.steps[round]);
        assert!(steps[1] > 0 && steps[1] * 2 < steps[0], "{steps:?} steps in round {round}");
        if let (Some(one), Some(other)) = (fast.checkpoints.get(round), slow.checkpoints.get(round)) {
            assert_eq!(one, other, "round {round}");
            assert!(one.1 > 0.5, "accuracy {} after round {round}", one.1);
        }
        rounds += 1;
    }
    assert!(rounds >= ROUNDS, "{recorded:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_tab_four_times_slower_contributes_to_every_round() {
    LocalSet::new().run_until(a_slow_tab_keeps_up(&BUDGET)).await;
}

#[tokio::test(flavor = "current_thread")]
async fn in_a_mesh_too_a_slow_tab_contributes_to_every_round() {
    let mesh = ("topology = \"hub\"", "topology = \"mesh\"");
    let changes = [mesh, BUDGET[0], BUDGET[1]];
    LocalSet::new().run_until(a_slow_tab_keeps_up(&changes)).await;
}
