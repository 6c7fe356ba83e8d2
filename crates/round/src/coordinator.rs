//! The coordinator's side of the round protocol: opens rounds, closes them, attests results.

use alloc::vec::Vec;

use lichen_campaign::Settlement;
use lichen_record::{AccountId, Cid, Entry, Evidence, RoundNumber, Verified};

mod departures;
mod goal;
mod waiting;

use departures::Departures;
use goal::{Goal, Verdict};

use crate::attempt::Attempt;
use crate::repetition::{Due as AuditDue, Work as AuditWork};
use crate::{CampaignState, Change, Input, MAX_SNAPSHOT, Outcome, Refusal, Repetition, Round, Stage};

/// What happened to the relay that orders a campaign's log.
#[derive(Clone, Debug, PartialEq)]
pub enum CoordinatorEvent {
    /// The log's next record is stored: read back after a start, or just appended for a tab or for the coordinator
    /// itself.
    Record {
        /// The record's log time, in milliseconds.
        time: u64,
        /// Its entry.
        entry: Verified<Entry>,
    },
    /// The stored log is read to its end: the coordinator acts from here on.
    CaughtUp,
    /// Answer to [`CoordinatorAction::Append`]: the entry could not be appended, or was not admissible any more.
    AppendFailed,
    /// Answer to [`CoordinatorAction::Aggregate`]: the checkpoint is computed and kept where tabs find it.
    Aggregated {
        /// The round.
        round: RoundNumber,
        /// The checkpoint, and what the outer optimiser carries over with it.
        outcome: Outcome,
        /// Its packed difference from the base, where the campaign's results are told so.
        difference: Option<Cid>,
    },
    /// Answer to [`CoordinatorAction::Aggregate`]: it could not be computed.
    AggregateFailed {
        /// The round.
        round: RoundNumber,
    },
    /// Answer to [`CoordinatorAction::Repeat`]: what the training gives; none if it could not be repeated.
    Repeated {
        /// The round.
        round: RoundNumber,
        /// Whose training.
        contributor: AccountId,
        /// As [`ParticipantEvent::Repeated`](crate::ParticipantEvent::Repeated) says it.
        found: Option<(Cid, Option<Evidence>)>,
    },
    /// Answer to [`CoordinatorAction::Measure`]: whether the checkpoint reaches the goal. What cannot be measured does not.
    Measured {
        /// The checkpoint.
        checkpoint: Cid,
        /// The accuracy that it was compared with.
        target: f64,
        /// Whether it reaches that.
        reaches_goal: bool,
    },
    /// A member has no connection to the relay any more. Unless `PeerBack` follows within 1.5 s, the coordinator says so
    /// in the log (`Departed`) if a round waits for it. Tell it for any account, once its last connection is gone.
    PeerGone {
        /// Whose connection.
        account: AccountId,
    },
    /// An account has a connection to the relay (again). Tell it for any account, as often as you like.
    PeerBack {
        /// Whose connection.
        account: AccountId,
    },
    /// The operator goes back: the next round to open begins with what this round settled with (0: with the initial
    /// checkpoint), the ones after that go on from there. Nothing happens if the checkpoint is not remembered: see
    /// [`CampaignState::results`] before. It holds for one opening, and until the program ends; said again before the
    /// opening, the last word counts. Where a round is under way it ends first. A campaign that ended at its goal goes on
    /// again, unless the checkpoint is the one that it ended with.
    GoBack {
        /// The round that settled with the checkpoint to go on from.
        to: RoundNumber,
    },
    /// The time of the last [`CoordinatorAction::WakeAt`] has come. Sending more of them does no harm.
    Tick,
}

/// What the relay that orders a campaign's log has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum CoordinatorAction {
    /// Sign this entry, append it to the log and store it; answered by its `Record` or by `AppendFailed`.
    Append(Entry),
    /// Compute a round's result.
    Aggregate {
        /// The round.
        round: RoundNumber,
        /// The checkpoint to which the updates are added.
        base: Cid,
        /// What the outer optimiser carries over with it.
        state: Option<Cid>,
        /// What is aggregated, in this order.
        inputs: Vec<Input>,
    },
    /// Repeat somebody's training, and pack what came of it as an update, so that its id can be compared. One at a time.
    Repeat(Repetition),
    /// Measure a settled checkpoint on the held-out samples. Only in campaigns that end at their goal, and one at a time.
    Measure {
        /// The round that it came out of.
        round: RoundNumber,
        /// The checkpoint.
        checkpoint: Cid,
        /// The accuracy that is the goal now.
        target: f64,
    },
    /// Send a `Tick` at this time, in milliseconds; replaces the wake before.
    WakeAt(u64),
    /// Show what an entry of the log changed. Needs no answer.
    Report(Change),
    /// The stored log holds an entry that may not stand there. Nothing else follows.
    Distrust(Refusal),
}

