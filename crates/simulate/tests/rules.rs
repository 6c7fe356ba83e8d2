//! Every rule can be broken, and is then seen to be: by something in the simulated programs that is broken on purpose.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use lichen_simulate::{Faults, Rule, Sabotage, Settings, run_quietly};

/// The rule that this breaks.
fn broken(sabotage: Sabotage, change: impl FnOnce(&mut Settings)) -> Rule {
    let mut settings = Settings::new(3, 4, 3);
    change(&mut settings);
    run_quietly(&settings).unwrap();
    settings.sabotage = Some(sabotage);
    run_quietly(&settings).err().unwrap_or_else(|| panic!("{sabotage:?} goes unseen")).rule
}

#[test]
fn a_fold_that_differs_is_seen() {
    assert_eq!(broken(Sabotage::LateFold, |_settings| {}), Rule::EqualStates);
}

#[test]
fn a_loss_of_what_was_acknowledged_is_seen() {
    let rule = broken(Sabotage::SilentLoss, |settings| settings.faults = "restarts".parse().unwrap());
    assert!(matches!(rule, Rule::NothingLost | Rule::SettledStays), "{rule:?}");
}

#[test]
fn a_false_result_is_seen() {
    let rule = broken(Sabotage::FalseCoordinator, |settings| settings.quorum = 1);
    assert_eq!(rule, Rule::HonestResults);
}

#[test]
fn a_round_that_does_not_end_is_seen() {
    assert_eq!(broken(Sabotage::NeverEnds, |_settings| {}), Rule::RoundsEnd);
}

#[test]
fn evidence_against_somebody_who_is_not_known_to_be_hostile_is_seen() {
    assert_eq!(broken(Sabotage::FalseHonest, |_settings| {}), Rule::OnlyTheGuilty);
}

#[test]
fn a_campaign_that_stands_still_is_seen() {
    assert_eq!(broken(Sabotage::NobodyJoins, |_settings| {}), Rule::Progress);
}

#[test]
fn memory_that_grows_is_seen() {
    assert_eq!(broken(Sabotage::Hoarding, |_settings| {}), Rule::Bounded);
}

#[test]
fn a_panic_is_seen() {
    assert_eq!(broken(Sabotage::Panic, |_settings| {}), Rule::NoPanic);
}

#[test]
fn what_breaks_a_rule_is_shrunk_to_what_breaks_it_alone() {
    let mut settings = Settings::new(3, 6, 4);
    settings.faults = Faults::all();
    settings.sabotage = Some(Sabotage::LateFold);
    let violation = run_quietly(&settings).unwrap_err();
    let (smallest, violation) = lichen_simulate::shrink(&settings, violation, &mut |_smaller| {});
    assert_eq!(violation.rule, Rule::EqualStates);
    assert_eq!((smallest.peers, smallest.rounds, smallest.faults.to_string().as_str()), (1, 1, "none"));
    assert_eq!(run_quietly(&smallest).unwrap_err(), violation, "and it replays exactly");
}
