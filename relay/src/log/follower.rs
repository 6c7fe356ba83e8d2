//! A copy of a log that another relay orders, kept up to date and checked as an auditor would check it.
//!
//! Each page of records is verified (chain, signatures, the fold, the coordinator's head), the blobs that it names are
//! fetched, and then all of it is written and shown. What is shown is never more than the coordinator has signed. A leader
//! that is away is asked again and again; one that shows another log than before is followed no longer.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use lichen_log::{Authority, Replica, ReplicaError};
use lichen_net::MAX_ADDRESS;
use lichen_net::hub::{Cause, Records};
use lichen_record::{AccountId, CampaignId, Cid, Entry};
use lichen_round::{CampaignState, Change, Rules};
use lichen_store::{Blobs, Disk, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::address::host;
use crate::log::campaign::Campaign;
use crate::log::counting;
use crate::log::leader::{Info, Leader, LeaderError, LeaderState};
use crate::log::ledger::{Ledger, SignedHead};
use crate::log::pinned::{Pinned, Pinning};
use crate::log::replay;
use crate::log::snapshots::{Snapshot, Snapshots};
use crate::operating::campaign_metrics::CampaignMetrics;
use crate::operating::condition::{Condition, Part, store_cause};
use crate::operating::keys;

/// How long to wait before a leader that is away is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Most campaigns of a relay.
pub(crate) const MAX_CAMPAIGNS: usize = 64;

/// Where the data folder says whom it follows.
const FILE: &str = "following.json";

/// Which relay a data folder follows, as the leader last described itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Following {
    /// The leader's page.
    pub(crate) leader: String,
    pub(crate) campaign: CampaignId,
    /// The leader's other campaigns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) others: Vec<CampaignId>,
    /// Who must have signed the logs' beginnings and their heads.
    pub(crate) coordinator: AccountId,
    /// Where tabs reach the leader.
    pub(crate) address: String,
}

