//! Who attests where the lot decides, and how large a committee must be.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use std::collections::BTreeSet;

use fixture::{
    DRAWN, Log, MESH, Person, RULES, Reader, attestation, attestation_told, attestation_without, cid, close,
    closed, contribution_of, coordinator, departed, initial, left, open, opened, unavailable, update_of,
};
use lichen_record::{AccountId, RoundNumber};
use lichen_round::{Change, ParticipantAction, ParticipantEvent, Refusal, Rules, Stage};

fn everybody(count: u8) -> Vec<Person> {
    (1..=count).map(Person::new).collect()
}

/// Round 1 is closed with these contributors: those who were drawn, and the others.
fn drawn(rules: Rules, people: &[Person]) -> (Log, Vec<&Person>, Vec<&Person>) {
    let log = close(rules, &people.iter().collect::<Vec<_>>());
    let round = log.state.round().unwrap().clone();
    let (committee, others) = people.iter().partition(|person| round.is_drawn(&person.account()));
    (log, committee, others)
}

fn settled(log: &Log) -> bool {
    matches!(log.state.round().unwrap().stage(), Stage::Settled { .. })
}

#[test]
fn without_a_committee_nobody_is_left_out() {
    for rules in [RULES, MESH] {
        let people = everybody(5);
        let (log, all, none) = drawn(rules, &people);
        assert_eq!((all.len(), none.len()), (5, 0));
        assert_eq!(log.state.round().unwrap().committee(), None);
    }
}

#[test]
fn only_those_drawn_have_a_say() {
    for rules in DRAWN {
        let people = everybody(6);
        let (mut log, committee, others) = drawn(rules, &people);
        assert_eq!((committee.len(), others.len()), (2, 4));
        let round = attestation(1, initial(), cid("result"));
        log.refuse(others[0], &round, Refusal::NotDrawn);
        log.add(committee[0], &round);
        log.add(committee[1], &round);
        log.refuse(others[1], &round, Refusal::NotDrawn);
    }
}

#[test]
fn a_hub_settles_with_the_coordinator_and_its_committee() {
    let people = everybody(6);
    let (mut log, committee, _others) = drawn(Rules { quorum: 3, ..DRAWN[0] }, &people);
    let result = attestation(1, initial(), cid("result"));
    log.add(committee[0], &result);
    log.add(&coordinator(), &result);
    assert!(!settled(&log), "one of two");
    log.add(committee[1], &result);
    assert!(settled(&log));
    assert!(log.state.faults().is_empty());
}

#[test]
fn a_silent_committee_holds_a_hub_up_until_the_deadline() {
    let people = everybody(6);
    let (mut log, committee, others) = drawn(DRAWN[0], &people);
    log.wait(10_000);
    let changes = log.add(&coordinator(), &attestation(1, initial(), cid("result")));
    assert!(settled(&log));
    let missed: BTreeSet<AccountId> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Missed { account, .. } => Some(*account),
            _ => None,
        })
        .collect();
    assert_eq!(missed, committee.iter().map(|person| person.account()).collect());
    assert!(!missed.contains(&others[0].account()), "nothing was expected of the others");
}

#[test]
fn a_committee_that_is_gone_holds_nobody_up() {
    let people = everybody(6);
    let (mut log, committee, others) = drawn(DRAWN[0], &people);
    log.refuse(&coordinator(), &departed(1, others[0]), Refusal::NotAwaited);
    log.add(&coordinator(), &departed(1, committee[0]));
    log.add(&coordinator(), &departed(1, committee[1]));
    log.add(&coordinator(), &attestation(1, initial(), cid("result")));
    assert!(settled(&log));
}

#[test]
fn more_than_half_of_the_committee_settles_a_mesh() {
    let people = everybody(9);
    let (mut log, committee, _others) = drawn(Rules { committee: Some(5), ..MESH }, &people);
    for person in &committee[..2] {
        log.add(person, &attestation(1, initial(), cid("result")));
        assert!(!settled(&log));
    }
    log.add(committee[2], &attestation(1, initial(), cid("a lie")));
    assert!(!settled(&log));
    log.add(committee[3], &attestation(1, initial(), cid("result")));
    assert!(settled(&log));
    assert_eq!(log.state.faults().len(), 1);
}

