//! A relay that is killed again and again in the middle of rounds: nothing that it has acknowledged is lost, and no blob of a settled
//! round.
//!
//! Five kills here; `LICHEN_KILLS=100 cargo xtask test --only end-to-end --name killed` makes a hundred.

use std::collections::BTreeSet;
use std::process::Command;

use lichen_bridge::{ContributionState, Event, Phase};
use lichen_log::Record;
use lichen_net::MAX_FRAME;
use lichen_net::hub::Records;
use lichen_record::{Entry, RoundNumber, decode, verify};
use lichen_testkit::RelayProcess;
use serde_json::Value;
use tokio::task::LocalSet;

use crate::relay;
use crate::tab::{Person, Tab};

fn kills() -> usize {
    std::env::var("LICHEN_KILLS").map_or(5, |kills| kills.parse().expect("LICHEN_KILLS is a number"))
}

/// Rounds in quick succession, and as many as there may be.
const QUICK: [(&str, &str); 2] =
    [("interval_seconds = 1.5", "interval_seconds = 0.2"), ("limit = 1000", "limit = 100000")];

/// Moments that tell that something is under way.
fn is_moment(number: usize, event: &Event) -> bool {
    match number % 4 {
        0 => matches!(event, Event::Contribution(found) if matches!(found.state, ContributionState::Sent)),
        1 => {
            matches!(event, Event::Contribution(found) if matches!(found.state, ContributionState::Recorded { .. }))
        }
        2 => matches!(event, Event::Status(Phase::Aggregating | Phase::WaitingForClose)),
        _ => matches!(event, Event::Status(Phase::Sending)),
    }
}

/// Rounds for which this tab has the relay's receipt.
fn acknowledged(tab: &mut Tab) -> BTreeSet<u64> {
    tab.recorded().into_iter().collect()
}

fn log(relay: &RelayProcess, campaign: &str) -> Vec<Record> {
    let mut log = Vec::new();
    loop {
        let page = relay.get(&format!("log/{campaign}?from={}&limit=256", log.len())).unwrap();
        let Records { records, .. } = decode(&page.body, MAX_FRAME).unwrap();
        if records.is_empty() {
            return log;
        }
        log.extend(records);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_relay_killed_again_and_again_loses_nothing_that_it_acknowledged() {
    let (mut relay, _folder) = relay(&QUICK);
    let people = [Person::new(1), Person::new(2)];
    let kept = LocalSet::new()
        .run_until(async {
            let mut tabs = Vec::new();
            for person in &people {
                tabs.push(Tab::joined(&relay, person).await);
            }
            for number in 0..kills() {
                let tab = &mut tabs[number % 2];
                tab.until("a contribution", |event| is_moment(1, event)).await;
                tab.until("something to be under way", |event| is_moment(number, event)).await;
                relay.kill();
                relay.restart().unwrap();
            }
            for tab in &mut tabs {
                tab.until("rounds to go on", |event| is_moment(1, event)).await;
            }
            tabs.iter_mut().map(acknowledged).collect::<Vec<_>>()
        })
        .await;

    let site: Value = serde_json::from_slice(&relay.get("lichen.json").unwrap().body).unwrap();
    let log = log(&relay, site["campaign"].as_str().unwrap());
    assert!(kept.iter().map(BTreeSet::len).sum::<usize>() >= kills(), "{kept:?}");
    for (person, kept) in people.iter().zip(&kept) {
        let mut rounds = Vec::new();
        for record in &log {
            let entry = verify::<Entry>(&record.entry).unwrap();
            if let Entry::Contribution { round: RoundNumber(round), .. } = entry.get()
                && entry.account().to_string() == person.account()
            {
                rounds.push(*round);
            }
        }
        let once: BTreeSet<u64> = rounds.iter().copied().collect();
        assert_eq!(once.len(), rounds.len(), "a contribution is there twice");
        assert!(kept.is_subset(&once), "lost: {:?}", kept.difference(&once));
    }

    // Every blob of every settled round is there, and every checkpoint follows.
    let program = std::env::var_os("LICHEN_CLI_BIN").expect("run by `cargo xtask test`");
    let output = Command::new(program).args(["verify", "--json", "--relay", &relay.url()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["rounds"].as_u64().unwrap() >= kills() as u64 / 2, "{report}");
    assert_eq!(report["rounds_not_recomputed"], 0, "{report}");
}
