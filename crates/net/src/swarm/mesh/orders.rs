//! The driver's side of the mesh: what is ordered, what happens, what is reported.

use std::collections::BTreeMap;

use futures::future::FutureExt;
use libp2p::PeerId;
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance};
use lichen_record::CampaignId;
use lichen_webrtc::browser as webrtc;

use super::inbound::{Admission, Outcome};
use super::neighbourhood;
use super::register::{self, Registered, called_off};
use super::{BehaviourEvent, Done, Meeting};
use crate::rendezvous::Register;
use crate::swarm::driver::{Driver, Hub, Unheard};
use crate::swarm::streams::StreamEvent;
use crate::{Command, Event, MAX_ANNOUNCEMENT, MAX_ASK, MAX_PEER_FRAME, RequestError, RequestId};

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

impl Driver {
    pub(in crate::swarm) async fn on_mesh_command(&mut self, command: Command) -> Result<(), Unheard> {
        match command {
            Command::Meet { campaign, relay_only } => self.meet(campaign, relay_only).await,
            Command::Part => self.part().await,
            Command::Ask { id, peer, bytes } => self.ask(id, &peer, bytes).await,
            Command::Answer { id, bytes } => self.answer(id, bytes).await,
            Command::Finish { id } => {
                self.mesh.inbound.finish(id);
                Ok(())
            }
            Command::Announce { bytes } => {
                self.announce(bytes);
                Ok(())
            }
            Command::Ban { peer } => {
                if let Ok(peer) = PeerId::from_bytes(&peer) {
                    self.swarm.behaviour_mut().mesh.neighbourhood.ban(peer);
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

    async fn meet(&mut self, campaign: CampaignId, relay_only: bool) -> Result<(), Unheard> {
        if self.mesh.meeting.as_ref().is_some_and(|meeting| meeting.campaign != campaign || relay_only) {
            self.part().await?;
        }
        if !relay_only {
            let subscribed = self.gossip().subscribe(&topic(campaign));
            if let Err(error) = subscribed {
                tracing::debug!(%error, "no announcements will be heard");
            }
        }
        self.mesh.meeting = Some(Meeting { campaign, relay_only });
        self.hub_found();
        Ok(())
    }

    /// Leaves the mesh; the hub stays.
    pub(in crate::swarm) async fn part(&mut self) -> Result<(), Unheard> {
        self.call_off_registration();
        if let Some(meeting) = self.mesh.meeting.take() {
            self.gossip().unsubscribe(&topic(meeting.campaign));
        }
        self.swarm.behaviour_mut().mesh.neighbourhood.close();
        for id in self.mesh.inbound.clear() {
            self.emit(Event::Unasked { id }).await?;
        }
        Ok(())
    }

    /// The hub is connected, or we are to meet: both are needed.
    pub(in crate::swarm) fn hub_found(&mut self) {
        let (Hub::Connected { target, .. }, Some(meeting)) = (&self.hub, &self.mesh.meeting) else { return };
        if !meeting.relay_only {
            self.swarm.behaviour_mut().mesh.neighbourhood.open(target.address.clone());
        }
    }

    /// The hub is not connected any more: peers stay, nobody new comes.
    pub(in crate::swarm) fn hub_lost(&mut self) {
        self.call_off_registration();
        self.swarm.behaviour_mut().mesh.neighbourhood.lose_relay();
    }

    /// A second has passed.
    pub(in crate::swarm) fn mesh_second(&mut self) {
        self.mesh.heard = super::Heard::default();
    }

    /// The last connection to a peer has closed.
    pub(in crate::swarm) fn peer_gone(&mut self, peer: &PeerId) {
        self.mesh.traffic.forget(peer);
        self.mesh.inbound.forget(peer);
    }

    async fn ask(&mut self, id: RequestId, peer: &[u8], bytes: Vec<u8>) -> Result<(), Unheard> {
        let refuse = |error| Event::Failed { id, error };
        let connection =
            PeerId::from_bytes(peer).ok().and_then(|peer| Some((peer, self.peers.direct(&peer)?)));
        let Some((peer, connection)) = connection else {
            return self.emit(refuse(RequestError::NotConnected)).await;
        };
        if bytes.len() > MAX_ASK {
            return self.emit(refuse(RequestError::FrameTooLarge)).await;
        }
        if let Err(error) = self.requests.admit(id, connection, bytes, MAX_PEER_FRAME) {
            return self.emit(refuse(error)).await;
        }
        self.swarm.behaviour_mut().mesh.streams.open(peer, connection, id);
        Ok(())
    }

    async fn answer(&mut self, id: crate::InboundId, bytes: Vec<u8>) -> Result<(), Unheard> {
        if bytes.len() > MAX_PEER_FRAME {
            tracing::debug!(length = bytes.len(), "an answer is too long and ends here");
            self.mesh.inbound.finish(id);
            return Ok(());
        }
        if self.mesh.inbound.answer(id, bytes) { Ok(()) } else { self.emit(Event::Unasked { id }).await }
    }

    fn announce(&mut self, bytes: Vec<u8>) {
        let Some(meeting) = self.mesh.meeting.as_ref().filter(|meeting| !meeting.relay_only) else { return };
        if bytes.len() > MAX_ANNOUNCEMENT {
            tracing::debug!(length = bytes.len(), "an announcement is too long");
            return;
        }
        let topic = topic(meeting.campaign);
        if let Err(error) = self.gossip().publish(topic, bytes) {
            tracing::debug!(%error, "an announcement reaches nobody");
        }
    }

    pub(in crate::swarm) async fn on_mesh_event(&mut self, event: BehaviourEvent) -> Result<(), Unheard> {
        match event {
            BehaviourEvent::Neighbourhood(neighbourhood::Event::Reachable) => {
                self.register();
                Ok(())
            }
            BehaviourEvent::Neighbourhood(neighbourhood::Event::NoDirectPath(peer)) => {
                self.emit(Event::NoDirectPath { peer: peer.to_bytes() }).await
            }
            BehaviourEvent::Webrtc(webrtc::Event::InboundFailed { peer, error }) => {
                tracing::debug!(%peer, %error, "a peer did not get through to us");
                self.swarm.behaviour_mut().mesh.neighbourhood.inbound_failed(peer, &error);
                Ok(())
            }
            BehaviourEvent::Gossip(event) => self.on_gossip(event).await,
            BehaviourEvent::Streams(StreamEvent::Outbound { id, stream }) => {
                match self.requests.opened(id, stream, &self.events) {
                    Some(event) => self.emit(event).await,
                    None => Ok(()),
                }
            }
            BehaviourEvent::Streams(StreamEvent::Inbound { peer, stream, .. }) => {
                match self.mesh.inbound.admit(peer, stream, &self.events) {
                    Admission::Taken(task) => self.mesh.tasks.push(task),
                    Admission::Refused => tracing::debug!(%peer, "a peer asks too much at once"),
                    Admission::Flooded => self.swarm.behaviour_mut().mesh.neighbourhood.ban(peer),
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

    pub(in crate::swarm) async fn on_mesh_done(&mut self, done: Done) -> Result<(), Unheard> {
        match done {
            Done::Registered(Registered::Listed { stream, peers }) => {
                let count = u32::try_from(peers.len()).unwrap_or(u32::MAX);
                self.swarm.behaviour_mut().mesh.neighbourhood.list(peers);
                self.keep_registration(register::listen(stream).map(Done::Registered));
                return self.emit(Event::Found { peers: count }).await;
            }
            Done::Registered(Registered::Refused(refusal)) => {
                tracing::debug!(%refusal, "the hub does not let us be found");
                self.keep_registration(register::wait(register::again_in(Some(refusal))));
                return self.emit(Event::Found { peers: 0 }).await;
            }
            Done::Registered(Registered::Lost) => {
                self.keep_registration(register::wait(register::again_in(None)));
            }
            Done::RegisterAgain => self.register(),
            Done::Answered(id, outcome) => {
                if self.mesh.inbound.ended(id) && outcome == Outcome::Gone {
                    return self.emit(Event::Unasked { id }).await;
                }
            }
            Done::Nothing => {}
        }
        Ok(())
    }

    /// Asks the hub for a stream to register on.
    fn register(&mut self) {
        self.call_off_registration();
        let Hub::Connected { target, connection } = &self.hub else { return };
        if self.mesh.meeting.as_ref().is_some_and(|meeting| !meeting.relay_only) {
            self.swarm.behaviour_mut().mesh.rendezvous.open(target.peer, *connection, REGISTRATION);
        }
    }

    fn on_rendezvous(&mut self, stream: Result<libp2p::Stream, crate::swarm::streams::OpenError>) {
        let Some(meeting) = self.mesh.meeting.as_ref().filter(|meeting| !meeting.relay_only) else { return };
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
        self.mesh.tasks.push(task);
        self.mesh.registration = Some(handle);
    }

    fn call_off_registration(&mut self) {
        if let Some(handle) = self.mesh.registration.take() {
            handle.abort();
        }
    }

    async fn on_gossip(&mut self, event: gossipsub::Event) -> Result<(), Unheard> {
        let gossipsub::Event::Message { propagation_source, message_id, message } = event else {
            return Ok(());
        };
        let signer = message.source.filter(|_| message.data.len() <= MAX_ANNOUNCEMENT);
        let signer = signer.filter(|signer| self.mesh.heard.admit(*signer));
        let acceptance = if signer.is_some() { MessageAcceptance::Accept } else { MessageAcceptance::Ignore };
        self.gossip().report_message_validation_result(&message_id, &propagation_source, acceptance);
        match signer {
            Some(signer) => {
                self.emit(Event::Announced { peer: signer.to_bytes(), bytes: message.data }).await
            }
            None => Ok(()),
        }
    }

    fn gossip(&mut self) -> &mut gossipsub::Behaviour {
        self.swarm.behaviour_mut().mesh.gossip.inner_mut()
    }
}

/// A campaign's topic.
fn topic(campaign: CampaignId) -> IdentTopic {
    IdentTopic::new(format!("/lichen/{campaign}"))
}
