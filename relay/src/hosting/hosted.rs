//! One campaign of the relay: all that belongs to it alone.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Result;
use lichen_campaign::{Settlement, Transport};
use lichen_learn::Codec;
use lichen_record::{AccountId, CampaignId};
use lichen_round::Rules;
use lichen_settle::{Trace, state_length};

use super::checked::Checked;
use super::pages::Pages;
use super::room::Room;
use super::words::Words;
use crate::fairness::quota::Quota;
use crate::log::campaign::Campaign;
use crate::log::checkpoints::Checkpoints;
use crate::log::leader::LeaderState;
use crate::log::ledger::Ledger;
use crate::log::newcomers;
use crate::log::signer::Signer;
use crate::operating::campaign_metrics::CampaignMetrics;
use crate::operating::condition::Condition;

/// A campaign that is served.
pub(crate) struct Hosted {
    pub(crate) ledger: Ledger,
    /// What signs receipts; none where another relay orders the log.
    pub(crate) signer: Option<Arc<Signer>>,
    /// The relay that is followed, if one is.
    pub(crate) leader: Option<LeaderState>,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) pages: Pages,
    pub(crate) checks: Checks,
    pub(crate) quotas: Quotas,
    pub(crate) room: Room,
    pub(crate) words: Words,
    pub(crate) metrics: Arc<CampaignMetrics>,
    pub(crate) condition: Arc<Condition>,
}

/// What everybody may do in each campaign.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) entries_per_minute: u32,
    pub(crate) entries_per_minute_per_address: u32,
    /// Bytes of blobs of one account, where updates go through the relay, and in a mesh.
    pub(crate) blob_bytes_per_minute: u32,
    pub(crate) pinned_bytes_per_minute: u32,
    /// Bytes of blobs that the log names, of one that the operator gave, and of one that somebody published.
    pub(crate) campaign_bytes: u64,
    pub(crate) published_campaign_bytes: u64,
    pub(crate) newcomers: newcomers::Limits,
}

/// How much of that is used up.
pub(crate) struct Quotas {
    pub(crate) entries: Quota<AccountId>,
    pub(crate) entries_per_address: Quota<IpAddr>,
    pub(crate) blob_bytes: Quota<AccountId>,
}

/// What entries and the blobs that they name are checked against.
pub(crate) struct Checks {
    /// Number of the model's parameters.
    pub(crate) parameters: usize,
    /// What updates are packed by.
    pub(crate) codec: Codec,
    /// Largest norm of an update.
    pub(crate) max_norm: f64,
    /// How long a trace is that a contribution names, and a state that evidence begins with.
    pub(crate) trace_length: usize,
    pub(crate) state_length: usize,
    pub(crate) transport: Transport,
    pub(crate) settlement: Settlement,
    /// What checking updates has found.
    pub(crate) checked: Checked,
}

impl Hosted {
    /// The content id of its manifest.
    pub(crate) fn id(&self) -> CampaignId {
        self.ledger.campaign()
    }

    /// What it is called at this relay.
    pub(crate) fn name(&self) -> &str {
        self.metrics.name()
    }
}

impl Checks {
    pub(super) fn of(campaign: &Campaign) -> Result<Self> {
        let manifest = &campaign.manifest;
        Ok(Self {
            parameters: campaign.parameters,
            codec: campaign.codec(),
            max_norm: campaign.max_norm,
            trace_length: Trace::length(Rules::from(manifest).states()),
            state_length: state_length(manifest)?,
            transport: manifest.rounds.transport,
            settlement: manifest.rounds.settlement,
            checked: Checked::default(),
        })
    }
}

impl Quotas {
    pub(super) fn new(limits: Limits, transport: Transport) -> Self {
        let blob_bytes = match transport {
            Transport::Relay => limits.blob_bytes_per_minute,
            Transport::Peers => limits.pinned_bytes_per_minute,
        };
        Self {
            entries: Quota::per_minute(limits.entries_per_minute),
            entries_per_address: Quota::per_minute(limits.entries_per_minute_per_address),
            blob_bytes: Quota::per_minute(blob_bytes),
        }
    }
}
