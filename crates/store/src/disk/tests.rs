//! What is acknowledged survives a restart, and damage is noticed.

use std::fs;
use std::sync::Mutex;
use std::time::SystemTime;

use lichen_log::Chain;
use lichen_log::tree::{Edge, check_inclusion, leaf_hash, unbundle};
use lichen_record::{Entry, MAX_BLOB, SigningKey, Verified, encode, verify};
use tempfile::TempDir;

use super::*;

fn campaign() -> CampaignId {
    CampaignId::of_manifest(b"a campaign")
}

fn joined(sequence: u64) -> Verified<Entry> {
    let key = SigningKey::generate([1; 32]);
    let entry = Entry::Joined { campaign: campaign(), sequence };
    verify(&key.sign(&entry).unwrap()).unwrap()
}

fn log(length: u64) -> Vec<Record> {
    let mut chain = Chain::new(campaign());
    (0..length).map(|n| chain.append(1_000 + n, &joined(n)).unwrap().0).collect()
}

fn open(folder: &TempDir) -> Disk {
    Disk::open(&folder.path().join("relay.redb")).unwrap()
}

#[tokio::test]
async fn keeps_the_promises_of_a_store() {
    let folders = Mutex::new(Vec::new());
    crate::suite::run(async || {
        let folder = TempDir::new().unwrap();
        let disk = open(&folder);
        folders.lock().unwrap().push(folder);
        disk
    })
    .await;
}

#[tokio::test]
async fn a_log_is_read_back_in_order_and_survives_reopening() {
    let folder = TempDir::new().unwrap();
    let written = log(10);
    {
        let disk = open(&folder);
        assert_eq!(disk.length(campaign()).await.unwrap(), 0);
        disk.append(campaign(), written[..4].to_vec(), vec![]).await.unwrap();
        disk.append(campaign(), written[4..].to_vec(), vec![]).await.unwrap();
    }
    let disk = open(&folder);
    assert_eq!(disk.length(campaign()).await.unwrap(), 10);
    assert_eq!(disk.records(campaign(), 0, 100).await.unwrap(), written);
    assert_eq!(disk.records(campaign(), 3, 2).await.unwrap(), written[3..5]);
    assert_eq!(disk.records(campaign(), 10, 2).await.unwrap(), []);
    let other = CampaignId::of_manifest(b"another");
    assert_eq!(disk.length(other).await.unwrap(), 0);
    assert_eq!(disk.records(other, 0, 100).await.unwrap(), []);
}

#[tokio::test]
async fn the_last_signed_head_is_kept_for_each_log() {
    let folder = TempDir::new().unwrap();
    let other = CampaignId::of_manifest(b"another");
    {
        let disk = open(&folder);
        assert_eq!(disk.head(campaign()).await.unwrap(), None);
        disk.keep_head(campaign(), vec![1]).await.unwrap();
        disk.keep_head(campaign(), vec![2, 3]).await.unwrap();
        disk.keep_head(other, vec![4]).await.unwrap();
    }
    let disk = open(&folder);
    assert_eq!(disk.head(campaign()).await.unwrap(), Some(vec![2, 3]));
    assert_eq!(disk.head(other).await.unwrap(), Some(vec![4]));
}

#[tokio::test]
async fn an_append_is_whole_or_nothing() {
    let folder = TempDir::new().unwrap();
    let disk = open(&folder);
    let records = log(4);
    disk.append(campaign(), records[..1].to_vec(), vec![]).await.unwrap();

    let gap = disk.append(campaign(), vec![records[1].clone(), records[3].clone()], vec![]).await;
    assert!(matches!(gap, Err(StoreError::NotNext { expected: 2, found: 3 })), "{gap:?}");
    let again = disk.append(campaign(), records[..1].to_vec(), vec![]).await;
    assert!(matches!(again, Err(StoreError::NotNext { expected: 1, found: 0 })), "{again:?}");
    let unheld = Cid::of_raw(b"never stored");
    let missing = disk.append(campaign(), records[1..].to_vec(), vec![unheld]).await;
    assert!(matches!(missing, Err(StoreError::Missing { cid }) if cid == unheld), "{missing:?}");

    assert_eq!(disk.length(campaign()).await.unwrap(), 1);
}

