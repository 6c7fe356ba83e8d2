//! The reducer from outside: clicks and events in, state and effects out.

use super::*;
use crate::intent::Intent;
use crate::site::Cost;
use lichen_bridge::{Card, Command, ContributionState, Event, Guess, Guesses, LossPoint, Outcome, Show};
use lichen_net::{Disconnection, Event as Net};
use proptest::prelude::*;

fn problem(message: &str) -> Problem {
    Problem { message: message.to_owned(), remedy: "Try again.".to_owned() }
}

fn invited() -> ViewState {
    let mut state = ViewState::new(EnginePreference::Gpu);
    let labels = (0..10).map(|label| label.to_string()).collect();
    let show = Some(Show { width: 8, height: 8, full: 16.0, labels, draw: true });
    let cost = Some(Cost { data_bytes: 117_000, model_bytes: 10_000, interval_ms: 8_000, rounds: 1_000 });
    let card = Card { title: "Digits".to_owned(), target_accuracy: Some(0.95), show, ..Card::default() };
    let campaign = Campaign { id: "bafk".to_owned(), card, cost, operator: None };
    let relay = lichen_bridge::Relay { address: "the relay".to_owned(), ..Default::default() };
    state.read_site(Ok((campaign, Site { relay, ..Site::default() })));
    state
}

/// A page whose worker has answered the first two commands.
fn joined() -> ViewState {
    let mut state = invited();
    assert_eq!(state.click(Intent::Join, 100.0), [Effect::StartWorker]);
    let effects = state.apply(Event::Ready { version: lichen_bridge::VERSION }, 200.0);
    let [Effect::StartSwarm, Effect::Send(Command::Start { id, relay, engine })] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!((relay.address.as_str(), *engine), ("the relay", EnginePreference::Gpu));
    let effects = state.apply(Event::Answered { id: *id, outcome: Outcome::Done }, 300.0);
    let [Effect::Send(Command::Join { id })] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(state.apply(Event::Answered { id, outcome: Outcome::Done }, 400.0), []);
    state
}

fn sent(effects: &[Effect]) -> &Command {
    effects
        .iter()
        .find_map(|effect| if let Effect::Send(command) = effect { Some(command) } else { None })
        .unwrap()
}

fn evaluated(round: Option<u64>, accuracy: f64) -> Event {
    let checkpoint = lichen_record::Cid::of_raw(&round.unwrap_or(0).to_be_bytes());
    Event::Evaluated { round, checkpoint, loss: 1.0 - accuracy, accuracy, samples: 360 }
}

fn contribution(round: u64, state: ContributionState) -> Event {
    let update = lichen_record::Cid::of_raw(&round.to_be_bytes());
    Event::Contribution(Contribution { round, update, samples: 480, state })
}

fn present() -> Now {
    let checkpoint = Some("bafkcheckpoint".to_owned());
    Now { campaign: "bafk".to_owned(), settled: 40, round: 41, checkpoint, ..Now::default() }
}

fn dot() -> Rc<crate::drawing::Drawing> {
    let mut drawing = crate::drawing::Drawing::default();
    drawing.begin(crate::drawing::Point::new(0.5, 0.5));
    Rc::new(drawing)
}

/// Two samples: a 5 that is taken for a 5, and a 3 that is taken for this.
fn guesses(round: u64, said: u32) -> Event {
    let sample = |index, label, guess| Guess { index, label, guess, probability: 0.9, cells: vec![0; 64] };
    let samples = vec![sample(0, 5, 5), sample(5, 3, said)];
    let checkpoint = lichen_record::Cid::of_raw(&round.to_be_bytes());
    Event::Guesses(Guesses { round: Some(round), checkpoint, right: Some((97, 100)), samples })
}

/// A page that looks at the model without taking part, up to the answer.
fn looking() -> ViewState {
    let mut state = invited();
    assert_eq!(state.click(Intent::Look, 1.0), [Effect::StartWorker, Effect::ReadNow]);
    assert_eq!(state.click(Intent::Look, 1.0), [], "it is on its way");
    let effects = state.apply(Event::Ready { version: lichen_bridge::VERSION }, 2.0);
    let [Effect::Send(Command::Start { id, .. })] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(state.apply(Event::Answered { id, outcome: Outcome::Done }, 3.0), []);
    let effects = state.read_now(Some(present()));
    let [Effect::Send(Command::Look { id, checkpoint, round: 40 })] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(checkpoint, "bafkcheckpoint");
    state.apply(guesses(40, 8), 4.0);
    state.apply(Event::Answered { id: *id, outcome: Outcome::Done }, 5.0);
    assert_eq!((state.trial.stage.clone(), state.run.clone()), (TrialStage::Shown, Run::Idle));
    state
}

