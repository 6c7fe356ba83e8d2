//! The node without a browser: its real code over a real swarm against a real relay process.
//!
//! Run by `cargo xtask test`, which says in `LICHEN_RELAY_BIN` where the relay is.
#![cfg(test)]

mod attacks;
mod audits;
mod deciding;
mod downloads;
mod follower;
mod helia;
#[path = "../benches/joining/join.rs"]
mod join;
mod killed;
mod late;
#[path = "../benches/joining/made.rs"]
mod made;
mod mesh;
mod network;
mod outer;
mod record;
mod several;
mod tab;
mod turns;
mod uneven;
mod witness;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lichen_bridge::{Command, ContributionState, EngineKind, EnginePreference, Event, Outcome, Phase};
use lichen_testkit::{RelayOptions, RelayProcess, http};
use tab::{Person, Tab};
use tempfile::TempDir;
use tokio::task::LocalSet;

/// How long anything may take here.
const LIMIT: Duration = Duration::from_secs(60);

/// Starts a relay with the digits campaign, changed by the given replacements.
fn relay(changes: &[(&str, &str)]) -> (RelayProcess, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let campaign = folder.path().join("campaign");
    lichen_testkit::campaign::write_changed(&campaign, changes).unwrap();
    let relay = RelayProcess::start(options(&folder, "relay", Some(campaign))).unwrap();
    (relay, folder)
}

