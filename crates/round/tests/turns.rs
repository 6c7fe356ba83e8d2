//! Whose turn it is where the manifest says how many contribute to a round.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use std::collections::{BTreeMap, BTreeSet};

use fixture::{
    BOTH, Log, MESH, Person, RULES, Reader, attestation, cid, closed, contribution_of, coordinator, departed,
    initial, joined, left, opened, overdue,
};
use lichen_campaign::Settlement;
use lichen_record::{AccountId, Cid, RoundNumber};
use lichen_round::{Activity, Change, ParticipantAction, ParticipantEvent, Presence, Refusal, Rules};

/// The same rules with so many members in a round.
const fn of(cohort: u32, rules: Rules) -> Rules {
    Rules { cohort: Some(cohort), extensions: Some(1), quorum: 1, ..rules }
}

/// A campaign of these people, round after round.
struct Campaign {
    log: Log,
    people: BTreeMap<AccountId, Person>,
    round: u64,
    base: Cid,
}

impl Campaign {
    fn new(rules: Rules, people: impl IntoIterator<Item = u8>) -> Self {
        let mut campaign =
            Self { log: Log::with_members(rules, &[]), people: BTreeMap::new(), round: 0, base: initial() };
        people.into_iter().for_each(|number| campaign.join(number));
        campaign
    }

    /// The same where each of them has contributed once.
    fn established(rules: Rules, people: std::ops::RangeInclusive<u8>) -> Self {
        let mut campaign = Self::new(rules, people.clone());
        let mut rounds = 0;
        while people.clone().any(|number| campaign.presence(number) != Presence::Expected) {
            campaign.run();
            rounds += 1;
            assert!(rounds < 500, "somebody never had a turn");
        }
        campaign
    }

    fn join(&mut self, number: u8) {
        let person = Person::new(number);
        self.log.add(&person, &joined(1));
        self.people.insert(person.account(), person);
    }

    fn presence(&self, number: u8) -> Presence {
        self.log.state.member(&Person::new(number).account()).unwrap().presence()
    }

    /// Opens the next round, and says whose turn it is.
    fn open(&mut self) -> BTreeSet<AccountId> {
        self.round += 1;
        self.log.wait(self.log.state.rules().interval_ms);
        self.log.add(&coordinator(), &opened(self.round, self.base));
        let round = self.log.state.round().unwrap();
        self.people.keys().filter(|account| round.has_turn(account)).copied().collect()
    }

    fn contribute(&mut self, account: &AccountId) {
        let person = &self.people[account];
        self.log.add(person, &contribution_of(person, self.round, self.base));
    }

    fn settle(&mut self, by: &BTreeSet<AccountId>) {
        self.log.add(&coordinator(), &closed(self.round));
        let result = cid(&format!("result {}", self.round));
        let entry = attestation(self.round, self.base, result);
        match self.log.state.rules().settlement {
            Settlement::Coordinator => drop(self.log.add(&coordinator(), &entry)),
            Settlement::Contributors => by.iter().for_each(|account| {
                let _late = self.log.append(&self.people[account], &entry);
            }),
        }
        assert_eq!(self.log.state.settled(), self.round);
        self.base = result;
    }

    /// A round to which all contribute whose turn it is.
    fn run(&mut self) -> BTreeSet<AccountId> {
        let drawn = self.open();
        drawn.iter().for_each(|account| self.contribute(account));
        self.settle(&drawn);
        drawn
    }

    fn awaited(&self) -> BTreeSet<AccountId> {
        self.log.state.round().unwrap().awaited().collect()
    }
}

#[test]
fn others_than_those_drawn_are_refused() {
    for rules in BOTH.map(|rules| of(3, rules)) {
        let mut campaign = Campaign::established(rules, 1..=9);
        let drawn = campaign.open();
        assert_eq!((drawn.len(), campaign.awaited()), (3, drawn.clone()));
        assert_eq!(campaign.log.state.round().unwrap().drawn(), Some(3));
        let people = campaign.people.clone();
        for (account, person) in people.iter().filter(|(account, _person)| !drawn.contains(account)) {
            let entry = contribution_of(person, campaign.round, campaign.base);
            campaign.log.refuse(person, &entry, Refusal::NotItsTurn);
            assert!(campaign.log.state.is_present(account));
        }
        drawn.iter().for_each(|account| campaign.contribute(account));
        campaign.settle(&drawn);
    }
}

