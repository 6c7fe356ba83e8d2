//! How far a swarm reaches: to the hub alone, or to peers as well.

use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;

use libp2p::identity::Keypair;
use libp2p::swarm::{ConnectionId, NetworkBehaviour, Swarm, dummy};
use libp2p::{Multiaddr, PeerId};

use super::SwarmError;
use super::core::{Core, Unheard};
use super::transport::{self, Secured, Traffic};
use crate::{Command, IceServer, RequestError};

/// What a driver does besides keeping the hub's connection: it is told of what happens, and lent what it works with.
pub(super) trait Reach: Sized + 'static {
    /// Its part of the swarm's behaviour.
    type Behaviour: NetworkBehaviour<ToSwarm: Debug>;
    /// What comes of something under way.
    type Done;

    /// The transports, its part of the behaviour, and what keeps the rest.
    fn open(
        keys: &Keypair,
        ice: &[IceServer],
        hub: Arc<Traffic>,
    ) -> Result<(Secured, Self::Behaviour, Self), SwarmError>;

    /// Listens to what others bring about.
    fn listen<B: NetworkBehaviour>(swarm: &mut Swarm<B>) -> Result<(), SwarmError>;

    /// What the next thing under way comes to; waits where there is none.
    async fn next_done(&mut self) -> Self::Done;

    /// Takes that in.
    async fn on_done(&mut self, done: Self::Done, lent: Lent<'_, Self::Behaviour>) -> Result<(), Unheard>;

    /// Carries out what is not about the hub.
    async fn on_command(&mut self, command: Command, lent: Lent<'_, Self::Behaviour>) -> Result<(), Unheard>;

    /// Takes in what its part of the behaviour reports.
    async fn on_event(
        &mut self,
        event: <Self::Behaviour as NetworkBehaviour>::ToSwarm,
        lent: Lent<'_, Self::Behaviour>,
    ) -> Result<(), Unheard>;

    /// Leaves everybody but the hub.
    async fn part(&mut self, lent: &mut Lent<'_, Self::Behaviour>) -> Result<(), Unheard>;

    /// The hub is connected.
    fn hub_found(&mut self, hub: Hub, behaviour: &mut Self::Behaviour);

    /// The hub is not connected any more.
    fn hub_lost(&mut self, behaviour: &mut Self::Behaviour);

    /// The last connection to a peer is closed.
    fn peer_gone(&mut self, peer: &PeerId);

    /// A second has passed.
    fn second(&mut self);

    /// Bytes received from and sent to a peer other than the hub.
    fn moved(&self, peer: &PeerId) -> (u64, u64);

    /// Bytes received from and sent to all peers other than the hub.
    fn moved_in_all(&self) -> (u64, u64);
}

/// The connection to the hub, through which peers are found.
#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(dead_code, reason = "read by the mesh, which only a page has")
)]
pub(super) struct Hub {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) address: Multiaddr,
}

/// What the driver lends: a part of the swarm's behaviour, and the core.
#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(dead_code, reason = "read by the mesh, which only a page has")
)]
pub(super) struct Lent<'a, B> {
    pub(super) behaviour: &'a mut B,
    pub(super) core: &'a mut Core,
}

/// The hub and nobody else.
pub(super) struct HubOnly;

impl Reach for HubOnly {
    type Behaviour = dummy::Behaviour;
    type Done = Infallible;

    fn open(
        keys: &Keypair,
        _ice: &[IceServer],
        hub: Arc<Traffic>,
    ) -> Result<(Secured, dummy::Behaviour, Self), SwarmError> {
        Ok((transport::to_hub(keys, hub)?, dummy::Behaviour, Self))
    }

    fn listen<B: NetworkBehaviour>(_swarm: &mut Swarm<B>) -> Result<(), SwarmError> {
        Ok(())
    }

    async fn next_done(&mut self) -> Infallible {
        std::future::pending().await
    }

    async fn on_done(&mut self, done: Infallible, _lent: Lent<'_, dummy::Behaviour>) -> Result<(), Unheard> {
        match done {}
    }

    async fn on_command(
        &mut self,
        command: Command,
        lent: Lent<'_, dummy::Behaviour>,
    ) -> Result<(), Unheard> {
        if let Command::Ask { id, .. } = command {
            return lent.core.refuse(id, RequestError::Unsupported).await;
        }
        tracing::debug!("this swarm reaches no peers");
        Ok(())
    }

    async fn on_event(
        &mut self,
        event: Infallible,
        _lent: Lent<'_, dummy::Behaviour>,
    ) -> Result<(), Unheard> {
        match event {}
    }

    async fn part(&mut self, _lent: &mut Lent<'_, dummy::Behaviour>) -> Result<(), Unheard> {
        Ok(())
    }

    fn hub_found(&mut self, _hub: Hub, _behaviour: &mut dummy::Behaviour) {}

    fn hub_lost(&mut self, _behaviour: &mut dummy::Behaviour) {}

    fn peer_gone(&mut self, _peer: &PeerId) {}

    fn second(&mut self) {}

    fn moved(&self, _peer: &PeerId) -> (u64, u64) {
        (0, 0)
    }

    fn moved_in_all(&self) -> (u64, u64) {
        (0, 0)
    }
}
