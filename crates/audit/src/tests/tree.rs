//! What is signed about the log's tree has to be what the records give.

use lichen_campaign::Witnesses;
use lichen_log::tree::{Edge, leaf_hash};
use lichen_log::{Ed25519Key, KeyKind, LogCheckpoint, LogKey, SignedCheckpoint, VerifierKey, check_ed25519};
use lichen_record::encode;

use super::*;

fn log_key() -> Ed25519Key {
    Ed25519Key::from_seed(&[77; 32]).unwrap()
}

fn certificate(campaign: CampaignId, by: u8) -> Vec<u8> {
    key(by).sign(&LogKey { campaign, key: log_key().public() }).unwrap()
}

/// A checkpoint of the first records.
fn checkpoint(campaign: CampaignId, records: &[Record], by: u8) -> SignedCheckpoint {
    let verifier = LogKey::verifier(&verify(&certificate(campaign, by)).unwrap()).unwrap();
    let mut edge = Edge::default();
    records.iter().for_each(|record| edge.append(leaf_hash(&encode(record).unwrap())));
    let checkpoint = LogCheckpoint::new(&verifier, edge.size(), edge.root());
    SignedCheckpoint::sign(checkpoint, &verifier, |text| log_key().sign(text))
}

fn audited(
    (id, archive): (CampaignId, Archive),
    by: u8,
    served: &SignedCheckpoint,
    others: &[&SignedCheckpoint],
) -> Result<Tree, Fault> {
    let others: Vec<Vec<u8>> = others.iter().map(|other| other.to_bytes()).collect();
    let mut tree = Tree::open(id, &certificate(id, by), &served.to_bytes(), None, &others)?;
    block_on(audit(&archive, id, Repeat::All, Some(&mut tree), &mut |_progress| {}))?;
    Ok(tree)
}

#[test]
fn the_trees_of_one_history_are_found_right() {
    let (id, archive) = honest();
    let [served, earlier] = [12, 5].map(|length| checkpoint(id, &archive.records[..length], 0));
    let witness = VerifierKey::new("w.example", KeyKind::Cosignature, log_key().public()).unwrap();
    let stranger = VerifierKey::new("s.example", KeyKind::Cosignature, [1; 32]).unwrap();
    let mut cosigned = served.clone();
    cosigned.cosign(&witness, 5, |text| log_key().sign(text));
    let tree = audited((id, archive), 0, &cosigned, &[&earlier]).unwrap();
    let both = [witness, stranger];
    let report = tree.report(&both, 1).unwrap();
    assert_eq!((report.records, report.others, report.witnesses), (12, 1, vec!["w.example".to_owned()]));
    assert_eq!(tree.report(&both, 2), Err(Fault::Quorum { signed: 1, quorum: 2 }));
    assert_eq!(cosigned.cosigned_by(&both[0], check_ed25519), Ok(Some(5)));
}

#[test]
fn a_checkpoint_of_another_history_is_shown_with_the_other_one() {
    let (id, archive) = honest();
    let mut lying = archive.records.clone();
    lying[3].time += 1;
    let honest = checkpoint(id, &archive.records[..9], 0);
    for length in [4, 9, archive.records.len()] {
        let other = checkpoint(id, &lying[..length], 0);
        let fault = audited((id, archive.clone()), 0, &honest, &[&other]).err().unwrap();
        assert!(matches!(fault, Fault::Equivocation { size, .. } if size == length as u64), "{fault}");
        let words = fault.to_string();
        for signed in [&honest, &other] {
            assert!(words.contains(&signed.note().to_string()), "{} is not in {words}", signed.note());
        }
        let fault = audited((id, archive.clone()), 0, &other, &[]).err().unwrap();
        assert!(matches!(fault, Fault::Equivocation { .. }), "the relay's own is a lie");
    }
    // Before the histories part, they are one.
    let earlier = checkpoint(id, &lying[..3], 0);
    assert!(audited((id, archive), 0, &honest, &[&earlier]).is_ok());
}

#[test]
fn a_checkpoint_of_more_records_than_there_are_is_a_fault() {
    let (id, archive) = honest();
    let length = archive.records.len() as u64;
    let mut longer = archive.records.clone();
    longer.push(longer[0].clone());
    let (served, other) = (checkpoint(id, &archive.records, 0), checkpoint(id, &longer, 0));
    let fault = audited((id, archive), 0, &served, &[&other]).err();
    assert_eq!(fault, Some(Fault::LogEnds { found: length, signed: length + 1 }));
}

#[test]
fn the_key_is_certified_by_the_logs_coordinator() {
    let (id, archive) = honest();
    let foreign = checkpoint(id, &archive.records, 1);
    let fault = audited((id, archive.clone()), 1, &foreign, &[]).err();
    assert!(matches!(fault, Some(Fault::Tree(_))), "{fault:?}");
    let fault = audited((id, archive.clone()), 0, &foreign, &[]).err();
    assert!(matches!(fault, Some(Fault::Tree(_))), "{fault:?}");
    let other = CampaignId::of_manifest(b"another");
    let served = checkpoint(id, &archive.records, 0).to_bytes();
    assert!(Tree::open(other, &certificate(id, 0), &served, None, &[]).is_err());
}

#[test]
fn as_many_witnesses_as_the_campaign_wants_have_to_have_seen_the_log() {
    let (id, archive) = honest();
    let named = |byte: u8| {
        let key = Ed25519Key::from_seed(&[byte; 32]).unwrap();
        (VerifierKey::new(&format!("w{byte}.example"), KeyKind::Cosignature, key.public()).unwrap(), key)
    };
    let keys = [named(1), named(2), named(3)];
    let cosigned = |length: usize, by: &[usize]| {
        let mut signed = checkpoint(id, &archive.records[..length], 0);
        for (witness, key) in by.iter().map(|place| &keys[*place]) {
            signed.cosign(witness, 5, |text| key.sign(text));
        }
        signed.to_bytes()
    };
    let witnesses = Witnesses { keys: keys.iter().map(|(key, _)| key.clone()).collect(), quorum: 2 };
    let seen = |newest: &[u8], witnessed: Option<&[u8]>| {
        Tree::open(id, &certificate(id, 0), newest, witnessed, &[]).unwrap().seen_by(&witnesses)
    };
    assert_eq!(seen(&cosigned(12, &[0]), Some(&cosigned(9, &[0, 2]))), Ok(9));
    assert_eq!(seen(&cosigned(12, &[2, 1]), Some(&cosigned(9, &[0, 2]))), Ok(12));
    let quorum = |signed| Err(Fault::Quorum { signed, quorum: 2 });
    assert_eq!(seen(&cosigned(12, &[0]), Some(&cosigned(9, &[1]))), quorum(1), "not of one checkpoint");
    assert_eq!(seen(&cosigned(12, &[]), None), quorum(0));
}
