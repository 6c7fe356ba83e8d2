//! Rounds that have waited for as long as they may: they are extended, and then skipped.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use fixture::{
    BOTH, Log, MESH, Person, RULES, Reader, attestation, cid, close, closed, contribution_of, coordinator,
    departed, initial, joined, open, opened, overdue, people,
};
use lichen_record::{Entry, RoundNumber};
use lichen_round::{
    Change, Coordinator, CoordinatorAction, CoordinatorEvent, ParticipantAction, ParticipantEvent, Presence,
    Refusal, Rules, Stage,
};

const ROUND: RoundNumber = RoundNumber::FIRST;

/// The same rules with a minimum of two contributions, and one extension.
fn extended_once(rules: Rules) -> Rules {
    Rules { minimum: 2, extensions: Some(1), ..rules }
}

fn presence(log: &Log, person: &Person) -> Presence {
    log.state.member(&person.account()).unwrap().presence()
}

#[test]
fn a_round_with_too_few_contributions_is_extended_and_then_skipped() {
    let (anna, bela, _) = people();
    for rules in BOTH.map(extended_once) {
        let mut log = open(rules, &[&anna, &bela]);
        log.add(&anna, &contribution_of(&anna, 1, initial()));
        log.refuse(&coordinator(), &overdue(1), Refusal::DeadlinePending);
        log.wait(rules.deadline_ms);
        log.refuse(&anna, &overdue(1), Refusal::NotCoordinator);
        log.refuse(&coordinator(), &overdue(2), Refusal::WrongRound);
        let (missed, deadline) = (Change::Missed { round: ROUND, account: bela.account() }, log.time);
        let extended = Change::Extended { round: ROUND, deadline: deadline + rules.deadline_ms };
        assert_eq!(log.add(&coordinator(), &overdue(1)), [missed, extended]);

        // It takes contributions as before, and has its whole deadline again.
        log.refuse(&coordinator(), &overdue(1), Refusal::DeadlinePending);
        log.wait(rules.deadline_ms);
        let settled = Change::Settled { round: ROUND, result: initial(), attestations: 0 };
        assert_eq!(log.add(&coordinator(), &overdue(1)), [settled, Change::Skipped { round: ROUND }]);
        assert_eq!((log.state.settled(), log.state.checkpoint()), (1, Some(initial())));
        log.refuse(&coordinator(), &overdue(1), Refusal::RoundNotOpen);
        log.refuse(&anna, &attestation(1, initial(), cid("late")), Refusal::RoundSkipped);
        log.refuse(&bela, &contribution_of(&bela, 1, initial()), Refusal::RoundNotOpen);
        assert_eq!(log.state.faults(), []);
        // The audit of a campaign goes by this: what was contributed to it went into nothing.
        let round = log.state.round().unwrap();
        assert!(round.is_skipped() && round.inputs().is_empty());
    }
}

#[test]
fn who_comes_within_the_extension_saves_the_round() {
    let (anna, bela, _) = people();
    for rules in BOTH.map(extended_once) {
        let mut log = open(rules, &[&anna, &bela]);
        log.add(&anna, &contribution_of(&anna, 1, initial()));
        log.wait(rules.deadline_ms);
        log.add(&coordinator(), &overdue(1));
        log.add(&bela, &contribution_of(&bela, 1, initial()));
        log.refuse(&coordinator(), &overdue(1), Refusal::EnoughContributions);
        log.add(&coordinator(), &closed(1));
        assert_eq!(log.state.round().unwrap().count(), 2);
    }
}

#[test]
fn no_round_opens_that_is_sure_to_be_skipped() {
    let (anna, bela, cleo) = people();
    for rules in BOTH.map(extended_once) {
        let mut log = Log::with_members(rules, &[&anna]);
        log.refuse(&coordinator(), &opened(1, initial()), Refusal::TooFewMembers);
        log.add(&bela, &joined(1));
        log.add(&coordinator(), &opened(1, initial()));
        log.add(&anna, &contribution_of(&anna, 1, initial()));
        log.wait(rules.deadline_ms);
        log.add(&coordinator(), &overdue(1));
        log.wait(rules.deadline_ms);
        log.add(&coordinator(), &overdue(1));
        // Bela was silent: as far as the log can tell, there is nobody but Anna.
        assert_eq!((presence(&log, &bela), log.state.here_count()), (Presence::Missed, 1));
        log.refuse(&coordinator(), &opened(2, initial()), Refusal::TooFewMembers);
        log.add(&cleo, &joined(1));
        log.add(&coordinator(), &opened(2, initial()));
    }
}

/// The entries that a tab submits.
fn said(actions: Vec<ParticipantAction>) -> Vec<Entry> {
    let submitted = |action| match action {
        ParticipantAction::Submit { entry, .. } => Some(entry),
        _ => None,
    };
    actions.into_iter().filter_map(submitted).collect()
}

