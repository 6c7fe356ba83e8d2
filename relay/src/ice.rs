//! What the page gives its peer connections to find a way to each other (`RTCConfiguration.iceServers`).

use serde::Serialize;

/// Servers as `lichen.json` lists them, in the form that `RTCPeerConnection` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct IceServer {
    urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
}

/// The servers that this relay knows of.
#[derive(Debug, Default)]
pub(crate) struct Ice {
    /// The port of our own STUN, where it is served.
    pub(crate) stun: Option<u16>,
    /// URLs of other people's.
    pub(crate) others: Vec<String>,
}

impl Ice {
    /// The servers for a page that reaches this relay under that host: a name, or an address as in a URL.
    pub(crate) fn servers(&self, host: Option<&str>) -> Vec<IceServer> {
        let own = host.zip(self.stun).map(|(host, port)| format!("stun:{host}:{port}"));
        let urls: Vec<String> = own.into_iter().chain(self.others.iter().cloned()).collect();
        if urls.is_empty() {
            return Vec::new();
        }
        vec![IceServer { urls, username: None, credential: None }]
    }
}
