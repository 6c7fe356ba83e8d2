//! A session's connections: what the swarm reports, and the log as the relay gives it.

use std::rc::Rc;

use lichen_bridge::{ContributionState, Event, Problem, Reported};
use lichen_log::{Authority, Record, Replica};
use lichen_net::hub::Notice;
use lichen_net::{Disconnection, Event as NetEvent};
use lichen_record::{AccountId, Cid, Entry, RoundNumber, Verified};
use lichen_round::{CampaignState, ParticipantEvent};

use super::Session;
use crate::Platform;
use crate::beginning::{self, Begun};
use crate::jobs::{self, Done};
use crate::log_reader::{Batch, LogReader};
use crate::view::Link;

impl<P: Platform> Session<P> {
    /// Takes in what the swarm reports.
    pub(crate) fn net(&mut self, event: NetEvent) {
        match event {
            NetEvent::Started { peer } => self.peer = Some(peer),
            NetEvent::Frame { .. }
            | NetEvent::Ended { .. }
            | NetEvent::Failed { .. }
            | NetEvent::PeersChanged { .. }
            | NetEvent::Traffic { .. }
            | NetEvent::Asked { .. }
            | NetEvent::Unasked { .. }
            | NetEvent::Announced { .. }
            | NetEvent::Found { .. }
            | NetEvent::NoDirectPath { .. } => return self.moved(event),
            NetEvent::Connecting { .. } => self.link = Link::Connecting,
            NetEvent::Connected { .. } => self.connected(),
            NetEvent::Disconnected { reason, retry_in } => self.disconnected(reason, retry_in),
        }
        self.show();
    }

    /// Takes in what moves between this tab, the relay and peers, and changes no phase.
    fn moved(&mut self, event: NetEvent) {
        let now = self.context.platform.elapsed();
        let (hub, mesh) = (&self.context.hub, &self.context.mesh);
        if matches!(event, NetEvent::Frame { .. }) {
            self.vigil.heard(self.context.platform.clock());
        }
        match event {
            NetEvent::Frame { id, bytes } if mesh.is_asking(id) => mesh.frame(now, id, &bytes),
            NetEvent::Frame { id, bytes } => hub.frame(id, bytes),
            NetEvent::Ended { id } | NetEvent::Failed { id, .. } if mesh.is_asking(id) => mesh.ended(now, id),
            NetEvent::Ended { id } => hub.ended(id),
            NetEvent::Failed { id, error } => hub.failed(id, error),
            NetEvent::PeersChanged { peers } => {
                mesh.peers_changed(now, &peers);
                self.pin();
            }
            NetEvent::Asked { id, peer, bytes } => {
                if let Some(serving) = mesh.asked(id, peer, &bytes) {
                    self.work.push(Box::pin(jobs::serve(Rc::clone(&self.context), serving)));
                }
            }
            NetEvent::Unasked { id } => mesh.unasked(id),
            NetEvent::Announced { peer, bytes } => {
                if let Some(head) = mesh.announced(now, &peer, &bytes) {
                    self.hear(head);
                }
            }
            NetEvent::Found { peers } => mesh.found(now, peers),
            NetEvent::NoDirectPath { peer } => {
                mesh.no_direct_path(now, peer);
                self.pin();
            }
            NetEvent::Traffic { received, sent } => self.vigil.moved(received.saturating_add(sent)),
            NetEvent::Started { .. }
            | NetEvent::Connecting { .. }
            | NetEvent::Connected { .. }
            | NetEvent::Disconnected { .. } => {}
        }
    }

    /// Gives the relay a copy of the own update if somebody turned out to be out of reach.
    pub(super) fn pin(&mut self) {
        if self.link == Link::Up
            && let Some(update) = self.context.mesh.take_unpinned()
        {
            self.link_work.push(Box::pin(jobs::pin(Rc::clone(&self.context), update)));
        }
    }

    /// Uses the relay only, or peers too.
    pub(crate) fn use_relay_only(&mut self, relay_only: bool) {
        self.relay_only = relay_only;
        if self.lease.is_some() && !self.has_failed() {
            self.meet();
            self.pin();
        }
    }

    pub(super) fn meet(&self) {
        let (now, campaign) = (self.context.platform.elapsed(), self.context.setup.campaign);
        self.context.mesh.meet(now, campaign, self.relay_only);
    }

    pub(super) fn connected(&mut self) {
        self.link = Link::Up;
        let Some(peer) = self.peer.clone() else { return };
        self.link_work.push(Box::pin(jobs::introduce(Rc::clone(&self.context), peer)));
    }

    pub(super) fn disconnected(&mut self, reason: Disconnection, retry_in: Option<u32>) {
        self.link = Link::Down { retry_in };
        self.is_live = false;
        self.is_following = false;
        self.is_watching = true;
        self.relay_said(Notice::default());
        self.context.hub.disconnected();
        // Before the round machine hears of it: no answer may come after.
        self.link_work.clear();
        for submission in std::mem::take(&mut self.submissions).into_values() {
            if let (Some(record), Some((round, update))) = (submission.record, submission.contribution) {
                self.contribution_changed(
                    round,
                    update,
                    ContributionState::Recorded { index: record.index },
                    None,
                );
            }
        }
        self.tell(ParticipantEvent::Disconnected);
        if matches!(reason, Disconnection::WrongPeer | Disconnection::UnusableAddress) {
            self.fail(Problem {
                message: format!("The relay cannot be used: {reason}."),
                remedy: "Reload the page; if it happens again, tell the people who run this site.".into(),
            });
        }
    }

