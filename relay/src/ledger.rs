//! The campaign's log: one task orders all entries, writes them, and does the coordinator's part.
//!
//! Whatever waits when the task is free becomes one batch: admitted and chained entry by entry, written in one
//! transaction, then acknowledged. A relay that is killed between writing and acknowledging has appended an entry
//! without its author knowing, who learns it from the log; the other way round cannot happen. If writing fails the
//! task ends, and the relay with it: started again, it goes on from what is on disk.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use lichen_learn::aggregate_checkpoint;
use lichen_log::{Chain, Head, Receipt, Record};
use lichen_record::{AccountId, CampaignId, Cid, Entry, RoundNumber, SigningKey, Verified, verify};
use lichen_round::{CampaignState, Change, Coordinator, CoordinatorAction, CoordinatorEvent, Refusal, Rules};
use lichen_store::{Blobs, Disk};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::campaign::Campaign;
use crate::clock;
use crate::faults::Faults;
use crate::kept::Kept;
use crate::loose::Loose;
use crate::metrics::Metrics;
use crate::newcomers::{self, Limited, Newcomers};

/// Most requests in one batch, and most waiting for the next.
const BATCH: usize = 256;

/// Records read at a time when the log is folded.
const CHUNK: usize = 1024;

/// Asks the log's task.
#[derive(Clone)]
pub(crate) struct Ledger {
    campaign: CampaignId,
    coordinator: AccountId,
    /// Where entries go; nowhere if another relay orders them.
    asks: Option<mpsc::Sender<Ask>>,
    head: watch::Receiver<SignedHead>,
}

/// The head of what is on disk, signed.
#[derive(Clone)]
pub(crate) struct SignedHead {
    pub(crate) length: u64,
    pub(crate) envelope: Arc<[u8]>,
}

/// Why an entry was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the log grows too fast")]
    Limited(Limited),
    #[error("another relay orders the log")]
    Following,
    #[error("the log's task has ended")]
    Ended,
}

enum Ask {
    Admit { entry: Verified<Entry>, answer: Answer<()> },
    Append { entry: Verified<Entry>, network: IpAddr, answer: Answer<Receipt> },
}

type Answer<T> = oneshot::Sender<Result<T, AppendError>>;

impl Ledger {
    /// The copy of a log that another relay orders.
    pub(crate) const fn following(
        campaign: CampaignId,
        coordinator: AccountId,
        head: watch::Receiver<SignedHead>,
    ) -> Self {
        Self { campaign, coordinator, asks: None, head }
    }

    /// Whether another relay orders the log.
    pub(crate) const fn is_following(&self) -> bool {
        self.asks.is_none()
    }

    pub(crate) const fn campaign(&self) -> CampaignId {
        self.campaign
    }

    /// The account that signs the relay's entries, heads and receipts.
    pub(crate) const fn coordinator(&self) -> AccountId {
        self.coordinator
    }

    /// The head now, and each later one.
    pub(crate) fn head(&self) -> watch::Receiver<SignedHead> {
        self.head.clone()
    }

    /// Whether the entry could be appended now; nothing is appended.
    pub(crate) async fn admit(&self, entry: Verified<Entry>) -> Result<(), AppendError> {
        self.ask(|answer| Ask::Admit { entry, answer }).await
    }

    /// Appends an entry that came from this network and returns the receipt to sign, once the entry is on disk.
    pub(crate) async fn append(
        &self,
        entry: Verified<Entry>,
        network: IpAddr,
    ) -> Result<Receipt, AppendError> {
        self.ask(|answer| Ask::Append { entry, network, answer }).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(Answer<T>) -> Ask) -> Result<T, AppendError> {
        let asks = self.asks.as_ref().ok_or(AppendError::Following)?;
        let (answer, answered) = oneshot::channel();
        asks.send(ask(answer)).await.map_err(|_gone| AppendError::Ended)?;
        answered.await.map_err(|_gone| AppendError::Ended)?
    }
}

/// Orders entries and writes them.
pub(crate) struct Writer {
    asks: mpsc::Receiver<Ask>,
    head: watch::Sender<SignedHead>,
    key: SigningKey,
    data: Cid,
    coordinator: Coordinator,
    newcomers: Newcomers,
    loose: Arc<Loose>,
    chain: Chain,
    disk: Disk,
    metrics: Arc<Metrics>,
    wake: Option<u64>,
    aggregations: JoinSet<(RoundNumber, Result<Cid>)>,
    faults: Faults,
}

/// What is ordered and not written yet.
#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    kept: Kept,
    receipts: Vec<(Answer<Receipt>, Receipt)>,
    changes: Vec<Change>,
    aggregations: Vec<Aggregation>,
}

struct Aggregation {
    round: RoundNumber,
    base: Cid,
    accepted: Vec<(u32, Cid)>,
}

