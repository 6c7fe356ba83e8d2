//! What the relay does, event by event.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use fixture::{
    Log, MESH, Person, RULES, attestation, campaign, cid, closed, contribution, coordinator, departed,
    initial, joined, left, opened, published,
};
use lichen_record::RoundNumber;
use lichen_round::{
    CampaignState, Coordinator, CoordinatorAction as Action, CoordinatorEvent as Event, Input, Refusal, Rules,
};

const ROUND: RoundNumber = RoundNumber(1);

fn relay(rules: Rules) -> Coordinator {
    Coordinator::new(coordinator().account(), CampaignState::new(campaign(), rules), initial())
}

/// What the event brings about, besides reports.
fn tell(relay: &mut Coordinator, now: u64, event: Event) -> Vec<Action> {
    let mut actions = relay.handle(now, event);
    actions.retain(|action| !matches!(action, Action::Report(_)));
    actions
}

/// A relay started on this log, and what it does first.
fn started(log: &Log, now: u64) -> (Coordinator, Vec<Action>) {
    let mut relay = relay(*log.state.rules());
    for (time, entry) in &log.records {
        let actions = tell(&mut relay, now, Event::Record { time: *time, entry: entry.clone() });
        assert_eq!(actions, [], "nothing is done while the log is read");
    }
    let actions = tell(&mut relay, now, Event::CaughtUp);
    (relay, actions)
}

/// Appends to the log and tells the relay.
fn add(relay: &mut Coordinator, log: &mut Log, person: &Person, entry: &lichen_record::Entry) -> Vec<Action> {
    log.add(person, entry);
    let (time, entry) = log.records.last().unwrap().clone();
    tell(relay, log.time, Event::Record { time, entry })
}

#[test]
fn an_empty_log_is_opened_once() {
    let mut log = Log::new(RULES);
    let (mut relay, actions) = started(&log, log.time);
    assert_eq!(actions, [Action::Append(published())]);
    assert_eq!(tell(&mut relay, log.time, Event::Tick), [], "it is under way");
    assert_eq!(add(&mut relay, &mut log, &coordinator(), &published()), []);
    assert_eq!(started(&log, log.time).1, []);
}

#[test]
fn what_could_not_be_appended_is_tried_again_after_a_pause() {
    let (mut relay, actions) = started(&Log::new(RULES), 1_000);
    assert_eq!(actions, [Action::Append(published())]);
    assert_eq!(tell(&mut relay, 1_000, Event::AppendFailed), [Action::WakeAt(1_500)]);
    assert_eq!(tell(&mut relay, 1_499, Event::Tick), [Action::WakeAt(1_500)], "it rang early");
    assert_eq!(tell(&mut relay, 1_500, Event::Tick), [Action::Append(published())]);
}

#[test]
fn an_opening_overtaken_by_the_only_member_s_leaving_is_dropped() {
    let anna = Person::new(1);
    let mut log = Log::with_members(RULES, &[]);
    let (mut relay, _) = started(&log, log.time);
    let actions = add(&mut relay, &mut log, &anna, &joined(1));
    assert_eq!(actions, [Action::Append(opened(1, initial()))]);
    assert_eq!(add(&mut relay, &mut log, &anna, &left(2)), []);
    let late = coordinator().sign(&opened(1, initial()));
    assert_eq!(relay.admit(log.time, &late), Err(Refusal::NobodyExpected));
    assert_eq!(tell(&mut relay, log.time, Event::AppendFailed), []);
    log.wait(10_000);
    assert_eq!(add(&mut relay, &mut log, &anna, &joined(3)), [Action::Append(opened(1, initial()))]);
}

