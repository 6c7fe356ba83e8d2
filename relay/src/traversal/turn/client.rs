//! One client of TURN: its datagrams, its relayed socket, and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lichen_bucket::{Bucket, Rate};
use stun_types::TransportType;
use stun_types::attribute::{Userhash, Username};
use stun_types::message::Message;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use turn_server_proto::api::{
    DelayedMessageOrChannelSend, SocketAllocateError, Transmit, TurnServerApi, TurnServerPollRet,
};
use turn_server_proto::server::TurnServer;
use turn_server_proto::types::AddressFamily;
use turn_server_proto::types::prelude::DelayedTransmitBuild;
use turn_server_proto::types::transmit::TransmitBuild;

use super::{MAX_DATAGRAM, Shared, Slot};

/// What passwords are for, as clients show it.
const REALM: &str = "lichen";

/// How long a client without allocation may say nothing, and how long it may take to show a good name.
const IDLE: Duration = Duration::from_secs(10);

/// How long a nonce is good for before a fresh one is due.
const NONCE: Duration = Duration::from_secs(60 * 60);

/// Requests in a second; a browser sends one every few minutes once it has what it needs.
const REQUESTS_PER_SECOND: u32 = 20;

/// How many seconds' worth of requests and bytes may come at once.
const BURST: u32 = 4;

/// Shortest wait, so that a server that says "now" again and again does not keep a core busy.
const TICK: Duration = Duration::from_millis(5);

type Answer<T> = TransmitBuild<DelayedMessageOrChannelSend<T>>;

/// A client and the server that it has to itself.
pub(super) struct Client {
    address: SocketAddr,
    datagrams: mpsc::Receiver<Vec<u8>>,
    server: TurnServer,
    relayed: Option<Relayed>,
    /// Whether it has shown a name, and until when that is good.
    good_until: Option<Instant>,
    requests: Bucket,
    bytes: Bucket,
    rates: Rates,
    start: Instant,
    shared: Arc<Shared>,
}

/// How many requests and bytes.
struct Rates {
    requests: Rate,
    bytes: Rate,
}

/// An allocated address.
struct Relayed {
    socket: UdpSocket,
    announced: SocketAddr,
    shared: Arc<Shared>,
    _slot: Slot,
}

impl Drop for Relayed {
    fn drop(&mut self) {
        self.shared.peers.remove(self.announced.port());
    }
}

impl Client {
    pub(super) fn new(address: SocketAddr, datagrams: mpsc::Receiver<Vec<u8>>, shared: Arc<Shared>) -> Self {
        let mut server = TurnServer::new(TransportType::Udp, shared.listen, REALM.into());
        server.set_nonce_expiry_duration(NONCE);
        let rates =
            Rates { requests: rate(REQUESTS_PER_SECOND), bytes: rate(shared.limits.bytes_per_second) };
        Self {
            address,
            datagrams,
            server,
            relayed: None,
            good_until: None,
            requests: Bucket::default(),
            bytes: Bucket::default(),
            rates,
            start: Instant::now(),
            shared,
        }
    }