/// The relay's part in a campaign: says which entries may be appended, opens and closes rounds, attests results.
///
/// It knows nothing that the log does not hold, so that after a restart it goes on where the log ends: what is due
/// is done, and what stands in the log is not done again.
#[derive(Clone, Debug)]
pub struct Coordinator {
    account: AccountId,
    state: CampaignState,
    initial: Cid,
    mode: Mode,
    append: Attempt,
    aggregation: Option<Aggregation>,
    wake: Option<u64>,
    /// Time of the relay's clock from which it has acted.
    acting_since: u64,
    departures: Departures,
    goal: Goal,
    audit: Option<AuditWork>,
    /// The checkpoint that the next round is to begin with instead of the last one.
    go_back: Option<Cid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Reading,
    Acting,
    Distrusting,
}

#[derive(Clone, Copy, Debug)]
struct Aggregation {
    round: RoundNumber,
    attempt: Attempt,
    /// What it came to, and the packed difference.
    outcome: Option<(Outcome, Option<Cid>)>,
}

/// What the log lacks, if anything.
enum Due {
    Entry(Entry),
    Aggregate { round: RoundNumber, base: Cid },
    At(u64),
    Nothing,
}

impl Coordinator {
    /// The coordinator of a campaign that starts from this checkpoint. `account` signs what it appends.
    #[must_use]
    pub const fn new(account: AccountId, state: CampaignState, initial: Cid) -> Self {
        Self {
            account,
            state,
            initial,
            mode: Mode::Reading,
            append: Attempt::new(),
            aggregation: None,
            wake: None,
            acting_since: 0,
            departures: Departures::new(),
            goal: Goal::new(),
            audit: None,
            go_back: None,
        }
    }

    /// The campaign's state.
    #[must_use]
    pub const fn state(&self) -> &CampaignState {
        &self.state
    }

    /// Whether an entry may be appended at this time of the relay's clock in milliseconds, and the log time to
    /// append it with: the clock's, but never before the last record's. For entries of tabs and own ones alike.
    ///
    /// # Errors
    /// [`Refusal`] saying why it may not.
    pub fn admit(&self, now: u64, entry: &Verified<Entry>) -> Result<u64, Refusal> {
        let time = self.log_time(now);
        self.state.admit(time, entry)?;
        Ok(time)
    }

    /// The log's next entry, if that is to be a snapshot, and the bytes that it names: they are to be kept for whoever begins
    /// there. It holds until another entry is appended.
    #[must_use]
    pub fn snapshot(&self) -> Option<(Entry, Vec<u8>)> {
        let is_due = self.state.is_snapshot_due() && !self.state.is_retired();
        if self.mode != Mode::Acting || !self.is_mine() || !is_due {
            return None;
        }
        let bytes = self.state.to_bytes();
        let entry = Entry::Snapshot { campaign: self.state.campaign(), state: Cid::of_raw(&bytes) };
        (bytes.len() <= MAX_SNAPSHOT).then_some((entry, bytes))
    }

    /// Takes in what happened, at this time of the relay's clock in milliseconds, and says what to do, in order.
    pub fn handle(&mut self, now: u64, event: CoordinatorEvent) -> Vec<CoordinatorAction> {
        let mut actions = Vec::new();
        if self.mode == Mode::Distrusting {
            return actions;
        }
        self.take_in(now, event, &mut actions);
        if self.mode == Mode::Acting {
            self.pursue(now, &mut actions);
        }
        actions
    }

