//! Holds a session back for as long as its campaign's witnesses have not seen what came last.

use std::rc::Rc;

use lichen_bridge::{Event, Problem};
use lichen_log::Head;
use lichen_round::ParticipantEvent;

use super::Session;
use super::link::false_log;
use crate::Platform;
use crate::history::Fork;
use crate::jobs::Done;
use crate::view::Link;
use crate::witnessing::{self, Unwitnessed};

impl<P: Platform> Session<P> {
    /// Takes in that the log has grown here.
    pub(super) fn count_as_unseen(&mut self) {
        let now = self.context.platform.elapsed();
        let Some(witnessing) = &mut self.witnessing else { return };
        let before = witnessing.seen();
        let read = witnessing.read(now, &self.history);
        self.have_seen(before, read);
    }

    /// Asks what witnesses have seen, where it is time to, and holds back or goes on.
    pub(super) fn look_for_witnesses(&mut self) {
        let now = self.context.platform.elapsed();
        let Some(witnessing) = &mut self.witnessing else { return };
        let coordinator = self.replica.as_ref().and_then(lichen_log::Replica::signer);
        if let Some(coordinator) = coordinator.filter(|_known| self.link == Link::Up)
            && witnessing.is_due(now, self.history.length())
        {
            let context = Rc::clone(&self.context);
            self.link_work
                .push(Box::pin(async move { Done::Witnessed(witnessing::ask(&context, coordinator).await) }));
        }
        self.hold();
    }

    /// Takes in what witnesses have seen.
    pub(super) fn witnessed(&mut self, found: Result<Head, Unwitnessed>) {
        let now = self.context.platform.elapsed();
        let Some(witnessing) = &mut self.witnessing else { return };
        let before = witnessing.seen();
        let taken = match found {
            Ok(head) => witnessing.witnessed(now, head, &self.history),
            Err(error) => {
                witnessing.not_witnessed(error);
                Ok(())
            }
        };
        self.have_seen(before, taken);
        self.hold();
    }

    fn have_seen(&mut self, before: u64, taken: Result<(), Fork>) {
        if let Err(fork) = taken {
            return self.fail(false_log(&witnessing::in_words(&fork)));
        }
        let seen = self.witnessing.as_ref().map_or(0, witnessing::Witnessing::seen);
        if seen > before {
            (self.context.out)(Event::Witnessed { records: seen });
        }
    }

    /// What is not known to be the one log is only read: the round machine is told that it has not caught up.
    fn hold(&mut self) {
        let now = self.context.platform.elapsed();
        let is_held = self.witnessing.as_ref().is_some_and(|witnessing| witnessing.is_overdue(now));
        if std::mem::replace(&mut self.is_held, is_held) == is_held || !self.is_live {
            return;
        }
        self.tell(if is_held { ParticipantEvent::Connected } else { ParticipantEvent::CaughtUp });
    }

    /// Why nothing is done, where witnesses have not seen what came last.
    pub(super) fn unwitnessed(&self) -> Option<Problem> {
        let witnessing = self.witnessing.as_ref().filter(|_witnesses| self.is_held)?;
        let wait = "It continues by itself as soon as they have. If that lasts, tell the people who run this site: the witnesses \
            may be away, or the server may show them another record than this tab.";
        let (message, remedy) = match witnessing.why() {
            Unwitnessed::Absent => ("have not confirmed its record for more than a minute", wait),
            Unwitnessed::Unshown => ("have not confirmed its record by what the server shows of them", wait),
            Unwitnessed::Unable => (
                "cannot be checked by this browser (it lacks Ed25519)",
                "Use a newer one, or take part in another campaign.",
            ),
        };
        Some(Problem {
            message: format!("The witnesses of this campaign {message}, so this tab holds back."),
            remedy: remedy.into(),
        })
    }
}
