//! Trainings that members repeated, and decisions about them that are right or wrong.

use lichen_record::Evidence;
use lichen_settle::{Claim, Course, Trace, repeat};

use super::*;

/// Every training is repeated, by the coordinator.
fn manifest() -> Vec<u8> {
    let text = std::str::from_utf8(MANIFEST).unwrap();
    text.replace("share = 0.1", "share = 1\nearn = 3").into_bytes()
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
    accuse(&mut campaign, found, None);
    campaign.finish()
}

/// The coordinator's word on account 1's training in the first round.
fn accuse(campaign: &mut Campaign, found: Cid, evidence: Option<Evidence>) {
    let (id, round, contributor) = (campaign.id, RoundNumber(1), key(1).account());
    campaign.say(0, &Entry::Audit { campaign: id, round, contributor, found, evidence });
}

/// States after 10, 20, … of 60 steps.
const STATES: u32 = 6;

fn traced() -> Vec<u8> {
    let mut text = manifest();
    text.extend(b"every = 10\n");
    text
}

/// The hashes of what account 1's training in the first round goes through, and the states themselves.
fn walk(campaign: &Campaign) -> (Trace, Vec<Vec<u8>>) {
    let manifest = Manifest::from_bytes(&traced()).unwrap();
    let data = Dataset::decode(DATA, &manifest).unwrap();
    let (round, account) = (RoundNumber(1), key(1).account());
    let shard = manifest.data.split.shard(manifest.rounds.seed, round, &account);
    let seed = training_seed(manifest.rounds.seed, round, &account);
    let mut batches = Batches::new(shard, manifest.train.batch, seed);
    let (mut trace, mut states) = (Trace::default(), Vec::new());
    block_on(async {
        let mut trainer = Trainer::new(EngineKind::Cpu, &manifest.model, &manifest.train).await.unwrap();
        trainer.load(&Parameters::from_safetensors(&campaign.base).unwrap(), seed).await.unwrap();
        for step in 1..=manifest.train.steps {
            let (x, labels) = data.gather(&batches.next_batch());
            trainer.step(&x, &labels).await.unwrap();
            if step % 10 == 0 {
                let state = trainer.snapshot().await.unwrap();
                trace.push(&Cid::of_raw(&state));
                states.push(state);
            }
        }
    });
    (trace, states)
}

/// A round of account 1, which contributes an update that no training gives and a trace that is right for so many states, and
/// what the coordinator says of it with the evidence for a piece.
fn disputed(right: u32, piece: u32, after: impl Fn(&[Vec<u8>]) -> Cid) -> (CampaignId, Archive) {
    let mut campaign = Campaign::publish_as(&traced());
    campaign.join(1);
    let (honest, states) = walk(&campaign);
    let mut bytes = honest.bytes()[..Trace::length(right)].to_vec();
    bytes.resize(Trace::length(STATES), 7);
    let trace = campaign.keep(&bytes);
    let updates = [(1, update(3))];
    campaign.open_round(1);
    campaign.contribute_with(1, &updates, Some(trace));
    let (_cid, result) =
        aggregate_checkpoint(&campaign.base, &[(480, update(3))], campaign.max_norm).unwrap();
    let (base, found) = (campaign.base.clone(), Cid::of_raw(&trained(&campaign)));
    campaign.settle(1, &updates, &result);
    campaign.base = base;
    let before = piece.checked_sub(1).map(|place| campaign.keep(&states[place as usize]));
    accuse(&mut campaign, found, Some(Evidence { piece, before, after: after(&states) }));
    campaign.finish()
}

#[test]
fn a_dispute_is_settled_by_the_piece_in_question() {
    for (right, piece) in [(0, 0), (4, 4)] {
        let (id, archive) = disputed(right, piece, |states| Cid::of_raw(&states[piece as usize]));
        let report = block_on(audit(&archive, id, Repeat::Disputed, None, &mut |_progress| {})).unwrap();
        assert_eq!((report.disputes_settled, report.disputes_steps), (1, 10));
        assert_eq!((report.trainings_audited, report.trainings_repeated), (1, 0));
        assert_eq!(report.expelled, [key(1).account()]);
    }
}

#[test]
fn a_coordinator_with_false_evidence_is_found_out() {
    // The piece is as the contributor says; its last one is not, but that is not what it is expelled for.
    let found_out = run(disputed(5, 4, |_states| Cid::of_raw(b"an invention")));
    assert!(matches!(found_out, Err(Fault::Training { .. })), "{found_out:?}");
}

#[test]
fn without_the_blobs_the_whole_training_is_repeated() {
    let (id, mut archive) = disputed(4, 4, |states| Cid::of_raw(&states[4]));
    let before = archive.records.len();
    archive.blobs.retain(|_cid, bytes| bytes.len() != Trace::length(STATES));
    let report = run((id, archive)).unwrap();
    assert_eq!((report.disputes_settled, report.trainings_repeated), (0, 1));
    assert_eq!(report.records, before as u64);
}

#[test]
fn whoever_repeats_pieces_only_repeats_nothing_without_the_blobs() {
    let (id, mut archive) = disputed(4, 4, |states| Cid::of_raw(&states[4]));
    let pieces =
        |archive: &Archive| block_on(audit(archive, id, Repeat::Pieces, None, &mut |_progress| {})).unwrap();
    let report = pieces(&archive);
    assert_eq!((report.disputes_settled, report.trainings_repeated), (1, 0));
    archive.blobs.retain(|_cid, bytes| bytes.len() != Trace::length(STATES));
    let report = pieces(&archive);
    assert_eq!((report.disputes_settled, report.trainings_repeated), (0, 0));
    assert_eq!(report.trainings_audited, 1, "and says so");
}

#[test]
fn repeating_all_repeats_what_evidence_settled_too() {
    let (id, archive) = disputed(4, 4, |states| Cid::of_raw(&states[4]));
    let report = block_on(audit(&archive, id, Repeat::All, None, &mut |_progress| {})).unwrap();
    assert_eq!((report.disputes_settled, report.trainings_repeated), (1, 1));
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
    let run = |which| block_on(audit(&archive, id, which, None, &mut |_progress| {}));
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
    let learning_rate = rules.learning_rate;
    let course = Course { base: &campaign.base, shard: &shard, steps: rules.steps, seed, learning_rate };
    let turns = std::cell::Cell::new(0);
    let turn = async || turns.set(turns.get() + 1);
    let claim = Claim { update: Cid::of_raw(&trained(&campaign)), trace: None };
    let found = futures::executor::block_on(repeat(&manifest, &course, &claim, None, turn)).unwrap().found;
    assert_eq!(found, claim.update);
    assert_eq!(turns.get(), 15, "others have their turn after every fourth step of 60");
}