    fn take_in(&mut self, now: u64, event: CoordinatorEvent, actions: &mut Vec<CoordinatorAction>) {
        match event {
            CoordinatorEvent::Record { time, entry } => match self.state.apply(time, &entry) {
                Ok(changes) => {
                    changes.iter().for_each(|change| self.departures.follow(&self.state, change));
                    if matches!(entry.get(), Entry::RoundOpened { .. }) {
                        self.go_back = None;
                    }
                    actions.extend(changes.into_iter().map(CoordinatorAction::Report));
                    if entry.account() == self.account {
                        self.append = Attempt::new();
                    }
                }
                Err(refusal) => {
                    self.mode = Mode::Distrusting;
                    actions.push(CoordinatorAction::Distrust(refusal));
                }
            },
            CoordinatorEvent::CaughtUp => {
                self.mode = Mode::Acting;
                self.acting_since = now;
            }
            CoordinatorEvent::AppendFailed => self.append.fail(now),
            CoordinatorEvent::Aggregated { round, outcome, difference } => {
                if let Some(aggregation) = self.aggregation_of(round) {
                    aggregation.outcome = Some((outcome, difference));
                }
            }
            CoordinatorEvent::AggregateFailed { round } => {
                if let Some(aggregation) = self.aggregation_of(round) {
                    aggregation.attempt.fail(now);
                }
            }
            CoordinatorEvent::GoBack { to } => {
                let mut results = self.state.results();
                self.go_back = results
                    .find(|(round, _result)| *round == to)
                    .map(|(_round, result)| result)
                    .or(self.go_back);
            }
            CoordinatorEvent::Measured { checkpoint, target, reaches_goal } => {
                self.goal.take_in(checkpoint, target, reaches_goal);
            }
            CoordinatorEvent::Repeated { round, contributor, found } => {
                AuditWork::repeated(&mut self.audit, now, (round, contributor), found);
            }
            CoordinatorEvent::PeerGone { account } => self.departures.lose(now, &self.state, account),
            CoordinatorEvent::PeerBack { account } => self.departures.find(&account),
            // A timer may ring a little early, and is spent then: it is set again.
            CoordinatorEvent::Tick => self.wake = None,
        }
    }

    fn aggregation_of(&mut self, round: RoundNumber) -> Option<&mut Aggregation> {
        self.aggregation.as_mut().filter(|aggregation| aggregation.round == round)
    }

    fn pursue(&mut self, now: u64, actions: &mut Vec<CoordinatorAction>) {
        if self.is_mine()
            && let Some((round, checkpoint, target)) = self.goal.ask(&self.state)
        {
            actions.push(CoordinatorAction::Measure { round, checkpoint, target });
        }
        let wake = match self.due_with_audits(now, actions) {
            Due::Entry(entry) => {
                if self.append.start(now) {
                    actions.push(CoordinatorAction::Append(entry));
                }
                self.append.due_from()
            }
            Due::Aggregate { round, base } => {
                let again = self.aggregate(now, round, base, actions);
                let overdue = self.overdue_from();
                again.into_iter().chain(overdue.filter(|from| *from > now)).min()
            }
            Due::At(time) => Some(time),
            Due::Nothing => None,
        };
        if let Some(time) = wake
            && self.wake != wake
        {
            actions.push(CoordinatorAction::WakeAt(time));
        }
        self.wake = wake;
    }

    /// Has the round's result computed, and says when to look again if that failed.
    fn aggregate(
        &mut self,
        now: u64,
        round: RoundNumber,
        base: Cid,
        actions: &mut Vec<CoordinatorAction>,
    ) -> Option<u64> {
        let aggregation = match &mut self.aggregation {
            Some(aggregation) if aggregation.round == round => aggregation,
            other => other.insert(Aggregation { round, attempt: Attempt::new(), outcome: None }),
        };
        if aggregation.attempt.start(now) {
            let current = self.state.round();
            let inputs = current.map_or(Vec::new(), Round::inputs);
            let state = current.and_then(Round::outer_state);
            actions.push(CoordinatorAction::Aggregate { round, base, state, inputs });
        }
        aggregation.attempt.due_from()
    }

    /// What a repeated training gave is said while rounds have nothing to say.
    fn due_with_audits(&mut self, now: u64, actions: &mut Vec<CoordinatorAction>) -> Due {
        let due = self.due_with_departures(now);
        if !self.is_mine() {
            return due;
        }
        let audit = AuditWork::due(&mut self.audit, now, &self.state, &self.account);
        match (due, audit) {
            (due, AuditDue::Repeat(repetition)) => {
                actions.push(CoordinatorAction::Repeat(repetition));
                due
            }
            (Due::At(_) | Due::Nothing, AuditDue::Say(entry)) => Due::Entry(entry),
            (Due::At(time), AuditDue::Wait(Some(from))) => Due::At(time.min(from)),
            (Due::Nothing, AuditDue::Wait(Some(from))) => Due::At(from),
            (due, AuditDue::Say(_) | AuditDue::Wait(_)) => due,
        }
    }