#[test]
fn where_few_are_there_all_have_a_turn_and_who_comes_takes_an_open_place() {
    for rules in BOTH.map(|rules| of(4, rules)) {
        let mut campaign = Campaign::new(rules, 1..=3);
        assert_eq!(campaign.open().len(), 3);
        campaign.join(4);
        campaign.join(5);
        let round = campaign.log.state.round().unwrap();
        let has_turn = |number: u8| round.has_turn(&Person::new(number).account());
        assert!(has_turn(4) && !has_turn(5), "there is one place");
        campaign.contribute(&Person::new(4).account());
    }
}

#[test]
fn everybody_has_about_as_many_turns() {
    const ROUNDS: usize = 120;
    let mut campaign = Campaign::established(of(3, RULES), 1..=12);
    let mut turns: BTreeMap<AccountId, Vec<usize>> = BTreeMap::new();
    let mut companions = BTreeSet::new();
    for number in 0..ROUNDS {
        let drawn = campaign.run();
        drawn.iter().for_each(|account| turns.entry(*account).or_default().push(number));
        companions.insert(drawn);
    }
    let expected = ROUNDS * 3 / 12;
    for (account, turns) in &turns {
        assert!(turns.len().abs_diff(expected) <= expected / 5, "{} turns of {account}", turns.len());
        let longest = turns.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest <= 4 * 12 / 3, "{account} waited for {longest} rounds");
    }
    assert_eq!(turns.len(), 12);
    assert!(companions.len() > ROUNDS / 3, "the lot always draws the same together: {}", companions.len());
}

#[test]
fn newcomers_have_their_turns_and_take_nobodys() {
    let mut campaign = Campaign::established(of(8, RULES), 1..=8);
    (10..=49).for_each(|number| campaign.join(number));
    for _ in 0..10 {
        let drawn = campaign.open();
        let known = (1..=8).filter(|number| drawn.contains(&Person::new(*number).account())).count();
        // Those who had their first turn are as good as the others, and have waited as long.
        assert!(drawn.len() == 10 && known <= 8, "{known} of {}", drawn.len());
        let established = drawn
            .iter()
            .filter(|account| campaign.log.state.member(account).unwrap().presence() == Presence::Expected);
        assert_eq!(established.count(), 8);
        drawn.iter().for_each(|account| campaign.contribute(account));
        campaign.settle(&drawn);
    }
    let served = (10..=49).filter(|number| campaign.presence(*number) == Presence::Expected).count();
    assert_eq!(served, 20);
}

#[test]
fn joining_again_brings_no_turn_nearer() {
    // One of ten leaves and joins again before every round: it has fewer turns than the others, not more.
    let mut campaign = Campaign::established(of(2, RULES), 1..=10);
    let restless = Person::new(1);
    let (mut turns, mut sequence) = (0, 1);
    for _ in 0..100 {
        for entry in [left as fn(u64) -> lichen_record::Entry, joined] {
            sequence += 1;
            campaign.log.add(&restless, &entry(sequence));
        }
        turns += usize::from(campaign.run().contains(&restless.account()));
    }
    assert!(turns <= 100 / 5, "{turns} turns of 20");
}

#[test]
fn who_goes_is_replaced_at_once_and_the_one_who_steps_in_is_not_blamed() {
    for rules in BOTH.map(|rules| of(3, rules)) {
        let mut campaign = Campaign::established(rules, 1..=9);
        let drawn = campaign.open();
        let gone: Vec<_> = drawn.iter().take(2).map(|account| campaign.people[account].clone()).collect();
        campaign.log.wait(rules.interval_ms);
        campaign.log.add(&coordinator(), &departed(campaign.round, &gone[0]));
        campaign.log.add(&gone[1], &left(2));
        let stepped_in: Vec<_> = campaign.awaited().difference(&drawn).copied().collect();
        assert_eq!((stepped_in.len(), campaign.awaited().len()), (2, 3));
        campaign.contribute(drawn.iter().last().unwrap());
        campaign.contribute(&stepped_in[0]);
        campaign.log.wait(rules.deadline_ms);
        let missed = campaign.log.add(&coordinator(), &closed(campaign.round));
        let round = RoundNumber(campaign.round);
        assert!(missed.contains(&Change::Missed { round, account: stepped_in[1] }), "{missed:?}");
        // One contribution makes up for having had too little time.
        let late = campaign.people[&stepped_in[1]].clone();
        campaign.log.add(&late, &joined(2));
        assert_eq!(campaign.log.state.member(&late.account()).unwrap().presence(), Presence::Newcomer);
    }
}

