//! Trainings that others repeat, with a real relay and real nodes.

use std::process::Command;

use lichen_bridge::{Audited, EngineKind, Event};
use lichen_campaign::{Manifest, training_seed};
use lichen_engine::Trainer;
use lichen_learn::{Batches, Dataset, Update};
use lichen_model::Parameters;
use lichen_net::hub::Reason;
use lichen_record::{AccountId, Cid, EngineVersion, RoundNumber};
use lichen_round::Rules;
use serde_json::Value;
use tokio::task::LocalSet;

use crate::relay;
use crate::tab::{Person, Tab};
use lichen_tests::attacker::Attacker;

/// Every training is repeated, and two of them earn an account its weight.
const AUDITED: (&str, &str) = ("share = 0.1", "share = 1\nearn = 2");

/// The same, and contributions have to name a state for every ten steps of 60.
const TRACED: (&str, &str) = ("share = 0.1", "share = 1\nearn = 2\nevery = 10");
const EVERY: u32 = 10;
const STATES: usize = 6;

/// What `lichen verify` says, with these arguments.
fn verify(relay: &lichen_testkit::RelayProcess, arguments: &[&str]) -> Value {
    let program = std::env::var_os("LICHEN_CLI_BIN").expect("run by `cargo xtask test`");
    let mut command = Command::new(program);
    command.args(["verify", "--json", "--relay", &relay.url()]).args(arguments);
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
    let (relay, _folder) = relay(&[TRACED]);
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
    let report = tokio::task::spawn_blocking(move || verify(&relay, &["--repeat-all"])).await.unwrap();
    assert!(report["trainings_audited"].as_u64() >= Some(15), "{report}");
    assert_eq!(report["trainings_audited"], report["trainings_repeated"]);
    assert_eq!(report["disputes_settled"], 0);
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
            let update = invented();
            let engine = Some(cpu());
            liar.contribute_as(update.clone(), engine).await.unwrap();
            // From the round on in which it is found out, nothing of it is taken.
            while liar.contribute_as(update.clone(), engine).await.is_ok() {}
            liar.account()
        })
        .await;
    let report = tokio::task::spawn_blocking(move || verify(&relay, &["--repeat-all"])).await.unwrap();
    assert_eq!(report["expelled"], serde_json::json!([liar]));
}

/// Small enough to be believed.
fn invented() -> Vec<u8> {
    Update::new(vec![1e-3; 64 * 32 + 32 + 32 * 10 + 10]).unwrap().encode().unwrap()
}

/// An engine that anybody can repeat.
fn cpu() -> EngineVersion {
    let kind = EngineKind::Cpu;
    EngineVersion { kind, version: lichen_engine::version(kind) }
}

/// The hashes of the first states of a training as an honest member would train, and nonsense after them.
async fn half_honest(
    manifest: &Manifest,
    data: &Dataset,
    base: &[u8],
    (round, account): (RoundNumber, AccountId),
    honest: u32,
) -> Vec<u8> {
    let rules = Rules::from(manifest);
    let seed = training_seed(rules.seed, round, &account);
    let shard = rules.split.shard(rules.seed, round, &account);
    let mut batches = Batches::new(shard, manifest.train.batch, seed);
    let mut trainer = Trainer::new(EngineKind::Cpu, &manifest.model, &manifest.train).await.unwrap();
    trainer.load(&Parameters::from_safetensors(base).unwrap(), seed).await.unwrap();
    let mut trace = Vec::new();
    for step in 1..=honest * EVERY {
        let (x, labels) = data.gather(&batches.next_batch());
        trainer.step(&x, &labels).await.unwrap();
        if step % EVERY == 0 {
            trace.extend(Cid::of_raw(&trainer.snapshot().await.unwrap()).digest());
        }
    }
    trace.resize(STATES * 32, 7);
    trace
}

#[tokio::test(flavor = "current_thread")]
async fn one_piece_of_its_training_shows_a_liar() {
    let (relay, _folder) = relay(&[TRACED]);
    let (url, get) = (relay.url(), |name: &str| relay.get(name).unwrap().body);
    let site: Value = serde_json::from_slice(&get("lichen.json")).unwrap();
    let manifest = get(&format!("blob/{}", site["campaign"].as_str().unwrap()));
    let manifest = Manifest::from_bytes(&manifest).unwrap();
    let data = Dataset::decode(&get(&format!("blob/{}", manifest.data.cid)), &manifest).unwrap();
    let liar = LocalSet::new()
        .run_until(async {
            let mut tabs = Vec::new();
            for number in 1..=3 {
                tabs.push(Tab::joined(&relay, &Person::new(number)).await);
            }
            for tab in &mut tabs {
                until_confirmed(tab, 2).await;
            }
            let mut liar = Attacker::join(&url, 9).await;
            let (id, engine) = (liar.id(), Some(cpu()));
            let short = liar.contribute_with(invented(), engine, |_round, _base| Some(vec![7; 32])).await;
            assert_eq!(short, Err(Reason::TraceMissing));
            let trace = |round, base| {
                let base = get(&format!("blob/{base}"));
                let trace = half_honest(&manifest, &data, &base, (round, id), 3);
                Some(futures::executor::block_on(trace))
            };
            liar.contribute_with(invented(), engine, trace).await.unwrap();
            while liar.contribute_with(invented(), engine, trace).await.is_ok() {}
            for tab in &mut tabs {
                assert!(!tab.seen(|event| matches!(event, Event::Audited(audited) if audited.expelled)));
            }
            liar.account()
        })
        .await;
    let report = tokio::task::spawn_blocking(move || verify(&relay, &[])).await.unwrap();
    assert_eq!(report["expelled"], serde_json::json!([liar]));
    let disputes = report["disputes_settled"].as_u64().unwrap();
    assert!(disputes >= 1, "{report}");
    assert_eq!(report["disputes_steps"], disputes * u64::from(EVERY), "{report}");
    assert_eq!(report["trainings_repeated"], 0, "{report}");
}
