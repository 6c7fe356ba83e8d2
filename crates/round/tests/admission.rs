//! Which entries a log takes: every refusal, and what honest and hostile accounts bring about.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use fixture::{
    BOTH, Log, Person, RULES, attestation, cid, close, closed, contribution, coordinator, initial, joined,
    left, open, opened, people, published,
};
use lichen_campaign::Settlement;
use lichen_record::{CampaignId, Entry, RoundNumber};
use lichen_round::{CampaignState, Change, FaultKind, Presence, Refusal, Rules, Stage};

/// Round 1 is settled with the checkpoint `one`.
fn settle(rules: Rules, members: &[&Person]) -> Log {
    let mut log = close(rules, members);
    attest(&mut log, members);
    log
}

/// Everybody whose word counts attests that round 1 ends with the checkpoint `one`.
fn attest(log: &mut Log, contributors: &[&Person]) {
    for member in contributors {
        log.add(member, &attestation(1, initial(), cid("one")));
    }
    if log.state.rules().settlement == Settlement::Coordinator {
        log.add(&coordinator(), &attestation(1, initial(), cid("one")));
    }
    assert_eq!(log.state.settled(), 1);
}

#[test]
fn another_campaigns_entry_is_refused() {
    for rules in BOTH {
        let (anna, ..) = people();
        let mut log = open(rules, &[&anna]);
        let other = Entry::Contribution {
            campaign: CampaignId::of_manifest(b"another manifest"),
            round: RoundNumber(1),
            base: initial(),
            update: cid("an update"),
            samples: 16,
            metrics: fixture::metrics(),
            engine: None,
            trace: None,
        };
        log.refuse(&anna, &other, Refusal::WrongCampaign);
    }
}

#[test]
fn time_may_stand_but_not_run_backwards() {
    for rules in BOTH {
        let (anna, ..) = people();
        let mut log = Log::with_members(rules, &[]);
        log.time -= 1;
        log.refuse(&anna, &joined(1), Refusal::TimeReversed);
        log.time += 1;
        log.add(&anna, &joined(1));
    }
}

#[test]
fn a_log_begins_with_its_publication() {
    for rules in BOTH {
        let (anna, ..) = people();
        let mut log = Log::new(rules);
        for entry in [
            joined(1),
            left(1),
            opened(1, initial()),
            contribution(1, initial()),
            closed(1),
            attestation(1, initial(), cid("one")),
        ] {
            log.refuse(&anna, &entry, Refusal::NotPublished);
        }
        let wrong =
            Entry::Published { campaign: fixture::campaign(), manifest: cid("junk"), base: initial() };
        log.refuse(&coordinator(), &wrong, Refusal::WrongManifest);
        log.add(&coordinator(), &published());
        assert_eq!(log.state.coordinator(), Some(coordinator().account()));
        log.refuse(&coordinator(), &published(), Refusal::NotFirst);
        log.refuse(&anna, &published(), Refusal::NotFirst);
    }
}

#[test]
fn only_the_coordinator_opens_and_closes() {
    for rules in BOTH {
        let (anna, ..) = people();
        let mut log = Log::with_members(rules, &[&anna]);
        log.refuse(&anna, &opened(1, initial()), Refusal::NotCoordinator);
        log.add(&coordinator(), &opened(1, initial()));
        log.add(&anna, &contribution(1, initial()));
        log.refuse(&anna, &closed(1), Refusal::NotCoordinator);
    }
}

#[test]
fn replayed_joining_and_leaving_is_refused() {
    for rules in BOTH {
        let (anna, ..) = people();
        let mut log = Log::with_members(rules, &[]);
        log.refuse(&anna, &left(1), Refusal::NotAMember);
        log.add(&anna, &joined(5));
        log.refuse(&anna, &joined(5), Refusal::StaleSequence);
        log.refuse(&anna, &left(5), Refusal::StaleSequence);
        log.refuse(&anna, &joined(6), Refusal::Duplicate);
        log.add(&anna, &left(7));
        // The old joining, replayed by somebody who kept it.
        log.refuse(&anna, &joined(5), Refusal::StaleSequence);
        log.refuse(&anna, &joined(7), Refusal::StaleSequence);
        log.refuse(&anna, &left(8), Refusal::Duplicate);
        log.add(&anna, &joined(8));
        log.add(&anna, &left(u64::MAX));
        log.refuse(&anna, &joined(u64::MAX), Refusal::StaleSequence);
    }
}

