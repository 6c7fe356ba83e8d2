//! Who decides what a round comes to where weight has to be earned, and what becomes of a round that nobody decides.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod fixture;

use fixture::*;
use lichen_record::{Cid, Entry};
use lichen_round::{Change, FaultKind, Refusal, Rules, Stage};

const SETTLED_BY_EITHER: [Rules; 2] = [AUDITED, Rules { audit: AUDITED.audit, ..MESH }];

fn trained(person: &Person, round: u64, base: Cid) -> Entry {
    let mut entry = contribution_of(person, round, base);
    if let Entry::Contribution { engine, .. } = &mut entry {
        *engine = Some(fixture::engine());
    }
    entry
}

/// These members, all but those who are said to be new, have earned their weight, and a round is closed to which all
/// contributed. What it begins with.
fn closed_round(rules: Rules, known: &[Person], new: &[Person]) -> (Log, u64, Cid) {
    let mut log = Log::with_members(rules, &known.iter().collect::<Vec<_>>());
    let mut base = initial();
    for round in 1..=2 {
        contribute(&mut log, round, base, known.iter());
        base = cid(&format!("the result of round {round}"));
        let from = log.state.checkpoint().unwrap();
        for person in known.iter().chain([&coordinator()]) {
            let _ = log.append(person, &attestation(round, from, base));
        }
        confirm_all(&mut log, known);
    }
    for person in new {
        log.add(person, &joined(1));
    }
    contribute(&mut log, 3, base, known.iter().chain(new));
    (log, 3, base)
}

fn contribute<'a>(log: &mut Log, round: u64, base: Cid, people: impl Iterator<Item = &'a Person>) {
    log.wait(2_000);
    log.add(&coordinator(), &opened(round, base));
    for person in people {
        log.add(person, &trained(person, round, base));
    }
    log.add(&coordinator(), &closed(round));
}

fn confirm_all(log: &mut Log, people: &[Person]) {
    while log.state.audits_waiting() > 0 {
        for person in people.iter().chain([&coordinator()]) {
            let duty = log.state.audit_duty(&person.account());
            let Some((round, contributor, audit)) = duty else { continue };
            let found = audit.claimed;
            let whom = people.iter().find(|person| person.account() == contributor).unwrap();
            log.add(person, &fixture::audit(round.0, whom, found));
        }
    }
}

fn some(numbers: std::ops::Range<u8>) -> Vec<Person> {
    numbers.map(Person::new).collect()
}

fn result(log: &Log) -> Option<Cid> {
    match log.state.round().unwrap().stage() {
        Stage::Settled { result, .. } => Some(result),
        Stage::Open | Stage::Closed { .. } => None,
    }
}

#[test]
fn forty_made_up_accounts_settle_nothing_against_three_who_have_earned_it() {
    let (known, made_up) = (some(1..4), some(10..50));
    for rules in SETTLED_BY_EITHER {
        let (mut log, round, base) = closed_round(rules, &known, &made_up);
        for person in &made_up {
            log.add(person, &attestation(round, base, cid("a lie")));
        }
        assert_eq!(result(&log), None);
        for person in known.iter().chain([&coordinator()]) {
            let _ = log.append(person, &attestation(round, base, cid("the result")));
        }
        log.wait(10_000);
        let late = Person::new(3);
        let _ = log.append(&late, &attestation(round, base, cid("the result")));
        assert_eq!(result(&log), Some(cid("the result")));
        assert_eq!(log.state.faults().len(), 40, "each of them contradicted what stands");
    }
}

#[test]
fn made_up_accounts_alone_leave_nobody_s_update_out() {
    let (known, made_up) = (some(1..4), some(10..50));
    let mesh = SETTLED_BY_EITHER[1];
    let (mut log, round, _base) = closed_round(mesh, &known, &made_up);
    let lost = update_of(&known[0]);
    for person in &made_up {
        let changes = log.add(person, &unavailable(round, lost));
        assert!(!changes.iter().any(|change| matches!(change, Change::Excluded { .. })));
    }
    // One of the two others who have earned their say is more than half together with them.
    let changes = log.add(&known[1], &unavailable(round, lost));
    assert!(changes.iter().any(|change| matches!(change, Change::Excluded { .. })));
}

#[test]
fn the_lot_for_a_committee_falls_on_who_has_earned_it() {
    let (known, made_up) = (some(1..7), some(10..60));
    let rules = Rules { committee: Some(4), ..SETTLED_BY_EITHER[1] };
    let (log, _round, _base) = closed_round(rules, &known, &made_up);
    let committee = log.state.round().unwrap().committee().unwrap().clone();
    assert_eq!(committee.len(), 4);
    let earned = known.iter().filter(|person| committee.contains(&person.account())).count();
    assert!(earned >= 2, "{earned} of 4, though newcomers have a quarter of the chance and are 50 of 56");
}

