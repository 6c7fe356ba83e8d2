//! Blobs that no entry names: so many of each account, of each address and in all, and none once the disk is nearly full.

use std::net::Ipv4Addr;

use lichen_net::hub::{Reason, Reply, Request};

use crate::campaign::{contribution, join_and_wait_for_round, update};
use crate::crowds::{ELSEWHERE, via};
use crate::process::Relay;
use crate::tab::{Tab, refused};

const KIB: usize = 1024;

/// Asks for a blob of so many bytes to be stored, each time another one.
async fn put(tab: &Tab, number: u8, kib: usize) -> Reply {
    tab.ask(Request::PutBlob { bytes: vec![number; kib * KIB] }).await
}

fn is_stored(reply: &Reply) -> bool {
    matches!(reply, Reply::Stored { .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn unpinned_blobs_have_a_quota_by_account_by_address_and_in_all() {
    let options = [
        "--max-unpinned-bytes-per-account=102400",
        "--max-unpinned-bytes-per-address=153600",
        "--max-unpinned-bytes=256000",
    ];
    let relay = Relay::start_with(&options).await;
    let one = Tab::start(&relay, 1).await;
    assert!(is_stored(&put(&one, 1, 50).await) && is_stored(&put(&one, 2, 40).await));
    assert_eq!(refused(&put(&one, 3, 20).await), Reason::QuotaUnpinned, "the account's");
    let two = Tab::start(&relay, 2).await;
    assert!(is_stored(&put(&two, 4, 50).await));
    assert_eq!(refused(&put(&two, 5, 20).await), Reason::QuotaUnpinned, "the address's");
    let three = Tab::connect_to(&relay, &via(&relay, ELSEWHERE).await, 3).await;
    assert!(matches!(three.hello().await, Reply::Welcome { .. }));
    assert!(is_stored(&put(&three, 6, 90).await));
    let four = Tab::connect_to(&relay, &via(&relay, Ipv4Addr::new(127, 0, 0, 3)).await, 4).await;
    assert!(matches!(four.hello().await, Reply::Welcome { .. }));
    assert_eq!(
        refused(&put(&four, 7, 30).await),
        Reason::QuotaUnpinned,
        "the relay's, and none is old enough to go"
    );
    for limit in ["unpinned_bytes", "unpinned_bytes_per_address", "unpinned_bytes_per_account"] {
        assert_eq!(relay.metric(&format!("lichen_limited_total{{limit=\"{limit}\"}}")).await, 1, "{limit}");
    }
    assert_eq!(relay.refusals().await["quota_unpinned"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_entry_names_is_unpinned_no_more() {
    // An update has some 9,700 bytes: one fits.
    let relay = Relay::start_with(&["--max-unpinned-bytes-per-account=15000"]).await;
    let tab = Tab::start(&relay, 1).await;
    let (round, base) = join_and_wait_for_round(&tab).await;
    let cid = tab.put(update(0.01)).await;
    assert_eq!(refused(&tab.ask(Request::PutBlob { bytes: update(0.02) }).await), Reason::QuotaUnpinned);
    tab.append_well(&contribution(&tab, round, base, cid)).await;
    tab.put(update(0.02)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unpinned_blobs_give_way_and_give_their_room_back() {
    // Each takes whole blocks of the disk: four of them 212,992 bytes.
    let relay = Relay::start_with(&["--max-unpinned-bytes=230000"]).await;
    let crowd = Tab::connect_to(&relay, &via(&relay, ELSEWHERE).await, 1).await;
    assert!(matches!(crowd.hello().await, Reply::Welcome { .. }));
    for number in 0..4 {
        assert!(is_stored(&put(&crowd, number, 50).await));
    }
    let honest = Tab::start(&relay, 2).await;
    let came = async {
        // Nobody gives way before an entry had its time to name the blob.
        while !is_stored(&put(&honest, 9, 60).await) {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(crate::PATIENCE, came).await.expect("nobody gave way");
    assert_eq!(relay.metric("lichen_blobs_dropped_total").await, 1);
    let files = std::fs::read_dir(relay.data.path().join("blobs")).unwrap();
    let lengths = files.map(|file| file.unwrap().metadata().unwrap().len());
    assert_eq!(lengths.filter(|length| *length == 50 * KIB as u64).count(), 3, "the disk has its room back");
    assert_eq!(refused(&put(&crowd, 5, 50).await), Reason::QuotaUnpinned, "it has more than others still");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_the_disk_is_the_logs() {
    let relay = Relay::start_with(&["--reserve-bytes=1000000000000000000"]).await;
    let tab = Tab::start(&relay, 1).await;
    tab.join(1).await;
    assert_eq!(refused(&put(&tab, 1, 1).await), Reason::DiskFull);
    assert_eq!(relay.metric("lichen_limited_total{limit=\"disk_reserve\"}").await, 1);
    let ready = relay.get("health/ready").await;
    assert!(ready.status == 503 && ready.text().contains("disk"), "{} {}", ready.status, ready.text());
}