#[test]
fn rounds_open_in_order_on_what_settled() {
    for rules in BOTH {
        let (anna, ..) = people();
        let mut log = Log::with_members(rules, &[&anna]);
        log.refuse(&coordinator(), &opened(2, initial()), Refusal::WrongRound);
        log.refuse(&coordinator(), &opened(0, initial()), Refusal::WrongRound);
        log.refuse(&coordinator(), &opened(1, cid("other")), Refusal::WrongBase);
        let mut log = settle(rules, &[&anna]);
        log.wait(rules.interval_ms);
        log.refuse(&coordinator(), &opened(2, cid("other")), Refusal::WrongBase);
        log.refuse(&coordinator(), &opened(1, cid("one")), Refusal::WrongRound);
        log.refuse(&coordinator(), &opened(u64::MAX, cid("one")), Refusal::WrongRound);
        log.add(&coordinator(), &opened(2, cid("one")));
    }
}

#[test]
fn a_round_opens_only_after_the_one_before_settled() {
    for rules in BOTH {
        let (anna, ..) = people();
        let mut log = open(rules, &[&anna]);
        log.wait(60_000);
        log.refuse(&coordinator(), &opened(2, initial()), Refusal::RoundNotSettled);
        log.add(&anna, &contribution(1, initial()));
        log.add(&coordinator(), &closed(1));
        log.refuse(&coordinator(), &opened(2, initial()), Refusal::RoundNotSettled);
    }
}

#[test]
fn a_round_opens_only_after_the_interval() {
    for rules in BOTH {
        let (anna, ..) = people();
        let mut log = settle(rules, &[&anna]);
        log.wait(rules.interval_ms - 1);
        log.refuse(&coordinator(), &opened(2, cid("one")), Refusal::IntervalPending);
        log.wait(1);
        log.add(&coordinator(), &opened(2, cid("one")));
    }
}

#[test]
fn a_round_opens_only_for_somebody() {
    for rules in BOTH {
        let (anna, ..) = people();
        let mut log = Log::with_members(rules, &[]);
        log.refuse(&coordinator(), &opened(1, initial()), Refusal::NobodyExpected);
        log.add(&anna, &joined(1));
        log.add(&anna, &left(2));
        log.refuse(&coordinator(), &opened(1, initial()), Refusal::NobodyExpected);
    }
}

#[test]
fn contributions_are_for_the_open_round() {
    for rules in BOTH {
        let (anna, bela, _) = people();
        let mut log = Log::with_members(rules, &[&anna]);
        log.refuse(&anna, &contribution(1, initial()), Refusal::RoundNotOpen);
        log.add(&coordinator(), &opened(1, initial()));
        log.refuse(&anna, &contribution(0, initial()), Refusal::WrongRound);
        log.refuse(&anna, &contribution(2, initial()), Refusal::WrongRound);
        log.refuse(&anna, &contribution(1, cid("other")), Refusal::WrongBase);
        log.refuse(&bela, &contribution(1, initial()), Refusal::NotAMember);
        log.add(&anna, &contribution(1, initial()));
        log.add(&coordinator(), &closed(1));
        log.add(&bela, &joined(1));
        log.refuse(&bela, &contribution(1, initial()), Refusal::RoundNotOpen);
    }
}

#[test]
fn a_replayed_contribution_is_refused() {
    for rules in BOTH {
        let (anna, bela, _) = people();
        let mut log = open(rules, &[&anna, &bela]);
        log.add(&anna, &contribution(1, initial()));
        log.refuse(&anna, &contribution(1, initial()), Refusal::Duplicate);
        log.add(&bela, &contribution(1, initial()));
        log.add(&coordinator(), &closed(1));
        // Who lost the receipt and repeats it after the closing learns that it stands.
        log.refuse(&anna, &contribution(1, initial()), Refusal::Duplicate);
        attest(&mut log, &[&anna, &bela]);
        log.wait(rules.interval_ms);
        log.add(&coordinator(), &opened(2, cid("one")));
        log.refuse(&anna, &contribution(1, initial()), Refusal::WrongRound);
    }
}

