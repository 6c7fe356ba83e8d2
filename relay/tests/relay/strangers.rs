//! Whose word is believed: whose pages may connect, and who may say where a client is.

use tokio::net::TcpStream;

use crate::crowds::upgrade;
use crate::process::Relay;
use crate::streams::Streams;

async fn status(relay: &Relay, headers: &str) -> u16 {
    let mut socket = connect(relay).await;
    upgrade(&mut socket, headers).await
}

async fn connect(relay: &Relay) -> TcpStream {
    TcpStream::connect(relay.url.trim_start_matches("http://").trim_end_matches('/')).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_sites_cannot_connect_with_their_visitors() {
    let options = ["--allow-origin=https://partner.example", "--also=/dns/second.example.org/tcp/443/tls/ws"];
    let relay = Relay::start_with(&options).await;
    for (origin, expected) in [
        ("", 101),
        ("Origin: https://relay.example.org\r\n", 101),
        ("Origin: https://partner.example\r\n", 101),
        ("Origin: https://second.example.org\r\n", 101),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: https://relay.example.org.evil.example\r\n", 403),
    ] {
        assert_eq!(status(&relay, origin).await, expected, "{origin:?}");
    }
    relay.metric_reaches("lichen_limited_total{limit=\"foreign_origin\"}", 3).await;
    assert!(Streams::open(&relay).await.is_answered().await, "a program sends no origin");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_operators_proxy_says_where_a_client_is() {
    let options = ["--trusted-proxy=127.0.0.1", "--max-connections-per-address=2"];
    let relay = Relay::start_with(&options).await;
    let mut sockets = Vec::new();
    let one = "X-Forwarded-For: 198.51.100.7, 2001:db8::1\r\n";
    for (headers, expected) in [
        (one, 101),
        ("X-Forwarded-For: 2001:db8::2\r\n", 101),
        ("X-Forwarded-For: 198.51.100.7, 2001:db8::3\r\n", 429),
        ("X-Forwarded-For: 2001:db8:0:1::1\r\n", 101),
    ] {
        let mut socket = connect(&relay).await;
        assert_eq!(upgrade(&mut socket, headers).await, expected, "{headers}");
        sockets.push(socket);
    }
    drop(sockets);
    // Without --trusted-proxy anybody could write that.
    let relay = Relay::start_with(&["--max-connections-per-address=2"]).await;
    let mut sockets = Vec::new();
    for number in 0..2 {
        let mut socket = connect(&relay).await;
        assert_eq!(upgrade(&mut socket, &format!("X-Forwarded-For: 192.0.2.{number}\r\n")).await, 101);
        sockets.push(socket);
    }
    let third = connect(&relay).await;
    third.readable().await.unwrap();
    assert!(matches!(third.try_read(&mut [0]), Ok(0) | Err(_)), "it should have been closed at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_asked_for_where_it_is_spoken() {
    let relay = Relay::start_with(&["--trusted-proxy=127.0.0.0/8"]).await;
    let header = async |relay: &Relay, headers: &[(&str, &str)]| {
        relay.get_with("", headers).await.header("strict-transport-security").map(str::to_owned)
    };
    let by_https = [("X-Forwarded-Proto", "https")];
    assert_eq!(header(&relay, &by_https).await.as_deref(), Some("max-age=31536000"));
    assert_eq!(header(&relay, &[]).await, None);
    let plain = Relay::start().await;
    assert_eq!(header(&plain, &by_https).await, None, "anybody can write that");
    let quiet = Relay::start_with(&["--trusted-proxy=127.0.0.1", "--hsts-seconds=0"]).await;
    assert_eq!(header(&quiet, &by_https).await, None);
}
