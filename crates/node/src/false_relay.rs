//! A relay that lies in one way, and what the node makes of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use lichen_bridge::{
    self as bridge, Command, CommandId, ContributionState, EnginePreference, Event, Phase, Problem,
};
use lichen_log::{Chain, Receipt, Record};
use lichen_model::initial_parameters;
use lichen_net::hub::{FOLLOW_KEEP_ALIVE, Records, Reply, Request};
use lichen_net::{Command as NetCommand, Event as NetEvent, RequestId};
use lichen_record::{CampaignId, Cid, Entry, RoundNumber, SigningKey, verify};
use tokio::task::LocalSet;

use crate::native::{Device, Native};

#[path = "../../log/tests/later/mod.rs"]
mod later;

mod hearsay;
mod snapshots;
mod witnesses;

use snapshots::SnapshotLie;
use witnesses::Witnesses;

pub(crate) const MANIFEST: &[u8] = include_bytes!("../../../relay/campaigns/digits/campaign.toml");
const DATA: &[u8] = include_bytes!("../../../relay/campaigns/digits/digits.safetensors");

/// The one thing that a relay does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// It does nothing wrong.
    None,
    /// Its receipts are for the place of the record in another log.
    ForkedReceipt,
    /// Its receipts are signed by somebody else.
    StrangersReceipt,
    /// The campaign begins with another model than the manifest's.
    OtherModel,
    /// A stranger opens the log.
    StrangersLog,
    /// The log holds an entry that may not stand there.
    InadmissibleEntry,
    /// None: the log goes on with an entry of a later version.
    LaterEntry,
    /// A record's entry is changed after it was ordered.
    ChangedEntry,
    /// It hands out other bytes than it is asked for.
    WrongBlobs,
    /// Its replies are no messages.
    Junk,
    /// It welcomes whoever comes, and answers nothing else.
    Silence,
    /// It opens no round.
    NoRound,
    /// It closes no round.
    OpenForEver,
    /// There is a snapshot in its log, and this is wrong with that.
    Snapshot(SnapshotLie),
    /// It opens no round, and this is how witnesses have seen its log.
    Witnesses(Witnesses),
}

/// A relay in memory: the campaign's log, its blobs, and whoever follows.
struct Relay {
    lie: Lie,
    coordinator: SigningKey,
    stranger: SigningKey,
    chain: Chain,
    records: Vec<Record>,
    blobs: BTreeMap<Cid, Vec<u8>>,
    follower: Option<RequestId>,
    /// From which record on it was first asked for the log.
    read_from: Option<u64>,
    tab: UnboundedSender<Command>,
}

impl Relay {
    fn new(lie: Lie, text: &[u8], tab: UnboundedSender<Command>) -> Self {
        let manifest = lichen_campaign::Manifest::from_bytes(text).unwrap();
        let seed = manifest.rounds.seed + u64::from(lie == Lie::OtherModel);
        let model = initial_parameters(&manifest.model, seed).unwrap().to_safetensors();
        let base = Cid::of_raw(&model);
        let blobs = [model, DATA.to_vec()].into_iter().map(|bytes| (Cid::of_raw(&bytes), bytes)).collect();
        let chain = Chain::new(CampaignId::of_manifest(text));
        let (coordinator, stranger) = (SigningKey::generate([90; 32]), SigningKey::generate([91; 32]));
        let mut relay = Self {
            lie,
            coordinator,
            stranger,
            chain,
            records: Vec::new(),
            blobs,
            follower: None,
            read_from: None,
            tab,
        };
        let campaign = relay.chain.head().campaign;
        let published = Entry::Published { campaign, manifest: campaign.0, base };
        let opener = if lie == Lie::StrangersLog { &relay.stranger } else { &relay.coordinator };
        let published = opener.sign(&published).unwrap();
        relay.append(&published);
        if lie == Lie::InadmissibleEntry {
            let opened = Entry::RoundOpened { campaign, round: RoundNumber(7), base };
            let opened = relay.coordinator.sign(&opened).unwrap();
            relay.append(&opened);
        }
        if let Lie::Snapshot(lie) = lie {
            relay.take_snapshot(lie, text);
        }
        relay
    }

    /// The log as it stands, and its signed head.
    fn log(&self) -> (Vec<Record>, Vec<u8>) {
        let (mut records, mut head) = (self.records.clone(), *self.chain.head());
        if self.lie == Lie::LaterEntry {
            let (record, after) = later::record(&self.coordinator, &head, self.chain.time());
            records.push(record);
            head = after;
        }
        if self.lie == Lie::Snapshot(SnapshotLie::OtherTail) {
            head.hash[0] ^= 1;
        }
        (records, self.coordinator.sign(&head).unwrap())
    }

    /// Orders an entry without asking whether it may stand.
    fn append(&mut self, envelope: &[u8]) -> Receipt {
        let entry = verify::<Entry>(envelope).unwrap();
        let (mut record, receipt) = self.chain.append(self.chain.time() + 10_000, &entry).unwrap();
        if self.lie == Lie::ChangedEntry && record.index > 0 {
            *record.entry.last_mut().unwrap() ^= 1;
        }
        self.records.push(record);
        receipt
    }

