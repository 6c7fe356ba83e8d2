//! A relay and tabs on a simulated network, in simulated time: messages to the relay get lost, doubled and reordered,
//! connections break, tabs and the relay are killed. What the driver of a real tab or relay does is done here, except
//! that training, aggregation and blobs are content ids of what went into them. In a mesh, an update is to be had while a
//! tab that holds it is open, and a checkpoint also from the relay, where it is put before it is attested.
#![allow(dead_code, reason = "each test file uses a part")]

mod attack;
mod checking;

use std::collections::{BTreeMap, BTreeSet};

use lichen_campaign::Settlement;
use lichen_record::{AccountId, Cid, Decision, Entry, Evidence, RoundNumber, Settings, Verified};
use lichen_round::{
    Activity, CampaignState, Change, Coordinator, CoordinatorAction, CoordinatorEvent, Difference, Input,
    Outcome, Participant, ParticipantAction, ParticipantEvent, Repetition, Rules, Stage, Ticket,
};

use super::fixture::{Person, campaign, cid, coordinator, engine, initial, metrics, organiser};

/// How the network treats messages, drawn per message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) lost_percent: u64,
    pub(crate) doubled_percent: u64,
    pub(crate) longest_ms: u64,
}

pub(crate) const CALM: Weather = Weather { lost_percent: 0, doubled_percent: 0, longest_ms: 20 };

/// Something that befalls somebody.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    Kill(usize),
    Open(usize),
    CutOff(usize),
    Pause(usize),
    Resume(usize),
    Leave(usize),
    RestartRelay,
    Attack(u64),
    /// The organiser pauses, goes on, or changes a setting.
    Decide(u64),
    /// The organiser says this.
    Say(Decision),
}

enum Happening {
    Submitted {
        tab: usize,
        connection: u64,
        ticket: Option<Ticket>,
        entry: Box<Verified<Entry>>,
    },
    Answered {
        tab: usize,
        connection: u64,
        event: ParticipantEvent,
    },
    Done {
        tab: usize,
        life: u64,
        event: ParticipantEvent,
    },
    Follow {
        tab: usize,
        connection: u64,
    },
    Reconnect {
        tab: usize,
        life: u64,
    },
    Tick {
        tab: usize,
        life: u64,
    },
    Appended {
        life: u64,
        entry: Entry,
    },
    Coordinated {
        life: u64,
        event: CoordinatorEvent,
    },
    /// A checkpoint arrives at the relay, because this entry was refused for want of it.
    Put {
        tab: usize,
        connection: u64,
        ticket: Option<Ticket>,
        entry: Box<Verified<Entry>>,
    },
    Mishap(Mishap),
}

struct Tab {
    person: Person,
    participant: Option<Participant>,
    /// Counts the tab's openings: what a killed tab began comes to nothing.
    life: u64,
    /// Counts the tab's connections, 0 while there is none: what was sent on a broken one gets no answer.
    connection: u64,
    connections: u64,
    received: usize,
    is_caught_up: bool,
    trained: BTreeMap<RoundNumber, u32>,
    /// What it trained with last.
    learning_rate: f64,
    /// What the device keeps, also while the tab is closed.
    blobs: BTreeSet<Cid>,
}

pub(crate) struct World {
    now: u64,
    happenings: BTreeMap<(u64, u64), Happening>,
    scheduled: u64,
    random: u64,
    pub(crate) weather: Weather,
    /// Whether work succeeds at once, as it mostly does.
    pub(crate) faultless: bool,
    /// The first round whose result reaches the goal.
    pub(crate) goal_from: u64,
    rules: Rules,
    relay: Coordinator,
    relay_life: u64,
    log: Vec<(u64, Verified<Entry>)>,
    /// The state after each record, as the relay had it when the record was appended.
    history: Vec<CampaignState>,
    pub(crate) changes: Vec<Change>,
    tabs: Vec<Tab>,
    attacker: Person,
    /// Blobs at the relay.
    pinned: BTreeSet<Cid>,
    /// Place of the last snapshot, and its bytes.
    snapshot: Option<(usize, Vec<u8>)>,
}