#[test]
fn what_the_committee_misses_is_excluded() {
    let people = everybody(9);
    let (mut log, committee, others) = drawn(Rules { committee: Some(3), ..MESH }, &people);
    let lost = update_of(others[0]);
    log.refuse(others[1], &unavailable(1, lost), Refusal::NotDrawn);
    log.add(committee[0], &unavailable(1, lost));
    let changes = log.add(committee[1], &unavailable(1, lost));
    assert!(changes.iter().any(|change| matches!(change, Change::Excluded { .. })), "two of three lack it");
    for person in &committee[..2] {
        log.add(person, &attestation_without(1, initial(), cid("result"), 1));
    }
    assert!(settled(&log));
}

#[test]
fn a_mesh_whose_committee_vanishes_loses_the_round_and_no_more() {
    let people = everybody(5);
    let (mut log, committee, _others) = drawn(DRAWN[1], &people);
    log.refuse(&coordinator(), &closed(1), Refusal::DeadlinePending);
    for person in &committee {
        log.add(&coordinator(), &departed(1, person));
    }
    log.add(&coordinator(), &closed(1));
    assert_eq!(log.state.round().unwrap().stage(), Stage::Settled { result: initial(), state: None });
}

#[test]
fn who_left_is_not_drawn() {
    let people = everybody(4);
    for rules in DRAWN {
        let mut log = open(rules, &people.iter().collect::<Vec<_>>());
        for person in &people {
            log.add(person, &contribution_of(person, 1, initial()));
        }
        for person in &people[..3] {
            log.add(person, &left(2));
        }
        log.add(&coordinator(), &closed(1));
        let committee = log.state.round().unwrap().committee().unwrap();
        assert_eq!(committee.iter().collect::<Vec<_>>(), [&people[3].account()]);
    }
}

#[test]
fn the_lot_falls_on_everybody_and_nobody_foresees_it() {
    let people = everybody(8);
    let mut log = Log::with_members(DRAWN[0], &people.iter().collect::<Vec<_>>());
    let (mut times, mut base, mut committees) = ([0; 8], initial(), BTreeSet::new());
    for round in 1..=80 {
        log.add(&coordinator(), &opened(round, base));
        for person in &people {
            log.add(person, &contribution_of(person, round, base));
        }
        // The same contributions, closed by another signature, have another committee.
        log.add(&coordinator(), &closed(round));
        let closed = log.state.round().unwrap().clone();
        for (times, person) in times.iter_mut().zip(&people) {
            *times += usize::from(closed.is_drawn(&person.account()));
        }
        committees.insert(closed.committee().unwrap().clone());
        let result = cid(&format!("result {round}"));
        for person in people.iter().filter(|person| closed.is_drawn(&person.account())) {
            log.add(person, &attestation(round, base, result));
        }
        log.add(&coordinator(), &attestation(round, base, result));
        assert!(settled(&log));
        (base, log.time) = (result, log.time + 2_000);
    }
    assert_eq!(times.iter().sum::<usize>(), 160);
    assert!(times.iter().all(|times| (8..=36).contains(times)), "{times:?}");
    assert!(committees.len() > 20, "{} of 28 pairs", committees.len());
}