#[tokio::test]
async fn only_unpinned_blobs_are_swept() {
    let folder = TempDir::new().unwrap();
    let disk = open(&folder);
    let (pinned, unpinned) = (Cid::of_raw(b"pinned"), Cid::of_raw(b"unpinned"));
    disk.put(&pinned, b"pinned").await.unwrap();
    disk.put(&unpinned, b"unpinned").await.unwrap();
    disk.append(campaign(), log(1), vec![pinned]).await.unwrap();
    disk.put(&pinned, b"pinned").await.unwrap();

    assert_eq!(disk.sweep(Duration::from_secs(3600)).await.unwrap(), 0);
    assert_eq!(disk.sweep(Duration::ZERO).await.unwrap(), 1);
    assert!(disk.has(&pinned).await.unwrap());
    assert!(!disk.has(&unpinned).await.unwrap());
    assert_eq!(disk.sweep(Duration::ZERO).await.unwrap(), 0);
    disk.put(&unpinned, b"unpinned").await.unwrap();
    assert!(disk.is_unpinned(&unpinned) && !disk.is_unpinned(&pinned));
    assert!(disk.drop_unpinned(&unpinned).await.unwrap() && !disk.drop_unpinned(&pinned).await.unwrap());
    assert!(!disk.drop_unpinned(&unpinned).await.unwrap() && disk.has(&pinned).await.unwrap());
}

#[tokio::test]
async fn one_unpinned_blob_is_dropped_and_a_pinned_one_is_not() {
    let folder = TempDir::new().unwrap();
    let disk = open(&folder);
    let (pinned, unpinned) = (Cid::of_raw(b"pinned"), Cid::of_raw(b"unpinned"));
    disk.put(&pinned, b"pinned").await.unwrap();
    disk.put(&unpinned, b"unpinned").await.unwrap();
    assert!(disk.is_unpinned(&pinned) && disk.is_unpinned(&unpinned));
    disk.append(campaign(), log(1), vec![pinned]).await.unwrap();
    assert!(!disk.is_unpinned(&pinned) && !disk.drop_unpinned(&pinned).await.unwrap());
    assert!(disk.drop_unpinned(&unpinned).await.unwrap() && !disk.drop_unpinned(&unpinned).await.unwrap());
    assert!(disk.has(&pinned).await.unwrap() && !disk.has(&unpinned).await.unwrap());
}

#[tokio::test]
async fn an_unpinned_blob_is_unpinned_again_after_a_start_and_a_pinned_one_pinned() {
    let folder = TempDir::new().unwrap();
    let (pinned, unpinned, both) = (Cid::of_raw(b"pinned"), Cid::of_raw(b"unpinned"), Cid::of_raw(b"both"));
    {
        let disk = open(&folder);
        disk.put(&pinned, b"pinned").await.unwrap();
        disk.put(&unpinned, b"unpinned").await.unwrap();
        disk.append(campaign(), log(1), vec![pinned]).await.unwrap();
        // An append that fails pins nothing.
        disk.put(&both, b"both").await.unwrap();
        let missing = Cid::of_raw(b"missing");
        disk.append(campaign(), log(2)[1..].to_vec(), vec![both, missing]).await.unwrap_err();
    }
    fs::write(folder.path().join("blobs/new/7"), b"half of a bl").unwrap();
    let disk = open(&folder);
    let usage = disk.usage();
    assert_eq!((usage.pinned_blobs, usage.unpinned_blobs, usage.incoming), (1, 2, 0));
    assert_eq!((usage.pinned, usage.unpinned), (4096, 8192), "whole blocks");
    assert_eq!(fs::read_dir(folder.path().join("blobs/new")).unwrap().count(), 0, "half a blob is none");
    assert_eq!(disk.sweep(Duration::from_secs(3600)).await.unwrap(), 0);
    let file = fs::File::open(folder.path().join(format!("blobs/{unpinned}"))).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    drop(disk);
    let disk = open(&folder);
    assert_eq!(disk.sweep(Duration::from_secs(3600)).await.unwrap(), 1, "its age is that of its file");
    assert!(disk.has(&pinned).await.unwrap() && disk.has(&both).await.unwrap());
}

#[tokio::test]
async fn a_blob_is_written_and_read_in_parts() {
    let folder = TempDir::new().unwrap();
    let disk = open(&folder);
    let bytes: Vec<u8> = (0..5 * PART / 2).map(|at| at.to_le_bytes()[0]).collect();
    let mut writer = disk.write();
    for part in bytes.chunks(10_000) {
        writer.add(part.to_vec()).await.unwrap();
    }
    assert_eq!(disk.usage().incoming, bytes.len() as u64);
    let cid = writer.finish().await.unwrap();
    assert_eq!(cid, Cid::of_raw(&bytes));
    assert_eq!((disk.usage().incoming, disk.usage().unpinned_blobs), (0, 1));
    let mut reader = disk.read(&cid).await.unwrap().unwrap();
    assert_eq!(reader.length(), bytes.len() as u64);
    let mut read = Vec::new();
    while let Some(part) = reader.next().await.unwrap() {
        assert!(part.len() <= PART);
        read.extend(part);
    }
    assert!(read == bytes);
    assert_eq!(disk.write().finish().await.unwrap(), Cid::of_raw(b""));
}