    /// The relay knows this account: read the log from where it was left.
    pub(super) fn welcomed(&mut self, coordinator: AccountId) {
        match self.replica_by(coordinator) {
            Ok(replica) => self.replica = Some(replica),
            Err(problem) => return self.fail(problem),
        }
        self.tell(ParticipantEvent::Connected);
        self.link_work.push(Box::pin(jobs::fetch_data(Rc::clone(&self.context))));
        let (context, replica) = (Rc::clone(&self.context), self.replica.clone());
        self.link_work.push(Box::pin(async move {
            let Some(replica) = replica else { return Done::ReadLog };
            Done::Begun(beginning::begin(&context, &replica).await)
        }));
    }

    /// Where the log is begun is known.
    pub(super) fn begun(&mut self, begun: Option<Box<Begun>>) {
        if let Some(begun) = begun {
            let Begun { replica, state } = *begun;
            self.accepted = self.accepted_by(&state);
            self.replica = Some(replica);
            self.participant.begin(state);
            self.view.members_changed();
            self.context.count_settled();
        }
        self.read_log();
    }

    /// This account's last update that a round accepted, as far as the state and this device know.
    fn accepted_by(&self, state: &CampaignState) -> Option<(RoundNumber, Cid)> {
        let round = state.round()?;
        let own = round.contribution_of(&self.participant.account()).filter(|own| !own.is_excluded);
        own.map(|own| (round.number(), own.update)).or_else(|| self.contributions.last_recorded())
    }

    /// Tells the page, once, what contributors reported of the rounds before this tab came.
    fn report_what_was(&mut self) {
        let rounds = self.participant.state().reported();
        if std::mem::replace(&mut self.has_reported, true) || rounds.is_empty() {
            return;
        }
        let reported = |one: &lichen_round::Reported| Reported {
            round: one.round.0,
            loss: one.loss,
            accuracy: one.accuracy,
        };
        (self.context.out)(Event::Reported(rounds.iter().map(reported).collect()));
    }

    /// The log as far as it is here, if this account signs it.
    fn replica_by(&self, coordinator: AccountId) -> Result<Replica, Problem> {
        match &self.replica {
            Some(replica) if replica.signer() == Some(coordinator) => Ok(replica.clone()),
            Some(_by_another) => Err(false_log("another coordinator than before signs it")),
            None => {
                let (initial, _parameters) = self.context.setup.initial()?;
                let campaign = self.participant.state().campaign();
                Ok(Replica::new(campaign, Authority::Account(coordinator), initial))
            }
        }
    }

    pub(super) fn read_log(&mut self) {
        let Some(replica) = self.replica.clone() else { return };
        let platform = Rc::clone(&self.context.platform);
        let reader = LogReader::follow(platform, &self.context.hub, replica, self.is_watching);
        self.link_work.push(Box::pin(async move { Done::Log(reader.next().await) }));
    }

    pub(super) fn take_in_batch(&mut self, batch: Batch, reader: LogReader<P>) {
        let is_caught_up = batch.replica.is_complete();
        if let Some(notice) = batch.notice {
            self.relay_said(notice);
        }
        self.unread = 0;
        if let Some(head) = batch.head {
            self.hearsay.shown(head);
        }
        self.replica = Some(batch.replica);
        for (record, entry) in batch.records {
            self.take_in_record(&record, entry);
            if self.has_failed() {
                return;
            }
        }
        if is_caught_up && !self.is_live {
            self.is_live = true;
            self.follow_deadline();
            self.report_what_was();
            if !self.is_held {
                self.tell(ParticipantEvent::CaughtUp);
            }
        }
        self.link_work.push(Box::pin(async move { Done::Log(reader.next().await) }));
    }

    pub(super) fn relay_said(&self, notice: Notice) {
        let Notice { clock_ahead, stall } = notice;
        (self.context.out)(Event::Relay { clock_ahead, stall });
    }

    fn take_in_record(&mut self, record: &Record, entry: Verified<Entry>) {
        self.remember(record);
        if self.has_failed() {
            return;
        }
        if entry.account() == self.participant.account() {
            self.take_in_own_record(record, &entry);
        }
        self.tell(ParticipantEvent::Record { time: record.time, entry });
    }
}

/// Most likely this program is older than what signed the entry.
pub(super) fn later_log(reason: &str) -> Problem {
    Problem {
        message: format!(
            "This page is older than the campaign and cannot read the rest of its record ({reason})."
        ),
        remedy: "Reload the page. If that does not help, tell the people who run this site.".into(),
    }
}

/// The relay contradicts itself, or what others were shown.
pub(super) fn false_log(reason: &str) -> Problem {
    Problem {
        message: format!("The relay's record of this campaign is false or incomplete: {reason}."),
        remedy: "This tab no longer trusts it. Tell the people who run this site, then reload the page."
            .into(),
    }
}
