//! Who says that a training is wrong shows where, and others decide by that piece alone.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use fixture::*;
use lichen_campaign::Auditing;
use lichen_record::{Cid, EngineKind, EngineVersion, Entry, Evidence};
use lichen_round::{Change, FaultKind, ParticipantAction, ParticipantEvent, Refusal, Rules};

/// Contributions name six states of 60 steps, and have to.
const TRACED: Rules = Rules { audit: every(Some(10)), ..AUDITED };

const fn every(every: Option<u32>) -> Option<Auditing> {
    match AUDITED.audit {
        Some(audit) => Some(Auditing { every, ..audit }),
        None => None,
    }
}

fn trace(person: &Person) -> Cid {
    cid(&format!("the trace of {}", person.account()))
}

fn contribution_with(
    person: &Person,
    round: u64,
    base: Cid,
    engine: Option<EngineVersion>,
    trace: Option<Cid>,
) -> Entry {
    match contribution_of(person, round, base) {
        Entry::Contribution { campaign, round, base, update, samples, metrics, .. } => {
            Entry::Contribution { campaign, round, base, update, samples, metrics, engine, trace }
        }
        other => panic!("{other:?}"),
    }
}

fn evidence(piece: u32, after: Cid) -> Evidence {
    Evidence { piece, before: (piece > 0).then(|| cid("the state before")), after }
}

fn says(round: u64, contributor: &Person, found: Cid, evidence: Option<Evidence>) -> Entry {
    match audit(round, contributor, found) {
        Entry::Audit { campaign, round, contributor, found, .. } => {
            Entry::Audit { campaign, round, contributor, found, evidence }
        }
        other => panic!("{other:?}"),
    }
}

fn result(round: u64) -> Cid {
    cid(&format!("the result of round {round}"))
}

fn base(round: u64) -> Cid {
    if round == 1 { initial() } else { result(round - 1) }
}

/// A settled round of these members, all of them with traces.
fn settle(log: &mut Log, round: u64, members: &[&Person]) {
    log.wait(2_000);
    log.add(&coordinator(), &opened(round, base(round)));
    for member in members {
        log.add(member, &contribution_with(member, round, base(round), Some(engine()), Some(trace(member))));
    }
    log.add(&coordinator(), &closed(round));
    let said = attestation(round, base(round), result(round));
    log.add(members[0], &said);
    log.add(&coordinator(), &said);
}

/// Everybody finds what was contributed, but of this account's training.
fn confirm_all_but(log: &mut Log, people: &[&Person], but: Option<&Person>) {
    loop {
        let coordinator = coordinator();
        let duty = people.iter().copied().chain([&coordinator]).find_map(|person| {
            let (round, whose, audit) = log.state.audit_duty(&person.account())?;
            let is_left_out = but.is_some_and(|but| but.account() == whose);
            (!is_left_out).then(|| (person.clone(), round, whose, audit.claimed))
        });
        let Some((person, round, whose, claimed)) = duty else { return };
        let whom = people.iter().find(|person| person.account() == whose).unwrap();
        log.add(&person, &audit(round.0, whom, claimed));
    }
}

/// Four members with weight, and round 4 settled: who has to repeat the training of the first of them.
fn drawn(people: &[&Person]) -> (Log, Person) {
    let mut log = Log::with_members(TRACED, people);
    for round in 1..=3 {
        settle(&mut log, round, people);
        confirm_all_but(&mut log, people, None);
    }
    settle(&mut log, 4, people);
    confirm_all_but(&mut log, people, Some(people[0]));
    let auditor = asked(&log, people).unwrap();
    (log, auditor)
}

/// Who has to repeat the training of the first of these now.
fn asked(log: &Log, people: &[&Person]) -> Option<Person> {
    let all = people.iter().map(|person| (*person).clone()).chain([coordinator()]);
    all.into_iter().find(|person| {
        let duty = log.state.audit_duty(&person.account());
        duty.is_some_and(|(_round, whose, _audit)| whose == people[0].account())
    })
}

fn faults(log: &Log) -> Vec<FaultKind> {
    log.state.faults().iter().map(|fault| fault.kind).collect()
}

#[test]
fn a_trace_is_named_where_somebody_else_gets_the_same_bits() {
    let (anna, _, _) = people();
    let gpu = EngineVersion { kind: EngineKind::Gpu, version: 1 };
    let (cpu, there) = (Some(engine()), Some(cid("a trace")));
    for (rules, engine, trace, fits) in [
        (RULES, cpu, there, false),
        (RULES, cpu, None, true),
        (AUDITED, cpu, there, true),
        (AUDITED, cpu, None, true),
        (AUDITED, Some(gpu), there, false),
        (AUDITED, None, there, false),
        (TRACED, cpu, there, true),
        (TRACED, cpu, None, false),
        (TRACED, Some(gpu), None, true),
        (TRACED, None, None, true),
    ] {
        let mut log = Log::with_members(rules, &[&anna]);
        log.add(&coordinator(), &opened(1, initial()));
        let entry = contribution_with(&anna, 1, initial(), engine, trace);
        if fits {
            log.add(&anna, &entry);
            assert_eq!(log.state.round().unwrap().contributions()[0].trace, trace);
        } else {
            log.refuse(&anna, &entry, Refusal::WrongTrace);
        }
    }
}

