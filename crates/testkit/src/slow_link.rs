//! A slow way to a server: a TCP proxy that lets so many bits a second through in each direction, all connections together.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// Bytes that pass at a time: about a packet's.
const PART: usize = 1_400;

/// A proxy to a local port at a limited rate; dropping it ends it for new connections.
#[derive(Debug)]
pub struct SlowLink {
    address: SocketAddr,
    lines: Arc<Lines>,
    is_over: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Lines {
    up: Line,
    down: Line,
}

/// One direction.
#[derive(Debug)]
struct Line {
    bits_per_second: u64,
    /// When what was sent so far is through.
    free: Mutex<Instant>,
    passed: AtomicU64,
}

impl SlowLink {
    /// A way to the server on this port.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(port: u16, bits_per_second: u64) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("listening"))?;
        let address = listener.local_addr().map_err(Error::io("listening"))?;
        let line = || Line { bits_per_second, free: Mutex::new(Instant::now()), passed: AtomicU64::new(0) };
        let lines = Arc::new(Lines { up: line(), down: line() });
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, shared) = (Arc::clone(&is_over), Arc::clone(&lines));
        thread::spawn(move || {
            for near in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(near), lines) = (near, Arc::clone(&shared)) else { continue };
                // Either side may break off.
                thread::spawn(move || pass(&near, &lines, port).unwrap_or_default());
            }
        });
        Ok(Self { address, lines, is_over })
    }

    /// The server's address by this way.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Bytes that have passed to the server and back.
    #[must_use]
    pub fn passed(&self) -> (u64, u64) {
        let of = |line: &Line| line.passed.load(Ordering::Relaxed);
        (of(&self.lines.up), of(&self.lines.down))
    }
}

impl Drop for SlowLink {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts, which may be gone.
        let _gone = TcpStream::connect(self.address);
    }
}

impl Line {
    /// Waits until these bytes are through.
    fn send(&self, bytes: usize) {
        let takes = Duration::from_secs_f64(bytes as f64 * 8.0 / self.bits_per_second as f64);
        let through = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            *free = (*free).max(Instant::now()) + takes;
            *free
        };
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
        thread::sleep(through.saturating_duration_since(Instant::now()));
    }
}

fn pass(near: &TcpStream, lines: &Arc<Lines>, port: u16) -> io::Result<()> {
    let far = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (from, to, shared) = (far.try_clone()?, near.try_clone()?, Arc::clone(lines));
    let back = thread::spawn(move || copy(&from, &to, &shared.down));
    let _ended = copy(near, &far, &lines.up);
    let _ended = back.join();
    Ok(())
}

/// Passes bytes on until one side has ended.
fn copy(mut from: &TcpStream, mut to: &TcpStream, line: &Line) -> io::Result<()> {
    let mut part = [0; PART];
    loop {
        let length = from.read(&mut part)?;
        let Some(bytes) = part.get(..length).filter(|bytes| !bytes.is_empty()) else {
            return to.shutdown(Shutdown::Write);
        };
        line.send(length);
        to.write_all(bytes)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_the_time_that_the_rate_gives_them() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        let serving = thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        });
        let link = SlowLink::start(port, 1_000_000).unwrap();
        let mut stream = TcpStream::connect(link.address).unwrap();
        let begun = Instant::now();
        let sent: Vec<u8> = (0..25_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut echoed = Vec::new();
        stream.read_to_end(&mut echoed).unwrap();
        serving.join().unwrap();
        assert_eq!(echoed, sent);
        assert_eq!(link.passed(), (25_000, 25_000));
        // 200,000 bits there, and as many back after the last of them.
        assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    }
}
