//! Notes, checkpoints and cosignatures are those of the specifications, and two histories are shown as what they are.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::convert::Infallible;

use lichen_log::tree::{Edge, Nodes, leaf_hash, node_hash, tree_root};
use lichen_log::{
    Ed25519Key, KeyKind, LogCheckpoint, LogCheckpointError, LogKey, MAX_NOTE, Note, NoteError,
    SignedCheckpoint, VerifierKey, VerifierKeyError, WitnessError, check_ed25519, check_newer, origin,
};
use lichen_record::{CampaignId, SigningKey, verify};
use proptest::prelude::*;

/// The example of the specification of signed notes.
const EXAMPLE_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const EXAMPLE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

/// The example of the specification of checkpoints.
const EXAMPLE_CHECKPOINT: &str =
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

fn key(seed: u8) -> Ed25519Key {
    Ed25519Key::from_seed(&[seed; 32]).unwrap()
}

fn log_key() -> (Ed25519Key, VerifierKey) {
    let coordinator = SigningKey::generate([1; 32]);
    let key = key(2);
    let message = LogKey { campaign: CampaignId::of_manifest(b"a campaign"), key: key.public() };
    let certificate = verify::<LogKey>(&coordinator.sign(&message).unwrap()).unwrap();
    (key, LogKey::verifier(&certificate).unwrap())
}

fn witness() -> (Ed25519Key, VerifierKey) {
    let key = key(3);
    let verifier = VerifierKey::new("witness.example/w1", KeyKind::Cosignature, key.public()).unwrap();
    (key, verifier)
}

/// A history in which one leaf may be another one.
struct History(Vec<[u8; 32]>);

impl History {
    fn new(length: u64, other: Option<u64>) -> Self {
        let leaf = |number| leaf_hash(if other == Some(number) { b"other" } else { b"leaf" });
        Self((0..length).map(leaf).collect())
    }

    fn checkpoint(&self, size: usize) -> SignedCheckpoint {
        let (key, verifier) = log_key();
        let mut edge = Edge::default();
        self.0.iter().take(size).for_each(|leaf| edge.append(*leaf));
        let checkpoint = LogCheckpoint::new(&verifier, edge.size(), edge.root());
        SignedCheckpoint::sign(checkpoint, &verifier, |message| key.sign(message))
    }
}

impl Nodes for &History {
    type Error = Infallible;

    fn node(&mut self, height: u8, index: u64) -> Result<[u8; 32], Infallible> {
        if height == 0 {
            return Ok(*self.0.get(usize::try_from(index).unwrap()).unwrap());
        }
        Ok(node_hash(&self.node(height - 1, 2 * index)?, &self.node(height - 1, 2 * index + 1)?))
    }
}

#[test]
fn the_specifications_example_is_signed_by_its_key() {
    let key: VerifierKey = EXAMPLE_KEY.parse().unwrap();
    assert_eq!(
        (key.name(), key.kind(), key.to_string().as_str()),
        ("example.com/foo", KeyKind::Note, EXAMPLE_KEY)
    );
    let note = Note::from_bytes(EXAMPLE.as_bytes()).unwrap();
    assert_eq!((note.to_string().as_str(), note.text()), (EXAMPLE, "This is an example message.\n"));
    let signature = note.signature_by(&key).unwrap();
    let signature = signature.bytes().try_into().unwrap();
    assert!(check_ed25519(key.key(), note.text().as_bytes(), signature));
    assert!(!check_ed25519(key.key(), b"This is another message.\n", signature));
}

#[test]
fn the_specifications_checkpoint_is_read() {
    let checkpoint: LogCheckpoint = EXAMPLE_CHECKPOINT.parse().unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size()), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(checkpoint.to_string(), EXAMPLE_CHECKPOINT);
    for (from, to) in [
        ("20852163", "020852163"),
        ("20852163", "0"),
        ("20852163", "+20852163"),
        ("20852163", "20852163 "),
        ("20852163", "99999999999999999999"),
        ("q2I=\n", "q2I="),
        ("q2I=\n", "q2J=\n"),
        ("q2I=\n", "q2I=\nextension\n"),
        ("q2I=\n", "\n"),
        ("example.com/", "example com/"),
        ("example.com/behind-the-sofa", ""),
    ] {
        let text = EXAMPLE_CHECKPOINT.replacen(from, to, 1);
        assert_eq!(text.parse::<LogCheckpoint>(), Err(LogCheckpointError::Malformed), "{text}");
    }
}

