//! What each log names is counted, and nothing goes that any of them needs.

use std::time::Duration;

use lichen_log::{Chain, Record};
use lichen_record::{Entry, SigningKey, verify};
use tempfile::TempDir;

use super::*;
use crate::Blobs;

fn campaign() -> CampaignId {
    CampaignId::of_manifest(b"a campaign")
}

fn log(length: u64) -> Vec<Record> {
    log_of(campaign(), length)
}

fn log_of(campaign: CampaignId, length: u64) -> Vec<Record> {
    let (key, mut chain) = (SigningKey::generate([1; 32]), Chain::new(campaign));
    let joined = |sequence| verify(&key.sign(&Entry::Joined { campaign, sequence }).unwrap()).unwrap();
    (0..length).map(|n| chain.append(1_000 + n, &joined(n)).unwrap().0).collect()
}

fn open(folder: &TempDir) -> Disk {
    Disk::open(&folder.path().join("relay.redb")).unwrap()
}

#[tokio::test]
async fn each_log_has_its_own_names_and_a_blob_stays_while_any_log_names_it() {
    let folder = TempDir::new().unwrap();
    let other = CampaignId::of_manifest(b"another");
    let (shared, own) = (Cid::of_raw(b"shared"), Cid::of_raw(&[7; 5000]));
    {
        let disk = open(&folder);
        disk.put(&shared, b"shared").await.unwrap();
        disk.put(&own, &[7; 5000]).await.unwrap();
        disk.append(campaign(), log(1), vec![shared, own, shared]).await.unwrap();
        disk.append(other, log_of(other, 1), vec![shared]).await.unwrap();
        assert!(disk.is_counted(other).await.unwrap());
    }
    let disk = open(&folder);
    assert_eq!(disk.pins(campaign()), Pins { bytes: 3 * 4096, blobs: 2 });
    assert_eq!(disk.pins(other), Pins { bytes: 4096, blobs: 1 });

    assert_eq!(
        disk.unpin(campaign(), vec![shared, own, shared]).await.unwrap(),
        1,
        "the other log names one"
    );
    assert_eq!(disk.pins(campaign()), Pins::default());
    assert_eq!((disk.usage().leaving, disk.usage().unpinned, disk.usage().pinned_blobs), (8192, 0, 1));
    assert!(disk.has(&own).await.unwrap(), "somebody may be about to name it");
    disk.append(campaign(), log(2)[1..].to_vec(), vec![own]).await.unwrap();
    assert_eq!(
        (disk.sweep(Duration::ZERO).await.unwrap(), disk.has(&own).await.unwrap()),
        (0, true),
        "and did"
    );
    assert_eq!(disk.unpin(campaign(), vec![own]).await.unwrap(), 1);
    assert_eq!(disk.sweep(Duration::from_secs(1)).await.unwrap(), 0, "it has just left");
    assert_eq!(disk.sweep(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(disk.unpin(other, vec![shared]).await.unwrap(), 1);
    drop(disk);
    // Killed between the two: what no row pins is unpinned at the next start.
    let disk = open(&folder);
    assert!(disk.is_unpinned(&shared) && disk.touch(&shared).await.unwrap());
    assert!(!disk.touch(&own).await.unwrap());
    assert_eq!(disk.sweep(Duration::ZERO).await.unwrap(), 1);
}

#[tokio::test]
async fn nothing_goes_while_a_log_of_an_earlier_version_may_name_it() {
    let folder = TempDir::new().unwrap();
    let other = CampaignId::of_manifest(b"another");
    let cid = Cid::of_raw(b"named by both");
    let disk = open(&folder);
    disk.put(&cid, b"named by both").await.unwrap();
    disk.append(campaign(), log(1), vec![cid]).await.unwrap();
    disk.append(other, log_of(other, 1), vec![cid]).await.unwrap();
    disk.forget_counts(other).await.unwrap();
    assert!(!disk.is_counted(other).await.unwrap());
    assert_eq!(disk.unpin(campaign(), vec![cid]).await.unwrap(), 0);
    assert!(!disk.is_unpinned(&cid));
    disk.count(other, vec![cid, Cid::of_raw(b"never pinned")]).await.unwrap();
    disk.count(other, vec![cid]).await.unwrap();
    assert_eq!(disk.pins(other), Pins { bytes: 4096, blobs: 1 });
    assert_eq!(disk.unpin(other, vec![cid]).await.unwrap(), 1);
    assert!(disk.is_unpinned(&cid));
}
