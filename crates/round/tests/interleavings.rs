//! Tabs and relay together, under whatever order of events chance brings.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;
mod network;

use fixture::{AUDITED, BOTH, DRAWN, MESH};
use lichen_record::{Entry, RoundNumber};
use lichen_round::{Activity, Change, Rules, Stage};
use network::{CALM, Mishap, Weather, World};
use proptest::prelude::*;

const TABS: usize = 4;

/// Time in which everything may go wrong.
const STORM_MS: u64 = 30_000;

/// Time within which rounds must settle again after it, with members that are not there and a deadline each.
const CALM_MS: u64 = 45_000;

/// What entries take from the relay into the log, in all.
const SLACK_MS: u64 = 3_000;

fn mishaps() -> impl Strategy<Value = Mishap> {
    let tab = 0..TABS;
    prop_oneof![
        2 => tab.clone().prop_map(Mishap::Kill),
        4 => tab.clone().prop_map(Mishap::Open),
        3 => tab.clone().prop_map(Mishap::CutOff),
        1 => tab.clone().prop_map(Mishap::Pause),
        1 => tab.clone().prop_map(Mishap::Resume),
        1 => tab.prop_map(Mishap::Leave),
        1 => Just(Mishap::RestartRelay),
        3 => any::<u64>().prop_map(Mishap::Attack),
    ]
}

