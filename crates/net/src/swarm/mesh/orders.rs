//! What the mesh is ordered, what happens in it, and what is reported. The driver lends it the core and its behaviour.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::FutureExt;
use futures::stream::StreamExt;
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, Swarm};
use libp2p::{Multiaddr, PeerId};
use lichen_record::CampaignId;
use lichen_webrtc::browser as webrtc;

use super::inbound::{Admission, Outcome};
use super::neighbourhood;
use super::register::{self, Registered, called_off};
use super::{Behaviour, BehaviourEvent, Done, Meeting, Mesh, new};
use crate::rendezvous::Register;
use crate::swarm::SwarmError;
use crate::swarm::core::Unheard;
use crate::swarm::reach::{self, Hub, Reach};
use crate::swarm::streams::StreamEvent;
use crate::swarm::transport::{Secured, Traffic};
use crate::{Command, Event, IceServer, MAX_ANNOUNCEMENT, MAX_ASK, MAX_PEER_FRAME, RequestError, RequestId};

/// Announcements heard in one second: of one signer, and in all. What is more is neither believed nor passed on.
const MAX_HEARD_OF_ONE: u32 = 16;
const MAX_HEARD: u32 = 128;

/// The registration is the only stream that is opened for the rendezvous.
const REGISTRATION: RequestId = RequestId(0);

/// Announcements of the current second.
#[derive(Default)]
pub(super) struct Heard {
    by_signer: BTreeMap<PeerId, u32>,
    all: u32,
}

impl Heard {
    /// Whether one more of this signer is within the caps.
    fn admit(&mut self, signer: PeerId) -> bool {
        let count = self.by_signer.entry(signer).or_default();
        if *count >= MAX_HEARD_OF_ONE || self.all >= MAX_HEARD {
            return false;
        }
        *count += 1;
        self.all += 1;
        true
    }
}

/// What the mesh works with at the moment: its own part of the swarm's behaviour, and the core.
type Lent<'a> = reach::Lent<'a, Behaviour>;

impl Lent<'_> {
    fn gossip(&mut self) -> &mut gossipsub::Behaviour {
        self.behaviour.gossip.inner_mut()
    }
}

impl Reach for Mesh {
    type Behaviour = Behaviour;
    type Done = Done;

    fn open(
        keys: &Keypair,
        ice: &[IceServer],
        hub: Arc<Traffic>,
    ) -> Result<(Secured, Behaviour, Self), SwarmError> {
        new(keys, ice, hub)
    }

    // None can come before the neighbourhood is opened.
    fn listen<B: NetworkBehaviour>(swarm: &mut Swarm<B>) -> Result<(), SwarmError> {
        match swarm.listen_on(Multiaddr::empty().with(Protocol::WebRTC)) {
            Ok(_listener) => Ok(()),
            Err(error) => Err(SwarmError::Transport(error.to_string())),
        }
    }