    fn carry_out(&mut self, command: NetCommand) {
        match command {
            NetCommand::Connect { address, .. } => {
                self.tell(NetEvent::Connected { peer: vec![1], address });
            }
            NetCommand::Request { id, bytes } => self.answer(id, Request::from_bytes(&bytes).unwrap()),
            _ => {}
        }
    }

    fn answer(&mut self, id: RequestId, request: Request) {
        if self.lie == Lie::Junk {
            return self.tell(NetEvent::Frame { id, bytes: vec![0xa1, 0x61] });
        }
        let reply = match request {
            Request::Hello { certificate } => Reply::Welcome {
                is_following: false,
                coordinator: self.coordinator.account(),
                account: lichen_record::Envelope::from_bytes(&certificate).unwrap().account(),
                time: 0,
            },
            _ if self.lie == Lie::Silence => return,
            Request::Watch { from, .. } => {
                self.follower = Some(id);
                self.read_from = self.read_from.or(Some(from));
                return self.send_records(usize::try_from(from).unwrap());
            }
            Request::GetBlob { cid } => {
                let mut bytes = self.blobs.get(&cid).unwrap().clone();
                if self.lie == Lie::WrongBlobs {
                    bytes[100] ^= 1;
                }
                Reply::Blob { bytes }
            }
            Request::Snapshot { .. } => self.snapshot(),
            Request::Witnessed { .. } => self.witnessed(),
            Request::PutBlob { bytes } => {
                let cid = Cid::of_raw(&bytes);
                self.blobs.insert(cid, bytes);
                Reply::Stored { cid }
            }
            Request::Append { entry, .. } => return self.take_in(id, &entry),
            other => panic!("{other:?}"),
        };
        self.reply(id, &reply);
        self.tell(NetEvent::Ended { id });
    }

    fn take_in(&mut self, id: RequestId, envelope: &[u8]) {
        let from = self.records.len();
        let mut receipt = self.append(envelope);
        if self.lie == Lie::ForkedReceipt {
            receipt.head.hash[0] ^= 1;
        }
        let signer = if self.lie == Lie::StrangersReceipt { &self.stranger } else { &self.coordinator };
        let receipt = signer.sign(&receipt).unwrap();
        let campaign = self.chain.head().campaign;
        let first = if matches!(self.lie, Lie::Snapshot(_)) { 5 } else { 2 };
        let next = match verify::<Entry>(envelope).unwrap().get() {
            Entry::Joined { .. }
                if self.chain.length() == first && !matches!(self.lie, Lie::NoRound | Lie::Witnesses(_)) =>
            {
                Some(self.opening())
            }
            Entry::Contribution { round, .. } if self.lie != Lie::OpenForEver => {
                Some(Entry::RoundClosed { campaign, round: *round })
            }
            _ => None,
        };
        if let Some(next) = next {
            let next = self.coordinator.sign(&next).unwrap();
            self.append(&next);
        }
        self.reply(id, &Reply::Receipt { receipt });
        self.tell(NetEvent::Ended { id });
        self.send_records(from);
    }

    /// What opens the first round.
    fn opening(&self) -> Entry {
        let campaign = self.chain.head().campaign;
        let first = verify::<Entry>(&self.records[0].entry).unwrap();
        let Entry::Published { base, .. } = *first.get() else { panic!("{first:?}") };
        Entry::RoundOpened { campaign, round: RoundNumber::FIRST, base }
    }

    fn send_records(&self, from: usize) {
        let Some(id) = self.follower else { return };
        let (records, head) = self.log();
        self.reply(id, &Reply::Records(Records { records: records[from..].to_vec(), head }));
    }

    fn reply(&self, id: RequestId, reply: &Reply) {
        self.tell(NetEvent::Frame { id, bytes: reply.to_bytes().unwrap() });
    }

    fn tell(&self, event: NetEvent) {
        self.tab.unbounded_send(Command::Net(event)).unwrap();
    }
}

/// A tab that joined a campaign at such a relay.
pub(crate) struct Visit {
    pub(crate) commands: UnboundedSender<Command>,
    pub(crate) events: UnboundedReceiver<Event>,
    pub(crate) device: Rc<Device>,
    relay: Rc<RefCell<Relay>>,
}

/// The events of a tab that joins a campaign at such a relay.
fn join(lie: Lie) -> UnboundedReceiver<Event> {
    visit(lie, MANIFEST.to_vec()).events
}

/// Says now and then that the relay lives, for as long as somebody listens.
async fn keep_alive(relay: Rc<RefCell<Relay>>) {
    while !relay.borrow().tab.is_closed() {
        tokio::time::sleep(Duration::from_millis(FOLLOW_KEEP_ALIVE.into())).await;
        let relay = relay.borrow();
        if !relay.tab.is_closed() && relay.lie != Lie::Silence {
            relay.send_records(relay.records.len());
        }
    }
}