impl World {
    pub(crate) fn new(tabs: usize, rules: Rules, seed: u64) -> Self {
        let state = CampaignState::new(campaign(), rules);
        let tab = |number: usize| Tab {
            person: Person::new(u8::try_from(number + 1).unwrap()),
            participant: None,
            life: 0,
            connection: 0,
            connections: 0,
            received: 0,
            is_caught_up: false,
            trained: BTreeMap::new(),
            learning_rate: 0.0,
            blobs: BTreeSet::new(),
        };
        let mut world = Self {
            now: 0,
            happenings: BTreeMap::new(),
            scheduled: 0,
            random: seed,
            weather: CALM,
            faultless: false,
            goal_from: u64::MAX,
            rules,
            relay: Coordinator::new(coordinator().account(), state.clone(), initial()),
            relay_life: 0,
            log: Vec::new(),
            history: vec![state],
            changes: Vec::new(),
            tabs: (0..tabs).map(tab).collect(),
            attacker: Person::new(100),
            pinned: BTreeSet::from([initial()]),
            snapshot: None,
        };
        world.start_relay();
        world
    }

    pub(crate) fn state(&self) -> &CampaignState {
        self.relay.state()
    }

    /// Rounds after this one that settled with something else than they began with.
    pub(crate) fn fruitful(&self, after: u64) -> usize {
        let settled = self.history.windows(2).filter_map(|pair| {
            let (before, after) = (pair[0].round()?, pair[1].round()?);
            let is_new = !matches!(before.stage(), Stage::Settled { .. });
            matches!(after.stage(), Stage::Settled { result, .. } if is_new && result != after.base())
                .then_some(after)
        });
        settled.filter(|round| round.number().0 > after).count()
    }

    /// How long each settled round after this one took, in milliseconds.
    pub(crate) fn round_lengths(&self, after: RoundNumber) -> Vec<u64> {
        let settled = self.history.windows(2).filter_map(|pair| {
            let (before, round) = (pair[0].round()?.stage(), pair[1].round()?);
            let is_new = !matches!(before, Stage::Settled { .. });
            let is_settled = matches!(round.stage(), Stage::Settled { .. });
            (round.number() > after && is_new && is_settled).then(|| pair[1].time() - round.opened())
        });
        settled.collect()
    }

    pub(crate) fn log(&self) -> &[(u64, Verified<Entry>)] {
        &self.log
    }

    pub(crate) fn participant(&self, tab: usize) -> Option<&Participant> {
        self.tabs[tab].participant.as_ref()
    }

    pub(crate) fn is_live(&self, tab: usize) -> bool {
        self.participant(tab)
            .is_some_and(|participant| !matches!(participant.activity(), Activity::Idle | Activity::Paused))
    }

    pub(crate) fn schedule_mishap(&mut self, at: u64, mishap: Mishap) {
        self.schedule(at, Happening::Mishap(mishap));
    }

    /// Lets everything happen until this time.
    pub(crate) fn run_until(&mut self, end: u64) {
        while let Some(entry) = self.happenings.first_entry()
            && entry.key().0 <= end
        {
            let ((now, _order), happening) = entry.remove_entry();
            self.now = now;
            self.happen(happening);
        }
        self.now = end;
    }

