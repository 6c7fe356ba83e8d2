//! What the swarm tells the page.

use lichen_net::IceServer;
use serde::{Deserialize, Serialize};

/// What the swarm tells the page: what is worth showing of the connections, and no frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    /// It was told to meet other tabs, or to keep from them.
    Meets,
    /// Something about its connections.
    Swarm(lichen_net::Event),
    /// It stopped, or cannot go on, for this reason.
    Broke(String),
}

/// A server that helps peer connections find a way, as the page tells the swarm of it: an [`IceServer`] whose every field is
/// written, as a form without names needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    urls: Vec<String>,
    username: Option<String>,
    credential: Option<String>,
}

impl From<IceServer> for Server {
    fn from(IceServer { urls, username, credential }: IceServer) -> Self {
        Self { urls, username, credential }
    }
}

impl From<Server> for IceServer {
    fn from(Server { urls, username, credential }: Server) -> Self {
        Self { urls, username, credential }
    }
}
