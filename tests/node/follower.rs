//! Tabs of a campaign whose relay dies, with another one that follows it.

use std::fs;

use lichen_bridge::{Event, Phase};
use lichen_testkit::{RelayProcess, wait};
use tokio::task::LocalSet;

use crate::tab::{Person, Tab};
use crate::{LIMIT, options, relay};

fn settled_by_two(event: &Event) -> bool {
    matches!(event, Event::Round { contributions: 2, settled: true, .. })
}

fn is_waiting_for_the_leader(event: &Event) -> bool {
    matches!(event, Event::Status(Phase::Offline { retry_in: None }))
}

/// Waits until the follower has what the leader has now.
fn copied(leader: &RelayProcess, follower: &RelayProcess) {
    let length = |relay: &RelayProcess| relay.metrics().map(|metrics| metrics["lichen_log_length"]);
    let all = length(leader).unwrap();
    wait::until("the copy to be complete", LIMIT, || {
        let copied = length(follower)?;
        Ok(if copied >= all { Ok(()) } else { Err(format!("{copied} of {all} records")) })
    })
    .unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn rounds_wait_for_a_relay_that_dies_and_all_else_is_at_the_one_that_follows() {
    let (mut leader, folder) = relay(&[]);
    let follow = vec!["--follow".to_owned(), leader.url()];
    let mut follower = RelayProcess::start_with(options(&folder, "copy", None), follow).unwrap();
    LocalSet::new()
        .run_until(async {
            let mut tab = Tab::joined(&follower, &Person::new(1)).await;
            tab.until("a settled round", |event| matches!(event, Event::Round { settled: true, .. })).await;
            copied(&leader, &follower);
            leader.kill();
            tab.until("the relay to be missed", is_waiting_for_the_leader).await;

            // Somebody comes meanwhile: the page's facts, the log and the last checkpoint are at the follower.
            let mut late = Tab::joined(&follower, &Person::new(2)).await;
            late.until("the last checkpoint", |event| {
                matches!(event, Event::Evaluated { round: Some(_), .. })
            })
            .await;
            assert!(late.seen(is_waiting_for_the_leader), "it is told that the relay is away");

            leader.restart().unwrap();
            for tab in [&mut tab, &mut late] {
                tab.until("a round of two", settled_by_two).await;
                assert!(!tab.seen(|event| matches!(event, Event::Status(Phase::Failed(_)))));
            }

            copied(&leader, &follower);
            // The machine is lost for good, but for its key.
            leader.kill();
            for tab in [&mut tab, &mut late] {
                tab.until("the relay to be missed", is_waiting_for_the_leader).await;
            }
            fs::copy(leader.options().data.join("account.key"), follower.options().data.join("account.key"))
                .unwrap();
            let promoted = follower.options().clone();
            follower.kill();
            let _promoted = RelayProcess::start(promoted).unwrap();
            for tab in [&mut tab, &mut late] {
                tab.until("a round of two", settled_by_two).await;
                assert!(!tab.seen(|event| matches!(event, Event::Status(Phase::Failed(_)))));
            }
        })
        .await;
}
