//! Own entries on their way into the log, and the receipts for them.

use std::rc::Rc;

use lichen_bridge::ContributionState;
use lichen_log::{Receipt, Record, Replica, check_receipt};
use lichen_record::{Cid, Entry, RoundNumber, Verified};
use lichen_round::{ParticipantEvent, Ticket};

use super::Session;
use super::link::false_log;
use crate::Platform;
use crate::jobs::{self, Attested};

/// An own entry on its way into the log: settled once its record and the relay's receipt are here and agree.
pub(crate) struct Submission {
    ticket: Ticket,
    pub(crate) contribution: Option<(RoundNumber, Cid)>,
    pub(crate) record: Option<Record>,
    receipt: Option<Verified<Receipt>>,
}

impl<P: Platform> Session<P> {
    pub(crate) fn take_in_own_record(&mut self, record: &Record, entry: &Verified<Entry>) {
        if let Entry::Contribution { round, update, .. } = entry.get() {
            self.accepted = Some((*round, *update));
        }
        if let Some(submission) = self.submissions.get_mut(&entry.id()) {
            submission.record = Some(record.clone());
            self.context.obstacles.refused(None);
            return self.settle(entry.id());
        }
        // Sent in an earlier session or connection: the chain vouches for it in place of a receipt.
        if let Entry::Contribution { round, update, .. } = entry.get()
            && !self.contributions.is_past(round.0)
        {
            let state = ContributionState::Recorded { index: record.index };
            if self.contributions.state(round.0, update) != Some(&state) {
                self.contribution_changed(*round, *update, state, None);
            }
        }
    }

    pub(crate) fn send(&mut self, ticket: Ticket, entry: &Entry, envelope: Vec<u8>) {
        let contribution = if let Entry::Contribution { round, update, .. } = entry {
            Some((*round, *update))
        } else {
            None
        };
        let id = Cid::of_cbor(&envelope);
        self.submissions.insert(id, Submission { ticket, contribution, record: None, receipt: None });
        if let Some((round, update)) = contribution {
            self.contribution_changed(round, update, ContributionState::Sent, None);
        }
        let attested = self.attested(entry);
        let context = Rc::clone(&self.context);
        self.link_work.push(Box::pin(jobs::append(context, ticket, id, envelope, attested)));
    }

    /// What an entry attests, if it is an attestation.
    fn attested(&self, entry: &Entry) -> Option<Attested> {
        let Entry::Attestation { result, state, difference, .. } = entry else { return None };
        let account = self.participant.account();
        let round = self.participant.state().round()?;
        let mut attesters = round.counted().filter(|accepted| round.is_drawn(&accepted.account));
        let rank = attesters.position(|accepted| accepted.account == account);
        let required = [*result].into_iter().chain(*state).collect();
        Some(Attested { required, difference: *difference, rank: rank? })
    }

    pub(crate) fn appended(
        &mut self,
        ticket: Ticket,
        id: Cid,
        outcome: Result<Verified<Receipt>, Option<String>>,
    ) {
        match outcome {
            Ok(receipt) => {
                if let Some(submission) = self.submissions.get_mut(&id) {
                    submission.receipt = Some(receipt);
                }
                self.settle(id);
            }
            Err(refusal) => {
                if refusal.is_some() {
                    self.context.obstacles.refused(refusal.clone());
                }
                let submission = self.submissions.remove(&id);
                if let (Some(reason), Some((round, update))) =
                    (refusal, submission.and_then(|submission| submission.contribution))
                {
                    self.contribution_changed(round, update, ContributionState::Refused { reason }, None);
                }
                self.tell(ParticipantEvent::Refused { ticket });
            }
        }
    }

    /// Compares an own entry's record with the relay's receipt once both are here.
    fn settle(&mut self, id: Cid) {
        let Some(submission) = self.submissions.get(&id) else { return };
        let (Some(record), Some(receipt), Some(coordinator)) =
            (&submission.record, &submission.receipt, self.replica.as_ref().and_then(Replica::signer))
        else {
            return;
        };
        let checked = check_receipt(receipt, record, &coordinator);
        let Some(Submission { ticket, contribution, record: Some(record), receipt: Some(receipt) }) =
            self.submissions.remove(&id)
        else {
            return;
        };
        let state = match &checked {
            Ok(()) => ContributionState::Recorded { index: record.index },
            Err(error) => ContributionState::Disputed { reason: error.to_string() },
        };
        if let Some((round, update)) = contribution {
            self.contribution_changed(round, update, state, Some(receipt.envelope_bytes().to_vec()));
        }
        match checked {
            Ok(()) => self.tell(ParticipantEvent::Appended { ticket }),
            Err(error) => self.fail(false_log(&error.to_string())),
        }
    }
}