impl Following {
    /// Reads whom the folder follows, if anybody.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => {
                let following = serde_json::from_slice(&bytes);
                Ok(Some(following.with_context(|| format!("{} is faulty", path.display()))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// All campaigns that are followed.
    pub(crate) fn campaigns(&self) -> impl Iterator<Item = CampaignId> {
        std::iter::once(self.campaign).chain(self.others.iter().copied())
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let unfinished = folder.join("following.new");
        fs::write(&unfinished, serde_json::to_vec_pretty(self)?)?;
        fs::rename(unfinished, folder.join(FILE)).context("cannot note whom this relay follows")
    }

    /// Follows nobody from now on.
    pub(crate) fn forget(folder: &Path) -> Result<()> {
        fs::remove_file(folder.join(FILE)).context("cannot forget whom this relay followed")
    }

    /// Whether this relay may take the leader's place: it has the key, and the leader is gone.
    pub(crate) async fn check_promotion(&self, folder: &Path) -> Result<()> {
        let key = keys::account_file(folder);
        if !key.is_file() {
            bail!(
                "this data folder follows {}: give --follow again, or put that relay's account.key there as {} to \
                 take its place",
                self.leader,
                key.display()
            );
        }
        match Leader::new(&self.leader).info().await {
            Ok(info) if info.coordinator == self.coordinator && info.leader.is_none() => bail!(
                "{} still orders the log: stop it for good first, as two relays with one key would fork it",
                self.leader
            ),
            _ => Ok(()),
        }
    }

    /// Whom the folder follows from now on: as the leader says, and where it is away as it said before.
    pub(crate) async fn of(leader: &Leader, folder: &Path) -> Result<Self> {
        let before = Self::read(folder)?;
        match (leader.info().await, before) {
            (Ok(info), before) => Self::said(info, before.as_ref(), leader, folder),
            (Err(error), Some(before)) => {
                tracing::warn!(%error, "the leader {} is away; its copy is served", leader.url());
                Ok(before)
            }
            (Err(error), None) => {
                bail!("nothing of the leader's is here yet, and {}: {error}", leader.url());
            }
        }
    }

    /// The same as the leader says now.
    pub(crate) async fn asked(leader: &Leader, folder: &Path) -> Result<Self> {
        Self::said(leader.info().await?, Self::read(folder)?.as_ref(), leader, folder)
    }

    fn said(info: Info, before: Option<&Self>, leader: &Leader, folder: &Path) -> Result<Self> {
        if let Some(whom) = info.leader {
            bail!("{} only follows {whom}: follow that one", leader.url());
        }
        let Info { campaign, coordinator, address, campaigns, .. } = info;
        let all: Vec<CampaignId> =
            std::iter::once(campaign).chain(campaigns.iter().map(|listed| listed.id)).collect();
        // What was followed stays the first one, whatever the leader names first by now.
        let campaign = before.map_or(campaign, |before| before.campaign);
        let is_other = |one: &Self| one.coordinator != coordinator || !all.contains(&one.campaign);
        if before.is_some_and(is_other) {
            bail!(
                "the folder holds a copy of another log than that of {}: give it another one",
                leader.url()
            );
        }
        let mut others: Vec<CampaignId> = Vec::new();
        for other in all.into_iter().take(MAX_CAMPAIGNS) {
            if other != campaign && !others.contains(&other) {
                others.push(other);
            }
        }
        let following = Self { leader: leader.url().to_owned(), campaign, others, coordinator, address };
        if before != Some(&following) {
            following.write(folder)?;
        }
        Ok(following)
    }
}

/// Keeps a copy up to date.
pub(crate) struct Follower {
    leader: Leader,
    pinning: Pinning,
    replica: Replica,
    state: CampaignState,
    coordinator: AccountId,
    snapshots: Snapshots,
    disk: Disk,
    head: watch::Sender<SignedHead>,
    lives: watch::Sender<bool>,
    metrics: Arc<CampaignMetrics>,
    condition: Arc<Condition>,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Leader(#[from] LeaderError),
    /// The leader's log goes on with what only a later version of this program knows.
    #[error("{0}: start a later version of lichen-relay")]
    Later(ReplicaError),
    /// The leader's log does not continue the one that it signed before.
    #[error("{0}")]
    False(String),
    #[error("cannot write the copy: {0}")]
    Disk(#[from] StoreError),
}

impl From<ReplicaError> for FollowError {
    fn from(error: ReplicaError) -> Self {
        if error.is_later() { Self::Later(error) } else { Self::False(error.to_string()) }
    }
}

/// A campaign that is followed, from the own copy or from the leader.
pub(crate) async fn campaign(leader: &Leader, id: CampaignId, disk: &Disk) -> Result<Campaign> {
    let manifest = blob(leader, disk, &id.0).await?;
    let data = Campaign::data_of(&manifest)?;
    let data = blob(leader, disk, &data).await?;
    Campaign::of_bytes(manifest, data)
}

async fn blob(leader: &Leader, disk: &Disk, cid: &Cid) -> Result<Vec<u8>> {
    if let Some(bytes) = disk.get(cid).await? {
        return Ok(bytes);
    }
    let bytes = leader.blob(cid).await.with_context(|| format!("the leader {} and {cid}", leader.url()))?;
    disk.put(cid, &bytes).await?;
    Ok(bytes)
}

impl Follower {
    /// Checks the own copy; where there is none, waits until the leader has given its log so far.
    pub(crate) async fn open(
        leader: Leader,
        following: &Following,
        campaign: &Campaign,
        disk: Disk,
        metrics: Arc<CampaignMetrics>,
        condition: Arc<Condition>,
    ) -> Result<(Ledger, LeaderState, Self)> {
        for (cid, bytes) in campaign.blobs() {
            // What is here needs no room, of which a full disk has none.
            if !disk.has(&cid).await? {
                disk.put(&cid, bytes).await?;
            }
        }
        counting::count(&disk, campaign).await?;
        let (head, heads) = watch::channel(SignedHead { length: 0, snapshot: None, envelope: Arc::from([]) });
        let (lives, alive) = watch::channel(false);
        let mut follower = Self {
            leader,
            pinning: Pinning::of(campaign, following.coordinator),
            replica: Replica::new(campaign.id, Authority::Account(following.coordinator), campaign.initial),
            state: CampaignState::new(campaign.id, Rules::from(&campaign.manifest)),
            coordinator: following.coordinator,
            snapshots: Snapshots::default(),
            disk,
            head,
            lives,
            metrics,
            condition,
        };
        follower.fold().await.context("the copy of the log on disk cannot be used")?;
        // What is here is served without the leader; else it has to give its log so far.
        loop {
            let step = follower.step().await;
            let has_copy = follower.head.borrow().length > 0;
            match step {
                Err(FollowError::Leader(_) | FollowError::Later(_) | FollowError::Disk(_)) if has_copy => {
                    break;
                }
                step => step.with_context(|| format!("cannot copy {}", follower.leader.url()))?,
            }
            if has_copy {
                follower.lives.send_replace(true);
                break;
            }
        }
        let address = following.address.parse().context("the leader's address is no multiaddress")?;
        if following.address.len() > MAX_ADDRESS || host(&address).is_none() {
            bail!("tabs cannot go to the leader's address {}", following.address);
        }
        let state = LeaderState { url: follower.leader.url().to_owned(), address, lives: alive };
        Ok((Ledger::following(campaign.id, following.coordinator, heads), state, follower))
    }

    /// Reads and checks the own copy, and shows as much of it as is signed. A relay that ordered the log before has all of
    /// it and no head, which it signed itself.
    async fn fold(&mut self) -> Result<()> {
        let campaign = self.replica.campaign();
        let envelope = self.disk.head(campaign).await?;
        let mut whole = (self.replica.clone(), self.state.clone());
        if let Some(envelope) = &envelope {
            whole.0.believe(envelope, 0)?;
        }
        self.snapshots =
            replay::begin(&self.disk, self.coordinator, &mut self.replica, &mut self.state).await?;
        if let Some(envelope) = &envelope {
            // A snapshot behind the head was written just before the end, and is not to be relied upon.
            if self.replica.length() > whole.0.signed_length() {
                (self.replica, self.state) = whole;
            }
            self.replica.believe(envelope, 0)?;
        }
        replay::replay(&self.disk, &mut self.replica, &mut self.state).await?;
        if let Some(envelope) = envelope {
            let (found, signed) = (self.replica.length(), self.replica.signed_length());
            if found < signed {
                bail!("it ends at record {found}, and {signed} are signed");
            }
            self.show(signed, &envelope);
        }
        Ok(())
    }

    /// Follows until the token is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<()> {
        loop {
            let step = tokio::select! {
                step = self.step() => step,
                () = stop.cancelled() => return Ok(()),
            };
            match step {
                Ok(()) => {
                    if !self.lives.send_replace(true) {
                        tracing::info!(leader = self.leader.url(), "the leader is there again");
                    }
                    self.metrics.leader_reachable.set(1);
                    self.condition.set(Part::Leader, None, &"");
                    self.condition.set(Part::Log, None, &"");
                    continue;
                }
                Err(FollowError::Leader(error)) => {
                    self.condition.set(Part::Leader, Some(Cause::Leader), &error);
                    if self.lives.send_replace(false) {
                        tracing::warn!(
                            leader = self.leader.url(),
                            %error,
                            "the leader is away: nothing is appended until it is back or this relay is promoted"
                        );
                    }
                }
                Err(later @ FollowError::Later(_)) => {
                    self.lives.send_replace(false);
                    self.condition.set(Part::Leader, Some(Cause::Leader), &later);
                    self.metrics.leader_reachable.set(0);
                    tracing::error!(
                        leader = self.leader.url(),
                        %later,
                        "this relay is older than the leader's log, and follows no longer; the copy stays as it is"
                    );
                    stop.cancelled().await;
                    return Ok(());
                }
                Err(FollowError::False(fault)) => {
                    self.lives.send_replace(false);
                    self.condition.set(Part::Leader, Some(Cause::Leader), &fault);
                    self.metrics.leader_reachable.set(0);
                    self.metrics.leader_faults.inc();
                    tracing::error!(
                        leader = self.leader.url(),
                        fault,
                        "the leader shows a false log and is followed no longer; the copy stays as it is"
                    );
                    stop.cancelled().await;
                    return Ok(());
                }
                Err(FollowError::Disk(error)) => {
                    let cause = store_cause(&error);
                    let Some(cause) = cause else { return Err(error).context("the copy of the log") };
                    self.condition.set(Part::Log, Some(cause), &error);
                }
            }
            self.metrics.leader_reachable.set(0);
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Takes over one page of the log.
    async fn step(&mut self) -> Result<(), FollowError> {
        let campaign = self.replica.campaign();
        let Records { records, head: envelope } = self.page().await?;
        // Nothing of a page counts before all of it is checked, and on disk.
        let (mut replica, mut state, mut pinned) =
            (self.replica.clone(), self.state.clone(), Pinned::default());
        let length = replica.believe(&envelope, records.len())?;
        let mut snapshot = None;
        for record in &records {
            let entry = replica.take(record)?;
            if matches!(entry.get(), Entry::Snapshot { .. }) {
                snapshot = Snapshot::of(entry.get(), state.to_bytes());
            }
            let changes = state
                .apply(record.time, &entry)
                .map_err(|refusal| FollowError::False(format!("record {}: {refusal}", record.index)))?;
            pinned.add_entry(&self.pinning, &entry);
            if changes.iter().any(|change| matches!(change, Change::Settled { .. })) {
                pinned.add_settled(&self.pinning, &state);
            }
        }
        let is_at_end = replica.is_complete();
        if records.is_empty() && !is_at_end {
            return Err(LeaderError::Malformed("its log ends before its head".into()).into());
        }
        if !records.is_empty() {
            // A snapshot's state need not be fetched: it is what the own copy comes to.
            if let Some(snapshot) = &snapshot {
                snapshot.keep(&self.disk).await?;
            }
            let mut pinned = self.fetch(pinned).await?;
            pinned.extend(snapshot.iter().map(Snapshot::cid));
            self.disk.append(campaign, records, pinned).await?;
            if let Some(snapshot) = &snapshot {
                self.snapshots.written(snapshot, &self.disk).await;
            }
            (self.replica, self.state) = (replica, state);
        }
        if is_at_end && self.head.borrow().length < length {
            self.disk.keep_head(campaign, envelope.clone()).await?;
            self.show(length, &envelope);
        }
        Ok(())
    }

    async fn page(&self) -> Result<Records, LeaderError> {
        // One that was away is to be known to be back at once, and not when its log has grown.
        let is_to_wait = *self.lives.borrow();
        self.leader.records(self.replica.campaign(), self.replica.length(), is_to_wait).await
    }

    /// Fetches the blobs that are missing here, and returns all that are to be pinned.
    async fn fetch(&self, pinned: Pinned) -> Result<Vec<Cid>, FollowError> {
        let mut here = Vec::new();
        let optional = pinned.if_here.into_iter().map(|cid| (cid, false));
        for (cid, is_required) in pinned.required.into_iter().map(|cid| (cid, true)).chain(optional) {
            if !self.disk.has(&cid).await? {
                match self.leader.blob(&cid).await {
                    Ok(bytes) => self.disk.put(&cid, &bytes).await?,
                    Err(LeaderError::NotFound) if !is_required => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            here.push(cid);
        }
        Ok(here)
    }

    fn show(&self, length: u64, envelope: &[u8]) {
        let snapshot = self.state.last_snapshot().filter(|place| *place < length);
        self.head.send_replace(SignedHead { length, snapshot, envelope: envelope.into() });
        self.metrics.show(&self.state);
    }
}
