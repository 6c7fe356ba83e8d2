//! A campaign that ends when its goal is reached.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use fixture::{
    BOTH, ENDING, Log, Person, RULES, Reader, attestation, campaign, cid, closed, contribution, coordinator,
    finished, initial, joined, left, opened,
};
use lichen_campaign::Settlement;
use lichen_record::{Cid, Entry, RoundNumber};
use lichen_round::{
    Activity, CampaignState, Change, Coordinator, CoordinatorAction as Action, CoordinatorEvent as Event,
    ParticipantAction, ParticipantEvent, Refusal, Rules,
};

fn result(round: u64) -> Cid {
    if round == 0 { initial() } else { cid(&format!("result {round}")) }
}

fn both() -> [Rules; 2] {
    BOTH.map(|rules| Rules { ends_at_goal: true, ..rules })
}

/// So many rounds settled, each with a result of its own.
fn settled(rules: Rules, person: &Person, rounds: u64) -> Log {
    let mut log = Log::with_members(rules, &[person]);
    for round in 1..=rounds {
        settle(&mut log, person, round, (result(round - 1), result(round)));
    }
    log
}

fn settle(log: &mut Log, person: &Person, round: u64, (base, result): (Cid, Cid)) {
    log.wait(log.state.rules().interval_ms);
    log.add(&coordinator(), &opened(round, base));
    log.add(person, &contribution(round, base));
    log.add(&coordinator(), &closed(round));
    log.add(person, &attestation(round, base, result));
    if log.state.rules().settlement == Settlement::Coordinator {
        log.add(&coordinator(), &attestation(round, base, result));
    }
}

#[test]
fn only_the_coordinator_ends_a_campaign_and_only_after_a_round() {
    for rules in both() {
        let (anna, bela) = (Person::new(1), Person::new(2));
        let mut log = Log::with_members(rules, &[&anna]);
        log.refuse(&coordinator(), &finished(1), Refusal::RoundNotOpen);
        settle(&mut log, &anna, 1, (initial(), result(1)));
        for person in [&anna, &bela] {
            log.refuse(person, &finished(1), Refusal::NotCoordinator);
        }
        log.wait(rules.interval_ms);
        log.add(&coordinator(), &opened(2, result(1)));
        log.refuse(&coordinator(), &finished(2), Refusal::RoundNotSettled);
        log.refuse(&coordinator(), &finished(1), Refusal::WrongRound);
        log.add(&anna, &contribution(2, result(1)));
        log.add(&coordinator(), &closed(2));
        log.refuse(&coordinator(), &finished(2), Refusal::RoundNotSettled);
    }
}

#[test]
fn where_the_manifest_does_not_say_so_no_goal_ends_it() {
    for rules in BOTH {
        let mut log = settled(rules, &Person::new(1), 2);
        log.refuse(&coordinator(), &finished(2), Refusal::GoesOn);
        assert!(!log.state.is_finished());
    }
}

#[test]
fn after_the_end_nothing_begins() {
    for rules in both() {
        let (anna, bela) = (Person::new(1), Person::new(2));
        let mut log = settled(rules, &anna, 2);
        let changes = log.add(&coordinator(), &finished(2));
        let ended = Change::Finished { result: result(2) };
        assert_eq!(changes, [Change::GoalReached { round: RoundNumber(2) }, ended]);
        assert!(log.state.is_finished() && log.state.is_at_goal());
        assert_eq!(log.state.checkpoint(), Some(result(2)));

        log.wait(rules.interval_ms);
        log.refuse(&coordinator(), &finished(2), Refusal::Finished);
        log.refuse(&coordinator(), &opened(3, result(2)), Refusal::Finished);
        log.refuse(&bela, &joined(1), Refusal::Finished);
        log.refuse(&anna, &contribution(3, result(2)), Refusal::Finished);
        log.refuse(&anna, &contribution(2, result(1)), Refusal::Duplicate);
        log.refuse(&coordinator(), &closed(2), Refusal::RoundNotOpen);
        log.add(&anna, &left(2));
        assert!(log.state.is_finished());
    }
}

#[test]
fn a_campaign_that_has_had_all_its_rounds_needs_no_other_end() {
    let mut log = settled(Rules { limit: 2, ..ENDING }, &Person::new(1), 2);
    assert!(log.state.is_finished() && !log.state.is_at_goal());
    log.refuse(&coordinator(), &finished(2), Refusal::Finished);
}

