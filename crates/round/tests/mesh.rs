//! What settles a round in a mesh, and what becomes of updates that went with their tabs.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use fixture::{
    Log, MESH, Person, RULES, attestation, attestation_without, cid, closed, contribution_of, coordinator,
    initial, joined, left, opened, unavailable, update_of,
};
use lichen_record::RoundNumber;
use lichen_round::{Change, FaultKind, Presence, Refusal, Rules, Stage};

const ROUND: RoundNumber = RoundNumber(1);

fn people<const N: usize>() -> [Person; N] {
    core::array::from_fn(|number| Person::new(u8::try_from(number + 1).unwrap()))
}

/// Round 1 is closed, everybody having contributed an update of their own.
fn close(rules: Rules, members: &[Person]) -> Log {
    let all: Vec<&Person> = members.iter().collect();
    let mut log = Log::with_members(rules, &all);
    log.add(&coordinator(), &opened(1, initial()));
    for member in members {
        log.add(member, &contribution_of(member, 1, initial()));
    }
    log.add(&coordinator(), &closed(1));
    log
}

fn one() -> lichen_record::Entry {
    attestation(1, initial(), cid("one"))
}

fn is_closed(log: &Log) -> bool {
    matches!(log.state.round().unwrap().stage(), Stage::Closed { .. })
}

fn excluded(changes: &[Change]) -> Vec<lichen_record::AccountId> {
    let excluded = |change: &Change| match change {
        Change::Excluded { account, .. } => Some(*account),
        _ => None,
    };
    changes.iter().filter_map(excluded).collect()
}

#[test]
fn updates_are_combined_in_one_order_whoever_was_first() {
    let mut people = people::<5>();
    let inputs = |people: &[Person]| close(MESH, people).state.round().unwrap().inputs();
    let one_way = inputs(&people);
    assert_eq!(one_way.len(), 5);
    people.reverse();
    assert_eq!(inputs(&people), one_way);
    people.swap(1, 3);
    assert_eq!(inputs(&people), one_way);
}

#[test]
fn contributors_settle_without_the_coordinator() {
    let people = people::<3>();
    let mut log = close(Rules { quorum: 3, ..MESH }, &people);
    log.refuse(&coordinator(), &one(), Refusal::NotAContributor);
    log.add(&people[0], &one());
    log.add(&people[1], &one());
    assert!(is_closed(&log));
    let changes = log.add(&people[2], &one());
    assert_eq!(changes.last(), Some(&Change::Settled { round: ROUND, result: cid("one"), attestations: 3 }));
    log.wait(MESH.interval_ms);
    log.add(&coordinator(), &opened(2, cid("one")));
}

#[test]
fn only_contributors_have_a_voice() {
    let people = people::<2>();
    let mut log = close(MESH, &people);
    for late in 10..20 {
        let made_up = Person::new(late);
        log.add(&made_up, &joined(1));
        log.refuse(&made_up, &attestation(1, initial(), cid("false")), Refusal::NotAContributor);
        log.refuse(&made_up, &unavailable(1, update_of(&people[0])), Refusal::NotAContributor);
    }
}

#[test]
fn less_than_a_majority_settles_nothing_whatever_the_quorum() {
    let people = people::<5>();
    let mut log = close(Rules { quorum: 1, ..MESH }, &people);
    for liar in &people[..2] {
        log.add(liar, &attestation(1, initial(), cid("false")));
    }
    assert!(is_closed(&log), "two of five");
    for honest in &people[2..] {
        log.add(honest, &one());
    }
    assert_eq!(log.state.checkpoint(), Some(cid("one")));
    assert_eq!(log.state.faults().len(), 2);
}

#[test]
fn the_quorum_is_lowered_to_the_contributors_that_are_there() {
    let people = people::<3>();
    let mut log = close(Rules { quorum: 3, ..MESH }, &people);
    log.add(&people[0], &one());
    log.add(&people[1], &left(2));
    assert!(is_closed(&log), "one of two");
    let changes = log.add(&people[2], &left(2));
    assert!(
        matches!(changes[..], [Change::Left { .. }, Change::Settled { attestations: 1, .. }]),
        "{changes:?}"
    );
}

