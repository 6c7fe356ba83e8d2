//! What a tab contributes is what anyone gets who trains as it did, to the bit, whatever the number of threads.

use std::path::Path;

use futures::executor::block_on;
use lichen_campaign::{Manifest, training_seed};
use lichen_engine::{EngineKind, EngineVersion, Trainer};
use lichen_learn::{Batches, Dataset, difference};
use lichen_model::Parameters;
use lichen_record::{AccountId, Entry};
use lichen_round::Rules;
use lichen_testkit::{Firefox, TabState};

use super::site::{SOON, Site};

/// Layers that are worth sharing among threads, with fewer steps to replay.
const LARGER: &[(&str, &str)] =
    &[("units = 32", "units = 1024"), ("batch = 32", "batch = 160"), ("steps = 60", "steps = 9")];

#[test]
fn one_thread_trains_as_this_program_does() {
    contributes_what_a_replay_gives(1);
}

#[test]
fn two_threads_train_as_this_program_does() {
    contributes_what_a_replay_gives(2);
}

#[test]
fn two_threads_of_firefox_train_as_this_program_does() {
    let site = Site::start(LARGER);
    let firefox = Firefox::launch().unwrap();
    let fox = firefox.new_page().unwrap();
    fox.navigate(&format!("{}{}", site.relay.url(), query(2))).unwrap();
    fox.click("Join", SOON).unwrap();
    let state = fox.wait_for_state("two contributions", SOON, has_contributed).unwrap();
    assert_eq!(state.threads, Some(2));
    check_contributions(&site);
}

fn contributes_what_a_replay_gives(threads: u32) {
    let site = Site::start(LARGER);
    let page = site.join_with(&query(threads));
    let state = site.wait(&page, "two contributions", SOON, has_contributed);
    assert_eq!(state.threads, Some(threads));
    check_contributions(&site);
}

fn query(threads: u32) -> String {
    format!("?engine=cpu&threads={threads}")
}

fn has_contributed(state: &TabState) -> bool {
    state.contributions >= 2
}

fn check_contributions(site: &Site) {
    for (account, contribution) in site.contributions() {
        let Entry::Contribution { update, engine, .. } = &contribution else { panic!("{contribution:?}") };
        let kind = EngineKind::Cpu;
        let reproducible = EngineVersion { kind, version: lichen_engine::version(kind) };
        assert_eq!(*engine, Some(reproducible), "it has to be the same to the bit");
        let contributed = site.relay.get(&format!("blob/{update}")).unwrap();
        assert!(contributed.body == replay(site, &account, &contribution), "{contribution:?}");
    }
}

/// The update that follows from the campaign, the account and the round.
fn replay(site: &Site, account: &str, contribution: &Entry) -> Vec<u8> {
    let Entry::Contribution { campaign, round, base, .. } = contribution else { panic!("{contribution:?}") };
    let blob = |cid: &dyn std::fmt::Display| site.relay.get(&format!("blob/{cid}")).unwrap().body;
    let manifest = Manifest::from_bytes(&blob(campaign)).unwrap();
    let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("../relay/campaigns/digits/digits.safetensors");
    let dataset = Dataset::decode(&std::fs::read(digits).unwrap(), &manifest).unwrap();
    let base = Parameters::from_safetensors(&blob(base)).unwrap();
    let account: AccountId = account.parse().unwrap();
    let rules = Rules::from(&manifest);
    let shard = rules.split.shard(rules.seed, *round, &account);
    let seed = training_seed(rules.seed, *round, &account);
    let trained = block_on(async {
        let mut trainer = Trainer::new(EngineKind::Cpu, &manifest.model, &manifest.train).await.unwrap();
        trainer.load(&base, seed).await.unwrap();
        let mut batches = Batches::new(shard, manifest.train.batch, seed);
        for _ in 0..rules.steps {
            let (x, answers) = dataset.gather(&batches.next_batch());
            trainer.step(&x, &answers).await.unwrap();
        }
        trainer.parameters().await.unwrap()
    });
    difference(&base, &trained).unwrap().encode().unwrap()
}
