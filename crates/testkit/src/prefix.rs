//! A proxy as operators put before a relay: it serves the relay below a path, which it takes off.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::Error;

/// Longest head of a request.
const MAX_HEAD: u64 = 64 * 1024;

/// A proxy that takes a path off; dropping it ends it for new connections.
#[derive(Debug)]
pub struct Prefix {
    address: SocketAddr,
    path: String,
    is_over: Arc<AtomicBool>,
}

impl Prefix {
    /// Serves below `path`, which begins and ends with a slash, what the server on `port` serves at its root.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(path: &str, port: u16) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("listening"))?;
        let address = listener.local_addr().map_err(Error::io("listening"))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, below) = (Arc::clone(&is_over), path.to_owned());
        thread::spawn(move || {
            for near in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(near), below) = (near, below.clone()) else { continue };
                // Whoever breaks off has its answer.
                thread::spawn(move || pass(near, &below, port).unwrap_or_default());
            }
        });
        Ok(Self { address, path: path.to_owned(), is_over })
    }

    /// Where the page is.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts, which may be gone.
        let _gone = TcpStream::connect(self.address);
    }
}

/// Passes one request on, and all that follows on its connection.
fn pass(near: TcpStream, path: &str, port: u16) -> io::Result<()> {
    let mut reader = BufReader::new(near.try_clone()?);
    let mut head = String::new();
    let mut limited = (&mut reader).take(MAX_HEAD);
    while limited.read_line(&mut head)? > 2 {}
    let Some(head) = stripped(&head, path) else {
        return (&near)
            .write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    };
    let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    far.write_all(head.as_bytes())?;
    let (mut back, mut answers) = (near, far.try_clone()?);
    let answering = thread::spawn(move || {
        // Either side may end first.
        let _bytes = io::copy(&mut answers, &mut back);
        let _closed = back.shutdown(Shutdown::Both);
    });
    let _bytes = io::copy(&mut reader, &mut far);
    let _closed = far.shutdown(Shutdown::Write);
    let _ended = answering.join();
    Ok(())
}

/// The head with the path taken off, one request per connection; `None` for a request outside the path.
fn stripped(head: &str, path: &str) -> Option<String> {
    let (line, headers) = head.split_once("\r\n")?;
    let mut parts = line.splitn(3, ' ');
    let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
    let target = target.strip_prefix(path)?;
    let is_upgrade = headers.to_ascii_lowercase().contains("upgrade: websocket");
    let is_kept = |line: &&str| is_upgrade || !line.to_ascii_lowercase().starts_with("connection:");
    let headers: Vec<&str> = headers.trim_end().split("\r\n").filter(is_kept).collect();
    let end = if is_upgrade { "" } else { "Connection: close\r\n" };
    Some(format!("{method} /{target} {version}\r\n{}\r\n{end}\r\n", headers.join("\r\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_taken_off_and_nothing_else_is_served() {
        let head = "GET /lichen/a.js?b HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n";
        let expected = "GET /a.js?b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert_eq!(stripped(head, "/lichen/").as_deref(), Some(expected));
        assert_eq!(stripped("GET /a.js HTTP/1.1\r\nHost: x\r\n\r\n", "/lichen/"), None);
        let socket = "GET /lichen/ HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        let expected = "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(stripped(socket, "/lichen/").as_deref(), Some(expected));
    }
}
