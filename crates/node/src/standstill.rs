//! Tests of tabs that cannot make progress, and of what they report. Time is the runtime's, which runs ahead while
//! there is nothing to do.

use std::time::Duration;

use futures::StreamExt;
use lichen_bridge::{Command, CommandId, Event, Phase, Problem};
use tokio::task::LocalSet;

use crate::false_relay::{Lie, MANIFEST, Visit, visit};

/// Longer than any stall takes to be noticed, and than any back-off.
const LONG: Duration = Duration::from_secs(120);

/// The digits campaign with replacements.
fn digits(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut manifest = String::from_utf8(MANIFEST.to_vec()).unwrap();
    for (from, to) in changes {
        assert!(manifest.contains(from), "{from}");
        manifest = manifest.replace(from, to);
    }
    manifest.into_bytes()
}

impl Visit {
    /// Waits for an event like this and gives it with all before it.
    async fn until(&mut self, is_it: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut seen = Vec::new();
        loop {
            let next = tokio::time::timeout(LONG, self.events.next()).await;
            let Ok(Some(event)) = next else { panic!("nothing more comes: {seen:#?}") };
            seen.push(event);
            assert!(seen.len() < 100_000, "it never comes");
            if seen.last().is_some_and(&is_it) {
                return seen;
            }
        }
    }

    async fn stalled(&mut self) -> Problem {
        let seen = self.until(|event| matches!(event, Event::Status(Phase::Stalled(_)))).await;
        let Some(Event::Status(Phase::Stalled(problem))) = seen.last() else { panic!() };
        problem.clone()
    }

    /// All events within this time.
    async fn during(&mut self, time: Duration) -> Vec<Event> {
        let mut seen = Vec::new();
        let collecting = async {
            while let Some(event) = self.events.next().await {
                seen.push(event);
            }
        };
        let _over = tokio::time::timeout(time, collecting).await;
        seen
    }
}

fn step(event: &Event) -> Option<u32> {
    match event {
        Event::Status(Phase::Training { step, .. }) => Some(*step),
        _ => None,
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_training_that_diverges_is_said_and_not_tried_again() {
    let sgd = ("optimizer = \"adam\"\nlearning_rate = 0.002", "optimizer = \"sgd\"\nlearning_rate = 1e12");
    LocalSet::new()
        .run_until(async {
            let mut visit = visit(Lie::None, digits(&[sgd]));
            let problem = visit.stalled().await;
            assert!(problem.message.contains("diverged in round 1"), "{problem:?}");
            let later = visit.during(LONG * 10).await;
            assert!(later.contains(&Event::Alive));
            let is_busy = |event: &&Event| matches!(event, Event::Status(_) | Event::Loss { .. });
            assert_eq!(later.iter().find(is_busy), None);
        })
        .await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_relay_that_falls_silent_is_not_waited_for_in_green() {
    LocalSet::new()
        .run_until(async {
            let problem = visit(Lie::Silence, MANIFEST.to_vec()).stalled().await;
            assert!(problem.message.contains("stopped answering"), "{problem:?}");
        })
        .await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_round_that_never_opens_is_overdue() {
    LocalSet::new()
        .run_until(async {
            let problem = visit(Lie::NoRound, MANIFEST.to_vec()).stalled().await;
            assert!(problem.message.contains("should have opened"), "{problem:?}");
        })
        .await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_round_that_lacks_others_says_how_many() {
    LocalSet::new()
        .run_until(async {
            let manifest = digits(&[("minimum = 1", "minimum = 3")]);
            let problem = visit(Lie::OpenForEver, manifest).stalled().await;
            assert!(problem.message.contains("lacks 2 more contributions"), "{problem:?}");
        })
        .await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_key_that_is_gone_ends_the_part_taken_under_it() {
    LocalSet::new()
        .run_until(async {
            let mut visit = visit(Lie::OpenForEver, MANIFEST.to_vec());
            visit.until(|event| matches!(event, Event::Status(Phase::WaitingForClose))).await;
            visit.device.forget();
            let seen = visit.until(|event| matches!(event, Event::Status(Phase::Failed(_)))).await;
            let Some(Event::Status(Phase::Failed(problem))) = seen.last() else { panic!() };
            assert!(problem.remedy.contains("Join again"), "{problem:?}");
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn pausing_costs_no_step() {
    LocalSet::new()
        .run_until(async {
            let mut visit = visit(Lie::OpenForEver, digits(&[("steps = 60", "steps = 1000000")]));
            let mut reached = 0;
            for id in 10..13 {
                let further = visit.until(|event| step(event).is_some_and(|step| step > reached + 200)).await;
                visit.commands.unbounded_send(Command::Pause { id: CommandId(id) }).unwrap();
                let resting = visit.until(|event| matches!(event, Event::Status(Phase::Paused))).await;
                reached = further.iter().chain(&resting).filter_map(step).max().unwrap();
                visit.commands.unbounded_send(Command::Resume { id: CommandId(id + 10) }).unwrap();
                let resumed = visit.until(|event| step(event).is_some()).await;
                assert!(step(resumed.last().unwrap()) >= Some(reached), "{reached}: {:?}", resumed.last());
                assert!(!resumed.iter().any(|event| matches!(event, Event::Remark(_))));
            }
            let points = visit.until(|event| matches!(event, Event::Loss { .. })).await;
            let Some(Event::Loss { points, .. }) = points.last() else { panic!() };
            assert!(points[0].step > reached, "{reached}: {points:?}");
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_training_that_was_interrupted_gives_the_bits_of_one_that_was_not() {
    let update = async |pauses: u32| {
        let mut visit = visit(Lie::OpenForEver, digits(&[("steps = 60", "steps = 3000")]));
        for id in 0..pauses {
            let reached = 500 * (id + 1);
            visit.until(|event| step(event).is_some_and(|step| step >= reached)).await;
            visit.commands.unbounded_send(Command::Pause { id: CommandId(10 + id) }).unwrap();
            visit.until(|event| matches!(event, Event::Status(Phase::Paused))).await;
            visit.commands.unbounded_send(Command::Resume { id: CommandId(20 + id) }).unwrap();
        }
        let seen = visit.until(|event| matches!(event, Event::Contribution(_))).await;
        let Some(Event::Contribution(contribution)) = seen.last() else { panic!() };
        contribution.update
    };
    LocalSet::new()
        .run_until(async {
            assert_eq!(update(2).await, update(0).await);
        })
        .await;
}
