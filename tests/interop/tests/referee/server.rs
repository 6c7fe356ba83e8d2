//! Serves the two test pages on the loopback address, which browsers take for a secure context.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

const RUST: &str = "<!doctype html><title>Rust peer</title><script type=module>\
    import init, * as peer from './lichen_interop.js'; const { memory } = await init();\
    globalThis.pages = () => memory.buffer.byteLength / 65536; globalThis.peer = peer;</script>";
const HOSTILE: &str =
    "<!doctype html><title>Hostile peer</title><script type=module src=hostile.js></script>";
const JS: &str = "<!doctype html><title>js peer</title><script type=module src=peer.js></script>";

pub(crate) struct Server {
    address: SocketAddr,
}

impl Server {
    /// Serves the files of `folder` until the test's process ends.
    pub(crate) fn start(folder: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let folder: Arc<PathBuf> = Arc::new(folder.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let folder = Arc::clone(&folder);
                thread::spawn(move || answer(stream, &folder));
            }
        });
        Ok(Self { address })
    }

    pub(crate) fn url(&self, file: &str) -> String {
        format!("http://{}/{file}", self.address)
    }
}

fn answer(mut stream: TcpStream, folder: &Path) -> io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    request.read_line(&mut first)?;
    let mut header = String::from("-");
    while !header.trim().is_empty() {
        header.clear();
        request.read_line(&mut header)?;
    }
    let name = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let (kind, body) = match name {
        "rust.html" => ("text/html", RUST.into()),
        "js.html" => ("text/html", JS.into()),
        "hostile.html" => ("text/html", HOSTILE.into()),
        "lichen_interop.js" | "peer.js" | "hostile.js" => {
            ("text/javascript", std::fs::read(folder.join(name))?)
        }
        "lichen_interop_bg.wasm" => ("application/wasm", std::fs::read(folder.join(name))?),
        _ => ("text/plain", Vec::new()),
    };
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len())?;
    stream.write_all(b"Connection: close\r\n\r\n")?;
    stream.write_all(&body)
}
