//! Whom rounds wait for: those that contributed, newcomers once, and nobody for the price of joining again.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use std::collections::{BTreeMap, BTreeSet};

use fixture::{
    BOTH, Log, MESH, Person, RULES, attestation, attestation_without, cid, closed, contribution_of,
    coordinator, departed, initial, joined, left, opened,
};
use lichen_campaign::Settlement;
use lichen_record::{AccountId, Cid};
use lichen_round::{Presence, Refusal, Rules, Stage};
use proptest::prelude::*;

/// Rounds with whoever contributes to them, each settled with a result of its own.
struct Campaign {
    log: Log,
    round: u64,
    base: Cid,
    sequence: u64,
}

impl Campaign {
    fn new(rules: Rules) -> Self {
        Self { log: Log::with_members(rules, &[]), round: 0, base: initial(), sequence: 0 }
    }

    fn join(&mut self, person: &Person) {
        self.sequence += 1;
        self.log.add(person, &joined(self.sequence));
    }

    fn leave(&mut self, person: &Person) {
        self.sequence += 1;
        self.log.add(person, &left(self.sequence));
    }

    fn is_present(&self, person: &Person) -> bool {
        self.log.state.is_present(&person.account())
    }

    /// Opens the next round, and says whom it waits for.
    fn open(&mut self) -> BTreeSet<AccountId> {
        self.round += 1;
        self.log.wait(self.log.state.rules().interval_ms);
        self.log.add(&coordinator(), &opened(self.round, self.base));
        self.log.state.round().unwrap().awaited().collect()
    }

    fn contribute(&mut self, person: &Person) {
        self.log.add(person, &contribution_of(person, self.round, self.base));
    }

    /// Closes the round, at its deadline where it waits for somebody, and has these settle it. Whether it had to wait.
    fn close(&mut self, contributors: &[&Person]) -> bool {
        let late = self.log.append(&coordinator(), &closed(self.round)) == Err(Refusal::DeadlinePending);
        if late {
            self.log.wait(self.log.state.rules().deadline_ms);
            self.log.add(&coordinator(), &closed(self.round));
        }
        let result = cid(&format!("result {}", self.round));
        for person in contributors {
            if !matches!(self.log.state.round().unwrap().stage(), Stage::Settled { .. }) {
                self.log.add(person, &attestation(self.round, self.base, result));
            }
        }
        if self.log.state.rules().settlement == Settlement::Coordinator {
            self.log.add(&coordinator(), &attestation(self.round, self.base, result));
        }
        assert_eq!(self.log.state.settled(), self.round);
        self.base = result;
        late
    }

    /// A round to which these contribute; whether it had to wait for others.
    fn run(&mut self, contributors: &[&Person]) -> bool {
        self.open();
        for person in contributors {
            self.contribute(person);
        }
        self.close(contributors)
    }
}

fn presence(campaign: &Campaign, person: &Person) -> Presence {
    campaign.log.state.member(&person.account()).unwrap().presence()
}

fn people<const N: usize>() -> [Person; N] {
    core::array::from_fn(|number| Person::new(u8::try_from(number + 1).unwrap()))
}

#[test]
fn rejoining_accounts_hold_up_one_round_and_no_more() {
    for rules in BOTH {
        let [anna, idle @ ..] = people::<9>();
        let mut campaign = Campaign::new(Rules { quorum: 1, ..rules });
        campaign.join(&anna);
        campaign.run(&[&anna]);
        let mut held_up = 0;
        for _ in 0..40 {
            for person in &idle {
                if campaign.is_present(person) {
                    campaign.leave(person);
                }
                campaign.join(person);
            }
            held_up += u32::from(campaign.run(&[&anna]));
        }
        assert_eq!(held_up, 1);
    }
}

#[test]
fn ever_new_accounts_hold_up_ever_fewer_rounds() {
    let [anna, ..] = people::<1>();
    let mut campaign = Campaign::new(Rules { quorum: 1, ..RULES });
    campaign.join(&anna);
    campaign.run(&[&anna]);
    let mut held_up = Vec::new();
    for number in 2..=150 {
        campaign.join(&Person::new(number));
        if campaign.run(&[&anna]) {
            held_up.push(campaign.round);
        }
    }
    assert_eq!(held_up, [2, 4, 7, 12, 21, 38, 71, 136], "1, 2, 4, … 64 rounds are not held up");
}

