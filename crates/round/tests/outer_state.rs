//! What the outer optimiser carries over is settled together with the checkpoint, and stays with it.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use fixture::{
    BOTH, Log, MESH, Person, RULES, attestation, attestation_with, cid, closed, contribution, coordinator,
    initial, opened,
};
use lichen_campaign::Settlement;
use lichen_record::Cid;
use lichen_round::{Change, FaultKind, Outcome, Refusal, Rules, Stage};

fn stateful(rules: Rules) -> Rules {
    Rules { keeps_state: true, ..rules }
}

fn result(round: u64) -> Cid {
    if round == 0 { initial() } else { cid(&format!("result {round}")) }
}

fn state(round: u64) -> Option<Cid> {
    (round > 0).then(|| cid(&format!("state {round}")))
}

/// A round that these people contribute to, up to its closing.
fn close(log: &mut Log, people: &[&Person], round: u64, base: Cid) {
    log.wait(log.state.rules().interval_ms);
    log.add(&coordinator(), &opened(round, base));
    for person in people {
        log.add(person, &contribution(round, base));
    }
    log.add(&coordinator(), &closed(round));
}

/// One person's round, which comes to this.
fn settle(log: &mut Log, anna: &Person, round: u64, base: Cid, outcome: (Cid, Option<Cid>)) -> Vec<Change> {
    close(log, &[anna], round, base);
    let attestation = attestation_with(round, base, outcome.0, outcome.1);
    let changes = log.add(anna, &attestation);
    match log.state.rules().settlement {
        Settlement::Coordinator => log.add(&coordinator(), &attestation),
        Settlement::Contributors => changes,
    }
}

#[test]
fn the_settled_state_is_that_of_the_next_rounds_base() {
    for rules in BOTH.map(stateful) {
        let anna = Person::new(1);
        let mut log = Log::with_members(rules, &[&anna]);
        assert_eq!(log.state.outer_state(), None);
        for round in 1..4 {
            settle(&mut log, &anna, round, result(round - 1), (result(round), state(round)));
            assert_eq!(log.state.round().unwrap().outer_state(), state(round - 1));
            assert_eq!(
                (log.state.checkpoint(), log.state.outer_state()),
                (Some(result(round)), state(round))
            );
        }
    }
}

#[test]
fn attestations_that_differ_in_the_state_alone_disagree() {
    let (anna, bela) = (Person::new(1), Person::new(2));
    let mut log = Log::with_members(stateful(RULES), &[&anna, &bela]);
    close(&mut log, &[&anna, &bela], 1, initial());
    log.add(&anna, &attestation_with(1, initial(), result(1), state(1)));
    let other = Some(cid("another state"));
    log.add(&bela, &attestation_with(1, initial(), result(1), other));
    let (good, bad) =
        (Outcome { result: result(1), state: state(1) }, Outcome { result: result(1), state: other });
    let round = log.state.round().unwrap();
    assert_eq!((round.agreeing(good), round.agreeing(bad), round.agreeing(result(1).into())), (1, 1, 0));
    let changes = log.add(&coordinator(), &attestation_with(1, initial(), result(1), state(1)));
    let kind = FaultKind::Disagreed { attested: bad, settled: good };
    assert!(
        changes.iter().any(|change| matches!(change, Change::Faulted(fault) if fault.kind == kind)),
        "{changes:?}"
    );
    assert_eq!(log.state.outer_state(), state(1));
}

#[test]
fn contributors_settle_what_most_of_them_attest_state_included() {
    let people: Vec<Person> = (1..=3).map(Person::new).collect();
    let people: Vec<&Person> = people.iter().collect();
    let mut log = Log::with_members(stateful(MESH), &people);
    close(&mut log, &people, 1, initial());
    log.add(people[0], &attestation_with(1, initial(), result(1), Some(cid("another state"))));
    log.add(people[1], &attestation_with(1, initial(), result(1), state(1)));
    assert!(matches!(log.state.round().unwrap().stage(), Stage::Closed { .. }), "one each is no majority");
    log.add(people[2], &attestation_with(1, initial(), result(1), state(1)));
    let settled = Stage::Settled { result: result(1), state: state(1) };
    assert_eq!(log.state.round().unwrap().stage(), settled);
}

