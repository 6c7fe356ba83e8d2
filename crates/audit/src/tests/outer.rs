//! Audits of a campaign whose outer optimiser carries something over from round to round.

use futures::executor::block_on;
use lichen_campaign::Encoding;
use lichen_learn::Codec;
use lichen_settle::{Settler, guarded};

use super::*;

impl Campaign {
    /// A whole round of the campaign's outer optimiser, by one account, with another state attested if one is given.
    fn outer_round(&mut self, manifest: &Manifest, number: u64, update: Vec<u8>, other: Option<Vec<u8>>) {
        let data = Dataset::decode_samples(DATA, manifest, &guarded(manifest)).unwrap();
        let mut settler = Settler::new(manifest, data).unwrap();
        let mut aggregation = settler.aggregation(&self.base).unwrap();
        assert!(aggregation.add(480, &update));
        let base = Cid::of_raw(&self.base);
        let settled = settler.settle(&base, self.state.as_deref(), aggregation, async || {});
        let settled = block_on(settled).unwrap();
        let updates = [(1, update)];
        self.open_round(number);
        self.contribute(number, &updates);
        self.state = other.or(settled.next_state);
        self.settle(number, &updates, &settled.checkpoint.unwrap());
    }
}

#[test]
fn what_an_outer_optimiser_carries_over_is_recomputed() {
    let text = format!("{}\n[outer]\noptimizer = \"yogi\"\n", str::from_utf8(MANIFEST).unwrap());
    let manifest = Manifest::from_bytes(text.as_bytes()).unwrap();
    let small = |seed| {
        let update = Codec::new(Encoding::Dense).decode(&update(seed), 2410).unwrap();
        Update::new(update.values().iter().map(|value| value / 100.0).collect()).unwrap().encode().unwrap()
    };
    let mut campaign = Campaign::publish_as(text.as_bytes());
    campaign.join(1);
    campaign.outer_round(&manifest, 1, small(1), None);
    let first = campaign.clone();
    campaign.outer_round(&manifest, 2, small(2), None);
    let report = run(campaign.clone().finish()).unwrap();
    assert_eq!((report.rounds, report.checkpoint), (2, Cid::of_raw(&campaign.base)));
    // The coordinator goes back to the first round, and so to its state.
    let mut back = campaign.clone();
    (back.base, back.state) = (first.base.clone(), first.state.clone());
    back.outer_round(&manifest, 3, small(3), None);
    assert_eq!(run(back.finish()).unwrap().rounds, 3);
    // From the last state it would be another result.
    let mut false_back = campaign.clone();
    false_back.base = first.base.clone();
    false_back.outer_round(&manifest, 3, small(3), None);
    let fault = run(false_back.finish()).unwrap_err();
    assert!(matches!(fault, Fault::Checkpoint { round: RoundNumber(3), .. }), "{fault}");
    // The right checkpoint with another state is found out at once.
    let mut false_state = first.clone();
    let other = first.state.clone();
    false_state.outer_round(&manifest, 2, small(2), other);
    let fault = run(false_state.finish()).unwrap_err();
    let Fault::Checkpoint { round: RoundNumber(2), computed, settled } = fault else { panic!("{fault}") };
    assert!(computed.result == settled.result && computed.state != settled.state);
    // A state that nobody can have.
    let (id, mut archive) = campaign.clone().finish();
    archive.blobs.remove(&Cid::of_raw(first.state.as_ref().unwrap()));
    let fault = run((id, archive)).unwrap_err();
    assert!(matches!(fault, Fault::Blob { role: BlobRole::OuterState(RoundNumber(1)), .. }), "{fault}");
}
