//! What each click and event changes, and what is to be done about it.

use super::compare::misled;
use super::filing::{set_aside, went_back};
use super::{
    Account, Asked, Evaluation, Link, MAX_UNREACHED, Round, Run, Threads, Traffic, ViewState, Words,
    WorkerStage,
};
use crate::intent::Intent;
use crate::now::Changed;
use crate::site::{Campaign, Site, Unread};
use lichen_bridge::{Command, Event, IdentityOrigin, Phase, Problem};
use lichen_net::{Path, Peer};
use std::rc::Rc;

/// Something for the session to carry out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Read `/lichen.json`.
    ReadSite,
    /// Read `/now.json`.
    ReadNow,
    /// Start the worker.
    StartWorker,
    /// Remember on this device how many threads may train.
    RememberThreads(u32),
    /// Start the swarm, which connects to nobody before it is told to.
    StartSwarm,
    /// Post a command to the worker.
    Send(Command),
    /// Remember on this device whether to use the relay only.
    Remember(bool),
    /// Start the worker that checks this campaign's record.
    StartCheck(String),
    /// End it.
    EndCheck,
    /// End the worker and the swarm now.
    Close,
    /// End them soon, whether or not the goodbyes have gone through.
    CloseSoon,
}

impl ViewState {
    /// Does what a visitor asks, at `now` on the page's clock.
    pub(crate) fn click(&mut self, intent: Intent, now: f64) -> Vec<Effect> {
        match (intent, &self.run) {
            (Intent::Join, Run::Idle | Run::Left | Run::Failed(_) | Run::Leaving) => self.join(now),
            (Intent::Pause, Run::Joined) => {
                self.run = Run::Paused;
                self.tell_if_taking_part(Asked::Pause)
            }
            (Intent::Resume, Run::Paused) => {
                self.run = Run::Joined;
                match self.worker {
                    WorkerStage::Prepared => self.take_part(),
                    WorkerStage::Loading | WorkerStage::TakingPart => self.tell_if_taking_part(Asked::Resume),
                }
            }
            (Intent::Leave, Run::Joined | Run::Paused) => {
                self.effort.stop(now);
                self.leave()
            }
            (Intent::RelayOnly(on), _) => self.use_relay_only(on),
            (Intent::Threads(wanted), _) => {
                self.threads = Threads::new(wanted, self.threads.most);
                vec![Effect::RememberThreads(self.threads.wanted)]
            }
            (Intent::Look, _) => self.look(),
            (Intent::Check, _) => self.start_check(),
            (Intent::StopCheck, _) => self.stop_check(),
            (Intent::Draw(drawing), _) => self.draw(drawing),
            (Intent::Dismiss, _) => {
                self.notice = None;
                Vec::new()
            }
            (Intent::ReadAgain, _) => {
                self.words = Words::Reading;
                vec![Effect::ReadSite, Effect::ReadNow]
            }
            _ => Vec::new(),
        }
    }

    /// Takes in the campaign's words, as the relay states them or as a reason why it does not.
    pub(crate) fn read_site(&mut self, read: Result<(Campaign, Site), Unread>) {
        if matches!(self.words, Words::Verified(_)) {
            return;
        }
        match read {
            Ok((campaign, site)) => {
                self.words = Words::Stated(Rc::new(campaign));
                self.site = Rc::new(site);
            }
            Err(Unread { problem, campaigns }) => {
                self.words = Words::Missing(problem);
                self.site = Rc::new(Site { campaigns, ..Site::default() });
            }
        }
    }

