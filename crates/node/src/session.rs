//! One visit to one campaign, from the open connection to leaving.

use std::collections::BTreeMap;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, select_biased};
use lichen_bridge::{CommandId, ContributionState, EnginePreference, Event, Phase, Problem};
use lichen_campaign::Rounds;
use lichen_log::{Authority, Record, Replica};
use lichen_net::hub::{Notice, Reason};
use lichen_net::{Command as NetCommand, Disconnection, Event as NetEvent};
use lichen_record::{AccountId, Cid, Entry, RoundNumber, Verified};
use lichen_round::{CampaignState, Participant, ParticipantEvent};

use crate::contributions::Contributions;
use crate::hub::{Hub, HubError, Outbox};
use crate::jobs::{self, Done, Shared};
use crate::log_reader::{Batch, LogFault, LogReader};
use crate::mesh::Mesh;
use crate::reported::Before;
use crate::setup::Setup;
use crate::stall::Vigil;
use crate::submissions::Submission;
use crate::training::Trained;
use crate::view::{View, saved_evaluation};
use crate::{Platform, Unkept};

/// How long a goodbye may take before the connection is closed without it, in milliseconds.
const GOODBYE_MS: u32 = 1_200;

/// What a session needs to open.
pub(crate) struct Start<P> {
    pub(crate) platform: Rc<P>,
    pub(crate) out: Outbox,
    pub(crate) setup: Rc<Setup>,
    pub(crate) address: String,
    pub(crate) also: Vec<String>,
    pub(crate) preference: EnginePreference,
    pub(crate) account: AccountId,
    pub(crate) peer: Option<Vec<u8>>,
    pub(crate) relay_only: bool,
}

/// From Join to Leave: one tab's part in a campaign.
pub(crate) struct Session<P: Platform> {
    pub(crate) shared: Rc<Shared<P>>,
    pub(crate) participant: Participant,
    /// The log as far as it is here; none before the relay has said who signs it.
    pub(crate) replica: Option<Replica>,
    /// Whether the relay only follows the campaign's own, and takes nothing.
    is_following: bool,
    /// Whether the relay is asked how it is doing: not one that does not know the question.
    is_watching: bool,
    pub(crate) link: Link,
    /// Whether the log is read up to its present end.
    pub(crate) is_live: bool,
    pub(crate) lease: Option<P::Lease>,
    pub(crate) contributions: Contributions,
    /// What the last training gave, until its round is over.
    pub(crate) trained: Option<Rc<Trained>>,
    /// Blobs on this device that the next settled round makes useless.
    pub(crate) loose: Vec<Cid>,
    pub(crate) view: View,
    /// What the record says of the rounds before this tab came, until it is read.
    pub(crate) before: Option<Before>,
    /// Work that goes on without the relay.
    pub(crate) work: Work<P>,
    /// Work for which there is no answer once the connection is lost.
    pub(crate) link_work: Work<P>,
    address: String,
    also: Vec<String>,
    peer: Option<Vec<u8>>,
    relay_only: bool,
    pub(crate) submissions: BTreeMap<Cid, Submission>,
    leaving: Vec<CommandId>,
    is_over: bool,
    failure: Option<Problem>,
    /// Whether something moves, and what stands in the way.
    pub(crate) vigil: Vigil,
    /// What is being trained, or was last: the round, and its base.
    pub(crate) training: Option<(RoundNumber, Cid)>,
    /// The training that came to numbers that are none, until one goes well.
    pub(crate) diverged: Option<Diverged>,
    /// What was being trained when the person paused: the round, and its base.
    pub(crate) paused_at: Option<(RoundNumber, Cid)>,
    /// Times in a row that the log could not be read.
    unread: u32,
}

/// A training whose numbers grew beyond all bounds, which the same training would do again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Diverged {
    pub(crate) round: RoundNumber,
    pub(crate) base: Cid,
    /// Rounds in a row.
    pub(crate) times: u32,
}

pub(crate) type Work<P> = FuturesUnordered<LocalBoxFuture<'static, Done<P>>>;

/// The connection to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Being made.
    Connecting,
    /// Made, and the relay knows the account or is being told.
    Up,
    /// Lost.
    Down {
        /// Milliseconds until the next attempt.
        retry_in: Option<u32>,
    },
}

