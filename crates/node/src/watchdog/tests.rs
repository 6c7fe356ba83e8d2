//! The watchdog against arbitrary histories.

use proptest::prelude::*;

use super::*;

#[test]
fn all_stages_are_listed_in_their_order() {
    let places: Vec<usize> = Stage::ALL.iter().map(|stage| *stage as usize).collect();
    assert_eq!(places, (0..STAGES).collect::<Vec<_>>());
    assert_eq!(Stage::Opening as usize + 1, STAGES, "the last one");
}

fn sight(stage: Stage, mark: u64) -> Sight {
    Sight { stage, mark: [mark, 0, 0], allowed_ms: 2_000, interval_ms: 1_000 }
}

/// One look: how long after the last one, in which stage, and whether something has moved there since.
#[derive(Clone, Debug)]
struct Look {
    after_ms: u64,
    stage: Stage,
    has_moved: bool,
}

fn look() -> impl Strategy<Value = Look> {
    let after_ms = prop_oneof![8 => 0..1_500_u64, 1 => AWAKE_MS + 1..10_000_000];
    (after_ms, 0..STAGES, prop::bool::weighted(0.2)).prop_map(|(after_ms, stage, has_moved)| Look {
        after_ms,
        stage: Stage::ALL[stage],
        has_moved,
    })
}

proptest! {
    /// Stalled is exactly what had no progress for longer than its limit, counted while awake and in that stage.
    #[test]
    fn the_verdict_is_the_sum_of_the_idle_time(looks in prop::collection::vec(look(), 1..200)) {
        let mut watchdog = Watchdog::default();
        let (mut now, mut marks, mut idle) = (0, [1; STAGES], [0; STAGES]);
        let mut is_known = [false; STAGES];
        for (at, Look { after_ms, stage, has_moved }) in looks.into_iter().enumerate() {
            let place = stage as usize;
            now += after_ms;
            marks[place] += u64::from(has_moved);
            let sight = sight(stage, marks[place]);
            watchdog.look(now, Some(sight));
            if has_moved || !is_known[place] {
                idle[place] = 0;
            } else if after_ms <= AWAKE_MS && at > 0 {
                idle[place] += after_ms;
            }
            is_known[place] = true;
            prop_assert_eq!(watchdog.has_stalled(&sight), idle[place] > sight.limit_ms());
        }
    }

    /// Whatever a tab does in between, one that never gets further stalls: there is no busy way round.
    #[test]
    fn going_in_circles_stalls(stages in prop::collection::vec(0..STAGES, 1..6)) {
        let mut watchdog = Watchdog::default();
        let limit = sight(Stage::Reading, 0).limit_ms();
        let rounds = limit / 1_000 + 2;
        let mut now = 0;
        for _ in 0..rounds {
            for &stage in &stages {
                watchdog.look(now, Some(sight(Stage::ALL[stage], 7)));
                now += 1_000;
                watchdog.look(now, Some(sight(Stage::ALL[stage], 7)));
            }
        }
        for stage in stages {
            prop_assert!(watchdog.has_stalled(&sight(Stage::ALL[stage], 7)));
            prop_assert!(!watchdog.has_stalled(&sight(Stage::ALL[stage], 8)), "progress ends it at once");
        }
    }
}

#[test]
fn a_night_with_the_lid_closed_is_no_stall() {
    let mut watchdog = Watchdog::default();
    watchdog.look(0, Some(sight(Stage::Opening, 1)));
    watchdog.look(8 * 60 * 60 * 1_000, Some(sight(Stage::Opening, 1)));
    assert!(!watchdog.has_stalled(&sight(Stage::Opening, 1)));
}

#[test]
fn resting_counts_for_nothing() {
    let mut watchdog = Watchdog::default();
    watchdog.look(0, Some(sight(Stage::Training, 1)));
    for second in 1..100 {
        watchdog.look(second * 1_000, None);
    }
    watchdog.look(100_000, Some(sight(Stage::Training, 1)));
    assert!(!watchdog.has_stalled(&sight(Stage::Training, 1)));
}