#[test]
fn a_round_closes_when_complete_or_at_its_deadline() {
    let (anna, bela) = (Person::new(1), Person::new(2));
    let mut log = Log::with_members(RULES, &[&anna, &bela]);
    let (mut relay, actions) = started(&log, log.time);
    assert_eq!(actions, [Action::Append(opened(1, initial()))]);
    assert_eq!(add(&mut relay, &mut log, &coordinator(), &opened(1, initial())), []);
    let deadline = log.time + RULES.deadline_ms;
    let actions = add(&mut relay, &mut log, &anna, &contribution(1, initial()));
    assert_eq!(actions, [Action::WakeAt(deadline)]);
    let mut waiting = relay.clone();
    assert_eq!(tell(&mut waiting, deadline - 1, Event::Tick), [Action::WakeAt(deadline)], "it rang early");
    assert_eq!(tell(&mut waiting, deadline, Event::Tick), [Action::Append(closed(1))]);
    let actions = add(&mut relay, &mut log, &bela, &contribution(1, initial()));
    assert_eq!(actions, [Action::Append(closed(1))]);
}

/// Round 1 is closed with the contributions of these members.
fn closed_log(members: &[&Person]) -> Log {
    let mut log = Log::with_members(RULES, members);
    log.add(&coordinator(), &opened(1, initial()));
    for member in members {
        log.add(member, &contribution(1, initial()));
    }
    log.add(&coordinator(), &closed(1));
    log
}

#[test]
fn the_coordinator_attests_when_its_word_settles() {
    let anna = Person::new(1);
    let mut log = closed_log(&[&anna]);
    let (mut relay, actions) = started(&log, log.time);
    let inputs = vec![Input { account: anna.account(), weight: 16, update: cid("an update"), steps: 60 }];
    assert_eq!(actions, [Action::Aggregate { round: ROUND, base: initial(), state: None, inputs }]);
    let result = cid("one");
    let deadline = log.time + RULES.deadline_ms;
    assert_eq!(
        tell(
            &mut relay,
            log.time,
            Event::Aggregated { round: ROUND, outcome: result.into(), difference: None }
        ),
        [Action::WakeAt(deadline)]
    );
    let one = attestation(1, initial(), result);
    let mut waiting = relay.clone();
    assert_eq!(tell(&mut waiting, deadline, Event::Tick), [Action::Append(one.clone())], "nobody else spoke");
    assert_eq!(add(&mut relay, &mut log, &anna, &one), [Action::Append(one.clone())]);
    let actions = add(&mut relay, &mut log, &coordinator(), &one);
    assert_eq!(actions, [Action::WakeAt(log.time + RULES.interval_ms)]);
    let next = tell(&mut relay, log.time + RULES.interval_ms, Event::Tick);
    assert_eq!(next, [Action::Append(opened(2, result))]);
}

#[test]
fn the_coordinator_ends_a_round_in_which_most_contradict_it() {
    let people = [1, 2, 3].map(Person::new);
    let mut log = closed_log(&people.iter().collect::<Vec<_>>());
    let closed_at = log.time;
    let outcome = cid("result").into();
    let (mut relay, _) = started(&log, closed_at);
    tell(&mut relay, closed_at, Event::Aggregated { round: ROUND, outcome, difference: None });
    for person in &people {
        add(&mut relay, &mut log, person, &attestation(1, initial(), cid("another")));
    }
    let late = closed_at + 10_000;
    let word = Action::Append(attestation(1, initial(), cid("result")));
    assert!(tell(&mut relay, late, Event::Tick).contains(&word));
    log.wait(10_000);
    let actions = add(&mut relay, &mut log, &coordinator(), &attestation(1, initial(), cid("result")));
    assert!(actions.contains(&Action::WakeAt(closed_at + 20_000)), "{actions:?}");
    let actions = tell(&mut relay, closed_at + 20_000, Event::Tick);
    assert!(actions.contains(&Action::Append(closed(1))), "{actions:?}");
}

#[test]
fn the_coordinator_never_attests_twice() {
    let anna = Person::new(1);
    let mut log = closed_log(&[&anna]);
    log.add(&anna, &attestation(1, initial(), cid("false")));
    log.wait(RULES.deadline_ms);
    log.add(&coordinator(), &attestation(1, initial(), cid("one")));
    assert_eq!(log.state.settled(), 0);
    let (mut relay, actions) = started(&log, log.time + 60_000);
    let patient = log.time + 60_000 + RULES.deadline_ms;
    assert_eq!(actions, [Action::WakeAt(patient)]);
    let aggregated = Event::Aggregated { round: ROUND, outcome: cid("two").into(), difference: None };
    assert_eq!(tell(&mut relay, log.time + 60_000, aggregated), []);
    assert_eq!(tell(&mut relay, patient, Event::Tick), [Action::Append(closed(1))]);
}

