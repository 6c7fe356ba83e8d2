//! The world: a clock, what happens next, and everybody in it.

mod attacks;
mod coordinating;
mod ending;
mod meshing;
mod mishaps;
mod ordering;
mod reading;
mod showing;
mod tabs;
mod working;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::rc::Rc;

use lichen_log::{Head, Receipt};
use lichen_net::peer::Request;
use lichen_net::pull::AskId;
use lichen_record::{AccountId, Cid, Entry, SigningKey, Verified};
use lichen_round::{CoordinatorEvent, ParticipantEvent, Ticket};

use crate::campaign::{Campaign, DEADLINE_MS};
use crate::hostile::Bent;
use crate::invariants::{Check, Ledger, Rule, Violation};
use crate::learning::{Blobs, Learning};
use crate::plan::{Mishap, plan};
use crate::prefix::Prefix;
use crate::random::Random;
use crate::relay::Relay;
use crate::report::{Outcome, Tally};
use crate::settings::{Fault, Sabotage, Settings};
use crate::tab::{Peer, Traffic};

/// When the world's clock begins, in milliseconds.
const BEGINNING_MS: u64 = 10_000_000;

/// How many tabs fold for themselves where most share folds.
const FOLDING: usize = 8;

/// Something that happens.
enum Event {
    Open {
        peer: usize,
    },
    Tick {
        peer: usize,
        life: u64,
    },
    Reconnect {
        peer: usize,
        life: u64,
    },
    Welcome {
        peer: usize,
        connection: u64,
    },
    Frame {
        peer: usize,
        connection: u64,
        prefix: Rc<Prefix>,
    },
    /// An answer that is void once the connection is lost.
    Answer {
        peer: usize,
        connection: u64,
        event: Box<ParticipantEvent>,
    },
    /// Work of the device that goes on without a connection.
    Trained {
        peer: usize,
        life: u64,
        work: u64,
        event: Box<ParticipantEvent>,
    },
    Repeated {
        peer: usize,
        life: u64,
        work: u64,
        event: Box<ParticipantEvent>,
    },
    Receipt {
        peer: usize,
        connection: u64,
        receipt: Box<Verified<Receipt>>,
    },
    /// The relay hears of a connection, or that it is gone.
    Hello {
        peer: usize,
        connection: u64,
    },
    Gone {
        peer: usize,
        connection: u64,
    },
    Submitted {
        peer: usize,
        connection: u64,
        ticket: Option<Ticket>,
        entry: Rc<Verified<Entry>>,
    },
    /// Blobs arrive at the relay, and with them an entry that needs them.
    Put {
        peer: usize,
        connection: u64,
        ticket: Option<Ticket>,
        entry: Rc<Verified<Entry>>,
    },
    /// The relay takes what waits.
    Turn {
        life: u64,
    },
    Written {
        life: u64,
    },
    Push {
        life: u64,
    },
    Coordinated {
        life: u64,
        event: Box<CoordinatorEvent>,
    },
    RollCall {
        life: u64,
    },
    RelayStarts {
        life: u64,
    },
    // From tab to tab.
    Asked {
        from: usize,
        life: u64,
        to: usize,
        id: AskId,
        request: Request,
    },
    PeerFrame {
        to: usize,
        life: u64,
        id: AskId,
        bytes: Vec<u8>,
    },
    PeerEnded {
        to: usize,
        life: u64,
        id: AskId,
    },
    Announced {
        from: usize,
        to: usize,
        cids: Vec<Cid>,
    },
    MeshTick {
        peer: usize,
        life: u64,
    },
    RelayGave {
        peer: usize,
        life: u64,
        cid: Cid,
        is_there: bool,
    },
    Mishap(usize),
    Awake {
        peer: usize,
        life: u64,
        connection: u64,
    },
    Resume {
        peer: usize,
        life: u64,
    },
    /// The world is looked at.
    Second,
}

