//! What a manifest may say of the log.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod digits;

use digits::{DIGITS, faults};
use lichen_campaign::{Manifest, Topic};
use lichen_record::{KeyKind, VerifierKey};

fn key(name: &str, kind: KeyKind, byte: u8) -> String {
    VerifierKey::new(name, kind, [byte; 32]).unwrap().to_string()
}

fn witness(number: u8) -> String {
    key(&format!("w{number}.example"), KeyKind::Cosignature, number)
}

fn manifest(log: &str) -> String {
    format!("{DIGITS}\n[log]\n{log}\n")
}

fn named(keys: &[String], rest: &str) -> String {
    manifest(&format!("witnesses = {keys:?}\n{rest}"))
}

#[test]
fn witnesses_are_none_unless_named() {
    for text in [DIGITS.to_owned(), manifest("snapshots = 9"), manifest("witnesses = []")] {
        let read = Manifest::parse(&text).unwrap();
        assert_eq!(read.log.witnesses, None);
        assert!(!read.explain().iter().any(|statement| statement.text.contains("others have seen")));
    }
}

#[test]
fn more_than_half_of_them_are_enough_unless_said() {
    let keys: Vec<String> = (1..=4).map(witness).collect();
    let quorum = |text: &str| Manifest::parse(text).unwrap().log.witnesses.unwrap().quorum;
    for (number, expected) in [(1, 1), (2, 2), (3, 2), (4, 3)] {
        assert_eq!(quorum(&named(&keys[..number], "")), expected);
    }
    assert_eq!(quorum(&named(&keys, "cosignatures = 1")), 1);
    assert_eq!(quorum(&named(&keys, "cosignatures = 4")), 4);
    let read = Manifest::parse(&named(&keys[..3], "")).unwrap();
    let said = read.explain().into_iter().find(|statement| statement.topic == Topic::Organiser).unwrap().text;
    assert!(said.contains("at least 2 of w1.example, w2.example, w3.example."), "{said}");
}

#[test]
fn whoever_is_no_witness_is_named() {
    let two = [witness(1), witness(2)];
    for (text, expected) in [
        (manifest("cosignatures = 1"), "log.cosignatures is of no use without witnesses"),
        (named(&two, "cosignatures = 3"), "log.cosignatures is 3, and there are 2 witnesses"),
        (named(&two, "cosignatures = 0"), "log.cosignatures is 0"),
        (named(&[witness(1), witness(1)], ""), "log.witnesses names one witness twice"),
        (
            named(&[witness(1), key("another", KeyKind::Cosignature, 1)], ""),
            "log.witnesses names one witness twice",
        ),
        (named(&[key("log", KeyKind::Note, 3)], ""), "log.witnesses has the key of a log"),
        (named(&["w1.example".into()], ""), "log.witnesses must list keys of witnesses"),
        (manifest("witnesses = [7]"), "log.witnesses must list keys of witnesses"),
        (manifest("witnesses = 7"), "log.witnesses must be a list"),
        (named(&(1..=16).map(witness).collect::<Vec<_>>(), ""), "log.witnesses are 16: give at most 15"),
    ] {
        assert!(faults(&text)[0].starts_with(expected), "{:?}", faults(&text));
    }
}
