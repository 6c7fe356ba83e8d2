//! One visit to one campaign, from the open connection to leaving.

mod actions;
mod hearsay;
mod link;
mod stall;
mod submissions;
mod witnesses;

use std::collections::BTreeMap;
use std::rc::Rc;

use futures::future::{AbortHandle, LocalBoxFuture};
use futures::lock::Mutex;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, select_biased};
use lichen_bridge::{CommandId, EnginePreference, Event, Phase, Problem};
use lichen_campaign::Rounds;
use lichen_log::Replica;
use lichen_net::Command as NetCommand;
use lichen_net::hub::Reason;
use lichen_record::{AccountId, Cid, RoundNumber};
use lichen_round::{CampaignState, Participant, ParticipantEvent};

use crate::context::Context;
use crate::contributions::Contributions;
use crate::evaluating::saved_evaluation;
use crate::hearsay::Hearsay;
use crate::history::History;
use crate::hub::{Hub, HubError, Outbox};
use crate::jobs::{self, Done};
use crate::log_reader::LogFault;
use crate::mesh::Mesh;
use crate::settling::Settling;
use crate::setup::Setup;
use crate::training::{Trained, Training};
use crate::view::{self, Link, View};
use crate::witnessing::Witnessing;
use crate::{Platform, Unkept};

use link::{false_log, later_log};
use stall::Vigil;
use submissions::Submission;

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
    pub(crate) context: Rc<Context<P>>,
    /// The engine that trains.
    pub(crate) engine: Rc<Mutex<Training>>,
    pub(crate) settling: Rc<Settling>,
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
    /// The log's last hashes.
    pub(crate) history: History,
    /// What other tabs were shown of it.
    pub(crate) hearsay: Hearsay,
    /// How far witnesses have seen the log; none where the campaign names none.
    pub(crate) witnessing: Option<Witnessing>,
    /// Whether nothing is done until witnesses have seen what came last.
    is_held: bool,
    pub(crate) lease: Option<P::Lease>,
    pub(crate) contributions: Contributions,
    /// This account's last update that a round accepted, and the round.
    pub(crate) accepted: Option<(RoundNumber, Cid)>,
    /// What the last training gave, until its round is over.
    pub(crate) trained: Option<Rc<Trained>>,
    /// Blobs on this device that the next settled round makes useless.
    pub(crate) unpinned: Vec<Cid>,
    pub(crate) view: View,
    /// Whether the page was told what contributors reported of the rounds before this tab came.
    pub(crate) has_reported: bool,
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
    /// Ends the repetition of another's training that is under way.
    pub(crate) repetition: Option<AbortHandle>,
    /// What was being trained when the person paused: the round, and its base.
    pub(crate) paused_at: Option<(RoundNumber, Cid)>,
    /// Times in a row that the log could not be read.
    unread: u32,
}

/// A training whose numbers grew beyond all bounds, which the same training would do again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Diverged {
    pub(crate) round: RoundNumber,
    pub(crate) base: Cid,
    pub(crate) learning_rate: f64,
    /// Rounds in a row.
    pub(crate) times: u32,
}

pub(crate) type Work<P> = FuturesUnordered<LocalBoxFuture<'static, Done<P>>>;

impl<P: Platform> Session<P> {
    /// Opens a session: takes part as soon as this is the device's only tab in the campaign.
    pub(crate) async fn open(start: Start<P>) -> Result<Self, Problem> {
        let Start { platform, out, setup, address, also, preference, account, peer, relay_only } = start;
        let campaign = setup.campaign;
        let contributions = Contributions::load(&*platform, campaign).await;
        let mut unpinned: Vec<Cid> =
            contributions.iter().last().map(|last| last.update).into_iter().collect();
        if let Some(evaluated) = saved_evaluation(&*platform, campaign).await {
            unpinned.push(evaluated.checkpoint);
        }
        let lease = platform.try_lease(&campaign).await?;
        let hub = Hub::new(Rc::clone(&out));
        let Rounds { transport, deadline_ms, .. } = setup.manifest.rounds;
        let cap = setup.longest_blob()?;
        let mesh = Rc::new(Mesh::new(Rc::clone(&out), Rc::clone(&hub), transport, cap, deadline_ms));
        let context = Rc::new(Context::new(platform, out, hub, mesh, setup, account));
        let state = CampaignState::new(campaign, context.setup.rules);
        let mut session = Self {
            participant: Participant::new(account, state),
            replica: None,
            is_following: false,
            is_watching: true,
            link: Link::Connecting,
            is_live: false,
            witnessing: context.setup.manifest.log.witnesses.as_ref().map(|_named| Witnessing::default()),
            is_held: false,
            history: History::default(),
            hearsay: Hearsay::default(),
            lease: None,
            contributions,
            accepted: None,
            trained: None,
            unpinned,
            view: View::new(Rc::clone(&context.out)),
            has_reported: false,
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
            repetition: None,
            paused_at: None,
            unread: 0,
            engine: Rc::new(Mutex::new(Training::new(preference))),
            settling: Rc::default(),
            context,
        };
        session.work.push(Box::pin(jobs::tick(Rc::clone(&session.context))));
        session.tell(ParticipantEvent::Join);
        match lease {
            Some(lease) => session.begin(lease),
            None => session.work.push(Box::pin(jobs::lead(Rc::clone(&session.context)))),
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
            let context = Rc::clone(&self.context);
            self.work.push(Box::pin(async move {
                context.platform.sleep(GOODBYE_MS).await;
                Done::GoodbyeOver
            }));
        }
        self.end_if_left();
        self.show();
    }

