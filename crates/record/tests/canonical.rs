//! One value, one form: what is encoded decodes to itself, and every other way to write it is refused.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may fail"
)]

use std::collections::BTreeMap;

use lichen_record::{
    AccountId, CampaignId, Cid, Decision, DecodeError, EngineKind, EngineVersion, Entry, Envelope, Evidence,
    MAX_ENTRY, Metrics, RoundNumber, SessionCertificate, Settings, Signable, SigningKey, Verified,
    VerifyError, decode, encode, signing_bytes, verify,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// CBOR as it is written, so that it can be written wrongly.
#[derive(Clone, Debug)]
enum Item {
    Unsigned(u64),
    Bytes(Vec<u8>),
    Text(Vec<u8>),
    Array(Vec<Item>),
    Map(Vec<(Item, Item)>),
    Tag(u64, Box<Item>),
    /// Bits of a 64-bit float.
    Float(u64),
    /// Bytes that are not ours to write, put in place of an item.
    Verbatim(Vec<u8>),
}

fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    match argument {
        0..24 => out.push(major | argument as u8),
        24..0x100 => out.extend([major | 24, argument as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend((argument as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend((argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(argument.to_be_bytes());
        }
    }
}

impl Item {
    fn parse(bytes: &mut &[u8]) -> Item {
        let first = bytes[0];
        let argument = Item::head_argument(bytes);
        let mut take = || {
            let (taken, rest) = bytes.split_at(argument as usize);
            *bytes = rest;
            taken.to_vec()
        };
        match first >> 5 {
            0 => Item::Unsigned(argument),
            2 => Item::Bytes(take()),
            3 => Item::Text(take()),
            4 => Item::Array((0..argument).map(|_| Item::parse(bytes)).collect()),
            5 => Item::Map((0..argument).map(|_| (Item::parse(bytes), Item::parse(bytes))).collect()),
            6 => Item::Tag(argument, Box::new(Item::parse(bytes))),
            7 if first == 0xfb => Item::Float(argument),
            major => panic!("major type {major} is not in our messages"),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Item::Unsigned(value) => head(0, *value, out),
            Item::Bytes(bytes) => {
                head(2, bytes.len() as u64, out);
                out.extend(bytes);
            }
            Item::Text(bytes) => {
                head(3, bytes.len() as u64, out);
                out.extend(bytes);
            }
            Item::Array(items) => {
                head(4, items.len() as u64, out);
                items.iter().for_each(|item| item.write(out));
            }
            Item::Map(pairs) => {
                head(5, pairs.len() as u64, out);
                for (key, value) in pairs {
                    key.write(out);
                    value.write(out);
                }
            }
            Item::Tag(tag, item) => {
                head(6, *tag, out);
                item.write(out);
            }
            Item::Float(bits) => {
                out.push(0xfb);
                out.extend(bits.to_be_bytes());
            }
            Item::Verbatim(bytes) => out.extend(bytes),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Every way known to write this very item wrongly, its children being right.
    fn wrong_forms(&self) -> Vec<Item> {
        let mut wrong: Vec<Item> = Vec::new();
        wrong.extend(self.wide_head().map(Item::Verbatim));
        match self {
            Item::Unsigned(value) => {
                wrong.push(Item::Float((*value as f64).to_bits()));
                // A bignum of the same value.
                wrong.push(Item::Tag(2, Box::new(Item::Bytes(value.to_be_bytes().to_vec()))));
            }
            Item::Bytes(bytes) => wrong.extend(chunked(2, bytes)),
            Item::Text(bytes) => wrong.extend(chunked(3, bytes)),
            Item::Array(items) => {
                let items: Vec<u8> = items.iter().flat_map(Item::bytes).collect();
                wrong.push(Item::Verbatim([&[0x9f], items.as_slice(), &[0xff]].concat()));
            }
            Item::Map(pairs) => wrong.extend(wrong_maps(pairs)),
            Item::Tag(tag, item) => {
                wrong.push((**item).clone());
                wrong.push(Item::Tag(tag + 1, item.clone()));
                wrong.push(Item::Tag(*tag, Box::new(self.clone())));
            }
            Item::Float(bits) => {
                let value = f64::from_bits(*bits);
                let mut single = vec![0xfa];
                single.extend((value as f32).to_be_bytes());
                wrong.push(Item::Verbatim(single));
                wrong.push(Item::Verbatim(vec![0xf9, 0x3c, 0x00]));
                wrong.extend(
                    [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(|f| Item::Float(f.to_bits())),
                );
            }
            Item::Verbatim(_) => {}
        }
        wrong
    }

    /// The item with its head's argument written in 8 bytes.
    fn wide_head(&self) -> Option<Vec<u8>> {
        let bytes = self.bytes();
        if matches!(self, Item::Float(_)) || bytes[0] & 31 >= 27 {
            return None;
        }
        let mut rest = bytes.as_slice();
        let argument = Item::head_argument(&mut rest);
        let skip = bytes.len() - rest.len();
        let mut wide = vec![bytes[0] & 0xe0 | 27];
        wide.extend(argument.to_be_bytes());
        wide.extend(&bytes[skip..]);
        Some(wide)
    }

    fn head_argument(bytes: &mut &[u8]) -> u64 {
        let first = bytes[0];
        let width = match first & 31 {
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => 0,
        };
        let number = &bytes[1..=width];
        *bytes = &bytes[1 + width..];
        if width == 0 {
            return u64::from(first & 31);
        }
        number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// The whole message, one item in it written wrongly: all of them.
    fn faults(&self) -> Vec<Item> {
        let mut faults = self.wrong_forms();
        match self {
            Item::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    for fault in item.faults() {
                        let mut items = items.clone();
                        items[at] = fault;
                        faults.push(Item::Array(items));
                    }
                }
            }
            Item::Map(pairs) => {
                for (at, (key, value)) in pairs.iter().enumerate() {
                    for fault in key.faults() {
                        let mut pairs = pairs.clone();
                        pairs[at].0 = fault;
                        faults.push(Item::Map(pairs));
                    }
                    for fault in value.faults() {
                        let mut pairs = pairs.clone();
                        pairs[at].1 = fault;
                        faults.push(Item::Map(pairs));
                    }
                }
            }
            Item::Tag(tag, item) => {
                faults.extend(item.faults().into_iter().map(|fault| Item::Tag(*tag, Box::new(fault))));
            }
            _ => {}
        }
        faults
    }
}

/// A string of indefinite length.
fn chunked(major: u8, bytes: &[u8]) -> Option<Item> {
    let mut out = vec![major << 5 | 31];
    head(major, bytes.len() as u64, &mut out);
    out.extend(bytes);
    out.push(0xff);
    Some(Item::Verbatim(out))
}

fn wrong_maps(pairs: &[(Item, Item)]) -> Vec<Item> {
    let mut wrong = Vec::new();
    let unknown = (Item::Text(b"x".to_vec()), Item::Unsigned(0));
    let deep = (Item::Text(b"x".to_vec()), Item::Verbatim([vec![0x81; 2000], vec![0]].concat()));
    for pair in [unknown, deep] {
        wrong.push(Item::Map([&[pair], pairs].concat()));
    }
    if let Some(first) = pairs.first() {
        wrong.push(Item::Map([std::slice::from_ref(first), pairs].concat()));
        wrong.push(Item::Map(pairs[1..].to_vec()));
        wrong.push(Item::Map([&[(Item::Unsigned(0), first.1.clone())], &pairs[1..]].concat()));
    }
    if pairs.len() > 1 {
        wrong.push(Item::Map(pairs.iter().rev().cloned().collect()));
    }
    let body: Vec<u8> = pairs.iter().flat_map(|(key, value)| [key.bytes(), value.bytes()].concat()).collect();
    wrong.push(Item::Verbatim([&[0xbf], body.as_slice(), &[0xff]].concat()));
    wrong
}

fn cid() -> impl Strategy<Value = Cid> {
    any::<(bool, [u8; 4])>()
        .prop_map(|(cbor, content)| if cbor { Cid::of_cbor(&content) } else { Cid::of_raw(&content) })
}

fn metrics() -> impl Strategy<Value = Metrics> {
    (proptest::num::f64::NORMAL | proptest::num::f64::ZERO, 0.0..=1.0, any::<u32>())
        .prop_map(|(loss, accuracy, steps)| Metrics::new(loss, accuracy, steps).unwrap())
}

fn entry() -> impl Strategy<Value = Entry> {
    let campaign = cid().prop_map(CampaignId);
    let round = any::<u64>().prop_map(RoundNumber);
    (0..15, campaign, (cid(), cid()), round, any::<(u64, u32)>(), metrics()).prop_map(
        |(variant, campaign, (base, other), round, (sequence, samples), metrics)| match variant {
            0 => Entry::Published { campaign, manifest: other, base },
            1 => Entry::Joined { campaign, sequence },
            2 => Entry::Left { campaign, sequence },
            3 => Entry::RoundOpened { campaign, round, base },
            4 => Entry::Contribution {
                campaign,
                round,
                base,
                update: other,
                samples,
                metrics,
                engine: (samples % 2 == 0).then_some(EngineVersion {
                    kind: if samples % 4 == 0 { EngineKind::Cpu } else { EngineKind::Gpu },
                    version: samples,
                }),
                trace: (samples % 3 == 0).then_some(other),
            },
            5 => Entry::RoundClosed { campaign, round },
            6 => Entry::Attestation {
                campaign,
                round,
                base,
                result: other,
                excluded: samples % 2 * samples,
                state: (samples % 4 > 1).then_some(other),
                difference: (samples % 8 > 3).then_some(other),
            },
            7 => Entry::Unavailable { campaign, round, update: other },
            8 => Entry::Finished { campaign, round },
            13 => {
                let all = [Decision::Pause, Decision::Resume, Decision::Finish, Decision::Retire];
                Entry::Decided { campaign, sequence, decision: all[samples as usize % all.len()] }
            }
            14 => {
                // One alone, so that nothing is left when it is taken away.
                let settings = Settings {
                    deadline_ms: (samples % 3 == 0).then_some(sequence),
                    target_accuracy: (samples % 3 == 1).then_some(metrics.accuracy()),
                    learning_rate: (samples % 3 == 2).then_some(metrics.loss()),
                };
                Entry::Decided { campaign, sequence, decision: Decision::Change(settings) }
            }
            11 => Entry::Snapshot { campaign, state: other },
            10 => Entry::RoundOverdue { campaign, round },
            9 => {
                let contributor = SigningKey::generate([samples.to_le_bytes()[0]; 32]).account();
                let before = (samples % 4 == 1).then_some(base);
                let evidence =
                    (samples % 2 == 1).then_some(Evidence { piece: samples, before, after: other });
                Entry::Audit { campaign, round, contributor, found: other, evidence }
            }
            _ => {
                let account = SigningKey::generate([samples.to_le_bytes()[0]; 32]).account();
                Entry::Departed { campaign, round, account }
            }
        },
    )
}

fn session() -> impl Strategy<Value = SessionCertificate> {
    (proptest::collection::vec(any::<u8>(), 0..64), any::<u64>())
        .prop_map(|(peer, issued)| SessionCertificate { peer, issued })
}

fn refuses_every_fault<T: Serialize + serde::de::DeserializeOwned + std::fmt::Debug>(message: &T) {
    let bytes = encode(message).unwrap();
    let item = Item::parse(&mut bytes.as_slice());
    assert_eq!(item.bytes(), bytes, "the test's own writer is right");
    let faults = item.faults();
    assert!(faults.len() > 10);
    for fault in faults {
        let wrong = fault.bytes();
        if let Ok(value) = decode::<T>(&wrong, MAX_ENTRY) {
            panic!("{wrong:02x?} was taken for {value:?}");
        }
    }
    for end in 0..bytes.len() {
        assert!(decode::<T>(&bytes[..end], MAX_ENTRY).is_err(), "truncated to {end}");
    }
    for trailing in [0x00, 0xa0, 0xf6, 0xff] {
        assert!(decode::<T>(&[bytes.as_slice(), &[trailing]].concat(), MAX_ENTRY).is_err());
    }
}

proptest! {
    #[test]
    fn entries_come_back(entry in entry()) {
        prop_assert_eq!(decode::<Entry>(&encode(&entry).unwrap(), MAX_ENTRY), Ok(entry));
    }

    #[test]
    fn sessions_come_back(session in session()) {
        prop_assert_eq!(decode::<SessionCertificate>(&encode(&session).unwrap(), MAX_ENTRY), Ok(session));
    }

    #[test]
    fn entries_have_one_form(entry in entry()) {
        refuses_every_fault(&entry);
    }

    #[test]
    fn sessions_have_one_form(session in session()) {
        refuses_every_fault(&session);
    }

    #[test]
    fn envelopes_have_one_form(entry in entry(), seed: [u8; 32]) {
        let bytes = SigningKey::generate(seed).sign(&entry).unwrap();
        refuses_every_fault(&Envelope::from_bytes(&bytes).unwrap());
    }

    #[test]
    fn what_is_signed_verifies(entry in entry(), seed: [u8; 32]) {
        let key = SigningKey::generate(seed);
        let bytes = key.sign(&entry).unwrap();
        let verified: Verified<Entry> = verify(&bytes).unwrap();
        prop_assert_eq!(verified.get(), &entry);
        prop_assert_eq!(verified.account(), key.account());
    }

    #[test]
    fn any_changed_byte_is_noticed(entry in entry(), seed: [u8; 32], at: proptest::sample::Index, change in 1u8..) {
        let mut bytes = SigningKey::generate(seed).sign(&entry).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        prop_assert!(verify::<Entry>(&bytes).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(verify::<Entry>(&bytes).is_err());
        let _ = decode::<Entry>(&bytes, MAX_ENTRY);
        let _ = decode::<SessionCertificate>(&bytes, MAX_ENTRY);
        let _ = decode::<Cid>(&bytes, MAX_ENTRY);
    }
}

#[test]
fn size_is_checked_before_anything_else() {
    assert_eq!(decode::<Entry>(&[0xff; 11], 10), Err(DecodeError::TooLarge { size: 11, cap: 10 }));
    let large = vec![0; MAX_ENTRY + 1];
    let expected = DecodeError::TooLarge { size: MAX_ENTRY + 1, cap: MAX_ENTRY };
    assert_eq!(verify::<Entry>(&large), Err(VerifyError::Envelope(expected)));
}

#[test]
fn a_promise_of_endless_bytes_allocates_nothing() {
    for length in [
        &[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
        &[0x9b, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0],
    ] {
        assert!(decode::<Vec<u8>>(length, MAX_ENTRY).is_err());
        assert!(decode::<serde_bytes::ByteBuf>(length, MAX_ENTRY).is_err());
        assert!(decode::<Entry>(length, MAX_ENTRY).is_err());
    }
}

#[test]
fn floats_are_64_bits_and_finite() {
    assert_eq!(encode(&1.5f32).unwrap(), encode(&1.5f64).unwrap());
    assert_eq!(decode::<f32>(&encode(&1.5f32).unwrap(), 9), Ok(1.5));
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(encode(&float).is_err());
        assert!(Metrics::new(float, 0.5, 1).is_err());
        assert!(Metrics::new(0.5, float, 1).is_err());
    }
    assert!(Metrics::new(0.5, 1.5, 1).is_err());
    assert!(Metrics::new(0.5, -0.5, 1).is_err());
}

#[test]
fn a_field_left_out_is_not_the_same_as_null() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Optional {
        a: Option<u8>,
    }
    assert_eq!(encode(&Optional { a: None }).unwrap(), [0xa1, 0x61, b'a', 0xf6]);
    assert_eq!(decode::<Optional>(&[0xa0], 10), Err(DecodeError::NotCanonical));
}

#[test]
fn maps_are_sorted_by_length_first() {
    let map: BTreeMap<&str, u8> = [("aa", 0), ("b", 1)].into();
    assert_eq!(encode(&map).unwrap(), [0xa2, 0x61, b'b', 1, 0x62, b'a', b'a', 0]);
}

#[test]
fn a_signature_is_bound_to_its_account() {
    let [one, other] = [[1; 32], [2; 32]].map(SigningKey::generate);
    let entry = Entry::Joined { campaign: CampaignId::of_manifest(b"a"), sequence: 1 };
    let envelope = Envelope::from_bytes(&one.sign(&entry).unwrap()).unwrap();
    let stolen =
        Envelope::assemble(other.account(), envelope.payload().to_vec(), envelope.signature()).unwrap();
    assert_eq!(verify::<Entry>(&stolen.to_bytes().unwrap()), Err(VerifyError::Signature));
}

/// Entries as a later version of this program may know them: of another kind, with another field, with another value.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Later {
    Decorated { campaign: CampaignId, colours: Vec<Cid>, nested: BTreeMap<String, Option<f64>> },
    Joined { campaign: CampaignId, sequence: u64, species: String },
    Left { campaign: CampaignId, sequence: String },
}

impl Signable for Later {
    const DOMAIN: &'static str = <Entry as Signable>::DOMAIN;
}

#[test]
fn what_a_later_version_signed_is_told_from_what_nobody_can_mean() {
    let campaign = CampaignId::of_manifest(b"a");
    let key = SigningKey::generate([1; 32]);
    for later in [
        Later::Decorated { campaign, colours: vec![campaign.0], nested: [("a".into(), Some(0.5))].into() },
        Later::Joined { campaign, sequence: 1, species: "Cladonia".into() },
        Later::Left { campaign, sequence: "one".into() },
    ] {
        let mut signed = key.sign(&later).unwrap();
        assert_eq!(verify::<Entry>(&signed), Err(VerifyError::Later), "{later:?}");
        *signed.last_mut().unwrap() ^= 1;
        assert_ne!(
            verify::<Entry>(&signed),
            Err(VerifyError::Later),
            "{later:?}: the signature does not match"
        );
    }
    // What has not the form of an entry is none in any version.
    let forms = [
        encode(&"joined").unwrap(),
        encode(&BTreeMap::from([("joined", 1)])).unwrap(),
        encode(&BTreeMap::from([("a", BTreeMap::from([("b", 1)])), ("c", BTreeMap::new())])).unwrap(),
        encode(&BTreeMap::<String, u8>::new()).unwrap(),
    ];
    for payload in forms {
        let signature = key.sign_bytes(&signing_bytes::<Entry>(&key.account(), &payload));
        let signed =
            Envelope::assemble(key.account(), payload.clone(), &signature).unwrap().to_bytes().unwrap();
        assert!(matches!(verify::<Entry>(&signed), Err(VerifyError::Payload(_))), "{payload:x?}");
    }
}

#[test]
fn signatures_out_of_range_are_refused() {
    let account = SigningKey::generate([1; 32]).account();
    for signature in [[0; 64], [0xff; 64]] {
        assert!(Envelope::assemble(account, vec![0xa0], &signature).is_err());
    }
    assert!(Envelope::assemble(account, vec![0xa0], &[1; 63]).is_err());
}

#[test]
fn accounts_have_one_form() {
    let account = SigningKey::generate([3; 32]).account();
    let compressed = account.as_bytes();
    assert_eq!(AccountId::from_sec1(compressed), Ok(account));
    assert_eq!(decode::<AccountId>(&encode(&account).unwrap(), 35), Ok(account));
    for tag in (0..=1).chain(4..=255) {
        let mut other = *compressed;
        other[0] = tag;
        assert!(AccountId::from_sec1(&other).is_err(), "tag {tag}");
        let bytes = [&[0x58, 33], other.as_slice()].concat();
        assert!(decode::<AccountId>(&bytes, 35).is_err(), "tag {tag}");
    }
    assert!(AccountId::from_sec1(&[0]).is_err(), "the point at infinity");
    assert!(AccountId::from_sec1(&[&[2], [0xff; 32].as_slice()].concat()).is_err(), "not below the prime");
}

proptest! {
    #[test]
    fn ids_are_written_as_the_library_writes_them(content in any::<[u8; 8]>(), at in any::<prop::sample::Index>(), with in "[a-z2-7]") {
        let id = Cid::of_raw(&content);
        let text = id.to_string();
        prop_assert_eq!(&text, &::cid::Cid::try_from(id.to_bytes().as_slice()).unwrap().to_string());
        prop_assert_eq!(text.parse(), Ok(id));
        let mut damaged = text.clone();
        let at = at.index(text.len());
        damaged.replace_range(at..=at, &with);
        if let Ok(other) = damaged.parse::<Cid>() {
            prop_assert_eq!(other.to_string(), damaged);
        }
    }

    #[test]
    fn texts_of_any_kind_are_refused_or_ids(text in "b?[a-z2-7A-Z189=]{0,70}") {
        if let Ok(id) = text.parse::<Cid>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }
}

#[test]
fn ids_have_one_text() {
    let cid = Cid::of_raw(b"foo");
    assert_eq!(cid.to_string().parse(), Ok(cid));
    for text in [
        format!("/ipfs/{cid}"),
        cid.to_string().to_uppercase(),
        "QmRJzsvyCQyizr73Gmms8ZRtvNxmgqumxc2KUp71dfEmoj".into(),
        "zb2rhj7crUKTQYRGCRATFaQ6YFLTde2YzdqbbhAASkL9uRDXn".into(),
        String::new(),
        "b".into(),
        format!("{cid}a"),
        format!("{cid}aaaaaaaa"),
        // One of the two bits that fill the last digit is set.
        cid.to_string()[..58].to_string() + "b",
    ] {
        assert!(text.parse::<Cid>().is_err(), "{text}");
    }
    let account = SigningKey::generate([3; 32]).account();
    assert_eq!(account.to_string().parse(), Ok(account));
    for text in [
        "did:key:z".to_string(),
        "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".into(),
        format!("{account}1"),
    ] {
        assert!(text.parse::<AccountId>().is_err(), "{text}");
    }
}
