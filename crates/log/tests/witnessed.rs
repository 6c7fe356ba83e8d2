//! A copy of a log is told to be the one that witnesses have seen, by its last record.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use lichen_log::tree::{Edge, Hash, Nodes, ProofError, inclusion_proof, leaf_hash, node_hash, tree_root};
use lichen_log::{
    Chain, Ed25519Key, Head, KeyKind, LogCheckpoint, LogCheckpointError, LogKey, Record, SignedCheckpoint,
    VerifierKey, Witnessed, WitnessedError, check_ed25519, origin,
};
use lichen_record::{CampaignId, Entry, SigningKey, Verified, encode, verify};

fn campaign() -> CampaignId {
    CampaignId::of_manifest(b"digits")
}

fn key(seed: u8) -> Ed25519Key {
    Ed25519Key::from_seed(&[seed; 32]).unwrap()
}

fn witness(seed: u8) -> VerifierKey {
    VerifierKey::new(&format!("w{seed}.example"), KeyKind::Cosignature, key(seed).public()).unwrap()
}

/// The leaves' hashes; the nodes above follow from them.
struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    type Error = std::convert::Infallible;

    fn node(&mut self, height: u8, index: u64) -> Result<Hash, Self::Error> {
        if height == 0 {
            return Ok(*self.0.get(usize::try_from(index).unwrap()).unwrap());
        }
        Ok(node_hash(&self.node(height - 1, 2 * index)?, &self.node(height - 1, 2 * index + 1)?))
    }
}

/// A log with a key that is certified, and what witnesses 1 and 2 have signed of it.
struct Log {
    certified: Verified<LogKey>,
    records: Vec<Record>,
    heads: Vec<Head>,
}

impl Log {
    fn of(length: u8, first: u8) -> Self {
        let coordinator = SigningKey::generate([99; 32]);
        let certificate = coordinator.sign(&LogKey { campaign: campaign(), key: key(50).public() }).unwrap();
        let certified = verify::<LogKey>(&certificate).unwrap();
        let mut chain = Chain::new(campaign());
        let (mut records, mut heads) = (Vec::new(), Vec::new());
        for number in 0..length {
            let entry = Entry::Joined { campaign: campaign(), sequence: u64::from(number) + 1 };
            let entry = verify(&SigningKey::generate([first; 32]).sign(&entry).unwrap()).unwrap();
            records.push(chain.append(u64::from(number), &entry).unwrap().0);
            heads.push(*chain.head());
        }
        Self { certified, records, heads }
    }

    fn witnessed(&self, length: usize, witnesses: &[u8]) -> Witnessed {
        let mut leaves =
            Leaves(self.records.iter().map(|record| leaf_hash(&encode(record).unwrap())).collect());
        let size = length as u64;
        let root = tree_root(&mut leaves, size).unwrap();
        let log_key = LogKey::verifier(&self.certified).unwrap();
        let checkpoint = LogCheckpoint::new(&log_key, size, root);
        let mut signed = SignedCheckpoint::sign(checkpoint, &log_key, |text| key(50).sign(text));
        for seed in witnesses {
            assert!(signed.cosign(&witness(*seed), 1_700_000_000, |text| key(*seed).sign(text)));
        }
        let record = self.records.get(length - 1).unwrap().clone();
        let proof = inclusion_proof(&mut leaves, size - 1, size).unwrap().concat();
        Witnessed { checkpoint: signed.to_bytes(), record, proof }
    }

    fn check(&self, witnessed: &Witnessed, quorum: u32) -> Result<Head, WitnessedError> {
        let witnesses = [witness(1), witness(2)];
        let check = async |claim: &lichen_log::Ed25519Claim| claim.is_true(check_ed25519);
        let coordinator = self.certified.account();
        let mut checked = pin!(witnessed.check_by((campaign(), &coordinator), (&witnesses, quorum), check));
        match checked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(checked) => checked,
            Poll::Pending => unreachable!("native arithmetic waits for nothing"),
        }
    }
}

