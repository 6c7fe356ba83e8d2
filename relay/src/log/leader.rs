//! The relay that is followed, asked over HTTP as an auditor asks it. Nothing that it says is believed here.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use lichen_log::{MAX_NOTE, MAX_RECORD};
use lichen_net::hub::{MAX_RECORDS, Records};
use lichen_net::swarm::libp2p::Multiaddr;
use lichen_record::{AccountId, CampaignId, Cid, MAX_BLOB, MAX_ENVELOPE, decode};
use serde::Deserialize;
use tokio::sync::watch;
use ureq::http::StatusCode;

/// Longest time that the leader holds an answer back while its log does not grow, in seconds.
const WAIT: u32 = 10;

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Longest time until an answer begins, that of holding it back included.
const ANSWER_PATIENCE: Duration = Duration::from_secs(15);

const BODY_PATIENCE: Duration = Duration::from_secs(120);

/// Most bytes of `lichen.json`, and of a page of records.
const MAX_INFO: usize = 64 * 1024;
const MAX_PAGE: usize = MAX_RECORDS * MAX_RECORD + MAX_ENVELOPE + 1024;

/// Where another relay of the campaign is.
#[derive(Clone)]
pub(crate) struct Leader(Arc<Inner>);

struct Inner {
    url: String,
    agent: ureq::Agent,
}

/// What we need of its `lichen.json`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Info {
    /// Where tabs reach it, with its peer id.
    pub(crate) address: String,
    pub(crate) campaign: CampaignId,
    pub(crate) coordinator: AccountId,
    /// Whom it follows itself, if it does.
    #[serde(default)]
    pub(crate) leader: Option<String>,
    /// What the checkpoints of its log's tree are signed by.
    #[serde(default)]
    pub(crate) log_key: Option<LogKeyInfo>,
    /// All that it serves; none where it is of a version that serves only one.
    #[serde(default)]
    pub(crate) campaigns: Vec<Listed>,
}

/// What we need of a campaign that it serves.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Listed {
    pub(crate) id: CampaignId,
}

/// What we need of that key.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LogKeyInfo {
    /// An envelope in base64.
    pub(crate) certificate: String,
}

/// What tabs and the page are told about the leader.
#[derive(Clone)]
pub(crate) struct LeaderState {
    /// The address of its page.
    pub(crate) url: String,
    /// Where tabs reach it.
    pub(crate) address: Multiaddr,
    /// Whether it answered last.
    pub(crate) lives: watch::Receiver<bool>,
}

/// Why a request to the leader failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LeaderError {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it answers {0}")]
    Status(u16),
    #[error("it does not hold what was asked for")]
    NotFound,
    #[error("it answers with more than {0} bytes")]
    TooLarge(usize),
    #[error("its answer makes no sense: {0}")]
    Malformed(String),
}

impl Leader {
    /// The relay whose page is at this address.
    pub(crate) fn new(url: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_PATIENCE))
            .timeout_recv_response(Some(ANSWER_PATIENCE))
            .timeout_recv_body(Some(BODY_PATIENCE))
            .user_agent(concat!("lichen-relay/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self(Arc::new(Inner { url: url.trim_end_matches('/').to_owned(), agent }))
    }

    /// The address of its page.
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    /// What it says about itself.
    pub(crate) async fn info(&self) -> Result<Info, LeaderError> {
        self.read_info("/lichen.json".into()).await
    }

    /// What it says about itself and one of its campaigns.
    pub(crate) async fn info_of(&self, campaign: CampaignId) -> Result<Info, LeaderError> {
        self.read_info(format!("/lichen.json?campaign={campaign}")).await
    }

    async fn read_info(&self, path: String) -> Result<Info, LeaderError> {
        let bytes = self.get(path, MAX_INFO).await?;
        serde_json::from_slice(&bytes).map_err(|error| LeaderError::Malformed(error.to_string()))
    }

    /// Records from an index on; where there are none yet, the leader may be asked to wait for one, but not for long.
    pub(crate) async fn records(
        &self,
        campaign: CampaignId,
        from: u64,
        is_to_wait: bool,
    ) -> Result<Records, LeaderError> {
        let wait = if is_to_wait { WAIT } else { 0 };
        let path = format!("/log/{campaign}?from={from}&limit={MAX_RECORDS}&wait={wait}");
        let bytes = self.get(path, MAX_PAGE).await?;
        decode(&bytes, MAX_PAGE).map_err(|error| LeaderError::Malformed(error.to_string()))
    }

    /// The newest checkpoint of its log's tree, a signed note.
    pub(crate) async fn checkpoint(&self, campaign: CampaignId) -> Result<Vec<u8>, LeaderError> {
        self.get(format!("/log/{campaign}/checkpoint"), MAX_NOTE).await
    }

    /// The bytes that an id names, checked against it.
    pub(crate) async fn blob(&self, cid: &Cid) -> Result<Vec<u8>, LeaderError> {
        let bytes = self.get(format!("/blob/{cid}"), MAX_BLOB).await?;
        if cid.matches(&bytes) {
            Ok(bytes)
        } else {
            Err(LeaderError::Malformed(format!("the bytes are not those of {cid}")))
        }
    }

    async fn get(&self, path: String, cap: usize) -> Result<Vec<u8>, LeaderError> {
        let inner = Arc::clone(&self.0);
        let answer = tokio::task::spawn_blocking(move || inner.get(&path, cap));
        answer.await.map_err(|error| LeaderError::Unreachable(error.to_string()))?
    }
}

impl Inner {
    fn get(&self, path: &str, cap: usize) -> Result<Vec<u8>, LeaderError> {
        let unreachable = |error: &dyn std::error::Error| LeaderError::Unreachable(error.to_string());
        let mut response =
            self.agent.get(format!("{}{path}", self.url)).call().map_err(|error| unreachable(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(LeaderError::NotFound),
            status => return Err(LeaderError::Status(status.as_u16())),
        }
        // One byte more than allowed, so that a body that is too long differs from one that just fits.
        let mut bytes = Vec::new();
        let mut body = response.body_mut().as_reader().take(cap as u64 + 1);
        body.read_to_end(&mut bytes).map_err(|error| unreachable(&error))?;
        if bytes.len() > cap { Err(LeaderError::TooLarge(cap)) } else { Ok(bytes) }
    }
}
