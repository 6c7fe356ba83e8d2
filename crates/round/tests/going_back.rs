//! The way back to an earlier checkpoint.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use fixture::{
    BOTH, Log, Person, RULES, Reader, attestation, campaign, cid, closed, contribution, coordinator, initial,
    opened,
};
use lichen_campaign::Settlement;
use lichen_record::{Cid, RoundNumber};
use lichen_round::{
    CampaignState, Change, Coordinator, CoordinatorAction as Action, CoordinatorEvent as Event,
    ParticipantAction, ParticipantEvent, Refusal, Rules,
};

fn result(round: u64) -> Cid {
    if round == 0 { initial() } else { cid(&format!("result {round}")) }
}

/// So many rounds settled, each with a result of its own.
fn settled(rules: Rules, person: &Person, rounds: u64) -> Log {
    let mut log = Log::with_members(rules, &[person]);
    for round in 1..=rounds {
        settle(&mut log, person, round, result(round - 1));
    }
    log
}

fn settle(log: &mut Log, person: &Person, round: u64, base: Cid) {
    log.wait(log.state.rules().interval_ms);
    log.add(&coordinator(), &opened(round, base));
    finish(log, person, round, base);
}

fn finish(log: &mut Log, person: &Person, round: u64, base: Cid) {
    log.add(person, &contribution(round, base));
    log.add(&coordinator(), &closed(round));
    log.add(person, &attestation(round, base, result(round)));
    if log.state.rules().settlement == Settlement::Coordinator {
        log.add(&coordinator(), &attestation(round, base, result(round)));
    }
}

#[test]
fn a_round_may_open_on_any_result_that_is_remembered() {
    for rules in BOTH {
        let anna = Person::new(1);
        for (to, base) in [(0, initial()), (1, result(1)), (3, result(3))] {
            let mut log = settled(rules, &anna, 5);
            log.wait(rules.interval_ms);
            log.refuse(&anna, &opened(6, base), Refusal::NotCoordinator);
            log.refuse(&coordinator(), &opened(6, cid("never settled")), Refusal::WrongBase);
            let changes = log.add(&coordinator(), &opened(6, base));
            let went_back = Change::WentBack { round: RoundNumber(6), to: RoundNumber(to), base };
            assert_eq!(changes[0], went_back);
            assert!(matches!(changes[1], Change::Opened { base: opened, .. } if opened == base));
            assert_eq!(log.state.checkpoint(), Some(base));
            log.refuse(&anna, &contribution(6, result(5)), Refusal::WrongBase);
            finish(&mut log, &anna, 6, base);
            assert_eq!(log.state.checkpoint(), Some(result(6)));
            log.wait(rules.interval_ms);
            let changes = log.add(&coordinator(), &opened(7, result(6)));
            assert!(matches!(changes[..], [Change::Opened { .. }]), "{changes:?}");
        }
    }
}

#[test]
fn only_between_two_rounds() {
    let anna = Person::new(1);
    let mut log = settled(RULES, &anna, 2);
    log.wait(RULES.interval_ms);
    log.add(&coordinator(), &opened(3, result(2)));
    log.wait(RULES.interval_ms);
    log.refuse(&coordinator(), &opened(4, result(1)), Refusal::RoundNotSettled);
    log.refuse(&coordinator(), &opened(3, result(1)), Refusal::WrongRound);
}

#[test]
fn the_last_sixty_four_results_are_remembered_and_the_initial_one() {
    let anna = Person::new(1);
    let mut log = settled(RULES, &anna, 66);
    let results: Vec<_> = log.state.results().collect();
    assert_eq!(results.len(), 65);
    assert_eq!(results[0], (RoundNumber(66), result(66)));
    assert_eq!(results[63], (RoundNumber(3), result(3)));
    assert_eq!(results[64], (RoundNumber(0), initial()));
    log.wait(RULES.interval_ms);
    log.refuse(&coordinator(), &opened(67, result(2)), Refusal::WrongBase);
    log.add(&coordinator(), &opened(67, result(3)));
}

