//! A campaign's record, exported while it grows, outlives its relay and shows what was changed in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lichen_bridge::Event;
use lichen_testkit::RelayProcess;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::LocalSet;

use crate::relay;
use crate::tab::{Person, Tab};

fn lichen(arguments: &[&str]) -> Output {
    let program = std::env::var_os("LICHEN_CLI_BIN").expect("run by `cargo xtask test`");
    Command::new(program).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn export(relay: &RelayProcess, folder: &Path) {
    let output = lichen(&["export", "--relay", &relay.url(), "--record", folder.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
}

fn check(folder: &Path) -> Output {
    lichen(&["verify", "--json", "--folder", folder.to_str().unwrap()])
}

/// What the fault in a folder is said to be.
fn fault(folder: &Path) -> String {
    let output = check(folder);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    report["fault"].as_str().map_or_else(|| said(&output), str::to_owned)
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let inside = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    inside.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

async fn a_later_round_settles(tab: &mut Tab, least: u64) {
    let is_it =
        |event: &Event| matches!(event, Event::Evaluated { round: Some(round), .. } if *round >= least);
    tab.until("a round's result", is_it).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_record_outlives_its_relay_and_shows_what_was_changed_in_it() {
    let (mut relay, _data) = relay(&[]);
    let place = TempDir::new().unwrap();
    let folder = place.path().join("record");
    LocalSet::new()
        .run_until(async {
            let mut tab = Tab::joined(&relay, &Person::new(1)).await;
            a_later_round_settles(&mut tab, 2).await;
            export(&relay, &folder);
            let early = check(&folder);
            assert!(early.status.success(), "{}", said(&early));
            a_later_round_settles(&mut tab, 5).await;
            // The same folder is brought up to date.
            export(&relay, &folder);
        })
        .await;
    relay.kill();

    let output = check(&folder);
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["rounds"].as_u64().unwrap() >= 5, "{report}");
    assert_eq!(report["rounds_not_recomputed"], 0, "{report}");
    assert!(report["tree"]["records"].as_u64().unwrap() > 0, "{report}");

    // Whatever file of it is changed, somebody notices.
    let mut changed = 0;
    for file in files(&folder) {
        let bytes = fs::read(&file).unwrap();
        // Tiles of hashes are for clients that do not read the records, and what an earlier export left is not read any more.
        let name = file.strip_prefix(&folder).unwrap().display().to_string();
        if name.starts_with("tile/") && !is_read(&folder, &name) {
            continue;
        }
        let mut other = bytes.clone();
        let middle = other.len() / 2;
        other[middle] ^= 1;
        fs::write(&file, other).unwrap();
        assert!(!fault(&folder).is_empty(), "{name}");
        fs::write(&file, bytes).unwrap();
        changed += 1;
    }
    assert!(changed > 15, "{changed} files");

    let contents = folder.join("record.json");
    let kept = fs::read_to_string(&contents).unwrap();
    fs::write(&contents, kept.replace("\"version\": 1", "\"version\": 2")).unwrap();
    assert!(fault(&folder).contains("is of version 2"), "{}", fault(&folder));
    fs::remove_file(&contents).unwrap();
    assert!(fault(&folder).contains("holds no record"), "{}", fault(&folder));
    fs::write(&contents, kept).unwrap();
    assert!(check(&folder).status.success());
}

/// Whether a verification reads this tile: the bundle of as many records as there are.
fn is_read(folder: &Path, name: &str) -> bool {
    let contents: Value = serde_json::from_slice(&fs::read(folder.join("record.json")).unwrap()).unwrap();
    let records = contents["records"].as_u64().unwrap();
    assert!(records < 256, "one bundle");
    name == format!("tile/entries/000.p/{records}")
}
