//! Organisers whom the operator lists publish campaigns to a running relay.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lichen_net::publishing::{Publication, SCHEME, body};
use lichen_record::{CampaignId, SigningKey};
use lichen_testkit::campaign::{shipped, write_changed};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::PATIENCE;
use crate::campaign::join_and_wait_for_round;
use crate::process::Relay;
use crate::tab::{Tab, now};

/// A campaign to be published.
struct Ready {
    id: CampaignId,
    body: Vec<u8>,
}

fn ready(folder: &Path, data: &str) -> Ready {
    let manifest = fs::read(folder.join("campaign.toml")).unwrap();
    let data = fs::read(folder.join(data)).unwrap();
    Ready { id: CampaignId::of_manifest(&manifest), body: body(&manifest, &data).unwrap() }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::generate([seed; 32])
}

/// A relay that takes campaigns of the first key's account, with a folder of campaigns that has one.
async fn relay() -> (Relay, TempDir) {
    relay_with(&[]).await
}

async fn relay_with(options: &[&str]) -> (Relay, TempDir) {
    let folder = TempDir::new().unwrap();
    write_changed(&folder.path().join("digits"), &[]).unwrap();
    let (campaigns, account) = (folder.path().to_str().unwrap(), key(1).account().to_string());
    let own = ["--campaigns", campaigns, "--publisher", &account];
    let relay = Relay::start_with(&[&own[..], options].concat()).await;
    (relay, folder)
}

/// The digits campaign under another title.
fn titled(title: &str) -> Ready {
    let folder = TempDir::new().unwrap();
    let title = format!("title = \"{title}\"");
    write_changed(folder.path(), &[("title = \"Handwritten digits\"", &title)]).unwrap();
    ready(folder.path(), "digits.safetensors")
}

/// Publishes a campaign by somebody's key.
async fn publish(relay: &Relay, key: &SigningKey, campaign: &Ready) -> (u16, String) {
    let header = signed(key, &publication(relay, campaign.id).await);
    post(relay, &header, &campaign.body).await
}

fn signed(key: &SigningKey, publication: &Publication) -> String {
    format!("{SCHEME} {}", STANDARD.encode(key.sign(publication).unwrap()))
}

async fn publication(relay: &Relay, campaign: CampaignId) -> Publication {
    Publication { campaign, relay: relay.info().await.peer, issued: now() }
}

/// Posts a campaign; the status and what is said.
async fn post(relay: &Relay, authorization: &str, body: &[u8]) -> (u16, String) {
    let mut stream = relay.connect().await;
    let head = format!(
        "POST /campaigns HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nAuthorization: {authorization}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, said) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), said.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_organiser_publishes_and_rounds_begin_without_a_restart() {
    let (relay, folder) = relay().await;
    let Ready { id, body } = ready(&shipped("penguins"), "penguins.safetensors");
    let header = signed(&key(1), &publication(&relay, id).await);
    let (status, said) = post(&relay, &header, &body).await;
    assert_eq!(status, 200, "{said}");
    relay.metric_reaches("lichen_campaigns", 2).await;
    let mut tab = Tab::start(&relay, 2).await;
    tab.campaign = id;
    join_and_wait_for_round(&tab).await;
    // Again is no harm, and nothing half written is left.
    assert_eq!(post(&relay, &header, &body).await.0, 200);
    let names = fs::read_dir(folder.path()).unwrap().map(|item| item.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.to_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, [id.to_string(), "digits".to_owned()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_publishes_and_nothing_else_than_what_was_signed() {
    let (relay, folder) = relay().await;
    let Ready { id, body: whole } = ready(&shipped("penguins"), "penguins.safetensors");
    let right = publication(&relay, id).await;
    let other =
        Publication { relay: "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA".into(), ..right.clone() };
    let old = Publication { issued: now() - 25 * 60 * 60 * 1_000, ..right.clone() };
    let unnamed = Publication { campaign: CampaignId::of_manifest(b"another"), ..right.clone() };
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (header, body, status, said) in [
        (String::new(), &whole[..], 401, "not signed"),
        (format!("{SCHEME} AAAA"), &whole, 401, "not signed"),
        (signed(&key(2), &right), &whole, 403, "--publisher did:key:"),
        (signed(&key(1), &other), &whole, 403, "another relay"),
        (signed(&key(1), &old), &whole, 403, "clocks"),
        (signed(&key(1), &unnamed), &whole, 422, "not the one that was signed"),
        (signed(&key(1), &right), &whole[..20], 422, "cut short"),
        (signed(&key(1), &right), &changed, 422, "data.cid"),
    ] {
        let (found, why) = post(&relay, &header, body).await;
        assert!(found == status && why.contains(said), "{found} {why}, not {status} {said}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of them");
    let closed = Relay::start().await;
    let header = signed(&key(1), &publication(&closed, id).await);
    assert_eq!(post(&closed, &header, &whole).await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_anybody_may_publish_nobody_has_more_than_a_share() {
    let open = ["--publisher", "open", "--campaigns-per-publisher", "1", "--max-published-campaigns", "2"];
    let (mut relay, _folder) =
        relay_with(&[&open[..], &["--published-campaign-bytes", "150000"]].concat()).await;
    let [a, b, c, d, e] = ["A", "B", "C", "D", "E"].map(titled);
    assert_eq!(publish(&relay, &key(2), &a).await.0, 200);
    // It is served first, and again after a start: what is counted is on disk.
    relay.metric_reaches("lichen_campaigns", 2).await;
    relay.kill_and_restart().await;
    let (status, why) = publish(&relay, &key(2), &b).await;
    assert!(status == 409 && why.contains("--campaigns-per-publisher"), "{status} {why}");
    assert_eq!(publish(&relay, &key(2), &a).await.0, 200, "it is there already");
    assert_eq!(publish(&relay, &key(3), &b).await.0, 200);
    let (status, why) = publish(&relay, &key(4), &c).await;
    assert!(status == 409 && why.contains("--max-published-campaigns"), "{status} {why}");
    for listed in [&c, &d, &e] {
        assert_eq!(publish(&relay, &key(1), listed).await.0, 200, "the operator lists this account");
    }
    assert_eq!(relay.metric("lichen_limited_total{limit=\"campaigns_per_publisher\"}").await, 1);
    assert_eq!(relay.metric("lichen_limited_total{limit=\"published_campaigns\"}").await, 1);
    relay.metric_reaches("lichen_pinned_bytes_most{campaign=\"a\"}", 150_000).await;
    relay.metric_reaches("lichen_pinned_bytes_most{campaign=\"handwritten-digits\"}", 1 << 36).await;
}
