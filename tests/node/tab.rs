//! A node with its swarm, as a page would run them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{FutureExt, StreamExt};
use lichen_bridge::{Command, CommandId, ContributionState, EnginePreference, Event, Outcome};
use lichen_net::{Command as NetCommand, Event as NetEvent, swarm};
use lichen_node::native::{Device, Native};
use lichen_record::SigningKey;
use lichen_testkit::RelayProcess;
use tokio::task::JoinHandle;

use crate::LIMIT;
use crate::network::Network;

/// Somebody with a device.
pub(crate) struct Person {
    key: SigningKey,
    device: Rc<Device>,
}

impl Person {
    pub(crate) fn new(number: u8) -> Self {
        let key = SigningKey::generate([number; 32]);
        Self { device: Device::new(key.clone()), key }
    }

    pub(crate) fn account(&self) -> String {
        self.key.account().to_string()
    }
}

/// A running node; closed when dropped, as a tab is: without a goodbye.
pub(crate) struct Tab {
    site: String,
    commands: UnboundedSender<Command>,
    events: UnboundedReceiver<Event>,
    history: Vec<Event>,
    ids: u32,
    tasks: [JoinHandle<()>; 2],
    network: Network,
    peer: Rc<RefCell<Vec<u8>>>,
    /// Bytes received and sent on the wire, as told last.
    traffic: Rc<Cell<(u64, u64)>>,
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.network.leave(&self.peer.borrow());
    }
}

impl Tab {
    /// Opens a tab in front of this relay; must be called in a `LocalSet`.
    pub(crate) fn open(relay: &RelayProcess, person: &Person) -> Self {
        Self::open_in(relay, person, &Network::default())
    }

    /// Opens a tab in front of this relay, that can meet the other tabs of this network.
    pub(crate) fn open_in(relay: &RelayProcess, person: &Person, network: &Network) -> Self {
        Self::open_slowed(relay, person, network, Duration::ZERO)
    }

    /// The same on a device that is busy with other things for so long between any two slices of work.
    fn open_slowed(relay: &RelayProcess, person: &Person, network: &Network, pause: Duration) -> Self {
        Self::open_at("lichen.json", relay, person, network, pause)
    }

    /// The same with what the relay says at this path of itself and a campaign.
    fn open_at(
        path: &str,
        relay: &RelayProcess,
        person: &Person,
        network: &Network,
        pause: Duration,
    ) -> Self {
        let site = relay.get(path).unwrap().text();
        let campaign = serde_json::from_str::<serde_json::Value>(&site).unwrap()["campaign"].clone();
        let manifest = relay.get(&format!("blob/{}", campaign.as_str().unwrap())).unwrap().body;
        let (handle, mut reports) = swarm::spawn_to_hub().unwrap();
        let (commands, received) = unbounded();
        let (sender, events) = unbounded();
        let peer = Rc::new(RefCell::new(Vec::new()));
        let (own, between) = (Rc::clone(&peer), network.clone());
        let emit = move |event: Event| {
            if let Event::Net(command) = &event {
                between.carry(&own.borrow(), command);
                // The swarm's own mesh stays out of it.
                if matches!(
                    command,
                    NetCommand::Connect { .. }
                        | NetCommand::Disconnect
                        | NetCommand::Request { .. }
                        | NetCommand::Cancel { .. }
                ) {
                    handle.send(command.clone()).unwrap();
                }
            }
            let _closed = sender.unbounded_send(event);
        };
        let platform = Native::new(Rc::clone(&person.device), manifest).with_pauses(pause);
        let node = tokio::task::spawn_local(lichen_node::run(platform, received, emit));
        let traffic = Rc::new(Cell::new((0, 0)));
        let moved = Rc::clone(&traffic);
        let (to_node, own, between) = (commands.clone(), Rc::clone(&peer), network.clone());
        let swarm = tokio::task::spawn_local(async move {
            while let Some(report) = reports.next().await {
                match &report {
                    NetEvent::Started { peer } => {
                        own.replace(peer.clone());
                        between.enter(peer.clone(), to_node.clone());
                    }
                    NetEvent::Traffic { received, sent } => moved.set((*received, *sent)),
                    // Of peers the network tells.
                    NetEvent::PeersChanged { .. } => continue,
                    _ => {}
                }
                let _closed = to_node.unbounded_send(Command::Net(report));
            }
        });
        Self {
            site,
            commands,
            events,
            history: Vec::new(),
            ids: 0,
            tasks: [node, swarm],
            network: network.clone(),
            peer,
            traffic,
        }
    }