    /// A departure is said while there is nothing else to say: what the round waits for may be just that member.
    fn due_with_departures(&mut self, now: u64) -> Due {
        let time = self.log_time(now);
        let due = self.due(time);
        if !matches!(due, Due::At(_) | Due::Nothing) {
            return due;
        }
        let campaign = self.state.campaign();
        let entry = |round, account| Entry::Departed { campaign, round, account };
        let round = self.state.round().map(Round::number);
        let is_awaited =
            |round, account| self.state.admit_from(time, self.account, &entry(round, account)).is_ok();
        let Some((from, account)) = self.departures.next(now, is_awaited, round) else { return due };
        match (round, due) {
            (Some(round), _) if from <= now => Due::Entry(entry(round, account)),
            (_, Due::At(time)) => Due::At(time.min(from)),
            _ => Due::At(from),
        }
    }

    fn due(&self, time: u64) -> Due {
        let campaign = self.state.campaign();
        match self.state.coordinator() {
            None => {
                return Due::Entry(Entry::Published { campaign, manifest: campaign.0, base: self.initial });
            }
            // Somebody else's log: nothing here may speak in it.
            Some(coordinator) if coordinator != self.account => return Due::Nothing,
            Some(_) if self.state.is_retired() => return Due::Nothing,
            Some(_) => {}
        }
        let Some(round) = self.state.round() else { return self.due_opening(time, RoundNumber::FIRST, 0) };
        let number = round.number();
        match round.stage() {
            Stage::Open => {
                let entry = Entry::RoundClosed { campaign, round: number };
                match self.state.admit_from(time, self.account, &entry) {
                    Ok(()) => Due::Entry(entry),
                    Err(Refusal::DeadlinePending) => Due::At(round.deadline(self.state.rules())),
                    Err(_) => self.or_overdue(time, round, Due::Nothing),
                }
            }
            Stage::Closed { at } => match self.state.rules().settlement {
                Settlement::Coordinator => self.or_overdue(time, round, self.due_attestation(time, at)),
                Settlement::Contributors => self.due_end(time, number, at),
            },
            Stage::Settled { .. } => self.due_next(time, round),
        }
    }

    /// After a round: the end, if the goal is reached and the operator does not go back, or else the next round, which waits
    /// for a measurement only where that may be the end.
    fn due_next(&self, time: u64, round: &Round) -> Due {
        let number = round.number();
        let earliest = round.opened().saturating_add(self.state.rules().interval_ms);
        if self.go_back.is_some() || self.state.is_finished() {
            return self.due_opening(time, number.next(), earliest);
        }
        match self.goal.verdict(&self.state, round) {
            Verdict::Reached => {
                Due::Entry(Entry::Finished { campaign: self.state.campaign(), round: number })
            }
            Verdict::Pending => Due::Nothing,
            Verdict::Missed => self.due_opening(time, number.next(), earliest),
        }
    }

    fn due_opening(&self, time: u64, round: RoundNumber, earliest: u64) -> Due {
        let campaign = self.state.campaign();
        let Some(base) = self.go_back.or(self.state.checkpoint()) else { return Due::Nothing };
        let entry = Entry::RoundOpened { campaign, round, base };
        match self.state.admit_from(time, self.account, &entry) {
            Ok(()) => Due::Entry(entry),
            Err(Refusal::IntervalPending) => Due::At(earliest),
            Err(_) => Due::Nothing,
        }
    }

    /// The coordinator attests last: when its word settles the round, or when the members have let the deadline pass.
    /// So a round does not settle on a single word while members are at work on theirs.
    fn due_attestation(&self, time: u64, closed: u64) -> Due {
        let Some(round) = self.state.round() else { return Due::Nothing };
        if round.has_attested(&self.account) {
            return self.due_set_aside(time, round.number(), closed);
        }
        let (number, base) = (round.number(), round.base());
        let computed = self.aggregation.filter(|aggregation| aggregation.round == number);
        let Some((outcome, difference)) = computed.and_then(|aggregation| aggregation.outcome) else {
            return Due::Aggregate { round: number, base };
        };
        let deadline = closed.saturating_add(self.state.rules().deadline_ms);
        if time < deadline && !self.state.would_settle(time, outcome) {
            return Due::At(deadline);
        }
        let campaign = self.state.campaign();
        let Outcome { result, state } = outcome;
        Due::Entry(Entry::Attestation {
            campaign,
            round: number,
            base,
            result,
            excluded: 0,
            state,
            difference,
        })
    }

    /// Whether this coordinator orders the log, as far as there is one.
    fn is_mine(&self) -> bool {
        self.state.coordinator() == Some(self.account)
    }

    fn log_time(&self, now: u64) -> u64 {
        now.max(self.state.time())
    }
}
