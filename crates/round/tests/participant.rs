//! What one tab does, event by event.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use fixture::{
    Log, MESH, Person, RULES, attestation, campaign, cid, closed, contribution, coordinator, engine, initial,
    joined, left, metrics, opened,
};
use lichen_record::{Cid, Entry, RoundNumber};
use lichen_round::{
    Activity, CampaignState, Input, Participant, ParticipantAction as Action, ParticipantEvent as Event,
    Refusal, Rules, Ticket,
};

const ROUND: RoundNumber = RoundNumber(1);

/// A tab beside the log that it follows.
struct Tab {
    person: Person,
    participant: Participant,
    received: usize,
    now: u64,
}

impl Tab {
    fn new(person: &Person, rules: Rules) -> Self {
        let participant = Participant::new(person.account(), CampaignState::new(campaign(), rules));
        Self { person: person.clone(), participant, received: 0, now: 50_000 }
    }

    /// A tab whose person has clicked, and which has read the log.
    fn live(person: &Person, log: &Log) -> (Self, Vec<Action>) {
        let mut tab = Self::new(person, *log.state.rules());
        assert_eq!(tab.tell(Event::Join), []);
        assert_eq!(tab.tell(Event::Connected), []);
        assert_eq!(tab.follow(log), []);
        let actions = tab.tell(Event::CaughtUp);
        (tab, actions)
    }

    /// What the event brings about, besides reports.
    fn tell(&mut self, event: Event) -> Vec<Action> {
        let mut actions = self.participant.handle(self.now, event);
        actions.retain(|action| !matches!(action, Action::Report(_)));
        actions
    }

    /// Reads the log up to its end.
    fn follow(&mut self, log: &Log) -> Vec<Action> {
        let mut actions = Vec::new();
        for (time, entry) in &log.records[self.received..] {
            actions.extend(self.tell(Event::Record { time: *time, entry: entry.clone() }));
        }
        self.received = log.records.len();
        actions
    }

    fn tick(&mut self, milliseconds: u64) -> Vec<Action> {
        self.now += milliseconds;
        self.tell(Event::Tick)
    }
}

fn people() -> (Person, Person) {
    (Person::new(1), Person::new(2))
}

/// A tab at work in round 1, whose member it is, with the base at hand.
fn training(log: &Log, person: &Person) -> Tab {
    let (mut tab, actions) = Tab::live(person, log);
    assert_eq!(actions, [Action::Fetch { cid: initial(), difference: None }]);
    let actions = tab.tell(Event::Fetched { cid: initial() });
    assert!(
        matches!(actions[..], [Action::Train { round: ROUND, .. }, Action::Evaluate { .. }]),
        "{actions:?}"
    );
    tab
}

fn open_for(members: &[&Person]) -> Log {
    let mut log = Log::with_members(RULES, members);
    log.add(&coordinator(), &opened(1, initial()));
    log
}

/// The one entry among the actions that is to be submitted.
fn submitted(actions: &[Action]) -> (Ticket, Entry) {
    let mut submissions = actions.iter().filter_map(|action| match action {
        Action::Submit { ticket, entry } => Some((*ticket, entry.clone())),
        _ => None,
    });
    let submission = submissions.next().unwrap();
    assert_eq!(submissions.next(), None);
    submission
}

fn update_of(tab: &Tab) -> Cid {
    cid(&format!("update of {}", tab.person.account()))
}

#[test]
fn nothing_happens_before_the_click() {
    let (anna, bela) = people();
    let log = open_for(&[&bela]);
    let mut tab = Tab::new(&anna, RULES);
    assert_eq!(tab.tell(Event::Connected), []);
    assert_eq!(tab.follow(&log), []);
    assert_eq!(tab.tell(Event::CaughtUp), []);
    assert_eq!(tab.tick(60_000), []);
    assert_eq!(tab.participant.activity(), Activity::Idle);
}

