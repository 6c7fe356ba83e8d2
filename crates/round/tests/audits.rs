//! Trainings that others repeat: who has to, what it earns, and what follows where they find something else.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use fixture::*;
use lichen_record::{Cid, EngineKind, EngineVersion, Entry, RoundNumber};
use lichen_round::{Change, FaultKind, ParticipantAction, ParticipantEvent, Refusal, Rules};
use lichen_round::{Coordinator, CoordinatorAction, CoordinatorEvent};

/// A contribution of this person's own, by an engine that gives the same bits everywhere.
fn trained(person: &Person, round: u64, base: Cid) -> Entry {
    by(person, round, base, engine())
}

fn by(person: &Person, round: u64, base: Cid, engine: EngineVersion) -> Entry {
    match contribution_of(person, round, base) {
        Entry::Contribution { campaign, round, base, update, samples, metrics, .. } => Entry::Contribution {
            campaign,
            round,
            base,
            update,
            samples,
            metrics,
            engine: Some(engine),
            trace: None,
        },
        other => panic!("{other:?}"),
    }
}

fn result(round: u64) -> Cid {
    cid(&format!("the result of round {round}"))
}

fn base(round: u64) -> Cid {
    if round == 1 { initial() } else { result(round - 1) }
}

/// A round of these members from its opening to its settlement; what its last entry changed.
fn settle(log: &mut Log, round: u64, members: &[&Person]) -> Vec<Change> {
    log.wait(2_000);
    log.add(&coordinator(), &opened(round, base(round)));
    for member in members {
        log.add(member, &trained(member, round, base(round)));
    }
    log.add(&coordinator(), &closed(round));
    let said = attestation(round, base(round), result(round));
    let mut changes = log.add(members[0], &said);
    changes.extend(log.add(&coordinator(), &said));
    changes
}

/// Whoever has to repeat something finds what was contributed, until nothing is left to repeat.
fn confirm_all(log: &mut Log, people: &[&Person]) {
    while log.state.audits_waiting() > 0 {
        for person in people.iter().copied().chain([&coordinator()]) {
            if let Some((round, contributor, audit)) = log.state.audit_duty(&person.account()) {
                let found = audit.claimed;
                let whom = people.iter().find(|person| person.account() == contributor).unwrap();
                log.add(person, &fixture::audit(round.0, whom, found));
            }
        }
    }
}

/// A campaign whose members have all earned their weight, before round 4 (which `settle` opens).
fn earned(members: &[&Person]) -> Log {
    let mut log = Log::with_members(AUDITED, members);
    for round in 1..=3 {
        settle(&mut log, round, members);
        confirm_all(&mut log, members);
    }
    log
}

fn drawn(changes: &[Change]) -> usize {
    changes.iter().filter(|change| matches!(change, Change::AuditDrawn { .. })).count()
}

#[test]
fn nothing_is_repeated_unless_the_manifest_says_so() {
    let (anna, ben, _) = people();
    let mut log = Log::with_members(RULES, &[&anna, &ben]);
    assert_eq!(drawn(&settle(&mut log, 1, &[&anna, &ben])), 0);
    assert_eq!(log.state.audits_waiting(), 0);
    log.refuse(&coordinator(), &audit(1, &anna, update_of(&anna)), Refusal::NotAnAuditor);
}

#[test]
fn at_first_the_coordinator_repeats_trainings() {
    let (anna, ben, _) = people();
    let mut log = Log::with_members(AUDITED, &[&anna, &ben]);
    assert_eq!(drawn(&settle(&mut log, 1, &[&anna, &ben])), 2);
    let said = audit(1, &anna, update_of(&anna));
    log.refuse(&ben, &said, Refusal::NotAnAuditor);
    let round = RoundNumber(1);
    let changes = log.add(&coordinator(), &said);
    let (contributor, auditor) = (anna.account(), coordinator().account());
    let found = update_of(&anna);
    assert_eq!(
        changes,
        [
            Change::Audited { round, contributor, auditor, found, agrees: true, evidence: None },
            Change::Confirmed { round, contributor }
        ]
    );
    assert_eq!(log.state.member(&anna.account()).unwrap().audited(), 1);
    log.refuse(&coordinator(), &said, Refusal::NotAnAuditor);
}