#[test]
fn evidence_that_cannot_be_right_is_refused() {
    let everybody: Vec<_> = (1..=4).map(Person::new).collect();
    let people: Vec<_> = everybody.iter().collect();
    let (mut log, auditor) = drawn(&people);
    let (liar, found, after) = (people[0], cid("what it really gives"), cid("a state"));
    for (found, wrong) in [
        (update_of(liar), evidence(0, after)),
        (found, Evidence { before: Some(after), ..evidence(0, after) }),
        (found, Evidence { before: None, ..evidence(1, after) }),
        (found, evidence(6, after)),
        (found, evidence(7, found)),
        (found, evidence(u32::MAX, found)),
    ] {
        log.refuse(&auditor, &says(4, liar, found, Some(wrong)), Refusal::WrongEvidence);
    }
    log.add(&auditor, &says(4, liar, found, Some(evidence(6, found))));
    let juror = asked(&log, &people).unwrap();
    let more = says(4, liar, found, Some(evidence(6, found)));
    log.refuse(&juror, &more, Refusal::WrongEvidence);
}

#[test]
fn without_a_trace_there_is_no_evidence() {
    let (anna, _, _) = people();
    let mut log = Log::with_members(AUDITED, &[&anna]);
    log.add(&coordinator(), &opened(1, initial()));
    log.add(&anna, &contribution_with(&anna, 1, initial(), Some(engine()), None));
    log.add(&coordinator(), &closed(1));
    let said = attestation(1, initial(), result(1));
    log.add(&anna, &said);
    log.add(&coordinator(), &said);
    let found = cid("what it really gives");
    let with = says(1, &anna, found, Some(evidence(0, found)));
    log.refuse(&coordinator(), &with, Refusal::WrongEvidence);
    log.add(&coordinator(), &says(1, &anna, found, None));
    assert_eq!(faults(&log).len(), 1, "it is found out all the same");
}

/// What follows when the jury comes to this ruling.
fn dispute(is_right: bool) -> (Log, Person, Vec<Change>) {
    let everybody: Vec<_> = (1..=4).map(Person::new).collect();
    let people: Vec<_> = everybody.iter().collect();
    let (mut log, auditor) = drawn(&people);
    let (liar, found) = (people[0], cid("what it really gives"));
    log.add(&auditor, &says(4, liar, found, Some(evidence(3, cid("the state after")))));
    let mut changes = Vec::new();
    while let Some(juror) = asked(&log, &people) {
        let (_round, _whose, audit) = log.state.audit_duty(&juror.account()).unwrap();
        let accusation = audit.accusation().unwrap();
        assert_eq!((accusation.found, accusation.evidence.piece), (found, 3));
        let word = if is_right { found } else { update_of(liar) };
        changes.extend(log.add(&juror, &says(4, liar, word, None)));
    }
    (log, auditor, changes)
}

#[test]
fn a_liar_is_out_when_the_piece_shows_it() {
    let (log, _auditor, changes) = dispute(true);
    let liar = Person::new(1);
    let found = cid("what it really gives");
    assert_eq!(faults(&log), [FaultKind::NotTrained { claimed: update_of(&liar), found }]);
    assert!(log.state.member(&liar.account()).unwrap().is_expelled(), "{changes:?}");
}

#[test]
fn a_false_accuser_loses_what_it_had_to_show_for() {
    let (log, auditor, changes) = dispute(false);
    let accused = Person::new(1);
    let (contributor, update) = (accused.account(), update_of(&accused));
    let found = cid("what it really gives");
    assert_eq!(faults(&log), [FaultKind::FalselyAudited { contributor, found, update }]);
    assert!(changes.iter().any(|change| matches!(change, Change::Confirmed { .. })));
    assert!(log.state.member(&auditor.account()).is_none_or(|member| member.audited() == 0));
}

#[test]
fn a_tab_hands_on_its_evidence_and_goes_without_where_that_is_refused() {
    let everybody: Vec<_> = (1..=4).map(Person::new).collect();
    let people: Vec<_> = everybody.iter().collect();
    // Who is drawn follows from the log: of a few ends of the same log, one draws a tab.
    let (mut log, mut auditor) = drawn(&people);
    let mut round = 4;
    while auditor.account() == coordinator().account() {
        confirm_all_but(&mut log, &people, None);
        round += 1;
        settle(&mut log, round, &people);
        confirm_all_but(&mut log, &people, Some(people[0]));
        auditor = asked(&log, &people).unwrap();
    }
    let mut reader = Reader::new(&auditor, TRACED);
    reader.tell(&log, ParticipantEvent::Connected);
    reader.tell(&log, ParticipantEvent::Join);
    let actions = reader.tell(&log, ParticipantEvent::CaughtUp);
    let repetition = actions.iter().find_map(|action| match action {
        ParticipantAction::Repeat(repetition) => Some(repetition.clone()),
        _ => None,
    });
    let repetition = repetition.unwrap();
    assert_eq!((repetition.update, repetition.trace), (update_of(people[0]), Some(trace(people[0]))));
    assert_eq!(repetition.accusation, None);
    let (round, contributor, found) = (repetition.round, repetition.contributor, cid("what it really gives"));
    let evidence = Some(evidence(2, cid("a state")));
    let said = |actions: &[ParticipantAction]| {
        actions.iter().find_map(|action| match action {
            ParticipantAction::Submit { ticket, entry: Entry::Audit { evidence, .. } } => {
                Some((*ticket, *evidence))
            }
            _ => None,
        })
    };
    let told = ParticipantEvent::Repeated { round, contributor, found, evidence };
    let (ticket, first) = said(&reader.tell(&log, told)).unwrap();
    assert_eq!(first, evidence);
    reader.tell(&log, ParticipantEvent::Refused { ticket });
    log.wait(1_000);
    let (_ticket, second) = said(&reader.tell(&log, ParticipantEvent::Tick)).unwrap();
    assert_eq!(second, None);
}