#[test]
fn a_click_joins_and_trains_at_once() {
    let (anna, bela) = people();
    let mut log = open_for(&[&bela]);
    let (mut tab, actions) = Tab::live(&anna, &log);
    assert_eq!(
        actions,
        [
            Action::Submit { ticket: Ticket(1), entry: joined(1) },
            Action::Fetch { cid: initial(), difference: None }
        ]
    );
    // Training need not wait for the log's saying that the account joined.
    let actions = tab.tell(Event::Fetched { cid: initial() });
    let [Action::Train { round, base, shard, steps, seed, .. }, Action::Evaluate { round: before, cid }] =
        &actions[..]
    else {
        panic!("{actions:?}")
    };
    assert_eq!((*round, *base, *steps), (ROUND, initial(), RULES.steps));
    assert_eq!(*shard, RULES.split.shard(RULES.seed, ROUND, &anna.account()));
    assert_eq!(*seed, lichen_campaign::training_seed(RULES.seed, ROUND, &anna.account()));
    assert_eq!((*before, *cid), (RoundNumber(0), initial()));
    // But the contribution must.
    assert_eq!(
        tab.tell(Event::Trained { round: ROUND, metrics: metrics(), engine: engine(), trace: None }),
        [Action::Publish { round: ROUND, base: initial() }]
    );
    assert_eq!(tab.tell(Event::Stored { round: ROUND, update: update_of(&tab) }), []);
    log.add(&anna, &joined(1));
    let (_ticket, entry) = submitted(&tab.follow(&log));
    log.add(&anna, &entry);
    assert_eq!(tab.follow(&log), []);
    assert_eq!(tab.participant.activity(), Activity::WaitingForOthers { round: ROUND });
}

#[test]
fn a_long_log_is_read_before_anything_is_done() {
    let (anna, bela) = people();
    let mut log = open_for(&[&anna, &bela]);
    log.add(&bela, &contribution(1, initial()));
    let mut tab = Tab::new(&anna, RULES);
    tab.tell(Event::Join);
    tab.tell(Event::Connected);
    assert_eq!(tab.follow(&log), []);
    assert_eq!(tab.tick(60_000), []);
    assert_eq!(tab.participant.activity(), Activity::CatchingUp);
    assert_eq!(tab.tell(Event::CaughtUp), [Action::Fetch { cid: initial(), difference: None }]);
}

#[test]
fn after_a_reload_nothing_is_done_twice() {
    let (anna, bela) = people();
    let mut log = open_for(&[&anna, &bela]);
    log.add(&anna, &contribution(1, initial()));
    let (mut tab, actions) = Tab::live(&anna, &log);
    // Neither a second joining nor a second training: only the chart's first point.
    assert_eq!(actions, [Action::Fetch { cid: initial(), difference: None }]);
    let actions = tab.tell(Event::Fetched { cid: initial() });
    assert!(matches!(actions[..], [Action::Evaluate { .. }]), "{actions:?}");
    assert_eq!(tab.tick(60_000), []);
}

#[test]
fn a_round_from_training_to_settlement() {
    let (anna, _) = people();
    let mut log = open_for(&[&anna]);
    let mut tab = training(&log, &anna);
    tab.tell(Event::Trained { round: ROUND, metrics: metrics(), engine: engine(), trace: None });
    let update = update_of(&tab);
    let (ticket, entry) = submitted(&tab.tell(Event::Stored { round: ROUND, update }));
    let samples = RULES.split.shard;
    assert_eq!(
        entry,
        Entry::Contribution {
            campaign: campaign(),
            round: ROUND,
            base: initial(),
            update,
            samples,
            metrics: metrics(),
            engine: Some(engine()),
            trace: None,
        }
    );
    log.add(&anna, &entry);
    assert_eq!(tab.tell(Event::Appended { ticket }), []);
    assert_eq!(tab.follow(&log), []);
    log.add(&coordinator(), &closed(1));
    let inputs = vec![Input { account: anna.account(), weight: samples, update, steps: 60 }];
    assert_eq!(
        tab.follow(&log),
        [Action::Aggregate { round: ROUND, base: initial(), state: None, inputs, excluded: 0 }]
    );
    let (_ticket, entry) = submitted(&tab.tell(Event::Aggregated {
        round: ROUND,
        excluded: 0,
        outcome: cid("one").into(),
        difference: None,
    }));
    assert_eq!(entry, attestation(1, initial(), cid("one")));
    log.add(&anna, &entry);
    log.add(&coordinator(), &attestation(1, initial(), cid("one")));
    // What was computed here need not be fetched, and what the next round starts from is known.
    let actions = tab.follow(&log);
    let [Action::Train { round: RoundNumber(2), base, .. }, evaluate] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((*base, evaluate), (cid("one"), &Action::Evaluate { round: ROUND, cid: cid("one") }));
}

