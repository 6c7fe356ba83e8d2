//! What the organiser decides: pauses, ends, and settings that change.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;
mod network;

use fixture::{
    AUDITED, BOTH, ENDING, Log, Person, RULES, Reader, attestation, campaign, cid, closed, contribution,
    coordinator, decided, finished, initial, joined, left, open, opened, organiser, people, steered,
};
use lichen_campaign::Settlement;
use lichen_record::{Cid, Decision, RoundNumber, Settings};
use lichen_round::{
    Activity, CampaignState, Change, Coordinator, CoordinatorAction, CoordinatorEvent, ParticipantAction,
    ParticipantEvent, Refusal, Rules, Stage,
};
use network::{CALM, Mishap, Weather, World};
use proptest::prelude::*;

fn rate(learning_rate: f64) -> Settings {
    Settings { learning_rate: Some(learning_rate), ..Settings::default() }
}

fn deadline(deadline_ms: u64) -> Settings {
    Settings { deadline_ms: Some(deadline_ms), ..Settings::default() }
}

fn result(round: u64) -> Cid {
    if round == 0 { initial() } else { cid(&format!("result {round}")) }
}

/// The open round ends with a result of its own.
fn settle(log: &mut Log, person: &Person, round: u64) {
    let (base, result) = (result(round - 1), result(round));
    log.add(person, &contribution(round, base));
    log.add(&coordinator(), &closed(round));
    log.add(person, &attestation(round, base, result));
    if log.state.rules().settlement == Settlement::Coordinator {
        log.add(&coordinator(), &attestation(round, base, result));
    }
    log.wait(log.state.rules().interval_ms);
}

#[test]
fn only_the_organiser_decides_and_nothing_is_said_twice() {
    let anna = Person::new(1);
    for rules in BOTH {
        let mut unsteered = Log::with_members(rules, &[&anna]);
        unsteered.refuse(&organiser(), &decided(1, Decision::Pause), Refusal::NotOrganiser);

        let mut log = Log::new(steered(rules));
        log.refuse(&organiser(), &decided(1, Decision::Pause), Refusal::NotPublished);
        let mut log = Log::with_members(steered(rules), &[&anna]);
        for other in [&anna, &coordinator()] {
            log.refuse(other, &decided(1, Decision::Retire), Refusal::NotOrganiser);
        }
        log.refuse(&organiser(), &decided(0, Decision::Pause), Refusal::StaleSequence);
        log.refuse(&organiser(), &decided(1, Decision::Resume), Refusal::NotPaused);
        log.add(&organiser(), &decided(5, Decision::Pause));
        log.refuse(&organiser(), &decided(5, Decision::Resume), Refusal::StaleSequence);
        log.refuse(&organiser(), &decided(6, Decision::Pause), Refusal::Duplicate);
        log.add(&organiser(), &decided(6, Decision::Resume));
        log.refuse(&organiser(), &decided(5, Decision::Pause), Refusal::StaleSequence);
        assert_eq!(log.state.decided(), 6);
    }
}

#[test]
fn a_paused_campaign_ends_its_round_and_opens_none() {
    let (anna, bela, _) = people();
    for rules in BOTH.map(steered) {
        let mut log = open(rules, &[&anna]);
        assert_eq!(log.add(&organiser(), &decided(1, Decision::Pause)), [Change::Decided(Decision::Pause)]);
        assert!(log.state.is_paused() && !log.state.is_on_hold(), "a round is under way");
        settle(&mut log, &anna, 1);
        assert!(log.state.is_on_hold() && !log.state.is_finished());
        log.refuse(&coordinator(), &opened(2, result(1)), Refusal::Paused);
        log.add(&bela, &joined(1));
        log.add(&organiser(), &decided(2, Decision::Resume));
        assert!(!log.state.is_paused());
        log.add(&coordinator(), &opened(2, result(1)));
    }
}

