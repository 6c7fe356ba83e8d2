//! Gives entries their place in the log, and does what the coordinator wants because of them. Nothing is written here.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use anyhow::{Result, bail};
use lichen_log::Receipt;
use lichen_record::{Entry, Verified, verify};
use lichen_round::{Change, CoordinatorAction, CoordinatorEvent, Outcome};

use super::{Batch, Writer};
use crate::log::goal::Measurement;
use crate::log::ledger::{AppendError, Ask};
use crate::log::settling::Aggregation;
use crate::log::snapshots::Snapshot;

impl Writer {
    /// Does what is asked; an entry is acknowledged once the batch is written.
    pub(super) fn answer(&mut self, ask: Ask, batch: &mut Batch) -> Result<()> {
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
        batch.pinned.add_entry(&self.pinning, &entry);
        self.metrics.appended(entry.get());
        let actions = self.coordinator.handle(now, CoordinatorEvent::Record { time, entry });
        let is_settled =
            |action: &CoordinatorAction| matches!(action, CoordinatorAction::Report(Change::Settled { .. }));
        if actions.iter().any(is_settled) {
            batch.pinned.add_settled(&self.pinning, self.coordinator.state());
        }
        Ok(Ok((receipt, actions)))
    }

    /// Passes an event to the coordinator and carries out its actions.
    pub(super) fn handle(&mut self, event: CoordinatorEvent, batch: &mut Batch) -> Result<()> {
        let actions = self.coordinator.handle(self.clock.now(), event);
        self.perform(actions, batch)
    }

    /// Orders a snapshot behind the batch's entries, if one is due.
    pub(super) fn snapshot(&mut self, batch: &mut Batch) -> Result<()> {
        let Some((entry, bytes)) = self.coordinator.snapshot() else { return Ok(()) };
        batch.snapshot = Snapshot::of(&entry, bytes);
        self.perform(vec![CoordinatorAction::Append(entry)], batch)
    }

    /// Carries out the coordinator's actions, and those that follow from them.
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
                CoordinatorAction::Aggregate { round, base, state, inputs } => {
                    let base = Outcome { result: base, state };
                    batch.aggregations.push(Aggregation { round, base, inputs });
                }
                CoordinatorAction::Measure { round, checkpoint, target } => {
                    batch.measurements.push(Measurement { round, checkpoint, target });
                }
                CoordinatorAction::Repeat(repetition) => batch.repetitions.push(repetition),
                CoordinatorAction::WakeAt(time) => self.wake = Some(time),
                CoordinatorAction::Report(change) => batch.changes.push(change),
                CoordinatorAction::Distrust(refusal) => {
                    bail!("an entry just admitted was refused: {refusal}")
                }
            }
        }
        Ok(())
    }
}