#[test]
fn what_was_trained_before_its_round_is_contributed_when_it_opens() {
    let (anna, bela) = people();
    let mut log = Log::with_members(RULES, &[&bela]);
    let (mut tab, actions) = Tab::live(&anna, &log);
    let (_ticket, entry) = submitted(&actions);
    assert_eq!(entry, joined(1));
    let actions = tab.tell(Event::Fetched { cid: initial() });
    assert!(
        matches!(actions[..], [Action::Train { round: ROUND, .. }, Action::Evaluate { .. }]),
        "{actions:?}"
    );
    assert_eq!(tab.participant.activity(), Activity::Training { round: ROUND });
    assert_eq!(
        tab.tell(Event::Trained { round: ROUND, metrics: metrics(), engine: engine(), trace: None }),
        []
    );
    log.add(&anna, &entry);
    assert_eq!(tab.follow(&log), []);
    assert_eq!(tab.participant.activity(), Activity::WaitingForRound);
    log.add(&coordinator(), &opened(1, initial()));
    assert_eq!(tab.follow(&log), [Action::Publish { round: ROUND, base: initial() }]);
}

#[test]
fn an_unanswered_submission_is_repeated_after_reconnecting_if_the_log_lacks_it() {
    let (anna, _) = people();
    for reached_the_log in [false, true] {
        let mut log = open_for(&[&anna]);
        let mut tab = training(&log, &anna);
        tab.tell(Event::Trained { round: ROUND, metrics: metrics(), engine: engine(), trace: None });
        let update = update_of(&tab);
        let (first, entry) = submitted(&tab.tell(Event::Stored { round: ROUND, update }));
        assert_eq!(tab.tell(Event::Disconnected), []);
        if reached_the_log {
            log.add(&anna, &entry);
        }
        assert_eq!(tab.tell(Event::Connected), []);
        assert_eq!(tab.follow(&log), []);
        let actions = tab.tell(Event::CaughtUp);
        if reached_the_log {
            assert_eq!(actions, []);
        } else {
            let (second, again) = submitted(&actions);
            assert_eq!(again, entry);
            assert_ne!(second, first, "an answer to the first is no answer to the second");
        }
    }
}

