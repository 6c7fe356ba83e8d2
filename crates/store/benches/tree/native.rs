//! The measurements, on a disk as relays have it.

use std::hint::black_box;
use std::time::Instant;

use lichen_log::tree::{
    Edge, RightTiles, TileKind, TileNodes, TilePath, TileSource, check_consistency, check_inclusion,
    consistency_proof, inclusion_proof, leaf_hash,
};
use lichen_log::{
    Chain, Ed25519Key, KeyKind, LogCheckpoint, Record, SignedCheckpoint, VerifierKey, check_ed25519,
};
use lichen_record::{CampaignId, Entry, SigningKey, encode, verify};
use lichen_store::Disk;
use tokio::runtime::Runtime;

const RECORDS: usize = 20_000;

/// What a witness has seen before, in the last figure.
const KNOWN: u64 = 15_000;

pub(crate) fn main() {
    let campaign = CampaignId::of_manifest(b"a campaign");
    let records = records(campaign);
    let leaves: Vec<Vec<u8>> = records.iter().map(|record| encode(record).unwrap()).collect();
    let bytes: usize = leaves.iter().map(Vec::len).sum();
    println!("{RECORDS} records of {} bytes on average", bytes / RECORDS);

    let (mut edge, mut right) = (Edge::default(), RightTiles::default());
    let began = Instant::now();
    for leaf in &leaves {
        let hash = leaf_hash(leaf);
        edge.append(hash);
        right.append(hash, |_level, _index, hashes| {
            black_box(hashes);
        });
    }
    println!(
        "in memory: {:.2} us a record, to hash it and to take it into the tree",
        micros(began) / RECORDS as f64
    );

    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(&folder.path().join("relay.redb")).unwrap();
    for batch in [1, 16, 256] {
        let mut times = Vec::new();
        for _time in 0..20 {
            let from = usize::try_from(runtime.block_on(disk.length(campaign)).unwrap()).unwrap();
            let next = records[from..from + batch].to_vec();
            let began = Instant::now();
            runtime.block_on(disk.append(campaign, next, Vec::new())).unwrap();
            times.push(micros(began) / 1e3);
        }
        println!("on disk: {:.2} ms to append {batch} at once, the tree included", median(times));
    }
    let from = usize::try_from(runtime.block_on(disk.length(campaign)).unwrap()).unwrap();
    runtime.block_on(disk.append(campaign, records[from..].to_vec(), Vec::new())).unwrap();

    let size = RECORDS as u64;
    let time = |work: &dyn Fn()| {
        let each = (0..200).map(|_time| {
            let began = Instant::now();
            work();
            micros(began)
        });
        median(each.collect())
    };
    let root = runtime.block_on(disk.tree_root(campaign, size)).unwrap().unwrap();
    assert_eq!(root, edge.root());
    println!(
        "root: {:.0} us",
        time(&|| {
            black_box(runtime.block_on(disk.tree_root(campaign, size)).unwrap());
        })
    );
    for path in ["tile/0/010", "tile/entries/010"] {
        let path: TilePath = path.parse().unwrap();
        let read = || runtime.block_on(disk.tile(campaign, path)).unwrap().unwrap();
        println!("{path}: {:.0} us, {} bytes", time(&|| drop(read())), read().len());
    }

    let tiles = || Tiles { disk: &disk, campaign, runtime: &runtime, fetched: 0, bytes: 0 };
    let inclusion = || inclusion_proof(&mut TileNodes::new(&mut tiles(), size), 12_345, size).unwrap();
    let consistency = || consistency_proof(&mut TileNodes::new(&mut tiles(), size), KNOWN, size).unwrap();
    let known = runtime.block_on(disk.tree_root(campaign, KNOWN)).unwrap().unwrap();
    let (included, consistent) = (inclusion(), consistency());
    let check = || check_inclusion(&leaf_hash(&leaves[12_345]), 12_345, size, &included, &root).unwrap();
    let check_both = || check_consistency((KNOWN, &known), (size, &root), &consistent).unwrap();
    for (name, proof, make, check) in [
        ("inclusion", &included, &(|| drop(inclusion())) as &dyn Fn(), &check as &dyn Fn()),
        ("consistency", &consistent, &|| drop(consistency()), &check_both),
    ] {
        println!(
            "{name}: {:.0} us to make from the tiles, {:.1} us to check, {} bytes",
            time(make),
            time(check),
            size_of_val(proof.as_slice())
        );
    }
    let mut fetching = tiles();
    consistency_proof(&mut TileNodes::new(&mut fetching, size), KNOWN, size).unwrap();
    let Tiles { fetched, bytes, .. } = fetching;
    println!("a witness that has seen {KNOWN} records fetches {fetched} tiles, {bytes} bytes");

    let key = Ed25519Key::from_seed(&[7; 32]).unwrap();
    let verifier = VerifierKey::new("lichen/log", KeyKind::Note, key.public()).unwrap();
    let sign = || {
        SignedCheckpoint::sign(LogCheckpoint::new(&verifier, size, root), &verifier, |text| key.sign(text))
            .to_bytes()
    };
    let note = sign();
    let open = || SignedCheckpoint::open(&note, &verifier, check_ed25519).unwrap();
    println!(
        "checkpoint: {:.0} us to sign, {:.0} us to check",
        time(&|| drop(sign())),
        time(&|| drop(open()))
    );
}

/// A log of entries by one account.
fn records(campaign: CampaignId) -> Vec<Record> {
    let (key, mut chain) = (SigningKey::generate([1; 32]), Chain::new(campaign));
    let entry = |sequence| verify(&key.sign(&Entry::Joined { campaign, sequence }).unwrap()).unwrap();
    (1..=RECORDS as u64).map(|number| chain.append(number, &entry(number)).unwrap().0).collect()
}

struct Tiles<'a> {
    disk: &'a Disk,
    campaign: CampaignId,
    runtime: &'a Runtime,
    fetched: usize,
    bytes: usize,
}

impl TileSource for &mut Tiles<'_> {
    type Error = lichen_store::StoreError;

    fn tile(&mut self, path: &TilePath) -> Result<Vec<u8>, Self::Error> {
        assert!(path.kind() != TileKind::Entries);
        let tile = self.runtime.block_on(self.disk.tile(self.campaign, *path))?.unwrap();
        self.fetched += 1;
        self.bytes += tile.len();
        Ok(tile)
    }
}

fn micros(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}
