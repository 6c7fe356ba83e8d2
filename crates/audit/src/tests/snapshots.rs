//! Logs with snapshots of what they come to.

use lichen_round::Refusal;

use super::*;

/// A log of two rounds with a snapshot between them, of what the records before it come to or of something else.
fn log_with(state: impl FnOnce(Vec<u8>) -> Vec<u8>) -> (CampaignId, Archive) {
    let text = std::str::from_utf8(MANIFEST).unwrap();
    let manifest = format!("{text}\n[log]\nsnapshots = 5\n").into_bytes();
    let mut campaign = Campaign::publish_as(&manifest);
    campaign.join(1);
    campaign.join(2);
    campaign.round(1, &[(1, update(1)), (2, update(2))]);
    let rules = Rules::from(&Manifest::from_bytes(&manifest).unwrap());
    let mut folded = CampaignState::new(campaign.id, rules);
    for record in &campaign.archive.records {
        folded.apply(record.time, &verify(&record.entry).unwrap()).unwrap();
    }
    let state = Cid::of_raw(&state(folded.to_bytes()));
    campaign.say(0, &Entry::Snapshot { campaign: campaign.id, state });
    campaign.round(2, &[(1, update(3)), (2, update(4))]);
    campaign.finish()
}

#[test]
fn true_snapshots_are_counted() {
    let report = run(log_with(|state| state)).unwrap();
    assert_eq!((report.snapshots, report.rounds), (1, 2));
    assert!(in_words(&report).contains("snapshots    1,"), "{}", in_words(&report));
}

#[test]
fn a_false_snapshot_makes_a_false_log() {
    let index = 10;
    let false_log = log_with(|mut state| {
        state.push(0);
        state
    });
    let found = run(false_log).unwrap_err();
    assert!(
        matches!(found, Fault::Inadmissible { index: at, refusal: Refusal::WrongSnapshot } if at == index),
        "{found:?}"
    );
}
