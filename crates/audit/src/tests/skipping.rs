//! Campaigns with rounds that were skipped.

use super::*;

/// The digits campaign, whose rounds need two contributions and are skipped at their deadline.
fn manifest() -> Vec<u8> {
    let text = std::str::from_utf8(MANIFEST).unwrap();
    let minimum = text.lines().find(|line| line.starts_with("minimum")).unwrap();
    text.replace(minimum, "minimum = 2\nextensions = 0").into_bytes()
}

#[test]
fn what_was_contributed_to_a_skipped_round_counts_for_nothing() {
    let mut campaign = Campaign::publish_as(&manifest());
    let initial = Cid::of_raw(&campaign.base);
    campaign.join(1);
    campaign.join(2);
    campaign.round(1, &[(1, update(1)), (2, update(2))]);
    campaign.open_round(2);
    let (id, round, base) = (campaign.id, RoundNumber(2), Cid::of_raw(&campaign.base));
    assert_ne!(base, initial);
    let (update, metrics) = (campaign.keep(&update(3)), Metrics::new(0.5, 0.5, 60).unwrap());
    let (samples, engine) = (480, engine_of(1));
    campaign.say(
        1,
        &Entry::Contribution { campaign: id, round, base, update, samples, metrics, engine, trace: None },
    );
    campaign.time += 1_000_000;
    campaign.say(0, &Entry::RoundOverdue { campaign: id, round });

    let report = run(campaign.finish()).unwrap();
    assert_eq!((report.rounds, &report.rounds_skipped[..], report.rounds_not_recomputed), (2, &[2][..], 0));
    assert_eq!((report.contributions, report.checkpoint), (2, base));
    assert!(in_words(&report).contains("skipped      1 rounds"), "{}", in_words(&report));
}