    async fn next_done(&mut self) -> Done {
        match self.tasks.next().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    async fn on_done(&mut self, done: Done, lent: Lent<'_>) -> Result<(), Unheard> {
        match done {
            Done::Registered(Registered::Listed { stream, peers }) => {
                let count = u32::try_from(peers.len()).unwrap_or(u32::MAX);
                lent.behaviour.neighbourhood.list(peers);
                self.keep_registration(register::listen(stream).map(Done::Registered));
                return lent.core.emit(Event::Found { peers: count }).await;
            }
            Done::Registered(Registered::Refused(refusal)) => {
                tracing::debug!(%refusal, "the hub does not let us be found");
                self.keep_registration(register::wait(register::again_in(Some(refusal))));
                return lent.core.emit(Event::Found { peers: 0 }).await;
            }
            Done::Registered(Registered::Lost) => {
                self.keep_registration(register::wait(register::again_in(None)));
            }
            Done::RegisterAgain => self.register(lent.behaviour),
            Done::Answered(id, outcome) => {
                if self.inbound.ended(id) && outcome == Outcome::Gone {
                    return lent.core.emit(Event::Unasked { id }).await;
                }
            }
            Done::Nothing => {}
        }
        Ok(())
    }

    async fn on_command(&mut self, command: Command, mut lent: Lent<'_>) -> Result<(), Unheard> {
        match command {
            Command::Meet { campaign, relay_only } => self.meet(campaign, relay_only, lent).await,
            Command::Ask { id, peer, bytes } => ask(id, &peer, bytes, lent).await,
            Command::Answer { id, bytes } => self.answer(id, bytes, lent).await,
            Command::Finish { id } => {
                self.inbound.finish(id);
                Ok(())
            }
            Command::Announce { bytes } => {
                self.announce(bytes, &mut lent);
                Ok(())
            }
            Command::Ban { peer } => {
                if let Ok(peer) = PeerId::from_bytes(&peer) {
                    lent.behaviour.neighbourhood.ban(peer);
                }
                Ok(())
            }
            Command::Connect { .. }
            | Command::Disconnect
            | Command::Request { .. }
            | Command::Suspend
            | Command::Wake
            | Command::Cancel { .. } => Ok(()),
        }
    }

    async fn on_event(&mut self, event: BehaviourEvent, lent: Lent<'_>) -> Result<(), Unheard> {
        match event {
            BehaviourEvent::Neighbourhood(neighbourhood::Event::Reachable) => {
                self.register(lent.behaviour);
                Ok(())
            }
            BehaviourEvent::Neighbourhood(neighbourhood::Event::NoDirectPath(peer)) => {
                lent.core.emit(Event::NoDirectPath { peer: peer.to_bytes() }).await
            }
            BehaviourEvent::Webrtc(webrtc::Event::InboundFailed { peer, error }) => {
                tracing::debug!(%peer, %error, "a peer did not get through to us");
                lent.behaviour.neighbourhood.inbound_failed(peer, &error);
                Ok(())
            }
            BehaviourEvent::Gossip(event) => self.on_gossip(event, lent).await,
            BehaviourEvent::Streams(StreamEvent::Outbound { id, stream }) => {
                lent.core.opened(id, stream).await
            }
            BehaviourEvent::Streams(StreamEvent::Inbound { peer, stream, .. }) => {
                match self.inbound.admit(peer, stream, &lent.core.events) {
                    Admission::Taken(task) => self.tasks.push(task),
                    Admission::Refused => tracing::debug!(%peer, "a peer asks too much at once"),
                    Admission::Flooded => lent.behaviour.neighbourhood.ban(peer),
                }
                Ok(())
            }
            BehaviourEvent::Rendezvous(StreamEvent::Outbound { stream, .. }) => {
                self.on_rendezvous(stream);
                Ok(())
            }
            BehaviourEvent::Rendezvous(StreamEvent::Inbound { .. }) | BehaviourEvent::Circuits(_) => Ok(()),
        }
    }

    async fn part(&mut self, lent: &mut Lent<'_>) -> Result<(), Unheard> {
        self.call_off_registration();
        if let Some(meeting) = self.meeting.take() {
            lent.gossip().unsubscribe(&topic(meeting.campaign));
        }
        lent.behaviour.neighbourhood.close();
        for id in self.inbound.clear() {
            lent.core.emit(Event::Unasked { id }).await?;
        }
        Ok(())
    }

    fn hub_found(&mut self, hub: Hub, behaviour: &mut Behaviour) {
        self.hub = Some(hub);
        self.open_if_both(behaviour);
    }

    fn hub_lost(&mut self, behaviour: &mut Behaviour) {
        self.hub = None;
        self.call_off_registration();
        behaviour.neighbourhood.lose_relay();
    }

    fn peer_gone(&mut self, peer: &PeerId) {
        self.traffic.forget(peer);
        self.inbound.forget(peer);
    }

    fn second(&mut self) {
        self.heard = Heard::default();
    }

    fn moved(&self, peer: &PeerId) -> (u64, u64) {
        self.traffic.moved(peer)
    }

    fn moved_in_all(&self) -> (u64, u64) {
        self.traffic.moved_in_all()
    }
}

impl Mesh {
    async fn meet(
        &mut self,
        campaign: CampaignId,
        relay_only: bool,
        mut lent: Lent<'_>,
    ) -> Result<(), Unheard> {
        if self.meeting.as_ref().is_some_and(|meeting| meeting.campaign != campaign || relay_only) {
            self.part(&mut lent).await?;
        }
        if !relay_only {
            let subscribed = lent.gossip().subscribe(&topic(campaign));
            if let Err(error) = subscribed {
                tracing::debug!(%error, "no announcements will be heard");
            }
        }
        self.meeting = Some(Meeting { campaign, relay_only });
        self.open_if_both(lent.behaviour);
        Ok(())
    }

