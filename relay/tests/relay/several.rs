//! One relay serves many campaigns, and each goes on as if it were alone.

use std::fs;
use std::path::Path;

use lichen_net::hub::{Reason, Reply, Request};
use lichen_record::{CampaignId, Cid, Entry, RoundNumber, verify};
use lichen_testkit::campaign::write_changed;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::campaign::{
    attest, contribute, contribution, join_and_wait_for_round, take_part, update, wait_for_round,
};
use crate::process::Relay;
use crate::tab::{Tab, refused};

const TITLE: &str = "title = \"Handwritten digits\"";

/// What `lichen.json` says of all campaigns.
#[derive(Deserialize)]
struct Site {
    campaign: CampaignId,
    name: String,
    title: String,
    campaigns: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: CampaignId,
    name: String,
    title: String,
}

async fn site(relay: &Relay, path: &str) -> Site {
    serde_json::from_slice(&relay.get(path).await.body).unwrap()
}

/// Writes the digits campaign under another title, and what further is changed.
fn write(folder: &Path, title: &str, changes: &[(&str, &str)]) {
    fs::create_dir_all(folder).unwrap();
    let title = format!("title = \"{title}\"");
    write_changed(folder, &[&[(TITLE, title.as_str())], changes].concat()).unwrap();
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A relay of two campaigns, with their folders.
async fn two(changes: &[(&str, &str)]) -> (Relay, TempDir) {
    let folder = TempDir::new().unwrap();
    let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
    write(&one, "One campaign", changes);
    write(&other, "Another campaign", changes);
    let relay = Relay::start_with(&["--campaign", text(&one), "--campaign", text(&other)]).await;
    (relay, folder)
}

/// A tab of the relay's campaign in this place of the list.
async fn tab_of(relay: &Relay, place: usize, seed: u8) -> Tab {
    let mut tab = Tab::start(relay, seed).await;
    tab.campaign = site(relay, "lichen.json").await.campaigns[place].id;
    tab
}

/// Waits until the relay lists so many campaigns.
async fn until_listed(relay: &Relay, count: usize) -> Vec<Listed> {
    let listed = async {
        loop {
            let campaigns = site(relay, "lichen.json").await.campaigns;
            if campaigns.len() >= count {
                return campaigns;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, listed).await.unwrap_or_else(|_late| panic!("never {count}: {}", relay.log()))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_campaigns_settle_rounds_at_once_and_neither_has_the_others_records() {
    let (relay, _folder) = two(&[]).await;
    let (one, other) = (tab_of(&relay, 0, 1).await, tab_of(&relay, 1, 2).await);
    assert_ne!(one.campaign, other.campaign);
    let rounds = async |tab: &Tab, step: f32| {
        let first = join_and_wait_for_round(tab).await;
        let (result, _) = take_part(tab, first, step).await;
        let second = wait_for_round(tab, first.0.next()).await;
        assert_eq!(second.1, result);
        take_part(tab, second, step).await;
        let is_settled =
            |entry: &Entry| matches!(entry, Entry::RoundOpened { round, .. } if *round == second.0.next());
        tab.follow_until(is_settled).await.0
    };
    let (of_one, of_other) = tokio::join!(rounds(&one, 0.01), rounds(&other, 0.02));
    for (records, tab, stranger) in [(of_one, &one, &other), (of_other, &other, &one)] {
        for record in records {
            let entry = verify::<Entry>(&record.entry).unwrap();
            assert_eq!(entry.get().campaign(), tab.campaign);
            assert_ne!(entry.account(), stranger.account());
        }
    }
    for name in ["one-campaign", "another-campaign"] {
        assert_eq!(relay.metric(&format!("lichen_rounds_settled{{campaign=\"{name}\"}}")).await, 2, "{name}");
        let now = relay.get(&format!("now.json?campaign={name}")).await.text();
        assert!(now.contains("\"settled\":2"), "{now}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_the_relay_names_each_campaign_and_the_first_where_none_is_asked_for() {
    let (relay, _folder) = two(&[]).await;
    let first = site(&relay, "lichen.json").await;
    assert_eq!((first.campaign, first.name.as_str()), (first.campaigns[0].id, "one-campaign"));
    let second = &first.campaigns[1];
    assert_eq!((second.name.as_str(), second.title.as_str()), ("another-campaign", "Another campaign"));
    for which in [second.id.to_string(), second.name.clone()] {
        let asked = site(&relay, &format!("lichen.json?campaign={which}")).await;
        assert_eq!((asked.campaign, asked.title.as_str()), (second.id, "Another campaign"));
    }
    for path in ["lichen.json?campaign=none", "now.json?campaign=none", "lichen.json?campaign="] {
        assert_eq!(relay.get(path).await.status, 404, "{path}");
    }
    for listed in &first.campaigns {
        assert_eq!(relay.get(&format!("log/{}?from=0", listed.id)).await.status, 200);
        assert_eq!(relay.get(&format!("log/{}/checkpoint", listed.id)).await.status, 200);
    }
    // A log of its own under each id; and none of a third.
    let mut tab = Tab::start(&relay, 1).await;
    tab.campaign = CampaignId::of_manifest(b"a third");
    let watch = Request::Watch { campaign: tab.campaign, from: 0 };
    assert_eq!(refused(&tab.ask(watch).await), Reason::UnknownCampaign);
    let entry = Entry::Joined { campaign: tab.campaign, sequence: 1 };
    assert_eq!(refused(&tab.append(&entry).await), Reason::UnknownCampaign);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_tab_is_gone_from_its_campaign_though_the_account_has_another_open_elsewhere() {
    let (relay, _folder) = two(&[("deadline_seconds = 10", "deadline_seconds = 60")]).await;
    let (one, two) = (tab_of(&relay, 0, 1).await, tab_of(&relay, 0, 2).await);
    let elsewhere = tab_of(&relay, 1, 2).await;
    elsewhere.join(1).await;
    two.join(1).await;
    one.join(1).await;
    let (round, base) = wait_for_round(&one, RoundNumber::FIRST).await;
    let bytes = contribute(&one, (round, base), 0.01).await;
    contribute(&two, (round, base), 0.01).await;
    let both = [bytes.clone(), bytes];
    tokio::join!(attest(&one, (round, base), &both), attest(&two, (round, base), &both));
    let second = wait_for_round(&one, round.next()).await;
    let gone = std::time::Instant::now();
    drop(two);
    take_part(&one, second, 0.01).await;
    wait_for_round(&one, second.0.next()).await;
    assert!(gone.elapsed() < std::time::Duration::from_secs(10), "{:?}", gone.elapsed());
    let is_there = elsewhere.follow_until(|entry| matches!(entry, Entry::RoundOpened { .. })).await;
    assert!(!is_there.0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_quota_in_one_campaign_is_none_of_the_others() {
    let (_relay, folder) = two(&[]).await;
    let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
    let options = ["--campaign", text(&one), "--campaign", text(&other), "--entries-per-minute", "2"];
    let relay = Relay::start_with(&options).await;
    let (here, there) = (tab_of(&relay, 0, 1).await, tab_of(&relay, 1, 1).await);
    here.join(1).await;
    here.append_well(&Entry::Left { campaign: here.campaign, sequence: 2 }).await;
    let third = here.append(&Entry::Joined { campaign: here.campaign, sequence: 3 }).await;
    assert_eq!(refused(&third), Reason::QuotaEntries);
    there.join(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_added_to_the_folder_is_served_and_a_faulty_one_disturbs_nobody() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("b"), "The first", &[]);
    let mut relay = Relay::start_with(&["--campaigns", text(folder.path())]).await;
    let tab = tab_of(&relay, 0, 1).await;
    let round = join_and_wait_for_round(&tab).await;

    // A manifest with other data than it names, and one that is no manifest.
    write(&folder.path().join("faulty"), "Faulty", &[]);
    fs::write(folder.path().join("faulty/digits.safetensors"), "other data").unwrap();
    fs::create_dir(folder.path().join("none")).unwrap();
    fs::write(folder.path().join("none/campaign.toml"), "version = 1").unwrap();
    relay.metric_reaches("lichen_campaigns_faulty", 2).await;
    let log = relay.log();
    assert!(log.contains("faulty is not served") && log.contains("none is not served"), "{log}");

    write(&folder.path().join("a"), "The second", &[]);
    let listed = until_listed(&relay, 2).await;
    assert_eq!(listed[1].name, "the-second", "what comes later comes after");
    let mut other = tab_of(&relay, 1, 2).await;
    assert_eq!(other.campaign, listed[1].id);
    let (settled, _) = take_part(&other, join_and_wait_for_round(&other).await, 0.02).await;
    let (result, _) = take_part(&tab, round, 0.01).await;
    wait_for_round(&tab, round.0.next()).await;
    wait_for_round(&other, RoundNumber(2)).await;

    // What was faulty is served once it is not any more.
    fs::remove_dir_all(folder.path().join("faulty")).unwrap();
    write(&folder.path().join("none"), "The third", &[]);
    until_listed(&relay, 3).await;
    relay.metric_falls("lichen_campaigns_faulty", 0).await;

    // After a restart each log goes on from where it was.
    relay.kill_and_restart().await;
    for (id, base) in [(tab.campaign, result), (listed[1].id, settled)] {
        other = Tab::start(&relay, 3).await;
        other.campaign = id;
        assert_eq!(wait_for_round(&other, RoundNumber(2)).await.1, base);
    }
    assert_eq!(site(&relay, "lichen.json").await.campaigns.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_of_one_campaign_gets_a_second_and_its_log_goes_on() {
    let mut relay = Relay::start().await;
    let tab = Tab::start(&relay, 1).await;
    let first = join_and_wait_for_round(&tab).await;
    let (result, _) = take_part(&tab, first, 0.01).await;
    wait_for_round(&tab, RoundNumber(2)).await;
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("b"), "The second", &[]);
    lichen_testkit::campaign::write_changed(folder.path(), &[]).unwrap();
    relay.kill().await;
    let options = ["--campaign", text(folder.path()), "--campaigns", text(folder.path())];
    let relay = Relay::start_in(relay.data, &options).await;
    assert_eq!(until_listed(&relay, 2).await[0].id, tab.campaign);
    let tab = Tab::start(&relay, 1).await;
    assert_eq!(wait_for_round(&tab, RoundNumber(2)).await.1, result);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_both_campaigns_name_is_one_and_stays() {
    let (mut relay, _folder) = two(&[]).await;
    let (one, other) = (tab_of(&relay, 0, 1).await, tab_of(&relay, 1, 2).await);
    for tab in [&one, &other] {
        let round = join_and_wait_for_round(tab).await;
        assert_eq!(contribute(tab, round, 0.01).await, update(0.01));
    }
    relay.kill_and_restart().await;
    let cid = Cid::of_raw(&update(0.01));
    let tab = Tab::start(&relay, 3).await;
    assert_eq!(tab.get(cid).await, update(0.01));
    assert!(matches!(tab.ask(Request::GetBlob { cid }).await, Reply::Blob { .. }));
    assert_eq!(
        fs::read_dir(relay.data.path().join("blobs"))
            .unwrap()
            .filter(|item| { item.as_ref().unwrap().file_name().to_str() == Some(cid.to_string().as_str()) })
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_follows_all_campaigns_of_another_and_those_that_come() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("a"), "The first", &[]);
    write(&folder.path().join("b"), "The second", &[]);
    let leader = Relay::start_with(&["--campaigns", text(folder.path())]).await;
    let tab = tab_of(&leader, 1, 1).await;
    let round = join_and_wait_for_round(&tab).await;
    take_part(&tab, round, 0.01).await;
    wait_for_round(&tab, RoundNumber(2)).await;
    let mut follower = Relay::start_with(&["--follow", &leader.url]).await;
    let copied = async |follower: &Relay, count: usize| {
        let of_leader = until_listed(&leader, count).await;
        let of_follower = until_listed(follower, count).await;
        for (one, other) in of_leader.iter().zip(&of_follower) {
            assert_eq!((one.id, &one.name), (other.id, &other.name));
            let length = leader.metric(&format!("lichen_log_length{{campaign=\"{}\"}}", one.name)).await;
            let name = format!("lichen_log_length{{campaign=\"{}\"}}", one.name);
            follower.metric_reaches(&name, length).await;
        }
    };
    copied(&follower, 2).await;
    write(&folder.path().join("c"), "The third", &[]);
    copied(&follower, 3).await;
    follower.kill_and_restart().await;
    copied(&follower, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_full_takes_no_contributions_and_the_others_go_on() {
    let folder = TempDir::new().unwrap();
    let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
    write(&one, "One campaign", &[]);
    write(&other, "Another campaign", &[]);
    let campaigns = ["--campaign", text(&one), "--campaign", text(&other)];
    // The data, the manifest and the first checkpoint, and then three blocks for each update and for each checkpoint.
    let mut relay = Relay::start_with(&[&campaigns[..], &["--campaign-bytes", "190000"]].concat()).await;
    let (full, others) = (tab_of(&relay, 0, 1).await, tab_of(&relay, 1, 2).await);
    let mut round = join_and_wait_for_round(&full).await;
    let mut settled = 0;
    let reply = loop {
        let update = update(0.01 * round.0.0 as f32);
        let cid = full.put(update.clone()).await;
        let reply = full.append(&contribution(&full, round.0, round.1, cid)).await;
        if !matches!(reply, Reply::Receipt { .. }) {
            break reply;
        }
        attest(&full, round, &[update]).await;
        settled += 1;
        round = wait_for_round(&full, round.0.next()).await;
    };
    assert_eq!((refused(&reply), settled), (Reason::CampaignFull, 2));
    relay.metric_reaches("lichen_stalled{cause=\"campaign_full\",campaign=\"one-campaign\"}", 1).await;
    let ready = relay.get("health/ready").await;
    assert!(ready.status == 200 && ready.text().contains("one-campaign stands still"), "{}", ready.text());
    assert_eq!(relay.metric("lichen_pinned_bytes_most{campaign=\"one-campaign\"}").await, 190_000);
    let taken = relay.metric("lichen_pinned_bytes{campaign=\"one-campaign\"}").await;
    assert!((177_713..=190_000).contains(&taken), "{taken}");
    let first = join_and_wait_for_round(&others).await;
    take_part(&others, first, 0.01).await;
    wait_for_round(&others, first.0.next()).await;

    // What is counted is counted still after a start, and more room is all that it takes.
    relay.kill().await;
    let Relay { data, .. } = relay;
    let relay = Relay::start_in(data, &[&campaigns[..], &["--campaign-bytes", "250000"]].concat()).await;
    let full = tab_of(&relay, 0, 1).await;
    let names = "lichen_pinned_bytes{campaign=\"one-campaign\"}";
    relay.metric_reaches(names, taken).await;
    assert_eq!(relay.metric(names).await, taken);
    take_part(&full, round, 0.03).await;
    wait_for_round(&full, round.0.next()).await;
}
