//! The campaign's log: one task orders all entries, writes them, and does the coordinator's part.
//!
//! Whatever waits when the task is free becomes one batch: admitted and chained entry by entry, written in one
//! transaction, then acknowledged. A relay that is killed between writing and acknowledging has appended an entry
//! without its author knowing, who learns it from the log; the other way round cannot happen. While the disk is full or
//! fails, the batch waits and is written once it can be; what is asked meanwhile is refused.

mod order;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use lichen_log::{Authority, Chain, Head, Receipt, Record, Replica, ReplicaError};
use lichen_net::hub::Cause;
use lichen_record::{AccountId, RoundNumber, SigningKey};
use lichen_round::{CampaignState, Change, Coordinator, CoordinatorEvent, Repetition, Rules};
use lichen_store::{Blobs, Disk};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::log::back_to;
use crate::log::campaign::Campaign;
use crate::log::counting;
use crate::log::faults::Faults;
use crate::log::goal::{Goal, Measured, Measurement};
use crate::log::ledger::{Answer, Ask, Ledger, SignedHead};
use crate::log::newcomers::{self, Newcomers};
use crate::log::pinned::{Pinned, Pinning};
use crate::log::presence::Presence;
use crate::log::repeating::{Repeated, Repeating};
use crate::log::replay::{self, ReplayError};
use crate::log::settling::{Aggregation, Computed, NotHere, Settling};
use crate::log::snapshots::{Snapshot, Snapshots};
use crate::log::watchdog::Watchdog;
use crate::operating::campaign_metrics::CampaignMetrics;
use crate::operating::clock::{self, LogClock};
use crate::operating::condition::{Condition, Part, store_cause};
use crate::operating::unpinned::Unpinned;

/// Most requests in one batch, and most waiting for the next.
const BATCH: usize = 256;

/// By how many milliseconds the log may be ahead of the machine's clock before that is worth a word.
pub(crate) const AHEAD_TO_SAY: u64 = 2_000;

/// How often the log's task looks whether the campaign goes on.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long after its start a relay gives members the time to come back.
const RETURN_PATIENCE: Duration = Duration::from_secs(15);

/// Orders entries and writes them.
pub(crate) struct Writer {
    asks: mpsc::Receiver<Ask>,
    head: watch::Sender<SignedHead>,
    key: SigningKey,
    pinning: Pinning,
    snapshots: Snapshots,
    coordinator: Coordinator,
    newcomers: Newcomers,
    unpinned: Arc<Unpinned>,
    chain: Chain,
    disk: Disk,
    metrics: Arc<CampaignMetrics>,
    clock: LogClock,
    wake: Option<u64>,
    settling: Settling,
    aggregations: JoinSet<(RoundNumber, Result<Computed>)>,
    goal: Goal,
    measurements: JoinSet<Measured>,
    repeating: Repeating,
    repetitions: JoinSet<Repeated>,
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

/// Entries that are ordered but not written yet.
#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    pinned: Pinned,
    snapshot: Option<Snapshot>,
    receipts: Vec<(Answer<Receipt>, Receipt)>,
    changes: Vec<Change>,
    aggregations: Vec<Aggregation>,
    measurements: Vec<Measurement>,
    repetitions: Vec<Repetition>,
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
        unpinned: Arc<Unpinned>,
        metrics: Arc<CampaignMetrics>,
        condition: Arc<Condition>,
        back_to: Option<back_to::Request>,
    ) -> Result<(Ledger, Self)> {
        for (cid, bytes) in campaign.blobs() {
            // What is here needs no room, of which a full disk has none.
            if !disk.has(&cid).await? {
                disk.put(&cid, bytes).await?;
            }
        }
        counting::count(&disk, campaign).await?;

        let mut replica = Replica::new(campaign.id, Authority::Account(key.account()), campaign.initial);
        let mut state = CampaignState::new(campaign.id, Rules::from(&campaign.manifest));
        let snapshots = replay::begin(&disk, key.account(), &mut replica, &mut state).await?;
        replay::replay(&disk, &mut replica, &mut state).await.map_err(damage)?;
        let chain = replica.into_chain();
        let coordinator = Coordinator::new(key.account(), state, campaign.initial);
        let (ask_sender, asks) = mpsc::channel(BATCH);
        let (head, head_receiver) = watch::channel(sign_head(&key, chain.head(), None)?);
        let account = key.account();
        let mut writer = Self {
            asks,
            head,
            key,
            pinning: Pinning::of(campaign, account),
            snapshots,
            coordinator,
            newcomers: Newcomers::new(newcomers, Instant::now()),
            unpinned,
            chain,
            settling: Settling::new(campaign, disk.clone())?,
            goal: Goal::new(campaign, disk.clone())?,
            repeating: Repeating::new(campaign, disk.clone()),
            disk,
            metrics,
            clock: LogClock::after(0),
            wake: None,
            aggregations: JoinSet::new(),
            measurements: JoinSet::new(),
            repetitions: JoinSet::new(),
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
        writer.snapshot(&mut batch)?;
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

    /// Orders entries until the token is cancelled and no request is left.
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
                Some(done) = self.repetitions.join_next() => {
                    let Repeated { round, contributor, found } = done.context("a repeated training panicked")?;
                    self.handle(CoordinatorEvent::Repeated { round, contributor, found }, &mut batch)?;
                }
                () = self.clock.sleep_until(self.wake) => {
                    self.wake = None;
                    self.handle(CoordinatorEvent::Tick, &mut batch)?;
                }
                () = stop.cancelled() => return Ok(()),
            }
            self.snapshot(&mut batch)?;
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

    fn measured(&self, Measured { of, quality, reaches_goal }: Measured) -> CoordinatorEvent {
        if let Some(quality) = quality {
            self.metrics.measured(self.coordinator.state(), of.round, quality.accuracy);
        }
        CoordinatorEvent::Measured { checkpoint: of.checkpoint, target: of.target, reaches_goal }
    }

    fn publish_head(&self) -> Result<()> {
        self.head.send_replace(sign_head(
            &self.key,
            self.chain.head(),
            self.coordinator.state().last_snapshot(),
        )?);
        self.metrics.show(self.coordinator.state());
        Ok(())
    }
}

/// What is wrong with the log on disk, and the remedy if there is one.
fn damage(error: ReplayError) -> anyhow::Error {
    match error {
        ReplayError::Replica(ReplicaError::Publisher { .. }) => anyhow!(
            "the log on disk was begun with another account.key: put that key back into the data folder"
        ),
        ReplayError::Replica(ReplicaError::Base { .. }) => anyhow!(
            "the log on disk begins with another checkpoint than this program computes from the manifest"
        ),
        ReplayError::Replica(error) => anyhow::Error::new(error).context("the log on disk is damaged"),
        error @ ReplayError::Later(_) => anyhow::Error::new(error).context("the log on disk cannot be read"),
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

fn sign_head(key: &SigningKey, head: &Head, snapshot: Option<u64>) -> Result<SignedHead> {
    Ok(SignedHead { length: head.length, snapshot, envelope: key.sign(head)?.into() })
}

fn aggregated(round: RoundNumber, outcome: Result<Computed>) -> CoordinatorEvent {
    match outcome {
        Ok(Computed { outcome, difference }) => CoordinatorEvent::Aggregated { round, outcome, difference },
        Err(error) => {
            tracing::error!(round = round.0, "cannot aggregate: {error:#}");
            CoordinatorEvent::AggregateFailed { round }
        }
    }
}
