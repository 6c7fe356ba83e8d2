//! TURN over UDP (RFC 8656) for tabs that no direct path connects: off unless the operator wants it.
//!
//! ```text
//! tab ─► listener ─► one task per client address ─► relayed socket ─► peers
//! ```
//!
//! The protocol itself is `turn-server-proto`'s. Each client has a server of its own there, which knows one account,
//! one nonce and one allocation: what one client sends cannot grow another's memory or end another's task, and all of
//! it goes when the client does.

mod client;
mod credentials;
mod peers;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use stun_types::message::{Message, MessageClass, Method};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::client::Client;
pub(crate) use self::credentials::{Credential, Credentials, LIFETIME};
use self::peers::Peers;
use crate::fairness::rates::{Rates, network};
use crate::operating::metrics::Metrics;
use crate::traversal::stun;

/// Longest datagram relayed, in bytes; WebRTC's are at most 1,280.
const MAX_DATAGRAM: usize = 2048;

/// Datagrams that wait for a client's task before more are dropped, as a full router would.
const WAITING: usize = 64;

/// Clients without a password so far; no account limits their number.
const MAX_UNKNOWN: usize = 4096;

/// New clients of one address and in all, in an interval.
const INTERVAL: Duration = Duration::from_secs(60);
const NEW_PER_ADDRESS: u32 = 600;
const NEW_IN_ALL: u32 = 60_000;

/// Pause after the socket fails, so that a broken one does not keep a core busy.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// The method that begins an allocation (RFC 8656, 18).
const ALLOCATE: Method = Method::new(3);

/// How many addresses TURN relays, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Relayed addresses at a time, in all and of the clients at one address.
    pub(crate) allocations: usize,
    pub(crate) allocations_per_address: usize,
    /// Bytes that one allocation may move in a second, both ways together.
    pub(crate) bytes_per_second: u32,
}

/// Accepts clients.
pub(crate) struct Turn {
    clients: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>>,
    tasks: JoinSet<SocketAddr>,
    by_task: HashMap<tokio::task::Id, SocketAddr>,
    rates: Rates,
    shared: Arc<Shared>,
}

/// What all clients share.
struct Shared {
    socket: UdpSocket,
    listen: SocketAddr,
    credentials: Arc<Credentials>,
    peers: Peers,
    limits: Limits,
    slots: Mutex<Slots>,
    metrics: Arc<Metrics>,
}

/// The allocations there are.
#[derive(Default)]
struct Slots {
    total: usize,
    by_network: HashMap<IpAddr, usize>,
}

impl Turn {
    /// Listens there. Peers are told the address `public`, where it is not the one listened on.
    ///
    /// # Errors
    /// If the address cannot be listened on, or does not say where peers find the relay.
    pub(crate) async fn bind(
        listen: SocketAddr,
        public: Option<IpAddr>,
        limits: Limits,
        credentials: Arc<Credentials>,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        if public.is_none() && listen.ip().is_unspecified() {
            bail!("--turn {listen} does not say at which address peers find the relay: add --turn-public-ip");
        }
        let socket = UdpSocket::bind(listen).await;
        let socket = socket.with_context(|| format!("cannot listen on {listen} (UDP) for TURN"))?;
        let listen = socket.local_addr()?;
        let peers = Peers::new(listen.ip(), public.unwrap_or(listen.ip()));
        let slots = Mutex::default();
        let shared = Shared { socket, listen, credentials, peers, limits, slots, metrics };
        Ok(Self {
            clients: HashMap::new(),
            tasks: JoinSet::new(),
            by_task: HashMap::new(),
            rates: Rates::new(INTERVAL, NEW_PER_ADDRESS, NEW_IN_ALL),
            shared: Arc::new(shared),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.shared.listen
    }

    /// Serves until the token is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut buffer = [0; MAX_DATAGRAM];
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                received = shared.socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => self.take(buffer.get(..length).unwrap_or_default(), from),
                    Err(error) => {
                        tracing::debug!(%error, "the TURN socket failed");
                        tokio::time::sleep(FAILURE_PAUSE).await;
                    }
                },
                Some(ended) = self.tasks.join_next_with_id() => {
                    let id = match ended {
                        Ok((id, _)) => id,
                        Err(error) => {
                            tracing::error!(%error, "a TURN client's task failed");
                            error.id()
                        }
                    };
                    if let Some(address) = self.by_task.remove(&id) {
                        self.clients.remove(&address);
                    }
                }
                () = stop.cancelled() => return,
            }
        }
    }

    /// Hands a datagram to its client's task, which is made if the datagram asks for an allocation.
    fn take(&mut self, datagram: &[u8], from: SocketAddr) {
        let metrics = &self.shared.metrics;
        if let Some(client) = self.clients.get(&from)
            && !client.is_closed()
        {
            if client.try_send(datagram.to_vec()).is_err() {
                metrics.limit("turn_waiting");
            }
            return;
        }
        // Browsers ask every TURN server for their address as well.
        let binding = stun::answer(datagram, from);
        if binding.is_err() && !asks_for_allocation(datagram) {
            return metrics.turn("ignored");
        }
        if self.rates.take(from.ip(), Instant::now()).is_err() {
            return metrics.limit("turn_requests_per_address");
        }
        if let Ok(answer) = binding {
            metrics.turn("answered_binding");
            // Lost where the system cannot take it now; the client asks again.
            let _lost = self.shared.socket.try_send_to(&answer, from);
            return;
        }
        let known = self.shared.slots().total;
        if self.clients.len() >= MAX_UNKNOWN.saturating_add(known) {
            return metrics.limit("turn_clients");
        }
        let (sender, datagrams) = mpsc::channel(WAITING);
        let _first = sender.try_send(datagram.to_vec());
        let client = Client::new(from, datagrams, Arc::clone(&self.shared));
        let task = self.tasks.spawn(async move {
            client.run().await;
            from
        });
        self.by_task.insert(task.id(), from);
        self.clients.insert(from, sender);
    }
}

fn asks_for_allocation(datagram: &[u8]) -> bool {
    Message::from_bytes(datagram)
        .is_ok_and(|message| message.has_class(MessageClass::Request) && message.has_method(ALLOCATE))
}

/// Room for one allocation, given back when it is dropped.
struct Slot {
    shared: Arc<Shared>,
    network: IpAddr,
}

impl Shared {
    fn slots(&self) -> std::sync::MutexGuard<'_, Slots> {
        // Counts stay right whatever happened to another thread: nothing in between can fail.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for one allocation of this client, if there is any.
    fn slot(self: &Arc<Self>, client: IpAddr) -> Option<Slot> {
        let network = network(client);
        let mut slots = self.slots();
        let of_network = slots.by_network.get(&network).copied().unwrap_or_default();
        if slots.total >= self.limits.allocations {
            self.metrics.limit("turn_allocations");
            return None;
        }
        if of_network >= self.limits.allocations_per_address {
            self.metrics.limit("turn_allocations_per_address");
            return None;
        }
        slots.total += 1;
        slots.by_network.insert(network, of_network + 1);
        self.metrics.turn_allocations.inc();
        Some(Slot { shared: Arc::clone(self), network })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = self.shared.slots();
        slots.total = slots.total.saturating_sub(1);
        if let Some(of_network) = slots.by_network.get_mut(&self.network) {
            *of_network = of_network.saturating_sub(1);
            if *of_network == 0 {
                slots.by_network.remove(&self.network);
            }
        }
        self.shared.metrics.turn_allocations.dec();
    }
}
