//! What a relay shows to auditors over plain HTTP.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lichen_audit::{Source, SourceError};
use lichen_log::tree::{TILE_WIDTH, TilePath};
use lichen_log::{MAX_NOTE, MAX_RECORD};
use lichen_net::hub::{MAX_RECORDS, Records};
use lichen_record::text::plain;
use lichen_record::{CampaignId, Cid, MAX_ENVELOPE, decode};
use serde::Deserialize;
use ureq::http::StatusCode;

use crate::tree_source::{Shown, TreeSource};

/// Most bytes of `/lichen.json`.
const MAX_INFO: usize = 64 * 1024;

/// Most bytes of a page of records.
const MAX_PAGE: usize = MAX_RECORDS * MAX_RECORD + MAX_ENVELOPE + 1024;

/// A relay's HTTP side.
pub(crate) struct Relay {
    url: String,
    agent: ureq::Agent,
}

/// What we need of `/lichen.json`.
#[derive(Deserialize)]
struct Info {
    /// The one that it is about.
    campaign: CampaignId,
    #[serde(default)]
    peer: String,
    log_key: Option<LogKeyInfo>,
    /// All that the relay serves; none where it is of a version that serves only one.
    #[serde(default)]
    campaigns: Vec<Listed>,
}

/// One of them.
#[derive(Deserialize)]
struct Listed {
    id: CampaignId,
    name: String,
    title: String,
}

/// What it says of the key that signs the log's checkpoints.
#[derive(Deserialize)]
struct LogKeyInfo {
    certificate: String,
}

/// The tree of one log that a relay serves.
pub(crate) struct RelayTree<'a> {
    relay: &'a Relay,
    campaign: CampaignId,
}

impl Relay {
    /// A relay at `http://host:port`, a path in front of the relay's own allowed.
    pub(crate) fn new(url: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .timeout_recv_body(Some(Duration::from_secs(600)))
            .user_agent(concat!("lichen/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { url: url.trim_end_matches('/').to_owned(), agent }
    }

    /// The campaign of this id or name; without one, the relay's only campaign.
    pub(crate) fn campaign(&self, which: Option<&str>) -> anyhow::Result<CampaignId> {
        if let Some(id) = which.and_then(|which| which.parse().ok()) {
            return Ok(id);
        }
        let info = self.info("/lichen.json").with_context(|| format!("{}/lichen.json", self.url))?;
        choose(&info, which).with_context(|| self.url.clone())
    }

    /// The relay's peer id, which what is signed for it names.
    pub(crate) fn peer(&self) -> anyhow::Result<String> {
        Ok(self.info("/lichen.json").with_context(|| format!("{}/lichen.json", self.url))?.peer)
    }

    /// Whether the relay serves this campaign.
    pub(crate) fn serves(&self, campaign: CampaignId) -> anyhow::Result<bool> {
        match self.info(&format!("/lichen.json?campaign={campaign}")) {
            Ok(info) => Ok(info.campaign == campaign),
            Err(SourceError::NotFound) => Ok(false),
            Err(error) => Err(error).context(self.url.clone()),
        }
    }

    /// Hands over a campaign.
    pub(crate) fn publish(&self, authorization: &str, campaign: &[u8]) -> anyhow::Result<()> {
        let url = format!("{}/campaigns", self.url);
        // A campaign that is refused is not sent, so that the reason comes through.
        let request =
            self.agent.post(&url).header("authorization", authorization).header("expect", "100-continue");
        let mut answer = request.send(campaign).context(url)?;
        if answer.status() == StatusCode::OK {
            return Ok(());
        }
        let mut why = String::new();
        // Whatever it says besides its status is for people.
        let _unreadable = answer.body_mut().as_reader().take(4 * 1024).read_to_string(&mut why);
        bail!("{} does not take it ({}): {}", self.url, answer.status(), plain(&why))
    }

    /// The sequence number of the organiser's last decision, by the relay's word.
    pub(crate) fn decided(&self, campaign: CampaignId) -> anyhow::Result<u64> {
        #[derive(Deserialize)]
        struct Now {
            #[serde(default)]
            decided: u64,
        }
        let bytes = self.get(&format!("/now.json?campaign={campaign}"), MAX_INFO).context("now.json")?;
        Ok(serde_json::from_slice::<Now>(&bytes).context("now.json is not what a relay serves")?.decided)
    }

    /// Hands over an organiser's signed decision, and gives the signed receipt.
    pub(crate) fn decide(&self, campaign: CampaignId, entry: &[u8]) -> anyhow::Result<Vec<u8>> {
        let url = format!("{}/log/{campaign}", self.url);
        let mut answer = self.agent.post(&url).send(entry).context(url)?;
        let mut body = Vec::new();
        let read = answer.body_mut().as_reader().take(MAX_ENVELOPE as u64).read_to_end(&mut body);
        match answer.status() {
            StatusCode::OK => read.map(|_length| body).context("the relay's receipt"),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND => {
                bail!("{} takes no decisions: it is of an earlier version, or has no such campaign", self.url)
            }
            status => {
                bail!("{} does not take it ({status}): {}", self.url, plain(&String::from_utf8_lossy(&body)))
            }
        }
    }

    /// The tree of a campaign's log.
    pub(crate) const fn tree(&self, campaign: CampaignId) -> RelayTree<'_> {
        RelayTree { relay: self, campaign }
    }

    fn info(&self, path: &str) -> Result<Info, SourceError> {
        let bytes = self.get(path, MAX_INFO)?;
        let malformed =
            |error| SourceError::Malformed(format!("lichen.json is not what a relay serves: {error}"));
        serde_json::from_slice(&bytes).map_err(malformed)
    }

    fn get(&self, path: &str, cap: usize) -> Result<Vec<u8>, SourceError> {
        let unreachable = |error: &dyn std::error::Error| SourceError::Unreachable(error.to_string());
        let mut response =
            self.agent.get(format!("{}{path}", self.url)).call().map_err(|error| unreachable(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(SourceError::NotFound),
            status => return Err(SourceError::Unreachable(format!("the relay answered {status}"))),
        }
        // One byte more than allowed, so that a body that is too long differs from one that just fits.
        let mut bytes = Vec::new();
        let mut body = response.body_mut().as_reader().take(cap as u64 + 1);
        body.read_to_end(&mut bytes).map_err(|error| unreachable(&error))?;
        if bytes.len() > cap {
            return Err(SourceError::TooLarge { cap });
        }
        Ok(bytes)
    }
}

/// The campaign that is asked for, of those that a relay has.
fn choose(info: &Info, which: Option<&str>) -> anyhow::Result<CampaignId> {
    let Info { campaign, campaigns, .. } = info;
    let Some(name) = which else {
        ensure!(
            campaigns.len() <= 1,
            "this relay has several campaigns: say which one with --campaign\n{}",
            listed(campaigns)
        );
        return Ok(*campaign);
    };
    let found = campaigns.iter().find(|one| one.name == name);
    let found =
        found.with_context(|| format!("this relay has no campaign {name:?}. It has\n{}", listed(campaigns)));
    Ok(found?.id)
}

/// A line for each; what a relay says is printed so that it can disguise nothing.
fn listed(campaigns: &[Listed]) -> String {
    let line = |Listed { id, name, title }: &Listed| format!("  {} ({}): {id}\n", plain(name), plain(title));
    campaigns.iter().map(line).collect::<String>().trim_end().to_owned()
}

impl Shown for RelayTree<'_> {
    fn log_key(&mut self) -> Result<Vec<u8>, SourceError> {
        // A relay of an earlier version has none.
        let info = self.relay.info(&format!("/lichen.json?campaign={}", self.campaign))?;
        let key = info.log_key.ok_or(SourceError::NotFound)?;
        STANDARD.decode(key.certificate).map_err(|error| SourceError::Malformed(error.to_string()))
    }

    fn log_checkpoint(&mut self) -> Result<Vec<u8>, SourceError> {
        self.relay.get(&format!("/log/{}/checkpoint", self.campaign), MAX_NOTE)
    }

    fn witnessed_checkpoint(&mut self) -> Result<Vec<u8>, SourceError> {
        self.relay.get(&format!("/log/{}/witnessed", self.campaign), MAX_NOTE)
    }
}

impl TreeSource for RelayTree<'_> {
    fn tile(&mut self, path: &TilePath) -> Result<Vec<u8>, SourceError> {
        self.relay.get(&format!("/log/{}/{path}", self.campaign), TILE_WIDTH * 32)
    }

