//! Equal logs have equal heads, and whatever is changed in a log is found where it was changed.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail")]

use lichen_log::{Chain, ChainError, Head, MAX_RECORD, Receipt, ReceiptError, Record, check_receipt};
use lichen_record::{CampaignId, Cid, Entry, SigningKey, Verified, decode, encode, verify};
use proptest::prelude::*;
use serde_json::Value;

fn campaign() -> CampaignId {
    CampaignId::of_manifest(b"manifest")
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn signed(key: &SigningKey, entry: &Entry) -> Verified<Entry> {
    verify(&key.sign(entry).unwrap()).unwrap()
}

/// A log of entries by three accounts, `pauses` milliseconds apart.
fn log(pauses: &[u64]) -> (Vec<Record>, Vec<Receipt>, Chain) {
    let keys = [[1; 32], [2; 32], [3; 32]].map(SigningKey::generate);
    let mut chain = Chain::new(campaign());
    let (mut records, mut receipts) = (Vec::new(), Vec::new());
    let mut time = 1_764_000_000_000;
    for (sequence, pause) in (1..).zip(pauses) {
        time += pause;
        let entry = Entry::Joined { campaign: campaign(), sequence };
        let key = &keys[records.len() % keys.len()];
        let (record, receipt) = chain.append(time, &signed(key, &entry)).unwrap();
        records.push(record);
        receipts.push(receipt);
    }
    (records, receipts, chain)
}

fn follow(records: &[Record]) -> Result<Chain, ChainError> {
    let mut chain = Chain::new(campaign());
    for record in records {
        let checked_before = chain.clone().take_next(record, verify(&record.entry));
        let checked = chain.verify_next(record);
        assert_eq!(checked_before, checked);
        checked?;
    }
    Ok(chain)
}

#[test]
fn an_entry_checked_elsewhere_has_to_be_the_records_own() {
    let (records, ..) = log(&[0, 1]);
    let foreign = verify(&records[1].entry);
    let refused = Chain::new(campaign()).take_next(&records[0], foreign);
    assert_eq!(refused, Err(ChainError::Hash { index: 0 }));
}

#[test]
fn the_golden_chain_is_computed_and_followed() {
    let golden: Value = serde_json::from_str(include_str!("../golden/chain.json")).unwrap();
    let mut chain = Chain::new(campaign());
    let mut follower = chain.clone();
    assert_eq!(chain.head().hash.as_slice(), unhex(&golden["first"]));
    let records = golden["records"].as_array().unwrap();
    assert_eq!(records.len(), 7);
    for expected in records {
        let entry = verify(&unhex(&expected["entry"])).unwrap();
        let (record, _receipt) = chain.append(expected["time"].as_u64().unwrap(), &entry).unwrap();
        assert_eq!(record.index, expected["index"].as_u64().unwrap());
        assert_eq!(record.hash.as_slice(), unhex(&expected["hash"]));
        assert_eq!(follower.verify_next(&record).unwrap(), entry);
        assert_eq!(follower, chain);
    }
}

#[test]
fn the_golden_head_and_receipt_are_read() {
    let golden: Value = serde_json::from_str(include_str!("../../record/golden/envelopes.json")).unwrap();
    let hash = core::array::from_fn(|at| u8::try_from(at).unwrap());
    let head = Head { campaign: campaign(), length: 3, hash };
    let receipt = Receipt { entry: Cid::of_cbor(b"entry"), head };
    for vector in golden["vectors"].as_array().unwrap() {
        let (payload, envelope) = (unhex(&vector["payload"]), unhex(&vector["envelope"]));
        match vector["name"].as_str().unwrap() {
            "head" => {
                assert_eq!(encode(&head).unwrap(), payload);
                assert_eq!(verify::<Head>(&envelope).unwrap().get(), &head);
            }
            "receipt" => {
                assert_eq!(encode(&receipt).unwrap(), payload);
                assert_eq!(verify::<Receipt>(&envelope).unwrap().get(), &receipt);
            }
            _ => assert!(verify::<Head>(&envelope).is_err() && verify::<Receipt>(&envelope).is_err()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn equal_logs_have_equal_heads(pauses in proptest::collection::vec(0u64..2_000, 0..8)) {
        let (records, _, chain) = log(&pauses);
        prop_assert_eq!(&log(&pauses).2, &chain);
        prop_assert_eq!(follow(&records).unwrap(), chain);
    }

    #[test]
    fn records_come_back(pauses in proptest::collection::vec(0u64..2_000, 1..4)) {
        for record in log(&pauses).0 {
            let bytes = encode(&record).unwrap();
            prop_assert!(bytes.len() <= MAX_RECORD);
            prop_assert_eq!(decode::<Record>(&bytes, MAX_RECORD), Ok(record));
        }
    }

    #[test]
    fn any_changed_byte_is_found_in_its_record(
        pauses in proptest::collection::vec(1u64..2_000, 1..5),
        which: proptest::sample::Index,
        at: proptest::sample::Index,
        change in 1u8..,
    ) {
        let (mut records, _, _) = log(&pauses);
        let which = which.index(records.len());
        let mut bytes = encode(&records[which]).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        // What still decodes is caught by the chain, at its place.
        if let Ok(changed) = decode::<Record>(&bytes, MAX_RECORD) {
            records[which] = changed;
            prop_assert_eq!(follow(&records).unwrap_err().index(), which as u64);
        }
    }

    #[test]
    fn order_is_fixed(pauses in proptest::collection::vec(0u64..2_000, 2..6), which: proptest::sample::Index) {
        let (records, _, _) = log(&pauses);
        let which = which.index(records.len() - 1);
        let place = which as u64;

        let mut swapped = records.clone();
        swapped.swap(which, which + 1);
        prop_assert_eq!(follow(&swapped).unwrap_err(), ChainError::Index { expected: place, found: place + 1 });

        let mut dropped = records.clone();
        dropped.remove(which);
        prop_assert_eq!(follow(&dropped).unwrap_err(), ChainError::Index { expected: place, found: place + 1 });

        let mut renumbered = dropped;
        renumbered[which].index = place;
        prop_assert_eq!(follow(&renumbered).unwrap_err(), ChainError::Hash { index: place });
    }
}

#[test]
fn time_does_not_go_back() {
    let (mut records, _, mut chain) = log(&[0, 10]);
    let before = chain.clone();
    let entry = signed(&SigningKey::generate([1; 32]), &Entry::Left { campaign: campaign(), sequence: 9 });
    let expected = ChainError::Time { index: 2, previous: chain.time(), found: chain.time() - 1 };
    assert_eq!(chain.append(chain.time() - 1, &entry), Err(expected.clone()));
    assert_eq!(chain, before);

    // A coordinator that signs such a record all the same is caught by whoever follows.
    records.push(forged(&chain, chain.time() - 1, &entry));
    assert_eq!(follow(&records), Err(expected));
}

#[test]
fn an_entry_of_another_campaign_is_refused() {
    let other = CampaignId::of_manifest(b"another");
    let entry = signed(&SigningKey::generate([1; 32]), &Entry::Joined { campaign: other, sequence: 1 });
    let expected = ChainError::Campaign { index: 0, found: other };
    assert_eq!(Chain::new(campaign()).append(1, &entry), Err(expected.clone()));

    let (record, _) = Chain::new(other).append(1, &entry).unwrap();
    assert_eq!(Chain::new(campaign()).verify_next(&record), Err(ChainError::Hash { index: 0 }));
    let record = forged(&Chain::new(campaign()), 1, &entry);
    assert_eq!(Chain::new(campaign()).verify_next(&record), Err(expected));
}

#[test]
fn an_unsigned_entry_is_refused_even_in_a_right_chain() {
    let (records, _, _) = log(&[0]);
    let mut entry = records[0].entry.clone();
    *entry.last_mut().unwrap() ^= 1;
    let mut forged = records[0].clone();
    forged.entry = entry;
    forged.hash = forged_hash(&Chain::new(campaign()), &forged);
    assert!(matches!(follow(&[forged]), Err(ChainError::Entry { index: 0, .. })));
}

/// The record that a lying coordinator would append, whatever is wrong with it.
fn forged(chain: &Chain, time: u64, entry: &Verified<Entry>) -> Record {
    let entry = entry.envelope_bytes().to_vec();
    let mut record = Record { index: chain.length(), time, entry, hash: [0; 32] };
    record.hash = forged_hash(chain, &record);
    record
}

fn forged_hash(chain: &Chain, record: &Record) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let mut text = b"lichen/log/v1\0".to_vec();
    text.extend(chain.head().hash);
    text.extend(record.index.to_be_bytes());
    text.extend(record.time.to_be_bytes());
    text.extend(Sha256::digest(&record.entry));
    Sha256::digest(text).into()
}

#[test]
fn a_receipt_fits_only_its_own_record() {
    let coordinator = SigningKey::generate([9; 32]);
    let account = coordinator.account();
    let (records, receipts, _) = log(&[0, 5, 5]);
    let receipt = verify::<Receipt>(&coordinator.sign(&receipts[1]).unwrap()).unwrap();
    assert_eq!(receipt.get().index(), 1);
    assert_eq!(check_receipt(&receipt, &records[1], &account), Ok(()));
    assert_eq!(
        check_receipt(&receipt, &records[2], &account),
        Err(ReceiptError::Index { receipt: 1, record: 2 })
    );
    assert_eq!(check_receipt(&receipt, &log(&[0, 6]).0[1], &account), Err(ReceiptError::Hash { index: 1 }));
    let mut another = records[2].clone();
    another.index = 1;
    assert_eq!(check_receipt(&receipt, &another, &account), Err(ReceiptError::Entry { index: 1 }));
    let stranger = SigningKey::generate([8; 32]).account();
    assert_eq!(check_receipt(&receipt, &records[1], &stranger), Err(ReceiptError::Signer(account)));
}