#[test]
fn a_failed_aggregation_is_tried_again() {
    let log = closed_log(&[&Person::new(1)]);
    let (mut relay, actions) = started(&log, 5_000);
    assert_eq!(tell(&mut relay, 5_000, Event::Tick), [], "it is under way");
    assert_eq!(tell(&mut relay, 5_000, Event::AggregateFailed { round: ROUND }), [Action::WakeAt(5_500)]);
    assert_eq!(tell(&mut relay, 5_500, Event::Tick), actions);
}

#[test]
fn log_time_never_runs_backwards_though_clocks_may() {
    let log = Log::with_members(RULES, &[]);
    let (relay, _) = started(&log, log.time);
    let entry = Person::new(1).sign(&joined(1));
    assert_eq!(relay.admit(log.time + 5, &entry), Ok(log.time + 5));
    assert_eq!(relay.admit(0, &entry), Ok(log.time));
}

#[test]
fn in_another_coordinators_log_it_keeps_silent() {
    let log = closed_log(&[&Person::new(1)]);
    let stranger = Person::new(9).account();
    let mut relay = Coordinator::new(stranger, CampaignState::new(campaign(), RULES), initial());
    for (time, entry) in &log.records {
        tell(&mut relay, log.time, Event::Record { time: *time, entry: entry.clone() });
    }
    assert_eq!(tell(&mut relay, log.time, Event::CaughtUp), []);
    assert_eq!(tell(&mut relay, log.time + 60_000, Event::Tick), []);
}

#[test]
fn a_false_log_is_not_continued() {
    let mut relay = relay(RULES);
    let forged = Person::new(1).sign(&joined(1));
    let actions = tell(&mut relay, 0, Event::Record { time: 0, entry: forged });
    assert_eq!(actions, [Action::Distrust(Refusal::NotPublished)]);
    assert_eq!(tell(&mut relay, 0, Event::CaughtUp), []);
}

#[test]
fn in_a_mesh_the_coordinator_attests_nothing_and_ends_the_round_at_its_deadline() {
    let anna = Person::new(1);
    let mut log = Log::with_members(MESH, &[&anna]);
    log.add(&coordinator(), &opened(1, initial()));
    log.add(&anna, &contribution(1, initial()));
    log.add(&coordinator(), &closed(1));
    let deadline = log.time + MESH.deadline_ms;
    let (mut relay, actions) = started(&log, log.time);
    assert_eq!(actions, [Action::WakeAt(deadline)]);
    let mut settling = relay.clone();
    assert_eq!(tell(&mut relay, deadline - 1, Event::Tick), [Action::WakeAt(deadline)]);
    assert_eq!(tell(&mut relay, deadline, Event::Tick), [Action::Append(closed(1))]);
    // Started again when the deadline has passed, it gives members the time to say what they could not say.
    let (_late, actions) = started(&log, deadline + 5_000);
    assert_eq!(actions, [Action::WakeAt(deadline + 5_000 + MESH.deadline_ms)]);
    let mut settled = log;
    let actions = add(&mut settling, &mut settled, &anna, &attestation(1, initial(), cid("one")));
    assert_eq!(actions, [Action::WakeAt(settled.time + MESH.interval_ms)]);
}

/// Round 1 is open, the first of these members has contributed, and the second one's connection is gone since `log.time`.
fn half_way(rules: Rules, members: &[&Person; 2]) -> (Log, Coordinator) {
    let mut log = Log::with_members(rules, members);
    log.add(&coordinator(), &opened(1, initial()));
    log.add(members[0], &contribution(1, initial()));
    let (mut relay, _) = started(&log, log.time);
    let gone = Event::PeerGone { account: members[1].account() };
    assert_eq!(tell(&mut relay, log.time, gone), [Action::WakeAt(log.time + GRACE_MS)]);
    (log, relay)
}

/// How long a connection may be gone.
const GRACE_MS: u64 = 1_500;

