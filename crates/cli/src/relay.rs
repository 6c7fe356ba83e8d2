//! What a relay shows to auditors over plain HTTP.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};
use lichen_log::MAX_RECORD;
use lichen_net::hub::{MAX_RECORDS, Records};
use lichen_record::{CampaignId, Cid, MAX_ENVELOPE, decode};
use serde::Deserialize;
use ureq::http::StatusCode;

use crate::audit::{Source, SourceError};

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

    /// The campaign that the relay's page offers.
    pub(crate) fn campaign(&self) -> anyhow::Result<CampaignId> {
        let bytes =
            self.get("/lichen.json", MAX_INFO).with_context(|| format!("{}/lichen.json", self.url))?;
        let info: Info = serde_json::from_slice(&bytes).context("lichen.json is not what a relay serves")?;
        Ok(info.campaign)
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

impl Source for Relay {
    fn records(&mut self, campaign: CampaignId, from: u64, limit: usize) -> Result<Records, SourceError> {
        let bytes = self.get(&format!("/log/{campaign}?from={from}&limit={limit}"), MAX_PAGE)?;
        decode(&bytes, MAX_PAGE).map_err(|error| SourceError::Malformed(error.to_string()))
    }

    fn blob(&mut self, cid: &Cid, cap: usize) -> Result<Vec<u8>, SourceError> {
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