    /// Takes in what the worker tells, at `now` on the page's clock.
    pub(crate) fn apply(&mut self, event: Event, now: f64) -> Vec<Effect> {
        // An answer may be to an earlier visit.
        if !matches!(event, Event::Answered { .. }) {
            self.hear(now);
        }
        match event {
            Event::Ready { version } => return self.ready(version),
            Event::Answered { id, outcome } => return self.answered(id, outcome),
            // Between worker and swarm; the session sees to it.
            Event::Net(_) => {}
            // From another worker.
            Event::Checking(_) | Event::Checked(_) => {}
            Event::Status(phase) => return self.enter(phase, now),
            Event::Identity { account, origin } => {
                self.account =
                    Some(Account { did: account.to_string(), new: origin == IdentityOrigin::Created });
            }
            Event::Campaign(campaign) => {
                let stated = self.campaign().cloned().unwrap_or_default();
                let verified = Campaign::verified(campaign, &stated);
                if let Some(problem) = misled(&stated.card, &verified.card) {
                    return self.turn_away(problem);
                }
                self.words = Words::Verified(Rc::new(verified));
            }
            Event::Engine(engine) => self.engine = Some(engine),
            Event::Round { number, cohort, contributions, settled, .. } => {
                if self.round.is_none_or(|known| known.number != number) {
                    self.round_began = Some(now);
                }
                self.round = Some(Round { number, cohort, contributions, settled });
            }
            Event::Loss { round, points } => self.trained(round, &points, now),
            Event::Evaluated { round, checkpoint, loss, accuracy, samples } => self.evaluated(Evaluation {
                round: round.unwrap_or(0),
                checkpoint: checkpoint.to_string(),
                loss,
                accuracy,
                samples,
            }),
            Event::Reported(rounds) => self.reported = Rc::new(rounds),
            Event::WentBack { round, to } => self.notice = Some(went_back(round, to)),
            Event::SetAside { round, would_be, stays } => {
                self.notice = Some(set_aside(round, would_be, stays));
            }
            Event::Contribution(contribution) => self.contributed(contribution),
            Event::Audited(audited) => self.audited = Some(audited),
            Event::SettingsChanged { round, time, settings } => {
                Rc::make_mut(&mut self.changes).push(Changed { round, time, settings });
            }
            Event::Guesses(guesses) => self.guessed(guesses),
            Event::Read { id, probabilities } => self.read(id, probabilities),
            Event::Relay { clock_ahead, stall } => (self.clock_ahead, self.stall) = (clock_ahead, stall),
            Event::Transfers { direct, relayed, .. } => {
                (self.bytes_direct, self.bytes_relayed) = (direct, relayed)
            }
            Event::Evidence(text) => self.evidence = Some(text),
            Event::Witnessed { records } => self.witnessed = Some(records),
            Event::Remark(problem) => self.notice = Some(problem),
            Event::Alive => {}
            Event::Members { accounts, count } => {
                self.members = accounts.iter().map(ToString::to_string).collect();
                self.member_count = u64::from(count);
                self.are_members_known = true;
            }
        }
        Vec::new()
    }

    /// Takes in what the swarm reports, at `now` on the page's clock; frames are none of the page's business.
    pub(crate) fn observe(&mut self, event: &lichen_net::Event, now: f64) {
        use lichen_net::Event as Net;
        match event {
            Net::Connecting { .. } => self.link = Link::Connecting,
            Net::Connected { address, .. } => {
                self.link = Link::Open { address: address.clone(), round_trip: None };
            }
            Net::Disconnected { reason, retry_in } => {
                let retry_at = retry_in.map(|wait| now + f64::from(wait));
                self.link = Link::Lost { reason: reason.to_string(), retry_at };
            }
            Net::PeersChanged { peers } => {
                let hub = peers.iter().find(|peer| peer.path == Path::Hub);
                if let (Link::Open { round_trip, .. }, Some(hub)) = (&mut self.link, hub) {
                    *round_trip = hub.round_trip;
                }
                self.show_peers(peers);
            }
            Net::NoDirectPath { peer } => {
                let is_direct = |known: &Peer| known.peer == *peer && known.path == Path::Direct;
                if self.unreached.len() < MAX_UNREACHED && !self.peers.iter().any(is_direct) {
                    self.unreached.insert(peer.clone());
                }
            }
            Net::Traffic { received, sent } => self.traffic = Traffic { received: *received, sent: *sent },
            Net::Started { .. }
            | Net::Frame { .. }
            | Net::Ended { .. }
            | Net::Failed { .. }
            | Net::Asked { .. }
            | Net::Unasked { .. }
            | Net::Announced { .. }
            | Net::Found { .. } => {}
        }
    }

    /// Takes in that the swarm was told to meet other tabs, or to keep from them.
    pub(crate) fn meet(&mut self) {
        self.meets = true;
    }

    /// The worker, or the page's way to it, broke.
    pub(crate) fn broke(&mut self, problem: Problem) -> Vec<Effect> {
        match self.run {
            Run::Idle | Run::Left | Run::Failed(_) => self.look_broke(problem),
            Run::Leaving => self.closed(),
            Run::Joined | Run::Paused => {
                self.run = Run::Failed(problem);
                self.forget_connection();
                vec![Effect::Close]
            }
        }
    }

    /// The relay's words were false: back to the invitation, which says so, before anything connects.
    fn turn_away(&mut self, problem: Problem) -> Vec<Effect> {
        self.words = Words::Missing(problem);
        self.run = Run::Idle;
        self.is_looking = false;
        self.forget_connection();
        vec![Effect::Close]
    }

    /// The goodbyes have gone through, or had their time.
    pub(crate) fn closed(&mut self) -> Vec<Effect> {
        if self.run != Run::Leaving {
            return Vec::new();
        }
        self.run = Run::Left;
        self.forget_connection();
        vec![Effect::Close]
    }

