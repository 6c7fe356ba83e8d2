//! Two tabs of one browser profile are one member.

use super::site::{ENDLESS, SOON, Site, TRAINED, account};

#[test]
fn one_tab_trains_and_the_other_takes_over() {
    let site = Site::start(ENDLESS);
    let profile = site.profile();
    let first = site.open(&profile, "");
    first.click("Join", SOON).unwrap();
    site.wait_for_round(&first, 1);
    let key = account(&first);

    let second = site.open(&profile, "");
    second.click("Join", SOON).unwrap();
    site.wait(&second, "the second tab to say that it waits", SOON, |state| state.state == "standby");
    let now = first.state().unwrap().unwrap().round;
    site.wait_for_round(&first, now + 2);
    let waiting = second.state().unwrap().unwrap();
    assert_eq!((waiting.state.as_str(), waiting.first_step_ms), ("standby", None), "only one of them trains");
    let contributions = site.contributions();
    let rounds: std::collections::BTreeSet<u64> =
        contributions.iter().filter_map(|(_, entry)| entry.round()).map(|round| round.0).collect();
    assert_eq!(rounds.len(), contributions.len(), "one contribution a round: {contributions:?}");

    first.close().unwrap();
    let taken = site.wait(&second, "the second tab to train", TRAINED, |state| state.first_step_ms.is_some());
    site.wait_for_round(&second, taken.round + 1);
    assert_eq!(account(&second), key);
    assert!(site.contributions().iter().all(|(account, _)| *account == key));
}