#[test]
fn whoever_looks_starts_no_swarm_and_takes_no_part() {
    let mut state = looking();
    assert!(state.can_read() && !state.is_taking_part());
    assert_eq!(state.trial.right(), 1);
    assert_eq!(state.click(Intent::Join, 6.0), [Effect::Close, Effect::StartWorker]);
    assert!(state.trial.guesses.is_some(), "what was seen stays in sight");
    assert!(!state.can_read(), "until the new worker listens");
}

#[test]
fn guesses_turn_from_wrong_to_right() {
    let mut state = joined();
    state.apply(guesses(1, 8), 1.0);
    assert_eq!((state.trial.right(), state.trial.turned.len()), (1, 0));
    state.apply(guesses(2, 3), 2.0);
    assert_eq!((state.trial.right(), state.trial.turned.as_slice()), (2, &[5][..]));
    state.apply(guesses(3, 3), 3.0);
    assert!(state.trial.turned.is_empty());
}

#[test]
fn drawings_are_read_one_at_a_time_and_the_last_one_counts() {
    let mut state = looking();
    let effects = state.click(Intent::Draw(dot()), 6.0);
    let [Effect::Send(Command::Read { id, cells })] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(cells.len(), 64);
    assert_eq!(state.click(Intent::Draw(dot()), 7.0), [], "the first is being read");
    state.apply(Event::Read { id: *id, probabilities: vec![0.1; 10] }, 8.0);
    assert!(state.trial.reading.is_some());
    let effects = state.apply(Event::Answered { id: *id, outcome: Outcome::Done }, 8.0);
    let [Effect::Send(Command::Read { id: again, .. })] = &effects[..] else { panic!("{effects:?}") };
    state.click(Intent::Draw(Rc::default()), 9.0);
    assert_eq!(state.trial.reading, None);
    state.apply(Event::Read { id: *again, probabilities: vec![0.1; 10] }, 10.0);
    assert_eq!(state.trial.reading, None, "nothing is drawn any more");
    assert_eq!(state.apply(Event::Answered { id: *again, outcome: Outcome::Done }, 10.0), []);
}

#[test]
fn a_model_that_cannot_be_had_is_told_in_words_and_asked_for_again() {
    let mut state = looking();
    let effects = state.broke(problem("broke"));
    assert_eq!(
        (effects, state.trial.stage.clone()),
        (vec![Effect::Close], TrialStage::Failed(problem("broke")))
    );
    assert_eq!(state.click(Intent::Look, 6.0), [Effect::StartWorker, Effect::ReadNow]);
    let effects = state.apply(Event::Ready { version: lichen_bridge::VERSION }, 7.0);
    let id = sent(&effects).id().unwrap();
    state.apply(Event::Answered { id, outcome: Outcome::Done }, 8.0);
    assert_eq!(state.read_now(Some(Now { campaign: "another".to_owned(), ..present() })), []);
    assert!(matches!(state.trial.stage, TrialStage::Failed(_)), "of this campaign the relay says nothing");
}

#[test]
fn the_wait_for_a_round_says_what_is_done_and_what_comes() {
    let mut state = joined();
    state.observe(&Net::Connected { peer: vec![1], address: "/ip4/127.0.0.1".to_owned() }, 1.0);
    let base = lichen_record::Cid::of_raw(b"base");
    let round = Event::Round { number: 7, base, cohort: 3, contributions: 3, closed: true, settled: true };
    state.apply(round, 1_000.0);
    state.apply(Event::Status(Phase::WaitingForRound), 2_000.0);
    assert_eq!(state.sentence(2_000.0).text, "The next round starts in 7\u{a0}s.");
    assert!(state.counts_down(2_000.0));
    state.apply(contribution(7, ContributionState::Sent), 2_000.0);
    state.apply(Event::Members { accounts: Vec::new(), count: 3 }, 2_000.0);
    let said = "Your part is done. The next round starts in 5\u{a0}s with 3\u{a0}people.";
    assert_eq!(state.sentence(4_000.0).text, said);
    let said = "Your part is done. The next round starts in a moment with 3\u{a0}people.";
    assert_eq!(state.sentence(8_000.0).text, said);
    assert!(!state.counts_down(8_000.0));
}

