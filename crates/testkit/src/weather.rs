//! Bad weather between tabs: real UDP through a proxy that delays and loses packets.
//!
//! A page that runs [`Weather::script`] reaches every remote candidate through a port of the proxy's, so that its
//! peer connections know no other way. The rest of the page is as it is.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// Largest UDP datagram.
const DATAGRAM: usize = 65_536;
/// How often a thread that waits for packets looks whether the weather is over.
const LOOK: Duration = Duration::from_millis(100);

/// A UDP proxy with a delay and a loss; dropping it ends it.
#[derive(Debug)]
pub struct Weather {
    control: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    delay: Duration,
    lost_per_mille: u64,
    is_over: AtomicBool,
    passed: AtomicU64,
    lost: AtomicU64,
    /// The proxy's port for each address that a tab told another.
    ports: Mutex<HashMap<SocketAddr, u16>>,
    queue: Mutex<BinaryHeap<Reverse<Late>>>,
    changed: Condvar,
}

/// A packet on its way.
#[derive(Debug)]
struct Late {
    due: Instant,
    number: u64,
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    packet: Vec<u8>,
}

impl Weather {
    /// A proxy that holds every packet back for `delay` and loses that many of a thousand.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(delay: Duration, lost_per_mille: u64) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("listening"))?;
        let control = listener.local_addr().map_err(Error::io("listening"))?.port();
        let shared = Arc::new(Shared {
            delay,
            lost_per_mille,
            is_over: AtomicBool::new(false),
            passed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            ports: Mutex::default(),
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let answering = Arc::clone(&shared);
        thread::spawn(move || answer_all(&listener, &answering));
        let delivering = Arc::clone(&shared);
        thread::spawn(move || deliver_all(&delivering));
        Ok(Self { control, shared })
    }

    /// The script that a page must run on load, with its content security policy bypassed.
    #[must_use]
    pub fn script(&self) -> String {
        SCRIPT.replace("$PORT", &self.control.to_string())
    }

    /// Packets passed on and packets lost so far.
    #[must_use]
    pub fn packets(&self) -> (u64, u64) {
        (self.shared.passed.load(Ordering::Relaxed), self.shared.lost.load(Ordering::Relaxed))
    }
}

impl Drop for Weather {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        // Wakes the thread that answers, which may be gone.
        let _gone = TcpStream::connect((Ipv4Addr::LOCALHOST, self.control));
    }
}

/// Candidates by UDP get the proxy's port for theirs; others would lead around it.
const SCRIPT: &str = r#"{
    const add = RTCPeerConnection.prototype.addIceCandidate;
    RTCPeerConnection.prototype.addIceCandidate = async function (candidate) {
        const fields = (candidate?.candidate ?? "").split(" ");
        if (fields.length < 8) return add.call(this, candidate);
        if (fields[2].toLowerCase() !== "udp" || fields[4].includes(":")) return;
        const answer = await fetch(`http://127.0.0.1:$PORT/${fields[4]}:${fields[5]}`);
        fields[4] = "127.0.0.1";
        fields[5] = await answer.text();
        const { sdpMid, sdpMLineIndex, usernameFragment } = candidate;
        return add.call(this, { candidate: fields.join(" "), sdpMid, sdpMLineIndex, usernameFragment });
    };
}"#;

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// The proxy's port that leads to this address.
    fn port_to(self: &Arc<Self>, target: SocketAddr) -> std::io::Result<u16> {
        let mut ports = lock(&self.ports);
        if let Some(port) = ports.get(&target) {
            return Ok(*port);
        }
        let socket = Arc::new(open()?);
        let port = socket.local_addr()?.port();
        ports.insert(target, port);
        let shared = Arc::clone(self);
        thread::spawn(move || shared.pass_to(&socket, target));
        Ok(port)
    }

    /// Passes on what comes to `near`, each sender by a socket of its own, by which the answers come back.
    fn pass_to(self: &Arc<Self>, near: &Arc<UdpSocket>, target: SocketAddr) {
        let mut far: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        self.receive(near, |sender, packet| {
            let socket = match far.entry(sender) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let Ok(socket) = open().map(Arc::new) else { return };
                    let (shared, near, back) = (Arc::clone(self), Arc::clone(near), Arc::clone(&socket));
                    thread::spawn(move || {
                        shared.receive(&back, |_, packet| shared.send(&near, sender, packet))
                    });
                    unknown.insert(socket)
                }
            };
            self.send(socket, target, packet);
        });
    }

    fn receive(&self, socket: &UdpSocket, mut take: impl FnMut(SocketAddr, &[u8])) {
        let mut buffer = vec![0; DATAGRAM];
        while !self.is_over() {
            // Nothing came for a while, or a port that was written to is closed: both pass.
            let Ok((length, sender)) = socket.recv_from(&mut buffer) else { continue };
            take(sender, buffer.get(..length).unwrap_or_default());
        }
    }

    fn send(&self, socket: &Arc<UdpSocket>, to: SocketAddr, packet: &[u8]) {
        let number = self.passed.load(Ordering::Relaxed) + self.lost.load(Ordering::Relaxed);
        if scattered(number) % 1000 < self.lost_per_mille {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.passed.fetch_add(1, Ordering::Relaxed);
        let due = Instant::now() + self.delay;
        let late = Late { due, number, socket: Arc::clone(socket), to, packet: packet.to_vec() };
        lock(&self.queue).push(Reverse(late));
        self.changed.notify_all();
    }
}