impl<P: Platform> Session<P> {
    /// Opens a session: takes part as soon as this is the device's only tab in the campaign.
    pub(crate) async fn open(start: Start<P>) -> Result<Self, Problem> {
        let Start { platform, out, setup, address, also, preference, account, peer, relay_only } = start;
        let campaign = setup.campaign;
        let contributions = Contributions::load(&*platform, campaign).await;
        let mut loose: Vec<Cid> = contributions.iter().last().map(|last| last.update).into_iter().collect();
        if let Some(evaluated) = saved_evaluation(&*platform, campaign).await {
            loose.push(evaluated.checkpoint);
        }
        let lease = platform.try_lease(&campaign).await?;
        let hub = Hub::new(Rc::clone(&out));
        let Rounds { transport, deadline_ms, .. } = setup.manifest.rounds;
        let cap = setup.longest_blob()?;
        let mesh = Rc::new(Mesh::new(Rc::clone(&out), Rc::clone(&hub), transport, cap, deadline_ms));
        let shared = Rc::new(Shared::new(platform, out, hub, mesh, setup, account, preference));
        let state = CampaignState::new(campaign, shared.setup.rules);
        let mut session = Self {
            participant: Participant::new(account, state),
            replica: None,
            is_following: false,
            is_watching: true,
            link: Link::Connecting,
            is_live: false,
            lease: None,
            contributions,
            trained: None,
            loose,
            view: View::new(Rc::clone(&shared.out)),
            before: Some(Before::new()),
            work: Work::new(),
            link_work: Work::new(),
            address,
            also,
            peer,
            relay_only,
            submissions: BTreeMap::new(),
            leaving: Vec::new(),
            is_over: false,
            failure: None,
            vigil: Vigil::default(),
            training: None,
            diverged: None,
            paused_at: None,
            unread: 0,
            shared,
        };
        session.work.push(Box::pin(jobs::tick(Rc::clone(&session.shared))));
        session.tell(ParticipantEvent::Join);
        match lease {
            Some(lease) => session.begin(lease),
            None => session.work.push(Box::pin(jobs::lead(Rc::clone(&session.shared)))),
        }
        session.show();
        Ok(session)
    }

    /// The next piece of work that is done; never resolves while there is none. Dropping the future loses nothing.
    pub(crate) async fn next_done(&mut self) -> Done<P> {
        select_biased! {
            done = self.link_work.select_next_some() => done,
            done = self.work.select_next_some() => done,
            complete => futures::future::pending().await,
        }
    }

    /// Whether the session is to be closed.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the session cannot go on, which it has told.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Why the session cannot go on.
    pub(crate) fn failure(&self) -> Option<&Problem> {
        self.failure.as_ref()
    }

    pub(crate) fn pause(&mut self) {
        self.paused_at = self.trained_for().filter(|_training| self.is_training());
        self.tell(ParticipantEvent::Pause);
        self.show();
    }

    pub(crate) fn resume(&mut self) {
        self.tell(ParticipantEvent::Resume);
        self.show();
    }

    /// Stops at once and says goodbye in the log; the session is over when that is said or takes too long.
    pub(crate) fn leave(&mut self, id: CommandId) {
        self.leaving.push(id);
        self.tell(ParticipantEvent::Leave);
        if self.leaving.len() == 1 {
            let shared = Rc::clone(&self.shared);
            self.work.push(Box::pin(async move {
                shared.platform.sleep(GOODBYE_MS).await;
                Done::GoodbyeOver
            }));
        }
        self.end_if_left();
        self.show();
    }