#[test]
fn a_campaign_that_is_over_stays_so() {
    let mut state = joined();
    assert!(!state.is_over());
    state.apply(Event::Status(Phase::Finished), 1.0);
    state.click(Intent::Leave, 2.0);
    state.closed();
    assert!(state.is_over());
    let mut state = invited();
    state.read_now(Some(Now { finished: true, ..present() }));
    assert!(state.is_over());
    state.read_now(Some(Now { finished: true, campaign: "another".to_owned(), ..present() }));
    assert!(!state.is_over());
}

#[test]
fn an_end_at_the_goal_is_told_as_one_until_the_campaign_goes_on() {
    let mut state = joined();
    let finished = Now { finished: true, goal_reached: true, ..present() };
    state.apply(Event::Status(Phase::GoalReached), 1.0);
    state.read_now(Some(finished));
    assert!(state.is_over() && state.ended_at_goal());
    assert_eq!(state.sentence(1.0).text, "The goal is reached. Thank you.");
    // Whoever runs it has gone back to an earlier checkpoint.
    state.apply(Event::Status(Phase::Training { round: 9, step: 0, steps: 60 }), 2.0);
    assert!(!state.is_over() && !state.ended_at_goal());
}

#[test]
fn nothing_is_started_before_the_click_and_not_without_the_words() {
    let mut state = ViewState::new(EnginePreference::Auto);
    assert_eq!(state.click(Intent::Join, 0.0), []);
    state.read_site(Err(problem("no").into()));
    assert_eq!(state.click(Intent::Join, 0.0), []);
    for intent in [Intent::Pause, Intent::Resume, Intent::Leave] {
        assert_eq!(invited().click(intent.clone(), 0.0), [], "{intent:?}");
    }
    assert_eq!(state.click(Intent::ReadAgain, 0.0), [Effect::ReadSite, Effect::ReadNow]);
    assert_eq!(state.words, Words::Reading);
}

#[test]
fn a_worker_of_another_build_is_not_talked_to() {
    let mut state = invited();
    state.click(Intent::Join, 0.0);
    assert_eq!(state.apply(Event::Ready { version: lichen_bridge::VERSION + 1 }, 1.0), [Effect::Close]);
    assert!(matches!(&state.run, Run::Failed(problem) if problem.remedy.contains("Reload")));
}

#[test]
fn a_refused_join_ends_in_its_reason() {
    let mut state = invited();
    state.click(Intent::Join, 0.0);
    let effects = state.apply(Event::Ready { version: lichen_bridge::VERSION }, 1.0);
    let id = sent(&effects).id().unwrap();
    let outcome = Outcome::Refused(problem("The key store is closed."));
    assert_eq!(state.apply(Event::Answered { id, outcome }, 2.0), [Effect::Close]);
    assert_eq!(state.sentence(3.0).text, "The key store is closed.");
    assert_eq!(state.click(Intent::Join, 4.0), [Effect::StartWorker]);
}

#[test]
fn pause_shows_at_once_and_is_taken_back_when_refused() {
    let mut state = joined();
    state.apply(Event::Status(Phase::WaitingForRound), 500.0);
    let effects = state.click(Intent::Pause, 600.0);
    assert_eq!(state.sentence(600.0).key, "paused");
    let Command::Pause { id } = *sent(&effects) else { panic!("{effects:?}") };
    state.apply(Event::Answered { id, outcome: Outcome::Refused(problem("Not now.")) }, 700.0);
    assert_eq!(state.run, Run::Joined);
    assert_eq!(state.notice, Some(problem("Not now.")));
    state.click(Intent::Dismiss, 800.0);
    assert_eq!(state.notice, None);
}

#[test]
fn a_late_refusal_does_not_undo_a_later_click() {
    let mut state = joined();
    let pause = state.click(Intent::Pause, 1.0);
    state.click(Intent::Resume, 2.0);
    let id = sent(&pause).id().unwrap();
    state.apply(Event::Answered { id, outcome: Outcome::Refused(problem("late")) }, 3.0);
    assert_eq!((state.run.clone(), state.notice.clone()), (Run::Joined, None));
}

#[test]
fn who_pauses_while_the_worker_loads_does_not_take_part_before_resuming() {
    let mut state = invited();
    state.click(Intent::Join, 0.0);
    assert_eq!(state.click(Intent::Pause, 1.0), []);
    let effects = state.apply(Event::Ready { version: lichen_bridge::VERSION }, 2.0);
    let id = sent(&effects).id().unwrap();
    assert_eq!(state.apply(Event::Answered { id, outcome: Outcome::Done }, 3.0), []);
    assert!(matches!(sent(&state.click(Intent::Resume, 4.0)), Command::Join { .. }));
}

