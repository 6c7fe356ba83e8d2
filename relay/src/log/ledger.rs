//! The campaign's log: one task orders all entries, writes them, and does the coordinator's part.
//!
//! Whatever waits when the task is free becomes one batch: admitted and chained entry by entry, written in one
//! transaction, then acknowledged. A relay that is killed between writing and acknowledging has appended an entry
//! without its author knowing, who learns it from the log; the other way round cannot happen. While the disk is full or
//! fails, the batch waits and is written once it can be; what is asked meanwhile is refused.

mod write;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use lichen_log::{Authority, Chain, Head, Receipt, Record, Replica, ReplicaError};
use lichen_net::hub::Cause;
use lichen_record::{AccountId, CampaignId, Cid, Entry, RoundNumber, SigningKey, Verified, verify};
use lichen_round::{CampaignState, Change, Coordinator, CoordinatorAction, CoordinatorEvent, Refusal, Rules};
use lichen_store::{Blobs, Disk};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::log::back_to;
use crate::log::campaign::Campaign;
use crate::log::faults::Faults;
use crate::log::goal::{Goal, Measured, Measurement};
use crate::log::kept::{Keeping, Kept};
use crate::log::newcomers::{self, Limited, Newcomers};
use crate::log::presence::Presence;
use crate::log::replay::{ReplayError, replay};
use crate::log::settling::{Aggregation, NotHere, Settling};
use crate::log::watchdog::Watchdog;
use crate::operating::clock::{self, LogClock};
use crate::operating::condition::{Condition, Part, store_cause};
use crate::operating::loose::Loose;
use crate::operating::metrics::Metrics;

/// Most requests in one batch, and most waiting for the next.
const BATCH: usize = 256;

/// By how many milliseconds the log may be ahead of the machine's clock before that is worth a word.
pub(crate) const AHEAD_TO_SAY: u64 = 2_000;

/// How often the log's task looks whether the campaign goes on.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long after its start a relay gives members the time to come back.
const RETURN_PATIENCE: Duration = Duration::from_secs(15);

/// Asks the log's task.
#[derive(Clone)]
pub(crate) struct Ledger {
    campaign: CampaignId,
    coordinator: AccountId,
    /// Where entries go; nowhere if another relay orders them.
    asks: Option<mpsc::Sender<Ask>>,
    head: watch::Receiver<SignedHead>,
    presence: Option<Arc<Presence>>,
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
    #[error("the log cannot be written at the moment")]
    StoreFailing,
    #[error("the log's task has ended")]
    Ended,
}

enum Ask {
    Admit { entry: Verified<Entry>, answer: Answer<()> },
    Append { entry: Verified<Entry>, network: IpAddr, answer: Answer<Receipt> },
}

impl Ask {
    /// Says that the log cannot be written.
    fn refuse(self) {
        // Whoever asked may have gone meanwhile, and then nobody misses the answer.
        let _gone = match self {
            Self::Admit { answer, .. } => answer.send(Err(AppendError::StoreFailing)).is_ok(),
            Self::Append { answer, .. } => answer.send(Err(AppendError::StoreFailing)).is_ok(),
        };
    }
}

type Answer<T> = oneshot::Sender<Result<T, AppendError>>;