#[test]
fn a_newcomer_is_waited_for_at_once_and_for_good_when_it_contributes() {
    for rules in BOTH {
        let [anna, bela] = people::<2>();
        let mut campaign = Campaign::new(rules);
        campaign.join(&anna);
        campaign.run(&[&anna]);
        campaign.join(&bela);
        assert_eq!(presence(&campaign, &bela), Presence::Newcomer);
        for _ in 0..3 {
            assert!(campaign.open().contains(&bela.account()));
            campaign.contribute(&anna);
            campaign.contribute(&bela);
            assert!(!campaign.close(&[&anna, &bela]));
            assert_eq!(presence(&campaign, &bela), Presence::Expected);
        }
    }
}

#[test]
fn while_newcomers_are_not_waited_for_they_may_contribute() {
    let [anna, bela, carla] = people::<3>();
    let mut campaign = Campaign::new(RULES);
    campaign.join(&anna);
    campaign.run(&[&anna]);
    campaign.join(&bela);
    assert!(campaign.run(&[&anna]), "waits for Bela in vain");
    campaign.join(&carla);
    assert!(!campaign.open().contains(&carla.account()));
    campaign.contribute(&carla);
    campaign.contribute(&anna);
    campaign.close(&[&anna, &carla]);
    assert!(campaign.open().contains(&carla.account()), "it has earned that");
}

#[test]
fn where_only_newcomers_are_the_round_waits_for_them() {
    let [anna, bela, carla] = people::<3>();
    let mut campaign = Campaign::new(RULES);
    campaign.join(&anna);
    campaign.run(&[&anna]);
    campaign.join(&bela);
    assert!(campaign.run(&[&anna]));
    campaign.leave(&anna);
    campaign.join(&carla);
    assert_eq!(campaign.open(), [carla.account()].into());
}

#[test]
fn whoever_pauses_after_good_work_is_waited_for_when_it_is_back() {
    for rules in BOTH {
        let [anna, bela] = people::<2>();
        let mut campaign = Campaign::new(rules);
        campaign.join(&anna);
        campaign.join(&bela);
        campaign.run(&[&anna, &bela]);
        campaign.leave(&bela);
        campaign.run(&[&anna]);
        campaign.join(&bela);
        assert!(campaign.open().contains(&bela.account()));
    }
}

#[test]
fn who_contributes_and_misses_in_turn_has_to_contribute_ever_more_often_first() {
    let [anna, bela] = people::<2>();
    let mut campaign = Campaign::new(Rules { quorum: 1, ..RULES });
    campaign.join(&anna);
    campaign.join(&bela);
    campaign.run(&[&anna, &bela]);
    let mut held_up = Vec::new();
    for _ in 0..40 {
        let awaited = campaign.open();
        let is_awaited = awaited.contains(&bela.account());
        campaign.contribute(&anna);
        if !is_awaited {
            campaign.contribute(&bela);
        }
        if campaign.close(&[&anna]) {
            held_up.push(campaign.round);
        }
    }
    assert_eq!(held_up, [2, 4, 7, 12, 21, 38]);
}

#[test]
fn who_leaves_just_before_the_deadline_has_held_the_round_up_all_the_same() {
    let [anna, bela] = people::<2>();
    let mut campaign = Campaign::new(Rules { quorum: 1, ..RULES });
    campaign.join(&anna);
    campaign.run(&[&anna]);
    for turn in 0..5 {
        campaign.join(&bela);
        let awaited = campaign.open();
        assert_eq!(awaited.contains(&bela.account()), turn == 0, "turn {turn}");
        campaign.contribute(&anna);
        campaign.log.wait(RULES.deadline_ms - 1);
        campaign.leave(&bela);
        campaign.close(&[&anna]);
    }
}

#[test]
fn who_goes_before_anybody_lost_time_keeps_its_chance() {
    let [anna, bela] = people::<2>();
    let mut campaign = Campaign::new(Rules { quorum: 1, ..RULES });
    campaign.join(&anna);
    campaign.run(&[&anna]);
    campaign.join(&bela);
    assert!(campaign.open().contains(&bela.account()));
    campaign.log.wait(RULES.interval_ms - 1);
    campaign.log.add(&coordinator(), &departed(campaign.round, &bela));
    campaign.contribute(&anna);
    campaign.close(&[&anna]);
    campaign.join(&bela);
    assert!(campaign.open().contains(&bela.account()));
}