impl Writer {
    /// Folds the campaign's log, of which the first record is written if there is none yet.
    pub(crate) async fn open(
        campaign: &Campaign,
        key: SigningKey,
        disk: Disk,
        newcomers: newcomers::Limits,
        loose: Arc<Loose>,
        metrics: Arc<Metrics>,
    ) -> Result<(Ledger, Self)> {
        disk.put(&campaign.id.0, &campaign.manifest_bytes).await?;
        disk.put(&campaign.manifest.data.cid, &campaign.data_bytes).await?;
        disk.put(&campaign.initial, &campaign.initial_bytes).await?;

        let state = CampaignState::new(campaign.id, Rules::from(&campaign.manifest));
        let coordinator = Coordinator::new(key.account(), state, campaign.initial);
        let chain = Chain::new(campaign.id);
        let (ask_sender, asks) = mpsc::channel(BATCH);
        let (head, head_receiver) = watch::channel(sign_head(&key, chain.head())?);
        let account = key.account();
        let mut writer = Self {
            asks,
            head,
            key,
            data: campaign.manifest.data.cid,
            coordinator,
            newcomers: Newcomers::new(newcomers, Instant::now()),
            loose,
            chain,
            disk,
            metrics,
            wake: None,
            aggregations: JoinSet::new(),
            faults: Faults::default(),
        };
        writer.fold(campaign.initial).await?;
        let mut batch = Batch::default();
        writer.handle(CoordinatorEvent::CaughtUp, &mut batch)?;
        writer.commit(batch).await?;
        let ledger = Ledger {
            campaign: campaign.id,
            coordinator: account,
            asks: Some(ask_sender),
            head: head_receiver,
        };
        Ok((ledger, writer))
    }

    /// Reads the log on disk from the first record on, and checks all of it.
    async fn fold(&mut self, initial: Cid) -> Result<()> {
        let campaign = self.chain.head().campaign;
        loop {
            let records = self.disk.records(campaign, self.chain.length(), CHUNK).await?;
            if records.is_empty() {
                break;
            }
            for record in records {
                let index = record.index;
                let entry = self.chain.verify_next(&record).context("the log on disk is damaged")?;
                let event = CoordinatorEvent::Record { time: record.time, entry };
                for action in self.coordinator.handle(clock::now(), event) {
                    if let CoordinatorAction::Distrust(refusal) = action {
                        bail!("the log on disk is false: record {index}: {refusal}");
                    }
                }
            }
        }
        let state = self.coordinator.state();
        if state.coordinator().is_some_and(|account| account != self.key.account()) {
            bail!(
                "the log on disk was begun with another account.key: put that key back into the data folder"
            );
        }
        if state.initial().is_some_and(|cid| cid != initial) {
            bail!(
                "the log on disk begins with another checkpoint than this program computes from the manifest"
            );
        }
        self.publish_head()
    }