#[test]
fn a_contributions_weight_is_its_shards() {
    for rules in BOTH {
        let (anna, ..) = people();
        let mut log = open(rules, &[&anna]);
        for weight in [0, 17, u32::MAX] {
            let Entry::Contribution { campaign, round, base, update, metrics, .. } =
                contribution(1, initial())
            else {
                unreachable!()
            };
            let entry = Entry::Contribution {
                campaign,
                round,
                base,
                update,
                samples: weight,
                metrics,
                engine: None,
                trace: None,
            };
            log.refuse(&anna, &entry, Refusal::WrongSamples);
        }
    }
}

#[test]
fn whoever_left_contributes_no_more_but_what_counted_counts() {
    for rules in BOTH {
        let (anna, bela, _) = people();
        let mut log = open(rules, &[&anna, &bela]);
        log.add(&anna, &contribution(1, initial()));
        log.add(&anna, &left(2));
        log.add(&bela, &left(2));
        log.refuse(&bela, &contribution(1, initial()), Refusal::NotAMember);
        log.add(&coordinator(), &closed(1));
        assert_eq!(log.state.round().unwrap().contributions().len(), 1);
    }
}

#[test]
fn a_round_waits_for_its_cohort_until_the_deadline() {
    for rules in BOTH {
        let (anna, bela, _) = people();
        let mut log = open(rules, &[&anna, &bela]);
        log.refuse(&coordinator(), &closed(1), Refusal::TooFewContributions);
        log.add(&anna, &contribution(1, initial()));
        log.wait(rules.deadline_ms - 1);
        log.refuse(&coordinator(), &closed(1), Refusal::DeadlinePending);
        log.wait(1);
        log.refuse(&coordinator(), &closed(2), Refusal::WrongRound);
        let changes = log.add(&coordinator(), &closed(1));
        let missed = Change::Missed { round: RoundNumber(1), account: bela.account() };
        assert_eq!(changes, [Change::Closed { round: RoundNumber(1), accepted: 1 }, missed]);
        assert_eq!(log.state.member(&bela.account()).unwrap().presence(), Presence::Missed);
        let again = if rules == RULES { Refusal::RoundNotOpen } else { Refusal::DeadlinePending };
        log.refuse(&coordinator(), &closed(1), again);
    }
}

#[test]
fn a_round_closes_at_once_when_the_cohort_is_complete() {
    for rules in BOTH {
        let (anna, bela, carla) = people();
        let mut log = open(rules, &[&anna, &bela]);
        // Who joins within the round may contribute, and is not waited for.
        log.add(&carla, &joined(1));
        log.add(&anna, &contribution(1, initial()));
        log.refuse(&coordinator(), &closed(1), Refusal::DeadlinePending);
        log.add(&bela, &contribution(1, initial()));
        log.add(&coordinator(), &closed(1));
        attest(&mut log, &[&anna, &bela]);
        log.wait(rules.interval_ms);
        let changes = log.add(&coordinator(), &opened(2, cid("one")));
        assert!(matches!(changes[..], [Change::Opened { cohort: 3, .. }]), "{changes:?}");
    }
}

#[test]
fn below_the_minimum_a_round_stays_open() {
    for rules in BOTH {
        let (anna, bela, _) = people();
        let mut log = open(Rules { minimum: 2, ..rules }, &[&anna]);
        log.add(&anna, &contribution(1, initial()));
        log.wait(10 * rules.deadline_ms);
        log.refuse(&coordinator(), &closed(1), Refusal::TooFewContributions);
        log.add(&bela, &joined(1));
        log.add(&bela, &contribution(1, initial()));
        log.add(&coordinator(), &closed(1));
    }
}

