//! Opens a campaign's log in the data folder: to order it here, or to follow the relay that does.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Result, ensure};
use lichen_campaign::Witnesses;
use lichen_log::VerifierKey;
use lichen_record::{CampaignId, SigningKey};
use lichen_store::Disk;
use tokio_util::sync::CancellationToken;

use super::hosted::{Checks, Hosted, Limits, Quotas};
use super::name::name;
use super::pages::Pages;
use super::room::Room;
use super::words::{Operator, Words};
use crate::log::back_to;
use crate::log::campaign::Campaign;
use crate::log::checkpoints::{CheckpointKeeper, Checkpoints};
use crate::log::follower::{Follower, Following};
use crate::log::leader::Leader;
use crate::log::signer::Signer;
use crate::log::writer::Writer;
use crate::operating::condition::Condition;
use crate::operating::keys;
use crate::operating::metrics::Metrics;
use crate::operating::unpinned::Unpinned;

/// What all campaigns of a relay share.
pub(crate) struct Common {
    /// The data folder.
    pub(crate) data: PathBuf,
    pub(crate) disk: Disk,
    pub(crate) unpinned: Arc<Unpinned>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) witnesses: Vec<VerifierKey>,
    pub(crate) operator: Option<Operator>,
}

impl Common {
    /// Whose signatures are taken below a log's checkpoints: those whom the operator names, and those whom the manifest wants.
    fn witnesses_of(&self, wanted: Option<&Witnesses>) -> Vec<VerifierKey> {
        let wanted = wanted.map_or(&[][..], |wanted| &wanted.keys);
        let others = wanted.iter().filter(|key| !self.witnesses.contains(key));
        self.witnesses.iter().chain(others).cloned().collect()
    }
}

/// Who orders the logs.
pub(super) enum Order {
    /// This relay, with this key.
    Here { key: SigningKey, signer: Arc<Signer> },
    /// The relay that this one follows.
    At { leader: Leader, following: Following },
}

/// A campaign that is open, and what keeps it going.
pub(super) struct Opened {
    pub(super) hosted: Hosted,
    pub(super) keeper: Keeper,
}

/// What keeps a campaign going.
pub(super) struct Keeper {
    log: LogKeeper,
    checkpoints: CheckpointKeeper,
}

/// Who writes the log.
enum LogKeeper {
    Writer(Box<Writer>),
    Follower(Box<Follower>),
}

impl Order {
    /// This relay with the key in its data folder.
    pub(super) fn here(common: &Common) -> Result<Self> {
        let key = keys::account(&common.data)?;
        let signer = Arc::new(Signer::new(&key)?);
        Ok(Self::Here { key, signer })
    }

    /// Opens the log of a campaign.
    pub(super) async fn open(
        &self,
        common: &Common,
        campaign: &Campaign,
        is_first: bool,
        is_taken: impl Fn(&str) -> bool,
    ) -> Result<Opened> {
        let name = name(&campaign.manifest.campaign.title, campaign.id, is_taken);
        let metrics = common.metrics.of_campaign(name);
        let condition = Condition::new(Arc::clone(&metrics));
        let (disk, counted) = (common.disk.clone(), Arc::clone(&metrics));
        let wanted = campaign.manifest.log.witnesses.clone();
        let witnesses = match self {
            Self::Here { .. } => common.witnesses_of(wanted.as_ref()),
            Self::At { .. } => Vec::new(),
        };
        let checkpoints = Checkpoints::new(campaign.id, disk.clone(), witnesses, wanted);
        let shown = Arc::clone(&checkpoints);
        let (ledger, signer, leader, keeper) = match self {
            Self::Here { key, signer } => {
                let unpinned = Arc::clone(&common.unpinned);
                let back_to = back_to::Request::read(&common.data, campaign.id, is_first)?;
                let (ledger, writer) = Writer::open(
                    campaign,
                    key.clone(),
                    disk,
                    common.limits.newcomers,
                    unpinned,
                    Arc::clone(&metrics),
                    Arc::clone(&condition),
                    back_to,
                )
                .await?;
                let checkpoints = CheckpointKeeper::sign(shown, key, &ledger, counted).await?;
                let log = LogKeeper::Writer(Box::new(writer));
                (ledger, Some(Arc::clone(signer)), None, Keeper { log, checkpoints })
            }
            Self::At { leader, following } => {
                let (asked, metrics) = (leader.clone(), Arc::clone(&metrics));
                let condition = Arc::clone(&condition);
                let (ledger, state, follower) =
                    Follower::open(asked, following, campaign, disk, metrics, condition).await?;
                let checkpoints = CheckpointKeeper::copy(shown, leader.clone(), &ledger, counted);
                let log = LogKeeper::Follower(Box::new(follower));
                (ledger, None, Some(state), Keeper { log, checkpoints })
            }
        };
        let most = match (self, campaign.publisher) {
            (Self::At { .. }, _) => None,
            (Self::Here { .. }, None) => Some(common.limits.campaign_bytes),
            (Self::Here { .. }, Some(_)) => Some(common.limits.published_campaign_bytes),
        };
        let hosted = Hosted {
            pages: Pages::new(campaign.id, common.disk.clone()),
            checks: Checks::of(campaign)?,
            room: Room::new(common.disk.clone(), campaign.id, most, campaign.update_bytes()),
            quotas: Quotas::new(common.limits, campaign.manifest.rounds.transport),
            words: Words::of(campaign, common.operator.clone()),
            ledger,
            signer,
            leader,
            checkpoints,
            metrics,
            condition,
        };
        Ok(Opened { hosted, keeper })
    }
}

impl Keeper {
    /// Goes on until the token is cancelled.
    pub(super) async fn run(self, campaign: CampaignId, stop: CancellationToken) -> Result<()> {
        let log = async {
            match self.log {
                LogKeeper::Writer(writer) => writer.run(stop.clone()).await,
                LogKeeper::Follower(follower) => follower.run(stop.clone()).await,
            }
        };
        let (mut log, checkpoints) = (pin!(log), self.checkpoints.run(stop.clone()));
        tokio::select! {
            ended = &mut log => ended,
            () = checkpoints => {
                ensure!(stop.is_cancelled(), "signing the tree of {campaign} ended");
                // It writes what it has begun.
                log.await
            }
        }
    }
}
