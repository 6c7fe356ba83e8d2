use std::fs;

use lichen_log::Chain;
use lichen_record::{Entry, SigningKey, Verified, verify};
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
    crate::suite::run(async || {
        // The folder is unlinked while the file is open, and the file goes with the store.
        open(&TempDir::new().unwrap())
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
    let disk = open(&TempDir::new().unwrap());
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
async fn only_loose_blobs_are_swept() {
    let disk = open(&TempDir::new().unwrap());
    let (kept, loose) = (Cid::of_raw(b"kept"), Cid::of_raw(b"loose"));
    disk.put(&kept, b"kept").await.unwrap();
    disk.put(&loose, b"loose").await.unwrap();
    disk.append(campaign(), log(1), vec![kept]).await.unwrap();
    disk.put(&kept, b"kept").await.unwrap();

    assert_eq!(disk.sweep(Duration::from_secs(3600)).await.unwrap(), 0);
    let before = now() + 1;
    assert_eq!(disk.blocking(move |database| sweep(database, before)).await.unwrap(), 1);
    assert!(disk.has(&kept).await.unwrap());
    assert!(!disk.has(&loose).await.unwrap());
}

#[tokio::test]
async fn a_flipped_byte_in_a_record_is_found_on_reading() {
    let disk = open(&TempDir::new().unwrap());
    disk.append(campaign(), log(3), vec![]).await.unwrap();
    disk.blocking(|database| {
        let transaction = database.begin_write().map_err(medium)?;
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
    let (mut named_blob, mut named_record) = (0, 0);
    for at in (0..whole.len()).step_by(509) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&damaged_path, &damaged).unwrap();
        let disk = match Disk::open(&damaged_path) {
            Ok(disk) => disk,
            Err(error) => {
                named_blob += u32::from(matches!(error, StoreError::Damaged { cid: named } if named == cid));
                named_record += u32::from(matches!(error, StoreError::DamagedRecord { .. }));
                continue;
            }
        };
        let read = disk.records(campaign(), 0, 100).await.unwrap();
        let bytes = disk.get(&cid).await.unwrap().unwrap();
        // A byte that no one reads may be flipped; what is read is never other than what was written.
        assert_eq!(read, records, "byte {at}");
        assert_eq!(bytes, blob, "byte {at}");
    }
    assert!(named_blob > 0 && named_record > 0, "{named_blob} blobs, {named_record} records named");
}