#[test]
fn at_the_deadline_the_majority_settles() {
    let people = people::<3>();
    let mut log = close(Rules { quorum: 3, ..MESH }, &people);
    log.add(&people[0], &one());
    log.add(&people[1], &one());
    log.wait(MESH.deadline_ms - 1);
    log.refuse(&coordinator(), &closed(1), Refusal::DeadlinePending);
    log.wait(1);
    log.refuse(&people[0], &closed(1), Refusal::NotCoordinator);
    let changes = log.add(&coordinator(), &closed(1));
    let missed = Change::Missed { round: ROUND, account: people[2].account() };
    assert_eq!(changes, [Change::Settled { round: ROUND, result: cid("one"), attestations: 2 }, missed]);
    log.refuse(&coordinator(), &closed(1), Refusal::RoundNotOpen);
}

#[test]
fn without_a_majority_nothing_comes_of_the_round() {
    let people = people::<4>();
    let mut log = close(MESH, &people);
    log.add(&people[0], &one());
    log.add(&people[1], &attestation(1, initial(), cid("two")));
    log.wait(MESH.deadline_ms);
    let changes = log.add(&coordinator(), &closed(1));
    assert!(changes.contains(&Change::Settled { round: ROUND, result: initial(), attestations: 0 }));
    assert_eq!(log.state.checkpoint(), Some(initial()));
    assert_eq!(log.state.faults(), [], "who of them is right, nobody can tell");
    assert_eq!(log.state.contributions(), 0);
    // Whoever was silent is not waited for again; a late word changes nothing and is nobody's fault.
    log.refuse(&people[2], &one(), Refusal::WrongExclusions);
    log.refuse(&people[2], &attestation_without(1, initial(), cid("one"), 4), Refusal::NotAContributor);
    let changes = log.add(&coordinator(), &opened(2, initial()));
    assert!(matches!(changes[..], [Change::Opened { cohort: 2, .. }]), "{changes:?}");
}

#[test]
fn an_update_that_most_others_cannot_get_is_left_out() {
    let people = people::<3>();
    let mut log = close(MESH, &people);
    let lost = update_of(&people[2]);
    let changes = log.add(&people[0], &unavailable(1, lost));
    assert_eq!(changes, [Change::Unavailable { round: ROUND, account: people[0].account(), update: lost }]);
    log.refuse(&people[0], &unavailable(1, lost), Refusal::Duplicate);
    let changes = log.add(&people[1], &unavailable(1, lost));
    assert_eq!(excluded(&changes), [people[2].account()]);
    assert_eq!(log.state.round().unwrap().inputs().len(), 2);
    assert_eq!(log.state.round().unwrap().excluded(), 1);
    assert_eq!(log.state.member(&people[2].account()).unwrap().presence(), Presence::Missed);
    assert_eq!(log.state.contributions(), 2);
    log.refuse(&people[2], &attestation_without(1, initial(), cid("one"), 1), Refusal::NotAContributor);
    for person in &people[..2] {
        log.add(person, &attestation_without(1, initial(), cid("one"), 1));
    }
    assert_eq!(log.state.checkpoint(), Some(cid("one")));
}

#[test]
fn what_is_attested_before_an_exclusion_is_void_and_no_fault() {
    let people = people::<5>();
    let mut log = close(Rules { quorum: 5, ..MESH }, &people);
    log.add(&people[0], &attestation(1, initial(), cid("with all")));
    for person in &people[1..4] {
        log.add(person, &unavailable(1, update_of(&people[4])));
    }
    assert!(!log.state.round().unwrap().has_attested(&people[0].account()));
    // One that was under way meanwhile is refused, and so nobody seems to say two things.
    log.refuse(&people[1], &attestation(1, initial(), cid("with all")), Refusal::WrongExclusions);
    for person in &people[..4] {
        log.add(person, &attestation_without(1, initial(), cid("without one"), 1));
    }
    assert_eq!(log.state.checkpoint(), Some(cid("without one")));
    assert_eq!(log.state.faults(), []);
}

#[test]
fn equivocation_stays_a_fault_across_an_exclusion() {
    let people = people::<3>();
    let mut log = close(MESH, &people);
    log.add(&people[0], &one());
    let changes = log.add(&people[0], &attestation(1, initial(), cid("two")));
    assert!(
        matches!(changes[..], [Change::Faulted(fault)] if matches!(fault.kind, FaultKind::Equivocated { .. }))
    );
    log.refuse(&people[0], &unavailable(1, update_of(&people[2])), Refusal::AlreadyAttested);
    log.add(&people[1], &left(2));
    for person in &people[..1] {
        log.refuse(person, &one(), Refusal::Duplicate);
    }
    assert_eq!(log.state.faults().len(), 1);
    assert!(is_closed(&log));
}