#[test]
fn weight_is_earned_by_trainings_that_others_find_alike() {
    let (anna, ben, carl) = people();
    let mut log = Log::with_members(AUDITED, &[&anna, &ben]);
    for round in 1..=2 {
        settle(&mut log, round, &[&anna, &ben]);
        confirm_all(&mut log, &[&anna, &ben]);
    }
    log.add(&carl, &joined(1));
    settle(&mut log, 3, &[&anna, &ben, &carl]);
    let weights = |log: &Log, person: &Person| {
        let inputs = log.state.round().unwrap().inputs();
        inputs.iter().find(|input| input.account == person.account()).unwrap().weight
    };
    assert_eq!(weights(&log, &anna), weights(&log, &ben));
    assert_eq!(weights(&log, &anna), 16 * 256);
    assert_eq!(weights(&log, &carl), 16 * 256 / 3, "one part of three, with nothing shown yet");
}

#[test]
fn new_accounts_together_weigh_a_quarter() {
    let (anna, ben, _) = people();
    let mut log = earned(&[&anna, &ben]);
    let strangers: Vec<_> = (10..50).map(Person::new).collect();
    for stranger in &strangers {
        log.add(stranger, &joined(1));
    }
    let all: Vec<_> = strangers.iter().chain([&anna, &ben]).collect();
    settle(&mut log, 4, &all);
    let inputs = log.state.round().unwrap().inputs();
    let is_new = |account| strangers.iter().any(|stranger| stranger.account() == account);
    let (new, known): (Vec<_>, Vec<_>) = inputs.iter().partition(|input| is_new(input.account));
    let sum = |inputs: &[&lichen_round::Input]| inputs.iter().map(|input| input.weight).sum::<u32>();
    assert!(sum(&new) * 3 <= sum(&known) && sum(&new) * 3 > sum(&known) * 9 / 10);
}

#[test]
fn who_contributes_what_no_training_gives_is_out() {
    let (anna, ben, _) = people();
    let mut log = Log::with_members(AUDITED, &[&anna, &ben]);
    settle(&mut log, 1, &[&anna, &ben]);
    assert_eq!(log.state.contributions(), 2);
    let found = cid("what it really gives");
    let changes = log.add(&coordinator(), &audit(1, &anna, found));
    let Some(Change::Faulted(fault)) = changes.last() else { panic!("{changes:?}") };
    assert_eq!(fault.account, anna.account());
    assert_eq!(fault.kind, FaultKind::NotTrained { claimed: update_of(&anna), found });
    let member = log.state.member(&anna.account()).unwrap();
    assert!(member.is_expelled() && member.contributions() == 0);
    assert_eq!(log.state.contributions(), 1);
    log.wait(2_000);
    log.add(&coordinator(), &opened(2, base(2)));
    log.refuse(&anna, &trained(&anna, 2, base(2)), Refusal::Barred);
    // Going back forgives those who attested what stands no longer, and nobody else.
    log.add(&ben, &trained(&ben, 2, base(2)));
    log.add(&coordinator(), &closed(2));
    let said = attestation(2, base(2), result(2));
    log.add(&ben, &said);
    log.add(&coordinator(), &said);
    log.wait(2_000);
    log.add(&coordinator(), &opened(3, initial()));
    log.refuse(&anna, &trained(&anna, 3, initial()), Refusal::Barred);
}

/// Who has to repeat the training of this contributor in round 4, and what follows from what each says: members who have
/// earned their weight, and the coordinator.
fn dispute(
    log: &mut Log,
    people: &[&Person],
    contributor: &Person,
    found: impl Fn(&Person) -> Cid,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let coordinator = coordinator();
    loop {
        let all = people.iter().copied().chain([&coordinator]);
        let next = all.into_iter().find(|person| {
            let duty = log.state.audit_duty(&person.account());
            duty.is_some_and(|(_, whose, _)| whose == contributor.account())
        });
        let Some(person) = next else { return changes };
        changes.extend(log.add(person, &audit(4, contributor, found(person))));
    }
}

fn faults(log: &Log) -> Vec<FaultKind> {
    log.state.faults().iter().map(|fault| fault.kind).collect()
}