    /// Opens a tab that takes part.
    pub(crate) async fn joined(relay: &RelayProcess, person: &Person) -> Self {
        Self::joined_in(relay, person, &Network::default()).await
    }

    /// Opens a tab that takes part in the relay's campaign of this name.
    pub(crate) async fn joined_of(relay: &RelayProcess, person: &Person, campaign: &str) -> Self {
        let path = format!("lichen.json?campaign={campaign}");
        let mut tab = Self::open_at(&path, relay, person, &Network::default(), Duration::ZERO);
        tab.start(EnginePreference::Cpu).await;
        tab.join().await;
        tab
    }

    /// Opens a tab that takes part, and can meet the other tabs of this network.
    pub(crate) async fn joined_in(relay: &RelayProcess, person: &Person, network: &Network) -> Self {
        Self::joined_slowed(relay, person, network, Duration::ZERO).await
    }

    /// The same on a device that is busy with other things for so long between any two slices of work.
    pub(crate) async fn joined_slowed(
        relay: &RelayProcess,
        person: &Person,
        network: &Network,
        pause: Duration,
    ) -> Self {
        let mut tab = Self::open_slowed(relay, person, network, pause);
        tab.start(EnginePreference::Cpu).await;
        tab.join().await;
        tab
    }

    /// Bytes received and sent on the wire, as told last: once a second.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        self.traffic.get()
    }

    /// The swarm's peer id.
    pub(crate) fn peer(&self) -> Vec<u8> {
        self.peer.borrow().clone()
    }

    pub(crate) async fn start(&mut self, engine: EnginePreference) {
        let relay: lichen_bridge::Relay = serde_json::from_str(&self.site).unwrap();
        self.ask(|id| Command::Start { id, relay, engine }).await;
    }

    pub(crate) async fn join(&mut self) {
        self.ask(|id| Command::Join { id }).await;
    }

    pub(crate) async fn leave(&mut self) {
        self.ask(|id| Command::Leave { id }).await;
    }

    /// Sends a command and waits until it is carried out.
    async fn ask(&mut self, command: impl FnOnce(CommandId) -> Command) {
        let id = self.send(command);
        let done = Event::Answered { id, outcome: Outcome::Done };
        self.until("the command to be carried out", |event| *event == done).await;
    }

    /// Sends a command.
    pub(crate) fn send(&mut self, command: impl FnOnce(CommandId) -> Command) -> CommandId {
        let id = CommandId(self.ids);
        self.ids += 1;
        self.commands.unbounded_send(command(id)).unwrap();
        id
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Event {
        let event = tokio::time::timeout(LIMIT, self.events.next()).await;
        let event = event.unwrap_or_else(|_late| self.fail("an event")).expect("the node has ended");
        self.history.push(event.clone());
        event
    }

    /// Waits for an event like this, from now on.
    pub(crate) async fn until(&mut self, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        let found = async {
            loop {
                let event = self.events.next().await.expect("the node has ended");
                self.history.push(event.clone());
                if is_it(&event) {
                    return event;
                }
            }
        };
        match tokio::time::timeout(LIMIT, found).await {
            Ok(event) => event,
            Err(_late) => self.fail(what),
        }
    }

    /// Whether there was an event like this, up to now.
    pub(crate) fn seen(&mut self, is_it: impl Fn(&Event) -> bool) -> bool {
        self.drain(|_event| ());
        self.history.iter().any(is_it)
    }

    /// Shows each event that came and was not shown yet.
    pub(crate) fn drain(&mut self, mut show: impl FnMut(&Event)) {
        while let Some(Some(event)) = self.events.next().now_or_never() {
            show(&event);
            self.history.push(event);
        }
    }

    /// The rounds for which a contribution of this account is in the log.
    pub(crate) fn recorded(&mut self) -> Vec<u64> {
        let rounds = RefCell::new(Vec::new());
        self.seen(|event| {
            if let Event::Contribution(contribution) = event
                && matches!(contribution.state, ContributionState::Recorded { .. })
            {
                rounds.borrow_mut().push(contribution.round);
            }
            false
        });
        rounds.into_inner()
    }

    fn fail(&self, what: &str) -> ! {
        let is_shown = |event: &&Event| !matches!(event, Event::Net(_) | Event::Loss { .. });
        let shown: Vec<String> =
            self.history.iter().filter(is_shown).map(|event| format!("{event:?}")).collect();
        panic!("waited in vain for {what}; events were:\n{}", shown.join("\n"));
    }
}