#[tokio::test]
async fn a_blob_that_is_not_finished_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let disk = open(&folder);
    let mut writer = disk.write();
    writer.add(vec![1; 100]).await.unwrap();
    drop(writer);
    let mut writer = disk.write();
    for _ in 0..MAX_BLOB / PART {
        writer.add(vec![1; PART]).await.unwrap();
    }
    let refused = writer.add(vec![1]).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { size }) if size == MAX_BLOB + 1), "{refused:?}");
    drop(writer);
    assert_eq!(fs::read_dir(folder.path().join("blobs/new")).unwrap().count(), 0);
    assert_eq!(disk.usage(), Usage::default());
}

#[tokio::test]
async fn deleted_blobs_give_their_space_back() {
    let folder = TempDir::new().unwrap();
    let disk = open(&folder);
    let log_file = || fs::metadata(folder.path().join("relay.redb")).unwrap().len();
    let before = log_file();
    for seed in 0..20_u8 {
        let bytes = vec![seed; 1024 * 1024];
        disk.put(&Cid::of_raw(&bytes), &bytes).await.unwrap();
    }
    assert_eq!(disk.usage().unpinned, 20 * 1024 * 1024);
    assert_eq!(disk.sweep(Duration::ZERO).await.unwrap(), 20);
    assert_eq!(disk.usage(), Usage::default());
    assert_eq!(log_file(), before, "what is unpinned is no matter of the log's file");
    // Nothing but the folder of unfinished ones is left.
    assert_eq!(fs::read_dir(folder.path().join("blobs")).unwrap().count(), 1);
}

#[tokio::test]
async fn damage_to_a_pinned_blob_is_found_and_mended_by_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let bytes = b"an update".repeat(20_000);
    let cid = Cid::of_raw(&bytes);
    let file = folder.path().join(format!("blobs/{cid}"));
    {
        let disk = open(&folder);
        disk.put(&cid, &bytes).await.unwrap();
        disk.append(campaign(), log(1), vec![cid]).await.unwrap();
        let mut damaged = bytes.clone();
        damaged[100_000] ^= 1;
        fs::write(&file, &damaged).unwrap();
        let read = disk.get(&cid).await;
        assert!(matches!(read, Err(StoreError::Damaged { cid: named }) if named == cid), "{read:?}");
        disk.put(&cid, &bytes).await.unwrap();
        assert_eq!(disk.get(&cid).await.unwrap(), Some(bytes.clone()));
        assert_eq!((disk.usage().pinned_blobs, disk.usage().unpinned_blobs), (1, 0));
        fs::write(&file, &bytes[1..]).unwrap();
    }
    let path = folder.path().join("relay.redb");
    let shorter = Disk::open(&path).err();
    assert!(matches!(shorter, Some(StoreError::Damaged { cid: named }) if named == cid), "{shorter:?}");
    fs::remove_file(&file).unwrap();
    let gone = Disk::open(&path).err();
    assert!(matches!(gone, Some(StoreError::Damaged { cid: named }) if named == cid), "{gone:?}");
}

