//! What becomes of members whose connection is gone.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use fixture::{
    BOTH, Log, MESH, Person, RULES, attestation, cid, close, closed, contribution_of, coordinator, departed,
    initial, joined, left, open, opened, people,
};
use lichen_record::RoundNumber;
use lichen_round::{Change, Presence, Refusal, Rules, Stage};

const ROUND: RoundNumber = RoundNumber(1);

fn presence(log: &Log, person: &Person) -> Presence {
    log.state.member(&person.account()).unwrap().presence()
}

#[test]
fn an_open_round_waits_no_longer_and_takes_the_late_contribution_all_the_same() {
    for rules in BOTH {
        let (anna, bela, carla) = people();
        let mut log = open(rules, &[&anna, &bela, &carla]);
        log.add(&anna, &contribution_of(&anna, 1, initial()));
        let changes = log.add(&coordinator(), &departed(1, &bela));
        assert_eq!(changes, [Change::Departed { round: ROUND, account: bela.account() }]);
        assert_eq!(presence(&log, &bela), Presence::Missed);
        log.refuse(&coordinator(), &closed(1), Refusal::DeadlinePending);
        log.add(&bela, &contribution_of(&bela, 1, initial()));
        assert_eq!(presence(&log, &bela), Presence::Expected, "it is back");
        log.add(&coordinator(), &departed(1, &carla));
        let changes = log.add(&coordinator(), &closed(1));
        assert_eq!(changes, [Change::Closed { round: ROUND, accepted: 2 }], "nobody missed it");
    }
}

#[test]
fn only_the_coordinator_says_so_and_only_of_whom_the_round_waits_for() {
    for rules in BOTH {
        let (anna, bela, carla) = people();
        let mut log = Log::with_members(rules, &[&anna, &bela]);
        log.refuse(&coordinator(), &departed(1, &anna), Refusal::RoundNotOpen);
        log.add(&coordinator(), &opened(1, initial()));
        log.refuse(&anna, &departed(1, &bela), Refusal::NotCoordinator);
        log.refuse(&bela, &departed(1, &bela), Refusal::NotCoordinator);
        log.refuse(&coordinator(), &departed(2, &bela), Refusal::WrongRound);
        log.refuse(&coordinator(), &departed(1, &carla), Refusal::NotAwaited);
        log.add(&carla, &joined(1));
        log.refuse(&coordinator(), &departed(1, &carla), Refusal::NotAwaited);
        log.add(&anna, &contribution_of(&anna, 1, initial()));
        log.refuse(&coordinator(), &departed(1, &anna), Refusal::NotAwaited);
        log.add(&coordinator(), &departed(1, &bela));
        log.refuse(&coordinator(), &departed(1, &bela), Refusal::NotAwaited);
        log.add(&coordinator(), &closed(1));
        log.add(&anna, &attestation(1, initial(), cid("one")));
        if rules == RULES {
            log.add(&coordinator(), &attestation(1, initial(), cid("one")));
        }
        log.refuse(&coordinator(), &departed(1, &anna), Refusal::NotAwaited);
        assert_eq!(log.state.settled(), 1);
    }
}

#[test]
fn a_hub_lowers_its_quorum_by_whoever_departed() {
    let (anna, bela, _) = people();
    let mut log = close(Rules { quorum: 3, ..RULES }, &[&anna, &bela]);
    log.add(&anna, &attestation(1, initial(), cid("one")));
    log.refuse(&coordinator(), &departed(1, &anna), Refusal::NotAwaited);
    let mut patient = Log { state: log.state.clone(), records: Vec::new(), time: log.time };
    patient.add(&coordinator(), &attestation(1, initial(), cid("one")));
    assert_eq!(patient.state.settled(), 0);
    let changes = patient.add(&coordinator(), &departed(1, &bela));
    assert!(
        matches!(changes[..], [Change::Departed { .. }, Change::Settled { attestations: 2, .. }]),
        "{changes:?}"
    );
    log.add(&coordinator(), &departed(1, &bela));
    log.add(&coordinator(), &attestation(1, initial(), cid("one")));
    assert_eq!(log.state.settled(), 1);
}

#[test]
fn a_mesh_settles_with_the_majority_when_the_others_departed() {
    let (anna, bela, carla) = people();
    let mut log = close(Rules { quorum: 3, ..MESH }, &[&anna, &bela, &carla]);
    for person in [&anna, &bela] {
        log.add(person, &attestation(1, initial(), cid("one")));
    }
    log.refuse(&coordinator(), &closed(1), Refusal::DeadlinePending);
    let changes = log.add(&coordinator(), &departed(1, &carla));
    assert!(
        matches!(changes[..], [Change::Departed { .. }, Change::Settled { attestations: 2, .. }]),
        "{changes:?}"
    );
    assert_eq!(log.state.checkpoint(), Some(cid("one")));
}

#[test]
fn a_mesh_without_a_majority_ends_the_round_at_once() {
    let (anna, bela, carla) = people();
    let mut log = close(MESH, &[&anna, &bela, &carla]);
    log.add(&coordinator(), &departed(1, &bela));
    log.refuse(&coordinator(), &closed(1), Refusal::DeadlinePending);
    log.add(&anna, &attestation(1, initial(), cid("one")));
    log.refuse(&coordinator(), &closed(1), Refusal::DeadlinePending);
    log.add(&carla, &left(2));
    // Two of three have not left, and one of them attests: that is no majority.
    let changes = log.add(&coordinator(), &closed(1));
    assert!(
        changes.contains(&Change::Settled { round: ROUND, result: initial(), attestations: 0 }),
        "{changes:?}"
    );
    assert_eq!(presence(&log, &anna), Presence::Expected);
}

#[test]
fn who_is_back_in_a_closed_round_may_still_attest() {
    let (anna, bela, carla) = people();
    let mut log = close(MESH, &[&anna, &bela, &carla]);
    log.add(&coordinator(), &departed(1, &bela));
    for person in [&anna, &bela] {
        log.add(person, &attestation(1, initial(), cid("one")));
    }
    assert_eq!(log.state.checkpoint(), Some(cid("one")));
}

#[test]
fn a_mesh_waits_for_who_misses_an_update_while_somebody_can_give_it() {
    let (anna, bela, carla) = people();
    let mut log = close(MESH, &[&anna, &bela, &carla]);
    let lost = fixture::update_of(&carla);
    log.add(&coordinator(), &departed(1, &carla));
    log.add(&anna, &fixture::unavailable(1, lost));
    log.refuse(&coordinator(), &closed(1), Refusal::DeadlinePending);
    log.add(&bela, &attestation(1, initial(), cid("one")));
    log.refuse(&coordinator(), &closed(1), Refusal::DeadlinePending);
    log.add(&anna, &attestation(1, initial(), cid("one")));
    assert_eq!(log.state.checkpoint(), Some(cid("one")));
}

#[test]
fn a_mesh_in_which_everybody_misses_something_ends_the_round() {
    let people: Vec<Person> = (1..=5).map(Person::new).collect();
    let everybody: Vec<&Person> = people.iter().collect();
    let mut log = close(MESH, &everybody);
    for gone in &people[2..] {
        log.add(&coordinator(), &departed(1, gone));
    }
    log.add(&people[0], &fixture::unavailable(1, fixture::update_of(&people[3])));
    log.refuse(&coordinator(), &closed(1), Refusal::DeadlinePending);
    log.add(&people[1], &fixture::unavailable(1, fixture::update_of(&people[4])));
    log.add(&coordinator(), &closed(1));
    assert!(
        matches!(log.state.round().unwrap().stage(), Stage::Settled { result, .. } if result == initial())
    );
}