#[test]
fn settings_change_with_the_next_opening_and_within_bounds() {
    let anna = Person::new(1);
    for rules in BOTH.map(steered) {
        let mut log = open(rules, &[&anna]);
        for (settings, refusal) in [
            (rate(0.2), Refusal::OutOfBounds),
            (rate(f64::INFINITY), Refusal::OutOfBounds),
            (deadline(1_999), Refusal::OutOfBounds),
            (Settings { target_accuracy: Some(0.4), ..rate(0.01) }, Refusal::OutOfBounds),
        ] {
            // What is not finite cannot be written.
            if settings.learning_rate.is_none_or(f64::is_finite) {
                log.refuse(&organiser(), &decided(1, Decision::Change(settings)), refusal);
            }
        }
        log.add(&organiser(), &decided(1, Decision::Change(rate(0.05))));
        log.add(&organiser(), &decided(2, Decision::Change(rate(0.02))));
        log.add(&organiser(), &decided(3, Decision::Change(deadline(30_000))));
        assert_eq!((log.state.rules().learning_rate, log.state.rules().deadline_ms), (0.01, 10_000));
        let (first, second) = (RoundNumber(1), RoundNumber(2));
        assert_eq!((log.state.learning_rate(first), log.state.learning_rate(second)), (0.01, 0.02));
        settle(&mut log, &anna, 1);
        assert_eq!(log.state.rules().learning_rate, 0.01, "nothing changes before the opening");
        let changes = log.add(&coordinator(), &opened(2, result(1)));
        let both = Settings { deadline_ms: Some(30_000), ..rate(0.02) };
        assert_eq!(changes[0], Change::SettingsChanged { round: second, settings: both });
        let until = log.time + 30_000;
        assert!(matches!(changes[1], Change::Opened { deadline, .. } if deadline == until), "{changes:?}");
        assert_eq!((log.state.rules().learning_rate, log.state.rules().deadline_ms), (0.02, 30_000));
        assert_eq!((log.state.learning_rate(first), log.state.learning_rate(second)), (0.01, 0.02));
        assert_eq!((log.state.planned(), log.state.applied().len()), (Settings::default(), 1));
        settle(&mut log, &anna, 2);
        assert_eq!(log.state.learning_rate(RoundNumber(3)), 0.02);
        assert_eq!(log.add(&coordinator(), &opened(3, result(2))).len(), 1, "nothing changes again");
    }
    let fixed = Rules { changes: lichen_campaign::Changes::NONE, ..steered(RULES) };
    let mut log = open(fixed, &[&anna]);
    log.refuse(&organiser(), &decided(1, Decision::Change(rate(0.01))), Refusal::NotChangeable);
}

#[test]
fn a_finished_campaign_ends_with_its_round_and_a_retired_one_at_once() {
    let (anna, bela, _) = people();
    for rules in BOTH.map(steered) {
        let mut log = open(rules, &[&anna]);
        assert_eq!(log.add(&organiser(), &decided(1, Decision::Finish)).len(), 1);
        assert!(!log.state.is_finished(), "a round is under way");
        for decision in [Decision::Finish, Decision::Pause, Decision::Change(rate(0.02))] {
            log.refuse(&organiser(), &decided(2, decision), Refusal::Finished);
        }
        settle(&mut log, &anna, 1);
        assert!(log.state.is_finished() && !log.state.is_retired());
        log.refuse(&coordinator(), &opened(2, result(1)), Refusal::Finished);
        log.refuse(&coordinator(), &opened(2, initial()), Refusal::Finished);
        log.refuse(&bela, &joined(1), Refusal::Finished);
        log.add(&anna, &left(2));

        let mut between = open(rules, &[&anna]);
        settle(&mut between, &anna, 1);
        let over = Change::Finished { result: result(1) };
        let changes = between.add(&organiser(), &decided(1, Decision::Finish));
        assert_eq!(changes, [Change::Decided(Decision::Finish), over]);

        let mut log = open(rules, &[&anna, &bela]);
        let over = Change::Finished { result: initial() };
        let changes = log.add(&organiser(), &decided(1, Decision::Retire));
        assert_eq!(changes, [Change::Decided(Decision::Retire), over]);
        assert!(log.state.is_finished() && log.state.is_retired());
        assert_eq!(log.state.round().unwrap().stage(), Stage::Open);
        for (person, entry) in [
            (&anna, contribution(1, initial())),
            (&anna, left(2)),
            (&coordinator(), closed(1)),
            (&organiser(), decided(2, Decision::Retire)),
        ] {
            log.refuse(person, &entry, Refusal::Retired);
        }
    }
    // What ended at its goal may be gone back to, until the organiser ends it as well.
    let mut log = open(steered(ENDING), &[&anna]);
    settle(&mut log, &anna, 1);
    log.add(&coordinator(), &finished(1));
    log.refuse(&organiser(), &decided(1, Decision::Pause), Refusal::Finished);
    assert_eq!(log.add(&organiser(), &decided(1, Decision::Finish)).len(), 1);
    log.refuse(&coordinator(), &opened(2, initial()), Refusal::Finished);
}