#[test]
fn every_request_is_repeated_after_reconnecting() {
    let (anna, _) = people();
    let reconnect = |tab: &mut Tab, log: &Log| {
        tab.tell(Event::Disconnected);
        tab.tell(Event::Connected);
        assert_eq!(tab.follow(log), []);
        tab.tell(Event::CaughtUp)
    };
    let mut log = Log::with_members(RULES, &[]);
    let (mut tab, actions) = Tab::live(&anna, &log);
    assert!(matches!(actions[..], [Action::Submit { .. }, Action::Fetch { .. }]), "{actions:?}");
    let again = reconnect(&mut tab, &log);
    assert!(matches!(again[..], [Action::Submit { .. }, Action::Fetch { .. }]), "{again:?}");
    log.add(&anna, &joined(1));
    log.add(&coordinator(), &opened(1, initial()));
    tab.follow(&log);
    tab.tell(Event::Fetched { cid: initial() });
    // Training needs no connection: it goes on, once.
    assert_eq!(reconnect(&mut tab, &log), []);
    assert_eq!(tab.participant.activity(), Activity::Training { round: ROUND });
    tab.tell(Event::Trained { round: ROUND, metrics: metrics(), engine: engine(), trace: None });
    assert_eq!(reconnect(&mut tab, &log), [Action::Publish { round: ROUND, base: initial() }]);
    log.add(&anna, &contribution(1, initial()));
    log.add(&coordinator(), &closed(1));
    let actions = tab.follow(&log);
    assert!(matches!(actions[..], [Action::Aggregate { .. }]), "{actions:?}");
    let again = reconnect(&mut tab, &log);
    assert!(matches!(again[..], [Action::Aggregate { .. }]), "{again:?}");
    tab.tell(Event::Aggregated { round: ROUND, excluded: 0, outcome: cid("one").into(), difference: None });
    let (_ticket, entry) = submitted(&reconnect(&mut tab, &log));
    assert_eq!(entry, attestation(1, initial(), cid("one")));
}

#[test]
fn what_ends_while_offline_is_submitted_later() {
    let (anna, _) = people();
    let log = open_for(&[&anna]);
    let mut tab = training(&log, &anna);
    tab.tell(Event::Disconnected);
    assert_eq!(
        tab.tell(Event::Trained { round: ROUND, metrics: metrics(), engine: engine(), trace: None }),
        []
    );
    tab.tell(Event::Connected);
    assert_eq!(tab.tell(Event::CaughtUp), [Action::Publish { round: ROUND, base: initial() }]);
}

#[test]
fn a_refused_contribution_is_handed_over_again_after_a_pause() {
    let (anna, _) = people();
    let log = open_for(&[&anna]);
    let mut tab = training(&log, &anna);
    tab.tell(Event::Trained { round: ROUND, metrics: metrics(), engine: engine(), trace: None });
    let update = update_of(&tab);
    let (ticket, entry) = submitted(&tab.tell(Event::Stored { round: ROUND, update }));
    assert_eq!(tab.tell(Event::Refused { ticket: Ticket(999) }), [], "an answer to something else");
    assert_eq!(tab.tell(Event::Refused { ticket }), []);
    assert_eq!(tab.tick(499), []);
    assert_eq!(tab.tick(1), [Action::Publish { round: ROUND, base: initial() }]);
    assert_eq!(submitted(&tab.tell(Event::Stored { round: ROUND, update })).1, entry);
}

#[test]
fn a_refused_joining_is_repeated_after_a_pause_only() {
    let (anna, _) = people();
    let log = Log::with_members(RULES, &[]);
    let (mut tab, actions) = Tab::live(&anna, &log);
    let (ticket, entry) = submitted(&actions);
    assert_eq!(tab.tell(Event::Refused { ticket }), []);
    assert_eq!(tab.tick(499), []);
    let (ticket, again) = submitted(&tab.tick(1));
    assert_eq!(again, entry);
    assert_eq!(tab.tell(Event::Refused { ticket }), []);
    assert_eq!(tab.tick(999), [], "the pause has grown");
    submitted(&tab.tick(1));
}

#[test]
fn a_submission_without_any_answer_is_repeated() {
    let (anna, _) = people();
    let log = Log::with_members(RULES, &[]);
    let (mut tab, actions) = Tab::live(&anna, &log);
    let (_lost, entry) = submitted(&actions);
    assert_eq!(tab.tick(9_999), []);
    assert_eq!(tab.tick(1), [], "it has failed and pauses");
    assert_eq!(submitted(&tab.tick(1_000)).1, entry);
}