    /// Lets everything happen until the condition holds; the time at which it does, if it does before `end`.
    pub(crate) fn run_until_true(&mut self, end: u64, condition: impl Fn(&Self) -> bool) -> Option<u64> {
        loop {
            if condition(self) {
                return Some(self.now);
            }
            let next = self.happenings.first_key_value().map(|(key, _happening)| key.0)?;
            if next > end {
                return None;
            }
            self.run_until(next);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Submitted { tab, connection, ticket, entry } => {
                if self.is_missing_its_checkpoint(&entry) {
                    let at = self.arrival();
                    self.schedule(at, Happening::Put { tab, connection, ticket, entry });
                } else {
                    self.receive(tab, connection, ticket, &entry);
                }
            }
            Happening::Put { tab, connection, ticket, entry } => {
                // Whoever has gone since puts nothing.
                if self.tabs[tab].connection == connection
                    && let Entry::Attestation { result, state, .. } = entry.get()
                {
                    self.pinned.extend([*result].iter().chain(state));
                    self.receive(tab, connection, ticket, &entry);
                }
            }
            Happening::Answered { tab, connection, event } => {
                if self.tabs[tab].connection == connection {
                    self.tell(tab, event);
                }
            }
            Happening::Done { tab, life, event } => {
                if self.tabs[tab].life == life {
                    self.tell(tab, event);
                }
            }
            Happening::Follow { tab, connection } => self.follow(tab, connection),
            Happening::Reconnect { tab, life } => {
                if self.tabs[tab].life == life && self.tabs[tab].connection == 0 {
                    self.connect(tab);
                }
            }
            Happening::Tick { tab, life } => {
                if self.tabs[tab].life == life {
                    self.schedule(self.now + 1000, Happening::Tick { tab, life });
                    self.tell(tab, ParticipantEvent::Tick);
                }
            }
            Happening::Appended { life, entry } => {
                if self.relay_life == life && !self.append(&coordinator().sign(&entry)) {
                    self.coordinate(CoordinatorEvent::AppendFailed);
                }
            }
            Happening::Coordinated { life, event } => {
                if self.relay_life == life {
                    self.coordinate(event);
                }
            }
            Happening::Mishap(mishap) => self.befall(mishap),
        }
    }

    fn befall(&mut self, mishap: Mishap) {
        match mishap {
            Mishap::Kill(tab) => self.kill(tab),
            Mishap::Open(tab) => self.open(tab),
            Mishap::CutOff(tab) => self.cut_off(tab),
            Mishap::Pause(tab) => self.tell(tab, ParticipantEvent::Pause),
            Mishap::Resume(tab) => self.tell(tab, ParticipantEvent::Resume),
            Mishap::Leave(tab) => self.tell(tab, ParticipantEvent::Leave),
            Mishap::RestartRelay => self.restart_relay(),
            Mishap::Attack(kind) => self.attack(kind),
            Mishap::Decide(kind) => self.decide(kind),
            Mishap::Say(decision) => self.say(decision),
        }
    }

    // Tabs.

    /// The person opens the page and clicks, if the page is not open.
    pub(crate) fn open(&mut self, tab: usize) {
        if self.tabs[tab].participant.is_some() {
            self.tell(tab, ParticipantEvent::Join);
            return;
        }
        let (received, state) = self.beginning();
        let account = self.tabs[tab].person.account();
        self.tabs[tab].participant = Some(Participant::new(account, state));
        self.tabs[tab].life += 1;
        self.tabs[tab].received = received;
        let life = self.tabs[tab].life;
        self.schedule(self.now + 1000, Happening::Tick { tab, life });
        self.tell(tab, ParticipantEvent::Join);
        self.connect(tab);
    }

    /// Where whoever comes begins to read, and with what: from the last snapshot, or from the first record.
    fn beginning(&mut self) -> (usize, CampaignState) {
        let is_to_read_all = self.draw(4) == 0;
        match &self.snapshot {
            Some((place, bytes)) if !is_to_read_all => {
                let state = CampaignState::from_bytes(campaign(), self.rules, bytes).unwrap();
                assert_eq!(state, self.history[*place], "a snapshot is what the log comes to");
                (*place, state)
            }
            _ => (0, CampaignState::new(campaign(), self.rules)),
        }
    }

    fn kill(&mut self, tab: usize) {
        self.tabs[tab].participant = None;
        self.tabs[tab].life += 1;
        if self.tabs[tab].connection != 0 {
            self.disconnect(tab);
        }
    }

    fn disconnect(&mut self, tab: usize) {
        self.tabs[tab].connection = 0;
        let account = self.tabs[tab].person.account();
        self.coordinate(CoordinatorEvent::PeerGone { account });
    }

