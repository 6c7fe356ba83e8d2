//! One changed byte in what the relay keeps is found, and its place is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lichen_record::{Cid, Entry};

use super::liar;
use super::site::{Audit, ENDLESS, Site, audit};

#[test]
fn an_auditor_finds_a_changed_byte_in_an_update() {
    let site = Site::trained(ENDLESS);
    let (cid, bytes) = first_update(&site);
    let found = audit_with_changed(&site, &bytes);
    assert!(!found.passed, "{found:?}");
    assert!(found.words.contains(&cid.to_string()), "the place is not named: {found:?}");
}

#[test]
fn an_auditor_finds_a_changed_byte_in_an_entry() {
    let site = Site::trained(ENDLESS);
    for (index, record) in site.log().iter().enumerate().skip(1) {
        let found = audit_with_changed(&site, &record.entry);
        assert!(!found.passed, "record {index}: {found:?}");
        assert!(
            found.words.contains(&format!("record {index}")),
            "the place is not named: {index} {found:?}"
        );
    }
}

#[test]
fn a_relay_does_not_serve_a_changed_update_as_if_nothing_were() {
    let mut site = Site::trained(ENDLESS);
    let (cid, bytes) = first_update(&site);
    refuses_or_fails_to_prove(&mut site, &bytes, &cid.to_string());
}

#[test]
fn a_relay_does_not_serve_a_changed_entry_as_if_nothing_were() {
    let mut site = Site::trained(ENDLESS);
    let log = site.log();
    let index = log.len() / 2;
    refuses_or_fails_to_prove(&mut site, &log[index].entry, &format!("record {index}"));
}

/// The first contribution's update, as the relay keeps it.
fn first_update(site: &Site) -> (Cid, Vec<u8>) {
    let (_, contribution) = site.contributions().swap_remove(0);
    let Entry::Contribution { update, .. } = contribution else { panic!("{contribution:?}") };
    let bytes = site.relay.get(&format!("blob/{update}")).unwrap().body;
    assert!(update.matches(&bytes), "the relay serves another blob");
    (update, bytes)
}

/// What the auditor says of a relay that has one byte of these changed.
fn audit_with_changed(site: &Site, bytes: &[u8]) -> Audit {
    let original = bytes.to_vec();
    let url = liar::serve(site.relay.url(), move |_, body| {
        change(body, &original);
    });
    audit(&url)
}

/// Changes one byte on the disk: either the relay says at its start what is wrong where, or the auditor does.
fn refuses_or_fails_to_prove(site: &mut Site, bytes: &[u8], place: &str) {
    let (status, _) = site.relay.terminate(Duration::from_secs(10)).unwrap().expect("the relay did not end");
    assert!(status.success(), "{status}");
    let changed: usize = files(&site.data()).iter().map(|file| change_file(file, bytes)).sum();
    assert!(changed > 0, "the bytes are not in the data folder as they are");
    let words = match site.relay.restart() {
        Ok(()) => {
            let audit = site.audit();
            assert!(!audit.passed, "{audit:?}");
            audit.words
        }
        Err(error) => error.to_string(),
    };
    assert!(words.contains(place), "{place} is not named: {words}");
}

/// Changes a byte in the middle of each place where `original` is in `content`; how many there are.
fn change(content: &mut [u8], original: &[u8]) -> usize {
    let last = content.len().saturating_sub(original.len());
    let starts: Vec<usize> = (0..=last).filter(|start| content[*start..].starts_with(original)).collect();
    for start in &starts {
        content[start + original.len() / 2] ^= 1;
    }
    starts.len()
}

fn change_file(file: &Path, original: &[u8]) -> usize {
    let mut content = fs::read(file).unwrap();
    let places = change(&mut content, original);
    if places > 0 {
        fs::write(file, content).unwrap();
    }
    places
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
