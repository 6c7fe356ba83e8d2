//! The signed checkpoints of the log's tree: made here, or copied from the relay that is followed and checked.
//!
//! Witnesses read the newest checkpoint, check that the log only grew, and hand in their signatures below it. So a new one
//! is made only now and then: there has to be time to sign the last one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lichen_campaign::Witnesses;
use lichen_log::tree::TilePath;
use lichen_log::{
    Ed25519Key, LogCheckpoint, LogCheckpointError, LogKey, SignedCheckpoint, VerifierKey, check_ed25519,
};
use lichen_record::{AccountId, CampaignId, SigningKey, verify};
use lichen_store::{Disk, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::log::leader::{Leader, LeaderError};
use crate::log::ledger::{Ledger, SignedHead};
use crate::operating::campaign_metrics::CampaignMetrics;
use crate::operating::keys;

/// Shortest time from one checkpoint to the next, without and with witnesses.
const INTERVAL: Duration = Duration::from_secs(1);
const WITNESSED_INTERVAL: Duration = Duration::from_secs(5);

/// How often a leader is asked for its checkpoint: the witnesses' signatures come some time after it.
const COPY_INTERVAL: Duration = Duration::from_secs(2);

/// How long to wait before a disk that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The log's tree, as it is served.
pub(crate) struct Checkpoints {
    campaign: CampaignId,
    disk: Disk,
    /// Whose signatures are taken; nobody's where another relay orders the log.
    witnesses: Vec<VerifierKey>,
    /// Whose signatures the campaign's manifest wants.
    wanted: Option<Witnesses>,
    shown: watch::Sender<Shown>,
}

#[derive(Clone, Default)]
struct Shown {
    key: Option<Certified>,
    checkpoint: Option<SignedCheckpoint>,
    /// The newest one that has the signatures that the manifest wants.
    witnessed: Option<SignedCheckpoint>,
}

/// The log's key, in `lichen.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CertifiedKey {
    /// As other programs want it.
    pub(crate) vkey: String,
    /// What the coordinator signed about it: an envelope in base64.
    pub(crate) certificate: String,
}

/// The same, checked.
#[derive(Clone)]
struct Certified {
    verifier: VerifierKey,
    info: CertifiedKey,
}

/// Why a witness's signature was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CosignError {
    #[error("this relay takes signatures of witnesses that its operator names (--witness), and of no others")]
    Stranger,
    #[error("another checkpoint is the newest one by now")]
    Outdated,
    #[error(transparent)]
    Wrong(#[from] LogCheckpointError),
}

impl Checkpoints {
    /// Shows none yet.
    pub(crate) fn new(
        campaign: CampaignId,
        disk: Disk,
        witnesses: Vec<VerifierKey>,
        wanted: Option<Witnesses>,
    ) -> Arc<Self> {
        Arc::new(Self { campaign, disk, witnesses, wanted, shown: watch::Sender::default() })
    }

    /// The log's key, if it is known.
    pub(crate) fn key(&self) -> Option<CertifiedKey> {
        self.shown.borrow().key.as_ref().map(|key| key.info.clone())
    }

    /// The newest checkpoint, if there is one.
    pub(crate) fn newest(&self) -> Option<Vec<u8>> {
        self.shown.borrow().checkpoint.as_ref().map(SignedCheckpoint::to_bytes)
    }

    /// The newest checkpoint that as many witnesses have signed as the manifest wants, and of how many records it is.
    pub(crate) fn witnessed(&self) -> Option<(u64, Vec<u8>)> {
        let shown = self.shown.borrow();
        shown.witnessed.as_ref().map(|signed| (signed.checkpoint().size(), signed.to_bytes()))
    }

