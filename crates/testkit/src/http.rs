//! One-shot HTTP/1.1 requests to servers on this machine.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::Error;

/// Answers longer than this are refused.
const MAX_ANSWER: u64 = 256 * 1024 * 1024;

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body, still encoded as the server sent it (chunks are joined).
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks for `http://host:port/path`, with further header lines, and reads the whole answer.
///
/// # Errors
/// When the server cannot be reached within `limit`, stops answering, or answers something that is not HTTP.
pub fn get(url: &str, headers: &[(&str, &str)], limit: Duration) -> Result<Response, Error> {
    let fault = |what: &str| Error::Http { url: url.into(), what: what.into() };
    let rest = url.strip_prefix("http://").ok_or_else(|| fault("only http:// is supported"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address =
        host.to_socket_addrs().map_err(Error::io(url))?.next().ok_or_else(|| fault("no such host"))?;
    let mut stream = TcpStream::connect_timeout(&address, limit).map_err(Error::io(url))?;
    stream.set_read_timeout(Some(limit)).map_err(Error::io(url))?;
    let mut request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).map_err(Error::io(url))?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).map_err(Error::io(url))?;
    parse(&answer).ok_or_else(|| fault("the answer is not HTTP/1.1"))
}

fn parse(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let raw = answer.get(end + 4..)?;
    let find = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let chunked = find("transfer-encoding").is_some_and(|value| value.contains("chunked"));
    let body = if chunked { join_chunks(raw)? } else { raw.to_vec() };
    if let Some(length) = find("content-length")
        && length.parse() != Ok(body.len())
    {
        return None;
    }
    Some(Response { status, headers, body })
}

fn join_chunks(mut raw: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = raw.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(raw.get(..line)?).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let start = line.checked_add(2)?;
        let end = start.checked_add(size)?;
        body.extend_from_slice(raw.get(start..end)?);
        raw = raw.get(end.checked_add(2)?..)?;
    }
}

/// A TCP port on the loopback address that nobody listens on now.
///
/// # Errors
/// When no port is left.
pub fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Error::io("looking for a free port"))?;
    Ok(listener.local_addr().map_err(Error::io("looking for a free port"))?.port())
}

/// Whether somebody listens on that port of the loopback address.
pub fn port_is_taken(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_and_chunked_answers() {
        let plain = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nhi").unwrap();
        assert_eq!((plain.status, plain.header("x-a"), plain.text().as_str()), (200, Some("b"), "hi"));
        let chunked =
            parse(b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x\r\n!\r\n0\r\n\r\n")
                .unwrap();
        assert_eq!((chunked.status, chunked.text().as_str()), (404, "hi!"));
    }

    #[test]
    fn refuses_cut_answers() {
        for cut in [
            "",
            "HTTP/1.1 200 OK",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi",
        ] {
            assert!(parse(cut.as_bytes()).is_none(), "{cut}");
        }
    }
}
