//! Writes what is ordered, however long the disk is full or fails, and tells everybody.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lichen_log::Record;
use lichen_record::Cid;
use lichen_round::Change;
use lichen_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::{Batch, Writer};
use crate::log::snapshots::Snapshot;
use crate::operating::condition::{Part, store_cause};

/// How long to wait before a disk that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

impl Writer {
    /// Writes the batch, then tells everybody; false if it could not be written before the relay was asked to end. Nobody
    /// has been told of it then.
    pub(super) async fn commit(&mut self, batch: Batch, stop: &CancellationToken) -> Result<bool> {
        while let Err(error) = self.write(&batch).await {
            let cause = store_cause(&error);
            let Some(cause) = cause else { return Err(error).context("cannot write the log") };
            self.condition.set(Part::Log, Some(cause), &error);
            if !self.wait_refusing(stop).await {
                return Ok(false);
            }
        }
        self.condition.set(Part::Log, None, &"");
        self.tell(batch)?;
        Ok(true)
    }

    /// As [`Writer::commit`], tried once: what cannot be written is written first when the log's task runs.
    pub(super) async fn commit_or_keep(&mut self, batch: Batch) -> Result<()> {
        match self.write(&batch).await {
            Ok(()) => self.tell(batch),
            Err(error) => {
                let Some(cause) = store_cause(&error) else {
                    return Err(error).context("cannot write the log");
                };
                self.condition.set(Part::Log, Some(cause), &error);
                self.unwritten = Some(batch);
                Ok(())
            }
        }
    }

    /// Waits a while and refuses requests meanwhile; false if the relay is to end.
    async fn wait_refusing(&mut self, stop: &CancellationToken) -> bool {
        let mut again = std::pin::pin!(tokio::time::sleep(AGAIN));
        loop {
            tokio::select! {
                () = stop.cancelled() => return false,
                () = again.as_mut() => return true,
                ask = self.asks.recv() => match ask {
                    Some(ask) => ask.refuse(),
                    None => return false,
                },
            }
        }
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.records.is_empty() {
            return Ok(());
        }
        self.condition.begin_write();
        let written = self.append(batch).await;
        self.condition.end_write();
        if let (Ok(()), Some(snapshot)) = (&written, &batch.snapshot) {
            self.snapshots.written(snapshot, &self.disk).await;
        }
        written
    }

    async fn append(&self, Batch { records, pinned, snapshot, .. }: &Batch) -> Result<(), StoreError> {
        let start = Instant::now();
        if let Some(snapshot) = snapshot {
            snapshot.keep(&self.disk).await?;
        }
        let campaign = self.chain.head().campaign;
        let mut pins: Vec<Cid> =
            pinned.required.iter().copied().chain(snapshot.iter().map(Snapshot::cid)).collect();
        for cid in &pinned.if_here {
            if self.disk.touch(cid).await? {
                pins.push(*cid);
            }
        }
        let named = pins.clone();
        match self.disk.append(campaign, records.to_vec(), pins).await {
            // A write may have reached the disk and failed all the same.
            Err(StoreError::NotNext { .. }) if self.is_written(records).await? => {}
            written => written?,
        }
        self.unpinned.named(&named);
        self.metrics.append_seconds.observe(start.elapsed().as_secs_f64());
        Ok(())
    }

    async fn is_written(&self, records: &[Record]) -> Result<bool, StoreError> {
        let Some(first) = records.first() else { return Ok(true) };
        let campaign = self.chain.head().campaign;
        Ok(self.disk.records(campaign, first.index, records.len().saturating_add(1)).await? == records)
    }

    fn tell(&mut self, batch: Batch) -> Result<()> {
        if !batch.records.is_empty() {
            self.publish_head()?;
        }
        for (answer, receipt) in batch.receipts {
            // Whoever asked may have gone meanwhile, and then nobody misses the answer.
            let _gone = answer.send(Ok(receipt));
        }
        for change in batch.changes {
            report(&change);
            self.faults.count(&change);
            self.metrics.changed(&change);
            if let (Change::Opened { .. }, Some(request)) = (&change, &self.back_to) {
                request.forget();
                self.back_to = None;
            }
        }
        self.faults.warn(Instant::now());
        for aggregation in batch.aggregations {
            self.aggregations.spawn(self.settling.clone().settle(aggregation));
        }
        for measurement in batch.measurements {
            self.measurements.spawn(self.goal.clone().measure(measurement));
        }
        for repetition in batch.repetitions {
            self.repetitions.spawn(self.repeating.clone().repeat(repetition));
        }
        Ok(())
    }
}

fn report(change: &Change) {
    match change {
        Change::Published { .. } | Change::Settled { .. } | Change::Finished { .. } => {
            tracing::info!(?change, "the campaign goes on");
        }
        Change::GoalReached { round } => tracing::info!(
            round = round.0,
            "the goal is reached, and with it the campaign's end. `lichen-relay back-to` opens it again, from an earlier round"
        ),
        Change::WentBack { round, to, .. } => {
            tracing::warn!(
                round = round.0,
                to = to.0,
                "a round begins with what an earlier one settled with"
            );
        }
        Change::Skipped { round } => tracing::warn!(
            round = round.0,
            "the round was skipped: nothing came of it in the time that the manifest allows. The next one begins with the \
             same checkpoint"
        ),
        Change::SetAside { round } => tracing::warn!(
            round = round.0,
            "the round's updates were set aside, or changed nothing: the campaign goes on from the checkpoint before it. If \
             that happens again and again, look at who contributes; `lichen-relay back-to` goes back to an earlier checkpoint"
        ),
        Change::Decided(decision) => {
            tracing::info!(?decision, "the organiser decided how the campaign goes on");
        }
        Change::SettingsChanged { round, settings } => {
            tracing::info!(round = round.0, ?settings, "settings changed, as the organiser decided");
        }
        Change::Joined { .. }
        | Change::Left { .. }
        | Change::Opened { .. }
        | Change::Contributed { .. }
        | Change::Closed { .. }
        | Change::Extended { .. }
        | Change::Missed { .. }
        | Change::Departed { .. }
        | Change::Unavailable { .. }
        | Change::Excluded { .. }
        | Change::Attested { .. }
        | Change::AuditDrawn { .. }
        | Change::Audited { .. }
        | Change::Confirmed { .. }
        | Change::AuditLapsed { .. }
        | Change::Faulted(_) => tracing::debug!(?change, "the log changed the campaign"),
    }
}