#[test]
fn the_golden_checkpoint_and_cosignature_are_made_again_to_the_byte() {
    let (_log, verifier) = log_key();
    assert_eq!(format!("{verifier}\n"), include_str!("../golden/log.vkey"));
    let (witness_key, witness) = witness();
    assert_eq!(format!("{witness}\n"), include_str!("../golden/witness.vkey"));
    let mut signed = History::new(7, None).checkpoint(7);
    assert!(signed.cosign(&witness, 1_764_000_000, |message| witness_key.sign(message)));
    assert_eq!(signed.note().to_string(), include_str!("../golden/checkpoint.txt"));
    let read = SignedCheckpoint::open(&signed.to_bytes(), &verifier, check_ed25519).unwrap();
    assert_eq!(read, signed);
    assert_eq!(read.cosigned_by(&witness, check_ed25519), Ok(Some(1_764_000_000)));
}

#[test]
fn a_checkpoint_is_believed_by_its_logs_key_only() {
    let signed = History::new(7, None).checkpoint(7);
    let (_key, verifier) = log_key();
    let bytes = signed.to_bytes();
    let other = VerifierKey::new(verifier.name(), KeyKind::Note, key(9).public()).unwrap();
    let name = verifier.name().to_owned();
    assert_eq!(
        SignedCheckpoint::open(&bytes, &other, check_ed25519),
        Err(NoteError::Unsigned(name.clone()).into())
    );
    let text = String::from_utf8(bytes).unwrap();
    let forged = text.replacen("\n7\n", "\n8\n", 1);
    let refused = SignedCheckpoint::open(forged.as_bytes(), &verifier, check_ed25519);
    assert_eq!(refused, Err(NoteError::Forged(name).into()));
    let foreign = VerifierKey::new("lichen/another", KeyKind::Note, *verifier.key()).unwrap();
    let refused = SignedCheckpoint::open(text.as_bytes(), &foreign, check_ed25519);
    assert!(matches!(refused, Err(LogCheckpointError::Origin { .. })), "{refused:?}");
}

#[test]
fn a_cosignature_is_by_its_witness_and_over_its_time_and_text() {
    let (key, witness) = witness();
    let mut signed = History::new(7, None).checkpoint(7);
    assert_eq!(signed.cosigned_by(&witness, check_ed25519), Ok(None));
    signed.cosign(&witness, 5, |message| key.sign(message));
    signed.cosign(&witness, 6, |message| key.sign(message));
    assert_eq!(signed.note().signatures().len(), 2, "the later one takes the place of the earlier one");
    assert_eq!(signed.cosigned_by(&witness, check_ed25519), Ok(Some(6)));
    let mut forged = signed.clone();
    forged.cosign(&witness, 7, |_message| key.sign(b"something else"));
    let name = witness.name().to_owned();
    assert_eq!(forged.cosigned_by(&witness, check_ed25519), Err(NoteError::Forged(name.clone()).into()));
    forged.cosign(&witness, u64::MAX, |message| key.sign(message));
    assert_eq!(forged.cosigned_by(&witness, check_ed25519), Err(LogCheckpointError::Time));

    let mut plain = History::new(7, None).checkpoint(7);
    assert_eq!(plain.take_cosignature(&signed, &witness, check_ed25519), Ok(true));
    assert_eq!(plain, signed);
    let mut longer = History::new(8, None).checkpoint(8);
    assert_eq!(longer.take_cosignature(&signed, &witness, check_ed25519), Ok(false));
}

#[test]
fn a_log_that_grows_is_gone_on_with() {
    let history = History::new(40, None);
    for old in 0..=20 {
        for new in old..=20 {
            let (known, newer) = (history.checkpoint(old), history.checkpoint(new));
            assert_eq!(check_newer(&known, &newer, &mut &history), Ok(()), "{old} to {new}");
        }
    }
    let refused = check_newer(&history.checkpoint(9), &history.checkpoint(8), &mut &history);
    assert_eq!(refused, Err(WitnessError::Older { known: 9, found: 8 }));
}