    fn cut_off(&mut self, tab: usize) {
        if self.tabs[tab].connection == 0 {
            return;
        }
        self.disconnect(tab);
        self.tell(tab, ParticipantEvent::Disconnected);
        let (life, at) = (self.tabs[tab].life, self.now + self.draw(3000));
        self.schedule(at, Happening::Reconnect { tab, life });
    }

    fn connect(&mut self, tab: usize) {
        self.tabs[tab].connections += 1;
        self.tabs[tab].connection = self.tabs[tab].connections;
        self.tabs[tab].is_caught_up = false;
        let account = self.tabs[tab].person.account();
        self.coordinate(CoordinatorEvent::PeerBack { account });
        self.tell(tab, ParticipantEvent::Connected);
        let connection = self.tabs[tab].connection;
        let at = self.arrival();
        self.schedule(at, Happening::Follow { tab, connection });
    }

    /// The connection brings the next record, in order, or says that there are no more for now.
    fn follow(&mut self, tab: usize, connection: u64) {
        if self.tabs[tab].connection != connection {
            return;
        }
        let received = self.tabs[tab].received;
        match self.log.get(received).cloned() {
            Some((time, entry)) => {
                self.tabs[tab].received += 1;
                self.tell(tab, ParticipantEvent::Record { time, entry });
                let known = self.participant(tab).map(Participant::state);
                assert!(
                    known.is_none_or(|known| *known == self.history[received + 1]),
                    "equal logs, equal states"
                );
            }
            None if !self.tabs[tab].is_caught_up => {
                self.tabs[tab].is_caught_up = true;
                self.tell(tab, ParticipantEvent::CaughtUp);
            }
            None => {}
        }
        let pause = if self.tabs[tab].received < self.log.len() { 0 } else { 20 };
        self.schedule(self.now + pause, Happening::Follow { tab, connection });
    }

    fn tell(&mut self, tab: usize, event: ParticipantEvent) {
        let now = self.now;
        let Some(participant) = &mut self.tabs[tab].participant else { return };
        for action in participant.handle(now, event) {
            self.act(tab, action);
        }
    }

    fn act(&mut self, tab: usize, action: ParticipantAction) {
        match action {
            ParticipantAction::Submit { ticket, entry } => self.submit(tab, ticket, &entry),
            ParticipantAction::Fetch { cid, difference } => {
                self.check_difference(cid, difference);
                let event = match self.draw(10) {
                    failing if self.is_to_be_had(tab, cid) && (failing > 0 || self.faultless) => {
                        ParticipantEvent::Fetched { cid }
                    }
                    _ => ParticipantEvent::FetchFailed { cid },
                };
                self.answer(tab, 50, event);
            }
            ParticipantAction::Train { round, base, shard, steps, learning_rate, .. } => {
                self.tabs[tab].learning_rate = learning_rate;
                assert_eq!(Some(base), self.participant(tab).unwrap().state().checkpoint());
                assert_eq!((shard.len(), steps), (16, 60));
                self.assert_trains_for_good(tab, round);
                *self.tabs[tab].trained.entry(round).or_default() += 1;
                let (metrics, engine, trace) =
                    (metrics(), engine(), self.rules.audit.map(|_| cid("a trace")));
                let event = match self.draw(20) {
                    0 if !self.faultless => ParticipantEvent::TrainFailed { round },
                    _ => ParticipantEvent::Trained { round, metrics, engine, trace },
                };
                // Within a life, and whether connected or not.
                let (life, at) = (self.tabs[tab].life, self.now + 100 + self.draw(2000));
                self.schedule(at, Happening::Done { tab, life, event });
            }
            ParticipantAction::Publish { round, base } => {
                let account = self.tabs[tab].person.account();
                let update = update(account, round, base, self.tabs[tab].learning_rate);
                self.tabs[tab].blobs.insert(update);
                // In a mesh it is kept on the device, which does not fail.
                let event = match self.draw(10) {
                    0 if !self.is_mesh() && !self.faultless => ParticipantEvent::StoreFailed { round },
                    _ => ParticipantEvent::Stored { round, update },
                };
                self.answer(tab, 50, event);
            }
            ParticipantAction::Aggregate { round, base, state, inputs, excluded } => {
                let base = Outcome { result: base, state };
                let (pause, event) = self.aggregate(tab, round, base, &inputs, excluded);
                self.answer(tab, pause, event);
            }
            ParticipantAction::Repeat(repetition) => {
                let Repetition { round, contributor, .. } = repetition;
                let event = match self.draw(10) {
                    0 if !self.faultless => ParticipantEvent::RepeatFailed { round, contributor },
                    _ => {
                        let (found, evidence) = repeated(&repetition);
                        ParticipantEvent::Repeated { round, contributor, found, evidence }
                    }
                };
                let (life, at) = (self.tabs[tab].life, self.now + 100 + self.draw(2000));
                self.schedule(at, Happening::Done { tab, life, event });
            }
            ParticipantAction::Distrust(refusal) => panic!("tab {tab} distrusts an honest log: {refusal}"),
            ParticipantAction::StopTraining { .. }
            | ParticipantAction::StopRepeating
            | ParticipantAction::Evaluate { .. }
            | ParticipantAction::Report(_) => {}
        }
    }

