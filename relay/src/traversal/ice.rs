//! What the page gives its peer connections to find a way to each other (`RTCConfiguration.iceServers`).

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lichen_net::IceServer;

use crate::fairness::rates::{Exhausted, Rates};
use crate::traversal::turn::{Credential, Credentials};

/// Passwords for TURN handed out in an interval, in all; those of one address are the operator's to set.
const INTERVAL: Duration = Duration::from_secs(60);
const IN_ALL: u32 = 60_000;

/// The servers that this relay knows of.
pub(crate) struct Ice {
    /// The port of our own STUN, where it is served.
    pub(crate) stun: Option<u16>,
    /// URLs of other people's.
    pub(crate) others: Vec<String>,
    /// Our own TURN, where it is served.
    pub(crate) turn: Option<IceTurn>,
}

/// How the page comes to use our TURN.
pub(crate) struct IceTurn {
    port: u16,
    credentials: Arc<Credentials>,
    rates: Mutex<Rates>,
}

impl IceTurn {
    pub(crate) fn new(port: u16, credentials: Arc<Credentials>, per_address: u32) -> Self {
        Self { port, credentials, rates: Mutex::new(Rates::new(INTERVAL, per_address, IN_ALL)) }
    }

    fn server(&self, host: &str) -> IceServer {
        let Credential { name, password } = self.credentials.issue();
        let urls = vec![format!("turn:{host}:{}?transport=udp", self.port)];
        IceServer { urls, username: Some(name), credential: Some(password) }
    }
}

impl Ice {
    /// The servers that need no password, for a page that reaches this relay under that host: a name, or an address
    /// as in a URL.
    pub(crate) fn open_servers(&self, host: Option<&str>) -> Vec<IceServer> {
        let own = host.zip(self.stun).map(|(host, port)| format!("stun:{host}:{port}"));
        let urls: Vec<String> = own.into_iter().chain(self.others.iter().cloned()).collect();
        if urls.is_empty() {
            return Vec::new();
        }
        vec![IceServer { urls, username: None, credential: None }]
    }

    /// All servers, with a fresh password for whoever asks from that address.
    ///
    /// # Errors
    /// If it has asked too often.
    pub(crate) fn servers(&self, host: Option<&str>, client: IpAddr) -> Result<Vec<IceServer>, Exhausted> {
        let mut servers = self.open_servers(host);
        if let (Some(turn), Some(host)) = (&self.turn, host) {
            // Counts stay right whatever happened to another thread: nothing in between can fail.
            turn.rates.lock().unwrap_or_else(PoisonError::into_inner).take(client, Instant::now())?;
            servers.push(turn.server(host));
        }
        Ok(servers)
    }
}
