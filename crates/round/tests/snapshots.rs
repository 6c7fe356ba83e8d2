//! The state as bytes: who may write them into the log, when, and that they are what the log comes to.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use std::sync::LazyLock;

use fixture::{
    AUDITED, Log, MESH, Person, RULES, attestation, campaign, cid, close, closed, contribution,
    contribution_of, coordinator, departed, initial, open, opened, people, unavailable, update_of,
};
use lichen_record::{CampaignId, Cid, Entry};
use lichen_round::{CampaignState, Coordinator, Refusal, Rules, SnapshotError};
use proptest::prelude::*;

const EVERY: Rules = Rules { snapshots: Some(4), ..RULES };

fn snapshot(state: &CampaignState) -> Entry {
    Entry::Snapshot { campaign: state.campaign(), state: Cid::of_raw(&state.to_bytes()) }
}

/// Logs with everything that a state may hold.
fn logs() -> Vec<Log> {
    let (anna, ben, carla) = people();
    let audited = Rules { committee: Some(3), cohort: Some(3), extensions: Some(1), ..AUDITED };
    let mut logs = Vec::new();
    for rules in [EVERY, audited, MESH] {
        let mut log = close(rules, &[&anna, &ben, &carla]);
        if rules == MESH {
            log.add(&anna, &unavailable(1, update_of(&ben)));
            log.add(&coordinator(), &departed(1, &carla));
        } else {
            log.add(&anna, &attestation(1, initial(), cid("false")));
            log.add(&coordinator(), &attestation(1, initial(), cid("right")));
            log.add(&ben, &attestation(1, initial(), cid("right")));
        }
        logs.push(log);
    }
    let mut log = open(AUDITED, &[&anna, &ben]);
    log.add(&anna, &contribution(1, initial()));
    log.add(&ben, &contribution_of(&ben, 1, initial()));
    log.add(&coordinator(), &closed(1));
    log.add(&anna, &attestation(1, initial(), cid("right")));
    log.add(&coordinator(), &attestation(1, initial(), cid("right")));
    assert!(log.state.audit_duty(&coordinator().account()).is_some());
    logs.push(log);
    logs
}

#[test]
fn a_snapshot_is_the_coordinators_in_time_and_true() {
    let (anna, ben, carla) = people();
    let mut log = Log::with_members(EVERY, &[&anna, &ben, &carla]);
    let early = snapshot(&log.state);
    log.refuse(&coordinator(), &early, Refusal::SnapshotEarly);
    log.add(&coordinator(), &opened(1, initial()));
    let due = snapshot(&log.state);
    log.refuse(&anna, &due, Refusal::NotCoordinator);
    log.refuse(&coordinator(), &early, Refusal::WrongSnapshot);
    log.add(&coordinator(), &due);
    assert_eq!(log.state.last_snapshot(), Some(5));
    let again = snapshot(&log.state);
    log.refuse(&coordinator(), &again, Refusal::SnapshotEarly);

    let mut without = Log::with_members(RULES, &[&anna, &ben, &carla]);
    let unwanted = snapshot(&without.state);
    without.refuse(&coordinator(), &unwanted, Refusal::SnapshotEarly);
}

#[test]
fn a_state_that_takes_more_is_written_less_often() {
    let people: Vec<Person> = (1..=12).map(Person::new).collect();
    let mut log = Log::with_members(EVERY, &people.iter().collect::<Vec<_>>());
    log.add(&coordinator(), &opened(1, initial()));
    log.add(&coordinator(), &snapshot(&log.state.clone()));
    for (number, person) in people.iter().enumerate() {
        assert!(!log.state.is_snapshot_due(), "{number}");
        log.add(person, &contribution_of(person, 1, initial()));
    }
    assert!(log.state.is_snapshot_due());
}

