//! Native programs have no mesh: whoever orders something of it is told so, or nothing.

use std::convert::Infallible;
use std::sync::Arc;

use libp2p::PeerId;
pub(super) use libp2p::swarm::dummy::Behaviour;
use libp2p::swarm::{NetworkBehaviour, Swarm};

use super::SwarmError;
use super::driver::{Driver, Unheard};
use super::transport::{Secured, Traffic};
use crate::{Command, Event, IceServer, RequestError};

/// No mesh.
pub(super) struct Mesh;

/// The transports, and no mesh beside them.
pub(super) fn new(
    keys: &libp2p::identity::Keypair,
    _ice: Vec<IceServer>,
    hub: Arc<Traffic>,
) -> Result<(Secured, Behaviour, Mesh), SwarmError> {
    Ok((super::transport::all(keys, hub)?, Behaviour, Mesh))
}

/// There is nothing to listen to.
#[expect(clippy::unnecessary_wraps, reason = "the page's may fail")]
pub(super) const fn listen<B: NetworkBehaviour>(_swarm: &mut Swarm<B>) -> Result<(), SwarmError> {
    Ok(())
}

impl Mesh {
    pub(super) async fn next_done(&mut self) -> Infallible {
        std::future::pending().await
    }

    #[expect(clippy::unused_self, reason = "the page's mesh counts")]
    pub(super) const fn moved(&self, _peer: &PeerId) -> (u64, u64) {
        (0, 0)
    }

    #[expect(clippy::unused_self, reason = "the page's mesh counts")]
    pub(super) const fn moved_in_all(&self) -> (u64, u64) {
        (0, 0)
    }
}

impl Driver {
    pub(super) async fn on_mesh_command(&mut self, command: Command) -> Result<(), Unheard> {
        match command {
            Command::Ask { id, .. } => {
                self.emit(Event::Failed { id, error: RequestError::Unsupported }).await
            }
            _ => {
                tracing::debug!("there is no mesh in this build");
                Ok(())
            }
        }
    }

    #[expect(clippy::unused_async, reason = "the page's mesh waits")]
    pub(super) async fn on_mesh_event(&mut self, never: Infallible) -> Result<(), Unheard> {
        match never {}
    }

    #[expect(clippy::unused_async, reason = "the page's mesh waits")]
    pub(super) async fn on_mesh_done(&mut self, never: Infallible) -> Result<(), Unheard> {
        match never {}
    }

    pub(super) fn hub_found(&mut self) {}

    pub(super) fn hub_lost(&mut self) {}

    #[expect(clippy::unused_async, reason = "the page's mesh waits")]
    pub(super) async fn part(&mut self) -> Result<(), Unheard> {
        Ok(())
    }

    pub(super) fn mesh_second(&mut self) {}

    pub(super) fn peer_gone(&mut self, _peer: &PeerId) {}
}