struct Scheduled {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A run under way.
pub struct World {
    settings: Settings,
    campaign: Rc<Campaign>,
    learning: Learning,
    blobs: Blobs,
    /// Draws what the network does.
    weather: Random,
    /// Draws how long work takes, and whether it fails.
    chance: Random,
    now: u64,
    order: u64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    relay: Relay,
    peers: Vec<Peer>,
    by_account: HashMap<AccountId, usize>,
    /// What reached tabs that sleep, in order.
    waiting: HashMap<usize, VecDeque<Event>>,
    /// Accounts that somebody made up, without tabs.
    strangers: Vec<SigningKey>,
    plan: Vec<(u64, Mishap)>,
    ledger: Ledger,
    violation: Option<Violation>,
    tally: Tally,
    /// When nothing goes wrong any more.
    calm_from: u64,
    /// Rounds settled when the calm began.
    settled_at_calm: Option<u64>,
    /// How long the relay was away, and so gave the others their time anew, since the last round opened.
    pardoned: u64,
    /// When the last round opened.
    opened_at: u64,
    target: u64,
    is_over: bool,
    /// How often tabs are sent what is new.
    push_ms: u64,
    /// Reads what tabs read, for invariants.
    heads: Vec<Verified<Head>>,
}

impl World {
    /// A world in which nothing has happened yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let campaign = Rc::new(Campaign::new(settings));
        let mut random = Random::new(settings.seed, 3);
        let key = SigningKey::generate(random.bytes());
        let mut world = Self {
            learning: Learning::new(Rc::clone(&campaign)),
            blobs: Blobs::default(),
            weather: Random::new(settings.seed, 4),
            chance: Random::new(settings.seed, 5),
            now: BEGINNING_MS,
            order: 0,
            queue: BinaryHeap::new(),
            relay: Relay::new(&campaign, key),
            peers: Vec::new(),
            by_account: HashMap::new(),
            waiting: HashMap::new(),
            strangers: (0..3).map(|_stranger| SigningKey::generate(random.bytes())).collect(),
            plan: plan(settings),
            ledger: Ledger::default(),
            violation: None,
            tally: Tally::default(),
            calm_from: 0,
            settled_at_calm: None,
            pardoned: 0,
            opened_at: BEGINNING_MS,
            target: settings.rounds,
            is_over: false,
            push_ms: (settings.peers as u64 / 20).clamp(5, 500),
            heads: Vec::new(),
            settings: settings.clone(),
            campaign,
        };
        world.calm_from = world.calm_from();
        world.blobs.put(&world.campaign.initial_bytes.clone());
        world.people(&mut random);
        world.begin();
        world
    }

    fn people(&mut self, random: &mut Random) {
        let hostile = if self.has(Fault::Hostile) { self.settings.hostile } else { 0 };
        let wrong_clocks = self.has(Fault::Clocks);
        let every = (self.settings.peers / FOLDING).max(1);
        for number in 0..self.settings.peers {
            let key = SigningKey::generate(random.bytes());
            let account = key.account();
            // The last ones, so that with fewer peers fewer are hostile.
            let is_hostile = number + hostile >= self.settings.peers;
            let bent = is_hostile.then(|| Bent::drawn(random));
            if is_hostile {
                self.ledger.hostile.insert(account);
            }
            self.by_account.insert(account, number);
            self.peers.push(Peer {
                key,
                account,
                bent,
                tab: None,
                life: 0,
                connection: 0,
                connections: 0,
                last_frame: 0,
                heard: 0,
                asleep_until: 0,
                up_from: 0,
                down_from: 0,
                clock: if wrong_clocks { random.below(1 << 41) } else { 0 },
                pace: if wrong_clocks { random.between(900, 1_100) } else { 1_000 },
                training_ms: random.between(150, 1_500),
                shelf: [(self.campaign.initial, crate::tab::Kept { at: 0, is_torn: false })].into(),
                folds: !self.settings.shared || number.is_multiple_of(every),
                traffic: Traffic::default(),
            });
        }
        if self.settings.sabotage == Some(Sabotage::FalseHonest) {
            self.peers[0].bent = Some(Bent::FalseAttester);
        }
        for stranger in &self.strangers {
            self.ledger.hostile.insert(stranger.account());
        }
    }

    fn begin(&mut self) {
        let spread = 500 + self.settings.peers as u64 / 4;
        for peer in 0..self.settings.peers {
            let at = self.now + 100 + self.chance.below(spread);
            self.schedule(at, Event::Open { peer });
        }
        for place in 0..self.plan.len() {
            let at = BEGINNING_MS + self.plan[place].0;
            self.schedule(at, Event::Mishap(place));
        }
        self.schedule(self.now + 1_000, Event::Second);
        self.start_relay();
    }

    /// When everything that goes wrong is over: the last mishap with all that it brings.
    fn calm_from(&self) -> u64 {
        let end = |(at, mishap): &(u64, Mishap)| at + mishap.lasts();
        let is_bad = self.has(Fault::Network) || self.has(Fault::Hostile);
        let storm = if is_bad { self.settings.rounds * 2_500 } else { 0 };
        BEGINNING_MS + self.plan.iter().map(end).max().unwrap_or(0).max(storm)
    }

    /// Lets everything happen until the run is over; `look` is called after every simulated second.
    ///
    /// # Errors
    /// The first rule that was broken.
    pub fn run(mut self, look: &mut dyn FnMut(&Self)) -> Result<Outcome, Violation> {
        while let Some(Reverse(Scheduled { at, event, .. })) = self.queue.pop() {
            self.now = at;
            self.tally.events += 1;
            assert_ne!(self.settings.sabotage, Some(Sabotage::Panic), "as a test wants it");
            let is_second = matches!(event, Event::Second);
            self.happen(event);
            if is_second {
                look(&self);
            }
            if let Some(violation) = self.violation.take() {
                return Err(violation);
            }
            if self.is_over {
                break;
            }
        }
        let check = self.check_end();
        self.expect(check);
        match self.violation.take() {
            Some(violation) => Err(violation),
            None => Ok(self.outcome()),
        }
    }