impl Ledger {
    /// The copy of a log that another relay orders.
    pub(crate) const fn following(
        campaign: CampaignId,
        coordinator: AccountId,
        head: watch::Receiver<SignedHead>,
    ) -> Self {
        Self { campaign, coordinator, asks: None, head, presence: None }
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

    /// Who is connected here, where that matters to the log.
    pub(crate) fn presence(&self) -> Option<&Presence> {
        self.presence.as_deref()
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
    keeping: Keeping,
    coordinator: Coordinator,
    newcomers: Newcomers,
    loose: Arc<Loose>,
    chain: Chain,
    disk: Disk,
    metrics: Arc<Metrics>,
    clock: LogClock,
    wake: Option<u64>,
    settling: Settling,
    aggregations: JoinSet<(RoundNumber, Result<Cid>)>,
    goal: Goal,
    measurements: JoinSet<Measured>,
    faults: Faults,
    condition: Arc<Condition>,
    watchdog: Watchdog,
    /// Why the closed round's result could not be computed last.
    failure: Option<Cause>,
    /// What could not be written at the start.
    unwritten: Option<Batch>,
    presence: Arc<Presence>,
    /// Where the operator wants to go back to, until a round has opened.
    back_to: Option<back_to::Request>,
    /// When members that were here before the start, and have not come back, count as gone; none once that is said.
    roll_call: Option<Instant>,
}

/// What is ordered and not written yet.
#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    kept: Kept,
    receipts: Vec<(Answer<Receipt>, Receipt)>,
    changes: Vec<Change>,
    aggregations: Vec<Aggregation>,
    measurements: Vec<Measurement>,
}

impl Writer {
    /// Folds the campaign's log, of which the first record is written if there is none yet.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is another part of the relay, and this is called once"
    )]
    pub(crate) async fn open(
        campaign: &Campaign,
        key: SigningKey,
        disk: Disk,
        newcomers: newcomers::Limits,
        loose: Arc<Loose>,
        metrics: Arc<Metrics>,
        condition: Arc<Condition>,
        back_to: Option<back_to::Request>,
    ) -> Result<(Ledger, Self)> {
        for (cid, bytes) in campaign.blobs() {
            // What is here needs no room, of which a full disk has none.
            if !disk.has(&cid).await? {
                disk.put(&cid, bytes).await?;
            }
        }

        let mut replica = Replica::new(campaign.id, Authority::Account(key.account()), campaign.initial);
        let mut state = CampaignState::new(campaign.id, Rules::from(&campaign.manifest));
        replay(&disk, &mut replica, &mut state).await.map_err(damage)?;
        let chain = replica.into_chain();
        let coordinator = Coordinator::new(key.account(), state, campaign.initial);
        let (ask_sender, asks) = mpsc::channel(BATCH);
        let (head, head_receiver) = watch::channel(sign_head(&key, chain.head())?);
        let account = key.account();
        let mut writer = Self {
            asks,
            head,
            key,
            keeping: Keeping::of(campaign, account),
            coordinator,
            newcomers: Newcomers::new(newcomers, Instant::now()),
            loose,
            chain,
            settling: Settling::new(campaign, disk.clone())?,
            goal: Goal::new(campaign, disk.clone())?,
            disk,
            metrics,
            clock: LogClock::after(0),
            wake: None,
            aggregations: JoinSet::new(),
            measurements: JoinSet::new(),
            faults: Faults::default(),
            condition,
            watchdog: Watchdog::default(),
            failure: None,
            unwritten: None,
            presence: Arc::default(),
            back_to: None,
            roll_call: Instant::now().checked_add(RETURN_PATIENCE),
        };
        writer.publish_head()?;
        writer.set_clock();
        let mut batch = Batch::default();
        if let Some(request) = back_to {
            writer.go_back(request, &mut batch)?;
        }
        writer.handle(CoordinatorEvent::CaughtUp, &mut batch)?;
        writer.commit_or_keep(batch).await?;
        let ledger = Ledger {
            campaign: campaign.id,
            coordinator: account,
            asks: Some(ask_sender),
            head: head_receiver,
            presence: Some(Arc::clone(&writer.presence)),
        };
        Ok((ledger, writer))
    }

    /// Has the next round begin with an earlier checkpoint, if that is remembered.
    fn go_back(&mut self, request: back_to::Request, batch: &mut Batch) -> Result<()> {
        if !request.is_possible(self.coordinator.state()) {
            request.forget();
            return Ok(());
        }
        self.handle(CoordinatorEvent::GoBack { to: request.to }, batch)?;
        self.back_to = Some(request);
        Ok(())
    }

    /// Lets the log's time go on from its last entry, and says so where that is ahead of the machine's.
    fn set_clock(&mut self) {
        self.clock = LogClock::after(self.coordinator.state().time());
        if self.clock.ahead() < AHEAD_TO_SAY {
            return;
        }
        tracing::warn!(
            "the log's last entry is dated {} ahead of this machine's clock, so one of the two is or was wrong. Rounds go \
             on, by elapsed time, and further entries are dated from that entry on. Check this machine's date and time.",
            clock::in_words(self.clock.ahead())
        );
    }

    /// Orders what is asked until the token is cancelled and nothing waits any more.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<()> {
        if let Some(batch) = self.unwritten.take()
            && !self.commit(batch, &stop).await?
        {
            return Ok(());
        }
        let presence = Arc::clone(&self.presence);
        let mut asks = Vec::with_capacity(BATCH);
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut batch = Batch::default();
            tokio::select! {
                biased;
                _ = look.tick() => {
                    self.look();
                    for account in self.call_roll() {
                        self.handle(CoordinatorEvent::PeerGone { account }, &mut batch)?;
                    }
                }
                changes = presence.changes() => for (account, is_here) in changes {
                    let event = match is_here {
                        true => CoordinatorEvent::PeerBack { account },
                        false => CoordinatorEvent::PeerGone { account },
                    };
                    self.handle(event, &mut batch)?;
                },
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
                    self.failure = result.as_ref().err().map(failure);
                    let event = aggregated(round, result);
                    self.handle(event, &mut batch)?;
                }
                Some(done) = self.measurements.join_next() => {
                    let event = self.measured(done.context("a measurement panicked")?);
                    self.handle(event, &mut batch)?;
                }
                () = self.clock.sleep_until(self.wake) => {
                    self.wake = None;
                    self.handle(CoordinatorEvent::Tick, &mut batch)?;
                }
                () = stop.cancelled() => return Ok(()),
            }
            if !self.commit(batch, &stop).await? {
                return Ok(());
            }
        }
    }

    /// The members that were here before the start and have not come back; nobody before they had the time to, nor twice.
    fn call_roll(&mut self) -> Vec<AccountId> {
        if self.roll_call.take_if(|at| Instant::now() >= *at).is_none() {
            return Vec::new();
        }
        let active = self.coordinator.state().active();
        active.filter(|account| !self.presence.is_here(account)).collect()
    }

    /// Looks whether the campaign goes on, and whether the log's time is the machine's.
    fn look(&mut self) {
        let now = self.clock.now();
        let ahead = now.saturating_sub(clock::wall());
        self.condition.set_clock_ahead(if ahead < AHEAD_TO_SAY { 0 } else { ahead });
        let stall = self.watchdog.look(self.coordinator.state(), self.failure, now);
        let detail = stall.map(|stall| {
            let (round, waited) = (stall.round.0, clock::in_words(now.saturating_sub(stall.since)));
            format!("{:?} of round {round} is due for {waited}", stall.what)
        });
        self.condition.set(Part::Round, stall.map(|stall| stall.cause), &detail.unwrap_or_default());
    }

    fn answer(&mut self, ask: Ask, batch: &mut Batch) -> Result<()> {
        // Whoever asked may have gone meanwhile, and then nobody misses the answer.
        match ask {
            Ask::Admit { entry, answer } => {
                let admitted = self.coordinator.admit(self.clock.now(), &entry);
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
        let now = self.clock.now();
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
        batch.kept.add_entry(&self.keeping, &entry);
        self.metrics.appended(entry.get());
        let actions = self.coordinator.handle(now, CoordinatorEvent::Record { time, entry });
        let is_settled =
            |action: &CoordinatorAction| matches!(action, CoordinatorAction::Report(Change::Settled { .. }));
        if actions.iter().any(is_settled) {
            batch.kept.add_settled(&self.keeping, self.coordinator.state());
        }
        Ok(Ok((receipt, actions)))
    }

    fn handle(&mut self, event: CoordinatorEvent, batch: &mut Batch) -> Result<()> {
        let actions = self.coordinator.handle(self.clock.now(), event);
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
                            actions.extend(self.coordinator.handle(self.clock.now(), event));
                        }
                    }
                }
                CoordinatorAction::Aggregate { round, base, accepted } => {
                    batch.aggregations.push(Aggregation { round, base, accepted });
                }
                CoordinatorAction::Measure { round, checkpoint } => {
                    batch.measurements.push(Measurement { round, checkpoint });
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

    fn measured(&self, Measured { of, quality, reaches_goal }: Measured) -> CoordinatorEvent {
        if let Some(quality) = quality {
            self.metrics.measured(self.coordinator.state(), of.round, quality.accuracy);
        }
        CoordinatorEvent::Measured { checkpoint: of.checkpoint, reaches_goal }
    }

    fn publish_head(&self) -> Result<()> {
        self.head.send_replace(sign_head(&self.key, self.chain.head())?);
        self.metrics.show(self.coordinator.state());
        Ok(())
    }
}

/// What is wrong with the log on disk, and what to do where somebody can do something.
fn damage(error: ReplayError) -> anyhow::Error {
    match error {
        ReplayError::Replica(ReplicaError::Publisher { .. }) => anyhow!(
            "the log on disk was begun with another account.key: put that key back into the data folder"
        ),
        ReplayError::Replica(ReplicaError::Base { .. }) => anyhow!(
            "the log on disk begins with another checkpoint than this program computes from the manifest"
        ),
        ReplayError::Replica(error) => anyhow::Error::new(error).context("the log on disk is damaged"),
        ReplayError::Refused { index, refusal } => {
            anyhow::Error::new(refusal).context(format!("the log on disk is false: record {index}"))
        }
        ReplayError::Disk(error) => error.into(),
    }
}

/// Why a result could not be computed, as far as it is known.
fn failure(error: &anyhow::Error) -> Cause {
    if error.is::<NotHere>() {
        return Cause::UpdateMissing;
    }
    error.downcast_ref().and_then(store_cause).unwrap_or(Cause::Aggregation)
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