#[test]
fn who_leaves_while_the_worker_loads_has_left_at_once() {
    let mut state = invited();
    state.click(Intent::Join, 0.0);
    assert_eq!(state.click(Intent::Leave, 1.0), [Effect::Close]);
    assert_eq!(state.run, Run::Left);
}

#[test]
fn leaving_closes_after_the_goodbye_or_without_it() {
    let mut state = joined();
    let effects = state.click(Intent::Leave, 1.0);
    assert_eq!(effects.last(), Some(&Effect::CloseSoon));
    let id = sent(&effects).id().unwrap();
    let mut answered = state.clone();
    assert_eq!(answered.apply(Event::Answered { id, outcome: Outcome::Done }, 2.0), [Effect::Close]);
    assert_eq!(answered.run, Run::Left);
    assert_eq!(answered.closed(), [], "the goodbye's time is over, but all is closed already");
    assert_eq!(state.closed(), [Effect::Close]);
    assert_eq!((state.run.clone(), state.link.clone()), (Run::Left, Link::Closed));
}

#[test]
fn joining_again_while_leaving_closes_the_old_session_first() {
    let mut state = joined();
    state.click(Intent::Leave, 1.0);
    assert_eq!(state.click(Intent::Join, 2.0), [Effect::Close, Effect::StartWorker]);
    assert_eq!(state.joined_at, Some(2.0));
}

#[test]
fn joining_again_forgets_the_last_visit_but_not_the_words() {
    let mut state = joined();
    state.apply(evaluated(Some(1), 0.5), 1.0);
    state.apply(contribution(1, ContributionState::Recorded { index: 4 }), 1.0);
    state.click(Intent::Leave, 2.0);
    state.closed();
    assert_eq!(state.accuracy(), Some(0.5), "what was reached stays in sight");
    state.click(Intent::Join, 3.0);
    assert_eq!((state.accuracy(), state.recorded, state.first_step_ms), (None, 0, None));
    assert_eq!(state.campaign().unwrap().card.title, "Digits");
}

#[test]
fn answers_to_an_earlier_visit_change_nothing() {
    let mut state = joined();
    let effects = state.click(Intent::Pause, 1.0);
    let id = sent(&effects).id().unwrap();
    state.click(Intent::Leave, 2.0);
    state.closed();
    state.click(Intent::Join, 3.0);
    let before = state.clone();
    assert_eq!(state.apply(Event::Answered { id, outcome: Outcome::Refused(problem("old")) }, 4.0), []);
    assert_eq!(state, before);
}

#[test]
fn the_first_step_is_timed_once_from_the_click() {
    let mut state = joined();
    state.apply(Event::Status(Phase::Training { round: 1, step: 0, steps: 60 }), 900.0);
    assert_eq!(state.first_step_ms, None);
    state.apply(Event::Loss { round: 1, points: vec![LossPoint { step: 1, loss: 2.3 }] }, 950.0);
    state.apply(Event::Status(Phase::Training { round: 1, step: 2, steps: 60 }), 990.0);
    assert_eq!((state.first_step_ms, state.own_loss), (Some(850.0), Some(2.3)));
}

#[test]
fn a_worker_that_breaks_is_told_in_words_and_closed() {
    let mut state = joined();
    assert_eq!(state.broke(problem("It broke.")), [Effect::Close]);
    assert_eq!(state.sentence(1.0).key, "failed");
    assert_eq!(state.broke(problem("again")), [], "it breaks once");
    let mut failed = joined();
    assert_eq!(
        failed.apply(Event::Status(Phase::Failed(problem("The log is false."))), 1.0),
        [Effect::Close]
    );
    assert_eq!(failed.sentence(1.0).text, "The log is false.");
}

#[test]
fn offline_counts_down_and_comes_back() {
    let mut state = joined();
    state.observe(&Net::Connected { peer: vec![1], address: "/ip4/127.0.0.1".to_owned() }, 1_000.0);
    state.apply(Event::Status(Phase::WaitingForRound), 1_000.0);
    assert_eq!(state.sentence(1_000.0).key, "waiting");
    state.observe(&Net::Disconnected { reason: Disconnection::Lost, retry_in: Some(3_000) }, 2_000.0);
    assert_eq!(state.sentence(2_000.0).text, "Offline: trying again in 3 s.");
    assert_eq!(state.sentence(4_100.0).text, "Offline: trying again in 1 s.");
    assert_eq!(state.sentence(5_000.0).text, "Offline: trying again now.");
    state.observe(&Net::Disconnected { reason: Disconnection::UnusableAddress, retry_in: None }, 5_000.0);
    assert_eq!(state.sentence(5_000.0).progress, Progress::None);
    state.observe(&Net::Connecting { address: "/ip4/127.0.0.1".to_owned(), attempt: 2 }, 5_100.0);
    assert_eq!(state.sentence(5_100.0).key, "waiting");
}