#[test]
fn a_round_that_closes_ends_the_training_for_it() {
    let (anna, bela) = people();
    let mut log = open_for(&[&anna, &bela]);
    let mut tab = training(&log, &anna);
    log.add(&bela, &contribution(1, initial()));
    log.wait(RULES.deadline_ms);
    log.add(&coordinator(), &closed(1));
    let actions = tab.follow(&log);
    // It is not waited for any more, and to join again would not change that: only contributing does.
    assert_eq!(actions[0], Action::StopTraining { round: ROUND });
    assert!(!actions.iter().any(|action| matches!(action, Action::Submit { .. })), "{actions:?}");
    // What comes of the training all the same is of no use.
    assert_eq!(
        tab.tell(Event::Trained { round: ROUND, metrics: metrics(), engine: engine(), trace: None }),
        []
    );
}

#[test]
fn a_contribution_refused_as_the_round_closed_is_forgotten() {
    let (anna, bela) = people();
    let mut log = open_for(&[&anna, &bela]);
    let mut tab = training(&log, &anna);
    tab.tell(Event::Trained { round: ROUND, metrics: metrics(), engine: engine(), trace: None });
    let update = update_of(&tab);
    let (ticket, _entry) = submitted(&tab.tell(Event::Stored { round: ROUND, update }));
    log.add(&bela, &contribution(1, initial()));
    log.wait(RULES.deadline_ms);
    log.add(&coordinator(), &closed(1));
    assert_eq!(tab.tell(Event::Refused { ticket }), []);
    let actions = tab.follow(&log);
    assert!(
        actions.iter().any(|action| matches!(action, Action::Aggregate { .. })),
        "it goes on: {actions:?}"
    );
    let repeated = tab.tick(60_000);
    assert!(!repeated.iter().any(|action| matches!(action, Action::Publish { .. })), "{repeated:?}");
}

#[test]
fn a_pause_stops_at_once_and_its_end_goes_on_in_the_same_round() {
    let (anna, _) = people();
    let mut log = open_for(&[&anna]);
    let mut tab = training(&log, &anna);
    let actions = tab.tell(Event::Pause);
    assert_eq!(actions[0], Action::StopTraining { round: ROUND });
    assert_eq!(submitted(&actions).1, left(2));
    assert_eq!(tab.participant.activity(), Activity::Paused);
    assert_eq!(tab.tell(Event::Pause), []);
    log.add(&anna, &left(2));
    assert_eq!(tab.follow(&log), []);
    // Otherwise a lone tab's round would wait for ever.
    let actions = tab.tell(Event::Resume);
    assert_eq!(submitted(&actions).1, joined(3));
    assert!(matches!(actions[1], Action::Train { round: ROUND, .. }), "{actions:?}");
}

#[test]
fn a_pause_that_ends_before_the_log_knows_of_it_settles_itself() {
    let (anna, _) = people();
    let mut log = open_for(&[&anna]);
    let mut tab = training(&log, &anna);
    let (_ticket, leaving) = submitted(&tab.tell(Event::Pause));
    tab.tell(Event::Resume);
    log.add(&anna, &leaving);
    assert_eq!(submitted(&tab.follow(&log)).1, joined(3));
}

#[test]
fn only_a_pause_can_be_resumed() {
    let (anna, _) = people();
    let log = open_for(&[&anna]);
    let mut tab = training(&log, &anna);
    tab.tell(Event::Leave);
    assert_eq!(tab.participant.activity(), Activity::Idle);
    assert_eq!(tab.tell(Event::Resume), []);
    assert_eq!(tab.tell(Event::Pause), []);
    assert_eq!(tab.participant.activity(), Activity::Idle);
}

#[test]
fn leaving_stops_at_once_and_says_so() {
    let (anna, _) = people();
    let mut log = open_for(&[&anna]);
    let mut tab = training(&log, &anna);
    let actions = tab.tell(Event::Leave);
    assert_eq!(actions[0], Action::StopTraining { round: ROUND });
    assert_eq!(submitted(&actions).1, left(2));
    log.add(&anna, &left(2));
    assert_eq!(tab.follow(&log), []);
    assert_eq!(tab.tick(60_000), []);
}