/// A file as the version before this one left it.
fn old_file(path: &Path, pinned: &[&[u8]], unpinned: &[(&[u8], u64)], records: &[Record]) {
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut blobs = transaction.open_table(migrate::BLOBS).unwrap();
        let mut times = transaction.open_table(migrate::LOOSE).unwrap();
        transaction.open_table(HEADS).unwrap();
        for bytes in pinned.iter().copied().chain(unpinned.iter().map(|(bytes, _came)| *bytes)) {
            blobs.insert(&Cid::of_raw(bytes).to_bytes(), bytes).unwrap();
        }
        for (bytes, came) in unpinned {
            times.insert(&Cid::of_raw(bytes).to_bytes(), *came).unwrap();
        }
        log::append_records(&transaction, campaign(), records).unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_file_of_an_earlier_version_is_taken_over_whole() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("relay.redb");
    let (pinned, recent, old) = (vec![1; 3_000_000], vec![2; 1_000], vec![3; 1_000]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    old_file(&path, &[&pinned, b"manifest"], &[(&recent, u64::try_from(now).unwrap()), (&old, 1)], &log(5));
    let before = fs::metadata(&path).unwrap().len();

    // One that broke off after some blobs begins again.
    let cid = Cid::of_raw(&pinned);
    fs::create_dir(folder.path().join("blobs")).unwrap();
    fs::write(folder.path().join(format!("blobs/{cid}")), &pinned[..1_000]).unwrap();
    for _again in 0..2 {
        let disk = open(&folder);
        assert_eq!(disk.records(campaign(), 0, 100).await.unwrap(), log(5));
        assert_eq!(disk.get(&cid).await.unwrap().as_ref(), Some(&pinned));
        assert_eq!(disk.get(&Cid::of_raw(b"manifest")).await.unwrap(), Some(b"manifest".to_vec()));
        assert_eq!(disk.get(&Cid::of_raw(&recent)).await.unwrap().as_ref(), Some(&recent));
        assert_eq!((disk.usage().pinned_blobs, disk.usage().unpinned_blobs), (2, 2));
    }
    let after = fs::metadata(&path).unwrap().len();
    assert!(after < before / 4, "{after} of {before} bytes");
    let disk = open(&folder);
    assert_eq!(disk.sweep(Duration::from_secs(3600)).await.unwrap(), 1, "the old one is still as old");
    assert!(!disk.has(&Cid::of_raw(&old)).await.unwrap());
}

#[tokio::test]
async fn a_flipped_byte_in_a_record_is_found_on_reading() {
    let folder = TempDir::new().unwrap();
    let disk = open(&folder);
    disk.append(campaign(), log(3), vec![]).await.unwrap();
    disk.blocking(|shared| {
        let transaction = shared.database.begin_write()?;
        {
            let mut table = transaction.open_table(RECORDS).map_err(medium)?;
            let key = campaign().0.to_bytes();
            let (mut bytes, check) = {
                let value = table.get((&key, 1)).map_err(medium)?.unwrap();
                (value.value().0.to_vec(), *value.value().1)
            };
            bytes[100] ^= 1;
            table.insert((&key, 1), (&bytes[..], &check)).map_err(medium)?;
        }
        transaction.commit().map_err(medium)
    })
    .await
    .unwrap();
    let read = disk.records(campaign(), 0, 10).await;
    assert!(matches!(read, Err(StoreError::DamagedRecord { index: 1, .. })), "{read:?}");
}

#[tokio::test]
async fn no_flipped_byte_of_the_file_goes_unseen() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("relay.redb");
    let records = log(20);
    let blob = b"an update".repeat(500);
    let cid = Cid::of_raw(&blob);
    {
        let disk = open(&folder);
        disk.put(&cid, &blob).await.unwrap();
        disk.append(campaign(), records.clone(), vec![cid]).await.unwrap();
    }
    let whole = fs::read(&path).unwrap();
    let damaged_path = folder.path().join("damaged.redb");
    let (mut named_record, mut refused) = (0, 0);
    for at in (0..whole.len()).step_by(509) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&damaged_path, &damaged).unwrap();
        let disk = match Disk::open(&damaged_path) {
            Ok(disk) => disk,
            Err(error) => {
                refused += 1;
                named_record += u32::from(matches!(error, StoreError::DamagedRecord { .. }));
                continue;
            }
        };
        let read = disk.records(campaign(), 0, 100).await.unwrap();
        let bytes = disk.get(&cid).await.unwrap().unwrap();
        // A byte that no one reads may be flipped; what is read is never other than what was written.
        assert_eq!(read, records, "byte {at}");
        assert_eq!(bytes, blob, "byte {at}");
        assert_eq!(disk.usage().pinned_blobs, 1, "byte {at}");
    }
    assert!(named_record > 0 && refused > named_record, "{named_record} records of {refused} named");
    let file = folder.path().join(format!("blobs/{cid}"));
    for at in (0..blob.len()).step_by(509) {
        let mut damaged = blob.clone();
        damaged[at] ^= 0x10;
        fs::write(&file, &damaged).unwrap();
        let read = open(&folder).get(&cid).await;
        assert!(
            matches!(read, Err(StoreError::Damaged { cid: named }) if named == cid),
            "byte {at}: {read:?}"
        );
    }
}

/// The root over the records, as the replica of a log computes it.
fn root(records: &[Record]) -> Hash {
    let mut edge = Edge::default();
    records.iter().for_each(|record| edge.append(leaf_hash(&encode(record).unwrap())));
    edge.root()
}