#[test]
fn whoever_missed_a_round_is_expected_again_after_contributing_but_not_after_joining() {
    for rules in BOTH {
        let (anna, bela, carla) = people();
        let mut log = open(rules, &[&anna, &bela, &carla]);
        log.add(&anna, &contribution(1, initial()));
        log.wait(rules.deadline_ms);
        log.add(&coordinator(), &closed(1));
        attest(&mut log, &[&anna]);
        log.add(&carla, &joined(2));
        let changes = log.add(&coordinator(), &opened(2, cid("one")));
        assert!(matches!(changes[..], [Change::Opened { cohort: 1, .. }]), "{changes:?}");
        log.add(&bela, &contribution(2, cid("one")));
        assert_eq!(log.state.member(&bela.account()).unwrap().presence(), Presence::Expected);
    }
}

#[test]
fn attestations_are_for_the_closed_round() {
    let (anna, bela, _) = people();
    let mut log = Log::with_members(RULES, &[&anna]);
    let one = || attestation(1, initial(), cid("one"));
    log.refuse(&anna, &one(), Refusal::RoundNotOpen);
    log.add(&coordinator(), &opened(1, initial()));
    log.add(&anna, &contribution(1, initial()));
    log.refuse(&anna, &one(), Refusal::RoundNotClosed);
    log.add(&coordinator(), &closed(1));
    log.refuse(&anna, &attestation(2, initial(), cid("one")), Refusal::WrongRound);
    log.refuse(&anna, &attestation(1, cid("other"), cid("one")), Refusal::WrongBase);
    log.refuse(&bela, &one(), Refusal::NotAMember);
    log.add(&anna, &one());
    log.refuse(&anna, &one(), Refusal::Duplicate);
    log.add(&coordinator(), &one());
    assert_eq!(log.state.checkpoint(), Some(cid("one")));
    log.refuse(&coordinator(), &one(), Refusal::Duplicate);
}

#[test]
fn a_quorum_with_the_coordinator_settles() {
    let (anna, bela, carla) = people();
    let mut log = close(Rules { quorum: 3, ..RULES }, &[&anna, &bela, &carla]);
    let one = attestation(1, initial(), cid("one"));
    for person in [&anna, &bela, &carla] {
        log.add(person, &one);
    }
    assert!(matches!(log.state.round().unwrap().stage(), Stage::Closed { .. }), "accounts cost nothing");
    let changes = log.add(&coordinator(), &one);
    let settled = Change::Settled { round: RoundNumber(1), result: cid("one"), attestations: 4 };
    assert_eq!(changes.last(), Some(&settled));
}

#[test]
fn the_quorum_is_lowered_to_who_is_there() {
    let (anna, bela, _) = people();
    let mut log = close(Rules { quorum: 3, ..RULES }, &[&anna, &bela]);
    log.add(&bela, &left(2));
    log.add(&coordinator(), &attestation(1, initial(), cid("one")));
    assert_eq!(log.state.settled(), 0);
    log.add(&anna, &attestation(1, initial(), cid("one")));
    assert_eq!(log.state.settled(), 1);
}

#[test]
fn when_members_are_silent_the_deadline_settles() {
    let (anna, bela, _) = people();
    let mut log = close(RULES, &[&anna, &bela]);
    log.wait(RULES.deadline_ms);
    log.add(&coordinator(), &attestation(1, initial(), cid("one")));
    assert_eq!(log.state.settled(), 1);
}

#[test]
fn a_tie_is_no_settlement_however_late() {
    let (anna, bela, _) = people();
    let mut log = close(RULES, &[&anna]);
    log.add(&anna, &attestation(1, initial(), cid("one")));
    log.wait(100 * RULES.deadline_ms);
    log.add(&coordinator(), &attestation(1, initial(), cid("two")));
    assert_eq!(log.state.settled(), 0);
    // A third opinion decides.
    log.add(&bela, &joined(1));
    let changes = log.add(&bela, &attestation(1, initial(), cid("two")));
    let kind = FaultKind::Disagreed { attested: cid("one").into(), settled: cid("two").into() };
    assert!(
        matches!(changes[2], Change::Faulted(fault) if fault.account == anna.account() && fault.kind == kind)
    );
    assert_eq!(log.state.checkpoint(), Some(cid("two")));
}