    /// Ends the session and gives the commands that waited for it.
    pub(crate) fn close(self) -> Vec<CommandId> {
        (self.shared.out)(Event::Net(NetCommand::Disconnect));
        self.leaving
    }

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
        let now = self.shared.platform.elapsed();
        let (hub, mesh) = (&self.shared.hub, &self.shared.mesh);
        if matches!(event, NetEvent::Frame { .. }) {
            self.vigil.heard(self.shared.platform.clock());
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
                    self.work.push(Box::pin(jobs::serve(Rc::clone(&self.shared), serving)));
                }
            }
            NetEvent::Unasked { id } => mesh.unasked(id),
            NetEvent::Announced { peer, bytes } => mesh.announced(now, &peer, &bytes),
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
    fn pin(&mut self) {
        if self.link == Link::Up
            && let Some(update) = self.shared.mesh.take_unpinned()
        {
            self.link_work.push(Box::pin(jobs::pin(Rc::clone(&self.shared), update)));
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

    fn meet(&self) {
        let (now, campaign) = (self.shared.platform.elapsed(), self.shared.setup.campaign);
        self.shared.mesh.meet(now, campaign, self.relay_only);
    }

    /// Takes in a piece of work that is done.
    pub(crate) fn take_in(&mut self, done: Done<P>) {
        match done {
            Done::Led(Ok(lease)) => self.begin(lease),
            Done::Led(Err(problem)) | Done::Broken(problem) => self.fail(problem),
            Done::Tick => {
                (self.shared.out)(Event::Alive);
                self.tell(ParticipantEvent::Tick);
                self.look();
                self.shared.mesh.announce();
                self.shared.mesh.show();
                self.work.push(Box::pin(jobs::tick(Rc::clone(&self.shared))));
            }
            Done::GoodbyeOver => self.is_over = true,
            Done::Welcomed { coordinator, is_following } => {
                self.is_following = is_following;
                self.welcomed(coordinator);
            }
            Done::Log(Ok(read)) => {
                let (batch, reader) = *read;
                self.take_in_batch(batch, reader);
            }
            Done::Log(Err(LogFault::Later(error))) => self.fail(later_log(&error.to_string())),
            Done::Log(Err(LogFault::False(error))) => self.fail(false_log(&error.to_string())),
            Done::Log(Err(LogFault::Hub(HubError::Refused(Reason::Malformed)))) if self.is_watching => {
                self.is_watching = false;
                self.read_log();
            }
            Done::Log(Err(LogFault::Hub(error))) => {
                self.shared.obstacles.refused_by(&error);
                self.unread = self.unread.saturating_add(1);
                let shared = Rc::clone(&self.shared);
                self.link_work.push(Box::pin(jobs::pause_before_reading(shared, self.unread)));
            }
            Done::Checked(kept) => self.checked(kept),
            Done::ReadLog => self.read_log(),
            Done::Fetched { cid, is_here } => self.fetched(cid, is_here),
            Done::Trained { ticket, round, base, result } => self.training_ended(ticket, round, base, result),
            Done::Published { round, update } => self.published(round, update),
            Done::Signed { ticket, entry, envelope } => self.send(ticket, &entry, envelope),
            Done::Appended { ticket, id, outcome } => self.appended(ticket, id, outcome),
            Done::Aggregated { round, excluded, result } => self.aggregated(round, excluded, result),
            Done::Nothing => {}
        }
        self.end_if_left();
        self.show();
    }

    /// Tells the round machine what happened and carries out what it asks for.
    pub(crate) fn tell(&mut self, event: ParticipantEvent) {
        let now = self.shared.platform.elapsed();
        for action in self.participant.handle(now, event) {
            self.carry_out(action);
        }
    }

    /// Stops everything; only a new Join goes on from here.
    pub(crate) fn fail(&mut self, problem: Problem) {
        self.work.clear();
        self.link_work.clear();
        self.shared.next_training();
        self.lease = None;
        self.failure = Some(problem);
        self.is_over |= !self.leaving.is_empty();
        (self.shared.out)(Event::Net(NetCommand::Disconnect));
    }

    /// This is the device's only tab in the campaign now: connect.
    fn begin(&mut self, lease: P::Lease) {
        self.lease = Some(lease);
        (self.shared.out)(Event::Net(NetCommand::Connect {
            address: self.address.clone(),
            also: self.also.clone(),
        }));
        self.meet();
        self.work.push(Box::pin(jobs::prepare(Rc::clone(&self.shared))));
        self.work.push(Box::pin(jobs::check_kept(Rc::clone(&self.shared))));
    }

    fn connected(&mut self) {
        self.link = Link::Up;
        let Some(peer) = self.peer.clone() else { return };
        self.link_work.push(Box::pin(jobs::introduce(Rc::clone(&self.shared), peer)));
    }

    fn disconnected(&mut self, reason: Disconnection, retry_in: Option<u32>) {
        self.link = Link::Down { retry_in };
        self.is_live = false;
        self.is_following = false;
        self.is_watching = true;
        self.relay_said(Notice::default());
        self.shared.hub.disconnected();
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
    fn welcomed(&mut self, coordinator: AccountId) {
        match self.replica_by(coordinator) {
            Ok(replica) => self.replica = Some(replica),
            Err(problem) => return self.fail(problem),
        }
        self.tell(ParticipantEvent::Connected);
        self.link_work.push(Box::pin(jobs::fetch_data(Rc::clone(&self.shared))));
        self.read_log();
    }

    /// The log as far as it is here, if this account signs it.
    fn replica_by(&self, coordinator: AccountId) -> Result<Replica, Problem> {
        match &self.replica {
            Some(replica) if replica.signer() == Some(coordinator) => Ok(replica.clone()),
            Some(_by_another) => Err(false_log("another coordinator than before signs it")),
            None => {
                let (initial, _parameters) = self.shared.setup.initial()?;
                let campaign = self.participant.state().campaign();
                Ok(Replica::new(campaign, Authority::Account(coordinator), initial))
            }
        }
    }

    fn read_log(&mut self) {
        let Some(replica) = self.replica.clone() else { return };
        let platform = Rc::clone(&self.shared.platform);
        let reader = LogReader::follow(platform, &self.shared.hub, replica, self.is_watching);
        self.link_work.push(Box::pin(async move { Done::Log(reader.next().await) }));
    }

    fn take_in_batch(&mut self, batch: Batch, reader: LogReader<P>) {
        let is_caught_up = batch.replica.is_complete();
        if let Some(notice) = batch.notice {
            self.relay_said(notice);
        }
        self.unread = 0;
        self.replica = Some(batch.replica);
        for (record, entry) in batch.records {
            self.take_in_record(&record, entry);
            if self.has_failed() {
                return;
            }
        }
        if is_caught_up && !self.is_live {
            self.is_live = true;
            if let Some(told) = self.before.take().and_then(Before::told) {
                (self.shared.out)(told);
            }
            self.tell(ParticipantEvent::CaughtUp);
        }
        self.link_work.push(Box::pin(async move { Done::Log(reader.next().await) }));
    }

    fn relay_said(&self, notice: Notice) {
        let Notice { clock_ahead, stall } = notice;
        (self.shared.out)(Event::Relay { clock_ahead, stall });
    }

    fn take_in_record(&mut self, record: &Record, entry: Verified<Entry>) {
        if entry.account() == self.participant.account() {
            self.take_in_own_record(record, &entry);
        }
        self.tell(ParticipantEvent::Record { time: record.time, entry });
    }

    fn end_if_left(&mut self) {
        let account = self.participant.account();
        let is_present = self.participant.state().is_present(&account);
        if !self.leaving.is_empty() && (!is_present || !self.is_live) {
            self.is_over = true;
        }
    }

    fn show(&mut self) {
        let phase = self.phase();
        self.view.show(phase, self.participant.state());
    }

    /// The phase as the page hears of it.
    fn phase(&self) -> Phase {
        let phase = self.plain_phase();
        match self.stall(&phase) {
            Some(problem) => Phase::Stalled(problem),
            None => phase,
        }
    }

    /// The phase, whether or not anything moves in it.
    pub(crate) fn plain_phase(&self) -> Phase {
        if let Some(problem) = self.failure() {
            return Phase::Failed(problem.clone());
        }
        if self.lease.is_none() {
            return Phase::WaitingForOtherTab;
        }
        let read = self
            .replica
            .as_ref()
            .map_or((0, 0), |replica| (replica.length(), replica.signed_length().max(replica.length())));
        // There is nothing to be done here but to read, and to wait for the relay that orders the record.
        let is_read = self.is_following && read.0 >= read.1;
        let link = if is_read { Link::Down { retry_in: None } } else { self.link };
        match crate::view::phase(self.participant.activity(), link, read, &self.shared.progress) {
            Phase::Finished if self.participant.state().is_at_goal() => Phase::GoalReached,
            phase => phase,
        }
    }

    /// Whether the account's key is still on this device: without it nothing more is done in the account's name.
    fn checked(&mut self, kept: Result<(), Unkept>) {
        match kept {
            Err(Unkept::Gone(problem)) => return self.fail(problem),
            Err(Unkept::Failing(reason)) => self.shared.obstacles.unreadable(Some(reason)),
            Ok(()) => self.shared.obstacles.unreadable(None),
        }
        self.work.push(Box::pin(jobs::check_kept(Rc::clone(&self.shared))));
    }
}

/// Most likely this program is older than what signed the entry.
fn later_log(reason: &str) -> Problem {
    Problem {
        message: format!("This page is older than the campaign, and cannot read its record on ({reason})."),
        remedy: "Reload the page. If that does not help, tell the people who run this site.".into(),
    }
}

pub(crate) fn false_log(reason: &str) -> Problem {
    Problem {
        message: format!("The relay does not show one true record of this campaign: {reason}."),
        remedy:
            "Nothing it says is believed any more. Tell the people who run this site, then reload the page."
                .into(),
    }
}