#[test]
fn failed_work_is_tried_again() {
    let (anna, bela) = people();
    let mut log = open_for(&[&anna, &bela]);
    let (mut tab, _) = Tab::live(&anna, &log);
    assert_eq!(tab.tell(Event::FetchFailed { cid: initial() }), []);
    assert_eq!(tab.tick(500), [Action::Fetch { cid: initial(), difference: None }]);
    tab.tell(Event::Fetched { cid: initial() });
    // The device may have lost the checkpoint.
    assert_eq!(
        tab.tell(Event::TrainFailed { round: ROUND }),
        [Action::Fetch { cid: initial(), difference: None }]
    );
    assert_eq!(tab.tell(Event::Fetched { cid: initial() }), []);
    let actions = tab.tick(500);
    assert!(matches!(actions[..], [Action::Train { .. }]), "{actions:?}");
    tab.tell(Event::Trained { round: ROUND, metrics: metrics(), engine: engine(), trace: None });
    assert_eq!(tab.tell(Event::StoreFailed { round: ROUND }), []);
    assert_eq!(tab.tick(500), [Action::Publish { round: ROUND, base: initial() }]);
    for person in [&anna, &bela] {
        log.add(person, &contribution(1, initial()));
    }
    log.add(&coordinator(), &closed(1));
    tab.follow(&log);
    assert_eq!(
        tab.tell(Event::AggregateFailed { round: ROUND, excluded: 0, missing: vec![cid("an update")] }),
        []
    );
    let actions = tab.tick(500);
    assert!(matches!(actions[..], [Action::Aggregate { .. }]), "{actions:?}");
}

#[test]
fn a_round_settled_long_ago_is_not_attested() {
    let (anna, bela) = people();
    let mut log = open_for(&[&bela]);
    log.add(&bela, &contribution(1, initial()));
    log.add(&coordinator(), &closed(1));
    for person in [&bela, &coordinator()] {
        log.add(person, &attestation(1, initial(), cid("one")));
    }
    log.add(&anna, &joined(1));
    let (_tab, actions) = Tab::live(&anna, &log);
    assert_eq!(actions, [Action::Fetch { cid: cid("one"), difference: None }]);
}

#[test]
fn a_result_computed_as_the_round_settles_is_attested_still() {
    let (anna, bela) = people();
    let mut log = open_for(&[&anna, &bela]);
    for person in [&anna, &bela] {
        log.add(person, &contribution(1, initial()));
    }
    let (mut tab, _) = Tab::live(&anna, &log);
    log.add(&coordinator(), &closed(1));
    tab.follow(&log);
    for person in [&bela, &coordinator()] {
        log.add(person, &attestation(1, initial(), cid("one")));
    }
    tab.follow(&log);
    let (_ticket, entry) = submitted(&tab.tell(Event::Aggregated {
        round: ROUND,
        excluded: 0,
        outcome: cid("one").into(),
        difference: None,
    }));
    assert_eq!(entry, attestation(1, initial(), cid("one")));
}

#[test]
fn a_false_log_is_believed_no_further() {
    let (anna, bela) = people();
    let log = open_for(&[&anna]);
    let mut tab = training(&log, &anna);
    let forged = bela.sign(&opened(2, initial()));
    let actions = tab.tell(Event::Record { time: log.time, entry: forged });
    assert_eq!(actions, [Action::StopTraining { round: ROUND }, Action::Distrust(Refusal::NotCoordinator)]);
    assert_eq!(tab.participant.activity(), Activity::Distrusting);
    for event in [Event::CaughtUp, Event::Join, Event::Connected, Event::Tick] {
        assert_eq!(tab.tell(event), []);
    }
}

/// Round 1 of a mesh is closed with an update of each of these members.
fn closed_mesh(members: &[&Person]) -> Log {
    let mut log = Log::with_members(MESH, members);
    log.add(&coordinator(), &opened(1, initial()));
    for member in members {
        log.add(member, &fixture::contribution_of(member, 1, initial()));
    }
    log.add(&coordinator(), &closed(1));
    log
}

