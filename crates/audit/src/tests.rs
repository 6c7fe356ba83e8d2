//! Audits of a campaign made here, with real keys, the real manifest and the real data, first honest, then not.

use std::collections::BTreeMap;

use futures::executor::block_on;
use lichen_campaign::{Settlement, training_seed};
use lichen_engine::{EngineKind, EngineVersion, Trainer};
use lichen_learn::{Batches, Dataset, Update, aggregate_checkpoint, difference};
use lichen_log::{Chain, Head, HeadError, Record};
use lichen_model::{Parameters, initial_parameters};
use lichen_net::hub::Records;
use lichen_record::{Entry, Metrics, SigningKey, verify};
use lichen_round::{CampaignState, Rules};
use lichen_settle::{Settled, Settler, guarded};

use super::*;

#[path = "../../log/tests/later/mod.rs"]
mod later;

mod ahead;
mod archive;
mod committee;
mod ending;
mod mesh;
mod outer;
mod plain;
mod repeating;
mod skipping;
mod snapshots;
mod tree;

use archive::{Archive, turn};

const MANIFEST: &[u8] = include_bytes!("../../../relay/campaigns/digits/campaign.toml");
const DATA: &[u8] = include_bytes!("../../../relay/campaigns/digits/digits.safetensors");

/// A campaign in the making, by a coordinator that may lie.
#[derive(Clone)]
struct Campaign {
    id: CampaignId,
    coordinator: SigningKey,
    chain: Chain,
    time: u64,
    base: Vec<u8>,
    settlement: Settlement,
    max_norm: f64,
    /// What the outer optimiser carries over.
    state: Option<Vec<u8>>,
    archive: Archive,
}

impl Campaign {
    fn publish() -> Self {
        Self::publish_as(MANIFEST)
    }

    fn publish_as(manifest_bytes: &[u8]) -> Self {
        let id = CampaignId::of_manifest(manifest_bytes);
        let manifest = Manifest::from_bytes(manifest_bytes).unwrap();
        let base = evaluation::initial_checkpoint(&manifest).unwrap();
        let mut campaign = Self {
            id,
            coordinator: key(0),
            chain: Chain::new(id),
            time: 1_764_000_000_000,
            base: base.clone(),
            state: None,
            settlement: manifest.rounds.settlement,
            max_norm: lichen_learn::max_norm(&manifest).unwrap(),
            archive: Archive {
                records: Vec::new(),
                unreadable: None,
                head: Vec::new(),
                blobs: BTreeMap::new(),
            },
        };
        for blob in [manifest_bytes, DATA, &base] {
            campaign.keep(blob);
        }
        campaign.say(0, &Entry::Published { campaign: id, manifest: id.0, base: Cid::of_raw(&base) });
        campaign
    }

    fn keep(&mut self, blob: &[u8]) -> Cid {
        let cid = Cid::of_raw(blob);
        self.archive.blobs.insert(cid, blob.to_vec());
        cid
    }

    /// Appends without asking whether it may stand there.
    fn say(&mut self, who: u8, entry: &Entry) {
        self.time += 100;
        let entry = verify(&key(who).sign(entry).unwrap()).unwrap();
        let (record, _receipt) = self.chain.append(self.time, &entry).unwrap();
        self.archive.records.push(record);
    }

    fn join(&mut self, who: u8) {
        self.say(who, &Entry::Joined { campaign: self.id, sequence: 1 });
    }

    /// A whole round, `updates` being the accounts and the blobs that they contribute.
    fn round(&mut self, number: u64, updates: &[(u8, Vec<u8>)]) {
        self.open_round(number);
        self.contribute(number, updates);
        let accepted: Vec<_> = updates.iter().map(|(_who, update)| (480, update.clone())).collect();
        let (_cid, result) = aggregate_checkpoint(&self.base, &accepted, self.max_norm).unwrap();
        self.settle(number, updates, &result);
    }