    /// Serves the client until it has no allocation and says nothing, or its password is not good any more.
    pub(super) async fn run(mut self) {
        let mut idle_since = Instant::now();
        let mut buffer = [0; MAX_DATAGRAM];
        loop {
            let wait = self.advance().await;
            let until = match (&self.relayed, self.good_until) {
                (Some(_), Some(until)) => until,
                (None, Some(_)) => idle_since + IDLE,
                (_, None) => self.start + IDLE,
            };
            if Instant::now() >= until {
                return;
            }
            tokio::select! {
                datagram = self.datagrams.recv() => match datagram {
                    Some(datagram) => {
                        idle_since = Instant::now();
                        self.on_datagram(datagram);
                    }
                    None => return,
                },
                received = receive(self.relayed.as_ref(), &mut buffer) => match received {
                    Ok((length, from)) => self.on_peer(buffer.get(..length).unwrap_or_default(), from),
                    // An ICMP error of what was sent before says nothing about what comes.
                    Err(error) => tracing::trace!(%error, "a relayed socket failed"),
                },
                () = tokio::time::sleep(wait.max(TICK)) => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    /// Does what the server wants, and says when it wants to be asked again.
    async fn advance(&mut self) -> Duration {
        loop {
            let now = self.now();
            while let Some(transmit) = self.server.poll_transmit(now) {
                self.send(&transmit.data, transmit.from, transmit.to);
            }
            match self.server.poll(now) {
                TurnServerPollRet::AllocateSocket {
                    transport,
                    listen_addr,
                    client_addr,
                    allocation_transport,
                    family,
                } => {
                    let address = self.allocate(family).await;
                    self.server.allocated_socket(
                        transport,
                        listen_addr,
                        client_addr,
                        allocation_transport,
                        family,
                        address,
                        self.now(),
                    );
                }
                TurnServerPollRet::SocketClose { .. } => {
                    self.relayed = None;
                }
                // Only what comes over TCP leads to these.
                TurnServerPollRet::TcpConnect { .. } | TurnServerPollRet::TcpClose { .. } => return TICK,
                TurnServerPollRet::WaitUntil(until) => return until.duration_since(now),
            }
        }
    }

    async fn allocate(&mut self, family: AddressFamily) -> Result<SocketAddr, SocketAllocateError> {
        let local = self.shared.peers.local();
        if local.is_ipv4() != (family == AddressFamily::IPV4) || self.relayed.is_some() {
            return Err(SocketAllocateError::AddressFamilyNotSupported);
        }
        let full = SocketAllocateError::InsufficientCapacity;
        let slot = self.shared.slot(self.address.ip()).ok_or(full)?;
        let bound =
            UdpSocket::bind((local, 0)).await.and_then(|socket| Ok((socket.local_addr()?.port(), socket)));
        let (port, socket) = bound.map_err(|error| {
            tracing::warn!(%error, "cannot allocate a relayed address");
            full
        })?;
        let announced = self.shared.peers.announced(port);
        self.shared.peers.add(port);
        self.shared.metrics.turn("allocated");
        self.relayed = Some(Relayed { socket, announced, shared: Arc::clone(&self.shared), _slot: slot });
        Ok(announced)
    }

    fn on_datagram(&mut self, datagram: Vec<u8>) {
        let now = self.now();
        if let Ok(message) = Message::from_bytes(&datagram) {
            let is_request = message.has_class(stun_types::message::MessageClass::Request);
            if is_request && !self.requests.take(self.rates.requests, 1, self.start.elapsed()) {
                return self.shared.metrics.limit("turn_requests");
            }
            let hash = message.attribute::<Userhash>().ok();
            let hashed = hash.and_then(|hash| self.shared.credentials.name_of(hash.hash(), REALM));
            let name = message.attribute::<Username>().ok().map(|name| name.username().to_owned());
            if let Some(name) = name.or(hashed) {
                self.learn(name);
            }
        }
        let (from, to) = (self.address, self.shared.listen);
        let answer = self.server.recv(Transmit::new(datagram, TransportType::Udp, from, to), now);
        self.deliver(answer);
    }

    fn on_peer(&mut self, datagram: &[u8], from: SocketAddr) {
        let now = self.now();
        let Some(relayed) = &self.relayed else { return };
        let from = self.shared.peers.sender(from);
        let transmit = Transmit::new(datagram, TransportType::Udp, from, relayed.announced);
        let answer = self.server.recv(transmit, now);
        self.deliver(answer);
    }

    /// Makes the first good name that it shows its account.
    fn learn(&mut self, name: String) {
        if self.good_until.is_some() {
            return;
        }
        match self.shared.credentials.check(&name) {
            Some((password, left)) => {
                self.good_until = Some(Instant::now() + left);
                self.server.add_user(name, password);
            }
            None => self.shared.metrics.turn("refused_name"),
        }
    }

    fn deliver<T: AsRef<[u8]> + std::fmt::Debug>(&mut self, answer: Option<Answer<T>>) {
        if let Some(answer) = answer {
            let (from, to) = (answer.from, answer.to);
            let bytes = answer.data.build();
            if from == self.shared.listen && is_error(&bytes) {
                self.shared.metrics.turn("answered_with_error");
            }
            self.send(&bytes, from, to);
        }
    }

    /// Sends to the client, or from its relayed address to a peer. What the system cannot take now is lost.
    fn send(&mut self, bytes: &[u8], from: SocketAddr, to: SocketAddr) {
        let metrics = &self.shared.metrics;
        let length = bytes.len() as u64;
        if self.relayed.is_some() && !self.bytes.take(self.rates.bytes, length, self.start.elapsed()) {
            return metrics.limit("turn_bytes");
        }
        let sent = match &self.relayed {
            Some(relayed) if from == relayed.announced => match self.shared.peers.route(to) {
                Some(to) => {
                    metrics.turn_bytes.inc_by(length);
                    relayed.socket.try_send_to(bytes, to)
                }
                None => return metrics.turn("refused_peer"),
            },
            // Some answers to faulty requests are addressed to the server itself.
            _ => self.shared.socket.try_send_to(bytes, self.address),
        };
        if let Err(error) = sent {
            tracing::trace!(%error, "a datagram was not sent");
        }
    }

    fn now(&self) -> stun_proto::Instant {
        let nanos = i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX);
        stun_proto::Instant::from_nanos(nanos)
    }
}

/// So much a second.
const fn rate(per_second: u32) -> Rate {
    Rate::new(per_second.saturating_mul(BURST), Duration::from_secs(BURST as u64))
}

/// Whether an answer is an error, by the class in its type (RFC 8489, 5).
fn is_error(bytes: &[u8]) -> bool {
    matches!(bytes, [high, low, ..] if high & 0xc1 == 0x01 && low & 0x10 == 0x10)
}

/// The next datagram for the relayed address; pends while there is none.
async fn receive(relayed: Option<&Relayed>, buffer: &mut [u8]) -> std::io::Result<(usize, SocketAddr)> {
    match relayed {
        Some(relayed) => relayed.socket.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}
