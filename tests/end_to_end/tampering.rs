//! One changed byte in what the relay stores is found, and its place is named.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lichen_record::Entry;

use super::site::{ENDLESS, Site};

#[test]
fn a_changed_byte_in_a_stored_update_is_found() {
    let mut site = trained();
    let (_, contribution) = site.contributions().swap_remove(0);
    let Entry::Contribution { update, .. } = contribution else { panic!("{contribution:?}") };
    let bytes = site.relay.get(&format!("blob/{update}")).unwrap().body;
    assert!(update.matches(&bytes), "the relay serves another blob");

    change_stored(&mut site, &bytes);
    let audit = site.audit();
    assert!(!audit.passed, "{audit:?}");
    assert!(audit.words.contains(&update.to_string()), "the place is not named: {audit:?}");
}

#[test]
fn a_changed_byte_in_a_stored_entry_is_found() {
    let mut site = trained();
    let log = site.log();
    let index = log.len() / 2;
    let entry = log[index].entry.clone();

    change_stored(&mut site, &entry);
    let audit = site.audit();
    assert!(!audit.passed, "{audit:?}");
    assert!(audit.words.contains(&format!("record {index}")), "the place is not named: {audit:?}");
}

fn trained() -> Site {
    let site = Site::start(ENDLESS);
    let page = site.join();
    site.wait_for_round(&page, 3);
    let audit = site.audit();
    assert!(audit.passed, "{audit:?}");
    page.close().unwrap();
    site
}

/// Changes one byte in the middle of every stored copy of `bytes`, while the relay is down.
fn change_stored(site: &mut Site, bytes: &[u8]) {
    let (status, _) = site.relay.terminate(Duration::from_secs(10)).unwrap().expect("the relay did not end");
    assert!(status.success(), "{status}");
    let changed: usize = files(&site.data()).iter().map(|file| change_in(file, bytes)).sum();
    assert!(changed > 0, "the bytes are not in the data folder as they are");
    site.relay.restart().unwrap();
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn change_in(file: &Path, bytes: &[u8]) -> usize {
    let mut content = fs::read(file).unwrap();
    let first = bytes[0];
    let starts: Vec<usize> = (0..content.len().saturating_sub(bytes.len()))
        .filter(|start| content[*start] == first && content[*start..].starts_with(bytes))
        .collect();
    for start in &starts {
        content[start + bytes.len() / 2] ^= 1;
    }
    if !starts.is_empty() {
        fs::write(file, content).unwrap();
    }
    starts.len()
}
