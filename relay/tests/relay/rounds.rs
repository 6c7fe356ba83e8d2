//! What honest tabs do.

use lichen_log::Head;
use lichen_net::hub::{Reply, Request};
use lichen_record::{Cid, Entry, verify};

use crate::campaign::{join_and_wait_for_round, take_part, wait_for_round};
use crate::process::Relay;
use crate::tab::{Answer, Tab, next_records};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_welcomed_and_finds_the_campaign() {
    let relay = Relay::start().await;
    let tab = Tab::connect(&relay, 1).await;
    let Reply::Welcome { account, .. } = tab.hello().await else { panic!("no welcome") };
    assert_eq!(account, tab.account());
    let manifest = tab.get(tab.campaign.0).await;
    assert!(tab.campaign.0.matches(&manifest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_goes_from_joining_to_the_settled_checkpoint() {
    let relay = Relay::start().await;
    let tab = Tab::start(&relay, 1).await;
    let (round, base) = join_and_wait_for_round(&tab).await;
    let (result, checkpoint) = take_part(&tab, (round, base), 0.01).await;
    // The relay has computed the same, and with its word the round settles and the next one opens.
    let (_, next_base) = wait_for_round(&tab, round.next()).await;
    assert_eq!(next_base, result);
    assert_eq!(tab.get(result).await, checkpoint);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_and_the_signed_head_confirm_the_log() {
    let relay = Relay::start().await;
    let tab = Tab::connect(&relay, 1).await;
    let Reply::Welcome { coordinator, .. } = tab.hello().await else { panic!("no welcome") };
    let entry = Entry::Joined { campaign: tab.campaign, sequence: 1 };
    let Reply::Receipt { receipt } = tab.append(&entry).await else { panic!("no receipt") };
    tab.check_receipt(&receipt, coordinator).await;

    let request = Request::Follow { campaign: tab.campaign, from: 0 };
    let mut answers = tab.begin(request.to_bytes().unwrap());
    let mut chain = lichen_log::Chain::new(tab.campaign);
    loop {
        let records = next_records(&mut answers).await;
        for record in &records.records {
            chain.verify_next(record).unwrap();
        }
        let head = verify::<Head>(&records.head).unwrap();
        if head.get().length == chain.length() {
            assert_eq!((head.get(), head.account()), (chain.head(), coordinator));
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_see_each_others_entries_at_once() {
    let relay = Relay::start().await;
    let (one, two) = (Tab::start(&relay, 1).await, Tab::start(&relay, 2).await);
    let joined = |account| {
        move |record: &lichen_log::Record| verify::<Entry>(&record.entry).unwrap().account() == account
    };
    one.join(1).await;
    two.join(1).await;
    let left = |entry: &Entry| matches!(entry, Entry::Left { .. });
    let (seen, left) = tokio::join!(one.follow_until(left), async {
        two.append_well(&Entry::Left { campaign: two.campaign, sequence: 2 }).await
    });
    assert!(seen.0.iter().any(joined(one.account())) && seen.0.iter().any(joined(two.account())));
    assert_eq!(seen.0.last().unwrap().index, left.index());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_blob_goes_in_and_out_and_is_the_same() {
    let relay = Relay::start().await;
    let tab = Tab::start(&relay, 1).await;
    let bytes: Vec<u8> =
        (0..20_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let cid = tab.put(bytes.clone()).await;
    assert_eq!(cid, Cid::of_raw(&bytes));
    assert!(tab.get(cid).await == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_are_all_answered() {
    let relay = Relay::start().await;
    let tab = Tab::start(&relay, 1).await;
    let manifest = Request::GetBlob { cid: tab.campaign.0 }.to_bytes().unwrap();
    let asked: Vec<_> = (0..lichen_net::MAX_IN_FLIGHT).map(|_| tab.begin(manifest.clone())).collect();
    for mut answers in asked {
        assert!(matches!(answers.recv().await, Some(Answer::Reply(Reply::Blob { .. }))));
        assert!(matches!(answers.recv().await, Some(Answer::Ended)));
    }
}