    fn aggregate(
        &mut self,
        tab: usize,
        round: RoundNumber,
        base: Outcome,
        inputs: &[Input],
        excluded: u32,
    ) -> (u64, ParticipantEvent) {
        let failing = self.draw(10) == 0 && !self.faultless;
        let updates = inputs.iter().map(|input| input.update);
        let missing: Vec<Cid> = updates.clone().filter(|update| !self.is_to_be_had(tab, *update)).collect();
        if failing || !missing.is_empty() {
            return (1_000, ParticipantEvent::AggregateFailed { round, excluded, missing });
        }
        let outcome = aggregated(&self.rules, round, base, inputs);
        self.tabs[tab].blobs.extend(updates.chain([outcome.result]).chain(outcome.state));
        let difference = self.difference(base.result, outcome.result);
        (50, ParticipantEvent::Aggregated { round, excluded, outcome, difference })
    }

    /// What whoever aggregates makes besides, where results are told as differences.
    fn difference(&self, base: Cid, result: Cid) -> Option<Cid> {
        (self.rules.packs_results && result != base).then(|| cid(&format!("{result} less {base}")))
    }

    /// What settled is to be got as the difference that honest ones made, unless attackers settled it.
    fn check_difference(&self, wanted: Cid, difference: Option<Difference>) {
        if let Some(Difference { base, packed }) = difference {
            assert!(self.rules.packs_results && wanted != base);
            assert_eq!(Some(packed), self.difference(base, wanted));
        }
    }

    fn is_mesh(&self) -> bool {
        self.rules.settlement == Settlement::Contributors
    }

    /// Whether the tab can get the blob: from its own device, from an open tab, or from the relay.
    fn is_to_be_had(&self, tab: usize, cid: Cid) -> bool {
        let serves = |other: &Tab| other.participant.is_some() && other.blobs.contains(&cid);
        !self.is_mesh()
            || self.pinned.contains(&cid)
            || self.tabs[tab].blobs.contains(&cid)
            || self.tabs.iter().any(serves)
    }

    /// In a mesh the relay takes no attestation of a checkpoint or state that it does not hold.
    fn is_missing_its_checkpoint(&self, entry: &Verified<Entry>) -> bool {
        let is_missing = |entry: &Entry| {
            let Entry::Attestation { result, state, .. } = entry else { return false };
            [*result].iter().chain(state).any(|cid| !self.pinned.contains(cid))
        };
        self.is_mesh() && self.relay.admit(self.now, entry).is_ok() && is_missing(entry.get())
    }

