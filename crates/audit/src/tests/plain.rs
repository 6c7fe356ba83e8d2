//! What visitors are told of an audit.

use super::*;
use crate::plain::{right, under_way, wrong};

#[test]
fn a_visitor_is_told_what_was_checked_and_what_was_not() {
    let checked = right(&run(honest()).unwrap(), 0.34);
    assert!(checked.right);
    assert_eq!(
        checked.verdict,
        "Every one of the 18 signatures and all 2 results were checked by this tab: nothing is wrong."
    );
    let details = checked.details.join("\n");
    for words in [
        "what 4\u{a0}contributions by 2\u{a0}people come to, and nothing else.",
        " of 100 right, of 360 examples that nobody trains on.",
        "this tab has repeated no training. Nobody else has, either.",
        "17\u{a0}entries and ",
        "in 0.3\u{a0}s.",
    ] {
        assert!(details.contains(words), "{words} is not in {details}");
    }
}

#[test]
fn a_campaign_that_has_just_begun_is_told_of_in_its_own_words() {
    let checked = right(&run(Campaign::publish().finish()).unwrap(), 0.1);
    assert_eq!(checked.verdict, "Every one of the 2 signatures was checked by this tab: nothing is wrong.");
    let details = checked.details.join("\n");
    assert!(details.contains("the model that the campaign began with"), "{details}");
    assert!(!details.contains("trained on each device"), "{details}");
}

#[test]
fn a_fault_is_told_with_its_place_and_what_it_means() {
    let (id, archive) = honest();
    let mut changed = archive.clone();
    changed.records[6].hash[0] ^= 1;
    let checked = wrong(&run((id, changed)).unwrap_err());
    assert!(!checked.right);
    assert_eq!(checked.verdict, "Entry 7 of the record is not as it was signed.", "people count from one");
    assert!(checked.details[0].contains("Do not rely on this model"), "{checked:?}");
    assert!(checked.details[1].starts_with("In detail: record 6: "), "{checked:?}");

    let mut changed = archive;
    changed.blobs.get_mut(&Cid::of_raw(&update(4))).unwrap()[99] ^= 1;
    let checked = wrong(&run((id, changed)).unwrap_err());
    assert_eq!(checked.verdict, "A contribution to round 2 is not the one that the record names.");
}

#[test]
fn progress_is_a_part_of_a_whole_or_of_nothing_that_is_known() {
    let rounds = under_way(Progress::Rounds(3, 1 << 40));
    assert_eq!((rounds.done, rounds.total), (3, u32::MAX));
    assert_eq!(under_way(Progress::Evaluating).total, 0);
}