    fn cosign(&mut self, note: &[u8]) -> Result<(), SourceError> {
        let url = format!("{}/log/{}/cosignature", self.relay.url, self.campaign);
        let answer = self.relay.agent.post(url).send(note);
        let mut answer = answer.map_err(|error| SourceError::Unreachable(error.to_string()))?;
        if answer.status() == StatusCode::OK {
            return Ok(());
        }
        let mut why = String::new();
        // Whatever it says besides its status is for people.
        let _unreadable = answer.body_mut().as_reader().take(1024).read_to_string(&mut why);
        Err(SourceError::Unreachable(format!("the relay answered {}: {why}", answer.status())))
    }
}

impl Source for Relay {
    async fn records(&self, campaign: CampaignId, from: u64, limit: usize) -> Result<Records, SourceError> {
        let bytes = self.get(&format!("/log/{campaign}?from={from}&limit={limit}"), MAX_PAGE)?;
        decode(&bytes, MAX_PAGE).map_err(|error| SourceError::Malformed(error.to_string()))
    }

    async fn blob(&self, cid: &Cid, cap: usize) -> Result<Vec<u8>, SourceError> {
        self.get(&format!("/blob/{cid}"), cap)
    }
}

/// Checks that a relay's address is one that can be asked.
pub(crate) fn parse_url(url: &str) -> anyhow::Result<String> {
    let uri: ureq::http::Uri = url.parse().context("not a URL")?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.authority().is_some() && uri.query().is_none() => Ok(url.to_owned()),
        _ => bail!("expected http://host:port or https://host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(campaigns: &[&str]) -> Info {
        let id = |name: &str| CampaignId::of_manifest(name.as_bytes());
        let listed =
            |name: &&str| Listed { id: id(name), name: (*name).into(), title: "A \u{202e}title".into() };
        Info {
            campaign: id("digits"),
            peer: String::new(),
            log_key: None,
            campaigns: campaigns.iter().map(listed).collect(),
        }
    }

    #[test]
    fn the_only_campaign_needs_no_name_and_of_several_one_is_named() {
        let digits = CampaignId::of_manifest(b"digits");
        for only in [&[][..], &["digits"]] {
            assert_eq!(choose(&info(only), None).unwrap(), digits, "also where a relay lists none");
        }
        let several = info(&["digits", "tides"]);
        assert_eq!(choose(&several, Some("tides")).unwrap(), CampaignId::of_manifest(b"tides"));
        let untold = choose(&several, None).unwrap_err().to_string();
        assert!(
            untold.contains("--campaign\n  digits (") && untold.contains(&digits.to_string()),
            "{untold}"
        );
        let unknown = choose(&several, Some("birds")).unwrap_err().to_string();
        assert!(unknown.contains("no campaign \"birds\"") && unknown.contains("  tides ("), "{unknown}");
        assert!(!untold.contains('\u{202e}'), "{untold}");
    }
}