#[test]
fn several_decide_where_two_disagree() {
    let everybody: Vec<_> = (1..=4).map(Person::new).collect();
    let people: Vec<_> = everybody.iter().collect();
    let mut log = earned(&people);
    settle(&mut log, 4, &people);
    confirm_all_but(&mut log, &people, people[0]);
    let found = cid("what it really gives");
    let changes = dispute(&mut log, &people, people[0], |_| found);
    let said =
        changes.iter().filter(|change| matches!(change, Change::Audited { agrees: false, .. })).count();
    assert_eq!(said, 3, "three of four are more than half: {changes:?}");
    assert_eq!(faults(&log), [FaultKind::NotTrained { claimed: update_of(people[0]), found }]);
    log.refuse(&coordinator(), &audit(4, people[0], found), Refusal::NotAnAuditor);
}

#[test]
fn who_accuses_falsely_is_at_fault() {
    let everybody: Vec<_> = (1..=4).map(Person::new).collect();
    let people: Vec<_> = everybody.iter().collect();
    let mut log = earned(&people);
    settle(&mut log, 4, &people);
    confirm_all_but(&mut log, &people, people[0]);
    let earned = log.state.member(&people[0].account()).unwrap().audited();
    // The first to speak accuses, whoever that is.
    let accuser = std::cell::Cell::new(None);
    let found = |person: &Person| {
        let first = accuser.get().unwrap_or(person.account());
        accuser.set(Some(first));
        if person.account() == first { cid("an invention") } else { update_of(people[0]) }
    };
    dispute(&mut log, &people, people[0], found);
    let update = update_of(people[0]);
    let kind =
        FaultKind::FalselyAudited { contributor: people[0].account(), found: cid("an invention"), update };
    assert_eq!(faults(&log), [kind]);
    assert_eq!(log.state.member(&people[0].account()).unwrap().audited(), earned + 1);
    let accuser = accuser.get().unwrap();
    if let Some(member) = log.state.member(&accuser) {
        assert_eq!(member.audited(), 0);
        assert!(!member.is_expelled());
    }
}

/// As [`confirm_all`], leaving the trainings of one out.
fn confirm_all_but(log: &mut Log, people: &[&Person], but: &Person) {
    loop {
        let coordinator = coordinator();
        let all = people.iter().copied().chain([&coordinator]);
        let duties = all.filter_map(|person| {
            let (round, whose, audit) = log.state.audit_duty(&person.account())?;
            (whose != but.account()).then(|| (person.clone(), round, whose, audit.claimed))
        });
        let Some((person, round, whose, claimed)) = duties.into_iter().next() else { return };
        let whom = people.iter().find(|person| person.account() == whose).unwrap();
        log.add(&person, &audit(round.0, whom, claimed));
    }
}

#[test]
fn what_nobody_repeats_lapses() {
    let (anna, ben, _) = people();
    let mut log = Log::with_members(AUDITED, &[&anna, &ben]);
    for round in 1..=40 {
        settle(&mut log, round, &[&anna, &ben]);
        assert!(log.state.audits_waiting() <= 64, "{}", log.state.audits_waiting());
    }
    log.refuse(&coordinator(), &audit(8, &anna, update_of(&anna)), Refusal::NotAnAuditor);
    log.add(&coordinator(), &audit(9, &anna, update_of(&anna)));
}

#[test]
fn what_gives_other_bits_elsewhere_is_not_repeated_and_earns_nothing() {
    let (anna, ben, _) = people();
    let mut log = earned(&[&anna, &ben]);
    log.wait(2_000);
    log.add(&coordinator(), &opened(4, base(4)));
    let gpu = EngineVersion { kind: EngineKind::Gpu, version: 1 };
    log.add(&anna, &by(&anna, 4, base(4), gpu));
    log.add(&ben, &trained(&ben, 4, base(4)));
    log.add(&coordinator(), &closed(4));
    let said = attestation(4, base(4), result(4));
    log.add(&ben, &said);
    let changes = log.add(&coordinator(), &said);
    assert_eq!(drawn(&changes), 1);
    let inputs = log.state.round().unwrap().inputs();
    let weight =
        |person: &Person| inputs.iter().find(|input| input.account == person.account()).unwrap().weight;
    assert_eq!((weight(&anna), weight(&ben)), (16 * 256 / 3, 16 * 256));
}