#[test]
fn who_contributes_and_never_attests_is_not_waited_for_again() {
    // In a hub with a quorum of three, and in a mesh of two: the round needs both words.
    for rules in [Rules { quorum: 3, ..RULES }, MESH] {
        let [anna, bela] = people::<2>();
        let mut campaign = Campaign::new(rules);
        campaign.join(&anna);
        campaign.join(&bela);
        campaign.open();
        campaign.contribute(&anna);
        campaign.contribute(&bela);
        campaign.log.add(&coordinator(), &closed(1));
        campaign.log.add(&anna, &attestation(1, initial(), cid("one")));
        campaign.log.wait(rules.deadline_ms);
        let last = if rules == MESH { closed(1) } else { attestation(1, initial(), cid("one")) };
        campaign.log.add(&coordinator(), &last);
        assert_eq!(campaign.log.state.settled(), 1);
        assert_eq!(presence(&campaign, &bela), Presence::Missed);
        campaign.base = campaign.log.state.checkpoint().unwrap();
        assert_eq!(campaign.open(), [anna.account()].into());
    }
}

#[test]
fn in_a_mesh_who_owes_contributions_is_no_part_of_the_quorum() {
    let [anna, bela, carla] = people::<3>();
    let mut campaign = Campaign::new(Rules { quorum: 3, ..MESH });
    for person in [&anna, &bela, &carla] {
        campaign.join(person);
    }
    let mut held_up = 0;
    for _ in 0..12 {
        campaign.open();
        for person in [&anna, &bela, &carla] {
            campaign.contribute(person);
        }
        campaign.log.add(&coordinator(), &closed(campaign.round));
        let result = cid(&format!("result {}", campaign.round));
        for person in [&anna, &bela] {
            campaign.log.add(person, &attestation_without(campaign.round, campaign.base, result, 0));
        }
        if campaign.log.state.settled() < campaign.round {
            held_up += 1;
            campaign.log.wait(MESH.deadline_ms);
            campaign.log.add(&coordinator(), &closed(campaign.round));
        }
        campaign.base = result;
    }
    assert_eq!(held_up, 4, "in rounds 1, 2, 4 and 8");
}

/// What one account does in one round.
#[derive(Clone, Copy, Debug)]
enum Conduct {
    Contributes,
    Idles,
    Rejoins,
    Leaves,
    LeavesLate,
    Departs,
}

fn conduct() -> impl Strategy<Value = Conduct> {
    proptest::sample::select(vec![
        Conduct::Contributes,
        Conduct::Idles,
        Conduct::Rejoins,
        Conduct::Leaves,
        Conduct::LeavesLate,
        Conduct::Departs,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Beside one honest member, five others do whatever they like.
    #[test]
    fn nobody_is_waited_for_without_having_earned_it(
        rules in proptest::sample::select(BOTH.to_vec()),
        conduct in proptest::collection::vec(proptest::collection::vec(conduct(), 5), 1..25),
    ) {
        let [anna, others @ ..] = people::<6>();
        let mut campaign = Campaign::new(Rules { quorum: 1, minimum: 1, ..rules });
        campaign.join(&anna);
        campaign.run(&[&anna]);
        // Rounds that waited for an account since it contributed last.
        let mut waited: BTreeMap<AccountId, u32> = BTreeMap::new();
        for round in conduct {
            for (person, conduct) in others.iter().zip(&round) {
                match (conduct, campaign.is_present(person)) {
                    (Conduct::Rejoins, true) => {
                        campaign.leave(person);
                        campaign.join(person);
                    }
                    (Conduct::Leaves, true) => campaign.leave(person),
                    (_, true) | (Conduct::Leaves, false) => {}
                    (_, false) => campaign.join(person),
                }
            }
            let awaited = campaign.open();
            prop_assert!(awaited.contains(&anna.account()), "an honest member is always waited for");
            let mut contributors = vec![&anna];
            campaign.contribute(&anna);
            for (person, conduct) in others.iter().zip(&round) {
                let account = person.account();
                let Some(member) = campaign.log.state.member(&account).copied() else { continue };
                if awaited.contains(&account) {
                    let times = waited.entry(account).or_default();
                    *times += 1;
                    let chances = if member.contributions() == 0 { 1 } else { 2 };
                    prop_assert!(*times <= chances, "waited for {times} times in vain");
                }
                match conduct {
                    Conduct::Contributes => {
                        campaign.contribute(person);
                        contributors.push(person);
                        waited.remove(&account);
                    }
                    Conduct::Departs if awaited.contains(&account) => {
                        campaign.log.wait(2 * rules.interval_ms);
                        campaign.log.add(&coordinator(), &departed(campaign.round, person));
                    }
                    Conduct::LeavesLate if member.presence() != Presence::Absent => {
                        campaign.log.wait(2 * rules.interval_ms);
                        campaign.leave(person);
                    }
                    _ => {}
                }
            }
            campaign.close(&contributors);
        }
    }
}