    fn open_round(&mut self, number: u64) {
        self.time += 60_000;
        let base = Cid::of_raw(&self.base);
        self.say(0, &Entry::RoundOpened { campaign: self.id, round: RoundNumber(number), base });
    }

    fn contribute(&mut self, number: u64, updates: &[(u8, Vec<u8>)]) {
        self.contribute_with(number, updates, None);
    }

    /// The same, everybody naming this trace.
    fn contribute_with(&mut self, number: u64, updates: &[(u8, Vec<u8>)], trace: Option<Cid>) {
        let (campaign, round, base) = (self.id, RoundNumber(number), Cid::of_raw(&self.base));
        let metrics = Metrics::new(0.5, 0.5, 60).unwrap();
        for (who, update) in updates {
            let update = self.keep(update);
            let engine = engine_of(*who);
            self.say(
                *who,
                &Entry::Contribution { campaign, round, base, update, samples: 480, metrics, engine, trace },
            );
        }
        self.say(0, &Entry::RoundClosed { campaign, round });
    }

    fn settle(&mut self, number: u64, updates: &[(u8, Vec<u8>)], result: &[u8]) {
        let (campaign, round, base) = (self.id, RoundNumber(number), Cid::of_raw(&self.base));
        let result_cid = self.keep(result);
        let state = self.state.clone().map(|state| self.keep(&state));
        let coordinator = (self.settlement == Settlement::Coordinator).then_some(0);
        let attesting = coordinator.into_iter().chain(updates.iter().map(|(who, _update)| *who));
        for who in attesting {
            self.say(
                who,
                &Entry::Attestation {
                    campaign,
                    round,
                    base,
                    result: result_cid,
                    excluded: 0,
                    state,
                    difference: None,
                },
            );
        }
        self.base = result.to_vec();
    }

    fn finish(mut self) -> (CampaignId, Archive) {
        self.archive.head = self.coordinator.sign(self.chain.head()).unwrap();
        (self.id, self.archive)
    }
}

fn key(number: u8) -> SigningKey {
    SigningKey::generate([number + 1; 32])
}

/// Some update of the campaign's model.
fn update(seed: u16) -> Vec<u8> {
    let manifest = Manifest::from_bytes(MANIFEST).unwrap();
    let base = initial_parameters(&manifest.model, manifest.rounds.seed).unwrap();
    let value = |index: usize| f32::from(u16::try_from(index % 97).unwrap() ^ seed) / 4096.0;
    Update::new((0..base.elements()).map(value).collect()).unwrap().encode().unwrap()
}

/// Two rounds by two accounts, one of whose updates is no update.
/// The first account trains on its processor, the second on its graphics card, and the others do not say.
fn engine_of(who: u8) -> Option<EngineVersion> {
    let kind = match who {
        1 => EngineKind::Cpu,
        2 => EngineKind::Gpu,
        _ => return None,
    };
    Some(EngineVersion { kind, version: 1 })
}

fn honest() -> (CampaignId, Archive) {
    let mut campaign = Campaign::publish();
    campaign.join(1);
    campaign.join(2);
    campaign.round(1, &[(1, update(1)), (2, update(2))]);
    campaign.round(2, &[(2, b"junk".to_vec()), (1, update(4))]);
    campaign.finish()
}

fn run((id, archive): (CampaignId, Archive)) -> Result<Report, Fault> {
    block_on(audit(&archive, id, Repeat::All, None, &mut |_progress| {}))
}

