//! When the coordinator ends a round's waiting.

use lichen_record::{Entry, RoundNumber};

use super::{Coordinator, Due};
use crate::Round;

impl Coordinator {
    /// Where contributors settle, the coordinator attests nothing: it ends the round when nobody will attest any more, or
    /// when the deadline has passed. Of that, members get the whole length after a restart, for they could say nothing
    /// while the relay was away.
    pub(super) fn due_end(&self, time: u64, round: RoundNumber, closed: u64) -> Due {
        let entry = Entry::RoundClosed { campaign: self.state.campaign(), round };
        if self.state.round().is_some_and(Round::is_heard_out) {
            return Due::Entry(entry);
        }
        let end = closed.max(self.acting_since).saturating_add(self.state.rules().deadline_ms);
        if time < end {
            return Due::At(end);
        }
        Due::Entry(entry)
    }

    /// Its word stands and does not settle the round, since most contradict it. For a further word they get a deadline, the
    /// whole of it after a restart.
    pub(super) fn due_set_aside(&self, time: u64, round: RoundNumber, closed: u64) -> Due {
        let deadline = self.state.rules().deadline_ms;
        let end = closed.saturating_add(deadline).max(self.acting_since).saturating_add(deadline);
        if time < end {
            return Due::At(end);
        }
        Due::Entry(Entry::RoundClosed { campaign: self.state.campaign(), round })
    }

    /// What is due, unless the round has waited for as long as it may: that goes before anything but an entry. Whoever has been
    /// away gives the others the time in which they could say nothing.
    pub(super) fn or_overdue(&self, time: u64, round: &Round, due: Due) -> Due {
        let Some(from) = self.overdue_from() else { return due };
        match due {
            Due::Entry(_) => due,
            _ if time >= from => {
                Due::Entry(Entry::RoundOverdue { campaign: self.state.campaign(), round: round.number() })
            }
            Due::At(other) => Due::At(other.min(from)),
            Due::Nothing => Due::At(from),
            Due::Aggregate { .. } => due,
        }
    }

    /// Log time from which the round is overdue, in milliseconds.
    pub(super) fn overdue_from(&self) -> Option<u64> {
        let rules = self.state.rules();
        let from = self.state.round()?.overdue_from(rules)?;
        Some(from.max(self.acting_since.saturating_add(rules.deadline_ms)))
    }
}
