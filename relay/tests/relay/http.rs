//! What auditors and browsers get.

use std::fs;

use lichen_log::{Chain, Head};
use lichen_net::hub::Records;
use lichen_record::{decode, verify};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::campaign::{join_and_wait_for_round, take_part, wait_for_round};
use crate::process::{Info, Relay};
use crate::streams::Streams;
use crate::tab::Tab;

/// A page like the one Trunk builds.
const INDEX: &str = "<!doctype html><title>t</title><script type=\"module\">start()</script>";

/// base64(sha256("start()"))
const SCRIPT_HASH: &str = "'sha256-DIm7WJS6ZKDYe5qFLPy+h4JFI9Bol5QmYC57mt3Fb00='";

fn page() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.html"), INDEX).unwrap();
    fs::write(folder.path().join("app-0123456789abcdef.js"), "plain").unwrap();
    fs::write(folder.path().join("app-0123456789abcdef.js.br"), "brotli").unwrap();
    fs::write(folder.path().join("app-0123456789abcdef.js.gz"), "gzip").unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_comes_with_strict_headers() {
    let page = page();
    let also = ["--also", "/dns/reserve.example.org/tcp/443/tls/ws"];
    let relay = Relay::start_with(&[&["--page", page.path().to_str().unwrap()], &also[..]].concat()).await;
    let index = relay.get("").await;
    assert_eq!((index.status, index.text().as_str()), (200, INDEX));
    assert_eq!(index.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(index.header("cache-control"), Some("no-cache"));

    let policy = index.header("content-security-policy").unwrap();
    let socket = relay.url.replace("http://", "ws://");
    for part in [
        "default-src 'none'",
        &format!("script-src 'self' 'wasm-unsafe-eval' {SCRIPT_HASH}"),
        &format!("connect-src 'self' {} wss://reserve.example.org:443", socket.trim_end_matches('/')),
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    ] {
        assert!(policy.split("; ").any(|found| found == part), "{part} is not in {policy}");
    }
    assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
    for path in ["", "app-0123456789abcdef.js", "lichen.json", "metrics", "no-such-file", "health/live"] {
        let answer = relay.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert!(answer.header("content-security-policy").is_some(), "{path}");
        assert!(answer.header("permissions-policy").is_some(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_page_it_says_what_to_do() {
    let page = page();
    let relay = Relay::start_with(&["--page", page.path().to_str().unwrap()]).await;
    fs::remove_file(page.path().join("index.html")).unwrap();
    let answer = relay.get("").await;
    assert_eq!((answer.status, answer.header("content-type")), (503, Some("text/html; charset=utf-8")));
    assert!(answer.text().contains("cargo xtask demo"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_compressed_and_are_kept() {
    let page = page();
    let relay = Relay::start_with(&["--page", page.path().to_str().unwrap()]).await;
    let path = "app-0123456789abcdef.js";
    for (takes, coding, body) in [
        ("br, gzip", Some("br"), "brotli"),
        ("gzip", Some("gzip"), "gzip"),
        ("br;q=0, gzip", Some("gzip"), "gzip"),
        ("identity", None, "plain"),
    ] {
        let answer = relay.get_with(path, &[("Accept-Encoding", takes)]).await;
        assert_eq!((answer.header("content-encoding"), answer.text().as_str()), (coding, body), "{takes}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
        let etag = answer.header("etag").unwrap();
        let again = relay.get_with(path, &[("Accept-Encoding", takes), ("If-None-Match", etag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
    assert_eq!(relay.get("app-0123456789abcdef.js.br").await.status, 404);
    assert_eq!(relay.get("../Cargo.toml").await.status, 404);
    assert_eq!(relay.get("%2e%2e/Cargo.toml").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_learns_the_relays_address_as_it_came() {
    let relay = Relay::start_with(&["--trusted-proxy=127.0.0.1"]).await;
    let peer = relay.info().await.address.rsplit_once('/').unwrap().1.to_owned();
    for (head, address) in [
        ("Host: localhost:9", "/dns/localhost/tcp/9/ws"),
        ("Host: relay.example.org\r\nX-Forwarded-Proto: https", "/dns/relay.example.org/tcp/443/tls/ws"),
        ("Host: [::1]:9", "/ip6/::1/tcp/9/ws"),
    ] {
        let mut stream = connect(&relay, 1).await.pop().unwrap();
        let request = format!("GET /lichen.json HTTP/1.1\r\n{head}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains(&format!("\"{address}/p2p/{peer}\"")), "{text}");
    }
    let relay = Relay::start().await;
    let text = relay.get_with("lichen.json", &[("X-Forwarded-Proto", "https")]).await.text();
    assert!(!text.contains("/tls/ws"), "anybody can write that: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn auditors_get_log_and_blobs() {
    let relay = Relay::start().await;
    let tab = Tab::start(&relay, 1).await;
    tab.join(1).await;
    let campaign = tab.campaign;

    let answer = relay.get(&format!("log/{campaign}?from=0&limit=1")).await;
    assert_eq!(answer.header("content-type"), Some("application/vnd.ipld.dag-cbor"));
    let first: Records = decode(&answer.body, 1_000_000).unwrap();
    assert_eq!(first.records.len(), 1);
    let rest: Records = decode(&relay.get(&format!("log/{campaign}?from=1")).await.body, 1_000_000).unwrap();
    let mut chain = Chain::new(campaign);
    for record in first.records.iter().chain(&rest.records) {
        chain.verify_next(record).unwrap();
    }
    let head = verify::<Head>(&rest.head).unwrap();
    assert_eq!(head.get(), chain.head());

    let manifest = relay.get(&format!("blob/{campaign}")).await;
    assert!(campaign.0.matches(&manifest.body));
    for (path, status) in [
        ("log/nonsense", 400),
        ("log/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", 404),
        ("blob/nonsense", 400),
        ("blob/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", 404),
    ] {
        assert_eq!(relay.get(path).await.status, status, "{path}");
    }
    let negative = relay.get(&format!("log/{campaign}?from=-1")).await;
    assert_eq!(negative.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics() {
    let relay = Relay::start().await;
    assert_eq!(relay.get("health/live").await.status, 200);
    assert_eq!(relay.get("health/ready").await.status, 200);
    let metrics = relay.get("metrics").await.text();
    assert!(metrics.contains("lichen_log_length{campaign=\"handwritten-digits\"} 1\n"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_are_refused() {
    let relay = Relay::start_with(&["--max-connections-per-address", "3"]).await;
    let tab = Tab::start(&relay, 1).await;
    tab.join(1).await;
    let idle: Vec<_> = connect(&relay, 2).await;
    let refused = connect(&relay, 1).await.pop().unwrap();
    let mut byte = [0];
    // Closed at once, where the others wait for a request.
    let read = tokio::time::timeout(crate::PATIENCE, refused.readable()).await;
    read.expect("it was not closed").unwrap();
    assert!(matches!(refused.try_read(&mut byte), Ok(0) | Err(_)));
    drop(idle);
    tab.get(tab.campaign.0).await;
    relay.metric_reaches("lichen_limited_total{limit=\"connections_per_address\"}", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_for_all_are_refused() {
    let relay = Relay::start_with(&["--max-connections", "2"]).await;
    let idle = connect(&relay, 3).await;
    // The last is closed at once, and the others wait for a request.
    timeout(crate::PATIENCE, idle[2].readable()).await.expect("it was not closed").unwrap();
    assert!(matches!(idle[2].try_read(&mut [0]), Ok(0) | Err(_)));
    drop(idle);
    let counted = "lichen_limited_total{limit=\"connections\"}";
    relay.metric_reaches(counted, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_learns_where_the_campaign_is() {
    let relay = Relay::start().await;
    let now =
        async || serde_json::from_str::<serde_json::Value>(&relay.get("now.json").await.text()).unwrap();
    let before = now().await;
    assert_eq!((before["members"].as_u64(), before["round"].as_u64()), (Some(0), Some(0)));
    assert_eq!((before["finished"].as_bool(), before["limit"].as_u64()), (Some(false), Some(1000)));
    assert!(before["accuracy"].is_null(), "{before}");
    let tab = Tab::start(&relay, 1).await;
    let (round, base) = join_and_wait_for_round(&tab).await;
    let after = now().await;
    assert_eq!((after["members"].as_u64(), after["round"].as_u64()), (Some(1), Some(1)));
    assert_eq!(after["checkpoint"].as_str(), Some(base.to_string().as_str()));
    take_part(&tab, (round, base), 0.0).await;
    wait_for_round(&tab, round.next()).await;
    let settled = now().await;
    assert_eq!(settled["accuracy"]["value"].as_f64(), Some(0.9), "{settled}");
    assert_eq!(settled["accuracy"]["source"].as_str(), Some("claimed"));
    assert!(relay.get("now.json").await.body.len() < 1024);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_learns_who_runs_the_relay_and_what_taking_part_costs() {
    let silent = Relay::start().await.get("lichen.json").await.text();
    let silent: serde_json::Value = serde_json::from_str(&silent).unwrap();
    assert!(silent["operator"].is_null());
    assert_eq!(silent["cost"]["interval_ms"].as_u64(), Some(1500));
    assert!(silent["cost"]["data_bytes"].as_u64().unwrap() > 115_008);
    assert_eq!(silent["show"]["labels"].as_array().unwrap().len(), 10);
    let link = "https://school.example/about";
    let named = Relay::start_with(&["--operator-name", "City school", "--operator-link", link]).await;
    let told: serde_json::Value = serde_json::from_str(&named.get("lichen.json").await.text()).unwrap();
    assert_eq!(told["operator"], serde_json::json!({ "name": "City school", "link": link }));
}

async fn connect(relay: &Relay, count: usize) -> Vec<tokio::net::TcpStream> {
    let address = relay.url.trim_start_matches("http://").trim_end_matches('/');
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    streams
}

#[tokio::test]
async fn a_page_at_an_address_of_ip_version_6_may_connect() {
    let page = page();
    for listen in ["[::1]:0", "localhost:0", "127.0.0.1:0"] {
        let relay = Relay::start_at(listen, &["--page", page.path().to_str().unwrap()]).await;
        let policy = relay.get("").await.header("content-security-policy").unwrap().to_owned();
        let connect =
            policy.split("; ").find_map(|directive| directive.strip_prefix("connect-src ")).unwrap();
        for source in connect.split(' ') {
            // What the policy's grammar has no form for is thrown away by browsers, with all that it should allow.
            assert!(!source.contains('['), "{source}");
        }
        let own = if listen.starts_with('[') { "ws:" } else { "ws://127.0.0.1:" };
        assert!(connect.split(' ').any(|source| source.starts_with(own)), "{connect}");
        assert!(Streams::open(&relay).await.is_answered().await);
    }
}

#[tokio::test]
async fn a_web_socket_is_taken_at_whatever_path_a_proxy_hands_on() {
    let relay = Relay::start().await;
    let Info { peer, .. } = relay.info().await;
    let port = relay.url.trim_end_matches('/').rsplit_once(':').unwrap().1.to_owned();
    for path in ["ws", "x-parity-ws/%2Flichen%2F", "x-parity-ws/%2Fa%2Fb%2Fc"] {
        let address = format!("/ip4/127.0.0.1/tcp/{port}/{path}/p2p/{peer}");
        assert!(Streams::dial(&address, None).is_answered().await, "{path}");
    }
    let public = "/dns/example.org/tcp/443/tls/x-parity-ws/%2Flichen%2F";
    let relay = Relay::start_with(&["--public-address", public]).await;
    let info = relay.info().await;
    assert_eq!(info.address, format!("{public}/p2p/{}", info.peer));
}

#[tokio::test]
async fn what_could_never_work_is_refused_at_the_start() {
    for (option, value, said) in [
        ("--log-level", "verbose", "trace"),
        ("--page", "/nonexist", "--page /nonexist: it is no folder"),
        ("--listen", "nowhere", "localhost:8080"),
        ("--also", "/ip4/127.0.0.1/tcp/80", "WebSocket"),
        ("--max-connections", "0", "at least 1"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let ended = tokio::process::Command::new(env!("CARGO_BIN_EXE_lichen-relay"))
            .args([option, value, "--data"])
            .arg(data.path().join("new"))
            .output();
        let ended = tokio::time::timeout(crate::PATIENCE, ended).await.unwrap().unwrap();
        let words = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && words.contains(said), "{option} {value}: {words}");
        assert!(!data.path().join("new").exists(), "{option}: it has begun before it looked");
    }
}