#[test]
fn a_second_word_about_the_state_alone_is_a_contradiction() {
    let anna = Person::new(1);
    let mut log = Log::with_members(stateful(RULES), &[&anna]);
    close(&mut log, &[&anna], 1, initial());
    log.add(&anna, &attestation_with(1, initial(), result(1), state(1)));
    log.refuse(&anna, &attestation_with(1, initial(), result(1), state(1)), Refusal::Duplicate);
    let changes = log.add(&anna, &attestation_with(1, initial(), result(1), state(2)));
    assert!(
        matches!(changes[..], [Change::Faulted(fault)] if matches!(fault.kind, FaultKind::Equivocated { .. })),
        "{changes:?}"
    );
}

#[test]
fn a_round_that_is_set_aside_leaves_the_bases_state() {
    for rules in BOTH.map(stateful) {
        let anna = Person::new(1);
        let mut log = Log::with_members(rules, &[&anna]);
        let changes = settle(&mut log, &anna, 1, initial(), (initial(), None));
        assert!(changes.iter().any(|change| matches!(change, Change::SetAside { .. })), "{changes:?}");
        settle(&mut log, &anna, 2, initial(), (result(2), state(2)));
        settle(&mut log, &anna, 3, result(2), (result(2), state(2)));
        assert_eq!((log.state.checkpoint(), log.state.outer_state()), (Some(result(2)), state(2)));
        close(&mut log, &[&anna], 4, result(2));
        for other in [None, state(1), state(4)] {
            let attestation = attestation_with(4, result(2), result(2), other);
            log.refuse(&anna, &attestation, Refusal::WrongState);
        }
    }
}

#[test]
fn a_round_of_which_nothing_came_leaves_the_bases_state() {
    let people: Vec<Person> = (1..=2).map(Person::new).collect();
    let people: Vec<&Person> = people.iter().collect();
    let mut log = Log::with_members(stateful(MESH), &people);
    close(&mut log, &people, 1, initial());
    for person in &people {
        log.add(person, &attestation_with(1, initial(), result(1), state(1)));
    }
    close(&mut log, &people, 2, result(1));
    log.wait(MESH.deadline_ms);
    log.add(&coordinator(), &closed(2));
    assert_eq!(
        (log.state.settled(), log.state.checkpoint(), log.state.outer_state()),
        (2, Some(result(1)), state(1))
    );
}

#[test]
fn going_back_goes_back_to_the_state_as_well() {
    for rules in BOTH.map(stateful) {
        for to in [0, 1, 3] {
            let anna = Person::new(1);
            let mut log = Log::with_members(rules, &[&anna]);
            for round in 1..=5 {
                settle(&mut log, &anna, round, result(round - 1), (result(round), state(round)));
            }
            close(&mut log, &[&anna], 6, result(to));
            assert_eq!(log.state.round().unwrap().outer_state(), state(to));
            assert_eq!(log.state.outer_state(), state(to));
        }
    }
}

#[test]
fn a_checkpoint_that_settled_twice_goes_with_its_last_state() {
    let anna = Person::new(1);
    let mut log = Log::with_members(stateful(RULES), &[&anna]);
    settle(&mut log, &anna, 1, initial(), (result(1), state(1)));
    settle(&mut log, &anna, 2, result(1), (result(2), state(2)));
    settle(&mut log, &anna, 3, result(2), (result(1), state(3)));
    settle(&mut log, &anna, 4, result(1), (result(4), state(4)));
    close(&mut log, &[&anna], 5, result(1));
    assert_eq!(log.state.round().unwrap().outer_state(), state(3));
}

#[test]
fn a_state_is_named_exactly_where_the_outer_optimiser_keeps_one() {
    for rules in BOTH {
        let anna = Person::new(1);
        let mut log = Log::with_members(rules, &[&anna]);
        close(&mut log, &[&anna], 1, initial());
        log.refuse(&anna, &attestation_with(1, initial(), result(1), state(1)), Refusal::WrongState);
        log.add(&anna, &attestation(1, initial(), result(1)));
        let mut log = Log::with_members(stateful(rules), &[&anna]);
        close(&mut log, &[&anna], 1, initial());
        log.refuse(&anna, &attestation(1, initial(), result(1)), Refusal::WrongState);
        log.add(&anna, &attestation_with(1, initial(), result(1), state(1)));
    }
}