fn weather() -> impl Strategy<Value = Weather> {
    (0u64..40, 0u64..40, 1u64..2000).prop_map(|(lost_percent, doubled_percent, longest_ms)| Weather {
        lost_percent,
        doubled_percent,
        longest_ms,
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let extensions = prop_oneof![Just(None), (0u32..3).prop_map(Some)];
    let audits = proptest::sample::select(vec![None, AUDITED.audit]);
    let cohort = prop_oneof![3 => Just(None), 1 => (2u32..4).prop_map(Some)];
    let snapshots = prop_oneof![Just(None), (1u32..40).prop_map(Some)];
    let counts = (1u32..3, 1u32..4, extensions, cohort, snapshots);
    (proptest::sample::select([BOTH, DRAWN].concat()), counts, audits, any::<bool>()).prop_map(
        |(rules, (minimum, quorum, extensions, cohort, snapshots), audit, keeps_state)| Rules {
            cohort,
            minimum,
            extensions: extensions.or(cohort.map(|_size| 1)),
            quorum,
            deadline_ms: 4_000,
            audit,
            keeps_state,
            snapshots,
            ..rules
        },
    )
}

/// Two tabs open, and everything befalls them that may.
fn storm(world: &mut World, mishaps: Vec<(u64, Mishap)>) {
    world.open(0);
    world.open(1);
    for (at, mishap) in mishaps {
        world.schedule_mishap(at, mishap);
    }
    world.run_until(STORM_MS);
    world.check_log();
}

/// As many honest tabs as a round needs; the others are as the storm has left them.
fn calm(world: &mut World, rules: Rules) {
    world.weather = CALM;
    for tab in 0..rules.minimum as usize {
        world.open(tab);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn rounds_settle_once_and_go_on(
        seed: u64,
        rules in rules(),
        weather in weather(),
        mishaps in proptest::collection::vec((0..STORM_MS, mishaps()), 0..40),
    ) {
        let mut world = World::new(TABS, rules, seed);
        world.weather = weather;
        storm(&mut world, mishaps);

        calm(&mut world, rules);
        let before = world.state().settled();
        world.run_until(STORM_MS + CALM_MS);
        world.check_log();
        let settled = world.state().settled() - before;
        prop_assert!(settled >= 3, "only {} rounds settled", settled);
        let fruitful = world.fruitful(before);
        prop_assert!(fruitful >= 2, "something came of only {} rounds of {}", fruitful, settled);

        let contributors = (0..TABS).filter(|tab| world.is_live(*tab));
        for tab in contributors {
            let participant = world.participant(tab).unwrap();
            prop_assert!(world.state().is_present(&participant.account()), "tab {} did not find back", tab);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// From its opening, a round has its deadline and the extensions; from its closing, two deadlines and the extensions.
    #[test]
    fn no_round_outlasts_its_bound_whatever_happens(
        seed: u64,
        rules in rules(),
        extensions in 0u32..3,
        weather in weather(),
        mishaps in proptest::collection::vec((0..STORM_MS, mishaps()), 0..40),
    ) {
        let rules = Rules { extensions: Some(extensions), ..rules };
        let mut world = World::new(TABS, rules, seed);
        world.weather = weather;
        // A relay that is started again gives everybody the deadline anew.
        let restarts = mishaps.iter().filter(|(_at, mishap)| matches!(mishap, Mishap::RestartRelay)).count();
        storm(&mut world, mishaps);
        world.run_until(2 * STORM_MS);
        world.check_log();
        let deadlines = u64::from(3 + 2 * extensions) + restarts as u64;
        let bound = deadlines * rules.deadline_ms + SLACK_MS;
        let longest = world.round_lengths(RoundNumber(0)).into_iter().max().unwrap_or(0);
        prop_assert!(longest <= bound, "a round took {} ms, longer than {}", longest, bound);
        // The round under way is none that hangs either.
        if let Some(round) = world.state().round().filter(|round| !matches!(round.stage(), Stage::Settled { .. })) {
            prop_assert!(2 * STORM_MS <= round.opened() + bound, "it has been open since {}", round.opened());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_campaign_ends_at_its_goal_whatever_befalls_it(
        seed: u64,
        rules in rules(),
        goal_from in 1u64..12,
        weather in weather(),
        mishaps in proptest::collection::vec((0..STORM_MS, mishaps()), 0..40),
    ) {
        let mut world = World::new(TABS, Rules { ends_at_goal: true, ..rules }, seed);
        (world.weather, world.goal_from) = (weather, goal_from);
        storm(&mut world, mishaps);
        calm(&mut world, rules);
        let end = world.run_until_true(STORM_MS + 10 * CALM_MS, |world| world.state().is_at_goal());
        prop_assert!(end.is_some(), "round {} and no end", world.state().settled());
        world.run_until(end.unwrap() + CALM_MS);
        world.check_log();
        let length = world.log().len();
        for tab in (0..TABS).filter(|tab| world.is_live(*tab)) {
            prop_assert_eq!(world.participant(tab).unwrap().activity(), Activity::Finished);
        }
        world.run_until(end.unwrap() + 2 * CALM_MS);
        prop_assert_eq!(world.log().len(), length, "the log rests");
    }
}

#[test]
fn a_relay_killed_at_any_moment_before_the_end_comes_to_it() {
    for rules in BOTH {
        for at in (10_000..22_000).step_by(293) {
            let mut world = World::new(2, Rules { ends_at_goal: true, ..rules }, at);
            world.goal_from = 3;
            world.open(0);
            world.open(1);
            world.schedule_mishap(at, Mishap::RestartRelay);
            world.run_until(at + 60_000);
            world.check_log();
            assert!(world.state().is_at_goal(), "after a restart at {at}");
        }
    }
}

fn count(world: &World, wanted: impl Fn(&Entry) -> bool) -> usize {
    world.log().iter().filter(|(_time, entry)| wanted(entry.get())).count()
}

#[test]
fn three_tabs_train_round_after_round() {
    for rules in [BOTH, DRAWN].concat() {
        let mut world = World::new(3, rules, 1);
        for tab in 0..3 {
            world.open(tab);
        }
        world.run_until(60_000);
        world.check_log();
        let settled = world.state().settled();
        assert!(settled > 10, "{settled} rounds");
        // Nobody was missing after the first round, so that no round waited for its deadline.
        let contributions = count(&world, |entry| matches!(entry, Entry::Contribution { .. }));
        assert!(contributions as u64 >= 3 * settled - 2, "{contributions} contributions in {settled} rounds");
        assert_eq!(count(&world, |entry| matches!(entry, Entry::Joined { .. })), 3);
        assert_eq!(count(&world, |entry| matches!(entry, Entry::Departed { .. })), 0);
    }
}

#[test]
fn where_nobody_is_the_log_rests() {
    for rules in BOTH {
        let mut world = World::new(1, rules, 2);
        world.run_until(600_000);
        assert_eq!(world.log().len(), 1, "only the publication");
        world.open(0);
        world.run_until(620_000);
        world.schedule_mishap(620_000, Mishap::Leave(0));
        world.run_until(640_000);
        let length = world.log().len();
        world.run_until(1_200_000);
        assert_eq!(world.log().len(), length);
        assert_eq!(world.participant(0).unwrap().activity(), Activity::Idle);
    }
}

#[test]
fn a_killed_tab_holds_rounds_up_once() {
    for rules in [BOTH, DRAWN].concat() {
        let mut world = World::new(3, rules, 3);
        for tab in 0..3 {
            world.open(tab);
        }
        world.run_until(20_000);
        world.schedule_mishap(20_000, Mishap::Kill(2));
        world.run_until(80_000);
        world.check_log();
        // It is given up once: as its connection is gone, or as its last update is gone with it.
        let is_given_up =
            |change: &&Change| matches!(change, Change::Departed { .. } | Change::Missed { .. });
        assert_eq!(world.changes.iter().filter(is_given_up).count(), 1);
        let is_late = |change: &Change| matches!(change, Change::Missed { .. });
        let lost = world.changes.iter().filter(|change| matches!(change, Change::Excluded { .. })).count();
        assert!(lost == 1 || !world.changes.iter().any(is_late));
    }
}

/// What a round needs at most, training included, when one of two tabs was closed before.
const SOON_MS: u64 = 3_000;

#[test]
fn when_one_of_two_tabs_closes_no_later_round_waits_for_it() {
    for rules in BOTH {
        for at in (10_000..14_000).step_by(397) {
            let mut world = World::new(2, rules, at);
            world.faultless = true;
            world.open(0);
            world.open(1);
            world.schedule_mishap(at, Mishap::Kill(1));
            world.run_until(at);
            let after = world.state().round().unwrap().number();
            world.run_until(at + 30_000);
            world.check_log();
            let lengths = world.round_lengths(after);
            assert!(lengths.len() >= 5, "{} rounds", lengths.len());
            assert!(lengths.iter().all(|length| *length <= SOON_MS), "{lengths:?} after a kill at {at}");
        }
    }
}

#[test]
fn a_lone_tab_that_dies_leaves_one_open_round_which_the_next_one_completes() {
    for rules in BOTH {
        let mut world = World::new(2, rules, 4);
        world.open(0);
        world.run_until(20_000);
        world.schedule_mishap(20_000, Mishap::Kill(0));
        world.run_until(60_000);
        let length = world.log().len();
        world.run_until(600_000);
        assert_eq!(world.log().len(), length, "the log rests");
        let before = world.state().settled();
        world.open(1);
        world.run_until(630_000);
        world.check_log();
        assert!(world.state().settled() > before + 5);
    }
}

#[test]
fn a_relay_killed_in_each_phase_of_a_round_goes_on() {
    for rules in BOTH {
        for at in (10_000..14_000).step_by(97) {
            let mut world = World::new(3, rules, at);
            for tab in 0..3 {
                world.open(tab);
            }
            world.schedule_mishap(at, Mishap::RestartRelay);
            world.run_until(at);
            let before = world.state().settled();
            world.run_until(at + 15_000);
            world.check_log();
            assert!(world.state().settled() >= before + 2, "after a restart at {at}");
        }
    }
}

#[test]
fn a_late_tab_contributes_to_the_open_round() {
    for rules in BOTH {
        let rules = Rules { deadline_ms: 60_000, ..rules };
        let mut world = World::new(2, rules, 6);
        world.open(0);
        world.run_until(10_000);
        // The cohort's only member dies at work, so that the round stays open.
        world.schedule_mishap(10_000, Mishap::Kill(0));
        world.run_until(75_000);
        let open = world.state().open_round().unwrap().number();
        world.open(1);
        let settled = |world: &World| world.state().settled() >= open.0;
        let at = world.run_until_true(80_000, settled);
        assert!(at.is_some(), "round {open} did not settle");
        let by_late =
            count(&world, |entry| matches!(entry, Entry::Contribution { round, .. } if *round == open));
        assert_eq!(by_late, 1);
    }
}

#[test]
fn a_pause_ends_training_and_lets_the_others_go_on() {
    for rules in BOTH {
        let mut world = World::new(2, rules, 7);
        world.open(0);
        world.open(1);
        world.run_until(10_000);
        world.schedule_mishap(10_000, Mishap::Pause(1));
        world.run_until(11_000);
        assert_eq!(world.participant(1).unwrap().activity(), Activity::Paused);
        let paused = |world: &World| {
            let account = world.participant(1).unwrap().account();
            world.state().member(&account).unwrap().contributions()
        };
        let (contributed, settled) = (paused(&world), world.state().settled());
        world.run_until(30_000);
        assert_eq!(paused(&world), contributed);
        assert!(world.state().settled() > settled + 5, "nobody waits for a tab that pauses");
        world.schedule_mishap(30_000, Mishap::Resume(1));
        world.run_until(40_000);
        assert!(paused(&world) > contributed + 1);
        world.check_log();
    }
}

#[test]
fn a_campaign_ends_after_its_last_round() {
    for rules in BOTH {
        let mut world = World::new(2, Rules { limit: 3, ..rules }, 8);
        world.open(0);
        world.open(1);
        world.run_until(120_000);
        assert!(world.state().is_finished());
        assert_eq!(world.state().round().unwrap().number(), RoundNumber(3));
        for tab in 0..2 {
            assert_eq!(world.participant(tab).unwrap().activity(), Activity::Finished);
        }
        let length = world.log().len();
        world.run_until(600_000);
        assert_eq!(world.log().len(), length);
    }
}

#[test]
fn a_lone_tab_cut_off_in_each_phase_of_a_round_goes_on() {
    for rules in BOTH {
        for at in (10_000..14_000).step_by(97) {
            let mut world = World::new(1, rules, at);
            world.open(0);
            world.schedule_mishap(at, Mishap::CutOff(0));
            world.run_until(at);
            let before = world.state().settled();
            // It is back after 3 s at most, and a round takes 3 to 4.
            world.run_until(at + 14_000);
            world.check_log();
            assert!(world.state().settled() >= before + 2, "after a cut at {at}");
        }
    }
}

#[test]
fn in_a_mesh_a_tab_killed_in_each_phase_of_a_round_ends_no_campaign() {
    // One of three, one of two, two of three: the last takes the majority of a round's voices with it.
    for (tabs, killed) in [(3, 1), (2, 1), (3, 2)] {
        for at in (10_000..14_000).step_by(397) {
            let rules = Rules { deadline_ms: 4_000, ..MESH };
            let mut world = World::new(tabs, rules, at);
            for tab in 0..tabs {
                world.open(tab);
            }
            for tab in 0..killed {
                world.schedule_mishap(at, Mishap::Kill(tab));
            }
            world.run_until(at);
            let before = world.state().settled();
            world.run_until(at + 25_000);
            world.check_log();
            let fruitful = world.fruitful(before);
            assert!(fruitful >= 3, "{killed} of {tabs} killed at {at}: {fruitful} rounds");
        }
    }
}

#[test]
fn in_a_mesh_an_update_that_went_with_its_tab_is_left_out() {
    let mut found = 0;
    for at in (10_000..14_000).step_by(211) {
        let mut world = World::new(4, MESH, at);
        for tab in 0..4 {
            world.open(tab);
        }
        world.schedule_mishap(at, Mishap::Kill(3));
        world.run_until(at + 20_000);
        world.check_log();
        let excluded =
            world.changes.iter().filter(|change| matches!(change, Change::Excluded { .. })).count();
        assert!(excluded <= 1, "the others' updates are there");
        found += excluded;
    }
    assert!(found > 0, "no tab was killed between its contribution and the pulling of it");
}

#[test]
fn in_a_mesh_everybody_s_dying_leaves_a_round_that_others_go_on_from() {
    for at in (10_000..14_000).step_by(397) {
        let mut world = World::new(4, Rules { deadline_ms: 4_000, ..MESH }, at);
        world.open(0);
        world.open(1);
        for tab in 0..2 {
            world.schedule_mishap(at, Mishap::Kill(tab));
        }
        world.run_until(at + 60_000);
        let before = world.state().settled();
        world.open(2);
        world.open(3);
        world.run_until(at + 80_000);
        world.check_log();
        assert!(world.fruitful(before) >= 3, "killed at {at}");
    }
}
