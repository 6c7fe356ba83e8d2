//! What a false attestation costs its account.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use fixture::{
    BOTH, Log, MESH, Person, RULES, attestation, attestation_without, cid, closed, contribution_of,
    coordinator, initial, joined, left, opened, unavailable, update_of,
};
use lichen_campaign::Settlement;
use lichen_record::Cid;
use lichen_round::{Change, Presence, Refusal, Rules, Stage};

fn people<const N: usize>() -> [Person; N] {
    core::array::from_fn(|number| Person::new(u8::try_from(number + 1).unwrap()))
}

fn result(round: u64) -> Cid {
    if round == 0 { initial() } else { cid(&format!("result {round}")) }
}

/// Opens a round, has these contribute to it, and closes it.
fn close(log: &mut Log, round: u64, contributors: &[&Person]) {
    log.wait(log.state.rules().interval_ms);
    log.add(&coordinator(), &opened(round, result(round - 1)));
    for person in contributors {
        log.add(person, &contribution_of(person, round, result(round - 1)));
    }
    log.add(&coordinator(), &closed(round));
}

/// Has these settle it.
fn settle(log: &mut Log, round: u64, attesters: &[&Person]) -> Vec<Change> {
    let right = attestation(round, result(round - 1), result(round));
    let mut changes = Vec::new();
    for person in attesters {
        changes = log.add(person, &right);
    }
    if log.state.rules().settlement == Settlement::Coordinator {
        changes = log.add(&coordinator(), &right);
    }
    assert_eq!(log.state.settled(), round);
    changes
}

fn lie(round: u64) -> lichen_record::Entry {
    attestation(round, result(round - 1), cid("false"))
}

#[test]
fn a_liar_has_no_word_and_is_not_waited_for_twice_as_long_each_time() {
    for rules in BOTH {
        let [anna, bela, carla, liar] = people::<4>();
        let honest = [&anna, &bela, &carla];
        let mut log = Log::with_members(rules, &[&anna, &bela, &carla, &liar]);
        let (mut lies, mut round) = (Vec::new(), 0);
        while round < 18 {
            round += 1;
            let everybody = [&anna, &bela, &carla, &liar];
            let is_refused =
                log.state.member(&liar.account()).unwrap().is_shut_out(lichen_record::RoundNumber(round));
            close(&mut log, round, if is_refused { &honest } else { &everybody });
            let presence = log.state.member(&liar.account()).unwrap().presence();
            match log.append(&liar, &lie(round)) {
                Ok(_) => lies.push(round),
                Err(refusal) => {
                    let expected =
                        if is_refused && rules == MESH { Refusal::NotAContributor } else { Refusal::Barred };
                    assert_eq!(refusal, expected);
                    assert_ne!(presence, Presence::Expected);
                }
            }
            settle(&mut log, round, &honest[..if rules == MESH { 3 } else { 1 }]);
        }
        assert_eq!(lies, [1, 4, 9, 18], "2, 4 and 8 rounds without a word");
        assert_eq!(log.state.faults().len(), 4);
        assert_eq!(log.state.member(&anna.account()).unwrap().faults(), 0);
    }
}

#[test]
fn after_a_few_faults_contributions_are_refused_for_as_long() {
    for rules in BOTH {
        let [anna, bela, carla, liar] = people::<4>();
        let honest = [&anna, &bela, &carla];
        let mut log = Log::with_members(rules, &[&anna, &bela, &carla, &liar]);
        for round in 1..=9 {
            close(&mut log, round, &[&anna, &bela, &carla, &liar]);
            let _refused_while_barred = log.append(&liar, &lie(round));
            settle(&mut log, round, &honest[..if rules == MESH { 3 } else { 1 }]);
        }
        assert_eq!(log.state.member(&liar.account()).unwrap().faults(), 3);
        for round in 10..=17 {
            log.wait(rules.interval_ms);
            log.add(&coordinator(), &opened(round, result(round - 1)));
            let entry = contribution_of(&liar, round, result(round - 1));
            log.refuse(&liar, &entry, Refusal::Barred);
            // Leaving and joining again changes nothing.
            log.add(&liar, &left(round * 2));
            log.add(&liar, &joined(round * 2 + 1));
            log.refuse(&liar, &entry, Refusal::Barred);
            for person in honest {
                log.add(person, &contribution_of(person, round, result(round - 1)));
            }
            log.add(&coordinator(), &closed(round));
            settle(&mut log, round, &honest[..if rules == MESH { 3 } else { 1 }]);
        }
        close(&mut log, 18, &[&anna, &bela, &carla, &liar]);
    }
}