/// How to start a relay with a data folder of this name.
fn options(folder: &TempDir, name: &str, campaign: Option<PathBuf>) -> RelayOptions {
    RelayOptions {
        program: std::env::var_os("LICHEN_RELAY_BIN").expect("run by `cargo xtask test`").into(),
        port: http::free_port().unwrap(),
        data: folder.path().join(name),
        page: None,
        campaign,
        log: Some(folder.path().join(format!("{name}.log"))),
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_round_from_joining_to_its_settlement() {
    let (relay, _folder) = relay(&[]);
    LocalSet::new()
        .run_until(async {
            let mut tab = Tab::open(&relay, &Person::new(1));
            assert_eq!(tab.next().await, Event::Ready { version: lichen_bridge::VERSION });
            tab.start(EnginePreference::Cpu).await;
            assert!(tab.seen(|event| matches!(event, Event::Campaign(campaign) if campaign.card.title.contains("digits"))));
            assert!(!tab.seen(|event| matches!(event, Event::Identity { .. } | Event::Net(_))), "before the click");
            tab.join().await;
            tab.until("the first step", |event| {
                matches!(event, Event::Status(Phase::Training { round: 1, step: 1.., .. }))
            })
            .await;
            let Event::Contribution(contribution) = tab
                .until("a checked receipt", |event| {
                    matches!(event, Event::Contribution(c) if matches!(c.state, ContributionState::Recorded { .. }))
                })
                .await
            else {
                unreachable!()
            };
            assert_eq!((contribution.round, contribution.samples), (1, 480));
            tab.until("the first round to settle", |event| {
                matches!(event, Event::Round { number: 1, settled: true, contributions: 1, .. })
            })
            .await;
            tab.until("its evaluation", |event| {
                matches!(event, Event::Evaluated { round: Some(1), samples: 360, accuracy, .. } if *accuracy > 0.5)
            })
            .await;
            tab.until("its guesses", |event| {
                matches!(event, Event::Guesses(shown) if shown.round == Some(1) && shown.samples.len() == 24)
            })
            .await;
            assert!(tab.seen(|event| matches!(event, Event::Engine(engine) if engine.kind == EngineKind::Cpu)));
            assert!(tab.seen(|event| matches!(event, Event::Loss { round: 1, points } if points[0].step == 1)));
            tab.leave().await;
            tab.until("the goodbye", |event| matches!(event, Event::Status(Phase::Idle))).await;
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn two_people_settle_the_same_checkpoints() {
    let (relay, _folder) = relay(&[]);
    LocalSet::new()
        .run_until(async {
            let mut tabs =
                [Tab::joined(&relay, &Person::new(1)).await, Tab::joined(&relay, &Person::new(2)).await];
            let mut checkpoints = Vec::new();
            for tab in &mut tabs {
                let both =
                    |event: &Event| matches!(event, Event::Round { contributions: 2, settled: true, .. });
                let Event::Round { number, .. } = tab.until("a round of two", both).await else {
                    unreachable!()
                };
                checkpoints.push(number);
            }
            let round = checkpoints.into_iter().max();
            let mut results = Vec::new();
            for tab in &mut tabs {
                let of_round =
                    |event: &Event| matches!(event, Event::Evaluated { round: of, .. } if *of >= round);
                let Event::Evaluated { round, checkpoint, loss, accuracy, .. } =
                    tab.until("its evaluation", of_round).await
                else {
                    unreachable!()
                };
                results.push((round, checkpoint, loss.to_bits(), accuracy.to_bits()));
            }
            assert_eq!(results[0], results[1]);
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn one_of_two_tabs_of_a_device_waits_and_takes_over() {
    let (relay, _folder) = relay(&[]);
    LocalSet::new()
        .run_until(async {
            let person = Person::new(1);
            let mut first = Tab::joined(&relay, &person).await;
            first.until("training", |event| matches!(event, Event::Status(Phase::Training { .. }))).await;
            let mut second = Tab::joined(&relay, &person).await;
            assert!(second.seen(|event| matches!(event, Event::Status(Phase::WaitingForOtherTab))));
            first.until("a settled round", |event| matches!(event, Event::Round { settled: true, .. })).await;
            assert!(!second.seen(|event| matches!(event, Event::Net(_))), "it must not connect");
            drop(first);
            second.until("training", |event| matches!(event, Event::Status(Phase::Training { .. }))).await;
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_relay_killed_in_mid_round_costs_nothing_settled() {
    let (mut relay, _folder) = relay(&[("steps = 60", "steps = 3000")]);
    LocalSet::new()
        .run_until(async {
            let mut tab = Tab::joined(&relay, &Person::new(1)).await;
            tab.until("the second round", |event| {
                matches!(event, Event::Status(Phase::Training { round: 2, .. }))
            })
            .await;
            let recorded = tab.recorded();
            relay.kill();
            // The training goes on without the relay, and its result waits for it.
            tab.until("the end of the training", |event| {
                matches!(event, Event::Status(Phase::Offline { .. } | Phase::Connecting))
            })
            .await;
            relay.restart().unwrap();
            tab.until("round 3 to settle", |event| {
                matches!(event, Event::Round { number: 3, settled: true, .. })
            })
            .await;
            assert!(recorded.iter().all(|round| tab.recorded().contains(round)));
            assert!(!tab.seen(|event| matches!(event, Event::Status(Phase::Failed(_)))));
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn pausing_stops_within_a_tenth_of_a_second() {
    let (relay, _folder) =
        relay(&[("steps = 60", "steps = 1000000"), ("deadline_seconds = 10", "deadline_seconds = 600")]);
    LocalSet::new()
        .run_until(async {
            let mut tab = Tab::joined(&relay, &Person::new(1)).await;
            tab.until("training", |event| {
                matches!(event, Event::Status(Phase::Training { step: 1000.., .. }))
            })
            .await;
            // Whatever arrives, arrives between two slices: a slice may take no longer than an answer.
            let mut slices = Vec::new();
            while slices.len() < 31 {
                let began = Instant::now();
                tokio::task::yield_now().await;
                let took = began.elapsed();
                // The test has a turn more often than the training.
                if took > Duration::from_millis(2) {
                    slices.push(took);
                }
            }
            slices.sort_unstable();
            assert!(slices[slices.len() / 2] < Duration::from_millis(100), "{slices:?}");
            let id = tab.send(|id| Command::Pause { id });
            tab.until("the pause", |event| matches!(event, Event::Status(Phase::Paused))).await;
            let done = Event::Answered { id, outcome: Outcome::Done };
            tab.until("its answer", |event| *event == done).await;
            // A round that nobody works on stays open: training again is what Resume brings.
            tab.send(|id| Command::Resume { id });
            tab.until("training again", |event| matches!(event, Event::Status(Phase::Training { .. }))).await;
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_reload_shows_the_account_and_its_contributions() {
    let (relay, _folder) = relay(&[]);
    LocalSet::new()
        .run_until(async {
            let person = Person::new(1);
            let mut tab = Tab::joined(&relay, &person).await;
            tab.until("a settled round's evaluation", |event| {
                matches!(event, Event::Evaluated { round: Some(1), .. })
            })
            .await;
            drop(tab);
            let mut reloaded = Tab::open(&relay, &person);
            reloaded.start(EnginePreference::Cpu).await;
            assert!(reloaded.seen(
                |event| matches!(event, Event::Identity { account, .. } if *account == person.account())
            ));
            assert!(reloaded.seen(|event| matches!(event, Event::Evaluated { round: Some(_), .. })));
            assert!(reloaded.recorded().contains(&1));
            assert!(!reloaded.seen(|event| matches!(event, Event::Net(_))), "before the click");
        })
        .await;
}