#[test]
fn a_tab_that_is_drawn_repeats_the_training_and_says_what_it_found() {
    let everybody: Vec<_> = (1..=3).map(Person::new).collect();
    let people: Vec<_> = everybody.iter().collect();
    let mut log = earned(&people);
    settle(&mut log, 4, &people);
    let is_drawn = |person: &&&Person| log.state.audit_duty(&person.account()).is_some();
    let drawn = people.iter().find(is_drawn).expect("three in four are");
    let (round, contributor, expected) = log.state.audit_duty(&drawn.account()).unwrap();
    let expected = expected.clone();
    let mut reader = Reader::new(drawn, AUDITED);
    reader.tell(&log, ParticipantEvent::Connected);
    reader.tell(&log, ParticipantEvent::Join);
    let actions = reader.tell(&log, ParticipantEvent::CaughtUp);
    let repetition = actions.iter().find_map(|action| match action {
        ParticipantAction::Repeat(repetition) => Some(repetition),
        _ => None,
    });
    let repetition = repetition.unwrap();
    assert_eq!((repetition.round, repetition.contributor), (round, contributor));
    assert_eq!((repetition.base, repetition.steps), (expected.base, 60));
    assert_eq!(repetition.shard, AUDITED.split.shard(AUDITED.seed, round, &contributor));

    let failed = ParticipantEvent::RepeatFailed { round, contributor };
    assert!(!asks_to_repeat(&reader.tell(&log, failed)), "it waits before it tries again");
    log.wait(1_000);
    assert!(asks_to_repeat(&reader.tell(&log, ParticipantEvent::Tick)));
    let found = expected.claimed;
    let actions = reader.tell(&log, ParticipantEvent::Repeated { round, contributor, found, evidence: None });
    let said = actions.iter().find_map(|action| match action {
        ParticipantAction::Submit { entry: entry @ Entry::Audit { .. }, .. } => Some(entry.clone()),
        _ => None,
    });
    log.add(drawn, &said.unwrap());
}

fn asks_to_repeat(actions: &[ParticipantAction]) -> bool {
    actions.iter().any(|action| matches!(action, ParticipantAction::Repeat(_)))
}

#[test]
fn the_coordinator_repeats_and_says_between_rounds() {
    let (anna, ben, _) = people();
    let mut log = Log::with_members(AUDITED, &[&anna, &ben]);
    settle(&mut log, 1, &[&anna, &ben]);
    let mut relay = Coordinator::new(
        coordinator().account(),
        lichen_round::CampaignState::new(campaign(), AUDITED),
        initial(),
    );
    let mut actions = Vec::new();
    for (time, entry) in log.records.clone() {
        actions.extend(relay.handle(log.time, CoordinatorEvent::Record { time, entry }));
    }
    actions.extend(relay.handle(log.time, CoordinatorEvent::CaughtUp));
    let repetition = actions.iter().find_map(|action| match action {
        CoordinatorAction::Repeat(repetition) => Some(repetition.clone()),
        _ => None,
    });
    let repetition = repetition.unwrap();
    let (round, contributor) = (repetition.round, repetition.contributor);
    let found = Some((cid("what it really gives"), None));
    let actions = relay.handle(log.time, CoordinatorEvent::Repeated { round, contributor, found });
    let said = actions.iter().find_map(|action| match action {
        CoordinatorAction::Append(entry @ Entry::Audit { .. }) => Some(entry.clone()),
        _ => None,
    });
    log.add(&coordinator(), &said.unwrap());
    assert_eq!(log.state.faults().len(), 1);
}

/// What is drawn follows from the log alone, and differs from log to log.
#[test]
fn draws_follow_from_the_log_and_are_as_many_as_the_manifest_says() {
    let share = lichen_campaign::Share::of(0.2);
    let audit = AUDITED.audit.map(|audit| lichen_campaign::Auditing { share, ..audit });
    let rules = Rules { audit, ..AUDITED };
    let everybody: Vec<_> = (1..=20).map(Person::new).collect();
    let people: Vec<_> = everybody.iter().collect();
    let mut log = Log::with_members(rules, &people);
    let counts: Vec<_> = (1..=20).map(|round| drawn(&settle(&mut log, round, &people))).collect();
    let total: usize = counts.iter().sum();
    // Of 400 with a chance of a fifth each: a standard deviation is 8.
    assert!((40..=120).contains(&total), "{counts:?}");
    let mut again = lichen_round::CampaignState::new(campaign(), rules);
    for (time, entry) in &log.records {
        again.apply(*time, entry).unwrap();
    }
    assert_eq!(again, log.state);
}