    /// Ends the session and gives the commands that waited for it.
    pub(crate) fn close(self) -> Vec<CommandId> {
        (self.context.out)(Event::Net(NetCommand::Disconnect));
        self.leaving
    }

    /// Takes in a piece of work that is done.
    pub(crate) fn take_in(&mut self, done: Done<P>) {
        match done {
            Done::Led(Ok(lease)) => self.begin(lease),
            Done::Led(Err(problem)) | Done::Broken(problem) => self.fail(problem),
            Done::Tick => {
                (self.context.out)(Event::Alive);
                self.tell(ParticipantEvent::Tick);
                self.look_for_witnesses();
                self.tell_head();
                self.look();
                self.context.mesh.announce();
                self.context.mesh.show();
                self.work.push(Box::pin(jobs::tick(Rc::clone(&self.context))));
            }
            Done::GoodbyeOver => self.is_over = true,
            Done::Welcomed { coordinator, is_following } => {
                self.is_following = is_following;
                self.welcomed(coordinator);
            }
            Done::Begun(Ok(begun)) => self.begun(begun),
            Done::Log(Ok(read)) => {
                let (batch, reader) = *read;
                self.take_in_batch(batch, reader);
            }
            Done::Log(Err(LogFault::Later(error))) | Done::Begun(Err(LogFault::Later(error))) => {
                self.fail(later_log(&error.to_string()));
            }
            Done::Log(Err(LogFault::False(error))) | Done::Begun(Err(LogFault::False(error))) => {
                self.fail(false_log(&error.to_string()));
            }
            Done::Log(Err(LogFault::Snapshot(error))) | Done::Begun(Err(LogFault::Snapshot(error))) => {
                self.fail(false_log(&error));
            }
            // Whoever gives no snapshot may give the log.
            Done::Begun(Err(LogFault::Hub(_))) => self.read_log(),
            Done::Log(Err(LogFault::Hub(HubError::Refused(Reason::Malformed)))) if self.is_watching => {
                self.is_watching = false;
                self.read_log();
            }
            Done::Log(Err(LogFault::Hub(error))) => {
                self.context.obstacles.refused_by(&error);
                self.unread = self.unread.saturating_add(1);
                let context = Rc::clone(&self.context);
                self.link_work.push(Box::pin(jobs::pause_before_reading(context, self.unread)));
            }
            Done::Checked(kept) => self.checked(kept),
            Done::ReadLog => self.read_log(),
            Done::Fetched { cid, is_here } => self.fetched(cid, is_here),
            Done::Trained { ticket, round, base, result } => self.training_ended(ticket, round, base, result),
            Done::Published { round, update } => self.published(round, update),
            Done::Signed { ticket, entry, envelope } => self.send(ticket, &entry, envelope),
            Done::Appended { ticket, id, outcome } => self.appended(ticket, id, outcome),
            Done::Aggregated { round, excluded, result } => self.aggregated(round, excluded, result),
            Done::Repeated { round, contributor, found } => self.repeated(round, contributor, found),
            Done::Witnessed(found) => self.witnessed(found),
            Done::Heard(head, envelope) => self.heard(&head, envelope),
            Done::Nothing => {}
        }
        self.end_if_left();
        self.show();
    }

    /// Tells the round machine what happened and carries out what it asks for.
    pub(crate) fn tell(&mut self, event: ParticipantEvent) {
        let now = self.context.platform.elapsed();
        for action in self.participant.handle(now, event) {
            self.carry_out(action);
        }
    }

    /// Stops everything; only a new Join goes on from here.
    pub(crate) fn fail(&mut self, problem: Problem) {
        self.work.clear();
        self.link_work.clear();
        self.context.next_training();
        self.lease = None;
        self.failure = Some(problem);
        self.is_over |= !self.leaving.is_empty();
        (self.context.out)(Event::Net(NetCommand::Disconnect));
    }

    /// This is the device's only tab in the campaign now: connect.
    fn begin(&mut self, lease: P::Lease) {
        self.lease = Some(lease);
        (self.context.out)(Event::Net(NetCommand::Connect {
            address: self.address.clone(),
            also: self.also.clone(),
        }));
        self.meet();
        self.work.push(Box::pin(jobs::prepare(Rc::clone(&self.context), Rc::clone(&self.engine))));
        self.work.push(Box::pin(jobs::check_kept(Rc::clone(&self.context))));
    }

    fn end_if_left(&mut self) {
        let account = self.participant.account();
        // A retired campaign's record takes no leaving any more.
        let state = self.participant.state();
        let is_present = state.is_present(&account) && !state.is_retired();
        if !self.leaving.is_empty() && (!is_present || !self.is_live) {
            self.is_over = true;
        }
    }

    fn show(&mut self) {
        let phase = self.phase();
        self.view.show(phase, self.participant.state(), &self.participant.account());
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
        match view::phase(self.participant.activity(), link, read, &self.context.progress) {
            Phase::Finished if self.participant.state().is_retired() => Phase::Retired,
            Phase::Finished if self.participant.state().is_at_goal() => Phase::GoalReached,
            phase => phase,
        }
    }

    /// Whether the account's key is still on this device: without it nothing more is done in the account's name.
    fn checked(&mut self, kept: Result<(), Unkept>) {
        match kept {
            Err(Unkept::Gone(problem)) => return self.fail(problem),
            Err(Unkept::Failing(reason)) => self.context.obstacles.unreadable(Some(reason)),
            Ok(()) => self.context.obstacles.unreadable(None),
        }
        self.work.push(Box::pin(jobs::check_kept(Rc::clone(&self.context))));
    }
}