/// Joins the campaign of this manifest at such a relay.
pub(crate) fn visit(lie: Lie, manifest: Vec<u8>) -> Visit {
    let (commands, received) = unbounded();
    let relay = Rc::new(RefCell::new(Relay::new(lie, &manifest, commands.clone())));
    tokio::task::spawn_local(keep_alive(Rc::clone(&relay)));
    let (sender, events) = unbounded();
    let told = Rc::clone(&relay);
    let emit = move |event: Event| {
        if let Event::Net(command) = &event {
            told.borrow_mut().carry_out(command.clone());
        }
        let _closed = sender.unbounded_send(event);
    };
    let campaign = CampaignId::of_manifest(&manifest);
    let site = bridge::Relay {
        address: "/ip4/127.0.0.1/tcp/1/ws/p2p/x".into(),
        also: Vec::new(),
        campaign: campaign.to_string(),
    };
    let start = Command::Start { id: CommandId(1), relay: site, engine: EnginePreference::Cpu };
    for command in
        [Command::Net(NetEvent::Started { peer: vec![2] }), start, Command::Join { id: CommandId(2) }]
    {
        commands.unbounded_send(command).unwrap();
    }
    let device = Device::new(SigningKey::generate([1; 32]));
    let platform = Native::new(Rc::clone(&device), manifest);
    tokio::task::spawn_local(crate::run(platform, received, emit));
    Visit { commands, events, device, relay }
}

/// Everything up to the first event like this.
async fn until(events: &mut UnboundedReceiver<Event>, is_it: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut seen = Vec::new();
    let all = async {
        loop {
            let event = events.next().await.unwrap();
            let is_last = is_it(&event);
            seen.push(event);
            if is_last {
                return;
            }
        }
    };
    let is_there = tokio::time::timeout(Duration::from_secs(20), all).await.is_ok();
    assert!(is_there, "{seen:#?}");
    seen
}

fn failed(event: &Event) -> bool {
    matches!(event, Event::Status(Phase::Failed(_)))
}

fn state(event: &Event) -> Option<&ContributionState> {
    match event {
        Event::Contribution(contribution) => Some(&contribution.state),
        _ => None,
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_honest_relay_is_believed() {
    LocalSet::new()
        .run_until(async {
            let mut events = join(Lie::None);
            let is_recorded =
                |event: &Event| matches!(state(event), Some(ContributionState::Recorded { index: 3 }));
            until(&mut events, is_recorded).await;
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_relay_with_a_false_log_is_believed_no_more() {
    LocalSet::new()
        .run_until(async {
            let lies = [
                (Lie::ForkedReceipt, "another log"),
                (Lie::StrangersReceipt, "not by the coordinator"),
                (Lie::OtherModel, "does not begin with the model"),
                (Lie::StrangersLog, "first entry is not by the coordinator"),
                (Lie::InadmissibleEntry, "not the one that the campaign is at"),
                (Lie::ChangedEntry, "record 1"),
            ];
            for (lie, reason) in lies {
                let mut events = join(lie);
                let seen = until(&mut events, failed).await;
                let Some(Event::Status(Phase::Failed(Problem { message, .. }))) = seen.last() else {
                    panic!()
                };
                assert!(message.contains(reason), "{lie:?}: {message}");
                let disconnects = |event: &Event| matches!(event, Event::Net(NetCommand::Disconnect));
                assert!(seen.iter().any(disconnects), "{lie:?}: {seen:?}");
                let is_recorded = |event| matches!(state(event), Some(ContributionState::Recorded { .. }));
                assert!(!seen.iter().any(is_recorded), "{lie:?}: {seen:?}");
            }
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_log_of_a_later_version_asks_for_a_reload() {
    LocalSet::new()
        .run_until(async {
            let mut events = join(Lie::LaterEntry);
            let seen = until(&mut events, failed).await;
            let Some(Event::Status(Phase::Failed(Problem { message, remedy }))) = seen.last() else {
                panic!()
            };
            assert!(message.contains("older than the campaign"), "{message}");
            assert!(remedy.starts_with("Reload the page"), "{remedy}");
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn wrong_bytes_train_nothing() {
    LocalSet::new()
        .run_until(async {
            let mut events = join(Lie::WrongBlobs);
            // The data is asked for again and again, and never taken.
            let asked = Rc::new(RefCell::new(0));
            let seen = until(&mut events, |event| {
                if let Event::Net(NetCommand::Request { bytes, .. }) = event
                    && matches!(Request::from_bytes(bytes), Ok(Request::GetBlob { .. }))
                {
                    *asked.borrow_mut() += 1;
                }
                *asked.borrow() == 4
            })
            .await;
            assert!(
                !seen.iter().any(|event| failed(event) || matches!(event, Event::Loss { .. })),
                "{seen:?}"
            );
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn replies_that_are_no_messages_change_nothing() {
    LocalSet::new()
        .run_until(async {
            let mut events = join(Lie::Junk);
            let hellos = Rc::new(RefCell::new(0));
            let seen = until(&mut events, |event| {
                *hellos.borrow_mut() += u32::from(matches!(event, Event::Net(NetCommand::Request { .. })));
                *hellos.borrow() == 2
            })
            .await;
            assert!(
                !seen.iter().any(|event| failed(event) || matches!(event, Event::Round { .. })),
                "{seen:?}"
            );
        })
        .await;
}