#[test]
fn an_honest_campaign_passes() {
    let (id, archive) = honest();
    let checkpoints: Vec<Cid> = archive.blobs.keys().copied().collect();
    let records = archive.records.len() as u64;
    let blobs = archive.blobs.len() as u64;
    let bytes: usize = archive.blobs.values().map(Vec::len).sum();
    let report = run((id, archive)).unwrap();
    assert_eq!((report.records, report.signatures, report.rounds), (records, records + 1, 2));
    assert_eq!((report.contributors, report.contributions, report.updates_left_out), (2, 4, 1));
    assert_eq!(report.contributions_reproducible, 2, "those of the processor");
    assert_eq!((report.blobs, report.blob_bytes), (blobs, bytes as u64));
    assert_eq!((report.held_out, report.contradictions), (360, 0));
    assert_eq!(report.coordinator, key(0).account());
    assert!(checkpoints.contains(&report.initial) && checkpoints.contains(&report.checkpoint));
    assert!(report.initial != report.checkpoint);
    assert!((0.0..=1.0).contains(&report.accuracy) && report.loss.is_finite());
}

#[test]
fn what_tabs_learn_is_what_the_audit_finds() {
    let manifest = Manifest::from_bytes(MANIFEST).unwrap();
    let data = Dataset::decode(DATA, &manifest).unwrap();
    let mut campaign = Campaign::publish();
    let untrained = run(campaign.clone().finish()).unwrap();
    campaign.join(1);
    for number in 1..=2 {
        let update = train(&manifest, &data, &campaign.base, RoundNumber(number));
        campaign.round(number, &[(1, update)]);
    }
    let checkpoint = Cid::of_raw(&campaign.base);
    let trained = run(campaign.finish()).unwrap();
    assert_eq!(trained.checkpoint, checkpoint);
    assert!(trained.accuracy > untrained.accuracy + 0.3, "{} after {}", trained.accuracy, untrained.accuracy);
    assert!(trained.loss < untrained.loss);
}

/// The update of account 1 after training a round as the manifest says.
fn train(manifest: &Manifest, data: &Dataset, base: &[u8], round: RoundNumber) -> Vec<u8> {
    let base = Parameters::from_safetensors(base).unwrap();
    let (split, rounds, account) = (manifest.data.split, &manifest.rounds, key(1).account());
    let shard = split.shard(rounds.seed, round, &account);
    let seed = training_seed(rounds.seed, round, &account);
    let mut batches = Batches::new(shard, manifest.train.batch, seed);
    let trained = futures::executor::block_on(async {
        let mut trainer = Trainer::new(EngineKind::Cpu, &manifest.model, &manifest.train).await.unwrap();
        trainer.load(&base, seed).await.unwrap();
        for _step in 0..manifest.train.steps {
            let (x, labels) = data.gather(&batches.next_batch());
            trainer.step(&x, &labels).await.unwrap();
        }
        trainer.parameters().await.unwrap()
    });
    difference(&base, &trained).unwrap().encode().unwrap()
}

#[test]
fn progress_reaches_the_end() {
    let (id, archive) = honest();
    let records = archive.records.len() as u64;
    let mut seen = Vec::new();
    block_on(audit(&archive, id, Repeat::All, None, &mut |progress| seen.push(progress))).unwrap();
    assert_eq!(seen.last(), Some(&Progress::Evaluating));
    assert!(seen.contains(&Progress::Records(records, records)));
    assert!(seen.contains(&Progress::Rounds(2, 2)));
}

#[test]
fn a_campaign_without_rounds_is_at_its_first_checkpoint() {
    let report = run(Campaign::publish().finish()).unwrap();
    assert_eq!((report.rounds, report.records), (0, 1));
    assert_eq!(report.initial, report.checkpoint);
}

#[test]
fn a_round_under_way_does_not_disturb() {
    let mut campaign = Campaign::publish();
    campaign.join(1);
    campaign.round(1, &[(1, update(1))]);
    campaign.open_round(2);
    campaign.contribute(2, &[(1, update(2))]);
    assert_eq!(run(campaign.finish()).unwrap().rounds, 1);
}

#[test]
fn records_appended_meanwhile_do_not_disturb() {
    let (id, mut archive) = honest();
    let length = archive.records.len() - 1;
    let mut chain = Chain::new(id);
    for record in &archive.records[..length] {
        chain.verify_next(record).unwrap();
    }
    archive.head = key(0).sign(chain.head()).unwrap();
    assert_eq!(run((id, archive)).unwrap().records, length as u64);
}