    /// Orders what is asked until the token is cancelled and nothing waits any more.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut asks = Vec::with_capacity(BATCH);
        loop {
            let mut batch = Batch::default();
            tokio::select! {
                biased;
                count = self.asks.recv_many(&mut asks, BATCH) => {
                    if count == 0 {
                        return Ok(());
                    }
                    for ask in asks.drain(..) {
                        self.answer(ask, &mut batch)?;
                    }
                }
                Some(done) = self.aggregations.join_next() => {
                    let (round, result) = done.context("an aggregation panicked")?;
                    let event = aggregated(round, result);
                    self.handle(event, &mut batch)?;
                }
                () = clock::sleep_until(self.wake) => {
                    self.wake = None;
                    self.handle(CoordinatorEvent::Tick, &mut batch)?;
                }
                () = stop.cancelled() => return Ok(()),
            }
            self.commit(batch).await?;
        }
    }

    fn answer(&mut self, ask: Ask, batch: &mut Batch) -> Result<()> {
        // Whoever asked may have gone meanwhile, and then nobody misses the answer.
        match ask {
            Ask::Admit { entry, answer } => {
                let admitted = self.coordinator.admit(clock::now(), &entry);
                let _gone = answer.send(admitted.map(drop).map_err(AppendError::Refused));
            }
            Ask::Append { entry, network, answer } => match self.order(entry, Some(network), batch)? {
                Ok((receipt, actions)) => {
                    batch.receipts.push((answer, receipt));
                    self.perform(actions, batch)?;
                }
                Err(error) => {
                    let _gone = answer.send(Err(error));
                }
            },
        }
        Ok(())
    }

    /// Gives an entry its place, if it may have one. One that came from a network of tabs also has to wait its turn.
    fn order(
        &mut self,
        entry: Verified<Entry>,
        network: Option<IpAddr>,
        batch: &mut Batch,
    ) -> Result<Result<(Receipt, Vec<CoordinatorAction>), AppendError>> {
        let now = clock::now();
        let time = match self.coordinator.admit(now, &entry) {
            Ok(time) => time,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        if let Some(network) = network
            && let Err(limited) =
                self.newcomers.admit(self.coordinator.state(), &entry, network, Instant::now())
        {
            return Ok(Err(AppendError::Limited(limited)));
        }
        let (record, receipt) = self.chain.append(time, &entry)?;
        batch.records.push(record);
        batch.kept.add_entry(
            &entry,
            self.coordinator.state().rules().topology,
            self.key.account(),
            self.data,
        );
        self.metrics.appended(entry.get());
        let actions = self.coordinator.handle(now, CoordinatorEvent::Record { time, entry });
        let is_settled =
            |action: &CoordinatorAction| matches!(action, CoordinatorAction::Report(Change::Settled { .. }));
        if actions.iter().any(is_settled) {
            batch.kept.add_settled(self.coordinator.state());
        }
        Ok(Ok((receipt, actions)))
    }

    fn handle(&mut self, event: CoordinatorEvent, batch: &mut Batch) -> Result<()> {
        let actions = self.coordinator.handle(clock::now(), event);
        self.perform(actions, batch)
    }

    /// Does what the coordinator wants, and what it wants because of that.
    fn perform(&mut self, actions: Vec<CoordinatorAction>, batch: &mut Batch) -> Result<()> {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                CoordinatorAction::Append(entry) => {
                    let entry = verify::<Entry>(&self.key.sign(&entry)?)?;
                    match self.order(entry, None, batch)? {
                        Ok((_receipt, more)) => actions.extend(more),
                        Err(error) => {
                            tracing::warn!(%error, "an own entry is not admissible any more");
                            let event = CoordinatorEvent::AppendFailed;
                            actions.extend(self.coordinator.handle(clock::now(), event));
                        }
                    }
                }
                CoordinatorAction::Aggregate { round, base, accepted } => {
                    batch.aggregations.push(Aggregation { round, base, accepted });
                }
                CoordinatorAction::WakeAt(time) => self.wake = Some(time),
                CoordinatorAction::Report(change) => batch.changes.push(change),
                CoordinatorAction::Distrust(refusal) => {
                    bail!("an entry just admitted was refused: {refusal}")
                }
                other => bail!("the coordinator asks for something unknown: {other:?}"),
            }
        }
        Ok(())
    }

    /// Writes the batch, then tells everybody.
    async fn commit(&mut self, batch: Batch) -> Result<()> {
        if !batch.records.is_empty() {
            let start = Instant::now();
            let campaign = self.chain.head().campaign;
            let mut keep = batch.kept.required;
            for cid in batch.kept.if_here {
                if self.disk.has(&cid).await? {
                    keep.push(cid);
                }
            }
            let named = keep.clone();
            self.disk.append(campaign, batch.records, keep).await.context("cannot write the log")?;
            self.loose.named(&named);
            self.metrics.append_seconds.observe(start.elapsed().as_secs_f64());
            self.publish_head()?;
        }
        for (answer, receipt) in batch.receipts {
            let _gone = answer.send(Ok(receipt));
        }
        for change in batch.changes {
            report(&change);
            self.faults.count(&change);
            self.metrics.changed(&change);
        }
        self.faults.warn(Instant::now());
        for aggregation in batch.aggregations {
            self.aggregations.spawn(aggregate(self.disk.clone(), aggregation));
        }
        Ok(())
    }

    fn publish_head(&self) -> Result<()> {
        self.head.send_replace(sign_head(&self.key, self.chain.head())?);
        self.metrics.show(self.coordinator.state());
        Ok(())
    }
}

fn report(change: &Change) {
    match change {
        Change::Published { .. } | Change::Settled { .. } | Change::Finished { .. } => {
            tracing::info!(?change, "the campaign goes on");
        }
        Change::WentBack { round, to, .. } => {
            tracing::warn!(
                round = round.0,
                to = to.0,
                "a round begins with what an earlier one settled with"
            );
        }
        _ => tracing::debug!(?change, "the log changed the campaign"),
    }
}

fn sign_head(key: &SigningKey, head: &Head) -> Result<SignedHead> {
    Ok(SignedHead { length: head.length, envelope: key.sign(head)?.into() })
}

fn aggregated(round: RoundNumber, result: Result<Cid>) -> CoordinatorEvent {
    match result {
        Ok(result) => CoordinatorEvent::Aggregated { round, result },
        Err(error) => {
            tracing::error!(round = round.0, "cannot aggregate: {error:#}");
            CoordinatorEvent::AggregateFailed { round }
        }
    }
}

/// Computes a round's result and stores it.
async fn aggregate(disk: Disk, aggregation: Aggregation) -> (RoundNumber, Result<Cid>) {
    let round = aggregation.round;
    (round, compute(&disk, aggregation).await)
}

async fn compute(disk: &Disk, aggregation: Aggregation) -> Result<Cid> {
    let base = blob(disk, &aggregation.base).await?;
    let mut accepted = Vec::with_capacity(aggregation.accepted.len());
    for (samples, update) in aggregation.accepted {
        accepted.push((samples, blob(disk, &update).await?));
    }
    let compute = move || aggregate_checkpoint(&base, &accepted);
    let (cid, bytes) = tokio::task::spawn_blocking(compute).await??;
    disk.put(&cid, &bytes).await?;
    Ok(cid)
}

async fn blob(disk: &Disk, cid: &Cid) -> Result<Vec<u8>> {
    disk.get(cid).await?.with_context(|| format!("the blob {cid} is not here"))
}