    /// A tile of the tree or a bundle of its entries; none if it does not have it.
    pub(crate) async fn tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk.tile(self.campaign, path).await
    }

    /// Takes what witnesses have signed below the newest checkpoint.
    pub(crate) fn cosign(&self, note: &[u8]) -> Result<(), CosignError> {
        let mut taken = Err(CosignError::Outdated);
        self.shown.send_if_modified(|shown| {
            let (Some(key), Some(newest)) = (&shown.key, &mut shown.checkpoint) else { return false };
            taken = take(&self.witnesses, newest, note, &key.verifier);
            if taken.is_ok() && has_enough(self.wanted.as_ref(), newest) {
                shown.witnessed = Some(newest.clone());
            }
            taken.is_ok()
        });
        taken
    }

    fn show(&self, checkpoint: SignedCheckpoint) {
        self.shown.send_modify(|shown| {
            if has_enough(self.wanted.as_ref(), &checkpoint) {
                shown.witnessed = Some(checkpoint.clone());
            }
            shown.checkpoint = Some(checkpoint);
        });
    }

    fn certify(&self, account: &AccountId, envelope: &[u8]) -> Result<VerifierKey> {
        let certificate = verify::<LogKey>(envelope).context("the certificate of the log's key")?;
        anyhow::ensure!(
            certificate.account() == *account && certificate.get().campaign == self.campaign,
            "the log's key is certified by another account or for another campaign"
        );
        let verifier = LogKey::verifier(&certificate)?;
        let info = CertifiedKey { vkey: verifier.to_string(), certificate: STANDARD.encode(envelope) };
        let key = Certified { verifier: verifier.clone(), info };
        self.shown.send_modify(|shown| shown.key = Some(key));
        Ok(verifier)
    }

    /// The root that the own records have.
    async fn root(&self, size: u64) -> Result<[u8; 32], StoreError> {
        if let Some(root) = self.disk.tree_root(self.campaign, size).await? {
            return Ok(root);
        }
        // Written by a version without trees.
        self.disk.grow_tree(self.campaign).await?;
        let root = self.disk.tree_root(self.campaign, size).await?;
        root.ok_or_else(|| StoreError::Medium(format!("the log ends before its record {size}")))
    }
}

/// Whether as many witnesses have signed it as are wanted; never where none are.
fn has_enough(wanted: Option<&Witnesses>, checkpoint: &SignedCheckpoint) -> bool {
    let signed = |key: &&VerifierKey| matches!(checkpoint.cosigned_by(key, check_ed25519), Ok(Some(_time)));
    wanted.is_some_and(|wanted| wanted.keys.iter().filter(signed).count() >= wanted.quorum as usize)
}

/// Every named witness's signature, or that there is none.
fn take(
    witnesses: &[VerifierKey],
    newest: &mut SignedCheckpoint,
    note: &[u8],
    key: &VerifierKey,
) -> Result<(), CosignError> {
    let given = SignedCheckpoint::open(note, key, check_ed25519)?;
    if !given.is_same(newest) {
        return Err(CosignError::Outdated);
    }
    let mut taken = Err(CosignError::Stranger);
    for witness in witnesses {
        if newest.take_cosignature(&given, witness, check_ed25519)? {
            taken = Ok(());
        }
    }
    taken
}

/// Keeps the newest checkpoint up to date.
pub(crate) struct CheckpointKeeper {
    checkpoints: Arc<Checkpoints>,
    head: watch::Receiver<SignedHead>,
    source: Source,
    metrics: Arc<CampaignMetrics>,
}

/// Where checkpoints come from.
enum Source {
    Signed { key: Ed25519Key, verifier: VerifierKey },
    Copied { leader: Leader, coordinator: AccountId },
}