/// A hub's round with the coordinator's word against that of most.
fn contradicted() -> (Log, [Person; 3]) {
    let people = [1, 2, 3].map(Person::new);
    let mut log = close(Rules { quorum: 3, ..RULES }, &people.iter().collect::<Vec<_>>());
    for person in &people[..2] {
        log.add(person, &attestation(1, initial(), cid("another")));
    }
    log.wait(10_000);
    log.add(&coordinator(), &attestation(1, initial(), cid("result")));
    assert_eq!(result(&log), None, "one word of three");
    (log, people)
}

#[test]
fn a_round_of_a_hub_that_most_contradict_ends_without_a_result() {
    let (mut log, people) = contradicted();
    log.refuse(&coordinator(), &closed(1), Refusal::DeadlinePending);
    log.wait(10_000);
    log.refuse(&people[0], &closed(1), Refusal::NotCoordinator);
    let changes = log.add(&coordinator(), &closed(1));
    assert_eq!(result(&log), Some(initial()));
    assert_eq!(changes.iter().filter(|change| matches!(change, Change::Excluded { .. })).count(), 3);
    assert!(log.state.faults().is_empty(), "nobody knows who is wrong");
    // Who is late with its word is told that the round is another one by now, and is not at fault either.
    log.refuse(&people[2], &attestation(1, initial(), cid("result")), Refusal::WrongExclusions);
    log.add(&coordinator(), &opened(2, initial()));
}

#[test]
fn a_further_word_still_decides_such_a_round() {
    let (mut log, people) = contradicted();
    log.add(&people[2], &attestation(1, initial(), cid("result")));
    assert_eq!(result(&log), None, "two against two");
    let late = Person::new(4);
    log.add(&late, &joined(1));
    log.add(&late, &attestation(1, initial(), cid("result")));
    assert_eq!(result(&log), Some(cid("result")));
    let kinds: Vec<_> = log.state.faults().iter().map(|fault| fault.kind).collect();
    assert!(matches!(kinds[..], [FaultKind::Disagreed { .. }, FaultKind::Disagreed { .. }]));
}

#[test]
fn before_its_own_word_the_coordinator_ends_no_round_of_a_hub() {
    let people = [1, 2].map(Person::new);
    let mut log = close(RULES, &people.iter().collect::<Vec<_>>());
    log.wait(60_000);
    log.refuse(&coordinator(), &closed(1), Refusal::RoundNotOpen);
}

#[test]
fn an_update_that_several_contribute_is_aggregated_once() {
    let people = [1, 2, 3].map(Person::new);
    let mut log = open(RULES, &people.iter().collect::<Vec<_>>());
    log.add(&people[1], &contribution_of(&people[1], 1, initial()));
    log.add(&people[0], &contribution_of(&people[0], 1, initial()));
    log.add(&people[2], &contribution_of(&people[0], 1, initial()));
    let round = log.state.round().unwrap();
    assert_eq!(round.count(), 3);
    let mut owners: Vec<_> = round.inputs().iter().map(|input| input.account).collect();
    owners.sort_unstable();
    let mut expected = [people[0].account(), people[1].account()];
    expected.sort_unstable();
    assert_eq!(owners, expected, "the first to contribute it stands for it, where all weigh alike");
}

#[test]
fn a_copy_by_a_new_account_takes_nothing_from_whose_update_it_is() {
    let (known, thief) = (some(1..4), Person::new(10));
    let mut log = Log::with_members(AUDITED, &known.iter().collect::<Vec<_>>());
    for round in 1..=2 {
        let base = log.state.checkpoint().unwrap();
        contribute(&mut log, round, base, known.iter());
        for person in [&known[0], &coordinator()] {
            let _ = log.append(person, &attestation(round, base, cid(&format!("{round}"))));
        }
        confirm_all(&mut log, &known);
    }
    log.add(&thief, &joined(1));
    log.wait(2_000);
    let base = log.state.checkpoint().unwrap();
    log.add(&coordinator(), &opened(3, base));
    log.add(&thief, &trained(&known[0], 3, base));
    log.add(&known[0], &trained(&known[0], 3, base));
    let inputs = log.state.round().unwrap().inputs();
    assert_eq!(inputs.iter().map(|input| input.account).collect::<Vec<_>>(), [known[0].account()]);
    assert_eq!(inputs[0].weight, 16 * 256);
}