#[test]
fn a_changed_byte_in_a_record_is_found_there() {
    let (id, archive) = honest();
    for index in 0..archive.records.len() {
        let place = format!("record {index}: ");
        for at in (index % 11..archive.records[index].entry.len()).step_by(11) {
            let mut archive = archive.clone();
            archive.records[index].entry[at] ^= 1 << (at % 8);
            let fault = run((id, archive)).unwrap_err().to_string();
            assert!(fault.starts_with(&place), "byte {at} of record {index}: {fault}");
        }
        type Change = fn(&mut Record);
        let changes: [Change; 3] =
            [|record| record.time += 1, |record| record.index += 1, |record| record.hash[31] ^= 1];
        for change in changes {
            let mut archive = archive.clone();
            change(&mut archive.records[index]);
            let fault = run((id, archive)).unwrap_err().to_string();
            assert!(fault.starts_with(&place), "record {index}: {fault}");
        }
    }
}

#[test]
fn a_changed_byte_in_a_blob_is_found_there() {
    let (id, archive) = honest();
    for (cid, bytes) in &archive.blobs {
        for at in (0..bytes.len()).step_by(1 + bytes.len() / 6) {
            let mut archive = archive.clone();
            archive.blobs.get_mut(cid).unwrap()[at] ^= 0x10;
            match run((id, archive)).unwrap_err() {
                Fault::BlobDiffers { cid: named, .. } => assert_eq!(named, *cid),
                fault => panic!("byte {at} of blob {cid}: {fault}"),
            }
        }
    }
}

#[test]
fn a_record_that_the_relay_cannot_read_is_named() {
    let (id, archive) = honest();
    for index in 0..archive.records.len() {
        let archive = Archive { unreadable: Some(index), ..archive.clone() };
        let fault = run((id, archive)).unwrap_err().to_string();
        assert!(fault.starts_with(&format!("record {index}: ")), "{fault}");
    }
}

#[test]
fn a_missing_blob_is_named() {
    let (id, archive) = honest();
    for cid in archive.blobs.keys() {
        let mut archive = archive.clone();
        archive.blobs.remove(cid);
        match run((id, archive)).unwrap_err() {
            Fault::Blob { cid: named, error: SourceError::NotFound, .. } => assert_eq!(named, *cid),
            fault => panic!("blob {cid}: {fault}"),
        }
    }
}

#[test]
fn a_log_cut_short_is_found() {
    let (id, mut archive) = honest();
    archive.records.pop();
    let found = archive.records.len() as u64;
    assert_eq!(run((id, archive)), Err(Fault::LogEnds { found, signed: found + 1 }));
    let (id, mut archive) = honest();
    let signed = archive.records.len() as u64;
    archive.records.clear();
    assert_eq!(run((id, archive)), Err(Fault::LogEnds { found: 0, signed }));
}

#[test]
fn a_record_of_a_later_version_asks_for_a_newer_program() {
    let (id, mut archive) = honest();
    let head = *verify::<Head>(&archive.head).unwrap().get();
    let time = archive.records.last().unwrap().time;
    let (record, head) = later::record(&key(0), &head, time);
    let index = record.index;
    archive.records.push(record);
    archive.head = key(0).sign(&head).unwrap();
    let fault = run((id, archive)).unwrap_err();
    assert_eq!(fault, Fault::Later { index });
    assert!(fault.to_string().contains("newer lichen"), "{fault}");
}