#[test]
fn each_phase_has_its_word() {
    let words = [
        (Phase::Idle, "starting"),
        (Phase::WaitingForOtherTab, "standby"),
        (Phase::Connecting, "connecting"),
        (Phase::Offline { retry_in: Some(1) }, "connecting"),
        (Phase::Offline { retry_in: None }, "offline"),
        (Phase::CatchingUp { done: 120, total: 900 }, "checking"),
        (Phase::WaitingForRound, "waiting"),
        (Phase::Training { round: 3, step: 4, steps: 60 }, "training"),
        (Phase::WaitingForTurn { round: 3, drawn: 8, members: 40 }, "waiting"),
        (Phase::Sending, "sending"),
        (Phase::WaitingForClose, "waiting"),
        (Phase::Aggregating, "aggregating"),
        (Phase::Finished, "finished"),
        (Phase::GoalReached, "finished"),
        (Phase::Stalled(problem("The round should have closed.")), "stalled"),
    ];
    for (phase, word) in words {
        let mut state = joined();
        state.observe(&Net::Connected { peer: vec![1], address: "/ip4/127.0.0.1".to_owned() }, 1.0);
        assert_eq!(state.apply(Event::Status(phase.clone()), 1.0), []);
        assert_eq!(state.sentence(1.0).key, word, "{phase:?}");
    }
}

#[test]
fn who_waits_for_its_turn_is_told_why_and_when() {
    let told = |drawn, members| {
        let mut state = joined();
        state.apply(Event::Status(Phase::WaitingForTurn { round: 3, drawn, members }), 1.0);
        state.sentence(1.0)
    };
    let sentence = told(8, 104);
    assert_eq!(
        sentence.text,
        "It is not this tab's turn in round 3: 8 of the 104 who take part were drawn by lot."
    );
    assert_eq!(
        sentence.advice.as_deref(),
        Some("Its turn comes about every 13 rounds. Leave this page open.")
    );
    for (drawn, members, when) in
        [(8, 12, "about every second round"), (8, 3, "in one of the next rounds"), (0, 9, "9")]
    {
        assert!(told(drawn, members).advice.unwrap().contains(when), "{drawn} of {members}");
    }
}

#[test]
fn progress_of_the_record_is_told_in_numbers() {
    let mut state = joined();
    state.apply(Event::Status(Phase::CatchingUp { done: 120, total: 900 }), 1.0);
    let sentence = state.sentence(1.0);
    assert_eq!(sentence.text, "Checking the record: 120 of 900.");
    assert_eq!(sentence.progress, Progress::Of { done: 120.0, all: 900.0 });
}

#[test]
fn steps_and_rounds_are_not_announced_but_milestones_are() {
    let mut state = joined();
    let mut told = std::collections::BTreeSet::new();
    let mut marks = Vec::new();
    for round in 1..=20u32 {
        for step in 0..60 {
            state.apply(Event::Status(Phase::Training { round: u64::from(round), step, steps: 60 }), 1.0);
            told.insert(state.announcement(1.0));
        }
        state.apply(Event::Status(Phase::Sending), 1.0);
        state.apply(evaluated(Some(u64::from(round)), f64::from(round) / 20.0), 1.0);
        told.insert(state.announcement(1.0));
        marks.push(state.milestone());
        // Accuracy wavers: the mark that was just reached is lost for a round.
        state.apply(evaluated(Some(u64::from(round)), f64::from(round) / 20.0 - 0.04), 1.0);
        marks.push(state.milestone());
    }
    assert_eq!(told.len(), 1, "{told:?}");
    marks.dedup();
    let expected = [None, Some("50 percent"), Some("75 percent"), Some("90 percent"), Some("target")];
    assert_eq!(marks.len(), expected.len(), "each is told once: {marks:?}");
    for (mark, words) in marks.iter().zip(expected) {
        assert_eq!(mark.is_some(), words.is_some());
        assert!(mark.as_ref().is_none_or(|mark| words.is_some_and(|words| mark.contains(words))), "{mark:?}");
    }
}