#[test]
fn a_silent_cohort_is_replaced_and_then_skipped() {
    for rules in BOTH.map(|rules| Rules { minimum: 2, ..of(2, rules) }) {
        let mut campaign = Campaign::established(rules, 1..=9);
        let first = campaign.open();
        campaign.log.wait(rules.deadline_ms);
        campaign.log.add(&coordinator(), &overdue(campaign.round));
        // The reserve is half as many as the cohort.
        let second = campaign.awaited();
        assert!(second.len() == 1 && second.is_disjoint(&first), "{second:?}");
        // Those who were silent may still contribute.
        campaign.contribute(first.first().unwrap());
        campaign.log.wait(rules.deadline_ms);
        let changes = campaign.log.add(&coordinator(), &overdue(campaign.round));
        assert!(matches!(changes[..], [.., Change::Skipped { .. }]), "{changes:?}");
        // Others are drawn now: whoever was silent has to say first that it is there.
        let third = campaign.open();
        let silent: BTreeSet<_> = first.iter().skip(1).chain(&second).copied().collect();
        assert!(third.len() >= 2 && third.is_disjoint(&silent));
        third.iter().for_each(|account| campaign.contribute(account));
        campaign.settle(&third);
    }
}

#[test]
fn the_last_of_the_reserve_may_go_as_well() {
    let mut campaign = Campaign::established(of(2, MESH), 1..=9);
    campaign.open();
    for _ in 0..3 {
        let next = *campaign.awaited().first().unwrap();
        let person = campaign.people[&next].clone();
        campaign.log.add(&coordinator(), &departed(campaign.round, &person));
    }
    assert_eq!(campaign.awaited().len(), 0, "two were drawn, and one was in reserve");
    campaign.log.refuse(&coordinator(), &closed(campaign.round), Refusal::TooFewContributions);
}

#[test]
fn a_tab_trains_when_it_is_its_turn_and_not_before() {
    for rules in BOTH.map(|rules| of(2, rules)) {
        let mut campaign = Campaign::established(rules, 1..=7);
        let me = Person::new(1);
        let mut tab = Reader::new(&me, rules);
        for event in [ParticipantEvent::Connected, ParticipantEvent::CaughtUp, ParticipantEvent::Join] {
            assert!(!trains(&tab.tell(&campaign.log, event)), "nobody knows yet whose turn is next");
        }
        let (mut turns, mut waits) = (0, 0);
        while turns == 0 || waits == 0 {
            let drawn = campaign.open();
            let actions = tab.tell(&campaign.log, ParticipantEvent::Tick);
            let base = campaign.base;
            let fetched = tab.tell(&campaign.log, ParticipantEvent::Fetched { cid: base });
            let is_mine = drawn.contains(&me.account());
            assert_eq!(trains(&actions) || trains(&fetched), is_mine);
            match tab.tab.activity() {
                Activity::Training { .. } => turns += usize::from(is_mine),
                Activity::WaitingForTurn { round, drawn, members } => {
                    assert_eq!((round.0, drawn, members, is_mine), (campaign.round, 2, 7, false));
                    waits += 1;
                }
                other => panic!("{other:?}"),
            }
            drawn.iter().for_each(|account| campaign.contribute(account));
            campaign.settle(&drawn);
            tab.tell(&campaign.log, ParticipantEvent::Tick);
        }
    }
}

fn trains(actions: &[ParticipantAction]) -> bool {
    actions.iter().any(|action| matches!(action, ParticipantAction::Train { .. }))
}