    fn receive(&mut self, tab: usize, connection: u64, ticket: Option<Ticket>, entry: &Verified<Entry>) {
        let answer = self.append(entry);
        if let Some(ticket) = ticket {
            let event = match answer {
                true => ParticipantEvent::Appended { ticket },
                false => ParticipantEvent::Refused { ticket },
            };
            let at = self.arrival();
            self.schedule(at, Happening::Answered { tab, connection, event });
        }
    }

    /// For the open round once, or for the next one on the checkpoint that the last one settled.
    fn assert_trains_for_good(&self, tab: usize, round: RoundNumber) {
        let known = self.participant(tab).unwrap().state();
        assert!(!known.is_finished(), "tab {tab} trains after the end");
        let Some(open) = known.open_round() else {
            let last = known.round();
            assert!(last.is_none_or(|last| matches!(last.stage(), Stage::Settled { .. })));
            assert_eq!(round.0, known.settled() + 1);
            return;
        };
        assert_eq!(open.number(), round);
        assert!(
            !open.has_contributed(&self.tabs[tab].person.account()),
            "tab {tab} trains twice for {round}"
        );
    }

    fn answer(&mut self, tab: usize, longest: u64, event: ParticipantEvent) {
        let (connection, at) = (self.tabs[tab].connection, self.now + 1 + self.draw(longest));
        self.schedule(at, Happening::Answered { tab, connection, event });
    }

    fn submit(&mut self, tab: usize, ticket: Ticket, entry: &Entry) {
        let connection = self.tabs[tab].connection;
        let entry = Box::new(self.tabs[tab].person.sign(entry));
        if self.draw(100) < self.weather.doubled_percent {
            let at = self.arrival();
            let entry = entry.clone();
            self.schedule(at, Happening::Submitted { tab, connection, ticket: None, entry });
        }
        if self.draw(100) >= self.weather.lost_percent {
            let at = self.arrival();
            self.schedule(at, Happening::Submitted { tab, connection, ticket: Some(ticket), entry });
        }
    }

    // The relay.

    fn start_relay(&mut self) {
        let from = usize::try_from(self.relay.state().length()).unwrap();
        for (time, entry) in self.log.split_off(from) {
            self.log.push((time, entry.clone()));
            self.coordinate(CoordinatorEvent::Record { time, entry });
        }
        assert_eq!(self.relay.state(), self.history.last().unwrap(), "a relay goes on where its log ends");
        self.coordinate(CoordinatorEvent::CaughtUp);
    }

    fn restart_relay(&mut self) {
        self.relay_life += 1;
        let (_place, state) = self.beginning();
        self.relay = Coordinator::new(coordinator().account(), state, initial());
        for tab in 0..self.tabs.len() {
            self.cut_off(tab);
        }
        self.start_relay();
    }

    /// Whether the entry stands in the log now.
    fn append(&mut self, entry: &Verified<Entry>) -> bool {
        let Ok(time) = self.relay.admit(self.now, entry) else { return false };
        self.log.push((time, entry.clone()));
        let mut next = self.history.last().unwrap().clone();
        self.changes.extend(next.apply(time, entry).unwrap());
        self.history.push(next);
        self.coordinate(CoordinatorEvent::Record { time, entry: entry.clone() });
        assert_eq!(self.relay.state(), self.history.last().unwrap());
        if let Some((snapshot, bytes)) = self.relay.snapshot() {
            self.snapshot = Some((self.log.len(), bytes));
            assert!(self.append(&coordinator().sign(&snapshot)), "what is due is admitted");
        }
        true
    }

