//! A relay that changes what it stores: the real one, seen through somebody who alters its answers.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lichen_testkit::http;

/// Changes the body of the answer to a path.
type Change = Arc<dyn Fn(&str, &mut Vec<u8>) + Send + Sync>;

/// Serves what the relay at `relay` serves over HTTP, changed, until the test program ends; returns its address.
pub(crate) fn serve(relay: String, change: impl Fn(&str, &mut Vec<u8>) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let change: Change = Arc::new(change);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (relay, change) = (relay.clone(), Arc::clone(&change));
            thread::spawn(move || answer(stream, &relay, &change));
        }
    });
    url
}

fn answer(mut stream: TcpStream, relay: &str, change: &Change) {
    let mut request = [0; 8192];
    let length = stream.read(&mut request).unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    let mut response = http::get(&format!("{relay}{path}"), &[], Duration::from_secs(30)).unwrap();
    change(&path, &mut response.body);
    // A browser runs no program of an unknown kind.
    let kind = response.header("content-type").unwrap_or("application/octet-stream");
    let (status, length) = (response.status, response.body.len());
    let head = format!("HTTP/1.1 {status} As-Said\r\nContent-Type: {kind}\r\nContent-Length: {length}");
    // The auditor may have hung up at the first fault.
    let _hung_up =
        write!(stream, "{head}\r\nConnection: close\r\n\r\n").and_then(|()| stream.write_all(&response.body));
}