#[test]
fn the_title_says_what_a_tab_in_the_background_does() {
    assert_eq!(ViewState::default().title(0.0), "Lichen: train a model together");
    assert_eq!(invited().title(0.0), "Digits · Lichen");
    let mut state = joined();
    state.apply(evaluated(Some(3), 0.957), 1.0);
    assert_eq!(state.title(1.0), "Running · 95.7\u{a0}% · Digits");
    state.click(Intent::Pause, 2.0);
    assert_eq!(state.title(2.0), "Paused · 95.7\u{a0}% · Digits");
}

#[test]
fn a_contribution_counts_once_it_is_recorded() {
    let mut state = joined();
    state.apply(contribution(1, ContributionState::Sent), 1.0);
    assert_eq!(state.recorded, 0);
    for _again in 0..2 {
        state.apply(contribution(1, ContributionState::Recorded { index: 5 }), 1.0);
        assert_eq!(state.recorded, 1);
    }
    state.apply(contribution(1, ContributionState::Disputed { reason: "no".to_owned() }), 1.0);
    assert_eq!(state.recorded, 0);
}

#[test]
fn others_are_counted_without_oneself() {
    let mut state = joined();
    state.account = Some(Account { did: "did:key:a".to_owned(), new: true });
    state.apply(
        Event::Members { accounts: vec!["did:key:a".to_owned(), "did:key:b".to_owned()], count: 2 },
        1.0,
    );
    assert_eq!(state.others(), 1);
    state.apply(Event::Members { accounts: vec!["did:key:b".to_owned()], count: 1 }, 1.0);
    assert_eq!(state.others(), 1, "one who has not joined the record yet is not among its members");
}

proptest! {
    #[test]
    fn results_stand_in_the_order_of_their_rounds_within_the_limit(rounds in prop::collection::vec(0u64..6_000, 1..300)) {
        let mut state = joined();
        for round in &rounds {
            state.apply(evaluated((*round > 0).then_some(*round), 0.5), 1.0);
        }
        prop_assert!(state.history.windows(2).all(|pair| pair[0].round < pair[1].round));
        let distinct = rounds.iter().collect::<std::collections::BTreeSet<_>>().len();
        prop_assert_eq!(state.history.len(), distinct.min(MAX_HISTORY));
    }

    #[test]
    fn the_lists_are_bounded(count in 1u64..1_000) {
        let mut state = joined();
        for round in 0..count {
            state.apply(contribution(round, ContributionState::Recorded { index: round }), 1.0);
        }
        prop_assert_eq!(state.recorded, count);
        prop_assert!(state.contributions.len() <= MAX_KEPT);
    }

    #[test]
    fn no_order_of_events_runs_two_workers_or_talks_to_one_that_does_not_listen(
        events in prop::collection::vec(0usize..13, 0..80),
    ) {
        let mut state = invited();
        let (mut workers, mut listening, mut questions) = (0, false, Vec::new());
        for (place, event) in events.into_iter().enumerate() {
            let now = place as f64;
            let effects = match event {
                0 => state.click(Intent::Join, now),
                1 => state.click(Intent::Pause, now),
                2 => state.click(Intent::Resume, now),
                3 => state.click(Intent::Leave, now),
                4 => state.closed(),
                5 => state.broke(problem("broke")),
                6 if workers == 1 && !listening => {
                    listening = true;
                    state.apply(Event::Ready { version: lichen_bridge::VERSION }, now)
                }
                7 if !questions.is_empty() => {
                    state.apply(Event::Answered { id: questions.remove(0), outcome: Outcome::Done }, now)
                }
                8 if !questions.is_empty() => {
                    let outcome = Outcome::Refused(problem("refused"));
                    state.apply(Event::Answered { id: questions.remove(0), outcome }, now)
                }
                9 => state.click(Intent::Look, now),
                10 => state.read_now(Some(present())),
                11 => state.click(Intent::Draw(dot()), now),
                12 => state.apply(guesses(1, 3), now),
                _ => state.click(Intent::Dismiss, now),
            };
            for effect in effects {
                match effect {
                    Effect::StartWorker => workers += 1,
                    Effect::Close => {
                        workers -= 1;
                        listening = false;
                        questions.clear();
                    }
                    Effect::Send(command) => {
                        prop_assert!(workers == 1 && listening, "{:?} is lost", command);
                        questions.extend(command.id());
                    }
                    _ => {}
                }
                prop_assert!((0..=1).contains(&workers));
            }
            let wanted = matches!(state.run, Run::Joined | Run::Paused | Run::Leaving);
            prop_assert_eq!(workers == 1, wanted || state.is_looking);
        }
    }
}