/// Why there is no newer checkpoint.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("the leader: {0}")]
    Leader(#[from] LeaderError),
    #[error("{0:#}")]
    False(anyhow::Error),
    #[error("the tree over the log: {0}")]
    Disk(#[from] StoreError),
}

impl CheckpointKeeper {
    /// Signs the checkpoints of a log that is ordered here; the first one at once, unless the disk fails.
    pub(crate) async fn sign(
        checkpoints: Arc<Checkpoints>,
        account: &SigningKey,
        ledger: &Ledger,
        metrics: Arc<CampaignMetrics>,
    ) -> Result<Self> {
        let key = keys::log_key(account)?;
        let message = LogKey { campaign: checkpoints.campaign, key: key.public() };
        let verifier = checkpoints.certify(&account.account(), &account.sign(&message)?)?;
        let source = Source::Signed { key, verifier };
        let mut keeper = Self { checkpoints, head: ledger.head(), source, metrics };
        if let Err(error) = keeper.renew().await {
            tracing::error!(%error, "there is no checkpoint of the log yet");
        }
        Ok(keeper)
    }

    /// Copies those of the relay that is followed.
    pub(crate) fn copy(
        checkpoints: Arc<Checkpoints>,
        leader: Leader,
        ledger: &Ledger,
        metrics: Arc<CampaignMetrics>,
    ) -> Self {
        let source = Source::Copied { leader, coordinator: ledger.coordinator() };
        Self { checkpoints, head: ledger.head(), source, metrics }
    }

    /// Goes on until the token is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.step() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn step(&mut self) {
        match self.renew().await {
            Ok(()) => self.pause().await,
            Err(KeepError::False(fault)) => {
                self.metrics.leader_faults.inc();
                tracing::error!(
                    "the leader's checkpoint is false, and none of it is served any more: {fault:#}"
                );
                self.checkpoints.shown.send_modify(|shown| {
                    (shown.checkpoint, shown.witnessed) = (None, None);
                });
                std::future::pending::<()>().await;
            }
            Err(error @ KeepError::Leader(_)) => {
                tracing::debug!(%error, "no checkpoint to copy");
                self.pause().await;
            }
            Err(error @ KeepError::Disk(_)) => {
                tracing::error!(%error, "no newer checkpoint");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Waits until there may be a newer one.
    async fn pause(&mut self) {
        if matches!(self.source, Source::Copied { .. }) {
            return tokio::time::sleep(COPY_INTERVAL).await;
        }
        tokio::time::sleep(if self.checkpoints.witnesses.is_empty() { INTERVAL } else { WITNESSED_INTERVAL })
            .await;
        if self.head.changed().await.is_err() {
            // The log's task has ended, and the relay with it.
            std::future::pending().await
        }
    }

    async fn renew(&mut self) -> Result<(), KeepError> {
        let length = self.head.borrow_and_update().length;
        match &self.source {
            Source::Signed { key, verifier } => {
                let root = self.checkpoints.root(length).await?;
                let checkpoint = LogCheckpoint::new(verifier, length, root);
                self.checkpoints.show(SignedCheckpoint::sign(checkpoint, verifier, |text| key.sign(text)));
                Ok(())
            }
            Source::Copied { leader, coordinator } => self.copy_from(leader, coordinator, length).await,
        }
    }

    /// Takes over the leader's newest checkpoint, as soon as the copy has all its records.
    async fn copy_from(
        &self,
        leader: &Leader,
        coordinator: &AccountId,
        length: u64,
    ) -> Result<(), KeepError> {
        let known = self.checkpoints.shown.borrow().key.as_ref().map(|key| key.verifier.clone());
        let verifier = match known {
            Some(verifier) => verifier,
            None => {
                let Some(key) = leader.info_of(self.checkpoints.campaign).await?.log_key else {
                    return Ok(());
                };
                let envelope = STANDARD.decode(key.certificate).context("the certificate of the log's key");
                envelope
                    .and_then(|envelope| self.checkpoints.certify(coordinator, &envelope))
                    .map_err(KeepError::False)?
            }
        };
        let note = leader.checkpoint(self.checkpoints.campaign).await?;
        let signed = SignedCheckpoint::open(&note, &verifier, check_ed25519)
            .map_err(|error| KeepError::False(error.into()))?;
        let checkpoint = signed.checkpoint();
        let shown =
            self.checkpoints.shown.borrow().checkpoint.as_ref().map_or(0, |one| one.checkpoint().size());
        if checkpoint.size() > length || checkpoint.size() < shown {
            return Ok(());
        }
        if self.checkpoints.root(checkpoint.size()).await? != *checkpoint.root() {
            let fault = anyhow::anyhow!(
                "its {} records are not those that it gives: it shows different logs\n{}",
                checkpoint.size(),
                signed.note()
            );
            return Err(KeepError::False(fault));
        }
        self.checkpoints.show(signed);
        Ok(())
    }
}