#[test]
fn a_false_coordinator_cannot_settle_against_its_members() {
    let (anna, bela, carla) = people();
    let mut log = close(RULES, &[&anna, &bela, &carla]);
    for person in [&anna, &bela, &carla] {
        log.add(person, &attestation(1, initial(), cid("one")));
    }
    log.wait(100 * RULES.deadline_ms);
    log.add(&coordinator(), &attestation(1, initial(), cid("false")));
    assert_eq!(log.state.settled(), 0);
}

#[test]
fn whoever_contradicts_the_settled_result_is_at_fault() {
    let (anna, bela, carla) = people();
    let mut log = close(RULES, &[&anna, &bela, &carla]);
    log.add(&bela, &attestation(1, initial(), cid("false")));
    log.add(&anna, &attestation(1, initial(), cid("one")));
    log.add(&coordinator(), &attestation(1, initial(), cid("one")));
    // Late, and just as wrong.
    log.add(&carla, &attestation(1, initial(), cid("late")));
    let faulty: Vec<_> = log.state.faults().iter().map(|fault| (fault.account, fault.kind)).collect();
    let disagreed =
        |attested| FaultKind::Disagreed { attested: cid(attested).into(), settled: cid("one").into() };
    assert_eq!(faulty, [(bela.account(), disagreed("false")), (carla.account(), disagreed("late"))]);
    assert_eq!(log.state.checkpoint(), Some(cid("one")));
}

#[test]
fn two_results_by_one_key_are_a_fault_and_count_for_none() {
    let (anna, bela, carla) = people();
    let mut log = close(Rules { quorum: 3, ..RULES }, &[&anna, &bela, &carla]);
    log.add(&anna, &attestation(1, initial(), cid("one")));
    let changes = log.add(&anna, &attestation(1, initial(), cid("two")));
    let kind = FaultKind::Equivocated { first: cid("one").into(), second: cid("two").into() };
    assert!(matches!(changes[..], [Change::Faulted(fault)] if fault.kind == kind));
    for result in ["one", "two", "three"] {
        log.refuse(&anna, &attestation(1, initial(), cid(result)), Refusal::Duplicate);
    }
    log.add(&bela, &attestation(1, initial(), cid("one")));
    log.add(&coordinator(), &attestation(1, initial(), cid("one")));
    assert_eq!(log.state.settled(), 0, "the vote that was taken back does not count");
}

#[test]
fn equivocating_after_the_settlement_changes_no_result() {
    let (anna, ..) = people();
    let mut log = settle(RULES, &[&anna]);
    log.add(&coordinator(), &attestation(1, initial(), cid("two")));
    assert_eq!(log.state.checkpoint(), Some(cid("one")));
    assert_eq!(log.state.faults().len(), 1);
}

#[test]
fn a_finished_campaign_takes_no_more() {
    let (anna, bela, _) = people();
    let mut log = close(Rules { limit: 1, ..RULES }, &[&anna]);
    log.add(&anna, &attestation(1, initial(), cid("one")));
    let changes = log.add(&coordinator(), &attestation(1, initial(), cid("one")));
    assert_eq!(changes.last(), Some(&Change::Finished { result: cid("one") }));
    assert!(log.state.is_finished());
    log.wait(RULES.interval_ms);
    log.refuse(&coordinator(), &opened(2, cid("one")), Refusal::Finished);
    log.refuse(&bela, &joined(1), Refusal::Finished);
    log.add(&anna, &left(2));
}

#[test]
fn equal_logs_give_equal_states() {
    for rules in BOTH {
        let (anna, bela, carla) = people();
        let log = settle(rules, &[&anna, &bela, &carla]);
        let mut again = CampaignState::new(fixture::campaign(), rules);
        for (time, entry) in &log.records {
            again.apply(*time, entry).unwrap();
        }
        assert_eq!(again, log.state);
        assert_eq!(again.length(), log.records.len() as u64);
        assert_eq!(again.contributions(), 3);
    }
}