#[test]
fn who_was_missed_says_that_it_is_there() {
    let (anna, bela, _) = people();
    for rules in BOTH.map(extended_once) {
        let mut log = open(rules, &[&anna, &bela]);
        let mut tab = Reader::new(&bela, rules);
        for event in [ParticipantEvent::Connected, ParticipantEvent::CaughtUp, ParticipantEvent::Join] {
            tab.tell(&log, event);
        }
        for _ in 0..2 {
            log.wait(rules.deadline_ms);
            log.add(&coordinator(), &overdue(1));
        }
        assert_eq!(said(tab.tell(&log, ParticipantEvent::Tick)), [joined(2)]);
        log.add(&bela, &joined(2));
        // It has had its chance: it is there, and rounds do not wait for it.
        assert_eq!(presence(&log, &bela), Presence::Returned);
        log.add(&anna, &joined(2));
        log.add(&coordinator(), &opened(2, initial()));
        let awaited: Vec<_> = log.state.round().unwrap().awaited().collect();
        assert!(!awaited.contains(&bela.account()), "{awaited:?}");
        log.wait(60_000);
        assert_eq!(said(tab.tell(&log, ParticipantEvent::Tick)), [], "nothing more is said");
    }
}

#[test]
fn a_result_that_nobody_agrees_on_is_skipped_where_the_coordinator_settles() {
    let (anna, bela, _) = people();
    let rules = extended_once(RULES);
    let mut log = close(rules, &[&anna, &bela]);
    log.add(&anna, &attestation(1, initial(), cid("one")));
    log.add(&bela, &attestation(1, initial(), cid("one")));
    log.add(&coordinator(), &attestation(1, initial(), cid("another")));
    log.wait(3 * rules.deadline_ms - 1);
    log.refuse(&coordinator(), &overdue(1), Refusal::DeadlinePending);
    log.wait(1);
    log.add(&coordinator(), &overdue(1));
    assert_eq!((log.state.settled(), log.state.checkpoint()), (1, Some(initial())));
    assert_eq!(log.state.faults(), [], "who was right is unknown");

    let mut mesh = close(extended_once(MESH), &[&anna, &bela]);
    mesh.wait(100 * rules.deadline_ms);
    mesh.refuse(&coordinator(), &overdue(1), Refusal::RoundNotOpen);
}

#[test]
fn without_extensions_a_round_waits_for_ever() {
    let (anna, bela, _) = people();
    for rules in BOTH.map(|rules| Rules { minimum: 2, ..rules }) {
        let mut log = open(rules, &[&anna, &bela]);
        log.wait(1_000_000_000);
        log.refuse(&coordinator(), &overdue(1), Refusal::NeverSkipped);
    }
}

#[test]
fn the_last_round_may_be_skipped() {
    let (anna, bela, _) = people();
    let rules = Rules { limit: 1, minimum: 2, extensions: Some(0), ..RULES };
    let mut log = open(rules, &[&anna, &bela]);
    log.add(&coordinator(), &departed(1, &bela));
    log.wait(rules.deadline_ms);
    let changes = log.add(&coordinator(), &overdue(1));
    assert_eq!(changes.last(), Some(&Change::Finished { result: initial() }));
    assert!(log.state.is_finished() && matches!(log.state.round().unwrap().stage(), Stage::Settled { .. }));
}

/// What a coordinator that starts now with this log has appended, and when it wants to be woken.
fn started(log: &Log, rules: Rules, now: u64) -> (Coordinator, Vec<Entry>, Option<u64>) {
    let state = lichen_round::CampaignState::new(fixture::campaign(), rules);
    let mut relay = Coordinator::new(coordinator().account(), state, initial());
    for (time, entry) in &log.records {
        relay.handle(now, CoordinatorEvent::Record { time: *time, entry: entry.clone() });
    }
    let (entries, wake) = asked(relay.handle(now, CoordinatorEvent::CaughtUp));
    (relay, entries, wake)
}

fn asked(actions: Vec<CoordinatorAction>) -> (Vec<Entry>, Option<u64>) {
    let (mut entries, mut wake) = (Vec::new(), None);
    for action in actions {
        match action {
            CoordinatorAction::Append(entry) => entries.push(entry),
            CoordinatorAction::WakeAt(time) => wake = Some(time),
            _ => {}
        }
    }
    (entries, wake)
}

#[test]
fn a_relay_that_was_away_gives_the_members_their_time() {
    let (anna, bela, _) = people();
    for rules in BOTH.map(extended_once) {
        let log = open(rules, &[&anna, &bela]);
        let now = log.time + 10 * rules.deadline_ms;
        let (mut relay, entries, wake) = started(&log, rules, now);
        assert_eq!((entries, wake), (vec![], Some(now + rules.deadline_ms)));
        let (entries, _wake) = asked(relay.handle(now + rules.deadline_ms, CoordinatorEvent::Tick));
        assert_eq!(entries, [overdue(1)]);
    }
}

#[test]
fn a_result_that_cannot_be_computed_is_given_up() {
    let (anna, bela, _) = people();
    let rules = extended_once(RULES);
    let log = close(rules, &[&anna, &bela]);
    let (mut relay, _entries, mut wake) = started(&log, rules, log.time);
    let (mut said, mut now) = (Vec::new(), log.time);
    while said.is_empty() && now < log.time + 4 * rules.deadline_ms {
        // Whenever the computation was begun, it fails.
        let failed = relay.handle(now, CoordinatorEvent::AggregateFailed { round: ROUND });
        wake = asked(failed).1.or(wake);
        now = wake.take().unwrap();
        let actions = asked(relay.handle(now, CoordinatorEvent::Tick));
        (said, wake) = (actions.0, actions.1.or(wake));
    }
    assert_eq!((said, now), (vec![overdue(1)], log.time + 3 * rules.deadline_ms));
}
