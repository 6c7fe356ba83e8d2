//! Trainings that others repeat, with a real relay and real nodes.

use std::process::Command;

use lichen_bridge::{Audited, EngineKind, Event};
use lichen_learn::Update;
use lichen_record::EngineVersion;
use serde_json::Value;
use tokio::task::LocalSet;

use crate::relay;
use crate::tab::{Person, Tab};
use lichen_tests::attacker::Attacker;

/// Every training is repeated, and two of them earn an account its weight.
const AUDITED: (&str, &str) = ("[rounds]", "[audit]\nshare = 1\nearn = 2\n[rounds]");

/// What `lichen verify` says after repeating every training that others repeated.
fn verify(relay: &lichen_testkit::RelayProcess) -> Value {
    let program = std::env::var_os("LICHEN_CLI_BIN").expect("run by `cargo xtask test`");
    let mut command = Command::new(program);
    command.args(["verify", "--json", "--repeat-all", "--relay", &relay.url()]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn until_confirmed(tab: &mut Tab, least: u32) {
    let is_it =
        |event: &Event| matches!(event, Event::Audited(Audited { confirmed, .. }) if *confirmed >= least);
    tab.until("its trainings to be repeated", is_it).await;
}

#[tokio::test(flavor = "current_thread")]
async fn honest_tabs_earn_their_weight_and_repeat_each_other() {
    let (relay, _folder) = relay(&[AUDITED]);
    LocalSet::new()
        .run_until(async {
            let mut tabs = Vec::new();
            for number in 1..=3 {
                tabs.push(Tab::joined(&relay, &Person::new(number)).await);
            }
            for tab in &mut tabs {
                // The first two by the coordinator, for nobody else may; then by each other.
                until_confirmed(tab, 5).await;
                assert!(!tab.seen(|event| matches!(event, Event::Audited(audited) if audited.expelled)));
            }
            let by_tabs = relay.get("metrics").unwrap().text();
            assert!(!by_tabs.contains("lichen_faults_total{fault"), "nobody is at fault: {by_tabs}");
        })
        .await;
    let report = tokio::task::spawn_blocking(move || verify(&relay)).await.unwrap();
    assert!(report["trainings_audited"].as_u64() >= Some(15), "{report}");
    assert_eq!(report["trainings_audited"], report["trainings_repeated"]);
    assert_eq!(report["expelled"], Value::Array(Vec::new()));
}

#[tokio::test(flavor = "current_thread")]
async fn who_sends_what_it_did_not_train_is_expelled_and_named() {
    let (relay, _folder) = relay(&[AUDITED]);
    let liar = LocalSet::new()
        .run_until(async {
            let mut tab = Tab::joined(&relay, &Person::new(1)).await;
            until_confirmed(&mut tab, 2).await;
            let mut liar = Attacker::join(&relay.url(), 2).await;
            // Small enough to be believed, and of an engine that anybody can repeat.
            let update = Update::new(vec![1e-3; 64 * 32 + 32 + 32 * 10 + 10]).unwrap().encode().unwrap();
            let kind = EngineKind::Cpu;
            let engine = Some(EngineVersion { kind, version: lichen_engine::version(kind) });
            liar.contribute_as(update.clone(), engine).await.unwrap();
            // From the round on in which it is found out, nothing of it is taken.
            while liar.contribute_as(update.clone(), engine).await.is_ok() {}
            liar.account()
        })
        .await;
    let report = tokio::task::spawn_blocking(move || verify(&relay)).await.unwrap();
    assert_eq!(report["expelled"], serde_json::json!([liar]));
}
