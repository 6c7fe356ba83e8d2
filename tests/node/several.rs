//! Tabs of two campaigns on one relay.

use std::process::Command;

use lichen_bridge::Event;
use lichen_net::hub::{MAX_RECORDS, Records};
use lichen_record::{CampaignId, Entry, Verified, decode, verify};
use lichen_testkit::campaign::shipped;
use lichen_testkit::{RelayProcess, process};
use serde_json::Value;
use tokio::task::LocalSet;

use crate::options;
use crate::tab::{Person, Tab};

const NAMES: [&str; 2] = ["handwritten-digits", "penguins-by-their-measures"];

/// Everything in the log of a campaign.
fn log(relay: &RelayProcess, campaign: CampaignId) -> Vec<Verified<Entry>> {
    let mut entries = Vec::new();
    loop {
        let answer =
            relay.get(&format!("log/{campaign}?from={}&limit={MAX_RECORDS}", entries.len())).unwrap();
        let page: Records = decode(&answer.body, 1 << 22).unwrap();
        if page.records.is_empty() {
            return entries;
        }
        entries.extend(page.records.iter().map(|record| verify::<Entry>(&record.entry).unwrap()));
    }
}

/// What `lichen verify` says, and how it ended.
fn verified(relay: &RelayProcess, campaign: Option<&str>) -> (bool, String) {
    let program = std::env::var_os("LICHEN_CLI_BIN").expect("run by `cargo xtask test`");
    let mut command: Command = process::command(std::path::Path::new(&program));
    command.args(["verify", "--relay", relay.url().trim_end_matches('/')]);
    command.args(campaign.into_iter().flat_map(|campaign| ["--campaign", campaign]));
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "current_thread")]
async fn two_campaigns_settle_rounds_at_once_and_neither_sees_the_others_records() {
    let folder = tempfile::tempdir().unwrap();
    let second = shipped("penguins").to_str().unwrap().to_owned();
    let options = options(&folder, "relay", Some(shipped("digits")));
    let relay = RelayProcess::start_with(options, vec!["--campaign".to_owned(), second]).unwrap();
    let people = [Person::new(1), Person::new(2)];
    LocalSet::new()
        .run_until(async {
            let [digits, penguins] = NAMES;
            let mut digits = Tab::joined_of(&relay, &people[0], digits).await;
            let mut penguins = Tab::joined_of(&relay, &people[1], penguins).await;
            let learned = |tab: &'static str, least: f64, samples: u64| {
                let is_it = move |event: &Event| {
                    matches!(event, Event::Evaluated { round: Some(3..), accuracy, samples: of, .. }
                        if *accuracy >= least && u64::from(*of) == samples)
                };
                (tab, is_it)
            };
            let (name, is_learned) = learned("the digits to be learned", 0.8, 360);
            let (other, is_other_learned) = learned("the penguins to be told apart", 0.9, 69);
            tokio::join!(digits.until(name, is_learned), penguins.until(other, is_other_learned));
        })
        .await;
    let site: Value = serde_json::from_slice(&relay.get("lichen.json").unwrap().body).unwrap();
    for (number, person) in people.iter().enumerate() {
        let listed = &site["campaigns"][number];
        assert_eq!(listed["name"], NAMES[number]);
        let campaign: CampaignId = listed["id"].as_str().unwrap().parse().unwrap();
        let entries = log(&relay, campaign);
        let coordinator = entries[0].account();
        for entry in &entries {
            assert_eq!(entry.get().campaign(), campaign);
            let author = entry.account();
            assert!(author == coordinator || author.to_string() == person.account(), "{author}");
        }
        let (is_right, said) = verified(&relay, Some(NAMES[number]));
        assert!(is_right, "{said}");
    }
    let (is_right, said) = verified(&relay, None);
    assert!(!is_right && NAMES.iter().all(|name| said.contains(name)), "{said}");
}
