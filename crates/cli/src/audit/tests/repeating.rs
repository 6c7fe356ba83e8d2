//! Trainings that members repeated, and decisions about them that are right or wrong.

use lichen_settle::{Course, repeat};

use super::*;

/// Every training is repeated, by the coordinator.
fn manifest() -> Vec<u8> {
    let mut text = MANIFEST.to_vec();
    text.extend(b"\n[audit]\nshare = 1\nearn = 3\n");
    text
}

/// The update that comes of account 1's training in a campaign's first round.
fn trained(campaign: &Campaign) -> Vec<u8> {
    let manifest = Manifest::from_bytes(&manifest()).unwrap();
    let data = Dataset::decode(DATA, &manifest).unwrap();
    train(&manifest, &data, &campaign.base, RoundNumber(1))
}

/// A round of account 1, which contributes this update, and what the coordinator says that its training gives.
fn audited(
    contributed: impl FnOnce(&Campaign) -> Vec<u8>,
    found: impl FnOnce(&Campaign) -> Vec<u8>,
) -> (CampaignId, Archive) {
    let mut campaign = Campaign::publish_as(&manifest());
    campaign.join(1);
    let (update, found) = (contributed(&campaign), found(&campaign));
    campaign.round(1, &[(1, update)]);
    let found = Cid::of_raw(&found);
    let entry =
        Entry::Audit { campaign: campaign.id, round: RoundNumber(1), contributor: key(1).account(), found };
    campaign.say(0, &entry);
    campaign.finish()
}

#[test]
fn an_honest_training_that_was_repeated_is_confirmed() {
    let of = |campaign: &Campaign| trained(campaign);
    let report = run(audited(of, of)).unwrap();
    assert_eq!((report.trainings_audited, report.trainings_repeated), (1, 1));
    assert!(report.expelled.is_empty());
    assert_eq!(report.contradictions, 0);
}

#[test]
fn what_no_training_gives_is_told_with_its_account() {
    let report = run(audited(|_| update(3), trained)).unwrap();
    assert_eq!((report.trainings_audited, report.trainings_repeated), (1, 1));
    assert_eq!(report.expelled, [key(1).account()]);
    assert_eq!(report.contradictions, 1);
}

#[test]
fn a_coordinator_that_expels_an_honest_account_is_found_out() {
    let Err(Fault::Training { round, contributor, .. }) = run(audited(trained, |_| update(3))) else {
        panic!("it was right to say so")
    };
    assert_eq!((round, contributor), (RoundNumber(1), key(1).account()));
}

#[test]
fn a_coordinator_that_confirms_a_lie_is_found_out_by_repeating_all() {
    let (id, archive) = audited(|_| update(3), |_| update(3));
    let run = |which| audit(&mut archive.clone(), id, which, None, &mut |_progress| {});
    assert_eq!(run(Repeat::Disputed).unwrap().trainings_repeated, 0);
    assert!(matches!(run(Repeat::All), Err(Fault::Training { .. })));
}

#[test]
fn repeating_gives_what_training_gives() {
    let campaign = Campaign::publish_as(&manifest());
    let manifest = Manifest::from_bytes(&manifest()).unwrap();
    let rules = Rules::from(&manifest);
    let (round, account) = (RoundNumber(1), key(1).account());
    let shard = rules.split.shard(rules.seed, round, &account);
    let shard = Dataset::decode_samples(DATA, &manifest, &shard).unwrap();
    let seed = training_seed(rules.seed, round, &account);
    let course = Course { base: &campaign.base, shard: &shard, steps: rules.steps, seed };
    let turns = std::cell::Cell::new(0);
    let turn = async || turns.set(turns.get() + 1);
    let found = futures::executor::block_on(repeat(&manifest, &course, turn)).unwrap();
    assert_eq!(found, Cid::of_raw(&trained(&campaign)));
    assert_eq!(turns.get(), 15, "others have their turn after every fourth step of 60");
}
