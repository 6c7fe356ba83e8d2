//! An organiser who pauses, changes and ends a campaign from the command line, with a real relay and real nodes.

use std::path::Path;
use std::process::Command;

use lichen_bridge::{Event, Phase};
use lichen_log::Record;
use lichen_net::hub::{MAX_RECORDS, Records};
use lichen_record::{Decision, Entry, decode, verify};
use lichen_testkit::RelayProcess;
use serde_json::Value;
use tokio::task::{LocalSet, spawn_blocking};

use crate::relay;
use crate::tab::{Person, Tab};

/// What the command line prints with these arguments, or says is wrong.
fn lichen(arguments: &[&str]) -> Result<String, String> {
    let program = std::env::var_os("LICHEN_CLI_BIN").expect("run by `cargo xtask test`");
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// What it does with a key about the relay's campaign, while tabs go on.
async fn decide(relay: &RelayProcess, key: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut all: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    all.extend(["--relay".into(), relay.url(), "--key".into(), key.display().to_string()]);
    spawn_blocking(move || lichen(&all.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap()
}

fn now(relay: &RelayProcess) -> Value {
    serde_json::from_slice(&relay.get("now.json").unwrap().body).unwrap()
}

/// Everything in the record.
fn entries(relay: &RelayProcess) -> Vec<Entry> {
    let campaign = now(relay)["campaign"].as_str().unwrap().to_owned();
    let mut records: Vec<Record> = Vec::new();
    loop {
        let page = format!("log/{campaign}?from={}&limit={MAX_RECORDS}", records.len());
        let page: Records = decode(&relay.get(&page).unwrap().body, usize::MAX).unwrap();
        if page.records.is_empty() {
            return records
                .iter()
                .map(|record| verify::<Entry>(&record.entry).unwrap().get().clone())
                .collect();
        }
        records.extend(page.records);
    }
}

async fn until_contributed(tab: &mut Tab) {
    let is_it = |event: &Event| matches!(event, Event::Contribution(_));
    tab.until("a contribution", is_it).await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_organiser_pauses_changes_resumes_and_retires_a_campaign() {
    let keys = tempfile::tempdir().unwrap();
    let (key, other) = (keys.path().join("organiser.key"), keys.path().join("other.key"));
    let account_of = |key: &Path| lichen(&["publish", "--key", key.to_str().unwrap()]).unwrap();
    let (account, _other) = (account_of(&key), account_of(&other));
    let organiser = format!("[campaign.organiser]\naccount = \"{account}\"");
    let (relay, _folder) = relay(&[
        ("[campaign.organiser]", &organiser),
        ("interval_seconds = 1.5", "interval_seconds = 0.1"),
        ("[audit]", "[changes]\nlearning_rate = { least = 0.001, most = 0.01 }\n\n[audit]"),
        // Whoever verifies repeats them all.
        ("share = 0.1", "share = 1"),
    ]);
    LocalSet::new()
        .run_until(async {
            let mut tab = Tab::joined(&relay, &Person::new(1)).await;
            until_contributed(&mut tab).await;
            let said = decide(&relay, &other, &["pause"]).await.unwrap_err();
            assert!(said.contains("not the organiser's key"), "{said}");
            let said = decide(&relay, &key, &["resume"]).await.unwrap_err();
            assert!(said.contains("not paused"), "{said}");

            let said = decide(&relay, &key, &["pause", "--json"]).await.unwrap();
            let paused: Value = serde_json::from_str(&said).unwrap();
            tab.until("the pause", |event| matches!(event, Event::Status(Phase::OnHold))).await;
            assert_eq!(now(&relay)["paused"], true);

            let said = decide(&relay, &key, &["change", "--learning-rate", "0.05"]).await.unwrap_err();
            assert!(said.contains("0.001 to 0.01"), "{said}");
            let said = decide(&relay, &key, &["change", "--deadline-seconds", "20"]).await.unwrap_err();
            assert!(said.contains("does not let"), "{said}");
            decide(&relay, &key, &["change", "--learning-rate", "0.004"]).await.unwrap();
            decide(&relay, &key, &["resume"]).await.unwrap();
            let is_changed = |event: &Event| matches!(event, Event::SettingsChanged { .. });
            let changed = tab.until("the change", is_changed).await;
            let Event::SettingsChanged { round, settings, .. } = changed else { unreachable!() };
            assert_eq!(settings.learning_rate, Some(0.004));
            // Somebody else gets the same of all its trainings, so they were done with the rates that the record gives.
            let is_confirmed = |event: &Event| {
                matches!(event, Event::Audited(audited) if u64::from(audited.confirmed) >= round)
            };
            tab.until("its trainings to be repeated", is_confirmed).await;
            assert_eq!(now(&relay)["changes"][0]["settings"]["learning-rate"], 0.004);

            decide(&relay, &key, &["retire"]).await.unwrap_err();
            decide(&relay, &key, &["retire", "--yes"]).await.unwrap();
            tab.until("the end", |event| matches!(event, Event::Status(Phase::Retired))).await;
            let said = decide(&relay, &key, &["pause"]).await.unwrap_err();
            assert!(said.contains("retired the campaign"), "{said}");

            let entries = entries(&relay);
            let place = |wanted: Decision| {
                let is_it =
                    |entry: &Entry| matches!(entry, Entry::Decided { decision, .. } if *decision == wanted);
                entries.iter().position(is_it).unwrap()
            };
            let (pause, resume) = (place(Decision::Pause), place(Decision::Resume));
            assert_eq!(paused["place"], pause);
            let is_opening = |entry: &&Entry| matches!(entry, Entry::RoundOpened { .. });
            assert_eq!(entries[pause..resume].iter().filter(is_opening).count(), 0, "{entries:?}");
            assert!(entries[resume..].iter().any(|entry| is_opening(&entry)), "{entries:?}");
            assert_eq!(place(Decision::Retire), entries.len() - 1, "nothing comes after it");
        })
        .await;
    let url = relay.url();
    let verified = spawn_blocking(move || lichen(&["verify", "--json", "--repeat-all", "--relay", &url]));
    let report: Value = serde_json::from_str(&verified.await.unwrap().unwrap()).unwrap();
    assert!(report["trainings_repeated"].as_u64() >= Some(2), "{report}");
}