#[test]
fn going_back_opens_it_again_also_where_everybody_has_left() {
    for rules in both() {
        let (anna, bela) = (Person::new(1), Person::new(2));
        let mut log = settled(rules, &anna, 3);
        log.add(&coordinator(), &finished(3));
        log.add(&anna, &left(2));
        log.wait(rules.interval_ms);
        log.refuse(&coordinator(), &opened(4, cid("never settled")), Refusal::WrongBase);
        let changes = log.add(&coordinator(), &opened(4, result(1)));
        assert!(matches!(changes[0], Change::WentBack { to: RoundNumber(1), .. }), "{changes:?}");
        assert!(!log.state.is_finished() && !log.state.is_at_goal());
        log.add(&bela, &joined(1));
        log.add(&bela, &contribution(4, result(1)));
        log.add(&coordinator(), &closed(4));
        log.add(&bela, &attestation(4, result(1), result(4)));
        if rules.settlement == Settlement::Coordinator {
            log.add(&coordinator(), &attestation(4, result(1), result(4)));
        }
        // It may end again.
        log.add(&coordinator(), &finished(4));
        assert!(log.state.is_at_goal());
    }
}

/// A relay, the log that it orders, and what it measures.
struct Relay {
    coordinator: Coordinator,
    log: Log,
    told: usize,
    measured: Vec<(RoundNumber, Cid)>,
}

impl Relay {
    fn started(log: Log) -> Self {
        let state = CampaignState::new(campaign(), *log.state.rules());
        let coordinator = Coordinator::new(coordinator().account(), state, initial());
        let mut relay = Self { coordinator, log, told: 0, measured: Vec::new() };
        assert_eq!(relay.catch_up(), [], "nothing is done while the log is read");
        assert_eq!(relay.measured, []);
        relay
    }

    /// Tells it what was appended since, and says what it appends because of that.
    fn catch_up(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (time, entry) in self.log.records.split_off(self.told) {
            let event = Event::Record { time, entry: entry.clone() };
            entries.extend(self.tell(event));
            self.log.records.push((time, entry));
        }
        self.told = self.log.records.len();
        entries
    }

    fn tell(&mut self, event: Event) -> Vec<Entry> {
        let mut entries = Vec::new();
        for action in self.coordinator.handle(self.log.time, event) {
            match action {
                Action::Append(entry) => entries.push(entry),
                Action::Measure { round, checkpoint, .. } => self.measured.push((round, checkpoint)),
                _ => {}
            }
        }
        entries
    }

    /// It is told what it asked for last.
    fn answer(&mut self, reaches_goal: bool) -> Vec<Entry> {
        let (_round, checkpoint) = *self.measured.last().unwrap();
        let target = self.coordinator.state().rules().target.unwrap();
        self.tell(Event::Measured { checkpoint, target, reaches_goal })
    }

    /// The same relay, ready to act, with its log's interval over.
    fn acting(log: Log) -> (Self, Vec<Entry>) {
        let mut relay = Self::started(log);
        relay.log.wait(RULES.interval_ms);
        let entries = relay.tell(Event::CaughtUp);
        (relay, entries)
    }
}

fn measure(round: u64) -> (RoundNumber, Cid) {
    (RoundNumber(round), result(round))
}

#[test]
fn two_rounds_one_after_the_other_have_to_reach_the_goal() {
    let anna = Person::new(1);
    for (first, second, next) in [
        (true, true, finished(3)),
        (true, false, opened(4, result(3))),
        (false, true, opened(4, result(3))),
        (false, false, opened(4, result(3))),
    ] {
        let (mut relay, entries) = Relay::acting(settled(ENDING, &anna, 3));
        assert_eq!((entries, &relay.measured[..]), (Vec::new(), &[measure(2)][..]));
        let entries = relay.answer(first);
        if first {
            assert_eq!((entries, &relay.measured[..]), (Vec::new(), &[measure(2), measure(3)][..]));
            assert_eq!(relay.answer(second), [next]);
        } else {
            // This round ends nothing, and so nothing waits for it to be measured.
            assert_eq!((entries, &relay.measured[..]), (vec![next], &[measure(2), measure(3)][..]));
            assert_eq!(relay.answer(second), [], "the opening is under way");
        }
    }
}