#[test]
fn what_enough_witnesses_have_seen_is_a_head_of_the_log() {
    let log = Log::of(20, 7);
    for length in 1..=20 {
        let witnessed = log.witnessed(length, &[1, 2]);
        assert_eq!(log.check(&witnessed, 2).as_ref(), Ok(log.heads.get(length - 1).unwrap()), "{length}");
    }
    assert_eq!(log.check(&log.witnessed(9, &[2]), 1), Ok(log.heads[8]));
}

#[test]
fn what_too_few_have_seen_is_none() {
    let log = Log::of(9, 7);
    let quorum = |signed, quorum| Err(WitnessedError::Quorum { signed, quorum });
    assert_eq!(log.check(&log.witnessed(9, &[2]), 2), quorum(1, 2));
    assert_eq!(log.check(&log.witnessed(9, &[]), 1), quorum(0, 1));
    assert_eq!(log.check(&log.witnessed(9, &[3, 4]), 1), quorum(0, 1), "strangers");
    // A signature of the same names below another checkpoint is none below this one.
    let signature = |note: &[u8]| {
        let note = String::from_utf8(note.to_vec()).unwrap();
        note.lines().filter(|line| line.contains("w2.example")).collect::<Vec<_>>().join("\n")
    };
    let (mut forged, other) = (log.witnessed(9, &[1]), log.witnessed(8, &[2]));
    forged.checkpoint.extend_from_slice(signature(&other.checkpoint).as_bytes());
    forged.checkpoint.push(b'\n');
    assert_eq!(log.check(&forged, 2), quorum(1, 2));
    assert_eq!(log.check(&forged, 1), Ok(log.heads[8]));
}

#[test]
fn another_record_than_the_trees_last_is_refused() {
    let (log, other) = (Log::of(9, 7), Log::of(9, 8));
    let right = log.witnessed(9, &[1]);
    let wrong = |record: &Record, proof: &[u8]| {
        let record = record.clone();
        log.check(&Witnessed { record, proof: proof.to_vec(), ..right.clone() }, 1)
    };
    let proof = &right.proof[..];
    assert_eq!(
        wrong(&other.records[8], proof),
        Err(WitnessedError::Proof(ProofError::Root)),
        "of another history"
    );
    assert_eq!(wrong(&log.records[7], proof), Err(WitnessedError::Proof(ProofError::Range(7, 9))));
    let mut changed = log.records[8].clone();
    changed.hash[3] ^= 1;
    assert_eq!(wrong(&changed, proof), Err(WitnessedError::Proof(ProofError::Root)));
    changed.index = u64::MAX;
    assert_eq!(wrong(&changed, proof), Err(WitnessedError::Proof(ProofError::Range(u64::MAX, 9))));
    for end in [0, 31, proof.len() - 1, proof.len() - 32] {
        let found = wrong(&log.records[8], proof.get(..end).unwrap());
        assert!(matches!(found, Err(WitnessedError::Proof(_))), "{end}: {found:?}");
    }
}

#[test]
fn what_is_of_another_log_is_refused() {
    let log = Log::of(9, 7);
    let right = log.witnessed(9, &[1]);
    let mut edge = Edge::default();
    edge.append(leaf_hash(b"another record"));
    let names = [
        "another".to_owned(),
        origin(CampaignId::of_manifest(b"another"), &log.certified.account()),
        origin(campaign(), &SigningKey::generate([98; 32]).account()),
    ];
    for name in names {
        let other = VerifierKey::new(&name, KeyKind::Note, key(50).public()).unwrap();
        let checkpoint = LogCheckpoint::new(&other, 1, edge.root());
        let mut signed = SignedCheckpoint::sign(checkpoint, &other, |text| key(50).sign(text));
        signed.cosign(&witness(1), 1_700_000_000, |text| key(1).sign(text));
        let found = log.check(&Witnessed { checkpoint: signed.to_bytes(), ..right.clone() }, 1);
        assert!(
            matches!(found, Err(WitnessedError::Checkpoint(LogCheckpointError::Origin { .. }))),
            "{found:?}"
        );
    }
}