#[test]
fn a_member_whose_connection_is_gone_is_not_waited_for() {
    for rules in [RULES, MESH] {
        let (anna, bela) = (Person::new(1), Person::new(2));
        let (mut log, mut relay) = half_way(rules, &[&anna, &bela]);
        log.wait(GRACE_MS - 1);
        assert_eq!(tell(&mut relay, log.time, Event::Tick), [Action::WakeAt(log.time + 1)], "it rang early");
        log.wait(1);
        let gone = departed(1, &bela);
        assert_eq!(tell(&mut relay, log.time, Event::Tick), [Action::Append(gone.clone())]);
        assert_eq!(tell(&mut relay, log.time, Event::Tick), [], "it is under way");
        assert_eq!(add(&mut relay, &mut log, &coordinator(), &gone), [Action::Append(closed(1))]);
    }
}

#[test]
fn a_member_that_is_back_in_time_is_waited_for() {
    let (anna, bela) = (Person::new(1), Person::new(2));
    let (mut log, mut relay) = half_way(RULES, &[&anna, &bela]);
    log.wait(GRACE_MS - 1);
    let back = Event::PeerBack { account: bela.account() };
    let deadline = log.state.round().unwrap().deadline(&RULES);
    assert_eq!(tell(&mut relay, log.time, back), [Action::WakeAt(deadline)]);
    log.wait(1);
    assert_eq!(tell(&mut relay, log.time, Event::Tick), [Action::WakeAt(deadline)]);
    assert_eq!(tell(&mut relay, deadline, Event::Tick), [Action::Append(closed(1))]);
}

#[test]
fn a_departure_that_nobody_waits_for_is_not_said() {
    let (anna, bela, stranger) = (Person::new(1), Person::new(2), Person::new(3));
    let (log, mut relay) = half_way(RULES, &[&anna, &bela]);
    let wakes = relay.clone();
    for account in [stranger.account(), coordinator().account()] {
        assert_eq!(tell(&mut relay, log.time, Event::PeerGone { account }), [], "it is no member");
    }
    relay = wakes;
    // Who has contributed is not waited for in the open round.
    assert_eq!(tell(&mut relay, log.time, Event::PeerGone { account: anna.account() }), []);
    assert_eq!(tell(&mut relay, log.time, Event::PeerBack { account: bela.account() }), []);
    let actions = tell(&mut relay, log.time + GRACE_MS, Event::Tick);
    assert_eq!(actions, [Action::WakeAt(log.state.round().unwrap().deadline(&RULES))]);
}

#[test]
fn who_is_gone_between_two_rounds_is_said_to_be_as_soon_as_one_opens() {
    for rules in [RULES, MESH] {
        let (anna, bela) = (Person::new(1), Person::new(2));
        let mut log = Log::with_members(rules, &[&anna, &bela]);
        let (mut relay, _) = started(&log, log.time);
        tell(&mut relay, log.time, Event::PeerGone { account: bela.account() });
        log.wait(10 * GRACE_MS);
        let actions = add(&mut relay, &mut log, &coordinator(), &opened(1, initial()));
        assert_eq!(actions, [Action::Append(departed(1, &bela))]);
        assert_eq!(add(&mut relay, &mut log, &coordinator(), &departed(1, &bela)), []);
    }
}

#[test]
fn in_a_mesh_a_round_ends_when_nobody_is_left_to_attest() {
    let (anna, bela) = (Person::new(1), Person::new(2));
    let mut log = Log::with_members(MESH, &[&anna, &bela]);
    log.add(&coordinator(), &opened(1, initial()));
    for person in [&anna, &bela] {
        log.add(person, &contribution(1, initial()));
    }
    log.add(&coordinator(), &closed(1));
    log.add(&anna, &attestation(1, initial(), cid("one")));
    let (mut relay, _) = started(&log, log.time);
    tell(&mut relay, log.time, Event::PeerGone { account: bela.account() });
    log.wait(GRACE_MS);
    assert_eq!(tell(&mut relay, log.time, Event::Tick), [Action::Append(departed(1, &bela))]);
    assert_eq!(add(&mut relay, &mut log, &coordinator(), &departed(1, &bela)), [Action::Append(closed(1))]);
}
