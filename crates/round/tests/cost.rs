//! What an entry costs to fold does not grow with how many there are.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use std::time::{Duration, Instant};

use fixture::{
    BOTH, MESH, RULES, attestation, campaign, cid, closed, coordinator, initial, joined, metrics, opened,
    published, unavailable,
};
use lichen_record::{Cid, Entry, RoundNumber, SigningKey, Verified, verify};
use lichen_round::{CampaignState, Refusal, Rules};

/// Contributors in the smaller of two rounds; there are four times as many in the larger one.
const FEW: u16 = 80;

/// How much more an entry may cost among four times as many. What is quadratic would cost 4 times as much or more.
const BOUND: u32 = 3;

fn key(number: u16) -> SigningKey {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&number.to_le_bytes());
    SigningKey::generate(seed)
}

fn update(number: u16) -> Cid {
    cid(&format!("update {number}"))
}

fn sign(number: u16, entry: &Entry) -> Verified<Entry> {
    verify(&key(number).sign(entry).unwrap()).unwrap()
}

fn contribution(number: u16) -> Entry {
    let (campaign, round, base) = (campaign(), RoundNumber(1), initial());
    Entry::Contribution {
        campaign,
        round,
        base,
        update: update(number),
        samples: 16,
        metrics: metrics(),
        engine: None,
        trace: None,
    }
}

/// Round 1 with so many contributors, closed or still open.
fn round(rules: Rules, contributors: u16, is_closed: bool) -> CampaignState {
    let mut state = CampaignState::new(campaign(), rules);
    let mut add = |entry: &Verified<Entry>| {
        state.apply(1_000, entry).unwrap();
    };
    add(&coordinator().sign(&published()));
    for number in 0..contributors {
        add(&sign(number, &joined(1)));
    }
    add(&coordinator().sign(&opened(1, initial())));
    for number in 0..contributors {
        add(&sign(number, &contribution(number)));
    }
    if is_closed {
        add(&coordinator().sign(&closed(1)));
    }
    state
}

/// The least time in which these entries are folded into the state, of several tries.
fn fold(state: &CampaignState, entries: &[Verified<Entry>]) -> Duration {
    let once = |_try| {
        let mut state = state.clone();
        let start = Instant::now();
        for entry in entries {
            state.apply(1_000, entry).unwrap();
        }
        start.elapsed()
    };
    (0..9).map(once).min().unwrap()
}

/// Checks that as many entries cost about the same among few and among many.
fn check(what: &str, rules: Rules, is_closed: bool, entries: &[Verified<Entry>]) {
    let few = fold(&round(rules, FEW, is_closed), entries);
    let many = fold(&round(rules, 4 * FEW, is_closed), entries);
    assert!(many < few * BOUND, "{what}: {few:?} among {FEW}, {many:?} among four times as many");
}

#[test]
fn a_report_costs_the_same_however_many_contribute() {
    // A quarter of the fewer, about one update each: nothing is excluded.
    let reports: Vec<_> =
        (0..FEW / 4).flat_map(|by| (40..48).map(move |of| sign(by, &unavailable(1, update(of))))).collect();
    check("a report", MESH, true, &reports);
}

#[test]
fn an_attestation_costs_the_same_however_many_contribute() {
    for rules in BOTH {
        let rules = Rules { quorum: 1_000, ..rules };
        let attest = |number| sign(number, &attestation(1, initial(), cid(&format!("result {number}"))));
        check("an attestation", rules, true, &(0..FEW / 4).map(attest).collect::<Vec<_>>());
    }
}

#[test]
fn contributing_and_joining_cost_the_same_however_many_there_are() {
    let newcomers = 5_000..5_000 + FEW / 4;
    let join = |number| sign(number, &joined(1));
    let contribute = |number| sign(number, &contribution(number));
    let entries: Vec<_> = newcomers.clone().map(join).chain(newcomers.map(contribute)).collect();
    for rules in BOTH {
        check("a contribution", rules, false, &entries);
    }
}

#[test]
fn an_account_has_a_bounded_number_of_reports_standing() {
    let mut state = round(MESH, 40, true);
    for of in 1..=32 {
        state.apply(1_000, &sign(0, &unavailable(1, update(of)))).unwrap();
    }
    let one_more = sign(0, &unavailable(1, update(33)));
    assert_eq!(state.apply(1_000, &one_more), Err(Refusal::TooManyReports));
    // What was excluded meanwhile stands no more.
    for by in 2..=20 {
        let _excluded_at_last = state.apply(1_000, &sign(by, &unavailable(1, update(1)))).unwrap();
    }
    assert_eq!(state.round().unwrap().excluded(), 1);
    state.apply(1_000, &one_more).unwrap();
}

#[test]
fn the_same_update_of_everybody_costs_the_same_too() {
    let shared = |contributors: u16| {
        let mut state = CampaignState::new(campaign(), RULES);
        state.apply(1_000, &coordinator().sign(&published())).unwrap();
        for number in 0..contributors {
            state.apply(1_000, &sign(number, &joined(1))).unwrap();
        }
        state.apply(1_000, &coordinator().sign(&opened(1, initial()))).unwrap();
        state
    };
    let same = |number| {
        let Entry::Contribution { campaign, round, base, samples, metrics, .. } = contribution(number) else {
            unreachable!()
        };
        sign(
            number,
            &Entry::Contribution {
                campaign,
                round,
                base,
                update: cid("one"),
                samples,
                metrics,
                engine: None,
                trace: None,
            },
        )
    };
    let entries: Vec<_> = (0..FEW).map(same).collect();
    let few = fold(&shared(FEW), &entries);
    let many = fold(&shared(4 * FEW), &entries);
    assert!(many < few * BOUND, "{few:?} among {FEW}, {many:?} among four times as many");
}