#[test]
fn the_form_of_a_state_with_an_organiser_is_as_it_was() {
    let anna = Person::new(1);
    let mut log = open(steered(RULES), &[&anna]);
    log.add(&organiser(), &decided(1, Decision::Change(rate(0.02))));
    settle(&mut log, &anna, 1);
    log.add(&coordinator(), &opened(2, result(1)));
    log.add(&organiser(), &decided(2, Decision::Change(deadline(3_000))));
    log.add(&organiser(), &decided(3, Decision::Pause));
    let state = Cid::of_raw(&log.state.to_bytes()).to_string();
    assert_eq!(state, "bafkreibmt4t4phti6fk5yrishegecudccnbxmzeovkhwd6dofujydmils4");
}

#[test]
fn a_tab_waits_while_the_campaign_is_paused_and_trains_anew_when_the_rate_changes() {
    for rules in BOTH.map(steered) {
        let person = Person::new(1);
        let mut log = open(rules, &[&person]);
        settle(&mut log, &person, 1);
        let mut anna = Reader::new(&person, rules);
        let rate_of = |actions: &[ParticipantAction]| {
            actions.iter().find_map(|action| match action {
                ParticipantAction::Train { learning_rate, .. } => Some(*learning_rate),
                _ => None,
            })
        };
        let stops = |action: &ParticipantAction| matches!(action, ParticipantAction::StopTraining { .. });
        anna.tell(&log, ParticipantEvent::Connected);
        anna.tell(&log, ParticipantEvent::Join);
        anna.tell(&log, ParticipantEvent::CaughtUp);
        let actions = anna.tell(&log, ParticipantEvent::Fetched { cid: result(1) });
        assert_eq!(rate_of(&actions), Some(0.01), "it trains ahead");

        log.add(&organiser(), &decided(1, Decision::Change(rate(0.02))));
        let actions = anna.tell(&log, ParticipantEvent::Tick);
        assert!(actions.iter().any(stops), "{actions:?}");
        assert_eq!(rate_of(&actions), Some(0.02));

        log.add(&organiser(), &decided(2, Decision::Pause));
        let actions = anna.tell(&log, ParticipantEvent::Tick);
        assert!(actions.iter().any(stops) && rate_of(&actions).is_none(), "{actions:?}");
        assert_eq!(anna.tab.activity(), Activity::OnHold);

        log.add(&organiser(), &decided(3, Decision::Resume));
        assert_eq!(rate_of(&anna.tell(&log, ParticipantEvent::Tick)), Some(0.02));
        log.add(&coordinator(), &opened(2, result(1)));
        assert_eq!(anna.tell(&log, ParticipantEvent::Tick).len(), 2, "it goes on with what it has begun");

        log.add(&organiser(), &decided(4, Decision::Change(rate(0.03))));
        assert_eq!(anna.tell(&log, ParticipantEvent::Tick).len(), 1, "the open round stays as it is");
        log.add(&organiser(), &decided(5, Decision::Retire));
        let actions = anna.tell(&log, ParticipantEvent::Tick);
        assert!(actions.iter().any(stops), "{actions:?}");
        assert_eq!(anna.tab.activity(), Activity::Finished);
        assert_eq!(anna.tell(&log, ParticipantEvent::Leave), [], "nothing can be said any more");
    }
}

#[test]
fn a_changed_goal_is_measured_against_anew() {
    let anna = Person::new(1);
    let rules = steered(ENDING);
    let mut log = open(rules, &[&anna]);
    settle(&mut log, &anna, 1);
    log.add(&coordinator(), &opened(2, result(1)));
    settle(&mut log, &anna, 2);
    let mut relay =
        Coordinator::new(coordinator().account(), CampaignState::new(campaign(), rules), initial());
    let mut told = 0;
    let mut tell = |log: &Log, event| {
        let records = log.records[told..].iter();
        let records =
            records.map(|(time, entry)| CoordinatorEvent::Record { time: *time, entry: entry.clone() });
        told = log.records.len();
        records.chain([event]).flat_map(|event| relay.handle(log.time, event)).collect::<Vec<_>>()
    };
    let measures = |actions: &[CoordinatorAction]| {
        actions.iter().find_map(|action| match action {
            CoordinatorAction::Measure { checkpoint, target, .. } => Some((*checkpoint, *target)),
            _ => None,
        })
    };
    let answer =
        |checkpoint, target, reaches_goal| CoordinatorEvent::Measured { checkpoint, target, reaches_goal };
    let asked = measures(&tell(&log, CoordinatorEvent::CaughtUp));
    assert_eq!(asked, Some((result(1), 0.9)));
    let asked = measures(&tell(&log, answer(result(1), 0.9, false)));
    assert_eq!(asked, Some((result(2), 0.9)));
    let lower = Settings { target_accuracy: Some(0.8), ..Settings::default() };
    log.add(&organiser(), &decided(1, Decision::Change(lower)));
    log.add(&coordinator(), &opened(3, result(2)));
    assert_eq!(measures(&tell(&log, answer(result(2), 0.9, false))), Some((result(2), 0.8)));
    tell(&log, answer(result(2), 0.8, true));
    settle(&mut log, &anna, 3);
    assert_eq!(measures(&tell(&log, CoordinatorEvent::Tick)), Some((result(3), 0.8)));
    let actions = tell(&log, answer(result(3), 0.8, true));
    assert!(actions.contains(&CoordinatorAction::Append(finished(3))), "{actions:?}");
}