    /// Lets peers come, where the hub is connected and we are to meet.
    fn open_if_both(&self, behaviour: &mut Behaviour) {
        let (Some(hub), Some(meeting)) = (&self.hub, &self.meeting) else { return };
        if !meeting.relay_only {
            behaviour.neighbourhood.open(hub.address.clone());
        }
    }

    async fn answer(&mut self, id: crate::InboundId, bytes: Vec<u8>, lent: Lent<'_>) -> Result<(), Unheard> {
        if bytes.len() > MAX_PEER_FRAME {
            tracing::debug!(length = bytes.len(), "an answer is too long and ends here");
            self.inbound.finish(id);
            return Ok(());
        }
        if self.inbound.answer(id, bytes) { Ok(()) } else { lent.core.emit(Event::Unasked { id }).await }
    }

    fn announce(&self, bytes: Vec<u8>, lent: &mut Lent<'_>) {
        let Some(meeting) = self.meeting.as_ref().filter(|meeting| !meeting.relay_only) else { return };
        if bytes.len() > MAX_ANNOUNCEMENT {
            tracing::debug!(length = bytes.len(), "an announcement is too long");
            return;
        }
        let topic = topic(meeting.campaign);
        if let Err(error) = lent.gossip().publish(topic, bytes) {
            tracing::debug!(%error, "an announcement reaches nobody");
        }
    }

    /// Asks the hub for a stream to register on.
    fn register(&mut self, behaviour: &mut Behaviour) {
        self.call_off_registration();
        let Some(hub) = &self.hub else { return };
        if self.meeting.as_ref().is_some_and(|meeting| !meeting.relay_only) {
            behaviour.rendezvous.open(hub.peer, hub.connection, REGISTRATION);
        }
    }

    fn on_rendezvous(&mut self, stream: Result<libp2p::Stream, crate::swarm::streams::OpenError>) {
        let Some(meeting) = self.meeting.as_ref().filter(|meeting| !meeting.relay_only) else { return };
        let campaign = meeting.campaign;
        match stream {
            Ok(stream) => {
                let registering = register::register(stream, Register { campaign });
                self.keep_registration(registering.map(Done::Registered));
            }
            Err(error) => {
                tracing::debug!(%error, "the hub has no rendezvous");
                self.keep_registration(register::wait(register::again_in(None)));
            }
        }
    }

    fn keep_registration(&mut self, task: impl Future<Output = Done> + 'static) {
        self.call_off_registration();
        let (task, handle) = called_off(task);
        self.tasks.push(task);
        self.registration = Some(handle);
    }

    fn call_off_registration(&mut self) {
        if let Some(handle) = self.registration.take() {
            handle.abort();
        }
    }

    async fn on_gossip(&mut self, event: gossipsub::Event, mut lent: Lent<'_>) -> Result<(), Unheard> {
        let gossipsub::Event::Message { propagation_source, message_id, message } = event else {
            return Ok(());
        };
        let signer = message.source.filter(|_| message.data.len() <= MAX_ANNOUNCEMENT);
        let signer = signer.filter(|signer| self.heard.admit(*signer));
        let acceptance = if signer.is_some() { MessageAcceptance::Accept } else { MessageAcceptance::Ignore };
        lent.gossip().report_message_validation_result(&message_id, &propagation_source, acceptance);
        match signer {
            Some(signer) => {
                lent.core.emit(Event::Announced { peer: signer.to_bytes(), bytes: message.data }).await
            }
            None => Ok(()),
        }
    }
}

async fn ask(id: RequestId, peer: &[u8], bytes: Vec<u8>, lent: Lent<'_>) -> Result<(), Unheard> {
    let Lent { behaviour, core } = lent;
    let connection = PeerId::from_bytes(peer).ok().and_then(|peer| Some((peer, core.peers.direct(&peer)?)));
    let Some((peer, connection)) = connection else {
        return core.refuse(id, RequestError::NotConnected).await;
    };
    if bytes.len() > MAX_ASK {
        return core.refuse(id, RequestError::FrameTooLarge).await;
    }
    if let Err(error) = core.requests.admit(id, connection, bytes, MAX_PEER_FRAME) {
        return core.refuse(id, error).await;
    }
    behaviour.streams.open(peer, connection, id);
    Ok(())
}

/// A campaign's topic.
fn topic(campaign: CampaignId) -> IdentTopic {
    IdentTopic::new(format!("/lichen/{campaign}"))
}