#[test]
fn who_contradicted_what_stands_no_longer_is_forgiven() {
    let (anna, bela, carla) = (Person::new(1), Person::new(2), Person::new(3));
    let mut log = Log::with_members(RULES, &[&anna, &bela, &carla]);
    log.add(&coordinator(), &opened(1, initial()));
    for person in [&anna, &bela, &carla] {
        log.add(person, &contribution(1, initial()));
    }
    log.add(&coordinator(), &closed(1));
    log.add(&carla, &attestation(1, initial(), cid("the truth")));
    log.add(&anna, &attestation(1, initial(), result(1)));
    log.add(&coordinator(), &attestation(1, initial(), result(1)));
    assert_eq!(log.state.member(&carla.account()).unwrap().faults(), 1);
    log.wait(RULES.interval_ms);
    log.add(&coordinator(), &opened(2, initial()));
    let member = log.state.member(&carla.account()).unwrap();
    assert_eq!((member.faults(), member.is_barred(RoundNumber(2))), (0, false));
}

/// A relay started on this log.
fn started(log: &Log) -> Coordinator {
    let state = CampaignState::new(campaign(), *log.state.rules());
    let mut relay = Coordinator::new(coordinator().account(), state, initial());
    for (time, entry) in &log.records {
        relay.handle(log.time, Event::Record { time: *time, entry: entry.clone() });
    }
    relay.handle(log.time, Event::CaughtUp);
    relay
}

fn appended(actions: &[Action]) -> Vec<&lichen_record::Entry> {
    let mut entries = Vec::new();
    for action in actions {
        if let Action::Append(entry) = action {
            entries.push(entry);
        }
    }
    entries
}

#[test]
fn the_coordinator_goes_back_once_where_it_is_told_to() {
    let anna = Person::new(1);
    let mut log = settled(RULES, &anna, 3);
    let mut relay = started(&log);
    relay.handle(log.time, Event::GoBack { to: RoundNumber(1) });
    relay.handle(log.time, Event::GoBack { to: RoundNumber(17) });
    log.wait(RULES.interval_ms);
    assert_eq!(appended(&relay.handle(log.time, Event::Tick)), [&opened(4, result(1))]);
    settle(&mut log, &anna, 4, result(1));
    for (time, entry) in log.records.iter().skip(usize::try_from(relay.state().length()).unwrap()) {
        relay.handle(log.time, Event::Record { time: *time, entry: entry.clone() });
    }
    log.wait(RULES.interval_ms);
    assert_eq!(appended(&relay.handle(log.time, Event::Tick)), [&opened(5, result(4))]);
}

#[test]
fn a_tab_that_trained_ahead_begins_anew_from_the_checkpoint_gone_back_to() {
    let anna = Person::new(1);
    let mut log = settled(RULES, &anna, 2);
    let mut anna = Reader::new(&anna, RULES);
    let base_of_training = |actions: &[ParticipantAction]| {
        let train = |action: &ParticipantAction| match action {
            ParticipantAction::Train { base, .. } => Some(*base),
            _ => None,
        };
        actions.iter().find_map(train)
    };
    anna.tell(&log, ParticipantEvent::Connected);
    anna.tell(&log, ParticipantEvent::Join);
    anna.tell(&log, ParticipantEvent::CaughtUp);
    let actions = anna.tell(&log, ParticipantEvent::Fetched { cid: result(2) });
    assert_eq!(base_of_training(&actions), Some(result(2)));
    anna.tell(
        &log,
        ParticipantEvent::Trained {
            round: RoundNumber(3),
            metrics: fixture::metrics(),
            engine: fixture::engine(),
            trace: None,
        },
    );
    log.wait(RULES.interval_ms);
    log.add(&coordinator(), &opened(3, result(1)));
    let actions = anna.tell(&log, ParticipantEvent::Tick);
    let publishes = |action: &ParticipantAction| matches!(action, ParticipantAction::Publish { .. });
    assert!(!actions.iter().any(publishes), "what it trained is for another base");
    let actions = anna.tell(&log, ParticipantEvent::Fetched { cid: result(1) });
    assert_eq!(base_of_training(&actions), Some(result(1)));
}
