//! Blobs are fetched before they are needed, some at a time, and no more than that.

use std::cell::{Cell, RefCell};

use super::*;

/// An archive that counts who waits for its blobs.
struct Counting {
    archive: Archive,
    waiting: Cell<usize>,
    most: Cell<usize>,
    asked: RefCell<BTreeMap<Cid, usize>>,
}

impl Source for Counting {
    async fn records(&self, campaign: CampaignId, from: u64, limit: usize) -> Result<Records, SourceError> {
        self.archive.records(campaign, from, limit).await
    }

    async fn blob(&self, cid: &Cid, cap: usize) -> Result<Vec<u8>, SourceError> {
        *self.asked.borrow_mut().entry(*cid).or_default() += 1;
        self.waiting.set(self.waiting.get() + 1);
        self.most.set(self.most.get().max(self.waiting.get()));
        turn().await;
        let bytes = self.archive.blob(cid, cap).await;
        self.waiting.set(self.waiting.get() - 1);
        bytes
    }
}

fn audited((id, archive): (CampaignId, Archive)) -> (Report, Counting) {
    let counting =
        Counting { archive, waiting: Cell::default(), most: Cell::default(), asked: RefCell::default() };
    let report = block_on(audit(&counting, id, Repeat::Pieces, None, &mut |_progress| {})).unwrap();
    (report, counting)
}

/// An update that changes next to nothing, and is like no other.
fn small(seed: u16) -> Vec<u8> {
    let manifest = Manifest::from_bytes(MANIFEST).unwrap();
    let elements = initial_parameters(&manifest.model, manifest.rounds.seed).unwrap().elements();
    Update::new(vec![f32::from(seed) * 1e-7; elements]).unwrap().encode().unwrap()
}

#[test]
fn many_are_on_their_way_at_a_time_and_each_is_asked_for_once() {
    let mut campaign = Campaign::publish();
    campaign.join(1);
    for number in 1..=30 {
        campaign.round(number.into(), &[(1, small(number))]);
    }
    let blobs = campaign.archive.blobs.len();
    let (report, counting) = audited(campaign.finish());
    assert_eq!((report.rounds, report.contributions), (30, 30));
    assert_eq!(counting.most.get(), 32);
    let asked = counting.asked.borrow();
    assert_eq!(asked.len(), blobs);
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
}

#[test]
fn one_that_is_longer_than_expected_is_fetched_when_it_is_needed() {
    let mut campaign = Campaign::publish();
    (1..=2).for_each(|who| campaign.join(who));
    let long = vec![7; 3 * campaign.base.len() + 10_000];
    campaign.round(1, &[(1, update(1)), (2, long.clone())]);
    campaign.round(2, &[(1, update(2)), (2, update(3))]);
    let (report, counting) = audited(campaign.finish());
    assert_eq!((report.rounds, report.updates_left_out), (2, 1));
    assert_eq!(counting.asked.borrow()[&Cid::of_raw(&long)], 2);
}
