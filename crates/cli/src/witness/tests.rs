//! A witness follows an honest log, and neither signs nor forgets one that lies.

use std::collections::BTreeMap;
use std::fs;

use lichen_log::tree::{Edge, Hash, RightTiles, TileKind, leaf_hash};
use lichen_log::{Ed25519Key, LogCheckpoint};
use lichen_record::SigningKey;
use tempfile::TempDir;

use super::*;
use crate::tree_source::Shown;

/// A relay in memory, which shows whatever history it likes by the key that it has.
#[derive(Clone)]
struct Log {
    coordinator: SigningKey,
    key: u8,
    tiles: BTreeMap<(u8, u64), Vec<Hash>>,
    right: RightTiles,
    edge: Edge,
    /// The newest checkpoint, as it was signed last.
    note: Option<Vec<u8>>,
    /// What witnesses have handed in.
    taken: Vec<Vec<u8>>,
}

impl Log {
    fn new() -> Self {
        let (coordinator, tiles) = (SigningKey::generate([1; 32]), BTreeMap::new());
        let (right, edge) = (RightTiles::default(), Edge::default());
        Self { coordinator, key: 2, tiles, right, edge, note: None, taken: Vec::new() }
    }

    /// A history of these records.
    fn of(records: &[&str]) -> Self {
        let mut log = Self::new();
        records.iter().for_each(|record| log.append(record));
        log
    }

    fn append(&mut self, record: &str) {
        let leaf = leaf_hash(record.as_bytes());
        self.edge.append(leaf);
        let Self { right, tiles, .. } = self;
        right.append(leaf, |level, index, hashes| {
            tiles.insert((level, index), hashes.to_vec());
        });
        for (level, index, hashes) in right.partial() {
            tiles.insert((level, index), hashes.to_vec());
        }
        self.note = None;
    }

    fn signing(&self) -> (Ed25519Key, VerifierKey) {
        let key = Ed25519Key::from_seed(&[self.key; 32]).unwrap();
        let certificate = self.certificate(&key);
        (key, LogKey::verifier(&verify(&certificate).unwrap()).unwrap())
    }

    fn certificate(&self, key: &Ed25519Key) -> Vec<u8> {
        let message = LogKey { campaign: CampaignId::of_manifest(b"a campaign"), key: key.public() };
        self.coordinator.sign(&message).unwrap()
    }

    fn name(&self) -> String {
        self.signing().1.name().to_owned()
    }
}

impl Shown for Log {
    fn log_key(&mut self) -> Result<Vec<u8>, SourceError> {
        Ok(self.certificate(&Ed25519Key::from_seed(&[self.key; 32]).unwrap()))
    }

    fn log_checkpoint(&mut self) -> Result<Vec<u8>, SourceError> {
        let (key, verifier) = self.signing();
        let checkpoint = LogCheckpoint::new(&verifier, self.edge.size(), self.edge.root());
        let sign = || SignedCheckpoint::sign(checkpoint, &verifier, |text| key.sign(text)).to_bytes();
        Ok(self.note.get_or_insert_with(sign).clone())
    }

    fn witnessed_checkpoint(&mut self) -> Result<Vec<u8>, SourceError> {
        Err(SourceError::NotFound)
    }
}

impl TreeSource for Log {
    fn tile(&mut self, path: &TilePath) -> Result<Vec<u8>, SourceError> {
        let TileKind::Hashes(level) = path.kind() else { return Err(SourceError::NotFound) };
        let tile = self.tiles.get(&(level, path.index())).ok_or(SourceError::NotFound)?;
        Ok(tile.get(..path.width()).ok_or(SourceError::NotFound)?.concat())
    }

    fn cosign(&mut self, note: &[u8]) -> Result<(), SourceError> {
        self.taken.push(note.to_vec());
        self.note = Some(note.to_vec());
        Ok(())
    }
}

fn open(folder: &TempDir) -> Witness {
    Witness { state: State::open(folder.path(), "witness.example/w1").unwrap(), logs: Vec::new() }
}

/// The last checkpoint on disk.
fn kept(witness: &Witness, log: &Log) -> Option<SignedCheckpoint> {
    witness.state.known(&log.name()).unwrap().map(|(_key, checkpoint)| checkpoint)
}

#[test]
fn an_honest_log_is_signed_as_it_grows_and_across_starts() {
    let folder = TempDir::new().unwrap();
    let mut log = Log::of(&["a"]);
    let mut time = 100;
    for size in 1..=20 {
        let mut witness = open(&folder);
        time += 1;
        assert_eq!(witness.look(&mut log, time).unwrap(), Seen::Signed(size));
        assert_eq!(witness.look(&mut log, time).unwrap(), Seen::Known(size));
        let signed =
            SignedCheckpoint::open(log.taken.last().unwrap(), &log.signing().1, check_ed25519).unwrap();
        assert_eq!(signed.cosigned_by(witness.state.verifier(), check_ed25519), Ok(Some(time)));
        assert_eq!(kept(&witness, &log), Some(signed));
        log.append(&size.to_string());
    }
}

/// An honest log of so many records, which begin in the same way whatever their number.
fn grown(size: u64) -> Log {
    let mut log = Log::of(&["a"]);
    (1..size).for_each(|number| log.append(&number.to_string()));
    log
}

