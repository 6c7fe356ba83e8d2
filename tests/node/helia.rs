//! Helia, IPFS's own implementation in JavaScript, fetches a campaign's blobs from a real relay by their ids.
//!
//! `LICHEN_HELIA` names the folder with it; `cargo xtask test` installs it there.

use std::fs;
use std::path::Path;
use std::process::Command;

use lichen_bridge::Event;
use lichen_record::Cid;
use lichen_testkit::RelayProcess;
use serde_json::Value;
use tokio::task::LocalSet;

use crate::relay;
use crate::tab::{Person, Tab};

/// What Helia takes for the largest block, as bitswap has it.
const LARGEST: usize = 2 * 1024 * 1024;

/// What it made of each id.
fn fetch(relay: &RelayProcess, words: &[&str], ids: &[Cid]) -> Vec<Value> {
    let folder = std::env::var_os("LICHEN_HELIA").expect("run by `cargo xtask test`");
    let mut node = Command::new("node");
    node.arg(Path::new(&folder).join("fetch.js")).args(words.first()).arg(relay.url());
    node.args(words.iter().skip(1)).args(ids.iter().map(Cid::to_string));
    let output = node.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named: Vec<_> = found.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(named, ids.iter().map(Cid::to_string).collect::<Vec<_>>());
    found
}

fn assert_fetched(found: &[Value], ids: &[Cid]) {
    for (one, id) in found.iter().zip(ids) {
        let digest: String = id.digest().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(one["sum"].as_str(), Some(digest.as_str()), "{one}");
    }
}

fn assert_refused(found: &[Value], why: &str) {
    for one in found {
        assert!(one["refused"].as_str().is_some_and(|said| said.contains(why)), "{one}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn helia_fetches_a_campaigns_blobs_and_takes_no_other() {
    let (relay, folder) = relay(&[]);
    let settled = LocalSet::new()
        .run_until(async {
            let mut tab = Tab::joined(&relay, &Person::new(1)).await;
            let settled = |event: &Event| matches!(event, Event::Evaluated { round: Some(1..), .. });
            let Event::Evaluated { checkpoint, .. } = tab.until("a settled round", settled).await else {
                unreachable!()
            };
            checkpoint
        })
        .await;
    let info: Value = serde_json::from_str(&relay.get("lichen.json").unwrap().text()).unwrap();
    let manifest: Cid = info["campaign"].as_str().unwrap().parse().unwrap();
    let text = relay.get(&format!("blob/{manifest}")).unwrap().text();
    let (_before, data) = text.split_once("cid = \"").unwrap();
    let data: Cid = data.split('"').next().unwrap().parse().unwrap();
    let ids = [manifest, data, settled];
    for form in ["raw", "car"] {
        assert_fetched(&fetch(&relay, &[form], &ids), &ids);
    }
    assert_refused(&fetch(&relay, &["raw", "--changing"], &ids), "from any gateway");
    assert_refused(&fetch(&relay, &["car", "--changing"], &ids), "not those of the id");
    assert_refused(&fetch(&relay, &["raw"], &[Cid::of_raw(b"never stored")]), "404");

    // What is damaged on the relay's disk breaks off.
    let file = folder.path().join("relay/blobs").join(settled.to_string());
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    for form in ["raw", "car"] {
        let found = fetch(&relay, &[form], &[settled]);
        assert!(found[0]["refused"].is_string(), "{form}: {}", found[0]);
    }
}

#[test]
fn a_blob_that_is_no_block_to_others_comes_in_an_archive() {
    let (mut relay, folder) = relay(&[]);
    let large = vec![7; LARGEST + 1];
    let id = Cid::of_raw(&large);
    relay.kill();
    // A relay takes what it finds there for a blob that no entry names yet.
    fs::write(folder.path().join("relay/blobs").join(id.to_string()), &large).unwrap();
    relay.restart().unwrap();
    assert_refused(&fetch(&relay, &["raw"], &[id]), "limit");
    assert_fetched(&fetch(&relay, &["car"], &[id]), &[id]);
}