#[test]
fn each_checkpoint_is_measured_once_while_rounds_go_on() {
    let anna = Person::new(1);
    let (mut relay, entries) = Relay::acting(settled(ENDING, &anna, 1));
    assert_eq!(entries, [opened(2, result(1))], "the initial checkpoint came out of no round");
    assert_eq!(relay.measured, [measure(1)]);
    relay.log.add(&coordinator(), &opened(2, result(1)));
    assert_eq!(relay.catch_up(), []);
    assert_eq!(relay.answer(true), [], "a round is under way, and only one was good");
    relay.log.wait(RULES.interval_ms);
    relay.log.add(&anna, &contribution(2, result(1)));
    assert_eq!(relay.catch_up(), [closed(2)]);
    for (person, entry) in [
        (coordinator(), closed(2)),
        (anna.clone(), attestation(2, result(1), result(2))),
        (coordinator(), attestation(2, result(1), result(2))),
    ] {
        relay.log.add(&person, &entry);
        assert_eq!(relay.catch_up(), []);
    }
    assert_eq!(relay.measured, [measure(1), measure(2)]);
    assert_eq!(relay.answer(true), [finished(2)]);
    relay.log.add(&coordinator(), &finished(2));
    relay.log.wait(RULES.interval_ms);
    assert_eq!((relay.catch_up(), relay.tell(Event::Tick)), (Vec::new(), Vec::new()));
    assert_eq!(relay.measured.len(), 2);
}

#[test]
fn a_round_that_was_set_aside_is_no_second_one() {
    let anna = Person::new(1);
    let mut log = settled(ENDING, &anna, 2);
    settle(&mut log, &anna, 3, (result(2), result(2)));
    let (mut relay, entries) = Relay::acting(log);
    assert_eq!(entries, [opened(4, result(2))]);
    assert_eq!(relay.answer(true), []);
}

#[test]
fn a_relay_that_died_before_it_said_so_measures_again_and_says_so() {
    let anna = Person::new(1);
    let (mut relay, _) = Relay::acting(settled(ENDING, &anna, 2));
    relay.answer(true);
    assert_eq!(relay.answer(true), [finished(2)]);
    // It dies here, and only what is in the log is left.
    let (mut relay, entries) = Relay::acting(settled(ENDING, &anna, 2));
    assert_eq!(entries, []);
    relay.answer(true);
    assert_eq!(relay.answer(true), [finished(2)]);

    let mut log = settled(ENDING, &anna, 2);
    log.add(&coordinator(), &finished(2));
    let (mut relay, entries) = Relay::acting(log);
    assert_eq!(entries, [], "it stays finished");
    relay.answer(true);
    assert_eq!(relay.answer(true), [], "it is not said twice");
}

#[test]
fn the_operator_s_going_back_comes_before_the_end() {
    let anna = Person::new(1);
    for is_over in [false, true] {
        let mut log = settled(ENDING, &anna, 3);
        if is_over {
            log.add(&coordinator(), &finished(3));
        }
        let mut relay = Relay::started(log);
        relay.log.wait(RULES.interval_ms);
        relay.tell(Event::GoBack { to: RoundNumber(1) });
        assert_eq!(relay.tell(Event::CaughtUp), [opened(4, result(1))]);
    }
}

#[test]
fn a_campaign_that_is_over_does_not_go_back_to_where_it_is() {
    let mut log = settled(ENDING, &Person::new(1), 3);
    log.add(&coordinator(), &finished(3));
    let mut relay = Relay::started(log);
    relay.log.wait(RULES.interval_ms);
    relay.tell(Event::GoBack { to: RoundNumber(3) });
    assert_eq!(relay.tell(Event::CaughtUp), []);
}

#[test]
fn campaigns_that_go_on_measure_nothing() {
    let (relay, entries) = Relay::acting(settled(RULES, &Person::new(1), 3));
    assert_eq!((entries, relay.measured), (vec![opened(4, result(3))], Vec::new()));
}

#[test]
fn a_tab_stops_training_at_the_end_and_begins_again_when_the_campaign_does() {
    for rules in both() {
        let anna = Person::new(1);
        let mut log = settled(rules, &anna, 2);
        let mut anna = Reader::new(&anna, rules);
        let trains = |action: &ParticipantAction| matches!(action, ParticipantAction::Train { .. });
        let stops = |action: &ParticipantAction| matches!(action, ParticipantAction::StopTraining { .. });

        anna.tell(&log, ParticipantEvent::Connected);
        anna.tell(&log, ParticipantEvent::Join);
        anna.tell(&log, ParticipantEvent::CaughtUp);
        let actions = anna.tell(&log, ParticipantEvent::Fetched { cid: result(2) });
        assert!(actions.iter().any(trains));
        log.add(&coordinator(), &finished(2));
        let actions = anna.tell(&log, ParticipantEvent::Tick);
        assert!(actions.iter().any(stops), "{actions:?}");
        assert_eq!(anna.tab.activity(), Activity::Finished);

        log.wait(rules.interval_ms);
        log.add(&coordinator(), &opened(3, result(1)));
        anna.tell(&log, ParticipantEvent::Tick);
        let actions = anna.tell(&log, ParticipantEvent::Fetched { cid: result(1) });
        assert!(actions.iter().any(trains));
        assert_eq!(anna.tab.activity(), Activity::Training { round: RoundNumber(3) });
    }
}