#[test]
fn a_tab_that_is_not_drawn_waits_for_the_result_and_fetches_it() {
    for rules in DRAWN {
        let people = everybody(5);
        let (mut log, committee, others) = drawn(rules, &people);
        let mut tabs: Vec<_> = [committee[0], others[0]].map(|person| Reader::new(person, rules)).into();
        let mut asked = Vec::new();
        for tab in &mut tabs {
            tab.tell(&log, ParticipantEvent::Connected);
            tab.tell(&log, ParticipantEvent::CaughtUp);
            asked.push(tab.tell(&log, ParticipantEvent::Join));
        }
        let aggregates = |action: &ParticipantAction| {
            matches!(action, ParticipantAction::Aggregate { round: RoundNumber(1), .. })
        };
        assert!(asked[0].iter().any(aggregates));
        assert!(!asked[1].iter().any(aggregates));
        for person in &committee {
            log.add(person, &attestation(1, initial(), cid("result")));
        }
        if !settled(&log) {
            log.add(&coordinator(), &attestation(1, initial(), cid("result")));
        }
        let actions = tabs[1].tell(&log, ParticipantEvent::Tick);
        let fetches = |action: &ParticipantAction| matches!(action, ParticipantAction::Fetch { cid: wanted, .. } if *wanted == cid("result"));
        assert!(actions.iter().any(fetches), "{actions:?}");
    }
}

#[test]
fn a_result_is_to_be_got_as_the_difference_that_the_coordinator_or_most_name() {
    let people = everybody(5);
    let [result, right, wrong] = ["result", "difference", "a lie"].map(cid);
    let of = |log: &Log| log.state.difference().map(|difference| difference.packed);
    let attest = |difference| attestation_told(1, initial(), result, difference);

    let (mut log, committee, _others) = drawn(Rules { quorum: 3, ..DRAWN[0] }, &people);
    log.add(committee[0], &attest(wrong));
    log.add(committee[1], &attest(wrong));
    assert_eq!(of(&log), None, "nothing is settled");
    log.add(&coordinator(), &attest(right));
    assert_eq!(of(&log), Some(right));
    let mut back = Log { state: log.state.clone(), records: Vec::new(), time: log.time + 2_000 };
    log.wait(2_000);
    log.add(&coordinator(), &opened(2, result));
    assert_eq!(of(&log), Some(right), "for whoever comes late");
    back.add(&coordinator(), &opened(2, initial()));
    assert_eq!(of(&back), None);

    let (mut log, committee, _others) = drawn(Rules { committee: Some(3), quorum: 3, ..DRAWN[1] }, &people);
    log.add(committee[0], &attest(wrong));
    log.add(committee[1], &attest(right));
    log.add(committee[2], &attest(right));
    assert_eq!(of(&log), Some(right));
    assert!(log.state.faults().is_empty(), "it is a hint, and no word about the result");
}

#[test]
fn where_results_are_told_whole_no_difference_is_named() {
    for rules in [RULES, MESH] {
        let people = everybody(2);
        let (mut log, committee, _others) = drawn(rules, &people);
        let entry = attestation_told(1, initial(), cid("result"), cid("difference"));
        log.refuse(committee[0], &entry, Refusal::NoDifference);
    }
}

/// The chance that more than half of a committee of this size is hostile, drawn from so many of whom so many are.
fn false_majority(size: u64, hostile: u64, all: u64) -> f64 {
    let ways = |of: u64, taken: u64| -> f64 {
        if taken > of {
            return f64::NEG_INFINITY;
        }
        (1..=taken).map(|step| ((of - taken + step) as f64).ln() - (step as f64).ln()).sum()
    };
    let majority = size / 2 + 1..=size.min(hostile);
    majority.map(|bad| (ways(hostile, bad) + ways(all - hostile, size - bad) - ways(all, size)).exp()).sum()
}

/// The smallest odd committee for which that is less likely than one in a million.
fn smallest(share_percent: u64, all: u64) -> u64 {
    let hostile = all * share_percent / 100;
    let sizes = (1..=all).step_by(2);
    sizes.clone().find(|size| false_majority(*size, hostile, all) < 1e-6).unwrap()
}

#[test]
fn a_committee_withstands_the_hostile_share_that_the_documentation_says() {
    let sizes = [10, 20, 30, 40].map(|share| [32, 100, 1_000, 10_000].map(|all| smallest(share, all)));
    assert_eq!(sizes, [[7, 17, 21, 23], [13, 31, 49, 51], [19, 53, 115, 129], [25, 81, 355, 525]]);
}