#[test]
fn a_log_may_grow_by_any_number_of_records() {
    let folder = TempDir::new().unwrap();
    let mut witness = open(&folder);
    for size in [1, 2, 7, 8, 255, 256, 257, 511, 600, 1024] {
        assert_eq!(witness.look(&mut grown(size), size).unwrap(), Seen::Signed(size));
    }
}

#[test]
fn a_relay_that_lags_is_not_signed_and_nothing_is_forgotten() {
    let folder = TempDir::new().unwrap();
    let mut witness = open(&folder);
    witness.look(&mut grown(9), 5).unwrap();
    let mut behind = grown(7);
    assert_eq!(witness.look(&mut behind, 6).unwrap(), Seen::Behind { known: 9, found: 7 });
    assert!(behind.taken.is_empty());
    assert_eq!(kept(&witness, &behind).unwrap().checkpoint().size(), 9);
    // A relay that has lost the signature gets it again.
    assert_eq!(witness.look(&mut grown(9), 7).unwrap(), Seen::Signed(9));
}

#[test]
fn a_relay_with_two_histories_is_refused_and_named() {
    for (first, second) in [
        (Log::of(&["a", "b", "c"]), Log::of(&["a", "x", "c"])),
        (Log::of(&["a", "b", "c"]), Log::of(&["a", "b", "x", "d", "e"])),
        (Log::of(&["a", "b"]), Log::of(&["x", "b", "c", "d"])),
        (grown(300), grown(299).also("x").also("y")),
    ] {
        let folder = TempDir::new().unwrap();
        let mut witness = open(&folder);
        let (mut honest, mut lying) = (first, second);
        witness.look(&mut honest, 5).unwrap();
        let before = kept(&witness, &honest);
        let outcome = witness.look(&mut lying, 6);
        let Err(fault @ WitnessFault::Equivocation(_)) = outcome else { panic!("not noticed") };
        assert!(lying.taken.is_empty(), "nothing is signed");
        assert_eq!(kept(&witness, &honest), before, "nothing is forgotten");
        let words = fault.to_string();
        let evidence = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        let evidence =
            evidence.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "evidence"));
        let evidence = fs::read_to_string(evidence.unwrap()).unwrap();
        let (_key, proof) = evidence.split_once("\n\n").unwrap();
        assert_eq!(proof, format!("{words}\n"));
        assert!(evidence.starts_with(&format!("{}\n", honest.signing().1)));
        for log in [&mut honest, &mut lying] {
            let note = String::from_utf8(log.log_checkpoint().unwrap()).unwrap();
            assert!(words.contains(&note) && words.contains(&log.name()), "{note} is not in {words}");
        }
        let error = anyhow::Error::from(fault).context("http://relay");
        assert!(crate::is_equivocation(&error) && !is_passing(&error));
    }
}

impl Log {
    fn also(mut self, record: &str) -> Self {
        self.append(record);
        self
    }
}

#[test]
fn tiles_that_are_not_the_signed_trees_prove_nothing_and_are_not_signed() {
    let folder = TempDir::new().unwrap();
    let mut witness = open(&folder);
    witness.look(&mut grown(5), 5).unwrap();
    let mut broken = grown(9);
    broken.tiles.get_mut(&(0, 0)).unwrap()[2][0] ^= 1;
    let outcome = witness.look(&mut broken, 6);
    assert!(matches!(outcome, Err(WitnessFault::Tree(_))), "{outcome:?}");
    broken.tiles.clear();
    let outcome = witness.look(&mut broken, 6);
    assert!(matches!(outcome, Err(WitnessFault::Tree(_))), "{outcome:?}");
    assert!(broken.taken.is_empty());
    assert_eq!(kept(&witness, &broken).unwrap().checkpoint().size(), 5);
}

#[test]
fn a_log_keeps_its_key_and_only_the_logs_named_are_signed() {
    let folder = TempDir::new().unwrap();
    let mut witness = open(&folder);
    witness.look(&mut grown(5), 5).unwrap();
    let mut other = grown(6);
    other.key = 9;
    assert!(matches!(witness.look(&mut other, 6), Err(WitnessFault::OtherKey(..))));
    witness.logs = vec![grown(1).signing().1];
    assert!(matches!(witness.look(&mut other, 6), Err(WitnessFault::Stranger(_))));
    assert_eq!(witness.look(&mut grown(6), 6).unwrap(), Seen::Signed(6));
}

#[test]
fn one_witness_at_a_time_uses_a_folder_and_nobody_else_reads_its_key() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let witness = open(&folder);
    let key = witness.state.verifier().clone();
    assert!(State::open(folder.path(), "witness.example/w1").is_err());
    drop(witness);
    let path = folder.path().join("witness.key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(open(&folder).state.verifier(), &key);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(State::open(folder.path(), "witness.example/w1").is_err());
}

#[test]
fn a_damaged_memory_is_not_taken_for_none() {
    let folder = TempDir::new().unwrap();
    let mut witness = open(&folder);
    let mut log = grown(5);
    witness.look(&mut log, 5).unwrap();
    let path = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
    let path =
        path.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "checkpoint")).unwrap();
    let whole = fs::read(&path).unwrap();
    for cut in [0, 10, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(matches!(witness.look(&mut log, 6), Err(WitnessFault::State(_))), "{cut}");
    }
}