/// A tab that has come to the closed round of a mesh, and the updates that it is to aggregate.
fn aggregating(log: &Log, person: &Person) -> (Tab, Vec<Input>) {
    let (tab, actions) = Tab::live(person, log);
    let [Action::Aggregate { inputs, excluded: 0, .. }, Action::Fetch { .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
    (tab, inputs.clone())
}

#[test]
fn in_a_mesh_what_nobody_gave_is_reported_once_and_tried_again() {
    let (anna, bela) = people();
    let carla = Person::new(3);
    let mut log = closed_mesh(&[&anna, &bela, &carla]);
    let (mut tab, _inputs) = aggregating(&log, &anna);
    let lost = fixture::update_of(&carla);
    let missing = vec![lost];
    let failed = Event::AggregateFailed { round: ROUND, excluded: 0, missing };
    let (ticket, entry) = submitted(&tab.tell(failed.clone()));
    assert_eq!(entry, fixture::unavailable(1, lost));
    log.add(&anna, &entry);
    assert_eq!(tab.tell(Event::Appended { ticket }), []);
    assert_eq!(tab.follow(&log), []);
    let again = tab.tick(1_000);
    assert!(matches!(again[..], [Action::Aggregate { excluded: 0, .. }]), "{again:?}");
    assert_eq!(tab.tell(failed), [], "it is said already");
}

#[test]
fn in_a_mesh_an_exclusion_begins_the_aggregation_anew() {
    let (anna, bela) = people();
    let carla = Person::new(3);
    let mut log = closed_mesh(&[&anna, &bela, &carla]);
    let (mut tab, inputs) = aggregating(&log, &anna);
    assert_eq!(inputs.len(), 3);
    log.add(&anna, &fixture::unavailable(1, fixture::update_of(&carla)));
    log.add(&bela, &fixture::unavailable(1, fixture::update_of(&carla)));
    let inputs = inputs.into_iter().filter(|input| input.update != fixture::update_of(&carla)).collect();
    let anew = Action::Aggregate { round: ROUND, base: initial(), state: None, inputs, excluded: 1 };
    assert_eq!(tab.follow(&log), [anew]);
    // What the first came to is about another set.
    assert_eq!(
        tab.tell(Event::Aggregated {
            round: ROUND,
            excluded: 0,
            outcome: cid("with all").into(),
            difference: None
        }),
        []
    );
    let (_ticket, entry) = submitted(&tab.tell(Event::Aggregated {
        round: ROUND,
        excluded: 1,
        outcome: cid("without").into(),
        difference: None,
    }));
    assert_eq!(entry, fixture::attestation_without(1, initial(), cid("without"), 1));
}

#[test]
fn in_a_mesh_whoever_did_not_contribute_fetches_what_settled() {
    let (anna, bela) = people();
    let mut log = closed_mesh(&[&anna]);
    log.add(&bela, &joined(1));
    let (mut tab, actions) = Tab::live(&bela, &log);
    assert_eq!(actions, [Action::Fetch { cid: initial(), difference: None }]);
    log.add(&anna, &attestation(1, initial(), cid("one")));
    assert_eq!(tab.follow(&log), [Action::Fetch { cid: cid("one"), difference: None }]);
}

#[test]
fn in_a_mesh_whoever_is_too_late_with_aggregating_fetches_what_settled() {
    let (anna, bela) = people();
    let carla = Person::new(3);
    let mut log = closed_mesh(&[&anna, &bela, &carla]);
    let (mut tab, _inputs) = aggregating(&log, &anna);
    for person in [&bela, &carla] {
        log.add(person, &attestation(1, initial(), cid("one")));
    }
    assert_eq!(tab.follow(&log), [Action::Fetch { cid: cid("one"), difference: None }]);
    let failed =
        Event::AggregateFailed { round: ROUND, excluded: 0, missing: vec![fixture::update_of(&bela)] };
    assert_eq!(tab.tell(failed), []);
}
