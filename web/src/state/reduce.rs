//! What each click, answer and event changes, and what is to be done about it.

use super::compare::misled;
use super::{
    Account, Asked, Campaign, Evaluation, Link, MAX_HISTORY, MAX_KEPT, MAX_LISTED, MAX_UNREACHED, Round, Run,
    Threads, Traffic, ViewState, Words, WorkerStage,
};
use crate::intent::Intent;
use crate::site::Site;
use lichen_bridge::{
    Command, CommandId, Contribution, ContributionState, Event, IdentityOrigin, LossPoint, Outcome, Phase,
    Problem,
};
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
    /// Hand a command to the swarm.
    Swarm(lichen_net::Command),
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
    pub(crate) fn read_site(&mut self, read: Result<(Campaign, Site), Problem>) {
        if matches!(self.words, Words::Verified(_)) {
            return;
        }
        match read {
            Ok((campaign, site)) => {
                self.words = Words::Stated(Rc::new(campaign));
                self.site = Rc::new(site);
            }
            Err(problem) => self.words = Words::Missing(problem),
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
            Event::Net(command) => {
                self.meets |= matches!(command, lichen_net::Command::Meet { .. });
                return vec![Effect::Swarm(command)];
            }
            Event::Status(phase) => return self.enter(phase, now),
            Event::Identity { account, origin } => {
                self.account =
                    Some(Account { did: account.to_string(), new: origin == IdentityOrigin::Created });
            }
            Event::Campaign(campaign) => {
                let stated = self.campaign().cloned().unwrap_or_default();
                let verified = verified(campaign, &stated);
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
            Event::Guesses(guesses) => self.guessed(guesses),
            Event::Read { id, probabilities } => self.read(id, probabilities),
            Event::Relay { clock_ahead, stall } => (self.clock_ahead, self.stall) = (clock_ahead, stall),
            Event::Transfers { direct, relayed, .. } => {
                (self.bytes_direct, self.bytes_relayed) = (direct, relayed)
            }
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
    fn prepared(&mut self) -> Vec<Effect> {
        let mut effects = if self.relay_only { vec![self.ask(Asked::RelayOnly)] } else { Vec::new() };
        effects.extend(self.take_part());
        effects
    }

    /// The worker knows the campaign, and the visitor only looks.
    fn prepared_to_look(&mut self) -> Vec<Effect> {
        self.worker = WorkerStage::Prepared;
        self.look_if_ready()
    }

    /// Tells the worker to take part, unless the visitor has paused meanwhile.
    fn take_part(&mut self) -> Vec<Effect> {
        self.worker = WorkerStage::Prepared;
        if self.run != Run::Joined {
            return Vec::new();
        }
        self.worker = WorkerStage::TakingPart;
        vec![self.ask(Asked::Join)]
    }

    fn tell_if_taking_part(&mut self, asked: Asked) -> Vec<Effect> {
        if self.worker == WorkerStage::TakingPart { vec![self.ask(asked)] } else { Vec::new() }
    }

    fn ready(&mut self, version: u32) -> Vec<Effect> {
        if version != lichen_bridge::VERSION {
            return self.broke(Problem {
                message: "The page and its worker are of different versions.".to_owned(),
                remedy: "Reload the page to get both anew.".to_owned(),
            });
        }
        let start = self.ask(Asked::Start);
        if self.is_taking_part() { vec![Effect::StartSwarm, start] } else { vec![start] }
    }

    fn answered(&mut self, id: CommandId, outcome: Outcome) -> Vec<Effect> {
        let Some(asked) = self.asked.remove(&id) else {
            return Vec::new();
        };
        match (asked, outcome) {
            (Asked::Start, Outcome::Done) if !self.is_taking_part() => self.prepared_to_look(),
            (Asked::Start, Outcome::Done) => self.prepared(),
            (Asked::Read, outcome) => self.reading_ended(id, result(outcome)),
            (Asked::Look, outcome) => {
                self.looked(result(outcome));
                Vec::new()
            }
            (Asked::Leave, _) => self.closed(),
            (_, Outcome::Done) => Vec::new(),
            (Asked::Start | Asked::Join, Outcome::Refused(problem)) => self.broke(problem),
            (Asked::RelayOnly, Outcome::Refused(problem)) => {
                self.notice = Some(problem);
                Vec::new()
            }
            (Asked::Pause, Outcome::Refused(problem)) => {
                self.turn_back(&Run::Paused, Run::Joined, problem);
                Vec::new()
            }
            (Asked::Resume, Outcome::Refused(problem)) => {
                self.turn_back(&Run::Joined, Run::Paused, problem);
                Vec::new()
            }
        }
    }

    /// Undoes a click that the worker refused, unless another came after it.
    fn turn_back(&mut self, from: &Run, to: Run, problem: Problem) {
        if self.run == *from {
            self.run = to;
            self.notice = Some(problem);
        }
    }

    pub(super) fn ask(&mut self, asked: Asked) -> Effect {
        self.last_id = self.last_id.wrapping_add(1);
        let id = CommandId(self.last_id);
        self.asked.insert(id, asked);
        Effect::Send(match asked {
            Asked::Start => Command::Start { id, relay: self.site.relay.clone(), engine: self.preference },
            Asked::Join => Command::Join { id },
            Asked::Pause => Command::Pause { id },
            Asked::Resume => Command::Resume { id },
            Asked::Leave => Command::Leave { id },
            Asked::RelayOnly => Command::RelayOnly { id, on: self.relay_only },
            Asked::Read => Command::Read { id, cells: self.picture() },
            Asked::Look => {
                let now = self.now.clone().unwrap_or_default();
                let checkpoint = now.checkpoint.clone().unwrap_or_default();
                Command::Look { id, checkpoint, round: now.settled }
            }
        })
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
            Phase::Finished => self.has_ended = true,
            Phase::GoalReached => (self.has_ended, self.has_ended_at_goal) = (true, true),
            Phase::Idle
            | Phase::WaitingForOtherTab
            | Phase::Connecting
            | Phase::CatchingUp { .. }
            | Phase::WaitingForRound
            | Phase::Sending
            | Phase::WaitingForClose
            | Phase::Aggregating
            | Phase::Paused
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

    fn trained(&mut self, round: u64, points: &[LossPoint], now: f64) {
        if let Some(last) = points.last() {
            self.own_loss = Some(last.loss);
            self.own_loss_round = round;
            self.stepped(now);
        }
    }

    fn stepped(&mut self, now: f64) {
        if let (None, Some(joined_at)) = (self.first_step_ms, self.joined_at) {
            self.first_step_ms = Some(now - joined_at);
        }
    }

    /// Files a result by its round; a round measured again replaces its earlier result.
    fn evaluated(&mut self, evaluation: Evaluation) {
        self.best = Some(self.best.map_or(evaluation.accuracy, |best| best.max(evaluation.accuracy)));
        let history = Rc::make_mut(&mut self.history);
        match history.binary_search_by_key(&evaluation.round, |known| known.round) {
            Ok(place) => {
                if let Some(known) = history.get_mut(place) {
                    *known = evaluation;
                }
            }
            Err(place) => history.insert(place, evaluation),
        }
        if history.len() > MAX_HISTORY {
            history.remove(0);
        }
    }

    fn contributed(&mut self, contribution: Contribution) {
        let recorded = |one: &Contribution| matches!(one.state, ContributionState::Recorded { .. });
        let now_recorded = recorded(&contribution);
        let before = self.contributions.insert(contribution.round, contribution);
        match (before.as_ref().is_some_and(recorded), now_recorded) {
            (false, true) => self.recorded += 1,
            (true, false) => self.recorded = self.recorded.saturating_sub(1),
            _ => {}
        }
        if self.contributions.len() > MAX_KEPT {
            self.contributions.pop_first();
        }
        self.listed = Rc::new(self.contributions.values().rev().take(MAX_LISTED).cloned().collect());
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

/// What to say where the organiser went back.
fn went_back(round: u64, to: u64) -> Problem {
    let checkpoint = match to {
        0 => "the campaign's first checkpoint".to_owned(),
        to => format!("the checkpoint of round {to}"),
    };
    Problem {
        message: format!("The organiser went back to {checkpoint}."),
        remedy: format!("Round {round} goes on from there. There is nothing to do."),
    }
}

/// What to say of a round that changed nothing.
fn set_aside(round: u64, would_be: Option<f64>, stays: Option<f64>) -> Problem {
    let of_hundred = |share: f64| format!("{:.0}", share * 100.0);
    let why = match would_be.zip(stays).map(|(would_be, stays)| (of_hundred(would_be), of_hundred(stays))) {
        Some((would_be, stays)) if would_be != stays => {
            format!("with its updates the model would have got {would_be} of 100 right instead of {stays}")
        }
        _ => "with its updates the model would have become worse".to_owned(),
    };
    Problem {
        message: format!("Round {round} was set aside: {why}."),
        remedy: "Training goes on from the checkpoint before it. There is nothing to do.".to_owned(),
    }
}

fn result(outcome: Outcome) -> Result<(), Problem> {
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Refused(problem) => Err(problem),
    }
}

/// The manifest's own words, and beside them what only the relay can say.
fn verified(campaign: lichen_bridge::Campaign, stated: &Campaign) -> Campaign {
    Campaign {
        id: campaign.id.to_string(),
        card: campaign.card,
        operator: stated.operator.clone(),
        cost: stated.cost,
    }
}