#[test]
fn a_head_must_be_the_coordinators_and_of_this_log() {
    let (id, archive) = honest();
    let head = *verify::<Head>(&archive.head).unwrap().get();
    let mut stranger = archive.clone();
    stranger.head = key(7).sign(&head).unwrap();
    assert!(matches!(run((id, stranger)), Err(Fault::Head(HeadError::Signer(_)))));
    let mut other = archive.clone();
    other.head = key(0).sign(&Head { hash: [7; 32], ..head }).unwrap();
    assert!(matches!(run((id, other)), Err(Fault::Head(HeadError::Hash { .. }))));
    for at in 0..archive.head.len() {
        let mut broken = archive.clone();
        broken.head[at] ^= 1;
        assert!(matches!(run((id, broken)), Err(Fault::HeadSignature(_))), "byte {at}");
    }
}

#[test]
fn a_false_checkpoint_is_found_even_if_all_agree_on_it() {
    let mut campaign = Campaign::publish();
    campaign.join(1);
    campaign.round(1, &[(1, update(1))]);
    campaign.open_round(2);
    campaign.contribute(2, &[(1, update(2))]);
    let false_result = campaign.base.clone();
    campaign.settle(2, &[(1, Vec::new())], &false_result);
    match run(campaign.finish()).unwrap_err() {
        Fault::Checkpoint { round: RoundNumber(2), settled, computed } => {
            assert_eq!(*settled, Cid::of_raw(&false_result).into());
            assert!(computed != settled);
        }
        fault => panic!("{fault}"),
    }
}

#[test]
fn a_false_first_checkpoint_is_found() {
    let mut campaign = Campaign::publish();
    let id = campaign.id;
    let base = campaign.keep(b"something else");
    campaign.chain = Chain::new(id);
    campaign.archive.records.clear();
    campaign.say(0, &Entry::Published { campaign: id, manifest: id.0, base });
    match run(campaign.finish()).unwrap_err() {
        Fault::Initial { published, .. } => assert_eq!(published, base),
        fault => panic!("{fault}"),
    }
}

#[test]
fn an_entry_that_may_not_stand_there_is_found() {
    // By a stranger, and twice by a member.
    for who in [5, 1] {
        let mut campaign = Campaign::publish();
        campaign.join(1);
        campaign.open_round(1);
        let (id, base, round) = (campaign.id, Cid::of_raw(&campaign.base), RoundNumber::FIRST);
        let metrics = Metrics::new(0.5, 0.5, 60).unwrap();
        let update = campaign.keep(&update(1));
        let entry = Entry::Contribution {
            campaign: id,
            round,
            base,
            update,
            samples: 480,
            metrics,
            engine: None,
            trace: None,
        };
        campaign.say(1, &entry);
        campaign.say(who, &entry);
        let fault = run(campaign.finish()).unwrap_err();
        assert!(matches!(fault, Fault::Inadmissible { index: 4, .. }), "{fault}");
    }
}

#[test]
fn a_contradiction_is_counted_and_does_not_hide_the_result() {
    let mut campaign = Campaign::publish();
    campaign.join(1);
    campaign.join(2);
    let base = Cid::of_raw(&campaign.base);
    campaign.round(1, &[(1, update(1)), (2, update(2))]);
    let entry = Entry::Attestation {
        campaign: campaign.id,
        round: RoundNumber(1),
        base,
        result: base,
        excluded: 0,
        state: None,
        difference: None,
    };
    campaign.say(2, &entry);
    let report = run(campaign.finish()).unwrap();
    assert_eq!((report.contradictions, report.rounds), (1, 1));
}

/// A hostile update: so much for every parameter.
fn hostile(value: f32) -> Vec<u8> {
    let manifest = Manifest::from_bytes(MANIFEST).unwrap();
    let elements = initial_parameters(&manifest.model, 7).unwrap().elements();
    Update::new(vec![value; elements]).unwrap().encode().unwrap()
}