#[test]
fn who_got_the_update_after_all_takes_its_report_back_by_attesting() {
    let people = people::<4>();
    let mut log = close(MESH, &people);
    let late = update_of(&people[3]);
    log.add(&people[0], &unavailable(1, late));
    log.add(&people[0], &one());
    log.refuse(&people[0], &unavailable(1, late), Refusal::AlreadyAttested);
    let changes = log.add(&people[1], &unavailable(1, late));
    assert_eq!(excluded(&changes), [], "one of three");
}

#[test]
fn every_refusal_of_a_report() {
    let [anna, bela, carla] = people::<3>();
    let everybody = [anna.clone(), bela.clone(), carla.clone()];
    let mut hub = close(RULES, &everybody);
    hub.refuse(&anna, &unavailable(1, update_of(&bela)), Refusal::CoordinatorSettles);
    hub.refuse(&anna, &attestation_without(1, initial(), cid("one"), 1), Refusal::WrongExclusions);

    let mut log = Log::with_members(MESH, &[&anna, &bela, &carla]);
    log.refuse(&anna, &unavailable(1, update_of(&bela)), Refusal::RoundNotOpen);
    log.add(&coordinator(), &opened(1, initial()));
    for person in &everybody {
        log.add(person, &contribution_of(person, 1, initial()));
    }
    log.refuse(&anna, &unavailable(1, update_of(&bela)), Refusal::RoundNotClosed);
    log.add(&coordinator(), &closed(1));
    log.refuse(&anna, &unavailable(2, update_of(&bela)), Refusal::WrongRound);
    log.refuse(&anna, &unavailable(1, update_of(&anna)), Refusal::WrongUpdate);
    log.refuse(&anna, &unavailable(1, cid("nobody's")), Refusal::WrongUpdate);
    log.refuse(&coordinator(), &unavailable(1, update_of(&bela)), Refusal::NotAContributor);
    log.add(&carla, &left(2));
    log.refuse(&carla, &unavailable(1, update_of(&bela)), Refusal::NotAMember);
    for person in [&anna, &bela] {
        log.add(person, &one());
    }
    log.refuse(&anna, &unavailable(1, update_of(&bela)), Refusal::RoundSettled);
}

#[test]
fn when_all_updates_are_gone_the_base_stays() {
    let [anna, bela] = people::<2>();
    let mut log = close(MESH, &[anna.clone(), bela.clone()]);
    let changes = log.add(&anna, &unavailable(1, update_of(&bela)));
    assert_eq!(excluded(&changes), [bela.account()]);
    // What is left is one's own.
    log.refuse(&bela, &unavailable(1, update_of(&anna)), Refusal::NotAContributor);
    log.add(&anna, &left(2));
    log.wait(MESH.deadline_ms);
    let changes = log.add(&coordinator(), &closed(1));
    assert!(
        changes.contains(&Change::Settled { round: ROUND, result: initial(), attestations: 0 }),
        "{changes:?}"
    );
}

#[test]
fn a_minority_cannot_have_anybody_excluded() {
    let people = people::<5>();
    let mut log = close(MESH, &people);
    for attacker in &people[..2] {
        for victim in &people[2..] {
            let changes = log.add(attacker, &unavailable(1, update_of(victim)));
            assert_eq!(excluded(&changes), []);
        }
    }
    // Each of the others is missed by two of four: that is no majority.
    for honest in &people[2..] {
        log.add(honest, &one());
    }
    assert_eq!(log.state.checkpoint(), Some(cid("one")));
}

#[test]
fn with_each_exclusion_the_others_are_fewer() {
    let people = people::<5>();
    let mut log = close(MESH, &people);
    let gone = [&people[3], &people[4]];
    for reporter in &people[..2] {
        for owner in gone {
            assert_eq!(excluded(&log.add(reporter, &unavailable(1, update_of(owner)))), []);
        }
    }
    // Of each, two of four miss it. The third report about one makes it three of four, then two of three about the other.
    let changes = log.add(&people[2], &unavailable(1, update_of(&people[3])));
    assert_eq!(excluded(&changes), [people[3].account(), people[4].account()]);
}