#[test]
fn two_histories_by_one_key_are_proven_to_be_two() {
    for (old, new, other) in [(7, 7, 3), (7, 12, 6), (8, 12, 0), (8, 8, 7), (1, 40, 0), (33, 40, 32)] {
        let (honest, lying) = (History::new(40, None), History::new(40, Some(other)));
        let (known, newer) = (honest.checkpoint(old), lying.checkpoint(new));
        let Err(WitnessError::Equivocation(evidence)) = check_newer(&known, &newer, &mut &lying) else {
            panic!("{old} to {new}: not noticed")
        };
        assert!(evidence.is_proven());
        assert_eq!(evidence.checkpoints(), [&known, &newer]);
        let words = evidence.to_string();
        for part in [
            origin_of_tests().as_str(),
            "two histories",
            &known.note().to_string(),
            &newer.note().to_string(),
        ] {
            assert!(words.contains(part), "{part} is not in {words}");
        }
        // The nodes of the other history do not lead to the signed root, and nothing is proven by them.
        if new > old {
            assert_eq!(check_newer(&known, &newer, &mut &honest), Err(WitnessError::Tiles));
        }
    }
    // What was changed later than the first one is no contradiction to it.
    let lying = History::new(40, Some(20));
    assert_eq!(
        check_newer(&History::new(40, None).checkpoint(20), &lying.checkpoint(40), &mut &lying),
        Ok(())
    );
    assert_eq!(tree_root(&mut &lying, 40).unwrap(), *lying.checkpoint(40).checkpoint().root());
}

fn origin_of_tests() -> String {
    origin(CampaignId::of_manifest(b"a campaign"), &SigningKey::generate([1; 32]).account())
}

#[test]
fn what_is_no_note_or_key_is_refused() {
    let (text, line) = EXAMPLE.split_once("\n\n").unwrap();
    let many = format!("{text}\n\n{}", line.repeat(33));
    for (note, why) in [
        (String::new(), "nothing"),
        (format!("{text}\n"), "no signature"),
        (format!("{text}\n\n"), "no signature"),
        (format!("{text}\n{line}"), "no blank line"),
        (EXAMPLE.trim_end().to_owned(), "no newline at the end"),
        (EXAMPLE.replace("This", "Th\tis"), "a control character"),
        (EXAMPLE.replace('\u{2014}', "-"), "no dash"),
        (EXAMPLE.replace("/foo Uw", "/f+oo Uw"), "a plus"),
        (EXAMPLE.replace("/foo Uw", "/foo  Uw"), "two spaces"),
        (EXAMPLE.replace("aQM=", "aQN="), "another form of base64"),
        (EXAMPLE.replace("aQM=", "aQM"), "base64 that ends early"),
        (format!("{text}\n\n\u{2014} a Uw2QOg==\n"), "an id without a signature"),
        (many, "33 signatures"),
    ] {
        assert_eq!(Note::from_bytes(note.as_bytes()), Err(NoteError::Malformed), "{why}");
    }
    assert_eq!(Note::from_bytes(&[0xff; 9]), Err(NoteError::Malformed));
    assert_eq!(Note::from_bytes(&[b'a'; MAX_NOTE + 1]), Err(NoteError::Size(MAX_NOTE + 1)));
    for (from, to) in
        [("530d", "530e"), ("530d", "530D"), ("AekyeRrm", "AukyeRrm"), ("U2k", "U2"), ("foo+", "f o+")]
    {
        assert_eq!(
            EXAMPLE_KEY.replacen(from, to, 1).parse::<VerifierKey>(),
            Err(VerifierKeyError),
            "{from} {to}"
        );
    }
}

proptest! {
    #[test]
    fn a_note_is_written_as_it_was_read(bytes in prop::collection::vec(any::<u8>(), 0..80), at in 0_usize..120, by in any::<u8>()) {
        let _refused = Note::from_bytes(&bytes);
        let mut changed = EXAMPLE.as_bytes().to_vec();
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= by;
        }
        if let Ok(note) = Note::from_bytes(&changed) {
            prop_assert_eq!(note.to_string().into_bytes(), changed);
        }
    }
}