#[test]
fn the_wish_for_the_relay_only_reaches_the_worker_before_it_takes_part() {
    let mut state = invited();
    assert_eq!(state.click(Intent::RelayOnly(true), 0.0), [Effect::Remember(true)]);
    state.click(Intent::Join, 1.0);
    let effects = state.apply(Event::Ready { version: lichen_bridge::VERSION }, 2.0);
    let id = sent(&effects).id().unwrap();
    let effects = state.apply(Event::Answered { id, outcome: Outcome::Done }, 3.0);
    let [Effect::Send(Command::RelayOnly { on: true, .. }), Effect::Send(Command::Join { .. })] = effects[..]
    else {
        panic!("{effects:?}");
    };
    let effects = state.click(Intent::RelayOnly(false), 4.0);
    assert!(matches!(
        effects[..],
        [Effect::Remember(false), Effect::Send(Command::RelayOnly { on: false, .. })]
    ));
}

#[test]
fn a_peer_that_is_reached_after_all_says_nothing_about_the_network() {
    let mut state = joined();
    state.observe(&Net::NoDirectPath { peer: vec![1] }, 1.0);
    assert!(state.is_walled_in());
    let peer = |path| lichen_net::Peer {
        peer: vec![1],
        address: String::new(),
        path,
        round_trip: None,
        dialled: true,
        received: 0,
        sent: 0,
    };
    state.observe(&Net::PeersChanged { peers: vec![peer(lichen_net::Path::Relayed)] }, 2.0);
    assert!(state.is_walled_in());
    state.observe(&Net::PeersChanged { peers: vec![peer(lichen_net::Path::Direct)] }, 3.0);
    assert!(!state.is_walled_in() && state.direct() == 1);
    state.observe(&Net::PeersChanged { peers: Vec::new() }, 4.0);
    assert!(!state.is_walled_in() && state.peers.is_empty());
}

#[test]
fn what_the_relay_says_of_itself_is_said_where_this_tab_would_only_wait() {
    use lichen_net::hub::Cause;

    let mut state = joined();
    state.observe(&Net::Connected { peer: vec![1], address: "the relay".to_owned() }, 500.0);
    state.apply(Event::Status(Phase::Sending), 500.0);
    assert_eq!(state.sentence(500.0).key, "sending");
    state.apply(Event::Relay { clock_ahead: 0, stall: Some(Cause::StoreFull) }, 600.0);
    let sentence = state.sentence(600.0);
    assert_eq!((sentence.key, sentence.lamp), ("stalled", Lamp::Bad));
    assert!(sentence.text.contains("disk") && sentence.advice.is_some(), "{sentence:?}");
    state.apply(Event::Status(Phase::Training { round: 1, step: 1, steps: 2 }), 700.0);
    assert_eq!(state.sentence(700.0).key, "training", "training needs no relay");
    state.apply(Event::Relay { clock_ahead: 0, stall: None }, 800.0);
    state.apply(Event::Status(Phase::Sending), 800.0);
    assert_eq!(state.sentence(800.0).key, "sending");
}

#[test]
fn every_cause_but_one_has_a_sentence_and_a_remedy() {
    use lichen_net::hub::Cause;

    for cause in Cause::ALL {
        let mut state = joined();
        state.observe(&Net::Connected { peer: vec![1], address: "the relay".to_owned() }, 500.0);
        state.apply(Event::Status(Phase::WaitingForRound), 500.0);
        state.apply(Event::Relay { clock_ahead: 0, stall: Some(cause) }, 600.0);
        let sentence = state.sentence(600.0);
        // The tab sees by itself that the relay it is at takes nothing.
        let expected = if cause == Cause::Leader { "waiting" } else { "stalled" };
        assert_eq!(sentence.key, expected, "{cause}");
        assert_eq!(sentence.advice.is_some(), cause != Cause::Leader, "{cause}");
    }
}

#[test]
fn a_relay_whose_clock_was_wrong_is_named() {
    let mut state = joined();
    state.observe(&Net::Connected { peer: vec![1], address: "the relay".to_owned() }, 500.0);
    state.apply(Event::Status(Phase::WaitingForRound), 500.0);
    state.apply(Event::Relay { clock_ahead: 86_400, stall: None }, 600.0);
    assert!(state.sentence(600.0).advice.unwrap().contains("clock"));
}