#[test]
fn in_a_mesh_the_majority_is_that_of_those_with_a_word() {
    // Three liars beside four honest ones are no majority, and a lesser part of the next round's voices.
    let people = people::<7>();
    let (honest, liars) = people.split_at(4);
    let everybody: Vec<&Person> = people.iter().collect();
    let honest: Vec<&Person> = honest.iter().collect();
    let mut log = Log::with_members(MESH, &everybody);
    close(&mut log, 1, &everybody);
    for liar in liars {
        log.add(liar, &lie(1));
    }
    settle(&mut log, 1, &honest);
    // Of the four that have a word three settle the round, though two of the honest ones and three liars are silent.
    close(&mut log, 2, &everybody);
    log.refuse(&liars[0], &unavailable(2, update_of(honest[0])), Refusal::Barred);
    settle(&mut log, 2, &honest[..3]);
}

#[test]
fn contradicting_oneself_costs_the_word_from_the_next_round_on() {
    for rules in BOTH {
        let [anna, bela, carla, liar] = people::<4>();
        let mut log = Log::with_members(rules, &[&anna, &bela, &carla, &liar]);
        close(&mut log, 1, &[&anna, &bela, &carla, &liar]);
        log.add(&liar, &attestation(1, initial(), result(1)));
        log.add(&liar, &lie(1));
        settle(&mut log, 1, &[&anna, &bela, &carla]);
        close(&mut log, 2, &[&anna, &bela, &carla, &liar]);
        log.refuse(&liar, &attestation(2, result(1), result(2)), Refusal::Barred);
        settle(&mut log, 2, &[&anna, &bela, &carla]);
    }
}

#[test]
fn the_coordinator_of_a_hub_keeps_its_word_though_it_erred() {
    let ([anna], chief) = (people::<1>(), coordinator());
    let mut log = Log::with_members(RULES, &[&anna, &chief]);
    close(&mut log, 1, &[&anna, &chief]);
    settle(&mut log, 1, &[&anna]);
    log.add(&coordinator(), &lie(1));
    assert_eq!(log.state.faults().len(), 1);
    close(&mut log, 2, &[&anna, &chief]);
    settle(&mut log, 2, &[&anna]);
}

#[test]
fn whoever_computed_a_set_that_changed_meanwhile_is_barred_from_nothing() {
    let people = people::<5>();
    let everybody: Vec<&Person> = people.iter().collect();
    let mut log = Log::with_members(Rules { quorum: 5, ..MESH }, &everybody);
    close(&mut log, 1, &everybody);
    log.add(&people[0], &attestation(1, initial(), cid("with all")));
    for person in &people[1..4] {
        log.add(person, &unavailable(1, update_of(&people[4])));
    }
    log.refuse(&people[1], &attestation(1, initial(), cid("with all")), Refusal::WrongExclusions);
    for person in &people[..4] {
        log.add(person, &attestation_without(1, initial(), cid("without one"), 1));
    }
    assert!(matches!(log.state.round().unwrap().stage(), Stage::Settled { .. }));
    for person in &people {
        assert_eq!(log.state.member(&person.account()).unwrap().faults(), 0);
    }
}