#[test]
fn a_round_that_was_turned_down_is_told_of() {
    let manifest = Manifest::from_bytes(MANIFEST).unwrap();
    let data = Dataset::decode(DATA, &manifest).unwrap();
    let mut campaign = Campaign::publish();
    campaign.join(1);
    let learned = train(&manifest, &data, &campaign.base, RoundNumber(1));
    campaign.round(1, &[(1, learned)]);
    // Within the bound, and hostile all the same.
    let base = campaign.base.clone();
    campaign.open_round(2);
    campaign.contribute(2, &[(1, hostile(-0.4))]);
    campaign.settle(2, &[(1, Vec::new())], &base);
    let report = run(campaign.clone().finish()).unwrap();
    assert_eq!((report.rounds, report.rounds_set_aside, report.updates_left_out), (2, vec![2], 0));
    assert_eq!((report.checkpoint, report.best), (Cid::of_raw(&base), None));
    // Beyond the bound it is left out.
    campaign.open_round(3);
    campaign.contribute(3, &[(1, hostile(10.0))]);
    campaign.settle(3, &[(1, Vec::new())], &base);
    let report = run(campaign.clone().finish()).unwrap();
    assert_eq!((report.rounds, report.rounds_set_aside, report.updates_left_out), (3, vec![2, 3], 1));
    // Whoever settles it all the same is found out.
    let honest = campaign.archive.clone();
    campaign.round(4, &[(1, hostile(-0.4))]);
    assert!(campaign.archive.blobs.len() > honest.blobs.len());
    assert!(matches!(run(campaign.finish()), Err(Fault::Checkpoint { round: RoundNumber(4), .. })));
}

#[test]
fn a_checkpoint_far_below_the_best_is_told_of() {
    let manifest = Manifest::from_bytes(MANIFEST).unwrap();
    let data = Dataset::decode(DATA, &manifest).unwrap();
    let mut campaign = Campaign::publish();
    campaign.join(1);
    for number in 1..=2 {
        let learned = train(&manifest, &data, &campaign.base, RoundNumber(number));
        campaign.round(number, &[(1, learned)]);
    }
    assert_eq!(run(campaign.clone().finish()).unwrap().best, None);
    // Back to where it began, in steps that the guard lets pass.
    let initial = Parameters::from_safetensors(&evaluation::initial_checkpoint(&manifest).unwrap()).unwrap();
    let whole = difference(&Parameters::from_safetensors(&campaign.base).unwrap(), &initial).unwrap();
    let step = Update::new(whole.values().iter().map(|value| value / 60.0).collect()).unwrap();
    for number in 3..63 {
        campaign.round(number, &[(1, step.encode().unwrap())]);
    }
    let report = run(campaign.finish()).unwrap();
    let best = report.best.unwrap();
    assert!(best.accuracy > report.accuracy + 0.2, "{best:?} {}", report.accuracy);
    assert!((2..30).contains(&best.round.0), "{best:?}");
}

#[test]
fn a_broken_model_is_a_fault_with_a_way_out() {
    let layer = "[[model.layers]]\nkind = \"dense\"\nunits = 32\n";
    let manifest = String::from_utf8(MANIFEST.to_vec()).unwrap();
    let manifest =
        manifest.replacen("[[model.layers]]", &format!("{layer}{layer}{layer}[[model.layers]]"), 1);
    let manifest = format!("{manifest}\n[update]\nmax_norm = 1e12\n[guard]\nsamples = 0\n");
    let model = Manifest::parse(&manifest).unwrap().model;
    let elements = initial_parameters(&model, 7).unwrap().elements();
    let update = |value: f32| Update::new(vec![value; elements]).unwrap().encode().unwrap();
    let mut campaign = Campaign::publish_as(manifest.as_bytes());
    campaign.join(1);
    campaign.round(1, &[(1, update(1e-4))]);
    assert!(run(campaign.clone().finish()).is_ok());
    campaign.round(2, &[(1, update(1e9))]);
    let fault = run(campaign.finish()).unwrap_err();
    assert!(matches!(fault, Fault::Broken { round: RoundNumber(2), .. }), "{fault}");
    assert!(
        fault.to_string().contains("begin a new campaign"),
        "without a guard nothing was measured: {fault}"
    );
}