/// What the worker says of the invitation of [`invited`], changed.
fn described(change: impl Fn(&mut lichen_bridge::Campaign)) -> Event {
    let mut campaign = lichen_bridge::Campaign {
        id: lichen_record::CampaignId::of_manifest(b"digits"),
        card: Card { title: "Digits".to_owned(), target_accuracy: Some(0.95), ..Card::default() },
    };
    change(&mut campaign);
    Event::Campaign(campaign)
}

#[test]
fn words_that_turn_out_true_are_verified() {
    let mut state = joined();
    assert_eq!(state.apply(described(|_campaign| {}), 1.0), []);
    assert!(matches!(state.words, Words::Verified(_)));
}

#[test]
fn words_that_turn_out_false_end_the_visit_before_anything_connects() {
    let mut state = invited();
    state.click(Intent::Join, 0.0);
    state.apply(Event::Ready { version: lichen_bridge::VERSION }, 1.0);
    let effects =
        state.apply(described(|campaign| campaign.card.organiser.name = "Somebody else".to_owned()), 2.0);
    assert_eq!((effects, state.run.clone()), (vec![Effect::Close], Run::Idle));
    assert!(matches!(&state.words, Words::Missing(problem) if problem.message.contains("who runs it")));
    assert_eq!(state.click(Intent::Join, 3.0), [], "there is nothing to join");
    assert_eq!(state.click(Intent::ReadAgain, 4.0), [Effect::ReadSite, Effect::ReadNow]);
}

#[test]
fn a_worker_that_says_nothing_is_not_called_busy() {
    let mut state = joined();
    state.apply(Event::Status(Phase::WaitingForRound), 1_000.0);
    for second in 1..30_u32 {
        let now = f64::from(second) * 1_000.0;
        state.apply(Event::Alive, now);
        assert_eq!(state.watch(now), []);
        assert_eq!(state.sentence(now).key, "waiting");
    }
    assert_eq!(state.sentence(55_000.0).lamp, Lamp::Bad);
    assert_eq!(state.sentence(55_000.0).key, "stalled");
    state.apply(Event::Alive, 56_000.0);
    assert_eq!(state.sentence(56_000.0).key, "waiting");
    let mut loading = invited();
    loading.click(Intent::Join, 0.0);
    assert_eq!(loading.sentence(1_000.0).key, "starting");
    assert!(loading.sentence(60_000.0).text.contains("still being loaded"));
}

#[test]
fn a_device_that_slept_has_a_worker_that_slept() {
    let mut state = joined();
    state.apply(Event::Status(Phase::WaitingForRound), 1_000.0);
    state.watch(2_000.0);
    assert_eq!(state.watch(9_000_000.0), []);
    assert_eq!(state.sentence(9_000_000.0).key, "waiting");
}

#[test]
fn a_worker_stuck_with_several_threads_begins_anew_with_one() {
    let mut state = joined();
    state.threads = Threads::new(4, 8);
    let mut effects = Vec::new();
    for second in 1..60_u32 {
        effects.extend(state.watch(f64::from(second) * 1_000.0));
    }
    assert_eq!(effects, [Effect::Close, Effect::StartWorker]);
    assert_eq!((state.threads.wanted, state.threads.most, state.run.clone()), (1, 8, Run::Joined));
    assert!(state.notice.is_some());
}

#[test]
fn a_round_that_was_set_aside_is_told_of() {
    let mut state = ViewState::default();
    let mut told = |would_be, stays| {
        state.apply(Event::SetAside { round: 41, would_be, stays }, 0.0);
        state.notice.take().unwrap().message
    };
    assert_eq!(
        told(Some(0.269), Some(0.958)),
        "Round 41 was set aside: with its updates the model would have got 27 of 100 right instead of 96."
    );
    for (would_be, stays) in [(None, None), (Some(0.958), Some(0.958))] {
        assert_eq!(
            told(would_be, stays),
            "Round 41 was set aside: with its updates the model would have become worse."
        );
    }
}

#[test]
fn going_back_is_told_of() {
    let mut state = ViewState::default();
    for (to, said) in [
        (12, "The organiser went back to the checkpoint of round 12."),
        (0, "The organiser went back to the campaign's first checkpoint."),
    ] {
        state.apply(Event::WentBack { round: 41, to }, 0.0);
        let notice = state.notice.take().unwrap();
        assert_eq!((notice.message.as_str(), notice.remedy.contains("Round 41")), (said, true));
    }
}