/// Spreads consecutive numbers over all of `u64` (the finaliser of SplitMix64), so that losses follow no pattern.
const fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Tells pages by which port an address is reached.
fn answer_all(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.is_over() {
            return;
        }
        // A page that breaks off gets no candidate.
        let _broken = stream.and_then(|stream| answer(&stream, shared));
    }
}

fn answer(mut stream: &TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let address = line.split(' ').nth(1).and_then(|path| path.trim_start_matches('/').parse().ok());
    let address: SocketAddr = address.ok_or(std::io::ErrorKind::InvalidInput)?;
    let port = shared.port_to(address)?.to_string();
    let length = port.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{port}"
    )
}

fn deliver_all(shared: &Shared) {
    let mut queue = lock(&shared.queue);
    while !shared.is_over() {
        let now = Instant::now();
        let wait = match queue.peek() {
            Some(Reverse(late)) if late.due <= now => {
                if let Some(Reverse(late)) = queue.pop() {
                    // Whoever it was for may have closed the port.
                    let _closed = late.socket.send_to(&late.packet, late.to);
                }
                continue;
            }
            Some(Reverse(late)) => late.due - now,
            None => LOOK,
        };
        queue = shared.changed.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn open() -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(LOOK))?;
    Ok(socket)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Late {}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sockets, and the port by which the first reaches the second.
    fn pair(weather: &Weather) -> (UdpSocket, UdpSocket, SocketAddr) {
        let (here, there) = (open().unwrap(), open().unwrap());
        let target = (Ipv4Addr::LOCALHOST, there.local_addr().unwrap().port()).into();
        let port = weather.shared.port_to(target).unwrap();
        (here, there, (Ipv4Addr::LOCALHOST, port).into())
    }

    #[test]
    fn packets_come_late_and_answers_find_back() {
        let delay = Duration::from_millis(50);
        let weather = Weather::start(delay, 0).unwrap();
        let (here, there, way) = pair(&weather);
        let mut buffer = [0; 16];
        for socket in [&here, &there] {
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        }
        let start = Instant::now();
        here.send_to(b"ping", way).unwrap();
        let (length, back) = there.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"ping");
        there.send_to(b"pong", back).unwrap();
        let (length, from) = here.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (b"pong".as_slice(), way));
        assert!(start.elapsed() >= delay * 2);
    }

    #[test]
    fn some_packets_are_lost() {
        let weather = Weather::start(Duration::ZERO, 100).unwrap();
        let (here, _there, way) = pair(&weather);
        crate::wait::until("a thousand packets to pass or not", Duration::from_secs(30), || {
            // A few at a time: the system itself loses those that find its buffer full.
            for _ in 0..50 {
                here.send_to(b"ping", way).unwrap();
            }
            let (passed, lost) = weather.packets();
            Ok(if passed + lost >= 1000 { Ok(()) } else { Err((passed, lost)) })
        })
        .unwrap();
        let (passed, lost) = weather.packets();
        assert!(
            (passed + lost) / 20 < lost && lost < (passed + lost) / 5,
            "{lost} of {} lost",
            passed + lost
        );
    }
}