#[tokio::test]
async fn the_tree_grows_with_the_log_and_survives_reopening() {
    let folder = TempDir::new().unwrap();
    let written = log(600);
    {
        let disk = open(&folder);
        assert_eq!(disk.tree_root(campaign(), 1).await.unwrap(), None);
        disk.append(campaign(), written[..300].to_vec(), vec![]).await.unwrap();
        disk.append(campaign(), written[300..301].to_vec(), vec![]).await.unwrap();
    }
    let disk = open(&folder);
    disk.append(campaign(), written[301..].to_vec(), vec![]).await.unwrap();
    for size in [1, 255, 256, 257, 300, 512, 513, 600] {
        let found = disk.tree_root(campaign(), size as u64).await.unwrap();
        assert_eq!(found, Some(root(&written[..size])), "{size}");
    }
    assert_eq!(disk.tree_root(campaign(), 601).await.unwrap(), None);
    for (index, size) in [(0, 1), (0, 600), (299, 300), (255, 257), (512, 513), (599, 600)] {
        let proof = disk.inclusion(campaign(), index, size).await.unwrap().unwrap();
        let leaf = leaf_hash(&encode(&written[usize::try_from(index).unwrap()]).unwrap());
        let root = root(&written[..usize::try_from(size).unwrap()]);
        check_inclusion(&leaf, index, size, &proof, &root).unwrap();
    }
    for (index, size) in [(0, 601), (300, 300), (0, 0)] {
        assert_eq!(disk.inclusion(campaign(), index, size).await.unwrap(), None);
    }
    let tile = async |path: &str| disk.tile(campaign(), path.parse().unwrap()).await.unwrap();
    for (path, length) in [
        ("tile/0/000", Some(256 * 32)),
        ("tile/0/002.p/88", Some(88 * 32)),
        ("tile/0/000.p/7", Some(7 * 32)),
        ("tile/1/000.p/2", Some(64)),
        ("tile/0/002", None),
        ("tile/0/002.p/89", None),
        ("tile/1/000.p/3", None),
        ("tile/2/000.p/1", None),
        ("tile/entries/003.p/1", None),
    ] {
        assert_eq!(tile(path).await.map(|tile| tile.len()), length, "{path}");
    }
    for (path, records) in
        [("tile/entries/001", &written[256..512]), ("tile/entries/002.p/88", &written[512..])]
    {
        let bundle = tile(path).await.unwrap();
        let entries = unbundle(&bundle, records.len()).unwrap();
        let expected: Vec<Vec<u8>> = records.iter().map(|record| encode(record).unwrap()).collect();
        assert_eq!(entries, expected);
    }
    let other = CampaignId::of_manifest(b"another");
    assert_eq!(disk.tile(other, "tile/0/000".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn a_log_from_before_there_were_trees_gets_one() {
    let folder = TempDir::new().unwrap();
    let written = log(300);
    {
        let disk = open(&folder);
        let transaction = disk.shared.database.begin_write().unwrap();
        log::append_records(&transaction, campaign(), &written[..299]).unwrap();
        transaction.commit().unwrap();
        assert_eq!(disk.tree_root(campaign(), 299).await.unwrap(), None);
        disk.grow_tree(campaign()).await.unwrap();
        assert_eq!(disk.tree_root(campaign(), 299).await.unwrap(), Some(root(&written[..299])));
    }
    let folder = TempDir::new().unwrap();
    let disk = open(&folder);
    let transaction = disk.shared.database.begin_write().unwrap();
    log::append_records(&transaction, campaign(), &written[..299]).unwrap();
    transaction.commit().unwrap();
    disk.append(campaign(), written[299..].to_vec(), vec![]).await.unwrap();
    assert_eq!(disk.tree_root(campaign(), 300).await.unwrap(), Some(root(&written)));
}

#[tokio::test]
async fn what_is_closed_stays_closed_and_can_be_opened_again_beside_whoever_still_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.redb");
    let disk = Disk::open(&path).unwrap();
    let still_had = disk.clone();
    disk.close().await.unwrap();
    let campaign = CampaignId::of_manifest(b"a campaign");
    for _again in 0..2 {
        assert!(still_had.length(campaign).await.is_err());
    }
    let again = Disk::open(&path).unwrap();
    assert_eq!(again.length(campaign).await.unwrap(), 0);
    assert!(still_had.length(campaign).await.is_err());
}