#[test]
fn the_coordinator_writes_one_when_it_is_due_and_reading_it_goes_on_as_before() {
    let (anna, ben, carla) = people();
    let mut log = Log::with_members(EVERY, &[&anna, &ben, &carla]);
    log.add(&coordinator(), &opened(1, initial()));
    let mut relay = Coordinator::new(coordinator().account(), log.state.clone(), initial());
    assert_eq!(relay.snapshot(), None, "it does not act yet");
    relay.handle(log.time, lichen_round::CoordinatorEvent::CaughtUp);
    let (entry, bytes) = relay.snapshot().unwrap();
    let mut restored = CampaignState::from_bytes(campaign(), EVERY, &bytes).unwrap();
    log.add(&coordinator(), &entry);
    for person in [&anna, &ben, &carla] {
        log.add(person, &contribution_of(person, 1, initial()));
    }
    log.add(&coordinator(), &closed(1));
    let mut whole = CampaignState::new(campaign(), EVERY);
    for (place, (time, entry)) in log.records.iter().enumerate() {
        let changes = whole.apply(*time, entry).unwrap();
        if place >= 5 {
            assert_eq!(restored.apply(*time, entry).unwrap(), changes, "record {place}");
            assert_eq!(restored, whole);
        }
    }
    assert!(relay.admit(log.time, &coordinator().sign(&entry)).is_ok());
}

#[test]
fn the_form_is_as_it_was() {
    let hashes: Vec<_> = logs().iter().map(|log| Cid::of_raw(&log.state.to_bytes()).to_string()).collect();
    assert_eq!(
        hashes,
        [
            "bafkreiczr6vhwvgpgbyso6tldqnfl2fagzev2cnbv7rfqk7kour3p7so3a",
            "bafkreic6r5ih5qiibjigbs4xihwjqatcxsdx3p2chocgvlmrtrf42qn6na",
            "bafkreih6ut3edidrbg3ww5i66rqirltayd5xpf4rklpb62zjszy772jxom",
            "bafkreifqmre6koq22edw3pqoi7wf2amwnw2dxhoztmfg55mjvbdvz3aaje",
        ]
    );
}

#[test]
fn other_bytes_are_refused_by_name() {
    let state = logs().remove(0).state;
    let bytes = state.to_bytes();
    let read = |bytes: &[u8]| CampaignState::from_bytes(campaign(), EVERY, bytes);
    let other = CampaignId::of_manifest(b"another");
    let of_other = CampaignState::from_bytes(other, EVERY, &bytes);
    assert_eq!(of_other, Err(SnapshotError::Campaign(campaign())));
    assert_eq!(read(&[]), Err(SnapshotError::Malformed));
    let newer = [&[2], &bytes[1..]].concat();
    assert_eq!(read(&newer), Err(SnapshotError::Version(2)));
    assert_eq!(read(&[&bytes[..], &[0]].concat()), Err(SnapshotError::Malformed));
    let huge = vec![1; lichen_round::MAX_SNAPSHOT + 1];
    assert_eq!(read(&huge), Err(SnapshotError::TooLarge(huge.len())));
}

/// What is written of [`logs`], with the rules.
static WRITTEN: LazyLock<Vec<(Rules, Vec<u8>)>> =
    LazyLock::new(|| logs().into_iter().map(|log| (*log.state.rules(), log.state.to_bytes())).collect());

proptest! {
    #[test]
    fn damage_is_refused_or_gives_another_state(
        which in 0usize..4, at in any::<prop::sample::Index>(), with in 1..=255u8,
    ) {
        let (rules, bytes) = &WRITTEN[which];
        let read = |bytes: &[u8]| CampaignState::from_bytes(campaign(), *rules, bytes);
        prop_assert!(read(&bytes[..at.index(bytes.len())]).is_err());
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] ^= with;
        if let Ok(other) = read(&damaged) {
            prop_assert_eq!(other.to_bytes(), damaged);
        }
    }
}

#[test]
fn a_member_takes_some_fifty_bytes() {
    let people: Vec<Person> = (1..=100).map(Person::new).collect();
    let few = Log::with_members(RULES, &people.iter().take(10).collect::<Vec<_>>()).state.to_bytes().len();
    let many = Log::with_members(RULES, &people.iter().collect::<Vec<_>>()).state.to_bytes().len();
    assert!((many - few) / 90 < 60, "{few} and {many} bytes");
}