const TABS: usize = 3;

/// Time in which everything may go wrong.
const STORM_MS: u64 = 30_000;

/// Time within which rounds must settle again after it.
const CALM_MS: u64 = 45_000;

fn mishaps() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        1 => (0..TABS).prop_map(Mishap::Kill),
        3 => (0..TABS).prop_map(Mishap::Open),
        2 => (0..TABS).prop_map(Mishap::CutOff),
        1 => Just(Mishap::RestartRelay),
        1 => any::<u64>().prop_map(Mishap::Attack),
        5 => any::<u64>().prop_map(Mishap::Decide),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let audits = proptest::sample::select(vec![None, AUDITED.audit]);
    let snapshots = prop_oneof![Just(None), (1u32..40).prop_map(Some)];
    (proptest::sample::select(BOTH.to_vec()), audits, snapshots).prop_map(|(rules, audit, snapshots)| {
        let extensions = snapshots.map(|_every| 1);
        // Long enough for tabs to train ahead for a round whose settings change before it opens.
        let interval_ms = 5_000;
        steered(Rules { quorum: 1, interval_ms, deadline_ms: 4_000, extensions, audit, snapshots, ..rules })
    })
}

/// Two tabs open, and everything befalls them that may.
fn stormy(seed: u64, rules: Rules, mishaps: Vec<(u64, Mishap)>) -> World {
    let mut world = World::new(TABS, rules, seed);
    world.weather =
        Weather { lost_percent: seed % 40, doubled_percent: seed % 37, longest_ms: 1 + seed % 1_500 };
    world.open(0);
    world.open(1);
    for (at, mishap) in mishaps {
        world.schedule_mishap(at, mishap);
    }
    world.run_until(STORM_MS);
    world.check_log();
    world.weather = CALM;
    world.open(0);
    world.open(1);
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// All train each round with the rate that the log gives (`check_log`), and no pause is for good.
    #[test]
    fn rounds_go_on_whatever_the_organiser_decides(
        seed: u64,
        rules in rules(),
        mishaps in proptest::collection::vec((0..STORM_MS, mishaps()), 0..40),
    ) {
        let mut world = stormy(seed, rules, mishaps);
        world.say(Decision::Pause);
        world.run_until(STORM_MS + CALM_MS);
        prop_assert!(world.state().is_on_hold(), "a round is under way in a pause");
        let (settled, length) = (world.state().settled(), world.log().len());
        world.run_until(STORM_MS + 2 * CALM_MS);
        prop_assert_eq!(world.state().settled(), settled);
        prop_assert!(world.log().len() <= length + TABS, "the log rests");
        world.say(Decision::Change(rate(0.05)));
        world.say(Decision::Resume);
        world.run_until(STORM_MS + 3 * CALM_MS);
        world.check_log();
        prop_assert!(world.state().settled() >= settled + 3, "only {} rounds", world.state().settled() - settled);
        prop_assert_eq!(world.state().rules().learning_rate, 0.05);
    }

    #[test]
    fn what_the_organiser_ends_has_ended(
        seed: u64,
        rules in rules(),
        mishaps in proptest::collection::vec((0..STORM_MS, mishaps()), 0..20),
        (at, is_retired) in (0..STORM_MS, any::<bool>()),
    ) {
        let decision = if is_retired { Decision::Retire } else { Decision::Finish };
        let mishaps = mishaps.into_iter().chain([(at, Mishap::Say(decision))]).collect();
        let mut world = stormy(seed, rules, mishaps);
        world.run_until(STORM_MS + CALM_MS);
        prop_assert!(world.state().is_finished());
        prop_assert_eq!(world.state().is_retired(), is_retired);
        for tab in (0..TABS).filter(|tab| world.is_live(*tab)) {
            prop_assert_eq!(world.participant(tab).unwrap().activity(), Activity::Finished);
        }
        let length = world.log().len();
        world.run_until(STORM_MS + 2 * CALM_MS);
        world.check_log();
        prop_assert_eq!(world.log().len(), length, "the log rests");
    }
}
