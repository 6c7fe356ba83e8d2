//! Every message of the hub protocol survives its codec, and damaged ones are refused.

use lichen_log::Witnessed;
use lichen_record::SigningKey;
use proptest::prelude::*;

use super::*;

fn campaign() -> CampaignId {
    CampaignId::of_manifest(b"a campaign")
}

fn account() -> AccountId {
    SigningKey::generate([1; 32]).account()
}

fn requests() -> impl Strategy<Value = Request> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..100);
    prop_oneof![
        bytes().prop_map(|certificate| Request::Hello { certificate }),
        any::<u64>().prop_map(|from| Request::Follow { campaign: campaign(), from }),
        any::<u64>().prop_map(|from| Request::Watch { campaign: campaign(), from }),
        Just(Request::Snapshot { campaign: campaign() }),
        Just(Request::Witnessed { campaign: campaign() }),
        bytes().prop_map(|entry| Request::Append { campaign: campaign(), entry }),
        bytes().prop_map(|bytes| Request::GetBlob { cid: Cid::of_raw(&bytes) }),
        bytes().prop_map(|bytes| Request::PutBlob { bytes }),
    ]
}

fn replies() -> impl Strategy<Value = Reply> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..100);
    let records = || {
        let record = (any::<u64>(), any::<u64>(), bytes(), any::<[u8; 32]>())
            .prop_map(|(index, time, entry, hash)| Record { index, time, entry, hash });
        prop::collection::vec(record, 0..4)
    };
    prop_oneof![
        (any::<u64>(), any::<bool>()).prop_map(|(time, is_following)| Reply::Welcome {
            coordinator: account(),
            account: account(),
            time,
            is_following
        }),
        (records(), bytes()).prop_map(|(records, head)| Reply::Records(Records { records, head })),
        (records(), any::<[u8; 32]>(), any::<u64>()).prop_map(|(records, hash, time)| {
            let none = Record { index: 0, time, entry: Vec::new(), hash };
            let record = records.into_iter().next().unwrap_or(none);
            Reply::Snapshot(Beginning { hash, time, record })
        }),
        (bytes(), records(), any::<[u8; 32]>()).prop_map(|(bytes, records, hash)| {
            let none = Record { index: 0, time: 0, entry: Vec::new(), hash };
            let record = records.into_iter().next().unwrap_or(none);
            Reply::Witnessed(Witnessed { checkpoint: bytes.clone(), record, proof: bytes })
        }),
        bytes().prop_map(|receipt| Reply::Receipt { receipt }),
        (any::<u64>(), any::<bool>()).prop_map(|(clock_ahead, is_stalled)| Reply::Notice(Notice {
            clock_ahead,
            stall: is_stalled.then_some(Cause::StoreFull)
        })),
        Just(Reply::Refused { reason: Reason::Inadmissible(lichen_round::Refusal::WrongRound) }),
        bytes().prop_map(|bytes| Reply::Blob { bytes }),
        bytes().prop_map(|bytes| Reply::Stored { cid: Cid::of_raw(&bytes) }),
    ]
}

proptest! {
    #[test]
    fn requests_come_back_and_damage_is_never_the_same(
        request in requests(), at in any::<prop::sample::Index>(), with in 1..=255_u8,
    ) {
        let bytes = request.to_bytes().unwrap();
        prop_assert_eq!(Request::from_bytes(&bytes), Ok(request.clone()));
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] ^= with;
        prop_assert_ne!(Request::from_bytes(&damaged), Ok(request));
        prop_assert!(Request::from_bytes(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn replies_come_back_and_damage_is_never_the_same(
        reply in replies(), at in any::<prop::sample::Index>(), with in 1..=255_u8,
    ) {
        let bytes = reply.to_bytes().unwrap();
        prop_assert_eq!(Reply::from_bytes(&bytes), Ok(reply.clone()));
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] ^= with;
        prop_assert_ne!(Reply::from_bytes(&damaged), Ok(reply));
        prop_assert!(Reply::from_bytes(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(request) = Request::from_bytes(&bytes) {
            prop_assert_eq!(request.to_bytes().unwrap(), bytes.clone());
        }
        if let Ok(reply) = Reply::from_bytes(&bytes) {
            prop_assert_eq!(reply.to_bytes().unwrap(), bytes);
        }
    }
}

#[test]
fn the_wire_form_is_as_it_was() {
    let follow = Request::Follow { campaign: campaign(), from: 1 }.to_bytes().unwrap();
    let link = [&b"\xd8\x2a\x58\x25\x00"[..], &campaign().0.to_bytes()].concat();
    let expected = [&b"\xa1\x66follow\xa2\x64from\x01\x68campaign"[..], &link].concat();
    assert_eq!(follow, expected);
    let refused = Reply::Refused { reason: Reason::UpdateNotFinite }.to_bytes().unwrap();
    assert_eq!(refused, b"\xa1\x67refused\xa1\x66reason\x71update-not-finite");
    let renamed = Reply::Refused { reason: Reason::QuotaUnpinned }.to_bytes().unwrap();
    assert_eq!(renamed, b"\xa1\x67refused\xa1\x66reason\x6bquota-loose");
}

#[test]
fn only_a_blob_may_be_large() {
    let bytes = vec![0; MAX_SMALL_REQUEST];
    let append = Request::Append { campaign: campaign(), entry: bytes.clone() }.to_bytes().unwrap();
    assert!(matches!(Request::from_bytes(&append), Err(DecodeError::TooLarge { .. })));
    let put = Request::PutBlob { bytes }.to_bytes().unwrap();
    assert!(Request::from_bytes(&put).is_ok());
    let largest = Request::PutBlob { bytes: vec![0; lichen_record::MAX_BLOB] }.to_bytes().unwrap();
    assert!(largest.len() <= MAX_FRAME);
}