    fn show_peers(&mut self, peers: &[Peer]) {
        let tabs: Vec<Peer> = peers.iter().filter(|peer| peer.path != Path::Hub).cloned().collect();
        for peer in tabs.iter().filter(|peer| peer.path == Path::Direct) {
            self.unreached.remove(&peer.peer);
        }
        if *self.peers != tabs {
            self.peers = Rc::new(tabs);
        }
    }

    fn use_relay_only(&mut self, on: bool) -> Vec<Effect> {
        self.relay_only = on;
        self.unreached.clear();
        let mut effects = vec![Effect::Remember(on)];
        if self.worker != WorkerStage::Loading {
            effects.push(self.ask(Asked::RelayOnly));
        }
        effects
    }

    fn join(&mut self, now: f64) -> Vec<Effect> {
        if self.campaign().is_none() {
            return Vec::new();
        }
        let has_worker = self.run == Run::Leaving || self.is_looking;
        let mut effects = if has_worker { vec![Effect::Close] } else { Vec::new() };
        effects.extend(self.start_anew(now));
        effects
    }

    /// Begins with nothing but the words and the visitor's choices.
    pub(super) fn start_anew(&mut self, now: f64) -> Vec<Effect> {
        *self = Self {
            words: std::mem::take(&mut self.words),
            site: self.site.clone(),
            preference: self.preference,
            relay_only: self.relay_only,
            threads: self.threads,
            run: Run::Joined,
            joined_at: Some(now),
            now: self.now.take(),
            trial: self.trial.kept(),
            check: std::mem::take(&mut self.check),
            last_id: self.last_id,
            heard_at: now,
            watched_at: now,
            ..Self::default()
        };
        vec![Effect::StartWorker]
    }

    fn leave(&mut self) -> Vec<Effect> {
        self.run = Run::Leaving;
        if self.worker != WorkerStage::TakingPart {
            return self.closed();
        }
        vec![self.ask(Asked::Leave), Effect::CloseSoon]
    }

    /// The worker knows the campaign: first of all it learns whom it must keep from.
    pub(super) fn prepared(&mut self) -> Vec<Effect> {
        let mut effects = if self.relay_only { vec![self.ask(Asked::RelayOnly)] } else { Vec::new() };
        effects.extend(self.take_part());
        effects
    }

    /// The worker knows the campaign, and the visitor only looks.
    pub(super) fn prepared_to_look(&mut self) -> Vec<Effect> {
        self.worker = WorkerStage::Prepared;
        self.look_if_ready()
    }

    /// Tells the worker to take part, unless the visitor has paused meanwhile.
    pub(super) fn take_part(&mut self) -> Vec<Effect> {
        self.worker = WorkerStage::Prepared;
        if self.run != Run::Joined {
            return Vec::new();
        }
        self.worker = WorkerStage::TakingPart;
        vec![self.ask(Asked::Join)]
    }

    fn enter(&mut self, phase: Phase, now: f64) -> Vec<Effect> {
        match phase {
            Phase::Failed(problem) => return self.broke(problem),
            Phase::Training { step, .. } => {
                self.went_on();
                if step > 0 {
                    self.stepped(now);
                }
            }
            Phase::Finished | Phase::Retired => self.has_ended = true,
            Phase::GoalReached => (self.has_ended, self.has_ended_at_goal) = (true, true),
            Phase::Idle
            | Phase::WaitingForOtherTab
            | Phase::Connecting
            | Phase::CatchingUp { .. }
            | Phase::WaitingForRound
            | Phase::WaitingForTurn { .. }
            | Phase::Sending
            | Phase::WaitingForClose
            | Phase::Aggregating
            | Phase::Paused
            | Phase::OnHold
            | Phase::Offline { .. }
            | Phase::Stalled(_) => {}
        }
        self.effort.enter(&phase, now);
        self.phase = Some(phase);
        Vec::new()
    }

    /// The people who run a campaign may open it again by going back.
    fn went_on(&mut self) {
        (self.has_ended, self.has_ended_at_goal) = (false, false);
        if let Some(now) = self.now.as_mut().filter(|now| now.finished) {
            let now = Rc::make_mut(now);
            (now.finished, now.goal_reached) = (false, false);
        }
    }

    fn forget_connection(&mut self) {
        self.link = Link::Closed;
        self.phase = None;
        self.meets = false;
        self.peers = Rc::default();
        self.unreached.clear();
        self.members.clear();
        self.member_count = 0;
        self.are_members_known = false;
        self.asked.clear();
        self.worker = WorkerStage::Loading;
        self.trial.rest();
    }
}