    fn coordinate(&mut self, event: CoordinatorEvent) {
        let life = self.relay_life;
        for action in self.relay.handle(self.now, event) {
            match action {
                CoordinatorAction::Append(entry) => {
                    // Not at once: entries of tabs may come in between.
                    let at = self.now + self.draw(5);
                    self.schedule(at, Happening::Appended { life, entry });
                }
                CoordinatorAction::Aggregate { round, base, state, inputs } => {
                    let base = Outcome { result: base, state };
                    let outcome = aggregated(&self.rules, round, base, &inputs);
                    let event = match self.draw(10) {
                        0 if !self.faultless => CoordinatorEvent::AggregateFailed { round },
                        _ => {
                            let difference = self.difference(base.result, outcome.result);
                            CoordinatorEvent::Aggregated { round, outcome, difference }
                        }
                    };
                    let at = self.now + 1 + self.draw(50);
                    self.schedule(at, Happening::Coordinated { life, event });
                }
                CoordinatorAction::Measure { round, checkpoint, target } => {
                    let reaches_goal = round.0 >= self.goal_from;
                    let event = CoordinatorEvent::Measured { checkpoint, target, reaches_goal };
                    // Longer than a round now and then.
                    let at = self.now + 1 + self.draw(4_000);
                    self.schedule(at, Happening::Coordinated { life, event });
                }
                CoordinatorAction::Repeat(repetition) => {
                    let Repetition { round, contributor, .. } = repetition;
                    let fails = self.draw(10) == 0 && !self.faultless;
                    let found = (!fails).then(|| repeated(&repetition));
                    let event = CoordinatorEvent::Repeated { round, contributor, found };
                    let at = self.now + 1 + self.draw(2_000);
                    self.schedule(at, Happening::Coordinated { life, event });
                }
                CoordinatorAction::WakeAt(time) => {
                    let at = time.max(self.now + 1);
                    let event = CoordinatorEvent::Tick;
                    self.schedule(at, Happening::Coordinated { life, event });
                }
                CoordinatorAction::Report(_) => {}
                CoordinatorAction::Distrust(refusal) => panic!("the relay distrusts its own log: {refusal}"),
            }
        }
    }

    // The world.

    fn schedule(&mut self, at: u64, happening: Happening) {
        self.scheduled += 1;
        self.happenings.insert((at, self.scheduled), happening);
    }

    fn arrival(&mut self) -> u64 {
        self.now + 1 + self.draw(self.weather.longest_ms)
    }

    /// A number below this one, by SplitMix64.
    fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below.max(1)
    }

    /// The organiser decides something, whatever has become of the campaign.
    fn decide(&mut self, kind: u64) {
        let decision = match kind % 5 {
            0 => Decision::Pause,
            1 | 2 => Decision::Resume,
            3 => {
                let learning_rate = Some([0.001, 0.01, 0.02, 0.1][(kind / 5 % 4) as usize]);
                Decision::Change(Settings { learning_rate, ..Settings::default() })
            }
            _ => {
                let deadline_ms = Some(3_000 + kind / 5 % 2_000);
                Decision::Change(Settings { deadline_ms, ..Settings::default() })
            }
        };
        self.say(decision);
    }

    /// The organiser says this; whether it is admitted depends on what was said before.
    pub(crate) fn say(&mut self, decision: Decision) {
        let sequence = self.relay.state().decided() + 1;
        let entry = Entry::Decided { campaign: campaign(), sequence, decision };
        self.append(&organiser().sign(&entry));
    }
}

/// What an honest account finds, with evidence where it is the first to find that.
fn repeated(repetition: &Repetition) -> (Cid, Option<Evidence>) {
    let Repetition { contributor, round, base, learning_rate, .. } = *repetition;
    let found = update(contributor, round, base, learning_rate);
    let is_first = repetition.trace.is_some() && repetition.accusation.is_none();
    let evidence = Evidence { piece: 0, before: None, after: cid("the state after the first piece") };
    (found, (is_first && found != repetition.update).then_some(evidence))
}

/// What a training gives, whoever does it.
fn update(account: AccountId, round: RoundNumber, base: Cid, learning_rate: f64) -> Cid {
    cid(&format!("update {account} {round} {base} {learning_rate}"))
}

/// What everybody who aggregates honestly gets: of nothing, nothing.
fn aggregated(rules: &Rules, round: RoundNumber, base: Outcome, inputs: &[Input]) -> Outcome {
    if inputs.is_empty() {
        return base;
    }
    let result = cid(&format!("checkpoint {round} {base} {inputs:?}"));
    Outcome { result, state: rules.keeps_state.then(|| cid(&format!("state {result}"))) }
}