    /// Simulated milliseconds so far, rounds settled, and things that happened.
    #[must_use]
    pub fn progress(&self) -> (u64, u64, u64) {
        (self.now - BEGINNING_MS, self.relay.state().settled(), self.tally.events)
    }

    fn happen(&mut self, event: Event) {
        let Some(event) = self.unless_asleep(event) else { return };
        match event {
            Event::Open { peer } => self.open(peer),
            Event::Tick { peer, life } => self.tick(peer, life),
            Event::Reconnect { peer, life } => self.reconnect(peer, life),
            Event::Welcome { peer, connection } => self.welcome(peer, connection),
            Event::Frame { peer, connection, prefix } => self.take_frame(peer, connection, &prefix),
            Event::Answer { peer, connection, event } => self.answered(peer, connection, *event),
            Event::Trained { peer, life, work, event } => self.trained(peer, life, work, *event),
            Event::Repeated { peer, life, work, event } => self.repeated(peer, life, work, *event),
            Event::Receipt { peer, connection, receipt } => self.take_receipt(peer, connection, *receipt),
            Event::Hello { peer, connection } => self.hello(peer, connection),
            Event::Gone { peer, connection } => self.gone(peer, connection),
            Event::Submitted { peer, connection, ticket, entry } => {
                self.receive(peer, connection, ticket, entry);
            }
            Event::Put { peer, connection, ticket, entry } => self.put(peer, connection, ticket, entry),
            Event::Turn { life } => self.turn(life),
            Event::Written { life } => self.written(life),
            Event::Push { life } => self.push(life),
            Event::Coordinated { life, event } => self.coordinated(life, *event),
            Event::RollCall { life } => self.call_roll(life),
            Event::RelayStarts { life } => self.relay_starts(life),
            Event::Asked { from, life, to, id, request } => self.asked(from, life, to, id, request),
            Event::PeerFrame { to, life, id, bytes } => self.peer_frame(to, life, id, &bytes),
            Event::PeerEnded { to, life, id } => self.peer_ended(to, life, id),
            Event::Announced { from, to, cids } => self.announced(from, to, &cids),
            Event::MeshTick { peer, life } => self.mesh_tick(peer, life),
            Event::RelayGave { peer, life, cid, is_there } => self.relay_gave(peer, life, cid, is_there),
            Event::Mishap(place) => self.befall(place),
            Event::Awake { peer, life, connection } => self.awake(peer, life, connection),
            Event::Resume { peer, life } => self.resume(peer, life),
            Event::Second => self.second(),
        }
    }

    /// What reaches a sleeping tab waits in its queue, and comes in order when it wakes.
    fn unless_asleep(&mut self, event: Event) -> Option<Event> {
        let peer = match &event {
            Event::Tick { peer, .. }
            | Event::Reconnect { peer, .. }
            | Event::Welcome { peer, .. }
            | Event::Frame { peer, .. }
            | Event::Answer { peer, .. }
            | Event::Trained { peer, .. }
            | Event::Repeated { peer, .. }
            | Event::Receipt { peer, .. }
            | Event::MeshTick { peer, .. }
            | Event::RelayGave { peer, .. }
            | Event::Resume { peer, .. }
            | Event::Asked { to: peer, .. }
            | Event::PeerFrame { to: peer, .. }
            | Event::PeerEnded { to: peer, .. }
            | Event::Announced { to: peer, .. } => *peer,
            _ => return Some(event),
        };
        if self.peers[peer].asleep_until <= self.now {
            return Some(event);
        }
        self.waiting.entry(peer).or_default().push_back(event);
        None
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Scheduled { at: at.max(self.now), order: self.order, event }));
    }

    /// Whether this goes wrong in this run, and has not come to rest yet.
    fn is_stormy(&self, fault: Fault) -> bool {
        self.now < self.calm_from && self.has(fault)
    }

    fn has(&self, fault: Fault) -> bool {
        self.settings.faults.has(fault)
    }

    /// Whether a message is lost, or work fails, that does so many times in a thousand while the network is bad.
    fn is_lost(&mut self, per_mille: u64) -> bool {
        self.is_stormy(Fault::Network) && self.weather.chance(per_mille)
    }

    /// How long a message takes one way, in milliseconds.
    fn delay(&mut self) -> u64 {
        let longest = if self.is_stormy(Fault::Network) { 300 } else { 40 };
        // One in twenty takes much longer.
        let much = if self.is_stormy(Fault::Network) && self.weather.chance(50) { 2_000 } else { 0 };
        2 + self.weather.below(longest + much)
    }

    fn expect(&mut self, check: Check) {
        if let Err((rule, detail)) = check {
            self.fail(rule, detail);
        }
    }

    /// The first one counts.
    fn fail(&mut self, rule: Rule, detail: String) {
        let at = self.now - BEGINNING_MS;
        self.violation.get_or_insert(Violation { rule, detail, at });
    }

    fn deadline_ms(&self) -> u64 {
        DEADLINE_MS
    }
}
