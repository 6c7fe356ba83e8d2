//! Campaigns where a committee attests, and results are told as packed differences.

use super::*;

fn manifest() -> Vec<u8> {
    let text = std::str::from_utf8(MANIFEST).unwrap();
    let text = text.replace("quorum = 2", "quorum = 2\ncommittee = 1");
    text.replace("[aggregation]", "[aggregation]\ncodec = \"int8\"").into_bytes()
}

/// The state that the log has come to.
fn state(campaign: &Campaign) -> CampaignState {
    let rules = Rules::from(&Manifest::from_bytes(&manifest()).unwrap());
    let mut state = CampaignState::new(campaign.id, rules);
    for record in &campaign.archive.records {
        state.apply(record.time, &verify::<Entry>(&record.entry).unwrap()).unwrap();
    }
    state
}

/// A closed round with two contributions: who of the two was drawn, who was not, and what everybody computes.
fn closed() -> (Campaign, u8, u8, Settled) {
    let mut campaign = Campaign::publish_as(&manifest());
    let updates = [(1, update(1)), (2, update(2))];
    updates.iter().for_each(|(who, _update)| campaign.join(*who));
    campaign.open_round(1);
    campaign.contribute(1, &updates);
    let round = state(&campaign).round().unwrap().clone();
    let is_drawn = |who: &u8| round.is_drawn(&key(*who).account());
    let (drawn, other) = if is_drawn(&1) { (1, 2) } else { (2, 1) };
    assert!(is_drawn(&drawn) && !is_drawn(&other));

    let manifest = Manifest::from_bytes(&manifest()).unwrap();
    let data = Dataset::decode_samples(DATA, &manifest, &guarded(&manifest)).unwrap();
    let mut settler = Settler::new(&manifest, data).unwrap();
    let mut aggregation = settler.aggregation(&campaign.base).unwrap();
    for input in round.inputs() {
        assert!(aggregation.add(input.weight, &campaign.archive.blobs[&input.update]));
    }
    let base = Cid::of_raw(&campaign.base);
    let settled = block_on(settler.settle(&base, None, aggregation, async || {})).unwrap();
    (campaign, drawn, other, settled)
}

fn attest(campaign: &mut Campaign, who: &[u8], result: &[u8], difference: &[u8]) {
    let (campaign_id, round, base) = (campaign.id, RoundNumber(1), Cid::of_raw(&campaign.base));
    let (result, difference) = (campaign.keep(result), Some(campaign.keep(difference)));
    for who in who {
        let entry = Entry::Attestation {
            campaign: campaign_id,
            round,
            base,
            result,
            excluded: 0,
            state: None,
            difference,
        };
        campaign.say(*who, &entry);
    }
}

#[test]
fn a_committees_round_is_computed_again() {
    let (mut campaign, drawn, _other, settled) = closed();
    let difference = settled.difference.unwrap();
    attest(&mut campaign, &[drawn, 0], &settled.checkpoint.unwrap(), &difference);
    let report = run(campaign.finish()).unwrap();
    assert_eq!((report.rounds, report.contributions, report.differences_wrong), (1, 2, 0));
    assert_eq!(report.checkpoint, settled.result);
    assert!(difference.len() < 3_000, "{} bytes for 2,410 parameters", difference.len());
}

#[test]
fn a_false_difference_is_told_and_a_false_result_is_a_fault() {
    let (mut campaign, drawn, _other, settled) = closed();
    let mut lying = campaign.clone();
    attest(&mut campaign, &[drawn, 0], settled.checkpoint.as_ref().unwrap(), b"junk");
    let report = run(campaign.finish()).unwrap();
    assert_eq!((report.rounds, report.differences_wrong), (1, 1));
    assert!(in_words(&report).contains("differences  1 "), "{}", in_words(&report));

    let base = lying.base.clone();
    let mut parameters = Parameters::from_safetensors(&base).unwrap();
    parameters.iter_mut().for_each(|(_name, tensor)| tensor.data_mut()[0] += 1.0);
    attest(&mut lying, &[drawn, 0], &parameters.to_safetensors(), b"junk");
    let fault = run(lying.finish()).unwrap_err();
    assert!(matches!(fault, Fault::Checkpoint { .. }), "{fault}");
}

#[test]
fn the_word_of_one_who_was_not_drawn_makes_a_log_false() {
    let (mut campaign, drawn, other, settled) = closed();
    let checkpoint = settled.checkpoint.unwrap();
    attest(&mut campaign, &[drawn, other, 0], &checkpoint, &settled.difference.unwrap());
    let fault = run(campaign.finish()).unwrap_err();
    assert!(matches!(fault, Fault::Inadmissible { refusal: lichen_round::Refusal::NotDrawn, .. }), "{fault}");
}
